"""From epochs to complex coefficients: Fourier with a Hann window, multitaper, Morlet wavelets.

The coefficients of the wanted bins alone are one product of the epochs with a table of tapered
sines and cosines, into which the removal of the mean and the weights of the tapers are folded.
They stand as real numbers, epochs last, because everything after sums over epochs:
`(n_channels, 2, n_bins, n_tapers, n_epochs)`, real part before imaginary part.

References
----------
Multitaper: Thomson 1982, Proc. IEEE 70:1055-1096; tapers of Slepian 1978, Bell Syst. Tech. J.
57:1371-1430. Morlet wavelets: Tallon-Baudry et al. 1997, J. Neurosci. 17:722-734.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]
Ints = NDArray[np.intp]
Mode = Literal["fourier", "multitaper", "cwt_morlet"]

EPOCHS_AT_ONCE = 24  # three cache lines of every coefficient
LOW_BIAS = 0.9  # tapers that keep less of their energy in the band are left out
WAVELET_REACH_SD = 5.0


def hann(n_samples: int) -> Array:
    """One symmetric Hann window: (1, n_samples)."""
    return np.hanning(n_samples)[None]


def slepian(
    n_samples: int,
    sfreq_hz: float,
    bandwidth_hz: float | None = None,
    *,
    low_bias: bool = True,
) -> Array:
    """Discrete prolate spheroidal tapers for a bandwidth.

    Parameters
    ----------
    n_samples : int
        Length of an epoch.
    sfreq_hz : float
        Sampling rate.
    bandwidth_hz : float, optional
        Full bandwidth; eight bins if not given.
    low_bias : bool
        Leave out tapers with less than 0.9 of their energy in the band, but never all of them.

    Returns
    -------
    ndarray, shape (n_tapers, n_samples)
        Tapers, each times the square root of its eigenvalue.

    Raises
    ------
    AnalysisError
        If the bandwidth is narrower than one bin.
    """
    from scipy.signal.windows import dpss

    half = 4.0 if bandwidth_hz is None else bandwidth_hz * n_samples / (2.0 * sfreq_hz)
    if half < 0.5:
        raise AnalysisError(
            f"a multitaper bandwidth of {bandwidth_hz:g} Hz is narrower than one bin: epochs of "
            f"{n_samples / sfreq_hz:g} s need {sfreq_hz / n_samples:g} Hz or more"
        )
    windows, kept = dpss(n_samples, half, int(2.0 * half), sym=False, norm=2, return_ratios=True)
    if low_bias:
        chosen = kept > LOW_BIAS
        if not chosen.any():
            chosen = kept == kept.max()
        windows, kept = windows[chosen], kept[chosen]
    return np.asarray(windows * np.sqrt(kept)[:, None])


def bins_in(n_samples: int, sfreq_hz: float, bands_hz: tuple[tuple[float, float], ...]) -> Ints:
    """Numbers of the Fourier bins that lie in one of the bands, ends included.

    Parameters
    ----------
    n_samples : int
        Length of an epoch.
    sfreq_hz : float
        Sampling rate.
    bands_hz : tuple of (float, float)
        Bands.

    Returns
    -------
    ndarray of int, shape (n_bins,)
        Bins, rising.

    Raises
    ------
    AnalysisError
        If a band is none, holds no bin, or reaches past half the sampling rate.
    """
    freqs = np.fft.rfftfreq(n_samples, 1.0 / sfreq_hz)
    wanted = np.zeros(freqs.size, dtype=bool)
    for low, high in bands_hz:
        check_band(low, high, sfreq_hz)
        inside = (freqs >= low) & (freqs <= high)
        if not inside.any():
            raise AnalysisError(
                f"no frequency bin between {low:g} and {high:g} Hz: epochs of "
                f"{n_samples / sfreq_hz:g} s resolve {sfreq_hz / n_samples:g} Hz"
            )
        wanted |= inside
    return np.flatnonzero(wanted)


def check_band(low_hz: float, high_hz: float, sfreq_hz: float) -> None:
    """Refuse a band that is none or that reaches past half the sampling rate."""
    if not 0.0 <= low_hz <= high_hz:
        raise AnalysisError(f"{low_hz:g}-{high_hz:g} Hz is no band")
    if high_hz > sfreq_hz / 2.0:
        raise AnalysisError(
            f"band {low_hz:g}-{high_hz:g} Hz reaches past half the sampling rate "
            f"({sfreq_hz / 2.0:g} Hz)"
        )


def basis(windows: Array, bins: Ints) -> Array:
    """Table that turns an epoch into its coefficients: (n_samples, 2 * n_bins * n_tapers)."""
    n_samples = windows.shape[1]
    turn = np.outer(bins, np.arange(n_samples)) % n_samples * (2.0 * np.pi / n_samples)
    waves = np.stack([np.cos(turn), -np.sin(turn)])
    # At zero and at half the sampling rate a coefficient is real, and no rounding may say else.
    waves[1, (bins == 0) | (2 * bins == n_samples)] = 0.0
    table = waves[:, :, None] * windows
    table -= table.mean(axis=-1, keepdims=True)
    return np.ascontiguousarray(table.reshape(-1, n_samples).T)


def coefficients(epochs: Array, windows: Array, bins: Ints) -> Array:
    """Coefficients of all epochs at some bins.

    Parameters
    ----------
    epochs : ndarray, shape (n_epochs, n_channels, n_samples)
        Signals.
    windows : ndarray, shape (n_tapers, n_samples)
        From `hann` or `slepian`.
    bins : ndarray of int, shape (n_bins,)
        From `bins_in`.

    Returns
    -------
    ndarray, shape (n_channels, 2, n_bins, n_tapers, n_epochs)
        Coefficients, up to a common factor of each bin. A channel that does not move in an epoch
        has exactly 0 there.
    """
    n_epochs, n_channels, n_samples = epochs.shape
    table = basis(windows, bins)
    found = np.empty((n_channels, table.shape[1], n_epochs))
    moved = np.empty((n_channels, n_samples))
    some = np.empty((EPOCHS_AT_ONCE, n_channels, table.shape[1]))
    for first in range(0, n_epochs, EPOCHS_AT_ONCE):
        last = min(first + EPOCHS_AT_ONCE, n_epochs)
        for epoch, out in zip(epochs[first:last], some, strict=False):
            # The table removes the mean; the first sample is taken off before, so that an offset
            # far above the signal costs no digits and a flat channel is exactly 0.
            np.subtract(epoch, epoch[:, :1], out=moved)
            np.matmul(moved, table, out=out)
        found[:, :, first:last] = some[: last - first].transpose(1, 2, 0)
    return found.reshape(n_channels, 2, bins.size, -1, n_epochs)


def from_complex(coefficients: ComplexArray) -> Array:
    """Coefficients of `connectivity.band_fourier` in the order of this module.

    Parameters
    ----------
    coefficients : ndarray of complex, shape (n_bins, n_epochs, n_channels[, n_tapers])
        Coefficients.

    Returns
    -------
    ndarray, shape (n_channels, 2, n_bins, n_tapers, n_epochs)
        The same numbers.

    Raises
    ------
    AnalysisError
        If the shape is another, or a number is not finite.
    """
    if coefficients.ndim == 3:
        coefficients = coefficients[..., None]
    if coefficients.ndim != 4:
        raise AnalysisError(
            f"coefficients have {coefficients.ndim} dimensions: give bins, epochs, channels and, "
            "where there are several, tapers"
        )
    if not np.isfinite(coefficients).all():
        raise AnalysisError(
            "coefficients are not all finite numbers: leave out the epochs or channels behind them"
        )
    turned = coefficients.transpose(2, 0, 3, 1)
    return np.ascontiguousarray(np.stack([turned.real, turned.imag], axis=1))


def morlet(freq_hz: float, sfreq_hz: float, n_cycles: float) -> ComplexArray:
    """Morlet wavelet of zero mean, its norm the square root of 2.

    Parameters
    ----------
    freq_hz : float
        Frequency.
    sfreq_hz : float
        Sampling rate.
    n_cycles : float
        Cycles: the standard deviation of the envelope is n_cycles / (2 pi frequency).

    Returns
    -------
    ndarray of complex, shape (n,)
        Wavelet of odd length, to five standard deviations on each side.
    """
    sd_s = n_cycles / (2.0 * np.pi * freq_hz)
    half = np.arange(0.0, WAVELET_REACH_SD * sd_s, 1.0 / sfreq_hz)
    times = np.concatenate([-half[::-1], half[1:]])
    wave = np.exp(2j * np.pi * freq_hz * times) - np.exp(-2.0 * (np.pi * freq_hz * sd_s) ** 2)
    wave *= np.exp(-(times**2) / (2.0 * sd_s**2))
    return np.asarray(wave / (np.sqrt(0.5) * np.linalg.norm(wave)))


def morlet_blocks(
    epochs: Array, wavelet: ComplexArray, most_bytes: int
) -> Iterator[tuple[slice, Array]]:
    """Wavelet coefficients of all epochs, some samples at a time so that memory stays bounded.

    Parameters
    ----------
    epochs : ndarray, shape (n_epochs, n_channels, n_samples)
        Signals, without removal of the mean.
    wavelet : ndarray of complex
        Wavelet of odd length, not longer than an epoch.
    most_bytes : int
        Size of one block of coefficients.

    Yields
    ------
    samples : slice
        Samples of this block.
    coefficients : ndarray, shape (n_channels, 2, n_block, 1, n_epochs)
        Coefficients.
    """
    from scipy.fft import fft, ifft, next_fast_len

    n_epochs, n_channels, n_samples = epochs.shape
    step = max(1, min(n_samples, int(most_bytes // (16 * n_epochs * n_channels))))
    n_fft = next_fast_len(n_samples + wavelet.size - 1)
    response = fft(wavelet, n_fft)
    begin = (wavelet.size - 1) // 2
    for first in range(0, n_samples, step):
        samples = slice(first, min(first + step, n_samples))
        block = np.empty((n_channels, 2, samples.stop - first, 1, n_epochs))
        for channel in range(n_channels):
            whole = ifft(fft(epochs[:, channel], n_fft) * response)
            part = whole[:, begin + first : begin + samples.stop].T
            block[channel, 0, :, 0], block[channel, 1, :, 0] = part.real, part.imag
        yield samples, block
