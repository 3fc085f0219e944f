from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from devices.emulators.server import start_process
from devices.stimjim import Stimjim
from tacs.clock import MonotonicClock
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
from tacs.rig import RigOutput, shipped_rigs
from tests.devices.bench import read_trace
from tests.devices.stimjim_session import NOTHING, RIG, SHAM, Bench, program
from tests.devices.test_stimjim_lines import GOLDEN

STOP = b"\nT-1\nU-1\nM0,3\nM1,3\n"
HALF_STEP_MA = 1e-4  # of the oscilloscope; the converter's is half of that


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def past_the_driver(bench: Bench, *lines: bytes) -> bytes:
    """Say something to the device past the driver."""
    now_s = bench.clock.now_s()
    for line in lines:
        bench.firmware.receive(line + b"\n", now_s)
    return bench.firmware.take(now_s + 0.01)


# connecting


def test_asks_then_silences_before_anything_else(bench: Bench):
    identity = bench.driver.connect()
    assert bench.sent == [
        b"\nIDN\n",
        STOP,
        b"TRIG0,0,-1,-1,0\n",
        b"TRIG1,0,-1,-1,0\n",
        b"M0,3\n",
        b"M1,3\n",
        b"STAT\n",
        b"READ0\n",
        b"READ1\n",
    ]
    assert (identity.model, identity.firmware) == ("StimJim on Teensy3.5", "stimjimAWG 0.8.0")
    assert identity.details["at_rest"]["1"]["current_ua"] == 0.0
    assert not np.any(list(bench.finish().currents_ma.values()))


def test_a_device_left_playing_and_passing_current_is_silenced(bench: Bench):
    past_the_driver(
        bench,
        b"W3,1,3,60000000,60000000;500,0,60000000;10,10,0;0,0,0",
        b"T3",
        b"M1,1",
        b"A1,5000",
        b"TRIG0,1,3,-1,0",
    )
    bench.clock.wait(101.0)
    bench.driver.connect()
    connected_s = bench.clock.now_s()
    assert bench.driver.status().playing == ()
    bench.firmware.click(connected_s)
    bench.firmware.edge(0, connected_s)
    assert not bench.firmware.playing
    bench.clock.wait(connected_s + 1.0)
    trace = bench.finish()
    assert trace.between(100.0, 101.0).max() > 0.49
    assert trace.between(100.0, 101.0, "F3").max() == pytest.approx(0.5085, abs=HALF_STEP_MA)
    for contact in ("Oz", "F3"):
        assert not trace.between(connected_s, connected_s + 1.0, contact).any()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("wrong_firmware", "stock firmware answers"),
        ("wrong_firmware=banner", "stock firmware answers"),
        ("wrong_version=2", "speaks protocol 1 of stimjimAWG"),
    ],
)
def test_another_firmware_is_refused_and_sent_nothing_but_questions(
    tmp_path: Path, fault: str, message: str
):
    bench = Bench(tmp_path, faults=[fault])
    with pytest.raises(DeviceNotFound, match=message):
        bench.driver.connect()
    bench.driver.close()
    assert set(bench.sent) <= {b"\nIDN\n", b"D\n"}


def test_what_a_rig_must_be():
    def change(**channel: object):
        wired = RIG.channels[0].model_copy(update=channel)
        return RIG.model_copy(update={"channels": (wired,)})

    output = RigOutput(
        channel=1, electrode="Oz", current_max_ma=1.0, compliance_v=10.0,
        calibration=RIG.channels[0].calibration,
    )  # fmt: skip
    for rig, message in [
        (None, "needs the rig file"),
        (RIG.model_copy(update={"device": "other"}), "for the device 'other'"),
        (RIG.model_copy(update={"channels": (), "outputs": (output,)}), "isolated loops"),
        (RIG.model_copy(update={"options": {"x": 1}}), "no options"),
        (change(channel=3), "channel 3 does not exist"),
        (change(gain_ma_per_v=2.0), "current source; take gain_ma_per_v"),
        (change(compliance_v=60.0), "compliance_v is 60, and StimJim has 13.7 V"),
    ]:
        with pytest.raises(InputError, match=message) as refusal:
            Stimjim.over(None, rig)
        assert "\n" not in str(refusal.value)
    with pytest.raises(InputError, match="needs the rig file"):
        Stimjim.open("/dev/ttyNONE9", None, MonotonicClock())


