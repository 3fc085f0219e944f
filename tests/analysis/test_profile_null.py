"""Locking by chance: as large at the drive as the references beside it say, in reads of seconds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import mne
import numpy as np
import pytest

from analysis.profile import analyze_profile
from analysis.profile_blocks import Block
from analysis.profile_locking import BlockLocking, continuous_locking, phasors
from analysis.profile_null import fit_null_line
from analysis.profile_permutation import max_test

FS = 250.0
PEAK_HZ = 10.0
BAND_HZ = (6.5, 13.5)


def rhythm(seed: int, seconds: float, *, line: float = 20.0, n_channels: int = 1) -> Any:
    """Noise with a line of 0.5 Hz at 10 Hz, `line` times its ground; no drive at all."""
    rng = np.random.default_rng(seed)
    n = round(seconds * FS)
    hz = np.fft.rfftfreq(n, 1.0 / FS)
    shape = np.sqrt(np.maximum(hz, 1.0) ** -1.0 + line / (1.0 + ((hz - PEAK_HZ) / 0.25) ** 2))
    return 1e-5 * np.fft.irfft(
        np.fft.rfft(rng.standard_normal((n_channels, n)), axis=1) * shape, n, axis=1
    )


def trials(offsets_hz: tuple[float, ...], seconds: float, length_s: float = 5.0) -> list[Block]:
    """Trials by turns at offsets from the peak, that nothing drives."""
    n = int((seconds - 1.0) // (length_s + 0.5))
    starts = 0.5 + (length_s + 0.5) * np.arange(n)
    return [
        Block(PEAK_HZ + offsets_hz[i % len(offsets_hz)], 1.0, "drive", s, s + length_s, group="a")
        for i, s in enumerate(starts.tolist())
    ]


@pytest.mark.parametrize("offsets_hz", [(-2.0, 0.0, 2.0), (0.0, 0.5, 1.0)])
def test_short_reads_give_chance_at_the_peak_of_an_undriven_rhythm(
    offsets_hz: tuple[float, ...],
) -> None:
    ratios = []
    for seed in range(24):
        data = rhythm(seed, 200.0)
        rows = trials(offsets_hz, 200.0)
        unit = phasors(data, FS, BAND_HZ)
        line = fit_null_line(unit, FS, rows, BAND_HZ, settle_s=1.0)
        row = []
        for offset in offsets_hz:
            at = [b for b in rows if b.frequency_hz == PEAK_HZ + offset]
            one = continuous_locking(data, unit, FS, at, line=line)
            bare = continuous_locking(data, unit, FS, at)
            row.append((one.plv2 / one.null, bare.plv2 / bare.null))
        ratios.append(row)
    mean = np.mean(ratios, axis=0)
    se = np.std(ratios, axis=0) / np.sqrt(24)
    assert np.all(np.abs(mean[:, 0] - 1.0) < 0.1 + 3.0 * se[:, 0])
    assert mean[offsets_hz.index(0.0), 1] > 1.8  # what the references alone would have "found"


def test_a_drive_is_no_part_of_what_chance_gives() -> None:
    data = rhythm(3, 200.0)
    rows = trials((0.0, 2.0), 200.0)
    unit = phasors(data, FS, BAND_HZ)
    free = fit_null_line(unit, FS, rows, BAND_HZ, settle_s=1.0)
    times_s = np.arange(data.shape[1]) / FS
    for b in rows:
        on = (times_s >= b.start_s) & (times_s < b.stop_s)
        if b.frequency_hz == PEAK_HZ + 2.0:
            data[:, on] += 2e-5 * np.cos(2.0 * np.pi * b.frequency_hz * times_s[on])
    driven = fit_null_line(phasors(data, FS, BAND_HZ), FS, rows, BAND_HZ, settle_s=1.0)
    at = np.array([10.0, 12.0])
    ours, theirs = (line.at(at)[1] / line.at(at)[0] for line in (driven, free))
    assert ours < 3.0 * theirs
    assert driven.centre_hz == pytest.approx(PEAK_HZ, abs=0.15)


def test_noise_without_a_line_moves_nothing_and_the_filter_s_edge_is_known() -> None:
    data = rhythm(5, 200.0, line=0.0)
    unit = phasors(data, FS, BAND_HZ)
    line = fit_null_line(unit, FS, trials((0.0,), 200.0), BAND_HZ, settle_s=1.0)
    for hz in (9.5, 10.0, 10.5):
        beside = line.at(hz + np.array([-1.5, -1.0, -0.5, 0.5, 1.0, 1.5]))
        assert np.mean(line.at(np.array([hz])) / beside) == pytest.approx(1.0, abs=0.1)
    middle, edge, beyond = line.at(np.array([10.0, BAND_HZ[1], BAND_HZ[1] + 1.0]))
    assert 0.2 < edge / middle < 0.6  # a quarter of the power, and what passes beside the filter
    assert beyond < edge


def test_reads_on_the_flank_of_the_rhythm_are_told() -> None:
    info = mne.create_info(["Oz"], FS, "eeg")
    raw = mne.io.RawArray(rhythm(7, 200.0), info, verbose="ERROR")
    short = analyze_profile(raw, trials((-2.0, 0.0, 2.0), 200.0), mode="photic", n_permutations=200)
    assert any("at 10 Hz reads are so short" in text for text in short.warnings)
    long = analyze_profile(
        raw, trials((-2.0, 0.0, 2.0), 200.0, 60.0), mode="photic", n_permutations=200
    )
    assert not any("reads are so short" in text for text in long.warnings)


def test_blocks_alike_lend_each_other_their_references() -> None:
    rng = np.random.default_rng(9)
    block = Block(10.0, 1.0, "drive", 0.0, 5.0)
    quiet = BlockLocking((block,), 0.1, 0.1, 0.1 + 0.001 * rng.random(12), 0.0, 4.0)
    wild = replace(
        quiet, blocks=(replace(block, frequency_hz=11.0),), virtual=rng.exponential(0.1, 12)
    )
    first = replace(quiet, plv2=0.15)
    apart = replace(wild, band_hz=(8.0, 12.0))
    with_wild = max_test([first, wild], np.random.default_rng(1), 999)
    alone = max_test([first, replace(apart, plv2=1e-3)], np.random.default_rng(1), 999)
    assert with_wild.p_each[1.0, 10.0] > 0.05
    assert alone.n_draws == with_wild.n_draws == 999
