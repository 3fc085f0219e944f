"""The record of a blinded session: the arms cannot be told apart, and nothing is lost."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tacs import blinded_record as module
from tacs.blinded_record import (
    WITHHELD,
    BlindedRecord,
    check_against_open,
    seal_file,
    sealed_path,
    trace_bound,
    visible_cause,
)
from tacs.errors import InputError, RecordError
from tacs.protocol import Protocol
from tacs.record import RecordAppender, read_lines, read_record
from tacs.safety import cautions
from tacs.sealing import (
    BLOCK_BYTES,
    OpenedFile,
    generate_keys,
    open_sealed,
    read_private_key,
    read_public_key,
    sealed_digest,
)
from tests.tacs.made import montage_data, protocol
from tests.tacs.rehearsal import rehearse

# Frontal, where the active arm has a caution that a sham has not.
PLANNED = protocol(
    duration_s=16.0,
    ramp_up_s=5.0,
    ramp_down_s=5.0,
    montage=montage_data(("F3", "Cz", 1.0)),
    blinding={"label": "STUDY"},
)
ARMS: dict[str, dict[str, Any]] = {
    "active": {"waveform": "tacs"},
    "sham": {"waveform": "active_sham", "sham_plateau_s": 1.0},
    "silent": {"waveform": "passive_sham"},
}
Keys = tuple[bytes, bytes]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    public, private = generate_keys(tmp_path_factory.mktemp("keys"))
    return read_public_key(public), read_private_key(private)


def session_line(arm: Protocol) -> dict[str, Any]:
    """A first line as the runner writes it, with the arm's own protocol in it."""
    return {
        "suite": "0", "subject": "P01", "session": "01", "device": "synthpal", "emulated": True,
        "clock": "virtual", "clock_zero_s": 0.0, "limits": {"lease_ttl_s": 1.0},
        "protocol": arm.to_data(), "protocol_sha256": arm.sha256(),
        "cautions": [*cautions(arm), "a driver's own"],
        "something_new": arm.waveform,
    }  # fmt: skip


def run(
    folder: Path,
    public: bytes,
    arm: str,
    *,
    script: Sequence[tuple[float, str]] = (),
    faults: Sequence[str] = (),
) -> Path:
    """Rehearse one arm with the guardian and the emulated device; return the open record."""
    prescription = Protocol.from_data({**PLANNED.to_data(), **ARMS[arm]}, arm)

    class Whole(BlindedRecord):
        def __init__(self, path: str | Path) -> None:
            super().__init__(path, planned=PLANNED, public_key=public)
            self.append("session", 0.0, session_line(prescription), sync=True)

        def close(self) -> None:
            lines, _ = read_lines(open_now(self).content)
            last = [x for x in lines if x.kind == "state"][-1].data
            data = {
                "outcome": last["to"],
                "cause": last.get("cause", ""),
                "delivered": {"current_peak_ma": 0.0 if arm == "silent" else 1.0},
                "quiet_after_stop_s": 0.123,
            }
            self.append("end", lines[-1].t_s + 0.02, data, sync=True)
            super().close()

        def __exit__(self, *failed: Any) -> None:
            self.close()

    def open_now(record: BlindedRecord) -> OpenedFile:
        record.sync()
        return open_sealed(sealed_path(record.path), PRIVATE[0])

    folder.mkdir()
    return rehearse(prescription, folder, script=script, faults=faults, writer=Whole).record


PRIVATE: list[bytes] = []


@pytest.fixture(autouse=True)
def private(keys: Keys) -> None:
    PRIVATE[:] = [keys[1]]


def visible(record: Path) -> tuple[Any, ...]:
    """Everything that somebody with the folder can see, less what differs in any two sessions."""
    text = record.read_text(encoding="utf-8")
    lines, problem = read_record(record)
    assert problem is None
    utc = [datetime.fromisoformat(line.utc) for line in lines]
    bare = re.sub(r'"(hash|sealed|head|sha256|utc)":"[^"]*"', r'"\1":""', text)
    files = sorted(
        (p.name, p.stat().st_size) for p in record.parent.iterdir() if "scope" not in p.name
    )
    ages = [round(p.stat().st_mtime - utc[0].timestamp(), 3) for p in (record, sealed_path(record))]
    since = [(moment - utc[0]).total_seconds() for moment in utc]
    return (
        bare,
        len(text),
        since,
        files,
        ages,
        [json.dumps(x.data, sort_keys=True)[:9] for x in lines],
    )


