"""The guard's journal as lines of the run record, also where the disk fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tacs.errors import RecordError
from tacs.record import RecordWriter

__all__ = ["RecordJournal"]


class RecordJournal:
    """The guard's journal, written to the run record.

    Parameters
    ----------
    record : RecordWriter
        Open record.
    session_time : callable
        Gives the session's time in seconds.
    """

    def __init__(self, record: RecordWriter, session_time: Callable[[], float]) -> None:
        self._record = record
        self._time = session_time
        self.problem: str | None = None

    def intent(self, verb: str, data: Mapping[str, Any], *, sync: bool) -> None:
        """Write what is about to be sent."""
        self.write("intent", {"verb": verb, **data}, sync=sync)

    def answer(self, verb: str, data: Mapping[str, Any]) -> None:
        """Write what came back."""
        self.write("answer", {"verb": verb, **data}, sync=False)

    def write(self, kind: str, data: Mapping[str, Any], *, sync: bool) -> None:
        """Write one line; when the disk refuses it, free the reserve and try once more.

        Raises
        ------
        RecordError
            The first line that the disk refused, even where the second try wrote it: nothing
            new may be sent after that but a stop.
        """
        try:
            self._record.append(kind, self._time(), _plain(data), sync=sync)
        except RecordError as exc:
            self._record.release_reserve()
            first = self.problem is None
            self.problem = self.problem or str(exc)
            self._record.append(kind, self._time(), _plain(data), sync=sync)
            if first:
                raise

    def sync(self) -> None:
        """Have everything on disk."""
        self._record.sync()


def _plain(data: Any) -> Any:
    """Plain JSON types: mapping keys as text, tuples as lists."""
    if isinstance(data, Mapping):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    return data
