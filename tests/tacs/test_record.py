"""The record: chained, on disk, and honest about every byte that changed."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tacs.errors import InputError, RecordError
from tacs.record import (
    LINE_BYTES_MAX,
    RecordAppender,
    RecordWriter,
    canonical,
    chain_hash,
    drop_torn_tail,
    in_use,
    read_lines,
    read_record,
    verify_record,
)

LINES: list[tuple[str, float, dict[str, Any]]] = [
    ("session", 0.0, {"subject": "01", "limits": {"soft_stop_s": 0.8}}),
    ("intent", 1e-05, {"verb": "set_level", "level": 0.5, "tiny": 1e-07}),
    ("note", 12.345678, {"text": 'ä µ \u2028 \x1f \t quote" back\\ line\nfeed'}),
    ("state", 1200.0, {"from": "hold", "to": "ramp_down", "nothing": None, "yes": True}),
    ("end", 1200.5, {"outcome": "done", "list": [1, 2.5, "x"]}),
]


def written(path: Path, lines: list[tuple[str, float, dict[str, Any]]] = LINES) -> str:
    with RecordWriter(path) as record:
        for kind, t_s, data in lines:
            record.append(kind, t_s, data, sync=kind == "end")
        return record.head


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "r.jsonl"
    head = written(path)
    lines, problem = read_record(path)
    assert problem is None
    assert [(x.kind, x.t_s, x.data) for x in lines] == [
        (kind, round(t_s, 6), data) for kind, t_s, data in LINES
    ]
    assert [x.seq for x in lines] == [0, 1, 2, 3, 4]
    assert lines[-1].hash == head
    assert verify_record(path) is None
    assert sorted(p.name for p in path.parent.iterdir()) == ["r.jsonl"]
    assert path.stat().st_mode & 0o077 == 0


def test_the_chain_is_the_stated_hash(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    written(path)
    previous = "0" * 64
    for text in path.read_text(encoding="utf-8").split("\n")[:-1]:
        body = json.loads(text)
        digest = body.pop("hash")
        assert digest == chain_hash(previous, body)
        assert text == canonical({**body, "hash": digest})
        previous = digest


def test_every_single_changed_byte_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    written(path, LINES[:3])
    whole = path.read_bytes()
    flips = [1 << bit for bit in range(8)]
    for at in range(len(whole)):
        number = whole[:at].count(b"\n")
        for flip in flips:
            path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
            lines, problem = read_record(path)
            assert problem is not None, (at, flip)
            assert len(lines) == number


@pytest.mark.parametrize(
    ("old", "new"), [(b"\n", b"\r"), (b"\n", b" "), (b"1e-05", b"1E-05"), (b"001f", b"001F")]
)
def test_another_spelling_of_the_same_content_is_a_change(
    tmp_path: Path, old: bytes, new: bytes
) -> None:
    path = tmp_path / "r.jsonl"
    written(path)
    whole = path.read_bytes()
    assert old in whole
    at = whole.rfind(old)
    path.write_bytes(whole[:at] + new + whole[at + len(old) :])
    assert verify_record(path) is not None


@pytest.mark.parametrize(
    ("change", "n_good"),
    [
        (lambda x: x[:1] + x[2:], 1),
        (lambda x: x[1:], 0),
        (lambda x: [x[1], x[0], *x[2:]], 0),
        (lambda x: [*x[:3], x[4], x[3]], 3),
        (lambda x: [*x[:2], x[1], *x[2:]], 2),
        (lambda x: [*x, x[-1]], 5),
        (lambda x: [*x[:2], b"\n", *x[2:]], 2),
        (lambda x: [*x[:2], b"{}\n", *x[2:]], 2),
        (lambda x: [*x[:2], b"12\n", *x[2:]], 2),
        (lambda x: [*x, b"[" * 100_000 + b"\n"], 5),
        (lambda x: [*x, b"\xff\xfe\n"], 5),
        (lambda x: [*x, b'{"hash":NaN}\n'], 5),
    ],
)
def test_lines_deleted_moved_repeated_or_put_in(
    tmp_path: Path, change: Callable[[list[bytes]], list[bytes]], n_good: int
) -> None:
    path = tmp_path / "r.jsonl"
    written(path)
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    lines, problem = read_record(path)
    assert len(lines) == n_good
    assert f"line {n_good + 1}" in str(problem)


def test_a_line_that_was_rewritten_breaks_the_next(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    written(path)
    texts = path.read_text(encoding="utf-8").split("\n")
    first = json.loads(texts[0])
    del first["hash"]
    first["data"]["subject"] = "02"
    texts[0] = canonical({**first, "hash": chain_hash("0" * 64, first)})
    path.write_text("\n".join(texts), encoding="utf-8")
    lines, problem = read_record(path)
    assert len(lines) == 1
    assert "line 2: its hash does not match" in str(problem)


def test_a_cut_at_any_byte_leaves_what_was_whole(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    written(path, LINES[:3])
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        n_whole = whole[:size].count(b"\n")
        torn = size - (whole[:size].rfind(b"\n") + 1)
        assert len(read_record(path)[0]) == n_whole
        assert (verify_record(path) is None) == (torn == 0)
        assert drop_torn_tail(path) == torn
        assert verify_record(path) is None
        assert len(read_record(path)[0]) == n_whole


def test_a_crashed_record_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    written(path)
    with path.open("ab") as file:
        file.write(b'{"data":{"half a li')
    with RecordAppender(path) as record:
        record.append("recovered", 1300.0, {"outcome": "interrupted"}, sync=True)
        assert record.head == read_record(path)[0][-1].hash
    lines, problem = read_record(path)
    assert problem is None
    assert [x.kind for x in lines] == [kind for kind, _, _ in LINES] + ["recovered"]


def test_evidence_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    written(path)
    spoiled = path.read_bytes().replace(b'"01"', b'"02"') + b"torn"
    path.write_bytes(spoiled)
    with pytest.raises(RecordError, match="line 1"):
        RecordAppender(path)
    assert path.read_bytes() == spoiled


def test_an_existing_record_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    written(path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="has a record already; give another --session"):
        RecordWriter(path)
    assert path.read_bytes() == before


def test_an_existing_record_survives_a_failing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.jsonl"
    written(path)
    before = path.read_bytes()

    def too_many(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", too_many)
    with pytest.raises(InputError, match="Too many open files"):
        RecordWriter(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("failing", ["full", "short"])
def test_a_disk_that_is_full_from_the_start_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    monkeypatch.setattr(os, "write", DISKS[failing](0))
    with pytest.raises(InputError, match="No space left on device"):
        RecordWriter(tmp_path / "r.jsonl")
    assert list(tmp_path.iterdir()) == []


def full_after(n_lines: int) -> Callable[[int, bytes], int]:
    """A disk that takes some writes whole and none after that."""
    real, count = os.write, [0]

    def write(fd: int, payload: bytes) -> int:
        count[0] += 1
        if count[0] > n_lines:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, payload)

    return write


def short_after(n_lines: int) -> Callable[[int, bytes], int]:
    """A disk that takes some writes whole and half of each after that."""
    real, count = os.write, [0]

    def write(fd: int, payload: bytes) -> int:
        count[0] += 1
        return real(fd, payload if count[0] <= n_lines else payload[: len(payload) // 2])

    return write


DISKS = {"full": full_after, "short": short_after}


@pytest.mark.parametrize("failing", ["full", "short"])
@pytest.mark.parametrize("n_lines", [0, 1, 3])
def test_a_full_disk_leaves_a_record_that_verifies_and_can_be_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, n_lines: int
) -> None:
    path = tmp_path / "r.jsonl"
    record = RecordWriter(path)
    reserve = tmp_path / "r.jsonl.reserve"
    assert reserve.stat().st_size == 64 * 1024
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", DISKS[failing](n_lines))
        for kind, t_s, data in LINES[:n_lines]:
            record.append(kind, t_s, data, sync=False)
        head = record.head
        for _ in range(2):
            with pytest.raises(RecordError, match="No space left on device"):
                record.append("intent", 1.0, {"verb": "set_level"}, sync=True)
        assert record.head == head
    assert verify_record(path) is None
    record.release_reserve()
    assert not reserve.exists()
    record.append("end", 2.0, {"outcome": "fault"}, sync=True)
    record.close()
    lines, problem = read_record(path)
    assert problem is None
    assert len(lines) == n_lines + 1
    assert lines[-1].kind == "end"


def test_a_line_that_could_not_be_synced_still_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.jsonl"

    def failing(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with RecordWriter(path) as record:
        record.append("session", 0.0, {}, sync=True)
        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", failing)
            with pytest.raises(RecordError, match="Input/output error"):
                record.append("intent", 1.0, {}, sync=True)
            with pytest.raises(RecordError, match="Input/output error"):
                record.sync()
        record.append("end", 2.0, {}, sync=True)
    lines, problem = read_record(path)
    assert problem is None
    assert [x.kind for x in lines] == ["session", "intent", "end"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, "\ud800"])
def test_what_json_cannot_hold_is_refused_and_breaks_nothing(tmp_path: Path, value: object) -> None:
    path = tmp_path / "r.jsonl"
    with RecordWriter(path) as record:
        with pytest.raises(RecordError, match="answer holds what JSON cannot"):
            record.append("answer", 1.0, {"value": value}, sync=True)
        record.append("end", 2.0, {}, sync=True)
    assert verify_record(path) is None


@pytest.mark.parametrize("call", [read_record, verify_record, drop_torn_tail, RecordAppender])
def test_a_record_that_is_not_there(tmp_path: Path, call: Callable[[Path], object]) -> None:
    with pytest.raises(InputError, match="no such record"):
        call(tmp_path / "r.jsonl")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        RecordWriter(tmp_path / "file" / "r.jsonl")


def test_a_record_belongs_to_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with RecordWriter(path) as record:
        record.append("session", 0.0, {}, sync=True)
        assert in_use(path)
        with pytest.raises(RecordError, match="a session is writing it; wait until it is over"):
            RecordAppender(path)
        record.append("end", 1.0, {}, sync=True)
    assert not in_use(path)
    with RecordAppender(path) as record:
        assert in_use(path)
        record.append("more", 2.0, {}, sync=True)
    assert verify_record(path) is None
    with pytest.raises(InputError, match="no such record"):
        in_use(tmp_path / "none.jsonl")


def test_a_disk_without_locks_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def none(fd: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    written(tmp_path / "r.jsonl")
    assert not in_use(tmp_path / "r.jsonl")
    with RecordAppender(tmp_path / "r.jsonl") as record:
        record.append("more", 2.0, {}, sync=True)
    assert verify_record(tmp_path / "r.jsonl") is None


def test_a_line_that_no_reader_would_take_is_not_written(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "r.jsonl") as record:
        with pytest.raises(RecordError, match="answer is too long for a line"):
            record.append("answer", 0.0, {"text": "x" * LINE_BYTES_MAX}, sync=True)
        record.append("end", 1.0, {}, sync=True)
    assert [x.kind for x in read_record(tmp_path / "r.jsonl")[0]] == ["end"]


@pytest.mark.parametrize(
    "change",
    [
        {"seq": False}, {"seq": 0.0}, {"t_s": "0"}, {"t_s": None}, {"t_s": True}, {"utc": 1},
        {"kind": None}, {"data": []}, {"data": "x"}, {"more": 1},
    ],
)  # fmt: skip
def test_a_line_of_other_types_is_none_even_where_its_hash_is_right(change: dict[str, Any]) -> None:
    good = {"seq": 0, "t_s": 0.0, "utc": "2026", "kind": "end", "data": {"hash": "0" * 64}}
    for body, n_good in ((good, 1), ({**good, **change}, 0)):
        text = canonical({**body, "hash": chain_hash("0" * 64, body)}) + "\n"
        lines, problem = read_lines(text.encode())
        assert (len(lines), problem is None) == (n_good, n_good == 1)


def test_a_hash_inside_the_data_is_not_taken_for_the_lines_own(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with RecordWriter(path) as record:
        record.append("anchor", 0.0, {"hash": "0" * 64, "text": '"hash":"x",'}, sync=True)
        record.append("anchor", 0.0, {"hash": record.head, "z": {"hash": record.head}}, sync=True)
    lines, problem = read_record(path)
    assert (len(lines), problem) == (2, None)
    assert read_lines(path.read_bytes()) == (lines, None)
