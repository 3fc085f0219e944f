"""Trains of a protocol: current in pieces with gaps at zero, and retuning within stated bounds.

A session with trains begins with a run-in: the ordinary ramp, ``settle_s`` at full current, and one
edge down. Only what was tolerated there is reached by the steep edges of the trains that follow.
``on_s`` is one train from its first to its last current, edges included, and ``off_s`` the time at
zero after it; all times are whole ticks of the host, which steps every level.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from tacs.files import StrictModel

__all__ = ["TICK_S", "Retune", "TrainStep", "Trains", "train_problems"]

TICK_S = 0.02  # the host steps a level so often
TRAINS_MAX = 5000


def _unit(unit: str, description: str, **bounds: Any) -> Any:
    return Field(description=description, json_schema_extra={"unit": unit}, **bounds)


class TrainStep(StrictModel):
    """One condition of a sweep."""

    frequency_hz: float = _unit("Hz", "frequency of the train", gt=0.0)
    level: float = _unit("1", "share of the full current", gt=0.0, le=1.0, default=1.0)


class Retune(StrictModel):
    """Permission to change the frequency while the session runs, on request."""

    within_hz: float = _unit("Hz", "largest distance from frequency_hz", gt=0.0)


class Trains(StrictModel):
    """How the current is cut into trains after the run-in.

    ``steps`` are gone through again and again, one for each train: as written, or in an order that
    is drawn anew for every round from ``seed``.
    """

    on_s: float = _unit("s", "one train from first to last current, edges included", gt=0.0)
    off_s: float = _unit("s", "zero current after each train", gt=0.0)
    edge_s: float = _unit("s", "rise and fall of each train", gt=0.0)
    settle_s: float = _unit("s", "full current after the first ramp, before any train", gt=0.0)
    count: int | None = Field(
        default=None, ge=1, le=TRAINS_MAX, description="trains; as many as fit where left out"
    )
    start: Literal["schedule", "request"] = Field(
        default="schedule", description="by the clock, or each one on a request while it runs"
    )
    steps: tuple[TrainStep, ...] = Field(
        default=(), description="frequency and level of each train in turn; else the protocol's"
    )
    order: Literal["fixed", "seeded"] = Field(default="fixed", description="of the steps")
    seed: int | None = Field(default=None, ge=0, description="order seeded: what it is drawn from")

    @property
    def period_s(self) -> float:
        """From the beginning of a train to that of the next one at the earliest."""
        return self.on_s + self.off_s

    @property
    def duty_cycle(self) -> float:
        """Share of a period with current."""
        return self.on_s / self.period_s

    def run_in_s(self, ramp_up_s: float) -> float:
        """Return the length of the run-in, from first to last current."""
        return ramp_up_s + self.settle_s + self.edge_s

    def fitting(self, duration_s: float, ramp_up_s: float) -> int:
        """Return how many trains fit into a session, each after its gap."""
        left_s = duration_s - self.run_in_s(ramp_up_s)
        return max(int((left_s + 1e-6) / self.period_s), 0)

    def number(self, duration_s: float, ramp_up_s: float) -> int:
        """Return how many trains a session has at most."""
        most = self.fitting(duration_s, ramp_up_s)
        return most if self.count is None else min(self.count, most)

    def course(self, number: int) -> tuple[TrainStep | None, ...]:
        """Return the step of each train in turn; None where it is the protocol's own frequency.

        Parameters
        ----------
        number : int
            Of trains.
        """
        if not self.steps:
            return (None,) * number
        made: list[TrainStep | None] = []
        while len(made) < number:
            steps = list(self.steps)
            if self.order == "seeded":
                random.Random(f"{self.seed}/{len(made) // len(steps)}").shuffle(steps)
            made += steps
        return tuple(made[:number])


def train_problems(data: Mapping[str, Any]) -> list[str]:
    """List the problems between trains, retuning and the rest of a protocol's raw data."""
    problems = []
    blinded = data.get("blinding") is not None
    retune = isinstance(data.get("retune"), Mapping)
    if blinded and retune:
        problems.append(
            "retune: a blinded session cannot be retuned; its record would tell the arm"
        )
    trains = data.get("trains")
    if not isinstance(trains, Mapping):
        return problems
    if blinded:
        problems.append(
            "trains: a blinded session cannot have trains yet; nothing shows that its record "
            "hides the arm"
        )
    steps = trains.get("steps")
    if steps and retune:
        problems.append("retune: trains.steps set the frequency of every train; have one of both")
    seeded, seed = trains.get("order") == "seeded", trains.get("seed")
    if seeded and seed is None:
        problems.append("trains.seed: missing (a whole number); the order is drawn from it")
    if seeded and not steps:
        problems.append("trains.order: there are no steps to be put in an order")
    if not seeded and seed is not None:
        problems.append("trains.seed: only the order 'seeded' has one")
    return problems + _time_problems(data, trains)


def _time_problems(data: Mapping[str, Any], trains: Mapping[str, Any]) -> list[str]:
    """Problems between the times of trains and of the session."""
    names = ("on_s", "off_s", "edge_s", "settle_s")
    given = [_number(trains.get(name)) for name in names]
    whole = [_number(data.get(name)) for name in ("duration_s", "ramp_up_s", "ramp_down_s")]
    on_s, off_s, edge_s, settle_s = given
    duration_s, ramp_up_s, ramp_down_s = whole
    if not all(math.isfinite(value) for value in (*given, *whole)):
        return []  # told by the fields themselves
    if not min(on_s, off_s, edge_s, settle_s) > 0.0:
        return []
    problems = [
        f"trains.{name}: {value:g} s is not a whole number of {TICK_S:g} s, the step of the host"
        for name, value in zip(names, (on_s, off_s, edge_s, settle_s), strict=True)
        if abs(value / TICK_S - round(value / TICK_S)) > 1e-6
    ]
    if on_s < 2.0 * edge_s - 1e-9:
        problems.append(
            f"trains.on_s: {on_s:g} s is shorter than its two edges of {edge_s:g} s; on_s has "
            f"both in it"
        )
    run_in_s = ramp_up_s + settle_s + edge_s
    count = trains.get("count")
    number = count if type(count) is int and count > 0 else 1
    least_s = run_in_s + number * (on_s + off_s)
    if least_s > duration_s + 1e-6:
        problems.append(
            f"duration_s: {duration_s:g} s is shorter than the run-in of {run_in_s:g} s (ramp, "
            f"settle_s, edge) and {number} train{'s' if number > 1 else ''} of "
            f"{on_s + off_s:g} s with the gap ({least_s:g} s in all)"
        )
    elif ramp_up_s + settle_s > duration_s - ramp_down_s + 1e-6:
        problems.append(
            f"duration_s: {duration_s:g} s leaves no ordinary ramp_down_s of {ramp_down_s:g} s "
            f"after the run-in"
        )
    elif (duration_s - run_in_s) / (on_s + off_s) > TRAINS_MAX + 1:
        problems.append(f"trains: more than {TRAINS_MAX} in one session")
    return problems


def _number(value: Any) -> float:
    """A raw value as a number of seconds; NaN where it is none, or one past all sense."""
    return float(value) if type(value) in (int, float) and abs(value) < 1e9 else math.nan
