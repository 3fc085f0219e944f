from __future__ import annotations

import dataclasses
import math
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from devices.emulators.server import EmulatorProcess, start_process
from devices.emulators.synthpal import EmulatedSynthPal
from devices.synthpal import SynthPal
from devices.transport import TcpTransport
from tacs.clock import MonotonicClock
from tacs.driver import Driver
from tacs.errors import (
    DeviceBusy,
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
from tests.devices.bench import RIG, Session, program, read_trace

ZERO16 = bytes(16)
HALF_MICROAMPERE = 5e-4


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


def written(session: Session) -> list[bytes]:
    """Record what the driver writes from now on."""
    sent: list[bytes] = []
    write = session.emulator.transport.write

    def spy(data: bytes) -> None:
        sent.append(data)
        write(data)

    session.emulator.transport.write = spy
    return sent


def settings(session: Session) -> dict[str, tuple[int, ...]]:
    """What the device holds, read past the driver."""
    firmware = session.firmware
    firmware.receive(b"\xd5\x52", session.clock.now_s())
    values = struct.unpack("<I4B4i4i4i4I4I4I8B2B", firmware.take(session.clock.now_s() + 0.01))
    names = ("waveform", "amplitude", "mean", "resting", "play", "on_ramp", "off_ramp")
    found = {name: values[1 + 4 * k : 5 + 4 * k] for k, name in enumerate(names)}
    return found | {"frequency": values[:1], "links": values[29:37], "modes": values[37:]}


# connecting


def test_silences_before_anything_else(session: Session) -> None:
    sent = written(session)
    identity = session.driver.connect()
    assert sent[0] == b"\xd5H"
    assert sent[1] == b"\xd5A" + ZERO16
    assert sent[2] == b"\xd5I" + bytes(8)
    assert sent[3] == b"\xd5E" + struct.pack("<4I", *[100_000] * 4)
    assert sent[4] == b"\xd5X\x0f"
    assert identity.firmware == "1"
    assert identity.details["play_duration_max_s"] == 3600.0
    assert session.firmware.screen == "TACS   Connected"
    assert not session.finish().currents_ma["Oz"].any()


def test_a_device_left_playing_with_offsets_is_silenced(session: Session) -> None:
    now_s = session.clock.now_s()
    for op, layout, values in (
        (77, "4i", [1_000_000] * 4),
        (86, "4i", [-500_000] * 4),
        (69, "4I", [60_000_000] * 4),
        (68, "4I", [0] * 4),
        (84, "2B", [1, 3]),
        (80, "B", [15]),
    ):
        session.firmware.receive(bytes([213, op]) + struct.pack(f"<{layout}", *values), now_s)
    session.clock.wait(now_s + 1.0)
    session.driver.connect()
    connected_s = session.clock.now_s()
    assert settings(session)["modes"] == (0, 0)
    assert session.driver.status().playing == ()
    session.clock.wait(connected_s + 1.0)
    trace = session.finish()
    assert trace.between(now_s, now_s + 1.0).max() > 5.0
    assert not trace.between(connected_s, connected_s + 1.0).any()


def test_a_trigger_pulse_starts_nothing_after_connect_and_after_close(session: Session) -> None:
    session.driver.connect()
    session.firmware.ttl(1, True, session.clock.now_s())
    session.firmware.ttl(2, True, session.clock.now_s())
    assert session.driver.status().playing == ()
    session.driver.configure(program())
    session.driver.close()
    session.firmware.ttl(1, False, session.clock.now_s())
    session.firmware.ttl(1, True, session.clock.now_s())
    assert not session.firmware.playing


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("wrong_firmware=K", "Pulse Pal firmware answers; load Synth Pal firmware version 1"),
        ("wrong_firmware=W", "Wave Pal firmware answers; load Synth Pal firmware version 1"),
        ("wrong_version=2", "version 2 is newer"),
    ],
)
def test_another_firmware_is_refused(tmp_path: Path, fault: str, message: str) -> None:
    session = Session(tmp_path, faults=[fault])
    sent = written(session)
    with pytest.raises(DeviceNotFound, match=message):
        session.driver.connect()
    session.driver.close()
    assert sent == [b"\xd5H"]  # nothing is sent to a stranger


