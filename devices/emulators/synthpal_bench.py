"""An emulated Synth Pal on its bench: stimulators, electrodes, an oscilloscope, and its faults."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from devices.emulators.electrodes import Electrodes
from devices.emulators.faults import FROM_POWER_ON_S, parse_faults
from devices.emulators.line import Line
from devices.emulators.monitor_bench import MonitorBench
from devices.emulators.oscilloscope import Oscilloscope
from devices.emulators.synthpal_faults import FAULTS
from devices.emulators.synthpal_firmware import Firmware
from tacs.driver import TraceInfo
from tacs.rig import Rig

__all__ = ["FAULTS", "SynthPalBench"]

FORGET_EVERY_S = 10.0


class SynthPalBench:
    """Device, stimulators, electrodes and instruments, all told the time from outside.

    Oscilloscope and current monitor look at the same outputs and electrodes, each at its own pace;
    what happened is forgotten when both have seen it.

    Parameters
    ----------
    rig : Rig
        What is behind the outputs, and the current monitor if there is one.
    contacts : sequence of str
        Attached electrodes, ``"Oz"`` or ``"Oz=5"`` (kΩ).
    trace : Path or None
        Where the oscilloscope writes.
    faults : sequence of str
        ``NAME[@SECONDS][=VALUE]``, see :data:`FAULTS`.
    now_s : float
        Clock time of power-on.

    Raises
    ------
    InputError
        A contact, a fault, a monitor or a trace that cannot be.
    """

    def __init__(
        self,
        rig: Rig,
        contacts: Sequence[str],
        trace: Path | None,
        faults: Sequence[str],
        now_s: float,
    ) -> None:
        self.linked = True
        self.line = Line()
        self.firmware = Firmware(now_s)
        self.electrodes = Electrodes(rig, contacts, now_s)
        self.monitor = (
            None
            if rig.monitor is None
            else MonitorBench(
                rig.monitor, self.firmware.channels, self.electrodes, now_s, self.advance
            )
        )
        found = parse_faults(
            faults, FAULTS, self.electrodes.contacts, monitored=self.monitor is not None
        )
        for fault in found:
            if fault.at_s == FROM_POWER_ON_S:
                fault.kind.effect(self, fault.value, now_s)
        self._to_come = [fault for fault in found if fault.at_s != FROM_POWER_ON_S]
        self._forgotten_s = now_s
        self.scope = (
            None
            if trace is None
            else Oscilloscope(trace, self.electrodes.contacts, now_s, self._currents_ma)
        )

    @property
    def silent(self) -> bool:
        """Whether no output plays."""
        return not self.firmware.playing

    def advance(self, now_s: float) -> None:
        """Let time pass, faults and late commands included, and have the instruments follow."""
        while (due_s := min(self._strikes_s(), self.line.next_due_s())) <= now_s:
            self._pass_to(due_s)
            if self._strikes_s() == due_s:
                fault = self._to_come.pop(0)
                fault.kind.effect(self, fault.value, due_s)
            else:
                self.firmware.receive(self.line.arrive(), due_s)
        self._pass_to(now_s)
        if self.scope is not None:
            self.scope.run_to(now_s)
        self._forget(now_s)

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes from the host."""
        self.advance(now_s)
        if self.linked:
            self.line.send(data, now_s)
            self.advance(now_s)

    def take(self, now_s: float) -> bytes:
        """Give the bytes for the host that are due."""
        replies = self.firmware.take(now_s)
        return replies if self.linked and self.line.carries(now_s) else b""

    def next_due_s(self) -> float | None:
        """Return when the next byte for the host is due, or one for the device under way."""
        if not self.linked:
            return None
        reply_s, arrives_s = self.firmware.next_due_s(), self.line.next_due_s()
        due_s = arrives_s if reply_s is None else min(reply_s, arrives_s)
        return due_s if math.isfinite(due_s) else None

    def silent_at_s(self) -> float:
        """Return when the outputs come to rest if no command comes; infinite where they do not."""
        due_s = [c.next_change_s for c in self.firmware.channels if c.playing]
        return max(due_s, default=-math.inf)

    def click(self, now_s: float) -> None:
        """Click the joystick."""
        self.advance(now_s)
        self.firmware.click(now_s)

    def finish(self, now_s: float) -> TraceInfo | None:
        """Close the oscilloscope."""
        self.advance(now_s)
        return None if self.scope is None else self.scope.close(now_s, clean=self.silent)

    def _strikes_s(self) -> float:
        """When the next fault strikes."""
        first_s = self.firmware.first_start_s
        if first_s is None or not self._to_come:
            return math.inf
        return first_s + self._to_come[0].at_s

    def _pass_to(self, now_s: float) -> None:
        self.firmware.advance(now_s)
        if self.monitor is not None:
            self.monitor.firmware.advance(now_s)

    def _currents_ma(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        channels = self.firmware.channels
        volts = {n: channels[n - 1].volts(times_s) for n in self.electrodes.generator_outputs}
        return self.electrodes.currents_ma(times_s, volts)

    def _forget(self, now_s: float) -> None:
        """Drop what both instruments have seen."""
        if now_s - self._forgotten_s < FORGET_EVERY_S:
            return
        self._forgotten_s = now_s
        seen_s = min(
            now_s if self.scope is None else self.scope.read_to_s,
            now_s if self.monitor is None else self.monitor.firmware.read_to_s,
        )
        for channel in self.firmware.channels:
            channel.forget(seen_s)
        self.electrodes.forget(seen_s)
