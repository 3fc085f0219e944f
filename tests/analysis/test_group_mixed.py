"""Mixed models against closed forms, against a fit without any library, and on a real trial."""

from __future__ import annotations

import csv
import itertools
from typing import Any

import numpy as np
import pytest
from scipy import stats

from analysis import AnalysisError
from analysis.group import compare_groups
from analysis.group_mixed import degrees_of_freedom, fit_mixed
from tests.analysis.made_groups import crossover, reml, trial
from tests.data import recording
from tests.missing import without

NAMES = ("intercept", "time", "arm", "time:arm")


def arrays(rows: list[dict[str, Any]]) -> tuple[Any, Any, list[str], Any]:
    """Values, design, patients and times of a made trial."""
    seen = [row for row in rows if row["score"] is not None]
    order = {visit: k for k, visit in enumerate(dict.fromkeys(r["time"] for r in rows))}
    time = np.array(
        [float(r["time"]) if not isinstance(r["time"], str) else order[r["time"]] for r in seen]
    )
    arm = np.array([float(row["arm"] == "active") for row in seen])
    design = np.column_stack([np.ones(time.size), time, arm, time * arm])
    y = np.array([row["score"] for row in seen])
    return y, design, [row["subject"] for row in seen], time


def changes(rows: list[dict[str, Any]], arm: str) -> np.ndarray[Any, Any]:
    at = {(r["subject"], r["time"]): r["score"] for r in rows if r["arm"] == arm}
    who = dict.fromkeys(subject for subject, _ in at)
    return np.array([at[s, "post"] - at[s, "pre"] for s in who])


def test_a_balanced_trial_is_the_t_test_of_the_changes():
    rows = trial(24, effect=-2.0, seed=4)
    y, design, subjects, _ = arrays(rows)
    fit = fit_mixed(y, design, NAMES, subjects, formula="score ~ time * arm")
    term = fit.term("time:arm")
    t = stats.ttest_ind(changes(rows, "active"), changes(rows, "sham"))
    assert term.t == pytest.approx(t.statistic, rel=1e-5)
    assert term.df == t.df == 22
    assert term.p == pytest.approx(t.pvalue, rel=1e-4)
    assert term.interval == pytest.approx(tuple(t.confidence_interval()), rel=1e-4)
    assert term.p_normal < term.p
    # Analysis of variance gives the variances of balanced data.
    within = (changes(rows, "active").var(ddof=1) + changes(rows, "sham").var(ddof=1)) / 4
    assert fit.residual_sd**2 == pytest.approx(within, rel=1e-4)
    means = [
        np.array(
            [
                y[np.array(subjects) == s].mean()
                for s in dict.fromkeys(subjects)
                if (int(s[1:]) % 2) == odd
            ]
        )
        for odd in (0, 1)
    ]
    between = sum(m.var(ddof=1) for m in means) / 2 - within / 2
    assert fit.intercept_sd**2 == pytest.approx(between, rel=1e-3)


@pytest.mark.parametrize("lost", [0.0, 0.3])
def test_random_intercepts_are_those_of_a_fit_without_a_library(lost: float):
    y, design, subjects, _ = arrays(trial(18, effect=-1.0, lost=lost, seed=6))
    fit = fit_mixed(y, design, NAMES, subjects, formula="score ~ time * arm")
    beta, se, likelihood = reml(y, design, subjects, np.ones((y.size, 1)))
    assert [t.estimate for t in fit.terms] == pytest.approx(list(beta), rel=1e-4)
    assert [t.se for t in fit.terms] == pytest.approx(list(se), rel=1e-4)
    assert fit.log_likelihood == pytest.approx(likelihood, abs=1e-5)


def test_random_slopes_are_those_of_a_fit_without_a_library():
    rows = trial(20, visits=(0, 2, 4, 8), slope=1.5, lost=0.25, seed=7)
    y, design, subjects, time = arrays(rows)
    fit = fit_mixed(y, design, NAMES, subjects, formula="score ~ time * arm", slope=time)
    assert fit.formula.endswith("(1 + time | subject)")
    beta, se, likelihood = reml(y, design, subjects, np.column_stack([np.ones(y.size), time]))
    assert [t.estimate for t in fit.terms] == pytest.approx(list(beta), abs=2e-3)
    assert [t.se for t in fit.terms] == pytest.approx(list(se), rel=2e-3)
    assert fit.log_likelihood == pytest.approx(likelihood, abs=1e-4)
    assert fit.term("time:arm").df == 18.0
    assert fit.slope_sd is not None


