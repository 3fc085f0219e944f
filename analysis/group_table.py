"""A trial as a long table: one row for each patient, visit and condition, checked line by line."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis.errors import AnalysisError
from analysis.group_records import Records, records_of

__all__ = ["Columns", "GroupTable", "Row", "as_table"]

MISSING = {"", "na", "n/a", "nan", "none", "null", ".", "missing"}
YES = {"yes", "y", "true", "1", "1.0", "responder"}
NO = {"no", "n", "false", "0", "0.0", "non-responder", "nonresponder"}
GUESSES: dict[str, tuple[str, ...]] = {
    "subject": ("subject", "participant_id", "participant", "patient", "subject_id", "sub", "id"),
    "arm": ("arm", "group", "treatment", "condition"),
    "time": ("time", "visit", "timepoint", "week", "month", "day", "when"),
    "period": ("period", "session"),
}
FIRST = ("pre", "before", "baseline", "screening")
LAST = ("post", "after", "end", "endpoint")
LATER = ("followup", "follow-up", "follow_up", "fu")


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns that say whose value it is; None where there is no such column."""

    subject: str
    arm: str | None
    time: str | None
    period: str | None
    responder: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "subject": self.subject,
            "arm": self.arm,
            "time": self.time,
            "period": self.period,
            "responder": self.responder,
        }


@dataclass(frozen=True, slots=True)
class Row:
    """One line: whose, when, under what, and the values (None where missing)."""

    line: int
    subject: str
    arm: str
    time: str
    period: str
    values: tuple[float | None, ...]
    responder: bool | None = None


@dataclass(frozen=True, slots=True)
class GroupTable:
    """A checked table.

    Parameters
    ----------
    source : str
        File, or "table".
    columns : Columns
        Where things stand.
    outcomes : tuple of str
        Names of the outcomes, in the order of `Row.values`.
    rows : tuple of Row
        In the order of the file.
    subjects, arms : tuple of str
        In the order of the file.
    times : tuple of str
        Visits in their order in time; empty without a column of them.
    time_values : tuple of float or None
        The visits as numbers, where all are.
    periods : tuple of str
        Periods in their order; empty without a column of them.
    """

    source: str
    columns: Columns
    outcomes: tuple[str, ...]
    rows: tuple[Row, ...]
    subjects: tuple[str, ...]
    arms: tuple[str, ...]
    times: tuple[str, ...]
    time_values: tuple[float, ...] | None
    periods: tuple[str, ...]

    def arms_of(self) -> dict[str, tuple[str, ...]]:
        """Arms of each patient, in the order of the file."""
        found: dict[str, dict[str, None]] = {}
        for row in self.rows:
            found.setdefault(row.subject, {})[row.arm] = None
        return {subject: tuple(arms) for subject, arms in found.items()}

    def lines_of(self, subject: str, arm: str) -> int:
        """First line of a patient in an arm."""
        return next(r.line for r in self.rows if r.subject == subject and r.arm == arm)


def as_table(
    table: Any,
    *,
    outcomes: Sequence[str] = (),
    subject: str | None = None,
    arm: str | None = None,
    time: str | None = None,
    period: str | None = None,
    responder: str | None = None,
    times: Sequence[str] = (),
    source: str | None = None,
) -> GroupTable:
    """Read and check a table.

    Parameters
    ----------
    table : path, data frame, mapping of columns, or sequence of mappings
        Long format.
    outcomes : sequence of str
        Columns to analyse; where left out, the one numeric column that is nothing else.
    subject, arm, time, period, responder : str, optional
        Names of columns; where left out, the usual names are looked for.
    times : sequence of str
        Visits to use, in their order; all where left out.
    source : str, optional
        What messages call the table; its path, or "table", where left out.

    Returns
    -------
    GroupTable

    Raises
    ------
    AnalysisError
        One line that says what is wrong, in which line, and how to mend it.
    """
    found, records = records_of(table)
    source = found if source is None else source
    header = list(records[0][1])
    for line, record in records:
        if set(record) != set(header):
            raise AnalysisError(f"{source}, line {line}: other columns than in line 1")
    columns = _columns(source, records, header, subject, arm, time, period, responder)
    chosen = _outcomes(source, records, header, columns, outcomes)
    rows = tuple(_row(source, line, record, columns, chosen) for line, record in records)
    rows, ordered, numbers = _visits(source, rows, columns, tuple(str(t) for t in times))
    _refuse_twice(source, rows)
    periods = tuple(dict.fromkeys(row.period for row in rows if row.period))
    return GroupTable(
        source=source,
        columns=columns,
        outcomes=chosen,
        rows=rows,
        subjects=tuple(dict.fromkeys(row.subject for row in rows)),
        arms=tuple(dict.fromkeys(row.arm for row in rows)),
        times=ordered,
        time_values=numbers,
        periods=tuple(sorted(periods, key=_natural)),
    )


