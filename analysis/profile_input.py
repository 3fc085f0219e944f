"""What a response profile reads: channels, blocks of rows, bands, the drive; what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError, UnusableRecording
from analysis.marks import AT_REST, CURRENT_ON, onsets_s, set_marks, spans_of
from analysis.profile_blocks import Block, Mode, check_current
from analysis.profile_locking import HALF_BAND_HZ, band_of, phasors

__all__ = [
    "append_sham",
    "append_visit",
    "bands_of",
    "check_marks",
    "drive_phasor",
    "grouped",
    "rest_spans",
    "signal_of",
]

Array = NDArray[np.float64]

LEAST_REST_S = 10.0
SETTLED_S = 2.0  # after a drive, before rest


def signal_of(
    raw: Any, picks: Sequence[str] | None, drive_channel: str | None
) -> tuple[Array, tuple[str, ...]]:
    """Data of the channels asked for, shape (n_channels, n_times), and their names."""
    if picks is not None:
        unknown = [name for name in picks if name not in raw.ch_names]
        if unknown:
            have = ", ".join(raw.ch_names[:12])
            raise AnalysisError(f"no channel {', '.join(unknown)}; there are {have}")
        names = list(picks)
    else:
        types = raw.get_channel_types()
        names = [
            name
            for name, kind in zip(raw.ch_names, types, strict=True)
            if kind == "eeg" and name not in raw.info["bads"] and name != drive_channel
        ]
    if not names:
        raise UnusableRecording("no EEG channel to read; name channels with picks")
    data = np.asarray(raw.get_data(picks=names))
    if not np.all(np.isfinite(data)):
        raise UnusableRecording("the recording holds samples that are no numbers")
    return data, tuple(names)


def grouped(rows: Sequence[Block], *, trains: bool) -> list[list[Block]]:
    """Rows of one block together: by name; without one, a row is a block, and all trains are."""
    found: dict[tuple[Any, ...], list[Block]] = {}
    for i, row in enumerate(rows):
        alone = not trains and not row.group
        found.setdefault((*row.key, i if alone else -1), []).append(row)
    return list(found.values())


def bands_of(
    frequencies: Sequence[float], band_hz: tuple[float, float] | None
) -> dict[float, tuple[float, float]]:
    """Band of the phasors for each drive."""
    if band_hz is not None:
        outside = [f for f in frequencies if not band_hz[0] < f < band_hz[1]]
        if outside:
            listed = ", ".join(f"{f:g}" for f in outside)
            raise AnalysisError(f"band {band_hz[0]:g}-{band_hz[1]:g} Hz leaves out {listed} Hz")
        return dict.fromkeys(frequencies, band_hz)
    common = band_of(frequencies)
    if common is not None:
        return dict.fromkeys(frequencies, common)
    return {f: (max(1.0, f - HALF_BAND_HZ), f + HALF_BAND_HZ) for f in frequencies}


def drive_phasor(raw: Any, channel: str | None, frequencies: Sequence[float]) -> Any:
    """Phasor of the drive channel about its frequencies, shape (n_times,)."""
    if channel is None:
        return None
    if channel not in raw.ch_names:
        raise AnalysisError(f"no drive channel {channel}")
    sfreq = float(raw.info["sfreq"])
    band = (max(0.5, min(frequencies) - 2.0), max(frequencies) + 2.0)
    return phasors(np.asarray(raw.get_data(picks=[channel])), sfreq, band)[0]


def check_marks(raw: Any, mode: Mode, reads_s: Sequence[tuple[float, float]]) -> None:
    """Refuse reads under what the recording itself marks as current."""
    check_current(mode, reads_s, spans_of(raw, CURRENT_ON))


def rest_spans(raw: Any, rows: Sequence[Block], gaps_s: Array) -> list[tuple[float, float]]:
    """Return where nothing drove, as far as it is known.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording. What it marks as being at rest is taken, and nothing else then; what it
        marks as being under current is not.
    rows : sequence of Block
        By start; none for a recording of rest alone.
    gaps_s : ndarray, shape (n_blocks,)
        Seconds without drive after each.

    Returns
    -------
    list of (float, float)
        From and to, seconds.
    """
    spans = spans_of(raw, AT_REST)
    if not spans and not rows:
        spans = [(0.0, raw.n_times / float(raw.info["sfreq"]))]
    elif not spans:
        spans = [(r.start_s, r.stop_s) for r in rows if r.kind == "sham"]
        spans += [
            (r.stop_s + SETTLED_S, r.stop_s + gap)
            for r, gap in zip(rows, gaps_s.tolist(), strict=True)
            if gap >= LEAST_REST_S
        ]
        spans += [(0.0, rows[0].start_s)] if rows[0].start_s >= LEAST_REST_S else []
    for begin_s, end_s in spans_of(raw, CURRENT_ON):
        spans = [
            part
            for start, stop in spans
            for part in ((start, min(stop, begin_s)), (max(start, end_s + SETTLED_S), stop))
            if part[0] < part[1]
        ]
    return spans


def append_sham(raw: Any, sham: Any, blocks: Sequence[Block]) -> tuple[Any, list[Block]]:
    """Put a recording without drive behind the recording, as blocks of sham.

    Parameters
    ----------
    raw, sham : mne.io.BaseRaw
        Same channels and rate; unchanged.
    blocks : sequence of Block
        Table of `raw`.

    Returns
    -------
    raw : mne.io.BaseRaw
        Both, end to end.
    blocks : list of Block
        The table with blocks of sham, each as long as the median drive.

    Raises
    ------
    AnalysisError
        If channels or rates differ, or sham is shorter than a block.
    """
    import mne

    channels = [name for name in raw.ch_names if name in sham.ch_names]
    if not channels or float(raw.info["sfreq"]) != float(sham.info["sfreq"]):
        raise AnalysisError(
            f"sham: {len(channels)} channels in common, {sham.info['sfreq']:g} Hz against "
            f"{raw.info['sfreq']:g} Hz; record it like the drives"
        )
    drives = [b for b in blocks if b.kind == "drive"]
    length_s = float(np.median([b.stop_s - b.start_s for b in drives])) if drives else 0.0
    sfreq = float(raw.info["sfreq"])
    n_blocks = int(sham.n_times / sfreq // length_s) if length_s > 0.0 else 0
    if n_blocks < 1:
        raise AnalysisError(
            f"sham of {sham.n_times / sfreq:.0f} s is shorter than a block of {length_s:g} s"
        )
    both = mne.concatenate_raws(
        [raw.copy().pick(channels).load_data(), sham.copy().pick(channels).load_data()],
        verbose="ERROR",
    )
    start_s = raw.n_times / sfreq
    last = max((b.order for b in blocks), default=0)
    numbered = any(b.order for b in blocks)
    more = [
        Block(
            drives[0].frequency_hz,
            drives[0].level,
            "sham",
            start_s + i * length_s,
            start_s + (i + 1) * length_s,
            last + 1 + i if numbered else 0,
        )
        for i in range(n_blocks)
    ]
    return both, [*blocks, *more]


def append_visit(
    raw: Any, visit: Any, blocks: Sequence[Block], more: Sequence[Block]
) -> tuple[Any, list[Block]]:
    """Put another visit behind a recording, its marks and its rows with it.

    Parameters
    ----------
    raw, visit : mne.io.BaseRaw
        Same rate, and channels in common, which are kept; unchanged.
    blocks, more : sequence of Block
        Table of `raw`, and of `visit`.

    Returns
    -------
    raw : mne.io.BaseRaw
        Both, end to end.
    blocks : list of Block
        Both tables, on the time of both.

    Raises
    ------
    AnalysisError
        If channels or rates differ, or a row of `more` lies outside its recording.
    """
    import mne

    sfreq = float(raw.info["sfreq"])
    channels = [name for name in raw.ch_names if name in visit.ch_names]
    if not channels or float(visit.info["sfreq"]) != sfreq:
        raise AnalysisError(
            f"visits: {len(channels)} channels in common, {sfreq:g} Hz against "
            f"{visit.info['sfreq']:g} Hz; record them alike"
        )
    long_s, begin_s = visit.n_times / sfreq, raw.n_times / sfreq
    if any(b.start_s < 0.0 or b.stop_s > long_s + 1e-6 for b in more):
        raise AnalysisError(f"visits: a block lies outside its recording of {long_s:g} s")
    both = mne.concatenate_raws(
        [one.copy().pick(channels).load_data() for one in (raw, visit)], verbose="ERROR"
    )
    set_marks(
        both,
        np.r_[onsets_s(raw), onsets_s(visit) + begin_s],
        np.r_[raw.annotations.duration, visit.annotations.duration],
        [*raw.annotations.description, *visit.annotations.description],
    )
    last = max((b.order for b in blocks), default=0)
    moved = [
        replace(
            b,
            start_s=b.start_s + begin_s,
            stop_s=b.stop_s + begin_s,
            order=b.order + last if b.order else 0,
        )
        for b in more
    ]
    return both, [*blocks, *moved]
