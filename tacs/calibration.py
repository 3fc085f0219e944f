"""What a calibration makes of its readings: current, gain, offset, and when it is not believed.

A reading across a known resistor is a peak, a peak-to-peak or an rms value, and whoever reads it
says which. The three are factors of 2 and of 1.41 apart: where a reading fits one that was not
claimed, and not the claimed one, it is refused. A gain that is wrong by 2 is an injury.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tacs.rig import Calibration, Rig
from tacs.safety import Breach

__all__ = [
    "GAIN_CHANGE",
    "KINDS",
    "Fit",
    "Point",
    "as_peak",
    "fit_breaches",
    "fit_points",
    "read_volts",
    "reading_breach",
    "recalibrated",
]

KINDS: Mapping[str, float] = {"peak": 1.0, "pp": 2.0, "rms": math.sqrt(0.5)}
"""What a reading may be, and how many times the peak of a sine it is."""

WORDS = {"peak": "peak (zero-to-peak)", "pp": "peak-to-peak", "rms": "rms"}
FITS = 0.12  # a reading fits what it is claimed to be, or something else, within this
NONLINEARITY = 0.02
GAIN_CHANGE = 0.20
_READING = re.compile(r"\+?(\d+(?:\.\d+)?)\s*(mV|V)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One step of a calibration.

    Parameters
    ----------
    commanded_peak_ma : float
        What the device made of the step, by the gain that was assumed.
    input_peak_v : float or None
        At the stimulator's input; None of a current source.
    measured_peak_ma : float
        Through the resistor, as the reading was claimed to be.
    reading : float
        As read: volts across the resistor, or mA of an instrument.
    unit : str
        ``V`` or ``mA``.
    kind : str
        One of :data:`KINDS`.
    source : str
        ``typed``, ``oscilloscope`` or ``monitor``.
    mean_ma : float or None
        Direct current, where it was measured.
    """

    commanded_peak_ma: float
    input_peak_v: float | None
    measured_peak_ma: float
    reading: float
    unit: str
    kind: str
    source: str
    mean_ma: float | None = None

    def to_dict(self, load_kohm: float) -> dict[str, Any]:
        """Return plain JSON types, with what the reading would be as each of the three."""
        current = self.reading / load_kohm if self.unit == "V" else self.reading
        return {
            "commanded_peak_ma": round(self.commanded_peak_ma, 6),
            "input_peak_v": None if self.input_peak_v is None else round(self.input_peak_v, 6),
            "reading": self.reading,
            "unit": self.unit,
            "kind": self.kind,
            "source": self.source,
            "measured_peak_ma": round(self.measured_peak_ma, 6),
            "as_ma": {kind: round(as_peak(current, kind), 6) for kind in KINDS},
            "mean_ma": None if self.mean_ma is None else round(self.mean_ma, 6),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What the points come to.

    Parameters
    ----------
    slope : float
        Through the origin: mA per volt at the input, or measured over commanded current.
    offset_ma : float
        What a straight line through the points leaves at no command, or the largest direct current
        that was measured.
    nonlinearity : float
        Largest residual over the largest current.
    residuals_ma : tuple of float
        Measured less fitted, by point.
    """

    slope: float
    offset_ma: float
    nonlinearity: float
    residuals_ma: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "slope": round(self.slope, 6),
            "offset_ma": round(self.offset_ma, 6),
            "nonlinearity": round(self.nonlinearity, 6),
            "residuals_ma": [round(value, 6) for value in self.residuals_ma],
        }


def as_peak(value: float, kind: str) -> float:
    """Return the zero-to-peak value of a sine that was read as a peak, peak-to-peak or rms."""
    return value / KINDS[kind]


def read_volts(text: str) -> float:
    """Read ``"4.02 V"`` or ``"4020 mV"``.

    Raises
    ------
    ValueError
        It is neither; says how to write it.
    """
    match = _READING.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text.strip()!r}: write volts with their unit: 4.02 V, 4020 mV")
    return float(match[1]) * (1e-3 if match[2] == "mV" else 1.0)


def reading_breach(point: Point, load_kohm: float, where: str) -> Breach | None:
    """Hold a reading against what it is claimed to be.

    Parameters
    ----------
    point : Point
        The step.
    load_kohm : float
        The resistor.
    where : str
        The step, for a person.

    Returns
    -------
    Breach or None
        Where it fits another kind of value than the one claimed; never of an instrument that says
        itself what it measures.
    """
    if point.source != "typed":
        return None
    current = point.reading / load_kohm
    ratios = {kind: as_peak(current, kind) / point.commanded_peak_ma for kind in KINDS}
    best = min(ratios, key=lambda kind: abs(math.log(ratios[kind])) if ratios[kind] else math.inf)
    if best == point.kind or not abs(ratios[best] - 1.0) <= FITS:
        return None
    unlike = max(ratios[point.kind], 1.0 / ratios[point.kind])
    return Breach(
        limit="calibration_reading",
        value=f"{point.reading:g} {point.unit} as {WORDS[point.kind]}: "
        f"{as_peak(current, point.kind):.4g} mA peak, {unlike:.3g} times off",
        allowed=f"{point.commanded_peak_ma:.4g} mA peak",
        unit="",
        source="peak, peak-to-peak and rms are 2 and 1.41 apart",
        where=f"{where}; as {WORDS[best]} it fits: what does the instrument show? Where the gain "
        f"is really another, give --nominal-gain from the stimulator's data sheet",
    )


def fit_points(points: Sequence[Point]) -> Fit:
    """Fit a line to measured currents; at least two different steps.

    Parameters
    ----------
    points : sequence of Point
        Of rising steps.
    """
    x = [p.commanded_peak_ma if p.input_peak_v is None else p.input_peak_v for p in points]
    y = [p.measured_peak_ma for p in points]
    n = len(points)
    slope = math.fsum(a * b for a, b in zip(x, y, strict=True)) / math.fsum(a * a for a in x)
    mean_x, mean_y = math.fsum(x) / n, math.fsum(y) / n
    spread = math.fsum((a - mean_x) ** 2 for a in x)
    tilt = math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
    offsets = [mean_y - tilt * mean_x, *(p.mean_ma for p in points if p.mean_ma is not None)]
    residuals = tuple(b - slope * a for a, b in zip(x, y, strict=True))
    return Fit(
        slope=slope,
        offset_ma=max(offsets, key=abs),
        nonlinearity=max(abs(r) for r in residuals) / max(y) if max(y) > 0.0 else math.inf,
        residuals_ma=residuals,
    )


def fit_breaches(
    fit: Fit,
    present: float,
    unit: str,
    offset_max_ma: float,
    *,
    nominal: float | None = None,
    new_stimulator: bool = False,
) -> list[Breach]:
    """List why a fit is not believed.

    Parameters
    ----------
    fit : Fit
        Of the points.
    present : float
        The rig's gain or ratio up to now, in the unit of the slope.
    unit : str
        ``mA/V`` or empty.
    offset_max_ma : float
        Largest direct current that the limits allow.
    nominal : float, optional
        Gain by the stimulator's data sheet.
    new_stimulator : bool
        Whether another gain than the present one is expected.
    """
    found = []

    def refuse(limit: str, value: float, allowed: float | str, unit: str, where: str) -> None:
        found.append(
            Breach(
                limit=limit,
                value=value,
                allowed=allowed,
                unit=unit,
                source="tacs-suite, engineering judgement",
                where=where,
            )
        )

    if not fit.nonlinearity <= NONLINEARITY:
        refuse("calibration_nonlinearity", fit.nonlinearity, NONLINEARITY, "of the largest current",
               "the readings are on no straight line through nothing; compliance, a loose contact, "
               "or a reading that was taken too early")  # fmt: skip
    if not abs(fit.offset_ma) <= offset_max_ma:
        refuse("measured_dc_offset_ma", abs(fit.offset_ma), offset_max_ma, "mA",
               "direct current of the stimulator, or an offset of the instrument")  # fmt: skip
    if not (new_stimulator or abs(fit.slope / present - 1.0) <= GAIN_CHANGE):
        refuse("calibration_gain_change", fit.slope, f"{present:.4g} ± {100 * GAIN_CHANGE:.0f} %",
               unit, "another stimulator is said so with --new-stimulator")  # fmt: skip
    if nominal is not None and not abs(fit.slope / nominal - 1.0) <= GAIN_CHANGE:
        refuse("calibration_nominal_gain", fit.slope, f"{nominal:.4g} ± {100 * GAIN_CHANGE:.0f} %",
               unit, "this is not what --nominal-gain says; a wrong resistor, input range or "
               "reading")  # fmt: skip
    return found


def recalibrated(rig: Rig, channel: int, slope: float, calibration: Calibration) -> Rig:
    """Return a rig with the new calibration of one channel.

    Parameters
    ----------
    rig : Rig
        As it was.
    channel : int
        That was calibrated.
    slope : float
        Gain in mA/V; of a current source without one, it stays without.
    calibration : Calibration
        Day, expiry, resistor, person.
    """
    data = rig.to_data()
    for entry in [*data.get("channels", []), *data.get("outputs", [])]:
        if entry["channel"] != channel:
            continue
        entry["calibration"] = calibration.to_data()
        if calibration.ratio is None:
            entry["gain_ma_per_v"] = float(f"{slope:.6g}")
    return Rig.from_data(data, f"rig {rig.name}")
