"""The rules of the kernel: one predicate and one sentence each, checked after every step.

They are the invariants of a stimulator's controller as far as these are the kernel's own business.
Those of the electrodes (balance, no direct current), of the limits, of the record and of blinding
belong to the guard, the journal and the ledger, and are tested there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from tacs.kernel_witness import SLACK_S, STOPS, Witness
from tacs.session import Action, Do, Event, Session
from tacs.transitions import (
    DERIVED,
    ENERGISED,
    IN_TRAIN,
    TERMINAL,
    TRANSITIONS,
    WITH_CURRENT,
    State,
    Trigger,
)

__all__ = ["RULES", "Move", "Rule", "broken_rules", "transition"]

S, T = State, Trigger
ROUNDING = 1e-9
WAITING_ASKS_S = 0.1
ROUNDING_DOSE = 1e-5
GAP_SLIP_S = 0.05
SENDS_CURRENT = frozenset({Do.SET_LEVEL, Do.EXTEND_LEASE, Do.RETUNE})
AFTER_STOP = frozenset({Do.SOFT_STOP, Do.EMERGENCY_STOP, Do.READ_STATUS})
NOTHING: frozenset[Do] = frozenset()
OBEYED = {**dict.fromkeys(IN_TRAIN, S.TRAIN_FALL), S.BETWEEN_TRAINS: S.PAUSED}
ANY_STATE = frozenset(
    {T.TICK, T.ALIVE, T.PLAYING, T.SILENT, T.RATING, T.STOP, T.SOFT_FAULT, T.FAULT}
)

# What time, the plan or a monitor may make of an event that came from outside.
DERIVED_FROM = {
    T.START: (T.START_LOW, T.START_SILENT),
    T.RESUME: (T.RESUME_LOW,),
    T.SILENT: (T.LATCH, T.ENDED),
    T.PAUSE: (T.STOP,),
    T.RATING: (T.PAUSE, T.STOP),
    T.TICK: (
        *(T.TOP, T.HOLD_OVER, T.ZERO_PAUSED, T.ZERO_QUIET),
        *(T.NEXT_TRAIN, T.TRAIN_OVER, T.STOP),
    ),
}


class Move:
    """One step: what stood before, what happened, what stands now and was sent.

    Parameters
    ----------
    before, after : Session
        Of the kernel.
    event : Event
        What happened.
    actions : sequence of Action
        What the kernel wants done.
    now_s : float
        The time it was told.
    witness : Witness
        Who has heard the event and passed on the actions.
    """

    __slots__ = ("actions", "after", "before", "did", "event", "levels", "now_s", "witness")

    def __init__(
        self,
        before: Session,
        event: Event,
        after: Session,
        actions: Sequence[Action],
        now_s: float,
        witness: Witness,
    ) -> None:
        self.before, self.event, self.after = before, event, after
        self.actions, self.now_s, self.witness = actions, now_s, witness
        self.did: Set[Do] = {action.do for action in actions} if actions else NOTHING
        self.levels = [action.value for action in actions if action.do is Do.SET_LEVEL]

    @property
    def stops(self) -> bool:
        """Whether a stop was sent."""
        return not self.did.isdisjoint(STOPS)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule.

    Parameters
    ----------
    name, sentence : str
        For the list, and for a person.
    holds : callable
        Given a :class:`Move`.
    on : frozenset of Trigger
        The events after which it is looked at.
    acting : bool
        Whether it can only break where something is to be done.
    """

    name: str
    sentence: str
    holds: Callable[[Move], bool]
    on: frozenset[Trigger]
    acting: bool


RULES: dict[str, Rule] = {}


def _rule(
    name: str, *, on: set[Trigger] | None = None, acting: bool = False
) -> Callable[[Callable[[Move], bool]], Callable[[Move], bool]]:
    def keep(holds: Callable[[Move], bool]) -> Callable[[Move], bool]:
        sentence = (holds.__doc__ or "").strip()
        events = frozenset(Trigger) if on is None else frozenset(on)
        RULES[name] = Rule(name, sentence, holds, events, acting)
        return holds

    return keep


