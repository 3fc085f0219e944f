"""Change within one person over weeks: how much of it is more than the measure's own noise.

Scores and peaks differ from visit to visit without any cause. The reliable change index compares a
difference with that of two measurements of an unchanged person, given the spread of the measure and
its reliability in some population; the minimal detectable change is the same threshold by itself.
Both are as good as the two numbers that they rest on.

References
----------
Jacobson and Truax 1991, J Consult Clin Psychol 59:12. Weir 2005, J Strength Cond Res 19:231.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import rankdata

from analysis.errors import AnalysisError

__all__ = [
    "Drift",
    "ReliableChange",
    "exploratory_link",
    "minimal_detectable_change",
    "peak_drift",
    "percent_improvement",
    "reliable_change",
]

Z95 = 1.959963984540054
MIN_LINK_PAIRS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliableChange:
    """A change beside what two measurements of an unchanged person differ by.

    Parameters
    ----------
    change_points : float
        Later minus earlier.
    index : float or None
        The change in standard errors of a difference; None where only a published threshold in
        points is known.
    threshold_points : float
        Change from which on the index is beyond 1.96.
    verdict : {"improved", "worse", "not reliable"}
        A lower score is better.
    sd, reliability : float or None
        What the threshold rests on.
    """

    change_points: float
    index: float | None
    threshold_points: float
    verdict: Literal["improved", "worse", "not reliable"]
    sd: float | None
    reliability: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A peak beside the person's first one.

    Parameters
    ----------
    change_hz : float
        Later minus first.
    own_limit_hz : float or None
        Change that the two estimates' own 95 % intervals allow for; None where one has none.
    beyond_own : bool or None
        Whether the change is larger than that. It leaves out what differs between days.
    detectable_hz : float
        Minimal detectable change, from spread and reliability of a population.
    beyond_detectable : bool
        Whether the change is larger than that.
    """

    change_hz: float
    own_limit_hz: float | None
    beyond_own: bool | None
    detectable_hz: float
    beyond_detectable: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def minimal_detectable_change(sd: float, reliability: float) -> float:
    """Return the difference that two measurements of an unchanged person exceed in 1 of 20 cases.

    ``1.96 · √2 · sd · √(1 - reliability)``, in the unit of `sd`.

    Parameters
    ----------
    sd : float
        Standard deviation between persons, above 0.
    reliability : float
        Test-retest reliability (ICC), above 0 and below 1.

    Raises
    ------
    AnalysisError
        Out of range, or not a number.
    """
    if not (sd > 0.0 and math.isfinite(sd)):
        raise AnalysisError(f"standard deviation {sd}: must be more than 0")
    if not 0.0 < reliability < 1.0:
        raise AnalysisError(f"reliability {reliability}: must lie between 0 and 1, both left out")
    return Z95 * math.sqrt(2.0) * sd * math.sqrt(1.0 - reliability)


def reliable_change(
    earlier: float,
    later: float,
    *,
    sd: float | None = None,
    reliability: float | None = None,
    threshold_points: float | None = None,
) -> ReliableChange:
    """Judge a change of a score, where a lower score is better.

    Parameters
    ----------
    earlier, later : float
        The two scores, in points.
    sd, reliability : float, optional
        Standard deviation in points and test-retest reliability: both, or neither.
    threshold_points : float, optional
        Published threshold, in place of the two: that change or more counts.

    Raises
    ------
    AnalysisError
        Scores that are not numbers, or neither or both kinds of threshold.
    """
    if not (math.isfinite(earlier) and math.isfinite(later)):
        raise AnalysisError("reliable change: both scores must be finite numbers")
    change = later - earlier
    index = None
    if threshold_points is not None and sd is None and reliability is None:
        if not (threshold_points > 0.0 and math.isfinite(threshold_points)):
            raise AnalysisError(f"threshold {threshold_points}: must be more than 0 points")
        limit, beyond = threshold_points, abs(change) >= threshold_points
    elif sd is not None and reliability is not None and threshold_points is None:
        limit = minimal_detectable_change(sd, reliability)
        index, beyond = Z95 * change / limit, abs(change) > limit
    else:
        raise AnalysisError("reliable change: give sd and reliability, or a threshold in points")
    verdict: Literal["improved", "worse", "not reliable"] = "not reliable"
    if beyond:
        verdict = "improved" if change < 0.0 else "worse"
    return ReliableChange(
        change_points=change,
        index=index,
        threshold_points=limit,
        verdict=verdict,
        sd=sd,
        reliability=reliability,
    )


def percent_improvement(baseline: float, later: float, floor: float = 0.0) -> float | None:
    """Return the improvement in percent of the baseline; None where the baseline is at the floor.

    Parameters
    ----------
    baseline, later : float
        Scores; lower is better.
    floor : float
        Lowest possible score, subtracted first: 30 for the PANSS, whose items begin at 1.

    Raises
    ------
    AnalysisError
        A score below the floor, or not a number.
    """
    if not (baseline >= floor and later >= floor and math.isfinite(baseline + later)):
        raise AnalysisError(f"scores {baseline} and {later}: must be numbers of {floor} or more")
    if baseline == floor:
        return None
    return 100.0 * (baseline - later) / (baseline - floor)


def peak_drift(
    peaks_hz: Sequence[float],
    intervals_hz: Sequence[tuple[float, float] | None],
    *,
    sd_hz: float,
    reliability: float,
) -> list[Drift]:
    """Judge how far every later peak lies from the first.

    Parameters
    ----------
    peaks_hz : sequence of float, shape (n,)
        In order of time; the first is the one compared with.
    intervals_hz : sequence of (float, float) or None, shape (n,)
        95 % intervals.
    sd_hz, reliability : float
        Between persons, and test-retest, of a population.

    Returns
    -------
    list of Drift, length n - 1

    Raises
    ------
    AnalysisError
        Lengths differ, or spread and reliability are out of range.
    """
    if len(peaks_hz) != len(intervals_hz):
        raise AnalysisError("peak drift: every peak needs an interval, or none")
    detectable_hz = minimal_detectable_change(sd_hz, reliability)
    half = [None if i is None else 0.5 * (i[1] - i[0]) for i in intervals_hz]
    found = []
    for peak_hz, half_hz in zip(peaks_hz[1:], half[1:], strict=True):
        change_hz = peak_hz - peaks_hz[0]
        first_hz = half[0]
        own = None if first_hz is None or half_hz is None else math.hypot(first_hz, half_hz)
        found.append(
            Drift(
                change_hz=change_hz,
                own_limit_hz=own,
                beyond_own=None if own is None else abs(change_hz) > own,
                detectable_hz=detectable_hz,
                beyond_detectable=abs(change_hz) > detectable_hz,
            )
        )
    return found


def exploratory_link(eeg: Sequence[float], score_change: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation of pairs, or None where there are too few.

    No p value: visits of one person are no independent draws, and two things that both drift over
    a course correlate without any link.

    Parameters
    ----------
    eeg, score_change : sequence of float, shape (n,)
        Pairs in any order; fewer than four, or one side without any spread, give None.

    Raises
    ------
    AnalysisError
        Lengths differ.
    """
    if len(eeg) != len(score_change):
        raise AnalysisError("link: both sides need the same number of visits")
    if len(eeg) < MIN_LINK_PAIRS:
        return None
    first, second = rankdata(eeg), rankdata(score_change)
    if np.ptp(first) == 0.0 or np.ptp(second) == 0.0:
        return None
    return float(np.corrcoef(first, second)[0, 1])
