"""Groups of patients: did an outcome change differently with stimulation than without."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.contingency import compare_proportions
from analysis.errors import AnalysisError
from analysis.group_analyses import analyse_between, analyse_n_of_1, analyse_paired
from analysis.group_cluster import GroupClusters, cluster_test
from analysis.group_contrast import OutcomeResult, with_holm
from analysis.group_crossover import analyse_crossover
from analysis.group_design import Plan, choose_design
from analysis.group_models import analyse_mixed
from analysis.group_outputs import CompareOutputs
from analysis.group_responders import ResponderRules, Responders, find_responders
from analysis.group_table import GroupTable, as_table
from analysis.group_words import summarise
from analysis.statistics import NONE_WITHIN_LN, Direction

__all__ = ["GroupResult", "compare_counts", "compare_groups"]

EXPECTED = ("increase", "decrease")
CLUSTER_MEANING = (
    "the cluster test is about the whole map, beside the primary analysis and not corrected with "
    "it: it does not say which channel, nor where an effect ends"
)
ANALYSES = {
    "paired": analyse_paired,
    "between": analyse_between,
    "mixed": analyse_mixed,
    "crossover": analyse_crossover,
    "n_of_1": analyse_n_of_1,
}


@dataclass(frozen=True, slots=True)
class GroupResult:
    """Result of `compare_groups`.

    Parameters
    ----------
    plan : Plan or None
        Design, arms, control; None for counts alone.
    outcomes : tuple of OutcomeResult
        The first is the primary one.
    responders : tuple of Responders
        Responder tables.
    clusters : tuple of GroupClusters
        Cluster tests over channels, one per contrast.
    direction : {"increase", "decrease", "none", "undetermined"}
        Of the primary contrast of the primary outcome, arm less control.
    expected_direction : str or None
        What was declared beforehand.
    expectation : {"predicted", "opposite", "none"} or None
        The label; None where nothing was declared or there is no estimate.
    as_predicted : bool or None
        None where nothing was declared or the direction is undetermined.
    warnings : tuple of str
        What must be known to read the result.
    summary : str
        One plain sentence.
    n_tests : int
        Comparisons corrected together (Holm).
    table : GroupTable or None
        The table, for figures.
    """

    plan: Plan | None
    outcomes: tuple[OutcomeResult, ...]
    responders: tuple[Responders, ...]
    clusters: tuple[GroupClusters, ...]
    direction: Direction
    expected_direction: str | None
    expectation: str | None
    as_predicted: bool | None
    warnings: tuple[str, ...]
    summary: str
    n_tests: int
    table: GroupTable | None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of the command line."""
        plan, table = self.plan, self.table
        first = self.outcomes[0] if self.outcomes else None
        return {
            "design": None if plan is None else plan.design,
            "control": None if plan is None else plan.control,
            "n_subjects": None if table is None else len(table.subjects),
            "visits": [] if table is None else list(table.times),
            "periods": [] if table is None else list(table.periods),
            "columns": None if table is None else table.columns.to_dict(),
            "arms": [] if first is None else [arm.to_dict() for arm in first.attendance],
            "outcomes": [outcome.to_dict() for outcome in self.outcomes],
            "n_tests": self.n_tests,
            "multiplicity": "Holm over all contrasts of all outcomes",
            "responders": [found.to_dict() for found in self.responders],
            "clusters": [found.to_dict() for found in self.clusters],
            "direction": self.direction,
            "expected_direction": self.expected_direction,
            "expectation": self.expectation,
            "as_predicted": self.as_predicted,
            "warnings": list(self.warnings),
            "summary": self.summary,
        }

    def plot(self) -> Any:
        """Plot the patients and their means; see `analysis.figures_group` for the other figures."""
        from analysis.figures_group import plot_responders, plot_trajectories

        return plot_trajectories(self) if self.outcomes else plot_responders(self)


