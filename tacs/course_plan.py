"""A participant on a schedule: the calendar, and when the next session may be.

Nothing here reads a file or a clock. What is done, missed, late and extra is worked out from the
course and the ledger's sessions whenever somebody asks, so that it cannot drift from what was
delivered.

The days of a schedule are calendar days of the course's time zone; every interval is counted in
time that has passed (:mod:`tacs.ledger`), so that daylight saving and time zones shorten none. A
missed session is not dropped: the course goes on until all have been given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Literal

from tacs.course_facts import Course, CourseEntry, Visit, zone_named
from tacs.course_rules import course_standing, next_number, schedule_breaches
from tacs.limits import LIMITS, EffectiveLimits
from tacs.protocol import Protocol
from tacs.safety import Breach, DoseHistory, PastSession, standing_breaches, waits_s
from tacs.schedule import Schedule

__all__ = [
    "Course",
    "CourseEntry",
    "NextSession",
    "Visit",
    "calendar",
    "course_standing",
    "next_session",
    "schedule_breaches",
    "too_early",
    "zone_named",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NextSession:
    """When the next session may be, and why not before.

    Parameters
    ----------
    subject : str
        The participant.
    now : datetime
        When it was asked.
    earliest : datetime or None
        From then on every limit and the schedule allow it; None where waiting does not help.
    latest_planned : datetime or None
        End of the day that the schedule has for it; None without a course.
    reasons : tuple of str
        What ``earliest`` follows from; empty where it may be now.
    blocked_by : tuple of Breach
        What somebody has to see to first.
    schedule : str or None
        Of the course; None where there is none, and the limits alone decide.
    number, sessions : int or None
        Of the next session, and of the whole course.
    phase : str
        Of the next session.
    time_zone : str
        Of the course.
    visits : tuple of Visit
        The calendar.
    """

    subject: str
    now: datetime
    earliest: datetime | None
    latest_planned: datetime | None
    reasons: tuple[str, ...]
    blocked_by: tuple[Breach, ...]
    schedule: str | None
    number: int | None
    sessions: int | None
    phase: str
    time_zone: str
    visits: tuple[Visit, ...]

    @property
    def allowed(self) -> bool:
        """Whether it may be now."""
        return self.earliest is not None and self.earliest <= self.now

    @property
    def complete(self) -> bool:
        """Whether every session of the course has been given."""
        return self.schedule is not None and self.number is None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``tacs course next``."""
        zone = zone_named(self.time_zone)

        def both(instant: datetime | None) -> dict[str, str] | None:
            if instant is None:
                return None
            utc, local = instant.astimezone(UTC), instant.astimezone(zone)
            return {"utc": utc.isoformat(), "local": local.isoformat()}

        return {
            "subject": self.subject,
            "schedule": self.schedule,
            "allowed": self.allowed,
            "complete": self.complete,
            "earliest": both(self.earliest),
            "latest_planned": both(self.latest_planned),
            "reasons": list(self.reasons),
            "blocked_by": [b.to_dict() for b in self.blocked_by],
            "number": self.number,
            "sessions": self.sessions,
            "phase": self.phase,
            "time_zone": self.time_zone,
            **{
                state: sum(1 for v in self.visits if v.state == state)
                for state in ("done", "late", "extra", "missed")
            },
        }


def calendar(course: Course, sessions: Sequence[PastSession], now: datetime) -> tuple[Visit, ...]:
    """Lay out a course: what was given and missed up to now, and what is planned.

    Parameters
    ----------
    course : Course
        Whose.
    sessions : sequence of PastSession
        From the ledger; brief ones are left out.
    now : datetime
        Time zone aware.

    Returns
    -------
    tuple of Visit
        By day. A course that is stopped has none planned.
    """
    schedule, today = course.schedule, course.day(now)
    first_plan = {slot.number: slot.day for slot in schedule.slots(course.start)}
    given: dict[date, list[PastSession]] = {}
    for past in sorted((s for s in sessions if s.counts), key=lambda s: s.started):
        if (day := course.day(past.started)) >= course.start:
            given.setdefault(day, []).append(past)
    visits: list[Visit] = []
    number, room = 1, 0
    last = max([today, *given])
    for day in _days(course.start, last):
        stopped = course.stopped_on(day)
        due = number <= schedule.sessions
        room = schedule.room_on(day, number) if due else 0
        for past in given.get(day, []):
            due, phase = number <= schedule.sessions, schedule.phase_of(number).name
            if not due or room < 1:
                state: Literal["done", "late", "extra"] = "extra"
            else:
                state = "late" if day > first_plan[number] else "done"
            late_d = max((day - first_plan[number]).days, 0) if due else 0
            visits.append(
                Visit(
                    day=day,
                    state=state,
                    number=number if due else None,
                    phase=phase,
                    session=past.session,
                    late_d=late_d,
                )
            )
            number, room = number + due, room - 1
        if day < today and not stopped:
            phase = schedule.phase_of(number).name
            visits += [Visit(day=day, state="missed", phase=phase)] * max(room, 0)
    if course.stopped is not None:
        return tuple(visits)
    if course.start <= today == last:
        for _ in range(max(room, 0)):
            visits.append(_planned(today, number, schedule))
            number += 1
    for slot in schedule.slots(max(course.start, last + timedelta(days=1)), number):
        visits.append(_planned(slot.day, slot.number, schedule))
    return tuple(visits)


