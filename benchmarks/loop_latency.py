"""From a sample to the command: LSL in, ten samples a block, an emulated device behind a PTY.

    python -m benchmarks.loop_latency [--seconds N] [--busy] [--json FILE]

Another process sends EEG at 500 Hz in blocks of ten samples, stamped when they are sent. The loop's
front end reads them, updates the engine, and asks for a retuning with every block; the guardian, a
third process, grants one a second and refuses the others; the emulated stimulator is a fourth. What
is measured: from the stamp of a block's last sample to the guardian's line about the request
("decided"), and, for those granted, to its line directly before the command is written to the port
("command"). `--busy` has a spectral analysis run beside it all the while. The times are those of
this machine as it is: say what else runs on it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import tacs.loop_session
from analysis.loop_terms import Decision, Request
from analysis.phase import untrained
from benchmarks.loop_made import protocol_data
from tacs.checking import prepare
from tacs.clock import Clock, MonotonicClock
from tacs.loop_plan import LoopPlan
from tacs.loop_rest import Learned
from tacs.loop_session import Prescribed, run_loop
from tacs.protocol import Protocol

SFREQ_HZ, BLOCK = 500.0, 10
GOAL_MS = 10.0
STREAM = "tacs-latency"


def send(stop: Any) -> None:
    """Send EEG until told to stop."""
    import mne_lsl.lsl as lsl

    info = lsl.StreamInfo(STREAM, "EEG", 1, SFREQ_HZ, "float32", STREAM)
    info.set_channel_names(["Oz"])
    info.set_channel_types("eeg")
    info.set_channel_units("microvolts")
    outlet = lsl.StreamOutlet(info, chunk_size=BLOCK)
    rng = np.random.default_rng(0)
    first_s, n = lsl.local_clock(), 0
    while not stop.is_set():
        n += BLOCK
        due_s = first_s + n / SFREQ_HZ
        while (left_s := due_s - lsl.local_clock()) > 0.0:
            time.sleep(min(left_s, 0.005))  # an amplifier's pace: the sender is what is made
        t = np.arange(n - BLOCK, n) / SFREQ_HZ
        uv = 10.0 * np.cos(2.0 * np.pi * 10.0 * t) + rng.standard_normal(BLOCK)
        outlet.push_chunk(uv[:, None].astype(np.float32), timestamp=due_s)


def load(stop: Any) -> None:
    """Analyse until told to stop."""
    from scipy.signal import welch

    rng = np.random.default_rng(1)
    signal = rng.standard_normal((32, 60_000))
    while not stop.is_set():
        welch(signal, SFREQ_HZ, nperseg=2000)


class EveryBlock:
    """Asks for a retuning with every block, and says which sample it came of."""

    def __init__(self) -> None:
        self.n = 0

    def decide(self, seen: Any, history: Any) -> tuple[Decision, Any]:
        """Ask."""
        self.n += 1
        hz = 10.0 + 0.1 * (self.n % 2)
        return Decision(reason=f"{seen.sample_s:.6f}", requests=(Request("retune", hz),)), history


def measure(seconds: float) -> dict[str, Any]:
    """Run one session; return the two latencies, in milliseconds."""
    source = f"lsl:{STREAM}?wait_s=20"

    def quick(stream: Any, clock: Clock, plan: LoopPlan, *more: Any) -> Learned:
        # Rest takes two minutes and changes nothing here.
        engine = untrained(10.0, SFREQ_HZ, horizon_s=0.01)
        return Learned(
            engine=engine, peak_hz=10.0, width_hz=0.1, error_rad=0.1, delay_s=0.0, rows=(0,),
            references=(),
        )  # fmt: skip

    tacs.loop_session.learn = quick
    data = protocol_data(trains=None, duration_s=45.0 + seconds)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TACS_SITE_DIR"] = f"{folder}/site"

        def prepared(loop: Any, learned: Learned) -> None:
            loop._rule = EveryBlock()  # noqa: SLF001

        result = run_loop(
            LoopPlan(rule="lock", signal="peripheral"),
            source,
            subject="latency",
            session="one",
            dataset=Path(folder) / "dataset",
            clock="real",
            prescribed=Prescribed(
                protocol=Protocol.from_data(data, "made"),
                setup=prepare("emulated:synthpal"),
                options={},
            ),
            prepared=prepared,
        )
        if result.record is None:
            raise ValueError("no session")
        lines = [json.loads(x) for x in Path(result.record.record).read_text().splitlines()]
    zero_s = float(lines[0]["data"]["clock_zero_s"])
    decided, commanded = [], []
    sent_s = from_s = float("nan")
    for line in lines:
        data = line["data"]
        if line["kind"] == "intent" and data.get("verb") == "set_frequency":
            sent_s = line["t_s"]
        if line["kind"] == "intent" and data.get("verb") == "start":
            from_s = line["t_s"] + 1.0  # what was asked for before it ran had to wait
        if line["kind"] != "request" or not line["t_s"] >= from_s:
            continue
        sample_s = float(data["reason"]) - zero_s
        decided.append(1e3 * (line["t_s"] - sample_s))
        if data["granted"]:
            commanded.append(1e3 * (sent_s - sample_s))
    return {
        "outcome": f"{result.record.outcome} {result.record.cause}".strip(),
        "delay_ms": 1e3 * (result.timing["delay_s"] or 0.0),
        "decided": _summary(decided),
        "command": _summary(commanded),
    }


def _summary(ms: list[float]) -> dict[str, float]:
    if not ms:
        return {"n": 0}
    p50, p99 = np.percentile(ms, [50, 99])
    return {"n": len(ms), "p50_ms": float(p50), "p99_ms": float(p99), "max_ms": max(ms)}


def main() -> None:
    """Measure, idle or busy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=15.0, help="at full current")
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    stop = spawn.Event()
    beside = [spawn.Process(target=send, args=(stop,))]
    if asked.busy:
        beside.append(spawn.Process(target=load, args=(stop,)))
    for process in beside:
        process.start()
    begun_s = MonotonicClock().now_s()
    try:
        found = measure(asked.seconds)
    finally:
        stop.set()
        for process in beside:
            process.join(10.0)
    print(f"{'with an analysis running' if asked.busy else 'nothing of ours beside it'}; load of "
          f"the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")  # fmt: skip
    for name in ("decided", "command"):
        row = found[name]
        if not row["n"]:
            print(f"sample to {name}: none")
            continue
        print(
            f"sample to {name}: n {row['n']}, p50 {row['p50_ms']:.2f} ms, p99 "
            f"{row['p99_ms']:.2f} ms, largest {row['max_ms']:.1f} ms; goal p99 {GOAL_MS:g} ms: "
            f"{'met' if row['p99_ms'] <= GOAL_MS else 'NOT met'}"
        )
    print(f"session {found['outcome']}, {MonotonicClock().now_s() - begun_s:.0f} s")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
