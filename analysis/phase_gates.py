"""When an estimate of phase may be used: amplitude, artefact, credible width; and how often."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from analysis.errors import AnalysisError

Array = NDArray[np.float64]

LEVEL: Final = 0.95
LAG_S: Final = 0.02  # over which a step counts as an artefact
STEP_SDS: Final = 8.0  # of the same difference at rest
_STEP: Final = 0.05
_HIGHEST: Final = 30.0  # amplitude over sigma; from there the width is that of a small angle


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What makes an estimate unusable.

    Parameters
    ----------
    min_amplitude_uv : float
        Below it the rhythm is too weak; 0 lets everything through.
    max_width_rad : float
        Above it the phase is too uncertain; a full turn lets everything through.
    max_step_uv : float or None
        A change within 20 ms beyond it is an artefact. None: eight standard deviations of that
        change at rest; without rest there is no such gate.
    """

    min_amplitude_uv: float = 0.0
    max_width_rad: float = 2.0 * math.pi
    max_step_uv: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.min_amplitude_uv) and self.min_amplitude_uv >= 0.0):
            raise AnalysisError(f"min_amplitude_uv {self.min_amplitude_uv}: write 0 or more")
        if not 0.0 < self.max_width_rad <= 2.0 * math.pi:
            raise AnalysisError(f"max_width_rad {self.max_width_rad}: write 0 to 2 pi")
        if self.max_step_uv is not None and not self.max_step_uv > 0.0:
            raise AnalysisError(f"max_step_uv {self.max_step_uv}: write more than 0, or None")


@cache
def _half_widths() -> list[float]:
    """Half-width at 95 % for amplitude over sigma from 0 in steps of 0.05."""
    angle = np.linspace(0.0, math.pi, 1441)
    ratio = np.arange(0.0, _HIGHEST + 2.0 * _STEP, _STEP)[:, None]
    along, across = ratio * np.cos(angle), ratio * np.sin(angle)
    density = np.exp(-(ratio**2) / 2.0) / (2.0 * math.pi)
    density = density + along * ndtr(along) * np.exp(-(across**2) / 2.0) / math.sqrt(2.0 * math.pi)
    share = np.cumsum((density[:, 1:] + density[:, :-1]) / 2.0, axis=1)
    share = np.concatenate([np.zeros((ratio.size, 1)), share / share[:, -1:]], axis=1)
    return [float(np.interp(LEVEL, row, angle)) for row in share]


def credible_width(ratio: float) -> float:
    """Width that holds the phase with 95 %, centred on the estimate.

    Parameters
    ----------
    ratio : float
        Amplitude over the standard deviation of the error of the real (and the imaginary) part.

    Returns
    -------
    float
        Radians, up to 1.9 pi where nothing is known; NaN where ``ratio`` is.
    """
    if not ratio < _HIGHEST:
        return 3.919928 / ratio
    table = _half_widths()
    place = ratio / _STEP
    low = int(place)
    return 2.0 * (table[low] + (place - low) * (table[low + 1] - table[low]))


def credible_widths(ratios: Array) -> Array:
    """:func:`credible_width` of many."""
    grid = np.arange(0.0, _HIGHEST + 2.0 * _STEP, _STEP)
    near = 2.0 * np.interp(ratios, grid, _half_widths())
    return np.asarray(np.where(ratios < _HIGHEST, near, 3.919928 / np.maximum(ratios, 1.0)))


def step_limit(signal_uv: Array, sfreq_hz: float) -> float:
    """Change within 20 ms that rest does not show, in uV."""
    lag = max(1, round(LAG_S * sfreq_hz))
    change = signal_uv[lag:] - signal_uv[:-lag]
    # Rest has blinks: the spread is that of the middle.
    quarter = np.quantile(np.abs(change), 0.5)
    return float(STEP_SDS * quarter / 0.6745)


class Refractory:
    """A least time between two events.

    Parameters
    ----------
    refractory_s : float
        That time; 0 or more.
    """

    def __init__(self, refractory_s: float) -> None:
        if not (math.isfinite(refractory_s) and refractory_s >= 0.0):
            raise AnalysisError(f"refractory_s {refractory_s}: write 0 or more")
        self.refractory_s = refractory_s
        self._last_s = -math.inf

    @property
    def free_from_s(self) -> float:
        """From when on the next event may be."""
        return self._last_s + self.refractory_s

    def free(self, at_s: float) -> bool:
        """Whether an event may be at that time."""
        return at_s >= self.free_from_s

    def fired(self, at_s: float) -> None:
        """Note an event."""
        self._last_s = max(self._last_s, at_s)