@_rule("level within the protocol", acting=True)
def _level_within_the_protocol(m: Move) -> bool:
    """A commanded level is a number from 0 to 1."""
    return all(0.0 <= level <= 1.0 for level in m.levels)


@_rule("ceiling", acting=True)
def _ceiling(m: Move) -> bool:
    """No level exceeds the one that was accepted, until the session is over."""
    return all(level <= m.witness.ceiling + ROUNDING for level in m.levels)


@_rule("rise no faster than the ramp", acting=True)
def _rise_no_faster(m: Move) -> bool:
    """A level rises no faster than its ramp, and a late tick makes no step that makes up for it."""
    # Up to what was tolerated a train has rules of its own, below.
    w, plan = m.witness, m.witness.plan
    rate = plan.titration_step / plan.transition_s if w.titrating else 1.0 / plan.ramp_up_s
    span_s = min(m.now_s - w.looked_before_s, plan.rise_span_s)
    most = max(w.level_before + rate * span_s, w.tolerated) + ROUNDING
    return all(level <= most for level in m.levels)


@_rule("no train above what was tolerated", acting=True)
def _no_train_above_what_was_tolerated(m: Move) -> bool:
    """After a gap no level passes one that was held, on an ordinary ramp, since the last pause."""
    w = m.witness
    if math.isnan(w.train_since_s):
        return True
    return all(level <= max(w.tolerated, w.level_before) + ROUNDING for level in m.levels)


@_rule("a train rises no faster than its edge", acting=True)
def _a_train_rises_no_faster_than_its_edge(m: Move) -> bool:
    """A train's level rises by its edge at most, and a late tick makes up for a tenth of one."""
    w, plan = m.witness, m.witness.plan
    if math.isnan(w.train_since_s):
        # Outside of a train there is the ordinary ramp only, whatever was tolerated.
        rate, span_s = 1.0 / plan.ramp_up_s, plan.rise_span_s
        if w.titrating:
            rate = plan.titration_step / plan.transition_s
    else:
        rate, span_s = 1.0 / plan.trains.edge_s, min(plan.trains.span_s, plan.rise_span_s)
    most = w.level_before + rate * min(m.now_s - w.looked_before_s, span_s) + ROUNDING
    return all(level <= most for level in m.levels)


@_rule("no current between trains")
def _no_current_between_trains(m: Move) -> bool:
    """Between two trains the device's level is zero, and it stays with its session."""
    w = m.witness
    if m.after.state is not S.BETWEEN_TRAINS or w.ended or w.lost:
        return True
    return w.device.level == 0.0 and w.device.playing


@_rule("a train keeps its gap", acting=True)
def _a_train_keeps_its_gap(m: Move) -> bool:
    """A train begins no sooner after the last current than its gap, but for one late tick."""
    w = m.witness
    if w.train_since_s != m.now_s or w.level_before > 0.0 or not any(m.levels):
        return True
    slip_s = min(w.zero_late_s, GAP_SLIP_S) + SLACK_S
    return m.now_s - w.zero_since_s >= w.plan.trains.off_s - slip_s


@_rule("a train ends when it is due", on={T.TICK})
def _a_train_ends_when_it_is_due(m: Move) -> bool:
    """No train has current for longer than its time."""
    w = m.witness
    if math.isnan(w.train_since_s) or w.ended or w.lost:
        return True
    over = m.now_s - w.train_since_s > w.plan.trains.on_s + SLACK_S
    return not over or w.device.level == 0.0


@_rule("no more trains than planned", acting=True)
def _no_more_trains_than_planned(m: Move) -> bool:
    """A session has no more trains than its plan."""
    return m.witness.trains <= len(m.witness.plan.trains.course)


@_rule("a train on request comes when asked for", acting=True)
def _a_train_on_request_comes_when_asked_for(m: Move) -> bool:
    """Where trains come on request, none begins unasked, or before its time."""
    w = m.witness
    begins = w.train_since_s == m.now_s and w.level_before == 0.0 and any(m.levels)
    return not begins or not w.plan.trains.on_request or w.asked_in_time


