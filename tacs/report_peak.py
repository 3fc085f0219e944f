"""The individual peak in a report, and the recordings that the report rests on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tacs.dataset import Recording, SessionPaths
from tacs.protocol import Individual
from tacs.report_drawing import data_uri
from tacs.report_trace import Picture
from tacs.report_words import interval, joined, number

if TYPE_CHECKING:
    from analysis.io import Recording as Signals

__all__ = ["PeakSection", "SignalFile", "load_file", "peak_section"]

_PEAK_CAPTION = (
    "Power spectrum before the session with the fitted background, the peak and its 95 % interval, "
    "and where on the head the peak stands out."
)
_NO_PEAK_CAPTION = (
    "Power spectrum before the session with the fitted background, and why no peak is reported."
)
SAME_PEAK_HZ = 0.05  # two estimates from one recording agree within this


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalFile:
    """One recording that was read, or the reason why it was not.

    Parameters
    ----------
    recording : Recording
        Where it is.
    loaded : analysis.io.Recording or None
        Its signals.
    problem : str or None
        Why there are none.
    quality : mapping
        The summary written on import; empty where there is none.
    """

    recording: Recording
    loaded: Signals | None
    problem: str | None
    quality: Mapping[str, Any]

    @property
    def sha256(self) -> str | None:
        """Hash of the file with its companions."""
        return None if self.loaded is None else self.loaded.sha256

    @property
    def recorded_at(self) -> str | None:
        """When it was recorded, where its header says so."""
        return None if self.loaded is None else self.loaded.recorded_at


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakSection:
    """The peak of one recording before the session.

    Parameters
    ----------
    task : str
        BIDS task.
    estimate : mapping or None
        As ``tacs peak --json``; None where the recording could not be used.
    picture : Picture or None
        Its figure.
    problem : str or None
        Why there is no estimate.
    is_source : bool
        Whether the protocol's peak was measured in this very recording.
    agreement : str
        One sentence on the protocol's peak against this one; empty where there is none.
    """

    task: str
    estimate: Mapping[str, Any] | None
    picture: Picture | None
    problem: str | None
    is_source: bool = False
    agreement: str = ""


def load_file(paths: SessionPaths, recording: Recording) -> SignalFile:
    """Read a recording with its quality summary; what cannot be read is a file with a problem.

    Parameters
    ----------
    paths : SessionPaths
        Of the session.
    recording : Recording
        Which one.
    """
    from analysis.errors import AnalysisError
    from analysis.io import load_recording

    loaded, problem = None, None
    try:
        loaded = load_recording(recording.path)
    except AnalysisError as exc:
        # Where the data set lies on this computer is no part of the report.
        problem = str(exc).replace(f"{paths.dataset}/", "")
    quality = _quality(paths, recording)
    return SignalFile(recording=recording, loaded=loaded, problem=problem, quality=quality)


def _quality(paths: SessionPaths, recording: Recording) -> Mapping[str, Any]:
    """The quality summary of a recording; empty where there is none that can be read."""
    try:
        data = json.loads(paths.quality(recording.task, recording.when).read_text("utf-8"))
        return {
            "duration_s": float(data["duration_s"]),
            "usable_s": float(data["usable_s"]),
            "bad_channels": [str(name) for name in data["bad_channels"]],
            "remarks": [str(text) for text in [*data["reasons"], *data["warnings"]]],
            "source_sha256": str(data["source_sha256"]),
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def peak_section(
    task: str, before: SignalFile | None, individual: Individual | None
) -> PeakSection:
    """Find the peak of a recording and hold it against the protocol's.

    Parameters
    ----------
    task : str
        BIDS task.
    before : SignalFile or None
        Recording before the session.
    individual : Individual or None
        What the protocol was planned from.
    """
    from analysis.errors import AnalysisError
    from analysis.peak import find_peak

    if before is None:
        return _no_peak(task, "There is no recording from before the session.")
    if before.loaded is None:
        return _no_peak(task, f"The recording from before cannot be read: {before.problem}.")
    try:
        estimate = find_peak(before.loaded)
    except AnalysisError as exc:
        return _no_peak(task, f"The peak cannot be estimated: {exc}.")
    data = estimate.to_dict()
    # The protocol may name the clinic's own file, which the import copied with its names blanked.
    digests = {before.sha256, before.quality.get("source_sha256")}
    is_source = individual is not None and individual.recording_sha256 in digests
    picture = None
    if estimate.spectrum is not None:
        words = f"Spectrum before the session, {joined(estimate.channels)}: "
        if estimate.status == "found":
            words += (
                f"peak at {number(estimate.frequency_hz, 2, 'Hz')}, 95 % interval "
                f"{interval(estimate.ci95_hz, 2, 'Hz')}."
            )
        else:
            words += "no individual peak."
        picture = Picture(
            src=data_uri(estimate.plot(), dpi=170),
            alt=words,
            caption=_PEAK_CAPTION if estimate.status == "found" else _NO_PEAK_CAPTION,
        )
    return PeakSection(
        task=task,
        estimate=data,
        picture=picture,
        problem=None,
        is_source=is_source,
        agreement=_agreement(individual, data["frequency_hz"], is_source=is_source),
    )


def _no_peak(task: str, problem: str) -> PeakSection:
    return PeakSection(task=task, estimate=None, picture=None, problem=problem)


def _agreement(
    individual: Individual | None, frequency_hz: float | None, *, is_source: bool
) -> str:
    """How the protocol's peak stands to the one found here."""
    if individual is None:
        return ""
    theirs = number(individual.peak_hz, 2, "Hz")
    where = "in this recording" if is_source else f"in another recording ({individual.recording})"
    text = f"The protocol was planned from a peak of {theirs}, measured {where}."
    if frequency_hz is None:
        return f"{text} That peak is not found again here."
    apart_hz = abs(frequency_hz - individual.peak_hz)
    if not is_source:
        return f"{text} The peak found here is {number(apart_hz, 2, 'Hz')} from it."
    if apart_hz <= SAME_PEAK_HZ:
        return f"{text} Estimated again for this report, it is the same."
    return (
        f"{text} Estimated again for this report it is {number(frequency_hz, 2, 'Hz')}: "
        f"the protocol was planned with other settings or another version."
    )
