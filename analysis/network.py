"""What stimulation did to a network: spectrum of connectivity, the stimulated node, its partners.

Three questions of one comparison. At which frequency do channels go together most, and is that
nearer to the stimulation frequency afterwards (Zhang et al. 2022)? Is the stimulated site connected
more strongly? And do the nodes that were connected with it change most?
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis import jackknife
from analysis.connectivity import band_fourier
from analysis.connectivity_sums import BY_NAME, BlockSums, ReportedMeasure, block_sums, leave_out
from analysis.errors import AnalysisError

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

SPECTRUM_HZ = (2.0, 40.0)
N_BLOCKS = 10
_NEIGHBOURS_HZ = 2.0
_CERTAIN = 3.0
_BINS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class GlobalPeak:
    """Peak of the global connectivity spectrum of one recording.

    Parameters
    ----------
    frequency_hz : float or None
        Where it is, None where there is none.
    standard_error_hz : float or None
        Jackknife standard error.
    reason : str or None
        Why there is none.
    """

    frequency_hz: float | None
    standard_error_hz: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class GlobalSpectrum:
    """Mean connectivity over all pairs, per frequency, before and after.

    Parameters
    ----------
    measure : str
        ReportedMeasure.
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies.
    before, after : ndarray, shape (n_freqs,)
        Mean over pairs.
    errors : ndarray, shape (2, n_freqs)
        Jackknife standard errors before and after.
    peaks : (GlobalPeak, GlobalPeak)
        Peaks before and after.
    stimulation_hz : float or None
        Stimulation frequency.
    distance_hz : (float or None, float or None)
        Distance of each peak to it.
    approach_hz : float or None
        By how much the peak is nearer to it after than before.
    ci95_approach_hz : (float, float) or None
        95 % interval of that.
    reason : str or None
        Why there is no `approach_hz`.
    """

    measure: str
    freqs_hz: Array
    before: Array
    after: Array
    errors: Array
    peaks: tuple[GlobalPeak, GlobalPeak]
    stimulation_hz: float | None
    distance_hz: tuple[float | None, float | None]
    approach_hz: float | None
    ci95_approach_hz: tuple[float, float] | None
    reason: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values without the spectra."""
        return {
            "measure": self.measure,
            "peak_hz": [peak.frequency_hz for peak in self.peaks],
            "peak_standard_error_hz": [peak.standard_error_hz for peak in self.peaks],
            "peak_reason": [peak.reason for peak in self.peaks],
            "stimulation_hz": self.stimulation_hz,
            "distance_hz": list(self.distance_hz),
            "approach_hz": self.approach_hz,
            "ci95_approach_hz": (
                None if self.ci95_approach_hz is None else list(self.ci95_approach_hz)
            ),
            "reason": self.reason,
        }


def global_spectrum(
    before: Array,
    after: Array,
    sfreq_hz: float,
    *,
    search_hz: tuple[float, float],
    stimulation_hz: float | None = None,
    measure: ReportedMeasure = BY_NAME["wpli2_debiased"],
    range_hz: tuple[float, float] = SPECTRUM_HZ,
    average_reference: bool = False,
) -> GlobalSpectrum:
    """Connectivity averaged over pairs at every frequency, and where it peaks.

    Parameters
    ----------
    before, after : ndarray, shape (n_epochs, n_channels, n_samples)
        Epochs in time order.
    sfreq_hz : float
        Sampling rate.
    search_hz : (float, float)
        Where a peak is looked for.
    stimulation_hz : float, optional
        Stimulation frequency.
    measure : ReportedMeasure
        ReportedMeasure; the default has neither a floor nor a share of volume conduction.
    range_hz : (float, float)
        Frequencies shown.
    average_reference : bool
        Whether the mean over channels is taken out first.

    Returns
    -------
    GlobalSpectrum
        The spectra, their peaks and how the distance to the stimulation frequency changed.

    Raises
    ------
    AnalysisError
        With fewer than 10 epochs or two channels.

    Notes
    -----
    A peak is the highest bin inside `search_hz` (not at its edge) that stands three jackknife
    standard errors above the mean of the bins 2 to 4 Hz to both sides; its place is the top of a
    parabola through three bins of the curve smoothed with weights 1/4, 1/2, 1/4. The interval is a
    delete-a-block jackknife over ten blocks of each recording; where leaving out a block loses the
    peak there is none. Power moves the height of these curves as it moves every measure, so the
    heights before and after are not to be compared; the place of the peak may be.

    References
    ----------
    Zhang et al. 2022, peak of global functional connectivity drawn towards 10 Hz.
    """
    for name, side in (("before", before), ("after", after)):
        if side.shape[0] < N_BLOCKS:
            raise AnalysisError(f"{side.shape[0]} epochs {name}, {N_BLOCKS} are the least")
    if before.shape[1] < 2:
        raise AnalysisError("connectivity needs two channels or more")
    high = min(range_hz[1], 0.45 * sfreq_hz)
    curves, peaks, places = [], [], []
    freqs = np.empty(0)
    for side in (before, after):
        freqs, coefficients = band_fourier(side, sfreq_hz, (range_hz[0], high))
        if average_reference:
            coefficients = coefficients - coefficients.mean(axis=2, keepdims=True)
        found = _curves(coefficients, measure)
        peak, place = _peak(freqs, found, search_hz)
        curves.append(found)
        peaks.append(peak)
        places.append(place)
    errors = np.array([_errors(curve[1:]) for curve in curves])
    distance, approach, interval, reason = _approach(peaks, places, stimulation_hz)
    return GlobalSpectrum(
        measure=measure.name,
        freqs_hz=freqs,
        before=curves[0][0],
        after=curves[1][0],
        errors=errors,
        peaks=(peaks[0], peaks[1]),
        stimulation_hz=stimulation_hz,
        distance_hz=distance,
        approach_hz=approach,
        ci95_approach_hz=interval,
        reason=reason,
    )


