"""The session's state machine: a table, and a pure ``step(session, event, now_s)``.

No clock, no input or output, no NumPy. Time comes in as a number, what to do goes out as actions;
the guardian carries them out. Three rules stand above the table: a stop is legal in every state and
handled before everything else; a fault latches until a person acknowledges it; a tick that comes
later than the lease is a fault, because the device has by then ended the current on its own.

Time runs on while a session is paused: the programme's end does not move, so that no sequence of
pauses can lengthen the time with current.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

__all__ = [
    "TERMINAL",
    "TRANSITIONS",
    "Action",
    "Do",
    "Event",
    "Plan",
    "Session",
    "State",
    "Trigger",
    "step",
]


class State(enum.Enum):
    """Where a session stands."""

    IDLE = "idle"
    CONNECTED = "connected"
    CHECKED = "checked"
    ARMED = "armed"
    RAMP_UP = "ramp_up"
    HOLD = "hold"
    RAMP_DOWN = "ramp_down"
    BETWEEN_TRAINS = "between_trains"
    PAUSED = "paused"
    DONE = "done"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAULT = "fault"


class Trigger(enum.Enum):
    """What can happen to a session."""

    # from outside
    CONNECTED = "connected"
    CHECKED = "checked"
    ARM = "arm"
    START = "start"
    TICK = "tick"
    ALIVE = "alive"
    PLAYING = "playing"
    SILENT = "silent"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    FAULT = "fault"
    ACKNOWLEDGE = "acknowledge"
    # derived from time inside a tick
    START_SILENT = "start_silent"
    TOP = "top"
    HOLD_OVER = "hold_over"
    ZERO_PAUSED = "zero_paused"
    ZERO_QUIET = "zero_quiet"
    ENDED = "ended"


S, T = State, Trigger
_BEFORE = {T.STOP: S.STOPPED, T.FAULT: S.FAULT}
_CURRENT = {T.STOP: S.STOPPING, T.FAULT: S.FAULT}

TRANSITIONS: Mapping[State, Mapping[Trigger, State]] = MappingProxyType(
    {
        S.IDLE: {T.CONNECTED: S.CONNECTED, **_BEFORE},
        S.CONNECTED: {T.CHECKED: S.CHECKED, **_BEFORE},
        S.CHECKED: {T.ARM: S.ARMED, **_BEFORE},
        S.ARMED: {T.START: S.RAMP_UP, T.START_SILENT: S.BETWEEN_TRAINS, **_BEFORE},
        S.RAMP_UP: {T.TOP: S.HOLD, T.HOLD_OVER: S.RAMP_DOWN, T.PAUSE: S.RAMP_DOWN, **_CURRENT},
        S.HOLD: {T.HOLD_OVER: S.RAMP_DOWN, T.PAUSE: S.RAMP_DOWN, **_CURRENT},
        S.RAMP_DOWN: {
            T.ZERO_PAUSED: S.PAUSED,
            T.ZERO_QUIET: S.BETWEEN_TRAINS,
            T.ENDED: S.DONE,
            **_CURRENT,
        },
        S.BETWEEN_TRAINS: {T.ENDED: S.DONE, **_CURRENT},
        S.PAUSED: {T.RESUME: S.RAMP_UP, T.ENDED: S.DONE, **_CURRENT},
        S.STOPPING: {T.SILENT: S.STOPPED, T.STOP: S.STOPPING, T.FAULT: S.FAULT},
        S.STOPPED: {T.STOP: S.STOPPED, T.FAULT: S.FAULT, T.ACKNOWLEDGE: S.IDLE},
        S.DONE: {T.STOP: S.DONE, T.FAULT: S.FAULT, T.ACKNOWLEDGE: S.IDLE},
        S.FAULT: {T.STOP: S.FAULT, T.FAULT: S.FAULT, T.ACKNOWLEDGE: S.IDLE},
    }
)
DERIVED = frozenset({T.START_SILENT, T.TOP, T.HOLD_OVER, T.ZERO_PAUSED, T.ZERO_QUIET, T.ENDED})
TERMINAL = frozenset({S.DONE, S.STOPPED, S.FAULT})
RUNNING = frozenset({S.RAMP_UP, S.HOLD, S.RAMP_DOWN, S.BETWEEN_TRAINS, S.PAUSED})
ENERGISED = RUNNING | {S.STOPPING}


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
    """Something that happened, with the cause where a person or a monitor gave one."""

    trigger: Trigger
    cause: str = ""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session at one instant; every step makes a new one.

    Parameters
    ----------
    plan : Plan
        What is to happen.
    state : State
        Where it stands.
    cause : str
        Why it stopped or failed; empty while it runs and when it ended as planned.
    level : float
        Commanded fraction of the full current.
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
    pausing, ending : bool
        Whether a ramp-down leads into a pause, and whether the planned end was sent.
    """

    plan: Plan
    state: State = State.IDLE
    cause: str = ""
    level: float = 0.0
    started_s: float = float("nan")
    ramp_from_s: float = 0.0
    ramp_from_level: float = 0.0
    stopping_since_s: float = float("nan")
    tick_s: float = float("nan")
    alive_s: float = float("nan")
    renewed_s: float = float("nan")
    asked_s: float = float("nan")
    current_on_s: float = 0.0
    level_seconds: float = 0.0
    top_level: float = 0.0
    pausing: bool = False
    ending: bool = False

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
    if event.trigger is Trigger.STOP:
        return _stop(session, event.cause, now_s)
    if event.trigger is Trigger.FAULT:
        return _fault(session, event.cause, now_s)
    if event.trigger is Trigger.TICK:
        return _tick(session, now_s)
    if event.trigger is Trigger.ALIVE:
        return replace(session, alive_s=now_s), ()
    if event.trigger is Trigger.PLAYING:
        return _still_playing(session, now_s)
    if event.trigger is Trigger.SILENT:
        return _fell_silent(session, now_s)
    target = TRANSITIONS[session.state].get(event.trigger)
    if target is None or event.trigger in DERIVED:
        return session, ()
    if event.trigger is Trigger.START:
        return _start(session, now_s)
    if event.trigger is Trigger.PAUSE:
        return _ramp(replace(session, pausing=True), target, now_s), ()
    if event.trigger is Trigger.RESUME:
        return _resume(session, now_s)
    if event.trigger is Trigger.ACKNOWLEDGE:
        return Session(plan=session.plan), ()
    return replace(session, state=target), ()


