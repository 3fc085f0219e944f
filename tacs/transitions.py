"""The session's states, what can happen to them, and the table of transitions: data, no code."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

__all__ = [
    "DERIVED",
    "ENERGISED",
    "IN_TRAIN",
    "RUNNING",
    "TERMINAL",
    "TITRATION",
    "TRANSITIONS",
    "WITH_CURRENT",
    "State",
    "Trigger",
]


class State(enum.Enum):
    """Where a session stands."""

    IDLE = "idle"
    CONNECTED = "connected"
    CHECKED = "checked"
    ARMED = "armed"
    TITRATING = "titrating"
    RAMP_UP = "ramp_up"
    HOLD = "hold"
    RAMP_DOWN = "ramp_down"
    TRAIN_RISE = "train_rise"
    TRAIN_ON = "train_on"
    TRAIN_FALL = "train_fall"
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
    HIGHER = "higher"
    LOWER = "lower"
    ACCEPT = "accept"
    RATING = "rating"
    TRAIN = "train"
    RETUNE = "retune"
    STOP = "stop"
    SOFT_FAULT = "soft_fault"
    FAULT = "fault"
    ACKNOWLEDGE = "acknowledge"
    # derived from the plan, or from time inside a tick
    START_SILENT = "start_silent"
    START_LOW = "start_low"
    RESUME_LOW = "resume_low"
    LATCH = "latch"
    TOP = "top"
    HOLD_OVER = "hold_over"
    ZERO_PAUSED = "zero_paused"
    ZERO_QUIET = "zero_quiet"
    NEXT_TRAIN = "next_train"
    TRAIN_OVER = "train_over"
    ENDED = "ended"


S, T = State, Trigger
_BEFORE = {T.STOP: S.STOPPED, T.SOFT_FAULT: S.FAULT, T.FAULT: S.FAULT}
_CURRENT = {T.STOP: S.STOPPING, T.SOFT_FAULT: S.STOPPING, T.FAULT: S.FAULT}
_AFTER = {T.SOFT_FAULT: S.FAULT, T.FAULT: S.FAULT, T.ACKNOWLEDGE: S.IDLE}

TRANSITIONS: Mapping[State, Mapping[Trigger, State]] = MappingProxyType(
    {
        S.IDLE: {T.CONNECTED: S.CONNECTED, **_BEFORE},
        S.CONNECTED: {T.CHECKED: S.CHECKED, **_BEFORE},
        S.CHECKED: {T.ARM: S.ARMED, **_BEFORE},
        S.ARMED: {
            T.START: S.RAMP_UP,
            T.START_LOW: S.TITRATING,
            T.START_SILENT: S.BETWEEN_TRAINS,
            **_BEFORE,
        },
        S.TITRATING: {
            T.HIGHER: S.TITRATING,
            T.LOWER: S.TITRATING,
            T.ACCEPT: S.HOLD,
            T.HOLD_OVER: S.RAMP_DOWN,
            T.PAUSE: S.RAMP_DOWN,
            **_CURRENT,
        },
        S.RAMP_UP: {T.TOP: S.HOLD, T.HOLD_OVER: S.RAMP_DOWN, T.PAUSE: S.RAMP_DOWN, **_CURRENT},
        S.HOLD: {
            T.HOLD_OVER: S.RAMP_DOWN,
            T.TRAIN_OVER: S.TRAIN_FALL,
            T.PAUSE: S.RAMP_DOWN,
            T.RETUNE: S.HOLD,
            **_CURRENT,
        },
        S.RAMP_DOWN: {
            T.ZERO_PAUSED: S.PAUSED,
            T.ZERO_QUIET: S.BETWEEN_TRAINS,
            T.ENDED: S.DONE,
            **_CURRENT,
        },
        S.TRAIN_RISE: {
            T.TOP: S.TRAIN_ON,
            T.TRAIN_OVER: S.TRAIN_FALL,
            T.PAUSE: S.TRAIN_FALL,
            **_CURRENT,
        },
        S.TRAIN_ON: {
            T.TRAIN_OVER: S.TRAIN_FALL,
            T.PAUSE: S.TRAIN_FALL,
            T.RETUNE: S.TRAIN_ON,
            **_CURRENT,
        },
        S.TRAIN_FALL: {
            T.ZERO_QUIET: S.BETWEEN_TRAINS,
            T.ZERO_PAUSED: S.PAUSED,
            T.PAUSE: S.TRAIN_FALL,
            **_CURRENT,
        },
        S.BETWEEN_TRAINS: {
            T.NEXT_TRAIN: S.TRAIN_RISE,
            T.TRAIN: S.BETWEEN_TRAINS,
            T.RETUNE: S.BETWEEN_TRAINS,
            T.PAUSE: S.PAUSED,
            T.ENDED: S.DONE,
            **_CURRENT,
        },
        S.PAUSED: {
            T.RESUME: S.RAMP_UP,
            T.RESUME_LOW: S.TITRATING,
            T.ENDED: S.DONE,
            **_CURRENT,
        },
        S.STOPPING: {
            T.SILENT: S.STOPPED,
            T.LATCH: S.FAULT,
            T.STOP: S.STOPPING,
            T.SOFT_FAULT: S.STOPPING,
            T.FAULT: S.FAULT,
        },
        S.STOPPED: {T.STOP: S.STOPPED, **_AFTER},
        S.DONE: {T.STOP: S.DONE, **_AFTER},
        S.FAULT: {T.STOP: S.FAULT, **_AFTER},
    }
)
DERIVED = frozenset(
    {
        T.START_SILENT,
        T.START_LOW,
        T.RESUME_LOW,
        T.LATCH,
        T.TOP,
        T.HOLD_OVER,
        T.ZERO_PAUSED,
        T.ZERO_QUIET,
        T.NEXT_TRAIN,
        T.TRAIN_OVER,
        T.ENDED,
    }
)
TITRATION = frozenset({T.HIGHER, T.LOWER, T.ACCEPT})
TERMINAL = frozenset({S.DONE, S.STOPPED, S.FAULT})
IN_TRAIN = frozenset({S.TRAIN_RISE, S.TRAIN_ON, S.TRAIN_FALL})
WITH_CURRENT = frozenset({S.TITRATING, S.RAMP_UP, S.HOLD, S.RAMP_DOWN}) | IN_TRAIN
RUNNING = WITH_CURRENT | {S.BETWEEN_TRAINS, S.PAUSED}
ENERGISED = RUNNING | {S.STOPPING}
