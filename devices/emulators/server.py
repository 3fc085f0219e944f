"""Emulators as processes of their own: on a pseudo-terminal or a TCP port, in real time.

Such a process outlives whoever started it, as a device does: it leads its own session and takes no
notice of Ctrl-C and of a closed terminal. It ends by itself when its client is gone and the output
has been silent for a second: without a client it plays on for as long as the device would, and only
what would never end by itself is cut off.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from devices.emulators.oscilloscope import read_sidecar
from tacs.clock import Clock, MonotonicClock
from tacs.driver import TraceInfo
from tacs.errors import InputError, RecordError, TacsError

__all__ = ["EmulatorProcess", "PtyPort", "TcpPort", "main_of", "serve", "start_process"]

TICK_S = 0.02
SILENT_S = 1.0  # silence after which an emulator without a client ends
TAIL_S = 0.4  # of silence at the end of a trace, so that it shows that the current has ended
TERM_S = 3.0  # what is left of a lease and its ramp when asked to end
FIRST_CLIENT_S = 60.0
ENDLESS_S = 60.0  # an output that would play on for ever without a client is cut off here
STARTED_S = 30.0


class Link(Protocol):
    """The device's end of one link."""

    @property
    def linked(self) -> bool:
        """Whether the port is there."""

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes from the host."""

    def take(self, now_s: float) -> bytes:
        """Give the bytes for the host that are due."""

    def next_due_s(self) -> float | None:
        """Return when the next byte for the host is due."""


class Bench(Link, Protocol):
    """An emulated device on its bench."""

    @property
    def monitor(self) -> Link | None:
        """The current monitor beside it, on a link of its own."""

    @property
    def silent(self) -> bool:
        """Whether no output plays."""

    def silent_at_s(self) -> float:
        """Return when the outputs come to rest if no command comes; infinite if they do not."""

    def advance(self, now_s: float) -> None:
        """Let time pass, for the monitor as well."""

    def click(self, now_s: float) -> None:
        """Press the device's own button."""

    def finish(self, now_s: float) -> TraceInfo | None:
        """Close the oscilloscope."""


B = TypeVar("B", bound=Bench)


class Port(ABC):
    """The device's side of a link."""

    address: str
    connected = False

    @property
    @abstractmethod
    def watched(self) -> list[int]:
        """Descriptors that become readable when something comes."""

    @abstractmethod
    def read(self) -> bytes:
        """Return what has come, without waiting; notes clients coming and going."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send; what no client takes is lost, as on a real device."""

    @abstractmethod
    def close(self) -> None:
        """Take the port away."""


class PtyPort(Port):
    """A pseudo-terminal; its address is that of the client's side."""

    def __init__(self) -> None:
        import tty

        self._fd, client_fd = os.openpty()
        tty.setraw(client_fd)
        self.address = os.ttyname(client_fd)
        os.close(client_fd)  # while no client has it open, the terminal reports a hang-up
        os.set_blocking(self._fd, False)

    @property
    def watched(self) -> list[int]:
        """Its own; without a client it would always be readable."""
        return [self._fd] if self.connected else []

    def read(self) -> bytes:
        """Return what has come."""
        ready, _, _ = select.select([self._fd], [], [], 0.0)
        if not ready:
            self.connected = True  # neither data nor a hang-up: somebody has it open
            return b""
        try:
            data = os.read(self._fd, 65_536)
        except BlockingIOError:
            return b""
        except OSError:
            self.connected = False
            return b""
        self.connected = bool(data)
        return data

    def write(self, data: bytes) -> None:
        """Send; what no client takes is lost."""
        with contextlib.suppress(OSError):
            os.write(self._fd, data)

    def close(self) -> None:
        """Hang up."""
        self.connected = False
        os.close(self._fd)


