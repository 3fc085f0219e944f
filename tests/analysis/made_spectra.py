"""Made power spectra with known truth: a power law, an alpha and a beta bump, noise of averages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MadeSpectra:
    """Spectra of epochs and channels, channels running slowest, and the truth behind them."""

    freqs_hz: Array
    psd: Array  # (spectra, frequencies)
    exponent: Array  # (spectra,)
    alpha_hz: Array
    alpha_height: Array


def make_spectra(
    n: int,
    seed: int,
    *,
    n_channels: int = 64,
    n_averages: float = 5.0,
    step_hz: float = 0.5,
    alpha: bool = True,
    knee_hz: float = 0.0,
) -> MadeSpectra:
    """Make `n` spectra from 1 to 45 Hz, each the mean of `n_averages` periodograms.

    Parameters
    ----------
    n, seed : int
        Number of spectra and seed of everything random.
    n_channels : int
        Channels; every channel has a background and bumps of its own, all its epochs share them.
    n_averages : float
        Gamma-distributed noise of so many averaged periodograms; infinity makes none.
    step_hz : float
        Distance between two frequencies.
    alpha : bool
        Whether there is an alpha and a beta bump.
    knee_hz : float
        Frequency at which the background bends.

    Returns
    -------
    MadeSpectra
        Spectra and truth.
    """
    rng = np.random.default_rng(seed)
    freqs = np.arange(1.0, 45.0 + step_hz / 2, step_hz)
    n_epochs = -(-n // n_channels)
    epoch_hz = rng.uniform(8.5, 11.5) + rng.normal(0.0, 0.1, n_epochs)
    psd, truth = [], []
    for _ in range(n_channels):
        exponent, offset = rng.uniform(0.8, 2.0), rng.uniform(-1.0, 1.0)
        height, width = rng.uniform(0.0, 1.1) * alpha, rng.uniform(0.6, 1.3)
        beta = rng.uniform(0.0, 0.5) * alpha, rng.uniform(16.0, 24.0), rng.uniform(1.2, 2.5)
        line = offset - np.log10(knee_hz**exponent * (knee_hz > 0.0) + freqs**exponent)
        line += beta[0] * np.exp(-((freqs - beta[1]) ** 2) / (2.0 * beta[2] ** 2))
        for centre in epoch_hz:
            bump = height * np.exp(-((freqs - centre) ** 2) / (2.0 * width**2))
            noise = 1.0
            if np.isfinite(n_averages):
                noise = rng.gamma(n_averages, 1.0 / n_averages, freqs.size)
            psd.append(10.0 ** (line + bump) * noise)
            truth.append((exponent, centre, height))
    known = np.array(truth[:n])
    return MadeSpectra(freqs, np.array(psd[:n]), *known.T)
