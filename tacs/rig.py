"""What is wired to what: generator channels, stimulators behind them, and electrode pairs.

A rig file is written by whoever cabled the room and is mandatory for a voltage source, because the
same command gives another current behind another stimulator. There is no default gain. Emulated
rigs ship with the suite.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from tacs.electrodes import site_problem
from tacs.errors import InputError
from tacs.files import StrictModel

__all__ = ["Calibration", "Rig", "RigChannel", "load_rig", "shipped_rigs"]


class Calibration(StrictModel):
    """How the gain was measured."""

    calibrated_on: date = Field(description="day of the measurement")
    expires_on: date = Field(description="day after which the rig is refused")
    load_kohm: float = Field(gt=0.0, description="resistor that the current was measured through")
    by: str = Field(min_length=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.expires_on <= self.calibrated_on:
            raise ValueError("expires_on must be later than calibrated_on")
        return self


class RigChannel(StrictModel):
    """One current loop: generator channel, isolated stimulator, electrode pair."""

    channel: int = Field(ge=1, description="output of the generator, counted from 1")
    positive: str = Field(description="electrode at the stimulator's positive terminal")
    negative: str = Field(description="electrode at the stimulator's negative terminal")
    stimulator: str = Field(min_length=1, description="make, model and serial number")
    isolated: bool = Field(
        description="whether the loop floats; loops that share an electrode must"
    )
    gain_ma_per_v: float = Field(gt=0.0, description="measured current per volt at the input, mA/V")
    input_max_v: float = Field(gt=0.0, description="largest input magnitude, V zero-to-peak")
    current_max_ma: float = Field(gt=0.0, description="largest current magnitude, mA zero-to-peak")
    compliance_v: float = Field(gt=0.0, description="largest voltage the stimulator can apply, V")
    calibration: Calibration

    @field_validator("positive", "negative")
    @classmethod
    def _is_a_site(cls, name: str) -> str:
        if problem := site_problem(name):
            raise ValueError(problem)
        return name


class Rig(StrictModel):
    """A cabled set-up: one generator and the loops behind it."""

    name: str = Field(min_length=1)
    device: str = Field(min_length=1, description="driver that this rig is for, e.g. synthpal")
    emulated: bool = Field(default=False, description="true for the rigs of emulated devices only")
    channels: tuple[RigChannel, ...] = Field(min_length=1)

    @classmethod
    def problems_between(cls, data: Mapping[str, Any]) -> list[str]:
        """List channels used twice."""
        channels = data.get("channels")
        if not isinstance(channels, list):
            return []
        numbers = [c.get("channel") for c in channels if isinstance(c, Mapping)]
        problems = [
            f"channels: generator channel {number} is wired {count} times; wire each once"
            for number, count in Counter(n for n in numbers if isinstance(n, int)).items()
            if count > 1
        ]
        problems += [
            f"channels[{index}]: {channel.get('positive')} is at both terminals"
            for index, channel in enumerate(channels)
            if isinstance(channel, Mapping)
            and channel.get("positive") is not None
            and channel.get("positive") == channel.get("negative")
        ]
        return problems

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problems := self.problems_between(self.to_data()):
            raise ValueError("; ".join(problems))
        return self


def shipped_rigs() -> dict[str, Path]:
    """Return the rigs of emulated devices that come with the suite, by name."""
    folder = Path(str(resources.files("tacs"))) / "rigs"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_rig(name_or_path: str | Path) -> Rig:
    """Read a rig file, or one of the shipped rigs by its name.

    Raises
    ------
    InputError
        No such file and no such shipped rig, or the file breaks the model.
    """
    shipped = shipped_rigs()
    if str(name_or_path) in shipped:
        return Rig.from_toml(shipped[str(name_or_path)])
    if not Path(name_or_path).exists():
        raise InputError(f"{name_or_path}: no such rig file; shipped rigs: {', '.join(shipped)}")
    return Rig.from_toml(name_or_path)