def test_older_and_unknown_firmware_is_refused(session: Session) -> None:
    session.firmware.version = 0
    with pytest.raises(DeviceNotFound, match="version 0 is older"):
        session.driver.connect()
    session.firmware.letter = 0x3F
    with pytest.raises(DeviceNotFound, match="no Pulse Pal"):
        session.driver.connect()


def test_a_locked_device_is_not_found_and_the_click_is_named(session: Session) -> None:
    session.firmware.fail()
    with pytest.raises(DeviceNotFound, match="click the joystick"):
        session.driver.connect()
    session.emulator.bench.click(session.clock.now_s())
    assert session.driver.connect().firmware == "1"


def test_replies_of_an_earlier_client_do_not_confuse_the_handshake(session: Session) -> None:
    session.firmware.receive(b"\xd5\x47\xd5\x4e", session.clock.now_s())
    assert session.driver.connect().firmware == "1"


def test_a_voltage_source_needs_a_rig_that_fits() -> None:
    with pytest.raises(InputError, match="voltage source"):
        SynthPal.over(None, None)
    with pytest.raises(InputError, match="voltage source"):
        SynthPal.open("/dev/ttyNONE9", None, MonotonicClock())
    with pytest.raises(InputError, match="for the device 'other'"):
        SynthPal.over(None, RIG.model_copy(update={"device": "other"}))
    beyond = RIG.channels[0].model_copy(update={"channel": 5})
    with pytest.raises(InputError, match="channel 5 does not exist"):
        SynthPal.over(None, RIG.model_copy(update={"channels": (beyond,)}))


def test_capabilities_state_what_limits_need() -> None:
    capabilities = SynthPal.capabilities
    assert issubclass(SynthPal, Driver)
    assert not capabilities.verified
    assert capabilities.host_loss_worst_case_s == pytest.approx(1.8)
    assert (capabilities.impedance, capabilities.current_readback) == (False, False)
    assert any("open" in fault for fault in capabilities.not_detectable)


# configuring


def test_configure_loads_the_programme_at_level_0(session: Session) -> None:
    session.driver.connect()
    achieved = session.driver.configure(program({1: 1.0, 2: 0.5}, frequency_hz=10.274))
    held = settings(session)
    assert achieved.frequency_hz == 10.27
    assert achieved.currents_peak_ma == pytest.approx({1: 1.0, 2: 0.5}, abs=HALF_MICROAMPERE)
    assert all(a <= b for a, b in zip(achieved.currents_peak_ma.values(), (1.0, 0.5), strict=True))
    assert held["frequency"] == (1027,)
    for name in ("waveform", "amplitude", "mean", "resting", "on_ramp"):
        assert held[name] == (0, 0, 0, 0)
    assert held["off_ramp"] == (800_000,) * 4
    assert 0 not in held["play"]  # which would be without end
    assert held["links"] == (0,) * 8
    assert held["modes"] == (0, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frequency_hz": 0.99}, "outside the device's 1 to 20000 Hz"),
        ({"frequency_hz": 20_000.1}, "outside the device's"),
        ({"frequency_hz": math.nan}, "outside the device's"),
        ({"currents_peak_ma": {4: 1.0}}, "no channel 4; it has 1, 2, 3"),
        ({"currents_peak_ma": {1: math.nan}}, "not a zero-to-peak current"),
        ({"currents_peak_ma": {1: -1.0}}, "not a zero-to-peak current"),
        ({"phases_deg": {1: 0.0, 2: 180.0}}, "no phase setting"),
        ({"soft_stop_s": math.nan}, "soft_stop_s"),
        ({"emergency_stop_s": 3601.0}, "emergency_stop_s"),
    ],
)
def test_programmes_that_cannot_be(session: Session, change: dict, message: str) -> None:
    session.driver.connect()
    before = settings(session)
    with pytest.raises(InputError, match=message) as refusal:
        session.driver.configure(dataclasses.replace(program(), **change))
    assert "\n" not in str(refusal.value)
    assert settings(session) == before


