"""``tacs profile run``: blocks are where their marks say, and a lost one is not counted."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest

from analysis.profile_blocks import read_blocks
from devices.eeg_replay import RawEEG
from tacs.cli import call
from tacs.clock import MonotonicClock, QueueInbox, VirtualClock
from tacs.errors import InputError, LinkLost
from tacs.marks import FileMarks, KeyMarks, Mark, Marks, open_marks
from tacs.profile_blocks import RunPlan, Timeline
from tacs.profile_run import ProfileRun

FS = 250.0


def tacs(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any, str]:
    code = call([*(str(a) for a in arguments), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out), err


def a_plan(folder: Path, mode: str, seconds: float = 10.0, gap_s: float = 4.0) -> Path:
    path = folder / "plan.json"
    data = {
        "mode": mode,
        "peak_hz": 10.0,
        "order_hz": [10.0, 0.0, 12.0],
        "order_level": [3.0, 3.0, 3.0],
        "seconds_per_block": seconds,
        "gap_s": gap_s,
    }
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def eeg(seconds: float) -> Any:
    """Noise of 10 microvolts, with 12 Hz from 40 to 50 s."""
    rng = np.random.default_rng(1)
    n = round(seconds * FS)
    times_s = np.arange(n) / FS
    noise = np.cumsum(rng.standard_normal((3, n)), axis=1)
    noise = 10e-6 * (noise - np.roll(noise, 25, axis=1))[:, :] / 5.0
    noise += 5e-6 * np.cos(2 * np.pi * 12.0 * times_s) * ((times_s >= 40.0) & (times_s < 50.0))
    info = mne.create_info(["Oz", "O1", "O2"], FS, "eeg")
    return mne.io.RawArray(noise, info, verbose="ERROR")


def a_table(folder: Path, rows: str, head: str = "onset\ttrial_type") -> Path:
    path = folder / "marks.tsv"
    path.write_text(f"{head}\n{rows}", encoding="utf-8")
    return path


def ran(folder: Path, rows: str, seconds: float = 70.0, **options: Any) -> tuple[Any, list[str]]:
    clock, said = VirtualClock(), list[str]()
    drops = options.pop("drops", ())
    run = ProfileRun(
        RawEEG(eeg(seconds), clock, drops=drops), clock, FileMarks(a_table(folder, rows)),
        RunPlan.read(a_plan(folder, "photic")), say=said.append, **options,
    )  # fmt: skip
    return run.run(), said


def test_a_virtual_patient_is_driven_recorded_and_analysed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "p.json"
    tacs(
        capsys, "profile", "plan", "--peak-hz", "10", "--mode", "virtual", "--levels", "4",
        "--seconds", "20", "--out", plan,
    )  # fmt: skip
    code, data, err = tacs(
        capsys, "profile", "run", plan, "--out", tmp_path / "d", "--subject", "v", "--session",
        "1", "--seed", "3", "--gap", "4", "--peak-hz", "10",
    )  # fmt: skip
    assert code == 0
    assert data["blocks_left"] == 0
    assert "block 10 of 10: over" in err
    order = [0.0 if b["kind"] == "sham" else b["frequency_hz"] for b in data["blocks"]]
    assert order == data["plan"]["order_hz"]
    starts = [block.start_s for block in read_blocks(data["table"])]
    assert np.allclose(np.diff(starts), 24.0, atol=1.1)
    code, found, _ = tacs(
        capsys, "profile", "analyze", data["recording"], "--blocks", data["table"], "--mode",
        "virtual", "--picks", "Oz,POz",
    )  # fmt: skip
    assert code == 0
    assert found["verdict"] == "response"
    assert abs(found["resonance"][0]["centre_hz"] - 10.0) < 0.5
    assert tacs(
        capsys, "profile", "run", plan, "--out", tmp_path / "d", "--subject", "v", "--session", "1"
    )[0] == 2  # fmt: skip


def test_the_drive_starts_with_its_block_and_ends_with_it(tmp_path: Path) -> None:
    from devices.eeg_named import VIRTUAL
    from tacs.marks import AtOnce

    clock = VirtualClock()
    options = {"size": "1", "artefact_uv": "100000"}
    source = VIRTUAL.make("4", options, clock)
    taken: list[Any] = []

    class Recorder:
        def begin(self, *_: object) -> None:
            """Nothing to do."""

        def write(self, block: Any) -> None:
            taken.append(block.signal_uv)

    run = ProfileRun(
        source, clock, AtOnce(clock), RunPlan.read(a_plan(tmp_path, "virtual")), say=str,
        drive=source.drive, recorder=Recorder(),  # type: ignore[attr-defined, arg-type]
    )  # fmt: skip
    rows = run.run().rows
    signal = np.concatenate(taken, axis=1)
    loud = np.abs(signal).max(axis=0) > 1e4
    for row in rows:
        inside = slice(round((row.start_s + 0.1) * FS), round((row.stop_s - 0.1) * FS))
        share = loud[inside].mean()
        assert (share > 0.9) == (row.planned.kind == "drive")
        loud[round(row.start_s * FS) - 2 : round(row.stop_s * FS) + 2] = False
    assert not loud.any()


def test_marks_of_a_replay_say_where_the_blocks_are(tmp_path: Path) -> None:
    found, said = ran(tmp_path, "6.2\t10\n22.4\tsham\n40.0\t12 Hz\n")
    assert found.ended == "done"
    assert [row.start_s for row in found.rows] == [6.2, 22.4, 40.0]
    assert [row.planned.kind for row in found.rows] == ["drive", "sham", "drive"]
    assert found.rows[1].gap_s == pytest.approx(6.2)
    assert any("begin the drive now" in text for text in said)
    assert any("leave the drive off" in text for text in said)


def test_a_mark_that_is_not_the_plan_s_turn_begins_nothing(tmp_path: Path) -> None:
    found, _ = ran(tmp_path, "2\t12\n6\t10\n9\t10\n16\tend\n22\tsham\n40\t12\n")
    assert [row.start_s for row in found.rows] == [6.0, 22.0, 40.0]
    assert len(found.ignored) == 3
    assert "the plan has 10 Hz" in found.ignored[0]
    assert "within the block before" in found.ignored[1]


def test_a_block_with_lost_samples_is_repeated_and_not_in_the_table(tmp_path: Path) -> None:
    found, said = ran(
        tmp_path, "6\t10\n22\tsham\n36\t12\n52\t10\n", 75.0, drops=[(8.0, 1.0)]
    )  # fmt: skip
    assert found.ended == "done"
    assert found.left == 0
    assert found.rows[0].missing == 250
    assert "250 samples missing" in found.rows[0].problem
    assert [row.start_s for row in found.rows] == pytest.approx([6.0, 22.0, 36.0, 52.0])
    assert found.rows[3].planned == found.rows[0].planned
    assert any("will be repeated" in text for text in said)


def test_a_recording_that_ends_early_leaves_blocks(tmp_path: Path) -> None:
    found, _ = ran(tmp_path, "6\t10\n22\tsham\n40\t12\n", 45.0)
    assert found.ended == "over"
    assert found.left == 1


def test_a_message_ends_it_and_what_was_there_stays(tmp_path: Path) -> None:
    clock = VirtualClock()
    kept: list[int] = []
    run = ProfileRun(
        RawEEG(eeg(70.0), clock), clock, FileMarks(a_table(tmp_path, "6\t10\n22\tsham\n")),
        RunPlan.read(a_plan(tmp_path, "photic")), say=str, done=lambda rows: kept.append(len(rows)),
    )  # fmt: skip
    found = run.run(QueueInbox([(20.0, "stop:SIGINT")]))
    assert found.ended == "stopped"
    assert kept == [1]
    assert found.left == 2


class Told:
    """Marks that are told one by one, and then no more, or never."""

    def __init__(self, at_s: float, clock: VirtualClock, gone_s: float = np.inf) -> None:
        self._left = [Mark(time_s=at_s, text="10", in_recording=True)]
        self._clock, self._gone_s = clock, gone_s

    def open(self) -> str:
        return "told"

    def collect(self) -> list[Mark]:
        left, self._left = self._left, []
        if not left and self._clock.now_s() >= self._gone_s:
            raise LinkLost("the presentation was closed")
        return left

    def close(self) -> None:
        """Nothing is held."""


def told(folder: Path, gone_s: float, patience_s: float = 5.0) -> tuple[Any, float]:
    clock = VirtualClock()
    run = ProfileRun(
        RawEEG(eeg(90.0), clock), clock, Told(6.0, clock, gone_s),
        RunPlan.read(a_plan(folder, "photic")), say=str, patience_s=patience_s,
    )  # fmt: skip
    return run.run(), clock.now_s()


def test_nobody_marks(tmp_path: Path) -> None:
    found, ended_s = told(tmp_path, np.inf)
    assert found.ended == "no mark"
    assert ended_s > 20.0 + 5.0
    assert len(found.rows) == 1


@pytest.mark.parametrize(("gone_s", "at_s"), [(10.0, 16.0), (18.0, 18.0), (23.0, 23.0)])
def test_marks_that_are_gone_end_the_run_at_once_and_what_is_done_stays(
    tmp_path: Path, gone_s: float, at_s: float
) -> None:
    """Within a block (6 to 16 s) that is finished, within the gap, and while waiting."""
    found, ended_s = told(tmp_path, gone_s, patience_s=600.0)
    assert (found.ended, found.why) == ("marks gone", "the presentation was closed")
    assert [(row.start_s, row.problem) for row in found.rows] == [(6.0, "")]
    assert found.left == 2
    assert at_s <= ended_s <= at_s + 2.5


def test_a_file_whose_marks_are_used_up_is_not_waited_for(tmp_path: Path) -> None:
    found, _ = ran(tmp_path, "6\t10\n22\tsham\n", 70.0)
    assert found.ended == "marks gone"
    assert "no mark is left" in found.why
    assert [row.start_s for row in found.rows] == [6.0, 22.0]


def until_gone(marks: Marks, clock: MonotonicClock) -> None:
    """Look for marks until there will be no more; LSL's own watchdog may take half a minute."""
    until_s = clock.now_s() + 90.0
    while clock.now_s() < until_s:
        marks.collect()
        clock.wait(clock.now_s() + 0.05)


