"""The data set after a clinic's work: valid BIDS, and every file says what the record says."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import mne
import mne_bids
import numpy as np
import pytest

from tacs.bids_stimulation import event_rows, impedances, note_session
from tacs.checking import prepare
from tacs.cli import call
from tacs.dataset import SessionPaths
from tacs.errors import InputError
from tacs.record import Line, read_record
from tacs.runner import run
from tests.analysis.test_readers_xdf import eeg_stream, marker_stream, ramp, write
from tests.tacs.made import protocol as made_protocol
from tests.tacs.standards import DEVICES, SHORT, clinic, stimulate
from tests.tacs.test_bids import brainvision, edf, rows, validate


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The clinic's data set, made once; a test gets a copy."""
    folder = tmp_path_factory.mktemp("clinic")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TACS_SITE_DIR", str(folder / "site"))
        yield clinic(folder / "ds", edf(folder / "a"), brainvision(folder / "b"))


@pytest.fixture
def dataset(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "ds"))


def test_the_whole_data_set_is_valid(dataset: Path) -> None:
    assert validate(dataset) == []


def test_a_broken_data_set_is_not_valid(tmp_path: Path) -> None:
    """The validator would say so: without the coordinate system the electrodes are an error."""
    stimulate(tmp_path / "ds", "P01")
    paths = SessionPaths.of(tmp_path / "ds", "P01", "01")
    (paths.eeg / f"{paths.stem}_task-tacs_coordsystem.json").unlink()
    assert any("REQUIRED_COORDSYSTEM" in error for error in validate(tmp_path / "ds"))


def test_what_lies_beside_the_current(dataset: Path) -> None:
    for device in DEVICES:
        paths = SessionPaths.of(dataset, device, "01")
        contacts = rows(paths.eeg / f"{paths.stem}_task-tacs_electrodes.tsv")
        assert [row["name"] for row in contacts] == ["Oz", "Cz"]
        assert {row["area_cm2"] for row in contacts} == {"25"}
        assert {row["impedance"] for row in contacts} == {"n/a"}  # nothing in these rigs reads it
        told = {row["trial_type"]: row for row in rows(paths.events)}
        assert float(told["stimulation"]["duration"]) == pytest.approx(60.0, abs=0.2)
        if device != "manual":
            assert float(told["ramp_up"]["duration"]) == pytest.approx(30.0, abs=0.1)
            assert float(told["hold"]["duration"]) == pytest.approx(15.0, abs=0.1)
            assert float(told["ramp_up"]["onset"]) == float(told["stimulation"]["onset"])
        described = json.loads(paths.events.with_suffix(".json").read_text())
        assert set(told) <= set(described["trial_type"]["Levels"])
        session = rows(dataset / f"sub-{device}" / f"sub-{device}_sessions.tsv")
        first = read_record(paths.record)[0][0]
        assert session == [{"session_id": "ses-01", "acq_time": first.utc.replace("+00:00", "Z")}]


def test_impedances_that_a_monitor_read(tmp_path: Path) -> None:
    setup = prepare("emulated:synthpal", rig="emulated-synthpal-monitored")
    run(SHORT, setup, subject="P01", session="01", dataset=tmp_path / "ds", clock="virtual")
    paths = SessionPaths.of(tmp_path / "ds", "P01", "01")
    contacts = rows(paths.eeg / f"{paths.stem}_task-tacs_electrodes.tsv")
    told = [(x["name"], x["impedance"], x["impedance_max"]) for x in contacts]
    assert told == [("Oz", "5", "5"), ("Cz", "5", "5")]


def test_what_is_read_later_is_not_the_impedance_before_the_current() -> None:
    def line(kind: str, **data: object) -> Line:
        return Line(0, 0.0, "", kind, dict(data), "")

    lines = [
        line("answer", verb="monitor", impedance_kohm={"Oz": 4.0}),
        line("intent", verb="start"),
        line("answer", verb="measured", impedance_kohm={"Oz": 6.0, "Cz": 3.0}),
        line("answer", verb="status", impedance_kohm=None, impedance_before_kohm={"Fz": 2.0}),
    ]
    assert impedances(lines) == {"Oz": (4.0, 6.0), "Cz": (None, 3.0), "Fz": (2.0, 2.0)}


def test_a_crash_between_the_order_to_start_and_the_first_state() -> None:
    order = Line(seq=0, t_s=1.0, utc="", kind="intent", data={"verb": "start"}, hash="")
    assert event_rows([order], 1.5, 2.0, 5.0) == [(1.5, 2.0, "stimulation")]


def test_a_stop_is_an_event(tmp_path: Path) -> None:
    stimulate(tmp_path / "ds", "P01", script=((20.0, "stop:the person asked"),))
    paths = SessionPaths.of(tmp_path / "ds", "P01", "01")
    told = {row["trial_type"]: row for row in rows(paths.events)}
    assert float(told["stopping"]["onset"]) == pytest.approx(20.0, abs=0.3)
    assert "hold" not in told
    assert "asked" not in paths.events.read_text()


