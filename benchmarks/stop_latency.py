"""How long current goes on after a session is stopped or killed, read off the oscilloscope.

Each trial is `tacs run` on the real clock against the emulated Synth Pal in a process of its own,
ended at a random instant of its ramp-up, plateau or ramp-down. The time runs from the signal, or
from the instant at which the fault struck, to the last sample at or above 50 µA.

    python -m benchmarks.stop_latency [--repeats N] [--at-once N] [--causes NAME …]
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.live_sessions import Place, kill, now_s, places, sleep_until

# Cause: what allows it, in seconds (safety limits A3: soft stop, lease, emergency stop).
LIMITS_S = {
    "operator stop": 0.8 + 0.2,
    "front end SIGKILL": 0.8 + 0.2,
    "front end SIGSTOP": 1.0 + 0.8 + 0.2,
    "guardian SIGKILL": 2.0,
    "link loss": 2.0,
    "overcurrent": 0.25,
}
MONITORED = "emulated-synthpal-monitored"


def trial(place: Place, name: str, cause: str, after_s: float) -> tuple[float, str]:
    """End one session; return the time to quiet, and its outcome."""
    faults = {"link loss": [f"link_loss@{after_s:.3f}"], "overcurrent": [f"gain@{after_s:.3f}=1.5"]}
    process = place.begin(
        name, faults=faults.get(cause, ()), rig=MONITORED if cause == "overcurrent" else ""
    )
    since_s = place.started_s(name) + after_s
    pid = place.guardian(name)
    sleep_until(since_s)
    if cause not in faults:
        since_s = now_s()
    if cause == "operator stop":
        process.send_signal(signal.SIGINT)
    elif cause == "front end SIGKILL":
        process.kill()
    elif cause == "front end SIGSTOP":
        process.send_signal(signal.SIGSTOP)
        sleep_until(since_s + 4.0)
        process.kill()
    elif cause == "guardian SIGKILL":
        kill(pid)
    place.await_end(name, process)
    place.recover()
    outcome = str(place.lines(name)[-1]["data"]["outcome"])
    return place.quiet_s(name, since_s), outcome


def campaign(cause: str, repeats: int, at_once: int, seed: int) -> dict[str, object]:
    """Many trials of one cause, some at once."""
    rng = random.Random(f"{cause}/{seed}")
    instants_s = [rng.uniform(1.0, 9.0 if cause != "overcurrent" else 7.5) for _ in range(repeats)]
    with places(at_once) as folders, ThreadPoolExecutor(at_once) as pool:

        def lane(i: int) -> list[tuple[float, str]]:
            found = []
            for k in range(i, repeats, at_once):
                found.append(trial(folders[i], f"S{k:04d}", cause, instants_s[k]))
                shutil.rmtree(folders[i].folder / "data", ignore_errors=True)
            return found

        results = [one for part in pool.map(lane, range(at_once)) for one in part]
    quiet_s = np.array([quiet for quiet, _ in results])
    outcomes = sorted({outcome for _, outcome in results})
    return {
        "cause": cause,
        "n": len(results),
        "median_s": round(float(np.median(quiet_s)), 4),
        "p99_s": round(float(np.percentile(quiet_s, 99)), 4),
        "max_s": round(float(quiet_s.max()), 4),
        "limit_s": LIMITS_S[cause],
        "over_limit": int((quiet_s > LIMITS_S[cause]).sum()),
        "outcomes": outcomes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--causes", nargs="*", choices=list(LIMITS_S), default=list(LIMITS_S))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(
        f"{'cause':<20} {'n':>5} {'median':>8} {'p99':>8} {'max':>8} {'limit':>7}  over  outcomes"
    )
    rows = []
    for cause in options.causes:
        row = campaign(cause, options.repeats, options.at_once, options.seed)
        rows.append(row)
        print(
            f"{cause:<20} {row['n']:>5} {row['median_s']:>7.3f}s {row['p99_s']:>7.3f}s "
            f"{row['max_s']:>7.3f}s {row['limit_s']:>6.2f}s {row['over_limit']:>5}  "
            f"{', '.join(row['outcomes'])}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
