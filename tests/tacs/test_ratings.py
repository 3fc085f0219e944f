"""Ratings: journalled first, corrected by later entries, alerts open until acknowledged."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tacs.cli import call
from tacs.errors import FileProblems, InputError
from tacs.journal import Journal
from tacs.ratings import (
    Rating,
    acknowledge,
    current_ratings,
    open_alerts,
    parse_items,
    parse_when,
    rate,
)
from tacs.record import verify_record
from tacs.scales import load_scale

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
WHO = ("--operator", "AB", "--role", "rater")
PHQ = "1=2,2=2,3=1,4=2,5=1,6=1,7=0,8=0,9="


def phq9(dataset: Path, suicidality: int = 0, **changes: Any) -> Rating:
    fields: dict[str, Any] = {
        "subject": "P01", "at": NOW, "now": NOW, "operator": "AB", "role": "rater", **changes,
    }  # fmt: skip
    answers = parse_items(f"{PHQ}{suicidality}")
    return rate(dataset, load_scale("phq9"), fields.pop("answers", answers), **fields)


def run(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *arguments: object,
    typed: str = "",
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    code = call([str(a) for a in arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


def test_a_rating_is_in_the_journal_with_every_item(tmp_path: Path):
    made = phq9(tmp_path, session="01", rater_blinded="yes")
    (entry,) = Journal(tmp_path).entries("rating")
    assert entry == made.entry
    assert entry.data["items"] == {
        "1": 2, "2": 2, "3": 1, "4": 2, "5": 1, "6": 1, "7": 0, "8": 0, "9": 0,
    }  # fmt: skip
    assert (entry.data["total"], entry.data["band"]) == (9.0, "mild")
    assert (entry.session, entry.data["rater_blinded"]) == ("01", "yes")
    assert verify_record(Journal(tmp_path).path) is None


def test_a_correction_takes_the_place_and_never_overwrites(tmp_path: Path):
    first = phq9(tmp_path)
    answers = dict(first.score.items) | {1: 3}
    second = phq9(tmp_path, answers=answers, corrects=first.entry.hash[:8])
    assert [r.entry.hash for r in current_ratings(tmp_path)] == [second.entry.hash]
    assert [e.hash for e in Journal(tmp_path).entries("rating")] == [
        first.entry.hash, second.entry.hash,
    ]  # fmt: skip
    gad = parse_items("1=1,2=1,3=1,4=1,5=1,6=1,7=1")
    with pytest.raises(InputError, match="a correction is of the same scale"):
        rate(
            tmp_path, load_scale("gad7"), gad, subject="P01", at=NOW, now=NOW, operator="AB",
            role="rater", corrects=second.entry.hash,
        )  # fmt: skip


def test_an_alert_is_open_until_that_entry_is_acknowledged(tmp_path: Path):
    alarming = phq9(tmp_path, suicidality=1)
    corrected = phq9(tmp_path, suicidality=0, corrects=alarming.entry.hash)
    assert [a.entry.hash for a in open_alerts(tmp_path)] == [alarming.entry.hash]
    assert corrected.score.alerts == {}
    with pytest.raises(InputError, match="not by the participant"):
        acknowledge(tmp_path, open_alerts(tmp_path), name="P", role="participant")
    with pytest.raises(FileProblems, match="role: must be one of"):
        acknowledge(tmp_path, open_alerts(tmp_path), name="Dr C", role="boss")
    assert len(open_alerts(tmp_path)) == 1
    acknowledge(tmp_path, open_alerts(tmp_path), name="Dr C", role="investigator", done="called")
    assert open_alerts(tmp_path) == []
    phq9(tmp_path, suicidality=3, at=NOW - timedelta(days=1))
    assert len(open_alerts(tmp_path)) == 1
    assert open_alerts(tmp_path, "P02") == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"at": NOW + timedelta(hours=1)}, "lies in the future"),
        ({"at": NOW.replace(tzinfo=None)}, "has no time zone"),
        ({"rater_blinded": "maybe"}, "must be yes, no, unknown"),
        ({"answers": {1: 4}}, "from 0 to 3, not 4"),
        ({"subject": "../x"}, "letters, digits"),
        ({"corrects": "0123456789"}, "no entry"),
    ],
)
def test_what_is_refused_leaves_no_entry(tmp_path: Path, changes: dict[str, Any], said: str):
    with pytest.raises(InputError, match=said):
        phq9(tmp_path, **changes)
    assert Journal(tmp_path).entries() == []


def test_items_and_times_as_they_are_typed():
    assert parse_items(" 1=2, 2=0,") == {1: 2, 2: 0}
    for wrong in ("1", "1=x", "a=1", "1=2,1=3", "1==2", "1=-1", "=cmd|x"):
        with pytest.raises(InputError, match="--items"):
            parse_items(wrong)
    assert parse_when("", NOW) == NOW
    assert parse_when("2026-03-01T09:30+01:00", NOW) == datetime(2026, 3, 1, 8, 30, tzinfo=UTC)
    assert parse_when("2026-03-01", NOW).hour == 12
    with pytest.raises(InputError, match="--at: 'yesterday'"):
        parse_when("yesterday", NOW)


def test_rate_from_items(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    code, out, _ = run(
        capsys, monkeypatch, "track", "rate", tmp_path / "d", "--subject", "P01", "--scale",
        "phq9", "--items", f"{PHQ}0", *WHO, "--json",
    )  # fmt: skip
    told = json.loads(out)
    assert code == 0
    assert (told["rating"]["total"], told["alerts"]) == (9.0, [])


def test_an_alert_keeps_the_command_from_ending_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    line = (
        "track", "rate", tmp_path / "d", "--subject", "P01", "--scale", "phq9", "--items",
        f"{PHQ}2", *WHO,
    )  # fmt: skip
    code, out, err = run(capsys, monkeypatch, *line, "--json")
    assert code == 4
    assert "SUICIDALITY ALERT: subject P01, phq9 item 9 = 2" in err
    assert "the rating is kept, and an alert is open" in json.loads(out)["error"]
    assert len(Journal(tmp_path / "d").entries("rating")) == 1
    # The next rating of this person meets the open alert again, and a participant cannot close it.
    code, _, err = run(capsys, monkeypatch, *line, "--acknowledge", "P:participant")
    assert code == 4
    code, _, err = run(capsys, monkeypatch, *line, typed="Dr C\n\n")
    assert code == 4
    assert len(open_alerts(tmp_path / "d")) == 3
    code, out, _ = run(capsys, monkeypatch, *line, typed="Dr C\ninvestigator\n")
    assert code == 0
    assert "alert acknowledged by Dr C (investigator)" in out
    assert open_alerts(tmp_path / "d") == []
    (entry,) = Journal(tmp_path / "d").entries("alert_acknowledged")
    assert (entry.operator, entry.role, len(entry.data["entries"])) == ("Dr C", "investigator", 4)


def test_alerts_are_listed_and_acknowledged_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    phq9(tmp_path, suicidality=1)
    code, out, _ = run(capsys, monkeypatch, "track", "alerts", tmp_path, "--json")
    assert code == 0
    assert json.loads(out)["open"][0]["items"] == {"9": 1}
    line = ("track", "acknowledge", tmp_path, "--operator", "Dr C", "--role", "investigator")
    code, out, _ = run(capsys, monkeypatch, *line)
    assert (code, "acknowledged by Dr C" in out) == (0, True)
    code, _, err = run(capsys, monkeypatch, *line)
    assert (code, err) == (2, "tacs: no alert is open\n")


def test_rate_at_the_prompt_with_a_missing_item_and_a_step_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    typed = "AB\nrater\n2\n9\nb\n1\n2\n1\n2\n1\n\n0\n0\n0\n"
    code, out, err = run(
        capsys, monkeypatch, "track", "rate", tmp_path / "d", "--subject", "P01", "--scale",
        "phq9", "--json", typed=typed,
    )  # fmt: skip
    assert code == 0, err
    rating = json.loads(out)["rating"]
    assert rating["items"] == {
        "1": 1, "2": 2, "3": 1, "4": 2, "5": 1, "7": 0, "8": 0, "9": 0,
    }  # fmt: skip
    assert (rating["prorated"], rating["total"]) == (True, pytest.approx(7 * 9 / 8))
    assert "a whole number from 0 to 3" in err
    assert "Little interest" in err
    code, _, err = run(
        capsys, monkeypatch, "track", "rate", tmp_path / "d", "--subject", "P01", "--scale",
        "bdi2", *WHO, typed="1\nq\n",
    )  # fmt: skip
    assert code == 2
    assert "nothing was kept" in err
    assert "licensed form" in err
    assert len(Journal(tmp_path / "d").entries()) == 1


def test_scales_are_listed_with_their_sources(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    code, out, _ = run(capsys, monkeypatch, "scales", "--json")
    assert (code, len(json.loads(out)["scales"])) == (0, 9)
    code, out, _ = run(capsys, monkeypatch, "scales", "--scale", "madrs")
    assert code == 0
    assert "sd 6.0, reliability 0.85" in out
    assert "not checked at the source" in out
    assert "ALERT from 1" in out


OWN = """\
subject,session,scale,at,rater,role,item_1,item_2,item_3,item_4,item_5,item_6,item_7,item_8,item_9
P01,01,phq9,2026-03-01,AB,rater,2,2,1,2,1,1,0,0,0
P01,,gad7,2026-03-01,AB,rater,1,1,1,1,1,1,1,,
P02,,phq9,2026-03-02T10:00+00:00,P02,participant,1,1,1,1,1,1,1,1,{alarm}
"""


def imported(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    text: str,
    *more: object,
) -> tuple[int, Any, str]:
    path = folder / "in.csv"
    path.write_text(text)
    code, out, err = run(
        capsys, monkeypatch, "track", "import", folder / "d", path, *more, "--json"
    )
    return code, json.loads(out), err


def test_a_table_is_taken_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    code, told, _ = imported(capsys, monkeypatch, tmp_path, OWN.format(alarm=0))
    assert (code, len(told["written"]), told["already_there"]) == (0, 3, 0)
    assert [r["total"] for r in told["written"]] == [9.0, 7.0, 8.0]
    code, told, _ = imported(capsys, monkeypatch, tmp_path, OWN.format(alarm=0))
    assert (code, told["written"], told["already_there"]) == (0, [], 3)
    code, told, err = imported(
        capsys, monkeypatch, tmp_path, OWN.format(alarm="").replace("AB", "X")
    )
    assert code == 2
    assert "line 4: the journal has other answers" in err
    code, told, _ = imported(capsys, monkeypatch, tmp_path, OWN.format(alarm=""), "--correct")
    assert (code, len(told["written"]), told["already_there"]) == (0, 1, 2)
    assert len(current_ratings(tmp_path / "d")) == 3
    assert len(Journal(tmp_path / "d").entries("rating")) == 4


def test_an_alert_in_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    code, told, err = imported(capsys, monkeypatch, tmp_path, OWN.format(alarm=1))
    assert (code, told["exit_code"]) == (4, 4)
    assert "subject P02, phq9 item 9 = 1" in err
    # Taken again, nothing is new, and the alert is still asked for.
    assert imported(capsys, monkeypatch, tmp_path, OWN.format(alarm=1))[0] == 4
    code, told, _ = imported(
        capsys, monkeypatch, tmp_path, OWN.format(alarm=1), "--acknowledge", "Dr C:investigator"
    )
    assert (code, told["alerts"][0]["subject"]) == (0, "P02")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("2,2,1,2,1,1,0,0,0", "2,2,1,2,1,1,0,0,4", "line 2: item 9: must be a whole number"),
        ("2,2,1,2,1,1,0,0,0", "2,x,1,2,1,1,0,0,0", "line 2: item 2: must be whole numbers"),
        ("P01,,gad7", "P01,,gad8", "line 3: scale 'gad8': no such scale"),
        ("P01,01,", "=cmd(),01,", "line 2: subject '=cmd()'"),
        ("item_9", "item_x", "column 'item_x': no such column"),
        ("AB,rater,2", "AB,boss,2", "line 2: role 'boss'"),
        ("2026-03-01,AB,rater,2", "1st of May,AB,rater,2", "line 2: at: '1st of May'"),
        ("2026-03-01,AB,rater,2", "2036-03-01,AB,rater,2", "lies in the future"),
        ("1,1,1,1,1,1,1,,", "1,1,1,1,1,1,1,1,", "line 3: item 8: gad7 has items 1 to 7"),
        ("1,1,1,1,1,1,1,,", "1,1,1,1,1,1,1", "line 3 has 13 cells"),
    ],
)
def test_a_bad_table_is_refused_whole(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    old: str,
    new: str,
    said: str,
):
    text = OWN.format(alarm=0)
    assert old in text
    code, _, err = imported(capsys, monkeypatch, tmp_path, text.replace(old, new, 1))
    assert code == 2
    assert said in err
    assert Journal(tmp_path / "d").entries() == []


MAPPING = """\
role = "participant"
rater_blinded = "yes"
[subjects]
"1" = "P01"
[sessions]
visit_1_arm_2 = "01"
[[scales]]
scale = "gad7"
items = "gad_{item}"
date = "gad_date"
complete = "gad_complete"
"""
EXPORT = """\
record_id;redcap_event_name;gad_1;gad_2;gad_3;gad_4;gad_5;gad_6;gad_7;gad_date;gad_complete
1;baseline_arm_2;2;2;2;2;2;2;2;2026-01-01;2
1;visit_1_arm_2;1;1;1;1;1;1;1;2026-02-01 08:30;2
1;visit_2_arm_2;1;1;1;1;1;1;;2026-03-01;0
1;visit_3_arm_2;;;;;;;;;0
"""


def test_a_redcap_export_leaves_the_arm_outside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "map.toml").write_text(MAPPING)
    more = ("--redcap", tmp_path / "map.toml", "--operator", "AB")
    code, told, _ = imported(capsys, monkeypatch, tmp_path, EXPORT, *more)
    assert code == 0
    assert [(r["subject"], r["session"], r["total"]) for r in told["written"]] == [
        ("P01", None, 14.0), ("P01", "01", 7.0),
    ]  # fmt: skip
    everything = b"".join(p.read_bytes() for p in (tmp_path / "d").rglob("*") if p.is_file())
    assert b"arm_2" not in everything
    code, told, err = imported(
        capsys, monkeypatch, tmp_path, EXPORT.replace("gad_7", "gad7"), *more
    )
    assert code == 2
    assert "the export has no field 'gad_7' (gad7)" in err
