"""Frequency of a rhythm from short windows: what one window tells, and what many tell together.

A rhythm ``w`` Hz wide forgets its phase; over a window of ``T`` s its mean frequency is off by
``sqrt(w / (2 pi T))`` Hz from the frequency that it wanders about, however well it is recorded:
0.28 Hz for a width of 1 Hz and 2 s. A loop that follows every window follows that noise. Windows
are therefore weighed into a memory that knows how fast the frequency wanders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from analysis.errors import AnalysisError
from analysis.loop_terms import TURN, Seen, wrapped

__all__ = ["FrequencyMemory", "Window", "window_error_hz"]

WANDER_HZ: Final = 0.15  # standard deviation of a person's peak from minute to minute
WANDER_TAU_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Window:
    """What was seen since current ended.

    Parameters
    ----------
    begun_s, newest_s : float
        First and newest sample that counts.
    phase_rad : float
        At the newest one.
    turned_rad, weight, weighed_s : float
        Weighted sums: turn beyond that at ``centre_hz``, weight, weight times time.
    centre_hz : float
        That turns are counted from.
    """

    begun_s: float
    newest_s: float
    phase_rad: float
    centre_hz: float
    amplitude_uv: float
    turned_rad: float = 0.0
    weighed_s: float = 0.0

    @classmethod
    def begin(cls, seen: Seen, centre_hz: float) -> Window:
        """Begin with the estimate that is seen, which must be valid."""
        estimate = seen.estimate
        return cls(
            seen.sample_s, seen.sample_s, estimate.phase_rad, centre_hz, estimate.amplitude_uv
        )

    def add(self, seen: Seen) -> Window:
        """Take the next valid estimate."""
        step_s = seen.sample_s - self.newest_s
        if not step_s > 0.0:
            return self
        estimate = seen.estimate
        turn = wrapped(estimate.phase_rad - self.phase_rad - TURN * self.centre_hz * step_s)
        weight = estimate.amplitude_uv * self.amplitude_uv
        return Window(
            self.begun_s,
            seen.sample_s,
            estimate.phase_rad,
            self.centre_hz,
            estimate.amplitude_uv,
            self.turned_rad + weight * turn,
            self.weighed_s + weight * step_s,
        )

    @property
    def seconds(self) -> float:
        """Length so far."""
        return self.newest_s - self.begun_s

    @property
    def frequency_hz(self) -> float:
        """Mean frequency, weighted by power; NaN before there are two estimates."""
        if not self.weighed_s > 0.0:
            return math.nan
        return self.centre_hz + self.turned_rad / (TURN * self.weighed_s)


def window_error_hz(width_hz: float, seconds: float, phase_error_rad: float) -> float:
    """Standard deviation of the frequency from one window.

    Parameters
    ----------
    width_hz : float
        Full width at half maximum of the rhythm's line.
    seconds : float
        Length of the window.
    phase_error_rad : float
        Standard deviation of the phase at either end.

    Notes
    -----
    Phase of a line ``w`` wide diffuses with variance ``2 pi w`` per second.
    """
    line = width_hz / (TURN * seconds)
    ends = 2.0 * (phase_error_rad / (TURN * seconds)) ** 2
    return math.sqrt(line + ends)


@dataclass(frozen=True, slots=True)
class FrequencyMemory:
    """What is known of the frequency.

    Parameters
    ----------
    mean_hz, sd_hz : float
        Estimate and its standard deviation.
    at_s : float
        When.
    """

    mean_hz: float
    sd_hz: float
    at_s: float

    def __post_init__(self) -> None:
        if not (self.mean_hz > 0.0 and 0.0 < self.sd_hz < math.inf):
            raise AnalysisError(
                f"frequency {self.mean_hz:g} ± {self.sd_hz:g} Hz: write two numbers above 0"
            )

    def later(self, at_s: float) -> FrequencyMemory:
        """What is left of it some time later, the frequency having wandered on."""
        grown = 2.0 * WANDER_HZ**2 / WANDER_TAU_S * max(at_s - self.at_s, 0.0)
        return FrequencyMemory(self.mean_hz, math.sqrt(self.sd_hz**2 + grown), at_s)

    def seen(self, frequency_hz: float, error_hz: float, at_s: float) -> FrequencyMemory:
        """Weigh a window in."""
        before = self.later(at_s)
        share = before.sd_hz**2 / (before.sd_hz**2 + error_hz**2)
        mean_hz = before.mean_hz + share * (frequency_hz - before.mean_hz)
        return FrequencyMemory(mean_hz, math.sqrt(1.0 - share) * before.sd_hz, at_s)
