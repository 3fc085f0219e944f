"""Ratings from a table: a CSV of our own columns, or a REDCap export with a mapping.

A table is taken whole or not at all: every row is scored before the first is written. What the
journal has already is left out; what differs from it is refused, or corrected on request.
A REDCap event often names the arm (``visit_2_arm_1``): only sessions that the mapping names reach
the journal, never the event.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tacs.dataset import check_label, ensure_dataset
from tacs.errors import FileProblems, InputError, TacsError
from tacs.files import StrictModel
from tacs.journal import ROLES, Journal
from tacs.ratings import BLIND, Rating, new_rating, parse_when, rating_of
from tacs.scale_score import score
from tacs.scales import Scale, load_scale

__all__ = [
    "Imported",
    "RedcapMapping",
    "Row",
    "import_ratings",
    "read_csv_rows",
    "read_redcap_rows",
]

FILE_MAX_BYTES = 32 * 1024 * 1024
COLUMNS = ("subject", "session", "scale", "at", "rater", "role", "rater_blinded")
MOST_TOLD = 50


class MappedScale(StrictModel):
    """Where a scale stands in an export."""

    scale: str
    items: str = Field(description="field of an item, with {item} for its number")
    date: str = Field(description="field of the date, or of date and time")
    complete: str = Field(default="", description="field that must be 2, REDCap's complete")
    rater: str = Field(default="", description="field of who rated")
    add: int = Field(default=0, description="added to every code, where codes start elsewhere")


class RedcapMapping(StrictModel):
    """How the fields of a REDCap export are read."""

    schema_version: Literal[1] = 1
    subject: str = Field(default="record_id", description="field of the participant")
    event: str = Field(default="redcap_event_name", description="field of the event")
    role: Literal["operator", "investigator", "rater", "participant"] = "rater"
    rater_blinded: Literal["yes", "no", "unknown"] = "unknown"
    subjects: dict[str, str] = Field(default_factory=dict, description="record to pseudonym")
    sessions: dict[str, str] = Field(default_factory=dict, description="event to session label")
    scales: tuple[MappedScale, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One rating of a table."""

    where: str
    subject: str
    session: str | None
    scale: Scale
    answers: Mapping[int, int]
    at: datetime
    operator: str
    role: str
    rater_blinded: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import did: ratings that were written, and how many were there already."""

    written: tuple[Rating, ...]
    already_there: int


def import_ratings(
    dataset: str | Path,
    rows: Sequence[Row],
    *,
    now: datetime,
    method: str,
    correct: bool = False,
) -> Imported:
    """Put the ratings of a table into the journal.

    Parameters
    ----------
    dataset : path
        The data set.
    rows : sequence of Row
        From :func:`read_csv_rows` or :func:`read_redcap_rows`.
    now : datetime
        The present.
    method : str
        How they were entered, in a few words.
    correct : bool
        Whether a rating of the same person, scale and time with other answers is corrected; it is
        refused otherwise.

    Raises
    ------
    FileProblems
        Rows that cannot be taken; nothing was written.
    RecordError
        The journal does not verify or cannot be written.
    """
    ensure_dataset(dataset)
    scales: dict[str, Scale] = {}
    current = [rating_of(entry, scales) for entry in Journal(dataset).current("rating")]
    known = {_key(r.entry.subject, r.scale.id, r.at): r for r in current}
    problems: list[str] = []
    todo: list[tuple[Row, str | None]] = []
    seen: dict[tuple[str | None, str, float], str] = {}
    there = 0
    for row in rows:
        key = _key(row.subject, row.scale.id, row.at)
        try:
            score(row.scale, row.answers, row.where)
        except FileProblems as exc:
            problems += str(exc).splitlines()
            continue
        if key in seen:
            problems.append(f"{row.where}: is the same rating as {seen[key]}")
            continue
        seen[key] = row.where
        before = known.get(key)
        if before is None:
            todo.append((row, None))
        elif dict(before.score.items) == dict(row.answers):
            there += 1
        elif before.entry.session != row.session:
            problems.append(
                f"{row.where}: the journal has this rating under session {before.entry.session}"
            )
        elif correct:
            todo.append((row, before.entry.hash))
        else:
            problems.append(
                f"{row.where}: the journal has other answers (entry {before.entry.hash[:8]}); "
                f"--correct enters these as a correction"
            )
        if row.at > now:
            problems.append(f"{row.where}: {row.at.isoformat()} lies in the future")
    if problems:
        raise FileProblems("nothing was imported", _few(problems))
    drafts = [
        new_rating(
            row.scale,
            row.answers,
            subject=row.subject,
            session=row.session,
            at=row.at,
            now=now,
            operator=row.operator,
            role=row.role,
            rater_blinded=row.rater_blinded,
            method=method,
            corrects=corrects,
        )
        for row, corrects in todo
    ]
    written = tuple(rating_of(entry, scales) for entry in Journal(dataset).append_all(drafts))
    return Imported(written=written, already_there=there)


def read_csv_rows(
    path: str | Path,
    *,
    now: datetime,
    operator: str = "",
    role: str = "",
    subject: str = "",
    session: str = "",
    scale: str = "",
) -> list[Row]:
    """Read ratings from a CSV: one a row, items in the columns ``item_1``, ``item_2`` and so on.

    Parameters
    ----------
    path : path
        Columns ``subject``, ``session``, ``scale``, ``at``, ``rater``, ``role``,
        ``rater_blinded``, all but the items optional where the value is given here.
    now : datetime
        The present, for a row without ``at``.
    operator, role, subject, session, scale : str
        What holds for rows without such a column.

    Raises
    ------
    FileProblems
        Every problem of the table.
    InputError
        The file cannot be read.
    """
    given = {
        "subject": subject, "session": session, "scale": scale, "at": "", "rater": operator,
        "role": role, "rater_blinded": "unknown",
    }  # fmt: skip
    header, lines = _table(path)
    columns = {name: name[5:] for name in header if name.startswith("item_")}
    problems = [
        f"column {name!r}: no such column; there are: {', '.join(COLUMNS)}, item_1, item_2, …"
        for name in header
        if name not in COLUMNS and not (name in columns and columns[name].isdecimal())
    ]
    if not columns:
        problems.append("has no columns item_1, item_2, …")
    if problems:
        raise FileProblems(str(path), problems)
    rows: list[Row] = []
    for number, line in lines:
        values = {**given, **{k: v for k, v in line.items() if k in COLUMNS and v}}
        answers = {int(columns[name]): line[name] for name in columns if line[name]}
        _collect(rows, problems, f"line {number}", values, answers, now)
    if problems:
        raise FileProblems(str(path), _few(problems))
    return rows


def read_redcap_rows(
    path: str | Path, mapping: RedcapMapping, *, now: datetime, operator: str
) -> list[Row]:
    """Read ratings from a REDCap export in CSV, raw codes, one row a record and event.

    Parameters
    ----------
    path : path
        The export.
    mapping : RedcapMapping
        Which field is what.
    now : datetime
        The present.
    operator : str
        Who imports it; entered as the rater where the mapping names no field.

    Raises
    ------
    FileProblems
        Every problem of the table or of the mapping.
    InputError
        The file cannot be read, or a scale is not known.
    """
    header, lines = _table(path)
    problems: list[str] = []
    scales = {one.scale: load_scale(one.scale) for one in mapping.scales}
    for one in mapping.scales:
        wanted = [one.items.replace("{item}", str(n)) for n in scales[one.scale].numbers]
        if "{item}" not in one.items:
            problems.append(f"mapping: items {one.items!r} of {one.scale} has no {{item}} in it")
            continue
        for name in (mapping.subject, one.date, one.complete, one.rater, *wanted):
            if name and name not in header:
                problems.append(f"mapping: the export has no field {name!r} ({one.scale})")
    if mapping.sessions and mapping.event not in header:
        problems.append(f"mapping: the export has no field {mapping.event!r} for the sessions")
    if problems:
        raise FileProblems(str(path), _few(problems))
    rows: list[Row] = []
    for number, line in lines:
        for one in mapping.scales:
            cells = {
                n: line[one.items.replace("{item}", str(n))] for n in scales[one.scale].numbers
            }
            answers = {n: text for n, text in cells.items() if text}
            if not answers or (one.complete and line[one.complete] != "2"):
                continue
            where = f"line {number} ({one.scale})"
            if not line[one.date]:
                problems.append(f"{where}: {one.date} is empty; a rating needs its date")
                continue
            record = line[mapping.subject]
            values = {
                "subject": mapping.subjects.get(record, record),
                "session": mapping.sessions.get(line.get(mapping.event, ""), ""),
                "scale": one.scale,
                "at": line[one.date],
                "rater": (line[one.rater] if one.rater else "") or operator,
                "role": mapping.role,
                "rater_blinded": mapping.rater_blinded,
            }
            _collect(rows, problems, where, values, answers, now, add=one.add)
    if problems:
        raise FileProblems(str(path), _few(problems))
    return rows


def _collect(
    rows: list[Row],
    problems: list[str],
    where: str,
    values: Mapping[str, str],
    answers: Mapping[int, str],
    now: datetime,
    add: int = 0,
) -> None:
    """Add a row, or what is wrong with it."""
    try:
        wrong = [f"{number}" for number, text in answers.items() if not _whole(text)]
        if wrong:
            raise InputError(f"item {', '.join(wrong)}: must be whole numbers")
        if values["role"] not in ROLES:
            raise InputError(f"role {values['role']!r}: must be {', '.join(ROLES)}")
        if values["rater_blinded"] not in BLIND:
            raise InputError(f"rater_blinded: must be {', '.join(BLIND)}")
        if not values["rater"].strip():
            raise InputError("rater: missing; give a column rater, or --operator")
        session = values["session"]
        scale = load_scale(values["scale"])
        rows.append(
            Row(
                where=where,
                subject=check_label(values["subject"], "subject"),
                session=check_label(session, "session") if session else None,
                scale=scale,
                answers={number: int(text) + add for number, text in answers.items()},
                at=parse_when(values["at"], now, "at"),
                operator=values["rater"],
                role=values["role"],
                rater_blinded=values["rater_blinded"],
            )
        )
    except TacsError as exc:
        problems += [f"{where}: {text}" for text in str(exc).splitlines()]


def _whole(text: str) -> bool:
    return len(text) <= 6 and text.isascii() and text.removeprefix("-").isdecimal()


def _table(path: str | Path) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Header and lines of a CSV."""
    try:
        if Path(path).stat().st_size > FILE_MAX_BYTES:
            raise InputError(
                f"{path}: is larger than {FILE_MAX_BYTES >> 20} MiB; give ratings only"
            )
        text = Path(path).read_bytes().decode("utf-8-sig")
    except FileNotFoundError as exc:
        raise InputError(f"{path}: no such file") from exc
    except UnicodeDecodeError as exc:
        raise InputError(f"{path}: is not text in UTF-8; export it as CSV (UTF-8)") from exc
    except OSError as exc:
        raise InputError(f"{path}: cannot be read ({exc.strerror})") from exc
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    try:
        table = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as exc:
        raise InputError(f"{path}: is not a CSV ({exc})") from exc
    if not table or not any(cell.strip() for cell in table[0]):
        raise InputError(f"{path}: is empty; the first line names the columns")
    header = [cell.strip() for cell in table[0]]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InputError(f"{path}: the column {twice[0]!r} stands twice")
    for number, cells in enumerate(table[1:], 2):
        if any(cells) and len(cells) != len(header):
            raise InputError(
                f"{path}: line {number} has {len(cells)} cells, the first line {len(header)}"
            )
    return header, (
        (number, dict(zip(header, (cell.strip() for cell in cells), strict=True)))
        for number, cells in enumerate(table[1:], 2)
        if any(cell.strip() for cell in cells)
    )


def _key(subject: str | None, scale: str, at: datetime) -> tuple[str | None, str, float]:
    return subject, scale, at.timestamp() // 1


def _few(problems: Sequence[str]) -> list[str]:
    more = len(problems) - MOST_TOLD
    return [*problems[:MOST_TOLD], *([f"and {more} more"] if more > 0 else [])]


def mapping_schema() -> dict[str, Any]:
    """Return the JSON schema of a mapping file."""
    return RedcapMapping.model_json_schema()
