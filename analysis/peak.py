"""The endogenous peak of a person's rhythm: found with an interval, absent, or unusable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.channels import is_posterior, normal_name
from analysis.errors import AnalysisError
from analysis.io import Recording
from analysis.quality import Quality, assess
from analysis.rhythm import RhythmFit, fit_range_hz, fit_rhythm
from analysis.spectrum import SpectralFit, fit_spectrum, segment_spectra

Array = NDArray[np.float64]
Status = Literal["found", "no_peak", "unusable"]

ALPHA_BAND_HZ = (7.0, 13.0)
WINDOW_S = 4.0
AVERAGE_REFERENCE_CHANNELS = 16
PRESENCE_LEVEL = 0.01
MIN_PROMINENCE_DB = 2.0
MAX_INTERVAL_HZ = 2.0
MIN_SHARE_IN_BAND = 0.75
SECOND_NOTED = 0.4
SECOND_EQUAL = 0.8
DISAGREEMENT_HZ = 0.5
NARROW_HZ = 0.5
BROAD_HZ = 3.0
SD_FLOOR_HZ = 0.02
MIN_SEGMENTS = 10


@dataclass(frozen=True, slots=True)
class PeakSpectrum:
    """What a figure of the estimate needs.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies.
    power_db : ndarray, shape (n_freqs,)
        Mean normalised spectrum, dB.
    aperiodic_db : ndarray, shape (n_freqs,)
        Background found by fooof.
    fit_freqs_hz, background_db, model_db : ndarray, shape (n_fit_freqs,)
        Background and spectrum of the likelihood fit.
    channel_db : ndarray, shape (n_eeg,)
        Power of each good EEG channel at the peak over its own mean in the fit range, dB.
    info : mne.Info or None
        Description of those channels, with positions where known.
    band_hz : (float, float)
        Where the peak was looked for.
    """

    freqs_hz: Array
    power_db: Array
    aperiodic_db: Array
    fit_freqs_hz: Array
    background_db: Array
    model_db: Array
    channel_db: Array
    info: Any
    band_hz: tuple[float, float]


@dataclass(frozen=True, slots=True)
class PeakEstimate:
    """Outcome of the search for a peak; the keys of `tacs peak --json`.

    Parameters
    ----------
    status : {"found", "no_peak", "unusable"}
        Verdict. Every number that describes a peak is None unless it is "found".
    frequency_hz : float or None
        Peak frequency.
    ci95_hz : (float, float) or None
        95 % interval of the peak frequency.
    center_of_gravity_hz : float or None
        Mean frequency of the power above the background in the band.
    prominence_db : float or None
        Peak over background.
    n_channels_used : int
        Channels averaged.
    channels : tuple of str
        Their names.
    seconds_used : float
        Signal behind the estimate.
    aperiodic_exponent : float or None
        Exponent of the 1/f background (fooof, 2-40 Hz).
    warnings, reasons : tuple of str
        What to keep in mind; why there is no peak.
    subject : str or None
        Whose recording it is, if known.
    recording, recording_sha256 : str or None
        File and digest, if read from a file.
    measured_at : str
        When the estimate was made, ISO 8601, UTC.
    recorded_at : str or None
        When the recording was made, if its header says so.
    method : str
        How.
    spectrum : PeakSpectrum or None
        For the figure; not part of the JSON.
    """

    status: Status
    frequency_hz: float | None
    ci95_hz: tuple[float, float] | None
    center_of_gravity_hz: float | None
    prominence_db: float | None
    n_channels_used: int
    channels: tuple[str, ...]
    seconds_used: float
    aperiodic_exponent: float | None
    warnings: tuple[str, ...]
    reasons: tuple[str, ...]
    subject: str | None
    recording: str | None
    recording_sha256: str | None
    measured_at: str
    recorded_at: str | None
    method: str
    spectrum: PeakSpectrum | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types under the contract's keys."""
        out: dict[str, Any] = {}
        for item in fields(self):
            if item.name != "spectrum":
                value = getattr(self, item.name)
                out[item.name] = list(value) if isinstance(value, tuple) else value
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PeakEstimate:
        """Read `to_dict` output back, strictly.

        Parameters
        ----------
        data : mapping
            Parsed JSON.

        Returns
        -------
        PeakEstimate
            The estimate, without its spectrum.

        Raises
        ------
        AnalysisError
            If a key is unknown or missing, or a value is of the wrong kind, NaN or inconsistent.
        """
        from analysis.peakfile import parse

        return cls(**parse(data))

    def plot(self) -> Any:
        """Draw the spectrum with background, peak and interval.

        Returns
        -------
        matplotlib.figure.Figure
            The figure.
        """
        from analysis.figures import plot_peak

        return plot_peak(self)


