"""``tacs verify kernel``: random sequences of events that must not break a rule of the session.

A plain seeded loop, for volume; the tests have the same rules under hypothesis, for small
counterexamples. Rules are checked after every step, on what the kernel would have the guardian do.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tacs.session import (
    RUNNING,
    TERMINAL,
    Action,
    Do,
    Event,
    Plan,
    Session,
    State,
    Trigger,
    step,
)

__all__ = ["RULES", "Campaign", "verify_kernel"]

STEPS = 50
EVENTS = (
    *[Trigger.TICK] * 12,
    *[Trigger.ALIVE] * 2,
    *[Trigger.PLAYING] * 2,
    *[t for t in Trigger if t not in {Trigger.TICK, Trigger.ALIVE, Trigger.PLAYING}],
)
CALM = (*[Trigger.TICK] * 20, *[Trigger.ALIVE] * 6, Trigger.PLAYING, Trigger.PAUSE, Trigger.RESUME)
WITH_CURRENT = frozenset({State.RAMP_UP, State.HOLD, State.RAMP_DOWN})


@dataclass(frozen=True, slots=True)
class _Move:
    """One step: what stood before, what happened, what stands now and is to be done."""

    before: Session
    event: Event
    after: Session
    actions: tuple[Action, ...]
    now_s: float

    @property
    def levels(self) -> list[float]:
        return [action.value for action in self.actions if action.do is Do.SET_LEVEL]


def _within_the_protocol(m: _Move) -> bool:
    return all(0.0 <= level <= 1.0 for level in [*m.levels, m.after.level])


def _current_only_while_running(m: _Move) -> bool:
    return m.after.level == 0.0 or m.after.state in WITH_CURRENT


def _rise_no_faster_than_the_ramp(m: _Move) -> bool:
    waited_s = m.now_s - m.before.tick_s
    return all(
        level - m.before.level <= waited_s / m.after.plan.ramp_up_s + 1e-9 for level in m.levels
    )


def _nothing_rises_after_a_stop(m: _Move) -> bool:
    ended = m.before.state in TERMINAL | {State.STOPPING} or m.before.ending
    return not (ended and any(level > 0.0 for level in m.levels))


def _stop_is_obeyed_at_once(m: _Move) -> bool:
    if m.event.trigger is not Trigger.STOP or m.before.state not in RUNNING:
        return True
    return m.after.state is State.STOPPING and any(a.do is Do.SOFT_STOP for a in m.actions)


def _a_fault_latches(m: _Move) -> bool:
    if m.before.state is not State.FAULT or m.event.trigger is Trigger.ACKNOWLEDGE:
        return True
    return m.after.state is State.FAULT


def _start_only_from_armed(m: _Move) -> bool:
    started = any(action.do is Do.START for action in m.actions)
    return not started or m.before.state is State.ARMED


def _the_dose_only_grows(m: _Move) -> bool:
    if m.event.trigger is Trigger.ACKNOWLEDGE:
        return True
    grows = m.after.current_on_s >= m.before.current_on_s
    return grows and m.after.level_seconds >= m.before.level_seconds


def _the_end_does_not_move(m: _Move) -> bool:
    # Between ticks the level is the last one commanded, which the device's lease bounds.
    if (
        m.event.trigger is not Trigger.TICK
        or m.after.state not in WITH_CURRENT
        or m.after.level == 0.0
    ):
        return True
    return m.after.elapsed_s(m.now_s) <= m.after.plan.duration_s + m.after.plan.lease_s


def _a_sham_stays_silent(m: _Move) -> bool:
    return not m.after.plan.silent or m.after.level == 0.0


RULES: dict[str, Callable[[_Move], bool]] = {
    "level within the protocol": _within_the_protocol,
    "current only while running": _current_only_while_running,
    "rise no faster than the ramp": _rise_no_faster_than_the_ramp,
    "nothing rises after a stop": _nothing_rises_after_a_stop,
    "a stop is obeyed at once": _stop_is_obeyed_at_once,
    "a fault latches": _a_fault_latches,
    "start only from armed": _start_only_from_armed,
    "the dose only grows": _the_dose_only_grows,
    "the end does not move": _the_end_does_not_move,
    "a passive sham stays silent": _a_sham_stays_silent,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What a campaign found.

    Parameters
    ----------
    sequences, steps : int
        How much was tried.
    violations : int
        Steps that broke a rule.
    by_rule : dict of str to int
        Violations of each rule.
    states : dict of str to int
        How often each state was left or kept.
    first : str or None
        The first sequence that broke a rule: its number and the events up to there.
    """

    sequences: int
    steps: int
    violations: int
    by_rule: dict[str, int]
    states: dict[str, int]
    first: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "sequences": self.sequences,
            "steps": self.steps,
            "violations": self.violations,
            "by_rule": self.by_rule,
            "states": self.states,
            "first": self.first,
        }


def verify_kernel(sequences: int, seed: int) -> Campaign:
    """Throw random sequences of events at the kernel.

    Parameters
    ----------
    sequences : int
        How many, of 50 steps each.
    seed : int
        Same seed, same sequences.

    Returns
    -------
    Campaign
    """
    broken: Counter[str] = Counter()
    states: Counter[str] = Counter()
    first: str | None = None
    for number in range(sequences):
        rng = random.Random(f"{seed}/{number}")
        session, now_s, told = Session(plan=_plan(rng)), 0.0, list[str]()
        # Half of the sequences begin with a session that is under way.
        opening = (Trigger.CONNECTED, Trigger.CHECKED, Trigger.ARM, Trigger.START)
        script = list(opening) if rng.random() < 0.5 else []
        # One sequence in four is calm, without faults and stops, so that programmes run out.
        wild = rng.random() < 0.75
        events = EVENTS if wild else CALM
        for _ in range(STEPS):
            calm_end = session.ending and not wild
            trigger = script.pop(0) if script else rng.choice(events)
            trigger = Trigger.SILENT if calm_end else trigger
            now_s += rng.choice((0.0, 0.02, 0.05, 0.5, 0.9) + (1.5,) * wild)
            event = Event(trigger, "campaign")
            after, actions = step(session, event, now_s)
            move = _Move(session, event, after, actions, now_s)
            told.append(f"{now_s:.2f} {trigger.value}")
            for name, holds in RULES.items():
                if not holds(move):
                    broken[name] += 1
                    first = first or f"sequence {number}: {name}: {', '.join(told)}"
            states[after.state.value] += 1
            session = after
    return Campaign(
        sequences=sequences,
        steps=sequences * STEPS,
        violations=sum(broken.values()),
        by_rule={name: broken[name] for name in RULES},
        states=dict(sorted(states.items())),
        first=first,
    )


def _plan(rng: random.Random) -> Plan:
    """A short programme, so that fifty steps reach its end."""
    up_s, down_s, hold_s = (rng.uniform(0.5, 4.0) for _ in range(3))
    quiet_s = rng.choice((0.0, 2.0))
    silent = rng.random() < 0.1
    return Plan(
        duration_s=up_s + hold_s + down_s + quiet_s,
        ramp_up_s=up_s,
        ramp_down_s=down_s,
        hold_end_s=0.0 if silent else up_s + hold_s,
        silent=silent,
        lease_s=1.0,
        operator_lease_s=rng.choice((None, 1.0)),
    )
