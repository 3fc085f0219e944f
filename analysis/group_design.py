"""Which design a table is of, which arm is the control, and who was lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, get_args

from analysis.errors import AnalysisError
from analysis.group_table import GroupTable

__all__ = ["DESIGNS", "Attendance", "Design", "Plan", "attendance", "choose_design"]

Design = Literal["paired", "between", "mixed", "crossover", "n_of_1"]
DESIGNS: tuple[str, ...] = ("auto", *get_args(Design))
CONTROLS = ("sham", "control", "placebo", "inactive", "waitlist", "waiting", "usual", "tau")


@dataclass(frozen=True, slots=True)
class Plan:
    """How a table is analysed.

    Parameters
    ----------
    design : {"paired", "between", "mixed", "crossover", "n_of_1"}
        See `choose_design`.
    arms : tuple of str
        Arms held against the control.
    control : str or None
        None where there is one arm.
    is_change : bool
        Whether each value is a change already.
    """

    design: Design
    arms: tuple[str, ...]
    control: str | None
    is_change: bool


@dataclass(frozen=True, slots=True)
class Attendance:
    """Who is in an arm, and who was seen when.

    Parameters
    ----------
    arm : str
        The arm.
    n : int
        Patients who stand in the table; sessions where there is one patient.
    seen : tuple of (str, int)
        Visits (or periods) and how many patients have a value there.
    complete : int
        Patients with a value at every one of them.
    lost : int
        Patients without a value at the last visit; in a crossover, of the arm's own period.
    """

    arm: str
    n: int
    seen: tuple[tuple[str, int], ...]
    complete: int
    lost: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "arm": self.arm,
            "n": self.n,
            "seen": dict(self.seen),
            "complete": self.complete,
            "lost": self.lost,
        }


def choose_design(
    table: GroupTable, wanted: str = "auto", *, control: str | None = None, is_change: bool = False
) -> Plan:
    """Find the design of a table, or check that it is the one wanted.

    Parameters
    ----------
    table : GroupTable
        From `as_table`.
    wanted : str
        "auto", or a design.
    control : str, optional
        The control arm; found by its name where left out.
    is_change : bool
        Whether each value is a change after over before.

    Returns
    -------
    Plan
        *paired*: each patient before and after in one arm, or in two arms without periods.
        *between*: each patient in one arm; one value, or the change from first to last visit.
        *mixed*: each patient in one arm, two visits or more. *crossover*: each patient in several
        arms, one per period. *n_of_1*: one patient, several sessions of each arm.

    Raises
    ------
    AnalysisError
        The table does not hold such a design, or it is not clear which arm is the control.
    """
    if wanted not in DESIGNS:
        raise AnalysisError(f"--design {wanted}: give one of {', '.join(DESIGNS)}")
    found = _found(table, is_change) if wanted == "auto" else wanted
    _check(table, found, is_change)
    several = len(table.arms) > 1
    chosen = _control(table, control) if several else None
    if not several and control is not None:
        raise AnalysisError(f"{table.source}: one arm only; there is no control {control!r}")
    arms = tuple(arm for arm in table.arms if arm != chosen)
    design: Design = next(d for d in get_args(Design) if d == found)
    return Plan(design, arms, chosen, is_change)


def _found(table: GroupTable, is_change: bool) -> str:
    """The design that a table suggests."""
    arms = table.arms_of()
    crossed = [subject for subject, own in arms.items() if len(own) > 1]
    if len(table.arms) == 1:
        return "paired"
    if not crossed:
        return "mixed" if len(table.times) > 1 and not is_change else "between"
    if len(table.subjects) == 1:
        return "n_of_1"
    if len(crossed) < 0.5 * len(arms):
        raise AnalysisError(_two_arms(table, crossed[0]) + "; mend it, or give --design crossover")
    return "crossover" if len(table.periods) > 1 else "paired"


def _two_arms(table: GroupTable, subject: str) -> str:
    own = table.arms_of()[subject]
    lines = ", ".join(f"{arm} in line {table.lines_of(subject, arm)}" for arm in own)
    return f"{table.source}: patient {subject} is in two arms ({lines})"


def _check(table: GroupTable, design: str, is_change: bool) -> None:
    """Refuse a table that does not hold the design."""
    arms = table.arms_of()
    crossed = [subject for subject, own in arms.items() if len(own) > 1]
    where = f"{table.source}: --design {design}"
    if design in ("between", "mixed"):
        if len(table.arms) < 2:
            raise AnalysisError(f"{where} needs two arms; there is one")
        if crossed:
            raise AnalysisError(_two_arms(table, crossed[0]) + f"; --design {design} allows one")
        if len(table.periods) > 1:
            raise AnalysisError(
                f"{where}: patients have several periods (column {table.columns.period!r}); name "
                "the column of visits with --time, or leave the other one out"
            )
    if design == "mixed" and (len(table.times) < 2 or is_change):
        raise AnalysisError(f"{where} needs values at two visits or more, before and after")
    if design in ("crossover", "n_of_1") and not crossed:
        raise AnalysisError(f"{where} needs patients in several arms; nobody is in two")
    if design == "crossover":
        if len(table.periods) < 2:
            raise AnalysisError(
                f"{where} needs a column of periods (--period): which condition came first?"
            )
        if len(table.subjects) == 1:
            raise AnalysisError(f"{where} needs several patients; for one there is n_of_1")
    if design == "n_of_1" and len(table.subjects) > 1:
        raise AnalysisError(f"{where} is for one patient; there are {len(table.subjects)}")
    if design == "paired":
        if len(table.arms) > 1 and not crossed:
            raise AnalysisError(f"{where}: nobody is in two arms; give between or mixed")
        if len(table.arms) == 1 and len(table.times) < 2 and not is_change:
            raise AnalysisError(
                f"{where}: one arm and one visit: there is nothing to compare (name the column of "
                "arms with --arm, or of visits with --time)"
            )
        if len(table.periods) > 1 and not is_change:
            raise AnalysisError(f"{where}: with periods it is a crossover; give --design crossover")


def _control(table: GroupTable, wanted: str | None) -> str:
    """The control arm."""
    there = ", ".join(table.arms)
    if wanted is not None:
        if wanted not in table.arms:
            raise AnalysisError(f"{table.source}: no arm {wanted!r}; there are {there}")
        return wanted
    found = [arm for arm in table.arms if any(word in arm.lower() for word in CONTROLS)]
    if len(found) != 1:
        raise AnalysisError(
            f"{table.source}: which arm is the control? Give --control, one of {there}"
        )
    return found[0]


def attendance(table: GroupTable, plan: Plan, outcome: int) -> tuple[Attendance, ...]:
    """Who has values of an outcome, in each arm and at each visit."""
    found = []
    arms = (*plan.arms, plan.control) if plan.control is not None else plan.arms
    slots = () if plan.is_change else table.times
    for arm in arms:
        rows = [row for row in table.rows if row.arm == arm]
        alone = plan.design == "n_of_1"
        have: dict[str, set[str]] = {
            (r.period or str(r.line) if alone else r.subject): set() for r in rows
        }
        seen: Counter[str] = Counter()
        for row in rows:
            if row.values[outcome] is not None:
                have[row.period or str(row.line) if alone else row.subject].add(
                    row.time if slots and not alone else ""
                )
        for times in have.values():
            seen.update(times)
        names = ("",) if alone or not slots else slots
        found.append(
            Attendance(
                arm=arm or "all",
                n=len(have),
                seen=tuple((name or "value", seen[name]) for name in names),
                complete=sum(all(name in times for name in names) for times in have.values()),
                lost=sum(names[-1] not in times for times in have.values()),
            )
        )
    return tuple(found)
