from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.analog import Chain
from devices.scpi import Scpi
from devices.scpi_dialects import DIALECTS, dialect_of
from tacs.clock import MonotonicClock, VirtualClock
from tacs.driver import Driver
from tacs.errors import (
    DeviceError,
    DeviceNotFound,
    DeviceRefused,
    InputError,
    LinkLost,
    ProtocolViolation,
    SafetyRefusal,
    UncertainDelivery,
)
from tests.devices.scpi_session import FAMILIES, Session, program, rig_for

FULL_STOP = [
    ":OUTP1 OFF", ":OUTP2 OFF", ":SOUR1:BURS OFF", ":SOUR1:BURS ON", ":SOUR1:VOLT 0.0020",
]  # fmt: skip


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


# connecting


def test_connect_to_the_letter(session: Session):
    identity = session.driver.connect()
    assert session.sent == [
        ["*IDN?"],
        [":OUTP1 OFF", ":OUTP2 OFF", "*CLS", "*RST"],
        ["*OPC?"],
        ["*CLS", ":SYST:ERR?"],
        [":OUTP1 OFF", ":OUTP2 OFF", ":SYST:ERR?"],
        [":OUTP1?", ":OUTP2?"],
    ]
    assert identity.model == "Rigol Technologies DG1062Z"
    assert identity.details["dialect"] == "rigol-dg1000z"
    assert not session.finish().currents_ma["Oz"].any()


@pytest.mark.parametrize("dialect", FAMILIES)
def test_every_family_is_recognised(tmp_path: Path, dialect: str):
    session = Session(tmp_path, dialect)
    assert session.driver.connect().details["dialect"] == dialect
    assert session.driver.status().playing == ()


@pytest.mark.parametrize(
    ("maker", "model", "name", "channels"),
    [
        ("Rigol Technologies", "DG811", "rigol-dg800", 1),
        ("Rigol Technologies", "DG832", "rigol-dg800", 2),
        ("RIGOL TECHNOLOGIES", "DG1022Z", "rigol-dg1000z", 2),
        ("Rigol Technologies", "DG2102", "rigol-dg2000", 2),
        ("Rigol Technologies", "DG4202", "rigol-dg4000", 2),
        ("Keysight Technologies", "33511B", "keysight-33500b", 1),
        ("Agilent Technologies", "33522B", "keysight-33500b", 2),
        ("Rigol Technologies", "DG1022", None, 0),
        ("Rigol Technologies", "DS1054Z", None, 0),
        ("Siglent Technologies", "SDG1032X", None, 0),
        ("Agilent Technologies", "33120A", None, 0),
    ],
)
def test_who_is_who(maker: str, model: str, name: str | None, channels: int):
    dialect = dialect_of(maker, model)
    assert (dialect.name if dialect else None) == name
    assert dialect is None or dialect.n_channels(model) == channels


def test_what_was_left_playing_is_silenced(session: Session):
    now_s = session.now_s
    for line in (":OUTP1:LOAD INF", ":SOUR1:APPL:SIN 10,2,0.3,0", ":OUTP1 ON", ":FROBNICATE"):
        session.firmware.receive(line.encode() + b"\n", now_s)
    session.clock.wait(now_s + 1.0)
    session.driver.connect()
    connected_s = session.now_s
    session.clock.wait(connected_s + 0.5)
    trace = session.finish()
    assert np.abs(trace.between(now_s + 0.1, now_s + 1.0)).max() > 2.0
    assert not trace.between(connected_s, np.inf).any()


def test_another_instrument_is_refused_by_name_and_told_nothing(tmp_path: Path):
    session = Session(tmp_path, faults=["wrong_instrument"])
    with pytest.raises(DeviceNotFound, match="Siglent Technologies SDG1032X answers; this driver"):
        session.driver.connect()
    session.driver.close()
    assert session.sent == [["*IDN?"]]


def test_another_family_than_the_rig_says_is_refused(tmp_path: Path):
    session = Session(
        tmp_path, faults=["wrong_instrument=Agilent Technologies,33522B,MY0,4.00-1.19"]
    )
    with pytest.raises(DeviceNotFound, match="which is keysight-33500b; rig"):
        session.driver.connect()


def test_a_channel_that_the_model_does_not_have_is_refused(tmp_path: Path):
    session = Session(
        tmp_path, "rigol-dg800", faults=["wrong_instrument=Rigol Technologies,DG811,D,1"]
    )
    with pytest.raises(InputError, match="channel 2 does not exist; DG811 has 1"):
        session.driver.connect()


