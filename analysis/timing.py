"""Time stamps of samples: the rate they show, and the gaps in them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.marks import add_marks

Array = NDArray[np.float64]

MIN_GAP_S = 0.010
RATE_TOLERANCE = 0.002
GAP_TEXT = "bad_gap"
_SNAP = 1e-4
_MEMORY_S = 1.0


@dataclass(frozen=True, slots=True)
class Gap:
    """A place where samples are missing.

    Parameters
    ----------
    sample : int
        First sample after the gap.
    lost_s : float
        Missing time in seconds; NaN where it is unknown.
    """

    sample: int
    lost_s: float


def find_gaps(stamps_s: Array, sfreq_hz: float) -> tuple[Gap, ...]:
    """Find where samples are missing, from their time stamps.

    Parameters
    ----------
    stamps_s : ndarray, shape (n_samples,)
        Time of every sample in seconds; jitter and late delivery are allowed for.
    sfreq_hz : float
        Sampling rate.

    Returns
    -------
    tuple of Gap
        In order of time.

    Notes
    -----
    A long step between two stamps is a gap only when it lasts: the median delay of the second
    after it exceeds that of the second before it by three quarters of a sample, and by the usual
    spread of delays within a second. A chunk that was delivered late catches up, and is none.
    """
    step = 1.0 / sfreq_hz
    steps = np.diff(stamps_s)
    if steps.size < 2:
        return ()
    delay = stamps_s - np.arange(stamps_s.size) * step
    window = max(4, round(_MEMORY_S * sfreq_hz))
    least = max(0.75 * step, _usual_spread(delay, window))
    candidates = np.flatnonzero(steps > step + least)
    edges = [0, stamps_s.size]

    def rise(first: int) -> float:
        """By how much the delay is longer after a sample than before it."""
        place = bisect_left(edges, first)
        end = edges[place] if edges[place] != first else edges[place + 1]
        before = np.median(delay[max(edges[place - 1], first - window) : first])
        return float(np.median(delay[first : min(end, first + window)]) - before)

    # The longest first, so that no gap lies within the second on which a shorter one is judged.
    for last in candidates[np.argsort(-steps[candidates], kind="stable")]:
        if rise(int(last) + 1) > least:
            insort(edges, int(last) + 1)
    return tuple(Gap(first, rise(first)) for first in edges[1:-1])


def _usual_spread(delay: Array, window: int) -> float:
    """Median over stretches of `window` samples of the range of delays, in seconds."""
    count = delay.size // window
    if not count:
        return 0.0
    return float(np.median(np.ptp(delay[: count * window].reshape(count, window), axis=1)))


def segments(n_samples: int, gaps: Sequence[Gap]) -> list[slice]:
    """Stretches between gaps, in order."""
    edges = [0, *(gap.sample for gap in gaps), n_samples]
    return [slice(a, b) for a, b in pairwise(edges) if b > a]


def smooth_stamps(stamps_s: Array, gaps: Sequence[Gap]) -> tuple[Array, float | None]:
    """Straighten the stamps between gaps, and measure the rate.

    Parameters
    ----------
    stamps_s : ndarray, shape (n_samples,)
        Time of every sample in seconds.
    gaps : sequence of Gap
        Where samples are missing.

    Returns
    -------
    stamps_s : ndarray, shape (n_samples,)
        Stamps on a straight line within each stretch.
    rate_hz : float or None
        Samples per second within the stretches; None when there are too few samples.
    """
    smooth = stamps_s.copy()
    intervals, lasted_s = 0, 0.0
    for part in segments(stamps_s.size, gaps):
        count = part.stop - part.start
        if count < 2:
            continue
        index = np.arange(count) - (count - 1) / 2.0
        values = stamps_s[part]
        middle = float(values.mean())
        slope = float(index @ (values - middle) / (index @ index))
        smooth[part] = middle + slope * index
        intervals += count - 1
        lasted_s += slope * (count - 1)
    return smooth, intervals / lasted_s if lasted_s > 0.0 else None


def steady_rate(stamps_s: Array) -> float | None:
    """Sampling rate that evenly spaced stamps show; None when they are not evenly spaced.

    Parameters
    ----------
    stamps_s : ndarray, shape (n_samples,)
        Time of every sample in seconds, perhaps rounded, with gaps at most here and there.

    Returns
    -------
    float or None
        Hertz; a whole number when within 0.01 % of one.

    Notes
    -----
    Steps are even when nine out of ten lie within half a step of the usual one; the rounding of
    millisecond stamps stays within that up to 1000 Hz.
    """
    steps = np.diff(stamps_s)
    if steps.size < 1 or not np.all(np.isfinite(steps)):
        return None
    typical = float(np.median(steps))
    usual = float(np.mean(steps[steps <= 1.8 * typical])) if typical > 0.0 else 0.0
    if usual <= 0.0 or np.mean(np.abs(steps - usual) <= 0.5001 * usual) < 0.9:
        return None
    _, rate = smooth_stamps(stamps_s, find_gaps(stamps_s, 1.0 / usual))
    if rate is None:
        return None
    return float(round(rate)) if abs(rate - round(rate)) <= _SNAP * rate else rate


def mark_gaps(raw: Any, gaps: Sequence[Gap]) -> None:
    """Mark the two samples around each gap of 10 ms or more as bad, in place.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording; annotations it has already are kept.
    gaps : sequence of Gap
        Where samples are missing; shorter ones shift the phase of a 10 Hz rhythm by less than a
        tenth of a cycle and are left unmarked.

    Notes
    -----
    The stretches on either side are joined; nothing is put in place of what is missing, and time
    in the recording counts the samples that are there.
    """
    sfreq = float(raw.info["sfreq"])
    marks = [g.sample for g in gaps if not g.lost_s < MIN_GAP_S and 0 < g.sample < raw.n_times]
    if not marks:
        return
    onset = [(sample - 1) / sfreq for sample in marks]
    add_marks(raw, onset, [2.0 / sfreq] * len(onset), GAP_TEXT)


def gap_warning(gaps: Sequence[Gap], sfreq_hz: float) -> str:
    """One line about the gaps.

    Parameters
    ----------
    gaps : sequence of Gap
        At least one.
    sfreq_hz : float
        Sampling rate.

    Returns
    -------
    str
        How many, how long, where the longest is.
    """
    known = [gap for gap in gaps if np.isfinite(gap.lost_s)]
    where = f"{len(gaps)} gap{'s' if len(gaps) > 1 else ''} in the recording"
    if not known:
        return f"{where}: it was paused or cut; the pieces are joined and the seams marked bad"
    longest = max(known, key=lambda gap: gap.lost_s)
    total = sum(gap.lost_s for gap in known)
    return (
        f"{where}: {_seconds(total)} missing, the longest {_seconds(longest.lost_s)} at "
        f"{longest.sample / sfreq_hz:.1f} s; the pieces are joined and the seams marked bad"
    )


def rate_warning(stated_hz: float, measured_hz: float | None, tolerance: float) -> str | None:
    """One line when the measured rate is not the stated one.

    Parameters
    ----------
    stated_hz : float
        What the file says.
    measured_hz : float or None
        What its time stamps show.
    tolerance : float
        Relative difference that is let pass.

    Returns
    -------
    str or None
        The warning.
    """
    if measured_hz is None or abs(measured_hz - stated_hz) <= tolerance * stated_hz:
        return None
    return (
        f"the file states {stated_hz:g} Hz but its time stamps show {measured_hz:.5g} Hz "
        f"({100.0 * (measured_hz / stated_hz - 1.0):+.2g} %); {stated_hz:g} Hz is used, "
        "--sfreq overrides it"
    )


def _seconds(value_s: float) -> str:
    """Seconds with sensible digits."""
    return f"{value_s:.0f} s" if value_s >= 100.0 else f"{value_s:.3g} s"
