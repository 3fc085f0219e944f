"""Recording while it streams: what is on the disk at any moment becomes a recording."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import mne
import numpy as np
import pytest

from analysis.io import load_recording
from analysis.marks import spans_of
from tacs.eeg_record import StreamRecorder, finish_stream, unfinished_streams
from tacs.errors import InputError, RecordError

NAMES = ("Oz", "Cz", "Fz")
RATE_HZ = 250.0
BEGAN = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LABELS = {"subject": "01", "session": "1", "when": "pre", "task": "rest-closed"}


def signal(n: int) -> np.ndarray:
    return np.random.default_rng(4).normal(0.0, 20.0, (3, n))


def block(signal_uv: np.ndarray, missing: int = 0, restarted: bool = False) -> SimpleNamespace:
    class Sized(SimpleNamespace):
        def __len__(self) -> int:
            return self.signal_uv.shape[1]

    return Sized(signal_uv=signal_uv, missing=missing, restarted=restarted, times_s=None)


def begun(root: Path) -> StreamRecorder:
    recorder = StreamRecorder(root, **LABELS)
    recorder.begin(SimpleNamespace(source="made", channels=NAMES, sfreq_hz=RATE_HZ), BEGAN)
    return recorder


def played(path: Path) -> mne.io.BaseRaw:
    return mne.io.read_raw(path, preload=True, verbose="ERROR")


def test_a_recording_with_a_gap(tmp_path: Path) -> None:
    uv, recorder = signal(2000), begun(tmp_path)
    recorder.write(block(uv[:, :700]))
    recorder.write(block(uv[:, 725:], missing=25))
    done = recorder.finish()
    assert done is not None
    assert (done.subject, done.session, done.when, done.task) == ("01", "1", "pre", "restclosed")
    raw = played(done.path)
    kept = np.r_[0:700, 725:2000]
    assert raw.ch_names == list(NAMES)
    assert raw.get_data()[:, kept] * 1e6 == pytest.approx(uv[:, kept], abs=1e-4)
    assert (
        "2026-05-04T12:00:00" in next((tmp_path / "sub-01/ses-1").glob("*_scans.tsv")).read_text()
    )
    skips = [a for a in raw.annotations if "BAD_ACQ_SKIP" in a["description"]]
    assert [(a["onset"], a["duration"]) for a in skips] == [(pytest.approx(2.8), 0.1)]
    assert unfinished_streams(tmp_path) == []


def test_marks_are_on_the_recording_s_time_and_survive_its_format(tmp_path: Path) -> None:
    uv, recorder = signal(2000), begun(tmp_path)
    recorder.mark("at rest", 0.0, 2.0)
    recorder.write(block(uv[:, :700]))
    recorder.mark("current on", 3.0)
    recorder.write(block(uv[:, 725:1500], missing=25))
    recorder.mark("current on", 3.0, 4.5)
    recorder.mark("current on", 5.0)
    recorder.write(block(uv[:, 1500:]))
    recorder.mark("current on", 9.0, 9.5)
    done = recorder.finish()
    assert done is not None
    raw = load_recording(done.path).raw
    assert spans_of(raw, "current on") == [
        (pytest.approx(3.0), pytest.approx(4.5)),
        (pytest.approx(5.0), pytest.approx(8.0)),
    ]
    assert spans_of(raw, "At Rest") == [(pytest.approx(0.0), pytest.approx(2.0))]
    later = load_recording(done.path, tmin_s=2.5).raw
    assert spans_of(later, "current on")[0][0] == pytest.approx(0.5)
    table = next((tmp_path / "sub-01/ses-1/eeg").glob("*_events.tsv")).read_text()
    assert "current on" in table


def test_a_recording_during_stimulation_says_so(tmp_path: Path) -> None:
    recorder = StreamRecorder(tmp_path, **{**LABELS, "when": "during"})
    recorder.begin(SimpleNamespace(source="made", channels=NAMES, sfreq_hz=RATE_HZ), BEGAN)
    recorder.write(block(signal(500)))
    done = recorder.finish()
    assert done is not None
    told = json.loads(done.path.with_suffix(".json").read_text())
    assert "no record of this session" in told["ElectricalStimulationParameters"]


def test_what_a_crash_leaves_is_recovered_to_the_last_whole_sample(tmp_path: Path) -> None:
    uv, recorder = signal(2000), begun(tmp_path)
    recorder.write(block(uv[:, :1000]))
    recorder.write(block(uv[:, 1010:1800], missing=10))
    # Here the process is killed: half a sample and half a note are on the disk.
    (path,) = unfinished_streams(tmp_path)
    with path.with_suffix(".f32").open("ab") as file:
        file.write(b"\0\0\0\0\0\0")
    with path.open("ab") as file:
        file.write(b'{"at": 17')
    with pytest.raises(InputError, match="still running, is here; finish it with tacs watch"):
        StreamRecorder(tmp_path, **LABELS)
    with pytest.raises(InputError, match="still being recorded"):
        finish_stream(path)
    recorder.close()  # as the system does when the process is gone
    raw = played(finish_stream(path).path)
    assert raw.n_times == 1800
    kept = np.r_[0:1000, 1010:1800]
    assert raw.get_data()[:, kept] * 1e6 == pytest.approx(uv[:, kept], abs=1e-4)
    assert not path.exists()
    assert not path.with_suffix(".f32").exists()
    with pytest.raises(InputError, match="has a pre recording of task restclosed already"):
        StreamRecorder(tmp_path, **LABELS)


def test_a_gap_after_which_nothing_came_is_none(tmp_path: Path) -> None:
    recorder = begun(tmp_path)
    recorder.write(block(signal(500)))
    recorder.write(block(np.empty((3, 0)), missing=30))
    done = recorder.finish()
    assert done is not None
    assert played(done.path).n_times == 500


def test_nothing_is_left_of_nothing(tmp_path: Path) -> None:
    assert begun(tmp_path).finish() is None
    assert unfinished_streams(tmp_path) == []


def test_a_recording_that_cannot_be_made_leaves_the_stream(tmp_path: Path) -> None:
    recorder = begun(tmp_path)
    recorder.write(block(signal(500)))
    (tmp_path / "sub-01" / "ses-1").mkdir(parents=True)
    (tmp_path / "sub-01" / "ses-1" / "eeg").write_text("in the way")
    with pytest.raises(InputError):
        recorder.finish()
    (path,) = unfinished_streams(tmp_path)
    (tmp_path / "sub-01" / "ses-1" / "eeg").unlink()
    assert played(finish_stream(path).path).n_times == 500


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    recorder = begun(tmp_path)
    recorder._data.close()
    recorder._data = open("/dev/full", "wb", buffering=0)
    with pytest.raises(RecordError, match=r"No space left on device.*what came before is safe"):
        recorder.write(block(signal(10)))
    recorder.close()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"when": "later"}, "must be pre, post or during"),
        ({"subject": "a/b"}, "subject 'a/b'"),
        ({"task": "../x"}, "task"),
    ],
)
def test_labels_that_are_none(labels: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        StreamRecorder(tmp_path, **{**LABELS, **labels})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("head", ["", "{}\n", '{"format": "x"}\n', "[1]\n", "no json\n"])
def test_what_is_no_stream(head: str, tmp_path: Path) -> None:
    path = tmp_path / "a_stream.jsonl"
    path.write_text(head)
    with pytest.raises(InputError, match="is no EEG stream that tacs watch wrote"):
        finish_stream(path)


def test_a_stream_goes_only_where_its_labels_belong(tmp_path: Path) -> None:
    recorder = begun(tmp_path)
    recorder.write(block(signal(500)))
    recorder.close()
    (path,) = unfinished_streams(tmp_path)
    lines = path.read_text().splitlines()
    path.write_text(json.dumps({**json.loads(lines[0]), "subject": "02"}) + "\n")
    with pytest.raises(InputError, match="does not lie where its labels belong"):
        finish_stream(path)
