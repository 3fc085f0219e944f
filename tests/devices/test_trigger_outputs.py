"""Trigger outputs: what arrives, when, and what is refused."""

from __future__ import annotations

import os
import threading

import pytest

from devices.trigger_outputs import (
    EMULATED,
    LSL,
    SERIAL,
    EmulatedTrigger,
    LslTrigger,
    SerialTrigger,
)
from tacs.clock import MonotonicClock, VirtualClock
from tacs.errors import DeviceNotFound, InputError, LinkLost
from tacs.triggers import TriggerTimer, open_output


class Line:
    """A serial port that remembers."""

    def __init__(self) -> None:
        self.seen: list[object] = []
        self.closed = False

    @property
    def rts(self) -> bool:
        return bool(self.seen and self.seen[-1])

    @rts.setter
    def rts(self, high: bool) -> None:
        self.seen.append(high)

    def write(self, data: bytes) -> None:
        self.seen.append(data)

    def close(self) -> None:
        self.closed = True


def test_rts_goes_up_and_down_and_is_left_down():
    line = Line()
    output = SerialTrigger("X", port=lambda path, baud: line)
    output.open()
    output.fire(0.0)
    output.close()
    assert line.seen == [False, True, False]
    assert line.closed
    output.close()
    with pytest.raises(LinkLost, match="is not open"):
        output.fire(0.0)


def test_a_byte_arrives_on_a_terminal_line():
    ours, theirs = os.openpty()
    output = SERIAL.make(os.ttyname(theirs), {"byte": "65"}, MonotonicClock())
    output.open()
    output.fire(0.0)
    output.release()
    got = b""
    while len(got) < 3:
        got += os.read(ours, 16)
    output.close()
    os.close(ours)
    os.close(theirs)
    assert got == b"\0A\0"


def test_a_line_that_fails_is_a_lost_link():
    class Broken(Line):
        def write(self, data: bytes) -> None:
            raise OSError("gone")

    output = SerialTrigger("X", byte=1, port=lambda path, baud: Broken())
    with pytest.raises(LinkLost, match="X: gone"):
        output.open()


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("emulated", InputError, "KIND:ADDRESS"),
        ("usb:1", DeviceNotFound, "no trigger output of kind 'usb'"),
        ("emulated:?bits=3", InputError, "no option 'bits'"),
        ("emulated:?width_ms=0", InputError, "a pulse of 0 ms"),
        ("emulated:?width_ms=x", InputError, "could not convert"),
        ("serial:/dev/null", InputError, "real time"),
    ],
)
def test_names_that_make_no_sense_are_refused(text, error, match):
    with pytest.raises(error, match=match):
        open_output(text, VirtualClock())


def test_bytes_and_ports_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="write 1 to 255"):
        SerialTrigger("X", byte=256)
    with pytest.raises(DeviceNotFound, match="cannot be opened"):
        SerialTrigger("/dev/no-such-port").open()
    with pytest.raises(InputError, match="name the stream"):
        LslTrigger("", MonotonicClock())


def test_on_a_virtual_clock_triggers_come_exactly_and_never_for_the_past():
    clock = VirtualClock(100.0)
    output = EMULATED.make("", {}, clock)
    timer = TriggerTimer(output, clock)
    timer.open()
    assert not timer.at(99.999)
    assert timer.at(100.25)
    assert timer.at(100.5)
    clock.wait(101.0)
    timer.close()
    rises = [t for t, high in output.edges if high]
    assert rises == [100.25, 100.5]
    assert [round(f.before_s - f.asked_s, 9) for f in timer.taken()] == [0.0, 0.0]
    assert not timer.at(200.0)


def test_on_the_machines_clock_a_trigger_is_not_early_and_ends():
    clock = MonotonicClock()
    all_ended = threading.Event()

    class Noting(EmulatedTrigger):
        def release(self) -> None:
            super().release()
            if len(self.edges) == 11:
                all_ended.set()

    output = Noting(clock, width_s=0.001)
    timer = TriggerTimer(output, clock)
    timer.open()
    asked = [clock.now_s() + 0.02 * (i + 1) for i in range(5)]
    assert all(timer.at(t) for t in asked)
    assert all_ended.wait(20.0)
    timer.close()
    fired = timer.taken()
    assert [f.asked_s for f in fired] == asked
    assert all(f.before_s >= f.asked_s for f in fired)
    assert [high for _, high in output.edges] == [False, *[True, False] * 5]


