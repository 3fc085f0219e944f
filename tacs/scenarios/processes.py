"""Sessions as processes of their own on the real clock: what happens when one of them dies.

Each runs as a user would run it, ``tacs run`` with its guardian and its emulator, in a site of its
own. A kill is a kill, and a restart is ``tacs recover`` in a new process.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tacs.bids import SessionPaths, left_trace
from tacs.clock import MonotonicClock, utc_now
from tacs.dose import read_trace
from tacs.driver import TraceInfo
from tacs.errors import DeviceBusy, InputError, TacsError
from tacs.ledger import Ledger
from tacs.local_link import Connection, Contact, connect
from tacs.record import RecordWriter, read_record
from tacs.scenarios.bench import RAMP_UP_S, Bench, Rehearsed
from tacs.scenarios.evidence import Evidence, Verdict

__all__ = [
    "claimed_twice",
    "front_end_lost",
    "guardian_killed",
    "guardian_suspended",
    "power_cut",
]

STOP_Z_S = 1.0
IN_HOLD_S = 0.3
SUSPENDED_S = 3.0
READY_S, OVER_S = 60.0, 60.0
END_S = 10.0  # from the end of the current to that of the trace
# The last 50 µA of a stop's ramp take 40 ms; a sine of more than 61 µA is not below for 30 ms.
TAIL_S = 0.03
TICKS_S = 0.3  # until a lost front end is noticed, and a busy computer
ROUNDING_C = 1e-6  # of a ledger's entries
LOST_S = 1.0


class _Live:
    """One session under way, and a viewer at its guardian.

    Parameters
    ----------
    bench : Bench
        Device and rig.
    label : str
        Of the participant, and of the folders.
    """

    def __init__(self, bench: Bench, label: str) -> None:
        self.clock = MonotonicClock()
        self.label = label
        by_itself_s = bench.linger_s(0.0) + END_S
        self._over_s = max(OVER_S, by_itself_s) if math.isfinite(by_itself_s) else OVER_S
        self.folder = bench.folder / label
        self.folder.mkdir()
        self.site = bench.site_beside(f"site-{label}")
        runtime = bench.folder / f"run-{label}"
        runtime.mkdir(mode=0o700)
        self.paths = SessionPaths.of(self.folder / "data", label, "01")
        self._environment = {
            **os.environ,
            "TACS_SITE_DIR": str(self.site),
            "TACS_RUNTIME_DIR": str(runtime),
        }
        bench.protocol().to_toml(self.folder / "protocol.toml")
        if bench.setup.rig is not None:
            bench.setup.rig.to_toml(self.folder / "rig.toml")
        with (self.folder / "front.log").open("wb") as log:
            self.front = subprocess.Popen(
                self._tacs(
                    "run", self.folder / "protocol.toml", "--device", bench.setup.device,
                    "--rig", self.folder / "rig.toml", "--subject", label, "--session", "01",
                    "--out", self.paths.dataset, "--json", "--operator", "bench",
                    *(f"--override={name}={why}" for name, why in bench.overrides.items()),
                ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )  # fmt: skip
        self.contact = self._contact(runtime)
        self.link = connect(self.contact, role="viewer", name="verification")

    def _tacs(self, *words: object) -> list[str]:
        return [sys.executable, "-m", "tacs", *(str(word) for word in words)]

    def _contact(self, runtime: Path) -> Contact:
        until_s = self.clock.now_s() + READY_S
        while self.clock.now_s() < until_s and self.front.poll() is None:
            for note in runtime.glob("*.json"):
                with contextlib.suppress(ValueError, TypeError):
                    return Contact(**json.loads(note.read_text(encoding="utf-8")))
            self.clock.wait(self.clock.now_s() + 0.05)
        told = (self.folder / "front.log").read_text(encoding="utf-8", errors="replace")
        raise InputError(f"the session did not start: {' '.join(told.split())[-300:]}")

    def await_message(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the first message of the guardian that fits.

        Raises
        ------
        InputError
            It did not come.
        """
        until_s = self.clock.now_s() + OVER_S
        while self.clock.now_s() < until_s and self.link.open:
            self.link.wait(0.5)
            for message in self.link.receive():
                if fits(message):
                    return message
        raise InputError(f"{self.label}: what was waited for did not come from the guardian")

    def reach_hold(self) -> None:
        """Wait until full current has flowed for a moment."""
        self.await_message(lambda m: m.get("telemetry", {}).get("state") == "hold")
        self.clock.wait(self.clock.now_s() + IN_HOLD_S)

    def kill(self, pid: int, number: signal.Signals) -> float:
        """Send a signal; return the clock time."""
        os.kill(pid, number)
        return self.clock.now_s()

    def result(self) -> dict[str, Any]:
        """Return how the guardian says the session ended."""
        found: dict[str, Any] = self.await_message(lambda m: "result" in m)["result"]
        return found

    def front_says(self) -> dict[str, Any]:
        """Wait for the front end; return what it printed."""
        out, _ = self.front.communicate(timeout=OVER_S)
        told: dict[str, Any] = json.loads(out)
        return told

    def recover(self) -> dict[str, Any]:
        """Run ``tacs recover`` in a new process; return what it says of the session."""
        done = subprocess.run(
            self._tacs("recover", self.paths.dataset, "--json"),
            capture_output=True,
            env=self._environment,
            timeout=OVER_S,
            check=False,
        )
        sessions = json.loads(done.stdout).get("sessions", [])
        if len(sessions) != 1:
            raise InputError(f"{self.label}: tacs recover tells of {len(sessions)} sessions")
        found: dict[str, Any] = sessions[0]
        return found

    def seen(self) -> Rehearsed:
        """Return record and trace; its times are those of the machine's clock."""
        until_s = self.clock.now_s() + self._over_s
        while not self.paths.trace.exists():
            if self._left_whole() or self.clock.now_s() > until_s:
                break
            self.clock.wait(self.clock.now_s() + 0.1)
        lines, problem = read_record(self.paths.record, allow_torn_tail=True)
        info = self._stored() if self.paths.trace.exists() else left_trace(self.paths)
        if info is None:
            raise InputError(f"{self.label}: the oscilloscope left no trace")
        return Rehearsed(
            result=None,
            refused=None,
            lines=lines,
            problem=problem,
            trace=read_trace(info.path, len(info.columns)),
            columns=info.columns,
            rate_hz=info.sampling_frequency_hz,
            start_s=-info.start_s,
        )

    def _left_whole(self) -> bool:
        """Whether the oscilloscope of a session without a guardian has closed its file."""
        trace = self.paths.oscilloscope
        note = trace.with_name(trace.name.removesuffix(".tsv.gz") + ".json")
        with contextlib.suppress(OSError, ValueError):
            return bool(json.loads(note.read_text(encoding="utf-8"))["clean"])
        return False

    def _stored(self) -> TraceInfo:
        """The trace that the guardian put into the data set."""
        path = self.paths.trace
        note = path.with_name(path.name.removesuffix(".tsv.gz") + ".json")
        until_s = self.clock.now_s() + READY_S
        while not note.exists() and self.clock.now_s() < until_s:
            self.clock.wait(self.clock.now_s() + 0.1)
        data = json.loads(note.read_text(encoding="utf-8"))
        lines, _ = read_record(self.paths.record, allow_torn_tail=True)
        started = next(x.t_s for x in lines if x.data.get("from") == "armed")
        start_s = lines[0].data["clock_zero_s"] + started + data["StartTime"]
        return TraceInfo(
            path=path,
            columns=tuple(data["Columns"]),
            sampling_frequency_hz=data["SamplingFrequency"],
            start_s=start_s,
            n_samples=0,
            clean=True,
        )

    def close(self) -> None:
        """Leave nothing behind: a guardian without a front end stops by itself."""
        self.link.close()
        with contextlib.suppress(ProcessLookupError):
            self.front.send_signal(signal.SIGCONT)
        self.front.kill()
        self.front.wait()
        if self.front.stdout is not None:
            self.front.stdout.close()


