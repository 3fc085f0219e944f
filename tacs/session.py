"""The session's state machine: a table, and a pure ``step(session, event, now_s)``.

No clock, no input or output, no NumPy. Time comes in as a number, what to do goes out as actions;
the guardian carries them out. Three rules stand above the table: a stop is legal in every state and
handled before everything else; a fault latches until a person acknowledges it; an event that comes
later than the lease is a fault, because the device has by then ended the current on its own, and so
is one that comes before the last tick, because a clock that goes back cannot hold a lease.

Time runs on while a session is paused: the programme's end does not move, so that no sequence of
pauses can lengthen the time with current. A tick that is late while the current rises delays the
rise: what was missed is not made up for in one step. Where the operator titrates, the level rises
in steps on request only, and the level that was accepted is the session's ceiling from then on.

Trains rise by their steep edge only up to a level that was held long enough after an ordinary ramp
in this session; a pause takes that back, and the next rise is an ordinary one. Between trains the
level is zero, and the lease runs. Requests for a train or for another frequency are granted or
refused here, and those refused are counted.

The dose is counted as commanded, and never too low: a stop adds its ramp, a fault what the device
plays on until its lease has run out. It outlives an acknowledgement.
"""

from __future__ import annotations

import math

from tacs.session_plan import NO_TRAINS, Action, Do, Event, Plan, Session, Trains
from tacs.transitions import (
    DERIVED,
    ENERGISED,
    RUNNING,
    TERMINAL,
    TITRATION,
    TRANSITIONS,
    WITH_CURRENT,
    State,
    Trigger,
)

__all__ = [
    "NO_TRAINS",
    "RUNNING",
    "TERMINAL",
    "TRANSITIONS",
    "WITH_CURRENT",
    "Action",
    "Do",
    "Event",
    "Plan",
    "Session",
    "State",
    "Trains",
    "Trigger",
    "step",
]

CLOCK_SLIP_S = 1e-6  # less than this is rounding, not a clock that went back
ZERO_LEVEL = 1e-5  # of a train's fall: below, a tick came a hair early
TICK_SLIP_S = 0.05  # a gap between trains is shorter by a late tick at most


Step = tuple[Session, tuple[Action, ...]]


def step(session: Session, event: Event, now_s: float) -> Step:
    """Take a session through one event.

    Parameters
    ----------
    session : Session
        Before.
    event : Event
        What happened. An event that the table does not know in this state changes nothing.
    now_s : float
        Scheduled time of the event.

    Returns
    -------
    session : Session
        After.
    actions : tuple of Action
        What the guardian is to do, in this order.
    """
    trigger = event.trigger
    if trigger is Trigger.STOP:
        return _stop(session, event.cause, now_s)
    if trigger is Trigger.FAULT:
        return _fault(session, event.cause, now_s)
    if trigger is Trigger.SOFT_FAULT:
        return _soft_fault(session, event.cause, now_s)
    if wrong := _wrong_time(session, now_s):
        return _fault(session, wrong, now_s)
    if trigger is Trigger.TICK:
        return _tick(session, now_s)
    if trigger is Trigger.ALIVE:
        return session._replace(alive_s=now_s), ()
    if trigger is Trigger.PLAYING:
        return _still_playing(session, now_s)
    if trigger is Trigger.SILENT:
        return _fell_silent(session, now_s)
    if trigger is Trigger.RATING:
        return _rate(session, event.value, now_s)
    target = TRANSITIONS[session.state].get(trigger)
    if target is None or trigger in DERIVED:
        return session, ()
    if trigger is Trigger.START:
        return _start(session, now_s)
    if trigger is Trigger.PAUSE:
        return _pause(session, event.cause, now_s)
    if trigger is Trigger.RESUME:
        return _resume(session, now_s)
    if trigger is Trigger.TRAIN:
        return _request(session, event.value, now_s)
    if trigger is Trigger.RETUNE:
        return _retune(session, event.value, now_s)
    if trigger in TITRATION:
        return _titrate(session, trigger, now_s), ()
    if trigger is Trigger.ACKNOWLEDGE:
        return _anew(session), ()
    return session._replace(state=target), ()


