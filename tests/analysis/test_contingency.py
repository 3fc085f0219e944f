"""Responder tables against the published ones, and against counting every table."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis import AnalysisError, proportions
from analysis.contingency import NumberNeeded, compare_proportions, odds_ratio, pearson
from analysis.exact_table import exact_test
from analysis.proportions import (
    RiskDifference,
    compare_paired_proportions,
    newcombe_interval,
    wilson_interval,
)

# Alexander et al. 2019 (10 Hz, 40 Hz, sham): responders, patients; chi-squared and p as printed.
ALEXANDER = [
    ("MADRS response, 2 weeks", ((7, 9), (3, 10), (2, 10)), 7.334, 0.0256),
    ("MADRS remission, 2 weeks", ((1, 9), (3, 10), (2, 10)), 1.034, 0.596),
    ("MADRS response, 4 weeks", ((5, 9), (5, 10), (3, 9)), 0.973, 0.615),
]


def every_table(rows: list[int], columns: list[int]) -> list[list[list[int]]]:
    """All tables with the margins: every number in every cell but those of the last column."""
    if not rows:
        return [[]] if not any(columns) else []
    found = []
    for cells in itertools.product(*(range(min(rows[0], c) + 1) for c in columns[:-1])):
        last = rows[0] - sum(cells)
        if 0 <= last <= columns[-1]:
            left = [c - n for c, n in zip(columns, (*cells, last), strict=True)]
            found += [[[*cells, last], *rest] for rest in every_table(rows[1:], left)]
    return found


def counted_p(table: list[list[int]]) -> float:
    """Freeman and Halton's p from every table, in fractions."""
    counts = np.array(table)

    def weight(cells: list[list[int]]) -> Fraction:
        return Fraction(1, math.prod(math.factorial(n) for row in cells for n in row))

    observed = weight(table)
    weights = [
        weight(one) for one in every_table(counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist())
    ]
    return float(sum(w for w in weights if w <= observed) / sum(weights))


@pytest.mark.parametrize(("name", "arms", "chi2", "p"), ALEXANDER, ids=lambda x: str(x)[:24])
def test_alexander_2019(name: str, arms: tuple[tuple[int, int], ...], chi2: float, p: float):
    named = dict(zip(("10 Hz", "40 Hz", "sham"), arms, strict=True))
    found = compare_proportions(named)
    assert found.pearson is not None
    assert found.pearson.statistic == pytest.approx(chi2, abs=0.001)
    assert found.pearson.df == 2
    assert found.pearson.p == pytest.approx(p, abs=0.001)
    assert found.exact.method == "Freeman-Halton"
    assert found.exact.p == pytest.approx(counted_p([[r, n - r] for r, n in arms]), rel=1e-12)


def test_freeman_halton_of_alexanders_response_is_exact():
    # A figure of .0270 for this table is a sampled one (10 000 draws: standard error .0016).
    found = exact_test([[7, 2], [3, 7], [2, 8]])
    assert found.p == pytest.approx(0.027824, abs=1e-6)
    assert found.p_error is None
    assert abs(found.p - 0.0270) < 2 * 0.0016


def test_wang_2022():
    (contrast,) = compare_proportions({"active": (27, 50), "sham": (9, 50)}).contrasts
    assert contrast.pearson is not None
    assert contrast.pearson.statistic == pytest.approx(14.06, abs=0.005)
    assert contrast.pearson.p == pytest.approx(0.0002, abs=0.00005)
    assert contrast.risk_difference.estimate == pytest.approx(0.36)
    assert contrast.number_needed.value == pytest.approx(2.78, abs=0.005)
    assert contrast.odds_ratio.estimate == pytest.approx(5.35, abs=0.005)


@pytest.mark.parametrize(
    ("active", "sham", "plain", "yates", "fisher"),
    [
        ((16, 30), (5, 30), 0.0029, 0.0068, 0.0061),  # insomnia, 77.5 Hz
        ((11, 14), (2, 15), 0.0004, 0.0016, 0.0007),  # SNT, remission
        ((12, 24), (5, 24), 0.0346, 0.0702, 0.0687),  # SNT replication, remission
    ],
)
def test_published_tables_of_two_arms(
    active: tuple[int, int], sham: tuple[int, int], plain: float, yates: float, fisher: float
):
    found = compare_proportions({"active": active, "sham": sham})
    (contrast,) = found.contrasts
    assert contrast.pearson is not None
    assert contrast.yates is not None
    assert contrast.pearson.p == pytest.approx(plain, abs=0.00005)
    assert contrast.yates.p == pytest.approx(yates, abs=0.00005)
    assert contrast.exact.p == pytest.approx(fisher, abs=0.00005)


