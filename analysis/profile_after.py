"""After-effect of a whole session, from recordings made after it, in bins of minutes.

The time before is that before the first block. When a recording after began is asked of whoever
made it; without an answer it is read off the recording (the end of its last ``current on``), or off
the clocks in both headers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError, UnusableRecording
from analysis.marks import CURRENT_ON, onsets_s, spans_of
from analysis.profile_blocks import Block
from analysis.profile_input import signal_of
from analysis.profile_power import (
    FIRST_S,
    LATER_S,
    LEAST_LATER_S,
    LEAST_S,
    SEGMENT_S,
    SETTLE_S,
    change_of,
    segment_power,
)
from analysis.statistics import MIN_SEGMENTS
from analysis.timecourse import CAUTION

__all__ = ["after_session", "start_after_s"]

Array = NDArray[np.float64]

MOST_APART_S = 6.0 * 3600.0
LEAST_BEFORE_S = 20.0


def start_after_s(
    raw: Any, blocks: Sequence[Block], after: Any, minutes: float | None, name: str
) -> tuple[float, str]:
    """Say how long after the end of the drive a recording begins.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The session.
    blocks : sequence of Block
        Its table.
    after : mne.io.BaseRaw
        The recording after it.
    minutes : float or None
        As stated.
    name : str
        Of the recording, in errors.

    Returns
    -------
    start_s : float
        Seconds from the end of the drive to the first sample; negative where the drive ended
        within the recording.
    source : {"stated", "annotation", "clock"}
        Where that is from.

    Raises
    ------
    AnalysisError
        If it makes no sense, or cannot be known.
    """
    if minutes is not None:
        if not (math.isfinite(minutes) and 0.0 <= 60.0 * minutes <= MOST_APART_S):
            raise AnalysisError(f"{name}: {minutes:g} min after the drive: give 0 to 360")
        return 60.0 * minutes, "stated"
    ends = [end_s for _, end_s in spans_of(after, CURRENT_ON)]
    if ends:
        return -float(max(ends)), "annotation"
    dates = raw.info["meas_date"], after.info["meas_date"]
    if None in dates:
        raise AnalysisError(
            f"{name}: it does not tell how long after the drive it was made; give --after-min"
        )
    firsts = dates[1].timestamp() + after.first_time - dates[0].timestamp() - raw.first_time
    start_s = float(firsts - max(block.stop_s for block in blocks if block.kind != "rest"))
    if not 0.0 <= start_s <= MOST_APART_S:
        raise AnalysisError(
            f"{name}: by the clocks in the headers it begins {start_s / 60.0:.1f} min after the "
            "end of the drive; give --after-min"
        )
    return start_s, "clock"


def after_session(
    raw: Any,
    blocks: Sequence[Block],
    channels: Sequence[str],
    band_hz: tuple[float, float],
    after: Sequence[tuple[Any, float, str]],
    *,
    sham: tuple[Any, Any] | None = None,
    eyes: str = "",
) -> dict[str, Any]:
    """Power after a session against power before it, less a sham visit's.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The session; the time before its first block is the time before.
    blocks : sequence of Block
        Its table.
    channels : sequence of str
        To read, in all recordings.
    band_hz : (float, float)
        Band of the power.
    after : sequence of (mne.io.BaseRaw, float, str)
        Recordings after, seconds from the end of the drive to their first sample, and names.
    sham : (mne.io.BaseRaw, mne.io.BaseRaw), optional
        Of a visit without current: before, and after as late as the first of `after`.
    eyes : str
        Of the recordings after, open or closed: rest in that state is the time before, where the
        table knows rest.

    Returns
    -------
    dict
        `band_hz`, `before_s`, `bins` (`from_s`, `to_s`, `n_segments`, `ln_ratio`, `ci95_ln`,
        `minus_sham`; first minute, then 2 min each, none where nothing was recorded), `reason`
        where there is none, and `caution` where sham was not taken away. Each interval is of its
        bin alone. Annotations ``bad…`` and ``current on`` are left out.

    Raises
    ------
    UnusableRecording
        If less than 20 s were recorded before the first block.
    AnalysisError
        If channels are missing, recordings overlap in time, or the time before has both states of
        the eyes and none is asked for.
    """
    first_s = min(block.start_s for block in blocks if block.kind != "rest")
    spans = _before(blocks, first_s, eyes)
    parts = [_series(raw, channels, band_hz, 0.0, span_s=span) for span in spans]
    pre, pre_s = (np.concatenate(each) for each in zip(*parts, strict=True))
    if pre.size * SEGMENT_S < LEAST_BEFORE_S:
        raise UnusableRecording(
            f"{pre.size * SEGMENT_S:.0f} s before the first block: an after-effect of the session "
            f"needs {LEAST_BEFORE_S:g} s to be held against"
        )
    ordered = sorted(after, key=lambda one: one[1])
    for (one, start_s, name), (_, next_s, next_name) in itertools.pairwise(ordered):
        if next_s < start_s + one.n_times / float(one.info["sfreq"]) - 1e-6:
            raise AnalysisError(
                f"{next_name} begins before {name} is over: check their minutes after the drive"
            )
    parts = [_series(one, channels, band_hz, start_s) for one, start_s, _ in ordered]
    post, post_s = (np.concatenate(each) for each in zip(*parts, strict=True))
    bins = _bins(pre, pre_s - first_s, post, post_s)
    if sham is not None:
        sham_pre, sham_pre_s = _series(sham[0], channels, band_hz, 0.0)
        sham_post, sham_post_s = _series(sham[1], channels, band_hz, ordered[0][1])
        if sham_pre.size * SEGMENT_S < LEAST_BEFORE_S:
            raise UnusableRecording(
                f"sham: {sham_pre.size * SEGMENT_S:.0f} s before, {LEAST_BEFORE_S:g} s are needed"
            )
        back_s = sham_pre_s - sham_pre_s[-1] - SEGMENT_S
        _less(bins, _bins(sham_pre, back_s, sham_post, sham_post_s))
    for one in bins:
        half = 1.96 * math.sqrt(one.pop("variance"))
        one["ci95_ln"] = [one["ln_ratio"] - half, one["ln_ratio"] + half]
        one.pop("edge_s")
    return {
        "band_hz": list(band_hz),
        "before_s": pre.size * SEGMENT_S,
        "bins": bins,
        "reason": None if bins else "no bin: under 10 s of the first minute and 30 s of any other",
        "caution": None if all(one["minus_sham"] for one in bins) else CAUTION,
    }


def _before(blocks: Sequence[Block], first_s: float, eyes: str) -> list[tuple[float, float]]:
    """Spans before the first block; where the table knows rest, those of the eyes asked for."""
    if eyes not in ("", "open", "closed"):
        raise AnalysisError(f"eyes {eyes!r}: write open or closed")
    rest = [block for block in blocks if block.kind == "rest" and block.stop_s <= first_s]
    known = sorted({block.eyes for block in rest})
    if not rest:
        return [(0.0, first_s)]
    if not eyes and len(known) > 1:
        raise AnalysisError(
            f"rest before the sweep has eyes {' and '.join(known)}: alpha differs more between "
            "them than after any drive; say with --after-eyes what the recordings after have"
        )
    chosen = [(block.start_s, block.stop_s) for block in rest if not eyes or block.eyes == eyes]
    if not chosen:
        raise AnalysisError(f"no rest with eyes {eyes} before the sweep: there is {known[0]}")
    return chosen


def _series(
    raw: Any,
    channels: Sequence[str],
    band_hz: tuple[float, float],
    start_s: float,
    *,
    span_s: tuple[float, float] | None = None,
) -> tuple[Array, Array]:
    """Power of the segments that nothing speaks against, and their starts from `start_s` on."""
    data, _ = signal_of(raw, channels, None)
    sfreq = float(raw.info["sfreq"])
    from_s, to_s = (0.0, data.shape[1] / sfreq) if span_s is None else span_s
    power = segment_power(data, sfreq, from_s, to_s - from_s, band_hz)
    begins = from_s + np.arange(power.size) * SEGMENT_S
    kept = np.ones(power.size, dtype=bool)
    bad = [
        (onset, onset + duration)
        for onset, duration, text in zip(
            onsets_s(raw), raw.annotations.duration, raw.annotations.description, strict=True
        )
        if text.lower().startswith("bad")
    ]
    for begin_s, end_s in [*bad, *spans_of(raw, CURRENT_ON)]:
        kept &= (begins + SEGMENT_S <= begin_s) | (begins >= end_s)
    return power[kept], np.asarray(start_s + begins[kept])


def _bins(pre: Array, pre_s: Array, post: Array, post_s: Array) -> list[dict[str, Any]]:
    """Every bin with enough of it recorded."""
    found = []
    edge_s, width_s = 0.0, FIRST_S
    last_s = float(post_s[-1]) if post_s.size else 0.0
    while edge_s <= last_s:
        inside = (post_s >= max(edge_s, SETTLE_S)) & (post_s + SEGMENT_S <= edge_s + width_s + 1e-9)
        least = max(MIN_SEGMENTS, (LEAST_LATER_S if edge_s else LEAST_S) / SEGMENT_S - 1.0)
        if inside.sum() >= least:
            change = change_of(pre, pre_s, post[inside], post_s[inside])
            if change is not None:
                found.append(
                    {
                        "from_s": float(post_s[inside][0]),
                        "to_s": float(post_s[inside][-1]) + SEGMENT_S,
                        "n_segments": int(inside.sum()),
                        "ln_ratio": change[0],
                        "minus_sham": False,
                        "variance": change[1],
                        "edge_s": edge_s,
                    }
                )
        edge_s, width_s = edge_s + width_s, LATER_S
    return found


def _less(bins: list[dict[str, Any]], sham: Sequence[dict[str, Any]]) -> None:
    """Take the sham visit's change away, in every bin that it has too."""
    at = {one["edge_s"]: one for one in sham}
    for one in bins:
        if (other := at.get(one["edge_s"])) is not None:
            one["ln_ratio"] -= other["ln_ratio"]
            one["variance"] += other["variance"]
            one["minus_sham"] = True
