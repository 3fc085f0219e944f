"""Exploratory connectivity: a planted lag in driven blocks is found; mixing and chance are not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.profile_blocks import Block
from analysis.profile_connectivity import connectivity_response

FS = 100.0
HZ = (8.0, 9.0, 9.5, 10.0, 10.5, 11.0, 12.0)


def table(n_sham: int, seed: int = 0, gap_s: float = 24.0) -> list[Block]:
    rng = np.random.default_rng(seed)
    kinds = [*HZ, *([0.0] * n_sham)]
    blocks = []
    for place, which in enumerate(rng.permutation(len(kinds))):
        hz, start = kinds[which], 4.0 + place * (25.0 + gap_s)
        kind = "drive" if hz else "sham"
        blocks.append(
            Block(hz or 10.0, 1.0, "drive" if kind == "drive" else "sham", start, start + 25.0)
        )
    return blocks


def signal(
    blocks: list[Block],
    seed: int,
    *,
    lag_rad: float | None,
    size: float = 1.0,
    always: bool = False,
) -> np.ndarray:
    """Noise in three channels; in driven blocks a narrow rhythm reaches two of them, one later."""
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((3, round((blocks[-1].stop_s + 30.0) * FS)))
    if lag_rad is None:
        return data
    times = np.arange(data.shape[1]) / FS
    for block in blocks:
        if block.kind == "sham" and not always:
            continue
        stop_s = block.stop_s + (24.0 if always else 0.0)
        on = (times >= block.start_s) & (times < stop_s)
        phase = 2.0 * np.pi * block.frequency_hz * times[on] + np.cumsum(
            0.05 * rng.standard_normal(int(on.sum()))
        )
        data[0, on] += size * np.cos(phase)
        data[1, on] += size * np.cos(phase - lag_rad)
    return data


def found(blocks: list[Block], data: np.ndarray, gap_s: float = 24.0) -> dict[str, object]:
    return connectivity_response(data, FS, blocks, np.full(len(blocks), gap_s), n_draws=499)


@pytest.mark.parametrize(("n_sham", "against"), [(4, "sham"), (1, "gaps"), (0, "gaps")])
def test_a_lag_in_driven_blocks_is_found(n_sham: int, against: str) -> None:
    blocks = table(n_sham)
    one = found(blocks, signal(blocks, 1, lag_rad=1.2))
    assert one["against"] == against
    assert one["n_pairs"] == 3
    assert (one["n_drive"], one["n_sham"]) == (7, n_sham)
    assert one["change"] > 0.15
    assert one["p"] < 0.05
    assert abs(one["gap"]) < 0.15
    assert "stronger" in one["caution"]


def test_what_reaches_both_at_once_or_is_always_there_is_no_response() -> None:
    blocks = table(4)
    mixed = found(blocks, signal(blocks, 2, lag_rad=0.0))
    assert mixed["p"] > 0.05
    assert mixed["change"] < 0.5 * found(blocks, signal(blocks, 2, lag_rad=1.2))["change"]
    always = found(blocks, signal(blocks, 3, lag_rad=1.2, always=True))
    assert always["drive"] > 0.15
    assert abs(always["change"]) < 0.1


@pytest.mark.parametrize("n_sham", [4, 0])
def test_chance_is_rarely_a_response(n_sham: int) -> None:
    blocks = table(n_sham)
    n = 50
    wrong = sum(found(blocks, signal(blocks, 100 + i, lag_rad=None))["p"] < 0.05 for i in range(n))
    assert wrong / n <= 0.05 + 3.0 * math.sqrt(0.05 * 0.95 / n)


def test_without_channels_or_gaps_there_is_a_reason() -> None:
    blocks = table(2)
    data = signal(blocks, 5, lag_rad=None)
    assert "needs two" in str(found(blocks, data[:1])["reason"])
    short = found(blocks, data, gap_s=12.0)
    assert short["p"] is None
    assert "0 driven blocks with gaps of 18 s" in str(short["reason"])
