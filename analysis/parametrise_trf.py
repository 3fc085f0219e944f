"""Sums of Gaussians fitted to many spectra at once, in NumPy: bounded trust-region least squares.

One round of the loop tries one step for every spectrum still under way. What a step needs of a
spectrum is its Gram matrix (J'J, J'r and r'r, one matrix product), so everything after the model
evaluation works on matrices of 3 x peaks rows. Spectra that finish hand their place to the next in
the queue; the queue is sorted by number of peaks, so that the matrices shrink as it empties.

Axis order: parameters first, spectra last. Parameters of one spectrum: all centres, all heights,
all widths; places of peaks that a spectrum lacks are held still by a unit diagonal.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from analysis.parametrise_step import Quadratic, into_bounds, norm, trust_step

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

TOLERANCE = 1e-8
TINY = 1e-120  # the square of its inverse still is a number
AT_ONCE = 512
CHUNK = 32
LEAST_EXPONENT = -80.0  # Gaussians end here: smaller numbers are slow and change nothing


@dataclass(frozen=True, slots=True)
class Solution:
    """Gaussians of a batch of spectra.

    Parameters
    ----------
    gaussians : ndarray, shape (n_spectra, max_peaks, 3)
        Centre in Hz, height in log10 power, standard deviation in Hz; rows past a spectrum's
        number of peaks are as they were handed in.
    cost : ndarray, shape (n_spectra,)
        Half the sum of squared residuals.
    evaluations : ndarray of int, shape (n_spectra,)
        Model evaluations used.
    converged : ndarray of bool, shape (n_spectra,)
        Whether a stopping rule was met.
    """

    gaussians: Array
    cost: Array
    evaluations: Ints
    converged: Bools


@dataclass(frozen=True, slots=True)
class _Grid:
    """Powers 2, 1 and 0 of the frequencies' distance to the middle of the range."""

    middle_hz: float
    powers: Array


@dataclass(slots=True)
class _Batch:
    """Spectra under way: parameters x spectra, but `flat` and `gram` have the spectra first."""

    index: Ints
    flat: Array
    live: Bools  # (peaks, spectra)
    absent: Array  # 1 for the parameters of peaks that a spectrum lacks
    x: Array
    lower: Array
    upper: Array
    lowest: Array  # the first numbers inside the bounds
    highest: Array
    gram: Array  # (spectra, parameters + 1, same): J'J without `_units`, r'J below
    cost: Array
    radius: Array
    alpha: Array
    evaluations: Ints
    done: Bools
    converged: Bools

    def put(self, places: Ints, other: _Batch) -> None:
        """Overwrite some places with other spectra."""
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if field.name in ("flat", "gram"):
                mine[places] = theirs
            else:
                mine[..., places] = theirs

    def keep(self, places: Ints, peaks: int) -> _Batch:
        """Return some places only, with room for `peaks` peaks."""
        have = self.live.shape[0]
        rows = (np.arange(3)[:, None] * have + np.arange(peaks)).ravel()
        with_last = np.append(rows, 3 * have)
        return _Batch(
            index=self.index[places],
            flat=self.flat[places],
            live=self.live[:peaks, places],
            absent=self.absent[np.ix_(rows, places)],
            x=self.x[np.ix_(rows, places)],
            lower=self.lower[np.ix_(rows, places)],
            upper=self.upper[np.ix_(rows, places)],
            lowest=self.lowest[np.ix_(rows, places)],
            highest=self.highest[np.ix_(rows, places)],
            gram=self.gram[np.ix_(places, with_last, with_last)],
            cost=self.cost[places],
            radius=self.radius[places],
            alpha=self.alpha[places],
            evaluations=self.evaluations[places],
            done=self.done[places],
            converged=self.converged[places],
        )


