"""The disk under a session: full, slow, and cut off in the middle of a block."""

from __future__ import annotations

import errno
import functools
import itertools
import math
import random
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tacs.background_sync import BackgroundSync
from tacs.clock import VirtualClock
from tacs.dose import read_trace
from tacs.record import LATE_AFTER_S, RESERVE_BYTES, RecordWriter
from tacs.scenarios.bench import Bench, after
from tacs.scenarios.evidence import Evidence, Row, Verdict

__all__ = ["ROWS"]

NOTICED_S = 0.3  # a command goes out, or a sync is due, at the latest
FULL_AT_BYTES = (30_000, 60_000, 80_000)
STALL_S = 5.0
STALLED_AT_S = 5.5
N_CUTS = 120
SEED = 32


class FullDisk(RecordWriter):
    """A disk with little room, which the record's reserve is a part of."""

    def __init__(self, path: Path, *, room: int) -> None:
        super().__init__(path)
        self._room = room
        self._used = 0
        self._at_s = math.nan
        self.full_at_s = math.nan

    def append(self, kind: str, t_s: float, data: Mapping[str, Any], *, sync: bool) -> None:
        """Write one line, where there is room."""
        self._at_s = t_s
        super().append(kind, t_s, data, sync=sync)

    def _write(self, payload: bytes) -> None:
        freed = 0 if self._reserve.exists() else RESERVE_BYTES
        if self._used + len(payload) > self._room + freed:
            if math.isnan(self.full_at_s):
                self.full_at_s = self._at_s
            raise OSError(errno.ENOSPC, "No space left on device")
        super()._write(payload)
        self._used += len(payload)


def full(bench: Bench) -> Verdict:
    """Row 30: the disk fills up in the ramp, in hold and later."""
    proof = Evidence()
    for room in FULL_AT_BYTES:
        disks: list[FullDisk] = []

        def writer(path: Path, room: int = room, disks: list[FullDisk] = disks) -> RecordWriter:
            disks.append(FullDisk(path, room=room))
            return disks[-1]

        run = bench.rehearse(f"R30at{room}", writer=writer)
        name = f"_{room // 1000}_kB"
        proof.equal(f"outcome{name}", run.outcome, "stopped")
        proof.contains(f"cause{name}", run.cause, "No space left")
        since_s = disks[0].full_at_s - started_t_s(run.lines)
        limit_s = bench.soft_stop_s + NOTICED_S
        proof.at_most(f"quiet_s{name}", run.quiet_after_s(since_s), limit_s)
        proof.equal(f"record{name}", run.problem or "verifies", "verifies")
        proof.equal(f"ends_with{name}", run.lines[-1].kind, "end")
        proof.at_least(f"stops_in_record{name}", len(run.intents("soft_stop")), 1)
    return proof.verdict(f"the reserve of {RESERVE_BYTES // 1024} KiB holds the lines of a stop")


def started_t_s(lines: list[Any]) -> float:
    """Return the record time of the start."""
    return next((float(x.t_s) for x in lines if x.data.get("from") == "armed"), math.nan)


class SlowDisk(RecordWriter):
    """A disk that from some instant on takes seconds to confirm; time is the session's own."""

    def __init__(self, path: Path, *, now_s: Callable[[], float], stall: list[float]) -> None:
        super().__init__(path, now_s=now_s)
        self._stall = stall  # from and to, in clock time; empty before
        self._answers = threading.Event()

    def sync(self) -> None:
        """Ask for a sync, as a session on the real clock does."""
        self.start_background()
        if self._stall and self._now() >= self._stall[1]:
            self._answers.set()
        super().sync()
        if not self._stall and self._background is not None:
            # Virtual half seconds pass faster than a thread: let a healthy disk keep up.
            self._background.drain(10.0)

    def start_background(self, late_after_s: float = LATE_AFTER_S) -> None:
        """Have a thread sync, which the disk may keep waiting."""
        if self._background is None:
            self._late_after_s, self._first_line = late_after_s, self._seq
            self._background = BackgroundSync(self._confirm, self._now)

    def end_background(self) -> None:
        """Close; virtual time stands still meanwhile, so the disk has to answer now."""
        self._answers.set()
        super().end_background()

    def _confirm(self) -> None:
        if self._stall:
            self._answers.wait(30.0)


