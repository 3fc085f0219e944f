"""State of the person during the recording: muscle tension and drowsiness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.channels import is_posterior
from analysis.findings import Finding, listed

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Mask = NDArray[np.bool_]

WINDOW_S = 2.0
_MOST_WINDOWS = 300
_TOP_HZ = 45.0
_SPATIAL_HZ = (1.5, 30.0)
_SPATIAL_WINDOWS = 40

MUSCLE_SHARE = 0.1
_MUSCLE_HZ = (30.0, 45.0)
_BELOW_HZ = (15.0, 25.0)
_MUSCLE_RISE = 4.0
_MUSCLE_OVER_OTHERS = 10.0
_MUSCLE_FLATTEST = -0.5

DROWSY_SHARE = 0.1
DROWSY_SECONDS = 20.0
_THETA_HZ = (4.0, 7.0)
_ALPHA_HZ = (7.5, 13.0)
_SMOOTH_S = 10.0
_ALPHA_LEFT = 0.6
_THETA_RISE = 1.4
_ROLL_HZ = (0.2, 0.7)
_ROLL_RISE = 4.0
_SIDES = (("F7", "F8"), ("AF7", "AF8"), ("F9", "F10"), ("FT7", "FT8"))


@dataclass(frozen=True, slots=True)
class Windows:
    """Fourier coefficients of two-second windows.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies, 0.5 to 45 Hz.
    coefficients : ndarray of complex, shape (n_channels, n_windows, n_freqs)
        Hann-windowed, mean removed.
    power : ndarray, shape (n_channels, n_windows, n_freqs)
        Their squared magnitude.
    starts : ndarray of int, shape (n_windows,)
        First sample of each window.
    sfreq_hz : float
        Sampling rate.
    """

    freqs_hz: Array
    coefficients: Complex
    power: Array
    starts: NDArray[np.int64]
    sfreq_hz: float

    def band(self, low_hz: float, high_hz: float, channels: Sequence[int] | None = None) -> Array:
        """Mean power of a band, ends included, shape (n_channels, n_windows)."""
        first, last = np.searchsorted(self.freqs_hz, [low_hz - 1e-6, high_hz + 1e-6])
        part = self.power[:, :, first:last]
        return np.asarray((part if channels is None else part[list(channels)]).mean(axis=2))

    def vectors(self) -> Complex:
        """Coefficients between 1.5 and 30 Hz of up to 40 windows, shape (n_channels, n)."""
        first, last = np.searchsorted(self.freqs_hz, _SPATIAL_HZ)
        apart = max(1, -(-self.starts.size // _SPATIAL_WINDOWS))
        chosen = self.coefficients[:, ::apart, first:last]
        return np.asarray(chosen.reshape(len(chosen), -1))


def window_spectra(data: Array, channels: Sequence[int], sfreq: float, bad: Mask) -> Windows:
    """Cut a recording into two-second windows and transform each.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_samples)
        Signals.
    channels : sequence of int
        Rows to use.
    sfreq : float
        Sampling rate.
    bad : ndarray of bool, shape (n_samples,)
        Samples to avoid: a window that holds one is left out.

    Returns
    -------
    Windows
        Windows that follow each other; 300 evenly spaced ones of a recording beyond 10 minutes.
    """
    size = round(WINDOW_S * sfreq)
    step = max(size, -(-data.shape[1] // _MOST_WINDOWS))
    starts = np.arange(0, data.shape[1] - size + 1, step)
    if bad.any():
        before = np.concatenate([[0], np.cumsum(bad)])
        starts = starts[before[starts + size] == before[starts]]
    freqs: Array = np.asarray(np.fft.rfftfreq(size, 1.0 / sfreq), dtype=np.float64)
    first, last = np.searchsorted(freqs, [0.4, min(_TOP_HZ, 0.45 * sfreq) + 1e-6])
    taper = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(size) / size)
    out = np.empty((len(channels), starts.size, last - first), dtype=np.complex128)
    rows = starts[:, None] + np.arange(size)
    dense = starts.size and starts[-1] == (starts.size - 1) * size
    for k, channel in enumerate(channels):
        wave = data[channel]
        cut = wave[: starts.size * size].reshape(-1, size) if dense else wave[rows]
        cut = cut - cut.mean(axis=1, keepdims=True)
        cut *= taper
        out[k] = np.fft.rfft(cut, axis=1)[:, first:last]
    power = out.real**2
    power += out.imag**2
    return Windows(freqs[first:last], out, power, starts, sfreq)


def muscle_findings(windows: Windows, names: Sequence[str]) -> list[Finding]:
    """Find channels with muscle activity.

    Parameters
    ----------
    windows : Windows
        Of the good channels.
    names : sequence of str
        Their names.

    Returns
    -------
    list of Finding
        ``muscle``, or nothing; its share is that of the windows in which any of the channels
        named shows muscle.

    Notes
    -----
    The spectrum of muscle is flat where that of the brain falls (Whitham et al. 2007, Clin.
    Neurophysiol. 118:1877-1888). A window counts where the spectrum from 15-25 to 30-45 Hz falls
    less steeply than f^-0.5 and 30 to 45 Hz lies 6 dB above the channel's quiet level (its lower
    fifth of windows), or 10 dB above the median channel's where its mean spectrum is as flat. A
    channel is named when a tenth of its windows count. A loose contact looks alike.
    """
    top = float(windows.freqs_hz[-1]) if windows.freqs_hz.size else 0.0
    if top < 38.0 or windows.starts.size < 5:
        return []
    high = windows.band(_MUSCLE_HZ[0], min(_MUSCLE_HZ[1], top))
    below = windows.band(*_BELOW_HZ)
    quiet = np.quantile(high, 0.2, axis=1)
    middle = 0.5 * (_MUSCLE_HZ[0] + min(_MUSCLE_HZ[1], top))
    distance = np.log(middle / (0.5 * sum(_BELOW_HZ)))
    slope = np.log(np.maximum(high, 1e-300) / np.maximum(below, 1e-300)) / distance
    risen = high > _MUSCLE_RISE * quiet[:, None]
    if len(names) >= 4:
        usual = float(np.median(quiet))
        mean_slope = np.log((high.mean(axis=1) + 1e-300) / (below.mean(axis=1) + 1e-300)) / distance
        steady = mean_slope > _MUSCLE_FLATTEST
        risen |= (high > _MUSCLE_OVER_OTHERS * usual) & steady[:, None]
    hit = risen & (slope > _MUSCLE_FLATTEST)
    shares = hit.mean(axis=1)
    found = np.flatnonzero(shares >= MUSCLE_SHARE)
    if not found.size:
        return []
    ranked = found[np.argsort(-shares[found], kind="stable")]
    told = listed([f"{names[i]} ({100.0 * shares[i]:.0f} %)" for i in ranked])
    share = float(hit[found].any(axis=0).mean())
    text = (
        f"muscle activity in {100.0 * share:.0f} % of the time, in {told}: unclench the jaw, "
        "relax forehead and neck, support the head; leave those channels out where they are used"
    )
    return [Finding("muscle", "warning", text, tuple(names[i] for i in ranked), share, len(ranked))]


def drowsiness_findings(
    windows: Windows, names: Sequence[str], data: Array, rows: Sequence[int]
) -> list[Finding]:
    """Find spans in which the person dozed: alpha drops out, theta or rolling eyes come in.

    Parameters
    ----------
    windows : Windows
        Of the good channels.
    names : sequence of str
        Their names.
    data : ndarray, shape (n_channels, n_samples)
        Signals of all channels.
    rows : sequence of int
        Rows of `data` that belong to the names.

    Returns
    -------
    list of Finding
        ``drowsiness``, or nothing; its share is that of the time.

    Notes
    -----
    After the stages of the vigilance algorithm VIGALL (Huang et al. 2015, Neuropsychiatr.
    Electrophysiol. 1:13): A, alpha; B1, low amplitude with slow horizontal eye movements; B2/3,
    predominant theta. The waking part is that with posterior alpha above its median. Over 10 s,
    alpha falls below 60 % of its upper quartile and, at the same time, either theta rises by 40 %
    over its level in the waking part, or F7 minus F8 (or the next pair further front or out)
    rolls at 0.2 to 0.7 Hz four times as strongly as there; and alpha is that much lower wherever
    theta or rolling is seen than elsewhere. A tenth of the time and 20 s are the least. Without
    alpha in the waking part (eyes open, or no rhythm) nothing is said; nor can a recording be
    seen that is drowsy from end to end. None of 1500 made recordings with stationary waxing and
    waning alpha was named.
    """
    span = round(_SMOOTH_S / WINDOW_S)
    if windows.starts.size < 3 * span:
        return []
    posterior = [i for i, name in enumerate(names) if is_posterior(name)]
    chosen = posterior or list(range(len(names)))
    alpha = _region(windows.band(*_ALPHA_HZ, chosen), span)
    theta = _region(windows.band(*_THETA_HZ, chosen), span)
    awake = alpha >= np.quantile(alpha, 0.5)
    high = float(np.quantile(alpha, 0.75))
    low = alpha < _ALPHA_LEFT * high
    if low.mean() < DROWSY_SHARE:
        return []
    wide = windows.power[chosen][:, _window_of(awake, span)]
    if not _has_alpha(windows.freqs_hz, wide):
        return []
    slowed = theta > _THETA_RISE * float(np.median(theta[awake]))
    rolling = _rolling(windows, names, data, rows, awake, span)
    sign = slowed | rolling
    # The two must go together: alpha wanes by itself now and then, whatever theta does.
    mixed = sign.any() and not sign.all()
    together = mixed and np.median(alpha[sign]) < _ALPHA_LEFT * np.median(alpha[~sign])
    drowsy = low & sign & together
    share = float(drowsy.mean())
    seconds = share * windows.starts.size * WINDOW_S
    if share < DROWSY_SHARE or seconds < DROWSY_SECONDS:
        return []
    signs = [
        word
        for word, shown in (("theta rises", slowed), ("the eyes roll slowly", rolling))
        if (drowsy & shown).any()
    ]
    text = (
        f"drowsy in about {100.0 * share:.0f} % of the time (alpha drops out and "
        f"{' and '.join(signs)}): the peak may be slowed; keep the person awake, talk between "
        "blocks, and record again or use the waking part with --tmin and --tmax"
    )
    return [Finding("drowsiness", "warning", text, share=share)]


def _region(power: Array, span: int) -> Array:
    """Mean over channels, each counted alike, smoothed over `span` windows."""
    scale = np.maximum(np.median(power, axis=1, keepdims=True), 1e-300)
    return _smooth((power / scale).mean(axis=0), span)


def _smooth(values: Array, span: int) -> Array:
    """Moving mean, one value for each full stretch of `span`."""
    return np.asarray(np.convolve(values, np.full(span, 1.0 / span), mode="valid"))


def _window_of(stretch: Mask, span: int) -> NDArray[np.int64]:
    """Middle windows of the stretches chosen."""
    return np.flatnonzero(stretch) + span // 2


def _has_alpha(freqs_hz: Array, power: Array) -> bool:
    """Whether the spectrum of the waking part has a bump between 7.5 and 13 Hz."""
    mean = power.mean(axis=1)
    scale = np.maximum(np.median(mean, axis=1, keepdims=True), 1e-300)
    level = np.log((mean / scale).mean(axis=0) + 1e-300)
    inside = (freqs_hz >= 7.4) & (freqs_hz <= 13.1)
    beside = ((freqs_hz >= 2.9) & (freqs_hz <= 5.6)) | ((freqs_hz >= 15.9) & (freqs_hz <= 25.1))
    line = np.polyfit(np.log(freqs_hz[beside]), level[beside], 1)
    return bool((level - np.polyval(line, np.log(freqs_hz)))[inside].max() > np.log(2.0))


def _rolling(
    windows: Windows,
    names: Sequence[str],
    data: Array,
    rows: Sequence[int],
    awake: Mask,
    span: int,
) -> Mask:
    """Whether the eyes roll slowly from side to side, for each stretch."""
    nothing = np.zeros(awake.size, dtype=bool)
    pair = next((p for p in _SIDES if p[0] in names and p[1] in names), None)
    if pair is None:
        return nothing
    left, right = (data[rows[names.index(name)]] for name in pair)
    size = round(span * WINDOW_S * windows.sfreq_hz)
    thin = max(1, int(windows.sfreq_hz / 8.0))
    count = size // thin
    freqs = np.fft.rfftfreq(count, thin / windows.sfreq_hz)
    taken = (freqs >= _ROLL_HZ[0] - 1e-6) & (freqs <= _ROLL_HZ[1] + 1e-6)
    taper = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(count) / count)
    places = windows.starts[: awake.size, None] // thin + np.arange(count)
    strength, common = (
        (np.abs(np.fft.rfft(_centred(wave, places) * taper)[:, taken]) ** 2).sum(axis=1)
        for wave in (_thinned(left - right, thin), _thinned(left + right, thin))
    )
    risen = strength > _ROLL_RISE * np.median(strength[awake])
    return np.asarray(risen & (strength > 2.0 * common))


def _centred(wave: Array, places: NDArray[np.int64]) -> Array:
    """Stretches of a wave without their mean; the last sample stands in beyond the end."""
    cut = wave[np.minimum(places, wave.size - 1)]
    return np.asarray(cut - cut.mean(axis=1, keepdims=True))


def _thinned(wave: Array, factor: int) -> Array:
    """Means of `factor` samples each."""
    count = wave.size // factor
    return np.asarray(wave[: count * factor].reshape(count, factor).mean(axis=1))
