"""Sessions on the real clock against an emulator in a process of its own, for the campaigns.

The emulator outlives whoever is killed, and all processes of one machine read one clock:
what the oscilloscope saw can be set against the instant of a kill.

Guardian and emulator are started by `tacs run` itself, anew for every session. Its front end, and
`tacs recover`, are forked from a process that has imported the suite already: most of a short
trial would otherwise be the start of an interpreter, which is nothing that is measured here.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from devices.emulators.oscilloscope import SAMPLING_FREQUENCY_HZ
from tacs.cli import call
from tacs.clock import MonotonicClock
from tacs.dose import QUIET_MA, read_trace
from tacs.files import write_text
from tacs.protocol import Protocol

PROTOCOL = Path(__file__).resolve().parents[1] / "examples" / "protocols" / "posterior-alpha.toml"
SITE = """site = "campaign"
approved_by = "campaign"
reason = "short sessions on an emulator"
[limits]
ramp_up_shortest_s = 5.0
ramp_down_shortest_s = 2.0
envelope_slew_ma_per_s = 1.0
"""
STARTED_WITHIN_S = 60.0
ENDED_WITHIN_S = 30.0
N_ELECTRODES = 2
KEPT_EVERY_S = 5.0
# What `tacs run` and `tacs recover` import when they are called.
WARM = [
    "benchmarks.live_sessions",
    "devices.emulators.synthpal",
    "devices.synthpal",
    "tacs.front",
    "tacs.live",
    "tacs.recovery",
    "tacs.runner",
]
now_s = MonotonicClock().now_s


class TrialError(Exception):
    """A trial that says nothing; it is counted, with its reason."""


# -- processes ------------------------------------------------------------------------------------


def warm_up() -> None:
    """Say what the process that others are forked from imports; before the first of them."""
    _FORK.set_forkserver_preload(WARM)


_FORK = multiprocessing.get_context("forkserver")


def _called(arguments: Sequence[str], environment: dict[str, str]) -> None:
    """One command in a process of its own; nobody hears what it says."""
    os.environ.clear()
    os.environ.update(environment)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    sys.exit(call(list(arguments)))


class Command:
    """A `tacs` command in a process of its own.

    Parameters
    ----------
    arguments : sequence of str
        After `tacs`.
    environment : dict
        Of the process.
    """

    def __init__(self, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self._process = _FORK.Process(target=_called, args=(arguments, environment), daemon=True)
        self._process.start()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.exitcode is None

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; whether it came."""
        self._process.join(timeout_s)
        return not self.running

    def send_signal(self, number: int) -> None:
        """Send a signal, where it has not ended."""
        if self.running and self._process.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def kill(self) -> None:
        """SIGKILL, where it has not ended."""
        self.send_signal(signal.SIGKILL)