def test_a_current_beyond_the_stimulator_is_refused(session: Session) -> None:
    session.driver.connect()
    with pytest.raises(SafetyRefusal, match="rig_current_max_ma"):
        session.driver.configure(program({1: 4.01}))


def test_equal_phases_are_one_phase(session: Session) -> None:
    session.driver.connect()
    plan = dataclasses.replace(program({1: 1.0, 2: 1.0}), phases_deg={1: 180.0, 2: 540.0})
    assert session.driver.configure(plan).frequency_hz == 10.27


def test_configure_is_for_an_idle_device(session: Session) -> None:
    session.begin()
    with pytest.raises(DeviceRefused, match="still play"):
        session.driver.configure(program())


def test_start_needs_a_programme_and_a_finite_lease(session: Session) -> None:
    session.driver.connect()
    with pytest.raises(InputError, match="configure"):
        session.driver.start(1.0)
    session.driver.configure(program())
    for lease_s in (0.0, 1e-7, -1.0, math.inf, math.nan):
        with pytest.raises(InputError, match="lease"):
            session.driver.start(lease_s)
    assert not session.firmware.playing


# playing


def test_only_the_channels_of_the_programme_play(tmp_path: Path) -> None:
    session = Session(tmp_path, contacts=["Oz", "Cz", "F3", "F4"])
    session.begin(program({1: 0.5, 3: 0.25}))
    assert session.driver.status().playing == (1, 3)
    session.to(2.0)
    start_s = session.start_s
    session.driver.close()
    trace = session.finish()
    window = (start_s + 0.5, start_s + 2.0)
    peaks = {name: np.abs(trace.between(*window, name)).max() for name in trace.currents_ma}
    assert peaks == pytest.approx({"Oz": 0.5, "F3": 0.0, "F4": 0.25, "Cz": 0.75}, abs=1e-3)
    np.testing.assert_allclose(sum(trace.currents_ma.values()), 0.0, atol=1.1e-4)


def test_a_session_delivers_what_was_asked_and_never_more(session: Session) -> None:
    session.begin()
    session.to(20.0, ramp_s=10.0)
    end_s = session.clock.now_s()
    session.driver.soft_stop()
    session.driver.close()
    trace = session.finish()
    hold = trace.between(session.start_s + 11.0, end_s)
    assert np.abs(trace.currents_ma["Oz"]).max() <= 1.0
    assert np.abs(hold).max() == pytest.approx(1.0, abs=HALF_MICROAMPERE)
    t = np.arange(len(hold)) / 1000.0
    # least squares over whole seconds resolves a frequency far finer than its inverse length
    spectrum = [
        abs(np.exp(-2j * np.pi * f * t) @ (hold * np.hanning(len(t))))
        for f in 10.27 + np.arange(-50, 51) * 1e-4
    ]
    assert (np.argmax(spectrum) - 50) * 1e-4 == pytest.approx(0.0, abs=3e-4)
    assert abs(trace.between(session.start_s, end_s).mean()) < 1e-3
    rise = trace.between(session.start_s, session.start_s + 10.0)
    envelope = np.abs(rise[:9900]).reshape(-1, 100).max(axis=1)  # more than a cycle each
    assert np.all(np.diff(envelope) > -1e-3)


def test_level_is_a_fraction_and_nothing_else(session: Session) -> None:
    session.begin()
    session.driver.set_level(0.25)
    assert settings(session)["amplitude"][0] == pytest.approx(250_000, abs=306)
    for level in (-0.01, 1.0001, math.nan, math.inf):
        with pytest.raises(InputError, match="no number from 0 to 1"):
            session.driver.set_level(level)
    assert settings(session)["amplitude"][0] == pytest.approx(250_000, abs=306)


