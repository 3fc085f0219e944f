"""The demonstration of a course: what was planted is found, and every day is accounted for."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tacs import demo_course
from tacs.checking import prepare
from tacs.cli import call
from tacs.clock import calendar_is_pretended, pretended_calendar
from tacs.demo_course import course_start, run_course
from tacs.errors import InputError, SafetyRefusal
from tacs.journal import Journal
from tacs.projection import project
from tacs.readiness import refusals
from tacs.safety import Breach
from tacs.session_request import SessionRequest
from tacs.store import read_store
from tests.tacs.made import protocol

START = date(2026, 3, 3)  # a Tuesday


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_course, "REST_S", 60.0)
        patch.setattr(demo_course, "AFTER_MIN", (2.0, 21.0))
        folder = tmp_path_factory.mktemp("course") / "out"
        return run_course(folder, 3, 2, start=START, say=lambda _: None)


def test_every_session_finds_the_peak_of_its_day(made: dict[str, Any]) -> None:
    assert [one["session"] for one in made["sessions"]] == ["01", "02"]
    truths = [one["truth"]["peak_hz"] for one in made["sessions"]]
    assert truths[0] != truths[1]
    for one in made["sessions"]:
        low, high = one["ci95_hz"]
        # A minute of recording: the interval, and half of its width beyond.
        assert abs(one["peak_hz"] - one["truth"]["peak_hz"]) < 0.75 * (high - low)
        assert (one["outcome"], one["delivered"]["source"]) == ("done", "measured")


def test_the_calendar_has_a_missed_session_and_one_made_up(made: dict[str, Any]) -> None:
    course = made["track"]["course"]
    days = [(v["day"], v["state"]) for v in course["visits"] if v["state"] != "planned"]
    assert days == [("2026-03-03", "done"), ("2026-03-04", "missed"), ("2026-03-05", "late")]
    assert (course["counts"]["planned"], course["schedule"]) == (18, "classic-20")
    assert course["visits"][-1]["day"] == "2026-03-31"
    # The session ended at 9:26 on the day before: recording 1 min, forms 5 min, current 20 min.
    assert course["next"]["earliest"]["utc"].startswith("2026-03-06T03:26:0")
    assert course["standing"] == []


def test_the_frequency_is_kept_by_a_logged_decision(made: dict[str, Any]) -> None:
    (decision,) = made["track"]["decisions"]
    assert (decision["session"], decision["choice"], decision["operator"]) == ("02", "keep", "AB")
    first, second = (one["delivered"]["frequency_hz"] for one in made["sessions"])
    assert first == pytest.approx(second, abs=1e-3)
    assert decision["frequency_hz"] == pytest.approx(first, abs=0.01)
    assert decision["measured_hz"] == made["sessions"][1]["peak_hz"]


def test_ratings_forms_and_events_are_there(made: dict[str, Any]) -> None:
    totals = {s["scale"]: [p["total"] for p in s["points"]] for s in made["track"]["scales"]}
    assert set(totals) == {"phq9", "madrs"}
    for name, (first, last) in demo_course.PLANTED.items():
        assert len(totals[name]) == 2
        for total, planted in zip(totals[name], (first, last), strict=True):
            assert abs(total - planted) <= 1.5
    events = [(e["kind"], e["what"]) for e in made["track"]["events"]]
    assert events == [
        ("alert", "suicidality alert, phq9 item 9 = 1, acknowledged"),
        ("adverse", "mild adverse event"),
    ]
    kinds = [e.kind for e in Journal(made["dataset"]).entries()]
    assert kinds.count("adverse_effects") == 4
    assert made["track"]["after_effects"][-1]["bins"][-1]["to_min"] > 20.0


def test_the_store_and_the_figure_are_those_of_the_data_set(made: dict[str, Any]) -> None:
    expected = project(made["dataset"], site=Path(made["site"]))
    assert read_store(made["dataset"]).tables == expected.tables
    assert expected.digest() == made["store"]["digest"]
    assert expected.rows("problems") == []
    assert Path(made["figure"]).stat().st_size > 50_000
    assert "Research use only" in Path(made["report"]).read_text(encoding="utf-8")
    assert not calendar_is_pretended()


def test_the_dates_are_those_of_the_course(made: dict[str, Any]) -> None:
    at = [datetime.fromisoformat(s["at"]) for s in made["track"]["sessions"]]
    assert [one.date() for one in at] == [date(2026, 3, 3), date(2026, 3, 5)]
    rows = project(made["dataset"], site=Path(made["site"])).rows("audit")
    last = datetime(2026, 3, 5, tzinfo=UTC) + timedelta(days=1)
    assert all(datetime.fromisoformat(str(r["utc"])) < last for r in rows)


@pytest.mark.parametrize(
    ("sessions", "today", "start"),
    [
        (10, date(2026, 3, 17), date(2026, 3, 2)),  # Tuesday: eleven working days before it
        (2, date(2026, 3, 9), date(2026, 3, 4)),
        (2, date(2026, 3, 8), date(2026, 3, 4)),
    ],
)
def test_the_course_is_over_before_today(sessions: int, today: date, start: date) -> None:
    assert course_start(sessions, today) == start


@pytest.mark.parametrize("sessions", ["1", "21", "-3"])
def test_courses_that_are_refused(
    sessions: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["demo", "--course", sessions, "--out", str(tmp_path / "out")]) == 2
    assert "give 2 to 20 sessions" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("sessions", [-1, 1, 21, 1_000_000])
def test_a_number_of_sessions_is_refused_before_any_day_is_counted(sessions: int) -> None:
    with pytest.raises(InputError, match=f"--course {sessions}: give 2 to 20"):
        course_start(sessions, date(2026, 3, 1))


def test_a_course_that_may_not_go_on_ends_instead_of_waiting_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Breach(
        limit="course_stopped", value="stopped", allowed="going on", unit="", source="a test",
        where="nobody resumed it",
    )  # fmt: skip
    standing = SimpleNamespace(allowed=False, blocked_by=(stop,))
    monkeypatch.setattr(demo_course, "next_allowed", lambda *_, **__: standing)
    with pytest.raises(SafetyRefusal, match="nobody resumed it"):
        run_course(tmp_path / "out", 1, 2, start=START, say=lambda _: None)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(InputError, match="is not empty"):
        run_course(tmp_path, 1, 2, start=START, say=lambda _: None)


def test_a_real_device_is_refused_meanwhile(tmp_path: Path) -> None:
    setup = prepare("synthpal:/dev/ttyACM99", rig="emulated-synthpal", site=tmp_path / "site")
    request = SessionRequest(
        protocol=protocol(), setup=setup, subject="P01", session="01", dataset=tmp_path / "data",
    )  # fmt: skip
    assert "calendar" not in {breach.limit for breach in refusals(request)}
    with pretended_calendar(lambda: datetime(2026, 3, 2, 9, 0, tzinfo=UTC)):
        (told,) = (str(b) for b in refusals(request) if b.limit == "calendar")
    assert "emulated devices only" in told


def test_a_visit_is_the_same_person_on_another_day() -> None:
    from devices.participant import DAY_SD_HZ, VirtualParticipant

    person = VirtualParticipant(5)._patient.truth.peak_hz
    days = [VirtualParticipant(5, visit)._patient.truth.peak_hz for visit in range(1, 41)]
    assert VirtualParticipant(5, 7)._patient.truth.peak_hz == days[6]
    mean, n = sum(days) / len(days), len(days)
    assert abs(mean - person) < 4.0 * DAY_SD_HZ / math.sqrt(n)
    spread = math.sqrt(sum((hz - mean) ** 2 for hz in days) / (n - 1))
    assert 0.6 * DAY_SD_HZ < spread < 1.5 * DAY_SD_HZ
    with pytest.raises(InputError, match="visit 0"):
        VirtualParticipant(5, 0)