def test_pearson_and_fisher_on_different_sides_are_said_to_be():
    found = compare_proportions({"active": (12, 24), "sham": (5, 24)})
    assert found.pearson is not None
    assert found.pearson.statistic == pytest.approx(4.463, abs=0.0005)
    assert any("different sides of .05" in warning for warning in found.warnings)
    same = compare_proportions({"active": (27, 50), "sham": (9, 50)})
    assert same.warnings == ()


@settings(deadline=None)
@given(st.lists(st.integers(0, 12), min_size=4, max_size=4).filter(lambda c: sum(c) > 0))
def test_fisher_is_scipys(cells: list[int]):
    table = [cells[:2], cells[2:]]
    assert exact_test(table).p == pytest.approx(stats.fisher_exact(table).pvalue, rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=6, max_size=6).filter(lambda c: sum(c) > 0))
def test_freeman_halton_is_what_counting_gives(cells: list[int]):
    for width in (2, 3):
        table = [cells[i : i + width] for i in range(0, 6, width)]
        assert exact_test(table).p == pytest.approx(counted_p(table), rel=1e-12)


def test_freeman_halton_of_three_by_three_is_what_counting_gives():
    table = [[2, 0, 1], [0, 2, 1], [1, 1, 2]]
    assert exact_test(table).p == pytest.approx(counted_p(table), rel=1e-12)


def test_a_table_too_large_to_count_is_sampled_and_says_so():
    rng = np.random.default_rng(5)
    table = rng.multinomial(400, np.full(20, 0.05)).reshape(4, 5)
    found = exact_test(table.tolist())
    assert "sampled" in found.method
    assert found.p_error is not None
    plain = stats.chi2_contingency(table, correction=False).pvalue
    assert found.p == pytest.approx(plain, abs=0.03)


def test_a_sampled_p_agrees_with_the_counted_one(monkeypatch: pytest.MonkeyPatch):
    table = [[7, 2, 1], [3, 7, 4], [2, 8, 6]]
    counted = exact_test(table)
    monkeypatch.setattr("analysis.exact_table.MOST_STATES", 1)
    sampled = exact_test(table)
    assert sampled.p_error is not None
    assert sampled.p == pytest.approx(counted.p, abs=4 * sampled.p_error)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_chi_squared_is_scipys(n: int, m: int, data: st.DataObject):
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    table = [[a, n - a], [b, m - b]]
    if a + b in (0, n + m):
        assert pearson(table) is None
        return
    for correction in (False, True):
        ours = pearson(table, correction=correction)
        theirs = stats.chi2_contingency(table, correction=correction)
        assert ours is not None
        assert ours.statistic == pytest.approx(theirs.statistic, abs=1e-9)
        assert ours.p == pytest.approx(theirs.pvalue, abs=1e-12)


@pytest.mark.parametrize(
    ("a", "n", "b", "m", "low", "high"),
    [  # Newcombe 1998, Table II, method 10
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (6, 7, 2, 7, 0.0582, 0.8062),
        (5, 56, 0, 29, -0.0381, 0.1926),
        (0, 10, 0, 20, -0.1611, 0.2775),
        (10, 10, 0, 10, 0.6075, 1.0000),
    ],
)
def test_newcombes_own_examples(a: int, n: int, b: int, m: int, low: float, high: float):
    assert newcombe_interval(a, n, b, m) == pytest.approx((low, high), abs=0.0001)


@pytest.mark.parametrize(
    ("e", "f", "g", "h", "low", "high"),
    [  # Newcombe 1998, Stat Med 17:2635-2650, method 10
        (36, 12, 2, 0, 0.0569, 0.3404),
        (0, 12, 2, 36, 0.0569, 0.3404),
        (54, 0, 0, 0, -0.0664, 0.0664),
    ],
)
def test_newcombes_paired_examples(e: int, f: int, g: int, h: int, low: float, high: float):
    pairs = [(True, True)] * e + [(True, False)] * f + [(False, True)] * g + [(False, False)] * h
    first, second = zip(*pairs, strict=True)
    found = compare_paired_proportions(first, second, ("active", "sham"))
    assert found.risk_difference.interval == pytest.approx((low, high), abs=0.0001)
    assert (found.both, found.only_first, found.only_second, found.neither) == (e, f, g, h)
    expected = stats.binomtest(f, f + g).pvalue if f + g else 1.0
    assert found.p == pytest.approx(expected)


