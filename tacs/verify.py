"""``tacs verify kernel``: random sequences of events that must not break a rule of the session.

A plain seeded loop, for volume; the tests have the same rules under hypothesis, for small
counterexamples. Each sequence has a programme, an operator, a device with a lease, and often
something that goes wrong: a rating that is none, a clock that jumps or stands still, a lost
link, a device that lies. Sequence 17 of seed 1 is the same on every computer, and whatever the
number of processes.
"""

from __future__ import annotations

import math
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tacs import session as kernel
from tacs.kernel_rules import RULES, Move, broken_rules, transition
from tacs.kernel_witness import Witness
from tacs.session import NO_TRAINS, Do, Event, Plan, Session, Trains
from tacs.transitions import TERMINAL, TRANSITIONS, State, Trigger

__all__ = ["Campaign", "verify_kernel"]

STEPS = 50
FAILS = "no step fails"
CHUNK = 2000
T = Trigger
OPENING = (T.CONNECTED, T.CHECKED, T.ARM, T.START)
# Rare by chance: a level is accepted, the session pauses, and goes on.
ACCEPTED_AND_RESUMED = (
    *(T.HIGHER, T.TICK, T.TICK, T.ALIVE, T.TICK, T.ACCEPT, T.TICK, T.PAUSE),
    *(T.TICK, T.ALIVE, T.TICK, T.TICK, T.RESUME),
)
# And rare: it pauses early, and what is left is long enough to go on to the end.
PAUSED_EARLY = (T.TICK, T.TICK, T.PAUSE, *[T.TICK] * 3, T.ALIVE, T.TICK, T.TICK, T.RESUME)
# Rarer: the run-in is over, and trains come.
INTO_TRAINS = (
    *[T.TICK] * 4, T.ALIVE, *[T.TICK] * 4, T.ALIVE, T.TRAIN, *[T.TICK] * 4, T.ALIVE, T.TRAIN,
    *[T.TICK] * 5, T.ALIVE, *[T.TICK] * 3,
)  # fmt: skip
BAD_TIMES_S = (math.nan, math.inf, -5.0)
TRAINS_IN_S = (-math.inf, -math.inf, 0.0, 0.1, 0.5, -0.03, -0.5, math.nan, math.inf)
RETUNES_HZ = (-0.2, 0.2, 0.4, -0.4, 3.0, math.nan)
RATINGS = (math.nan, math.inf, -math.inf, -1.0, 0.0, 3.0, 5.0, 6.0, 6.5, 7.0, 10.0, 11.0)
TWISTS = (T.STOP, T.SOFT_FAULT, T.FAULT, T.PAUSE)
STATUS = frozenset({T.PLAYING, T.SILENT})
HARMLESS = frozenset(T) - {T.TICK, T.STOP, T.FAULT, T.SOFT_FAULT, T.PAUSE, T.RATING}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """A kind of sequence: which events come how often, and after which waits."""

    events: tuple[Trigger, ...]
    waits_s: tuple[float, ...]
    ratings: tuple[float, ...]
    wild: bool = False


