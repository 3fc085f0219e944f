"""Sessions with trains on the emulated devices, judged by the oscilloscope."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tacs.blinded_record import WITHHELD
from tacs.front import telemetry_of
from tacs.guardian import Telemetry, event_of, kernel_plan
from tacs.guardian_main import telemetry_to_data
from tacs.limits import effective_limits
from tacs.protocol import Protocol
from tacs.record import Line, read_record
from tacs.session import State, Trigger
from tests.tacs.made import capabilities, protocol
from tests.tacs.rehearsal import RATE_HZ, Rehearsal, rehearse

TRAINS: dict[str, Any] = {
    "on_s": 2.0, "off_s": 1.5, "edge_s": 0.5, "settle_s": 10.0, "count": 3,
}  # fmt: skip
# The run-in ends 40.5 s after the start; ticks are 20 ms apart.
FIRST_S = 42.0


def made(trains: dict[str, Any] | None = None, **changes: Any) -> Protocol:
    return protocol(**{"duration_s": 70.0, "trains": {**TRAINS, **(trains or {})}, **changes})


def lines_of(result: Rehearsal, kind: str, **data: object) -> list[Line]:
    lines, problem = read_record(result.record)
    assert problem is None
    return [x for x in lines if x.kind == kind and all(x.data.get(k) == v for k, v in data.items())]


def part(result: Rehearsal, from_s: float, to_s: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The largest electrode's current between two session times."""
    offset_s = result.session.started_s - result.start_s
    first, last = (round((offset_s + s) * RATE_HZ) for s in (from_s, to_s))
    return np.asarray(result.trace[0, first:last])


def asked(word: str, **data: Any) -> str:
    return f"{word}:{json.dumps(data)}"


def test_trains_are_delivered_as_planned_with_nothing_between_them(tmp_path: Path):
    result = rehearse(made(), tmp_path)
    assert (result.session.state, result.session.cause) == (State.DONE, "")
    assert result.session.trains == 3
    late_s = 0.06  # a tick late at the top of the ramp, another at the end, and the command's way
    for k in range(3):
        from_s = FIRST_S + 3.5 * k
        before = part(result, from_s - 1.5 + late_s, from_s)
        assert np.abs(before).max() == 0.0
        top = part(result, from_s + 0.5 + late_s, from_s + 1.5)
        assert 0.99 < np.abs(top).max() <= 1.0
        half = part(result, from_s + 0.2, from_s + 0.3)
        assert 0.3 < np.abs(half).max() < 0.65
        assert np.abs(part(result, from_s + 2.0 + late_s, from_s + 2.2)).max() == 0.0
    # Rising by 2 mA/s at most: a step of 20 ms is 40 µA, on top of the sine's own slope.
    steps = np.abs(np.diff(result.trace[0]))
    assert steps.max() < 2.0 * math.pi * 10.27 / RATE_HZ + 0.042
    assert result.delivered.bursts == 4
    assert result.delivered.duration_s == pytest.approx(40.5 + 6.0, abs=0.3)
    assert result.delivered.span_s == pytest.approx(FIRST_S + 9.0, abs=0.2)
    assert result.delivered.frequency_hz == pytest.approx(10.27, abs=0.01)
    assert result.session.current_on_s == pytest.approx(result.delivered.duration_s, abs=0.3)


def test_a_pause_between_trains_brings_the_ordinary_ramp_back(tmp_path: Path):
    one = made({"count": 6}, duration_s=150.0)
    result = rehearse(one, tmp_path, script=[(44.5, "pause"), (50.0, "resume")])
    assert result.session.state is State.DONE
    assert result.session.trains == 6
    assert np.abs(part(result, 44.6, 50.0)).max() == 0.0
    rise = np.abs(part(result, 50.0, 80.0)).reshape(30, -1).max(axis=1)
    assert rise == pytest.approx(np.arange(1, 31) / 30.0, abs=0.02)
    assert np.abs(part(result, 90.7, 92.0)).max() == 0.0


@pytest.mark.parametrize("at_s", [42.2, 43.0, 43.8, 44.8], ids=["rise", "on", "fall", "gap"])
def test_a_stop_in_a_train_and_between_trains(tmp_path: Path, at_s: float):
    result = rehearse(made(), tmp_path, script=[(at_s, "stop:x")])
    assert result.session.state is State.STOPPED
    quiet_s = result.quiet_after_s(at_s)
    assert quiet_s is not None
    assert quiet_s <= 0.85


def test_discomfort_in_a_train_ends_it_by_its_edge(tmp_path: Path):
    result = rehearse(made(), tmp_path, script=[(43.0, "rating:6")])
    quiet_s = result.quiet_after_s(43.0)
    assert quiet_s is not None
    assert quiet_s <= 0.55
    assert [x.data["to"] for x in lines_of(result, "state")][-4:] == [
        "train_on", "train_fall", "paused", "done",
    ]  # fmt: skip