def _wrong_time(session: Session, now_s: float) -> str | None:
    """What is wrong with the time of an event while current may flow; None where nothing is."""
    if session.state not in ENERGISED:
        return None
    since_s = now_s - session.tick_s
    if not since_s >= -CLOCK_SLIP_S:
        return f"the clock went back by {-since_s:.2f} s"
    if session.ending or session.state is State.STOPPING:
        return None
    if not now_s - session.renewed_s <= session.plan.lease_s:
        return f"the guardian stalled for {since_s:.2f} s; the lease ran out"
    return None


def _anew(session: Session) -> Session:
    """The same plan from the beginning; what was given stays given."""
    return Session(
        plan=session.plan,
        current_on_s=session.current_on_s,
        level_seconds=session.level_seconds,
        top_level=session.top_level,
    )


def _go(session: Session, trigger: Trigger, **changes: object) -> Session:
    """Follow the table; a transition that it does not have is a defect, and fails here."""
    return session._replace(state=TRANSITIONS[session.state][trigger], **changes)  # type: ignore[arg-type]


def _stop(session: Session, cause: str, now_s: float) -> Step:
    after = _go(session, Trigger.STOP)
    if after.state in TERMINAL:
        if session.state in TERMINAL:
            actions = (Action(Do.EMERGENCY_STOP),) if after.state is State.FAULT else ()
            return after, actions
        return after._replace(cause=cause), (Action(Do.SOFT_STOP),)
    if session.state is State.STOPPING:
        return after, ()
    flowing = max(session.level, session.level_before)
    after = _count_tail(_count(after, now_s), flowing, ramp_s=session.plan.soft_stop_s)
    after = after._replace(cause=cause, stopping_since_s=now_s, level=0.0, level_before=flowing)
    return after, (Action(Do.SOFT_STOP),)


def _fault(session: Session, cause: str, now_s: float) -> Step:
    if session.state is State.FAULT:
        return session, (Action(Do.EMERGENCY_STOP),)
    after, plan = session, session.plan
    flowing = max(session.level, session.level_before)
    if session.state is State.STOPPING:
        # The stop, whose ramp was counted, may not have arrived.
        after = _count_tail(session, flowing, full_s=plan.lease_s)
    elif session.energised:
        counted = _count(session, now_s)
        after = _count_tail(counted, flowing, full_s=plan.lease_s, ramp_s=plan.soft_stop_s)
    after = _go(after, Trigger.FAULT, cause=cause, stopping_since_s=now_s, level=0.0)
    return after, (Action(Do.EMERGENCY_STOP),)


def _soft_fault(session: Session, cause: str, now_s: float) -> Step:
    """A fault that leaves time for the soft stop; it latches when the device is silent."""
    if session.state not in ENERGISED:
        return _fault(session, cause, now_s)
    if session.state is not State.STOPPING:
        after, actions = _stop(session, cause, now_s)
        return after._replace(latching=True), actions
    if session.latching:
        return session, ()
    return session._replace(latching=True, cause=f"{session.cause}; {cause}"), ()


def _rate(session: Session, rating: float, now_s: float) -> Step:
    """A discomfort rating; one that is none counts as the worst."""
    if session.state not in RUNNING:
        return session, ()
    told = f"discomfort {rating:g} of 10"
    if not 0.0 <= rating < session.plan.discomfort_stop:
        return _stop(session, told, now_s)
    pauses = Trigger.PAUSE in TRANSITIONS[session.state]
    if rating >= session.plan.discomfort_pause and pauses:
        return _pause(session, told, now_s)
    return session, ()


def _start(session: Session, now_s: float) -> Step:
    plan = session.plan
    trigger = Trigger.START_LOW if plan.titration_step > 0.0 else Trigger.START
    after = _go(
        session,
        Trigger.START_SILENT if plan.silent else trigger,
        ceiling=0.0 if plan.silent or plan.titration_step > 0.0 else 1.0,
        started_s=now_s,
        ramp_from_s=now_s,
        tick_s=now_s,
        alive_s=now_s,
        renewed_s=now_s,
        asked_s=now_s,
        frequency_hz=plan.frequency_hz,
        retuned_s=now_s,
    )
    return after, (Action(Do.START, plan.lease_s),)


