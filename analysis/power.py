"""Band power of one recording."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError, UnusableRecording
from analysis.spectrum import segment_spectra

Array = NDArray[np.float64]

WINDOW_S = 4.0
OVERLAP = 0.5
TOTAL_HZ = (1.0, 40.0)
FIT_HZ = (2.0, 40.0)


def percent_of_ln(ln_ratio: float) -> float:
    """Change in percent, 100 (e^x - 1), of a natural log ratio x."""
    return 100.0 * math.expm1(ln_ratio)


def db_of_ln(ln_ratio: float) -> float:
    """Change in decibel, 10 log10(ratio), of a natural log ratio of power."""
    return 10.0 * ln_ratio / math.log(10.0)


def band_bins(freqs_hz: Array, band_hz: tuple[float, float]) -> NDArray[np.bool_]:
    """Bins inside a band, both ends included.

    Raises
    ------
    AnalysisError
        If the spectrum does not reach over the band, or no bin lies in it.
    """
    low, high = band_hz
    step = float(freqs_hz[1] - freqs_hz[0])
    if not (math.isfinite(low) and math.isfinite(high) and 0.0 < low < high):
        raise AnalysisError(f"band {low:g}-{high:g} Hz: give 0 < low < high")
    if low < freqs_hz[0] - step or high > freqs_hz[-1] + step:
        raise AnalysisError(
            f"band {low:g}-{high:g} Hz lies outside the spectrum "
            f"({freqs_hz[0]:g}-{freqs_hz[-1]:g} Hz)"
        )
    # Bin frequencies are rounded quotients: an edge that falls on a bin takes it in.
    inside = (freqs_hz >= low - 1e-9 * high) & (freqs_hz <= high + 1e-9 * high)
    if not inside.any():
        raise AnalysisError(f"no bin between {low:g} and {high:g} Hz in steps of {step:g} Hz")
    return np.asarray(inside)


def band_power(freqs_hz: Array, psd: Array, band_hz: tuple[float, float]) -> Array:
    """Power in a band: sum of the bins times their width.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Evenly spaced frequencies.
    psd : ndarray, shape (..., n_freqs)
        Power spectral density.
    band_hz : (float, float)
        Band.

    Returns
    -------
    ndarray, shape (...)
        Power, in the unit of `psd` times Hz.
    """
    step = float(freqs_hz[1] - freqs_hz[0])
    return np.asarray(psd[..., band_bins(freqs_hz, band_hz)].sum(axis=-1) * step)


@dataclass(frozen=True, slots=True)
class RecordingSpectra:
    """Spectra of one prepared recording, by Welch with 4 s Hann segments and half overlap.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies, 0.25 Hz apart.
    starts_s : ndarray, shape (n_segments,)
        Start of each segment.
    step_s : float
        Usual distance between starts.
    region : ndarray, shape (n_segments, n_freqs)
        Mean over the channels of the region, µV²/Hz.
    channels : ndarray, shape (n_channels, n_freqs)
        Mean over segments, µV²/Hz.
    band : ndarray, shape (n_segments, n_channels)
        Band power of every segment and channel, µV².
    """

    freqs_hz: Array
    starts_s: Array
    step_s: float
    region: Array
    channels: Array
    band: Array

    @property
    def n_segments(self) -> int:
        """Number of segments."""
        return int(self.starts_s.size)

    def region_mean(self) -> Array:
        """Spectrum of the region, mean over segments, shape (n_freqs,)."""
        return np.asarray(self.region.mean(axis=0))


def measure(
    data_uv: Array,
    sfreq_hz: float,
    region: list[int],
    band_hz: tuple[float, float],
    *,
    bad: NDArray[np.bool_] | None = None,
) -> RecordingSpectra:
    """Take the spectra of one recording.

    Parameters
    ----------
    data_uv : ndarray, shape (n_channels, n_samples)
        EEG in µV.
    sfreq_hz : float
        Sampling rate.
    region : list of int
        Rows that make up the region.
    band_hz : (float, float)
        Band of the channel-wise power.
    bad : ndarray of bool, shape (n_samples,), optional
        Samples to avoid.

    Returns
    -------
    RecordingSpectra
        Spectra in time order.

    Raises
    ------
    UnusableRecording
        If no segment is clean.

    References
    ----------
    Welch 1967, IEEE Trans. Audio Electroacoust. 15:70-73.
    """
    top_hz = min(sfreq_hz / 2.0, max(TOTAL_HZ[1], band_hz[1]) + 1.0)
    found = segment_spectra(
        data_uv, sfreq_hz, window_s=WINDOW_S, overlap=OVERLAP, fmax_hz=top_hz, bad=bad
    )
    if not found.starts_s.size:
        raise UnusableRecording(
            f"no clean segment of {WINDOW_S:g} s: give a longer or cleaner recording"
        )
    return RecordingSpectra(
        freqs_hz=found.freqs_hz,
        starts_s=found.starts_s,
        step_s=found.step_s,
        region=np.asarray(found.power[:, region].mean(axis=1)),
        channels=np.asarray(found.power.mean(axis=0)),
        band=band_power(found.freqs_hz, found.power, band_hz),
    )
