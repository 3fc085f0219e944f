"""Dependence on the state, against regression to the mean that is known."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.errors import AnalysisError, UnusableRecording
from analysis.state_slope import state_slope


def blocks(seed, *, n=60, reliability=0.6, effect=0.0, dependence=0.0):
    """Blocks whose trait varies by 1 and is measured with that reliability."""
    rng = np.random.default_rng(seed)
    trait = rng.normal(0.0, 1.0, n)
    noise = np.sqrt(1.0 / reliability - 1.0)
    pre = trait + rng.normal(0.0, noise, n)
    on = rng.permutation(np.arange(n) % 2 == 0)
    post = trait + rng.normal(0.0, noise, n) + on * (effect + dependence * trait)
    return pre, post, on


def test_without_any_effect_the_slope_is_that_of_regression_to_the_mean():
    found = [state_slope(*blocks(s), n_permutations=99, seed=s) for s in range(200)]
    assert np.mean([f.slope for f in found]) == pytest.approx(-0.4, abs=0.03)
    assert np.mean([f.null_slope for f in found]) == pytest.approx(-0.4, abs=0.03)
    assert np.mean([f.p_value <= 0.05 for f in found]) <= 0.09


def test_an_effect_that_is_the_same_in_every_state_is_no_dependence():
    found = [state_slope(*blocks(s, effect=2.0), n_permutations=99, seed=s) for s in range(100)]
    assert np.mean([f.p_value <= 0.05 for f in found]) <= 0.1


def test_a_dependence_is_found():
    found = [
        state_slope(*blocks(s, n=120, dependence=-0.8), n_permutations=199, seed=s)
        for s in range(20)
    ]
    assert np.mean([f.difference for f in found]) == pytest.approx(-0.48, abs=0.1)
    assert np.mean([f.p_value <= 0.05 for f in found]) > 0.6


def test_what_cannot_be_compared_is_refused():
    pre, post, on = blocks(1, n=18)
    with pytest.raises(UnusableRecording, match="needs 10 of each"):
        state_slope(pre, post, on)
    with pytest.raises(AnalysisError, match="one length"):
        state_slope(pre, post[:-1], on)
    pre, post, on = blocks(1)
    with pytest.raises(AnalysisError, match="no number"):
        state_slope(np.where(np.arange(60) == 3, np.nan, pre), post, on)
    with pytest.raises(UnusableRecording, match="same baseline"):
        state_slope(np.zeros(60), post, on)
