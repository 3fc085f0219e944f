"""Change within one person: published and hand-computed values, and what can never be reached."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import nct, permutation_test, spearmanr, t

from analysis.errors import AnalysisError
from analysis.longitudinal import (
    exploratory_link,
    minimal_detectable_change,
    peak_drift,
    percent_improvement,
    reliable_change,
)
from analysis.longitudinal_trial import design_power, least_p, n_of_1


@pytest.mark.parametrize(
    ("sd", "reliability", "points"),
    [(6.0, 0.85, 6.4), (5.0, 0.80, 6.2), (10.0, 0.93, 7.3)],
    ids=["MADRS", "HAM-D", "BDI-II"],
)
def test_reliable_change_of_three_scales(sd: float, reliability: float, points: float):
    assert round(minimal_detectable_change(sd, reliability), 1) == points
    found = reliable_change(30.0, 30.0 - points - 0.1, sd=sd, reliability=reliability)
    assert found.verdict == "improved"
    found = reliable_change(30.0, 30.0 - points + 0.1, sd=sd, reliability=reliability)
    assert found.verdict == "not reliable"
    assert reliable_change(20.0, 28.0, sd=sd, reliability=reliability).verdict == "worse"


@pytest.mark.parametrize(("reliability", "hz"), [(0.7, 1.37), (0.9, 0.79), (0.95, 0.56)])
def test_detectable_change_of_the_peak(reliability: float, hz: float):
    assert minimal_detectable_change(0.9, reliability) == pytest.approx(hz, abs=0.005)


def test_the_index_by_hand():
    # Jacobson and Truax: S_diff = √2·7.5·√(1-0.88) = 3.674; (47.5-32.5)/3.674 = 4.08 of theirs.
    found = reliable_change(47.5, 32.5, sd=7.5, reliability=0.88)
    assert found.index == pytest.approx(-4.0825, abs=1e-3)
    assert found.index is not None
    assert found.index == pytest.approx(
        1.96 * found.change_points / found.threshold_points, rel=1e-4
    )


def test_a_published_threshold_counts_from_its_own_value():
    assert reliable_change(20.0, 14.0, threshold_points=6.0).verdict == "improved"
    assert reliable_change(20.0, 14.5, threshold_points=6.0).verdict == "not reliable"
    assert reliable_change(20.0, 14.0, threshold_points=6.0).index is None


def test_an_unchanged_person_is_called_changed_in_one_of_twenty():
    rng = np.random.default_rng(3)
    sd, reliability = 6.0, 0.85
    true = rng.normal(25.0, sd * math.sqrt(reliability), 20_000)
    noise = rng.normal(0.0, sd * math.sqrt(1.0 - reliability), (2, 20_000))
    limit = minimal_detectable_change(sd, reliability)
    beyond = np.abs((true + noise[1]) - (true + noise[0])) > limit
    assert beyond.mean() == pytest.approx(0.05, abs=0.006)


def test_percent_subtracts_the_floor():
    assert percent_improvement(90.0, 60.0, 30.0) == pytest.approx(50.0)
    assert percent_improvement(90.0, 60.0) == pytest.approx(100.0 / 3.0)
    assert percent_improvement(20.0, 30.0) == pytest.approx(-50.0)
    assert percent_improvement(30.0, 30.0, 30.0) is None
    assert percent_improvement(0.0, 3.0) is None
    with pytest.raises(AnalysisError, match="must be numbers of 30"):
        percent_improvement(90.0, 20.0, 30.0)


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"sd": 6.0},
        {"reliability": 0.8},
        {"sd": 6.0, "reliability": 0.85, "threshold_points": 5.0},
        {"sd": 6.0, "reliability": 1.0},
        {"sd": 6.0, "reliability": math.nan},
        {"sd": 0.0, "reliability": 0.8},
        {"sd": math.inf, "reliability": 0.8},
        {"threshold_points": 0.0},
        {"threshold_points": math.nan},
    ],
)
def test_thresholds_that_are_refused(inputs: dict[str, float]):
    with pytest.raises(AnalysisError):
        reliable_change(20.0, 10.0, **inputs)


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(AnalysisError, match="finite"):
        reliable_change(math.nan, 10.0, threshold_points=5.0)


def test_peak_drift():
    drifts = peak_drift(
        [10.0, 10.3, 10.3, 9.0], [(9.9, 10.1), (10.2, 10.4), None, (8.8, 9.2)], sd_hz=0.9,
        reliability=0.9,
    )  # fmt: skip
    assert drifts[0].own_limit_hz == pytest.approx(math.sqrt(2.0) * 0.1)
    assert [(d.beyond_own, d.beyond_detectable) for d in drifts] == [
        (True, False), (None, False), (True, True),
    ]  # fmt: skip
    with pytest.raises(AnalysisError, match="every peak needs an interval"):
        peak_drift([10.0], [], sd_hz=0.9, reliability=0.9)


def test_the_link_is_spearmans():
    first, second = [0.1, 0.3, 0.2, 0.5, 0.5], [-1.0, -4.0, -4.0, -6.0, 0.0]
    assert exploratory_link(first, second) == pytest.approx(spearmanr(first, second).statistic)
    assert exploratory_link(first[:3], second[:3]) is None
    assert exploratory_link([1.0] * 5, second) is None
    with pytest.raises(AnalysisError):
        exploratory_link(first, second[:2])


@pytest.mark.parametrize(
    ("n_first", "n_second", "p"),
    [(3, 3, 0.10), (4, 4, 0.029), (5, 5, 0.008), (3, 4, 1 / 35), (1, 1, 1.0), (2, 5, 1 / 21)],
)
def test_the_smallest_p(n_first: int, n_second: int, p: float):
    assert least_p(n_first, n_second) == pytest.approx(p, abs=0.0005)
    found = n_of_1([9.0 + n for n in range(n_first)], [0.0 + n / 9 for n in range(n_second)])
    assert found.least_p == least_p(n_first, n_second)
    assert found.p == pytest.approx(found.least_p)


@pytest.mark.parametrize(("n_first", "n_second"), [(1, 1), (2, 2), (3, 3), (2, 4), (1, 19)])
def test_too_few_sessions_never_reach_significance(n_first: int, n_second: int):
    found = n_of_1([100.0 + n for n in range(n_first)], [0.01 * n for n in range(n_second)])
    if least_p(n_first, n_second) >= 0.05:
        assert "can never reach p < .05" in found.statement
        assert (found.power, design_power(n_first, n_second, sd=0.01, effect=99.0)) == (0.0, 0.0)
    assert found.p >= least_p(n_first, n_second)


def test_three_against_three_says_so():
    found = n_of_1([0.3, 0.4, 0.35], [0.0, 0.01, -0.02])
    assert found.p == pytest.approx(0.1)
    assert found.statement.startswith("3 against 3 sessions can never reach p < .05")


@given(
    st.lists(st.integers(-100, 100), min_size=2, max_size=5),
    st.lists(st.integers(-100, 100), min_size=2, max_size=5),
)
def test_the_p_is_the_share_of_orders(first: list[int], second: list[int]):
    found = n_of_1(first, second)
    values = np.array([*first, *second])
    observed = abs(values[: len(first)].mean() - values[len(first) :].mean())
    count = total = 0
    for chosen in combinations(range(values.size), len(first)):
        rest = [n for n in range(values.size) if n not in chosen]
        count += abs(values[list(chosen)].mean() - values[rest].mean()) >= observed - 1e-11
        total += 1
    assert found.p == pytest.approx(count / total, abs=1e-12)


def test_the_p_is_that_of_scipy():
    rng = np.random.default_rng(11)
    first, second = rng.normal(0.2, 0.2, 5), rng.normal(0.0, 0.2, 6)
    theirs = permutation_test(
        (first, second), lambda a, b: abs(np.mean(a) - np.mean(b)), alternative="greater",
        n_resamples=np.inf,
    )  # fmt: skip
    assert n_of_1(first, second).p == pytest.approx(theirs.pvalue)


def test_many_sessions_are_sampled_and_agree_with_a_t_test():
    rng = np.random.default_rng(5)
    first, second = rng.normal(0.2, 0.25, 15), rng.normal(0.0, 0.25, 15)
    found = n_of_1(first, second)
    assert not found.exact
    assert found.p > 0.0
    from scipy.stats import ttest_ind

    assert found.p == pytest.approx(ttest_ind(first, second).pvalue, abs=0.01)


def test_without_an_effect_the_p_keeps_its_level():
    rng = np.random.default_rng(2)
    ps = [n_of_1(rng.normal(size=5), rng.normal(size=5)).p for _ in range(400)]
    assert np.mean(np.array(ps) < 0.05) <= 0.08


@pytest.mark.parametrize(("sd", "n"), [(0.15, 5), (0.15, 8), (0.25, 5), (0.25, 8), (0.35, 8)])
def test_power_is_near_that_of_a_t_test(sd: float, n: int):
    shift, free = 0.22 / sd * math.sqrt(n / 2.0), 2 * n - 2
    limit = t.ppf(0.975, free)
    theory = nct.sf(limit, free, shift) + nct.cdf(-limit, free, shift)
    assert design_power(n, n, sd=sd, effect=0.22) == pytest.approx(theory, abs=0.04)


def test_sessions_that_are_refused():
    with pytest.raises(AnalysisError, match="each with one session or more"):
        n_of_1([], [0.1])
    with pytest.raises(AnalysisError, match="finite"):
        n_of_1([math.nan], [0.1])
    with pytest.raises(AnalysisError, match="more than 0"):
        design_power(5, 5, sd=0.0, effect=0.2)


def test_sessions_without_any_spread_have_no_power_to_state():
    found = n_of_1([0.1] * 4, [0.1] * 4)
    assert (found.p, found.power) == (1.0, None)
    assert "cannot be said" in found.statement