CALM = _Kind(
    events=(*[T.TICK] * 24, *[T.ALIVE] * 4, *[T.PAUSE] * 2, *[T.RESUME] * 4),
    waits_s=(0.02, 0.05, 0.2, 0.5, 0.7),
    ratings=(0.0,),
)
OPERATED = _Kind(
    events=(
        *[T.TICK] * 30,
        *[T.ALIVE] * 6,
        *[T.HIGHER] * 8,
        *[T.ACCEPT] * 4,
        *[T.RESUME] * 6,
        *[T.PAUSE] * 3,
        *[T.RATING] * 2,
        *[T.RETUNE] * 2,
        T.LOWER,
        T.STOP,
    ),
    waits_s=(0.0, 0.02, 0.05, 0.25, 0.5, 0.7),
    ratings=(0.0, 2.0, 5.0, 6.0, 6.5, 7.0),
)
WILD = _Kind(
    events=(*[T.TICK] * 24, *[T.ALIVE] * 4, *[T.PLAYING] * 3, *(t for t in T if t is not T.TICK)),
    waits_s=(0.0, 0.02, 0.05, 0.25, 0.5, 0.9, 1.5),
    ratings=RATINGS,
    wild=True,
)
TRAINED = _Kind(
    events=(
        *[T.TICK] * 36,
        *[T.ALIVE] * 5,
        *[T.TRAIN] * 5,
        *[T.RETUNE] * 3,
        *[T.PAUSE] * 2,
        *[T.RESUME] * 4,
        T.RATING,
    ),
    waits_s=(0.02, 0.02, 0.02, 0.05, 0.1, 0.4),
    ratings=(0.0, 3.0, 6.0, 6.5),
)
KINDS = (CALM, OPERATED, OPERATED, WILD, WILD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What a campaign found.

    Parameters
    ----------
    sequences, steps : int
        How much was tried.
    violations : int
        Rules broken, summed over steps.
    by_rule : dict of str to int
        Violations of each rule.
    states : dict of str to int
        How often each state stood after a step.
    reached : tuple of tuple
        State and trigger of each transition of the table that was taken.
    first : str or None
        The first sequence that broke a rule: its number and the events up to there.
    first_number : int or None
        That number.
    """

    sequences: int
    steps: int
    violations: int
    by_rule: dict[str, int]
    states: dict[str, int]
    reached: tuple[tuple[str, str], ...]
    first: str | None
    first_number: int | None

    @property
    def transitions_total(self) -> int:
        """Transitions that the table has."""
        return sum(len(row) for row in TRANSITIONS.values())

    @property
    def missed(self) -> tuple[tuple[str, str], ...]:
        """State and trigger of each transition that was not taken."""
        table = [(s.value, t.value) for s, row in TRANSITIONS.items() for t in row]
        return tuple(pair for pair in table if pair not in self.reached)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "sequences": self.sequences,
            "steps": self.steps,
            "violations": self.violations,
            "by_rule": self.by_rule,
            "states": self.states,
            "transitions_reached": len(self.reached),
            "transitions_total": self.transitions_total,
            "transitions_missed": [f"{state}: {trigger}" for state, trigger in self.missed],
            "first": self.first,
        }


@dataclass(slots=True)
class _Tally:
    """Counts of some of the sequences; picklable, and summed in order."""

    broken: Counter[str]
    states: Counter[str]
    taken: set[tuple[State, Trigger, State]]
    first: tuple[int, str] | None = None

    def add(self, other: _Tally) -> None:
        self.broken += other.broken
        self.states += other.states
        self.taken |= other.taken
        self.first = self.first or other.first


def verify_kernel(
    sequences: int,
    seed: int,
    *,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
    until_broken: bool = False,
) -> Campaign:
    """Throw random sequences of events at the kernel.

    Parameters
    ----------
    sequences : int
        How many, of 50 steps each.
    seed : int
        Same seed, same sequences.
    workers : int
        Processes; the result does not depend on it.
    progress : callable, optional
        Given the number of sequences that are done, now and then.
    until_broken : bool
        Whether to end with the first sequence that breaks a rule (in this process).

    Returns
    -------
    Campaign
    """
    total, done = _Tally(Counter(), Counter(), set()), 0
    chunk = 1 if until_broken else CHUNK
    chunks = [(seed, first, min(first + chunk, sequences)) for first in range(0, sequences, chunk)]
    for (_, _, last), tally in zip(chunks, _tallies(chunks, workers), strict=False):
        total.add(tally)
        done = last
        if progress is not None:
            progress(done)
        if until_broken and total.first is not None:
            break
    table = [(s, t) for s, row in TRANSITIONS.items() for t in row]
    taken = {(before, transition(*move)) for move in total.taken for before in [move[0]]}
    return Campaign(
        sequences=done,
        steps=done * STEPS,
        violations=sum(total.broken.values()),
        by_rule={name: total.broken[name] for name in (*RULES, FAILS)},
        states=dict(sorted(total.states.items())),
        reached=tuple((s.value, t.value) for s, t in table if (s, t) in taken),
        first=total.first[1] if total.first else None,
        first_number=total.first[0] if total.first else None,
    )


def _tallies(chunks: list[tuple[int, int, int]], workers: int) -> Iterator[_Tally]:
    """One tally for each chunk, in order."""
    if workers <= 1 or len(chunks) <= 1:
        yield from map(_tally, chunks)
        return
    from multiprocessing import get_context

    with get_context("spawn").Pool(min(workers, len(chunks)), _give_way) as pool:
        yield from pool.imap(_tally, chunks)


def _give_way() -> None:
    os.nice(10)


def _tally(chunk: tuple[int, int, int]) -> _Tally:
    seed, first, last = chunk
    tally = _Tally(Counter(), Counter(), set())
    states: list[State] = []
    for number in range(first, last):
        _Sequence(seed, number, tally, states).play()
    tally.states.update(Counter(state.value for state in states))
    return tally


class _Sequence:
    """One sequence."""

    def __init__(self, seed: int, number: int, tally: _Tally, states: list[State]) -> None:
        self.rng = rng = random.Random(f"{seed}/{number}")
        self.number, self.tally, self.states = number, tally, states
        self.kind = rng.choice(KINDS)
        self.plan = _plan(rng)
        if self.plan.trains.course and rng.random() < 0.6:
            self.kind = TRAINED
        self.witness = Witness(self.plan)
        # Nine in ten begin with a session that is under way, or is soon to be.
        self.script = self._opening() if rng.random() < 0.9 else []
        self.twist_at = rng.randrange(2 * STEPS) if self.kind is not CALM else STEPS
        if self.kind is TRAINED:
            self.twist_at = rng.randrange(STEPS // 2, STEPS + STEPS // 4)  # when trains have come
        self.frozen = rng.random() < 0.02
        lossy = self.kind.wild and rng.random() < 0.2
        self.lost_at = rng.randrange(STEPS) if lossy else STEPS
        self.for_good, self.loses_stop = rng.random() < 0.5, rng.random() < 0.5
        self.told: list[tuple[float, Trigger]] = []

    def play(self) -> None:
        """Take 50 steps."""
        rng, kind, witness = self.rng, self.kind, self.witness
        session, now_s = Session(plan=self.plan), 0.0
        events, waits_s = rng.choices(kind.events, k=STEPS), rng.choices(kind.waits_s, k=STEPS)
        for i in range(STEPS):
            trigger = self.script.pop(0) if self.script else events[i]
            # What the guardian makes of a lost command comes next, whatever else does.
            if i == self.twist_at and not (witness.lost and trigger is T.FAULT):
                trigger = rng.choice(TWISTS)
            if witness.lost and trigger in STATUS:
                trigger = T.TICK  # nothing is heard from the device
            if (kind.wild or trigger is T.TICK) and not self.frozen:
                now_s += waits_s[i]
            told_s = now_s
            if kind.wild and session.energised and rng.random() < 0.03:
                bad_s = rng.choice(BAD_TIMES_S)
                told_s = now_s + bad_s
            event = Event(trigger, "campaign", self._value(trigger, session, now_s))
            after = self._step(i, session, event, told_s)
            if after is None:
                return
            session = after

    def _opening(self) -> list[Trigger]:
        """From idle to a start; now and then something comes between."""
        script = list(OPENING)
        if self.rng.random() < 0.15:
            script.insert(self.rng.randrange(len(script)), self.rng.choice(TWISTS))
        if self.kind is OPERATED and self.plan.titration_step and self.rng.random() < 0.3:
            script += ACCEPTED_AND_RESUMED
        elif self.kind is CALM and self.rng.random() < 0.2:
            script += PAUSED_EARLY
        elif self.kind is TRAINED and self.rng.random() < 0.6:
            first = (T.HIGHER, T.TICK, T.TICK, T.TICK, T.ACCEPT) if self.plan.titration_step else ()
            script += [*first, *INTO_TRAINS]
        return script

    def _value(self, trigger: Trigger, session: Session, now_s: float) -> float:
        if trigger is T.TRAIN:
            return session.elapsed_s(now_s) + self.rng.choice(TRAINS_IN_S)
        if trigger is T.RETUNE:
            return session.frequency_hz + self.rng.choice(RETUNES_HZ)
        return self.rng.choice(self.kind.ratings) if trigger is T.RATING else math.nan

    def _step(self, i: int, session: Session, event: Event, now_s: float) -> Session | None:
        """Take a step, and hold it against the rules; None where the kernel could not."""
        witness, trigger = self.witness, event.trigger
        self.told.append((now_s, trigger))
        try:
            after, actions = kernel.step(session, event, now_s)
        except Exception as exc:
            # A kernel that cannot take a step holds the current on: the worst that it can do.
            self._broken(f"{FAILS} ({type(exc).__name__}: {exc})")
            self.tally.broken[FAILS] += 1
            return None
        if trigger is T.FAULT and witness.lost and not self.for_good:
            witness.lost = False
        witness.hear(session, event, now_s)
        losing = i >= self.lost_at and bool(actions) and witness.under_way
        losing = losing and not (self.loses_stop and actions[-1].do is not Do.SOFT_STOP)
        if losing:
            self.lost_at = STEPS
        witness.send(
            session,
            event,
            after,
            actions,
            now_s,
            self.rng.randrange(len(actions)) if losing else None,
        )
        if losing:
            witness.lost = True
            # The guardian makes a fault of what it cannot send.
            if trigger is not T.FAULT:
                self.script.insert(0, T.FAULT)
        elif actions:
            self._answer([action.do for action in actions])
        self.states.append(after.state)
        if after is not session or actions:
            self.tally.taken.add((session.state, trigger, after.state))
        elif not witness.due and (
            trigger in HARMLESS or not (witness.under_way or session.energised)
        ):
            return after
        for name in broken_rules(Move(session, event, after, actions, now_s, witness)):
            self.tally.broken[name] += 1
            self._broken(name)
        over = after.state in TERMINAL and not self.script
        if over and (not self.kind.wild or self.rng.random() < 0.2):
            twist = [self.rng.choice(TWISTS)] if self.rng.random() < 0.5 else []
            self.script = [*twist, T.ACKNOWLEDGE, *self._opening()]
        return after

    def _broken(self, name: str) -> None:
        if self.tally.first is None:
            told = ", ".join(f"{at_s:.2f} {what.value}" for at_s, what in self.told)
            self.tally.first = (self.number, f"sequence {self.number}: {name}: {told}")

    def _answer(self, did: list[Do]) -> None:
        """The device's truthful answer; in a wild sequence it comes one time in two."""
        if Do.READ_STATUS not in did or (self.kind.wild and self.rng.random() < 0.5):
            return
        self.script.insert(0, T.PLAYING if self.witness.device.playing else T.SILENT)


def _plan(rng: random.Random) -> Plan:
    """A short programme, so that fifty steps reach its end."""
    up_s, down_s, hold_s = (rng.uniform(0.5, 3.0) for _ in range(3))
    quiet_s = rng.choice((0.0, 2.0))
    silent = rng.random() < 0.1
    trains = NO_TRAINS if silent or rng.random() < 0.7 else _trains(rng)
    if trains.course:
        # A run-in that leaves most of the fifty steps to the trains.
        up_s, hold_s = 0.1 * up_s, hold_s + rng.uniform(0.0, 4.0)
    retuned = rng.random() < 0.7
    return Plan(
        duration_s=up_s + hold_s + down_s + quiet_s,
        ramp_up_s=up_s,
        ramp_down_s=down_s,
        hold_end_s=0.0 if silent else up_s + hold_s,
        silent=silent,
        lease_s=1.0,
        soft_stop_s=rng.choice((0.1, 0.8)),
        operator_lease_s=rng.choice((None, None, 1.0, 2.0)),
        titration_step=rng.choice((0.0, 0.0, 0.1, 0.3)),
        transition_s=rng.choice((0.1, 0.5, 1.0)),
        rise_span_s=rng.choice((0.1, 1.0, 1.0)),
        can_pause=rng.random() < 0.95,
        current_on_max_s=rng.uniform(1.0, 8.0) if rng.random() < 0.2 else math.inf,
        level_seconds_max=rng.uniform(0.5, 4.0) if rng.random() < 0.2 else math.inf,
        trains=trains,
        frequency_hz=10.0,
        retune_from_hz=9.9,
        retune_to_hz=10.5,
        retune_step_hz=0.3 if retuned else 0.0,
        retune_every_s=rng.choice((0.1, 1.0)),
        retune_playing=rng.random() < 0.5,
    )


def _trains(rng: random.Random) -> Trains:
    """A few short trains; of a sweep, each with its frequency and level."""
    edge_s, sweep = rng.choice((0.1, 0.2, 0.4)), rng.random() < 0.4
    return Trains(
        on_s=2.0 * edge_s + rng.choice((0.0, 0.1, 0.6)),
        off_s=rng.choice((0.1, 0.2, 0.5)),
        edge_s=edge_s,
        tolerated_s=rng.choice((0.1, 0.3)),
        course=tuple(
            (rng.choice((9.0, 10.0, 11.0)), rng.choice((0.5, 1.0))) if sweep else (math.nan, 1.0)
            for _ in range(rng.randrange(1, 8))
        ),
        span_s=rng.choice((0.1 * edge_s, 1.0, 1.0)),
        on_request=rng.random() < 0.4,
    )
