"""`tacs group`: its JSON, its words, its figures, and what it says to bad input."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tacs.cli import call
from tests.analysis.made_groups import crossover, trial


def tacs(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = call([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def tacs_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any]:
    code, out, _ = tacs(capsys, *arguments, "--json")
    return code, json.loads(out)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    names = list(rows[0])
    lines = [",".join("" if r[n] is None else str(r[n]) for n in names) for r in rows]
    path.write_text("\n".join([",".join(names), *lines]), encoding="utf-8")
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write(tmp_path / "trial.csv", trial(24, effect=-6.0, lost=0.2, seed=1))


def test_a_trial_in_json(capsys: pytest.CaptureFixture[str], table: Path, tmp_path: Path):
    code, found = tacs_json(
        capsys, "group", table, "--direction", "decrease", "--response-limit", "0.3",
        "--remission-limit", "12", "--figures", tmp_path / "figures",
    )  # fmt: skip
    assert code == 0
    assert set(found) >= {
        "design", "control", "n_subjects", "arms", "outcomes", "responders", "direction",
        "expected_direction", "expectation", "as_predicted", "warnings", "summary", "n_tests",
    }  # fmt: skip
    assert (found["design"], found["control"], found["n_subjects"]) == ("mixed", "sham", 24)
    assert (found["direction"], found["as_predicted"]) == ("decrease", True)
    term = found["outcomes"][0]["model"]["terms"][-1]
    assert set(term) == {"name", "estimate", "se", "ci95", "df", "t", "p", "p_normal"}
    assert len(found["responders"]) == 2
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {"patients.png", "effects.png", "responders.png"}


def test_a_trial_in_words(capsys: pytest.CaptureFixture[str], table: Path):
    code, out, _ = tacs(capsys, "group", table, "--response-limit", "0.3")
    assert code == 0
    for words in (
        "active against sham", "linear mixed model (REML)", "ANCOVA", "randomisation test",
        "Hedges g", "power of 80 %", "Pearson", "Fisher", "number needed to treat",
        "missing counted as not responding", "without a last value",
    ):  # fmt: skip
        assert words in out
    assert not re.search(r"\bproves?\b", out)


def test_a_crossover_and_its_carry_over(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    path = write(tmp_path / "cross.csv", crossover(12))
    code, out, _ = tacs(capsys, "group", path)
    assert code == 0
    assert "order (carry-over, 2 x 2): p" in out
    assert "Hills and Armitage" in out


def test_published_counts(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    counts = "10 Hz=7/9,40 Hz=3/10,sham=2/10"
    code, found = tacs_json(capsys, "group", "--counts", counts, "--figures", tmp_path)
    assert code == 0
    observed = found["responders"][0]["observed"]
    assert observed["pearson"]["chi2"] == pytest.approx(7.334, abs=0.001)
    assert observed["exact"]["method"] == "Freeman-Halton"
    assert (tmp_path / "responders.png").exists()
    code, out, _ = tacs(capsys, "group", "--counts", "active=8/8,sham=3/8")
    assert code == 0
    assert "conditional infinite" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "give a table, --from-compare"),
        (("--counts", "active=1"), "NAME=RESPONDERS/PATIENTS"),
        (("--counts", "a=1/2,a=1/2"), "twice"),
        (("--counts", "a=3/2,b=1/2"), "3 responders of 2"),
        (("TABLE", "--counts", "a=1/2,b=1/2"), "stands alone"),
        (("none.csv",), "no such file"),
        (("TABLE", "--outcome", "scor"), "nearest: score"),
        (("TABLE", "--control", "placebo"), "no arm 'placebo'; there are"),
        (("TABLE", "--design", "anova"), "give one of auto"),
        (("TABLE", "--direction", "up"), "increase or decrease"),
        (("TABLE", "--better", "more"), "lower or higher"),
        (("TABLE", "--remission-limit", "ten"), "give a number"),
        (("TABLE", "--response-limit", "50"), "50 % is 0.5"),
        (("TABLE", "--times", "pre,later"), "no visit 'later'"),
        (("--from-compare", "nowhere"), "no such folder"),
    ],
)
def test_bad_input_is_one_line(
    capsys: pytest.CaptureFixture[str], table: Path, words: tuple[str, ...], told: str
):
    code, out, err = tacs(capsys, "group", *(str(table) if w == "TABLE" else w for w in words))
    assert (code, out) == (2, "")
    lines = err.strip().splitlines()
    assert len(lines) == 1
    assert told in lines[0]
