"""Maximum-likelihood fit of a spectrum: smooth background plus Gaussian bumps, many at once.

The mean of K periodograms is Gamma distributed around the true spectrum S(f), so the fit minimises
sum(log S + Y / S) by Fisher scoring. The background is a parabola in log-log coordinates (a power
law that may bend) or a power law with a knee; each bump is Gaussian in linear power, the spectrum
of an independent narrow-band source.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

REFERENCE_HZ = 9.0
N_BACKGROUND = 3
KNEE_RANGE = ((0.0, 6.0), (-2.5, 1.5))  # exponent; log of the knee over REFERENCE_HZ
_LOG_FLOOR = -60.0
_RIDGE = 1e-9


@dataclass(frozen=True, slots=True)
class Bump:
    """Allowed range of one bump: centre and standard deviation in Hz."""

    center_hz: tuple[float, float]
    width_hz: tuple[float, float]


@dataclass(frozen=True, slots=True)
class SpectrumModel:
    """Background plus bumps on a frequency grid.

    A parameter row is (level, slope, curvature, then log height, centre_hz, log width of each
    bump); with a knee the first three are (level, exponent, log knee). A batch of rows has shape
    (n_rows, 3 + 3 * n_bumps).

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies of the spectrum.
    bumps : tuple of Bump
        Bumps and their ranges.
    knee : bool
        Whether the background is level / (knee**exponent + f**exponent) instead of a parabola.
    basis : ndarray, shape (3, n_freqs)
        Log-log regressors of the background, derived.
    """

    freqs_hz: Array
    bumps: tuple[Bump, ...]
    knee: bool = False
    basis: Array = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        u = np.log(self.freqs_hz / REFERENCE_HZ)
        object.__setattr__(self, "basis", np.stack([np.ones_like(u), -u, u**2]))

    def background(self, rows: Array) -> Array:
        """Background power, shape (n_rows, n_freqs)."""
        if not self.knee:
            return np.asarray(np.exp(rows[:, :N_BACKGROUND] @ self.basis))
        level, exponent, knee = rows[:, :N_BACKGROUND].T[:, :, None]
        bent = np.logaddexp(exponent * knee, -exponent * self.basis[1])
        return np.asarray(np.exp(level - bent))

    def _background_slopes(self, rows: Array, background: Array) -> Array:
        """Derivatives of the background, shape (n_rows, 3, n_freqs)."""
        if not self.knee:
            return np.asarray(background[:, None, :] * self.basis)
        _, exponent, knee = rows[:, :N_BACKGROUND].T[:, :, None]
        share = 1.0 / (1.0 + np.exp(-exponent * (self.basis[1] + knee)))
        by_exponent = -(share * knee - (1.0 - share) * self.basis[1])
        relative = np.stack([np.ones_like(background), by_exponent, -exponent * share], axis=1)
        return np.asarray(background[:, None, :] * relative)

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
        parts = [self._background_slopes(rows, background)]
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
        if self.knee:
            for column, (low, high) in enumerate(KNEE_RANGE, start=1):
                out[:, column] = np.clip(out[:, column], low, high)
        for index, bump in enumerate(self.bumps):
            first = N_BACKGROUND + 3 * index
            out[:, first] = np.maximum(out[:, first], _LOG_FLOOR)
            out[:, first + 1] = np.clip(out[:, first + 1], *bump.center_hz)
            out[:, first + 2] = np.clip(out[:, first + 2], *np.log(bump.width_hz))
        return out


class Fittable(Protocol):
    """What `fit` needs of a model: power and its relative derivatives at rows of parameters."""

    def spectrum(self, rows: Array) -> Array:
        """Modelled power, shape (n_rows, n_values)."""

    def jacobian(self, rows: Array) -> tuple[Array, Array]:
        """Modelled power and its relative derivatives, shape (n_rows, n_params, n_values)."""

    def clip(self, rows: Array) -> Array:
        """Project parameters onto their ranges."""


@dataclass(frozen=True, slots=True)
class Prior:
    """Gaussian prior of one parameter.

    Parameters
    ----------
    column : int
        Which parameter.
    mean : float
        Its most likely value.
    precision : float
        Inverse variance, per unit of Gamma shape (the scale of `deviance`).
    """

    column: int
    mean: float
    precision: float


def deviance(power: Array, model: Array, weights: Array | None = None) -> Array:
    """Gamma deviance per degree of freedom, summed over frequency, shape (n_rows,)."""
    ratio = power / model
    terms = ratio - 1.0 - np.log(ratio)
    return np.asarray(2.0 * np.sum(terms if weights is None else terms * weights, axis=-1))


def fit(
    model: Fittable,
    power: Array,
    start: Array,
    *,
    weights: Array | None = None,
    prior: Prior | None = None,
    fixed: int | None = None,
    n_iter: int = 60,
    tol: float = 1e-6,
) -> tuple[Array, Array]:
    """Fit every row of `power` from every row of `start` by damped Fisher scoring.

    Parameters
    ----------
    model : Fittable
        Background and bumps.
    power : ndarray, shape (n_rows, n_freqs)
        Positive spectra.
    start : ndarray, shape (n_rows, n_params)
        Starting values.
    weights : ndarray, shape (n_freqs,), optional
        Weight of each bin.
    prior : Prior, optional
        Prior of one parameter; its penalty is part of the deviance returned.
    fixed : int, optional
        Column of a parameter that keeps its starting value.
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
    every = np.ones(power.shape[1]) if weights is None else weights
    cost = deviance(power, model.spectrum(rows), weights) + _penalty(prior, rows)
    damping = np.full(rows.shape[0], 1e-2)
    active = np.ones(rows.shape[0], dtype=bool)
    eye = np.eye(rows.shape[1])
    free = np.ones(rows.shape[1])
    if fixed is not None:
        free[fixed] = 0.0
    floor = 1e-9 * eye + np.diag(1.0 - free)
    for _ in range(n_iter):
        index = np.flatnonzero(active)
        if index.size == 0:
            break
        now, target = rows[index], power[index]
        mean, slopes = model.jacobian(now)
        if fixed is not None:
            slopes *= free[:, None]
        residual = target / mean - 1.0
        gradient = np.einsum("rpf,rf->rp", slopes, residual * every)
        information = (slopes * every) @ slopes.transpose(0, 2, 1)
        if prior is not None:
            offset = now[:, prior.column] - prior.mean
            gradient[:, prior.column] -= prior.precision * offset
            information[:, prior.column, prior.column] += prior.precision
        scale = np.einsum("rpp->rp", information)[:, :, None] * eye
        lifted = information + damping[index, None, None] * scale + floor
        step = np.linalg.solve(lifted, gradient[:, :, None])[:, :, 0]
        # A step of more than one unit (a factor e, or 1 Hz) leaves the region the model describes.
        step /= np.maximum(np.abs(step).max(axis=1, keepdims=True), 1.0)
        trial = model.clip(now + step)
        trial_cost = deviance(target, model.spectrum(trial), weights) + _penalty(prior, trial)
        gain = cost[index] - trial_cost
        better = gain > 0.0
        rows[index[better]] = trial[better]
        cost[index[better]] = trial_cost[better]
        damping[index] = np.where(better, damping[index] * 0.2, damping[index] * 5.0)
        done = (better & (gain < tol)) | (damping[index] > 1e8)
        active[index[done]] = False
    return rows, cost


def least_squares(regressors: Array, spectra: Array, scale: Array) -> Array:
    """Fit spectra by a sum of regressors, the errors of every bin proportional to `scale`.

    Parameters
    ----------
    regressors : ndarray, shape (n_regressors, n_freqs)
        What to add up.
    spectra : ndarray, shape (n_spectra, n_freqs)
        Spectra.
    scale : ndarray, shape (n_freqs,)
        Expected size of the spectra, to which the error of a periodogram is proportional.

    Returns
    -------
    ndarray, shape (n_regressors, n_spectra)
        Coefficients; a trace of ridge keeps those of regressors that coincide finite.
    """
    weighted = regressors / scale**2
    normal = weighted @ regressors.T
    normal += _RIDGE * np.trace(normal) * np.eye(len(normal))
    return np.asarray(np.linalg.solve(normal, weighted @ spectra.T))


def _penalty(prior: Prior | None, rows: Array) -> Array | float:
    """What a prior adds to the deviance, per row."""
    if prior is None:
        return 0.0
    return np.asarray(prior.precision * (rows[:, prior.column] - prior.mean) ** 2)
