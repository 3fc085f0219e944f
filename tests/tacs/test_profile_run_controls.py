"""``tacs profile run``: rest, anchors and jittered blocks of a plan; plans from before them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.profile_blocks import read_blocks
from analysis.profile_jitter import jitter_onsets_s
from devices.eeg_replay import RawEEG
from tacs.cli import call
from tacs.clock import VirtualClock
from tacs.errors import InputError
from tacs.marks import AtOnce, FileMarks
from tacs.profile_blocks import Planned, RunPlan, table_text
from tacs.profile_run import ProfileRun
from tests.tacs.test_profile_run import FS, a_table, eeg

PLAN = {
    "mode": "photic",
    "peak_hz": 10.0,
    "order_hz": [10.0, 10.0, 0.0, 12.0],
    "order_level": [3.0, 3.0, 3.0, 3.0],
    "order_kind": ["anchor", "jitter", "sham", "drive"],
    "order_jitter_seed": [0, 5, 0, 0],
    "jitter_sd": 0.2,
    "rest": [{"eyes": "open", "seconds": 6.0}, {"eyes": "closed", "seconds": 7.0}],
    "seconds_per_block": 10.0,
    "gap_s": 4.0,
}


def a_plan(folder: Path, **changes: Any) -> RunPlan:
    path = folder / "plan.json"
    path.write_text(json.dumps({**PLAN, **changes}), encoding="utf-8")
    return RunPlan.read(path)


def test_a_person_is_asked_for_rest_then_for_every_kind_of_block(tmp_path: Path) -> None:
    clock, said = VirtualClock(), list[str]()
    marks = a_table(
        tmp_path,
        "1\teyes open\n9\topen\n9.5\tclosed\n22\t10\n37\tjitter\n52\tsham\n67\t12\n",
    )
    run = ProfileRun(
        RawEEG(eeg(90.0), clock), clock, FileMarks(marks), a_plan(tmp_path), say=said.append
    )
    found = run.run()
    assert found.ended == "done"
    assert found.left == 0
    assert [(r.planned.kind, r.start_s, r.stop_s) for r in found.rows] == [
        ("rest", 1.0, 7.0), ("rest", 9.5, 16.5), ("drive", 22.0, 32.0), ("jitter", 37.0, 47.0),
        ("sham", 52.0, 62.0), ("drive", 67.0, 77.0),
    ]  # fmt: skip
    (ignored,) = found.ignored
    assert "the plan has rest, eyes closed now" in ignored
    for words in (
        "rest, eyes open, 6 s; eyes open now", "10 Hz, level 3 (anchor), 10 s; begin the drive now",
        "10 Hz jittered, level 3, 10 s; begin the jittered drive now",
    ):  # fmt: skip
        assert any(words in text for text in said), words
    path = tmp_path / "blocks.tsv"
    path.write_text(table_text(found.rows), encoding="utf-8")
    blocks = read_blocks(path)
    assert [b.kind for b in blocks] == ["rest", "rest", "drive", "jitter", "sham", "drive"]
    assert [b.eyes for b in blocks] == ["open", "closed", "", "", "", ""]
    assert (blocks[3].jitter_sd, blocks[3].jitter_seed) == (0.2, 5)
    assert blocks[2].jitter_sd == 0.0


def test_rest_with_lost_samples_is_repeated_before_the_sweep(tmp_path: Path) -> None:
    clock, said = VirtualClock(), list[str]()
    marks = a_table(tmp_path, "1\topen\n9\topen\n17\tclosed\n29\t10\n44\tjitter\n")
    run = ProfileRun(
        RawEEG(eeg(60.0), clock, drops=[(3.0, 1.0)]), clock, FileMarks(marks), a_plan(tmp_path),
        say=said.append,
    )  # fmt: skip
    rows = run.run().rows
    assert [(r.planned.words, bool(r.problem)) for r in rows[:3]] == [
        ("rest, eyes open", True), ("rest, eyes open", False), ("rest, eyes closed", False),
    ]  # fmt: skip
    assert "rest, eyes open: will be repeated now" in said


def test_a_jittered_block_drives_the_virtual_patient_pulse_by_pulse(tmp_path: Path) -> None:
    from devices.eeg_named import VIRTUAL

    clock = VirtualClock()
    source = VIRTUAL.make("4", {"size": "1", "artefact_uv": "100000"}, clock)
    taken: list[Any] = []

    class Recorder:
        def begin(self, *_: object) -> None:
            """Nothing to do."""

        def write(self, block: Any) -> None:
            taken.append(block.signal_uv)

    plan = a_plan(tmp_path, mode="virtual", rest=[])
    run = ProfileRun(
        source, clock, AtOnce(clock), plan, say=str, recorder=Recorder(),  # type: ignore[arg-type]
        drive=source.drive,  # type: ignore[attr-defined]
    )  # fmt: skip
    rows = run.run().rows
    signal = np.concatenate(taken, axis=1)[0]
    for row in rows:
        first, last = round((row.start_s + 0.2) * FS), round((row.stop_s - 0.2) * FS)
        wave = signal[first:last]
        onsets = np.array(jitter_onsets_s(10.0, 10.0, 0.2, 5)) + row.start_s
        times_s = np.arange(first, last) / FS
        pulses = np.cos(2.0 * np.pi * np.interp(times_s, onsets, np.arange(onsets.size)))
        r = float(np.corrcoef(wave, pulses)[0, 1])
        if row.planned.kind == "jitter":
            assert abs(r) > 0.98
        else:
            assert abs(r) < 0.5


def test_a_profile_with_all_controls_goes_from_plan_to_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def tacs(*arguments: object) -> Any:
        assert call([*(str(a) for a in arguments), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    plan = tmp_path / "p.json"
    tacs(
        "profile", "plan", "--peak-hz", "10", "--mode", "virtual", "--levels", "4", "--seconds",
        "24", "--anchors", "2", "--jitter", "2", "--out", plan,
    )  # fmt: skip
    ran = tacs(
        "profile", "run", plan, "--out", tmp_path / "d", "--subject", "v", "--session", "1",
        "--seed", "3", "--gap", "13", "--peak-hz", "10",
    )  # fmt: skip
    assert ran["blocks_left"] == 0
    found = tacs(
        "profile", "analyze", ran["recording"], "--blocks", ran["table"], "--mode", "virtual",
        "--picks", "Oz,POz",
    )  # fmt: skip
    assert found["verdict"] == "response"
    assert abs(found["resonance"][0]["centre_hz"] - 10.0) < 0.5
    assert found["jitter"]["regular"][0]["n_blocks"] == 2
    regular = found["jitter"]["regular"][0]["response_plv2"]
    at_peak = next(row for row in found["curve"] if row["frequency_hz"] == 10.0)
    assert at_peak["n_blocks"] == 3
    assert regular < 0.3 * at_peak["response_plv2"]
    assert [row["order"] for row in found["anchors"]] == sorted(
        row["order"] for row in found["anchors"]
    )
    assert len(found["anchors"]) == 3
    assert call(
        ["profile", "analyze", ran["recording"], "--blocks", ran["table"], "--mode", "virtual",
         "--picks", "Oz,POz", "--permutations", "200", "--figures", str(tmp_path)]
    ) == 0  # fmt: skip
    told = capsys.readouterr().out
    assert "jittered blocks, 10 Hz, level 4: response to a regular reference" in told
    assert "response over ln power before the block" in told
    assert (tmp_path / "profile.png").stat().st_size > 10_000
    assert found["exploratory"]["state"]["n_blocks"] >= 10
    assert found["exploratory"]["state"]["slope_ci95"] is not None
    assert "10 of each" in found["exploratory"]["state"]["after_reason"]


def test_a_plan_from_before_the_controls_is_still_read(tmp_path: Path) -> None:
    old = {k: v for k, v in PLAN.items() if k not in {
        "order_kind", "order_jitter_seed", "jitter_sd", "rest"}}  # fmt: skip
    path = tmp_path / "old.json"
    path.write_text(json.dumps(old), encoding="utf-8")
    assert RunPlan.read(path).blocks == (
        Planned(10.0, 3.0, "drive"), Planned(10.0, 3.0, "drive"), Planned(10.0, 3.0, "sham"),
        Planned(12.0, 3.0, "drive"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"order_kind": ["drive"]}, "kinds"),
        ({"order_kind": ["drive", "flash", "sham", "drive"]}, "kinds"),
        ({"order_kind": ["drive", "sham", "sham", "drive"]}, "sham has 0 Hz"),
        ({"jitter_sd": 0.0}, "jitter_sd"),
        ({"rest": [{"eyes": "half", "seconds": 3}]}, "rest"),
        ({"rest": [{"eyes": "open"}]}, "seconds"),
        ({"jitter_sd": -1.0}, "out of range"),
    ],
)
def test_controls_that_make_no_sense_are_one_line(
    tmp_path: Path, changes: dict[str, Any], word: str
) -> None:
    with pytest.raises(InputError, match=word) as caught:
        a_plan(tmp_path, **changes)
    assert "tacs profile plan --out" in str(caught.value)


@pytest.mark.parametrize(
    ("block", "fits", "unfit"),
    [
        (Planned(10.0, 1.0, "drive"), ("10", "10 hz", "", "go"), ("11", "sham", "rest", "jitter")),
        (Planned(10.0, 1.0, "jitter"), ("10", "jitter", "x"), ("0", "sham", "rest")),
        (Planned(10.0, 1.0, "sham"), ("sham", "rest", "0", ""), ("10", "jitter")),
        (Planned(10.0, 0.0, "rest", eyes="open"), ("rest", "eyes open", "open"),
         ("closed", "eyes closed", "sham", "10")),
    ],
)  # fmt: skip
def test_a_mark_begins_what_the_plan_has_and_nothing_else(
    block: Planned, fits: tuple[str, ...], unfit: tuple[str, ...]
) -> None:
    assert [block.unfit(text) for text in fits] == [""] * len(fits)
    assert all("the plan has" in block.unfit(text) for text in unfit)
