"""The likelihood fit, the background and the evidence of a rhythm, against exact and made truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analysis.background import (
    HANN_INFLATION,
    freedom,
    hann_correlation,
    looks_unfiltered,
    masked_background,
    with_knee,
)
from analysis.likelihood import (
    KNEE_RANGE,
    REFERENCE_HZ,
    Bump,
    Prior,
    SpectrumModel,
    deviance,
    fit,
    least_squares,
)
from analysis.rhythm import RhythmFit, fit_range_hz, fit_rhythm
from analysis.spectrum import segment_spectra
from analysis.verdict import EVIDENCE
from tests.analysis.made_segments import FREQS_HZ, Array, line, made_segments

BUMP = Bump((5.5, 14.5), (0.15, 2.0))
MODEL = SpectrumModel(FREQS_HZ, (BUMP,))
BENT = SpectrumModel(FREQS_HZ, (BUMP,), knee=True)
BAND_HZ = (7.0, 13.0)
OUTSIDE = (FREQS_HZ < 5.5) | (FREQS_HZ > 14.5)
CENTER = 4  # column of the bump's centre
WIDTH = 5


def rhythm_in(segments: Array) -> RhythmFit:
    return fit_rhythm(FREQS_HZ, segments, BAND_HZ)


def one_channel(seed: int, spectrum: Array, count: int) -> Array:
    return made_segments(np.random.default_rng(seed), spectrum, [], count)


def power_law(exponent: float, knee_hz: float = 0.0) -> Array:
    return np.asarray(1.0 / (knee_hz**exponent * (knee_hz > 0.0) + FREQS_HZ**exponent))


# --- the likelihood --------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    knee=st.booleans(),
    slope=st.floats(0.3, 3.0),
    bend=st.floats(-0.9, 0.9),
    height=st.floats(-1.0, 3.0),
    center_hz=st.floats(7.0, 13.0),
    width=st.floats(-1.2, 0.4),
)
def test_derivatives(
    knee: bool, slope: float, bend: float, height: float, center_hz: float, width: float
) -> None:
    model = BENT if knee else MODEL
    row = np.array([[0.3, slope, bend if knee else bend / 3.0, height, center_hz, width]])
    total, slopes = model.jacobian(row)
    np.testing.assert_allclose(total, model.spectrum(row))
    for i in range(row.shape[1]):
        step = np.zeros_like(row)
        step[0, i] = 1e-6
        numeric = (np.log(model.spectrum(row + step)) - np.log(model.spectrum(row - step))) / 2e-6
        np.testing.assert_allclose(slopes[0, i], numeric[0], atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(
    level=st.floats(-3.0, 3.0),
    exponent=st.floats(0.1, 5.0),
    knee=st.floats(*KNEE_RANGE[1]),
)
def test_background_with_a_knee_is_the_law_it_is_named_for(
    level: float, exponent: float, knee: float
) -> None:
    model = SpectrumModel(FREQS_HZ, (), knee=True)
    relative = FREQS_HZ / REFERENCE_HZ
    want = np.exp(level) / (np.exp(knee) ** exponent + relative**exponent)
    got = model.background(np.array([[level, exponent, knee]]))
    np.testing.assert_allclose(got[0], want, rtol=1e-9)


@settings(max_examples=20, deadline=None)
@given(
    slope=st.floats(0.5, 2.2),
    height=st.floats(0.0, 3.0),
    center_hz=st.floats(7.5, 12.5),
    width=st.floats(-1.0, 0.2),
)
def test_exact_spectrum_is_recovered(
    slope: float, height: float, center_hz: float, width: float
) -> None:
    truth = np.array([[0.5, slope, 0.0, height, center_hz, width]])
    start = np.array([[0.0, 1.0, 0.0, 0.0, center_hz + 0.4, -0.4]])
    rows, cost = fit(MODEL, MODEL.spectrum(truth), start, tol=1e-12, n_iter=200)
    assert cost[0] < 1e-6
    np.testing.assert_allclose(rows, truth, atol=0.01)


@settings(max_examples=15, deadline=None)
@given(exponent=st.floats(1.0, 3.0), knee=st.floats(-0.5, 0.5), center_hz=st.floats(8.0, 12.0))
def test_exact_spectrum_with_a_knee_is_recovered(
    exponent: float, knee: float, center_hz: float
) -> None:
    truth = np.array([[0.5, exponent, knee, 1.5, center_hz, -0.5]])
    start = np.array([[0.0, 1.5, 0.0, 0.5, center_hz + 0.3, -0.4]])
    rows, cost = fit(BENT, BENT.spectrum(truth), start, tol=1e-13, n_iter=400)
    assert cost[0] < 1e-5
    np.testing.assert_allclose(rows[0, [1, 2, 4]], truth[0, [1, 2, 4]], atol=0.02)


def test_batch_equals_one_by_one() -> None:
    rng = np.random.default_rng(1)
    truth = np.array([[0.0, 1.2, 0.0, 1.0, 10.0, -0.5]])
    power = MODEL.spectrum(truth) * rng.gamma(40.0, 1 / 40.0, (8, FREQS_HZ.size))
    start = np.repeat(truth, 8, axis=0)
    rows, cost = fit(MODEL, power, start)
    for i in range(8):
        one, single = fit(MODEL, power[[i]], truth)
        np.testing.assert_allclose(one[0], rows[i], atol=1e-9)
        assert single[0] == pytest.approx(cost[i])
    assert np.all(cost <= deviance(power, MODEL.spectrum(start)) + 1e-12)


@settings(max_examples=20, deadline=None)
@example(offset_hz=1.1328125, seed=166)
@given(offset_hz=st.floats(-1.5, 1.5), seed=st.integers(0, 1000))
def test_a_fixed_parameter_stays_and_the_rest_is_fitted_around_it(
    offset_hz: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    truth = np.array([[0.0, 1.2, 0.0, 1.0, 10.0, -0.5]])
    power = MODEL.spectrum(truth) * rng.gamma(40.0, 1 / 40.0, (1, FREQS_HZ.size))
    start = truth.copy()
    start[0, CENTER] += offset_hz
    begun = deviance(power, MODEL.spectrum(start))
    # A bump that is held beside the rhythm is faint, and the way to its optimum long.
    rows, cost = fit(MODEL, power, start, fixed=CENTER, tol=1e-9, n_iter=3000)
    _, free = fit(MODEL, power, truth, tol=1e-9, n_iter=300)
    assert rows[0, CENTER] == start[0, CENTER]
    assert free[0] - 1e-6 <= cost[0] <= begun[0]
    # A width that stands at its limit holds the others back a little.
    least = 1e-3 if abs(rows[0, WIDTH] - np.log(BUMP.width_hz)).min() > 1e-6 else 0.1
    for column in (0, 1, 2, 3, WIDTH):
        for nudge in (-0.02, 0.02):
            beside = rows.copy()
            beside[0, column] += nudge
            assert deviance(power, MODEL.spectrum(MODEL.clip(beside)))[0] >= cost[0] - least


def test_prior_pulls_by_its_precision_and_its_penalty_is_in_the_deviance() -> None:
    rng = np.random.default_rng(2)
    truth = np.array([[0.0, 1.2, 0.0, 1.0, 10.0, np.log(0.6)]])
    power = MODEL.spectrum(truth) * rng.gamma(40.0, 1 / 40.0, (1, FREQS_HZ.size))
    wanted, found = np.log(1.2), []
    for precision in (0.0, 1.0, 10.0, 1e6):
        rows, cost = fit(
            MODEL, power, truth, prior=Prior(WIDTH, wanted, precision), tol=1e-10, n_iter=300
        )
        penalty = precision * (rows[0, WIDTH] - wanted) ** 2
        assert cost[0] == pytest.approx(deviance(power, MODEL.spectrum(rows))[0] + penalty)
        mean, slopes = MODEL.jacobian(rows)
        gradient = slopes[0, WIDTH] @ (power[0] / mean[0] - 1.0)
        assert gradient == pytest.approx(precision * (rows[0, WIDTH] - wanted), abs=0.02)
        found.append(float(rows[0, WIDTH]))
    free, _ = fit(MODEL, power, truth, tol=1e-10, n_iter=300)
    assert found[0] == pytest.approx(free[0, WIDTH], abs=1e-4)
    assert np.all(np.diff(found) > 0.0)
    assert found[-1] == pytest.approx(wanted, abs=1e-4)


# --- degrees of freedom ----------------------------------------------------------------------


def test_correlation_of_neighbouring_bins() -> None:
    rng = np.random.default_rng(2)
    data = rng.normal(size=(1, 400 * 4000))
    power = segment_spectra(data, 100.0, overlap=0.0, fmin_hz=5.0, fmax_hz=40.0).power[:, 0]
    seen = np.corrcoef(power.T)
    for lag in range(4):
        want = hann_correlation(10)[0, lag]
        assert np.mean(np.diag(seen, lag)) == pytest.approx(want, abs=0.01)


def test_degrees_of_freedom() -> None:
    """One channel of Gaussian noise: half the degrees of freedom are the segments, nearly."""
    found = [
        float(np.median(freedom(one_channel(300 + i, power_law(1.0), 60)[:, 0]))) for i in range(20)
    ]
    assert np.mean(found) == pytest.approx(60 / (1 + 2 / 36), rel=0.05)


def test_channels_of_one_source_bring_no_freedom_and_channels_of_their_own_do() -> None:
    rng = np.random.default_rng(3)
    one = made_segments(rng, 1e-9 * power_law(1.0), [(power_law(1.0), [1.0] * 4)], 200)
    own = made_segments(rng, power_law(1.0), [(1e-9 * power_law(1.0), [1.0] * 4)], 200)
    shared, apart = (float(np.median(freedom(part.mean(axis=1)))) for part in (one, own))
    assert shared == pytest.approx(200 / (1 + 2 / 36), rel=0.1)
    assert apart == pytest.approx(4.0 * shared, rel=0.15)


# --- the background --------------------------------------------------------------------------


def background_of(segments: Array) -> tuple[Any, float]:
    mean, per_bin = segments.mean(axis=0), float(np.median(freedom(segments))) / HANN_INFLATION
    plain = masked_background(FREQS_HZ, mean, OUTSIDE, BAND_HZ, per_bin)
    return plain, per_bin


def test_background_is_carried_across_the_band() -> None:
    """Fitted outside the band, true to the law inside it, whatever stands there."""
    for i, exponent in enumerate((0.8, 1.2, 1.6, 2.0)):
        law = power_law(exponent)
        segments = one_channel(400 + i, law + line(10.0, 9.0, exponent=exponent), 120)[:, 0]
        (model, row), _ = background_of(segments)
        scale = np.exp(np.mean(np.log(model.background(row)[0] / law)[OUTSIDE]))
        inside = 10.0 * np.log10(model.background(row)[0] / law / scale)[~OUTSIDE]
        assert np.abs(inside).max() < 1.0


def test_a_neighbour_above_the_band_is_not_taken_for_background() -> None:
    spectrum = power_law(1.2) + line(20.0, 4.0, width_hz=2.0, exponent=1.2)
    (model, row), _ = background_of(one_channel(410, spectrum, 120)[:, 0])
    assert len(model.bumps) == 1
    assert row[0, CENTER] == pytest.approx(20.0, abs=0.8)
    (bare, _), _ = background_of(one_channel(411, power_law(1.2), 120)[:, 0])
    assert bare.bumps == ()


@pytest.mark.parametrize("knee_hz", [5.0, 8.0, 12.0])
def test_a_bend_is_found(knee_hz: float) -> None:
    law = power_law(2.0, knee_hz)
    shape = 300.0
    plain = masked_background(FREQS_HZ, law, OUTSIDE, BAND_HZ, shape)
    model, row = with_knee(FREQS_HZ, law, OUTSIDE, plain, shape)
    assert model.knee
    assert REFERENCE_HZ * np.exp(row[0, 2]) == pytest.approx(knee_hz, rel=0.05)
    assert row[0, 1] == pytest.approx(2.0, abs=0.1)


def test_a_straight_law_is_seldom_called_bent() -> None:
    bent = 0
    for i in range(60):
        segments = one_channel(420 + i, power_law((0.8, 1.2, 2.0)[i % 3]), 90)[:, 0]
        plain, per_bin = background_of(segments)
        bent += with_knee(FREQS_HZ, segments.mean(axis=0), OUTSIDE, plain, per_bin)[0].knee
    assert bent <= 3


def test_filter_edges_are_not_natural_and_any_law_of_the_brain_is() -> None:
    for i, exponent in enumerate((0.5, 1.2, 2.5)):
        plain, _ = background_of(one_channel(430 + i, power_law(exponent), 60)[:, 0])
        assert looks_unfiltered(FREQS_HZ, plain)
    band_pass = 1.0 / (1.0 + ((FREQS_HZ - 10.0) / 4.0) ** 8)
    plain, _ = background_of(one_channel(434, power_law(1.2) * band_pass, 60)[:, 0])
    assert not looks_unfiltered(FREQS_HZ, plain)


# --- the rhythm ------------------------------------------------------------------------------


def test_no_rhythm_is_rarely_evident() -> None:
    """Noise reaches the limit once in about 200, with and without a knee in the background."""
    found = []
    for i in range(120):
        law = power_law((0.8, 1.2, 1.6, 2.0)[i % 4], (0.0, 6.0)[i // 4 % 2])
        found.append(rhythm_in(one_channel(500 + i, law, 45)).evidence)
    assert np.sum(np.array(found) >= EVIDENCE) <= 2
    assert np.median(found) < 6.0


@pytest.mark.parametrize("center_hz", [8.0, 10.3, 12.0])
def test_a_clear_rhythm(center_hz: float) -> None:
    found = rhythm_in(one_channel(5, power_law(1.0) + line(center_hz, 5.0), 60))
    assert found.evidence > 100.0
    assert found.peak_hz == pytest.approx(center_hz, abs=0.25)
    assert found.center_of_gravity_hz == pytest.approx(center_hz, abs=0.35)
    assert found.prominence_db == pytest.approx(10 * np.log10(6.0), abs=1.5)
    assert found.width_hz == pytest.approx(2.355 * 0.6, abs=0.5)
    assert 0.02 < found.location.sd_hz < 0.3
    assert found.share_in_band > 0.9
    assert found.knee_hz is None
    assert found.unfiltered
    assert found.narrowed == (False, False)
    assert not found.two.is_split(BAND_HZ)
    assert found.fitted[1][0, -2] == pytest.approx(found.peak_hz, abs=0.1)


def test_least_squares_weigh_relative_errors() -> None:
    level = power_law(1.5)
    regressors = np.stack([level, level * np.log(FREQS_HZ), line(10.0, 3.0)])
    truth = np.array([[1.0, 2.0], [0.3, -0.2], [0.5, 4.0]])
    found = least_squares(regressors, truth.T @ regressors, level)
    np.testing.assert_allclose(found, truth, rtol=1e-5, atol=1e-6)
    # One constant for a spectrum with a tenth too much in every second bin.
    uneven = level * (1.0 + 0.1 * (np.arange(FREQS_HZ.size) % 2))
    share = least_squares(level[None], uneven[None], level)[0, 0]
    assert share == pytest.approx(1.0 + 0.1 * np.mean(np.arange(FREQS_HZ.size) % 2), rel=1e-6)
    twice = least_squares(np.stack([level, level]), level[None], level)
    np.testing.assert_allclose(twice, 0.5, rtol=1e-3)  # and no division by zero


def test_evidence_grows_with_what_was_recorded() -> None:
    spectrum = power_law(1.0) + line(10.0, 1.0)
    found = [
        np.median([rhythm_in(one_channel(600 + i, spectrum, n)).evidence for i in range(9)])
        for n in (15, 45, 135)
    ]
    assert found[0] < 0.6 * found[1] < 0.36 * found[2]


def test_channels_that_carry_the_rhythm_count_more() -> None:
    rng = np.random.default_rng(7)
    segments = made_segments(rng, power_law(1.0), [(line(10.0, 4.0), [1.0, 1.0, 0.0, 0.3])], 60)
    found = rhythm_in(segments)
    assert found.weights.sum() == pytest.approx(1.0)
    assert np.all(found.weights >= 0.0)
    assert min(found.weights[:2]) > 5.0 * found.weights[2]
    assert min(found.weights[:2]) > found.weights[3] > found.weights[2]
    np.testing.assert_allclose(
        found.segments, np.einsum("c,scf->sf", found.weights, segments), rtol=1e-12
    )


def test_equal_input_equal_output() -> None:
    segments = one_channel(6, power_law(1.0) + line(9.5, 2.0), 40)
    one, two = (rhythm_in(segments) for _ in range(2))
    assert one.location == two.location
    assert one.evidence == two.evidence
    assert one.peak_hz == two.peak_hz
    np.testing.assert_array_equal(one.model, two.model)


def test_unit_and_order_of_channels_do_not_matter() -> None:
    rng = np.random.default_rng(8)
    segments = made_segments(rng, power_law(1.0), [(line(10.0, 3.0), [1.0, 0.7, 0.4])], 45)
    one, two = rhythm_in(segments), rhythm_in(1e3 * segments[:, [2, 0, 1]])
    assert two.peak_hz == pytest.approx(one.peak_hz, abs=1e-3)
    assert two.location.ci95_hz == pytest.approx(one.location.ci95_hz, abs=1e-2)
    assert two.evidence == pytest.approx(one.evidence, rel=1e-2)
    np.testing.assert_allclose(two.weights, one.weights[[2, 0, 1]], atol=1e-3)


# --- a rhythm that is not one symmetric bump -------------------------------------------------


def lopsided_line(center_hz: float) -> tuple[Array, float]:
    """Steep above, a long foot below; where its top is."""
    fine = np.arange(3.0, 30.0, 0.005)

    def shape(freqs: Array) -> Array:
        high = np.exp(-0.5 * ((freqs - center_hz) / 0.45) ** 2)
        return np.asarray(high + 0.6 * np.exp(-0.5 * ((freqs - center_hz + 1.4) / 0.6) ** 2))

    return np.asarray(8.0 / center_hz * shape(FREQS_HZ)), float(fine[np.argmax(shape(fine))])


def test_the_peak_of_a_lopsided_rhythm_is_its_top() -> None:
    errors, single, covered = [], [], []
    for i in range(20):
        spectrum, top_hz = lopsided_line(9.5 + 0.1 * i)
        found = rhythm_in(one_channel(700 + i, power_law(1.0) + spectrum, 90))
        assert found.uneven is not None
        assert found.peak_hz == found.uneven.top_hz
        assert found.center_of_gravity_hz < found.peak_hz
        errors.append(abs(found.peak_hz - top_hz))
        single.append(abs(found.fitted[1][0, -2] - top_hz))
        low, high = found.location.ci95_hz
        covered.append(low <= top_hz <= high)
    assert np.median(errors) < 0.1
    assert np.median(errors) < 0.5 * np.median(single)
    assert sum(covered) >= 17


def test_one_symmetric_bump_is_seldom_called_lopsided() -> None:
    called = [
        rhythm_in(one_channel(800 + i, power_law(1.0) + line(8.5 + 0.05 * i, 4.0), 60)).uneven
        for i in range(70)
    ]
    assert sum(item is not None for item in called) <= 3


def test_fit_range_follows_the_band() -> None:
    assert fit_range_hz((7.0, 13.0), 125.0) == pytest.approx((3.01, 29.9))
    assert fit_range_hz((13.0, 30.0), 125.0)[1] == 45.0
    assert fit_range_hz((7.0, 13.0), 30.0)[1] == 27.0
