"""Current as delivered: the trace of an oscilloscope, and the sine measured in it."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tacs.errors import InputError

__all__ = ["DeliveredCurrent", "Sine", "measure_sine", "sine_current"]

Array = NDArray[np.float64]

MIN_SFREQ_HZ = 1000.0
_OPEN_CIRCUIT_MA = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class DeliveredCurrent:
    """Instantaneous current over time, as an oscilloscope or a synthesis gives it.

    Parameters
    ----------
    samples_ma : ndarray, shape (n_electrodes, n_times) or (n_times,)
        Milliampere, positive out of the electrode; with one dimension, the current that reaches
        every source alike.
    sfreq_hz : float
        Samples per second, at least 1000.
    electrodes : tuple of str
        10-10 names of the rows; empty for one dimension.

    Raises
    ------
    InputError
        If shape, rate or values cannot be used, or the electrodes' currents do not return.
    """

    samples_ma: Array
    sfreq_hz: float
    electrodes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        samples_ma = np.asarray(self.samples_ma, dtype=np.float64)
        object.__setattr__(self, "samples_ma", samples_ma)
        object.__setattr__(self, "electrodes", tuple(self.electrodes))
        shape = (len(self.electrodes),) if self.electrodes else ()
        if samples_ma.shape[:-1] != shape or samples_ma.ndim == 0 or samples_ma.size == 0:
            raise InputError(
                f"current trace of shape {samples_ma.shape} with {len(self.electrodes)} electrode "
                "names: give one row per electrode, or one dimension and no names"
            )
        if not MIN_SFREQ_HZ <= self.sfreq_hz < math.inf:
            raise InputError(
                f"current trace at {self.sfreq_hz:g} samples per second: record at least "
                f"{MIN_SFREQ_HZ:g}"
            )
        if not np.all(np.isfinite(samples_ma)):
            raise InputError("the current trace holds NaN or infinite values: mend the recording")
        if self.electrodes:
            astray_ma = float(np.abs(samples_ma.sum(axis=0)).max())
            if astray_ma > max(_OPEN_CIRCUIT_MA, 0.05 * float(np.abs(samples_ma).max())):
                raise InputError(
                    f"currents of {', '.join(self.electrodes)} sum to {astray_ma:.3g} mA instead "
                    "of 0: list every electrode, the return one too"
                )

    @property
    def n_times(self) -> int:
        """Number of samples."""
        return int(self.samples_ma.shape[-1])

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_times / self.sfreq_hz

    @property
    def flow_s(self) -> tuple[float, float] | None:
        """First and last instant with current, seconds from the first sample; None without any."""
        flowing = np.flatnonzero(np.atleast_2d(self.samples_ma).any(axis=0))
        if flowing.size == 0:
            return None
        return float(flowing[0]) / self.sfreq_hz, float(flowing[-1] + 1) / self.sfreq_hz

    def at(self, times_s: Array) -> Array:
        """Return the current at given seconds, linear between samples and constant past the ends.

        Parameters
        ----------
        times_s : ndarray, shape (n,)
            Seconds from the first sample.

        Returns
        -------
        ndarray, shape (n_electrodes, n) or (n,)
            Milliampere.
        """
        place = np.clip(np.asarray(times_s) * self.sfreq_hz, 0.0, self.n_times - 1.0)
        left = np.minimum(place.astype(np.intp), max(self.n_times - 2, 0))
        right = np.minimum(left + 1, self.n_times - 1)
        share = place - left
        return np.asarray(
            self.samples_ma[..., left] * (1.0 - share) + self.samples_ma[..., right] * share
        )


def sine_current(
    duration_s: float,
    current_peak_ma: float,
    frequency_hz: float,
    *,
    ramp_s: float = 0.0,
    electrodes: Mapping[str, float] | None = None,
    sfreq_hz: float = MIN_SFREQ_HZ,
) -> DeliveredCurrent:
    """Make the trace of an ideal stimulator.

    Parameters
    ----------
    duration_s : float
        Length, ramps included.
    current_peak_ma : float
        Zero-to-peak current.
    frequency_hz : float
        Frequency; the sine starts at zero, rising.
    ramp_s : float
        Length of each linear ramp.
    electrodes : mapping of str to float, optional
        Share of the current out of every electrode, such as ``{"Oz": 1.0, "Cz": -1.0}``; left out,
        every source receives the full current.
    sfreq_hz : float
        Samples per second.

    Returns
    -------
    DeliveredCurrent
        The trace.

    Raises
    ------
    InputError
        If a value cannot be used.
    """
    if not (0.0 < duration_s < math.inf and 0.0 <= ramp_s <= duration_s / 2.0):
        raise InputError(
            f"current of {duration_s:g} s with ramps of {ramp_s:g} s: the duration must be "
            "positive and hold both ramps"
        )
    if not (0.0 < frequency_hz < sfreq_hz / 4.0 and 0.0 <= current_peak_ma < math.inf):
        raise InputError(
            f"sine of {current_peak_ma:g} mA at {frequency_hz:g} Hz: give a current of 0 or "
            f"more and a frequency above 0 and below {sfreq_hz / 4.0:g} Hz"
        )
    time_s = np.arange(round(duration_s * sfreq_hz)) / sfreq_hz
    samples_ma = current_peak_ma * np.sin(2.0 * np.pi * frequency_hz * time_s)
    if ramp_s > 0.0:
        samples_ma *= np.interp(
            time_s, [0.0, ramp_s, duration_s - ramp_s, duration_s], [0.0, 1.0, 1.0, 0.0]
        )
    if electrodes is None:
        return DeliveredCurrent(samples_ma, sfreq_hz)
    shares = np.array(list(electrodes.values()))
    return DeliveredCurrent(np.outer(shares, samples_ma), sfreq_hz, tuple(electrodes))


@dataclass(frozen=True, slots=True)
class Sine:
    """Strongest sine in a piece of current.

    Parameters
    ----------
    frequency_hz : float
        Frequency.
    current_peak_ma : float
        Zero-to-peak amplitude.
    """

    frequency_hz: float
    current_peak_ma: float


@functools.lru_cache(maxsize=16)
def _hann(n: int) -> Array:
    """Periodic Hann window, kept because pieces of one length come in rows."""
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n) / n)
    window.setflags(write=False)
    return np.asarray(window)


def measure_sine(samples_ma: Array, sfreq_hz: float) -> Sine:
    """Frequency of the strongest sine, from a Hann-windowed transform, and its mean amplitude.

    A pure sine of at least five cycles is read to 0.01 Hz and 0.2 %; where the envelope changes,
    the amplitude is its mean over the piece.

    Parameters
    ----------
    samples_ma : ndarray, shape (n_times,)
        Current; its mean is removed.
    sfreq_hz : float
        Samples per second.

    Returns
    -------
    Sine
        Zero frequency and amplitude where the piece holds no alternating current.

    References
    ----------
    Grandke (1983), *IEEE Trans. Instrum. Meas.* 32:350-355 (interpolation between two Hann bins).
    """
    n = samples_ma.size
    if n < 6:
        return Sine(0.0, 0.0)
    window = _hann(n)
    mean_ma = float(window @ samples_ma) / (0.5 * n)
    lines = np.abs(np.fft.rfft(window * (samples_ma - mean_ma)))
    if lines[1:-1].max() <= 0.0:
        return Sine(0.0, 0.0)
    peak = 1 + int(np.argmax(lines[1:-1]))
    step = 1 if lines[peak + 1] >= lines[peak - 1] else -1
    ratio = float(lines[peak + step] / lines[peak])
    # A lone sine's neighbour has half to all of its height; anything else is noise at the line.
    offset = min(max((2.0 * ratio - 1.0) / (ratio + 1.0), 0.0), 0.5)
    frequency_hz = (peak + step * offset) * sfreq_hz / n
    # Over whole cycles the plain mean is the mean of the envelope, on ramps too.
    m = round(max(1, int(frequency_hz * n / sfreq_hz)) * sfreq_hz / frequency_hz)
    cycles_ma = samples_ma[:m] - samples_ma[:m].mean()
    turns = np.exp(-2j * np.pi * frequency_hz / sfreq_hz * np.arange(cycles_ma.size))
    return Sine(frequency_hz, float(2.0 * abs(cycles_ma @ turns) / cycles_ma.size))
