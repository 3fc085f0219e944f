"""Samples for a card that plays what it is given: sine or modulated carrier, ramps, phases.

Pure: blocks of volts come out, and nothing knows of a card or of time. A block continues where the
one before it ended, in phase and in level, so that a new frequency, a ramp or a stop is never a
jump. Times are counted in samples from the first one; nothing adds up rounding.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tacs.errors import InputError
from tacs.waveform import PhaseTrack

__all__ = ["Stream", "Voice"]

ROUNDING = 1e-6  # of a step: what a crest is short of by the rounding of its sine
REMEMBERED_S = 4.0  # how far back a stream can be taken up again


@dataclass(frozen=True, slots=True)
class Voice:
    """What one output plays at full level.

    Parameters
    ----------
    steps : int
        Zero-to-peak amplitude in steps of the converter.
    phase_deg : float
        Of the sine; of a modulated carrier, that of its envelope.
    """

    steps: int
    phase_deg: float


class _Span(NamedTuple):
    """The level of one block: a straight line that ends with its last sample."""

    first: int
    n: int
    start_level: float
    end_level: float


class Stream:
    """Volts of every output, block by block.

    Parameters
    ----------
    rate_hz : float
        Samples per second.
    step_v : float
        The converter's step. Every sample is on it, rounded towards zero: the card has nothing to
        round, no sample is larger than asked, and the mean stays zero.
    voices : sequence of Voice
        One per output.
    frequency_hz : float
        Of all outputs; of a modulated carrier, of its envelope.
    carrier_hz : float or None
        Where the waveform is ``½(1 - cos 2πft)·sin 2πf_c t``.

    Attributes
    ----------
    position : int
        Number of the next sample.
    level : float
        Level of the last one.
    """

    def __init__(
        self,
        rate_hz: float,
        step_v: float,
        voices: Sequence[Voice],
        frequency_hz: float,
        carrier_hz: float | None = None,
    ) -> None:
        self.position = 0
        self.level = 0.0
        self._rate_hz = rate_hz
        self._step_v = step_v
        self._steps = np.array([[voice.steps] for voice in voices], dtype=np.float64)
        self._phases_rad = np.radians([[voice.phase_deg] for voice in voices])
        self._track = PhaseTrack(frequency_hz)
        self._carrier = None if carrier_hz is None else PhaseTrack(carrier_hz)
        self._spans: deque[_Span] = deque()

    def block(self, n: int, level: float) -> NDArray[np.float64]:
        """Return the next samples, moving in a straight line to a level.

        Parameters
        ----------
        n : int
            Samples, 1 or more.
        level : float
            0 to 1, reached with the last of them.

        Returns
        -------
        ndarray, shape (n_outputs, n)
            Volts.

        Raises
        ------
        InputError
            No sample, or a level that is none.
        """
        if n < 1 or isinstance(level, bool) or not 0.0 <= level <= 1.0:
            raise InputError(f"{n} samples up to level {level} cannot be made; 0 to 1 is a level")
        span = _Span(self.position, n, self.level, level)
        times_s = (span.first + np.arange(n)) / self._rate_hz
        levels = span.start_level + (level - span.start_level) * np.arange(1, n + 1) / n
        steps = levels * self._steps * self._unit(times_s)
        steps = np.trunc(steps + np.copysign(ROUNDING, steps))
        self._spans.append(span)
        while self._spans[0].first + self._spans[0].n < span.first - REMEMBERED_S * self._rate_hz:
            self._spans.popleft()
        self.position, self.level = span.first + n, level
        volts: NDArray[np.float64] = steps * self._step_v
        return volts

    def retune(self, frequency_hz: float) -> None:
        """Change the frequency from the next sample on; the phase goes on from where it is."""
        if not (math.isfinite(frequency_hz) and frequency_hz > 0.0):
            raise InputError(f"{frequency_hz} Hz is no frequency")
        self._track.retune(self.position / self._rate_hz, frequency_hz)

    def take_up(self, position: int) -> None:
        """Go on from an earlier sample, at its level and phase: what came after is not played.

        Raises
        ------
        InputError
            No such sample, or one that is long past.
        """
        if position == self.position:
            return
        while self._spans:
            span = self._spans.pop()
            if span.first <= position < span.first + span.n:
                done = position - span.first
                share = done / span.n
                level = span.start_level + (span.end_level - span.start_level) * share
                if done:
                    self._spans.append(_Span(span.first, done, span.start_level, level))
                self.position, self.level = position, level
                return
        raise InputError(f"sample {position} cannot be taken up; the next one is {self.position}")

    def _unit(self, times_s: NDArray[np.float64]) -> Any:
        """The waveform between -1 and 1, shape (n_outputs, n)."""
        turns = 2.0 * np.pi * self._track.cycles_at(times_s) + self._phases_rad
        if self._carrier is None:
            return np.sin(turns)
        carrier = np.sin(2.0 * np.pi * self._carrier.cycles_at(times_s))
        return 0.5 * (1.0 - np.cos(turns)) * carrier
