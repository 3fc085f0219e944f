"""Sums of Gaussians fitted to many spectra, compiled: the same steps as `parametrise_trf`.

Importing this module imports numba; `parametrise` does so only where it pays. Gaussians are
computed by recurrence on the even grid and only where they are not negligible. Parameters of one
spectrum stand peak by peak: centre, height, width.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from math import sqrt
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from analysis.parametrise_trf import Solution

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
P = ParamSpec("P")
R = TypeVar("R")

# Compiled code on disk is renewed when this file changes: what it is made of stands here.
TOLERANCE = 1e-8
REACH_SD = 9.0  # further out a Gaussian is below 1e-17 of its height
CONVERGED, EXHAUSTED, BROKEN = 1, 2, 3

_numba: Any = import_module("numba")


def _compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile at first call; keep the machine code on disk where some folder can be written to."""
    # Sums may be reordered, so that they are computed several terms at a time.
    options = {"fastmath": {"reassoc", "contract"}, "error_model": "numpy"}
    try:
        made: Callable[P, R] = _numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder for the cache
        made = _numba.njit(**options)(function)
    return made


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

    Parameters, result and references are those of `analysis.parametrise_trf.fit_gaussians`.

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
    """
    total = flat.shape[0]
    gaussians = start.reshape(total, -1).copy()
    cost, evaluations = np.zeros(total), np.zeros(total, dtype=np.int64)
    status = np.zeros(total, dtype=np.int64)
    _fit_all(
        np.ascontiguousarray(freqs_hz),
        np.ascontiguousarray(flat),
        gaussians,
        np.ascontiguousarray(lower.reshape(total, -1)),
        np.ascontiguousarray(upper.reshape(total, -1)),
        np.ascontiguousarray(n_peaks),
        max_evaluations,
        cost,
        evaluations,
        status,
    )
    return Solution(gaussians.reshape(start.shape), cost, evaluations, status == CONVERGED)


@_compiled
def _model(
    freqs: Array, y: Array, x: Array, rows: Array, first: Ints, last: Ints, residual: Array
) -> float:
    """Fill the rows of the transposed Jacobian between `first` and `last`; returns the cost."""
    step = freqs[1] - freqs[0]
    for k in range(freqs.size):
        residual[k] = -y[k]
    for i in range(x.size // 3):
        centre, height, width = x[3 * i], x[3 * i + 1], x[3 * i + 2]
        begin = max(0, int(np.ceil((centre - REACH_SD * width - freqs[0]) / step)))
        end = min(freqs.size, int((centre + REACH_SD * width - freqs[0]) / step) + 1)
        first[i], last[i] = begin, end
        middle = min(max(int(np.round((centre - freqs[0]) / step)), begin), end - 1)
        by_centre, by_height, by_width = rows[3 * i], rows[3 * i + 1], rows[3 * i + 2]
        # exp(-u^2/2) on an even grid: each value is the last times a ratio, which shrinks too.
        du, u = step / width, (freqs[middle] - centre) / width
        shrink, top = np.exp(-du * du), np.exp(-0.5 * u * u)
        value, ratio = top, np.exp(-(u + 0.5 * du) * du)
        for k in range(middle, end):
            by_height[k] = value
            value *= ratio
            ratio *= shrink
        value, ratio = top, np.exp((u - 0.5 * du) * du)
        for k in range(middle - 1, begin - 1, -1):
            value *= ratio
            ratio *= shrink
            by_height[k] = value
        inverse = 1.0 / width
        for k in range(begin, end):
            u = (freqs[k] - centre) * inverse
            residual[k] += height * by_height[k]
            by_centre[k] = height * inverse * by_height[k] * u
            by_width[k] = by_centre[k] * u
    cost = 0.0
    for k in range(freqs.size):
        cost += residual[k] * residual[k]
    return 0.5 * cost


@_compiled
def _normal(
    rows: Array, first: Ints, last: Ints, residual: Array, matrix: Array, gradient: Array
) -> None:
    """J'J (lower half) and J'r."""
    for i in range(gradient.size):
        begin, end = first[i // 3], last[i // 3]
        total = 0.0
        for k in range(begin, end):
            total += rows[i, k] * residual[k]
        gradient[i] = total
        for j in range(i + 1):
            total = 0.0
            for k in range(max(begin, first[j // 3]), min(end, last[j // 3])):
                total += rows[i, k] * rows[j, k]
            matrix[i, j] = total


@_compiled
def _dot(a: Array, b: Array) -> float:
    """Scalar product."""
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@_compiled
def _curve(matrix: Array, a: Array, b: Array) -> float:
    """Product a'Mb of a symmetric matrix of which the lower half is kept."""
    total = 0.0
    for i in range(a.size):
        total += matrix[i, i] * a[i] * b[i]
        for j in range(i):
            total += matrix[i, j] * (a[i] * b[j] + a[j] * b[i])
    return total


