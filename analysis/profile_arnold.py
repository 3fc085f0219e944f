"""The locking region over amplitude, from squared locking at several levels and frequencies.

A noisy phase oscillator under a drive, ``dψ = 2π d dt + 2π w sin ψ dt + sqrt(2π FWHM) dW``, locks
without noise where ``|d| <= w``; ``w = s I``. Its mean phasor is known by a continued fraction, and
the curve of all levels together gives centre and slope ``s`` (Hz per unit of level).

No part of a profile: a rhythm whose amplitude varies locks more than this model says, and the
half-width comes out more than a third too wide on the reference oscillator
(``benchmarks/profile.py``, part arnold, which counts it). Pikovsky,
Rosenblum & Kurths (2001), *Synchronization*, chapters 7 and 9; Stratonovich (1967).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.profile_curve import Measured, fit_curve

__all__ = ["ArnoldMap", "fit_arnold", "mean_phasor"]

Array = NDArray[np.float64]

TERMS = 40


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
        Width that diffusion of phase gives the line at rest.
    scatter : float
        Of the blocks about the model.
    """

    centre_hz: float
    centre_ci95_hz: tuple[float | None, float | None]
    slope_hz_per_level: float
    slope_ci95: tuple[float | None, float | None]
    half_width_hz: dict[float, float]
    fwhm_hz: float
    scatter: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "centre_hz": self.centre_hz,
            "centre_ci95_hz": list(self.centre_ci95_hz),
            "slope_hz_per_level": self.slope_hz_per_level,
            "slope_ci95": list(self.slope_ci95),
            "half_width_hz": {f"{level:g}": w for level, w in self.half_width_hz.items()},
            "diffusion_fwhm_hz": self.fwhm_hz,
            "scatter": self.scatter,
        }


def mean_phasor(detuning_hz: Array, half_width_hz: Array, fwhm_hz: float) -> Array:
    """Size of the mean phasor of a driven noisy oscillator.

    Parameters
    ----------
    detuning_hz, half_width_hz : ndarray, same shape
        Detuning, and half-width of the noise-free locking region.
    fwhm_hz : float
        Line width that phase diffusion gives.

    Returns
    -------
    ndarray
        Between 0 and 1; ``I1(k)/I0(k)`` with ``k = 2 w/FWHM`` at no detuning.
    """
    # Fourier coefficients of the stationary density obey c_n = S_n c_(n-1), with
    # S_n = 1 / (2n/kappa (1 - i delta/n) ... + S_(n+1)); see Stratonovich.
    kappa = np.maximum(2.0 * np.asarray(half_width_hz) / fwhm_hz, 1e-9)
    delta = 2.0 * np.asarray(detuning_hz) / fwhm_hz
    ratio = np.zeros(np.broadcast(kappa, delta).shape, dtype=np.complex128)
    for n in range(TERMS, 0, -1):
        ratio = 1.0 / (2.0 * (n - 1j * delta) / kappa + ratio)
    return np.abs(ratio)


def fit_arnold(measured: Measured, *, fwhm_hz: float, share: float) -> ArnoldMap:
    """Fit one locking region to all levels.

    Parameters
    ----------
    measured : Measured
        Blocks of several levels and frequencies.
    fwhm_hz : float
        Line width at rest that diffusion of phase gives.
    share : float
        Share of the rhythm in the power of the band, 0 to 1: background takes locking away.

    Returns
    -------
    ArnoldMap
    """
    hz, level = measured.frequency_hz, measured.level
    highest = float(level.max())
    bounds = [(float(hz.min()), float(hz.max())), (math.log(1e-3), math.log(5.0))]

    def model(values: Array) -> Array:
        wide = math.exp(values[1]) * level / highest
        return np.asarray(share * mean_phasor(hz - values[0], wide, fwhm_hz) ** 2)

    excess = np.maximum(measured.plv2 - measured.null, 0.0)
    centre = float(excess @ hz / excess.sum()) if excess.sum() > 0.0 else float(np.median(hz))
    starts = [[centre, math.log(0.2)], [float(hz[excess.argmax()]), math.log(0.05)]]
    best, scatter, ci = fit_curve(measured, model, bounds, starts)
    slope = math.exp(float(best[1])) / highest
    low, high = (None if v is None else math.exp(v) / highest for v in ci[1])
    return ArnoldMap(
        float(best[0]),
        ci[0],
        slope,
        (low, high),
        {one: slope * one for one in np.unique(level).tolist()},
        fwhm_hz,
        scatter,
    )
