"""Intervals from leaving out blocks of epochs, for one quantity and for several at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_DRAWS = 20_000


def standard_errors(left_out: Array) -> Array:
    """Delete-a-block jackknife standard errors of a difference between two recordings.

    Parameters
    ----------
    left_out : ndarray, shape (2, n_blocks, n_quantities)
        Each quantity before and after, without each block.

    Returns
    -------
    ndarray, shape (n_quantities,)
        Standard errors.

    References
    ----------
    Künsch 1989, Ann. Stat. 17:1217-1241.
    """
    n = left_out.shape[1]
    deviations = left_out - left_out.mean(axis=1, keepdims=True)
    return np.asarray(np.sqrt((n - 1) / n * np.sum(deviations**2, axis=(0, 1))))


def quantile(n_blocks: int) -> float:
    """Student's quantile of a two-sided 95 % interval from so many blocks."""
    from scipy.special import stdtrit

    return float(stdtrit(n_blocks - 1, 0.975))


def simultaneous_quantile(left_out: Array, seed: int = 0) -> float:
    """Quantile that makes 95 % intervals of several quantities hold all at once.

    Parameters
    ----------
    left_out : ndarray, shape (2, n_blocks, n_quantities)
        See `standard_errors`.
    seed : int
        Seed of the draws.

    Returns
    -------
    float
        95 % point of the largest absolute value of a multivariate Student distribution with the
        correlation of the left-out values; `quantile` for one quantity. Strongly correlated
        measures cost little more than one.

    References
    ----------
    Hothorn, Bretz and Westfall 2008, Biom. J. 50:346-363.
    """
    n = left_out.shape[1]
    deviations = (left_out - left_out.mean(axis=1, keepdims=True)).reshape(-1, left_out.shape[2])
    size = np.sqrt(np.sum(deviations**2, axis=0))
    varying = size > 0.0
    if varying.sum() <= 1:
        return quantile(n)
    scaled = deviations[:, varying] / size[varying]
    rng = np.random.default_rng(seed)
    # Rows of unit sum of squares: normal weights of the rows have the rows' own correlation.
    normal = rng.standard_normal((_DRAWS, scaled.shape[0])) @ scaled
    spread = np.sqrt(rng.chisquare(n - 1, _DRAWS) / (n - 1))
    return max(quantile(n), float(np.quantile(np.abs(normal).max(axis=1) / spread, 0.95)))


def around(value: float, half_width: float) -> tuple[float, float]:
    """Symmetric interval."""
    return value - half_width, value + half_width
