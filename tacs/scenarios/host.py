"""The computer that the session runs on: killed, stalled, asleep, and its clocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from unittest import mock

from tacs.clock import Inbox, Moment, VirtualClock
from tacs.driver import Driver
from tacs.guardian import kernel_plan
from tacs.ledger import Dose, Ledger
from tacs.safety import person_breaches
from tacs.scenarios.bench import (
    FAULT_S,
    RAMP_UP_S,
    Bench,
    ObservedConduct,
    Rehearsed,
    Stage,
    after,
)
from tacs.scenarios.evidence import Evidence, Row, Verdict
from tacs.scenarios.processes import (
    claimed_twice,
    front_end_lost,
    guardian_killed,
    guardian_suspended,
    power_cut,
)
from tacs.session import Do, Event, Session, State, Trigger, step

__all__ = ["ROWS"]

RISE_SPAN_S = 0.1
RAMP_S = 3.0
SHORT_S, LONG_S, ASLEEP_S = 0.5, 3.0, 60.0
LEASE_PART = 0.4


def standing_still(for_s: float) -> Callable[[Stage], None]:
    """Return an act that lets time pass while the guardian waits for it."""

    def act(stage: Stage) -> None:
        stage.clock.wait(stage.clock.now_s() + for_s)

    return act


def stall(bench: Bench) -> Verdict:
    """Row 4: an event loop that stands still, within the lease and beyond it."""
    proof = Evidence()
    # Within the lease of this device, where what the device ends by itself comes sooner.
    short_s = min(SHORT_S, LEASE_PART * bench.setup.capabilities.host_loss_worst_case_s)
    proof.note("stall_s", round(short_s, 3))
    for at_s, name in ((RAMP_S, "_in_ramp"), (FAULT_S, "_in_hold")):
        label = f"R04{name.replace('_', '')}"
        run = bench.rehearse(label, acts=[after(at_s, standing_still(short_s))])
        proof.equal(f"outcome{name}", run.outcome, "done")
        proof.at_most(f"above_plan_ma{name}", run.excess_ma(), 0.01)
        # What the level rises by from one half-cycle to the next, stall or no stall, is no step;
        # and a tick that is late makes up for a tenth of a second, not for what it missed.
        per_s = run.full_ma / RAMP_UP_S
        step_ma = run.step_ma() - 0.5 / run.frequency_hz * per_s
        proof.at_most(f"step_ma{name}", step_ma, 1.1 * RISE_SPAN_S * per_s)
    run = bench.rehearse(
        "R04long", acts=[after(FAULT_S, standing_still(LONG_S))], linger_s=bench.linger_s(FAULT_S)
    )
    proof.equal("outcome_of_3_s", run.outcome, "fault")
    proof.at_most("quiet_s", run.quiet_after_s(FAULT_S), bench.z_s(FAULT_S))
    return proof.verdict()


# -- wall clocks -----------------------------------------------------------------------------------


class _Wall:
    """A wall clock that is set while a session runs."""

    def __init__(self) -> None:
        self.off = timedelta()
        self.zone: timezone = UTC

    def now(self) -> datetime:
        return (datetime.now(UTC) + self.off).astimezone(self.zone)


@contextmanager
def wall_clock() -> Iterator[_Wall]:
    """Have the record and the conduct of sessions read a wall clock that can be set."""
    from tacs import conduct, record

    wall = _Wall()
    with (
        mock.patch.object(conduct, "utc_now", wall.now),
        mock.patch.object(record, "utc_now", wall.now),
    ):
        yield wall


def wall_clock_set(bench: Bench) -> Verdict:
    """Row 25: set on and back in the middle of a session, and between sessions."""
    proof = Evidence()
    usual = bench.rehearse("R25usual")
    site = bench.site_beside("site-R25")
    with wall_clock() as wall:

        def set_to(**off: int) -> Callable[[Stage], None]:
            def act(stage: Stage) -> None:
                wall.off, wall.zone = timedelta(**off), timezone(timedelta(hours=2))

            return act

        acts = [after(RAMP_S, set_to(days=1)), after(FAULT_S, set_to(days=-1))]
        run = bench.rehearse("R25set", acts=acts, setup=replace(bench.setup, site=site))
    proof.equal("outcome", run.outcome, usual.outcome)
    proof.equal("commands_as_usual", sent(run) == sent(usual), True)
    proof.equal("samples_as_usual", run.trace.tobytes() == usual.trace.tobytes(), True)
    proof.at_least("labels_span_h", label_span_h(run), 47.0)  # the clock was set
    ledger = Ledger(bench.site_beside("site-R25days"), emulated=True)
    start = Moment(datetime(2026, 3, 28, 12, tzinfo=UTC), ("boot", 1000.0))
    protocol = bench.protocol(duration_s=1200.0)
    ledger.reserve(
        "a", subject="R25", session="01", dataset=bench.folder, protocol=protocol, now=start
    )
    ended = start.after(1200.0)
    charge_c = dict.fromkeys((e.name for e in protocol.montage.electrodes), 0.7)
    dose = Dose(current_on_s=1200.0, rectified_charge_c=charge_c, basis="measured")
    ledger.book("a", dose=dose, outcome="done", ended=ended.utc, head="", now=ended)

    def refused(now: Moment) -> str:
        history = ledger.history("R25", now)
        limits = bench.setup.limits
        found = person_breaches(protocol, limits, subject="R25", history=history, now=now.utc)
        return " ".join(breach.limit for breach in found)

    hour = ended.after(3600.0)
    interval = "inter_session_interval_h"
    forward = Moment(hour.utc + timedelta(days=1), hour.boot)
    backward = Moment(hour.utc - timedelta(days=1), hour.boot)
    elsewhere = Moment(hour.utc.astimezone(timezone(timedelta(hours=9))), hour.boot)
    proof.contains("a_day_on", refused(forward), interval)
    proof.contains("a_day_back", refused(backward), "clock_backwards")
    proof.contains("another_zone", refused(elsewhere), interval)
    proof.equal("a_true_day_on", refused(ended.after(86_400.0)), "")
    history = ledger.history("R25", forward)
    proof.equal("minutes_of_the_day", round(history.current_on_24h_min, 3), 20.0)
    return proof.verdict("across a restart of the computer only the wall clock is left")


def sent(run: Rehearsed) -> list[tuple[float, str]]:
    """Return everything that was about to be sent, with its session time."""
    return [(line.t_s, str(line.data)) for line in run.lines if line.kind == "intent"]


def label_span_h(run: Rehearsed) -> float:
    """Return the hours between the earliest and the latest wall-clock label of a record."""
    labels = [datetime.fromisoformat(line.utc) for line in run.lines]
    return (max(labels) - min(labels)).total_seconds() / 3600.0


# -- asleep and restarted --------------------------------------------------------------------------


class _Sleeper(VirtualClock):
    """A clock that stands still while the computer sleeps, as Linux's monotonic clock does."""

    def __init__(self) -> None:
        super().__init__()
        self.awake = VirtualClock()
        self._slept_s = 0.0

    def now_s(self) -> float:
        """Return the time that the computer was awake."""
        return self.awake.now_s() - self._slept_s

    def wait(self, until_s: float, inbox: Inbox | None = None) -> list[str]:
        """Wait as the computer does."""
        return self.awake.wait(until_s + self._slept_s, inbox)

    def sleep(self, for_s: float) -> None:
        """Let time pass that the computer does not notice."""
        self.awake.wait(self.awake.now_s() + for_s)
        self._slept_s += for_s


