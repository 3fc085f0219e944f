"""One output of an emulated sine generator: an amplitude that moves in straight lines.

The output is kept as a list of pieces and rendered only when somebody looks, many samples at once.
Its unit is that of the device: volts, or milliampere of a current source.
"""

from __future__ import annotations

import bisect
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tacs.waveform import PhaseTrack

__all__ = ["SineOutput"]


class _Piece(NamedTuple):
    """The output from ``start_s`` until the next piece."""

    start_s: float
    amplitude: float
    per_s: float
    offset: float
    phase_rad: float
    track: PhaseTrack


class SineOutput:
    """``offset + amplitude·sin(2π·cycles + phase)``, told the time by its device.

    Parameters
    ----------
    now_s : float
        Clock time; the sine's place in its cycle counts from here until :meth:`restart`.
    frequency_hz : float
        At first.
    """

    def __init__(self, now_s: float, frequency_hz: float = 10.0) -> None:
        self.stuck = False
        self._track = PhaseTrack(frequency_hz, now_s)
        self._phase_rad = 0.0
        self._offset = 0.0
        self._amplitude = self._target = 0.0
        self._per_s = 0.0
        self._since_s = now_s
        self._reached_s = now_s
        self._log = [_Piece(now_s, 0.0, 0.0, 0.0, 0.0, self._track)]
        self._course = object()

    @property
    def course(self) -> object:
        """What the output goes on as; another object after every change."""
        return self._course

    @property
    def loud(self) -> bool:
        """Whether anything comes out, or is on its way up."""
        return self._amplitude != 0.0 or self._target != 0.0 or self._offset != 0.0

    @property
    def reached_s(self) -> float:
        """When the move under way reaches its amplitude; the last change where none is."""
        return self._reached_s

    def amplitude(self, now_s: float) -> float:
        """Return the zero-to-peak amplitude at an instant not before the last change."""
        if now_s >= self._reached_s:
            return self._target
        return self._amplitude + self._per_s * (now_s - self._since_s)

    def frequency_hz(self, now_s: float) -> float:
        """Return the frequency at an instant."""
        return self._track.frequency_hz(now_s)

    def advance(self, now_s: float) -> None:
        """Note the end of a move that is over."""
        if self._per_s and self._reached_s <= now_s:
            self._move(self._reached_s, self._target, self._target, 0.0)

    def move_to(self, amplitude: float, over_s: float, now_s: float) -> None:
        """Move the amplitude in a straight line, or at once where no time is given."""
        if self.stuck:
            return
        self.advance(now_s)
        self._move(now_s, self.amplitude(now_s) if over_s > 0.0 else amplitude, amplitude, over_s)

    def set_offset(self, offset: float, now_s: float) -> None:
        """Add a constant from now on."""
        if not self.stuck:
            self._offset = offset
            self._again(now_s)

    def set_phase(self, phase_deg: float, now_s: float) -> None:
        """Turn the sine at once; the output jumps."""
        if not self.stuck:
            self._phase_rad = math.radians(phase_deg)
            self._again(now_s)

    def retune(self, frequency_hz: float, now_s: float) -> None:
        """Change the frequency, keeping the place in the cycle."""
        if not self.stuck:
            self._track.retune(now_s, frequency_hz)
            self._course = object()

    def restart(self, now_s: float) -> None:
        """Begin the cycle anew: place 0 is now."""
        if not self.stuck:
            self._track = PhaseTrack(self._track.frequency_hz(now_s), now_s)
            self._again(now_s)

    def cut(self, now_s: float) -> None:
        """Be at zero at once, as when the power goes."""
        if not self.stuck:
            self._offset = 0.0
            self._move(now_s, 0.0, 0.0, 0.0)

    def values(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the output at many instants, in ascending order."""
        first, last = self._index(float(times_s[0])), self._index(float(times_s[-1]))
        pieces = self._log[first : last + 1]
        starts = np.searchsorted(times_s, [piece.start_s for piece in pieces[1:]])
        edges = [0, *starts.tolist(), len(times_s)]
        found = np.zeros(len(times_s))
        for piece, start, end in zip(pieces, edges[:-1], edges[1:], strict=True):
            part = slice(start, end)
            if not (piece.amplitude or piece.per_s):
                found[part] = piece.offset
                continue
            at_s = times_s[part]
            turns = 2.0 * np.pi * piece.track.cycles_at(at_s) + piece.phase_rad
            amplitude = piece.amplitude + piece.per_s * (at_s - piece.start_s)
            found[part] = piece.offset + amplitude * np.sin(turns)
        return found

    sense = values

    def forget(self, before_s: float) -> None:
        """Drop pieces that ended before an instant, which nobody will look at again."""
        del self._log[: self._index(before_s)]

    def _again(self, now_s: float) -> None:
        """Go on as before, with what has changed."""
        self.advance(now_s)
        left_s = max(self._reached_s - now_s, 0.0) if self._per_s else 0.0
        self._move(now_s, self.amplitude(now_s), self._target, left_s)

    def _move(self, now_s: float, start: float, target: float, over_s: float) -> None:
        self._since_s, self._amplitude, self._target = now_s, start, target
        self._reached_s = now_s + over_s
        self._per_s = (target - start) / over_s if over_s > 0.0 else 0.0
        piece = _Piece(now_s, start, self._per_s, self._offset, self._phase_rad, self._track)
        if self._log[-1].start_s == now_s:
            self._log.pop()
        self._log.append(piece)
        self._course = object()

    def _index(self, time_s: float) -> int:
        """Piece that holds an instant."""
        return max(bisect.bisect_right(self._log, time_s, key=lambda p: p.start_s) - 1, 0)
