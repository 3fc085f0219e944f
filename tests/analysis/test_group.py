"""Comparisons of groups: each design on known truth, the words, the multiplicity."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import analysis
from analysis import AnalysisError, compare_groups
from analysis.contingency import ResponderTable
from analysis.group import compare_counts
from analysis.group_responders import ResponderRules
from analysis.group_tests import (
    Estimate,
    ancova,
    exchange_labels,
    flip_signs,
    holm,
    one_sample,
    welch,
)
from analysis.proportions import PairedProportions
from tests.analysis.made_groups import crossover, trial


def primary(result: Any, contrast: int = 0, outcome: int = 0) -> Estimate:
    found = result.outcomes[outcome].contrasts[contrast].primary
    assert found is not None
    return found


def test_welch_and_the_paired_test_are_scipys():
    rng = np.random.default_rng(0)
    x, y = rng.normal(1.0, 1.0, 9), rng.normal(0.0, 3.0, 14)
    theirs = stats.ttest_ind(x, y, equal_var=False)
    ours = welch(x, y, "x")
    assert (ours.statistic, ours.df, ours.p) == pytest.approx(
        (theirs.statistic, theirs.df, theirs.pvalue)
    )
    assert ours.interval == pytest.approx(tuple(theirs.confidence_interval()))
    single, mine = stats.ttest_1samp(x, 0.0), one_sample(x, "x")
    assert (mine.statistic, mine.p) == pytest.approx((single.statistic, single.pvalue))


def test_ancova_is_least_squares_and_sharper_than_the_change():
    rng = np.random.default_rng(1)
    before = rng.normal(20.0, 4.0, 60)
    treated = np.arange(60) % 2 == 0
    after = 10.0 + 0.4 * before - 3.0 * treated + rng.normal(0.0, 1.0, 60)
    found = ancova(after, before, treated, "x")
    design = np.column_stack([np.ones(60), before, treated])
    beta, residual, *_ = np.linalg.lstsq(design, after, rcond=None)
    se = math.sqrt(residual[0] / 57 * np.linalg.inv(design.T @ design)[2, 2])
    assert (found.estimate, found.se, found.df) == pytest.approx((beta[2], se, 57))
    change = welch((after - before)[treated], (after - before)[~treated], "x")
    assert found.se < change.se
    with pytest.raises(AnalysisError, match="baseline does not vary"):
        ancova(after, np.ones(60), treated, "x")


def test_the_exchange_of_labels_is_scipys_permutation_test():
    rng = np.random.default_rng(2)
    x, y = rng.normal(1.2, 1.0, 5), rng.normal(0.0, 2.0, 6)

    def statistic(a: Any, b: Any, axis: int) -> Any:
        return np.abs(stats.ttest_ind(a, b, axis=axis, equal_var=False).statistic)

    theirs = stats.permutation_test((x, y), statistic, vectorized=True, alternative="greater")
    ours = exchange_labels(x, y)
    assert ours.exact
    assert ours.n == math.comb(11, 5)
    assert ours.p == pytest.approx(theirs.pvalue, abs=1e-12)


def test_the_exchange_of_signs_counts_every_pattern():
    differences = np.array([1.0, 2.0, -0.5, 3.0])
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * 4)).reshape(4, -1).T
    expected = np.mean(np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9)
    assert flip_signs(differences).p == pytest.approx(expected)


def test_the_smallest_p_is_reached_and_is_what_the_literature_says():
    # Randomised sessions of one patient: 3+3 can never reach .05, 4+4 .029, 5+5 .008.
    for n, p in ((3, 0.1), (4, 0.029), (5, 0.008)):
        found = exchange_labels(np.arange(n) + 100.0, np.arange(n) * 1.0)
        assert found.p == pytest.approx(found.smallest_p)
        assert found.p == pytest.approx(p, abs=0.0005)
    unequal = exchange_labels(np.array([101.0, 100.0]), np.arange(5) * 0.1)
    assert unequal.p == pytest.approx(unequal.smallest_p)
    flips = flip_signs(np.array([1.0, 1.1, 1.2]))
    assert flips.p == flips.smallest_p == 0.25


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8))
def test_holm_is_the_step_down_rule(p_values: list[float]):
    found = holm([*p_values, None])
    assert found[-1] is None
    assert all(a is not None and a >= p for a, p in zip(found, p_values, strict=False))
    # Rejecting the adjusted at .05 is rejecting down the list until one misses its own limit.
    rejected = 0
    for rank, p in enumerate(sorted(p_values)):
        if p * (len(p_values) - rank) > 0.05:
            break
        rejected += 1
    assert sum(a is not None and a <= 0.05 for a in found) == rejected


def test_an_effect_between_arms_over_visits_is_found():
    result = compare_groups(trial(40, effect=-5.0, seed=1), expected="decrease")
    assert result.plan is not None
    assert (result.plan.design, result.plan.control) == ("mixed", "sham")
    found = primary(result)
    assert found.interval[0] < -5.0 < found.interval[1]
    assert found.method.startswith("linear mixed model (REML)")
    assert (result.direction, result.as_predicted, result.expectation) == (
        "decrease", True, "predicted",
    )  # fmt: skip
    (contrast,) = result.outcomes[0].contrasts
    assert {e.method.split(",")[0] for e in contrast.beside} == {"Welch's t test", "ANCOVA"}
    assert contrast.permutation is not None
    assert contrast.effect is not None
    assert contrast.effect.estimate < 0.0
    assert "as predicted" in result.summary
    assert "only if the arms were drawn at random" in result.summary


def test_the_expected_direction_labels_and_changes_nothing_else():
    rows = trial(40, effect=-5.0, seed=1)
    plain, told = compare_groups(rows), compare_groups(rows, expected="increase")
    assert primary(plain) == primary(told)
    assert plain.direction == told.direction == "decrease"
    assert (told.as_predicted, told.expectation) == (False, "opposite")
    assert (plain.as_predicted, plain.expectation) == (None, None)
    assert "opposite to what was predicted" in told.summary
    null = compare_groups(trial(20, seed=5), expected="decrease")
    assert (null.direction, null.as_predicted, null.expectation) == ("undetermined", None, "none")


def test_none_is_said_only_within_a_limit_declared_beforehand():
    rows = trial(60, noise=0.5, seed=3)
    assert compare_groups(rows).direction == "undetermined"
    assert compare_groups(rows, none_within=2.0).direction == "none"
    assert compare_groups(rows, none_within=0.01).direction == "undetermined"
    told = compare_groups(rows, none_within=2.0, expected="increase")
    assert told.as_predicted is False


def test_three_arms_and_two_outcomes_are_corrected_together():
    rng = np.random.default_rng(1)
    rows = [
        {**row, "other": rng.normal()}
        for row in (trial(30, effect=-6.0, arms=("ten", "forty", "sham"), seed=2))
    ]
    result = compare_groups(rows, outcomes=("score", "other"))
    assert result.n_tests == 4
    raw = [c.primary.p for o in result.outcomes for c in o.contrasts if c.primary is not None]
    adjusted = [c.p_holm for o in result.outcomes for c in o.contrasts]
    assert adjusted == pytest.approx(holm(raw))
    assert [c.arm for c in result.outcomes[0].contrasts] == ["ten", "forty"]
    assert result.outcomes[0].joint is not None
    assert result.outcomes[0].joint["df"][0] == 2
    assert "Holm over 4 comparisons" in result.summary


def test_a_joint_test_of_values_is_the_analysis_of_variance():
    rows = trial(18, visits=("pre",), arms=("a", "b", "sham"), seed=4)
    result = compare_groups(rows)
    assert result.plan is not None
    assert result.plan.design == "between"
    groups = [[r["score"] for r in rows if r["arm"] == arm] for arm in ("a", "b", "sham")]
    theirs = stats.f_oneway(*groups)
    joint = result.outcomes[0].joint
    assert joint is not None
    assert (joint["f"], joint["p"]) == pytest.approx((theirs.statistic, theirs.pvalue))


def test_changes_between_arms_need_no_model():
    rows = trial(16, effect=-4.0, seed=6)
    result = compare_groups(rows, design="between")
    assert primary(result).method == "Welch's t test"
    assert result.outcomes[0].model is None
    (contrast,) = result.outcomes[0].contrasts
    assert [e.method for e in contrast.beside] == ["ANCOVA, after ~ before + arm"]


def test_one_arm_before_and_after_says_what_it_cannot_tell():
    rows = [row for row in trial(24, effect=-3.0, seed=7) if row["arm"] == "active"]
    result = compare_groups(rows)
    assert result.plan is not None
    assert (result.plan.design, result.plan.control) == ("paired", None)
    before = np.array([r["score"] for r in rows if r["time"] == "pre"])
    after = np.array([r["score"] for r in rows if r["time"] == "post"])
    assert primary(result).p == pytest.approx(stats.ttest_rel(after, before).pvalue)
    assert any("regression to the mean" in warning for warning in result.warnings)
    assert "cannot be told from this design" in result.summary


def test_two_conditions_without_periods_are_pairs():
    rows = [{k: v for k, v in row.items() if k != "period"} for row in crossover(10, seed=1)]
    result = compare_groups(rows)
    assert result.plan is not None
    assert result.plan.design == "paired"
    assert any("effect of order" in warning for warning in result.warnings)


def test_a_crossover_takes_the_period_out():
    # Unequal orders: the period's trend of 4 would be taken for an effect by the pairs.
    orders = (("active", "sham"), ("active", "sham"), ("active", "sham"), ("sham", "active"))
    rows = crossover(16, effect=0.0, period=4.0, orders=orders, seed=5)
    found = compare_groups(rows)
    assert found.plan is not None
    assert found.plan.design == "crossover"
    assert primary(found).interval[0] < 0.0 < primary(found).interval[1]
    pairs = compare_groups(
        [{k: v for k, v in row.items() if k != "period"} for row in rows], design="paired"
    )
    assert primary(pairs).interval[1] < 0.0
    assert any("wash-out" in warning for warning in found.warnings)


def test_before_and_after_within_periods_are_changes():
    rows = [
        {**row, "time": visit, "score": row["score"] if visit == "post" else 7.0}
        for row in crossover(12, effect=3.0, seed=3)
        for visit in ("pre", "post")
    ]
    result = compare_groups(rows)
    assert result.plan is not None
    assert result.plan.design == "crossover"
    plain = compare_groups(crossover(12, effect=3.0, seed=3))
    assert primary(result).estimate == pytest.approx(primary(plain).estimate, abs=1e-4)


def test_the_same_order_for_everybody_is_refused():
    with pytest.raises(AnalysisError, match="same order"):
        compare_groups(crossover(8, orders=(("active", "sham"),)))


def test_two_conditions_in_one_period_are_refused():
    rows = crossover(8)
    rows.append({"subject": "P00", "arm": "sham", "period": 1, "score": 3.0})
    with pytest.raises(
        AnalysisError, match="line 17: patient P00 has sham in period 1, and active"
    ):
        compare_groups(rows)


def test_one_patient_is_told_from_sessions():
    rng = np.random.default_rng(1)
    rows = [
        {"subject": "P1", "arm": arm, "session": k, "x": rng.normal(2.0 * (arm == "active"), 0.3)}
        for k, arm in enumerate(
            ("active", "sham", "sham", "active", "active", "sham", "sham", "active")
        )
    ]
    result = compare_groups(rows)
    assert result.plan is not None
    assert result.plan.design == "n_of_1"
    assert result.direction == "increase"
    (contrast,) = result.outcomes[0].contrasts
    assert contrast.permutation is not None
    assert contrast.permutation.smallest_p == pytest.approx(2 / 70)
    assert contrast.detectable is not None
    assert any("this person alone" in warning for warning in result.warnings)
    assert [(a.arm, a.n) for a in result.outcomes[0].attendance] == [("active", 4), ("sham", 4)]
    few = compare_groups(rows[:5])
    assert few.outcomes[0].contrasts[0].primary is None
    assert "fewer than 3" in few.summary


def test_sessions_of_one_patient_with_visits_are_changes():
    rows = [
        {
            "subject": "P1",
            "arm": arm,
            "session": k,
            "time": time,
            "x": 5.0 * k + gain * (time == "post"),
        }
        for k, (arm, gain) in enumerate(
            [
                ("active", 2.0),
                ("sham", 0.1),
                ("sham", 0.3),
                ("active", 2.4),
                ("active", 1.9),
                ("sham", 0.2),
            ]
        )
        for time in ("pre", "post")
    ]
    result = compare_groups(rows)
    assert result.plan is not None
    assert result.plan.design == "n_of_1"
    assert primary(result).estimate == pytest.approx(2.1 - 0.2)
    assert [(a.arm, a.n) for a in result.outcomes[0].attendance] == [("active", 3), ("sham", 3)]
    unnumbered = [
        {k: v for k, v in row.items() if k != "session"} for row in rows if row["session"] in (0, 1)
    ]
    with pytest.raises(AnalysisError, match="which session do pre, post belong to"):
        compare_groups(unnumbered)


def test_rounding_is_no_difference_between_patients():
    same = np.full(3, 0.1) + np.array([0.0, 1.4e-17, 0.0])
    for call in (lambda: welch(same, same, "x"), lambda: one_sample(same, "x")):
        with pytest.raises(AnalysisError, match="no patient differs"):
            call()


def test_with_fewer_than_three_on_a_side_nothing_is_tested():
    result = compare_groups(trial(4))
    (contrast,) = result.outcomes[0].contrasts
    assert (contrast.primary, contrast.permutation, contrast.p_holm) == (None, None, None)
    assert "fewer than 3" in str(contrast.reason)
    assert result.outcomes[0].cells[0].mean is not None
    assert "no answer" in result.summary


def test_few_patients_are_warned_of():
    assert any("not useful below 8" in w for w in compare_groups(trial(6, seed=1)).warnings)
    assert not any("not useful" in w for w in compare_groups(trial(40, seed=1)).warnings)


def test_patients_lost_are_counted_and_still_used_by_the_model():
    rows = trial(30, lost=0.4, seed=8)
    result = compare_groups(rows)
    gone = {
        arm: sum(r["score"] is None for r in rows if r["arm"] == arm) for arm in ("active", "sham")
    }
    assert {a.arm: a.lost for a in result.outcomes[0].attendance} == gone
    assert all(a.n == 15 for a in result.outcomes[0].attendance)
    (contrast,) = result.outcomes[0].contrasts
    assert primary(result).n == 30
    assert contrast.beside[0].n == 30 - sum(gone.values())
    assert any("without a last value" in warning for warning in result.warnings)
    assert f"{gone['active']} of 15 in active" in result.summary


def test_a_straight_line_over_weeks_is_said_to_be_one():
    result = compare_groups(trial(20, visits=(0, 4, 8), slope=1.0, effect=-6.0, seed=2))
    assert any("straight line over time 0 to 8" in warning for warning in result.warnings)
    (contrast,) = result.outcomes[0].contrasts
    assert contrast.effect is not None
    found = primary(result)
    before = [
        np.array([r.values[0] for r in result.table.rows if r.arm == arm and r.time == "0"])  # type: ignore[union-attr]
        for arm in ("active", "sham")
    ]
    spread = math.sqrt(sum(group.var(ddof=1) for group in before) / 2)
    assert contrast.effect.estimate == pytest.approx(8 * found.estimate / spread)
    assert contrast.beside[0].method == "Welch's t test of each patient's slope"


def test_values_without_any_difference_have_no_error_and_no_answer():
    rows = [{**row, "score": 5.0} for row in trial(12, visits=("pre",))]
    result = compare_groups(rows)
    assert result.outcomes[0].contrasts[0].primary is None
    assert result.direction == "undetermined"


RULES = ResponderRules(response_limit=0.5, remission_limit=10.0)


def scale(pairs: list[tuple[str, float, float | None]]) -> list[dict[str, Any]]:
    return [
        {"subject": f"P{i}", "arm": arm, "time": time, "madrs": value}
        for i, (arm, before, after) in enumerate(pairs)
        for time, value in (("pre", before), ("post", after))
    ]


def test_responders_and_remitters_come_from_the_scale():
    rows = scale(
        [
            *(("active", 30, 15), ("active", 30, 16), ("active", 20, 10), ("active", 24, None)),
            *(("sham", 30, 30), ("sham", 22, 11), ("sham", 20, 19)),
        ]
    )
    result = compare_groups(rows, rules=RULES, design="between")
    response, remission = result.responders
    assert isinstance(response.observed, ResponderTable)
    # Exactly half is a response.
    assert response.observed.arms == (("active", 2, 3), ("sham", 1, 3))
    assert response.missing == (("active", 1), ("sham", 0))
    assert response.missing_as_failure is not None
    assert response.missing_as_failure.arms == (("active", 2, 4), ("sham", 1, 3))
    assert isinstance(remission.observed, ResponderTable)
    assert remission.observed.arms == (("active", 1, 3), ("sham", 0, 3))
    assert "<= 10" in remission.definition


def test_a_floor_of_the_scale_is_taken_off_before_the_share():
    rows = scale([("active", 90, 60), ("active", 90, 61), ("active", 30, 30), ("sham", 90, 90)])
    rules = ResponderRules(response_limit=0.5, scale_floor=30.0)
    result = compare_groups(rows, rules=rules, design="between")
    (response,) = result.responders
    assert isinstance(response.observed, ResponderTable)
    assert response.observed.arms == (("active", 1, 2), ("sham", 0, 1))
    assert any("does not exist" in warning for warning in result.warnings)


def test_where_more_is_better_a_rise_is_a_response():
    rows = scale([("active", 10, 15), ("active", 10, 14), ("sham", 10, 5), ("sham", 10, 10)])
    rules = ResponderRules(response_limit=0.5, remission_limit=15.0, lower_is_better=False)
    response, remission = compare_groups(rows, rules=rules, design="between").responders
    assert isinstance(response.observed, ResponderTable)
    assert response.observed.arms == (("active", 1, 2), ("sham", 0, 2))
    assert isinstance(remission.observed, ResponderTable)
    assert remission.observed.arms == (("active", 1, 2), ("sham", 0, 2))


def test_responders_of_the_same_patients_are_pairs():
    rows = [{**row, "better": "yes" if row["score"] > 11.0 else "no"} for row in crossover(12)]
    (found,) = compare_groups(rows, responder="better").responders
    assert isinstance(found.observed, PairedProportions)
    assert found.observed.conditions == ("active", "sham")


def test_a_column_of_answers_that_contradicts_itself_is_refused():
    rows = [{**row, "better": "yes" if row["time"] == "pre" else "no"} for row in trial(8)]
    with pytest.raises(AnalysisError, match="line 2: patient P00 is a responder in one line"):
        compare_groups(rows, responder="better")


@pytest.mark.parametrize(("limit", "words"), [(0.0, "above 0"), (50.0, "50 % is 0.5")])
def test_limits_that_are_none_are_refused(limit: float, words: str):
    with pytest.raises(AnalysisError, match=words):
        ResponderRules(response_limit=limit)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"expected": "better"}, "increase or decrease"),
        ({"none_within": 0.0}, "above 0"),
        ({"design": "crossover"}, "nobody is in two"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(options: dict[str, Any], words: str):
    with pytest.raises(AnalysisError, match=words):
        compare_groups(trial(12), **options)


def test_counts_alone_are_a_result():
    result = compare_counts({"active": (27, 50), "sham": (9, 50)})
    assert result.outcomes == ()
    assert "Pearson p < .001" in result.summary
    assert "NNTB 1.9 to 5.8" in result.summary
    data = result.to_dict()
    assert data["responders"][0]["observed"]["contrasts"][0]["nnt"]["value"] == pytest.approx(
        2.78, abs=0.01
    )


@pytest.mark.parametrize(
    "rows",
    [trial(20, lost=0.3, seed=1), trial(20, visits=(0, 4, 8), slope=1.0, seed=1), crossover(12)],
    ids=("visits", "weeks", "crossover"),
)
def test_every_result_is_json_and_the_same_twice(rows: list[dict[str, Any]]):
    data = compare_groups(rows, rules=ResponderRules()).to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data == compare_groups(rows).to_dict()
    assert not re.search(r"\bproves?\b", json.dumps(data))


def test_the_public_name_is_lazy():
    assert analysis.compare_groups is compare_groups
    assert "GroupResult" in dir(analysis)
