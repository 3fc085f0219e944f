"""Power spectra segment by segment, and the one adapter around fooof."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError

Array = NDArray[np.float64]

FIT_RANGE_HZ = (2.0, 40.0)
PEAK_WIDTH_HZ = (1.0, 8.0)
MAX_PEAKS = 6
MIN_PEAK_HEIGHT_LOG10 = 0.1
STEEPEST_EXPONENT = 4.5


@dataclass(frozen=True, slots=True)
class SegmentSpectra:
    """Power spectra of the segments of one recording.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies.
    power : ndarray, shape (n_segments, n_channels, n_freqs)
        One-sided power spectral density, squared input unit per Hz.
    starts_s : ndarray, shape (n_segments,)
        Start of each segment.
    window_s, step_s : float
        Length of a segment and distance between two starts.
    seconds_used : float
        Length of signal covered by at least one segment.
    """

    freqs_hz: Array
    power: Array
    starts_s: Array
    window_s: float
    step_s: float
    seconds_used: float

    def mean(self) -> Array:
        """Welch estimate: mean over segments, shape (n_channels, n_freqs)."""
        return np.asarray(self.power.mean(axis=0))


def segment_spectra(
    data: Array,
    sfreq_hz: float,
    *,
    window_s: float = 4.0,
    overlap: float = 0.5,
    fmin_hz: float = 0.0,
    fmax_hz: float = np.inf,
    bad: NDArray[np.bool_] | None = None,
    method: Literal["hann", "multitaper"] = "hann",
    bandwidth_hz: float = 1.0,
    starts: NDArray[np.int64] | None = None,
) -> SegmentSpectra:
    """Spectrum of every segment, mean removed, Hann window or multitaper.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_samples)
        Signals.
    sfreq_hz : float
        Sampling rate.
    window_s : float
        Segment length; the frequency step is its inverse.
    overlap : float
        Share of a segment that the next one repeats, 0 to below 1.
    fmin_hz, fmax_hz : float
        Frequencies kept, both ends included.
    bad : ndarray of bool, shape (n_samples,), optional
        Samples to avoid: a segment that holds one is left out.
    method : {"hann", "multitaper"}
        One Hann taper, or the mean over discrete prolate tapers.
    bandwidth_hz : float
        Full width of the multitaper main lobe.
    starts : ndarray of int, shape (n_segments,), optional
        First samples of the segments; by default one segment after the other, overlapping.

    Returns
    -------
    SegmentSpectra
        Spectra of the segments that remain (possibly none).

    References
    ----------
    Welch 1967, IEEE Trans. Audio Electroacoust. 15:70-73; Thomson 1982, Proc. IEEE 70:1055-1096.
    """
    n_per = round(window_s * sfreq_hz)
    step = max(1, round(n_per * (1.0 - overlap)))
    n_samples = data.shape[1]
    if starts is None:
        starts = np.arange(0, n_samples - n_per + 1, step)
    covered = np.zeros(n_samples, dtype=bool)
    if bad is not None and starts.size:
        before = np.concatenate([[0], np.cumsum(bad)])
        starts = starts[before[starts + n_per] == before[starts]]
    for start in starts:
        covered[start : start + n_per] = True
    freqs: Array = np.asarray(np.fft.rfftfreq(n_per, 1.0 / sfreq_hz), dtype=np.float64)
    keep = (freqs >= fmin_hz) & (freqs <= fmax_hz)
    tapers = _tapers(n_per, sfreq_hz, method, bandwidth_hz)
    power = np.zeros((starts.size, data.shape[0], int(keep.sum())))
    double = np.where((freqs == 0.0) | ((n_per % 2 == 0) & (freqs == freqs[-1])), 1.0, 2.0)[keep]
    first, last = (int(i) for i in np.flatnonzero(keep)[[0, -1]]) if keep.any() else (0, -1)
    piece, tapered = np.empty((2, data.shape[0], n_per))
    for total, start in zip(power, starts, strict=True):
        cut = data[:, start : start + n_per]
        np.subtract(cut, cut.mean(axis=1, keepdims=True), out=piece)
        for taper in tapers:
            np.multiply(piece, taper, out=tapered)
            found = np.fft.rfft(tapered, axis=1)[:, first : last + 1]
            total += found.real**2 + found.imag**2
        total *= double
        total /= len(tapers) * sfreq_hz
    return SegmentSpectra(
        freqs_hz=freqs[keep],
        power=power,
        starts_s=starts / sfreq_hz,
        window_s=n_per / sfreq_hz,
        step_s=step / sfreq_hz,
        seconds_used=float(covered.sum() / sfreq_hz),
    )


def _tapers(n_per: int, sfreq_hz: float, method: str, bandwidth_hz: float) -> list[Array]:
    """Unit-energy tapers of one segment."""
    if method == "hann":
        window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n_per) / n_per)
        return [window / np.sqrt(np.sum(window**2))]
    from scipy.signal.windows import dpss

    half = bandwidth_hz * n_per / (2.0 * sfreq_hz)
    if half < 1.0:
        raise AnalysisError(
            f"multitaper bandwidth {bandwidth_hz:g} Hz is too narrow for segments of "
            f"{n_per / sfreq_hz:g} s: use at least {2.0 * sfreq_hz / n_per:g} Hz"
        )
    return list(dpss(n_per, half, Kmax=max(1, int(2 * half) - 1)))


def low_pass_edge_hz(freqs_hz: Array, psd: Array, start_hz: float) -> float | None:
    """Find where a low-pass filter begins to bite.

    Parameters
    ----------
    freqs_hz, psd : ndarray, shape (n_freqs,)
        Spectrum, evenly spaced.
    start_hz : float
        Look from here upwards: no rhythm should have its falling flank there.

    Returns
    -------
    float or None
        Lowest frequency from which the spectrum falls more steeply than any background
        (exponent 4.5 over a sixth of an octave and more), or None.
    """
    for edge in freqs_hz[(freqs_hz >= start_hz) & (1.2 * freqs_hz <= freqs_hz[-1])]:
        span = (freqs_hz >= edge) & (freqs_hz <= 1.2 * edge)
        slope = np.polyfit(np.log(freqs_hz[span]), np.log(np.maximum(psd[span], 1e-300)), 1)[0]
        if slope < -STEEPEST_EXPONENT:
            return float(edge)
    return None


@dataclass(frozen=True, slots=True)
class SpectralFit:
    """Aperiodic part and peaks of one spectrum, log10(P) = offset - exponent * log10(f) + peaks.

    Parameters
    ----------
    offset : float
        Aperiodic offset, log10 of power per Hz at 1 Hz.
    exponent : float
        Aperiodic exponent.
    peaks : tuple of (center_hz, height_log10, bandwidth_hz)
        Gaussians over the aperiodic part; the bandwidth is two standard deviations.
    r_squared, error : float
        Share of variance explained and mean absolute error, in log10 power.
    fit_range_hz : (float, float)
        Frequencies used.
    """

    offset: float
    exponent: float
    peaks: tuple[tuple[float, float, float], ...]
    r_squared: float
    error: float
    fit_range_hz: tuple[float, float]

    def aperiodic(self, freqs_hz: Array) -> Array:
        """Aperiodic power at `freqs_hz`, in the unit of the spectrum that was fitted."""
        return np.asarray(10.0 ** (self.offset - self.exponent * np.log10(freqs_hz)))


def fit_spectrum(
    freqs_hz: Array,
    psd: Array,
    *,
    fit_range_hz: tuple[float, float] = FIT_RANGE_HZ,
    aperiodic_mode: Literal["fixed"] = "fixed",
) -> SpectralFit:
    """Fit 1/f background and Gaussian peaks with fooof.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies, evenly spaced.
    psd : ndarray, shape (n_freqs,)
        Power spectral density (linear), positive.
    fit_range_hz : (float, float)
        Frequencies used; the upper end is lowered to the highest frequency given.
    aperiodic_mode : {"fixed"}
        Background without a knee.

    Returns
    -------
    SpectralFit
        The fit.

    Raises
    ------
    AnalysisError
        If the spectrum holds NaN or values that are not positive, or fooof finds no fit.

    References
    ----------
    Donoghue et al. 2020, Nat. Neurosci. 23:1655-1665 (fooof 1.1).
    """
    if freqs_hz.shape != psd.shape or freqs_hz.ndim != 1:
        raise AnalysisError(f"spectrum has shape {psd.shape}, its frequencies {freqs_hz.shape}")
    low, high = fit_range_hz[0], min(fit_range_hz[1], float(freqs_hz[-1]))
    used = (freqs_hz >= low) & (freqs_hz <= high)
    if used.sum() < 20:
        raise AnalysisError(f"only {used.sum()} spectral bins between {low:g} and {high:g} Hz")
    if not np.all(np.isfinite(psd[used])) or np.any(psd[used] <= 0.0):
        raise AnalysisError("the spectrum holds NaN, zero or negative power")
    # fooof calls warnings.simplefilter("always") when imported: contained here.
    with warnings.catch_warnings(record=True):
        from fooof import FOOOF

        model = FOOOF(
            peak_width_limits=PEAK_WIDTH_HZ,
            max_n_peaks=MAX_PEAKS,
            min_peak_height=MIN_PEAK_HEIGHT_LOG10,
            aperiodic_mode=aperiodic_mode,
            verbose=False,
        )
        model.fit(freqs_hz, psd, [low, high])
    if not model.has_model:
        raise AnalysisError("fooof found no fit for this spectrum")
    offset, exponent = (float(v) for v in model.aperiodic_params_)
    peaks = tuple((float(c), float(h), float(b)) for c, h, b in np.atleast_2d(model.peak_params_))
    return SpectralFit(
        offset=offset,
        exponent=exponent,
        peaks=tuple(peak for peak in peaks if np.all(np.isfinite(peak))),
        r_squared=float(model.r_squared_),
        error=float(model.error_),
        fit_range_hz=(low, high),
    )
