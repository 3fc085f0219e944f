"""Whole sessions: guardian, guard, real driver, emulated instrument; judged by the oscilloscope."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from devices.emulators.scpi import EmulatedScpi
from devices.emulators.server import EmulatorProcess
from devices.scpi import Scpi
from tacs.clock import MonotonicClock, QueueInbox, VirtualClock
from tacs.errors import LinkLost
from tacs.guard import GuardedDriver
from tacs.guardian import Guardian, kernel_plan
from tacs.limits import effective_limits
from tacs.protocol import Protocol
from tacs.record import RecordWriter
from tacs.rig import shipped_rigs
from tacs.safety import device_breaches
from tacs.session import Session as KernelSession
from tacs.session import State
from tests.devices.bench import Trace, read_trace
from tests.devices.scpi_session import FAMILIES, Session, program, rig_for
from tests.tacs.made import montage_data, protocol

FREQUENCY_HZ = 10.27


@dataclass(frozen=True)
class Run:
    session: KernelSession
    trace: Trace
    writes: list[str]

    @property
    def start_s(self) -> float:
        return self.session.started_s

    def after(self, seconds: float, until: float = math.inf, contact: str = "Oz") -> np.ndarray:
        return self.trace.between(self.start_s + seconds, self.start_s + until, contact)


def run(
    folder: Path,
    prescription: Protocol,
    dialect: str = "rigol-dg1000z",
    *,
    script: Sequence[tuple[float, str]] = (),
    faults: Sequence[str] = (),
) -> Run:
    clock, rig = VirtualClock(), rig_for(dialect)
    limits = effective_limits()
    contacts = [e.name for e in prescription.montage.electrodes]
    device = EmulatedScpi().in_memory(rig, clock, contacts, folder / "scope.tsv.gz", faults)
    writes: list[str] = []
    write = device.transport.write

    def spy(data: bytes) -> None:
        writes.extend(data.decode("ascii").splitlines())
        write(data)

    device.transport.write = spy
    driver = Scpi.over(device.transport, rig)
    with RecordWriter(folder / "record.jsonl") as record:
        guardian = Guardian(
            lambda journal: GuardedDriver.of(driver, prescription, rig, limits, journal),
            kernel_plan(prescription, limits, driver.capabilities),
            clock,
            record,
        )
        guardian.prepare()
        guardian.arm()
        start_s = clock.now_s()
        session = guardian.run(QueueInbox([(start_s + at_s, text) for at_s, text in script]))
    info = device.finish(timeout_s=2000.0)
    assert info is not None
    return Run(session, read_trace(info), writes)


def short(**changes: object) -> Protocol:
    return protocol(duration_s=60.0, ramp_up_s=30.0, ramp_down_s=15.0, **changes)


def crest(samples: np.ndarray) -> np.ndarray:
    """Largest magnitude in every tenth of a second."""
    whole = samples[: len(samples) // 100 * 100]
    return np.abs(whole).reshape(-1, 100).max(axis=1)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("done"), short())


def test_a_session_ends_as_planned_with_nothing_left(done: Run):
    assert done.session.state is State.DONE
    assert done.trace.last_above_s(0.0) - done.start_s == pytest.approx(60.0, abs=0.1)
    assert not done.after(60.1).any()


def test_its_frequency_is_right_to_a_millihertz(done: Run):
    held = done.after(31.0, 44.0)
    t = np.arange(len(held)) / 1000.0
    ups = np.flatnonzero((held[:-1] <= 0.0) & (held[1:] > 0.0))
    crossings = t[ups] - held[ups] / (held[ups + 1] - held[ups]) * 1e-3
    measured_hz = (len(crossings) - 1) / (crossings[-1] - crossings[0])
    assert measured_hz == pytest.approx(FREQUENCY_HZ, abs=5e-4)


def test_its_peak_is_the_commanded_one_and_never_more(done: Run):
    oz = np.abs(done.trace.currents_ma["Oz"])
    assert oz.max() == pytest.approx(1.0, abs=1e-3)
    assert oz.max() <= 1.0
    elapsed_s = done.trace.times_s - done.start_s
    rising = (elapsed_s >= 0.0) & (elapsed_s < 30.0)
    planned = elapsed_s[rising] / 30.0
    assert (oz[rising] - planned).max() <= 0.002 + 1e-4  # the smallest amplitude at the bottom
    assert (planned - crest_everywhere(done)[rising]).max() < 0.012


def crest_everywhere(done: Run) -> np.ndarray:
    """Running maximum over a cycle on either side."""
    oz = np.abs(done.trace.currents_ma["Oz"])
    padded = np.pad(oz, 98)
    return np.lib.stride_tricks.sliding_window_view(padded, 197).max(axis=1)


def test_its_ramps_are_monotone_and_its_mean_is_zero(done: Run):
    assert np.diff(crest(done.after(0.0, 30.0))).min() > -2e-3
    assert np.diff(crest(done.after(45.2, 60.0))).max() < 2e-3
    whole_cycles = round(120 / FREQUENCY_HZ * 1000)
    assert abs(done.after(31.0)[:whole_cycles].mean()) < 1e-4


def test_its_steps_are_small(done: Run):
    volts = [float(line.split()[1]) for line in done.writes if line.startswith(":SOUR1:VOLT 0")]
    steps_ma = np.abs(np.diff(volts))  # 2 mA/V, zero-to-peak
    assert steps_ma[1:].max() <= 0.010
    assert len(volts) < 450  # of 2250 ticks in the ramps


@pytest.mark.parametrize("dialect", FAMILIES)
def test_every_family_plays_the_same_current(tmp_path: Path, done: Run, dialect: str):
    played = run(tmp_path, short(), dialect)
    assert played.session.state is State.DONE
    a, b = crest(played.after(0.0, 60.0)), crest(done.after(0.0, 60.0))
    assert np.abs(a - b).max() < 0.012


def test_two_loops_with_opposite_phase(tmp_path: Path):
    montage = montage_data(("Oz", "Cz", 0.5), ("F3", "Cz", 0.5, 180.0))
    played = run(tmp_path, short(montage=montage))
    assert played.session.state is State.DONE
    oz, f3 = (played.after(31.0, 44.0, name) for name in ("Oz", "F3"))
    assert np.abs(oz).max() == pytest.approx(0.5, abs=1e-3)
    assert f3 == pytest.approx(-oz, abs=1e-3)
    assert np.abs(played.after(31.0, 44.0, "Cz")).max() < 1e-3


@pytest.mark.parametrize(
    ("message", "within_s", "state"),
    [("stop:enough", 0.8, State.STOPPED), ("fault:overcurrent", 0.02, State.FAULT)],
)
@pytest.mark.parametrize("at_s", [12.013, 40.0, 50.0])
def test_stops(tmp_path: Path, message: str, within_s: float, state: State, at_s: float):
    played = run(tmp_path, short(), script=[(at_s, message)])
    assert played.session.state is state
    assert played.trace.last_above_s(0.0) - played.start_s - at_s < within_s
    assert np.abs(played.after(at_s - 0.2, at_s)).max() > 0.3
    if state is State.STOPPED:
        assert np.diff(crest(played.after(at_s, at_s + 0.8))).max() < 2e-3


def test_a_pause_is_without_current_and_goes_on(tmp_path: Path):
    prescription = protocol(duration_s=140.0, ramp_up_s=30.0, ramp_down_s=15.0)
    played = run(tmp_path, prescription, script=[(35.0, "pause"), (60.0, "resume")])
    assert played.session.state is State.DONE
    assert not played.after(50.1, 60.0).any()
    assert np.abs(played.after(91.0, 120.0)).max() == pytest.approx(1.0, abs=1e-3)
    assert played.trace.last_above_s(0.0) - played.start_s == pytest.approx(140.0, abs=0.1)


def test_a_passive_sham_has_no_current_at_all(tmp_path: Path):
    sham = short(waveform="passive_sham", blinding={"label": "B"})
    played = run(tmp_path, sham)
    assert played.session.state is State.DONE
    assert not played.trace.currents_ma["Oz"].any()


def test_an_active_sham_ends_early(tmp_path: Path):
    sham = short(waveform="active_sham", sham_plateau_s=5.0, blinding={"label": "B"})
    played = run(tmp_path, sham)
    assert played.session.state is State.DONE
    assert np.abs(played.trace.currents_ma["Oz"]).max() == pytest.approx(1.0, abs=1e-3)
    assert not played.after(50.1).any()


@pytest.mark.parametrize(
    ("fault", "within_s"),
    [
        ("drop_reply@40", 1.2),
        ("delay_reply@40=2", 1.7),
        ("corrupt_reply@40", 1.2),
        ("garbage@40", 1.2),
        ("duplicate_reply@40=2", 1.2),
        ("refuse@10", 1.2),
        ("panel_off@40", 0.01),
        ("reboot@40", 0.01),
        ("stall@40=1.5", 2.3),
        ("link_flap@40=4", 2.7),
    ],
)
def test_faults_end_the_session(tmp_path: Path, fault: str, within_s: float):
    played = run(tmp_path, short(), faults=[fault])
    at_s = float(fault.partition("@")[2].partition("=")[0])
    assert played.session.state is State.FAULT
    assert played.trace.last_above_s(0.0) - played.start_s - at_s < within_s


def test_a_link_that_is_gone_leaves_the_current_to_the_end_of_the_burst(tmp_path: Path):
    played = run(tmp_path, short(), faults=["link_loss@40"])
    assert played.session.state is State.FAULT
    last_s = played.trace.last_above_s(0.0) - played.start_s
    assert np.abs(played.after(58.0, 60.0)).max() == pytest.approx(1.0, abs=1e-3)
    assert 60.0 < last_s < 60.0 + 0.75 + 1.0 / FREQUENCY_HZ
    worst_s = Scpi.capabilities.after_host_loss_s(60.0)
    assert last_s < worst_s


@pytest.mark.parametrize("vanishes_s", [2.0, 7.0])
def test_what_flows_after_the_host_vanished(tmp_path: Path, vanishes_s: float):
    session = Session(tmp_path)
    session.begin()
    session.to(vanishes_s)
    level = session.level(vanishes_s - 0.05)
    trace = session.finish()
    after = trace.between(session.start_s + vanishes_s + 0.1, session.start_s + 14.0)
    assert np.abs(after).max() == pytest.approx(level, abs=0.02)
    assert 14.0 < trace.last_above_s(0.0) - session.start_s < 14.0 + 0.75 + 0.1
    assert not trace.between(session.start_s + 14.9, np.inf).any()


def test_the_device_is_held_against_a_protocol():
    rig, limits = rig_for(), effective_limits()

    def broken(prescription: Protocol) -> list[str]:
        found = device_breaches(
            prescription, Scpi.capabilities, rig, limits, today=rig_day(), emulated=True
        )
        return [breach.limit for breach in found]

    assert broken(short()) == []
    assert broken(short(waveform="am_tacs", carrier_hz=80.0)) == ["device_waveform"]


def rig_day():
    return rig_for().channels[0].calibration.calibrated_on


# over a real socket, in real time


@pytest.fixture
def process(tmp_path: Path) -> Iterator[EmulatorProcess]:
    emulator = EmulatedScpi().as_process(
        shipped_rigs()["emulated-scpi"], ["Oz=5", "Cz"], tmp_path / "current.tsv.gz", []
    )
    yield emulator
    emulator.finish()


def test_over_tcp_a_broken_link_is_opened_again_to_switch_off(process: EmulatorProcess):
    clock = MonotonicClock()
    driver = Scpi.open(process.address, rig_for(), clock)
    driver.connect()
    driver.configure(program(ramp_s=2.0, hold_s=20.0))
    driver.start(1.0)

    def tick() -> None:
        clock.wait(clock.now_s() + 0.02)
        driver.pump(clock.now_s())

    for level in (0.01 * n for n in range(1, 26)):
        driver.set_level(level)
        # On, once the instrument has answered for this level: a slow one is no broken one.
        while driver.status().details["level_reached"] < level:
            tick()
    answered_s = clock.now_s()
    while clock.now_s() - answered_s < 1.5 / 10.27:  # a peak of the sine lies in it
        tick()
    driver.link._transport._socket.close()  # the cable, or a switch that restarts
    lost_s = clock.now_s()
    with pytest.raises(LinkLost):
        driver.emergency_stop()
    driver.close()  # returns once the instrument has said that its outputs are off
    closed_s = clock.now_s()
    info = process.finish()
    assert info is not None
    trace = read_trace(info)
    assert np.abs(trace.between(answered_s, lost_s)).max() == pytest.approx(0.25, abs=0.005)
    assert np.abs(trace.currents_ma["Oz"]).max() == pytest.approx(0.25, abs=0.005)
    assert not trace.between(closed_s, np.inf).any()
    assert '"clean": true' in info.path.with_name("current.json").read_text()