def slow(bench: Bench) -> Verdict:
    """Row 31: five seconds for a sync; commands go on, and the session stops when it is overdue."""
    clock, stall = VirtualClock(), list[float]()

    def stalls(stage: object) -> None:
        stall.extend([clock.now_s(), clock.now_s() + STALL_S])

    run = bench.rehearse(
        "R31",
        protocol=bench.protocol(duration_s=16.0),
        clock=clock,
        writer=functools.partial(SlowDisk, now_s=clock.now_s, stall=stall),
        acts=[after(STALLED_AT_S, stalls)],
    )
    proof = Evidence()
    proof.equal("outcome", run.outcome, "stopped")
    proof.contains("cause", run.cause, "has not confirmed")
    # What waits is the oldest line since the last sync, half a second at most.
    limit_s = LATE_AFTER_S + 1.0 + bench.soft_stop_s
    quiet_s = run.quiet_after_s(STALLED_AT_S)
    proof.at_most("quiet_s", quiet_s, limit_s)
    proof.at_least("not_stopped_before_s", quiet_s, LATE_AFTER_S - 0.5)
    times_s = [run.session_s(line) for line in run.intents("extend_lease")]
    during_s = [s for s in times_s if s >= STALLED_AT_S - 0.5]
    gaps_s = [b - a for a, b in itertools.pairwise(during_s)]
    proof.at_most("between_commands_s", max(gaps_s, default=99.0), 2.0 * bench.setup.limits[
        "heartbeat_period_s"])  # fmt: skip
    gaps = run.said("gap")
    proof.at_least("gaps_marked", len(gaps), 1)
    proof.at_least("gap_s", gaps[0].data["waited_s"] if gaps else 0.0, LATE_AFTER_S)
    proof.equal("record", run.problem or "verifies", "verifies")
    return proof.verdict()


def cut_trace(bench: Bench) -> Verdict:
    """Row 32: a trace cut off anywhere, and one with a byte changed."""
    run = bench.rehearse("R32", protocol=bench.protocol(duration_s=25.0))
    proof = Evidence()
    if run.result is None or run.result.trace is None:
        return proof.verdict("there is no trace")
    whole = run.result.trace.read_bytes()
    n_columns, rng = len(run.columns), random.Random(SEED)
    spoiled = bench.folder / "spoiled.tsv.gz"
    wrong, unreadable, most = 0, 0, 0
    for k in range(N_CUTS):
        place = rng.randrange(1, len(whole))
        content = bytearray(whole[:place] if k % 2 else whole)
        if not k % 2:
            content[place] ^= 1 << rng.randrange(8)
        spoiled.write_bytes(bytes(content))
        try:
            found = read_trace(spoiled, n_columns)
        except Exception:
            unreadable += 1
            continue
        n = found.shape[1]
        most = max(most, n)
        wrong += n > run.trace.shape[1] or bool((found != run.trace[:, :n]).any())
    proof.equal("cut_or_changed", N_CUTS, N_CUTS)
    proof.equal("unreadable", unreadable, 0)
    proof.equal("with_wrong_samples", wrong, 0)
    proof.at_least("most_samples_kept", most, 1)
    shutil.copy(run.result.trace, spoiled)
    proof.equal("whole", read_trace(spoiled, n_columns).shape[1], run.trace.shape[1])
    return proof.verdict(
        "the trace of the current; no EEG is recorded in a session by this version"
    )


ROWS = {
    30: Row(run=full),
    31: Row(run=slow),
    32: Row(run=cut_trace),
}
