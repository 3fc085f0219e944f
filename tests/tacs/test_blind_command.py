"""The commands of a blinded study, from the keys to the indices."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tacs.blinded_record import BlindedRecord, seal_file
from tacs.blinding import load_study, resolve
from tacs.cli import call
from tacs.record import read_record
from tests.data import ROOT
from tests.tacs.made import protocol

DESIGN = """\
study = "ALPHA1"
[[arms]]
code = "V"
waveform = "tacs"
[[arms]]
code = "S"
waveform = "passive_sham"
[[strata]]
name = "all"
planned = 12
"""
WHY = "seizure, needs treatment now"


def tacs(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any, str]:
    code = call([*map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out), err


def prose(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = call([*map(str, arguments)])
    return code, capsys.readouterr().out


@pytest.fixture
def made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Path]:
    """Keys, a study, and the study imported here."""
    (tmp_path / "design.toml").write_text(DESIGN)
    code, keys, _ = tacs(capsys, "blind", "keygen", "--out", tmp_path / "keys")
    assert code == 0
    code, files, _ = tacs(
        capsys, "blind", "allocate", tmp_path / "design.toml",
        "--public-key", keys["public_key"], "--out", tmp_path / "made",
    )  # fmt: skip
    assert (code, files["warnings"]) == (0, [])
    code, found, _ = tacs(capsys, "blind", "import", files["study"], "--key", files["site_key"])
    assert (code, found["study"], found["strata"]) == (0, "ALPHA1", ["all"])
    assert found["commitment_sha256"] == files["commitment_sha256"]
    assert found["slots"] >= 15
    paths = {**files, **keys}
    return {name: Path(paths[name]) for name in ("study", "table", "private_key", "public_key")}


@pytest.mark.parametrize(
    "command", ["keygen", "allocate", "import", "guess", "unblind", "open", "index"]
)
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], command: str):
    code, out = prose(capsys, "blind", command, "--help")
    assert code == 0
    assert f"Usage: tacs blind {command}" in out


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from tacs.cli import call; call(['blind', 'index', '--help']);"
        "print([m for m in ('mne', 'scipy', 'numpy', 'nacl', 'analysis') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_emergency_takes_two_commands(capsys: pytest.CaptureFixture[str], made: dict[str, Path]):
    load_study("ALPHA1").assign("P01")
    ask = (
        "blind", "unblind", "--study", "ALPHA1", "--subject", "P01", "--person", "Dr A",
        "--role", "physician", "--reason", WHY,
    )  # fmt: skip
    code, first, _ = tacs(capsys, *ask)
    assert (code, first["step"]) == (0, "requested")
    assert "waveform" not in first
    code, second, _ = tacs(capsys, *ask, "--token", first["token"])
    assert (code, second["step"]) == (0, "revealed")
    planned = protocol(blinding={"label": "ALPHA1"})
    arm = resolve(load_study("ALPHA1"), "P01", None, planned, emulated=False)
    assert second["waveform"] == arm.waveform
    code, failed, err = tacs(capsys, *ask, "--token", first["token"])
    assert code == 2
    assert "not the token of an open request" in failed["error"]
    assert "Traceback" not in err
    assert "repeat with --token" in prose(capsys, *ask)[1]


def test_a_sealed_record_is_opened_and_held_against_the_open_one(
    capsys: pytest.CaptureFixture[str], made: dict[str, Path], tmp_path: Path
):
    record = tmp_path / "r.jsonl"
    key = load_study("ALPHA1").sealing_key
    with BlindedRecord(record, planned=protocol(), public_key=key) as written:
        written.append("state", 0.2, {"to": "hold"}, sync=True)
        written.append("end", 0.3, {"outcome": "done", "cause": ""}, sync=True)
    sealed, out = tmp_path / "r.sealed", tmp_path / "full.jsonl"
    ask = ("blind", "open", sealed, "--key", made["private_key"], "--out")
    code, found, _ = tacs(capsys, *ask, out)
    assert (code, found["complete"], found["problem"]) == (0, True, None)
    lines, problem = read_record(out)
    assert (problem, [x.kind for x in lines]) == (None, ["state", "end"])
    assert out.stat().st_mode & 0o777 == 0o600
    code, failed, _ = tacs(capsys, *ask, out)
    assert (code, "give another --out" in failed["error"]) == (2, True)
    (tmp_path / "lone.sealed").write_bytes(sealed.read_bytes()[:-4096])
    code, found, _ = tacs(
        capsys, "blind", "open", tmp_path / "lone.sealed", "--key", made["private_key"],
        "--out", tmp_path / "lone.jsonl",
    )  # fmt: skip
    assert (code, found["problem"][:10]) == (5, "has no end")
    sealed.write_bytes(sealed.read_bytes()[:-4096])
    code, found, _ = tacs(capsys, *ask, tmp_path / "cut.jsonl")
    assert (code, found["complete"]) == (5, False)
    assert "is not the file that" in found["problem"]
    code, text = prose(capsys, *ask, tmp_path / "again.jsonl")
    assert (code, "no end; NOT WHOLE" in text) == (5, True)


def test_a_sealed_trace_and_a_table_are_opened(
    capsys: pytest.CaptureFixture[str], made: dict[str, Path], tmp_path: Path
):
    (tmp_path / "t.gz").write_bytes(b"trace")
    key = load_study("ALPHA1").sealing_key
    seal_file(tmp_path / "t.gz", tmp_path / "t.sealed", key, padded_to=1000)
    private = ("--key", made["private_key"], "--out")
    assert tacs(capsys, "blind", "open", tmp_path / "t.sealed", *private, tmp_path / "t")[0] == 0
    assert (tmp_path / "t").read_bytes() == b"trace"
    ask = ("blind", "open", made["table"], *private, tmp_path / "table", "--study", made["study"])
    assert tacs(capsys, *ask)[0] == 0
    assert json.loads((tmp_path / "table").read_text())["study"] == "ALPHA1"
    code, failed, _ = tacs(
        capsys, "blind", "open", made["table"], "--key", made["public_key"], "--out", tmp_path / "x"
    )
    assert (code, "is not a private key" in failed["error"]) == (2, True)
    assert not (tmp_path / "x").exists()


def test_guesses_become_indices_by_session_and_person(
    capsys: pytest.CaptureFixture[str], made: dict[str, Path]
):
    here, planned = load_study("ALPHA1"), protocol(blinding={"label": "ALPHA1"})
    arms = {}
    for i in range(8):
        waveform = resolve(here, f"P{i}", None, planned, emulated=False).waveform
        arms[f"P{i}"] = "active" if waveform == "tacs" else "sham"
    n_active = sum(arm == "active" for arm in arms.values())
    assert 0 < n_active < 8
    for subject, arm in arms.items():
        for session, answer in (("01", arm), ("02", "unknown")):
            code, kept, _ = tacs(
                capsys, "blind", "guess", "--study", "ALPHA1", "--subject", subject,
                "--session", session, "--who", "participant", "--guess", answer,
                "--confidence", 5,
            )  # fmt: skip
            assert (code, kept["guess"]) == (0, answer)
    here.record_guess("P0", "02", who="rater", guess=arms["P0"], confidence=9)
    ask = (
        "blind", "index", "--study", "ALPHA1", "--table", made["table"],
        "--key", made["private_key"],
    )  # fmt: skip
    code, found, _ = tacs(capsys, *ask)
    assert code == 0
    one, two, rater = found["indices"]
    assert [(e["session"], e["who"]) for e in (one, two, rater)] == [
        ("01", "participant"), ("02", "participant"), ("02", "rater"),
    ]  # fmt: skip
    assert one["counts"] == [[n_active, 0], [0, 8 - n_active], [0, 0]]
    assert one["james"]["value"] == 0.0
    assert [one["bang"][arm]["value"] for arm in ("active", "sham")] == [1.0, 1.0]
    assert two["counts"] == [[0, 0], [0, 0], [n_active, 8 - n_active]]
    assert two["james"]["value"] == 1.0
    assert rater["bang"] is None
    assert any("has answered" in reason for reason in rater["reasons"])
    assert "nobody of the" in prose(capsys, *ask)[1]


def test_indices_of_counts(capsys: pytest.CaptureFixture[str]):
    code, found, _ = tacs(capsys, "blind", "index", "--counts", "82 25 170 27 29 83")
    assert code == 0
    assert found["indices"][0]["james"]["value"] == pytest.approx(0.747928)
    assert found["indices"][0]["bang"]["active"]["value"] == pytest.approx(0.205776)
    code, text = prose(capsys, "blind", "index", "--counts", "82,25,170,27,29,83")
    assert code == 0
    assert "James 0.748 (95 % 0.705 to 0.791, n 416)" in text
    assert "Bang, sham arm 0.014 (95 % -0.091 to 0.120, n 139)" in text


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("index",), "give --study, --table and --key, or --counts"),
        (("index", "--counts", "1 2 3"), "needs six whole numbers, not 3"),
        (("index", "--counts", "a b c d e f"), "needs six whole numbers"),
        (("keygen", "--out", "/proc/none"), "keys cannot be written"),
        (("import", "none.toml", "--key", "none.key"), "none.toml: no such file"),
        (("allocate", "none.toml", "--public-key", "k", "--out", "o"), "no such file"),
        (
            ("guess", "--study", "NONE", "--subject", "P01", "--session", "01", "--who", "rater",
             "--guess", "sham", "--confidence", "3"),
            "its allocation is not on this computer",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], reason: str
):
    code, failed, err = tacs(capsys, "blind", *arguments)
    assert code == 2
    assert reason in failed["error"]
    assert "Traceback" not in err


def test_a_table_made_elsewhere(
    capsys: pytest.CaptureFixture[str], made: dict[str, Path], tmp_path: Path
):
    (tmp_path / "t.csv").write_text("number,arm\n1,V\n2,S\n")
    ask = (
        "blind", "allocate", tmp_path / "design.toml", "--public-key", made["public_key"],
        "--out", tmp_path / "other", "--table", tmp_path / "t.csv",
    )  # fmt: skip
    code, text = prose(capsys, *ask)
    assert code == 0
    assert "warning: stratum all: 2 slots for 12 participants" in text
    assert "send it by another way" in text
