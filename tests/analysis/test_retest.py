"""Limits of agreement: their coverage, their refusals, and the whole way through `compare`."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, t

from analysis.errors import AnalysisError
from analysis.outcome import Outcome, compare
from analysis.retest import agreement_limits
from benchmarks.made_pairs import PairCase, make_pair

LEVEL = 1e-3


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_the_next_change_without_stimulation_lies_within_in_95_percent(n: int) -> None:
    rng, draws = np.random.default_rng(n), 4000
    outside = 0
    for changes in rng.standard_normal((draws, n + 1)):
        low, high = agreement_limits(changes[:n].tolist())
        outside += not low <= changes[n] <= high
    assert binom.ppf(LEVEL, draws, 0.05) <= outside <= binom.isf(LEVEL, draws, 0.05)


def test_1_96_standard_deviations_of_few_pairs_would_hold_far_less() -> None:
    rng, draws = np.random.default_rng(0), 2000
    changes = rng.standard_normal((draws, 4))
    mean, sd = changes[:, :3].mean(axis=1), changes[:, :3].std(axis=1, ddof=1)
    outside = int(np.sum(np.abs(changes[:, 3] - mean) > 1.96 * sd))
    assert outside > 3 * binom.isf(LEVEL, draws, 0.05)


@pytest.mark.parametrize("bias", [0.5, 2.0])
def test_a_bias_between_first_and_second_makes_them_wide_not_narrow(bias: float) -> None:
    rng, draws = np.random.default_rng(7), 2000
    outside = 0
    for changes in bias + rng.standard_normal((draws, 4)):
        low, high = agreement_limits(changes[:3].tolist())
        outside += not low <= changes[3] <= high
    assert outside <= binom.isf(LEVEL, draws, 0.05)


def test_the_factor_is_students() -> None:
    low, high = agreement_limits([0.3, -0.4])
    assert high == -low
    assert high == pytest.approx(t.ppf(0.975, 2) * np.sqrt(0.125))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [([], "0 pairs"), ([0.2], "1 pair without"), ([0.0, 0.0], "do not differ")],
)
def test_too_few_or_no_difference_are_refused(changes: list[float], reason: str) -> None:
    with pytest.raises(AnalysisError, match=reason):
        agreement_limits(changes)


def _pair(seed: int, **case: Any) -> tuple[Any, Any]:
    made = make_pair(PairCase(seed, duration_s=60.0, sfreq_hz=160.0, **case))
    return made.before, made.after


def _compare(case: dict[str, Any], n_pairs: int = 3) -> Outcome:
    pairs = [_pair(40 + i) for i in range(n_pairs)]
    before, after = _pair(39, **case)
    return compare(before, after, peak_hz=10.0, n_bootstrap=300, retest=pairs)


@pytest.fixture(scope="module")
def tripled() -> Outcome:
    return _compare({"alpha_ratio": 4.0})


def test_a_large_change_is_beyond_test_retest(tripled: Outcome) -> None:
    told = json.loads(json.dumps(tripled.to_dict(), allow_nan=False))
    retest = told["retest"]
    assert told["responder"] is True
    assert retest["n"] == 3
    assert retest["beyond"] is True
    low, high = retest["limits_ln"]
    changes = [one["ln_ratio"] for one in retest["pairs"]]
    assert high == pytest.approx(t.ppf(0.975, 3) * np.sqrt(np.mean(np.square(changes))))
    assert low == -high
    assert told["power"]["ln_ratio"] > high
    assert [one["measure"] for one in retest["measures"]] == [
        one["measure"] for one in told["inference"]["family"]
    ]
    assert "Beyond test-retest" in told["summary"]


def test_pairs_are_measured_as_the_session_is(tripled: Outcome) -> None:
    before, after = _pair(40)
    alone = compare(
        before, after, peak_hz=10.0, picks=tripled.power.region, n_bootstrap=300, seed=0
    )
    assert tripled.retest is not None
    assert tripled.retest.primary.retest[0] == pytest.approx(alone.power.raw.ln_ratio)


def test_a_small_change_is_not() -> None:
    found = _compare({}, n_pairs=2)
    assert found.retest is not None
    assert found.retest.responder is False
    assert "Not beyond test-retest" in found.summary


def test_one_pair_gives_no_limits_and_no_responder() -> None:
    found = _compare({"alpha_ratio": 4.0}, n_pairs=1)
    assert found.retest is not None
    told = found.to_dict()
    assert told["responder"] is None
    assert told["retest"]["limits_ln"] is None
    assert "1 pair without stimulation" in told["retest"]["reason"]
    assert "cannot be judged" in found.summary


def test_a_line_left_behind_makes_no_responder() -> None:
    found = _compare({"line_uv": 12.0}, n_pairs=2)
    assert found.retest is not None
    assert found.retest.responder is None
    assert "line narrower" in str(found.retest.reason)


def test_recordings_stand_in_one_place_alone() -> None:
    before, after = _pair(39)
    one, two = _pair(40)
    with pytest.raises(AnalysisError, match="two places"):
        compare(before, after, peak_hz=10.0, n_bootstrap=300, retest=[(one, two), (two, after)])
    with pytest.raises(AnalysisError, match="item 2 is no pair"):
        compare(
            before,
            after,
            peak_hz=10.0,
            n_bootstrap=300,
            retest=[(one, two), (one,)],  # type: ignore[list-item]
        )
    with pytest.raises(AnalysisError, match="pair 1 without stimulation holds the same samples"):
        compare(before, after, peak_hz=10.0, n_bootstrap=300, retest=[(one, one.copy())])
