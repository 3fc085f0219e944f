"""What the guardian knows of the sine that is played: when it began, its frequency, its phase.

A loop needs it to place its requests, and whoever reads the gaps between trains to know where each
began, where it ended and at which phase; nobody can change it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from tacs.protocol import Protocol

__all__ = ["Played", "PlayedTrack", "begin_rad"]


def begin_rad(protocol: Protocol) -> float:
    """Return the phase of the current's cosine when the programme begins; 0 is the positive peak.

    A sine begins at its upward crossing, an envelope at its lowest. It is that of a loop with
    ``phase_deg`` 0, out of its source.
    """
    return -math.pi if protocol.carrier_hz is not None else -0.5 * math.pi


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """The sine.

    Parameters
    ----------
    started_s : float
        When the session started, by the machine's monotonic clock.
    tuned_s : float
        When the frequency changed last, or the sine began: with the device's answer to the command,
        or as much later as its queue is long.
    cycles : float
        From the sine's beginning until then.
    frequency_hz : float
        From then on, as the device makes it.
    ready : bool
        Whether a train that is asked for now could begin now.
    risen_s : float or None
        When the level was last told to leave zero; None before it was.
    fallen_s : float or None
        When the device had answered to the command that brought the level back to zero last. A stop
        is none.
    """

    started_s: float
    tuned_s: float
    cycles: float
    frequency_hz: float
    ready: bool = False
    risen_s: float | None = None
    fallen_s: float | None = None

    def phase_rad(self, at_s: float) -> float:
        """Return the phase since the sine's beginning at a time, -pi to pi; not before `tuned_s`.

        Add :func:`begin_rad` for the phase of the current's cosine.
        """
        turns = self.cycles + self.frequency_hz * (at_s - self.tuned_s)
        return math.remainder(2.0 * math.pi * turns, 2.0 * math.pi)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any] | None) -> Played | None:
        """Take what :meth:`to_dict` gave, or nothing."""
        return None if data is None else cls(**{f.name: data[f.name] for f in fields(cls)})


class PlayedTrack:
    """Follows the commands that set the sine.

    Parameters
    ----------
    reaction_s : float
        Of a device with a queue: what is in it is played with the frequency that it was made with.
    """

    def __init__(self, reaction_s: float = 0.0) -> None:
        self._reaction_s = reaction_s
        self._now: Played | None = None
        self._level = 0.0

    def began(self, started_s: float, at_s: float, frequency_hz: float) -> None:
        """Note that the sine began."""
        self._now = Played(started_s=started_s, tuned_s=at_s, cycles=0.0, frequency_hz=frequency_hz)

    def tuned(self, at_s: float, frequency_hz: float) -> None:
        """Note a change of the frequency without a jump, which had been answered at a time."""
        was = self._now
        if was is None:
            return
        from_s = at_s + self._reaction_s
        cycles = was.cycles + was.frequency_hz * (from_s - was.tuned_s)
        self._now = replace(was, tuned_s=from_s, cycles=cycles, frequency_hz=frequency_hz)

    def levelled(self, level: float, sent_s: float, answered_s: float) -> None:
        """Note a command of the level: when it was sent, and when it had been answered."""
        before, self._level = self._level, level
        if self._now is None or (before > 0.0) == (level > 0.0):
            return
        if level > 0.0:
            self._now = replace(self._now, risen_s=sent_s)
        else:
            self._now = replace(self._now, fallen_s=answered_s)

    def told(self, *, ready: bool) -> Played | None:
        """Return all of it; None before the sine began."""
        if self._now is None or not math.isfinite(self._now.frequency_hz):
            return None
        return replace(self._now, ready=ready)