def _ramp(
    session: Session, trigger: Trigger, level: float, now_s: float, **changes: object
) -> Session:
    """Begin a ramp at a level."""
    return _go(session, trigger, ramp_from_s=now_s, ramp_from_level=level, **changes)


def _pause(session: Session, cause: str, now_s: float) -> Step:
    if session.state is State.BETWEEN_TRAINS and not session.plan.trains.course:
        return session, ()  # the silent rest of a sham
    if not session.plan.can_pause:
        return _stop(session, f"{cause}: the device cannot pause", now_s)
    if session.state is State.BETWEEN_TRAINS:
        return _go(session, Trigger.PAUSE, tolerated=0.0, next_train_s=math.nan), ()
    if session.state is State.TRAIN_FALL:
        return _go(session, Trigger.PAUSE, pausing=True, tolerated=0.0), ()
    return _ramp(session, Trigger.PAUSE, session.level, now_s, pausing=True, tolerated=0.0), ()


def _resume(session: Session, now_s: float) -> Step:
    plan = session.plan
    left_s = plan.hold_end_s - session.elapsed_s(now_s)
    course = plan.trains.course
    if left_s < plan.ramp_up_s + plan.trains.again_s or (course and session.trains >= len(course)):
        # Not enough left for a whole ramp and a train after it: the rest stays silent.
        return session, ()
    session, actions = _tune_back(session, now_s)
    if session.ceiling == 0.0:
        # Paused before a level was accepted: titrate again, from nothing.
        return _ramp(session, Trigger.RESUME_LOW, 0.0, now_s, pausing=False, target=0.0), actions
    return _ramp(session, Trigger.RESUME, 0.0, now_s, pausing=False), actions


def _tune_back(session: Session, now_s: float) -> Step:
    """Before a new run-in of a sweep, set the frequency of the first one again."""
    plan = session.plan
    sweeps = any(not math.isnan(hz) for hz, _ in plan.trains.course)
    if not sweeps or session.frequency_hz == plan.frequency_hz:
        return session, ()
    session = session._replace(frequency_hz=plan.frequency_hz, retuned_s=now_s)
    return session, (Action(Do.RETUNE, plan.frequency_hz),)


def _titrate(session: Session, trigger: Trigger, now_s: float) -> Session:
    """One request of a titration; a step up waits until the one before it has been made."""
    step_up, level = session.plan.titration_step, session.level
    if trigger is Trigger.LOWER:
        target = max(min(level, session.target) - step_up, 0.0)
    elif level != session.target:
        return session
    elif trigger is Trigger.HIGHER:
        target = min(level + step_up, 1.0)
    elif level > 0.0:
        return _go(session, trigger, ceiling=level, held_from_s=now_s)
    else:
        return session
    return session._replace(target=target, ramp_from_s=now_s, ramp_from_level=level)


def _tick(session: Session, now_s: float) -> Step:
    if session.state is State.STOPPING:
        overdue = f"{session.cause}; the device did not confirm the stop"
        return _while_waiting(session, overdue, now_s)
    if session.state not in RUNNING:
        return session, ()
    plan = session.plan
    if session.ending:
        return _while_waiting(session, "the device did not confirm the end of its programme", now_s)
    operator_s = plan.operator_lease_s
    if operator_s is not None and not now_s - session.alive_s <= operator_s:
        return _stop(session, "the operator side fell silent", now_s)
    current_on_s, level_seconds = _dose(session, now_s)
    if not (current_on_s <= plan.current_on_max_s and level_seconds <= plan.level_seconds_max):
        return _stop(session, "the dose that the limits leave was reached", now_s)
    after, level = _advance(_delayed(session, now_s), now_s)
    actions = [Action(Do.SET_LEVEL, level)] if level != session.level else []
    session = after._replace(
        level=level,
        level_before=session.level,
        top_level=max(level, session.top_level),
        tick_s=now_s,
        current_on_s=current_on_s,
        level_seconds=level_seconds,
    )
    if level == 0.0 and session.elapsed_s(now_s) >= plan.duration_s - 1e-9:
        session = session._replace(ending=True, stopping_since_s=now_s)
        return session, (*actions, Action(Do.SOFT_STOP))
    if now_s - session.renewed_s >= plan.renew_s - 1e-9:
        actions.append(Action(Do.EXTEND_LEASE, session.elapsed_s(now_s)))
        session = session._replace(renewed_s=now_s)
    if session.state is State.BETWEEN_TRAINS:
        session = _tune_the_next(session, actions)
    return _ask(session, now_s, actions)


