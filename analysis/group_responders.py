"""Responders and remitters of a trial: from a column of answers, or from a scale and its limits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from analysis.contingency import ResponderTable, compare_proportions
from analysis.errors import AnalysisError
from analysis.group_design import Plan
from analysis.group_table import GroupTable
from analysis.proportions import PairedProportions, compare_paired_proportions

__all__ = ["ResponderRules", "Responders", "find_responders"]


@dataclass(frozen=True, slots=True)
class ResponderRules:
    """Who counts as a responder, and who as in remission.

    Parameters
    ----------
    response_limit : float or None
        Share by which the scale must have improved from first to last visit, as 0.5.
    remission_limit : float or None
        Value that the last visit must not exceed (or fall below, where more is better).
    scale_floor : float
        Value of the scale that means "nothing" (30 of the PANSS), taken off before the share.
    lower_is_better : bool
        Whether the scale counts what is bad.
    """

    response_limit: float | None = None
    remission_limit: float | None = None
    scale_floor: float = 0.0
    lower_is_better: bool = True

    def __post_init__(self) -> None:
        """Refuse limits that are none."""
        if self.response_limit is not None and not 0.0 < self.response_limit:
            raise AnalysisError(
                f"--response-limit {self.response_limit:g}: give a share above 0, as 0.5 for 50 %"
            )
        if self.response_limit is not None and self.lower_is_better and self.response_limit > 1.0:
            raise AnalysisError(
                f"--response-limit {self.response_limit:g}: a scale cannot fall by more than all of"
                " it; 50 % is 0.5"
            )


@dataclass(frozen=True, slots=True)
class Responders:
    """One definition of response, and what came of it.

    Parameters
    ----------
    definition : str
        In words.
    missing : tuple of (str, int)
        Patients of each arm without an answer.
    observed : ResponderTable or PairedProportions
        Of the patients with an answer.
    missing_as_failure : ResponderTable or None
        Missing answers counted as no response; None where none is missing or patients are paired.
    """

    definition: str
    missing: tuple[tuple[str, int], ...]
    observed: ResponderTable | PairedProportions
    missing_as_failure: ResponderTable | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        failure = self.missing_as_failure
        return {
            "definition": self.definition,
            "missing": dict(self.missing),
            "observed": self.observed.to_dict(),
            "missing_as_failure": None if failure is None else failure.to_dict(),
        }


def find_responders(
    table: GroupTable, plan: Plan, rules: ResponderRules
) -> tuple[tuple[Responders, ...], tuple[str, ...]]:
    """Responder tables of a trial, as far as the table and the rules give any.

    Parameters
    ----------
    table : GroupTable
        The trial; the first outcome is the scale.
    plan : Plan
        Its design.
    rules : ResponderRules
        Limits.

    Returns
    -------
    (tuple of Responders, tuple of str)
        One for each definition, and warnings.

    Raises
    ------
    AnalysisError
        A limit needs visits, an outcome or two arms, and there are none.
    """
    found: list[Responders] = []
    warnings: list[str] = []
    answers: list[tuple[str, dict[tuple[str, str], bool | None]]] = []
    if table.columns.responder is not None:
        answers.append((f"column {table.columns.responder!r}", _from_column(table)))
    if rules.response_limit is not None:
        told = f"{table.outcomes[0] if table.outcomes else 'scale'}: improved by "
        answers.append(
            (
                f"{told}{100 * rules.response_limit:g} % or more",
                _response(table, plan, rules, warnings),
            )
        )
    if rules.remission_limit is not None:
        sign = "<=" if rules.lower_is_better else ">="
        name = table.outcomes[0] if table.outcomes else "scale"
        last = f" at {table.times[-1]}" if table.times else ""
        answers.append(
            (f"{name}{last} {sign} {rules.remission_limit:g}", _remission(table, plan, rules))
        )
    if not answers:
        return (), ()
    if plan.control is None or plan.design == "n_of_1":
        raise AnalysisError(f"{table.source}: responder tables need two arms of several patients")
    for definition, of_patient in answers:
        found += _tables(table, plan, definition, of_patient)
    return tuple(found), tuple(warnings)


def _from_column(table: GroupTable) -> dict[tuple[str, str], bool | None]:
    """One answer per arm and patient; visits must not contradict each other."""
    found: dict[tuple[str, str], bool | None] = {}
    for row in table.rows:
        key = (row.arm, row.subject)
        known = found.get(key)
        if known is not None and row.responder is not None and known != row.responder:
            raise AnalysisError(
                f"{table.source}, line {row.line}: patient {row.subject} is a responder in one line"
                " and not in another; one answer per patient and arm (--times chooses a visit)"
            )
        found[key] = row.responder if known is None else known
    return found


def _first_last(
    table: GroupTable, plan: Plan, what: str
) -> dict[tuple[str, str], tuple[float | None, float | None]]:
    """First and last value of each patient and arm."""
    if not table.outcomes:
        raise AnalysisError(f"{table.source}: {what} needs an outcome (--outcome)")
    if plan.is_change or len(table.times) < 2:
        raise AnalysisError(f"{table.source}: {what} needs values at two visits or more")
    at = {(r.arm, r.subject, r.time): r.values[0] for r in table.rows}
    keys = dict.fromkeys((row.arm, row.subject) for row in table.rows)
    first, last = table.times[0], table.times[-1]
    return {key: (at.get((*key, first)), at.get((*key, last))) for key in keys}


def _response(
    table: GroupTable, plan: Plan, rules: ResponderRules, warnings: list[str]
) -> dict[tuple[str, str], bool | None]:
    """Whether the scale improved by the share asked for."""
    limit = rules.response_limit or 0.0
    found: dict[tuple[str, str], bool | None] = {}
    for (arm, subject), (before, after) in _first_last(table, plan, "--response-limit").items():
        if before is None or after is None:
            found[arm, subject] = None
            continue
        start = before - rules.scale_floor
        if start <= 0.0:
            found[arm, subject] = None
            warnings.append(
                f"patient {subject}: {table.outcomes[0]} was {before:g} at {table.times[0]}, so a "
                "share of improvement does not exist; counted as missing"
            )
            continue
        gain = (before - after) if rules.lower_is_better else (after - before)
        # 10 of 20 is half of it, whatever binary fractions make of it.
        found[arm, subject] = gain / start >= limit - 1e-9
    return found


def _remission(
    table: GroupTable, plan: Plan, rules: ResponderRules
) -> dict[tuple[str, str], bool | None]:
    """Whether the last value is within the limit."""
    limit = 0.0 if rules.remission_limit is None else rules.remission_limit
    found: dict[tuple[str, str], bool | None] = {}
    for key, (_, after) in _first_last(table, plan, "--remission-limit").items():
        better = None
        if after is not None:
            better = after <= limit if rules.lower_is_better else after >= limit
        found[key] = better
    return found


def _tables(
    table: GroupTable, plan: Plan, definition: str, answers: dict[tuple[str, str], bool | None]
) -> list[Responders]:
    """The tables of one definition."""
    control = plan.control or ""
    arms = (*plan.arms, control)
    missing = tuple(
        (arm, sum(a is None for (o, _), a in answers.items() if o == arm)) for arm in arms
    )
    if plan.design in ("paired", "crossover"):
        return [
            Responders(definition, missing, pairs, None)
            for arm in plan.arms
            if (pairs := _paired(answers, arm, control)) is not None
        ]
    known = {
        arm: [a for (own, _), a in answers.items() if own == arm and a is not None] for arm in arms
    }
    empty = [arm for arm in arms if not known[arm]]
    if empty:
        raise AnalysisError(f"{table.source}: {definition}: nobody in {empty[0]} has an answer")
    observed = compare_proportions(
        {arm: (sum(own), len(own)) for arm, own in known.items()}, control=control
    )
    failure = None
    lost = dict(missing)
    if any(lost.values()):
        failure = compare_proportions(
            {arm: (sum(own), len(own) + lost[arm]) for arm, own in known.items()}, control=control
        )
        note = ", ".join(f"{n} in {arm}" for arm, n in missing if n)
        observed = replace(
            observed,
            warnings=(
                *observed.warnings,
                f"no answer from {note}: those who stay may be those who improve; the other table "
                "counts them as not responding",
            ),
        )
    return [Responders(definition, missing, observed, failure)]


def _paired(
    answers: dict[tuple[str, str], bool | None], arm: str, control: str
) -> PairedProportions | None:
    """Patients with an answer under both conditions."""
    both = [
        (ours, theirs)
        for (own, subject), ours in answers.items()
        if own == arm and ours is not None
        if (theirs := answers.get((control, subject))) is not None
    ]
    if not both:
        return None
    first, second = zip(*both, strict=True)
    return compare_paired_proportions(first, second, (arm, control))
