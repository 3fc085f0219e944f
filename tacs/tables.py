"""Tab-separated tables as BIDS has them: no quoting, ``n/a`` where nothing is known."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tacs.errors import InputError
from tacs.files import write_text

__all__ = ["MISSING", "read_table", "table_text", "write_table"]

MISSING = "n/a"


def read_table(path: str | Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return header and rows of a table; nothing of one that is not there.

    Parameters
    ----------
    path : path
        The table; only a line feed or a carriage return ends a row, and empty lines are none.

    Raises
    ------
    InputError
        It cannot be read as a table.
    """
    if not Path(path).exists():
        return [], []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, restval=MISSING)
            rows: list[Mapping[str, str]] = list(reader)
            header = list(reader.fieldnames or [])
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise InputError(f"{path}: cannot be read as a table ({exc})") from exc
    return header, [{k: v for k, v in row.items() if k is not None} for row in rows]


def table_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as text, cells in the order of the header."""
    return "".join("\t".join(row) + "\n" for row in (header, *rows))


def write_table(path: Path, header: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """Write a table whole or not at all; a value that a row lacks is ``n/a``.

    Raises
    ------
    InputError
        It cannot be written.
    """
    cells = [[row.get(name, MISSING) for name in header] for row in rows]
    write_text(path, table_text(header, cells))
