"""Figures of a comparison of groups: patients and means, effect sizes, responders.

Colours are those of Okabe and Ito: control grey, arms blue, vermilion, green.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.contingency import ResponderTable
from analysis.errors import AnalysisError
from analysis.figures_outcome import INK
from analysis.group import GroupResult
from analysis.group_analyses import by_arm, sessions
from analysis.group_contrast import OutcomeResult
from analysis.group_design import Plan
from analysis.group_table import GroupTable
from analysis.group_words import p_text
from analysis.proportions import wilson_interval

__all__ = ["figures_of", "plot_effects", "plot_responders", "plot_trajectories"]

ARMS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
CONTROL = "#666666"
NARROW = 0.18


def figures_of(result: GroupResult) -> dict[str, Any]:
    """Every figure that a result can fill, by name.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        Of "patients" (one for each outcome beyond the first, numbered), "effects" and "responders".
    """
    found: dict[str, Any] = {}
    for k in range(len(result.outcomes)):
        found["patients" if k == 0 else f"patients-{k + 1}"] = plot_trajectories(result, k)
    if any(c.effect is not None for o in result.outcomes for c in o.contrasts):
        found["effects"] = plot_effects(result)
    if any(isinstance(r.observed, ResponderTable) for r in result.responders):
        found["responders"] = plot_responders(result)
    return found


def _colours(plan: Plan) -> dict[str, str]:
    """Colour of each arm."""
    if plan.control is None:
        return {plan.arms[0]: ARMS[0]}
    found = {arm: ARMS[i % len(ARMS)] for i, arm in enumerate(plan.arms)}
    return found | {plan.control: CONTROL}


def plot_trajectories(result: GroupResult, k: int = 0) -> Any:
    """Plot each patient and the mean of each arm with its 95 % interval.

    Parameters
    ----------
    result : GroupResult
        From `analysis.compare_groups`.
    k : int
        Which outcome.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per arm over visits; one line per patient between conditions; or one column of
        points per arm, by design.

    Raises
    ------
    AnalysisError
        The result holds no outcome, as one of counts alone.
    """
    from matplotlib.figure import Figure

    if result.table is None or result.plan is None or not result.outcomes:
        raise AnalysisError("there is no outcome to draw; plot_responders draws counts")
    table, plan, outcome = result.table, result.plan, result.outcomes[k]
    over_visits = len(table.times) > 1 and not plan.is_change and plan.design != "n_of_1"
    crossed = plan.control is not None and plan.design in ("paired", "crossover")
    if over_visits and not crossed:
        arms = (*plan.arms, plan.control) if plan.control is not None else plan.arms
        figure: Any = Figure(figsize=(1.2 + 4.0 * len(arms), 4.9), layout="constrained")
        panels = figure.subplots(1, len(arms), sharey=True, squeeze=False)[0]
        for axes, arm in zip(panels, arms, strict=True):
            _visits(axes, table, plan, outcome, k, arm)
        panels[0].set_ylabel(outcome.name)
    else:
        figure = Figure(figsize=(7.2, 5.0), layout="constrained")
        axes = figure.subplots()
        (_conditions if crossed else _columns)(axes, table, plan, outcome, k)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    title = result.summary if k == 0 else outcome.name
    width = int(11.5 * figure.get_figwidth())
    figure.suptitle(textwrap.fill(title, width), fontsize=9.5, x=0.01, ha="left", color=INK)
    return figure


def _visits(
    axes: Any, table: GroupTable, plan: Plan, outcome: OutcomeResult, k: int, arm: str
) -> None:
    """Patients of one arm over visits, and the mean."""
    colour = _colours(plan)[arm]
    places = dict(zip(table.times, table.time_values or range(len(table.times)), strict=True))
    own: dict[str, list[tuple[float, float]]] = {}
    for row in table.rows:
        value = row.values[k]
        if row.arm == arm and value is not None:
            own.setdefault(row.subject, []).append((float(places[row.time]), value))
    for points in own.values():
        x, y = np.array(sorted(points)).T
        axes.plot(x, y, color=colour, alpha=0.28, linewidth=0.9, marker="o", markersize=2.2)
    shown = [c for c in outcome.cells if c.arm == (arm or "all") and c.mean is not None]
    x = [float(places[c.when]) for c in shown]
    axes.plot(x, [c.mean for c in shown], color=colour, linewidth=2.6, zorder=4)
    for place, cell in zip(x, shown, strict=True):
        if cell.interval is not None:
            axes.plot((place, place), cell.interval, color=colour, linewidth=2.6, zorder=4)
        axes.plot(place, cell.mean, "o", color=colour, mec="white", markersize=8, zorder=5)
    counts = {c.when: c.n for c in outcome.cells if c.arm == (arm or "all")}
    axes.set_xticks(
        [float(places[t]) for t in table.times],
        [f"{t}\nn = {counts.get(t, 0)}" for t in table.times],
    )
    axes.margins(x=0.12)
    axes.set_xlabel(f"{table.columns.time} (mean with 95 % interval)")
    axes.set_title(arm or "all patients", fontsize=11, color=colour)


def _conditions(axes: Any, table: GroupTable, plan: Plan, outcome: OutcomeResult, k: int) -> None:
    """One line per patient between conditions, and the means."""
    numbers = by_arm(table, plan, k)
    arms = [plan.control or "", *plan.arms]
    colours = _colours(plan)
    subjects = dict.fromkeys(s for own in numbers.values() for s in own)
    for subject in subjects:
        points = [(i, numbers[a][subject]) for i, a in enumerate(arms) if subject in numbers[a]]
        x, y = np.array(points).T
        axes.plot(x, y, color=INK, alpha=0.3, linewidth=0.9, marker="o", markersize=3)
    _means(axes, numbers, arms, colours)
    axes.set_xlim(-0.5, len(arms) - 0.5)
    axes.set_ylabel(outcome.contrasts[0].quantity)


def _columns(axes: Any, table: GroupTable, plan: Plan, outcome: OutcomeResult, k: int) -> None:
    """One column of points per arm, and the means."""
    if plan.design == "n_of_1":
        numbers = sessions(table, plan, k)
    else:
        numbers = by_arm(table, plan, k)
    arms = [plan.control, *plan.arms] if plan.control is not None else [plan.arms[0]]
    colours = _colours(plan)
    for place, arm in enumerate(arms):
        values = np.sort(np.array(list(numbers[arm].values())))
        # Alternating to both sides, so that equal values do not hide each other.
        shift = NARROW * (np.arange(values.size) % 5 - 2) / 2.0
        axes.plot(place + shift, values, "o", color=colours[arm], alpha=0.45, markersize=4.5)
    _means(axes, numbers, arms, colours, beside=0.3)
    if plan.is_change:
        axes.axhline(0.0, color=INK, linewidth=0.8, linestyle=":")
    axes.set_xlim(-0.6, len(arms) - 0.3)
    axes.set_ylabel(outcome.contrasts[0].quantity)


def _means(
    axes: Any,
    numbers: Mapping[str, Mapping[str, float]],
    arms: Sequence[str],
    colours: Mapping[str, str],
    beside: float = 0.0,
) -> None:
    """Mean of each arm with its 95 % interval."""
    from analysis.group_contrast import Cell

    for place, arm in enumerate(arms):
        cell = Cell.of(arm, "", np.array(list(numbers[arm].values())))
        if cell.mean is None:
            continue
        x = place + beside
        if cell.interval is not None:
            axes.plot((x, x), cell.interval, color=colours[arm], linewidth=3.0, zorder=4)
        axes.plot(x, cell.mean, "o", color=colours[arm], mec="white", markersize=10, zorder=5)
    labels = [f"{arm or 'all patients'}\nn = {len(numbers[arm])}" for arm in arms]
    axes.set_xticks(range(len(arms)), labels)
    axes.set_xlabel("large: mean with 95 % interval")


def plot_effects(result: GroupResult) -> Any:
    """Plot the effect size of every contrast and outcome with its 95 % interval.

    Parameters
    ----------
    result : GroupResult
        From `analysis.compare_groups`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    AnalysisError
        No contrast has an effect size.
    """
    from matplotlib.figure import Figure

    rows = [
        (outcome.name, contrast, contrast.effect)
        for outcome in result.outcomes
        for contrast in outcome.contrasts
        if contrast.effect is not None
    ]
    if not rows:
        raise AnalysisError("no comparison has an effect size to draw")
    figure: Any = Figure(figsize=(8.4, 1.7 + 0.62 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for y, (_, contrast, effect) in enumerate(rows):
        axes.plot(effect.interval, (y, y), color=INK, linewidth=2.2, solid_capstyle="butt")
        axes.plot(effect.estimate, y, "s", color=ARMS[0], markersize=9, zorder=4)
        p = "" if contrast.p_holm is None else f", {p_text(contrast.p_holm)}"
        low, high = effect.interval
        axes.annotate(
            f"{effect.estimate:+.2f} ({low:+.2f} to {high:+.2f}){p}",
            (1.02, y),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9,
        )
    axes.axvline(0.0, color=INK, linewidth=1.0)
    reach = 1.08 * max(abs(end) for _, _, effect in rows for end in (*effect.interval, 0.2))
    axes.set_xlim(-reach, reach)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    labels = [
        textwrap.fill(f"{name}: {contrast.arm} against {contrast.against}", 38)
        for name, contrast, _ in rows
    ]
    axes.set_yticks(range(len(rows)), labels, fontsize=9)
    kind = rows[0][2]
    axes.set_xlabel(f"{kind.name}, in {kind.unit}; line: 95 % interval", fontsize=9.5)
    corrected = (
        f"p: primary analysis, Holm over {result.n_tests}"
        if result.n_tests > 1
        else "p: primary analysis"
    )
    axes.set_title(f"Effect sizes ({corrected})", fontsize=11, loc="left")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    return figure


def plot_responders(result: GroupResult) -> Any:
    """Plot the share of responders of each arm with Wilson's 95 % interval.

    Parameters
    ----------
    result : GroupResult
        From `analysis.compare_groups` or `analysis.group.compare_counts`.

    Returns
    -------
    matplotlib.figure.Figure
        One panel for each definition.

    Raises
    ------
    AnalysisError
        There is no responder table.
    """
    from matplotlib.figure import Figure

    tables = [(r, r.observed) for r in result.responders if isinstance(r.observed, ResponderTable)]
    if not tables:
        raise AnalysisError("there is no table of responders by arm to draw")
    figure: Any = Figure(figsize=(1.4 + 4.4 * len(tables), 4.9), layout="constrained")
    panels = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
    for axes, (found, table) in zip(panels, tables, strict=True):
        control = table.contrasts[0].control
        colours = {name: CONTROL for name, _, _ in table.arms}
        colours |= {
            name: ARMS[i % len(ARMS)]
            for i, name in enumerate(n for n, _, _ in table.arms if n != control)
        }
        for x, (name, responders, n) in enumerate(table.arms):
            low, high = (100.0 * end for end in wilson_interval(responders, n))
            axes.bar(x, 100.0 * responders / n, width=0.6, color=colours[name], alpha=0.75)
            axes.plot((x, x), (low, high), color=INK, linewidth=2.0)
            axes.text(x, min(high + 1.5, 101.0), f"{responders}/{n}", ha="center", fontsize=9)
        axes.set_xticks(range(len(table.arms)), [name for name, _, _ in table.arms])
        axes.set_ylim(0.0, 108.0)
        pearson = "" if table.pearson is None else f"Pearson {p_text(table.pearson.p)}, "
        told = f"{found.definition}\n{pearson}{table.exact.method} {p_text(table.exact.p)}"
        axes.set_title(told, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("Responders (%), line: 95 % interval")
    return figure
