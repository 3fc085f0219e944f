"""An emulated current monitor in the leads of an emulated device, with a port of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from devices.emulators.electrodes import Electrodes
from devices.emulators.monitor_firmware import N_INPUTS, MonitorFirmware
from devices.emulators.monitor_probe import Probe, Source
from tacs.errors import InputError
from tacs.rig import RigMonitor

__all__ = ["MonitorBench"]

NAME = "refmonitor"


class MonitorBench:
    """The monitor's side of its link.

    Parameters
    ----------
    monitor : RigMonitor
        Which electrode runs through which input.
    sources : sequence of Source
        Outputs of the generator.
    electrodes : Electrodes
        Stimulators and contacts.
    now_s : float
        Clock time of power-on.
    advance : callable
        Has the whole bench go on to a clock time, this monitor included.

    Raises
    ------
    InputError
        A monitor of another kind, or an input that it does not have.
    """

    def __init__(
        self,
        monitor: RigMonitor,
        sources: Sequence[Source],
        electrodes: Electrodes,
        now_s: float,
        advance: Callable[[float], None],
    ) -> None:
        if monitor.device != NAME:
            raise InputError(f"monitor {monitor.device!r}: has no emulator; emulated: {NAME}")
        wired = monitor.electrodes
        if (highest := max(wired)) > N_INPUTS:
            raise InputError(
                f"monitor input {highest} ({wired[highest]}): the emulated {NAME} has {N_INPUTS}"
            )
        inputs = [wired.get(number) for number in range(1, N_INPUTS + 1)]
        self.firmware = MonitorFirmware(Probe(sources, electrodes, inputs), now_s)
        self.linked = True
        self._advance = advance

    def advance(self, now_s: float) -> None:
        """Let time pass, for everything on the bench."""
        self._advance(now_s)

    def unplug(self) -> None:
        """Be gone from the bus."""
        self.linked = False

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes from the host."""
        self._advance(now_s)
        if self.linked:
            self.firmware.receive(data, now_s)

    def take(self, now_s: float) -> bytes:
        """Give the bytes for the host that are due."""
        return self.firmware.take(now_s) if self.linked else b""

    def next_due_s(self) -> float | None:
        """Return when the next byte for the host is due."""
        return self.firmware.next_due_s() if self.linked else None
