"""The undriven rhythm: centre and width of its line, its phase memory, its tolerance of frequency.

Phase memory is ``1/(pi FWHM)`` of the line at rest (Whittle likelihood of a Lorentzian line on a
power law). Frequency tolerance follows Brittain et al. (2015), *J. Neurosci.* 35:795: the width of
the range of cycle-by-cycle frequencies in which the median amplitude is at least 90 % of the
overall median; the stability index is the interquartile range of the steps from cycle to cycle.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["RestLine", "fit_rest", "tolerance"]

Array = NDArray[np.float64]

SEGMENT_S = 8.0
CYCLES_TOGETHER = 50  # drawn together, because neighbours are alike
N_TOLERANCE = 300


@dataclass(frozen=True, slots=True)
class RestLine:
    """Line of the rhythm without drive.

    Parameters
    ----------
    centre_hz, fwhm_hz : float
        Of the Lorentzian line.
    share : float
        Share of the line in the power of the band.
    memory_s : float
        ``1/(pi FWHM)``.
    envelope_cv : float
        Coefficient of variation of the envelope.
    kurtosis : float
        Of the rhythm's complex size, mean |u|⁴ over squared mean |u|², the background's part taken
        away; 1 for a constant size, 2 for filtered noise.
    seconds : float
        Seconds used.
    """

    centre_hz: float
    fwhm_hz: float
    share: float
    memory_s: float
    envelope_cv: float
    kurtosis: float
    seconds: float

    @property
    def noise(self) -> float:
        """Power of the background in the band over that of the line."""
        return 1.0 / self.share - 1.0

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def fit_rest(
    data: Array,
    sfreq_hz: float,
    spans_s: Sequence[tuple[float, float]],
    band_hz: tuple[float, float],
) -> RestLine | None:
    """Fit the line at rest.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_times)
        Unfiltered signal.
    sfreq_hz : float
        Rate.
    spans_s : sequence of (float, float)
        Where nothing drove.
    band_hz : (float, float)
        Where to look.

    Returns
    -------
    RestLine or None
        None with less than 40 s, or where no line stands out (likelihood ratio under 14).
    """
    from scipy.optimize import minimize

    size = round(SEGMENT_S * sfreq_hz)
    window = np.hanning(size + 2)[1:-1]
    spectra = []
    for start, stop in spans_s:
        first, last = round(start * sfreq_hz), round(stop * sfreq_hz)
        for begin in range(first, last - size + 1, size // 2):
            piece = data[:, begin : begin + size]
            piece = (piece - piece.mean(axis=-1, keepdims=True)) * window
            spectra.append((np.abs(np.fft.rfft(piece, axis=-1)) ** 2).mean(axis=0))
    if len(spectra) < 9:
        return None
    freqs = np.fft.rfftfreq(size, 1.0 / sfreq_hz)
    within = (freqs >= max(2.0, band_hz[0] - 2.0)) & (freqs <= band_hz[1] + 4.0)
    hz, power = freqs[within], np.mean(spectra, axis=0)[within]
    unit = float(np.median(power))
    power = power / unit
    looks = 0.5 * len(spectra)

    def spectrum(values: Array) -> tuple[Array, Array]:
        back = np.exp(values[0]) * (hz / 10.0) ** -values[1]
        turn = (hz - values[2]) / (0.5 * math.exp(values[3]))
        return np.asarray(back), np.asarray(math.exp(values[4]) / (1.0 + turn**2))

    def cost(values: Array) -> float:
        back, line = spectrum(values)
        total = back + line
        return looks * float(np.sum(np.log(total) + power / total))

    where = (hz >= band_hz[0]) & (hz <= band_hz[1])
    top = float(hz[where][np.argmax(power[where] * hz[where])])
    bounds = [(-8.0, 8.0), (-1.0, 4.0), band_hz, (math.log(0.15), math.log(5.0)), (-12.0, 10.0)]
    high = math.log(float(power[where].max()))
    begins = [np.array([-0.5, 1.0, top, math.log(w), high]) for w in (0.5, 1.5)]
    ends = [minimize(cost, begin, method="L-BFGS-B", bounds=bounds) for begin in begins]
    best = min(ends, key=lambda end: float(end.fun))
    bare = [*bounds[:2], (top, top), (0.0, 0.0), (-12.0, -12.0)]
    alone = np.array([0.0, 1.0, top, 0.0, -12.0])
    flat = minimize(cost, alone, method="L-BFGS-B", bounds=bare)
    if 2.0 * (float(flat.fun) - float(best.fun)) < 14.0:
        return None
    back, line = spectrum(np.asarray(best.x))
    fwhm = math.exp(float(best.x[3]))
    share = float(line[where].sum() / (line + back)[where].sum())
    used = len(spectra) * 0.5 * SEGMENT_S
    centre = float(best.x[2])
    scatter = _envelope_cv(data, sfreq_hz, spans_s, centre, fwhm)
    wide = (float(hz[0]), float(hz[-1]))
    kurtosis = _kurtosis(data, sfreq_hz, spans_s, wide, float(line.sum() / (line + back).sum()))
    return RestLine(centre, fwhm, share, 1.0 / (math.pi * fwhm), scatter, kurtosis, used)


def _kurtosis(
    data: Array,
    sfreq_hz: float,
    spans_s: Sequence[tuple[float, float]],
    band_hz: tuple[float, float],
    share: float,
) -> float:
    """Kurtosis of the rhythm's complex size; a Gaussian background of known share taken away."""
    from scipy.signal import butter, hilbert, sosfiltfilt

    sos = butter(3, band_hz, "bandpass", fs=sfreq_hz, output="sos")
    second = fourth = n = 0.0
    for start, stop in spans_s:
        part = data[:, round(start * sfreq_hz) : round(stop * sfreq_hz)]
        if part.shape[1] < 4.0 * sfreq_hz:
            continue
        squared = np.abs(hilbert(sosfiltfilt(sos, part - part.mean(axis=-1, keepdims=True)))) ** 2
        second = second + squared.sum(axis=-1)
        fourth = fourth + (squared**2).sum(axis=-1)
        n += part.shape[1]
    seen = float(np.mean(n * fourth / second**2))
    noise = 1.0 / share - 1.0
    return seen * (1.0 + noise) ** 2 - 4.0 * noise - 2.0 * noise**2