def fit_gaussians(
    freqs_hz: Array,
    flat: Array,
    start: Array,
    lower: Array,
    upper: Array,
    n_peaks: Ints,
    max_evaluations: int,
) -> Solution:
    """Fit sums of Gaussians to flattened spectra within bounds, by least squares.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies, evenly spaced.
    flat : ndarray, shape (n_spectra, n_freqs)
        Spectra in log10 power with the aperiodic part taken off.
    start, lower, upper : ndarray, shape (n_spectra, max_peaks, 3)
        First guess strictly inside its bounds: centre in Hz, height in log10 power, standard
        deviation in Hz.
    n_peaks : ndarray of int, shape (n_spectra,)
        Peaks of each spectrum, 1 to max_peaks.
    max_evaluations : int
        Model evaluations after which a spectrum is given up as not converged.

    Returns
    -------
    Solution
        The fits.

    References
    ----------
    Branch, Coleman & Li 1999, SIAM J. Sci. Comput. 21:1-23 (the method, and the one behind
    `scipy.optimize.curve_fit` with bounds); Moré 1978, Lect. Notes Math. 630:105-116 (the
    trust-region step). Stopping rules and constants are those of SciPy, tolerances 1e-8.
    """
    total = flat.shape[0]
    out = Solution(
        gaussians=start.copy(),
        cost=np.zeros(total),
        evaluations=np.zeros(total, dtype=np.int64),
        converged=np.zeros(total, dtype=bool),
    )
    middle_hz = 0.5 * (freqs_hz[0] + freqs_hz[-1])
    place = freqs_hz - middle_hz
    grid = _Grid(middle_hz, np.stack([place * place, place, np.ones_like(place)]))
    queue = np.argsort(-n_peaks, kind="stable")
    room = int(n_peaks[queue[0]])

    def take(peaks: int, wanted: int) -> _Batch:
        nonlocal queue
        index, queue = queue[:wanted], queue[wanted:]
        return _begin(grid, flat, start, lower, upper, n_peaks, index, peaks)

    with np.errstate(all="ignore"):
        batch = take(room, AT_ONCE)
        while batch.index.size:
            _round(grid, batch, max_evaluations)
            finished = np.flatnonzero(batch.done)
            if finished.size * 16 < batch.index.size:
                continue
            _store(out, batch, finished, n_peaks)
            if queue.size:
                fresh = take(batch.live.shape[0], finished.size)
                batch.put(finished[: fresh.index.size], fresh)
                finished = finished[fresh.index.size :]
            if finished.size:
                stay = np.delete(np.arange(batch.index.size), finished)
                most = int(n_peaks[batch.index[stay]].max()) if stay.size else 0
                batch = batch.keep(stay, most)
    return out


def _begin(
    grid: _Grid,
    flat: Array,
    start: Array,
    lower: Array,
    upper: Array,
    n_peaks: Ints,
    index: Ints,
    peaks: int,
) -> _Batch:
    """Set up spectra `index` with room for `peaks` peaks and evaluate their first guess."""
    live = np.arange(peaks)[:, None] < n_peaks[index]

    def arrange(values: Array, absent: float) -> Array:
        own = np.moveaxis(values[index, :peaks], 0, -1).swapaxes(0, 1)  # (3, peaks, spectra)
        return np.where(live, own, absent).reshape(3 * peaks, index.size)

    x, low, high = arrange(start, 0.0), arrange(lower, -np.inf), arrange(upper, np.inf)
    gram, cost = _gram(grid, flat[index], x, live)
    distance, _ = _distance(x, gram[:, -1, :-1].T * _units(x), low, high)
    radius = np.sqrt(np.sum(x * x / distance, axis=0))
    return _Batch(
        index=index,
        flat=flat[index],
        live=live,
        absent=np.tile(~live, (3, 1)).astype(np.float64),
        x=x,
        lower=low,
        upper=high,
        lowest=np.nextafter(low, high),
        highest=np.nextafter(high, low),
        gram=gram,
        cost=cost,
        radius=np.where(radius == 0.0, 1.0, radius),
        alpha=np.zeros(index.size),
        evaluations=np.ones(index.size, dtype=np.int64),
        done=np.zeros(index.size, dtype=bool),
        converged=np.zeros(index.size, dtype=bool),
    )


def _store(out: Solution, batch: _Batch, places: Ints, n_peaks: Ints) -> None:
    """Write finished spectra into the result."""
    index = batch.index[places]
    peaks = batch.live.shape[0]
    found = batch.x[:, places].reshape(3, peaks, places.size).transpose(2, 1, 0)
    own = batch.live[:, places].T[..., None]
    out.gaussians[index, :peaks] = np.where(own, found, out.gaussians[index, :peaks])
    out.cost[index] = batch.cost[places]
    out.evaluations[index] = batch.evaluations[places]
    out.converged[index] = batch.converged[places]