@_rule("a frequency within the plan", acting=True)
def _a_frequency_within_the_plan(m: Move) -> bool:
    """A frequency is that of a train or of a new run-in, at zero, or within what may be asked."""
    w, plan = m.witness, m.witness.plan
    for action in m.actions:
        if action.do is not Do.RETUNE:
            continue
        if m.event.trigger is T.RETUNE:
            if not plan.retune_from_hz <= action.value <= plan.retune_to_hz:
                return False
        elif w.device.level > 0.0:
            return False
        elif m.event.trigger is T.RESUME:
            if action.value != plan.frequency_hz:
                return False
        elif all(action.value != hz for hz, _ in plan.trains.course):
            return False
    return True


@_rule("a run-in has the session's own frequency", acting=True)
def _a_run_in_has_the_sessions_own_frequency(m: Move) -> bool:
    """Outside of a train current has the session's own frequency, where no other is asked for."""
    w, plan = m.witness, m.witness.plan
    if plan.retune_step_hz > 0.0 or not math.isnan(w.train_since_s) or not any(m.levels):
        return True
    return w.frequency_hz == plan.frequency_hz


@_rule("a frequency moves in steps", acting=True, on={T.RETUNE})
def _a_frequency_moves_in_steps(m: Move) -> bool:
    """On request it moves by one step at most, not too often, and only as the device can."""
    w, plan = m.witness, m.witness.plan
    if Do.RETUNE not in m.did:
        return True
    moved_hz = abs(w.frequency_hz - w.frequency_before_hz)
    since_s = m.now_s - w.retuned_before_s
    slow = moved_hz <= plan.retune_step_hz + SLACK_S and since_s >= plan.retune_every_s - SLACK_S
    return slow and (plan.retune_playing or w.device.level == 0.0)


@_rule("titration on request", acting=True)
def _titration_on_request(m: Move) -> bool:
    """Before a level is accepted, each request raises it by one step at most."""
    w = m.witness
    return not w.titrating or all(level <= w.requested + ROUNDING for level in m.levels)


@_rule("current only in a state with current")
def _current_only_in_a_state_with_current(m: Move) -> bool:
    """Current flows in a state with current, in the stop ramp, or where the link was lost."""
    device = m.witness.device
    if device.level == 0.0 or m.after.state in WITH_CURRENT:
        return True
    return device.fading or m.witness.lost


@_rule("no level in a state without")
def _no_level_in_a_state_without(m: Move) -> bool:
    """The kernel's own level is zero in every state without current."""
    return m.after.level == 0.0 or m.after.state in WITH_CURRENT


@_rule("live lease", acting=True)
def _live_lease(m: Move) -> bool:
    """Nothing but a stop or a question is sent to a device whose lease ran out."""
    return m.did.isdisjoint(SENDS_CURRENT) or m.witness.was_live


@_rule("lease renewed when due", on={T.TICK})
def _lease_renewed_when_due(m: Move) -> bool:
    """While a session runs, its lease is renewed when that is due."""
    w = m.witness
    return not w.under_way or w.ended or m.now_s - w.renewed_s < w.plan.renew_s + SLACK_S


@_rule("device asked when due", on={T.TICK})
def _device_asked_when_due(m: Move) -> bool:
    """While current may flow, the device is asked for its state when that is due."""
    w = m.witness
    if not w.under_way or m.after.state not in ENERGISED or w.ended is not w.ended_before:
        return True
    every_s = WAITING_ASKS_S if w.ended else w.plan.status_s
    return not m.now_s - w.asked_s >= every_s + SLACK_S


@_rule("start only when armed", acting=True)
def _start_only_when_armed(m: Move) -> bool:
    """A start follows connecting, checking and arming, in this order, and the word start."""
    return Do.START not in m.did or (m.witness.prepared == 3 and m.event.trigger is T.START)


@_rule("after a stop nothing but stops", acting=True)
def _after_a_stop_nothing_but_stops(m: Move) -> bool:
    """Once a stop was asked for or sent, only stops and questions are sent."""
    return not m.witness.ended or m.did <= AFTER_STOP or (m.stops and not m.witness.ended_before)


