"""The data set: recordings in whole or not at all, no names in it, every path where it belongs."""

from __future__ import annotations

import csv
import errno
import gzip
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import mne
import mne_bids
import numpy as np
import pytest

from tacs.bids import (
    Imported,
    SessionPaths,
    ensure_dataset,
    find_recordings,
    find_records,
    import_recording,
    left_trace,
    store_trace,
)
from tacs.dataset import check_label, task_label
from tacs.driver import TraceInfo
from tacs.errors import InputError, RecordError
from tacs.record import RecordWriter
from tacs.rig import Rig, load_rig
from tests.analysis.reading import gap_onsets
from tests.analysis.test_readers_binary import edf_plus, egi
from tests.analysis.test_readers_easy import easy, nanovolts
from tests.analysis.test_readers_openbci import cyton, gui4
from tests.analysis.test_readers_xdf import eeg_stream, marker_stream, ramp, write
from tests.data import recording
from tests.tacs.made import protocol

SFREQ_HZ, SECONDS = 160.0, 40
CHANNELS = ["Fp1", "F3", "Cz", "P3", "Pz", "P4", "O1", "Oz", "O2", "HEOG"]


def signals(seed: int = 1) -> np.ndarray:
    """Pink-ish noise with alpha and 50 Hz mains, in volt."""
    rng = np.random.default_rng(seed)
    times_s = np.arange(int(SFREQ_HZ * SECONDS)) / SFREQ_HZ
    noise = np.cumsum(rng.standard_normal((len(CHANNELS), len(times_s))), axis=1)
    noise -= noise.mean(axis=1, keepdims=True)
    noise = 2e-6 * rng.standard_normal(noise.shape) + 1e-7 * noise
    alpha = 8e-6 * np.sin(2 * np.pi * 10.0 * times_s)
    mains = 3e-6 * np.sin(2 * np.pi * 50.0 * times_s)
    return noise + alpha + mains


def made_raw(seed: int = 1) -> Any:
    """Resting EEG of a person whose name must not get out."""
    raw = mne.io.RawArray(
        signals(seed), mne.create_info(CHANNELS, SFREQ_HZ, "eeg"), verbose="ERROR"
    )
    raw.set_meas_date(1_700_000_000)
    raw.info["subject_info"] = {
        "his_id": "H4711",
        "first_name": "Canary",
        "last_name": "Nightingale",
        "birthday": date(1980, 2, 3),
        "sex": 2,
    }
    raw.set_annotations(mne.Annotations([5.0], [0.0], ["eyes closed"], raw.info["meas_date"]))
    return raw


def edf(folder: Path, seed: int = 1, name: str = "rest.edf") -> Path:
    path = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    made_raw(seed).export(path, physical_range=(-500, 500), overwrite=True, verbose="ERROR")
    return path


