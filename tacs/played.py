"""What the guardian knows of the sine that is played: when it began, its frequency, its phase.

A loop needs it to place its requests; it cannot change it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

__all__ = ["Played", "PlayedTrack"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """The sine.

    Parameters
    ----------
    started_s : float
        When the session started, by the machine's monotonic clock.
    tuned_s : float
        When the device had answered to the command that set the frequency last, or began the sine.
    cycles : float
        From the sine's beginning until then.
    frequency_hz : float
        From then on, as the device makes it.
    ready : bool
        Whether a train that is asked for now could begin now.
    """

    started_s: float
    tuned_s: float
    cycles: float
    frequency_hz: float
    ready: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any] | None) -> Played | None:
        """Take what :meth:`to_dict` gave, or nothing."""
        return None if data is None else cls(**{f.name: data[f.name] for f in fields(cls)})


class PlayedTrack:
    """Follows the commands that set the sine."""

    def __init__(self) -> None:
        self._now: Played | None = None

    def began(self, started_s: float, at_s: float, frequency_hz: float) -> None:
        """Note that the sine began."""
        self._now = Played(started_s=started_s, tuned_s=at_s, cycles=0.0, frequency_hz=frequency_hz)

    def tuned(self, at_s: float, frequency_hz: float) -> None:
        """Note a change of the frequency without a jump."""
        was = self._now
        if was is None:
            return
        cycles = was.cycles + was.frequency_hz * (at_s - was.tuned_s)
        self._now = replace(was, tuned_s=at_s, cycles=cycles, frequency_hz=frequency_hz)

    def told(self, *, ready: bool) -> Played | None:
        """Return all of it; None before the sine began."""
        if self._now is None or not math.isfinite(self._now.frequency_hz):
            return None
        return replace(self._now, ready=ready)
