"""What a run of a profile is made of: the plan it follows, the time of its recording, its rows."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

from tacs.eeg import EEGBlock
from tacs.errors import InputError

__all__ = ["Planned", "Ran", "RunPlan", "Timeline", "table_text"]

Mode = Literal["photic", "electrical", "virtual"]
Kind = Literal["drive", "sham"]


@dataclass(frozen=True, slots=True)
class Planned:
    """A block that the plan asks for.

    Parameters
    ----------
    frequency_hz, level : float
        Of the drive; of the virtual reference in sham.
    kind : {"drive", "sham"}
        Whether the drive is on.
    """

    frequency_hz: float
    level: float
    kind: Kind

    @property
    def words(self) -> str:
        """As a person is told."""
        return "sham" if self.kind == "sham" else f"{self.frequency_hz:g} Hz, level {self.level:g}"


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A plan that can be run.

    Parameters
    ----------
    mode : {"photic", "electrical", "virtual"}
        What drives.
    blocks : tuple of Planned
        In order.
    seconds, gap_s : float
        Of a block, and without drive before the next.
    data : dict
        The plan as it was written, seed of the order included.
    """

    mode: Mode
    blocks: tuple[Planned, ...]
    seconds: float
    gap_s: float
    data: dict[str, Any]

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what ``tacs profile plan --out`` wrote.

        Raises
        ------
        InputError
            It is no such file.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as exc:
            raise InputError(f"{path}: cannot be read as a plan ({exc})") from exc
        try:
            mode, peak_hz = data["mode"], float(data["peak_hz"])
            order = [float(v) for v in data["order_hz"]]
            levels = [float(v) for v in data["order_level"]]
            seconds, gap_s = float(data["seconds_per_block"]), float(data["gap_s"])
            numbers = (peak_hz, *order, *levels, seconds, gap_s)
            if mode not in get_args(Mode) or len(order) != len(levels) or not order:
                raise ValueError("mode or order")
            if not all(math.isfinite(v) and v >= 0.0 for v in numbers) or seconds <= 0.0:
                raise ValueError("a number out of range")
        except (KeyError, TypeError, ValueError) as exc:
            raise InputError(
                f"{path}: is no plan of a profile ({exc}); make one with tacs profile plan --out"
            ) from exc
        blocks = tuple(
            Planned(hz, level, "drive") if hz else Planned(peak_hz, level, "sham")
            for hz, level in zip(order, levels, strict=True)
        )
        return cls(mode, blocks, seconds, gap_s, data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A block that was run.

    Parameters
    ----------
    planned : Planned
        What the plan asked for.
    order : int
        Position in the session, from 1.
    start_s, stop_s : float
        From the recording's first sample.
    gap_s : float
        Without drive before it.
    missing : int
        Samples lost in it.
    bad : tuple of str
        Channels that were not good at its end, with why.
    problem : str
        Why it cannot be used; empty where it can.
    """

    planned: Planned
    order: int
    start_s: float
    stop_s: float
    gap_s: float
    missing: int
    bad: tuple[str, ...]
    problem: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        said = asdict(self)
        return {**said.pop("planned"), **said, "bad": list(self.bad), "usable": not self.problem}


def table_text(rows: Sequence[Ran]) -> str:
    """Return the table that ``tacs profile analyze`` reads; unusable blocks are left out."""
    lines = ["frequency_hz\tlevel\tkind\tstart_s\tstop_s\torder"]
    lines += [
        f"{row.planned.frequency_hz:.9g}\t{row.planned.level:.9g}\t{row.planned.kind}\t"
        f"{row.start_s:.6f}\t{row.stop_s:.6f}\t{row.order}"
        for row in rows
        if not row.problem
    ]
    return "\n".join(lines) + "\n"


class Timeline:
    """Turns the session's clock into seconds of the recording, which counts what is missing.

    Parameters
    ----------
    sfreq_hz : float
        Nominal rate, which the recording's time is told by.
    """

    def __init__(self, sfreq_hz: float) -> None:
        self._sfreq_hz = sfreq_hz
        self._runs: list[tuple[int, int, float, float]] = []
        self._losses: list[tuple[float, int]] = []
        self._jumps: list[float] = []
        self._n = 0

    @property
    def seconds(self) -> float:
        """Length of the recording so far."""
        return self._n / self._sfreq_hz

    def add(self, block: EEGBlock) -> None:
        """Take the next samples."""
        if not len(block):
            return
        if self._n and block.missing:
            self._losses.append((self.seconds, block.missing))
            self._n += block.missing
        if self._n and block.restarted:
            self._jumps.append(self.seconds)
        n = len(block)
        self._runs.append((self._n, n, float(block.times_s[0]), float(block.times_s[-1])))
        self._n += n

    def at(self, time_s: float) -> float | None:
        """Return the second of the recording at a time; None where it is not recorded yet."""
        if not self._runs or time_s > self._runs[-1][3]:
            return None
        first, n, begin_s, end_s = next(
            (run for run in reversed(self._runs) if run[2] <= time_s), self._runs[0]
        )
        step_s = (end_s - begin_s) / (n - 1) if n > 1 else 1.0 / self._sfreq_hz
        return (first + (time_s - begin_s) / step_s) / self._sfreq_hz

    def missing(self, start_s: float, stop_s: float) -> int:
        """Return the samples lost in a stretch of the recording."""
        total = 0
        for at_s, n in self._losses:
            shared_s = min(stop_s, at_s + n / self._sfreq_hz) - max(start_s, at_s)
            total += max(0, round(shared_s * self._sfreq_hz))
        return total

    def jumped(self, start_s: float, stop_s: float) -> bool:
        """Return whether the source's time jumped in a stretch, so that losses are unknown."""
        return any(start_s < at_s < stop_s for at_s in self._jumps)