def test_retuning_keeps_the_phase(session: Session) -> None:
    session.begin()
    session.to(1.537)
    retune_s = session.clock.now_s()
    assert session.driver.set_frequency(11.504) == 11.5
    session.to(2.5)
    start_s = session.start_s
    session.driver.emergency_stop()
    trace = session.finish()
    oz = trace.between(start_s + 0.1, start_s + 2.5)
    steepest_ma = 2 * math.pi * 11.5 * 1e-3
    assert np.abs(np.diff(oz)).max() < steepest_ma + 5e-4
    t = trace.times_s[(trace.times_s >= start_s + 0.1) & (trace.times_s < start_s + 2.5)]
    at_retune = 10.27 * (retune_s - start_s)
    cycles = np.where(t < retune_s, 10.27 * (t - start_s), at_retune + 11.5 * (t - retune_s))
    assert np.abs(oz - np.sin(2 * math.pi * cycles)).max() < 2e-3


def test_a_frequency_that_the_device_cannot_is_refused(session: Session) -> None:
    session.begin()
    with pytest.raises(InputError, match="outside the device's"):
        session.driver.set_frequency(0.5)
    assert settings(session)["frequency"] == (1027,)


# the lease


def test_silence_ends_the_current_by_itself(session: Session) -> None:
    session.begin()
    session.to(3.0, lease_s=1.0)
    silent_s = session.clock.now_s()
    trace = session.finish()
    last_renewal_s = session.start_s + 2.8
    assert trace.last_above_s(0.05) < last_renewal_s + 1.0 + 0.8
    assert not trace.between(last_renewal_s + 1.8, np.inf).any()
    assert np.abs(trace.between(silent_s, last_renewal_s + 1.0)).max() > 0.99


def test_silence_during_the_ramp_up_does_not_go_on_rising(session: Session) -> None:
    session.begin()
    session.to(3.0, ramp_s=10.0)
    trace = session.finish()
    assert np.abs(trace.currents_ma["Oz"]).max() < 0.301
    assert trace.last_above_s(0.05) < session.start_s + 2.8 + 1.8


def test_renewing_keeps_it_on(session: Session) -> None:
    session.begin()
    session.to(10.0)
    assert session.driver.status().playing == (1,)


def test_a_lease_never_passes_the_longest_play_duration(session: Session) -> None:
    session.begin()
    session.driver.extend_lease(3599.0, 1.0)
    before = settings(session)["play"]
    assert before == (3_600_000_000,) * 4
    for elapsed_s, lease_s in ((3599.5, 1.0), (1.0, 0.0), (math.nan, 1.0), (-1.0, 1.0)):
        with pytest.raises(InputError):
            session.driver.extend_lease(elapsed_s, lease_s)
    assert settings(session)["play"] == before


# stopping


@pytest.mark.parametrize("ramp_s", [10.0, 0.0], ids=["from the ramp", "from full current"])
@pytest.mark.parametrize(("stop", "within_s"), [("soft_stop", 0.8), ("emergency_stop", 0.1)])
def test_stops_are_ramps_within_their_times(
    session: Session, stop: str, within_s: float, ramp_s: float
) -> None:
    session.begin()
    session.to(5.03, ramp_s=ramp_s)
    stop_s = session.clock.now_s()
    getattr(session.driver, stop)()
    session.clock.wait(stop_s + 2.0)
    trace = session.finish()
    assert trace.last_above_s(0.05) - stop_s < within_s
    assert not trace.between(stop_s + within_s + 0.001, np.inf).any()
    peak_ma = 0.5 if ramp_s else 1.0
    steepest_ma = peak_ma * (2 * math.pi * 10.27 + 1.0 / within_s) * 1e-3
    assert np.abs(np.diff(trace.between(stop_s - 0.5, np.inf))).max() < steepest_ma + 5e-4


@pytest.mark.parametrize("stop", ["soft_stop", "emergency_stop"])
def test_a_stop_is_one_write_and_safe_to_repeat(session: Session, stop: str) -> None:
    session.begin()
    session.to(1.0)
    sent = written(session)
    stop_s = session.clock.now_s()
    getattr(session.driver, stop)()
    assert len(sent) == 1
    assert sent[0][:2] == b"\xd5E"
    assert sent[0][-3:] == b"\xd5X\x0f"
    session.clock.wait(stop_s + 0.05)
    getattr(session.driver, stop)()
    within_s = 0.8 if stop == "soft_stop" else 0.1
    assert session.finish().last_above_s(0.0) - stop_s < within_s + 0.002


