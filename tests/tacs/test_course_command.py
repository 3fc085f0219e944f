"""``tacs course`` and ``tacs ledger``: what they print, and what they say to bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tacs import clock, course
from tacs.cli import call
from tacs.clock import Moment
from tacs.dataset import SessionPaths, ensure_dataset
from tacs.ledger import Dose, Ledger
from tacs.record import RecordWriter
from tacs.schedule import load_schedule
from tests.tacs.made import protocol as made_protocol

MONDAY = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PROTOCOL = made_protocol()
WHO = ("--operator", "A. Person")
SetClock = Callable[[datetime], None]


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Set the clock that the commands read."""

    def set_clock(now: datetime) -> None:
        for module in (clock, course):
            monkeypatch.setattr(module, "moment_now", lambda: Moment(now))

    monkeypatch.setenv("TZ", "Europe/Berlin")
    set_clock(MONDAY)
    return set_clock


def tacs(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = call([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def tacs_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any]:
    code, out, _ = tacs(capsys, *arguments, "--json")
    return code, json.loads(out)


def give(
    site: Path, when: datetime, name: str, *, emulated: bool = False, minutes: float = 20.0
) -> None:
    ledger, begun = Ledger(site, emulated=emulated), Moment(when)
    ledger.reserve(
        name, subject="P01", session=name, dataset=Path("x"), protocol=PROTOCOL, now=begun
    )
    end = begun.after(60.0 * minutes)
    dose = Dose(current_on_s=60.0 * minutes, rectified_charge_c={"Oz": 0.75}, basis="measured")
    ledger.book(name, dose=dose, outcome="done", ended=end.utc, head="0", now=end)


@pytest.fixture
def enrolled(capsys: pytest.CaptureFixture[str], at: SetClock, site_folder: Path) -> Path:
    code, told, _ = tacs(
        capsys, "course", "enrol", "--subject", "P01", "--schedule", "daily-five", *WHO
    )
    assert code == 0
    assert told.splitlines() == [
        "P01 is on daily-five from 2026-03-02 (Europe/Berlin)",
        "next: session 1 of 5 (week)",
        "allowed now",
        "planned by Tue 2026-03-03 00:00:00 (UTC+0100), 2026-03-02 23:00:00 UTC",
    ]
    return site_folder


@pytest.mark.parametrize("group", ["course", "ledger"])
def test_help_names_every_command(capsys: pytest.CaptureFixture[str], group: str):
    code, out, _ = tacs(capsys, group, "--help")
    assert code == 0
    names = {
        "course": ("schedules", "enrol", "next", "show", "stop", "resume", "note"),
        "ledger": ("show", "verify", "acknowledge", "adopt", "clock"),
    }
    for name in names[group]:
        assert f"\n  {name} " in out
        assert tacs(capsys, group, name, "--help")[0] == 0


def test_schedules_are_listed_and_compared(capsys: pytest.CaptureFixture[str]):
    code, told = tacs_json(capsys, "course", "schedules")
    assert code == 0
    saint = told["schedules"][-1]
    assert (saint["name"], saint["reference_only"], saint["per_day"]) == (
        "saint-reference",
        True,
        10,
    )
    _, prose, _ = tacs(capsys, "course", "schedules")
    assert "saint-reference          50 sessions in 5 days, at most 10 a day  REFERENCE ONLY" in (
        prose
    )
    assert "nothing is known about ten sessions of tACS a day" in prose


@pytest.mark.parametrize(
    ("schedule", "limit"),
    [
        ("saint-reference", "reference_only"),
        ("long-36", "sessions_per_course"),
        ("accelerated-two-a-day", "sessions_per_day"),
    ],
)
def test_what_the_site_may_not_run_is_refused(
    capsys: pytest.CaptureFixture[str], at: SetClock, site_folder: Path, schedule: str, limit: str
):
    enrol = ("course", "enrol", "--subject", "P01", "--schedule", schedule, *WHO)
    code, told = tacs_json(capsys, *enrol)
    assert (code, [b["limit"] for b in told["breaches"]]) == (4, [limit])
    assert not (site_folder / "courses.jsonl").exists()


def test_the_sites_own_limits_are_looked_at(
    capsys: pytest.CaptureFixture[str], at: SetClock, site_folder: Path
):
    (site_folder / "site.toml").write_text(
        'site = "s"\napproved_by = "a"\nreason = "r"\n[limits]\nsessions_per_day = 2.0\n'
    )
    enrol = ("course", "enrol", "--subject", "P01", "--schedule", "accelerated-two-a-day", *WHO)
    code, told = tacs_json(capsys, *enrol, "--start", "2026-03-09")
    assert (code, told["allowed"], told["start"]) == (0, False, "2026-03-09")
    assert told["earliest"]["local"] == "2026-03-09T00:00:00+01:00"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("enrol", "--schedule", "none", *WHO), "none: no such schedule and no such file"),
        (("enrol", "--schedule", "daily-five", *WHO, "--start", "soon"), "a day like 2026-03-02"),
        (("enrol", "--schedule", "daily-five", *WHO, "--time-zone", "X/Y"), "give an IANA name"),
        (("enrol", "--schedule", "daily-five", "--operator", " "), "give --operator"),
        (("show",), "P01: is on no course; enrol with `tacs course enrol`"),
        (("stop", *WHO, "--reason", "r"), "P01: is on no course"),
        (("note", *WHO, "--discomfort", "much"), "--discomfort 'much': must hold a number"),
        (("note", *WHO, "--rating", "PHQ-9"), "--rating '': must hold a number"),
        (("next", "--protocol", "none.toml"), "none.toml: no such file"),
    ],
)
def test_bad_input_is_one_line(
    capsys: pytest.CaptureFixture[str], at: SetClock, arguments: tuple[str, ...], said: str
):
    code, out, err = tacs(capsys, "course", arguments[0], "--subject", "P01", *arguments[1:])
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1


