"""Visits of a response profile with current: one frequency or sham in each, in a balanced order.

One current a day: order, arousal and what the visit before left are told from the frequency only
where persons go through the conditions in different orders. A Williams square (1949, *Aust. J. Sci.
Res.* A 2:149) has every condition equally often at every place, and behind every other one; the
seed, such as the participant's running number, chooses the row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from analysis.errors import AnalysisError

__all__ = [
    "EDGE_S",
    "HOURS_BETWEEN",
    "RECORDINGS",
    "REST_S",
    "Recorded",
    "Visit",
    "edge_share",
    "latin_row",
    "visits_of",
]

HOURS_BETWEEN = 48.0
EDGE_S = 0.5  # of a train, in which the drive has faded already when it ends
TICK_S = 0.02  # of the stimulator's host, which every gap is a whole number of
LONGER_TICKS = 10  # a gap may be so much longer, for trains to end at all phases
SPREAD = 0.1  # resultant of the phases at which the trains end, at most
REST_S = 180.0  # with closed eyes, before the trains, in the same recording


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording at rest that belongs to a visit.

    Parameters
    ----------
    when : {"pre", "post"}
        Before or after the trains.
    after_min : float
        Since the end of the trains; 0 before.
    task : str
        Label, a different one for each.
    minutes : float
        Length.
    """

    when: Literal["pre", "post"]
    after_min: float
    task: str
    minutes: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


RECORDINGS = (
    Recorded("pre", 0.0, "rest-open", 2.0),
    Recorded("pre", 0.0, "rest-closed", 3.0),
    *(
        Recorded("post", after, f"rest-{eyes}-{after:g}min", minutes)
        for after in (0.0, 10.0, 30.0)
        for eyes, minutes in (("open", 2.0), ("closed", 3.0))
    ),
)


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit.

    Parameters
    ----------
    visit : int
        From 1.
    kind : {"drive", "sham"}
        Whether trains are given.
    frequency_hz : float
        Of the trains; of the virtual reference in sham.
    level : float
        Of the drive.
    trains : int
        How many.
    on_s, off_s : float
        One train, and the gap after it: as planned, or a little longer, so that the trains end at
        all phases of the drive.
    """

    visit: int
    kind: Literal["drive", "sham"]
    frequency_hz: float
    level: float
    trains: int
    on_s: float
    off_s: float

    @property
    def words(self) -> str:
        """As a person is told."""
        return "sham" if self.kind == "sham" else f"{self.frequency_hz:g} Hz"

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        minutes = self.trains * (self.on_s + self.off_s) / 60.0
        return {**asdict(self), "trains_minutes": round(minutes, 2)}


def visits_of(
    order_hz: Sequence[float],
    order_level: Sequence[float],
    peak_hz: float,
    trains: int,
    on_s: float,
    off_s: float,
) -> tuple[Visit, ...]:
    """Return the visits of a plan of mode electrical; a frequency of 0 is sham.

    Raises
    ------
    AnalysisError
        There is none, or a number of trains that is none.
    """
    if not order_hz or len(order_hz) != len(order_level) or trains < 1:
        raise AnalysisError(f"{len(order_hz)} visits of {trains} trains: a visit has some of both")
    return tuple(
        Visit(
            i, "drive" if hz else "sham", hz or peak_hz, level, trains, on_s,
            _gap_s(hz or peak_hz, trains, on_s, off_s),
        )
        for i, (hz, level) in enumerate(zip(order_hz, order_level, strict=True), start=1)
    )  # fmt: skip


def _gap_s(frequency_hz: float, trains: int, on_s: float, off_s: float) -> float:
    """Return the least gap from the planned one on with which the trains end at all phases.

    Where a period is a whole number of cycles, every train ends at the same phase, and whatever
    its end evokes (a sensation, the amplifier) would read as an echo.
    """
    longer = [round(off_s + k * TICK_S, 6) for k in range(LONGER_TICKS + 1)]
    spread = [_resultant(frequency_hz * (on_s + gap_s), trains) for gap_s in longer]
    wide = [gap_s for gap_s, r in zip(longer, spread, strict=True) if r <= SPREAD]
    return wide[0] if wide else longer[spread.index(min(spread))]


def _resultant(turns: float, n: int) -> float:
    """Resultant of n phases that go on by so many turns each."""
    half = math.pi * turns
    below = n * abs(math.sin(half))
    return 1.0 if below < 1e-9 else abs(math.sin(n * half)) / below


def edge_share(edge_s: float, memory_s: float) -> float:
    """Return what the fall of a train leaves of a weak drive's locking.

    Parameters
    ----------
    edge_s : float
        Linear fall of the current, at the end of which the echo begins.
    memory_s : float
        Phase memory of the rhythm: a weak drive acts with ``exp(-t/memory)`` from `t` ago.
    """
    return memory_s / edge_s * (1.0 - math.exp(-edge_s / memory_s))


def latin_row(n: int, row: int) -> tuple[int, ...]:
    """Return a row of a Williams square.

    Parameters
    ----------
    n : int
        Conditions.
    row : int
        0 or more; after `n` rows (2 `n` where `n` is odd) they come again.

    Returns
    -------
    tuple of int
        The conditions 0 to n - 1 in their order.
    """
    zigzag = [(i + 1) // 2 if i % 2 else (n - i // 2) % n for i in range(n)]
    row %= n if n % 2 == 0 else 2 * n
    made = tuple((one + row) % n for one in zigzag)
    return made if row < n else made[::-1]
