"""The mixed model over visits: known slopes, people who leave, and a published trial."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.group_mixed import fit_mixed
from analysis.longitudinal_cohort import cohort_course
from analysis.longitudinal_mixed import cohort_model
from tests.analysis.made_groups import reml
from tests.data import recording
from tests.missing import without

DAYS = (0.0, 14.0, 28.0, 42.0, 56.0)
NAMES = tuple(f"day {day:g}" for day in DAYS)
SLOPE = -1.5  # points a week


def made(
    seed: int, n: int = 60, *, leave_above: float = math.inf, slope_sd: float = 0.4
) -> dict[str, list[float | None]]:
    """People who fall by 1.5 points a week; those above a score at a visit do not come again."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[float | None]] = {}
    for person in range(n):
        start, slope = rng.normal(28.0, 5.0), rng.normal(SLOPE, slope_sd)
        row: list[float | None] = []
        gone = False
        for number, day in enumerate(DAYS):
            value = start + slope * day / 7.0 + rng.normal(0.0, 2.0)
            row.append(None if gone else float(value))
            gone = gone or (number > 0 and value > leave_above)
        found[f"P{person:02d}"] = row
    return found


def test_a_known_slope_is_covered_as_often_as_said():
    covered = 0
    for seed in range(8):
        low, high = cohort_model(made(seed, 20), DAYS, NAMES).slope["ci95"]
        covered += low <= SLOPE <= high
    # 7.6 of 8 on average; 5 or fewer happens in 1 of 170 such campaigns.
    assert covered >= 6


def test_the_means_of_the_model_do_not_drift_as_people_leave():
    values = made(1, 120, leave_above=26.0)
    present, model = cohort_course(values, NAMES), cohort_model(values, DAYS, NAMES)
    truth = 28.0 + SLOPE * DAYS[-1] / 7.0
    last = present.visits[-1]
    assert last.n < 90
    assert last.ci95 is not None
    assert last.ci95[1] < truth  # those who stayed are better than everybody
    low, high = model.visits[-1]["ci95"]
    assert low <= truth <= high
    assert model.slope["estimate"] == pytest.approx(SLOPE, abs=0.3)
    assert model.slope["sd"] == pytest.approx(0.4, abs=0.2)


def test_complete_data_give_the_plain_means():
    values = made(2, 40)
    present, model = cohort_course(values, NAMES), cohort_model(values, DAYS, NAMES)
    for plain, modelled in zip(present.visits, model.visits, strict=True):
        assert modelled["mean"] == pytest.approx(plain.mean, abs=1e-6)
    assert model.visits[0]["change"] is None
    assert model.visits[-1]["change"] == pytest.approx(present.visits[-1].change, abs=1e-6)


def test_a_visit_without_values_is_left_out_and_two_visits_have_no_slope_of_their_own():
    values = {name: [row[0], None, row[2], None, None] for name, row in made(3).items()}
    model = cohort_model(values, DAYS, NAMES)
    assert [visit["name"] for visit in model.visits] == ["day 0", "day 28"]
    assert model.slope["sd"] is None


@pytest.mark.parametrize(
    ("n", "days", "said"),
    [(7, DAYS, "7 persons; with fewer than 8"), (10, DAYS[:3], "everybody needs 3 values")],
)
def test_what_is_refused(n: int, days: tuple[float, ...], said: str):
    with pytest.raises(AnalysisError, match=said):
        cohort_model(made(4, n), days, NAMES[: len(days)])


def test_one_visit_is_refused():
    values: dict[str, list[float | None]] = {str(n): [float(n), None] for n in range(10)}
    with pytest.raises(AnalysisError, match="two visits or more"):
        cohort_model(values, (0.0, 7.0), ("a", "b"))


def test_without_statsmodels_it_is_one_line(monkeypatch: pytest.MonkeyPatch):
    without(monkeypatch, "statsmodels")
    with pytest.raises(AnalysisError, match=r"pip install 'tacs-suite\[cohort\]'"):
        cohort_model(made(5), DAYS, NAMES)


