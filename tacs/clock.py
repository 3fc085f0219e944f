"""Time comes in through a clock: the machine's monotonic one, or a virtual one.

Nothing else in the suite reads a clock or sleeps: wall-clock time for labels and for rules in days
comes from :func:`utc_now`. A :class:`Clock` answers two questions: what time
is it, and what arrived while waiting. On the :class:`VirtualClock` waiting is instantaneous and
time moves only when somebody waits, so that a 20-minute session takes seconds and two runs with
the same inputs are the same to the byte.
"""

from __future__ import annotations

import heapq
import queue
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

__all__ = [
    "Clock",
    "Inbox",
    "MonotonicClock",
    "QueueInbox",
    "VirtualClock",
    "utc_now",
]


def utc_now() -> datetime:
    """Wall-clock time, for labels and for rules in days; never for timing a session."""
    return datetime.now(UTC)


class Inbox(Protocol):
    """Where messages to a guardian arrive: a queue fed by signals or sockets, or a script."""

    def next_due_s(self) -> float | None:
        """Return the clock time of the next scripted message, or None where that is unknown."""

    def collect(self, now_s: float) -> list[str]:
        """Take every message that has arrived by ``now_s``."""

    def block(self, timeout_s: float) -> None:
        """Return when a message is there or after ``timeout_s`` real seconds."""


class QueueInbox:
    """Messages from signal handlers and other threads, and messages scripted beforehand.

    ``put`` is safe inside a signal handler: :class:`queue.SimpleQueue` is re-entrant.

    Parameters
    ----------
    script : sequence of (float, str)
        Clock time in seconds and message, in any order; for tests and rehearsals.
    """

    def __init__(self, script: Sequence[tuple[float, str]] = ()) -> None:
        self._queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._held: list[str] = []
        self._script = sorted(script)

    def put(self, message: str) -> None:
        """Leave a message for the guardian's next tick."""
        self._queue.put(message)

    def next_due_s(self) -> float | None:
        """Return the clock time of the next scripted message, or None."""
        return self._script[0][0] if self._script else None

    def collect(self, now_s: float) -> list[str]:
        """Take every message that has arrived or is due by ``now_s``."""
        messages, self._held = self._held, []
        while self._script and self._script[0][0] <= now_s:
            messages.append(self._script.pop(0)[1])
        while True:
            try:
                messages.append(self._queue.get_nowait())
            except queue.Empty:
                return messages

    def block(self, timeout_s: float) -> None:
        """Return when a message is put or after ``timeout_s`` real seconds."""
        try:
            self._held.append(self._queue.get(timeout=max(timeout_s, 0.0)))
        except queue.Empty:
            return


class Clock(Protocol):
    """What the suite knows of time."""

    virtual: bool

    def now_s(self) -> float:
        """Return the present time in seconds; only differences mean anything."""

    def wait(self, until_s: float, inbox: Inbox | None = None) -> list[str]:
        """Wait until ``until_s``, or until the inbox has a message; return the messages."""


class MonotonicClock:
    """The machine's monotonic clock; immune to wall-clock jumps."""

    virtual = False

    def now_s(self) -> float:
        """Return the monotonic time in seconds, shared by all processes of this machine."""
        return time.monotonic()

    def wait(self, until_s: float, inbox: Inbox | None = None) -> list[str]:
        """Wait until ``until_s``, or until the inbox has a message; return the messages."""
        while True:
            now_s = self.now_s()
            if inbox is not None and (messages := inbox.collect(now_s)):
                return messages
            if now_s >= until_s:
                return []
            if inbox is None:
                time.sleep(until_s - now_s)
                continue
            due_s = inbox.next_due_s()
            inbox.block((until_s if due_s is None else min(until_s, due_s)) - now_s)


class VirtualClock:
    """Discrete-event time: it moves only when somebody waits.

    Parameters
    ----------
    start_s : float
        The first reading.
    """

    virtual = True

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def now_s(self) -> float:
        """Return the virtual time in seconds."""
        return self._now_s

    def at(self, when_s: float, call: Callable[[], None]) -> None:
        """Have ``call`` made when virtual time reaches ``when_s``."""
        self._count += 1
        heapq.heappush(self._events, (when_s, self._count, call))

    def wait(self, until_s: float, inbox: Inbox | None = None) -> list[str]:
        """Move to ``until_s``, stopping earlier where the inbox has a message due."""
        while True:
            if inbox is not None and (messages := inbox.collect(self._now_s)):
                return messages
            if self._now_s >= until_s:
                return []
            target_s = until_s
            due_s = inbox.next_due_s() if inbox is not None else None
            if due_s is not None:
                target_s = min(target_s, due_s)
            if self._events and self._events[0][0] <= target_s:
                when_s, _, call = heapq.heappop(self._events)
                self._now_s = max(self._now_s, when_s)
                call()
            else:
                self._now_s = max(self._now_s, target_s)
