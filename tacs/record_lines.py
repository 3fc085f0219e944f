"""Lines of a run record as they are read: spelled in one way, numbered, and chained.

One JSON object per line, with a number, the session's time, and its own hash, which is
``sha256(previous hash + canonical JSON without the hash)``. A line that was changed, removed or put
in breaks the chain at that line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tacs.errors import InputError

__all__ = [
    "GENESIS",
    "LINE_BYTES_MAX",
    "Line",
    "canonical",
    "chain_hash",
    "loose_lines",
    "read_content",
    "read_lines",
    "read_record",
    "verify_record",
]

GENESIS = "0" * 64
LINE_BYTES_MAX = 1 << 20  # a line is some hundred bytes; a session's first line some thousand
_KEYS = frozenset({"seq", "t_s", "utc", "kind", "data", "hash"})
_ENCODE = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


def canonical(data: Mapping[str, Any]) -> str:
    """One spelling for every JSON object: sorted keys, no spaces, no NaN."""
    return _ENCODE(data)


def chain_hash(previous: str, data: Mapping[str, Any]) -> str:
    """Hash of a line, given the hash of the line before."""
    return hashlib.sha256((previous + canonical(data)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a record.

    Parameters
    ----------
    seq : int
        Counts from 0 without gaps.
    t_s : float
        Session time in seconds.
    utc : str
        Wall-clock time, a label only.
    kind : str
        What happened.
    data : dict
        The particulars.
    hash : str
        Chained to the line before.
    """

    seq: int
    t_s: float
    utc: str
    kind: str
    data: dict[str, Any]
    hash: str


def read_record(
    path: str | Path, *, allow_torn_tail: bool = False
) -> tuple[list[Line], str | None]:
    """Read a record as far as it verifies.

    Parameters
    ----------
    path : path
        The record.
    allow_torn_tail : bool
        Look at whole lines only: a last line that a crash cut off was never acted on.

    Returns
    -------
    lines : list of Line
        Every line up to the first that does not verify.
    problem : str or None
        What is wrong with the next line; None where the whole record verifies.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    return read_lines(read_content(path), allow_torn_tail=allow_torn_tail)


def read_lines(
    content: bytes, *, allow_torn_tail: bool = False, seq: int = 0, previous: str = GENESIS
) -> tuple[list[Line], str | None]:
    """Read the bytes of a record as far as they verify.

    Parameters
    ----------
    content : bytes
        The whole record.
    allow_torn_tail : bool
        See :func:`read_record`.
    seq, previous : int, str
        Lines that stand before these bytes and were verified, and the hash of the last of them.

    Returns
    -------
    lines : list of Line
        Every line up to the first that does not verify.
    problem : str or None
        ``line N: …`` of the next line, N counted from 1; None where the whole record verifies.
    """
    if allow_torn_tail:
        content = content[: content.rfind(b"\n") + 1]
    lines: list[Line] = []
    at = 0
    while at < len(content):
        end = content.find(b"\n", at) + 1 or len(content)
        line, problem = _verified_line(content[at:end], seq + len(lines), previous)
        if line is None:
            return lines, f"line {seq + len(lines) + 1}: {problem}"
        lines.append(line)
        previous, at = line.hash, end
    return lines, None


def loose_lines(content: bytes) -> list[tuple[Line | None, bool]]:
    """Read each whole line of a damaged record by itself.

    Parameters
    ----------
    content : bytes
        The whole record; a torn last line is left out.

    Returns
    -------
    list of (Line or None, bool)
        None where nothing can be read. The flag tells whether the line has the hash that it must
        have after the hash that stands in the line before, whatever is wrong further up.
    """
    found: list[tuple[Line | None, bool]] = []
    previous: str | None = GENESIS
    for raw in content.split(b"\n")[:-1]:
        body = _parsed(raw)
        if body is None:
            found.append((None, False))
            previous = None
            continue
        fits = previous is not None and (
            _verified_line(raw + b"\n", body["seq"], previous)[0] is not None
        )
        found.append((Line(**body), fits))
        previous = body["hash"] if body["hash"].isascii() else None
    return found


def verify_record(path: str | Path) -> str | None:
    """Return what is wrong with a record, or None.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    return read_record(path)[1]


def read_content(path: str | Path) -> bytes:
    """Return the bytes of a record.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as exc:
        raise InputError(f"{path}: no such record") from exc
    except OSError as exc:
        raise InputError(f"{path}: cannot be read ({exc.strerror})") from exc


def _verified_line(raw: bytes, number: int, previous: str) -> tuple[Line | None, str]:
    """One line, or what is wrong with it; it must be spelled exactly as it was written."""
    if len(raw) > LINE_BYTES_MAX:
        return None, "too long for a line of a record"
    try:
        text = raw.decode()
        body = json.loads(text)
        spelled = _ENCODE(body) + "\n"
        same = spelled == text
    except (ValueError, TypeError, RecursionError):
        return None, "not a whole line of a record"
    if not _is_line(body):
        return None, "not a whole line of a record"
    if body["seq"] != number:
        return None, f"number {body['seq']} where {number} was due"
    digest = body["hash"]
    # The top-level hash follows the data and precedes plain values: the last such key is its own.
    field = f'"hash":"{digest}",'
    at = spelled.rfind(field)
    chained = previous + spelled[:at] + spelled[at + len(field) : -1]
    if not same or hashlib.sha256(chained.encode()).hexdigest() != digest:
        return None, "its hash does not match; it or a line before changed"
    return Line(**body), ""


def _parsed(raw: bytes) -> dict[str, Any] | None:
    """The content of a line, whatever its hash; None where it is none."""
    if len(raw) >= LINE_BYTES_MAX:
        return None
    try:
        body = json.loads(raw.decode())
    except (ValueError, RecursionError):
        return None
    return body if _is_line(body) else None


def _is_line(body: Any) -> bool:
    """Whether parsed JSON has the keys of a line, each of its type."""
    return (
        type(body) is dict
        and body.keys() == _KEYS
        and type(body["seq"]) is int
        and type(body["t_s"]) in {int, float}
        and type(body["data"]) is dict
        and all(type(body[key]) is str for key in ("utc", "kind", "hash"))
    )