def _go(session: Session, trigger: Trigger, **changes: object) -> Session:
    """Follow the table; a transition that it does not have is a defect, and fails here."""
    return replace(session, state=TRANSITIONS[session.state][trigger], **changes)  # type: ignore[arg-type]


def _stop(session: Session, cause: str, now_s: float) -> Step:
    after = _go(session, Trigger.STOP)
    if after.state in TERMINAL:
        if session.state in TERMINAL:
            actions = (Action(Do.EMERGENCY_STOP),) if after.state is State.FAULT else ()
            return after, actions
        return replace(after, cause=cause), (Action(Do.SOFT_STOP),)
    if session.state is State.STOPPING:
        return after, ()
    after = _count_tail(_count(after, now_s), full_s=0.0)
    return replace(after, cause=cause, stopping_since_s=now_s, level=0.0), (Action(Do.SOFT_STOP),)


def _fault(session: Session, cause: str, now_s: float) -> Step:
    if session.state is State.FAULT:
        return session, (Action(Do.EMERGENCY_STOP),)
    after = session
    if session.energised:
        after = _count_tail(_count(session, now_s), full_s=session.plan.lease_s)
    after = _go(after, Trigger.FAULT, cause=cause, stopping_since_s=now_s, level=0.0)
    return after, (Action(Do.EMERGENCY_STOP),)


def _start(session: Session, now_s: float) -> Step:
    trigger = Trigger.START_SILENT if session.plan.silent else Trigger.START
    after = _go(
        session,
        trigger,
        started_s=now_s,
        ramp_from_s=now_s,
        ramp_from_level=0.0,
        tick_s=now_s,
        alive_s=now_s,
        renewed_s=now_s,
        asked_s=now_s,
    )
    return after, (Action(Do.START, session.plan.lease_s),)


def _ramp(session: Session, target: State, now_s: float) -> Session:
    """Begin a ramp at the level reached."""
    return replace(session, state=target, ramp_from_s=now_s, ramp_from_level=session.level)


def _resume(session: Session, now_s: float) -> Step:
    plan = session.plan
    left_s = plan.hold_end_s - session.elapsed_s(now_s)
    if left_s < plan.ramp_up_s:
        # Not enough left for a whole ramp: the rest of the session stays silent.
        return session, ()
    return _ramp(replace(session, pausing=False), State.RAMP_UP, now_s), ()


