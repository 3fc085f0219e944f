"""What an operator may watch of a session: one snapshot per tick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tacs.played import Played
from tacs.session import State

__all__ = ["Telemetry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """One snapshot.

    Parameters
    ----------
    state : State
        Of the session.
    elapsed_s, duration_s : float
        Time since the start, and in all.
    level : float
        Commanded fraction of the full current.
    measured_ma : mapping or None
        Peak per channel where the device measures current, per electrode where a monitor does,
        else None.
    impedance_kohm : mapping or None
        Per electrode where the device measures it, else None.
    cause : str
        Why it stopped, once it did.
    ceiling : float
        Highest level of this session; 0 while a titration has not found it.
    warnings : tuple of str
        What the monitor warned of.
    by_person : bool
        Whether somebody gave the cause, in own words.
    measures : bool
        Whether device or monitor measure current at all.
    measured_at_s : float or None
        Session time of ``measured_ma``: some devices measure once in a session.
    word, instruction : str
        Of a device that a person works: the word that is wanted of that person (``started``,
        ``silent``, or none), and what to do.
    played : Played or None
        The sine, and what became of requests; None before it began.
    trains, refused : int
        Trains that were begun; requests that were refused.
    refusal : str
        Why the last request was; empty where it was granted.
    frequency_hz : float or None
        Commanded last; None before the start.
    """

    state: State
    elapsed_s: float
    duration_s: float
    level: float
    measured_ma: Mapping[int, float] | Mapping[str, float] | None
    impedance_kohm: Mapping[str, float] | None
    cause: str
    ceiling: float = 1.0
    measures: bool = False
    measured_at_s: float | None = None
    warnings: tuple[str, ...] = ()
    by_person: bool = False
    word: str = ""
    instruction: str = ""
    played: Played | None = None
    trains: int = 0
    refused: int = 0
    refusal: str = ""
    frequency_hz: float | None = None
