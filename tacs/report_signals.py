"""The EEG parts of a report: recordings read once, their peaks, and what changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tacs.dataset import Recording, SessionPaths
from tacs.protocol import Protocol
from tacs.report_outcome import OutcomeSection, outcome_section
from tacs.report_peak import PeakSection, SignalFile, load_file, peak_section

__all__ = ["SignalSections", "signal_sections"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalSections:
    """Peaks, outcomes and files of a session; the main ones first."""

    peaks: tuple[PeakSection, ...]
    outcomes: tuple[OutcomeSection, ...]
    files: tuple[SignalFile, ...]


def signal_sections(
    paths: SessionPaths,
    recordings: Sequence[Recording],
    protocol: Protocol | None,
    *,
    blinded: bool,
) -> SignalSections:
    """Read the recordings of a session and analyse them.

    Parameters
    ----------
    paths : SessionPaths
        Of the session.
    recordings : sequence of Recording
        Of the session.
    protocol : Protocol or None
        As run; gives peak, predicted direction and region.
    blinded : bool
        Use nothing of the protocol: a prediction would tell the arm.

    Returns
    -------
    SignalSections
        Whatever cannot be read or used is said in the section it belongs to.
    """
    info = None if blinded else protocol
    individual = None if info is None else info.individual
    files = [load_file(paths, recording) for recording in recordings]
    tasks = list(dict.fromkeys(recording.task for recording in recordings))
    peaks, outcomes = [], []
    for task in tasks:
        before, after = (
            next((f for f in files if (f.recording.task, f.recording.when) == (task, when)), None)
            for when in ("pre", "post")
        )
        peak = peak_section(task, before, individual)
        peaks.append(peak)
        outcomes.append(outcome_section(paths, before, after, info, peak, blinded=blinded))
    order = sorted(
        range(len(tasks)),
        key=lambda i: (not peaks[i].is_source, "closed" not in tasks[i].lower(), i),
    )
    return SignalSections(
        peaks=tuple(peaks[i] for i in order),
        outcomes=tuple(outcomes[i] for i in order),
        files=tuple(files),
    )
