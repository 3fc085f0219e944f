"""The lines of a table as text, each with its number: from a file, or from Python."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError

__all__ = ["Records", "read_records", "records_of"]

Records = list[tuple[int, dict[str, str]]]


def read_records(path: str | Path) -> Records:
    """Read a CSV, TSV or semicolon table as text, with the number of each line.

    Raises
    ------
    AnalysisError
        The file cannot be read, has no rows, names a column twice, or a line is ragged.
    """
    place = Path(path)
    try:
        text = place.read_text(encoding="utf-8-sig")
    except FileNotFoundError as exc:
        raise AnalysisError(f"{place}: no such file") from exc
    except IsADirectoryError as exc:
        raise AnalysisError(
            f"{place}: a folder; give a table, or --from-compare for a folder of results"
        ) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise AnalysisError(f"{place}: cannot be read as a text table ({exc})") from exc
    lines = text.splitlines()
    if not lines or not lines[0].strip():
        raise AnalysisError(f"{place}: empty; its first line must name the columns")
    counts = {mark: lines[0].count(mark) for mark in "\t;,"}
    delimiter = max(counts, key=lambda mark: counts[mark])
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    header = [name.strip() for name in next(reader)]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise AnalysisError(f"{place}: two columns are called {twice[0]!r}; rename one")
    records: Records = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise AnalysisError(
                    f"{place}, line {reader.line_num}: {len(cells)} values for {len(header)} "
                    "columns"
                )
            values = (cell.strip() for cell in cells)
            records.append((reader.line_num, dict(zip(header, values, strict=True))))
    except csv.Error as exc:
        raise AnalysisError(f"{place}, line {reader.line_num}: {exc}") from exc
    if not records:
        raise AnalysisError(f"{place}: has column names but no rows")
    return records


def records_of(table: Any) -> tuple[str, Records]:
    """Records of a path, a list of dicts, a dict of columns or a data frame."""
    if isinstance(table, str | Path):
        return str(table), read_records(table)
    if hasattr(table, "to_dict") and hasattr(table, "columns"):
        rows: Iterable[Mapping[str, Any]] = table.to_dict("records")
    elif isinstance(table, Mapping):
        lengths = {len(column) for column in table.values()}
        if len(lengths) != 1:
            raise AnalysisError("table: its columns differ in length")
        names = list(table)
        rows = [dict(zip(names, cells, strict=True)) for cells in zip(*table.values(), strict=True)]
    elif isinstance(table, Sequence):
        rows = table
    else:
        raise AnalysisError("table: give a path, a data frame, a dict of columns or a list of rows")
    records = [
        (line, {str(key): _text(value) for key, value in row.items()})
        for line, row in enumerate(rows, start=1)
    ]
    if not records:
        raise AnalysisError("table: has no rows")
    return "table", records


def _text(value: Any) -> str:
    """A cell of a Python table as it would stand in a file; whole numbers without a fraction."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
