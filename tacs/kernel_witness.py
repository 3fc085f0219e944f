"""What the rules of the kernel are held against: a modelled device, and a witness of the session.

Neither looks into the kernel. The device has a level, a lease and a stop ramp, and does what is
sent to it; the witness remembers what happened and what was sent, and knows when a stop is due.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tacs.session import Action, Do, Event, Plan, Session
from tacs.transitions import State, Trigger

__all__ = ["Device", "Witness"]

EMERGENCY_S = 0.1
ROUNDING_S = 1e-7
SLACK_S = 2e-6
STOPS = frozenset({Do.SOFT_STOP, Do.EMERGENCY_STOP})
STOP_EVENTS = frozenset({Trigger.STOP, Trigger.FAULT, Trigger.SOFT_FAULT})
PREPARING = {Trigger.CONNECTED: 1, Trigger.CHECKED: 2, Trigger.ARM: 3}
RISING = frozenset({State.TITRATING, State.RAMP_UP, State.HOLD, State.TRAIN_RISE, State.TRAIN_ON})
OVER = frozenset({State.DONE, State.STOPPED, State.FAULT})


class Device:
    """A stimulator with a lease: without renewal it ends its current over the stop ramp.

    Parameters
    ----------
    soft_stop_s : float
        How long that ramp takes.

    Attributes
    ----------
    on_s, level_seconds : float
        Time with current, and the integral of the fraction that flowed, since it was made.
    """

    __slots__ = (
        "fade_from_s",
        "fade_s",
        "fading",
        "lease_until_s",
        "level",
        "level_seconds",
        "now_s",
        "on_s",
        "playing",
        "soft_stop_s",
    )

    def __init__(self, soft_stop_s: float) -> None:
        self.soft_stop_s = soft_stop_s
        self.playing = self.fading = False
        self.now_s = self.level = self.on_s = self.level_seconds = 0.0
        self.lease_until_s = self.fade_from_s = self.fade_s = 0.0

    @property
    def live(self) -> bool:
        """Whether it plays, with a lease that has not run out and no stop under way."""
        return self.playing and not self.fading

    @property
    def current(self) -> float:
        """Fraction of the full current that flows now."""
        return self._current(self.now_s) if self.playing else 0.0

    def pass_to(self, now_s: float) -> None:
        """Let time pass."""
        if self.playing:
            if not self.fading:
                self._flow(min(now_s, self.lease_until_s))
                if now_s > self.lease_until_s:
                    self._fade(self.soft_stop_s)
            if self.fading:
                end_s = self.fade_from_s + self.fade_s
                self._flow(min(now_s, end_s))
                if now_s >= end_s:
                    self.playing = self.fading = False
                    self.level = 0.0
        self.now_s = now_s

    def obey(self, action: Action, lease_s: float) -> None:
        """Do what is sent; once it fades, a level and a lease do nothing."""
        do = action.do
        if do is Do.START:
            self.playing, self.fading, self.level = True, False, 0.0
            self.lease_until_s = self.now_s + action.value + ROUNDING_S
        elif do is Do.EMERGENCY_STOP:
            # A ramp under way that ends sooner by itself is left alone.
            left_s = self.fade_from_s + self.fade_s - self.now_s if self.fading else math.inf
            if self.playing and left_s > EMERGENCY_S:
                self.level = self.current
                self._fade(EMERGENCY_S)
        elif not self.live:
            return
        elif do is Do.SET_LEVEL:
            self.level = action.value
        elif do is Do.EXTEND_LEASE:
            self.lease_until_s = self.now_s + lease_s + ROUNDING_S
        elif do is Do.SOFT_STOP:
            self._fade(self.soft_stop_s)

    def in_the_end(self) -> tuple[float, float]:
        """Time with current and integral of the level, if nothing more were sent."""
        if not self.playing or self.level == 0.0:
            return self.on_s, self.level_seconds
        full_s = 0.0 if self.fading else self.lease_until_s - self.now_s
        end_s = self.fade_from_s + self.fade_s
        fade_s = max(end_s - self.now_s, 0.0) if self.fading else self.soft_stop_s
        return (
            self.on_s + full_s + fade_s,
            self.level_seconds + self.current * (full_s + 0.5 * fade_s),
        )

    def _fade(self, fade_s: float) -> None:
        self.fading, self.fade_from_s, self.fade_s = True, self.now_s, fade_s

    def _current(self, at_s: float) -> float:
        if not self.fading:
            return self.level
        return self.level * max(1.0 - (at_s - self.fade_from_s) / self.fade_s, 0.0)

    def _flow(self, to_s: float) -> None:
        """Count until a time up to which the current is straight."""
        span_s = to_s - self.now_s
        if self.level > 0.0 and span_s > 0.0:
            self.on_s += span_s
            self.level_seconds += 0.5 * span_s * (self._current(self.now_s) + self._current(to_s))
        self.now_s = max(to_s, self.now_s)


class Witness:
    """What somebody in the room would remember of a session.

    Parameters
    ----------
    plan : Plan
        What is to happen.

    Attributes
    ----------
    prepared : int
        How many of connecting, checking and arming were done, in this order; -1 once it ended.
    under_way, ended, ended_before : bool
        Whether it was started; whether a stop was asked for or sent, now or before this step.
    latching, lost : bool
        Whether it must end in a fault; whether what is sent no longer arrives.
    pausing, titrating : bool
        Whether a pause was asked for; whether no level has been accepted yet.
    due : str
        Why this step must stop the session; empty where nothing asks for it.
    level_before, was_live, dose_at_start : float, bool, tuple
        Of the device before this step's actions, and of kernel and device at the start.
    tolerated, held_since_s : float
        Highest level that was held long enough since the start or the last pause; when the present
        level was reached.
    zero_since_s, zero_late_s : float
        When the level last came to zero, and how late the tick was that brought it there.
    anew : bool
        Whether the next rise is the first one after a start or a resumption.
    train_since_s, trains : float, int
        When the present train first had current, NaN outside of one; how many there were.
    wanted_s : list of float
        Clock times that trains were asked for, each in time, since the last one began.
    asked_in_time : bool
        Whether the present train was.
    frequency_hz, retuned_s, frequency_before_hz, retuned_before_s : float
        Sent last, and when; and the same before this step.
    """

    __slots__ = (
        "anew",
        "asked_in_time",
        "asked_s",
        "ceiling",
        "device",
        "dose_at_start",
        "due",
        "ended",
        "ended_before",
        "ends",
        "frequency_before_hz",
        "frequency_hz",
        "heard_s",
        "held_since_s",
        "latching",
        "level_before",
        "looked_before_s",
        "looked_s",
        "lost",
        "pausing",
        "plan",
        "prepared",
        "renewed_s",
        "requested",
        "retuned_before_s",
        "retuned_s",
        "started_s",
        "stop_sent_before_s",
        "stop_sent_s",
        "titrating",
        "tolerated",
        "train_since_s",
        "trains",
        "under_way",
        "wanted_s",
        "was_live",
        "zero_late_s",
        "zero_since_s",
    )

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.device = Device(plan.soft_stop_s)
        self.ends = 0
        self.lost = False
        self._forget()

    def _forget(self) -> None:
        self.prepared = 0
        self.under_way = self.ended = self.ended_before = False
        self.latching = self.pausing = self.titrating = self.was_live = False
        self.due = ""
        self.ceiling = math.inf
        self.requested = self.level_before = 0.0
        self.dose_at_start = (0.0, 0.0, 0.0, 0.0)
        self.started_s = self.heard_s = self.renewed_s = self.asked_s = math.nan
        self.stop_sent_s = self.stop_sent_before_s = math.nan
        self.looked_s = self.looked_before_s = math.nan
        self.tolerated, self.trains, self.anew = 0.0, 0, True
        self.held_since_s = self.zero_since_s = self.train_since_s = math.nan
        self.zero_late_s, self.asked_in_time = 0.0, False
        self.wanted_s: list[float] = []
        self.frequency_hz = self.frequency_before_hz = self.plan.frequency_hz
        self.retuned_s = self.retuned_before_s = math.nan

    def hear(self, before: Session, event: Event, now_s: float) -> None:
        """Let the device's time pass, note what happened, and judge whether a stop is due."""
        device, trigger = self.device, event.trigger
        if device.now_s <= now_s < math.inf:
            device.pass_to(now_s)
        self.level_before, self.was_live = device.level, device.live
        self.looked_before_s, self.ended_before = self.looked_s, self.ended
        self.stop_sent_before_s = self.stop_sent_s
        self.frequency_before_hz, self.retuned_before_s = self.frequency_hz, self.retuned_s
        if trigger is Trigger.ACKNOWLEDGE and before.state in OVER:
            self._forget()
        running = self.under_way and not self.ended
        self.due = self.why_stop(event, now_s, SLACK_S) if running else ""
        if running and not self.plan.can_pause and self.can_be_paused(before.state):
            if trigger is Trigger.PAUSE or self._is_bad(event):
                self.due = self.due or "no pause"
        if self.due or trigger in STOP_EVENTS:
            self.ended = True
        if trigger is Trigger.TICK:
            self.looked_s = now_s
            self._tolerate(now_s)
        elif trigger is Trigger.TRAIN and before.state is State.BETWEEN_TRAINS:
            at_s = now_s if event.value == -math.inf else self.started_s + event.value
            if now_s - SLACK_S <= at_s < math.inf:
                self.wanted_s.append(at_s)
        elif trigger is Trigger.ALIVE:
            self.heard_s = now_s
        elif trigger in PREPARING:
            if self.prepared == PREPARING[trigger] - 1:
                self.prepared += 1
            if trigger is Trigger.CONNECTED and before.state is State.IDLE:
                self.lost = False  # connecting silences whatever still plays
                device.obey(Action(Do.EMERGENCY_STOP), 0.0)
        elif trigger is Trigger.SOFT_FAULT:
            self.latching = True
        elif trigger is Trigger.HIGHER:
            self.requested = min(device.level + self.plan.titration_step, 1.0)
        elif trigger is Trigger.LOWER:
            self.requested = device.level
        elif trigger is Trigger.RESUME:
            if before.state is State.PAUSED:
                self.pausing, self.requested, self.anew = False, 0.0, True
        elif trigger is Trigger.PAUSE or self._is_bad(event):
            self.pausing = self.pausing or self.can_be_paused(before.state)
            self.tolerated, self.held_since_s, self.wanted_s = 0.0, now_s, []

    def can_be_paused(self, state: State) -> bool:
        """Whether a pause means anything in a state: where current flows, or soon flows again."""
        if state in RISING or state is State.TRAIN_FALL:
            return True
        return state is State.BETWEEN_TRAINS and bool(self.plan.trains.course)

    def _tolerate(self, now_s: float) -> None:
        """Take the level that has been held all along as tolerated, once that is long enough."""
        trains = self.plan.trains
        held_s = now_s - self.held_since_s
        if trains.course and self.under_way and held_s >= trains.tolerated_s - SLACK_S:
            self.tolerated = max(self.tolerated, self.device.level)

    def why_stop(self, event: Event, now_s: float, slack: float) -> str:
        """Why an event ends a session that is under way; empty where nothing asks for it.

        With a positive slack it must, with a negative one it may.
        """
        plan, trigger = self.plan, event.trigger
        if trigger in STOP_EVENTS:
            return "asked"
        if not now_s - self.looked_s >= min(-slack, 0.0):
            return "clock"
        if not now_s - self.renewed_s <= plan.lease_s + slack:
            return "lease"
        if trigger is Trigger.SILENT:
            return "silent device"
        if trigger is Trigger.RATING and not 0.0 <= event.value < plan.discomfort_stop:
            return "rating"
        if trigger is not Trigger.TICK:
            return ""
        operator_s = plan.operator_lease_s
        if operator_s is not None and not now_s - self.heard_s <= operator_s + slack:
            return "silent operator"
        on_s, level_seconds = self.dose()
        if on_s > plan.current_on_max_s + slack:
            return "time with current"
        return "dose" if level_seconds > plan.level_seconds_max + slack else ""

    def dose(self) -> tuple[float, float]:
        """What the kernel's counters must say now: theirs at the start, and the device's since."""
        kernel_on_s, kernel_level_s, on_s, level_s = self.dose_at_start
        return (
            kernel_on_s + self.device.on_s - on_s,
            kernel_level_s + self.device.level_seconds - level_s,
        )

    def send(
        self,
        before: Session,
        event: Event,
        after: Session,
        actions: Sequence[Action],
        now_s: float,
        arrive: int | None = None,
    ) -> None:
        """Note the actions, and pass them on to the device: all of them, or the first few."""
        for i, action in enumerate(actions):
            do = action.do
            if do is Do.START:
                self._start(after, now_s)
            elif do is Do.EXTEND_LEASE:
                self.renewed_s = now_s
            elif do is Do.READ_STATUS:
                self.asked_s = now_s
            elif do in STOPS:
                self.ended, self.stop_sent_s = True, now_s
            elif do is Do.SET_LEVEL:
                self._set(action.value, now_s)
            elif do is Do.RETUNE:
                self.frequency_hz, self.retuned_s = action.value, now_s
            if not self.lost and (arrive is None or i < arrive):
                self.device.obey(action, self.plan.lease_s)
        if self.ended and not self.ended_before:
            self.prepared = -1
            self.ends += 1
        if event.trigger is Trigger.ACCEPT and after.state is not before.state:
            self.titrating, self.ceiling = False, self.device.level

    def _set(self, level: float, now_s: float) -> None:
        """Note what a new level begins or ends."""
        self.held_since_s = now_s
        if level == 0.0:
            self.zero_since_s, self.train_since_s = now_s, math.nan
            self.zero_late_s = now_s - self.looked_before_s
        elif self.level_before == 0.0:
            if self.plan.trains.course and not (self.anew or self.titrating):
                self.trains += 1
                self.asked_in_time = any(at_s <= now_s + SLACK_S for at_s in self.wanted_s)
                self.train_since_s, self.wanted_s = now_s, []
            self.anew = False

    def _start(self, after: Session, now_s: float) -> None:
        plan, device = self.plan, self.device
        self.under_way = True
        self.titrating = plan.titration_step > 0.0
        self.started_s = self.heard_s = self.renewed_s = self.asked_s = self.looked_s = now_s
        self.requested = 0.0
        self.retuned_s = now_s
        self.dose_at_start = (
            after.current_on_s, after.level_seconds, device.on_s, device.level_seconds,
        )  # fmt: skip

    def _is_bad(self, event: Event) -> bool:
        return event.trigger is Trigger.RATING and event.value >= self.plan.discomfort_pause
