"""How regularly a loop runs: a histogram of bounded size, and its percentiles."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["LoopTimer"]

STEP = 0.02  # bins are 2 % wide
SHORTEST_S = 1e-5
N_BINS = 800  # up to 70 s


class _Histogram:
    """Times in bins of equal ratio."""

    def __init__(self) -> None:
        self._counts = [0] * N_BINS
        self.n = 0
        self.longest_s = 0.0

    def add(self, time_s: float) -> None:
        """Count a time."""
        index = 0
        if time_s > SHORTEST_S:
            index = min(int(math.log(time_s / SHORTEST_S) / math.log1p(STEP)) + 1, N_BINS - 1)
        self._counts[index] += 1
        self.n += 1
        self.longest_s = max(self.longest_s, time_s)

    def percentile_s(self, percent: float) -> float:
        """Return the upper edge of the bin that a percentile falls into."""
        wanted, seen = percent / 100.0 * self.n, 0
        for index, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return min(SHORTEST_S * (1.0 + STEP) ** index, self.longest_s)
        return self.longest_s

    def to_dict(self) -> dict[str, float]:
        """Return percentiles in milliseconds."""
        found = {
            f"p{percent:g}": round(1e3 * self.percentile_s(percent), 3)
            for percent in (50.0, 99.0, 99.9)
        }
        return {**found, "max": round(1e3 * self.longest_s, 3)}


class LoopTimer:
    """Periods of a loop, and how late each round began."""

    def __init__(self) -> None:
        self._periods, self._late = _Histogram(), _Histogram()
        self._last_s: float | None = None

    def round(self, due_s: float, now_s: float) -> None:
        """Count a round that was due at ``due_s`` and began at ``now_s``."""
        self._late.add(max(now_s - due_s, 0.0))
        if self._last_s is not None:
            self._periods.add(now_s - self._last_s)
        self._last_s = now_s

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, in milliseconds."""
        return {
            "rounds": self._late.n,
            "period_ms": self._periods.to_dict(),
            "late_ms": self._late.to_dict(),
        }