@pytest.mark.parametrize(
    "shares", [(0.3, 0.3, 0.1, 0.3), (0.1, 0.2, 0.2, 0.5), (0.6, 0.2, 0.05, 0.15)]
)
def test_the_paired_interval_covers(shares: tuple[float, float, float, float]):
    # Every table of 20 patients with its probability: no chance in the coverage.
    n, truth, covered = 20, shares[1] - shares[2], 0.0
    model = stats.multinomial(n, shares)
    for e, f, g in itertools.product(range(n + 1), repeat=3):
        if e + f + g <= n:
            low, high = proportions._paired_interval(e, f, g, n - e - f - g)
            if low - 1e-12 <= truth <= high + 1e-12:
                covered += float(model.pmf((e, f, g, n - e - f - g)))
    assert 0.93 < covered < 0.99


def test_the_number_needed_splits_where_the_interval_holds_zero():
    clear = NumberNeeded.of(RiskDifference(0.36, (0.17, 0.51)))
    assert clear.kind == "benefit"
    assert clear.benefit == pytest.approx((1 / 0.51, 1 / 0.17))
    assert clear.harm is None
    assert clear.text == "NNTB 2.0 to 5.9"
    # Altman 1998: ARR 10 % (-5 to 25 %) is NNTB 4 to infinity to NNTH 20.
    split = NumberNeeded.of(RiskDifference(0.10, (-0.05, 0.25)))
    assert split.value == pytest.approx(10.0)
    assert split.benefit == (pytest.approx(4.0), None)
    assert split.harm == (pytest.approx(20.0), None)
    assert split.text == "NNTB 4.0 to infinity to NNTH 20.0"
    worse = NumberNeeded.of(RiskDifference(-0.2, (-0.4, -0.1)))
    assert (worse.kind, worse.benefit) == ("harm", None)
    assert worse.harm == pytest.approx((2.5, 10.0))
    none = NumberNeeded.of(RiskDifference(0.0, (-0.2, 0.2)))
    assert (none.kind, none.value) == ("none", None)


def test_an_odds_ratio_with_an_empty_cell_has_the_exact_interval_alone():
    found = odds_ratio(8, 0, 3, 5)
    assert (found.estimate, found.interval, found.conditional) == (None, None, None)
    assert found.exact_interval is not None
    assert found.exact_interval[1] is None
    # The lower exact limit is the odds ratio at which 8 of 8 has probability 2.5 %.
    share = stats.nchypergeom_fisher(16, 8, 11, found.exact_interval[0]).sf(7)
    assert share == pytest.approx(0.025, abs=1e-6)
    assert odds_ratio(0, 5, 0, 6).exact_interval is None


def test_an_odds_ratio_is_woolfs():
    found = odds_ratio(27, 23, 9, 41)
    half = 1.959964 * math.sqrt(1 / 27 + 1 / 23 + 1 / 9 + 1 / 41)
    assert found.estimate == pytest.approx(27 * 41 / (23 * 9))
    assert found.interval is not None
    assert np.log(found.interval) == pytest.approx(
        (math.log(found.estimate) - half, math.log(found.estimate) + half), abs=1e-6
    )


@settings(deadline=None)
@given(st.integers(1, 60), st.data())
def test_wilsons_interval_is_scipys(n: int, data: st.DataObject):
    k = data.draw(st.integers(0, n))
    theirs = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert wilson_interval(k, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_everybody_responding_is_no_comparison():
    found = compare_proportions({"active": (5, 5), "sham": (6, 6)})
    assert found.pearson is None
    assert found.exact.p == 1.0
    assert "nothing to compare" in found.warnings[0]


def test_few_expected_are_said():
    assert "below 5" in compare_proportions({"a": (2, 5), "b": (1, 6)}).warnings[0]


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        ({"a": (1, 2)}, "two arms"),
        ({"a": (3, 2), "b": (1, 2)}, "3 responders of 2"),
        ({"a": (1.5, 2), "b": (1, 2)}, "whole numbers"),
        ({"a": (0, 0), "b": (1, 2)}, "0 responders of 0"),
    ],
)
def test_counts_that_are_none_are_refused(arms: dict[str, tuple[int, int]], words: str):
    with pytest.raises(AnalysisError, match=words):
        compare_proportions(arms)


def test_an_unknown_control_is_refused():
    with pytest.raises(AnalysisError, match="no such arm; there are a, b"):
        compare_proportions({"a": (1, 2), "b": (1, 2)}, control="c")


@pytest.mark.parametrize(
    "table", [[[1, 2]], [[1], [2]], [[1.5, 2], [1, 1]], [[-1, 2], [3, 1]], [[0, 0], [0, 0]]]
)
def test_what_is_no_table_of_counts_is_refused(table: list[list[int]]):
    with pytest.raises(AnalysisError, match="exact test needs"):
        exact_test(table)


def test_the_plain_form_of_a_table_is_json():
    import json

    data = compare_proportions({"active": (8, 8), "sham": (3, 8)}).to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["contrasts"][0]["odds_ratio"]["estimate"] is None
