"""Block sums: equal to mne-connectivity, linear in blocks, and safe with flat channels."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from analysis.connectivity import band_fourier
from analysis.connectivity_sums import BY_NAME, MEASURES, block_sums, leave_out, to_matrix
from analysis.errors import AnalysisError

BAND = (8.0, 12.0)


def _epochs(seed: int, n_epochs: int = 24, n_channels: int = 6) -> np.ndarray:
    epochs = np.random.default_rng(seed).standard_normal((n_epochs, n_channels, 320))
    epochs[:, 1] += np.roll(epochs[:, 0], 4, axis=-1)
    return epochs


def test_all_measures_equal_mne_connectivity() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer: Any = pytest.importorskip("mne_connectivity")
    epochs = _epochs(1)
    sums = block_sums(band_fourier(epochs, 160.0, BAND)[1], 7)
    found = sums.values(np.ones((1, 7)), MEASURES)
    lower = np.tril_indices(6, -1)
    names = [one.name for one in MEASURES if one.name != "aec"]  # see test_envelope_sums
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = peer.spectral_connectivity_epochs(
            epochs,
            method=names,
            mode="fourier",
            sfreq=160.0,
            fmin=BAND[0],
            fmax=BAND[1],
            faverage=True,
            verbose="ERROR",
        )
    for name, one in zip(names, theirs, strict=True):
        # Its lower triangle holds the pair (row, column) with row > column, as ours does.
        assert np.abs(found[name][0] - one.get_data("dense")[:, :, 0][lower]).max() <= 1e-12, name


def test_leaving_a_block_out_equals_the_epochs_without_it() -> None:
    coefficients = band_fourier(_epochs(2, 20), 160.0, BAND)[1]
    left = block_sums(coefficients, 5).values(leave_out(5), MEASURES)
    rest = block_sums(np.delete(coefficients, slice(8, 12), axis=1), 1)
    direct = rest.values(np.ones((1, 1)), MEASURES)
    for name, values in left.items():
        assert values[3] == pytest.approx(direct[name][0], abs=1e-12)


def test_a_flat_channel_gives_numbers_and_no_warning() -> None:
    epochs = _epochs(3)
    epochs[:, 2] = 5.0
    sums = block_sums(band_fourier(epochs, 160.0, BAND)[1], 4)
    for values in sums.values(leave_out(4), MEASURES).values():
        assert np.isfinite(values).all()


def test_ppc_of_unrelated_channels_has_no_bias_and_plv_has() -> None:
    epochs = np.random.default_rng(4).standard_normal((12, 20, 320))
    sums = block_sums(band_fourier(epochs, 160.0, BAND)[1], 4)
    found = sums.values(np.ones((1, 4)), (BY_NAME["ppc"], BY_NAME["plv"]))
    assert abs(found["ppc"].mean()) < 0.01
    assert found["plv"].mean() > 0.2


def test_matrix_of_pairs() -> None:
    assert to_matrix(np.array([1.0, 2.0, 3.0]), 3).tolist() == [[0, 1, 2], [1, 0, 3], [2, 3, 0]]
    assert to_matrix(np.array([1.0, 2.0, 3.0]), 3, odd=True)[0].tolist() == [0, -1, -2]


def test_sums_that_no_measure_needs_are_not_kept() -> None:
    coefficients = band_fourier(_epochs(5), 160.0, BAND)[1]
    whole = block_sums(coefficients, 4).values(leave_out(4), MEASURES)
    for one in MEASURES:
        alone = block_sums(coefficients, 4, (one,))
        assert np.array_equal(alone.values(leave_out(4), (one,))[one.name], whole[one.name])
    kept = block_sums(coefficients, 4, (BY_NAME["coh"],))
    assert (kept.unit, kept.size, kept.square, kept.sign, kept.envelope) == (None,) * 5
    with pytest.raises(AnalysisError, match="not asked for"):
        kept.values(np.ones((1, 4)), (BY_NAME["plv"],))
