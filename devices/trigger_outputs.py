"""Trigger outputs: a byte or the RTS line of a serial port, an LSL marker, and one that is made up.

A byte on a serial line takes ``10 / baud`` seconds to be complete (87 µs at 115200), and a USB
adapter adds what its latency timer is set to on the way in, not on the way out. RTS changes at once
but for the USB frame, up to 1 ms.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tacs.clock import Clock
from tacs.errors import DeviceNotFound, InputError, LinkLost

__all__ = [
    "EMULATED",
    "LSL",
    "SERIAL",
    "EmulatedTrigger",
    "LslTrigger",
    "NamedTrigger",
    "SerialTrigger",
]

BAUD: Final = 115_200
WIDTH_S: Final = 0.005
SHORTEST_S, LONGEST_S = 0.0005, 1.0


class Port(Protocol):
    """What is used of a serial port."""

    rts: bool

    def write(self, data: bytes, /) -> Any:
        """Write bytes."""

    def close(self) -> None:
        """Close it."""


def _serial_port(path: str, baud: int) -> Port:
    import serial

    try:
        # No wait for a line that takes no byte: a trigger that is late is worse than none.
        port = serial.Serial(None, baud, timeout=0.0, write_timeout=0.05)
        # Opening raises RTS unless told otherwise; the system's own edge before that stays.
        port.rts = False
        port.port = path
        port.open()
    except (OSError, ValueError) as exc:
        raise DeviceNotFound(f"trigger output {path}: cannot be opened ({exc})") from exc
    return port


class SerialTrigger:
    """A pulse on a serial port.

    Parameters
    ----------
    path : str
        Port.
    byte : int or None
        Byte that is written for a trigger; 0 is written at the pulse's end. None: the RTS line
        goes up and down.
    width_s : float
        Length of the pulse.
    baud : int
        Of the byte.
    port : callable, optional
        Opens the port.
    """

    def __init__(
        self,
        path: str,
        *,
        byte: int | None = None,
        width_s: float = WIDTH_S,
        baud: int = BAUD,
        port: Callable[[str, int], Port] = _serial_port,
    ) -> None:
        if byte is not None and not 1 <= byte <= 255:
            raise InputError(f"trigger output {path}: byte {byte}: write 1 to 255")
        self.about = f"serial {path}, {'RTS' if byte is None else f'byte {byte}'}"
        self.width_s = _checked_width(path, width_s)
        self._path, self._byte, self._baud = path, byte, baud
        self._opener = port
        self._port: Port | None = None

    def open(self) -> None:
        """Make it ready, and leave it at rest."""
        self._port = self._opener(self._path, self._baud)
        try:
            self.release()
        except LinkLost:
            self.close()
            raise

    def fire(self, at_s: float) -> None:
        """Begin a pulse."""
        self._set(high=True)

    def release(self) -> None:
        """End it."""
        self._set(high=False)

    def close(self) -> None:
        """Leave it at rest."""
        if self._port is not None:
            with contextlib.suppress(LinkLost):
                self.release()
            with contextlib.suppress(OSError):
                self._port.close()
            self._port = None

    def _set(self, *, high: bool) -> None:
        if self._port is None:
            raise LinkLost(f"trigger output {self._path}: is not open")
        try:
            if self._byte is None:
                self._port.rts = high
            else:
                self._port.write(bytes([self._byte if high else 0]))
        except OSError as exc:  # of pyserial too
            raise LinkLost(f"trigger output {self._path}: {exc}") from exc


class LslTrigger:
    """A marker on the network (Lab Streaming Layer), stamped with the time that was asked for.

    A marker is as good as whoever reads it: it comes over the network when it comes, and its stamp
    says when it was meant.

    Parameters
    ----------
    name : str
        Of the stream.
    marker : str
        Text.
    clock : Clock
        Of the session.
    """

    width_s = 0.0

    def __init__(self, name: str, clock: Clock, *, marker: str = "trigger") -> None:
        if not name:
            raise InputError("lsl: name the stream of markers (lsl:NAME)")
        self.about = f"LSL marker {name!r}"
        self._name, self._marker, self._clock = name, marker, clock
        self._outlet: Any = None
        self._lsl: Any = None

    def open(self) -> None:
        """Open the outlet."""
        try:
            import mne_lsl.lsl as lsl
        except ImportError as exc:
            raise InputError(
                "markers over the Lab Streaming Layer need MNE-LSL; install it with "
                "pip install 'tacs-suite[live]'"
            ) from exc
        info = lsl.StreamInfo(self._name, "Markers", 1, 0.0, "string", f"tacs-{self._name}")
        self._lsl, self._outlet = lsl, lsl.StreamOutlet(info)

    def fire(self, at_s: float) -> None:
        """Send a marker."""
        if self._outlet is None:
            raise LinkLost(f"{self.about}: is not open")
        meant_s = float(self._lsl.local_clock()) + at_s - self._clock.now_s()
        self._outlet.push_sample([self._marker], timestamp=meant_s)

    def release(self) -> None:
        """A marker has no end."""

    def close(self) -> None:
        """Let go of the outlet."""
        self._outlet = None


class EmulatedTrigger:
    """An output that leads nowhere and remembers when it was used; for rehearsals.

    Parameters
    ----------
    clock : Clock
        Of the session.
    width_s : float
        Length of the pulse.
    """

    about = "emulated trigger output"

    def __init__(self, clock: Clock, *, width_s: float = WIDTH_S) -> None:
        self.width_s = _checked_width("emulated", width_s)
        self._clock = clock
        self.edges: list[tuple[float, bool]] = []

    def open(self) -> None:
        """Leave it at rest."""
        self.release()

    def fire(self, at_s: float) -> None:
        """Begin a pulse."""
        self.edges.append((self._clock.now_s(), True))

    def release(self) -> None:
        """End it."""
        self.edges.append((self._clock.now_s(), False))

    def close(self) -> None:
        """Leave it at rest."""
        if self.edges and self.edges[-1][1]:
            self.release()


def _checked_width(where: str, width_s: float) -> float:
    if not SHORTEST_S <= width_s <= LONGEST_S:
        raise InputError(
            f"trigger output {where}: a pulse of {1e3 * width_s:g} ms; write {1e3 * SHORTEST_S:g} "
            f"to {1e3 * LONGEST_S:g} ms"
        )
    return width_s


@dataclass(frozen=True)
class NamedTrigger:
    """A kind of output, for :class:`tacs.triggers.TriggerKind`.

    Parameters
    ----------
    form, about : str
        How it is written, and what it is.
    virtual : bool
        Whether it works on a virtual clock.
    known : tuple of str
        Options.
    build : callable
        Makes an output from address, options and clock.
    """

    form: str
    about: str
    virtual: bool
    known: tuple[str, ...]
    build: Callable[[str, Mapping[str, str], Clock], Any]

    def make(self, address: str, options: Mapping[str, str], clock: Clock) -> Any:
        """Return the output, not yet open.

        Raises
        ------
        InputError
            An option that it has not, or a value that cannot be used.
        """
        for key in options:
            if key not in self.known:
                raise InputError(f"{self.form}: no option {key!r}; there are {self.known}")
        try:
            return self.build(address, options, clock)
        except ValueError as exc:
            raise InputError(f"{self.form}: {exc}") from exc


def _serial(address: str, options: Mapping[str, str], clock: Clock) -> SerialTrigger:
    byte = options.get("byte")
    return SerialTrigger(
        address,
        byte=None if byte is None else int(byte),
        width_s=1e-3 * float(options.get("width_ms", 1e3 * WIDTH_S)),
        baud=int(options.get("baud", BAUD)),
    )


def _lsl(address: str, options: Mapping[str, str], clock: Clock) -> LslTrigger:
    return LslTrigger(address, clock, marker=options.get("marker", "trigger"))


def _emulated(address: str, options: Mapping[str, str], clock: Clock) -> EmulatedTrigger:
    return EmulatedTrigger(clock, width_s=1e-3 * float(options.get("width_ms", 1e3 * WIDTH_S)))


SERIAL = NamedTrigger(
    "serial:PORT[?byte=1]",
    "RTS, or a byte, of a serial port",
    False,
    ("byte", "width_ms", "baud"),
    _serial,
)
LSL = NamedTrigger("lsl:NAME", "a marker on the network", False, ("marker",), _lsl)
EMULATED = NamedTrigger("emulated:", "an output that leads nowhere", True, ("width_ms",), _emulated)
