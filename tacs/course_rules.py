"""What of a schedule or a course no waiting cures: the site's limits, stop rules, its end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from tacs.breach import Breach
from tacs.course_facts import Course, Visit
from tacs.limits import LIMITS, EffectiveLimits
from tacs.schedule import SEVERITIES, Schedule

__all__ = ["course_standing", "next_number", "schedule_breaches"]

WINDOW_D = 90  # of the limit sessions_per_course


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
    elif next_number(course, visits) is None:
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


def next_number(course: Course, visits: Sequence[Visit]) -> int | None:
    """Return the number of the session that is next; None where all have been given."""
    number = 1 + sum(1 for v in visits if v.number is not None and v.state != "planned")
    return number if number <= course.schedule.sessions else None