@pytest.mark.parametrize("seed", [0, 1])
def test_a_slope_that_nobody_has_is_left_out_and_said(seed: int):
    rows = trial(12, visits=(0, 1, 2), between=6.0, noise=3.0, seed=seed)
    y, design, subjects, time = arrays(rows)
    fit = fit_mixed(y, design, NAMES, subjects, formula="score ~ time * arm", slope=time)
    assert fit.slope_sd is None
    assert any("data support none" in note and "intercept alone" in note for note in fit.notes)


def test_patients_that_do_not_differ_are_said_to():
    y, design, subjects, _ = arrays(trial(20, between=0.0, seed=1))
    y = y - np.repeat([y[2 * i : 2 * i + 2].mean() for i in range(20)], 2)
    fit = fit_mixed(y, design, NAMES, subjects, formula="score ~ time * arm")
    assert fit.singular
    assert any("not to differ" in note for note in fit.notes)


def test_the_optimum_is_found_where_default_optimisers_stop_short():
    # lbfgs calls this one converged at a variance of 0 between patients; the optimum is elsewhere.
    rng = np.random.default_rng(3)
    rng.normal(0.0, 0.0, 20)
    y = rng.normal(size=40)
    arm, time = np.repeat(np.arange(20) % 2, 2), np.tile([0.0, 1.0], 20)
    design = np.column_stack([np.ones(40), time, arm, time * arm])
    subjects = [f"P{i:02d}" for i in np.repeat(np.arange(20), 2)]
    fit = fit_mixed(y, design, NAMES, subjects, formula="y ~ time * arm")
    _, se, likelihood = reml(y, design, subjects, np.ones((40, 1)))
    assert fit.log_likelihood == pytest.approx(likelihood, abs=1e-5)
    assert fit.term("time:arm").se == pytest.approx(se[3], rel=1e-4)
    assert not fit.singular


