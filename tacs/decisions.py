"""What was decided of the frequency before a session: kept by default, retuned by a logged choice.

A peak wanders between days, and whoever follows every wandering makes a course of many frequencies
that no comparison can be made of. The frequency of a course therefore stays as it was planned
unless somebody decides otherwise, by name and with a reason, before the session; either way the
verdict of :mod:`tacs.remeasure` that the decision rests on is in the journal beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from tacs.dataset import SessionPaths
from tacs.errors import InputError
from tacs.forms import text_problem
from tacs.journal import Entry, Journal
from tacs.remeasure import Remeasurement

__all__ = ["CHOICES", "KEEP", "FrequencyDecision", "decide", "decision_of"]

Choice = Literal["keep", "retune"]
CHOICES: tuple[Choice, ...] = ("keep", "retune")
KEEP = "the frequency of a course stays as planned"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrequencyDecision:
    """A decision on the frequency of one session, with what it rests on.

    Parameters
    ----------
    subject, session : str
        BIDS labels.
    at : datetime
        When it was entered.
    choice : {"keep", "retune"}
        What was decided.
    verdict : str
        Of the re-measurement, as :class:`tacs.remeasure.Remeasurement` has it.
    planned_hz : float
        Frequency of the protocol.
    measured_hz, ci95_hz : float, (float, float) or None
        The peak before the session; None where the recording does not answer.
    mismatch_hz, limit_hz : float or None
        Played less measured, and the largest one that is not called outside the locking range.
    frequency_hz : float
        What the session is to be played at.
    reason : str
        Why.
    operator, role : str
        Who decided, and as what.
    entry : str
        Hash of the journal's entry.
    """

    subject: str
    session: str
    at: datetime
    choice: Choice
    verdict: str
    planned_hz: float
    measured_hz: float | None
    ci95_hz: tuple[float, float] | None
    mismatch_hz: float | None
    limit_hz: float | None
    frequency_hz: float
    reason: str
    operator: str
    role: str
    entry: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            **asdict(self),
            "at": self.at.isoformat(),
            "ci95_hz": None if self.ci95_hz is None else list(self.ci95_hz),
        }


def decide(
    dataset: str | Path,
    found: Remeasurement,
    *,
    subject: str,
    session: str,
    operator: str,
    role: str,
    choice: str = "keep",
    reason: str = "",
    corrects: str | None = None,
) -> FrequencyDecision:
    """Enter what was decided of the frequency of a session; it is on disk when this returns.

    Parameters
    ----------
    dataset : path
        The data set.
    found : Remeasurement
        The peak before the session held against the protocol.
    subject, session : str
        BIDS labels.
    operator, role : str
        Who decides; a role of `tacs.journal.ROLES` other than ``participant``.
    choice : {"keep", "retune"}
        What is decided.
    reason : str
        Why; needed for anything but keeping a frequency that the re-measurement does not speak
        against.
    corrects : str, optional
        Hash of an earlier decision on this session.

    Raises
    ------
    InputError
        A choice that there is not, a retuning without a peak to tune to, a reason that is missing,
        or a session that has been run: of that one, only the words of a decision can be corrected.
    FileProblems
        The journal does not take the entry.
    RecordError
        The journal does not verify or cannot be written.
    """
    kept = next((known for known in CHOICES if known == choice), None)
    if kept is None:
        raise InputError(f"--decision {choice}: give {' or '.join(CHOICES)}")
    if role == "participant":
        raise InputError("role participant: the frequency is decided by the staff")
    if problem := text_problem(reason):
        raise InputError(f"--reason: {problem}")
    if kept == "retune" and found.new_frequency_hz is None:
        raise InputError(
            f"--decision retune: the verdict is {found.verdict}, which gives no frequency to tune "
            f"to: {found.advice}"
        )
    if not reason.strip() and (kept == "retune" or found.verdict != "keep"):
        raise InputError(
            f"--reason: missing; the verdict is {found.verdict}, and the journal keeps why the "
            f"decision is {kept} ({found.advice})"
        )
    frequency_hz = found.planned_hz
    if kept == "retune" and found.new_frequency_hz is not None:
        frequency_hz = found.new_frequency_hz
    data = {
        "choice": kept,
        "verdict": found.verdict,
        "planned_hz": found.planned_hz,
        "measured_hz": found.measured_hz,
        "ci95_hz": None if found.ci95_hz is None else list(found.ci95_hz),
        "mismatch_hz": found.mismatch_hz,
        "limit_hz": found.limit_hz,
        "frequency_hz": frequency_hz,
        "reason": reason.strip() or KEEP,
    }
    book = Journal(dataset)
    earlier = None if corrects is None else book.find(corrects)
    paths = SessionPaths.of(dataset, subject, session)
    if paths.was_run and (earlier is None or earlier.data.get("frequency_hz") != frequency_hz):
        raise InputError(
            f"--session {session}: has been run ({paths.record.name}), and its frequency is on "
            f"record; decide for the session that is next"
        )
    entry = book.append(
        "frequency_decision", data, operator=operator, role=role, subject=subject,
        session=session, corrects=None if earlier is None else earlier.hash,
    )  # fmt: skip
    return decision_of(entry)


def decision_of(entry: Entry) -> FrequencyDecision:
    """Return a journal entry of the kind ``frequency_decision`` as a decision."""
    data: Mapping[str, Any] = entry.data
    interval = data["ci95_hz"]
    return FrequencyDecision(
        subject=str(entry.subject),
        session=str(entry.session),
        at=entry.at,
        choice="retune" if data["choice"] == "retune" else "keep",
        verdict=str(data["verdict"]),
        planned_hz=float(data["planned_hz"]),
        measured_hz=data["measured_hz"],
        ci95_hz=None if interval is None else (float(interval[0]), float(interval[1])),
        mismatch_hz=data["mismatch_hz"],
        limit_hz=data["limit_hz"],
        frequency_hz=float(data["frequency_hz"]),
        reason=str(data["reason"]),
        operator=entry.operator,
        role=entry.role,
        entry=entry.hash,
    )