def _delayed(session: Session, now_s: float) -> Session:
    """Begin a rise later by what its tick is late, so that no late tick makes one large step."""
    titrates_up = session.state is State.TITRATING and session.target > session.level
    span_s = session.plan.rise_span_s
    if session.state is State.TRAIN_RISE:
        span_s = min(span_s, session.plan.trains.span_s)
    elif session.state is not State.RAMP_UP and not titrates_up:
        return session
    late_s = now_s - max(session.tick_s, session.ramp_from_s) - span_s
    if not late_s > 0.0:
        return session
    return session._replace(ramp_from_s=session.ramp_from_s + late_s)


def _advance(session: Session, now_s: float) -> tuple[Session, float]:
    """Move along the programme; return the level due now."""
    plan, elapsed_s = session.plan, session.elapsed_s(now_s)
    if session.state is State.RAMP_UP:
        share = _into_ramp_s(session, now_s) / plan.ramp_up_s
        level = min(session.ramp_from_level + share, session.ceiling)
        if elapsed_s >= plan.hold_end_s:
            return _ramp(session, Trigger.HOLD_OVER, level, now_s), level
        if level >= session.ceiling:
            return _go(session, Trigger.TOP, held_from_s=now_s), level
        return session, level
    if session.state in {State.HOLD, State.TITRATING}:
        level = session.level if session.state is State.HOLD else _stepped(session, now_s)
        if elapsed_s >= plan.hold_end_s:
            session = _ramp(session, Trigger.HOLD_OVER, level, now_s)
        elif session.state is State.HOLD and plan.trains.course:
            return _run_in(session, now_s)
        return session, level
    if session.state in {State.TRAIN_RISE, State.TRAIN_ON}:
        return _train(session, now_s)
    if session.state is State.TRAIN_FALL:
        return _train_fall(session, now_s)
    if session.state is State.BETWEEN_TRAINS:
        return _next_train(session, now_s)
    if session.state is State.RAMP_DOWN:
        share = _into_ramp_s(session, now_s) / plan.ramp_down_s
        level = max(session.ramp_from_level - share, 0.0)
        if level <= 1e-9:
            if session.pausing:
                return _go(session, Trigger.ZERO_PAUSED), 0.0
            if elapsed_s < plan.duration_s - 1e-9:
                return _go(session, Trigger.ZERO_QUIET), 0.0
            return session, 0.0
        return session, level
    return session, 0.0


def _into_ramp_s(session: Session, now_s: float) -> float:
    """Time since the present ramp began; never negative, should a tick be due before its event."""
    return max(now_s - session.ramp_from_s, 0.0)


def _stepped(session: Session, now_s: float) -> float:
    """The level on its way to the target of a titration."""
    plan = session.plan
    moved = plan.titration_step * _into_ramp_s(session, now_s) / plan.transition_s
    if session.target > session.ramp_from_level:
        return min(session.ramp_from_level + moved, session.target)
    return max(session.ramp_from_level - moved, session.target)


def _run_in(session: Session, now_s: float) -> tuple[Session, float]:
    """Hold the level after an ordinary ramp until it counts as tolerated; then fall by an edge."""
    level = session.level
    if not now_s - session.held_from_s >= session.plan.trains.tolerated_s - CLOCK_SLIP_S:
        return session, level
    return _ramp(session, Trigger.TRAIN_OVER, level, now_s, tolerated=level), level