@pytest.mark.parametrize(
    ("fault", "message"),
    [("drop_reply@on", "no answer to"), ("wrong_instrument=no such thing", "four fields")],
)
def test_who_does_not_answer_is_not_found(tmp_path: Path, fault: str, message: str):
    session = Session(tmp_path, faults=[fault])
    with pytest.raises(DeviceNotFound, match=message):
        session.driver.connect()


def test_an_output_that_cannot_be_switched_off_is_not_connected(session: Session):
    for line in ("OUTP1:LOAD INF", "OUTP1 ON"):
        session.asked(line)
    session.firmware.stick()
    with pytest.raises(UncertainDelivery, match="output 1 is on after it was switched off"):
        session.driver.connect()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "other"}, "for the device 'other'"),
        ({"options": {"dialect": "siglent"}}, "dialect 'siglent' is unknown; write one of"),
        ({"options": {"speed": 3}}, "options.speed is unknown"),
    ],
)
def test_rigs_that_do_not_fit(changes: dict, message: str):
    rig = rig_for().model_copy(update=changes)
    for refusal in (lambda: Scpi.over(None, rig), lambda: Scpi.open("x", rig, MonotonicClock())):
        with pytest.raises(InputError, match=message) as raised:
            refusal()
        assert "\n" not in str(raised.value)


def test_a_voltage_source_needs_a_rig_and_channels_that_exist():
    with pytest.raises(InputError, match="voltage source"):
        Scpi.over(None, None)
    beyond = rig_for().channels[0].model_copy(update={"channel": 3})
    with pytest.raises(InputError, match="channel 3 does not exist"):
        Scpi.over(None, rig_for(channels=(beyond,)))


@pytest.mark.parametrize("address", ["", "/dev/ttyUSB0", "10.0.0.7:5555", "USB0"])
def test_addresses_that_are_none(address: str):
    with pytest.raises(InputError, match="no address of an SCPI instrument"):
        Scpi.open(address, rig_for(), MonotonicClock())


def test_a_virtual_clock_cannot_wait_for_an_instrument():
    for address in ("socket://localhost:1", "TCPIP0::localhost::INSTR"):
        with pytest.raises(InputError, match="virtual clock"):
            Scpi.open(address, rig_for(), VirtualClock())


def test_capabilities_state_what_limits_need():
    found = Scpi.capabilities
    assert issubclass(Scpi, Driver)
    assert (found.verified, found.impedance, found.current_readback) == (False, False, False)
    assert (found.host_loss, found.frequency_change) == ("programme", "stop_first")
    assert found.waveforms == ("tacs",)
    assert found.after_host_loss_s(1200.0) == pytest.approx(1202.75)
    assert any("glitch" in fault for fault in found.not_detectable)


def test_nothing_goes_without_connecting(session: Session):
    with pytest.raises(InputError, match="connect to the instrument first"):
        session.driver.configure(program())
    session.driver.emergency_stop()
    session.driver.soft_stop()
    session.driver.close()
    assert session.sent == []


# configuring


RIGOL_SETTINGS = [
    ":OUTP1:LOAD INF", ":SOUR1:FUNC SIN", ":SOUR1:VOLT:UNIT VPP", ":SOUR1:FREQ 10.270000",
    ":SOUR1:VOLT:OFFS 0", ":SOUR1:PHAS 0", ":SOUR1:VOLT 0.0020", ":SOUR1:BURS:TRIG:SOUR MAN",
    ":SOUR1:BURS:MODE TRIG", ":SOUR1:BURS:NCYC 151", ":SOUR1:BURS:PHAS 0.0",
    ":SOUR1:BURS:IDLE CENTER", ":SOUR1:BURS ON",
]  # fmt: skip
KEYSIGHT_SETTINGS = [
    "SOUR1:VOLT:LIM:STAT OFF", "OUTP1:LOAD INF", "SOUR1:FUNC SIN", "SOUR1:VOLT:UNIT VPP",
    "SOUR1:FREQ 10.270000", "SOUR1:VOLT:OFFS 0", "SOUR1:PHAS 0", "SOUR1:VOLT 0.0020",
    "TRIG1:SOUR BUS", "SOUR1:BURS:MODE TRIG", "SOUR1:BURS:NCYC 151", "SOUR1:BURS:PHAS 0.0",
    "SOUR1:BURS:STAT ON", "SOUR1:VOLT:LIM:HIGH 0.512", "SOUR1:VOLT:LIM:LOW -0.512",
    "SOUR1:VOLT:LIM:STAT ON",
]  # fmt: skip
RIGOL_CLAMP = [":OUTP1:VOLL:HIGH 0.512", ":OUTP1:VOLL:LOW -0.512", ":OUTP1:VOLL ON"]
CLAMPED = [":OUTP1:VOLL OFF", *RIGOL_SETTINGS, *RIGOL_CLAMP]


