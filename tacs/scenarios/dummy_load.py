"""The scenarios that a real device on a dummy load can be put through.

There is no oscilloscope and no fault can be injected. What is judged is how soon the device says
that it is silent, and, where the rig has a current monitor, what that measured; the rest is
skipped, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from tacs.bids import SessionPaths
from tacs.clock import MonotonicClock, QueueInbox
from tacs.conduct import Conduct
from tacs.errors import TacsError
from tacs.record import Line, read_record
from tacs.safety import cautions
from tacs.scenarios.bench import Act, Bench, Stage, after, reaching, watching
from tacs.scenarios.evidence import Evidence, Verdict
from tacs.session import State

__all__ = ["told", "verdict"]

NOTICED_S = 0.4  # a tick, a question to the device, and its answer
PEAK_TOLERANCE = 0.05
SAY = "stop:the operator"
OF_THE_SUITE = frozenset(
    {9, 14, 16, 25, 30, 31, 32, 33, 34, 35, 36, 37, 38, 42, 43, 44, 45, 46, 47}
)


def told(bench: Bench) -> list[str]:
    """Return what a person must know before current is sent into the load."""
    protocol = bench.protocol()
    montage = protocol.montage
    pairs = ", ".join(f"{loop.source}-{loop.sink}" for loop in montage.loops)
    load = "a load of 5 to 10 kΩ between the leads of"
    return [
        f"{load} {pairs}; 1 mA peak will flow for up to {protocol.duration_s:g} s at a time",
        *cautions(protocol, bench.setup.capabilities),
    ]


def verdict(bench: Bench, number: int) -> Verdict:
    """Judge one scenario on a real device."""
    name = bench.setup.device.driver
    if number in OF_THE_SUITE:
        return Verdict(
            outcome="skipped",
            reason=f"does not depend on the device: `tacs verify device emulated:{name}` has it",
        )
    run = {15: peak, 39: stops, 40: storm}.get(number)
    if run is None:
        return Verdict(outcome="skipped", reason="a real device cannot be given this fault")
    if not bench.setup.capabilities.status_readback:
        return Verdict(outcome="skipped", reason="the device does not say whether it plays")
    try:
        return run(bench)
    except TacsError as exc:
        text = " ".join(str(exc).split())
        return Verdict(outcome="fail", reason=f"{type(exc).__name__}: {text}")


def session(bench: Bench, label: str, acts: Sequence[Act]) -> tuple[str, list[Line]]:
    """Run one session on the load; return its outcome and its record."""
    clock, inbox = MonotonicClock(), QueueInbox()
    request = bench.request(label)
    conduct = Conduct.of(
        request,
        clock=clock,
        inbox=inbox,
        confirm=lambda words, cautions: None,
        watch=watching(acts, Stage(clock, inbox)),
    )
    result = conduct.run()
    lines, _ = read_record(SessionPaths.of(request.dataset, label, "01").record)
    return result.outcome, lines


def silent_after_s(lines: Sequence[Line]) -> float | None:
    """Return how long after the stop was sent the device said that it is silent."""
    sent = [x.t_s for x in lines if x.kind == "intent" and "stop" in str(x.data["verb"])]
    silent = [
        x.t_s
        for x in lines
        if x.kind == "answer" and x.data.get("verb") == "status" and not x.data["playing"]
    ]
    later = [at_s for at_s in silent if sent and at_s >= sent[0]]
    return later[0] - sent[0] if later else None


def stops(bench: Bench) -> Verdict:
    """Row 39, in the states with current."""
    proof = Evidence()
    trials = (
        ("rampup", [reaching(State.RAMP_UP, SAY, 2.0)]),
        ("hold", [reaching(State.HOLD, SAY, 1.0)]),
        ("rampdown", [reaching(State.RAMP_DOWN, SAY, 0.5)]),
    )
    for name, acts in trials:
        outcome, lines = session(bench, f"L39{name}", acts)
        proof.equal(f"outcome_{name}", outcome, "stopped")
        limit_s = bench.soft_stop_s + NOTICED_S
        proof.at_most(f"silent_s_{name}", silent_after_s(lines), limit_s)
    return proof.verdict("by the device's own word; look at it with an oscilloscope")


def storm(bench: Bench) -> Verdict:
    """Row 40: eleven clicks."""
    proof = Evidence()
    acts = [after(6.0 + 0.01 * k, "stop:click") for k in range(11)]
    outcome, lines = session(bench, "L40", acts)
    stops_sent = [x for x in lines if x.kind == "intent" and "stop" in str(x.data["verb"])]
    proof.equal("outcome", outcome, "stopped")
    proof.equal("stops_sent", len(stops_sent), 1)
    proof.at_most("silent_s", silent_after_s(lines), bench.soft_stop_s + NOTICED_S)
    return proof.verdict("by the device's own word; look at it with an oscilloscope")


def peak(bench: Bench) -> Verdict:
    """Row 15: what the rig's monitor measures of 1 mA."""
    if not bench.monitored:
        return Verdict(
            outcome="skipped",
            reason="nothing here measures current: hold 1 mA and read the load with a meter",
        )
    proof = Evidence()
    outcome, lines = session(bench, "L15", [])
    measured = [x.data["current_peak_ma"] for x in lines if x.data.get("verb") == "measured"]
    largest_ma = max((max(m.values()) for m in measured), default=None)
    proof.equal("outcome", outcome, "done")
    proof.at_most("peak_ma", largest_ma, 1.0 + PEAK_TOLERANCE)
    proof.at_least("peak_ma_reached", largest_ma, 1.0 - PEAK_TOLERANCE)
    return proof.verdict("by the rig's current monitor")
