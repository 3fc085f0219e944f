"""The head of a closed record on paper: one line, and a record held against it.

It is printed when a session ends, to be kept where nobody who can change the record can change it.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from tacs.errors import InputError, RecordError
from tacs.record import Line, read_lines, read_record

__all__ = [
    "RECORDS",
    "anchor_line",
    "check_anchor_line",
    "printed",
    "whole_lines",
]

RECORDS = re.compile(r"sub-([A-Za-z0-9+]+)_ses-([A-Za-z0-9+]+)_task-tacs(_attempt-\d+)?_record")
PRINTED = re.compile(r"TACS1 (\S+) (\S+) (\d+) ((?:[0-9a-f]{4}-){7}[0-9a-f]{4}) ([0-9a-f]{4})")


def anchor_line(record: str | Path) -> str:
    """Return one line for paper, a QR code or a message: whose record, its length and its head.

    Parameters
    ----------
    record : path
        Verifies.

    Returns
    -------
    str
        ``TACS1 SUBJECT SESSION LINES HEAD CHECK``: half of the hash in groups of four, and four
        digits that a slip in typing changes.

    Raises
    ------
    InputError
        No such record.
    RecordError
        It does not verify.
    """
    return printed(Path(record), whole_lines(record, _content(Path(record))))


def check_anchor_line(text: str, record: str | Path) -> str | None:
    """Hold a record against what was printed when it was closed.

    Parameters
    ----------
    text : str
        As :func:`anchor_line` wrote it; spaces do not matter, nor capitals in the hash.
    record : path
        The record.

    Returns
    -------
    str or None
        What is wrong; None where the record still has that line, with that hash.

    Raises
    ------
    InputError
        The text is no such line, or was mistyped; or no such record.
    """
    _, _, n, head = _parts_of(text)
    lines, problem = read_record(record, allow_torn_tail=True)
    if len(lines) < n:
        return f"line {len(lines) + 1}: {_reason(problem) or f'cut off; {n} lines were printed'}"
    if n < 1 or _grouped(lines[n - 1].hash) != head:
        return f"line {n}: another hash than was printed; the record was written anew"
    return None


def _parts_of(text: str) -> tuple[str, str, int, str]:
    """Subject, session, number of lines and head of a printed line."""
    parts = text.split()
    match = PRINTED.fullmatch(" ".join([*parts[:4], *(part.lower() for part in parts[4:])]))
    if match is None:
        raise InputError(f"{text!r}: not a printed anchor; it begins with TACS1 and has six parts")
    subject, session, count, head, check = match.groups()
    if _check_digits(f"TACS1 {subject} {session} {count} {head}") != check:
        raise InputError(f"{text!r}: mistyped; its last four digits do not fit the rest")
    return subject, session, int(count), head


def whole_lines(record: str | Path, content: bytes) -> list[Line]:
    """Return every line of a record that was read.

    Raises
    ------
    RecordError
        It does not verify, or has none.
    """
    lines, problem = read_lines(content)
    if problem is not None or not lines:
        raise RecordError(f"{record}: {problem or 'line 1: it has none'}")
    return lines


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as exc:
        raise InputError(f"{path}: no such record") from exc
    except OSError as exc:
        raise InputError(f"{path}: cannot be read ({exc.strerror})") from exc


def _reason(problem: str | None) -> str:
    return "" if problem is None else problem.partition(": ")[2]


def printed(record: Path, lines: list[Line]) -> str:
    """Return the printed line of a record that was read."""
    match = RECORDS.fullmatch(record.stem)
    subject, session = (match[1], match[2]) if match else ("-", "-")
    text = f"TACS1 {subject} {session} {len(lines)} {_grouped(lines[-1].hash)}"
    return f"{text} {_check_digits(text)}"


def _grouped(digest: str) -> str:
    """The first half of a hash in groups of four: enough against chance and against malice."""
    return "-".join(digest[at : at + 4] for at in range(0, 32, 4))


def _check_digits(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:4]
