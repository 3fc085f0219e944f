"""The noise under every made recording: its spectrum, its memory, and two ways to draw it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.analysis.noise import coloured, slow


@pytest.mark.parametrize("in_pairs", [False, True])
def test_the_spectrum_is_the_one_asked_for(in_pairs: bool) -> None:
    n, fs = 1000, 100.0
    freqs = np.fft.rfftfreq(n, 1.0 / fs)
    psd = 1.0 / (1.0 + freqs)
    psd[0] = 0.0
    waves = coloured(np.random.default_rng(1), psd, 2000, n, fs, in_pairs=in_pairs)
    power = 2.0 * np.mean(np.abs(np.fft.rfft(waves, axis=1)) ** 2, axis=0) / (n * fs)
    np.testing.assert_allclose(power[1:-1], psd[1:-1], rtol=0.12)
    assert np.mean(waves**2) == pytest.approx(psd[1:-1].sum() * fs / n, rel=0.03)


@pytest.mark.parametrize("in_pairs", [False, True])
def test_a_slow_process_forgets_after_its_memory(in_pairs: bool) -> None:
    fs, tau_s, lag = 10.0, 2.0, 20
    waves = [
        slow(np.random.default_rng(seed), 4000, fs, tau_s, in_pairs=in_pairs) for seed in range(20)
    ]
    assert all(np.std(wave) == pytest.approx(1.0) for wave in waves)
    kept = np.mean([np.mean(wave[lag:] * wave[:-lag]) for wave in waves])
    assert kept == pytest.approx(np.exp(-1.0), abs=0.05)


def test_both_draws_are_reproducible_and_differ() -> None:
    def drawn(in_pairs: bool) -> np.ndarray:
        return slow(np.random.default_rng(3), 100, 10.0, 1.0, in_pairs=in_pairs)

    np.testing.assert_array_equal(drawn(True), drawn(True))
    assert not np.allclose(drawn(True), drawn(False))
