"""What every method of artefact removal works on: one line of the current, and what surrounds it.

A current of frequency f leaves lines at f and its harmonics, and, because heartbeat, breathing and
drying gel change how it reaches the electrodes, mirrored sidebands around each (Noury, Hipp &
Siegel 2016). Everything here is about one such line: the signal shifted down to it, the line
itself, and the covariance around it.

References
----------
Noury, Hipp & Siegel (2016), *NeuroImage* 140:99-109.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError, UnusableRecording

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

HALF_WIDTH_HZ = 3.0
ROLL_OFF_HZ = 0.5
MOST_LINES = 10
_PAD_S = 2.0
_RANK = 1e-6
_OUTSIDE = 1e-2
_SAMPLES_PER_CHANNEL = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Stimulated:
    """A stretch at full current, and rest of the same channels.

    Parameters
    ----------
    stim : ndarray, shape (n_channels, n_times)
        At full current, any unit.
    rest : ndarray, shape (n_channels, n_rest_times)
        Without current, the same unit.
    sfreq_hz : float
        Of both.
    stim_hz : float
        Exact frequency; of the envelope where the current is amplitude modulated.
    carrier_hz : float or None
        Carrier of an amplitude-modulated current.
    reference : ndarray of complex, shape (n_times,), or None
        Recorded current as a rotating phasor at `stim_hz`, magnitude about 1.
    fundamental_only : bool
        Leave the other lines alone.
    """

    stim: Array
    rest: Array
    sfreq_hz: float
    stim_hz: float
    carrier_hz: float | None = None
    reference: Complex | None = None
    fundamental_only: bool = False

    @property
    def half_width_hz(self) -> float:
        """How far around a line cleaning reaches."""
        return min(HALF_WIDTH_HZ, 0.45 * self.stim_hz)

    @property
    def lines_hz(self) -> tuple[float, ...]:
        """Frequency and harmonics; carrier and its two neighbours; as far as they were recorded."""
        if self.fundamental_only:
            return (self.stim_hz,)
        top = 0.5 * self.sfreq_hz - self.half_width_hz - ROLL_OFF_HZ
        lines = [k * self.stim_hz for k in range(1, MOST_LINES + 1)]
        if self.carrier_hz is not None:
            lines += [self.carrier_hz + k * self.stim_hz for k in (-1, 0, 1)]
        kept: list[float] = []
        for line in sorted(lines):
            if line <= top and (not kept or line - kept[-1] > 1.5 * self.half_width_hz):
                kept.append(line)
        return tuple(kept)

    def times_s(self) -> Array:
        """Time of each sample of `stim` from its first."""
        return np.asarray(np.arange(self.stim.shape[1]) / self.sfreq_hz)

    def phasor(self, line_hz: float) -> Complex:
        """Rotating phasor of a line; the recorded current's own phase where there is one."""
        if self.reference is not None:
            harmonic = round(line_hz / self.stim_hz)
            if abs(line_hz - harmonic * self.stim_hz) < 1e-6:
                turned: Complex = np.exp(1j * harmonic * np.angle(self.reference))
                return turned
        plain: Complex = np.exp(2j * np.pi * line_hz * self.times_s())
        return plain

    def with_stim(self, stim: Array, rest: Array) -> Stimulated:
        """The same current over other data; cut to their length."""
        reference = None if self.reference is None else self.reference[: stim.shape[1]]
        return replace(self, stim=stim, rest=rest, reference=reference)


def independent_samples(duration_s: float, half_width_hz: float) -> float:
    """How many independent complex samples a band of that half width has."""
    return 2.0 * half_width_hz * duration_s


