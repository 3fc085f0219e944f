"""The head of a closed record on paper: one line, and a record held against it.

It is printed when a session ends, to be kept where nobody who can change the record can change it.
``tacs recover DATASET --anchor LINE`` holds the record against it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tacs.dataset import SessionPaths, check_label
from tacs.errors import InputError, RecordError
from tacs.record import Line, read_lines, read_record

__all__ = [
    "RECORDS",
    "PrintedAnchor",
    "anchor_line",
    "check_anchor_line",
    "check_printed",
    "printed",
    "whole_lines",
]

RECORDS = re.compile(r"sub-([A-Za-z0-9+]+)_ses-([A-Za-z0-9+]+)_task-tacs(_attempt-\d+)?_record")
PRINTED = re.compile(r"TACS1 (\S+) (\S+) (\d+) ((?:[0-9a-f]{4}-){7}[0-9a-f]{4}) ([0-9a-f]{4})")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedAnchor:
    """A record held against its printed line.

    Parameters
    ----------
    record : Path
        The record; it need not exist.
    subject, session : str
        Whose, by the printed line.
    n_lines : int
        How long it was.
    problem : str or None
        What is wrong; None where the line holds.
    later : str
        What came after the printed line; empty where nothing did.
    """

    record: Path
    subject: str
    session: str
    n_lines: int
    problem: str | None
    later: str = ""

    @property
    def holds(self) -> bool:
        """Whether the record still has the printed line, with its hash."""
        return self.problem is None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "holds": self.holds,
            "record": str(self.record),
            "subject": self.subject,
            "session": self.session,
            "printed_lines": self.n_lines,
            "problem": self.problem,
            "later": self.later,
        }


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


def check_printed(dataset: str | Path, text: str) -> PrintedAnchor:
    """Hold the record that a printed line is about against that line.

    Parameters
    ----------
    dataset : path
        Where the record is.
    text : str
        As :func:`anchor_line` wrote it.

    Returns
    -------
    PrintedAnchor
        Whether it holds, and why not.

    Raises
    ------
    InputError
        The text is no such line, was mistyped or names nobody; no such data set.
    """
    subject, session, n, _ = _parts_of(text)
    check_label(subject, "subject of the printed line")
    check_label(session, "session of the printed line")
    if not Path(dataset).is_dir():
        raise InputError(f"{dataset}: no such data set")
    paths = SessionPaths(Path(dataset), subject, session)
    tried = [
        (record, check_anchor_line(text, record))
        for record in sorted(paths.source.glob("*_record.jsonl"), key=lambda x: x != paths.record)
        if RECORDS.fullmatch(record.stem)
    ]
    missing = f"no such record in this data set; one of {n} lines was printed"
    record, problem = min(tried, key=lambda x: x[1] is not None, default=(paths.record, missing))
    return PrintedAnchor(
        record=record,
        subject=subject,
        session=session,
        n_lines=n,
        problem=problem,
        later="" if problem is not None else _later(record, n),
    )


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


def _later(record: Path, n_lines: int) -> str:
    """What came after the printed line, which does not vouch for it."""
    lines, problem = read_record(record)
    if problem is not None:
        return problem
    more = len(lines) - n_lines
    return f"{more} line(s) more, which were not printed" if more else ""


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
