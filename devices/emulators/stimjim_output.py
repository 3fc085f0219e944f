"""One current output of an emulated StimJim: held samples of a sine under an envelope.

What a train makes of an output is fixed when it starts, so that it is kept as one piece and
rendered only when somebody looks. The unit is milliampere, positive out of the positive terminal.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["MA_PER_STEP", "CurrentOutput", "Piece", "steps_of"]

MA_PER_STEP = 0.1017e-3  # of the converter
_LATE_S = 1e-9  # a sample that is due now has been taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What comes out from ``start_s`` until the next piece.

    Parameters
    ----------
    start_s : float
        Clock time; also the place 0 of the sine's phase and of the envelope.
    steps : int
        Amplitude, in steps of the converter.
    constant_steps : int
        Added at all times.
    frequency_hz, phase_turns : float
        Of the sine.
    rate_hz : float
        Samples per second, each held until the next.
    knots : tuple of (float, float)
        Envelope: seconds from ``start_s`` and level; before and after, that of the nearest.
    """

    start_s: float
    steps: int = 0
    constant_steps: int = 0
    frequency_hz: float = 0.0
    phase_turns: float = 0.0
    rate_hz: float = 1000.0
    knots: tuple[tuple[float, float], ...] = ((0.0, 0.0),)

    def level(self, time_s: float) -> float:
        """Return the envelope at a clock time."""
        times_s, levels = zip(*self.knots, strict=True)
        return float(np.interp(time_s - self.start_s, times_s, levels))

    def continuous(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the waveform without samples and steps, in steps of the converter."""
        since_s = times_s - self.start_s
        knots_s, levels = zip(*self.knots, strict=True)
        turns = self.frequency_hz * since_s + self.phase_turns
        sine = np.interp(since_s, knots_s, levels) * np.sin(2.0 * np.pi * turns)
        found: NDArray[np.float64] = self.constant_steps + self.steps * sine
        return found

    def held(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the converter holds, in its steps."""
        taken = np.floor((times_s - self.start_s + _LATE_S) * self.rate_hz)
        return np.rint(self.continuous(self.start_s + taken / self.rate_hz))


class CurrentOutput:
    """One output, told the time by its device.

    Parameters
    ----------
    now_s : float
        Clock time.
    """

    def __init__(self, now_s: float) -> None:
        self.stuck = False
        self._pieces = [Piece(start_s=now_s)]

    @property
    def course(self) -> object:
        """What the output goes on as; another object after every change."""
        return self._pieces[-1]

    @property
    def loud(self) -> bool:
        """Whether a current is set, whatever its envelope is at."""
        return bool(self._pieces[-1].steps or self._pieces[-1].constant_steps)

    def go_on_as(self, piece: Piece) -> None:
        """Begin another piece at its start."""
        if self.stuck:
            return
        if self._pieces[-1].start_s >= piece.start_s:
            self._pieces.pop()
        self._pieces.append(piece)

    def silence(self, now_s: float) -> None:
        """Be at zero at once."""
        if self.loud:
            self.go_on_as(Piece(start_s=now_s))

    def stick(self, now_s: float) -> None:
        """Go on with the level of this instant, whatever comes."""
        last = self._pieces[-1]
        at_s, level = now_s - last.start_s, last.level(now_s)
        knots = tuple(knot for knot in last.knots if knot[0] < at_s)
        self._pieces[-1] = replace(last, knots=(*knots, (at_s, level)))
        self.stuck = True

    def values(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the current at many instants, in ascending order: held samples."""
        return self._rendered(times_s, held=True)

    def sense(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the current at many instants, as a continuous function."""
        return self._rendered(times_s, held=False)

    def forget(self, before_s: float) -> None:
        """Drop pieces that ended before an instant."""
        del self._pieces[: self._index(before_s)]

    def _rendered(self, times_s: NDArray[np.float64], *, held: bool) -> NDArray[np.float64]:
        first, last = self._index(float(times_s[0])), self._index(float(times_s[-1]))
        pieces = self._pieces[first : last + 1]
        starts = np.searchsorted(times_s, [piece.start_s for piece in pieces[1:]])
        edges = [0, *starts.tolist(), len(times_s)]
        found = np.zeros(len(times_s))
        for piece, start, end in zip(pieces, edges[:-1], edges[1:], strict=True):
            if piece.steps or piece.constant_steps:
                part = times_s[start:end]
                steps = piece.held(part) if held else piece.continuous(part)
                found[start:end] = MA_PER_STEP * steps
        return found

    def _index(self, time_s: float) -> int:
        return max(bisect.bisect_right(self._pieces, time_s, key=lambda p: p.start_s) - 1, 0)


def steps_of(current_ua: float) -> int:
    """Return converter steps for microampere, as the firmware does: what is over is cut off."""
    return math.trunc(current_ua / (MA_PER_STEP * 1000.0))
