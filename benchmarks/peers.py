"""Other ways to find an alpha peak, each behind the same call; for benchmarks only.

Every peer takes signals (channels x samples, volt), sampling rate, channel names and the band to
look in, and gives one frequency or None. Where a peer works on one spectrum, it gets the mean of
the region's channels: the parietal and occipital ones by name, else all. None gives an interval.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.channels import is_posterior
from analysis.restingiaf import resting_iaf

Array = NDArray[np.float64]
Band = tuple[float, float]

FIT_RANGE_HZ = (2.0, 40.0)
TUNED: dict[str, Any] = {
    "peak_width_limits": (1.0, 8.0),
    "max_n_peaks": 6,
    "min_peak_height": 0.1,
    "verbose": False,
}
IRASA_EXCESS_LOG10 = 0.2


@dataclass(frozen=True, slots=True)
class Answer:
    """What a peer says: a frequency, or that there is none."""

    frequency_hz: float | None


Peer = Callable[[Array, float, Sequence[str], Band], Answer]


def region(data_v: Array, ch_names: Sequence[str]) -> Array:
    """Rows of the parietal and occipital channels, or of all if none is named so."""
    rows = [i for i, name in enumerate(ch_names) if is_posterior(name)]
    return data_v[rows] if rows else data_v


def mean_spectrum(data_v: Array, sfreq_hz: float, ch_names: Sequence[str]) -> tuple[Array, Array]:
    """Welch spectrum (Hann, 4 s, half overlapping), mean of the region's channels."""
    from scipy.signal import welch

    freqs, psd = welch(region(data_v, ch_names), sfreq_hz, nperseg=round(4 * sfreq_hz), axis=-1)
    return freqs, psd.mean(axis=0)


def welch_maximum(data_v: Array, sfreq_hz: float, ch_names: Sequence[str], band_hz: Band) -> Answer:
    """Highest bin of the mean spectrum in the band; always answers, often with the band's edge."""
    freqs, psd = mean_spectrum(data_v, sfreq_hz, ch_names)
    inside = (freqs >= band_hz[0]) & (freqs <= band_hz[1])
    return Answer(float(freqs[inside][np.argmax(psd[inside])]))


def gravity(data_v: Array, sfreq_hz: float, ch_names: Sequence[str], band_hz: Band) -> Answer:
    """Centre of gravity of the mean spectrum in the band (Klimesch 1999); always answers."""
    freqs, psd = mean_spectrum(data_v, sfreq_hz, ch_names)
    inside = (freqs >= band_hz[0]) & (freqs <= band_hz[1])
    return Answer(float(freqs[inside] @ psd[inside] / psd[inside].sum()))


def gravity_flat(data_v: Array, sfreq_hz: float, ch_names: Sequence[str], band_hz: Band) -> Answer:
    """Centre of gravity of what lies over a power law through 2 to 40 Hz, the band left out."""
    freqs, psd = mean_spectrum(data_v, sfreq_hz, ch_names)
    inside = (freqs >= band_hz[0]) & (freqs <= band_hz[1])
    around = (freqs >= FIT_RANGE_HZ[0]) & (freqs <= FIT_RANGE_HZ[1]) & ~inside
    slope, level = np.polyfit(np.log(freqs[around]), np.log(psd[around]), 1)
    over = np.maximum(psd[inside] - np.exp(level + slope * np.log(freqs[inside])), 0.0)
    return Answer(float(freqs[inside] @ over / over.sum()) if over.sum() > 0.0 else None)


def fooof_tuned(data_v: Array, sfreq_hz: float, ch_names: Sequence[str], band_hz: Band) -> Answer:
    """fooof 1.1, tallest peak in the band; 2-40 Hz, width 1-8 Hz, at most 6 peaks, height 0.1."""
    return _fooof(mean_spectrum(data_v, sfreq_hz, ch_names), band_hz, TUNED)


def fooof_default(data_v: Array, sfreq_hz: float, ch_names: Sequence[str], band_hz: Band) -> Answer:
    """fooof 1.1, tallest peak in the band; 2-40 Hz, own settings (width 0.5-12 Hz)."""
    return _fooof(mean_spectrum(data_v, sfreq_hz, ch_names), band_hz, {"verbose": False})


def specparam_tuned(
    data_v: Array, sfreq_hz: float, ch_names: Sequence[str], band_hz: Band
) -> Answer:
    """specparam 2.0 (release candidate 7), settings of `fooof_tuned`."""
    freqs, psd = mean_spectrum(data_v, sfreq_hz, ch_names)
    with warnings.catch_warnings(record=True):
        from specparam import SpectralModel

        model = SpectralModel(**TUNED)
        model.fit(freqs, psd, list(FIT_RANGE_HZ))
        return Answer(_tallest(model.results.get_params("peak"), band_hz))


