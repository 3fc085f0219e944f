"""The run record: append-only lines, each chained to the one before, on disk before it is acted on.

One JSON object per line. Every line carries a number, the session's time, the hash of the line
before and its own hash, ``sha256(previous hash + canonical JSON without the hash)``. A line that
was changed, removed or put in breaks the chain at that line. A bare chain cannot show that its tail
was cut off, so the head of a closed record is also written to the site's dose ledger.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tacs.clock import utc_now
from tacs.errors import InputError, RecordError

__all__ = [
    "Line",
    "RecordAppender",
    "RecordWriter",
    "canonical",
    "chain_hash",
    "read_record",
    "verify_record",
]

GENESIS = "0" * 64
RESERVE_BYTES = 64 * 1024  # kept free on disk so that a stop can still be written when it is full


def canonical(data: Mapping[str, Any]) -> str:
    """One spelling for every JSON object: sorted keys, no spaces, no NaN."""
    return json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


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


class RecordWriter:
    """Append lines to a new record.

    Parameters
    ----------
    path : path
        Must not exist: a record is never written over.

    Raises
    ------
    InputError
        The file exists or its folder cannot be written.
    RecordError
        From :meth:`append` where the disk refuses a line.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._previous = GENESIS
        self._seq = 0
        self._reserve = self.path.with_name(self.path.name + ".reserve")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise InputError(f"{self.path}: cannot be written ({exc.strerror})") from exc
        try:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except FileExistsError as exc:
            raise InputError(
                f"{self.path}: this session has a record already; give another --session"
            ) from exc
        except OSError as exc:
            raise InputError(f"{self.path}: cannot be written ({exc.strerror})") from exc
        try:
            _preallocate(self._reserve)
            _sync_folder(self.path.parent)
        except OSError as exc:
            # From here on the record is this writer's own, and empty: it may be taken back.
            os.close(self._fd)
            self.path.unlink(missing_ok=True)
            self._reserve.unlink(missing_ok=True)
            raise InputError(f"{self.path}: cannot be written ({exc.strerror})") from exc

    @property
    def head(self) -> str:
        """Hash of the last line."""
        return self._previous

    def append(self, kind: str, t_s: float, data: Mapping[str, Any], *, sync: bool) -> None:
        """Write one line; with ``sync`` it is on disk when this returns.

        Raises
        ------
        RecordError
            The line could not be written whole.
        """
        body = {
            "seq": self._seq,
            "t_s": round(t_s, 6),
            "utc": utc_now().isoformat(timespec="milliseconds"),
            "kind": kind,
            "data": data,
        }
        try:
            digest = chain_hash(self._previous, body)
            payload = (canonical({**body, "hash": digest}) + "\n").encode()
        except (TypeError, ValueError) as exc:
            raise RecordError(f"{self.path}: {kind} holds what JSON cannot ({exc})") from exc
        try:
            self._write(payload)
            # The line is in the file from here on, whether or not it can be synced.
            self._previous = digest
            self._seq += 1
            if sync:
                _datasync(self._fd)
        except OSError as exc:
            raise RecordError(f"{self.path}: cannot be written ({exc.strerror})") from exc

    def sync(self) -> None:
        """Have everything written so far on disk."""
        try:
            _datasync(self._fd)
        except OSError as exc:
            raise RecordError(f"{self.path}: cannot be written ({exc.strerror})") from exc

    def release_reserve(self) -> None:
        """Give back the kept disk space, so that the lines of a stop still fit."""
        self._reserve.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; the record needs nothing more to be valid."""
        self.release_reserve()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, payload: bytes) -> None:
        done = os.write(self._fd, payload)
        if done != len(payload):
            # A torn line would break the chain: take it back, and say that the disk is full.
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - done)
            raise OSError(28, "No space left on device")


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
    content = _content(path)
    if allow_torn_tail:
        content = content[: content.rfind(b"\n") + 1]
    return _verified(content)


def verify_record(path: str | Path) -> str | None:
    """Return what is wrong with a record, or None.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    return read_record(path)[1]


def drop_torn_tail(path: str | Path) -> int:
    """Cut off a last line that a crash left incomplete; return the bytes removed.

    Only bytes after the last line feed are removed: what verifies is never touched.

    Raises
    ------
    InputError
        The file cannot be read.
    RecordError
        The tail cannot be cut off.
    """
    content = _content(path)
    keep = content.rfind(b"\n") + 1
    if keep < len(content):
        try:
            with open(path, "r+b") as file:
                file.truncate(keep)
                file.flush()
                os.fsync(file.fileno())
        except OSError as exc:
            raise RecordError(f"{path}: cannot be written ({exc.strerror})") from exc
    return len(content) - keep


class RecordAppender(RecordWriter):
    """Go on with a record that a crash left open; its torn tail is cut off first.

    Raises
    ------
    RecordError
        The record does not verify: it is evidence and is left as it is.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        lines, problem = read_record(path, allow_torn_tail=True)
        if problem is not None:
            raise RecordError(f"{path}: {problem}")
        drop_torn_tail(path)
        self._previous = lines[-1].hash if lines else GENESIS
        self._seq = len(lines)
        self._reserve = self.path.with_name(self.path.name + ".reserve")
        try:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        except OSError as exc:
            raise RecordError(f"{path}: cannot be written ({exc.strerror})") from exc


def _datasync(fd: int) -> None:
    """Have the content on disk; macOS and Windows have no fdatasync."""
    getattr(os, "fdatasync", os.fsync)(fd)


def _content(path: str | Path) -> bytes:
    """The bytes of a record."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as exc:
        raise InputError(f"{path}: no such record") from exc
    except OSError as exc:
        raise InputError(f"{path}: cannot be read ({exc.strerror})") from exc


def _verified(content: bytes) -> tuple[list[Line], str | None]:
    """The lines up to the first that does not verify, and what is wrong with that one."""
    lines: list[Line] = []
    previous = GENESIS
    for number, raw in enumerate(_split(content)):
        line, problem = _verified_line(raw, number, previous)
        if line is None:
            return lines, f"line {number + 1}: {problem}"
        lines.append(line)
        previous = line.hash
    return lines, None


def _split(content: bytes) -> list[bytes]:
    """Lines with their line feeds; the last one may lack it."""
    return [part for part in re.split(rb"(?<=\n)", content) if part]


def _verified_line(raw: bytes, number: int, previous: str) -> tuple[Line | None, str]:
    """One line, or what is wrong with it; it must be spelled exactly as it was written."""
    try:
        body = json.loads(raw.decode("utf-8"))
        spelled = (canonical(body) + "\n").encode()
        digest = body.pop("hash")
        line = Line(**body, hash=digest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None, "not a whole line of a record"
    if line.seq != number:
        return None, f"number {line.seq} where {number} was due"
    if spelled != raw or chain_hash(previous, body) != digest:
        return None, "its hash does not match; it or a line before changed"
    return line, ""


def _preallocate(path: Path) -> None:
    """Fill the reserve with real blocks, so that the space is taken now and not later."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        if os.write(fd, b"\0" * RESERVE_BYTES) != RESERVE_BYTES:
            raise OSError(28, "No space left on device")
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync_folder(folder: Path) -> None:
    """Have the folder's new entry on disk, where folders can be synced."""
    if os.name != "posix":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
