"""A course as it is known: who is on which schedule since when, what was decided, its visits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tacs.errors import InputError
from tacs.schedule import Schedule

__all__ = ["Course", "CourseEntry", "Visit", "zone_named"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CourseEntry:
    """A decision about a course, or something noted during it.

    Parameters
    ----------
    kind : {"stop", "resume", "note"}
        What it is.
    at : datetime
        When it was entered.
    data : mapping
        Operator, role and reason of a decision; what was noted.
    """

    kind: str
    at: datetime
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A participant on a schedule.

    Parameters
    ----------
    subject : str
        BIDS label.
    schedule : Schedule
        As it was at enrolment, whatever became of the file.
    start : date
        First day that may hold a session.
    time_zone : str
        IANA name; the days of the schedule are days there.
    enrolled_by : str
        Who did it.
    entries : tuple of CourseEntry
        Decisions and notes, in order.
    """

    subject: str
    schedule: Schedule
    start: date
    time_zone: str
    enrolled_by: str
    entries: tuple[CourseEntry, ...] = ()

    @property
    def zone(self) -> tzinfo:
        """The time zone."""
        return zone_named(self.time_zone)

    @property
    def stopped(self) -> CourseEntry | None:
        """The decision that stopped the course, until one that resumed it."""
        decisions = [e for e in self.entries if e.kind != "note"]
        return decisions[-1] if decisions and decisions[-1].kind == "stop" else None

    @property
    def resumed_at(self) -> datetime | None:
        """When somebody last decided that it goes on."""
        return max((e.at for e in self.entries if e.kind == "resume"), default=None)

    def day(self, instant: datetime) -> date:
        """Return the calendar day of an instant where the course is."""
        return instant.astimezone(self.zone).date()

    def stopped_on(self, day: date) -> bool:
        """Whether no session was due on a day because the course was stopped."""
        since: date | None = None
        for entry in self.entries:
            if entry.kind == "stop" and since is None:
                since = self.day(entry.at)
            elif entry.kind == "resume" and since is not None:
                if since <= day < self.day(entry.at):
                    return True
                since = None
        return since is not None and since <= day


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One line of a course's calendar.

    Parameters
    ----------
    day : date
        Where the course is.
    state : {"done", "late", "extra", "missed", "planned"}
        Late: after the day of the first plan. Extra: on a day, or beyond a number, that the
        schedule has no room for; it counts as a session of the course while one is due.
    number : int or None
        Of the session in the course; None of one missed, or given after the course was complete.
    phase : str
        Its phase.
    session : str
        Label of the session that was given.
    late_d : int
        Days after the first plan.
    """

    day: date
    state: Literal["done", "late", "extra", "missed", "planned"]
    number: int | None = None
    phase: str = ""
    session: str = ""
    late_d: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "day": self.day.isoformat(),
            "state": self.state,
            "number": self.number,
            "phase": self.phase,
            "session": self.session,
            "late_d": self.late_d,
        }


def zone_named(name: str) -> tzinfo:
    """Return a time zone by its IANA name.

    Raises
    ------
    InputError
        No such zone on this computer.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise InputError(
            f"time zone {name!r}: not known on this computer; give an IANA name like "
            f"Europe/Berlin, or UTC"
        ) from exc
