"""SIGKILL the guardian at random instants: does the record open, what is lost, is the dose right?

Each trial is `tacs run` on the real clock against the emulated Synth Pal in a process of its own;
the guardian is killed at a random instant from its start on, and `tacs recover` closes what is
left. In every second trial the oscilloscope's file is hidden from `tacs recover`, as with a device
that measures nothing: the dose booked is then an upper bound, held against what truly flowed.

    python -m benchmarks.kill [--repeats 1000] [--at-once N]
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.live_sessions import Place, kill, now_s, places, sleep_until
from tacs.dose import QUIET_MA, read_trace
from tacs.record import verify_record

LONGEST_S = 11.5


@dataclass(frozen=True)
class Trial:
    """What became of one kill."""

    had_record: bool
    started: bool
    verifies: bool
    outcome: str
    lost_s: float
    true_c: float
    booked_c: float
    source: str
    quiet_s: float


def trial(place: Place, name: str, after_s: float, *, hidden: bool) -> Trial:
    """Kill one guardian, recover, and compare."""
    process = place.begin(name)
    until_s = now_s() + 60.0
    while not (pid := place.guardian(name)) and now_s() < until_s:
        time.sleep(0.005)
    sleep_until(now_s() + after_s)
    kill(pid)
    killed_s = now_s()
    process.wait(timeout=60)
    place.await_end(name, process)
    before = place.lines(name)
    records = list(place.source(name).glob("*_record.jsonl"))
    started = any(x["data"].get("verb") == "start" for x in before)
    ended = any(x["kind"] == "end" for x in before)
    scopes = list(place.source(name).glob("*_oscilloscope*"))
    true_c, quiet_s = flowed(scopes, killed_s)
    if hidden:
        for scope in scopes:
            scope.rename(place.folder / f"hidden-{scope.name}")
    place.recover()
    lines = place.lines(name)
    end = next((x for x in lines if x["kind"] == "end"), None)
    delivered = end["data"]["delivered"] if end else None
    lost_s = 0.0
    if before and started and not ended:
        lost_s = killed_s - (before[0]["data"]["clock_zero_s"] + before[-1]["t_s"])
    return Trial(
        had_record=bool(before),
        started=started,
        verifies=all(verify_record(record) is None for record in records),
        outcome=str(end["data"]["outcome"]) if end else "none",
        lost_s=max(lost_s, 0.0),
        true_c=true_c,
        booked_c=delivered["rectified_charge_c"] if delivered else 0.0,
        source=delivered["source"] if delivered else "nothing",
        quiet_s=quiet_s if started else 0.0,
    )


def flowed(scopes: list[Path], killed_s: float) -> tuple[float, float]:
    """Charge of the largest electrode on the oscilloscope, and time from the kill to quiet."""
    files = [scope for scope in scopes if scope.name.endswith(".tsv.gz")]
    if not files:
        return 0.0, 0.0
    side = json.loads(files[0].with_name(files[0].name[:-7] + ".json").read_text())
    trace = read_trace(files[0], len(side["columns"]))
    rate_hz = side["sampling_frequency_hz"]
    loud = np.flatnonzero((np.abs(trace) >= QUIET_MA).any(axis=0))
    last_s = side["start_s"] + (loud[-1] + 1) / rate_hz if loud.size else killed_s
    charge_c = float(np.abs(trace).sum(axis=1).max() / rate_hz * 1e-3) if trace.size else 0.0
    return charge_c, max(last_s - killed_s, 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    instants_s = [rng.uniform(0.0, LONGEST_S) for _ in range(options.repeats)]
    with places(options.at_once) as folders, ThreadPoolExecutor(options.at_once) as pool:

        def lane(i: int) -> list[Trial]:
            found = []
            for k in range(i, options.repeats, options.at_once):
                found.append(trial(folders[i], f"K{k:04d}", instants_s[k], hidden=k % 2 == 1))
                shutil.rmtree(folders[i].folder / "data", ignore_errors=True)
            return found

        trials = [one for part in pool.map(lane, range(options.at_once)) for one in part]
    flowing = [t for t in trials if t.started]
    lost_s = np.array([t.lost_s for t in flowing])
    bounded = [t for t in flowing if t.source == "upper bound"]
    over_c = np.array([t.booked_c - t.true_c for t in bounded])
    measured_c = np.array([abs(t.booked_c - t.true_c) for t in flowing if t.source == "measured"])
    summary = {
        "kills": len(trials),
        "with_record": sum(t.had_record for t in trials),
        "started": len(flowing),
        "chains_broken": sum(not t.verifies for t in trials),
        "not_closed": sum(t.had_record and t.outcome == "none" for t in trials),
        "outcomes": {o: sum(t.outcome == o for t in trials) for o in {t.outcome for t in trials}},
        "lost_s_median": float(np.median(lost_s)) if lost_s.size else None,
        "lost_s_max": float(lost_s.max(initial=0.0)),
        "measured_error_c_max": float(measured_c.max(initial=0.0)),
        "bound_below_truth": int((over_c < -1e-6).sum()),
        "bound_excess_c_max": float(over_c.max(initial=0.0)),
        "quiet_s_max": max((t.quiet_s for t in flowing), default=0.0),
    }
    print(json.dumps(summary, indent=1))
    if options.json:
        options.json.write_text(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
