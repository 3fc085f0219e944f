"""Standardised differences with exact intervals.

d is the difference of means over the standard deviation within arms, g the same without its bias in
small samples, d_z the mean of paired differences over their own standard deviation. Intervals come
from the noncentral t distribution: those effects for which the observed t lies at 2.5 or 97.5 %.
d and d_z of the same data are not comparable: the yardsticks differ.

References
----------
Hedges 1981, J Educ Stat 6:107-128. Steiger and Fouladi 1997, in: What if there were no significance
tests?, 221-257. Cumming and Finch 2001, Educ Psychol Meas 61:532-574.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError

__all__ = [
    "EffectSize",
    "against_spread",
    "between",
    "detectable",
    "hedges_factor",
    "noncentral_interval",
    "paired",
]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EffectSize:
    """A standardised difference.

    Parameters
    ----------
    name : str
        "d" (Cohen) or "d_z"; what it is divided by stands in `unit`.
    estimate : float
        The effect size.
    interval : (float, float)
        95 % interval: noncentral t, or that of a model over its yardstick.
    corrected : float
        Hedges's g (or g_z): the estimate without its small-sample bias.
    corrected_interval : (float, float)
        The interval, corrected alike.
    unit : str
        The yardstick, in words.
    """

    name: str
    estimate: float
    interval: tuple[float, float]
    corrected: float
    corrected_interval: tuple[float, float]
    unit: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "estimate": self.estimate,
            "ci95": list(self.interval),
            "hedges_g": self.corrected,
            "hedges_g_ci95": list(self.corrected_interval),
            "unit": self.unit,
        }


def hedges_factor(df: float) -> float:
    """Factor that takes the small-sample bias out of d: gamma(m/2) / (sqrt(m/2) gamma((m-1)/2))."""
    if df <= 1.0:
        raise AnalysisError(f"an effect size needs more than one degree of freedom; got {df:g}")
    log = math.lgamma(df / 2.0) - math.lgamma((df - 1.0) / 2.0)
    return math.exp(log) / math.sqrt(df / 2.0)


def noncentral_interval(t: float, df: float, level: float = 0.95) -> tuple[float, float]:
    """Interval of the noncentrality of an observed t.

    Parameters
    ----------
    t : float
        Observed statistic.
    df : float
        Its degrees of freedom.
    level : float
        Of the interval.

    Returns
    -------
    (float, float)
        Noncentralities for which `t` is the upper and the lower tail of (1 - level) / 2.
    """
    from scipy.stats import nct

    tail = (1.0 - level) / 2.0

    def share_below(noncentrality: float) -> float:
        return float(nct.cdf(t, df, noncentrality))

    return (
        _root(lambda x: share_below(x) - (1.0 - tail), t),
        _root(lambda x: share_below(x) - tail, t),
    )


def _root(falls: Callable[[float], float], start: float) -> float:
    """Where a falling function is 0, searched from `start` outwards."""
    from scipy.optimize import brentq

    step = 1.0
    low = high = start
    while falls(low) < 0.0:
        low, step = low - step, 2.0 * step
    step = 1.0
    while falls(high) > 0.0:
        high, step = high + step, 2.0 * step
    if low == high:
        return low
    return float(brentq(falls, low, high, xtol=1e-10, rtol=1e-12))


def _effect(name: str, t: float, df: float, root_n: float, unit: str) -> EffectSize | None:
    """Effect size of a t statistic; None where its yardstick is 0."""
    if not math.isfinite(t):
        return None
    factor = hedges_factor(df)
    low, high = noncentral_interval(t, df)
    interval = (low / root_n, high / root_n)
    return EffectSize(
        name=name,
        estimate=t / root_n,
        interval=interval,
        corrected=factor * t / root_n,
        corrected_interval=(factor * interval[0], factor * interval[1]),
        unit=unit,
    )


def between(first: Array, second: Array, unit: str = "standard deviations") -> EffectSize | None:
    """Cohen's d and Hedges's g of two independent samples, first less second.

    Parameters
    ----------
    first, second : ndarray, shape (n,)
        Values; two at least in each.
    unit : str
        What the standard deviation is of, in words.

    Returns
    -------
    EffectSize or None
        None where nothing varies.
    """
    n, m = first.size, second.size
    if min(n, m) < 2:
        raise AnalysisError(f"an effect size needs two values in each arm; got {n} and {m}")
    df = n + m - 2
    pooled = math.sqrt(
        (float(first.var(ddof=1)) * (n - 1) + float(second.var(ddof=1)) * (m - 1)) / df
    )
    root_n = math.sqrt(n * m / (n + m))
    difference = float(first.mean() - second.mean())
    t = difference / pooled * root_n if pooled > 0.0 else math.inf
    return _effect("d", t, df, root_n, unit)


def paired(
    differences: Array, unit: str = "standard deviations of the differences"
) -> EffectSize | None:
    """d_z of paired differences; the correction and interval are those of one sample.

    Parameters
    ----------
    differences : ndarray, shape (n,)
        One difference for each patient; three at least.
    unit : str
        What the standard deviation is of, in words.

    Returns
    -------
    EffectSize or None
        None where nothing varies.
    """
    n = differences.size
    if n < 3:
        raise AnalysisError(f"an effect size of differences needs three patients; got {n}")
    spread = float(differences.std(ddof=1))
    root_n = math.sqrt(n)
    t = float(differences.mean()) / spread * root_n if spread > 0.0 else math.inf
    return _effect("d_z", t, n - 1, root_n, unit)


def against_spread(
    estimate: float, interval: tuple[float, float], groups: Sequence[Array], unit: str
) -> EffectSize | None:
    """An estimate of a model, and its interval, over the pooled standard deviation of groups.

    Parameters
    ----------
    estimate : float
        Difference, in the unit of the outcome.
    interval : (float, float)
        Its 95 % interval.
    groups : sequence of ndarray, shape (n,)
        Values whose spread within groups is the yardstick, as those before treatment by arm.
    unit : str
        What the standard deviation is of, in words.

    Returns
    -------
    EffectSize or None
        The yardstick counts as known, so the interval is a little too narrow in small samples; None
        where nothing varies.
    """
    df = sum(group.size - 1 for group in groups if group.size)
    squares = sum(float(np.sum((group - group.mean()) ** 2)) for group in groups if group.size)
    if df <= 1 or not squares > 0.0:
        return None
    spread, factor = math.sqrt(squares / df), hedges_factor(df)
    low, high = interval[0] / spread, interval[1] / spread
    value = estimate / spread
    return EffectSize("d", value, (low, high), factor * value, (factor * low, factor * high), unit)


def detectable(n: int, m: int | None = None, power: float = 0.8) -> float:
    """Smallest effect size that a two-sided t test at .05 finds with the given power.

    Parameters
    ----------
    n : int
        Patients, or those of the first arm.
    m : int, optional
        Patients of the second arm; without it the test is of paired differences.
    power : float
        Probability of finding it.

    Returns
    -------
    float
        d (two arms) or d_z (paired).
    """
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    df = n - 1 if m is None else n + m - 2
    root_n = math.sqrt(n) if m is None else math.sqrt(n * m / (n + m))
    limit = float(t.ppf(0.975, df))

    def short_of(effect: float) -> float:
        # sf is the upper tail; the lower one is that of the mirrored effect.
        found = nct.sf(limit, df, effect * root_n) + nct.sf(limit, df, -effect * root_n)
        return float(found) - power

    return float(brentq(short_of, 0.0, 100.0 / root_n, xtol=1e-6))
