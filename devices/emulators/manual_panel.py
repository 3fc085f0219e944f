"""An emulated stimulator that is worked at its front panel: settings, START, STOP.

Its "wire" is the hand of whoever stands there, as lines of text: ``SET key=text`` with the text as
the display shows it, ``START``, ``STOP``; it answers ``OK`` or ``ERR reason``. What its numbers
mean (peak or peak-to-peak, its units, whether the duration counts the ramps) is its own: it is
read from the rig's options here a second time, on purpose, so that a slip in the suite's own
reading shows as a current that is twice or half of what it should be.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from devices.emulators.monitor_probe import Source
from devices.emulators.replies import Replies
from devices.emulators.sine_output import SineOutput
from tacs.rig import Rig

__all__ = ["PanelFirmware"]

_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-zµ]+)(?: ?(pp|peak))?")
_CHANNEL = re.compile(r"channel_(\d+)_(amplitude|phase|electrodes)")
_WHOLE = ("frequency", "ramp_up", "duration", "ramp_down")


class PanelFirmware:
    """Settings in, currents out; it is told the time.

    Parameters
    ----------
    rig : Rig
        Whose options say what the panel's numbers mean.
    now_s : float
        Clock time of power-on.
    """

    sources: tuple[Source, ...] = ()  # no monitor is wired to a device like this

    def __init__(self, rig: Rig, now_s: float) -> None:
        options = rig.options
        self._per_peak = 2.0 if options["amplitude_display"] == "peak_to_peak" else 1.0
        self._counts_ramps = options["duration_includes_ramps"] is True
        self._stop_s = float(options["device_stop_s"])
        self._replies = Replies()
        self.faults = self._replies.faults
        self.first_start_s: float | None = None
        self._outputs = {c.channel: SineOutput(now_s) for c in rig.channels}
        self._wired = {c.channel: [c.positive, c.negative] for c in rig.channels}
        self._buffer = b""
        self._now_s = now_s
        self._values: dict[str, float] = {}
        self._peaks_ma: dict[int, float] = {}
        self._phases_deg: dict[int, float] = {}
        self._falls_s = self._ends_s = math.inf
        self._running = False

    @property
    def playing(self) -> bool:
        """Whether any output plays."""
        return self._running

    def drive(self, number: int, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the current of an output, counted from 1, in mA."""
        return self._outputs[number].values(times_s)

    def silent_at_s(self) -> float:
        """Return when the programme is over."""
        if not self._running:
            return -math.inf
        return math.inf if self._stuck else self._ends_s

    def advance(self, now_s: float) -> None:
        """Let the programme go on: the ramp down, and its end."""
        if self._falls_s <= now_s:
            falls_s, self._falls_s = self._falls_s, math.inf
            for output in self._outputs.values():
                output.advance(falls_s)
                output.move_to(0.0, self._values["ramp_down"], falls_s)
        if self._ends_s <= now_s and not self._stuck:
            self._running, self._ends_s = False, math.inf
        for output in self._outputs.values():
            output.advance(now_s)
        self._now_s = max(self._now_s, now_s)

    def receive(self, data: bytes, now_s: float) -> None:
        """Take what a hand does, line by line."""
        self.advance(now_s)
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._replies.send(self._do(line.decode("utf-8", "replace")).encode() + b"\n", now_s)

    def take(self, now_s: float) -> bytes:
        """Give the answers that are due."""
        return self._replies.take(now_s)

    def next_due_s(self) -> float | None:
        """Return when the next answer is due."""
        return self._replies.next_due_s()

    def forget(self, seen_s: float) -> None:
        """Drop what the oscilloscope has seen."""
        for output in self._outputs.values():
            output.forget(seen_s)

    def click(self, now_s: float) -> None:
        """Press STOP."""
        self.advance(now_s)
        self._stop()

    def reboot(self, now_s: float) -> None:
        """Lose power and come back: at rest, nothing set."""
        self.advance(now_s)
        for output in self._outputs.values():
            output.cut(now_s)
        self._running = False
        self._falls_s = self._ends_s = math.inf
        self._values, self._peaks_ma, self._phases_deg = {}, {}, {}

    def stick(self) -> None:
        """Have what plays play on, whatever is pressed."""
        for output in self._outputs.values():
            output.stuck = output.loud

    @property
    def _stuck(self) -> bool:
        return any(output.stuck for output in self._outputs.values())

    def _do(self, line: str) -> str:
        verb, _, rest = line.partition(" ")
        acts: dict[str, Callable[[], str]] = {
            "SET": lambda: self._set(*rest.partition("=")[::2]),
            "START": self._start,
            "STOP": self._stop,
        }
        return acts[verb]() if verb in acts else f"ERR {verb!r} is no key of this panel"

    def _set(self, key: str, text: str) -> str:
        if self._running:
            return "ERR it plays; press STOP first"
        of_channel = _CHANNEL.fullmatch(key)
        number = int(of_channel[1]) if of_channel else 0
        if of_channel and number not in self._outputs:
            return f"ERR no channel {number}"
        if key == "waveform":
            return "OK"
        if of_channel and of_channel[2] == "electrodes":
            wired = re.split(r"[\s\-–/,]+", text.strip())
            return "OK" if wired == self._wired[number] else f"ERR {wired} is not what is wired"
        match = _NUMBER.fullmatch(text.strip())
        if match is None:
            return f"ERR {text!r} is no value"
        value, unit = float(match[1]), match[2]
        if key in _WHOLE:
            scales = {"Hz": 1.0, "mHz": 1e-3, "s": 1.0, "min": 60.0}
            self._values[key] = 1000.0 / value if unit == "ms" else value * scales[unit]
        elif of_channel and of_channel[2] == "amplitude":
            self._peaks_ma[number] = value * (1e-3 if unit == "µA" else 1.0) / self._per_peak
        elif of_channel:
            self._phases_deg[number] = value
        else:
            return f"ERR nothing here is called {key}"
        return "OK"

    def _start(self) -> str:
        if missing := [name for name in _WHOLE if name not in self._values]:
            return f"ERR not set: {', '.join(missing)}"
        if self._running:
            return "ERR it plays"
        now_s, up_s, down_s = self._now_s, self._values["ramp_up"], self._values["ramp_down"]
        whole_s = self._values["duration"] + (0.0 if self._counts_ramps else up_s + down_s)
        self._running = True
        self._falls_s, self._ends_s = now_s + whole_s - down_s, now_s + whole_s
        if self.first_start_s is None:
            self.first_start_s = now_s
        for number, peak_ma in self._peaks_ma.items():
            output = self._outputs[number]
            output.retune(self._values["frequency"], now_s)
            output.set_phase(self._phases_deg.get(number, 0.0), now_s)
            output.restart(now_s)
            output.move_to(peak_ma, up_s, now_s)
        return "OK"

    def _stop(self) -> str:
        if self._running and not self._stuck:
            for output in self._outputs.values():
                output.move_to(0.0, self._stop_s, self._now_s)
            self._falls_s, self._ends_s = math.inf, self._now_s + self._stop_s
        return "OK"
