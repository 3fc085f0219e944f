"""Golden bytes, written out by hand from the protocol page: driver and emulator both meet them."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from devices import synthpal_wire as wire
from devices.emulators.synthpal_firmware import Firmware
from devices.synthpal_wire import SynthPalLink
from devices.transport import MemoryTransport, Transport
from tacs.clock import VirtualClock
from tacs.errors import (
    DeviceRefused,
    InputError,
    LinkLost,
    ProtocolViolation,
    UncertainDelivery,
)

ZERO12 = "00" * 12

GOLDEN: list[tuple[str, Callable[[SynthPalLink], object], str, str]] = [
    ("72 handshake", lambda d: d.handshake(), "D5 48", "53 01 00 00 00"),
    (
        "78 info",
        lambda d: d.info(),
        "D5 4E",
        "03 04 64 00 00 00 80 84 1E 00 A0 86 01 00 00 36 6E 01 00 A4 93 D6",
    ),
    ("70 10.27 Hz", lambda d: d.set_frequency(1027), "D5 46 03 04 00 00", "01 08 26 00 00"),
    ("70 10 Hz", lambda d: d.set_frequency(1000), "D5 46 E8 03 00 00", "01 10 27 00 00"),
    ("87 sines", lambda d: d.set_waveforms([0] * 4), "D5 57 00 00 00 00", "01"),
    (
        "65 1 Vpp on output 1",
        lambda d: d.set_amplitudes([1_000_000, 0, 0, 0]),
        "D5 41 40 42 0F 00" + ZERO12,
        "01",
    ),
    (
        "77 -1 V on output 2",
        lambda d: d.set_means([0, -1_000_000, 0, 0]),
        "D5 4D 00 00 00 00 C0 BD F0 FF" + "00" * 8,
        "01",
    ),
    ("86 rest at 0", lambda d: d.set_restings([0] * 4), "D5 56" + "00" * 16, "01"),
    (
        "68 20 min on output 1",
        lambda d: d.set_play_durations([1_200_000_000, 0, 0, 0]),
        "D5 44 00 8C 86 47" + ZERO12,
        "01",
    ),
    (
        "66 30 s on-ramp",
        lambda d: d.set_on_ramps([30_000_000, 0, 0, 0]),
        "D5 42 80 C3 C9 01" + ZERO12,
        "01",
    ),
    (
        "69 0.8 s off-ramps",
        lambda d: d.set_off_ramps([800_000] * 4),
        "D5 45" + "00 35 0C 00" * 4,
        "01",
    ),
    ("84 normal triggers", lambda d: d.set_trigger_modes([0, 0]), "D5 54 00 00", "01"),
    (
        "73 trigger 1 to output 1, trigger 2 to output 4",
        lambda d: d.set_trigger_links([1, 0, 0, 0, 0, 0, 0, 1]),
        "D5 49 01 00 00 00 00 00 00 01",
        "01",
    ),
    (
        "85 everything",
        lambda d: d.set_all(
            [1027, *[0] * 4, *[1_000_000] * 4, *[0] * 8]
            + [1_000_000] * 4
            + [0] * 4
            + [800_000] * 4
            + [0] * 10
        ),
        "D5 55 03 04 00 00"
        + "00" * 4
        + "40 42 0F 00" * 4
        + "00" * 32
        + "40 42 0F 00" * 4
        + "00" * 16
        + "00 35 0C 00" * 4
        + "00" * 10,
        "01",
    ),
    (
        "82 everything back, after power-on",
        lambda d: d.read_settings(),
        "D5 52",
        "10 27 00 00"
        + "00" * 4
        + "40 4B 4C 00" * 4
        + "00" * 32
        + "40 42 0F 00" * 4
        + "00" * 32
        + "01 01 01 01 00 00 00 00"
        + "00 00",
    ),
    ("80 start output 1", lambda d: d.trigger(0b0001), "D5 50 01", ""),
    ("88 stop all", lambda d: d.stop(0b1111), "D5 58 0F", ""),
    (
        "71 status, idle after power-on",
        lambda d: d.status(),
        "D5 47",
        "00 E8 03 00 00 02 02 02 02 00 00 00 00 00 00 00 00",
    ),
    ("89 client name", lambda d: d.set_client_name("TACS"), "D5 59 54 41 43 53 20 20", ""),
    ("81 disconnect", lambda d: d.disconnect(), "D5 51", ""),
    ("99 screen saver", lambda d: d.set_screen_saver(True, 300), "D5 63 01 2C 01", "01"),
    ("90 checksums", lambda d: d.checksums(), "D5 5A", "00" * 32),
]


class Line(Transport):
    """Answers each write with the next of the bytes given, and keeps what was written."""

    address = "line"

    def __init__(self, *answers: bytes) -> None:
        self.written: list[bytes] = []
        self.waiting = b""
        self.answers = list(answers)

    def write(self, data: bytes) -> None:
        self.written.append(data)
        self.waiting += self.answers.pop(0) if self.answers else b""

    def read(self, n: int, timeout_s: float) -> bytes:
        data, self.waiting = self.waiting[:n], self.waiting[n:]
        return data

    def discard_input(self) -> None:
        self.waiting = b""

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("call", "sent", "reply"), [g[1:] for g in GOLDEN], ids=[g[0] for g in GOLDEN]
)
def test_driver_writes_the_golden_bytes_in_one_write(
    call: Callable[[SynthPalLink], object], sent: str, reply: str
) -> None:
    line = Line(bytes.fromhex(reply))
    call(SynthPalLink(line))
    assert line.written == [bytes.fromhex(sent)]
    assert line.waiting == b""


@pytest.mark.parametrize(("sent", "reply"), [g[2:] for g in GOLDEN], ids=[g[0] for g in GOLDEN])
def test_emulator_answers_the_golden_bytes(sent: str, reply: str) -> None:
    firmware = Firmware(0.0)
    firmware.receive(bytes.fromhex(sent), 0.0)
    assert firmware.take(1.0) == bytes.fromhex(reply)


def test_every_command_of_the_table_has_golden_bytes() -> None:
    assert {bytes.fromhex(g[2])[1] for g in GOLDEN} == {c.op for c in wire.COMMANDS}
    assert len({c.op for c in wire.COMMANDS}) == len(wire.COMMANDS)


def test_reply_fields_are_named_right() -> None:
    status = struct.pack("<BI4BII", 0b0101, 9736, 2, 0, 2, 3, 7070, 1)
    assert SynthPalLink(Line(status)).status() == (5, 9736, 2, 0, 2, 3, 7070, 1)
    assert len(status) == 17
    sums = struct.pack("<8I", 1, 2, 3, 4, 5, 6, 7, 2**32 - 1)
    assert SynthPalLink(Line(sums)).checksums() == (1, 2, 3, 4, 5, 6, 7, 2**32 - 1)


def test_a_value_that_does_not_fit_is_refused_before_it_is_sent() -> None:
    line = Line()
    with pytest.raises(InputError, match="set frequency"):
        SynthPalLink(line).set_frequency(2**32)
    assert line.written == []


def test_answers_that_are_none() -> None:
    with pytest.raises(DeviceRefused, match="set waveforms"):
        SynthPalLink(Line(b"\x00")).set_waveforms([5] * 4)
    with pytest.raises(ProtocolViolation, match="answered 7"):
        SynthPalLink(Line(b"\x07")).set_waveforms([0] * 4)
    with pytest.raises(UncertainDelivery, match="click the joystick"):
        SynthPalLink(Line(b"")).set_amplitudes([0] * 4)
    with pytest.raises(UncertainDelivery, match="1 of 5 bytes"):
        SynthPalLink(Line(b"\x01")).set_frequency(1000)
    with pytest.raises(LinkLost, match="get status"):
        SynthPalLink(Line(b"")).status()


def test_shakes_hands_again_after_a_reply_that_did_not_come() -> None:
    hello = b"S\x01\x00\x00\x00"
    line = Line(b"", b"\x01" + hello, b"\x01")  # the lost confirm comes late, before the handshake
    link = SynthPalLink(line)
    with pytest.raises(UncertainDelivery):
        link.set_amplitudes([0] * 4)
    link.set_waveforms([0] * 4)
    assert [data[1] for data in line.written] == [65, 72, 87]
    assert link.resynchronisations == 1


def test_shakes_hands_again_after_a_stray_byte() -> None:
    line = Line(b"S\x01\x00\x00\x00", b"\x00")
    line.waiting = b"\x01"
    link = SynthPalLink(line)
    with pytest.raises(DeviceRefused):  # the stray 1 is not taken for the confirmation
        link.set_waveforms([5] * 4)
    assert (link.stray_bytes, link.resynchronisations) == (1, 1)


def test_gives_up_when_the_answers_stay_senseless() -> None:
    link = SynthPalLink(Line(b"", b"????????"))
    with pytest.raises(UncertainDelivery):
        link.set_amplitudes([0] * 4)
    with pytest.raises(LinkLost, match="no sense"):
        link.set_amplitudes([0] * 4)


def test_a_stop_is_written_whatever_is_waiting() -> None:
    line = Line(b"\x01")
    line.waiting = b"\x01\x01"
    SynthPalLink(line).send_unanswered(b"\xd5\x58\x0f", 1)
    assert line.written == [b"\xd5\x58\x0f"]


def test_over_the_emulator_every_command_is_understood() -> None:
    firmware = Firmware(0.0)

    class Peer:
        linked = True
        advance, receive = firmware.advance, firmware.receive
        take, next_due_s = firmware.take, firmware.next_due_s

    link = SynthPalLink(MemoryTransport(Peer(), VirtualClock()))
    for _, call, _, _ in GOLDEN:
        call(link)
    assert link.stray_bytes == 0
