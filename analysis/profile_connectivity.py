"""Exploratory: lagged connectivity at the drive's frequency, driven blocks against none.

Debiased squared weighted phase lag index (Vinck 2011), mean over the pairs of the channels read:
it is blind to what reaches two channels at once. Each block's value is taken less that of the gap
after it, over as many seconds and at the same frequency (in sham that of its virtual reference),
because an undriven rhythm has coupling of its own at its own frequency. Tested by permutation of
whole blocks: labels of drive and sham where there are enough sham blocks for a p of 0.05, else
signs of the differences to the gaps.

References
----------
Vinck et al. 2011, NeuroImage 55:1548-1565.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.connectivity_measures import sum_epochs
from analysis.profile_blocks import Block

__all__ = ["connectivity_response"]

Array = NDArray[np.float64]

EPOCH_S = 2.0
SETTLE_S, GAP_SETTLE_S = 1.0, 2.0
LEAST_EPOCHS = 8
LEAST_BLOCKS = 6
ENOUGH_LABELLINGS = 40
CAUTION = (
    "the index rises with the strength of the rhythm: a rhythm that is only stronger in driven "
    "blocks looks better connected"
)


def connectivity_response(
    data: Array,
    sfreq_hz: float,
    rows: Sequence[Block],
    gaps_s: Array,
    *,
    seed: int = 0,
    n_draws: int = 2000,
) -> dict[str, Any]:
    """Compare connectivity in driven blocks with that in sham blocks or in gaps.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_times)
        Unfiltered signal.
    sfreq_hz : float
        Rate.
    rows : sequence of Block
        By start; none of them under current.
    gaps_s : ndarray, shape (n_blocks,)
        Seconds without drive after each.
    seed, n_draws : int
        Of the permutation.

    Returns
    -------
    dict
        `change` (mean over driven blocks of block less gap; less that of sham where `against` is
        sham), `p` (two-sided, not corrected for anything), `drive` and `gap` (mean index), how many
        blocks and pairs, `reason` where there is none, and `caution`.
    """
    n = data.shape[0]
    seeds, targets = np.triu_indices(n, 1)
    found: dict[str, Any] = {
        "measure": "wpli2_debiased", "n_pairs": int(seeds.size), "n_drive": 0, "n_sham": 0,
        "against": None, "drive": None, "gap": None, "change": None, "p": None,
        "reason": None, "caution": CAUTION,
    }  # fmt: skip
    if n < 2:
        return found | {"reason": "one channel: connectivity needs two"}
    each: dict[str, list[tuple[float, float]]] = {"drive": [], "sham": []}
    for row, gap in zip(rows, gaps_s.tolist(), strict=True):
        length_s = min(row.stop_s - row.start_s - SETTLE_S, gap - GAP_SETTLE_S)
        n_epochs = int(length_s / EPOCH_S + 1e-9)
        if row.kind not in each or n_epochs < LEAST_EPOCHS:
            continue
        on, off = (
            _index(data, sfreq_hz, start_s, n_epochs, row.frequency_hz, seeds, targets)
            for start_s in (row.stop_s - n_epochs * EPOCH_S, row.stop_s + GAP_SETTLE_S)
        )
        each[row.kind].append((on, off))
    drive, sham = (np.array([a - b for a, b in each[kind]]) for kind in ("drive", "sham"))
    found |= {"n_drive": int(drive.size), "n_sham": int(sham.size)}
    if drive.size < LEAST_BLOCKS:
        least_s = GAP_SETTLE_S + LEAST_EPOCHS * EPOCH_S
        return found | {
            "reason": f"{drive.size} driven blocks with gaps of {least_s:g} s: {LEAST_BLOCKS} are "
            "the least"
        }
    labelled = sham.size > 0 and math.comb(drive.size + sham.size, sham.size) >= ENOUGH_LABELLINGS
    rng = np.random.default_rng(seed)
    if labelled:
        change, p = _labels(drive, sham, rng, n_draws)
    else:
        change, p = _signs(drive, rng, n_draws)
    mean_on, mean_off = np.array(each["drive"]).mean(axis=0).tolist()
    against = "sham" if labelled else "gaps"
    more = {"against": against, "drive": mean_on, "gap": mean_off, "change": change, "p": p}
    return found | more


def _index(
    data: Array,
    sfreq_hz: float,
    start_s: float,
    n_epochs: int,
    frequency_hz: float,
    seeds: NDArray[np.intp],
    targets: NDArray[np.intp],
) -> float:
    """Index at one frequency, mean over pairs."""
    size = round(EPOCH_S * sfreq_hz)
    first = round(start_s * sfreq_hz)
    part = data[:, first : first + n_epochs * size].reshape(data.shape[0], n_epochs, size)
    part = part - part.mean(axis=-1, keepdims=True)
    wave = np.hanning(size) * np.exp(-2j * np.pi * frequency_hz * np.arange(size) / sfreq_hz)
    value = part @ wave
    table = np.stack([value.real, value.imag], axis=1)[:, :, None, None, :]
    sums = sum_epochs(np.ascontiguousarray(table), seeds, targets, ("wpli2_debiased",))
    return float(sums.estimate("wpli2_debiased").mean())


def _labels(
    drive: Array, sham: Array, rng: np.random.Generator, n_draws: int
) -> tuple[float, float]:
    """Difference of means, and p of which blocks are called sham."""
    both = np.r_[drive, sham]
    change = float(drive.mean() - sham.mean())
    drawn = rng.permuted(np.tile(both, (n_draws, 1)), axis=1)
    other = drawn[:, : drive.size].mean(axis=1) - drawn[:, drive.size :].mean(axis=1)
    return change, _p(change, other)


def _signs(drive: Array, rng: np.random.Generator, n_draws: int) -> tuple[float, float]:
    """Mean, and p of the signs."""
    change = float(drive.mean())
    drawn = rng.choice((-1.0, 1.0), (n_draws, drive.size)) @ drive / drive.size
    return change, _p(change, drawn)


def _p(change: float, drawn: Array) -> float:
    """Two-sided p of a permutation."""
    return (1 + int(np.sum(np.abs(drawn) >= abs(change) - 1e-12))) / (drawn.size + 1)
