"""Maximum-likelihood fit of a spectrum: smooth background plus Gaussian bumps, many at once.

The mean of K periodograms is Gamma distributed around the true spectrum S(f), so the fit minimises
sum(log S + Y / S) by Fisher scoring. The background is a parabola in log-log coordinates (a power
law that may bend: knee, filter edge); each bump is Gaussian in linear power, the spectrum of an
independent narrow-band source.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

REFERENCE_HZ = 9.0
N_BACKGROUND = 3
_LOG_FLOOR = -60.0


@dataclass(frozen=True, slots=True)
class Bump:
    """Allowed range of one bump: centre and standard deviation in Hz."""

    center_hz: tuple[float, float]
    width_hz: tuple[float, float]


@dataclass(frozen=True, slots=True)
class SpectrumModel:
    """Background plus bumps on a frequency grid.

    A parameter row is (level, slope, curvature, then log height, centre_hz, log width of each
    bump); a batch of rows has shape (n_rows, 3 + 3 * n_bumps).

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies of the spectrum.
    bumps : tuple of Bump
        Bumps and their ranges.
    basis : ndarray, shape (3, n_freqs)
        Log-log regressors of the background, derived.
    """

    freqs_hz: Array
    bumps: tuple[Bump, ...]
    basis: Array = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        u = np.log(self.freqs_hz / REFERENCE_HZ)
        object.__setattr__(self, "basis", np.stack([np.ones_like(u), -u, u**2]))

    def background(self, rows: Array) -> Array:
        """Background power, shape (n_rows, n_freqs)."""
        return np.asarray(np.exp(rows[:, :N_BACKGROUND] @ self.basis))

    def bump(self, rows: Array, index: int) -> Array:
        """Power of one bump, shape (n_rows, n_freqs)."""
        first = N_BACKGROUND + 3 * index
        height, center, width = rows[:, first : first + 3].T
        z = (self.freqs_hz - center[:, None]) / np.exp(width)[:, None]
        return np.asarray(np.exp(height[:, None] - 0.5 * z**2))

    def spectrum(self, rows: Array) -> Array:
        """Modelled power, shape (n_rows, n_freqs)."""
        total = self.background(rows)
        for index in range(len(self.bumps)):
            total = total + self.bump(rows, index)
        return total

    def jacobian(self, rows: Array) -> tuple[Array, Array]:
        """Modelled power and its relative derivatives, shape (n_rows, n_params, n_freqs)."""
        background = self.background(rows)
        total = background.copy()
        parts = [background[:, None, :] * self.basis]
        for index in range(len(self.bumps)):
            first = N_BACKGROUND + 3 * index
            bump = self.bump(rows, index)
            total += bump
            width = np.exp(rows[:, first + 2])[:, None]
            offset = self.freqs_hz - rows[:, first + 1][:, None]
            parts.append(
                np.stack([bump, bump * offset / width**2, bump * (offset / width) ** 2], axis=1)
            )
        return total, np.concatenate(parts, axis=1) / total[:, None, :]

    def clip(self, rows: Array) -> Array:
        """Project parameters onto their ranges."""
        out = rows.copy()
        for index, bump in enumerate(self.bumps):
            first = N_BACKGROUND + 3 * index
            out[:, first] = np.maximum(out[:, first], _LOG_FLOOR)
            out[:, first + 1] = np.clip(out[:, first + 1], *bump.center_hz)
            out[:, first + 2] = np.clip(out[:, first + 2], *np.log(bump.width_hz))
        return out


def deviance(power: Array, model: Array, weights: Array | None = None) -> Array:
    """Gamma deviance per degree of freedom, summed over frequency, shape (n_rows,)."""
    ratio = power / model
    terms = ratio - 1.0 - np.log(ratio)
    return np.asarray(2.0 * np.sum(terms if weights is None else terms * weights, axis=-1))


def fit(
    model: SpectrumModel,
    power: Array,
    start: Array,
    *,
    weights: Array | None = None,
    n_iter: int = 60,
    tol: float = 1e-6,
) -> tuple[Array, Array]:
    """Fit every row of `power` from every row of `start` by damped Fisher scoring.

    Parameters
    ----------
    model : SpectrumModel
        Background and bumps.
    power : ndarray, shape (n_rows, n_freqs)
        Positive spectra.
    start : ndarray, shape (n_rows, n_params)
        Starting values.
    n_iter : int
        Most iterations.
    tol : float
        A row is done when one step lowers its deviance by less than this.

    Returns
    -------
    rows : ndarray, shape (n_rows, n_params)
        Fitted parameters.
    deviances : ndarray, shape (n_rows,)
        Gamma deviance per degree of freedom.
    """
    rows = model.clip(start)
    weights = np.ones(power.shape[1]) if weights is None else weights
    cost = deviance(power, model.spectrum(rows), weights)
    damping = np.full(rows.shape[0], 1e-2)
    active = np.ones(rows.shape[0], dtype=bool)
    eye = np.eye(rows.shape[1])
    for _ in range(n_iter):
        index = np.flatnonzero(active)
        if index.size == 0:
            break
        mean, slopes = model.jacobian(rows[index])
        residual = power[index] / mean - 1.0
        gradient = np.einsum("rpf,rf->rp", slopes, residual * weights)
        information = (slopes * weights) @ slopes.transpose(0, 2, 1)
        scale = np.einsum("rpp->rp", information)[:, :, None] * eye
        lifted = information + damping[index, None, None] * scale + 1e-9 * eye
        step = np.linalg.solve(lifted, gradient[:, :, None])[:, :, 0]
        # A step of more than one unit (a factor e, or 1 Hz) leaves the region the model describes.
        step /= np.maximum(np.abs(step).max(axis=1, keepdims=True), 1.0)
        trial = model.clip(rows[index] + step)
        trial_cost = deviance(power[index], model.spectrum(trial), weights)
        better = trial_cost < cost[index]
        gain = cost[index] - trial_cost
        rows[index[better]] = trial[better]
        cost[index[better]] = trial_cost[better]
        damping[index] = np.where(better, damping[index] * 0.2, damping[index] * 5.0)
        done = (better & (gain < tol)) | (damping[index] > 1e8)
        active[index[done]] = False
    return rows, cost
