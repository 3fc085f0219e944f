"""From a programme in milliampere to what NIC takes: whole µA, Hz and degrees of every channel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from devices.nic2_rig import SPARE_S, Nic2Rig
from devices.nic2_steps import Staircase, residual_ua
from devices.nic2_wire import (
    AMPLITUDE_MAX_UA,
    FREQUENCY_MAX_HZ,
    TRANSITION_MAX_MS,
    TRANSITION_MIN_MS,
)
from tacs.driver import Program
from tacs.errors import InputError, SafetyRefusal
from tacs.limits import LIMITS
from tacs.safety import Breach

__all__ = ["Plan", "plan_of", "whole_hz"]

UA_PER_MA: Final = 1e3
WHOLE: Final = 1e-6  # how far from a whole number one may be


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A programme as NIC plays it; every tuple has one value for each of its channels.

    Parameters
    ----------
    frequency_hz : int
        Of the channels in use; those not in use are at 0.
    currents_ua : tuple of float
        Zero-to-peak, as asked for.
    phases_deg : tuple of int
        Phases.
    planned_per_s : float
        Steepest planned rise of the level, per second.
    slope_min_ua_per_ms : float
        More slowly than this no channel moves.
    protocol : str
        That is loaded in NIC.
    wait_max_s : float
        How long it may have run when the session begins.
    soft_stop_ms, emergency_stop_ms : int
        Transitions of the two stops.
    """

    frequency_hz: int
    currents_ua: tuple[float, ...]
    phases_deg: tuple[int, ...]
    planned_per_s: float
    slope_min_ua_per_ms: float
    protocol: str
    wait_max_s: float
    soft_stop_ms: int
    emergency_stop_ms: int

    @property
    def frequencies(self) -> tuple[int, ...]:
        """Frequency of every channel."""
        return tuple(self.frequency_hz if current else 0 for current in self.currents_ua)

    def at(self, frequency_hz: int) -> Plan:
        """Return the same plan at another frequency."""
        return replace(self, frequency_hz=frequency_hz)

    def staircase(self) -> Staircase:
        """Return the way up and down, at the bottom."""
        return Staircase(
            self.currents_ua, self.phases_deg, self.planned_per_s, self.slope_min_ua_per_ms
        )


def plan_of(program: Program, rig: Nic2Rig, n_channels: int) -> Plan:
    """Turn a programme into NIC's numbers.

    Raises
    ------
    InputError
        A channel that the rig does not have, a waveform or a number that NIC does not take, a
        current too small for NIC's slope, or a NIC protocol of another length.
    SafetyRefusal
        A current above that of the rig or of NIC, or currents that do not add up to nothing.
    """
    if program.carrier_hz is not None:
        raise InputError("NIC plays plain sines; an amplitude-modulated carrier is not among them")
    currents_ma = program.currents_peak_ma
    if unknown := sorted(set(currents_ma) - set(rig.electrodes)):
        raise InputError(
            f"rig {rig.name!r} has no channel {', '.join(map(str, unknown))}; it has "
            f"{', '.join(map(str, sorted(rig.electrodes)))}"
        )
    for channel, current_ma in currents_ma.items():
        if not (math.isfinite(current_ma) and current_ma >= 0.0):
            raise InputError(
                f"channel {channel}: {current_ma} mA is not a zero-to-peak current; write 0 or more"
            )
    _refuse_large(currents_ma, rig)
    every = range(1, n_channels + 1)
    currents_ua = tuple(currents_ma.get(channel, 0.0) * UA_PER_MA for channel in every)
    degrees = [program.phases_deg.get(c, 0.0) if currents_ma.get(c) else 0.0 for c in every]
    phases_deg = tuple(_whole_deg(rig, c, value) for c, value in zip(every, degrees, strict=True))
    _refuse_unbalanced(residual_ua(currents_ua, phases_deg), "currents as prescribed")
    plan = Plan(
        frequency_hz=whole_hz(program.frequency_hz),
        currents_ua=currents_ua,
        phases_deg=phases_deg,
        planned_per_s=_steepest_per_s(program.envelope),
        slope_min_ua_per_ms=rig.slope_min_ua_per_ms,
        protocol="",
        wait_max_s=0.0,
        soft_stop_ms=_stop_ms(program.soft_stop_s, "soft_stop_s"),
        emergency_stop_ms=_stop_ms(program.emergency_stop_s, "emergency_stop_s"),
    )
    _refuse_uneven(plan.staircase(), plan, rig)
    protocol, protocol_s = rig.protocol_for(program.duration_s)
    wait_max_s = protocol_s - program.duration_s - SPARE_S
    return replace(plan, protocol=protocol, wait_max_s=wait_max_s)