@_compiled
def _factor(matrix: Array, shift: float, factor: Array) -> bool:
    """Cholesky factor of matrix + shift on the diagonal; False if it is not positive definite."""
    for i in range(matrix.shape[0]):
        for j in range(i):
            factor[i, j] = (matrix[i, j] - _dot(factor[i, :j], factor[j, :j])) / factor[j, j]
        rest = matrix[i, i] + shift - _dot(factor[i, :i], factor[i, :i])
        if not rest > 0.0:
            return False
        factor[i, i] = sqrt(rest)
    return True


@_compiled
def _solve(factor: Array, gradient: Array, step: Array) -> None:
    """Step for a factored matrix."""
    for i in range(step.size):
        step[i] = (-gradient[i] - _dot(factor[i, :i], step[:i])) / factor[i, i]
    for i in range(step.size - 1, -1, -1):
        step[i] /= factor[i, i]
        for j in range(i):
            step[j] -= factor[i, j] * step[i]


@_compiled
def _spread(factor: Array, step: Array, work: Array) -> float:
    """Quadratic form of the step with the inverse of the factored matrix."""
    for i in range(step.size):
        work[i] = (step[i] - _dot(factor[i, :i], work[:i])) / factor[i, i]
    return _dot(work, work)


@_compiled
def _between(low: float, high: float) -> float:
    """First multiplier to try between two limits."""
    return max(0.001 * high, sqrt(low * high))


@_compiled
def _trust_step(
    matrix: Array,
    gradient: Array,
    radius: float,
    alpha: float,
    factor: Array,
    work: Array,
    step: Array,
) -> float:
    """Minimise the quadratic model within the radius; returns the multiplier, -1 if singular."""
    low, high = 0.0, sqrt(_dot(gradient, gradient)) / radius
    if _factor(matrix, 0.0, factor):
        _solve(factor, gradient, step)
        length = sqrt(_dot(step, step))
        if length <= radius:
            return 0.0
        low = (length - radius) * length / _spread(factor, step, work)
    elif alpha == 0.0:
        alpha = _between(low, high)
    for _ in range(10):
        if alpha < low or alpha > high:
            alpha = _between(low, high)
        if not _factor(matrix, alpha, factor):
            return -1.0
        _solve(factor, gradient, step)
        length = sqrt(_dot(step, step))
        gap = length - radius
        change = -gap * length / _spread(factor, step, work)
        if gap < 0.0:
            high = alpha
        low = max(low, alpha - change)
        alpha -= length * change / radius
        if abs(gap) < 0.01 * radius:
            break
    if not _factor(matrix, alpha, factor):
        return -1.0
    _solve(factor, gradient, step)
    longer = radius / sqrt(_dot(step, step))
    for i in range(step.size):
        step[i] *= longer
    return alpha


@_compiled
def _room(x: float, step: float, lower: float, upper: float) -> float:
    """How many times a step fits before a bound."""
    if step == 0.0:
        return np.inf
    return max((lower - x) / step, (upper - x) / step)


