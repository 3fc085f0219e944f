"""Channel by channel and half by half: planted frequencies and shifts are found, none made up."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from analysis import find_peak
from analysis.channel_peaks import channel_table, stability
from analysis.estimate import ChannelPeak, Stability
from analysis.rhythm import RhythmFit, fit_rhythm
from tests.analysis.made_segments import FREQS_HZ, STEP_S, WINDOW_S, Array, line, made_segments
from tests.analysis.simulate import make_eeg

BAND_HZ = (7.0, 13.0)
LEVEL = 1.0 / FREQS_HZ


def one(seed: int, center_hz: float, height: float, count: int) -> Array:
    """One channel with one rhythm, shape (count, n_freqs)."""
    rng = np.random.default_rng(seed)
    return made_segments(rng, LEVEL + line(center_hz, height, 0.5), [], count)[:, 0]


# --- channels --------------------------------------------------------------------------------


def table_of(seed: int, centers_hz: list[float], heights: list[float]) -> tuple[ChannelPeak, ...]:
    """Table of channels with rhythms of their own; the first two are the region."""
    channels = np.stack(
        [
            one(100 * seed + i, center, height, 90)
            for i, (center, height) in enumerate(zip(centers_hz, heights, strict=True))
        ],
        axis=1,
    )
    region = fit_rhythm(FREQS_HZ, channels[:, :2], BAND_HZ)
    model, row = region.fitted
    names = tuple(f"E{i}" for i in range(len(centers_hz)))
    return channel_table(names, names[:2], channels, model, row, region.prior, BAND_HZ)


CENTERS_HZ = [10.0, 10.0, 9.2, 10.9, 10.0, 10.0]
HEIGHTS = [5.0, 5.0, 5.0, 5.0, 2.0, 0.0]


def test_channels_have_their_own_frequencies_and_a_silent_one_has_none() -> None:
    z, excess = [], []
    for seed in range(20):
        table = table_of(seed, CENTERS_HZ, HEIGHTS)
        assert [row.channel for row in table] == [f"E{i}" for i in range(6)]
        assert [row.used for row in table] == [True, True, False, False, False, False]
        for row, truth in zip(table[:5], CENTERS_HZ[:5], strict=True):
            assert row.frequency_hz is not None
            assert row.sd_hz is not None
            assert row.frequency_hz == pytest.approx(truth, abs=0.35)
            assert 0.01 < row.sd_hz < 0.2
            z.append((row.frequency_hz - truth) / row.sd_hz)
        assert table[5].frequency_hz is None
        assert table[5].sd_hz is None
        assert table[5].prominence_db < 1.5
        excess.append([table[i].prominence_db for i in (0, 1, 4)])
    assert np.mean(z) == pytest.approx(0.0, abs=0.3)
    # The error is the error: neither a quarter too small nor a third too large.
    assert 0.7 < np.std(z) < 1.25
    want = 10.0 * np.log10([6.0, 6.0, 3.0])
    np.testing.assert_allclose(np.mean(excess, axis=0), want, atol=0.8)


def test_a_channel_without_a_rhythm_seldom_gets_a_frequency() -> None:
    seen = 0
    for seed in range(30):
        table = table_of(50 + seed, [10.0] * 6, [5.0, 5.0, 0.0, 0.0, 0.0, 0.0])
        seen += sum(row.frequency_hz is not None for row in table[2:])
    assert seen <= 10  # of 120, 5 % with binomial error


def test_unit_of_a_channel_does_not_matter() -> None:
    segments = np.stack([one(900 + i, 10.0, 4.0, 60) for i in range(3)], axis=1)
    region = fit_rhythm(FREQS_HZ, segments[:, :2], BAND_HZ)
    model, row = region.fitted
    names = ("A", "B", "C")
    rest = (model, row, region.prior, BAND_HZ)
    plain = channel_table(names, names[:2], segments, *rest)
    factors = np.array([1e-3, 1.0, 1e4])[:, None]
    scaled = channel_table(names, names[:2], factors * segments, *rest)
    for before, after in zip(plain, scaled, strict=True):
        assert after.frequency_hz == pytest.approx(before.frequency_hz, abs=0.01)
        assert after.prominence_db == pytest.approx(before.prominence_db, abs=0.05)


def test_table_of_a_recording() -> None:
    names = ("Fp1", "Fp2", "F3", "F4", "Fz", "P3", "Pz", "P4", "O1", "O2")
    found = find_peak(make_eeg(11, peak_hz=9.6, height_log10=1.0, ch_names=names).raw())
    table = {row.channel: row for row in found.channel_table}
    assert tuple(table) == names
    for name in ("P4", "O1", "O2"):
        assert table[name].used
        assert table[name].frequency_hz == pytest.approx(9.6, abs=0.3)
        assert table[name].prominence_db > table["Fp1"].prominence_db + 3.0
    assert not table["Fp1"].used
    assert found.spectrum is not None
    assert found.spectrum.prominence_db is not None
    np.testing.assert_allclose(
        found.spectrum.prominence_db, [row.prominence_db for row in found.channel_table]
    )


# --- time ------------------------------------------------------------------------------------


def over_time(parts: list[Array]) -> tuple[Stability | None, Array, RhythmFit]:
    """Stability of parts of a recording that follow each other."""
    segments = np.concatenate(parts)
    found = fit_rhythm(FREQS_HZ, segments[:, None], BAND_HZ)
    starts = np.asarray(STEP_S * np.arange(len(segments)), dtype=float)
    model, row = found.fitted
    inflation = max(1.0, found.location.sd_hz / found.location.model_sd_hz)
    rest = (model, row, found.shape, found.prior, inflation)
    result, halves = stability(found.segments, starts, WINDOW_S, *rest)
    return result, halves, found


@pytest.mark.parametrize("shift_hz", [0.6, -0.6])
def test_a_planted_shift_is_found_with_its_sign(shift_hz: float) -> None:
    flagged, held = 0, 0
    for seed in range(12):
        parts = [
            one(2 * seed + 1000, 10.0, 5.0, 60),
            one(2 * seed + 1001, 10.0 + shift_hz, 5.0, 60),
        ]
        found, halves, _ = over_time(parts)
        assert found is not None
        assert found.first_hz is not None
        assert found.second_hz is not None
        assert found.difference_hz is not None
        assert found.first_hz == pytest.approx(10.0, abs=0.25)
        assert found.second_hz == pytest.approx(10.0 + shift_hz, abs=0.25)
        assert found.difference_hz == pytest.approx(found.second_hz - found.first_hz)
        assert np.sign(found.difference_hz) == np.sign(shift_hz)
        assert found.drift_hz_per_min is not None
        assert np.sign(found.drift_hz_per_min) == np.sign(shift_hz)
        assert found.ci95_difference_hz is not None
        low, high = found.ci95_difference_hz
        assert low <= found.difference_hz <= high
        assert found.stable == (low <= 0.0 <= high)
        flagged += found.stable is False
        held += low <= shift_hz <= high
        np.testing.assert_allclose(halves, [part.mean(axis=0) for part in parts])
    assert flagged >= 11
    assert held >= 10


def test_a_steady_rhythm_is_seldom_said_to_move() -> None:
    """At most 5 in a hundred, with the binomial error of 100."""
    moved, differences = 0, []
    for seed in range(100):
        center, count = 8.5 + 0.03 * seed, (30, 60)[seed % 2]
        found, _, _ = over_time([one(3000 + seed, center, (2.0, 6.0)[seed // 2 % 2], count)])
        assert found is not None
        moved += found.stable is False
        differences.append(found.difference_hz if found.difference_hz is not None else np.nan)
    assert moved <= 10
    assert np.nanmean(differences) == pytest.approx(0.0, abs=0.06)
    assert np.isfinite(differences).sum() >= 95


@pytest.mark.parametrize("slope", [0.12, -0.12])
def test_drift_is_the_slope_over_the_quarters(slope: float) -> None:
    """Eight minutes, 10 Hz in the middle."""
    slopes = []
    for seed in range(6):
        minutes = np.arange(8) + 0.5
        places = 10.0 + slope * (minutes - 4.0)
        parts = [one(4000 + 10 * seed + i, place, 5.0, 30) for i, place in enumerate(places)]
        found, _, _ = over_time(parts)
        assert found is not None
        assert found.drift_hz_per_min is not None
        slopes.append(found.drift_hz_per_min)
    assert np.mean(slopes) == pytest.approx(slope, abs=0.03)


def test_a_recording_below_four_minutes_has_a_difference_but_no_drift() -> None:
    found, _, _ = over_time([one(5000, 10.0, 6.0, 25), one(5001, 10.8, 6.0, 25)])
    assert found is not None
    assert found.difference_hz == pytest.approx(0.8, abs=0.25)
    assert found.stable is False
    assert found.drift_hz_per_min is None


def test_a_rhythm_of_one_half_has_no_difference() -> None:
    found, _, _ = over_time([one(6000, 10.0, 8.0, 60), one(6001, 10.0, 0.0, 60)])
    assert found is not None
    assert found.first_hz == pytest.approx(10.0, abs=0.2)
    assert found.second_hz is None
    assert found.difference_hz is None
    assert found.ci95_difference_hz is None
    assert found.drift_hz_per_min is None
    assert found.stable is None


def test_too_few_segments_say_nothing() -> None:
    found, halves, _ = over_time([one(7000, 10.0, 8.0, 9)])
    assert found is None
    assert halves.shape == (2, FREQS_HZ.size)


def test_halves_are_those_of_time_not_of_segments() -> None:
    """What was left out as artefact does not move the middle."""
    found = fit_rhythm(FREQS_HZ, one(8000, 10.0, 6.0, 60)[:, None], BAND_HZ)
    model, row = found.fitted
    starts = np.concatenate([STEP_S * np.arange(40), 200.0 + STEP_S * np.arange(20)])
    _, halves = stability(
        found.segments, starts, WINDOW_S, model, row, found.shape, found.prior, 1.0
    )
    np.testing.assert_allclose(halves[0], found.segments[:40].mean(axis=0))
    np.testing.assert_allclose(halves[1], found.segments[40:].mean(axis=0))


def test_a_shift_in_a_recording_is_a_warning() -> None:
    parts = [
        make_eeg(seed, peak_hz=hz, burst=False, width_hz=0.4).raw()
        for seed, hz in ((1, 9.6), (2, 10.3))
    ]
    both = mne.concatenate_raws(parts, verbose="ERROR")
    both.set_annotations(None)
    found = find_peak(both)
    assert found.stability is not None
    assert found.stability.first_hz == pytest.approx(9.6, abs=0.2)
    assert found.stability.second_hz == pytest.approx(10.3, abs=0.2)
    assert found.stability.stable is False
    said = [text for text in found.warnings if "moved within the recording" in text]
    assert len(said) == 1
    assert f"{found.stability.first_hz:.2f}" in said[0]
    assert f"{found.stability.second_hz:.2f} Hz" in said[0]
