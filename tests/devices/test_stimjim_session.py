"""Whole sessions: guardian, driver, emulator, judged by the oscilloscope."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tacs.checking import prepare
from tacs.clock import utc_now
from tacs.guardian import Telemetry
from tacs.limits import effective_limits
from tacs.protocol import Protocol
from tacs.safety import cautions, device_breaches
from tacs.scenarios.bench import Bench
from tacs.session import State
from tests.devices.stimjim_session import RIG, play, protocol

ROOT = Path(__file__).resolve().parents[2]
TWO_LOOPS = {
    "electrodes": [
        {"name": name, "area_cm2": 25.0, "material": "conductive_rubber_paste"}
        for name in ("Oz", "Cz", "F3", "F4")
    ],
    "loops": [
        {"source": "Oz", "sink": "Cz", "current_peak_ma": 0.5},
        {"source": "F4", "sink": "F3", "current_peak_ma": 0.3, "phase_deg": 30.0},
    ],
}


def test_a_session_delivers_its_protocol_on_two_loops(tmp_path: Path):
    played = play(tmp_path, protocol(montage=TWO_LOOPS))
    assert (played.session.state, played.session.cause) == (State.DONE, "")
    trace, start_s = played.trace, played.start_s
    hold = slice(*np.searchsorted(trace.times_s, [start_s + 31.0, start_s + 44.0]))
    t = trace.times_s[hold] - start_s
    for contact, peak_ma, phase_deg in (("Oz", 0.5, 0.0), ("F4", 0.3, 30.0)):
        current = trace.currents_ma[contact]
        assert np.abs(current).max() <= peak_ma
        assert np.abs(current[hold]).max() == pytest.approx(peak_ma, abs=2e-4)
        spectrum = [
            np.exp(-2j * np.pi * f * t) @ (current[hold] * np.hanning(len(t)))
            for f in 10.27 + np.arange(-20, 21) * 1e-4
        ]
        best = int(np.argmax(np.abs(spectrum)))
        assert abs(best - 20) * 1e-4 < 3e-4
        # the start is a few round trips late, and a sample is held for a millisecond
        phase = np.degrees(np.angle(1j * spectrum[20])) + 360 * 10.27 * 0.002
        assert (phase - phase_deg + 180) % 360 - 180 == pytest.approx(0.0, abs=6.0)
        assert abs(current.mean()) < 1e-5
        rise = played.peaks_ma(contact)[:300]
        assert np.all(np.diff(rise) > -2e-3)
    np.testing.assert_allclose(sum(trace.currents_ma.values()), 0.0, atol=1.1e-4)
    assert abs(played.quiet_after_s(60.0)) < 0.2


def test_what_was_measured_is_in_the_record(tmp_path: Path):
    played = play(tmp_path, protocol(), contacts=["Oz=3", "Cz=6"])
    told = [s for s in played.statuses if s["current_peak_ma"] is not None]
    assert len(told) == 1
    assert told[0]["current_peak_ma"]["1"] == pytest.approx(0.5, abs=1e-3)
    assert told[0]["impedance_kohm"]["Oz-Cz"] == pytest.approx(9.0, abs=0.05)
    assert 30.0 < told[0]["train_elapsed_s"] < 31.0
    assert played.statuses[-1]["at_rest"]["1"]["current_ua"] == 0.0


@pytest.mark.parametrize(
    ("script", "state", "cause", "at_s"),
    [
        ([(37.0, "stop:the operator")], State.STOPPED, "the operator", 37.0),
        ([(37.0, "pause:scratch")], State.STOPPED, "scratch: the device cannot pause", 37.0),
        ([(12.0, "rating:6")], State.STOPPED, "the device cannot pause", 12.0),
        ([(37.0, "fault:monitor")], State.FAULT, "monitor", 37.0),
    ],
)
def test_every_stop_is_a_step(
    tmp_path: Path, script: list[tuple[float, str]], state: State, cause: str, at_s: float
):
    played = play(tmp_path, protocol(), script=script)
    assert played.session.state is state
    assert cause in played.session.cause
    assert played.quiet_after_s(at_s) <= 0.02
    assert np.abs(played.trace.currents_ma["Oz"]).max() <= 0.5


def test_an_active_sham_is_a_short_train_and_a_whole_session(tmp_path: Path):
    sham = protocol(waveform="active_sham", sham_plateau_s=5.0, duration_s=90.0)
    played = play(tmp_path, sham)
    assert (played.session.state, played.session.cause) == (State.DONE, "")
    assert played.quiet_after_s(50.0) == pytest.approx(0.0, abs=0.05)
    assert played.peaks_ma("Oz").max() == pytest.approx(0.5, abs=2e-4)
    ended_s = next(x.t_s for x in played.lines if x.data.get("to") == "done")
    started_s = next(x.t_s for x in played.lines if x.data.get("from") == "armed")
    assert ended_s - started_s == pytest.approx(90.1, abs=0.2)


def test_a_passive_sham_passes_nothing_for_a_whole_session(tmp_path: Path):
    played = play(tmp_path, protocol(waveform="passive_sham"))
    assert (played.session.state, played.session.cause) == (State.DONE, "")
    assert not played.trace.currents_ma["Oz"].any()
    assert all(s["playing"] == [1] for s in played.statuses[:-1])


@pytest.mark.parametrize("ppm", [-100, 100, -2000, 2000])
def test_a_device_whose_clock_differs_still_ends_as_planned(tmp_path: Path, ppm: int):
    played = play(tmp_path, protocol(), faults=[f"clock_ppm={ppm}"])
    assert (played.session.state, played.session.cause) == (State.DONE, "")
    assert played.quiet_after_s(60.0) < 0.03


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("link_loss@37", "the device is gone"),
        ("reboot@37", "stopped by itself"),
        ("gain@20=1.5", "channel 1 passes 0.749 mA where 0.500 mA were commanded"),
        ("open_electrode@20=Oz", "channel 1 passes 0.000 mA where 0.500 mA were commanded"),
        ("drop_start@on", "not started"),
        ("stuck_output@37", "still plays"),
    ],
)
def test_faults_end_a_session_and_say_why(tmp_path: Path, fault: str, cause: str):
    script = [(39.0, "stop:the operator")] if fault.startswith("stuck") else []
    played = play(tmp_path, protocol(), faults=[fault], script=script)
    assert played.session.state is State.FAULT
    notes = " ".join(str(x.data.get("text")) for x in played.lines if x.kind == "note")
    assert cause in played.session.cause + notes
    if fault.startswith("link"):
        assert abs(played.quiet_after_s(60.0)) < 0.05  # to the end of what the device holds
    elif not fault.startswith("stuck"):
        assert not played.trace.between(played.start_s + 38.0, played.start_s + 99.0).any()


@pytest.mark.parametrize("fault", ["duplicate_reply@20=3", "chatter@20=9", "late@20=0.05"])
def test_a_session_goes_on_where_nothing_is_lost(tmp_path: Path, fault: str):
    played = play(tmp_path, protocol(), faults=[fault])
    assert (played.session.state, played.session.cause) == (State.DONE, "")


def breaches(current_ma: float, **limits: float) -> list[str]:
    loops = [{"source": "Oz", "sink": "Cz", "current_peak_ma": current_ma}]
    montage = {**protocol().to_data()["montage"], "loops": loops}
    setup = prepare("emulated:stimjim")
    found = device_breaches(
        protocol(montage=montage),
        setup.capabilities,
        RIG,
        type(setup.limits)({**setup.limits, **limits}, setup.limits.set_by),
        today=utc_now().date(),
        emulated=True,
    )
    return [breach.limit for breach in found]


def test_what_current_its_voltage_allows():
    assert breaches(0.547) == []
    assert breaches(0.549) == ["compliance_use"]
    assert breaches(1.0) == ["compliance_use"]
    assert breaches(1.0, impedance_start_kohm=5.4) == []


def test_the_example_within_its_voltage():
    example = Protocol.from_toml(ROOT / "examples/protocols/stimjim-half-milliampere.toml")
    setup = prepare("emulated:stimjim")
    found = device_breaches(
        example, setup.capabilities, setup.rig, effective_limits(), today=utc_now().date(),
        emulated=True,
    )  # fmt: skip
    assert found == []
    told = " ".join(cautions(example, setup.capabilities, setup.rig))
    assert "there is no pause, and a stop is a step to zero" in told
    assert "at most 1200.25 s" in told


def test_the_one_measurement_stays_to_be_seen(tmp_path: Path) -> None:
    seen: list[Telemetry] = []
    Bench.of("emulated:stimjim", None, tmp_path).rehearse("P01", told=seen.append)
    assert all(each.measures for each in seen)
    assert seen[0].measured_ma is None
    first = next(i for i, each in enumerate(seen) if each.measured_ma)
    at_s = seen[first].measured_at_s
    assert at_s == pytest.approx(seen[first].elapsed_s, abs=0.6)
    assert {each.measured_at_s for each in seen[first:]} == {at_s}
    assert seen[-1].measured_ma == seen[first].measured_ma
    assert seen[-1].impedance_kohm == seen[first].impedance_kohm
