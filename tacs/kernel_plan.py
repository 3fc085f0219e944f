"""What the kernel is told of a protocol, on a device, for a person."""

from __future__ import annotations

import math

from tacs.capabilities import Capabilities
from tacs.history import DoseHistory
from tacs.limits import EffectiveLimits
from tacs.protocol import Protocol
from tacs.session_plan import NO_TRAINS, Plan, Trains
from tacs.waveform import Waveform

__all__ = ["kernel_plan"]

EDGE_SHARE = 0.1  # of a train's edge: the most that one tick may make up for
ROUNDING_S = 1.0  # the kernel books whole ticks: what a planned session may be over by


def kernel_plan(
    protocol: Protocol,
    limits: EffectiveLimits,
    capabilities: Capabilities,
    *,
    operator_lease: bool = False,
    titrate: bool = False,
    history: DoseHistory | None = None,
) -> Plan:
    """Return what the kernel needs to know of a protocol on a device.

    Parameters
    ----------
    protocol : Protocol
        The prescription.
    limits : EffectiveLimits
        In force: the leases.
    capabilities : Capabilities
        Of the device: how long its soft stop takes.
    operator_lease : bool
        Whether the operator side must keep saying ``alive``.
    titrate : bool
        Whether the level rises on request only, in steps that the limits allow.
    history : DoseHistory, optional
        What the participant has had: the kernel stops where a limit of the day is reached.
    """
    history = history or DoseHistory()
    waveform, montage = Waveform(protocol), protocol.montage
    largest_ma = max(montage.current_peak_ma(e.name) for e in montage.electrodes)
    falls = [s for s in waveform.segments if s.kind == "ramp_down"]
    hold_end_s = falls[0].start_s if falls else 0.0
    trains = _trains_of(protocol)
    if trains.course:
        hold_end_s = protocol.duration_s - protocol.ramp_down_s
    retune, within_hz = protocol.retune is not None and not protocol.is_sham, 0.0
    if protocol.retune is not None:
        within_hz = protocol.retune.within_hz
    return Plan(
        duration_s=protocol.duration_s,
        ramp_up_s=protocol.ramp_up_s,
        ramp_down_s=protocol.ramp_down_s,
        hold_end_s=hold_end_s,
        silent=protocol.waveform == "passive_sham",
        lease_s=limits["lease_ttl_s"],
        renew_s=limits["heartbeat_period_s"],
        soft_stop_s=capabilities.soft_stop_s,
        stop_grace_s=capabilities.stop_grace_s,
        operator_lease_s=limits["lease_ttl_s"] if operator_lease else None,
        titration_step=min(limits["amplitude_step_ma"] / largest_ma, 1.0) if titrate else 0.0,
        transition_s=limits["parameter_transition_s"],
        can_pause=capabilities.level_control,
        discomfort_pause=limits["discomfort_pause_nrs"],
        discomfort_stop=limits["discomfort_stop_nrs"],
        current_on_max_s=ROUNDING_S
        + 60.0
        * min(
            limits["session_duration_min"],
            limits["daily_duration_min"] - history.current_on_24h_min,
        ),
        level_seconds_max=ROUNDING_S + _level_seconds_left(waveform, limits, history),
        trains=trains,
        frequency_hz=protocol.frequency_hz,
        retune_from_hz=max(
            protocol.frequency_hz - within_hz,
            limits["frequency_lowest_hz"],
            capabilities.frequency_min_hz,
        ),
        retune_to_hz=min(
            protocol.frequency_hz + within_hz,
            limits["frequency_highest_hz"],
            capabilities.frequency_max_hz,
        ),
        retune_step_hz=limits["retune_step_hz"] if retune else 0.0,
        retune_every_s=limits["retune_interval_s"],
        retune_playing=capabilities.frequency_change == "phase_continuous",
    )


def _trains_of(protocol: Protocol) -> Trains:
    """The trains that are played: none of a sham."""
    trains = protocol.trains
    if trains is None or protocol.is_sham:
        return NO_TRAINS
    return Trains(
        on_s=trains.on_s,
        off_s=trains.off_s,
        edge_s=trains.edge_s,
        tolerated_s=trains.settle_s,
        course=tuple(
            (math.nan, 1.0) if step is None else (step.frequency_hz, step.level)
            for step in trains.course(protocol.n_trains)
        ),
        span_s=EDGE_SHARE * trains.edge_s,
        on_request=trains.start == "request",
    )


def _level_seconds_left(waveform: Waveform, limits: EffectiveLimits, history: DoseHistory) -> float:
    """Seconds of full current that the charge limits leave at the electrode with the least left."""
    left_s = [math.inf]
    before = history.rectified_charge_24h_c or {}
    for name in waveform.electrodes:
        # Of one second at full current; a passive sham has none, and its plan is silent anyway.
        charge_c = waveform.rectified * 1e-3 * waveform.protocol.montage.current_peak_ma(name)
        allowed_c = min(
            limits["rectified_charge_session_c"],
            limits["rectified_charge_day_c"] - before.get(name, 0.0),
        )
        left_s.append(allowed_c / charge_c)
    return min(left_s)
