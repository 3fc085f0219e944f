"""Checklists: what the record says is answered, what it does not say is missing, nothing else."""

from __future__ import annotations

import json
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from tacs.cli import call
from tacs.errors import InputError
from tacs.export_checklist import KINDS, Checklist, fill_checklist
from tacs.journal import Journal
from tests.tacs.standards import BLINDED, stimulate
from tests.tacs.studies import study
from tests.tacs.test_bids import edf, import_


def answers(filled: Checklist) -> dict[str, str | None]:
    return {item.topic: item.answer for item in filled.items}


def test_a_session_answers_for_itself(tmp_path: Path) -> None:
    dataset = tmp_path / "ds"
    stimulate(dataset, "P01", operator="A. Lovelace")
    told = answers(fill_checklist(dataset, "P01", "01", "rates"))
    assert told["frequency"] == "10 Hz"
    assert told["amplitude, and whether zero-to-peak or peak-to-peak"] == (
        "Oz 0.3 mA, Cz 0.3 mA, zero-to-peak"
    )
    assert told["current density"] == "Oz 0.12 A/m², Cz 0.12 A/m², peak"
    assert told["ramps"] == "30 s up, 15 s down, linear"
    assert told["how the session ended"] == "done"
    assert "zero-to-peak" in str(told["current as measured"])
    assert told["whether the device was emulated"] == "yes: a rehearsal, nobody was stimulated"
    for topic in (
        "age", "medication", "informed consent", "screening for contraindications",
        "impedance before the current", "sham condition", "unwanted effects", "skin preparation",
        "recordings before and after", "how the frequency was chosen",
    ):  # fmt: skip
        assert told[topic] is None, topic
    assert "Lovelace" not in fill_checklist(dataset, "P01", "01", "rates").to_markdown()


def test_what_is_entered_later_is_answered_then(tmp_path: Path) -> None:
    dataset = tmp_path / "ds"
    stimulate(dataset, "P01")
    before = len(fill_checklist(dataset, "P01", "01", "rates").missing)
    import_(edf(tmp_path), dataset, "pre", subject="P01")
    Journal(dataset).append(
        "consent", {"sheet": "v3"}, operator="A. Lovelace", role="operator", subject="P01"
    )
    (dataset / "participants.tsv").write_text("participant_id\tage\tsex\nsub-P01\t34\tF\n")
    filled = fill_checklist(dataset, "P01", "01", "rates")
    told = answers(filled)
    assert (told["age"], told["sex or gender"]) == ("34 years", "F")
    assert told["recordings before and after"] == "pre (restclosed)"
    assert str(told["informed consent"]).startswith("entered 20")
    assert before - len(filled.missing) == 4
    stimulate(dataset, "P01", session="02")
    later = answers(fill_checklist(dataset, "P01", "02", "rates"))
    assert later["which session of how many"] == "2 of 2 in this data set"
    assert later["time since the session before"] == "0.0 h"


def test_the_arm_of_a_blinded_session_is_not_told(tmp_path: Path) -> None:
    study("A")
    told = []
    for n in range(4):
        stimulate(tmp_path / "ds", f"P{n}", protocol=BLINDED)
        known = answers(fill_checklist(tmp_path / "ds", f"P{n}", "01", "rates"))
        assert known.pop("date and time of the session")
        told.append(known)
    assert all(one == told[0] for one in told)
    assert told[0]["current as measured"] is None
    assert told[0]["sham condition"] is None
    assert told[0]["blinding of participant and operator"] == "the arm is blinded, study A"


def test_markdown_and_json_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = tmp_path / "ds"
    stimulate(dataset, "P01")
    words = ["export", "checklist", str(dataset), "--subject", "P01", "--session", "01"]
    assert call(["--json", *words, "--kind", "contes"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["answered"] + len(told["missing"]) == len(told["items"])
    assert call([*words, "--kind", "contes", "--out", str(tmp_path / "c.md")]) == 0
    text = (tmp_path / "c.md").read_text()
    assert text.count("**missing**") == len(told["missing"])
    assert all(f"- {name}\n" in text for name in told["missing"])
    assert call([*words, "--kind", "contes", "--out", str(tmp_path / "c.json")]) == 0
    assert json.loads((tmp_path / "c.json").read_text()) == told
    capsys.readouterr()
    for more, said in (
        (["--kind", "consort"], "must be rates or contes"),
        (["--kind", "rates", "--out", str(tmp_path / "c.pdf")], "must end in .md or .json"),
    ):
        assert call([*words, *more]) == 2
        assert said in capsys.readouterr().err


def test_a_session_that_is_not_there(tmp_path: Path) -> None:
    stimulate(tmp_path / "ds", "P01")
    with pytest.raises(InputError, match="no such session"):
        fill_checklist(tmp_path / "ds", "P01", "02", "rates")
    record = next((tmp_path / "ds").rglob("*_record.jsonl"))
    record.write_text(record.read_text().replace('"frequency_hz":10.0', '"frequency_hz":11.0'))
    with pytest.raises(InputError, match="cannot be used"):
        fill_checklist(tmp_path / "ds", "P01", "01", "rates")


@pytest.mark.parametrize("kind", KINDS)
def test_the_files(kind: str) -> None:
    """Every topic once in its group; its source is named; every fact is one that can be known."""
    text = (resources.files("tacs") / "checklists_data" / f"{kind}.toml").read_text("utf-8")
    data = tomllib.loads(text)
    assert "doi:" in data["source"]
    topics = [(item["group"], item["topic"]) for item in data["items"]]
    assert len(set(topics)) == len(topics)
    source = Path("tacs/export_checklist.py").read_text()
    for item in data["items"]:
        assert f'"{item["fact"]}"' in source if "fact" in item else True
