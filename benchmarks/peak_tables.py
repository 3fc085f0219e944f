"""What a run of `benchmarks.peak` amounts to: shares, errors, intervals, and each goal.

A recording with one rhythm counts as answered only if one frequency is given; "split" and "no peak"
both count as withheld. Without a rhythm, any frequency counts as a false answer, "split" too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from benchmarks.made import Case, floor_hz

GROSS_HZ = 1.0
FLOOR_FROM_HZ = 0.02
PAIR_HZ = 0.3


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was said of one made recording.

    Parameters
    ----------
    case : Case
        What it was made from.
    status : str
        Our status.
    frequencies_hz : tuple of float
        None, one, or two of a split rhythm.
    ci95_hz : (float, float) or None
        Our interval.
    provisional : bool
        Whether our answer is marked so.
    cpu_s : float
        CPU time of ours.
    peers : dict of str to (float or None, float, bool)
        Frequency, CPU time, and whether the peer broke down, by name.
    """

    case: Case
    status: str
    frequencies_hz: tuple[float, ...]
    ci95_hz: tuple[float, float] | None
    provisional: bool
    cpu_s: float
    peers: dict[str, tuple[float | None, float, bool]] = field(default_factory=dict)

    @property
    def split(self) -> bool:
        """Whether two rhythms are reported."""
        return len(self.frequencies_hz) > 1

    @property
    def answered(self) -> bool:
        """Whether one frequency is reported."""
        return len(self.frequencies_hz) == 1

    @property
    def error_hz(self) -> float:
        """Distance of the one frequency from the truth; NaN without either."""
        truth = self.case.truth_hz
        return abs(self.frequencies_hz[0] - truth) if self.answered and truth else float("nan")

    @property
    def covered(self) -> bool:
        """Whether the interval holds the truth."""
        truth, between = self.case.truth_hz, self.ci95_hz
        return truth is not None and between is not None and between[0] <= truth <= between[1]

    @property
    def pair_found(self) -> bool:
        """Whether both rhythms of a split one are within 0.3 Hz."""
        if not self.split or self.case.peak_hz is None or self.case.second is None:
            return False
        truth = sorted((self.case.peak_hz, self.case.peak_hz + self.case.second[0]))
        pairs = zip(sorted(self.frequencies_hz), truth, strict=True)
        return all(abs(a - b) <= PAIR_HZ for a, b in pairs)


@dataclass(frozen=True, slots=True)
class Share:
    """Some of so many, with the exact (Clopper-Pearson) 95 % range of the percentage."""

    count: int
    of: int

    @classmethod
    def among(cls, said: Iterable[bool]) -> Share:
        """Count what is true."""
        values = [bool(item) for item in said]
        return cls(sum(values), len(values))

    @property
    def percent(self) -> float:
        """Percentage; NaN of nothing."""
        return 100.0 * self.count / self.of if self.of else float("nan")

    @property
    def range_percent(self) -> tuple[float, float]:
        """95 % range."""
        from scipy.stats import binomtest

        if not self.of:
            return float("nan"), float("nan")
        ends = binomtest(self.count, self.of).proportion_ci(method="exact")
        return 100.0 * float(ends.low), 100.0 * float(ends.high)

    def text(self) -> str:
        """Percentage with its range."""
        low, high = self.range_percent
        return f"{self.percent:.1f} % [{low:.1f}, {high:.1f}]" if self.of else "none"

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return {"count": self.count, "of": self.of, "range_percent": list(self.range_percent)}


@dataclass(frozen=True, slots=True)
class Check:
    """One goal and what was measured."""

    name: str
    goal: str
    measured: str
    met: bool
    chance: bool = False

    def text(self) -> str:
        """Name, figure and goal."""
        doubt = ", within chance" if self.chance and not self.met else ""
        return f"{self.name} {self.measured} (goal {self.goal}{doubt})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name, "goal": self.goal, "measured": self.measured, "met": self.met,
            "chance": self.chance,
        }  # fmt: skip


def at_most(name: str, value: float, limit: float, unit: str, least: float) -> Check:
    """A figure that must not exceed its goal; `least` is the low end of its own 95 % range."""
    met = bool(value <= limit)
    return Check(name, f"<= {limit:g} {unit}", f"{value:.3f} {unit}", met, least <= limit)


