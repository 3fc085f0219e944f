"""Connectivity between channels, from epochs: many measures at many frequencies, or one band.

`spectral_connectivity` is the whole engine; `connectivity` is one band of it, Fourier with a Hann
window, from coefficients that can be kept and summed (`band_fourier`, `cross_sums`).

Imaginary coherence and the debiased squared weighted phase lag index ignore what reaches two
electrodes at the same instant, so volume conduction alone does not raise them. Every estimate
below depends on the number of epochs and on signal-to-noise ratio: before and after use the same
number of epochs, and a change is reported beside the power change, because a rise of power alone
reads as "more connectivity".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.connectivity_measures import EIGHT, MEASURES, NO_LAG, Measure, estimate_all
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
    "CrossSums",
    "Measure",
    "Metric",
    "Mode",
    "SpectralConnectivity",
    "band_fourier",
    "band_multitaper",
    "connectivity",
    "cross_sums",
    "from_coefficients",
    "spectral_connectivity",
]

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]
Metric = Measure

METRICS: tuple[Metric, ...] = ("imcoh", "wpli2_debiased")
_CHUNK_BYTES = 16_000_000


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
    metrics: tuple[Metric, ...] = METRICS,
) -> dict[Metric, Array]:
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
    coefficients: ComplexArray, metrics: tuple[Metric, ...] = METRICS
) -> dict[Metric, Array]:
    """Connectivity from the coefficients of `band_fourier`; see `connectivity`."""
    seeds, targets = np.tril_indices(coefficients.shape[2], -1)
    values = estimate_all(from_complex(coefficients), seeds, targets, tuple(metrics))
    return {
        metric: fill(metric, one.mean(axis=-1), seeds, targets, coefficients.shape[2])
        for metric, one in zip(metrics, values, strict=True)
    }


@dataclass(frozen=True, slots=True)
class CrossSums:
    """Sums over epochs of one bin, from which the estimates follow; they add and subtract.

    Parameters
    ----------
    csd : ndarray of complex, shape (n_channels, n_channels)
        Sum of cross-spectra.
    size, square : ndarray, shape (n_channels, n_channels)
        Sums of the absolute value and of the square of the imaginary part (0 if not asked for).
    """

    csd: ComplexArray
    size: Array
    square: Array

    def __add__(self, other: CrossSums) -> CrossSums:
        return CrossSums(self.csd + other.csd, self.size + other.size, self.square + other.square)

    def __sub__(self, other: CrossSums) -> CrossSums:
        return CrossSums(self.csd - other.csd, self.size - other.size, self.square - other.square)

    def estimate(self, metric: Metric) -> Array:
        """Value of "coh", "imcoh" or "wpli2_debiased" for every pair, 0 where undefined."""
        power = np.clip(self.csd.diagonal().real, 0.0, None)
        scale = np.sqrt(np.outer(power, power))
        if metric == "wpli2_debiased":
            lag = self.size > NO_LAG * scale
            below = np.where(lag, self.size**2 - self.square, 0.0)
            return _divide(self.csd.imag**2 - self.square, below)
        if metric not in ("coh", "imcoh"):
            raise AnalysisError(f"these sums do not hold {metric}: use from_coefficients")
        return _divide(self.csd.imag if metric == "imcoh" else np.abs(self.csd), scale)


def cross_sums(bin_values: ComplexArray, *, phase_lag: bool = True) -> CrossSums:
    """Sum one bin over its epochs.

    Parameters
    ----------
    bin_values : ndarray of complex, shape (n_epochs, n_channels)
        Coefficients of one bin.
    phase_lag : bool
        Whether the sums for the phase lag index are wanted.

    Returns
    -------
    CrossSums
        The sums. Epochs are taken a few at a time, so that memory stays bounded.
    """
    csd = bin_values.T @ bin_values.conj()
    size, square = np.zeros(csd.shape), np.zeros(csd.shape)
    if phase_lag:
        for part in _imaginary(bin_values):
            size += np.abs(part, out=part).sum(axis=0)
            square += np.einsum("eij,eij->ij", part, part)
    return CrossSums(csd, size, square)


def _divide(above: Array, below: Array) -> Array:
    """Quotient, 0 where the divisor is not positive."""
    safe = np.where(below > 0.0, below, 1.0)
    return np.asarray(np.where(below > 0.0, above / safe, 0.0))


def _imaginary(bin_values: ComplexArray) -> Iterator[Array]:
    """Imaginary cross-spectra of one bin, a few epochs at a time: (n_chunk, n_ch, n_ch)."""
    n_epochs, n_channels = bin_values.shape
    step = max(1, _CHUNK_BYTES // (16 * n_channels**2))
    for first in range(0, n_epochs, step):
        part = bin_values[first : first + step]
        product = part.imag[:, :, None] * part.real[:, None, :]
        yield product - product.transpose(0, 2, 1)