def test_capabilities_state_what_limits_and_a_person_need():
    capabilities = Stimjim.capabilities
    assert issubclass(Stimjim, Driver)
    assert not capabilities.verified
    assert not capabilities.soft_stop
    assert not capabilities.level_control
    assert capabilities.host_loss == "programme"
    assert capabilities.after_host_loss_s(1200.0) == 1200.25
    assert capabilities.frequency_change == "stop_first"
    assert capabilities.achieved_frequency_hz(10.2704) == 10.27


# configuring


def test_configure_loads_the_whole_programme_and_checks_the_echo(bench: Bench):
    bench.driver.connect()
    bench.sent.clear()
    achieved = bench.driver.configure(program({1: 0.5009}, frequency_hz=10.2704))
    assert bench.sent == [b"STAT\n", GOLDEN.encode() + b"\n", b"MEAS99,3,0,3,-1,1\n"]
    assert achieved.frequency_hz == 10.27
    assert achieved.currents_peak_ma == {1: 0.5}
    assert not bench.firmware.playing


def test_a_programme_without_current_is_not_loaded_and_not_told_apart(bench: Bench):
    bench.driver.connect()
    bench.sent.clear()
    achieved = bench.driver.configure(program({1: 0.5}, envelope=NOTHING))
    assert achieved == bench.driver.configure(program({1: 0.5}))
    assert bench.sent[:2] == [b"STAT\n", b"STAT\n"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frequency_hz": 0.09}, "outside the 0.1 to 300 Hz"),
        ({"frequency_hz": 300.1}, "outside the"),
        ({"frequency_hz": math.nan}, "outside the"),
        ({"currents_peak_ma": {3: 0.5}}, "channels .3.: the rig has 1, 2"),
        ({"currents_peak_ma": {}}, "channels ..: the rig has"),
        ({"currents_peak_ma": {1: math.nan}}, "not a zero-to-peak current"),
        ({"carrier_hz": 100.0}, "sines only"),
        ({"envelope": ((0.0, 0.0), (5.0, 0.5), (9.0, 0.0))}, "one ramp up, a plateau"),
    ],
)
def test_programmes_that_cannot_be(bench: Bench, change: dict, message: str):
    bench.driver.connect()
    bench.sent.clear()
    with pytest.raises(InputError, match=message) as refusal:
        bench.driver.configure(dataclasses.replace(program(), **change))
    assert "\n" not in str(refusal.value)
    assert bench.sent == []


def test_a_current_beyond_device_or_rig_is_refused(bench: Bench):
    bench.driver.connect()
    with pytest.raises(SafetyRefusal, match="device_current_ma"):
        bench.driver.configure(program({1: 3.001}))


def test_configure_is_for_an_idle_device(bench: Bench):
    bench.begin()
    with pytest.raises(DeviceRefused, match="still plays"):
        bench.driver.configure(program())
    with pytest.raises(DeviceRefused, match="still plays"):
        bench.driver.set_frequency(11.0)


def test_a_train_stored_otherwise_is_not_taken(tmp_path: Path):
    bench = Bench(tmp_path, faults=["alter_train@on"])
    bench.driver.connect()
    with pytest.raises(ProtocolViolation, match="frequency0_mhz is 11270 instead of 10270"):
        bench.driver.configure(program())


def test_a_setting_that_is_refused(tmp_path: Path):
    bench = Bench(tmp_path)
    bench.driver.connect()
    bench.firmware.faults.refuse = 1
    with pytest.raises(DeviceRefused, match="was refused: ERR W"):
        bench.driver.configure(program())
    assert not bench.firmware.playing