@_compiled
def _lowest(a: float, b: float, low: float, high: float) -> tuple[float, float]:
    """Lowest point of a t^2 + b t between two ends, and its value."""
    best = high if high * (a * high + b) < low * (a * low + b) else low
    value = best * (a * best + b)
    if a != 0.0:
        turn = -0.5 * b / a
        if low < turn < high and turn * (a * turn + b) < value:
            return turn, turn * (a * turn + b)
    return best, value


@_compiled
def _reflect(
    x: Array,
    lower: Array,
    upper: Array,
    matrix: Array,
    gradient: Array,
    scale: Array,
    radius: float,
    theta: float,
    step: Array,
    mirrored: Array,
) -> float:
    """Replace a step that leaves the bounds by the best of three inside; returns its promise."""
    size = x.size
    reach = np.inf
    for i in range(size):
        reach = min(reach, _room(x[i], scale[i] * step[i], lower[i], upper[i]))
    for i in range(size):
        hit = _room(x[i], scale[i] * step[i], lower[i], upper[i]) == reach
        mirrored[i] = -step[i] if hit else step[i]
        step[i] *= reach
    linear, square = _dot(gradient, step), _curve(matrix, step, step)
    aa, ab = _dot(mirrored, mirrored), _dot(step, mirrored)
    ac = _dot(step, step) - radius * radius
    q = -(ab + np.copysign(sqrt(max(ab * ab - aa * ac, 0.0)), ab))
    to_edge = max(q / aa, ac / q)
    to_bound = np.inf
    for i in range(size):
        place = x[i] + scale[i] * step[i]
        to_bound = min(to_bound, _room(place, scale[i] * mirrored[i], lower[i], upper[i]))
    far = min(to_bound, to_edge)
    by_mirror, t = np.inf, 0.0
    if far > 0.0:
        near = (1.0 - theta) * reach / far
        far = theta * to_bound if far == to_bound else to_edge
        if near <= far:
            a = 0.5 * _curve(matrix, mirrored, mirrored)
            b = _dot(gradient, mirrored) + _curve(matrix, step, mirrored)
            t, by_mirror = _lowest(a, b, near, far)
            by_mirror += 0.5 * square + linear
    by_cut = 0.5 * theta * theta * square + theta * linear

    steep = _dot(gradient, gradient)
    to_edge = radius / sqrt(steep)
    to_bound = np.inf
    for i in range(size):
        to_bound = min(to_bound, _room(x[i], -scale[i] * gradient[i], lower[i], upper[i]))
    far = theta * to_bound if to_bound < to_edge else to_edge
    s, by_descent = _lowest(0.5 * _curve(matrix, gradient, gradient), -steep, 0.0, far)
    if by_cut < by_mirror and by_cut < by_descent:
        for i in range(size):
            step[i] *= theta
        return -by_cut
    if by_mirror < by_cut and by_mirror < by_descent:
        for i in range(size):
            step[i] += t * mirrored[i]
        return -by_mirror
    for i in range(size):
        step[i] = -s * gradient[i]
    return -by_descent


@_compiled
def _scale(
    x: Array,
    lower: Array,
    upper: Array,
    slope: Array,
    square: Array,
    distance: Array,
    scale: Array,
    gradient: Array,
    matrix: Array,
) -> float:
    """Scale the problem by the distance to the bounds; returns the largest scaled gradient."""
    largest = 0.0
    for i in range(x.size):
        distance[i], turn = 1.0, 0.0
        if slope[i] < 0.0 and upper[i] < np.inf:
            distance[i], turn = upper[i] - x[i], -1.0
        elif slope[i] > 0.0 and lower[i] > -np.inf:
            distance[i], turn = x[i] - lower[i], 1.0
        largest = max(largest, abs(slope[i] * distance[i]))
        scale[i] = sqrt(distance[i])
        gradient[i] = scale[i] * slope[i]
        for j in range(i + 1):
            matrix[i, j] = square[i, j] * scale[i] * scale[j]
        matrix[i, i] += slope[i] * turn
    return largest