def fif(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    made_raw().save(folder / "rest_raw.fif", verbose="ERROR")
    return folder / "rest_raw.fif"


def brainvision(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    made_raw().export(folder / "rest.vhdr", verbose="ERROR")
    return folder / "rest.vhdr"


MAKERS: dict[str, Callable[[Path], Path]] = {"edf": edf, "fif": fif, "brainvision": brainvision}


def import_(path: Path, dataset: Path, when: str = "pre", **changes: Any) -> Imported:
    options = {"subject": "01", "session": "01", **changes}
    return import_recording(path, dataset, when=when, **options)


def digest(folder: Path) -> dict[str, str]:
    """Hash of every file below a folder."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def validate(dataset: Path) -> list[str]:
    """Errors of the official validator; the test skips where it is not installed."""
    tool = Path(sys.executable).with_name("bids-validator-deno")
    found = str(tool) if tool.exists() else shutil.which("bids-validator-deno")
    if found is None:
        pytest.skip("bids-validator-deno is not installed")
    command = [found, "--format", "json", str(dataset)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert issues, "the validator saw nothing at all"
    return [
        f"{issue['code']} {issue.get('subCode', '')} {issue['location']}"
        for issue in issues
        if issue["severity"] == "error"
    ]


# -- import -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MAKERS)
def test_a_recording_arrives_whole(tmp_path: Path, kind: str) -> None:
    source = MAKERS[kind](tmp_path / "clinic")
    before = digest(source.parent)
    done = import_(source, tmp_path / "ds")
    assert digest(source.parent) == before
    name = "sub-01_ses-01_task-restclosed_acq-pre_eeg" + (".edf" if kind == "edf" else ".vhdr")
    assert done.path == tmp_path / "ds" / "sub-01" / "ses-01" / "eeg" / name
    want = mne.io.read_raw(source, preload=True, verbose="ERROR")
    have = mne.io.read_raw(done.path, preload=True, verbose="ERROR")
    assert have.ch_names == want.ch_names
    assert have.info["sfreq"] == want.info["sfreq"]
    assert np.allclose(have.get_data(), want.get_data(), rtol=0, atol=1e-11)
    again = mne_bids.read_raw_bids(mne_bids.get_bids_path_from_fname(done.path), verbose="ERROR")
    types = dict(zip(again.ch_names, again.get_channel_types(), strict=True))
    assert types["HEOG"] == "eog"
    assert types["Oz"] == "eeg"
    assert list(again.annotations.description) == list(want.annotations.description)
    assert again.annotations.description[0].endswith("eyes closed")


def test_what_lies_beside_a_recording(tmp_path: Path) -> None:
    done = import_(edf(tmp_path), tmp_path / "ds")
    stem = "sub-01_ses-01_task-restclosed_acq-pre"
    assert sorted(p.name for p in done.path.parent.iterdir()) == [
        f"{stem}_{part}"
        for part in ("channels.tsv", "eeg.edf", "eeg.json", "events.json", "events.tsv")
    ]
    sidecar = json.loads(done.path.with_suffix(".json").read_text())
    assert sidecar["PowerLineFrequency"] == 50.0
    assert sidecar["ElectricalStimulation"] is False
    assert sidecar["TaskName"] == "restclosed"
    assert sidecar["EOGChannelCount"] == 1
    quality = json.loads(
        SessionPaths.of(tmp_path / "ds", "01", "01").quality("restclosed", "pre").read_text()
    )
    assert quality == done.quality
    assert quality["recording"] == done.path.name
    assert (
        quality["source_sha256"] == hashlib.sha256((tmp_path / "rest.edf").read_bytes()).hexdigest()
    )
    scans = rows(tmp_path / "ds/sub-01/ses-01/sub-01_ses-01_scans.tsv")
    assert scans == [
        {"filename": f"eeg/{done.path.name}", "acq_time": "2023-11-14T22:13:20.000000Z"}
    ]
    assert done.to_dict()["path"] == str(done.path)
    assert json.loads(json.dumps(done.to_dict(), allow_nan=False))["warnings"] == list(
        done.warnings
    )


def gapped_xdf(folder: Path) -> Path:
    stamps, values = ramp()
    keep = np.ones(len(stamps), dtype=bool)
    keep[1000:1100] = False
    marks = marker_stream(2, [(1002.0, "eyes closed")])
    return write(folder / "a.xdf", eeg_stream(1, stamps[keep], values[keep]), marks)


def gapped_openbci(folder: Path) -> Path:
    return gui4(folder / "a.txt", np.delete(cyton(2000), np.s_[700:720]), 250.0, 8)


def gapped_easy(folder: Path) -> Path:
    stamps = 1724760000000 + 2.0 * np.arange(2000)
    stamps[1200:] += 60.0
    return easy(folder / "a.easy", nanovolts(), stamps=stamps)


def paused_edf(folder: Path) -> Path:
    return edf_plus(folder / "a.edf", [0, 1, 2, 10, 11, 12], [(10.25, "blink")])


GAPPED = {
    "xdf": gapped_xdf,
    "openbci": gapped_openbci,
    "easy": gapped_easy,
    "edf": paused_edf,
}


@pytest.mark.parametrize("kind", GAPPED)
def test_a_gap_stays_a_gap(tmp_path: Path, kind: str) -> None:
    from analysis.io import load_recording
    from analysis.quality import annotated_mask

    (tmp_path / "clinic").mkdir()
    source = GAPPED[kind](tmp_path / "clinic")
    want = load_recording(source)
    (gap_s,) = gap_onsets(want.raw)
    done = import_(source, tmp_path / "ds")
    have = load_recording(done.path)
    assert np.allclose(have.raw.get_data(), want.raw.get_data(), rtol=1e-6, atol=1e-12)
    assert have.raw.get_channel_types() == want.raw.get_channel_types()
    assert np.array_equal(annotated_mask(have.raw), annotated_mask(want.raw))
    events = rows(done.path.with_name(done.path.stem.removesuffix("_eeg") + "_events.tsv"))
    told = {row["trial_type"]: float(row["onset"]) for row in events}
    marks = want.raw.annotations
    offset_s = want.raw.first_time if marks.orig_time is not None else 0.0
    expected = dict(zip(marks.description, marks.onset - offset_s, strict=True))
    assert told == pytest.approx(expected, abs=1e-6)
    assert told["bad_gap"] == pytest.approx(gap_s)
    sidecar = json.loads(done.path.with_suffix(".json").read_text())
    assert sidecar["RecordingType"] == "discontinuous"
    assert sidecar.get("Manufacturer") in {None, "n/a"}
    assert validate(tmp_path / "ds") == []


def test_what_was_marked_bad_stays_bad(tmp_path: Path) -> None:
    from analysis.io import load_recording
    from analysis.quality import annotated_mask

    raw = made_raw().crop(3.0, None)  # a recording whose first sample is not number 0
    when = raw.info["meas_date"]
    raw.set_annotations(
        mne.Annotations([8.0, 20.0, 30.0], [2.0, 0.5, 1.0], ["BAD_a, b", "edge", "look"], when)
    )
    raw.save(tmp_path / "rest_raw.fif", verbose="ERROR")
    done = import_(tmp_path / "rest_raw.fif", tmp_path / "ds")
    mask = annotated_mask(load_recording(done.path).raw)
    assert np.flatnonzero(np.diff(mask.astype(int))).tolist() == [
        int(SFREQ_HZ * second) - 1 for second in (5.0, 7.0, 17.0, 17.5)
    ]
    assert "Bad Interval,BAD_a\\1 b,801,320,0" in done.path.with_suffix(".vmrk").read_text()


def test_a_format_that_mne_needs_telling(tmp_path: Path) -> None:
    done = import_(egi(tmp_path / "a.raw"), tmp_path / "ds")
    raw = mne.io.read_raw(done.path, preload=True, verbose="ERROR")
    assert raw.ch_names[:3] == ["E1", "E2", "E3"]
    assert raw.get_data()[2, 7] == pytest.approx(2007e-6)


def test_samples_without_a_number_are_kept_as_such(tmp_path: Path) -> None:
    raw = made_raw()
    raw._data[3, 100:200] = np.nan
    raw.save(tmp_path / "rest_raw.fif", verbose="ERROR")
    done = import_(tmp_path / "rest_raw.fif", tmp_path / "ds")
    have = mne.io.read_raw(done.path, preload=True, verbose="ERROR").get_data()
    assert np.flatnonzero(np.isnan(have[3])).tolist() == list(range(100, 200))


@pytest.mark.parametrize("kind", MAKERS)
def test_no_name_gets_into_the_data_set(tmp_path: Path, kind: str) -> None:
    source = MAKERS[kind](tmp_path / "clinic")
    if kind != "brainvision":
        assert b"Nightingale" in source.read_bytes()
    import_(source, tmp_path / "ds")
    for path in (tmp_path / "ds").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        for secret in (b"Canary", b"Nightingale", b"H4711", b"1980", b"03-FEB"):
            assert secret not in content, (path, secret)


def test_the_date_of_an_edf_recording_stays(tmp_path: Path) -> None:
    source = edf(tmp_path)
    done = import_(source, tmp_path / "ds")
    assert done.path.read_bytes()[256:] == source.read_bytes()[256:]
    header = done.path.read_bytes()[:256]
    assert header[8:88] == b"X X X X".ljust(80)
    assert header[88:168] == b"Startdate 14-NOV-2023 X X X".ljust(80)
    assert header[168:] == source.read_bytes()[168:256]
    assert mne.io.read_raw(done.path, verbose="ERROR").info["meas_date"] is not None


def test_age_and_sex_are_kept_without_the_birth_date(tmp_path: Path) -> None:
    import_(edf(tmp_path), tmp_path / "ds")
    (person,) = rows(tmp_path / "ds" / "participants.tsv")
    assert (person["participant_id"], person["age"], person["sex"]) == ("sub-01", "43", "F")


def test_two_people_two_sessions_before_and_after(tmp_path: Path) -> None:
    dataset = tmp_path / "ds"
    one, two = edf(tmp_path / "a", 1), edf(tmp_path / "b", 2)
    for subject, session, when, path in (
        ("01", "01", "pre", one),
        ("01", "01", "post", two),
        ("02", "01", "pre", one),
        ("01", "02", "pre", fif(tmp_path / "c")),
    ):
        import_(path, dataset, when, subject=subject, session=session)
    assert [r["participant_id"] for r in rows(dataset / "participants.tsv")] == ["sub-01", "sub-02"]
    assert len(rows(dataset / "sub-01/ses-01/sub-01_ses-01_scans.tsv")) == 2
    found = find_recordings(dataset, "01")
    assert [(r.session, r.when, r.path.suffix) for r in found] == [
        ("01", "pre", ".edf"),
        ("01", "post", ".edf"),
        ("02", "pre", ".vhdr"),
    ]
    assert [r.when for r in find_recordings(dataset, "01", "01")] == ["pre", "post"]
    assert find_recordings(dataset, "03") == []
    assert {r.task for r in found} == {"restclosed"}
    assert {p.name for p in (dataset / "sourcedata" / "tacs").iterdir()} <= {"tables.lock"}


def test_a_person_known_already_keeps_what_is_written(tmp_path: Path) -> None:
    dataset = tmp_path / "ds"
    import_(edf(tmp_path), dataset)
    table = dataset / "participants.tsv"
    table.write_text("participant_id\tage\tgroup\nsub-01\t44\tA\nsub-09\t50\tB\n")
    import_(edf(tmp_path), dataset, "post")
    people = {r["participant_id"]: r for r in rows(table)}
    assert (people["sub-01"]["age"], people["sub-01"]["group"]) == ("44", "A")
    assert people["sub-01"]["sex"] == "F"
    assert people["sub-09"]["sex"] == "n/a"


def test_the_same_recording_twice_is_refused(tmp_path: Path) -> None:
    dataset = tmp_path / "ds"
    import_(edf(tmp_path), dataset)
    before = digest(dataset)
    with pytest.raises(InputError, match="has a pre recording of task restclosed already"):
        import_(edf(tmp_path), dataset)
    assert digest(dataset) == before
    import_(edf(tmp_path), dataset, task="rest-open")


def test_overwriting_replaces_all_of_it(tmp_path: Path) -> None:
    dataset = tmp_path / "ds"
    first = import_(edf(tmp_path), dataset)
    second = import_(fif(tmp_path / "b"), dataset, overwrite=True)
    assert not first.path.exists()
    assert [r.path for r in find_recordings(dataset, "01")] == [second.path]
    assert [r["filename"] for r in rows(dataset / "sub-01/ses-01/sub-01_ses-01_scans.tsv")] == [
        f"eeg/{second.path.name}"
    ]
    quality = SessionPaths.of(dataset, "01", "01").quality("restclosed", "pre")
    assert json.loads(quality.read_text())["recording"] == second.path.name


def test_a_corrected_rate_is_written(tmp_path: Path) -> None:
    done = import_(edf(tmp_path), tmp_path / "ds", sfreq_hz=200.0)
    assert done.path.suffix == ".vhdr"
    raw = mne.io.read_raw(done.path, verbose="ERROR")
    assert raw.info["sfreq"] == 200.0
    assert raw.n_times == SFREQ_HZ * SECONDS
    assert any("sampling rate set to 200 Hz" in warning for warning in done.warnings)


def test_a_folder_name_that_mne_bids_would_misread(tmp_path: Path) -> None:
    done = import_(edf(tmp_path / "study.eeg" / "data.ds"), tmp_path / "ds")
    assert done.path.suffix == ".vhdr"


def test_upper_case_extensions(tmp_path: Path) -> None:
    edf(tmp_path).rename(tmp_path / "REST.EDF")
    assert import_(tmp_path / "REST.EDF", tmp_path / "ds").path.suffix == ".edf"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"subject": "../../etc"}, "subject '../../etc': must be 1 to 32 letters"),
        ({"subject": "sub-01"}, "subject 'sub-01'"),
        ({"subject": ""}, "subject ''"),
        ({"subject": "01\n"}, "subject"),
        ({"subject": "é1"}, "subject"),
        ({"subject": "x" * 33}, "subject"),
        ({"session": "a/b"}, "session 'a/b'"),
        ({"session": "\0"}, "session"),
        ({"task": "../x"}, "task '../x'"),
        ({"task": "---"}, "task ''"),
        ({"when": "between"}, "when 'between': must be pre, post or during"),
    ],
)
def test_labels_that_are_none(tmp_path: Path, changes: dict[str, str], expected: str) -> None:
    source = edf(tmp_path)
    with pytest.raises(InputError) as caught:
        import_(source, tmp_path / "ds", **changes)
    assert expected in str(caught.value)
    assert not (tmp_path / "ds").exists()


def test_labels_that_are() -> None:
    assert task_label("rest-closed") == task_label("rest_closed") == "restclosed"
    assert check_label("A+1", "subject") == "A+1"


def test_a_label_in_another_spelling_is_refused(tmp_path: Path) -> None:
    dataset = tmp_path / "ds"
    import_(edf(tmp_path), dataset, subject="Ab", session="S1")
    with pytest.raises(InputError, match="differs by upper and lower case only"):
        import_(edf(tmp_path), dataset, subject="aB", session="S2")
    with pytest.raises(InputError, match="session 's1'"):
        import_(edf(tmp_path), dataset, "post", subject="Ab", session="s1")


def test_a_recording_that_cannot_be_read_makes_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "bad.edf").write_bytes(b"0       " + b"x" * 100)
    for name in ("bad.edf", "nowhere.edf"):
        with pytest.raises(InputError, match=name) as caught:
            import_(tmp_path / name, tmp_path / "ds")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "ds").exists()


def test_a_recording_of_the_data_set_is_not_imported_into_itself(tmp_path: Path) -> None:
    done = import_(edf(tmp_path), tmp_path / "ds")
    before = digest(tmp_path / "ds")
    with pytest.raises(InputError, match="is in the data set already"):
        import_(done.path, tmp_path / "ds", overwrite=True)
    assert digest(tmp_path / "ds") == before


def failing_after(n: int, real: Callable[..., Any]) -> Callable[..., Any]:
    """Something that works n times and finds the disk full after that."""
    count = [0]

    def call(*args: Any, **kwargs: Any) -> Any:
        count[0] += 1
        if count[0] > n:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **kwargs)

    return call


@pytest.mark.parametrize(
    ("overwrite", "n_moves"),
    [*((False, n) for n in (0, 1, 2, 4, 7)), *((True, n) for n in (0, 1, 5, 7, 9, 13))],
)
def test_a_disk_that_fills_up_leaves_the_data_set_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_moves: int, overwrite: bool
) -> None:
    dataset = tmp_path / "ds"
    import_(edf(tmp_path, 1), dataset, "pre" if overwrite else "post")
    before = digest(dataset)
    source = edf(tmp_path, 2)
    with monkeypatch.context() as patched:
        real, count = os.replace, [0]

        def replace(*args: Any) -> Any:
            count[0] += 1
            if count[0] == n_moves + 1:  # the way back needs no space
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*args)

        patched.setattr(os, "replace", replace)
        with pytest.raises(InputError, match="No space left on device") as caught:
            import_(source, dataset, overwrite=overwrite)
    assert count[0] > n_moves
    assert "\n" not in str(caught.value)
    assert digest(dataset) == before
    assert {p.name for p in (dataset / "sourcedata" / "tacs").iterdir()} <= {"tables.lock"}
    import_(source, dataset, overwrite=overwrite)


def test_a_writer_that_finds_the_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mne_bids, "write_raw_bids", failing_after(0, mne_bids.write_raw_bids))
    with pytest.raises(InputError, match="No space left on device"):
        import_(edf(tmp_path), tmp_path / "ds")
    assert find_recordings(tmp_path / "ds", "01") == []


def test_what_the_writer_refuses_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("no\nsuch   thing")

    monkeypatch.setattr(mne_bids, "write_raw_bids", refuse)
    with pytest.raises(InputError, match=r"cannot be written as BIDS \(no such thing\)"):
        import_(edf(tmp_path), tmp_path / "ds")


def test_samples_that_were_not_written_as_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = mne_bids.write_raw_bids

    def scaled(raw: Any, *args: Any, **kwargs: Any) -> Any:
        louder = raw.copy()
        louder._data = louder._data * 1.001
        return real(louder, *args, **kwargs)

    monkeypatch.setattr(mne_bids, "write_raw_bids", scaled)
    with pytest.raises(InputError, match="was not written as it was read"):
        import_(fif(tmp_path), tmp_path / "ds")
    assert find_recordings(tmp_path / "ds", "01") == []


# -- the data set -------------------------------------------------------------------------------


def test_a_new_data_set(tmp_path: Path) -> None:
    root = ensure_dataset(tmp_path / "deep" / "ds")
    raw = json.loads((root / "dataset_description.json").read_text())
    assert raw["DatasetType"] == "raw"
    assert raw["GeneratedBy"][0]["Name"] == "tacs-suite"
    derived = json.loads((root / "derivatives/tacs/dataset_description.json").read_text())
    assert derived["DatasetType"] == "derivative"
    assert "Research use only" in (root / "README").read_text()
    before = digest(root)
    assert ensure_dataset(root) == root
    assert digest(root) == before


def test_a_data_set_of_somebody_else_is_joined(tmp_path: Path) -> None:
    description = {"Name": "Another", "BIDSVersion": "1.8.0"}
    (tmp_path / "dataset_description.json").write_text(json.dumps(description))
    (tmp_path / "README.md").write_text("another\n")
    ensure_dataset(tmp_path)
    import_(edf(tmp_path / "sourcedata"), tmp_path)
    assert json.loads((tmp_path / "dataset_description.json").read_text()) == description
    assert (tmp_path / "README.md").read_text() == "another\n"
    assert not (tmp_path / "README").exists()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("thesis.docx", "x", "is not empty and not a BIDS data set"),
        ("dataset_description.json", "{", "cannot be read as JSON"),
        ("dataset_description.json", "[]", "has no BIDSVersion"),
        ("dataset_description.json", "{}", "has no BIDSVersion"),
        (
            "dataset_description.json",
            '{"BIDSVersion": "1.9.0", "DatasetType": "derivative"}',
            "is a data set of type 'derivative'",
        ),
    ],
)
def test_a_folder_that_is_none(tmp_path: Path, name: str, content: str, expected: str) -> None:
    (tmp_path / name).write_text(content)
    for call in (ensure_dataset, find_records, lambda path: find_recordings(path, "01")):
        with pytest.raises(InputError, match=expected) as caught:
            call(tmp_path)
        assert "\n" not in str(caught.value)
    assert (tmp_path / name).read_text() == content


def test_a_file_and_a_place_below_a_file_are_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        ensure_dataset(tmp_path / "file")
    with pytest.raises(InputError, match=r"cannot be (used|written)"):
        ensure_dataset(tmp_path / "file" / "ds")
    with pytest.raises(InputError, match="no such data set"):
        find_records(tmp_path / "nowhere")


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(InputError, match="Permission denied"):
        ensure_dataset(tmp_path / "ds")
    with pytest.raises(InputError, match="Permission denied"):
        SessionPaths.of(tmp_path, "01", "01").claim()


# -- sessions -----------------------------------------------------------------------------------


def test_every_path_of_a_session(tmp_path: Path) -> None:
    paths = SessionPaths.of(tmp_path, "01", "A2")
    stem = "sub-01_ses-A2"
    found = {
        name: str(getattr(paths, name).relative_to(tmp_path))
        for name in (
            *("record", "protocol", "rig", "oscilloscope", "trace", "events", "sealed_trace"),
            *("peak", "outcome", "report"),
        )
    }
    source, eeg, derived = (
        f"{top}sub-01/ses-A2{end}/{stem}"
        for top, end in (("sourcedata/tacs/", ""), ("", "/eeg"), ("derivatives/tacs/", ""))
    )
    assert found == {
        "record": f"{source}_task-tacs_record.jsonl",
        "protocol": f"{source}_task-tacs_protocol.toml",
        "rig": f"{source}_task-tacs_rig.toml",
        "oscilloscope": f"{source}_task-tacs_oscilloscope.tsv.gz",
        "trace": f"{eeg}_task-tacs_recording-current_stim.tsv.gz",
        "events": f"{eeg}_task-tacs_events.tsv",
        "sealed_trace": f"{source}_task-tacs_oscilloscope.tsv.gz.sealed",
        "peak": f"{derived}_peak.json",
        "outcome": f"{derived}_outcome.json",
        "report": f"{derived}_report.html",
    }
    assert str(paths.quality("rest", "post").name) == f"{stem}_task-rest_acq-post_quality.json"


def session(tmp_path: Path, subject: str = "01", name: str = "01") -> SessionPaths:
    paths = SessionPaths.of(ensure_dataset(tmp_path / "ds"), subject, name)
    paths.claim()
    return paths


def test_a_session_is_claimed_once(tmp_path: Path) -> None:
    paths = session(tmp_path)
    paths.claim()
    with RecordWriter(paths.record) as record:
        record.append("session", 0.0, {}, sync=True)
    with pytest.raises(InputError, match="has a record already; give another --session"):
        paths.claim()
    session(tmp_path, "02", "a")
    with pytest.raises(InputError, match="differs by upper and lower case only"):
        session(tmp_path, "02", "A")


def test_copies_of_protocol_and_rig(tmp_path: Path) -> None:
    paths, rig = session(tmp_path), load_rig("emulated-synthpal")
    paths.keep_copies(protocol(), rig)
    assert type(protocol()).from_toml(paths.protocol) == protocol()
    assert Rig.from_toml(paths.rig) == rig
    assert protocol().sha256() in paths.protocol.read_text()


def test_records_are_found(tmp_path: Path) -> None:
    for subject, name in (("02", "01"), ("01", "02"), ("01", "01")):
        with RecordWriter(session(tmp_path, subject, name).record) as record:
            record.append("session", 0.0, {}, sync=True)
    session(tmp_path, "03")
    stray = tmp_path / "ds/sourcedata/tacs/sub-01/ses-01/other_task-tacs_record.jsonl"
    stray.write_text("")
    found = find_records(tmp_path / "ds")
    assert [(p.subject, p.session) for p in found] == [("01", "01"), ("01", "02"), ("02", "01")]


def oscilloscope(paths: SessionPaths, seconds: int = 5) -> TraceInfo:
    """A trace as an oscilloscope leaves it, half a second of it before the session began."""
    paths.oscilloscope.parent.mkdir(parents=True, exist_ok=True)
    text = b"0.0000\t-0.1234\n" * 1000
    member = gzip.compress(text, compresslevel=1, mtime=0)
    paths.oscilloscope.write_bytes(member * seconds)
    info = TraceInfo(
        path=paths.oscilloscope,
        columns=("Oz", "Cz"),
        sampling_frequency_hz=1000.0,
        start_s=3.0,
        n_samples=seconds * 1000,
        clean=True,
    )
    description = {
        "columns": list(info.columns),
        "sampling_frequency_hz": info.sampling_frequency_hz,
        "start_s": info.start_s,
        "n_samples": info.n_samples,
        "clean": True,
    }
    name = paths.oscilloscope.name.removesuffix(".tsv.gz") + ".json"
    paths.oscilloscope.with_name(name).write_text(json.dumps(description))
    return info


def test_the_delivered_current_lies_beside_the_eeg(tmp_path: Path) -> None:
    paths = session(tmp_path)
    info = oscilloscope(paths)
    content = gzip.decompress(paths.oscilloscope.read_bytes())
    assert left_trace(paths) == info
    assert store_trace(paths, info, 3.5, protocol()) == paths.trace
    unpacker = zlib.decompressobj(wbits=31)
    assert unpacker.decompress(paths.trace.read_bytes()) == content
    assert unpacker.eof
    assert unpacker.unused_data == b""  # one member: BIDS readers stop after the first
    assert paths.trace.read_bytes()[3:8] == bytes(5)  # neither a file name nor a time
    assert sorted(p.name.removeprefix("sub-01_ses-01_task-tacs_") for p in paths.eeg.iterdir()) == [
        "coordsystem.json",
        "electrodes.json",
        "electrodes.tsv",
        "events.json",
        "events.tsv",
        "recording-current_stim.json",
        "recording-current_stim.tsv.gz",
    ]
    assert list(paths.source.iterdir()) == []
    assert left_trace(paths) is None
    sidecar = json.loads(
        paths.trace.with_name(paths.trace.name.removesuffix(".tsv.gz") + ".json").read_text()
    )
    assert (sidecar["SamplingFrequency"], sidecar["StartTime"]) == (1000.0, -0.5)
    assert sidecar["Columns"] == ["Oz", "Cz"]
    assert {sidecar[name]["Units"] for name in sidecar["Columns"]} == {"mA"}
    assert rows(paths.events) == [{"onset": "0.5", "duration": "4.5", "trial_type": "stimulation"}]


@pytest.mark.parametrize("cut", [1, 30, 500])
def test_a_trace_that_was_cut_short_is_kept_as_far_as_it_is_whole(tmp_path: Path, cut: int) -> None:
    paths = session(tmp_path)
    info = oscilloscope(paths)
    whole = gzip.decompress(paths.oscilloscope.read_bytes())
    paths.oscilloscope.write_bytes(paths.oscilloscope.read_bytes()[:-cut])
    store_trace(paths, info, 3.5, protocol())
    kept = gzip.decompress(paths.trace.read_bytes())
    assert whole.startswith(kept)
    assert kept.endswith(b"\n")
    assert len(whole) - len(kept) <= 16_000 * math.ceil(cut / 60)


def test_a_session_that_never_started_has_no_event(tmp_path: Path) -> None:
    paths = session(tmp_path)
    store_trace(paths, oscilloscope(paths), math.nan, protocol())
    assert not paths.events.exists()
    name = paths.trace.name.removesuffix(".tsv.gz") + ".json"
    assert json.loads(paths.trace.with_name(name).read_text())["StartTime"] == 0.0


def test_the_trace_of_a_blinded_session_is_never_stored_in_the_clear(tmp_path: Path) -> None:
    paths = session(tmp_path)
    with pytest.raises(RecordError, match="it is sealed, not stored"):
        store_trace(paths, oscilloscope(paths), 3.5, protocol(blinding={"label": "A"}))
    assert not paths.eeg.exists()
    assert paths.oscilloscope.exists()


def test_a_trace_that_cannot_be_stored_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = session(tmp_path)
    info = oscilloscope(paths)
    monkeypatch.setattr(os, "fsync", failing_after(0, os.fsync))
    with pytest.raises(RecordError, match="No space left on device"):
        store_trace(paths, info, 3.5, protocol())
    assert left_trace(paths) == info
    assert not paths.trace.exists()


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", '{"columns": ["Oz"]}'])
def test_a_trace_without_its_description_is_not_guessed_at(tmp_path: Path, content: str) -> None:
    paths = session(tmp_path)
    info = oscilloscope(paths)
    info.path.with_name(info.path.name.removesuffix(".tsv.gz") + ".json").write_text(content)
    assert left_trace(paths) is None


# -- the official validator ---------------------------------------------------------------------


def test_the_validator_finds_no_error(tmp_path: Path) -> None:
    dataset = tmp_path / "ds"
    import_(edf(tmp_path / "a"), dataset)
    import_(brainvision(tmp_path / "b"), dataset, "post")
    import_(fif(tmp_path / "c"), dataset, subject="A+2", session="day1")
    paths = session(tmp_path)
    paths.keep_copies(protocol(), load_rig("emulated-synthpal"))
    with RecordWriter(paths.record) as record:
        record.append("session", 0.0, {}, sync=True)
    store_trace(paths, oscilloscope(paths), 3.5, protocol())
    assert validate(dataset) == []


@pytest.mark.parametrize(
    ("name", "options", "suffix", "warning"),
    [
        ("eegmmidb_s001/S001R02.edf", {}, ".edf", ""),
        ("restingiaf_ec/tute_01_1.set", {}, ".vhdr", "no landmarks"),
        ("eeglab_data/eeglab_data.set", {}, ".vhdr", ""),
        ("ssvep_exo/subject01_2012.07.06-19.02.16_raw.fif", {}, ".vhdr", "unit is probably wrong"),
        ("openbci_gui/OpenBCI_GUI-v6-blinks-jawClench-alpha.txt", {}, ".vhdr", "numbered 1 to 8"),
        ("bci_essentials_xdf/switch_example.xdf", {}, ".vhdr", ""),
        ("biosppy/eeg_ec.txt", {"sfreq_hz": 250.0}, ".vhdr", "counts of unknown unit"),
    ],
)
def test_real_recordings(
    tmp_path: Path, name: str, options: dict[str, Any], suffix: str, warning: str
) -> None:
    source = recording(name)
    done = import_(source, tmp_path / "ds", **options)
    assert done.path.suffix == suffix
    assert any(warning in text for text in done.warnings) or not warning
    assert validate(tmp_path / "ds") == []
    if "biosppy" in name:
        assert {
            r["units"]
            for r in rows(done.path.with_name(done.path.name.replace("_eeg.vhdr", "_channels.tsv")))
        } == {"n/a"}
