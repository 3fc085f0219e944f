"""What listens beside a session: an event of a virtual clock, or a thread of the front end.

On the virtual clock a listener is an event, every few milliseconds. On the machine's clock it is a
thread of the front end's process. A listener that errs is one that is gone; whoever holds the
operator's lease asks whether it is gone or hangs, and has the current end.
"""

from __future__ import annotations

import threading
import traceback
from abc import ABC, abstractmethod
from typing import Final, Protocol

from tacs.clock import Clock, VirtualClock
from tacs.errors import TacsError

__all__ = ["HANG_S", "Beside", "Listener", "beside_of"]

HANG_S: Final = 1.0  # a listener that has not looked for so long hangs


class Listener(Protocol):
    """What looks at live EEG while a session runs.

    ``ended`` says why there is nothing more to look at, and is empty while there is; ``trace`` has
    the lines of an error that ended it.
    """

    ended: str
    trace: list[str]

    @property
    def looked_s(self) -> float:
        """When it looked last, on the session's clock."""

    def step(self) -> bool:
        """Take what has come; False once it has ended."""

    def wait_and_step(self, at_most_s: float) -> bool:
        """Wait for something to come, and step; on the machine's clock."""


class Beside(ABC):
    """Runs a listener while a block of code runs.

    Parameters
    ----------
    listener : Listener
        With its source open.
    clock : Clock
        Of the session.
    every_s : float
        From one look to the next on a virtual clock; the longest wait for the source else.
    name : str
        What it is called where it fails.
    """

    def __init__(self, listener: Listener, clock: Clock, every_s: float, name: str) -> None:
        self._listener, self._clock, self._every_s, self._name = listener, clock, every_s, name

    def gone(self) -> str:
        """Why the listener looks no more; empty while it does."""
        return self._listener.ended

    def hangs(self) -> bool:
        """Whether it has not looked for too long, and is not gone for good."""
        silent_s = self._clock.now_s() - self._listener.looked_s
        return not self.over() and not self.gone() and silent_s > HANG_S

    @abstractmethod
    def over(self) -> bool:
        """Whether it is not to look any more."""

    @abstractmethod
    def __enter__(self) -> Beside:
        """Begin to look."""

    @abstractmethod
    def __exit__(self, *error: object) -> None:
        """Look no more."""

    def _failed(self, exc: Exception) -> None:
        """Where it erred is kept for whoever writes it down."""
        words = str(exc) if isinstance(exc, TacsError) else f"{type(exc).__name__}: {exc}"
        self._listener.trace = traceback.format_exception(exc)
        self._listener.ended = f"{self._name} failed: {words}"


class _Event(Beside):
    """As an event of a virtual clock."""

    _over = False

    def over(self) -> bool:
        """Whether it is not to look any more."""
        return self._over

    def __enter__(self) -> Beside:
        self._again()
        return self

    def __exit__(self, *error: object) -> None:
        self._over = True

    def _again(self) -> None:
        if isinstance(self._clock, VirtualClock):
            self._clock.at(self._clock.now_s() + self._every_s, self._step)

    def _step(self) -> None:
        if self._over:
            return
        try:
            goes_on = self._listener.step()
        except Exception as exc:  # whatever it is: the session has to go on to its end
            self._failed(exc)
            return
        if goes_on:
            self._again()


class _Thread(Beside):
    """As a thread, which waits for the source."""

    def __init__(self, listener: Listener, clock: Clock, every_s: float, name: str) -> None:
        super().__init__(listener, clock, every_s, name)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def over(self) -> bool:
        """Whether it is not to look any more."""
        return self._over.is_set()

    def __enter__(self) -> Beside:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(HANG_S)

    def _run(self) -> None:
        try:
            while not self._over.is_set() and self._listener.wait_and_step(self._every_s):
                pass
        except Exception as exc:  # whatever it is: nobody else would hear of it
            self._failed(exc)


def beside_of(listener: Listener, clock: Clock, every_s: float, *, name: str) -> Beside:
    """Return what runs a listener beside a session; the parameters are those of :class:`Beside`."""
    return (_Event if clock.virtual else _Thread)(listener, clock, every_s, name)
