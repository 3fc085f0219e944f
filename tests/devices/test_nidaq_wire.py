"""Frames to the letter, and what becomes of answers that are late, broken or somebody else's."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.nidaq_backend import CardInfo, CardState
from devices.nidaq_wire import ANSWER_S, MUTE_S, Frames, LinkedCard, encode
from devices.transport import Transport
from tacs.errors import (
    DeviceBusy,
    DeviceError,
    DeviceNotFound,
    DeviceRefused,
    InputError,
    LinkLost,
    ProtocolViolation,
    TacsError,
    UncertainDelivery,
)


def crc(body: bytes) -> bytes:
    return body + struct.pack("<I", zlib.crc32(body))


def question(number: int, op: int, payload: bytes = b"") -> bytes:
    return crc(b"NI" + struct.pack("<BBI", number, op, len(payload)) + payload)


def answer(number: int, op: int, status: int = 0, payload: bytes = b"") -> bytes:
    told = struct.pack("<i", status) + payload
    return crc(b"ni" + struct.pack("<BBI", number, op, len(told)) + told)


class Line(Transport):
    """Keeps what is written; gives what it was told to, or a good answer."""

    address = "line"

    def __init__(self, *waiting: bytes) -> None:
        self.sent: list[bytes] = []
        self.reads: list[tuple[int, float]] = []
        self.waiting = b"".join(waiting)
        self.reply: Callable[[bytes], bytes] | None = None
        self.closed = False

    def write(self, data: bytes) -> None:
        self.sent.append(data)
        if self.reply is not None:
            self.waiting += self.reply(data)

    def read(self, n: int, timeout_s: float) -> bytes:
        self.reads.append((n, timeout_s))
        data, self.waiting = self.waiting[:n], self.waiting[n:]
        return data

    def discard_input(self) -> None:
        self.waiting = b""

    def close(self) -> None:
        self.closed = True


def good(payload: bytes = b"", status: int = 0) -> Callable[[bytes], bytes]:
    return lambda data: answer(data[2], data[3], status, payload)


@pytest.fixture
def line() -> Line:
    made = Line()
    made.reply = good()
    return made


def test_the_bytes_of_a_frame():
    # CRC-32 of 4e 49 07 05 00 00 00 00, worked out by hand with zlib's polynomial.
    assert encode(7, 5) == bytes.fromhex("4e49 0705 00000000") + struct.pack(
        "<I", zlib.crc32(bytes.fromhex("4e49070500000000"))
    )


def test_every_call_has_its_frame(line: Line) -> None:
    card = LinkedCard(line, "zero_volts")
    half = struct.pack("<d", 0.5)
    card.prepare({3: 2.0, 1: 1.5}, 2000.0, 4000)
    card.write(np.array([[0.5, -0.5], [0.25, 0.0]]))
    card.write(np.zeros((2, 1)))
    card.start()
    card.release()
    card.hold({2: 0.0, 1: 0.5})
    card.watch(0.25)
    card.feed()
    card.unwatch()
    card.enable(True)
    card.enable(False)
    prepared = struct.pack("<dIBB", 2000.0, 4000, 1, 2)
    prepared += b"\x01" + struct.pack("<d", 1.5) + b"\x03" + struct.pack("<d", 2.0)
    samples = struct.pack("<QI4d", 0, 2, 0.5, -0.5, 0.25, 0.0)
    assert line.sent == [
        question(1, 2, prepared),
        question(2, 3, samples),
        question(3, 3, struct.pack("<QI2d", 2, 1, 0.0, 0.0)),
        question(4, 4),
        question(5, 6),
        question(6, 7, b"\x02\x01" + half + b"\x02" + bytes(8)),
        question(7, 8, struct.pack("<d", 0.25)),
        question(8, 9),
        question(9, 10),
        question(10, 11, b"\x01"),
        question(11, 11, b"\x00"),
    ]


def test_what_ends_a_stream_is_sent_without_waiting(line: Line) -> None:
    card = LinkedCard(line)
    card.prepare({1: 2.0}, 2000.0, 4000)
    card.write(np.zeros((1, 10)))
    line.sent.clear()
    line.reads.clear()
    card.finish(np.zeros((1, 3)))
    assert line.reads == []
    card.replace(np.zeros((1, 2)))
    assert line.reads == []
    assert line.sent == [
        question(3, 12, struct.pack("<QI3d", 10, 3, 0, 0, 0)),
        question(4, 13, struct.pack("<QI2d", 0, 2, 0, 0)),
    ]
    card.write(np.zeros((1, 1)))
    assert line.sent[-1] == question(5, 3, struct.pack("<QId", 2, 1, 0))


def test_who_it_is(line: Line) -> None:
    line.reply = good(struct.pack("<BBI", 1, 4, 0xABC) + "a card µ".encode())
    assert LinkedCard(line).identify() == CardInfo(
        product="a card µ", serial="00000ABC", n_outputs=4
    )
    assert line.sent == [question(1, 1)]


@pytest.mark.parametrize("payload", [b"", b"\x01\x04", struct.pack("<BBI", 1, 4, 0) + b"\xff"])
def test_who_it_is_in_another_form(line: Line, payload: bytes) -> None:
    line.reply = good(payload)
    with pytest.raises(ProtocolViolation, match="in another form"):
        LinkedCard(line).identify()


def test_another_version_and_nobody(line: Line) -> None:
    line.reply = good(struct.pack("<BBI", 3, 4, 0))
    with pytest.raises(
        DeviceNotFound, match="speaks version 3 of its frames; this driver speaks 1"
    ):
        LinkedCard(line).identify()
    with pytest.raises(DeviceNotFound, match="no card answers there; is its process running"):
        LinkedCard(Line()).identify()


@pytest.mark.parametrize(
    ("flags", "running", "expired"), [(0, False, False), (1, True, False), (3, True, True)]
)
def test_how_far_it_is(line: Line, flags: int, running: bool, expired: bool) -> None:
    line.reply = good(struct.pack("<BQiI", flags, 2**40, -200290, 7))
    assert LinkedCard(line).state() == CardState(running, 2**40, -200290, 7, expired)
    line.reply = good(b"\x01")
    with pytest.raises(ProtocolViolation, match="a state of 1 bytes"):
        LinkedCard(line).state()


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        (-200290, DeviceError, "ran out of samples .*GEN_STOPPED.*holds its last value"),
        (-200621, DeviceError, "OUTPUT_FIFO_UNDERFLOW_2"),
        (-200018, DeviceError, "DAC_UNDERFLOW"),
        (-200678, DeviceError, "watchdog was not fed in time .*WRITE_FAILED"),
        (-200644, DeviceError, "watchdog was not fed in time"),
        (-201478, DeviceError, "CHASSIS_WATCHDOG_TIMER_EXPIRED"),
        (-201003, LinkLost, "the card is gone"),
        (-200045, LinkLost, "the card is gone"),
        (-50103, DeviceBusy, "another program holds the card"),
        (-200022, DeviceBusy, "another program holds the card"),
        (-201420, DeviceBusy, "another program holds the card"),
        (-200220, DeviceNotFound, "no such device or output"),
        (-200170, DeviceNotFound, "no such device or output"),
        (-200292, DeviceRefused, "write: refused .NI -200292: no room"),
    ],
)
def test_every_status_has_its_error(line: Line, status: int, error: type, told: str) -> None:
    card = LinkedCard(line)
    card.prepare({1: 2.0}, 2000.0, 4000)
    line.reply = good(b"no room\nsecond line", status)
    with pytest.raises(error, match=told) as found:
        card.write(np.zeros((1, 1)))
    assert type(found.value) is error
    assert "second line" not in str(found.value)


def test_a_status_without_words(line: Line) -> None:
    line.reply = good(b"", -1)
    with pytest.raises(DeviceRefused, match=r"refused .NI -1: no description"):
        LinkedCard(line).start()


def test_another_number_of_outputs_is_never_written(line: Line) -> None:
    card = LinkedCard(line)
    card.prepare({1: 2.0}, 2000.0, 4000)
    with pytest.raises(InputError, match="2 outputs written of 1"):
        card.write(np.zeros((2, 1)))


def test_silence_is_waited_for_once() -> None:
    line = Line()
    card = LinkedCard(line)
    with pytest.raises(UncertainDelivery, match=r"no answer to 'feed' in 0.1 s; nobody knows"):
        card.feed()
    with pytest.raises(UncertainDelivery, match=r"in 0.02 s"):
        card.feed()
    assert len(line.sent) == 2  # never a second time
    assert [timeout_s for _, timeout_s in line.reads] == [ANSWER_S, MUTE_S]
    line.reply = good()
    card.feed()
    line.reply = None
    with pytest.raises(UncertainDelivery, match=r"in 0.1 s"):
        card.feed()


def test_what_was_told_and_not_answered_is_found_out() -> None:
    line = Line()
    line.reply = good()
    card = LinkedCard(line)
    card.prepare({1: 2.0}, 2000.0, 4000)
    line.reply = None
    card.finish(np.zeros((1, 1)))
    line.reply = good()
    with pytest.raises(UncertainDelivery, match="no answer to 'finish'"):
        card.feed()
    card.feed()
    line.reply = good(b"full", -200292)
    card.replace(np.zeros((1, 1)))
    line.reply = good()
    with pytest.raises(DeviceRefused, match="replace: refused"):
        card.feed()


def test_older_answers_doubles_and_noise_are_skipped(line: Line) -> None:
    card = LinkedCard(line)
    card.feed()
    line.waiting = answer(1, 9) + answer(2, 6) + b"\x00nini\x80" + answer(9, 9)
    line.reply = lambda data: good()(data) * 2
    card.feed()
    card.start()
    assert card.stray_bytes == 6


def test_a_broken_answer_is_none(line: Line) -> None:
    card = LinkedCard(line)
    line.reply = lambda data: bytes(b ^ 0xA5 for b in good()(data))
    with pytest.raises(UncertainDelivery):
        card.feed()
    line.reply = good()
    card.feed()


def test_half_an_answer_does_not_swallow_the_next(line: Line) -> None:
    card = LinkedCard(line)
    line.reply = lambda data: answer(data[2], data[3], 0, b"x" * 40)[:-9]
    with pytest.raises(UncertainDelivery):
        card.feed()
    line.reply = good()
    card.feed()


def test_waiting_and_closing(line: Line) -> None:
    card = LinkedCard(line)
    card.wait(0.3)
    assert line.reads == [(4096, 0.3)]
    card.close()
    assert line.closed


@given(st.lists(st.one_of(st.binary(max_size=40), st.integers(0, 255)), max_size=8), st.data())
def test_good_answers_are_found_whatever_is_between_them(parts, data):
    """Noise without a mark between whole answers; cut anywhere."""
    stream, wanted = b"", []
    for part in parts:
        if isinstance(part, int):
            stream += answer(part, 5, -part, bytes([part]))
            wanted.append((part, 5, -part, bytes([part])))
        else:
            stream += part.replace(b"n", b"\x00").replace(b"i", b"\x01")
    frames, found = Frames(), []
    while stream:
        n = data.draw(st.integers(1, len(stream)))
        frames.put(stream[:n])
        stream = stream[n:]
        while (one := frames.next()) is not None:
            found.append(tuple(one))
        assert frames.missing >= 1
    assert found == wanted


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(noise):
    line = Line()
    card = LinkedCard(line)
    line.reply = lambda data: noise
    for call in (card.identify, card.state, card.feed):
        try:
            call()
        except TacsError:
            pass