def _gram(grid: _Grid, flat: Array, x: Array, live: Bools) -> tuple[Array, Array]:
    """Products among the rows of J and of r with them, without `_units`; and the cost."""
    peaks, many = live.shape
    size = grid.powers.shape[1]
    height = x[peaks : 2 * peaks].T[:, None]
    # u = (f - centre) / width and -u^2/2 as polynomials of f: one small product each.
    inverse = 1.0 / np.where(live, x[2 * peaks :], 1.0).T
    centre = (x[:peaks].T - grid.middle_hz) * inverse
    curve, line = np.empty((many, peaks, 3)), np.empty((many, peaks, 2))
    np.multiply(inverse * -0.5, inverse, out=curve[:, :, 0])
    np.multiply(inverse, centre, out=curve[:, :, 1])
    np.multiply(centre * -0.5, centre, out=curve[:, :, 2])
    line[:, :, 0] = inverse
    np.negative(centre, out=line[:, :, 1])
    dead = None if live.all() else ~live.T
    gram = np.empty((many, 3 * peaks + 1, 3 * peaks + 1))
    gram[:, -1, -1] = np.finfo(np.float64).max
    cost = np.empty(many)
    rows = np.empty((min(many, CHUNK), 3 * peaks + 1, size))
    away = np.empty((min(many, CHUNK), peaks, size))
    for first in range(0, many, CHUNK):
        part = slice(first, min(first + CHUNK, many))
        block, u = rows[: part.stop - first], away[: part.stop - first]
        by_centre, by_height = block[:, :peaks], block[:, peaks : 2 * peaks]
        residual = block[:, -1]
        np.matmul(curve[part], grid.powers, out=u)
        np.maximum(u, LEAST_EXPONENT, out=u)
        np.exp(u, out=by_height)
        if dead is not None:
            by_height[dead[part]] = 0.0
        np.matmul(height[part], by_height, out=block[:, -1:])
        residual -= flat[part]
        np.matmul(line[part], grid.powers[1:], out=u)
        np.multiply(by_height, u, out=by_centre)
        np.multiply(by_centre, u, out=block[:, 2 * peaks : -1])
        np.matmul(block, block[:, :-1].transpose(0, 2, 1), out=gram[part, :, :-1])
        cost[part] = np.einsum("wm,wm->w", residual, residual)
    return gram, 0.5 * cost


def _units(x: Array) -> Array:
    """Factors that the rows of `_gram` lack: height over width for centres and widths."""
    peaks = x.shape[0] // 3
    units = np.ones_like(x)
    width = x[2 * peaks :]
    units[:peaks] = np.where(width == 0.0, 1.0, np.maximum(x[peaks : 2 * peaks] / width, TINY))
    units[2 * peaks :] = units[:peaks]
    return units


def _distance(x: Array, gradient: Array, lower: Array, upper: Array) -> tuple[Array, Array]:
    """Distance to the bound that the descent heads for (1 if none), and its derivative."""
    up = (gradient < 0.0) & (upper < np.inf)
    down = (gradient > 0.0) & (lower > -np.inf)
    distance = np.where(up, upper - x, np.where(down, x - lower, 1.0))
    return distance, down.astype(np.float64) - up


def _round(grid: _Grid, batch: _Batch, max_evaluations: int) -> None:
    """Try one step for every spectrum of the batch that is not done."""
    x, lower, upper = batch.x, batch.lower, batch.upper
    units = _units(x)
    gradient = batch.gram[:, -1, :-1].T * units
    distance, slope = _distance(x, gradient, lower, upper)
    optimality = np.max(np.abs(gradient * distance), axis=0)
    flat_enough = optimality < TOLERANCE
    batch.converged |= flat_enough & ~batch.done
    batch.done |= flat_enough | (batch.evaluations >= max_evaluations)
    scale = np.sqrt(distance)
    model = Quadratic(
        gram=batch.gram,
        unit=scale * units,
        extra=gradient * slope + batch.absent,
        gradient=scale * gradient,
    )
    step_scaled, alpha = trust_step(model, batch.radius, batch.alpha)
    predicted = into_bounds(x, lower, upper, model, scale, step_scaled, batch.radius, optimality)
    step = scale * step_scaled

    trial = x + step
    np.maximum(trial, batch.lowest, out=trial)
    np.minimum(trial, batch.highest, out=trial)
    gram, cost = _gram(grid, batch.flat, trial, batch.live)
    running = ~batch.done
    batch.evaluations += running
    reduction = batch.cost - cost
    finite = np.isfinite(reduction)
    length = norm(step_scaled)
    ratio = np.where(predicted > 0.0, reduction / predicted, 0.0)
    ratio = np.where((predicted == 0.0) & (reduction == 0.0), 1.0, ratio)
    bad = ~finite | (ratio < 0.25)
    wide = ~bad & (ratio > 0.75) & (length > 0.95 * batch.radius)
    radius = np.where(bad, 0.25 * length, np.where(wide, 2.0 * batch.radius, batch.radius))
    stop = (reduction < TOLERANCE * batch.cost) & (ratio > 0.25)
    stop |= norm(step) < TOLERANCE * (TOLERANCE + norm(x))
    stop &= finite & running
    better = finite & (reduction > 0.0) & running
    broken = running & ~np.isfinite(length)
    batch.alpha = np.where(finite, alpha * (batch.radius / radius), alpha)
    batch.radius = radius
    batch.x = np.where(better, trial, x)
    batch.cost = np.where(better, cost, batch.cost)
    worse = np.flatnonzero(~better)
    gram[worse] = batch.gram[worse]
    batch.gram = gram
    batch.converged |= stop
    batch.done |= stop | broken