def _tick(session: Session, now_s: float) -> Step:
    if session.state is State.STOPPING:
        return _while_stopping(session, now_s)
    if session.state not in RUNNING:
        return session, ()
    plan = session.plan
    if now_s - session.tick_s > plan.lease_s:
        late_s = now_s - session.tick_s
        return _fault(session, f"the guardian stalled for {late_s:.2f} s; the lease ran out", now_s)
    if plan.operator_lease_s is not None and now_s - session.alive_s > plan.operator_lease_s:
        return _stop(session, "the operator side fell silent", now_s)
    if session.ending:
        return _while_ending(session, now_s)
    session = _count(session, now_s)
    session, level = _advance(session, now_s)
    actions: list[Action] = []
    if level != session.level:
        actions.append(Action(Do.SET_LEVEL, level))
        session = replace(session, level=level, top_level=max(level, session.top_level))
    if session.level == 0.0 and session.elapsed_s(now_s) >= plan.duration_s - 1e-9:
        session = replace(session, ending=True, stopping_since_s=now_s)
        return session, (*actions, Action(Do.SOFT_STOP))
    if now_s - session.renewed_s >= plan.renew_s - 1e-9:
        actions.append(Action(Do.EXTEND_LEASE, session.elapsed_s(now_s)))
        session = replace(session, renewed_s=now_s)
    return _ask(session, now_s, actions)


def _advance(session: Session, now_s: float) -> tuple[Session, float]:
    """Move along the programme; return the level due now."""
    plan, elapsed_s = session.plan, session.elapsed_s(now_s)
    if session.state is State.RAMP_UP:
        share = (now_s - session.ramp_from_s) / plan.ramp_up_s
        level = min(session.ramp_from_level + share, 1.0)
        if elapsed_s >= plan.hold_end_s:
            session = _go(replace(session, level=level), Trigger.HOLD_OVER)
            return replace(session, ramp_from_s=now_s, ramp_from_level=level), level
        if level >= 1.0:
            return _go(session, Trigger.TOP), 1.0
        return session, level
    if session.state is State.HOLD:
        if elapsed_s >= plan.hold_end_s:
            session = _go(session, Trigger.HOLD_OVER, ramp_from_s=now_s, ramp_from_level=1.0)
        return session, session.level
    if session.state is State.RAMP_DOWN:
        share = (now_s - session.ramp_from_s) / plan.ramp_down_s
        level = max(session.ramp_from_level - share, 0.0)
        if level <= 1e-9:
            if session.pausing:
                return _go(session, Trigger.ZERO_PAUSED), 0.0
            if elapsed_s < plan.duration_s - 1e-9:
                return _go(session, Trigger.ZERO_QUIET), 0.0
            return session, 0.0
        return session, level
    return session, 0.0


def _while_ending(session: Session, now_s: float) -> Step:
    """The planned end was sent: wait until the device says that it is silent."""
    session = replace(session, tick_s=now_s)
    if now_s - session.stopping_since_s > session.plan.soft_stop_s + session.plan.stop_grace_s:
        return _fault(session, "the device did not confirm the end of its programme", now_s)
    return _ask(session, now_s, [])


def _while_stopping(session: Session, now_s: float) -> Step:
    session = replace(session, tick_s=now_s)
    if now_s - session.stopping_since_s > session.plan.soft_stop_s + session.plan.stop_grace_s:
        return _fault(session, f"{session.cause}; the device did not confirm the stop", now_s)
    return _ask(session, now_s, [])


def _ask(session: Session, now_s: float, actions: list[Action]) -> Step:
    """Ask the device for its state when that is due; more often while it is to fall silent."""
    waiting = session.ending or session.state is State.STOPPING
    every_s = 0.1 if waiting else session.plan.status_s
    if now_s - session.asked_s >= every_s - 1e-9:
        actions.append(Action(Do.READ_STATUS))
        session = replace(session, asked_s=now_s)
    return session, tuple(actions)


def _still_playing(session: Session, now_s: float) -> Step:
    if session.state in {State.ARMED, State.CHECKED, State.DONE, State.STOPPED}:
        return _fault(session, "the device plays although nobody started it", now_s)
    return session, ()


def _fell_silent(session: Session, now_s: float) -> Step:
    if session.state is State.STOPPING:
        return _go(session, Trigger.SILENT), ()
    if session.state in RUNNING:
        if session.ending:
            return _go(session, Trigger.ENDED), ()
        return _fault(session, "the device stopped by itself", now_s)
    return session, ()


def _count_tail(session: Session, *, full_s: float) -> Session:
    """Book what still flows once the end was sent: ``full_s`` at this level, then the stop ramp."""
    if session.level == 0.0:
        return session
    ramp_s = session.plan.soft_stop_s
    return replace(
        session,
        current_on_s=session.current_on_s + full_s + ramp_s,
        level_seconds=session.level_seconds + session.level * (full_s + 0.5 * ramp_s),
    )


def _count(session: Session, now_s: float) -> Session:
    """Book the time since the last tick at the level that was commanded."""
    span_s = now_s - session.tick_s
    if not span_s > 0.0:
        return session
    return replace(
        session,
        tick_s=now_s,
        current_on_s=session.current_on_s + (span_s if session.level > 0.0 else 0.0),
        level_seconds=session.level_seconds + span_s * session.level,
    )
