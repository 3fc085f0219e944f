"""How long current goes on after a session is stopped or killed, read off the oscilloscope.

Each trial is `tacs run` on the real clock against the emulated Synth Pal in a process of its own,
ended at a random instant of its ramp-up, plateau or ramp-down. The time runs from the signal, or
from the instant at which the fault struck, to the last sample at or above 50 µA. A session that was
quiet before that instant is told as such, and not counted as a fast stop.

    python -m benchmarks.stop_latency [--repeats N] [--at-once N] [--causes NAME …] [--json FILE]
"""

from __future__ import annotations

import argparse
import functools
import random
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.live_sessions import (
    Busy,
    Kept,
    Place,
    TrialError,
    Witness,
    await_end,
    now_s,
    side_by_side,
    spread,
    warm_up,
)
from tacs.errors import TacsError

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
SUSPENDED_S = 4.0


def trial(place: Place, name: str, cause: str, after_s: float) -> dict[str, Any]:
    """End one session; return time to quiet, outcome, and how late the guardian ever was."""
    faults = {"link loss": [f"link_loss@{after_s:.3f}"], "overcurrent": [f"gain@{after_s:.3f}=1.5"]}
    front = place.begin(
        name, faults=faults.get(cause, ()), rig=MONITORED if cause == "overcurrent" else ""
    )
    see = Witness(place, name)
    try:
        guardian = place.guardian(name, front)
        since_s = place.started_s(name) + after_s
        see.look_until(since_s)
        if cause not in faults:
            since_s = now_s()
        if cause == "operator stop":
            front.send_signal(signal.SIGINT)
        elif cause == "front end SIGKILL":
            front.kill()
        elif cause == "front end SIGSTOP":
            front.send_signal(signal.SIGSTOP)
            see.look_until(since_s + SUSPENDED_S)
            front.kill()
        elif cause == "guardian SIGKILL":
            guardian.kill()
        await_end(place, name, front, guardian, see)
        guardian.close()
    finally:
        front.kill()
    _, quiet_s = see.seen(since_s)
    if not any(line["kind"] == "end" for line in place.lines(name)):
        place.recover()
    end = place.lines(name)[-1]["data"]
    late_ms = end["loop"]["late_ms"]["max"] if end.get("loop") else None
    return {"quiet_s": round(quiet_s, 4), "outcome": end["outcome"], "late_ms": late_ms}


def result(root: Path, cause: str, k: int, after_s: float) -> dict[str, Any]:
    """One trial in a folder of its own, or why it says nothing."""
    name = f"S{k:04d}"
    folder = root / cause.replace(" ", "-") / name
    about = {"cause": cause, "name": name, "after_s": round(after_s, 4)}
    try:
        return {**about, **trial(Place.make(folder), name, cause, after_s)}
    except (TrialError, TacsError, OSError) as exc:
        return {**about, "failed": str(exc)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def row(cause: str, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a report says of the trials of one cause."""
    mine = [r for r in results if r["cause"] == cause]
    fine = [r for r in mine if "failed" not in r]
    loud = [r["quiet_s"] for r in fine if r["quiet_s"] > 0.0]
    found = spread(loud)
    return {
        "cause": cause,
        "n": found["n"],
        "median_s": found["median"],
        "p99_s": found["p99"],
        "max_s": found["max"],
        "limit_s": LIMITS_S[cause],
        "over_limit": sum(quiet_s > LIMITS_S[cause] for quiet_s in loud),
        "quiet_before": len(fine) - len(loud),
        "failed": dict(Counter(r["failed"] for r in mine if "failed" in r)),
        "outcomes": dict(Counter(r["outcome"] for r in fine)),
    }


def line(found: dict[str, Any]) -> str:
    """One row as text."""
    times = [found[key] for key in ("median_s", "p99_s", "max_s")]
    shown = " ".join(f"{'–':>8}" if t is None else f"{t:>7.3f}s" for t in times)
    return (
        f"{found['cause']:<20} {found['n']:>5} {shown} {found['limit_s']:>6.2f}s "
        f"{found['over_limit']:>5} {found['quiet_before']:>6} {sum(found['failed'].values()):>6}  "
        f"{', '.join(f'{name} {n}' for name, n in sorted(found['outcomes'].items()))}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--causes", nargs="*", choices=list(LIMITS_S), default=list(LIMITS_S))
    parser.add_argument("--json", type=Path, help="written while the trials run, with every trial")
    options = parser.parse_args()
    warm_up()
    busy, began_s = Busy(), now_s()
    kept = Kept(
        options.json,
        lambda results: {
            "rows": [row(cause, results) for cause in options.causes],
            "at_once": options.at_once,
            "busy_percent": busy.percent(),
            "seconds": round(now_s() - began_s, 1),
        },
    )
    print(
        f"{'cause':<20} {'n':>5} {'median':>8} {'p99':>8} {'max':>8} {'limit':>7}  over  quiet "
        f"failed  outcomes"
    )
    with tempfile.TemporaryDirectory(prefix="tacs-stop-") as root:
        for cause in options.causes:
            rng = random.Random(f"{cause}/{options.seed}")
            latest_s = 9.0 if cause != "overcurrent" else 7.5
            side_by_side(
                [
                    functools.partial(result, Path(root), cause, k, rng.uniform(1.0, latest_s))
                    for k in range(options.repeats)
                ],
                options.at_once,
                kept.add,
            )
            print(line(row(cause, kept.results)), flush=True)
    print(f"machine busy {kept.write()['busy_percent']} % for {now_s() - began_s:.0f} s")


if __name__ == "__main__":
    main()
