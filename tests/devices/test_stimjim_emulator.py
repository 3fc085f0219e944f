"""The emulated StimJim by its protocol page, without the driver."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devices.emulators.stimjim import EmulatedStimjim
from devices.emulators.stimjim_bench import FAULTS, StimjimBench
from devices.emulators.stimjim_firmware import Firmware
from devices.emulators.stimjim_output import MA_PER_STEP, CurrentOutput, Piece, steps_of
from tacs.clock import VirtualClock
from tacs.driver import find_driver, find_emulator
from tacs.errors import InputError
from tests.devices.stimjim_session import RIG

TRAIN = "W5,1,1,10000000,10000000;1000,500,10000000;10.27,10.27,0;0,90,0;2000000,3000000,0"


class Device:
    """A firmware that is told lines and asked for what it says."""

    def __init__(self) -> None:
        self.firmware = Firmware(0.0)
        self.now_s = 0.0

    def say(self, *lines: str) -> str:
        for line in lines:
            self.firmware.receive(line.encode() + b"\n", self.now_s)
        return self.firmware.take(self.now_s + 0.01).decode()

    def to(self, now_s: float) -> str:
        self.now_s = now_s
        self.firmware.advance(now_s)
        return self.firmware.take(now_s + 0.01).decode()


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("", ""),
        ("# a comment", ""),
        ("STAT", "STAT,-1,0,0,0,-1,0,0,0\n"),
        ("STAT\r", "STAT,-1,0,0,0,-1,0,0,0\n"),
        ("W5?", "S5,3,3,10000,500000\r\n"),
        ("MEAS5?", "MEAS5,3,3,0,-1,0,1\r\n"),
        ("TRIG0?", "TRIG0,3,-1,-1,0\r\n"),
        ("TRIG1,2,3,-1,1", "TRIG1,2,3,-1,1\r\n"),
        ("TRIG2,0,-1,-1,0", "ERR TRIG: need trigger input 0 or 1\n"),
        ("TRIG0,4,-1,-1,0", "ERR TRIG: field out of range\n"),
        ("TRIG0,1", "ERR TRIG: need <mode>,<slot0>,<slot1>,<edge>\n"),
        ("M0?", "M0,3\n"),
        ("M0,1", "Set channel 0 to mode 1\r\n"),
        ("M2,1", "ERR M: channel must be 0 or 1\n"),
        ("M0,4", "ERR M: mode must be 0-3 (90/91 exist in train definitions only)\n"),
        ("READ1", "READ,1,16,0.00,0.00,0.00,0.00\n"),
        ("READ1,100", "READ,1,100,0.00,0.00,0.00,0.00\n"),
        ("READ1,0", "ERR READ: n must be 1-10000\n"),
        ("T", "ERR T: need a slot index (or -1 to stop)\n"),
        ("Tfoo", "ERR Tfoo: unknown command\n"),
        ("T100", "Invalid PulseTrain index.\r\n"),
        ("T-1", "Forcing T train to stop\r\n"),
        ("U-1", "Forcing U train to stop\r\n"),
        ("X1", "ERR X: unknown command\n"),
        ("FOO", "ERR FOO: unknown command\n"),
        ("17", "ERR parse: expected command word\n"),
        ("S5,3,3,1,1", "ERR S: not modelled by this emulator\n"),
        ("W", "ERR W: need a slot index 0-99\n"),
        ("W100?", "ERR W: slot index out of range 0-99\n"),
        ("W5", "ERR W: expected ',' , '?' or end of line after the index\n"),
        ("x" * 1000, "ERR line too long (max 999)\n"),
    ],
)  # fmt: skip
def test_lines_and_their_replies(device: Device, line: str, reply: str):
    assert device.say(line) == reply


@pytest.mark.parametrize(
    ("old", "new", "objection"),
    [
        ("10.27,10.27,0", "x,10.27,0", "bad frequency triplet (freq0)"),
        ("10.27,10.27,0", "10.2701,10.27,0", "bad frequency triplet (freq0)"),
        ("10.27,10.27,0", "10.27,.,0", "bad frequency triplet (freq1)"),
        ("10.27,10.27,0", "10.27,10.27", "frequency triplet needs its 3rd (reserved) field"),
        ("10.27,10.27,0", "-10.27,10.27,0", "negative frequency not supported"),
        ("0,90,0;", "0,,0;", "bad phase triplet (phase1)"),
        ("1000,500,", "1000,,", "bad amplitude triplet (amp1)"),
        ("2000000,3000000,0", "9000000,3000000,0", "envelope rampIn+rampOut exceeds duration_us"),
        ("2000000,3000000,0", "1,1,1", "envelope shape 1 (raised-cosine) is reserved, use 0"),
        ("3000000,0", "3000000,0,7", "unexpected text after last field"),
        ("3000000,0", "3000000,0;1", "unexpected text after last field"),
        ("W5,1,1,10000000,", "W5,1,1,0,", "period_us must be > 0"),
        ("W5,1,1,10000000,", "W5,1,1,-1,", "bad or missing period_us"),
        ("W5,1,1,10000000,", "W5,1,1,4294967296,", "bad or missing period_us"),
        ("W5,1,1,", "W5,4,1,", "mode must be 0-3 or 90/91 (V/I without measurement)"),
        (",10000000;1000", ",10000000,2000000001;1000", "delay_us exceeds 2000000000 us (2000 s)"),
    ],
)
def test_objections_leave_the_slot_as_it_was(device: Device, old: str, new: str, objection: str):
    device.say(TRAIN)
    assert device.say(TRAIN.replace(old, new, 1)) == f"ERR W: {objection}\n"
    assert device.say("W5?") == TRAIN + "\r\n"


def test_a_train_is_echoed_in_its_canonical_form(device: Device):
    line = "W7,91,3,100,200,5 ;1, 2,100;10.270,.5,0;-90,360.25,0"
    assert device.say(line) == "W7,91,3,100,200,5;1,2,100;10.27,0.5,0;-90,360.25,0;0,0,0\r\n"
    assert device.say("MEAS7?") == "MEAS7,0,3,3,-1,0,1\r\n"
    assert "W7,91,3,100,200,5;" in device.say("DUMP")


def test_cautions_come_before_the_echo(device: Device):
    loud = TRAIN.replace(";1000,", ";3001,")
    warning, echo = device.say(loud).splitlines()
    assert warning == "WARN W: amplitudes above 3000 uA convert incorrectly on the DAC"
    assert echo == loud
    device.say(TRAIN.replace("W5,1,1", "W6,1,3"))
    assert device.say("MEAS6,3,3,3,-1,1").startswith("WARN MEAS: channel not driven")
    assert device.say("MEAS6,3,0,0,-1").startswith("ERR MEAS: sine slots require when")
    assert device.say("MEAS6,3,0,3,0").startswith("ERR MEAS: sine slots have no stages")
    assert device.say("MEAS6,4,0,3,-1").startswith("ERR MEAS: field out of range")
    assert device.say("MEAS6,1,0").startswith("ERR MEAS: need")


def test_a_running_slot_cannot_be_edited_and_nothing_else_starts(device: Device):
    device.say(TRAIN)
    assert device.say("T5") == "\r\nStarted T train with parameters of PulseTrain 5\r\n"
    assert device.say(TRAIN).startswith("ERR W: slot is attached to a running train — stop first")
    assert device.say("MEAS5,0,0,3,-1").startswith("ERR MEAS: slot is attached")
    assert device.say("T5") == "WARN T: engine busy (slot 5) — start dropped, stop with T-1\n"
    assert device.say("U5").startswith("WARN U: channel conflict with the running T train")
    assert device.say("READ0").startswith("ERR READ: engine busy")
    device.to(4.0)
    assert device.say("STAT") == "STAT,5,0,3999940,10000000,-1,0,0,0\n"


def test_trains_that_are_not_modelled_are_not_started(device: Device):
    device.say(TRAIN.replace("1000,500,10000000", "1000,500,5000000"))
    assert device.say("T5").startswith("WARN T: not modelled")
    device.say(TRAIN.replace("W5,1,1", "W5,0,1"))
    assert device.say("T5").startswith("WARN T: not modelled")
    assert not device.firmware.playing


def test_a_train_plays_measures_and_ends(device: Device):
    device.say(TRAIN, "MEAS5,3,3,3,-1,1", "T5")
    said = device.to(3.0)
    first, second = [line.split(",") for line in said.splitlines()]
    assert first[:4] == ["MDATA", "5", "0", "90"]
    assert second[:4] == ["MDATA", "5", "0", "270"]
    assert float(first[5]) == pytest.approx(1000.0, abs=0.85)
    assert float(first[4]) == pytest.approx(9994.2, abs=3.0)  # its converter's range ends here
    assert float(second[5]) == pytest.approx(-1000.0, abs=2.0)
    assert float(first[7]) == pytest.approx(0.0, abs=6.0)  # a quarter of a cycle ahead
    done = device.to(11.0)
    assert done.startswith("Train #1 complete. Delivered 1 pulses.\r\nMSUM,5,1,90,")
    assert all(len(line.split(",")) == 12 for line in done.splitlines()[1:])
    assert device.say("STAT") == "STAT,-1,0,0,0,-1,0,0,0\n"


def test_the_waveform_is_that_of_the_page(device: Device):
    device.say(TRAIN, "T5")
    device.to(12.0)
    times_s = np.arange(12_000) / 1000.0
    held_s = np.floor((times_s - 60e-6 + 1e-9) * 1000.0) / 1000.0
    envelope = np.interp(held_s, [0.0, 2.0, 7.0, 10.0], [0.0, 1.0, 1.0, 0.0])
    for number, peak_ma, phase in ((1, 1.0, 0.0), (2, 0.5, 0.25)):
        wanted = peak_ma * envelope * np.sin(2 * np.pi * (10.27 * held_s + phase))
        wanted[times_s < 60e-6] = 0.0
        got = device.firmware.drive(number, times_s)
        assert np.abs(got - wanted).max() <= 2.0 * MA_PER_STEP
        np.testing.assert_allclose(got / MA_PER_STEP, np.rint(got / MA_PER_STEP), atol=1e-9)
        assert not got[times_s > 10.001].any()


def test_a_stop_is_a_step_and_prints_the_summary(device: Device):
    device.say(TRAIN, "T5")
    device.to(3.0)
    assert "MSUM,5,1,90" in device.say("T-1")
    times_s = 2.9 + np.arange(200) / 1000.0
    got = device.firmware.drive(1, times_s)
    device.to(4.0)
    assert np.abs(got[times_s < 2.999]).max() > 0.9
    assert not got[times_s > 3.0005].any()


def test_fast_sines_have_64_samples_in_a_cycle(device: Device):
    device.say(TRAIN.replace("10.27,10.27", "50,50"), "T5")
    device.to(4.0)
    times_s = 3.0 + np.arange(20_000) / 1e6
    assert len(np.unique(np.floor((times_s - 60e-6) * 3200))) - 1 == 64
    assert np.count_nonzero(np.diff(device.firmware.drive(1, times_s))) <= 64


def test_a_constant_current_flows_in_mode_1_only(device: Device):
    device.say("A0,1000")
    assert not device.firmware.playing
    device.say("M0,1")
    assert device.firmware.playing
    assert device.firmware.silent_at_s() == math.inf
    assert device.say("READ0").split(",")[5] == "102.00"  # 101.7 in steps of 0.85
    device.say("M0,3")
    assert not device.firmware.playing


def test_edges_and_the_button_start_what_is_routed(device: Device):
    device.say(TRAIN)
    device.firmware.click(0.0)
    assert not device.firmware.playing
    device.say("TRIG0,1,5,-1,0")
    device.firmware.click(0.0)
    assert device.firmware.playing
    device.firmware.edge(0, 0.1)
    assert "WARN TRIG: engine busy" in device.to(0.2)


def test_stock_firmware_takes_no_notice_of_what_it_does_not_know():
    device = Device()
    device.firmware.stock = True
    assert device.say("IDN", "STAT", "WAT?") == ""
    assert device.say("D").startswith("ADC offsets (+-2.5V)")
    assert device.say("M0,3") == "Set channel 0 to mode 3\r\n"
    assert "Started T train with parameters of PulseTrain 0" in device.say("Tfoo")


@given(lines=st.lists(st.text("WTUMSTARED0123456789,;-?.\r ", max_size=60)))
@example(lines=["T0", "U0", "TRIG0,1,0,-1,0"])
@example(lines=["W5,1,3,1,1;1,1,1;0,0,0;0,0,0", "T5", "M0,3"])
def test_no_line_raises_or_starts_without_a_start(lines: list[str]):
    firmware = Firmware(0.0)
    for k, line in enumerate(lines):
        firmware.receive(line.encode() + b"\n", 0.1 * k)
        if any(firmware._engines):
            assert any(c in "".join(lines[: k + 1]) for c in "TU")
        firmware.take(0.1 * k)
    firmware.advance(1e5)
    firmware.drive(1, np.array([0.0, 1e5]))


@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes):
    firmware = Firmware(0.0)
    firmware.receive(data, 0.0)
    firmware.receive(b"\nSTAT\n", 0.1)
    assert firmware.take(1.0).endswith(b"-1,0,0,0\n")


# outputs and bench


def test_amplitudes_are_cut_off_at_whole_steps():
    assert [steps_of(x) for x in (0.0, 0.1, 0.1017, 1000.0, -1000.0)] == [0, 0, 1, 9832, -9832]
    assert all(steps_of(x) * MA_PER_STEP * 1000.0 <= x + 1e-9 for x in range(3001))


def test_an_output_that_sticks_goes_on_at_its_level():
    output = CurrentOutput(0.0)
    output.go_on_as(Piece(start_s=1.0, steps=1000, frequency_hz=10.0, knots=((0, 0), (10, 1))))
    output.stick(6.0)
    output.silence(7.0)
    course = output.course
    times_s = np.arange(20_000) / 1000.0
    peaks = np.abs(output.values(times_s)).reshape(-1, 1000).max(axis=1) / MA_PER_STEP / 1000.0
    assert peaks[7:] == pytest.approx(np.full(13, 0.5), abs=1e-3)
    output.forget(10.0)
    assert output.course is course
    assert np.abs(output.values(times_s[10_000:])).max() > 0.0


def test_pieces_follow_each_other_and_old_ones_are_forgotten():
    output = CurrentOutput(0.0)
    for k in range(1, 5):
        output.go_on_as(Piece(start_s=float(k), constant_steps=k))
    output.go_on_as(Piece(start_s=4.0, constant_steps=9))  # at the same instant: instead
    times_s = np.arange(0.5, 5.5)
    assert output.values(times_s) / MA_PER_STEP == pytest.approx([0, 1, 2, 3, 9])
    output.forget(3.5)
    assert output.values(times_s[3:]) / MA_PER_STEP == pytest.approx([3, 9])


def test_what_is_measured_is_what_flows():
    bench = StimjimBench(RIG, ["Oz=15", "Cz=15"], None, [], 0.0)
    assert bench.firmware.load(0, 0.2, 0.0) == pytest.approx((6000.0, 200.0))
    assert bench.firmware.load(0, 1.0, 0.0) == pytest.approx((13_700.0, 13_700.0 / 30.0))
    assert bench.firmware.load(1, 0.2, 0.0) == (13_700.0, 0.0)  # nobody is attached
    assert bench.firmware.load(1, 0.0, 0.0) == (0.0, 0.0)
    bench.electrodes.detach("Oz", 1.0)
    assert bench.firmware.load(0, -0.2, 2.0) == (-13_700.0, 0.0)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("melt", "unknown; known: alter_train"),
        ("wrong_firmware=K", "neither quiet nor banner"),
        ("wrong_version=0", "1 or more"),
        ("clock_ppm=fast", "could not convert"),
        ("monitor_silent", "no current monitor"),
    ],
)
def test_faults_that_cannot_be(fault: str, message: str):
    with pytest.raises(InputError, match=message):
        StimjimBench(RIG, ["Oz", "Cz"], None, [fault], 0.0)


def test_two_runs_are_the_same_to_the_byte(tmp_path: Path):
    for name in ("a", "b"):
        clock, trace = VirtualClock(), tmp_path / f"{name}.tsv.gz"
        emulator = EmulatedStimjim().in_memory(RIG, clock, ["Oz", "Cz"], trace, ["gain@3=2"])
        emulator.transport.write(f"{TRAIN}\nT5\n".encode())
        assert emulator.finish(timeout_s=30.0) is not None
    assert (tmp_path / "a.tsv.gz").read_bytes() == (tmp_path / "b.tsv.gz").read_bytes()


def test_entry_points_find_driver_and_emulator():
    assert find_driver("stimjim").capabilities.name == "stimjim"
    assert find_emulator("stimjim").faults == {n: k.sentence for n, k in FAULTS.items()}


def test_its_process_says_what_it_can_be_given():
    command = [sys.executable, "-P", "-m", "devices.emulators.stimjim", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "wrong_firmware" in told
    assert "clock_ppm" in told
