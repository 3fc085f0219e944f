"""What a run of a profile is made of: the plan it follows, the time of its recording, its rows."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

from tacs.eeg import EEGBlock
from tacs.errors import InputError

__all__ = ["Planned", "Ran", "RunPlan", "Timeline", "table_text"]

_KINDS: Final = frozenset({"drive", "sham", "anchor", "jitter"})

Mode = Literal["photic", "electrical", "virtual"]
Kind = Literal["drive", "sham", "jitter", "rest"]


@dataclass(frozen=True, slots=True)
class Planned:
    """A block that the plan asks for.

    Parameters
    ----------
    frequency_hz, level : float
        Of the drive; of the virtual reference in sham.
    kind : {"drive", "sham", "jitter", "rest"}
        Whether the drive is on; jitter is an irregular drive, rest comes before the sweep.
    anchor : bool
        A repeat at the person's own frequency.
    jitter_sd, jitter_seed : float, int
        Of a jittered block's periods.
    eyes : str
        In rest, open or closed.
    rest_s : float
        Length of rest.
    """

    frequency_hz: float
    level: float
    kind: Kind
    anchor: bool = False
    jitter_sd: float = 0.0
    jitter_seed: int = 0
    eyes: str = ""
    rest_s: float = 0.0

    @property
    def words(self) -> str:
        """As a person is told."""
        if self.kind == "rest":
            return f"rest, eyes {self.eyes}"
        if self.kind == "sham":
            return "sham"
        regular = "" if self.kind == "drive" else " jittered"
        return f"{self.frequency_hz:g} Hz{regular}, level {self.level:g}" + (
            " (anchor)" if self.anchor else ""
        )

    @property
    def ask(self) -> str:
        """What whoever drives is to do."""
        if self.kind == "rest":
            return f"eyes {self.eyes}"
        if self.kind == "sham":
            return "leave the drive off"
        return "begin the drive" if self.kind == "drive" else "begin the jittered drive"

    def unfit(self, text: str) -> str:
        """Why a mark of this text does not begin it; empty where it does."""
        number: float | None
        try:
            number = float(text.removesuffix("hz"))
        except ValueError:
            number = None
        driven = self.kind in {"drive", "jitter"}
        wanted = self.frequency_hz if driven else 0.0
        other = {
            "drive": {"sham", "rest", "jitter"},
            "jitter": {"sham", "rest"},
            "sham": {"jitter"},
            "rest": {"sham", "jitter", *({"open", "closed"} - {self.eyes})},
        }[self.kind]
        said = text.removeprefix("eyes ").strip()
        if (number is not None and abs(number - wanted) > 1e-3) or said in other:
            return f"the plan has {self.words} now"
        return ""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A plan that can be run.

    Parameters
    ----------
    mode : {"photic", "electrical", "virtual"}
        What drives.
    blocks : tuple of Planned
        In order, rest before the sweep first.
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

    def length_s(self, block: Planned) -> float:
        """Length of one of its blocks."""
        return block.rest_s if block.kind == "rest" else self.seconds

    def onsets_s(self, block: Planned) -> tuple[float, ...]:
        """Onsets of the periods of a jittered block; none of any other."""
        from analysis.profile_jitter import jitter_onsets_s

        if block.kind != "jitter":
            return ()
        return jitter_onsets_s(block.frequency_hz, self.seconds, block.jitter_sd, block.jitter_seed)

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
            kinds = list(data.get("order_kind") or ["sham" if not hz else "drive" for hz in order])
            seeds = [int(v) for v in data.get("order_jitter_seed") or [0] * len(order)]
            jitter_sd = float(data.get("jitter_sd", 0.0))
            rest = [
                Planned(peak_hz, 0.0, "rest", eyes=str(row["eyes"]), rest_s=float(row["seconds"]))
                for row in data.get("rest", ())
            ]
            numbers = (*numbers, jitter_sd, *(row.rest_s for row in rest))
            if not all(math.isfinite(v) and v >= 0.0 for v in numbers) or seconds <= 0.0:
                raise ValueError("a number out of range")
            if not len(kinds) == len(seeds) == len(order) or not set(kinds) <= _KINDS:
                raise ValueError("kinds of the blocks")
            if any((kind == "sham") != (hz == 0.0) for kind, hz in zip(kinds, order, strict=True)):
                raise ValueError("sham has 0 Hz, and nothing else has")
            if "jitter" in kinds and not jitter_sd:
                raise ValueError("jittered blocks without jitter_sd")
            if any(row.eyes not in {"open", "closed"} or not row.rest_s for row in rest):
                raise ValueError("rest")
        except (KeyError, TypeError, ValueError) as exc:
            raise InputError(
                f"{path}: is no plan of a profile ({exc}); make one with tacs profile plan --out"
            ) from exc
        blocks = [
            Planned(
                hz or peak_hz,
                level,
                "drive" if kind == "anchor" else kind,
                anchor=kind == "anchor",
                jitter_sd=jitter_sd if kind == "jitter" else 0.0,
                jitter_seed=seed if kind == "jitter" else 0,
            )
            for hz, level, kind, seed in zip(order, levels, kinds, seeds, strict=True)
        ]
        return cls(mode, (*rest, *blocks), seconds, gap_s, data)


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
    kept = [row for row in rows if not row.problem]
    lines: list[tuple[str, ...]] = [("frequency_hz", "level", "kind", "start_s", "stop_s", "order")]
    lines += [
        (f"{one.frequency_hz:.9g}", f"{one.level:.9g}", one.kind, f"{row.start_s:.6f}",
         f"{row.stop_s:.6f}", f"{row.order}")
        for row in kept for one in (row.planned,)
    ]  # fmt: skip
    more: tuple[tuple[str, Kind], ...] = (
        ("jitter_sd", "jitter"), ("jitter_seed", "jitter"), ("eyes", "rest"),
    )  # fmt: skip
    for name, kind in more:
        if any(row.planned.kind == kind for row in kept):
            values = [
                str(getattr(row.planned, name)) if row.planned.kind == kind else "" for row in kept
            ]
            lines = [(*line, cell) for line, cell in zip(lines, (name, *values), strict=True)]
    return "\n".join("\t".join(line) for line in lines) + "\n"


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
