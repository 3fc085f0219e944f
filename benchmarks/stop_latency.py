"""How long current goes on after a session is stopped or killed, read off the oscilloscope.

Runs `tacs run` on the real clock against the emulated Synth Pal in a process of its own, ends it in
each of several ways from ramp-up and from full current, and prints the time from the signal to the
last sample at or above 50 µA. The emulator outlives its client, and both read one monotonic clock.

    python -m benchmarks.stop_latency [--repeats N]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from tacs.dose import QUIET_MA, read_trace
from tacs.protocol import Protocol

PROTOCOL = Path(__file__).resolve().parents[1] / "examples" / "protocols" / "posterior-alpha.toml"
MOMENTS_S = {"ramp-up": 15.0, "full current": 34.0}
WAYS = ("SIGINT", "SIGTERM", "SIGHUP", "terminal closed", "SIGKILL")


def begin(folder: Path, name: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start a session on a terminal of its own."""
    protocol = Protocol.from_toml(PROTOCOL).model_copy(update={"duration_s": 60.0})
    file = folder / "protocol.toml"
    protocol.to_toml(file)
    ours, theirs = pty.openpty()
    command = [
        sys.executable, "-m", "tacs", "run", str(file), "--device", "emulated:synthpal",
        "--subject", name, "--session", "01", "--out", str(folder / "data"),
    ]  # fmt: skip
    environment = {**os.environ, "TACS_SITE_DIR": str(folder / "site")}
    process = subprocess.Popen(
        ["setsid", "--ctty", *command], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    threading.Thread(target=drain, args=(ours,), daemon=True).start()
    return process, ours


def drain(terminal: int) -> None:
    """Read what the session shows, as a terminal does, until it is gone."""
    with contextlib.suppress(OSError):
        while os.read(terminal, 65536):
            pass


def started_s(folder: Path, name: str) -> float:
    """Monotonic time at which the record says that current started."""
    record = (
        folder / f"data/sourcedata/tacs/sub-{name}/ses-01/sub-{name}_ses-01_task-tacs_record.jsonl"
    )
    for _ in range(600):
        if record.exists():
            lines = [json.loads(t) for t in record.read_text().splitlines() if t.endswith("}")]
            start = [x for x in lines if x["data"].get("verb") == "start"]
            if start:
                return float(lines[0]["data"]["clock_zero_s"] + start[0]["t_s"])
        time.sleep(0.05)
    raise SystemExit(f"{record}: the session did not start")


def trial(folder: Path, name: str, way: str, after_s: float) -> tuple[float, str]:
    """End one session; return the time to quiet, and its outcome after recovery."""
    process, terminal = begin(folder, name)
    due_s = started_s(folder, name) + after_s
    while time.monotonic() < due_s:
        time.sleep(max(min(due_s - time.monotonic(), 0.05), 0.0))
    sent_s = time.monotonic()
    if way == "terminal closed":
        os.close(terminal)
    else:
        process.send_signal(getattr(signal, way))
    process.wait(timeout=30)
    if way != "terminal closed":
        os.close(terminal)
    for _ in range(200):  # the emulator writes its description when the output is silent
        if not scope_busy(folder, name):
            break
        time.sleep(0.05)
    environment = {**os.environ, "TACS_SITE_DIR": str(folder / "site")}
    command = [sys.executable, "-m", "tacs", "recover", str(folder / "data"), "--json"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    session = folder / "data" / f"sub-{name}" / "ses-01" / "eeg"
    trace_file = next(session.glob("*_stim.tsv.gz"))
    sidecar = json.loads(next(session.glob("*_stim.json")).read_text())
    trace = read_trace(trace_file, len(sidecar["Columns"]))
    record = next((folder / f"data/sourcedata/tacs/sub-{name}/ses-01").glob("*_record.jsonl"))
    lines = [json.loads(text) for text in record.read_text().splitlines()]
    start = next(x for x in lines if x["data"].get("verb") == "start")
    zero_s = lines[0]["data"]["clock_zero_s"] + start["t_s"] + sidecar["StartTime"]
    loud = np.flatnonzero((np.abs(trace) >= QUIET_MA).any(axis=0))
    last_s = zero_s + (loud[-1] + 1) / sidecar["SamplingFrequency"]
    return last_s - sent_s, str(lines[-1]["data"]["outcome"])


def scope_busy(folder: Path, name: str) -> bool:
    """Whether the oscilloscope has not yet described its file."""
    source = folder / f"data/sourcedata/tacs/sub-{name}/ses-01"
    scope = list(source.glob("*_oscilloscope.tsv.gz"))
    return bool(scope) and not list(source.glob("*_oscilloscope*.json"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1)
    repeats = parser.parse_args().repeats
    print(f"{'ended by':<16} {'from':<13} {'to below 50 µA':>15}   outcome")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i, (way, (moment, after_s)) in enumerate(
            [(w, m) for w in WAYS for m in MOMENTS_S.items()] * repeats
        ):
            quiet_s, outcome = trial(folder, f"S{i:03d}", way, after_s)
            print(f"{way:<16} {moment:<13} {quiet_s:>13.3f} s   {outcome}", flush=True)


if __name__ == "__main__":
    main()
