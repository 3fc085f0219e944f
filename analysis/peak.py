"""The endogenous peak of a person's rhythm: found with an interval, absent, or unusable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.channels import is_posterior, normal_name
from analysis.errors import AnalysisError
from analysis.estimate import PeakEstimate, PeakSpectrum, Status
from analysis.io import Recording
from analysis.quality import Quality, assess
from analysis.rhythm import fit_range_hz, fit_rhythm
from analysis.spectrum import FIT_RANGE_HZ, fit_spectrum, low_pass_edge_hz, segment_spectra
from analysis.verdict import interval_hz, objections, remarks

__all__ = ["ALPHA_BAND_HZ", "PeakEstimate", "PeakSpectrum", "Status", "find_peak"]

Array = NDArray[np.float64]
Reference = Literal["auto", "average", "recorded"]

ALPHA_BAND_HZ = (7.0, 13.0)
WINDOW_S = 4.0
AVERAGE_REFERENCE_CHANNELS = 16
MIN_SEGMENTS = 10
_FILTERED = (
    "the spectrum beside the band {:g} to {:g} Hz is not that of unfiltered EEG (filter edges or "
    "strong artefacts): give the recording as it was before filtering, or cleaner channels"
)


@dataclass(frozen=True, slots=True)
class _Task:
    """What is asked of one usable recording."""

    quality: Quality
    used: tuple[str, ...]
    average: bool
    band_hz: tuple[float, float]
    n_boot: int


def find_peak(
    raw: Any,
    *,
    band_hz: tuple[float, float] = ALPHA_BAND_HZ,
    picks: Sequence[str] | None = None,
    subject: str | None = None,
    now: datetime | None = None,
    reference: Reference = "auto",
    n_boot: int = 200,
) -> PeakEstimate:
    """Find the peak frequency of a rhythm in a resting recording, or say why there is none.

    Parameters
    ----------
    raw : Recording or mne.io.BaseRaw
        The recording; a bare MNE object is taken to be in volt at the rate it states.
    band_hz : (float, float)
        Where the peak may lie.
    picks : sequence of str, optional
        Channels to average; by default the parietal and occipital ones, else every EEG channel.
    subject : str, optional
        Whose recording it is; by default what the recording says.
    now : datetime, optional
        Time written as `measured_at` (with a time zone); the present by default.
    reference : {"auto", "average", "recorded"}
        Average over the good EEG channels, or as recorded; "auto" averages from 16 channels up.
    n_boot : int
        Bootstrap replicates behind the interval.

    Returns
    -------
    PeakEstimate
        Status "found" with frequency and 95 % interval, "no_peak", or "unusable", with reasons.

    Raises
    ------
    AnalysisError
        If the band or the picks make no sense for this recording.

    Notes
    -----
    Bad channels and gross artefacts are left out (`analysis.quality`); with 16 good EEG channels
    or more the average reference is used. Spectra are Hann windows of 4 s, half overlapping, each
    channel divided by its geometric mean over the fit range so that every channel counts alike,
    then averaged and fitted as `analysis.rhythm` says. A peak is reported only if all of this
    holds: no filter edge shapes the spectrum beside the band; the matched-filter score passes its
    nominal 1 % limit (about 3 % of noise recordings do); the peak stands 2 dB or more over the
    background (in simulations without a rhythm, exponents 0.8 to 2 with and without a knee, what
    passed the score stayed below that); the 95 % interval is at most 2 Hz wide and inside the
    band; at least three quarters of the bump lie in the band; and no second peak comes within
    20 % of its height (Corcoran et al. 2018, Psychophysiology 55:e13064). The interval is a t
    interval on the block-bootstrap error, no narrower than the Fisher information allows, widened
    to the bootstrap percentiles.
    """
    low, high = (float(value) for value in band_hz)
    if not (3.0 <= low < high <= 40.0 and high - low >= 2.0):
        raise AnalysisError(
            f"band {low:g} to {high:g} Hz: give a lower and an upper end between 3 and 40 Hz, "
            "at least 2 Hz apart"
        )
    recording = raw if isinstance(raw, Recording) else None
    signal = recording.raw if recording is not None else raw
    made_at = datetime.now(UTC) if now is None else now.astimezone(UTC)
    names = _channels(signal, picks)
    quality = assess(raw, region=names)
    used = [name for name in names if name in quality.good_channels]
    warnings = [*(recording.warnings if recording else ()), *quality.warnings]
    if picks is None and used and not is_posterior(used[0]):
        warnings.append("no parietal or occipital electrode by name: every EEG channel is used")
    reasons = list(quality.reasons)
    if quality.good_channels and not used:
        reasons.append("every channel to be used is bad")
    if quality.suggested_sfreq_hz is not None and not (recording and recording.sfreq_given):
        reasons += [text for text in quality.warnings if text.startswith("sampling_rate_suspect")]
    if quality.sfreq_hz < 4.0 * high and not any("too low" in text for text in reasons):
        reasons.append(
            f"sampling rate {quality.sfreq_hz:g} Hz is too low for a band up to {high:g} Hz"
        )
    enough = len(quality.good_channels) >= AVERAGE_REFERENCE_CHANNELS
    average = enough if reference == "auto" else reference == "average"
    blank = PeakEstimate(
        status="unusable",
        frequency_hz=None,
        ci95_hz=None,
        center_of_gravity_hz=None,
        prominence_db=None,
        n_channels_used=len(used),
        channels=tuple(used),
        seconds_used=0.0,
        aperiodic_exponent=None,
        warnings=tuple(dict.fromkeys(warnings)),
        reasons=tuple(dict.fromkeys(reasons)),
        subject=subject if subject is not None else (recording.subject if recording else None),
        recording=recording.path if recording else None,
        recording_sha256=recording.sha256 if recording else None,
        measured_at=made_at.isoformat(timespec="seconds"),
        recorded_at=recording.recorded_at if recording else _header_date(signal),
        method=_method(low, high, average),
    )
    if reasons:
        return blank
    task = _Task(quality, tuple(used), average, (low, high), n_boot)
    found = _estimate(signal, task, blank)
    if found.status == "no_peak" and average and reference == "auto":
        other = _estimate(signal, replace(task, average=False), blank)
        if other.frequency_hz is not None:
            shared = (
                f"with the recorded reference a peak appears at {other.frequency_hz:.1f} Hz; the "
                "average reference removes what all electrodes share, such as a rhythm at the "
                "reference electrode"
            )
            found = replace(found, warnings=(*found.warnings, shared))
    return found


def _channels(raw: Any, picks: Sequence[str] | None) -> list[str]:
    """Channels to average: picks, else the posterior ones, else every EEG channel."""
    kinds = raw.get_channel_types()
    eeg = [name for name, kind in zip(raw.ch_names, kinds, strict=True) if kind == "eeg"]
    if picks is not None:
        wanted = [name if name in eeg else normal_name(name) for name in picks]
        missing = [name for name in wanted if name not in eeg]
        if missing or not wanted:
            raise AnalysisError(
                f"no EEG channel {', '.join(missing) or '(none given)'} in the recording; "
                f"it has {', '.join(eeg)}"
            )
        return list(dict.fromkeys(wanted))
    posterior = [name for name in eeg if is_posterior(name)]
    bads = set(raw.info["bads"])
    return posterior if any(name not in bads for name in posterior) else eeg


def _header_date(raw: Any) -> str | None:
    """Start of a bare MNE object, if its header has it."""
    date = raw.info["meas_date"]
    return None if date is None else date.astimezone(UTC).isoformat()


def _method(low: float, high: float, average: bool) -> str:
    """One line about how the estimate was made."""
    reference = "average reference" if average else "reference as recorded"
    return (
        f"likelihood fit of background and bumps, {low:g}-{high:g} Hz, Hann {WINDOW_S:g} s, "
        f"{reference}, block bootstrap; exponent by fooof"
    )


def _estimate(raw: Any, task: _Task, blank: PeakEstimate) -> PeakEstimate:
    """Spectra, fits and verdict of a usable recording."""
    quality, band_hz = task.quality, task.band_hz
    good = list(quality.good_channels)
    data = np.asarray(raw.get_data(picks=good), dtype=float)
    if task.average:
        data = data - data.mean(axis=0)
    low, high = fit_range_hz(band_hz, quality.sfreq_hz / 2.0)
    spectra = segment_spectra(
        data,
        quality.sfreq_hz,
        window_s=WINDOW_S,
        fmin_hz=min(low, 1.0),
        fmax_hz=max(high, min(45.0, 0.45 * quality.sfreq_hz)),
        bad=quality.artefact_mask(data.shape[1]),
    )
    count = len(spectra.starts_s)
    if count < MIN_SEGMENTS:
        reason = f"only {count} clean pieces of {WINDOW_S:g} s: {MIN_SEGMENTS} are the least"
        return replace(blank, reasons=(reason,))
    inside = (spectra.freqs_hz >= low) & (spectra.freqs_hz <= high)
    channel_mean = spectra.mean()
    scale = np.exp(np.log(np.maximum(channel_mean[:, inside], 1e-300)).mean(axis=1))
    relative = spectra.power / scale[None, :, None]
    roi = relative[:, [good.index(name) for name in task.used]].mean(axis=1)
    rhythm = fit_rhythm(spectra.freqs_hz[inside], roi[:, inside], band_hz, n_boot=task.n_boot)
    if not rhythm.unfiltered:
        return replace(blank, reasons=(_FILTERED.format(*band_hz),))
    fooof = fit_spectrum(
        spectra.freqs_hz,
        roi.mean(axis=0),
        fit_range_hz=_fooof_range(spectra.freqs_hz, roi.mean(axis=0), rhythm.freqs_hz, inside),
    )
    interval = interval_hz(rhythm)
    reasons = objections(rhythm, interval, band_hz)
    notes = [] if reasons else remarks(rhythm, fooof, band_hz)
    peak = rhythm.peak_hz
    near = int(np.argmin(np.abs(spectra.freqs_hz - peak)))
    estimate = replace(
        blank,
        status="no_peak" if reasons else "found",
        seconds_used=spectra.seconds_used,
        aperiodic_exponent=fooof.exponent,
        warnings=tuple(dict.fromkeys([*blank.warnings, *notes])),
        reasons=tuple(reasons),
        spectrum=PeakSpectrum(
            freqs_hz=spectra.freqs_hz,
            power_db=_db(roi.mean(axis=0)),
            aperiodic_db=_db(fooof.aperiodic(spectra.freqs_hz)),
            fit_freqs_hz=rhythm.freqs_hz,
            background_db=_db(rhythm.background),
            model_db=_db(rhythm.model),
            channel_db=_db(relative.mean(axis=0)[:, near]),
            info=_info(raw, good),
            band_hz=band_hz,
        ),
    )
    if reasons:
        return estimate
    return replace(
        estimate,
        frequency_hz=peak,
        ci95_hz=interval,
        center_of_gravity_hz=rhythm.center_of_gravity_hz,
        prominence_db=rhythm.prominence_db,
    )


def _fooof_range(
    freqs_hz: Array, psd: Array, fitted_hz: Array, asked: NDArray[np.bool_]
) -> tuple[float, float]:
    """2 to 40 Hz, less what a filter has taken away."""
    low, high = FIT_RANGE_HZ
    slow = (freqs_hz >= low) & (freqs_hz <= 6.0)
    smooth = np.convolve(psd, np.full(5, 0.2), mode="same")[slow]
    if smooth.max() > 2.0 * smooth[0]:
        low = float(freqs_hz[slow][np.argmax(smooth)])
    if fitted_hz[0] > freqs_hz[asked][0]:
        low = max(low, float(fitted_hz[0]))
    if fitted_hz[-1] < freqs_hz[asked][-1]:
        return low, float(fitted_hz[-1])
    edge = low_pass_edge_hz(freqs_hz, psd, 0.85 * float(fitted_hz[-1]))
    return low, high if edge is None else min(high, edge)


def _db(power: Array) -> Array:
    """Decibels."""
    return np.asarray(10.0 * np.log10(np.maximum(power, 1e-300)))


def _info(raw: Any, good: list[str]) -> Any:
    """Description of the good channels."""
    import mne

    picks = [raw.ch_names.index(name) for name in good]
    return mne.pick_info(raw.info, picks, copy=True, verbose="ERROR")
