"""The prescription of one session: what current, where, how long, and what it is expected to do.

Currents are stated per loop, zero-to-peak, and electrodes follow from the loops, so that what goes
in comes out by construction. What a limit is checked against at an electrode is the sum of the
magnitudes of the loops that use it: one failing loop can then never take an electrode past a limit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self, TypeGuard

from pydantic import Field, field_validator, model_validator

from tacs.electrodes import site_problem
from tacs.files import StrictModel
from tacs.trains import Retune, Trains, train_problems

__all__ = ["Blinding", "Electrode", "ExpectedEffect", "Individual", "Loop", "Montage", "Protocol"]

ACTIVE = ("tacs", "am_tacs")
CARRIER_AT_LEAST = 3.0  # times the envelope's frequency: its sidebands stay clear of the rhythm
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9+]{1,32}$")]


def _unit(unit: str, description: str, **bounds: Any) -> Any:
    """A field with its unit in the schema."""
    return Field(description=description, json_schema_extra={"unit": unit}, **bounds)


class Electrode(StrictModel):
    """One electrode on the scalp."""

    name: str = Field(description="site in the 10-10 system")
    area_cm2: float = _unit("cm²", "area of the contact", gt=0.0)
    material: Literal[
        "conductive_rubber_paste", "rubber_saline_sponge", "ag_agcl_gel", "hydrogel", "other"
    ] = Field(description="electrode and contact medium")

    @field_validator("name")
    @classmethod
    def _is_a_site(cls, name: str) -> str:
        if problem := site_problem(name):
            raise ValueError(problem)
        return name


class Loop(StrictModel):
    """One isolated current loop: out of the source electrode, back through the sink electrode."""

    source: str = Field(description="electrode that the positive half-wave leaves")
    sink: str = Field(description="electrode that it returns through")
    current_peak_ma: float = _unit("mA", "zero-to-peak current of the loop", gt=0.0)
    phase_deg: float = _unit(
        "deg", "phase of the loop's sine at t = 0", ge=0.0, lt=360.0, default=0.0
    )

    @field_validator("source", "sink", mode="before")
    @classmethod
    def _one_electrode(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            raise ValueError(
                "one electrode, not a list: two contacts on one lead share the current as their "
                "impedances please (5 and 10 kΩ: 1.33 and 0.67 of 2 mA); give each its own loop"
            )
        return value


class Montage(StrictModel):
    """Electrodes and the current loops between them."""

    electrodes: tuple[Electrode, ...] = Field(min_length=2)
    loops: tuple[Loop, ...] = Field(min_length=1)

    def loops_at(self, electrode: str) -> tuple[Loop, ...]:
        """Return the loops that use an electrode."""
        return tuple(loop for loop in self.loops if electrode in (loop.source, loop.sink))

    def current_peak_ma(self, electrode: str) -> float:
        """Worst-case peak at an electrode: the sum of the magnitudes of its loops, in mA."""
        return sum(loop.current_peak_ma for loop in self.loops_at(electrode))

    @property
    def total_injected_peak_ma(self) -> float:
        """Worst-case total injected current, half of the sum over the electrodes, in mA."""
        return 0.5 * sum(self.current_peak_ma(electrode.name) for electrode in self.electrodes)


class ExpectedEffect(StrictModel):
    """The direction that the protocol predicts; more of a rhythm is not always better."""

    direction: Literal["increase", "decrease", "none"]
    measure: str = Field(min_length=1, description="what should change, e.g. alpha power")
    region: Literal[
        "posterior", "left_frontal", "right_frontal", "frontal", "central", "temporal", "all"
    ]


class Individual(StrictModel):
    """Whose peak the frequency comes from."""

    subject: Label | None = Field(default=None, description="the person the peak belongs to")
    peak_hz: float = _unit("Hz", "estimated peak", gt=0.0)
    ci95_hz: tuple[float, float] = _unit("Hz", "95 % interval of the peak")
    recording: str
    recording_sha256: str
    measured_at: str = Field(description="ISO 8601 time of the estimate, with its offset")
    method: str

    @field_validator("measured_at")
    @classmethod
    def _is_a_time(cls, value: str) -> str:
        try:
            aware = datetime.fromisoformat(value).tzinfo is not None
        except ValueError:
            aware = False
        if not aware:
            raise ValueError(
                f"{value!r} is not an ISO 8601 time with its offset, like 2026-03-01T09:30:00+00:00"
            )
        return value


class Blinding(StrictModel):
    """What a blinded person may see instead of the arm."""

    label: Label = Field(description="opaque code of the arm, e.g. A")


class Protocol(StrictModel):
    """The prescription of one session.

    ``duration_s`` is the time from the first to the last instant at which current may flow, ramps
    included. An active sham ramps up, holds for ``sham_plateau_s``, ramps down and stays silent for
    the rest of that time; a passive sham is silent throughout. Both keep the active arm's timing.

    ``am_tacs`` is ``½(1 - cos 2πft)·sin 2πf_c t``: the rhythm ``f`` is the envelope of a carrier
    ``f_c``, modulated to the full depth, and there is no current at ``f`` itself and none at 0 Hz.
    """

    schema_version: Literal[1] = 1
    name: str = Field(min_length=1, description="name of the protocol")
    recipe: str | None = Field(default=None, description="recipe it was planned from")
    waveform: Literal["tacs", "am_tacs", "active_sham", "passive_sham"]
    frequency_hz: float = _unit(
        "Hz", "frequency of the sine; of am_tacs, of the carrier's envelope", gt=0.0
    )
    carrier_hz: float | None = _unit(
        "Hz", "am_tacs, and its shams: frequency of the carrier", gt=0.0, default=None
    )
    duration_s: float = _unit("s", "session from first to last current, ramps included", gt=0.0)
    ramp_up_s: float = _unit("s", "linear rise to the full current", gt=0.0)
    ramp_down_s: float = _unit("s", "linear fall to zero", gt=0.0)
    sham_plateau_s: float | None = _unit(
        "s", "active sham: time at full current", ge=0.0, default=None
    )
    montage: Montage
    expected_effect: ExpectedEffect
    individual: Individual | None = None
    fallback_note: str | None = Field(
        default=None, description="set where the frequency is fixed because no peak was found"
    )
    blinding: Blinding | None = None
    trains: Trains | None = Field(default=None, description="current in trains; else without gaps")
    retune: Retune | None = Field(
        default=None, description="whether the frequency may be changed while it runs"
    )
    note: str | None = None

    @classmethod
    def problems_between(cls, data: Mapping[str, Any]) -> list[str]:
        """List electrodes declared twice, undeclared or unused, and ramps that do not fit."""
        return [
            *_montage_problems(data.get("montage")),
            *_timing_problems(data),
            *_carrier_problems(data),
            *train_problems(data),
        ]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problems := self.problems_between(self.to_data()):
            raise ValueError("; ".join(problems))
        return self

    @property
    def is_sham(self) -> bool:
        """Whether this is a sham arm."""
        return self.waveform not in ACTIVE

    @property
    def n_trains(self) -> int:
        """Trains that are planned at most; a sham states those of its active arm."""
        if self.trains is None:
            return 0
        return self.trains.number(self.duration_s, self.ramp_up_s)

    @property
    def gap_s(self) -> float | None:
        """Silence in a trace that is a gap between trains, at least; None where there are none."""
        if self.trains is None or self.is_sham:
            return None
        return 0.5 * self.trains.off_s

    @property
    def current_on_s(self) -> float:
        """Planned time with current, the gaps between trains left out; a sham's as if active."""
        if self.trains is None:
            return self.duration_s
        return self.trains.run_in_s(self.ramp_up_s) + self.n_trains * self.trains.on_s


def _montage_problems(montage: Any) -> list[str]:
    """Problems between electrodes and loops of raw data."""
    if not isinstance(montage, Mapping):
        return []
    electrodes, loops = montage.get("electrodes"), montage.get("loops")
    if not isinstance(electrodes, list) or not isinstance(loops, list):
        return []
    names = [str(e["name"]) for e in electrodes if isinstance(e, Mapping) and "name" in e]
    problems = [
        f"montage.electrodes: {name} is declared {count} times; declare each electrode once"
        for name, count in Counter(names).items()
        if count > 1
    ]
    used: set[str] = set()
    for index, loop in enumerate(loops):
        if not isinstance(loop, Mapping):
            continue
        ends = [e for e in (loop.get("source"), loop.get("sink")) if isinstance(e, str)]
        used.update(ends)
        problems += [
            f"montage.loops[{index}]: electrode {end} is not declared under montage.electrodes"
            for end in dict.fromkeys(ends)
            if end not in names
        ]
        if len(ends) == 2 and ends[0] == ends[1]:
            problems.append(f"montage.loops[{index}]: {ends[0]} is both source and sink")
    problems += [
        f"montage.electrodes: {name} is declared and no loop uses it"
        for name in dict.fromkeys(names)
        if name not in used
    ]
    return problems


def _carrier_problems(data: Mapping[str, Any]) -> list[str]:
    """Problems between a carrier and the rest of raw data."""
    waveform, carrier_hz, rhythm_hz = (
        data.get(name) for name in ("waveform", "carrier_hz", "frequency_hz")
    )
    if carrier_hz is None:
        missing = "carrier_hz: missing (hertz); am_tacs needs a carrier"
        return [missing] if waveform == "am_tacs" else []
    if waveform == "tacs":
        return ["carrier_hz: a sine has none; leave it out, or write am_tacs"]
    if _is_time(carrier_hz) and _is_time(rhythm_hz) and carrier_hz < CARRIER_AT_LEAST * rhythm_hz:
        return [
            f"carrier_hz: {carrier_hz:g} Hz is less than {CARRIER_AT_LEAST:g} times the "
            f"frequency_hz of {rhythm_hz:g} Hz; its sidebands would reach the rhythm"
        ]
    return []


def _is_time(value: Any) -> TypeGuard[float]:
    """Whether a raw value is a number of seconds; a whole number of any length may stand there."""
    return isinstance(value, float) or (
        isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1e15
    )


def _timing_problems(data: Mapping[str, Any]) -> list[str]:
    """Problems between durations of raw data."""
    problems = []
    sham, plateau_s = data.get("waveform") == "active_sham", data.get("sham_plateau_s")
    if sham and plateau_s is None:
        problems.append("sham_plateau_s: missing (seconds); an active sham states its plateau")
    if not sham and plateau_s is not None:
        problems.append("sham_plateau_s: only an active_sham has one; leave it out")
    parts = [data.get("ramp_up_s"), data.get("ramp_down_s"), plateau_s if sham else 0.0]
    total = data.get("duration_s")
    numbers = [p for p in [*parts, total] if _is_time(p)]
    if len(numbers) == 4 and sum(numbers[:3]) > numbers[3]:
        problems.append(
            f"duration_s: {numbers[3]:g} s is shorter than its ramps"
            f"{' and plateau' if sham else ''} together ({sum(numbers[:3]):g} s)"
        )
    return problems
