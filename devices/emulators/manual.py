"""An emulated stimulator without remote control, with the scripted people who work it.

There is no wire between the suite and such a device: people are the wire. A scripted person hears
what the suite asks of its operator, works the emulated panel and answers through the session's
inbox; what the panel then plays is seen by the oscilloscope. In memory under any clock, or the
device as a process of its own (``python -m devices.emulators.manual --help``) with the person in
the guardian's process.

Not modelled: menus, a display that must be read, devices that round what is set, two people who
talk to each other, a person who presses the wrong key.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from devices.emulators.bench import DeviceBench, InMemory
from devices.emulators.entry import EmulatedDevice, run_as_process, sentences
from devices.emulators.manual_panel import PanelFirmware
from devices.emulators.manual_people import FAULTS, ScriptedPerson, type_settings
from devices.emulators.server import EmulatorProcess
from devices.transport import open_transport
from tacs.clock import Clock, MonotonicClock
from tacs.driver import TraceInfo
from tacs.rig import Rig

__all__ = ["EmulatedManual"]


class PanelBench(DeviceBench[PanelFirmware]):
    """The panel, its outputs and the electrodes; see :class:`DeviceBench`."""

    def __init__(
        self,
        rig: Rig,
        contacts: Sequence[str],
        trace: Path | None,
        faults: Sequence[str],
        now_s: float,
    ) -> None:
        super().__init__(PanelFirmware(rig, now_s), FAULTS, rig, contacts, trace, faults, now_s)


class AttendedInMemory(InMemory):
    """The device in this process, and the person at it."""

    def __init__(
        self, bench: PanelBench, clock: Clock, faults: Sequence[str], contacts: Sequence[str]
    ) -> None:
        super().__init__(bench, clock)
        self.attendant = ScriptedPerson(lambda: self.transport, faults, contacts)

    def finish(self, timeout_s: float = 10.0) -> TraceInfo | None:
        """Wait until the output is silent, where nothing ends it for the whole programme."""
        now_s = self._clock.now_s()
        if self._clock.virtual and not self.bench.silent:
            left_s = self.bench.silent_at_s() - now_s
            timeout_s = max(timeout_s, min(left_s, 3600.0) + 1.0)
        return super().finish(timeout_s)


class AttendedProcess:
    """The device as a process of its own, and the person in this one.

    Parameters
    ----------
    process : EmulatorProcess
        The device.
    faults, contacts : sequence of str
        As for the device.
    """

    transport = None
    monitor_transport = None
    monitor_address = None

    def __init__(
        self, process: EmulatorProcess, faults: Sequence[str], contacts: Sequence[str]
    ) -> None:
        self.address = process.address
        self._process = process
        self.attendant = ScriptedPerson(
            lambda: open_transport(self.address, MonotonicClock()), faults, contacts
        )

    def finish(self, timeout_s: float = 10.0) -> TraceInfo | None:
        """Have the person leave, and the device end when it is silent."""
        self.attendant.leave()
        return self._process.finish(timeout_s)


class EmulatedManual(EmulatedDevice):
    """What the entry point ``tacs.emulators: manual`` provides: the device, and a person at it."""

    faults = sentences(FAULTS)
    bench = PanelBench
    module = "devices.emulators.manual"

    def in_memory(
        self,
        rig: Rig,
        clock: Clock,
        contacts: Sequence[str],
        trace: Path | None,
        faults: Sequence[str],
    ) -> AttendedInMemory:
        """Start one in this process; see :class:`devices.emulators.entry.EmulatedDevice`."""
        bench = PanelBench(rig, contacts, trace, faults, clock.now_s())
        return AttendedInMemory(bench, clock, faults, bench.electrodes.contacts)

    def as_process(  # type: ignore[override]  # the same methods, and a person besides
        self, rig: Path, contacts: Sequence[str], trace: Path | None, faults: Sequence[str]
    ) -> AttendedProcess:
        """Start one as a process of its own, on a pseudo-terminal; see :meth:`in_memory`.

        Raises
        ------
        InputError
            The process did not start; its own reason.
        """
        process = super().as_process(rig, contacts, trace, faults)
        return AttendedProcess(process, faults, [text.partition("=")[0] for text in contacts])

    def type_settings(
        self, sheet: Mapping[str, str], faults: Sequence[str], contacts: Sequence[str]
    ) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return what two people type who read the panel, given what it ought to show."""
        return type_settings(sheet, faults, contacts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an emulated front panel until nobody is at it and its output silent."""
    return run_as_process(EmulatedManual, main.__doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
