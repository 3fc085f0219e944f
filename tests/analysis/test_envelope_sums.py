"""Envelope correlation from coefficients: equal to the direct one, no bias, no change by power."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.connectivity import band_fourier
from analysis.connectivity_change import compare_connectivity
from analysis.connectivity_sums import BY_NAME, block_sums, leave_out, to_matrix
from analysis.envelope import envelope_correlation
from analysis.envelope_sums import HANN, MIDDLE, envelope_sums
from tests.analysis.made_coupling import SFREQ_HZ, made_coupling
from tests.analysis.made_head import S32

BAND = (8.0, 12.0)
AEC = (BY_NAME["aec"],)


def _of(epochs: NDArray[np.float64]) -> NDArray[np.float64]:
    """All pairs, (n_pairs,)."""
    return block_sums(band_fourier(epochs, SFREQ_HZ, BAND)[1], 1, AEC).values(np.ones(1), AEC)[
        "aec"
    ][0]


def test_equals_the_correlation_of_the_analytic_signals_it_stands_for() -> None:
    coefficients = band_fourier(made_coupling(1, n_epochs=20, coupling=0.8), SFREQ_HZ, BAND)[1]
    n_freqs, n_epochs, n_channels = coefficients.shape
    n_times = round(MIDDLE * n_freqs)
    signals = np.zeros((n_channels, n_epochs, n_times), dtype=complex)
    for k in range(n_times):
        time = 0.5 + MIDDLE * ((k + 0.5) / n_times - 0.5)
        turn = np.exp(2j * np.pi * time * np.arange(n_freqs))
        power = sum(
            HANN[abs(f - g)] * turn[f] * turn[g].conj()
            for f in range(n_freqs)
            for g in range(n_freqs)
            if abs(f - g) < len(HANN)
        )
        signals[:, :, k] = np.einsum("f,fec->ce", turn, coefficients) / np.sqrt(power.real)
    direct = envelope_correlation(signals.reshape(1, n_channels, -1), absolute=False).values
    found = envelope_sums(coefficients, np.array([0, 3, 11, n_epochs])).values(np.ones((1, 3)))
    assert to_matrix(found[0], n_channels) == pytest.approx(direct, abs=1e-12)


def test_the_window_is_divided_out_as_noise_has_it() -> None:
    # Were it not, every pair would share its shape: dividing by the Hann window itself leaves 0.01.
    epochs = np.random.default_rng(2).standard_normal((300, 30, 256))
    found = _of(epochs)
    # 435 pairs of 30 channels; the error of their mean is below that of 30 independent ones.
    assert abs(found.mean()) < 3.0 * found.std() / np.sqrt(30)
    assert abs(found.mean()) < 0.005


def test_close_to_the_usual_way_with_filter_and_hilbert_transform() -> None:
    import mne

    ours, usual = [], []
    lower = np.tril_indices(len(S32), -1)
    for seed in range(4):
        epochs = made_coupling(seed, coupling=0.8, pair=(0, 1))
        ours.append(_of(epochs))
        whole = epochs.transpose(1, 0, 2).reshape(len(S32), -1)
        filtered = mne.filter.filter_data(whole, SFREQ_HZ, *BAND, verbose="ERROR")
        usual.append(envelope_correlation(filtered[None], absolute=False).values[lower])
    means = np.mean(ours, axis=0), np.mean(usual, axis=0)
    assert np.corrcoef(*means)[0, 1] > 0.9
    assert means[0][np.argmax(means[1])] > 0.9 * means[0].max()


def test_instant_mixing_of_one_signal_is_no_correlation() -> None:
    rng = np.random.default_rng(3)
    source = rng.standard_normal((200, 1, 256)) * rng.gamma(2.0, size=(200, 1, 1))
    epochs = source * np.array([1.0, 0.8])[:, None] + 1e-9 * rng.standard_normal((200, 2, 256))
    assert abs(_of(epochs)[0]) < 0.25  # of envelopes that are the same otherwise
    copied = source * np.array([1.0, 0.8])[:, None]
    assert _of(copied)[0] == 0.0


def test_flat_channels_give_zero() -> None:
    epochs = np.random.default_rng(4).standard_normal((40, 3, 256))
    epochs[:, 1] = 0.0
    sums = block_sums(band_fourier(epochs, SFREQ_HZ, BAND)[1], 10, AEC)
    found = sums.values(leave_out(10), AEC)["aec"]
    assert (found[:, [0, 2]] == 0.0).all()
    assert np.isfinite(found).all()


def test_more_power_with_the_same_coupling_is_no_change_of_it() -> None:
    raw, matched, before = [], [], []
    for seed in range(12):
        one = compare_connectivity(
            made_coupling(seed, coupling=0.8, pair=(0, 1)),
            made_coupling(seed + 100, coupling=0.8, pair=(0, 1), gain=2.0),
            SFREQ_HZ, BAND, S32, measures=AEC,
        ).metrics["aec"]  # fmt: skip
        raw.append(one.change)
        matched.append(one.matched_change)
        before.append(one.pre)
    error = np.std(matched, ddof=1) / np.sqrt(12)
    assert np.mean(raw) > 0.4 * np.mean(before)
    assert abs(np.mean(matched)) < 2.5 * error < 0.4 * np.mean(before)
