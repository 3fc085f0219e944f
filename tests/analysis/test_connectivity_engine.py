"""The connectivity engine: equal to mne-connectivity, one answer whatever the path, known truth."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import compiled as compiling
from analysis.connectivity import (
    MEASURES,
    SpectralConnectivity,
    band_fourier,
    band_multitaper,
    from_coefficients,
    spectral_connectivity,
)
from analysis.errors import AnalysisError
from analysis.io import load_recording
from analysis.transforms import bins_in, coefficients, from_complex, hann, slepian
from tests.data import recording

SFREQ_HZ = 250.0
OUR_MODES: dict[str, dict[str, Any]] = {
    "fourier": {"mode": "fourier", "bands_hz": ((8.0, 13.0), (15.0, 20.0))},
    "multitaper": {"mode": "multitaper", "bands_hz": ((8.0, 13.0), (15.0, 20.0))},
    "multitaper, 3 Hz": {
        "mode": "multitaper",
        "bands_hz": ((8.0, 13.0), (15.0, 20.0)),
        "mt_bandwidth_hz": 3.0,
        "mt_low_bias": False,
    },
    "cwt_morlet": {
        "mode": "cwt_morlet",
        "bands_hz": ((8.0, 13.0), (15.0, 20.0)),
        "morlet_freqs_hz": (9.0, 11.0, 14.0, 18.0),
        "morlet_cycles": (5.0, 6.0, 6.0, 7.0),
    },
}
ENGINES = (False, True)


def peer(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(pytest.importorskip("mne_connectivity"), name)


def theirs(epochs: np.ndarray, ours: dict[str, Any], **more: Any) -> list[Any]:
    """The same question, asked of mne-connectivity."""
    low, high = zip(*ours["bands_hz"], strict=True)
    told: dict[str, Any] = {
        "mode": ours["mode"],
        "fmin": low,
        "fmax": high,
        "mt_bandwidth": ours.get("mt_bandwidth_hz"),
        "mt_low_bias": ours.get("mt_low_bias", True),
    }
    if "morlet_freqs_hz" in ours:
        told["cwt_freqs"] = np.array(ours["morlet_freqs_hz"])
        told["cwt_n_cycles"] = np.array(ours["morlet_cycles"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = peer("spectral_connectivity_epochs")(
            epochs, method=list(MEASURES), sfreq=SFREQ_HZ, verbose="ERROR", **told, **more
        )
    return list(found)


def made(n_epochs: int = 14, n_channels: int = 6, n_samples: int = 375) -> np.ndarray:
    """Noise with one lagged and one zero-lag coupling, and offsets far above the signal."""
    rng = np.random.default_rng(n_channels)
    epochs = rng.standard_normal((n_epochs, n_channels, n_samples))
    epochs[:, 1] += np.roll(epochs[:, 0], 5, axis=-1)
    epochs[:, 3] += 2.0 * epochs[:, 2]
    return epochs


@pytest.mark.parametrize("compiled", ENGINES)
@pytest.mark.parametrize("faverage", [False, True])
@pytest.mark.parametrize("name", list(OUR_MODES))
def test_every_measure_and_mode_equals_mne_connectivity(
    name: str, faverage: bool, compiled: bool
) -> None:
    epochs, mode = made(), OUR_MODES[name]
    found = spectral_connectivity(
        epochs, SFREQ_HZ, measures=MEASURES, faverage=faverage, compiled=compiled, **mode
    )
    assert found.engine == ("numba" if compiled else "numpy")
    for measure, one in zip(MEASURES, theirs(epochs, mode, faverage=faverage), strict=True):
        dense = one.get_data("dense")[found.seeds, found.targets]
        assert found.values[measure].shape == dense.shape
        assert np.abs(found.values[measure] - dense).max() <= 1e-12, measure
        assert found.freqs_hz == pytest.approx(np.array(one.freqs))


@pytest.mark.parametrize("compiled", ENGINES)
def test_pairs_in_any_order_equal_mne_connectivity(compiled: bool) -> None:
    epochs = made()
    indices = (np.array([0, 4, 0, 2, 5]), np.array([4, 0, 1, 2, 3]))
    mode = OUR_MODES["multitaper"]
    found = spectral_connectivity(
        epochs, SFREQ_HZ, measures=MEASURES, indices=indices, compiled=compiled, **mode
    )
    for measure, one in zip(MEASURES, theirs(epochs, mode, indices=indices), strict=True):
        other = np.array(one.get_data())
        ours = found.values[measure]
        if measure in ("ciplv", "pli", "dpli", "wpli", "wpli2_debiased"):
            # A channel with itself: there a ratio of rounding errors (pli up to 0.7).
            assert np.all(ours[3] == (0.5 if measure == "dpli" else 0.0))
            ours, other = np.delete(ours, 3, axis=0), np.delete(other, 3, axis=0)
        assert np.abs(ours - other).max() <= 1e-12, measure


@pytest.mark.parametrize("compiled", ENGINES)
def test_seeds_are_rows_of_all_to_all(compiled: bool) -> None:
    epochs = made()
    mode = {**OUR_MODES["fourier"], "measures": MEASURES, "compiled": compiled}
    every = spectral_connectivity(epochs, SFREQ_HZ, **mode)
    some = spectral_connectivity(epochs, SFREQ_HZ, seeds=(4, 1), **mode)
    assert some.seeds.tolist() == [4] * 5 + [1] * 5
    for measure in MEASURES:
        whole = every.matrix(measure)
        assert not np.isnan(whole).any()
        assert some.values[measure] == pytest.approx(whole[some.seeds, some.targets], abs=1e-14)
        assert np.isnan(some.matrix(measure)[0, 2]).all()


@pytest.mark.parametrize("name", list(OUR_MODES))
@pytest.mark.parametrize("compiled", ENGINES)
def test_blocks_do_not_change_a_value(name: str, compiled: bool) -> None:
    epochs, told = made(), []
    mode = {**OUR_MODES[name], "measures": MEASURES, "compiled": compiled}
    whole = spectral_connectivity(epochs, SFREQ_HZ, **mode)
    parts = spectral_connectivity(epochs, SFREQ_HZ, block_bytes=6_000, progress=told.append, **mode)
    for measure in MEASURES:
        assert parts.values[measure] == pytest.approx(whole.values[measure], abs=1e-13)
    assert len(told) > 3
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_one_measure_alone_equals_the_same_among_all() -> None:
    epochs = made()
    for name in ("fourier", "multitaper"):
        for compiled in ENGINES:
            mode = {**OUR_MODES[name], "compiled": compiled}
            every = spectral_connectivity(epochs, SFREQ_HZ, measures=MEASURES, **mode)
            for measure in MEASURES:
                alone = spectral_connectivity(epochs, SFREQ_HZ, measures=(measure,), **mode)
                gap = alone.values[measure] - every.values[measure]
                assert np.abs(gap).max() <= 1e-13, measure


@pytest.mark.parametrize("compiled", ENGINES)
@pytest.mark.parametrize("name", ["fourier", "multitaper"])
def test_what_has_no_value_has_the_value_without_coupling(name: str, compiled: bool) -> None:
    epochs = made()
    epochs[:, 4] = 0.1  # flat
    epochs[:, 5] = -0.3 * epochs[:, 0] + 7.0  # the same up to a factor
    epochs[2, 1] = 3.0  # flat for one epoch
    found = spectral_connectivity(
        epochs, SFREQ_HZ, measures=MEASURES, compiled=compiled, **OUR_MODES[name]
    )
    flat = (found.seeds == 4) | (found.targets == 4)
    copy = (found.seeds == 5) & (found.targets == 0)
    for measure, values in found.values.items():
        assert np.isfinite(values).all()
        assert np.all(values[flat] == (0.5 if measure == "dpli" else 0.0)), measure
        if measure in ("ciplv", "pli", "wpli", "wpli2_debiased"):
            assert not values[copy].any(), measure
    assert found.values["coh"][copy] == pytest.approx(1.0, abs=1e-12)
    assert np.abs(found.values["imcoh"][copy]).max() < 1e-12
    assert np.all(found.values["dpli"][copy] == 0.5)


def test_an_offset_costs_no_digits() -> None:
    epochs = made()
    mode = {**OUR_MODES["fourier"], "measures": MEASURES}
    plain = spectral_connectivity(epochs, SFREQ_HZ, **mode)
    moved = spectral_connectivity(epochs + 2.0**20, SFREQ_HZ, **mode)
    for measure in MEASURES:
        # Adding the offset itself rounds the samples to 2^-32.
        assert moved.values[measure] == pytest.approx(plain.values[measure], abs=1e-7)


def test_lags_are_found_and_mixing_is_not() -> None:
    rng = np.random.default_rng(12)
    n_epochs, times = 80, np.arange(500) / SFREQ_HZ
    turn = rng.uniform(0.0, 2.0 * np.pi, (n_epochs, 1))
    epochs = 0.3 * rng.standard_normal((n_epochs, 4, times.size))
    wave = 2.0 * np.pi * 10.0 * times + turn
    epochs[:, 0] += np.sin(wave)
    epochs[:, 1] += np.sin(wave)  # the same at the same instant
    epochs[:, 2] += np.sin(wave - 1.2)  # later
    for name, mode in OUR_MODES.items():
        found = spectral_connectivity(
            epochs, SFREQ_HZ, measures=MEASURES, faverage=True,
            **{**mode, "bands_hz": (9.5, 10.5), "morlet_freqs_hz": (10.0,), "morlet_cycles": 7.0}
            if "morlet_freqs_hz" in mode else {**mode, "bands_hz": (9.5, 10.5)},
        )  # fmt: skip
        value = {
            measure: found.matrix(measure)[..., 0].reshape(4, 4, -1).mean(axis=-1)
            for measure in MEASURES
        }
        assert value["coh"][1, 0] > 0.8, name
        assert value["plv"][2, 0] > 0.8, name
        assert value["ppc"][2, 0] > 0.6, name
        for measure, least, most in (
            ("imcoh", 0.5, 0.15), ("ciplv", 0.6, 0.3), ("wpli", 0.9, 0.5), ("pli", 0.8, 0.35),
            ("wpli2_debiased", 0.8, 0.15),
        ):  # fmt: skip
            assert abs(value[measure][2, 0]) > least, (name, measure)
            assert abs(value[measure][1, 0]) < most, (name, measure)
        # Channel 0 leads channel 2: imaginary part of 0 against 2 is positive.
        assert value["imcoh"][0, 2] > 0.5
        assert value["dpli"][0, 2] > 0.9
        assert value["dpli"][2, 0] == pytest.approx(1.0 - value["dpli"][0, 2])
        assert abs(value["wpli2_debiased"][3, 0]) < 0.1


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 1000),
    st.lists(st.floats(1e-6, 1e6), min_size=4, max_size=4),
    st.permutations(range(4)),
)
def test_scale_and_order_of_channels_do_not_matter(
    seed: int, factors: list[float], order: list[int]
) -> None:
    epochs = np.random.default_rng(seed).standard_normal((6, 4, 100))
    mode: dict[str, Any] = {
        "measures": MEASURES, "bands_hz": (8.0, 20.0), "mode": "multitaper", "compiled": False
    }  # fmt: skip
    one = spectral_connectivity(epochs, 100.0, **mode)
    scaled = spectral_connectivity(epochs * np.array(factors)[:, None], 100.0, **mode)
    moved = spectral_connectivity(epochs[:, order], 100.0, **mode)
    for measure in MEASURES:
        whole = one.matrix(measure)
        assert scaled.matrix(measure) == pytest.approx(whole, abs=1e-10)
        assert moved.matrix(measure) == pytest.approx(whole[np.ix_(order, order)], abs=1e-10)
        low, high = (-1.0, 1.0) if measure == "imcoh" else (0.0, 1.0)
        if measure not in ("ppc", "wpli2_debiased"):
            assert low - 1e-12 <= whole.min() <= whole.max() <= high + 1e-12
        mirrored = {"imcoh": -whole, "dpli": 1.0 - whole}.get(measure, whole)
        assert whole.swapaxes(0, 1) == pytest.approx(mirrored, abs=1e-14)


def test_independent_channels_have_no_unbiased_measure() -> None:
    epochs = np.random.default_rng(5).standard_normal((150, 12, 250))
    found = spectral_connectivity(
        epochs, SFREQ_HZ, measures=("ppc", "wpli2_debiased", "coh"), mode="fourier",
        bands_hz=(8.0, 30.0), faverage=True,
    )  # fmt: skip
    assert abs(found.global_spectrum("ppc")[0]) < 2e-3
    assert abs(found.global_spectrum("wpli2_debiased")[0]) < 2e-3
    assert found.global_spectrum("coh")[0] > 0.05


def test_strength_and_spectrum_follow_the_pairs() -> None:
    found = spectral_connectivity(
        made(), SFREQ_HZ, measures=("imcoh", "dpli"), **OUR_MODES["fourier"]
    )
    whole = np.abs(found.matrix("imcoh"))
    assert found.node_strength("imcoh") == pytest.approx(whole.sum(axis=1) / 5.0)
    assert found.global_spectrum("imcoh") == pytest.approx(whole.sum(axis=(0, 1)) / 30.0)
    assert found.global_spectrum("dpli") == pytest.approx(
        np.abs(found.values["dpli"] - 0.5).mean(axis=0)
    )
    seeded = spectral_connectivity(
        made(), SFREQ_HZ, measures=("imcoh",), indices=((0,), (1,)), **OUR_MODES["fourier"]
    )
    assert np.isnan(seeded.node_strength("imcoh")[2]).all()


def test_coefficients_are_those_of_one_band() -> None:
    epochs = made()
    freqs, complex_ones = band_fourier(epochs, SFREQ_HZ, (8.0, 13.0))
    bins = bins_in(375, SFREQ_HZ, ((8.0, 13.0),))
    assert freqs == pytest.approx(bins * SFREQ_HZ / 375)
    table = coefficients(epochs, hann(375), bins)
    assert table == pytest.approx(from_complex(complex_ones), abs=1e-11)
    engine = spectral_connectivity(
        epochs, SFREQ_HZ, measures=MEASURES, mode="fourier", bands_hz=(8.0, 13.0), faverage=True
    )
    for measure, matrix in from_coefficients(complex_ones, MEASURES).items():
        assert matrix == pytest.approx(engine.matrix(measure)[:, :, 0], abs=1e-12)


def test_multitaper_coefficients_are_those_of_one_band() -> None:
    epochs = made()
    freqs, complex_ones = band_multitaper(epochs, SFREQ_HZ, (8.0, 13.0), bandwidth_hz=4.0)
    engine = spectral_connectivity(
        epochs, SFREQ_HZ, measures=MEASURES, mode="multitaper", bands_hz=(8.0, 13.0),
        mt_bandwidth_hz=4.0,
    )  # fmt: skip
    assert freqs == pytest.approx(engine.freqs_hz)
    assert complex_ones.shape == (freqs.size, 14, 6, engine.n_tapers)
    for measure, matrix in from_coefficients(complex_ones, MEASURES).items():
        whole = engine.matrix(measure).mean(axis=2)
        assert matrix == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("n_samples", [100, 101])
def test_folded_epochs_have_the_same_cross_spectra(n_samples: int) -> None:
    compiled_ones = pytest.importorskip("analysis.connectivity_numba").coefficients
    epochs = np.random.default_rng(2).standard_normal((5, 3, n_samples)) + 1e3
    bins = np.arange(n_samples // 2 + 1)
    for windows in (hann(n_samples), np.linspace(0.0, 1.0, n_samples)[None]):
        plain = coefficients(epochs, windows, bins)
        folded = compiled_ones(epochs, windows, bins)
        one, other = (t[:, 0] + 1j * t[:, 1] for t in (plain, folded))
        assert other[:, None] * other.conj() == pytest.approx(one[:, None] * one.conj(), abs=1e-10)


def test_tapers_are_orthogonal_and_kept_by_their_energy() -> None:
    windows = slepian(500, SFREQ_HZ, 4.0)
    assert windows.shape == (7, 500)
    assert windows @ windows.T == pytest.approx(np.diag((windows**2).sum(axis=1)), abs=1e-3)
    assert slepian(500, SFREQ_HZ, 4.0, low_bias=False).shape[0] == 8
    assert slepian(500, SFREQ_HZ, 0.5).shape[0] == 1


@pytest.fixture
def without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if numba were not installed."""

    def no_module(name: str) -> None:
        raise ImportError("No module named 'numba'")

    monkeypatch.setattr(compiling, "find_spec", lambda name: None)
    monkeypatch.setattr(compiling, "import_module", no_module)


