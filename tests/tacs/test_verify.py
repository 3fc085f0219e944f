"""The campaign and the walk find nothing in the kernel and everything planted, and reach it all."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tacs import session as kernel
from tacs import verify, walk
from tacs.kernel_rules import RULES, Move, broken_rules, transition
from tacs.kernel_witness import Device, Witness
from tacs.session import Action, Do, Event, Plan, Session, Trains
from tacs.transitions import TRANSITIONS, State, Trigger
from tacs.verify import verify_kernel
from tacs.walk import walk_kernel
from tests.tacs.planted import BUGS, Bug, planted

FOUND_WITHIN = 2000
REACHED_WITHIN = 3000
PLAN = Plan(
    duration_s=10.0,
    ramp_up_s=2.0,
    ramp_down_s=1.0,
    hold_end_s=9.0,
    silent=False,
    lease_s=1.0,
    frequency_hz=10.0,
    rise_span_s=1.0,
)


def test_the_kernel_breaks_no_rule_and_every_transition_is_reached():
    found = verify_kernel(REACHED_WITHIN, 1)
    assert (found.violations, found.first) == (0, None)
    assert found.missed == ()
    assert len(found.reached) == found.transitions_total == 94
    assert set(found.states) == {state.value for state in State}
    assert sum(found.states.values()) == found.steps == REACHED_WITHIN * 50


def test_the_result_is_the_same_with_any_number_of_workers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(verify, "CHUNK", 40)
    told: list[int] = []
    alone = verify_kernel(100, 5)
    many = verify_kernel(100, 5, workers=2, progress=told.append)
    assert many == alone
    assert told == [40, 80, 100]
    assert verify_kernel(100, 6) != alone


def test_the_json_of_a_campaign():
    told = verify_kernel(20, 3).to_dict()
    assert (told["sequences"], told["steps"], told["violations"]) == (20, 1000, 0)
    assert set(told["by_rule"]) == {*RULES, "no step fails"}
    assert told["transitions_total"] == 94
    assert told["transitions_reached"] + len(told["transitions_missed"]) == 94
    assert told["first"] is None


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_every_planted_bug_is_found(bug: Bug):
    with planted(bug):
        found = verify_kernel(FOUND_WITHIN, 1, until_broken=True)
    assert found.violations, f"{bug.name}: not found within {FOUND_WITHIN} sequences"
    assert found.first_number == found.sequences - 1
    assert found.first is not None
    assert found.first.startswith(f"sequence {found.first_number}: ")


def test_a_planted_bug_is_taken_out_again():
    before = kernel.__dict__.copy()
    with planted(BUGS[0]):
        assert kernel._stop is not before["_stop"]
    assert kernel._stop is before["_stop"]
    with pytest.raises(LookupError, match="no single 'nothing of the kind'"):
        with planted(Bug("x", "_stop", "nothing of the kind", "")):
            pass


def move(
    *,
    state: State = State.HOLD,
    after: State | None = None,
    trigger: Trigger = Trigger.TICK,
    actions: tuple[Action, ...] = (),
    now_s: float = 2.25,
    plan: Plan = PLAN,
    level: float = 0.5,
    started: bool = True,
    **after_fields: Any,
) -> Move:
    """One step of a session that has been under way for two seconds, as a rule sees it."""
    witness = Witness(plan)
    if started:
        witness.prepared = 3
        start = Session(plan=plan, state=State.ARMED)
        begun = start._replace(state=State.RAMP_UP)
        witness.hear(start, Event(Trigger.START), 1.5)
        witness.send(start, Event(Trigger.START), begun, (Action(Do.START, 1.0),), 1.5)
        witness.hear(begun, Event(Trigger.TICK), 2.0)
        witness.send(begun, Event(Trigger.TICK), begun, (Action(Do.SET_LEVEL, level),), 2.0)
        witness.renewed_s = witness.asked_s = 2.0
    before = Session(plan=plan, state=state, level=level)
    now = before._replace(state=after or state, **after_fields)
    event = Event(trigger, "made")
    witness.hear(before, event, now_s)
    witness.send(before, event, now, actions, now_s)
    return Move(before, event, now, actions, now_s, witness)


STOPPING: dict[str, Any] = {"after": State.STOPPING, "actions": (Action(Do.SOFT_STOP),)}
BREAKS: dict[str, Callable[[], Move]] = {
    "level within the protocol": lambda: move(actions=(Action(Do.SET_LEVEL, math.nan),)),
    "ceiling": lambda: accepted_and_rising(),
    "rise no faster than the ramp": lambda: move(actions=(Action(Do.SET_LEVEL, 0.7),)),
    "titration on request": lambda: move(
        plan=replace(PLAN, titration_step=0.1), actions=(Action(Do.SET_LEVEL, 0.51),)
    ),
    "current only in a state with current": lambda: move(after=State.PAUSED),
    "no level in a state without": lambda: move(after=State.PAUSED),
    "live lease": lambda: move(now_s=3.1, actions=(Action(Do.EXTEND_LEASE, 1.6),)),
    "lease renewed when due": lambda: move(now_s=2.26),
    "device asked when due": lambda: move(now_s=2.51),
    "start only when armed": lambda: move(actions=(Action(Do.START, 1.0),)),
    "after a stop nothing but stops": lambda: and_then(
        move(trigger=Trigger.STOP, **STOPPING), Trigger.TICK, Action(Do.SET_LEVEL, 0.1)
    ),
    "a stop when one is due": lambda: move(trigger=Trigger.SILENT),
    "no stop without a reason": lambda: move(**STOPPING),
    "stop obeyed in every state": lambda: move(trigger=Trigger.STOP),
    "fault at once": lambda: move(trigger=Trigger.FAULT, after=State.STOPPING),
    "soft fault ends in a fault": lambda: move(trigger=Trigger.SOFT_FAULT, after=State.STOPPED),
    "a fault latches": lambda: move(state=State.FAULT, after=State.IDLE),
    "an overdue stop is a fault": lambda: and_then(
        move(trigger=Trigger.STOP, **STOPPING), Trigger.TICK, at_s=4.5
    ),
    "a pause falls": lambda: and_then(
        move(trigger=Trigger.PAUSE, after=State.RAMP_DOWN),
        Trigger.TICK,
        Action(Do.SET_LEVEL, 0.51),
    ),
    "a pause is obeyed": lambda: move(trigger=Trigger.PAUSE),
    "no train above what was tolerated": lambda: in_train(0.02, tolerated=0.01),
    "a train rises no faster than its edge": lambda: in_train(0.26),
    "no current between trains": lambda: move(plan=TRAINED, after=State.BETWEEN_TRAINS),
    "a train keeps its gap": lambda: in_train(0.1, zero_since_s=2.1),
    "a train ends when it is due": lambda: and_then(
        in_train(0.1, on_s=0.2), Trigger.TICK, at_s=2.5
    ),
    "no more trains than planned": lambda: in_train(0.1, trains=1),
    "a train on request comes when asked for": lambda: in_train(
        0.1, plan=replace(TRAINED, trains=replace(TRAINED.trains, on_request=True))
    ),
    "a frequency within the plan": lambda: move(actions=(Action(Do.RETUNE, 12.0),)),
    "a run-in has the session's own frequency": lambda: and_then(
        move(actions=(Action(Do.RETUNE, 12.0),)), Trigger.TICK, Action(Do.SET_LEVEL, 0.6)
    ),
    "a frequency moves in steps": lambda: move(
        trigger=Trigger.RETUNE, actions=(Action(Do.RETUNE, 12.0),)
    ),
    "the end does not move": lambda: past_the_end(),
    "the dose only grows": lambda: move(current_on_s=-0.1),
    "the dose is the device's": lambda: move(current_on_s=0.3),
    "the dose is never too low": lambda: move(
        trigger=Trigger.FAULT, after=State.FAULT, actions=(Action(Do.EMERGENCY_STOP),)
    ),
    "the dose is not far too high": lambda: move(after=State.DONE, current_on_s=99.0),
    "a passive sham stays silent": lambda: move(
        plan=replace(PLAN, silent=True), actions=(Action(Do.SET_LEVEL, 0.1),)
    ),
    "what time derives is not sent": lambda: move(trigger=Trigger.HOLD_OVER, after=State.RAMP_DOWN),
    "the table and nothing else": lambda: move(trigger=Trigger.ARM, after=State.ARMED),
}


def and_then(first: Move, trigger: Trigger, *actions: Action, at_s: float = 2.5) -> Move:
    """The step after a step, in which nothing changes but what is sent."""
    before, event, witness = first.after, Event(trigger), first.witness
    witness.hear(before, event, at_s)
    witness.send(before, event, before, actions, at_s)
    return Move(before, event, before, actions, at_s, witness)


TRAINED = replace(
    PLAN,
    trains=Trains(
        on_s=2.0,
        off_s=0.5,
        edge_s=1.0,
        tolerated_s=0.5,
        course=((math.nan, 1.0),),
        span_s=0.25,
    ),
)


def in_train(level: float, *, plan: Plan = TRAINED, **remembered: Any) -> Move:
    """A tick that begins a train, after a gap, at an amplitude that was tolerated."""
    on_s = remembered.pop("on_s", plan.trains.on_s)
    plan = replace(plan, trains=replace(plan.trains, on_s=on_s))
    made = move(plan=plan, state=State.BETWEEN_TRAINS, level=0.0)
    witness = made.witness
    witness.anew, witness.tolerated, witness.zero_since_s = False, 1.0, 1.0
    for name, value in remembered.items():
        setattr(witness, name, value)
    before, event = made.after, Event(Trigger.TICK)
    actions = (Action(Do.SET_LEVEL, level),)
    witness.hear(before, event, 2.25)
    witness.looked_before_s = 2.0
    after = before._replace(state=State.TRAIN_RISE, level=level)
    witness.send(before, event, after, actions, 2.25)
    return Move(before, event, after, actions, 2.25, witness)


def test_a_train_that_keeps_to_its_plan_breaks_no_rule():
    assert broken_rules(in_train(0.25)) == []


def past_the_end() -> Move:
    late = move()
    late.witness.started_s -= PLAN.duration_s + PLAN.lease_s
    return late


def accepted_and_rising() -> Move:
    plan = replace(PLAN, titration_step=0.1)
    accepted = move(plan=plan, state=State.TITRATING, trigger=Trigger.ACCEPT, after=State.HOLD)
    return and_then(accepted, Trigger.TICK, Action(Do.SET_LEVEL, 0.51))


@pytest.mark.parametrize("name", list(RULES))
def test_every_rule_has_a_sentence_and_can_break(name: str):
    assert RULES[name].sentence.endswith(".")
    assert name in broken_rules(BREAKS[name]())


def test_a_step_without_fault_breaks_no_rule():
    fine = (Action(Do.SET_LEVEL, 0.6), Action(Do.EXTEND_LEASE, 0.75))
    dose: dict[str, Any] = {"current_on_s": 0.25, "level_seconds": 0.125}
    assert broken_rules(move(actions=fine, **dose)) == []


def test_the_end_is_due_although_the_last_level_before_it_was_lost():
    end = (Action(Do.SET_LEVEL, 0.0), Action(Do.SOFT_STOP))
    late = move(state=State.RAMP_DOWN)
    for lost in (False, True):
        witness = copy.deepcopy(late.witness)
        witness.started_s -= PLAN.duration_s
        before, event = late.after, Event(Trigger.TICK)
        witness.hear(before, event, 2.4)
        witness.send(before, event, before, end, 2.4, 0)
        witness.lost = lost
        told = broken_rules(Move(before, event, before, end, 2.4, witness))
        assert ("no stop without a reason" in told) is not lost


@pytest.mark.parametrize(
    ("state", "trigger", "after", "expected"),
    [
        (State.IDLE, Trigger.CONNECTED, State.CONNECTED, Trigger.CONNECTED),
        (State.ARMED, Trigger.START, State.TITRATING, Trigger.START_LOW),
        (State.RAMP_UP, Trigger.TICK, State.RAMP_DOWN, Trigger.HOLD_OVER),
        (State.RAMP_UP, Trigger.RATING, State.RAMP_DOWN, Trigger.PAUSE),
        (State.HOLD, Trigger.TICK, State.STOPPING, Trigger.STOP),
        (State.HOLD, Trigger.ALIVE, State.FAULT, Trigger.FAULT),
        (State.STOPPING, Trigger.SILENT, State.FAULT, Trigger.LATCH),
        (State.HOLD, Trigger.TICK, State.HOLD, None),
        (State.HOLD, Trigger.TICK, State.IDLE, None),
    ],
)
def test_which_transition_a_step_took(
    state: State, trigger: Trigger, after: State, expected: Trigger | None
):
    assert transition(state, trigger, after) is expected


def playing(level: float = 0.5) -> Device:
    device = Device(soft_stop_s=0.8)
    device.pass_to(1.0)
    device.obey(Action(Do.START, 1.0), 1.0)
    device.obey(Action(Do.SET_LEVEL, level), 1.0)
    return device


def test_the_modelled_device_ends_by_itself_when_its_lease_has_run_out():
    device = playing()
    assert device.in_the_end() == pytest.approx((1.8, 0.5 * 1.4))
    device.pass_to(2.0)
    assert (device.live, device.current) == (True, 0.5)
    device.pass_to(2.4)
    assert not device.live
    assert device.current == pytest.approx(0.25)
    assert device.in_the_end() == pytest.approx((1.8, 0.5 * 1.4))
    device.obey(Action(Do.SET_LEVEL, 1.0), 1.0)
    device.obey(Action(Do.EXTEND_LEASE, 1.0), 1.0)
    assert device.current == pytest.approx(0.25)
    device.pass_to(5.0)
    assert (device.playing, device.current) == (False, 0.0)
    assert (device.on_s, device.level_seconds) == pytest.approx((1.8, 0.5 * 1.4))


def test_the_modelled_device_renews_and_stops():
    device = playing()
    device.pass_to(1.9)
    device.obey(Action(Do.EXTEND_LEASE, 0.9), 1.0)
    device.pass_to(2.8)
    assert device.current == 0.5
    device.obey(Action(Do.SOFT_STOP), 1.0)
    device.pass_to(3.2)
    assert device.current == pytest.approx(0.25)
    device.obey(Action(Do.EMERGENCY_STOP), 1.0)
    device.pass_to(3.25)
    assert device.current == pytest.approx(0.125)
    device.obey(Action(Do.EMERGENCY_STOP), 1.0)
    device.pass_to(3.3 + 1e-9)
    assert device.current == 0.0
    assert device.level_seconds == pytest.approx(0.5 * 1.8 + 0.375 * 0.4 + 0.125 * 0.1)


def test_the_walk_reaches_everything_and_everything_leads_to_an_end():
    found = walk_kernel()
    assert found.states == tuple(state.value for state in State)
    assert len(found.reached) == sum(len(row) for row in TRANSITIONS.values()) == 94
    assert found.deadlocks == found.failures == ()
    assert found.stop_steps_most == 2
    assert found.unanswered_s_most <= 0.8 + 1.0 + walk.TICK_S
    assert found.end_s_most <= max(plan.duration_s for plan in walk.PLANS) + walk.TICK_S
    assert found.configurations > 150
    told = found.to_dict()
    assert (told["states_total"], told["transitions_total"]) == (17, 94)
    assert told["deadlocks"] == []


def test_a_kernel_that_cannot_take_a_step_is_found(monkeypatch: pytest.MonkeyPatch):
    row = {**TRANSITIONS[State.HOLD]}
    del row[Trigger.PAUSE]
    table = {**TRANSITIONS, State.RAMP_UP: {**TRANSITIONS[State.RAMP_UP]}, State.HOLD: row}
    del table[State.RAMP_UP][Trigger.TOP]  # type: ignore[attr-defined]
    monkeypatch.setattr(kernel, "TRANSITIONS", table)
    found = verify_kernel(200, 1)
    assert found.by_rule["no step fails"] > 0
    assert found.first is not None
    assert "no step fails (KeyError: <Trigger.TOP: 'top'>)" in found.first
    assert walk_kernel().failures == ("ramp_up: tick: KeyError: <Trigger.TOP: 'top'>",)


def test_the_walk_finds_a_dead_end(monkeypatch: pytest.MonkeyPatch):
    right = kernel.step

    def stuck(session: Session, event: Event, now_s: float) -> kernel.Step:
        if session.state is State.PAUSED:
            return session, ()
        return right(session, event, now_s)

    monkeypatch.setattr(kernel, "step", stuck)
    found = walk_kernel()
    assert found.deadlocks
    assert all("PAUSED" in told for told in found.deadlocks)
    assert found.stop_steps_most > 2
    assert found.end_s_most == found.unanswered_s_most == math.inf
