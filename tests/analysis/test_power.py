"""Band power: fixed points, an independent Welch, and what 1/f changes must not do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import welch

from analysis.aperiodic import move_background, over_background, take_apart
from analysis.errors import AnalysisError, UnusableRecording
from analysis.power import band_bins, band_power, db_of_ln, measure, percent_of_ln
from analysis.power_change import PowerChange, compare_power
from analysis.power_verdict import APERIODIC_SHIFT, OSCILLATION
from analysis.spectrum import SpectralFit
from tests.analysis.made_outcome import CHANNELS, made_uv

BAND = (8.0, 12.0)
REGION = [4, 5, 6, 9, 10, 11]
NAMES = tuple(CHANNELS[row] for row in REGION)


@pytest.mark.parametrize(
    ("percent", "db", "ln_ratio"),
    [
        (14.0, 0.57, 0.131),
        (30.0, 1.14, 0.262),
        (50.0, 1.76, 0.405),
        (100.0, 3.01, 0.693),
        (-20.0, -0.97, -0.223),
    ],
)
def test_fixed_points_of_percent_decibel_and_log(
    percent: float, db: float, ln_ratio: float
) -> None:
    exact = np.log1p(percent / 100.0)
    assert exact == pytest.approx(ln_ratio, abs=5e-4)
    assert percent_of_ln(exact) == pytest.approx(percent, rel=1e-12)
    assert db_of_ln(exact) == pytest.approx(db, abs=5e-3)


@given(st.floats(-8.0, 8.0))
def test_decibel_and_percent_agree_with_the_ratio(ln_ratio: float) -> None:
    ratio = np.exp(ln_ratio)
    assert db_of_ln(ln_ratio) == pytest.approx(10.0 * np.log10(ratio), abs=1e-9)
    assert percent_of_ln(ln_ratio) == pytest.approx(100.0 * (ratio - 1.0), rel=1e-9, abs=1e-9)
    assert db_of_ln(-ln_ratio) == -db_of_ln(ln_ratio)


def test_a_sine_has_half_its_squared_amplitude_in_the_band() -> None:
    time_s = np.arange(0, 60.0, 1 / 200.0)
    data = np.stack([7.0 * np.sin(2 * np.pi * 10.13 * time_s), np.zeros_like(time_s) + 3.0])
    found = measure(data, 200.0, [0], BAND)
    assert found.band[:, 0] == pytest.approx(7.0**2 / 2.0, rel=2e-3)
    assert np.all(found.band[:, 1] < 1e-20)
    assert found.step_s == 2.0
    assert found.freqs_hz[1] - found.freqs_hz[0] == pytest.approx(0.25)


def test_spectra_equal_an_independent_welch() -> None:
    data = made_uv(1, duration_s=60.0)
    found = measure(data, 160.0, REGION, BAND)
    freqs, psd = welch(data, 160.0, window="hann", nperseg=640, noverlap=320, detrend="constant")
    kept = freqs <= found.freqs_hz[-1]
    assert found.channels == pytest.approx(psd[:, kept], rel=1e-9)
    assert found.region_mean() == pytest.approx(psd[REGION][:, kept].mean(axis=0), rel=1e-9)


def test_bad_samples_take_their_segments_with_them() -> None:
    data = made_uv(2, duration_s=40.0)
    clean = measure(data, 160.0, REGION, BAND)
    bad = np.zeros(data.shape[1], dtype=bool)
    data[:, 3200:3210] += 1e4
    bad[3200:3210] = True
    found = measure(data, 160.0, REGION, BAND, bad=bad)
    assert found.n_segments == clean.n_segments - 2
    assert np.array_equal(found.region[0], clean.region[0])
    with pytest.raises(UnusableRecording, match="no clean segment"):
        measure(data, 160.0, REGION, BAND, bad=np.ones(data.shape[1], dtype=bool))


@pytest.mark.parametrize("band", [(12.0, 8.0), (0.0, 4.0), (np.nan, 10.0), (60.0, 70.0)])
def test_bands_that_make_no_sense_are_refused(band: tuple[float, float]) -> None:
    with pytest.raises(AnalysisError, match="band"):
        band_bins(np.arange(0.0, 40.25, 0.25), band)


def test_a_band_between_two_bins_is_refused() -> None:
    with pytest.raises(AnalysisError, match="no bin between"):
        band_bins(np.arange(0.0, 40.0), (10.2, 10.8))


def _moved(
    freqs: np.ndarray, psd: np.ndarray, replicates: np.ndarray, fit: SpectralFit, band: tuple
) -> np.ndarray:
    return over_background(freqs, replicates, move_background(freqs, psd, replicates, fit), band)


def test_oscillatory_part_is_what_lies_over_the_background() -> None:
    freqs = np.arange(0.25, 45.0, 0.25)
    background = 50.0 * freqs**-1.3
    bump = 6.0 * np.exp(-0.5 * ((freqs - 10.0) / 0.8) ** 2)
    (parts,) = take_apart(freqs, (background + bump)[None], BAND)
    assert parts.split_uv2 is not None
    assert parts.split_uv2[0] == pytest.approx(band_power(freqs, background, BAND), rel=0.03)
    assert parts.split_uv2[1] == pytest.approx(band_power(freqs, bump, BAND), rel=0.02)
    assert sum(parts.split_uv2) == pytest.approx(band_power(freqs, background + bump, BAND))
    assert parts.fit is not None
    same = _moved(freqs, background + bump, (background + bump)[None], parts.fit, BAND)
    assert same[0] == pytest.approx(parts.split_uv2[1], rel=1e-12)
    # A spectrum that is twice as high everywhere has twice the oscillatory part.
    twice = _moved(freqs, background + bump, 2.0 * (background + bump)[None], parts.fit, BAND)
    assert twice[0] == pytest.approx(2.0 * parts.split_uv2[1], rel=1e-9)
    # A rhythm that doubles over the same background is not taken for background.
    rhythm = _moved(freqs, background + bump, (background + 2.0 * bump)[None], parts.fit, BAND)
    assert rhythm[0] == pytest.approx(2.0 * parts.split_uv2[1], rel=0.03)


def test_a_poor_fit_gives_no_parts_but_the_reason() -> None:
    rng = np.random.default_rng(3)
    freqs = np.arange(0.25, 45.0, 0.25)
    noise = np.exp(0.5 * rng.standard_normal((1, freqs.size)))
    parts, none = take_apart(freqs, np.vstack([noise, np.zeros((1, freqs.size))]), BAND)
    assert parts.split_uv2 is None
    assert parts.reason is not None
    assert "R²" in parts.reason
    assert none.fit is None
    assert "zero" in str(none.reason)


def _compare(before_uv: np.ndarray, after_uv: np.ndarray, *, channels: bool = False) -> PowerChange:
    sides = [measure(data, 160.0, REGION, BAND) for data in (before_uv, after_uv)]
    return compare_power(
        sides[0], sides[1], CHANNELS, NAMES if channels else (), BAND, n_bootstrap=400
    )


def test_adjusted_power_ignores_the_exponent_and_finds_true_alpha() -> None:
    # One seed on both sides: the noise is the same and only the planted change remains.
    steeper, alpha, raw = [], [], []
    for seed in range(6):
        before = made_uv(seed, duration_s=90.0, alpha_uv=4.0)
        flat = _compare(before, made_uv(seed, duration_s=90.0, alpha_uv=4.0, exponent=1.0))
        more = _compare(before, made_uv(seed, duration_s=90.0, alpha_uv=4.0 * 1.25**0.5))
        raw.append(percent_of_ln(flat.raw.ln_ratio))
        steeper.append(percent_of_ln(flat.adjusted.ln_ratio or np.nan))
        alpha.append(percent_of_ln(more.adjusted.ln_ratio or np.nan))
    assert np.mean(raw) > 8.0
    assert abs(np.mean(steeper)) <= 2.0
    assert 22.0 <= np.mean(alpha) <= 28.0


def test_a_background_that_rises_is_called_an_aperiodic_shift() -> None:
    before = made_uv(11, duration_s=180.0, alpha_uv=3.0, background_uv=4.0)
    risen = _compare(before, made_uv(12, duration_s=180.0, alpha_uv=3.0, background_uv=8.0))
    assert risen.raw.interval_ln[0] > 0.0
    assert risen.verdict == APERIODIC_SHIFT
    assert risen.aperiodic_share is not None
    assert risen.aperiodic_share > 0.8
    assert risen.direction in ("none", "undetermined")
    grown = _compare(before, made_uv(12, duration_s=180.0, alpha_uv=6.0, background_uv=4.0))
    assert grown.verdict == "oscillation"
    assert grown.direction == "increase"
    assert abs(grown.aperiodic_share or 0.0) < 0.1


def test_no_rhythm_in_the_band_gives_no_adjusted_ratio() -> None:
    sides = [made_uv(seed, duration_s=90.0, alpha_uv=0.0) for seed in (21, 22)]
    found = _compare(sides[0], sides[1])
    assert found.adjusted.interval_ln is None
    assert found.adjusted.reason is not None
    told = found.to_dict()["adjusted"]
    assert told["ci95_percent"] is None
    assert told["reason"] == found.adjusted.reason


@pytest.mark.parametrize("background_uv", [4.0, 4.0 * 1.2**0.5])
def test_a_line_where_there_was_no_rhythm_is_told_by_the_difference(background_uv: float) -> None:
    for seed in range(3):
        before = made_uv(seed, alpha_uv=0.0)
        after = made_uv(50 + seed, alpha_uv=0.0, background_uv=background_uv)
        still = _compare(before, after)
        assert still.verdict != OSCILLATION
        line = 2.0 * np.sin(2.0 * np.pi * 10.0 * np.arange(after.shape[1]) / 160.0)
        found = _compare(before, after + line)
        assert found.adjusted.interval_ln is None
        # Power of the line, 2 uV^2, is what lies over the background now and did not before.
        low, high = found.to_dict()["adjusted"]["ci95_difference_uv2"]
        assert low < 2.0 < high
        assert (found.verdict, found.direction) == (OSCILLATION, "increase")
        gone = _compare(after + line, before)
        assert (gone.verdict, gone.direction) == (OSCILLATION, "decrease")


def test_a_background_alone_is_no_line_where_there_is_no_rhythm() -> None:
    for seed in range(4):
        before = made_uv(seed, alpha_uv=0.0)
        for more in ({"background_uv": 4.9}, {"exponent": 1.0}, {"exponent": 1.4}):
            found = _compare(before, made_uv(50 + seed, alpha_uv=0.0, **more))
            assert found.verdict == APERIODIC_SHIFT
            assert found.direction == "undetermined"


def test_adjusted_interval_holds_the_truth() -> None:
    held = 0
    for seed in range(20):
        before = made_uv(300 + 2 * seed, duration_s=90.0, channels=("Pz", "Oz"))
        after = made_uv(
            301 + 2 * seed, duration_s=90.0, channels=("Pz", "Oz"), alpha_uv=8.0 * 1.5**0.5
        )
        sides = [measure(data, 160.0, [0, 1], BAND) for data in (before, after)]
        found = compare_power(sides[0], sides[1], ("Pz", "Oz"), (), BAND, n_bootstrap=400)
        assert found.adjusted.interval_ln is not None
        low, high = found.adjusted.interval_ln
        held += low <= np.log(1.5) <= high
    assert held >= 18


def test_every_channel_is_reported_and_fitted() -> None:
    before, after = made_uv(31, duration_s=60.0), made_uv(32, duration_s=60.0)
    sides = [measure(data, 160.0, [9, 10], BAND) for data in (before, after)]
    found = compare_power(
        sides[0],
        sides[1],
        CHANNELS,
        ("O1", "Oz"),
        BAND,
        own_bands_hz=((8.0, 12.0), (8.5, 12.5)),
        n_bootstrap=300,
    )
    assert tuple(found.per_channel) == CHANNELS
    one = found.per_channel["Oz"]
    expected = np.log(sides[1].band[:, 10].mean() / sides[0].band[:, 10].mean())
    assert one.ln_ratio == pytest.approx(expected)
    assert one.interval_ln[0] < one.ln_ratio < one.interval_ln[1]
    assert one.adjusted_ln_ratio is not None
    fitted = [name for name, one in found.per_channel.items() if one.adjusted_ln_ratio is not None]
    assert {"P3", "Pz", "P4", "O1", "Oz", "O2"} <= set(fitted)
    for name, change in found.per_channel.items():
        assert (change.adjusted_reason is None) == (name in fitted)
    silent = [made_uv(seed, duration_s=60.0, alpha_uv=0.5) for seed in (31, 32)]
    quiet = _compare(silent[0], silent[1]).per_channel["Fz"]
    assert quiet.adjusted_ln_ratio is None
    assert "no rhythm to speak of before" in str(quiet.adjusted_reason)
    told = found.to_dict()
    assert told["recentred"]["bands_hz"] == [[8.0, 12.0], [8.5, 12.5]]
    assert told["relative"]["pre"] == pytest.approx(
        band_power(sides[0].freqs_hz, sides[0].region_mean(), BAND)
        / band_power(sides[0].freqs_hz, sides[0].region_mean(), (1.0, 40.0))
    )
