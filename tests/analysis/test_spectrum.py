"""Segment spectra against closed forms, and the fooof adapter against planted parameters."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import welch

from analysis.errors import AnalysisError
from analysis.spectrum import fit_spectrum, segment_spectra
from tests.data import recording


def test_equals_scipy_welch() -> None:
    data = np.random.default_rng(1).normal(size=(3, 4000))
    got = segment_spectra(data, 200.0)
    freqs, psd = welch(data, 200.0, window="hann", nperseg=800, noverlap=400)
    np.testing.assert_allclose(got.freqs_hz, freqs)
    np.testing.assert_allclose(got.mean(), psd, rtol=1e-9)
    assert got.power.shape == (9, 3, 401)
    assert got.seconds_used == 20.0
    np.testing.assert_allclose(np.diff(got.starts_s), 2.0)


@settings(max_examples=25, deadline=None)
@given(
    amplitude=st.floats(0.1, 100.0),
    frequency_hz=st.floats(5.0, 30.0),
    method=st.sampled_from(["hann", "multitaper"]),
)
def test_power_of_a_sine_is_kept(amplitude: float, frequency_hz: float, method: str) -> None:
    time_s = np.arange(2000) / 100.0
    data = amplitude * np.sin(2 * np.pi * frequency_hz * time_s)[None]
    got = segment_spectra(data, 100.0, method="hann" if method == "hann" else "multitaper")
    power = np.sum(got.mean()[0]) * (got.freqs_hz[1] - got.freqs_hz[0])
    assert power == pytest.approx(amplitude**2 / 2, rel=0.02)
    assert abs(got.freqs_hz[np.argmax(got.mean()[0])] - frequency_hz) <= 0.6


def test_white_noise_level() -> None:
    data = np.random.default_rng(2).normal(0.0, 3.0, size=(4, 60000))
    for method in ("hann", "multitaper"):
        got = segment_spectra(data, 100.0, method=method, fmin_hz=1.0, fmax_hz=45.0)
        assert np.mean(got.mean()) == pytest.approx(9.0 / 50.0, rel=0.02)
        assert got.freqs_hz[0] == 1.0
        assert got.freqs_hz[-1] == 45.0


def test_segments_with_bad_samples_are_left_out() -> None:
    data = np.random.default_rng(3).normal(size=(1, 2000))
    data[0, 1050] = 1e6
    bad = np.zeros(2000, dtype=bool)
    bad[1050] = True
    got = segment_spectra(data, 100.0, bad=bad)
    assert list(got.starts_s) == [0.0, 2.0, 4.0, 6.0, 12.0, 14.0, 16.0]
    assert got.power.max() < 1.0
    assert got.seconds_used == 18.0


def test_recording_shorter_than_a_segment_has_none() -> None:
    got = segment_spectra(np.zeros((2, 300)), 100.0)
    assert got.power.shape[0] == 0
    assert got.seconds_used == 0.0


def test_multitaper_too_narrow_is_refused() -> None:
    with pytest.raises(AnalysisError, match=r"0\.1 Hz is too narrow.*at least 0\.5 Hz"):
        segment_spectra(np.zeros((1, 1000)), 100.0, method="multitaper", bandwidth_hz=0.1)


FREQS_HZ = np.arange(1.0, 45.25, 0.25)


@settings(max_examples=15, deadline=None)
@given(
    exponent=st.floats(0.5, 2.2),
    offset=st.floats(-14.0, 2.0),
    center_hz=st.floats(7.0, 14.0),
    height=st.floats(0.3, 1.2),
)
def test_fooof_finds_planted_parameters(
    exponent: float, offset: float, center_hz: float, height: float
) -> None:
    bump = height * np.exp(-((FREQS_HZ - center_hz) ** 2) / (2 * 1.0**2))
    found = fit_spectrum(FREQS_HZ, 10.0 ** (offset - exponent * np.log10(FREQS_HZ) + bump))
    assert found.exponent == pytest.approx(exponent, abs=0.03)
    assert found.offset == pytest.approx(offset, abs=0.05)
    tallest = max(found.peaks, key=lambda peak: peak[1])
    assert tallest[0] == pytest.approx(center_hz, abs=0.1)
    assert tallest[1] == pytest.approx(height, abs=0.06)
    assert tallest[2] == pytest.approx(2.0, abs=0.3)
    assert found.r_squared > 0.99
    np.testing.assert_allclose(found.aperiodic(np.array([1.0])), 10.0**found.offset)


@pytest.mark.parametrize(
    ("psd", "words"),
    [
        (np.full(FREQS_HZ.size, np.nan), "NaN"),
        (np.zeros(FREQS_HZ.size), "zero"),
        (np.ones(3), "shape"),
    ],
)
def test_spectra_that_cannot_be_fitted(psd: np.ndarray, words: str) -> None:
    with pytest.raises(AnalysisError, match=words):
        fit_spectrum(FREQS_HZ, psd)


def test_too_few_bins() -> None:
    with pytest.raises(AnalysisError, match="only 3 spectral bins"):
        fit_spectrum(np.array([2.0, 20.0, 40.0]), np.ones(3))


def test_fooof_leaves_the_warning_filters_alone() -> None:
    """The package calls simplefilter("always") when imported; nobody else may notice."""
    code = (
        "import warnings, numpy as np; before = list(warnings.filters);"
        "from analysis.spectrum import fit_spectrum;"
        "f = np.arange(1, 45, 0.5); fit_spectrum(f, 1 / f);"
        "assert warnings.filters == before, warnings.filters[:2]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_spectrum(FREQS_HZ, 1.0 / FREQS_HZ)


def test_importing_the_package_costs_nothing() -> None:
    code = (
        "import sys, analysis; assert {'find_peak', 'compare'} <= set(dir(analysis));"
        "print(sorted({'numpy', 'scipy', 'mne', 'fooof', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_exist() -> None:
    import analysis

    for name in analysis.__all__:
        assert getattr(analysis, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = analysis.nonsense


def test_real_spectra_of_fooof() -> None:
    """The alpha peaks measured on fooof's own example spectra."""
    powers = np.load(recording("fooof_spectra/group_powers.npy"))
    freqs = np.load(recording("fooof_spectra/group_freqs.npy"))
    measured = (9.40, 9.38, 9.47, 10.91, 10.54, 9.49, 9.43, 9.42)
    close = 0
    for psd, peak_hz in zip(powers, measured, strict=False):
        found = fit_spectrum(freqs, psd)
        assert found.r_squared > 0.95
        bumps = [h * np.exp(-2.0 * ((freqs - c) / b) ** 2) for c, h, b in found.peaks]
        inside = (freqs >= 7.0) & (freqs <= 13.0)
        tallest_hz = freqs[inside][np.argmax(np.sum(bumps, axis=0)[inside])]
        close += abs(tallest_hz - peak_hz) < 0.6
    assert close >= 7