def test_too_early_is_told_with_the_reason_and_the_time(
    capsys: pytest.CaptureFixture[str], at: SetClock, enrolled: Path
):
    give(enrolled, MONDAY, "01")
    at(MONDAY + timedelta(hours=3))
    code, out, _ = tacs(capsys, "course", "next", "--subject", "P01")
    assert code == 0
    assert out.splitlines() == [
        "next: session 2 of 5 (week)",
        "allowed from Tue 2026-03-03 04:20:00 (UTC+0100), 2026-03-03 03:20:00 UTC",
        "- inter_session_interval_h: 18 h (since the end of the last session); 15 h 20 min still "
        "to wait",
        "planned by Wed 2026-03-04 00:00:00 (UTC+0100), 2026-03-03 23:00:00 UTC",
    ]
    _, told = tacs_json(capsys, "course", "next", "--subject", "P01")
    assert (told["allowed"], told["done"], told["number"]) == (False, 1, 2)
    assert told["earliest"]["utc"] == "2026-03-03T03:20:00+00:00"


def test_without_a_course_the_limits_are_told(
    capsys: pytest.CaptureFixture[str], at: SetClock, site_folder: Path, tmp_path: Path
):
    give(site_folder, MONDAY - timedelta(hours=1), "01")
    _, out, _ = tacs(capsys, "course", "next", "--subject", "P01")
    assert out.startswith("P01 is on no course; by the limits alone:\nallowed from Tue 2026-03-03")
    file = tmp_path / "p.toml"
    PROTOCOL.to_toml(file)
    at(MONDAY + timedelta(hours=18))
    _, told = tacs_json(capsys, "course", "next", "--subject", "P01", "--protocol", file)
    assert told["allowed"]


def test_the_calendar_shows_what_became_of_each_day(
    capsys: pytest.CaptureFixture[str], at: SetClock, enrolled: Path
):
    give(enrolled, MONDAY, "01")
    give(enrolled, MONDAY + timedelta(days=2), "02")
    at(MONDAY + timedelta(days=3))
    note = ("course", "note", "--subject", "P01", *WHO, "--adverse-event", "mild")
    assert tacs(capsys, *note, "--discomfort", "2", "--rating", "PHQ-9=14")[0] == 0
    code, out, _ = tacs(capsys, "course", "show", "--subject", "P01")
    assert code == 0
    assert out.splitlines()[:8] == [
        "P01 on daily-five from 2026-03-02 (Europe/Berlin), enrolled by A. Person",
        "Mon 2026-03-02    1  done      session 01",
        "Tue 2026-03-03       missed",
        "Wed 2026-03-04    2  late      session 02  1 d after the first plan",
        "Thu 2026-03-05    3  planned",
        "Fri 2026-03-06    4  planned",
        "Mon 2026-03-09    5  planned",
        "2026-03-05T09:00 note: adverse_event mild, discomfort_nrs 2.0, operator "
        "A. Person, PHQ-9 14.0",
    ]
    _, told = tacs_json(capsys, "course", "show", "--subject", "P01")
    assert [v["state"] for v in told["visits"]] == ["done", "missed", "late", *["planned"] * 3]
    assert told["entries"][0]["PHQ-9"] == 14.0


