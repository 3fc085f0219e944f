"""Whole sessions on a device that people work: scripted people, judged by the oscilloscope."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tacs.checking import Setup, check, prepare
from tacs.clock import QueueInbox
from tacs.dose import read_trace
from tacs.errors import InputError, SafetyRefusal
from tacs.guardian import Telemetry
from tacs.record import read_record, verify_record
from tacs.recovery import recover
from tacs.run_record import RunRecord
from tacs.runner import run
from tacs.session import State
from tacs.session_request import SessionRequest
from tests.tacs.hand import hand_rig, read_back
from tests.tacs.made import montage_data
from tests.tacs.made import protocol as made_protocol

SHORT = made_protocol(duration_s=60.0)
EMULATED = "emulated:manual"


def session(
    tmp_path: Path, *faults: str, script: tuple[tuple[float, str], ...] = (), **options: Any
) -> RunRecord:
    fields: dict[str, Any] = {"protocol": SHORT, "device": EMULATED, "clock": "virtual", **options}
    return run(
        fields.pop("protocol"),
        fields.pop("device"),
        subject="P01",
        session="01",
        dataset=tmp_path / "data",
        faults=faults,
        inbox=QueueInbox(script),
        **fields,
    )


def data_of(found: RunRecord, kind: str) -> list[dict[str, Any]]:
    return [dict(line.data) for line in read_record(found.record)[0] if line.kind == kind]


def said(found: RunRecord) -> list[str]:
    return [line["did"] for line in data_of(found, "operator")]


def envelope(found: RunRecord) -> np.ndarray[Any, np.dtype[np.float64]]:
    assert found.trace is not None
    size = np.abs(read_trace(found.trace, 2)[0])
    n = len(size) // 100
    return size[: n * 100].reshape(n, 100).max(axis=1)


def test_a_session_is_delivered_as_prescribed(tmp_path: Path):
    found = session(tmp_path)
    assert (found.outcome, found.cause, found.machine_verified) == ("done", "", False)
    assert found.to_dict()["machine_verified"] is False
    got = found.delivered
    assert got is not None
    assert got.frequency_hz == pytest.approx(10.27, abs=0.0005)
    assert got.current_peak_ma == pytest.approx(1.0, abs=1e-4)
    assert got.current_peak_ma <= 1.0
    assert got.duration_s == pytest.approx(60.0, abs=0.1)
    assert abs(got.mean_ma["Oz"]) < 0.001
    assert got.balance_ma < 1e-9
    size = envelope(found)
    top = int(np.argmax(size > 0.999))
    assert np.all(np.diff(size[:top]) > -2e-3)
    assert size[-1] == 0.0
    assert said(found) == ["started", "silent"]
    assert verify_record(found.record) is None


def test_the_record_says_who_read_what_and_that_no_machine_verified_it(tmp_path: Path):
    first = data_of(session(tmp_path), "session")[0]
    assert first["machine_verified"] is False
    assert first["sheet"]["settings"]["channel_1_amplitude"] == "2.000 mA"
    assert [entry["by"] for entry in first["settings"]] == [
        "scripted person 1", "scripted person 2",
    ]  # fmt: skip
    assert first["settings"][0]["settings"] == first["sheet"]["settings"]
    assert any("nothing that it does is verified by a machine" in c for c in first["cautions"])


def test_the_intent_to_start_is_written_before_anybody_is_asked(tmp_path: Path):
    told: list[tuple[str, int]] = []
    records = tmp_path / "data" / "sourcedata" / "tacs" / "sub-P01" / "ses-01"

    def watch(telemetry: Telemetry) -> None:
        (record,) = records.glob("*_record.jsonl")
        told.append((telemetry.word, record.read_text().count('"verb":"start"')))

    session(tmp_path, watch=watch)
    words = [word for word, _ in told]
    assert words[0] == "started"
    assert told[0][1] == 1
    assert list(dict.fromkeys(words)) == ["started", "", "silent"]


def test_the_panels_phase_and_two_loops(tmp_path: Path):
    two = made_protocol(
        duration_s=60.0, montage=montage_data(("Oz", "Cz", 0.4, 90.0), ("F3", "Cz", 0.3))
    )
    found = session(tmp_path, protocol=two)
    assert found.delivered is not None
    assert found.delivered.electrodes == pytest.approx(
        {"Oz": 0.4, "Cz": 0.5, "F3": 0.3}, abs=5e-4
    )  # 90° apart: √(0.4² + 0.3²)


@pytest.mark.parametrize("at_s", [10.0, 40.0, 55.0])
def test_a_stop_is_pressed_by_a_person_and_confirmed(tmp_path: Path, at_s: float):
    found = session(tmp_path, script=((at_s, "stop:smoke"),))
    assert (found.outcome, found.cause) == ("stopped", "smoke")
    assert said(found) == ["started", "stop", "silent"]
    assert found.quiet_after_stop_s is not None
    assert found.quiet_after_stop_s < 1.3  # a second until it is pressed, and the panel's 0.1 s


def test_the_dose_of_a_stop_reaches_to_the_word(tmp_path: Path):
    found = session(tmp_path, "slow_stop=10", script=((40.0, "stop:x"),))
    lines = data_of(found, "end")[0]
    commanded = lines["commanded"]
    assert commanded["source"] == "upper bound"
    assert found.delivered is not None
    assert found.delivered.source == "measured"
    assert found.delivered.duration_s == pytest.approx(40.0 - 1.2 + 0.2 + 10.0, abs=0.3)
    assert commanded["duration_s"] >= found.delivered.duration_s
    assert commanded["rectified_charge_c"] >= found.delivered.to_dict()["rectified_charge_c"]
    assert commanded["duration_s"] <= 60.0


@pytest.mark.parametrize("script", [(), ((40.0, "stop:x"),)])
def test_nobody_confirms_silence(tmp_path: Path, script: tuple[tuple[float, str], ...]):
    found = session(tmp_path, "forgets_stop", script=script)
    assert (found.outcome, found.cause) == ("fault", "nobody confirmed that the device is silent")
    assert any("NOBODY CONFIRMED" in text for text in found.warnings)
    assert "silent" not in said(found)
    assert found.delivered is not None
    assert found.delivered.duration_s == pytest.approx(60.0, abs=0.1)  # it ended by itself
    assert data_of(found, "end")[0]["commanded"]["duration_s"] == 60.0


def test_a_word_that_is_not_true_is_not_detectable(tmp_path: Path):
    found = session(tmp_path, "false_silent", script=((40.0, "stop:x"),))
    assert found.outcome == "stopped"
    assert found.quiet_after_stop_s == pytest.approx(20.0, abs=0.5)


def test_a_device_that_is_set_wrong_is_not_detectable(tmp_path: Path):
    found = session(tmp_path, "set_wrong=channel_1_amplitude")
    assert found.outcome == "done"
    assert found.delivered is not None
    assert found.delivered.current_peak_ma == pytest.approx(2.0, abs=1e-3)
    assert "whether the device is set as it was typed" in " ".join(found.warnings)


@pytest.mark.parametrize("fault", ["late_start=5", "late_word=8"])
def test_a_start_and_its_word_that_are_seconds_apart(tmp_path: Path, fault: str):
    found = session(tmp_path, fault)
    assert found.outcome == "done"
    assert found.delivered is not None
    whole_s = 60.0 if fault.startswith("late_word") else 57.0  # stopped by hand at the end
    assert found.delivered.duration_s == pytest.approx(whole_s, abs=1.0)


def test_nobody_starts_and_nobody_says_a_word(tmp_path: Path):
    found = session(tmp_path, "no_start")
    assert (found.outcome, found.cause) == (
        "stopped", "nobody said within 60 s that the device was started",
    )  # fmt: skip
    assert said(found) == ["silent"]
    end = data_of(found, "end")[0]
    # It may have been started all the same: from being asked until somebody said silent.
    assert end["commanded"]["source"] == "upper bound"
    assert end["commanded"]["duration_s"] == 60.0


def test_a_stop_while_the_word_is_waited_for(tmp_path: Path):
    found = session(tmp_path, "no_start", script=((3.0, "stop:no"),))
    assert (found.outcome, found.cause) == ("stopped", "no")
    states = [line["to"] for line in data_of(found, "state")]
    assert states[-3:] == ["ramp_up", "stopping", "stopped"]
    assert max(line.get("level", 0.0) for line in data_of(found, "intent")) == 0.0


def test_a_device_that_is_said_to_be_silent_too_early_is_a_fault(tmp_path: Path):
    found = session(tmp_path, script=((40.0, "silent"),))
    assert (found.outcome, found.cause) == ("fault", "the device stopped by itself")
    assert said(found) == ["started", "silent"]


def test_a_pause_is_a_stop_and_a_second_start_changes_nothing(tmp_path: Path):
    found = session(tmp_path, script=((20.0, "started"), (40.0, "pause")))
    assert found.outcome == "stopped"
    assert "the device cannot pause" in found.cause
    assert said(found) == ["started", "started", "pause", "silent"]


@pytest.mark.parametrize(
    ("message", "cause"),
    [("rating:6", "discomfort 6 of 10"), ("rating:x", "discomfort nan of 10"),
     ("pause", "the operator: the device cannot pause")],
)  # fmt: skip
@pytest.mark.parametrize("together", [False, True])
def test_who_feels_it_before_the_start_was_told_ends_it(
    tmp_path: Path, message: str, cause: str, together: bool
):
    """The device may play from the moment in which somebody is asked to press start."""
    script = ((3.0, message), (3.0, "started")) if together else ((3.0, message),)
    found = session(tmp_path, "no_start", script=script)
    assert (found.outcome, found.cause) == ("stopped", cause)
    assert said(found)[0] == message.partition(":")[0]


def test_a_stop_with_half_a_character_before_the_start_is_that_stop(tmp_path: Path):
    found = session(tmp_path, "no_start", script=((3.0, "stop:smoke \udcf0"),))
    assert (found.outcome, found.cause) == ("stopped", "smoke \ufffd")


def test_a_light_rating_before_the_start_changes_nothing(tmp_path: Path):
    found = session(tmp_path, script=((0.1, "rating:2"),))
    assert (found.outcome, found.cause) == ("done", "")


def test_the_operator_who_falls_silent_before_the_start(tmp_path: Path):
    found = session(tmp_path, "no_start", operator_lease=True)
    assert (found.outcome, found.cause) == ("stopped", "the operator side fell silent")


def test_after_a_fault_the_person_is_still_told_to_stop_the_device(tmp_path: Path):
    heard: list[Telemetry] = []
    found = session(tmp_path, script=((40.0, "fault:made"),), watch=heard.append)
    assert (found.outcome, found.cause) == ("fault", "made")
    last = [t for t in heard if t.state is State.FAULT]
    assert "press STOP" in last[0].instruction
    assert last[-1].word == ""
    assert said(found)[-1] == "silent"
    assert found.quiet_after_stop_s is not None
    assert found.quiet_after_stop_s < 1.3


@pytest.mark.parametrize("fault", ["wrong_entry", "second_differs=channel_1_amplitude"])
def test_settings_that_differ_refuse_the_session_and_open_nothing(tmp_path: Path, fault: str):
    with pytest.raises(SafetyRefusal) as refused:
        session(tmp_path, fault)
    assert {b.limit for b in refused.value.breaches} == {"hand_settings"}
    assert not (tmp_path / "data").exists()


def test_the_guardian_holds_the_settings_against_the_protocol_again(tmp_path: Path):
    from tacs.clock import VirtualClock
    from tacs.conduct import Conduct

    setup = prepare(EMULATED)
    assert setup.rig is not None
    right = read_back(SHORT, setup.rig)
    request = SessionRequest(
        protocol=SHORT,
        setup=setup,
        subject="P01",
        session="01",
        dataset=tmp_path / "data",
        settings=(right, read_back(SHORT, setup.rig, "B", frequency="9.00 Hz")),
    )
    again = SessionRequest.from_data(request.to_data())
    assert again.settings == request.settings
    with pytest.raises(SafetyRefusal, match="second entry"):
        Conduct.of(again, clock=VirtualClock(), inbox=QueueInbox())


def test_given_settings_are_taken_and_one_person_alone_is_told(tmp_path: Path):
    rig = prepare(EMULATED).rig
    assert rig is not None
    entries = (read_back(SHORT, rig, "A"), read_back(SHORT, rig, "a"))
    found = session(tmp_path, settings=entries)
    assert found.outcome == "done"
    assert "typed by the same person" in " ".join(found.warnings)


def test_settings_are_no_matter_of_a_device_that_the_suite_sets(tmp_path: Path):
    entries = (read_back(SHORT, hand_rig()),) * 2
    with pytest.raises(InputError, match="--settings: synthpal is set by the suite"):
        session(tmp_path, device="emulated:synthpal", settings=entries)


def test_planning_knows_the_panel():
    from tacs.clock import utc_now
    from tacs.planning import make_plan

    made = make_plan(
        None,
        "posterior-alpha",
        now=utc_now(),
        rig=hand_rig(frequency_step_hz=1),
        frequency_hz=10.3,
        fallback_note="made",
    )
    assert (made.frequency_hz, made.achieved_frequency_hz) == (10.3, 10.0)
    assert "frequency_error_hz" in {breach.limit for breach in made.breaches}
    assert "made panel is set by hand to 10 Hz" in made.reasons


def test_checking_knows_the_panel():
    setup = prepare(EMULATED)
    coarse = Setup(
        device=setup.device,
        driver=setup.driver,
        rig=hand_rig(frequency_step_hz=1).model_copy(update={"emulated": True}),
        limits=setup.limits,
        site=setup.site,
    )
    assert [b.limit for b in check(SHORT, setup)] == []
    assert [b.limit for b in check(SHORT, coarse)] == ["frequency_error_hz"]


def test_a_guardian_lost_while_a_person_was_asked_counts_as_started(tmp_path: Path):
    class Lost(BaseException):
        """The power went."""

    def watch(telemetry: Telemetry) -> None:
        if telemetry.word == "started":
            raise Lost

    with pytest.raises(Lost):
        session(tmp_path, watch=watch)
    for path in (tmp_path / "data").rglob("*oscilloscope*"):
        path.unlink()  # a real device has none
    (closed,) = recover(tmp_path / "data")
    assert closed.outcome == "interrupted"
    assert closed.delivered is not None
    assert closed.delivered.source == "upper bound"
    assert closed.delivered.duration_s >= 60.0


def test_no_machine_verifies_what_a_person_does(capsys: pytest.CaptureFixture[str]):
    from tacs.cli import call

    assert call(["verify", "device", EMULATED]) == 2
    assert "no machine can verify what a person does" in capsys.readouterr().err