def test_a_lost_link_in_a_train_ends_it(tmp_path: Path):
    result = rehearse(made(), tmp_path, faults=["link_loss@42.7"])
    assert result.session.state is State.FAULT
    quiet_s = result.quiet_after_s(42.7)
    assert quiet_s is not None
    assert quiet_s <= 2.0


def test_a_sweep_retunes_at_zero_and_has_no_step(tmp_path: Path):
    steps = [{"frequency_hz": 9.0, "level": 0.5}, {"frequency_hz": 11.0}]
    result = rehearse(made({"steps": steps}), tmp_path)
    assert result.session.state is State.DONE
    sent = [x.data["frequency_hz"] for x in lines_of(result, "intent", verb="set_frequency")]
    assert sent == [9.0, 11.0, 9.0]
    for k, (hz, top_ma) in enumerate([(9.0, 0.5), (11.0, 1.0), (9.0, 0.5)]):
        top = part(result, FIRST_S + 3.5 * k + 0.55, FIRST_S + 3.5 * k + 1.45)
        spectrum = np.abs(np.fft.rfft(top * np.hanning(len(top)), 1 << 16))
        assert np.argmax(spectrum) * RATE_HZ / (1 << 16) == pytest.approx(hz, abs=0.05)
        assert np.abs(top).max() == pytest.approx(top_ma, rel=0.01)
    assert np.abs(np.diff(result.trace[0])).max() < 2.0 * math.pi * 11.0 / RATE_HZ + 0.042


def test_trains_on_request_come_when_asked_for_and_are_counted_where_refused(tmp_path: Path):
    script = [
        (41.0, asked("train", at_s=46.0, reason="low alpha")),
        (41.1, asked("train", at_s=50.0, reason="a second one")),
        (49.0, asked("train", at_s=48.5, reason="too late")),
        (49.5, asked("train", reason="now")),
        (50.5, asked("train", reason="in a train")),
        (51.9, asked("train", at_s=52.0, reason="too soon")),
        (54.0, "train:{"),
    ]
    result = rehearse(made({"start": "request"}), tmp_path, script=script)
    assert (result.session.state, result.session.trains) == (State.DONE, 2)
    told = [x.data for x in lines_of(result, "request", asked="train")]
    assert [x["granted"] for x in told] == [True, False, False, True, False, False, False]
    assert "a train is due already" in told[1]["refusal"]
    assert "passed 0.5" in told[2]["refusal"]
    assert told[4]["refusal"] == "not in state train_on"
    assert "within the refractory time" in told[5]["refusal"]
    assert (told[6]["reason"], told[6]["refused"]) == ("unreadable", 5)
    assert told[0]["reason"] == "low alpha"
    assert np.abs(part(result, 40.7, 46.0)).max() == 0.0
    assert np.abs(part(result, 46.6, 47.4)).max() > 0.99
    assert np.abs(part(result, 48.1, 49.5)).max() == 0.0
    assert np.abs(part(result, 50.1, 50.9)).max() > 0.99


def test_retuning_under_current_keeps_the_phase_and_is_written_with_its_reason(tmp_path: Path):
    one = protocol(duration_s=60.0, retune={"within_hz": 1.0})
    script = [
        (31.0, asked("retune", frequency_hz=10.6, reason="peak moved")),
        (31.5, asked("retune", frequency_hz=10.7, reason="too soon")),
        (33.0, asked("retune", frequency_hz=11.2, reason="too far at once")),
        (34.0, asked("retune", frequency_hz=11.05, reason="again")),
        (36.0, asked("retune", frequency_hz=11.5, reason="beyond the protocol")),
        (37.0, "retune:x"),
        (50.0, asked("retune", frequency_hz=11.0, reason="falling")),
    ]
    result = rehearse(one, tmp_path, script=script)
    assert result.session.state is State.DONE
    told = [x.data for x in lines_of(result, "request", asked="retune")]
    assert [x["granted"] for x in told] == [True, False, False, True, False, False, False]
    assert told[0]["reason"] == "peak moved"
    answers = [x.data["frequency_hz"] for x in lines_of(result, "answer", verb="set_frequency")]
    assert answers == [10.6, 11.05]
    # No current step: nothing is steeper than the faster sine and a step of the converter.
    hold = part(result, 30.5, 44.5)
    assert np.abs(np.diff(hold)).max() < 2.0 * math.pi * 11.05 / RATE_HZ * 1.001 + 0.0005
    cycles = np.flatnonzero((hold[:-1] < 0.0) & (hold[1:] >= 0.0)) / RATE_HZ + 30.5
    late = np.diff(cycles[cycles > 36.0]).mean()
    assert 1.0 / late == pytest.approx(11.05, abs=0.01)


def test_a_session_without_permission_is_not_retuned_and_has_no_trains(tmp_path: Path):
    script = [
        (31.0, asked("retune", frequency_hz=10.3, reason="x")),
        (32.0, asked("train", reason="x")),
    ]
    result = rehearse(protocol(duration_s=60.0), tmp_path, script=script)
    assert result.session.state is State.DONE
    assert lines_of(result, "intent", verb="set_frequency") == []
    assert [x.data["refusal"] for x in lines_of(result, "request")] == [
        "this protocol does not allow it", "not in state hold",
    ]  # fmt: skip


