"""The store: the same rows from the same data set, on both servers, and nothing of an arm."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tacs.cli import call
from tacs.errors import InputError, RecordError
from tacs.projection import COLUMNS, project
from tacs.ratings import acknowledge, open_alerts
from tacs.runner import run
from tacs.store import default_store, read_store, rebuild, store_url
from tests.data import ROOT
from tests.tacs import postgres
from tests.tacs.courses import Clinic
from tests.tacs.made import protocol
from tests.tacs.studies import ACTIVE, SHAM, study


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    yield from postgres.serve()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database on each of the two servers."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite'}"
    admin = store_url(request.getfixturevalue("server"))
    name = "t" + tmp_path.name.replace("-", "_").lower()[-40:]
    engine = sa.create_engine(admin, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f'DROP DATABASE IF EXISTS "{name}"')
        connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
    engine.dispose()
    return admin.set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def filled(clinic: Clinic) -> Clinic:
    """Two people, three sessions, ratings with a correction and alerts, adverse effects."""
    clinic.rated("madrs", 30, -1.0)
    first = clinic.rated("phq9", 27, -1.0)
    clinic.rated("phq9", 10, -1.0, corrects=first.entry.hash)
    clinic.session("01", 0.0, ln_ratio=0.2, peak_hz=10.2)
    clinic.session("02", 1.0, ln_ratio=0.1, peak_hz=10.3, waveform="active_sham")
    clinic.session("01", 1.5, subject="P02", outcome="stopped")
    clinic.rated("madrs", 14, 3.0, session="02")
    acknowledge(clinic.dataset, open_alerts(clinic.dataset), name="Dr C", role="investigator")
    clinic.rated("bdi2", 40, 4.0, subject="P02")
    clinic.journal.append(
        "adverse_effects",
        {"form": "adverse_effects", "version": "1", "when": "after", "answers": {"itching": 2}},
        subject="P01", session="01", operator="AB", role="operator",
    )  # fmt: skip
    clinic.journal.append(
        "identifiers", {"hashes": {"initials": "secret"}}, subject="P01", operator="AB",
        role="operator",
    )  # fmt: skip
    return clinic


def test_a_rebuild_gives_the_same_rows(filled: Clinic, url: str):
    expected = project(filled.dataset)
    made = rebuild(filled.dataset, url)
    assert made.digest == expected.digest()
    first = read_store(filled.dataset, url)
    assert first.tables == expected.tables
    again = rebuild(filled.dataset, url)
    assert (again.digest, read_store(filled.dataset, url).tables) == (made.digest, first.tables)
    assert {table: len(rows) for table, rows in first.tables.items()} == made.rows


def test_what_the_store_holds(filled: Clinic):
    rows = project(filled.dataset).rows
    assert [r["subject"] for r in rows("subjects")] == ["P01", "P02"]
    assert [(r["subject"], r["session"], r["outcome"]) for r in rows("sessions")] == [
        ("P01", "01", "done"), ("P01", "02", "done"), ("P02", "01", "stopped"),
    ]  # fmt: skip
    (dose,) = rows("doses", subject="P01", session="01", what="delivered")
    assert (dose["rectified_charge_c"], dose["source"]) == (0.75, "measured")
    (planned,) = rows("doses", subject="P01", session="01", what="planned")
    # (2/π)·1 mA·(1200 s less half of both ramps) = 0.7496 C
    assert planned["rectified_charge_c"] == pytest.approx(0.7496, abs=1e-4)
    (peak,) = rows("peaks", session="02")
    assert (peak["frequency_hz"], peak["ci_low_hz"]) == (10.3, pytest.approx(10.23))
    (outcome,) = rows("outcomes", session="02")
    assert (outcome["ln_ratio"], outcome["imcoh_matched_change"]) == (0.1, 0.01)
    held = [r for r in rows("ratings", subject="P01", scale="phq9") if r["corrected_by"] is None]
    assert [r["total"] for r in held] == [10.0]
    assert len(rows("ratings", scale="phq9")) == 2
    assert len(rows("rating_items", entry=held[0]["entry"])) == 9
    alerts = rows("alerts")
    assert {(r["subject"], r["acknowledged_by"]) for r in alerts} == {
        ("P01", "Dr C"), ("P02", None),
    }  # fmt: skip
    assert rows("form_answers", item="itching")[0]["answer"] == "2"
    assert {(r["name"], r["role"]) for r in rows("operators")} == {
        ("AB", "operator"), ("AB", "rater"), ("Dr C", "investigator"),
    }  # fmt: skip
    audit = rows("audit")
    assert [r["seq"] for r in audit] == list(range(len(filled.journal.entries())))
    assert audit[-1]["hash"] == filled.journal.head()
    assert "secret" not in json.dumps(project(filled.dataset).tables)


def test_more_entries_change_the_store_and_the_old_rows_stay(filled: Clinic, url: str):
    rebuild(filled.dataset, url)
    before = read_store(filled.dataset, url)
    filled.rated("madrs", 9, 10.0)
    rebuild(filled.dataset, url)
    after = read_store(filled.dataset, url)
    added = set(after.tables["ratings"]) - set(before.tables["ratings"])
    assert (len(added), set(before.tables["ratings"]) <= set(after.tables["ratings"])) == (1, True)


def test_the_default_store_is_a_safe_sqlite_file(filled: Clinic):
    rebuild(filled.dataset)
    path = default_store(filled.dataset)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    path.unlink()
    rebuild(filled.dataset)
    assert read_store(filled.dataset).tables == project(filled.dataset).tables


def test_settings_of_every_sqlite_connection(filled: Clinic, monkeypatch: pytest.MonkeyPatch):
    from tacs import store

    seen: list[tuple[Any, ...]] = []
    clear = store._clear

    def look(connection: sa.Connection, projection: Any) -> None:
        seen.extend(
            connection.exec_driver_sql(f"PRAGMA {name}").one()
            for name in ("synchronous", "foreign_keys", "busy_timeout")
        )
        clear(connection, projection)

    monkeypatch.setattr(store, "_clear", look)
    rebuild(filled.dataset)
    assert [tuple(row) for row in seen] == [(2,), (1,), (120_000,)]


def test_a_rebuild_that_fails_leaves_the_old_store(
    filled: Clinic, url: str, monkeypatch: pytest.MonkeyPatch
):
    rebuild(filled.dataset, url)
    before = read_store(filled.dataset, url).tables
    filled.rated("madrs", 9, 10.0)
    from tacs import store

    # A row whose reference is missing, in the last table but one.
    broken = project(filled.dataset)
    rows = (("f" * 64, 1, 3),)
    tables = {**broken.tables, "rating_items": (*broken.tables["rating_items"], *rows)}
    monkeypatch.setattr(store, "project", lambda _, **__: type(broken)(tables))
    with pytest.raises(InputError, match="the database refused it"):
        rebuild(filled.dataset, url)
    assert read_store(filled.dataset, url).tables == before


def test_a_rebuild_that_is_killed_leaves_the_old_store(filled: Clinic, url: str):
    rebuild(filled.dataset, url)
    before = read_store(filled.dataset, url).tables
    filled.rated("madrs", 9, 10.0)
    code = (
        "import os, signal, sys\n"
        "from tacs import store\n"
        "insert = store.sa.insert\n"
        "def dying(table):\n"
        "    if table.name == 'tacs_ratings':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return insert(table)\n"
        "store.sa.insert = dying\n"
        "store.rebuild(sys.argv[1], sys.argv[2])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(filled.dataset), url], cwd=ROOT, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert read_store(filled.dataset, url).tables == before
    rebuild(filled.dataset, url)
    assert read_store(filled.dataset, url).tables == project(filled.dataset).tables


def test_two_rebuilds_at_once_both_end_well(filled: Clinic, url: str):
    code = "import sys; from tacs.store import rebuild; rebuild(sys.argv[1], sys.argv[2])"
    line = [sys.executable, "-c", code, str(filled.dataset), url]
    running = [
        subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    told = [one.communicate(timeout=120)[1] for one in running]
    assert [one.returncode for one in running] == [0, 0], told
    assert read_store(filled.dataset, url).tables == project(filled.dataset).tables


def test_a_wait_for_another_rebuild_is_said(filled: Clinic, url: str):
    """The other one ends as soon as somebody was told."""
    rebuild(filled.dataset, url)
    engine = sa.create_engine(store_url(url), poolclass=sa.pool.NullPool)
    other = engine.connect()
    if url.startswith("sqlite"):
        other.exec_driver_sql("INSERT INTO tacs_meta VALUES ('x', 'y')")
    else:
        other.exec_driver_sql("SELECT pg_advisory_xact_lock(8122017)")
    told: list[str] = []

    def say(text: str) -> None:
        told.append(text)
        other.rollback()

    rebuild(filled.dataset, url, say=say)
    other.close()
    engine.dispose()
    (line,) = told
    assert "another program writes to this store; waiting" in line
    assert read_store(filled.dataset, url).tables == project(filled.dataset).tables


def test_one_persons_part_is_read_alone(filled: Clinic):
    whole, part = project(filled.dataset), project(filled.dataset, "P01")
    for table in ("peaks", "doses", "outcomes", "ratings", "alerts", "forms"):
        assert part.rows(table) == whole.rows(table, subject="P01"), table
    assert part.rows("audit") == whole.rows("audit")


def test_a_database_of_another_data_set_or_of_others_is_left_alone(
    filled: Clinic, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rebuild(filled.dataset, url)
    other = Clinic(tmp_path / "other", monkeypatch)
    other.rated("madrs", 30, 0.0)
    with pytest.raises(InputError, match="the store of the data set 'data', not of 'other'"):
        rebuild(other.dataset, url)
    engine = sa.create_engine(store_url(url), poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE sessions (theirs INTEGER)")
        connection.exec_driver_sql("INSERT INTO sessions VALUES (7)")
    rebuild(filled.dataset, url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT theirs FROM sessions").all() == [(7,)]
    engine.dispose()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "is not a database URL"),
        ("mysql://x/y", "mysql: the store is kept in sqlite or postgresql"),
        ("sqlite://", "is gone at once"),
    ],
)
def test_urls_that_are_refused(text: str, said: str):
    with pytest.raises(InputError, match=said):
        store_url(text)


def test_a_server_that_is_not_there_is_one_line_without_the_password(filled: Clinic):
    with pytest.raises(InputError, match="the database refused it") as caught:
        rebuild(filled.dataset, "postgresql://me:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_left_alone(filled: Clinic, tmp_path: Path):
    path = tmp_path / "letter.txt"
    path.write_text("Dear colleague, " * 200)
    with pytest.raises(InputError, match="the database refused it"):
        rebuild(filled.dataset, f"sqlite:///{path}")
    assert path.read_text() == "Dear colleague, " * 200


def test_what_cannot_be_read_is_told_and_the_rest_stands(filled: Clinic):
    peak = next(filled.dataset.glob("derivatives/tacs/sub-P01/ses-01/*_peak.json"))
    peak.write_text("{")
    record = next(filled.dataset.glob("sourcedata/tacs/sub-P01/ses-02/*_record.jsonl"))
    record.write_bytes(record.read_bytes().replace(b'"tacs"', b'"tAcs"').replace(b"done", b"Done"))
    found = project(filled.dataset)
    problems = [str(p["where"]) for p in found.rows("problems")]
    assert any("peak.json" in where for where in problems)
    assert any("ses-02" in where for where in problems)
    assert found.rows("sessions", session="02")[0]["record_verifies"] == 0
    assert len(found.rows("peaks")) == 1


def test_a_journal_that_does_not_verify_makes_no_store(filled: Clinic):
    path = filled.journal.path
    path.write_bytes(path.read_bytes().replace(b'"total":30', b'"total":10'))
    with pytest.raises(RecordError):
        rebuild(filled.dataset)
    assert not default_store(filled.dataset).exists()


def test_a_blinded_session_leaves_nothing_of_its_arm(tmp_path: Path):
    study("A", ACTIVE, SHAM, {"waveform": "passive_sham"})
    blinded = protocol(duration_s=60.0, blinding={"label": "A"})
    dataset = tmp_path / "data"
    for number in range(6):  # two blocks of three: every arm twice
        run(
            blinded, "emulated:synthpal", subject=f"P{number}", session="01", dataset=dataset,
            clock="virtual",
        )  # fmt: skip
        derived = dataset / "derivatives" / "tacs" / f"sub-P{number}" / "ses-01"
        derived.mkdir(parents=True)
        (derived / f"sub-P{number}_ses-01_outcome.json").write_text(
            json.dumps({"power": {"ln_ratio": 0.1}, "as_predicted": True,
                        "expected_direction": "increase"})
        )  # fmt: skip
    found = project(dataset)
    assert found.rows("doses") == []
    sessions = found.rows("sessions")
    assert len(sessions) == 6
    own = {"subject", "session", "began_utc", "record_head"}
    shown = [{k: v for k, v in row.items() if k not in own} for row in sessions]
    assert all(one == shown[0] for one in shown)
    assert (shown[0]["blinded"], shown[0]["waveform"], shown[0]["protocol_sha256"]) == (
        1, None, None,
    )  # fmt: skip
    hidden = [(r["as_predicted"], r["expected_direction"]) for r in found.rows("outcomes")]
    assert hidden == [(None, None)] * 6
    text = json.dumps(found.tables)
    assert not any(word in text for word in ("sham", "passive", "plateau"))


def test_columns_are_named_once():
    for table, names in COLUMNS.items():
        assert len(set(names)) == len(names), table


def test_rebuild_from_the_command_line(filled: Clinic, capsys: pytest.CaptureFixture[str]):
    assert call(["store", "rebuild", str(filled.dataset), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"]["sessions"] == 3
    assert told["url"].endswith("store.sqlite")
    assert call(["store", "rebuild", str(filled.dataset / "none")]) == 2
