"""The link to the letter: how long it listens, when it shakes hands again, what it counts."""

from __future__ import annotations

import pytest

from devices import synthpal_wire as wire
from devices.synthpal_wire import SynthPalLink
from devices.transport import Transport
from tacs.errors import DeviceNotFound, DeviceRefused, LinkLost, ProtocolViolation

HELLO = b"S\x01\x00\x00\x00"
READ_WAITING = ("read", 4096, 0.0)
HEAR = ("read", 4096, 0.05)


class Script(Transport):
    """Gives each read its own answer, and keeps every call."""

    address = "script"

    def __init__(self, *reads: bytes | Exception) -> None:
        self.reads = list(reads)
        self.calls: list[tuple[object, ...]] = []

    def write(self, data: bytes) -> None:
        self.calls.append(("write", data))

    def read(self, n: int, timeout_s: float) -> bytes:
        self.calls.append(("read", n, timeout_s))
        answer = self.reads.pop(0) if self.reads else b""
        if isinstance(answer, Exception):
            raise answer
        return answer

    def discard_input(self) -> None:
        self.calls.append(("discard",))

    def close(self) -> None:
        self.calls.append(("close",))

    @property
    def ops(self) -> list[int]:
        return [call[1][1] for call in self.calls if call[0] == "write"]  # type: ignore[index]


def in_step(link: SynthPalLink, line: Script) -> bool:
    """Whether the next command goes out without a handshake before it."""
    line.calls.clear()
    line.reads[:] = [b"", HELLO, b"", b"\x01"] if not link._in_step else [b"", b"\x01"]
    link.set_waveforms([0] * 4)
    return line.ops == [87]


def test_numbers_of_the_protocol():
    assert (wire.N_CHANNELS, wire.ALL_CHANNELS) == (4, 0b1111)


def test_which_commands_are_confirmed():
    confirmed = {command.op for command in wire.COMMANDS if command.confirmed}
    assert confirmed == {70, 87, 65, 77, 86, 68, 66, 69, 84, 73, 85, 99}


def test_a_question_listens_a_quarter_of_a_second():
    line = Script(b"", b"\x00" * 17)
    link = SynthPalLink(line)
    assert link.address == "script"
    link.status()
    assert line.calls == [READ_WAITING, ("write", b"\xd5\x47"), ("read", 17, 0.25)]
    line.calls.clear()
    link.trigger(1)
    assert line.calls == [READ_WAITING, ("write", b"\xd5\x50\x01")]


def test_a_handshake_listens_until_the_line_is_quiet():
    line = Script(b"", b"\x01\x02", HELLO, b"")
    assert SynthPalLink(line).handshake() == (ord("S"), 1)
    assert line.calls == [("discard",), ("write", b"\xd5\x48"), *[HEAR] * 4]


def test_a_handshake_goes_on_while_bytes_come():
    line = Script(HELLO, b"W\x02\x00\x00\x00", b"")
    assert SynthPalLink(line).handshake() == (ord("W"), 2)
    assert line.calls.count(HEAR) == 3


@pytest.mark.parametrize("heard", [b"", b"S\x01\x00\x00"])
def test_a_handshake_gives_up_after_a_second(heard: bytes):
    line = Script(heard)
    with pytest.raises(DeviceNotFound, match="script: no Synth Pal answers"):
        SynthPalLink(line).handshake()
    assert line.calls.count(HEAR) == 20


def test_a_handshake_brings_the_link_back_into_step():
    line = Script(b"\x09")
    link = SynthPalLink(line)
    link.pause(0.5)
    assert line.calls == [("read", 4096, 0.5)]
    assert link.stray_bytes == 1
    assert not in_step(link, line)
    assert link.resynchronisations == 1
    assert in_step(link, line)


def test_a_quiet_pause_changes_nothing():
    line = Script()
    link = SynthPalLink(line)
    link.pause(0.5)
    assert link.stray_bytes == 0
    assert in_step(link, line)


def test_stray_bytes_add_up():
    line = Script(b"\x01\x02", b"\x03")
    link = SynthPalLink(line)
    link.pause(0.1)
    link.pause(0.1)
    assert link.stray_bytes == 3


def test_a_refusal_leaves_the_link_in_step_and_nonsense_does_not():
    line = Script(b"", b"\x00")
    link = SynthPalLink(line)
    with pytest.raises(DeviceRefused):
        link.set_waveforms([0] * 4)
    assert in_step(link, line)
    line.reads[:] = [b"", b"\x02"]
    with pytest.raises(ProtocolViolation):
        link.set_waveforms([0] * 4)
    assert not in_step(link, line)


def test_a_device_that_is_gone_or_another_stays_out_of_step():
    line = Script(b"\x01")
    link = SynthPalLink(line)
    link.pause(0.1)
    with pytest.raises(LinkLost, match="no longer answers"):
        link.status()
    line.reads[:] = [b"", b"W\x01\x00\x00\x00", b""]
    with pytest.raises(LinkLost, match="make no sense any more"):
        link.status()
    assert not in_step(link, line)


def test_what_is_sent_without_waiting_clears_its_own_replies():
    line = Script(b"\x01", b"")
    link = SynthPalLink(line)
    link.send_unanswered(b"\xd5\x58\x0f", 1)
    assert line.calls == [("write", b"\xd5\x58\x0f"), ("read", 1, 0.05), READ_WAITING]
    assert in_step(link, line)


@pytest.mark.parametrize("reads", [[b"", b""], [b"\x01", b"\x01"], [LinkLost("gone")]])
def test_another_number_of_replies_puts_it_out_of_step(reads: list[bytes | Exception]):
    line = Script(*reads)
    link = SynthPalLink(line)
    link.send_unanswered(b"\xd5\x58\x0f", 1)
    assert not in_step(link, line)


def test_a_link_that_is_lost_while_nothing_was_to_be_heard_is_not_out_of_step():
    line = Script(LinkLost("gone"))
    link = SynthPalLink(line)
    link.send_unanswered(b"\xd5\x58\x0f", 0)
    assert in_step(link, line)


def test_closing_releases_the_port():
    line = Script()
    SynthPalLink(line).close()
    assert line.calls == [("close",)]


@pytest.mark.parametrize(("name", "shown"), [("", b"      "), ("TACSUITE", b"TACSUI")])
def test_a_client_name_has_six_letters(name: str, shown: bytes):
    line = Script()
    SynthPalLink(line).set_client_name(name)
    assert line.calls[-1] == ("write", b"\xd5\x59" + shown)
