"""What the kernel is told and what it says: actions, events, the plan of a session, its state.

Data only; what becomes of it is in :mod:`tacs.session`.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import NamedTuple

from tacs.transitions import ENERGISED, State, Trigger

__all__ = ["NO_TRAINS", "Action", "Do", "Event", "Plan", "Session", "Trains"]


class Do(enum.Enum):
    """What the guardian is to do."""

    START = "start"
    SET_LEVEL = "set_level"
    EXTEND_LEASE = "extend_lease"
    RETUNE = "retune"
    READ_STATUS = "read_status"
    SOFT_STOP = "soft_stop"
    EMERGENCY_STOP = "emergency_stop"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do, with its value: a level, seconds since the start, or a frequency."""

    do: Do
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, with the cause or the number that a person or a monitor gave.

    The number is a rating; of a retuning a frequency; of a request for a train the earliest time of
    its beginning, in seconds since the start, and minus infinity where that is as soon as it may.
    """

    trigger: Trigger
    cause: str = ""
    value: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Trains:
    """What the kernel needs to know of trains.

    Parameters
    ----------
    on_s, off_s : float
        One train from first to last current, and the time at zero after it.
    edge_s : float
        Rise and fall of a train.
    tolerated_s : float
        Time at full current, after an ordinary ramp, from which on trains may rise by their edge.
    course : tuple of (float, float)
        Frequency and share of the ceiling of each train; a frequency of NaN stays as it is. Empty
        where the session has no trains.
    span_s : float
        Longest time of an edge that the rise of one tick may make up for.
    on_request : bool
        Whether a train begins on a request only.
    """

    on_s: float
    off_s: float
    edge_s: float
    tolerated_s: float
    course: tuple[tuple[float, float], ...]
    span_s: float
    on_request: bool = False

    @property
    def again_s(self) -> float:
        """What a new beginning needs beyond its ramp: to be tolerated, to fall, and one train."""
        return self.tolerated_s + self.edge_s + self.off_s + self.on_s if self.course else 0.0


NO_TRAINS = Trains(on_s=0.0, off_s=0.0, edge_s=0.0, tolerated_s=0.0, course=(), span_s=0.0)


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
    trains : Trains
        How the session is cut into trains; none where it is not.
    frequency_hz : float
        At the start.
    retune_from_hz, retune_to_hz : float
        Where a request may take the frequency.
    retune_step_hz : float
        Largest change on one request; 0 where none is allowed.
    retune_every_s : float
        Least time from one change to the next, and from the start to the first.
    retune_playing : bool
        Whether the device keeps its phase while current flows; else it is retuned at zero only.
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
    trains: Trains = NO_TRAINS
    frequency_hz: float = math.nan
    retune_from_hz: float = math.nan
    retune_to_hz: float = math.nan
    retune_step_hz: float = 0.0
    retune_every_s: float = 1.0
    retune_playing: bool = False


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
    tolerated : float
        Level up to which a train may rise by its edge; 0 until one was held, and after a pause.
    held_from_s : float
        When the level that is held was reached.
    train_from_s, train_level : float
        When the present train began, and its full level.
    next_train_s, ready_s : float
        When the next train is due, NaN where none is; when one may be at the earliest.
    trains : int
        Trains that were begun.
    frequency_hz, retuned_s : float
        Commanded last, and when; at the start the plan's.
    refused : int
        Requests for a train or another frequency that were refused.
    refusal : str
        Why the last one was; empty where it was granted.
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
    tolerated: float = 0.0
    held_from_s: float = math.nan
    train_from_s: float = math.nan
    train_level: float = 0.0
    next_train_s: float = math.nan
    ready_s: float = math.nan
    trains: int = 0
    frequency_hz: float = math.nan
    retuned_s: float = math.nan
    refused: int = 0
    refusal: str = ""

    def elapsed_s(self, now_s: float) -> float:
        """Return the time since the start."""
        return now_s - self.started_s

    @property
    def energised(self) -> bool:
        """Whether current may be flowing."""
        return self.state in ENERGISED
