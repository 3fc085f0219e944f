"""A mixed model over the visits of a cohort: means that people who leave do not pull along.

The mean of those present at a visit is of other people than the mean before it. A linear mixed
model uses every value of everybody: under the assumption that who leaves depends on what was seen
of them (missing at random), its means are those of the whole cohort. Nobody can check that
assumption from the data; the means of those present stand beside it
(:mod:`analysis.longitudinal_cohort`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.group_mixed import MixedFit, fit_mixed

__all__ = ["ASSUMPTION", "MIN_PERSONS", "CohortModel", "cohort_model"]

Array = NDArray[np.float64]

MIN_PERSONS = 8
WEEK_D = 7.0
ASSUMPTION = (
    "a model of everybody's values, under the assumption that who leaves depends on what was seen "
    "of them before (missing at random); no control group, so no cause"
)


@dataclass(frozen=True, slots=True)
class CohortModel:
    """Modelled means at the visits, and the slope over time.

    Parameters
    ----------
    slope : dict
        Change per week with ``ci95``, ``se``, ``df``, ``p``, between persons ``sd`` (None where
        the data support no slope of each person's own).
    visits : tuple of dict
        ``name``, ``day``, ``mean``, ``ci95``; ``change`` from the first with ``change_ci95``.
    linear, by_visit : MixedFit
        Score on weeks, and score on the visits as categories.
    """

    slope: Mapping[str, Any]
    visits: tuple[Mapping[str, Any], ...]
    linear: MixedFit
    by_visit: MixedFit

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "slope_per_week": dict(self.slope),
            "visits": [dict(visit) for visit in self.visits],
            "linear": self.linear.to_dict(),
            "by_visit": self.by_visit.to_dict(),
            "assumption": ASSUMPTION,
        }


def cohort_model(
    values: Mapping[str, Sequence[float | None]], days: Sequence[float], names: Sequence[str]
) -> CohortModel:
    """Fit a cohort over its visits.

    Parameters
    ----------
    values : mapping of str to sequence of float or None, each of shape (n_visits,)
        By person; None where there is no value.
    days : sequence of float, shape (n_visits,)
        Day of each visit, rising.
    names : sequence of str, shape (n_visits,)
        What the visits are called.

    Raises
    ------
    AnalysisError
        Without statsmodels, with fewer than 8 persons or two visits, where lengths differ, and
        where the fit does not converge. A visit without any value is left out.

    Notes
    -----
    Both fits have a random intercept, and a random slope over weeks where the data support one
    (:func:`analysis.group_mixed.fit_mixed`); intervals are t with between-within degrees of
    freedom.
    """
    if any(len(row) != len(days) for row in values.values()) or len(days) != len(names):
        raise AnalysisError(f"cohort model: everybody needs {len(days)} values")
    long = [
        (name, number, float(value))
        for name, row in values.items()
        for number, value in enumerate(row)
        if value is not None
    ]
    persons = {name for name, _, _ in long}
    if len(persons) < MIN_PERSONS:
        raise AnalysisError(
            f"mixed model: {len(persons)} persons; with fewer than {MIN_PERSONS} it says nothing "
            f"that the single lines do not say better"
        )
    there = sorted({number for _, number, _ in long})
    if len(there) < 2:
        raise AnalysisError("mixed model: needs values at two visits or more")
    score = np.array([value for *_, value in long])
    weeks = np.array([days[number] / WEEK_D for _, number, _ in long])
    subjects = [name for name, *_ in long]
    slope = weeks if len(there) > 2 else None
    ones = np.ones(score.size)
    linear = fit_mixed(
        score, np.column_stack([ones, weeks]), ("intercept", "week"), subjects,
        formula="score ~ week", slope=slope,
    )  # fmt: skip
    columns = [np.array([float(number == later) for _, number, _ in long]) for later in there[1:]]
    by_visit = fit_mixed(
        score, np.column_stack([ones, *columns]),
        ("intercept", *(f"visit {names[later]}" for later in there[1:])), subjects,
        formula="score ~ visit", slope=slope,
    )  # fmt: skip
    term = linear.term("week")
    return CohortModel(
        slope={
            "estimate": term.estimate, "ci95": list(term.interval), "se": term.se, "df": term.df,
            "p": term.p, "sd": linear.slope_sd,
        },
        visits=tuple(_visits(by_visit, there, days, names)),
        linear=linear,
        by_visit=by_visit,
    )  # fmt: skip


def _visits(
    fit: MixedFit, there: Sequence[int], days: Sequence[float], names: Sequence[str]
) -> list[Mapping[str, Any]]:
    """The mean at every visit: intercept and its category, with the covariance of the two."""
    from scipy.stats import t

    found: list[Mapping[str, Any]] = []
    for place, number in enumerate(there):
        weights = np.zeros(len(fit.terms))
        weights[0] = 1.0
        if place:
            weights[place] = 1.0
        mean = float(weights @ np.array([term.estimate for term in fit.terms]))
        se = math.sqrt(float(weights @ fit.covariance @ weights))
        # The mean of persons: between-persons degrees of freedom, the fewest of its terms.
        df = min(fit.terms[0].df, fit.terms[place].df)
        half = float(t.ppf(0.975, df)) * se
        change = fit.terms[place] if place else None
        found.append(
            {
                "name": names[number],
                "day": float(days[number]),
                "mean": mean,
                "ci95": [mean - half, mean + half],
                "change": None if change is None else change.estimate,
                "change_ci95": None if change is None else list(change.interval),
            }
        )
    return found
