"""What is missing in a stream by the numbers of its packages.

A board numbers its packages, most with one byte that begins anew at 0; some put several samples
into one. How many samples a package holds, by how much its number grows and where it begins anew (a
power of two) is seen in the stream itself; at a jump back that is no such place the stamps count. A
stream whose numbers follow no rule is not counted by them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["PackageCounter"]

Array = NDArray[np.float64]

LEARNT_FROM: Final = 64  # samples, at least
REGULAR: Final = 0.9  # of the packages, at least
LEAST_ROUND: Final = 64  # numbers before a counter begins anew


class PackageCounter:
    """Counts lost samples by the numbers of packages.

    Parameters
    ----------
    numbers : ndarray, shape (n,)
        Of the first samples; what they show holds for the rest.
    sfreq_hz : float
        Nominal rate.

    Attributes
    ----------
    usable : bool
        Whether the numbers follow a rule.
    per_package : int
        Samples with one number.
    """

    def __init__(self, numbers: Array, sfreq_hz: float) -> None:
        self._sfreq_hz = sfreq_hz
        self._round: int | None = None
        self._last: tuple[float, float, int] | None = None  # number, stamp, samples of it so far
        self.per_package, self._step, self.usable = 1, 1, False
        if len(numbers) < LEARNT_FROM or not np.isfinite(numbers).all():
            return
        starts = np.flatnonzero(np.diff(numbers)) + 1
        sizes, steps = np.diff(starts), np.diff(numbers)[starts - 1].astype(np.int64)
        if not len(sizes) or not (steps > 0).any():
            return
        self.per_package = int(np.bincount(sizes).argmax())
        self._step = int(np.bincount(steps[steps > 0]).argmax())
        self.usable = bool(
            np.mean(sizes == self.per_package) >= REGULAR
            and np.mean((steps == self._step) | (steps < 0)) >= REGULAR
        )

    def lost(self, numbers: Array, stamps_s: Array) -> NDArray[np.int64]:
        """Return how many samples are missing before each.

        Parameters
        ----------
        numbers, stamps_s : ndarray, shape (n,)
            Of the next samples. The stamps tell how often the counter went round meanwhile: they
            must be right to half a round.
        """
        out = np.zeros(len(numbers), dtype=np.int64)
        for i, (number, stamp_s) in enumerate(zip(numbers, stamps_s, strict=True)):
            if self._last is None:
                self._last = (number, stamp_s, 1)
                continue
            before, before_s, n = self._last
            if number == before and n < self.per_package:
                self._last = (number, stamp_s, n + 1)
                continue
            out[i] = self._between(number - before, before, stamp_s - before_s)
            self._last = (number, stamp_s, 1)
        return out

    def _between(self, grown: float, before: float, passed_s: float) -> int:
        """Samples between two packages."""
        step, per = self._step, self.per_package
        if grown <= 0.0 and self._round is None:
            size = int(before) + step
            if size < LEAST_ROUND or size & (size - 1):
                return self._by_time(passed_s)
            self._round = size
        if self._round is None:
            return max(round(grown / step) - 1, 0) * per
        between = max(round((grown % self._round or self._round) / step) - 1, 0) * per
        around = self._round // step * per
        rounds = round((passed_s * self._sfreq_hz - 1.0 - between) / around)
        return between + max(rounds, 0) * around

    def _by_time(self, passed_s: float) -> int:
        """Samples that fit into a time, where the numbers jumped."""
        missing = round(passed_s * self._sfreq_hz) - 1
        return missing if missing > self._sfreq_hz * 0.1 else 0
