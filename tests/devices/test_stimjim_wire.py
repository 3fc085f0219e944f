"""Golden lines, written out by hand from the protocol page: driver and emulator both meet them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from devices.emulators.stimjim_firmware import Firmware
from devices.stimjim_lines import SineTrain
from devices.stimjim_wire import StimjimLink
from devices.transport import MemoryTransport, Transport
from tacs.clock import VirtualClock
from tacs.errors import (
    DeviceNotFound,
    DeviceRefused,
    LinkLost,
    ProtocolViolation,
    TacsError,
    UncertainDelivery,
)
from tests.devices.test_stimjim_lines import GOLDEN

IDENTITY = (
    b"IDN,stimjimAWG,Teensy3.5,fw=0.8.0,proto=1\n"
    b"# build: Teensy3.5, F_CPU=120 MHz, fastio=registers, timer=raw-PIT, sd=yes, hot=RAM\n"
    b"# engine: PIT channels 0/1, K_RELOAD=112 cycles, cal=default\n"
)
IDLE = b"STAT,-1,0,0,0,-1,0,0,0\n"
STARTED = b"\r\nStarted T train with parameters of PulseTrain 99\r\n"
ECHO = GOLDEN.encode() + b"\r\n"
TRAIN = SineTrain.parse(GOLDEN)
MEAS = b"MEAS99,3,0,3,-1,1"
OFFSETS = b"ADC offsets (+-2.5V): 12.0, -8.0\r\nADC offsets (+-10V): 3.0, -2.0\r\n"

Call = Callable[[StimjimLink], object]
GOLD: list[tuple[str, Call, bytes, bytes]] = [
    ("IDN", lambda d: d.identify(), b"\nIDN\n", IDENTITY),
    ("STAT", lambda d: d.state(), b"STAT\n", IDLE),
    ("W", lambda d: d.define(TRAIN), GOLDEN.encode() + b"\n", ECHO),
    ("MEAS", lambda d: d.measure_peaks(99, (True, False)), MEAS + b"\n", MEAS + b",1\r\n"),
    ("W?", lambda d: d.confirm(TRAIN), b"W99?\n", ECHO),
    ("TRIG", lambda d: d.unroute(1), b"TRIG1,0,-1,-1,0\n", b"TRIG1,0,-1,-1,0\r\n"),
    ("M", lambda d: d.ground(1), b"M1,3\n", b"Set channel 1 to mode 3\r\n"),
    ("READ", lambda d: d.read(0), b"READ0\n", b"READ,0,16,0.00,0.00,0.00,0.00\n"),
    ("T", lambda d: d.start(99), b"T99\n", STARTED),
]  # fmt: skip


class Line(Transport):
    """Answers each write with the next of the bytes given, and keeps what was written."""

    address = "line"

    def __init__(self, *answers: bytes, waiting: bytes = b"") -> None:
        self.written: list[bytes] = []
        self.waiting = waiting
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


@pytest.mark.parametrize(("call", "sent", "reply"), [g[1:] for g in GOLD], ids=[g[0] for g in GOLD])
def test_driver_writes_the_golden_line_in_one_write(call: Call, sent: bytes, reply: bytes):
    line = Line(reply)
    call(StimjimLink(line))
    assert line.written == [sent]
    assert line.waiting == b""


def test_emulator_answers_the_golden_lines():
    firmware = Firmware(0.0)
    for k, (_, _, sent, reply) in enumerate(GOLD):
        firmware.receive(sent, float(k))
        assert firmware.take(k + 0.5) == reply


def test_a_stop_is_one_write_that_ends_a_half_line_first_and_waits_for_nothing():
    line = Line(waiting=b"half a li")
    StimjimLink(line).stop_now()
    assert line.written == [b"\nT-1\nU-1\nM0,3\nM1,3\n"]
    assert line.waiting == b"half a li"
    firmware = Firmware(0.0)
    firmware.receive(b"W99,1,3,2" + line.written[0], 0.0)
    said = firmware.take(1.0)
    assert b"Forcing T train to stop\r\nForcing U train to stop\r\n" in said
    assert said.endswith(b"Set channel 0 to mode 3\r\nSet channel 1 to mode 3\r\n")


def test_its_own_replies_to_a_stop_are_no_strangers():
    line = Line(IDLE, waiting=b"Forcing T train to stop\r\nSet channel 0 to mode 3\r\n")
    link = StimjimLink(line)
    link.state()
    assert (link.stray_lines, link.resynchronisations) == (0, 0)


def test_an_older_firmware_without_the_last_field_of_meas():
    StimjimLink(Line(MEAS + b"\r\n")).measure_peaks(99, (True, False))
    with pytest.raises(ProtocolViolation, match="stored as"):
        StimjimLink(Line(b"MEAS99,3,0,1,-1,1\r\n")).measure_peaks(99, (True, False))


# who answers


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([b"", OFFSETS], "stock firmware answers; it is refused because its pulse interrupt"),
        ([b"Booting StimJim on Teensy 3.5!\r\nReady to go!\n\n"], "stock firmware"),
        ([b"Train complete. Delivered 5 pulses.\r\n"], "stock firmware"),
        ([b"Unknown command\r\n"], "stock firmware"),
        ([b"", b""], "no StimJim answers"),
        ([b"ERR IDN: unknown command\n"], "not a StimJim with stimjimAWG"),
        ([b"IDN,other,board,fw=1,proto=1\n"], "other, board answers"),
        ([IDENTITY.replace(b"proto=1", b"proto=2")], "speaks protocol 1"),
        ([b"IDN,stimjimAWG,Teensy3.5\n"], "speaks protocol 1"),
        ([IDENTITY.replace(b"fw=", b"x=")], "speaks protocol 1"),
        ([b"\xff\xfe\n", b""], "no StimJim answers"),
    ],
)
def test_strangers_are_refused_by_name(answers: list[bytes], message: str):
    line = Line(*answers)
    with pytest.raises(DeviceNotFound, match=message) as refusal:
        StimjimLink(line).identify()
    assert "\n" not in str(refusal.value)
    assert set(line.written) <= {b"\nIDN\n", b"D\n"}


def test_what_was_on_the_line_before_is_no_answer():
    line = Line(b"5,proto=1\n" + IDENTITY, waiting=b"IDN,other\nSTAT,9")
    found = StimjimLink(line).identify()
    assert found.firmware == "stimjimAWG 0.8.0"
    assert found.board == "Teensy3.5"
    assert len(found.comments) == 2


# what comes between


def test_what_the_device_says_unasked_is_sorted_out():
    line = Line(
        b"# engine: 2 event(s) were already due\n\r\nTrain #3 complete. Delivered 1 pulses.\r\n"
        b"Note: no measurement carried out.\r\nWARN engine: 1 latch(es) overran\n"
        b"MDATA,99,0,90,5000.0,500.0,,\n" + IDLE,
        waiting=b"MSUM,99,1,270,-5000.0,,-500.0,,,,,\n",
    )
    link = StimjimLink(line)
    assert link.state()[0].slot == -1
    assert [m.point for m in link.take_measurements()] == [270, 90]
    assert link.take_measurements() == []
    assert list(link.warnings) == ["WARN engine: 1 latch(es) overran"]
    assert (link.n_warnings, link.stray_lines, link.resynchronisations) == (1, 0, 0)


def test_a_warning_before_an_echo_is_kept():
    link = StimjimLink(Line(b"WARN W: burst_us exceeds period_us\n" + ECHO))
    link.define(TRAIN)
    assert list(link.warnings) == ["WARN W: burst_us exceeds period_us"]


def test_a_line_of_999_bytes_is_one_and_a_longer_one_is_none():
    link = StimjimLink(Line(b"# " + b"x" * 997 + b"\n" + IDLE))
    link.state()
    assert link.stray_lines == 0
    link = StimjimLink(Line(b"# " + b"x" * 3000 + b"\n" + IDLE))
    link.state()
    assert link.stray_lines == 1


def test_a_line_may_come_in_pieces():
    class Pieces(Line):
        def read(self, n: int, timeout_s: float) -> bytes:
            return super().read(min(n, 5), timeout_s)

    assert StimjimLink(Pieces(IDLE)).state()[1].slot == -1


def test_endless_chatter_is_no_answer():
    link = StimjimLink(Line(b"# chatter\n" * 500))
    with pytest.raises(LinkLost, match="no answer to 'STAT'"):
        link.state()


# answers that are none


@pytest.mark.parametrize(
    ("call", "answer", "error", "message"),
    [
        (GOLD[2][1], b"ERR W: bad frequency triplet (freq0)\n", DeviceRefused, "freq0"),
        (
            GOLD[2][1],
            "ERR W: slot is attached to a running train — stop first (T-1 / U-1)\n".encode(),
            DeviceRefused,
            "attached to a running train —",
        ),
        (GOLD[2][1], b"ERR line too long (max 999)\n", DeviceRefused, "too long"),
        (GOLD[2][1], ECHO.replace(b"10.27,10", b"11.27,10"), ProtocolViolation,
         "frequency0_mhz is 11270 instead of 10270"),
        (GOLD[2][1], ECHO.replace(b";500,", b";501,"), ProtocolViolation,
         "amplitude0_ua is 501 instead of 500"),
        (GOLD[2][1], ECHO.replace(b"\r\n", b" trailing\r\n"), ProtocolViolation, "said"),
        (GOLD[2][1], b"", UncertainDelivery, "no answer"),
        (GOLD[2][1], b"W98,1,3\n", UncertainDelivery, "no answer"),
        (GOLD[4][1], b"S99,3,3,10000,500000\r\n", ProtocolViolation, "no line of a sine train"),
        (GOLD[4][1], b"", LinkLost, "no answer"),
        (GOLD[5][1], b"TRIG1,3,-1,-1,0\r\n", ProtocolViolation, "stored as"),
        (GOLD[6][1], b"ERR M: channel must be 0 or 1\n", DeviceRefused, "channel"),
        (GOLD[6][1], b"Set channel 1 to mode 1\r\n", UncertainDelivery, "no answer"),
        (GOLD[7][1], b"ERR READ: engine busy\n", DeviceRefused, "busy"),
        (GOLD[7][1], b"READ,0,16,x,0,0,0\n", ProtocolViolation, "READ"),
        (GOLD[7][1], b"READ,1,16,0.00,0.00,0.00,0.00\n", LinkLost, "no answer"),
        (GOLD[8][1], "WARN T: engine busy (slot 3) — start dropped\n".encode(), DeviceRefused,
         "not started .WARN T: engine busy .slot 3. —"),
        (GOLD[8][1], b"Invalid PulseTrain index.\r\n", DeviceRefused, "not started"),
        (GOLD[8][1], b"ERR T: need a slot index (or -1 to stop)\n", DeviceRefused, "slot index"),
        (GOLD[8][1], STARTED.replace(b"99", b"9"), ProtocolViolation, "asked to start slot 99"),
        (GOLD[8][1], b"WARN MEAS: something about the plan\n", UncertainDelivery, "no answer"),
        (GOLD[8][1], b"", UncertainDelivery, "no answer"),
        (GOLD[1][1], b"STAT,1,2,3\n", ProtocolViolation, "STAT"),
        (GOLD[1][1], b"STAT,-1,0,0,0,-1,0,0,x\n", ProtocolViolation, "STAT"),
        (GOLD[1][1], b"STAT,-1,0,0,0,-1,0,0,0", LinkLost, "no answer"),
    ],
)  # fmt: skip
def test_answers_that_are_none(call: Call, answer: bytes, error: type[TacsError], message: str):
    with pytest.raises(error, match=message) as refusal:
        call(StimjimLink(Line(answer)))
    assert type(refusal.value) is error
    assert "\n" not in str(refusal.value)


def test_asks_who_is_there_after_an_answer_that_did_not_come():
    line = Line(b"", ECHO + IDENTITY, IDLE)  # the lost echo comes late, before the identity
    link = StimjimLink(line)
    with pytest.raises(UncertainDelivery):
        link.define(TRAIN)
    link.state()
    assert line.written[1:] == [b"\nIDN\n", b"STAT\n"]
    assert link.resynchronisations == 1


def test_asks_who_is_there_after_an_answer_that_came_twice():
    line = Line(IDLE + IDLE, IDENTITY, b"STAT,99,0,5,20000000,-1,0,0,0\n")
    link = StimjimLink(line)
    link.state()
    assert link.state()[0].slot == 99  # and not the second copy of the first answer
    assert (link.stray_lines, link.resynchronisations) == (1, 1)


def test_gives_up_where_another_device_answers():
    link = StimjimLink(Line(b"", b"IDN,other,x,fw=1,proto=1\n"))
    with pytest.raises(LinkLost):
        link.state()
    with pytest.raises(LinkLost, match="no longer answers as before"):
        link.state()


def test_over_the_emulator_every_command_is_understood():
    firmware = Firmware(0.0)

    class Peer:
        linked = True
        advance, receive = firmware.advance, firmware.receive
        take, next_due_s = firmware.take, firmware.next_due_s

    clock = VirtualClock()
    link = StimjimLink(MemoryTransport(Peer(), clock))
    for _, call, _, _ in GOLD:
        call(link)
    assert link.state()[0].slot == 99
    link.pause(6.0)
    assert [m.point for m in link.take_measurements()] == [90, 270]
    link.stop_now()
    assert link.state()[0].slot == -1
    assert link.stray_lines == 0
