"""``tacs profile norm``: the file, its words, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tacs.cli import call
from tests.analysis.made_profiles import made_people, made_result


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
