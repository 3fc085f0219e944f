"""The host's side of the reference monitor, against bytes written by hand."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.current_monitor import ReferenceMonitor
from devices.current_monitor_wire import (
    CONTACT,
    CURRENT,
    HELLO,
    IDENTITY,
    START,
    STARTED,
    STATUS,
    STOP,
    STOPPED,
    FrameReader,
    encode,
)
from devices.transport import Transport
from tacs.clock import VirtualClock
from tacs.errors import DeviceNotFound, InputError, LinkLost, ProtocolViolation
from tacs.monitor import (
    ContactFrame,
    CurrentFrame,
    MonitorCounts,
    MonitorStatus,
    find_monitor,
)

NONCE = 0xFEDC_BA98_7654_3210
INPUTS = {3: "Cz", 1: "Oz"}


def identity(**changes: int) -> bytes:
    values = {"n": 4, "frame": 10, "contact": 100, "status": 1000, "boot": 7} | changes
    head = struct.pack("<BHHHII", *values.values(), 25_000_000)
    return head + b"Model X".ljust(24, b"\0") + b"SN-1".ljust(16, b"\0") + b"1.2".ljust(8, b"\0")


class Script(Transport):
    """An instrument that answers by rule, without time."""

    address = "script"

    def __init__(self, **answers: Callable[[int, bytes], bytes] | None) -> None:
        self.answers = {
            HELLO: lambda seq, payload: encode(IDENTITY, seq, identity()),
            START: lambda seq, payload: encode(STARTED, seq, payload),
            STOP: lambda seq, payload: encode(STOPPED, seq),
        }
        names = {"hello": HELLO, "start": START, "stop": STOP}
        self.answers.update({names[name]: answer for name, answer in answers.items()})
        self.incoming = b""
        self.requests: list[tuple[int, int, bytes]] = []
        self.closed = 0
        self.gone = False
        self.reader = FrameReader()

    def write(self, data: bytes) -> None:
        self._check()
        for frame in self.reader.feed(data):
            self.requests.append((frame.kind, frame.seq, frame.payload))
            if (answer := self.answers[frame.kind]) is not None:
                self.incoming += answer(frame.seq, frame.payload)

    def read(self, n: int, timeout_s: float) -> bytes:
        self._check()
        data, self.incoming = self.incoming[:n], self.incoming[n:]
        return data

    def discard_input(self) -> None:
        self._check()
        self.incoming = b""

    def close(self) -> None:
        self.closed += 1

    def _check(self) -> None:
        if self.gone:
            raise LinkLost("script: gone")


def started(script: Script) -> ReferenceMonitor:
    monitor = ReferenceMonitor.over(script, INPUTS)
    monitor.connect()
    monitor.start(NONCE)
    return monitor


def current(
    seq: int, values_na: tuple[int, ...], *, nonce: int = NONCE, device_ms: int = 10
) -> bytes:
    return encode(CURRENT, seq, struct.pack("<Q12i", nonce, *values_na), device_ms)


STEADY = (-500, 900_000, 600_000, 1, 2, 2, 250, 800_000, 500_000, 0, 0, 0)


def status(seq: int, permille: int, flags: int, boot: int, nonce: int = NONCE) -> bytes:
    return encode(STATUS, seq, struct.pack("<QHHI", nonce, permille, flags, boot))


def test_handshake_says_who_is_there_and_ends_an_old_stream() -> None:
    script = Script()
    script.incoming = current(5, STEADY, nonce=1)
    found = ReferenceMonitor.over(script, INPUTS).connect()
    assert (found.model, found.firmware) == ("Model X", "1.2")
    assert found.details == {
        "address": "script",
        "serial_number": "SN-1",
        "n_inputs": 4,
        "range_ma": 25.0,
        "boot_count": 7,
    }
    assert [kind for kind, _, _ in script.requests] == [HELLO, STOP]


def test_a_stream_left_running_does_not_hide_the_answers() -> None:
    backlog = b"".join(current(k, STEADY, nonce=1) for k in range(600))
    script = Script(
        hello=lambda seq, payload: backlog[:30_000] + encode(IDENTITY, seq, identity()) + backlog,
        stop=lambda seq, payload: backlog[:5000] + encode(STOPPED, seq),
    )
    monitor = started(script)
    assert monitor.poll(1.0) == []


def test_frames_become_messages_in_order() -> None:
    script = Script()
    monitor = started(script)
    contacts = encode(CONTACT, 1, struct.pack("<Q4I", NONCE, 5200, 1, 2**32 - 1, 7))
    script.incoming += (
        current(0, STEADY, device_ms=1234) + contacts + status(2, 873, 0b1000_0101, 7)
    )
    assert monitor.poll(8.5) == [
        CurrentFrame(
            seq=0,
            device_s=1.234,
            received_s=8.5,
            mean_ma={"Oz": -0.0005, "Cz": 0.00025},
            peak_ma={"Oz": 0.9, "Cz": 0.8},
            rms_ma={"Oz": 0.6, "Cz": 0.5},
        ),
        ContactFrame(8.5, {"Oz": 5.2, "Cz": math.inf}),
        MonitorStatus(8.5, 0.873, 7, ("low_battery", "self_test_failed", "bit_7")),
    ]
    assert monitor.poll(8.6) == []
    assert monitor.counts == MonitorCounts(accepted=3)


def test_a_frame_may_come_in_pieces() -> None:
    script = Script()
    monitor = started(script)
    frame = current(0, STEADY)
    for place in range(len(frame) - 1):
        script.incoming = frame[place : place + 1]
        assert monitor.poll(float(place)) == []
    script.incoming = frame[-1:]
    (found,) = monitor.poll(99.0)
    assert isinstance(found, CurrentFrame)
    assert found.received_s == 99.0


def test_what_is_not_of_this_stream_is_counted_and_dropped() -> None:
    script = Script()
    monitor = started(script)
    cut = encode(CURRENT, 9, struct.pack("<Q3i", NONCE, 0, 0, 0))  # layout of another instrument
    impossible = current(9, (3, 1, 1, *[0] * 9))
    negative = current(9, (0, 5, -1, *[0] * 9))
    script.incoming = b"".join(
        [
            current(0, STEADY),
            current(0, STEADY),
            current(3, STEADY),
            current(2, STEADY),
            current(4, STEADY, nonce=NONCE ^ 1),
            current(4, STEADY)[:-1] + b"\0",
            cut,
            impossible,
            negative,
            encode(STOPPED, 44),
            encode(0x7F, 4, bytes(8)),
        ]
    )
    assert [m.seq for m in monitor.poll(1.0) if isinstance(m, CurrentFrame)] == [0, 3]
    assert monitor.counts == MonitorCounts(
        accepted=2, corrupted=4, lost=2, duplicated=1, reordered=1, foreign=1
    )


def test_a_restart_is_told_once_the_boot_counter_shows_it() -> None:
    script = Script()
    monitor = started(script)
    script.incoming = status(0, 900, 0, 7, nonce=0) + status(0, 900, 0, 8, nonce=0)
    assert monitor.poll(3.0) == [MonitorStatus(3.0, 0.9, 8, ())]
    assert monitor.counts.foreign == 1


def test_another_session_has_another_stream() -> None:
    script = Script()
    monitor = started(script)
    script.incoming = current(0, STEADY)
    assert len(monitor.poll(1.0)) == 1
    monitor.stop()
    script.incoming = current(1, STEADY)
    assert monitor.poll(2.0) == []
    monitor.start(77)
    script.incoming = current(2, STEADY) + current(0, STEADY, nonce=77)
    assert len(monitor.poll(3.0)) == 1
    assert monitor.counts == MonitorCounts(accepted=2, foreign=2)


def test_requests_are_repeated_with_the_same_number() -> None:
    asked: list[int] = []

    def late(seq: int, payload: bytes) -> bytes:
        asked.append(seq)
        return encode(STARTED, seq, payload) if len(asked) == 3 else b""

    started(Script(start=late))
    assert len(set(asked)) == 1
    assert len(asked) == 3


@pytest.mark.parametrize("answer", [None, lambda seq, payload: encode(STARTED, seq + 1, payload)])
def test_a_stream_that_does_not_begin(answer: Callable[[int, bytes], bytes] | None) -> None:
    with pytest.raises(LinkLost, match="does not start its stream"):
        started(Script(start=answer))


def test_a_stream_with_another_nonce_than_asked_for_is_none() -> None:
    wrong = struct.pack("<Q", 1)
    with pytest.raises(LinkLost, match="does not start its stream"):
        started(Script(start=lambda seq, payload: encode(STARTED, seq, wrong)))


def test_instruments_that_are_none() -> None:
    def connect(**answers: Callable[[int, bytes], bytes] | None) -> None:
        ReferenceMonitor.over(Script(**answers), INPUTS).connect()

    with pytest.raises(DeviceNotFound, match="no reference monitor answers"):
        connect(hello=None)
    with pytest.raises(DeviceNotFound, match="no reference monitor answers"):
        connect(hello=lambda seq, payload: b"S\x01\x00\x00\x00" * 40)
    with pytest.raises(ProtocolViolation, match="identity has 62 bytes"):
        connect(hello=lambda seq, payload: encode(IDENTITY, seq, identity()[:-1]))
    with pytest.raises(ProtocolViolation, match=r"every \[20, 100, 1000\] ms"):
        connect(hello=lambda seq, payload: encode(IDENTITY, seq, identity(frame=20)))
    with pytest.raises(InputError, match=r"input 3 \(Cz\) does not exist; the monitor has 2"):
        connect(hello=lambda seq, payload: encode(IDENTITY, seq, identity(n=2)))
    with pytest.raises(LinkLost, match="does not answer"):
        connect(stop=None)


@pytest.mark.parametrize("nonce", [0, -1, 2**64, 1.5, True])
def test_a_nonce_is_a_number_of_64_bits(nonce: int) -> None:
    monitor = ReferenceMonitor.over(Script(), INPUTS)
    with pytest.raises(InputError, match="connect"):
        monitor.start(1)
    monitor.connect()
    with pytest.raises(InputError, match="nonce"):
        monitor.start(nonce)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [({}, "at least one input"), ({0: "Oz"}, "counted from 1"), ({1: "Oz", 2: "Oz"}, "two inputs")],
)
def test_inputs_that_cannot_be(inputs: dict[int, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ReferenceMonitor.over(Script(), inputs)


def test_a_virtual_clock_cannot_wait_for_an_instrument() -> None:
    with pytest.raises(InputError, match="--clock real"):
        ReferenceMonitor.open("/dev/ttyACM1", INPUTS, VirtualClock())


def test_link_loss_is_told_and_closing_never_raises() -> None:
    script = Script()
    monitor = started(script)
    script.gone = True
    with pytest.raises(LinkLost):
        monitor.poll(1.0)
    monitor.close()
    monitor.close()
    assert script.closed == 1


def test_closing_ends_the_stream() -> None:
    script = Script()
    started(script).close()
    assert [kind for kind, _, _ in script.requests] == [HELLO, STOP, START, STOP]


def test_a_port_that_never_falls_silent_does_not_hold_the_host() -> None:
    script = Script()
    monitor = started(script)
    script.incoming = b"\x11" * 1_000_000
    assert monitor.poll(1.0) == []
    assert len(script.incoming) == 1_000_000 - 16 * 4096


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_polling_never_raises_for_what_it_hears(pieces: list[bytes]) -> None:
    script = Script()
    monitor = started(script)
    for piece in pieces:
        script.incoming = piece
        assert monitor.poll(1.0) == []
    assert monitor.counts.accepted == 0


def test_the_entry_point_finds_it_and_says_that_nobody_ran_it_on_an_instrument() -> None:
    found = find_monitor("refmonitor")
    assert found is ReferenceMonitor
    assert found.capabilities.to_dict() == {
        "name": "refmonitor",
        "verified": False,
        "frame_s": 0.01,
        "contact_s": 0.1,
        "status_s": 1.0,
    }
    with pytest.raises(DeviceNotFound, match=r"'nonesuch'; installed: .*refmonitor"):
        find_monitor("nonesuch")
