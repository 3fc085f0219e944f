"""How the level moves: in steps that are small enough, not more of them than needed. No wire here.

Times are the scheduled times of the ticks.
"""

from __future__ import annotations

import math
from typing import Final

__all__ = ["SOFT_RAMP_S", "Steps"]

SETTLED_S: Final = 0.1  # a level that stands still for so long is reached, however small the step
CATCH_UP: Final = 5.0
LAG_MAX_LEVEL: Final = 0.1
LAG_MAX_S: Final = 0.5
SOFT_RAMP_S: Final = 0.7  # of the 0.8 s of a soft stop; the rest is for the instrument
STOP_STEP_S: Final = 0.04


class Steps:
    """The level that the instrument was given last, and where it is to go.

    Parameters
    ----------
    step : float
        Largest change of the level at once, but in a stop.

    Attributes
    ----------
    level, step : float
        Given last; largest change.
    stopping : bool
        Whether a soft stop is under way.
    """

    def __init__(self, step: float) -> None:
        self.level = 0.0
        self.step = step
        self.stopping = False
        self._target = 0.0
        self._moved_s = math.nan
        self._behind_s = math.nan
        self._stop_s = math.nan
        self._stop_level = 0.0
        self._stop_step_s = -math.inf

    @property
    def target(self) -> float:
        """Where it is to go."""
        return self._target

    def aim(self, level: float) -> None:
        """Set where it is to go."""
        if level != self._target:
            self._target, self._moved_s = level, math.nan

    def next_level(self, now_s: float) -> float | None:
        """Return the level to give now; None where no step is due.

        A step is made when it is half of the largest, or when there is nothing to wait for: few
        commands, and none that is felt.
        """
        if math.isnan(self._moved_s):
            self._moved_s = now_s
        left = self._target - self.level
        settled = now_s - self._moved_s >= SETTLED_S or self._target in (0.0, 1.0)
        if left == 0.0 or (abs(left) < self.step / 2.0 and not settled):
            return None
        # Falling, an instrument that is slow may make up for it: better felt than left high.
        step = self.step * (CATCH_UP if left < -CATCH_UP * self.step else 1.0)
        far = abs(left) > step
        self.level = self.level + math.copysign(step, left) if far else self._target
        return self.level

    def too_late(self, now_s: float) -> bool:
        """Return whether the level has been far from its target for too long."""
        if not abs(self._target - self.level) > LAG_MAX_LEVEL:
            self._behind_s = math.nan
        elif math.isnan(self._behind_s):
            self._behind_s = now_s
        return now_s - self._behind_s > LAG_MAX_S

    def stop(self) -> None:
        """Begin the soft stop at the next tick; safe to repeat."""
        if not self.stopping:
            self.stopping, self._stop_s, self._stop_level = True, math.nan, self.level

    def next_stop_level(self, now_s: float) -> float | None:
        """Return the level of the soft stop to give now; None where no step is due, 0 at its end.

        Steps come at a slow pace, because nobody waits for the instrument here.
        """
        if math.isnan(self._stop_s):
            self._stop_s, self._stop_step_s = now_s, now_s - STOP_STEP_S
        gone_s = now_s - self._stop_s
        if gone_s >= SOFT_RAMP_S - 1e-9:
            self.level = 0.0
            return 0.0
        if now_s - self._stop_step_s < STOP_STEP_S - 1e-9:
            return None
        self._stop_step_s = now_s
        share = 1.0 - (gone_s + STOP_STEP_S) / (SOFT_RAMP_S + STOP_STEP_S)
        self.level = min(self.level, self._stop_level * share)
        return self.level
