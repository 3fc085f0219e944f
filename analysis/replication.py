"""Published methods of finding a peak, for comparison only: never for planning.

They give no interval, and two of the three answer in recordings without any rhythm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.estimate import ChannelPeak, PeakEstimate, PeakSpectrum
from analysis.peak import ALPHA_BAND_HZ, MIN_SEGMENTS
from analysis.quality import Quality
from analysis.restingiaf import (
    FRAME_BINS,
    MIN_CHANNELS,
    MIN_LEAD,
    RANGE_HZ,
    WINDOW_S,
    RestingIAF,
    bin_hz,
    resting_iaf,
)
from analysis.selection import select
from analysis.spectrum import FIT_RANGE_HZ, SegmentSpectra, SpectralFit, fit_spectrum
from analysis.spectrum import segment_spectra as spectra_of

Array = NDArray[np.float64]
Method = Literal["restingiaf", "fooof", "cog"]

METHODS: tuple[Method, ...] = get_args(Method)
NOT_FOR_PLANNING = (
    "replication of a published method: for comparison only, never for planning; it gives no "
    "interval"
)
_WHAT = {
    "restingiaf": "restingIAF (Savitzky-Golay, Corcoran et al. 2018)",
    "fooof": "fooof (Donoghue et al. 2020), tallest peak of the channels' mean spectrum",
    "cog": "centre of gravity (Klimesch 1999) over the 1/f background that fooof finds",
}
_PAPER_BIN_HZ = 250.0 / 1024.0


@dataclass(frozen=True, slots=True)
class _Input:
    """Clean signals of the channels in use."""

    data: Array
    bad: NDArray[np.bool_]
    sfreq_hz: float
    names: tuple[str, ...]
    band_hz: tuple[float, float]
    info: Any


def replicate(
    recording: Any,
    method: str,
    *,
    band_hz: tuple[float, float] = ALPHA_BAND_HZ,
    picks: Sequence[str] | None = None,
    subject: str | None = None,
    now: datetime | None = None,
) -> PeakEstimate:
    """Answer as a published method would; for comparison, never for planning.

    Parameters
    ----------
    recording : Recording or mne.io.BaseRaw
        The recording; a bare MNE object is taken to be in volt at the rate it states.
    method : {"restingiaf", "fooof", "cog"}
        Whose method.
    band_hz : (float, float)
        Where the peak may lie.
    picks : sequence of str, optional
        Channels to use; by default the parietal and occipital ones, else every EEG channel.
    subject : str, optional
        Whose recording it is; by default what the recording says.
    now : datetime, optional
        Time written as `measured_at` (with a time zone); the present by default.

    Returns
    -------
    PeakEstimate
        With `replication` True and no interval.

    Raises
    ------
    AnalysisError
        If the method is unknown, or the band or the picks make no sense for this recording.

    Notes
    -----
    Channels, quality gate, artefact spans and reference (average from 16 good EEG channels up) are
    those of `analysis.find_peak`; the rest is the method's own:

    - restingiaf: see `analysis.restingiaf.resting_iaf`.
    - fooof: Hann windows of 4 s, each channel over its mean from 2 to 40 Hz, averaged, fitted from
      2 to 40 Hz (peak width 1 to 8 Hz, at most 6 peaks, height 0.1 or more in log10 power).
    - cog: mean frequency of that spectrum in the band, weighted by power over fooof's background;
      power below the background has no weight.

    References
    ----------
    Corcoran et al. 2018, Psychophysiology 55:e13064; Donoghue et al. 2020, Nat. Neurosci.
    23:1655-1665; Klimesch 1999, Brain Res. Rev. 29:169-195.
    """
    if method not in METHODS:
        raise AnalysisError(f"method {method!r} is unknown: give one of {', '.join(METHODS)}")
    least_hz = 2.2 * RANGE_HZ[1] if method == "restingiaf" else None
    task = select(
        recording, band_hz=band_hz, picks=picks, subject=subject, now=now, least_hz=least_hz
    )
    raw, quality, used, average = task.raw, task.quality, task.used, task.average
    low, high = task.band_hz
    reasons = list(task.blank.reasons)
    if method == "restingiaf" and 0 < len(used) < MIN_CHANNELS:
        reasons.append(
            f"restingIAF needs {MIN_CHANNELS} good channels: {len(used)} to be used "
            f"({', '.join(used)})"
        )
    blank = replace(
        task.blank,
        reasons=tuple(reasons),
        warnings=(NOT_FOR_PLANNING, *task.blank.warnings),
        method=f"replication: {_WHAT[method]}, {low:g}-{high:g} Hz, "
        + ("average reference" if average else "reference as recorded"),
        replication=True,
    )
    if blank.reasons:
        return blank
    source = _input(raw, quality, used, average, (low, high))
    clean = spectra_of(
        source.data,
        source.sfreq_hz,
        window_s=WINDOW_S,
        fmin_hz=RANGE_HZ[0],
        fmax_hz=min(45.0, 0.45 * source.sfreq_hz),
        bad=source.bad,
    )
    if len(clean.starts_s) < MIN_SEGMENTS:
        reason = (
            f"only {len(clean.starts_s)} clean pieces of {WINDOW_S:g} s: "
            f"{MIN_SEGMENTS} are the least"
        )
        return replace(blank, reasons=(reason,))
    if method == "restingiaf":
        return _restingiaf(source, blank)
    return _from_mean_spectrum(source, clean, blank, method)


def _input(
    raw: Any, quality: Quality, used: tuple[str, ...], average: bool, band_hz: tuple[float, float]
) -> _Input:
    """Signals of the channels in use, referenced."""
    import mne

    good = list(quality.good_channels)
    data = np.asarray(raw.get_data(picks=good), dtype=float)
    if average:
        data = data - data.mean(axis=0)
    picks = [raw.ch_names.index(name) for name in used]
    return _Input(
        data=data[[good.index(name) for name in used]],
        bad=quality.artefact_mask(data.shape[1]),
        sfreq_hz=quality.sfreq_hz,
        names=used,
        band_hz=band_hz,
        info=mne.pick_info(raw.info, picks, copy=True, verbose="ERROR"),
    )


def _restingiaf(source: _Input, blank: PeakEstimate) -> PeakEstimate:
    """Outcome of restingIAF."""
    out = resting_iaf(source.data, source.sfreq_hz, band_hz=source.band_hz, bad=source.bad)
    low, high = source.band_hz
    sure = [c for c in out.channels if c.peak_hz is not None]
    double = sum(c.peak_hz is None and len(c.peaks_hz) > 1 for c in out.channels)
    none = len(out.channels) - len(sure) - double
    notes = list(blank.warnings)
    step = bin_hz(source.sfreq_hz)
    if abs(step / _PAPER_BIN_HZ - 1.0) > 0.1:
        notes.append(
            f"at {source.sfreq_hz:g} Hz the smoothing frame spans {FRAME_BINS * step:.1f} Hz; it "
            f"was {FRAME_BINS * _PAPER_BIN_HZ:.1f} Hz in the paper (250 Hz)"
        )
    found = out.peak_hz is not None
    if found and out.sd_hz is not None:
        notes.append(
            f"{len(sure)} of {len(out.channels)} channels show the peak; its standard deviation "
            f"over them is {out.sd_hz:.2f} Hz (no measure of the error)"
        )
    if not found and out.center_of_gravity_hz is not None and out.window_hz is not None:
        notes.append(
            f"restingIAF's centre of gravity is {out.center_of_gravity_hz:.2f} Hz (alpha window "
            f"{out.window_hz[0]:.1f} to {out.window_hz[1]:.1f} Hz) although it reports no peak"
        )
    reason = (
        f"restingIAF: {len(sure)} of {len(out.channels)} channels show a peak between {low:g} and "
        f"{high:g} Hz, {MIN_CHANNELS} are the least; {none} have none above the least power, "
        f"{double} have two within {100 * MIN_LEAD:.0f} %"
    )
    heights = [c.height_db for c in sure]
    return replace(
        blank,
        status="found" if found else "no_peak",
        frequency_hz=out.peak_hz,
        center_of_gravity_hz=out.center_of_gravity_hz if found else None,
        prominence_db=float(np.mean(heights)) if found else None,
        seconds_used=out.seconds_used,
        warnings=tuple(notes),
        reasons=() if found else (reason,),
        channel_table=tuple(
            ChannelPeak(name, True, channel.height_db, channel.peak_hz, None)
            for name, channel in zip(source.names, out.channels, strict=True)
        ),
        spectrum=_picture_restingiaf(source, out),
    )


def _from_mean_spectrum(
    source: _Input, clean: SegmentSpectra, blank: PeakEstimate, method: str
) -> PeakEstimate:
    """Outcome of fooof, and of the centre of gravity over its background."""
    freqs, power = clean.freqs_hz, clean.mean()
    used = (freqs >= FIT_RANGE_HZ[0]) & (freqs <= FIT_RANGE_HZ[1])
    relative = power / power[:, used].mean(axis=1, keepdims=True)
    mean = np.asarray(relative.mean(axis=0))
    fit = fit_spectrum(freqs, mean)
    low, high = source.band_hz
    band = (freqs >= low) & (freqs <= high)
    partial = replace(
        blank,
        status="no_peak",
        seconds_used=clean.seconds_used,
        aperiodic_exponent=fit.exponent,
    )
    if method == "cog":
        plain = float(mean[band] @ freqs[band] / mean[band].sum())
        notes = (
            "a centre of gravity exists in every recording, with a rhythm or without",
            f"without subtracting the background the centre of gravity is {plain:.2f} Hz",
        )
        over = np.maximum(mean - fit.aperiodic(freqs), 0.0)[band]
        partial = replace(partial, warnings=(*blank.warnings, *notes))
        if over.sum() <= 0.0:
            reason = f"no power over the background between {low:g} and {high:g} Hz"
            return _with_spectrum(replace(partial, reasons=(reason,)), source, freqs, relative, fit)
        gravity = float(over @ freqs[band] / over.sum())
        partial = replace(
            partial, status="found", frequency_hz=gravity, center_of_gravity_hz=gravity
        )
        return _with_spectrum(partial, source, freqs, relative, fit)
    inside = [peak for peak in fit.peaks if low <= peak[0] <= high]
    if not inside:
        reason = f"fooof finds no peak between {low:g} and {high:g} Hz"
        return _with_spectrum(replace(partial, reasons=(reason,)), source, freqs, relative, fit)
    best = max(inside, key=lambda peak: peak[1])
    others = ", ".join(f"{peak[0]:.2f}" for peak in inside if peak is not best)
    if others:
        note = f"fooof finds more peaks in the band, at {others} Hz"
        partial = replace(partial, warnings=(*blank.warnings, note))
    partial = replace(partial, status="found", frequency_hz=best[0], prominence_db=10.0 * best[1])
    return _with_spectrum(partial, source, freqs, relative, fit)


def _with_spectrum(
    estimate: PeakEstimate, source: _Input, freqs: Array, relative: Array, fit: SpectralFit
) -> PeakEstimate:
    """Attach what a figure of fooof's fit needs."""
    inside = (freqs >= fit.fit_range_hz[0]) & (freqs <= fit.fit_range_hz[1])
    model = np.log10(fit.aperiodic(freqs))
    for centre, height, width in fit.peaks:
        model = model + height * np.exp(-2.0 * ((freqs - centre) / width) ** 2)
    background = _db(fit.aperiodic(freqs))
    picture = PeakSpectrum(
        freqs_hz=freqs,
        power_db=_db(relative.mean(axis=0)),
        aperiodic_db=background,
        fit_freqs_hz=freqs[inside],
        background_db=background[inside],
        model_db=10.0 * model[inside],
        channel_db=_channel_db(estimate.frequency_hz, source, freqs, relative),
        info=source.info,
        band_hz=source.band_hz,
        channel_names=source.names,
    )
    return replace(estimate, spectrum=picture)


