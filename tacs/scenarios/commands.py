"""Commands: values that are none, units that slip, steps, doubled starts, and stops."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable
from typing import Any

from tacs.checking import check
from tacs.clock import VirtualClock
from tacs.driver import EmulatedDevice, find_emulator
from tacs.errors import InputError, SafetyRefusal, TacsError
from tacs.guard import GuardedDriver
from tacs.guardian import kernel_plan
from tacs.protocol import Protocol
from tacs.scenarios.bench import DURATION_S, FAULT_S, Act, Bench, Rehearsed, after, reaching
from tacs.scenarios.conformance_trains import train_protocol
from tacs.scenarios.evidence import Evidence, Row, Verdict
from tacs.session import TERMINAL, Do, Event, Session, State, Trigger, step

__all__ = ["ROWS"]

STOP_Z_S = 1.0
STOPPING_S = 0.2  # into a stop
SLEW_READING = 1.05  # what a rise over half a second, read off a trace, may be out by
STORM = 11


class SilentJournal:
    """A journal for commands that no session gives."""

    def intent(self, verb: str, data: Any, *, sync: bool) -> None:
        """Write nothing."""

    def answer(self, verb: str, data: Any) -> None:
        """Write nothing."""


def guarded(bench: Bench, label: str) -> tuple[GuardedDriver, EmulatedDevice, VirtualClock]:
    """Return a guarded device that plays at level 0, its emulator and their clock.

    A device that plays its whole envelope by itself is configured and not started.
    """
    clock, protocol, rig = VirtualClock(), bench.protocol(), bench.setup.rig
    if rig is None:
        raise InputError("no rig")
    contacts = [e.name for e in protocol.montage.electrodes]
    trace = bench.folder / f"{label}.tsv.gz"
    device = find_emulator(bench.setup.device.driver).in_memory(rig, clock, contacts, trace, ())
    driver = bench.setup.driver.over(device.transport, rig)
    guard = GuardedDriver.of(driver, protocol, rig, bench.setup.limits, SilentJournal())
    guard.connect()
    guard.configure()
    if bench.setup.capabilities.level_control:
        guard.start(1.0, clock.now_s())
    return guard, device, clock


def peak_after(device: EmulatedDevice) -> float:
    """Close the oscilloscope; return the largest current that it saw, in mA."""
    from tacs.dose import read_trace

    info = device.finish()
    if info is None:
        return math.inf
    return float(abs(read_trace(info.path, len(info.columns))).max(initial=0.0))


def refuses(call: Callable[[], object], *kinds: type[Exception]) -> bool:
    """Whether a call is refused, by an error of the suite or of a kind given, and by no other."""
    refusals: tuple[type[Exception], ...] = (TacsError, *kinds)
    try:
        call()
    except refusals:
        return True
    return False


def second_start(bench: Bench) -> Verdict:
    """Row 9: in every running state of the kernel, and as a message to a guardian."""
    proof, n_states = Evidence(), 0
    for session, now_s in running_states(bench):
        n_states += 1
        again, actions = step(session, Event(Trigger.START), now_s)
        started = sum(action.do is Do.START for action in actions)
        proof.equal(f"starts_in_{session.state.value}", started, 0)
        proof.equal(f"state_after_{session.state.value}", again.state.value, session.state.value)
    proof.at_least("running_states", n_states, 5 if bench.setup.capabilities.level_control else 4)
    run = bench.rehearse("R09", acts=[after(FAULT_S, "start")])
    proof.equal("starts_sent", len(run.intents("start")), 1)
    proof.equal("outcome", run.outcome, "stopped")
    proof.at_most("quiet_s", run.quiet_after_s(FAULT_S), STOP_Z_S)
    return proof.verdict("a second start changes nothing; as a message it is unknown, and a stop")


def running_states(bench: Bench) -> list[tuple[Session, float]]:
    """Return a session in every running state that a walk of the kernel reaches, with its time."""
    plan = kernel_plan(bench.protocol(), bench.setup.limits, bench.setup.capabilities)
    found: dict[State, tuple[Session, float]] = {}

    def walk(script: dict[int, Trigger]) -> None:
        session, now_s = Session(plan=plan), 0.0
        for trigger in (Trigger.CONNECTED, Trigger.CHECKED, Trigger.ARM, Trigger.START):
            session, _ = step(session, Event(trigger), now_s)
        for tick in range(1, round(plan.duration_s / 0.1)):
            now_s = 0.1 * tick
            session, _ = step(session, Event(script.get(tick, Trigger.TICK)), now_s)
            if session.state not in TERMINAL:
                found.setdefault(session.state, (session, now_s))

    walk({})
    walk({20: Trigger.PAUSE})
    walk({20: Trigger.STOP})
    return list(found.values())


def after_a_stop(bench: Bench) -> Verdict:
    """Row 10: what was under way when the stop was sent; and what a person still asks for."""
    proof = Evidence()
    at_s = 3.0  # in the ramp-up, where a command goes out at every tick
    later = [after(at_s + 0.1, "resume"), after(at_s + 0.2, "higher"), after(at_s + 0.3, "alive")]
    run = bench.rehearse("R10", acts=[after(at_s, "stop:the operator"), *later])
    stop = run.intents("soft_stop")[0].seq
    raising = run.intents("set_level", "extend_lease", "start")
    proof.equal("sent_after_the_stop", sum(line.seq > stop for line in raising), 0)
    proof.equal("outcome", run.outcome, "stopped")
    proof.at_most("quiet_s", run.quiet_after_s(at_s), STOP_Z_S)
    times_s, sizes = run.half_cycle_peaks()
    falling = sizes[times_s > at_s + 0.1]
    proof.at_most("largest_rise_ma", float((falling[1:] - falling[:-1]).max(initial=0.0)), 0.002)
    if bench.monitored:
        mixed = bench.rehearse("R10mixed", faults=[f"monitor_reorder@{FAULT_S}=5"])
        told = mixed.said("answer", verb="measured")[-1].data["frames"]["reordered"]
        proof.equal("frames_out_of_order_dropped", told, 5)
        proof.equal("outcome_mixed", mixed.outcome, "done")
    return proof.verdict("a serial line keeps its order; nothing older is sent after a stop")


NO_AMPLITUDES: tuple[Any, ...] = (
    math.nan, math.inf, -math.inf, -1.0, 1e308, True, "1", "nan", None, [1.0], {"mA": 1.0},
)  # fmt: skip
HARMLESS = (-0.0, 5e-324)  # no more than nothing: allowed where they change nothing


def no_numbers(bench: Bench) -> Verdict:
    """Row 14: at the protocol's door, at the guard and at the driver."""
    proof = Evidence()
    data = bench.protocol().to_data()

    def in_protocol(value: Any, *keys: str) -> bool:
        changed = {**data, "montage": {**data["montage"]}}
        loop = {**data["montage"]["loops"][0], "current_peak_ma": value}
        changed["montage"]["loops"] = [loop, *data["montage"]["loops"][1:]]

        def accepted() -> None:
            if found := check(Protocol.from_data(changed, "bench"), bench.setup):
                raise SafetyRefusal(found)

        return refuses(accepted)

    bad = [v for v in NO_AMPLITUDES if not in_protocol(v)]
    proof.equal("accepted_in_a_protocol", str(bad), "[]")
    proof.equal("minus_zero_refused_in_a_protocol", in_protocol(-0.0), True)
    guard, device, clock = guarded(bench, "R14")
    for k, value in enumerate(HARMLESS):
        guard.set_level(value, 1.0 + k)
    driver = bench.setup.driver.over(device.transport, bench.setup.rig)

    def taken(set_level: Callable[[Any], object]) -> list[Any]:
        # A text is no number to compare with: Python's own error is a refusal as well.
        return [
            v
            for v in NO_AMPLITUDES
            if not refuses(lambda v=v: set_level(v), TypeError)  # type: ignore[misc]
        ]

    def past_the_guard(value: Any) -> bool:
        """Whether a value got as far as the driver, which may refuse it too."""
        try:
            guard.set_level(value, 100.0)
        except (SafetyRefusal, TypeError):
            return False
        except TacsError:
            return True
        return True

    proof.equal("accepted_by_the_guard", str([v for v in NO_AMPLITUDES if past_the_guard(v)]), "[]")
    proof.equal("accepted_by_the_driver", str(taken(driver.set_level)), "[]")
    clock.wait(clock.now_s() + 0.5)
    proof.at_most("peak_ma", peak_after(device), 0.0)
    return proof.verdict(f"{len(NO_AMPLITUDES)} values; -0 and the least number set nothing")


