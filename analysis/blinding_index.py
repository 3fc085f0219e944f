"""Did the blinding hold? James's index of a trial, and Bang's index of each arm.

Everybody is asked which arm they think it was: active, sham, or "I do not know". A table of the
answers has one row per guess (active, sham, do not know) and one column per arm (active, sham).

Bang's index of an arm is the share of right guesses less the share of wrong ones: 1 everybody
guessed right, 0 as good as chance, -1 everybody guessed wrong. James's index is one number for
both: 1 nobody knows, 0.5 guessing at random, 0 everybody guessed right; an upper limit below 0.5
says that the blind was broken. The two answer different questions, so both are reported.

References
----------
James et al. 1996, *Stat Med* 15:1421-1434. Bang, Ni and Davis 2004, *Control Clin Trials*
25:143-156.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from analysis.errors import AnalysisError

__all__ = ["JAMES_WEIGHTS", "BlindingIndex", "bang_index", "james_index"]

Table = Sequence[Sequence[int]]
Weights = Sequence[Sequence[float]]

# Guess by arm: right 0, wrong 0.5, do not know 1 (James et al. 1996).
JAMES_WEIGHTS: Weights = ((0.0, 0.5), (0.5, 0.0), (1.0, 1.0))


@dataclass(frozen=True, slots=True)
class BlindingIndex:
    """An index with its error.

    Parameters
    ----------
    value : float
        The index.
    se : float
        Standard error, for large samples.
    ci : (float, float)
        Interval of the normal approximation, two-sided; not cut at the ends of the index's range.
    n : int
        Answers.
    """

    value: float
    se: float
    ci: tuple[float, float]
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "value": round(self.value, 6),
            "se": round(self.se, 6),
            "ci": [round(self.ci[0], 6), round(self.ci[1], 6)],
            "n": self.n,
        }


def bang_index(table: Table, *, confidence: float = 0.95) -> tuple[BlindingIndex, BlindingIndex]:
    """Return Bang's index of the active arm and of the sham arm.

    Parameters
    ----------
    table : sequence, shape (3, 2)
        Counts: guess (active, sham, do not know) by arm (active, sham).
    confidence : float
        Of the interval.

    Returns
    -------
    (BlindingIndex, BlindingIndex)
        Active and sham.

    Raises
    ------
    AnalysisError
        Not such a table, or an arm without answers.
    """
    counts = _checked(table, confidence)
    found = []
    for arm, name in enumerate(("active", "sham")):
        right, wrong = counts[arm][arm], counts[1 - arm][arm]
        n = right + wrong + counts[2][arm]
        if not n:
            raise AnalysisError(f"blinding: nobody of the {name} arm has answered")
        value = (right - wrong) / n
        variance = ((right + wrong) / n - value**2) / n
        found.append(_index(value, variance, n, confidence))
    return found[0], found[1]


def james_index(
    table: Table, weights: Weights = JAMES_WEIGHTS, *, confidence: float = 0.95
) -> BlindingIndex:
    """Return James's index.

    With the shares ``p`` of all answers, ``u`` the share of those who guessed, row sums ``r`` and
    column sums ``c`` over the guesses alone, the index is ``1 - u + u² S / (2 T)``, where
    ``S = Σ w_ij p_ij`` and ``T = Σ w_ij r_i c_j``; that is the kappa form of the paper, written
    out. The variance is that of the multinomial by the delta method, which is the paper's.

    Parameters
    ----------
    table : sequence, shape (3, 2)
        Counts: guess (active, sham, do not know) by arm (active, sham).
    weights : sequence, shape (3, 2)
        How blind each answer is; the third row must be 1.
    confidence : float
        Of the interval.

    Returns
    -------
    BlindingIndex

    Raises
    ------
    AnalysisError
        Not such a table, no answers, weights that are not such, or an index that is not defined
        because every guess named the same arm and nobody was in the other.
    """
    counts = _checked(table, confidence)
    _check_weights(weights)
    n = sum(map(sum, counts))
    if not n:
        raise AnalysisError("blinding: nobody has answered")
    p = [[count / n for count in row] for row in counts]
    guessed = 1.0 - sum(p[2])
    if not any(counts[0] + counts[1]):
        return BlindingIndex(1.0, 0.0, (1.0, 1.0), n)
    rows, columns = [sum(p[i]) for i in (0, 1)], [p[0][j] + p[1][j] for j in (0, 1)]
    cells = [(i, j) for i in (0, 1) for j in (0, 1)]
    observed = sum(weights[i][j] * p[i][j] for i, j in cells)
    expected = sum(weights[i][j] * rows[i] * columns[j] for i, j in cells)
    if not expected > 0.0:
        raise AnalysisError(
            "blinding: James's index is not defined where every guess is of one arm and right"
        )
    value = 1.0 - guessed + guessed**2 * observed / (2.0 * expected)
    by_unknown = 1.0 - guessed * observed / expected
    first, second = sum(p[2]) * by_unknown, sum(p[2]) * by_unknown**2
    for i, j in cells:
        of_expected = sum(weights[i][k] * columns[k] + weights[k][j] * rows[k] for k in (0, 1))
        slope = guessed**2 * (weights[i][j] - observed * of_expected / expected) / (2.0 * expected)
        first += p[i][j] * slope
        second += p[i][j] * slope**2
    return _index(value, max(second - first**2, 0.0) / n, n, confidence)


def _index(value: float, variance: float, n: int, confidence: float) -> BlindingIndex:
    se = math.sqrt(variance)
    reach = NormalDist().inv_cdf(0.5 + 0.5 * confidence) * se
    return BlindingIndex(value, se, (value - reach, value + reach), n)


def _checked(table: Table, confidence: float) -> list[list[int]]:
    """The table as lists, or a refusal."""
    if not 0.0 < confidence < 1.0:
        raise AnalysisError(f"blinding: confidence {confidence} must lie between 0 and 1")
    rows = [list(row) for row in table]
    if len(rows) != 3 or any(len(row) != 2 for row in rows):
        raise AnalysisError(
            "blinding: the table needs three rows (active, sham, do not know) and two columns "
            "(active arm, sham arm)"
        )
    if not all(math.isfinite(c) and c == int(c) and c >= 0 for row in rows for c in row):
        raise AnalysisError("blinding: counts are whole numbers from 0 up")
    return [[int(count) for count in row] for row in rows]


def _check_weights(weights: Weights) -> None:
    rows = [list(row) for row in weights]
    if len(rows) != 3 or any(len(row) != 2 for row in rows):
        raise AnalysisError("blinding: the weights need three rows and two columns, as the table")
    if not all(0.0 <= weight <= 1.0 for row in rows for weight in row) or rows[2] != [1.0, 1.0]:
        raise AnalysisError("blinding: weights lie in 0 to 1, and that of 'do not know' is 1")
