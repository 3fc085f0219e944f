"""Sessions on the real clock against an emulator in a process of its own, for the campaigns.

The emulator outlives whoever is killed, and all processes of one machine read one clock:
what the oscilloscope saw can be set against the instant of a kill.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tacs.clock import MonotonicClock
from tacs.dose import QUIET_MA, read_trace
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
now_s = MonotonicClock().now_s


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
        return {
            **os.environ,
            "TACS_SITE_DIR": str(self.folder / "site"),
            "TACS_RUNTIME_DIR": str(self.folder / "run"),
        }

    def source(self, name: str) -> Path:
        """Folder of a session's record."""
        return self.folder / f"data/sourcedata/tacs/sub-{name}/ses-01"

    def begin(
        self, name: str, *, faults: Sequence[str] = (), rig: str = ""
    ) -> subprocess.Popen[bytes]:
        """Start `tacs run`; nobody reads what it says."""
        command = [
            sys.executable, "-m", "tacs", "run", str(self.folder / "protocol.toml"),
            "--device", "emulated:synthpal", "--subject", name, "--session", "01",
            "--out", str(self.folder / "data"), "--json",
        ]  # fmt: skip
        for fault in faults:
            command += ["--fault", fault]
        if rig:
            command += ["--rig", rig]
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.environment,
        )

    def guardian(self, name: str) -> int:
        """Process of a session's guardian; 0 while there is none."""
        for note in (self.folder / "run").glob("*.json"):
            with contextlib.suppress(OSError, ValueError):
                contact = json.loads(note.read_text())
                if contact["title"].split()[0] == f"sub-{name}":
                    return int(contact["pid"])
        return 0

    def lines(self, name: str) -> list[dict[str, object]]:
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
        raise SystemExit(f"{name}: the session did not start")

    def await_end(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """Wait until guardian, emulator and front end are done."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)
        pid = self.guardian(name)
        until_s = now_s() + 20.0
        while now_s() < until_s:
            gone = not pid or not alive(pid)
            scopes = list(self.source(name).glob("*_oscilloscope.tsv.gz"))
            if gone and all(clean(scope) for scope in scopes):
                return
            time.sleep(0.05)

    def recover(self) -> list[dict[str, object]]:
        """Close what is open in the data set."""
        command = [sys.executable, "-m", "tacs", "recover", str(self.folder / "data"), "--json"]
        done = subprocess.run(command, env=self.environment, capture_output=True, check=False)
        return list(json.loads(done.stdout)["sessions"])

    def trace(self, name: str) -> tuple[np.ndarray, float, float]:
        """What flowed, in mA; monotonic time of the first sample; samples per second."""
        session = self.folder / "data" / f"sub-{name}" / "ses-01" / "eeg"
        file = next(session.glob("*_stim.tsv.gz"))
        sidecar = json.loads(next(session.glob("*_stim.json")).read_text())
        lines = self.lines(name)
        start = next(x for x in lines if x["data"].get("verb") == "start")
        zero_s = lines[0]["data"]["clock_zero_s"] + start["t_s"] + sidecar["StartTime"]
        return read_trace(file, len(sidecar["Columns"])), zero_s, sidecar["SamplingFrequency"]

    def quiet_s(self, name: str, since_s: float) -> float:
        """Time from an instant to the last sample at or above 50 µA."""
        trace, zero_s, rate_hz = self.trace(name)
        loud = np.flatnonzero((np.abs(trace) >= QUIET_MA).any(axis=0))
        if not loud.size:
            return 0.0
        return float(max(zero_s + (loud[-1] + 1) / rate_hz - since_s, 0.0))


def clean(scope: Path) -> bool:
    """Whether the oscilloscope has closed its file."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        text = scope.with_name(scope.name.removesuffix(".tsv.gz") + ".json").read_text()
        return bool(json.loads(text)["clean"])
    return False


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


@contextlib.contextmanager
def places(n: int, duration_s: float = 10.0) -> Iterator[list[Place]]:
    """Folders that are removed in the end."""
    with tempfile.TemporaryDirectory(prefix="tacs-") as name:
        yield [Place.make(Path(name) / str(i), duration_s) for i in range(n)]


def sleep_until(due_s: float) -> None:
    """Wait for a monotonic time."""
    while (left_s := due_s - now_s()) > 0.0:
        time.sleep(min(left_s, 0.05))


def kill(pid: int) -> None:
    """SIGKILL, whether or not it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
