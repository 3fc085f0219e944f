"""Batch parametrisation against fooof itself, against known truth, and its two engines compared."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import parametrise as module
from analysis.errors import AnalysisError
from analysis.parametrise import Parametrisation, parametrise
from analysis.parametrise_start import find_peaks
from analysis.parametrise_step import Quadratic, trust_step
from analysis.parametrise_trf import fit_gaussians
from analysis.spectrum import fit_spectrum
from tests.analysis.made_spectra import make_spectra
from tests.data import recording

ENGINES = ("numpy", "numba")


def run_fooof(freqs: np.ndarray, psd: np.ndarray, **options: Any) -> list[Any]:
    """Fits of fooof itself, from 2 to 40 Hz."""
    with warnings.catch_warnings(record=True):
        from fooof import FOOOFGroup

        chosen = {"peak_width_limits": (1.0, 8.0), "max_n_peaks": 6, "min_peak_height": 0.1}
        model = FOOOFGroup(**(chosen | options), verbose=False)
        model.fit(freqs, psd, [2.0, 40.0])
        return list(model.get_results())


def assert_same_as_fooof(got: Parametrisation, fooof: list[Any], *, but: int = 0) -> None:
    """Same peaks everywhere; same numbers in all spectra but a few, whose minimum is no worse."""
    assert got.converged.all()
    off = []
    for i, fit in enumerate(fooof):
        count = got.n_peaks[i]
        assert count == len(fit.peak_params)
        close = (
            np.allclose(got.peaks[i, :count], np.reshape(fit.peak_params, (-1, 3)), atol=2e-3)
            and abs(got.offset[i] - fit.aperiodic_params[0]) < 1e-3
            and abs(got.exponent[i] - fit.aperiodic_params[-1]) < 1e-3
            and abs(got.r_squared[i] - fit.r_squared) < 1e-4
            and abs(got.error[i] - fit.error) < 1e-4
        )
        if not close:
            off.append(i)
            assert got.error[i] == pytest.approx(fit.error, rel=0.05)
    assert len(off) <= but, off


@pytest.mark.parametrize("engine", ENGINES)
def test_same_as_fooof(engine: Any) -> None:
    if engine == "numba":
        pytest.importorskip("numba")
    made = make_spectra(60, 3)
    got = parametrise(made.freqs_hz, made.psd, engine=engine)
    assert got.n_peaks.mean() > 4.0  # the noise gives the fit plenty to do
    assert_same_as_fooof(got, run_fooof(made.freqs_hz, made.psd), but=1)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"max_peaks": 1}, {"max_n_peaks": 1}),
        ({"peak_width_hz": (2.0, 5.0)}, {"peak_width_limits": (2.0, 5.0)}),
        ({"peak_threshold": 3.0}, {"peak_threshold": 3.0}),
        ({"min_peak_height_log10": 0.4}, {"min_peak_height": 0.4}),
    ],
)
def test_settings_mean_what_they_mean_in_fooof(
    ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    made = make_spectra(24, 4, n_channels=8)
    got = parametrise(made.freqs_hz, made.psd, **ours)
    assert_same_as_fooof(got, run_fooof(made.freqs_hz, made.psd, **theirs), but=1)


@pytest.mark.parametrize("knee_hz", [0.0, 6.0])
def test_knee_mode_same_as_fooof(knee_hz: float) -> None:
    made = make_spectra(24, 5, n_channels=8, n_averages=40.0, knee_hz=knee_hz)
    got = parametrise(made.freqs_hz, made.psd, aperiodic_mode="knee")
    fooof = run_fooof(made.freqs_hz, made.psd, aperiodic_mode="knee")
    assert_same_as_fooof(got, fooof, but=1)
    assert got.knee is not None
    knees = np.array([fit.aperiodic_params[1] for fit in fooof])
    assert np.mean(np.abs(got.knee - knees) <= 1e-3 * np.maximum(1.0, np.abs(knees))) > 0.9
    with pytest.raises(AnalysisError, match="holds no knee"):
        got.fits()


def test_real_spectra_same_as_fooof() -> None:
    psd = np.load(recording("fooof_spectra/group_powers.npy"))
    freqs = np.load(recording("fooof_spectra/group_freqs.npy"))
    assert_same_as_fooof(parametrise(freqs, psd), run_fooof(freqs, psd), but=1)


def test_recovers_known_truth() -> None:
    made = make_spectra(64, 6, n_averages=2000.0, step_hz=0.25)
    got = parametrise(made.freqs_hz, made.psd)
    plain = made.alpha_height > 0.3
    tallest = np.array([peaks[np.nanargmax(peaks[:, 1])] for peaks in got.peaks[plain]])
    assert np.median(np.abs(tallest[:, 0] - made.alpha_hz[plain])) < 0.03
    assert np.median(np.abs(tallest[:, 1] - made.alpha_height[plain])) < 0.05
    assert np.median(np.abs(got.exponent - made.exponent)) < 0.02
    assert np.all(got.r_squared > 0.98)


def test_recovers_a_known_knee() -> None:
    made = make_spectra(8, 7, n_channels=8, n_averages=np.inf, alpha=False, knee_hz=5.0)
    got = parametrise(made.freqs_hz, made.psd, aperiodic_mode="knee")
    assert got.knee is not None
    np.testing.assert_allclose(got.exponent, made.exponent, rtol=1e-4)
    np.testing.assert_allclose(got.knee ** (1.0 / got.exponent), 5.0, rtol=1e-3)


def test_engines_agree() -> None:
    pytest.importorskip("numba")
    made = make_spectra(600, 8)
    one, other = (
        parametrise(made.freqs_hz, made.psd, engine=engine) for engine in ("numpy", "numba")
    )
    np.testing.assert_array_equal(one.n_peaks, other.n_peaks)
    same = np.nanmax(np.abs(one.peaks - other.peaks), axis=(1, 2), initial=0.0) < 1e-4
    assert same.mean() > 0.99
    np.testing.assert_allclose(one.exponent[same], other.exponent[same], atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_batch_is_its_spectra_one_by_one(engine: Any) -> None:
    """Places in the queue and paddings leave no trace; few spectra take another way than many."""
    if engine == "numba":
        pytest.importorskip("numba")
    made = make_spectra(64, 9, n_averages=30.0)
    together = parametrise(made.freqs_hz, made.psd, engine=engine)
    for i in range(0, 64, 7):
        alone = parametrise(made.freqs_hz, made.psd[i], engine=engine)
        np.testing.assert_allclose(alone.peaks[0], together.peaks[i], atol=1e-5)
        assert alone.exponent[0] == pytest.approx(together.exponent[i], abs=1e-7)


QUIET = make_spectra(8, 10, n_channels=8, n_averages=200.0)


@settings(max_examples=20, deadline=None)
@given(decades=st.floats(-18.0, 6.0))
def test_scaling_the_power_shifts_only_the_offset(decades: float) -> None:
    base = parametrise(QUIET.freqs_hz, QUIET.psd)
    got = parametrise(QUIET.freqs_hz, QUIET.psd * 10.0**decades)
    np.testing.assert_allclose(got.offset, base.offset + decades, atol=1e-5)
    for name in ("exponent", "r_squared", "error"):
        np.testing.assert_allclose(getattr(got, name), getattr(base, name), atol=1e-5)
    np.testing.assert_allclose(got.peaks, base.peaks, atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(
    exponent=st.floats(0.0, 3.0),
    center_hz=st.floats(12.0, 28.0),
    height=st.floats(0.2, 1.5),
    width_hz=st.floats(1.5, 4.0),
)
def test_one_clean_peak_is_found(
    exponent: float, center_hz: float, height: float, width_hz: float
) -> None:
    freqs = np.arange(1.0, 45.0, 0.25)
    bump = height * np.exp(-((freqs - center_hz) ** 2) / (2.0 * (width_hz / 2.0) ** 2))
    got = parametrise(freqs, 10.0 ** (bump - exponent * np.log10(freqs)))
    tallest = got.peaks[0, np.nanargmax(got.peaks[0, :, 1])]
    assert tallest[0] == pytest.approx(center_hz, abs=0.25)
    assert tallest[1] == pytest.approx(height, abs=0.1)


def test_no_peak() -> None:
    freqs = np.arange(1.0, 45.0, 0.5)
    got = parametrise(freqs, np.stack([freqs**-1.5, 3.0 * freqs**-0.5]))
    np.testing.assert_array_equal(got.n_peaks, 0)
    assert np.all(np.isnan(got.peaks))
    np.testing.assert_allclose(got.exponent, [1.5, 0.5], atol=1e-9)
    np.testing.assert_allclose(got.r_squared, 1.0)
    assert got.fits()[0].peaks == ()
    flat = parametrise(freqs, np.ones((1, freqs.size)))
    assert np.isnan(flat.r_squared[0])
    assert flat.exponent[0] == pytest.approx(0.0, abs=1e-12)


def test_mixed_batch_keeps_its_order() -> None:
    """Spectra with and without peaks, of different numbers of peaks, come back where they were."""
    made = make_spectra(30, 11, n_averages=400.0)
    psd = made.psd.copy()
    psd[::3] = made.freqs_hz**-1.0
    got = parametrise(made.freqs_hz, psd)
    np.testing.assert_array_equal(got.n_peaks[::3], 0)
    np.testing.assert_allclose(got.exponent[::3], 1.0, atol=1e-9)
    for i in (1, 13, 28):
        alone = parametrise(made.freqs_hz, psd[i])
        np.testing.assert_allclose(got.peaks[i], alone.peaks[0], atol=1e-5)


def test_form_of_the_result() -> None:
    made = make_spectra(6, 12, n_channels=6, n_averages=50.0)
    got = parametrise(made.freqs_hz, made.psd.reshape(2, 3, -1))
    assert got.peaks.shape == (6, 6, 3)
    assert got.fit_range_hz == (2.0, 40.0)
    assert json.loads(json.dumps(got.to_dict()))["exponent"] == got.exponent.tolist()
    one, alone = got.fits()[4], fit_spectrum(made.freqs_hz, made.psd[4])
    assert one.exponent == pytest.approx(alone.exponent, abs=1e-5)
    assert one.fit_range_hz == alone.fit_range_hz
    np.testing.assert_allclose(one.peaks, alone.peaks, atol=1e-3)
    freqs = got.peaks[:, :, 0]
    assert np.all(np.diff(freqs, axis=1)[np.isfinite(np.diff(freqs, axis=1))] > 0.0)


FREQS = np.arange(1.0, 45.0, 0.5)
GOOD = FREQS**-1.0
BAD = np.where(np.arange(FREQS.size) == 30, np.nan, GOOD)


@pytest.mark.parametrize(
    ("freqs", "psd", "options", "words"),
    [
        (FREQS, np.stack([GOOD, BAD]), {}, "spectrum 1 holds NaN, zero or negative power"),
        (FREQS, BAD, {}, "the spectrum holds NaN"),
        (FREQS, 0.0 * GOOD, {}, "zero or negative"),
        (FREQS, GOOD[:-1], {}, "shape"),
        (FREQS, np.empty((0, FREQS.size)), {}, "no spectrum"),
        (FREQS, GOOD, {"fit_range_hz": (2.0, 8.0)}, "only 13 spectral bins between 2 and 8 Hz"),
        (FREQS**1.01, GOOD, {}, "not evenly spaced"),
        (FREQS, GOOD, {"peak_width_hz": (3.0, 1.0)}, "3 to 1 Hz are no range"),
        (FREQS, GOOD, {"max_peaks": 0}, "at most 0 peaks"),
        (FREQS, GOOD, {"aperiodic_mode": "lorentz"}, "'lorentz' is not known"),
        (FREQS, GOOD, {"engine": "cuda"}, "'cuda' is not known"),
    ],
)
def test_refusals(freqs: Any, psd: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(AnalysisError, match=words) as caught:
        parametrise(freqs, psd, **options)
    assert "\n" not in str(caught.value)


def test_zero_frequency_is_left_out() -> None:
    freqs = np.arange(0.0, 45.0, 0.5)
    psd = np.append(7.0, freqs[1:] ** -1.0)
    got = parametrise(freqs, psd, fit_range_hz=(0.0, 40.0))
    assert got.freqs_hz[0] == 0.5
    assert got.exponent[0] == pytest.approx(1.0)


def test_exact_fit_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_spectra(6, 13, n_channels=6, n_averages=50.0)
    usual = parametrise(made.freqs_hz, made.psd)
    assert not usual.exact.any()

    def gives_up(*inputs: Any) -> Any:
        found = fit_gaussians(*inputs)
        found.converged[:] = False
        return found

    monkeypatch.setattr(module, "fit_gaussians", gives_up)
    exact = parametrise(made.freqs_hz, made.psd)
    assert exact.exact.all()
    assert exact.converged.all()
    np.testing.assert_allclose(exact.peaks, usual.peaks, atol=1e-3)
    np.testing.assert_allclose(exact.cost, usual.cost, rtol=1e-5)
    without = parametrise(made.freqs_hz, made.psd, exact_fallback=False)
    assert not without.exact.any()
    assert not without.converged.any()
    with pytest.raises(AnalysisError, match="spectrum 0 has no fit"):
        without.fits()


@pytest.mark.parametrize("engine", ENGINES)
def test_out_of_evaluations_is_said(engine: str) -> None:
    if engine == "numba":
        pytest.importorskip("numba")
    made = make_spectra(5, 14, n_channels=5)
    freqs, flat = (
        made.freqs_hz,
        np.log10(made.psd) + made.exponent[:, None] * np.log10(made.freqs_hz),
    )
    guesses = find_peaks(
        freqs,
        flat - flat.min(axis=1, keepdims=True),
        peak_width_hz=(1.0, 8.0),
        max_peaks=4,
        min_peak_height_log10=0.0,
        peak_threshold=0.0,
    )
    home = "parametrise_trf" if engine == "numpy" else "parametrise_numba"
    fit = importlib.import_module(f"analysis.{home}").fit_gaussians
    inputs = (guesses.start, guesses.lower, guesses.upper, guesses.n_peaks)
    short, long = fit(freqs, flat, *inputs, 3), fit(freqs, flat, *inputs, 500)
    assert not short.converged.any()
    np.testing.assert_array_equal(short.evaluations, 3)
    assert long.converged.all()
    assert np.all(long.cost <= short.cost)


@pytest.mark.parametrize("many", [5, 300])
def test_trust_step_minimises_within_the_sphere(many: int) -> None:
    """Against the definition: inside it solves, on the sphere it satisfies (B + a) p = -g."""
    rng = np.random.default_rng(many)
    size = 6
    rows = rng.normal(size=(many, size + 1, 20))
    gram = rows @ rows.transpose(0, 2, 1)
    unit, extra = rng.uniform(0.1, 2.0, (size, many)), rng.uniform(0.0, 1.0, (size, many))
    gradient = gram[:, -1, :-1].T * unit
    gram[:, -1, -1] = np.finfo(float).max
    radius = rng.choice([0.01, 0.3, 100.0], many)
    with np.errstate(all="ignore"):
        step, alpha = trust_step(Quadratic(gram, unit, extra, gradient), radius, np.zeros(many))
    length = np.linalg.norm(step, axis=0)
    assert np.all(length <= radius * (1.0 + 1e-12))
    for i in range(many):
        b = unit[:, i, None] * gram[i, :-1, :-1] * unit[:, i] + np.diag(extra[:, i] + alpha[i])
        exact = -np.linalg.solve(b, gradient[:, i])
        np.testing.assert_allclose(step[:, i], exact, rtol=1e-2, atol=1e-3 * radius[i])
        assert alpha[i] == 0.0 or length[i] == pytest.approx(radius[i])


@pytest.mark.parametrize("many", [60, 300])
def test_a_singular_model_leaves_the_others_alone(many: int) -> None:
    """A matrix without an inverse gets a step of the full length and does not spoil the batch."""
    gram = np.tile(np.diag([2.0, 3.0, 4.0, np.finfo(float).max]), (many, 1, 1))
    gram[:, -1, :-1] = 1.0
    gram[7, 0, 0] = 0.0
    ones = np.ones((3, many))
    with np.errstate(all="ignore"):
        model = Quadratic(gram, ones, 0.0 * ones, ones)
        step, alpha = trust_step(model, np.full(many, 9.0), np.zeros(many))
    regular = np.arange(many) != 7
    np.testing.assert_allclose(step[:, regular].T, [[-0.5, -1 / 3, -0.25]] * (many - 1))
    assert np.linalg.norm(step[:, 7]) == pytest.approx(9.0)
    assert alpha[7] > 0.0


def test_both_solvers_keep_the_same_rules() -> None:
    pytest.importorskip("numba")
    compiled = importlib.import_module("analysis.parametrise_numba")
    batched = importlib.import_module("analysis.parametrise_trf")
    assert compiled.TOLERANCE == batched.TOLERANCE


def test_numba_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "analysis.parametrise_numba", raising=False)
    with pytest.raises(AnalysisError, match=r"install tacs-suite\[fast\]"):
        parametrise(QUIET.freqs_hz, QUIET.psd, engine="numba")
    monkeypatch.setattr(module, "NUMBA_PAYS", 1)
    assert parametrise(QUIET.freqs_hz, QUIET.psd).converged.all()


def test_large_batches_take_the_compiled_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    compiled = importlib.import_module("analysis.parametrise_numba")
    calls = []

    def watched(*inputs: Any) -> Any:
        calls.append(len(inputs[1]))
        return fit_gaussians(*inputs)

    monkeypatch.setattr(compiled, "fit_gaussians", watched)
    parametrise(QUIET.freqs_hz, QUIET.psd)
    assert calls == []
    monkeypatch.setattr(module, "NUMBA_PAYS", 8)
    parametrise(QUIET.freqs_hz, QUIET.psd)
    assert calls == [8]


def test_compiles_where_nothing_can_be_written() -> None:
    pytest.importorskip("numba")
    code = (
        "import numpy as np; from analysis.parametrise_numba import _dot;"
        "a = np.arange(3.0); print(_dot(a, a), type(_dot).__name__, _dot.stats.cache_path)"
    )
    nowhere = {**os.environ, "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    nowhere.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=nowhere
    )
    assert done.stdout.split() == ["5.0", "CPUDispatcher", "None"], done.stderr


def test_one_spectrum_imports_nothing_heavy() -> None:
    code = (
        "import sys, numpy as np; from analysis.parametrise import parametrise;"
        "f = np.arange(1, 45, 0.5); b = np.exp(-(f - 10) ** 2 / 2);"
        "r = parametrise(f, 10 ** b / f); assert r.n_peaks[0] == 1, r;"
        "print(sorted({'scipy', 'numba', 'mne', 'fooof', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
