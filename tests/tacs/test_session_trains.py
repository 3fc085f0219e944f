"""Trains in the kernel: their course, what a pause takes away, requests, and other frequencies."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from tacs.limits import LIMITS
from tacs.session import NO_TRAINS, Do, Event, Plan, Session, Trains, step
from tacs.transitions import State, Trigger
from tests.tacs.test_session import did, send, started

TICK_S = 1.0 / 64.0
TRAINS = Trains(
    on_s=1.0, off_s=0.5, edge_s=0.25, tolerated_s=2.0, course=((math.nan, 1.0),) * 3,
    span_s=1.0 / 32.0,
)  # fmt: skip
PLAN = Plan(
    duration_s=20.0,
    ramp_up_s=4.0,
    ramp_down_s=2.0,
    hold_end_s=18.0,
    silent=False,
    lease_s=1.0,
    trains=TRAINS,
    frequency_hz=10.0,
    retune_from_hz=9.0,
    retune_to_hz=10.5,
    retune_step_hz=0.5,
    retune_every_s=1.0,
    retune_playing=True,
)
ON_REQUEST = replace(PLAN, trains=replace(TRAINS, on_request=True))


def run(session: Session, from_s: float, to_s: float) -> tuple[Session, list[float]]:
    """Levels at every tick; the device tells the truth when it is asked."""
    levels = []
    for i in range(1, round((to_s - from_s) / TICK_S) + 1):
        now_s = from_s + i * TICK_S
        session, actions = step(session, Event(Trigger.TICK), now_s)
        levels.append(session.level)
        if any(a.do is Do.READ_STATUS for a in actions):
            over = session.ending and now_s > session.stopping_since_s
            session = send(session, Trigger.SILENT if over else Trigger.PLAYING, now_s)
    return session, levels


def at(to_s: float, plan: Plan = PLAN) -> Session:
    return run(started(plan, 0.0), 0.0, to_s)[0]


def test_trains_follow_the_run_in_as_planned_and_the_session_ends_on_time():
    session, levels = run(started(PLAN, 0.0), 0.0, 21.0)
    assert session.state is State.DONE
    assert session.trains == 3
    times_s = [(i + 1) * TICK_S for i in range(len(levels))]

    def planned(at_s: float) -> float:
        if at_s < 4.0:
            return at_s / 4.0
        if at_s < 6.25:
            return min(1.0, (6.25 - at_s) / 0.25)
        for k in range(3):
            from_s = 6.75 + 1.5 * k
            if from_s <= at_s < from_s + 1.0:
                return min((at_s - from_s) / 0.25, 1.0, (from_s + 1.0 - at_s) / 0.25)
        return 0.0

    for at_s, level in zip(times_s, levels, strict=True):
        assert level == pytest.approx(planned(at_s), abs=1e-9), at_s
    assert session.current_on_s == pytest.approx(6.25 + 3.0, abs=5 * TICK_S)
    assert session.level_seconds == pytest.approx(2.0 + 2.0 + 0.125 + 3 * 0.75, abs=0.02)


def test_the_states_of_a_run_in_and_a_train():
    seen: list[State] = []
    session = started(PLAN, 0.0)
    for i in range(1, round(8.5 / TICK_S)):
        session = send(session, Trigger.TICK, i * TICK_S)
        if not seen or seen[-1] is not session.state:
            seen.append(session.state)
    assert seen == [
        State.RAMP_UP, State.HOLD, State.TRAIN_FALL, State.BETWEEN_TRAINS, State.TRAIN_RISE,
        State.TRAIN_ON, State.TRAIN_FALL, State.BETWEEN_TRAINS, State.TRAIN_RISE,
    ]  # fmt: skip


def test_what_was_held_long_enough_after_the_ramp_is_tolerated():
    assert at(5.75).tolerated == 0.0
    session = at(6.0 - TICK_S)
    assert (session.state, session.held_from_s, session.tolerated) == (State.HOLD, 4.0, 0.0)
    session = send(session, Trigger.TICK, 6.0)
    assert (session.state, session.tolerated, session.level) == (State.TRAIN_FALL, 1.0, 1.0)
    assert (session.ramp_from_s, session.ramp_from_level) == (6.0, 1.0)
    near = at(6.0 - TICK_S)
    assert send(near, Trigger.TICK, 6.0 - 9e-7).state is State.TRAIN_FALL
    assert send(near, Trigger.TICK, 6.0 - 1.1e-6).state is State.HOLD


def test_a_gap_keeps_the_lease_and_asks_the_device():
    gap = at(6.25)
    assert (gap.state, gap.level, gap.next_train_s, gap.ready_s) == (
        State.BETWEEN_TRAINS, 0.0, 6.75, 6.75,
    )  # fmt: skip
    sent = []
    for i in range(1, 33):
        now_s = 6.25 + i * TICK_S
        sent += did(gap, Trigger.TICK, now_s)
        gap = send(gap, Trigger.TICK, now_s)
    assert sent.count(Do.EXTEND_LEASE) == 2
    assert Do.READ_STATUS in sent
    assert Do.SET_LEVEL not in sent


def test_an_edge_is_stepped_and_a_late_tick_makes_no_large_step():
    session, levels = run(at(6.75), 6.75, 7.0)
    assert session.state is State.TRAIN_ON
    assert max(b - a for a, b in pairwise([0.0, *levels])) == pytest.approx(TICK_S / 0.25)
    early = at(6.8125)
    assert early.level == 0.25
    late = send(early, Trigger.TICK, 7.0625)
    assert late.level == pytest.approx(0.25 + (1.0 / 32.0) / 0.25)
    # The rise is late; the end is not.
    session, _ = run(late, 7.0625, 7.75)
    assert (session.state, session.level) == (State.BETWEEN_TRAINS, 0.0)


def test_a_train_that_begins_late_begins_from_nothing():
    early = at(6.75 - TICK_S)
    late = send(early, Trigger.TICK, 7.0)
    assert (late.state, late.train_from_s) == (State.TRAIN_RISE, 7.0 - 1.0 / 32.0)
    assert late.level == pytest.approx((1.0 / 32.0) / 0.25)
    quick = replace(PLAN, rise_span_s=1.0 / 128.0)
    late = send(at(6.75 - TICK_S)._replace(plan=quick), Trigger.TICK, 7.0)
    assert late.train_from_s == 7.0 - 1.0 / 128.0
    on_time = send(early, Trigger.TICK, 6.75 - 9e-7)
    assert (on_time.state, on_time.train_from_s, on_time.level) == (
        State.TRAIN_RISE, 6.75, 0.0,
    )  # fmt: skip
    assert send(early, Trigger.TICK, 6.75 - 1.1e-6).state is State.BETWEEN_TRAINS


def test_a_tick_that_is_late_beyond_the_end_of_a_train_ends_it():
    session = at(7.25)._replace(renewed_s=7.25)
    late = send(session, Trigger.TICK, 7.625)
    assert (late.state, late.level) == (State.TRAIN_FALL, pytest.approx(0.5))
    over = send(session, Trigger.TICK, 8.0)
    assert (over.state, over.level) == (State.BETWEEN_TRAINS, 0.0)
    # The next train keeps its gap, but for a late tick of a twentieth of a second.
    assert over.next_train_s == pytest.approx(8.0 + 0.5 - 0.05)
    rising = at(6.8125)._replace(renewed_s=6.8125)
    falls = send(rising, Trigger.TICK, 7.5)
    assert (falls.state, falls.ramp_from_s) == (State.TRAIN_FALL, 7.5)
    assert falls.level == pytest.approx(0.25 + (1.0 / 32.0) / 0.25)


def test_a_fall_ends_within_a_hundred_thousandth():
    session = at(7.5)
    assert (session.state, session.level) == (State.TRAIN_FALL, 1.0)
    last = session._replace(ramp_from_level=1e-5)
    assert send(last, Trigger.TICK, 7.5).state is State.BETWEEN_TRAINS
    assert send(last._replace(ramp_from_level=2e-5), Trigger.TICK, 7.5).level == 2e-5
    near = at(7.5 - TICK_S)
    assert send(near, Trigger.TICK, 7.5 - 9e-7).state is State.TRAIN_FALL
    assert send(near, Trigger.TICK, 7.5 - 1.1e-6).state is State.TRAIN_ON


def test_only_as_many_trains_as_planned_and_none_that_would_outlast_the_end():
    session, levels = run(at(11.25), 11.25, 19.0)
    assert (session.trains, max(levels)) == (3, 0.0)
    many = replace(PLAN, trains=replace(TRAINS, course=((math.nan, 1.0),) * 50))
    # The ninth would begin at 18.75 s and fits; the tenth does not.
    session, _ = run(started(many, 0.0), 0.0, 20.0)
    assert session.trains == 9
    short = replace(many, duration_s=19.75)
    assert run(started(short, 0.0), 0.0, 19.75)[0].trains == 9
    shorter = replace(many, duration_s=19.75 - 1e-3)
    assert run(started(shorter, 0.0), 0.0, 19.75)[0].trains == 8


def test_the_steps_of_a_sweep_have_their_level_and_their_frequency_at_zero():
    course = ((9.5, 0.5), (10.5, 1.0), (10.5, 1.0))
    plan = replace(PLAN, trains=replace(TRAINS, course=course), retune_step_hz=0.0)
    session, sent, tops = started(plan, 0.0), [], []
    for i in range(1, round(12.0 / TICK_S)):
        session, actions = step(session, Event(Trigger.TICK), i * TICK_S)
        order = [a.do for a in actions]
        for action in actions:
            if action.do is Do.RETUNE:
                sent.append((i * TICK_S, action.value))
                assert (session.state, session.level) == (State.BETWEEN_TRAINS, 0.0)
                assert order.index(Do.SET_LEVEL) < order.index(Do.RETUNE)
        if session.state is State.TRAIN_ON:
            tops.append(session.level)
    assert sent == [(6.25, 9.5), (7.75, 10.5)]
    assert set(tops) == {0.5, 1.0}
    assert session.retuned_s == 7.75


def test_a_pause_in_a_train_ends_it_by_its_edge_and_takes_back_what_was_tolerated():
    for to_s, state in ((6.875, State.TRAIN_RISE), (7.25, State.TRAIN_ON)):
        session = at(to_s)
        assert session.state is state
        paused, actions = step(session, Event(Trigger.PAUSE, "x"), to_s)
        assert actions == ()
        assert (paused.state, paused.pausing, paused.tolerated) == (State.TRAIN_FALL, True, 0.0)
        assert (paused.ramp_from_s, paused.ramp_from_level) == (to_s, session.level)
        paused, _ = run(paused, to_s, to_s + 0.25)
        assert (paused.state, paused.level) == (State.PAUSED, 0.0)


def test_a_pause_while_a_train_falls_or_in_a_gap_is_a_pause():
    falling = at(7.625)
    paused = send(falling, Trigger.PAUSE, 7.625)
    assert (paused.state, paused.pausing, paused.tolerated) == (State.TRAIN_FALL, True, 0.0)
    assert run(paused, 7.625, 7.75)[0].state is State.PAUSED
    gap = at(8.0)
    paused, actions = step(gap, Event(Trigger.PAUSE, "x"), 8.0)
    assert (paused.state, paused.tolerated, actions) == (State.PAUSED, 0.0, ())
    assert math.isnan(paused.next_train_s)
    rated = send(gap, Trigger.RATING, 8.0, 6.0)
    assert rated.state is State.PAUSED


def test_after_a_pause_the_next_rise_is_an_ordinary_one_and_trains_go_on():
    course = ((math.nan, 1.0),) * 9
    plan = replace(PLAN, duration_s=40.0, hold_end_s=38.0, trains=replace(TRAINS, course=course))
    session, _ = run(send(at(8.0, plan), Trigger.PAUSE, 8.0), 8.0, 10.0)
    session = send(session, Trigger.RESUME, 10.0)
    assert (session.state, session.pausing, session.trains) == (State.RAMP_UP, False, 1)
    session, levels = run(session, 10.0, 14.0)
    assert max(b - a for a, b in pairwise(levels)) == pytest.approx(TICK_S / 4.0)
    session, _ = run(session, 14.0, 16.0)
    assert (session.state, session.tolerated) == (State.TRAIN_FALL, 1.0)
    session, _ = run(session, 16.0, 16.75)
    assert (session.state, session.trains) == (State.TRAIN_RISE, 2)


def test_a_resume_needs_time_for_a_run_in_and_a_train_and_trains_that_are_left():
    paused = send(at(8.0), Trigger.PAUSE, 8.0)
    # 4 s of ramp, 2 s to be tolerated, an edge, a gap, a train: 7.75 s before hold_end_s.
    at_s = 18.0 - 7.75
    late = paused._replace(tick_s=at_s, renewed_s=at_s)
    assert send(late, Trigger.RESUME, at_s).state is State.RAMP_UP
    assert step(late, Event(Trigger.RESUME), at_s + 1e-6) == (late, ())
    given = late._replace(trains=3)
    assert step(given, Event(Trigger.RESUME), at_s) == (given, ())
    assert send(late._replace(trains=2), Trigger.RESUME, at_s).state is State.RAMP_UP


def test_a_device_that_cannot_pause_is_stopped_in_a_train_and_in_a_gap():
    plan = replace(PLAN, can_pause=False)
    for to_s in (7.25, 7.625, 8.0):
        session = send(at(to_s, plan), Trigger.PAUSE, to_s)
        assert (session.state, session.cause) == (
            State.STOPPING, "told: the device cannot pause",
        )  # fmt: skip


@pytest.mark.parametrize("to_s", [6.875, 7.25, 7.625, 8.0])
def test_a_stop_and_a_fault_in_a_train_and_in_a_gap(to_s: float):
    session = at(to_s)
    stopped, actions = step(session, Event(Trigger.STOP, "told"), to_s)
    assert (stopped.state, [a.do for a in actions]) == (State.STOPPING, [Do.SOFT_STOP])
    failed, actions = step(session, Event(Trigger.FAULT, "broken"), to_s)
    assert (failed.state, [a.do for a in actions]) == (State.FAULT, [Do.EMERGENCY_STOP])
    again = send(failed, Trigger.ACKNOWLEDGE, to_s + 1.0)
    assert (again.tolerated, again.trains) == (0.0, 0)
    assert send(session, Trigger.RATING, to_s, 7.0).state is State.STOPPING


def test_a_titrated_session_has_its_trains_at_the_accepted_level():
    plan = replace(PLAN, titration_step=0.5, transition_s=0.5, duration_s=30.0, hold_end_s=28.0)
    session, _ = run(send(started(plan, 0.0), Trigger.HIGHER, 0.0), 0.0, 1.0)
    session = send(session, Trigger.ACCEPT, 1.0)
    assert (session.state, session.held_from_s) == (State.HOLD, 1.0)
    session, _ = run(session, 1.0, 3.0)
    assert (session.state, session.tolerated) == (State.TRAIN_FALL, 0.5)
    session, levels = run(session, 3.0, 5.0)
    assert max(levels) == 0.5
    assert session.trains == 1


def test_a_run_in_that_meets_the_end_of_the_plateau_falls_by_the_ordinary_ramp():
    plan = replace(PLAN, hold_end_s=5.0)
    session = at(5.0, plan)
    assert session.state is State.RAMP_DOWN
    session, _ = run(session, 5.0, 7.5)
    assert (session.state, session.tolerated) == (State.BETWEEN_TRAINS, 0.0)
    assert run(session, 7.5, 12.0)[1] == [0.0] * round(4.5 / TICK_S)


def ask(session: Session, earliest_s: float, now_s: float) -> Session:
    return send(session, Trigger.TRAIN, now_s, earliest_s)


def test_a_train_on_request_comes_at_its_time_and_no_other():
    gap = at(6.5, ON_REQUEST)
    assert (gap.state, gap.ready_s) == (State.BETWEEN_TRAINS, 6.75)
    assert math.isnan(gap.next_train_s)
    assert run(gap, 6.5, 9.0)[0].trains == 0
    asked = ask(gap, 7.0, 6.5)
    assert (asked.next_train_s, asked.refused, asked.refusal) == (7.0, 0, "")
    session, levels = run(asked, 6.5, 8.5)
    assert (session.trains, session.state) == (1, State.BETWEEN_TRAINS)
    assert levels.index(next(x for x in levels if x)) == round(0.5 / TICK_S)
    assert ask(session, -math.inf, 8.5).next_train_s == 8.5
    assert ask(session, 8.5, 8.5).next_train_s == 8.5
    assert ask(gap, -math.inf, 6.5).next_train_s == 6.75


@pytest.mark.parametrize(
    ("earliest_s", "changes", "why"),
    [
        (6.0, {}, "the time of the train passed 2.500 s ago"),
        (8.5 - 2e-6, {}, "the time of the train passed 0.000 s ago"),
        (math.nan, {}, "the time of the train is no number"),
        (math.inf, {}, "the time of the train is no number"),
        (8.75, {"ready_s": 9.0}, "within the refractory time, by 0.250 s"),
        (8.75, {"next_train_s": 9.0}, "a train is due already"),
        (8.75, {"trains": 3}, "all 3 trains have been given"),
        (8.75, {"tolerated": 0.0}, "no amplitude has been tolerated yet"),
        (19.1, {}, "no whole train fits before the end"),
    ],
)
def test_a_request_that_cannot_be_granted_is_refused_and_counted(
    earliest_s: float, changes: dict[str, Any], why: str
):
    gap = at(8.5, ON_REQUEST)._replace(**changes)
    after, actions = step(gap, Event(Trigger.TRAIN, "x", earliest_s), 8.5)
    assert actions == ()
    assert after == gap._replace(refused=1, refusal=why)
    again = ask(after, earliest_s, 8.5)
    assert again.refused == 2


def test_a_request_at_the_edge_of_what_can_be_granted():
    gap = at(8.5, ON_REQUEST)
    assert ask(gap, 8.5 - 1e-6, 8.5).refused == 0
    assert ask(gap, 19.0, 8.5).refused == 0
    assert ask(gap, 19.0 + 1e-6, 8.5).refused == 0
    assert ask(gap._replace(ready_s=8.75), 8.75 - 1e-9, 8.5).refused == 0
    assert ask(gap._replace(ready_s=8.75), 8.75 - 3e-9, 8.5).refused == 1
    refused = ask(gap, 1.0, 8.5)
    assert ask(refused, 9.0, 8.5) == refused._replace(next_train_s=9.0, refusal="")


def test_a_schedule_takes_no_requests_and_a_sham_none_either():
    refused = ask(at(6.5), 7.0, 6.5)
    assert (refused.refused, refused.next_train_s) == (1, 6.75)
    assert refused.refusal == "trains of this protocol do not come on request"
    sham = started(replace(PLAN, silent=True, hold_end_s=0.0, trains=NO_TRAINS), 0.0)
    assert ask(sham, 1.0, 0.0).refused == 1
    assert step(sham, Event(Trigger.PAUSE), 0.0) == (sham, ())
    for state_at_s in (2.0, 5.0):
        session = at(state_at_s, ON_REQUEST)
        assert step(session, Event(Trigger.TRAIN, "x", 9.0), state_at_s) == (session, ())


def tune(session: Session, frequency_hz: float, now_s: float) -> Session:
    return send(session, Trigger.RETUNE, now_s, frequency_hz)


@pytest.mark.parametrize("to_s", [5.0, 7.25, 8.0])
def test_a_new_frequency_is_sent_in_a_hold_a_train_and_a_gap(to_s: float):
    session = at(to_s)
    after, actions = step(session, Event(Trigger.RETUNE, "peak", 10.25), to_s)
    assert [(a.do, a.value) for a in actions] == [(Do.RETUNE, 10.25)]
    assert after == session._replace(frequency_hz=10.25, retuned_s=to_s)
    assert after.state is session.state
    # The protocol's own frequency is not set again before the next train.
    assert run(after, to_s, to_s + 1.5)[0].frequency_hz == 10.25


@pytest.mark.parametrize("to_s", [2.0, 6.125, 6.875, 7.625])
def test_while_the_level_moves_the_frequency_stays(to_s: float):
    session = at(to_s)
    assert step(session, Event(Trigger.RETUNE, "x", 10.25), to_s) == (session, ())


@pytest.mark.parametrize(
    ("frequency_hz", "changes", "why"),
    [
        (8.9, {}, "8.9 Hz is outside 9 to 10.5 Hz"),
        (10.6, {}, "10.6 Hz is outside 9 to 10.5 Hz"),
        (math.nan, {}, "nan Hz is outside 9 to 10.5 Hz"),
        (9.25, {}, "a step of 0.75 Hz; at most 0.5 Hz at once"),
        (10.25, {"retuned_s": 4.5}, "less than 1 s since the last change"),
        (10.25, {"ending": True}, "the session is ending"),
        (10.25, {"plan": replace(PLAN, retune_step_hz=0.0)}, "this protocol does not allow it"),
        (
            10.25,
            {"plan": replace(PLAN, retune_playing=False)},
            "the device changes its frequency at zero current only",
        ),
    ],
)
def test_a_frequency_that_cannot_be_is_refused_and_counted(
    frequency_hz: float, changes: dict[str, Any], why: str
):
    held = at(5.0)._replace(**changes)
    after, actions = step(held, Event(Trigger.RETUNE, "x", frequency_hz), 5.0)
    assert actions == ()
    assert after == held._replace(refused=1, refusal=why)
    assert tune(after, frequency_hz, 5.0).refused == 2


def test_a_frequency_at_the_edge_of_what_can_be():
    held = at(5.0)
    for frequency_hz in (9.5, 10.5):
        assert tune(held, frequency_hz, 5.0).frequency_hz == frequency_hz
    assert tune(held._replace(frequency_hz=9.5), 9.0, 5.0).frequency_hz == 9.0
    assert tune(held, 9.5 - 5e-10, 5.0).refused == 0
    assert tune(held, 9.5 - 3e-9, 5.0).refused == 1
    assert tune(held._replace(retuned_s=4.0), 10.25, 5.0).refused == 0
    assert tune(held._replace(retuned_s=4.0 + 5e-10), 10.25, 5.0).refused == 0
    assert tune(held._replace(retuned_s=4.0 + 3e-9), 10.25, 5.0).refused == 1
    refused = tune(held, 20.0, 5.0)
    assert tune(refused, 10.25, 5.0).refusal == ""
    silent = replace(PLAN, retune_playing=False)
    assert tune(at(8.0, silent), 10.25, 8.0).frequency_hz == 10.25
    # Not sooner after the start than after a change.
    quick = replace(PLAN, ramp_up_s=0.25)
    assert tune(at(0.5, quick), 10.25, 0.5).refused == 1
    assert tune(at(1.0, quick), 10.25, 1.0).refused == 0


def test_a_session_without_trains_can_be_retuned_too():
    session = at(10.0, replace(PLAN, trains=NO_TRAINS))
    assert session.state is State.HOLD
    assert tune(session, 10.25, 10.0).frequency_hz == 10.25


def test_a_session_knows_nothing_of_trains_before_it_begins():
    fresh = Session(plan=PLAN)
    assert (fresh.tolerated, fresh.trains, fresh.train_level, fresh.refused) == (0.0, 0, 0.0, 0)
    assert fresh.refusal == ""
    times = (fresh.held_from_s, fresh.train_from_s, fresh.next_train_s, fresh.ready_s,
             fresh.frequency_hz, fresh.retuned_s)  # fmt: skip
    assert all(math.isnan(value) for value in times)
    assert (NO_TRAINS.course, NO_TRAINS.again_s, NO_TRAINS.on_request) == ((), 0.0, False)
    # Whoever reads a time of trains that are none reads no time, and no edge to make up for.
    times_s = ("on_s", "off_s", "edge_s", "tolerated_s", "span_s")
    assert {getattr(NO_TRAINS, name) for name in times_s} == {0.0}
    assert TRAINS.again_s == 2.0 + 0.25 + 0.5 + 1.0
    plain = Plan(
        duration_s=1.0, ramp_up_s=0.1, ramp_down_s=0.1, hold_end_s=0.9, silent=False, lease_s=1.0
    )
    assert (plain.trains, plain.retune_step_hz, plain.retune_playing) == (NO_TRAINS, 0.0, False)
    assert plain.retune_every_s == LIMITS["retune_interval_s"].default == 1.0
    begun = started(PLAN, 3.0)
    assert (begun.frequency_hz, begun.retuned_s) == (10.0, 3.0)


def test_what_is_due_is_due_within_a_millionth_and_that_counts_too():
    slip_s = 1e-6
    zero = dict.fromkeys(("started_s", "tick_s", "renewed_s", "asked_s", "alive_s"), 0.0)
    held = at(5.0)._replace(held_from_s=0.0, **{**zero, "tick_s": 1.5, "renewed_s": 1.5})
    assert send(held, Trigger.TICK, 2.0 - slip_s).state is State.TRAIN_FALL
    gap = at(6.5)._replace(next_train_s=0.5, **zero)
    assert send(gap, Trigger.TICK, 0.5 - slip_s).state is State.TRAIN_RISE
    on = at(7.25)._replace(train_from_s=0.0, **zero)
    assert send(on, Trigger.TICK, 0.75 - slip_s).state is State.TRAIN_FALL


def test_a_train_that_was_due_too_late_is_forgotten():
    asked = ask(at(18.0, ON_REQUEST), 19.0, 18.0)
    assert asked.next_train_s == 19.0
    late = send(asked._replace(tick_s=18.9, renewed_s=18.9), Trigger.TICK, 19.5)
    assert (late.state, late.trains) == (State.BETWEEN_TRAINS, 0)
    assert math.isnan(late.next_train_s)


SWEEP = replace(
    PLAN, duration_s=30.0, hold_end_s=28.0, retune_step_hz=0.0,
    trains=replace(TRAINS, course=((9.5, 0.5), (10.5, 1.0), (10.0, 1.0))),
)  # fmt: skip


def test_after_a_pause_in_a_sweep_the_run_in_has_the_sessions_own_frequency():
    paused, _ = run(send(at(6.5, SWEEP), Trigger.PAUSE, 6.5), 6.5, 8.0)
    assert (paused.state, paused.frequency_hz) == (State.PAUSED, 9.5)
    again, actions = step(paused, Event(Trigger.RESUME), 8.0)
    assert [(a.do, a.value) for a in actions] == [(Do.RETUNE, 10.0)]
    assert (again.state, again.frequency_hz, again.retuned_s) == (State.RAMP_UP, 10.0, 8.0)
    held, _ = run(again, 8.0, 13.0)
    assert (held.state, held.frequency_hz) == (State.HOLD, 10.0)
    gap, _ = run(held, 13.0, 14.25)
    assert (gap.state, gap.frequency_hz) == (State.BETWEEN_TRAINS, 9.5)
    # Where it has that frequency already, nothing is sent.
    early, _ = run(send(at(5.0, SWEEP), Trigger.PAUSE, 5.0), 5.0, 8.0)
    assert (early.state, step(early, Event(Trigger.RESUME), 8.0)[1]) == (State.PAUSED, ())


@pytest.mark.parametrize("plan", [PLAN, replace(PLAN, trains=NO_TRAINS)])
def test_what_was_asked_for_stays_after_a_pause(plan: Plan):
    tuned = tune(at(5.0, plan), 10.25, 5.0)
    paused, _ = run(send(tuned, Trigger.PAUSE, 5.0), 5.0, 8.0)
    again, actions = step(paused, Event(Trigger.RESUME), 8.0)
    assert (again.state, again.frequency_hz, actions) == (State.RAMP_UP, 10.25, ())


def test_a_step_of_a_sweep_is_a_share_of_the_accepted_level():
    course = ((9.5, 0.5), (10.5, 1.0))
    plan = replace(
        PLAN, titration_step=0.5, transition_s=0.5, duration_s=30.0, hold_end_s=28.0,
        trains=replace(TRAINS, course=course),
    )  # fmt: skip
    session, _ = run(send(started(plan, 0.0), Trigger.HIGHER, 0.0), 0.0, 1.0)
    session, levels = run(send(session, Trigger.ACCEPT, 1.0), 1.0, 6.5)
    gap = levels.index(0.0)
    first = max(levels[gap : gap + round(2.0 / TICK_S)])
    assert (first, max(levels[gap:])) == (0.25, 0.5)


def test_a_tick_past_the_top_of_an_edge_is_at_the_top():
    session = at(7.0 - TICK_S)
    assert session.state is State.TRAIN_RISE
    over = send(session, Trigger.TICK, 7.01)
    assert (over.state, over.level) == (State.TRAIN_ON, 1.0)
    begun = at(6.75)
    assert (begun.ramp_from_level, begun.ramp_from_s, begun.train_level) == (0.0, 6.75, 1.0)


def test_the_very_edge_of_what_can_be_asked_for_can_be():
    low = replace(PLAN, retune_from_hz=0.0)
    held = at(5.0, low)._replace(frequency_hz=0.0, retuned_s=0.0)
    assert tune(held, 0.5 + 1e-9, 5.0).refused == 0
    quick = at(5.0)._replace(**dict.fromkeys(("tick_s", "renewed_s", "retuned_s"), 0.0))
    assert tune(quick, 10.25, 1.0 - 1e-9).refused == 0
    zero = dict.fromkeys(("started_s", "tick_s", "renewed_s"), 0.0)
    gap = at(8.5, ON_REQUEST)._replace(ready_s=0.5, **zero)
    assert ask(gap, 0.5 - 1e-9, 0.25).refused == 0
    last = gap._replace(plan=replace(ON_REQUEST, duration_s=1.0), ready_s=0.0)
    assert ask(last, 1e-6, 0.0).refused == 0
    assert ask(last, 1.1e-6, 0.0).refused == 1
    now = gap._replace(ready_s=-1.0)
    assert ask(now, -1e-6, 0.0).refused == 0
    assert ask(now, -1.1e-6, 0.0).refused == 1
