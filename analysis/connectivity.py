"""Connectivity between channels, from epochs: many measures at many frequencies, or one band.

`spectral_connectivity` is the whole engine; `connectivity` is one band of it, Fourier with a Hann
window, from coefficients that can be kept (`band_fourier`).

Imaginary coherence and the debiased squared weighted phase lag index ignore what reaches two
electrodes at the same instant, so volume conduction alone does not raise them. Every estimate
below depends on the number of epochs and on signal-to-noise ratio: before and after use the same
number of epochs, and a change is reported beside the power change, because a rise of power alone
reads as "more connectivity".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.connectivity_measures import EIGHT, MEASURES, Measure, estimate_all
from analysis.connectivity_result import SpectralConnectivity, fill
from analysis.connectivity_spectral import spectral_connectivity
from analysis.errors import AnalysisError
from analysis.transforms import Mode, bins_in, from_complex, slepian
from analysis.transforms import coefficients as coefficients_of

__all__ = [
    "EIGHT",
    "MEASURES",
    "METRICS",
    "ComplexArray",
    "Measure",
    "Mode",
    "SpectralConnectivity",
    "band_fourier",
    "band_multitaper",
    "connectivity",
    "from_coefficients",
    "spectral_connectivity",
]

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

METRICS: tuple[Measure, ...] = ("imcoh", "wpli2_debiased")


def band_fourier(
    epochs: Array, sfreq_hz: float, band_hz: tuple[float, float]
) -> tuple[Array, ComplexArray]:
    """Fourier coefficients of every epoch at the bins inside a band (mean removed, Hann window).

    Parameters
    ----------
    epochs : ndarray, shape (n_epochs, n_channels, n_samples)
        Signals, any unit.
    sfreq_hz : float
        Sampling rate.
    band_hz : (float, float)
        Band, both ends included.

    Returns
    -------
    freqs_hz : ndarray, shape (n_freqs,)
        Bins in the band.
    coefficients : ndarray of complex, shape (n_freqs, n_epochs, n_channels)
        Coefficients, up to a common factor.

    Raises
    ------
    AnalysisError
        If no bin lies in the band, or the band reaches past half the sampling rate.
    """
    n_samples = epochs.shape[2]
    if band_hz[1] > sfreq_hz / 2.0:
        raise AnalysisError(
            f"band {band_hz[0]:g}-{band_hz[1]:g} Hz reaches past half the sampling rate "
            f"({sfreq_hz / 2.0:g} Hz)"
        )
    freqs = np.fft.rfftfreq(n_samples, 1.0 / sfreq_hz)
    inside = (freqs >= band_hz[0]) & (freqs <= band_hz[1])
    if not inside.any():
        raise AnalysisError(
            f"no frequency bin between {band_hz[0]:g} and {band_hz[1]:g} Hz: epochs of "
            f"{n_samples / sfreq_hz:g} s resolve {sfreq_hz / n_samples:g} Hz"
        )
    window = np.hanning(n_samples)
    found = np.empty((int(inside.sum()), epochs.shape[0], epochs.shape[1]), dtype=np.complex128)
    for number, epoch in enumerate(epochs):
        centred = epoch - epoch.mean(axis=1, keepdims=True)
        found[:, number] = np.fft.rfft(centred * window, axis=1)[:, inside].T
    return np.asarray(freqs[inside]), found


def band_multitaper(
    epochs: Array,
    sfreq_hz: float,
    band_hz: tuple[float, float],
    *,
    bandwidth_hz: float | None = None,
    low_bias: bool = True,
) -> tuple[Array, ComplexArray]:
    """Multitaper coefficients of every epoch at the bins inside a band, weights included.

    Parameters
    ----------
    epochs, sfreq_hz, band_hz
        See `band_fourier`.
    bandwidth_hz : float, optional
        Full bandwidth of the tapers; eight bins if not given.
    low_bias : bool
        Only tapers that keep more than 0.9 of their energy in the band.

    Returns
    -------
    freqs_hz : ndarray, shape (n_freqs,)
        Bins in the band.
    coefficients : ndarray of complex, shape (n_freqs, n_epochs, n_channels, n_tapers)
        Coefficients, up to a common factor; `from_coefficients` and `permute_connectivity` take
        them as they take those of `band_fourier`.

    Raises
    ------
    AnalysisError
        If no bin lies in the band, the band reaches past half the sampling rate, or the bandwidth
        is narrower than one bin.
    """
    n_samples = epochs.shape[2]
    bins = bins_in(n_samples, sfreq_hz, (band_hz,))
    windows = slepian(n_samples, sfreq_hz, bandwidth_hz, low_bias=low_bias)
    table = coefficients_of(np.asarray(epochs, dtype=np.float64), windows, bins)
    found = (table[:, 0] + 1j * table[:, 1]).transpose(1, 3, 0, 2)
    return np.asarray(bins * sfreq_hz / n_samples), np.ascontiguousarray(found)


def connectivity(
    epochs: Array,
    sfreq_hz: float,
    band_hz: tuple[float, float],
    metrics: tuple[Measure, ...] = METRICS,
) -> dict[Measure, Array]:
    """Connectivity of all pairs of channels, mean over the bins of a band.

    Parameters
    ----------
    epochs : ndarray, shape (n_epochs, n_channels, n_samples)
        Signals.
    sfreq_hz : float
        Sampling rate.
    band_hz : (float, float)
        Band, both ends included.
    metrics : tuple of str
        What to compute, of `MEASURES`.

    Returns
    -------
    dict of str to ndarray, shape (n_channels, n_channels)
        `imcoh` is antisymmetric and signed, `dpli` 1 minus itself across the diagonal, the others
        are symmetric; the diagonal is 0 (dpli: 0.5). So is a pair with a flat channel.

    Notes
    -----
    With one Hann taper the values equal those of `mne_connectivity.spectral_connectivity_epochs`
    in Fourier mode to rounding error (lower triangle).

    References
    ----------
    Imaginary coherency: Nolte et al. 2004, Clin. Neurophysiol. 115:2292-2307. Debiased squared
    weighted phase lag index: Vinck et al. 2011, NeuroImage 55:1548-1565. Phase locking value:
    Lachaux et al. 1999, Hum. Brain Mapp. 8:194-208.
    """
    if epochs.shape[0] < 2:
        raise AnalysisError(f"{epochs.shape[0]} epochs given, connectivity needs two or more")
    _, coefficients = band_fourier(epochs, sfreq_hz, band_hz)
    return from_coefficients(coefficients, metrics)


def from_coefficients(
    coefficients: ComplexArray, metrics: tuple[Measure, ...] = METRICS
) -> dict[Measure, Array]:
    """Connectivity from the coefficients of `band_fourier`; see `connectivity`."""
    seeds, targets = np.tril_indices(coefficients.shape[2], -1)
    values = estimate_all(from_complex(coefficients), seeds, targets, tuple(metrics))
    return {
        metric: fill(metric, one.mean(axis=-1), seeds, targets, coefficients.shape[2])
        for metric, one in zip(metrics, values, strict=True)
    }
