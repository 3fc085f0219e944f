"""What every driver must do on its device: one suite for all, judged by the oscilloscope.

The 47 scenarios ask what happens when something goes wrong; these checks ask whether a driver does
what it declares. Each is a short session, or a few commands, on the device's emulator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tacs.checking import check
from tacs.dose import measure
from tacs.errors import TacsError
from tacs.scenarios.bench import (
    DURATION_S,
    FAULT_S,
    FREQUENCY_HZ,
    HOLD_END_S,
    RAMP_UP_S,
    Bench,
    Rehearsed,
    after,
    pairs_of,
    reaching,
)
from tacs.scenarios.conformance_link import LINK_CHECKS
from tacs.scenarios.conformance_trains import TRAIN_CHECKS
from tacs.scenarios.evidence import Evidence, Verdict
from tacs.scenarios.played import Played
from tacs.session import State

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CHECKS"]

LONG_S = 60.0
EXACT_HZ = 0.001  # what a trace of a minute shows of a frequency
QUIET_MA = 0.05
SETTLED_S = 0.5  # after a ramp, for a driver that paces its commands
STOPPED_WITHIN_S = 0.2  # after the declared ramp: a tick, a command, a cycle's crest
EMERGENCY_S = 0.25
LATE_S = 0.25  # behind the plan: a cycle of the sine, and a paced command
NO_DC_MA = 0.001
BALANCED_MA = 0.01
LEVELS = (0.1, 0.25, 0.5, 0.75, 1.0)
CARRIER_HZ = 80.0
SAY = "stop:the operator"


def frequency(bench: Bench) -> Verdict:
    """The frequency that flows is the one that the driver says it achieves."""
    proof = Evidence()
    capabilities = bench.setup.capabilities
    run = bench.rehearse("C01", protocol=bench.protocol(duration_s=LONG_S))
    measured_hz = measure(run.trace, run.columns, run.rate_hz).frequency_hz
    proof.equal("outcome", run.outcome, "done")
    proof.note("asked_hz", FREQUENCY_HZ)
    proof.note("achieved_hz", bench.frequency_hz)
    proof.at_most(
        "grid_hz", abs(bench.frequency_hz - FREQUENCY_HZ), 0.5 * capabilities.frequency_step_hz
    )
    error_hz = math.nan if measured_hz is None else abs(measured_hz - bench.frequency_hz)
    proof.at_most("error_mhz", 1000.0 * error_hz, 1000.0 * EXACT_HZ)
    return proof.verdict()


def current(bench: Bench) -> Verdict:
    """No sample is above the command, and what is asked for flows."""
    proof = Evidence()
    for share in LEVELS:
        asked_ma = share * bench.current_ma
        run = bench.rehearse(
            f"C02at{round(1000 * asked_ma)}", protocol=bench.protocol(current_ma=asked_ma)
        )
        name = f"{asked_ma:g}_ma"
        proof.equal(f"outcome_{name}", run.outcome, "done")
        proof.at_most(f"peak_over_{name}", run.peak_ma / asked_ma, 1.0 + 1e-6)
        proof.at_least(f"peak_of_{name}", run.peak_ma / asked_ma, 0.98)
    return proof.verdict()


def ramp(bench: Bench) -> Verdict:
    """Both ramps are monotone, in small steps, no steeper than the plan, and come when due."""
    proof = Evidence()
    run = bench.rehearse("C03")
    times_s, sizes = run.half_cycle_peaks()
    up = sizes[times_s <= RAMP_UP_S]
    down = sizes[times_s >= HOLD_END_S]
    wobble_ma = 0.01 * run.full_ma
    per_s = run.full_ma / RAMP_UP_S
    proof.equal("outcome", run.outcome, "done")
    proof.at_most("falls_while_rising_ma", _largest(up[:-1] - up[1:]), wobble_ma)
    proof.at_most("rises_while_falling_ma", _largest(down[1:] - down[:-1]), wobble_ma)
    proof.at_most("slew_ma_per_s", run.slew_ma_per_s(), 1.15 * per_s)
    proof.at_most("step_ma", run.step_ma() - 0.5 / run.frequency_hz * per_s, 0.02 * run.full_ma)
    proof.at_most("above_plan_ma", run.excess_ma(), wobble_ma)
    halfway = times_s[sizes >= 0.5 * run.full_ma]
    late_s = float(halfway[0]) - 0.5 * RAMP_UP_S if halfway.size else math.inf
    proof.at_most("late_s", late_s, LATE_S + bench.setup.capabilities.reaction_s)
    return proof.verdict()


def _largest(values: NDArray[Any]) -> float:
    return float(values.max(initial=0.0))


def no_direct_current(bench: Bench) -> Verdict:
    """Over whole cycles the mean of every electrode is zero."""
    proof = Evidence()
    run = bench.rehearse("C04")
    per_cycle = run.rate_hz / run.frequency_hz
    from_s = RAMP_UP_S + SETTLED_S
    cycles = math.floor((HOLD_END_S - from_s) * run.frequency_hz)
    hold = run.part(from_s, from_s + cycles / run.frequency_hz + 0.002)
    hold = hold[:, : round(cycles * per_cycle)]
    proof.equal("outcome", run.outcome, "done")
    # A cycle is no whole number of samples: half a sample of the sine may be left.
    left_ma = run.full_ma / hold.shape[1]
    proof.at_most("mean_ma", float(abs(hold.mean(axis=1)).max()), NO_DC_MA + left_ma)
    proof.at_most("whole_mean_ma", float(abs(run.trace.mean(axis=1)).max()), NO_DC_MA)
    return proof.verdict()


def balance(bench: Bench) -> Verdict:
    """What goes in comes out, at every instant, with as many loops as the rig has."""
    proof = Evidence()
    n_loops = min(len(pairs_of(bench.setup.rig)), 3)
    run = bench.rehearse("C05", protocol=bench.protocol(n_loops))
    proof.note("loops", n_loops)
    proof.equal("outcome", run.outcome, "done")
    proof.at_most("sum_ma", float(abs(run.trace.sum(axis=0)).max(initial=0.0)), BALANCED_MA)
    return proof.verdict()


def soft_stop(bench: Bench) -> Verdict:
    """A stop ends the current within the declared time, and raises it by no more than a queue."""
    proof = Evidence()
    declared_s = bench.soft_stop_s + STOPPED_WITHIN_S
    reaction_s = bench.setup.capabilities.reaction_s
    trials = (("ramp_up", State.RAMP_UP, 2.0), ("hold", State.HOLD, 1.0),
              ("ramp_down", State.RAMP_DOWN, 0.5))  # fmt: skip
    for name, state, delay_s in trials:
        act = reaching(state, SAY, delay_s)
        run = bench.rehearse(f"C06{name.replace('_', '')}", acts=[act])
        proof.equal(f"outcome_{name}", run.outcome, "stopped")
        proof.at_most(f"quiet_s_{name}", run.quiet_after_s(act.at_s), declared_s)
        most_ma = 0.01 * run.full_ma + reaction_s * run.full_ma / RAMP_UP_S
        proof.at_most(f"rise_ma_{name}", _rise_after_ma(run, act.at_s), most_ma)
    return proof.verdict()


def _rise_after_ma(run: Rehearsed, at_s: float) -> float:
    """By how much the current passes, after an instant, what it was in the cycle before."""
    cycle_s = 1.0 / run.frequency_hz
    before = float(abs(run.part(at_s - 1.2 * cycle_s, at_s)).max(initial=0.0))
    later = float(abs(run.part(at_s, at_s + 5.0)).max(initial=0.0))
    return later - before


def emergency_stop(bench: Bench) -> Verdict:
    """A fault ends the current within a quarter of a second."""
    proof = Evidence()
    for at_s, name in ((3.0, "ramp_up"), (FAULT_S, "hold")):
        act = after(at_s, "fault:the bench")
        run = bench.rehearse(f"C07{name.replace('_', '')}", acts=[act])
        proof.equal(f"outcome_{name}", run.outcome, "fault")
        proof.at_most(f"quiet_s_{name}", run.quiet_after_s(act.at_s), EMERGENCY_S)
    return proof.verdict()


def silence(bench: Bench) -> Verdict:
    """Nothing flows before the start, after the end, and after the port was closed."""
    proof = Evidence()
    run = bench.rehearse("C08", linger_s=3.0)
    before = run.trace[:, : max(round(run.start_s * run.rate_hz), 0)]
    late = run.part(DURATION_S + bench.soft_stop_s + STOPPED_WITHIN_S, DURATION_S + 3.0)
    proof.equal("outcome", run.outcome, "done")
    proof.at_most("before_ma", float(abs(before).max(initial=0.0)), 0.0)
    proof.at_most("after_ma", float(abs(late).max(initial=0.0)), 0.0)
    return proof.verdict()


def phase(bench: Bench) -> Verdict:
    """Each channel has its own phase where that is declared; else another phase is refused."""
    proof = Evidence()
    pairs = pairs_of(bench.setup.rig)[:2]
    if len(pairs) < 2:
        return Verdict(outcome="not_applicable", reason="the rig has one loop")
    turned = bench.protocol(2).to_data()
    turned["montage"]["loops"][1]["phase_deg"] = 90.0
    protocol = type(bench.protocol()).from_data(turned, "the verification's protocol")
    step_deg = bench.setup.capabilities.phase_step_deg
    if step_deg is None:
        found = " ".join(breach.limit for breach in check(protocol, bench.setup))
        proof.contains("refused", found, "phase_deg")
        return proof.verdict("one phase on all channels is declared")
    run = bench.rehearse("C09", protocol=protocol)
    sources = [source for source, _ in pairs]
    angles = [_phase_deg(run, source) for source in sources]
    proof.equal("outcome", run.outcome, "done")
    apart = (angles[1] - angles[0]) % 360.0
    proof.at_most("phase_error_deg", abs(apart - 90.0), max(step_deg, 1.0))
    return proof.verdict()


def _phase_deg(run: Rehearsed, electrode: str) -> float:
    """Phase of one electrode's sine in hold."""
    import numpy as np

    part = run.part(RAMP_UP_S + 0.1, HOLD_END_S - 0.1)[run.columns.index(electrode)]
    turns = np.exp(-2j * np.pi * run.frequency_hz * np.arange(len(part)) / run.rate_hz)
    return float(np.degrees(np.angle(part @ turns)))


