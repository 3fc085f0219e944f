"""Proportions: their intervals, their differences, and the same patients under two conditions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis.errors import AnalysisError

__all__ = [
    "PairedProportions",
    "RiskDifference",
    "compare_paired_proportions",
    "newcombe_interval",
    "wilson_interval",
]

Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class RiskDifference:
    """Difference of two proportions with Newcombe's 95 % interval."""

    estimate: float
    interval: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"estimate": self.estimate, "ci95": list(self.interval)}


@dataclass(frozen=True, slots=True)
class PairedProportions:
    """The same patients under two conditions: who responded to one, to both, to neither.

    Parameters
    ----------
    conditions : (str, str)
        First and second.
    both, only_first, only_second, neither : int
        Patients.
    p : float
        Exact McNemar test, two-sided.
    risk_difference : RiskDifference
        Share responding to the first less the share responding to the second, with Newcombe's
        interval for paired data (1998, Stat Med 17:2635-2650, method 10).
    """

    conditions: tuple[str, str]
    both: int
    only_first: int
    only_second: int
    neither: int
    p: float
    risk_difference: RiskDifference

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "conditions": list(self.conditions),
            "both": self.both,
            "only_first": self.only_first,
            "only_second": self.only_second,
            "neither": self.neither,
            "mcnemar_exact_p": self.p,
            "risk_difference": self.risk_difference.to_dict(),
        }


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a proportion (1927, J Am Stat Assoc 22:209-212)."""
    share, z2 = successes / n, Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # At the ends the limit is 0 or 1 itself, which rounding would miss by 1e-17.
    low = 0.0 if successes == 0 else middle - half
    high = 1.0 if successes == n else middle + half
    return low, high


def newcombe_interval(a: int, n_a: int, b: int, n_b: int) -> tuple[float, float]:
    """95 % interval of a difference of independent proportions, a/n_a - b/n_b.

    References
    ----------
    Newcombe 1998, Stat Med 17:873-890, method 10 (from two Wilson intervals).
    """
    p, q = a / n_a, b / n_b
    (low_p, high_p), (low_q, high_q) = wilson_interval(a, n_a), wilson_interval(b, n_b)
    low = p - q - math.hypot(p - low_p, high_q - q)
    return low, p - q + math.hypot(high_p - p, q - low_q)


def compare_paired_proportions(
    first: Sequence[bool], second: Sequence[bool], conditions: tuple[str, str]
) -> PairedProportions:
    """Compare the share of responders between two conditions of the same patients.

    Parameters
    ----------
    first, second : sequence of bool, shape (n_patients,)
        Whether each patient responded, in the same order.
    conditions : (str, str)
        Their names.

    Returns
    -------
    PairedProportions

    Raises
    ------
    AnalysisError
        Sequences of different length, or none.
    """
    from scipy.stats import binomtest

    if len(first) != len(second) or not first:
        raise AnalysisError("paired proportions need one answer per patient and condition")
    pairs = list(zip(first, second, strict=True))
    both = sum(a and b for a, b in pairs)
    only_first = sum(a and not b for a, b in pairs)
    only_second = sum(b and not a for a, b in pairs)
    neither = len(pairs) - both - only_first - only_second
    apart = only_first + only_second
    p = float(binomtest(only_first, apart).pvalue) if apart else 1.0
    interval = _paired_interval(both, only_first, only_second, neither)
    difference = RiskDifference((only_first - only_second) / len(pairs), interval)
    return PairedProportions(conditions, both, only_first, only_second, neither, p, difference)


def _paired_interval(e: int, f: int, g: int, h: int) -> tuple[float, float]:
    """Newcombe's interval for paired proportions: two Wilson intervals and their correlation."""
    n = e + f + g + h
    p, q = (e + f) / n, (e + g) / n
    (low_p, high_p), (low_q, high_q) = wilson_interval(e + f, n), wilson_interval(e + g, n)
    margins = (e + f) * (g + h) * (e + g) * (f + h)
    phi = 0.0
    if margins:
        cross = float(e * h - f * g)
        # Newcombe's continuity correction of a positive association.
        cross = max(cross - n / 2, 0.0) if cross > 0.0 else cross
        phi = cross / math.sqrt(margins)
    down, up = p - low_p, high_q - q
    low = p - q - math.sqrt(down**2 - 2 * phi * down * up + up**2)
    down, up = q - low_q, high_p - p
    return low, p - q + math.sqrt(down**2 - 2 * phi * down * up + up**2)
