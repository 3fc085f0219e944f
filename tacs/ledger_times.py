"""How long ago each session of a ledger was, for certain: both clocks of every line put together.

The rules, and what they cannot see, stand in :mod:`tacs.ledger`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from tacs.clock import Moment
from tacs.history import PastSession
from tacs.record import Line

__all__ = [
    "BRIEF_SESSION_S",
    "latest_entry",
    "least",
    "moment_of",
    "past_sessions",
    "since_doubt_s",
]

# A session that was stopped within its first minute may be started again the same day: its time and
# charge count in every limit, but it is not the session that the interval is counted from.
BRIEF_SESSION_S = 60.0
CLOCKS_AGREE_S = 60.0  # slewing a clock moves it by less between a session and its booking


def moment_of(line: Line) -> Moment:
    """When a line was written; older ledgers have nothing but its label."""
    if "moment" in line.data:
        return Moment.from_dict(line.data["moment"])
    return Moment(datetime.fromisoformat(line.utc))


def latest_entry(lines: Sequence[Line]) -> datetime | None:
    """The latest wall-clock time since somebody last confirmed the clock."""
    since = max((i for i, line in enumerate(lines) if line.kind == "clock"), default=0)
    return max((moment_of(line).utc for line in lines[since:]), default=None)


class _Timeline:
    """How long ago each line of a ledger was, for certain.

    Parameters
    ----------
    moments : sequence of Moment
        Of the lines, in order, and of the present.
    confirmed : collection of int
        Lines at which a person confirmed the wall clock: what came before is reckoned up to there.
    """

    def __init__(self, moments: Sequence[Moment], confirmed: Sequence[int]) -> None:
        self.moments = moments
        self.marks = [*confirmed, len(moments) - 1]
        steps = [max(later.since_s(earlier), 0.0) for earlier, later in pairwise(moments)]
        self.to_now = [0.0] * len(moments)
        for index in range(len(steps) - 1, -1, -1):
            self.to_now[index] = self.to_now[index + 1] + steps[index]

    def since_s(self, moment: Moment, index: int) -> float:
        """Return the time since a moment that lies before line ``index`` and after the last one."""
        mark = next(m for m in self.marks if m >= index)
        step_s = max(self.moments[index].since_s(moment), 0.0)
        along_s = step_s + self.to_now[index] - self.to_now[mark]
        direct_s = max(self.moments[mark].since_s(moment), 0.0)
        rest_s = 0.0
        if mark < len(self.moments) - 1:
            rest_s = self.since_s(self.moments[mark], mark + 1)
        # To the millisecond, as it is kept: sums of many steps must not fall a hair short.
        return round(min(along_s, direct_s) + rest_s, 3)


def _timeline_of(lines: Sequence[Line], now: Moment) -> _Timeline:
    moments = [*map(moment_of, lines), now]
    return _Timeline(moments, [i for i, line in enumerate(lines) if line.kind == "clock"])


def since_doubt_s(lines: Sequence[Line], now: Moment) -> float | None:
    """How long ago an entry that is lost, of whomever, may have been made; None where none is."""
    lost = [i for i, line in enumerate(lines) if line.kind == "renewed"]
    if not lost:
        return None
    timeline = _timeline_of(lines, now)
    return least([timeline.since_s(Moment.from_dict(lines[i].data["doubt"]), i) for i in lost])


def least(ages_s: Sequence[float]) -> float | None:
    """Return the least of some ages; NaN where one of them is no number, None where there are none.

    ``min`` would overlook a NaN that does not stand first.
    """
    return math.nan if any(map(math.isnan, ages_s)) else min(ages_s, default=None)


def past_sessions(lines: Sequence[Line], subject: str, now: Moment) -> list[PastSession]:
    """The sessions of one participant, each with how long ago it was."""
    timeline = _timeline_of(lines, now)
    started: dict[str, tuple[int, Mapping[str, Any]]] = {}
    booked: dict[str, tuple[int, Mapping[str, Any]]] = {}
    for index, line in enumerate(lines):
        key = str(line.data.get("key"))
        if line.kind in {"reserve", "adopt"} and line.data["subject"] == subject:
            started.setdefault(key, (index, line.data))
        if line.kind in {"book", "adopt"} and key in started:
            booked[key] = (index, line.data)
    return [_past_session(timeline, begin, booked.get(key)) for key, begin in started.items()]


def _past_session(
    timeline: _Timeline,
    begin: tuple[int, Mapping[str, Any]],
    end: tuple[int, Mapping[str, Any]] | None,
) -> PastSession:
    at, data = begin
    dose = data["reserved"] if end is None else end[1]["dose"]
    current_on_s = _amount(dose["current_on_s"])
    if end is not None and end[0] == at:  # adopted: only the other computer's wall clock is known
        started, ended = (datetime.fromisoformat(data[x]) for x in ("started", "ended"))
        since_start_s = timeline.since_s(Moment(started), at)
        since_end_s = min(timeline.since_s(Moment(ended), at), since_start_s)
    else:
        reserved = timeline.moments[at]
        started, latest = reserved.utc, datetime.fromisoformat(data["latest_end"])
        whole_s = (latest - started).total_seconds()
        since_start_s = timeline.since_s(reserved, at + 1)
        if end is None:
            ended, since_end_s = latest, max(since_start_s - whole_s, 0.0)
        else:
            ended = datetime.fromisoformat(end[1]["ended"])
            moment = _end_moment(reserved, timeline.moments[end[0]], ended, whole_s)
            since_end_s = min(timeline.since_s(moment, end[0]), since_start_s)
    return PastSession(
        session=str(data["session"]),
        dataset=str(data["dataset"]),
        started=started,
        ended=ended,
        since_start_s=since_start_s,
        since_end_s=since_end_s,
        current_on_s=current_on_s,
        rectified_charge_c={
            name: _amount(charge_c) for name, charge_c in dose["rectified_charge_c"].items()
        },
        outcome=None if end is None else str(end[1]["outcome"]),
        counts=not current_on_s <= BRIEF_SESSION_S,
    )


def _amount(value: float) -> float:
    """A dose as a number; NaN, which no limit allows, where it is none or would lower a sum."""
    with contextlib.suppress(TypeError, OverflowError):
        if math.isfinite(value) and value >= 0.0:
            return float(value)
    return math.nan


def _end_moment(reserved: Moment, booked: Moment, ended: datetime, whole_s: float) -> Moment:
    """When a session ended, on both clocks; in doubt the later one.

    It may have been booked long after, by ``tacs recover``: then by the wall clock between the two.
    Where that was set in between, not before the time that was reserved had run out.
    """
    if reserved.boot is None or booked.boot is None or reserved.boot[0] != booked.boot[0]:
        return Moment(ended)
    (boot_id, reserved_s), booked_s = reserved.boot, booked.boot[1]
    by_wall_s = booked_s - max((booked.utc - ended).total_seconds(), 0.0)
    set_s = (booked.utc - reserved.utc).total_seconds() - (booked_s - reserved_s)
    least_s = reserved_s if abs(set_s) <= CLOCKS_AGREE_S else min(reserved_s + whole_s, booked_s)
    return Moment(ended, (boot_id, max(by_wall_s, least_s)))