SENDER = """
import sys
import mne_lsl.lsl as lsl
name = sys.argv[1]
outlet = lsl.StreamOutlet(lsl.StreamInfo(name, "Markers", 1, 0.0, "string", name))
for line in sys.stdin:
    outlet.push_sample([line.strip()])
"""


def test_a_stream_of_marks_whose_sender_ended_is_gone() -> None:
    pytest.importorskip("mne_lsl.lsl")
    from devices.marks_lsl import LslMarks

    # Another process: an outlet that is destroyed within this one is not always noticed.
    name, clock = f"tacs-marks-{os.getpid()}", MonotonicClock()
    with subprocess.Popen(
        [sys.executable, "-c", SENDER, name], stdin=subprocess.PIPE, text=True
    ) as sender:
        assert sender.stdin is not None
        marks = LslMarks(clock, name=name, wait_s=30.0)
        marks.open()
        sender.stdin.write("10\n")
        sender.stdin.flush()
        until_s, come = clock.now_s() + 30.0, list[Mark]()
        while not come and clock.now_s() < until_s:
            come += marks.collect()
        assert [mark.text for mark in come] == ["10"]
        sender.kill()
    with pytest.raises(LinkLost, match="the stream is gone"):
        until_gone(marks, clock)
    marks.close()


def test_time_of_the_recording_follows_the_samples_not_the_clock() -> None:
    class Block:
        def __init__(self, first_s: float, n: int, missing: int = 0, *, jump: bool = False) -> None:
            self.times_s = first_s + np.arange(n) / 100.5
            self.missing, self.restarted = missing, jump

        def __len__(self) -> int:
            return len(self.times_s)

    time = Timeline(100.0)
    assert time.at(7.0) is None
    time.add(Block(7.0, 201))  # type: ignore[arg-type]
    assert time.at(8.0) == pytest.approx(1.005)
    assert time.at(9.5) is None
    time.add(Block(10.0, 101, missing=99))  # type: ignore[arg-type]
    assert time.at(10.0) == pytest.approx(3.0)
    assert time.missing(2.5, 10.0) == 50
    time.add(Block(99.0, 10, jump=True))  # type: ignore[arg-type]
    assert time.jumped(3.0, 9.0)
    assert not time.jumped(0.0, 3.0)


