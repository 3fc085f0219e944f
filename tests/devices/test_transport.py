from __future__ import annotations

import os
import socket
import threading
import tty
from collections.abc import Iterator

import pytest

from devices.transport import (
    MemoryTransport,
    SerialTransport,
    TcpTransport,
    Transport,
    open_transport,
)
from tacs.clock import MonotonicClock, VirtualClock
from tacs.errors import DeviceBusy, DeviceNotFound, InputError, LinkLost


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """Device side of a pseudo-terminal and the address of its client side."""
    device, client = os.openpty()
    tty.setraw(client)
    address = os.ttyname(client)
    os.close(client)
    yield device, address
    try:
        os.close(device)
    except OSError:
        pass


def hang_up(device: int) -> None:
    os.close(device)


def test_serial_reads_exactly_or_short(terminal: tuple[int, str]) -> None:
    device, address = terminal
    port = open_transport(address)
    assert isinstance(port, SerialTransport)
    port.write(b"\xd5H")
    assert os.read(device, 10) == b"\xd5H"
    os.write(device, b"S\x01\x00\x00\x00!")
    assert port.read(5, 1.0) == b"S\x01\x00\x00\x00"
    assert port.read(5, 0.05) == b"!"
    assert port.read(5, 0.0) == b""
    os.write(device, b"stale")
    assert port.read(1, 1.0) == b"s"
    port.discard_input()
    assert port.read(4, 0.0) == b""
    port.close()
    port.close()


def test_serial_port_is_not_shared(terminal: tuple[int, str]) -> None:
    _, address = terminal
    port = open_transport(address)
    with pytest.raises(DeviceBusy, match="another program"):
        open_transport(address)
    port.close()
    open_transport(address).close()


def test_serial_link_loss_is_told_and_stays(terminal: tuple[int, str]) -> None:
    device, address = terminal
    port = open_transport(address)
    hang_up(device)
    for attempt in (lambda: port.read(1, 0.2), lambda: port.write(b"\xd5G"), port.discard_input):
        with pytest.raises(LinkLost, match=address) as lost:
            attempt()
        assert lost.value.__cause__ is not None
    port.close()


def test_serial_ports_that_are_none(tmp_path) -> None:
    with pytest.raises(DeviceNotFound, match="no such port"):
        open_transport("/dev/ttyNONE9")
    with pytest.raises(DeviceNotFound, match="cannot be opened as a serial port"):
        open_transport("/dev/null")


@pytest.fixture
def server() -> Iterator[tuple[socket.socket, str]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5.0)
        yield listener, f"socket://127.0.0.1:{listener.getsockname()[1]}"


def test_tcp_reads_exactly_or_short(server: tuple[socket.socket, str]) -> None:
    listener, address = server
    port = open_transport(address)
    assert isinstance(port, TcpTransport)
    with listener.accept()[0] as device:
        port.write(b"\xd5H")
        assert device.recv(10) == b"\xd5H"
        device.sendall(b"S\x01")
        late = threading.Thread(target=device.sendall, args=(b"\x00\x00\x00!",))
        late.start()
        assert port.read(5, 5.0) == b"S\x01\x00\x00\x00"
        late.join()
        assert port.read(5, 0.05) == b"!"
        assert port.read(1, 0.0) == b""
        device.sendall(b"stale")
        assert port.read(1, 5.0) == b"s"
        port.discard_input()
        assert port.read(4, 0.0) == b""
    with pytest.raises(LinkLost, match="closed the connection"):
        port.read(1, 5.0)
    port.close()
    with pytest.raises(LinkLost):
        port.write(b"\xd5H")


def test_tcp_port_is_not_shared(server: tuple[socket.socket, str]) -> None:
    listener, address = server
    port = open_transport(address)
    connected = listener.accept()[0]
    with pytest.raises(DeviceBusy, match=rf"another program .*\(process {os.getpid()}\)") as busy:
        open_transport(address.replace("127.0.0.1", "localhost"))
    assert "\n" not in str(busy.value)
    listener.settimeout(0.0)
    with pytest.raises(BlockingIOError):
        listener.accept()  # the device was not even asked
    open_transport(address, exclusive=False).close()
    port.close()
    port.close()
    open_transport(address).close()
    connected.close()


def test_tcp_link_is_opened_again_and_stays_ours(server: tuple[socket.socket, str]) -> None:
    listener, address = server
    port = open_transport(address)
    listener.accept()[0].close()
    with pytest.raises(LinkLost):
        port.read(1, 5.0)
    with pytest.raises(DeviceBusy):
        open_transport(address)
    port.reconnect()
    with listener.accept()[0] as device:
        port.write(b"x")
        assert device.recv(1) == b"x"
    listener.close()
    with pytest.raises(DeviceNotFound):
        port.reconnect()
    with pytest.raises(LinkLost):
        port.write(b"x")
    port.close()


def test_tcp_nobody_there(server: tuple[socket.socket, str]) -> None:
    listener, address = server
    listener.close()
    for _ in range(2):  # nothing of the first try is left claimed
        with pytest.raises(DeviceNotFound, match="no connection"):
            open_transport(address)
    with pytest.raises(DeviceNotFound, match="no such host"):
        open_transport("socket://no..such.host:1")


@pytest.mark.parametrize(
    "address",
    ["ttyACM0", "", "socket://", "socket://host", "socket://h:99999", "http://h:1", "COM"],
)
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(InputError):
        open_transport(address)


def test_a_virtual_clock_cannot_wait_for_a_device() -> None:
    with pytest.raises(InputError, match="--clock real"):
        open_transport("/dev/ttyACM0", VirtualClock())


class Echo:
    """A peer that sends back what it gets, half a second later."""

    linked = True

    def __init__(self) -> None:
        self.queue: list[tuple[float, bytes]] = []
        self.now_s = 0.0

    def advance(self, now_s: float) -> None:
        assert now_s >= self.now_s
        self.now_s = now_s

    def receive(self, data: bytes, now_s: float) -> None:
        self.queue.append((now_s + 0.5, data))

    def take(self, now_s: float) -> bytes:
        due = b"".join(data for at_s, data in self.queue if at_s <= now_s)
        self.queue = [entry for entry in self.queue if entry[0] > now_s]
        return due

    def next_due_s(self) -> float | None:
        return self.queue[0][0] if self.queue else None


def test_memory_moves_the_clock_to_the_reply_or_to_the_deadline() -> None:
    clock = VirtualClock()
    port: Transport = MemoryTransport(Echo(), clock)
    port.write(b"abc")
    assert port.read(2, 0.0) == b""
    assert clock.now_s() == 0.0
    assert port.read(2, 0.2) == b""
    assert clock.now_s() == pytest.approx(0.2)
    assert port.read(2, 9.0) == b"ab"
    assert clock.now_s() == pytest.approx(0.5)
    assert port.read(2, 1.0) == b"c"
    assert clock.now_s() == pytest.approx(1.5)
    port.write(b"stale")
    clock.wait(3.0)
    port.discard_input()
    assert port.read(5, 0.0) == b""


def test_memory_link_loss() -> None:
    peer = Echo()
    port = MemoryTransport(peer, VirtualClock())
    peer.linked = False
    with pytest.raises(LinkLost, match="gone"):
        port.write(b"x")
    port = MemoryTransport(Echo(), MonotonicClock())
    with pytest.raises(LinkLost, match="cannot be opened again"):
        port.reconnect()
    port.close()
    with pytest.raises(LinkLost, match="closed"):
        port.read(1, 0.0)
