"""The link to an emulated device, and what may happen to bytes on their way."""

from __future__ import annotations

import math
from collections import deque

__all__ = ["Line"]


class Line:
    """Carry bytes from the host to a device: late, wrong, or not at all.

    Attributes
    ----------
    late_s : float
        How long every write is under way.
    corrupt : int
        So many of the next writes have one bit turned over.
    """

    def __init__(self) -> None:
        self.late_s = 0.0
        self.corrupt = 0
        self._deaf_until_s = -math.inf
        self._flap_since_s = math.inf
        self._flap_period_s = math.inf
        self._under_way: deque[tuple[float, bytes]] = deque()
        self._n_flipped = 0

    def stall(self, now_s: float, duration_s: float) -> None:
        """Have the device take no bytes for a while."""
        self._deaf_until_s = now_s + duration_s

    def flap(self, now_s: float, period_s: float) -> None:
        """Have the link drop out for the first half of every period from now on."""
        self._flap_since_s, self._flap_period_s = now_s, period_s

    def carries(self, now_s: float) -> bool:
        """Whether bytes pass, in either direction."""
        since_s = now_s - self._flap_since_s
        return since_s < 0.0 or since_s % self._flap_period_s >= self._flap_period_s / 2.0

    def send(self, data: bytes, now_s: float) -> None:
        """Put bytes of the host on their way."""
        if now_s < self._deaf_until_s or not self.carries(now_s):
            return
        if self.corrupt:
            self.corrupt -= 1
            data = self._flip(data)
        due_s = now_s + self.late_s
        if self._under_way:
            due_s = max(due_s, self._under_way[-1][0])
        self._under_way.append((due_s, data))

    def next_due_s(self) -> float:
        """Return when the next bytes reach the device; infinite where none are under way."""
        return self._under_way[0][0] if self._under_way else math.inf

    def arrive(self) -> bytes:
        """Take the next bytes off the line."""
        return self._under_way.popleft()[1]

    def _flip(self, data: bytes) -> bytes:
        """Turn one bit over, another one each time."""
        place = (29 + 83 * self._n_flipped) % (8 * len(data))
        self._n_flipped += 1
        turned = bytearray(data)
        turned[place // 8] ^= 1 << place % 8
        return bytes(turned)
