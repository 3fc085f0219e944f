"""Exploratory block of a profile: what else changed, tested against nothing but its own sham.

Leakage: locking to twice and half the drive's frequency in the driven blocks. Aperiodic exponent
(30-45 Hz) and Lempel-Ziv complexity: after each block against before, in stretches without a drive.
None of it is corrected for the number of looks, and none is part of the verdict.

References
----------
Lempel & Ziv (1976), *IEEE Trans. Inf. Theory* 22:75. Schartner et al. (2015), *PLoS ONE*
10:e0133532 (complexity of EEG, normalised by a shuffled signal).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.profile_blocks import Block
from analysis.profile_curve import Measured, shape_of
from analysis.profile_locking import HALF_BAND_HZ, continuous_locking, phasors
from analysis.profile_permutation import coherent

__all__ = ["changes_after", "leakage"]

Array = NDArray[np.float64]

APERIODIC_HZ = (30.0, 45.0)
LEAST_S, MOST_S, SETTLE_S = 10.0, 60.0, 0.5
COMPLEXITY_HZ = 100.0  # rate that the signal is brought to before its complexity is counted
COMPLEXITY_S = 10.0


def leakage(
    data: Array, sfreq_hz: float, groups: Sequence[Sequence[Block]]
) -> list[dict[str, Any]]:
    """Locking to twice and half the drive.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_times)
        Unfiltered signal.
    sfreq_hz : float
        Rate.
    groups : sequence of sequence of Block
        Rows of each block.

    Returns
    -------
    list of dict
        `ratio` (2 or 0.5), `frequency_hz` of the drive, `level`, `response_plv2` with interval, and
        `sham_plv2` (squared locking less its null in sham, None without sham).
    """
    drives = [g for g in groups if g[0].kind == "drive"]
    sham = [g for g in groups if g[0].kind == "sham"]
    rows = []
    cells = sorted({(g[0].level, g[0].frequency_hz) for g in drives})
    for ratio in (2.0, 0.5):
        for level, hz in cells:
            at_hz = ratio * hz
            band = (max(1.0, at_hz - HALF_BAND_HZ), at_hz + HALF_BAND_HZ)
            if at_hz < 2.0 or band[1] >= 0.45 * sfreq_hz:
                continue
            unit = phasors(data, sfreq_hz, band)
            try:
                found = [
                    continuous_locking(data, unit, sfreq_hz, g, frequency_hz=at_hz)
                    for g in drives
                    if (g[0].level, g[0].frequency_hz) == (level, hz)
                ]
                off = [
                    continuous_locking(data, unit, sfreq_hz, g, frequency_hz=at_hz) for g in sham
                ]
            except AnalysisError:
                continue
            n = len(found)
            best, low, high = coherent(
                Measured(
                    np.full(n, at_hz), np.full(n, level), np.array([f.plv2 for f in found]),
                    np.array([f.null for f in found]), np.arange(float(n)),
                    np.full(n, shape_of([f.virtual for f in found])),
                )
            )  # fmt: skip
            rows.append(
                {
                    "ratio": ratio,
                    "frequency_hz": hz,
                    "level": level,
                    "response_plv2": best,
                    "response_ci95_plv2": [low, high],
                    "sham_plv2": float(np.mean([f.excess for f in off])) if off else None,
                }
            )
    return rows


def changes_after(
    data: Array, sfreq_hz: float, rows: Sequence[Block], gaps_s: Array
) -> dict[str, Any]:
    """Change of exponent and complexity, after less before, of drives less that of sham.

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

    Returns
    -------
    dict
        `exponent` and `complexity`, each with `n_drive`, `n_sham`, `change`, `ci95` (of blocks;
        Student) and `minus_sham`; None where fewer than three driven blocks have gaps of 10 s.
    """
    before_s = np.r_[rows[0].start_s, gaps_s[:-1]]
    found: dict[str, dict[str, list[float]]] = {
        name: {"drive": [], "sham": []} for name in ("exponent", "complexity")
    }
    for row, before, after in zip(rows, before_s.tolist(), gaps_s.tolist(), strict=True):
        length = min(MOST_S, before, after) - SETTLE_S
        if row.kind not in ("drive", "sham") or length < LEAST_S - SETTLE_S:
            continue
        post = _part(data, sfreq_hz, row.stop_s + SETTLE_S, length)
        pre = _part(data, sfreq_hz, row.start_s - length, length)
        if 0.45 * sfreq_hz > APERIODIC_HZ[1]:
            change = _exponent(post, sfreq_hz) - _exponent(pre, sfreq_hz)
            found["exponent"][row.kind].append(change)
        change = _complexity(post, sfreq_hz) - _complexity(pre, sfreq_hz)
        found["complexity"][row.kind].append(change)
    return {name: _less_sham(each["drive"], each["sham"]) for name, each in found.items()}


def _less_sham(drive: Sequence[float], sham: Sequence[float]) -> dict[str, Any] | None:
    """Mean of the drives less that of sham; one sham block has the spread of the drives."""
    from scipy.stats import t

    if len(drive) < 3:
        return None
    change = float(np.mean(drive)) - (float(np.mean(sham)) if sham else 0.0)
    spread = float(np.std(drive, ddof=1))
    se = spread * np.sqrt(1.0 / len(drive) + (1.0 / len(sham) if sham else 0.0))
    half = float(t.ppf(0.975, len(drive) - 1) * se)
    return {
        "n_drive": len(drive),
        "n_sham": len(sham),
        "change": change,
        "ci95": [change - half, change + half],
        "minus_sham": bool(sham),
    }


def _part(data: Array, sfreq_hz: float, start_s: float, length_s: float) -> Array:
    first = round(start_s * sfreq_hz)
    part = data[:, first : first + int(length_s * sfreq_hz)]
    return np.asarray(part - part.mean(axis=-1, keepdims=True))


def _exponent(part: Array, sfreq_hz: float) -> float:
    """Minus the slope of log power over log frequency, 30-45 Hz."""
    from scipy.signal import welch

    hz, power = welch(part, sfreq_hz, nperseg=min(part.shape[1], round(2.0 * sfreq_hz)))
    within = (hz >= APERIODIC_HZ[0]) & (hz <= APERIODIC_HZ[1])
    return -float(np.polyfit(np.log(hz[within]), np.log(power[:, within].mean(axis=0)), 1)[0])


def _complexity(part: Array, sfreq_hz: float) -> float:
    """Lempel-Ziv complexity of the envelope above its mean, over that of the same shuffled."""
    from scipy.signal import hilbert

    every = max(1, int(sfreq_hz // COMPLEXITY_HZ))
    size = np.abs(hilbert(part, axis=-1))[:, ::every]
    n = min(size.shape[1], int(COMPLEXITY_S * sfreq_hz / every))
    rng = np.random.default_rng(0)
    values = []
    for one in size[:8, :n]:
        bits = bytes((one > one.mean()).astype(np.uint8))
        shuffled = bytes(rng.permutation(np.frombuffer(bits, np.uint8)))
        values.append(_phrases(bits) / _phrases(shuffled))
    return float(np.mean(values))


def _phrases(bits: bytes) -> int:
    """How many phrases the sequence has that were not there before."""
    count, start, length, n = 0, 0, 1, len(bits)
    while start + length <= n:
        if bits[start : start + length] in bits[: start + length - 1]:
            length += 1
            continue
        count += 1
        start += length
        length = 1
    return count + (1 if length > 1 else 0)
