"""Calibrating a channel: readings, fits, what is not believed, whole runs, and the command."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.emulators.server import start_process
from devices.synthpal import SynthPal
from tacs.calibrating import CalibrationResult, calibrate
from tacs.calibration import (
    KINDS,
    Fit,
    Point,
    as_peak,
    fit_breaches,
    fit_points,
    read_volts,
    reading_breach,
    recalibrated,
)
from tacs.calibration_bench import CalibrationBench, CalibrationRequest
from tacs.calibration_meters import (
    EMERGENCY,
    TAKEN,
    GivenReadings,
    MonitorMeter,
    OscilloscopeMeter,
    TypedReadings,
    whole_cycles,
)
from tacs.capabilities import Capabilities
from tacs.checking import Setup, prepare
from tacs.cli import call
from tacs.clock import VirtualClock
from tacs.errors import DeviceError, InputError, SafetyRefusal
from tacs.record import canonical, read_record, verify_record
from tacs.rig import Calibration, Rig, load_rig
from tests.tacs.made import channel_data

TODAY = date(2026, 11, 28)
EMULATED = "emulated:synthpal"


def point(commanded_ma: float, reading: float, kind: str = "peak", gain: float = 2.0) -> Point:
    """A typed reading across 10 kΩ."""
    return Point(
        commanded_peak_ma=commanded_ma,
        input_peak_v=commanded_ma / gain,
        measured_peak_ma=as_peak(reading / 10.0, kind),
        reading=reading,
        unit="V",
        kind=kind,
        source="typed",
    )


# -- readings --------------------------------------------------------------------------------------


@given(st.sampled_from(sorted(KINDS)), st.floats(0.01, 10.0))
def test_the_three_kinds_of_a_sine(kind: str, peak: float):
    samples = [peak * math.sin(2.0 * math.pi * k / 360.0) for k in range(360)]
    measured = {
        "peak": max(samples),
        "pp": max(samples) - min(samples),
        "rms": math.sqrt(sum(x * x for x in samples) / 360.0),
    }
    assert as_peak(measured[kind], kind) == pytest.approx(peak, rel=1e-9)


@pytest.mark.parametrize(
    ("text", "volts"), [("4.02 V", 4.02), (" 4020mV ", 4.02), ("+5 V", 5.0), ("0 V", 0.0)]
)
def test_volts_are_typed_with_their_unit(text: str, volts: float):
    assert read_volts(text) == pytest.approx(volts)


@pytest.mark.parametrize(
    "text", ["4.02", "4,02 V", "-1 V", "4 kV", "four V", "", "4 V pp", "nan V"]
)
def test_what_is_no_reading_says_how_to_write_it(text: str):
    with pytest.raises(ValueError, match="write volts with their unit"):
        read_volts(text)


@pytest.mark.parametrize("claimed", sorted(KINDS))
@pytest.mark.parametrize("true", sorted(KINDS))
@pytest.mark.parametrize("gain_error", [0.9, 1.0, 1.1])
def test_a_reading_that_is_another_kind_than_claimed_is_refused(
    claimed: str, true: str, gain_error: float
):
    shown_v = 10.0 * 0.4 * KINDS[true] * gain_error
    found = reading_breach(point(0.4, shown_v, claimed), 10.0, "step 2")
    assert (found is None) == (claimed == true)
    if found is not None:
        factor = KINDS[true] / KINDS[claimed]
        assert f"{max(factor, 1.0 / factor) * 1.0:.1f}"[0] in str(found.value)
        assert "what does the instrument show?" in str(found)


@given(st.floats(0.8, 1.2), st.sampled_from(sorted(KINDS)))
def test_a_gain_within_a_fifth_is_no_other_kind(error: float, kind: str):
    shown_v = 10.0 * 0.4 * KINDS[kind] * error
    assert reading_breach(point(0.4, shown_v, kind), 10.0, "step 1") is None


def test_what_an_instrument_measures_is_not_asked_for_its_kind():
    wild = dataclasses.replace(point(0.4, 8.0), source="oscilloscope", unit="mA")
    assert reading_breach(wild, 10.0, "step 1") is None
    assert reading_breach(point(0.4, 0.0), 10.0, "step 1") is None  # open: the gain says so


# -- the fit ---------------------------------------------------------------------------------------


@given(st.floats(0.1, 10.0), st.integers(3, 10))
def test_a_straight_line_through_nothing_is_its_gain(gain: float, n: int):
    fit = fit_points([point(k / n, 10.0 * k / n, gain=gain) for k in range(1, n + 1)])
    assert fit.slope == pytest.approx(gain, rel=1e-9)
    assert abs(fit.offset_ma) < 1e-9
    assert fit.nonlinearity < 1e-9
    assert fit_breaches(fit, gain, "mA/V", 0.05) == []


def broken(fit: Fit, present: float = 2.0, **changes: Any) -> set[str]:
    return {breach.limit for breach in fit_breaches(fit, present, "mA/V", 0.05, **changes)}


def fit_of(*measured_ma: float, mean_ma: float | None = None) -> Fit:
    n = len(measured_ma)
    points = [point(k / n, 10.0 * y) for k, y in enumerate(measured_ma, start=1)]
    return fit_points([*points[:-1], dataclasses.replace(points[-1], mean_ma=mean_ma)])


def test_what_is_not_believed():
    assert broken(fit_of(0.25, 0.5, 0.75, 1.0)) == set()
    assert "calibration_nonlinearity" in broken(fit_of(0.25, 0.5, 0.75, 0.9))
    assert "measured_dc_offset_ma" in broken(fit_of(0.31, 0.56, 0.81, 1.06))
    assert broken(fit_of(0.25, 0.5, 0.75, 1.0, mean_ma=-0.06)) == {"measured_dc_offset_ma"}
    assert broken(fit_of(0.25, 0.5, 0.75, 1.0, mean_ma=0.04)) == set()


@pytest.mark.parametrize(("factor", "refused"), [(1.19, False), (1.21, True), (0.79, True)])
def test_a_gain_that_changed_by_more_than_a_fifth(factor: float, refused: bool):
    fit = fit_of(*(factor * k / 4.0 for k in range(1, 5)))
    assert ("calibration_gain_change" in broken(fit)) == refused
    assert broken(fit, new_stimulator=True) == set()
    assert ("calibration_nominal_gain" in broken(fit, nominal=2.0, new_stimulator=True)) == refused


def test_nothing_measured_is_not_believed():
    found = broken(fit_of(0.0, 0.0, 0.0))
    assert {"calibration_nonlinearity", "calibration_gain_change"} <= found


def test_the_new_rig_differs_in_the_calibration_of_one_channel_only():
    rig = load_rig("emulated-synthpal")
    made = Calibration(
        calibrated_on=TODAY, expires_on=date(2027, 11, 28), load_kohm=10.0, by="M. Curie"
    )
    new = recalibrated(rig, 2, 1.987654321, made)
    assert new.channels[1].gain_ma_per_v == 1.98765
    assert new.channels[1].calibration == made
    assert (new.channels[0], new.channels[2]) == (rig.channels[0], rig.channels[2])
    ratio = made.model_copy(update={"ratio": 1.01})
    assert recalibrated(rig, 2, 1.01, ratio).channels[1].gain_ma_per_v == 2.0


# -- before anything flows -------------------------------------------------------------------------


def request(tmp_path: Path, setup: Setup | None = None, **changes: Any) -> CalibrationRequest:
    fields: dict[str, Any] = {
        "setup": setup or prepare(EMULATED),
        "channel": 1,
        "out": tmp_path / "new.toml",
        "by": "M. Curie",
        **changes,
    }
    return CalibrationRequest(**fields)


def setup_of(rig: Rig, driver: type[SynthPal] = SynthPal) -> Setup:
    return dataclasses.replace(prepare(EMULATED), rig=rig, driver=driver)


def rig_of(**changes: Any) -> Rig:
    """A rig with one channel, with changes; a value of None leaves the key out."""
    channel = {k: v for k, v in channel_data(1, "Oz", "Cz", **changes).items() if v is not None}
    data = {"name": "made", "device": "synthpal", "emulated": True, "channels": [channel]}
    return Rig.from_data(data, "made")


@pytest.mark.parametrize(
    ("changes", "top_ma"),
    [
        ({}, 1.0),
        ({"current_max_ma": 0.5}, 0.5),
        ({"input_max_v": 0.2}, 0.4),
        ({"compliance_v": 8.0}, 0.64),
    ],
)
def test_the_largest_step_is_the_least_of_what_is_allowed(
    tmp_path: Path, changes: dict[str, Any], top_ma: float
):
    bench = CalibrationBench(request(tmp_path, setup_of(rig_of(**changes))), TODAY)
    assert bench.steps_ma[-1] == pytest.approx(top_ma)
    assert bench.steps_ma == pytest.approx([top_ma * k / 5 for k in range(1, 6)])


def test_a_largest_step_that_is_asked_for_is_never_clipped(tmp_path: Path):
    made = setup_of(rig_of(input_max_v=0.2, compliance_v=8.0))
    with pytest.raises(SafetyRefusal) as refused:
        CalibrationBench(request(tmp_path, made, max_ma=0.8), TODAY)
    assert {b.source for b in refused.value.breaches} == {"rig_input_max_v", "compliance_use"}
    assert CalibrationBench(request(tmp_path, made, max_ma=0.3), TODAY).steps_ma[-1] == 0.3


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"by": " "}, "--by: say who"),
        ({"n_steps": 2}, "--steps 2: from 3 to 20"),
        ({"load_kohm": 0.0}, "--load-kohm 0: more than 0"),
        ({"valid_days": 0}, "--valid-days 0: from 1"),
        ({"channel": 9}, "--channel 9: rig 'emulated-synthpal' has 1, 2, 3"),
        ({"max_ma": 0.01}, "--max-ma 0.01: at least 0.05 mA"),
        ({"load_kohm": 1000.0}, "take a smaller resistor"),
        ({"return_channel": 2}, "an isolated loop returns by itself"),
        ({"nominal_gain_ma_per_v": -1.0}, "--nominal-gain: more than 0"),
    ],
)
def test_bad_usage_is_one_line(tmp_path: Path, changes: dict[str, Any], problem: str):
    with pytest.raises(InputError, match=problem):
        CalibrationBench(request(tmp_path, **changes), TODAY)


def test_a_device_that_a_person_works_is_not_calibrated_by_the_suite(tmp_path: Path):
    with pytest.raises(InputError, match="a person sets this device"):
        CalibrationBench(request(tmp_path, prepare("emulated:manual")), TODAY)


def test_a_rig_that_has_no_gain_yet_needs_the_data_sheet(tmp_path: Path):
    first = setup_of(rig_of(gain_ma_per_v=None))
    with pytest.raises(InputError, match="has no gain_ma_per_v yet: give --nominal-gain"):
        CalibrationBench(request(tmp_path, first), TODAY)
    bench = CalibrationBench(request(tmp_path, first, nominal_gain_ma_per_v=2.0), TODAY)
    assert (bench.gain, bench.present) == (2.0, 2.0)
    no_input = setup_of(rig_of(input_max_v=None))
    with pytest.raises(InputError, match="has no input_max_v"):
        CalibrationBench(request(tmp_path, no_input), TODAY)


def test_an_expired_calibration_can_be_renewed(tmp_path: Path):
    old = {"calibrated_on": "2020-01-01", "expires_on": "2021-01-01", "load_kohm": 1.0, "by": "m"}
    CalibrationBench(request(tmp_path, setup_of(rig_of(calibration=old))), TODAY)


class CurrentPal(SynthPal):
    """A Synth Pal behind stimulators that are part of it: a source of current."""

    capabilities: ClassVar[Capabilities] = dataclasses.replace(
        SynthPal.capabilities, output="current"
    )

    @classmethod
    def over(cls, transport: Any, rig: Rig | None) -> CurrentPal:
        assert rig is not None
        data = rig.to_data()
        for channel in data["channels"]:
            channel |= {"gain_ma_per_v": 1.0, "input_max_v": 5.0}
        return cls(transport, Rig.from_data(data, "made"))


class EachElectrode(SynthPal):
    """A device that drives each electrode by itself."""

    capabilities: ClassVar[Capabilities] = dataclasses.replace(
        SynthPal.capabilities, output="current", wiring="electrodes", phase_step_deg=1.0
    )


def test_a_device_that_drives_each_electrode_needs_another_output_to_return(tmp_path: Path):
    outputs = [
        {
            "channel": n,
            "electrode": name,
            "current_max_ma": 2.0,
            "compliance_v": 30.0,
            "calibration": channel_data(1, "Oz", "Cz")["calibration"],
        }
        for n, name in ((1, "Oz"), (2, "Cz"), (3, "F3"))
    ]
    data = {"name": "made", "device": "synthpal", "emulated": True, "outputs": outputs}
    made = setup_of(Rig.from_data(data, "made"), EachElectrode)
    bench = CalibrationBench(request(tmp_path, made), TODAY)
    assert (bench.ends, bench.present) == (("Oz", "Cz"), 1.0)
    bench = CalibrationBench(request(tmp_path, made, return_channel=3), TODAY)
    assert bench.ends == ("Oz", "F3")
    assert [output.channel for output in bench.play_rig.outputs] == [1, 3]
    with pytest.raises(InputError, match="no other output"):
        CalibrationBench(request(tmp_path, made, return_channel=1), TODAY)


# -- meters ----------------------------------------------------------------------------------------


def test_readings_given_beforehand_are_one_for_each_step():
    meter = GivenReadings(["1 V", "2 V", "3000 mV"], "PP", 3)
    assert meter.kind == "pp"
    meter.begin(3, VirtualClock(), load_rig("emulated-synthpal"), None)
    assert meter.poll(0.0, 2.9) == ""
    assert meter.poll(0.0, 3.0) == f"stop:{TAKEN}"
    assert meter.end(None, "Oz", 0.0) == 3.0
    with pytest.raises(InputError, match="2 given, 3 steps"):
        GivenReadings(["1 V", "2 V"], "peak", 3)
    with pytest.raises(InputError, match="--reading '2': write volts"):
        GivenReadings(["1 V", "2", "3 V"], "peak", 3)
    with pytest.raises(InputError, match="'average': a reading is peak, pp"):
        GivenReadings(["1 V"], "average", 1)


def typed(answers: list[str], n_steps: int = 2) -> tuple[TypedReadings, list[str]]:
    said: list[str] = []
    left = iter(answers)

    def ask(question: str) -> str:
        try:
            return next(left)
        except StopIteration:
            raise EOFError from None

    return TypedReadings(ask, said.append, "", n_steps, 10.0), said


def answered(meter: TypedReadings, number: int) -> str:
    """What a step ends with once the person has answered."""
    meter.begin(number, VirtualClock(), load_rig("emulated-synthpal"), None)
    assert meter.poll(0.0, 0.5) == ""
    meter.poll(0.0, 1.0)
    assert meter._thread is not None
    meter._thread.join(10.0)
    return meter.poll(0.0, 1.1)


def test_a_person_is_asked_until_it_is_a_reading():
    meter, said = typed(["rms", "4", "4 V", "8 V", "20 mV"])
    assert meter.kind == "rms"
    assert answered(meter, 1) == f"stop:{TAKEN}"
    assert (meter.end(None, "Oz", 0.0), meter.mean_ma) == (4.0, None)
    assert said == ["'4': write volts with their unit: 4.02 V, 4020 mV"]
    assert answered(meter, 2) == f"stop:{TAKEN}"
    assert meter.end(None, "Oz", 0.0) == 8.0
    assert meter.mean_ma == pytest.approx(0.002)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("stop", "stop:the operator"),
        ("EMERGENCY", EMERGENCY),
        (None, "stop:the keyboard is gone"),
    ],
)
def test_a_person_can_end_it_instead_of_reading(word: str | None, message: str):
    meter, _ = typed(["peak"] if word is None else ["peak", word])
    assert answered(meter, 1) == message
    with pytest.raises(InputError, match="no reading was typed"):
        meter.end(None, "Oz", 0.0)


@pytest.mark.parametrize(
    ("n", "sample_s", "frequency_hz", "whole"),
    [
        (1000, 0.001, 10.0, 1000),
        (1000, 0.001, 10.27, 974),
        (200, 0.01, 0.7, 143),
        (50, 0.01, 1, 50),
    ],
)
def test_direct_current_is_the_mean_of_whole_cycles(
    n: int, sample_s: float, frequency_hz: float, whole: int
):
    assert whole_cycles(n, sample_s, frequency_hz) == whole


# -- whole runs on the emulated device -------------------------------------------------------------


def run(tmp_path: Path, meter: Any = None, **changes: Any) -> CalibrationResult:
    made = request(tmp_path, **changes)
    return calibrate(made, meter or OscilloscopeMeter(made.frequency_hz))


def test_the_oscilloscope_calibrates_a_stimulator_that_is_off(tmp_path: Path):
    found = run(tmp_path, faults=("gain=1.07",), frequency_hz=10.27)
    assert found.data["gain_ma_per_v"] == pytest.approx(2.14, rel=1e-3)
    assert found.data["nonlinearity"] < 1e-3
    assert abs(found.data["offset_ma"]) < 1e-3
    written = Rig.from_toml(found.out)
    assert written == found.rig
    assert written.channels[0].calibration.by == "M. Curie"
    assert (written.channels[0].calibration.expires_on
            - written.channels[0].calibration.calibrated_on).days == 365  # fmt: skip
    assert written.channels[1:] == load_rig("emulated-synthpal").channels[1:]


def test_the_calibration_has_every_reading_and_its_own_hash(tmp_path: Path):
    found = run(tmp_path)
    data = json.loads(found.calibration.read_text())
    claimed = data.pop("sha256")
    assert hashlib.sha256(canonical(data).encode()).hexdigest() == claimed
    assert data["new_rig_sha256"] == Rig.from_toml(found.out).sha256()
    assert data["rig_sha256"] == load_rig("emulated-synthpal").sha256()
    assert [r["commanded_peak_ma"] for r in data["readings"]] == pytest.approx(
        [0.2, 0.4, 0.6, 0.8, 1.0], rel=1e-3
    )
    assert verify_record(found.record) is None
    lines, _ = read_record(found.record)
    assert lines[-1].hash == data["record_head"]
    kinds = [line.kind for line in lines]
    assert (kinds[0], kinds[-1], kinds.count("reading")) == ("calibration", "end", 5)
    sent = [line.data for line in lines if line.kind == "intent"]
    assert [s["verb"] for s in sent].count("soft_stop") == 5
    assert max(s["level"] for s in sent if s["verb"] == "set_level") == 1.0


def test_a_step_is_never_more_than_was_asked_and_rises_within_the_limit(tmp_path: Path):
    found = run(tmp_path, max_ma=0.6, n_steps=3)
    lines, _ = read_record(found.record)
    configured = [x.data["currents_peak_ma"] for x in lines if x.data.get("verb") == "configure"]
    asked, achieved = configured[::2], configured[1::2]
    assert [list(c.values()) for c in asked] == [[0.2], [0.4], [0.6]]
    for wanted, got in zip(asked, achieved, strict=True):
        assert got["1"] <= wanted["1"]
    full_ma, at, slews = 0.0, (0.0, 0.0), []
    for line in lines:
        if line.data.get("verb") == "configure":
            full_ma, at = line.data["currents_peak_ma"]["1"], (line.t_s, 0.0)
        elif line.data.get("verb") == "set_level":
            now = (line.t_s, full_ma * line.data["level"])
            slews.append((now[1] - at[1]) / (now[0] - at[0]))
            at = now
    assert len(slews) > 400
    assert max(slews) <= 0.2


def test_the_rigs_monitor_is_a_second_instrument(tmp_path: Path):
    made = setup_of(load_rig("emulated-synthpal-monitored"))
    found = run(tmp_path, MonitorMeter(10.27), setup=made, channel=2, frequency_hz=10.27)
    assert found.data["source"] == "monitor"
    assert found.data["gain_ma_per_v"] == pytest.approx(2.0, rel=1e-3)
    assert abs(found.data["offset_ma"]) < 2e-3
    assert Rig.from_toml(found.out).monitor == load_rig("emulated-synthpal-monitored").monitor


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_typed_readings_of_every_kind_come_to_the_same(tmp_path: Path, kind: str):
    readings = [f"{10.0 * KINDS[kind] * k / 3.0:.5f} V" for k in range(1, 4)]
    found = run(tmp_path, GivenReadings(readings, kind, 3), n_steps=3)
    assert found.data["gain_ma_per_v"] == pytest.approx(2.0, rel=1e-3)


@pytest.mark.parametrize(
    ("faults", "limits"),
    [
        (("gain=1.5",), {"calibration_gain_change", "calibration_current_ma"}),
        (("gain=0.5",), {"calibration_gain_change"}),
        (("dc_offset=0.07",), {"measured_dc_offset_ma"}),
        (("compliance=8",), {"calibration_nonlinearity"}),
        (("open_electrode=Oz",), {"calibration_gain_change"}),
    ],
)
def test_what_is_wrong_with_the_chain_writes_no_rig(
    tmp_path: Path, faults: tuple[str, ...], limits: set[str]
):
    with pytest.raises(SafetyRefusal) as refused:
        run(tmp_path, faults=faults)
    assert {breach.limit for breach in refused.value.breaches} >= limits - {
        "calibration_current_ma"
    }
    assert [path.name for path in tmp_path.iterdir()] == ["new.calibration.jsonl"]
    end = read_record(tmp_path / "new.calibration.jsonl")[0][-1]
    assert (end.kind, end.data["outcome"]) == ("end", "refused")
    assert end.data["breaches"]


def test_a_wrong_kind_is_noticed_at_the_smallest_step(tmp_path: Path):
    meter = GivenReadings(["4 V", "8 V", "12 V", "16 V", "20 V"], "peak", 5)
    with pytest.raises(SafetyRefusal, match="as peak-to-peak it fits"):
        run(tmp_path, meter)
    lines, _ = read_record(tmp_path / "new.calibration.jsonl")
    assert [line.kind for line in lines].count("reading") == 1


def test_another_stimulator_is_said_so(tmp_path: Path):
    faults = ("gain=0.5",)
    found = run(tmp_path, faults=faults, new_stimulator=True)
    assert found.data["gain_ma_per_v"] == pytest.approx(1.0, rel=1e-3)
    with pytest.raises(SafetyRefusal, match="calibration_nominal_gain"):
        run(tmp_path, faults=faults, new_stimulator=True, nominal_gain_ma_per_v=2.0,
            out=tmp_path / "other.toml")  # fmt: skip


def test_a_stronger_stimulator_is_stopped_before_the_next_step_is_too_much(tmp_path: Path):
    with pytest.raises(SafetyRefusal, match="step 2; give the stimulator's --nominal-gain"):
        run(tmp_path, faults=("gain=3",), new_stimulator=True)
    found = run(tmp_path, faults=("gain=3",), new_stimulator=True, nominal_gain_ma_per_v=6.0,
                out=tmp_path / "other.toml")  # fmt: skip
    assert found.data["gain_ma_per_v"] == pytest.approx(6.0, rel=1e-3)


def test_a_source_of_current_gets_a_ratio_and_no_gain(tmp_path: Path):
    rig = rig_of(gain_ma_per_v=None, input_max_v=None)
    found = run(tmp_path, setup=setup_of(rig, CurrentPal), faults=("gain=0.97",))
    assert found.data["gain_ma_per_v"] is None
    assert found.data["ratio"] == pytest.approx(0.97, rel=1e-3)
    written = Rig.from_toml(found.out).channels[0]
    assert written.gain_ma_per_v is None
    assert written.calibration.ratio == found.data["ratio"]


@pytest.mark.parametrize("name", ["new.toml", "new.calibration.json", "new.calibration.jsonl"])
def test_nothing_is_overwritten(tmp_path: Path, name: str):
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        run(tmp_path)
    assert (tmp_path / name).read_text() == "mine"


def test_a_stop_and_a_fault_write_no_rig(tmp_path: Path):
    class Ends(OscilloscopeMeter):
        def __init__(self, message: str) -> None:
            super().__init__(10.0)
            self.message = message

        def poll(self, now_s: float, held_s: float) -> str:
            return self.message

    with pytest.raises(DeviceError, match="the operator; nothing was written"):
        run(tmp_path, Ends("stop:the operator"))
    with pytest.raises(DeviceError, match="emergency stop by hand"):
        run(tmp_path, Ends(EMERGENCY), out=tmp_path / "b.toml")
    with pytest.raises(InputError, match="no reading came within three minutes"):
        run(tmp_path, Ends(""), out=tmp_path / "c.toml")
    lines, _ = read_record(tmp_path / "b.calibration.jsonl")
    assert "emergency_stop" in {line.data.get("verb") for line in lines}


def test_no_ledger_and_no_forms(tmp_path: Path, site_folder: Path):
    run(tmp_path)
    assert list(site_folder.iterdir()) == []


def test_a_real_device_asks_first_and_is_read_by_a_person(tmp_path: Path):
    """On a real clock: an emulator in a process of its own, opened as a real device."""
    rig = tmp_path / "rig.toml"
    data = load_rig("emulated-synthpal-1loop").to_data()
    Rig.from_data({**data, "emulated": False, "name": "room"}, "made").to_toml(rig)
    process = start_process("devices.emulators.synthpal", rig, ["Oz=5", "Cz=5"], None, ())
    try:
        setup = prepare(f"synthpal:{process.address}", rig=rig)
        made = request(tmp_path, setup, n_steps=3, max_ma=0.09)
        readings = iter(["0.3 V", "600 mV", "0.9 V", "0 V"])
        meter = TypedReadings(lambda question: next(readings), print, "peak", 3, 10.0)
        with pytest.raises(InputError, match="needs --confirm"):
            calibrate(made, meter)
        told: list[str] = []
        found = calibrate(made, meter, confirm=told.extend)
    finally:
        process.finish()
    assert "10 kΩ between the leads of Oz and Cz" in told[0]
    assert found.data["gain_ma_per_v"] == pytest.approx(2.0, rel=5e-3)
    assert found.data["readings"][-1]["mean_ma"] == 0.0
    assert Rig.from_toml(found.out).emulated is False


# -- the command -----------------------------------------------------------------------------------


def command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = call(["calibrate", EMULATED, "--channel", "1", "--by", "M. Curie", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_prints_one_json_object(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    out = str(tmp_path / "new.toml")
    code, text, _ = command(capsys, "--out", out, "--from-oscilloscope", "--json")
    told = json.loads(text)
    assert code == 0
    assert told["out"] == out
    assert told["gain_ma_per_v"] == pytest.approx(2.0, rel=1e-3)
    assert {"readings", "fit", "offset_ma", "nonlinearity", "expires_on", "record",
            "calibration", "sha256", "ratio"} <= told.keys()  # fmt: skip


def test_the_command_says_what_it_did_and_why_not(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    out = str(tmp_path / "new.toml")
    code, text, err = command(capsys, "--out", out, "--from-oscilloscope", "--steps", "3")
    assert code == 0
    assert "gain: 1.99" in text
    assert "step 3 of 3" in err
    code, _, err = command(capsys, "--out", out, "--from-oscilloscope")
    assert (code, "is there already" in err) == (2, True)
    other = str(tmp_path / "b.toml")
    code, _, err = command(capsys, "--out", other, "--from-oscilloscope", "--fault", "gain=1.5")
    assert (code, "calibration_gain_change" in err) == (4, True)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--out", "x.toml"], "give --from-oscilloscope, or --reading"),
        (["--out", "x.toml", "--reading", "1 V"], "'missing': a reading is peak"),
        (["--out", "x.toml", "--reading", "1 V", "--from-monitor"], "give one of"),
        (["--out", "x.toml", "--from-oscilloscope", "--kind", "pp"], "an instrument says itself"),
        (["--out", "x.toml", "--from-monitor"], "has no monitor"),
        (["--out", "x.json", "--from-oscilloscope"], "a rig file ends in .toml"),
    ],
)
def test_bad_usage_of_the_command(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
    problem: str,
):
    monkeypatch.chdir(tmp_path)
    code, _, err = command(capsys, *words)
    assert (code, problem in err) == (2, True), err


def test_readings_made_up_beforehand_are_not_for_real_devices(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    rig = tmp_path / "rig.toml"
    data = {**load_rig("emulated-synthpal-1loop").to_data(), "emulated": False}
    Rig.from_data(data, "made").to_toml(rig)
    words = ["calibrate", "synthpal:/dev/ttyNONE", "--channel", "1", "--by", "x",
             "--rig", str(rig), "--out", str(tmp_path / "n.toml")]  # fmt: skip
    assert call([*words, "--reading", "1 V", "--kind", "peak"]) == 2
    assert "what a real one delivers is read while it plays" in capsys.readouterr().err
    assert call(words) == 2
    assert "the readings are typed: run it at a terminal" in capsys.readouterr().err
