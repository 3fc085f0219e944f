"""``tacs profile norm`` and ``compare``: their files, their words, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tacs.cli import call
from tacs.commands.profile_results import held_against
from tests.analysis.made_profiles import made_people, made_result
from tests.analysis.test_profile_reliability import visits_of


def tacs(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any, str]:
    code = call([*(str(a) for a in arguments), "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out), err


def written(folder: Path, results: list[dict[str, Any]]) -> list[Path]:
    paths = []
    for one in results:
        paths.append(folder / one["file"])
        paths[-1].write_text(json.dumps(one), encoding="utf-8")
    return paths


def test_a_norm_is_made_of_results_and_read_aloud(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = [*made_people(24, np.random.default_rng(1)), made_result("s", verdict="no_response")]
    paths = written(tmp_path, people)
    code, data, _ = tacs(capsys, "profile", "norm", *paths, "--out", tmp_path / "NORM.json")
    assert code == 0
    assert data["n_people"] == 25
    assert data["n_by_verdict"]["no_response"] == 1
    kept = json.loads((tmp_path / "NORM.json").read_text("utf-8"))
    assert kept["format"] == "tacs profile norm 1"
    assert kept["quantities"][0]["n"] == 24
    assert call(["profile", "norm", *map(str, paths), "--out", str(tmp_path / "N2.json")]) == 0
    said = capsys.readouterr().out
    assert "24 responded, 1 did not" in said
    assert "Centre of the resonance: median" in said


@pytest.mark.parametrize(
    ("n", "out", "word"),
    [(12, "NORM.json", "needs 20 who responded"), (24, "", "--out"), (0, "NORM.json", "x.json")],
)
def test_bad_input_is_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], n: int, out: str, word: str
) -> None:
    paths = written(tmp_path, made_people(n, np.random.default_rng(1)))
    options = ["--out", tmp_path / out] if out else []
    code, data, err = tacs(capsys, "profile", "norm", *(paths or [tmp_path / "x.json"]), *options)
    assert code == 2
    assert word in data["error"]
    assert err.count("\n") == 1
    assert not (tmp_path / "NORM.json").exists()


def test_two_visits_of_one_person_and_of_several(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = visits_of(12, 2)
    paths = written(tmp_path, made)
    assert call(["profile", "compare", *map(str, paths[:2])]) == 0
    said = capsys.readouterr().out
    assert "p0: response at 2 of 2" in said
    assert "visit 2 against 1: curves correlate with r" in said
    assert "Centre of the resonance" in said
    assert "not individual: visits of one person" in said
    assert "ICC" not in said
    code, data, _ = tacs(capsys, "profile", "compare", *paths, "--out", tmp_path / "V.json")
    assert code == 0
    assert data["n_people"] == 12
    kept = json.loads((tmp_path / "V.json").read_text("utf-8"))
    assert kept["format"] == "tacs profile visits 1"
    assert call(["profile", "compare", *map(str, paths)]) == 0
    assert "over 12 people, ICC(3,1)" in capsys.readouterr().out
    code, data, _ = tacs(capsys, "profile", "compare", paths[0])
    assert code == 2
    assert "nobody with two visits" in data["error"]


def test_a_profile_is_held_against_reference_and_visits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    made = visits_of(24, 2)
    paths = written(tmp_path, made)
    call(["profile", "compare", *map(str, paths), "--out", str(tmp_path / "V.json")])
    call(["profile", "norm", *map(str, paths[::2]), "--out", str(tmp_path / "N.json")])
    capsys.readouterr()
    data: dict[str, Any] = made_result("new", centre_hz=15.5, noise=rng)
    data |= {"reliability": {"individual": False, "reason": "one session"}, "warnings": ["w"]}
    lines = held_against(data, str(tmp_path / "N.json"), str(tmp_path / "V.json"))
    assert lines[0].startswith("individual: by 2 visits of each: centre")
    assert data["reliability"]["individual"] is True
    assert any("deviates from the reference (above)" in line for line in lines)
    assert lines[-1] == "warning: w"
    plain: dict[str, Any] = made_result("new")
    plain |= {"reliability": {"individual": False, "reason": "one session"}, "warnings": []}
    assert held_against(plain, "", "") == ["not individual: one session"]
    assert plain["norm"] is None