class TcpPort(Port):
    """A TCP port on this computer, for one client at a time; a second one is turned away."""

    def __init__(self, port: int) -> None:
        try:
            self._server = socket.create_server(("127.0.0.1", port))
        except OSError as exc:
            raise InputError(f"TCP port {port}: cannot be used ({exc.strerror})") from exc
        self.address = f"socket://127.0.0.1:{self._server.getsockname()[1]}"
        self._client: socket.socket | None = None

    @property
    def watched(self) -> list[int]:
        """That of the server, and that of its client."""
        found = [self._server] if self._client is None else [self._server, self._client]
        return [each.fileno() for each in found]

    def read(self) -> bytes:
        """Return what has come."""
        watched = [self._server] if self._client is None else [self._server, self._client]
        ready, _, _ = select.select(watched, [], [], 0.0)
        data = b""
        if self._client is not None and self._client in ready:
            with contextlib.suppress(OSError):
                data = self._client.recv(65_536)
            if not data:
                self._drop()
        if self._server in ready:
            newcomer, _ = self._server.accept()
            if self._client is None:
                newcomer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                newcomer.setblocking(False)  # a client that does not read must not hold the device
                self._client, self.connected = newcomer, True
            else:
                newcomer.close()
        return data

    def write(self, data: bytes) -> None:
        """Send; what no client takes is lost."""
        if self._client is not None:
            with contextlib.suppress(OSError):
                self._client.sendall(data)

    def close(self) -> None:
        """Take the port away."""
        self._drop()
        self._server.close()

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client, self.connected = None, False


class _Signals:
    """What was asked of the process from outside."""

    def __init__(self) -> None:
        self.end = False
        self.clicks = 0

    def install(self) -> None:
        """SIGTERM ends, SIGUSR1 clicks the device's button; Ctrl-C and hang-ups are ignored."""
        signal.signal(signal.SIGTERM, self._on_end)
        signal.signal(signal.SIGUSR1, self._on_click)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)

    def _on_end(self, *_: object) -> None:
        self.end = True

    def _on_click(self, *_: object) -> None:
        self.clicks += 1


class _Served:
    """One link on one port, for as long as the device is on the bus."""

    def __init__(self, link: Link, port: Port) -> None:
        self.link = link
        self.port = port
        self.open = True

    @property
    def connected(self) -> bool:
        """Whether a client is there."""
        return self.open and self.port.connected

    @property
    def watched(self) -> list[int]:
        """Descriptors to wait for."""
        return self.port.watched if self.open else []

    def write(self, now_s: float) -> None:
        """Send what is due, and take the port away where the device is gone."""
        if self.open and not self.link.linked:
            self.close()
        if (out := self.link.take(now_s)) and self.open:
            self.port.write(out)

    def read(self, clock: Clock) -> None:
        """Hand on what has come."""
        if self.open and (data := self.port.read()):
            self.link.receive(data, clock.now_s())

    def close(self) -> None:
        """Take the port away. Safe to repeat."""
        if self.open:
            self.port.close()
            self.open = False


