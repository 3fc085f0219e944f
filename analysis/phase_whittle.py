"""Oscillator, harmonic and 1/f relaxators: the spectral model of a rhythm, fitted by Whittle.

The model is Matsuda and Komaki's: a rhythm is a damped rotation driven by noise, here with a second
one at twice its frequency for a wave that is no sine. Three relaxations with fixed corners stand
for 1/f, a floor for the amplifier. In continuous time every part is a Lorentzian, and the fit sees
it through the window of the spectrum. The half-width of the rhythm has bounds (0.05 to 2 Hz) and
the search begins at several places: without them the likelihood has its best value at rhythms that
are none.

References
----------
Matsuda & Komaki (2017), *Neural Computation* 29:332-367. Wodeyar, Schatza, Widge, Eden & Kramer
(2021), *eLife* 10:e68803. Whittle (1953), *Arkiv för Matematik* 2:423-434.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.errors import UnusableRecording

Array = NDArray[np.float64]

HALF_WIDTH_HZ: Final = (0.05, 2.0)
CORNERS_HZ: Final = (0.4, 3.0, 20.0)
FLAT: Final = 0
ORDERS: Final = (1, 2)
SEGMENT_S: Final = 8.0
FIT_HZ: Final = (1.0, 45.0)
SQUARE_HALF: Final = math.sqrt(math.sqrt(2.0) - 1.0)  # of a squared Lorentzian's half-width
MIN_RATIO: Final = 20.0  # of log likelihoods, with against without a rhythm
_FINE: Final = 4  # points of the model for each line of the spectrum
_REACH: Final = 2 * _FINE  # of the window, in those points
_LOWEST: Final = 1e-7  # share of the whole, below which a part is nothing
_NUDGE: Final = 1e-4  # of a parameter, for a derivative
_ROUNDS: Final = 60
_ENOUGH: Final = 1e-4  # of log likelihood: less than that is no progress


@dataclass(frozen=True, slots=True)
class RhythmModel:
    """A rhythm and what it lies on, in continuous time.

    Parameters
    ----------
    frequency_hz : float
        Centre of the rhythm.
    half_width_hz : float
        Half its width at half height.
    order : {1, 2}
        A Lorentzian, or its square: a rhythm that wanders more than it waxes and wanes has a line
        with a broad top and low skirts.
    variance_uv2 : float
        Of the rhythm.
    harmonic_half_width_hz, harmonic_variance_uv2 : float
        Of the part at twice the frequency.
    relaxation_variances_uv2 : tuple of float
        Of the three relaxations.
    floor_uv2_per_hz : float
        White noise, one-sided density.
    log_likelihood_ratio : float
        With against without a rhythm, times two.
    """

    frequency_hz: float
    half_width_hz: float
    order: int
    variance_uv2: float
    harmonic_half_width_hz: float
    harmonic_variance_uv2: float
    relaxation_variances_uv2: tuple[float, ...]
    floor_uv2_per_hz: float
    log_likelihood_ratio: float

    def rhythm(self, frequency_hz: Array) -> Array:
        """One-sided density of the rhythm alone, in uV^2/Hz."""
        return self.variance_uv2 * _line(
            frequency_hz, self.frequency_hz, self.half_width_hz, self.order
        )

    def background(self, frequency_hz: Array) -> Array:
        """One-sided density of everything else, in uV^2/Hz."""
        total = self.harmonic_variance_uv2 * _line(
            frequency_hz, 2.0 * self.frequency_hz, self.harmonic_half_width_hz
        )
        for corner_hz, variance in zip(CORNERS_HZ, self.relaxation_variances_uv2, strict=True):
            total = total + variance * _line(frequency_hz, 0.0, corner_hz)
        return np.asarray(total + self.floor_uv2_per_hz)


def decay_hz(half_width_hz: float, order: int) -> float:
    """Half-width of the Lorentzian whose power ``order`` has this half-width."""
    return half_width_hz / SQUARE_HALF if order == 2 else half_width_hz


def _line(frequency_hz: Array, centre_hz: float, half_width_hz: float, order: int = 1) -> Array:
    """One-sided density of a damped rotation of unit variance; at 0 Hz, of a relaxation."""
    if order == 2:
        decay = decay_hz(half_width_hz, 2)
        above = (decay**2 + (frequency_hz - centre_hz) ** 2) ** -2
        below = (decay**2 + (frequency_hz + centre_hz) ** 2) ** -2
        return np.asarray(2.0 * decay**3 / math.pi * (above + below))
    up = half_width_hz / (half_width_hz**2 + (frequency_hz - centre_hz) ** 2)
    down = half_width_hz / (half_width_hz**2 + (frequency_hz + centre_hz) ** 2)
    return np.asarray((up + down) / math.pi)


def segment_spectrum(signal: Array, sfreq_hz: float, segment_s: float) -> tuple[Array, Array]:
    """One-sided mean density over Hann segments that overlap by half.

    Parameters
    ----------
    signal : ndarray, shape (n_samples,)
    sfreq_hz, segment_s : float

    Returns
    -------
    frequency_hz, density : ndarray, shape (n_frequencies,)
    """
    n = round(segment_s * sfreq_hz)
    starts = np.arange(0, signal.size - n + 1, n // 2)
    window = np.hanning(n + 1)[:-1]
    total = np.zeros(n // 2 + 1)
    for start in starts:
        piece = signal[start : start + n]
        total += np.abs(np.fft.rfft((piece - piece.mean()) * window)) ** 2
    density = 2.0 * total / (starts.size * sfreq_hz * np.sum(window**2))
    frequency_hz: Array = np.arange(n // 2 + 1, dtype=np.float64) * (sfreq_hz / n)
    return frequency_hz, np.asarray(density, dtype=np.float64)


class _Fit:
    """The Whittle likelihood of a spectrum, climbed by Fisher scoring.

    Parameters are the centre, then logarithms: half-width and variance of the rhythm, the same of
    its harmonic, variances of the relaxations, floor. Variances are in shares of the whole
    spectrum's power, the floor is a share of its mean density.
    """

    def __init__(self, frequency_hz: Array, density: Array, band_hz: tuple[float, float]) -> None:
        step_hz = frequency_hz[1] - frequency_hz[0]
        n_fine = (frequency_hz.size - 1) * _FINE + 1 + 2 * _REACH
        self.fine_hz = np.abs(frequency_hz[0] + step_hz / _FINE * (np.arange(n_fine) - _REACH))
        bins = np.arange(-_REACH, _REACH + 1) / _FINE
        pole = np.abs(bins) == 1.0
        hann = np.where(pole, 0.5, np.sinc(bins) / (1.0 - np.where(pole, 0.0, bins) ** 2))
        self.kernel = hann**2 / np.sum(hann**2)
        self.density_scale = float(np.mean(density))
        self.power_scale = self.density_scale * float(frequency_hz[-1] - frequency_hz[0])
        self.seen = density
        self.shapes = [
            self._blurred(self.power_scale * _line(self.fine_hz, 0.0, corner_hz))
            for corner_hz in CORNERS_HZ
        ]
        self.shapes.append(np.full(density.size, self.density_scale))
        wide = (math.log(HALF_WIDTH_HZ[0]), math.log(HALF_WIDTH_HZ[1]))
        power = (math.log(_LOWEST), 2.0)
        bounds = [band_hz, wide, power, wide, power, *[(math.log(_LOWEST), 4.0)] * 4]
        self.lower, self.upper = (np.array(side) for side in zip(*bounds, strict=True))

    def _blurred(self, density: Array) -> Array:
        """As a spectrum of Hann segments shows it."""
        return np.asarray(np.convolve(density, self.kernel, mode="valid")[::_FINE])

    def _shape(self, centre_hz: float, half_width_hz: float, order: int) -> Array:
        return self._blurred(
            self.power_scale * _line(self.fine_hz, centre_hz, half_width_hz, order)
        )

    def _flat(self, logs: Array) -> tuple[Array, list[Array]]:
        parts = [math.exp(log) * shape for log, shape in zip(logs, self.shapes, strict=True)]
        return np.asarray(np.sum(parts, axis=0)), parts

    def model(self, values: Array, order: int) -> tuple[Array, Array]:
        """Density, and its derivative by every parameter (rows)."""
        if order == FLAT:
            total, parts = self._flat(values)
            return total, np.array(parts)
        centre, width, power, width2, power2 = values[:5]
        rhythm = math.exp(power) * self._shape(centre, math.exp(width), order)
        double = math.exp(power2) * self._shape(2.0 * centre, math.exp(width2), 1)
        moved = math.exp(power) * self._shape(centre + _NUDGE, math.exp(width), order)
        moved2 = math.exp(power2) * self._shape(2.0 * (centre + _NUDGE), math.exp(width2), 1)
        wider = math.exp(power) * self._shape(centre, math.exp(width + _NUDGE), order)
        wider2 = math.exp(power2) * self._shape(2.0 * centre, math.exp(width2 + _NUDGE), 1)
        background, parts = self._flat(values[5:])
        rows = [
            (moved - rhythm + moved2 - double) / _NUDGE,
            (wider - rhythm) / _NUDGE,
            rhythm,
            (wider2 - double) / _NUDGE,
            double,
            *parts,
        ]
        return rhythm + double + background, np.array(rows)

    def climb(self, begin: Array, order: int) -> tuple[float, Array]:
        """Return the least minus log likelihood near a beginning, and where it is."""
        lower, upper = self.lower[-begin.size :], self.upper[-begin.size :]
        values = np.clip(begin, lower, upper)
        model, rows = self.model(values, order)
        cost = float(np.sum(np.log(model) + self.seen / model))
        damping = 1e-2
        for _ in range(_ROUNDS):
            relative = rows / model
            slope = relative @ (1.0 - self.seen / model)
            curve = relative @ relative.T
            fixed = ((values <= lower) & (slope > 0.0)) | ((values >= upper) & (slope < 0.0))
            free = ~fixed
            better = False
            while damping < 1e8:
                damped = curve[np.ix_(free, free)]
                damped = damped + damping * np.diag(np.diag(damped) + 1e-3)
                move = np.zeros(values.size)
                move[free] = np.clip(-np.linalg.solve(damped, slope[free]), -1.0, 1.0)
                tried = np.clip(values + move, lower, upper)
                tried_model, tried_rows = self.model(tried, order)
                tried_cost = float(np.sum(np.log(tried_model) + self.seen / tried_model))
                if tried_cost < cost:
                    better = cost - tried_cost > _ENOUGH
                    values, cost, model, rows = tried, tried_cost, tried_model, tried_rows
                    damping = max(damping / 5.0, 1e-6)
                    break
                damping *= 5.0
            if not better:
                break
        return cost, values

    def found(self, values: Array, order: int, ratio: float) -> RhythmModel:
        """The parameters in their units."""
        logs = np.exp(values[1:])
        return RhythmModel(
            frequency_hz=float(values[0]),
            half_width_hz=float(logs[0]),
            order=order,
            variance_uv2=float(logs[1]) * self.power_scale,
            harmonic_half_width_hz=float(logs[2]),
            harmonic_variance_uv2=float(logs[3]) * self.power_scale,
            relaxation_variances_uv2=tuple(float(log) * self.power_scale for log in logs[4:7]),
            floor_uv2_per_hz=float(logs[7]) * self.density_scale,
            log_likelihood_ratio=ratio,
        )

    def beginning(self, model: RhythmModel) -> Array:
        """The parameters of a model."""
        logs = (
            model.half_width_hz,
            model.variance_uv2 / self.power_scale,
            model.harmonic_half_width_hz,
            model.harmonic_variance_uv2 / self.power_scale,
            *(value / self.power_scale for value in model.relaxation_variances_uv2),
            model.floor_uv2_per_hz / self.density_scale,
        )
        return np.array([model.frequency_hz, *np.log(logs)])


def _candidates(frequency_hz: Array, density: Array, band_hz: tuple[float, float]) -> list[float]:
    """The highest local maxima over a smooth line through the spectrum, three at most."""
    span = max(3, round(0.5 / (frequency_hz[1] - frequency_hz[0])) | 1)
    smooth = np.convolve(np.log(density), np.ones(span) / span, mode="same")
    line = np.polyval(np.polyfit(np.log(frequency_hz), smooth, 2), np.log(frequency_hz))
    above = smooth - line
    inside = np.flatnonzero((frequency_hz >= band_hz[0]) & (frequency_hz <= band_hz[1]))
    tops = [
        i
        for i in inside
        if 0 < i < above.size - 1 and above[i] >= above[i - 1] and above[i] >= above[i + 1]
    ]
    tops.sort(key=lambda i: -above[i])
    return [float(frequency_hz[i]) for i in tops[:3]] or [
        float(frequency_hz[inside[np.argmax(above[inside])]])
    ]


def fit_rhythm(
    signal_uv: Array,
    sfreq_hz: float,
    band_hz: tuple[float, float],
    *,
    start: RhythmModel | None = None,
) -> RhythmModel:
    """Fit the model to a rest recording.

    Parameters
    ----------
    signal_uv : ndarray, shape (n_samples,)
        One channel, without gaps.
    sfreq_hz : float
        Its rate.
    band_hz : (float, float)
        Where the rhythm's centre may be.
    start : RhythmModel, optional
        Begin there, and only there.

    Returns
    -------
    RhythmModel
        The best of all starts.

    Raises
    ------
    UnusableRecording
        There is no rhythm in the band, or a hump without a phase.
    """
    frequency_hz, density = segment_spectrum(signal_uv, sfreq_hz, SEGMENT_S)
    top_hz = min(max(FIT_HZ[1], 2.5 * band_hz[1]), 0.4 * sfreq_hz)
    used = (frequency_hz >= min(FIT_HZ[0], band_hz[0] / 2.0)) & (frequency_hz <= top_hz)
    frequency_hz, density = frequency_hz[used], density[used]
    if not np.all(density > 0.0):
        raise UnusableRecording("rest: the channel is flat; choose another one")
    fit = _Fit(frequency_hz, density, band_hz)
    flat_cost, flat = fit.climb(np.array([-1.0, -2.0, -3.0, -3.0]), FLAT)
    if start is None:
        begin = np.maximum(flat, -6.0)  # what is nothing without a rhythm may be something with one
        beginnings = [
            (order, np.array([place_hz, math.log(width_hz), -1.5, 0.0, -5.0, *begin]))
            for order in ORDERS
            for place_hz in _candidates(frequency_hz, density, band_hz)
            for width_hz in (0.15, 0.6)
        ]
    else:
        beginnings = [(start.order, fit.beginning(start))]
    runs = [(*fit.climb(at, order), order) for order, at in beginnings]
    cost, values, order = min(runs, key=lambda run: run[0])
    # As many independent spectra as the recording is segments long.
    ratio = 2.0 * signal_uv.size / (SEGMENT_S * sfreq_hz) * (flat_cost - cost)
    if not ratio >= MIN_RATIO:
        raise UnusableRecording(
            f"rest: no rhythm from {band_hz[0]:g} to {band_hz[1]:g} Hz (likelihood ratio "
            f"{ratio:.1f}, {MIN_RATIO:g} asked for); choose another band, channel or recording"
        )
    found = fit.found(values, order, ratio)
    if found.half_width_hz > 0.99 * HALF_WIDTH_HZ[1]:
        raise UnusableRecording(
            f"rest: what lies at {found.frequency_hz:.1f} Hz is {2.0 * HALF_WIDTH_HZ[1]:g} Hz wide "
            "or more and no rhythm with a phase; choose another band, channel or recording"
        )
    return found
