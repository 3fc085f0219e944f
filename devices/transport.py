"""How bytes reach a device: serial port, TCP, or an emulator in this process.

One interface, three carriers, and the only place where errors of pyserial and of the operating
system become errors of the suite. A transport knows nothing of any protocol.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import socket
from abc import ABC, abstractmethod
from typing import Protocol
from urllib.parse import urlsplit

import serial
from serial.tools import list_ports

from devices.claims import Claim, keys_of_tcp
from tacs.clock import Clock, MonotonicClock
from tacs.errors import DeviceBusy, DeviceNotFound, InputError, LinkLost, TacsError

__all__ = [
    "MemoryTransport",
    "Peer",
    "SerialTransport",
    "TcpTransport",
    "Transport",
    "open_transport",
]

BAUD = 12_000_000  # USB devices ignore it; the vendor's clients use this number
READ_SLICE_S = 0.02  # longest uninterrupted wait inside pyserial
WRITE_TIMEOUT_S = 0.5
CONNECT_TIMEOUT_S = 3.0

_BUSY = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EBUSY}
_NO_MODEM_LINES = {errno.ENOTTY, errno.EINVAL}  # a pseudo-terminal has none


def _port_errors() -> tuple[type[Exception], ...]:
    """What pyserial raises on a port that went away: tcflush has an error class of its own."""
    errors: tuple[type[Exception], ...] = (OSError, TypeError)
    if os.name == "posix":
        import termios

        errors += (termios.error,)
    return errors


_PORT_ERRORS = _port_errors()


class Transport(ABC):
    """A stream of bytes to one device.

    After the link broke once, every call but :meth:`close` raises LinkLost.
    """

    address: str

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send all of ``data`` in one write.

        Raises
        ------
        LinkLost
            The port is gone or takes no data.
        """

    @abstractmethod
    def read(self, n: int, timeout_s: float) -> bytes:
        """Return exactly ``n`` bytes, or fewer when ``timeout_s`` has passed; 0 does not wait.

        Raises
        ------
        LinkLost
            The port is gone.
        """

    @abstractmethod
    def discard_input(self) -> None:
        """Throw away what has arrived and was not read."""

    def reconnect(self) -> None:
        """Open a link that broke once more, without letting another program have the device.

        Raises
        ------
        LinkLost
            This kind of link cannot.
        DeviceNotFound
            Nobody is there yet.
        """
        raise LinkLost(f"{self.address}: this link cannot be opened again")

    @abstractmethod
    def close(self) -> None:
        """Release the port. Safe to repeat, and never raises."""


class SerialTransport(Transport):
    """A serial port that no other program can open meanwhile.

    Parameters
    ----------
    address : str
        ``/dev/ttyACM0``, ``COM3``, …; a pseudo-terminal will do.
    clock : Clock
        Measures timeouts; real time.

    Raises
    ------
    DeviceNotFound
        No such port, no permission, or not a serial port.
    DeviceBusy
        Another program holds it.

    Notes
    -----
    pyserial's ``exclusive`` is a lock that only programs which ask for it respect; on POSIX the
    kernel's TIOCEXCL is set as well, which refuses every other open except the superuser's.
    """

    def __init__(self, address: str, clock: Clock) -> None:
        self.address = address
        self._clock = clock
        try:
            self._port = serial.Serial(
                port=address,
                baudrate=BAUD,
                rtscts=True,
                exclusive=True,
                timeout=READ_SLICE_S,
                write_timeout=WRITE_TIMEOUT_S,
            )
        except (OSError, ValueError) as exc:
            raise _open_error(address, exc) from exc
        try:
            self._claim(True)
        except OSError as exc:
            self._port.close()
            raise _open_error(address, exc) from exc

    def write(self, data: bytes) -> None:
        """Send all of ``data`` in one write."""
        try:
            self._port.write(data)
        except _PORT_ERRORS as exc:
            raise _lost(self.address, exc) from exc

    def read(self, n: int, timeout_s: float) -> bytes:
        """Return exactly ``n`` bytes, or fewer when ``timeout_s`` has passed."""
        deadline_s = self._clock.now_s() + timeout_s
        data = b""
        try:
            while True:
                if waiting := min(self._port.in_waiting, n - len(data)):
                    data += self._port.read(waiting)
                if len(data) >= n or self._clock.now_s() >= deadline_s:
                    return data
                data += self._port.read(1)  # waits for at most one slice
        except _PORT_ERRORS as exc:
            raise _lost(self.address, exc) from exc

    def discard_input(self) -> None:
        """Throw away what has arrived and was not read."""
        try:
            self._port.reset_input_buffer()
        except _PORT_ERRORS as exc:
            raise _lost(self.address, exc) from exc

    def close(self) -> None:
        """Release the port."""
        if not self._port.is_open:
            return
        with contextlib.suppress(OSError):
            self._claim(False)
        with contextlib.suppress(OSError):
            self._port.close()

    def _claim(self, exclusive: bool) -> None:
        """Set or clear the kernel's exclusive mode."""
        if os.name != "posix":
            return
        import fcntl
        import termios

        try:
            fcntl.ioctl(self._port.fileno(), termios.TIOCEXCL if exclusive else termios.TIOCNXCL)
        except OSError as exc:
            if exc.errno not in _NO_MODEM_LINES:
                raise


