"""Envelope correlation, orthogonalised: equal to mne-connectivity, blind to mixing."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from scipy.signal import butter, hilbert, sosfiltfilt

from analysis.envelope import analytic, envelope_correlation
from analysis.errors import AnalysisError

SFREQ_HZ = 100.0
ENGINES = (False, True)


def alpha(seed: int, n_channels: int, n_samples: int) -> np.ndarray:
    """Independent narrow-band signals."""
    noise = np.random.default_rng(seed).standard_normal((n_channels, n_samples))
    band = butter(3, (8.0, 12.0), "bandpass", fs=SFREQ_HZ, output="sos")
    return np.asarray(sosfiltfilt(band, noise, axis=1))


def cut(signals: np.ndarray, n_epochs: int) -> np.ndarray:
    return np.ascontiguousarray(signals.reshape(signals.shape[0], n_epochs, -1).transpose(1, 0, 2))


@pytest.mark.parametrize("compiled", ENGINES)
@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize("n_samples", [400, 337])  # 337: zero-padded to a fast length
def test_equal_to_mne_connectivity(n_samples: int, absolute: bool, compiled: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer: Any = pytest.importorskip("mne_connectivity").envelope_correlation
    epochs = cut(alpha(3, 7, 5 * n_samples), 5)
    found = envelope_correlation(epochs, absolute=absolute, compiled=compiled)
    theirs = peer(epochs, absolute=absolute, verbose="ERROR").get_data("dense")[..., 0]
    assert found.per_epoch.shape == theirs.shape == (5, 7, 7)
    assert np.abs(found.per_epoch - theirs).max() <= 1e-12
    complex_ones = envelope_correlation(hilbert(epochs), absolute=absolute, compiled=compiled)
    unpadded = peer(hilbert(epochs), absolute=absolute, verbose="ERROR").get_data("dense")
    assert np.abs(complex_ones.per_epoch - unpadded[..., 0]).max() <= 1e-12
    assert found.engine == ("numba" if compiled else "numpy")
    assert found.values == pytest.approx(found.per_epoch.mean(axis=0))


def test_hilbert_transform_in_half_the_work() -> None:
    for n_samples in (400, 405):
        epoch = np.random.default_rng(1).standard_normal((3, n_samples))
        real, imag = analytic(epoch)
        assert real + 1j * imag == pytest.approx(hilbert(epoch), abs=1e-12)


def test_common_amplitude_is_found_and_mixing_is_not() -> None:
    own = cut(alpha(5, 4, 60_000), 6)
    slow = np.random.default_rng(6).standard_normal((1, 60_000))
    envelope = np.exp(cut(sosfiltfilt(butter(2, 0.4, fs=SFREQ_HZ, output="sos"), slow * 8.0), 6))
    epochs = own.copy()
    epochs[:, :2] *= envelope  # two rhythms of their own phase wax and wane together
    epochs[:, 3] = own[:, 3] + 0.8 * own[:, 2]  # mixed at the same instant
    found = envelope_correlation(epochs).values
    assert found[1, 0] > 0.4
    assert found[3, 2] < 0.15
    assert found[2, 0] < 0.15
    assert np.array_equal(found, found.T)
    size = np.abs(hilbert(epochs))
    assert np.corrcoef(size[0, 3], size[0, 2])[0, 1] > 0.3  # what the plain envelopes would say


@pytest.mark.parametrize("compiled", ENGINES)
def test_no_correlation_where_there_is_nothing_to_correlate(compiled: bool) -> None:
    epochs = cut(alpha(7, 5, 900), 3)
    epochs[:, 3] = 0.0
    epochs[:, 4] = -2.3 * epochs[:, 0]
    found = envelope_correlation(epochs, compiled=compiled).per_epoch
    assert np.isfinite(found).all()
    assert not found[:, 3].any()
    assert not found[:, 4, 0].any()
    assert not np.diagonal(found, axis1=1, axis2=2).any()
    assert found[:, 2, 1].all()


def test_scale_and_order_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    epochs = cut(alpha(8, 5, 1200), 2)
    plain = envelope_correlation(epochs).per_epoch
    order = [3, 0, 4, 1, 2]
    factor = np.array([1e-6, 3.0, 1.0, 1e5, 7.0])[:, None]
    again = envelope_correlation((epochs * factor)[:, order]).per_epoch
    assert again == pytest.approx(plain[:, order][:, :, order], abs=1e-12)
    monkeypatch.setattr("analysis.envelope._TEMPORARY_BYTES", 1)
    told: list[float] = []
    parts = envelope_correlation(epochs, progress=told.append).per_epoch
    assert parts == pytest.approx(plain, abs=1e-14)
    assert told == [0.5, 1.0]


def test_what_cannot_be_computed_is_refused() -> None:
    epochs = cut(alpha(9, 3, 400), 2)
    broken = epochs.copy()
    broken[1, 0, 5] = np.inf
    for words, given in (
        ("2 dimensions", epochs[0]),
        ("two channels and three samples", epochs[:, :1]),
        ("epoch 1 has samples", broken),
    ):
        with pytest.raises(AnalysisError, match=words):
            envelope_correlation(given)
