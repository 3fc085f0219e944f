"""What listens beside a session: an event of a virtual clock, or a thread of the front end.

On the virtual clock a listener is an event, every few milliseconds. On the machine's clock it is a
thread of the front end's process; whoever holds the operator's lease asks whether it hangs.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import Final, Protocol

from tacs.clock import Clock, VirtualClock

__all__ = ["HANG_S", "Beside", "Listener", "beside_of"]

HANG_S: Final = 1.0  # a listener that has not looked for so long hangs


class Listener(Protocol):
    """What looks at live EEG while a session runs."""

    @property
    def looked_s(self) -> float:
        """When it looked last, on the session's clock."""

    @property
    def ended(self) -> str:
        """Why there is nothing more to look at; empty while there is."""

    def step(self) -> bool:
        """Take what has come; False once it has ended."""

    def wait_and_step(self, at_most_s: float) -> bool:
        """Wait for something to come, and step; on the machine's clock."""


class Beside(AbstractContextManager["Beside"]):
    """A listener that runs while the block does."""

    def hangs(self) -> bool:
        """Whether it has not looked for too long, or has failed."""
        return False

    def __exit__(self, *error: object) -> None:
        """Have it look no more."""


def beside_of(listener: Listener, clock: Clock, every_s: float) -> Beside:
    """Return what runs a listener beside a session.

    Parameters
    ----------
    listener : Listener
        With its source open.
    clock : Clock
        Of the session.
    every_s : float
        From one look to the next on a virtual clock; the longest wait for the source else.
    """
    if isinstance(clock, VirtualClock):
        return _Event(listener, clock, every_s)
    return _Thread(listener, clock, every_s)


class _Event(Beside):
    """An event cannot hang."""

    def __init__(self, listener: Listener, clock: VirtualClock, every_s: float) -> None:
        self._listener, self._clock, self._every_s = listener, clock, every_s
        self._over = False

    def __enter__(self) -> _Event:
        self._again()
        return self

    def __exit__(self, *error: object) -> None:
        self._over = True

    def _again(self) -> None:
        self._clock.at(self._clock.now_s() + self._every_s, self._step)

    def _step(self) -> None:
        if not self._over and self._listener.step():
            self._again()


class _Thread(Beside):
    """Waits for the source."""

    def __init__(self, listener: Listener, clock: Clock, every_s: float) -> None:
        self._listener, self._clock, self._every_s = listener, clock, every_s
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def hangs(self) -> bool:
        silent_s = self._clock.now_s() - self._listener.looked_s
        return not self._over.is_set() and silent_s > HANG_S and not self._listener.ended

    def __enter__(self) -> _Thread:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(HANG_S)
        if self._error is not None and error[1] is None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._over.is_set() and self._listener.wait_and_step(self._every_s):
                pass
        except BaseException as exc:  # told at the end; meanwhile it counts as hanging
            self._error = exc
