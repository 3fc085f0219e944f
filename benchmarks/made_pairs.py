"""Made recordings before and after, with known truth: nothing changed, or what is asked for.

One alpha source over the back of the head in 1/f background. What may differ between the two:
power of the source, the background, the person's arousal, or a line left by the stimulator. What
may go on in both: slow drift of alpha power, waxing and waning within seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from tests.analysis.noise import coloured, slow

Array = NDArray[np.float64]

CHANNELS = ("F7", "F8", "Cz", "P3", "P4", "O1", "O2")
_ALPHA_GAIN = np.array([0.25, 0.25, 0.4, 0.85, 0.85, 1.0, 1.0])
_THETA_GAIN = np.array([0.8, 0.8, 1.0, 0.9, 0.9, 0.8, 0.8])
_SETTLING_S = 3.0
_ALPHA_WIDTH_HZ = 0.5
_BACKGROUND = 12.0
_THETA_HZ, _THETA_WIDTH_HZ = 5.5, 0.9


@dataclass(frozen=True, slots=True)
class PairCase:
    """What to make.

    Parameters
    ----------
    seed : int
        Seed of everything random, also of peak (8.5 to 11.5 Hz) and background exponent (1 to 1.6).
    alpha_ratio : float
        Power of the alpha source after over before.
    tau_s, drift_sd : float or None, float
        Time constant and standard deviation of the log power of alpha: a first-order process of
        its own in each recording, stationary from the start; None for no drift.
    burst_sd : float
        Standard deviation of log amplitude that waxes and wanes within about 2 s, in both.
    exponent_change, background_ratio : float
        Change of the background's exponent (its power at 1 Hz stays), and of its power.
    drowsy : float
        How far the person is drowsier after than before, from -1 to 1. At 1 alpha has half its
        power, theta (4 to 7 Hz) is 1.5 times as strong, the peak 0.6 Hz slower and the line 1.4
        times as broad; below 0 it is the recording before that is drowsy.
    asleep_during : float
        The same, reached in a straight line in the course of the recording after.
    line_uv : float
        Amplitude of a sine in the recording after, in O1 and at a third of it in P3.
    alpha_uv : float
        Standard deviation of alpha in O1 and O2; the background has about 5 µV.
    duration_s, sfreq_hz : float
        Usable length, to which 3 s that the comparison drops are added; sampling rate.
    """

    seed: int
    alpha_ratio: float = 1.0
    tau_s: float | None = None
    drift_sd: float = 0.5
    burst_sd: float = 0.0
    exponent_change: float = 0.0
    background_ratio: float = 1.0
    drowsy: float = 0.0
    asleep_during: float = 0.0
    line_uv: float = 0.0
    alpha_uv: float = 5.0
    duration_s: float = 180.0
    sfreq_hz: float = 250.0


@dataclass(frozen=True, slots=True)
class MadePair:
    """Two recordings and the truth.

    Parameters
    ----------
    before, after : mne.io.RawArray
        The recordings.
    peak_hz : float
        Centre of alpha before, in a waking person.
    line_hz : float
        Where the line is, if there is one: within the band, up to 1 Hz off the peak.
    drift_ln : float
        ln of the mean power of the alpha source after over before that its drift alone made.
    """

    before: Any
    after: Any
    peak_hz: float
    line_hz: float
    drift_ln: float


def make_pair(case: PairCase) -> MadePair:
    """Make both recordings.

    Parameters
    ----------
    case : PairCase
        What to make.

    Returns
    -------
    MadePair
        Volts; channels `CHANNELS`.
    """
    import mne

    rng = np.random.default_rng(case.seed)
    peak_hz = float(rng.uniform(8.5, 11.5))
    exponent = float(rng.uniform(1.0, 1.6))
    line_hz = round(peak_hz + float(rng.uniform(-1.0, 1.0)), 2)
    n = round((case.duration_s + _SETTLING_S) * case.sfreq_hz)
    drift = [_drift(rng, n, case) for _ in range(2)]
    course = np.arange(n) / n
    still = np.zeros(n)
    sides = (
        (1.0, exponent, 1.0, still + max(0.0, -case.drowsy)),
        (
            case.alpha_ratio,
            exponent + case.exponent_change,
            case.background_ratio,
            max(0.0, case.drowsy) + case.asleep_during * course,
        ),
    )
    info = mne.create_info(list(CHANNELS), case.sfreq_hz, "eeg")
    raws = []
    for gain, (ratio, slope, level, drowsy) in zip(drift, sides, strict=True):
        data = math.sqrt(level) * _background(rng, n, case.sfreq_hz, slope)
        data += _rhythms(rng, case, peak_hz, drowsy, math.sqrt(ratio) * np.exp(0.5 * gain))
        raws.append(data)
    if case.line_uv:
        sine = case.line_uv * np.sin(2.0 * np.pi * line_hz * np.arange(n) / case.sfreq_hz)
        raws[1][CHANNELS.index("O1")] += sine
        raws[1][CHANNELS.index("P3")] += sine / 3.0
    means = [float(np.mean(np.exp(one))) for one in drift]
    before, after = (mne.io.RawArray(1e-6 * data, info.copy(), verbose="ERROR") for data in raws)
    return MadePair(before, after, peak_hz, line_hz, math.log(means[1] / means[0]))


def _drift(rng: np.random.Generator, n: int, case: PairCase) -> Array:
    """Log power of alpha over time."""
    if case.tau_s is None:
        return np.zeros(n)
    memory = math.exp(-1.0 / (case.sfreq_hz * case.tau_s))
    drive = rng.standard_normal(n) * math.sqrt(1.0 - memory**2)
    drive[0] = rng.standard_normal()
    return np.asarray(case.drift_sd * lfilter([1.0], [1.0, -memory], drive))


def _background(rng: np.random.Generator, n: int, sfreq_hz: float, exponent: float) -> Array:
    """1/f noise that neighbours share in part, µV."""
    freqs = np.asarray(np.fft.rfftfreq(n, 1.0 / sfreq_hz), dtype=np.float64)
    psd = _BACKGROUND * np.maximum(freqs, 0.5) ** -exponent
    psd[freqs < 0.3] = 0.0
    own, common = coloured(rng, psd, len(CHANNELS), n, sfreq_hz), coloured(rng, psd, 1, n, sfreq_hz)
    return np.asarray(math.sqrt(0.6) * own + math.sqrt(0.4) * common)


def _rhythms(
    rng: np.random.Generator, case: PairCase, peak_hz: float, drowsy: Array, gain: Array
) -> Array:
    """Alpha, and theta in the drowsy, over the channels, µV."""
    n, sfreq_hz = drowsy.size, case.sfreq_hz
    if case.burst_sd:
        gain = gain * np.exp(case.burst_sd * slow(rng, n, sfreq_hz, 0.5) - case.burst_sd**2)
    awake = _band_noise(rng, n, sfreq_hz, peak_hz, _ALPHA_WIDTH_HZ)
    dozing = _band_noise(rng, n, sfreq_hz, peak_hz - 0.6, 0.7)
    mild = np.sqrt(np.clip(drowsy, 0.0, 1.0))
    alpha = np.sqrt(1.0 - mild**2) * awake + mild * math.sqrt(0.5) * dozing
    found = np.outer(_ALPHA_GAIN, case.alpha_uv * gain * alpha)
    if drowsy.any():
        theta = _band_noise(rng, n, sfreq_hz, _THETA_HZ, _THETA_WIDTH_HZ)
        # Half of the background between 4 and 7 Hz, 12 f^-1.3 µV²/Hz over 3 Hz.
        strength_uv = math.sqrt(0.5 * 3.0 * _BACKGROUND * _THETA_HZ**-1.3)
        found += np.outer(_THETA_GAIN, strength_uv * mild * theta)
    return np.asarray(found)


def _band_noise(
    rng: np.random.Generator, n: int, sfreq_hz: float, centre_hz: float, width_hz: float
) -> Array:
    """Gaussian noise of unit variance with a Gaussian line of standard deviation `width_hz`."""
    freqs = np.asarray(np.fft.rfftfreq(n, 1.0 / sfreq_hz), dtype=np.float64)
    psd = np.exp(-0.5 * ((freqs - centre_hz) / width_hz) ** 2)
    psd /= width_hz * math.sqrt(2.0 * math.pi)
    return np.asarray(coloured(rng, psd, 1, n, sfreq_hz)[0])


def truth_ln(case: PairCase, band_hz: tuple[float, float]) -> float:
    """Log ratio of the posterior channels' expected band power, for alpha and background alone.

    Parameters
    ----------
    case : PairCase
        What was made; drift, drowsiness and the line are not in the truth.
    band_hz : (float, float)
        Band.

    Returns
    -------
    float
        ln(after / before).
    """
    from scipy.stats import norm

    rng = np.random.default_rng(case.seed)
    peak_hz, exponent = float(rng.uniform(8.5, 11.5)), float(rng.uniform(1.0, 1.6))
    inside = np.diff(norm.cdf(band_hz, peak_hz, _ALPHA_WIDTH_HZ))[0]
    alpha = float(np.mean(_ALPHA_GAIN[3:] ** 2)) * case.alpha_uv**2 * float(inside)
    grid = np.linspace(*band_hz, 401)
    flat = [
        float(np.mean(_BACKGROUND * grid**-slope)) * (band_hz[1] - band_hz[0])
        for slope in (exponent, exponent + case.exponent_change)
    ]
    after = alpha * case.alpha_ratio + flat[1] * case.background_ratio
    return math.log(after / (alpha + flat[0]))