def share_at_most(name: str, share: Share, limit: float) -> list[Check]:
    """A percentage that must not exceed its goal; no check of nothing."""
    met, chance = share.percent <= limit, share.range_percent[0] <= limit
    return [Check(name, f"<= {limit:g} %", share.text(), met, chance)] if share.of else []


def share_at_least(name: str, share: Share, limit: float) -> list[Check]:
    """A percentage that must reach its goal; no check of nothing."""
    met, chance = share.percent >= limit, share.range_percent[1] >= limit
    return [Check(name, f">= {limit:g} %", share.text(), met, chance)] if share.of else []


def verdict(checks: Sequence[Check]) -> str:
    """`met`, or what is short."""
    short = [check.text() for check in checks if not check.met]
    return "short: " + "; ".join(short) if short else "met"


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Errors and intervals over recordings that each have one rhythm."""

    answered: Share
    split: Share
    gross: Share
    coverage: Share
    provisional: Share
    median_hz: float
    median_least_hz: float
    p95_hz: float
    floor_hz: float
    over_floor: float
    over_floor_least: float
    over_floor_steady: float
    half_width_hz: float

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Accuracy:
        """Sum up; the floor is the median over recordings, and so are the ratios to it."""
        said = [item for item in outcomes if item.answered]
        errors = np.array([item.error_hz for item in said])
        floors = np.array([floor_hz(item.case) for item in said])
        steady = np.array([not item.case.burst for item in said], dtype=bool)
        halves = [0.5 * (item.ci95_hz[1] - item.ci95_hz[0]) for item in said if item.ci95_hz]
        return cls(
            answered=Share(len(said), len(outcomes)),
            split=Share.among(item.split for item in outcomes),
            gross=Share.among(errors > GROSS_HZ),
            coverage=Share.among(item.covered for item in said),
            provisional=Share.among(item.provisional for item in said),
            median_hz=median(errors),
            median_least_hz=median_least(errors),
            p95_hz=float(np.quantile(errors, 0.95)) if errors.size else float("nan"),
            floor_hz=median(floors),
            over_floor=median(errors / floors),
            over_floor_least=median_least(errors / floors),
            over_floor_steady=median((errors / floors)[steady]),
            half_width_hz=median(halves),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        shares = {name: getattr(self, name).to_dict() for name in _SHARES}
        return shares | {name: getattr(self, name) for name in _FIGURES}

    def text(self) -> str:
        """One row under `ACCURACY_HEAD`."""
        return (
            f"{self.answered.percent:>6.1f} %{self.split.percent:>6.1f} %{self.median_hz:>9.3f}"
            f"{self.p95_hz:>8.3f}{self.floor_hz:>8.3f}{self.over_floor:>7.2f}"
            f"{self.over_floor_steady:>8.2f}{self.gross.percent:>7.1f} %"
            f"{self.half_width_hz:>9.3f}  {self.coverage.text():<22}"
        )


ACCURACY_HEAD = (
    f"{'answers':>8}{'split':>8}{'median':>9}{'p95':>8}{'floor':>8}{'ratio':>7}{'steady':>8}"
    f"{'>1 Hz':>9}{'+-':>9}  {'coverage':<22}"
)
_SHARES = ("answered", "split", "gross", "coverage", "provisional")
_FIGURES = (
    "median_hz", "median_least_hz", "p95_hz", "floor_hz", "over_floor", "over_floor_least",
    "over_floor_steady", "half_width_hz",
)  # fmt: skip


def median(values: Any) -> float:
    """Median, NaN of nothing."""
    return float(np.median(values)) if len(values) else float("nan")


def median_least(values: Any) -> float:
    """Low end of the median's 95 % range, by order statistics; 0 of too few to have one."""
    from scipy.stats import binom

    rank = int(binom.ppf(0.025, len(values), 0.5)) - 1 if len(values) else -1
    return float(np.sort(values)[rank]) if rank >= 0 else 0.0


def accuracy_checks(cell: Accuracy, *, easy: bool) -> list[Check]:
    """Goals of one cell; `easy` is high or medium SNR and 120 s or longer."""
    withheld = Share(cell.answered.of - cell.answered.count, cell.answered.of)
    checks = share_at_most("withheld", withheld, 2.0) if easy else []
    if not cell.answered.count:
        return checks
    limit = 0.04 if easy else 0.07
    hard = f", floor {cell.floor_hz:.3f} Hz" if cell.floor_hz > limit else ""
    error = at_most("median error", cell.median_hz, limit, "Hz", cell.median_least_hz)
    checks += [replace(error, goal=error.goal + hard), *share_at_most("> 1 Hz", cell.gross, 1.0)]
    if easy:
        checks.append(at_most("95th percentile", cell.p95_hz, 0.2, "Hz", cell.p95_hz))
    if cell.floor_hz > FLOOR_FROM_HZ:
        ratio = cell.over_floor, 1.6, "x", cell.over_floor_least
        checks.append(at_most("error over floor", *ratio))
    return checks