def _next_train(session: Session, now_s: float) -> tuple[Session, float]:
    """Begin the train that is due, where it fits before the end."""
    plan, due_s = session.plan, session.next_train_s
    if not now_s >= due_s - CLOCK_SLIP_S:  # also where none is due
        return session, 0.0
    trains = plan.trains
    from_s = max(due_s, now_s - min(plan.rise_span_s, trains.span_s))
    session = session._replace(next_train_s=math.nan)
    if _why_no_train(session, from_s):
        return session, 0.0
    _, share = trains.course[session.trains]
    session = _ramp(
        session,
        Trigger.NEXT_TRAIN,
        0.0,
        from_s,
        train_from_s=from_s,
        train_level=min(share * session.ceiling, session.tolerated),
        trains=session.trains + 1,
    )
    return _train(session, now_s)


def _train(session: Session, now_s: float) -> tuple[Session, float]:
    """Rise by an edge, hold, and begin the fall so that it ends when the train does."""
    trains, level = session.plan.trains, session.level
    if session.state is State.TRAIN_RISE:
        share = min(_into_ramp_s(session, now_s) / trains.edge_s, 1.0)
        level = session.train_level * share
        if share >= 1.0:
            session = _go(session, Trigger.TOP)
    fall_s = session.train_from_s + trains.on_s - trains.edge_s
    if now_s >= fall_s - CLOCK_SLIP_S:
        return _train_fall(_ramp(session, Trigger.TRAIN_OVER, level, fall_s), now_s)
    return session, level


def _train_fall(session: Session, now_s: float) -> tuple[Session, float]:
    """Fall by an edge; at zero, say when the next train may come."""
    trains = session.plan.trains
    level = session.ramp_from_level * (1.0 - _into_ramp_s(session, now_s) / trains.edge_s)
    if level > ZERO_LEVEL:
        return session, level
    if session.pausing:
        return _go(session, Trigger.ZERO_PAUSED), 0.0
    # On the grid of the schedule, so that ticks between do not add up.
    on_grid_s = session.ramp_from_s + trains.edge_s + trains.off_s
    ready_s = max(on_grid_s, now_s + trains.off_s - TICK_SLIP_S)
    next_s = math.nan if trains.on_request else ready_s
    return _go(session, Trigger.ZERO_QUIET, ready_s=ready_s, next_train_s=next_s), 0.0


def _why_no_train(session: Session, from_s: float) -> str:
    """Why no train may begin at a time; empty where one may."""
    plan = session.plan
    if not session.tolerated > 0.0:
        return "no amplitude has been tolerated yet"
    if session.trains >= len(plan.trains.course):
        return f"all {session.trains} trains have been given"
    if not session.elapsed_s(from_s) + plan.trains.on_s <= plan.duration_s + 1e-6:
        return "no whole train fits before the end"
    return ""


def _request(session: Session, earliest_s: float, now_s: float) -> Step:
    """A request for a train, at the earliest at a session time."""
    trains = session.plan.trains
    at_s = session.started_s + earliest_s
    if earliest_s == -math.inf:
        at_s = max(now_s, session.ready_s)
    if not trains.on_request:
        why = "trains of this protocol do not come on request"
    elif not math.isfinite(at_s):
        why = "the time of the train is no number"
    elif at_s < now_s - CLOCK_SLIP_S:
        why = f"the time of the train passed {now_s - at_s:.3f} s ago"
    elif not math.isnan(session.next_train_s):
        why = "a train is due already"
    elif at_s < session.ready_s - 1e-9:
        why = f"within the refractory time, by {session.ready_s - at_s:.3f} s"
    else:
        why = _why_no_train(session, at_s)
    if why:
        return session._replace(refused=session.refused + 1, refusal=why), ()
    return session._replace(next_train_s=at_s, refusal=""), ()


