"""NIBS-BIDS 6.3: the very bytes, nothing of an arm, and what is not known is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tacs.cli import call
from tacs.errors import InputError
from tacs.export_nibs import COLUMNS, export_nibs
from tests.tacs.made import montage_data
from tests.tacs.made import protocol as made_protocol
from tests.tacs.standards import BLINDED, stimulate
from tests.tacs.studies import study
from tests.tacs.test_bids import digest, rows, validate

HEAD = "\t".join(COLUMNS)


def test_the_bytes_of_a_session(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stimulate(tmp_path / "ds", "P01")
    before = digest(tmp_path / "ds")
    out = tmp_path / "out"
    assert call(["--json", "export", "nibs-bids", str(tmp_path / "ds"), "--out", str(out)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["sessions"] == 1
    assert told["spec"] == "6.3"
    assert digest(tmp_path / "ds") == before
    folder, stem = out / "sub-P01" / "ses-01" / "nibs", "sub-P01_ses-01_task-tacs"
    assert sorted(p.name for p in folder.iterdir()) == [
        f"{stem}_{part}"
        for part in (
            "coordsystem.json", "events.json", "events.tsv", "markers.json", "markers.tsv",
            "nibs.json", "nibs.tsv",
        )
    ]  # fmt: skip
    assert (folder / f"{stem}_nibs.tsv").read_bytes().decode() == (
        f"{HEAD}\ntacs\ttES\tstimulator\tOz|Cz\tSinusoid\t1|-1\t0.3\tabsolute\t60\t10\t0|0\t"
        "tacs 10 Hz: Oz to Cz 0.3 mA at 0 deg, zero-to-peak\tn/a\t0.3|0.3\tdone\tn/a\t"
        "verified\t30\t15\n"
    )
    assert (folder / f"{stem}_markers.tsv").read_text() == (
        "nibs_position_id\tnibs_element_id\tposition_label\telement_centre_x\telement_centre_y\t"
        "element_centre_z\npos-Oz\tOz\tOz\tn/a\tn/a\tn/a\npos-Cz\tCz\tCz\tn/a\tn/a\tn/a\n"
    )
    (event,) = rows(folder / f"{stem}_events.tsv")
    assert {k: v for k, v in event.items() if k != "onset"} == {
        "duration": "60", "nibs_event_id": "tacs", "nibs_position_id": "pos-Oz|pos-Cz",
    }  # fmt: skip
    assert 0.0 < float(event["onset"]) < 1.0
    sidecar = json.loads((folder / f"{stem}_nibs.json").read_text())
    assert [(e["ElementID"], e["ElectrodeRole"]) for e in sidecar["ElementSet"]] == [
        ("Oz", "anode"), ("Cz", "return"),
    ]  # fmt: skip
    assert sidecar["ElementSet"][0]["ElectrodeSize"]["Value"] == 25.0
    assert sidecar["StimulatorSet"][0]["StimulatorID"] == "stimulator"
    assert set(COLUMNS) <= set(sidecar)
    assert "stimsys" not in "".join(str(p) for p in out.rglob("*"))
    assert any("positions" in text for text in told["left_out"])
    assert validate(out) == []


def test_trains_are_no_plain_sinusoid(tmp_path: Path) -> None:
    trains = {"on_s": 3.0, "off_s": 2.0, "edge_s": 0.5, "settle_s": 10.0, "count": 2}
    plan = made_protocol(duration_s=60.0, frequency_hz=10.0, trains=trains)
    stimulate(tmp_path / "ds", "P01", protocol=plan)
    told = export_nibs(tmp_path / "ds", tmp_path / "out")
    (row,) = rows(next((tmp_path / "out").rglob("*_nibs.tsv")))
    assert (row["stimulus_shape"], row["frequency"]) == ("Custom", "10")
    assert row["stimulus_description"].endswith(
        "; after 40.5 s of run-in at most 2 trains of 3 s, 2 s apart at least, edges 0.5 s in them"
    )
    assert any("trains one by one" in text for text in told.left_out)
    events = [one["trial_type"] for one in rows(next((tmp_path / "ds").rglob("*tacs_events.tsv")))]
    assert [events.count(f"train_{part}") for part in ("rise", "on", "fall")] == [2, 2, 3]
    assert validate(tmp_path / "ds") == validate(tmp_path / "out") == []


def test_intensities_sum_to_nothing(tmp_path: Path) -> None:
    montage = montage_data(("F3", "Cz", 0.2), ("F4", "Cz", 0.3))
    plan = made_protocol(duration_s=60.0, frequency_hz=10.0, montage=montage)
    stimulate(tmp_path / "ds", "P01", protocol=plan)
    export_nibs(tmp_path / "ds", tmp_path / "out")
    (row,) = rows(next((tmp_path / "out").rglob("*_nibs.tsv")))
    parts = dict(
        zip(
            row["nibs_element_id"].split("|"),
            map(float, row["stimulus_intensity"].split("|")),
            strict=True,
        )
    )
    assert sum(parts.values()) == pytest.approx(0.0, abs=1e-5)
    scale = float(row["intensity_scaling"])
    got = {name: share * scale for name, share in parts.items()}
    assert got == pytest.approx({"F3": 0.2, "F4": 0.3, "Cz": -0.5}, abs=1e-5)


def test_loops_out_of_phase_are_no_sinusoid_with_one_sign(tmp_path: Path) -> None:
    montage = montage_data(("F3", "Cz", 0.2, 0.0), ("F4", "Cz", 0.2, 180.0))
    plan = made_protocol(duration_s=60.0, frequency_hz=10.0, montage=montage)
    stimulate(tmp_path / "ds", "P01", "nic2", protocol=plan)
    export_nibs(tmp_path / "ds", tmp_path / "out")
    (row,) = rows(next((tmp_path / "out").rglob("*_nibs.tsv")))
    assert (row["stimulus_shape"], row["stimulus_intensity"]) == ("Custom", "n/a")
    assert "F4 to Cz 0.2 mA at 180 deg" in row["stimulus_description"]


def test_nothing_tells_the_arm_of_a_blinded_session(tmp_path: Path) -> None:
    """Four slots of two arms: every exported file is the same but for label and clock."""
    study("A")
    for n in range(4):
        stimulate(tmp_path / "ds", f"P{n}", protocol=BLINDED)
    done = export_nibs(tmp_path / "ds", tmp_path / "out")
    told = []
    for n in range(4):
        folder = tmp_path / "out" / f"sub-P{n}"
        told.append(
            [
                path.read_text().replace(f"P{n}", "P")
                for path in sorted(folder.rglob("*.*"))
                if not path.name.endswith("_events.tsv")
            ]
        )
    assert all(one == told[0] for one in told)
    (row,) = rows(next((tmp_path / "out" / "sub-P0").rglob("*_nibs.tsv")))
    assert row["measured_current_intensity"] == "n/a"
    assert row["stimulus_validation"] == "unknown"
    onsets = {rows(p)[0]["onset"] for p in (tmp_path / "out").rglob("*_events.tsv")}
    assert len(onsets) == 1
    assert sum("the session is blinded" in text for text in done.left_out) == 4


@pytest.mark.parametrize("spec", ["6.2", "7", "", "latest"])
def test_another_version_is_refused(
    tmp_path: Path, spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", "nibs-bids", str(tmp_path), "--out", str(tmp_path / "o"), "--spec", spec]
    assert call(words) == 2
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0
    assert "only version 6.3" in said
    assert not (tmp_path / "o").exists()


def test_a_record_that_does_not_verify_is_left_out_and_said(tmp_path: Path) -> None:
    for subject in ("P01", "P02"):
        stimulate(tmp_path / "ds", subject)
    record = next((tmp_path / "ds").rglob("sub-P02*_record.jsonl"))
    record.write_text(record.read_text().replace('"frequency_hz":10.0', '"frequency_hz":11.0'))
    done = export_nibs(tmp_path / "ds", tmp_path / "out")
    assert done.sessions == 1
    assert any(x.startswith("sub-P02 ses-01: its record cannot be used") for x in done.left_out)
    assert not (tmp_path / "out" / "sub-P02").exists()
    with pytest.raises(InputError, match="not an empty folder"):
        export_nibs(tmp_path / "ds", tmp_path / "out")


def test_a_disk_that_fills_leaves_no_half_of_an_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stimulate(tmp_path / "ds", "P01")
    out = tmp_path / "a" / "out"

    def full(path: Path, _: object) -> None:
        raise InputError(f"{path}: cannot be written (No space left on device)")

    with monkeypatch.context() as patch:
        patch.setattr("tacs.export_nibs.write_json", full)
        with pytest.raises(InputError, match="No space left"):
            export_nibs(tmp_path / "ds", out)
    assert list(out.parent.iterdir()) == []
    assert export_nibs(tmp_path / "ds", out).sessions == 1


def test_nothing_to_export(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such data set"):
        export_nibs(tmp_path / "none", tmp_path / "out")
