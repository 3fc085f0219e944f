"""Connectivity: equal to mne-connectivity, blind to mixing."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from analysis import connectivity_measures
from analysis.connectivity import METRICS, connectivity
from analysis.connectivity_change import mean_over_pairs
from analysis.errors import AnalysisError
from tests.analysis.made_outcome import made_uv

BAND = (8.0, 12.0)
ALL = ("coh", "imcoh", "plv", "wpli2_debiased")


def _epochs(data: np.ndarray, size: int = 320) -> np.ndarray:
    n = data.shape[1] // size
    return data[:, : n * size].reshape(data.shape[0], n, size).transpose(1, 0, 2)


@pytest.mark.parametrize(
    ("n_channels", "sfreq_hz", "n_samples"), [(5, 160.0, 320), (17, 250.0, 375)]
)
def test_equal_to_mne_connectivity(n_channels: int, sfreq_hz: float, n_samples: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer: Any = pytest.importorskip("mne_connectivity")
    rng = np.random.default_rng(n_channels)
    epochs = rng.standard_normal((24, n_channels, n_samples))
    epochs[:, 1] += np.roll(epochs[:, 0], 4, axis=-1)
    found = connectivity(epochs, sfreq_hz, BAND, ALL)
    lower = np.tril_indices(n_channels, -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for metric in ALL:
            theirs = peer.spectral_connectivity_epochs(
                epochs,
                method=metric,
                mode="fourier",
                sfreq=sfreq_hz,
                fmin=BAND[0],
                fmax=BAND[1],
                faverage=True,
                verbose="ERROR",
            ).get_data("dense")[:, :, 0]
            assert np.abs(found[metric][lower] - theirs[lower]).max() <= 1e-12


def test_signs_symmetry_and_diagonal() -> None:
    epochs = np.random.default_rng(1).standard_normal((12, 6, 320))
    found = connectivity(epochs, 160.0, BAND, ALL)
    assert found["imcoh"] == pytest.approx(-found["imcoh"].T, abs=1e-15)
    for metric in ("coh", "plv", "wpli2_debiased"):
        assert found[metric] == pytest.approx(found[metric].T, abs=1e-15)
    for matrix in found.values():
        assert not matrix.diagonal().any()
    assert max(np.abs(matrix).max() for matrix in found.values()) <= 1.0 + 1e-12


def test_a_quarter_cycle_lag_is_seen_and_mixing_is_not() -> None:
    # Alpha seen by all channels at once, then with a quarter cycle between first and last.
    names = ("O1", "O2")
    more = {"channels": names, "duration_s": 60.0, "background_uv": 0.01}
    mixed = connectivity(_epochs(made_uv(3, **more)), 160.0, (9.0, 11.0), ALL)
    lagged = connectivity(_epochs(made_uv(3, lag=np.pi / 2.0, **more)), 160.0, (9.0, 11.0), ALL)
    assert mixed["coh"][1, 0] > 0.99
    assert abs(mixed["imcoh"][1, 0]) < 0.05
    assert lagged["coh"][1, 0] > 0.9
    assert abs(lagged["imcoh"][1, 0]) > 0.9
    assert lagged["wpli2_debiased"][1, 0] > 0.95


def test_independent_channels_have_no_debiased_phase_lag() -> None:
    epochs = np.random.default_rng(5).standard_normal((200, 12, 320))
    found = connectivity(epochs, 160.0, BAND)
    assert abs(mean_over_pairs("wpli2_debiased", found["wpli2_debiased"])) < 3e-3


def test_a_flat_channel_gives_zero_and_no_warning() -> None:
    epochs = np.random.default_rng(2).standard_normal((10, 4, 320))
    epochs[:, 2] = 5.0
    found = connectivity(epochs, 160.0, BAND, ALL)
    for matrix in found.values():
        assert np.isfinite(matrix).all()
        assert np.abs(matrix[2]).max() < 1e-6 or not matrix[2].any()


def test_chunks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    epochs = np.random.default_rng(4).standard_normal((23, 7, 320))
    whole = connectivity(epochs, 160.0, BAND)
    monkeypatch.setattr(connectivity_measures, "_TEMPORARY_BYTES", 1)
    parts = connectivity(epochs, 160.0, BAND)
    for metric in METRICS:
        assert parts[metric] == pytest.approx(whole[metric], abs=1e-14)


def test_what_cannot_be_computed_is_refused() -> None:
    epochs = np.random.default_rng(7).standard_normal((12, 3, 320))
    with pytest.raises(AnalysisError, match="half the sampling rate"):
        connectivity(epochs, 160.0, (70.0, 90.0))
    with pytest.raises(AnalysisError, match="no frequency bin"):
        connectivity(epochs, 160.0, (10.1, 10.2))
    with pytest.raises(AnalysisError, match="two or more"):
        connectivity(epochs[:1], 160.0, BAND)
