"""The crossover: each patient in several arms, one per period, with period and carry-over."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.group_analyses import outcome_of, quantity_of
from analysis.group_contrast import MIN_PATIENTS, GroupContrast, OutcomeResult, within_patients
from analysis.group_design import Plan
from analysis.group_mixed import MixedFit, fit_mixed, mixed_model_class
from analysis.group_models import caution, disagreement, with_model, without_model
from analysis.group_table import GroupTable, Row
from analysis.group_tests import Estimate, exchange_labels, welch

__all__ = ["analyse_crossover"]


def analyse_crossover(table: GroupTable, plan: Plan, k: int, seed: int) -> OutcomeResult:
    """Each patient in several arms, one per period: arm, adjusted for period, with carry-over.

    Values are those of the period, or its change where it has two visits.
    """
    if plan.control is None:
        raise AnalysisError(f"{table.source}: a crossover needs a control condition")
    per_period = _period_values(table, plan, k)
    orders = _orders(table)
    if len(set(orders.values())) < 2:
        raise AnalysisError(
            f"{table.source}: everybody had the conditions in the same order, so the condition "
            "cannot be told from the period; give --design paired, knowing that"
        )
    name = table.outcomes[k]
    quantity = quantity_of(table, plan, k)
    contrasts = []
    for arm in plan.arms:
        both = [
            s for s in per_period if {arm, plan.control} <= {a for a, _ in per_period[s].values()}
        ]
        differences = np.array(
            [_mean_of(per_period[s], arm) - _mean_of(per_period[s], plan.control) for s in both]
        )
        contrasts.append(within_patients(arm, plan.control, differences, quantity, seed))
    warnings = caution(table)
    carry: dict[str, Any] | None = None
    model: MixedFit | None = None
    if all(contrast.permutation is None for contrast in contrasts):
        return outcome_of(table, plan, k, contrasts, warnings)
    mixed_model_class()
    simple = len(table.arms) == 2 and len(table.periods) == 2
    try:
        model, adjusted, carry = _crossover_models(table, plan, per_period, orders, name, simple)
    except AnalysisError as exc:
        contrasts = [without_model(c, str(exc)) for c in contrasts]
        warnings.append(f"{name}: {exc}; the mixed model is the primary analysis, so there is none")
    else:
        warnings += [f"{name}: {note}" for note in model.notes]
        found = []
        for contrast in contrasts:
            whole = contrast
            if contrast.permutation is not None:
                whole = with_model(contrast, model, contrast.arm)
                if adjusted is not None:
                    label = f"{quantity}, with first-order carry-over"
                    extra = adjusted.estimate(contrast.arm, label)
                    whole = replace(whole, beside=(*whole.beside, extra))
            found.append(whole)
        contrasts = found
    if simple:
        contrasts = [_by_order(contrasts[0], per_period, orders, table, quantity, seed)]
    warnings.append(
        "a carry-over from one condition to the next cannot be excluded: its test has little power "
        "and must not decide the analysis (Freeman 1989); the wash-out has to"
    )
    warnings += disagreement(contrasts)
    return outcome_of(table, plan, k, contrasts, warnings, model=model, carry=carry)


def _period_values(
    table: GroupTable, plan: Plan, k: int
) -> dict[str, dict[str, tuple[str, float]]]:
    """Arm and value of each patient in each period; the change where a period has two visits."""
    visits = table.times if not plan.is_change else ()
    if len(visits) > 2:
        raise AnalysisError(
            f"{table.source}: a crossover has one value, or one before and one after, in each "
            f"period; there are {len(visits)} visits: choose two with --times"
        )
    arm_of: dict[tuple[str, str], Row] = {}
    at: dict[tuple[str, str, str], float] = {}
    for row in table.rows:
        other = arm_of.setdefault((row.subject, row.period), row)
        if other.arm != row.arm:
            raise AnalysisError(
                f"{table.source}, line {row.line}: patient {row.subject} has {row.arm} in period "
                f"{row.period}, and {other.arm} in line {other.line}"
            )
        value = row.values[k]
        if value is not None:
            at[row.subject, row.period, row.time if visits else ""] = value
    found: dict[str, dict[str, tuple[str, float]]] = {}
    for (subject, period), row in arm_of.items():
        value = None
        if len(visits) == 2:
            before, after = (at.get((subject, period, visit)) for visit in visits)
            value = None if before is None or after is None else after - before
        else:
            value = at.get((subject, period, visits[0] if visits else ""))
        if value is not None:
            found.setdefault(subject, {})[period] = (row.arm, value)
    return found


def _mean_of(own: dict[str, tuple[str, float]], arm: str) -> float:
    """Mean over the periods of an arm."""
    return float(np.mean([value for given, value in own.values() if given == arm]))


def _orders(table: GroupTable) -> dict[str, tuple[str, ...]]:
    """Conditions of each patient in the order of periods."""
    arm = {(row.subject, row.period): row.arm for row in table.rows}
    return {
        subject: tuple(arm[subject, p] for p in table.periods if (subject, p) in arm)
        for subject in table.subjects
    }


def _crossover_models(
    table: GroupTable,
    plan: Plan,
    values: dict[str, dict[str, tuple[str, float]]],
    orders: dict[str, tuple[str, ...]],
    name: str,
    simple: bool,
) -> tuple[MixedFit, MixedFit | None, dict[str, Any] | None]:
    """The model with period (and order), the one with carry-over, and what the latter says."""
    cells = [(s, p, arm, v) for s, own in values.items() for p, (arm, v) in own.items()]
    names = ["intercept", *plan.arms, *(f"period {p}" for p in table.periods[1:])]
    columns = [np.ones(len(cells))]
    columns += [np.array([float(arm == a) for _, _, a, _ in cells]) for arm in plan.arms]
    columns += [np.array([float(p == q) for _, q, _, _ in cells]) for p in table.periods[1:]]
    y = np.array([value for *_, value in cells])
    subjects = [cell[0] for cell in cells]
    formula = f"{name} ~ arm + period"
    if simple:
        # Two arms, two periods: who began with which is all that is left to tell a carry-over.
        began = np.array([float(orders[s][0] != plan.control) for s in subjects])
        columns, names = [*columns, began], [*names, "order"]
        matrix = np.column_stack(columns)
        model = fit_mixed(y, matrix, names, subjects, formula=f"{formula} + order")
        return model, None, {"kind": "order (carry-over, 2 x 2)", **model.term("order").to_dict()}
    model = fit_mixed(y, np.column_stack(columns), names, subjects, formula=formula)
    given = {(row.subject, row.period): row.arm for row in table.rows}
    before = {
        (s, later): given[s, earlier]
        for s in table.subjects
        for earlier, later in pairwise(table.periods)
        if (s, earlier) in given
    }
    carried = [
        np.array([float(before.get((s, p)) == arm) for s, p, _, _ in cells]) for arm in plan.arms
    ]
    matrix = np.column_stack([*columns, *carried])
    if np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        return model, None, None
    terms = tuple(f"after {arm}" for arm in plan.arms)
    whole = fit_mixed(y, matrix, (*names, *terms), subjects, formula=f"{formula} + carry-over")
    return model, whole, {"kind": "first-order carry-over", **whole.joint(terms)}


def _by_order(
    contrast: GroupContrast,
    values: dict[str, dict[str, tuple[str, float]]],
    orders: dict[str, tuple[str, ...]],
    table: GroupTable,
    quantity: str,
    seed: int,
) -> GroupContrast:
    """The classical 2 x 2 analysis: period differences, exchanged between the two orders.

    References
    ----------
    Hills and Armitage 1979, Br J Clin Pharmacol 8:7-20.
    """
    first, second = table.periods
    groups: dict[bool, list[float]] = {True: [], False: []}
    for subject, own in values.items():
        if len(own) == 2:
            difference = own[first][1] - own[second][1]
            groups[orders[subject][0] == contrast.arm].append(difference)
    one, other = np.array(groups[True]), np.array(groups[False])
    if min(one.size, other.size) < MIN_PATIENTS:
        return contrast
    permutation = replace(
        exchange_labels(one, other, seed), method="orders exchanged between patients"
    )
    try:
        apart = welch(one, other, quantity)
    except AnalysisError:
        return replace(contrast, permutation=permutation)
    halved = Estimate.of(
        f"{quantity}, half the difference between orders",
        0.5 * apart.estimate,
        0.5 * apart.se,
        apart.df,
        method="period-adjusted t test (Hills and Armitage, Welch)",
        n=apart.n,
    )
    return replace(contrast, permutation=permutation, beside=(*contrast.beside, halved))