def _curves(coefficients: ComplexArray, measure: ReportedMeasure) -> Array:
    """Mean over pairs at every bin, whole and without each block; a few bins at a time."""
    parts = [
        block_sums(coefficients[first : first + _BINS_AT_ONCE], N_BLOCKS, (measure,)).spectra(
            leave_out(N_BLOCKS), measure
        )
        for first in range(0, coefficients.shape[0], _BINS_AT_ONCE)
    ]
    return np.concatenate(parts, axis=1)


def _errors(left_out: Array) -> Array:
    """Jackknife standard errors over the first axis."""
    n = left_out.shape[0]
    return np.asarray(
        np.sqrt((n - 1) / n * np.sum((left_out - left_out.mean(axis=0)) ** 2, axis=0))
    )


def _peak(freqs: Array, curves: Array, search_hz: tuple[float, float]) -> tuple[GlobalPeak, Array]:
    """Peak of the first curve, and its place in all of them (NaN where it is lost)."""
    places = np.array([_place(freqs, curve, search_hz) for curve in curves])
    if not math.isfinite(places[0]):
        return GlobalPeak(None, None, f"no maximum inside {_range(search_hz)}"), places
    step = freqs[1] - freqs[0]
    distance = np.abs(freqs - places[0])
    top = int(np.argmin(distance))
    beside = (distance > _NEIGHBOURS_HZ) & (distance <= 2.0 * _NEIGHBOURS_HZ + step / 2.0)
    heights = curves[:, top] - curves[:, beside].mean(axis=1)
    if heights[0] <= _CERTAIN * float(_errors(heights[1:, None])[0]):
        return GlobalPeak(None, None, "the maximum does not stand out from its neighbours"), places
    if not np.isfinite(places[1:]).all():
        return GlobalPeak(None, None, "the peak is lost without one block of epochs"), places
    return GlobalPeak(float(places[0]), float(_errors(places[1:, None])[0]), None), places


def _place(freqs: Array, curve: Array, search_hz: tuple[float, float]) -> float:
    """Highest point inside a range by a parabola through three bins, NaN at the range's edge."""
    curve = np.convolve(np.pad(curve, 1, mode="edge"), (0.25, 0.5, 0.25), mode="valid")
    inside = np.flatnonzero((freqs >= search_hz[0]) & (freqs <= search_hz[1]))
    if inside.size < 3:
        return math.nan
    top = int(inside[np.argmax(curve[inside])])
    if top in (inside[0], inside[-1]):
        return math.nan
    left, middle, right = curve[top - 1 : top + 2]
    bend = left - 2.0 * middle + right
    shift = 0.5 * (left - right) / bend if bend < 0.0 else 0.0
    return float(freqs[top] + shift * (freqs[1] - freqs[0]))


def _range(search_hz: tuple[float, float]) -> str:
    """Range in words."""
    return f"{search_hz[0]:g}-{search_hz[1]:g} Hz"


def _approach(
    peaks: list[GlobalPeak], places: list[Array], stimulation_hz: float | None
) -> tuple[tuple[float | None, float | None], float | None, tuple[float, float] | None, str | None]:
    """Distances to the stimulation frequency, their change and its interval."""
    if stimulation_hz is None:
        return (None, None), None, None, "the stimulation frequency is not known"
    distance = [
        None if peak.frequency_hz is None else abs(peak.frequency_hz - stimulation_hz)
        for peak in peaks
    ]
    for name, peak in zip(("before", "after"), peaks, strict=True):
        if peak.frequency_hz is None:
            return (distance[0], distance[1]), None, None, f"{name}: {peak.reason}"
    away = np.array([np.abs(place - stimulation_hz) for place in places])
    approach = float(away[0, 0] - away[1, 0])
    error = float(jackknife.standard_errors(away[:, 1:, None])[0])
    interval = jackknife.around(approach, jackknife.quantile(N_BLOCKS) * error)
    return (distance[0], distance[1]), approach, interval, None


def node_strength(sums: BlockSums, measure: ReportedMeasure, weights: Array | None = None) -> Array:
    """Mean connectivity of each channel with all others.

    Parameters
    ----------
    sums : BlockSums
        Of one recording.
    measure : ReportedMeasure
        ReportedMeasure; the size where it is signed.
    weights : ndarray, shape (n_weightings, n_blocks), optional
        Which blocks count; all when absent.

    Returns
    -------
    ndarray, shape (n_weightings, n_channels)
        Strengths.
    """
    weights = np.ones((1, sums.n_epochs.size)) if weights is None else weights
    found = sums.values(weights, (measure,))[measure.name]
    return strengths_of(np.abs(found) if measure.signed else found, sums.n_channels)


def strengths_of(pairs: Array, n_channels: int) -> Array:
    """Mean over the pairs of each channel: (..., n_pairs) to (..., n_channels)."""
    first, second = np.tril_indices(n_channels, -1)
    incidence = np.zeros((first.size, n_channels))
    incidence[np.arange(first.size), first] = 1.0
    incidence[np.arange(first.size), second] = 1.0
    return np.asarray(pairs @ incidence / (n_channels - 1))