def test_a_stop_rule_blocks_until_an_investigator_resumes(
    capsys: pytest.CaptureFixture[str], at: SetClock, enrolled: Path
):
    note = ("course", "note", "--subject", "P01", *WHO, "--adverse-event", "severe")
    _, out, _ = tacs(capsys, *note)
    assert "blocked: course_stop_rule" in out
    assert "severe adverse event on 2026-03-02 (stops at moderate)" in out
    resume = ("course", "resume", "--subject", "P01", *WHO, "--reason", "seen, unrelated")
    code, _, err = tacs(capsys, *resume, "--role", "clinician")
    assert code == 2
    assert "only an investigator decides that a course goes on" in err
    at(MONDAY + timedelta(minutes=1))
    code, out, _ = tacs(capsys, *resume, "--role", "investigator")
    assert code == 0
    assert out.splitlines()[:3] == [
        "P01: the course goes on",
        "next: session 1 of 5 (week)",
        "allowed now",
    ]
    stop = ("course", "stop", "--subject", "P01", *WHO, "--reason", "moved away")
    code, told = tacs_json(capsys, *stop)
    assert (code, told["stopped"], told["role"]) == (0, True, "operator")
    _, told = tacs_json(capsys, "course", "next", "--subject", "P01")
    assert [b["limit"] for b in told["blocked_by"]] == ["course_stopped"]
    assert told["earliest"] is None


def test_a_complete_course_says_so(
    capsys: pytest.CaptureFixture[str], at: SetClock, enrolled: Path
):
    for day in range(5):
        give(enrolled, MONDAY + timedelta(days=day), f"0{day}")
    at(MONDAY + timedelta(days=5))
    _, out, _ = tacs(capsys, "course", "next", "--subject", "P01")
    assert out == "complete: all 5 sessions were given\n"
    enrol = ("course", "enrol", "--subject", "P01", "--schedule", "classic-20", *WHO)
    code, told = tacs_json(capsys, *enrol)
    assert (code, told["number"]) == (0, 1)


def test_emulated_courses_are_kept_apart(
    capsys: pytest.CaptureFixture[str], at: SetClock, site_folder: Path
):
    enrol = ("course", "enrol", "--subject", "P01", "--schedule", "daily-five", *WHO, "--emulated")
    assert tacs(capsys, *enrol)[0] == 0
    give(site_folder, MONDAY, "01", emulated=True)
    at(MONDAY + timedelta(days=1))
    _, told = tacs_json(capsys, "course", "next", "--subject", "P01", "--emulated")
    assert (told["done"], told["number"]) == (1, 2)
    _, told = tacs_json(capsys, "course", "next", "--subject", "P01")
    assert told["schedule"] is None


def test_the_ledger_is_shown(capsys: pytest.CaptureFixture[str], at: SetClock, site_folder: Path):
    give(site_folder, MONDAY, "01")
    give(site_folder, MONDAY + timedelta(hours=1), "02", minutes=0.5)
    at(MONDAY + timedelta(hours=3))
    code, out, _ = tacs(capsys, "ledger", "show")
    assert code == 0
    assert out.splitlines()[1:] == [
        "P01: 1 sessions in 90 days, 20.5 min in the last 24 h",
        "  2026-03-02 09:00 UTC  session 01        20.0 min  done",
        "  2026-03-02 10:00 UTC  session 02         0.5 min  done  (brief)",
    ]
    _, told = tacs_json(capsys, "ledger", "show", "--subject", "P01")
    entry = told["subjects"][0]
    assert (entry["sessions_24h"], entry["sessions"][0]["hours_since_end"]) == (1, 2.667)
    assert entry["rectified_charge_24h_c"] == {"Oz": 1.5}


