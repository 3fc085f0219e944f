"""The rhythm by a Wiener filter: the best window of taps for a spectrum that was measured at rest.

The rest recording gives the covariance of the samples; what is wanted is the rhythm as it looks
to somebody who knows past and future, which the fitted model tells line by line of the spectrum.
The best causal taps for it solve one Toeplitz system for each horizon. Nothing is assumed about
the shape of the noise, and only the mask of the rhythm comes from the model.

References
----------
McIntosh & Sajda (2020), *J. Neural Eng.* 17:026013 (estimation of phase as optimal filtering).
Wiener (1949), *Extrapolation, Interpolation and Smoothing of Stationary Time Series*.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_toeplitz

from analysis.phase_filter import Complex, WindowFilter
from analysis.phase_whittle import RhythmModel, segment_spectrum

Array = NDArray[np.float64]

WINDOW_S: Final = 1.0
SPECTRUM_S: Final = 8.0
RIDGE: Final = 1e-3  # of the variance, against noise in the covariance
DC: Final = 1e2  # of the variance: an offset of the amplifier is not to be seen


class WienerFilter(WindowFilter):
    """Taps trained on rest; see :func:`train`."""

    name = "Wiener"


def smoother(model: RhythmModel, frequency_hz: Array) -> Array:
    """Share of the rhythm in the power at each frequency: the filter of past and future."""
    rhythm = model.rhythm(frequency_hz)
    return np.asarray(rhythm / (rhythm + model.background(frequency_hz)))


def offline(model: RhythmModel, signal_uv: Array, sfreq_hz: float) -> Complex:
    """The rhythm of a whole recording, as it looks with past and future known.

    Parameters
    ----------
    model : RhythmModel
        As fitted.
    signal_uv : ndarray, shape (n_samples,)
    sfreq_hz : float

    Returns
    -------
    ndarray, shape (n_samples,), complex
        Of which the first and last seconds know little.
    """
    spectrum = np.fft.fft(signal_uv - signal_uv.mean())
    frequency_hz = np.fft.fftfreq(signal_uv.size, 1.0 / sfreq_hz)
    mask = np.where(frequency_hz > 0.0, 2.0 * smoother(model, np.abs(frequency_hz)), 0.0)
    return np.asarray(np.fft.ifft(spectrum * mask))


def train(signal_uv: Array, sfreq_hz: float, model: RhythmModel, horizon_s: float) -> WienerFilter:
    """Find the taps for a horizon.

    Parameters
    ----------
    signal_uv : ndarray, shape (n_samples,)
        Rest, without gaps.
    sfreq_hz : float
        Its rate.
    model : RhythmModel
        Fitted to it.
    horizon_s : float
        How far ahead of the newest sample.

    Returns
    -------
    WienerFilter
    """
    frequency_hz, density = segment_spectrum(signal_uv, sfreq_hz, SPECTRUM_S)
    step_hz = frequency_hz[1]
    n_taps = round(WINDOW_S * sfreq_hz)
    lags = np.arange(n_taps)
    covariance = np.fft.irfft(density * step_hz / 2.0, 2 * (density.size - 1))
    covariance = covariance[:n_taps] * 2.0 * (density.size - 1)
    variance = float(covariance[0])
    # Rhythm at the horizon against the sample that is `lag` old.
    wanted = density * smoother(model, frequency_hz) * step_hz
    near = np.abs(frequency_hz - model.frequency_hz) <= 8.0
    ages_s = lags / sfreq_hz + horizon_s
    cross = np.exp(2j * np.pi * np.outer(ages_s, frequency_hz[near])) @ wanted[near]
    column = covariance + DC * variance
    column[0] += RIDGE * variance
    taps = solve_toeplitz(column, np.stack([cross.real, cross.imag], axis=1))
    newest_first = taps[:, 0] + 1j * taps[:, 1]
    # E|z|^2 - E|estimate|^2: the taps are the projection.
    power = 2.0 * float(np.sum(wanted[near]))
    left = power - float(np.real(np.vdot(newest_first, cross)))
    return WienerFilter(
        np.ascontiguousarray(newest_first[::-1]),
        sfreq_hz=sfreq_hz,
        horizon_s=horizon_s,
        frequency_hz=model.frequency_hz,
        sigma_uv=math.sqrt(max(left, 0.0) / 2.0),
    )
