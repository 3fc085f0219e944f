"""The emulated waveform generator's firmware, from the programming guides alone.

Lines are carried out one after the other, two milliseconds each; errors go into a queue.

References
----------
See :mod:`devices.emulators.scpi_models`; SCPI-1999 for syntax and error numbers.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from devices.emulators.replies import Replies
from devices.emulators.scpi_commands import commands
from devices.emulators.scpi_models import Model
from devices.emulators.scpi_output import Output, Quirks
from devices.emulators.scpi_tree import ERRORS, ScpiError, Tree
from devices.emulators.sine_output import SineOutput

__all__ = ["Firmware"]

N_CHANNELS = 2
COMMAND_S = 0.002
ERRORS_MAX = 20
LINE_MAX = 4096


class Firmware:
    """Lines in, answers out, and two outputs; it is told the time.

    Parameters
    ----------
    model : Model
        Which instrument it is.
    now_s : float
        Clock time of power-on.

    Attributes
    ----------
    identity : str
        Answer to ``*IDN?``.
    command_s : float
        How long one line takes.
    quirks : Quirks
        What no manual tells.
    apart_s : float
        How much later than the first channel the second one starts at a common trigger.
    spurious : int
        So many of the next settings leave a -108 for nothing.
    """

    def __init__(self, model: Model, now_s: float) -> None:
        self.model = model
        self.identity = model.identity
        self.command_s = COMMAND_S
        self.quirks = Quirks()
        self.apart_s = 0.0
        self.spurious = 0
        self.first_start_s: float | None = None
        self._replies = Replies(latency_s=0.0, ascii_garbage=True)
        self.faults = self._replies.faults
        self.outputs = [Output(model, self.quirks, now_s) for _ in range(N_CHANNELS)]
        self.sources: Sequence[SineOutput] = [output.sine for output in self.outputs]
        self.errors: deque[int] = deque()
        self._tree = Tree(commands(self), N_CHANNELS)
        self._buffer = b""
        self._lines: deque[tuple[float, str]] = deque()  # when it is done, what it says
        self._late: list[tuple[float, int]] = []
        self.now_s = now_s

    @property
    def playing(self) -> bool:
        """Whether a sine comes out, or will."""
        return bool(self._late) or any(output.playing for output in self.outputs)

    def drive(self, number: int, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the open-circuit voltage of an output, counted from 1, at many instants."""
        return self.outputs[number - 1].sine.values(times_s)

    def silent_at_s(self) -> float:
        """Return when the outputs come to rest if no command comes; infinite where they do not."""
        ends_s = [self._lines[-1][0]] if self._lines else []
        for output in self.outputs:
            if output.playing:
                stays = output.stuck or output.ends_s is None
                ends_s.append(math.inf if stays or output.ends_s is None else output.ends_s)
        return max(ends_s, default=-math.inf)

    def stick(self) -> None:
        """Have what plays play on, whatever is commanded."""
        for output in self.outputs:
            output.stick()

    def forget(self, seen_s: float) -> None:
        """Drop what both instruments have seen."""
        for output in self.outputs:
            output.sine.forget(seen_s)

    def click(self, now_s: float) -> None:
        """Press the Output keys of what is on: a stop by hand."""
        self.advance(now_s)
        for output in self.outputs:
            output.switch(False, now_s)

    def reboot(self, now_s: float) -> None:
        """Lose power and come back: outputs off, settings of power-on, nothing said."""
        self.advance(now_s)
        self._buffer = b""
        self._lines.clear()
        self._replies.clear()
        self.errors.clear()
        for output in self.outputs:
            output.reset(now_s)

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes from the host; complete lines wait their turn."""
        self.advance(now_s)
        self._buffer = (self._buffer + data)[-LINE_MAX:]
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            free_s = max(now_s, self._lines[-1][0] if self._lines else now_s)
            self._lines.append((free_s + self.command_s, line.decode("latin-1").strip()))

    def take(self, now_s: float) -> bytes:
        """Give the bytes for the host that are due."""
        return self._replies.take(now_s)

    def next_due_s(self) -> float | None:
        """Return when the next byte for the host is due, or the next line is done."""
        due_s = self._replies.next_due_s()
        if not self._lines:
            return due_s
        return self._lines[0][0] if due_s is None else min(due_s, self._lines[0][0])

    def advance(self, now_s: float) -> None:
        """Let time pass: lines that are done by now, bursts that end."""
        while self._lines and self._lines[0][0] <= now_s:
            due_s, line = self._lines.popleft()
            self._pass_to(due_s)
            self._run(line)
        self._pass_to(now_s)

    def fail(self, code: int) -> None:
        """Put an error into the queue."""
        if len(self.errors) < ERRORS_MAX:
            self.errors.append(code)
        else:
            self.errors[-1] = -350

    def next_error(self) -> str:
        """Take the oldest error out of the queue."""
        code = self.errors.popleft() if self.errors else 0
        return self.model.error(code, ERRORS[code])

    def start(self, channels: Sequence[int]) -> None:
        """Trigger channels, counted from 1."""
        begun = False
        for channel in channels:
            if self.apart_s and channel != channels[0]:
                self._late.append((self.now_s + self.apart_s, channel))
                continue
            begun |= self.outputs[channel - 1].trigger(self.now_s)
        if not begun:
            raise ScpiError(-211)

    def note_start(self) -> None:
        """Remember when an output was first on."""
        if self.first_start_s is None:
            self.first_start_s = self.now_s

    def _pass_to(self, now_s: float) -> None:
        for late in [late for late in self._late if late[0] <= now_s]:
            self._late.remove(late)
            self.outputs[late[1] - 1].trigger(late[0])
        for output in self.outputs:
            output.advance(now_s)
        self.now_s = max(self.now_s, now_s)

    def _run(self, line: str) -> None:
        """Carry out one message; after an error the rest of it is lost."""
        answers: list[str] = []
        try:
            for command, unit in self._tree.units(line):
                if not unit.query and not unit.header.startswith("*") and self.faults.refuse:
                    self.faults.refuse -= 1
                    raise ScpiError(-221)
                answer = command.run(unit)
                if unit.query and answer is not None:
                    answers.append(answer)
                if not unit.query and self.spurious:
                    self.spurious -= 1
                    self.fail(-108)
        except ScpiError as exc:
            self.fail(exc.code)
        if answers:
            self._replies.send((";".join(answers) + "\n").encode("ascii"), self.now_s)