@pytest.mark.parametrize(
    ("dialect", "settings"),
    [
        ("rigol-dg1000z", RIGOL_SETTINGS),
        ("rigol-dg800", CLAMPED),
        ("rigol-dg2000", CLAMPED),
        (
            "rigol-dg4000",
            [":OUTP1:IMP INF", *(s for s in RIGOL_SETTINGS[1:] if "IDLE" not in s)],
        ),
        ("keysight-33500b", KEYSIGHT_SETTINGS),
    ],
)
def test_a_programme_to_the_letter(tmp_path: Path, dialect: str, settings: list[str]):
    session = Session(tmp_path, dialect)
    session.driver.connect()
    session.sent.clear()
    achieved = session.driver.configure(program())
    made = [lines for lines in session.sent if not lines[0].partition(" ")[0].endswith("?")]
    assert [lines[0] for lines in made] == settings
    assert all(lines[1:] == [":SYST:ERR?"] for lines in made)
    asked = [lines[0] for lines in session.sent if lines[0].partition(" ")[0].endswith("?")]
    for limit in ("MIN", "MAX"):
        assert any(line.endswith(f"SOUR1:VOLT? {limit}") for line in asked)
    for setting in settings:
        assert f"{setting.partition(' ')[0]}?" in asked
    assert achieved.frequency_hz == 10.27
    assert achieved.currents_peak_ma == {1: 1.0}
    assert session.driver.status().playing == ()


def test_two_channels_with_opposite_phase(session: Session):
    session.driver.connect()
    plan = program({1: 1.0, 2: 0.5}, phases_deg={1: 0.0, 2: 180.0})
    assert session.driver.configure(plan).currents_peak_ma == {1: 1.0, 2: 0.5}
    assert session.asked(":SOUR2:BURS:PHAS?") == "1.800000E+02"
    assert session.asked(":SOUR1:BURS:PHAS?") == "0.000000E+00"


@pytest.mark.parametrize(
    ("current_ma", "gain", "vpp", "achieved_ma"),
    [
        (1.0, 2.0, "1.0000", 1.0),  # 0.5 V zero-to-peak
        (0.5, 2.0, "0.5000", 0.5),
        (0.33333, 2.0, "0.3333", 0.3333),
        (1.2345678, 2.0, "1.2340", 1.234),  # four digits from 1 Vpp on
        (1.0, 0.3, "6.6660", 0.9999),
        (1.0, 0.1, "19.9999", None),  # beyond the stimulator's input
    ],
)
def test_milliampere_zero_to_peak_become_volts_peak_to_peak(
    current_ma: float, gain: float, vpp: str, achieved_ma: float | None
):
    channel = rig_for().channels[0].model_copy(update={"gain_ma_per_v": gain, "input_max_v": 4.0})
    chain = Chain(channel, DIALECTS["rigol-dg1000z"].ranges)
    if achieved_ma is None:
        with pytest.raises(SafetyRefusal, match="rig_input_max_v"):
            chain.amplitude_uv_pp(current_ma)
        return
    uv = chain.amplitude_uv_pp(current_ma)
    assert f"{uv / 1e6:.4f}" == vpp
    assert chain.current_peak_ma(uv) == pytest.approx(achieved_ma, abs=1e-12)


