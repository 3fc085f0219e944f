"""Marks that say when something outside of the suite began: a key, a file, a stream."""

from __future__ import annotations

import csv
import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

from tacs.clock import Clock
from tacs.driver import installed
from tacs.eeg import GROUP
from tacs.errors import DeviceNotFound, InputError, LinkLost

__all__ = ["AtOnce", "FileMarks", "KeyMarks", "Mark", "Marks", "open_marks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something began.

    Parameters
    ----------
    time_s : float
        On the session's clock; from the recording's first sample where `in_recording`.
    text : str
        What its sender calls it; may be empty.
    in_recording : bool
        Which of the two.
    """

    time_s: float
    text: str = ""
    in_recording: bool = False


class Marks(Protocol):
    """Where marks come from."""

    def open(self) -> str:
        """Begin; return what it is."""

    def collect(self) -> list[Mark]:
        """Return the marks that have come since the last time.

        Raises
        ------
        LinkLost
            All that came were returned before, and no more will come.
        """

    def close(self) -> None:
        """Let go of it; safe to repeat."""


class FileMarks:
    """Marks in a file, for a recording that is played or whose events were exported.

    Parameters
    ----------
    path : path
        Tab-separated with a header: ``onset`` (or ``onset_s``), seconds from the recording's first
        sample; optional ``trial_type`` (or ``frequency_hz``), what began. Events of BIDS are such a
        file.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._left: list[Mark] = []

    def open(self) -> str:
        """Read the file.

        Raises
        ------
        InputError
            It cannot be read, or a line is no mark.
        """
        try:
            with self._path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file, delimiter="\t"))
        except (OSError, UnicodeDecodeError, csv.Error) as exc:
            raise InputError(f"{self._path}: cannot be read as a table ({exc})") from exc
        found = []
        for line, row in enumerate(rows, start=2):
            text = row.get("onset_s") or row.get("onset")
            try:
                time_s = float(text or "nothing")
            except ValueError as exc:
                raise InputError(
                    f"{self._path}, line {line}: {text!r} is no time; the table needs a column "
                    "onset, seconds from the first sample"
                ) from exc
            if not (math.isfinite(time_s) and time_s >= 0.0):
                raise InputError(f"{self._path}, line {line}: onset {text}: write 0 or more")
            said = row.get("frequency_hz") or row.get("trial_type") or ""
            found.append(Mark(time_s=time_s, text=said.strip(), in_recording=True))
        if not found:
            raise InputError(f"{self._path}: holds no mark")
        self._left = sorted(found, key=lambda mark: mark.time_s)
        return f"marks of {self._path.name}"

    def collect(self) -> list[Mark]:
        """Return all of them, once."""
        left, self._left = self._left, []
        if not left:
            raise LinkLost(f"{self._path}: no mark is left")
        return left

    def close(self) -> None:
        """Nothing is held."""


class KeyMarks:
    """A line of the keyboard is a mark, at the time that it comes.

    Parameters
    ----------
    clock : Clock
        Of the session.
    stream : text stream
        Where lines come from.
    """

    def __init__(self, clock: Clock, stream: TextIO) -> None:
        self._clock = clock
        self._stream = stream
        self._come: list[Mark] = []
        self._closed = False
        self._lock = threading.Lock()

    def open(self) -> str:
        """Listen, in a thread that ends with the process."""
        if self._clock.virtual:
            raise InputError("keys are read in real time; use --clock real, or --marks FILE")
        threading.Thread(target=self._listen, name="marks", daemon=True).start()
        return "Return on the keyboard"

    def collect(self) -> list[Mark]:
        """Return the marks that have come since the last time."""
        with self._lock:
            come, self._come = self._come, []
            if self._closed and not come:
                raise LinkLost("the keyboard was closed, and no mark can come")
        return come

    def close(self) -> None:
        """The thread waits for a line that may never come; the process does not."""

    def _listen(self) -> None:
        try:
            for line in self._stream:
                mark = Mark(time_s=self._clock.now_s(), text=line.strip())
                with self._lock:
                    self._come.append(mark)
        except (OSError, ValueError):  # a terminal that went away
            pass
        with self._lock:
            self._closed = True


class AtOnce:
    """A mark whenever one is looked for: a drive that the suite itself begins."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def open(self) -> str:
        """Nothing to open."""
        return "the drive itself"

    def collect(self) -> list[Mark]:
        """Return one, now."""
        return [Mark(time_s=self._clock.now_s())]

    def close(self) -> None:
        """Nothing is held."""


def open_marks(text: str, clock: Clock) -> Marks:
    """Return a stream of marks by its name, not yet open.

    Parameters
    ----------
    text : str
        ``KIND:NAME``, such as ``lsl:NAME``.
    clock : Clock
        Of the session.

    Raises
    ------
    InputError, DeviceNotFound
        The name has no such form, or its kind gives no marks.
    """
    kind, colon, address = text.partition(":")
    if not colon or not kind:
        raise InputError(f"markers {text!r}: write KIND:NAME, such as lsl:NAME")
    points = installed(GROUP)
    make = getattr(points[kind].load(), "marks", None) if kind in points else None
    if make is None:
        raise DeviceNotFound(f"no markers of kind {kind!r}; there are lsl:NAME")
    marks: Marks = make(address, clock)
    return marks