@pytest.mark.usefixtures("without_numba")
def test_without_numba_the_plain_path_is_taken_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.connectivity_spectral.COMPILED_PAYS", 0.0)
    found = spectral_connectivity(made(), SFREQ_HZ, **OUR_MODES["fourier"])
    assert found.engine == "numpy"
    with pytest.raises(AnalysisError, match=r"tacs-suite\[fast\]"):
        spectral_connectivity(made(), SFREQ_HZ, compiled=True, **OUR_MODES["fourier"])


def test_compiled_code_is_taken_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    assert spectral_connectivity(made(), SFREQ_HZ, **OUR_MODES["fourier"]).engine == "numpy"
    monkeypatch.setattr("analysis.connectivity_spectral.COMPILED_PAYS", 1.0)
    assert spectral_connectivity(made(), SFREQ_HZ, **OUR_MODES["fourier"]).engine == "numba"


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("ssvep_exo/subject01_2012.07.06-19.02.16_raw.fif", 60),
        ("eegmmidb_s001/S001R01.edf", 40),
    ],
)
def test_real_recordings_equal_mne_connectivity(name: str, seconds: int) -> None:
    found = load_recording(recording(name)).raw
    sfreq_hz = float(found.info["sfreq"])
    n_samples = int(2 * sfreq_hz)
    data = found.get_data(picks="eeg")[:, : seconds // 2 * n_samples]
    epochs = data.reshape(len(data), -1, n_samples).transpose(1, 0, 2)
    mode = OUR_MODES["multitaper"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peers = peer("spectral_connectivity_epochs")(
            epochs, method=list(MEASURES), mode="multitaper", sfreq=sfreq_hz,
            fmin=(8.0, 15.0), fmax=(13.0, 20.0), verbose="ERROR",
        )  # fmt: skip
    for compiled in ENGINES:
        ours = spectral_connectivity(epochs, sfreq_hz, measures=MEASURES, compiled=compiled, **mode)
        for measure, one in zip(MEASURES, peers, strict=True):
            dense = one.get_data("dense")[ours.seeds, ours.targets]
            assert np.abs(ours.values[measure] - dense).max() <= 1e-12, measure


def ask(epochs: np.ndarray | None = None, **more: Any) -> SpectralConnectivity:
    told: dict[str, Any] = {"bands_hz": (8.0, 12.0), **more}
    return spectral_connectivity(made() if epochs is None else epochs, SFREQ_HZ, **told)


def test_what_cannot_be_asked_is_refused_in_one_line() -> None:
    broken = made()
    broken[3, 2, 10] = np.nan
    for words, epochs, told in (
        ("two or more", made()[:1], {}),
        ("two channels", made()[:, :1], {}),
        ("2 dimensions", made()[0], {}),
        ("samples have no frequencies", made()[:, :, :1], {}),
        ("1 of 6 channels have samples that are not finite", broken, {}),
        ("measure 'phase' is not known", None, {"measures": ("phase",)}),
        ("nothing is not known", None, {"measures": ()}),
        ("are a sequence", None, {"measures": "coh"}),
        ("mode 'welch' is not known", None, {"mode": "welch"}),
        ("no band given", None, {"bands_hz": None}),
        ("is no band", None, {"bands_hz": (12.0, 8.0)}),
        ("half the sampling rate", None, {"bands_hz": (100.0, 130.0)}),
        ("no frequency bin", None, {"bands_hz": (10.01, 10.02)}),
        ("one pair of frequencies", None, {"bands_hz": (1.0, 2.0, 3.0)}),
        ("narrower than one bin", None, {"mt_bandwidth_hz": 0.1}),
        ("given twice", None, {"seeds": (0,), "indices": ((0,), (1,))}),
        ("2 seeds and 1 targets", None, {"indices": ((0, 1), (1,))}),
        ("channel 6 of a pair", None, {"indices": ((0,), (6,))}),
        ("channel -1 of a pair", None, {"seeds": (-1,)}),
        ("no pair", None, {"seeds": ()}),
        ("no frequency of a wavelet", None, {"mode": "cwt_morlet"}),
        ("must lie above 0", None, {"mode": "cwt_morlet", "morlet_freqs_hz": (0.0,)}),
        ("one for each frequency", None,
         {"mode": "cwt_morlet", "morlet_freqs_hz": (9.0,), "morlet_cycles": (1.0, 2.0)}),
        ("no wavelet has a frequency", None, {"mode": "cwt_morlet", "morlet_freqs_hz": (20.0,)}),
        ("the wavelet of 8 Hz lasts", None,
         {"mode": "cwt_morlet", "morlet_freqs_hz": (8.0,), "morlet_cycles": 20.0}),
    ):  # fmt: skip
        with pytest.raises(AnalysisError, match=words) as caught:
            ask(epochs, **told)
        assert "\n" not in str(caught.value)
    with pytest.raises(AnalysisError, match="was not computed"):
        ask(measures=("coh",)).matrix("plv")
