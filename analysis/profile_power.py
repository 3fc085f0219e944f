"""After-effect of each block: power after against before, less sham, in bins of time.

The first bin is the first minute, the others are two minutes long, as far as the gap goes. Each
block's change and its variance are those of `analysis.statistics.compare_series`: slow fluctuation
of power is in them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.profile_blocks import Block
from analysis.statistics import MIN_SEGMENTS, compare_series

__all__ = [
    "BEFORE_S",
    "SETTLE_S",
    "after_effects",
    "band_power",
    "bins_within",
    "change_of",
    "segment_power",
]

Array = NDArray[np.float64]

SEGMENT_S = 1.0
SETTLE_S = 0.5
LEAST_S = 10.0  # of the time before, and of the first bin
BEFORE_S = 60.0
FIRST_S, LATER_S = 60.0, 120.0
LEAST_LATER_S = 30.0  # of a later bin
N_BOOTSTRAP = 400


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
        `frequency_hz`, `level`, `n_blocks`, `ln_ratio` with `ci95_ln` (0.5 s to at most 60 s after,
        over at most a minute before), `minus_sham` (whether sham's was taken away) and `bins` (the
        same for every bin that gaps reach: `from_s`, `to_s`, `n_blocks`, `ln_ratio`, `ci95_ln`,
        `minus_sham`); empty where gaps are shorter than 10 s. Every interval is of its bin alone. A
        difference between blocks that is not stimulation's is in them only where blocks were
        repeated.
    """
    changes: dict[tuple[str, float, float, float], list[tuple[float, float]]] = {}
    ends_s: dict[tuple[float, float, float], list[float]] = {}
    before_s = np.r_[rows[0].start_s, gaps_s[:-1]]
    for row, before, after in zip(rows, before_s.tolist(), gaps_s.tolist(), strict=True):
        if row.kind not in ("drive", "sham") or min(before, after) < LEAST_S:
            continue
        length_s = min(BEFORE_S, before) - SETTLE_S
        for hz, band in bands_hz.items():
            if row.kind == "drive" and hz != row.frequency_hz:
                continue
            start_s = row.start_s - length_s
            pre = segment_power(data, sfreq_hz, start_s, length_s, band)
            level = row.level if row.kind == "drive" else -1.0
            for from_s, to_s in bins_within(after):
                begin_s = row.stop_s + from_s
                post = segment_power(data, sfreq_hz, begin_s, to_s - from_s, band)
                found = change_of(pre, start_s, post, begin_s)
                if found is None:
                    continue
                changes.setdefault((row.kind, hz, level, _edge(from_s)), []).append(found)
                ends_s.setdefault((hz, level, _edge(from_s)), []).append(to_s)
    rows_of: dict[tuple[float, float], list[dict[str, Any]]] = {}
    for (kind, hz, level, edge_s), each in sorted(changes.items()):
        if kind != "drive":
            continue
        one = _less_sham(each, changes.get(("sham", hz, -1.0, edge_s), []))
        from_s = max(edge_s, SETTLE_S)
        ends = {"from_s": from_s, "to_s": float(np.median(ends_s[hz, level, edge_s]))}
        rows_of.setdefault((hz, level), []).append({**ends, "n_blocks": len(each), **one})
    return [
        {
            "frequency_hz": hz,
            "level": level,
            **{k: bins[0][k] for k in ("n_blocks", "ln_ratio", "ci95_ln", "minus_sham")},
            "bins": bins,
        }
        for (hz, level), bins in rows_of.items()
        if bins[0]["from_s"] == SETTLE_S
    ]


def bins_within(available_s: float) -> list[tuple[float, float]]:
    """Bins of the time after a drive that reaches this far; each (from, to) as covered."""
    found = []
    if available_s >= LEAST_S:
        found.append((SETTLE_S, min(FIRST_S, available_s)))
    from_s = FIRST_S
    while available_s >= from_s + LEAST_LATER_S:
        found.append((from_s, min(from_s + LATER_S, available_s)))
        from_s += LATER_S
    return found


def _edge(from_s: float) -> float:
    """Nominal start of a bin."""
    return 0.0 if from_s == SETTLE_S else from_s


def change_of(
    pre: Array, pre_s: float | Array, post: Array, post_s: float | Array
) -> tuple[float, float] | None:
    """Natural log of the ratio of power, and its variance; None with fewer than 8 segments.

    Parameters
    ----------
    pre, post : ndarray, shape (n_segments,)
        Power of segments of 1 s.
    pre_s, post_s : float or ndarray, shape (n_segments,)
        Start of the first segment where they follow each other, or of each.
    """
    if min(pre.size, post.size) < MIN_SEGMENTS or min(pre.min(), post.min()) <= 0.0:
        return None
    found = compare_series(
        pre, _starts(pre, pre_s), post, _starts(post, post_s), step_s=SEGMENT_S,
        n_bootstrap=N_BOOTSTRAP,
    )  # fmt: skip
    low, high = found.interval_ln
    return found.ln_ratio, (0.5 * (high - low) / 1.96) ** 2


def _starts(power: Array, start_s: float | Array) -> Array:
    """Start of every segment."""
    if isinstance(start_s, float):
        return np.asarray(start_s + np.arange(power.size) * SEGMENT_S)
    return start_s


def _less_sham(
    each: Sequence[tuple[float, float]], sham: Sequence[tuple[float, float]]
) -> dict[str, Any]:
    """Mean of the blocks less that of sham, with its interval."""
    value, variance = _mean(each)
    if sham:
        less, more = _mean(sham)
        value, variance = value - less, variance + more
    half = 1.96 * math.sqrt(variance)
    return {
        "ln_ratio": value,
        "ci95_ln": [value - half, value + half],
        "minus_sham": bool(sham),
    }


def band_power(
    data: Array, sfreq_hz: float, start_s: float, length_s: float, band_hz: tuple[float, float]
) -> float:
    """Mean power in the band over a stretch of 2 s or more."""
    return float(segment_power(data, sfreq_hz, start_s, length_s, band_hz).mean())


def _mean(each: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Mean and its variance: of the segments, or of the blocks where they scatter more."""
    values = np.array([value for value, _ in each])
    within = float(np.mean([variance for _, variance in each])) / values.size
    between = float(np.var(values, ddof=1)) / values.size if values.size > 1 else 0.0
    return float(values.mean()), max(within, between)


def segment_power(
    data: Array, sfreq_hz: float, start_s: float, length_s: float, band_hz: tuple[float, float]
) -> Array:
    """Power in the band of every segment of 1 s, mean over channels; shape (n_segments,)."""
    size = round(SEGMENT_S * sfreq_hz)
    first = round(start_s * sfreq_hz)
    n = max(0, min(int(length_s * sfreq_hz + 1e-6), data.shape[1] - first)) // size
    pieces = data[:, first : first + n * size].reshape(data.shape[0], n, size)
    pieces = pieces - pieces.mean(axis=-1, keepdims=True)
    freqs = np.fft.rfftfreq(size, 1.0 / sfreq_hz)
    within = (freqs >= band_hz[0]) & (freqs <= band_hz[1])
    power = np.abs(np.fft.rfft(pieces * np.hanning(size), axis=-1)) ** 2
    return np.asarray(power[..., within].sum(axis=-1).mean(axis=0))
