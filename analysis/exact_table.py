"""Exact test of a table of counts: Fisher for 2 x 2, Freeman and Halton for any size.

The p value is the share of all tables with the same margins that are no more probable than the one
observed. Probabilities are compared as whole numbers: with margins fixed, the probability of a
table is a product of multinomial coefficients, one per column, over one constant. No rounding
decides a tie.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from analysis.errors import AnalysisError

__all__ = ["ExactTest", "exact_test"]

MOST_STATES = 50_000
N_RANDOM = 99_999


@dataclass(frozen=True, slots=True)
class ExactTest:
    """An exact test of independence.

    Parameters
    ----------
    method : str
        "Fisher", "Freeman-Halton", or "Freeman-Halton, sampled" where there are too many tables.
    p : float
        Two-sided p.
    p_error : float or None
        Standard error of a sampled p.
    """

    method: str
    p: float
    p_error: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"method": self.method, "p": self.p, "p_error": self.p_error}


def exact_test(table: Sequence[Sequence[int]]) -> ExactTest:
    """Test a table of counts for independence of rows and columns, given its margins.

    Parameters
    ----------
    table : sequence, shape (n_rows, n_columns)
        Counts, two rows and two columns at least.

    Returns
    -------
    ExactTest
        Two-sided, by the probability of tables.

    Raises
    ------
    AnalysisError
        Not such a table, or nobody in it.

    References
    ----------
    Freeman and Halton 1951, Biometrika 38:141-149.
    """
    counts = np.asarray(table)
    if counts.ndim != 2 or min(counts.shape) < 2:
        raise AnalysisError("an exact test needs two rows and two columns at least")
    if not np.issubdtype(counts.dtype, np.integer) or np.any(counts < 0):
        raise AnalysisError("an exact test needs counts: whole numbers from 0 up")
    if not counts.sum():
        raise AnalysisError("an exact test needs somebody in the table")
    # Fewer rows than columns: the state below is what is left of each row.
    if counts.shape[0] > counts.shape[1]:
        counts = counts.T
    rows = tuple(int(n) for n in counts.sum(axis=1))
    columns = [int(n) for n in counts.sum(axis=0)]
    observed = math.prod(_ways(tuple(int(n) for n in column)) for column in counts.T)
    name = "Fisher" if counts.shape == (2, 2) else "Freeman-Halton"
    weights = _weights(rows, columns)
    if weights is None:
        return _sampled(counts, name)
    total = _ways(rows)
    at_most = sum(weight * n for weight, n in weights.items() if weight <= observed)
    return ExactTest(name, at_most / total)


@lru_cache(maxsize=65536)
def _ways(parts: tuple[int, ...]) -> int:
    """Multinomial coefficient of the parts."""
    found, left = 1, sum(parts)
    for part in parts:
        found *= math.comb(left, part)
        left -= part
    return found


def _weights(rows: tuple[int, ...], columns: Sequence[int]) -> Counter[int] | None:
    """How many tables with these margins have each weight; None where they are too many."""
    states: dict[tuple[int, ...], Counter[int]] = {rows: Counter({1: 1})}
    for total in columns:
        after: dict[tuple[int, ...], Counter[int]] = {}
        size = 0
        for left, weights in states.items():
            for column in _fillings(left, total):
                ways = _ways(column)
                key = tuple(a - b for a, b in zip(left, column, strict=True))
                into = after.setdefault(key, Counter())
                size -= len(into)
                for weight, n in weights.items():
                    into[weight * ways] += n
                size += len(into)
                if size > MOST_STATES:
                    return None
        states = after
    return states[(0,) * len(rows)]


def _fillings(left: tuple[int, ...], total: int) -> Iterator[tuple[int, ...]]:
    """Every way to fill a column of `total` from what is left of the rows."""
    if len(left) == 1:
        if total <= left[0]:
            yield (total,)
        return
    rest = sum(left[1:])
    for first in range(max(0, total - rest), min(left[0], total) + 1):
        for others in _fillings(left[1:], total - first):
            yield (first, *others)


def _sampled(counts: Any, name: str) -> ExactTest:
    """Monte Carlo p over random tables with the same margins, the observed one counted too."""
    from scipy.special import gammaln
    from scipy.stats import random_table

    drawn = random_table.rvs(
        counts.sum(axis=1), counts.sum(axis=0), size=N_RANDOM, random_state=np.random.default_rng(0)
    )
    rare = gammaln(np.asarray(drawn) + 1.0).sum(axis=(1, 2))
    observed = float(gammaln(counts + 1.0).sum())
    p = (1 + int(np.sum(rare >= observed - 1e-7))) / (N_RANDOM + 1)
    return ExactTest(f"{name}, sampled", p, math.sqrt(p * (1.0 - p) / N_RANDOM))
