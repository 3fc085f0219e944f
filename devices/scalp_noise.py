"""What the scalp of the virtual patient shows besides its rhythm: background, blinks, muscle.

Every generator keeps its state and draws sample by sample, so that two stretches in a row equal
one long stretch. Signals are in microvolt, shape (n_times, n_channels).

References
----------
Kasdin (1995), *Proc. IEEE* 83:802-827 (1/f noise by autoregression). Noury, Hipp & Siegel (2016),
*NeuroImage* 140:99-109 (heartbeat and breathing modulate the stimulation artefact).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from devices.head import angles_deg, spread

__all__ = ["Background", "Blinks", "BodyRhythm"]

Array = NDArray[np.float64]

_BACKGROUND_MEMORY_DEG = 40.0
_APERIODIC_BAND_HZ = (1.0, 45.0)
_EMG_FROM_HZ = 20.0
_BLINK_WIDTH_DEG = 35.0
_BLINK_S = 0.3
_HEART_HZ = 1.1
_BREATH_HZ = 0.25


class Background:
    """Aperiodic activity, sensor noise and muscle, in microvolt.

    Parameters
    ----------
    channels : sequence of str
        10-10 names.
    sfreq_hz : float
        Sampling rate.
    exponent : float
        Slope of the aperiodic spectrum ``1/f^exponent``, 0 to 2; flat below about 0.1 Hz.
    aperiodic_uv : float
        Root mean square of the aperiodic part in 1-45 Hz.
    sensor_noise_uv : float
        Root mean square of each channel's own white noise.
    emg_uv : float
        Root mean square of muscle above 20 Hz at T7 and T8; 0 leaves it out.
    seed : SeedSequence
        Seed of everything random here.
    """

    def __init__(
        self,
        channels: Sequence[str],
        sfreq_hz: float,
        *,
        exponent: float,
        aperiodic_uv: float,
        sensor_noise_uv: float,
        emg_uv: float,
        seed: np.random.SeedSequence,
    ) -> None:
        from scipy.signal import butter

        n_channels = len(channels)
        self._rngs = [np.random.default_rng(child) for child in seed.spawn(3)]
        likeness = np.exp(-angles_deg(channels, channels) / _BACKGROUND_MEMORY_DEG)
        self._mix = np.linalg.cholesky(likeness + 1e-9 * np.eye(n_channels)).T
        n_taps = math.ceil(sfreq_hz / 4.0)
        taps = np.ones(n_taps + 1)
        for k in range(1, n_taps + 1):
            taps[k] = taps[k - 1] * (k - 1.0 - exponent / 2.0) / k
        self._taps = taps
        self._state = np.zeros((n_taps, n_channels))
        low_hz, high_hz = _APERIODIC_BAND_HZ
        grid_hz = np.linspace(low_hz, min(high_hz, sfreq_hz / 2.0), 4000)
        density = (2.0 / sfreq_hz) * (2.0 * np.sin(np.pi * grid_hz / sfreq_hz)) ** -exponent
        power = np.sum(0.5 * (density[1:] + density[:-1])) * (grid_hz[1] - grid_hz[0])
        self._scale_uv = aperiodic_uv / math.sqrt(power)
        self._sensor_uv = sensor_noise_uv
        self._muscle_uv = emg_uv * spread(channels, ("T7", "T8")).max(axis=1)
        share = 1.0 - 2.0 * _EMG_FROM_HZ / sfreq_hz
        self._muscle_scale = 1.0 / math.sqrt(share)
        self._sections = butter(4, _EMG_FROM_HZ, "highpass", fs=sfreq_hz, output="sos")
        self._sections_state = np.zeros((len(self._sections), 2, n_channels))
        self._has_muscle = emg_uv > 0.0
        self.take(math.ceil(4.0 * sfreq_hz))

    def take(self, n_times: int) -> Array:
        """Return the next stretch, shape (n_times, n_channels)."""
        from scipy.signal import lfilter, sosfilt

        aperiodic, sensor, muscle = self._rngs
        shape = (n_times, self._mix.shape[0])
        white = aperiodic.standard_normal(shape)
        coloured, self._state = lfilter([1.0], self._taps, white, axis=0, zi=self._state)
        signal = self._scale_uv * (coloured @ self._mix)
        signal += self._sensor_uv * sensor.standard_normal(shape)
        if self._has_muscle:
            fast, self._sections_state = sosfilt(
                self._sections, muscle.standard_normal(shape), axis=0, zi=self._sections_state
            )
            signal += self._muscle_scale * fast * self._muscle_uv
        return np.asarray(signal)


class Blinks:
    """Eye blinks: a Poisson train of bumps, largest at Fpz.

    Parameters
    ----------
    channels : sequence of str
        10-10 names.
    per_min : float
        Mean rate; 0 for none.
    blink_uv : float
        Height at Fpz.
    seed : SeedSequence
        Seed of the onsets.
    """

    def __init__(
        self, channels: Sequence[str], per_min: float, blink_uv: float, seed: np.random.SeedSequence
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._mean_gap_s = 60.0 / per_min if per_min > 0.0 else math.inf
        self._pattern_uv = blink_uv * spread(channels, ("Fpz",), _BLINK_WIDTH_DEG)[:, 0]
        self._onsets_s = [self._next_after(0.0)]

    def _next_after(self, time_s: float) -> float:
        """Draw the next onset; a Poisson train has no memory."""
        return time_s + self._rng.exponential() * self._mean_gap_s

    def skip_to(self, time_s: float) -> None:
        """Forget what lies before ``time_s``, where nobody recorded."""
        if self._onsets_s[-1] < time_s:
            self._onsets_s = [self._next_after(time_s)]

    def take(self, times_s: Array) -> Array:
        """Return the blinks at instants in order, shape (n_times, n_channels)."""
        while self._onsets_s[-1] <= times_s[-1]:
            self._onsets_s.append(self._next_after(self._onsets_s[-1]))
        self._onsets_s = [at_s for at_s in self._onsets_s if at_s + _BLINK_S > times_s[0]]
        bump = np.zeros(times_s.size)
        for at_s in self._onsets_s:
            low, high = np.searchsorted(times_s, [at_s, at_s + _BLINK_S])
            bump[low:high] += 0.5 - 0.5 * np.cos(
                2.0 * np.pi * (times_s[low:high] - at_s) / _BLINK_S
            )
        return np.outer(bump, self._pattern_uv)


class BodyRhythm:
    """Heartbeat and breathing as they modulate the stimulation artefact.

    Parameters
    ----------
    seed : SeedSequence
        Seed of the two phases.
    """

    def __init__(self, seed: np.random.SeedSequence) -> None:
        self._phases = 2.0 * np.pi * np.random.default_rng(seed).random(2)

    def at(self, times_s: Array) -> Array:
        """Return the modulation at given instants, between -1 and 1."""
        heart, breath = self._phases
        return np.asarray(
            0.5 * np.sin(2.0 * np.pi * _HEART_HZ * times_s + heart)
            + 0.5 * np.sin(2.0 * np.pi * _BREATH_HZ * times_s + breath)
        )