def modulated(bench: Bench) -> Verdict:
    """A modulated carrier has no direct current and none at the rhythm; or it is refused."""
    import numpy as np

    proof = Evidence()
    protocol = bench.protocol(waveform="am_tacs", carrier_hz=CARRIER_HZ, duration_s=LONG_S)
    if "am_tacs" not in bench.setup.capabilities.waveforms:
        found = " ".join(breach.limit for breach in check(protocol, bench.setup))
        proof.contains("refused", found, "device_waveform")
        return proof.verdict("not declared, and refused at planning")
    run = bench.rehearse("C10", protocol=protocol)
    part = run.part(RAMP_UP_S + 1.0, LONG_S - 4.0)[0]
    window = np.hanning(len(part))
    lines = 2.0 * abs(np.fft.rfft(part * window)) / window.sum()
    grid_hz = np.fft.rfftfreq(len(part), 1.0 / run.rate_hz)

    def size(at_hz: float) -> float:
        return float(lines[abs(grid_hz - at_hz) < 0.1].max())

    proof.equal("outcome", run.outcome, "done")
    proof.at_most("direct_ma", size(0.0), NO_DC_MA)
    proof.at_most("at_rhythm_ma", size(run.frequency_hz), NO_DC_MA)
    proof.at_least("at_carrier_ma", size(CARRIER_HZ), 0.45 * run.full_ma)
    proof.at_least("at_sideband_ma", size(CARRIER_HZ + run.frequency_hz), 0.2 * run.full_ma)
    proof.at_most("peak_over_command", run.peak_ma / run.full_ma, 1.0 + 1e-6)
    return proof.verdict()


