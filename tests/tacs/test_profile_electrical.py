"""Visits with current: real drivers, emulated devices, a virtual patient that feels them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.io import load_recording
from analysis.marks import spans_of
from analysis.profile_blocks import read_blocks
from analysis.profile_visits import Visit
from tacs.checking import prepare
from tacs.cli import call
from tacs.clock import QueueInbox
from tacs.dose import read_trace
from tacs.errors import DeviceNotFound, InputError, SafetyRefusal
from tacs.guardian import Telemetry
from tacs.profile_electrical import run_visit
from tacs.profile_ran import RanVisit, VisitPlaces
from tacs.profile_visit import visit_protocol
from tests.tacs.made import montage_data, protocol

EEG = "virtual:3?peak_hz=10&size=1&sfreq_hz=250"
DRIVE = Visit(1, "drive", 9.73, 1.0, 12, 2.0, 1.54)
SHAM = replace(DRIVE, kind="sham")


def tacs(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any, str]:
    code = call([*(str(a) for a in arguments), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out), err


def ran(
    folder: Path, visit: Visit = DRIVE, device: str = "synthpal", eeg: str = EEG, **more: Any
) -> tuple[RanVisit, list[Telemetry]]:
    heard: list[Telemetry] = []
    base = more.pop("base", protocol())
    places = VisitPlaces(
        dataset=folder / "d", subject="a", session="1", task=more.pop("task", "profile")
    )
    done = run_visit(
        visit, visit_protocol(base, visit, 1.0), prepare(f"emulated:{device}"), eeg, places,
        rest_s=more.pop("rest_s", 10.0), clock="virtual", watch=heard.append, **more,
    )  # fmt: skip
    return done, heard


def trace_of(done: RanVisit, heard: list[Telemetry]) -> tuple[Any, Any]:
    """Times of the oscilloscope on the session's clock, and the current out of Oz."""
    assert done.record is not None
    assert done.record.trace is not None
    about = json.loads(Path(str(done.record.trace).replace(".tsv.gz", ".json")).read_text())
    columns = about["Columns"]
    current_ma = read_trace(done.record.trace, len(columns))[columns.index("Oz")]
    started_s = next(x.played.started_s for x in heard if x.played is not None)
    return started_s + about["StartTime"] + np.arange(len(current_ma)) / 1000.0, current_ma


@pytest.mark.parametrize(
    ("device", "loops"),
    [
        ("synthpal", [("Oz", "Cz", 1.0)]),
        ("nidaq", [("Oz", "Cz", 1.0)]),
        ("nidaq", [("Oz", "Cz", 0.6, 90.0), ("F3", "Cz", 0.3)]),
    ],
    ids=["synthpal", "nidaq", "two loops"],
)
def test_the_table_is_where_and_at_the_phase_that_the_oscilloscope_shows(
    tmp_path: Path, device: str, loops: list[Any]
):
    base = protocol(montage=montage_data(*loops))
    done, heard = ran(tmp_path, device=device, base=base)
    assert done.record is not None
    assert done.record.outcome == "done"
    times_s, current_ma = trace_of(done, heard)
    rows = read_blocks(str(done.table))
    assert len(rows) == done.counts.in_table == 12
    for row in rows:
        # The recording began with the clock, at 0.
        near = (times_s > row.start_s - 0.7) & (times_s < row.stop_s + 0.7)
        flows = times_s[near & (np.abs(current_ma) > 1e-3)]
        # A tick of 20 ms: of a queue's end the block that is on its way rises.
        assert row.start_s - 0.025 < flows[0] < row.start_s + 0.06
        assert row.stop_s - 0.06 < flows[-1] < row.stop_s + 0.005
        top = (times_s > row.start_s + 0.6) & (times_s < row.stop_s - 0.6)
        turns = np.exp(-2j * np.pi * row.frequency_hz * (times_s[top] - row.start_s))
        seen = np.angle((current_ma[top] * turns * np.hanning(top.sum())).sum())
        off = math.degrees(math.remainder(seen - row.phase_rad, 2.0 * math.pi))
        assert abs(off) < 4.0
    artefact = done.alignment["artefact"]
    assert artefact["kept"] > 0.999
    assert artefact["settled_s"] < 0.1
    assert done.warnings == ()


