"""What a response profile reads: channels, blocks of rows, bands, the drive; what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError, UnusableRecording
from analysis.marks import CURRENT_ON, spans_of
from analysis.profile_blocks import Block, Mode, check_current
from analysis.profile_locking import HALF_BAND_HZ, band_of, phasors

__all__ = ["append_sham", "bands_of", "check_marks", "drive_phasor", "grouped", "signal_of"]

Array = NDArray[np.float64]


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
    current = spans_of(raw, CURRENT_ON)
    check_current(mode, reads_s, current)


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
