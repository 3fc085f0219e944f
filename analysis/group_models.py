"""Arms over visits: the mixed model, and the change of each patient beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analysis.effect_size import against_spread
from analysis.errors import AnalysisError
from analysis.group_analyses import by_arm, changes, outcome_of, quantity_of, with_ancova
from analysis.group_contrast import GroupContrast, OutcomeResult, two_arms
from analysis.group_design import Plan
from analysis.group_mixed import MIN_SLOPE_TIMES, MixedFit, fit_mixed, mixed_model_class
from analysis.group_table import GroupTable, Row

__all__ = [
    "USEFUL_PATIENTS",
    "analyse_mixed",
    "caution",
    "disagreement",
    "with_model",
    "without_model",
]

Array = NDArray[np.float64]

USEFUL_PATIENTS = 8
FEW_PATIENTS = 30


@dataclass(frozen=True, slots=True)
class _Design:
    """Fixed effects, and the names of those that answer the question."""

    matrix: Array
    names: tuple[str, ...]
    wanted: dict[str, str]
    formula: str
    slope: Array | None


def analyse_mixed(table: GroupTable, plan: Plan, k: int, seed: int) -> OutcomeResult:
    """Two arms or more over visits: time x arm of a mixed model, the change per patient beside.

    Three numeric visits or more are a line in time with a random slope where there is one; other
    visits are levels, and the contrast is that of the last with the first.
    """
    if plan.control is None:
        raise AnalysisError(f"{table.source}: one arm only; there is nothing to compare it with")
    rows = [row for row in table.rows if row.values[k] is not None]
    linear = table.time_values is not None and len(table.times) >= MIN_SLOPE_TIMES
    numbers = slopes(table, k) if linear else by_arm(table, plan, k)
    unit = table.columns.time or "visit"
    name = table.outcomes[k]
    quantity = (
        f"{name}, change per unit of {unit}" if linear else quantity_of(table, plan, k)
    )  # in the words of the model, its time x arm interaction
    contrasts = []
    for arm in plan.arms:
        first, second = changes(numbers[arm]), changes(numbers[plan.control])
        found = two_arms(arm, plan.control, first, second, quantity, seed)
        if linear and found.primary is not None:
            slope = replace(found.primary, method="Welch's t test of each patient's slope")
            found = replace(found, primary=slope)
        contrasts.append(found)
    warnings = caution(table)
    model: MixedFit | None = None
    together = None
    if all(contrast.permutation is None for contrast in contrasts):
        return outcome_of(table, plan, k, contrasts, warnings)
    mixed_model_class()
    design = _visits_by_arm(table, plan, rows, linear)
    values = np.array([row.values[k] for row in rows], dtype=float)
    try:
        model = fit_mixed(
            values,
            design.matrix,
            design.names,
            [row.subject for row in rows],
            formula=f"{name} ~ {design.formula}",
            slope=design.slope,
        )
    except AnalysisError as exc:
        contrasts = [without_model(c, str(exc)) for c in contrasts]
        warnings.append(f"{name}: {exc}; the mixed model is the primary analysis, so there is none")
    else:
        contrasts = [
            c if c.permutation is None else with_model(c, model, design.wanted[c.arm])
            for c in contrasts
        ]
        warnings += [f"{name}: {note}" for note in model.notes]
        interaction = [term for term in design.names if ":" in term]
        if len(plan.arms) > 1:
            together = {"method": "time x arm, all arms, F test of the mixed model"}
            together |= model.joint(interaction)
    if linear:
        warnings.append(
            f"{name}: change is taken as a straight line over {unit} {table.times[0]} to "
            f"{table.times[-1]}; look at the figure, or choose two visits with --times"
        )
        contrasts = [_over_the_span(c, table, k) for c in contrasts]
    else:
        contrasts = [with_ancova(c, table, plan, k, numbers) for c in contrasts]
    warnings += disagreement(contrasts)
    return outcome_of(table, plan, k, contrasts, warnings, model=model, together=together)


def _over_the_span(contrast: GroupContrast, table: GroupTable, k: int) -> GroupContrast:
    """A contrast of slopes with the effect size of the difference from first to last visit."""
    if contrast.primary is None:
        return replace(contrast, effect=None, detectable=None)
    first, last, unit = table.times[0], table.times[-1], table.columns.time or "visit"
    span = float(last) - float(first)
    groups = [
        np.array(
            [
                value
                for row in table.rows
                if row.arm == arm and row.time == first
                if (value := row.values[k]) is not None
            ]
        )
        for arm in (contrast.arm, contrast.against)
    ]
    effect = against_spread(
        contrast.primary.estimate * span,
        (contrast.primary.interval[0] * span, contrast.primary.interval[1] * span),
        groups,
        f"standard deviations at {unit} {first} (change from {first} to {last})",
    )
    return replace(contrast, effect=effect, detectable=None)


def slopes(table: GroupTable, k: int) -> dict[str, dict[str, float]]:
    """Least-squares slope over time of each patient with two visits or more, by arm."""
    points: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in table.rows:
        value = row.values[k]
        if value is not None:
            points.setdefault((row.arm, row.subject), []).append((float(row.time), value))
    found: dict[str, dict[str, float]] = {arm: {} for arm in table.arms}
    for (arm, subject), own in points.items():
        if len(own) > 1:
            x, y = np.array(own).T
            found[arm][subject] = float(np.polyfit(x - x.mean(), y, 1)[0])
    return found


def _visits_by_arm(table: GroupTable, plan: Plan, rows: Sequence[Row], linear: bool) -> _Design:
    """Intercept, time, arms, and time x arms."""
    columns: list[Array] = [np.ones(len(rows))]
    names = ["intercept"]
    slope = np.array([float(row.time) for row in rows]) if linear else None
    visits: list[tuple[str, Array]] = []
    if slope is not None:
        visits.append((table.columns.time or "time", slope))
    else:
        visits += [
            (f"at {time}", np.array([float(row.time == time) for row in rows]))
            for time in table.times[1:]
        ]
    arms = [(arm, np.array([float(row.arm == arm) for row in rows])) for arm in plan.arms]
    for name, column in (*visits, *arms):
        names.append(name)
        columns.append(column)
    wanted = {}
    for arm, of_arm in arms:
        for visit, of_visit in visits:
            names.append(f"{visit}:{arm}")
            columns.append(of_arm * of_visit)
        wanted[arm] = names[-1]
    return _Design(np.column_stack(columns), tuple(names), wanted, "time * arm", slope)


def with_model(contrast: GroupContrast, model: MixedFit, term: str) -> GroupContrast:
    """The model's estimate first, that of the change per patient beside it."""
    beside = () if contrast.primary is None else (contrast.primary,)
    return replace(
        contrast,
        primary=model.estimate(term, contrast.quantity),
        reason=None,
        beside=(*beside, *contrast.beside),
    )


