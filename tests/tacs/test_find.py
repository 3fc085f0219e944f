"""``tacs peak`` by its options: what fails at once, and what is printed in any case."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.estimate import PeakEstimate
from tacs import analyses
from tacs.cli import call
from tests.analysis import made_estimate as made
from tests.tacs.made import protocol


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> list[PeakEstimate]:
    """What the search answers with, in turn; a search that is not expected is an IndexError."""
    answers: list[PeakEstimate] = []
    monkeypatch.setattr(analyses, "estimate_peak", lambda *_, **__: answers.pop(0))
    return answers


@pytest.mark.parametrize("content", [None, "not = [toml"])
def test_a_bad_protocol_fails_before_the_search(
    content: str | None,
    answer: list[PeakEstimate],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "protocol.toml"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    answer.append(made.found())
    assert call(["peak", "closed.edf", "--against", str(file)]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert "protocol.toml" in err
    assert len(err.strip().splitlines()) == 1
    assert len(answer) == 1  # nobody searched


def test_a_good_protocol_is_held_against_the_peak(
    answer: list[PeakEstimate], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "protocol.toml"
    protocol(frequency_hz=10.0, fallback_note="fixed 10 Hz").to_toml(file)
    answer.append(made.found())
    assert call(["peak", "closed.edf", "--against", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["against"]["planned_hz"] == 10.0


@pytest.mark.parametrize("as_json", [False, True])
def test_an_unusable_recording_has_a_result_and_no_figure(
    as_json: bool, answer: list[PeakEstimate], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer.append(made.unusable())
    figure = tmp_path / "peak.png"
    arguments = ["peak", "closed.edf", "--figure", str(figure), *["--json"] * as_json]
    assert call(arguments) == 3
    out, err = capsys.readouterr()
    assert err == "no figure: the recording cannot be used\n"
    assert not figure.exists()
    if as_json:
        assert json.loads(out)["status"] == "unusable"
    else:
        assert out.startswith("unusable recording\nreason: ")


def test_a_figure_is_written_where_there_is_a_spectrum(
    answer: list[PeakEstimate], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer.append(made.no_peak())
    figure = tmp_path / "peak.png"
    assert call(["peak", "closed.edf", "--figure", str(figure)]) == 3
    out, err = capsys.readouterr()
    assert err == f"figure: {figure}\n"
    assert figure.stat().st_size > 1000
    assert out.startswith("no reliable peak\n")
