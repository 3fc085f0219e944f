"""Time comes in through a clock: the machine's monotonic one, or a virtual one.

Nothing else in the suite reads a clock or sleeps: wall-clock time for labels and for rules in days
comes from :func:`utc_now`. A :class:`Clock` answers two questions: what time
is it, and what arrived while waiting. On the :class:`VirtualClock` waiting is instantaneous and
time moves only when somebody waits, so that a 20-minute session takes seconds and two runs with
the same inputs are the same to the byte.

Rules in days must hold although a wall clock can be set. A :class:`Moment` therefore carries the
wall clock together with the time since the computer was started: within one start, the time that
has passed is the lesser of the two differences, so that a wall clock set forward shortens nothing.
Across a restart only the wall clock is left, and one that was set forward in between cannot be told
from time that passed.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import math
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, Self

__all__ = [
    "Clock",
    "Inbox",
    "Moment",
    "MonotonicClock",
    "QueueInbox",
    "VirtualClock",
    "boot_reading",
    "calendar_is_pretended",
    "moment_now",
    "pretended_calendar",
    "utc_now",
]

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


_pretended: list[Callable[[], datetime]] = []


def utc_now() -> datetime:
    """Wall-clock time, for labels and for rules in days; never for timing a session."""
    return _pretended[-1]() if _pretended else datetime.now(UTC)


@contextlib.contextmanager
def pretended_calendar(now: Callable[[], datetime]) -> Iterator[None]:
    """Have this process take its dates from elsewhere: a course of weeks, rehearsed in a minute.

    Sessions on real devices are refused meanwhile (:func:`tacs.readiness.refusals`), and a guardian
    in a process of its own knows nothing of it.

    Parameters
    ----------
    now : callable
        Returns the present, time zone aware.
    """
    _pretended.append(now)
    try:
        yield
    finally:
        _pretended.remove(now)


def calendar_is_pretended() -> bool:
    """Whether dates come from :func:`pretended_calendar` now."""
    return bool(_pretended)


def boot_reading() -> tuple[str, float] | None:
    """Which start of the computer this is, and the seconds since, time asleep included.

    Returns
    -------
    (str, float) or None
        On Linux the kernel's boot id and ``CLOCK_BOOTTIME``. None where the system tells no such
        pair (macOS, Windows): there the wall clock is all that rules in days have.

    Notes
    -----
    The time that a virtual machine was paused by its host does not count: its participants wait
    longer than they must, until it is started anew.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    if clock is None:
        return None
    try:
        boot_id = BOOT_ID.read_text(encoding="ascii").strip()
        return (boot_id, time.clock_gettime(clock)) if boot_id else None
    except (OSError, UnicodeDecodeError):
        return None


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant, as a computer knows it.

    Parameters
    ----------
    utc : datetime
        Wall clock, time zone aware.
    boot : (str, float), optional
        As :func:`boot_reading` gives it.
    """

    utc: datetime
    boot: tuple[str, float] | None = None

    def since_s(self, earlier: Moment) -> float:
        """Return the seconds that have passed, by the clock that says less."""
        wall_s = (self.utc - earlier.utc).total_seconds()
        if self.boot is None or earlier.boot is None or self.boot[0] != earlier.boot[0]:
            return wall_s
        return min(wall_s, self.boot[1] - earlier.boot[1])

    def after(self, seconds: float) -> Moment:
        """Return the moment that many seconds later."""
        boot = None if self.boot is None else (self.boot[0], self.boot[1] + seconds)
        return Moment(self.utc + timedelta(seconds=seconds), boot)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        boot_id, since_s = self.boot or (None, None)
        return {
            "utc": self.utc.astimezone(UTC).isoformat(),
            "boot_id": boot_id,
            "since_boot_s": None if since_s is None else round(since_s, 3),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build from what :meth:`to_dict` gave; no time since a start is one that is no number."""
        boot_id, since_s = data["boot_id"], data["since_boot_s"]
        boot = None if boot_id is None or since_s is None else (str(boot_id), float(since_s))
        if boot is not None and not 0.0 <= boot[1] < math.inf:
            boot = None
        return cls(datetime.fromisoformat(data["utc"]), boot)


def moment_now() -> Moment:
    """Return the present moment."""
    return Moment(utc_now(), None if _pretended else boot_reading())


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
    """The machine's monotonic clock; immune to wall-clock jumps.

    On Linux it counts the time that the machine is suspended: whoever wakes up sees at once that
    every lease has run out. Elsewhere a suspended machine's clock may stand still, and the device,
    which has ended its programme by then, is what tells.
    """

    virtual = False
    _read = staticmethod(
        functools.partial(time.clock_gettime, time.CLOCK_BOOTTIME)
        if hasattr(time, "CLOCK_BOOTTIME")
        else time.monotonic
    )

    def now_s(self) -> float:
        """Return the monotonic time in seconds, shared by all processes of this machine."""
        return self._read()

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
