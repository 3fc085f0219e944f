"""One function for each design without a model: paired, between, one patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.group_contrast import Cell, GroupContrast, OutcomeResult, two_arms, within_patients
from analysis.group_design import Plan, attendance
from analysis.group_mixed import MixedFit
from analysis.group_table import GroupTable
from analysis.group_tests import ancova

__all__ = [
    "analyse_between",
    "analyse_n_of_1",
    "analyse_paired",
    "by_arm",
    "cells",
    "changes",
    "joint",
    "outcome_of",
    "quantity_of",
    "sessions",
    "with_ancova",
]

Array = NDArray[np.float64]
FEW = 8

PAIRED_LIMIT = (
    "without a control arm a change cannot be told from what time, expectation, practice and "
    "regression to the mean do by themselves"
)


def by_arm(table: GroupTable, plan: Plan, k: int) -> dict[str, dict[str, float]]:
    """One number per arm and patient: the value, the mean of several, or the change over visits.

    With two visits or more (and values that are no changes yet) it is the last less the first;
    patients without both have none.
    """
    found: dict[str, dict[str, float]] = {arm: {} for arm in table.arms}
    if len(table.times) > 1 and not plan.is_change:
        first, last = table.times[0], table.times[-1]
        at = {(r.arm, r.subject, r.time): r.values[k] for r in table.rows}
        for (arm, subject, time), after in at.items():
            before = at.get((arm, subject, first))
            if time == last and before is not None and after is not None:
                found[arm][subject] = after - before
        return found
    several: dict[tuple[str, str], list[float]] = {}
    for row in table.rows:
        value = row.values[k]
        if value is not None:
            several.setdefault((row.arm, row.subject), []).append(value)
    for (arm, subject), values in several.items():
        found[arm][subject] = float(np.mean(values))
    return found


def quantity_of(table: GroupTable, plan: Plan, k: int) -> str:
    """What `by_arm` returns, in words."""
    name = table.outcomes[k]
    if len(table.times) > 1 and not plan.is_change:
        return f"{name}, change from {table.times[0]} to {table.times[-1]}"
    return name


def cells(table: GroupTable, plan: Plan, k: int) -> tuple[Cell, ...]:
    """Means by arm and visit."""
    arms = (*plan.arms, plan.control) if plan.control is not None else plan.arms
    visits = table.times if not plan.is_change and table.times else ("",)
    found = []
    for arm in arms:
        for visit in visits:
            values = [
                value
                for row in table.rows
                if row.arm == arm and (visit in ("", row.time))
                if (value := row.values[k]) is not None
            ]
            found.append(Cell.of(arm or "all", visit, np.array(values)))
    return tuple(found)


def changes(values: Mapping[str, float]) -> Array:
    """Numbers of patients as an array, shape (n,)."""
    return np.array(list(values.values()), dtype=float)


def joint(
    numbers: Mapping[str, Mapping[str, float]], arms: tuple[str, ...]
) -> dict[str, Any] | None:
    """One-way analysis of variance of more than two arms."""
    from scipy.stats import f_oneway

    groups = [changes(numbers[arm]) for arm in arms]
    if len(groups) < 3 or min(group.size for group in groups) < 3:
        return None
    if all(np.ptp(group) == 0.0 for group in groups):
        return None
    found = f_oneway(*groups)
    n = sum(group.size for group in groups)
    return {
        "method": "one-way analysis of variance",
        "f": float(found.statistic),
        "df": [len(groups) - 1, n - len(groups)],
        "p": float(found.pvalue),
    }


def analyse_paired(table: GroupTable, plan: Plan, k: int, seed: int) -> OutcomeResult:
    """Two values of each patient: before and after, or under two conditions."""
    numbers = by_arm(table, plan, k)
    warnings: list[str] = []
    contrasts: list[GroupContrast] = []
    if plan.control is None:
        only = plan.arms[0]
        first, last = ("before", "after") if plan.is_change else (table.times[0], table.times[-1])
        contrasts.append(
            within_patients(last, first, changes(numbers[only]), quantity_of(table, plan, k), seed)
        )
        warnings.append(PAIRED_LIMIT)
    else:
        control = numbers[plan.control]
        for arm in plan.arms:
            both = [subject for subject in numbers[arm] if subject in control]
            differences = np.array([numbers[arm][s] - control[s] for s in both])
            quantity = quantity_of(table, plan, k)
            contrasts.append(within_patients(arm, plan.control, differences, quantity, seed))
        warnings.append(
            "the table has no periods: what came first is not known, so an effect of order or a "
            "carry-over cannot be seen (--period names the column)"
        )
    warnings += few(max((c.primary.n if c.primary else 0) for c in contrasts))
    return outcome_of(table, plan, k, contrasts, warnings)


def analyse_between(table: GroupTable, plan: Plan, k: int, seed: int) -> OutcomeResult:
    """One number per patient, each patient in one arm; with visits, the change, and ANCOVA."""
    if plan.control is None:
        raise AnalysisError(f"{table.source}: one arm only; there is nothing to compare it with")
    numbers = by_arm(table, plan, k)
    contrasts = []
    for arm in plan.arms:
        first, second = changes(numbers[arm]), changes(numbers[plan.control])
        found = two_arms(arm, plan.control, first, second, quantity_of(table, plan, k), seed)
        contrasts.append(with_ancova(found, table, plan, k, numbers))
    warnings = few(sum(len(own) for own in numbers.values()))
    together = joint(numbers, (*plan.arms, plan.control))
    return outcome_of(table, plan, k, contrasts, warnings, together=together)


def with_ancova(
    contrast: GroupContrast,
    table: GroupTable,
    plan: Plan,
    k: int,
    numbers: Mapping[str, Mapping[str, float]],
) -> GroupContrast:
    """The contrast with the last visit adjusted for the first beside it, where there are visits."""
    if contrast.primary is None or len(table.times) < 2 or plan.is_change:
        return contrast
    first, last = table.times[0], table.times[-1]
    at = {(r.arm, r.subject, r.time): r.values[k] for r in table.rows}
    keys = [(arm, s) for arm in (contrast.arm, contrast.against) for s in numbers[arm]]
    before = np.array([at[(*key, first)] for key in keys], dtype=float)
    after = np.array([at[(*key, last)] for key in keys], dtype=float)
    treated = np.array([arm == contrast.arm for arm, _ in keys])
    name = f"{table.outcomes[k]} at {last}, adjusted for {first}"
    try:
        adjusted = ancova(after, before, treated, name)
    except AnalysisError:
        return contrast
    return replace(contrast, beside=(*contrast.beside, adjusted))


def analyse_n_of_1(table: GroupTable, plan: Plan, k: int, seed: int) -> OutcomeResult:
    """Sessions of one patient, each under one condition."""
    if plan.control is None:
        raise AnalysisError(f"{table.source}: one arm only; there is nothing to compare it with")
    values = {arm: changes(own) for arm, own in sessions(table, plan, k).items()}
    quantity = f"{quantity_of(table, plan, k)}, sessions" if table.periods else table.outcomes[k]
    contrasts = [
        two_arms(arm, plan.control, values[arm], values[plan.control], quantity, seed)
        for arm in plan.arms
    ]
    warnings = [
        "one patient: the answer is about this person alone, and holds only if the order of the "
        "sessions was drawn at random",
        "sessions close in time resemble each other, which a t test does not know: read the "
        "randomisation test beside it",
    ]
    return outcome_of(table, plan, k, contrasts, warnings)


def sessions(table: GroupTable, plan: Plan, k: int) -> dict[str, dict[str, float]]:
    """One number per arm and session of one patient: the value, or the change over its visits."""
    found: dict[str, dict[str, float]] = {arm: {} for arm in table.arms}
    if table.periods and len(table.times) > 1 and not plan.is_change:
        at = {(r.arm, r.period, r.time): r.values[k] for r in table.rows}
        for arm, period in dict.fromkeys((row.arm, row.period) for row in table.rows):
            before, after = (at.get((arm, period, t)) for t in (table.times[0], table.times[-1]))
            if before is not None and after is not None:
                found[arm][period] = after - before
        return found
    if len(table.times) > 1 and table.time_values is None:
        raise AnalysisError(
            f"{table.source}: which session do {', '.join(table.times)} belong to? Number the "
            "sessions in a column of their own (--period)"
        )
    for row in table.rows:
        value = row.values[k]
        if value is not None:
            found[row.arm][str(row.line)] = value
    return found


def few(n: int) -> list[str]:
    """Caution about small numbers."""
    if 0 < n < FEW:
        return [f"{n} patients: the interval rests on so few that the next one may change it"]
    return []


def outcome_of(
    table: GroupTable,
    plan: Plan,
    k: int,
    contrasts: Sequence[GroupContrast],
    warnings: Sequence[str],
    *,
    model: MixedFit | None = None,
    together: dict[str, Any] | None = None,
    carry: dict[str, Any] | None = None,
) -> OutcomeResult:
    """Put a result together: what was found, and the means and patients behind it."""
    return OutcomeResult(
        name=table.outcomes[k],
        contrasts=tuple(contrasts),
        model=model,
        joint=together,
        carry_over=carry,
        cells=cells(table, plan, k),
        attendance=attendance(table, plan, k),
        warnings=tuple(warnings),
    )
