"""Many persons over visits: who is behind a mean, and what a published trial gives."""

from __future__ import annotations

import csv
import math

import pytest

from analysis.errors import AnalysisError
from analysis.longitudinal_cohort import cohort_course
from tests.data import recording

VISITS = ["pre", "2m", "4m", "6m", "8m"]


def test_who_is_there_who_left_and_who_comes_again():
    found = cohort_course(
        {
            "a": [30.0, 20.0, 10.0],
            "b": [20.0, None, 12.0],
            "c": [40.0, 38.0, None],
            "d": [24.0, None, None],
            "nobody": [None, None, None],
        },
        ["0", "1", "2"],
    )
    assert [(v.n, v.n_left, v.n_between) for v in found.visits] == [(4, 0, 0), (2, 1, 1), (2, 2, 0)]
    assert [v.mean for v in found.visits] == [28.5, 29.0, 11.0]
    assert [v.change for v in found.visits] == [None, -6.0, -14.0]
    assert (found.n, found.n_complete) == (4, 2)
    assert (found.first_of_complete, found.first_of_left) == (25.0, 32.0)
    assert "2 of 4 left before the last visit; those who left began at 32.0" in found.caution
    low, high = found.visits[1].change_ci95 or (0.0, 0.0)
    # Changes -10 and -2: t(0.975, 1) = 12.706, SE = 4.
    assert (low, high) == (pytest.approx(-56.82, abs=0.01), pytest.approx(44.82, abs=0.01))


@pytest.mark.parametrize(
    ("values", "visits"),
    [
        ({}, ["0"]),
        ({"a": [None]}, ["0"]),
        ({"a": [1.0]}, ["0", "1"]),
        ({"a": [math.nan]}, ["0"]),
        ({"a": [math.inf]}, ["0"]),
    ],
)
def test_tables_that_are_refused(values: dict[str, list[float | None]], visits: list[str]):
    with pytest.raises(AnalysisError, match="cohort"):
        cohort_course(values, visits)


def test_a_single_value_has_no_interval():
    (visit,) = cohort_course({"a": [3.0]}, ["0"]).visits
    assert (visit.mean, visit.ci95, visit.change) == (3.0, None, None)


def test_a_published_trial():
    """Beat the Blues: numbers of patients and means of either arm, counted from the table."""
    path = recording("clinical_bdi/BtheB.csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    arms: dict[str, dict[str, list[float | None]]] = {}
    for row in rows:
        cells = [row[f"bdi.{visit}"] for visit in VISITS]
        arms.setdefault(row["treatment"], {})[row["rownames"]] = [
            float(cell) if cell not in {"", "NA"} else None for cell in cells
        ]
    found = {arm: cohort_course(values, VISITS) for arm, values in arms.items()}
    for arm, course in found.items():
        for number, visit in enumerate(course.visits):
            known = [row[number] for row in arms[arm].values() if row[number] is not None]
            assert visit.n == len(known)
            assert visit.mean == pytest.approx(math.fsum(known) / len(known))
    assert {arm: course.n for arm, course in found.items()} == {"TAU": 48, "BtheB": 52}
    # Everitt and Hothorn: 97, 73, 58 and 52 of 100 are left at 2, 4, 6 and 8 months.
    both = [sum(c.visits[n].n for c in found.values()) for n in range(5)]
    assert both == [100, 97, 73, 58, 52]
    assert all((c.visits[4].change or 0.0) < 0.0 for c in found.values())
