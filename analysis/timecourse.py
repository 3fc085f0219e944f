"""Band power in bins after a session, against before: each with its interval, and how it fades."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.decay import Decay, fit_decay
from analysis.errors import AnalysisError
from analysis.power import db_of_ln, percent_of_ln
from analysis.statistics import MIN_SEGMENTS, Comparison, compare_series

Array = NDArray[np.float64]

CLINICAL_EDGES_S = tuple(60.0 * minute for minute in (0, 3, 10, 20, 30, 60, 90, 120, 150, 180))
LONG_S, MEDIUM_S, SHORT_S = 1200.0, 300.0, 80.0
CAUTION = (
    "power rises by itself over an hour of rest, after sham too: only a sham session recorded as "
    "long shows what of the course is the stimulation's (Kasten et al. 2016)"
)


@dataclass(frozen=True, slots=True)
class Later:
    """Band power of one recording on the session's clock.

    Parameters
    ----------
    name : str
        How it is called in a message.
    starts_s : ndarray, shape (n_segments,)
        Starts of the segments, seconds after the current ended.
    power_uv2 : ndarray, shape (n_segments,)
        Band power of the region.
    """

    name: str
    starts_s: Array
    power_uv2: Array


@dataclass(frozen=True, slots=True)
class TimeBin:
    """Power in one bin against power before.

    Parameters
    ----------
    from_s, to_s : float
        First and last moment covered by a segment, seconds after the current ended.
    n_segments : int
        Clean segments of 4 s.
    ln_ratio : float
        ln(mean power in the bin / mean power before).
    interval_ln : (float, float)
        95 % interval of this bin alone.
    simultaneous_ln : (float, float)
        95 % interval for all bins together: all of them hold, 95 times in 100.
    """

    from_s: float
    to_s: float
    n_segments: int
    ln_ratio: float
    interval_ln: tuple[float, float]
    simultaneous_ln: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values; times in minutes."""
        return {
            "from_min": self.from_s / 60.0,
            "to_min": self.to_s / 60.0,
            "n_segments": self.n_segments,
            "ln_ratio": self.ln_ratio,
            "percent": percent_of_ln(self.ln_ratio),
            "db": db_of_ln(self.ln_ratio),
            "ci95_percent": [percent_of_ln(edge) for edge in self.interval_ln],
            "ci95_simultaneous_percent": [percent_of_ln(edge) for edge in self.simultaneous_ln],
        }


@dataclass(frozen=True, slots=True)
class TimeCourse:
    """Power after the session in bins, and its fading.

    Parameters
    ----------
    bins : tuple of TimeBin
        In time order; empty where there are none.
    decay, decay_with_drift : Decay
        Fits without and with a linear drift of log power.
    start_known : bool
        Whether the time from the end of the current to the recording was given.
    baseline_s : float
        Seconds of clean recording before that the bins are held against.
    channels : tuple of str
        Channels of the region that are good in every recording.
    reason : str or None
        Why there are no bins.
    """

    bins: tuple[TimeBin, ...]
    decay: Decay
    decay_with_drift: Decay
    start_known: bool
    baseline_s: float
    channels: tuple[str, ...]
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "bins": [one.to_dict() for one in self.bins],
            "decay": self.decay.to_dict(),
            "decay_with_drift": self.decay_with_drift.to_dict(),
            "start_known": self.start_known,
            "baseline_s": self.baseline_s,
            "channels": list(self.channels),
            "caution": CAUTION if self.bins else None,
            "reason": self.reason,
        }


def bin_edges_s(first_s: float, last_s: float) -> tuple[float, ...]:
    """Edges of the bins: 0, 3, 10, 20, 30, 60, 90 min and so on; finer where less was recorded.

    Parameters
    ----------
    first_s, last_s : float
        First and last moment recorded, seconds after the current ended.

    Returns
    -------
    tuple of float
        Edges in seconds. Below 20 min bins of 1 min from the first moment on, below 5 min of 30 s;
        below 80 s none.
    """
    span_s = last_s - first_s
    if span_s >= LONG_S:
        edges = list(CLINICAL_EDGES_S)
        while edges[-1] < last_s:
            edges.append(edges[-1] + 1800.0)
        return tuple(edges)
    if span_s < SHORT_S:
        return ()
    width_s = 60.0 if span_s >= MEDIUM_S else 30.0
    return tuple(first_s + width_s * step for step in range(math.ceil(span_s / width_s) + 1))


