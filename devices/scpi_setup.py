"""Before anything plays: who answers, what it is given, and that it holds what it was given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from devices.scpi_dialects import DIALECTS, Dialect, dialect_of
from devices.scpi_link import Identification, ScpiLink, parse_number, question
from devices.scpi_programme import Programme, volts
from tacs.driver import Program
from tacs.errors import DeviceNotFound, InputError, SafetyRefusal, UncertainDelivery
from tacs.rig import Rig
from tacs.safety import Breach

__all__ = ["load", "outputs_on", "phase_of", "recognised", "refuse_noise"]

REST_MAX_MA: Final = 0.05  # below it, the smallest amplitude counts as none


def recognised(who: Identification, rig: Rig, where: str) -> Dialect:
    """Return the dialect of what answered.

    Raises
    ------
    DeviceNotFound
        It has none, or another one than the rig says.
    InputError
        The rig has a channel that this model does not have.
    """
    dialect = dialect_of(who.maker, who.model)
    if dialect is None:
        raise DeviceNotFound(
            f"{where}: {who.maker} {who.model} answers; this driver knows {', '.join(DIALECTS)}"
        )
    wanted = rig.options.get("dialect", dialect.name)
    if dialect.name != wanted:
        raise DeviceNotFound(
            f"{where}: {who.maker} {who.model} answers, which is {dialect.name}; rig "
            f"{rig.name!r} is for {wanted}"
        )
    n_channels = dialect.n_channels(who.model)
    if beyond := [c.channel for c in rig.channels if c.channel > n_channels]:
        raise InputError(
            f"rig {rig.name!r}: channel {beyond[0]} does not exist; {who.model} has {n_channels}"
        )
    return dialect


def outputs_on(link: ScpiLink, dialect: Dialect, channels: Sequence[int]) -> tuple[int, ...]:
    """Return which outputs the instrument reports as on."""
    states = link.ask_all([question(dialect.settings["output"], n) for n in channels])
    return tuple(n for n, on in zip(channels, states, strict=True) if on)


def refuse_noise(link: ScpiLink, dialect: Dialect, channels: Sequence[int]) -> None:
    """Make sure that no output is on.

    Raises
    ------
    UncertainDelivery
        One is.
    """
    if on := outputs_on(link, dialect, channels):
        raise UncertainDelivery(
            f"{link.address}: output {on[0]} is on after it was switched off; switch the "
            f"stimulators off"
        )


def phase_of(dialect: Dialect, program: Program, n: int) -> float:
    """Return a burst's start phase on the grid.

    Raises
    ------
    InputError
        It is none, or one at which the end of the burst would leave a voltage.
    """
    asked = program.phases_deg.get(n, 0.0)
    if not math.isfinite(asked):
        raise InputError(f"channel {n}: {asked} is no phase")
    phase_deg = round(asked % 360.0, 1) % 360.0
    if dialect.rests_at_phase and phase_deg not in (0.0, 180.0):
        raise InputError(
            f"channel {n}: {phase_deg:g}° cannot be on {dialect.name}: after its burst the output "
            f"rests at the start phase, which is a direct current unless that is 0° or 180°"
        )
    return phase_deg


def load(link: ScpiLink, programme: Programme, n: int, full_uv: int) -> None:
    """Make every setting of one channel, ask for its limits, and read all of it back.

    Raises
    ------
    SafetyRefusal
        The generator cannot go so high, or not low enough.
    DeviceRefused, ProtocolViolation, UncertainDelivery, LinkLost
        A setting was not accepted, or did not take.
    """
    dialect = programme.dialect
    for name, value in programme.settings(dialect.basics, n, full_uv):
        link.command(dialect.settings[name].set.format(n=n, v=value))
    # They depend on load and frequency: asked for here, every time.
    least_v = link.ask(dialect.amplitude_min.format(n=n), parse_number)
    most_v = link.ask(dialect.amplitude_max.format(n=n), parse_number)
    programme.rest_uv[n] = math.ceil(round(least_v * 1e4, 6)) * 100
    _refuse_beyond(programme, n, full_uv, most_v)
    amplitude = dialect.settings["amplitude"]
    link.command(amplitude.set.format(n=n, v=volts(programme.rest_uv[n])))
    for name, value in programme.settings(dialect.burst, n, full_uv):
        link.command(dialect.settings[name].set.format(n=n, v=value))
    for check in programme.checks(n, full_uv):
        check.hold_against(link.ask_all([check.question])[0])


def _refuse_beyond(programme: Programme, n: int, full_uv: int, most_v: float) -> None:
    """Raise with every limit of the generator that is passed."""
    rest_v, full_v = programme.rest_uv[n] / 1e6, full_uv / 1e6
    rest_ma = programme.chains[n].current_peak_ma(programme.rest_uv[n])
    broken: list[tuple[str, float, float, str]] = []
    if not rest_v <= full_v:
        broken.append(("device_smallest_vpp", rest_v, full_v, "V"))
    if not full_v <= most_v:
        broken.append(("device_amplitude_vpp", full_v, most_v, "V"))
    if not rest_ma < REST_MAX_MA:
        broken.append(("device_smallest_current_ma", rest_ma, REST_MAX_MA, "mA"))
    if broken:
        raise SafetyRefusal(
            [
                Breach(
                    limit=limit,
                    value=value,
                    allowed=allowed,
                    unit=unit,
                    source=f"{programme.dialect.name} at this load and frequency",
                    where=f"channel {n}",
                )
                for limit, value, allowed, unit in broken
            ]
        )
