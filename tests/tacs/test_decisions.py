"""Decisions on a frequency: kept by default, retuned by name and reason, beside the peak."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tacs.cli import call
from tacs.dataset import SessionPaths, ensure_dataset, write_json
from tacs.decisions import KEEP, FrequencyDecision, decide, decision_of
from tacs.errors import FileProblems, InputError
from tacs.journal import Journal
from tacs.projection import project
from tacs.record import RecordWriter
from tacs.remeasure import Remeasurement, remeasure
from tacs.store import read_store, rebuild
from tests.tacs.made import no_peak
from tests.tacs.test_remeasure import now, planned

WHO = {"subject": "01", "session": "03", "operator": "AB", "role": "operator"}


def decisions_of(dataset: Path, subject: str | None = None) -> list[FrequencyDecision]:
    return [decision_of(x) for x in Journal(dataset).current("frequency_decision", subject)]


def near() -> Remeasurement:
    found = remeasure(now(10.3), planned())
    assert found.verdict == "keep"
    return found


def far() -> Remeasurement:
    found = remeasure(now(11.5), planned())
    assert (found.verdict, found.new_frequency_hz) == ("retune", 11.5)
    return found


def test_keeping_is_the_default_and_needs_no_reason(tmp_path: Path):
    made = decide(tmp_path, near(), **WHO)
    assert (made.choice, made.frequency_hz, made.reason) == ("keep", 10.27, KEEP)
    assert decisions_of(tmp_path, "01") == [made]
    assert decisions_of(tmp_path, "02") == []


def test_retuning_is_a_choice_with_a_name_and_a_reason(tmp_path: Path):
    with pytest.raises(InputError, match="--reason: missing; the verdict is retune"):
        decide(tmp_path, far(), choice="retune", **WHO)
    made = decide(tmp_path, far(), choice="retune", reason="the peak has moved", **WHO)
    assert (made.choice, made.frequency_hz, made.planned_hz) == ("retune", 11.5, 10.27)
    assert (made.operator, made.role, made.measured_hz) == ("AB", "operator", 11.5)
    # Keeping against the verdict is a choice as well.
    with pytest.raises(InputError, match="--reason: missing"):
        decide(tmp_path, far(), **WHO)
    kept = decide(tmp_path, far(), reason="trial", corrects=made.entry[:8], **WHO)
    assert (kept.choice, kept.frequency_hz) == ("keep", 10.27)
    assert decisions_of(tmp_path) == [kept]


def test_what_is_refused(tmp_path: Path):
    nothing = remeasure(no_peak(), planned())
    with pytest.raises(InputError, match="gives no frequency to tune to"):
        decide(tmp_path, nothing, choice="retune", reason="x", **WHO)
    with pytest.raises(InputError, match="give keep or retune"):
        decide(tmp_path, near(), choice="maybe", **WHO)
    with pytest.raises(InputError, match="decided by the staff"):
        decide(tmp_path, near(), **{**WHO, "role": "participant"})
    with pytest.raises(FileProblems, match="operator: missing"):
        decide(tmp_path, near(), **{**WHO, "operator": ""})
    assert decisions_of(tmp_path) == []


@pytest.mark.parametrize("outcome", ["done", "interrupted", "none yet"])
def test_of_a_session_that_was_run_nothing_more_is_decided(tmp_path: Path, outcome: str):
    ensure_dataset(tmp_path)
    made = decide(tmp_path, far(), choice="retune", reason="it moved", **WHO)
    record(tmp_path, outcome)
    for choice, corrects in (("keep", None), ("retune", None), ("keep", made.entry)):
        with pytest.raises(InputError, match=r"--session 03: has been run .*next"):
            decide(tmp_path, far(), choice=choice, reason="later", corrects=corrects, **WHO)
    # What was decided stays; how it was put may be mended, in sight.
    mended = decide(
        tmp_path, far(), choice="retune", reason="the peak has moved", corrects=made.entry, **WHO
    )
    assert decisions_of(tmp_path) == [mended]
    assert decide(tmp_path, near(), **{**WHO, "session": "04"}).choice == "keep"


def test_an_attempt_that_was_refused_leaves_the_session_to_be_decided(tmp_path: Path):
    record(ensure_dataset(tmp_path), "refused")
    assert decide(tmp_path, near(), **WHO).choice == "keep"


def record(dataset: Path, outcome: str) -> None:
    """A record of session 03 that ended so."""
    path = SessionPaths.of(dataset, "01", "03").record
    path.parent.mkdir(parents=True, exist_ok=True)
    with RecordWriter(path) as lines:
        lines.append("session", 0.0, {}, sync=True)
        if outcome != "none yet":
            lines.append("end", 1.0, {"outcome": outcome}, sync=True)


def test_the_store_holds_it(tmp_path: Path):
    decide(tmp_path, near(), **WHO)
    (row,) = project(tmp_path).rows("decisions")
    assert (row["choice"], row["planned_hz"], row["measured_hz"]) == ("keep", 10.27, 10.3)
    assert row["ci_low_hz"] == pytest.approx(10.15)
    rebuild(tmp_path)
    assert read_store(tmp_path).tables == project(tmp_path).tables


def test_decide_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    dataset, protocol = ensure_dataset(tmp_path / "data"), tmp_path / "protocol.toml"
    planned().to_toml(protocol, comment="made")
    write_json(SessionPaths.of(dataset, "01", "03").peak, now(11.5).to_dict())
    line = ["track", "decide", str(dataset), "--subject", "01", "--session", "03", "--protocol",
            str(protocol), "--operator", "AB", "--role", "operator"]  # fmt: skip
    assert call(line) == 2
    assert "--reason: missing" in capsys.readouterr().err
    assert call([*line, "--decision", "retune", "--reason", "moved", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["decision"]["frequency_hz"] == 11.5
    assert told["remeasurement"]["verdict"] == "retune"
    assert call([*line[:5], "--session", "04", *line[7:]]) == 2
    assert "no such peak file" in capsys.readouterr().err
