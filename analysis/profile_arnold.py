"""The locking region over amplitude, from squared locking at several levels and frequencies.

A limit cycle with noise of phase and amplitude (:mod:`analysis.profile_oscillator`) under a drive
of level I locks, were there no noise, where its detuning is less than ``w = s I``. Stiffness and
line width of the rhythm come from rest; the blocks of all levels together give centre, slope ``s``
(Hz per unit of level) and, with what rest said of it as prior, the line width again.

The half-width is that of this model. A rhythm whose size varies more than a limit cycle's does
(bursts) is none, and gets no locking region.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.profile_curve import Measured, fit_curve
from analysis.profile_oscillator import MOST_KURTOSIS, Oscillator, stiffness_of
from analysis.profile_rest import RestLine

__all__ = ["LEAST_LEVELS", "ArnoldMap", "arnold_of", "fit_arnold"]

Array = NDArray[np.float64]

LEAST_LEVELS = 3
LEAST_FREQUENCIES = 5
MODEL_SD = 0.05  # of the log of the line width at rest, beyond its noise


@dataclass(frozen=True, slots=True)
class ArnoldMap:
    """Half-width of the locking region, ``slope * level``.

    Parameters
    ----------
    centre_hz : float
        Of the region.
    centre_ci95_hz, slope_ci95 : (float or None, float or None)
        Intervals; None where open.
    slope_hz_per_level : float
        s.
    half_width_hz : dict of float to float
        At every level.
    fwhm_hz : float
        Width that diffusion of phase alone gives the line.
    stiffness : float
        Relaxation of the amplitude over that width.
    scatter : float
        Of the blocks about the model.
    """

    centre_hz: float
    centre_ci95_hz: tuple[float | None, float | None]
    slope_hz_per_level: float
    slope_ci95: tuple[float | None, float | None]
    half_width_hz: dict[float, float]
    fwhm_hz: float
    stiffness: float
    scatter: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        low, high = self.slope_ci95
        return {
            "centre_hz": self.centre_hz,
            "centre_ci95_hz": list(self.centre_ci95_hz),
            "slope_hz_per_level": self.slope_hz_per_level,
            "slope_ci95": list(self.slope_ci95),
            "levels": [
                {
                    "level": level,
                    "half_width_hz": width,
                    "half_width_ci95_hz": [
                        None if low is None else low * level,
                        None if high is None else high * level,
                    ],
                }
                for level, width in self.half_width_hz.items()
            ],
            "diffusion_fwhm_hz": self.fwhm_hz,
            "stiffness": self.stiffness,
            "scatter": self.scatter,
        }


def arnold_of(measured: Measured, rest: RestLine | None) -> tuple[ArnoldMap | None, str]:
    """Fit the locking region of a profile, or say why there is none.

    Parameters
    ----------
    measured : Measured
        Blocks of every level.
    rest : RestLine or None
        Line of the undriven rhythm.

    Returns
    -------
    map : ArnoldMap or None
    reason : str
        Empty where there is a map.
    """
    levels = [
        level
        for level in np.unique(measured.level).tolist()
        if np.unique(measured.frequency_hz[measured.level == level]).size >= LEAST_FREQUENCIES
    ]
    if len(levels) < LEAST_LEVELS:
        return None, (
            f"{len(levels)} level(s) with {LEAST_FREQUENCIES} or more frequencies: a locking "
            f"region needs {LEAST_LEVELS}"
        )
    if rest is None:
        return None, "no line of the rhythm at rest to tell its width by"
    stiffness = stiffness_of(rest.kurtosis)
    if stiffness is None:
        return None, (
            f"the size of the rhythm varies as in bursts (kurtosis {rest.kurtosis:.2f}; a limit "
            f"cycle has at most {MOST_KURTOSIS:g}): no limit cycle, no locking region"
        )
    part = measured.only(np.isin(measured.level, levels))
    return fit_arnold(part, Oscillator(stiffness, rest.noise), rest), ""


def fit_arnold(measured: Measured, oscillator: Oscillator, rest: RestLine) -> ArnoldMap:
    """Fit one locking region to all levels.

    Parameters
    ----------
    measured : Measured
        Blocks of several levels and frequencies.
    oscillator : Oscillator
        Model, with the stiffness and the background seen at rest.
    rest : RestLine
        Line at rest.

    Returns
    -------
    ArnoldMap
    """
    hz, level = measured.frequency_hz, measured.level
    highest = float(level.max())
    expected = math.log(rest.fwhm_hz / oscillator.line_width)
    sd = math.hypot(MODEL_SD, math.sqrt(4.0 / (math.pi * rest.fwhm_hz * rest.seconds)))
    span = float(np.ptp(hz))
    locked = oscillator.table(1.5 * span / math.exp(expected), 4.0)
    bounds = [
        (float(hz.min()), float(hz.max())),
        (math.log(1e-3), math.log(2.0)),
        (expected - 4.0 * sd, expected + 4.0 * sd),
    ]

    def model(values: Array) -> Array:
        fwhm_hz = math.exp(values[2])
        wide_hz = math.exp(values[1]) * level / highest
        return np.asarray(locked((hz - values[0]) / fwhm_hz, wide_hz / fwhm_hz))

    def prior(values: Array) -> float:
        return 0.5 * float((values[2] - expected) / sd) ** 2

    excess = np.maximum(measured.plv2 - measured.null, 0.0)
    centre = float(excess @ hz / excess.sum()) if excess.sum() > 0.0 else float(np.median(hz))
    starts = [
        [centre, math.log(0.2), expected],
        [float(hz[excess.argmax()]), math.log(0.05), expected],
    ]
    best, scatter, ci = fit_curve(measured, model, bounds, starts, prior=prior)
    slope = math.exp(float(best[1])) / highest
    low, high = (None if v is None else math.exp(v) / highest for v in ci[1])
    return ArnoldMap(
        float(best[0]),
        ci[0],
        slope,
        (low, high),
        {one: slope * one for one in np.unique(level).tolist()},
        math.exp(float(best[2])),
        oscillator.stiffness,
        scatter,
    )