def coverage_checks(cells: dict[str, Accuracy], whole: Accuracy) -> list[Check]:
    """93 to 97 % overall, 90 % in every cell; provisional where less than half is answered."""
    share = whole.coverage
    low, high = share.range_percent
    met, chance = 93.0 <= share.percent <= 97.0, low <= 97.0 and high >= 93.0
    checks = [Check("coverage", "93 to 97 %", share.text(), met, chance)]
    for name, cell in cells.items():
        checks += share_at_least(f"coverage, {name}:", cell.coverage, 90.0)
        if cell.answered.percent < 50.0:
            text = f"provisional, {name} (answered {cell.answered.percent:.0f} %):"
            checks += share_at_least(text, cell.provisional, 100.0)
    return checks


def grouped(outcomes: Iterable[Outcome], key: Callable[[Case], str]) -> dict[str, list[Outcome]]:
    """Outcomes by cell, in order of appearance."""
    cells: dict[str, list[Outcome]] = {}
    for item in outcomes:
        cells.setdefault(key(item.case), []).append(item)
    return cells


def false_answers(outcomes: Sequence[Outcome]) -> Share:
    """Recordings without a rhythm that got a frequency."""
    return Share.among(bool(item.frequencies_hz) for item in outcomes)


@dataclass(frozen=True, slots=True)
class Compared:
    """One method on recordings with and without a rhythm."""

    name: str
    median_hz: float
    ours_there_hz: float
    p95_hz: float
    gross: Share
    none: Share
    false: Share
    cpu_ratio: float
    failed: int

    def text(self) -> str:
        """One row under `COMPARED_HEAD`."""
        return (
            f"{self.name:<28}{self.median_hz:>9.3f}{self.ours_there_hz:>12.3f}{self.p95_hz:>8.3f}"
            f"{self.gross.percent:>8.1f} %{self.none.percent:>10.1f} %{self.false.percent:>8.1f} %"
            f"{self.cpu_ratio:>9.2f}x{self.failed:>8}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        shares = {name: getattr(self, name).to_dict() for name in ("gross", "none", "false")}
        names = ("name", "median_hz", "ours_there_hz", "p95_hz", "cpu_ratio", "failed")
        return shares | {name: getattr(self, name) for name in names}


COMPARED_HEAD = (
    f"{'':<28}{'median':>9}{'ours there':>12}{'p95':>8}{'>1 Hz':>10}{'no answer':>12}"
    f"{'false':>10}{'CPU':>10}{'failed':>8}"
)


def compare(outcomes: Sequence[Outcome]) -> list[Compared]:
    """Ours and every peer that was asked; the CPU ratio is theirs over ours, same recordings."""
    own = [
        (o, o.frequencies_hz[0] if o.answered else None, o.cpu_s, bool(o.frequencies_hz), False)
        for o in outcomes
    ]
    methods = {"ours": own}
    for name in outcomes[0].peers if outcomes else ():
        said = [(o, *o.peers[name]) for o in outcomes]
        methods[name] = [(o, f, cpu, f is not None, broke) for o, f, cpu, broke in said]
    total_s = sum(row[2] for row in own)
    table = []
    for name, rows in methods.items():
        errors, ours = [], []
        for item, frequency, *_ in rows:
            truth = item.case.truth_hz
            if truth is not None and frequency is not None:
                errors.append(abs(frequency - truth))
                if item.answered:
                    ours.append(item.error_hz)
        table.append(
            Compared(
                name=name,
                median_hz=median(errors),
                ours_there_hz=median(ours),
                p95_hz=float(np.quantile(errors, 0.95)) if errors else float("nan"),
                gross=Share.among(error > GROSS_HZ for error in errors),
                none=Share.among(row[1] is None for row in rows if row[0].case.peak_hz is not None),
                false=Share.among(row[3] for row in rows if row[0].case.peak_hz is None),
                cpu_ratio=sum(row[2] for row in rows) / total_s,
                failed=sum(row[4] for row in rows),
            )
        )
    return table
