"""The journal: what is kept, what is refused, and that a changed line is named."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacs import journal as journal_module
from tacs.errors import FileProblems, InputError, RecordError
from tacs.journal import KINDS, ROLES, Entry, Journal, NewEntry
from tacs.record import GENESIS, canonical, verify_record

WHO = {"operator": "AB", "role": "operator"}


def noted(journal: Journal, value: Any = 3, **changes: Any) -> Entry:
    fields: dict[str, Any] = {"subject": "P01", "session": "01", **WHO, **changes}
    return journal.append(fields.pop("kind", "discomfort"), {"nrs": value}, **fields)


def problems(journal: Journal, **changes: Any) -> tuple[str, ...]:
    before = journal.entries()
    with pytest.raises(FileProblems) as caught:
        noted(journal, **changes)
    assert journal.entries() == before
    return caught.value.problems


def test_an_entry_comes_back_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    monkeypatch.setattr("tacs.record.utc_now", lambda: now)
    journal = Journal(tmp_path / "data")
    entry = noted(journal)
    assert journal.entries() == [entry]
    assert (entry.seq, entry.at, entry.kind, entry.subject, entry.session) == (
        0, now, "discomfort", "P01", "01",
    )  # fmt: skip
    assert (entry.operator, entry.role, entry.data, entry.corrects) == (
        "AB", "operator", {"nrs": 3}, None,
    )  # fmt: skip
    assert entry.to_dict()["utc"] == "2026-03-01T09:30:00.000+00:00"
    assert journal.path == tmp_path / "data" / "sourcedata" / "tacs" / "journal.jsonl"
    assert verify_record(journal.path) is None
    assert journal.path.stat().st_mode & 0o077 == 0
    assert (tmp_path / "data" / "dataset_description.json").exists()


def test_without_a_file_there_are_no_entries(tmp_path: Path):
    journal = Journal(tmp_path / "data")
    assert journal.entries() == []
    assert journal.head() == GENESIS
    assert not (tmp_path / "data").exists()


def test_entries_are_numbered_chained_and_filtered(tmp_path: Path):
    journal = Journal(tmp_path)
    first = noted(journal)
    second = noted(journal, subject="P02")
    third = noted(journal, kind="consent", session=None)
    assert [e.seq for e in journal.entries()] == [0, 1, 2]
    assert journal.entries(subject="P01") == [first, third]
    assert journal.entries("discomfort") == [first, second]
    assert journal.entries("discomfort", "P02") == [second]
    assert journal.head() == third.hash
    assert journal.holds(first.hash)
    assert journal.holds(second.hash[:8])
    assert not journal.holds("0123456789abcdef")
    assert journal.holds(GENESIS)


def test_a_correction_takes_the_place_and_the_earlier_entry_stays(tmp_path: Path):
    journal = Journal(tmp_path)
    first = noted(journal, 3)
    second = noted(journal, 4, corrects=first.hash)
    third = noted(journal, 5, corrects=second.hash)
    assert journal.entries() == [first, second, third]
    assert journal.current() == [third]
    assert journal.current("discomfort", "P01") == [third]
    assert journal.entries()[0].data == {"nrs": 3}


def test_what_a_correction_may_not_do(tmp_path: Path):
    journal = Journal(tmp_path)
    first = noted(journal)
    second = noted(journal, corrects=first.hash)
    assert problems(journal, corrects=first.hash) == (
        f"corrects: entry 0 was corrected by entry 1 ({second.hash[:8]}); correct that one",
    )
    assert problems(journal, corrects="f" * 64) == (
        f"corrects: no entry has the hash '{'f' * 64}'",
    )
    for other in ({"subject": "P02"}, {"session": "02"}, {"kind": "adverse_effects"}):
        assert problems(journal, corrects=second.hash, **other) == (
            "corrects: entry 1 is discomfort of subject P01, session 01; a correction is of the "
            "same kind, subject and session",
        )


def test_every_problem_of_an_entry_is_listed(tmp_path: Path):
    with pytest.raises(FileProblems) as caught:
        Journal(tmp_path).append(
            "gossip",
            {"a": float("nan"), "b": "two\nlines", "c": {1: 2}, "d": [b"x"], "e": "x" * 2001},
            operator=" ",
            role="king",
            subject="../P01",
        )
    told = caught.value.problems
    assert told[0] == f"kind: no such kind; there are: {', '.join(KINDS)}"
    assert told[1].startswith("subject '../P01': must be 1 to 32 letters")
    assert told[2] == "operator: missing; a name or a code says who made the entry"
    assert told[3] == f"role: must be one of {', '.join(ROLES)}, not 'king'"
    assert told[4:] == (
        "data.a: must be a finite number, not nan",
        "data.b: holds the control character U+000A; type one line of plain text",
        "data.c: 1 is not a name of letters, digits, _ . + or -",
        "data.d[0]: bytes is no JSON type",
        "data.e: is 2001 characters long; at most 2000",
    )
    assert list(tmp_path.iterdir()) == []


def test_labels_that_a_kind_needs(tmp_path: Path):
    journal = Journal(tmp_path)
    assert problems(journal, subject=None, session=None) == (
        "subject: missing; this kind of entry belongs to a subject",
        "session: missing; this kind of entry belongs to a session",
    )
    assert problems(journal, kind="preflight", subject=None) == (
        "session: given without a subject",
    )
    noted(journal, kind="preflight", subject=None, session=None)
    assert problems(journal, operator="x" * 81) == ("operator: is 81 characters long; at most 80",)
    assert problems(journal, operator="A\u202eB")[0].startswith(
        "operator: holds the control character U+202E"
    )


def test_sizes_are_bounded(tmp_path: Path):
    journal = Journal(tmp_path)
    assert problems(journal, value=["x" * 2000] * 40) == ("data: more than 64 KiB",)
    deep: Any = 1
    for _ in range(9):
        deep = [deep]
    assert problems(journal, value=deep)[0].endswith("nested more than 8 deep")


def test_two_spellings_of_one_label_are_refused(tmp_path: Path):
    journal = Journal(tmp_path)
    noted(journal, session="Day1")
    assert problems(journal, subject="p01")[0].startswith("subject 'p01': the journal has 'P01'")
    assert problems(journal, session="day1")[0].startswith("session 'day1': the journal has 'Day1'")
    (tmp_path / "sub-P02" / "ses-A").mkdir(parents=True)
    with pytest.raises(InputError, match="differs by upper and lower case only"):
        noted(journal, subject="p02")


def test_a_folder_that_cannot_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    noted(Journal(tmp_path), 1)

    real = os.listdir

    def refused(folder: Path) -> list[str]:
        if Path(folder).name == "tacs":
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(folder)

    monkeypatch.setattr("tacs.dataset.os.listdir", refused)
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\)"):
        noted(Journal(tmp_path), 2, session="02")


@pytest.mark.parametrize("line", range(4))
def test_a_changed_line_is_named_and_nothing_more_is_written(tmp_path: Path, line: int):
    journal = Journal(tmp_path)
    for value in range(4):
        noted(journal, value)
    lines = journal.path.read_bytes().splitlines(keepends=True)
    lines[line] = lines[line].replace(b'"nrs":', b'"nrz":')
    journal.path.write_bytes(b"".join(lines))
    before = journal.path.read_bytes()
    for call in (journal.entries, journal.head, lambda: noted(journal)):
        with pytest.raises(RecordError, match=rf"journal\.jsonl: line {line + 1}: its hash"):
            call()
    assert journal.path.read_bytes() == before


def test_a_line_taken_out_is_seen_and_a_tail_cut_off_is_seen_by_its_head(tmp_path: Path):
    journal = Journal(tmp_path)
    for value in range(3):
        noted(journal, value)
    head, lines = journal.head(), journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(lines[0] + lines[2])
    with pytest.raises(RecordError, match="line 2: number 2 where 1 was due"):
        journal.entries()
    journal.path.write_bytes(lines[0] + lines[1])
    assert len(journal.entries()) == 2  # what a bare chain cannot show
    assert not journal.holds(head)


def test_a_torn_last_line_was_never_acknowledged(tmp_path: Path):
    journal = Journal(tmp_path)
    first = noted(journal)
    with journal.path.open("ab") as file:
        file.write(b'{"data":{"nrs"')
    assert journal.entries() == [first]
    second = noted(journal)
    assert journal.entries() == [first, second]
    assert verify_record(journal.path) is None


def rewritten(journal: Journal, **changes: Any) -> str:
    """Give the first line other content with a chain that fits; return what is said about it."""
    from tacs.record import chain_hash

    body = json.loads(journal.path.read_text().splitlines()[0])
    body.pop("hash")
    body["data"].update(changes.pop("data", {}))
    body.update(changes)
    digest = chain_hash(GENESIS, body)
    journal.path.write_text(canonical({**body, "hash": digest}) + "\n", encoding="utf-8")
    with pytest.raises(RecordError) as caught:
        journal.entries()
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"kind": "later"}, "line 1: kind 'later' is not known to this version of the suite"),
        ({"utc": "yesterday"}, "line 1: 'yesterday' is not a time"),
        ({"utc": "2026-03-01T09:30:00"}, "line 1: '2026-03-01T09:30:00' is not a time"),
        ({"data": {"role": "king"}}, "line 1: role: must be one of"),
        ({"data": {"corrects": "x"}}, "line 1: corrects something that is not a hash"),
        ({"data": {"more": 1}}, "line 1: is not an entry of a journal"),
        ({"data": {"operator": 7}}, "line 1: is not an entry of a journal"),
        ({"data": {"subject": "a/b"}}, "line 1: subject 'a/b': must be 1 to 32 letters"),
    ],
)
def test_a_chain_that_fits_with_lines_that_do_not(
    tmp_path: Path, changes: dict[str, Any], told: str
):
    journal = Journal(tmp_path)
    noted(journal)
    assert told in rewritten(journal, **changes)


def test_an_entry_is_found_by_the_beginning_of_its_hash(tmp_path: Path):
    journal = Journal(tmp_path)
    entry = noted(journal)
    assert journal.find(entry.hash[:6]) == entry
    for start in ("", entry.hash[:3], "g" * 8):
        with pytest.raises(InputError, match="no entry with a hash that begins with"):
            journal.find(start)
    with pytest.raises(InputError, match="not a hash"):
        journal.holds("nothing")


def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="not a BIDS data set"):
        noted(Journal(tmp_path))


def test_a_disk_that_refuses_leaves_no_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    journal = Journal(tmp_path)
    noted(journal)

    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tacs.record.os.write", full)
    with pytest.raises(RecordError, match="No space left on device"):
        noted(journal)
    monkeypatch.undo()
    assert len(journal.entries()) == 1


@pytest.mark.skipif(os.name != "posix", reason="flock")
def test_the_journal_is_held_while_it_is_written(tmp_path: Path):
    import fcntl

    held = []

    class Watched(Journal):
        def entries(self, kind: str | None = None, subject: str | None = None) -> list[Entry]:
            with self.path.with_suffix(".lock").open("rb") as lock:
                with pytest.raises(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held.append(True)
            return super().entries(kind, subject)

    noted(Watched(tmp_path))
    assert held
    with (tmp_path / "sourcedata" / "tacs" / "journal.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # given back


def write_twenty(path: str, name: str) -> None:
    for value in range(20):
        noted(Journal(path), value, operator=name)


def test_two_programs_at_once_make_one_chain(tmp_path: Path):
    noted(Journal(tmp_path))
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=write_twenty, args=(str(tmp_path), name)) for name in ("A", "B")
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=120)
        assert writer.exitcode == 0
    entries = Journal(tmp_path).entries()
    assert [e.seq for e in entries] == list(range(41))
    for name in ("A", "B"):
        assert [e.data["nrs"] for e in entries if e.operator == name] == list(range(20))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text("abcµ€ ", max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text("abc_1", min_size=1).filter(lambda k: k[0] != "_"), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@settings(max_examples=25, deadline=None)
@given(values=st.lists(JSON, min_size=1, max_size=4))
def test_any_json_comes_back(tmp_path_factory: pytest.TempPathFactory, values: list[Any]):
    journal = Journal(tmp_path_factory.mktemp("journal"))
    for value in values:
        noted(journal, value)
    assert [e.data for e in journal.entries()] == [{"nrs": value} for value in values]
    assert len({e.hash for e in journal.entries()}) == len(values)


def new(journal: Journal, **changes: Any) -> NewEntry:
    fields: dict[str, Any] = {
        "kind": "discomfort", "data": {"nrs": 1}, "subject": "P01", "session": "01", **WHO,
        **changes,
    }  # fmt: skip
    return NewEntry(**fields)


def test_several_entries_are_written_in_order_and_chained(tmp_path: Path):
    journal = Journal(tmp_path)
    first = noted(journal)
    made = journal.append_all(
        [new(journal, data={"nrs": n}, corrects=first.hash if n == 2 else None) for n in range(4)]
    )
    assert [e.data["nrs"] for e in made] == [0, 1, 2, 3]
    assert journal.entries() == [first, *made]
    assert first not in journal.current()
    assert verify_record(journal.path) is None
    assert journal.append_all([]) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "gossip"}, "no such kind"),
        ({"subject": "p01"}, "differs by upper and lower case only"),
        ({"session": "A1"}, "differs by upper and lower case only"),
        ({"role": "boss"}, "role: must be one of"),
    ],
)
def test_one_bad_entry_among_several_and_none_is_written(
    tmp_path: Path, changes: dict[str, Any], said: str
):
    journal = Journal(tmp_path)
    before = [new(journal), new(journal, session="a1")]
    with pytest.raises(FileProblems, match=said):
        journal.append_all([*before, new(journal, **changes)])
    assert journal.entries() == []


def test_two_corrections_of_one_entry_at_once_are_refused(tmp_path: Path):
    journal = Journal(tmp_path)
    first = noted(journal)
    with pytest.raises(FileProblems, match="was corrected by an earlier one of these entries"):
        journal.append_all([new(journal, corrects=first.hash), new(journal, corrects=first.hash)])
    assert journal.entries() == [first]


def test_what_was_verified_is_hashed_and_not_verified_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    for number in range(3):
        noted(journal, number)
    looked: list[str] = []
    entry_of = journal_module._entry_of
    monkeypatch.setattr(
        journal_module, "_entry_of", lambda line: (looked.append(line.hash), entry_of(line))[1]
    )
    before = Journal(tmp_path).entries()
    assert [one.hash for one in before] == [one.hash for one in journal.entries()]
    looked.clear()
    assert Journal(tmp_path).entries() == before
    assert looked == []
    assert b'"nrs":1' in journal.path.read_bytes()
    new = noted(journal, 9)
    assert Journal(tmp_path).entries() == [*before, new]
    assert set(looked) == {new.hash}
    # A byte of what was verified changed, the length kept: everything is looked at again.
    spoilt = journal.path.read_bytes().replace(b'"nrs":1', b'"nrs":7')
    journal.path.write_bytes(spoilt)
    with pytest.raises(RecordError, match="line 2"):
        Journal(tmp_path).entries()
    # Cut back to a whole line: shorter than what was verified.
    journal.path.write_bytes(spoilt.splitlines(keepends=True)[0])
    assert Journal(tmp_path).entries() == before[:1]
