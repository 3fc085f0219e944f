"""The benchmark of group comparisons on a few trials: what it counts."""

from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip("benchmarks.group_errors", reason="benchmarks are not here")

from benchmarks import group_errors
from benchmarks.group_errors import CELLS, Cell, rows_of, share, table_sizes


def test_a_small_run_counts_every_method(capsys: pytest.CaptureFixture[str]) -> None:
    cells = (Cell("null", 10), Cell("huge", 10, effect=9.0), Cell("cross", 8, crossover=True))
    report = group_errors.run(3, 5, 1, cells)
    assert set(report["cells"]) == {"null", "huge", "cross"}
    huge = report["cells"]["huge"]
    assert huge["ours"]["share"] == huge["statsmodels"]["share"] == 1.0
    assert report["cells"]["cross"]["statsmodels"]["answers"] == 0
    assert "power" in capsys.readouterr().out
    assert report == group_errors.run(3, 5, 1, cells)


def test_the_sizes_of_tables_are_exact() -> None:
    sizes = table_sizes(4, 0.5)
    # Of 4 and 4, Pearson rejects 4:0 and 4:1 (and their mirror images), Fisher 4:0 alone.
    assert sizes["Fisher"] == pytest.approx(2 / 256)
    assert sizes["Pearson"] == pytest.approx((2 + 4 * 4) / 256)
    assert sizes["Yates"] <= sizes["Pearson"]


def test_a_share_has_its_range_and_counts_answers() -> None:
    found = share([0.01, 0.2, None, float("nan")])
    assert (found["share"], found["answers"]) == (0.5, 2)
    assert share([None])["share"] is None


def test_made_trials_are_as_asked() -> None:
    rows = rows_of(dataclasses.replace(CELLS[0], lost=1.0), 1)
    assert len(rows) == 2 * CELLS[0].n
    assert all((row["x"] is None) == (row["time"] == "post") for row in rows)


@pytest.mark.parametrize("words", [["--trials", "0"], ["--jobs", "0"], ["--seed", "-1"]])
def test_nonsense_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        group_errors.arguments(words)
    assert "at least" in capsys.readouterr().err
