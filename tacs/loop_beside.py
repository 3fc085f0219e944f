"""A loop beside its session: an event of a virtual clock, or a thread; and what is done without it.

The loop only asks, and so do the two here. Where it is gone (EEG is over, an error) or hangs, the
thread that holds the operator's lease asks for an ordinary pause at once, and, for a loop that is
gone for good, for a stop once the current is down: nobody resumes a session that listens to
nothing.
"""

from __future__ import annotations

import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from tacs.clock import Clock, VirtualClock
from tacs.errors import TacsError
from tacs.guardian import Telemetry
from tacs.loop import GOING_DOWN, OVER, PAUSE_AGAIN_S, Loop
from tacs.session import State

__all__ = ["Beside", "Leash", "beside"]

HANG_S: Final = 1.0  # a loop that has not looked for so long hangs
AT_ZERO: Final = frozenset({State.PAUSED, State.BETWEEN_TRAINS})


class Beside(ABC):
    """Runs a loop while a block of code runs.

    Parameters
    ----------
    loop : Loop
        Prepared.
    clock : Clock
        Of the session.
    every_s : float
        From one look to the next, at most.
    """

    def __init__(self, loop: Loop, clock: Clock, every_s: float) -> None:
        self._loop, self._clock, self._every_s = loop, clock, every_s

    def gone(self) -> str:
        """Why the loop looks no more; empty while it does."""
        return self._loop.ended

    def hangs(self) -> bool:
        """Whether it has not looked for too long, and is not gone for good."""
        silent_s = self._clock.now_s() - self._loop.looked_s
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
        """A loop that errs is a loop that is gone; where it erred is kept for the log."""
        words = str(exc) if isinstance(exc, TacsError) else f"{type(exc).__name__}: {exc}"
        self._loop.trace = traceback.format_exception(exc)
        self._loop.ended = f"the loop failed: {words}"


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
            goes_on = self._loop.step()
        except Exception as exc:  # whatever it is: the session has to go on to its end
            self._failed(exc)
            return
        if goes_on:
            self._again()


class _Thread(Beside):
    """As a thread, which waits for the source."""

    def __init__(self, loop: Loop, clock: Clock, every_s: float) -> None:
        super().__init__(loop, clock, every_s)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loop", daemon=True)

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
            while not self._over.is_set() and self._loop.wait_and_step(self._every_s):
                pass
        except Exception as exc:  # whatever it is: nobody else would hear of it
            self._failed(exc)


def beside(loop: Loop, clock: Clock, every_s: float) -> Beside:
    """Return what runs a loop on a clock."""
    return (_Event if clock.virtual else _Thread)(loop, clock, every_s)


class Leash:
    """Has the current ramped down where nobody looks any more.

    Parameters
    ----------
    runs : Beside
        The loop.
    put : callable
        Takes messages for the guardian.
    clock : Clock
        Of the session.
    say : callable
        Told once what has happened.
    """

    def __init__(
        self,
        runs: Beside,
        put: Callable[[str], None],
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        self._runs, self._put, self._clock, self._say = runs, put, clock, say
        self._asked_s = -PAUSE_AGAIN_S
        self._said = ""

    def look(self, told: Telemetry) -> None:
        """Look after the loop, with every telemetry."""
        gone = self._runs.gone()
        why = gone or ("the loop hangs" if self._runs.hangs() else "")
        if not why:
            return
        if why != self._said:
            self._said = why
            self._say(f"{why}: the current is ramped down")
        now_s = self._clock.now_s()
        if told.state in OVER or now_s - self._asked_s < PAUSE_AGAIN_S:
            return
        if told.state in AT_ZERO and gone:
            self._put(f"stop:{gone}")
        elif told.state in GOING_DOWN:
            return  # it falls already, or is down
        else:
            self._put(f"pause:{why}")
        self._asked_s = now_s
