"""A participant on a schedule: the calendar, the stop rules, and when the next session may be.

Nothing here reads a file or a clock. What is done, missed, late and extra is worked out from the
course and the ledger's sessions whenever somebody asks, so that it cannot drift from what was
delivered.

The days of a schedule are calendar days of the course's time zone; every interval is counted in
time that has passed (:mod:`tacs.ledger`), so that daylight saving and time zones shorten none. A
missed session is not dropped: the course goes on until all have been given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tacs.errors import InputError
from tacs.limits import LIMITS, EffectiveLimits
from tacs.protocol import Protocol
from tacs.safety import Breach, DoseHistory, PastSession, standing_breaches, waits_s
from tacs.schedule import SEVERITIES, Schedule

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

WINDOW_D = 90  # of the limit sessions_per_course


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


def schedule_breaches(schedule: Schedule, limits: EffectiveLimits) -> list[Breach]:
    """List why nobody can be enrolled on a schedule at this site.

    Parameters
    ----------
    schedule : Schedule
        Any.
    limits : EffectiveLimits
        In force.
    """
    where = f"schedule {schedule.name}"
    if schedule.reference_only:
        return [
            Breach(
                limit="reference_only",
                value=schedule.name,
                allowed="an executable schedule",
                unit="",
                source=str(schedule.why_reference_only),
                where=where,
            )
        ]
    days = [slot.day for slot in schedule.slots(date(2024, 1, 1))]
    densest = max(
        sum(1 for day in days[first:] if (day - days[first]).days < WINDOW_D)
        for first in range(len(days))
    )
    return [
        Breach(
            limit=name,
            value=value,
            allowed=limits[name],
            unit=LIMITS[name].unit,
            source=limits.source(name),
            where=where,
        )
        for name, value in (
            ("sessions_per_day", float(schedule.per_day)),
            ("sessions_per_course", float(densest)),
        )
        if not LIMITS[name].allows(value, limits[name])
    ]


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
        number=None if course is None else _next_number(course, visits),
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


def course_standing(course: Course, visits: Sequence[Visit]) -> list[Breach]:
    """What of a course no waiting cures."""
    breaches = []

    def refuse(limit: str, value: str, allowed: str, cure: str) -> None:
        breaches.append(
            Breach(
                limit=limit,
                value=value,
                allowed=allowed,
                unit="",
                source=f"schedule {course.schedule.name}",
                where=f"subject {course.subject}; {cure}",
            )
        )

    decide = "an investigator decides (`tacs course resume`)"
    if course.stopped is not None:
        said = course.stopped.data
        refuse(
            "course_stopped",
            f"stopped {course.day(course.stopped.at)} by {said['operator']} ({said['role']}): "
            f"{said['reason']}",
            "a course under way",
            decide,
        )
    elif _next_number(course, visits) is None:
        refuse(
            "course_complete",
            f"all {course.schedule.sessions} sessions were given",
            "a session that is due",
            "enrol anew where another course is meant",
        )
    for met in _rules_met(course, visits):
        refuse("course_stop_rule", met, "none", decide)
    return breaches


def _rules_met(course: Course, visits: Sequence[Visit]) -> list[str]:
    """Stop rules met since an investigator last decided that the course goes on."""
    rules, since = course.schedule.stop, course.resumed_at
    notes = [e for e in course.entries if e.kind == "note"]
    fresh = [e for e in notes if since is None or e.at > since]
    found = []
    if rules.missed_in_a_row is not None:
        missed = 0
        for visit in visits:
            if visit.state == "missed":
                missed += since is None or visit.day > course.day(since)
            elif visit.state != "planned":
                missed = 0
        if missed >= rules.missed_in_a_row:
            found.append(f"{missed} sessions missed in a row (stops at {rules.missed_in_a_row})")
    for entry in fresh:
        severity, nrs = entry.data.get("adverse_event"), entry.data.get("discomfort_nrs")
        on = course.day(entry.at)
        if (
            rules.adverse_event is not None
            and severity is not None
            and SEVERITIES.index(severity) >= SEVERITIES.index(rules.adverse_event)
        ):
            found.append(f"{severity} adverse event on {on} (stops at {rules.adverse_event})")
        if rules.discomfort_nrs is not None and nrs is not None and not nrs < rules.discomfort_nrs:
            found.append(f"discomfort {nrs:g} on {on} (stops at {rules.discomfort_nrs:g})")
    if rules.rating is not None:
        instrument = rules.rating.instrument
        scores = [
            (entry, float(entry.data["rating"]["value"]))
            for entry in notes
            if entry.data.get("rating", {}).get("instrument", "").lower() == instrument.lower()
        ]
        if scores and scores[-1][0] in fresh:
            rise = scores[-1][1] - scores[0][1]
            if not rise < rules.rating.rise:
                found.append(
                    f"{instrument} rose by {rise:g} since its first rating "
                    f"(stops at {rules.rating.rise:g})"
                )
    return found


def _next_number(course: Course, visits: Sequence[Visit]) -> int | None:
    """The number of the session that is next; None where all have been given."""
    number = 1 + sum(1 for v in visits if v.number is not None and v.state != "planned")
    return number if number <= course.schedule.sessions else None


def _first_day(course: Course, visits: Sequence[Visit], at: datetime, now: datetime) -> date:
    """The first day, not before an instant, that the schedule has room on."""
    day, today = course.day(at), course.day(now)
    if any(v.state == "planned" and v.day == day for v in visits):
        return day
    number = _next_number(course, visits) or course.schedule.sessions
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
