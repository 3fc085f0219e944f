"""What a device and its rig cannot do of a protocol."""

from __future__ import annotations

import math
from datetime import date

from tacs.breach import Breach, broken, margin_of
from tacs.capabilities import Capabilities
from tacs.limits import EffectiveLimits
from tacs.protocol import Protocol
from tacs.rig import Rig
from tacs.wiring import wire

__all__ = ["device_breaches", "retuned_hz"]

_TABLES = {"loops": "[[channels]], one per loop", "electrodes": "[[outputs]], one per electrode"}


def device_breaches(
    protocol: Protocol,
    capabilities: Capabilities,
    rig: Rig | None,
    limits: EffectiveLimits,
    *,
    today: date,
    emulated: bool,
) -> list[Breach]:
    """List what a device and its rig cannot do of a protocol.

    Parameters
    ----------
    protocol : Protocol
        The prescription.
    capabilities : Capabilities
        Declared by the driver.
    rig : Rig or None
        What is wired to what; a voltage source cannot do without.
    limits : EffectiveLimits
        In force.
    today : date
        For the calibration's expiry.
    emulated : bool
        Whether the device is an emulated one; an emulated rig on a real device is refused.

    Returns
    -------
    list of Breach
    """
    name = capabilities.name
    declared = f"declared by the driver {name}"
    breaches: list[Breach] = []

    def refuse(limit: str, value: float | str, allowed: float | str, unit: str, where: str) -> None:
        breaches.append(
            Breach(
                limit=limit, value=value, allowed=allowed, unit=unit, source=declared, where=where
            )
        )

    waveform = "tacs" if protocol.carrier_hz is None else "am_tacs"
    if waveform not in capabilities.waveforms:
        playable = ", ".join(capabilities.waveforms)
        refuse("device_waveform", waveform, playable, "", f"{name} cannot play it")
    changed_hz = retuned_hz(protocol)
    carriers_hz = () if protocol.carrier_hz is None else (protocol.carrier_hz,)
    for played_hz in (protocol.frequency_hz, *carriers_hz, *changed_hz):
        if not played_hz >= capabilities.frequency_min_hz:
            refuse("device_frequency_min_hz", played_hz, capabilities.frequency_min_hz, "Hz", name)
        if not played_hz <= capabilities.frequency_max_hz:
            refuse("device_frequency_max_hz", played_hz, capabilities.frequency_max_hz, "Hz", name)
    error_hz = max(
        abs(capabilities.achieved_frequency_hz(wanted_hz) - wanted_hz)
        for wanted_hz in (protocol.frequency_hz, *changed_hz)
    )
    if changed_hz and capabilities.frequency_change == "stop_first":
        what = "trains.steps" if protocol.retune is None else "retune"
        refuse("device_frequency_change", "stop_first", "phase_continuous", "",
               f"{what}: {name} cannot change its frequency in a session")  # fmt: skip
    if protocol.trains is not None and capabilities.no_trains:
        refuse("device_trains", "trains", "no trains", "", f"{name}: {capabilities.no_trains}")
    elif protocol.trains is not None and not (
        protocol.trains.edge_s >= capabilities.train_edge_min_s
    ):
        refuse("device_train_edge_s", protocol.trains.edge_s, capabilities.train_edge_min_s, "s",
               f"{name} cannot follow a steeper edge")  # fmt: skip
    if not protocol.duration_s <= capabilities.play_duration_max_s:
        refuse(
            "device_duration_s", protocol.duration_s, capabilities.play_duration_max_s, "s", name
        )
    if not math.isfinite(capabilities.host_loss_worst_case_s):
        refuse("host_loss", "current that would not end", "current that ends by itself", "s",
               f"{capabilities.on_host_loss}; --override host_loss=REASON is recorded")  # fmt: skip
    found = [
        margin_of(limits, "frequency_error_hz", error_hz, name),
        margin_of(limits, "soft_stop_s", capabilities.soft_stop_s, name),
        margin_of(limits, "emergency_stop_s", capabilities.emergency_stop_s, name),
    ]
    if rig is None:
        what = "a voltage source" if capabilities.output == "voltage" else "a current source"
        refuse("rig", "no rig file", "a rig file", "", f"{name} is {what}; what is wired to it?")
        return breaches + broken(found)
    if rig.device != name:
        refuse("rig", rig.device, name, "", f"rig {rig.name!r} is for another device")
    if rig.emulated and not emulated:
        refuse("rig", "emulated", "a calibrated rig", "", f"rig {rig.name!r} on a real device")
    wiring = wire(protocol.montage, rig)
    for problem in wiring.problems:
        refuse("wiring", problem, "one isolated channel per loop", "", "montage")
    kind = "electrodes" if rig.outputs else "loops"
    if kind != capabilities.wiring:
        refuse("wiring", kind, capabilities.wiring, "",
               f"rig {rig.name!r}: {name} needs {_TABLES[capabilities.wiring]}")  # fmt: skip
    wired_to = [*(c.channel for c in rig.channels), *(o.channel for o in rig.outputs)]
    for missing in [number for number in wired_to if number > capabilities.n_channels]:
        refuse("channel", float(missing), float(capabilities.n_channels), "", f"rig {rig.name!r}")
    if capabilities.phase_step_deg is None and wiring.channels and not wiring.phases_agree:
        refuse(
            "phase_deg",
            ", ".join(f"{w.name} {w.phase_deg:g}°" for w in wiring.channels),
            "one phase on all channels",
            "",
            f"{name} has no phase setting; for opposite phase swap the two leads in the rig",
        )
    if rig.monitor is not None and protocol.carrier_hz is not None:
        refuse("monitor", "am_tacs", "tacs", "",
               "what the rig's monitor measures is judged as a sine")  # fmt: skip
    if rig.monitor is not None and not today <= rig.monitor.calibration.expires_on:
        breaches.append(
            Breach(
                limit="calibration_expiry",
                value=today.isoformat(),
                allowed=rig.monitor.calibration.expires_on.isoformat(),
                unit="",
                source=f"rig {rig.name}",
                where="monitor; have the current monitor calibrated again",
            )
        )
    for wired in wiring.channels:
        channel, at, current_ma = wired.wired, wired.name, wired.current_peak_ma
        source = f"rig {rig.name}"
        bounds = [("rig_current_max_ma", current_ma, wired.current_max_ma, "mA")]
        if capabilities.output == "voltage":
            volts, input_max_v = wired.amplitude_v, wired.input_max_v
            if volts is None or input_max_v is None:
                refuse("rig", "a channel without gain_ma_per_v or input_max_v", "both", "",
                       f"rig {rig.name!r}, channel {wired.channel}; tacs calibrate measures the "
                       f"gain")  # fmt: skip
                continue
            bounds += [
                ("rig_input_max_v", volts, input_max_v, "V"),
                ("device_amplitude_v", volts, capabilities.amplitude_max_v, "V"),
            ]
        for limit, value, allowed, unit in bounds:
            if not value <= allowed:
                breaches.append(
                    Breach(
                        limit=limit,
                        value=value,
                        allowed=allowed,
                        unit=unit,
                        source=source,
                        where=at,
                    )
                )
        if not today <= channel.calibration.expires_on:
            breaches.append(
                Breach(
                    limit="calibration_expiry",
                    value=today.isoformat(),
                    allowed=channel.calibration.expires_on.isoformat(),
                    unit="",
                    source=source,
                    where=f"channel {channel.channel}; calibrate the gain again",
                )
            )
        # Every contact at the highest impedance that a session may start with.
        loop_kohm = len(wired.electrodes) * limits["impedance_start_kohm"]
        use = current_ma * loop_kohm / wired.compliance_v
        found.append(margin_of(limits, "compliance_use", use, at))
    return breaches + broken(found)


def retuned_hz(protocol: Protocol) -> tuple[float, ...]:
    """Return what a session may change to: of every step, or the ends of a stated range, in Hz."""
    if protocol.retune is not None:
        within_hz = protocol.retune.within_hz
        return (protocol.frequency_hz - within_hz, protocol.frequency_hz + within_hz)
    return () if protocol.trains is None else tuple(s.frequency_hz for s in protocol.trains.steps)