@pytest.mark.parametrize(
    ("rows", "head", "word"),
    [
        ("x\t10\n", "onset\ttrial_type", "line 2"),
        ("-1\t10\n", "onset\ttrial_type", "0 or more"),
        ("", "onset\ttrial_type", "no mark"),
        ("3\n", "time", "onset"),
    ],
)
def test_a_table_of_marks_that_is_none(tmp_path: Path, rows: str, head: str, word: str) -> None:
    with pytest.raises(InputError, match=word):
        FileMarks(a_table(tmp_path, rows, head)).open()


def test_marks_are_read_as_tables_of_bids_are(tmp_path: Path) -> None:
    """No quoting, n/a for what is not known, and a byte order mark from a spreadsheet."""
    rows = '3.5\t8\tn/a\n9\tn/a\t"open\n12\tn/a\tn/a\n14\n'
    file = FileMarks(a_table(tmp_path, rows, "\ufeffonset\tfrequency_hz\ttrial_type"))
    file.open()
    found = [(mark.time_s, mark.text) for mark in file.collect()]
    assert found == [(3.5, "8"), (9.0, '"open'), (12.0, ""), (14.0, "")]
    with pytest.raises(InputError, match="no such file"):
        FileMarks(tmp_path / "none.tsv").open()


def test_a_line_of_the_keyboard_is_a_mark() -> None:
    keys = KeyMarks(MonotonicClock(), io.StringIO("\nsham\n"))
    keys.open()
    come: list[Any] = []
    while len(come) < 2:
        come += keys.collect()
    assert [mark.text for mark in come] == ["", "sham"]
    assert not come[0].in_recording
    with pytest.raises(LinkLost, match="keyboard was closed"):
        until_gone(keys, MonotonicClock())
    with pytest.raises(InputError, match="real time"):
        KeyMarks(VirtualClock(), io.StringIO()).open()
    with pytest.raises(InputError, match="lsl:NAME"):
        open_marks("lsl", VirtualClock())