@given(
    current_ma=st.floats(0.001, 4.0),
    gain=st.floats(0.5, 10.0),
    name=st.sampled_from(sorted(DIALECTS)),
)
def test_amplitudes_go_down_to_what_four_digits_hold(current_ma: float, gain: float, name: str):
    channel = rig_for().channels[0].model_copy(update={"gain_ma_per_v": gain, "input_max_v": 10.0})
    chain = Chain(channel, DIALECTS[name].ranges)
    uv = chain.amplitude_uv_pp(current_ma)
    assert uv % 100 == 0
    assert chain.current_peak_ma(uv) <= current_ma
    assert current_ma - chain.current_peak_ma(uv) <= max(5e-5 * gain, 1.01e-3 * current_ma)
    assert float(f"{uv / 1e6:.4f}") == float(f"{uv / 1e6:.4g}")  # the instrument rounds nothing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frequency_hz": 0.49}, "outside the driver's 0.5 to 1000 Hz"),
        ({"frequency_hz": math.nan}, "outside the driver's"),
        ({"currents_peak_ma": {3: 1.0}}, "no channel 3; it has 1, 2"),
        ({"currents_peak_ma": {1: math.nan}}, "not a zero-to-peak current"),
        ({"currents_peak_ma": {1: -1.0}}, "not a zero-to-peak current"),
        ({"phases_deg": {1: math.nan}}, "is no phase"),
        ({"envelope": ((0.0, 0.0), (0.0, 0.0))}, "a burst needs a length"),
        ({"envelope": ((0.0, 0.0), (1.9, 1.0), (9.0, 0.0))}, "ramp of 1.9 s to 1 mA is too steep"),
        ({"envelope": ((0.0, 0.0), (30.0, 1.0), (31.0, 0.0))}, "make it 2.0 s or longer"),
        ({"frequency_hz": 999.0, "envelope": ((0.0, 0.0), (600.0, 0.5))}, "500000 in one burst"),
    ],
)
def test_programmes_that_cannot_be(session: Session, change: dict, message: str):
    session.driver.connect()
    session.sent.clear()
    with pytest.raises(InputError, match=message) as refusal:
        session.driver.configure(dataclasses.replace(program(), **change))
    assert "\n" not in str(refusal.value)
    assert session.sent == []


def test_keysight_takes_fewer_than_100000_cycles(tmp_path: Path):
    session = Session(tmp_path, "keysight-33500b")
    session.driver.connect()
    with pytest.raises(InputError, match="plays 99999 in one burst, which is 1249 s"):
        session.driver.configure(program(frequency_hz=80.0, hold_s=1245.0))
    session.driver.configure(program(frequency_hz=80.0, hold_s=1240.0))
    assert session.asked("SOUR1:BURS:NCYC?") == "+9.98960000E+04"


@pytest.mark.parametrize("dialect", ["rigol-dg4000", "keysight-33500b"])
def test_a_phase_at_which_the_output_would_rest_at_a_voltage_is_refused(
    tmp_path: Path, dialect: str
):
    session = Session(tmp_path, dialect)
    session.driver.connect()
    with pytest.raises(InputError, match=r"90° cannot be on .* a direct current"):
        session.driver.configure(program({1: 1.0}, phases_deg={1: 90.0}))
    session.driver.configure(program({1: 1.0}, phases_deg={1: 180.0}))


def test_currents_beyond_stimulator_and_generator_are_refused(tmp_path: Path):
    session = Session(tmp_path)
    session.driver.connect()
    with pytest.raises(SafetyRefusal, match="rig_current_max_ma"):
        session.driver.configure(program({1: 4.01}, ramp_s=30.0))


def test_the_largest_amplitude_is_asked_for_and_not_known_beforehand(session: Session):
    model = dataclasses.replace(session.firmware.model, largest_emf_vpp=((6e7, 0.9),))
    for output in session.firmware.outputs:
        output._model = model
    session.driver.connect()
    with pytest.raises(SafetyRefusal, match="device_amplitude_vpp") as refusal:
        session.driver.configure(program())
    (breach,) = refusal.value.breaches
    assert (breach.value, breach.allowed) == (1.0, 0.9)
    session.driver.configure(program({1: 0.9}))


def test_a_smallest_amplitude_that_is_a_current_is_refused(session: Session):
    model = dataclasses.replace(session.firmware.model, smallest_emf_vpp=0.06)
    for output in session.firmware.outputs:
        output._model = model
    session.driver.connect()
    with pytest.raises(SafetyRefusal, match="device_smallest_current_ma"):
        session.driver.configure(program())
    with pytest.raises(SafetyRefusal, match="device_smallest_vpp"):
        session.driver.configure(program({1: 0.04}))


def test_a_current_below_the_smallest_is_refused(session: Session):
    session.driver.connect()
    with pytest.raises(SafetyRefusal, match="device_smallest_vpp"):
        session.driver.configure(program({1: 0.0019}))


