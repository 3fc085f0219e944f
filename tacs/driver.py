"""The driver contract, and how drivers and emulators are found.

Drivers and emulators arrive by entry point (groups ``tacs.drivers`` and ``tacs.emulators``); this
package never imports a concrete one. A session gets its driver behind :mod:`tacs.guard`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from tacs.capabilities import Capabilities
from tacs.clock import Clock
from tacs.errors import DeviceNotFound, InputError
from tacs.rig import Rig

__all__ = [
    "Achieved",
    "Attendant",
    "AttendedDevice",
    "AttendedEmulator",
    "DeviceName",
    "Driver",
    "EmulatedDevice",
    "Emulator",
    "Identity",
    "Program",
    "Status",
    "TraceInfo",
    "find_driver",
    "find_emulator",
    "installed",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a device is to play at full level.

    Parameters
    ----------
    frequency_hz : float
        Frequency of all channels; of an amplitude-modulated waveform, that of its envelope.
    currents_peak_ma : mapping of int to float
        Zero-to-peak current of each generator channel, counted from 1.
    phases_deg : mapping of int to float
        Phase of each channel; all equal on a device without a phase setting.
    soft_stop_s, emergency_stop_s : float
        Ramps of the two stops.
    envelope : tuple of (float, float)
        Knots of the whole session's piecewise linear envelope: seconds from the start, level 0 to
        1. A device whose level the host steps needs only its end; one without level control plays
        it by itself.
    carrier_hz : float or None
        Of an amplitude-modulated waveform, ``½(1 - cos 2πft)·sin 2πf_c t``; None of a sine.
    trains : bool
        Whether the envelope comes back to zero and rises again by the steep edges of trains.
    """

    frequency_hz: float
    currents_peak_ma: Mapping[int, float]
    phases_deg: Mapping[int, float]
    soft_stop_s: float
    emergency_stop_s: float
    envelope: tuple[tuple[float, float], ...] = ((0.0, 0.0), (0.0, 0.0))
    carrier_hz: float | None = None
    trains: bool = False

    @property
    def duration_s(self) -> float:
        """Length of the session in seconds."""
        return self.envelope[-1][0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who answered: model, firmware and whatever else the device says of itself."""

    model: str
    firmware: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Achieved:
    """What the device makes of a programme after quantising down to its grid."""

    frequency_hz: float
    currents_peak_ma: Mapping[int, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What the device reports; a field is None where it cannot know."""

    playing: tuple[int, ...]
    current_peak_ma: Mapping[int, float] | None
    impedance_kohm: Mapping[str, float] | None
    details: Mapping[str, Any]


class Driver(ABC):
    """One stimulator behind one wire protocol: few verbs, each safe to repeat.

    A driver is silent after :meth:`connect`: amplitude zero, nothing playing, no trigger that could
    start it. Level 1 is the programme's full current; :meth:`start` begins at level 0.
    """

    capabilities: ClassVar[Capabilities]

    @classmethod
    def capabilities_on(cls, rig: Rig | None) -> Capabilities:
        """Return what the device can do on a rig, where what is built into the rig decides that.

        A watchdog or an interlock, for instance, ends a current that would else go on. Whatever a
        rig adds, it is declared before anything is opened.

        Raises
        ------
        InputError
            The rig's options cannot be.
        """
        return cls.capabilities

    @classmethod
    @abstractmethod
    def open(cls, address: str, rig: Rig | None, clock: Clock) -> Driver:
        """Open the port of a real device or of an emulator process; nothing is sent yet.

        Raises
        ------
        DeviceNotFound, DeviceBusy
            The port is not there, or somebody else holds it.
        InputError
            The device needs a rig and none was given.
        """

    @classmethod
    @abstractmethod
    def over(cls, transport: Any, rig: Rig | None) -> Driver:
        """Drive through a transport that is already there, such as an emulator in memory."""

    @abstractmethod
    def connect(self) -> Identity:
        """Shake hands, refuse what is not this device, and silence it.

        Raises
        ------
        DeviceNotFound
            Something else answers, or nothing.
        LinkLost, ProtocolViolation
            The link failed or the answer breaks the protocol.
        """

    @abstractmethod
    def configure(self, program: Program) -> Achieved:
        """Load a programme at level 0 while idle; return what the device's grid makes of it.

        Raises
        ------
        DeviceRefused
            The device did not accept a setting; nothing plays.
        """

    @abstractmethod
    def start(self, lease_s: float) -> None:
        """Start at level 0; the programme ends by itself ``lease_s`` seconds from now."""

    @abstractmethod
    def set_level(self, level: float) -> None:
        """Set the fraction of the full current, 0 to 1, quantised down to the device's grid.

        A device without level control follows its own envelope, and takes this as told.
        """

    @abstractmethod
    def extend_lease(self, elapsed_s: float, lease_s: float) -> None:
        """Let the programme end by itself ``lease_s`` after ``elapsed_s`` since the start."""

    @abstractmethod
    def set_frequency(self, frequency_hz: float) -> float:
        """Change the frequency, keeping the phase; return the one achieved."""

    def pump(self, now_s: float) -> None:  # noqa: B027 - most drivers have nothing to do
        """Do what is due by now: stream samples, take the next step of a stop.

        Called at every tick, 25 to 50 times a second, from the start until the session is over; it
        must not wait.

        Parameters
        ----------
        now_s : float
            Scheduled time of the tick.
        """

    @abstractmethod
    def soft_stop(self) -> None:
        """End over the soft-stop ramp. Needs no answer from the device."""

    @abstractmethod
    def emergency_stop(self) -> None:
        """End over the emergency ramp by the shortest path. Needs no answer from the device."""

    def told(self, word: str) -> None:  # noqa: B027 - most devices are worked by no person
        """Take the word of the person who works the device: that it is ``silent``.

        Parameters
        ----------
        word : str
            Only where the driver declares ``machine_verified=False``.
        """

    @abstractmethod
    def status(self) -> Status:
        """Ask the device for its state."""

    @abstractmethod
    def close(self) -> None:
        """Silence the device, unlink its triggers and release the port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceInfo:
    """What an oscilloscope wrote.

    Parameters
    ----------
    path : Path
        Tab-separated, gzip, one column per electrode in mA, no header line.
    columns : tuple of str
        Electrodes.
    sampling_frequency_hz : float
        Samples per second.
    start_s : float
        Clock time of the first sample.
    n_samples : int
        Rows.
    clean : bool
        Whether it was closed once the output was silent; else more may have flowed than it shows.
    """

    path: Path
    columns: tuple[str, ...]
    sampling_frequency_hz: float
    start_s: float
    n_samples: int
    clean: bool


class EmulatedDevice(Protocol):
    """A running emulator: in memory on any clock, or as a process of its own.

    Attributes
    ----------
    transport : object or None
        To the device in this process; None where it is a process of its own.
    address : str
        Where the device is opened.
    monitor_transport : object or None
        To the emulated current monitor in this process; None where there is none here.
    monitor_address : str or None
        Where the monitor is opened; None where the rig has none.
    """

    transport: Any
    address: str
    monitor_transport: Any
    monitor_address: str | None

    def finish(self, timeout_s: float = 10.0) -> TraceInfo | None:
        """Close the oscilloscope when the output is silent; None where it recorded nothing."""


class Attendant(Protocol):
    """A scripted person at an emulated device that is worked by hand."""

    def set_up(self, settings: Mapping[str, str]) -> None:
        """Set the device as the settings say; texts as its panel shows them."""

    def hear(self, word: str, now_s: float) -> list[str]:
        """Hear which word the operator is asked for, or none; return the words said by now."""


@runtime_checkable
class AttendedDevice(Protocol):
    """An emulated device that a person would work: it comes with a scripted one."""

    attendant: Attendant


@runtime_checkable
class AttendedEmulator(Protocol):
    """An emulator whose scripted people read a panel's settings back."""

    def type_settings(
        self, sheet: Mapping[str, str], faults: Sequence[str], contacts: Sequence[str]
    ) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return what two people type who read the panel, given what it ought to show."""


class Emulator(Protocol):
    """What the entry-point group ``tacs.emulators`` provides: a stand-in for one wire protocol."""

    faults: Mapping[str, str]

    def in_memory(
        self,
        rig: Rig,
        clock: Clock,
        contacts: Sequence[str],
        trace: Path | None,
        faults: Sequence[str],
    ) -> EmulatedDevice:
        """Start one in this process, under the clock given."""

    def as_process(
        self, rig: Path, contacts: Sequence[str], trace: Path | None, faults: Sequence[str]
    ) -> EmulatedDevice:
        """Start one as a process of its own, on a pseudo-terminal."""


@dataclass(frozen=True, slots=True)
class DeviceName:
    """A device as the command line names it: ``emulated:DRIVER`` or ``DRIVER:ADDRESS``."""

    driver: str
    address: str
    emulated: bool

    def __str__(self) -> str:
        return f"emulated:{self.driver}" if self.emulated else f"{self.driver}:{self.address}"

    @classmethod
    def parse(cls, text: str) -> DeviceName:
        """Take a device's name apart.

        Raises
        ------
        InputError
            It has neither form.
        """
        head, _, tail = text.partition(":")
        if head == "emulated" and tail:
            return cls(driver=tail, address="", emulated=True)
        if head and head != "emulated":
            return cls(driver=head, address=tail, emulated=False)
        raise InputError(
            f"device {text!r}: write emulated:NAME (such as emulated:synthpal) or NAME:PORT "
            f"(such as synthpal:/dev/ttyACM0)"
        )


def installed(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group, ``tacs.drivers`` or ``tacs.emulators``, by name."""
    return {point.name: point for point in entry_points(group=group)}


def find_driver(name: str) -> type[Driver]:
    """Return a driver class by its entry-point name.

    Raises
    ------
    DeviceNotFound
        No such driver; the message lists those there are.
    """
    points = installed("tacs.drivers")
    if name not in points:
        raise DeviceNotFound(
            f"no driver named {name!r}; installed: {', '.join(sorted(points))} "
            f"(an emulated one is written emulated:NAME)"
        )
    driver = points[name].load()
    if not (isinstance(driver, type) and issubclass(driver, Driver)):
        raise InputError(
            f"driver {name!r} of {points[name].value} does not follow tacs.driver.Driver"
        )
    return driver


def find_emulator(name: str) -> Emulator:
    """Return an emulator by its entry-point name.

    Raises
    ------
    DeviceNotFound
        No such emulator.
    """
    points = installed("tacs.emulators")
    if name not in points:
        raise DeviceNotFound(f"no emulator named {name!r}; installed: {', '.join(sorted(points))}")
    emulator: Emulator = points[name].load()()
    return emulator
