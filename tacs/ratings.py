"""Ratings of a data set: into the journal first, corrected by later entries, never written over.

A suicidality item at or above its limit is an alert. It stays open in the journal, whatever is
corrected later, until somebody acknowledges that very entry by name and role.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from tacs.clearing import unseen_alerts
from tacs.errors import InputError
from tacs.forms import text_problem
from tacs.journal import Entry, Journal, NewEntry
from tacs.scale_score import Score, score
from tacs.scales import Scale, load_scale

__all__ = [
    "BLIND",
    "OpenAlert",
    "Rating",
    "acknowledge",
    "current_ratings",
    "new_rating",
    "open_alerts",
    "parse_items",
    "parse_when",
    "rate",
    "rating_of",
]

Blind = Literal["yes", "no", "unknown"]
BLIND: tuple[Blind, ...] = ("yes", "no", "unknown")
FUTURE_ALLOWED = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """One rating as the journal has it.

    Parameters
    ----------
    entry : Entry
        The journal's entry.
    scale : Scale
        Its scale as it is now.
    score : Score
        Scored now, from the items.
    at : datetime
        When the person was rated, time zone aware.
    rater_blinded : str
        Whether the rater knew the arm: ``yes``, ``no`` or ``unknown``.
    same_scale : bool
        Whether the scale file is still the one that the rating was taken with.
    """

    entry: Entry
    scale: Scale
    score: Score
    at: datetime
    rater_blinded: str
    same_scale: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            **self.score.to_dict(),
            "at": self.at.isoformat(),
            "subject": self.entry.subject,
            "session": self.entry.session,
            "rater_blinded": self.rater_blinded,
            "operator": self.entry.operator,
            "role": self.entry.role,
            "entry": self.entry.hash,
            "corrects": self.entry.corrects,
            "same_scale": self.same_scale,
        }


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that nobody has acknowledged.

    Parameters
    ----------
    entry : Entry
        The rating that raised it.
    items : mapping of str to int
        Items at or above their limit, with the answers.
    """

    entry: Entry
    items: Mapping[str, int]

    def __str__(self) -> str:
        """One line for the person at the desk."""
        told = ", ".join(f"item {number} = {value}" for number, value in self.items.items())
        return (
            f"SUICIDALITY ALERT: subject {self.entry.subject}, {self.entry.data['scale']} {told} "
            f"({str(self.entry.data['at'])[:10]}, journal entry {self.entry.hash[:8]}). Follow "
            f"your site's procedure now; the suite makes no diagnosis"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "entry": self.entry.hash,
            "subject": self.entry.subject,
            "session": self.entry.session,
            "scale": self.entry.data["scale"],
            "at": self.entry.data["at"],
            "items": dict(self.items),
        }


def rate(
    dataset: str | Path,
    scale: Scale,
    answers: Mapping[int, Any],
    *,
    subject: str,
    at: datetime,
    now: datetime,
    operator: str,
    role: str,
    session: str | None = None,
    rater_blinded: str = "unknown",
    method: str = "typed",
    corrects: str | None = None,
) -> Rating:
    """Score a rating and put it into the journal; it is on disk when this returns.

    Parameters
    ----------
    dataset : path
        The data set.
    scale : Scale
        Which scale.
    answers : mapping of int to int
        By item number; an item that was not answered is left out.
    subject, session : str
        BIDS labels; a rating need not belong to a session.
    at : datetime
        When the person was rated, time zone aware.
    now : datetime
        The present.
    operator, role : str
        Who enters it, one of `tacs.journal.ROLES`.
    rater_blinded : {"unknown", "yes", "no"}
        Whether the rater was blind to the arm.
    method : str
        How it was entered, in a few words.
    corrects : str, optional
        Hash of the rating that this one takes the place of.

    Raises
    ------
    FileProblems
        Items that the scale does not take, or an entry that the journal does not take.
    InputError
        A time in the future, or another scale than that of the entry to be corrected.
    RecordError
        The journal does not verify or cannot be written.
    """
    book = Journal(dataset)
    if corrects is not None:
        target = book.find(corrects)
        if target.kind == "rating" and target.data.get("scale") != scale.id:
            raise InputError(
                f"entry {target.hash[:8]} is a rating of {target.data.get('scale')}, not of "
                f"{scale.id}; a correction is of the same scale"
            )
        corrects = target.hash
    draft = new_rating(
        scale, answers, subject=subject, at=at, now=now, operator=operator, role=role,
        session=session, rater_blinded=rater_blinded, method=method, corrects=corrects,
    )  # fmt: skip
    return rating_of(book.append_all([draft])[0])


def new_rating(
    scale: Scale,
    answers: Mapping[int, Any],
    *,
    subject: str,
    at: datetime,
    now: datetime,
    operator: str,
    role: str,
    session: str | None,
    rater_blinded: str,
    method: str,
    corrects: str | None,
) -> NewEntry:
    """Score a rating and return the entry that it makes; parameters and errors as in :func:`rate`.

    The correction is named by its whole hash.
    """
    scored = score(scale, answers)
    if at.tzinfo is None:
        raise InputError(f"{at.isoformat()}: has no time zone; write it as 2026-03-01T09:30+01:00")
    if at > now + FUTURE_ALLOWED:
        raise InputError(f"{at.isoformat()}: lies in the future; give the time of the rating")
    if rater_blinded not in BLIND:
        raise InputError(f"rater blinded {rater_blinded!r}: must be {', '.join(BLIND)}")
    data = {
        **scored.to_dict(),
        "scale_version": scale.version,
        "scale_sha256": scale.digest,
        "at": at.isoformat(timespec="seconds"),
        "rater_blinded": rater_blinded,
        "method": method,
    }
    return NewEntry(
        kind="rating", data=data, operator=operator, role=role, subject=subject, session=session,
        corrects=corrects,
    )  # fmt: skip


