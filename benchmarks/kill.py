"""SIGKILL the guardian at random instants: does the record open, what is lost, is the dose right?

Each trial is `tacs run` on the real clock against the emulated Synth Pal in a process of its own;
the guardian is killed at a random instant from its start to after its end, and `tacs recover`
closes what is left. In every second trial the oscilloscope's file is hidden from `tacs recover`, as
with a device that measures nothing: the dose booked is then an upper bound. Either way it is held
against what truly flowed, read from a link to the oscilloscope's file that is the benchmark's own.

    python -m benchmarks.kill [--repeats 1000] [--at-once N] [--json FILE]
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
from tacs.record import verify_record

LONGEST_S = 14.0  # a session of 10 s, its start and its closing on a busy machine
TOLD_EVERY = 50
NEAR_C = 1e-6  # the record's own rounding


@dataclass(frozen=True)
class Trial:
    """What became of one kill."""

    name: str
    after_s: float
    hidden: bool
    had_record: bool
    started: bool
    ended_before: bool
    verifies: bool
    outcome: str
    lost_s: float | None
    true_c: float
    booked_c: float
    source: str
    quiet_s: float | None


def trial(place: Place, name: str, after_s: float, *, hidden: bool) -> Trial:
    """Kill one guardian, recover, and compare."""
    front = place.begin(name)
    see = Witness(place, name)
    try:
        guardian = place.guardian(name, front)
        see.look_until(now_s() + after_s)
        killed_s = now_s()
        guardian.kill()
        await_end(place, name, front, guardian, see)
        guardian.close()
    finally:
        front.kill()
    before = place.lines(name)
    started = any(x["data"].get("verb") == "start" for x in before)
    ended = any(x["kind"] == "end" for x in before)
    true_c, quiet_s = see.seen(killed_s) if started else (0.0, 0.0)
    if hidden:
        for scope in place.source(name).glob("*_oscilloscope*"):
            scope.rename(place.folder / f"hidden-{scope.name}")
    place.recover()
    end = next((x for x in place.lines(name) if x["kind"] == "end"), None)
    delivered = end["data"]["delivered"] if end else None
    lost_s = None
    if started and not ended:
        lost_s = max(killed_s - (before[0]["data"]["clock_zero_s"] + before[-1]["t_s"]), 0.0)
    return Trial(
        name=name,
        after_s=round(after_s, 4),
        hidden=hidden,
        had_record=bool(before),
        started=started,
        ended_before=ended,
        verifies=all(verify_record(r) is None for r in place.source(name).glob("*_record.jsonl")),
        outcome=str(end["data"]["outcome"]) if end else "none",
        lost_s=lost_s,
        true_c=true_c,
        booked_c=delivered["rectified_charge_c"] if delivered else 0.0,
        source=delivered["source"] if delivered else "nothing",
        quiet_s=quiet_s if started and quiet_s > 0.0 else None,
    )


def result(root: Path, name: str, after_s: float, *, hidden: bool) -> dict[str, Any]:
    """One trial in a folder of its own, or why it says nothing."""
    folder = root / name
    try:
        return asdict(trial(Place.make(folder), name, after_s, hidden=hidden))
    except (TrialError, TacsError, OSError) as exc:
        return {"name": name, "after_s": after_s, "hidden": hidden, "failed": str(exc)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def summary(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a report says of trials."""
    failed = [r["failed"] for r in results if "failed" in r]
    trials = [Trial(**r) for r in results if "failed" not in r]
    flowing = [t for t in trials if t.started]
    measured = [t.booked_c - t.true_c for t in flowing if t.source == "measured"]
    bounds = [t.booked_c - t.true_c for t in flowing if t.source == "upper bound"]
    return {
        "kills": len(results),
        "failed": dict(Counter(failed)),
        "with_record": sum(t.had_record for t in trials),
        "started": len(flowing),
        "ended_before_the_kill": sum(t.ended_before for t in trials),
        "chains_broken": sum(not t.verifies for t in trials),
        "not_closed": sum(t.had_record and t.outcome == "none" for t in trials),
        "outcomes": dict(Counter(t.outcome for t in trials)),
        "sources": dict(Counter(t.source for t in flowing)),
        "lost_s": spread([t.lost_s for t in flowing if t.lost_s is not None]),
        "measured_error_c": spread([abs(c) for c in measured], 9),
        "measured_below_truth": sum(c < -NEAR_C for c in measured),
        "bound_excess_c": spread(bounds, 9),
        "bound_below_truth": sum(c < -NEAR_C for c in bounds),
        "quiet_s": spread([t.quiet_s for t in flowing if t.quiet_s is not None]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="written while the trials run, with every trial")
    options = parser.parse_args()
    warm_up()
    rng, busy, began_s = random.Random(options.seed), Busy(), now_s()
    kept = Kept(
        options.json,
        lambda results: {
            **summary(results),
            "at_once": options.at_once,
            "busy_percent": busy.percent(),
            "seconds": round(now_s() - began_s, 1),
        },
    )

    def take(one: dict[str, Any]) -> None:
        kept.add(one)
        if len(kept.results) % TOLD_EVERY == 0:
            print(json.dumps(kept.write()), flush=True)

    with tempfile.TemporaryDirectory(prefix="tacs-kill-") as root:
        side_by_side(
            [
                functools.partial(
                    result,
                    Path(root),
                    f"K{k:04d}",
                    rng.uniform(0.0, LONGEST_S),
                    hidden=k % 2 == 1,
                )
                for k in range(options.repeats)
            ],
            options.at_once,
            take,
        )
    print(json.dumps(kept.write(), indent=1))


if __name__ == "__main__":
    main()
