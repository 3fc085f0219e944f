"""Whole sessions: guardian, driver and emulated NIC on the virtual clock, told by the current."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tacs.errors import InputError
from tacs.rig import load_rig
from tacs.session import State
from tests.devices.bench import Trace
from tests.devices.nic2_bench import Rehearsal, Session, program, rehearse, rig
from tests.tacs.made import montage_data, protocol

PAIR = protocol(frequency_hz=10.0, duration_s=75.0)
BIFRONTAL = protocol(
    frequency_hz=10.0,
    duration_s=75.0,
    montage=montage_data(("F3", "Cz", 0.5), ("F4", "Cz", 0.5)),
)
PHASED = protocol(
    frequency_hz=6.0,
    duration_s=75.0,
    montage=montage_data(("F3", "Cz", 0.5), ("F4", "Cz", 0.5, 90.0)),
)


def envelope(trace: Trace, contact: str, frequency_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Largest magnitude of every half cycle, and the time it lies at."""
    samples = trace.currents_ma[contact]
    n = round(500.0 / frequency_hz)
    blocks = np.abs(samples[: len(samples) // n * n]).reshape(-1, n)
    at = np.arange(len(blocks)) * n + blocks.argmax(axis=1)
    return trace.times_s[at], blocks.max(axis=1)


def excess_ma(run: Rehearsal, contact: str, full_ma: float) -> float:
    """How much more flowed than was commanded a tick before."""
    samples = np.abs(run.trace.currents_ma[contact])
    return float(np.max(samples - full_ma * run.commanded(run.trace.times_s)))


@pytest.mark.parametrize(
    ("plan", "full_ma"),
    [
        (PAIR, {"Oz": 1.0, "Cz": 1.0}),
        (BIFRONTAL, {"F3": 0.5, "F4": 0.5, "Cz": 1.0}),
        (PHASED, {"F3": 0.5, "F4": 0.5, "Cz": np.hypot(0.5, 0.5)}),
    ],
    ids=["pair", "bifrontal", "phased"],
)
def test_a_session_delivers_what_was_asked_and_never_more(tmp_path: Path, plan, full_ma) -> None:
    run = rehearse(plan, tmp_path)
    assert run.session.state is State.DONE
    start_s = run.session.started_s
    for contact, ma in full_ma.items():
        hold = run.trace.between(start_s + 32.0, start_s + 58.0, contact)
        assert np.abs(hold).max() == pytest.approx(ma, abs=5e-4)
        assert np.abs(run.trace.currents_ma[contact]).max() <= ma + 1e-9
        assert excess_ma(run, contact, ma) <= 1.4e-3  # one tick, at the beginning of the fall
        assert abs(hold[:26_000].mean()) < 5e-4
        t = np.arange(len(hold)) / 1000.0
        grid = plan.frequency_hz + np.arange(-50, 51) * 1e-4
        window = hold * np.hanning(len(t))
        spectrum = [abs(np.exp(-2j * np.pi * f * t) @ window) for f in grid]
        assert abs(np.argmax(spectrum) - 50) * 1e-4 <= 3e-4  # Hz
        times_s, peaks = envelope(run.trace, contact, plan.frequency_hz)
        rise = peaks[(times_s > start_s) & (times_s < start_s + 31.0)]
        fall = peaks[(times_s > start_s + 60.0) & (times_s < start_s + 76.0)]
        assert np.all(np.diff(rise) >= -2e-3)
        assert np.all(np.diff(fall) <= 2e-3)
        per_s = np.diff(rise).max() / 0.5 * plan.frequency_hz
        assert per_s <= 0.35  # mA/s, over half a cycle of which a step takes its part
    residual = np.abs(sum(run.trace.currents_ma.values()))
    assert residual.max() <= 1e-3  # of 10 µA that are allowed
    assert not any(run.trace.between(start_s + 75.0, np.inf, name).any() for name in full_ma)


def test_the_ramp_is_followed_closely_from_its_beginning(tmp_path: Path) -> None:
    run = rehearse(PAIR, tmp_path)
    times_s, peaks = envelope(run.trace, "Oz", 10.0)
    within = (times_s > run.session.started_s + 0.5) & (times_s < run.session.started_s + 30.0)
    commanded = (times_s[within] - run.session.started_s) / 30.0
    assert np.max(commanded - peaks[within]) < 0.025
    assert np.max(peaks[within] - commanded) <= 0.0


@pytest.mark.parametrize(
    ("message", "state", "within_s"),
    [("stop:the operator", State.STOPPED, 0.8), ("fault:a monitor", State.FAULT, 0.1)],
)
@pytest.mark.parametrize("at_s", [20.0, 20.03, 20.07, 20.11, 45.0, 65.0])
@pytest.mark.parametrize("faults", [(), ("deaf_in_transition@on", "strict_slope@on")])
def test_stops_end_within_their_time(
    tmp_path: Path, message: str, state: State, within_s: float, at_s: float, faults
) -> None:
    run = rehearse(BIFRONTAL, tmp_path, script=[(at_s, message)], faults=faults)
    assert run.session.state is state
    stop_s = run.session.stopping_since_s
    last_s = run.trace.last_above_s(0.05, "Cz") - stop_s
    late_s = 0.12 if faults else 0.025  # a NIC that is deaf hears the ramp the second time
    assert last_s <= within_s + late_s
    np.testing.assert_allclose(
        sum(run.trace.currents_ma.values()), 0.0, atol=2.1e-4
    )  # each sample is rounded to 0.1 µA
    assert not run.trace.between(stop_s + within_s + 0.5, np.inf, "Cz").any()


def test_a_pause_and_its_end(tmp_path: Path) -> None:
    plan = protocol(frequency_hz=10.0, duration_s=150.0)
    run = rehearse(plan, tmp_path, script=[(40.0, "pause"), (70.0, "resume")])
    assert run.session.state is State.DONE
    start_s = run.session.started_s
    assert not run.trace.between(start_s + 56.0, start_s + 70.0).any()
    assert np.abs(run.trace.between(start_s + 102.0, start_s + 130.0)).max() == pytest.approx(1.0)
    assert excess_ma(run, "Oz", 1.0) <= 1.4e-3  # one tick of the fall


def test_a_sham_gives_its_ramps_and_nothing_else(tmp_path: Path) -> None:
    plan = protocol(waveform="active_sham", sham_plateau_s=5.0, frequency_hz=10.0, duration_s=120.0)
    run = rehearse(plan, tmp_path)
    assert run.session.state is State.DONE
    assert not run.trace.between(run.session.started_s + 51.0, np.inf).any()
    assert np.abs(run.trace.currents_ma["Oz"]).max() > 0.99


@pytest.mark.parametrize(
    "faults",
    [
        ("early_217@on",),
        ("float_zero@on", "strict_slope@on", "deaf_in_transition@on"),
        ("fragment@on",),
        ("slow_start=3",),
        ("slow_load=12", "permission_delay=10", "slow_sync=8"),
        ("duplicate_reply@10=3",),
    ],
    ids=" ".join,
)
def test_oddities_of_nic_do_not_change_what_flows(tmp_path: Path, faults) -> None:
    run = rehearse(PAIR, tmp_path, faults=faults)
    assert run.session.state is State.DONE, run.session.cause
    start_s = run.session.started_s
    hold = run.trace.between(start_s + 32.0, start_s + 58.0)
    assert np.abs(hold).max() == pytest.approx(1.0, abs=1e-4)
    assert excess_ma(run, "Oz", 1.0) <= 2e-4


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("drop_reply@20", "did not answer"),
        ("delay_reply@20=0.6", "did not answer"),
        ("garbage@20", "where one byte is due"),
        ("corrupt_reply@20", "is no status"),
        ("pause_by_hand@20", "somebody paused the protocol at NIC"),
        ("abort_by_hand@20", "the device stopped by itself"),
        ("reboot@20", "the device stopped by itself"),
    ],
)
def test_faults_end_the_current_and_say_why(tmp_path: Path, fault: str, cause: str) -> None:
    run = rehearse(PAIR, tmp_path, faults=[fault])
    assert run.session.state is State.FAULT
    assert cause in run.session.cause
    # An answer is waited for a quarter of a second, and a pause at NIC takes a second by itself.
    assert not run.trace.between(run.session.stopping_since_s + 0.6, np.inf).any()