def time_course(
    before: Later,
    later: Sequence[Later],
    *,
    window_s: float,
    step_s: float,
    channels: tuple[str, ...] = (),
    start_known: bool = True,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> TimeCourse:
    """Power in bins after the session against power before, and an after-effect fitted to it.

    Parameters
    ----------
    before : Later
        The recording before; its times are those of the recording.
    later : sequence of Later
        One or several recordings after the session.
    window_s, step_s : float
        Length of a segment, and usual distance of two.
    channels : tuple of str
        Channels behind the numbers, for the record.
    start_known : bool
        Whether the times after the session are known, not assumed.
    n_bootstrap, seed : int
        Bootstrap.

    Returns
    -------
    TimeCourse
        Bins with at least 8 clean segments, each compared as `analysis.statistics.compare_series`
        compares two recordings: the stretch for slow fluctuation included.

    Raises
    ------
    AnalysisError
        If recordings overlap in time or power is not positive.

    Notes
    -----
    The simultaneous interval is the largest standardised deviation over the bins in bootstrap
    samples that share the baseline (sup-t), never narrower than that of a bin alone. A bin may be
    filled from several recordings. Drift slower than the recording before looks like an effect.

    References
    ----------
    Bins: Kasten, Dowsett and Herrmann 2016, Front. Hum. Neurosci. 10:245. Simultaneous bands:
    Montiel Olea and Plagborg-Moller 2019, J. Appl. Econometrics 34:1-17.
    """
    ordered = sorted(later, key=lambda one: float(one.starts_s[0]))
    for one, following in pairwise(ordered):
        if following.starts_s[0] < one.starts_s[-1]:
            raise AnalysisError(
                f"{following.name} begins {following.starts_s[0] / 60.0:.1f} min after the "
                f"current ended, before {one.name} is over ({one.starts_s[-1] / 60.0:.1f} min): "
                "check the minutes"
            )
    starts_s = np.concatenate([one.starts_s for one in ordered])
    power = np.concatenate([one.power_uv2 for one in ordered])
    baseline_s = float(before.starts_s.size * step_s)
    first_s, last_s = float(starts_s[0]), float(starts_s[-1]) + window_s
    edges = bin_edges_s(first_s, last_s)
    chosen = [
        inside
        for low, high in pairwise(edges)
        if np.sum(inside := (starts_s >= low) & (starts_s + window_s <= high + 1e-9))
        >= MIN_SEGMENTS
    ]
    if len(chosen) < 2:
        why = (
            f"no course: {(last_s - first_s) / 60.0:.1f} min after the session make no two bins; "
            f"{SHORT_S:.0f} s without artefacts are the least"
        )
        none = Decay(reason=f"not identifiable: {why}")
        return TimeCourse((), none, none, start_known, baseline_s, channels, why)
    compared = [
        compare_series(
            before.power_uv2,
            before.starts_s,
            power[inside],
            starts_s[inside],
            step_s=step_s,
            n_bootstrap=n_bootstrap,
            seed=seed,
        )
        for inside in chosen
    ]
    deviations = np.stack(
        [
            _deviations(one, before.power_uv2, power[inside])
            for one, inside in zip(compared, chosen, strict=True)
        ]
    )
    wider = _simultaneous(deviations)
    bins = tuple(
        TimeBin(
            from_s=float(starts_s[inside][0]),
            to_s=float(starts_s[inside][-1]) + window_s,
            n_segments=int(inside.sum()),
            ln_ratio=one.ln_ratio,
            interval_ln=one.interval_ln,
            simultaneous_ln=_stretched(one, wider),
        )
        for one, inside in zip(compared, chosen, strict=True)
    )
    half = np.array([0.5 * (one.interval_ln[1] - one.interval_ln[0]) / 1.96 for one in compared])
    covariance = np.corrcoef(deviations) * np.outer(half, half)
    times = [starts_s[inside] + 0.5 * window_s for inside in chosen]
    ln_ratio = np.array([one.ln_ratio for one in compared])
    return TimeCourse(
        bins,
        fit_decay(times, ln_ratio, covariance),
        fit_decay(times, ln_ratio, covariance, drift=True),
        start_known,
        baseline_s,
        channels,
    )


def _deviations(found: Comparison, before: Array, after: Array) -> Array:
    """Deviations of the bootstrap replicates from the estimate, shape (n_bootstrap,)."""
    logs = np.log(found.weights[1] @ after) - np.log(found.weights[0] @ before)
    return np.asarray(logs - found.ln_ratio)


def _simultaneous(deviations: Array) -> float:
    """Factor from an interval of one bin to that of all together, at least 1."""
    standard = deviations / deviations.std(axis=1, keepdims=True)
    largest = np.abs(standard).max(axis=0)
    return max(1.0, float(np.quantile(largest, 0.95)) / 1.96)


def _stretched(found: Comparison, factor: float) -> tuple[float, float]:
    """Interval with its deviations from the estimate multiplied."""
    low, high = (found.ln_ratio + factor * (edge - found.ln_ratio) for edge in found.interval_ln)
    return low, high