@pytest.mark.parametrize(
    "script",
    [
        (),
        [(6.3, "stop:the STOP key")],
        [(1.0, "stop:the participant asked")],
        [(13.9, "stop:SIGINT")],
        [(2.0, "pause"), (4.0, "mark:restless"), (6.0, "resume")],
    ],
    ids=["planned end", "stop", "stop in the ramp", "late stop", "pause"],
)
def test_no_visible_feature_tells_the_arm(
    keys: Keys, tmp_path: Path, script: list[tuple[float, str]]
):
    seen = [visible(run(tmp_path / arm, keys[0], arm, script=script)) for arm in ARMS]
    assert seen[0] == seen[1] == seen[2]


def test_the_sealed_record_is_the_whole_record(keys: Keys, tmp_path: Path):
    record = run(tmp_path / "blind", keys[0], "sham")
    opened = open_sealed(sealed_path(record), keys[1])
    lines, problem = read_lines(opened.content)
    assert (problem, opened.problem, opened.complete) == (None, None, True)
    plain = tmp_path / "plain"
    plain.mkdir()
    arm = Protocol.from_data({**PLANNED.to_data(), **ARMS["sham"]}, "sham")
    as_ever, _ = read_record(rehearse(arm, plain).record)
    assert [(x.kind, x.t_s, x.data) for x in lines[1:-1]] == [
        (x.kind, x.t_s, x.data) for x in as_ever
    ]
    assert lines[0].data == session_line(arm)
    assert lines[-1].data["delivered"] == {"current_peak_ma": 1.0}


def test_the_open_record_has_nothing_but_what_every_arm_has(keys: Keys, tmp_path: Path):
    record = run(tmp_path / "x", keys[0], "active")
    lines, _ = read_record(record)
    text = record.read_text()
    assert "something_new" not in text
    assert any("phosphenes" in caution for caution in lines[0].data["cautions"])
    for word in ("level", "ramp", "hold", "train", "status", "playing", "peak_ma"):
        assert word not in text.split("\n", 1)[1]
    assert lines[0].data["protocol"] == PLANNED.to_data()
    assert lines[0].data["protocol_sha256"] == PLANNED.sha256()
    kinds = [(x.kind, x.data.get("to") or x.data.get("verb")) for x in lines]
    assert [k for k in kinds if k[0] != "heartbeat"] == [
        ("session", None), ("state", "connected"), ("state", "checked"), ("state", "armed"),
        ("intent", "start"), ("end", None),
    ]  # fmt: skip
    beats = [x for x in lines if x.kind == "heartbeat"]
    # Started at 0.1038 s, 16 s, 2.5 s until it counts as closed, on the grid of half seconds.
    assert [x.t_s for x in beats] == [0.5 * i for i in range(1, 39)]
    assert lines[-1].t_s == 19.0
    end = lines[-1].data
    assert end["sealed"] == sealed_digest(sealed_path(record))
    assert (end["outcome"], end["cause"], end["delivered"]) == ("done", "", None)
    assert end["sealed"]["blocks"] == len(beats) + module.SPARE_BLOCKS
    assert sealed_path(record).stat().st_size == (9 + 42) * BLOCK_BYTES
    assert check_against_open(sealed_path(record)) is None


def test_the_heads_in_the_open_record_are_those_of_the_sealed_blocks(keys: Keys, tmp_path: Path):
    record = run(tmp_path / "x", keys[0], "silent")
    lines, _ = read_record(record)
    heads = [x.data["sealed"] for x in lines if x.kind == "heartbeat"]
    raw = sealed_path(record).read_bytes()
    for n in (1, 7, len(heads)):
        (tmp_path / "cut").write_bytes(raw[: (9 + n) * BLOCK_BYTES])
        assert open_sealed(tmp_path / "cut", keys[1]).head == heads[n - 1]


