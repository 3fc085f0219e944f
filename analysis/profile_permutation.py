"""Is there any response: permutation of references with the maximum over frequencies; covariates.

A block's reference is replaced by a virtual one, its own or that of a block alike (for trains: by
phases drawn anew, train by train); the largest standardised excess over all frequencies of such a
draw is what chance offers to a whole sweep. More frequencies therefore buy no false response.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.profile_curve import Lorentzian, Measured
from analysis.profile_locking import BlockLocking

__all__ = [
    "Answer",
    "Covariates",
    "MaxTest",
    "answers",
    "carried",
    "coherent",
    "covariates",
    "max_test",
    "split_half",
]

Array = NDArray[np.float64]

CARRY_TAU_S = 60.0


@dataclass(frozen=True, slots=True)
class MaxTest:
    """Maximum statistic of a sweep.

    Parameters
    ----------
    p : float
        Of the whole sweep.
    p_each : dict of (float, float) to float
        Of every level and frequency, corrected for the sweep.
    n_draws : int
        Permutations.
    """

    p: float
    p_each: dict[tuple[float, float], float]
    n_draws: int


def max_test(found: Sequence[BlockLocking], rng: np.random.Generator, n_draws: int) -> MaxTest:
    """Test a sweep against references that were not there.

    Parameters
    ----------
    found : sequence of BlockLocking
        All blocks of one kind, whatever their level.
    rng : Generator
        Source of the draws.
    n_draws : int
        How many.

    Returns
    -------
    MaxTest
    """
    cells = [(one.block.level, one.block.frequency_hz) for one in found]
    ratio = np.array([one.plv2 / one.null for one in found]) - 1.0
    drawn = np.empty((n_draws, len(found)))
    pools: dict[tuple[Any, ...], list[Array]] = {}
    for one in found:
        others = (one.virtual.sum() - one.virtual) / (one.virtual.size - 1)
        pools.setdefault(one.alike, []).append(one.virtual / others)
    drawn_from = {alike: np.concatenate(ratios) for alike, ratios in pools.items()}
    for i, one in enumerate(found):
        drawn[:, i] = rng.choice(drawn_from[one.alike], n_draws) - 1.0
    actual: dict[tuple[float, float], float] = {}
    highest = np.full(n_draws, -math.inf)
    for cell in sorted(set(cells)):
        of = [i for i, other in enumerate(cells) if other == cell]
        root = math.sqrt(len(of))
        actual[cell] = float(ratio[of].mean()) * root
        highest = np.maximum(highest, drawn[:, of].mean(axis=1) * root)
    p_each = {cell: (1 + int(np.sum(highest >= v))) / (n_draws + 1) for cell, v in actual.items()}
    return MaxTest(min(p_each.values()), p_each, n_draws)


@dataclass(frozen=True, slots=True)
class Answer:
    """Response at one frequency and level, mean of its blocks.

    Parameters
    ----------
    frequency_hz, level : float
        Drive.
    n_blocks : int
        Blocks.
    plv2, null : float
        Squared locking, and by chance.
    response, low, high : float
        Coherent part (squared locking less its null) by likelihood, with 95 % interval.
    line_db : float
        Height of the line.
    p : float
        Corrected for the sweep.
    """

    frequency_hz: float
    level: float
    n_blocks: int
    plv2: float
    null: float
    response: float
    low: float
    high: float
    line_db: float
    p: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "frequency_hz": self.frequency_hz,
            "level": self.level,
            "n_blocks": self.n_blocks,
            "plv": math.sqrt(self.plv2),
            "plv2": self.plv2,
            "null_plv2": self.null,
            "excess_plv2": self.plv2 - self.null,
            "response_plv2": self.response,
            "response_ci95_plv2": [self.low, self.high],
            "line_snr_db": self.line_db,
            "p_corrected": self.p,
        }


def answers(found: Sequence[BlockLocking], measured: Measured, test: MaxTest) -> list[Answer]:
    """Responses by level and frequency, in this order."""
    pairs = sorted(set(zip(measured.level.tolist(), measured.frequency_hz.tolist(), strict=True)))
    rows = []
    for level, hz in pairs:
        of = (measured.level == level) & (measured.frequency_hz == hz)
        part = measured.only(of)
        best, low, high = coherent(part)
        lines = [one.line_db for one, is_in in zip(found, of, strict=True) if is_in]
        rows.append(
            Answer(
                hz, level, int(of.sum()), float(part.plv2.mean()), float(part.null.mean()),
                best, low, high, float(np.mean(lines)), test.p_each[level, hz],
            )
        )  # fmt: skip
    return rows


def coherent(part: Measured) -> tuple[float, float, float]:
    """Most likely coherent part and where the likelihood ratio reaches 95 %."""
    grid = np.r_[0.0, np.geomspace(0.01 * part.null.min(), 1.0, 400)]
    logs = np.array([part.loglik(np.full(part.plv2.size, value)) for value in grid])
    inside = np.flatnonzero(logs >= logs.max() - 0.5 * 3.841)
    return float(grid[logs.argmax()]), float(grid[inside[0]]), float(grid[inside[-1]])


@dataclass(frozen=True, slots=True)
class Covariates:
    """What order and carry-over have to do with what the curve leaves over.

    Parameters
    ----------
    order_slope, order_p : float
        Residual in standard deviations per session, and p of a permutation.
    carry_slope, carry_p : float or None
        Residual per standard deviation of the previous block's expected response, faded by the
        time between; None where all blocks are alike in it.
    order_frequency_r : float
        Correlation of order and frequency: near 1, the two cannot be told apart.
    """

    order_slope: float
    order_p: float
    carry_slope: float | None
    carry_p: float | None
    order_frequency_r: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def covariates(
    found: Sequence[BlockLocking],
    measured: Measured,
    curves: dict[float, Lorentzian],
    rng: np.random.Generator,
    n_draws: int,
) -> Covariates | None:
    """Ask the residuals of the curves about order and carry-over; None under six blocks."""
    if measured.plv2.size < 6 or not set(measured.level.tolist()) <= set(curves):
        return None
    signal = np.array(
        [
            float(curves[level].at(np.array(hz)))
            for level, hz in zip(measured.level.tolist(), measured.frequency_hz, strict=True)
        ]
    )
    sd = np.sqrt((measured.null**2 + 2.0 * signal * measured.null) / measured.shape)
    left = (measured.plv2 - measured.null - signal) / sd
    previous = carried(found, measured, signal)
    order = measured.order.astype(float)
    slope, p = _slope(order, left, rng, n_draws)
    carry, carry_p = (None, None)
    if np.std(previous) > 0.0:
        carry, carry_p = _slope(previous, left, rng, n_draws)
        carry /= math.sqrt(12.0)
    same = np.std(measured.frequency_hz) == 0.0 or np.std(order) == 0.0
    r = 0.0 if same else float(np.corrcoef(order, measured.frequency_hz)[0, 1])
    return Covariates(slope, p, carry, carry_p, r)


def carried(found: Sequence[BlockLocking], measured: Measured, signal: Array) -> Array:
    """Response expected of the block before each one, faded by the time between (60 s)."""
    previous = np.zeros(signal.size)
    for before, now in itertools.pairwise(np.argsort(measured.order)):
        wait_s = found[now].block.start_s - found[before].blocks[-1].stop_s
        previous[now] = signal[before] * math.exp(-max(wait_s, 0.0) / CARRY_TAU_S)
    return previous


def _slope(x: Array, y: Array, rng: np.random.Generator, n_draws: int) -> tuple[float, float]:
    """Slope of y over the whole session (x scaled to a uniform's unit range), permutation p."""
    if np.std(x) == 0.0:
        return 0.0, 1.0
    z = (x - x.mean()) / x.std()
    slope = float(z @ y) / y.size
    draws = np.array([z @ rng.permutation(y) for _ in range(n_draws)]) / y.size
    p = (1 + int(np.sum(np.abs(draws) >= abs(slope) - 1e-12))) / (n_draws + 1)
    return slope * math.sqrt(12.0), p


def split_half(
    measured: Measured, rng: np.random.Generator, n_draws: int
) -> tuple[float, float, int] | None:
    """Correlation of the curves of first and second block of every frequency and level.

    Parameters
    ----------
    measured : Measured
        Blocks.
    rng : Generator
        Source of the draws.
    n_draws : int
        How many.

    Returns
    -------
    (r, p, n) or None
        Spearman-Brown corrected correlation, p of a permutation of frequencies, and how many
        frequencies; None where fewer than four were repeated.
    """
    halves = []
    for level, hz in sorted(
        set(zip(measured.level.tolist(), measured.frequency_hz.tolist(), strict=True))
    ):
        of = np.flatnonzero((measured.level == level) & (measured.frequency_hz == hz))
        of = of[np.argsort(measured.order[of])]
        if of.size >= 2:
            excess = measured.plv2[of] - measured.null[of]
            halves.append((excess[0::2].mean(), excess[1::2].mean()))
    if len(halves) < 4:
        return None
    first, second = np.array(halves).T
    if first.std() == 0.0 or second.std() == 0.0:
        return None
    r = float(np.corrcoef(first, second)[0, 1])
    draws = [np.corrcoef(first, rng.permutation(second))[0, 1] for _ in range(n_draws)]
    p = (1 + int(np.sum(np.array(draws) >= r - 1e-12))) / (n_draws + 1)
    return (2.0 * r / (1.0 + r) if r > -0.99 else -1.0), p, len(halves)
