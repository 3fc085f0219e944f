"""After-effect of each block: power after against before, less sham."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.profile_blocks import Block

__all__ = ["after_effects", "band_power"]

Array = NDArray[np.float64]

SEGMENT_S = 2.0
LEAST_S = 10.0
MOST_S = 60.0


def after_effects(
    data: Array,
    sfreq_hz: float,
    rows: Sequence[Block],
    gaps_s: Array,
    bands_hz: dict[float, tuple[float, float]],
) -> list[dict[str, Any]]:
    """Change of power in the band, per frequency and level.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_times)
        Unfiltered signal.
    sfreq_hz : float
        Rate.
    rows : sequence of Block
        By start.
    gaps_s : ndarray, shape (n_blocks,)
        Seconds without drive after each.
    bands_hz : dict
        Band of each drive frequency.

    Returns
    -------
    list of dict
        `frequency_hz`, `level`, `n_blocks`, `ln_ratio` (0.5 s to at most 60 s after, over as long
        before), `ci95_ln` and `minus_sham` (whether sham's was taken away); empty where gaps are
        shorter than 10 s. Intervals are those of segments within blocks; a difference between
        blocks that is not stimulation's is in them only where blocks were repeated.
    """
    changes: dict[tuple[str, float, float], list[tuple[float, float]]] = {}
    before_s = np.r_[rows[0].start_s, gaps_s[:-1]]
    for row, before, after in zip(rows, before_s.tolist(), gaps_s.tolist(), strict=True):
        if row.kind not in ("drive", "sham") or min(before, after) < LEAST_S:
            continue
        length = min(MOST_S, before, after) - 0.5
        for hz, band in bands_hz.items():
            if row.kind == "drive" and hz != row.frequency_hz:
                continue
            post = _segments(data, sfreq_hz, row.stop_s + 0.5, length, band)
            pre = _segments(data, sfreq_hz, row.start_s - length, length, band)
            value = math.log(post.mean() / pre.mean())
            variance = sum(float(np.var(p, ddof=1) / p.size / p.mean() ** 2) for p in (pre, post))
            level = row.level if row.kind == "drive" else -1.0
            changes.setdefault((row.kind, hz, level), []).append((value, variance))
    found = []
    for (kind, hz, level), each in sorted(changes.items()):
        if kind != "drive":
            continue
        value, variance = _mean(each)
        sham = changes.get(("sham", hz, -1.0))
        if sham:
            less, more = _mean(sham)
            value, variance = value - less, variance + more
        half = 1.96 * math.sqrt(variance)
        found.append(
            {
                "frequency_hz": hz,
                "level": level,
                "n_blocks": len(each),
                "ln_ratio": value,
                "ci95_ln": [value - half, value + half],
                "minus_sham": bool(sham),
            }
        )
    return found


def band_power(
    data: Array, sfreq_hz: float, start_s: float, length_s: float, band_hz: tuple[float, float]
) -> float:
    """Mean power in the band over a stretch of 2 s or more."""
    return float(_segments(data, sfreq_hz, start_s, length_s, band_hz).mean())


def _mean(each: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Mean and its variance: of the segments, or of the blocks where they scatter more."""
    values = np.array([value for value, _ in each])
    within = float(np.mean([variance for _, variance in each])) / values.size
    between = float(np.var(values, ddof=1)) / values.size if values.size > 1 else 0.0
    return float(values.mean()), max(within, between)


def _segments(
    data: Array, sfreq_hz: float, start_s: float, length_s: float, band_hz: tuple[float, float]
) -> Array:
    """Power in the band of every segment, mean over channels."""
    size = round(SEGMENT_S * sfreq_hz)
    first = round(start_s * sfreq_hz)
    n = int(length_s * sfreq_hz) // size
    pieces = data[:, first : first + n * size].reshape(data.shape[0], n, size)
    pieces = pieces - pieces.mean(axis=-1, keepdims=True)
    freqs = np.fft.rfftfreq(size, 1.0 / sfreq_hz)
    within = (freqs >= band_hz[0]) & (freqs <= band_hz[1])
    power = np.abs(np.fft.rfft(pieces * np.hanning(size), axis=-1)) ** 2
    return np.asarray(power[..., within].sum(axis=-1).mean(axis=0))