class Guardian:
    """A guardian's process, held so that no other one can be meant.

    Parameters
    ----------
    pid : int
        Its number.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._handle = os.pidfd_open(pid)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return not self.wait(0.0)

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; whether it came."""
        return bool(select.select([self._handle], [], [], timeout_s)[0])

    def kill(self) -> None:
        """SIGKILL, where it has not ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._handle)


# -- one session ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A folder with a site, a protocol and a data set of its own."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, duration_s: float = 10.0) -> Place:
        """Prepare the folder: ramps of 5 and 2 s."""
        (folder / "site").mkdir(parents=True)
        (folder / "run").mkdir(mode=0o700)
        (folder / "site" / "site.toml").write_text(SITE)
        changes = {"duration_s": duration_s, "ramp_up_s": 5.0, "ramp_down_s": 2.0}
        protocol = Protocol.from_toml(PROTOCOL).model_copy(update=changes)
        protocol.to_toml(folder / "protocol.toml")
        return cls(folder)

    @property
    def environment(self) -> dict[str, str]:
        """For every process of this place."""
        environment = {
            **os.environ,
            "TACS_SITE_DIR": str(self.folder / "site"),
            "TACS_RUNTIME_DIR": str(self.folder / "run"),
        }
        # Else every guardian would compile the whole suite.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        return environment

    def source(self, name: str) -> Path:
        """Folder of a session's record."""
        return self.folder / f"data/sourcedata/tacs/sub-{name}/ses-01"

    def begin(self, name: str, *, faults: Sequence[str] = (), rig: str = "") -> Command:
        """Start `tacs run`; nobody reads what it says."""
        arguments = [
            "run", str(self.folder / "protocol.toml"),
            "--device", "emulated:synthpal", "--subject", name, "--session", "01",
            "--out", str(self.folder / "data"), "--json",
        ]  # fmt: skip
        for fault in faults:
            arguments += ["--fault", fault]
        if rig:
            arguments += ["--rig", rig]
        return Command(arguments, self.environment)

    def guardian(self, name: str, front: Command) -> Guardian:
        """Wait until a session has its guardian."""
        until_s = now_s() + STARTED_WITHIN_S
        while front.running and now_s() < until_s:
            for note in (self.folder / "run").glob("*.json"):
                with contextlib.suppress(OSError, ValueError):
                    contact = json.loads(note.read_text())
                    if contact["title"].split()[0] == f"sub-{name}":
                        return Guardian(int(contact["pid"]))
            time.sleep(0.01)
        raise TrialError("no guardian came")

    def lines(self, name: str) -> list[dict[str, Any]]:
        """Whole lines of a session's record."""
        for record in self.source(name).glob("*_record.jsonl"):
            return [json.loads(t) for t in record.read_text().splitlines() if t.endswith("}")]
        return []

    def started_s(self, name: str) -> float:
        """Monotonic time at which the record says that the device was started."""
        until_s = now_s() + STARTED_WITHIN_S
        while now_s() < until_s:
            lines = self.lines(name)
            for line in lines:
                if line["data"].get("verb") == "start":
                    return float(lines[0]["data"]["clock_zero_s"] + line["t_s"])
            time.sleep(0.02)
        raise TrialError("the session did not start")

    def recover(self) -> None:
        """Close what is open in the data set."""
        command = Command(["recover", str(self.folder / "data"), "--json"], self.environment)
        if not command.wait(60.0):
            command.kill()
            raise TrialError("`tacs recover` did not end")


class Witness:
    """What the oscilloscope of a session writes, under a name that the suite knows nothing of.

    The suite moves the trace when a session ends, and a session may end before the instant that a
    trial has drawn for it: whoever looks for the file where it was written then finds nothing, and
    takes it that nothing flowed.

    Parameters
    ----------
    place : Place
        Where the session is.
    name : str
        Of the session.
    """

    def __init__(self, place: Place, name: str) -> None:
        self._source = place.source(name)
        self.file = place.folder / f"witness-{name}.tsv.gz"
        self.start_s = float("nan")

    def look(self) -> bool:
        """Take hold of the file where it is there by now; whether it is held."""
        if self.file.exists():
            return True
        for scope in self._source.glob("*_oscilloscope.tsv.gz"):
            note = scope.with_name(scope.name.removesuffix(".tsv.gz") + ".json")
            with contextlib.suppress(OSError, ValueError):
                self.start_s = float(json.loads(note.read_text())["start_s"])
                os.link(scope, self.file)
                return True
        return False

    def look_until(self, due_s: float) -> None:
        """Wait for a monotonic time, with an eye on the file."""
        while (left_s := due_s - now_s()) > 0.0:
            time.sleep(min(left_s, 0.05))
            self.look()

    @property
    def whole(self) -> bool:
        """Whether the oscilloscope has closed it: a gzip stream with its end."""
        if not self.look():
            return False
        unpacker = zlib.decompressobj(wbits=31)
        unpacker.decompress(self.file.read_bytes())
        return unpacker.eof

    def await_whole(self, timeout_s: float) -> bool:
        """Wait until the oscilloscope has closed it; whether it has."""
        until_s = now_s() + timeout_s
        while not self.whole:
            if now_s() > until_s:
                return False
            time.sleep(0.1)
        return True

    def seen(self, since_s: float) -> tuple[float, float]:
        """Charge in C of the largest electrode, and time in s from an instant to quiet.

        The time is negative where the current was below 50 µA for good before that instant.

        Raises
        ------
        TrialError
            The oscilloscope has not closed it: more may have flowed.
        """
        if not self.whole:
            raise TrialError("the oscilloscope did not close its file")
        trace = read_trace(self.file, N_ELECTRODES)
        charge_mc = np.abs(trace).sum(axis=1).max(initial=0.0) / SAMPLING_FREQUENCY_HZ
        loud = np.flatnonzero((np.abs(trace) >= QUIET_MA).any(axis=0))
        last_s = (loud[-1] + 1) / SAMPLING_FREQUENCY_HZ if loud.size else 0.0
        return float(charge_mc) * 1e-3, float(self.start_s + last_s - since_s)


