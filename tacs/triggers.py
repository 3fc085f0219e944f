"""Triggers to other stimulators: outputs by name, from the entry-point group ``tacs.triggers``.

An output is named ``KIND:ADDRESS`` or ``KIND:ADDRESS?key=value``, as sources of EEG are. What it
sets off (a magnetic stimulator, a sound, a light) is limited by that device and its own rules: the
suite knows the time of the trigger and nothing of what follows.
"""

from __future__ import annotations

import contextlib
import heapq
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tacs.clock import Clock, VirtualClock
from tacs.driver import installed
from tacs.eeg import SourceName
from tacs.errors import DeviceNotFound, InputError, TacsError

__all__ = ["Fired", "TriggerKind", "TriggerOutput", "TriggerTimer", "open_output"]

GROUP: Final = "tacs.triggers"
SPIN_S: Final = 0.0015  # before a trigger is due, waiting is done awake
STOP_S: Final = 2.0


class TriggerOutput(Protocol):
    """Where triggers go.

    Attributes
    ----------
    about : str
        What it is, for a record.
    width_s : float
        How long a pulse lasts; 0 where it has no end of its own.
    """

    about: str
    width_s: float

    def open(self) -> None:
        """Make it ready, and leave it at rest."""

    def fire(self, at_s: float) -> None:
        """Begin a pulse, now; ``at_s`` is the time that was asked for, for outputs that tell it."""

    def release(self) -> None:
        """End it."""

    def close(self) -> None:
        """Leave it at rest. Safe to repeat, and never raises."""


class TriggerKind(Protocol):
    """What the entry-point group provides.

    Attributes
    ----------
    form, about : str
        How an output of this kind is written, and what it is.
    virtual : bool
        Whether it works on a virtual clock.
    """

    form: str
    about: str
    virtual: bool

    def make(self, address: str, options: Mapping[str, str], clock: Clock) -> TriggerOutput:
        """Return the output, not yet open."""


def open_output(text: str, clock: Clock) -> TriggerOutput:
    """Return the output of a name, not yet open.

    Raises
    ------
    InputError
        The name has no such form, an option is unknown, or the kind needs a real clock.
    DeviceNotFound
        There is no such kind; the message lists those there are.
    """
    points = installed(GROUP)
    told = ", ".join(point.load().form for _, point in sorted(points.items()))
    if ":" not in text:
        raise InputError(f"trigger output {text!r}: write KIND:ADDRESS; there are {told}")
    name = SourceName.parse(text)
    if name.kind not in points:
        raise DeviceNotFound(f"no trigger output of kind {name.kind!r}; there are {told}")
    kind: TriggerKind = points[name.kind].load()
    if clock.virtual and not kind.virtual:
        raise InputError(f"{text}: works in real time; use --clock real")
    return kind.make(name.address, name.options, clock)


@dataclass(frozen=True, slots=True)
class Fired:
    """One trigger.

    Parameters
    ----------
    asked_s : float
        When it was due.
    before_s, after_s : float
        Just before it was handed to the output, and when that had taken it.
    """

    asked_s: float
    before_s: float
    after_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; lateness in milliseconds."""
        return {
            "asked_s": round(self.asked_s, 6),
            "late_ms": round(1e3 * (self.before_s - self.asked_s), 4),
            "took_ms": round(1e3 * (self.after_s - self.before_s), 4),
        }


class TriggerTimer:
    """Fires triggers when they are due.

    On the machine's clock in a thread that waits awake for the last millisecond; on a virtual clock
    as an event of that clock.

    Parameters
    ----------
    output : TriggerOutput
        Opened here, and closed.
    clock : Clock
        Of the session.

    Attributes
    ----------
    problem : str
        How the output failed; empty while it works. After that nothing is fired any more, and the
        output was told at once to end its pulse.
    """

    def __init__(self, output: TriggerOutput, clock: Clock) -> None:
        self._output = output
        self._clock = clock
        self._due: list[tuple[float, bool, float]] = []  # when, whether it ends a pulse, asked
        self._change = threading.Condition()
        self._over = False
        self._fired: deque[Fired] = deque()
        self.problem = ""
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Make the output ready.

        Raises
        ------
        TacsError
            It cannot be opened; it was let go of.
        """
        try:
            self._output.open()
        except TacsError:
            self._let_go()
            raise
        if not isinstance(self._clock, VirtualClock):
            self._thread = threading.Thread(target=self._run, name="triggers", daemon=True)
            self._thread.start()

    def at(self, when_s: float) -> bool:
        """Plan a trigger; False, and nothing is planned, where its time has passed.

        Raises
        ------
        TacsError
            An earlier one failed.
        """
        if self.problem:
            raise InputError(self.problem)
        if when_s < self._clock.now_s() or self._over:
            return False
        if isinstance(self._clock, VirtualClock):
            self._clock.at(when_s, lambda: self._fire(when_s))
            if self._output.width_s:
                self._clock.at(when_s + self._output.width_s, self._release)
            return True
        with self._change:
            heapq.heappush(self._due, (when_s, False, when_s))
            if self._output.width_s:
                heapq.heappush(self._due, (when_s + self._output.width_s, True, when_s))
            self._change.notify()
        return True

    def taken(self) -> list[Fired]:
        """Return those fired since the last call."""
        taken = []
        while self._fired:  # the thread may add one at any time
            taken.append(self._fired.popleft())
        return taken

    def close(self) -> None:
        """Fire nothing more, and leave the output at rest."""
        with self._change:
            self._over = True
            self._due.clear()
            self._change.notify()
        if self._thread is not None:
            self._thread.join(STOP_S)
            self._thread = None
        self._let_go()

    def _fire(self, asked_s: float) -> None:
        if self._over:
            return
        before_s = self._clock.now_s()
        try:
            self._output.fire(asked_s)
        except Exception as exc:  # an output of another package may raise anything
            self._failed(exc)
            return
        self._fired.append(Fired(asked_s, before_s, self._clock.now_s()))

    def _release(self) -> None:
        if self._over:
            return
        try:
            self._output.release()
        except Exception as exc:  # as above
            self._failed(exc)

    def _failed(self, exc: Exception) -> None:
        """Nothing more is fired; a pulse that may have begun is ended, as far as can be."""
        words = str(exc) if isinstance(exc, TacsError) else f"{type(exc).__name__}: {exc}"
        self.problem, self._over = f"a trigger failed: {words}", True
        with contextlib.suppress(Exception):
            self._output.release()

    def _let_go(self) -> None:
        with contextlib.suppress(Exception):  # it must not raise, and somebody else's may
            self._output.close()

    def _run(self) -> None:
        while not self._over:
            with self._change:
                if not self._due:
                    self._change.wait(0.2)
                    continue
                when_s, ends, asked_s = self._due[0]
                left_s = when_s - self._clock.now_s()
                if left_s > SPIN_S:
                    self._change.wait(left_s - SPIN_S)
                    continue
                heapq.heappop(self._due)
            while self._clock.now_s() < when_s:
                pass
            if ends:
                self._release()
            else:
                self._fire(asked_s)