def _planned(day: date, number: int, schedule: Schedule) -> Visit:
    return Visit(day=day, state="planned", number=number, phase=schedule.phase_of(number).name)


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def next_session(
    subject: str,
    course: Course | None,
    history: DoseHistory,
    limits: EffectiveLimits,
    now: datetime,
    *,
    protocol: Protocol | None = None,
) -> NextSession:
    """Work out when the next session may be.

    Parameters
    ----------
    subject : str
        The participant.
    course : Course or None
        Theirs; without one the limits alone decide.
    history : DoseHistory
        From the site's ledger, at ``now``.
    limits : EffectiveLimits
        In force.
    now : datetime
        Time zone aware.
    protocol : Protocol, optional
        With one, the time and the charge of the day are looked at too.
    """
    accelerated = course is not None and course.schedule.accelerated
    waits = waits_s(limits, history, now, accelerated=accelerated, protocol=protocol)
    reasons = [
        f"{name}: {limits[name]:g} {LIMITS[name].unit} ({LIMITS[name].meaning}); "
        f"{_duration(wait)} still to wait"
        for name, wait in waits.items()
        if math.isfinite(wait)
    ]
    blocked = standing_breaches(subject, history, limits, now, accelerated=accelerated)
    blocked += [_never(name, limits, subject) for name, wait in waits.items() if math.isinf(wait)]
    visits: tuple[Visit, ...] = ()
    planned: Visit | None = None
    if course is not None:
        visits = calendar(course, history.sessions, now)
        planned = next((v for v in visits if v.state == "planned"), None)
        blocked += course_standing(course, visits)
    earliest: datetime | None = None
    if not blocked:
        earliest = now + timedelta(seconds=max(waits.values(), default=0.0))
        if course is not None:
            earliest, more = too_early(course, visits, history, now, at=earliest)
            reasons += more
    return NextSession(
        subject=subject,
        now=now,
        earliest=earliest,
        latest_planned=None
        if course is None or planned is None
        else _midnight(planned.day + timedelta(days=1), course.zone),
        reasons=tuple(reasons),
        blocked_by=tuple(blocked),
        schedule=None if course is None else course.schedule.name,
        number=None if course is None else next_number(course, visits),
        sessions=None if course is None else course.schedule.sessions,
        phase="" if planned is None else planned.phase,
        time_zone="UTC" if course is None else course.time_zone,
        visits=visits,
    )


def too_early(
    course: Course, visits: Sequence[Visit], history: DoseHistory, now: datetime, *, at: datetime
) -> tuple[datetime, list[str]]:
    """Return when the schedule itself has room for the next session, and why not before.

    Parameters
    ----------
    course : Course
        Whose.
    visits : sequence of Visit
        Its calendar at ``now``.
    history : DoseHistory
        From the site's ledger, at ``now``.
    now : datetime
        Time zone aware.
    at : datetime
        Not before this instant.

    Returns
    -------
    earliest : datetime
        ``at``, where nothing speaks against it.
    reasons : list of str
        Empty there.
    """
    reasons: list[str] = []
    planned = next((v for v in visits if v.state == "planned"), None)
    if planned is None or planned.number is None:
        return at, reasons
    phase = course.schedule.phase_of(planned.number)
    passed_s = history.gap_s(now)
    # Where it is not known how long ago that was, nothing has passed.
    gap_s = max(phase.min_gap_h * 3600.0 - (0.0 if math.isnan(passed_s) else passed_s), 0.0)
    free_at = now + timedelta(seconds=math.ceil(gap_s))
    if free_at > at:
        at = free_at
        reasons.append(
            f"the phase {phase.name!r} asks for {phase.min_gap_h:g} h since the last session; "
            f"{_duration(gap_s)} still to wait"
        )
    day = _first_day(course, visits, at, now)
    if day != course.day(at):
        at = _midnight(day, course.zone)
        reasons.append(
            f"the next day that the schedule {course.schedule.name} has room on is "
            f"{day:%a %Y-%m-%d}"
        )
    return at, reasons


def _first_day(course: Course, visits: Sequence[Visit], at: datetime, now: datetime) -> date:
    """The first day, not before an instant, that the schedule has room on."""
    day, today = course.day(at), course.day(now)
    if any(v.state == "planned" and v.day == day for v in visits):
        return day
    number = next_number(course, visits) or course.schedule.sessions
    first = day + timedelta(days=1) if day == today else day
    return next(course.schedule.slots(max(first, course.start), number)).day


def _never(name: str, limits: EffectiveLimits, subject: str) -> Breach:
    """A limit that one session alone is past, today and on every other day."""
    return Breach(
        limit=name,
        value="one session is past it by itself",
        allowed=limits[name],
        unit=LIMITS[name].unit,
        source=limits.source(name),
        where=f"subject {subject}",
    )


def _midnight(day: date, zone: tzinfo) -> datetime:
    """The beginning of a day, in UTC."""
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)


def _duration(seconds: float) -> str:
    """Seconds as hours and minutes, rounded up."""
    hours, minutes = divmod(math.ceil(seconds / 60.0), 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