def test_a_stop_by_the_device_is_told_without_its_cause(keys: Keys, tmp_path: Path):
    record = run(tmp_path / "x", keys[0], "active", faults=["reboot@5"])
    lines, _ = read_record(record)
    full, _ = read_lines(open_sealed(sealed_path(record), keys[1]).content)
    assert lines[-1].data["outcome"] == full[-1].data["outcome"] == "fault"
    assert lines[-1].data["cause"] == WITHHELD
    assert full[-1].data["cause"] not in ("", WITHHELD)
    assert full[-1].data["cause"] not in record.read_text()


def test_the_operators_own_words_are_told(keys: Keys, tmp_path: Path):
    record = run(tmp_path / "x", keys[0], "sham", script=[(4.0, "stop:she coughs")])
    lines, _ = read_record(record)
    assert lines[-1].data["cause"] == "she coughs"


@pytest.mark.parametrize(
    ("cause", "shown"),
    [
        ("", ""),
        ("the STOP key", "the STOP key"),
        ("the STOP key; the device did not confirm the stop", None),
        ("she coughs", None),
        ("she coughs; the device did not confirm the stop", None),
        ("unknown message 'x'", "unknown message"),
        ("the record failed: /x: No space left on device", "the record failed"),
        ("the guardian stalled for 1.20 s; the lease ran out", "the guardian stalled"),
        ("the clock went back by 3.00 s", "the clock went back"),
        ("the device stopped by itself", WITHHELD),
        ("the dose that the limits leave was reached", WITHHELD),
        ("Oz: 1.31 mA measured", WITHHELD),
        ("the STOP key; Oz: 1.31 mA measured", WITHHELD),
    ],
)
def test_causes_as_a_blinded_person_reads_them(cause: str, shown: str | None):
    assert visible_cause(cause, ["she coughs"]) == (cause if shown is None else shown)
    if "she" in cause:
        assert visible_cause(cause) == WITHHELD


def make(path: Path, public: bytes) -> BlindedRecord:
    record = BlindedRecord(path, planned=PLANNED, public_key=public)
    record.append("session", 0.0, session_line(PLANNED), sync=True)
    return record


def test_a_refusal_before_arming_says_why(keys: Keys, tmp_path: Path):
    with make(tmp_path / "r.jsonl", keys[0]) as record:
        assert record.closing_s == np.inf
        data = {"outcome": "refused", "cause": "the device speaks another firmware"}
        record.append("end", 0.7, data, sync=True)
        head = record.head
    lines, problem = read_record(tmp_path / "r.jsonl")
    assert (problem, lines[-1].hash, lines[-1].t_s) == (None, head, 1.0)
    assert lines[-1].data["cause"] == "the device speaks another firmware"


def test_after_the_end_comes_nothing_but_a_gap(keys: Keys, tmp_path: Path):
    with make(tmp_path / "r.jsonl", keys[0]) as record:
        record.append("end", 0.7, {"outcome": "done", "cause": ""}, sync=True)
        with pytest.raises(RecordError, match="was ended; nothing can follow"):
            record.append("note", 0.8, {"text": "x"}, sync=False)
        gap = {"from_line": 3, "to_line": 900, "waited_s": 2.5, "confirmed": True}
        record.append("gap", 0.9, gap, sync=True)
    lines, _ = read_record(tmp_path / "r.jsonl")
    assert lines[-1].data == {"waited_s": 2.5}


