"""One output of an emulated converter: values at instants, each held until the next.

What is still to come can be written ahead and cut off again. Rendered only when somebody looks,
many instants at once.
"""

from __future__ import annotations

import bisect
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["HeldOutput"]


class _Piece(NamedTuple):
    """Values from ``start_s`` on, one every ``period_s``; the last one is held."""

    start_s: float
    period_s: float
    values: NDArray[np.float64]


class HeldOutput:
    """A staircase, told the time by its device.

    Parameters
    ----------
    now_s : float
        Clock time of power-on.
    value : float
        From then on.
    """

    def __init__(self, now_s: float, value: float = 0.0) -> None:
        self._pieces = [_Piece(now_s, 1.0, np.array([value]))]
        self._course = object()

    @property
    def course(self) -> object:
        """What the output goes on as; another object after every change."""
        return self._course

    def play(self, start_s: float, period_s: float, values: NDArray[np.float64]) -> None:
        """Append values from an instant on, which is not before what was written last."""
        self._pieces.append(_Piece(start_s, period_s, values))
        self._course = object()

    def set(self, value: float, now_s: float) -> None:
        """Drop what is still to come and hold a value from now on."""
        self.cut(now_s)
        self.play(now_s, 1.0, np.array([value]))

    def cut(self, now_s: float) -> None:
        """Drop what is still to come: the present value is held."""
        while self._pieces[-1].start_s > now_s and len(self._pieces) > 1:
            self._pieces.pop()
        last = self._pieces[-1]
        kept = last.values[: self._index(last, now_s) + 1]
        self._pieces[-1] = last._replace(values=kept)
        self._course = object()

    def value(self, now_s: float) -> float:
        """Return the value at an instant."""
        piece = self._pieces[self._at(now_s)]
        return float(piece.values[self._index(piece, now_s)])

    def values(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values at many instants, in ascending order."""
        first, last = self._at(float(times_s[0])), self._at(float(times_s[-1]))
        pieces = self._pieces[first : last + 1]
        edges = [0, *np.searchsorted(times_s, [p.start_s for p in pieces[1:]]).tolist()]
        edges.append(len(times_s))
        found = np.empty(len(times_s))
        for piece, start, end in zip(pieces, edges[:-1], edges[1:], strict=True):
            steps = (times_s[start:end] - piece.start_s) / piece.period_s
            index = np.floor(steps + 1e-6).astype(np.int64)
            found[start:end] = piece.values[np.clip(index, 0, len(piece.values) - 1)]
        return found

    sense = values

    def forget(self, before_s: float) -> None:
        """Drop pieces that ended before an instant, which nobody will look at again."""
        del self._pieces[: self._at(before_s)]

    def _at(self, time_s: float) -> int:
        """Piece that holds an instant."""
        return max(bisect.bisect_right(self._pieces, time_s, key=lambda p: p.start_s) - 1, 0)

    @staticmethod
    def _index(piece: _Piece, time_s: float) -> int:
        steps = int((time_s - piece.start_s) / piece.period_s + 1e-6)
        return min(max(steps, 0), len(piece.values) - 1)
