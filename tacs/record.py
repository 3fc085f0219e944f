"""The run record: append-only lines, each chained to the one before, on disk before it is acted on.

One JSON object per line. Every line carries a number, the session's time, the hash of the line
before and its own hash, ``sha256(previous hash + canonical JSON without the hash)``. A line that
was changed, removed or put in breaks the chain at that line. A bare chain cannot show that its tail
was cut off, so the head of a closed record is also written to the site's dose ledger and to its
anchors (:mod:`tacs.anchors`).

The lines that matter before current flows are on disk when :meth:`RecordWriter.append` returns.
While it flows, a thread syncs and nobody waits for it; a disk that leaves a line unconfirmed for
longer than ``late_after_s`` is an error at the next :meth:`RecordWriter.sync`, and the record says
which lines were concerned in a line of kind ``gap``.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tacs.background_sync import BackgroundSync
from tacs.clock import MonotonicClock, utc_now
from tacs.errors import InputError, RecordError
from tacs.locks import take
from tacs.record_lines import (
    GENESIS,
    LINE_BYTES_MAX,
    Line,
    canonical,
    chain_hash,
    loose_lines,
    read_content,
    read_lines,
    read_record,
    verify_record,
)

__all__ = [
    "GENESIS",
    "LATE_AFTER_S",
    "LINE_BYTES_MAX",
    "Line",
    "RecordAppender",
    "RecordWriter",
    "canonical",
    "chain_hash",
    "drop_torn_tail",
    "in_use",
    "loose_lines",
    "read_content",
    "read_lines",
    "read_record",
    "reserve_of",
    "sync_folders",
    "verify_record",
]

RESERVE_BYTES = 64 * 1024  # kept free on disk so that a stop can still be written when it is full
LATE_AFTER_S = 2.0
CLOSE_S = 10.0  # how long closing waits for a disk that is late
FOLDERS_ABOVE = 5  # of a record below its data set's parent


class RecordWriter:
    """Append lines to a new record.

    Parameters
    ----------
    path : path
        Must not exist: a record is never written over.
    now_s : callable, optional
        Gives the time that waits for the disk are measured with; the machine's monotonic clock
        where left out.

    Raises
    ------
    InputError
        The file exists or its folder cannot be written.
    RecordError
        From :meth:`append` where the disk refuses a line.
    """

    def __init__(self, path: str | Path, *, now_s: Callable[[], float] | None = None) -> None:
        self._begin(path, now_s)
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
            take(self._fd, wait=True)
            _preallocate(self._reserve)
            sync_folders(self.path.parent)
        except OSError as exc:
            # From here on the record is this writer's own, and empty: it may be taken back.
            os.close(self._fd)
            self.path.unlink(missing_ok=True)
            self._reserve.unlink(missing_ok=True)
            raise InputError(f"{self.path}: cannot be written ({exc.strerror})") from exc

    def _begin(self, path: str | Path, now_s: Callable[[], float] | None) -> None:
        """Set what a writer and an appender have in common."""
        self.path = Path(path)
        self._previous = GENESIS
        self._seq = 0
        self._reserve = reserve_of(self.path)
        self._now = now_s or MonotonicClock().now_s
        self._fd = -1
        self._background: BackgroundSync | None = None
        self._late_after_s = LATE_AFTER_S
        self._first_line = 0  # of the lines that the thread syncs
        self._t_s = 0.0
        self._late_from_line: int | None = None
        self._late_s = 0.0

    @property
    def head(self) -> str:
        """Hash of the last line."""
        return self._previous

    def start_background(self, late_after_s: float = LATE_AFTER_S) -> None:
        """Sync in a thread from here on; :meth:`sync` then only asks for it.

        Parameters
        ----------
        late_after_s : float
            A line that the disk has not confirmed for longer is an error of :meth:`sync`.
        """
        if self._background is None:
            # The thread has a descriptor of its own, so that it may outlive this writer.
            fd = os.dup(self._fd)
            self._late_after_s, self._first_line = late_after_s, self._seq
            self._background = BackgroundSync(
                functools.partial(_datasync, fd), self._now, functools.partial(os.close, fd)
            )

    def end_background(self) -> None:
        """Have everything on disk and sync without a thread again, as :meth:`close` does."""
        if self._background is not None:
            self._end_background(self._background)
            self._background = None

    def append(self, kind: str, t_s: float, data: Mapping[str, Any], *, sync: bool) -> None:
        """Write one line; with ``sync`` it is on disk when this returns.

        Raises
        ------
        RecordError
            The line could not be written whole, or not be synced.
        """
        if sync and self._late_from_line is not None:
            with contextlib.suppress(RecordError):  # the sync below says it
                self._sync_now()
                self._note_gap(confirmed=True)
        self._write_line(kind, t_s, data)
        if sync:
            self._sync_now()

    def sync(self) -> None:
        """Have everything written so far on disk, or ask for it where a thread syncs.

        Raises
        ------
        RecordError
            The disk refuses, or has not confirmed a line for longer than ``late_after_s``.
        """
        if self._background is None:
            self._sync_now()
            return
        try:
            waited_s = self._background.oldest_unsynced_s(self._now())
            self._background.request()
        except OSError as exc:
            raise self._refused(exc) from exc
        self._look_for_late(self._background)
        if waited_s > self._late_after_s:
            raise RecordError(
                f"{self.path}: the disk has not confirmed a line for {waited_s:.1f} s"
            )
        if self._late_from_line is not None:
            self._note_gap(confirmed=True)

    def release_reserve(self) -> None:
        """Give back the kept disk space, so that the lines of a stop still fit."""
        self._reserve.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; the record needs nothing more to be valid.

        Where a thread syncs, it is waited for, but not for ever: a disk that still does not answer
        is said in a last line of kind ``gap``.
        """
        self.release_reserve()
        self.end_background()
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

    def _write_line(self, kind: str, t_s: float, data: Mapping[str, Any]) -> None:
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
        if len(payload) > LINE_BYTES_MAX:
            raise RecordError(f"{self.path}: {kind} is too long for a line ({len(payload)} bytes)")
        try:
            self._write(payload)
        except OSError as exc:
            raise self._refused(exc) from exc
        # The line is in the file from here on, whether or not it can be synced.
        self._previous = digest
        self._seq += 1
        self._t_s = t_s
        if self._background is not None:
            self._background.written(self._now())

    def _sync_now(self) -> None:
        try:
            _datasync(self._fd)
        except OSError as exc:
            raise self._refused(exc) from exc
        if self._background is not None:
            self._background.confirm()

    def _look_for_late(self, background: BackgroundSync) -> None:
        waited_s, line = background.take_worst(self._now())
        if waited_s > self._late_after_s:
            self._late_s = max(self._late_s, waited_s)
            if self._late_from_line is None:
                self._late_from_line = self._first_line + line

    def _note_gap(self, *, confirmed: bool) -> None:
        """Say in the record which lines the disk confirmed late, or not at all."""
        if self._background is not None:
            self._look_for_late(self._background)
        data = {
            "from_line": self._late_from_line,
            "to_line": self._seq - 1,
            "waited_s": round(self._late_s, 3),
            "confirmed": confirmed,
        }
        self._late_from_line, self._late_s = None, 0.0
        self._write_line("gap", self._t_s, data)

    def _end_background(self, background: BackgroundSync) -> None:
        """Let the thread finish; what it could not do is the record's last line."""
        confirmed = background.drain(CLOSE_S)
        self._look_for_late(background)
        if self._late_from_line is None and not confirmed:
            self._late_from_line = self._first_line + background.n_confirmed
        if self._late_from_line is not None:
            with contextlib.suppress(RecordError):
                self._note_gap(confirmed=confirmed)
        background.close(CLOSE_S if confirmed else 0.0)

    def _refused(self, exc: OSError) -> RecordError:
        return RecordError(f"{self.path}: cannot be written ({exc.strerror})")

    def _write(self, payload: bytes) -> None:
        done = os.write(self._fd, payload)
        if done != len(payload):
            # A torn line would break the chain: take it back, and say that the disk is full.
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - done)
            raise OSError(errno.ENOSPC, "No space left on device")


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
    content = read_content(path)
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

    Parameters
    ----------
    path : path
        The record.
    now_s : callable, optional
        As for :class:`RecordWriter`.

    Raises
    ------
    RecordError
        The record does not verify: it is evidence and is left as it is. Or a program writes it.
    """

    def __init__(self, path: str | Path, *, now_s: Callable[[], float] | None = None) -> None:
        self._begin(path, now_s)
        try:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        except FileNotFoundError as exc:
            raise InputError(f"{path}: no such record") from exc
        except OSError as exc:
            raise RecordError(f"{path}: cannot be written ({exc.strerror})") from exc
        try:
            self._go_on()
        except BaseException:
            os.close(self._fd)
            self._fd = -1
            raise

    def _go_on(self) -> None:
        """Find the end of what verifies, under the lock that a writer holds."""
        if not take(self._fd, wait=False):
            raise RecordError(f"{self.path}: a session is writing it; wait until it is over")
        lines, problem = read_record(self.path, allow_torn_tail=True)
        if problem is not None:
            raise RecordError(f"{self.path}: {problem}")
        drop_torn_tail(self.path)
        self._previous = lines[-1].hash if lines else GENESIS
        self._t_s = lines[-1].t_s if lines else 0.0
        self._seq = len(lines)


def reserve_of(path: Path) -> Path:
    """Return the file that keeps disk space for the lines of a stop."""
    return path.with_name(path.name + ".reserve")


def in_use(path: str | Path) -> bool:
    """Whether a program is writing a record now; False where the system cannot tell.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError as exc:
        raise InputError(f"{path}: no such record") from exc
    except OSError as exc:
        raise InputError(f"{path}: cannot be read ({exc.strerror})") from exc
    try:
        return not take(fd, wait=False)
    finally:
        os.close(fd)


def _datasync(fd: int) -> None:
    """Have the content on disk; macOS and Windows have no fdatasync.

    On macOS a plain fsync stops at the drive's own memory.
    """
    if os.name == "posix":
        import fcntl

        if hasattr(fcntl, "F_FULLFSYNC"):
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
            return
    getattr(os, "fdatasync", os.fsync)(fd)


def _preallocate(path: Path) -> None:
    """Fill the reserve with real blocks, so that the space is taken now and not later."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        if os.write(fd, b"\0" * RESERVE_BYTES) != RESERVE_BYTES:
            raise OSError(errno.ENOSPC, "No space left on device")
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folders(folder: Path) -> None:
    """Have the new entries of a folder and those above it on disk, where folders can be synced.

    The folders of a session may be as new as its record.

    Raises
    ------
    OSError
        The folder itself cannot be synced.
    """
    if os.name != "posix":
        return
    for path in [folder, *folder.resolve().parents[:FOLDERS_ABOVE]]:
        try:
            fd = os.open(path, os.O_RDONLY)
        except OSError:
            if path == folder:
                raise
            break  # above what this user may read nothing new was made
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
