"""The contract of a current monitor: a second instrument that measures at the electrodes.

A monitor has no say in what current flows. It streams what it measures, and the guardian compares
that with what was commanded. Monitors arrive by entry point (group ``tacs.monitors``); this package
never imports a concrete one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from tacs.clock import Clock
from tacs.driver import Identity, installed
from tacs.errors import DeviceNotFound, InputError

__all__ = [
    "ContactFrame",
    "CurrentFrame",
    "Message",
    "Monitor",
    "MonitorCapabilities",
    "MonitorCounts",
    "MonitorStatus",
    "find_monitor",
]

GROUP = "tacs.monitors"


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorCapabilities:
    """What a monitor measures, and how often.

    Parameters
    ----------
    name : str
        Entry-point name.
    verified : bool
        Whether somebody ran this driver on the instrument.
    frame_s : float
        Time between current frames.
    contact_s : float
        Time between impedance frames.
    status_s : float
        Time between status frames.
    """

    name: str
    verified: bool
    frame_s: float
    contact_s: float
    status_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class CurrentFrame:
    """Current of every electrode over one frame.

    Parameters
    ----------
    seq : int
        Number of the frame in its stream, of any kind of frame.
    device_s : float
        The instrument's own time at the end of the frame.
    received_s : float
        Clock time at which the host read it.
    mean_ma, peak_ma, rms_ma : mapping of str to float
        Signed mean, positive out of the contact; largest magnitude; root mean square.
    """

    seq: int
    device_s: float
    received_s: float
    mean_ma: Mapping[str, float]
    peak_ma: Mapping[str, float]
    rms_ma: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ContactFrame:
    """Impedance of every contact, kΩ; infinite where it is open."""

    received_s: float
    impedance_kohm: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class MonitorStatus:
    """What the instrument says of itself.

    Parameters
    ----------
    received_s : float
        Clock time at which the host read it.
    battery : float
        Charge, 0 to 1.
    boot_count : int
        How often it was switched on; another number than at the start means that it restarted.
    flags : tuple of str
        Conditions that it reports, by name.
    """

    received_s: float
    battery: float
    boot_count: int
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MonitorCounts:
    """What became of the frames since the port was opened; the numbers only grow.

    Parameters
    ----------
    accepted : int
        Frames of the present stream, taken.
    corrupted : int
        Frames whose check failed, and runs of bytes that were no frame.
    lost : int
        Numbers that the stream left out.
    duplicated : int
        Frames that had been accepted before; dropped.
    reordered : int
        Frames older than the newest; dropped, and therefore also among the lost.
    foreign : int
        Frames of another session; dropped.
    """

    accepted: int = 0
    corrupted: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    foreign: int = 0


Message = CurrentFrame | ContactFrame | MonitorStatus


class Monitor(ABC):
    """One instrument behind one wire protocol."""

    capabilities: ClassVar[MonitorCapabilities]

    @classmethod
    @abstractmethod
    def open(cls, address: str, inputs: Mapping[int, str], clock: Clock) -> Monitor:
        """Open the port of an instrument or of an emulator process; nothing is sent yet.

        Parameters
        ----------
        address : str
            Where it is.
        inputs : mapping of int to str
            Electrode at each input, counted from 1.
        clock : Clock
            Real time.

        Raises
        ------
        DeviceNotFound, DeviceBusy
            The port is not there, or somebody else holds it.
        InputError
            No inputs, or some that cannot be.
        """

    @classmethod
    @abstractmethod
    def over(cls, transport: Any, inputs: Mapping[int, str]) -> Monitor:
        """Listen through a transport that is already there, such as an emulator in memory."""

    @abstractmethod
    def connect(self) -> Identity:
        """Shake hands, refuse what is not this instrument, and end a stream left running.

        Raises
        ------
        DeviceNotFound
            Something else answers, or nothing.
        InputError
            The instrument does not have an input that the rig names.
        LinkLost, ProtocolViolation
            The link failed, or the answer breaks the protocol.
        """

    @abstractmethod
    def start(self, nonce: int) -> None:
        """Begin a stream whose every frame carries ``nonce``, a random number of this session.

        Raises
        ------
        InputError
            Not a number of 1 to 64 bits.
        LinkLost
            The instrument does not answer.
        """

    @abstractmethod
    def poll(self, now_s: float) -> list[Message]:
        """Return what has arrived, in order; never waits.

        Parameters
        ----------
        now_s : float
            Clock time, the ``received_s`` of what is returned.

        Raises
        ------
        LinkLost
            The port is gone.
        """

    @property
    @abstractmethod
    def counts(self) -> MonitorCounts:
        """What became of the frames."""

    @abstractmethod
    def stop(self) -> None:
        """End the stream.

        Raises
        ------
        LinkLost
            The instrument does not answer.
        """

    @abstractmethod
    def close(self) -> None:
        """End the stream if the link still works, and release the port. Never raises."""


def find_monitor(name: str) -> type[Monitor]:
    """Return a monitor class by its entry-point name.

    Raises
    ------
    DeviceNotFound
        No such monitor; the message lists those there are.
    InputError
        What is installed under the name is none.
    """
    points = installed(GROUP)
    if name not in points:
        raise DeviceNotFound(
            f"no current monitor named {name!r}; installed: {', '.join(sorted(points)) or 'none'}"
        )
    monitor = points[name].load()
    if not (isinstance(monitor, type) and issubclass(monitor, Monitor)):
        raise InputError(
            f"monitor {name!r} of {points[name].value} does not follow tacs.monitor.Monitor"
        )
    return monitor
