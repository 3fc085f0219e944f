"""The demonstration: the whole chain, and whether it finds the truth that was planted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tacs.cli import call
from tacs.demo import free_folder


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    import contextlib
    import io

    folder, out = tmp_path_factory.mktemp("demo") / "out", io.StringIO()
    with contextlib.redirect_stdout(out):
        assert call(["demo", "--out", str(folder), "--seed", "1", "--json"]) == 0
    found: dict[str, object] = json.loads(out.getvalue())
    return found


def test_the_peak_is_found_within_its_interval(summary: dict[str, object]):
    truth, peak = summary["truth"], summary["peak"]
    assert isinstance(truth, dict)
    assert isinstance(peak, dict)
    low, high = peak["ci95_hz"]
    assert low <= truth["peak_hz"] <= high
    assert peak["frequency_hz"] == pytest.approx(truth["peak_hz"], abs=0.15)


def test_the_session_is_delivered_at_the_peak(summary: dict[str, object]):
    plan, session = summary["plan"], summary["session"]
    assert isinstance(plan, dict)
    assert isinstance(session, dict)
    assert session["outcome"] == "done"
    delivered = session["delivered"]
    assert delivered["frequency_hz"] == pytest.approx(plan["achieved_frequency_hz"], abs=0.005)
    assert 0.99 <= delivered["current_peak_ma"] <= 1.0


def test_the_change_is_found_with_its_direction(summary: dict[str, object]):
    outcome, truth = summary["outcome"], summary["truth"]
    assert isinstance(outcome, dict)
    assert isinstance(truth, dict)
    assert (outcome["direction"], outcome["as_predicted"]) == ("increase", True)
    low, high = outcome["power"]["ci95_percent"]
    assert low <= truth["power_percent"] <= high


def test_the_report_verifies_the_record_against_the_ledger(summary: dict[str, object]):
    text = Path(str(summary["report"])).read_text(encoding="utf-8")
    assert "ledger has no such session" not in text
    assert "Research use only" in text


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").write_text("kept")
    assert call(["demo", "--out", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "kept"


def test_a_second_demonstration_gets_a_folder_of_its_own(tmp_path: Path):
    assert free_folder(tmp_path) == tmp_path / "tacs-demo"
    (tmp_path / "tacs-demo").mkdir()
    (tmp_path / "tacs-demo-2").mkdir()
    assert free_folder(tmp_path) == tmp_path / "tacs-demo-3"
