"""The front panel of a stimulator that a person sets: its units, its grids, what it asks for.

The rig file says it in ``options``, because no driver can ask the device. Everything that the
panel shows is worked out from here, exactly on the decimal numbers as written, so that rounding
down to the panel's grid never loses a step to binary fractions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from tacs.errors import FileProblems
from tacs.rig import Rig

__all__ = ["AMPLITUDES", "FREQUENCIES", "Panel", "exact", "shown"]

AMPLITUDES: Mapping[str, tuple[str, int]] = {
    "amplitude_step_ma": ("mA", 1),
    "amplitude_step_ua": ("µA", 1000),
}
"""Option, and the panel's unit with how many of it make one mA."""

FREQUENCIES: Mapping[str, str] = {
    "frequency_step_hz": "Hz",
    "frequency_step_mhz": "mHz",
    "period_step_ms": "ms",
}
DURATIONS: Mapping[str, tuple[str, int]] = {
    "duration_step_s": ("s", 1),
    "duration_step_min": ("min", 60),
}
DISPLAYS = {"peak": 1, "peak_to_peak": 2}
STEPS = ("ramp_step_s", "phase_step_deg")
NEEDED = ("device_name", "amplitude_display", "duration_includes_ramps", "ramp_step_s",
          "device_stop_s")  # fmt: skip
