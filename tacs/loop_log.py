"""The log of a loop: every decision with its reason, in lines that are chained as the record's are.

What asks for something has a line of its own. Decisions that leave everything as it is come fifty
times a second; those with the same reason that follow each other share one line, with their number
and the first and last time. What the kernel granted or refused is in the session's record. The
last line, of kind ``end``, says what ended the loop, also where that was an error.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tacs.errors import InputError, RecordError
from tacs.record import RecordWriter, read_record

if TYPE_CHECKING:
    from analysis.loop_terms import Decision

__all__ = ["LoopLog", "schedule_of"]


class LoopLog:
    """Writes decisions; any thread may.

    Parameters
    ----------
    path : Path
        Must not exist.
    now_s : callable
        Gives the time, on the clock of the session.
    real : bool
        Whether the machine's clock runs; a slow disk then holds nothing up.
    """

    def __init__(self, path: Path, now_s: Callable[[], float], *, real: bool) -> None:
        self.path = path
        self._now = now_s
        self._writer = RecordWriter(path)
        self._zero_s = now_s()
        self._real = real
        self._held: dict[str, Any] | None = None
        self._lock = threading.RLock()
        self._over = False
        self.reasons: Counter[str] = Counter()
        self.problem = ""

    @property
    def head(self) -> str:
        """Hash of the last line."""
        return self._writer.head

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Write what the loop is set to, before anything is decided."""
        self._writer.append("loop", 0.0, {**plan, "clock_zero_s": self._zero_s}, sync=True)
        if self._real:
            self._writer.start_background()

    def decided(self, decision: Decision, **more: Any) -> None:
        """Write a decision."""
        with self._lock:
            now_s = self._now() - self._zero_s
            self.reasons[decision.reason] += 1
            if decision.requests:
                self.write("decision", {**decision.to_dict(), **more})
                return
            held = self._held
            if held is None or held["reason"] != decision.reason:
                self._flush()
                held = self._held = {**decision.to_dict(), "n": 0, "from_s": round(now_s, 6)}
            held["n"] += 1
            held["to_s"] = round(now_s, 6)

    def write(self, kind: str, data: Mapping[str, Any]) -> None:
        """Write one line of another kind; a loop that hung and wakes after the end writes none."""
        with self._lock:
            if not self._over:
                self._flush()
                self._writer.append(kind, self._now() - self._zero_s, dict(data), sync=False)

    def end(self, reason: str, data: Mapping[str, Any], trace: Sequence[str] = ()) -> None:
        """Write the last line, and close; a disk that refuses it is told in ``problem``.

        Parameters
        ----------
        reason : str
            What ended the loop.
        data : mapping
            What it did.
        trace : sequence of str
            Where it erred, for whoever mends it.
        """
        told = {"reason": reason, **data, "reasons": dict(self.reasons)}
        with self._lock:
            try:
                self.write("end", told | ({"trace": list(trace)} if trace else {}))
            except RecordError as exc:
                self.problem = f"the loop's log lacks its end: {exc}"
            self.close()

    def close(self) -> None:
        """Close; safe to repeat."""
        with self._lock:
            if not self._over:
                try:
                    self._flush()
                finally:
                    self._over = True
                    self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _flush(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.pop("requests")
            self._writer.append("held", self._now() - self._zero_s, held, sync=False)


def schedule_of(path: Path) -> tuple[float, ...]:
    """Times of the trains and triggers of another loop, from its beginning on, for an open loop.

    Raises
    ------
    InputError
        It is no log of a loop, its chain is broken, or it asked for none.
    """
    lines, problem = read_record(path)
    if problem:
        raise InputError(f"{path}: {problem}")
    if not lines or lines[0].kind != "loop":
        raise InputError(f"{path}: is no log of a loop (…_loop.jsonl)")
    zero_s = float(lines[0].data["clock_zero_s"])
    times = []
    for line in lines:
        if line.kind != "decision":
            continue
        for request in line.data["requests"]:
            if request["kind"] in ("train", "trigger"):
                at_s = request["at_s"]
                times.append(line.t_s if at_s is None else at_s - zero_s)
    if not times:
        raise InputError(f"{path}: that loop asked for no train and no trigger")
    return tuple(sorted(times))