@_rule("a stop when one is due")
def _a_stop_when_one_is_due(m: Move) -> bool:
    """Whatever asks for a stop (words, a rating, silence, dose, lease, clock) gets it at once."""
    return not m.witness.due or (m.stops and m.did <= AFTER_STOP)


@_rule("no stop without a reason", acting=True)
def _no_stop_without_a_reason(m: Move) -> bool:
    """A session that is under way is not stopped without a reason."""
    w = m.witness
    if not m.stops or not w.under_way or w.ended_before or w.due:
        return True
    # The last level of a ramp down may be lost on its way, and the end is due all the same.
    planned = m.event.trigger is T.TICK and (w.device.level == 0.0 or w.lost)
    if planned and m.now_s - w.started_s >= w.plan.duration_s - SLACK_S:
        return True
    return bool(w.why_stop(m.event, m.now_s, -SLACK_S))


@_rule("stop obeyed in every state", on={T.STOP})
def _stop_obeyed_in_every_state(m: Move) -> bool:
    """A stop leaves every state for one that is over or stopping."""
    return m.after.state in TERMINAL or m.after.state is S.STOPPING


@_rule("fault at once", on={T.FAULT})
def _fault_at_once(m: Move) -> bool:
    """A fault is an emergency stop and the state of that name, whatever stood before."""
    return m.after.state is S.FAULT and Do.EMERGENCY_STOP in m.did


@_rule("soft fault ends in a fault")
def _soft_fault_ends_in_a_fault(m: Move) -> bool:
    """After a soft fault there is no end but a fault."""
    if not m.witness.latching or m.event.trigger is T.ACKNOWLEDGE:
        return True
    return m.after.state is S.FAULT or m.after.state is S.STOPPING


@_rule("a fault latches")
def _a_fault_latches(m: Move) -> bool:
    """A fault is left by an acknowledgement only, and for the very beginning."""
    if m.before.state is not S.FAULT:
        return True
    return m.after.state is (S.IDLE if m.event.trigger is T.ACKNOWLEDGE else S.FAULT)


@_rule("an overdue stop is a fault", on={T.TICK})
def _an_overdue_stop_is_a_fault(m: Move) -> bool:
    """An end that the device does not confirm in time is a fault."""
    w = m.witness
    if not w.ended_before or m.before.state not in ENERGISED:
        return True
    waited_s = m.now_s - w.stop_sent_before_s
    most_s = w.plan.soft_stop_s + w.plan.stop_grace_s
    if waited_s > most_s + SLACK_S:
        return m.after.state is S.FAULT
    early = 0.0 <= waited_s <= most_s - SLACK_S and m.now_s >= w.looked_before_s
    return not early or m.after.state is m.before.state


@_rule("a pause falls", acting=True)
def _a_pause_falls(m: Move) -> bool:
    """From a pause, or a rating that asks for one, until the word resume nothing rises."""
    w = m.witness
    return not w.pausing or all(level <= w.level_before + ROUNDING for level in m.levels)


@_rule("a pause is obeyed", on={T.PAUSE, T.RATING})
def _a_pause_is_obeyed(m: Move) -> bool:
    """A pause, or a rating that asks for one, begins the ramp down, or what comes after it."""
    w, before = m.witness, m.before.state
    if not w.pausing or w.ended or not w.can_be_paused(before):
        return True
    return m.after.state is OBEYED.get(before, S.RAMP_DOWN)


@_rule("the end does not move", on={T.TICK})
def _the_end_does_not_move(m: Move) -> bool:
    """A late tick aside, no current flows after the planned end, whatever was paused."""
    w = m.witness
    over_s = m.now_s - w.started_s - w.plan.duration_s - w.plan.lease_s
    return not over_s > 0.0 or (w.ended and (w.device.level == 0.0 or w.device.fading or w.lost))