class TcpTransport(Transport):
    """A TCP port, of an instrument or of a serial server, written ``socket://HOST:PORT``.

    Parameters
    ----------
    address : str
        With host and port.
    clock : Clock
        Measures timeouts; real time.
    exclusive : bool
        Whether no other program of the suite on this computer may open it meanwhile; see
        :mod:`devices.claims`. What is only listened to may be shared.

    Raises
    ------
    InputError
        The address has no host or port.
    DeviceNotFound
        Nobody listens there.
    DeviceBusy
        Another program holds it.
    """

    def __init__(self, address: str, clock: Clock, *, exclusive: bool = True) -> None:
        self.address = address
        self._clock = clock
        try:
            parts = urlsplit(address)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if not host or not port:
            raise InputError(f"{address}: write it as socket://HOST:PORT")
        self._where = (host, port)
        # Before the connection: a second one may throw the first out.
        self._claim = Claim(address, keys_of_tcp(host, port) if exclusive else [])
        try:
            self._socket = self._connected()
        except DeviceNotFound:
            self._claim.release()
            raise

    def write(self, data: bytes) -> None:
        """Send all of ``data``."""
        try:
            self._socket.settimeout(WRITE_TIMEOUT_S)
            self._socket.sendall(data)
        except OSError as exc:
            raise _lost(self.address, exc) from exc

    def read(self, n: int, timeout_s: float) -> bytes:
        """Return exactly ``n`` bytes, or fewer when ``timeout_s`` has passed."""
        deadline_s = self._clock.now_s() + timeout_s
        data = b""
        while len(data) < n:
            remaining_s = deadline_s - self._clock.now_s()
            chunk = self._receive(n - len(data), max(remaining_s, 0.0))
            if chunk is None:
                if remaining_s <= 0.0:
                    break
                continue
            data += chunk
        return data

    def discard_input(self) -> None:
        """Throw away what has arrived and was not read."""
        while self._receive(4096, 0.0) is not None:
            pass

    def reconnect(self) -> None:
        """Connect once more."""
        self._socket.close()
        self._socket = self._connected()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()
        self._claim.release()

    def _connected(self) -> socket.socket:
        try:
            found = socket.create_connection(self._where, timeout=CONNECT_TIMEOUT_S)
        except OSError as exc:
            raise DeviceNotFound(
                f"{self.address}: no connection ({exc.strerror or exc}); is the device on, and "
                f"its server running?"
            ) from exc
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found

    def _receive(self, n: int, timeout_s: float) -> bytes | None:
        """One receive; None where nothing came in time."""
        try:
            self._socket.settimeout(timeout_s)
            chunk = self._socket.recv(n)
        except (TimeoutError, BlockingIOError):
            return None
        except OSError as exc:
            raise _lost(self.address, exc) from exc
        if not chunk:
            raise LinkLost(f"{self.address}: the other side closed the connection")
        return chunk