def _columns(
    source: str,
    records: Records,
    header: list[str],
    subject: str | None,
    arm: str | None,
    time: str | None,
    period: str | None,
    responder: str | None,
) -> Columns:
    """Columns by name, or by their usual names."""
    named = {"subject": subject, "arm": arm, "time": time, "period": period, "responder": responder}
    for role, name in named.items():
        if name is not None and name not in header:
            raise AnalysisError(_no_column(source, name, header, role))
    lower = {name.lower(): name for name in header}
    found: dict[str, str | None] = dict(named)
    for role, guesses in GUESSES.items():
        if found[role] is None:
            free = [g for g in guesses if g in lower and lower[g] not in found.values()]
            found[role] = lower[free[0]] if free else None
    if found["subject"] is None:
        raise AnalysisError(
            f"{source}: no column of patients ('subject'); there are {', '.join(header)}: name it "
            "with --subject"
        )
    # "session" means a visit where nobody is in two arms, and a period of a crossover elsewhere.
    if found["time"] is None and period is None and found["period"] is not None:
        pairs = {(r[found["subject"]], r[found["arm"]] if found["arm"] else "") for _, r in records}
        if len(pairs) == len({who for who, _ in pairs}):
            found["time"], found["period"] = found["period"], None
    return Columns(
        found["subject"], found["arm"], found["time"], found["period"], found["responder"]
    )


def _no_column(source: str, name: str, header: list[str], role: str) -> str:
    lower = {column.lower(): column for column in header}
    near = [lower[n] for n in difflib.get_close_matches(name.lower(), list(lower), n=3, cutoff=0.5)]
    hint = f"; nearest: {', '.join(near)}" if near else ""
    return f"{source}: no column {name!r} ({role}){hint}; there are {', '.join(header)}"


def _outcomes(
    source: str,
    records: Records,
    header: list[str],
    columns: Columns,
    wanted: Sequence[str],
) -> tuple[str, ...]:
    """The outcome columns."""
    for name in wanted:
        if name not in header:
            raise AnalysisError(_no_column(source, name, header, "outcome"))
        if name in columns.to_dict().values():
            raise AnalysisError(f"{source}: {name!r} is not an outcome: it says whose value it is")
    if wanted:
        return tuple(dict.fromkeys(wanted))
    left = [name for name in header if name not in columns.to_dict().values()]
    numeric = [n for n in left if all(_is_number(r[n]) or _missing(r[n]) for _, r in records)]
    numeric = [n for n in numeric if any(_is_number(record[n]) for _, record in records)]
    if len(numeric) == 1 or (not numeric and columns.responder is not None):
        return tuple(numeric)
    if not numeric:
        raise AnalysisError(f"{source}: no numeric column besides those of patients, arms, visits")
    raise AnalysisError(
        f"{source}: several columns could be the outcome; give --outcome, one of "
        f"{', '.join(numeric)} (the first one given is the primary one)"
    )