def test_the_ledger_is_verified_alone_and_against_a_copy(
    capsys: pytest.CaptureFixture[str], at: SetClock, site_folder: Path, tmp_path: Path
):
    give(site_folder, MONDAY, "01")
    code, told = tacs_json(capsys, "ledger", "verify")
    assert (code, told["ok"], told["lines"]) == (0, True, 2)
    give(tmp_path, MONDAY, "02")
    other = tmp_path / "ledger.jsonl"
    code, told = tacs_json(capsys, "ledger", "verify", other)
    assert (code, told["ok"]) == (5, False)
    assert told["missing"] == [
        "ledger.jsonl parts from ledger.jsonl after line 0: session 02 of P01 is only there"
    ]
    adopt = ("ledger", "adopt", other, *WHO, "--reason", "two laptops")
    code, out, _ = tacs(capsys, *adopt)
    assert (code, out) == (0, "session 02 of P01: 20.0 min (measured)\n")
    assert tacs(capsys, *adopt)[1] == "nothing to adopt: the ledger knows every session there\n"
    assert tacs_json(capsys, "ledger", "verify", other)[0] == 0
    path = site_folder / "ledger.jsonl"
    path.write_text(path.read_text().replace("P01", "P02"))
    code, out, _ = tacs(capsys, "ledger", "verify")
    assert code == 5
    assert out.splitlines()[-1] == (
        "no session can be armed until somebody has found out why; then: tacs ledger acknowledge"
    )
    code, _, err = tacs(capsys, "ledger", "show")
    assert code == 5
    assert "no session can be armed until somebody has found out why; then: tacs ledger" in err


def test_a_session_of_a_synced_data_set_is_found_and_adopted(
    capsys: pytest.CaptureFixture[str], at: SetClock, site_folder: Path, tmp_path: Path
):
    paths = SessionPaths.of(ensure_dataset(tmp_path / "data"), "P01", "07")
    first = {"emulated": False, "protocol": PROTOCOL.to_data()}
    with RecordWriter(paths.record) as record:
        record.append("session", 0.0, first, sync=True)
        record.append("intent", 1.0, {"verb": "start"}, sync=True)
        record.append("end", 2.0, {"outcome": "done"}, sync=True)
    look = ("course", "next", "--subject", "P01", "--dataset", tmp_path / "data")
    _, told = tacs_json(capsys, *look)
    assert [b["limit"] for b in told["blocked_by"]] == ["unknown_session"]
    adopt = ("ledger", "adopt", tmp_path / "data", *WHO, "--reason", "second laptop")
    code, told = tacs_json(capsys, *adopt)
    assert (code, told["adopted"]) == (0, ["session 07 of P01: 20.0 min (upper bound)"])
    _, told = tacs_json(capsys, *look)
    assert "unknown_session" not in [b["limit"] for b in told["blocked_by"]]


def test_a_clock_that_was_wrong_is_answered(
    capsys: pytest.CaptureFixture[str], at: SetClock, site_folder: Path
):
    give(site_folder, MONDAY + timedelta(days=300), "01")
    _, told = tacs_json(capsys, "course", "next", "--subject", "P01")
    assert [b["limit"] for b in told["blocked_by"]] == ["clock_backwards"]
    code, _, err = tacs(capsys, "ledger", "clock", *WHO, "--reason", " ")
    assert code == 2
    assert "give --operator and --reason" in err
    code, out, _ = tacs(capsys, "ledger", "clock", *WHO, "--reason", "flat battery")
    assert code == 0
    assert "entered that it is 2026-03-02 09:00 UTC" in out
    _, told = tacs_json(capsys, "course", "next", "--subject", "P01")
    assert told["blocked_by"] == []
    assert told["earliest"]["utc"] == "2026-03-03T03:00:00+00:00"


def test_a_schedule_of_ones_own_is_a_file(
    capsys: pytest.CaptureFixture[str], at: SetClock, tmp_path: Path
):
    path = tmp_path / "own.toml"
    load_schedule("daily-five").model_copy(update={"name": "own"}).to_toml(path)
    enrol = ("course", "enrol", "--subject", "P01", "--schedule", path, *WHO)
    code, told = tacs_json(capsys, *enrol)
    assert (code, told["schedule"]) == (0, "own")