def rating_of(entry: Entry, scales: dict[str, Scale] | None = None) -> Rating:
    """Return a journal entry as a rating, scored with the scale as it is now.

    Parameters
    ----------
    entry : Entry
        Of the kind ``rating``.
    scales : dict, optional
        Scales read so far, by id; this one is added.

    Raises
    ------
    InputError
        The scale is not there any more, or does not take the items any more.
    """
    data = entry.data
    known, name = {} if scales is None else scales, str(data["scale"])
    scale = known[name] if name in known else known.setdefault(name, load_scale(name))
    answers = {int(number): value for number, value in data["items"].items()}
    return Rating(
        entry=entry,
        scale=scale,
        score=score(scale, answers, f"journal entry {entry.hash[:8]}"),
        at=datetime.fromisoformat(data["at"]),
        rater_blinded=str(data["rater_blinded"]),
        same_scale=data["scale_sha256"] == scale.digest,
    )


def current_ratings(dataset: str | Path, subject: str | None = None) -> list[Rating]:
    """Return the ratings that hold, in the order of their times.

    Raises
    ------
    InputError
        A scale is missing.
    RecordError
        The journal does not verify.
    """
    scales: dict[str, Scale] = {}
    found = [rating_of(entry, scales) for entry in Journal(dataset).current("rating", subject)]
    return sorted(found, key=lambda r: (r.at.astimezone(UTC), r.entry.seq))


def open_alerts(dataset: str | Path, subject: str | None = None) -> list[OpenAlert]:
    """Return the alerts that nobody has acknowledged, corrected ratings included.

    Raises
    ------
    RecordError
        The journal does not verify.
    """
    return alerts_in(Journal(dataset).entries(subject=subject))


def alerts_in(entries: Sequence[Entry]) -> list[OpenAlert]:
    """Return the open alerts among the entries of a journal."""
    return [OpenAlert(entry, entry.data["alerts"]) for entry in unseen_alerts(entries)]


def acknowledge(
    dataset: str | Path,
    alerts: Sequence[OpenAlert],
    *,
    name: str,
    role: str,
    done: str = "",
) -> list[Entry]:
    """Write down who has seen the alerts; one entry for each participant.

    Parameters
    ----------
    dataset : path
        The data set.
    alerts : sequence of OpenAlert
        Open ones.
    name, role : str
        Who has seen them; a role of `tacs.journal.ROLES` other than ``participant``.
    done : str
        What was done, in a few words.

    Raises
    ------
    InputError
        The name is empty or the role is the participant's.
    FileProblems
        The journal does not take the entry.
    """
    if role == "participant" or not name.strip():
        raise InputError(
            "an alert is acknowledged by name and role of somebody who acts on it, not by the "
            "participant"
        )
    problem = text_problem(done)
    if problem is not None:
        raise InputError(f"what was done: {problem}")
    book = Journal(dataset)
    made = []
    for subject in dict.fromkeys(str(alert.entry.subject) for alert in alerts):
        hashes = [a.entry.hash for a in alerts if a.entry.subject == subject]
        data = {"entries": hashes, "done": done.strip()}
        made.append(
            book.append("alert_acknowledged", data, operator=name, role=role, subject=subject)
        )
    return made


def parse_items(text: str, where: str = "--items") -> dict[int, int]:
    """Take ``1=2,2=0`` apart.

    Raises
    ------
    InputError
        Something else, or an item that stands twice.
    """
    found: dict[int, int] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        number, equals, value = (one.strip() for one in part.partition("="))
        if not (equals and number.isdecimal() and value.isdecimal() and len(part) < 16):
            raise InputError(f"{where}: {part[:20]!r}: give NUMBER=ANSWER, as in 1=2,2=0")
        if int(number) in found:
            raise InputError(f"{where}: item {int(number)} stands twice")
        found[int(number)] = int(value)
    return found


def parse_when(text: str, now: datetime, where: str = "--at") -> datetime:
    """Return a time; a date alone is noon, without a zone it is the site's own.

    Parameters
    ----------
    text : str
        ``2026-03-01``, ``2026-03-01 09:30`` or ISO 8601 with a zone; empty is the present.
    now : datetime
        The present, time zone aware.
    where : str
        Named in the message.

    Raises
    ------
    InputError
        Not a time.
    """
    text = text.strip()
    if not text:
        return now
    try:
        at = datetime.fromisoformat(text)
    except ValueError as exc:
        raise InputError(
            f"{where}: {text[:40]!r}: write it as 2026-03-01 or 2026-03-01T09:30"
        ) from exc
    if len(text) == 10:
        at = at.replace(hour=12)
    return at if at.tzinfo is not None else at.astimezone()