def wrong_unit(bench: Bench) -> Verdict:
    """Row 15: microampere as milliampere, peak-to-peak as peak; and what the adapter delivers."""
    proof = Evidence()
    for factor in (1000.0, 2.0):
        found = check(bench.protocol(current_ma=factor), bench.setup)
        proof.contains(
            f"refused_x{factor:g}",
            " ".join(breach.limit for breach in found),
            "electrode_current_peak_ma",
        )
        run = bench.rehearse(f"R15x{factor:g}", protocol=bench.protocol(current_ma=factor))
        proof.equal(f"outcome_x{factor:g}", run.outcome, "refused")
        proof.equal(f"lines_x{factor:g}", len(run.lines), 0)
    for asked_ma in (0.2 * bench.current_ma, 0.5 * bench.current_ma, bench.current_ma):
        run = bench.rehearse(
            f"R15at{round(1000 * asked_ma)}", protocol=bench.protocol(current_ma=asked_ma)
        )
        proof.at_most(f"peak_over_{asked_ma:g}_ma", run.peak_ma / asked_ma, 1.0)
        proof.at_least(f"peak_of_{asked_ma:g}_ma", run.peak_ma / asked_ma, 0.99)
    return proof.verdict()


def step_up(bench: Bench) -> Verdict:
    """Row 16: a step is refused and nothing of it flows; the rise of a session on the trace."""
    proof = Evidence()
    guard, device, clock = guarded(bench, "R16")
    limit = bench.setup.limits["envelope_slew_ma_per_s"]
    at_s = clock.now_s() + 0.1
    proof.equal("first_step_refused", refuses(lambda: guard.set_level(1.0, at_s)), True)
    guard.set_level(0.0, at_s)
    at_s += 0.1
    proof.equal("step_to_full_refused", refuses(lambda: guard.set_level(1.0, at_s)), True)
    just_over = 1.02 * limit * 0.1
    proof.equal("just_over_refused", refuses(lambda: guard.set_level(just_over, at_s)), True)
    clock.wait(at_s)
    proof.at_most("peak_ma_after_refusals", peak_after(device), 0.0)
    run = bench.rehearse("R16run")
    proof.equal("outcome", run.outcome, "done")
    proof.at_most("slew_ma_per_s", run.slew_ma_per_s(), SLEW_READING * limit)
    steep = bench.protocol(ramp_up_s=1.0)
    proof.equal("steep_protocol", bench.rehearse("R16steep", protocol=steep).outcome, "refused")
    return proof.verdict()