def test_the_kernel_is_told_of_trains_and_of_what_may_be_retuned():
    limits = effective_limits()
    plan = kernel_plan(made(), limits, capabilities(frequency_change="phase_continuous"))
    trains = plan.trains
    assert (trains.on_s, trains.off_s, trains.edge_s, trains.tolerated_s) == (2.0, 1.5, 0.5, 10.0)
    assert (len(trains.course), trains.on_request, trains.span_s) == (3, False, 0.05)
    assert plan.hold_end_s == 70.0 - 15.0
    assert (plan.retune_step_hz, plan.retune_playing) == (0.0, True)
    sham = made(waveform="active_sham", sham_plateau_s=5.0, duration_s=70.0)
    assert kernel_plan(sham, limits, capabilities()).trains.course == ()
    tuned = kernel_plan(
        protocol(retune={"within_hz": 1.0}), limits, capabilities(frequency_min_hz=9.5)
    )
    assert (tuned.retune_from_hz, tuned.retune_to_hz) == (9.5, 11.27)
    assert (tuned.retune_step_hz, tuned.retune_every_s) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("message", "trigger", "value", "reason"),
    [
        ('train:{"at_s": 61.5, "reason": "spindle"}', Trigger.TRAIN, 61.5, "spindle"),
        ("train", Trigger.TRAIN, -math.inf, ""),
        ('retune:{"frequency_hz": 10}', Trigger.RETUNE, 10.0, ""),
        ('retune:{"reason": "x"}', Trigger.RETUNE, math.nan, "x"),
        ('train:{"at_s": true}', Trigger.TRAIN, math.nan, ""),
        ('train:{"at_s": "5"}', Trigger.TRAIN, math.nan, ""),
        ('train:{"at_s": 1e99}', Trigger.TRAIN, math.nan, ""),
        ("train:[1]", Trigger.TRAIN, math.nan, "unreadable"),
        ("train:" + "[" * 100_000, Trigger.TRAIN, math.nan, "unreadable"),
    ],
)
def test_the_words_of_a_request(message: str, trigger: Trigger, value: float, reason: str):
    event = event_of(message)
    assert (event.trigger, event.cause) == (trigger, reason)
    assert event.value == value or (math.isnan(value) and math.isnan(event.value))


def test_whoever_watches_is_told_of_trains_and_of_refusals():
    told = Telemetry(
        state=State.TRAIN_ON, elapsed_s=50.0, duration_s=70.0, level=1.0, measured_ma=None,
        impedance_kohm=None, cause="", trains=2, refused=1, refusal="a train is due already",
        frequency_hz=10.4,
    )  # fmt: skip
    assert telemetry_of(telemetry_to_data(told, blinded=False)) == told
    hidden = telemetry_of(telemetry_to_data(told, blinded=True))
    assert (hidden.frequency_hz, hidden.level, hidden.state) == (None, 0.0, State.BETWEEN_TRAINS)


def test_why_a_request_was_refused_tells_no_arm(tmp_path: Path):
    """An active arm is ramping up where a sham is silent: each says so of itself."""
    seen = {}
    for waveform in ("tacs", "passive_sham"):
        folder = tmp_path / waveform
        folder.mkdir()
        script = [(10.0, asked("train", reason="x")), (31.0, asked("retune", frequency_hz=10.0))]
        told: list[Telemetry] = []
        one = protocol(duration_s=60.0, waveform=waveform)
        rehearse(one, folder, script=script, watch=told.append)
        shown = [telemetry_to_data(x, blinded=True) for x in told]
        seen[waveform] = [(x["refused"], x["refusal"]) for x in shown]
        assert {x.refusal for x in told} > {""}
    first, second = (list(dict.fromkeys(x)) for x in seen.values())
    assert first == second == [(0, ""), (1, WITHHELD), (2, WITHHELD)]


@pytest.mark.parametrize(
    "message",
    [
        'retune:{"frequency_hz": 10.4, "reason": "half \\ud83d"}', "mark:half \udcf0",
        "rating:2 \udcf0", "pause:\udcf0",
    ],
)  # fmt: skip
def test_half_a_character_ends_no_session(tmp_path: Path, message: str):
    one = protocol(duration_s=60.0, retune={"within_hz": 1.0})
    result = rehearse(one, tmp_path, script=[(35.0, message)])
    if message.startswith("rating"):
        assert result.session.cause == "discomfort nan of 10"  # what is none counts as the worst
        return
    assert (result.session.state, result.session.cause) == (State.DONE, "")
    (line,) = lines_of(result, "request") or lines_of(result, "operator")
    assert "\ufffd" in json.dumps(line.data, ensure_ascii=False)


def test_half_a_character_in_a_stop_is_a_stop(tmp_path: Path):
    result = rehearse(protocol(duration_s=60.0), tmp_path, script=[(35.0, "stop:smoke \udcf0")])
    assert (result.session.state, result.session.cause) == (State.STOPPED, "smoke \ufffd")
