"""From a programme to the one sine train that a StimJim plays of it.

The device knows an envelope of two straight ramps around a plateau at full current, and nothing
after its end. A programme of that form fits; its silent rest, as a sham has one, is the time for
which no train plays. Currents are whole microampere, rounded down.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from devices.stimjim_lines import CURRENT_MODE, NOT_DRIVEN, SineTrain
from tacs.driver import Program
from tacs.errors import InputError, SafetyRefusal
from tacs.rig import RigChannel
from tacs.safety import Breach

__all__ = ["CURRENT_MAX_UA", "SLOT", "Shape", "microampere", "shape_of", "train_of"]

SLOT: Final = 99  # the device restores slots 0 to 9 from its memory, and leaves this one empty
CURRENT_MAX_UA: Final = 3000  # above it the converter is driven wrongly (protocol page, section 2)
DURATION_MAX_US: Final = 2**32 - 1
UA_PER_MA: Final = 1000
ROUNDING_UA: Final = 1e-6  # what a float may be below the whole number that was written


@dataclass(frozen=True, slots=True)
class Shape:
    """A programme's envelope, in microseconds.

    Parameters
    ----------
    ramp_in_us, plateau_us, ramp_out_us : int
        The train; all zero where no current is to flow.
    silent_us : int
        From the train's end to the programme's.
    """

    ramp_in_us: int
    plateau_us: int
    ramp_out_us: int
    silent_us: int

    @property
    def train_us(self) -> int:
        """Length of the train; 0 where none is to be played."""
        return self.ramp_in_us + self.plateau_us + self.ramp_out_us


def shape_of(program: Program) -> Shape:
    """Take a programme's envelope apart.

    Raises
    ------
    InputError
        Another form than ramp, plateau at full current, ramp, silence; or too long.
    """
    knots = program.envelope
    edges_us = [round(1e6 * time_s) if math.isfinite(time_s) else -1 for time_s, _ in knots]
    if edges_us[0] != 0 or edges_us != sorted(edges_us) or not 0 < edges_us[-1] <= DURATION_MAX_US:
        raise InputError(
            f"StimJim plays from 0 to at most {DURATION_MAX_US / 1e6:g} s; got knots at "
            f"{', '.join(f'{time_s:g} s' for time_s, _ in knots)}"
        )
    # Rise, plateau, fall, silence: each at most once, in this order.
    kinds = {(0.0, 1.0): 0, (1.0, 1.0): 1, (1.0, 0.0): 2, (0.0, 0.0): 3}
    parts_us, last = [0, 0, 0, 0], -1
    for i, ((_, start), (_, end)) in enumerate(itertools.pairwise(knots)):
        if edges_us[i + 1] == edges_us[i] and start == end:
            continue
        kind = kinds.get((start, end), -1)
        if kind <= last and not kind == last == 3:
            raise InputError(
                f"StimJim plays one ramp up, a plateau at full current, one ramp down, then "
                f"nothing; it cannot go from level {start:g} to {end:g} at {knots[i][0]:g} s"
            )
        parts_us[kind] += edges_us[i + 1] - edges_us[i]
        last = kind
    return Shape(*parts_us)


def microampere(current_peak_ma: float, channel: RigChannel) -> int:
    """Return a current on the device's grid: whole microampere, zero-to-peak, rounded down.

    Parameters
    ----------
    current_peak_ma : float
        Zero-to-peak milliampere.
    channel : RigChannel
        The output that is to pass it.

    Raises
    ------
    InputError
        Not a current.
    SafetyRefusal
        More than the device or its rig may pass.
    """
    if not (math.isfinite(current_peak_ma) and current_peak_ma >= 0.0):
        raise InputError(
            f"channel {channel.channel}: {current_peak_ma} mA is not a zero-to-peak current; it "
            f"must be a finite number, 0 or more"
        )
    breaches = [
        Breach(
            limit=limit,
            value=current_peak_ma,
            allowed=allowed,
            unit="mA",
            source=source,
            where=f"channel {channel.channel} ({channel.positive}-{channel.negative})",
        )
        for limit, allowed, source in (
            ("rig_current_max_ma", channel.current_max_ma, f"stimulator {channel.stimulator}"),
            ("device_current_ma", CURRENT_MAX_UA / UA_PER_MA, "stimjimAWG protocol, section 2"),
        )
        if not current_peak_ma <= allowed
    ]
    if breaches:
        raise SafetyRefusal(breaches)
    return math.floor(current_peak_ma * UA_PER_MA + ROUNDING_UA)


def train_of(program: Program, shape: Shape, amplitudes_ua: Mapping[int, int]) -> SineTrain:
    """Return the train of a programme: one burst, as long as its period and its duration.

    Parameters
    ----------
    program : Program
        Frequency and phases.
    shape : Shape
        Its envelope; with a train.
    amplitudes_ua : mapping of int to int
        Of each channel that plays, counted from 1.
    """
    driven = [channel in amplitudes_ua for channel in (1, 2)]
    modes = [CURRENT_MODE if each else NOT_DRIVEN for each in driven]
    amplitudes = [amplitudes_ua.get(channel, 0) for channel in (1, 2)]
    phases = [
        round(program.phases_deg.get(channel, 0.0) % 360.0 * 1000) % 360_000 if each else 0
        for channel, each in zip((1, 2), driven, strict=True)
    ]
    frequency_mhz = round(program.frequency_hz * 1000)
    return SineTrain(
        slot=SLOT,
        mode0=modes[0],
        mode1=modes[1],
        period_us=shape.train_us,
        duration_us=shape.train_us,
        delay_us=0,
        amplitude0_ua=amplitudes[0],
        amplitude1_ua=amplitudes[1],
        burst_us=shape.train_us,
        frequency0_mhz=frequency_mhz,
        frequency1_mhz=frequency_mhz,
        frequency_reserved=0,
        phase0_mdeg=phases[0],
        phase1_mdeg=phases[1],
        phase_reserved=0,
        ramp_in_us=shape.ramp_in_us,
        ramp_out_us=shape.ramp_out_us,
        shape=0,
    )
