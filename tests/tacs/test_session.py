"""The kernel: its table walked whole, its timing, and random sequences that break no rule."""

from __future__ import annotations

import math
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacs.session import (
    RUNNING,
    TERMINAL,
    TRANSITIONS,
    Do,
    Event,
    Plan,
    Session,
    State,
    Trigger,
    step,
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
    assert set(TRANSITIONS[State.FAULT]) == {Trigger.STOP, Trigger.FAULT, Trigger.ACKNOWLEDGE}
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
    fine, _ = step(session, Event(Trigger.TICK), 110.9)
    assert fine.state is State.RAMP_UP
    late, actions = step(session, Event(Trigger.TICK), 111.2)
    assert late.state is State.FAULT
    assert "stalled" in late.cause
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


EVENTS = st.sampled_from(
    [
        Trigger.TICK,
        Trigger.TICK,
        Trigger.TICK,
        Trigger.ALIVE,
        Trigger.PLAYING,
        Trigger.SILENT,
        Trigger.PAUSE,
        Trigger.RESUME,
        Trigger.STOP,
        Trigger.FAULT,
        Trigger.ACKNOWLEDGE,
        Trigger.CONNECTED,
        Trigger.CHECKED,
        Trigger.ARM,
        Trigger.START,
        Trigger.TOP,
        Trigger.ENDED,
    ]
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(EVENTS, st.floats(0.0, 1.5)), max_size=60),
    st.booleans(),
)
def test_no_sequence_of_events_breaks_a_rule(events: list[tuple[Trigger, float]], silent: bool):
    plan = Plan(
        duration_s=20.0, ramp_up_s=5.0, ramp_down_s=5.0, hold_end_s=15.0, silent=silent, lease_s=1.0
    )
    session, now_s = Session(plan=plan), 0.0
    stopped_level: float | None = None
    for trigger, wait_s in events:
        now_s += wait_s
        before = session
        session, actions = step(session, Event(trigger, "x"), now_s)
        levels = [a.value for a in actions if a.do is Do.SET_LEVEL]
        assert all(0.0 <= level <= 1.0 for level in [*levels, session.level])
        if session.level > 0.0:
            assert session.state in {State.RAMP_UP, State.HOLD, State.RAMP_DOWN}
        if silent:
            assert session.level == 0.0
        if before.state is State.FAULT and trigger is not Trigger.ACKNOWLEDGE:
            assert session.state is State.FAULT
        if trigger is Trigger.STOP and before.state in RUNNING:
            assert session.state is State.STOPPING
            assert [a.do for a in actions] == [Do.SOFT_STOP]
            stopped_level = session.level
        if session.state in {State.STOPPING, State.FAULT, State.STOPPED} and stopped_level == 0.0:
            assert not levels
        if any(a.do is Do.START for a in actions):
            assert before.state is State.ARMED
        if levels and before.state is State.RAMP_UP:
            assert levels[0] - before.level <= (now_s - before.ramp_from_s) / plan.ramp_up_s + 1e-9
        if session.state in RUNNING and before.state in RUNNING:
            assert session.current_on_s >= before.current_on_s
            assert session.level_seconds >= before.level_seconds
            assert (
                session.elapsed_s(now_s) <= plan.duration_s + plan.lease_s or session.level == 0.0
            )
    assert not math.isnan(session.level)
