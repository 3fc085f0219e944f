"""Tables that several programs write at the same time lose no line."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tacs import bids_writer, dataset
from tacs.bids_stimulation import note_scores, note_session
from tacs.dataset import SessionPaths, ensure_dataset, tables_locked
from tacs.errors import InputError
from tacs.record import RecordWriter
from tacs.tables import read_table, write_table

LONG_S = 30.0  # for a thread to come to its lock; nothing waits so long where it works


def session(root: Path, subject: str) -> SessionPaths:
    paths = SessionPaths.of(root, subject, "01")
    paths.claim()
    with RecordWriter(paths.record) as record:
        record.append("session", 0.0, {}, sync=True)
    return paths


def staged(root: Path, subject: str) -> Path:
    stage = ensure_dataset(root / f"stage-{subject}")
    row = {"participant_id": f"sub-{subject}", "sex": "F"}
    write_table(stage / "participants.tsv", list(row), [row])
    (stage / "participants.json").write_text("{}")
    return stage


def ids(table: Path, column: str) -> list[str]:
    return [row[column] for row in read_table(table)[1]]


@pytest.mark.parametrize("what", ["session", "import"])
def test_a_person_who_is_entered_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
):
    root = ensure_dataset(tmp_path / "data")
    paths, stage = session(root, "P02"), staged(tmp_path, "P02")
    changes: dict[str, Callable[[], None]] = {
        "session": lambda: note_session(paths),
        "import": lambda: bids_writer._add_participant(stage, root),
    }
    meanwhile(root, monkeypatch, changes[what], root / "participants.tsv", "participant_id",
              "sub-P01")  # fmt: skip
    assert ids(root / "participants.tsv", "participant_id") == ["sub-P01", "sub-P02"]


@pytest.mark.parametrize("what", ["session", "scores"])
def test_a_session_that_is_entered_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
):
    root = ensure_dataset(tmp_path / "data")
    paths = session(root, "P02")
    table = root / "sub-P02" / "sub-P02_sessions.tsv"
    table.parent.mkdir()
    scores = {"01": {"phq9_total": "7"}}
    changes: dict[str, Callable[[], None]] = {
        "session": lambda: note_session(paths),
        "scores": lambda: note_scores(root, "P02", scores, {"phq9_total"}),
    }
    meanwhile(root, monkeypatch, changes[what], table, "session_id", "ses-00")
    assert ids(table, "session_id") == ["ses-00", "ses-01"]


def meanwhile(
    root: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[], None], table: Path,
    column: str, other: str,
) -> None:  # fmt: skip
    """Enter another row while a change has come to the lock, and let it go on then."""
    comes, problems, held = threading.Event(), list[BaseException](), dataset.held

    def coming(path: Path) -> object:
        comes.set()
        return held(path)

    def run() -> None:
        try:
            change()
        except BaseException as exc:
            problems.append(exc)

    thread = threading.Thread(target=run)
    with tables_locked(root):
        monkeypatch.setattr(dataset, "held", coming)
        thread.start()
        assert comes.wait(LONG_S)
        header, rows = read_table(table)
        write_table(table, header or [column], [*rows, {column: other}])
    thread.join(LONG_S)
    assert not thread.is_alive()
    assert problems == []


def test_a_lock_that_cannot_be_made_is_one_line(tmp_path: Path):
    (tmp_path / "sourcedata").write_text("no folder")
    with pytest.raises(InputError, match=r"tables\.lock: cannot be made \(.+\)"):
        with tables_locked(tmp_path):
            pass