def compare_groups(
    table: Any,
    *,
    outcomes: Sequence[str] = (),
    subject: str | None = None,
    arm: str | None = None,
    time: str | None = None,
    period: str | None = None,
    times: Sequence[str] = (),
    design: str = "auto",
    control: str | None = None,
    expected: str | None = None,
    responder: str | None = None,
    rules: ResponderRules | None = None,
    none_within: float | None = None,
    n_permutations: int = 1000,
    seed: int = 0,
) -> GroupResult:
    """Compare groups of patients, or conditions within patients.

    Parameters
    ----------
    table : path, data frame, mapping of columns, sequence of mappings, or CompareOutputs
        Long format: one row for each patient, visit and condition. Results of `tacs compare`
        (`analysis.group_outputs.read_outputs`) hold changes already.
    outcomes : sequence of str
        Outcome columns; the first is the primary one. If left out, the only numeric one.
    subject, arm, time, period : str, optional
        Names of columns; if left out, the usual names are looked for.
    times : sequence of str
        Visits to use, in their order.
    design : {"auto", "paired", "between", "mixed", "crossover", "n_of_1"}
        See `analysis.group_design.choose_design`.
    control : str, optional
        The arm that the others are held against; found by its name (sham, control, placebo).
    expected : {"increase", "decrease"}, optional
        Declared beforehand; it labels the result and changes nothing else.
    responder : str, optional
        Column of yes and no.
    rules : ResponderRules, optional
        Limits that make responders and remitters out of the primary outcome.
    none_within : float, optional
        A difference within this of 0, in the outcome's unit, is not worth having: only with it can
        the answer be "none". For results of `tacs compare` it is ln 1.25, as there.
    n_permutations : int
        Of the cluster test.
    seed : int
        Of everything random.

    Returns
    -------
    GroupResult

    Raises
    ------
    AnalysisError
        One line: what is wrong with the table or the arguments, where, and how to mend it; or the
        design needs statsmodels, which is missing.

    Notes
    -----
    Two-sided throughout. The primary estimate is, by design: *mixed*, time x arm of a linear mixed
    model (REML) with t and between-within degrees of freedom; *crossover*, the arm in a mixed model
    with period; *between*, Welch's t test, of the changes where there are visits; *paired*, the t
    test of differences; *n_of_1*, Welch's t test of sessions. A randomisation test stands beside
    each. *Direction* is read from the primary p, corrected after Holm over all contrasts and
    outcomes: it excludes 0, or, with `none_within`, the interval lies within it; all else is
    undetermined. With fewer than three patients (sessions) on a side nothing is tested.
    """
    if expected is not None and expected not in EXPECTED:
        raise AnalysisError(f"--direction {expected}: give increase or decrease")
    if none_within is not None and not (math.isfinite(none_within) and none_within > 0.0):
        raise AnalysisError(f"--none-within {none_within:g}: give a number above 0")
    outputs = table if isinstance(table, CompareOutputs) else None
    if outputs is not None:
        if not outcomes:
            keys = ("subject", "arm", "session", "time", "period")
            outcomes = tuple(key for key in outputs.records[0] if key not in keys)
        none_within = NONE_WITHIN_LN if none_within is None and _is_ln(outcomes) else none_within
    read = as_table(
        list(outputs.records) if outputs is not None else table,
        outcomes=outcomes,
        subject=subject,
        arm=arm,
        time=time,
        period=period,
        responder=responder,
        times=times,
        source=None if outputs is None else outputs.source,
    )
    plan = choose_design(read, design, control=control, is_change=outputs is not None)
    found = tuple(ANALYSES[plan.design](read, plan, k, seed) for k in range(len(read.outcomes)))
    found = with_holm(found, none_within)
    responders, more = find_responders(read, plan, rules or ResponderRules())
    warnings = [warning for outcome in found for warning in outcome.warnings] + list(more)
    clusters: tuple[GroupClusters, ...] = ()
    if outputs is not None:
        clusters, told = _clusters(outputs, read, plan, n_permutations, seed)
        warnings += told + ([CLUSTER_MEANING] if clusters else [])
    n_tests = sum(c.primary is not None for outcome in found for c in outcome.contrasts)
    direction, label, as_predicted = _labels(found, expected)
    warnings += _dropout(found)
    return GroupResult(
        plan=plan,
        outcomes=found,
        responders=responders,
        clusters=clusters,
        direction=direction,
        expected_direction=expected,
        expectation=label,
        as_predicted=as_predicted,
        warnings=tuple(dict.fromkeys(warnings)),
        summary=summarise(found, plan, label, n_tests, responders),
        n_tests=n_tests,
        table=read,
    )


