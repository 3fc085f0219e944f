"""The driver against the emulated NIC: what it sends, what it waits for, what it refuses."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from devices.emulators.nic2 import EmulatedNic2
from devices.nic2 import Nic2, _socket
from devices.nic2_rig import MARGIN_S
from tacs.clock import MonotonicClock
from tacs.driver import Driver, find_driver, find_emulator
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
from tacs.rig import shipped_rigs
from tests.devices.nic2_bench import BIFRONTAL, RIG, Session, changes, program, rig, written

ZEROS = b"0;0;0;0;0;0;0;0"


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


def running(folder: Path, *faults: str, level: float = 1.0, at_s: float = 16.0) -> Session:
    """A session at a level that it reached in steps."""
    found = Session(folder, faults=faults)
    found.begin()
    found.to(at_s, level)
    return found


# what it declares


def test_capabilities_state_what_limits_need() -> None:
    found = Nic2.capabilities
    assert issubclass(Nic2, Driver)
    assert find_driver("nic2") is Nic2
    assert find_emulator("nic2").faults.keys() >= {"early_217", "stale_217", "float_zero"}
    assert (found.verified, found.wiring, found.output) == (False, "electrodes", "current")
    assert found.frequency_step_hz == 1.0
    assert found.achieved_frequency_hz(10.27) == 10.0
    assert found.host_loss == "programme"
    assert found.host_loss_worst_case_s == MARGIN_S
    assert (found.soft_stop_s, found.emergency_stop_s) == (0.8, 0.1)
    assert found.frequency_change == "stop_first"
    assert any("acknowledges none" in fault for fault in found.not_detectable)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("nic-host", "socket://nic-host:1235"),
        ("192.168.1.5", "socket://192.168.1.5:1235"),
        ("localhost:4444", "socket://localhost:4444"),
        ("socket://h:1", "socket://h:1"),
    ],
)
def test_addresses(address: str, expected: str) -> None:
    assert _socket(address) == expected


@pytest.mark.parametrize("address", ["", "a b", "/dev/ttyUSB0", "h:port", "h:1:2"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(InputError, match="write nic2:HOST"):
        Nic2.open(address, RIG, MonotonicClock())


def test_a_rig_is_asked_for_before_a_port_is_opened() -> None:
    with pytest.raises(InputError, match="give the rig file"):
        Nic2.open("nowhere.invalid", None, MonotonicClock())


# connecting


def test_the_handshake_as_the_table_has_it(session: Session) -> None:
    sent = written(session)
    began_s = session.now_s
    identity = session.driver.connect()
    hellos = [data for data in sent if data == b"\x8304.07\x00"]
    assert sent[: len(hellos)] == hellos  # until NIC has synchronized, once a second
    assert len(hellos) == 3
    assert sent[len(hellos) :] == [b"\x80", b"\x80", b"\x82", b"\x84", b"\x9f", b"\x80"]
    assert session.now_s - began_s == pytest.approx(3.0, abs=0.1)
    assert identity.model == "Neuroelectrics STARSTIM8 through NIC2"
    assert identity.firmware == "1.2.3"
    assert identity.details["n_channels"] == 8
    assert identity.details["matnic_version"] == "04.07"


def test_a_slow_nic_is_waited_for(tmp_path: Path) -> None:
    session = Session(tmp_path, faults=["slow_sync=20", "permission_delay=15"])
    sent = written(session)
    session.driver.connect()
    assert sent.count(b"\x8304.07\x00") == 21
    assert sent.count(b"\x80") == 17


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("permission_denied", DeviceRefused, "the person at NIC rejected the remote control"),
        ("permission_delay=21", DeviceRefused, "nobody allowed the remote control within 20 s"),
        ("slow_sync=40", DeviceNotFound, "still synchronizing with its device after 25 s"),
        ("nic_version=01.30", DeviceNotFound, "speaks version '01.30'"),
        ("nic_version=five", DeviceNotFound, "speaks version 'five'"),
        ("drop_reply@on=99", DeviceNotFound, "no NIC answers"),
        ("corrupt_reply@on", DeviceNotFound, "no NIC answers"),
        ("garbage@on", DeviceNotFound, "no NIC answers"),
        ("link_loss@on", LinkLost, "gone"),
    ],
)
def test_nics_that_are_not_to_be_had(
    tmp_path: Path, fault: str, error: type[Exception], message: str
) -> None:
    session = Session(tmp_path, faults=[fault])
    with pytest.raises(error, match=message) as refusal:
        session.driver.connect()
    assert "\n" not in str(refusal.value)
    assert not session.firmware.playing


def test_too_few_channels_for_the_rig(session: Session) -> None:
    session.firmware.n_channels = 4
    with pytest.raises(InputError, match=r"channel 8 is wired, and the device .* has 4"):
        session.driver.connect()


def test_a_protocol_left_running_by_somebody_is_ended(tmp_path: Path) -> None:
    session = running(tmp_path)
    second = Nic2.over(session.emulator.transport, RIG)
    assert session.firmware.playing
    sent = written(session)
    second.connect()
    done = changes(sent)
    assert done == [b"\x8304.07\x00", b"\x93" + ZEROS + b";800\x00", b"\x8a", b"\x88"]
    assert not session.firmware.playing
    assert second.status().playing == ()


def test_a_loaded_protocol_and_an_impedance_check_are_ended(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.driver.connect()
    session.driver.configure(program())
    second = Nic2.over(session.emulator.transport, RIG)
    sent = written(session)
    second.connect()
    assert changes(sent)[-1] == b"\x88"
    assert session.firmware.status == 205
    session.firmware.receive(b"\x87tacs zero 4 min\x00", session.now_s)
    session.clock.wait(session.now_s + 1.0)
    session.firmware.receive(b"\x8cDC\x00", session.now_s)
    sent.clear()
    Nic2.over(session.emulator.transport, RIG).connect()
    assert b"\x8d" in sent


# configuring


def test_configure_starts_the_protocol_with_nothing(session: Session) -> None:
    session.driver.connect()
    sent = written(session)
    achieved = session.driver.configure(program({1: 0.4104, 3: 0.6009, 2: 1.0113}))
    assert changes(sent) == [b"\x87tacs zero 4 min\x00", b"\x89", b"\x93" + ZEROS + b";100\x00"]
    assert achieved.frequency_hz == 10.0
    assert achieved.currents_peak_ma == pytest.approx({1: 0.41, 3: 0.6, 2: 1.01})
    assert session.firmware.status == 208
    assert session.driver.status().playing == ()  # at 0 µA
    assert not session.firmware.playing


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("not_found", "did not load the protocol 'tacs zero 4 min' .NOT_LOADED.; make one"),
        ("slow_load=21", "still not done loading"),
        ("refuse@on", "did not load the protocol"),
    ],
)
def test_protocols_that_do_not_load(tmp_path: Path, fault: str, message: str) -> None:
    session = Session(tmp_path, faults=[fault])
    session.driver.connect()
    with pytest.raises(DeviceRefused, match=message):
        session.driver.configure(program())
    session.driver.close()


def test_a_slow_load_is_waited_for(tmp_path: Path) -> None:
    session = Session(tmp_path, faults=["slow_load=15"])
    session.driver.connect()
    session.driver.configure(program())
    assert session.firmware.status == 208


def test_decimals_never_reach_nic(session: Session) -> None:
    session.driver.connect()
    sent = written(session)
    with pytest.raises(InputError, match="whole hertz only"):
        session.driver.configure(program(frequency_hz=10.27))
    assert sent == []


def test_configure_is_for_an_idle_nic(tmp_path: Path) -> None:
    session = running(tmp_path)
    with pytest.raises(DeviceRefused, match=r"NIC is busy \(RUNNING\)"):
        session.driver.configure(program())


# impedances


@pytest.mark.parametrize("kind", ["AC", "DC"])
@pytest.mark.parametrize("fault", [[], ["stale_217"]])
def test_the_contacts_are_checked_where_the_rig_asks(
    tmp_path: Path, kind: str, fault: list[str]
) -> None:
    session = Session(
        tmp_path, contacts=["Oz=4", "Cz=6.5"], faults=fault, rig=rig(impedance_check=kind)
    )
    session.driver.connect()
    sent = written(session)
    session.driver.configure(program())
    load = b"\x87tacs zero 4 min\x00"
    assert changes(sent)[:5] == [load, b"\x8c", kind.encode() + b"\x00", load, b"\x89"]
    status = session.driver.status()
    assert status.playing == ()  # whatever the protocol's own status says
    assert status.impedance_kohm == pytest.approx({"Oz": 4.0, "Cz": 6.5})
    session.driver.start(1.0)
    session.driver.pump(session.now_s)
    status = session.driver.status()
    assert status.impedance_kohm is None  # it is not measured any more
    assert status.details["impedance_before_kohm"]["Oz"] == pytest.approx(4.0)


def test_a_contact_that_is_too_high_is_refused(tmp_path: Path) -> None:
    session = Session(tmp_path, contacts=["Oz=12", "Cz"], rig=rig(impedance_check="DC"))
    session.driver.connect()
    with pytest.raises(SafetyRefusal, match=r"Oz, measured by NIC"):
        session.driver.configure(program())
    session.driver.close()
    allowed = rig(impedance_check="DC", impedance_max_kohm=15)
    session = Session(tmp_path, contacts=["Oz=12", "Cz"], rig=allowed)
    session.driver.connect()
    session.driver.configure(program())


def test_what_nic_does_not_measure_is_not_made_up(tmp_path: Path) -> None:
    session = Session(tmp_path, faults=["impedance_nan=Oz"], rig=rig(impedance_check="DC"))
    session.driver.connect()
    session.driver.configure(program())
    found = session.driver.status().impedance_kohm
    assert found is not None
    assert "Oz" not in found
    assert found["Cz"] == pytest.approx(5.0)


def test_a_check_that_somebody_ends_is_a_refusal(tmp_path: Path) -> None:
    session = Session(tmp_path, rig=rig(impedance_check="DC"))
    session.driver.connect()
    session.clock.at(session.now_s + 5.0, lambda: session.firmware.receive(b"\x8d", session.now_s))
    with pytest.raises(DeviceRefused, match="ended at NIC"):
        session.driver.configure(program())


# playing


def test_the_way_up_begins_with_150_and_goes_on_with_147(session: Session) -> None:
    session.begin(program(ramp_s=10.0))
    sent = written(session)
    session.to(16.0, lambda t: min(t / 10.0, 1.0))
    done = changes(sent)
    assert done[0] == (b"\x967;7;0;0;0;0;0;0;10;10;0;0;0;0;0;0;0;180;0;0;0;0;0;0;100\x00")
    assert {data[0] for data in done[1:]} == {147}
    assert done[-1] == b"\x931000;1000;0;0;0;0;0;0;100\x00"
    assert session.firmware.ignored == 0
    assert session.driver.status().details["sent_ua"][:2] == [1000, 1000]


def test_after_zero_it_begins_with_150_again(session: Session) -> None:
    session.begin()
    session.to(5.0, 0.02)
    session.to(7.0, 0.0)
    sent = written(session)
    session.to(9.0, 0.02)
    assert [data[0] for data in changes(sent)] == [150]


def test_start_sets_frequency_and_phase_before_any_current(session: Session) -> None:
    session.driver.connect()
    session.driver.configure(program())
    sent = written(session)
    session.driver.start(1.0)
    assert changes(sent) == [
        b"\x96" + ZEROS + b";10;10;0;0;0;0;0;0;0;180;0;0;0;0;0;0;100\x00",
    ]
    assert session.driver.status().playing == (1, 2)
    assert not session.firmware.playing


@pytest.mark.parametrize(("fault", "at_least_s"), [("slow_start=15", 17.0), ("early_217@on", 1.5)])
def test_a_slow_start_is_waited_for_before_the_session(
    tmp_path: Path, fault: str, at_least_s: float
) -> None:
    session = Session(tmp_path, faults=[fault])
    session.driver.connect()
    began_s = session.now_s
    session.driver.configure(program())
    assert session.now_s - began_s > at_least_s
    session.driver.start(1.0)
    session.start_s = session.now_s
    session.to(1.0, 0.05)
    assert session.firmware.ignored == 0
    assert session.firmware.playing


def test_full_stimulation_reported_too_early_does_no_harm(tmp_path: Path) -> None:
    session = Session(tmp_path, faults=["early_217@on"])
    session.begin()
    session.to(16.0, 1.0)
    assert session.firmware.ignored == 0
    assert session.firmware.outputs[0].amplitude(session.now_s) == pytest.approx(1.0)


@pytest.mark.parametrize("fault", ["deaf_in_transition@on", "strict_slope@on", "float_zero@on"])
def test_no_step_asks_more_than_the_strictest_nic_takes(tmp_path: Path, fault: str) -> None:
    session = Session(tmp_path, contacts=["F3", "F4", "Cz"], faults=[fault])
    session.begin(program(BIFRONTAL))
    session.to(20.0, lambda t: min(t / 15.0, 1.0))
    assert session.firmware.outputs[1].amplitude(session.now_s) == pytest.approx(1.0)
    session.to(40.0, lambda t: max(1.0 - (t - 20.0) / 15.0, 0.0))
    assert session.firmware.ignored == 0
    assert not session.firmware.playing


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("start_error", DeviceRefused, "did not start its protocol"),
        ("slow_start=30", UncertainDelivery, r"did not start its protocol within 20 s .LOADED"),
    ],
)
def test_protocols_that_do_not_start(
    tmp_path: Path, fault: str, error: type[DeviceError], message: str
) -> None:
    session = Session(tmp_path, faults=[fault])
    session.driver.connect()
    with pytest.raises(error, match=message):
        session.driver.configure(program())
    session.driver.close()
    session.clock.wait(session.now_s + 60.0)
    session.emulator.bench.advance(session.now_s)
    assert session.firmware.status != 208


def test_a_protocol_that_never_comes_to_full_stimulation(session: Session) -> None:
    session.driver.connect()
    run = session.firmware._run

    def for_ever() -> None:
        run()
        session.firmware._full_s = math.inf

    session.firmware._run = for_ever
    with pytest.raises(UncertainDelivery, match="did not come to full stimulation within 20 s"):
        session.driver.configure(program())
    assert session.firmware.status == 205  # aborted and unloaded


def test_a_protocol_that_waited_too_long_is_refused(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.driver = Nic2(session.emulator.transport, RIG, session.clock)
    session.driver.connect()
    session.driver.configure(program())
    session.clock.wait(session.now_s + 175.0)
    with pytest.raises(DeviceRefused, match=r"has been under way for 1\d\d s .* within 178 s"):
        session.driver.start(1.0)
    session.driver.configure(program())  # once more is all it takes
    session.driver.start(1.0)


def test_a_protocol_that_was_ended_meanwhile_is_refused(session: Session) -> None:
    session.driver.connect()
    session.driver.configure(program())
    session.emulator.bench.click(session.now_s)
    with pytest.raises(DeviceRefused, match="not ready any more"):
        session.driver.start(1.0)


def test_level_is_a_fraction_and_nothing_else(session: Session) -> None:
    session.begin()
    for level in (-0.01, 1.0001, math.nan, math.inf, True):
        with pytest.raises(InputError, match="no number from 0 to 1"):
            session.driver.set_level(level)


def test_start_needs_a_programme_and_a_finite_lease(session: Session) -> None:
    session.driver.connect()
    with pytest.raises(InputError, match="configure"):
        session.driver.start(1.0)
    session.driver.configure(program())
    for lease_s in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(InputError, match="lease"):
            session.driver.start(lease_s)
        with pytest.raises(InputError, match="lease"):
            session.driver.extend_lease(1.0, lease_s)
    assert session.driver.status().playing == ()


def test_the_frequency_changes_at_zero_only(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.driver.connect()
    with pytest.raises(InputError, match="configure"):
        session.driver.set_frequency(11.0)
    session.driver.configure(program())
    session.driver.start(1.0)
    session.start_s = session.now_s
    session.to(4.0, 0.0)
    sent = written(session)
    assert session.driver.set_frequency(11.0) == 11.0
    assert changes(sent) == [b"\x9411;11;0;0;0;0;0;0\x00"]
    session.to(6.0, 0.05)
    assert b";11;11;0;0;0;0;0;0;0;180;" in changes(sent)[1]
    with pytest.raises(DeviceRefused, match="ramp down first"):
        session.driver.set_frequency(12.0)
    with pytest.raises(InputError, match="whole hertz"):
        session.driver.set_frequency(11.5)


def test_a_pause_at_nic_is_uncertain(tmp_path: Path) -> None:
    session = running(tmp_path, "pause_by_hand@17")
    with pytest.raises(UncertainDelivery, match="somebody paused the protocol at NIC"):
        session.to(20.0, 1.0)


def test_an_abort_at_nic_shows_in_the_status(tmp_path: Path) -> None:
    session = running(tmp_path, "abort_by_hand@17")
    session.to(20.0, 1.0)
    assert session.driver.status().playing == ()


def test_a_nic_that_does_not_settle_is_a_fault(tmp_path: Path) -> None:
    session = running(tmp_path)
    session.firmware._full_s = math.inf  # ramping up for ever
    with pytest.raises(UncertainDelivery, match="did not report full stimulation within 5 s"):
        session.to(24.0, 1.0)


def test_an_ignored_change_is_not_detectable_and_said_to_be(tmp_path: Path) -> None:
    session = running(tmp_path, "refuse@5=3")
    assert session.firmware.ignored == 3
    assert session.driver.status().playing == (1, 2)
    assert "an online command that NIC did not carry out (it acknowledges none)" in (
        Nic2.capabilities.not_detectable
    )


# stopping


@pytest.mark.parametrize("level", [1.0, 0.5])
@pytest.mark.parametrize(
    ("stop", "transition", "within_s", "abort_s"),
    [("soft_stop", b"800", 0.8, 0.83), ("emergency_stop", b"100", 0.1, 0.13)],
)
def test_stops_are_one_147_to_zero_and_then_138(
    tmp_path: Path, stop: str, transition: bytes, within_s: float, abort_s: float, level: float
) -> None:
    session = running(tmp_path, level=level)
    sent = written(session)
    stop_s = session.now_s
    getattr(session.driver, stop)()
    assert sent == [b"\x93" + ZEROS + b";" + transition + b"\x00"]
    assert session.now_s == stop_s  # it does not wait
    silent_s = session.stopped()
    done = changes(sent)
    assert done[1:] == [b"\x8a", b"\x88"]
    assert abort_s <= silent_s <= within_s + 0.7
    trace = session.finish()
    assert trace.last_above_s(0.0) - stop_s <= within_s + 0.001
    assert trace.last_above_s(0.05) - stop_s < within_s
    assert np.abs(trace.between(stop_s - 0.2, stop_s)).max() == pytest.approx(level, abs=1e-3)
    np.testing.assert_allclose(sum(trace.currents_ma.values()), 0.0, atol=1e-9)


def test_a_stop_never_uses_150(tmp_path: Path) -> None:
    session = running(tmp_path)
    sent = written(session)
    session.driver.soft_stop()
    session.driver.emergency_stop()
    session.stopped()
    session.driver.close()
    assert 150 not in {data[0] for data in sent}


def test_a_stop_from_a_small_current_keeps_the_slope(tmp_path: Path) -> None:
    session = running(tmp_path, "strict_slope@on", level=0.02, at_s=5.0)
    sent = written(session)
    session.driver.soft_stop()
    assert sent == [b"\x93" + ZEROS + b";229\x00"]
    assert session.firmware.ignored == 0


@pytest.mark.parametrize("stop", ["soft_stop", "emergency_stop"])
@pytest.mark.parametrize("deaf", [True, False])
def test_a_stop_within_a_step_comes_a_second_time(tmp_path: Path, stop: str, deaf: bool) -> None:
    faults = ["deaf_in_transition@on"] if deaf else []
    session = Session(tmp_path, faults=faults)
    session.begin()
    session.to(8.0, lambda t: min(t / 30.0, 1.0))
    sent = written(session)
    while not changes(sent):  # until a step has just been sent
        session.to(session._ticks * 0.02 + 0.02, lambda t: min(t / 30.0, 1.0))
    sent.clear()
    stop_s = session.now_s
    getattr(session.driver, stop)()
    session.stopped()
    done = changes(sent)
    assert [data[0] for data in done] == [147, 147, 138, 136]
    within_s = 0.8 if stop == "soft_stop" else 0.1
    late_s = 0.12 if deaf and stop == "emergency_stop" else 0.02
    trace = session.finish()
    assert trace.last_above_s(0.0) - stop_s <= within_s + late_s + 0.001


def test_an_emergency_speeds_up_a_soft_stop_and_never_the_other_way_round(
    tmp_path: Path,
) -> None:
    session = running(tmp_path)
    stop_s = session.now_s
    session.driver.soft_stop()
    session.driver.pump(stop_s)
    session.clock.wait(stop_s + 0.4)
    session.driver.emergency_stop()
    session.clock.wait(stop_s + 0.42)
    sent = written(session)
    session.driver.soft_stop()
    session.driver.emergency_stop()
    assert sent == []
    session.stopped()
    assert session.finish().last_above_s(0.0) - stop_s == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("fault", ["drop_reply@17=99999", "delay_reply@17=30", "garbage@17=5000"])
@pytest.mark.parametrize(("stop", "within_s"), [("soft_stop", 0.8), ("emergency_stop", 0.1)])
def test_stops_need_no_answer(tmp_path: Path, fault: str, stop: str, within_s: float) -> None:
    session = running(tmp_path, fault)
    session.clock.wait(session.start_s + 17.5)
    session.driver.pump(session.now_s)
    stop_s = session.now_s
    getattr(session.driver, stop)()
    getattr(session.driver, stop)()
    sent = written(session)
    for tick in range(50):
        session.clock.wait(stop_s + tick * 0.02)
        session.driver.pump(stop_s + tick * 0.02)
    assert b"\x8a" in sent  # whatever NIC says, or does not
    trace = session.finish()
    assert trace.last_above_s(0.05) - stop_s < within_s


def test_an_abort_that_nic_did_not_hear_is_sent_again(tmp_path: Path) -> None:
    session = running(tmp_path)
    session.driver.soft_stop()
    sent = written(session)
    forgets = session.firmware._abort
    session.firmware._plain[138] = lambda: session.firmware._plain.update({138: forgets})
    session.stopped()
    assert changes(sent) == [b"\x8a", b"\x8a", b"\x88"]


def test_an_output_that_does_not_stop_shows_in_the_status(tmp_path: Path) -> None:
    session = running(tmp_path, "stuck_output@16.5")
    session.to(17.0, 1.0)
    session.driver.emergency_stop()
    with pytest.raises(AssertionError, match="it goes on"):
        session.stopped()
    with pytest.raises(UncertainDelivery, match="switch the stimulator off"):
        session.driver.close()


def test_a_stop_before_the_start_sends_the_abort_at_once(session: Session) -> None:
    session.driver.soft_stop()  # not even connected
    session.driver.connect()
    session.driver.configure(program())
    sent = written(session)
    session.driver.soft_stop()
    assert sent == [b"\x93" + ZEROS + b";100\x00", b"\x8a"]
    session.driver.close()
    assert session.firmware.status == 205


def test_after_a_stop_the_next_session_begins_anew(tmp_path: Path) -> None:
    session = running(tmp_path)
    session.driver.emergency_stop()
    session.stopped()
    session.driver.configure(program())
    session.driver.start(1.0)
    session.start_s, session._ticks = session.now_s, 0
    sent = written(session)
    session.to(4.0, 0.05)
    assert changes(sent)[0][0] == 150
    assert session.driver.status().playing == (1, 2)


# closing


def test_close_ends_softly_and_unloads(tmp_path: Path) -> None:
    session = running(tmp_path)
    close_s = session.now_s
    sent = written(session)
    session.driver.close()
    assert changes(sent) == [b"\x93" + ZEROS + b";800\x00", b"\x8a", b"\x88"]
    assert session.firmware.status == 205
    assert 0.6 < session.finish().last_above_s(0.05) - close_s < 0.8
    session.driver.close()
    with pytest.raises(LinkLost, match="closed"):
        session.driver.status()


def test_close_after_an_emergency_finishes_it(tmp_path: Path) -> None:
    session = running(tmp_path)
    stop_s = session.now_s
    session.driver.emergency_stop()
    sent = written(session)
    session.driver.close()
    assert changes(sent) == [b"\x8a", b"\x88"]
    assert session.finish().last_above_s(0.0) - stop_s <= 0.101


@pytest.mark.parametrize("deaf", [True, False])
def test_close_after_an_emergency_within_a_step(tmp_path: Path, deaf: bool) -> None:
    session = Session(tmp_path, faults=["deaf_in_transition@on"] if deaf else [])
    session.begin()
    session.to(8.0, lambda t: min(t / 30.0, 1.0))
    sent = written(session)
    while not changes(sent):
        session.to(session._ticks * 0.02 + 0.02, lambda t: min(t / 30.0, 1.0))
    stop_s = session.now_s
    session.driver.emergency_stop()
    session.driver.close()
    assert [data[0] for data in changes(sent)][1:] == [147, 147, 138, 136]
    assert session.finish().last_above_s(0.0) - stop_s <= (0.212 if deaf else 0.101)


def test_close_says_when_nic_could_not_be_silenced(tmp_path: Path) -> None:
    session = running(tmp_path, "link_loss@16.5")
    session.clock.wait(session.start_s + 17.0)
    with pytest.raises(LinkLost):
        session.driver.close()
    session.driver.close()


def test_close_before_the_start_aborts_even_where_nic_says_nothing(session: Session) -> None:
    session.driver.connect()
    session.driver.configure(program())
    session.firmware.faults.drop = 9999
    sent = written(session)
    with pytest.raises(LinkLost):
        session.driver.close()
    assert sent[-1] == b"\x8a"


def test_closing_what_was_never_connected(session: Session) -> None:
    sent = written(session)
    session.driver.close()
    assert sent == []


# faults of the link


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("drop_reply@16.2", LinkLost, "did not answer QUERY_STATUS"),
        ("delay_reply@16.2=0.5", LinkLost, "did not answer"),
        ("garbage@16.2", ProtocolViolation, "where one byte is due"),
        ("corrupt_reply@16.2", ProtocolViolation, "is no status"),
        ("link_loss@16.2", LinkLost, "gone"),
    ],
)
def test_faults_of_the_link_are_told_by_name(
    tmp_path: Path, fault: str, error: type[DeviceError], message: str
) -> None:
    session = running(tmp_path, fault)
    session.clock.wait(session.start_s + 17.0)
    with pytest.raises(error, match=message):
        session.driver.status()


@pytest.mark.parametrize(
    "fault",
    ["drop_reply@16.2", "duplicate_reply@16.2=2", "garbage@16.2", "corrupt_reply@16.2=2",
     "reorder@16.2", "fragment@16.2"],
)  # fmt: skip
def test_the_link_finds_its_way_back(tmp_path: Path, fault: str) -> None:
    session = running(tmp_path, fault)
    session.clock.wait(session.start_s + 17.0)
    for _ in range(3):
        try:
            session.driver.status()
        except DeviceError:
            continue
    assert session.driver.status().playing == (1, 2)
    assert session.driver.status().details["protocol"] == "STIM_FULL"


def test_a_reboot_shows_in_the_status(tmp_path: Path) -> None:
    session = running(tmp_path, "reboot@16.5")
    session.clock.wait(session.start_s + 17.0)
    assert session.driver.status().playing == ()
    assert not session.finish().between(session.start_s + 17.0, np.inf).any()


# a process on a real port


def test_a_process_that_cannot_start_says_why(tmp_path: Path) -> None:
    path = shipped_rigs()["emulated-nic2"]
    with pytest.raises(InputError, match="unknown; known"):
        EmulatedNic2().as_process(path, ["Oz", "Cz"], None, ["melt"])
