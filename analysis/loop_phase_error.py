"""How well a loop met the phase, read afterwards, and when it must not go on.

Afterwards there is EEG on both sides of an instant, and the phase there can be read without a
prediction: a Hann window of three periods on either side, at the rhythm's frequency. It shifts
nothing and knows nothing of the loop's filter.

Prediction and reading share the EEG before the instant, noise included. Where the noise is large
the two agree better than either agrees with the rhythm: noise alone gives a phase-locking value of
0.5 to 0.6, and a rhythm that is met with 0.52 reads as 0.66. The rule finds a loop that reads the
wrong time, a wrong channel or an artefact; that there is no rhythm is found by a gate on its
amplitude.

References
----------
The rule: phase-locking value of the error below 0.5 over the last 50 triggers. A value of 0.5 is a
circular standard deviation of 67 degrees; of 0.78, 40 degrees.
"""

from __future__ import annotations

import cmath
import math
from collections import deque
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.phase_gates import LAG_S

__all__ = ["PERIODS", "PhaseErrors", "phase_afterwards"]

Array = NDArray[np.float64]

PERIODS: Final = 3.0  # on either side
COVERED: Final = 0.98  # of the window


def phase_afterwards(
    signal_uv: Array,
    times_s: Array,
    at_s: float,
    frequency_hz: float,
    *,
    max_step_uv: float | None = None,
) -> float:
    """Phase of a rhythm at an instant, from EEG before and after it.

    Parameters
    ----------
    signal_uv, times_s : ndarray, shape (n_samples,)
        Without a gap; from at least three periods before the instant to three after it.
    at_s : float
        Instant.
    frequency_hz : float
        Of the rhythm, to about half a hertz.
    max_step_uv : float, optional
        A larger change within 20 ms is an artefact.

    Returns
    -------
    float
        Radians, 0 is the positive peak. NaN where the signal does not cover the window, holds an
        artefact or is flat.
    """
    half_s = PERIODS / frequency_hz
    inside = np.abs(times_s - at_s) <= half_s
    since_s, signal = times_s[inside] - at_s, signal_uv[inside]
    if since_s.size < 4 or since_s[-1] - since_s[0] < COVERED * 2.0 * half_s:
        return math.nan
    if not bool(np.isfinite(signal).all()):
        return math.nan
    if max_step_uv is not None:
        lag = max(1, round(LAG_S * (since_s.size - 1) / (since_s[-1] - since_s[0])))
        if float(np.abs(signal[lag:] - signal[:-lag]).max(initial=0.0)) > max_step_uv:
            return math.nan
    weights = 0.5 + 0.5 * np.cos(np.pi * since_s / half_s)
    signal = signal - float(weights @ signal) / float(weights.sum())
    turning = np.exp(-2j * np.pi * frequency_hz * since_s)
    found = complex((weights * signal) @ turning)
    return cmath.phase(found) if found else math.nan


class PhaseErrors:
    """The latest errors, and whether they still show a lock.

    Parameters
    ----------
    threshold : float
        Phase-locking value below which the loop must not go on; 0: it always may.
    after : int
        Errors that it is told from.

    Attributes
    ----------
    n, unreadable : int
        Errors that could be measured, and those that could not.
    """

    def __init__(self, threshold: float, after: int) -> None:
        if not 0.0 <= threshold < 1.0:
            raise AnalysisError(f"abort at a PLV of {threshold:g}: write 0 (off) to below 1")
        if not 10 <= after <= 1000:
            raise AnalysisError(f"abort over {after} triggers: write 10 to 1000")
        self.threshold, self.after = threshold, after
        self.n = self.unreadable = 0
        self.least = math.nan  # of all values so far
        self._latest: deque[complex] = deque(maxlen=after)

    def add(self, error_rad: float) -> None:
        """Take the error of an event; NaN where it could not be measured."""
        if math.isnan(error_rad):
            self.unreadable += 1
            return
        self.n += 1
        self._latest.append(cmath.exp(1j * error_rad))
        if self.full:
            self.least = self.plv if math.isnan(self.least) else min(self.least, self.plv)

    @property
    def full(self) -> bool:
        """Whether there are as many as it takes."""
        return len(self._latest) == self.after

    @property
    def plv(self) -> float:
        """Of the latest errors; NaN before the first."""
        return abs(sum(self._latest)) / len(self._latest) if self._latest else math.nan

    @property
    def lost(self) -> bool:
        """Whether the lock is lost."""
        return self.full and self.plv < self.threshold

    @property
    def blind(self) -> bool:
        """Whether hardly any event could be measured, so that nobody can say."""
        return self.unreadable >= self.after and self.n < self.unreadable / 4

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "plv": round(self.plv, 4) if self._latest else None,
            "over": len(self._latest),
            "lowest_plv": None if math.isnan(self.least) else round(self.least, 4),
            "mean_error_deg": round(math.degrees(cmath.phase(sum(self._latest))), 2)
            if self._latest and sum(self._latest)
            else None,
            "n": self.n,
            "unreadable": self.unreadable,
            "threshold": self.threshold,
            "after": self.after,
        }
