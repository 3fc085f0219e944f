"""Every measure whole and without each block, its floor, and at equal signal-to-noise ratio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.connectivity_sums import ReportedMeasure, block_sums, leave_out
from analysis.snr_matching import DRAWS, SnrMatch

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

JACKKNIFE_BLOCKS = 10
_STEP_LN = 0.2


def values_of(coefficients: ComplexArray, measures: tuple[ReportedMeasure, ...]) -> Array:
    """All measures of all pairs, whole and without each block: (n_measures, 11, n_pairs)."""
    sums = block_sums(coefficients, JACKKNIFE_BLOCKS, measures)
    found = sums.values(leave_out(JACKKNIFE_BLOCKS), measures)
    return np.array([found[one.name] for one in measures])


def floor_of(coefficients: ComplexArray, measures: tuple[ReportedMeasure, ...]) -> Array:
    """Mean over pairs of each measure, the epochs of each channel in an order of their own."""
    rng = np.random.default_rng(0)
    n_epochs, n_channels = coefficients.shape[1:]
    apart = np.stack(
        [coefficients[:, rng.permutation(n_epochs), row] for row in range(n_channels)], axis=2
    )
    found = block_sums(apart, 1, measures).values(np.ones((1, 1)), measures)
    return np.array([size_of(found[one.name], one).mean() for one in measures])


def size_of(values: Array, measure: ReportedMeasure) -> Array:
    """Values without the direction of lag."""
    return np.abs(values) if measure.signed else values


@dataclass(frozen=True, slots=True)
class Matched:
    """Measures at equal signal-to-noise ratio.

    Parameters
    ----------
    values : ndarray, shape (2, n_measures, 11, n_pairs)
        Before and after, whole and without each block, without the direction of lag.
    slope : ndarray, shape (n_measures, n_pairs)
        By how much the change grows where the ratio of the two is taken 1 (natural log) higher.
    """

    values: Array
    slope: Array


def matched_of(match: SnrMatch, measures: tuple[ReportedMeasure, ...]) -> Matched:
    """Mean over the draws; the slope from two of them with the ratio a little up and down."""
    # Each draw without its sign: the size of a mean over draws would have less noise on one side.
    values = np.zeros((1, 1))
    for draw in DRAWS:
        both = np.array([values_of(side, measures) for side in match.matched(draw)])
        for number, one in enumerate(measures):
            both[:, number] = size_of(both[:, number], one)
        values = values + both / len(DRAWS)
    weights = np.ones((1, 1))
    sizes = []
    for step in (-_STEP_LN, _STEP_LN):
        per_draw = []
        for draw in DRAWS[1:3]:
            before, after = (
                block_sums(side, 1, measures).values(weights, measures)
                for side in match.matched(draw, step)
            )
            per_draw.append(
                [size_of(after[m.name], m)[0] - size_of(before[m.name], m)[0] for m in measures]
            )
        sizes.append(np.mean(per_draw, axis=0))
    return Matched(values, np.asarray((sizes[1] - sizes[0]) / (2.0 * _STEP_LN)))
