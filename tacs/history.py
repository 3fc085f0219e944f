"""What a participant has had: the sessions that the site's ledger knows, and their sums."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

__all__ = ["DAY_S", "DoseHistory", "PastSession"]

DAY_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PastSession:
    """One session that a participant has had, as the site's ledger knows it.

    Parameters
    ----------
    session, dataset : str
        Its label, and where its record is.
    started, ended : datetime
        By the wall clock of that day.
    since_start_s, since_end_s : float
        Time that has passed for certain; never more than the true time within one start of the
        computer.
    current_on_s : float
        Time with current.
    rectified_charge_c : mapping of str to float
        By electrode.
    outcome : str or None
        None while it is open.
    counts : bool
        Whether it was more than a brief one.
    """

    session: str
    dataset: str
    started: datetime
    ended: datetime
    since_start_s: float
    since_end_s: float
    current_on_s: float
    rectified_charge_c: Mapping[str, float]
    outcome: str | None
    counts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseHistory:
    """What a participant has had, from the site's ledger.

    Parameters
    ----------
    last_session_end : datetime or None
        End of the last session that counts.
    since_last_session_s : float or None
        Time that has passed since, for certain; None takes the wall clock's word for it.
    current_on_24h_min : float
        Time with current in the last 24 h.
    rectified_charge_24h_c : mapping of str to float
        By electrode, in the last 24 h.
    sessions_90d : int
        Sessions within 90 days.
    open_sessions : tuple of str
        Sessions that a crash left open; each is counted as if delivered whole.
    sessions : tuple of PastSession
        Every one, in the ledger's order.
    latest_entry : datetime or None
        Latest wall-clock time in the ledger, of whichever participant.
    conflicts : tuple of str
        What other copies of the ledger hold of this participant and this one does not.
    unknown_sessions : tuple of str
        Sessions of this participant in the data set that the ledger does not know.
    since_doubt_s : float or None
        Time that has passed, for certain, since an entry that is lost may have been made, of
        whichever participant; None where nothing is lost.
    """

    last_session_end: datetime | None = None
    since_last_session_s: float | None = None
    current_on_24h_min: float = 0.0
    rectified_charge_24h_c: Mapping[str, float] | None = None
    sessions_90d: int = 0
    open_sessions: tuple[str, ...] = ()
    sessions: tuple[PastSession, ...] = ()
    latest_entry: datetime | None = None
    conflicts: tuple[str, ...] = ()
    unknown_sessions: tuple[str, ...] = ()
    since_doubt_s: float | None = None

    @property
    def sessions_24h(self) -> int:
        """Sessions that began in the last 24 h, or nobody knows when, brief ones left out."""
        return sum(1 for s in self.sessions if s.counts and not s.since_start_s >= DAY_S)

    def gap_s(self, now: datetime) -> float:
        """Return the seconds since the last session; infinity where there was none."""
        if self.since_last_session_s is not None:
            return self.since_last_session_s
        if self.last_session_end is None:
            return math.inf
        return (now - self.last_session_end).total_seconds()