def test_recordings_say_whether_current_flowed(dataset: Path) -> None:
    eeg = SessionPaths.of(dataset, "synthpal", "01").eeg
    told = {
        path.name.split("_acq-")[1].split("_")[0]: json.loads(path.read_text())
        for path in eeg.glob("*_acq-*_eeg.json")
    }
    assert told["pre"]["ElectricalStimulation"] is False
    assert told["post"]["ElectricalStimulation"] is False
    assert told["during"]["ElectricalStimulation"] is True
    assert "10 Hz" in told["during"]["ElectricalStimulationParameters"]
    assert "0.3 mA zero-to-peak" in told["during"]["ElectricalStimulationParameters"]
    trace = json.loads(next(eeg.glob("*_recording-current_stim.json")).read_text())
    told_of_trace = trace["ElectricalStimulationParameters"]
    assert told_of_trace == told["during"]["ElectricalStimulationParameters"]


def test_of_a_blinded_session_no_file_tells_whether_current_flowed(dataset: Path) -> None:
    paths = SessionPaths.of(dataset, "B1", "01")
    sidecar = json.loads(next(paths.eeg.glob("*_acq-during_eeg.json")).read_text())
    assert "ElectricalStimulation" not in sidecar
    assert sidecar["ElectricalStimulationParameters"].startswith("as planned, the arm is blinded")
    assert not list(paths.eeg.glob("*task-tacs*"))
    table = dataset / "sub-B1" / "sub-B1_sessions.tsv"
    assert len(rows(table)) == 1
    began = datetime.fromisoformat(read_record(paths.record)[0][0].utc).timestamp()
    assert table.stat().st_mtime == pytest.approx(began, abs=1e-3)  # not when it ended


def test_the_recordings_can_still_be_read(dataset: Path) -> None:
    found = sorted((dataset / "sub-synthpal").rglob("*_eeg.*"))
    found = [path for path in found if path.suffix in {".edf", ".vhdr"}]
    assert len(found) == 3
    for path in found:
        raw = mne_bids.read_raw_bids(mne_bids.get_bids_path_from_fname(path), verbose="ERROR")
        assert len(raw.ch_names) == 10


def test_a_table_of_sessions_keeps_what_stands_there(dataset: Path) -> None:
    paths = SessionPaths.of(dataset, "synthpal", "01")
    table = dataset / "sub-synthpal" / "sub-synthpal_sessions.tsv"
    table.write_text("session_id\tphq9\nses-00\t12\nses-01\t8\n")
    note_session(paths)
    note_session(paths)
    assert [list(row.values())[:2] for row in rows(table)] == [["ses-00", "12"], ["ses-01", "8"]]
    assert rows(table)[1]["acq_time"].endswith("Z")
    table.write_bytes(b"session_id\xff\xfe\n")
    with pytest.raises(InputError, match="cannot be read as a table"):
        note_session(paths)


def test_a_table_whose_time_cannot_be_set_is_a_warning_and_the_trace_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The current has ended: whatever the disk refuses now, the run is told to its end."""
    from tacs import bids_stimulation

    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(bids_stimulation.os, "utime", refused)
    found = run(
        made_protocol(), "emulated:synthpal", subject="P01", session="01",
        dataset=tmp_path / "ds", clock="virtual",
    )  # fmt: skip
    assert found.outcome == "done"
    assert any("its time cannot be set (Operation not permitted)" in x for x in found.warnings)
    assert found.trace is not None
    assert found.trace.exists()


def test_an_xdf_file_comes_in_with_its_marks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stamps, values = ramp()
    marks = marker_stream(2, [(1002.0, "eyes closed"), (1004.5, "eyes open")])
    source = write(tmp_path / "x.xdf", eeg_stream(1, stamps, 1e-3 * values), marks)
    out = tmp_path / "ds"
    words = ["--json", "import", str(source), "--out", str(out), "--subject", "P01"]
    assert call([*words, "--session", "01", "--when", "pre"]) == 0
    path = Path(json.loads(capsys.readouterr().out)["path"])
    assert path.suffix == ".vhdr"
    events = rows(path.with_name(path.stem.removesuffix("_eeg") + "_events.tsv"))
    told = {row["trial_type"]: float(row["onset"]) for row in events}
    assert told == pytest.approx({"eyes closed": 2.0, "eyes open": 4.5}, abs=0.004)
    have = mne.io.read_raw(path, preload=True, verbose="ERROR")
    assert np.allclose(have.get_data(), 1e-9 * values.T, rtol=1e-5, atol=1e-12)
    assert validate(out) == []
