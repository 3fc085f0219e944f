"""The demonstration: the whole chain, and whether it finds the truth that was planted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.estimate import PeakEstimate
from tacs.cli import call
from tacs.demo import free_folder
from tests.analysis import made_estimate
from tests.tacs.test_bids import validate


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    import contextlib
    import io

    folder, out = tmp_path_factory.mktemp("demo") / "out", io.StringIO()
    with contextlib.redirect_stdout(out):
        assert call(["demo", "--out", str(folder), "--seed", "1", "--json"]) == 0
    found: dict[str, object] = json.loads(out.getvalue())
    return found


def test_the_peak_is_found_within_its_interval(summary: dict[str, object]) -> None:
    truth, peak = summary["truth"], summary["peak"]
    assert isinstance(truth, dict)
    assert isinstance(peak, dict)
    low, high = peak["ci95_hz"]
    assert low <= truth["peak_hz"] <= high
    assert peak["frequency_hz"] == pytest.approx(truth["peak_hz"], abs=0.15)


def test_the_session_is_delivered_at_the_peak(summary: dict[str, object]) -> None:
    plan, session = summary["plan"], summary["session"]
    assert isinstance(plan, dict)
    assert isinstance(session, dict)
    assert session["outcome"] == "done"
    delivered = session["delivered"]
    assert delivered["frequency_hz"] == pytest.approx(plan["achieved_frequency_hz"], abs=0.005)
    assert 0.99 <= delivered["current_peak_ma"] <= 1.0


def test_the_change_is_found_with_its_direction(summary: dict[str, object]) -> None:
    outcome, truth = summary["outcome"], summary["truth"]
    assert isinstance(outcome, dict)
    assert isinstance(truth, dict)
    assert (outcome["direction"], outcome["as_predicted"]) == ("increase", True)
    # The truth is the rhythm's own, and band power holds the background too.
    low, high = outcome["power"]["adjusted"]["ci95_percent"]
    assert low <= truth["power_percent"] <= high


def test_the_data_set_is_valid(summary: dict[str, object]) -> None:
    assert validate(Path(str(summary["report"])).parents[4]) == []


def test_the_report_verifies_the_record_against_the_ledger(summary: dict[str, object]) -> None:
    text = Path(str(summary["report"])).read_text(encoding="utf-8")
    assert "ledger has no such session" not in text
    assert "Research use only" in text


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        (made_estimate.split(), "the rhythm is split, 8.90 Hz and 10.60 Hz, and has no interval"),
        (made_estimate.found(ci95_hz=None), "the peak, 10.05 Hz, has no interval"),
        (made_estimate.no_peak(), "no individual peak: "),
    ],
)
def test_without_one_peak_there_is_no_session(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    estimate: PeakEstimate,
    words: str,
) -> None:
    monkeypatch.setattr("tacs.demo.REST_S", 30.0)
    monkeypatch.setattr("tacs.demo.estimate_peak", lambda *_, **__: estimate)
    assert call(["demo", "--out", str(tmp_path / "out")]) == 3
    last = capsys.readouterr().err.splitlines()[-1]
    assert words in last
    assert "try another --seed" in last
    assert not (tmp_path / "out" / "protocol.toml").exists()


def test_a_folder_that_is_not_empty_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("kept")
    assert call(["demo", "--out", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "kept"


def test_a_second_demonstration_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    assert free_folder(tmp_path) == tmp_path / "tacs-demo"
    (tmp_path / "tacs-demo").mkdir()
    (tmp_path / "tacs-demo-2").mkdir()
    assert free_folder(tmp_path) == tmp_path / "tacs-demo-3"