def test_an_emergency_speeds_up_a_soft_stop_and_never_the_other_way_round(
    session: Session,
) -> None:
    session.begin()
    session.to(1.0)
    stop_s = session.clock.now_s()
    session.driver.soft_stop()
    session.clock.wait(stop_s + 0.4)
    session.driver.emergency_stop()
    session.clock.wait(stop_s + 0.42)
    session.driver.soft_stop()
    trace = session.finish()
    assert trace.last_above_s(0.0) - stop_s == pytest.approx(0.45, abs=0.01)


def test_after_an_emergency_the_next_start_has_the_soft_ramp_again(session: Session) -> None:
    session.begin()
    session.to(1.0)
    session.driver.emergency_stop()
    session.clock.wait(session.clock.now_s() + 0.5)
    session.driver.start(1.0)
    assert settings(session)["off_ramp"] == (800_000,) * 4
    session.driver.soft_stop()
    assert settings(session)["off_ramp"] == (800_000,) * 4


@pytest.mark.parametrize("fault", ["drop_reply@2=99999", "delay_reply@2=30", "garbage@2=5000"])
@pytest.mark.parametrize(("stop", "within_s"), [("soft_stop", 0.8), ("emergency_stop", 0.1)])
def test_stops_need_no_answer(tmp_path: Path, fault: str, stop: str, within_s: float) -> None:
    session = Session(tmp_path, faults=[fault])
    session.begin()
    session.to(1.99)
    session.clock.wait(session.start_s + 2.5)
    stop_s = session.clock.now_s()
    getattr(session.driver, stop)()
    getattr(session.driver, stop)()
    trace = session.finish()
    assert np.abs(trace.between(stop_s - 0.2, stop_s)).max() > 0.99
    assert trace.last_above_s(0.05) - stop_s < within_s


def test_device_ramps(session: Session) -> None:
    session.driver.connect()
    session.driver.configure(program())
    session.driver.set_ramps(2.0, 0.5)
    assert settings(session)["on_ramp"] == (2_000_000,) * 4
    assert settings(session)["off_ramp"] == (500_000,) * 4
    for ramps in ((math.nan, 0.5), (0.0, -1.0), (3601.0, 0.0)):
        with pytest.raises(InputError, match="ramp_s"):
            session.driver.set_ramps(*ramps)


# closing


def test_close_ends_softly_and_leaves_nothing_armed(session: Session) -> None:
    session.begin()
    session.to(2.0)
    close_s = session.clock.now_s()
    sent = written(session)
    session.driver.close()
    held = settings(session)
    assert held["amplitude"] == (0, 0, 0, 0)
    assert held["links"] == (0,) * 8
    assert sent[-1] == b"\xd5Q"
    trace = session.finish()
    assert 0.6 < trace.last_above_s(0.05) - close_s < 0.8
    session.driver.close()
    with pytest.raises(LinkLost, match="closed"):
        session.driver.status()


def test_close_says_when_the_device_could_not_be_silenced(tmp_path: Path) -> None:
    session = Session(tmp_path, faults=["link_loss@1"])
    session.begin()
    session.to(0.9)
    session.clock.wait(session.start_s + 1.1)
    with pytest.raises(LinkLost):
        session.driver.close()
    session.driver.close()
    assert session.finish().last_above_s(0.05) < session.start_s + 0.8 + 1.8