def _envelope_cv(
    data: Array,
    sfreq_hz: float,
    spans_s: Sequence[tuple[float, float]],
    centre_hz: float,
    fwhm_hz: float,
) -> float:
    """Coefficient of variation of the envelope; at most that of Gaussian noise (0.523)."""
    from scipy.signal import butter, hilbert, sosfiltfilt

    half = min(max(1.5, 2.0 * fwhm_hz), 0.6 * centre_hz)
    sos = butter(2, (centre_hz - half, centre_hz + half), "bandpass", fs=sfreq_hz, output="sos")
    ratios = []
    for start, stop in spans_s:
        part = data[:, round(start * sfreq_hz) : round(stop * sfreq_hz)]
        if part.shape[1] < 4.0 * sfreq_hz:
            continue
        size = np.abs(hilbert(sosfiltfilt(sos, part - part.mean(axis=-1, keepdims=True), axis=-1)))
        ratios.append((size.std(axis=-1) / size.mean(axis=-1)).mean() * part.shape[1])
    seconds = sum(max(0.0, stop - start) for start, stop in spans_s if stop - start >= 4.0)
    return min(0.523, float(np.sum(ratios)) / (seconds * sfreq_hz))


def tolerance(
    data: Array,
    sfreq_hz: float,
    spans_s: Sequence[tuple[float, float]],
    centre_hz: float,
) -> dict[str, Any] | None:
    """Frequency tolerance and stability of the first channel's rhythm.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_times)
        Unfiltered signal; the channel with most power about the centre is used.
    sfreq_hz, centre_hz : float
        Rate, and the rhythm's frequency.
    spans_s : sequence of (float, float)
        Where nothing drove.

    Returns
    -------
    dict or None
        `tolerance_hz` with its interval (bootstrap of stretches of 50 cycles), `stability_iqr_hz`,
        `n_cycles`; None with fewer than 200 cycles.
    """
    from scipy.signal import butter, hilbert, sosfiltfilt

    half = min(2.5, 0.4 * centre_hz)
    band = (centre_hz - half, centre_hz + half)
    sos = butter(2, band, btype="bandpass", fs=sfreq_hz, output="sos")
    filtered = sosfiltfilt(sos, data - data.mean(axis=-1, keepdims=True), axis=-1)
    wave = filtered[int(np.argmax(filtered.var(axis=-1)))]
    frequency, amplitude, steps = [], [], []
    for start, stop in spans_s:
        part = wave[round(start * sfreq_hz) : round(stop * sfreq_hz)]
        at = np.flatnonzero((part[:-1] < 0.0) & (part[1:] >= 0.0))
        if at.size < 3:
            continue
        exact = at + part[at] / (part[at] - part[at + 1])
        size = np.abs(hilbert(part))
        cycles = sfreq_hz / np.diff(exact)
        frequency.append(cycles)
        amplitude.append(np.array([size[a:b].mean() for a, b in itertools.pairwise(at)]))
        steps.append(np.diff(cycles))
    if not frequency or sum(one.size for one in frequency) < 200:
        return None
    hz, uv = np.concatenate(frequency), np.concatenate(amplitude)
    pieces = np.array_split(np.arange(hz.size), max(2, hz.size // CYCLES_TOGETHER))
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(N_TOLERANCE):
        chosen = np.concatenate([pieces[i] for i in rng.integers(0, len(pieces), len(pieces))])
        draws.append(_width(hz[chosen], uv[chosen]))
    quartiles = np.quantile(np.concatenate(steps), (0.25, 0.75))
    return {
        "tolerance_hz": _width(hz, uv),
        "tolerance_ci95_hz": np.quantile(draws, (0.025, 0.975)).tolist(),
        "stability_iqr_hz": float(quartiles[1] - quartiles[0]),
        "n_cycles": int(hz.size),
    }


def _width(hz: Array, uv: Array) -> float:
    """Width of the range of cycle frequencies with amplitude near the median."""
    edges = np.quantile(hz, np.linspace(0.0, 1.0, 21))
    least = 0.9 * float(np.median(uv))
    width = 0.0
    for low, high in itertools.pairwise(edges):
        within = (hz >= low) & (hz <= high)
        if within.any() and np.median(uv[within]) >= least:
            width += float(high - low)
    return width