@contextlib.contextmanager
def live(bench: Bench, label: str) -> Iterator[_Live]:
    """Run a session until it holds full current."""
    session = _Live(bench, label)
    try:
        session.reach_hold()
        yield session
    finally:
        session.close()


def guardian_killed(bench: Bench) -> Verdict:
    """Row 1: SIGKILL in hold."""
    proof = Evidence()
    with live(bench, "R01") as session:
        at_s = session.kill(session.contact.pid, signal.SIGKILL)
        told = session.front_says()
        seen = session.seen()
        proof.equal("front_end_says", told["outcome"], "interrupted")
        proof.at_most("quiet_s", seen.quiet_after_s(at_s, tail_s=TAIL_S), bench.z_s(RAMP_UP_S))
        closed = session.recover()
        interrupted(proof, session, seen, closed)
        proof.equal("dose", closed["delivered"]["source"], "measured")
    return proof.verdict()


def interrupted(proof: Evidence, session: _Live, seen: Rehearsed, closed: dict[str, Any]) -> None:
    """Require that a lost session is closed as one, and that no less than flowed is booked."""
    proof.equal("recovered_as", closed["outcome"], "interrupted")
    true_c = max(seen.charge_c().values())
    told_c = closed["delivered"]["rectified_charge_c"]
    history = Ledger(session.site, emulated=True).history(session.label, utc_now())
    booked_c = max((history.rectified_charge_24h_c or {}).values(), default=0.0)
    proof.note("charge_c", true_c)
    proof.at_least("recovered_less_true_c", told_c - true_c, -ROUNDING_C)
    proof.at_least("booked_less_true_c", booked_c - true_c, -ROUNDING_C)
    proof.at_most("booked_over_true", booked_c / true_c, 4.0)
    lines, problem = read_record(session.paths.record)
    proof.equal("record", problem or "verifies", "verifies")
    proof.equal("record_ends", lines[-1].data.get("cause", ""), "the host was lost")
    proof.equal("open_sessions", len(history.open_sessions), 0)


