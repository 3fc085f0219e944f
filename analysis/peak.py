"""The endogenous peak of a person's rhythm: found with an interval, absent, or unusable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.channel_peaks import channel_table, stability
from analysis.estimate import PeakEstimate, PeakSpectrum, Status
from analysis.rhythm import RhythmFit, fit_range_hz, fit_rhythm
from analysis.selection import AVERAGE_REFERENCE_CHANNELS, Reference, Selection, select
from analysis.spectrum import (
    FIT_RANGE_HZ,
    SegmentSpectra,
    fit_spectrum,
    low_pass_edge_hz,
    segment_spectra,
)
from analysis.states import EventWindow, Reactivity, event_starts, reactivity
from analysis.verdict import (
    PLAIN_EVIDENCE,
    is_split,
    objections,
    peaks,
    remarks,
)
from analysis.verdict import cross_check as hold_against

__all__ = [
    "ALPHA_BAND_HZ",
    "AVERAGE_REFERENCE_CHANNELS",
    "MIN_SEGMENTS",
    "EventWindow",
    "PeakEstimate",
    "PeakSpectrum",
    "Reactivity",
    "Status",
    "find_peak",
]

Array = NDArray[np.float64]

ALPHA_BAND_HZ = (7.0, 13.0)
WINDOW_S = 4.0
MIN_SEGMENTS = 10
BENT = 0.25  # curvature of the background from which a straight line says little
_FILTERED = (
    "the spectrum beside the band {:g} to {:g} Hz is not that of unfiltered EEG (filter edges or "
    "strong artefacts): give the recording as it was before filtering, or cleaner channels"
)


@dataclass(frozen=True, slots=True)
class _Spectra:
    """Segment spectra of a selection: power, the level each channel is divided by, the range."""

    segments: SegmentSpectra
    names: tuple[str, ...]
    level: Array
    inside: NDArray[np.bool_]

    def relative(self, names: Sequence[str]) -> Array:
        """Normalised spectra of some channels, shape (n_segments, n_channels, n_freqs)."""
        index = [self.names.index(name) for name in names]
        return np.asarray(self.segments.power[:, index] / self.level[index][None, :, None])


def find_peak(
    raw: Any,
    *,
    band_hz: tuple[float, float] = ALPHA_BAND_HZ,
    picks: Sequence[str] | None = None,
    subject: str | None = None,
    now: datetime | None = None,
    reference: Reference = "auto",
    events: EventWindow | None = None,
    open_eyes: Any = None,
    cross_check: bool = False,
) -> PeakEstimate:
    """Find the peak frequency of a rhythm, or say why there is none.

    Parameters
    ----------
    raw : Recording, mne.io.BaseRaw or Examined
        The recording; a bare MNE object is taken to be in volt at the rate it states, and one
        examined already (`analysis.quality.examine`) is not measured again.
    band_hz : (float, float)
        Where the peak may lie.
    picks : sequence of str, optional
        Channels of the region; by default the parietal and occipital ones, else every EEG channel.
    subject : str, optional
        Whose recording it is; by default what the recording says.
    now : datetime, optional
        Time written as `measured_at` (with a time zone); the present by default.
    reference : {"auto", "average", "recorded"}
        Average over the good EEG channels, or as recorded; "auto" averages from 16 channels up.
    events : EventWindow, optional
        Use only the time around events of one name: the peak of a task-locked rhythm.
    open_eyes : Recording or mne.io.BaseRaw, optional
        The same person with eyes open, when `raw` has them closed: how far the rhythm falls.
    cross_check : bool
        Also ask fooof (it takes a second or two to import).

    Returns
    -------
    PeakEstimate
        Status "found" with frequency and 95 % interval, "no_peak", or "unusable", with reasons. Of
        a split rhythm both peaks are given, and no interval.

    Raises
    ------
    AnalysisError
        If the band, the picks or the events make no sense for this recording.

    Notes
    -----
    Bad channels and gross artefacts are left out (`analysis.quality`). Spectra are Hann windows of
    4 s, half overlapping, each channel divided by its geometric mean over the fit range so that
    every channel counts alike; `analysis.rhythm` then weighs the channels by the rhythm they carry
    and fits. A peak is reported only if all of this holds (`analysis.verdict`): no filter edge
    shapes the spectrum beside the band; the likelihood ratio of the bump reaches 14, which about 1
    of 200 made recordings without a rhythm do; it stands 0.8 dB or more over the background; the
    95 % interval is at most 2 Hz wide and not more than 0.25 Hz beyond the band. The exponent is
    that of a power law through the fitted background; where that bends, and with `cross_check`,
    fooof's (2 to 40 Hz).
    """
    task = select(raw, band_hz=band_hz, picks=picks, subject=subject, now=now, reference=reference)
    blank = replace(task.blank, method=_method(task, events))
    task = replace(task, blank=blank)
    if blank.reasons:
        return blank
    found = _estimate(task, events, open_eyes, cross_check)
    if found.status == "no_peak" and task.average and reference == "auto":
        other = _estimate(replace(task, average=False), events, None, False)
        if other.frequency_hz is not None:
            shared = (
                f"with the recorded reference a peak appears at {other.frequency_hz:.1f} Hz; the "
                "average reference removes what all electrodes share, such as a rhythm at the "
                "reference electrode"
            )
            found = replace(found, warnings=(*found.warnings, shared))
    return found


def _method(task: Selection, events: EventWindow | None) -> str:
    """One line about how the estimate was made."""
    low, high = task.band_hz
    reference = "average reference" if task.average else "reference as recorded"
    window = WINDOW_S if events is None else events.window_s
    around = "" if events is None else f" {events.describe()},"
    return (
        f"likelihood fit of background and bump, {low:g}-{high:g} Hz,{around} Hann {window:g} s, "
        f"{reference}, channels weighed by the rhythm, profile-likelihood interval"
    )


def _spectra(task: Selection, events: EventWindow | None) -> _Spectra:
    """Segment spectra of every good channel."""
    good = task.quality.good_channels
    data = np.asarray(task.raw.get_data(picks=list(good)), dtype=float)
    if task.average:
        data -= data.mean(axis=0)
    sfreq = task.quality.sfreq_hz
    low, high = fit_range_hz(task.band_hz, sfreq / 2.0)
    segments = segment_spectra(
        data,
        sfreq,
        window_s=WINDOW_S if events is None else events.window_s,
        fmin_hz=min(low, 1.0),
        fmax_hz=max(high, min(45.0, 0.45 * sfreq)),
        bad=task.quality.artefact_mask(data.shape[1]),
        starts=None if events is None else event_starts(task.raw, events),
    )
    inside = (segments.freqs_hz >= low) & (segments.freqs_hz <= high)
    if not len(segments.starts_s):
        return _Spectra(segments, good, np.ones(len(good)), inside)
    mean = np.maximum(segments.mean()[:, inside], 1e-300)
    return _Spectra(segments, good, np.exp(np.log(mean).mean(axis=1)), inside)


def _estimate(
    task: Selection, events: EventWindow | None, open_eyes: Any, with_fooof: bool
) -> PeakEstimate:
    """Spectra, fits and verdict of a usable recording."""
    spectra = _spectra(task, events)
    segments, inside, band_hz = spectra.segments, spectra.inside, task.band_hz
    count = len(segments.starts_s)
    if count < MIN_SEGMENTS:
        reason = (
            f"only {count} clean pieces of {segments.window_s:g} s: {MIN_SEGMENTS} are the least"
        )
        return replace(task.blank, reasons=(reason,))
    region = spectra.relative(task.used)
    rhythm = fit_rhythm(segments.freqs_hz[inside], region[:, :, inside], band_hz)
    if not rhythm.unfiltered:
        return replace(task.blank, reasons=(_FILTERED.format(*band_hz),))
    mean = np.asarray(np.einsum("c,scf->f", rhythm.weights, region) / count)
    fooof = None
    if with_fooof:
        limits = _fooof_range(segments.freqs_hz, mean, rhythm)
        fooof = fit_spectrum(segments.freqs_hz, mean, fit_range_hz=limits)
    law = (
        _power_law(segments.freqs_hz, mean, rhythm)
        if fooof is None
        else (fooof.offset, fooof.exponent)
    )
    reasons = objections(rhythm, band_hz)
    over_time, halves = _over_time(segments, rhythm)
    picture = _picture(spectra, task, rhythm, mean, law, halves)
    estimate = replace(
        task.blank,
        status="no_peak" if reasons else "found",
        seconds_used=segments.seconds_used,
        aperiodic_exponent=law[1],
        aperiodic_knee_hz=rhythm.knee_hz,
        reasons=tuple(reasons),
        spectrum=picture,
    )
    if reasons:
        return estimate
    table = _table(spectra, task, rhythm)
    split = is_split(rhythm, band_hz)
    both = peaks(rhythm, band_hz)
    notes = remarks(rhythm, band_hz, over_time)
    check = None
    if fooof is not None:
        check, differs = hold_against(fooof, both[0].frequency_hz, band_hz)
        notes += differs
    reactive = None
    if open_eyes is not None:
        reactive, said = _reactivity(task, spectra, rhythm, open_eyes)
        notes += said
    return replace(
        estimate,
        frequency_hz=both[0].frequency_hz,
        ci95_hz=None if split else rhythm.location.ci95_hz,
        center_of_gravity_hz=rhythm.center_of_gravity_hz,
        prominence_db=both[0].prominence_db,
        provisional=task.blank.provisional or rhythm.evidence < PLAIN_EVIDENCE,
        peaks=both,
        channel_table=table,
        stability=None if split else over_time,
        cross_check=check,
        reactivity=reactive,
        warnings=tuple(dict.fromkeys([*task.blank.warnings, *notes])),
        spectrum=replace(picture, prominence_db=np.array([row.prominence_db for row in table])),
    )


def _table(spectra: _Spectra, task: Selection, rhythm: RhythmFit) -> Any:
    """The rhythm in every good channel."""
    model, row = rhythm.fitted
    freqs = spectra.segments.freqs_hz
    keep = spectra.inside & (freqs >= rhythm.freqs_hz[0]) & (freqs <= rhythm.freqs_hz[-1])
    segments = spectra.segments.power[:, :, keep] / spectra.level[None, :, None]
    return channel_table(spectra.names, task.used, segments, model, row, rhythm.prior, task.band_hz)


def _over_time(segments: SegmentSpectra, rhythm: RhythmFit) -> Any:
    """First against second half."""
    model, row = rhythm.fitted
    place = rhythm.location
    return stability(
        rhythm.segments,
        segments.starts_s,
        segments.window_s,
        model,
        row,
        rhythm.shape,
        rhythm.prior,
        max(1.0, place.sd_hz / max(place.model_sd_hz, 1e-3)),
    )


def _reactivity(
    task: Selection, closed: _Spectra, rhythm: RhythmFit, open_eyes: Any
) -> tuple[Reactivity | None, list[str]]:
    """How far the rhythm falls when the eyes open."""
    other = select(
        open_eyes,
        band_hz=task.band_hz,
        picks=task.used,
        subject=None,
        now=None,
        reference="average" if task.average else "recorded",
    )
    if other.blank.reasons:
        return None, [f"eyes open: not usable ({'; '.join(other.blank.reasons)})"]
    if set(other.used) != set(task.used):
        missing = ", ".join(sorted(set(task.used) - set(other.used)))
        return None, [f"eyes open: not compared, {missing} cannot be used there"]
    opened = _spectra(other, None)
    if len(opened.segments.starts_s) < MIN_SEGMENTS:
        return None, ["eyes open: too few clean pieces to compare"]
    freqs = closed.segments.freqs_hz
    shared = np.isin(freqs, rhythm.freqs_hz)
    if opened.segments.freqs_hz.shape != freqs.shape or not np.allclose(
        opened.segments.freqs_hz, freqs
    ):
        return None, ["eyes open: not compared, its sampling rate differs"]
    # Both in units of the closed recording's level, so that a fall is a fall in power.
    index = [opened.names.index(name) for name in task.used]
    level = closed.level[[closed.names.index(name) for name in task.used]]
    power = opened.segments.power[:, index] / level[None, :, None]
    segments = np.einsum("c,scf->sf", rhythm.weights, power)[:, shared]
    found = reactivity(rhythm, segments)
    note = [] if found.reactive else [found.describe()]
    return found, note


def _power_law(freqs_hz: Array, mean: Array, rhythm: RhythmFit) -> tuple[float, float]:
    """Level (log10 power at 1 Hz) and exponent of the background.

    A straight line through the fitted background; where that bends (a knee, a filter's edge), the
    background by fooof's algorithm below the edge.
    """
    model, row = rhythm.fitted
    if model.knee or abs(row[0, 2]) > BENT:
        from analysis.parametrise import parametrise

        limits = _fooof_range(freqs_hz, mean, rhythm)
        fit = parametrise(freqs_hz, mean[None], fit_range_hz=limits, engine="numpy").fits()[0]
        return fit.offset, fit.exponent
    smooth = np.log10(model.background(row)[0])
    slope, level = np.polyfit(np.log10(rhythm.freqs_hz), smooth, 1)
    return float(level), float(-slope)


def _fooof_range(freqs_hz: Array, mean: Array, rhythm: RhythmFit) -> tuple[float, float]:
    """2 to 40 Hz less what a filter has taken away."""
    low, high = FIT_RANGE_HZ
    slow = (freqs_hz >= low) & (freqs_hz <= 6.0)
    smooth = np.convolve(mean, np.full(5, 0.2), mode="same")[slow]
    if smooth.max() > 2.0 * smooth[0]:
        low = float(freqs_hz[slow][np.argmax(smooth)])
    if rhythm.narrowed[0]:
        low = max(low, float(rhythm.freqs_hz[0]))
    if rhythm.narrowed[1]:
        return low, float(rhythm.freqs_hz[-1])
    edge = low_pass_edge_hz(freqs_hz, mean, 0.85 * float(rhythm.freqs_hz[-1]))
    return low, high if edge is None else min(high, edge)


def _picture(
    spectra: _Spectra,
    task: Selection,
    rhythm: RhythmFit,
    mean: Array,
    law: tuple[float, float],
    halves: Array,
) -> PeakSpectrum:
    """What the figures need."""
    freqs = spectra.segments.freqs_hz
    relative = spectra.segments.mean() / spectra.level[:, None]
    near = int(np.argmin(np.abs(freqs - rhythm.peak_hz)))
    padded = np.full((2, freqs.size), np.nan)
    padded[:, np.isin(freqs, rhythm.freqs_hz)] = _db(halves)
    return PeakSpectrum(
        freqs_hz=freqs,
        power_db=_db(mean),
        aperiodic_db=10.0 * (law[0] - law[1] * np.log10(np.maximum(freqs, 1e-3))),
        fit_freqs_hz=rhythm.freqs_hz,
        background_db=_db(rhythm.background),
        model_db=_db(rhythm.model),
        channel_db=_db(relative[:, near]),
        info=_info(task.raw, list(spectra.names)),
        band_hz=task.band_hz,
        halves_db=padded,
        channel_names=spectra.names,
        channel_spectra_db=_db(relative),
    )


def _db(power: Array) -> Array:
    """Decibels."""
    return np.asarray(10.0 * np.log10(np.maximum(power, 1e-300)))


def _info(raw: Any, good: list[str]) -> Any:
    """Description of the good channels."""
    import mne

    picks = [raw.ch_names.index(name) for name in good]
    return mne.pick_info(raw.info, picks, copy=True, verbose="ERROR")