def whole_hz(frequency_hz: float) -> int:
    """Return a frequency that NIC takes.

    Raises
    ------
    InputError
        Not a whole number of hertz, or out of range.
    """
    if not (math.isfinite(frequency_hz) and 1.0 - WHOLE <= frequency_hz <= FREQUENCY_MAX_HZ):
        raise InputError(f"{frequency_hz} Hz is outside NIC's 1 to {FREQUENCY_MAX_HZ} Hz")
    nearest = round(frequency_hz)
    if abs(frequency_hz - nearest) > WHOLE:
        raise InputError(
            f"{frequency_hz:g} Hz: NIC is given whole hertz only, because its users report that it "
            f"applies no current at all where a number has decimals; take {nearest} Hz by your own "
            f"decision, or a device with a finer grid"
        )
    return nearest


def _whole_deg(rig: Nic2Rig, channel: int, phase_deg: float) -> int:
    if not math.isfinite(phase_deg):
        raise InputError(f"channel {channel}: a phase of {phase_deg}° is no phase")
    nearest = round(phase_deg)
    if abs(phase_deg - nearest) > WHOLE:
        raise InputError(
            f"{rig.electrodes[channel]}: the phase {phase_deg:g}° has decimals and NIC is given "
            f"whole degrees; where loops of different phase meet at one electrode, choose their "
            f"currents so that their sum has a whole one"
        )
    return nearest % 360


def _stop_ms(stop_s: float, name: str) -> int:
    """A stop's time as a transition; never longer than asked for."""
    low_s, high_s = TRANSITION_MIN_MS / 1e3, TRANSITION_MAX_MS / 1e3
    if not low_s <= stop_s <= high_s:
        raise InputError(
            f"{name}: {stop_s} s is outside NIC's transitions of {low_s:g} to {high_s:g} s"
        )
    return math.floor(stop_s * 1e3 + WHOLE)


def _steepest_per_s(envelope: Sequence[tuple[float, float]]) -> float:
    """Steepest planned rise of the level."""
    rises = [
        (after - before) / (end_s - start_s)
        for (start_s, before), (end_s, after) in pairwise(envelope)
        if end_s > start_s
    ]
    return max(rises, default=0.0)


def _refuse_large(currents_ma: Mapping[int, float], rig: Nic2Rig) -> None:
    """Refuse a current that an output is not built for."""
    breaches = [
        Breach(
            limit=limit,
            value=current_ma,
            allowed=allowed,
            unit="mA",
            source=source,
            where=f"channel {channel}, {rig.electrodes[channel]}",
        )
        for channel, current_ma in currents_ma.items()
        for limit, allowed, source in (
            ("rig_current_max_ma", rig.limits_ma[channel], f"rig {rig.name}"),
            ("device_current_ma", AMPLITUDE_MAX_UA / UA_PER_MA, "NIC's remote control"),
        )
        if not current_ma <= allowed
    ]
    if breaches:
        raise SafetyRefusal(breaches)


def _refuse_unbalanced(left_ua: float, where: str) -> None:
    """Refuse currents that do not add up to nothing: the rest would find a way of its own."""
    limit = LIMITS["current_balance_residual_ma"]
    if not left_ua / UA_PER_MA <= limit.default:
        raise SafetyRefusal(
            [
                Breach(
                    limit=limit.name,
                    value=left_ua / UA_PER_MA,
                    allowed=limit.default,
                    unit=limit.unit,
                    source=limit.source,
                    where=where,
                )
            ]
        )


def _refuse_uneven(stairs: Staircase, plan: Plan, rig: Nic2Rig) -> None:
    """Refuse what NIC's grid and slope cannot follow."""
    used = [(c, ua) for c, ua in enumerate(plan.currents_ua, start=1) if ua]
    if not used:
        raise InputError("the programme has no current; a NIC session needs at least two channels")
    channel, least_ua = min(used, key=lambda item: item[1])
    most_ua = max(ua for _, ua in used)
    if not stairs.steepest_ua_per_ms <= stairs.rise_max_ua_per_ms:
        raise InputError(
            f"{rig.electrodes[channel]}: {least_ua:g} µA beside {most_ua:g} µA; NIC moves no "
            f"channel more slowly than {plan.slope_min_ua_per_ms:g} µA/ms, and the largest current "
            f"would rise faster than {stairs.rise_max_ua_per_ms:g} µA/ms meanwhile; choose "
            f"currents that are closer to each other, or measure on a dummy load that NIC carries "
            f"out slower changes and write slope_min_ua_per_ms into the rig's options"
        )
    left_ua = max(residual_ua(stair, plan.phases_deg) for stair in stairs.stairs_ua)
    _refuse_unbalanced(left_ua, "currents in whole microamperes")