def retune(bench: Bench) -> Verdict:
    """A new frequency keeps the phase where that is declared; else it is refused in a session."""
    import numpy as np

    proof = Evidence()
    declared = bench.setup.capabilities.frequency_change
    played = Played(bench, "C11")
    played.play_to(1.0)
    played.hold(0.5)
    wanted_hz = bench.setup.capabilities.achieved_frequency_hz(bench.frequency_hz + 1.0)
    if declared != "phase_continuous":
        try:
            played.guard.set_frequency(wanted_hz)
            proof.equal("refused", "no", "yes")
        except TacsError:
            proof.equal("refused", "yes", "yes")
        played.end()
        return proof.verdict(f"declared: {declared}")
    achieved_hz = played.guard.set_frequency(wanted_hz)
    played.hold(1.5)
    trace = played.end()
    steps = abs(np.diff(trace[0])).max()
    steepest = 2.0 * math.pi * max(achieved_hz, bench.frequency_hz) * bench.current_ma
    proof.at_most("achieved_error_hz", abs(achieved_hz - wanted_hz), 1e-9)
    proof.at_most("largest_step_ma", float(steps), 1.05 * steepest / played.rate_hz + 0.001)
    return proof.verdict()


def left_playing(bench: Bench) -> Verdict:
    """A device that another program left playing is silent once it is connected."""
    proof = Evidence()
    played = Played(bench, "C12")
    played.play_to(1.0)
    played.hold(0.3)
    try:
        played.connect_again()
    except TacsError as exc:
        proof.note("refused", " ".join(str(exc).split()))
    at_s = played.now_s
    played.pass_time(bench.soft_stop_s + 1.5)
    trace = played.end()
    loud = abs(trace).max(axis=0) >= QUIET_MA
    last_s = (len(loud) - 1 - int(loud[::-1].argmax())) / played.rate_hz if loud.any() else 0.0
    proof.at_most("quiet_s", last_s - at_s, bench.soft_stop_s + STOPPED_WITHIN_S)
    return proof.verdict()


CHECKS: Mapping[str, Callable[[Bench], Verdict]] = {
    "frequency": frequency,
    "current": current,
    "ramp": ramp,
    "no direct current": no_direct_current,
    "balance": balance,
    "soft stop": soft_stop,
    "emergency stop": emergency_stop,
    "silence": silence,
    "phase": phase,
    "modulated carrier": modulated,
    "retune": retune,
    "left playing": left_playing,
    **TRAIN_CHECKS,
    **LINK_CHECKS,
}
