"""Made signals with a known phase, for the phase benchmark and its tests.

"drift": constant amplitude, instantaneous frequency 10 Hz plus an Ornstein-Uhlenbeck drift (SD
0.3 Hz, time constant 3 s). "bursty": a complex Ornstein-Uhlenbeck process at 10 Hz (time constant
0.5 s), whose amplitude waxes and wanes. Both lie on 1/f noise (exponent 1) with a white floor that
meets it at 30 Hz. SNR is the power of the rhythm over that of the noise in 8 to 12 Hz.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Array = NDArray[np.float64]

CENTRE_HZ = 10.0
DRIFT_SD_HZ, DRIFT_TAU_S = 0.3, 3.0
BURST_TAU_S = 0.5
FLOOR_MEETS_HZ = 30.0
RMS_UV = 10.0
BAND_HZ = (8.0, 12.0)


@dataclass(frozen=True, slots=True)
class MadePhase:
    """One made channel.

    Parameters
    ----------
    signal_uv : ndarray, shape (n_samples,)
        Rhythm and noise.
    phase_rad : ndarray, shape (n_samples,)
        True phase of the rhythm, which is amplitude times its cosine.
    amplitude_uv : ndarray, shape (n_samples,)
        True amplitude.
    sfreq_hz : float
        Rate.
    """

    signal_uv: Array
    phase_rad: Array
    amplitude_uv: Array
    sfreq_hz: float


def noise(n: int, sfreq_hz: float, rng: np.random.Generator) -> Array:
    """1/f noise and a white floor, drawn in the frequency domain; no scale."""
    frequency_hz = np.fft.rfftfreq(n, 1.0 / sfreq_hz)
    power = 1.0 / np.maximum(frequency_hz, 0.1) + 1.0 / FLOOR_MEETS_HZ
    drawn = rng.standard_normal((2, frequency_hz.size))
    spectrum = (drawn[0] + 1j * drawn[1]) * np.sqrt(power)
    spectrum[0] = 0.0
    return np.asarray(np.fft.irfft(spectrum, n))


def _ornstein(n: int, tau_s: float, sfreq_hz: float, drawn: Array) -> Array:
    """Unit variance, begun in its stationary state."""
    decay = math.exp(-1.0 / (tau_s * sfreq_hz))
    scaled = drawn * math.sqrt(1.0 - decay**2)
    scaled[0] = drawn[0]
    return np.asarray(lfilter([1.0], [1.0, -decay], scaled)[:n])


def band_power(signal: Array, sfreq_hz: float) -> float:
    """Mean power in 8 to 12 Hz."""
    spectrum = np.fft.rfft(signal)
    frequency_hz = np.fft.rfftfreq(signal.size, 1.0 / sfreq_hz)
    inside = (frequency_hz >= BAND_HZ[0]) & (frequency_hz <= BAND_HZ[1])
    return float(2.0 * np.sum(np.abs(spectrum[inside]) ** 2) / signal.size**2)


def make(kind: str, snr_db: float, sfreq_hz: float, duration_s: float, seed: int) -> MadePhase:
    """Make one channel.

    Parameters
    ----------
    kind : {"drift", "bursty", "none"}
        The rhythm; "none" is the noise alone.
    snr_db : float
        Rhythm over noise in 8 to 12 Hz.
    sfreq_hz, duration_s : float
        Rate and length.
    seed : int
        Of everything drawn.
    """
    rng = np.random.default_rng([seed, round(10 * snr_db) + 1000, round(sfreq_hz), len(kind)])
    n = round(duration_s * sfreq_hz)
    time_s = np.arange(n) / sfreq_hz
    if kind == "bursty":
        pair = [_ornstein(n, BURST_TAU_S, sfreq_hz, rng.standard_normal(n)) for _ in range(2)]
        whole = (pair[0] + 1j * pair[1]) * np.exp(2j * np.pi * CENTRE_HZ * time_s)
        amplitude, phase = np.abs(whole), np.angle(whole)
    else:
        drift_hz = DRIFT_SD_HZ * _ornstein(n, DRIFT_TAU_S, sfreq_hz, rng.standard_normal(n))
        phase = 2.0 * np.pi * (np.cumsum(CENTRE_HZ + drift_hz) / sfreq_hz + rng.uniform())
        amplitude = np.ones(n)
    rhythm = amplitude * np.cos(phase)
    background = noise(n, sfreq_hz, rng)
    scale = RMS_UV / float(np.std(rhythm))
    rhythm, amplitude = rhythm * scale, amplitude * scale
    wanted = band_power(rhythm, sfreq_hz) / 10.0 ** (snr_db / 10.0)
    background *= math.sqrt(wanted / band_power(background, sfreq_hz))
    if kind == "none":
        rhythm = np.zeros(n)
    return MadePhase(rhythm + background, np.angle(np.exp(1j * phase)), amplitude, sfreq_hz)
