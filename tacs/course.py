"""Courses: who is enrolled on which schedule, who stopped it and why, and what that forbids now.

A course is kept in the site's folder beside the dose ledger, as chained lines under a lock. It
holds no sessions: those are the ledger's, and :mod:`tacs.course_plan` puts the two together.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from tacs.clock import Moment, moment_now
from tacs.course_plan import (
    Course,
    CourseEntry,
    NextSession,
    Visit,
    calendar,
    course_standing,
    next_session,
    schedule_breaches,
    too_early,
    zone_named,
)
from tacs.dataset import check_label
from tacs.errors import InputError, SafetyRefusal
from tacs.ledger import Ledger
from tacs.limits import EffectiveLimits, effective_limits
from tacs.protocol import Protocol
from tacs.safety import Breach, DoseHistory
from tacs.schedule import SEVERITIES, Schedule
from tacs.sitelog import SiteLog, site_folder

__all__ = [
    "ROLES",
    "Course",
    "CourseEntry",
    "Courses",
    "NextSession",
    "Visit",
    "calendar",
    "course_breaches",
    "is_accelerated",
    "local_zone",
    "next_allowed",
    "next_session",
    "schedule_breaches",
    "zone_named",
]

ROLES = ("operator", "clinician", "investigator")


class Courses:
    """The courses of a site.

    Parameters
    ----------
    folder : path, optional
        The site's folder; :func:`tacs.sitelog.site_folder` where left out.
    emulated : bool
        Courses on emulated devices are kept apart, as their ledger is.
    """

    def __init__(self, folder: str | Path | None = None, *, emulated: bool) -> None:
        folder = site_folder() if folder is None else Path(folder)
        self.path = folder / ("courses-emulated.jsonl" if emulated else "courses.jsonl")
        self._log = SiteLog(self.path)

    def of(self, subject: str) -> Course | None:
        """Return the latest course of a participant, or None.

        Raises
        ------
        RecordError
            The file does not verify.
        """
        return self._read(subject).get(subject)

    def everybody(self) -> dict[str, Course]:
        """Return the latest course of everybody who has or had one, read in one go.

        Raises
        ------
        RecordError
            The file does not verify.
        """
        return self._read(None)

    def _read(self, only: str | None) -> dict[str, Course]:
        found: dict[str, Course] = {}
        entries: dict[str, list[CourseEntry]] = {}
        for line in self._log.lines():
            data = line.data
            subject = str(data["subject"])
            if only not in {None, subject}:
                continue
            if line.kind == "enrol":
                entries[subject] = []
                found[subject] = Course(
                    subject=subject,
                    schedule=Schedule.from_data(data["schedule"], str(self.path)),
                    start=date.fromisoformat(data["start"]),
                    time_zone=data["time_zone"],
                    enrolled_by=data["operator"],
                )
            else:
                at = Moment.from_dict(data["moment"]).utc
                entries.setdefault(subject, []).append(
                    CourseEntry(kind=line.kind, at=at, data=data)
                )
        return {
            subject: replace(course, entries=tuple(entries[subject]))
            for subject, course in sorted(found.items())
        }

    def subjects(self) -> list[str]:
        """Return everybody who has or had a course."""
        return sorted({str(line.data["subject"]) for line in self._log.lines()})

    def enrol(
        self,
        subject: str,
        schedule: Schedule,
        *,
        start: date,
        time_zone: str,
        operator: str,
        limits: EffectiveLimits,
        history: DoseHistory,
        now: Moment | None = None,
    ) -> Course:
        """Put a participant on a schedule.

        Parameters
        ----------
        subject : str
            BIDS label.
        schedule : Schedule
            An executable one.
        start : date
            First day that may hold a session; sessions given since count.
        time_zone : str
            IANA name.
        operator : str
            Who does it.
        limits : EffectiveLimits
            In force: a schedule that they cannot hold is refused now, not in its third week.
        history : DoseHistory
            From the site's ledger: whether a course that they have is complete.
        now : Moment, optional
            The present where left out.

        Raises
        ------
        InputError
            Not a label, no such time zone, nobody named, or a course is under way.
        SafetyRefusal
            The schedule is reference-only or asks for what a limit forbids.
        """
        check_label(subject, "subject")
        zone_named(time_zone)
        if not operator.strip():
            raise InputError("give --operator: the course keeps who enrolled the participant")
        if breaches := schedule_breaches(schedule, limits):
            raise SafetyRefusal(breaches)
        now = now or moment_now()

        def refuse() -> None:
            under_way = self.of(subject)
            if under_way is None:
                return
            # Of one that is stopped or complete nothing is planned.
            visits = calendar(under_way, history.sessions, now.utc)
            if any(v.state == "planned" for v in visits):
                raise InputError(
                    f"{subject}: is on {under_way.schedule.name} since {under_way.start}; stop "
                    f"that course first (`tacs course stop`)"
                )

        data = {
            "schedule": schedule.to_data(),
            "schedule_sha256": schedule.sha256(),
            "start": start.isoformat(),
            "time_zone": time_zone,
        }
        self._append("enrol", subject, operator, data, now, refuse)
        return Course(
            subject=subject,
            schedule=schedule,
            start=start,
            time_zone=time_zone,
            enrolled_by=operator,
        )

    def stop(
        self, subject: str, *, operator: str, role: str, reason: str, now: Moment | None = None
    ) -> None:
        """Stop a course until an investigator resumes it.

        Raises
        ------
        InputError
            No such course, it is stopped already, or who, as what or why is missing.
        """
        self._decide("stop", subject, operator, role, reason, now)

    def resume(
        self, subject: str, *, operator: str, role: str, reason: str, now: Moment | None = None
    ) -> None:
        """Enter an investigator's decision that a course goes on.

        It answers the stop rules met so far as well as a stop.

        Raises
        ------
        InputError
            No such course, not an investigator, or who or why is missing.
        """
        if role != "investigator":
            raise InputError(f"role {role!r}: only an investigator decides that a course goes on")
        self._decide("resume", subject, operator, role, reason, now)

    def note(
        self,
        subject: str,
        *,
        operator: str,
        adverse_event: str | None = None,
        discomfort_nrs: float | None = None,
        rating: tuple[str, float] | None = None,
        now: Moment | None = None,
    ) -> None:
        """Note what the stop rules look at.

        Parameters
        ----------
        subject, operator : str
            About whom, by whom.
        adverse_event : {"mild", "moderate", "severe"}, optional
            Severity.
        discomfort_nrs : float, optional
            0 to 10.
        rating : (str, float), optional
            A scale's name and its sum.
        now : Moment, optional
            The present where left out.

        Raises
        ------
        InputError
            No such course, nothing or an impossible value noted.
        """
        self._known(subject)
        noted: dict[str, Any] = {}
        if adverse_event is not None:
            if adverse_event not in SEVERITIES:
                raise InputError(
                    f"adverse event {adverse_event!r}: must be one of {', '.join(SEVERITIES)}"
                )
            noted["adverse_event"] = adverse_event
        if discomfort_nrs is not None:
            if not 0.0 <= discomfort_nrs <= 10.0:
                raise InputError(f"discomfort {discomfort_nrs:g}: must be 0 to 10")
            noted["discomfort_nrs"] = discomfort_nrs
        if rating is not None:
            if not rating[0].strip() or not math.isfinite(rating[1]):
                raise InputError(f"rating {rating[0]}={rating[1]:g}: must be a scale and a number")
            noted["rating"] = {"instrument": rating[0].strip(), "value": rating[1]}
        if not noted:
            raise InputError("nothing to note; give an adverse event, a discomfort or a rating")
        if not operator.strip():
            raise InputError("give --operator: the course keeps who noted it")
        self._append("note", subject, operator, noted, now or moment_now())

    def _decide(
        self, kind: str, subject: str, operator: str, role: str, reason: str, now: Moment | None
    ) -> None:
        course = self._known(subject)
        if role not in ROLES:
            raise InputError(f"role {role!r}: must be one of {', '.join(ROLES)}")
        if not operator.strip() or not reason.strip():
            raise InputError("give --operator and --reason: the course keeps who decided, and why")
        if kind == "stop" and course.stopped is not None:
            raise InputError(f"{subject}: the course is stopped already")
        data = {"role": role, "reason": reason}
        self._append(kind, subject, operator, data, now or moment_now())

    def _known(self, subject: str) -> Course:
        course = self.of(subject)
        if course is None:
            raise InputError(
                f"{subject}: is on no course; enrol with `tacs course enrol` (emulated and real "
                f"courses are kept apart)"
            )
        return course

    def _append(
        self,
        kind: str,
        subject: str,
        operator: str,
        data: Mapping[str, Any],
        now: Moment,
        refuse: Callable[[], None] | None = None,
    ) -> None:
        line = {"subject": subject, "operator": operator, **data, "moment": now.to_dict()}
        self._log.append(kind, line, refuse)


def next_allowed(
    subject: str,
    now: datetime | Moment | None = None,
    *,
    site: Path | None = None,
    emulated: bool = False,
    limits: EffectiveLimits | None = None,
    protocol: Protocol | None = None,
    dataset: str | Path | None = None,
) -> NextSession:
    """Read the site's files and work out when the next session may be.

    Parameters
    ----------
    subject : str
        The participant.
    now : datetime or Moment, optional
        The present where left out.
    site : Path, optional
        The site's folder; :func:`tacs.sitelog.site_folder` where left out.
    emulated : bool
        Which ledger, and which courses.
    limits : EffectiveLimits, optional
        In force; the table's defaults where left out.
    protocol : Protocol, optional
        With one, the time and the charge of the day are looked at too.
    dataset : path, optional
        Data set that is searched for sessions that the ledger does not know.

    Raises
    ------
    RecordError
        A file of the site does not verify.
    """
    now = now or moment_now()
    site = site_folder() if site is None else site
    history = Ledger(site, emulated=emulated).history(subject, now, dataset=dataset)
    return next_session(
        subject,
        Courses(site, emulated=emulated).of(subject),
        history,
        effective_limits() if limits is None else limits,
        now.utc if isinstance(now, Moment) else now,
        protocol=protocol,
    )


def is_accelerated(subject: str, *, site: Path | None = None, emulated: bool = False) -> bool:
    """Whether a participant is on an accelerated course that is not stopped."""
    course = Courses(site, emulated=emulated).of(subject)
    return course is not None and course.schedule.accelerated and course.stopped is None


def course_breaches(
    subject: str,
    now: datetime,
    history: DoseHistory,
    limits: EffectiveLimits,
    *,
    site: Path | None = None,
    emulated: bool = False,
) -> list[Breach]:
    """List what speaks against a session now by the participant's course, beside the limits.

    Parameters
    ----------
    subject : str
        The participant; one without a course has no breaches.
    now : datetime
        Time zone aware.
    history : DoseHistory
        From the site's ledger.
    limits : EffectiveLimits
        In force: whether the site still allows the schedule.
    site : Path, optional
        The site's folder; :func:`tacs.sitelog.site_folder` where left out.
    emulated : bool
        Which courses.

    Raises
    ------
    RecordError
        The courses' file does not verify.
    """
    course = Courses(site, emulated=emulated).of(subject)
    if course is None:
        return []
    visits = calendar(course, history.sessions, now)
    breaches = schedule_breaches(course.schedule, limits) + course_standing(course, visits)
    earliest, reasons = too_early(course, visits, history, now, at=now)
    if reasons:
        local = earliest.astimezone(course.zone)
        breaches.append(
            Breach(
                limit="course_too_early",
                value=now.astimezone(UTC).isoformat(timespec="seconds"),
                allowed=f"from {earliest.astimezone(UTC).isoformat(timespec='seconds')} "
                f"({local:%Y-%m-%d %H:%M %Z})",
                unit="",
                source=f"schedule {course.schedule.name}",
                where=f"subject {subject}; {'; '.join(reasons)}",
            )
        )
    return breaches


def local_zone() -> str:
    """Return the IANA name of this computer's time zone.

    Raises
    ------
    InputError
        The system does not tell it.
    """
    said = os.environ.get("TZ", "").removeprefix(":")
    if not said and os.name == "posix":
        link = Path("/etc/localtime")
        if not link.exists():
            return "UTC"  # what the system itself takes where none is set
        said = str(link.resolve()).partition("zoneinfo/")[2]
    if not said:
        raise InputError("this computer does not tell its time zone; give --time-zone")
    if said in {"Etc/UTC", "UCT", "Etc/UCT", "Zulu", "Universal"}:
        said = "UTC"
    zone_named(said)
    return said