@_rule("the dose only grows")
def _the_dose_only_grows(m: Move) -> bool:
    """Neither counter of the dose ever falls."""
    grows = m.after.current_on_s >= m.before.current_on_s
    return grows and m.after.level_seconds >= m.before.level_seconds


@_rule("the dose is the device's", on={T.TICK})
def _the_dose_is_the_devices(m: Move) -> bool:
    """While a session runs, both counters are what the modelled device has given."""
    w = m.witness
    if not w.under_way or w.ended:
        return True
    on_s, level_seconds = w.dose()
    return (
        abs(m.after.current_on_s - on_s) <= ROUNDING_DOSE
        and abs(m.after.level_seconds - level_seconds) <= ROUNDING_DOSE
    )


@_rule("the dose is never too low")
def _the_dose_is_never_too_low(m: Move) -> bool:
    """Once over, the counters are no lower than what the device gives until it is silent."""
    if m.after is m.before or m.after.state not in TERMINAL:
        return True
    on_s, level_seconds = m.witness.device.in_the_end()
    kernel = m.after
    return (
        kernel.current_on_s >= on_s - ROUNDING_DOSE
        and kernel.level_seconds >= level_seconds - ROUNDING_DOSE
    )


@_rule("the dose is not far too high")
def _the_dose_is_not_far_too_high(m: Move) -> bool:
    """Nor higher by more than two leases and a stop ramp for each end."""
    if m.after is m.before or m.after.state not in TERMINAL:
        return True
    w = m.witness
    on_s, level_seconds = w.device.in_the_end()
    most_s = (2.0 * w.plan.lease_s + w.plan.soft_stop_s) * w.ends + ROUNDING_DOSE
    return m.after.current_on_s <= on_s + most_s and m.after.level_seconds <= level_seconds + most_s


@_rule("a passive sham stays silent", acting=True)
def _a_passive_sham_stays_silent(m: Move) -> bool:
    """A passive sham never leaves zero."""
    return not m.witness.plan.silent or not any(m.levels)


@_rule("what time derives is not sent", on=set(DERIVED))
def _what_time_derives_is_not_sent(m: Move) -> bool:
    """An event that only time or the plan may derive does nothing when sent from outside."""
    return (m.after is m.before and not m.actions) or _time_was_up(m)


@_rule("the table and nothing else", on=set(T) - DERIVED - ANY_STATE)
def _the_table_and_nothing_else(m: Move) -> bool:
    """An event that the table does not know in a state changes nothing."""
    if m.event.trigger in TRANSITIONS[m.before.state]:
        return True
    return (m.after is m.before and not m.actions) or _time_was_up(m)


def _time_was_up(m: Move) -> bool:
    """Whether it is the time of the event, and not its word, that made it a fault."""
    w = m.witness
    if m.after.state is not S.FAULT or m.before.state not in ENERGISED:
        return False
    return w.ended_before or bool(w.due or w.why_stop(m.event, m.now_s, -SLACK_S))


def _looked_at(*, acting: bool) -> dict[Trigger, tuple[tuple[str, Callable[[Move], bool]], ...]]:
    return {
        trigger: tuple(
            (name, rule.holds)
            for name, rule in RULES.items()
            if trigger in rule.on and (acting or not rule.acting)
        )
        for trigger in Trigger
    }


ALL_RULES, RULES_AT_REST = _looked_at(acting=True), _looked_at(acting=False)


def broken_rules(move: Move) -> list[str]:
    """Return the names of the rules that a step broke."""
    rules = ALL_RULES if move.actions else RULES_AT_REST
    return [name for name, holds in rules[move.event.trigger] if not holds(move)]


def transition(before: State, trigger: Trigger, after: State) -> Trigger | None:
    """Return the trigger of the table that a step took, or None where it took none.

    Parameters
    ----------
    before, after : State
        Of the step.
    trigger : Trigger
        What came from outside; a tick may have derived another from time, and whatever comes at a
        wrong time is a fault.
    """
    row = TRANSITIONS[before]
    for candidate in (trigger, *DERIVED_FROM.get(trigger, ()), Trigger.FAULT):
        if row.get(candidate) is after:
            return candidate
    return None
