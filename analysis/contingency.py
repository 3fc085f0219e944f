"""Responder tables: who answered, in which arm, and how sure that is.

`compare_proportions` takes one (responders, patients) pair per arm and gives every common answer
beside the others, because they differ in small trials: Pearson's chi-squared without correction,
with Yates's correction, and the exact test (Fisher; Freeman and Halton for more than two arms). For
each arm against the control: risk difference, number needed to treat, odds ratio, with intervals.

All counts are of independent patients; `analysis.proportions` has the same patients twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.exact_table import ExactTest, exact_test
from analysis.proportions import Z95, RiskDifference, newcombe_interval, wilson_interval

__all__ = [
    "ChiSquared",
    "Contrast",
    "NumberNeeded",
    "OddsRatio",
    "ResponderTable",
    "compare_proportions",
    "odds_ratio",
    "pearson",
]

FEW_EXPECTED = 5.0


@dataclass(frozen=True, slots=True)
class ChiSquared:
    """A chi-squared test of independence."""

    statistic: float
    df: int
    p: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"chi2": self.statistic, "df": self.df, "p": self.p}


@dataclass(frozen=True, slots=True)
class NumberNeeded:
    """Number needed to treat, the reciprocal of the risk difference, with its 95 % interval.

    Parameters
    ----------
    kind : {"benefit", "harm", "none"}
        NNTB where the arm has more responders than the control, NNTH where it has fewer.
    value : float or None
        Patients for one responder more (or less); None where the proportions are equal.
    benefit, harm : (float, float or None) or None
        The parts of the interval on either side of "no difference"; None as upper end is infinity.
        An interval of the risk difference that holds 0 has both parts (Altman 1998).
    """

    kind: str
    value: float | None
    benefit: tuple[float, float | None] | None
    harm: tuple[float, float | None] | None

    @classmethod
    def of(cls, difference: RiskDifference) -> NumberNeeded:
        """Reciprocal of a risk difference and of its interval."""
        low, high = difference.interval
        found = difference.estimate
        kind = "none" if found == 0.0 else "benefit" if found > 0.0 else "harm"
        benefit = (1.0 / high, 1.0 / low if low > 0.0 else None) if high > 0.0 else None
        harm = (-1.0 / low, -1.0 / high if high < 0.0 else None) if low < 0.0 else None
        return cls(kind, None if found == 0.0 else abs(1.0 / found), benefit, harm)

    @property
    def text(self) -> str:
        """The interval in words, the way Altman writes it."""
        parts = []
        for name, part in (("NNTB", self.benefit), ("NNTH", self.harm)):
            if part is not None:
                end = "infinity" if part[1] is None else f"{part[1]:.1f}"
                parts.append((name, f"{part[0]:.1f}", end))
        if len(parts) == 1:
            name, near, end = parts[0]
            return f"{name} {near} to {end}"
        (first, near, _), (second, far, _) = parts if self.kind != "harm" else parts[::-1]
        return f"{first} {near} to infinity to {second} {far}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values; null as an upper end is infinity."""
        return {
            "kind": self.kind,
            "value": self.value,
            "ci95_benefit": None if self.benefit is None else list(self.benefit),
            "ci95_harm": None if self.harm is None else list(self.harm),
            "text": self.text,
        }


