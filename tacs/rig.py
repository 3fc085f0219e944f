"""What is wired to what: generator channels, stimulators behind them, electrode pairs, a monitor.

A rig file is written by whoever cabled the room and is mandatory, because the same command gives
another current behind another stimulator, and at another electrode. There is no default gain.
Emulated rigs ship with the suite.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from tacs.electrodes import site_problem
from tacs.errors import InputError
from tacs.files import StrictModel

__all__ = [
    "Calibration",
    "MonitorInput",
    "Rig",
    "RigChannel",
    "RigMonitor",
    "RigOutput",
    "load_rig",
    "shipped_rigs",
]

_ENDS = ("positive", "negative")


class Calibration(StrictModel):
    """How the gain was measured."""

    calibrated_on: date = Field(description="day of the measurement")
    expires_on: date = Field(description="day after which the rig is refused")
    load_kohm: float = Field(gt=0.0, description="resistor that the current was measured through")
    ratio: float | None = Field(
        default=None,
        gt=0.0,
        description="measured over commanded current; of a current source, which has no gain",
    )
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
    gain_ma_per_v: float | None = Field(
        default=None,
        gt=0.0,
        description="measured current per volt at the input, mA/V; of a voltage source only",
    )
    input_max_v: float | None = Field(
        default=None,
        gt=0.0,
        description="largest input magnitude, V zero-to-peak; of a voltage source only",
    )
    current_max_ma: float = Field(gt=0.0, description="largest current magnitude, mA zero-to-peak")
    compliance_v: float = Field(gt=0.0, description="largest voltage the stimulator can apply, V")
    calibration: Calibration

    @field_validator("positive", "negative")
    @classmethod
    def _is_a_site(cls, name: str) -> str:
        if problem := site_problem(name):
            raise ValueError(problem)
        return name


class RigOutput(StrictModel):
    """One output of a device that drives each electrode by itself."""

    channel: int = Field(ge=1, description="output of the device, counted from 1")
    electrode: str = Field(description="electrode that it drives")
    current_max_ma: float = Field(gt=0.0, description="largest current magnitude, mA zero-to-peak")
    compliance_v: float = Field(gt=0.0, description="largest voltage that it can apply, V")
    calibration: Calibration

    @field_validator("electrode")
    @classmethod
    def _is_a_site(cls, name: str) -> str:
        if problem := site_problem(name):
            raise ValueError(problem)
        return name


class MonitorInput(StrictModel):
    """One input of a current monitor and the electrode whose lead runs through it."""

    input: int = Field(ge=1, description="input of the monitor, counted from 1")
    electrode: str = Field(description="electrode whose current it measures")

    @field_validator("electrode")
    @classmethod
    def _is_a_site(cls, name: str) -> str:
        if problem := site_problem(name):
            raise ValueError(problem)
        return name


class RigMonitor(StrictModel):
    """A current monitor in the leads of the electrodes."""

    device: str = Field(min_length=1, description="kind of monitor, e.g. refmonitor")
    address: str | None = Field(
        default=None, min_length=1, description="port of the monitor; an emulated one has none"
    )
    inputs: tuple[MonitorInput, ...] = Field(min_length=1)
    calibration: Calibration
    battery_min: float = Field(
        default=0.2, ge=0.0, lt=1.0, description="charge, 0 to 1, below which no session starts"
    )

    @property
    def electrodes(self) -> Mapping[int, str]:
        """Electrode at each input."""
        return {wired.input: wired.electrode for wired in self.inputs}


class Rig(StrictModel):
    """A cabled set-up: one device, what is behind its outputs, and perhaps a current monitor.

    A device of isolated loops has ``channels``, one that drives each electrode by itself has
    ``outputs``; never both.
    """

    name: str = Field(min_length=1)
    device: str = Field(min_length=1, description="driver that this rig is for, e.g. synthpal")
    emulated: bool = Field(default=False, description="true for the rigs of emulated devices only")
    channels: tuple[RigChannel, ...] = ()
    outputs: tuple[RigOutput, ...] = ()
    options: Mapping[str, str | float | int | bool] = Field(
        default_factory=dict, description="what only this device's driver knows; see its page"
    )
    monitor: RigMonitor | None = None

    @classmethod
    def problems_between(cls, data: Mapping[str, Any]) -> list[str]:
        """List channels and inputs used twice, and electrodes that the monitor leaves out."""
        channels = _tables(data.get("channels"))
        outputs = list(_tables(data.get("outputs")).values())
        problems = []
        if not data.get("channels") and not data.get("outputs"):
            problems.append(
                "channels: missing; write one table per isolated loop, or outputs, one per "
                "electrode, for a device that drives each electrode by itself"
            )
        if data.get("channels") and data.get("outputs"):
            problems.append("channels, outputs: a rig has one or the other")
        problems += [
            f"outputs: {what} {value} is wired {count} times; wire each once"
            for what in ("channel", "electrode")
            for value, count in _repeated(entry.get(what) for entry in outputs)
        ]
        problems += [
            f"channels: generator channel {number} is wired {count} times; wire each once"
            for number, count in _repeated(c.get("channel") for c in channels.values())
        ]
        problems += [
            f"channels[{index}]: {channel.get('positive')} is at both terminals"
            for index, channel in channels.items()
            if channel.get("positive") is not None
            and channel.get("positive") == channel.get("negative")
        ]
        monitor = data.get("monitor")
        if not isinstance(monitor, Mapping):
            return problems
        if data.get("emulated") is not True and "address" not in monitor:
            problems.append("monitor.address: missing; write its port, such as /dev/ttyACM1")
        driven = {e for c in channels.values() for end in _ENDS if isinstance(e := c.get(end), str)}
        driven |= {e for c in outputs if isinstance(e := c.get("electrode"), str)}
        return problems + _monitor_problems(monitor.get("inputs"), driven)

    @property
    def electrodes(self) -> tuple[str, ...]:
        """Every electrode that is wired, in the order of the file."""
        ends = [name for c in self.channels for name in (c.positive, c.negative)]
        return tuple(dict.fromkeys([*ends, *(output.electrode for output in self.outputs)]))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problems := self.problems_between(self.to_data()):
            raise ValueError("; ".join(problems))
        return self

    def to_data(self) -> dict[str, Any]:
        """Return plain JSON types; what is unset or empty is left out."""
        data = super().to_data()
        empty = [name for name in ("channels", "outputs", "options") if not data[name]]
        return {name: value for name, value in data.items() if name not in empty}


def _tables(entries: Any) -> dict[int, Mapping[str, Any]]:
    """Those entries of raw data that are tables, by their place."""
    if not isinstance(entries, list | tuple):
        return {}
    return {i: entry for i, entry in enumerate(entries) if isinstance(entry, Mapping)}


def _repeated(values: Iterable[Any]) -> list[tuple[Any, int]]:
    """Numbers and names that occur more than once, and how often."""
    counts = Counter(v for v in values if isinstance(v, int | str))
    return [(value, count) for value, count in counts.items() if count > 1]


def _monitor_problems(inputs: Any, driven: set[str]) -> list[str]:
    """What is wrong between the inputs of a monitor and the electrodes that are driven."""
    wired = list(_tables(inputs).values())
    if not wired:
        return []  # told as missing, or as no list
    problems = [
        f"monitor.inputs: {what} {value} is wired {count} times; wire each once"
        for what in ("input", "electrode")
        for value, count in _repeated(entry.get(what) for entry in wired)
    ]
    measured = {e for entry in wired if isinstance(e := entry.get("electrode"), str)}
    problems += [
        f"monitor.inputs: electrode {name} is not measured; wire each electrode of the channels "
        f"to an input"
        for name in sorted(driven - measured)
    ]
    problems += [
        f"monitor.inputs: electrode {name} is in no channel; take it out"
        for name in sorted(measured - driven)
    ]
    return problems


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