def await_end(place: Place, name: str, front: Command, guardian: Guardian, see: Witness) -> None:
    """Wait until guardian, front end and emulator are done."""
    if not guardian.wait(ENDED_WITHIN_S):
        raise TrialError("the guardian did not end")
    if not front.wait(ENDED_WITHIN_S):
        raise TrialError("the front end did not end")
    lines = place.lines(name)
    if any(line["data"].get("verb") == "start" for line in lines):
        see.await_whole(ENDED_WITHIN_S)
    elif lines:
        # Nothing can flow any more; an emulator that had its client goes by itself.
        see.await_whole(3.0)


# -- many -----------------------------------------------------------------------------------------


class Kept:
    """Results on disk while they come, so that a campaign that is cut off is not lost.

    Parameters
    ----------
    file : Path or None
        JSON.
    summary : callable
        Results so far to what is written beside them.
    """

    def __init__(
        self, file: Path | None, summary: Callable[[Sequence[dict[str, Any]]], dict[str, Any]]
    ) -> None:
        self._file = file
        self._summary = summary
        self._written_s = float("-inf")
        self._lock = threading.Lock()
        self.results: list[dict[str, Any]] = []

    def add(self, result: dict[str, Any]) -> None:
        """Take one more, and write where the last time is a while ago."""
        with self._lock:
            self.results.append(result)
            if now_s() - self._written_s > KEPT_EVERY_S:
                self._write()

    def write(self) -> dict[str, Any]:
        """Write; return the summary."""
        with self._lock:
            return self._write()

    def _write(self) -> dict[str, Any]:
        self._written_s = now_s()
        summary = self._summary(self.results)
        if self._file is not None:
            text = json.dumps({**summary, "trials": self.results}, indent=1)
            write_text(self._file, text + "\n")
        return summary


def side_by_side(
    trials: Sequence[Callable[[], dict[str, Any]]],
    at_once: int,
    take: Callable[[dict[str, Any]], None],
) -> None:
    """Carry out trials, some at once; each result is taken as it comes."""
    with ThreadPoolExecutor(at_once) as pool:
        waiting = [pool.submit(one) for one in trials]
        try:
            for done in as_completed(waiting):
                take(done.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def spread(values: Sequence[float], digits: int = 4) -> dict[str, float | int | None]:
    """How many, median, 99th percentile and maximum."""
    if not values:
        return {"n": 0, "median": None, "p99": None, "max": None}
    found = np.percentile(np.array(values), [50, 99, 100])
    names = ("median", "p99", "max")
    return {"n": len(values), **dict(zip(names, found.round(digits).tolist(), strict=True))}


class Busy:
    """How busy the machine's processors were, whoever kept them so."""

    def __init__(self) -> None:
        self._before = self._times()

    @staticmethod
    def _times() -> tuple[float, float]:
        with contextlib.suppress(OSError):
            ticks = [float(t) for t in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
            return sum(ticks), ticks[3] + ticks[4]
        return 0.0, 0.0

    def percent(self) -> float | None:
        """Return the mean since this was made."""
        whole, idle = (now - then for now, then in zip(self._times(), self._before, strict=True))
        return round(100.0 * (1.0 - idle / whole), 1) if whole > 0.0 else None