def test_an_output_that_does_not_stop_is_a_fault(tmp_path: Path) -> None:
    run = rehearse(PAIR, tmp_path, script=[(30.0, "stop:x")], faults=["stuck_output@20"])
    assert run.session.state is State.FAULT
    assert "did not confirm the stop" in run.session.cause


def test_when_the_host_is_gone_the_end_of_the_protocol_ends_the_current(tmp_path: Path) -> None:
    run = rehearse(PAIR, tmp_path, faults=["link_loss@40"])
    assert run.session.state is State.FAULT
    # The oscilloscope stops looking after ten seconds: the current is still there, as declared.
    assert np.abs(run.trace.between(run.session.started_s + 41.0, np.inf)).max() > 0.99
    lines = [json.loads(line) for line in run.record.read_text().splitlines()]
    assert any("the emergency stop could not be delivered" in json.dumps(line) for line in lines)


def test_the_bound_of_a_lost_host_holds(tmp_path: Path) -> None:
    """The emulated NIC does what is declared: its protocol ends, and the current with it."""
    session = Session(tmp_path)
    plan = program(duration_s=60.0)
    session.begin(plan)
    session.to(20.0, lambda t: min(t / 5.0, 1.0))
    session.driver.link.close()
    gone_s = session.now_s
    session.clock.wait(gone_s + 300.0)
    trace = session.finish()
    ended_s = trace.last_above_s(0.0)
    worst_s = session.driver.capabilities.after_host_loss_s(plan.duration_s)
    assert gone_s + 30.0 < ended_s <= session.start_s + worst_s
    assert ended_s <= session.start_s + 240.0


def test_the_contacts_are_checked_before_and_the_record_has_them(tmp_path: Path) -> None:
    run = rehearse(PAIR, tmp_path, rig=rig(impedance_check="DC"), faults=["stale_217"])
    assert run.session.state is State.DONE
    assert '"impedance_before_kohm":{"Cz":5.0,"Oz":5.0}' in run.record.read_text().replace(" ", "")


def test_a_protocol_of_another_length_is_refused(tmp_path: Path) -> None:
    wrong = rig(protocol="zero", protocol_duration_s=1260)
    with pytest.raises(InputError, match="at most 200 s longer"):
        rehearse(PAIR, tmp_path, rig=wrong)


def test_the_rig_ships() -> None:
    assert load_rig("emulated-nic2").emulated
