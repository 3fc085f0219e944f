"""Many persons over the same visits: everybody's line, the mean of those present, who left when.

The mean at a visit is of those who came to it. People leave for reasons that have to do with how
they are: the mean of those who stayed drifts even where nobody changes. How many are behind each
mean therefore stands beside it, and how those who left began stands beside how the others did.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import t

from analysis.errors import AnalysisError

__all__ = ["Cohort", "CohortVisit", "cohort_course"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortVisit:
    """One visit.

    Parameters
    ----------
    name : str
        Of the visit.
    n : int
        Persons with a value.
    n_left : int
        Persons whose last value was at an earlier visit.
    n_between : int
        Persons without a value here and with one later.
    mean : float or None
        Of those present.
    ci95 : (float, float) or None
        Of the mean, t; None with fewer than two, or without spread.
    change, change_ci95 : float, (float, float) or None
        Mean of the changes from the first visit, of those present at both.
    """

    name: str
    n: int
    n_left: int
    n_between: int
    mean: float | None
    ci95: tuple[float, float] | None
    change: float | None
    change_ci95: tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Persons over visits.

    Parameters
    ----------
    visits : tuple of CohortVisit
        In order.
    n : int
        Persons with any value.
    n_complete : int
        Persons with a value at the last visit.
    first_of_complete, first_of_left : float or None
        Mean first value of those, and of those who left.
    caution : str
        What a reader should know.
    """

    visits: tuple[CohortVisit, ...]
    n: int
    n_complete: int
    first_of_complete: float | None
    first_of_left: float | None
    caution: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def cohort_course(values: Mapping[str, Sequence[float | None]], visits: Sequence[str]) -> Cohort:
    """Describe persons over visits.

    Parameters
    ----------
    values : mapping of str to sequence of float or None, each of shape (n_visits,)
        By person; None where there is no value.
    visits : sequence of str, shape (n_visits,)
        Names in order.

    Raises
    ------
    AnalysisError
        Nobody, no visit, a row of another length, or values that are no numbers.
    """
    rows = {name: list(row) for name, row in values.items() if any(v is not None for v in row)}
    if not rows or not visits:
        raise AnalysisError("cohort: there is nobody with a value")
    if any(len(row) != len(visits) for row in rows.values()):
        raise AnalysisError(
            f"cohort: everybody needs {len(visits)} values, None where there is none"
        )
    table = np.array([[np.nan if v is None else v for v in row] for row in rows.values()], float)
    if np.isinf(table).any() or any(
        v is not None and not math.isfinite(v) for row in rows.values() for v in row
    ):
        raise AnalysisError("cohort: values must be finite numbers")
    there = ~np.isnan(table)
    last = there.shape[1] - 1 - np.argmax(there[:, ::-1], axis=1)
    found = []
    for number, name in enumerate(visits):
        here = table[there[:, number], number]
        both = there[:, 0] & there[:, number]
        change = table[both, number] - table[both, 0]
        found.append(
            CohortVisit(
                name=name,
                n=int(here.size),
                n_left=int(np.sum(last < number)),
                n_between=int(np.sum(~there[:, number] & (last > number))),
                mean=float(here.mean()) if here.size else None,
                ci95=_interval(here),
                change=float(change.mean()) if change.size and number else None,
                change_ci95=_interval(change) if number else None,
            )
        )
    stayed = last == len(visits) - 1
    first_stayed, first_left = (_mean(table[rows_, 0]) for rows_ in (stayed, ~stayed))
    return Cohort(
        visits=tuple(found),
        n=len(rows),
        n_complete=int(stayed.sum()),
        first_of_complete=first_stayed,
        first_of_left=first_left,
        caution=_caution(len(rows), int(stayed.sum()), first_stayed, first_left),
    )


def _mean(values: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _interval(values: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float] | None:
    if values.size < 2 or float(np.ptp(values)) == 0.0:
        return None
    half = float(t.ppf(0.975, values.size - 1) * values.std(ddof=1) / math.sqrt(values.size))
    return float(values.mean()) - half, float(values.mean()) + half


def _caution(n: int, n_complete: int, stayed: float | None, left: float | None) -> str:
    if n == n_complete:
        return (
            "everybody has a value at the last visit; without a control group no change has a cause"
        )
    told = ""
    if stayed is not None and left is not None:
        told = f"; those who left began at {left:.1f}, the others at {stayed:.1f}"
    return (
        f"{n - n_complete} of {n} left before the last visit{told}. The means are of those present "
        f"and drift as people leave; without a control group no change has a cause"
    )
