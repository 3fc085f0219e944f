"""The artefact benchmark on one recording: what it counts, and that its figures are sane."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("benchmarks.artifact", reason="benchmarks are not here")

from benchmarks import artifact, artifact_peers
from benchmarks.artifact_made import in_band, make


def test_a_run_has_every_table_and_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ("none", "ged (default)", "SASS (own)", "template")
    monkeypatch.setattr(artifact, "OURS", {name: artifact_peers.OURS[name] for name in kept})
    file = tmp_path / "artifact.json"
    words = ["--seeds", "1", "--first", "11", "--seconds", "40", "--gains", "1.5"]
    result = artifact.main([*words, "--peers", "none", "--json", str(file)])
    assert json.loads(file.read_text(encoding="utf-8")) == json.loads(json.dumps(result))
    assert set(result["cells"]) == {"tacs x1.5", "am x1.5"}
    cell = result["cells"]["tacs x1.5"]
    assert set(cell) == {"no artefact", *kept}
    assert cell["no artefact"]["r"] > 0.99
    assert cell["no artefact"]["error_db"] == 0.0
    assert cell["none"]["r"] < 0.3
    assert cell["ged (default)"]["r"] > cell["template"]["r"]
    assert cell["SASS (own)"]["error_db"] < -1.0 < cell["ged (default)"]["error_db"]
    assert result["entrainment"]["tacs"]["true"] > 0.5
    assert result["entrainment"]["tacs"]["ged (default)"] < 0.2
    assert len(result["goals"]) == 5
    assert "phase locking left" in capsys.readouterr().out


def test_goals_are_met_or_short() -> None:
    good = {"r": 0.95, "phase_sd_deg": 20.0, "true_db": 3.0, "worst_error_db": -0.5}
    assert [met for _, met in artifact.goals("tacs", 1.5, good)] == [True, True, True]
    bad = {**good, "r": 0.93, "phase_sd_deg": 27.0, "worst_error_db": 0.7}
    assert [met for _, met in artifact.goals("tacs", 1.5, bad)] == [False, False, False]
    assert len(artifact.goals("tacs", 2.5, {**good, "true_db": 8.0})) == 1


def test_the_made_recording_is_what_it_says() -> None:
    made = make(11, gain=2.0, duration_s=40.0)
    band = {name: in_band(getattr(made, name), 250.0) for name in ("rest_v", "clean_v", "stim_v")}
    artefact = in_band(made.stim_v - made.clean_v, 250.0)
    above = 10.0 * np.log10(artefact.var(axis=1).mean() / band["rest_v"].var(axis=1).mean())
    assert above == pytest.approx(40.0, abs=0.1)
    risen = artifact.score(made, made.clean_v)
    assert risen["true_db"] == pytest.approx(6.0, abs=1.5)
    assert risen["change_db"] == risen["true_db"]
    assert made.readout @ made.pattern == pytest.approx(1.0)


@pytest.mark.parametrize("words", [["--seeds", "0"], ["--seconds", "5"], ["--gains", "x"]])
def test_nonsense_on_the_command_line_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        artifact.arguments(words)
    assert stop.value.code == 2


def test_a_peer_that_breaks_down_is_told_and_the_others_go_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(_: object) -> np.ndarray:
        raise ValueError("no")

    options = artifact.arguments(["--seeds", "1", "--first", "11", "--seconds", "30"])
    tried = {"broken": broken, "none": artifact_peers.OURS["none"]}
    cell = artifact.run_cell("am", 1.0, options, tried)
    assert set(cell) == {"no artefact", "none"}
    assert "broken: ValueError: no" in capsys.readouterr().out
