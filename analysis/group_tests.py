"""Tests on one number per patient: two arms, or differences within patients.

The parametric test and a randomisation test stand side by side. The latter exchanges what was
assigned at random (labels of arms, or the order within a patient) and needs no distribution; with
few patients it also says how small a p value can be at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError

__all__ = [
    "Estimate",
    "Permutation",
    "ancova",
    "exchange_labels",
    "flip_signs",
    "holm",
    "one_sample",
    "welch",
]

Array = NDArray[np.float64]

MOST_EXACT = 20_000
N_RANDOM = 9_999


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated difference and what the data say of it.

    Parameters
    ----------
    name : str
        What was estimated.
    estimate : float
        In units of the outcome.
    se : float
        Standard error.
    interval : (float, float)
        95 % interval.
    statistic : float
        t.
    df : float
        Degrees of freedom of t.
    p : float
        Two-sided.
    method : str
        How.
    n : int
        Patients behind it.
    """

    name: str
    estimate: float
    se: float
    interval: tuple[float, float]
    statistic: float
    df: float
    p: float
    method: str
    n: int

    @classmethod
    def of(
        cls, name: str, estimate: float, se: float, df: float, *, method: str, n: int
    ) -> Estimate:
        """Two-sided t test of an estimate with its standard error."""
        from scipy.stats import t

        if not (se > 0.0 and math.isfinite(se) and df > 0.0):
            raise AnalysisError(f"{name}: no patient differs from another, so there is no error")
        statistic = estimate / se
        half = float(t.ppf(0.975, df)) * se
        p = float(2.0 * t.sf(abs(statistic), df))
        interval = (estimate - half, estimate + half)
        return cls(name, estimate, se, interval, statistic, df, p, method, n)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "estimate": self.estimate,
            "se": self.se,
            "ci95": list(self.interval),
            "t": self.statistic,
            "df": self.df,
            "p": self.p,
            "method": self.method,
            "n": self.n,
        }


@dataclass(frozen=True, slots=True)
class Permutation:
    """A randomisation test.

    Parameters
    ----------
    p : float
        Two-sided.
    smallest_p : float
        The smallest p that these numbers of patients allow.
    n : int
        Arrangements looked at.
    exact : bool
        Whether these are all there are.
    method : str
        What was exchanged.
    """

    p: float
    smallest_p: float
    n: int
    exact: bool
    method: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "p": self.p,
            "smallest_p": self.smallest_p,
            "n_arrangements": self.n,
            "exact": self.exact,
            "method": self.method,
        }


def welch(first: Array, second: Array, name: str) -> Estimate:
    """Difference of two means, first less second, with unequal variances allowed.

    Parameters
    ----------
    first, second : ndarray, shape (n,)
        Two values at least in each.
    name : str
        What is compared.

    Returns
    -------
    Estimate

    References
    ----------
    Welch 1947, Biometrika 34:28-35.
    """
    _enough(first, second)
    _must_vary(name, first, second)
    shares = [float(a.var(ddof=1)) / a.size for a in (first, second)]
    se2 = sum(shares)
    df = math.nan
    if se2 > 0.0:
        pairs = zip(shares, (first, second), strict=True)
        df = se2**2 / sum(share**2 / (a.size - 1) for share, a in pairs)
    return Estimate.of(
        name,
        float(first.mean() - second.mean()),
        math.sqrt(se2),
        df,
        method="Welch's t test",
        n=first.size + second.size,
    )


def one_sample(differences: Array, name: str, method: str = "paired t test") -> Estimate:
    """Mean of differences within patients against 0."""
    if differences.size < 2:
        raise AnalysisError(f"{name}: two patients at least; got {differences.size}")
    _must_vary(name, differences)
    se = float(differences.std(ddof=1)) / math.sqrt(differences.size)
    n = differences.size
    return Estimate.of(name, float(differences.mean()), se, n - 1, method=method, n=n)


def ancova(after: Array, before: Array, treated: NDArray[np.bool_], name: str) -> Estimate:
    """Difference between two arms after treatment, adjusted for the value before.

    Parameters
    ----------
    after, before : ndarray, shape (n_patients,)
        Values; patients with both.
    treated : ndarray of bool, shape (n_patients,)
        True in the arm, False in the control.
    name : str
        What is compared.

    Returns
    -------
    Estimate
        Ordinary least squares of ``after ~ before + arm``, one common slope.
    """
    _enough(after[treated], after[~treated])
    n = after.size
    if n < 5:
        raise AnalysisError(f"{name}: adjusting for the baseline needs five patients; got {n}")
    design = np.column_stack([np.ones(n), before - before.mean(), treated.astype(float)])
    if np.linalg.matrix_rank(design) < 3:
        raise AnalysisError(f"{name}: the baseline does not vary within the arms")
    inverse = np.linalg.inv(design.T @ design)
    weights = inverse @ design.T @ after
    residual = after - design @ weights
    variance = float(residual @ residual) / (n - 3)
    return Estimate.of(
        name,
        float(weights[2]),
        math.sqrt(variance * float(inverse[2, 2])),
        n - 3,
        method="ANCOVA, after ~ before + arm",
        n=n,
    )


