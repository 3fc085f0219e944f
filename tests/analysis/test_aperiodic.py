"""Spectra taken apart in batches: beside fooof, beside full refits, and against the truth."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.aperiodic import move_background, over_background, take_apart
from analysis.parametrise import parametrise
from analysis.power import band_power, measure
from analysis.power_change import PowerChange, compare_power
from analysis.spectrum import fit_spectrum
from tests.analysis.made_outcome import made_uv
from tests.data import recording

BAND = (8.0, 12.0)
NAMES = ("P3", "Pz", "P4", "O1", "Oz", "O2")


def _agree(freqs: np.ndarray, psds: np.ndarray) -> None:
    """Power over the background as from fooof, one spectrum at a time."""
    found = take_apart(freqs, psds, BAND)
    apart = []
    for psd, parts in zip(psds, found, strict=True):
        fooof = fit_spectrum(freqs, psd)
        assert parts.fit is not None
        assert (parts.split_uv2 is None) == (fooof.r_squared < 0.9)
        bins = (freqs >= BAND[0]) & (freqs <= BAND[1])
        theirs = fooof.aperiodic(freqs[bins]).sum()
        ours = parts.fit.aperiodic(freqs[bins]).sum()
        apart.append(abs(np.log(ours / theirs)))
    # The joint fit has several minima: single spectra may end in another one, in fooof too.
    assert np.median(apart) < 1e-6
    assert np.mean(np.array(apart) < 1e-3) >= 0.9
    assert max(apart) < 0.1


def test_a_batch_gives_the_parts_that_fooof_gives() -> None:
    sides = [
        measure(made_uv(seed, duration_s=60.0, channels=NAMES), 160.0, [0], BAND)
        for seed in range(4)
    ]
    _agree(sides[0].freqs_hz, np.vstack([side.channels for side in sides]))


def test_real_spectra_give_the_parts_that_fooof_gives() -> None:
    freqs = np.load(recording("fooof_spectra/group_freqs.npy"))
    _agree(freqs, np.load(recording("fooof_spectra/group_powers.npy"))[:20])


def test_one_bad_spectrum_leaves_the_others_their_parts() -> None:
    side = measure(made_uv(1, duration_s=40.0, channels=NAMES), 160.0, [0], BAND)
    psds = side.channels.copy()
    psds[2, 30] = 0.0
    psds[4, 30] = np.nan
    found = take_apart(side.freqs_hz, psds, BAND)
    assert [parts.split_uv2 is None for parts in found] == [False, False, True, False, True, False]
    assert "zero" in str(found[2].reason)
    whole = take_apart(side.freqs_hz, side.channels, BAND)
    assert found[5].split_uv2 == pytest.approx(whole[5].split_uv2, rel=1e-9)
    assert whole[0].peak_height_log10 is not None
    assert whole[0].peak_height_log10 > 0.3


def test_moved_backgrounds_follow_full_refits() -> None:
    side = measure(made_uv(3, duration_s=90.0, channels=NAMES), 160.0, list(range(6)), BAND)
    rng = np.random.default_rng(0)
    rows = rng.integers(0, side.n_segments, (60, side.n_segments))
    replicates = side.region[rows].mean(axis=1)
    psd = side.region_mean()
    (parts,) = take_apart(side.freqs_hz, psd[None], BAND)
    assert parts.fit is not None
    moved = move_background(side.freqs_hz, psd, replicates, parts.fit)
    refitted = parametrise(side.freqs_hz, replicates)
    # Full refits also jump between minima: their median is the yardstick, their spread the larger.
    apart = moved[1] - refitted.exponent
    assert abs(np.median(apart)) < 0.01
    assert np.std(moved[1]) < 1.2 * np.std(refitted.exponent)
    ours = over_background(side.freqs_hz, replicates, moved, BAND)
    theirs = [parts.split_uv2[1] for parts in take_apart(side.freqs_hz, replicates, BAND)]
    assert np.corrcoef(ours, theirs)[0, 1] > 0.9
    assert np.all(ours < band_power(side.freqs_hz, replicates, BAND))


def _change(seed: int, **after: float) -> PowerChange:
    made = {"duration_s": 120.0, "channels": NAMES, "alpha_uv": 5.0}
    sides = [
        measure(data, 160.0, list(range(6)), BAND)
        for data in (made_uv(2 * seed, **made), made_uv(2 * seed + 1, **{**made, **after}))
    ]
    return compare_power(sides[0], sides[1], NAMES, NAMES, BAND, n_bootstrap=400)


def test_an_aperiodic_change_alone_is_never_called_oscillation() -> None:
    held = 0
    for seed in range(500, 510):
        found = _change(seed, exponent=1.0, background_uv=4.0 * 10.0**0.05)
        assert found.verdict.startswith(("aperiodic", "unclear")), found.verdict
        assert found.direction in ("none", "undetermined")
        change = found.aperiodic
        assert change.moved
        assert change.exponent_change == pytest.approx(-0.2, abs=0.06)
        assert change.offset_change == pytest.approx(0.1, abs=0.08)
        assert change.exponent_interval is not None
        low, high = change.exponent_interval
        held += low <= -0.2 <= high
        assert found.background_ln == pytest.approx(0.2, abs=0.12)
    assert held >= 9


def test_an_unchanged_background_is_not_said_to_have_moved() -> None:
    moved, held = 0, 0
    for seed in range(540, 552):
        found = _change(seed, alpha_uv=5.0 * 1.5**0.5)
        moved += found.aperiodic.moved
        assert found.aperiodic.offset_interval is not None
        low, high = found.aperiodic.offset_interval
        held += low <= 0.0 <= high
    assert moved <= 2
    assert held >= 10
