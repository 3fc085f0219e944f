"""Whole sessions on the virtual clock, from the kernel to the electrodes; what is declared."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from devices.emulators.nidaq import EmulatedNiDaq
from devices.nidaq import NiDaq
from tacs.checking import check, prepare
from tacs.clock import QueueInbox, VirtualClock
from tacs.dose import quiet_after_s, read_trace
from tacs.guard import GuardedDriver
from tacs.guardian import Guardian, kernel_plan
from tacs.limits import effective_limits
from tacs.record import RecordWriter
from tacs.rig import load_rig
from tacs.session import Session, State
from tests.tacs.made import montage_data, protocol

SHORT = {"duration_s": 60.0, "ramp_up_s": 30.0, "ramp_down_s": 15.0}
PHASED = montage_data(("Oz", "Cz", 0.5, 0.0), ("F3", "Cz", 0.25, 90.0))


def rehearse(folder: Path, script=(), faults=(), rig="emulated-nidaq", **changes):
    """A session, its trace by electrode, and its start from the first sample."""
    clock, wired = VirtualClock(), load_rig(rig)
    prescription = protocol(**{**SHORT, **changes})
    contacts = [e.name for e in prescription.montage.electrodes]
    limits = effective_limits()
    device = EmulatedNiDaq().in_memory(wired, clock, contacts, folder / "scope.tsv.gz", faults)
    driver = NiDaq.over(device.transport, wired)
    with RecordWriter(folder / "record.jsonl") as record:
        guardian = Guardian(
            lambda journal: GuardedDriver.of(driver, prescription, wired, limits, journal),
            kernel_plan(prescription, limits, NiDaq.capabilities_on(wired)),
            clock,
            record,
        )
        guardian.prepare()
        guardian.arm()
        start_s = clock.now_s()
        session = guardian.run(QueueInbox([(start_s + at_s, what) for at_s, what in script]))
    clock.wait(clock.now_s() + 0.5)
    info = device.finish()
    assert info is not None
    trace = read_trace(info.path, len(info.columns))
    return session, trace, session.started_s - info.start_s


def quiet_s(found: tuple[Session, np.ndarray, float], since_s: float) -> float:
    _, trace, start_s = found
    quiet = quiet_after_s(trace, 1000.0, start_s + since_s)
    assert quiet is not None
    return quiet


def test_a_session_as_planned(tmp_path: Path) -> None:
    found = rehearse(tmp_path, montage=PHASED)
    session, trace, start_s = found
    assert (session.state, session.cause) == (State.DONE, "")
    oz, cz, f3 = trace
    assert np.abs(oz).max() <= 0.5
    assert np.abs(oz).max() > 0.498
    assert np.abs(oz + cz + f3).max() < 1e-3
    held = slice(round(1000 * (start_s + 32.0)), round(1000 * (start_s + 42.0)))
    assert abs(oz[held].mean()) < 1e-3
    angles = [
        np.angle(np.sum(row[held] * np.exp(-2j * np.pi * 10.27 * np.arange(10_000) / 1000)))
        for row in (oz, f3)
    ]
    assert math.degrees(angles[1] - angles[0]) % 360.0 == pytest.approx(90.0, abs=0.5)
    assert quiet_s(found, 60.0) < 0.2
    assert oz[-1] == 0.0


def test_an_operators_stop(tmp_path: Path) -> None:
    found = rehearse(tmp_path, script=[(35.0, "stop:enough")])
    assert found[0].state is State.STOPPED
    assert quiet_s(found, 35.0) <= 0.8


def test_a_pause_and_a_resumption(tmp_path: Path) -> None:
    session, trace, start_s = rehearse(
        tmp_path, script=[(31.0, "pause"), (60.0, "resume")], duration_s=140.0
    )
    assert session.state is State.DONE
    paused = trace[0][round(1000 * (start_s + 47.0)) : round(1000 * (start_s + 59.0))]
    assert not paused.any()
    assert np.abs(trace[0][round(1000 * (start_s + 95.0)) :]).max() > 0.99


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("underflow@35", "ran out of samples"),
        ("clock_stops@35", "sample clock stands still"),
        ("reboot@35", "plays no more"),
        ("refuse@35", "refused"),
        ("drop_reply@35", "no answer"),
        ("link_loss@35", "gone from the bus"),
    ],
)
def test_a_fault_ends_the_current(tmp_path: Path, fault: str, cause: str) -> None:
    found = rehearse(tmp_path, faults=[fault])
    assert found[0].state is State.FAULT
    assert cause in found[0].cause
    assert quiet_s(found, 35.0) <= 0.6


def test_a_modulated_session(tmp_path: Path) -> None:
    session, trace, start_s = rehearse(tmp_path, waveform="am_tacs", carrier_hz=100.0)
    assert session.state is State.DONE
    held = trace[0][round(1000 * (start_s + 32.0)) : round(1000 * (start_s + 42.0))]
    assert np.abs(held).max() <= 1.0
    assert abs(held.mean()) < 1e-3


# what is declared on a rig, and what follows from it


def test_the_rig_decides_whether_a_device_is_refused() -> None:
    for rig, limits in (
        ("emulated-nidaq", []),
        ("emulated-nidaq-interlock", []),
        ("emulated-nidaq-unwatched", ["host_loss"]),
    ):
        setup = prepare("emulated:nidaq", rig=rig)
        assert setup.capabilities == NiDaq.capabilities_on(load_rig(rig))
        assert [breach.limit for breach in check(protocol(), setup)] == limits


def test_without_a_rig_a_device_declares_what_it_always_can() -> None:
    assert prepare("nidaq:Dev1/ao0").capabilities == NiDaq.capabilities
