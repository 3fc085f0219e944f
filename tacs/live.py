"""The operator's view of a running session in a terminal, with a STOP key.

It runs in a thread of its own and only looks: what it shows is the last telemetry, what it sends
are messages for the guardian. It says ``alive`` four times a second, so that a display that
hangs ends the session. A terminal that goes away makes writing fail; that is swallowed here:
the hang-up signal has already asked the guardian to stop. A blinded operator sees time and nothing
that depends on the arm. Where a person works the device, it shows loudly what to do there, and
takes the word that it was done.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import sys
import threading
from collections.abc import Iterator
from typing import TextIO

from tacs.by_hand import SILENT
from tacs.clock import QueueInbox
from tacs.guardian import Telemetry
from tacs.protocol import Protocol
from tacs.session import RUNNING, State
from tacs.waveform import Waveform

__all__ = ["LiveView"]

REFRESH_S = 0.25
LINE_EVERY_S = 10.0
OLD_S = 2.0  # older than this, a measurement is shown with its time
WORDS = {
    State.TITRATING: "TITRATING",
    State.RAMP_UP: "RAMP UP",
    State.HOLD: "FULL CURRENT",
    State.RAMP_DOWN: "RAMP DOWN",
    State.TRAIN_RISE: "TRAIN",
    State.TRAIN_ON: "TRAIN",
    State.TRAIN_FALL: "TRAIN",
    State.BETWEEN_TRAINS: "RUNNING",
    State.PAUSED: "PAUSED",
    State.STOPPING: "STOPPING",
    State.STOPPED: "STOPPED",
    State.DONE: "DONE",
    State.FAULT: "FAULT",
}


KEYS = {
    "p": "pause",
    "r": "resume",
    "+": "higher",
    "=": "higher",
    "-": "lower",
    "a": "accept",
    "m": "mark:sensation",
    "v": "mark:phosphene",
    "x": "rating:10",
    **{str(n): f"rating:{n}" for n in range(10)},
}
ERASE = "\r\x1b[2K"
BELL = "\a"
TITRATION_HELP = "+ higher, - lower, m felt, v flicker seen, 0-9 discomfort, a accept this level"


class LiveView:
    """Show a session and take its keys.

    Parameters
    ----------
    protocol : Protocol
        What is being played; a blinded one shows neither level nor current.
    inbox : QueueInbox
        Where keys go.
    stream : text stream
        Standard error of the terminal.
    keys : bool
        Whether a keyboard is there to be read.
    """

    def __init__(
        self, protocol: Protocol, inbox: QueueInbox, *, stream: TextIO, keys: bool
    ) -> None:
        waveform = Waveform(protocol)
        self._peak_ma = max(waveform.peak_ma(name) for name in waveform.electrodes)
        self._blinded = protocol.blinding is not None
        self._frequency_hz = protocol.frequency_hz
        self._inbox = inbox
        self._stream = stream
        self._tty = stream.isatty()
        self._keys = keys
        self._latest: Telemetry | None = None
        self._warned = 0
        self._helped = False
        self._told = ""
        self._typed = ""
        self._beside = ""
        self._shown: tuple[State | None, float] = (None, -LINE_EVERY_S)
        self._over = threading.Event()

    def watch(self, telemetry: Telemetry) -> None:
        """Take the latest telemetry; called by the guardian, returns at once."""
        self._latest = telemetry

    def show(self, text: str) -> None:
        """Have a few words stand at the end of the line; called again and again."""
        self._beside = text

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Show the session while the block runs; keys are taken once it has started."""
        thread = threading.Thread(target=self._loop, daemon=True)
        thread.start()
        try:
            yield
        finally:
            # A frozen terminal blocks whoever writes to it: let that be the thread.
            self._over.set()
            thread.join(timeout=2.0)

    def _loop(self) -> None:
        # Before the first telemetry the keyboard belongs to whoever asks for a confirmation.
        while self._latest is None and not self._over.is_set():
            self._inbox.put("alive")
            self._over.wait(REFRESH_S)
        with raw_keyboard(self._keys) as keyboard:
            while not self._over.is_set():
                self._inbox.put("alive")
                self.draw()
                if keyboard is None:
                    self._over.wait(REFRESH_S)
                else:
                    self.read_key(keyboard)
            self.draw(last=True)

    def read_key(self, keyboard: int) -> None:
        """Take a key where one is pressed within a refresh, and send what it means."""
        try:
            ready, _, _ = select.select([keyboard], [], [], REFRESH_S)
            key = os.read(keyboard, 16).decode("ascii", "ignore") if ready else ""
        except OSError:
            self._over.wait(REFRESH_S)
            return
        if not key:
            return
        if self._latest is not None and self._latest.word:
            self._take_word(key, self._latest.word)
        elif key[0] in " sSqQ\x1b\r\n":
            self._inbox.put("stop:the STOP key")
        elif message := KEYS.get(key[0].lower()):
            self._inbox.put(message)

    def _take_word(self, keys: str, word: str) -> None:
        """Take letters of the word that is wanted; space bar and Escape are STOP all the same."""
        for key in keys:
            if key in " \x1b":
                self._typed = ""
                self._inbox.put("stop:the STOP key")
                return
            if key in "\r\n":
                typed, self._typed = self._typed, ""
                if typed == word:
                    self._inbox.put(word)
            elif key in "\b\x7f":
                self._typed = self._typed[:-1]
            else:
                self._typed += key.lower()

    def _instructed(self, now: Telemetry) -> list[str]:
        """Tell what a person has to do at the device, when that changes."""
        if now.instruction == self._told:
            return []
        self._told, self._typed = now.instruction, ""
        return [f"*** {now.instruction} ***"] if now.instruction else []

    def draw(self, *, last: bool = False) -> None:
        """Show the latest telemetry: on a terminal in place, in a log as lines."""
        now = self._latest
        if now is None:
            return
        state, shown_s = self._shown
        news = [f"warning: {text}" for text in now.warnings[self._warned :]]
        self._warned = len(now.warnings)
        news += self._instructed(now)
        if now.state is State.TITRATING and not self._helped:
            self._helped = True
            news.append(TITRATION_HELP)
        with contextlib.suppress(OSError, ValueError):
            self._stream.writelines(f"{ERASE if self._tty else ''}{text}\n" for text in news)
        with contextlib.suppress(OSError, ValueError):
            if self._tty:
                # A line that wraps cannot be written over: keep to the width of the terminal.
                line = self._asked(now) if now.word and not last else self._line(now)
                line = line[: max(shutil.get_terminal_size().columns - 1, 20)]
                self._stream.write(ERASE + line + ("\n" if last else ""))
            elif (
                now.state is not state and not self._blinded
            ) or now.elapsed_s - shown_s >= LINE_EVERY_S:
                self._shown = (now.state, now.elapsed_s)
                self._stream.write(self._line(now) + "\n")
            self._stream.flush()

    def _asked(self, now: Telemetry) -> str:
        """The line to type a word on; where the device must be stopped, it rings."""
        ring = BELL if now.word == SILENT else ""
        return f"{ring}type {now.word}: {self._typed}"

    def _line(self, now: Telemetry) -> str:
        elapsed_s = min(max(now.elapsed_s, 0.0), now.duration_s)
        word = WORDS.get(now.state, now.state.value)
        if now.state is State.HOLD and now.ceiling < 1.0:
            word = "TOLERATED"  # as titrated: less than the protocol's full current
        if self._blinded and now.state in RUNNING:
            word = WORDS[State.BETWEEN_TRAINS]
        parts = [f"{word:<12}", _clock(elapsed_s, now.duration_s)]
        if now.state in {State.STOPPED, State.FAULT}:
            return "  ".join([*parts, now.cause])
        if self._keys:
            parts.append("STOP: space bar")
        if not self._blinded:
            planned = now.level * self._peak_ma
            frequency_hz = self._frequency_hz if now.frequency_hz is None else now.frequency_hz
            parts.append(f"planned {planned:5.3f} mA peak at {frequency_hz:g} Hz")
            parts.append(_measured(now))
            if now.impedance_kohm:
                parts.append(f"{max(now.impedance_kohm.values()):.1f} kΩ")
            if self._beside:
                parts.append(self._beside)
        return "  ".join(parts)


def _measured(now: Telemetry) -> str:
    """What was measured, and when, where that was some time ago."""
    if now.measured_ma is None:
        return f"measured: {'not yet' if now.measures else 'not by this device'}"
    words = f"measured {max(now.measured_ma.values(), default=0.0):5.3f} mA"
    if now.measured_at_s is None or now.elapsed_s - now.measured_at_s < OLD_S:
        return words
    return f"{words} at {_minutes(max(now.measured_at_s, 0.0))}"


def _clock(elapsed_s: float, duration_s: float) -> str:
    """Elapsed and total time, with a bar."""
    share = elapsed_s / duration_s if duration_s else 0.0
    bar = "█" * round(10 * share) + "·" * (10 - round(10 * share))
    return f"{_minutes(elapsed_s)}/{_minutes(duration_s)} {bar}"


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


@contextlib.contextmanager
def raw_keyboard(wanted: bool) -> Iterator[int | None]:
    """Read single keys where standard input is a terminal; signals keep working."""
    if not wanted or not sys.stdin.isatty() or os.name != "posix":
        yield None
        return
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        yield keyboard
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