# faults of the link


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("drop_reply@1", UncertainDelivery, "no full answer to 'set amplitudes'"),
        ("delay_reply@1=0.5", UncertainDelivery, "no full answer"),
        ("garbage@1", ProtocolViolation, "only 0 and 1 are defined"),
        ("corrupt_reply@1", ProtocolViolation, "answered 164"),
        ("refuse@1", DeviceRefused, "refused 'set amplitudes'"),
        ("link_loss@1", LinkLost, "gone"),
        ("comm_failure@1", UncertainDelivery, "COMM. FAILURE"),
    ],
)
def test_faults_of_the_link_are_told_by_name(
    tmp_path: Path, fault: str, error: type[DeviceError], message: str
) -> None:
    session = Session(tmp_path, faults=[fault])
    session.begin()
    session.to(0.9)
    session.clock.wait(session.start_s + 1.1)
    with pytest.raises(error, match=message):
        session.driver.set_level(0.5)
    session.driver.link.close()
    assert session.finish().last_above_s(0.05) < session.start_s + 0.8 + 1.8


@pytest.mark.parametrize(
    "fault", ["drop_reply@1", "duplicate_reply@1=2", "garbage@1", "corrupt_reply@1=2"]
)
def test_the_link_finds_its_way_back(tmp_path: Path, fault: str) -> None:
    session = Session(tmp_path, faults=[fault])
    session.begin()
    session.to(0.9)
    session.clock.wait(session.start_s + 1.1)
    for _ in range(2):
        try:
            session.driver.set_level(0.5)
        except DeviceError:
            continue
    session.driver.extend_lease(session.elapsed_s, 1.0)
    session.driver.set_level(0.25)
    assert settings(session)["amplitude"][0] == pytest.approx(250_000, abs=306)
    assert session.driver.status().details["resynchronisations"] >= 1


def test_a_locked_device_is_lost_for_good(tmp_path: Path) -> None:
    session = Session(tmp_path, faults=["comm_failure@1"])
    session.begin()
    session.to(0.9)
    session.clock.wait(session.start_s + 1.1)
    with pytest.raises(UncertainDelivery):
        session.driver.set_level(0.5)
    with pytest.raises(LinkLost, match="click the joystick"):
        session.driver.status()


def test_a_reboot_shows_in_the_status(tmp_path: Path) -> None:
    session = Session(tmp_path, faults=["reboot@1"])
    session.begin()
    session.to(0.9)
    session.clock.wait(session.start_s + 1.1)
    assert session.driver.status().playing == ()
    assert not session.finish().between(session.start_s + 1.0, np.inf).any()


def test_an_output_that_does_not_stop_shows_in_the_status(tmp_path: Path) -> None:
    session = Session(tmp_path, faults=["stuck_output@1"])
    session.begin()
    session.to(1.5)
    session.driver.emergency_stop()
    session.clock.wait(session.clock.now_s() + 1.0)
    assert session.driver.status().playing == (1,)
    with pytest.raises(UncertainDelivery, match="switch the stimulators off"):
        session.driver.close()


def test_a_start_that_is_not_carried_out_is_uncertain(session: Session) -> None:
    session.driver.connect()
    session.driver.configure(program())
    session.firmware.channels[0].stuck = True
    with pytest.raises(UncertainDelivery, match="were started"):
        session.driver.start(1.0)


# processes on real ports


def wait_for(condition, clock: MonotonicClock, limit_s: float = 10.0) -> None:
    """Ask until it holds; the limit only bounds a failure."""
    deadline_s = clock.now_s() + limit_s
    while not condition():
        assert clock.now_s() < deadline_s
        clock.wait(clock.now_s() + 0.02)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[EmulatorProcess]:
    emulator = EmulatedSynthPal().as_process(
        shipped_rigs()["emulated-synthpal"], ["Oz=5", "Cz"], tmp_path / "current.tsv.gz", []
    )
    yield emulator
    emulator.finish()