def stop_everywhere(bench: Bench) -> Verdict:
    """Row 39: each state reached on the virtual clock, and a stop in it."""
    proof = Evidence()
    seen: set[str] = set()

    def stopped(label: str, acts: list[Act], **options: Any) -> Rehearsed:
        stop = acts[-1]
        run = bench.rehearse(f"R39{label}", acts=acts, **options)
        seen.add(label)
        proof.equal(f"outcome_{label}", run.outcome, "stopped")
        proof.at_most(f"quiet_s_{label}", run.quiet_after_s(stop.at_s), STOP_Z_S)
        proof.equal(f"record_{label}", run.problem or "verifies", "verifies")
        return run

    say = "stop:the operator"
    usual = stopped("rampup", [reaching(State.RAMP_UP, say, 2.0)])
    stopped("hold", [reaching(State.HOLD, say, 1.0)])
    stopped("rampdown", [reaching(State.RAMP_DOWN, say, 0.5)])
    sham = bench.protocol(waveform="active_sham", sham_plateau_s=1.0, duration_s=DURATION_S + 4.0)
    stopped("betweentrains", [reaching(State.BETWEEN_TRAINS, say, 0.5)], protocol=sham)
    no_trains = bool(bench.setup.capabilities.no_trains)
    if not no_trains:
        for state in (State.TRAIN_RISE, State.TRAIN_ON, State.TRAIN_FALL):
            label = state.value.replace("_", "")
            stopped(label, [reaching(state, say, 0.1)], protocol=train_protocol(bench))
    own_envelope = not bench.setup.capabilities.level_control
    if not own_envelope:
        pause = after(4.0, "pause")
        stopped("paused", [pause, reaching(State.PAUSED, say, 0.5)])
        stopped(
            "titrating", [after(0.5, "higher"), after(2.5, "higher"), after(4.0, say)], titrate=True
        )
    if bench.soft_stop_s > STOPPING_S:
        again = [reaching(State.HOLD, say), reaching(State.STOPPING, say, STOPPING_S)]
        stopped("stopping", again)
    zero_s = usual.lines[0].data["clock_zero_s"]
    for label in ("idle", "connected", "checked", "armed"):
        reached = [line.t_s for line in usual.said("state", to=label)]
        run = bench.rehearse(f"R39{label}", before=[(zero_s + max(reached, default=0.0), say)])
        seen.add(label)
        proof.equal(f"outcome_{label}", run.outcome, "stopped")
        proof.at_most(f"peak_ma_{label}", run.peak_ma, 0.0)
    for state in TERMINAL:
        plan = kernel_plan(bench.protocol(), bench.setup.limits, bench.setup.capabilities)
        over, actions = step(Session(plan=plan, state=state), Event(Trigger.STOP, "again"), 0.0)
        seen.add(state.value)
        proof.equal(f"state_after_{state.value}", over.state.value, state.value)
        harmless = all(action.do is Do.EMERGENCY_STOP for action in actions)
        proof.equal(f"only_stops_in_{state.value}", harmless, True)
    # A device that runs its own envelope has no pause and no titration; a step is no stopping.
    missing = 2 * own_envelope + (not bench.soft_stop_s > STOPPING_S) + 3 * no_trains
    proof.equal("states", len(seen), len(State) - missing)
    return proof.verdict(
        "before the start a stop is kept and handled at the first tick, at level 0; done, stopped "
        "and fault by the kernel alone"
    )