@pytest.mark.parametrize("error", [LinkLost("the cable is out"), ValueError("the cable is out")])
def test_an_output_that_fails_is_known_at_once_and_its_line_is_down(error):
    class Broken(EmulatedTrigger):
        def fire(self, at_s: float) -> None:
            super().fire(at_s)
            raise error

    clock = VirtualClock()
    output = Broken(clock)
    timer = TriggerTimer(output, clock)
    timer.open()
    assert timer.at(1.0)
    assert timer.at(1.5)
    clock.wait(1.0)
    assert "the cable is out" in timer.problem
    assert output.edges == [(0.0, False), (1.0, True), (1.0, False)]
    clock.wait(2.0)
    assert len(output.edges) == 3
    assert not timer.taken()
    with pytest.raises(InputError, match="the cable is out"):
        timer.at(3.0)
    timer.close()


def test_on_the_machines_clock_too_an_error_of_any_kind_is_known():
    class Broken(EmulatedTrigger):
        def fire(self, at_s: float) -> None:
            super().fire(at_s)
            raise RuntimeError("gone")

        def release(self) -> None:
            super().release()
            down.set()

    down, clock = threading.Event(), MonotonicClock()
    output = Broken(clock)
    timer = TriggerTimer(output, clock)
    timer.open()
    down.clear()
    assert timer.at(clock.now_s() + 0.02)
    assert down.wait(20.0)
    assert timer.problem == "a trigger failed: RuntimeError: gone"
    assert not output.edges[-1][1]
    timer.close()


def test_a_pulse_that_was_begun_is_ended_by_closing():
    clock = VirtualClock()
    output = EmulatedTrigger(clock, width_s=0.5)
    timer = TriggerTimer(output, clock)
    timer.open()
    timer.at(1.0)
    clock.wait(1.2)
    timer.close()
    assert output.edges[-1] == (1.2, False)


def test_a_port_that_cannot_be_used_is_closed_and_closing_never_raises():
    class Gone(Line):
        def write(self, data: bytes) -> None:
            raise OSError("gone")

        def close(self) -> None:
            super().close()
            raise OSError("gone as well")

    line = Gone()
    output = SerialTrigger("X", byte=1, port=lambda path, baud: line)
    with pytest.raises(LinkLost, match="X: gone"):
        TriggerTimer(output, VirtualClock()).open()
    assert line.closed


def test_a_port_is_opened_with_its_line_down(monkeypatch):
    import serial

    opened: list[bool] = []

    class Port:
        def __init__(self, path: str | None, *rest: object, **options: object) -> None:
            self.port, self.rts = path, True

        def open(self) -> None:
            opened.append(self.rts)

        def close(self) -> None:
            """Nothing to close."""

    monkeypatch.setattr(serial, "Serial", Port)
    SerialTrigger("X").open()
    assert opened == [False]


def test_a_marker_arrives_with_the_time_that_was_meant():
    lsl = pytest.importorskip("mne_lsl.lsl")
    clock = MonotonicClock()
    name = f"tacs-markers-{os.getpid()}"
    output = LSL.make(name, {"marker": "now"}, clock)
    output.open()
    found = lsl.resolve_streams(5.0, name=name, minimum=1)
    inlet = lsl.StreamInlet(found[0])
    inlet.open_stream(timeout=10.0)
    meant_s = clock.now_s() + 0.25
    expected_s = lsl.local_clock() + 0.25
    output.fire(meant_s)
    sample, stamp_s = inlet.pull_sample(timeout=10.0)
    inlet.close_stream()
    output.close()
    assert list(sample) == ["now"]
    assert stamp_s == pytest.approx(expected_s, abs=0.05)
