"""Individual alpha frequency by the published restingIAF routine, written from its paper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError

Array = NDArray[np.float64]

RANGE_HZ = (1.0, 40.0)
WINDOW_S = 4.0
FRAME_BINS = 11
POLYNOMIAL = 5
MIN_LEAD = 0.2
MIN_CHANNELS = 3
# How shallow is set here, not by the paper: with this figure the centres of gravity that the
# authors publish for their tutorial recordings are met within 0.13 Hz.
SHALLOW_PER_HZ = 2.0
SHALLOW_SPAN_HZ = 1.0


@dataclass(frozen=True, slots=True)
class ChannelAlpha:
    """What the routine sees in one channel.

    Parameters
    ----------
    peaks_hz : tuple of float
        Peaks in the band above the minimum power, highest first.
    peak_hz : float or None
        The first of them, if it leads the second by a fifth or more.
    quality : float or None
        Mean power of that peak between its inflection points.
    window_hz : (float, float) or None
        Alpha window around all of those peaks.
    height_db : float
        Largest smoothed power in the band over the channel's line, dB.
    """

    peaks_hz: tuple[float, ...]
    peak_hz: float | None
    quality: float | None
    window_hz: tuple[float, float] | None
    height_db: float


@dataclass(frozen=True, slots=True)
class RestingIAF:
    """Outcome over channels.

    Parameters
    ----------
    peak_hz : float or None
        Mean peak, weighted by quality; None with fewer channels than asked for.
    sd_hz : float or None
        Standard deviation of the peak over channels (no error bar); None with fewer than two.
    center_of_gravity_hz : float or None
        Mean over channels, within the mean alpha window.
    window_hz : (float, float) or None
        That window.
    channels : tuple of ChannelAlpha
        One per channel.
    freqs_hz : ndarray, shape (n_freqs,)
        1 to 40 Hz.
    power, smooth, line : ndarray, shape (n_channels, n_freqs)
        Spectrum over its mean, the same smoothed, and the line through its logarithm.
    seconds_used : float
        Signal in the spectra.
    """

    peak_hz: float | None
    sd_hz: float | None
    center_of_gravity_hz: float | None
    window_hz: tuple[float, float] | None
    channels: tuple[ChannelAlpha, ...]
    freqs_hz: Array
    power: Array
    smooth: Array
    line: Array
    seconds_used: float


def resting_iaf(
    data: Array,
    sfreq_hz: float,
    *,
    band_hz: tuple[float, float] = (7.0, 13.0),
    bad: NDArray[np.bool_] | None = None,
    min_channels: int = MIN_CHANNELS,
) -> RestingIAF:
    """Peak alpha frequency and centre of gravity after Corcoran et al. 2018.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_samples)
        Signals.
    sfreq_hz : float
        Sampling rate, above 80 Hz.
    band_hz : (float, float)
        Where peaks are looked for.
    bad : ndarray of bool, shape (n_samples,), optional
        Samples to avoid: a window that holds one is left out.
    min_channels : int
        Channels that must agree to have a peak (the paper's cMin).

    Returns
    -------
    RestingIAF
        Peak and centre of gravity, each None where too few channels have one.

    Raises
    ------
    AnalysisError
        If the rate does not reach 40 Hz, no window is clean, or a channel has no power.

    Notes
    -----
    Welch spectra: Hamming windows of 4 s, transformed at the next power of two, half overlapping;
    1 to 40 Hz, over their mean. A line through log10 power against frequency, raised by one
    standard deviation of its residuals, is the least power of a peak. Savitzky-Golay smoothing and
    derivatives, 11 bins, fifth order. A peak is a downward zero crossing of the first derivative;
    the highest must exceed the next by a fifth. Channels are weighted by the mean power between
    the inflection points. The alpha window ends, on either side, at the next minimum or where the
    slope stays shallow for 1 Hz; the windows of the channels are averaged, and every channel's
    smoothed spectrum gives a centre of gravity within.

    References
    ----------
    Corcoran, Alday, Schlesewsky and Bornkessel-Schlesewsky 2018, Psychophysiology 55:e13064.
    """
    freqs, power, seconds = _welch(data, sfreq_hz, bad)
    smooth = _smooth(power, 0)
    slope, bend = _smooth(power, 1), _smooth(power, 2)
    logs = np.log10(power)
    fits = np.polyfit(freqs, logs.T, 1)
    levels = np.outer(fits[0], freqs) + fits[1][:, None]
    error = np.sqrt(np.sum((logs - levels) ** 2, axis=1) / (freqs.size - 2))
    line, least = 10.0**levels, 10.0 ** (levels + error[:, None])
    channels = tuple(
        _channel(freqs, row, band_hz) for row in zip(smooth, slope, bend, line, least, strict=True)
    )
    sure = [c for c in channels if c.peak_hz is not None and c.quality is not None]
    peak = sd = None
    if len(sure) >= min_channels:
        values = np.array([c.peak_hz for c in sure], dtype=float)
        weights = np.array([c.quality for c in sure], dtype=float)
        peak = float(np.sum(values * weights) / np.sum(weights))
        sd = float(values.std(ddof=1)) if len(sure) > 1 else None
    windows = [c.window_hz for c in channels if c.window_hz is not None]
    gravity, window = None, None
    if len(windows) >= min_channels:
        first, last = (float(v) for v in np.mean(windows, axis=0))
        window = first, last
        inside = slice(_nearest(freqs, first), _nearest(freqs, last) + 1)
        part = smooth[:, inside]
        gravity = float(np.mean(part @ freqs[inside] / part.sum(axis=1)))
    return RestingIAF(
        peak_hz=peak,
        sd_hz=sd,
        center_of_gravity_hz=gravity,
        window_hz=window,
        channels=channels,
        freqs_hz=freqs,
        power=power,
        smooth=smooth,
        line=line,
        seconds_used=seconds,
    )


def bin_hz(sfreq_hz: float) -> float:
    """Frequency step of the spectra, Hz (0.244 at 250 Hz, the paper's rate)."""
    return sfreq_hz / float(2 ** int(np.ceil(np.log2(round(WINDOW_S * sfreq_hz)))))


def _welch(
    data: Array, sfreq_hz: float, bad: NDArray[np.bool_] | None
) -> tuple[Array, Array, float]:
    """Frequencies, normalised spectra, and the length of signal used."""
    if sfreq_hz <= 2.0 * RANGE_HZ[1]:
        raise AnalysisError(
            f"restingIAF needs the spectrum up to {RANGE_HZ[1]:g} Hz: a sampling rate of "
            f"{sfreq_hz:g} Hz is too low"
        )
    size = round(WINDOW_S * sfreq_hz)
    starts = np.arange(0, data.shape[1] - size + 1, size // 2)
    if bad is not None and starts.size:
        before = np.concatenate([[0], np.cumsum(bad)])
        starts = starts[before[starts + size] == before[starts]]
    if not starts.size:
        raise AnalysisError(f"no clean piece of {WINDOW_S:g} s for a spectrum")
    taper = 0.54 - 0.46 * np.cos(2.0 * np.pi * np.arange(size) / (size - 1))
    n_fft = round(sfreq_hz / bin_hz(sfreq_hz))
    freqs: Array = np.asarray(np.fft.rfftfreq(n_fft, 1.0 / sfreq_hz), dtype=np.float64)
    keep = (freqs >= RANGE_HZ[0]) & (freqs <= RANGE_HZ[1])
    total = np.zeros((data.shape[0], int(keep.sum())))
    used = np.zeros(data.shape[1], dtype=bool)
    for start in starts:
        piece = data[:, start : start + size]
        piece = piece - piece.mean(axis=1, keepdims=True)
        total += np.abs(np.fft.rfft(piece * taper, n_fft, axis=1)[:, keep]) ** 2
        used[start : start + size] = True
    if not np.all(np.isfinite(total)) or np.any(total <= 0.0):
        raise AnalysisError("a channel holds NaN, or no power between 1 and 40 Hz")
    return freqs[keep], total / total.mean(axis=1, keepdims=True), float(used.sum() / sfreq_hz)


def _smooth(power: Array, order: int) -> Array:
    """Savitzky-Golay derivative of that order, per bin."""
    from scipy.signal import savgol_filter

    return np.asarray(savgol_filter(power, FRAME_BINS, POLYNOMIAL, deriv=order, axis=-1))


def _nearest(freqs: Array, frequency: float) -> int:
    """Bin closest to a frequency."""
    return int(np.argmin(np.abs(freqs - frequency)))


def _channel(
    freqs: Array, curves: tuple[Array, Array, Array, Array, Array], band_hz: tuple[float, float]
) -> ChannelAlpha:
    """Peaks, quality and alpha window of one channel."""
    smooth, slope, bend, line, least = curves
    falls = np.flatnonzero((slope[:-1] > 0.0) & (slope[1:] <= 0.0))
    tops = np.where(smooth[falls] >= smooth[falls + 1], falls, falls + 1)
    inside = (freqs[tops] >= band_hz[0]) & (freqs[tops] <= band_hz[1])
    tops = tops[inside & (smooth[tops] > least[tops])]
    band = (freqs >= band_hz[0]) & (freqs <= band_hz[1])
    height = float(10.0 * np.log10(np.max(np.maximum(smooth, 1e-300)[band] / line[band])))
    if not tops.size:
        return ChannelAlpha((), None, None, None, height)
    ranked = tops[np.argsort(-smooth[tops], kind="stable")]
    leads = ranked.size == 1 or smooth[ranked[0]] >= (1.0 + MIN_LEAD) * smooth[ranked[1]]
    peak = quality = None
    if leads:
        peak = float(freqs[ranked[0]])
        quality = _quality(freqs, smooth, bend, int(ranked[0]))
    return ChannelAlpha(
        peaks_hz=tuple(float(freqs[i]) for i in ranked),
        peak_hz=peak,
        quality=quality,
        window_hz=_window(freqs, slope, int(tops.min()), int(tops.max())),
        height_db=height,
    )


def _quality(freqs: Array, smooth: Array, bend: Array, top: int) -> float:
    """Area between the inflection points over their distance."""
    left = right = top
    while left > 0 and bend[left - 1] < 0.0:
        left -= 1
    while right < freqs.size - 1 and bend[right + 1] < 0.0:
        right += 1
    if left == right:
        return float(smooth[top])
    area = np.trapezoid(smooth[left : right + 1], freqs[left : right + 1])
    return float(area / (freqs[right] - freqs[left]))


def _window(freqs: Array, slope: Array, lowest: int, highest: int) -> tuple[float, float]:
    """Ends of the alpha window around the lowest and the highest peak."""
    step = float(freqs[1] - freqs[0])
    span = max(1, round(SHALLOW_SPAN_HZ / step))
    flat = np.abs(slope) < SHALLOW_PER_HZ * step
    left = lowest
    while left > 0:
        left -= 1
        if slope[left] <= 0.0 or (left + 1 >= span and flat[left + 1 - span : left + 1].all()):
            break
    right = highest
    while right < freqs.size - 1:
        right += 1
        if slope[right] >= 0.0 or (right + span <= freqs.size and flat[right : right + span].all()):
            break
    return float(freqs[left]), float(freqs[right])
