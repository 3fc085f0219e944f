"""An emulated device on its bench: stimulators, electrodes, an oscilloscope, and its faults.

Every emulator is a firmware that knows its own wire protocol and its outputs; what is behind the
outputs, what may go wrong there, and who looks at it, is the same for all of them and is here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from devices.delivered import DeliveredCurrent
from devices.emulators.electrodes import Electrodes
from devices.emulators.faults import FROM_POWER_ON_S, FaultKind, parse_faults
from devices.emulators.line import Line
from devices.emulators.monitor_bench import MonitorBench
from devices.emulators.monitor_probe import Source
from devices.emulators.oscilloscope import Oscilloscope
from devices.emulators.replies import ReplyFaults
from devices.transport import MemoryTransport, Transport
from tacs.clock import Clock
from tacs.driver import TraceInfo
from tacs.errors import InputError
from tacs.rig import Rig

__all__ = ["DeviceBench", "EmulatedFirmware", "InMemory"]

FORGET_EVERY_S = 10.0
FELT_PER_S = 1000.0


class EmulatedFirmware(Protocol):
    """What a bench needs of a firmware; it is told the time and never asks for it."""

    @property
    def faults(self) -> ReplyFaults:
        """What is wrong with the next replies."""

    @property
    def first_start_s(self) -> float | None:
        """Clock time of the first start; timed faults count from it."""

    @property
    def sources(self) -> Sequence[Source]:
        """Its outputs as a current monitor senses them; empty where none can."""

    @property
    def playing(self) -> bool:
        """Whether any output plays; a ramp of a stop counts."""

    def advance(self, now_s: float) -> None:
        """Let time pass."""

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes from the host."""

    def take(self, now_s: float) -> bytes:
        """Give the bytes for the host that are due."""

    def next_due_s(self) -> float | None:
        """Return when the next byte for the host is due."""

    def drive(self, number: int, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return volts, or milliampere of a current source, of an output counted from 1."""

    def silent_at_s(self) -> float:
        """Return when the outputs come to rest if no command comes; infinite if they do not."""

    def forget(self, seen_s: float) -> None:
        """Drop what happened before an instant that nobody will look at again."""

    def click(self, now_s: float) -> None:
        """Press the device's own button, where it has one."""

    def reboot(self, now_s: float) -> None:
        """Lose power and come back."""

    def stick(self) -> None:
        """Have what plays play on, whatever is commanded."""


F = TypeVar("F", bound=EmulatedFirmware)


class DeviceBench(Generic[F]):
    """Device, stimulators, electrodes and instruments, all told the time from outside.

    Oscilloscope and current monitor look at the same outputs and electrodes, each at its own pace;
    what happened is forgotten when both have seen it, and whoever feels the current
    (:meth:`delivered`).

    Parameters
    ----------
    firmware : EmulatedFirmware
        The device.
    kinds : mapping of str to FaultKind
        Faults that it can be given.
    rig : Rig
        What is behind the outputs, and the current monitor if there is one.
    contacts : sequence of str
        Attached electrodes, ``"Oz"`` or ``"Oz=5"`` (kΩ).
    trace : Path or None
        Where the oscilloscope writes.
    faults : sequence of str
        ``NAME[@SECONDS][=VALUE]``.
    now_s : float
        Clock time of power-on.

    Raises
    ------
    InputError
        A contact, a fault, a monitor or a trace that cannot be.
    """

    def __init__(
        self,
        firmware: F,
        kinds: Mapping[str, FaultKind[Any]],
        rig: Rig,
        contacts: Sequence[str],
        trace: Path | None,
        faults: Sequence[str],
        now_s: float,
    ) -> None:
        self.linked = True
        self.line = Line()
        self.firmware = firmware
        self.electrodes = Electrodes(rig, contacts, now_s)
        self.monitor: MonitorBench | None = None
        if rig.monitor is not None:
            if not firmware.sources:
                raise InputError(f"rig {rig.name!r}: this emulator has no current monitor")
            self.monitor = MonitorBench(
                rig.monitor, firmware.sources, self.electrodes, now_s, self.advance
            )
        found = parse_faults(
            faults, kinds, self.electrodes.contacts, monitored=self.monitor is not None
        )
        for fault in found:
            if fault.at_s == FROM_POWER_ON_S:
                fault.kind.effect(self, fault.value, now_s)
        self._to_come = [fault for fault in found if fault.at_s != FROM_POWER_ON_S]
        self._forgotten_s = now_s
        self._felt_s = math.inf
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

    def delivered(self, begin_s: float, end_s: float, now_s: float) -> DeliveredCurrent | None:
        """Return the current out of every contact between two instants.

        Parameters
        ----------
        begin_s, end_s : float
            Clock times; ask in order, from the beginning on: nothing before the last question is
            kept for longer than the oscilloscope needs it. Beyond the present the current stays as
            it is.
        now_s : float
            The present.

        Returns
        -------
        DeliveredCurrent or None
            None before the device was started first.
        """
        self._felt_s = min(end_s, now_s)
        first_s = self.firmware.first_start_s
        if first_s is None or end_s <= first_s:
            return None
        self.advance(now_s)
        n = max(math.ceil((end_s - begin_s) * FELT_PER_S - 1e-6), 1)
        rate_hz = max(n / (end_s - begin_s), FELT_PER_S)
        times_s = np.minimum(begin_s + np.arange(n) / rate_hz, now_s)
        return DeliveredCurrent(self._currents_ma(times_s), rate_hz, self.electrodes.contacts)

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
        return self.firmware.silent_at_s()

    def click(self, now_s: float) -> None:
        """Press the device's own button."""
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
        driven = {n: self.firmware.drive(n, times_s) for n in self.electrodes.generator_outputs}
        return self.electrodes.currents_ma(times_s, driven)

    def _forget(self, now_s: float) -> None:
        """Drop what everybody has seen."""
        if now_s - self._forgotten_s < FORGET_EVERY_S:
            return
        self._forgotten_s = now_s
        seen_s = min(
            self._felt_s,
            now_s if self.scope is None else self.scope.read_to_s,
            now_s if self.monitor is None else self.monitor.firmware.read_to_s,
        )
        self.firmware.forget(seen_s)
        self.electrodes.forget(seen_s)


class InMemory:
    """An emulated device in this process.

    Parameters
    ----------
    bench : DeviceBench
        The device.
    clock : Clock
        Of the session.
    """

    address = "memory"

    def __init__(self, bench: DeviceBench[Any], clock: Clock) -> None:
        self.bench = bench
        self.transport: Transport = MemoryTransport(bench, clock)
        self.monitor_transport: Transport | None = None
        self.monitor_address: str | None = None
        if bench.monitor is not None:
            self.monitor_transport = MemoryTransport(bench.monitor, clock)
            self.monitor_address = self.address
        self._clock = clock

    def delivered(self, begin_s: float, end_s: float) -> DeliveredCurrent | None:
        """Return the current between two instants; see :meth:`DeviceBench.delivered`."""
        return self.bench.delivered(begin_s, end_s, self._clock.now_s())

    def finish(self, timeout_s: float = 10.0) -> TraceInfo | None:
        """Wait until the output is silent, at most ``timeout_s``, and close the oscilloscope."""
        now_s = self._clock.now_s()
        self.bench.advance(now_s)
        deadline_s = now_s + timeout_s
        while not self.bench.silent and self._clock.now_s() < deadline_s:
            self._clock.wait(min(self.bench.silent_at_s(), deadline_s))
            self.bench.advance(self._clock.now_s())
        return self.bench.finish(self._clock.now_s())