def compare_counts(
    arms: Mapping[str, tuple[int, int]], *, control: str | None = None
) -> GroupResult:
    """Compare responders given as counts, as a publication prints them.

    Parameters
    ----------
    arms : mapping of str to (int, int)
        Responders and patients of each arm.
    control : str, optional
        The last arm where left out.

    Returns
    -------
    GroupResult
        With one responder table and nothing else.
    """
    observed = compare_proportions(arms, control=control)
    found = Responders("counts as given", tuple((name, 0) for name in arms), observed, None)
    return GroupResult(
        plan=None,
        outcomes=(),
        responders=(found,),
        clusters=(),
        direction="undetermined",
        expected_direction=None,
        expectation=None,
        as_predicted=None,
        warnings=observed.warnings,
        summary=summarise((), Plan("between", (), None, False), None, 0, (found,)),
        n_tests=0,
        table=None,
    )


def _is_ln(outcomes: Sequence[str]) -> bool:
    """Whether the primary outcome is a log ratio."""
    return bool(outcomes) and outcomes[0].endswith("ln_ratio")


def _labels(
    outcomes: Sequence[OutcomeResult], expected: str | None
) -> tuple[Direction, str | None, bool | None]:
    """Direction of the primary contrast, its label, and whether it is as predicted."""
    if not outcomes:
        return "undetermined", None, None
    contrast = outcomes[0].contrasts[0]
    direction = contrast.direction
    if expected is None or contrast.primary is None:
        return direction, None, None
    if direction not in EXPECTED:
        return direction, "none", None if direction == "undetermined" else False
    return direction, "predicted" if direction == expected else "opposite", direction == expected


def _dropout(outcomes: Sequence[OutcomeResult]) -> list[str]:
    """Patients lost, by arm, where there are any."""
    found = []
    for outcome in outcomes:
        lost = [(arm.arm, arm.lost, arm.n) for arm in outcome.attendance]
        if not any(n for _, n, _ in lost):
            continue
        told = ", ".join(f"{n} of {of} in {arm}" for arm, n, of in lost)
        tail = "; the mixed model holds if what was missed does not depend on values never seen"
        found.append(
            f"{outcome.name}: without a last value are {told}"
            + (tail if outcome.model is not None else "; those patients are left out")
        )
    return found


def _clusters(
    outputs: CompareOutputs, table: GroupTable, plan: Plan, n_permutations: int, seed: int
) -> tuple[tuple[GroupClusters, ...], list[str]]:
    """Cluster tests over the channels that every result has, or why there is none."""
    if plan.design == "n_of_1":
        return (), []
    shared = [c for c in outputs.channels[0] if all(c in other for other in outputs.channels)]
    if not shared:
        return (), ["no cluster test: the results share no channels with values of their own"]
    maps: dict[tuple[str, str], list[list[float]]] = {}
    for record, channels in zip(outputs.records, outputs.channels, strict=True):
        key = (str(record.get("arm", "")), str(record["subject"]))
        maps.setdefault(key, []).append([channels[name] for name in shared])
    means = {key: np.mean(rows, axis=0) for key, rows in maps.items()}
    found: list[GroupClusters] = []
    told: list[str] = []
    pairs: list[tuple[str, np.ndarray[Any, Any], np.ndarray[Any, Any] | None]] = []
    if plan.control is None:
        pairs.append(("after against before", np.array(list(means.values())), None))
    for arm in plan.arms if plan.control is not None else ():
        ours = {s: row for (own, s), row in means.items() if own == arm}
        theirs = {s: row for (own, s), row in means.items() if own == plan.control}
        name = f"{arm} against {plan.control}"
        if plan.design in ("paired", "crossover"):
            both = [s for s in ours if s in theirs]
            pairs.append((name, np.array([ours[s] - theirs[s] for s in both]), None))
        else:
            pairs.append((name, np.array(list(ours.values())), np.array(list(theirs.values()))))
    for name, first, second in pairs:
        try:
            found.append(
                cluster_test(
                    first,
                    second,
                    shared,
                    comparison=name,
                    n_permutations=n_permutations,
                    seed=seed,
                )
            )
        except AnalysisError as exc:
            told.append(f"no cluster test: {exc}")
    return tuple(found), told
