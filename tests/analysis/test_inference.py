"""What speaks against a verdict, and many measures at once, against known truth."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, norm

from analysis.family import Measure, correct, holm
from analysis.inference import prediction_of
from analysis.outcome import Outcome, compare
from benchmarks.made_pairs import PairCase, make_pair

LEVEL = 1e-3  # of every binomial bound below


def _outcome(**case: Any) -> Outcome:
    made = make_pair(PairCase(**{"seed": 31, "duration_s": 150.0, "sfreq_hz": 160.0, **case}))
    return compare(made.before, made.after, n_bootstrap=500)


@pytest.fixture(scope="module")
def drowsy() -> Outcome:
    return _outcome(drowsy=1.0)


@pytest.fixture(scope="module")
def left_line() -> Outcome:
    return _outcome(line_uv=8.0)


@pytest.fixture(scope="module")
def raised() -> Outcome:
    return _outcome(alpha_ratio=2.0)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6))
def test_holm_is_between_plain_and_bonferroni_and_keeps_the_order(p_values: list[float]) -> None:
    found = holm(p_values)
    for p, corrected in zip(p_values, found, strict=True):
        assert p <= corrected <= min(1.0, len(p_values) * p) + 1e-12 or corrected == max(found)
    for i, j in itertools.combinations(range(len(p_values)), 2):
        if p_values[i] < p_values[j]:
            assert found[i] <= found[j]


def _normal_measures(rng: np.random.Generator, n: int, truth: float = 0.0) -> list[Measure]:
    values = truth + rng.standard_normal(n)
    return [Measure(str(i), "1", v, (v - 1.959964, v + 1.959964)) for i, v in enumerate(values)]


def test_a_family_without_change_is_rarely_called_changed() -> None:
    rng, n = np.random.default_rng(1), 600
    called = held = single = 0
    for _ in range(n):
        family = correct(_normal_measures(rng, 5))
        called += any(one.changed for one in family)
        single += any(one.p is not None and one.p < 0.05 for one in family)
        held += all(
            one.ci95_simultaneous is not None
            and one.ci95_simultaneous[0] <= 0.0 <= one.ci95_simultaneous[1]
            for one in family
        )
    assert called <= binom.isf(LEVEL, n, 0.05)
    assert held >= binom.ppf(LEVEL, n, 0.95)
    # Uncorrected, 1 - 0.95^5 = 23 % of the families hold a false call.
    assert single >= binom.ppf(LEVEL, n, 0.226)


def test_p_and_interval_are_the_same_statement() -> None:
    (one,) = correct([Measure("a", "1", 0.3, (0.0, 0.9))])
    assert one.p == pytest.approx(0.05)
    (two,) = correct([Measure("a", "1", -0.3, (-2.0, 0.1))])
    assert two.p == pytest.approx(2.0 * norm.sf(1.959964 * 0.3 / 0.4))
    (three,) = correct([Measure("a", "1", 0.0, (0.0, 0.0))])
    assert three.p == 1.0
    (four,) = correct([Measure("a", "1", 0.5, (0.5, 0.5))])
    assert four.p == 0.0


def test_a_measure_without_interval_does_not_count() -> None:
    known = Measure("a", "1", 1.0, (0.1, 1.9))
    missing = Measure("b", "Hz", None, None)
    found = correct([known, missing])
    assert found[0].p == found[0].p_holm
    assert found[1] == missing
    assert correct([missing]) == (missing,)


def test_withheld_families_keep_their_intervals_and_lose_their_p() -> None:
    found = correct(_normal_measures(np.random.default_rng(2), 3, truth=9.0), withheld=True)
    assert all(one.p is None and one.p_holm is None and one.changed is None for one in found)
    assert all(one.ci95_simultaneous is not None for one in found)


@pytest.mark.parametrize(
    ("expected", "direction", "label"),
    [
        ("increase", "increase", "as predicted"),
        ("increase", "decrease", "opposite"),
        ("increase", "none", "none"),
        ("decrease", "increase", "opposite"),
        ("none", "none", "as predicted"),
        ("none", "increase", "opposite"),
        ("increase", "undetermined", None),
        (None, "increase", None),
    ],
)
def test_the_prediction_only_labels(expected: Any, direction: Any, label: str | None) -> None:
    assert prediction_of(expected, direction) == label


def test_a_true_increase_is_called_and_stays_after_correction(raised: Outcome) -> None:
    told = json.loads(json.dumps(raised.to_dict(), allow_nan=False))
    assert told["direction"] == "increase"
    inference = told["inference"]
    assert inference["reasons"] == []
    assert not inference["withheld"]
    family = {one["measure"]: one for one in inference["family"]}
    assert next(iter(family)) == inference["primary"] == "power"
    assert {"adjusted power", "imcoh", "wpli2_debiased", "peak shift"} <= set(family)
    assert family["power"]["changed"] is True
    assert family["power"]["p_holm"] > family["power"]["p"]
    low, high = family["power"]["ci95_simultaneous"]
    assert low < family["power"]["ci95"][0] < family["power"]["ci95"][1] < high
    assert family["peak shift"]["changed"] is False
    (cluster,) = inference["clusters"]["clusters"]
    assert cluster["direction"] == "increase"
    assert cluster["low_hz"] <= raised.peak_hz <= cluster["high_hz"]
    assert {"O1", "O2"} <= set(cluster["channels"])


def test_another_state_of_arousal_is_named_and_nothing_is_called(drowsy: Outcome) -> None:
    assert drowsy.power.raw.bootstrap_interval_ln[1] < 0.0, (
        "power did fall: the interval alone would call it"
    )
    assert drowsy.direction == "undetermined"
    assert "arousal" in [one.code for one in drowsy.inference.reasons]
    assert drowsy.power.raw.p is None
    assert "arousal was not the same" in drowsy.summary
    assert any("theta" in text and "peak -" in text for text in drowsy.warnings)
    assert drowsy.inference.clusters.reason == "declined: arousal was not the same"
    assert all(one.changed is None for one in drowsy.inference.family)


def test_a_line_that_is_no_rhythm_is_named_and_not_called_an_increase(left_line: Outcome) -> None:
    made = make_pair(PairCase(31, duration_s=150.0, sfreq_hz=160.0, line_uv=8.0))
    assert left_line.direction == "undetermined"
    assert [one.code for one in left_line.inference.reasons] == ["residual_line"]
    (line,) = left_line.inference.residual.lines
    assert line.hz == pytest.approx(made.line_hz, abs=0.01)
    assert line.side == "after"
    assert line.channels[0] == "O1"
    assert left_line.power.verdict == "residual line, not oscillation"
    assert f"{line.hz:.2f} Hz after in O1" in left_line.summary


def test_the_same_recording_twice_has_nothing_against_it() -> None:
    made = make_pair(PairCase(32, duration_s=60.0, sfreq_hz=160.0, line_uv=8.0))
    found = compare(made.after, made.after.copy(), n_bootstrap=300)
    assert found.direction == "none"
    assert not {one.code for one in found.inference.reasons} & {"arousal", "residual_line"}
    assert found.inference.residual.effect_ln == 0.0
    assert "same samples" in str(found.inference.clusters.reason)