@_compiled
def _fit_one(
    freqs: Array,
    y: Array,
    x: Array,
    lower: Array,
    upper: Array,
    limit: int,
    rows: Array,
    first: Ints,
    last: Ints,
) -> tuple[float, int, int]:
    """Fit one spectrum in place; returns cost, evaluations and status."""
    size = x.size
    residual = np.empty(freqs.size)
    square, matrix, factor = (
        np.empty((size, size)),
        np.empty((size, size)),
        np.empty((size, size)),
    )
    slope, gradient, distance, scale, step, work, trial = (
        np.empty(size),
        np.empty(size),
        np.empty(size),
        np.empty(size),
        np.empty(size),
        np.empty(size),
        np.empty(size),
    )
    cost = _model(freqs, y, x, rows, first, last, residual)
    _normal(rows, first, last, residual, square, slope)
    optimality = _scale(x, lower, upper, slope, square, distance, scale, gradient, matrix)
    radius = 0.0
    for i in range(size):
        radius += x[i] * x[i] / distance[i]
    radius = sqrt(radius) if radius > 0.0 else 1.0
    alpha, evaluations = 0.0, 1
    while True:
        if optimality < TOLERANCE:
            return cost, evaluations, CONVERGED
        if evaluations >= limit:
            return cost, evaluations, EXHAUSTED
        alpha = _trust_step(matrix, gradient, radius, alpha, factor, work, step)
        if alpha < 0.0:
            return cost, evaluations, BROKEN
        inside = True
        for i in range(size):
            place = x[i] + scale[i] * step[i]
            inside &= lower[i] <= place <= upper[i]
        if inside:
            promised = -(0.5 * _curve(matrix, step, step) + _dot(gradient, step))
        else:
            theta = max(0.995, 1.0 - optimality)
            promised = _reflect(x, lower, upper, matrix, gradient, scale, radius, theta, step, work)
        moved, far = 0.0, 0.0
        for i in range(size):
            change = scale[i] * step[i]
            moved += change * change
            far += x[i] * x[i]
            trial[i] = x[i] + change
            if trial[i] <= lower[i]:
                trial[i] = np.nextafter(lower[i], upper[i])
            elif trial[i] >= upper[i]:
                trial[i] = np.nextafter(upper[i], lower[i])
        length = sqrt(_dot(step, step))
        if not length < np.inf:
            return cost, evaluations, BROKEN
        new_cost = _model(freqs, y, trial, rows, first, last, residual)
        evaluations += 1
        if not new_cost < np.inf:
            radius = 0.25 * length
            continue
        reduction = cost - new_cost
        if promised > 0.0:
            ratio = reduction / promised
        else:
            ratio = 1.0 if promised == 0.0 and reduction == 0.0 else 0.0
        done = reduction < TOLERANCE * cost and ratio > 0.25
        done |= sqrt(moved) < TOLERANCE * (TOLERANCE + sqrt(far))
        if reduction > 0.0:
            x[:] = trial
            cost = new_cost
        if done:
            return cost, evaluations, CONVERGED
        if reduction > 0.0:
            _normal(rows, first, last, residual, square, slope)
            optimality = _scale(x, lower, upper, slope, square, distance, scale, gradient, matrix)
        if ratio < 0.25:
            alpha *= radius / (0.25 * length)
            radius = 0.25 * length
        elif ratio > 0.75 and length > 0.95 * radius:
            alpha *= 0.5
            radius *= 2.0


@_compiled
def _fit_all(
    freqs: Array,
    flat: Array,
    gaussians: Array,
    lower: Array,
    upper: Array,
    n_peaks: Ints,
    limit: int,
    cost: Array,
    evaluations: Ints,
    status: Ints,
) -> None:
    """Fit every spectrum in place."""
    rows = np.empty((gaussians.shape[1], freqs.size))
    first, last = np.empty(gaussians.shape[1], np.int64), np.empty(gaussians.shape[1], np.int64)
    for i in range(flat.shape[0]):
        size = 3 * n_peaks[i]
        cost[i], evaluations[i], status[i] = _fit_one(
            freqs,
            flat[i],
            gaussians[i, :size],
            lower[i, :size],
            upper[i, :size],
            limit,
            rows,
            first,
            last,
        )
