"""What a person has to set on a device without remote control, and what cannot be set on it.

The sheet has every setting as the device's panel shows it, in the panel's unit and on its grid.
A current is given both zero-to-peak and peak-to-peak, with a warning which of them the panel asks
for: the two are mixed up easily, and one is twice the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from tacs.hand_panel import Panel, exact, shown
from tacs.limits import EffectiveLimits
from tacs.protocol import Protocol
from tacs.rig import Rig, RigChannel
from tacs.safety import Breach
from tacs.wiring import WiredChannel, wire

__all__ = ["SILENT", "STARTED", "Setting", "Sheet", "hand_breaches", "instruction", "sheet_of"]

STARTED = "started"
SILENT = "silent"
_SOURCE = "a device that a person sets"
_KINDS = {"peak": "PEAK (zero-to-peak)", "peak_to_peak": "PEAK-TO-PEAK"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One thing to be set.

    Parameters
    ----------
    key : str
        Its name in a settings file.
    label : str
        For a person.
    kind : {"word", "electrodes", "number", "amplitude"}
        How it is typed and compared.
    text : str
        As the panel shows it, unit included.
    number : Fraction or None
        The panel's number; None of a word.
    unit : str
        Of the number.
    note : str
        What a person should know of it.
    """

    key: str
    label: str
    kind: Literal["word", "electrodes", "number", "amplitude"]
    text: str
    number: Fraction | None = None
    unit: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Every setting of one session on one device.

    Parameters
    ----------
    device_name : str
        As it stands on the device.
    settings : tuple of Setting
        In the order in which they are shown and typed.
    amplitude_display : {"peak", "peak_to_peak"}
        What the panel's number for the current means.
    warnings : tuple of str
        What is mixed up easily.
    """

    device_name: str
    settings: tuple[Setting, ...]
    amplitude_display: str
    warnings: tuple[str, ...]

    def text(self) -> str:
        """Return the sheet for a person."""
        wide = max(len(setting.label) for setting in self.settings)
        lines = [f"set by hand on {self.device_name}:"]
        for setting in self.settings:
            note = f"   {setting.note}" if setting.note else ""
            lines.append(f"  {setting.label:<{wide}}  {setting.text}{note}")
        return "\n".join([*lines, *(f"  ! {text}" for text in self.warnings)])

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "device_name": self.device_name,
            "amplitude_display": self.amplitude_display,
            "settings": {setting.key: setting.text for setting in self.settings},
            "warnings": list(self.warnings),
        }


def sheet_of(protocol: Protocol, rig: Rig) -> Sheet:
    """Return what has to be set on a rig's device for a protocol.

    Parameters
    ----------
    protocol : Protocol
        Checked; what :func:`hand_breaches` lists cannot be set.
    rig : Rig
        With the panel's options.

    Raises
    ------
    FileProblems
        The rig does not say what its panel is like.
    """
    panel = Panel.of(rig)
    ramps_s = protocol.ramp_up_s + protocol.ramp_down_s
    frequency = panel.frequency(protocol.frequency_hz)
    duration = panel.duration(protocol.duration_s, ramps_s)
    counts = "with both ramps" if panel.duration_includes_ramps else "without the ramps"
    settings = [
        Setting(key="waveform", label="waveform", kind="word", text=panel.waveform_name),
        _number("frequency", frequency, panel.frequency_step, panel.frequency_unit,
                f"= {panel.frequency_hz(frequency):.6g} Hz; the protocol's is "
                f"{protocol.frequency_hz:.6g} Hz"),
        _number("ramp_up", exact(protocol.ramp_up_s), panel.ramp_step_s, "s"),
        _number("duration", duration, panel.duration_step, panel.duration_unit,
                f"{counts}: current flows for {protocol.duration_s:g} s in all"),
        _number("ramp_down", exact(protocol.ramp_down_s), panel.ramp_step_s, "s"),
    ]  # fmt: skip
    for wired in wire(protocol.montage, rig).channels:
        settings += _of_channel(wired, panel)
    return Sheet(
        device_name=panel.device_name,
        settings=tuple(settings),
        amplitude_display=panel.amplitude_display,
        warnings=(
            f"the panel asks for the {_KINDS[panel.amplitude_display]} current; "
            f"peak-to-peak is twice zero-to-peak",
            f"the panel's duration counts {counts.removeprefix('with ')}",
            "channels that are not listed: current 0, or off",
        ),
    )


def _number(key: str, number: Fraction, step: Fraction, unit: str, note: str = "") -> Setting:
    return Setting(
        key=key,
        label=key.replace("_", " "),
        kind="number",
        text=f"{shown(number, step)} {unit}",
        number=number,
        unit=unit,
        note=note,
    )


def _of_channel(wired: WiredChannel, panel: Panel) -> list[Setting]:
    """Electrodes, current and phase of one channel."""
    key, label = f"channel_{wired.channel}", f"channel {wired.channel}"
    ends = wired.electrodes
    if isinstance(wired.wired, RigChannel):
        ends = (wired.wired.positive, wired.wired.negative)
    amplitude = panel.amplitude(wired.current_peak_ma)
    peak_ma = panel.current_peak_ma(amplitude)
    found = [
        Setting(
            key=f"{key}_electrodes",
            label=f"{label} electrodes",
            kind="electrodes",
            text="-".join(ends),
            note="positive terminal first",
        ),
        Setting(
            key=f"{key}_amplitude",
            label=f"{label} amplitude",
            kind="amplitude",
            text=f"{shown(amplitude, panel.amplitude_step)} {panel.amplitude_unit}",
            number=amplitude,
            unit=panel.amplitude_unit,
            note=f"= {peak_ma:.6g} mA zero-to-peak = {2 * peak_ma:.6g} mA peak-to-peak; "
            f"the panel asks for {_KINDS[panel.amplitude_display]}",
        ),
    ]
    if panel.phase_step_deg is not None:
        phase = _number(f"{key}_phase", exact(wired.phase_deg), panel.phase_step_deg, "deg")
        found.append(phase)
    return found


def hand_breaches(protocol: Protocol, rig: Rig | None, limits: EffectiveLimits) -> list[Breach]:
    """List what of a protocol cannot be set on the panel of a rig's device.

    Parameters
    ----------
    protocol : Protocol
        The prescription.
    rig : Rig or None
        With the panel's options; without one nothing is said here.
    limits : EffectiveLimits
        In force.

    Raises
    ------
    FileProblems
        The rig does not say what its panel is like.
    """
    if rig is None:
        return []
    panel, found = Panel.of(rig), list[Breach]()

    def refuse(
        limit: str, value: float | str, allowed: float | str, unit: str, where: str, source: str
    ) -> None:
        found.append(
            Breach(limit=limit, value=value, allowed=allowed, unit=unit, source=source, where=where)
        )

    if protocol.waveform != "tacs":
        refuse("device_waveform", protocol.waveform, "tacs", "",
               f"{panel.device_name}: no sham and no modulation", _SOURCE)  # fmt: skip
    if protocol.blinding is not None:
        refuse("hand_blinding", "blinded", "an open session", "",
               f"{panel.device_name}: whoever sets the device sees the arm", _SOURCE)  # fmt: skip
    achieved_hz = panel.frequency_hz(panel.frequency(protocol.frequency_hz))
    error_hz = abs(achieved_hz - protocol.frequency_hz)
    if not error_hz <= limits["frequency_error_hz"]:
        refuse("frequency_error_hz", error_hz, limits["frequency_error_hz"], "Hz",
               f"{panel.device_name} is set to {achieved_hz:g} Hz at the nearest",
               limits.source("frequency_error_hz"))  # fmt: skip
    ramps_s = protocol.ramp_up_s + protocol.ramp_down_s
    grids = [
        ("ramp_up_s", exact(protocol.ramp_up_s), panel.ramp_step_s, "s"),
        ("ramp_down_s", exact(protocol.ramp_down_s), panel.ramp_step_s, "s"),
        ("duration_s", panel.duration(protocol.duration_s, ramps_s), panel.duration_step,
         panel.duration_unit),
    ]  # fmt: skip
    channels = wire(protocol.montage, rig).channels
    if panel.phase_step_deg is not None:
        grids += [
            (f"phase_deg of {w.name}", exact(w.phase_deg), panel.phase_step_deg, "deg")
            for w in channels
        ]
    elif len({round(w.phase_deg, 9) for w in channels}) > 1:
        refuse("phase_deg", ", ".join(f"{w.name} {w.phase_deg:g}°" for w in channels),
               "one phase on all channels", "",
               f"{panel.device_name} has no phase setting; for opposite phase swap the two leads "
               f"in the rig", _SOURCE)  # fmt: skip
    for what, number, step, unit in grids:
        if (number / step).denominator != 1:
            refuse("hand_grid", float(number), f"a multiple of {float(step):g}", unit,
                   f"{what} on {panel.device_name}", _SOURCE)  # fmt: skip
    for name in ("soft_stop_s", "emergency_stop_s"):
        if not panel.device_stop_s <= limits[name]:
            where = f"{panel.device_name}, from a press on its stop"
            refuse(name, panel.device_stop_s, limits[name], "s", where, limits.source(name))
    for wired in channels:
        if panel.amplitude(wired.current_peak_ma) == 0:
            refuse("hand_grid", wired.current_peak_ma, "a current above 0", "mA",
                   f"{wired.name}: less than one step of {panel.device_name}", _SOURCE)  # fmt: skip
    return found


def instruction(word: str, device_name: str, *, ended: bool = False) -> str:
    """Return what an operator is told when a word is wanted of them.

    Parameters
    ----------
    word : str
        :data:`STARTED`, :data:`SILENT`, or empty where nothing is wanted.
    device_name : str
        The device.
    ended : bool
        Whether the programme is over as planned.
    """
    if word == STARTED:
        return f"press START on {device_name} NOW, and type {STARTED} as its current begins"
    if word == SILENT and ended:
        return (
            f"the session is over: look whether {device_name} has ended, press its STOP if not, "
            f"then type {SILENT}"
        )
    if word == SILENT:
        return f"STOP: press STOP on {device_name} NOW; when it shows no current, type {SILENT}"
    return ""