@pytest.mark.parametrize(
    ("mode", "more", "word"),
    [
        ("photic", ("--source", "lsl:x"), "screened"),
        ("photic", (), "--source"),
        ("photic", ("--mode", "virtual"), "mode photic"),
        ("virtual", ("--marks", "x.tsv"), "drives its own"),
        ("electrical", (), "visit by visit"),
        ("virtual", ("--gap", "-3"), "3600"),
    ],
)
def test_what_cannot_be_run_is_exit_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    mode: str,
    more: tuple[str, ...],
    word: str,
) -> None:
    code, data, _ = tacs(
        capsys, "profile", "run", a_plan(tmp_path, mode), "--out", tmp_path / "d", "--subject",
        "a", "--session", "1", *more,
    )  # fmt: skip
    assert code == 2
    assert word in data["error"]
    assert not (tmp_path / "d").exists()


def test_a_plan_that_is_none_is_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.json"
    path.write_text('{"mode": "photic"}', encoding="utf-8")
    code, data, _ = tacs(capsys, "profile", "run", path)
    assert code == 2
    assert "tacs profile plan --out" in data["error"]


def test_marks_over_lsl_are_on_the_session_s_clock() -> None:
    lsl = pytest.importorskip("mne_lsl.lsl", reason="MNE-LSL is not installed (extra live)")
    clock = MonotonicClock()
    info = lsl.StreamInfo("tacs-marks-test", "Markers", 1, 0.0, "string", "tacs-marks-test")
    outlet = lsl.StreamOutlet(info)
    marks = open_marks("lsl:tacs-marks-test", clock)
    marks.open()
    try:
        before_s = clock.now_s()
        outlet.push_sample(["10"])
        after_s = clock.now_s()
        come: list[Any] = []
        while not come and clock.now_s() < after_s + 10.0:
            come += marks.collect()
            clock.wait(clock.now_s() + 0.02)
        assert [mark.text for mark in come] == ["10"]
        assert before_s - 0.01 <= come[0].time_s <= after_s + 0.01
    finally:
        marks.close()
        del outlet