def test_another_frequency_is_loaded_at_rest_only(bench: Bench):
    with pytest.raises(InputError, match="configure"):
        bench.driver.set_frequency(11.0)
    bench.driver.connect()
    bench.driver.configure(program())
    assert bench.driver.set_frequency(11.0004) == 11.0
    assert bench.sent[-2].startswith(GOLDEN.replace("10.27", "11").encode())


# starting and playing


def test_start_looks_at_the_slot_then_starts_it_and_asks_whether_it_plays(bench: Bench):
    bench.driver.connect()
    with pytest.raises(InputError, match="configure"):
        bench.driver.start(1.0)
    bench.driver.configure(program())
    bench.sent.clear()
    bench.driver.start(1.0)
    assert bench.sent == [b"W99?\n", b"T99\n", b"STAT\n"]
    assert bench.driver.status().playing == (1,)


def test_a_start_that_is_dropped_is_an_error_though_the_device_only_warns(tmp_path: Path):
    bench = Bench(tmp_path, faults=["drop_start@on"])
    bench.driver.connect()
    bench.driver.configure(program())
    with pytest.raises(DeviceRefused, match=r"not started \(WARN T: engine busy"):
        bench.driver.start(1.0)
    assert not bench.firmware.playing


def test_a_device_that_restarted_since_is_not_started(bench: Bench):
    bench.driver.connect()
    bench.driver.configure(program())
    bench.firmware.reboot(bench.clock.now_s())
    with pytest.raises(ProtocolViolation, match="no line of a sine train"):
        bench.driver.start(1.0)
    assert b"T99\n" not in bench.sent


def test_a_slot_that_was_changed_since_is_not_started(bench: Bench):
    bench.driver.connect()
    bench.driver.configure(program())
    past_the_driver(bench, GOLDEN.replace(";500,", ";3000,").encode())
    with pytest.raises(ProtocolViolation, match="amplitude0_ua is 3000 instead of 500"):
        bench.driver.start(1.0)
    assert not bench.firmware.playing


def test_levels_and_leases_are_told_and_not_sent(bench: Bench):
    bench.begin()
    bench.sent.clear()
    bench.driver.set_level(0.3)
    bench.driver.set_level(1.0)
    bench.driver.extend_lease(0.25, 1.0)
    bench.driver.pump(100.5)
    assert bench.sent == []
    for level in (-0.01, 1.0001, math.nan, math.inf, True):
        with pytest.raises(InputError, match="no number from 0 to 1"):
            bench.driver.set_level(level)


def test_the_programme_is_delivered_and_never_more(bench: Bench):
    bench.begin(program({1: 0.5, 2: 0.25}, {1: 0.0, 2: 90.0}))
    bench.to(20.5)
    start_s = bench.firmware.first_start_s + 60e-6
    trace = bench.finish()
    t = trace.times_s - start_s
    held = np.floor((t + 1e-9) * 1000.0) / 1000.0
    envelope = np.interp(held, [0.0, 5.0, 17.0, 20.0], [0.0, 1.0, 1.0, 0.0])
    for contact, peak_ma, phase in (("Oz", 0.5, 0.0), ("F3", 0.25, 0.25)):
        wanted = peak_ma * envelope * np.sin(2 * np.pi * (10.27 * held + phase))
        assert np.abs(trace.currents_ma[contact] - wanted).max() < 2.5e-4
        assert np.abs(trace.currents_ma[contact]).max() <= peak_ma
    np.testing.assert_array_equal(trace.currents_ma["F4"], -trace.currents_ma["F3"])


