"""The likelihood fit and the presence test against exact and simulated truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.likelihood import Bump, SpectrumModel, deviance, fit
from analysis.presence import (
    HANN_INFLATION,
    freedom,
    hann_correlation,
    masked_background,
    presence,
)
from analysis.rhythm import fit_range_hz, fit_rhythm
from analysis.spectrum import segment_spectra

FREQS_HZ = np.arange(3.0, 30.0, 0.25)
MODEL = SpectrumModel(FREQS_HZ, (Bump((5.5, 14.5), (0.15, 2.0)),))
BAND_HZ = (7.0, 13.0)


def gamma_segments(rng: np.random.Generator, spectrum: np.ndarray, count: int) -> np.ndarray:
    """Half-overlapping Hann segments of Gaussian noise with this spectrum, by way of the signal."""
    fs, n = 100.0, 200 * (count + 1)
    grid = np.fft.rfftfreq(n, 1 / fs)
    psd = np.interp(grid, FREQS_HZ, spectrum)
    white = rng.normal(size=grid.size) + 1j * rng.normal(size=grid.size)
    signal = np.fft.irfft(white * np.sqrt(psd * n * fs / 4), n)[None]
    got = segment_spectra(signal, fs, fmin_hz=FREQS_HZ[0], fmax_hz=FREQS_HZ[-1])
    return got.power[:, 0]


@settings(max_examples=20, deadline=None)
@given(
    slope=st.floats(0.5, 2.2),
    curvature=st.floats(-0.3, 0.3),
    height=st.floats(-1.0, 3.0),
    center_hz=st.floats(7.0, 13.0),
    width=st.floats(-1.2, 0.4),
)
def test_derivatives(
    slope: float, curvature: float, height: float, center_hz: float, width: float
) -> None:
    row = np.array([[0.3, slope, curvature, height, center_hz, width]])
    total, slopes = MODEL.jacobian(row)
    np.testing.assert_allclose(total, MODEL.spectrum(row))
    for i in range(row.shape[1]):
        step = np.zeros_like(row)
        step[0, i] = 1e-6
        numeric = (np.log(MODEL.spectrum(row + step)) - np.log(MODEL.spectrum(row - step))) / 2e-6
        np.testing.assert_allclose(slopes[0, i], numeric[0], atol=1e-6)


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
    rng = np.random.default_rng(3)
    found = [float(np.median(freedom(gamma_segments(rng, 1 / FREQS_HZ, 60)))) for _ in range(20)]
    assert np.mean(found) == pytest.approx(60 / (1 + 2 / 36), rel=0.05)


def test_no_rhythm_is_rarely_significant() -> None:
    """The presence test keeps its level, roughly, with and without a knee in the background."""
    rng = np.random.default_rng(4)
    outside = (FREQS_HZ < 5.5) | (FREQS_HZ > 14.5)
    found = []
    for i in range(120):
        exponent = (0.8, 1.2, 1.6, 2.0)[i % 4]
        knee = (0.0, 6.0)[i // 4 % 2]
        segments = gamma_segments(rng, 1 / (knee**exponent + FREQS_HZ**exponent), 45)
        mean, shape = segments.mean(axis=0), float(np.median(freedom(segments)))
        background = masked_background(FREQS_HZ, mean, outside, BAND_HZ, shape / HANN_INFLATION)
        found.append(presence(FREQS_HZ, mean, outside, background, shape, BAND_HZ, rng)[1])
    assert np.mean(np.array(found) < 0.01) <= 0.06
    assert np.mean(np.array(found) < 0.5) == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("center_hz", [8.0, 10.3, 12.0])
def test_a_clear_rhythm(center_hz: float) -> None:
    rng = np.random.default_rng(5)
    bump = np.exp(-0.5 * ((FREQS_HZ - center_hz) / 0.6) ** 2)
    segments = gamma_segments(rng, 1 / FREQS_HZ + 5.0 / center_hz * bump, 60)
    found = fit_rhythm(FREQS_HZ, segments, BAND_HZ)
    assert found.p_value < 0.002
    assert found.peak_hz == pytest.approx(center_hz, abs=0.25)
    assert found.center_of_gravity_hz == pytest.approx(center_hz, abs=0.35)
    assert found.prominence_db == pytest.approx(10 * np.log10(6.0), abs=1.5)
    assert found.width_hz == pytest.approx(2.355 * 0.6, abs=0.5)
    assert 0.02 < found.replicates_hz.std() < 0.3
    assert found.share_in_band > 0.9
    assert found.second is None or found.second[1] < 0.2


def test_equal_input_equal_output() -> None:
    segments = gamma_segments(np.random.default_rng(6), 1 / FREQS_HZ, 40)
    one, two = (fit_rhythm(FREQS_HZ, segments, BAND_HZ) for _ in range(2))
    np.testing.assert_array_equal(one.replicates_hz, two.replicates_hz)
    assert one.p_value == two.p_value


def test_two_rhythms_are_seen() -> None:
    rng = np.random.default_rng(7)
    bumps = sum(np.exp(-0.5 * ((FREQS_HZ - c) / 0.4) ** 2) for c in (8.8, 11.2))
    segments = gamma_segments(rng, 1 / FREQS_HZ + 1.0 * bumps, 90)
    found = fit_rhythm(FREQS_HZ, segments, BAND_HZ)
    assert found.second is not None
    assert {round(found.peak_hz / 2.4), round(found.second[0] / 2.4)} == {4, 5}
    assert found.second[1] > 0.5


def test_fit_range_follows_the_band() -> None:
    assert fit_range_hz((7.0, 13.0), 125.0) == pytest.approx((3.01, 29.9))
    assert fit_range_hz((13.0, 30.0), 125.0)[1] == 45.0
    assert fit_range_hz((7.0, 13.0), 30.0)[1] == 27.0
