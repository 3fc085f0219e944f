"""``tacs clean``: exit codes, what it writes and what it withholds."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest

from tacs.cli import call

FS, SECONDS = 200.0, 60.0
NAMES = ("Fz", "C3", "Cz", "C4", "Pz", "O1", "Oz", "O2")


def tacs(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any, str]:
    code = call([*(str(a) for a in arguments), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out), err


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rest, a recording with ramps and breathing in its artefact, and the current's trace."""
    place = tmp_path_factory.mktemp("clean")
    rng = np.random.default_rng(5)
    n = round(SECONDS * FS)
    mix = 1e-6 * (np.eye(len(NAMES)) * 3.0 + rng.normal(size=(len(NAMES),) * 2))
    time_s = np.arange(n) / FS
    size = np.clip(np.minimum(time_s - 2.0, 56.0 - time_s) / 5.0, 0.0, 1.0)
    breath = np.cos(2 * np.pi * 0.25 * time_s)
    deep = 0.03 * rng.normal(size=(len(NAMES), 1))
    pattern = 2e-4 * rng.normal(size=(len(NAMES), 1))
    current = size * np.cos(2 * np.pi * 10.0 * time_s + 0.4)
    info = mne.create_info(list(NAMES), FS, "eeg", verbose="ERROR")
    for name, artefact in (("rest", 0.0), ("stim", pattern * (1.0 + deep * breath) * current)):
        data = mix @ rng.normal(size=(len(NAMES), n)) + artefact
        raw = mne.io.RawArray(data, info, verbose="ERROR")
        raw.save(place / f"{name}_raw.fif", verbose="ERROR")
    fine_s = np.arange(round(SECONDS * 1000.0)) / 1000.0
    flow = np.clip(np.minimum(fine_s - 2.0, 56.0 - fine_s) / 5.0, 0.0, 1.0)
    flow = flow * np.cos(2 * np.pi * 10.0 * fine_s)
    rows = "\n".join(f"{one:.4f}\t{-one:.4f}" for one in flow)
    (place / "x_stim.tsv.gz").write_bytes(gzip.compress(rows.encode()))
    described = {"Columns": ["Oz", "Cz"], "SamplingFrequency": 1000.0, "StartTime": 0.0}
    (place / "x_stim.json").write_text(json.dumps(described))
    return place


def test_a_recording_is_cleaned_and_written_with_what_is_known_of_it(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
):
    out, figure = tmp_path / "clean.vhdr", tmp_path / "clean.png"
    code, told, _ = tacs(
        capsys, "clean", folder / "stim_raw.fif", "--rest", folder / "rest_raw.fif",
        "--stim-hz", 10, "--current", folder / "x_stim.tsv.gz", "--out", out, "--figure", figure,
    )  # fmt: skip
    assert (code, told["status"], told["method"]) == (0, "cleaned", "ged")
    assert told["plateau_s"] == pytest.approx([8.0, 50.0], abs=1.0)
    assert "recorded current" in told["plateau_found"]
    assert told["path"] == str(out)
    assert len(told["rest_sha256"]) == 64
    assert figure.stat().st_size > 10_000
    written = mne.io.read_raw_brainvision(out, verbose="ERROR")
    assert written.ch_names == list(NAMES)
    assert written.times[-1] == pytest.approx(told["plateau_s"][1] - told["plateau_s"][0], abs=0.1)
    assert json.loads(out.with_suffix(".json").read_text())["status"] == "cleaned"


def test_what_keeps_a_residue_is_not_written_unless_asked(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
):
    words = (
        "clean", folder / "stim_raw.fif", "--rest", folder / "rest_raw.fif", "--stim-hz", 10,
        "--plateau", 8, 50, "--method", "template", "--out", tmp_path / "clean.fif",
    )  # fmt: skip
    code, told, _ = tacs(capsys, *words)
    assert (code, told["status"], told["path"]) == (3, "residue", None)
    assert told["reasons"]
    assert not (tmp_path / "clean.fif").exists()
    code, told, _ = tacs(capsys, *words, "--keep-residue")
    assert code == 3
    assert Path(told["path"]).exists()
    assert json.loads((tmp_path / "clean.json").read_text())["status"] == "residue"


def test_prose_names_everything_that_an_honest_reader_needs(
    capsys: pytest.CaptureFixture[str], folder: Path
):
    code = call(
        [
            *("clean", str(folder / "stim_raw.fif"), "--rest", str(folder / "rest_raw.fif")),
            *("--stim-hz", "10"),
        ]
    )
    out = capsys.readouterr().out
    assert code == 0
    for said in (
        "removed: ",
        "dB over rest",
        "left at 10.00 Hz over rest: line",
        "phase locking to the stimulator",
        "injection test: +0 dB came back",
        "clipped samples",
        "not identifiable at 10.00 Hz",
        "instead: the recording after the current, ",
    ):
        assert said in out


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"--method": "magic"}, "give one of ged"),
        ({"--stim-hz": 12}, "lies at 10.00 Hz"),
        ({"--rest": "gone.fif"}, "does not exist"),
        ({"--out": "x.edf"}, "name it so"),
        ({"--current": "gone_stim.tsv.gz"}, "sidecar cannot be read"),
        ({"--carrier-hz": 12}, "above twice the envelope"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str], folder: Path, changed: dict[str, object], said: str
):
    options = {"--rest": folder / "rest_raw.fif", "--stim-hz": 10, **changed}
    words = [word for pair in options.items() for word in pair]
    code, told, err = tacs(capsys, "clean", folder / "stim_raw.fif", *words)
    assert code == told["exit_code"] == 2
    assert said in told["error"]
    assert err.count("\n") == 1


def test_too_short_a_recording_has_no_answer(capsys: pytest.CaptureFixture[str], folder: Path):
    code, told, _ = tacs(
        capsys, "clean", folder / "stim_raw.fif", "--rest", folder / "rest_raw.fif",
        "--stim-hz", 10, "--plateau", 10, 20,
    )  # fmt: skip
    assert code == told["exit_code"] == 3
    assert "20 s are needed" in told["error"]