def _picture_restingiaf(source: _Input, out: RestingIAF) -> PeakSpectrum:
    """Build what a figure of restingIAF needs: its line as background, the smoothed mean as fit."""
    line = _db(out.line.mean(axis=0))
    return PeakSpectrum(
        freqs_hz=out.freqs_hz,
        power_db=_db(out.power.mean(axis=0)),
        aperiodic_db=line,
        fit_freqs_hz=out.freqs_hz,
        background_db=line,
        model_db=_db(np.maximum(out.smooth.mean(axis=0), out.power.min())),
        channel_db=_channel_db(out.peak_hz, source, out.freqs_hz, out.power),
        info=source.info,
        band_hz=source.band_hz,
        channel_names=source.names,
    )


def _channel_db(frequency_hz: float | None, source: _Input, freqs: Array, power: Array) -> Array:
    """Power of each channel at the peak, or over the band, over its own mean."""
    if frequency_hz is None:
        band = (freqs >= source.band_hz[0]) & (freqs <= source.band_hz[1])
        return _db(power[:, band].mean(axis=1))
    return _db(power[:, int(np.argmin(np.abs(freqs - frequency_hz)))])


def _db(power: Array) -> Array:
    """Decibels."""
    return np.asarray(10.0 * np.log10(np.maximum(power, 1e-300)))