def storm(bench: Bench) -> Verdict:
    """Row 40: eleven clicks, and eleven interrupts of this very process."""
    proof = Evidence()

    def interrupt(stage: object) -> None:
        for _ in range(STORM):
            signal.raise_signal(signal.SIGINT)

    clicks = [after(FAULT_S + 0.01 * k, "stop:click") for k in range(STORM)]
    trials: list[tuple[str, list[Act]]] = [("clicks", clicks)]
    if threading.current_thread() is threading.main_thread():
        trials.append(("interrupts", [after(FAULT_S, interrupt)]))
    for name, acts in trials:
        try:
            run = bench.rehearse(f"R40{name}", acts=acts)
        except KeyboardInterrupt:
            proof.equal(f"session_survived_{name}", "no", "yes")
            continue
        proof.equal(f"outcome_{name}", run.outcome, "stopped")
        proof.equal(f"stops_sent_{name}", len(run.intents("soft_stop", "emergency_stop")), 1)
        proof.at_most(f"quiet_s_{name}", run.quiet_after_s(FAULT_S), STOP_Z_S)
        proof.equal(f"record_{name}", run.problem or "verifies", "verifies")
    return proof.verdict("" if len(trials) > 1 else "interrupts were left out: not the main thread")


ROWS = {
    9: Row(run=second_start),
    10: Row(run=after_a_stop),
    14: Row(run=no_numbers),
    15: Row(run=wrong_unit),
    16: Row(run=step_up),
    39: Row(run=stop_everywhere),
    40: Row(run=storm),
}