def test_settings_that_are_refused_name_the_command(session: Session):
    session.driver.connect()
    session.firmware.faults.refuse = 1
    with pytest.raises(DeviceRefused, match=r":OUTP1:LOAD INF was answered with error -221, Sett"):
        session.driver.configure(program())
    session.driver.configure(program())


def test_a_setting_that_did_not_take_is_found_by_reading_back(session: Session):
    session.driver.connect()
    for output in session.firmware.outputs:
        output.set_frequency = lambda frequency_hz, now_s: None
    with pytest.raises(ProtocolViolation, match=r"frequency was set to 10.27 and is 1000.0"):
        session.driver.configure(program())


def test_an_output_that_is_on_is_not_configured(session: Session):
    session.begin()
    with pytest.raises(DeviceRefused, match="output 1 is on"):
        session.driver.configure(program())


# starting and stepping


def test_start_to_the_letter(session: Session):
    session.driver.connect()
    session.driver.configure(program({1: 1.0, 2: 1.0}))
    session.sent.clear()
    session.driver.start(1.0)
    assert session.sent == [
        [":SOUR1:VOLT 0.0020", ":SOUR2:VOLT 0.0020", ":SYST:ERR?"],
        [":SOUR1:PHAS:INIT", ":SYST:ERR?"],
        [":OUTP1 ON", ":OUTP2 ON", ":SYST:ERR?"],
        [":OUTP1?", ":OUTP2?"],
    ]
    assert session.driver.status().playing == (1, 2)
    assert not session.firmware.playing  # on, at 0 V, waiting for the trigger


def test_the_first_rise_triggers_a_burst_for_what_is_left(session: Session):
    session.begin(program({1: 1.0, 2: 1.0}))
    session.to(5.0, lambda at_s: 0.0)
    assert session.driver.status().details["bursting"] is False
    assert not session.firmware.playing
    session.sent.clear()
    session.driver.set_level(0.001)
    session.driver.pump(session.now_s)
    assert session.sent == [
        [
            ":SOUR1:BURS:NCYC 100",  # of the 9 s left, and 0.7 s
            ":SOUR2:BURS:NCYC 100",
            "*TRG",
            ":SOUR1:BURS:NCYC?",
            ":SOUR2:BURS:NCYC?",
            ":SYST:ERR?",
        ]
    ]
    session.clock.wait(session.now_s + 0.02)
    session.driver.pump(session.now_s)
    assert session.firmware.playing
    assert session.driver.status().details["bursting"] is True
    trace = session.finish()
    assert trace.last_above_s(0.0) - session.start_s < 14.0 + 0.75 + 1 / 10.27
    assert not trace.between(0.0, session.start_s + 5.0).any()


def test_level_0_is_no_current_and_the_next_rise_a_new_burst(session: Session):
    session.begin()
    session.to(5.0)
    session.to(9.5, lambda at_s: max(1.0 - (at_s - 5.0) / 4.0, 0.0))
    silent_s = session.now_s
    rest = [":SOUR1:VOLT 0.0020", ":SOUR1:BURS OFF", ":SOUR1:BURS ON", ":SOUR1:VOLT?", ":SYST:ERR?"]
    assert rest in session.sent
    session.to(10.0, lambda at_s: 0.0)
    assert session.driver.status().playing == (1,)
    again_s = session.now_s
    session.to(12.0, lambda at_s: min((at_s - 10.0) / 4.0, 1.0))
    session.driver.emergency_stop()
    trace = session.finish()
    assert not trace.between(silent_s - 0.4, again_s).any()
    assert np.abs(trace.between(again_s + 1.5, np.inf)).max() == pytest.approx(0.48, abs=0.03)


def test_keysight_aligns_in_its_own_words(tmp_path: Path):
    session = Session(tmp_path, "keysight-33500b")
    session.begin()
    assert ["PHAS:SYNC", ":SYST:ERR?"] in session.sent
    assert ["OUTP1 ON", ":SYST:ERR?"] in session.sent
    session.to(1.0)
    assert ["SOUR1:BURS:NCYC 151", "*TRG", "SOUR1:BURS:NCYC?", ":SYST:ERR?"] in session.sent
    assert session.driver.status().playing == (1,)