def test_a_session_over_a_pseudo_terminal(process: EmulatorProcess) -> None:
    clock = MonotonicClock()
    driver = SynthPal.open(process.address, RIG, clock)
    driver.connect()
    with pytest.raises(DeviceBusy):
        SynthPal.open(process.address, RIG, clock)
    driver.configure(program())
    start_s = clock.now_s()
    driver.start(2.0)
    for level in (0.25, 0.5, 1.0):
        driver.set_level(level)
        driver.extend_lease(clock.now_s() - start_s, 1.0)
    full_s = clock.now_s()
    wait_for(lambda: driver.status() and clock.now_s() > full_s + 0.3, clock)
    driver.emergency_stop()
    stop_s = clock.now_s()
    wait_for(lambda: driver.status().playing == (), clock)
    driver.close()
    info = process.finish()
    assert info is not None
    trace = read_trace(info)
    assert np.abs(trace.between(full_s + 0.1, full_s + 0.3)).max() == pytest.approx(1.0, abs=1e-3)
    assert not trace.between(stop_s + 0.25, np.inf).any()
    assert '"clean": true' in info.path.with_name("current.json").read_text()


def test_when_the_host_is_gone_the_process_records_the_end_and_goes(
    process: EmulatorProcess,
) -> None:
    clock = MonotonicClock()
    driver = SynthPal.open(process.address, RIG, clock)
    driver.connect()
    driver.configure(program())
    driver.start(0.5)
    driver.set_level(1.0)
    driver.link.close()  # as if the host had died: no stop, no goodbye
    gone_s = clock.now_s()
    wait_for(lambda: not process.running, clock)
    info = process.finish()
    assert info is not None
    trace = read_trace(info)
    assert trace.last_above_s(0.5) > gone_s
    assert trace.last_above_s(0.05) < gone_s + 0.5 + 0.8 + 0.05
    assert trace.times_s[-1] > gone_s + 1.3
    assert '"clean": true' in info.path.with_name("current.json").read_text()


def test_a_click_frees_a_locked_process(process: EmulatorProcess) -> None:
    clock = MonotonicClock()
    driver = SynthPal.open(process.address, RIG, clock)
    driver.link._transport.write(b"\xd5A")  # and no more: the device locks
    clock.wait(clock.now_s() + 0.3)
    with pytest.raises(DeviceNotFound, match="click"):
        driver.connect()
    process.click()
    wait_for(lambda: _answers(driver), clock)
    driver.close()


def _answers(driver: SynthPal) -> bool:
    try:
        return driver.connect().firmware == "1"
    except DeviceNotFound:
        return False


def test_over_tcp_and_link_loss_in_a_process(tmp_path: Path) -> None:
    rig = shipped_rigs()["emulated-synthpal"]
    trace = tmp_path / "current.tsv.gz"
    process = start_process(
        "devices.emulators.synthpal", rig, ["Oz", "Cz"], trace, ["link_loss@0.3"], tcp=True
    )
    assert process.address.startswith("socket://127.0.0.1:")
    clock = MonotonicClock()
    driver = SynthPal.open(process.address, RIG, clock)
    driver.connect()
    with pytest.raises(DeviceBusy, match="another program"):
        SynthPal.open(process.address, RIG, clock)
    stranger = SynthPal.over(TcpTransport(process.address, clock, exclusive=False), RIG)
    with pytest.raises(LinkLost):
        stranger.connect()
    stranger.close()
    driver.configure(program())
    driver.start(0.6)
    driver.set_level(1.0)
    with pytest.raises(LinkLost, match=r"closed|gone"):
        wait_for(lambda: driver.status() is None, clock)
    lost_s = clock.now_s()
    with pytest.raises(LinkLost):
        driver.close()
    wait_for(lambda: not process.running, clock)
    info = process.finish()
    assert info is not None
    samples = read_trace(info)
    assert samples.last_above_s(0.9) > lost_s  # the current outlives the link …
    assert samples.last_above_s(0.05) < lost_s + 0.6 + 0.8 + 0.05  # … by the lease and its ramp


def test_a_process_that_cannot_start_says_why(tmp_path: Path) -> None:
    rig = shipped_rigs()["emulated-synthpal"]
    with pytest.raises(InputError, match="unknown; known"):
        EmulatedSynthPal().as_process(rig, ["Oz", "Cz"], None, ["melt"])
    with pytest.raises(InputError, match="not in rig"):
        EmulatedSynthPal().as_process(rig, ["P9"], None, [])
