"""NIC2's remote control to the letter: every command's bytes, every answer, and the way back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import nic2_wire as wire
from devices.nic2_wire import Command, Nic2Link, Op, Status
from tacs.errors import DeviceNotFound, InputError, LinkLost, ProtocolViolation
from tests.devices.test_synthpal_link import Script

CODES = (
    (128, "QUERY_STATUS"), (129, "QUERY_STATUS_PROTOCOL"), (130, "READ_VERSION"), (131, "VERSION"),
    (132, "READ_CHANNELS"), (133, "ENABLE_TRNS_FILTER"), (134, "DISABLE_TRNS_FILTER"),
    (135, "LOAD_PROTOCOL"), (136, "UNLOAD_PROTOCOL"), (137, "START_PROTOCOL"),
    (138, "ABORT_PROTOCOL"), (139, "PAUSE_PROTOCOL"), (140, "CHECK_IMPEDANCE"),
    (141, "CHECK_IMPEDANCE_ABORT"), (142, "GET_IMPEDANCE"), (143, "CONFIGURE_FILE"),
    (144, "CONFIGURE_MARKERS"), (145, "CONFIGURE_PATH_FILE"), (146, "ONLINE_ATDCS"),
    (147, "ONLINE_ATACS"), (148, "ONLINE_FTACS"), (149, "ONLINE_PTACS"), (150, "ONLINE_TACS"),
    (151, "ONLINE_ATRNS"), (152, "ONLINE_ATDCS_PEAK"), (153, "ONLINE_ATACS_PEAK"),
    (154, "PULSE_ENABLE"), (155, "PULSE_CONFIGURATION"), (156, "PULSE_START"),
    (157, "PULSE_QUERY_STATUS"), (158, "IMPORT_PROTOCOL"), (159, "READ_DEVICE_SETTINGS"),
)  # fmt: skip
SAID = (
    "REMOTE_ALLOWED", "REMOTE_REJECTED", "VERSION_RECEIVED", "SYNCHRONIZING", "IDLE", "NOT_LOADED",
    "LOADING", "LOADED", "RUNNING", "ERROR", "FINISHED", "PAUSED", "ABORTED", "ABORTING", "EEG_ON",
    "EEG_OFF", "STIM_RAMPUP", "STIM_FULL", "STIM_RAMPDOWN", "STIM_FINISHED",
    "WAITING_FOR_SECOND_SHAM", "CHECK_IMPEDANCE", "CHECK_IMPEDANCE_FINISHED",
    "CHECK_IMPEDANCE_ABORTING", "CHECK_IMPEDANCE_ABORTED", "PULSE_DISABLED", "PULSE_ENABLED",
)  # fmt: skip
READ_WAITING = ("read", 4096, 0.0)
ASK = ("read", 1, 0.25)


def link_of(*reads: bytes | Exception, n_channels: int = 8) -> tuple[Nic2Link, Script]:
    line = Script(*reads)
    link = Nic2Link(line)
    link.n_channels = n_channels
    return link, line


def sent(line: Script) -> list[bytes]:
    return [call[1] for call in line.calls if call[0] == "write"]  # type: ignore[misc]


# codes


def test_the_tables_are_those_of_the_protocol():
    assert tuple((op.value, op.name) for op in Op) == CODES
    assert tuple((s.value, s.name) for s in Status) == tuple(enumerate(SAID, start=200))
    assert (wire.AMPLITUDE_MAX_UA, wire.FREQUENCY_MAX_HZ, wire.PHASE_MAX_DEG) == (2000, 150, 359)
    assert (wire.TRANSITION_MIN_MS, wire.TRANSITION_MAX_MS) == (100, 10_000)
    assert wire.SLOPE_MIN_UA_PER_MS == 0.061


def test_no_status_is_a_number_of_channels():
    assert wire.CHANNELS_MAX < min(Status)


def test_what_runs_is_not_silent_and_the_protocols_own_status_decides_nothing():
    assert not wire.SILENT & wire.RUNNING
    assert Status.STIM_FULL not in wire.SILENT | wire.RUNNING


# bytes


def test_the_published_ramp_in_and_ramp_out():
    pair = [1000, 1000, 0, 0, 0, 0, 0, 0]
    ramp_in = wire.ramp_in(pair, [10, 10, 0, 0, 0, 0, 0, 0], [0, 180, 0, 0, 0, 0, 0, 0], 5000)
    assert ramp_in.encode() == (
        b"\x961000;1000;0;0;0;0;0;0;10;10;0;0;0;0;0;0;0;180;0;0;0;0;0;0;5000\x00"
    )
    assert wire.amplitudes([0] * 8, 5000).encode() == b"\x930;0;0;0;0;0;0;0;5000\x00"


@pytest.mark.parametrize(
    ("command", "golden"),
    [
        (wire.amplitudes([7, 14, 7], 100), b"\x937;14;7;100\x00"),
        (wire.frequencies([10, 0]), b"\x9410;0\x00"),
        (wire.phases([0, 180, 359]), b"\x950;180;359\x00"),
        (Command(Op.VERSION, "04.07"), b"\x8304.07\x00"),
        (Command(Op.LOAD_PROTOCOL, "tacs zero 21 min"), b"\x87tacs zero 21 min\x00"),
        (Command(Op.UNLOAD_PROTOCOL), b"\x88"),
        (Command(Op.START_PROTOCOL), b"\x89"),
        (Command(Op.ABORT_PROTOCOL), b"\x8a"),
        (Command(Op.CHECK_IMPEDANCE), b"\x8c"),
        (Command(Op.CHECK_IMPEDANCE_ABORT), b"\x8d"),
    ],
)
def test_commands(command: Command, golden: bytes):
    assert command.encode() == golden


def test_questions_as_they_are_asked():
    link, line = link_of(b"", b"\xcc", b"", b"", b"\xd9", b"", b"", b"\x08", b"")
    assert link.status() is Status.IDLE
    assert link.protocol_status() is Status.STIM_FULL
    assert link.read_channels() == 8
    assert sent(line) == [b"\x80", b"\x81", b"\x84"]
    assert line.calls[:4] == [READ_WAITING, ("write", b"\x80"), ASK, READ_WAITING]


def test_lines_of_text():
    version = [bytes([byte]) for byte in b"04.07\n"]
    settings = [bytes([byte]) for byte in b"1.2.3\t00:07\tBluetooth\tSTARSTIM8\r\n"]
    link, line = link_of(b"", *version, b"", *settings)
    assert link.read_version() == "04.07"
    assert link.read_settings() == ("1.2.3", "00:07", "Bluetooth", "STARSTIM8")
    assert sent(line) == [b"\x82", b"\x9f"]


def test_the_kind_of_an_impedance_check_goes_out_by_itself():
    link, line = link_of()
    link.send_text("DC")
    assert sent(line) == [b"DC\x00"]


@pytest.mark.parametrize("text", ["a\0b", "a\nb", "a\rb", "µ", "\x7f"])
def test_text_that_would_end_early_is_refused(text: str):
    with pytest.raises(InputError, match="no plain text"):
        Command(Op.LOAD_PROTOCOL, text).encode()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: wire.amplitudes([2001], 100), "2001 µA is no whole number from 0 to 2000"),
        (lambda: wire.amplitudes([-1], 100), "-1 µA"),
        (lambda: wire.amplitudes([10.5], 100), "10.5 µA is no whole number"),
        (lambda: wire.amplitudes([True], 100), "True µA"),
        (lambda: wire.amplitudes([10.0], 100), "10.0 µA"),
        (lambda: wire.amplitudes([], 100), "0 channels"),
        (lambda: wire.amplitudes([1] * 33, 100), "33 channels"),
        (lambda: wire.amplitudes([1], 99), "99 ms"),
        (lambda: wire.amplitudes([1], 10_001), "10001 ms"),
        (lambda: wire.amplitudes([1], 100.0), "100.0 ms"),
        (lambda: wire.frequencies([151]), "151 Hz"),
        (lambda: wire.frequencies([10.27]), "10.27 Hz is no whole number"),
        (lambda: wire.phases([360]), "360 °"),
        (lambda: wire.phases([180.5]), "180.5 °"),
        (lambda: wire.ramp_in([1, 1], [10], [0, 180], 100), "every channel"),
    ],
)
def test_what_nic_does_not_take_is_refused_in_one_line(make, message: str):
    with pytest.raises(InputError, match=message) as refusal:
        make()
    assert "\n" not in str(refusal.value)


@given(
    st.lists(st.integers(0, 2000), min_size=1, max_size=32),
    st.integers(100, 10_000),
)
def test_amplitudes_are_digits_and_semicolons(values: list[int], transition_ms: int):
    encoded = wire.amplitudes(values, transition_ms).encode()
    assert encoded[0] == 147
    assert encoded[-1] == 0
    assert [int(word) for word in encoded[1:-1].split(b";")] == [*values, transition_ms]
    assert b"." not in encoded


# impedances


def test_impedances_in_kiloohm():
    found = wire.read_impedances("5000 12000.5;0,NaN", 4)
    assert found[:2] == (5.0, 12.0005)
    assert math.isnan(found[2])
    assert math.isnan(found[3])


@pytest.mark.parametrize("line", ["", "5000", "5000 x", "5000 -1", "1 2 3"])
def test_impedances_that_are_none(line: str):
    with pytest.raises(ProtocolViolation, match="NIC's impedances"):
        wire.read_impedances(line, 2)


# answers that are none


@pytest.mark.parametrize(
    ("reads", "error", "message"),
    [
        ([b"", b""], LinkLost, "did not answer QUERY_STATUS within 0.25 s"),
        ([b"", b"\x08", b""], ProtocolViolation, "8, which is no status"),
        ([b"", b"\xe3", b""], ProtocolViolation, "227, which is no status"),
        ([b"", b"\xcc", b"\xd0"], ProtocolViolation, "cc d0, where one byte is due"),
        ([LinkLost("gone")], LinkLost, "gone"),
    ],
)
def test_answers_to_a_question(reads, error, message):
    link, _ = link_of(*reads)
    with pytest.raises(error, match=message):
        link.status()


def test_an_answer_that_comes_twice_is_one_answer_and_a_reason_to_resynchronise():
    link, line = link_of(b"", b"\xcc", b"\xcc", b"", b"", b"\x08", b"", b"\xcc", b"")
    assert link.status() is Status.IDLE
    assert link.stray_bytes == 1
    assert link.status() is Status.IDLE
    assert sent(line) == [b"\x80", b"\x84", b"\x80"]
    assert link.resynchronisations == 1


@pytest.mark.parametrize(
    ("line_of_text", "message"),
    [
        (b"a\tb\tc\n", "where four device settings are due"),
        (b"\x80\n", "no plain text"),
        (b"x" * 2000, "a line without end"),
    ],
)
def test_lines_that_are_none(line_of_text: bytes, message: str):
    link, _ = link_of(b"", *[bytes([byte]) for byte in line_of_text])
    with pytest.raises(ProtocolViolation, match=message):
        link.read_settings()


def test_a_line_that_breaks_off():
    link, _ = link_of(b"", b"0", b"4", b"")
    with pytest.raises(LinkLost, match="did not answer READ_VERSION"):
        link.read_version()


@pytest.mark.parametrize("count", [0, 33, 200])
def test_channels_that_cannot_be(count: int):
    link, _ = link_of(b"", bytes([count]), b"")
    with pytest.raises(ProtocolViolation, match=f"reports {count} channels"):
        link.read_channels()


# the way back


def test_after_silence_the_link_asks_for_the_channels_until_they_come_alone():
    link, line = link_of(b"", b"")
    with pytest.raises(LinkLost):
        link.status()
    line.calls.clear()
    # The late answer, then both, then the channels alone, then the answer.
    line.reads[:] = [b"", b"", b"\xd0", b"\x08", b"", b"\x08", b"", b"\xd1", b""]
    assert link.status() is Status.ERROR
    assert sent(line) == [b"\x84", b"\x84", b"\x80"]


def test_a_nic_that_stays_silent_is_lost():
    link, line = link_of(b"\xcc")
    with pytest.raises(LinkLost, match="no longer answers"):
        link.status()
    assert sent(line) == [b"\x84"]


def test_a_nic_that_makes_no_sense_is_lost():
    link, line = link_of(b"\xcc", *[b"", b"\xd0", b""] * 20)
    with pytest.raises(LinkLost, match="make no sense"):
        link.status()
    assert len(sent(line)) == 20


def test_what_arrives_in_a_pause_is_stray():
    link, line = link_of(b"\xcc\xcc")
    link.pause(1.5)
    assert line.calls == [("read", 4096, 1.5)]
    assert link.stray_bytes == 2


# hello


def test_hello():
    link, line = link_of(b"\xcb", b"")
    assert link.hello() is Status.SYNCHRONIZING
    assert line.calls == [("discard",), ("write", b"\x8304.07\x00"), ("read", 1, 2.0), READ_WAITING]
    link, _ = link_of(b"\xcb", b"\xcc")
    assert link.hello() is Status.IDLE


@pytest.mark.parametrize("reads", [[b"", b""], [b"S", b"SH-2.0"], [b"\xcc", b"x"]])
def test_a_stranger_is_no_nic(reads: list[bytes]):
    link, _ = link_of(*reads)
    with pytest.raises(DeviceNotFound, match="no NIC answers"):
        link.hello()


def test_closing():
    link, line = link_of()
    link.close()
    assert link.address == "script"
    assert line.calls == [("close",)]
