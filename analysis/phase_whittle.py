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
from scipy.optimize import minimize

from analysis.errors import UnusableRecording

Array = NDArray[np.float64]

HALF_WIDTH_HZ: Final = (0.05, 2.0)
CORNERS_HZ: Final = (0.4, 3.0, 20.0)
ORDERS: Final = (1, 2)
SEGMENT_S: Final = 8.0
FIT_HZ: Final = (1.0, 45.0)
SQUARE_HALF: Final = math.sqrt(math.sqrt(2.0) - 1.0)  # of a squared Lorentzian's half-width
MIN_RATIO: Final = 20.0  # of log likelihoods, with against without a rhythm
_FINE: Final = 4  # points of the model for each line of the spectrum
_REACH: Final = 2 * _FINE  # of the window, in those points
_LOWEST: Final = 1e-8  # share of the total power, below which a part is nothing


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
    return np.fft.rfftfreq(n, 1.0 / sfreq_hz), density


class _Fit:
    """Minus the Whittle log likelihood of a spectrum, as a function of log parameters."""

    def __init__(self, frequency_hz: Array, density: Array) -> None:
        step_hz = frequency_hz[1] - frequency_hz[0]
        n_fine = (frequency_hz.size - 1) * _FINE + 1 + 2 * _REACH
        self.fine_hz = np.abs(
            frequency_hz[0] + step_hz / _FINE * (np.arange(n_fine) - _REACH)
        )
        bins = np.arange(-_REACH, _REACH + 1) / _FINE
        hann = np.sinc(bins) / (1.0 - np.where(np.abs(bins) == 1.0, 0.0, bins) ** 2)
        hann[np.abs(bins) == 1.0] = 0.5
        self.kernel = hann**2 / np.sum(hann**2)
        self.seen = density
        self.scale = float(np.mean(density))

    def blurred(self, density: Array) -> Array:
        return np.convolve(density, self.kernel, mode="valid")[::_FINE]

    def cost(self, density: Array) -> float:
        model = self.blurred(density)
        return float(np.sum(np.log(model) + self.seen / model))


def _unpack(values: Array, scale: float, order: int, ratio: float) -> RhythmModel:
    logs = np.exp(values[1:])
    return RhythmModel(
        frequency_hz=float(values[0]),
        half_width_hz=float(logs[0]),
        order=order,
        variance_uv2=float(logs[1]) * scale,
        harmonic_half_width_hz=float(logs[2]),
        harmonic_variance_uv2=float(logs[3]) * scale,
        relaxation_variances_uv2=tuple(float(value) * scale for value in logs[4:7]),
        floor_uv2_per_hz=float(logs[7]) * scale,
        log_likelihood_ratio=ratio,
    )


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
    found = [float(frequency_hz[i]) for i in tops[:3]]
    return found or [float(frequency_hz[inside[np.argmax(above[inside])]])]


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
        There is no rhythm in the band.
    """
    frequency_hz, density = segment_spectrum(signal_uv, sfreq_hz, SEGMENT_S)
    top_hz = min(max(FIT_HZ[1], 2.5 * band_hz[1]), 0.4 * sfreq_hz)
    used = (frequency_hz >= min(FIT_HZ[0], band_hz[0] / 2.0)) & (frequency_hz <= top_hz)
    frequency_hz, density = frequency_hz[used], density[used]
    if not np.all(density > 0.0):
        raise UnusableRecording("rest: the channel is flat; choose another one")
    fit = _Fit(frequency_hz, density)
    scale, fine_hz = fit.scale, fit.fine_hz
    span_hz = frequency_hz[-1] - frequency_hz[0]
    total = math.log(span_hz)
    lowest, highest = total + math.log(_LOWEST), total + 4.0
    shapes = np.stack([_line(fine_hz, 0.0, corner_hz) for corner_hz in CORNERS_HZ])

    def background(logs: Array) -> Array:
        return np.asarray(scale * (np.exp(logs[:3]) @ shapes + math.exp(logs[3])))

    def without(logs: Array) -> float:
        return fit.cost(background(logs))

    def whole(values: Array, order: int) -> float:
        logs = np.exp(values[1:5])
        density = background(values[5:])
        density += scale * logs[1] * _line(fine_hz, values[0], logs[0], order)
        density += scale * logs[3] * _line(fine_hz, 2.0 * values[0], logs[2])
        return fit.cost(density)

    wide = (math.log(HALF_WIDTH_HZ[0]), math.log(HALF_WIDTH_HZ[1]))
    power = (lowest, highest)
    floor = (math.log(_LOWEST), 4.0)
    flat = minimize(
        without,
        np.array([total - 1.0, total - 2.0, total - 3.0, -4.0]),
        bounds=[power] * 3 + [floor],
        method="L-BFGS-B",
    )
    bounds = [band_hz, wide, power, wide, power, *[power] * 3, floor]
    if start is None:
        beginnings = [
            np.array([top_hz, math.log(width_hz), total - 1.0, 0.0, total - 5.0, *flat.x])
            for top_hz in _candidates(frequency_hz, density, band_hz)
            for width_hz in (0.2, 0.8)
        ]
    else:
        parts = (
            start.half_width_hz,
            start.variance_uv2 / scale,
            start.harmonic_half_width_hz,
            start.harmonic_variance_uv2 / scale,
            *(value / scale for value in start.relaxation_variances_uv2),
            start.floor_uv2_per_hz / scale,
        )
        beginnings = [np.array([start.frequency_hz, *np.log(np.maximum(parts, 1e-12))])]
    lower, upper = np.array(bounds).T
    runs = []
    for order in ORDERS if start is None else (start.order,):
        for at in beginnings:
            first = np.clip(at, lower, upper)
            run = minimize(whole, first, args=(order,), bounds=bounds, method="L-BFGS-B")
            runs.append((float(run.fun), order, run.x))
    lowest_cost, order, found = min(runs, key=lambda run: run[0])
    # As many independent spectra as the recording is segments long.
    segments = signal_uv.size / (SEGMENT_S * sfreq_hz)
    ratio = 2.0 * segments * (float(flat.fun) - lowest_cost)
    if not ratio >= MIN_RATIO:
        raise UnusableRecording(
            f"rest: no rhythm from {band_hz[0]:g} to {band_hz[1]:g} Hz (likelihood ratio "
            f"{ratio:.1f}, {MIN_RATIO:g} asked for); choose another band, channel or recording"
        )
    return _unpack(found, scale, order, ratio)
