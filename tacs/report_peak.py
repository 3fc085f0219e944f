"""The individual peak in a report, and the recordings that the report rests on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tacs.dataset import Recording, SessionPaths
from tacs.protocol import Individual
from tacs.report_drawing import data_uri
from tacs.report_page import Picture
from tacs.report_words import interval, joined, number

if TYPE_CHECKING:
    from analysis.estimate import PeakEstimate
    from analysis.io import Recording as Signals

__all__ = ["PeakSection", "SignalFile", "load_file", "peak_section"]

_CAPTIONS: Mapping[str, str] = {
    "spectrum": "Power spectrum before the session, each channel relative to its own mean, with "
    "the fit, its background and what was found.",
    "topography": "Where the rhythm stands out; large dots: channels used.",
    "channels": "Each channel's own peak with its standard error, and how far the rhythm stands "
    "over the channel's own background.",
    "halves": "The same spectrum from the first and from the second half of the recording.",
}
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
    pictures : mapping of str to Picture
        Of ``spectrum``, ``topography``, ``channels`` and ``halves`` what there is.
    problem : str or None
        Why there is no estimate.
    is_source : bool
        Whether the protocol's peak was measured in this very recording.
    agreement : str
        One sentence on the protocol's peak against this one; empty where there is none.
    """

    task: str
    estimate: Mapping[str, Any] | None
    pictures: Mapping[str, Picture]
    problem: str | None
    is_source: bool = False
    agreement: str = ""

    @property
    def frequencies_hz(self) -> tuple[float, ...]:
        """The peak, both peaks of a split rhythm with the slower first, or nothing."""
        data = self.estimate or {}
        if data.get("frequency_hz") is None:
            return ()
        both = tuple(sorted(float(peak["frequency_hz"]) for peak in data["peaks"]))
        return both if len(both) > 1 else (float(data["frequency_hz"]),)

    @property
    def is_split(self) -> bool:
        """Whether two peaks share the rhythm."""
        return len(self.frequencies_hz) > 1

    @property
    def frequency(self) -> str:
        """The peak, or both peaks, in words."""
        return joined([number(hz, 2, "Hz") for hz in self.frequencies_hz]) or number(None)

    @property
    def interval(self) -> str:
        """The 95 % interval in words, or that there is none."""
        pair = (self.estimate or {}).get("ci95_hz")
        if pair is not None:
            return f"95 % interval {interval(pair, 2, 'Hz')}"
        return "split: two peaks share the rhythm, no interval" if self.is_split else "no interval"


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
    found = PeakSection(task=task, estimate=data, pictures={}, problem=None, is_source=is_source)
    return replace(
        found,
        pictures=_pictures(estimate, found),
        agreement=_agreement(individual, found, is_source=is_source),
    )


def _pictures(estimate: PeakEstimate, found: PeakSection) -> dict[str, Picture]:
    """Every figure that the estimate can fill."""
    if estimate.spectrum is None:
        return {}
    from analysis.figures import plot_peak_panels

    what = f"peak at {found.frequency}, {found.interval}" if found.frequencies_hz else "no peak"
    where = f"before the session, {joined(estimate.channels)}: {what}."
    words = {
        "spectrum": f"Spectrum {where}",
        "topography": f"Map of the head {where}",
        "channels": f"Peak of every channel {where}",
        "halves": f"Spectra of both halves of the recording {where}",
    }
    return {
        name: Picture(src=data_uri(figure), alt=words[name], caption=_CAPTIONS[name])
        for name, figure in plot_peak_panels(estimate).items()
    }


def _no_peak(task: str, problem: str) -> PeakSection:
    return PeakSection(task=task, estimate=None, pictures={}, problem=problem)


def _agreement(individual: Individual | None, found: PeakSection, *, is_source: bool) -> str:
    """How the protocol's peak stands to the one found here."""
    if individual is None:
        return ""
    theirs = number(individual.peak_hz, 2, "Hz")
    where = "in this recording" if is_source else f"in another recording ({individual.recording})"
    text = f"The protocol was planned from a peak of {theirs}, measured {where}."
    if not found.frequencies_hz:
        return f"{text} That peak is not found again here."
    if found.is_split:
        return f"{text} The rhythm found here is split, {found.frequency}."
    (frequency_hz,) = found.frequencies_hz
    apart_hz = abs(frequency_hz - individual.peak_hz)
    if not is_source:
        return f"{text} The peak found here is {number(apart_hz, 2, 'Hz')} from it."
    if apart_hz <= SAME_PEAK_HZ:
        return f"{text} Estimated again for this report, it is the same."
    return (
        f"{text} Estimated again for this report it is {number(frequency_hz, 2, 'Hz')}: "
        f"the protocol was planned with other settings or another version."
    )
