"""Intraclass correlation: how much of what differs between measurements is people's.

Two-way models, single measurements: ICC(2,1), absolute agreement, counts a shift between visits
against the measure; ICC(3,1), consistency, does not.

References
----------
Shrout and Fleiss 1979, Psychol. Bull. 86:420-428. McGraw and Wong 1996, Psychol. Methods 1:30-46
(intervals: their table 7).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError

__all__ = ["IntraclassCorrelation", "intraclass_correlation"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class IntraclassCorrelation:
    """Both correlations with their intervals.

    Parameters
    ----------
    n, k : int
        People and measurements of each.
    agreement, consistency : float
        ICC(2,1) and ICC(3,1).
    agreement_interval, consistency_interval : (float, float)
        Two-sided intervals.
    level : float
        1 less the error of an interval.
    """

    n: int
    k: int
    agreement: float
    agreement_interval: tuple[float, float]
    consistency: float
    consistency_interval: tuple[float, float]
    level: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "n_people": self.n,
            "n_visits": self.k,
            "icc21": self.agreement,
            "icc21_interval": list(self.agreement_interval),
            "icc31": self.consistency,
            "icc31_interval": list(self.consistency_interval),
            "level": self.level,
        }


def intraclass_correlation(values: Array, *, level: float = 0.95) -> IntraclassCorrelation:
    """Estimate ICC(2,1) and ICC(3,1).

    Parameters
    ----------
    values : ndarray, shape (n_people, n_measurements)
        No value missing.
    level : float
        Of the two-sided intervals.

    Returns
    -------
    IntraclassCorrelation

    Raises
    ------
    AnalysisError
        With fewer than three people or two measurements, a value that is not finite, or values
        that do not differ.
    """
    from scipy.stats import f

    if values.ndim != 2 or values.shape[0] < 3 or values.shape[1] < 2:
        raise AnalysisError(f"values of shape {values.shape}: three people, two visits at least")
    if not np.all(np.isfinite(values)):
        raise AnalysisError("a value is not a finite number")
    n, k = values.shape
    people, visits = values.mean(axis=1), values.mean(axis=0)
    left = values - people[:, None] - visits + values.mean()
    between = k * float(people.var(ddof=1))
    columns = n * float(visits.var(ddof=1))
    error = float(np.sum(left**2)) / ((n - 1) * (k - 1))
    if between <= 0.0 or error <= 1e-12 * between:
        raise AnalysisError("people or visits do not differ at all: one result twice?")
    upper = 0.5 * (1.0 + level)
    agreement = (between - error) / (between + (k - 1) * error + k / n * (columns - error))
    consistency = (between - error) / (between + (k - 1) * error)
    # Degrees of freedom of the mixture of visits and error that agreement is divided by.
    a = k * agreement / (n * (1.0 - agreement))
    b = 1.0 + k * agreement * (n - 1) / (n * (1.0 - agreement))
    free = (a * columns + b * error) ** 2 / (
        (a * columns) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    )
    over, under = float(f.ppf(upper, n - 1, free)), float(f.ppf(upper, free, n - 1))
    rest = k * columns + (k * n - k - n) * error
    agrees = (
        n * (between - over * error) / (over * rest + n * between),
        n * (under * between - error) / (rest + n * under * between),
    )
    ratio, free = between / error, (n - 1) * (k - 1)
    low = ratio / float(f.ppf(upper, n - 1, free))
    high = ratio * float(f.ppf(upper, free, n - 1))
    consists = ((low - 1.0) / (low + k - 1), (high - 1.0) / (high + k - 1))
    if not all(map(math.isfinite, (*agrees, *consists))):
        raise AnalysisError("the intervals of the intraclass correlation are not finite")
    return IntraclassCorrelation(n, k, agreement, agrees, consistency, consists, level)