OPTIONAL = ("phase_step_deg", "waveform_name")
KNOWN = (*NEEDED, *OPTIONAL, *AMPLITUDES, *FREQUENCIES, *DURATIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A front panel.

    Parameters
    ----------
    device_name : str
        Make, model and serial number, as it stands on the device.
    amplitude_display : {"peak", "peak_to_peak"}
        What the panel's number for the current means.
    amplitude_unit, frequency_unit, duration_unit : str
        ``mA`` or ``µA``; ``Hz``, ``mHz`` or ``ms`` (a period); ``s`` or ``min``.
    amplitude_step, frequency_step, duration_step : Fraction
        Grids, in those units and in what the panel's number means.
    duration_includes_ramps : bool
        Whether the panel's duration is that from first to last current.
    ramp_step_s : Fraction
        Grid of both ramps.
    phase_step_deg : Fraction or None
        Grid of the phase; None where the panel has none.
    device_stop_s : float
        From a press on the device's own stop to zero current.
    waveform_name : str
        What the panel calls a sine.
    """

    device_name: str
    amplitude_display: str
    amplitude_unit: str
    amplitude_step: Fraction
    frequency_unit: str
    frequency_step: Fraction
    duration_unit: str
    duration_step: Fraction
    duration_includes_ramps: bool
    ramp_step_s: Fraction
    phase_step_deg: Fraction | None
    device_stop_s: float
    waveform_name: str

    @classmethod
    def of(cls, rig: Rig) -> Panel:
        """Read the options of a rig.

        Raises
        ------
        FileProblems
            An option is missing, unknown, or not what it must be; every problem is listed.
        """
        options = rig.options
        if problems := _problems(options):
            raise FileProblems(f"rig {rig.name}", problems)
        amplitude = next(name for name in AMPLITUDES if name in options)
        frequency = next(name for name in FREQUENCIES if name in options)
        duration = next(name for name in DURATIONS if name in options)
        phase = options.get("phase_step_deg")
        return cls(
            device_name=str(options["device_name"]),
            amplitude_display=str(options["amplitude_display"]),
            amplitude_unit=AMPLITUDES[amplitude][0],
            amplitude_step=_grid(options[amplitude]),
            frequency_unit=FREQUENCIES[frequency],
            frequency_step=_grid(options[frequency]),
            duration_unit=DURATIONS[duration][0],
            duration_step=_grid(options[duration]),
            duration_includes_ramps=options["duration_includes_ramps"] is True,
            ramp_step_s=_grid(options["ramp_step_s"]),
            phase_step_deg=None if phase is None else _grid(phase),
            device_stop_s=float(options["device_stop_s"]),
            waveform_name=str(options.get("waveform_name", "sine")),
        )

    @property
    def peaks(self) -> int:
        """How many times the zero-to-peak current the panel's number is: 1, or 2."""
        return DISPLAYS[self.amplitude_display]

    def amplitude(self, current_peak_ma: float) -> Fraction:
        """Return the panel's number for a zero-to-peak current, rounded down to its grid."""
        number = exact(current_peak_ma) * self.peaks * self._per_ma
        return math.floor(number / self.amplitude_step) * self.amplitude_step

    def current_peak_ma(self, amplitude: Fraction) -> float:
        """Return the zero-to-peak current of a number on the panel."""
        return float(amplitude / self.peaks / self._per_ma)

    def frequency(self, frequency_hz: float) -> Fraction:
        """Return the panel's number nearest to a frequency: hertz, millihertz or a period."""
        wanted = exact(frequency_hz)
        number = {"Hz": wanted, "mHz": 1000 * wanted, "ms": 1000 / wanted}[self.frequency_unit]
        return max(round(number / self.frequency_step), 1) * self.frequency_step

    def frequency_hz(self, frequency: Fraction) -> float:
        """Return the frequency of a number on the panel."""
        if self.frequency_unit == "Hz":
            return float(frequency)
        return float(frequency / 1000 if self.frequency_unit == "mHz" else 1000 / frequency)

    def duration(self, duration_s: float, ramps_s: float) -> Fraction:
        """Return the panel's number for a session from first to last current."""
        seconds = exact(duration_s)
        if not self.duration_includes_ramps:
            seconds -= exact(ramps_s)
        return seconds / (60 if self.duration_unit == "min" else 1)

    @property
    def _per_ma(self) -> int:
        return 1000 if self.amplitude_unit == "µA" else 1


def exact(number: float) -> Fraction:
    """Return the decimal number that a float is written as."""
    return Fraction(repr(number))


def _grid(value: object) -> Fraction:
    """A step of the panel, which was found to be a number."""
    return Fraction(str(value))


def shown(number: Fraction, step: Fraction) -> str:
    """Return a number with as many decimals as its grid has."""
    decimals = 0
    while decimals < 9 and (step * 10**decimals).denominator != 1:
        decimals += 1
    if (number * 10**decimals).denominator != 1:
        return f"{float(number):.9g}"  # off its grid: said elsewhere, shown as it is
    return f"{float(number):.{decimals}f}"


def _problems(options: Mapping[str, Any]) -> list[str]:
    """What is wrong with a rig's options, one line each."""
    found = [
        f"options.{name}: unknown; known: {', '.join(KNOWN)}"
        for name in options
        if name not in KNOWN
    ]
    found += [
        f"options.{name}: missing; {_MEANING[name]}" for name in NEEDED if name not in options
    ]
    for names, what in (
        (AMPLITUDES, "the grid of the panel's current"),
        (FREQUENCIES, "the grid of the panel's frequency, or of its period"),
        (DURATIONS, "the grid of the panel's duration"),
    ):
        given = [name for name in names if name in options]
        if len(given) != 1:
            found.append(f"options: write one of {', '.join(names)}: {what}")
    for name, value in options.items():
        if name in {"device_name", "waveform_name"}:
            bad = not (isinstance(value, str) and value.strip())
            wanted = "a text in quotes"
        elif name == "amplitude_display":
            bad, wanted = value not in DISPLAYS, "peak or peak_to_peak"
        elif name == "duration_includes_ramps":
            bad, wanted = not isinstance(value, bool), "true or false"
        elif name == "device_stop_s":
            bad, wanted = not (_is_number(value) and value >= 0), "seconds, 0 or more"
        elif name in KNOWN:
            bad, wanted = not (_is_number(value) and value > 0), "a number above 0"
        else:
            continue
        if bad:
            found.append(f"options.{name}: must be {wanted}, not {value!r}")
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_MEANING = {
    "device_name": "make, model and serial number as they stand on the device",
    "amplitude_display": "whether the panel asks for the peak or the peak_to_peak current",
    "duration_includes_ramps": "whether the panel's duration counts the ramps (true or false)",
    "ramp_step_s": "grid of the panel's ramps (seconds)",
    "device_stop_s": "from a press on the device's own stop to zero current (seconds)",
}
