"""The emulated instruments against what the programming guides and SCPI itself say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from devices.emulators.faults import parse_faults
from devices.emulators.scpi import EmulatedScpi, main
from devices.emulators.scpi_bench import FAULTS
from devices.emulators.scpi_firmware import Firmware
from devices.emulators.scpi_models import MODELS
from devices.emulators.scpi_tree import ScpiError, Tree, number, word
from tacs.clock import VirtualClock
from tacs.errors import InputError
from tests.devices.scpi_session import FAMILIES, Session, rig_for


class Desk:
    """A firmware and a hand that types."""

    def __init__(self, name: str = "rigol-dg1000z") -> None:
        self.firmware = Firmware(MODELS[name], 0.0)
        self.now_s = 0.0

    def type(self, message: str) -> str:
        self.firmware.receive(message.encode() + b"\n", self.now_s)
        return self.wait(0.002)

    def wait(self, seconds: float) -> str:
        self.now_s += seconds
        self.firmware.advance(self.now_s)
        return self.firmware.take(self.now_s).decode().strip()

    def error(self) -> int:
        return int(self.type("SYST:ERR?").partition(",")[0])

    def volts(self, seconds: float, output: int = 1) -> np.ndarray:
        times_s = self.now_s + np.arange(round(seconds * 1000)) / 1000.0
        self.wait(seconds)
        return self.firmware.drive(output, times_s)


@pytest.fixture
def desk() -> Desk:
    return Desk()


# syntax


@pytest.mark.parametrize(
    "header",
    [
        ":SOURce1:VOLTage:LEVel:IMMediate:AMPLitude", "SOUR1:VOLT", ":sour1:volt:lev", "VOLT",
        "volt:ampl", ":SOURCE1:VOLTAGE", "SOUR:VOLT:IMM:AMPL",
    ],
)  # fmt: skip
def test_long_and_short_forms_in_any_case(desk: Desk, header: str):
    desk.type(f"{header} 0.25")
    assert desk.type(f"{header}?") == "2.500000E-01"
    assert desk.error() == 0


@pytest.mark.parametrize("header", ["SOURC1:VOLT", "VOLTA", "SOUR1VOLT", "SOUR1:VOLT:", "OUTPU1"])
def test_other_lengths_are_undefined(desk: Desk, header: str):
    assert desk.type(f"{header}?") == ""
    assert desk.error() == -113


def test_channel_suffixes(desk: Desk):
    desk.type("SOUR2:FREQ 12.5")
    assert desk.type("SOUR2:FREQ?") == "1.250000E+01"
    assert desk.type("SOUR1:FREQ?") == "1.000000E+03"
    assert desk.type("FREQ?") == "1.000000E+03"
    desk.type("SOUR3:FREQ 1")
    assert desk.error() == -114


def test_compound_messages(desk: Desk):
    assert desk.type(":SOUR1:FREQ 10;VOLT 0.5;:OUTP1 ON;:SOUR1:FREQ?;VOLT?") == (
        "1.000000E+01;5.000000E-01"
    )
    # A relative header goes on in the node of the one before it; a common command changes none.
    assert desk.type(":SOUR2:BURS:NCYC 7;*CLS;MODE TRIG;NCYC?") == "7"
    desk.type(":SOUR1:FREQ 11;OUTP1 OFF")
    assert desk.error() == -113
    assert desk.type("OUTP1?;SOUR1:FREQ?") == "ON;1.100000E+01"  # OUTP1 is at the root


def test_after_an_error_the_rest_of_a_message_is_lost(desk: Desk):
    desk.type(":SOUR1:FREQ 10;FROB 1;VOLT 0.5")
    assert desk.type(":SOUR1:FREQ?") == "1.000000E+01"
    assert desk.type(":SOUR1:VOLT?") == "5.000000E+00"
    assert (desk.error(), desk.error()) == (-113, 0)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("SOUR1:FROB 1", -113),
        ("*FOO", -113),
        ("SOUR1:FREQ", -109),
        ("SOUR1:FREQ 1,2", -108),
        ("SOUR1:FREQ? MIN,MAX", -108),
        ("SOUR1:FREQ abc", -104),
        ("SOUR1:FREQ 10 Volt", -104),
        ("SOUR1:FREQ 1e9", -222),
        ("SOUR1:VOLT 20.1", -222),
        ("SOUR1:VOLT 0.0001", -222),
        ("SOUR1:FUNC SINE", -224),
        ("SOUR1:FUNC SQU", -224),
        ("SOUR1:VOLT:UNIT VRMS", -224),
        ("SOUR1:BURS:MODE SOMETIMES", -224),
        ("SOUR1:BURS:NCYC 0", -222),
        ("SOUR1:BURS:NCYC 1000001", -222),
        ("SOUR1:PHAS 361", -222),
        ("OUTP1 MAYBE", -224),
        ("*TRG", -211),
        ("SOUR1:VOLT:LIM:STAT ON", -113),
        ("ABOR", -113),
    ],
)
def test_error_numbers(desk: Desk, message: str, code: int):
    assert desk.type(message) == ""
    assert desk.error() == code


def test_the_error_queue(desk: Desk):
    for _ in range(25):
        desk.type("FROB")
    codes = [desk.error() for _ in range(21)]
    assert codes == [-113] * 19 + [-350, 0]
    desk.type("FROB")
    desk.type("*CLS")
    assert desk.type("SYST:ERR?") == '0,"No error"'
    assert Desk("keysight-33500b").type("SYST:ERR?") == '+0,"No error"'


def test_numbers_and_words():
    assert number("1.5e1 mHz".replace("mHz", "KHZ"), 0, 1e9) == 15_000.0
    assert number("250mVpp", 0, 1) == 0.25
    assert (number("MIN", 2, 3), number("MAXimum", 2, 3)) == (2, 3)
    assert word("triggered", "TRIGgered", "GATed") == "TRIG"
    for text in ("trigg", ""):
        with pytest.raises(ScpiError):
            word(text, "TRIGgered", "GATed")
    assert list(Tree([], 2).units("; ;")) == []


# what each family says


@pytest.mark.parametrize(
    ("name", "frequency", "on", "load"),
    [
        ("rigol-dg1000z", "1.027000E+01", "ON", "9.900000E+37"),
        ("rigol-dg800", "1.027000E+01", "ON", "9.900000E+37"),
        ("rigol-dg2000", "1.027000E+01", "ON", "9.900000E+37"),
        ("rigol-dg4000", "1.027000E+01", "ON", "INFINITY"),
        ("keysight-33500b", "+1.02700000E+01", "1", "+9.90000000E+37"),
    ],
)
def test_forms_of_answers(name: str, frequency: str, on: str, load: str):
    desk = Desk(name)
    desk.type("SOUR1:FREQ 10.27;:OUTP1:LOAD INF;:OUTP1 ON")
    assert desk.type("SOUR1:FREQ?") == frequency
    assert desk.type("OUTP1?") == on
    assert desk.type("OUTP1:LOAD?") == load
    assert desk.type("*IDN?").count(",") == 3
    assert desk.error() == 0


def test_all_models_are_told_apart():
    assert set(MODELS) == set(FAMILIES)
    assert len({model.identity for model in MODELS.values()}) == len(MODELS)


def test_the_load_changes_what_is_shown_and_not_the_voltage(desk: Desk):
    desk.type("SOUR1:FREQ 10;VOLT 1;:OUTP1 ON")
    assert desk.volts(0.2).max() == pytest.approx(1.0, abs=0.01)  # 1 Vpp into 50 Ω, none there
    desk.type("OUTP1:LOAD INF")
    assert desk.type("SOUR1:VOLT?") == "2.000000E+00"
    assert desk.volts(0.2).max() == pytest.approx(1.0, abs=0.01)
    desk.type("OUTP1:LOAD 50")
    assert desk.type("SOUR1:VOLT?") == "1.000000E+00"


def test_limits_depend_on_load_frequency_and_offset(desk: Desk):
    ask = "SOUR1:VOLT? MAX"
    assert desk.type(ask) == "1.000000E+01"
    assert desk.type("SOUR1:VOLT? MIN") == "1.000000E-03"
    desk.type("OUTP1:LOAD INF")
    assert (desk.type(ask), desk.type("SOUR1:VOLT? MIN")) == ("2.000000E+01", "2.000000E-03")
    desk.type("SOUR1:FREQ 2E7")
    assert desk.type(ask) == "1.000000E+01"
    desk.type("SOUR1:FREQ 10;VOLT 2;VOLT:OFFS 4")
    assert desk.type(ask) == "1.200000E+01"
    desk.type("SOUR1:VOLT:OFFS 9.5")
    assert desk.error() == -222


@pytest.mark.parametrize(
    ("asked", "held"),
    [("0.12344", 0.1234), ("1.2346", 1.235), ("12.347", 12.35), ("0.00204", 0.002)],
)
def test_amplitudes_have_four_digits(desk: Desk, asked: str, held: float):
    desk.type("OUTP1:LOAD INF")
    desk.type(f"SOUR1:VOLT {asked}")
    assert float(desk.type("SOUR1:VOLT?")) == pytest.approx(held)


def test_apply(desk: Desk):
    desk.type(":SOUR1:APPL:SIN 10,2,0.5,90")
    assert desk.type(":SOUR1:APPL?") == (
        '"SIN,1.000000E+01,2.000000E+00,5.000000E-01,9.000000E+01"'
    )
    assert desk.type("OUTP1?") == "OFF"
    keysight = Desk("keysight-33500b")
    keysight.type("APPL:SIN 10,2,0.5")
    assert keysight.type("OUTP1?") == "1"
    keysight.type("APPL:SIN 10,2,0.5,90")
    assert keysight.error() == -108


# what comes out


def burst(desk: Desk, cycles: int = 20, phase: float = 0.0, source: str = "MAN") -> None:
    desk.type(f":OUTP1:LOAD INF;:SOUR1:FREQ 10;VOLT 2;BURS:NCYC {cycles};PHAS {phase}")
    rigol = desk.firmware.model.rigol
    desk.type(f":SOUR1:BURS:TRIG:SOUR {source}" if rigol else "TRIG1:SOUR BUS")
    desk.type("SOUR1:BURS:MODE TRIG;STAT ON")
    desk.type(":OUTP1 ON")
    assert desk.error() == 0


def test_a_burst_has_its_cycles_and_ends_at_zero(desk: Desk):
    burst(desk)
    assert not desk.firmware.playing
    assert not desk.volts(0.1).any()
    desk.type("*TRG")
    assert desk.firmware.playing
    assert desk.firmware.silent_at_s() == pytest.approx(desk.now_s + 2.0)
    volts = desk.volts(2.5)
    assert np.count_nonzero(np.diff(np.sign(volts[:2000])) > 0) in (19, 20)
    assert np.abs(volts[:2000]).max() == pytest.approx(1.0, abs=1e-3)
    assert not volts[2002:].any()
    assert desk.type("OUTP1?") == "ON"
    desk.type("SOUR1:BURS:TRIG")
    assert desk.firmware.playing


@pytest.mark.parametrize("name", ["rigol-dg4000", "keysight-33500b"])
def test_without_an_idle_setting_the_output_rests_at_the_start_phase(name: str):
    desk = Desk(name)
    burst(desk, cycles=5, phase=90.0)
    desk.type("*TRG")
    desk.wait(1.0)
    assert desk.volts(0.1) == pytest.approx(1.0)
    desk.type("SOUR1:BURS:IDLE CENTER")
    assert desk.error() == -113


def test_an_idle_level_of_center_is_none(desk: Desk):
    desk.type("SOUR1:BURS:IDLE CENTER")
    burst(desk, cycles=5, phase=90.0)
    assert not desk.volts(0.1).any()
    desk.type("*TRG")
    assert desk.volts(0.5)[0] == pytest.approx(1.0, abs=0.02)
    desk.wait(0.2)
    assert not desk.volts(0.1).any()


def test_a_trigger_needs_an_output_and_a_source_that_is_one(desk: Desk):
    burst(desk)
    desk.type("OUTP1 OFF;*TRG")
    assert desk.error() == -211
    desk.type("OUTP1 ON;:SOUR1:BURS:TRIG:SOUR EXT;*TRG")
    assert desk.error() == -211
    desk.type("SOUR1:BURS:TRIG:SOUR MAN;*TRG;*TRG")
    assert desk.error() == -211  # the second one, while it plays


def test_amplitude_and_frequency_change_during_a_burst(desk: Desk):
    burst(desk)
    desk.type("*TRG")
    desk.wait(0.498)
    desk.type("SOUR1:VOLT 1")
    assert np.abs(desk.volts(0.2)).max() == pytest.approx(0.5, abs=1e-3)
    desk.type("SOUR1:FREQ 20")  # 13 cycles are left
    assert desk.firmware.silent_at_s() == pytest.approx(desk.now_s + 0.649, abs=0.003)
    desk.type("SOUR1:BURS:NCYC 3")
    assert desk.error() == -221


def test_two_channels_start_together_and_align(desk: Desk):
    for n, phase in ((1, 0), (2, 180)):
        desk.type(f":SOUR{n}:FREQ 10;VOLT 2;PHAS {phase}")
        desk.wait(0.013)
        desk.type(f":OUTP{n} ON")
    desk.type("SOUR1:PHAS:INIT")
    times_s = desk.now_s + np.arange(200) / 1000.0
    desk.wait(0.2)
    one, two = (desk.firmware.drive(n, times_s) for n in (1, 2))
    assert one == pytest.approx(-two, abs=1e-9)


@pytest.mark.parametrize("name", ["rigol-dg800", "rigol-dg2000"])
def test_rigols_limit_refuses(name: str):
    desk = Desk(name)
    desk.type(":OUTP1:LOAD INF;:SOUR1:VOLT 0.5;:OUTP1:VOLL:HIGH 0.3;LOW -0.3;:OUTP1:VOLL ON")
    assert desk.error() == 0
    desk.type("SOUR1:VOLT 0.62")
    assert desk.error() == -222
    assert desk.type("SOUR1:VOLT?") == "5.000000E-01"
    desk.type("OUTP1:VOLL:HIGH 0.2")
    assert desk.error() == -221


def test_keysights_limit_cuts_down_and_tells():
    desk = Desk("keysight-33500b")
    desk.type("OUTP1:LOAD INF;:SOUR1:VOLT:LIM:HIGH 0.3;LOW -0.3;STAT ON;:SOUR1:VOLT 0.7")
    assert desk.error() == -221
    assert desk.type("SOUR1:VOLT?") == "+6.00000000E-01"
    desk.type("OUTP1:LOAD 50")
    assert desk.error() == -221
    desk.type("ABOR")
    assert desk.error() == 0


def test_reset_reboot_and_the_output_key(desk: Desk):
    for end in ("*RST", "reboot", "click"):
        burst(desk)
        desk.type("*TRG")
        if end == "*RST":
            desk.type(end)
        else:
            getattr(desk.firmware, end)(desk.now_s)
        assert desk.type("OUTP1?") == "OFF"
        assert not desk.volts(0.1).any()
        desk.type("*RST")
    assert desk.type("SOUR1:VOLT?") == "5.000000E+00"


def test_lines_take_their_time_one_after_the_other(desk: Desk):
    desk.firmware.receive(b"FREQ?\nFREQ?\nFR", 0.0)
    assert desk.firmware.next_due_s() == pytest.approx(0.002)
    assert desk.wait(0.002) == "1.000000E+03"
    assert desk.wait(0.001) == ""
    assert desk.wait(0.001) == "1.000000E+03"
    desk.firmware.receive(b"EQ?\n", desk.now_s)
    assert desk.wait(0.002) == "1.000000E+03"
    assert desk.firmware.next_due_s() is None


# faults and quirks


def with_fault(tmp_path: Path, fault: str) -> tuple[Session, float]:
    session = Session(tmp_path, faults=[fault])
    session.begin()
    return session, session.start_s


def test_a_glitch_when_the_range_changes(tmp_path: Path):
    session, start_s = with_fault(tmp_path, "range_glitch=2")
    session.to(5.0)
    assert session.driver.status().playing == (1,)
    trace = session.finish()
    ramp = np.abs(trace.between(start_s, start_s + 4.0))
    allowed = np.arange(len(ramp)) / 4000.0 + 0.002
    assert 1.7 < (ramp / allowed).max() <= 2.0
    clean = tmp_path / "clean"
    clean.mkdir()
    other = Session(clean)
    other.begin()
    other.to(5.0)
    ramp = np.abs(other.finish().between(other.start_s, other.start_s + 4.0))
    assert (ramp / (np.arange(len(ramp)) / 4000.0 + 0.002)).max() <= 1.0


def test_a_burst_that_an_amplitude_ends(tmp_path: Path):
    session, start_s = with_fault(tmp_path, "volt_ends_burst@2")
    session.to(3.0)
    assert session.driver.status().playing == (1,)  # it says so; nothing flows
    assert not session.finish().between(start_s + 2.1, np.inf).any()


def test_a_burst_that_an_amplitude_begins_anew(tmp_path: Path):
    session, start_s = with_fault(tmp_path, "volt_restarts_burst")
    session.to(5.0)
    assert session.finish().last_above_s(0.5) - start_s == pytest.approx(4.0 + 14.7, abs=0.2)


def test_channels_that_start_apart():
    desk = Desk()
    desk.firmware.apart_s = 0.01
    for n in (1, 2):
        desk.type(
            f":SOUR{n}:FREQ 10;VOLT 2;BURS:NCYC 20;TRIG:SOUR MAN;:SOUR{n}:BURS ON;:OUTP{n} ON"
        )
    desk.type("*TRG")
    times_s = desk.now_s + np.arange(300) / 1000.0
    desk.wait(0.3)
    one, two = (desk.firmware.drive(n, times_s) for n in (1, 2))
    assert two[150:] == pytest.approx(one[140:-10], abs=1e-6)


def test_a_frequency_that_begins_the_cycle_anew():
    jumps = []
    for resets in (False, True):
        desk = Desk()
        desk.firmware.quirks.frequency_resets_phase = resets
        desk.type(":SOUR1:FREQ 10;VOLT 2;:OUTP1 ON")
        start_s = desk.now_s
        desk.wait(0.323)
        desk.type("SOUR1:FREQ 11")
        desk.wait(0.2)
        times_s = start_s + np.arange(550) / 1000.0
        volts = desk.firmware.drive(1, times_s)
        jumps.append(np.abs(np.diff(volts)).max())
    assert jumps[0] < 0.15 < 0.5 < jumps[1]


def test_stuck_outputs_report_that_they_are_on(desk: Desk):
    desk.type(":SOUR1:FREQ 10;VOLT 2;:OUTP1 ON")
    desk.firmware.stick()
    desk.type("OUTP1 OFF;*RST")
    assert desk.type("OUTP1?") == "ON"
    assert np.abs(desk.volts(0.2)).max() > 0.9
    assert desk.firmware.silent_at_s() == np.inf


def test_every_fault_can_be_written_and_every_wrong_one_is_refused():
    for name, kind in FAULTS.items():
        assert name in EmulatedScpi.faults
        if kind.default is not None:
            parse_faults([name], FAULTS, ["Oz", "Cz"], monitored=True)
    for text in ("range_glitch=0", "slow=-1", "wrong_instrument=", "trigger_apart", "melt"):
        with pytest.raises(InputError, match=text.partition("=")[0]):
            parse_faults([text], FAULTS, ["Oz", "Cz"], monitored=False)


def test_a_dialect_that_is_not_emulated(tmp_path: Path):
    rig = rig_for("siglent-sdg1000x")
    with pytest.raises(InputError, match="'siglent-sdg1000x' is not emulated; there are"):
        EmulatedScpi().in_memory(rig, VirtualClock(), ["Oz", "Cz"], None, [])


def test_help(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    assert "volt_restarts_burst" in capsys.readouterr().out


def test_a_monitor_senses_the_same_voltage():
    desk = Desk()
    desk.type(":SOUR1:FREQ 10;VOLT 2;:OUTP1 ON")
    times_s = desk.now_s + np.arange(100) / 1000.0
    desk.wait(0.1)
    source = desk.firmware.sources[0]
    assert source.sense(times_s) == pytest.approx(desk.firmware.drive(1, times_s))
    before = source.course
    desk.type("SOUR1:VOLT 1")
    assert source.course is not before
