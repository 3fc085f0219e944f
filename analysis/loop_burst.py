"""Event-triggered bursts: a train or a trigger at a phase, when the rhythm is there, not too often.

References
----------
Zrenner et al. 2018, *Brain Stimulation* 11:374 (triggers at a phase). Lustenberger et al. 2016,
*Curr. Biol.* 26:2127 (bursts on spindles). Ketz et al. 2018, *J. Neurosci.* 38:7314 (slow waves).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from analysis.errors import AnalysisError
from analysis.loop_control import Control, offset_rad
from analysis.loop_terms import TURN, Decision, Request, Seen, hold

__all__ = ["BurstHistory", "BurstRule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstHistory:
    """What happened before.

    Parameters
    ----------
    begun_s : float
        When the loop began.
    last_s : float
        When the last burst was due; minus infinity before.
    number : int
        Of bursts.
    since_s : float
        Since when the rhythm has been as large as asked for; NaN where it is not.
    """

    begun_s: float
    last_s: float = -math.inf
    number: int = 0
    since_s: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstRule:
    """Rule: when the rhythm is large enough for long enough, a burst at a phase.

    Parameters
    ----------
    target_rad : float or None
        Phase at which it begins; 0 is the positive peak. None: as soon as may be.
    refractory_s : float
        Least time between the beginnings of two bursts.
    kind : {"train", "trigger"}
        Of current, or to another stimulator.
    min_amplitude_uv, for_s : float
        How large the rhythm must be, and for how long.
    max_wait_s : float
        How far ahead of the estimate's own time a burst may be planned: the phase there is worth
        less than that at the horizon.
    most : int or None
        Bursts in all.
    schedule_s : tuple of float
        Open loop: times after the beginning; empty: one every ``refractory_s``.
    control : str
        See :mod:`analysis.loop_control`.
    seed : int
        Of what is drawn.
    """

    target_rad: float | None
    refractory_s: float
    kind: Literal["train", "trigger"] = "train"
    min_amplitude_uv: float = 0.0
    for_s: float = 0.0
    max_wait_s: float = 0.025
    most: int | None = None
    schedule_s: tuple[float, ...] = ()
    control: Control = "closed"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.target_rad is not None and not math.isfinite(self.target_rad):
            raise AnalysisError(f"target {self.target_rad}: write a phase")
        for name, value, least in (
            ("refractory_s", self.refractory_s, 0.0),
            ("min_amplitude_uv", self.min_amplitude_uv, 0.0),
            ("for_s", self.for_s, 0.0),
        ):
            if not (math.isfinite(value) and value >= least):
                raise AnalysisError(f"{name} {value}: write {least:g} or more")
        if not 0.0 < self.max_wait_s <= 1.0:
            raise AnalysisError(f"max_wait_s {self.max_wait_s}: write a time up to 1 s")
        if self.control == "open-loop" and not (self.schedule_s or self.refractory_s > 0.0):
            raise AnalysisError("open loop: give a schedule, or a refractory time")
        if list(self.schedule_s) != sorted(self.schedule_s):
            raise AnalysisError("open loop: the times of the schedule must rise")

    def decide(self, seen: Seen, history: BurstHistory) -> tuple[Decision, BurstHistory]:
        """Decide.

        Parameters
        ----------
        seen : Seen
            Now.
        history : BurstHistory
            Before.
        """
        if seen.paused:
            return hold("the session is paused or over"), history
        if self.most is not None and history.number >= self.most:
            return hold("all bursts were given"), history
        if self.control == "open-loop":
            return self._scheduled(seen, history)
        if self.kind == "train" and seen.with_current:
            return hold("current flows"), _small(history)
        if self.kind == "train" and not seen.ready:
            return hold("no train may come yet"), history
        if not seen.estimate.valid:
            return hold("the phase is not known"), _small(history)
        if seen.estimate.amplitude_uv < self.min_amplitude_uv:
            return hold("the rhythm is small"), _small(history)
        history = _large(history, seen.sample_s)
        if seen.sample_s - history.since_s < self.for_s - 1e-9:
            return hold("the rhythm has not been large for long enough"), history
        return self._aimed(seen, history)

    def _aimed(self, seen: Seen, history: BurstHistory) -> tuple[Decision, BurstHistory]:
        """Plan the next target phase."""
        hz = seen.estimate.frequency_hz
        if not hz > 0.0:
            return hold("the frequency is not known"), history
        earliest_s = seen.effect_s
        at_s = earliest_s
        apart_s = self.refractory_s
        if self.target_rad is not None:
            there_s = max(seen.sample_s + seen.horizon_s, earliest_s)
            missing = (self.target_rad - seen.rhythm_at(there_s)) % TURN
            at_s = there_s + missing / (TURN * hz)
            # One crossing of a phase is one burst, although later estimates place it a little off.
            apart_s = max(apart_s, 0.5 / hz)
            if at_s - seen.sample_s - seen.horizon_s > self.max_wait_s:
                return hold("the target phase is further ahead"), history
            at_s += offset_rad(self.control, self.seed, history.number) / (TURN * hz)
        if at_s < history.last_s + apart_s - 1e-9:
            return hold("refractory"), history
        planned = seen.rhythm_at(at_s) % TURN
        return self._burst(
            history, at_s, "target phase", planned_rad=planned, rhythm_hz=hz,
            amplitude_uv=seen.estimate.amplitude_uv,
        )  # fmt: skip

    def _scheduled(self, seen: Seen, history: BurstHistory) -> tuple[Decision, BurstHistory]:
        """Open loop: the next time of the schedule, whatever the rhythm does."""
        if self.schedule_s:
            if history.number >= len(self.schedule_s):
                return hold("the schedule is over"), history
            at_s = history.begun_s + self.schedule_s[history.number]
        else:
            at_s = max(history.last_s + self.refractory_s, seen.effect_s)
        if at_s < seen.effect_s:
            # What cannot be kept any more is left out, and said.
            after = BurstHistory(
                begun_s=history.begun_s, last_s=history.last_s, number=history.number + 1
            )
            return hold("open loop: the time of the schedule has passed"), after
        if at_s - seen.effect_s > self.max_wait_s:
            return hold("open loop: not yet"), history
        if self.kind == "train" and not seen.ready:
            return hold("no train may come yet"), history
        return self._burst(history, at_s, "open loop: the schedule")

    def _burst(
        self, history: BurstHistory, at_s: float, reason: str, **numbers: float
    ) -> tuple[Decision, BurstHistory]:
        after = BurstHistory(
            begun_s=history.begun_s,
            last_s=at_s,
            number=history.number + 1,
            since_s=history.since_s,
        )
        request = Request(self.kind, at_s=at_s)
        return Decision(reason=reason, requests=(request,), numbers=numbers), after


def _small(history: BurstHistory) -> BurstHistory:
    return history if math.isnan(history.since_s) else _since(history, math.nan)


def _large(history: BurstHistory, sample_s: float) -> BurstHistory:
    return _since(history, sample_s) if math.isnan(history.since_s) else history


def _since(history: BurstHistory, since_s: float) -> BurstHistory:
    return BurstHistory(
        begun_s=history.begun_s, last_s=history.last_s, number=history.number, since_s=since_s
    )
