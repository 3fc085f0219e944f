"""One person over a course: peaks, power, dose, ratings and events on one axis of time.

Everything comes from the data set's own tables (`tacs.projection`). Nothing is fitted to the course
as a whole: each number is judged beside what it would do without any cause.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tacs.clock import utc_now
from tacs.dataset import check_label
from tacs.errors import InputError
from tacs.projection import Projection, project
from tacs.track_calendar import after_effects, course_calendar, decisions
from tacs.track_scales import (
    RatingPoint,
    ScaleCourse,
    number_or_none,
    scale_courses,
    text_or_none,
)

if TYPE_CHECKING:
    from analysis.longitudinal_trial import NOf1

__all__ = [
    "MEASURES",
    "PEAK_RELIABILITY",
    "PEAK_SD_HZ",
    "Event",
    "PeakPoint",
    "RatingPoint",
    "ScaleCourse",
    "SessionPoint",
    "Track",
    "track",
]

# Between persons, and test-retest over weeks; assumed, see docs/track.md.
PEAK_SD_HZ, PEAK_RELIABILITY = 0.9, 0.9
MEASURES = ("ln_ratio", "adjusted_ln_ratio")
SHAMS = frozenset({"active_sham", "passive_sham"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakPoint:
    """A peak with its 95 % interval, and how far it lies from the first."""

    at: datetime
    session: str
    peak_hz: float
    ci95_hz: tuple[float, float] | None
    drift: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPoint:
    """A session: what was delivered, and what the band power did from before to after."""

    at: datetime
    session: str
    outcome: str | None
    blinded: bool
    emulated: bool | None
    waveform: str | None
    charge_c: float | None
    planned_charge_c: float | None
    charge_source: str | None
    duration_s: float | None
    current_peak_ma: float | None
    ln_ratio: float | None
    adjusted_ln_ratio: float | None
    percent: float | None
    ci95_percent: tuple[float, float] | None
    direction: str | None
    imcoh_matched_change: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened."""

    at: datetime
    what: str
    kind: Literal["adverse", "alert", "course", "decision", "session"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """The course of one person.

    Parameters
    ----------
    subject : str
        BIDS label.
    peaks, sessions, scales, events : tuple
        In the order of time; scales by name.
    peak_assumption : str
        What the minimal detectable change of the peak rests on.
    n_of_1 : NOf1 or None
        Two kinds of sessions; None where that cannot be compared.
    n_of_1_kinds : (str, str) or None
        Their names.
    n_of_1_reason : str or None
        Why there is no comparison.
    links : tuple of mapping
        Between band power and scores, exploratory.
    course : mapping or None
        The calendar, as :func:`tacs.track_calendar.course_calendar` gives it.
    course_reason : str or None
        Why there is none.
    decisions : tuple of mapping
        On the frequency, as :func:`tacs.track_calendar.decisions` gives them.
    after_effects : tuple of mapping
        As :func:`tacs.track_calendar.after_effects` gives them.
    notes : tuple of str
        What a reader should know.
    """

    subject: str
    peaks: tuple[PeakPoint, ...]
    sessions: tuple[SessionPoint, ...]
    scales: tuple[ScaleCourse, ...]
    events: tuple[Event, ...]
    peak_assumption: str
    n_of_1: NOf1 | None
    n_of_1_kinds: tuple[str, str] | None
    n_of_1_reason: str | None
    links: tuple[Mapping[str, Any], ...]
    course: Mapping[str, Any] | None
    course_reason: str | None
    decisions: tuple[Mapping[str, Any], ...]
    after_effects: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``tacs track show``."""
        n_of_1 = None if self.n_of_1 is None else self.n_of_1.to_dict()
        return {
            "subject": self.subject,
            "peaks": [_plain(p) for p in self.peaks],
            "peak_assumption": self.peak_assumption,
            "sessions": [_plain(s) for s in self.sessions],
            "scales": [
                {
                    **{k: v for k, v in asdict(s).items() if k not in {"baseline", "points"}},
                    "baseline": None if s.baseline is None else _plain(s.baseline),
                    "points": [_plain(p) for p in s.points],
                }
                for s in self.scales
            ],
            "events": [_plain(e) for e in self.events],
            "n_of_1": n_of_1,
            "n_of_1_kinds": None if self.n_of_1_kinds is None else list(self.n_of_1_kinds),
            "n_of_1_reason": self.n_of_1_reason,
            "links": [dict(link) for link in self.links],
            "course": None if self.course is None else dict(self.course),
            "course_reason": self.course_reason,
            "decisions": [dict(one) for one in self.decisions],
            "after_effects": [dict(one) for one in self.after_effects],
            "notes": list(self.notes),
        }


def track(
    dataset: str | Path,
    subject: str,
    *,
    kinds: Mapping[str, str] | None = None,
    measure: str = "ln_ratio",
    reliable: Mapping[str, tuple[float, float]] | None = None,
    peak_sd_hz: float = PEAK_SD_HZ,
    peak_reliability: float = PEAK_RELIABILITY,
    site: Path | None = None,
    now: datetime | None = None,
) -> Track:
    """Put a person's course together.

    Parameters
    ----------
    dataset : path
        The data set.
    subject : str
        BIDS label.
    kinds : mapping of str to str, optional
        Session label to its kind, two kinds in all; by default stimulation against sham, as far as
        the sessions are not blinded.
    measure : {"ln_ratio", "adjusted_ln_ratio"}
        What the two kinds are compared in.
    reliable : mapping of str to (float, float), optional
        By scale: standard deviation and reliability of the site, in place of the scale file's.
    peak_sd_hz, peak_reliability : float
        For the minimal detectable change of the peak.
    site : Path, optional
        The site's folder, with course and ledger; :func:`tacs.sitelog.site_folder` if left out.
    now : datetime, optional
        Up to when sessions of the calendar are done or missed; the present where left out. What
        was measured or entered later is shown all the same.

    Raises
    ------
    InputError
        No such data set, nothing of this person in it, or kinds that make no sense.
    analysis.errors.AnalysisError
        A standard deviation or a reliability out of range.
    """
    check_label(subject, "subject")
    if measure not in MEASURES:
        raise InputError(f"--measure {measure}: give {', '.join(MEASURES)}")
    tables = project(dataset, subject, site=site)
    if not tables.rows("subjects", subject=subject):
        known = ", ".join(str(r["subject"]) for r in tables.rows("subjects")[:20]) or "nobody"
        raise InputError(f"{dataset}: nothing of subject {subject!r}; there is: {known}")
    sessions = _sessions(tables, subject)
    peaks = _peaks(tables, subject, peak_sd_hz, peak_reliability)
    began = min((s.at for s in sessions if s.outcome not in {None, "refused"}), default=None)
    unknown = sorted((reliable or {}).keys() - {str(r["scale"]) for r in tables.rows("ratings")})
    if unknown:
        raise InputError(f"--reliable {unknown[0]}: no rating of this scale in the data set")
    scales = scale_courses(tables, subject, began, reliable or {})
    compared, names, reason = _n_of_1(sessions, kinds, measure)
    course, no_course = course_calendar(subject, now=now or utc_now(), site=site)
    return Track(
        subject=subject,
        peaks=peaks,
        sessions=sessions,
        scales=scales,
        events=_events(tables, subject, sessions),
        peak_assumption=(
            f"minimal detectable change from a spread of {peak_sd_hz:g} Hz between persons and a "
            f"test-retest reliability of {peak_reliability:g} (assumed unless your site has its "
            f"own); the peaks' own intervals leave out what differs between days"
        ),
        n_of_1=compared,
        n_of_1_kinds=names,
        n_of_1_reason=reason,
        links=tuple(link for scale in scales for link in _links(scale, sessions)),
        course=course,
        course_reason=no_course,
        decisions=decisions(tables, subject),
        after_effects=after_effects(tables, subject),
        notes=_notes(tables, subject, sessions, scales),
    )


def _sessions(tables: Projection, subject: str) -> tuple[SessionPoint, ...]:
    found = []
    for row in tables.rows("sessions", subject=subject):
        label = row["session"]
        key = {"subject": subject, "session": label}
        outcome = next(iter(tables.rows("outcomes", **key)), {})
        doses = {d["what"]: d for d in tables.rows("doses", **key)}
        given, planned = doses.get("delivered", {}), doses.get("planned", {})
        peak = next(iter(tables.rows("peaks", **key)), {})
        when = row["began_utc"] or peak.get("measured_utc")
        if when is None:
            continue
        found.append(
            SessionPoint(
                at=_at(when),
                session=str(label),
                outcome=text_or_none(row["outcome"]),
                blinded=row["blinded"] == 1,
                emulated=None if row["emulated"] is None else bool(row["emulated"]),
                waveform=text_or_none(row["waveform"]),
                charge_c=number_or_none(given.get("rectified_charge_c")),
                planned_charge_c=number_or_none(planned.get("rectified_charge_c")),
                charge_source=text_or_none(given.get("source")),
                duration_s=number_or_none(given.get("duration_s")),
                current_peak_ma=number_or_none(given.get("current_peak_ma")),
                ln_ratio=number_or_none(outcome.get("ln_ratio")),
                adjusted_ln_ratio=number_or_none(outcome.get("adjusted_ln_ratio")),
                percent=number_or_none(outcome.get("percent")),
                ci95_percent=_both(outcome.get("ci_low_percent"), outcome.get("ci_high_percent")),
                direction=text_or_none(outcome.get("direction")),
                imcoh_matched_change=number_or_none(outcome.get("imcoh_matched_change")),
            )
        )
    return tuple(sorted(found, key=lambda s: (s.at, s.session)))


def _peaks(
    tables: Projection, subject: str, sd_hz: float, reliability: float
) -> tuple[PeakPoint, ...]:
    from analysis.longitudinal import minimal_detectable_change, peak_drift

    minimal_detectable_change(sd_hz, reliability)  # out of range is told without any peak, too
    began = {r["session"]: r["began_utc"] for r in tables.rows("sessions", subject=subject)}
    rows = []
    for row in tables.rows("peaks", subject=subject):
        when = began.get(row["session"]) or row["measured_utc"]
        peak_hz = number_or_none(row["frequency_hz"])
        # A published method's answer has no interval and is no estimate of this suite.
        if when is not None and peak_hz is not None and row["replication"] != 1:
            rows.append((_at(when), row, peak_hz))
    rows.sort(key=lambda r: (r[0], str(r[1]["session"])))
    intervals = [_both(row["ci_low_hz"], row["ci_high_hz"]) for _, row, _ in rows]
    if not rows:
        return ()
    drifts = peak_drift([hz for *_, hz in rows], intervals, sd_hz=sd_hz, reliability=reliability)
    told = [None, *(drift.to_dict() for drift in drifts)]
    return tuple(
        PeakPoint(
            at=at, session=str(row["session"]), peak_hz=peak_hz, ci95_hz=interval, drift=drift
        )
        for (at, row, peak_hz), interval, drift in zip(rows, intervals, told, strict=True)
    )


def _n_of_1(
    sessions: Sequence[SessionPoint], kinds: Mapping[str, str] | None, measure: str
) -> tuple[NOf1 | None, tuple[str, str] | None, str | None]:
    """Two kinds of sessions, compared where there are two."""
    from analysis.longitudinal_trial import n_of_1

    if kinds is None:
        if any(s.blinded for s in sessions):
            return (
                None,
                None,
                "blinded sessions: their kinds are not known here; --kinds gives them",
            )
        named = {
            s.session: "sham" if s.waveform in SHAMS else "stimulation"
            for s in sessions
            if s.waveform is not None
        }
    else:
        unknown = sorted(kinds.keys() - {s.session for s in sessions})
        if unknown:
            raise InputError(f"--kinds: there is no session {unknown[0]!r}")
        if len(set(kinds.values())) != 2:
            raise InputError("--kinds: give two kinds, as in 01=a,02=b,03=b")
        named = dict(kinds)
    values: dict[str, list[float]] = {}
    for session in sessions:
        value = getattr(session, measure)
        if session.session in named and value is not None:
            values.setdefault(named[session.session], []).append(value)
    if len(values) != 2:
        return None, None, "one kind of sessions with a comparison only; nothing to set it against"
    first, second = sorted(values, key=lambda kind: (kind == "sham", kind))
    return n_of_1(values[first], values[second]), (first, second), None


def _links(scale: ScaleCourse, sessions: Sequence[SessionPoint]) -> list[Mapping[str, Any]]:
    """Band power of the sessions between two ratings beside the change of the score."""
    from analysis.longitudinal import exploratory_link

    whole = [p for p in scale.points if p.total is not None]
    power, change = [], []
    for before, after in pairwise(whole):
        between = [
            s.ln_ratio for s in sessions if s.ln_ratio is not None and before.at < s.at <= after.at
        ]
        if between and before.total is not None and after.total is not None:
            power.append(math.fsum(between) / len(between))
            change.append(after.total - before.total)
    if not power:
        return []
    rho = exploratory_link(power, change)
    return [
        {
            "scale": scale.scale,
            "n": len(power),
            "spearman": rho,
            "label": "exploratory",
            "caution": "visits of one person are no independent draws, and both sides drift over a "
            "course: no p value, no cause",
        }
    ]


def _events(
    tables: Projection, subject: str, sessions: Sequence[SessionPoint]
) -> tuple[Event, ...]:
    found = [
        Event(at=s.at, what=f"session {s.session}: {s.outcome}", kind="session")
        for s in sessions
        if s.outcome in {"stopped", "fault", "interrupted"}
    ]
    for row in tables.rows("alerts", subject=subject):
        rating = tables.rows("ratings", entry=row["entry"])[0]
        state = "acknowledged" if row["acknowledged_by"] is not None else "OPEN"
        what = f"suicidality alert, {rating['scale']} item {row['item']} = {row['answer']}, {state}"
        found.append(Event(at=_at(rating["at_utc"]), what=what, kind="alert"))
    for row in tables.rows("forms", subject=subject, kind="adverse_effects"):
        answers = {a["item"]: a["answer"] for a in tables.rows("form_answers", entry=row["entry"])}
        serious = answers.get("serious", "no")
        if serious not in {"no", None} and row["corrected_by"] is None:
            what = f"serious unwanted effect: {serious}, session {row['session']}"
            found.append(Event(at=_at(row["utc"]), what=what, kind="adverse"))
    for row in tables.rows("course_events", subject=subject):
        # Every rating is noted for the stop rules, too; it has a panel of its own.
        if row["kind"] == "note" and "adverse" not in str(row["noted"]):
            continue
        who = f" by {row['operator']}" if row["operator"] else ""
        what = str(row["noted"] or f"course: {row['kind']}{who}")
        if row["reason"]:
            what = f"{what} ({row['reason']})"
        kind: Literal["adverse", "course"] = "adverse" if row["noted"] else "course"
        found.append(Event(at=_at(row["at_utc"]), what=what, kind=kind))
    for row in tables.rows("decisions", subject=subject):
        if row["corrected_by"] is None and row["choice"] == "retune":
            what = (
                f"retuned from {row['planned_hz']:g} to {row['frequency_hz']:g} Hz before session "
                f"{row['session']} by {row['operator']} ({row['reason']})"
            )
            found.append(Event(at=_at(row["at_utc"]), what=what, kind="decision"))
    return tuple(sorted(found, key=lambda e: (e.at, e.what)))


def _notes(
    tables: Projection,
    subject: str,
    sessions: Sequence[SessionPoint],
    scales: Sequence[ScaleCourse],
) -> tuple[str, ...]:
    notes = []
    if len({s.emulated for s in sessions if s.emulated is not None}) > 1:
        notes.append("some sessions ran on an emulated device, others on a real one")
    elif any(s.emulated for s in sessions):
        notes.append("every session ran on an emulated device")
    if any(s.blinded for s in sessions):
        notes.append("blinded sessions: dose and kind are withheld until unblinding")
    if any(p.prorated for s in scales for p in s.points):
        notes.append("a total marked * rests on the mean of the other items for a missing one")
    told = {p.rater_blinded for s in scales for p in s.points}
    if told - {"yes"}:
        notes.append("not every rater was blind to the arm, or it is not known")
    mine = f"sub-{subject}/"
    notes += [
        f"cannot be read: {p['where']}: {p['what']}"
        for p in tables.rows("problems")
        if str(p["where"]).startswith((mine, "journal", mine[:-1]))
    ]
    return tuple(notes)


def _plain(one: Any) -> dict[str, Any]:
    data = asdict(one)
    return {
        k: v.isoformat() if isinstance(v, datetime) else list(v) if isinstance(v, tuple) else v
        for k, v in data.items()
    }


def _at(value: Any) -> datetime:
    return datetime.fromisoformat(str(value))


def _both(low: Any, high: Any) -> tuple[float, float] | None:
    return None if low is None or high is None else (float(low), float(high))