class _OnSleeper(ObservedConduct):
    """A session on a computer that may sleep; its device and its oscilloscope do not."""

    def _open(self) -> Driver:
        host = self.clock
        if isinstance(host, _Sleeper):
            self.clock = host.awake
        try:
            return super()._open()
        finally:
            self.clock = host


def suspend(bench: Bench) -> Verdict:
    """Row 26: with a clock that jumps on waking, and with one that stood still."""
    proof = Evidence()
    run = bench.rehearse(
        "R26jump", acts=[after(FAULT_S, standing_still(ASLEEP_S))], linger_s=bench.linger_s(FAULT_S)
    )
    proof.equal("outcome_clock_jumps", run.outcome, "fault")
    proof.at_most("quiet_s_clock_jumps", run.quiet_after_s(FAULT_S), bench.z_s(FAULT_S))
    host = _Sleeper()
    run = bench.rehearse(
        "R26still",
        clock=host,
        conduct=_OnSleeper,
        acts=[after(FAULT_S, lambda stage: host.sleep(ASLEEP_S))],
        linger_s=bench.linger_s(FAULT_S),
    )
    if bench.setup.capabilities.host_loss == "lease":
        proof.equal("outcome_clock_stood_still", run.outcome, "fault")
    else:
        # A device that does not report the end of its programme cannot tell a host that slept.
        proof.note("outcome_clock_stood_still", run.outcome)
    proof.at_most("quiet_s_clock_stood_still", run.quiet_after_s(FAULT_S), bench.z_s(FAULT_S))
    return proof.verdict("asleep for a minute")


def reboot(bench: Bench) -> Verdict:
    """Row 27: the device comes back at zero, and nothing but a person gets the session on."""
    proof = Evidence()
    for at_s, name in ((RAMP_S, "_in_ramp"), (FAULT_S, "_in_hold")):
        label = f"R27{name.replace('_', '')}"
        run = bench.rehearse(label, faults=[f"reboot@{at_s}"], linger_s=bench.linger_s(FAULT_S))
        proof.equal(f"outcome{name}", run.outcome, "fault")
        proof.at_most(f"quiet_s{name}", run.quiet_after_s(at_s), 0.05)
        proof.equal(f"starts{name}", len(run.intents("start")), 1)
    plan = kernel_plan(bench.protocol(), bench.setup.limits, bench.setup.capabilities)
    fault = Session(plan=plan, state=State.FAULT)
    leaves, starts = 0, 0
    for trigger in Trigger:
        session, actions = step(fault, Event(trigger, "again"), 1.0)
        leaves += session.state is not State.FAULT and trigger is not Trigger.ACKNOWLEDGE
        starts += any(action.do in {Do.START, Do.SET_LEVEL} for action in actions)
    proof.equal("ways_out_of_the_fault_without_a_person", leaves, 0)
    proof.equal("starts_out_of_the_fault", starts, 0)
    known, _ = step(fault, Event(Trigger.ACKNOWLEDGE), 1.0)
    proof.equal("after_the_acknowledgement", known.state.value, "idle")
    return proof.verdict()


ROWS = {
    1: Row(run=guardian_killed, processes=True, without_host=True),
    2: Row(run=guardian_suspended, processes=True, without_host=True),
    3: Row(run=front_end_lost, processes=True),
    4: Row(run=stall, without_host=True),
    25: Row(run=wall_clock_set),
    26: Row(run=suspend, without_host=True),
    27: Row(run=reboot, needs=("reboot",)),
    29: Row(run=power_cut, processes=True, without_host=True),
    41: Row(run=claimed_twice, processes=True),
}