def test_optimisers_that_disagree_give_no_result(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("analysis.group_mixed.POWELL", {"maxiter": 1, "xtol": 1e9, "ftol": 1e9})
    monkeypatch.setattr("analysis.group_mixed.AGREE", 0.0)
    result = compare_groups(trial(12, seed=2))
    (contrast,) = result.outcomes[0].contrasts
    assert contrast.primary is None
    assert "did not converge" in str(contrast.reason)
    assert result.direction == "undetermined"
    assert [e.method.split(",")[0] for e in contrast.beside] == ["Welch's t test"]
    assert any("there is none" in warning for warning in result.warnings)


def test_degrees_of_freedom_count_patients_and_values():
    _, design, subjects, _ = arrays(trial(10, visits=(0, 1, 2), seed=0))
    groups = np.unique(subjects, return_inverse=True)[1]
    assert degrees_of_freedom(design, groups, with_slope=False) == [8.0, 18.0, 8.0, 18.0]
    assert degrees_of_freedom(design, groups, with_slope=True) == [8.0, 8.0, 8.0, 8.0]


def test_a_crossover_is_hills_and_armitage():
    rows = crossover(12, effect=1.0, period=1.5, seed=9)
    result = compare_groups(rows)
    (contrast,) = result.outcomes[0].contrasts
    at = {(r["subject"], r["period"]): r["score"] for r in rows}
    apart = [
        np.array([at[f"P{i:02d}", 1] - at[f"P{i:02d}", 2] for i in range(first, 12, 2)])
        for first in (0, 1)
    ]
    t = stats.ttest_ind(apart[0], apart[1])
    assert contrast.primary is not None
    assert contrast.primary.estimate == pytest.approx(
        (apart[0].mean() - apart[1].mean()) / 2, rel=1e-6
    )
    assert contrast.primary.statistic == pytest.approx(t.statistic, rel=1e-4)
    assert contrast.primary.df == t.df
    sums = [
        np.array([at[f"P{i:02d}", 1] + at[f"P{i:02d}", 2] for i in range(first, 12, 2)])
        for first in (0, 1)
    ]
    carry = stats.ttest_ind(sums[0], sums[1])
    assert result.outcomes[0].carry_over is not None
    assert result.outcomes[0].carry_over["t"] == pytest.approx(carry.statistic, rel=1e-3)
    assert result.outcomes[0].carry_over["df"] == carry.df


def test_three_conditions_in_three_periods_have_a_carry_over():
    orders = tuple(itertools.permutations(("sham", "low", "active")))
    result = compare_groups(crossover(18, effect=3.0, carry=1.5, orders=orders, seed=2))
    outcome = result.outcomes[0]
    assert outcome.carry_over is not None
    assert outcome.carry_over["p"] < 0.05
    active = next(c for c in outcome.contrasts if c.arm == "active")
    adjusted = next(e for e in active.beside if "carry-over" in e.name)
    # The uncorrected estimate misses what the next period still has of the condition.
    assert adjusted.interval[0] < 3.0 < adjusted.interval[1]
    assert active.p_holm is not None
    assert active.p_holm < 0.001


def test_without_statsmodels_the_models_are_refused_and_the_rest_works(
    monkeypatch: pytest.MonkeyPatch,
):
    without(monkeypatch, "statsmodels")
    with pytest.raises(AnalysisError, match=r"tacs-suite\[cohort\].*--design between"):
        compare_groups(trial(12))
    with pytest.raises(AnalysisError, match="cohort"):
        compare_groups(crossover(12))
    changed = compare_groups(trial(12), design="between")
    assert changed.outcomes[0].contrasts[0].primary is not None
    rows = [row for row in trial(12) if row["arm"] == "active"]
    assert compare_groups(rows).plan.design == "paired"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("values", "words"),
    [(np.ones(12), "does not vary"), (np.arange(12.0), "cannot be estimated")],
)
def test_a_model_that_cannot_be_estimated_is_refused(values: Any, words: str):
    design = np.column_stack([np.ones(12), np.tile([0.0, 1.0], 6), np.ones(12)])
    design[:, 2] = design[:, 0] if "estimated" in words else np.repeat([0.0, 1.0], 6)
    subjects = [str(i) for i in np.repeat(np.arange(6), 2)]
    with pytest.raises(AnalysisError, match=words):
        fit_mixed(values, design, ("intercept", "time", "arm"), subjects, formula="y ~ x")


def beat_the_blues() -> list[dict[str, Any]]:
    """The trial as a long table."""
    visits = {0: "bdi.pre", 2: "bdi.2m", 4: "bdi.4m", 6: "bdi.6m", 8: "bdi.8m"}
    with recording("clinical_bdi/BtheB.csv").open(encoding="utf-8") as file:
        return [
            {"subject": r["rownames"], "arm": r["treatment"], "month": m, "bdi": r[name] or None}
            for r in csv.DictReader(file)
            for m, name in visits.items()
        ]


def test_beat_the_blues_is_what_a_fit_without_a_library_gives():
    rows = beat_the_blues()
    result = compare_groups(rows)
    model = result.outcomes[0].model
    assert model is not None
    seen = [row for row in rows if row["bdi"] is not None]
    y = np.array([float(row["bdi"]) for row in seen])
    month = np.array([float(row["month"]) for row in seen])
    arm = np.array([float(row["arm"] == "BtheB") for row in seen])
    design = np.column_stack([np.ones(y.size), month, arm, month * arm])
    random = np.column_stack([np.ones(y.size), month])
    beta, se, likelihood = reml(y, design, [row["subject"] for row in seen], random)
    assert [t.estimate for t in model.terms] == pytest.approx(list(beta), abs=0.002)
    assert [t.se for t in model.terms] == pytest.approx(list(se), rel=0.001)
    assert model.log_likelihood == pytest.approx(likelihood, abs=1e-3)
    assert (model.n_subjects, model.n_observations) == (100, y.size)
    assert [(a.arm, a.n, a.lost) for a in result.outcomes[0].attendance] == [
        ("BtheB", 52, 25), ("TAU", 48, 23),
    ]  # fmt: skip
    assert result.direction == "undetermined"
