"""The calendar of a course beside what was measured: what was given, missed, is planned, and why.

Worked out from the course and the dose ledger of the site (:mod:`tacs.course`) each time it is
asked for; the journal's decisions on the frequency stand beside the peaks they rest on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tacs.course import Course, Courses, next_allowed
from tacs.errors import RecordError
from tacs.limits import effective_limits
from tacs.projection import Projection, noted_words
from tacs.sitelog import limits_file, site_folder

__all__ = ["after_effects", "course_calendar", "decisions", "followed"]

FOLLOWED_MIN = 20.0
STATES = ("done", "late", "extra", "missed", "planned")
STANDING = ("course_stopped", "course_stop_rule", "course_complete")


def course_calendar(
    subject: str, *, now: datetime, site: Path | None = None
) -> tuple[dict[str, Any] | None, str | None]:
    """Return the calendar of a person's course, or why there is none.

    Parameters
    ----------
    subject : str
        BIDS label.
    now : datetime
        The day up to which sessions are done or missed; time zone aware.
    site : Path, optional
        The site's folder; :func:`tacs.sitelog.site_folder` where left out.

    Returns
    -------
    calendar : dict or None
        ``emulated`` (whether it is a course on emulated devices; one on real devices comes first),
        ``schedule``, ``title``, ``accelerated``, ``start``, ``time_zone``, ``enrolled_by``,
        ``as_of``, ``sessions``, ``counts`` by state (``done``, ``late``, ``extra``, ``missed``,
        ``planned``), ``visits`` (``day``, ``state``, ``number``, ``phase``, ``session``,
        ``late_d``), ``next`` (as ``tacs course next --json``), ``standing`` (stop, stop rules met,
        completeness: breaches as everywhere), ``entries`` (``at``, ``kind``, ``operator``,
        ``role``, ``reason``, ``noted``).
    why : str or None
        Why there is none.
    """
    site = site_folder() if site is None else site
    for emulated in (False, True):
        try:
            course = Courses(site, emulated=emulated).of(subject)
            if course is not None:
                return _calendar(subject, course, now, site, emulated), None
        except RecordError as exc:
            return None, f"the course is not shown: {exc}"
    return None, "on no course of this site"


def _calendar(
    subject: str, course: Course, now: datetime, site: Path, emulated: bool
) -> dict[str, Any]:
    found = next_allowed(
        subject, now, site=site, emulated=emulated,
        limits=effective_limits(limits_file(site)),
    )  # fmt: skip
    visits = [visit.to_dict() for visit in found.visits]
    return {
        "emulated": emulated,
        "schedule": course.schedule.name,
        "title": course.schedule.title,
        "accelerated": course.schedule.accelerated,
        "start": course.start.isoformat(),
        "time_zone": course.time_zone,
        "enrolled_by": course.enrolled_by,
        "as_of": now.isoformat(timespec="seconds"),
        "sessions": course.schedule.sessions,
        "counts": {state: sum(1 for v in visits if v["state"] == state) for state in STATES},
        "visits": visits,
        "next": found.to_dict(),
        "standing": [b.to_dict() for b in found.blocked_by if b.limit in STANDING],
        "entries": [_entry(e.kind, e.at, e.data) for e in course.entries],
    }


def _entry(kind: str, at: datetime, data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "at": at.isoformat(timespec="seconds"),
        "kind": kind,
        "operator": data.get("operator"),
        "role": data.get("role"),
        "reason": data.get("reason"),
        "noted": noted_words(data),
    }


def decisions(tables: Projection, subject: str) -> tuple[dict[str, Any], ...]:
    """Return the decisions on the frequency that hold, in order of time.

    Parameters
    ----------
    tables : Projection
        Of the data set.
    subject : str
        Whose.

    Returns
    -------
    tuple of dict
        ``at``, ``session``, ``choice``, ``verdict``, ``planned_hz``, ``measured_hz``, ``ci95_hz``,
        ``mismatch_hz``, ``limit_hz``, ``frequency_hz``, ``reason``, ``operator``, ``role``.
    """
    held = [r for r in tables.rows("decisions", subject=subject) if r["corrected_by"] is None]
    held.sort(key=lambda r: (str(r["at_utc"]), str(r["entry"])))
    names = (
        "session", "choice", "verdict", "planned_hz", "measured_hz", "mismatch_hz", "limit_hz",
        "frequency_hz", "reason", "operator", "role", "entry",
    )  # fmt: skip
    return tuple(
        {
            "at": row["at_utc"],
            "ci95_hz": None if row["ci_low_hz"] is None else [row["ci_low_hz"], row["ci_high_hz"]],
            **{name: row[name] for name in names},
        }
        for row in held
    )


def after_effects(tables: Projection, subject: str) -> tuple[dict[str, Any], ...]:
    """Return how power faded after the sessions with recordings at known times.

    Parameters
    ----------
    tables : Projection
        Of the data set.
    subject : str
        Whose.

    Returns
    -------
    tuple of dict
        ``session``, ``bins`` (``from_min``, ``to_min``, ``percent``, ``ci95_percent``), ``w0`` and
        ``tau_min`` of the exponential with ``w0_ci95``, or ``reason`` why there is none.
    """
    found = []
    for outcome in tables.rows("outcomes", subject=subject):
        bins = tables.rows("after_effects", subject=subject, session=outcome["session"])
        rows = [r for r in bins if None not in (r["from_min"], r["to_min"], r["percent"])]
        if not rows:
            continue
        low, high = outcome["decay_w0_low"], outcome["decay_w0_high"]
        found.append(
            {
                "session": outcome["session"],
                "w0": outcome["decay_w0"],
                "w0_ci95": None if low is None or high is None else [low, high],
                "tau_min": outcome["decay_tau_min"],
                "reason": outcome["decay_reason"],
                "bins": [
                    {
                        "from_min": row["from_min"],
                        "to_min": row["to_min"],
                        "percent": row["percent"],
                        "ci95_percent": [row["ci_low_percent"], row["ci_high_percent"]],
                    }
                    for row in rows
                ],
            }
        )
    return tuple(found)


def followed(effects: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the after-effects that were followed for longer than :data:`FOLLOWED_MIN` minutes.

    Parameters
    ----------
    effects : sequence of mapping
        Of :func:`after_effects`.
    """
    return [one for one in effects if one["bins"][-1]["to_min"] > FOLLOWED_MIN]