def philistine(data_v: Array, sfreq_hz: float, ch_names: Sequence[str], band_hz: Band) -> Answer:
    """philistine 0.2 `savgol_iaf`, peak frequency; band given, otherwise its own settings.

    Mean spectrum of the region at 0.25 Hz, smoothed over 11 bins (fifth order); no answer where
    a line through log power against log frequency, 1-30 Hz, explains more than 90 %.
    """
    with warnings.catch_warnings(record=True):
        import mne
        from philistine.mne import savgol_iaf

        chosen = region(data_v, ch_names)
        info = mne.create_info(len(chosen), sfreq_hz, "eeg", verbose="ERROR")
        raw = mne.io.RawArray(chosen, info, verbose="ERROR")
        with mne.utils.use_log_level("ERROR"):
            out = savgol_iaf(raw, fmin=band_hz[0], fmax=band_hz[1], ax=False)
    peak = out.PeakAlphaFrequency
    return Answer(None if peak is None else float(peak))


def irasa(data_v: Array, sfreq_hz: float, ch_names: Sequence[str], band_hz: Band) -> Answer:
    """IRASA (Wen and Liu 2016) as in neurodsp 2.3: highest bin over its own aperiodic part.

    Mean over the region's channels of both parts; Welch windows of 4 s, resampling factors 1.1 to
    1.9. neurodsp has no rule for "no peak": here the ratio of the whole spectrum to the aperiodic
    part must be a local maximum in the band and reach 0.2 in log10.
    """
    with warnings.catch_warnings(record=True):
        from neurodsp.aperiodic import compute_irasa

        freqs, slow, fast = compute_irasa(region(data_v, ch_names), sfreq_hz, f_range=FIT_RANGE_HZ)
    background = np.maximum(np.atleast_2d(slow).mean(axis=0), 1e-300)
    excess = np.atleast_2d(fast).mean(axis=0) / background
    ratio = np.log10(np.maximum(1.0 + excess, 1e-6))
    top = np.zeros(freqs.size, dtype=bool)
    top[1:-1] = (ratio[1:-1] > ratio[:-2]) & (ratio[1:-1] >= ratio[2:])
    top &= (freqs >= band_hz[0]) & (freqs <= band_hz[1]) & (ratio >= IRASA_EXCESS_LOG10)
    if not top.any():
        return Answer(None)
    return Answer(float(freqs[top][np.argmax(ratio[top])]))


def restingiaf(data_v: Array, sfreq_hz: float, ch_names: Sequence[str], band_hz: Band) -> Answer:
    """restingIAF (Corcoran et al. 2018) as this suite replicates it from the paper."""
    return Answer(resting_iaf(region(data_v, ch_names), sfreq_hz, band_hz=band_hz).peak_hz)


def _fooof(spectrum: tuple[Array, Array], band_hz: Band, settings: dict[str, Any]) -> Answer:
    """Tallest fooof peak of a spectrum in the band."""
    # fooof calls warnings.simplefilter("always") when imported: contained here.
    with warnings.catch_warnings(record=True):
        from fooof import FOOOF

        model = FOOOF(**settings)
        model.fit(*spectrum, list(FIT_RANGE_HZ))
        return Answer(_tallest(model.peak_params_, band_hz))


def _tallest(peaks: Any, band_hz: Band) -> float | None:
    """Centre of the highest peak in the band; rows of centre, height and width."""
    rows = np.atleast_2d(np.asarray(peaks, dtype=float))
    inside = [row for row in rows if row.size == 3 and band_hz[0] <= row[0] <= band_hz[1]]
    return float(max(inside, key=lambda row: row[1])[0]) if inside else None


PEERS: dict[str, Peer] = {
    "Welch maximum": welch_maximum,
    "centre of gravity": gravity,
    "centre of gravity over 1/f": gravity_flat,
    "fooof, default": fooof_default,
    "fooof, tuned": fooof_tuned,
    "specparam, tuned": specparam_tuned,
    "philistine": philistine,
    "IRASA (neurodsp)": irasa,
    "restingIAF (replication)": restingiaf,
}
NEEDS = {
    "specparam, tuned": "specparam",
    "philistine": "philistine",
    "IRASA (neurodsp)": "neurodsp",
}


def installed() -> dict[str, Peer]:
    """Peers whose package is installed, in order."""
    return {name: peer for name, peer in PEERS.items() if find_spec(NEEDS.get(name, "fooof"))}
