"""Phenotype files: every rating that holds, no dates, no licensed text, and valid BIDS."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tacs.cli import call
from tacs.errors import InputError
from tacs.journal import Journal
from tacs.phenotype import write_phenotype
from tests.tacs.courses import START, Clinic


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture
def rated(clinic: Clinic) -> Clinic:
    clinic.rated("madrs", 30, -1.0)
    wrong = clinic.rated("phq9", 20, -1.0)
    clinic.rated("phq9", 18, -1.0, corrects=wrong.entry.hash)
    clinic.session("01", 0.0)
    clinic.rated("phq9", 9, 2.5, session="01", rater_blinded="yes")
    clinic.rated("phq9", 12, 5.0, subject="P02")
    return clinic


def test_every_rating_that_holds_stands_in_the_row_of_its_person(rated: Clinic):
    made = write_phenotype(rated.dataset)
    assert made.rows == {"madrs": 1, "phq9": 3}
    first, second = rows(rated.dataset / "phenotype" / "phq9.tsv")
    assert (first["participant_id"], first["n_ratings"]) == ("sub-P01", "2")
    assert (first["r01_total"], first["r01_day"], first["r01_session"]) == ("18", "-1.00", "n/a")
    assert (first["r02_total"], first["r02_day"], first["r02_session"]) == ("9", "2.50", "ses-01")
    assert (first["r02_rater_blinded"], first["r02_rater_role"]) == ("yes", "rater")
    assert [first[f"r02_item_{n:02d}"] for n in range(1, 10)] == list("333000000")
    assert (second["n_ratings"], second["r01_day"], second["r02_total"]) == ("1", "0.00", "n/a")
    assert second["r02_item_01"] == "n/a"


def test_scores_stand_beside_their_sessions(rated: Clinic):
    table = rated.dataset / "sub-P01" / "sub-P01_sessions.tsv"
    before = table.stat().st_mtime if table.exists() else None
    write_phenotype(rated.dataset)
    (row,) = [one for one in rows(table) if one["session_id"] == "ses-01"]
    assert row["phq9_total"] == "9"
    assert "madrs_total" not in row  # that rating belongs to no session
    told = json.loads(table.with_suffix(".json").read_text())
    assert told["phq9_total"]["Derivative"] is True
    assert before is None or table.stat().st_mtime == before
    # A correction moves it; somebody else's column and description stay.
    text = table.read_text().splitlines()
    table.write_text("".join(f"{a}\t{b}\n" for a, b in zip(text, ("mood", "calm"), strict=True)))
    table.with_suffix(".json").write_text(json.dumps({**told, "mood": {"Description": "theirs"}}))
    (entry,) = [e for e in Journal(rated.dataset).current("rating") if e.session == "01"]
    rated.rated("phq9", 7, 2.5, session="01", corrects=entry.hash)
    write_phenotype(rated.dataset)
    (row,) = rows(table)
    assert (row["phq9_total"], row["mood"]) == ("7", "calm")
    assert set(json.loads(table.with_suffix(".json").read_text())) == {"phq9_total", "mood"}
    table.with_suffix(".json").write_text("[")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        write_phenotype(rated.dataset)


def test_columns_are_described_and_licensed_text_and_dates_stay_away(rated: Clinic):
    write_phenotype(rated.dataset)
    folder = rated.dataset / "phenotype"
    for name in ("madrs", "phq9"):
        told: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
        (header, *_) = (folder / f"{name}.tsv").read_text().splitlines()
        assert set(header.split("\t")) - {"participant_id"} <= told.keys()
        assert told["r01_total"]["Derivative"] is True
    phq9, madrs = (json.loads((folder / f"{n}.json").read_text()) for n in ("phq9", "madrs"))
    assert len(phq9["r01_item_01"]["Description"]) > 20
    assert madrs["r01_item_01"]["Description"] == "Item 1"
    text = "".join(path.read_text() for path in folder.iterdir())
    for day in range(-3, 10):
        assert (START + timedelta(days=day)).date().isoformat() not in text


def test_written_again_it_is_the_same_and_what_is_gone_is_removed(rated: Clinic, tmp_path: Path):
    write_phenotype(rated.dataset)
    folder = rated.dataset / "phenotype"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert write_phenotype(rated.dataset).removed == ()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    # A scale of which no rating is left, and a file of somebody else's.
    shutil.copy(folder / "phq9.json", folder / "isi.json")
    (folder / "isi.tsv").write_text("participant_id\n")
    (folder / "theirs.tsv").write_text("participant_id\n")
    assert [path.name for path in write_phenotype(rated.dataset).removed] == [
        "isi.tsv", "isi.json",
    ]  # fmt: skip
    assert (folder / "theirs.tsv").exists()
    (folder / "madrs.json").write_text("{}")
    with pytest.raises(InputError, match="was not made by the suite"):
        write_phenotype(rated.dataset)


def test_the_validator_finds_no_error(rated: Clinic, capsys: pytest.CaptureFixture[str]):
    from devices.participant import VirtualParticipant
    from tacs.bids import import_recording

    tool = Path(sys.executable).with_name("bids-validator-deno")
    found = str(tool) if tool.exists() else shutil.which("bids-validator-deno")
    if found is None:
        pytest.skip("bids-validator-deno is not installed")
    raw = VirtualParticipant(seed=1).record(20.0)
    file = rated.dataset.parent / "rest.edf"
    raw.export(file, physical_range=(-400.0, 400.0), verbose="ERROR")
    for subject in ("P01", "P02"):
        import_recording(file, rated.dataset, subject=subject, session="01", when="pre")
    assert call(["store", "phenotype", str(rated.dataset), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]["phq9"] == 3
    done = subprocess.run(
        [found, str(rated.dataset), "--format", "json"], capture_output=True, text=True, check=False
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []
