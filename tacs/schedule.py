"""Schedules: how many sessions, on which days, how far apart, and when to stop and ask.

A schedule is a data file without a person, like a recipe; those that ship are in ``tacs/courses``.
One that is reference-only can be read and compared, and nobody can be enrolled on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from tacs.errors import InputError
from tacs.files import StrictModel
from tacs.limits import LIMITS
from tacs.recipe import Reference

__all__ = [
    "SEVERITIES",
    "WEEKDAYS",
    "Phase",
    "RatingRule",
    "Schedule",
    "Slot",
    "StopRules",
    "load_schedule",
    "schedules",
]

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Severity = Literal["mild", "moderate", "severe"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
SEVERITIES: tuple[Severity, ...] = ("mild", "moderate", "severe")


class Phase(StrictModel):
    """A stretch of a course with one rhythm of sessions."""

    name: str = Field(min_length=1)
    sessions: int = Field(ge=1, le=1000, description="in the whole phase")
    per_day: int = Field(default=1, ge=1, le=24)
    weekdays: tuple[Weekday, ...] = Field(default=WEEKDAYS, min_length=1)
    min_gap_h: float = Field(gt=0.0, description="from the end of a session to the next, hours")


class RatingRule(StrictModel):
    """A clinical scale whose rise since the first rating stops the course."""

    instrument: str = Field(pattern=r"^[A-Za-z0-9+-]{1,32}$")
    rise: float = Field(gt=0.0, description="points above the first rating")


class StopRules(StrictModel):
    """What blocks a course until an investigator has decided; an absent rule is not looked at."""

    missed_in_a_row: int | None = Field(default=None, ge=1)
    adverse_event: Severity | None = Field(default=None, description="the severity that blocks")
    discomfort_nrs: float | None = Field(
        default=None, gt=0.0, le=10.0, description="a rating, 0 to 10, that blocks"
    )
    rating: RatingRule | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """One place in a schedule: the session's number, its phase and its day."""

    number: int
    phase: Phase
    day: date


class Schedule(StrictModel):
    """A course without a person."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    title: str = Field(min_length=1)
    stimulation: Literal["tACS", "tDCS", "TMS"] = Field(description="what it was published with")
    evidence: str = Field(min_length=1, description="what is known about it, and what is not")
    references: tuple[Reference, ...] = ()
    reference_only: bool = Field(description="true for an entry that must never be run")
    why_reference_only: str | None = None
    accelerated: bool = Field(description="whether it has two sessions a day")
    phases: tuple[Phase, ...] = Field(min_length=1)
    stop: StopRules

    @classmethod
    def problems_between(cls, data: Mapping[str, Any]) -> list[str]:
        """List what an executable schedule must not have, and a reason that is missing."""
        problems = []
        why, only = data.get("why_reference_only"), data.get("reference_only")
        if only is True and why is None:
            problems.append("why_reference_only: missing; say why nobody may be enrolled on it")
        if only is False and why is not None:
            problems.append("why_reference_only: only a reference_only schedule has one")
        phases = data.get("phases")
        if isinstance(phases, list):
            found = [phase for phase in phases if isinstance(phase, Mapping)]
            for index, phase in enumerate(phases):
                if isinstance(phase, Mapping):
                    problems += _phase_problems(f"phases[{index}]", phase, data)
            if data.get("accelerated") is True and all(p.get("per_day", 1) == 1 for p in found):
                problems.append("accelerated: no phase has more than one session a day; say false")
        return problems

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problems := self.problems_between(self.to_data()):
            raise ValueError("; ".join(problems))
        return self

    @property
    def sessions(self) -> int:
        """Sessions of the whole course."""
        return sum(phase.sessions for phase in self.phases)

    @property
    def per_day(self) -> int:
        """Most sessions on one day."""
        return max(phase.per_day for phase in self.phases)

    def phase_of(self, number: int) -> Phase:
        """Return the phase of a session, counted from 1; the last one past the end."""
        for phase in self.phases:
            number -= phase.sessions
            if number <= 0:
                return phase
        return self.phases[-1]

    def left_in_phase(self, number: int) -> int:
        """Return how many sessions the phase has from this one on, itself included."""
        for phase in self.phases:
            if number <= phase.sessions:
                return phase.sessions - number + 1
            number -= phase.sessions
        return 0

    def room_on(self, day: date, number: int) -> int:
        """Return how many sessions a day has room for when ``number`` is the next one."""
        phase = self.phase_of(number)
        if WEEKDAYS[day.weekday()] not in phase.weekdays:
            return 0
        return min(phase.per_day, self.left_in_phase(number))

    def slots(self, start: date, number: int = 1) -> Iterator[Slot]:
        """Lay out the sessions from a day on.

        Parameters
        ----------
        start : date
            First day that may hold one.
        number : int
            The first session to be laid out, counted from 1.
        """
        day = start
        while number <= self.sessions:
            for _ in range(self.room_on(day, number)):
                yield Slot(number, self.phase_of(number), day)
                number += 1
            day += timedelta(days=1)

    def to_dict(self) -> dict[str, Any]:
        """Return what ``tacs course schedules`` lists, as plain JSON types."""
        monday = date(2024, 1, 1)
        days = (list(self.slots(monday))[-1].day - monday).days + 1
        return {**self.to_data(), "sessions": self.sessions, "per_day": self.per_day, "days": days}


def schedules() -> dict[str, Schedule]:
    """Return the schedules that come with the suite, by name."""
    return {name: Schedule.from_toml(path) for name, path in _shipped().items()}


def load_schedule(name_or_path: str | Path) -> Schedule:
    """Read a shipped schedule by its name, or a schedule file.

    Raises
    ------
    InputError
        No such schedule and no such file.
    FileProblems
        The file breaks the model; every problem is listed.
    """
    shipped = _shipped()
    if str(name_or_path) in shipped:
        return Schedule.from_toml(shipped[str(name_or_path)])
    if not Path(name_or_path).exists():
        raise InputError(
            f"{name_or_path}: no such schedule and no such file; shipped schedules: "
            f"{', '.join(shipped)} (`tacs course schedules` describes them)"
        )
    return Schedule.from_toml(name_or_path)


def _shipped() -> dict[str, Path]:
    """Schedule files that come with the suite."""
    folder = Path(str(resources.files("tacs"))) / "courses"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def _phase_problems(where: str, phase: Mapping[str, Any], schedule: Mapping[str, Any]) -> list[str]:
    """Problems of one phase of raw data."""
    problems = []
    days = phase.get("weekdays")
    if isinstance(days, list) and len({str(day) for day in days}) < len(days):
        problems.append(f"{where}.weekdays: a day stands there twice")
    if schedule.get("reference_only") is not False:
        return problems
    per_day, gap_h = phase.get("per_day", 1), phase.get("min_gap_h")
    accelerated = schedule.get("accelerated") is True
    most = LIMITS["sessions_per_day"].ceiling if accelerated else 1
    if type(per_day) is int and per_day > most:
        cure = (
            "no site may do more; set reference_only = true"
            if accelerated
            else "two a day need accelerated = true"
        )
        problems.append(f"{where}.per_day: {per_day} is more than {most:g}; {cure}")
    name = "accelerated_interval_h" if accelerated else "inter_session_interval_h"
    least_h = LIMITS[name].ceiling
    if isinstance(gap_h, int | float) and not gap_h >= least_h:
        problems.append(
            f"{where}.min_gap_h: {gap_h:g} h is less than the {least_h:g} h that no site may go "
            f"below ({name})"
        )
    return problems