def shifted_down(
    data: Array,
    sfreq_hz: float,
    line_hz: float,
    half_width_hz: float,
    roll_off_hz: float = ROLL_OFF_HZ,
) -> Complex:
    """Complex envelope of what lies around a line.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_times)
        Signals.
    sfreq_hz : float
        Sampling rate.
    line_hz, half_width_hz, roll_off_hz : float
        Line, how far around it the envelope reaches, and over how much it fades out.

    Returns
    -------
    ndarray of complex, shape (n_channels, n_times)
        `shifted_up` of it is the band-passed signal.
    """
    from scipy.fft import ifft, next_fast_len, rfft

    n = data.shape[1]
    pad = min(round(_PAD_S * sfreq_hz), n - 1)
    # Odd reflection at both ends, so that a line does not break off there.
    front = 2.0 * data[:, :1] - data[:, pad:0:-1]
    back = 2.0 * data[:, -1:] - data[:, -2 : -pad - 2 : -1]
    padded = np.concatenate([front, data, back], axis=1)
    length = next_fast_len(padded.shape[1], real=True)
    bins = rfft(padded, length, axis=1)
    bin_hz = sfreq_hz / length
    middle = round(line_hz / bin_hz)
    reach = math.ceil((half_width_hz + roll_off_hz) / bin_hz)
    index = np.arange(max(middle - reach, 1), min(middle + reach + 1, bins.shape[1]))
    away = np.abs(index * bin_hz - line_hz)
    gain = np.clip((half_width_hz + roll_off_hz - away) / roll_off_hz, 0.0, 1.0)
    moved = np.zeros((data.shape[0], length), dtype=np.complex128)
    moved[:, (index - middle) % length] = 2.0 * gain * bins[:, index]
    envelope = ifft(moved, axis=1)[:, pad : pad + n]
    samples = np.arange(n)
    # The bins know the line only to the nearest bin, and count time from the padding.
    turn = np.exp(2j * np.pi * (middle * bin_hz * (samples + pad) - line_hz * samples) / sfreq_hz)
    return np.asarray(envelope * turn, dtype=np.complex128)


def shifted_up(envelope: Complex, sfreq_hz: float, line_hz: float) -> Array:
    """Signal of a complex envelope, shape (n_channels, n_times); inverse of `shifted_down`."""
    time_s = np.arange(envelope.shape[1]) / sfreq_hz
    return np.asarray((envelope * np.exp(2j * np.pi * line_hz * time_s)).real)