def test_start_needs_a_programme_and_a_lease(session: Session):
    session.driver.connect()
    with pytest.raises(InputError, match="configure a programme"):
        session.driver.start(1.0)
    session.driver.configure(program())
    for lease_s in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="would be none"):
            session.driver.start(lease_s)
    with pytest.raises(InputError, match="start a programme"):
        session.driver.set_level(0.5)


def test_an_output_that_does_not_come_on_is_uncertain(session: Session):
    session.driver.connect()
    session.driver.configure(program())
    session.firmware.outputs[0].switch = lambda on, now_s: None
    with pytest.raises(UncertainDelivery, match=r"outputs \[1\] were switched on and \[\] are"):
        session.driver.start(1.0)


def test_a_trigger_that_is_ignored_is_told(session: Session):
    session.begin()
    session.firmware.outputs[0].source = "EXT"
    with pytest.raises(DeviceRefused, match="-211, Trigger ignored"):
        session.to(1.0)


def test_a_step_to_the_letter(session: Session):
    session.begin(program({1: 1.0, 2: 0.5}))
    session.to(0.05, lambda at_s: 1e-4)
    session.sent.clear()
    now_s = session.now_s
    session.driver.set_level(0.004)
    session.driver.pump(now_s)
    assert session.sent == []  # not worth a command yet
    session.driver.set_level(0.008)
    session.driver.pump(now_s + 0.02)
    step = [":SOUR1:VOLT 0.0080", ":SOUR2:VOLT 0.0040", ":SOUR1:VOLT?", ":SOUR2:VOLT?"]
    assert session.sent == [[*step, ":SYST:ERR?"]]
    session.driver.set_level(0.5)
    session.driver.pump(now_s + 0.02)  # unanswered: nothing is sent
    assert len(session.sent) == 1
    session.clock.wait(now_s + 0.04)
    session.driver.pump(now_s + 0.04)
    assert session.sent[1][:2] == [":SOUR1:VOLT 0.0180", ":SOUR2:VOLT 0.0090"]  # by 1 %


def test_a_level_that_stands_still_is_reached_however_small_the_step(session: Session):
    session.begin()
    for tick in range(10):
        session.clock.wait(session.start_s + 0.1 + tick * 0.02)
        session.driver.set_level(0.003)
        session.driver.pump(session.now_s)
    assert session.asked(":SOUR1:VOLT?") == "3.000000E-03"


@pytest.mark.parametrize("level", [-0.01, 1.0001, math.nan, math.inf, True])
def test_levels_that_are_none(session: Session, level: float):
    session.begin()
    with pytest.raises(InputError, match="no number from 0 to 1"):
        session.driver.set_level(level)


def test_steps_are_small_with_more_than_a_milliampere_too(session: Session):
    session.begin(program({1: 2.0}, ramp_s=5.0))
    session.to(5.1)
    volts = [float(s[0].split()[1]) for s in session.sent if s[0].startswith(":SOUR1:VOLT ")]
    assert max(np.diff([v for v in volts if v >= 0.002])) <= 0.0105  # 10 µA and the grid
    assert session.asked(":SOUR1:VOLT?") == "2.000000E+00"


def test_leases_are_held_against_the_burst(session: Session):
    session.begin()
    session.driver.extend_lease(13.5, 1.0)
    for elapsed_s, lease_s in ((13.9, 1.0), (1.0, 0.0), (math.nan, 1.0), (-1.0, 1.0)):
        with pytest.raises(InputError):
            session.driver.extend_lease(elapsed_s, lease_s)


def test_the_frequency_is_not_changed_while_it_plays(session: Session):
    session.begin()
    session.sent.clear()
    with pytest.raises(DeviceRefused, match="stop and configure 11 Hz"):
        session.driver.set_frequency(11.0)
    assert session.sent == []


# stopping


def test_a_soft_stop_to_the_letter(session: Session):
    session.begin()
    session.to(5.0)
    session.sent.clear()
    stop_s = session.now_s
    session.driver.soft_stop()
    assert session.sent == []
    for tick in range(40):
        session.clock.wait(stop_s + tick * 0.02)
        session.driver.pump(stop_s + tick * 0.02)
    assert session.sent[-1] == FULL_STOP
    assert all(len(lines) == 1 and "?" not in lines[0] for lines in session.sent[:-1])
    volts = [float(lines[0].split()[1]) for lines in session.sent[:-1]]
    assert len(volts) == 18
    assert max(-np.diff([1.0, *volts])) < 0.056
    assert min(-np.diff([1.0, *volts])) > 0.0
    assert session.driver.status().playing == ()


