"""Looks afterwards how well a loop met the phase: keeps EEG, and what the loop had predicted.

A trigger, and a correction of a lock, is looked at itself: EEG goes on behind it. Behind the
beginning of a train there is the current's artefact, and the phase there cannot be read; what is
looked at is the newest estimate of the same gap that has enough EEG behind it before the train.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from analysis.loop_phase_error import PERIODS, PhaseErrors, phase_afterwards
from analysis.loop_terms import wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tacs.eeg import EEGBlock

__all__ = ["PhaseCheck"]

KEPT_S: Final = 3.0  # of EEG, beyond the window


class PhaseCheck:
    """Compares predicted phases with those read afterwards.

    Parameters
    ----------
    errors : PhaseErrors
        Where they are counted.
    weights : sequence of float, optional
        Spatial filter; None: one channel.
    frequency_hz : float
        Of the rhythm.
    max_step_uv : float, optional
        Of an artefact, in the filtered channel.
    in_gaps : bool
        Whether events are the beginnings of trains.
    """

    def __init__(
        self,
        errors: PhaseErrors,
        weights: Sequence[float] | NDArray[np.float64] | None,
        frequency_hz: float,
        *,
        max_step_uv: float | None,
        in_gaps: bool,
    ) -> None:
        self.errors = errors
        self.in_gaps = in_gaps
        self._weights, self._hz, self._max_step_uv = weights, frequency_hz, max_step_uv
        self._half_s = PERIODS / frequency_hz
        self._parts: deque[tuple[NDArray[np.float64], NDArray[np.float64]]] = deque()
        self._waiting: deque[tuple[float, float]] = deque()
        self._of_gap = math.nan

    def drop(self) -> None:
        """Forget EEG, at a gap or under current: what waited for it cannot be read any more."""
        self._parts.clear()
        if not self.in_gaps:
            for _ in self._waiting:
                self.errors.add(math.nan)
        self._waiting.clear()

    def add(self, block: EEGBlock) -> None:
        """Take the next EEG, and read what waited for it."""
        import numpy as np

        if block.missing or block.restarted:
            self.drop()
        signal = np.asarray(block.signal_uv, dtype=np.float64)
        if self._weights is None:
            mixed = signal[0]
        else:
            weights = np.asarray(self._weights)
            mixed = weights[weights != 0.0] @ signal[weights != 0.0]
        self._parts.append((mixed, block.times_s))
        newest_s = float(block.times_s[-1])
        while self._waiting and self._waiting[0][0] + self._half_s <= newest_s:
            at_s, predicted_rad = self._waiting.popleft()
            error_rad = self._error(at_s, predicted_rad)
            if self.in_gaps:
                self._of_gap = self._of_gap if math.isnan(error_rad) else error_rad
            else:
                self.errors.add(error_rad)
        while newest_s - float(self._parts[0][1][-1]) > 2.0 * self._half_s + KEPT_S:
            self._parts.popleft()

    def expect(self, at_s: float, predicted_rad: float) -> None:
        """Note what was predicted for an instant; one after the other is read, not all at once."""
        if not self._waiting or at_s >= self._waiting[-1][0] + self._half_s:
            self._waiting.append((at_s, predicted_rad))

    def event(self, at_s: float, predicted_rad: float) -> None:
        """Note a trigger or a correction; every one of them is read."""
        self._waiting.append((at_s, predicted_rad))

    def train(self) -> None:
        """Count the newest error of the gap for the train that ends it."""
        self.errors.add(self._of_gap)
        self._of_gap = math.nan
        self._waiting.clear()

    def why_stop(self) -> str:
        """Why the loop must not go on; empty while it may."""
        if not self.errors.lost:
            return ""
        return (
            f"the phase is not met: phase-locking value below {self.errors.threshold:g} over the "
            f"last {self.errors.after}"
        )

    @property
    def words(self) -> str:
        """What a person is shown."""
        errors = self.errors
        if errors.blind:
            return f"phase cannot be read afterwards ({errors.unreadable} times)"
        if math.isnan(errors.plv):
            return ""
        return f"PLV {errors.plv:.2f} over {min(errors.n, errors.after)}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        what = "an estimate in the gap before each train" if self.in_gaps else "each event"
        return {**self.errors.to_dict(), "of": what}

    def _error(self, at_s: float, predicted_rad: float) -> float:
        import numpy as np

        signal = np.concatenate([part for part, _ in self._parts])
        times_s = np.concatenate([times for _, times in self._parts])
        found_rad = phase_afterwards(
            signal, times_s, at_s, self._hz, max_step_uv=self._max_step_uv
        )  # fmt: skip
        return wrapped(predicted_rad - found_rad) if not math.isnan(found_rad) else math.nan