def test_current_and_rest_are_marked_in_the_recording_and_read_again(tmp_path: Path):
    done, heard = ran(tmp_path)
    assert done.recording is not None
    raw = load_recording(done.recording.path).raw
    assert spans_of(raw, "at rest") == [(0.0, pytest.approx(10.0, abs=0.3))]
    spans = spans_of(raw, "current on")
    assert len(spans) == 13  # the run-in, and each train
    times_s, current_ma = trace_of(done, heard)
    flows = np.abs(current_ma) > 1e-3
    for begin_s, end_s in spans:
        flows &= (times_s < begin_s - 0.005) | (times_s > end_s + 0.005)
    assert not flows.any()
    told = json.loads(done.recording.path.with_suffix(".json").read_text())
    assert told["ElectricalStimulation"] is True
    rows = read_blocks(str(done.table))
    assert [(b.start_s, b.stop_s) for b in rows] == [
        (pytest.approx(a, abs=0.005), pytest.approx(b, abs=0.005)) for a, b in spans[1:]
    ]


def test_sham_has_no_current_in_its_trains_and_the_phase_that_the_sine_would_have(tmp_path: Path):
    done, heard = ran(tmp_path, SHAM)
    times_s, current_ma = trace_of(done, heard)
    rows = read_blocks(str(done.table))
    assert {row.kind for row in rows} == {"sham"}
    assert len(rows) == 12
    assert np.diff([row.start_s for row in rows]) == pytest.approx(3.54, abs=1e-5)
    flowed = times_s[np.abs(current_ma) > 1e-3]
    assert rows[0].start_s - 2.0 < flowed[-1] < rows[0].start_s - 1.0
    assert np.abs(current_ma).max() == pytest.approx(1.0, rel=0.02)
    # The sine of the ramp, continued.
    top = (times_s > flowed[0] + 28.0) & (times_s < flowed[0] + 32.0)
    for row in rows:
        turns = np.exp(-2j * np.pi * row.frequency_hz * (times_s[top] - row.start_s))
        seen = np.angle((current_ma[top] * turns * np.hanning(top.sum())).sum())
        off = math.degrees(math.remainder(seen - row.phase_rad, 2.0 * math.pi))
        assert abs(off) < 4.0
    assert done.alignment["artefact"] is None


def test_eeg_that_is_gone_ramps_the_current_down_and_what_was_recorded_stays(tmp_path: Path):
    done, heard = ran(tmp_path, eeg=f"{EEG}&drops=70+60")
    assert done.record is not None
    assert done.record.outcome == "stopped"
    assert "no new sample" in done.eeg_ended
    times_s, current_ma = trace_of(done, heard)
    # Two seconds, at most one look later, and the fall of a train.
    assert np.abs(current_ma[times_s > 72.0 + 0.3 + 0.6]).max() == 0.0
    assert done.recording is not None
    rows = read_blocks(str(done.table))
    assert 0 < len(rows) == done.counts.in_table < 12
    assert rows[-1].stop_s + 1.54 < 70.0
    assert done.counts.given == done.counts.in_table + done.counts.not_recorded + (
        done.counts.cut_short
    )


def test_a_gap_of_the_eeg_costs_a_train_and_not_the_visit(tmp_path: Path):
    done, _ = ran(tmp_path, eeg=f"{EEG}&drops=60+0.5,66+0.5")
    assert done.record is not None
    assert (done.record.outcome, done.eeg_ended) == ("done", "")
    assert done.counts.given == 12
    assert done.counts.lost_to_gaps >= 1
    rows = read_blocks(str(done.table))
    assert len(rows) == 12 - done.counts.lost_to_gaps
    for row in rows:
        for at_s in (60.0, 66.0):
            assert not row.stop_s - 0.01 < at_s < row.stop_s + 1.54


def test_a_stop_keeps_the_trains_that_were_given(tmp_path: Path):
    done, _ = ran(tmp_path, inbox=QueueInbox([(64.3, "stop:the STOP key")]))
    assert done.record is not None
    assert (done.record.outcome, done.record.cause) == ("stopped", "the STOP key")
    rows = read_blocks(str(done.table))
    assert 1 <= len(rows) == done.counts.in_table
    assert done.counts.given == len(rows) + done.counts.cut_short
    assert rows[-1].stop_s < 64.3


def test_a_table_that_cannot_be_written_stops_the_session_and_the_recording_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(path: Path, text: str) -> None:
        raise InputError(f"{path}: cannot be written (No space left on device)")

    monkeypatch.setattr("tacs.profile_electrical.write_text", full)
    done, _ = ran(tmp_path)
    assert done.record is not None
    assert done.record.outcome == "stopped"
    assert "No space left on device" in done.record.cause
    assert "No space left on device" in done.eeg_ended
    assert done.recording is not None
    assert done.table is None