def serve(
    bench: Bench,
    port: Port,
    signals: _Signals,
    first_client_s: float,
    monitor_port: Port | None = None,
    streams: Sequence[tuple[Link, Port]] = (),
    clock: Clock | None = None,
) -> TraceInfo | None:
    """Run a bench on a port until it may end.

    Parameters
    ----------
    bench : Bench
        The emulated device.
    port : Port
        Where its client comes; whether the process may end depends on this one alone.
    signals : _Signals
        Requests from outside.
    first_client_s : float
        Longest wait for a first client.
    monitor_port : Port, optional
        Where the client of the bench's monitor comes.
    streams : sequence of (Link, Port)
        What the device sends besides, and where the clients of that come.
    clock : Clock, optional
        Real time where left out.

    Returns
    -------
    TraceInfo or None
        What the oscilloscope wrote.
    """
    clock = MonotonicClock() if clock is None else clock
    device = _Served(bench, port)
    served = [device]
    if bench.monitor is not None and monitor_port is not None:
        served.append(_Served(bench.monitor, monitor_port))
    served += [_Served(link, stream_port) for link, stream_port in streams]
    started_s = busy_s = clock.now_s()
    gone_s = ended_s = None
    seen_client = False
    while True:
        now_s = clock.now_s()
        bench.advance(now_s)
        if not bench.silent:
            busy_s = now_s
        while signals.clicks:
            signals.clicks -= 1
            bench.click(now_s)
        for each in served:
            each.write(now_s)
        seen_client = seen_client or device.connected
        if device.connected:
            gone_s = None
        elif gone_s is None:
            gone_s = now_s
        if signals.end and ended_s is None:
            ended_s = now_s
        quiet_s = now_s - busy_s if bench.silent else 0.0
        if ended_s is not None and (quiet_s >= TAIL_S or now_s - ended_s > TERM_S):
            break
        if not seen_client:
            if now_s - started_s > first_client_s:
                break
        elif gone_s is not None and (
            now_s - max(gone_s, busy_s) > SILENT_S
            if bench.silent
            else now_s > _given_up_s(bench, gone_s)
        ):
            break
        _wait(served, clock, now_s)
        for each in served:
            each.read(clock)
    for each in served:
        each.close()
    return bench.finish(clock.now_s())


def _given_up_s(bench: Bench, gone_s: float) -> float:
    """Until when an output without a client may play on: to the end of what the device holds."""
    ends_s = bench.silent_at_s()
    return max(gone_s + ENDLESS_S, ends_s + SILENT_S if math.isfinite(ends_s) else -math.inf)


def _wait(served: Sequence[_Served], clock: Clock, now_s: float) -> None:
    """Wait until something comes or is due, for at most one tick."""
    due_s = [d for each in served if each.open and (d := each.link.next_due_s()) is not None]
    wait_s = min(max(min(due_s, default=now_s + TICK_S) - now_s, 0.0), TICK_S)
    if watched := [descriptor for each in served for descriptor in each.watched]:
        select.select(watched, [], [], wait_s)
    else:
        clock.wait(now_s + TICK_S)  # terminals without clients do not wait by themselves


def main_of(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    build: Callable[[str, list[str], Path | None, list[str], float], B],
    *,
    streams: Callable[[B, argparse.Namespace, float], Mapping[str, Link]] | None = None,
) -> int:
    """Command line of an emulator process; prints one JSON line with its addresses.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Named and described by the emulator.
    arguments : sequence of str or None
        Those of the process where None.
    build : callable
        Rig, contacts, trace, faults and clock time to a bench.
    streams : callable, optional
        Bench, options and clock time to what it sends besides, by name; each on a TCP port.

    Returns
    -------
    int
        Exit code.
    """
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--pty", action="store_true", help="on a pseudo-terminal")
    where.add_argument("--tcp", type=int, metavar="PORT", help="on a TCP port; 0 takes a free one")
    parser.add_argument("--rig", required=True, help="rig file, or name of a shipped rig")
    parser.add_argument("--contacts", required=True, help="attached electrodes: Oz=5,Cz=5 (kΩ)")
    parser.add_argument("--trace", type=Path, metavar="FILE.tsv.gz", help="oscilloscope file")
    parser.add_argument(
        "--fault", action="append", default=[], metavar="NAME[@SECONDS][=VALUE]", help="repeatable"
    )
    parser.add_argument(
        "--first-client-s",
        type=float,
        default=600.0,
        metavar="S",
        help="ends when nobody connects for so long",
    )
    options = parser.parse_args(arguments)
    with contextlib.suppress(OSError):
        os.setsid()  # refused to a process that already leads a group; the signals are ignored too
    signals = _Signals()
    signals.install()
    try:
        port: Port = PtyPort() if options.pty else TcpPort(options.tcp)
        contacts = options.contacts.split(",")
        now_s = MonotonicClock().now_s()
        bench = build(options.rig, contacts, options.trace, options.fault, now_s)
        monitor_port: Port | None = None
        if bench.monitor is not None:
            monitor_port = PtyPort() if options.pty else TcpPort(0)
        monitor = None if monitor_port is None else monitor_port.address
        links = {} if streams is None else streams(bench, options, now_s)
        ports = {name: TcpPort(0) for name in links}
        said: dict[str, object] = {"address": port.address, "monitor": monitor, "pid": os.getpid()}
        if ports:
            said["streams"] = {name: stream.address for name, stream in ports.items()}
        _say(said)
        pairs = [(link, ports[name]) for name, link in links.items()]
        serve(bench, port, signals, options.first_client_s, monitor_port, pairs)
    except TacsError as exc:
        _say({"error": str(exc)})
        return exc.exit_code
    return 0


