"""``tacs recover DATASET --anchor LINE``: a record held against what was printed."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tacs.cli import call
from tacs.errors import InputError
from tacs.printed_anchor import anchor_line, check_printed
from tests.tacs.ledgers import PastSite, change_lines

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def site(tmp_path: Path, site_folder: Path) -> PastSite:
    return PastSite(tmp_path / "data", site_folder, NOW - timedelta(days=1))


@pytest.fixture
def record(site: PastSite) -> Path:
    return site.session("P01", "01", NOW)


def held(
    capsys: pytest.CaptureFixture[str], dataset: Path, line: str, *more: str
) -> tuple[int, str, str]:
    code = call(["recover", str(dataset), "--anchor", line, *more])
    out, err = capsys.readouterr()
    return code, out, err


def held_json(
    capsys: pytest.CaptureFixture[str], dataset: Path, line: str
) -> tuple[int, dict[str, Any]]:
    code, out, _ = held(capsys, dataset, line, "--json")
    return code, json.loads(out)


def test_a_record_as_it_was_printed(
    capsys: pytest.CaptureFixture[str], site: PastSite, record: Path
):
    line = anchor_line(record)
    code, told = held_json(capsys, site.dataset, line)
    assert (code, told) == (
        0,
        {
            "holds": True, "record": str(record), "subject": "P01", "session": "01",
            "printed_lines": 4, "problem": None, "later": "",
        },
    )  # fmt: skip
    assert held(capsys, site.dataset, line)[:2] == (
        0,
        f"{record}: session 01 of P01 is as it was printed, up to line 4\n",
    )


def test_as_a_person_types_it(capsys: pytest.CaptureFixture[str], site: PastSite, record: Path):
    parts = anchor_line(record).split()
    typed = "  ".join([*parts[:4], parts[4].upper(), parts[5].upper()])
    assert held_json(capsys, site.dataset, f" {typed}\n")[0] == 0


def test_a_record_that_was_changed_or_cut(
    capsys: pytest.CaptureFixture[str], site: PastSite, record: Path
):
    line, whole = anchor_line(record), record.read_bytes()
    change_lines(record, lambda lines: lines.pop())
    code, told = held_json(capsys, site.dataset, line)
    assert (code, told["holds"]) == (4, False)
    assert told["problem"] == "line 4: cut off; 4 lines were printed"
    record.write_bytes(whole.replace(b"set_level", b"set_lever"))
    code, out, _ = held(capsys, site.dataset, line)
    assert code == 4
    assert out == (
        f"{record}: session 01 of P01 is NOT as it was printed: line 3: its hash does not match; "
        f"it or a line before changed\n"
    )


def test_a_record_that_was_written_anew_although_its_chain_holds(
    capsys: pytest.CaptureFixture[str], site: PastSite, record: Path
):
    line = anchor_line(record)
    record.unlink()
    site.session("P01", "01", NOW, on_s=900.0, anchored=False)
    code, told = held_json(capsys, site.dataset, line)
    assert (code, told["problem"]) == (
        4,
        "line 4: another hash than was printed; the record was written anew",
    )


def test_a_record_that_is_gone(capsys: pytest.CaptureFixture[str], site: PastSite, record: Path):
    line = anchor_line(record)
    shutil.rmtree(record.parent)
    code, told = held_json(capsys, site.dataset, line)
    assert (code, told["record"]) == (4, str(record))
    assert told["problem"] == "no such record in this data set; one of 4 lines was printed"


def test_what_came_after_the_printed_line_is_told(
    capsys: pytest.CaptureFixture[str], site: PastSite, record: Path
):
    from tacs.record import RecordAppender

    line = anchor_line(record)
    with RecordAppender(record) as more:
        more.append("gap", 10.0, {}, sync=True)
    code, out, _ = held(capsys, site.dataset, line)
    assert (code, out.splitlines()[1]) == (0, "after that: 1 line(s) more, which were not printed")
    record.write_bytes(record.read_bytes() + b"{")
    _, told = held_json(capsys, site.dataset, line)
    assert told["later"] == "line 6: not a whole line of a record"


def test_an_attempt_of_the_session_is_found_too(
    capsys: pytest.CaptureFixture[str], site: PastSite, record: Path
):
    attempt = record.with_name(record.name.replace("_record", "_attempt-1_record"))
    line = anchor_line(record)
    record.rename(attempt)
    site.session("P01", "01", NOW + timedelta(hours=1), anchored=False)
    code, told = held_json(capsys, site.dataset, line)
    assert (code, told["record"]) == (0, str(attempt))


def test_what_is_no_printed_line(capsys: pytest.CaptureFixture[str], site: PastSite, record: Path):
    line = anchor_line(record)
    for typed, said in (
        ("hello", "'hello': not a printed anchor; it begins with TACS1 and has six parts"),
        (line.replace(" P01 ", " P02 "), "mistyped; its last four digits do not fit the rest"),
        (line[:-1], "not a printed anchor"),
    ):
        code, out, err = held(capsys, site.dataset, typed)
        assert (code, out) == (2, "")
        assert said in err
    code, told = held_json(capsys, site.dataset.with_name("none"), line)
    assert code == 2
    assert told["error"].endswith("none: no such data set")
    code, _, err = held(capsys, site.dataset, line, "--acknowledge", str(record))
    assert (code, "--anchor only looks" in err) == (2, True)


def test_a_line_that_names_nobody_leads_to_no_file(site: PastSite, record: Path):
    elsewhere = record.with_name("copy.jsonl")
    shutil.copy(record, elsewhere)
    with pytest.raises(InputError, match=r"subject of the printed line '-': must be"):
        check_printed(site.dataset, anchor_line(elsewhere))


def test_looking_closes_nothing(capsys: pytest.CaptureFixture[str], site: PastSite, record: Path):
    line = anchor_line(record)
    site.session("P02", "01", NOW, anchored=False, booked=False)
    before = {p: p.read_bytes() for p in site.folder.iterdir()}
    assert held(capsys, site.dataset, line)[0] == 0
    assert {p: p.read_bytes() for p in site.folder.iterdir()} == before
    assert len(site.ledger.history("P02", site.at(NOW)).open_sessions) == 1