def test_a_stop_in_the_rest_means_no_session(tmp_path: Path):
    done, heard = ran(tmp_path, inbox=QueueInbox([(5.0, "alive"), (6.0, "stop:SIGINT")]))
    assert done.record is None
    assert heard == []
    assert done.table is None
    assert done.recording is not None
    assert load_recording(done.recording.path).raw.times[-1] == pytest.approx(6.0, abs=0.3)
    assert not (
        tmp_path / "d/sourcedata/tacs/sub-a/ses-1/sub-a_ses-1_task-tacs_record.jsonl"
    ).exists()


def test_a_device_that_fails_before_it_is_armed_leaves_the_rest_that_was_recorded(tmp_path: Path):
    said: list[str] = []
    with pytest.raises(DeviceNotFound, match="Pulse Pal firmware answers"):
        ran(tmp_path, options={"faults": ["wrong_firmware=K"]}, say=said.append)
    assert next((tmp_path / "d/sub-a/ses-1/eeg").glob("*acq-during_eeg.vhdr"))
    assert any("another --task" in text for text in said)
    with pytest.raises(InputError, match="another --session or --task"):
        ran(tmp_path)
    # The attempt did not use the session up.
    done, _ = ran(tmp_path, replace(DRIVE, trains=5), task="again")
    assert done.counts.in_table == 5


@pytest.mark.parametrize(
    ("device", "changes", "more", "word"),
    [
        ("scpi", {}, {}, "begins its cycle anew"),
        ("nic2", {}, {}, "cannot play trains"),
        ("synthpal", {}, {"rest_s": -5.0}, "--rest-s"),
        ("synthpal", {}, {"eeg_delay_s": 2.0}, "--eeg-delay"),
    ],
)
def test_what_cannot_be_run_is_said_before_anybody_rests(
    tmp_path: Path, device: str, changes: dict[str, Any], more: dict[str, Any], word: str
):
    with pytest.raises(InputError, match=word):
        ran(tmp_path, replace(DRIVE, **changes), device, **more)
    assert not (tmp_path / "d").exists()


def test_no_limit_is_passed_over(tmp_path: Path):
    strong = protocol(montage=montage_data(("Oz", "Cz", 1.5)))
    with pytest.raises(SafetyRefusal, match="electrode_current_peak_ma"):
        ran(tmp_path, base=strong)
    dense = replace(DRIVE, on_s=7.0, off_s=1.0)
    with pytest.raises(SafetyRefusal, match="train_duty_cycle"):
        ran(tmp_path, dense)
    many = replace(DRIVE, trains=900)
    with pytest.raises(SafetyRefusal, match="session_duration_min"):
        ran(tmp_path, many)
    assert not (tmp_path / "d").exists()


# -- the command ----------------------------------------------------------------------------------


def commanded(
    capsys: pytest.CaptureFixture[str], folder: Path, *more: object, seed: int = 0, trains: int = 12
) -> tuple[int, Any, str]:
    """Plan and run; visit 1 of seed 1 is at the peak."""
    path, base = folder / f"plan{seed}.json", folder / "base.toml"
    if not base.exists():
        protocol().to_toml(base)
    tacs(
        capsys, "profile", "plan", "--peak-hz", "10", "--mode", "electrical", "--trains", trains,
        "--seed", seed, "--out", path,
    )  # fmt: skip
    return tacs(
        capsys, "profile", "run", path, "--mode", "electrical", "--protocol", base, "--device",
        "emulated:synthpal", "--clock", "virtual", "--out", folder / "d", *more,
    )  # fmt: skip


def analyzed(capsys: pytest.CaptureFixture[str], data: Any, *more: object) -> Any:
    code, found, _ = tacs(
        capsys, "profile", "analyze", data["recording"], "--blocks", data["table"], "--mode",
        "electrical", "--picks", "Oz", *more,
    )  # fmt: skip
    assert code == 0
    return found