def _say(data: dict[str, object]) -> None:
    """One JSON line; whoever started the process may have stopped listening."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(json.dumps(data) + "\n")
        sys.stdout.flush()


class EmulatorProcess:
    """An emulator that runs by itself.

    Parameters
    ----------
    process : subprocess.Popen
        It.
    address : str
        Where a driver opens it.
    trace : Path or None
        What its oscilloscope writes.
    monitor_address : str or None
        Where its current monitor is opened.
    streams : mapping of str to str, optional
        Where what it sends besides is opened, by name.
    """

    transport = None
    monitor_transport = None

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        address: str,
        trace: Path | None,
        monitor_address: str | None = None,
        streams: Mapping[str, str] | None = None,
    ) -> None:
        self.address = address
        self.monitor_address = monitor_address
        self.streams = dict(streams or {})
        self._process = process
        self._trace = trace

    @property
    def pid(self) -> int:
        """Process number."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def click(self) -> None:
        """Press the device's own button."""
        self._process.send_signal(signal.SIGUSR1)

    def finish(self, timeout_s: float = 10.0) -> TraceInfo | None:
        """Have it end when its output is silent, and return what its oscilloscope wrote.

        Raises
        ------
        RecordError
            It had to be killed, or left no description of its trace.
        """
        if self.running:
            self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as exc:
            self._process.kill()
            self._process.wait()
            raise RecordError(
                f"the emulator (process {self.pid}) did not end within {timeout_s:g} s and was "
                f"killed; its trace ends at the last whole block"
            ) from exc
        return None if self._trace is None else read_sidecar(self._trace)


def start_process(
    module: str,
    rig: Path,
    contacts: Sequence[str],
    trace: Path | None,
    faults: Sequence[str],
    *,
    tcp: bool = False,
    options: Sequence[str] = (),
) -> EmulatorProcess:
    """Start an emulator module on a pseudo-terminal or TCP port, in a session of its own.

    Raises
    ------
    InputError
        It did not start; its own reason.
    """
    command = [sys.executable, "-P", "-m", module, "--rig", str(rig)]
    command += ["--tcp", "0"] if tcp else ["--pty"]
    command += ["--contacts", ",".join(contacts), "--first-client-s", str(FIRST_CLIENT_S)]
    command += [] if trace is None else ["--trace", str(trace)]
    command += [*(f"--fault={fault}" for fault in faults), *options]
    # Nothing of the starter is held open: whoever waits for its output must not wait for this.
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    answer = {}
    if process.stdout is not None:
        with process.stdout as stdout:
            if select.select([stdout], [], [], STARTED_S)[0]:
                with contextlib.suppress(ValueError):
                    answer = json.loads(stdout.readline())
    if "address" not in answer:
        process.kill()
        process.wait()
        raise InputError(
            answer.get("error", f"the emulator {module} did not start within {STARTED_S:g} s")
        )
    return EmulatorProcess(
        process, answer["address"], trace, answer.get("monitor"), answer.get("streams")
    )
