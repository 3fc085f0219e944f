"""The campaign on the store, as small as it gets: every part runs and its verdicts can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import store as bench
from tacs.dataset import SessionPaths
from tacs.projection import project
from tacs.store import rebuild


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bench, "SESSIONS", 6)
    bench.make(tmp_path / "data", 2, 0, 3)
    return tmp_path / "data"


def test_the_made_data_set_is_read_whole(made: Path):
    found = project(made)
    assert found.rows("problems") == []
    assert len(found.rows("sessions", outcome="done", record_verifies=1)) == 12
    assert (len(found.rows("peaks")), len(found.rows("outcomes"))) == (12, 12)
    assert (len(found.rows("ratings")), len(found.rows("forms"))) == (4, 12)
    # Every line in between is part of the chain that is verified.
    record = SessionPaths.of(made, "P0001", "03").record
    assert len(record.read_bytes().splitlines()) == 5
    record.write_bytes(record.read_bytes().replace(b'"level":1.0', b'"level":0.5', 1))
    assert len(project(made).rows("sessions", record_verifies=0)) == 1


def test_queries_writers_and_a_killed_rebuild(made: Path, tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    rebuild(made, url)
    times = bench.queries(url, 2, 10, 0)
    assert set(times) == {
        "list_p50_ms", "list_p99_ms", "timeline_p50_ms", "timeline_p99_ms",
    }  # fmt: skip
    assert all(value > 0.0 for value in times.values())
    with pytest.raises(SystemExit, match="2 of 3 patients"):
        bench.queries(url, 3, 1, 0)
    assert bench.killed(made, url) is True
    assert bench.two_writers(made, url)["equal"] is True


def test_two_programs_at_the_journal_and_one_that_is_killed(tmp_path: Path):
    found = bench.journal_writers(tmp_path, 3, 1)
    assert (found["there"], found["ok"]) == ([3, 3], True)
    assert found["there_after_kills"] >= 3