@pytest.mark.parametrize("stop", ["soft_stop", "emergency_stop"])
def test_stops_are_quick_and_safe_to_repeat(session: Session, stop: str):
    session.begin()
    session.to(5.03)
    stop_s = session.now_s
    for _ in range(3):
        getattr(session.driver, stop)()
    session.pumps(0.3)
    getattr(session.driver, stop)()
    session.pumps(1.0)
    assert session.driver.status().playing == ()
    trace = session.finish()
    within_s = 0.8 if stop == "soft_stop" else 0.005
    assert trace.last_above_s(0.0) - stop_s < within_s
    assert np.abs(trace.between(stop_s - 0.2, stop_s)).max() == pytest.approx(1.0, abs=2e-3)


def test_an_emergency_is_one_write_without_a_question(session: Session):
    session.begin()
    session.to(5.0)
    session.sent.clear()
    session.driver.emergency_stop()
    assert session.sent == [FULL_STOP]


def test_keysight_aborts_its_burst(tmp_path: Path):
    session = Session(tmp_path, "keysight-33500b")
    session.begin(program({1: 1.0, 2: 1.0}))
    session.to(3.0)
    session.sent.clear()
    session.driver.emergency_stop()
    assert session.sent == [
        ["OUTP1 OFF", "OUTP2 OFF", "ABOR", "SOUR1:VOLT 0.0020", "SOUR2:VOLT 0.0020"]
    ]


def test_an_emergency_speeds_up_a_soft_stop_and_never_the_other_way_round(session: Session):
    session.begin()
    session.to(5.0)
    stop_s = session.now_s
    session.driver.soft_stop()
    session.pumps(0.3)
    session.driver.emergency_stop()
    session.driver.soft_stop()
    session.pumps(0.3)
    assert 0.2 < session.finish().last_above_s(0.0) - stop_s < 0.32


@pytest.mark.parametrize("fault", ["drop_reply@5=99999", "delay_reply@5=30", "garbage@5=5000"])
@pytest.mark.parametrize(("stop", "within_s"), [("soft_stop", 0.8), ("emergency_stop", 0.1)])
def test_stops_need_no_answer(tmp_path: Path, fault: str, stop: str, within_s: float):
    session = Session(tmp_path, faults=[fault])
    session.begin()
    session.to(4.99)
    session.clock.wait(session.start_s + 5.5)
    stop_s = session.now_s
    getattr(session.driver, stop)()
    for tick in range(41):
        session.clock.wait(stop_s + tick * 0.02)
        session.driver.pump(session.now_s)
    trace = session.finish()
    assert np.abs(trace.between(stop_s - 0.2, stop_s)).max() > 0.99
    assert trace.last_above_s(0.0) - stop_s < within_s


def test_after_a_stop_no_level_is_taken_and_a_new_start_begins_at_nothing(session: Session):
    session.begin()
    session.to(5.0)
    session.driver.soft_stop()
    with pytest.raises(InputError, match="start a programme"):
        session.driver.set_level(1.0)
    session.pumps(1.0)
    session.driver.start(1.0)
    assert session.asked(":SOUR1:VOLT?") == "2.000000E-03"
    assert session.driver.status().playing == (1,)


def test_close_switches_off_and_says_when_it_could_not(tmp_path: Path):
    session = Session(tmp_path, faults=["link_loss@2"])
    session.begin()
    session.to(1.99)
    session.clock.wait(session.start_s + 2.1)
    with pytest.raises(LinkLost):
        session.driver.close()
    session.driver.close()
    other = Session(tmp_path)
    other.begin()
    other.to(5.0)
    close_s = other.now_s
    other.driver.close()
    other.driver.close()
    assert other.finish().last_above_s(0.0) - close_s < 0.005
    with pytest.raises(LinkLost, match="closed"):
        other.driver.status()


# what the status finds


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (":SOUR1:BURS OFF", "burst was set to True and is False"),
        (":SOUR1:FREQ 12", "frequency was set to 10.27 and is 12"),
        (":SOUR1:VOLT:OFFS 0.1", "offset was set to 0.0 and is 0.1"),
        (":SOUR1:VOLT 1.9", "amplitude was set to 1.0 and is 1.9"),
        (":OUTP2 ON", "output 2 is on, and nobody uses it"),
    ],
)
def test_what_somebody_changes_at_the_panel_is_found(session: Session, line: str, message: str):
    session.begin()
    session.to(5.0)
    session.asked(line)
    with pytest.raises(ProtocolViolation, match=message):
        session.to(9.0)