def test_a_strong_echo_is_found_and_none_without_coupling_or_in_sham(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """54 trains need a narrow rhythm and 20 mA; the benchmark has 190 at 4 mA."""
    eeg = "virtual:4?peak_hz=10&size=1&fwhm_hz=0.3&sensitivity="
    shared = ("--rest-s", "60", "--session", "1")
    code, driven, err = commanded(
        capsys, tmp_path, "--visit", 1, "--source", f"{eeg}40", "--subject", "a", *shared, seed=1,
        trains=54,
    )  # fmt: skip
    assert code == 0
    assert driven["trains"]["in_table"] == 54
    assert driven["may_report_echo"] is True
    assert driven["detectable_plv"] == pytest.approx(0.298, abs=0.001)
    assert driven["outcome"] == "done"
    assert "before: tacs watch 'virtual:4" in err
    assert driven["next"][-1].startswith("tacs profile analyze ")
    _, deaf, _ = commanded(
        capsys, tmp_path, "--visit", 1, "--source", f"{eeg}0", "--subject", "b", *shared, seed=1,
        trains=54,
    )  # fmt: skip
    _, sham, _ = commanded(
        capsys, tmp_path, "--visit", 4, "--source", f"{eeg}40", "--subject", "c", *shared, seed=1,
        trains=54,
    )  # fmt: skip
    assert sham["visit"]["kind"] == "sham"
    assert "--visit" in sham["next"][-1]
    beside = ("--visit", sham["recording"], sham["table"])
    found = analyzed(capsys, driven, *beside)
    assert found["verdict"] == "response"
    assert found["p"] < 0.01
    assert found["rest"] is not None
    assert abs(found["rest"]["centre_hz"] - 10.0) < 0.6
    assert [echo["kind"] for echo in found["echo"]] == ["drive", "sham"]
    assert found["echo"][0]["tau_s"] is not None
    assert found["echo"][0]["reportable"] is True
    assert found["echo"][1]["tau_s"] is None
    assert found["sham_p"] > 0.05
    assert found["visits"] == [{"recording": sham["recording"], "blocks": sham["table"]}]
    assert analyzed(capsys, deaf)["verdict"] == "no_response"


def test_a_short_visit_is_warned_of_and_a_second_one_too_soon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    labels = ("--rest-s", "0", "--source", EEG, "--subject", "a")
    code, data, err = commanded(capsys, tmp_path, "--visit", 2, *labels, "--session", "1")
    assert code == 0
    assert "0.63 only" in err
    assert data["may_report_echo"] is False
    kept = json.loads(
        next((tmp_path / "d/sourcedata").rglob("*acq-during_profile.json")).read_text()
    )
    assert kept["visit"]["visit"] == 2
    assert kept["protocol"]["trains"]["count"] == 12
    # The ledger wants its own interval, and the plan 48 h.
    code, data, err = commanded(capsys, tmp_path, "--visit", 2, *labels, "--session", "2")
    assert code == 4
    assert "visit 2 was run already, in session 1" in err
    code, data, err = commanded(capsys, tmp_path, "--visit", 3, *labels, "--session", "3")
    assert code == 4
    assert "the plan wants 48 h between visits" in err
    code, data, err = commanded(capsys, tmp_path, "--visit", 3, *labels, "--session", "1")
    assert code in (2, 4)


def test_eeg_that_ends_is_exit_5_with_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code, data, _ = commanded(
        capsys, tmp_path, "--visit", 2, "--rest-s", "5", "--source", f"{EEG}&drops=60+90",
        "--subject", "a", "--session", "1",
    )  # fmt: skip
    assert code == 5
    assert "EEG ended" in data["error"]
    assert data["trains"]["in_table"] == len(read_blocks(data["table"])) > 0
    assert Path(data["recording"]).exists()


def test_no_current_for_anybody_whose_eeg_is_made_or_old(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for source in (EEG, "replay:old.edf"):
        code, data, _ = commanded(
            capsys, tmp_path, "--visit", 1, "--source", source, "--subject", "a", "--session", "1",
            "--device", "synthpal:/dev/null",
        )  # fmt: skip
        assert code == 2
        assert "is nobody whom synthpal:/dev/null could reach" in data["error"]


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (("--source", EEG), "--visit"),
        (("--visit", 9, "--source", EEG), "visits 1 to 4"),
        (("--visit", 1), "--source"),
        (("--visit", 1, "--source", EEG, "--screened"), "--screened"),
        (("--visit", 1, "--source", "lsl:x"), "real time"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[object, ...], word: str
):
    code, data, _ = commanded(capsys, tmp_path, *more, "--subject", "a", "--session", "1")
    assert code == 2
    assert word in data["error"]
    assert "\n" not in data["error"]
    assert not (tmp_path / "d").exists()


def test_options_of_current_belong_to_a_plan_with_current(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "p.json"
    tacs(capsys, "profile", "plan", "--peak-hz", "10", "--mode", "virtual", "--out", path)
    code, data, _ = tacs(
        capsys, "profile", "run", path, "--out", tmp_path / "d", "--subject", "a", "--session", "1",
        "--device", "emulated:synthpal",
    )  # fmt: skip
    assert code == 2
    assert "--device: belongs to mode electrical" in data["error"]
