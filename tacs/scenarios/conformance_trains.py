"""What a driver that declares trains must do: edges as planned, and nothing between two trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tacs.checking import check
from tacs.protocol import Protocol
from tacs.scenarios.bench import RAMP_UP_S, Bench, Rehearsed, reaching
from tacs.scenarios.evidence import Evidence, Verdict
from tacs.session import State
from tacs.trains import TICK_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TRAIN_CHECKS", "train_protocol"]

SETTLE_S, OFF_S, TOP_S, COUNT = 5.0, 1.5, 1.0, 2
NOTHING_MA = 0.001
LATE_S = 0.1  # two ticks, and the way of a command
STEP_MA_PER_TICK = 1.05


def train_protocol(bench: Bench) -> Protocol:
    """A short run-in and two trains, with the steepest edges that limits and device allow."""
    limits, capabilities = bench.setup.limits, bench.setup.capabilities
    edge_s = max(
        limits["train_edge_s"],
        bench.current_ma / limits["train_envelope_slew_ma_per_s"],
        capabilities.train_edge_min_s,
    )
    edge_s = math.ceil(edge_s / TICK_S - 1e-9) * TICK_S
    on_s = 2.0 * edge_s + TOP_S
    trains = {
        "on_s": round(on_s, 6),
        "off_s": OFF_S,
        "edge_s": round(edge_s, 6),
        "settle_s": SETTLE_S,
        "count": COUNT,
    }
    run_in_s = RAMP_UP_S + SETTLE_S + edge_s
    duration_s = run_in_s + COUNT * (on_s + OFF_S) + 1.0
    return bench.protocol(trains=trains, duration_s=round(duration_s, 6))


def _size(run: Rehearsed, from_s: float, to_s: float) -> NDArray[Any]:
    return abs(run.part(from_s, to_s))


def trains(bench: Bench) -> Verdict:
    """Trains have their edges and their gaps; or they are refused where they are not declared."""
    proof = Evidence()
    protocol, capabilities = train_protocol(bench), bench.setup.capabilities
    if capabilities.no_trains:
        found = " ".join(breach.limit for breach in check(protocol, bench.setup))
        proof.contains("refused", found, "device_trains")
        return proof.verdict(f"not declared, and refused at planning: {capabilities.no_trains}")
    run = bench.rehearse("C13", protocol=protocol)
    plan = protocol.trains
    proof.equal("outcome", run.outcome, "done")
    if plan is None or run.outcome != "done":
        return proof.verdict()
    late_s = LATE_S + capabilities.reaction_s
    slew = run.full_ma / plan.edge_s
    sine_ma = 2.0 * math.pi * run.frequency_hz * run.full_ma / run.rate_hz
    first_s = plan.run_in_s(RAMP_UP_S)
    for k in range(COUNT):
        from_s = first_s + k * plan.period_s + OFF_S
        gap = _size(run, from_s - OFF_S + late_s, from_s)
        top = _size(run, from_s + plan.edge_s + late_s, from_s + plan.on_s - plan.edge_s)
        proof.at_most(f"gap_ma_{k + 1}", float(gap.max(initial=0.0)), NOTHING_MA)
        proof.at_least(f"top_of_{k + 1}", float(top.max(initial=0.0)) / run.full_ma, 0.98)
        rise = _size(run, from_s, from_s + plan.edge_s).max(axis=0)
        allowed = [min(slew * i / run.rate_hz, run.full_ma) for i in range(len(rise))]
        above = max((a - b for a, b in zip(rise, allowed, strict=True)), default=0.0)
        proof.at_most(f"above_edge_ma_{k + 1}", float(above), 0.01 * run.full_ma)
    proof.at_most("peak_over", run.peak_ma / run.full_ma, 1.0 + 1e-6)
    steps = abs(run.trace[:, 1:] - run.trace[:, :-1])
    most_ma = sine_ma + STEP_MA_PER_TICK * slew * TICK_S + 0.002
    proof.at_most("largest_step_ma", float(steps.max()), most_ma)
    ended = bench.rehearse(
        "C13stop", protocol=protocol, acts=[act := reaching(State.TRAIN_ON, "stop:x", 0.2)]
    )
    proof.equal("outcome_stop", ended.outcome, "stopped")
    proof.at_most("quiet_s_stop", ended.quiet_after_s(act.at_s), bench.soft_stop_s + 0.2)
    return proof.verdict()


TRAIN_CHECKS: Mapping[str, Callable[[Bench], Verdict]] = {"trains": trains}
