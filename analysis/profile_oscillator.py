"""A noisy oscillator under a drive: its stationary phase locking, amplitude and noise included.

The oscillator is a limit cycle of size 1 whose amplitude noise moves too,

``du = [a (1 - |u|²) - 2 pi i d] u dt + 2 pi w dt + sqrt(2 pi F) (dW1 + i dW2)``,

in the frame of the drive: d its detuning, w the half-width of the noise-free locking region, F the
line width that diffusion of phase gives. Its Fokker-Planck equation is solved on a radial grid with
a Fourier series in the phase. Where the amplitude is small the drive moves the phase more: a model
of the phase alone misses that and takes the locking region for a third wider than it is.

All is in units of F: locking depends on a/F, d/F and w/F alone.

References
----------
Pikovsky, Rosenblum & Kurths (2001), *Synchronization*, chapter 9. Risken (1989), *The Fokker-Planck
Equation*, chapters 4 and 11. Agarwal (1972), *Z. Phys.* 252:25 (response from fluctuations).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_KURTOSIS", "Oscillator", "stiffness_of"]

Array = NDArray[np.float64]

POINTS = 90
HARMONICS = 4
REACH = 18.0  # exponents below the density's top that the grid goes to
MOST_KURTOSIS = 1.5  # of |u|: of a limit cycle; pi/2 where the amplitude relaxes infinitely slowly
STIFFNESS = (0.05, 200.0)


def _exponent(radius: Array, stiffness: float) -> Array:
    """Logarithm of the undriven density, F = 1."""
    return np.asarray(stiffness / math.pi * (radius**2 / 2.0 - radius**4 / 4.0))


def _moments(stiffness: float) -> tuple[float, float]:
    """Mean of |u|² and of |u|⁴ without a drive."""
    from scipy.integrate import quad

    def weight(radius: float) -> float:
        return radius * math.exp(float(_exponent(np.array(radius), stiffness)) - stiffness / 12.56)

    top = 1.0 + 4.0 * stiffness**-0.25
    total, second, fourth = (
        quad(lambda r, n=n: r**n * weight(r), 0.0, top, points=[min(1.0, 0.9 * top)])[0]
        for n in (0, 2, 4)
    )
    return second / total, fourth / total


def stiffness_of(kurtosis: float) -> float | None:
    """Relaxation over line width, a/F, of an oscillator with some kurtosis of its size.

    Parameters
    ----------
    kurtosis : float
        Mean of |u|⁴ over the squared mean of |u|²; 1 for a constant size, 2 for filtered noise.

    Returns
    -------
    float or None
        Infinitely stiff oscillators count as 200; None above 1.5, where this is no limit cycle.
    """
    from scipy.optimize import brentq

    def above(log_stiffness: float) -> float:
        second, fourth = _moments(math.exp(log_stiffness))
        return fourth / second**2 - kurtosis

    low, high = (math.log(edge) for edge in STIFFNESS)
    if kurtosis > MOST_KURTOSIS:
        return None
    if above(high) >= 0.0:
        return STIFFNESS[1]
    return math.exp(float(brentq(above, low, high, xtol=1e-4)))


@dataclass(frozen=True)
class Oscillator:
    """An oscillator, seen through noise.

    Parameters
    ----------
    stiffness : float
        a/F.
    noise : float
        Power of what else is in the band, over the oscillator's own.
    """

    stiffness: float
    noise: float = 0.0

    @cached_property
    def power(self) -> float:
        """Mean of |u|² without a drive."""
        return _moments(self.stiffness)[0]

    @cached_property
    def _radius(self) -> Array:
        """Middles of the radial cells."""
        fine = np.linspace(0.0, 12.0, 4801)
        exponent = _exponent(fine, self.stiffness)
        return_to = fine[exponent > exponent.max() - REACH]
        edge = float(return_to[-1])
        return np.asarray((np.arange(POINTS) + 0.5) * edge / POINTS)

    @cached_property
    def _seen(self) -> Array:
        """Mean phasor of ``r`` plus noise, for every cell's ``r``."""
        from scipy.special import ive

        if self.noise <= 0.0:
            return np.ones(POINTS)
        half = 0.5 * self._radius**2 / (self.noise * self.power)
        return np.asarray(0.5 * np.sqrt(2.0 * np.pi * half) * (ive(0, half) + ive(1, half)))

    @cached_property
    def _parts(self) -> tuple[Any, Any, Any]:
        """Generator as ``still + detuning * turn + width * push``, harmonics outermost."""
        from scipy import sparse

        r = self._radius
        h = float(r[1] - r[0])
        faces = h * np.arange(1, POINTS)
        diffusion = math.pi
        # Fluxes through the inner faces, from the cells on both sides; none through the ends.
        left, right = np.eye(POINTS)[:-1], np.eye(POINTS)[1:]
        gradient = (right - left) / h
        middle = 0.5 * (right + left)
        drift = self.stiffness * faces * (1.0 - faces**2)
        out = (left - right).T / (r[:, None] * h)
        radial = -out @ (faces[:, None] * (drift[:, None] * middle - diffusion * gradient))
        outward = -out @ (faces[:, None] * middle)
        harmonics = np.arange(-HARMONICS, HARMONICS + 1)
        n = harmonics.size
        up, down = np.eye(n, k=1), np.eye(n, k=-1)
        cos, sin = 0.5 * (down + up), (down - up) / 2j
        still = sparse.kron(sparse.eye(n), radial) - sparse.kron(
            sparse.diags(harmonics.astype(float) ** 2), sparse.diags(diffusion / r**2)
        )
        turn = 2.0j * np.pi * sparse.kron(sparse.diags(harmonics.astype(float)), sparse.eye(POINTS))
        push = sparse.kron(cos, outward) + sparse.kron(
            1j * harmonics[:, None] * sin, sparse.diags(1.0 / r)
        )
        csc = sparse.csc_matrix
        return csc(still), csc(turn), csc(2.0 * np.pi * push)

    def locking(self, detuning: float, width: float) -> float:
        """Size of the mean phasor, between 0 and 1.

        Parameters
        ----------
        detuning, width : float
            d/F and w/F.
        """
        return float(abs(self._phasor(detuning, width)[0]))

    def _phasor(self, detuning: float, width: float) -> tuple[complex, complex]:
        """Mean of the seen phasor and of ``u``."""
        from scipy.sparse.linalg import splu

        still, turn, push = self._parts
        system = (still + detuning * turn + width * push).tolil()
        weight = self._radius * (self._radius[1] - self._radius[0])
        zero = HARMONICS * POINTS
        # One balance of the phaseless part follows from the others; the total takes its place.
        row = zero + POINTS // 2
        system[row, :] = 0.0
        system[row, zero : zero + POINTS] = weight
        right = np.zeros(system.shape[0], dtype=np.complex128)
        right[row] = 1.0
        parts = splu(system.tocsc()).solve(right).reshape(-1, POINTS)
        first = parts[HARMONICS - 1]
        return complex(weight * self._seen @ first), complex(weight * self._radius @ first)

    @cached_property
    def line_width(self) -> float:
        """Full width at half height of the line at rest, over F."""
        from scipy.optimize import brentq

        small = 1e-3

        def height(detuning: float) -> float:
            return float(abs(self._phasor(detuning, small)[1].imag) / detuning)

        half = 0.5 * height(0.02)
        return 2.0 * float(brentq(lambda d: height(d) - half, 0.05, 5.0, xtol=1e-3))

    def table(self, most_detuning: float, most_width: float) -> Any:
        """Squared locking as a function of (d/F, log(w/F)); a smooth surface through a grid.

        Returns
        -------
        callable
            Of arrays; its log is interpolated, beyond the grid its edge is continued.
        """
        from scipy.interpolate import RectBivariateSpline

        detunings = most_detuning * np.linspace(0.0, 1.0, 13) ** 1.5
        widths = np.geomspace(0.004, most_width, 9)
        values = np.array([[self.locking(d, w) for w in widths] for d in detunings])
        spline = RectBivariateSpline(detunings, np.log(widths), 2.0 * np.log(values))

        def at(detuning: Array, width: Array) -> Array:
            far = np.minimum(np.abs(detuning), most_detuning)
            wide = np.clip(width, widths[0], most_width)
            return np.asarray(np.exp(spline.ev(far, np.log(wide))) * (width / wide) ** 2)

        return at
