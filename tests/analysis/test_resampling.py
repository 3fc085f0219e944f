"""Weights of epochs: every set is what it says it is."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import AnalysisError
from analysis.resampling import (
    jackknife_weights,
    label_sets,
    sign_sets,
    stationary_bootstrap_weights,
)


@given(st.integers(2, 14), st.integers(2, 14), st.integers(1, 3), st.integers(0, 99))
def test_labels_keep_blocks_together_and_counts_equal(
    n_before: int, n_after: int, block: int, seed: int
) -> None:
    if min(n_before, n_after) < block:
        return
    sets = label_sets(n_before, n_after, 20, block=block, seed=seed)
    assert sets.n_before == n_before // block * block
    assert sets.n_after == n_after // block * block
    assert np.all(sets.after.sum(axis=1) == sets.n_after)
    assert sets.after[0].tolist() == [0.0] * sets.n_before + [1.0] * sets.n_after
    cut = sets.after.reshape(len(sets.after), -1, block)
    assert np.all(cut == cut[:, :, :1])
    assert sets.p_smallest == 1.0 / len(sets.after)
    assert sets.n_possible == comb(cut.shape[1], sets.n_after // block)
    if sets.exact:
        assert len(np.unique(sets.after, axis=0)) == len(sets.after) == sets.n_possible
    else:
        assert len(sets.after) == 21


def test_few_ways_are_all_taken() -> None:
    sets = label_sets(6, 6, 100, block=2)
    assert sets.exact
    assert sets.n_possible == 20
    assert sets.p_smallest == 0.05
    assert label_sets(60, 60, 10, seed=1).after.tolist() != label_sets(60, 60, 10).after.tolist()
    assert np.array_equal(label_sets(60, 60, 10).after, label_sets(60, 60, 10).after)


def test_signs_are_all_or_random() -> None:
    signs, exact = sign_sets(5, 100)
    assert exact
    assert len(np.unique(signs, axis=0)) == 16
    assert np.all(signs[0] == 1.0)
    assert not {tuple(row) for row in signs[1:]} & {tuple(-row) for row in signs}
    signs, exact = sign_sets(20, 50, seed=2)
    assert not exact
    assert signs.shape == (51, 20)
    assert np.all(signs[0] == 1.0)
    assert set(np.unique(signs)) == {-1.0, 1.0}


def test_jackknife_leaves_each_epoch_out_once() -> None:
    weights = jackknife_weights(11, 4)
    assert np.all((1.0 - weights).sum(axis=0) == 1.0)
    assert np.all(np.abs(np.diff(np.r_[0, 1.0 - weights[1], 0])).sum() == 2)


def test_stationary_bootstrap_draws_runs_of_the_length_asked_for() -> None:
    weights = stationary_bootstrap_weights(40, 500, 5.0, seed=3)
    assert np.all(weights.sum(axis=1) == 40)
    assert weights.mean(axis=0) == pytest.approx(np.ones(40), abs=0.25)
    # Neighbours come together: both of two neighbours are drawn from one run with 1 - 1 / 5.
    single = stationary_bootstrap_weights(40, 500, 1.0, seed=3)

    def together(found: np.ndarray) -> float:
        centred = found - 1.0
        return float(np.mean(centred[:, 1:] * centred[:, :-1]) / np.mean(centred**2))

    assert abs(together(single)) < 0.05
    assert together(weights) == pytest.approx(0.8, abs=0.07)
    whole = stationary_bootstrap_weights(40, 20, 40.0, seed=4)
    assert np.all(whole.max(axis=1) <= 40)


def test_what_makes_no_sense_is_refused() -> None:
    for words, call in (
        ("both must be 1 or more", lambda: label_sets(5, 5, 0)),
        ("hold no block of 6", lambda: label_sets(5, 9, 10, block=6)),
        ("sign flips", lambda: sign_sets(1, 10)),
        ("cannot be cut", lambda: jackknife_weights(5, 6)),
        ("bootstrap sets", lambda: stationary_bootstrap_weights(5, 3, 6.0)),
    ):
        with pytest.raises(AnalysisError, match=words):
            call()