def covariance(envelope: Complex) -> Array:
    """Covariance over channels, shape (n_channels, n_channels)."""
    return np.asarray((envelope @ envelope.conj().T).real / envelope.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class Whitener:
    """The transform that makes rest white, and its inverse on what rest spans.

    Parameters
    ----------
    forward : ndarray, shape (rank, n_channels)
        Whitens.
    back : ndarray, shape (n_channels, rank)
        Undoes it.
    """

    forward: Array
    back: Array

    @property
    def rank(self) -> int:
        """Number of dimensions that rest spans."""
        return int(self.forward.shape[0])


def whitener(rest_covariance: Array) -> Whitener:
    """Return the whitening transform of a covariance; directions without power are left out."""
    values, vectors = np.linalg.eigh(rest_covariance)
    if not values[-1] > 0.0:
        raise UnusableRecording("rest is flat around the line of the current: record it again")
    kept = values > _RANK * values[-1]
    root = np.sqrt(values[kept])
    return Whitener((vectors[:, kept] / root).T, vectors[:, kept] * root)


def check_span(stim_covariance: Array, white: Whitener) -> None:
    """Refuse a recording whose channels vary in ways that they cannot at rest.

    Raises
    ------
    UnusableRecording
        The two have different references, or channels were interpolated in one of them only.
    """
    inside = white.back @ white.forward
    lost = stim_covariance - inside @ stim_covariance @ inside.T
    share = float(np.trace(lost) / np.trace(stim_covariance))
    if share > _OUTSIDE:
        raise UnusableRecording(
            f"{100.0 * share:.0f} % of the power under current lies where rest has none: give two "
            "recordings with the same reference and the same channels interpolated"
        )


def check_length(case: Stimulated) -> None:
    """Refuse recordings too short for a covariance of that many channels.

    Raises
    ------
    UnusableRecording
        Naming the recording and the seconds it takes.
    """
    per_s = independent_samples(1.0, case.half_width_hz)
    needed_s = _SAMPLES_PER_CHANNEL * case.stim.shape[0] / per_s
    for name, data in (("at full current", case.stim), ("of rest", case.rest)):
        seconds = data.shape[1] / case.sfreq_hz
        if seconds < needed_s:
            raise UnusableRecording(
                f"{seconds:.1f} s {name}: a spatial method needs {math.ceil(needed_s)} s for "
                f"{case.stim.shape[0]} channels; record longer or give fewer channels"
            )


def line_phasors(case: Stimulated, line_hz: float, data: Array) -> Complex:
    """Least-squares amplitude of a line in every channel, shape (n_channels,)."""
    turn = case.phasor(line_hz)[: data.shape[1]]
    design = np.stack([turn.real, turn.imag])
    weights = np.linalg.solve(design @ design.T, design @ data.T)
    return np.asarray(weights[0] - 1j * weights[1])


def line_wave(case: Stimulated, line_hz: float, phasors: Complex) -> Array:
    """The line as a signal, shape (n_channels, n_times)."""
    return np.asarray((phasors[:, None] * case.phasor(line_hz)).real)


def check_frequency(sfreq_hz: float, stim_hz: float) -> None:
    """Refuse a frequency that the recording cannot show.

    Raises
    ------
    AnalysisError
        It is not between 0.1 Hz and 0.45 of the sampling rate.
    """
    if not 0.1 <= stim_hz <= 0.45 * sfreq_hz:
        raise AnalysisError(
            f"stimulation at {stim_hz:g} Hz in a recording at {sfreq_hz:g} Hz: give a frequency "
            f"between 0.1 and {0.45 * sfreq_hz:g} Hz"
        )


def refine_frequency(case: Stimulated, reach_hz: float = 0.02) -> tuple[float, float]:
    """Measure the frequency of the line in the amplifier's own time.

    Stimulator and amplifier have clocks of their own, some ten parts in a million apart; over
    minutes that turns the phase of a strong line visibly.

    Parameters
    ----------
    case : Stimulated
        At full current, with the frequency as set; rest tells which channels are noisy.
    reach_hz : float
        How far from it to look.

    Returns
    -------
    frequency_hz : float
        Where the power at a single frequency is largest, over channels whitened by rest.
    over_db : float
        That power over the mean of the frequencies 0.5 to 2 Hz beside it (0.2 to 0.45 of a slow
        frequency): whether there is a line at all.
    """
    fs, stim_hz = case.sfreq_hz, case.stim_hz
    white = whitener(covariance(shifted_down(case.rest, fs, stim_hz, case.half_width_hz)))
    n = case.stim.shape[1]
    data = (white.forward @ case.stim) * np.hanning(n)
    time_s = np.arange(n) / fs

    def power(hz: float) -> float:
        return float(np.sum(np.abs(data @ np.exp(-2j * np.pi * hz * time_s)) ** 2))

    bin_hz = fs / n
    reach = max(reach_hz, bin_hz)
    grid = (stim_hz + np.linspace(-reach, reach, 2 * math.ceil(4.0 * reach / bin_hz) + 1)).tolist()
    powers = [power(hz) for hz in grid]
    best = int(np.argmax(powers))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    golden = 0.5 * (math.sqrt(5.0) - 1.0)
    for _ in range(24):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if power(left) < power(right):
            low = left
        else:
            high = right
    found = float(0.5 * (low + high))
    inner, outer = min(0.5, 0.2 * stim_hz), min(2.0, 0.45 * stim_hz)
    steps = np.linspace(inner, outer, 8).tolist()
    beside = [power(found + side * away) for side in (-1, 1) for away in steps]
    return found, 10.0 * math.log10(max(power(found), 1e-300) / max(float(np.mean(beside)), 1e-300))
