"""What every search for a peak begins with: band, channels, quality, and an answer still blank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from analysis.channels import is_posterior, normal_name
from analysis.errors import AnalysisError
from analysis.estimate import PeakEstimate
from analysis.io import Recording
from analysis.quality import PROVISIONAL_SECONDS, Examined, Quality, examine

Reference = Literal["auto", "average", "recorded"]
REFERENCES: tuple[Reference, ...] = get_args(Reference)

AVERAGE_REFERENCE_CHANNELS = 16


@dataclass(frozen=True, slots=True)
class Selection:
    """A recording with everything chosen.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The signals.
    quality : Quality
        What is wrong with them.
    used : tuple of str
        Good channels of the region.
    average : bool
        Whether to subtract the mean of the good channels.
    band_hz : (float, float)
        Where the peak may lie.
    blank : PeakEstimate
        Status "unusable" with every reason so far; usable if there is none.
    """

    raw: Any
    quality: Quality
    used: tuple[str, ...]
    average: bool
    band_hz: tuple[float, float]
    blank: PeakEstimate


def select(
    recording: Any,
    *,
    band_hz: tuple[float, float],
    picks: Sequence[str] | None,
    subject: str | None,
    now: datetime | None,
    reference: Reference = "auto",
    least_hz: float | None = None,
) -> Selection:
    """Check band and picks, judge the recording and start its estimate.

    Parameters
    ----------
    recording : Recording, mne.io.BaseRaw or Examined
        The recording; one examined already is not measured again.
    band_hz : (float, float)
        Where the peak may lie.
    picks : sequence of str or None
        Channels of the region; None for the parietal and occipital ones, else every EEG channel.
    subject : str or None
        Whose it is, if stated.
    now : datetime or None
        Time of the estimate.
    reference : {"auto", "average", "recorded"}
        "auto" averages from 16 good channels up.
    least_hz : float, optional
        Least sampling rate, beyond four times the upper end of the band.

    Returns
    -------
    Selection

    Raises
    ------
    AnalysisError
        If the band or the picks make no sense for this recording.
    """
    low, high = (float(value) for value in band_hz)
    if not (3.0 <= low < high <= 48.0 and high - low >= 2.0):
        raise AnalysisError(
            f"band {low:g} to {high:g} Hz: give a lower and an upper end between 3 and 48 Hz, "
            "at least 2 Hz apart"
        )
    whole = recording.recording if isinstance(recording, Examined) else recording
    known = whole if isinstance(whole, Recording) else None
    raw = known.raw if known is not None else whole
    names = _channels(raw, picks)
    examined = recording if isinstance(recording, Examined) else examine(recording)
    quality = examined.judge(names)
    used = tuple(name for name in names if name in quality.good_channels)
    warnings = [*(known.warnings if known else ()), *quality.warnings]
    if picks is None and used and not is_posterior(used[0]):
        warnings.append("no parietal or occipital electrode by name: every EEG channel is used")
    enough = len(quality.good_channels) >= AVERAGE_REFERENCE_CHANNELS
    least = max(4.0 * high, least_hz or 0.0)
    made_at = datetime.now(UTC) if now is None else now.astimezone(UTC)
    blank = PeakEstimate(
        status="unusable",
        frequency_hz=None,
        ci95_hz=None,
        center_of_gravity_hz=None,
        prominence_db=None,
        n_channels_used=len(used),
        channels=used,
        seconds_used=0.0,
        aperiodic_exponent=None,
        warnings=tuple(dict.fromkeys(warnings)),
        reasons=tuple(dict.fromkeys(_refusals(known, quality, used, least))),
        subject=subject if subject is not None else (known.subject if known else None),
        recording=known.path if known else None,
        recording_sha256=known.sha256 if known else None,
        measured_at=made_at.isoformat(timespec="seconds"),
        recorded_at=known.recorded_at if known else _header_date(raw),
        method="",
        band_hz=(low, high),
        provisional=quality.usable_s < PROVISIONAL_SECONDS,
        quality=quality.to_dict(),
    )
    average = enough if reference == "auto" else reference == "average"
    return Selection(raw, quality, used, average, (low, high), blank)


def _channels(raw: Any, picks: Sequence[str] | None) -> list[str]:
    """Channels of the region: picks, else the posterior ones, else every EEG channel."""
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


def _refusals(
    known: Recording | None, quality: Quality, used: tuple[str, ...], least_hz: float
) -> list[str]:
    """Why the recording cannot be used."""
    reasons = list(quality.reasons)
    if quality.good_channels and not used:
        reasons.append("every channel to be used is bad")
    if quality.suggested_sfreq_hz is not None and not (known and known.sfreq_given):
        reasons += [text for text in quality.warnings if text.startswith("sampling_rate_suspect")]
    if quality.sfreq_hz < least_hz and not any("too low" in text for text in reasons):
        reasons.append(
            f"sampling rate {quality.sfreq_hz:g} Hz is too low: {least_hz:g} Hz is the least here"
        )
    return reasons


def _header_date(raw: Any) -> str | None:
    """Start of a bare MNE object, if its header has it."""
    date = raw.info["meas_date"]
    return None if date is None else str(date.astimezone(UTC).isoformat())
