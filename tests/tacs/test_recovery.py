"""Recovery after a kill at any instant: what is read verifies, what is booked is enough."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from devices.emulators.oscilloscope import Oscilloscope
from tacs import bids, recovery
from tacs.anchors import verify_dataset
from tacs.cli import call
from tacs.clock import QueueInbox, utc_now
from tacs.dataset import SessionPaths
from tacs.dose import read_trace
from tacs.guardian import HOLD_TICK_S, SYNC_S
from tacs.ledger import Ledger
from tacs.protocol import Blinding, Protocol
from tacs.record import Line, RecordWriter, read_lines, read_record, reserve_of, verify_record
from tacs.recovery import LOST_S, Recovered, recover
from tacs.runner import run
from tests.tacs.made import protocol as made_protocol
from tests.tacs.rehearsal import rehearse
from tests.tacs.studies import study

SHORT = made_protocol(duration_s=14.0, ramp_up_s=5.0, ramp_down_s=4.0)
LEASE_S, STOP_S = 1.0, 0.8
MEAN_PER_PEAK = 2.0 / np.pi


@dataclass(frozen=True)
class Run:
    """One whole session on disk, from which a crash at any instant can be made."""

    folder: Path
    paths: SessionPaths
    content: bytes
    lines: list[Line]
    ledger: bytes
    trace: NDArray[np.float64]
    protocol: Protocol

    def charge_c(self, until_s: float) -> float:
        """What flowed by a session time; the trace begins with the record."""
        return float(np.abs(self.trace[0, : max(round(until_s * 1000.0), 0)]).sum() * 1e-6)

    def level(self, at_s: float) -> float:
        """The level that was commanded last."""
        known = [x.data["level"] for x in self.lines if x.t_s <= at_s and "level" in x.data]
        return float(known[-1]) if known else 0.0


def one_session(folder: Path, site: Path, protocol: Protocol, **options: Any) -> Run:
    dataset = folder / "data"
    (site / "site.toml").write_text(
        'site = "made"\napproved_by = "made"\nreason = "short sessions"\n'
        "[limits]\nramp_up_shortest_s = 5.0\nramp_down_shortest_s = 4.0\n"
    )
    whole = run(
        protocol, "emulated:synthpal", subject="P01", session="01", dataset=dataset,
        clock="virtual", **options,
    )  # fmt: skip
    assert whole.trace is not None
    content = whole.record.read_bytes()
    lines, problem = read_lines(content)
    assert problem is None
    return Run(
        folder=folder,
        paths=SessionPaths.of(dataset, "P01", "01"),
        content=content,
        lines=lines,
        ledger=(site / "ledger-emulated.jsonl").read_bytes(),
        trace=read_trace(whole.trace, 2),
        protocol=protocol,
    )


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder, site = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TACS_SITE_DIR", str(site))
        yield one_session(folder, site, SHORT)


def crashed(
    whole: Run, site: Path, size: int, *, trace: str = "none", booked: bool = False
) -> Path:
    """Lay a session out on disk as a crash with so many bytes of its record leaves it."""
    dataset = whole.paths.dataset
    shutil.rmtree(whole.paths.eeg, ignore_errors=True)
    for path in whole.paths.source.glob("*"):
        if path.is_file() and path != whole.paths.record:
            path.unlink()
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir()
    entries = whole.ledger if booked else whole.ledger.splitlines(keepends=True)[0]
    (site / "ledger-emulated.jsonl").write_bytes(entries)
    whole.paths.record.write_bytes(whole.content[:size])
    return dataset


def running_scope(whole: Run) -> Oscilloscope:
    """An oscilloscope on what flowed in a session."""

    def source(times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        index = np.rint(times_s * 1000.0).astype(int)
        padded = np.pad(whole.trace, ((0, 0), (0, max(int(index[-1]) + 1, 0))))
        return padded[:, index]

    zero_s = float(whole.lines[0].data["clock_zero_s"])
    return Oscilloscope(whole.paths.oscilloscope, ("Oz", "Cz"), zero_s, source)


def oscilloscope(whole: Run, until_s: float, *, clean: bool, torn: bool = False) -> None:
    """Leave the trace of an oscilloscope up to a session time."""
    running_scope(whole).close(until_s, clean=clean)
    path = whole.paths.oscilloscope
    if torn:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def open_sessions(site: Path) -> int:
    return len(Ledger(site, emulated=True).history("P01", utc_now()).open_sessions)


def at_line(whole: Run, n_lines: int) -> int:
    """Bytes of so many lines."""
    return sum(len(x) for x in whole.content.splitlines(keepends=True)[:n_lines])


def test_a_cut_at_any_byte_leaves_a_verified_prefix(short: Run):
    size = len(short.content)
    cuts = {*range(size - 120, size), *random.Random(1).sample(range(size), 30)}
    for cut in sorted(cuts):
        content = short.content[:cut]
        lines, problem = read_lines(content, allow_torn_tail=True)
        assert problem is None
        assert lines == short.lines[: content.count(b"\n")]
        problem = read_lines(content)[1]
        assert (problem is None) == (content.endswith(b"\n") or cut == 0)


def test_a_changed_byte_is_found_at_its_line(short: Run):
    draw = random.Random(2)
    # The first lines alone: what comes after a bad line is not looked at.
    content = short.content[: at_line(short, 60)]
    for at in draw.sample(range(len(content)), 300):
        spoiled = bytearray(content)
        spoiled[at] ^= 1 << draw.randrange(8)
        lines, problem = read_lines(bytes(spoiled))
        number = content[:at].count(b"\n")
        assert len(lines) == number
        assert problem is not None
        assert problem.startswith(f"line {number + 1}: ")


def test_the_bound_is_one_at_every_line(short: Run):
    """Killed after any line, and with any lines lost that a disk may lose."""
    started = [x for x in short.lines if x.kind == "intent" and x.data["verb"] == "start"]
    first = short.lines.index(started[0])
    last = next(i for i, x in enumerate(short.lines) if x.kind == "end")
    whole_c = short.charge_c(1e6)
    for n in range(first + 1, last + 1):
        lines = short.lines[:n]
        t_s = lines[-1].t_s
        bound = recovery._upper_bound(short.protocol, lines, started)
        # After a kill the device plays on at its level until its lease ends, then ramps down.
        plays_on_s = LEASE_S + 0.5 * STOP_S
        killed_c = short.charge_c(t_s) + short.level(t_s) * MEAN_PER_PEAK * plays_on_s * 1e-3
        lost_c = short.charge_c(t_s + LOST_S)
        for name in ("Oz", "Cz"):
            assert bound.rectified_charge_c[name] >= max(killed_c, lost_c), (n, t_s)
            over_c = (LOST_S + LEASE_S + STOP_S) * MEAN_PER_PEAK * 1e-3
            assert bound.rectified_charge_c[name] <= short.charge_c(t_s) + over_c + 0.03 * whole_c
        assert bound.duration_s >= t_s - started[0].t_s
        assert bound.current_peak_ma <= 1.0 + 1e-9


@pytest.mark.parametrize("share", [0.002, 0.05, 0.3, 0.5, 0.8, 0.97, 0.999])
@pytest.mark.parametrize("trace", ["none", "clean", "cut", "torn"])
def test_a_kill_is_closed_and_booked_with_enough(
    short: Run, site_folder: Path, monkeypatch: pytest.MonkeyPatch, share: float, trace: str
):
    monkeypatch.setattr(recovery, "SETTLE_S", 0.0)
    n = sum(1 for x in short.lines if x.kind != "end")
    size = at_line(short, max(round(share * n), 1)) + 17  # and a torn line
    dataset = crashed(short, site_folder, size)
    reserve_of(short.paths.record).write_bytes(b"\0" * 100)
    t_s = read_record(short.paths.record, allow_torn_tail=True)[0][-1].t_s
    if trace == "clean":
        oscilloscope(short, 30.0, clean=True)
    elif trace != "none":
        oscilloscope(short, t_s, clean=False, torn=trace == "torn")
    assert open_sessions(site_folder) == 1
    (closed,) = recover(dataset)
    assert closed.outcome == "interrupted"
    assert closed.delivered is not None
    started = any(x.data.get("verb") == "start" for x in read_record(short.paths.record)[0])
    truth_c = short.charge_c(1e6 if trace == "clean" else t_s) if started else 0.0
    for name in ("Oz", "Cz"):
        assert closed.delivered.rectified_charge_c[name] >= truth_c * (1.0 - 1e-6)
    assert (closed.delivered.source == "measured") == (trace == "clean" and started)
    assert verify_record(short.paths.record) is None
    assert not reserve_of(short.paths.record).exists()
    assert open_sessions(site_folder) == 0
    booked = Ledger(site_folder, emulated=True).history("P01", utc_now()).rectified_charge_24h_c
    assert booked == pytest.approx(dict(closed.delivered.rectified_charge_c), abs=1e-6)
    assert verify_dataset(dataset, site_folder) == []
    assert short.paths.trace.exists() == (trace != "none")
    assert not short.paths.oscilloscope.exists()
    assert recover(dataset) == []


def test_a_trace_that_is_closed_while_it_is_read_is_no_measurement(
    short: Run, site_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """The oscilloscope outlives the wait for it, and ends between two looks at its files."""
    monkeypatch.setattr(recovery, "SETTLE_S", 0.0)
    lines = [x for x in short.lines if x.t_s < 7.0]
    dataset = crashed(short, site_folder, at_line(short, len(lines)))
    scope = running_scope(short)  # nothing of its first ten seconds is on disk

    def read_then_close(path: Path, n_columns: int) -> NDArray[np.float64]:
        trace = read_trace(path, n_columns)
        scope.close(30.0, clean=True)
        return trace

    monkeypatch.setattr(recovery, "read_trace", read_then_close)
    (closed,) = recover(dataset)
    assert closed.delivered is not None
    assert closed.delivered.source == "upper bound"
    assert closed.delivered.rectified_charge_c["Oz"] >= short.charge_c(lines[-1].t_s + LOST_S)


@pytest.mark.parametrize("what", ["torn", "ends early", "begins late", "says nothing", "empty"])
def test_a_closed_trace_that_is_not_whole_is_no_measurement(
    short: Run, site_folder: Path, monkeypatch: pytest.MonkeyPatch, what: str
):
    monkeypatch.setattr(recovery, "SETTLE_S", 0.0)
    dataset = crashed(short, site_folder, at_line(short, len(short.lines) - 20))
    silent_s = next(x.t_s for x in short.lines if x.data.get("verb") == "start")
    until_s = {"ends early": silent_s, "empty": 0.0}.get(what, 30.0)
    oscilloscope(short, until_s, clean=True, torn=what == "torn")
    data = json.loads(description(short).read_text())
    if what == "begins late":
        data["start_s"] += 15.0
    if what == "says nothing":
        del data["clean"]
    description(short).write_text(json.dumps(data))
    (closed,) = recover(dataset)
    assert closed.delivered is not None
    assert closed.delivered.source == "upper bound"
    assert closed.delivered.rectified_charge_c["Oz"] >= short.charge_c(1e6)
    assert "an upper bound" in closed.note
    assert read_record(short.paths.record)[0][-1].data["quiet_after_last_command_s"] is None


def test_a_kill_before_the_first_line_leaves_nothing_to_close(short: Run, site_folder: Path):
    for size in (0, 1, 200):
        dataset = crashed(short, site_folder, size)
        (site_folder / "ledger-emulated.jsonl").unlink()
        reserve_of(short.paths.record).write_bytes(b"\0")
        assert recover(dataset) == []
        assert not reserve_of(short.paths.record).exists()
        assert short.paths.record.read_bytes() == short.content[:size]


def test_a_kill_between_the_reservation_and_the_start_books_nothing(short: Run, site_folder: Path):
    armed = next(i for i, x in enumerate(short.lines) if x.data.get("to") == "armed")
    dataset = crashed(short, site_folder, at_line(short, armed + 1))
    (closed,) = recover(dataset)
    assert closed.delivered is not None
    assert closed.delivered.duration_s == 0.0
    assert closed.note == "the host was lost in state armed; nothing had been started"
    history = Ledger(site_folder, emulated=True).history("P01", utc_now())
    assert (history.current_on_24h_min, history.open_sessions) == (0.0, ())


def test_a_kill_between_the_last_line_and_the_booking(short: Run, site_folder: Path):
    dataset = crashed(short, site_folder, len(short.content))
    (closed,) = recover(dataset)
    assert closed.outcome == "done"
    assert closed.note == "the session had ended; its dose was not booked yet, and is now"
    assert open_sessions(site_folder) == 0
    assert recover(dataset) == []


def test_a_table_of_sessions_that_cannot_be_written_says_nothing_of_the_trace(
    short: Run, site_folder: Path
):
    dataset = crashed(short, site_folder, at_line(short, len(short.lines) // 2))
    table = dataset / "sub-P01" / "sub-P01_sessions.tsv"
    table.write_bytes(b"session_id\xff\xfe\n")
    (told,) = recover(dataset)
    table.unlink()
    assert "the session is not in the table of sessions" in told.note
    assert "cannot be read as a table" in told.note
    assert "trace" not in told.note


def test_a_kill_during_the_storing_of_the_trace(
    short: Run, site_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """Cut off before each thing that storing a trace does, one after the other."""
    events = None
    for steps in range(12):
        dataset = crashed(short, site_folder, len(short.content), booked=True)
        oscilloscope(short, 30.0, clean=True)
        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            die_after(patch, steps)
            recover(dataset)
        if short.paths.events.exists():
            events = short.paths.events.read_text()
        if short.paths.oscilloscope.exists() or description(short).exists():
            assert [s.outcome for s in recover(dataset)] == ["done"]
        assert recover(dataset) == []
        assert short.paths.trace.exists()
        assert not short.paths.oscilloscope.exists()
        np.testing.assert_array_equal(
            read_trace(short.paths.trace, 2)[:, : short.trace.shape[1]], short.trace
        )
        sidecar = short.paths.trace.with_name(short.paths.trace.name[:-7] + ".json")
        assert json.loads(sidecar.read_text())["Columns"] == ["Oz", "Cz"]
    assert events is not None
    assert events.startswith("onset\tduration\ttrial_type\n")


class Killed(BaseException):
    """Stands for a process that dies."""


def die_after(patch: pytest.MonkeyPatch, steps: int) -> None:
    """Die at the first file operation after so many of them."""
    count = [0]

    def counted(original: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            count[0] += 1
            if count[0] > steps:
                raise Killed
            return original(*arguments, **options)

        return call

    patch.setattr(Path, "replace", counted(Path.replace))
    patch.setattr(bids, "write_text", counted(bids.write_text))
    patch.setattr(bids, "write_json", counted(bids.write_json))


def description(whole: Run) -> Path:
    scope = whole.paths.oscilloscope
    return scope.with_name(scope.name.removesuffix(".tsv.gz") + ".json")


def test_a_kill_during_a_stop(tmp_path: Path, site_folder: Path):
    inbox = QueueInbox([(6.0, "stop:the operator")])
    whole = one_session(tmp_path, site_folder, SHORT, inbox=inbox)
    sent = next(i for i, x in enumerate(whole.lines) if x.data.get("verb") == "soft_stop")
    stopped = next(i for i, x in enumerate(whole.lines) if x.data.get("to") == "stopped")
    for n in range(sent, stopped + 1):
        dataset = crashed(whole, site_folder, at_line(whole, n + 1))
        (closed,) = recover(dataset)
        assert closed.delivered is not None
        assert closed.delivered.rectified_charge_c["Oz"] >= whole.charge_c(1e6)
        assert open_sessions(site_folder) == 0


def test_a_session_that_is_running_is_left_alone(short: Run, site_folder: Path):
    dataset = crashed(short, site_folder, 0)
    Ledger(site_folder, emulated=True).path.unlink()
    short.paths.record.unlink()
    with RecordWriter(short.paths.record) as record:
        first = short.lines[0]
        record.append(first.kind, first.t_s, first.data, sync=True)
        before = short.paths.record.read_bytes()
        (told,) = recover(dataset)
        assert (told.outcome, told.delivered) == ("running", None)
        assert short.paths.record.read_bytes() == before
        record.append("state", 1.0, {"from": "idle", "to": "connected"}, sync=True)
    assert verify_record(short.paths.record) is None
    assert [s.outcome for s in recover(dataset)] == ["interrupted"]


def test_a_record_that_cannot_be_understood_keeps_no_other_from_being_closed(
    short: Run, site_folder: Path
):
    dataset = crashed(short, site_folder, at_line(short, 100))
    strange = SessionPaths.of(dataset, "P00", "01").record
    with RecordWriter(strange) as record:
        record.append("session", 0.0, {"emulated": True}, sync=True)
    try:
        told = {s.record: s for s in recover(dataset)}
        assert told[short.paths.record].outcome == "interrupted"
        assert told[strange].outcome == "open"
        assert "could not be closed: KeyError 'protocol'" in told[strange].note
    finally:
        shutil.rmtree(strange.parents[1])


def test_a_blinded_session_is_closed_without_a_word_of_the_arm(tmp_path: Path, site_folder: Path):
    """Of a sealed record the open one tells no levels: in every arm the same is booked."""
    found: list[Recovered] = []
    whole = one_session(tmp_path, site_folder, SHORT)
    planned = SHORT.model_copy(update={"blinding": Blinding(label="A")})
    doses = []
    for trace in (False, True):
        crashed(whole, site_folder, 0)
        study("A")
        whole.paths.record.unlink()
        with RecordWriter(whole.paths.record) as record:
            first = {
                **whole.lines[0].data,
                "sealed": "x.sealed",
                "protocol": planned.to_data(),
            }
            record.append("session", 0.0, first, sync=True)
            key = record.head
            record.append("intent", 0.5, {"verb": "start"}, sync=True)
            record.append("heartbeat", 7.5, {"sealed": "0" * 64}, sync=True)
        ledger = Ledger(site_folder, emulated=True)
        ledger.path.unlink()
        ledger.reserve(
            key, subject="P01", session="01", dataset=whole.paths.dataset, protocol=planned,
            now=utc_now(),
        )  # fmt: skip
        if trace:
            oscilloscope(whole, 30.0, clean=True)
        found += recover(whole.paths.dataset)
        assert not whole.paths.trace.exists()
        assert whole.paths.sealed_trace.exists() is trace
        end = read_record(whole.paths.record)[0][-1].data
        assert end == {
            "outcome": "interrupted", "cause": "the host was lost", "delivered": None,
            "recovered": True, "blinded": True,
        }  # fmt: skip
        doses.append(ledger.history("P01", utc_now()).rectified_charge_24h_c)
    assert [s.delivered for s in found] == [None, None]
    assert found[0].note == found[1].note
    assert doses[0] == doses[1]
    assert doses[0] is not None
    assert doses[0]["Oz"] >= whole.charge_c(7.5 + LOST_S)


# -- power lost: what was not synced is gone -------------------------------------------------------


class PowerCut(RecordWriter):
    """Remembers how much of its file is on disk for certain, and when each line was written."""

    synced: ClassVar[list[tuple[float, int]]] = []

    def append(self, kind: str, t_s: float, data: Any, *, sync: bool) -> None:
        super().append(kind, t_s, data, sync=sync)
        self.note(t_s, sync)

    def sync(self) -> None:
        super().sync()
        self.note(self._t_s, True)

    def note(self, t_s: float, synced: bool) -> None:
        size = os.fstat(self._fd).st_size
        on_disk = size if synced else (self.synced[-1][1] if self.synced else 0)
        self.synced.append((t_s, on_disk))


def test_no_more_than_half_a_second_is_lost_with_the_power(tmp_path: Path):
    PowerCut.synced.clear()
    done = rehearse(SHORT, tmp_path, writer=PowerCut)
    content = done.record.read_bytes()
    lost_s = 0.0
    ends = {0: 0.0}
    size = 0
    for raw, line in zip(
        content.splitlines(keepends=True), read_lines(content)[0], strict=True
    ):  # fmt: skip
        size += len(raw)
        ends[size] = line.t_s
    for t_s, on_disk in PowerCut.synced:
        assert on_disk in ends  # syncs end with a line: what is left verifies
        lost_s = max(lost_s, t_s - ends[on_disk])
    # Half a second, the tick that it ends in, and the moment that the commands of a tick take.
    assert 0.3 < lost_s <= SYNC_S + HOLD_TICK_S + 0.02
    assert lost_s < LOST_S


def test_the_command_lists_damage_and_takes_an_acknowledgement(
    short: Run, site_folder: Path, capsys: pytest.CaptureFixture[str]
):
    def said(*arguments: str) -> tuple[int, dict[str, Any]]:
        code = call(["--json", "recover", str(dataset), *arguments])
        return code, json.loads(capsys.readouterr().out)

    dataset = crashed(short, site_folder, at_line(short, 200), booked=True)
    record = str(short.paths.record)
    code, told = said()
    assert code == 5
    (damaged,) = told["damaged"]
    assert (damaged["record"], damaged["first_bad_line"]) == (record, 201)
    assert damaged["problem"] == "line 201: cut off; the head that was booked is gone"
    assert not damaged["acknowledged"]
    assert told["sessions"][0]["outcome"] == "damaged"
    assert short.paths.record.read_bytes() == short.content[: at_line(short, 200)]
    code, told = said("--acknowledge", record, "--operator", "N", "--role", "manager")
    assert code == 2
    assert "needs --reason" in told["error"]
    who = ("--operator", "N", "--role", "manager", "--reason", "disk replaced")
    code, told = said("--acknowledge", record, *who)
    assert code == 0
    assert [d["acknowledged"] for d in told["damaged"]] == [True]
    assert told["sessions"] == []


def lines_of(capabilities: dict[str, Any], last_s: float, ago_s: float) -> list[Line]:
    """A start at 2 s at full level, and a last line; whatever the device declares."""
    first = {"capabilities": {"soft_stop_s": 0.8, **capabilities}, "limits": {"lease_ttl_s": 1.0}}
    told = ((0.0, first), (2.0, {"verb": "start"}), (last_s, {"verb": "set_level", "level": 1.0}))
    utc = (utc_now() - timedelta(seconds=ago_s)).isoformat()
    return [
        Line(seq=i, t_s=t_s, utc=utc, kind="intent", data=data, hash="")
        for i, (t_s, data) in enumerate(told)
    ]


@pytest.mark.parametrize(
    ("capabilities", "tail_s"),
    [
        ({}, LOST_S + LEASE_S + STOP_S),
        ({"host_loss": "lease", "host_loss_worst_case_s": 1.8}, LOST_S + LEASE_S + STOP_S),
        # 14 s of programme, of which 5 s are over.
        ({"host_loss": "programme", "host_loss_worst_case_s": 0.5}, LOST_S + 9.0 + 0.5),
    ],
)
def test_what_may_follow_the_last_line_is_what_the_device_declares(
    capabilities: dict[str, Any], tail_s: float
):
    lines = lines_of(capabilities, 7.0, 3600.0)
    bound = recovery._upper_bound(SHORT, lines, lines[1:2])
    assert bound.duration_s == pytest.approx(5.0 + tail_s)
    # Level 1 for the five seconds, counted from the higher of two neighbours, and for the tail.
    assert bound.rectified_charge_c["Oz"] == pytest.approx(MEAN_PER_PEAK * 1e-3 * (5.0 + tail_s))


def test_current_that_would_not_end_is_booked_as_direct_current_until_now():
    lines = lines_of({"host_loss": "never", "host_loss_worst_case_s": None}, 7.0, 100.0)
    bound = recovery._upper_bound(SHORT, lines, lines[1:2])
    assert bound.duration_s == pytest.approx(5.0 + LOST_S + 100.0, abs=1.0)
    assert bound.rectified_charge_c["Oz"] == pytest.approx(
        1e-3 * (MEAN_PER_PEAK * 5.0 + LOST_S + 100.0), abs=1e-3
    )


def test_a_device_that_runs_its_own_envelope_is_bounded_at_the_full_current():
    lines = lines_of({"host_loss": "programme", "host_loss_worst_case_s": 0.0,
                      "level_control": False}, 7.0, 10.0)  # fmt: skip
    lines[2] = replace(lines[2], data={"verb": "set_level", "level": 0.1})
    bound = recovery._upper_bound(SHORT, lines, lines[1:2])
    assert bound.current_peak_ma == pytest.approx(1.0)
