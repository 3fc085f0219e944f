"""What is done without the loop: the current is ramped down where nobody looks any more.

The loop only asks, and so does this. Where the loop is gone (EEG is over, an error) or hangs, the
thread that holds the operator's lease asks for an ordinary pause at once, and, for a loop that is
gone for good, for a stop once the current is down: nobody resumes a session that listens to
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tacs.beside import Beside
from tacs.clock import Clock
from tacs.guardian import Telemetry
from tacs.loop import GOING_DOWN, OVER, PAUSE_AGAIN_S
from tacs.session import State

__all__ = ["Leash"]

AT_ZERO: Final = frozenset({State.PAUSED, State.BETWEEN_TRAINS})


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
