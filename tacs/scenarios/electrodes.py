"""Electrodes, stimulators and what a current monitor sees of them.

A voltage source reads no current and no impedance. On a rig without a monitor these faults are
played all the same, and what must hold is that the operator was told before arming.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from tacs.scenarios.bench import FAULT_S, Bench, Rehearsed, pairs_of
from tacs.scenarios.evidence import Evidence, Row, Verdict

__all__ = ["ROWS"]

EMERGENCY_Z_S = 0.25
OVERCURRENT_S = 0.05  # for which it lasts before it counts
SEEN_WITHIN_S = 0.5  # a mean over whole cycles of a second, a frame's age, a tick
FAST_HZ = 77.0  # half a cycle is shorter than a frame of the monitor
NO_CURRENT = "the device reads no current and the rig has no monitor"


@dataclass(frozen=True, slots=True)
class Trial:
    """One fault at the electrodes.

    Parameters
    ----------
    fault : str
        As on a command line, with ``{source}`` for an electrode of the first loop.
    rules : tuple of str
        Rules of the monitor, one of which must end the session.
    within_s : float
        By when the current must be below 50 µA.
    words : tuple of str
        One of which tells the operator of a rig without a monitor.
    at_s : float
        When it strikes.
    n_loops : int
        Loops of the protocol.
    """

    fault: str
    rules: tuple[str, ...]
    within_s: float
    words: tuple[str, ...]
    at_s: float = FAULT_S
    n_loops: int = 1


def played(bench: Bench, label: str, trial: Trial) -> Rehearsed:
    """Run a session with one fault in it."""
    name, _, value = trial.fault.format(source=bench.source, third=third(bench)).partition("=")
    protocol = bench.protocol(trial.n_loops)
    return bench.rehearse(label, protocol=protocol, faults=[f"{name}@{trial.at_s}={value}"])


def third(bench: Bench) -> str:
    """Return the electrode at the positive end of the third loop, or of the last before it."""
    pairs = pairs_of(bench.setup.rig)[:3]
    return pairs[-1][0] if pairs else ""


def trials(bench: Bench, number: int, which: tuple[Trial, ...], reason: str = "") -> Verdict:
    """Judge a row that is one fault, or some of a kind."""
    proof = Evidence()
    rig = bench.setup.rig
    n_loops = len(pairs_of(rig))
    possible = [trial for trial in which if trial.n_loops <= n_loops]
    for k, trial in enumerate(possible):
        run = played(bench, f"R{number}t{k}", trial)
        name = f"_{trial.fault.partition('=')[0]}{k or ''}"
        if bench.monitored:
            caught(proof, run, trial, name)
        else:
            undetected(proof, run, trial, name)
    if not possible:
        return Verdict(outcome="not_applicable", reason=f"the rig has {n_loops} loops only")
    if bench.monitored:
        return proof.verdict(reason)
    return proof.verdict(NO_CURRENT, outcome="not_detectable")


def caught(proof: Evidence, run: Rehearsed, trial: Trial, name: str) -> None:
    """Require the right rule, a fault, and silence in time."""
    proof.equal(f"outcome{name}", run.outcome, "fault")
    if run.rule in trial.rules:
        proof.monitor = run.rule
    proof.equal(f"rule{name}", run.rule, run.rule if run.rule in trial.rules else trial.rules[0])
    proof.at_most(f"quiet_s{name}", run.quiet_after_s(trial.at_s), trial.within_s)
    proof.equal(f"record{name}", run.problem or "verifies", "verifies")


def undetected(proof: Evidence, run: Rehearsed, trial: Trial, name: str) -> None:
    """Require that nothing pretended to see it, and that the operator was told beforehand."""
    proof.equal(f"outcome{name}", run.outcome, "done")
    proof.note(f"peak_ma{name}", run.peak_ma)
    proof.shown_before_arming(run.cautions, *trial.words)


def stuck(bench: Bench) -> Verdict:
    """Row 17: the monitor repeats itself, with new numbers or with the old ones."""
    proof = Evidence()
    for how in ("values", "frozen"):
        run = bench.rehearse(f"R17{how}", faults=[f"monitor_stuck@{FAULT_S}={how}"])
        rules = ("stuck_telemetry", "monitor_silent", "monitor_late")
        caught(proof, run, Trial("", rules, 2.0, ()), f"_{how}")
    proof.monitor = "stuck_telemetry"
    return proof.verdict()


def overcurrent(bench: Bench) -> Verdict:
    """Row 18: 20 % too much, at several places of the cycle, slow and fast; latency from it on."""
    if not bench.monitored:
        trial = Trial("gain=1.2", (), 0.0, ("gain", "off its calibration"))
        return trials(bench, 18, (trial,))
    proof, worst_s = Evidence(), 0.0
    for k, at_s in enumerate((6.0, 6.017, 6.031)):
        run = bench.rehearse(f"R18p{k}", faults=[f"gain@{at_s}=1.2"])
        proof.equal(f"outcome_{k}", run.outcome, "fault")
        proof.equal(f"rule_{k}", run.rule, "overcurrent")
        worst_s = max(worst_s, run.quiet_after_s(at_s))
    fast = bench.protocol(frequency_hz=FAST_HZ)
    run = bench.rehearse("R18fast", protocol=fast, faults=[f"gain@{FAULT_S}=1.2"])
    proof.equal("rule_at_77_hz", run.rule, "overcurrent")
    worst_s = max(worst_s, run.quiet_after_s(FAULT_S))
    proof.note("quiet_s_from_the_fault", worst_s)
    proof.at_most("quiet_s", worst_s - OVERCURRENT_S, EMERGENCY_Z_S)
    run = bench.rehearse("R18least", faults=[f"gain@{FAULT_S}=1.11"])
    proof.equal("outcome_of_11_percent", run.outcome, "fault")
    return proof.verdict(
        "quiet_s counts from 50 ms after the fault on the trace", monitor="overcurrent"
    )


def direct_current(bench: Bench) -> Verdict:
    """Row 19: a stimulator adds direct current, which no command ends; the sine must end."""
    trial = Trial("dc_offset=0.08", ("dc_offset",), 0.0, ("DC offset", "direct"))
    if not bench.monitored:
        return trials(bench, 19, (trial,))
    run = played(bench, "R19", trial)
    proof = Evidence()
    proof.equal("outcome", run.outcome, "fault")
    proof.equal("rule", run.rule, "dc_offset")
    # Without the direct current, which is the stimulator's own and goes on behind every stop.
    sine = run.trace.copy()
    first = round((run.start_s + trial.at_s) * run.rate_hz)
    sine[:, first:] -= sine[:, -1:]
    limit_s = 1.0 + SEEN_WITHIN_S + bench.soft_stop_s
    proof.at_most("sine_quiet_s", run.quiet_after_s(trial.at_s, sine), limit_s)
    proof.contains("warned", "; ".join(run.result.warnings if run.result else ()), "DID NOT END")
    return proof.verdict(
        "the stimulator's own direct current outlasts every stop: the operator is told to take "
        "the leads off",
        monitor="dc_offset",
    )


def drying(bench: Bench) -> Verdict:
    """Row 21: 2 kΩ a second, so that no step rule is touched."""
    kohm_per_s, since_s = 2.0, 1.0
    protocol = bench.protocol(duration_s=40.0)
    fault = f"drying@{since_s}={bench.source}:{60.0 * kohm_per_s:g}"
    run = bench.rehearse("R21", protocol=protocol, faults=[fault], linger_s=1.0)
    proof = Evidence()
    proof.at_most("peak_ma", run.peak_ma, bench.current_ma)
    if not bench.monitored:
        proof.equal("outcome", run.outcome, "done")
        proof.shown_before_arming(run.cautions, "drying")
        return proof.verdict(NO_CURRENT, outcome="not_detectable")
    limits = bench.setup.limits
    warn_s, stop_s = (
        since_s + (limits[name] - 5.0) / kohm_per_s
        for name in ("impedance_run_warn_kohm", "impedance_run_stop_kohm")
    )
    warned = [x for x in run.said("note") if str(x.data["text"]).startswith("IMPEDANCE_WARNING")]
    proof.equal("warnings", len(warned), 1)
    late_s = run.session_s(warned[0]) - warn_s if warned else None
    proof.at_most("warned_after_20_kohm_s", late_s, 0.5)
    proof.at_least("warned_not_before_s", late_s, 0.0)
    proof.equal("outcome", run.outcome, "fault")
    proof.equal("rule", run.rule, "impedance")
    loud_s = run.quiet_after_s(stop_s)
    proof.at_most("quiet_after_50_kohm_s", loud_s, SEEN_WITHIN_S + bench.soft_stop_s)
    proof.at_least("not_before_50_kohm_s", loud_s, 0.1)
    levels = [x.data["level"] for x in run.intents("set_level")]
    proof.at_most("level", max(levels, default=0.0), 1.0)
    return proof.verdict(monitor="impedance")


def short_circuit(bench: Bench) -> Verdict:
    """Row 23: a gel bridge before the start, and in a run."""
    trial = Trial("short={source}", ("short_circuit", "impedance_step"), 1.0, ("short circuit",))
    if not bench.monitored:
        return trials(bench, 23, (trial,))
    proof = Evidence()
    before = bench.rehearse("R23before", faults=[f"short@on={bench.source}"])
    proof.equal("outcome_before", before.outcome, "refused")
    proof.contains("refused_by", before.cause, "short_circuit_kohm")
    proof.at_most("peak_ma_before", before.peak_ma, 0.0)
    proof.equal("started", len(before.intents("start")), 0)
    caught(proof, played(bench, "R23run", trial), trial, "_run")
    return proof.verdict()


def compliance(bench: Bench) -> Verdict:
    """Row 24: the stimulator runs out of voltage at half of the current."""
    trial = Trial("compliance=5", ("compliance", "open_circuit"), 1.0 + bench.soft_stop_s,
                  ("compliance",))  # fmt: skip
    run = played(bench, "R24", trial)
    proof = Evidence()
    if bench.monitored:
        caught(proof, run, trial, "")
        stop_s = [run.session_s(x) for x in run.intents("soft_stop", "emergency_stop")]
        proof.at_most("stop_sent_s", min(stop_s, default=99.0) - trial.at_s, 1.0)
    else:
        undetected(proof, run, trial, "")
    if run.result is None or run.result.delivered is None:
        return proof.verdict("no result")
    true_c = max(run.charge_c().values())
    delivered_c = max(run.result.delivered.rectified_charge_c.values())
    commanded_c = run.lines[-1].data["commanded"]["rectified_charge_c"]
    proof.at_most("dose_error", abs(delivered_c / true_c - 1.0), 0.01)
    proof.at_most("delivered_over_commanded", delivered_c / commanded_c, 0.99)
    proof.equal("dose_from", run.result.delivered.source, "measured")
    if bench.monitored:
        return proof.verdict()
    return proof.verdict(
        f"{NO_CURRENT}; the dose is that of the oscilloscope; without one the commanded dose, "
        "which is larger, is booked",
        outcome="not_detectable",
    )


def battery(bench: Bench) -> Verdict:
    """Row 28: low before a start, and in a run."""
    proof = Evidence()
    before = bench.rehearse("R28before", faults=["battery@on=100"])
    proof.equal("outcome_before", before.outcome, "refused")
    proof.contains("refused_by", before.cause, "battery")
    proof.at_most("peak_ma_before", before.peak_ma, 0.0)
    trial = Trial("battery=100", ("battery_low",), 1.0 + SEEN_WITHIN_S + bench.soft_stop_s, ())
    caught(proof, played(bench, "R28run", trial), trial, "_run")
    return proof.verdict("the battery of the monitor; the device does not report its own")


OPEN = ("open_circuit", "impedance_step", "unbalance", "compliance")
LEAKS = (
    Trial("leak={source}:0.1", ("unbalance",), EMERGENCY_Z_S, ("isolation",)),
    Trial("open_electrode={third}", OPEN, EMERGENCY_Z_S, ("open or detached",), n_loops=3),
)
FALLS_OFF = (
    Trial("open_electrode={source}", OPEN, EMERGENCY_Z_S, ("open or detached",)),
    Trial("impedance={source}:30", ("impedance_step",), EMERGENCY_Z_S, ("rising impedance",)),
)

ROWS = {
    17: Row(
        run=stuck,
        needs=("monitor_stuck",),
        monitor="the device reads no current: there is no telemetry that could be stuck",
    ),
    18: Row(run=overcurrent, needs=("gain",)),
    19: Row(run=direct_current, needs=("dc_offset",)),
    20: Row(run=partial(trials, number=20, which=LEAKS), needs=("leak", "open_electrode")),
    21: Row(run=drying, needs=("drying",)),
    22: Row(run=partial(trials, number=22, which=FALLS_OFF), needs=("open_electrode",)),
    23: Row(run=short_circuit, needs=("short",)),
    24: Row(run=compliance, needs=("compliance",)),
    28: Row(
        run=battery,
        needs=("battery",),
        monitor="the device reports no battery and the rig has no monitor with one",
    ),
}