class _NotesSyncs(RecordWriter):
    """A record that remembers when its lines were to be on disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.synced_seq: list[int] = []

    def sync(self) -> None:
        """Sync, and remember."""
        super().sync()
        self.synced_seq.append(self._seq)


def power_cut(bench: Bench) -> Verdict:
    """Row 29: everything dies at once; what was not synced is gone, the last line is torn."""
    proof = Evidence()
    writers: list[_NotesSyncs] = []

    def writer(path: Path) -> RecordWriter:
        writers.append(_NotesSyncs(path))
        return writers[-1]

    usual = bench.rehearse("R29syncs", writer=writer)
    synced_s = [usual.lines[seq - 1].t_s for seq in writers[0].synced_seq]
    gaps_s = [b - a for a, b in itertools.pairwise(synced_s)]
    proof.at_most("between_syncs_s", max(gaps_s, default=99.0), LOST_S)
    with live(bench, "R29") as session:
        at_s = session.kill(session.contact.pid, signal.SIGKILL)
        session.front_says()
        seen = session.seen()
        proof.at_most("quiet_s", seen.quiet_after_s(at_s, tail_s=TAIL_S), bench.z_s(RAMP_UP_S))
        lost_s = cut_to_last_sync(session.paths.record, max(gaps_s, default=0.0))
        proof.at_most("lost_s", lost_s, LOST_S)
        for left in session.paths.source.glob("*oscilloscope*"):
            left.rename(session.folder / left.name)  # nothing measured outlives the host
        closed = session.recover()
        interrupted(proof, session, seen, closed)
        proof.equal("dose", closed["delivered"]["source"], "upper bound")
    return proof.verdict("no EEG is recorded during a session by this version")


def cut_to_last_sync(record: Path, unsynced_s: float) -> float:
    """Drop the lines of the last moments and tear the one before; return the seconds lost."""
    lines, _ = read_record(record, allow_torn_tail=True)
    kept = [line for line in lines if line.t_s <= lines[-1].t_s - unsynced_s]
    whole = record.read_bytes().split(b"\n")
    torn = whole[len(kept)][: len(whole[len(kept)]) // 2]
    record.write_bytes(b"\n".join([*whole[: len(kept)], torn]))
    return lines[-1].t_s - kept[-1].t_s


def guardian_suspended(bench: Bench) -> Verdict:
    """Row 2: SIGSTOP for longer than the lease, then SIGCONT."""
    proof = Evidence()
    with live(bench, "R02") as session:
        at_s = session.kill(session.contact.pid, signal.SIGSTOP)
        session.clock.wait(session.clock.now_s() + SUSPENDED_S)
        session.kill(session.contact.pid, signal.SIGCONT)
        result = session.result()
        seen = session.seen()
        proof.equal("outcome", result["outcome"], "fault")
        proof.at_most("quiet_s", seen.quiet_after_s(at_s, tail_s=TAIL_S), bench.z_s(RAMP_UP_S))
        proof.equal("starts", len(seen.intents("start")), 1)
        watched_s = (seen.trace.shape[1] - 1) / seen.rate_hz - seen.start_s - at_s
        proof.at_least("watched_s", watched_s, SUSPENDED_S)
    return proof.verdict(result["cause"])


def front_end_lost(bench: Bench) -> Verdict:
    """Row 3: killed; hanging; and hanging while somebody else says STOP."""
    proof = Evidence()
    lease_s = bench.setup.limits["lease_ttl_s"]
    trials = (
        ("killed", signal.SIGKILL, False, lease_s + bench.soft_stop_s + TICKS_S),
        ("hanging", signal.SIGSTOP, False, lease_s + bench.soft_stop_s + TICKS_S),
        ("stop", signal.SIGSTOP, True, STOP_Z_S),
    )
    for name, number, stop, within_s in trials:
        with live(bench, f"R03{name}") as session:
            at_s = session.kill(session.front.pid, number)
            if stop:
                at_s = session.clock.now_s()
                session.link.send({"say": "stop:seen by another"})
            result = session.result()
            seen = session.seen()
            proof.equal(f"outcome_{name}", result["outcome"], "stopped")
            proof.at_most(f"quiet_s_{name}", seen.quiet_after_s(at_s, tail_s=TAIL_S), within_s)
            if stop:
                proof.contains("stopped_by", result["cause"], "seen by another")
    return proof.verdict("no EEG is recorded during a session by this version")


def claimed_twice(bench: Bench) -> Verdict:
    """Row 41: a second front end, and a second program at the device's port."""
    proof = Evidence()
    with live(bench, "R41") as session:
        second = connect(session.contact, role="operator", name="second")
        try:
            welcome = answer(session, second, "welcome")
            proof.equal("second_controls", bool(welcome.get("control")), False)
            second.send({"say": "pause"})
            proof.contains("pause_is", str(answer(session, second, "refused")), "another front end")
            proof.equal("port_taken_by_a_second", claims(bench, session), False)
            at_s = session.clock.now_s()
            second.send({"say": "stop:second"})
            result = session.result()
        finally:
            second.close()
        seen = session.seen()
        proof.equal("outcome", result["outcome"], "stopped")
        proof.contains("stopped_by", result["cause"], "second")
        proof.at_most("quiet_s", seen.quiet_after_s(at_s, tail_s=TAIL_S), STOP_Z_S)
        proof.at_most("peak_ma", seen.peak_ma, bench.current_ma)
        paused = [x for x in seen.said("operator") if x.data["did"] == "pause"]
        proof.equal("pauses", len(paused), 0)
    return proof.verdict("a lock that is taken away while it is held cannot be played here")


def answer(session: _Live, link: Connection, key: str) -> Any:
    """Return the first answer of a kind on a link."""
    until_s = session.clock.now_s() + 10.0
    while session.clock.now_s() < until_s and link.open:
        link.wait(0.5)
        for message in link.receive():
            if key in message:
                return message[key]
    raise InputError(f"{session.label}: no {key} came")


def claims(bench: Bench, session: _Live) -> bool:
    """Whether a second program gets the device's port."""
    lines, _ = read_record(session.paths.record, allow_torn_tail=True)
    connected = next(
        x.data for x in lines if x.kind == "answer" and x.data.get("verb") == "connect"
    )
    address = connected["details"]["address"]
    try:
        driver = bench.setup.driver.open(address, bench.setup.rig, session.clock)
    except DeviceBusy:
        return False
    with contextlib.suppress(TacsError):
        driver.close()
    return True