def without_model(contrast: GroupContrast, reason: str) -> GroupContrast:
    """The change per patient beside, and nothing in the place of the model."""
    beside = () if contrast.primary is None else (contrast.primary,)
    return replace(contrast, primary=None, reason=reason, beside=(*beside, *contrast.beside))


def disagreement(contrasts: Sequence[GroupContrast]) -> list[str]:
    """Analyses of one question on different sides of .05."""
    found = []
    for contrast in contrasts:
        if contrast.primary is None:
            continue
        ps = [(e.method.split(",")[0], e.p) for e in (contrast.primary, *contrast.beside)]
        if contrast.permutation is not None:
            ps.append(("randomisation test", contrast.permutation.p))
        if len({p < 0.05 for _, p in ps}) > 1:
            told = ", ".join(f"{name} p = {p:.3f}" for name, p in ps)
            found.append(
                f"{contrast.arm} against {contrast.against}: the analyses lie on both sides of .05 "
                f"({told}); the first is the primary one"
            )
    return found


def caution(table: GroupTable) -> list[str]:
    """Caution about mixed models of few patients."""
    n = len(table.subjects)
    if n < USEFUL_PATIENTS:
        return [
            f"{n} patients: a mixed model is not useful below {USEFUL_PATIENTS}; its variances "
            "between patients are guesses"
        ]
    if n < FEW_PATIENTS:
        return [
            f"{n} patients: the standard errors of a mixed model hold for many; t with "
            "between-within degrees of freedom and the randomisation test guard against that"
        ]
    return []
