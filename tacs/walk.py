"""Every configuration of the kernel that can be walked to, and whether each leads to an end.

Breadth first, by real steps, not by the table: a configuration is the state with its flags, where
the level and the programme stand, and whether a wait is over; time is coarse. From each one every
event is tried, time is let pass, a tick comes late or too early, and the operator falls silent.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tacs import session as kernel
from tacs.kernel_rules import transition
from tacs.session import Event, Plan, Session, Trains
from tacs.transitions import ENERGISED, RUNNING, TERMINAL, TRANSITIONS, State, Trigger

__all__ = ["Walk", "walk_kernel"]

TICK_S = 0.25
MOST_TICKS = 400
RATINGS = (0.0, 6.0, 7.0, math.nan)
PLANS = (
    Plan(duration_s=8.0, ramp_up_s=2.0, ramp_down_s=1.5, hold_end_s=6.5, silent=False, lease_s=1.0),
    Plan(
        duration_s=9.0,
        ramp_up_s=2.0,
        ramp_down_s=1.5,
        hold_end_s=7.5,
        silent=False,
        lease_s=1.0,
        operator_lease_s=2.0,
        titration_step=0.5,
        current_on_max_s=6.0,
    ),
    Plan(duration_s=5.0, ramp_up_s=2.0, ramp_down_s=1.5, hold_end_s=0.0, silent=True, lease_s=1.0),
    Plan(
        duration_s=9.0,
        ramp_up_s=2.0,
        ramp_down_s=1.5,
        hold_end_s=3.0,
        silent=False,
        lease_s=1.0,
        level_seconds_max=2.0,
    ),
    *(
        Plan(
            duration_s=16.0,
            ramp_up_s=2.0,
            ramp_down_s=1.5,
            hold_end_s=14.5,
            silent=False,
            rise_span_s=1.0,
            lease_s=1.0,
            titration_step=titration_step,
            trains=Trains(
                on_s=1.5,
                off_s=1.0,
                edge_s=0.5,
                tolerated_s=1.0,
                course=((9.5, 1.0), (10.5, 0.5)) if sweep else ((math.nan, 1.0),) * 2,
                span_s=0.1 if titration_step else 1.0,
                on_request=not sweep,
            ),
            frequency_hz=10.0,
            retune_from_hz=9.5,
            retune_to_hz=10.5,
            retune_step_hz=0.0 if sweep else 0.3,
            retune_playing=not sweep,
        )
        for sweep, titration_step in ((True, 0.0), (False, 0.0), (False, 0.5))
    ),
)

Key = tuple[object, ...]
Place = tuple[Session, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """What the walk found.

    Parameters
    ----------
    configurations, steps : int
        Found, and tried.
    states : tuple of str
        Reached.
    reached : tuple of tuple
        State and trigger of each transition of the table that was taken.
    deadlocks, failures : tuple of str
        Configurations that lead to no end, and steps that the kernel could not take.
    stop_steps_most : int
        Steps from a stop to an end, the device's answer included, from the worst configuration.
    end_s_most : float
        Longest time from a configuration with current to an end, where nobody does anything and the
        device tells the truth.
    unanswered_s_most : float
        Longest time from a stop to the fault, where the device never answers.
    """

    configurations: int
    steps: int
    states: tuple[str, ...]
    reached: tuple[tuple[str, str], ...]
    deadlocks: tuple[str, ...]
    failures: tuple[str, ...]
    stop_steps_most: int
    end_s_most: float
    unanswered_s_most: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "configurations": self.configurations,
            "steps": self.steps,
            "states": list(self.states),
            "states_total": len(State),
            "transitions_reached": len(self.reached),
            "transitions_total": sum(len(row) for row in TRANSITIONS.values()),
            "deadlocks": list(self.deadlocks),
            "failures": list(self.failures),
            "stop_steps_most": self.stop_steps_most,
            "end_s_most": self.end_s_most,
            "unanswered_s_most": self.unanswered_s_most,
        }


class _Walker:
    def __init__(self) -> None:
        self.steps = 0
        self.taken: set[tuple[State, Trigger]] = set()
        self.failures: set[str] = set()

    def step(self, session: Session, event: Event, now_s: float) -> Session:
        self.steps += 1
        try:
            after, _ = kernel.step(session, event, now_s)
        except Exception as exc:
            self.failures.add(
                f"{session.state.value}: {event.trigger.value}: {type(exc).__name__}: {exc}"
            )
            return session
        if took := transition(session.state, event.trigger, after.state):
            self.taken.add((session.state, took))
        return after

    def places(self, session: Session, now_s: float) -> Iterator[Place]:
        """Where one move leads from a place."""
        for trigger in Trigger:
            if trigger is Trigger.TRAIN:
                for in_s in (-math.inf, -1.0, 0.5):
                    at_s = session.elapsed_s(now_s) + in_s
                    yield self.step(session, Event(trigger, "walk", at_s), now_s), now_s
            elif trigger is Trigger.RETUNE:
                for moved_hz in (0.25, 2.0):
                    to_hz = session.frequency_hz + moved_hz
                    yield self.step(session, Event(trigger, "walk", to_hz), now_s), now_s
            elif trigger is not Trigger.RATING:
                yield self.step(session, Event(trigger, "walk"), now_s), now_s
        for rating in RATINGS:
            yield self.step(session, Event(Trigger.RATING, "walk", rating), now_s), now_s
        for after_s in (0.02, session.plan.lease_s + 0.5, -1.0):
            yield self.step(session, Event(Trigger.TICK), now_s + after_s), now_s + after_s
        yield self.wait(session, now_s, heard=True)
        yield self.wait(session, now_s, heard=False)

    def wait(self, session: Session, now_s: float, *, heard: bool) -> Place:
        """Let time pass until the configuration is another one."""
        key = _key(session, now_s)
        for _ in range(MOST_TICKS):
            now_s += TICK_S
            if heard:
                session = self.step(session, Event(Trigger.ALIVE), now_s)
            session = self.step(session, Event(Trigger.TICK), now_s)
            if _key(session, now_s) != key:
                break
        return session, now_s

    def stop_steps(self, session: Session, now_s: float) -> int:
        """Steps from a stop to an end, where the device tells that it is silent."""
        session = self.step(session, Event(Trigger.STOP, "walk"), now_s)
        if session.state in TERMINAL:
            return 1
        session = self.step(session, Event(Trigger.SILENT), now_s)
        return 2 if session.state in TERMINAL else MOST_TICKS

    def unanswered_s(self, session: Session, now_s: float) -> float:
        """Time from a stop to an end, where the device never answers."""
        session = self.step(session, Event(Trigger.STOP, "walk"), now_s)
        return self._until_over(session, now_s, lambda _: False)

    def end_s(self, session: Session, now_s: float) -> float:
        """Time to an end, where nobody does anything and the device tells the truth."""

        def silent(s: Session) -> bool:
            return s.ending or s.state is State.STOPPING

        return self._until_over(session, now_s, silent)

    def _until_over(
        self, session: Session, now_s: float, silent: Callable[[Session], bool]
    ) -> float:
        from_s = now_s
        for _ in range(MOST_TICKS):
            if session.state in TERMINAL:
                return now_s - from_s
            now_s += TICK_S
            session = self.step(session, Event(Trigger.TICK), now_s)
            if silent(session):
                session = self.step(session, Event(Trigger.SILENT), now_s)
        return math.inf


def _key(session: Session, now_s: float) -> Key:
    """The configuration that a session is in, at a coarse time."""
    plan, level = session.plan, session.level
    elapsed_s = session.elapsed_s(now_s)
    marks_s = (plan.hold_end_s - plan.ramp_up_s, plan.hold_end_s, plan.duration_s - 1e-9)
    return (
        plan,
        session.state,
        session.pausing,
        session.ending,
        session.latching,
        # Once over, only the state tells what may happen.
        session.state in RUNNING and sum(elapsed_s >= mark_s for mark_s in marks_s),
        (level > 0.0) + (level >= session.ceiling),
        session.ceiling == 0.0,
        (session.target > level) - (session.target < level),
        min(session.trains, 2),
        session.tolerated > 0.0,
        math.isnan(session.next_train_s),
        session.state in RUNNING and session.frequency_hz != plan.frequency_hz,
    )


def walk_kernel() -> Walk:
    """Walk to every configuration, from idle, with each of four small programmes.

    Returns
    -------
    Walk
    """
    walker = _Walker()
    places: dict[Key, Place] = {}
    leads_to: dict[Key, set[Key]] = {}
    for plan in PLANS:
        start = (Session(plan=plan), 0.0)
        places[_key(*start)] = start
        queue = deque([_key(*start)])
        while queue:
            key = queue.popleft()
            leads_to[key] = set()
            for place in walker.places(*places[key]):
                there = _key(*place)
                leads_to[key].add(there)
                if there not in places:
                    places[there] = place
                    queue.append(there)
    energised = [place for place in places.values() if place[0].state in ENERGISED]
    table = [(s, t) for s, row in TRANSITIONS.items() for t in row]
    return Walk(
        configurations=len(places),
        stop_steps_most=max(walker.stop_steps(*place) for place in places.values()),
        end_s_most=max(walker.end_s(*place) for place in energised),
        unanswered_s_most=max(walker.unanswered_s(*place) for place in energised),
        deadlocks=_deadlocks(places, leads_to),
        failures=tuple(sorted(walker.failures)),
        states=tuple(s.value for s in State if any(p[0].state is s for p in places.values())),
        reached=tuple((s.value, t.value) for s, t in table if (s, t) in walker.taken),
        steps=walker.steps,
    )


def _deadlocks(places: dict[Key, Place], leads_to: dict[Key, set[Key]]) -> tuple[str, ...]:
    """Configurations from which no way leads to an end."""
    comes_from: dict[Key, set[Key]] = {key: set() for key in places}
    for key, targets in leads_to.items():
        for target in targets:
            comes_from[target].add(key)
    queue = deque(key for key, (session, _) in places.items() if session.state in TERMINAL)
    fine = set(queue)
    while queue:
        for key in comes_from[queue.popleft()] - fine:
            fine.add(key)
            queue.append(key)
    return tuple(str(key[1:]) for key in places if key not in fine)
