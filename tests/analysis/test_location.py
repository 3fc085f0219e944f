"""The interval of a peak: it holds the truth as often as it says, neither less nor more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.background import HANN_INFLATION
from analysis.likelihood import Bump, Prior, SpectrumModel, fit
from analysis.location import Location, _crossing, _profile, locate, student_95
from analysis.rhythm import fit_rhythm
from tests.analysis.made_segments import FREQS_HZ, Array, line, made_segments

MODEL = SpectrumModel(FREQS_HZ, (Bump((5.5, 14.5), (0.2, 4.0)),))
CENTER, WIDTH = 4, 5
LIKELY = float(np.log(0.6))


def segments_of(
    seed: int,
    center_hz: float,
    height: float,
    width_hz: float = 0.6,
    count: int = 60,
    exponent: float = 1.0,
) -> Array:
    """One channel with one rhythm."""
    rhythm = line(center_hz, height, width_hz, exponent)
    spectrum = FREQS_HZ**-exponent + rhythm
    return made_segments(np.random.default_rng(seed), spectrum, [], count)[:, 0]


def located(segments: Array, start_hz: float = 10.0) -> tuple[float, Location]:
    """Peak and error from a fit that begins at a stated place."""
    mean, shape = segments.mean(axis=0), len(segments) / (1.0 + 2.0 / 36.0)
    per_bin = shape / HANN_INFLATION
    prior = Prior(WIDTH, LIKELY, 4.0 / per_bin)
    level = float(np.log(np.median(mean)))
    here = float(np.interp(start_hz, FREQS_HZ, mean))
    start = np.array([[level, 1.0, 0.0, np.log(0.8 * here), start_hz, LIKELY]])
    row, cost = fit(MODEL, mean[None], start, prior=prior, tol=1e-4)
    bare = SpectrumModel(FREQS_HZ, ())
    _, without = fit(bare, mean[None], start[:, :3])
    evidence = float(per_bin * (without[0] - cost[0]))
    return float(row[0, CENTER]), locate(MODEL, row, segments, shape, evidence, prior)


@settings(max_examples=60, deadline=None)
@given(df=st.floats(5.0, 200.0))
def test_quantile_of_student(df: float) -> None:
    assert student_95(df) == pytest.approx(stats.t.ppf(0.975, df), abs=0.002)


def test_quantile_of_student_at_the_ends() -> None:
    for df in (5.0, 12.0, 200.0, 1e6):
        assert student_95(df) == pytest.approx(stats.t.ppf(0.975, df), abs=0.002)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """95 in a hundred, over heights, widths, slopes and lengths; neither fewer nor all."""
    n, held, errors, said = 400, 0, [], []
    rng = np.random.default_rng(20)
    for i in range(n):
        truth = float(rng.uniform(8.0, 12.0))
        segments = segments_of(
            1000 + i,
            truth,
            height=(1.5, 3.0, 8.0)[i % 3],
            width_hz=float(rng.uniform(0.4, 0.9)),
            count=(20, 45, 90)[i // 3 % 3],
            exponent=(0.8, 1.2, 1.6, 2.0)[i % 4],
        )
        peak, place = located(segments, truth)
        held += place.ci95_hz[0] <= truth <= place.ci95_hz[1]
        errors.append((peak - truth) / place.sd_hz)
        said.append(place.sd_hz)
    # Truth between 93 and 98 %, each end with its binomial error.
    assert stats.binom.ppf(0.01, n, 0.93) <= held <= stats.binom.ppf(0.99, n, 0.98)
    assert np.mean(errors) == pytest.approx(0.0, abs=0.2)
    assert 0.6 < np.std(errors) < 1.15
    assert 0.02 < np.median(said) < 0.15


@pytest.mark.parametrize("height", [1.5, 8.0])
def test_intervals_of_the_whole_fit_hold_the_truth(height: float) -> None:
    """The same with start, background and evidence found by the fit itself."""
    n, held = 40, 0
    for i in range(n):
        truth = 8.5 + 0.08 * i
        place = fit_rhythm(
            FREQS_HZ, segments_of(2000 + i, truth, height)[:, None], (7.0, 13.0)
        ).location
        held += place.ci95_hz[0] <= truth <= place.ci95_hz[1]
    assert held >= stats.binom.ppf(0.01, n, 0.93)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    center_hz=st.floats(7.5, 12.5),
    height=st.floats(0.6, 20.0),
    width_hz=st.floats(0.3, 1.2),
    count=st.integers(12, 90),
)
def test_interval_contains_the_peak_and_stays_where_the_peak_may_lie(
    seed: int, center_hz: float, height: float, width_hz: float, count: int
) -> None:
    peak, place = located(segments_of(seed, center_hz, height, width_hz, count), center_hz)
    low, high = place.ci95_hz
    assert low <= peak <= high
    assert low < high
    assert 5.5 <= low
    assert high <= 14.5
    assert place.sd_hz > 0.0
    assert place.model_sd_hz > 0.0
    assert place.freedom > 12.0


def median_width(count: int, height: float = 3.0, width_hz: float = 0.6) -> float:
    widths = []
    for i in range(12):
        low, high = located(segments_of(3000 + i, 10.0, height, width_hz, count))[1].ci95_hz
        widths.append(high - low)
    return float(np.median(widths))


def test_less_is_known_from_less() -> None:
    """About as one over the root of the length; more of a fainter or a broader rhythm."""
    short, medium, long = (median_width(count) for count in (15, 60, 240))
    assert short > 1.6 * medium > 2.4 * long
    assert long > 0.2 * medium
    assert median_width(60, height=1.0) > 1.4 * median_width(60, height=8.0)
    assert median_width(60, width_hz=1.0) > 1.3 * median_width(60, width_hz=0.4)


def test_a_rhythm_that_wanders_is_less_certain_than_its_spectrum_says() -> None:
    """Blocks of segments show a drift that the mean spectrum cannot."""
    steady, moving = [], []
    for i in range(10):
        parts = [segments_of(4000 + 10 * i + k, 10.0, 5.0, 0.5, 15) for k in range(6)]
        places = (9.4, 10.6, 9.6, 10.4, 9.5, 10.5)
        moved = [segments_of(4500 + 10 * i + k, p, 5.0, 0.5, 15) for k, p in enumerate(places)]
        steady.append(located(np.concatenate(parts))[1])
        moving.append(located(np.concatenate(moved))[1])
    ratio = [item.sd_hz / item.model_sd_hz for item in moving]
    calm = [item.sd_hz / item.model_sd_hz for item in steady]
    assert np.median(ratio) > 1.4
    assert np.median(calm) == pytest.approx(1.0, abs=0.25)


def test_faint_evidence_widens_the_interval() -> None:
    segments = segments_of(5000, 10.0, 3.0)
    mean = segments.mean(axis=0)
    prior = Prior(WIDTH, LIKELY, 0.1)
    start = np.array([[0.0, 1.0, 0.0, 0.0, 10.0, LIKELY]])
    row, _ = fit(MODEL, mean[None], start, prior=prior)
    plain, faint = (locate(MODEL, row, segments, 55.0, e, prior) for e in (1e6, 16.0))
    assert faint.sd_hz == pytest.approx(np.sqrt(1.5) * plain.sd_hz, rel=1e-4)
    assert faint.ci95_hz[0] < plain.ci95_hz[0] < plain.ci95_hz[1] < faint.ci95_hz[1]
    # The prediction of the model is the same: only what is made of it differs.
    assert replace(faint, sd_hz=0.0, ci95_hz=(0, 0)) == replace(plain, sd_hz=0.0, ci95_hz=(0, 0))


@pytest.mark.parametrize("seed", range(4))
def test_interval_grows_with_its_quantile(seed: int) -> None:
    """A lower confidence lies inside a higher one, on both sides, up to the whole range."""
    segments = segments_of(6000 + seed, 10.0, 1.5, count=30)
    mean = segments.mean(axis=0)
    prior = Prior(WIDTH, LIKELY, 0.2)
    start = np.array([[0.0, 1.0, 0.0, -1.5, 10.0, LIKELY]])
    row, _ = fit(MODEL, mean[None], start, prior=prior)
    center = float(row[0, CENTER])
    ends = [
        _profile(MODEL, row, mean, prior, 0.12, quantile, 15.0 / HANN_INFLATION)
        for quantile in (0.3, 1.0, 2.0, 3.0, 5.0, 1e6)
    ]
    lows, highs = (np.array(part) for part in zip(*ends, strict=True))
    assert np.all(lows <= center)
    assert np.all(highs >= center)
    assert np.all(np.diff(lows) <= 1e-9)
    assert np.all(np.diff(highs) >= -1e-9)
    assert lows[-1] <= 5.75
    assert highs[-1] >= 14.25


@pytest.mark.parametrize(("second", "reaches"), [(1.0, True), (0.95, True), (0.7, False)])
def test_interval_reaches_over_a_second_place_that_fits_as_well(
    second: float, reaches: bool
) -> None:
    """Two bumps alike, fitted by one: the interval says that it may be either."""
    mean = 1.0 / FREQS_HZ + line(8.8, 1.0, 0.4) + line(11.2, second, 0.4)
    prior = Prior(WIDTH, LIKELY, 0.1)
    start = np.array([[0.0, 1.0, 0.0, np.log(0.1), 8.8, np.log(0.4)]])
    row, _ = fit(MODEL, mean[None], start, prior=prior)
    assert row[0, CENTER] == pytest.approx(8.8, abs=0.3)
    scale = 40.0 / HANN_INFLATION
    low, high = _profile(MODEL, row, mean, prior, 0.1, student_95(20.0), scale)
    assert low < 8.8
    assert (high > 11.0) == reaches


def test_crossing_is_between_the_last_point_inside_and_the_first_outside() -> None:
    places, distance = np.array([9.0, 10.0, 11.0, 12.0]), np.array([2.0, 0.0, 1.0, 3.0])
    assert _crossing(places, distance, 2, 2.0) == pytest.approx(11.5)
    assert _crossing(places, distance, 1, 0.5) == pytest.approx(10.5)
    assert _crossing(places[::-1], distance[::-1], 2, 1.0) == pytest.approx(9.5)
    assert _crossing(places, distance, 3, 5.0) == 12.0