def test_what_was_synced_outlives_a_kill(keys: Keys, tmp_path: Path):
    record = make(tmp_path / "r.jsonl", keys[0])
    record.append("intent", 0.1, {"verb": "start", "lease_s": 1.0}, sync=True)
    record.append("intent", 0.2, {"verb": "set_level", "level": 0.25}, sync=False)
    opened = open_sealed(tmp_path / "r.sealed", keys[1])
    assert [x.kind for x in read_lines(opened.content)[0]] == ["session", "intent"]
    record.sync()
    record.append("intent", 0.7, {"verb": "set_level", "level": 0.5}, sync=True)
    # The process is gone here: nothing is closed.
    opened = open_sealed(tmp_path / "r.sealed", keys[1])
    lines, problem = read_lines(opened.content)
    assert (problem, opened.problem, opened.complete, opened.blocks) == (None, None, False, 1)
    assert [x.data.get("level") for x in lines] == [None, None, 0.25, 0.5]
    shown, problem = read_record(tmp_path / "r.jsonl")
    assert problem is None
    assert [x.kind for x in shown] == ["session", "intent", "heartbeat"]
    record.close()
    with RecordAppender(tmp_path / "r.jsonl") as again:  # as recovery does
        again.append("end", 0.5, {"outcome": "interrupted"}, sync=True)
    assert read_record(tmp_path / "r.jsonl")[1] is None
    told = check_against_open(tmp_path / "r.sealed")
    assert told is not None
    assert "the session was interrupted" in told
    raw = bytearray((tmp_path / "r.sealed").read_bytes())
    raw[9 * BLOCK_BYTES + 50] ^= 1
    (tmp_path / "r.sealed").write_bytes(raw)
    assert "is not the file that was written along with" in str(
        check_against_open(tmp_path / "r.sealed")
    )


def test_an_exchanged_sealed_file_is_told(keys: Keys, tmp_path: Path):
    for name in ("a", "b"):
        with make(tmp_path / f"{name}.jsonl", keys[0]) as record:
            record.append("end", 0.7, {"outcome": "done", "cause": ""}, sync=True)
    (tmp_path / "b.sealed").replace(tmp_path / "a.sealed")
    told = check_against_open(tmp_path / "a.sealed")
    assert told is not None
    assert "is not the file that" in told
    (tmp_path / "c.sealed").write_bytes((tmp_path / "a.sealed").read_bytes())
    assert check_against_open(tmp_path / "c.sealed") is None  # nothing to hold it against
    with (tmp_path / "a.jsonl").open("ab") as file:
        file.write(b"{}\n")
    assert "not a whole line" in str(check_against_open(tmp_path / "a.sealed"))


def test_neither_file_is_written_over(keys: Keys, tmp_path: Path):
    make(tmp_path / "r.jsonl", keys[0]).close()
    with pytest.raises(InputError, match="belongs to another record"):
        make(tmp_path / "r.jsonl", keys[0])
    (tmp_path / "r.sealed").unlink()
    with pytest.raises(InputError, match="has a record already"):
        make(tmp_path / "r.jsonl", keys[0])
    assert not (tmp_path / "r.sealed").exists()