def test_what_was_measured_at_the_peaks_is_told_once(tmp_path: Path):
    bench = Bench(tmp_path, contacts=["Oz=4", "Cz=6", "F3", "F4"])
    bench.begin(program({1: 0.5, 2: 0.25}, {1: 0.0, 2: 180.0}))
    bench.to(4.9)
    assert bench.driver.status().current_peak_ma is None
    bench.to(5.3)
    status = bench.driver.status()
    assert status.current_peak_ma == pytest.approx({1: 0.5, 2: 0.25}, abs=1e-3)
    assert status.impedance_kohm == pytest.approx({"Oz-Cz": 10.0, "F3-F4": 10.0}, abs=0.05)
    later = bench.driver.status()
    assert (later.current_peak_ma, later.impedance_kohm) == (None, None)
    assert later.details["peaks"]["1"]["impedance_kohm"] == pytest.approx(10.0, abs=0.02)


@pytest.mark.parametrize(
    ("fault", "measured"),
    [
        ("open_electrode@2=Oz", r"0\.000"),
        ("impedance@2=Oz:40", r"0\.304"),  # 13.7 V over 45 kΩ
        ("gain@1=1.5", r"0\.7[45]\d"),
        ("gain@1=0.6", r"0\.[23]\d\d"),
    ],
)
def test_another_current_than_commanded_is_an_error(tmp_path: Path, fault: str, measured: str):
    bench = Bench(tmp_path, faults=[fault])
    bench.begin()
    bench.to(5.0)
    with pytest.raises(DeviceError, match=rf"channel 1 passes {measured} mA where 0\.500 mA"):
        bench.to(6.0)
    status = bench.driver.status()
    assert status.playing == (1,)  # to be stopped by whoever was told
    if fault.startswith("open"):
        assert status.current_peak_ma == {1: 0.0}
        assert status.impedance_kohm is None
        assert status.details["peaks"]["1"]["voltage_peak_v"] == pytest.approx(9.99, abs=0.01)


@pytest.mark.parametrize("gain", [0.8, 0.9, 1.1, 1.2])
def test_an_instrument_ten_percent_off_is_no_error(tmp_path: Path, gain: float):
    bench = Bench(tmp_path, faults=[f"gain@1={gain}"])
    bench.begin()
    bench.to(6.0)
    peaks = bench.driver.status().details["peaks"]["1"]
    assert peaks["current_peak_ma"] == pytest.approx(0.5 * gain, 0.01)


def test_something_that_nobody_started_is_an_error(bench: Bench):
    bench.begin()
    past_the_driver(bench, b"W1,3,1,9000000,9000000;0,100,9000000;10,10,0;0,0,0", b"U1")
    with pytest.raises(ProtocolViolation, match="second engine plays slot 1"):
        bench.driver.status()
    past_the_driver(bench, b"T-1", b"U-1", b"T1")
    with pytest.raises(ProtocolViolation, match="slot 1 plays for 9000000 µs"):
        bench.driver.status()


def test_chatter_and_overlong_lines_change_nothing(tmp_path: Path):
    bench = Bench(tmp_path, faults=["chatter@on=30", "long_line@3"])
    bench.begin()
    bench.to(4.0)
    status = bench.driver.status()
    assert status.playing == (1,)
    assert status.details["n_warnings"] > 3
    assert status.details["peaks"] == {}  # the chatter's measurements are of another slot
    assert status.details["stray_lines"] == 1


# ending


def test_both_stops_are_one_and_the_same_step(bench: Bench):
    bench.begin()
    bench.to(7.0)
    bench.sent.clear()
    stop_s = bench.clock.now_s()
    bench.driver.soft_stop()
    bench.driver.emergency_stop()
    bench.driver.soft_stop()
    assert bench.clock.now_s() == stop_s  # nothing was waited for
    assert bench.sent == [STOP] * 3
    status = bench.driver.status()
    assert status.playing == ()
    assert status.details["at_rest"]["1"]["current_ua"] == 0.0
    bench.clock.wait(stop_s + 1.0)
    trace = bench.finish()
    assert trace.last_above_s(1e-9) <= stop_s
    assert np.abs(trace.between(stop_s - 0.2, stop_s)).max() == pytest.approx(0.5, abs=1e-3)


