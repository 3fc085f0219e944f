"""Band power of one recording: raw, relative, and over the aperiodic part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError, UnusableRecording
from analysis.spectrum import SpectralFit, fit_spectrum, segment_spectra

Array = NDArray[np.float64]

WINDOW_S = 4.0
OVERLAP = 0.5
TOTAL_HZ = (1.0, 40.0)
FIT_HZ = (2.0, 40.0)
MIN_R_SQUARED = 0.9


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


@dataclass(frozen=True, slots=True)
class Parts:
    """Band power of one spectrum taken apart into aperiodic part and the rest.

    Parameters
    ----------
    fit : SpectralFit or None
        The fit, None where fooof found none.
    split_uv2 : (float, float) or None
        Power of the aperiodic part in the band, and what lies over it (may be negative); None
        where the fit is not to be trusted.
    reason : str or None
        Why there are no parts.
    """

    fit: SpectralFit | None
    split_uv2: tuple[float, float] | None
    reason: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "offset": None if self.fit is None else self.fit.offset,
            "exponent": None if self.fit is None else self.fit.exponent,
            "r_squared": None if self.fit is None else self.fit.r_squared,
            "aperiodic_uv2": None if self.split_uv2 is None else self.split_uv2[0],
            "oscillatory_uv2": None if self.split_uv2 is None else self.split_uv2[1],
            "reason": self.reason,
        }


def take_apart(
    freqs_hz: Array,
    psd: Array,
    band_hz: tuple[float, float],
    fit_range_hz: tuple[float, float] = FIT_HZ,
) -> Parts:
    """Fit 1/f background and peaks, and take the background out of the band.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies.
    psd : ndarray, shape (n_freqs,)
        Power spectral density, µV²/Hz.
    band_hz : (float, float)
        Band.
    fit_range_hz : (float, float)
        Range of the fit.

    Returns
    -------
    Parts
        The oscillatory part is the linear difference of spectrum and fitted background, summed
        over the band; it does not depend on how the peaks were cut into Gaussians. Without a fit,
        or with R² below 0.9, there are no parts but a reason.

    References
    ----------
    Donoghue et al. 2020, Nat. Neurosci. 23:1655-1665.
    """
    try:
        fit = fit_spectrum(freqs_hz, psd, fit_range_hz=fit_range_hz)
    except AnalysisError as exc:
        return Parts(None, None, str(exc))
    if not fit.r_squared >= MIN_R_SQUARED:
        reason = f"the fit explains too little (R² {fit.r_squared:.2f}, {MIN_R_SQUARED:g} needed)"
        return Parts(fit, None, reason)
    bins = band_bins(freqs_hz, band_hz)
    step = float(freqs_hz[1] - freqs_hz[0])
    background = float(np.sum(fit.aperiodic(freqs_hz[bins])) * step)
    total = float(band_power(freqs_hz, psd, band_hz))
    return Parts(fit, (background, total - background), None)


def oscillatory_replicates(
    freqs_hz: Array, psd: Array, replicates: Array, fit: SpectralFit, band_hz: tuple[float, float]
) -> Array:
    """Oscillatory band power of resampled spectra, the background refitted to each.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies.
    psd : ndarray, shape (n_freqs,)
        The spectrum that was fitted.
    replicates : ndarray, shape (n_bootstrap, n_freqs)
        Resampled spectra.
    fit : SpectralFit
        Fit of `psd`.
    band_hz : (float, float)
        Band.

    Returns
    -------
    ndarray, shape (n_bootstrap,)
        Power over the background; may be negative.

    Notes
    -----
    A full fit of each of some thousand spectra takes minutes. The background moves instead by
    weighted least squares of the log difference from `psd` on log frequency, each bin weighted by
    the share of its power that is background: one matrix product, and exact at `psd` itself.
    """
    used = (freqs_hz >= fit.fit_range_hz[0]) & (freqs_hz <= fit.fit_range_hz[1])
    log_f = np.log10(freqs_hz[used])
    peaks = np.zeros(log_f.size)
    for center_hz, height, bandwidth_hz in fit.peaks:
        peaks += height * np.exp(-2.0 * ((freqs_hz[used] - center_hz) / bandwidth_hz) ** 2)
    root = np.sqrt(10.0 ** -np.clip(peaks, 0.0, None))
    design = np.stack([np.ones(log_f.size), -log_f], axis=1)
    solve = np.linalg.pinv(design * root[:, None]) * root
    moved = np.log10(replicates[:, used] / psd[used]) @ solve.T
    bins = band_bins(freqs_hz, band_hz)
    log_background = (
        fit.offset + moved[:, :1] - (fit.exponent + moved[:, 1:]) * np.log10(freqs_hz[bins])
    )
    step = float(freqs_hz[1] - freqs_hz[0])
    background = (10.0**log_background).sum(axis=1) * step
    return np.asarray(band_power(freqs_hz, replicates, band_hz) - background)
