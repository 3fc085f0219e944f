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

The dose is counted as commanded, and never too low: a stop adds its ramp, a fault what the device
plays on until its lease has run out. It outlives an acknowledgement.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import NamedTuple

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
    "Trigger",
    "step",
]

CLOCK_SLIP_S = 1e-6  # less than this is rounding, not a clock that went back


class Do(enum.Enum):
    """What the guardian is to do."""

    START = "start"
    SET_LEVEL = "set_level"
    EXTEND_LEASE = "extend_lease"
    READ_STATUS = "read_status"
    SOFT_STOP = "soft_stop"
    EMERGENCY_STOP = "emergency_stop"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do, with its value where it has one (a level, or seconds since the start)."""

    do: Do
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, with the cause or the number that a person or a monitor gave."""

    trigger: Trigger
    cause: str = ""
    value: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the kernel needs to know of a protocol.

    Parameters
    ----------
    duration_s : float
        From start to end, ramps included.
    ramp_up_s, ramp_down_s : float
        Ramps.
    hold_end_s : float
        When the ramp-down begins, from the start; of an active sham, when its plateau ends.
    silent : bool
        A passive sham: the level stays zero throughout.
    lease_s : float
        The device ends by itself after this silence.
    renew_s : float
        How often the lease is renewed.
    status_s : float
        How often the device is asked for its state.
    soft_stop_s : float
        Time a soft stop takes in the device.
    stop_grace_s : float
        How much longer than that a stop may take to be confirmed.
    operator_lease_s : float or None
        The operator side is gone after this silence; None where a script operates.
    titration_step : float
        Largest change of the level on one request while the operator titrates; 0 where the session
        ramps up by itself.
    transition_s : float
        Time that such a change takes.
    rise_span_s : float
        Longest time that one rise may make up for; a tick that comes later delays the ramp.
    can_pause : bool
        Whether the level can be changed while the device plays; where not, a pause is a stop.
    discomfort_pause, discomfort_stop : float
        Ratings, 0 to 10, from which a session pauses and stops.
    current_on_max_s, level_seconds_max : float
        What the limits leave this person: time with current, and the integral of the level.
    """

    duration_s: float
    ramp_up_s: float
    ramp_down_s: float
    hold_end_s: float
    silent: bool
    lease_s: float
    renew_s: float = 0.25
    status_s: float = 0.5
    soft_stop_s: float = 0.8
    stop_grace_s: float = 1.0
    operator_lease_s: float | None = None
    titration_step: float = 0.0
    transition_s: float = 1.0
    rise_span_s: float = 0.1
    can_pause: bool = True
    discomfort_pause: float = 6.0
    discomfort_stop: float = 7.0
    current_on_max_s: float = math.inf
    level_seconds_max: float = math.inf


class Session(NamedTuple):
    """A session at one instant; every step makes a new one.

    A named tuple, not a dataclass: a step copies it several times, and a million sequences of fifty
    steps are verified with every change.

    Parameters
    ----------
    plan : Plan
        What is to happen.
    state : State
        Where it stands.
    cause : str
        Why it stopped or failed; empty while it runs and when it ended as planned.
    level, level_before : float
        Commanded fraction of the full current, and the one before the last tick or stop: what
        flows where the last command did not arrive.
    started_s : float
        Clock time of the start; NaN before.
    ramp_from_s, ramp_from_level : float
        Where the present ramp began.
    stopping_since_s : float
        When the stop, or the planned end, was sent.
    tick_s, alive_s, renewed_s, asked_s : float
        Last tick, last sign of the operator, last renewal, last question to the device.
    current_on_s, level_seconds : float
        Time with current, and the integral of the level over time: the commanded dose, with what
        a stop ramp adds, and after a fault with what the device's lease may have added.
    top_level : float
        Highest level commanded.
    ceiling, target : float
        Highest level of this session (0 until a titration has found it), and the level that a
        titration is on its way to.
    pausing, ending : bool
        Whether a ramp-down leads into a pause, and whether the planned end was sent.
    latching : bool
        Whether the stop under way ends in a fault.
    """

    plan: Plan
    state: State = State.IDLE
    cause: str = ""
    level: float = 0.0
    level_before: float = 0.0
    started_s: float = math.nan
    ramp_from_s: float = math.nan
    ramp_from_level: float = 0.0
    stopping_since_s: float = math.nan
    tick_s: float = math.nan
    alive_s: float = math.nan
    renewed_s: float = math.nan
    asked_s: float = math.nan
    current_on_s: float = 0.0
    level_seconds: float = 0.0
    top_level: float = 0.0
    ceiling: float = 1.0
    target: float = 0.0
    pausing: bool = False
    ending: bool = False
    latching: bool = False

    def elapsed_s(self, now_s: float) -> float:
        """Return the time since the start."""
        return now_s - self.started_s

    @property
    def energised(self) -> bool:
        """Whether current may be flowing."""
        return self.state in ENERGISED


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
    )
    return after, (Action(Do.START, plan.lease_s),)


def _ramp(
    session: Session, trigger: Trigger, level: float, now_s: float, **changes: object
) -> Session:
    """Begin a ramp at a level."""
    return _go(session, trigger, ramp_from_s=now_s, ramp_from_level=level, **changes)


def _pause(session: Session, cause: str, now_s: float) -> Step:
    if not session.plan.can_pause:
        return _stop(session, f"{cause}: the device cannot pause", now_s)
    return _ramp(session, Trigger.PAUSE, session.level, now_s, pausing=True), ()


def _resume(session: Session, now_s: float) -> Step:
    plan = session.plan
    left_s = plan.hold_end_s - session.elapsed_s(now_s)
    if left_s < plan.ramp_up_s:
        # Not enough left for a whole ramp: the rest of the session stays silent.
        return session, ()
    if session.ceiling == 0.0:
        # Paused before a level was accepted: titrate again, from nothing.
        return _ramp(session, Trigger.RESUME_LOW, 0.0, now_s, pausing=False, target=0.0), ()
    return _ramp(session, Trigger.RESUME, 0.0, now_s, pausing=False), ()


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
        return _go(session, trigger, ceiling=level)
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
    return _ask(session, now_s, actions)


def _delayed(session: Session, now_s: float) -> Session:
    """Begin a rise later by what its tick is late, so that no late tick makes one large step."""
    titrates_up = session.state is State.TITRATING and session.target > session.level
    if session.state is not State.RAMP_UP and not titrates_up:
        return session
    late_s = now_s - max(session.tick_s, session.ramp_from_s) - session.plan.rise_span_s
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
            return _go(session, Trigger.TOP), level
        return session, level
    if session.state in {State.HOLD, State.TITRATING}:
        level = session.level if session.state is State.HOLD else _stepped(session, now_s)
        if elapsed_s >= plan.hold_end_s:
            session = _ramp(session, Trigger.HOLD_OVER, level, now_s)
        return session, level
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