def test_where_the_sealed_file_cannot_be_made_no_record_is_left(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: Any) -> None:
        raise InputError("no room")

    monkeypatch.setattr(module, "SealedWriter", refuse)
    with pytest.raises(InputError, match="no room"):
        make(tmp_path / "r.jsonl", keys[0])
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_and_the_lines_of_a_stop_still_fit(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write, full = os.write, True

    def maybe(fd: int, data: bytes) -> int:
        return write(fd, data[: len(data) // 2]) if full else write(fd, data)

    record = make(tmp_path / "r.jsonl", keys[0])
    record.append("intent", 0.1, {"verb": "start"}, sync=True)
    monkeypatch.setattr(os, "write", maybe)
    for _ in range(2):
        with pytest.raises(RecordError, match="No space left on device"):
            record.append("state", 1.2, {"to": "hold"}, sync=True)
    full = False
    record.release_reserve()
    record.append("state", 1.2, {"to": "stopping", "cause": "the STOP key"}, sync=False)
    record.append("end", 2.0, {"outcome": "stopped", "cause": "the STOP key"}, sync=True)
    record.close()
    lines, problem = read_record(tmp_path / "r.jsonl")
    full_lines, full_problem = read_lines(open_sealed(tmp_path / "r.sealed", keys[1]).content)
    assert (problem, full_problem) == (None, None)
    assert [x.kind for x in full_lines] == ["session", "intent", "state", "end"]
    assert lines[-1].data["cause"] == "the STOP key"
    assert check_against_open(tmp_path / "r.sealed") is None


def test_what_json_cannot_hold_is_an_error(keys: Keys, tmp_path: Path):
    with make(tmp_path / "r.jsonl", keys[0]) as record:
        with pytest.raises(RecordError, match="note holds what JSON cannot"):
            record.append("note", 0.1, {"x": float("nan")}, sync=False)
        with pytest.raises(RecordError, match="note is too long for a line"):
            record.append("note", 0.1, {"x": "a" * 2**21}, sync=False)
        record.append("note", 0.1, {"x": 1}, sync=True)
    lines, problem = read_lines(open_sealed(tmp_path / "r.sealed", keys[1]).content)
    assert (problem, [x.kind for x in lines]) == (None, ["session", "note"])


def test_a_thread_syncs_both_files(keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced: list[int] = []
    fsync = os.fsync

    def watch(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        fsync(fd)

    with make(tmp_path / "r.jsonl", keys[0]) as record:
        record.start_background()
        record.start_background()
        monkeypatch.setattr(os, "fsync", watch)
        record.append("note", 0.2, {"text": "x"}, sync=False)
        record.sync()
        opened = open_sealed(tmp_path / "r.sealed", keys[1])
        assert [x.kind for x in read_lines(opened.content)[0]] == ["session", "note"]
        record.append("end", 0.7, {"outcome": "done", "cause": ""}, sync=True)
    inodes = {(tmp_path / name).stat().st_ino for name in ("r.jsonl", "r.sealed")}
    assert inodes <= set(synced)
    assert read_record(tmp_path / "r.jsonl")[1] is None


# -- files ----------------------------------------------------------------------------------------


def test_sealed_traces_of_all_arms_have_one_size(keys: Keys, tmp_path: Path):
    sizes, clear = set(), set()
    bound = trace_bound(16.0, 2)
    for arm in ARMS:
        run(tmp_path / arm, keys[0], arm)
        scope = tmp_path / arm / "scope.tsv.gz"
        content = scope.read_bytes()
        clear.add(len(content))
        told = seal_file(scope, tmp_path / f"{arm}.sealed", keys[0], padded_to=bound)
        assert not scope.exists()
        assert open_sealed(tmp_path / f"{arm}.sealed", keys[1]).content == content
        assert told == sealed_digest(tmp_path / f"{arm}.sealed")
        sizes.add((tmp_path / f"{arm}.sealed").stat().st_size)
    assert len(clear) == 3
    assert len(sizes) == 1


def test_the_bound_holds_for_a_trace_without_any_regularity(tmp_path: Path):
    import zlib

    rng = np.random.default_rng(0)
    for scale in (4.0, 9.9999):
        trace = np.round(rng.uniform(-scale, scale, (20_000, 2)), 4)
        text = "".join(f"{a:.4f}\t{b:.4f}\n" for a, b in trace).encode()
        packer = zlib.compressobj(1, zlib.DEFLATED, wbits=31)
        size = len(packer.compress(text) + packer.flush())
        assert size <= trace_bound(20.0, 2) - 2**20 - trace_bound(0.0, 2) + 2**20


def test_a_file_that_cannot_be_sealed_stays(keys: Keys, tmp_path: Path):
    source, target = tmp_path / "a", tmp_path / "a.sealed"
    source.write_bytes(b"x" * 100)
    with pytest.raises(InputError, match="has 100 bytes, more than the 99"):
        seal_file(source, target, keys[0], padded_to=99)
    assert not target.exists()
    seal_file(source, target, keys[0], padded_to=100)
    source.write_bytes(b"again")
    with pytest.raises(InputError, match="is there already"):
        seal_file(source, target, keys[0], padded_to=100)
    assert source.read_bytes() == b"again"
    with pytest.raises(InputError, match="cannot be read"):
        seal_file(tmp_path / "none", tmp_path / "b", keys[0], padded_to=100)


def test_a_full_disk_leaves_the_clear_file(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source = tmp_path / "a"
    source.write_bytes(b"x" * 100)
    writer = module.SealedWriter

    class Full(writer):  # type: ignore[misc, valid-type]
        def finish(self, blocks: int) -> None:
            raise RecordError("No space left on device")

    monkeypatch.setattr(module, "SealedWriter", Full)
    with pytest.raises(RecordError, match=r"cannot be sealed .* it was left in the clear"):
        seal_file(source, tmp_path / "b", keys[0], padded_to=100)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