def beat_the_blues() -> list[dict[str, str]]:
    with recording("clinical_bdi/BtheB.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_trial_as_a_fit_without_a_library_gives_it():
    """Beat the Blues (Proudfoot et al. 2003; HSAUR, Everitt and Hothorn), either arm."""
    visits = ("pre", "2m", "4m", "6m", "8m")
    days = (0.0, 60.0, 120.0, 180.0, 240.0)
    for arm, left in (("TAU", 25), ("BtheB", 27)):
        values: dict[str, list[float | None]] = {
            row["rownames"]: [
                float(cell) if (cell := row[f"bdi.{visit}"]) not in {"", "NA"} else None
                for visit in visits
            ]
            for row in beat_the_blues()
            if row["treatment"] == arm
        }
        model = cohort_model(values, days, visits)
        long = [
            (name, days[n] / 7.0, value)
            for name, row_ in values.items()
            for n, value in enumerate(row_)
            if value is not None
        ]
        weeks = np.array([week for _, week, _ in long])
        design = np.column_stack([np.ones(weeks.size), weeks])
        random = design if model.linear.slope_sd is not None else design[:, :1]
        beta, se, _ = reml(
            np.array([value for *_, value in long]), design, [name for name, *_ in long], random
        )
        assert model.slope["estimate"] == pytest.approx(beta[1], abs=2e-3)
        assert model.slope["se"] == pytest.approx(se[1], rel=5e-3)
        assert model.slope["ci95"][1] < 0.0
        assert sum(row_[-1] is not None for row_ in values.values()) == left


def test_the_published_model_of_a_trial():
    """Everitt and Hothorn, A handbook of statistical analyses using R (HSAUR2), chapter 13.

    Printed there: maximum likelihood, random intercept, 280 values of 97 persons, visits at 2, 3, 5
    and 8 months (the table's columns are still named 4m and 6m). Ours is restricted maximum
    likelihood: the variance between persons is larger, the fixed effects move by hundredths.
    """
    printed = (5.59239, 0.63968, -0.70476, -2.32908, -2.82495, 0.19708)
    printed_se = (2.24244, 0.07789, 0.14639, 1.67036, 1.72684, 1.63832)
    between, within = 48.777, 25.140
    score, design, persons = [], [], []
    for row in beat_the_blues():
        for column, month in (("2m", 2.0), ("4m", 3.0), ("6m", 5.0), ("8m", 8.0)):
            if row[f"bdi.{column}"] in {"", "NA"}:
                continue
            score.append(float(row[f"bdi.{column}"]))
            persons.append(row["rownames"])
            design.append(
                [1.0, float(row["bdi.pre"]), month, float(row["treatment"] == "BtheB"),
                 float(row["drug"] == "Yes"), float(row["length"] == ">6m")]
            )  # fmt: skip
    y, x = np.array(score), np.array(design)
    assert (y.size, len(set(persons))) == (280, 97)
    # With the variances as printed, least squares give the effects and errors as printed.
    same = np.equal.outer(np.array(persons), np.array(persons))
    inverse = np.linalg.inv(between * same + within * np.eye(y.size))
    covariance = np.linalg.inv(x.T @ inverse @ x)
    assert covariance @ x.T @ inverse @ y == pytest.approx(printed, abs=2e-4)
    assert np.sqrt(np.diag(covariance)) == pytest.approx(printed_se, rel=1e-3)
    names = ("intercept", "bdi.pre", "month", "BtheB", "drug", "length")
    ours = fit_mixed(y, x, names, persons, formula="bdi ~ bdi.pre + month + arm + drug + length")
    assert [t.estimate for t in ours.terms] == pytest.approx(list(printed), abs=0.03)
    assert [t.se for t in ours.terms] == pytest.approx(list(printed_se), rel=0.03)
    assert math.sqrt(between) < ours.intercept_sd < 1.05 * math.sqrt(between)
