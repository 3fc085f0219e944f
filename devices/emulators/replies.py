"""What an emulated device says to its host: when it is due, and what may be wrong with it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ["Replies", "ReplyFaults"]

REPLY_LATENCY_S = 0.0002  # one USB round trip


@dataclass(slots=True)
class ReplyFaults:
    """What is wrong with the next replies; the counts run down."""

    drop: int = 0
    duplicate: int = 0
    reorder: int = 0
    corrupt: int = 0
    garbage: int = 0
    refuse: int = 0
    delay_s: float = 0.0


class Replies:
    """Replies on their way to the host.

    Parameters
    ----------
    latency_s : float
        From a command to its reply.
    ascii_garbage : bool
        Whether noise on this link is printable text; else bytes from 0x80 on.

    Attributes
    ----------
    faults : ReplyFaults
        Of the next replies.
    """

    def __init__(self, latency_s: float = REPLY_LATENCY_S, *, ascii_garbage: bool = False) -> None:
        self.faults = ReplyFaults()
        self._latency_s = latency_s
        self._noise_from = 0x30 if ascii_garbage else 0x80
        self._due: deque[tuple[float, bytes]] = deque()
        self._held_back = b""

    def send(self, reply: bytes, now_s: float) -> None:
        """Queue a reply, with whatever is wrong with it."""
        faults = self.faults
        if faults.drop:
            faults.drop -= 1
            return
        if faults.corrupt:
            faults.corrupt -= 1
            reply = bytes(byte ^ 0xA5 for byte in reply)
        if faults.duplicate:
            faults.duplicate -= 1
            reply *= 2
        if faults.garbage:
            span = 0x40 if self._noise_from == 0x30 else 0x80
            noise = bytes(self._noise_from + 37 * k % span for k in range(faults.garbage))
            reply = noise + reply
            faults.garbage = 0
        if faults.reorder and not self._held_back:
            faults.reorder -= 1
            self._held_back = reply
            return
        reply, self._held_back = reply + self._held_back, b""
        due_s = now_s + self._latency_s + faults.delay_s
        if self._due:
            due_s = max(due_s, self._due[-1][0])
        self._due.append((due_s, reply))

    def take(self, now_s: float) -> bytes:
        """Give the bytes for the host that are due."""
        data = b""
        while self._due and self._due[0][0] <= now_s:
            data += self._due.popleft()[1]
        return data

    def next_due_s(self) -> float | None:
        """Return when the next byte for the host is due."""
        return self._due[0][0] if self._due else None

    def clear(self) -> None:
        """Forget everything that is under way, as when the power goes."""
        self._due.clear()
        self._held_back = b""