def exchange_labels(first: Array, second: Array, seed: int = 0) -> Permutation:
    """Exchange the labels of two arms; the statistic is Welch's t, so variances may differ.

    References
    ----------
    Janssen 1997, Stat Probab Lett 36:9-21.
    """
    _enough(first, second)
    values = np.concatenate([first, second])
    n, total = first.size, first.size + second.size
    ways = math.comb(total, n)
    exact = ways <= MOST_EXACT
    if exact:
        chosen = np.array(list(combinations(range(total), n)))
    else:
        rng = np.random.default_rng(seed)
        chosen = rng.permuted(np.tile(np.arange(total), (N_RANDOM, 1)), axis=1)[:, :n]
        chosen = np.vstack([np.arange(n), chosen])
    taken = np.zeros((len(chosen), total), dtype=bool)
    np.put_along_axis(taken, chosen, True, axis=1)
    p = _share_at_least(_welch_t(values, taken, n), 0 if not exact else _row_of(taken, n))
    # With equal arms every arrangement has a mirror image with the same |t|.
    least = (2.0 if first.size == second.size else 1.0) / ways
    smallest = least if exact else max(least, 1.0 / (N_RANDOM + 1))
    return Permutation(p, smallest, len(chosen), exact, "labels of the arms exchanged")


def _row_of(taken: NDArray[np.bool_], n: int) -> int:
    """Row of the observed arrangement: the first n are taken."""
    return int(np.flatnonzero(taken[:, :n].all(axis=1))[0])


def _welch_t(values: Array, taken: NDArray[np.bool_], n: int) -> Array:
    """Absolute Welch t of each arrangement."""
    m = values.size - n
    centred = values - values.mean()
    sums, squares = taken @ centred, taken @ centred**2
    rest, rest_squares = centred.sum() - sums, (centred**2).sum() - squares
    variance = np.maximum(squares - sums**2 / n, 0.0) / (n * (n - 1))
    variance = variance + np.maximum(rest_squares - rest**2 / m, 0.0) / (m * (m - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(sums / n - rest / m) / np.sqrt(variance)
    # Nothing varies within either group: as far apart as can be, or not apart at all.
    return np.where(np.isnan(t), 0.0, t)


def _share_at_least(statistics: Array, observed: int) -> float:
    """Share of arrangements at least as extreme as the observed one; ties count."""
    return float(np.mean(statistics >= statistics[observed] * (1.0 - 1e-9)))


def flip_signs(differences: Array, seed: int = 0) -> Permutation:
    """Exchange the two values within patients: the sign of each difference."""
    n = differences.size
    if n < 1:
        raise AnalysisError("a randomisation test needs a patient")
    ways = 2**n
    exact = ways <= MOST_EXACT
    if exact:
        bits = (np.arange(ways)[:, None] >> np.arange(n)) & 1
        signs = 1.0 - 2.0 * bits
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], (N_RANDOM, n))
        signs = np.vstack([np.ones(n), signs])
    p = _share_at_least(np.abs(signs @ differences), 0)
    smallest = 2.0 / ways if exact else max(2.0 / ways, 1.0 / (N_RANDOM + 1))
    return Permutation(p, smallest, len(signs), exact, "signs of the differences exchanged")


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p values; a test without p stays without, and is not counted.

    References
    ----------
    Holm 1979, Scand J Stat 6:65-70.
    """
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, i) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[i] = largest
    return adjusted


def _must_vary(name: str, *groups: Array) -> None:
    """Refuse values that are all the same within their group, but for rounding."""
    largest = max(float(np.abs(group).max()) for group in groups)
    if max(float(np.ptp(group)) for group in groups) <= 1e-12 * largest:
        raise AnalysisError(f"{name}: no patient differs from another, so there is no error")


def _enough(first: Array, second: Array) -> None:
    if min(first.size, second.size) < 2:
        raise AnalysisError(
            f"two patients at least in each arm; got {first.size} and {second.size}"
        )