def test_a_stop_that_was_lost_is_sent_again_when_the_device_still_plays(bench: Bench):
    bench.begin()
    bench.to(6.0)
    bench.emulator.bench.line.stall(bench.clock.now_s(), 0.001)
    bench.driver.soft_stop()
    bench.clock.wait(bench.clock.now_s() + 0.01)
    assert bench.driver.status().playing == (1,)
    assert bench.driver.status().playing == ()


def test_the_devices_own_end_is_not_an_early_one(tmp_path: Path):
    bench = Bench(tmp_path, faults=["clock_ppm=5000"])  # 0.1 s of 20 s, twice what 100 ppm make
    bench.begin()
    bench.to(19.95)
    status = bench.driver.status()
    assert (status.playing, status.details["train"]) == ((1,), "none")
    bench.driver.soft_stop()
    assert bench.driver.status().playing == ()


@pytest.mark.parametrize("at_s", [2.0, 10.0, 19.0])
def test_a_train_that_ended_too_soon_is_told(bench: Bench, at_s: float):
    bench.begin()
    bench.to(at_s)
    past_the_driver(bench, b"T-1")
    assert bench.driver.status().playing == ()


def test_the_silent_rest_of_a_sham_counts_as_playing_until_its_end_is_asked_for(bench: Bench):
    bench.begin(program(envelope=SHAM))
    for at_s, train in ((3.5, "playing"), (4.5, "none"), (19.9, "none"), (25.0, "none")):
        bench.to(at_s)
        status = bench.driver.status()
        assert (status.playing, status.details["train"]) == ((1,), train)
    bench.driver.soft_stop()
    assert bench.driver.status().playing == ()
    trace = bench.finish()
    start_s = bench.firmware.first_start_s
    assert trace.last_above_s(1e-9) - start_s == pytest.approx(4.0, abs=0.01)


def test_a_sham_without_current_starts_nothing_and_keeps_its_time(bench: Bench):
    bench.begin(program(envelope=NOTHING))
    bench.driver.pump(101.0)
    assert not any(line.startswith((b"W", b"T9")) for line in bench.sent)
    assert bench.driver.status().playing == (1,)
    past_the_driver(bench, b"W99,1,3,9000000,9000000;100,0,9000000;10,10,0;0,0,0", b"T99")
    with pytest.raises(ProtocolViolation, match="nobody started"):
        bench.driver.status()
    past_the_driver(bench, b"T-1")
    bench.driver.soft_stop()
    assert bench.driver.status().playing == ()


def test_close_stops_empties_the_slot_and_can_be_repeated(bench: Bench):
    bench.begin()
    bench.to(6.0)
    bench.driver.close()
    closed_s = bench.clock.now_s()
    bench.driver.close()
    assert bench.sent[-1] == b"W99,3,3,1,1;0,0,1;10,10,0;0,0,0;0,0,0\n"
    assert not bench.firmware.playing
    assert past_the_driver(bench, b"W99?") == b"W99,3,3,1,1;0,0,1;10,10,0;0,0,0;0,0,0\r\n"
    bench.clock.wait(closed_s + 0.5)
    assert bench.finish().last_above_s(1e-9) <= closed_s


def test_close_without_connect_sends_nothing(bench: Bench):
    bench.driver.close()
    assert bench.sent == []


def test_a_device_that_cannot_be_stopped_is_told_at_close_and_the_port_released(tmp_path: Path):
    bench = Bench(tmp_path, faults=["stuck_output@6"])
    bench.begin()
    bench.to(7.0)
    with pytest.raises(UncertainDelivery, match="unplug"):
        bench.driver.close()
    with pytest.raises(LinkLost):
        bench.driver.status()


# the link


def test_after_link_loss_the_train_plays_to_its_end(tmp_path: Path):
    bench = Bench(tmp_path, faults=["link_loss@6"])
    bench.begin()
    with pytest.raises(LinkLost):
        bench.to(7.0)
    for call in (bench.driver.status, bench.driver.soft_stop, bench.driver.emergency_stop):
        with pytest.raises(LinkLost):
            call()
    with pytest.raises(LinkLost):
        bench.driver.close()
    trace = bench.finish(timeout_s=60.0)
    assert trace.last_above_s(1e-9) - bench.firmware.first_start_s == pytest.approx(20.0, abs=0.01)


