"""Effect sizes: closed forms, and intervals that hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from analysis import AnalysisError
from analysis.effect_size import (
    against_spread,
    between,
    detectable,
    hedges_factor,
    noncentral_interval,
    paired,
)


def test_the_interval_is_where_the_tails_are():
    low, high = noncentral_interval(2.3, 17.0)
    assert stats.nct.sf(2.3, 17.0, low) == pytest.approx(0.025, abs=1e-8)
    assert stats.nct.cdf(2.3, 17.0, high) == pytest.approx(0.025, abs=1e-8)
    assert noncentral_interval(-2.3, 17.0) == pytest.approx((-high, -low), abs=1e-6)
    assert noncentral_interval(25.0, 12.0)[0] > 10.0


def test_d_and_g_are_their_definitions():
    first, second = np.array([5.0, 7.0, 9.0, 6.0]), np.array([4.0, 5.0, 3.0])
    found = between(first, second)
    assert found is not None
    pooled = math.sqrt((3 * first.var(ddof=1) + 2 * second.var(ddof=1)) / 5)
    assert found.estimate == pytest.approx((first.mean() - second.mean()) / pooled)
    # Hedges's approximation of his own factor, 1 - 3 / (4 m - 1).
    assert found.corrected / found.estimate == pytest.approx(1 - 3 / (4 * 5 - 1), abs=0.003)
    assert found.interval[0] < found.estimate < found.interval[1]
    # The test of the same data and the interval agree about 0.
    t = stats.ttest_ind(first, second)
    assert (found.interval[0] > 0.0) == (t.pvalue < 0.05 and t.statistic > 0.0)


def test_d_z_is_its_definition():
    differences = np.array([1.0, 2.0, 0.5, 3.0, -0.5])
    found = paired(differences)
    assert found is not None
    assert found.name == "d_z"
    assert found.estimate == pytest.approx(differences.mean() / differences.std(ddof=1))
    low, high = noncentral_interval(found.estimate * math.sqrt(5), 4)
    assert found.interval == pytest.approx((low / math.sqrt(5), high / math.sqrt(5)))


def test_hedges_factor_takes_the_bias_out():
    rng = np.random.default_rng(1)
    x = rng.normal(0.8, 1.0, (40_000, 5))
    y = rng.normal(0.0, 1.0, (40_000, 5))
    d = (x.mean(1) - y.mean(1)) / np.sqrt((x.var(1, ddof=1) + y.var(1, ddof=1)) / 2)
    assert d.mean() > 0.86
    assert (hedges_factor(8) * d).mean() == pytest.approx(0.8, abs=0.015)


def test_intervals_cover_the_truth():
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(300):
        found = between(rng.normal(0.7, 1.0, 9), rng.normal(0.0, 1.0, 12))
        assert found is not None
        held += found.interval[0] <= 0.7 <= found.interval[1]
    # 95 % of 300 give or take three standard errors.
    assert 272 <= held <= 297


def test_the_detectable_effect_has_that_power():
    d = detectable(20, 20)
    # Cohen's table: n = 20 per group finds d = .91 with a power of .80.
    assert d == pytest.approx(0.909, abs=0.001)
    rng = np.random.default_rng(3)
    x, y = rng.normal(d, 1.0, (4000, 20)), rng.normal(0.0, 1.0, (4000, 20))
    assert np.mean(stats.ttest_ind(x, y, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.02)
    assert detectable(34) == pytest.approx(0.4953, abs=0.001)  # paired, n = 34: d_z = .50


def test_a_yardstick_of_groups_is_pooled_within_them():
    groups = [np.array([1.0, 3.0]), np.array([11.0, 13.0, 15.0])]
    found = against_spread(4.0, (2.0, 6.0), groups, "standard deviations at 0")
    assert found is not None
    spread = math.sqrt((2.0 + 8.0) / 3.0)
    assert (found.estimate, *found.interval) == pytest.approx(
        (4.0 / spread, 2.0 / spread, 6.0 / spread)
    )
    assert against_spread(1.0, (0.0, 2.0), [np.ones(4), np.ones(3)], "") is None


def test_nothing_that_varies_is_no_effect_size():
    assert between(np.ones(3), np.zeros(3)) is None
    assert paired(np.ones(4)) is None


def test_too_few_values_are_refused():
    with pytest.raises(AnalysisError, match="two values in each arm"):
        between(np.ones(1), np.ones(4))
    with pytest.raises(AnalysisError, match="three patients"):
        paired(np.ones(2))
