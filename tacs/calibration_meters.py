"""What reads the current of a calibration: a person, a list, the oscilloscope, the monitor."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from tacs.calibration import KINDS, read_volts
from tacs.clock import Clock
from tacs.dose import read_trace
from tacs.driver import EmulatedDevice, TraceInfo
from tacs.errors import DeviceError, InputError
from tacs.monitor import CurrentFrame, Monitor, find_monitor
from tacs.rig import Rig

__all__ = [
    "EMERGENCY",
    "TAKEN",
    "GivenReadings",
    "Meter",
    "MonitorMeter",
    "OscilloscopeMeter",
    "TypedReadings",
]

TAKEN = "the reading was taken"
EMERGENCY = "fault:emergency stop by hand"
SETTLE_S = 1.0
HOLD_S = 3.0
WINDOW_S = 1.0


class Meter(Protocol):
    """Where the reading of one step comes from.

    Attributes
    ----------
    source, unit, kind : str
        As in :class:`tacs.calibration.Point`.
    mean_ma : float or None
        Direct current of the last reading, where it was measured.
    """

    source: str
    unit: str
    kind: str
    mean_ma: float | None

    def begin(self, number: int, clock: Clock, rig: Rig, device: EmulatedDevice | None) -> None:
        """Get ready for a step, counted from 1; nothing flows yet."""

    def poll(self, now_s: float, held_s: float) -> str:
        """Look while the step is held; return a message that ends it, or nothing."""

    def end(self, trace: TraceInfo | None, electrode: str, stopped_s: float) -> float:
        """Return the reading once the step is over."""

    def close(self) -> None:
        """Let go."""


class GivenReadings:
    """Readings that were written down beforehand; for emulated devices and scripts.

    Parameters
    ----------
    readings : sequence of str
        One for each step, such as ``"4.02 V"``.
    kind : str
        What all of them are.
    n_steps : int
        How many are needed.

    Raises
    ------
    InputError
        One of them is none, or there are too few or too many.
    """

    source, unit = "typed", "V"

    def __init__(self, readings: Sequence[str], kind: str, n_steps: int) -> None:
        self.kind = kind_of(kind)
        self.mean_ma: float | None = None
        if len(readings) != n_steps:
            raise InputError(f"--reading: {len(readings)} given, {n_steps} steps; one for each")
        try:
            self._readings = [read_volts(text) for text in readings]
        except ValueError as exc:
            raise InputError(f"--reading {exc}") from exc
        self._number = 0

    def begin(self, number: int, clock: Clock, rig: Rig, device: EmulatedDevice | None) -> None:
        """Take the next one."""
        self._number = number

    def poll(self, now_s: float, held_s: float) -> str:
        """End the step once it has been held."""
        return f"stop:{TAKEN}" if held_s >= HOLD_S else ""

    def end(self, trace: TraceInfo | None, electrode: str, stopped_s: float) -> float:
        """Return the reading of this step."""
        return self._readings[self._number - 1]

    def close(self) -> None:
        """There is nothing to let go."""


class TypedReadings:
    """A person at the terminal, asked in a thread while the step plays on.

    Parameters
    ----------
    ask : callable
        Given a question, returns what was typed.
    say : callable
        Given a line for the person.
    kind : str
        What the instrument shows; asked where empty.
    n_steps : int
        For the question.
    load_kohm : float
        Turns a direct voltage into a current.
    """

    source, unit = "typed", "V"

    def __init__(
        self,
        ask: Callable[[str], str],
        say: Callable[[str], None],
        kind: str,
        n_steps: int,
        load_kohm: float,
    ) -> None:
        self._ask, self._say = ask, say
        self._n_steps, self._load_kohm = n_steps, load_kohm
        self.kind = kind_of(kind or ask("what does the instrument show: peak, pp or rms? "))
        self.mean_ma: float | None = None
        self._number = 0
        self._answer: float | None = None
        self._message = ""
        self._thread: threading.Thread | None = None

    def begin(self, number: int, clock: Clock, rig: Rig, device: EmulatedDevice | None) -> None:
        """Forget the last answer."""
        self._number, self._answer, self._message, self._thread = number, None, "", None
        self.mean_ma = None

    def poll(self, now_s: float, held_s: float) -> str:
        """Have the person asked once the current has settled; end the step with the answer."""
        if self._thread is None and held_s >= SETTLE_S:
            self._thread = threading.Thread(target=self._question, daemon=True)
            self._thread.start()
        return self._message

    def end(self, trace: TraceInfo | None, electrode: str, stopped_s: float) -> float:
        """Return what was typed."""
        if self._answer is None:
            raise InputError(f"step {self._number}: no reading was typed")
        return self._answer

    def close(self) -> None:
        """There is nothing to let go."""

    def _question(self) -> None:
        """Ask until there is an answer; runs in a thread of its own."""
        try:
            answer = self._volts(
                f"step {self._number} of {self._n_steps} plays; reading across the resistor in V "
                f"or mV ({self.kind}; stop ends, emergency ends at once): "
            )
            if answer is not None and self._number == self._n_steps:
                direct = self._volts("direct voltage there (meter on DC), or 0 V: ")
                self.mean_ma = None if direct is None else direct / self._load_kohm
            self._answer = answer
            self._message = self._message or f"stop:{TAKEN}"
        except (EOFError, OSError, ValueError):
            self._message = "stop:the keyboard is gone"

    def _volts(self, question: str) -> float | None:
        """One voltage; None where the person ends it."""
        while True:
            text = self._ask(question).strip()
            if text.lower() == "emergency":
                self._message = EMERGENCY
                return None
            if text.lower() == "stop":
                self._message = "stop:the operator"
                return None
            try:
                return read_volts(text)
            except ValueError as exc:
                self._say(str(exc))


class OscilloscopeMeter:
    """The emulator's oscilloscope as the second instrument.

    Parameters
    ----------
    frequency_hz : float
        Of the sine: direct current is the mean over whole cycles.
    """

    source, unit, kind = "oscilloscope", "mA", "peak"

    def __init__(self, frequency_hz: float) -> None:
        self.mean_ma: float | None = None
        self._frequency_hz = frequency_hz

    def begin(self, number: int, clock: Clock, rig: Rig, device: EmulatedDevice | None) -> None:
        """There is nothing to get ready."""
        if device is None:
            raise InputError("--from-oscilloscope: only an emulated device has one")

    def poll(self, now_s: float, held_s: float) -> str:
        """End the step once it has been held."""
        return f"stop:{TAKEN}" if held_s >= HOLD_S else ""

    def end(self, trace: TraceInfo | None, electrode: str, stopped_s: float) -> float:
        """Return the largest magnitude in the last second before the stop."""
        import numpy as np

        if trace is None:
            raise DeviceError("the emulator's oscilloscope left no trace")
        rate_hz = trace.sampling_frequency_hz
        row = read_trace(trace.path, len(trace.columns))[trace.columns.index(electrode)]
        last = round((stopped_s - trace.start_s) * rate_hz)
        window = row[max(last - round(WINDOW_S * rate_hz), 0) : last]
        if not len(window):
            raise DeviceError("the oscilloscope's trace ends before the reading")
        n = whole_cycles(len(window), 1.0 / rate_hz, self._frequency_hz)
        self.mean_ma = float(window[-n:].mean())
        return float(np.abs(window).max())

    def close(self) -> None:
        """There is nothing to let go."""


class MonitorMeter:
    """The rig's own current monitor as the second instrument.

    Parameters
    ----------
    frequency_hz : float
        Of the sine: direct current is the mean over whole cycles.
    """

    source, unit, kind = "monitor", "mA", "peak"

    def __init__(self, frequency_hz: float) -> None:
        self.mean_ma: float | None = None
        self._frequency_hz = frequency_hz
        self._frame_s = 0.0
        self._monitor: Monitor | None = None
        self._frames: list[CurrentFrame] = []

    def begin(self, number: int, clock: Clock, rig: Rig, device: EmulatedDevice | None) -> None:
        """Connect to it, and have it measure."""
        if rig.monitor is None:
            raise InputError(f"--from-monitor: rig {rig.name!r} has no monitor")
        kind = find_monitor(rig.monitor.device)
        inputs = rig.monitor.electrodes
        if device is not None:
            self._monitor = kind.over(device.monitor_transport, inputs)
        else:
            self._monitor = kind.open(rig.monitor.address or "", inputs, clock)
        self._frames, self._frame_s = [], kind.capabilities.frame_s
        self._monitor.connect()
        self._monitor.start(secrets.randbits(64))

    def poll(self, now_s: float, held_s: float) -> str:
        """Keep what was measured once the current has settled."""
        if self._monitor is None:
            return ""
        frames = [m for m in self._monitor.poll(now_s) if isinstance(m, CurrentFrame)]
        if held_s >= SETTLE_S:
            self._frames += frames
        return f"stop:{TAKEN}" if held_s >= HOLD_S else ""

    def end(self, trace: TraceInfo | None, electrode: str, stopped_s: float) -> float:
        """Return the largest magnitude while the step was held."""
        self.close()
        if len(self._frames) * self._frame_s < WINDOW_S:
            raise DeviceError(f"the current monitor sent {len(self._frames)} frames only")
        n = whole_cycles(len(self._frames), self._frame_s, self._frequency_hz)
        means = [frame.mean_ma[electrode] for frame in self._frames[-n:]]
        self.mean_ma = sum(means) / len(means)
        return max(frame.peak_ma[electrode] for frame in self._frames)

    def close(self) -> None:
        """Stop measuring and release the port."""
        monitor, self._monitor = self._monitor, None
        if monitor is not None:
            with contextlib.suppress(DeviceError):
                monitor.stop()
            monitor.close()


def whole_cycles(n: int, sample_s: float, frequency_hz: float) -> int:
    """Return how many of ``n`` samples are the most whole cycles; all where there is none."""
    cycles = int(n * sample_s * frequency_hz + 1e-9)
    return round(cycles / frequency_hz / sample_s) if cycles else n


def kind_of(text: str) -> str:
    """Return what a reading is, as it was typed.

    Raises
    ------
    InputError
        It is none of the three.
    """
    kind = text.strip().lower()
    if kind not in KINDS:
        raise InputError(f"{text.strip()!r}: a reading is peak, pp (peak-to-peak) or rms")
    return kind