class Peer(Protocol):
    """A device in this process: it is told the time and never asks for it."""

    linked: bool

    def advance(self, now_s: float) -> None:
        """Do everything that is due by ``now_s``."""

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes from the host."""

    def take(self, now_s: float) -> bytes:
        """Give the bytes for the host that are due by ``now_s``."""

    def next_due_s(self) -> float | None:
        """Return when the next byte for the host is due; None where there is none."""


class MemoryTransport(Transport):
    """A link to an emulator in this process, under the clock of the session.

    On a virtual clock a read that waits moves time on to when the reply is due, or to its own
    deadline.

    Parameters
    ----------
    peer : Peer
        The emulator.
    clock : Clock
        Of the session, virtual or real.
    """

    def __init__(self, peer: Peer, clock: Clock) -> None:
        self.address = "memory"
        self._peer = peer
        self._clock = clock
        self._received = b""
        self._closed = False

    def write(self, data: bytes) -> None:
        """Hand ``data`` to the emulator."""
        self._check()
        self._peer.receive(data, self._clock.now_s())

    def read(self, n: int, timeout_s: float) -> bytes:
        """Return exactly ``n`` bytes, or fewer when ``timeout_s`` has passed."""
        deadline_s = self._clock.now_s() + timeout_s
        while True:
            self._check()
            now_s = self._clock.now_s()
            self._received += self._peer.take(now_s)
            if len(self._received) >= n or now_s >= deadline_s:
                data, self._received = self._received[:n], self._received[n:]
                return data
            due_s = self._peer.next_due_s()
            self._clock.wait(deadline_s if due_s is None else min(due_s, deadline_s))

    def discard_input(self) -> None:
        """Throw away what has arrived and was not read."""
        self._check()
        self._peer.take(self._clock.now_s())
        self._received = b""

    def close(self) -> None:
        """Let go of the emulator; it plays on as a device does whose host vanished."""
        self._closed = True

    def _check(self) -> None:
        self._peer.advance(self._clock.now_s())
        if self._closed:
            raise LinkLost("memory: the link was closed")
        if not self._peer.linked:
            raise LinkLost("memory: the device is gone from the bus")


def open_transport(
    address: str, clock: Clock | None = None, *, exclusive: bool = True
) -> Transport:
    """Open a link by its address.

    Parameters
    ----------
    address : str
        A serial port (``/dev/ttyACM0``, ``COM3``) or ``socket://HOST:PORT``.
    clock : Clock, optional
        Real time; a virtual clock cannot wait for a device.
    exclusive : bool
        Whether a TCP port is held against other programs; a serial port always is.

    Raises
    ------
    InputError
        The address is of no known form, or the clock is virtual.
    DeviceNotFound, DeviceBusy
        See the transports.
    """
    clock = MonotonicClock() if clock is None else clock
    if clock.virtual:
        raise InputError(
            f"{address}: a virtual clock cannot wait for a real device; use --clock real"
        )
    if address.startswith("socket://"):
        return TcpTransport(address, clock, exclusive=exclusive)
    if address.startswith("/dev/") or re.fullmatch(r"(?i)(\\\\\.\\)?COM\d+", address):
        return SerialTransport(address, clock)
    raise InputError(
        f"{address!r} is not an address; write a serial port such as /dev/ttyACM0 or COM3, "
        f"or socket://HOST:PORT"
    )


def _lost(address: str, exc: Exception) -> LinkLost:
    """Any error on an open port: the link cannot be trusted any more."""
    return LinkLost(f"{address}: the link to the device is gone ({_reason(exc)})")


def _open_error(address: str, exc: Exception) -> TacsError:
    """What a failed open means to a person."""
    number = getattr(exc, "errno", None)
    refused_by_windows = os.name == "nt" and "PermissionError" in str(exc)
    if number in _BUSY or refused_by_windows:
        return DeviceBusy(f"{address}: another program holds this port; close it and try again")
    if number in (errno.EACCES, errno.EPERM):
        return DeviceNotFound(
            f"{address}: no permission to open this port; on Linux add yourself to the group "
            f"that owns it (usually dialout) and log in again"
        )
    if number == errno.ENOENT or "FileNotFoundError" in str(exc):
        ports = ", ".join(sorted(p.device for p in list_ports.comports())) or "none"
        return DeviceNotFound(f"{address}: no such port; serial ports here: {ports}")
    return DeviceNotFound(f"{address}: cannot be opened as a serial port ({_reason(exc)})")


def _reason(exc: Exception) -> str:
    """The shortest true account of a foreign error."""
    number = getattr(exc, "errno", None)
    if isinstance(number, int) and math.isfinite(number):
        return os.strerror(number)
    return str(exc) or type(exc).__name__
