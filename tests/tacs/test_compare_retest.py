"""`tacs compare --retest A B`: pairs on the command line, and what is said of wrong ones."""

from __future__ import annotations

import json

import pytest

from benchmarks.made_pairs import PairCase, make_pair
from tacs import console
from tacs.cli import call
from tacs.errors import InputError

NAMES = ("before", "after", "a", "b", "c", "d")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A session with four times the alpha power after, and two pairs without a change."""
    folder = tmp_path_factory.mktemp("retest")
    made = {}
    for first, second, ratio in (("before", "after", 5.0), ("a", "b", 1.0), ("c", "d", 1.0)):
        case = PairCase(50 + ord(first[0]), alpha_ratio=ratio, duration_s=50.0, sfreq_hz=100.0)
        pair = make_pair(case)
        for name, raw in ((first, pair.before), (second, pair.after)):
            path = folder / f"{name}_raw.fif"
            raw.save(path, verbose="ERROR")
            made[name] = str(path)
    return made


def _tacs(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = call(list(words))
    out, err = capsys.readouterr()
    return code, out, err


def test_pairs_make_limits(capsys: pytest.CaptureFixture[str], files: dict[str, str]) -> None:
    f = files
    code, out, _ = _tacs(
        capsys,
        *("compare", "--retest", f["a"], f["b"], f["before"], f["after"], "--peak-hz", "10"),
        *("--retest", f["c"], f["d"], "--json"),
    )
    told = json.loads(out)
    assert code == 0
    assert told["retest"]["n"] == 2
    assert told["responder"] is told["retest"]["beyond"]
    assert told["responder"] is not None
    assert "test-retest" in told["summary"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--retest", "a"), "--retest takes two recordings"),
        (("--retest", "a", "--peak-hz", "10"), "--retest takes two recordings"),
        (("--retest=a",), "--retest takes two recordings"),
        (("--retest", "a", "a"), "a_raw.fif stands in two places"),
        (("--retest", "a", "b", "--retest", "b", "c"), "b_raw.fif stands in two places"),
        (("--retest", "a", "missing"), "missing"),
    ],
)
def test_wrong_pairs_are_one_line(
    capsys: pytest.CaptureFixture[str],
    files: dict[str, str],
    words: tuple[str, ...],
    message: str,
) -> None:
    named = [f"--retest={files['a']}" if w == "--retest=a" else files.get(w, w) for w in words]
    code, out, err = _tacs(capsys, "compare", files["before"], files["after"], *named)
    assert code == 2
    assert out == ""
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_an_odd_list_is_no_pairs() -> None:
    assert console.pairs(["a", "b", "c", "d"], "--retest") == [("a", "b"), ("c", "d")]
    assert console.pairs(None, "--retest") == []
    with pytest.raises(InputError, match="takes two"):
        console.pairs(["a", "b", "c"], "--retest")
