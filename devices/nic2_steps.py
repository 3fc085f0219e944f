"""From a level that moves 50 times a second to the few steps that NIC takes.

NIC moves amplitudes in whole microamperes, over 100 ms at least, and not more slowly than
0.061 µA/ms. A level that moves more slowly is therefore followed on a staircase, each stair of
which is high enough. A step up goes to the stair below what is commanded now, a step down to the
one below where the commanded level will be when the next step can be taken, so that what flows
stays below what is commanded; only the first step of a fall begins one tick after it. All stairs
balance: currents that add up to nothing do so after rounding too, and on the way, because all
channels move together in straight lines.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from devices.nic2_wire import SLOPE_MIN_UA_PER_MS, TRANSITION_MIN_MS

__all__ = ["Staircase", "balanced_down", "residual_ua"]

STEP_MS: Final = TRANSITION_MIN_MS
STEP_EVERY_S: Final = 0.14  # NIC may say that a transition ended before it did
TICK_S: Final = 0.04
RISE_MAX_UA_PER_MS: Final = 0.2
CATCHING_UP: Final = 1.2
STAIR_ROUNDING: Final = 1e-9
ROUNDING_UA: Final = 1e-6  # of a current in mA turned to µA


def residual_ua(amplitudes_ua: Sequence[float], phases_deg: Sequence[float]) -> float:
    """Return the largest sum of sines of one frequency at any instant, µA."""
    return abs(
        sum(
            cmath.rect(amplitude, math.radians(phase))
            for amplitude, phase in zip(amplitudes_ua, phases_deg, strict=True)
        )
    )


def balanced_down(currents_ua: Sequence[float], phases_deg: Sequence[int]) -> tuple[int, ...]:
    """Round amplitudes down to whole microamperes that add up to as little as can be.

    Parameters
    ----------
    currents_ua : sequence of float
        Zero-to-peak, each channel; their phasors add up to nothing, or nearly.
    phases_deg : sequence of int
        Of each channel.

    Returns
    -------
    tuple of int
        None of them larger than what was asked for.
    """
    found = [math.floor(current + ROUNDING_UA) for current in currents_ua]
    unit = [cmath.rect(1.0, math.radians(phase)) for phase in phases_deg]
    total = sum(n * u for n, u in zip(found, unit, strict=True))
    while True:
        # One microampere off the channel that leaves least; of equals, off the largest.
        left = [
            (round(abs(total - u), 9), -n, k)
            for k, (n, u) in enumerate(zip(found, unit, strict=True))
            if n > 0
        ]
        if not left or min(left)[0] >= abs(total) - 1e-6:
            return tuple(found)
        k = min(left)[2]
        found[k] -= 1
        total -= unit[k]


class Staircase:
    """Which amplitudes to send next: stairs of equal height from nothing to the full current.

    Parameters
    ----------
    currents_ua : sequence of float
        Of every channel of the device at level 1; 0 where it is not used.
    phases_deg : sequence of int
        Of every channel.
    planned_per_s : float
        Steepest planned rise of the level, per second.
    slope_min_ua_per_ms : float
        More slowly than this no channel may move.

    Attributes
    ----------
    stairs_ua : list of tuple of int
        Amplitudes at every stair; the first is nothing, the last the full current.
    least_ua : int
        Least step of a channel in use.
    rise_max_ua_per_ms : float
        Steepest rise of a channel that a step may make.
    busy_until_s : float
        When the transition under way is over.
    """

    def __init__(
        self,
        currents_ua: Sequence[float],
        phases_deg: Sequence[int],
        planned_per_s: float = 0.0,
        slope_min_ua_per_ms: float = SLOPE_MIN_UA_PER_MS,
    ) -> None:
        self.least_ua = math.ceil(slope_min_ua_per_ms * STEP_MS - ROUNDING_UA)
        self._slope_min_ua_per_ms = slope_min_ua_per_ms
        self.stairs_ua = _stairs(tuple(currents_ua), tuple(phases_deg), self.least_ua)
        # What is planned has to be followed although a step takes only a part of the time.
        needed = CATCHING_UP * planned_per_s * STEP_EVERY_S
        needed_ua_per_ms = needed * max(currents_ua) / STEP_MS
        self.rise_max_ua_per_ms = max(RISE_MAX_UA_PER_MS, needed_ua_per_ms)
        comfortable = int(RISE_MAX_UA_PER_MS / self.steepest_ua_per_ms)
        self._per_step = max(comfortable, math.ceil(needed * self._n))
        self.busy_until_s = -math.inf
        self._stair = 0
        self._due_s = -math.inf
        self._level = 0.0
        self._level_s = -math.inf
        self._fall_per_s = 0.0

    @property
    def sent_ua(self) -> tuple[int, ...]:
        """Amplitudes sent last."""
        return self.stairs_ua[self._stair]

    @property
    def top_ua(self) -> tuple[int, ...]:
        """Amplitudes at level 1."""
        return self.stairs_ua[-1]

    @property
    def steepest_ua_per_ms(self) -> float:
        """Slope of the largest channel over the highest stair; infinite where there is none."""
        if not self._n:
            return math.inf
        pairs = pairwise(self.stairs_ua)
        return max(b - a for low, high in pairs for a, b in zip(low, high, strict=True)) / STEP_MS

    @property
    def at_zero(self) -> bool:
        """Whether nothing was sent last."""
        return self._stair == 0

    def next_step(self, level: float, now_s: float) -> tuple[int, ...] | None:
        """Return the amplitudes to send now for a commanded level; None where none are due.

        Parameters
        ----------
        level : float
            0 to 1.
        now_s : float
            Time of the tick, never before that of the last.
        """
        self._observe(level, now_s)
        if now_s < self._due_s - 1e-9:
            return None
        falls_by = self._fall_per_s * TICK_S  # by the next tick
        stair = self._stair
        if stair > self._below(level - falls_by):
            # To where the level will be when the next step is due; what is less then is gone soon.
            ahead = level - self._fall_per_s * (STEP_EVERY_S + TICK_S)
            gone = self._fall_per_s * STEP_MS / 1e3
            stair = min(stair - 1, self._below(ahead)) if ahead > gone else 0
        elif not falls_by:
            stair = max(stair, min(self._below(level), stair + self._per_step))
        if stair == self._stair:
            return None
        self._stair = stair
        self.busy_until_s = now_s + STEP_MS / 1e3
        self._due_s = now_s + STEP_EVERY_S
        return self.sent_ua

    def stop_ms(self, wanted_ms: int) -> int:
        """Return how long a way to zero from here may take: as asked, or as NIC's slope allows."""
        flowing = [amplitude for amplitude in self.sent_ua if amplitude]
        if not flowing:
            return STEP_MS
        slowest_ms = math.floor(min(flowing) / self._slope_min_ua_per_ms)
        return max(STEP_MS, min(wanted_ms, slowest_ms))

    @property
    def _n(self) -> int:
        return len(self.stairs_ua) - 1

    def _below(self, level: float) -> int:
        """The highest stair that is not above a level."""
        return max(math.floor(level * self._n + STAIR_ROUNDING), 0)

    def _observe(self, level: float, now_s: float) -> None:
        """Note how fast the level falls."""
        passed_s = now_s - self._level_s
        if passed_s > 0.0:
            self._fall_per_s = max((self._level - level) / passed_s, 0.0)
        self._level, self._level_s = level, now_s


def _stairs(
    currents_ua: tuple[float, ...], phases_deg: tuple[int, ...], least_ua: int
) -> list[tuple[int, ...]]:
    """As many stairs as can be, of one height each; only the bottom where there is none."""
    used = [current for current in currents_ua if current]
    bottom = (0,) * len(currents_ua)
    for n in range(math.floor(min(used, default=0.0) / least_ua), 0, -1):
        found = [
            balanced_down([k / n * current for current in currents_ua], phases_deg)
            for k in range(n + 1)
        ]
        steps = [
            b - a
            for low, high in pairwise(found)
            for a, b, current in zip(low, high, currents_ua, strict=True)
            if current
        ]
        if min(steps) >= least_ua:
            return found
    return [bottom]
