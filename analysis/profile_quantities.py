"""Single numbers of a profile that people and visits are compared by, each with its interval."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError
from analysis.profile_design import difference_of

__all__ = [
    "NAMES",
    "Quantity",
    "quantities_of",
    "read_result",
    "scaled",
    "unscaled",
    "whose",
]

End = float | None

# Name: words, unit, whether it is compared as a ratio (natural log).
NAMES: Mapping[str, tuple[str, str, bool]] = {
    "centre_hz": ("Centre of the resonance", "Hz", False),
    "half_width_hz": ("Half-width of the resonance", "Hz", True),
    "height_plv2": ("Height at best, squared locking", "", True),
    "locking_slope_hz": ("Half-width of the locking region per unit of level", "Hz", True),
    "echo_tau_s": ("Time constant of the echo", "s", True),
    "rest_fwhm_hz": ("Width of the line at rest", "Hz", True),
    "tolerance_hz": ("Frequency tolerance", "Hz", True),
}
_NEEDED = ("mode", "verdict", "curve", "sham_curve", "resonance", "echo", "channels", "design")


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number of one profile.

    Parameters
    ----------
    name : str
        Of `NAMES`.
    value : float
        In its unit.
    low, high : float or None
        95 % interval; None where that end is open.
    """

    name: str
    value: float
    low: End
    high: End

    @property
    def scaled(self) -> float:
        """Value on the scale of comparison."""
        return scaled(self.name, self.value)

    @property
    def scaled_ends(self) -> tuple[float, float]:
        """Interval on the scale of comparison; infinite where it is open."""
        low = -math.inf if self.low is None else scaled(self.name, min(self.low, self.value))
        high = math.inf if self.high is None else scaled(self.name, max(self.high, self.value))
        return low, high


def scaled(name: str, value: float) -> float:
    """Value of a quantity on the scale that it is compared on: natural log of ratios."""
    if not NAMES[name][2]:
        return value
    return math.log(value) if value > 0.0 else -math.inf


def unscaled(name: str, value: float) -> float:
    """Back from the scale of comparison."""
    return math.exp(value) if NAMES[name][2] else value


def read_result(path: str | Path) -> dict[str, Any]:
    """Read a result of a profile.

    Parameters
    ----------
    path : path
        Written by ``tacs profile analyze --out``.

    Returns
    -------
    dict
        As `ResponseProfile.to_dict`, with `file` and with where it comes from.

    Raises
    ------
    AnalysisError
        If the file cannot be read or is no such result.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, ValueError) as exc:
        raise AnalysisError(f"{path}: cannot be read as a result ({exc})") from exc
    missing = [k for k in _NEEDED if k not in data] if isinstance(data, dict) else list(_NEEDED)
    if missing:
        raise AnalysisError(
            f"{path}: no result of a profile ({missing[0]} is missing); write one with "
            "tacs profile analyze --out"
        )
    try:
        difference_of(data, data)
        quantities_of(data)
        for row in data["curve"]:
            math.fsum(row[key] for key in ("frequency_hz", "level", "response_plv2"))
        if not all(isinstance(data.get(k), str | None) for k in ("subject", "recorded_at")):
            raise TypeError("subject or date is no text")
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as exc:
        raise AnalysisError(
            f"{path}: not as tacs profile analyze --out writes it ({exc!r}); analyze again"
        ) from exc
    return {**data, "file": str(path)}


def whose(data: Mapping[str, Any]) -> str:
    """Subject of a result, or an error that says how to state it."""
    subject = data.get("subject")
    if not subject:
        raise AnalysisError(
            f"{data['file']}: does not say whose it is; analyze again with --subject"
        )
    return str(subject)


def quantities_of(data: Mapping[str, Any]) -> dict[str, Quantity]:
    """Return what a result holds; empty without a response.

    Parameters
    ----------
    data : mapping
        As `ResponseProfile.to_dict`.

    Returns
    -------
    dict of str to Quantity
        Resonance and height of the highest level, the echo with the lowest p, rest and tolerance.
        The width at rest gets an approximate interval, ``ln FWHM`` with variance
        ``4/(pi FWHM T)`` from T seconds.
    """
    if data["verdict"] != "response":
        return {}
    found = {}
    levels = [row["level"] for row in data["curve"]]
    at_top = [row for row in data["curve"] if row["level"] == max(levels)]
    curves = [one for one in data["resonance"] if one["level"] == max(levels)]
    if curves:
        (one,) = curves
        for name in ("centre", "half_width"):
            key = f"{name}_hz"
            found[key] = Quantity(key, one[key], *one[f"{name}_ci95_hz"])
        height = Quantity("height_plv2", one["height_plv2"], *one["height_ci95_plv2"])
    else:
        best = max(at_top, key=lambda row: row["response_plv2"])
        height = Quantity("height_plv2", best["response_plv2"], *best["response_ci95_plv2"])
    found["height_plv2"] = height
    if data["arnold"] is not None:
        region = data["arnold"]
        found["locking_slope_hz"] = Quantity(
            "locking_slope_hz", region["slope_hz_per_level"], *region["slope_ci95"]
        )
    echoes = [
        one
        for one in data["echo"]
        if one["kind"] == "drive" and one["reportable"] and one["tau_s"] and one["tau_ci95_s"]
    ]
    if echoes:
        echo = min(echoes, key=lambda one: one["p"])
        found["echo_tau_s"] = Quantity("echo_tau_s", echo["tau_s"], *echo["tau_ci95_s"])
    rest, tolerance = data["rest"], data["frequency_tolerance"]
    if rest is not None:
        half = 1.96 * math.sqrt(4.0 / (math.pi * rest["fwhm_hz"] * rest["seconds"]))
        ends = (rest["fwhm_hz"] * math.exp(sign * half) for sign in (-1.0, 1.0))
        found["rest_fwhm_hz"] = Quantity("rest_fwhm_hz", rest["fwhm_hz"], *ends)
    if tolerance is not None and tolerance["tolerance_hz"] > 0.0:
        found["tolerance_hz"] = Quantity(
            "tolerance_hz", tolerance["tolerance_hz"], *tolerance["tolerance_ci95_hz"]
        )
    return {name: one for name, one in found.items() if math.isfinite(one.scaled)}