def _retune(session: Session, frequency_hz: float, now_s: float) -> Step:
    """A request for another frequency."""
    plan = session.plan
    moved_hz = abs(frequency_hz - session.frequency_hz)
    why = ""
    if not plan.retune_step_hz > 0.0:
        why = "this protocol does not allow it"
    elif session.ending:
        why = "the session is ending"
    elif session.level > 0.0 and not plan.retune_playing:
        why = "the device changes its frequency at zero current only"
    elif not plan.retune_from_hz <= frequency_hz <= plan.retune_to_hz:
        why = f"{frequency_hz:g} Hz is outside {plan.retune_from_hz:g} to {plan.retune_to_hz:g} Hz"
    elif not moved_hz <= plan.retune_step_hz + 1e-9:
        why = f"a step of {moved_hz:g} Hz; at most {plan.retune_step_hz:g} Hz at once"
    elif not now_s - session.retuned_s >= plan.retune_every_s - 1e-9:
        why = f"less than {plan.retune_every_s:g} s since the last change"
    if why:
        return session._replace(refused=session.refused + 1, refusal=why), ()
    after = session._replace(frequency_hz=frequency_hz, retuned_s=now_s, refusal="")
    return after, (Action(Do.RETUNE, frequency_hz),)


def _tune_the_next(session: Session, actions: list[Action]) -> Session:
    """At zero, set the frequency of the next train where it has one of its own."""
    course = session.plan.trains.course
    if session.trains >= len(course):
        return session
    frequency_hz, _ = course[session.trains]
    if math.isnan(frequency_hz) or frequency_hz == session.frequency_hz:
        return session
    actions.append(Action(Do.RETUNE, frequency_hz))
    return session._replace(frequency_hz=frequency_hz, retuned_s=session.tick_s)


def _while_waiting(session: Session, overdue: str, now_s: float) -> Step:
    """The end was sent: wait until the device says that it is silent, but not for ever."""
    session = session._replace(tick_s=now_s)
    waited_s = now_s - session.stopping_since_s
    if not waited_s <= session.plan.soft_stop_s + session.plan.stop_grace_s:
        return _fault(session, overdue, now_s)
    return _ask(session, now_s, [])


def _ask(session: Session, now_s: float, actions: list[Action]) -> Step:
    """Ask the device for its state when that is due; more often while it is to fall silent."""
    waiting = session.ending or session.state is State.STOPPING
    every_s = 0.1 if waiting else session.plan.status_s
    if now_s - session.asked_s >= every_s - 1e-9:
        actions.append(Action(Do.READ_STATUS))
        session = session._replace(asked_s=now_s)
    return session, tuple(actions)


def _still_playing(session: Session, now_s: float) -> Step:
    if session.state in {State.ARMED, State.CHECKED, State.DONE, State.STOPPED}:
        return _fault(session, "the device plays although nobody started it", now_s)
    return session, ()


def _fell_silent(session: Session, now_s: float) -> Step:
    if session.state is State.STOPPING:
        return _go(session, Trigger.LATCH if session.latching else Trigger.SILENT), ()
    if session.state in RUNNING:
        if session.ending:
            return _go(session, Trigger.ENDED), ()
        return _fault(session, "the device stopped by itself", now_s)
    return session, ()


def _count_tail(
    session: Session, level: float, *, full_s: float = 0.0, ramp_s: float = 0.0
) -> Session:
    """Book what may flow once the end was sent: for a time at a level, then down a ramp."""
    if level == 0.0:
        return session
    return session._replace(
        current_on_s=session.current_on_s + full_s + ramp_s,
        level_seconds=session.level_seconds + level * (full_s + 0.5 * ramp_s),
    )


def _count(session: Session, now_s: float) -> Session:
    """Book the time since the last tick."""
    current_on_s, level_seconds = _dose(session, now_s)
    return session._replace(tick_s=now_s, current_on_s=current_on_s, level_seconds=level_seconds)


def _dose(session: Session, now_s: float) -> tuple[float, float]:
    """Both counters as they stand now; since the last tick no more than a lease can have flowed."""
    span_s = now_s - session.tick_s
    if not -CLOCK_SLIP_S <= span_s <= session.plan.lease_s:
        span_s = session.plan.lease_s
    span_s = max(span_s, 0.0) if session.level > 0.0 else 0.0
    return session.current_on_s + span_s, session.level_seconds + span_s * session.level