def find_peak(
    raw: Any,
    *,
    band_hz: tuple[float, float] = ALPHA_BAND_HZ,
    picks: Sequence[str] | None = None,
    subject: str | None = None,
    now: datetime | None = None,
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
    holds: the matched-filter score passes its 1 % null limit; the peak stands 2 dB or more over
    the background (in simulations without a rhythm, exponents 0.8 to 2 with and without a knee,
    spurious bumps stay below that); the 95 % interval is at most 2 Hz wide and inside the band;
    at least three quarters of the bump lie in the band; and no second peak comes within 20 %
    of its height (Corcoran et al. 2018, Psychophysiology 55:e13064). The interval is a t interval
    on the block-bootstrap error, no narrower than the Fisher information allows, widened to the
    bootstrap percentiles.
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
    average = len(quality.good_channels) >= AVERAGE_REFERENCE_CHANNELS
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
    return _estimate(signal, quality, used, average, (low, high), n_boot, blank)


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


def _estimate(
    raw: Any,
    quality: Quality,
    used: list[str],
    average: bool,
    band_hz: tuple[float, float],
    n_boot: int,
    blank: PeakEstimate,
) -> PeakEstimate:
    """Spectra, fits and verdict of a usable recording."""
    good = list(quality.good_channels)
    data = np.asarray(raw.get_data(picks=good), dtype=float)
    if average:
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
    roi = relative[:, [good.index(name) for name in used]].mean(axis=1)
    rhythm = fit_rhythm(spectra.freqs_hz[inside], roi[:, inside], band_hz, n_boot=n_boot)
    fooof = fit_spectrum(spectra.freqs_hz, roi.mean(axis=0))
    interval = interval_hz(rhythm)
    reasons = _objections(rhythm, interval, band_hz)
    peak = rhythm.peak_hz
    warnings = [*blank.warnings, *_remarks(rhythm, fooof, band_hz)] if not reasons else [
        *blank.warnings
    ]
    near = int(np.argmin(np.abs(spectra.freqs_hz - peak)))
    estimate = replace(
        blank,
        status="no_peak" if reasons else "found",
        seconds_used=spectra.seconds_used,
        aperiodic_exponent=fooof.exponent,
        warnings=tuple(dict.fromkeys(warnings)),
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


def _db(power: Array) -> Array:
    """Decibels."""
    return np.asarray(10.0 * np.log10(np.maximum(power, 1e-300)))


def _info(raw: Any, good: list[str]) -> Any:
    """Description of the good channels."""
    import mne

    picks = [raw.ch_names.index(name) for name in good]
    return mne.pick_info(raw.info, picks, copy=True, verbose="ERROR")


def interval_hz(rhythm: RhythmFit) -> tuple[float, float]:
    """95 % interval of the peak.

    Parameters
    ----------
    rhythm : RhythmFit
        Fit with its bootstrap replicates.

    Returns
    -------
    (float, float)
        The t interval on the larger of bootstrap and information error, widened to the 2.5 and
        97.5 percentiles of the replicates.
    """
    from scipy.stats import t

    error = max(float(rhythm.replicates_hz.std()), rhythm.information_sd_hz, SD_FLOOR_HZ)
    half = float(t.ppf(0.975, max(rhythm.n_blocks - 1.0, 2.0))) * error
    low, high = np.quantile(rhythm.replicates_hz, [0.025, 0.975])
    return min(rhythm.peak_hz - half, float(low)), max(rhythm.peak_hz + half, float(high))


def _objections(
    rhythm: RhythmFit, interval: tuple[float, float], band_hz: tuple[float, float]
) -> list[str]:
    """Every reason not to report this peak."""
    low, high = band_hz
    place = f"{rhythm.peak_hz:.1f} Hz"
    if rhythm.p_value >= PRESENCE_LEVEL:
        return [f"no rhythm stands out of the background between {low:g} and {high:g} Hz"]
    reasons = []
    if rhythm.prominence_db < MIN_PROMINENCE_DB:
        reasons.append(
            f"the largest bump, at {place}, stands only {max(rhythm.prominence_db, 0.0):.1f} dB "
            f"over the background; {MIN_PROMINENCE_DB:g} dB is the least"
        )
    width = interval[1] - interval[0]
    if width > MAX_INTERVAL_HZ:
        reasons.append(
            f"the peak near {place} cannot be located: its 95 % interval is {width:.1f} Hz wide, "
            f"{MAX_INTERVAL_HZ:g} Hz is the most"
        )
    beyond = not (low <= interval[0] and interval[1] <= high)
    if rhythm.share_in_band < MIN_SHARE_IN_BAND or (beyond and width <= MAX_INTERVAL_HZ):
        reasons.append(
            f"the peak near {place} lies at the edge of the band {low:g} to {high:g} Hz; "
            "if it is expected there, widen the band with --band"
        )
    if rhythm.second is not None and rhythm.second[1] >= SECOND_EQUAL:
        reasons.append(
            f"two peaks of about the same height, near {place} and {rhythm.second[0]:.1f} Hz: "
            "neither can be called the peak"
        )
    return reasons


def _remarks(rhythm: RhythmFit, fooof: SpectralFit, band_hz: tuple[float, float]) -> list[str]:
    """Warnings about a peak that is reported."""
    peak = rhythm.peak_hz
    remarks = []
    if rhythm.second is not None and rhythm.second[1] >= SECOND_NOTED:
        remarks.append(
            f"split peak: a second rhythm near {rhythm.second[0]:.1f} Hz has "
            f"{100.0 * rhythm.second[1]:.0f} % of the height"
        )
    if abs(peak - rhythm.center_of_gravity_hz) > DISAGREEMENT_HZ:
        remarks.append(
            f"peak {peak:.2f} Hz and centre of gravity {rhythm.center_of_gravity_hz:.2f} Hz differ "
            f"by more than {DISAGREEMENT_HZ:g} Hz: the bump is lopsided or double"
        )
    if rhythm.width_hz < NARROW_HZ:
        remarks.append(
            "the peak is as narrow as the analysis resolves: a line (flicker, stimulation residue, "
            "interference) looks the same"
        )
    if rhythm.width_hz > BROAD_HZ:
        remarks.append(f"the peak is {rhythm.width_hz:.1f} Hz broad: it may hide two rhythms")
    inside = [c for c, _, _ in fooof.peaks if band_hz[0] <= c <= band_hz[1]]
    closest = min((abs(c - peak) for c in inside), default=None)
    if closest is None:
        remarks.append("fooof finds no peak in the band")
    elif closest > DISAGREEMENT_HZ:
        tallest = max((p for p in fooof.peaks if p[0] in inside), key=lambda item: item[1])
        remarks.append(f"fooof places the peak at {tallest[0]:.2f} Hz, more than 0.5 Hz away")
    return remarks


__all__ = ["ALPHA_BAND_HZ", "PeakEstimate", "PeakSpectrum", "Status", "find_peak", "interval_hz"]