def test_the_output_key_shows_in_the_status(tmp_path: Path):
    session = Session(tmp_path, faults=["panel_off@5"])
    session.begin()
    session.to(5.1)
    assert session.driver.status().playing == ()


def test_a_reboot_shows_in_the_status(tmp_path: Path):
    session = Session(tmp_path, faults=["reboot@5"])
    session.begin()
    session.to(5.0)
    session.clock.wait(session.start_s + 5.1)
    with pytest.raises(ProtocolViolation, match=r"channel 1: .* was set to"):
        session.driver.status()
    session.driver.close()


def test_an_output_that_does_not_stop_shows_in_the_status(tmp_path: Path):
    session = Session(tmp_path, faults=["stuck_output@5"])
    session.begin()
    session.to(5.5)
    session.driver.emergency_stop()
    session.clock.wait(session.now_s + 1.0)
    assert session.driver.status().playing == (1,)
    with pytest.raises(UncertainDelivery, match="switch the stimulators off"):
        session.driver.close()


def test_an_error_in_the_queue_is_told_in_the_instruments_words(session: Session):
    session.begin()
    session.asked(":FROBNICATE 3")
    with pytest.raises(DeviceRefused, match="-113, Undefined header"):
        session.driver.status()
    assert session.driver.status().playing == (1,)


def test_spurious_errors_are_ignored_where_the_dialect_knows_them(tmp_path: Path):
    session = Session(tmp_path)
    session.driver.connect()
    session.firmware.spurious = 3
    with pytest.raises(DeviceRefused, match="-108, Parameter not allowed"):
        session.driver.configure(program())
    session.firmware.spurious = 3
    session.firmware.errors.clear()
    session.driver.link.harmless_errors = (-108,)
    session.driver.configure(program())
    assert session.driver.status().details["errors_ignored"] == 3


# faults of the link


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("drop_reply@1", DeviceError, "no answer to|where ON or OFF is due"),
        ("delay_reply@1=0.6", UncertainDelivery, "no answer to"),
        ("garbage@1", ProtocolViolation, "where (a number|ON or OFF) is due"),
        ("corrupt_reply@1", DeviceError, "no answer|no text"),
        ("refuse@1", DeviceRefused, "error -221, Settings conflict"),
        ("spurious_error@1", DeviceRefused, "error -108"),
        ("slow@1=0.3", UncertainDelivery, "no answer"),
        ("link_loss@1", LinkLost, "gone"),
    ],
)
def test_faults_of_the_link_are_told_by_name(
    tmp_path: Path, fault: str, error: type[DeviceError], message: str
):
    session = Session(tmp_path, faults=[fault])
    session.begin()
    with pytest.raises(error, match=message):
        session.to(5.0)
    told_s = session.now_s
    assert told_s < session.start_s + 3.0
    if error is not LinkLost:
        session.driver.emergency_stop()
        assert session.finish().last_above_s(0.01) < told_s + 0.7


def test_a_command_altered_on_the_wire_is_found_before_the_next_step(tmp_path: Path):
    session = Session(tmp_path, faults=["corrupt_command@1=30"])
    session.begin()
    with pytest.raises(DeviceError):
        session.to(4.0)
    assert session.now_s < session.start_s + 1.7


@pytest.mark.parametrize(
    "fault", ["drop_reply@1", "duplicate_reply@1=2", "garbage@1", "corrupt_reply@1=2"]
)
def test_the_link_finds_its_way_back(tmp_path: Path, fault: str):
    session = Session(tmp_path, faults=[fault])
    session.begin()
    try:
        session.to(1.6)
    except DeviceError:
        session.clock.wait(session.now_s + 0.6)
        for _ in range(2):
            try:
                session.driver.status()
            except DeviceError:
                continue
    found = session.driver.status()
    assert found.playing == (1,)
    assert found.details["resynchronisations"] + found.details["stray_lines"] >= 1


def test_an_instrument_that_is_too_slow_is_told(tmp_path: Path):
    session = Session(tmp_path, faults=["slow@0.5=0.06"])
    session.begin(program(ramp_s=2.0))
    with pytest.raises(UncertainDelivery, match="too slow"):
        session.to(6.0)