@dataclass(frozen=True, slots=True)
class OddsRatio:
    """Odds ratio: sample and conditional maximum likelihood, each with its 95 % interval.

    Parameters
    ----------
    estimate : float or None
        Cross product; None where a cell is 0, with the reason in `reason`.
    interval : (float, float) or None
        Woolf's logit interval.
    conditional : float or None
        Conditional maximum likelihood; None where it is infinite or the margins are fixed.
    exact_interval : (float, float or None) or None
        Exact interval of the conditional odds ratio; None as upper end is infinity.
    reason : str or None
        Why a value is missing.
    """

    estimate: float | None
    interval: tuple[float, float] | None
    conditional: float | None
    exact_interval: tuple[float, float | None] | None
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values; null as an upper end is infinity."""
        return {
            "estimate": self.estimate,
            "ci95": None if self.interval is None else list(self.interval),
            "conditional": self.conditional,
            "ci95_exact": None if self.exact_interval is None else list(self.exact_interval),
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Contrast:
    """One arm against the control: every measure of a 2 x 2 table."""

    arm: str
    control: str
    pearson: ChiSquared | None
    yates: ChiSquared | None
    exact: ExactTest
    risk_difference: RiskDifference
    number_needed: NumberNeeded
    odds_ratio: OddsRatio

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "arm": self.arm,
            "control": self.control,
            "pearson": None if self.pearson is None else self.pearson.to_dict(),
            "yates": None if self.yates is None else self.yates.to_dict(),
            "exact": self.exact.to_dict(),
            "risk_difference": self.risk_difference.to_dict(),
            "nnt": self.number_needed.to_dict(),
            "odds_ratio": self.odds_ratio.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class ResponderTable:
    """Responders by arm.

    Parameters
    ----------
    arms : tuple of (str, int, int)
        Name, responders, patients.
    pearson : ChiSquared or None
        Of the whole table; None where everybody or nobody responded.
    exact : ExactTest
        Of the whole table.
    contrasts : tuple of Contrast
        Each other arm against the control.
    warnings : tuple of str
        What must be known to read it.
    """

    arms: tuple[tuple[str, int, int], ...]
    pearson: ChiSquared | None
    exact: ExactTest
    contrasts: tuple[Contrast, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        rows = []
        for name, responders, n in self.arms:
            interval = wilson_interval(responders, n)
            rows.append(
                {
                    "arm": name,
                    "responders": responders,
                    "n": n,
                    "share": responders / n,
                    "ci95": list(interval),
                }
            )
        return {
            "arms": rows,
            "pearson": None if self.pearson is None else self.pearson.to_dict(),
            "exact": self.exact.to_dict(),
            "contrasts": [contrast.to_dict() for contrast in self.contrasts],
            "warnings": list(self.warnings),
        }


def pearson(table: Sequence[Sequence[int]], *, correction: bool = False) -> ChiSquared | None:
    """Pearson's chi-squared of a table of counts; None where a margin is 0.

    Parameters
    ----------
    table : sequence, shape (n_rows, n_columns)
        Counts.
    correction : bool
        Yates's correction; 2 x 2 tables only.
    """
    from scipy.stats import chi2

    counts = np.asarray(table, dtype=float)
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / max(counts.sum(), 1.0)
    if not np.all(expected > 0.0):
        return None
    apart = np.abs(counts - expected)
    if correction:
        if counts.shape != (2, 2):
            raise AnalysisError("Yates's correction is for tables of 2 x 2")
        apart = apart - min(0.5, float(apart.min()))
    statistic = float(np.sum(apart**2 / expected))
    df = (counts.shape[0] - 1) * (counts.shape[1] - 1)
    return ChiSquared(statistic, df, float(chi2.sf(statistic, df)))


def odds_ratio(a: int, b: int, c: int, d: int) -> OddsRatio:
    """Odds ratio of the table ((a, b), (c, d)): responders and others, arm and control."""
    from scipy.stats.contingency import odds_ratio as conditional_odds_ratio

    estimate: float | None = None
    interval: tuple[float, float] | None = None
    reason = None
    if min(a, b, c, d) > 0:
        estimate = a * d / (b * c)
        se = math.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
        log = math.log(estimate)
        interval = (math.exp(log - Z95 * se), math.exp(log + Z95 * se))
    else:
        reason = "a cell is 0: the sample odds ratio has no interval; see the exact one"
    if a + c == 0 or b + d == 0:
        return OddsRatio(None, None, None, None, "nobody or everybody responded")
    found = conditional_odds_ratio(np.array([[a, b], [c, d]]), kind="conditional")
    low, high = found.confidence_interval(0.95)
    value = float(found.statistic)
    return OddsRatio(
        estimate,
        interval,
        value if math.isfinite(value) else None,
        (float(low), float(high) if math.isfinite(high) else None),
        reason,
    )


def compare_proportions(
    arms: Mapping[str, tuple[int, int]], *, control: str | None = None
) -> ResponderTable:
    """Compare the share of responders between arms.

    Parameters
    ----------
    arms : mapping of str to (int, int)
        Responders and patients of each arm.
    control : str, optional
        The arm that the others are held against; the last one where left out.

    Returns
    -------
    ResponderTable
        Whole table, and each arm against the control.

    Raises
    ------
    AnalysisError
        Fewer than two arms, an unknown control, or counts that are not counts.
    """
    if len(arms) < 2:
        raise AnalysisError("a responder table needs two arms or more")
    for name, counts in arms.items():
        if len(counts) != 2 or any(isinstance(c, bool) or int(c) != c for c in counts):
            raise AnalysisError(f"arm {name}: give responders and patients as whole numbers")
        if not 0 <= counts[0] <= counts[1] or counts[1] < 1:
            raise AnalysisError(
                f"arm {name}: {counts[0]} responders of {counts[1]} patients is not possible"
            )
    names = list(arms)
    chosen = names[-1] if control is None else control
    if chosen not in arms:
        raise AnalysisError(f"control {chosen}: no such arm; there are {', '.join(names)}")
    rows = {name: (int(r), int(n) - int(r)) for name, (r, n) in arms.items()}
    table = list(rows.values())
    contrasts = tuple(
        _contrast(name, rows[name], chosen, rows[chosen]) for name in names if name != chosen
    )
    exact = exact_test(table)
    return ResponderTable(
        tuple((name, r, r + other) for name, (r, other) in rows.items()),
        pearson(table),
        exact,
        contrasts,
        tuple(_warnings(table, exact, pearson(table))),
    )


def _contrast(arm: str, ours: tuple[int, int], control: str, theirs: tuple[int, int]) -> Contrast:
    """Every measure of two arms."""
    pair = [ours, theirs]
    n, m = sum(ours), sum(theirs)
    difference = RiskDifference(
        ours[0] / n - theirs[0] / m, newcombe_interval(ours[0], n, theirs[0], m)
    )
    return Contrast(
        arm,
        control,
        pearson(pair),
        pearson(pair, correction=True),
        exact_test(pair),
        difference,
        NumberNeeded.of(difference),
        odds_ratio(ours[0], ours[1], theirs[0], theirs[1]),
    )


def _warnings(
    table: Sequence[Sequence[int]], exact: ExactTest, plain: ChiSquared | None
) -> list[str]:
    """Where the tests of one table must not be read alike."""
    if plain is None:
        return ["everybody or nobody responded: there is nothing to compare"]
    found = []
    counts = np.asarray(table, dtype=float)
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    if float(expected.min()) < FEW_EXPECTED:
        found.append(
            f"an expected count is {expected.min():.1f}, below {FEW_EXPECTED:g}: Pearson's p is an "
            "approximation that small tables do not bear; read the exact one"
        )
    if (plain.p < 0.05) != (exact.p < 0.05):
        found.append(
            f"Pearson's p ({plain.p:.4f}) and the exact p ({exact.p:.4f}) lie on different sides "
            "of .05: the table does not decide"
        )
    return found