@pytest.mark.parametrize(
    ("fault", "error"),
    [("drop_reply@6", LinkLost), ("corrupt_reply@6", LinkLost), ("garbage@6", LinkLost)],
)
def test_a_status_that_is_lost_is_an_error_and_the_next_one_is_right(
    tmp_path: Path, fault: str, error: type[DeviceError]
):
    bench = Bench(tmp_path, faults=[fault])
    bench.begin()
    bench.to(5.99)
    bench.clock.wait(bench.clock.now_s() + 0.1)
    with pytest.raises(error):
        bench.driver.status()
    status = bench.driver.status()
    assert status.playing == (1,)
    assert status.details["resynchronisations"] == 1
    bench.driver.soft_stop()
    assert bench.driver.status().playing == ()


def test_a_status_that_comes_twice_or_late_is_not_taken_for_the_next(tmp_path: Path):
    bench = Bench(tmp_path, faults=["duplicate_reply@6=2", "delay_reply@8=0.1"])
    bench.begin()
    bench.to(6.1)
    assert bench.driver.status().playing == (1,)
    bench.driver.soft_stop()
    assert bench.driver.status().playing == ()
    bench.clock.wait(bench.firmware.first_start_s + 9.0)
    assert bench.driver.status().playing == ()


def test_replies_that_come_later_than_the_driver_waits(tmp_path: Path):
    bench = Bench(tmp_path, faults=["delay_reply@6=0.4"])
    bench.begin()
    bench.to(6.1)
    with pytest.raises(LinkLost):
        bench.driver.status()
    bench.driver.emergency_stop()
    bench.clock.wait(bench.clock.now_s() + 0.01)
    assert not bench.firmware.playing


def test_a_start_whose_answer_is_lost_is_uncertain(bench: Bench):
    bench.driver.connect()
    bench.driver.configure(program())
    confirm = bench.driver.link.confirm

    def then_lose_one(train):
        confirm(train)
        bench.firmware.faults.drop = 1

    bench.driver.link.confirm = then_lose_one
    with pytest.raises(UncertainDelivery, match="no answer to 'T99'"):
        bench.driver.start(1.0)
    assert bench.firmware.playing
    bench.driver.emergency_stop()
    assert not bench.firmware.playing


def test_a_restart_of_the_device_ends_the_current_and_is_told(tmp_path: Path):
    bench = Bench(tmp_path, faults=["reboot@6"])
    bench.begin()
    bench.to(6.5)
    assert bench.driver.status().playing == ()
    trace = bench.finish()
    assert trace.last_above_s(1e-9) - bench.firmware.first_start_s <= 6.0


def test_the_same_driver_on_a_process_under_the_real_clock(tmp_path: Path):
    trace = tmp_path / "current.tsv.gz"
    process = start_process(
        "devices.emulators.stimjim", shipped_rigs()["emulated-stimjim"], ["Oz", "Cz"], trace, []
    )
    clock = MonotonicClock()
    driver = Stimjim.open(process.address, RIG, clock)
    assert driver.connect().firmware == "stimjimAWG 0.8.0"
    driver.configure(program(envelope=((0.0, 0.0), (0.1, 1.0), (30.0, 1.0), (30.1, 0.0))))
    driver.start(1.0)
    peaks = None
    for _ in range(200):
        clock.wait(clock.now_s() + 0.02)
        driver.pump(clock.now_s())
        peaks = peaks or driver.status().current_peak_ma
        if peaks:
            break
    driver.emergency_stop()
    driver.close()
    assert peaks == pytest.approx({1: 0.5}, abs=1e-3)
    info = process.finish()
    assert info is not None
    assert np.abs(read_trace(info).currents_ma["Oz"]).max() == pytest.approx(0.5, abs=1e-3)
