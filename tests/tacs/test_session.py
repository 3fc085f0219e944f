"""The kernel: its table walked whole, its timing, and random sequences that break no rule."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacs.kernel_rules import Move, broken_rules
from tacs.kernel_witness import Witness
from tacs.session import Do, Event, Plan, Session, Trains, step
from tacs.transitions import (
    DERIVED,
    ENERGISED,
    IN_TRAIN,
    RUNNING,
    TERMINAL,
    TITRATION,
    TRANSITIONS,
    WITH_CURRENT,
    State,
    Trigger,
)

PLAN = Plan(
    duration_s=60.0, ramp_up_s=30.0, ramp_down_s=15.0, hold_end_s=45.0, silent=False, lease_s=1.0
)
TICK_S = 0.02


def started(plan: Plan = PLAN, at_s: float = 100.0) -> Session:
    session = Session(plan=plan)
    for trigger in (Trigger.CONNECTED, Trigger.CHECKED, Trigger.ARM, Trigger.START):
        session, _ = step(session, Event(trigger), at_s)
    return session


def run_until(session: Session, to_s: float, from_s: float) -> tuple[Session, list[float]]:
    levels, n = [], round((to_s - from_s) / TICK_S)
    for i in range(1, n + 1):
        now_s = from_s + i * TICK_S
        session, actions = step(session, Event(Trigger.TICK), now_s)
        levels.append(session.level)
        if any(a.do is Do.READ_STATUS for a in actions):
            playing = not session.ending or now_s - session.stopping_since_s < 0.05
            trigger = Trigger.PLAYING if playing else Trigger.SILENT
            session, _ = step(session, Event(trigger), now_s)
    return session, levels


def test_every_state_has_a_row_and_stop_is_legal_in_each():
    assert set(TRANSITIONS) == set(State)
    assert all(Trigger.STOP in row and Trigger.FAULT in row for row in TRANSITIONS.values())


def test_every_state_is_reachable_and_stop_ends_the_current_from_each_in_two_steps():
    seen, queue = {State.IDLE}, deque([State.IDLE])
    while queue:
        for target in TRANSITIONS[queue.popleft()].values():
            if target not in seen:
                seen.add(target)
                queue.append(target)
    assert seen == set(State)
    for state in State:
        after = TRANSITIONS[state][Trigger.STOP]
        assert after in TERMINAL or TRANSITIONS[after][Trigger.SILENT] in TERMINAL


def test_a_fault_latches_until_it_is_acknowledged():
    assert set(TRANSITIONS[State.FAULT]) == {
        Trigger.STOP,
        Trigger.SOFT_FAULT,
        Trigger.FAULT,
        Trigger.ACKNOWLEDGE,
    }
    session, _ = step(started(), Event(Trigger.FAULT, "link"), 101.0)
    for trigger in Trigger:
        if trigger is not Trigger.ACKNOWLEDGE:
            after, _ = step(session, Event(trigger), 102.0)
            assert after.state is State.FAULT
            assert after.cause == "link"
    after, _ = step(session, Event(Trigger.ACKNOWLEDGE), 103.0)
    assert after.state is State.IDLE


def test_no_transition_skips_connecting_checking_and_arming():
    into_current = {
        (state, trigger)
        for state, row in TRANSITIONS.items()
        for trigger, target in row.items()
        if target in RUNNING and state not in RUNNING
    }
    assert into_current == {
        (State.ARMED, Trigger.START),
        (State.ARMED, Trigger.START_LOW),
        (State.ARMED, Trigger.START_SILENT),
    }
    assert [s for s, row in TRANSITIONS.items() if State.ARMED in row.values()] == [State.CHECKED]


def test_a_session_ramps_holds_and_ends_on_time():
    session, levels = run_until(started(), 161.0, 100.0)
    assert session.state is State.DONE
    rise, fall = levels[:1500], levels[2250:3000]
    assert rise == sorted(rise)
    assert fall == sorted(fall, reverse=True)
    assert levels[749] == pytest.approx(0.5, abs=1e-9)
    assert levels[1600:2249] == [1.0] * 649
    assert levels[2999] == 0.0
    assert session.current_on_s == pytest.approx(60.0, abs=2 * TICK_S)
    assert session.level_seconds == pytest.approx(60.0 - 22.5, rel=1e-3)


def test_an_active_sham_goes_silent_and_keeps_the_timing():
    plan = Plan(
        duration_s=60.0, ramp_up_s=10.0, ramp_down_s=5.0, hold_end_s=15.0, silent=False, lease_s=1.0
    )
    session, levels = run_until(started(plan), 120.5, 100.0)
    assert session.state is State.BETWEEN_TRAINS
    assert max(levels) == 1.0
    assert levels[-1] == 0.0
    session, _ = run_until(session, 161.0, 120.5)
    assert session.state is State.DONE


def test_a_passive_sham_never_leaves_zero():
    plan = Plan(
        duration_s=20.0, ramp_up_s=5.0, ramp_down_s=5.0, hold_end_s=0.0, silent=True, lease_s=1.0
    )
    session, levels = run_until(started(plan), 121.0, 100.0)
    assert session.state is State.DONE
    assert set(levels) == {0.0}


@pytest.mark.parametrize("after_s", [0.5, 12.0, 35.0, 50.0])
def test_stop_from_ramp_hold_and_ramp_down(after_s: float):
    session, _ = run_until(started(), 100.0 + after_s, 100.0)
    session, actions = step(session, Event(Trigger.STOP, "operator"), 100.0 + after_s)
    assert session.state is State.STOPPING
    assert [a.do for a in actions] == [Do.SOFT_STOP]
    again, more = step(session, Event(Trigger.STOP, "operator"), 100.0 + after_s)
    assert (again.state, more) == (State.STOPPING, ())
    session, _ = step(session, Event(Trigger.SILENT), 101.0 + after_s)
    assert (session.state, session.cause) == (State.STOPPED, "operator")


def test_a_stop_that_is_not_confirmed_becomes_a_fault():
    session, _ = step(started(), Event(Trigger.STOP, "operator"), 100.1)
    session, actions = step(session, Event(Trigger.TICK), 100.1 + 0.8 + 1.0 + 0.01)
    assert session.state is State.FAULT
    assert actions[0].do is Do.EMERGENCY_STOP


def test_a_stall_longer_than_the_lease_is_a_fault():
    session, _ = run_until(started(), 110.0, 100.0)
    fine, _ = step(session, Event(Trigger.TICK), 110.8)
    assert fine.state is State.RAMP_UP
    late, actions = step(session, Event(Trigger.TICK), 111.25)
    assert late.state is State.FAULT
    assert late.cause == "the guardian stalled for 1.25 s; the lease ran out"
    assert [a.do for a in actions] == [Do.EMERGENCY_STOP]


def test_a_silent_operator_side_stops_the_session():
    plan = Plan(
        duration_s=60.0,
        ramp_up_s=30.0,
        ramp_down_s=15.0,
        hold_end_s=45.0,
        silent=False,
        lease_s=1.0,
        operator_lease_s=1.0,
    )
    session, _ = run_until(started(plan), 100.9, 100.0)
    session, _ = step(session, Event(Trigger.ALIVE), 100.9)
    session, _ = run_until(session, 101.8, 100.9)
    assert session.state is State.RAMP_UP
    session, _ = run_until(session, 102.0, 101.8)
    assert session.state is State.STOPPING


def test_a_device_that_falls_silent_by_itself_is_a_fault():
    session, _ = run_until(started(), 135.0, 100.0)
    session, actions = step(session, Event(Trigger.SILENT), 135.0)
    assert session.state is State.FAULT
    assert actions[0].do is Do.EMERGENCY_STOP


def test_a_device_that_plays_unasked_is_a_fault():
    session = Session(plan=PLAN)
    for trigger in (Trigger.CONNECTED, Trigger.CHECKED):
        session, _ = step(session, Event(trigger), 1.0)
    session, _ = step(session, Event(Trigger.PLAYING), 1.0)
    assert session.state is State.FAULT


def test_pause_does_not_lengthen_the_session_and_resume_ramps_up_again():
    session, _ = run_until(
        started(
            Plan(
                duration_s=100.0,
                ramp_up_s=10.0,
                ramp_down_s=5.0,
                hold_end_s=95.0,
                silent=False,
                lease_s=1.0,
            )
        ),
        120.0,
        100.0,
    )
    session, _ = step(session, Event(Trigger.PAUSE), 120.0)
    session, levels = run_until(session, 130.0, 120.0)
    assert session.state is State.PAUSED
    assert levels == sorted(levels, reverse=True)
    session, _ = step(session, Event(Trigger.RESUME), 130.0)
    session, levels = run_until(session, 141.0, 130.0)
    assert session.state is State.HOLD
    assert levels == sorted(levels)
    session, _ = run_until(session, 201.0, 141.0)
    assert session.state is State.DONE


def test_resume_too_late_for_a_whole_ramp_stays_silent():
    session, _ = run_until(started(), 140.0, 100.0)
    session, _ = step(session, Event(Trigger.PAUSE), 140.0)
    session, _ = run_until(session, 156.0, 140.0)
    session, _ = step(session, Event(Trigger.RESUME), 156.0)
    assert session.state is State.PAUSED
    session, levels = run_until(session, 161.0, 156.0)
    assert session.state is State.DONE
    assert set(levels) == {0.0}


def test_what_time_derives_cannot_be_sent_from_outside():
    session, _ = run_until(started(), 110.0, 100.0)
    for trigger in (Trigger.TOP, Trigger.HOLD_OVER, Trigger.ZERO_PAUSED, Trigger.ENDED):
        assert step(session, Event(trigger), 110.0) == (session, ())


QUICK = Plan(  # ticks are coarse here; those of its own have the rise that a late one delays
    duration_s=10.0,
    ramp_up_s=2.0,
    ramp_down_s=1.0,
    hold_end_s=9.0,
    silent=False,
    lease_s=1.0,
    rise_span_s=1.0,
)
TITRATED = replace(QUICK, duration_s=40.0, hold_end_s=39.0, titration_step=0.25)
EXACT = replace(QUICK, soft_stop_s=0.5, stop_grace_s=1.5)
RUNNING_STATES = [s for s in State if s in RUNNING]
NOT_ENERGISED = [s for s in State if s not in RUNNING and s is not State.STOPPING]


def send(session: Session, trigger: Trigger, now_s: float, value: float = math.nan) -> Session:
    return step(session, Event(trigger, "told", value), now_s)[0]


def did(session: Session, trigger: Trigger, now_s: float, value: float = math.nan) -> list[Do]:
    return [a.do for a in step(session, Event(trigger, "told", value), now_s)[1]]


def ticked(session: Session, *times_s: float) -> Session:
    for now_s in times_s:
        session = send(session, Trigger.TICK, now_s)
    return session


def held(plan: Plan = QUICK) -> Session:
    """At full current at 2.0 s, renewed and asked there."""
    return ticked(started(plan, 0.0), 0.5, 1.0, 1.5, 2.0)


def titrated(plan: Plan = TITRATED, to_s: float = 1.0) -> Session:
    """On its way to a quarter of the current since 0 s."""
    session = send(started(plan, 0.0), Trigger.HIGHER, 0.0)
    return ticked(session, *(0.5 * i for i in range(1, round(2 * to_s) + 1)))


def place(state: State) -> Session:
    """A session in a state, at 2 s and at its level where it has one."""
    on_the_way = {
        State.IDLE: [],
        State.CONNECTED: [Trigger.CONNECTED],
        State.CHECKED: [Trigger.CONNECTED, Trigger.CHECKED],
        State.ARMED: [Trigger.CONNECTED, Trigger.CHECKED, Trigger.ARM],
    }
    if state in on_the_way:
        session = Session(plan=QUICK)
        for trigger in on_the_way[state]:
            session = send(session, trigger, 2.0)
        return session
    session = held()
    return {
        State.TITRATING: lambda: titrated(TITRATED, 2.0),
        State.RAMP_UP: lambda: ticked(started(replace(QUICK, ramp_up_s=4.0), 0.0), 0.5, 1, 1.5, 2),
        State.HOLD: lambda: session,
        State.RAMP_DOWN: lambda: send(session, Trigger.PAUSE, 2.0),
        State.TRAIN_RISE: lambda: in_a_train(State.TRAIN_RISE, 2.0),
        State.TRAIN_ON: lambda: in_a_train(State.TRAIN_ON, 2.0),
        State.TRAIN_FALL: lambda: in_a_train(State.TRAIN_FALL, 2.0),
        State.BETWEEN_TRAINS: lambda: ticked(
            started(replace(QUICK, silent=True, hold_end_s=0.0), 0.0), 0.5, 1.0, 1.5, 2.0
        ),
        State.PAUSED: lambda: ticked(send(held(), Trigger.PAUSE, 0.5 + 1.5), 2.5, 3.0),
        State.STOPPING: lambda: send(session, Trigger.STOP, 2.0),
        State.STOPPED: lambda: send(send(session, Trigger.STOP, 2.0), Trigger.SILENT, 2.0),
        State.FAULT: lambda: send(session, Trigger.FAULT, 2.0),
        State.DONE: lambda: done(),
    }[state]()


def in_a_train(state: State, now_s: float) -> Session:
    """Somewhere in the first train, at a time on the tick grid."""
    trains = Trains(
        on_s=0.5, off_s=0.25, edge_s=0.125, tolerated_s=0.25, course=((math.nan, 1.0),) * 4,
        span_s=1.0,
    )  # fmt: skip
    plan = replace(QUICK, ramp_up_s=0.5, trains=trains)
    session, at_s = started(plan, 0.0), 0.0
    while session.state is not state or not session.trains:
        at_s += 0.0625
        session = ticked(session, at_s)
    shift_s = now_s - at_s
    names = ("started_s", "ramp_from_s", "tick_s", "alive_s", "renewed_s", "asked_s",
             "train_from_s", "held_from_s", "ready_s", "retuned_s")  # fmt: skip
    moved = {name: getattr(session, name) + shift_s for name in names}
    return session._replace(**{**moved, "renewed_s": now_s, "asked_s": now_s})


def done() -> Session:
    session, _ = run_until(started(QUICK, 0.0), 11.0, 0.0)
    return session


def now_of(session: Session) -> float:
    return 2.0 if math.isnan(session.tick_s) else session.tick_s


def at_zero(session: Session, **fields: Any) -> Session:
    """The same with its clocks at zero, where sums and differences of times are exact."""
    times = ("started_s", "tick_s", "alive_s", "renewed_s", "asked_s", "ramp_from_s")
    return session._replace(**{**dict.fromkeys(times, 0.0), **fields})


def test_a_session_begins_with_nothing():
    fresh = Session(plan=PLAN)
    assert (fresh.state, fresh.cause, fresh.ceiling) == (State.IDLE, "", 1.0)
    assert {fresh.level, fresh.level_before, fresh.target, fresh.top_level} == {0.0}
    assert (fresh.current_on_s, fresh.level_seconds) == (0.0, 0.0)
    assert (fresh.pausing, fresh.ending, fresh.latching) == (False, False, False)
    stopped, _ = step(started(PLAN, 0.0), Event(Trigger.STOP), 0.0)
    assert (stopped.cause, stopped.current_on_s, stopped.level_seconds) == ("", 0.0, 0.0)


def test_the_words_of_the_actions():
    assert [do.value for do in Do] == [
        "start",
        "set_level",
        "extend_lease",
        "retune",
        "read_status",
        "soft_stop",
        "emergency_stop",
    ]


@pytest.mark.parametrize("state", list(State))
def test_the_places_are_what_they_say(state: State):
    assert place(state).state is state


@pytest.mark.parametrize("state", list(State))
def test_a_stop_in_every_state(state: State):
    session = place(state)
    after, actions = step(session, Event(Trigger.STOP, "told"), now_of(session))
    assert after.level == 0.0
    expected = {
        State.STOPPING: (State.STOPPING, []),
        State.STOPPED: (State.STOPPED, []),
        State.DONE: (State.DONE, []),
        State.FAULT: (State.FAULT, [Do.EMERGENCY_STOP]),
    }
    running = (State.STOPPING, [Do.SOFT_STOP])
    before = (State.STOPPED, [Do.SOFT_STOP])
    wanted = expected.get(state, running if state in RUNNING else before)
    assert (after.state, [a.do for a in actions]) == wanted
    assert after.cause == ("told" if state is not State.DONE else "")


@pytest.mark.parametrize("state", list(State))
def test_a_fault_in_every_state(state: State):
    session = place(state)
    after, actions = step(session, Event(Trigger.FAULT, "broken"), now_of(session))
    assert (after.state, after.level) == (State.FAULT, 0.0)
    assert [a.do for a in actions] == [Do.EMERGENCY_STOP]
    assert after.cause == ("told" if state is State.FAULT else "broken")
    if state is not State.FAULT:
        assert after.stopping_since_s == now_of(session)


@pytest.mark.parametrize("state", list(State))
def test_a_soft_fault_in_every_state(state: State):
    session = place(state)
    now_s = now_of(session)
    after, actions = step(session, Event(Trigger.SOFT_FAULT, "drying"), now_s)
    if state in NOT_ENERGISED:
        assert after.state is State.FAULT
        if state is not State.FAULT:
            assert (after.cause, after.stopping_since_s) == ("drying", now_s)
        assert [a.do for a in actions] == [Do.EMERGENCY_STOP]
        return
    assert (after.state, after.latching) == (State.STOPPING, True)
    assert [a.do for a in actions] == ([] if state is State.STOPPING else [Do.SOFT_STOP])
    assert after.cause == ("told; drying" if state is State.STOPPING else "drying")
    again, more = step(after, Event(Trigger.SOFT_FAULT, "drying on"), now_s)
    assert (again, more) == (after, ())
    over, actions = step(after, Event(Trigger.SILENT), now_s)
    assert (over.state, over.cause, actions) == (State.FAULT, after.cause, ())


@pytest.mark.parametrize("state", list(State))
def test_silence_and_playing_in_every_state(state: State):
    session = place(state)
    now_s = now_of(session)
    silent, playing = send(session, Trigger.SILENT, now_s), send(session, Trigger.PLAYING, now_s)
    if state in RUNNING:
        assert (silent.state, silent.cause) == (State.FAULT, "the device stopped by itself")
    elif state is State.STOPPING:
        assert silent.state is State.STOPPED
    else:
        assert silent is session
    if state in {State.CHECKED, State.ARMED, State.DONE, State.STOPPED}:
        assert playing.state is State.FAULT
        assert playing.cause == "the device plays although nobody started it"
        assert playing.stopping_since_s == now_s
    else:
        assert playing is session


@pytest.mark.parametrize("state", list(State))
def test_what_the_table_does_not_know_changes_nothing(state: State):
    session = place(state)
    for trigger in Trigger:
        known = trigger in TRANSITIONS[state] and trigger not in DERIVED
        listened = {Trigger.TICK, Trigger.ALIVE, Trigger.PLAYING, Trigger.SILENT, Trigger.RATING}
        if not known and trigger not in listened:
            assert step(session, Event(trigger), now_of(session)) == (session, ())


@pytest.mark.parametrize("state", NOT_ENERGISED)
def test_time_means_nothing_while_no_current_can_flow(state: State):
    session = place(state)
    for now_s in (math.nan, -5.0, math.inf):
        assert step(session, Event(Trigger.TICK), now_s) == (session, ())
        rated = Event(Trigger.RATING, value=9.0)
        assert step(session, rated, now_s) == (session, ())


@pytest.mark.parametrize(
    "trigger", [Trigger.TICK, Trigger.ALIVE, Trigger.PAUSE, Trigger.ENDED, Trigger.CONNECTED]
)
@pytest.mark.parametrize("state", [*RUNNING_STATES, State.STOPPING])
def test_a_wrong_time_is_a_fault_whatever_comes(state: State, trigger: Trigger):
    session = place(state)
    now_s = now_of(session)
    for wrong_s, told in (
        (now_s - 0.25, "the clock went back by 0.25 s"),
        (math.nan, "the clock went back by nan s"),
    ):
        after = send(session, trigger, wrong_s)
        assert (after.state, after.cause) == (State.FAULT, told)
        assert did(session, trigger, wrong_s) == [Do.EMERGENCY_STOP]
    late = send(session, trigger, now_s + 1.01)
    if state is State.STOPPING:
        assert late.state is State.STOPPING
    else:
        assert late.state is State.FAULT
        assert late.cause == "the guardian stalled for 1.01 s; the lease ran out"
        assert send(session, trigger, now_s + 1.0).state is not State.FAULT


def test_a_late_tick_delays_the_ramp_and_makes_no_large_step():
    session, _ = run_until(started(), 106.0, 100.0)
    assert session.level == pytest.approx(0.2)
    late = send(session, Trigger.TICK, 106.9)
    assert late.level == pytest.approx(0.2 + PLAN.rise_span_s / 30.0, abs=1e-12)
    session, levels = run_until(late, 131.0, 106.9)
    assert session.state is State.HOLD
    # The top is reached by what the tick was late, and later by no more than that.
    assert levels.index(1.0) == round((130.8 - 106.9) / TICK_S) - 1
    assert max(b - a for a, b in pairwise(levels)) < 1.01 * TICK_S / 30.0


def test_a_rise_makes_up_for_a_span_and_not_for_more():
    session, _ = run_until(started(), 106.0, 100.0)
    rate = 1.0 / 30.0
    on_time = send(session, Trigger.TICK, 106.0 + PLAN.rise_span_s)
    assert on_time.level == pytest.approx(0.2 + PLAN.rise_span_s * rate, abs=1e-12)
    assert on_time.ramp_from_s == session.ramp_from_s
    late = send(session, Trigger.TICK, 106.25)
    assert late.ramp_from_s == pytest.approx(session.ramp_from_s + 0.15, abs=1e-12)


def test_a_ramp_that_began_between_two_ticks_is_late_from_its_beginning_on():
    session, _ = run_until(started(), 132.0, 100.0)
    session, _ = run_until(send(session, Trigger.PAUSE, 132.0), 100.0, 100.0)
    session = session._replace(state=State.PAUSED, level=0.0, plan=replace(PLAN, hold_end_s=99.0))
    session = send(session, Trigger.RESUME, 132.9)
    after = send(session, Trigger.TICK, 132.95)
    assert after.level == pytest.approx(0.05 / 30.0, abs=1e-12)


def test_a_late_tick_delays_a_step_up_of_a_titration_but_not_one_down():
    plan = replace(TITRATED, rise_span_s=0.1)
    session = send(started(plan, 0.0), Trigger.HIGHER, 0.0)
    assert send(session, Trigger.TICK, 0.5).level == pytest.approx(0.025, abs=1e-12)
    assert send(session, Trigger.TICK, 0.5).ramp_from_s == pytest.approx(0.4, abs=1e-12)
    session = ticked(session, *(0.1 * k for k in range(1, 13)))
    assert session.level == session.target == 0.25
    down = send(session, Trigger.LOWER, 1.2)
    assert send(down, Trigger.TICK, 1.7).level == pytest.approx(0.125, abs=1e-12)


def test_a_late_tick_does_not_delay_a_fall():
    session, _ = run_until(started(), 146.0, 100.0)
    assert session.state is State.RAMP_DOWN
    late = send(session, Trigger.TICK, 146.6)
    assert late.level == pytest.approx(1.0 - 1.6 / 15.0, abs=1e-9)


def test_where_the_device_cannot_pause_a_pause_is_a_stop():
    session = held(replace(QUICK, can_pause=False))
    after, actions = step(session, Event(Trigger.PAUSE, "the operator"), 2.0)
    assert after.state is State.STOPPING
    assert after.cause == "the operator: the device cannot pause"
    assert [a.do for a in actions] == [Do.SOFT_STOP]
    rated, actions = step(session, Event(Trigger.RATING, "", 6.0), 2.0)
    assert rated.cause == "discomfort 6 of 10: the device cannot pause"
    assert [a.do for a in actions] == [Do.SOFT_STOP]
    assert send(session, Trigger.RATING, 2.0, 5.0).state is State.HOLD


def test_a_clock_may_slip_by_its_rounding():
    session = held()
    assert send(session, Trigger.TICK, 2.0 - 1e-6).state is State.HOLD
    assert send(session, Trigger.TICK, 2.0 - 2e-6).state is State.FAULT


def test_what_is_due_is_due_within_a_billionth_of_a_second():
    early = 1e-9
    session = at_zero(held(), level_before=1.0)
    assert did(session, Trigger.TICK, 0.25 - early) == [Do.EXTEND_LEASE]
    assert did(session, Trigger.TICK, 0.25 - 3e-9) == []
    assert did(session._replace(renewed_s=0.4), Trigger.TICK, 0.5 - early) == [Do.READ_STATUS]
    assert did(session._replace(renewed_s=0.4), Trigger.TICK, 0.5 - 3e-9) == []
    quiet = at_zero(place(State.BETWEEN_TRAINS), tick_s=9.5, renewed_s=9.5, asked_s=9.5)
    assert did(quiet, Trigger.TICK, 10.0 - early) == [Do.SOFT_STOP]
    assert did(quiet, Trigger.TICK, 10.0 - 3e-9) == [Do.EXTEND_LEASE]
    assert not send(quiet, Trigger.TICK, 9.5).ending


def test_the_bottom_of_a_ramp_is_a_billionth():
    plan = replace(QUICK, ramp_down_s=0.25)
    down = at_zero(held(plan), state=State.RAMP_DOWN, tick_s=9.0, renewed_s=9.0, ramp_from_s=9.0)
    bottom = down._replace(ramp_from_level=1e-9)
    assert send(bottom, Trigger.TICK, 9.0).state is State.BETWEEN_TRAINS
    assert send(down._replace(ramp_from_level=2e-9), Trigger.TICK, 9.0).level == 2e-9
    assert send(down, Trigger.TICK, 9.5).state is State.BETWEEN_TRAINS
    at_end = down._replace(tick_s=9.9, renewed_s=9.9, asked_s=9.9)
    over = send(at_end, Trigger.TICK, 10.0 - 1e-9)
    assert (over.state, over.ending) == (State.RAMP_DOWN, True)
    assert send(at_end, Trigger.TICK, 10.0 - 3e-9).state is State.BETWEEN_TRAINS


def test_a_clock_slip_is_at_most_a_millionth():
    session = at_zero(held(), current_on_s=0.0)
    assert send(session, Trigger.TICK, -1e-6).state is State.HOLD
    assert send(session, Trigger.TICK, -1.1e-6).state is State.FAULT
    assert send(session, Trigger.STOP, -1e-6).current_on_s == 0.8
    assert send(session, Trigger.STOP, -1.1e-6).current_on_s == 1.8


def test_the_dose_that_is_left_may_be_used_up_to_the_last():
    session = at_zero(held(), current_on_s=2.0, level_seconds=1.0)
    for limit, most in (("current_on_max_s", 2.5), ("level_seconds_max", 1.5)):
        plan = replace(QUICK, **{limit: most})
        assert send(session._replace(plan=plan), Trigger.TICK, 0.5).state is State.HOLD
        assert send(session._replace(plan=plan), Trigger.TICK, 0.75).state is State.STOPPING


def test_a_step_takes_the_time_of_its_transition():
    session = titrated(replace(TITRATED, transition_s=2.0), to_s=1.0)
    assert session.level == 0.125
    assert ticked(session, 1.5, 2.0).level == 0.25


def test_the_lease_counts_from_its_renewal_and_not_from_the_last_tick():
    session = ticked(held(), 2.2)  # too early for a renewal
    assert session.renewed_s == 2.0
    assert send(session, Trigger.TICK, 3.0).state is State.HOLD
    assert send(session, Trigger.TICK, 3.1).state is State.FAULT


def test_the_wait_for_the_end_has_no_lease_but_an_end():
    session, _ = run_until(started(EXACT, 0.0), 9.98, 0.0)
    session = send(session, Trigger.TICK, 10.0)
    assert session.ending
    assert send(session, Trigger.TICK, 9.9).state is State.FAULT
    waiting = send(session, Trigger.TICK, 12.0)
    assert (waiting.state, waiting.tick_s) == (State.RAMP_DOWN, 12.0)
    late = send(session, Trigger.TICK, 12.01)
    assert late.state is State.FAULT
    assert late.cause == "the device did not confirm the end of its programme"


def test_the_operators_silence_does_not_spoil_an_end_that_was_sent():
    plan = replace(QUICK, operator_lease_s=1.0)
    session = started(plan, 0.0)
    for i in range(1, 21):
        session = ticked(send(session, Trigger.ALIVE, 0.5 * i), 0.5 * i)
    assert session.ending
    session = send(session, Trigger.TICK, 11.5)
    assert session.ending
    assert session.state is State.RAMP_DOWN


def test_an_end_is_confirmed_by_silence():
    for state in (State.RAMP_DOWN, State.BETWEEN_TRAINS, State.PAUSED):
        session = place(state)
        over = session._replace(level=0.0, ending=True)
        after, actions = step(over, Event(Trigger.SILENT), now_of(session))
        assert (after.state, after.cause, actions) == (State.DONE, "", ())


def test_an_unconfirmed_stop_waits_exactly_as_long_as_the_plan_says():
    session = send(held(EXACT), Trigger.STOP, 2.0)
    assert send(session, Trigger.TICK, 4.0).state is State.STOPPING
    late = send(session, Trigger.TICK, 4.01)
    assert (late.state, late.cause) == (
        State.FAULT,
        "told; the device did not confirm the stop",
    )


def test_the_device_is_asked_twice_a_second_and_ten_times_once_it_is_to_be_silent():
    session = held()
    assert did(session, Trigger.TICK, 2.2) == []
    assert did(ticked(session, 2.2), Trigger.TICK, 2.49) == [Do.EXTEND_LEASE]
    assert did(session, Trigger.TICK, 2.5) == [Do.EXTEND_LEASE, Do.READ_STATUS]
    assert did(ticked(session, 2.5), Trigger.TICK, 2.99) == [Do.EXTEND_LEASE]
    stopping = send(session, Trigger.STOP, 2.05)
    assert did(stopping, Trigger.TICK, 2.09) == []
    assert did(stopping, Trigger.TICK, 2.1) == [Do.READ_STATUS]
    assert did(ticked(stopping, 2.1), Trigger.TICK, 2.15) == []
    ending = session._replace(ending=True, level=0.0, stopping_since_s=2.0)
    assert did(ending, Trigger.TICK, 2.05) == []
    assert did(ending, Trigger.TICK, 2.1) == [Do.READ_STATUS]


def test_the_lease_is_renewed_four_times_a_second_with_the_time_since_the_start():
    session = started(QUICK, 100.0)
    assert did(session, Trigger.TICK, 100.24) == [Do.SET_LEVEL]
    _, actions = step(session, Event(Trigger.TICK), 100.25)
    assert [(a.do, a.value) for a in actions] == [
        (Do.SET_LEVEL, pytest.approx(0.125)),
        (Do.EXTEND_LEASE, pytest.approx(0.25)),
    ]
    assert did(ticked(session, 100.25), Trigger.TICK, 100.45) == [Do.SET_LEVEL]


def test_a_start_names_its_lease_and_begins_from_nothing():
    plan = replace(QUICK, lease_s=0.75)
    session, actions = step(place(State.ARMED)._replace(plan=plan), Event(Trigger.START), 7.0)
    assert [(a.do, a.value) for a in actions] == [(Do.START, 0.75)]
    times = (session.started_s, session.ramp_from_s, session.tick_s, session.alive_s)
    assert {*times, session.renewed_s, session.asked_s} == {7.0}
    assert (session.state, session.level, session.ceiling) == (State.RAMP_UP, 0.0, 1.0)


@pytest.mark.parametrize(
    ("changes", "state", "ceiling"),
    [
        ({}, State.RAMP_UP, 1.0),
        ({"titration_step": 0.1}, State.TITRATING, 0.0),
        ({"silent": True}, State.BETWEEN_TRAINS, 0.0),
        ({"silent": True, "titration_step": 0.1}, State.BETWEEN_TRAINS, 0.0),
    ],
)
def test_the_plan_says_how_a_session_starts(changes: dict, state: State, ceiling: float):
    session = started(replace(QUICK, **changes), 0.0)
    assert (session.state, session.ceiling) == (state, ceiling)


def test_a_tick_that_is_due_before_the_event_of_its_ramp_keeps_the_level():
    session = send(held(), Trigger.PAUSE, 2.3)
    session = send(session, Trigger.TICK, 2.2)
    assert (session.state, session.level) == (State.RAMP_DOWN, 1.0)


def test_a_pause_ramps_down_from_where_it_is_and_a_resume_up_to_the_ceiling():
    session = ticked(started(QUICK, 0.0), 0.5, 1.0)
    assert session.level == pytest.approx(0.5)
    session = send(session, Trigger.PAUSE, 1.0)
    assert (session.state, session.pausing, session.level) == (State.RAMP_DOWN, True, 0.5)
    session = ticked(session, 1.25)
    assert session.level == pytest.approx(0.25)
    session = ticked(session, 1.5)
    assert (session.state, session.level) == (State.PAUSED, 0.0)
    session = ticked(session, 2.0, 2.5)
    session = send(session, Trigger.RESUME, 3.0)
    assert (session.state, session.pausing, session.level) == (State.RAMP_UP, False, 0.0)
    session = ticked(session, 3.5)
    assert session.level == pytest.approx(0.25)
    session = ticked(session, 4.0, 4.5, 5.0)
    assert (session.state, session.level, session.top_level) == (State.HOLD, 1.0, 1.0)


def test_a_resume_needs_time_for_a_whole_ramp():
    session = ticked(send(held(), Trigger.PAUSE, 2.0), 2.5, 3.0)
    at = session._replace(tick_s=7.0, renewed_s=7.0)
    assert send(at, Trigger.RESUME, 7.0).state is State.RAMP_UP
    assert step(at, Event(Trigger.RESUME), 7.0 + 1e-6) == (at, ())


def test_the_plateau_ends_on_time_from_every_state_with_current():
    assert send(held()._replace(tick_s=8.9, renewed_s=8.9), Trigger.TICK, 8.99).state is State.HOLD
    session = send(held()._replace(tick_s=8.9, renewed_s=8.9), Trigger.TICK, 9.0)
    assert (session.state, session.ramp_from_s) == (State.RAMP_DOWN, 9.0)
    assert session.ramp_from_level == 1.0
    rising = started(replace(QUICK, ramp_up_s=30.0), 0.0)._replace(tick_s=8.9, renewed_s=8.9)
    assert send(rising, Trigger.TICK, 8.99).state is State.RAMP_UP
    falling = send(rising, Trigger.TICK, 9.0)
    assert falling.state is State.RAMP_DOWN
    assert falling.ramp_from_level == falling.level == pytest.approx(0.3)
    assert falling.ramp_from_s == 9.0
    low = titrated()._replace(tick_s=38.9, renewed_s=38.9)
    assert send(low, Trigger.TICK, 38.99).state is State.TITRATING
    falling = send(low, Trigger.TICK, 39.0)
    assert falling.state is State.RAMP_DOWN
    assert falling.ramp_from_level == falling.level == 0.25


def test_the_ramp_meets_its_top_exactly():
    session = ticked(started(QUICK, 0.0), 0.5, 1.0, 1.5)
    assert send(session, Trigger.TICK, 1.99).state is State.RAMP_UP
    top = send(session, Trigger.TICK, 2.0)
    assert (top.state, top.level) == (State.HOLD, 1.0)
    assert send(session, Trigger.TICK, 2.3).level == 1.0


def test_an_early_bottom_waits_in_silence_for_the_end():
    plan = replace(QUICK, hold_end_s=3.0)
    session = ticked(started(plan, 0.0), 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5)
    assert (session.state, session.level) == (State.RAMP_DOWN, 0.5)
    session = ticked(session, 4.0)
    assert (session.state, session.level, session.ending) == (State.BETWEEN_TRAINS, 0.0, False)
    session = session._replace(tick_s=9.5, renewed_s=9.5)
    session, actions = step(session, Event(Trigger.TICK), 10.0)
    assert session.ending
    assert [a.do for a in actions] == [Do.SOFT_STOP]
    assert session.stopping_since_s == 10.0


def test_the_bottom_at_the_planned_end_is_the_end():
    session = held()._replace(tick_s=8.9, renewed_s=8.9)
    session = ticked(session, 9.0, 9.5)
    assert (session.level, session.ending) == (0.5, False)
    session, actions = step(session, Event(Trigger.TICK), 10.0)
    assert (session.state, session.ending) == (State.RAMP_DOWN, True)
    assert [(a.do, a.value) for a in actions] == [(Do.SET_LEVEL, 0.0), (Do.SOFT_STOP, 0.0)]


def test_a_titration_rises_one_step_for_each_request():
    session = started(TITRATED, 0.0)
    assert ticked(session, 0.5).level == 0.0
    session = send(session, Trigger.HIGHER, 0.5)
    session = ticked(session, 1.0)
    assert session.level == pytest.approx(0.125)
    assert send(session, Trigger.HIGHER, 1.0) is session
    assert send(session, Trigger.ACCEPT, 1.0) is session
    session = ticked(session, 1.5)
    assert session.level == 0.25
    session = ticked(session, 2.0)
    assert session.level == 0.25
    session = ticked(send(session, Trigger.HIGHER, 2.0), 2.5, 3.0)
    assert session.level == 0.5


def test_a_titration_ends_at_the_full_current():
    session = titrated()._replace(level=0.9, target=0.9)
    session = send(session, Trigger.HIGHER, 1.0)
    assert (session.target, session.ramp_from_level, session.ramp_from_s) == (1.0, 0.9, 1.0)
    assert ticked(session, 1.5).level == 1.0


def test_a_titration_falls_at_once_and_to_nothing_at_most():
    session = titrated(to_s=0.5)
    assert (session.level, session.target) == (0.125, 0.25)
    session = send(session, Trigger.LOWER, 0.5)
    assert (session.target, session.ramp_from_level) == (0.0, 0.125)
    assert ticked(session, 0.75).level == pytest.approx(0.0625)
    assert ticked(session, 1.0).level == 0.0
    high = titrated()._replace(level=0.75, target=0.75)
    session = send(high, Trigger.LOWER, 1.0)
    assert session.target == 0.5
    assert ticked(session, 1.5).level == 0.625
    assert send(ticked(session, 1.5), Trigger.LOWER, 1.5).target == 0.25


def test_the_accepted_level_is_the_ceiling_from_then_on():
    session = titrated()
    session = send(session, Trigger.ACCEPT, 1.0)
    assert (session.state, session.ceiling, session.level) == (State.HOLD, 0.25, 0.25)
    session = send(session, Trigger.PAUSE, 1.0)
    session = ticked(session, 1.25)
    assert (session.state, session.level) == (State.PAUSED, 0.0)
    session = send(session, Trigger.RESUME, 1.5)
    assert session.state is State.RAMP_UP
    session = ticked(session, 1.75)
    assert session.level == pytest.approx(0.125)
    session = ticked(session, 2.25)
    assert (session.state, session.level) == (State.HOLD, 0.25)
    assert send(session, Trigger.HIGHER, 2.25) is session


def test_nothing_cannot_be_accepted():
    session = started(TITRATED, 0.0)
    assert send(session, Trigger.ACCEPT, 0.0) is session


def test_a_pause_before_a_level_was_accepted_begins_the_titration_anew():
    session = ticked(send(titrated(), Trigger.PAUSE, 1.0), 1.5)
    assert session.state is State.PAUSED
    session = send(session, Trigger.RESUME, 2.0)
    assert (session.state, session.pausing) == (State.TITRATING, False)
    assert (session.target, session.ramp_from_level, session.ramp_from_s) == (0.0, 0.0, 2.0)
    assert ticked(session, 2.5).level == 0.0
    session = ticked(send(session, Trigger.HIGHER, 2.0), 2.5)
    assert session.level == pytest.approx(0.125)


RISING = (State.TITRATING, State.RAMP_UP, State.HOLD, State.TRAIN_RISE, State.TRAIN_ON)


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("rating", [math.nan, math.inf, -math.inf, -0.1, 7.0, 10.0, 11.0])
def test_a_rating_of_the_worst_or_of_nothing_stops(state: State, rating: float):
    session = place(state)
    now_s = now_of(session)
    after, actions = step(session, Event(Trigger.RATING, value=rating), now_s)
    if state not in RUNNING:
        assert (after, actions) == (session, ())
        return
    assert (after.state, [a.do for a in actions]) == (State.STOPPING, [Do.SOFT_STOP])
    assert after.cause == f"discomfort {rating:g} of 10"


@pytest.mark.parametrize("state", RUNNING_STATES)
def test_a_rating_of_discomfort_pauses_what_rises(state: State):
    session = place(state)
    now_s = now_of(session)
    for rating in (0.0, 3.0, 5.99):
        assert step(session, Event(Trigger.RATING, value=rating), now_s) == (session, ())
    for rating in (6.0, 6.99):
        after, actions = step(session, Event(Trigger.RATING, value=rating), now_s)
        assert actions == ()
        if state in RISING:
            falls = State.TRAIN_FALL if state in IN_TRAIN else State.RAMP_DOWN
            assert (after.state, after.pausing) == (falls, True)
            assert (after.ramp_from_s, after.ramp_from_level) == (now_s, session.level)
        elif state is State.TRAIN_FALL:
            assert after == session._replace(pausing=True, tolerated=0.0)
        else:
            assert after is session


def test_the_plan_says_which_ratings_pause_and_stop():
    session = held(replace(QUICK, discomfort_pause=3.0, discomfort_stop=4.0))
    assert send(session, Trigger.RATING, 2.0, 3.0).state is State.RAMP_DOWN
    assert send(session, Trigger.RATING, 2.0, 4.0).state is State.STOPPING


def test_the_operators_lease():
    session = held(replace(QUICK, operator_lease_s=3.0))
    session = ticked(session, 2.5)
    assert send(session, Trigger.TICK, 3.0).state is State.HOLD
    after, actions = step(session, Event(Trigger.TICK), 3.01)
    assert (after.state, after.cause) == (State.STOPPING, "the operator side fell silent")
    assert [a.do for a in actions] == [Do.SOFT_STOP]
    heard = send(session, Trigger.ALIVE, 2.6)
    assert send(heard, Trigger.TICK, 3.4).state is State.HOLD
    assert send(session._replace(alive_s=math.nan), Trigger.TICK, 2.6).state is State.STOPPING


@pytest.mark.parametrize("limit", ["current_on_max_s", "level_seconds_max"])
def test_the_session_stops_at_the_dose_that_is_left(limit: str):
    session = ticked(held(), 2.5)
    assert (session.current_on_s, session.level_seconds) == (2.0, pytest.approx(1.25))
    most = {"current_on_max_s": 2.4, "level_seconds_max": 1.65}[limit]
    session = session._replace(plan=replace(QUICK, **{limit: most}))
    assert send(session, Trigger.TICK, 2.9 - 1e-9).state is State.HOLD
    after, actions = step(session, Event(Trigger.TICK), 2.92)
    assert (after.state, after.cause) == (
        State.STOPPING,
        "the dose that the limits leave was reached",
    )
    assert [a.do for a in actions] == [Do.SOFT_STOP]
    assert after.current_on_s == pytest.approx(2.42 + 0.8)
    assert send(session._replace(current_on_s=math.nan), Trigger.TICK, 2.6).state is State.STOPPING


def test_the_dose_is_the_time_and_the_area_under_the_commanded_level():
    session = ticked(started(QUICK, 0.0), 0.5)
    assert (session.current_on_s, session.level_seconds) == (0.0, 0.0)
    session = ticked(session, 1.0)
    assert (session.current_on_s, session.level_seconds) == (0.5, pytest.approx(0.125))
    session = ticked(session, 1.0)
    assert (session.current_on_s, session.level_seconds) == (0.5, pytest.approx(0.125))
    session = ticked(session, 1.0 - 1e-7)
    assert (session.current_on_s, session.level_seconds) == (0.5, pytest.approx(0.125))


def test_a_stop_adds_its_ramp_to_the_dose_and_a_fault_the_lease():
    session = held()._replace(current_on_s=10.0, level_seconds=5.0)
    stopped = send(session, Trigger.STOP, 2.25)
    assert stopped.current_on_s == pytest.approx(10.0 + 0.25 + 0.8)
    assert stopped.level_seconds == pytest.approx(5.0 + 0.25 + 0.4)
    assert (stopped.tick_s, stopped.level_before, stopped.stopping_since_s) == (2.25, 1.0, 2.25)
    failed = send(session, Trigger.FAULT, 2.25)
    assert failed.current_on_s == pytest.approx(10.0 + 0.25 + 1.0 + 0.8)
    assert failed.level_seconds == pytest.approx(5.0 + 0.25 + 1.0 + 0.4)
    lost = send(stopped, Trigger.FAULT, 2.3)
    assert lost.current_on_s == pytest.approx(failed.current_on_s)
    assert lost.level_seconds == pytest.approx(failed.level_seconds)
    assert send(lost, Trigger.FAULT, 2.4) is lost


def test_a_dose_at_half_the_level_is_half_the_area():
    session = ticked(started(QUICK, 0.0), 0.5, 1.0)
    at = session._replace(current_on_s=0.0, level_seconds=0.0)
    failed = send(at, Trigger.FAULT, 1.5)
    assert failed.current_on_s == pytest.approx(0.5 + 1.0 + 0.8)
    assert failed.level_seconds == pytest.approx(0.5 * (0.5 + 1.0 + 0.4))


def test_where_a_step_down_did_not_arrive_the_level_before_it_is_counted():
    session = ticked(send(held(), Trigger.PAUSE, 2.0), 2.5)
    at = session._replace(current_on_s=0.0, level_seconds=0.0)
    assert (at.level, at.level_before) == (0.5, 1.0)
    assert send(at, Trigger.FAULT, 2.5).level_seconds == pytest.approx(1.0 + 0.4)
    assert send(at, Trigger.STOP, 2.5).level_seconds == pytest.approx(0.4)
    assert ticked(session, 3.0, 3.5).level_before == 0.0
    rising = ticked(started(QUICK, 0.0), 0.5, 1.0)._replace(level_seconds=0.0)
    assert rising.level_before == pytest.approx(0.25)
    assert send(rising, Trigger.STOP, 1.0).level_seconds == pytest.approx(0.5 * 0.4)


@pytest.mark.parametrize("wrong_s", [math.nan, math.inf, 50.0, 1.9])
def test_at_a_wrong_time_a_lease_is_counted(wrong_s: float):
    session = held()._replace(current_on_s=0.0, level_seconds=0.0)
    stopped = send(session, Trigger.STOP, wrong_s)
    assert stopped.current_on_s == pytest.approx(1.0 + 0.8)
    assert stopped.level_seconds == pytest.approx(1.0 + 0.4)
    failed = send(session, Trigger.TICK, wrong_s)
    assert failed.current_on_s == pytest.approx(1.0 + 1.0 + 0.8)
    assert send(session, Trigger.STOP, 3.0).current_on_s == pytest.approx(1.0 + 0.8)
    assert send(session, Trigger.STOP, 2.0 - 1e-6).current_on_s == pytest.approx(0.8)


def test_without_current_there_is_no_dose():
    session = place(State.PAUSED)
    at = ticked(session, session.tick_s + 0.5)
    dose = (at.current_on_s, at.level_seconds)
    for trigger in (Trigger.STOP, Trigger.FAULT):
        after = send(at, trigger, at.tick_s + 0.5)
        assert (after.current_on_s, after.level_seconds) == dose


def test_the_highest_level_is_remembered():
    session = ticked(send(held(), Trigger.PAUSE, 2.0), 2.5)
    assert (session.level, session.top_level) == (0.5, 1.0)


def test_an_acknowledgement_begins_anew_and_keeps_the_dose():
    session = send(send(held(), Trigger.SOFT_FAULT, 2.0), Trigger.SILENT, 2.0)
    again, actions = step(session, Event(Trigger.ACKNOWLEDGE), 3.0)
    assert actions == ()
    assert again == Session(
        plan=QUICK,
        current_on_s=session.current_on_s,
        level_seconds=session.level_seconds,
        top_level=1.0,
    )
    assert session.current_on_s > 0.0


def test_energised_is_every_state_in_which_current_may_flow():
    for state in State:
        session = place(state)
        assert session.energised is (state in RUNNING or state is State.STOPPING)


def test_the_states_are_grouped_as_the_kernel_needs_them():
    assert TERMINAL == {State.DONE, State.STOPPED, State.FAULT}
    ordinary = {State.TITRATING, State.RAMP_UP, State.HOLD, State.RAMP_DOWN}
    assert {State.TRAIN_RISE, State.TRAIN_ON, State.TRAIN_FALL} == IN_TRAIN
    assert ordinary | IN_TRAIN == WITH_CURRENT
    assert RUNNING == WITH_CURRENT | {State.BETWEEN_TRAINS, State.PAUSED}
    assert ENERGISED == RUNNING | {State.STOPPING}
    assert TITRATION == {Trigger.HIGHER, Trigger.LOWER, Trigger.ACCEPT}
    assert {t for row in TRANSITIONS.values() for t in row} >= DERIVED | TITRATION


TABLE = {
    "idle": "connected>connected stop>stopped soft_fault>fault fault>fault",
    "connected": "checked>checked stop>stopped soft_fault>fault fault>fault",
    "checked": "arm>armed stop>stopped soft_fault>fault fault>fault",
    "armed": "start>ramp_up start_low>titrating start_silent>between_trains "
    "stop>stopped soft_fault>fault fault>fault",
    "titrating": "higher>titrating lower>titrating accept>hold hold_over>ramp_down "
    "pause>ramp_down stop>stopping soft_fault>stopping fault>fault",
    "ramp_up": "top>hold hold_over>ramp_down pause>ramp_down "
    "stop>stopping soft_fault>stopping fault>fault",
    "hold": "hold_over>ramp_down train_over>train_fall pause>ramp_down retune>hold "
    "stop>stopping soft_fault>stopping fault>fault",
    "train_rise": "top>train_on train_over>train_fall pause>train_fall "
    "stop>stopping soft_fault>stopping fault>fault",
    "train_on": "train_over>train_fall pause>train_fall retune>train_on "
    "stop>stopping soft_fault>stopping fault>fault",
    "train_fall": "zero_quiet>between_trains zero_paused>paused pause>train_fall "
    "stop>stopping soft_fault>stopping fault>fault",
    "ramp_down": "zero_paused>paused zero_quiet>between_trains ended>done "
    "stop>stopping soft_fault>stopping fault>fault",
    "between_trains": "next_train>train_rise train>between_trains retune>between_trains "
    "pause>paused ended>done stop>stopping soft_fault>stopping fault>fault",
    "paused": "resume>ramp_up resume_low>titrating ended>done "
    "stop>stopping soft_fault>stopping fault>fault",
    "done": "stop>done soft_fault>fault fault>fault acknowledge>idle",
    "stopping": "silent>stopped latch>fault stop>stopping soft_fault>stopping fault>fault",
    "stopped": "stop>stopped soft_fault>fault fault>fault acknowledge>idle",
    "fault": "stop>fault soft_fault>fault fault>fault acknowledge>idle",
}


def test_the_table_is_this_one_and_changes_in_two_files():
    written = {
        s.value: " ".join(f"{t.value}>{after.value}" for t, after in row.items())
        for s, row in TRANSITIONS.items()
    }
    assert {s: set(row.split()) for s, row in written.items()} == {
        s: set(row.split()) for s, row in TABLE.items()
    }
    outside = {
        "connected", "checked", "arm", "start", "tick", "alive", "playing", "silent", "pause",
        "resume", "higher", "lower", "accept", "rating", "stop", "soft_fault", "fault",
        "acknowledge", "train", "retune",
    }  # fmt: skip
    assert {t.value for t in Trigger if t not in DERIVED} == outside


WAITS_S = st.sampled_from([0.0, 0.02, 0.25, 0.5, 0.75, 1.5, -1.0, math.nan])
RATINGS = st.sampled_from([math.nan, math.inf, -1.0, 0.0, 6.0, 7.0])
PLANS = st.builds(
    Plan,
    duration_s=st.just(6.0),
    ramp_up_s=st.sampled_from([0.5, 2.0]),
    ramp_down_s=st.just(1.0),
    hold_end_s=st.sampled_from([3.0, 5.0]),
    silent=st.booleans(),
    lease_s=st.just(1.0),
    operator_lease_s=st.sampled_from([None, 1.0]),
    titration_step=st.sampled_from([0.0, 0.5]),
    current_on_max_s=st.sampled_from([math.inf, 2.0]),
    trains=st.builds(
        Trains,
        on_s=st.sampled_from([0.5, 1.0]),
        off_s=st.just(0.5),
        edge_s=st.just(0.25),
        tolerated_s=st.sampled_from([0.0, 0.5]),
        course=st.sampled_from([(), ((math.nan, 1.0),) * 2, ((9.0, 0.5), (11.0, 1.0))]),
        span_s=st.sampled_from([0.025, 1.0]),
        on_request=st.booleans(),
    ),
    frequency_hz=st.just(10.0),
    retune_from_hz=st.just(9.0),
    retune_to_hz=st.just(11.0),
    retune_step_hz=st.sampled_from([0.0, 0.5]),
    retune_playing=st.booleans(),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    PLANS,
    st.lists(
        st.tuples(st.sampled_from([*Trigger, *[Trigger.TICK] * 12]), WAITS_S, RATINGS),
        max_size=40,
    ),
    st.booleans(),
)
def test_no_sequence_of_events_breaks_a_rule(
    plan: Plan, events: list[tuple[Trigger, float, float]], begun: bool
):
    opening = (Trigger.CONNECTED, Trigger.CHECKED, Trigger.ARM, Trigger.START)
    script = [(t, 0.0, math.nan) for t in opening * begun] + events
    session, witness, now_s = Session(plan=plan), Witness(plan), 0.0
    for trigger, wait_s, rating in script:
        told_s = now_s + wait_s
        if not session.energised:
            told_s = now_s = now_s + max(wait_s, 0.0) if wait_s >= 0.0 else now_s
        elif wait_s >= 0.0:
            now_s = told_s
        value = rating
        if trigger is Trigger.TRAIN:
            value = session.elapsed_s(told_s) + rating
        elif trigger is Trigger.RETUNE:
            value = session.frequency_hz + 0.1 * rating
        event = Event(trigger, "x", value)
        after, actions = step(session, event, told_s)
        witness.hear(session, event, told_s)
        witness.send(session, event, after, actions, told_s)
        assert broken_rules(Move(session, event, after, actions, told_s, witness)) == []
        session = after
