"""Courses: schedules, the calendar, when the next session may be, and what blocks it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacs.clock import Moment
from tacs.course import (
    Course,
    CourseEntry,
    Courses,
    NextSession,
    Visit,
    calendar,
    course_breaches,
    is_accelerated,
    local_zone,
    next_allowed,
    next_session,
    schedule_breaches,
    zone_named,
)
from tacs.errors import FileProblems, InputError, RecordError, SafetyRefusal
from tacs.history import DoseHistory, PastSession
from tacs.ledger import Dose, Ledger
from tacs.limits import EffectiveLimits, effective_limits
from tacs.safety import person_breaches
from tacs.schedule import Schedule, load_schedule, schedules
from tests.tacs.made import protocol as made_protocol
from tests.tacs.made import spoiled

MONDAY = date(2026, 3, 2)
PROTOCOL = made_protocol()
LIMITS = effective_limits()
WIDE = EffectiveLimits(
    {**LIMITS, "sessions_per_day": 2.0, "sessions_per_course": 36.0, "daily_duration_min": 60.0},
    LIMITS.set_by,
)
NAMES = ["accelerated-two-a-day", "classic-20", "daily-five", "long-36", "saint-reference"]
DATA = load_schedule("classic-20").to_data()


def at(day: int, hour: float = 9.0) -> datetime:
    """A time in March 2026, UTC."""
    return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=day - 1, hours=hour)


def history(now: datetime, *starts: datetime, minutes: float = 20.0) -> DoseHistory:
    """What the ledger tells of sessions of twenty minutes that were given before now."""
    length = timedelta(minutes=minutes)
    sessions = tuple(
        PastSession(
            session=f"{number:02d}",
            dataset="/data",
            started=start,
            ended=start + length,
            since_start_s=(now - start).total_seconds(),
            since_end_s=(now - start - length).total_seconds(),
            current_on_s=60.0 * minutes,
            rectified_charge_c={"Oz": 0.75, "Cz": 0.75},
            outcome="done",
            counts=minutes > 1.0,
        )
        for number, start in enumerate(starts, 1)
    )
    counting = [s for s in sessions if s.counts]
    return DoseHistory(
        last_session_end=max((s.ended for s in counting), default=None),
        since_last_session_s=min((s.since_end_s for s in counting), default=None),
        sessions_90d=len(counting),
        sessions=sessions,
    )


def course(name: str = "classic-20", **changes: Any) -> Course:
    fields: dict[str, Any] = {
        "subject": "P01",
        "schedule": load_schedule(name),
        "start": MONDAY,
        "time_zone": "UTC",
        "enrolled_by": "A. Person",
    }
    return Course(**{**fields, **changes})


def asked(
    now: datetime, *starts: datetime, limits: EffectiveLimits = LIMITS, **changes: Any
) -> NextSession:
    return next_session("P01", course(**changes), history(now, *starts), limits, now)


def states(visits: tuple[Visit, ...], until: date) -> list[tuple[int, str, int | None]]:
    return [(v.day.day, v.state, v.number) for v in visits if v.day <= until]


# -- schedules


def test_what_ships_is_sound_and_says_what_it_rests_on():
    found = schedules()
    assert sorted(found) == NAMES
    for name, schedule in found.items():
        assert schedule.name == name
        assert schedule.evidence
        data = schedule.to_dict()
        assert json.loads(json.dumps(data, allow_nan=False)) == data
    figures = {n: (s.sessions, s.per_day, s.to_dict()["days"]) for n, s in found.items()}
    assert figures == {
        "accelerated-two-a-day": (20, 2, 12),
        "classic-20": (20, 1, 26),
        "daily-five": (5, 1, 5),
        "long-36": (36, 1, 68),
        "saint-reference": (50, 10, 5),
    }
    assert [n for n, s in found.items() if s.reference_only] == ["saint-reference"]
    assert [n for n, s in found.items() if s.accelerated] == [NAMES[0], NAMES[-1]]


def test_the_long_course_is_five_a_week_and_then_three():
    slots = list(load_schedule("long-36").slots(MONDAY))
    assert [s.day.weekday() for s in slots[:6]] == [0, 1, 2, 3, 4, 0]
    assert [s.day.weekday() for s in slots[15:19]] == [0, 2, 4, 0]
    assert slots[14].day == MONDAY + timedelta(days=18)
    assert (slots[-1].number, slots[-1].day) == (36, MONDAY + timedelta(days=67))
    schedule = load_schedule("long-36")
    assert schedule.phase_of(15).name == "five a week"
    assert schedule.phase_of(16).name == schedule.phase_of(99).name == "three a week"
    assert schedule.left_in_phase(15) == 1
    assert schedule.left_in_phase(37) == 0


def phase(**changes: Any) -> list[dict[str, Any]]:
    return [{**DATA["phases"][0], **changes}]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"phases": phase(per_day=2)}, "phases[0].per_day: 2 is more than 1; two a day need acc"),
        (
            {"phases": phase(per_day=3), "accelerated": True},
            "phases[0].per_day: 3 is more than 2; no site may do more; set reference_only = true",
        ),
        ({"phases": phase(min_gap_h=11.0)}, "11 h is less than the 12 h that no site may go below"),
        (
            {"phases": phase(min_gap_h=3.9, per_day=2), "accelerated": True},
            "3.9 h is less than the 4 h that no site may go below (accelerated_interval_h)",
        ),
        ({"accelerated": True}, "accelerated: no phase has more than one session a day; say false"),
        ({"reference_only": True}, "why_reference_only: missing; say why nobody may be enrolled"),
        ({"why_reference_only": "x"}, "why_reference_only: only a reference_only schedule has one"),
        (
            {"phases": phase(weekdays=["mon", "mon"])},
            "phases[0].weekdays: a day stands there twice",
        ),
        ({"phases": phase(weekdays=[])}, "phases[0].weekdays: needs at least 1 entries"),
        ({"phases": phase(weekdays=["monday"])}, "phases[0].weekdays[0]: must be 'mon', 'tue'"),
        ({"phases": []}, "phases: needs at least 1 entries"),
        ({"phases": phase(sessions=0)}, "phases[0].sessions: must be at least 1, not 0"),
        ({"phases": phase(min_gap=4.0)}, "phases[0].min_gap: unknown key; the unit is missing"),
        ({"stop": {"discomfort_nrs": 11.0}}, "stop.discomfort_nrs: must be at most 10.0"),
        ({"stop": {"adverse_event": "bad"}}, "stop.adverse_event: must be 'mild', 'moderate'"),
    ],
)
def test_a_schedule_that_no_site_may_run_is_refused(changes: dict[str, Any], said: str):
    with pytest.raises(FileProblems) as caught:
        Schedule.from_data({**DATA, **changes}, "x.toml")
    assert any(said in problem for problem in caught.value.problems), caught.value.problems


@settings(max_examples=150, deadline=None, database=None)
@given(data=spoiled(DATA))
def test_a_spoiled_schedule_is_problems_or_a_schedule(data: dict[str, Any]):
    try:
        made = Schedule.from_data(data, "x")
    except FileProblems:
        return  # every other error fails
    if not made.reference_only:
        assert made.per_day <= 2
        assert all(p.min_gap_h >= 4.0 for p in made.phases)


def test_a_schedule_is_found_by_name_or_file(tmp_path: Path):
    path = tmp_path / "own.toml"
    load_schedule("daily-five").to_toml(path)
    assert load_schedule(path) == load_schedule("daily-five")
    with pytest.raises(InputError, match="no such schedule and no such file; shipped schedules:"):
        load_schedule("none")


def test_who_can_be_enrolled_at_all():
    (saint,) = schedule_breaches(load_schedule("saint-reference"), WIDE)
    assert saint.limit == "reference_only"
    assert "nothing is known about ten sessions of tACS a day" in str(saint)
    assert [b.limit for b in schedule_breaches(load_schedule("long-36"), LIMITS)] == [
        "sessions_per_course"
    ]
    assert [b.limit for b in schedule_breaches(load_schedule(NAMES[0]), LIMITS)] == [
        "sessions_per_day"
    ]
    for name in NAMES[:-1]:
        assert schedule_breaches(load_schedule(name), WIDE) == []


# -- the calendar


def test_done_late_missed_extra_and_planned():
    given_at = [at(2), at(3), at(5), at(7, 10.0), at(9), at(9, 20.0)]
    visits = calendar(course(), history(at(10), *given_at).sessions, at(10))
    assert states(visits, date(2026, 3, 12)) == [
        (2, "done", 1),
        (3, "done", 2),
        (4, "missed", None),
        (5, "late", 3),
        (6, "missed", None),
        (7, "extra", 4),  # a Saturday
        (9, "late", 5),
        (9, "extra", 6),  # a second one that day
        (10, "planned", 7),
        (11, "planned", 8),
        (12, "planned", 9),
    ]
    assert [v.late_d for v in visits][:7] == [0, 0, 0, 1, 0, 2, 3]
    assert sum(1 for v in visits if v.number is not None) == 20
    assert visits[-1].number == 20
    assert visits[-1].day == date(2026, 3, 27)


def test_a_brief_session_is_none_and_one_before_the_start_is_not_of_the_course():
    brief = history(at(3), at(2), minutes=0.9).sessions
    assert states(calendar(course(), brief, at(3)), date(2026, 3, 3)) == [
        (2, "missed", None),
        (3, "planned", 1),
    ]
    before = history(at(2, 12.0), at(1)).sessions
    assert states(calendar(course(), before, at(2, 12.0)), MONDAY) == [(2, "planned", 1)]


def test_two_a_day_share_a_day_and_a_missing_second_is_missed():
    visits = calendar(course(NAMES[0]), history(at(3), at(2)).sessions, at(3))
    assert states(visits, date(2026, 3, 3)) == [
        (2, "done", 1),
        (2, "missed", None),
        (3, "planned", 2),
        (3, "planned", 3),
    ]


def entry(kind: str, when: datetime, **data: Any) -> CourseEntry:
    return CourseEntry(
        kind=kind, at=when, data={"operator": "B", "role": "investigator", "reason": "r", **data}
    )


def test_days_of_a_stop_are_not_missed_and_nothing_is_planned():
    stopped = course(entries=(entry("stop", at(3, 15.0)),))
    visits = calendar(stopped, history(at(10), at(2), at(3)).sessions, at(10))
    assert states(visits, date(2026, 4, 30)) == [(2, "done", 1), (3, "done", 2)]
    resumed = course(entries=(entry("stop", at(3, 15.0)), entry("resume", at(6, 8.0))))
    visits = calendar(resumed, history(at(10), at(2)).sessions, at(10))
    assert states(visits, date(2026, 3, 10)) == [
        (2, "done", 1),
        (6, "missed", None),
        (9, "missed", None),
        (10, "planned", 2),
    ]


def test_days_are_days_of_the_time_zone():
    # At 04:30 UTC on Tuesday it is still Monday evening in Los Angeles.
    there = course(time_zone="America/Los_Angeles")
    visits = calendar(there, history(at(4), at(3, 4.5)).sessions, at(4))
    assert states(visits, date(2026, 3, 3))[0] == (2, "done", 1)
    assert states(calendar(course(), history(at(4), at(3, 4.5)).sessions, at(4)), MONDAY) == [
        (2, "missed", None)
    ]


# -- the next session


def test_the_first_session_is_allowed_on_its_day_and_not_before():
    found = asked(at(2))
    assert found.allowed
    assert (found.number, found.sessions, found.phase) == (1, 20, "four weeks")
    assert found.reasons == ()
    assert found.latest_planned == at(3, 0.0)
    early = asked(at(1, 23.9))
    assert not early.allowed
    assert early.earliest == at(2, 0.0)
    assert early.reasons == (
        "the next day that the schedule classic-20 has room on is Mon 2026-03-02",
    )


def test_after_a_session_the_interval_and_then_the_day_decide():
    soon = asked(at(2, 10.0), at(2))
    assert soon.earliest == at(3, 3.0) + timedelta(minutes=20)  # 18 h since 09:20
    assert "inter_session_interval_h: 18 h (since the end of the last session)" in soon.reasons[0]
    assert "17 h 20 min still to wait" in soon.reasons[0]
    friday = asked(at(6, 10.0), *(at(d) for d in range(2, 7)))
    assert friday.earliest == at(9, 0.0)
    assert friday.number == 6
    assert asked(at(3, 8.5), at(2)).allowed  # half an hour earlier than yesterday


def test_accelerated_two_a_day_and_never_a_third():
    options: dict[str, Any] = {"limits": WIDE, "name": NAMES[0]}
    assert asked(at(2, 10.0), at(2), **options).earliest == at(2, 13.0) + timedelta(minutes=20)
    third = asked(at(2, 18.0), at(2), at(2, 13.5), **options)
    assert third.earliest == at(3, 9.0)  # 24 h after the first began
    assert any("sessions_per_day" in reason for reason in third.reasons)
    assert asked(at(3, 9.0), at(2), at(2, 13.5), **options).allowed


def test_a_longer_gap_of_the_phase_counts():
    data = {**DATA, "phases": phase(min_gap_h=30.0)}
    slow = Schedule.from_data(data, "x")
    found = asked(at(3, 10.0), at(2), schedule=slow)
    assert found.earliest == at(3, 15.0) + timedelta(minutes=20)
    assert "asks for 30 h since the last session; 5 h 20 min still to wait" in found.reasons[0]


def test_without_a_course_the_limits_alone_decide():
    found = next_session("P01", None, history(at(7, 10.0), at(7)), LIMITS, at(7, 10.0))
    assert found.earliest == at(8, 3.0) + timedelta(minutes=20)
    assert (found.schedule, found.number, found.latest_planned, found.visits) == (
        None,
        None,
        None,
        (),
    )
    assert not found.complete


def test_with_a_protocol_the_time_and_the_charge_of_the_day_count():
    now = at(3, 8.0)
    before = history(now, at(2, 12.0), at(2, 12.5), minutes=20.0)
    long_ago = DoseHistory(sessions=before.sessions)  # as if none of them set the interval
    found = next_session("P01", None, long_ago, WIDE, now, protocol=PROTOCOL)
    assert found.earliest == now + timedelta(hours=4)  # two began within 24 h
    full = history(now, *(at(2, 12.0 + i) for i in range(3)), minutes=20.0)
    found = next_session("P01", None, full, WIDE, now, protocol=PROTOCOL)
    assert any(r.startswith("daily_duration_min") for r in found.reasons)
    too_much = made_protocol(duration_s=3700.0)
    found = next_session("P01", None, history(now), WIDE, now, protocol=too_much)
    assert found.earliest is None
    assert [b.limit for b in found.blocked_by] == ["daily_duration_min"]


def test_a_course_that_is_complete_says_so():
    starts = [slot.day for slot in load_schedule("daily-five").slots(MONDAY)]
    found = asked(at(10), *(at(d.day) for d in starts), name="daily-five")
    assert found.complete
    assert not found.allowed
    assert found.earliest is None
    assert [b.limit for b in found.blocked_by] == ["course_complete"]


@pytest.mark.parametrize(
    ("standing", "limit"),
    [
        ({"open_sessions": ("02 in /data",)}, "open_session"),
        ({"unknown_sessions": ("session 02 in /data",)}, "unknown_session"),
        ({"conflicts": ("x parts from y",)}, "ledger_conflict"),
        ({"latest_entry": at(4)}, "clock_backwards"),
    ],
)
def test_what_the_ledger_holds_against_it_blocks(standing: dict[str, Any], limit: str):
    found = next_session("P01", course(), DoseHistory(**standing), LIMITS, at(2))
    assert [b.limit for b in found.blocked_by] == [limit]
    assert found.earliest is None
    assert json.loads(json.dumps(found.to_dict()))["blocked_by"][0]["limit"] == limit


def test_the_next_session_is_told_in_local_time_and_utc():
    data = asked(at(2, 23.0), at(2, 19.0), time_zone="America/New_York").to_dict()
    assert data["earliest"] == {
        "utc": "2026-03-03T13:20:00+00:00",
        "local": "2026-03-03T08:20:00-05:00",
    }
    assert (data["done"], data["missed"]) == (1, 0)


def test_daylight_saving_moves_midnight_and_no_interval():
    # Clocks go forward in Berlin on Sunday 29 March: Monday begins an hour of UTC earlier.
    berlin = {"time_zone": "Europe/Berlin", "start": date(2026, 3, 27)}
    found = asked(at(27, 12.0), at(27, 9.0), **berlin)
    assert found.earliest == datetime(2026, 3, 29, 22, 0, tzinfo=UTC)
    every_day = Schedule.from_data({**DATA, "phases": phase(weekdays=["sat", "sun"])}, "x")
    found = asked(at(28, 21.0), at(28, 20.0), schedule=every_day, **berlin)
    assert found.earliest == at(29, 14.0) + timedelta(minutes=20)  # 18 h, though the day has 23


# -- stop rules and decisions


def blocked(found: NextSession) -> list[str]:
    return [str(b.value) for b in found.blocked_by if b.limit == "course_stop_rule"]


def test_sessions_missed_in_a_row_block_until_an_investigator_decides():
    assert blocked(asked(at(4), at(2))) == []
    assert blocked(asked(at(6), at(2))) == ["3 sessions missed in a row (stops at 3)"]
    # One given in between breaks the row, and a weekend in it does not count.
    assert blocked(asked(at(9), at(2), at(4), at(6))) == []
    assert blocked(asked(at(10), at(2), at(4))) == ["3 sessions missed in a row (stops at 3)"]
    decided = (entry("resume", at(6, 10.0)),)
    assert blocked(asked(at(6, 11.0), at(2), entries=decided)) == []
    assert blocked(asked(at(12), at(2), entries=decided)) == [
        "3 sessions missed in a row (stops at 3)"
    ]


@pytest.mark.parametrize(
    ("noted", "met"),
    [
        ({"adverse_event": "mild"}, []),
        ({"adverse_event": "moderate"}, ["moderate adverse event on 2026-03-02 (stops at mod"]),
        ({"adverse_event": "severe"}, ["severe adverse event on 2026-03-02 (stops at moderate)"]),
        ({"discomfort_nrs": 6.9}, []),
        ({"discomfort_nrs": 7.0}, ["discomfort 7 on 2026-03-02 (stops at 7)"]),
        ({"discomfort_nrs": float("nan")}, ["discomfort nan on 2026-03-02"]),
    ],
)
def test_what_was_noted_blocks_until_an_investigator_decides(noted: dict[str, Any], met: list[str]):
    entries = (entry("note", at(2, 10.0), **noted),)
    found = blocked(asked(at(2, 11.0), at(2), entries=entries))
    assert len(found) == len(met)
    assert all(text.startswith(start) for text, start in zip(found, met, strict=True))
    decided = (*entries, entry("resume", at(2, 12.0)))
    assert blocked(asked(at(2, 13.0), at(2), entries=decided)) == []


def test_a_rating_that_rises_blocks():
    def notes(*scores: float) -> tuple[CourseEntry, ...]:
        return tuple(
            entry("note", at(2, i), rating={"instrument": "phq-9", "value": score})
            for i, score in enumerate(scores)
        )

    assert blocked(asked(at(2), entries=notes(12.0))) == []
    assert blocked(asked(at(2), entries=notes(12.0, 16.9))) == []
    assert blocked(asked(at(2), entries=notes(12.0, 17.0))) == [
        "PHQ-9 rose by 5 since its first rating (stops at 5)"
    ]
    assert blocked(asked(at(2), entries=notes(12.0, 17.0, 13.0))) == []
    other = entry("note", at(2, 2.0), rating={"instrument": "MADRS", "value": 40.0})
    assert blocked(asked(at(2), entries=(*notes(12.0), other))) == []


def test_a_stopped_course_is_blocked_with_who_and_why():
    stopped = (entry("stop", at(2, 10.0), reason="headache"),)
    found = asked(at(3), at(2), entries=stopped)
    assert [b.limit for b in found.blocked_by] == ["course_stopped"]
    assert "stopped 2026-03-02 by B (investigator): headache" in str(found.blocked_by[0])
    assert asked(at(4), at(2), entries=(*stopped, entry("resume", at(3)))).allowed


# -- on disk


def enrol(
    site: Path, name: str = "daily-five", *, emulated: bool = False, **changes: Any
) -> Courses:
    courses = Courses(site, emulated=emulated)
    options: dict[str, Any] = {
        "start": MONDAY,
        "time_zone": "UTC",
        "operator": "A. Person",
        "limits": WIDE,
        "history": DoseHistory(),
        "now": Moment(at(2, 8.0)),
    }
    courses.enrol("P01", load_schedule(name), **{**options, **changes})
    return courses


def test_a_course_is_kept_with_its_schedule_and_its_decisions(tmp_path: Path):
    courses = enrol(tmp_path)
    assert courses.of("P02") is None
    courses.note("P01", operator="B", discomfort_nrs=2.0, now=Moment(at(2)))
    courses.stop("P01", operator="B", role="clinician", reason="flu", now=Moment(at(3)))
    kept = Courses(tmp_path, emulated=False).of("P01")
    assert kept is not None
    assert kept.schedule == load_schedule("daily-five")
    assert [(e.kind, e.at) for e in kept.entries] == [("note", at(2)), ("stop", at(3))]
    assert kept.stopped is not None
    assert kept.stopped.data["reason"] == "flu"
    courses.resume("P01", operator="C", role="investigator", reason="well", now=Moment(at(4)))
    kept = courses.of("P01")
    assert kept is not None
    assert kept.stopped is None
    assert kept.resumed_at == at(4)
    assert courses.subjects() == ["P01"]


def test_a_second_course_waits_for_the_first(tmp_path: Path):
    courses = enrol(tmp_path)
    with pytest.raises(InputError, match="is on daily-five since 2026-03-02; stop that course"):
        enrol(tmp_path)
    starts = [at(d) for d in range(2, 7)]
    enrol(tmp_path, "classic-20", history=history(at(9), *starts), now=Moment(at(9)))
    courses.stop("P01", operator="B", role="operator", reason="moved", now=Moment(at(10)))
    enrol(tmp_path, start=date(2026, 3, 11), now=Moment(at(10)))
    kept = courses.of("P01")
    assert kept is not None
    assert (kept.schedule.name, kept.entries) == ("daily-five", ())


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda c: c.stop("P02", operator="B", role="operator", reason="r"), "is on no course"),
        (lambda c: c.stop("P01", operator="B", role="chief", reason="r"), "must be one of oper"),
        (lambda c: c.stop("P01", operator="", role="operator", reason="r"), "give --operator and"),
        (lambda c: c.stop("P01", operator="B", role="operator", reason=" "), "give --operator and"),
        (lambda c: c.resume("P01", operator="B", role="clinician", reason="r"), "only an investi"),
        (lambda c: c.note("P01", operator="B"), "nothing to note"),
        (lambda c: c.note("P01", operator=" ", adverse_event="mild"), "give --operator"),
        (lambda c: c.note("P01", operator="B", adverse_event="bad"), "must be one of mild, mod"),
        (lambda c: c.note("P01", operator="B", discomfort_nrs=float("nan")), "must be 0 to 10"),
        (lambda c: c.note("P01", operator="B", rating=("", 3.0)), "must be a scale and a number"),
        (lambda c: c.note("P01", operator="B", rating=("X", float("nan"))), "scale and a number"),
    ],
)
def test_a_decision_needs_who_as_what_and_why(tmp_path: Path, call: Any, said: str):
    courses = enrol(tmp_path)
    before = courses.path.read_bytes()
    with pytest.raises(InputError, match=said):
        call(courses)
    assert courses.path.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"time_zone": "Mars/Base"}, "time zone 'Mars/Base': not known on this computer"),
        ({"operator": " "}, "give --operator"),
    ],
)
def test_an_enrolment_needs_a_zone_and_a_name(tmp_path: Path, changes: dict[str, Any], said: str):
    with pytest.raises(InputError, match=said):
        enrol(tmp_path, **changes)
    assert not (tmp_path / "courses.jsonl").exists()


def test_nobody_is_enrolled_on_what_cannot_be_run(tmp_path: Path):
    for name, limit in (("saint-reference", "reference_only"), ("long-36", "sessions_per_course")):
        with pytest.raises(SafetyRefusal, match=limit):
            enrol(tmp_path, name, limits=LIMITS)
    courses = enrol(tmp_path)
    courses.stop("P01", operator="B", role="operator", reason="r")
    with pytest.raises(InputError, match="stopped already"):
        courses.stop("P01", operator="B", role="operator", reason="r")


def test_a_changed_courses_file_is_refused(tmp_path: Path):
    courses = enrol(tmp_path)
    courses.path.write_text(courses.path.read_text().replace("P01", "P02"))
    with pytest.raises(RecordError, match="no session can be armed until somebody"):
        course_breaches("P01", at(2), DoseHistory(), WIDE, site=tmp_path)


def test_the_runner_is_told_what_the_course_holds_against_a_session(tmp_path: Path):
    def told(now: datetime, *starts: datetime, limits: EffectiveLimits = WIDE) -> list[str]:
        found = course_breaches("P01", now, history(now, *starts), limits, site=tmp_path)
        return [b.limit for b in found]

    assert told(at(2)) == []
    courses = enrol(tmp_path, NAMES[0])
    assert is_accelerated("P01", site=tmp_path)
    assert not is_accelerated("P01", site=tmp_path, emulated=True)
    assert told(at(2)) == []
    assert told(at(2), limits=LIMITS) == ["sessions_per_day"]  # the site has thought better of it
    assert told(at(1)) == ["course_too_early"]
    assert told(at(2, 11.0), at(2)) == ["course_too_early"]
    assert told(at(2, 14.0), at(2)) == []
    assert told(at(2, 22.0), at(2), at(2, 14.0)) == ["course_too_early"]
    assert told(at(7), *(at(d) for d in range(2, 7))) == ["course_too_early"]
    (early,) = course_breaches("P01", at(1), DoseHistory(), WIDE, site=tmp_path)
    assert "allowed from 2026-03-02T00:00:00+00:00 (2026-03-02 00:00 UTC)" in str(early)
    courses.stop("P01", operator="B", role="operator", reason="r", now=Moment(at(2, 15.0)))
    assert told(at(3)) == ["course_stopped"]
    assert not is_accelerated("P01", site=tmp_path)


def test_the_files_of_the_site_are_put_together(tmp_path: Path):
    enrol(tmp_path, emulated=True)
    ledger = Ledger(tmp_path, emulated=True)
    start = Moment(at(2), ("boot", 100.0))
    ledger.reserve("k", subject="P01", session="01", dataset=tmp_path, protocol=PROTOCOL, now=start)
    dose = Dose(current_on_s=1200.0, rectified_charge_c={"Oz": 0.75}, basis="measured")
    end = start.after(1200.0)
    ledger.book("k", dose=dose, outcome="done", ended=end.utc, head="", now=end)
    found = next_allowed("P01", end.after(3600.0), site=tmp_path, emulated=True)
    assert found.earliest == at(3, 3.0) + timedelta(minutes=20)
    assert [v.state for v in found.visits] == ["done", *["planned"] * 4]
    # A wall clock set forward by a day: the calendar turns, the interval does not.
    later = Moment(at(3, 10.0), ("boot", 100.0 + 1200.0 + 3600.0))
    found = next_allowed("P01", later, site=tmp_path, emulated=True)
    assert found.earliest == later.utc + timedelta(hours=17)
    assert next_allowed("P01", at(2), site=tmp_path).schedule is None


def test_the_computer_tells_its_time_zone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", ":Europe/Berlin")
    assert local_zone() == "Europe/Berlin"
    monkeypatch.setenv("TZ", "Etc/UTC")
    assert local_zone() == "UTC"
    monkeypatch.setenv("TZ", "nowhere")
    with pytest.raises(InputError, match="give an IANA name"):
        local_zone()
    assert zone_named("UTC") is UTC


# -- the rule and its waiting agree


@settings(max_examples=200, deadline=None, database=None)
@given(
    hours=st.lists(st.floats(0.5, 40.0), max_size=7),
    name=st.sampled_from(["daily-five", "classic-20", NAMES[0]]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
    limits=st.sampled_from([LIMITS, WIDE]),
    start_hour=st.floats(0.0, 24.0 * 7),
)
def test_at_the_time_told_nothing_speaks_against_it_and_before_something_does(
    hours: list[float], name: str, zone: str, limits: EffectiveLimits, start_hour: float
):
    moment = at(2, 0.0) + timedelta(hours=start_hour)
    starts = []
    for gap_h in hours:
        starts.append(moment)
        moment += timedelta(hours=gap_h, minutes=20)
    on = course(name, time_zone=zone, start=MONDAY - timedelta(days=1))

    def limits_broken(now: datetime) -> set[str]:
        broken = person_breaches(
            PROTOCOL,
            limits,
            subject="P01",
            history=history(now, *starts),
            now=now,
            accelerated=on.schedule.accelerated,
        )
        return {b.limit for b in broken}

    def told(now: datetime) -> NextSession:
        had = history(now, *starts)
        return next_session("P01", on, had, limits, now, protocol=PROTOCOL)

    found = told(moment)
    if found.earliest is None:
        assert found.blocked_by
        return
    if found.allowed:
        assert limits_broken(moment) == set()
        return
    assert limits_broken(found.earliest) == set()
    then = told(found.earliest)
    assert then.allowed or then.blocked_by  # a day missed while waiting may meet a stop rule
    before = found.earliest - timedelta(seconds=2)
    assert limits_broken(before) or not told(before).allowed
