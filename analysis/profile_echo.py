"""Echo: how long a rhythm keeps the drive's phase after the drive has stopped.

Pairwise phase consistency over trains, ``R² exp(-2 t/tau)``, is fitted by least squares with
intervals from a bootstrap of trains. A passive oscillator forgets with ``tau = 1/(pi FWHM)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Echo", "detectable_locking", "fit_echo"]

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

TAUS_S = np.geomspace(0.02, 5.0, 150)
POWER_80 = 4.8


@dataclass(frozen=True, slots=True)
class Echo:
    """Decay of locking after the drive's end.

    Parameters
    ----------
    frequency_hz, level : float
        Drive.
    n_trains : int
        Trains.
    locking_at_end : float
        Fitted phase locking at the offset; 0 where nothing is locked.
    tau_s : float or None
        Time constant; None where there is no echo to fit.
    tau_ci95_s : (float or None, float or None) or None
        Interval; an end beyond 0.02 to 5 s is open (None).
    p : float
        Rayleigh, at the first read.
    times_s, consistency : ndarray, shape (n_windows,)
        Pairwise phase consistency.
    """

    frequency_hz: float
    level: float
    n_trains: int
    locking_at_end: float
    tau_s: float | None
    tau_ci95_s: tuple[float | None, float | None] | None
    p: float
    times_s: Array
    consistency: Array

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "frequency_hz": self.frequency_hz,
            "level": self.level,
            "n_trains": self.n_trains,
            "detectable_plv": detectable_locking(self.n_trains),
            "plv_at_end": self.locking_at_end,
            "tau_s": self.tau_s,
            "tau_ci95_s": None if self.tau_ci95_s is None else list(self.tau_ci95_s),
            "p": self.p,
            "times_s": self.times_s.tolist(),
            "ppc": self.consistency.tolist(),
        }


def detectable_locking(n_reads: int) -> float:
    """Locking that `n_reads` independent reads find with power 0.8 (Rayleigh, n R² = 4.8)."""
    return min(1.0, math.sqrt(POWER_80 / n_reads))


def fit_echo(
    times_s: Array,
    unit: ComplexArray,
    frequency_hz: float,
    level: float,
    rng: np.random.Generator,
    *,
    n_bootstrap: int = 500,
) -> Echo:
    """Fit the decay.

    Parameters
    ----------
    times_s : ndarray, shape (n_windows,)
        After the offset.
    unit : ndarray of complex, shape (n_windows, n_trains, n_channels)
        Phasors against the drive continued.
    frequency_hz, level : float
        Drive.
    rng : Generator
        Of the bootstrap.
    n_bootstrap : int
        Draws of trains.

    Returns
    -------
    Echo
        Without `tau_s` where the first read is not locked (p of 0.05 and more).
    """
    n = unit.shape[1]
    ppc = _consistency(unit, np.arange(n))
    first = np.abs(unit[0].mean(axis=0)) ** 2
    p = min(1.0, float(np.exp(-n * first).min()) * first.size)
    if p >= 0.05:
        return Echo(frequency_hz, level, n, 0.0, None, None, p, times_s, ppc)
    tau, size = _decay(times_s, ppc[None])
    draws = np.stack(
        [_consistency(unit, rng.integers(0, n, n), repeated=True) for _ in range(n_bootstrap)]
    )
    taus, _ = _decay(times_s, draws)
    low, high = (_inside(float(end)) for end in np.quantile(taus, (0.025, 0.975)))
    locking = math.sqrt(min(1.0, max(0.0, float(size[0]))))
    return Echo(
        frequency_hz, level, n, locking, _inside(float(tau[0])), (low, high), p, times_s, ppc
    )


def _inside(tau_s: float) -> float | None:
    """Return the time constant; None where it lies at an end of what is looked at."""
    return tau_s if TAUS_S[0] < tau_s < TAUS_S[-1] else None


def _consistency(unit: ComplexArray, chosen: Any, *, repeated: bool = False) -> Array:
    """Pairwise phase consistency, mean over channels; pairs of one train with itself left out."""
    n = chosen.size
    total = np.abs(unit[:, chosen].sum(axis=1)) ** 2
    same = float(np.sum(np.bincount(chosen) ** 2)) if repeated else float(n)
    return np.asarray(((total - same) / (n * n - same)).mean(axis=-1))


def _decay(times_s: Array, ppc: Array) -> tuple[Array, Array]:
    """Least squares of R² exp(-2t/tau); `ppc` of shape (n_draws, n_windows)."""
    shapes = np.exp(-2.0 * times_s[None, :] / TAUS_S[:, None])
    weight = (shapes**2).sum(axis=1)
    size = np.maximum(ppc @ shapes.T, 0.0) / weight
    gain = size**2 * weight
    best = gain.argmax(axis=1)
    return TAUS_S[best], size[np.arange(len(ppc)), best]
