"""Choosing a recording of a BIDS data set by its entities."""

from __future__ import annotations

from pathlib import Path

import mne
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import AnalysisError, RecordingError, load_recording, read_raw
from analysis.bids_select import ENTITIES, parse_entities, select_recording
from tests.analysis.simulate import make_eeg
from tests.data import recording

LABEL = st.text("abcXYZ0123456789", min_size=1, max_size=8)


@given(st.dictionaries(st.sampled_from(ENTITIES), LABEL, min_size=1))
def test_entities_round_trip(entities: dict[str, str]) -> None:
    assert parse_entities("_".join(f"{k}-{v}" for k, v in entities.items())) == entities


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("no entities", "sub-01")),
        ("sub-", ("'sub-'", "key-label")),
        ("01", ("'01'", "key-label")),
        ("sub-01_rest", ("'rest'",)),
        ("sub-01_ses-a/b", ("'ses-a/b'",)),
        ("subject-01", ("'subject'", "known: sub, ses, task")),
        ("sub-01_sub-02", ("'sub' occurs twice",)),
    ],
)
def test_entities_that_are_none(text: str, words: tuple[str, ...]) -> None:
    with pytest.raises(AnalysisError) as caught:
        parse_entities(text)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def touch(root: Path, name: str, suffix: str = ".edf", below: str = "") -> Path:
    """An empty recording of a data set."""
    parts = parse_entities(name)
    folder = root / below / f"sub-{parts['sub']}"
    if "ses" in parts:
        folder /= f"ses-{parts['ses']}"
    path = folder / "eeg" / f"{name}_eeg{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_selection(tmp_path: Path) -> None:
    rest = touch(tmp_path, "sub-01_ses-a_task-rest")
    second = touch(tmp_path, "sub-01_ses-a_task-rest_run-02", ".vhdr")
    touch(tmp_path, "sub-02_task-rest_acq-pre_recording-x", ".set")
    touch(tmp_path, "sub-01_ses-a_task-rest", below="derivatives/clean")
    touch(tmp_path, "sub-03_task-rest", below="sourcedata")
    chosen = select_recording(tmp_path, {"sub": "01", "run": "2"})
    assert chosen == second
    assert select_recording(tmp_path, parse_entities("sub-01_ses-a_task-rest")) == rest
    assert select_recording(tmp_path / "sub-02").name.startswith("sub-02")
    assert select_recording(tmp_path, {"acq": "pre"}).name.startswith("sub-02")
    with pytest.raises(RecordingError) as caught:
        select_recording(tmp_path, {"sub": "01"})
    text = str(caught.value)
    assert "2 EEG recordings" in text
    assert "sub-01_ses-a_task-rest, sub-01_ses-a_task-rest_run-02" in text
    assert "--bids sub-01_ses-a_task-rest" in text
    with pytest.raises(RecordingError) as caught:
        select_recording(tmp_path, {"sub": "09"})
    assert "no EEG recording sub-09" in str(caught.value)
    assert "--bids" in str(caught.value)
    with pytest.raises(AnalysisError, match="'subject' is no BIDS entity"):
        select_recording(tmp_path, {"subject": "01"})


def test_six_are_listed_and_parts_of_a_split_file_count_once(tmp_path: Path) -> None:
    for i in range(1, 10):
        touch(tmp_path, f"sub-0{i}_task-rest_split-01", ".fif")
        touch(tmp_path, f"sub-0{i}_task-rest_split-02", ".fif")
    with pytest.raises(RecordingError) as caught:
        select_recording(tmp_path)
    text = str(caught.value)
    assert "9 EEG recordings" in text
    assert "and 3 more" in text
    assert "sub-06" in text
    assert "sub-07" not in text
    assert len(text) - len(str(tmp_path)) < 400
    assert select_recording(tmp_path, {"sub": "07"}).name == "sub-07_task-rest_split-01_eeg.fif"


def test_one_recording_in_two_formats(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01_task-rest")
    touch(tmp_path, "sub-01_task-rest", ".vhdr")
    with pytest.raises(RecordingError, match="give one of the files"):
        select_recording(tmp_path, {"sub": "01", "task": "rest"})


def test_loading_by_entities_and_the_sidecar_rate(tmp_path: Path) -> None:
    for task, names in (("rest", ("O1", "O2")), ("eyes", ("Fz", "Cz"))):
        path = touch(tmp_path, f"sub-01_task-{task}")
        raw = make_eeg(1, duration_s=4.0, ch_names=names).raw()
        mne.export.export_raw(path, raw, overwrite=True, verbose="ERROR")
        path.with_suffix(".json").write_text('{"SamplingFrequency": 200}')
    got = load_recording(tmp_path, entities={"task": "eyes"})
    assert got.raw.ch_names == ["Fz", "Cz"]
    assert got.subject == "01"
    assert any("200 Hz" in text and "160 Hz" in text for text in got.warnings)
    assert read_raw(tmp_path, entities=parse_entities("task-rest")).ch_names == ["O1", "O2"]


def test_real_data_set() -> None:
    folder = recording("tiny_bids")
    got = load_recording(folder, entities={"sub": "01", "ses": "eeg", "task": "rest"})
    assert got.subject == "01"
    with pytest.raises(RecordingError, match="--bids sub-01_ses-eeg_task-rest"):
        load_recording(folder, entities={"sub": "02"})


def test_entities_need_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("O1,O2\n1,2\n1,2\n")
    with pytest.raises(AnalysisError, match="--bids chooses"):
        load_recording(path, entities={"sub": "01"})
