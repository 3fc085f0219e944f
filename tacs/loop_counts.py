"""What a loop did, counted; and the trains of a sham, which are decided and not played."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from analysis.loop_terms import Carrier, Request

__all__ = ["LoopCounts", "Silent"]


@dataclass(slots=True)
class LoopCounts:
    """What a loop did.

    Parameters
    ----------
    decisions : int
        Looks at the rule.
    retunes, trains, triggers, pauses : int
        Requests that were sent; of a sham, those that would have been.
    refused : int
        That the kernel refused.
    past : int
        That would have been for a time gone by when they were sent; none was sent.
    lags_rad : list of float
        Lag minus the lag wanted, by the loop's own estimate: at the begin of every train with a
        phase, at every look of a lock.
    """

    decisions: int = 0
    retunes: int = 0
    trains: int = 0
    triggers: int = 0
    pauses: int = 0
    refused: int = 0
    past: int = 0
    lags_rad: list[float] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; the lag in degrees."""
        n = len(self.lags_rad)
        mean = sum(complex(math.cos(x), math.sin(x)) for x in self.lags_rad) / n if n else 0j
        length = abs(mean)
        known = n > 0 and length > 0.0
        return {
            "decisions": self.decisions,
            "retunes": self.retunes,
            "trains": self.trains,
            "triggers": self.triggers,
            "pauses": self.pauses,
            "refused": self.refused,
            "past": self.past,
            "lag": {
                "n": n,
                "mean_deg": round(math.degrees(math.atan2(mean.imag, mean.real)), 2)
                if known
                else None,
                "sd_deg": round(math.degrees(math.sqrt(-2.0 * math.log(min(length, 1.0)))), 2)
                if known
                else None,
                "by": "the loop's own estimate",
            },
        }


@dataclass(slots=True)
class Silent:
    """Trains of a sham: decided, timed, not played."""

    on_s: float
    off_s: float
    carrier: Carrier
    until_s: float = -math.inf

    def take(self, request: Request, now_s: float) -> None:
        """Take what would have been asked for, at its time."""
        if request.kind == "retune":
            self.carrier = self.carrier.retuned(now_s, request.value)
        elif request.kind == "train":
            self.until_s = max(now_s, request.at_s or now_s) + self.on_s
