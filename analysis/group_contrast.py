"""What a comparison of groups says of one outcome: the parts of a result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.effect_size import EffectSize, between, detectable, paired
from analysis.errors import AnalysisError
from analysis.group_design import Attendance
from analysis.group_mixed import MixedFit
from analysis.group_tests import (
    Estimate,
    Permutation,
    exchange_labels,
    flip_signs,
    holm,
    one_sample,
    welch,
)
from analysis.statistics import Direction

__all__ = [
    "MIN_PATIENTS",
    "Cell",
    "GroupContrast",
    "OutcomeResult",
    "two_arms",
    "with_holm",
    "within_patients",
]

Array = NDArray[np.float64]

MIN_PATIENTS = 3


@dataclass(frozen=True, slots=True)
class Cell:
    """Values of one arm at one visit: number, mean, standard deviation, 95 % interval."""

    arm: str
    when: str
    n: int
    mean: float | None
    sd: float | None
    interval: tuple[float, float] | None

    @classmethod
    def of(cls, arm: str, when: str, values: Array) -> Cell:
        """Describe values, shape (n,)."""
        from scipy.stats import t

        n = values.size
        if not n:
            return cls(arm, when, 0, None, None, None)
        mean = float(values.mean())
        if n < 2:
            return cls(arm, when, n, mean, None, None)
        sd = float(values.std(ddof=1))
        half = float(t.ppf(0.975, n - 1)) * sd / n**0.5
        return cls(arm, when, n, mean, sd, (mean - half, mean + half))

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "arm": self.arm,
            "when": self.when,
            "n": self.n,
            "mean": self.mean,
            "sd": self.sd,
            "ci95": None if self.interval is None else list(self.interval),
        }


@dataclass(frozen=True, slots=True)
class GroupContrast:
    """One comparison.

    Parameters
    ----------
    arm, against : str
        What is compared with what: an arm with the control, or a visit with an earlier one.
    quantity : str
        What is compared, in words.
    primary : Estimate or None
        The estimate that counts, arm less control; None with a reason.
    reason : str or None
        Why there is none.
    beside : tuple of Estimate
        Other analyses of the same question.
    permutation : Permutation or None
        Randomisation test.
    effect : EffectSize or None
        Standardised.
    detectable : float or None
        Smallest effect size that these numbers find with a power of 80 %.
    p_holm : float or None
        The primary p, corrected for all contrasts and outcomes.
    direction : {"increase", "decrease", "none", "undetermined"}
        What the corrected p and the interval support.
    """

    arm: str
    against: str
    quantity: str
    primary: Estimate | None
    reason: str | None = None
    beside: tuple[Estimate, ...] = ()
    permutation: Permutation | None = None
    effect: EffectSize | None = None
    detectable: float | None = None
    p_holm: float | None = None
    direction: Direction = "undetermined"

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "arm": self.arm,
            "against": self.against,
            "quantity": self.quantity,
            "primary": None if self.primary is None else self.primary.to_dict(),
            "reason": self.reason,
            "beside": [estimate.to_dict() for estimate in self.beside],
            "permutation": None if self.permutation is None else self.permutation.to_dict(),
            "effect": None if self.effect is None else self.effect.to_dict(),
            "detectable_effect_80": self.detectable,
            "p_holm": self.p_holm,
            "direction": self.direction,
        }


@dataclass(frozen=True, slots=True)
class OutcomeResult:
    """Everything about one outcome.

    Parameters
    ----------
    name : str
        The outcome.
    contrasts : tuple of GroupContrast
        Each arm against the control.
    model : MixedFit or None
        The mixed model, where the design has one.
    joint : dict or None
        Test of all arms together, with more than two.
    carry_over : dict or None
        Of a crossover.
    cells : tuple of Cell
        Means by arm and visit.
    attendance : tuple of Attendance
        Patients by arm, and who was lost.
    warnings : tuple of str
        What must be known to read it.
    """

    name: str
    contrasts: tuple[GroupContrast, ...]
    model: MixedFit | None
    joint: dict[str, Any] | None
    carry_over: dict[str, Any] | None
    cells: tuple[Cell, ...]
    attendance: tuple[Attendance, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "outcome": self.name,
            "contrasts": [contrast.to_dict() for contrast in self.contrasts],
            "model": None if self.model is None else self.model.to_dict(),
            "joint": self.joint,
            "carry_over": self.carry_over,
            "cells": [cell.to_dict() for cell in self.cells],
            "arms": [arm.to_dict() for arm in self.attendance],
            "warnings": list(self.warnings),
        }


def two_arms(
    arm: str, control: str, first: Array, second: Array, quantity: str, seed: int
) -> GroupContrast:
    """Compare one number per patient between two arms.

    Parameters
    ----------
    arm, control : str
        Names.
    first, second : ndarray, shape (n,)
        Values of the arm and of the control.
    quantity : str
        What the values are.
    seed : int
        Of the randomisation test.
    """
    n, m = first.size, second.size
    if min(n, m) < MIN_PATIENTS:
        reason = (
            f"{n} in {arm} and {m} in {control}: with fewer than {MIN_PATIENTS} on a side nothing "
            "is tested"
        )
        return GroupContrast(arm, control, quantity, None, reason)
    permutation = exchange_labels(first, second, seed)
    try:
        primary = welch(first, second, quantity)
    except AnalysisError as exc:
        return GroupContrast(arm, control, quantity, None, str(exc), permutation=permutation)
    return GroupContrast(
        arm,
        control,
        quantity,
        primary,
        permutation=permutation,
        effect=between(first, second, "standard deviations within arms"),
        detectable=detectable(n, m),
    )


def within_patients(
    arm: str, against: str, differences: Array, quantity: str, seed: int
) -> GroupContrast:
    """Compare two values of each patient, through their differences, shape (n,)."""
    n = differences.size
    if n < MIN_PATIENTS:
        reason = f"{n} patients with both values: with fewer than {MIN_PATIENTS} nothing is tested"
        return GroupContrast(arm, against, quantity, None, reason)
    permutation = flip_signs(differences, seed)
    try:
        primary = one_sample(differences, quantity)
    except AnalysisError as exc:
        return GroupContrast(arm, against, quantity, None, str(exc), permutation=permutation)
    return GroupContrast(
        arm,
        against,
        quantity,
        primary,
        permutation=permutation,
        effect=paired(differences),
        detectable=detectable(n),
    )


def with_holm(
    outcomes: tuple[OutcomeResult, ...], none_within: float | None
) -> tuple[OutcomeResult, ...]:
    """Correct the primary p values over all contrasts of all outcomes, and read the directions."""
    flat = [contrast for outcome in outcomes for contrast in outcome.contrasts]
    adjusted = iter(holm([c.primary.p if c.primary is not None else None for c in flat]))
    return tuple(
        replace(
            outcome,
            contrasts=tuple(
                _directed(contrast, next(adjusted), none_within) for contrast in outcome.contrasts
            ),
        )
        for outcome in outcomes
    )


def _directed(
    contrast: GroupContrast, p_holm: float | None, none_within: float | None
) -> GroupContrast:
    """A contrast with its corrected p and the direction that it supports."""
    direction: Direction = "undetermined"
    if contrast.primary is not None and p_holm is not None:
        low, high = contrast.primary.interval
        if p_holm < 0.05:
            direction = "increase" if contrast.primary.estimate > 0.0 else "decrease"
        elif none_within is not None and -none_within <= low and high <= none_within:
            direction = "none"
    return replace(contrast, p_holm=p_holm, direction=direction)
