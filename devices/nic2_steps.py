"""From a level that moves 50 times a second to the few steps that NIC takes.

NIC moves amplitudes in whole microamperes, over 100 ms at least, and not more slowly than
0.061 µA/ms. A level that moves more slowly is therefore followed in steps, each of them large
enough. A step up goes to what is commanded now, a step down to where the commanded level will be
when the next step can be taken, so that what flows stays below what is commanded; only the first
step of a fall begins one tick after it. All steps balance: currents that add up to nothing do so
after rounding too, and on the way, because all channels move together in straight lines.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from typing import Final

from devices.nic2_wire import SLOPE_MIN_UA_PER_MS, TRANSITION_MIN_MS

__all__ = ["Staircase", "balanced_down", "residual_ua"]

STEP_MS: Final = TRANSITION_MIN_MS
STEP_EVERY_S: Final = 0.14  # NIC may say that a transition ended before it did
TICK_S: Final = 0.04
RISE_MAX_UA_PER_MS: Final = 0.2
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
    """Which amplitudes to send next.

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
    least_ua : int
        Least step of a channel.
    top_ua, sent_ua : tuple of int
        Amplitudes at level 1, and those sent last.
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
        self._currents_ua = tuple(currents_ua)
        self._phases_deg = tuple(phases_deg)
        self.top_ua = self._at(1.0)
        self.sent_ua = (0,) * len(self._currents_ua)
        self.busy_until_s = -math.inf
        used = [current for current in self._currents_ua if current]
        self._smallest_ua = min(used, default=0.0)
        self._largest_ua = max(used, default=0.0)
        planned_ua_per_ms = planned_per_s * self._largest_ua / 1e3
        self._rise_ua = max(RISE_MAX_UA_PER_MS, 1.5 * planned_ua_per_ms) * STEP_MS
        self._due_s = -math.inf
        self._level = 0.0
        self._level_s = -math.inf
        self._fall_per_s = 0.0

    @property
    def steepest_ua_per_ms(self) -> float:
        """Slope of the largest channel in the least step that the smallest can take."""
        least_ua = self.least_ua + 1  # one may be lost to the balance
        ratio = self._largest_ua / self._smallest_ua if self._smallest_ua else 0.0
        return least_ua / STEP_MS * ratio

    @property
    def rise_max_ua_per_ms(self) -> float:
        """Steepest rise of a channel that a step makes."""
        return self._rise_ua / STEP_MS

    @property
    def at_zero(self) -> bool:
        """Whether nothing was sent last."""
        return not any(self.sent_ua)

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
        if now_s < self._due_s - 1e-9 or not self._largest_ua:
            return None
        falls_by = self._fall_per_s * TICK_S  # by the next tick
        if self._above(level - falls_by):
            step: tuple[int, ...] | None = self._down(level)
        else:
            step = None if falls_by else self._up(level)
        if step is None or step == self.sent_ua:
            return None
        self.sent_ua = step
        self.busy_until_s = now_s + STEP_MS / 1e3
        self._due_s = now_s + STEP_EVERY_S
        return step

    def stop_ms(self, wanted_ms: int) -> int:
        """Return how long a way to zero from here may take: as asked, or as NIC's slope allows."""
        flowing = [amplitude for amplitude in self.sent_ua if amplitude]
        if not flowing:
            return STEP_MS
        return max(STEP_MS, min(wanted_ms, math.floor(min(flowing) / self._slope_min_ua_per_ms)))

    def _at(self, level: float) -> tuple[int, ...]:
        wanted = [level * current for current in self._currents_ua]
        return balanced_down(wanted, self._phases_deg)

    def _above(self, level: float) -> bool:
        """Whether a channel was sent more than is commanded."""
        return any(
            sent > level * current + ROUNDING_UA
            for sent, current in zip(self.sent_ua, self._currents_ua, strict=True)
        )

    def _up(self, level: float) -> tuple[int, ...] | None:
        """Up to the level, by no more than a step may rise; None where that is too little."""
        reached = max(sent / current for sent, current in self._used(self.sent_ua))
        level = min(level, reached + self._rise_ua / self._largest_ua)
        wanted = self._at(level)
        if wanted != self.top_ua and not self._moves(wanted, self.top_ua):
            # What would be left to the top is too little for a step of its own.
            below = min(
                (top - self.least_ua - 1) / current for top, current in self._used(self.top_ua)
            )
            wanted = self._at(max(min(level, below), 0.0))
        return wanted if self._moves(self.sent_ua, wanted) else None

    def _down(self, level: float) -> tuple[int, ...]:
        """Down to where the level will be when the next step is due; at the end, to zero."""
        level = max(level - self._fall_per_s * (STEP_EVERY_S + TICK_S), 0.0)
        while level > self._fall_per_s * STEP_MS / 1e3:  # what is less is gone by the next step
            wanted = self._at(level)
            if any(
                0 < top and n < self.least_ua for n, top in zip(wanted, self.top_ua, strict=True)
            ):
                break
            if self._moves(wanted, self.sent_ua):
                return wanted
            level -= 1.0 / self._largest_ua
        return (0,) * len(self.sent_ua)

    def _observe(self, level: float, now_s: float) -> None:
        """Note how fast the level falls."""
        passed_s = now_s - self._level_s
        if passed_s > 0.0:
            self._fall_per_s = max((self._level - level) / passed_s, 0.0)
        self._level, self._level_s = level, now_s

    def _used(self, amplitudes_ua: Sequence[int]) -> list[tuple[int, float]]:
        """Amplitude and full current of every channel in use."""
        pairs = zip(amplitudes_ua, self._currents_ua, strict=True)
        return [(amplitude, current) for amplitude, current in pairs if current]

    def _moves(self, low: Sequence[int], high: Sequence[int]) -> bool:
        """Whether every channel in use moves by as much as the slope asks for."""
        return all(b - a >= self.least_ua for a, b in zip(low, high, strict=True) if a or b)
