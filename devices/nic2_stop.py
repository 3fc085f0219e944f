"""One stop of NIC under way: a ramp to zero by amplitude alone, the abort, the unload.

The ramp is sent at once. NIC may take no online change while another one is under way, and does not
say so: where one is, the ramp is sent a second time when it is over, for the time that is left. The
abort is sent when the ramp must be over, whatever NIC reports, and again as long as NIC reports
that its protocol runs.
"""

from __future__ import annotations

import math
from typing import Final

from devices import nic2_wire as wire
from devices.nic2_wire import SILENT, Command, Op, Status

__all__ = ["Stop"]

GUARD_S: Final = 0.03  # between the end of the ramp and the abort
AGAIN_S: Final = 0.01  # after the end of a change that was under way
STEP_S: Final = wire.TRANSITION_MIN_MS / 1e3
ABORT: Final = Command(Op.ABORT_PROTOCOL)


class Stop:
    """What to send, and when.

    Parameters
    ----------
    n_channels : int
        Of the device.
    transition_ms : int
        Of the ramp to zero.
    urgent : bool
        Whether it is an emergency.
    busy_until_s : float
        When a change under way is over; in the past where there is none.
    waits : bool
        Whether the abort waits for the ramp; not where nothing was started.
    """

    def __init__(
        self,
        n_channels: int,
        transition_ms: int,
        *,
        urgent: bool,
        busy_until_s: float = -math.inf,
        waits: bool = True,
    ) -> None:
        self.urgent = urgent
        self._n_channels = n_channels
        self._transition_ms = transition_ms
        self._busy_until_s = busy_until_s
        self._waits = waits
        self._began_s = self._ends_s = math.nan
        self._again = self.aborted = self.unloaded = False

    def begin(self, now_s: float) -> list[Command]:
        """Return what goes out at once.

        Parameters
        ----------
        now_s : float
            Time of the last tick; NaN before the first.
        """
        self._again = not now_s < self._busy_until_s
        if self._waits:
            return [self._zero(self._transition_ms)]
        self.aborted = True
        return [self._zero(self._transition_ms), ABORT]

    def due(self, now_s: float) -> list[Command]:
        """Return what is due at a tick."""
        if math.isnan(self._began_s):
            self._began_s = now_s
            self._ends_s = now_s + self._transition_ms / 1e3
        if self.aborted:
            return []
        if not self._again and now_s >= self._busy_until_s + AGAIN_S:
            self._again = True
            left_ms = self._left_ms(now_s)
            self._ends_s = now_s + left_ms / 1e3
            return [self._zero(left_ms)]
        if now_s >= self._ends_s + GUARD_S:
            self.aborted = True
            return [ABORT]
        return []

    def heard(self, state: Status) -> list[Command]:
        """Return what a state of NIC asks for."""
        if not self.aborted:
            return []
        if state is Status.RUNNING:
            return [ABORT]
        if state in SILENT and not self.unloaded:
            self.unloaded = True
            return [] if state is Status.NOT_LOADED else [Command(Op.UNLOAD_PROTOCOL)]
        return []

    def rest(self) -> list[tuple[float, list[Command]]]:
        """Return what is left to do for somebody who can wait: seconds, and what to send then."""
        if self.aborted:
            return []
        left = [(self._transition_ms / 1e3 + GUARD_S, [ABORT])]
        if not self._again:
            self._again = True
            left.insert(0, (STEP_S + AGAIN_S, [self._zero(self._transition_ms)]))
        self.aborted = True
        return left

    def _left_ms(self, now_s: float) -> int:
        passed_ms = math.floor(1e3 * (now_s - self._began_s))
        return max(wire.TRANSITION_MIN_MS, self._transition_ms - passed_ms)

    def _zero(self, transition_ms: int) -> Command:
        return wire.amplitudes((0,) * self._n_channels, transition_ms)