def _missing(cell: str) -> bool:
    return cell.lower() in MISSING


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _row(
    source: str, line: int, record: dict[str, str], columns: Columns, outcomes: tuple[str, ...]
) -> Row:
    """One checked line."""
    keys: dict[str, str] = {}
    for role in ("subject", "arm", "time", "period"):
        name = columns.to_dict()[role]
        cell = record[name] if name is not None else ""
        if name is not None and _missing(cell):
            raise AnalysisError(f"{source}, line {line}: no {role} (column {name!r} is empty)")
        keys[role] = cell
    values = tuple(_value(source, line, name, record[name]) for name in outcomes)
    responder = None
    if columns.responder is not None and not _missing(record[columns.responder]):
        word = record[columns.responder].lower()
        if word not in YES | NO:
            raise AnalysisError(
                f"{source}, line {line}: column {columns.responder!r} holds "
                f"{record[columns.responder]!r}; it takes yes or no"
            )
        responder = word in YES
    return Row(line=line, values=values, responder=responder, **keys)


def _value(source: str, line: int, name: str, cell: str) -> float | None:
    """A number, or None where it is missing."""
    if _missing(cell):
        return None
    if _is_number(cell):
        return float(cell)
    comma = " (decimals need a point)" if _is_number(cell.replace(",", ".")) else ""
    raise AnalysisError(
        f"{source}, line {line}: column {name!r} holds {cell!r}, which is not a number{comma}; "
        "leave a missing value empty, or write NA"
    )


def _visits(
    source: str, rows: tuple[Row, ...], columns: Columns, wanted: tuple[str, ...]
) -> tuple[tuple[Row, ...], tuple[str, ...], tuple[float, ...] | None]:
    """Rows of the visits wanted, the visits in their order, and as numbers where all are."""
    if columns.time is None:
        if wanted:
            raise AnalysisError(f"{source}: no column of visits to choose {', '.join(wanted)} from")
        return rows, (), None
    there = tuple(dict.fromkeys(row.time for row in rows))
    for name in wanted:
        if name not in there:
            raise AnalysisError(
                f"{source}: no visit {name!r} in column {columns.time!r}; there are "
                f"{', '.join(there)}"
            )
    ordered = wanted or _in_order(source, columns.time, there)
    kept = tuple(row for row in rows if row.time in ordered)
    numeric = all(_is_number(name) for name in ordered)
    return kept, ordered, tuple(float(name) for name in ordered) if numeric else None


def _in_order(source: str, column: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Visits in time, from numbers or from words that say it."""
    if len(names) == 1:
        return names
    if all(_is_number(name) for name in names):
        if len({float(name) for name in names}) < len(names):
            raise AnalysisError(f"{source}: column {column!r} writes one visit in two ways")
        return tuple(sorted(names, key=float))
    ranks = {}
    for name in names:
        word = name.lower().replace(" ", "")
        found = [i for i, words in enumerate((FIRST, LAST, LATER)) if word in words]
        ranks[name] = found[0] if found else None
    known = [rank for rank in ranks.values() if rank is not None]
    if len(known) < len(names) or len(set(known)) < len(known):
        raise AnalysisError(
            f"{source}: the order of the visits {', '.join(names)} (column {column!r}) is not "
            "clear: give --times with their names in order"
        )
    return tuple(sorted(names, key=lambda name: ranks[name] or 0))


def _natural(name: str) -> tuple[float, str]:
    return (float(name) if _is_number(name) else math.inf, name)


def _refuse_twice(source: str, rows: tuple[Row, ...]) -> None:
    """The same patient, arm, period and visit may stand in one line only."""
    seen: dict[tuple[str, str, str, str], int] = {}
    for row in rows:
        key = (row.subject, row.arm, row.period, row.time)
        if key in seen:
            where = ", ".join(part for part in key[1:] if part)
            raise AnalysisError(
                f"{source}, line {row.line}: patient {row.subject}{f' ({where})' if where else ''} "
                f"stands in line {seen[key]} already; keep one, or name "
                "the column that tells them apart"
            )
        seen[key] = row.line
