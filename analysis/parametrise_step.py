"""One trust-region step for each of many bounded least-squares problems (see `parametrise_trf`).

Vectors are parameters x spectra, matrices spectra x parameters x parameters. Quotients that are no
number are part of the method; callers switch NumPy's floating-point warnings off.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

MANY = 100


def dot(a: Array, b: Array) -> Array:
    """Scalar products, spectrum by spectrum."""
    return np.asarray(np.einsum("iw,iw->w", a, b))


def times(matrix: Array, a: Array) -> Array:
    """Matrix times vector, spectrum by spectrum."""
    return np.asarray(np.matmul(matrix, a.T[..., None])[..., 0].T)


def norm(a: Array) -> Array:
    """Euclidean lengths, spectrum by spectrum."""
    return np.asarray(np.sqrt(np.einsum("iw,iw->w", a, a)))


@dataclass(frozen=True, slots=True)
class Quadratic:
    """Quadratic models g'p + p'Bp/2 of many problems, B = diag(unit) G diag(unit) + diag(extra).

    Parameters
    ----------
    gram : ndarray, shape (spectra, parameters + 1, parameters + 1)
        G, below it the gradient over `unit`, and in the corner the largest number there is: the
        last row of the Cholesky factor then is the gradient solved for.
    unit, extra, gradient : ndarray, shape (parameters, spectra)
        Units of the parameters, addition to the diagonal, and g.
    """

    gram: Array
    unit: Array
    extra: Array
    gradient: Array

    def take(self, places: Ints) -> Quadratic:
        """Some of the problems."""
        columns = (slice(None), places)
        return Quadratic(
            self.gram[places], self.unit[columns], self.extra[columns], self.gradient[columns]
        )

    def curved(self, step: Array) -> Array:
        """Product of B and a step."""
        own = times(self.gram[:, :-1, :-1], self.unit * step)
        return np.asarray(self.unit * own + self.extra * step)


def trust_step(model: Quadratic, radius: Array, alpha: Array) -> tuple[Array, Array]:
    """Minimise quadratic models, each within a sphere.

    Parameters
    ----------
    model : Quadratic
        The models.
    radius : ndarray, shape (spectra,)
        Longest step.
    alpha : ndarray, shape (spectra,)
        Multiplier (added to the diagonal of B) to begin with, from the step before.

    Returns
    -------
    step : ndarray, shape (parameters, spectra)
        Steps, to within a hundredth of the radius; NaN where the equations are singular.
    alpha : ndarray, shape (spectra,)
        Multipliers used, 0 for a full Newton step.

    References
    ----------
    Moré 1978, Lect. Notes Math. 630:105-116.
    """
    # B is never formed: with the units moved to the diagonal, (G + (extra + alpha) / unit^2)
    # solves for unit * step.
    unit = model.unit
    inverse = 1.0 / (unit * unit)
    matrix = model.gram.copy()
    diagonal = _diagonal(matrix)
    diagonal += (model.extra * inverse).T
    equations = _Equations(matrix)
    found = equations.newton()
    step = found / unit
    length = norm(step)
    inside = length <= radius
    level = np.where(inside, 0.0, alpha)
    todo = np.flatnonzero(~inside)
    if todo.size == 0:
        return step, level
    unit, inverse, limit = unit[:, todo], inverse[:, todo], radius[todo]
    length, found = length[todo], found[:, todo]
    spread = equations.spread(found * inverse, todo)
    full = np.isfinite(length) & (spread > 0.0)
    low = np.where(full, (length - limit) * length / spread, 0.0)
    high = norm(model.gradient[:, todo]) / limit
    now = np.where(~full & (level[todo] == 0.0), _between(low, high), level[todo])
    matrix = matrix[todo]
    diagonal = _diagonal(matrix)
    base = diagonal.copy()
    last = np.zeros(todo.size, dtype=bool)
    for trial in range(11):
        now = np.where(~last & ((now < low) | (now > high)), _between(low, high), now)
        np.add(base, (now * inverse).T, out=diagonal)
        equations = _Equations(matrix)
        found = equations.newton()
        length = norm(found / unit)
        last |= trial == 10
        more: Ints | slice = slice(None)
        if last.any():
            where = todo[last]
            step[:, where] = found[:, last] / unit[:, last] * (limit[last] / length[last])
            level[where] = now[last]
            if last.all():
                break
            more = np.flatnonzero(~last)
            todo, limit, now = todo[more], limit[more], now[more]
            low, high = low[more], high[more]
            matrix, base, length = matrix[more], base[more], length[more]
            diagonal = _diagonal(matrix)
            found, unit, inverse = found[:, more], unit[:, more], inverse[:, more]
        gap = length - limit
        change = -gap * length / equations.spread(found * inverse, more)
        high = np.where(gap < 0.0, now, high)
        low = np.maximum(low, now - change)
        now = now - length * change / limit
        last = ~(np.abs(gap) >= 0.01 * limit)
    return step, level


def _diagonal(matrix: Array) -> Array:
    """View of the diagonals, without the corner; spectra x parameters."""
    size = matrix.shape[1]
    return matrix.reshape(matrix.shape[0], size * size)[:, : -1 : size + 1]


class _Equations:
    """Many symmetric systems; factored by Cholesky if many enough, else solved one by one."""

    def __init__(self, matrix: Array) -> None:
        self.matrix = matrix
        self.factor = _factors(matrix) if matrix.shape[0] >= MANY else None

    def newton(self) -> Array:
        """Solutions for minus the last row."""
        if self.factor is None:
            return _solutions(self.matrix[:, :-1, :-1], -self.matrix[:, -1, :-1].T)
        return _descend(np.ascontiguousarray(self.factor.transpose(1, 2, 0)))

    def spread(self, a: Array, places: Ints | slice) -> Array:
        """Quadratic forms of some systems' inverses."""
        if self.factor is None:
            return dot(a, _solutions(self.matrix[places, :-1, :-1], a))
        return _spread(np.ascontiguousarray(self.factor[places].transpose(1, 2, 0)), a)


def _solutions(matrix: Array, right: Array) -> Array:
    """Solutions, parameters x spectra; NaN where a matrix is singular."""
    columns = right.T[:, :, None]
    try:
        found = np.linalg.solve(matrix, columns)
    except np.linalg.LinAlgError:
        found = np.full_like(columns, np.nan)
        for one, column, out in zip(matrix, columns, found, strict=True):
            with contextlib.suppress(np.linalg.LinAlgError):
                out[:] = np.linalg.solve(one, column)
    return np.ascontiguousarray(found[:, :, 0].T)


def _factors(matrix: Array) -> Array:
    """Lower Cholesky factors; NaN where a matrix is not positive definite."""
    try:
        found = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        found = np.full_like(matrix, np.nan)
        for one, out in zip(matrix, found, strict=True):
            with contextlib.suppress(np.linalg.LinAlgError):
                out[:] = np.linalg.cholesky(one)
    return np.asarray(found, dtype=np.float64)


def _descend(factor: Array) -> Array:
    """Step from the factor of a matrix with the gradient as its last row."""
    size = factor.shape[0] - 1
    step = -factor[size, :size]
    for i in range(size - 1, -1, -1):
        step[i] /= factor[i, i]
        step[:i] -= factor[i, :i] * step[i]
    return step


def _spread(factor: Array, step: Array) -> Array:
    """Quadratic form of the step with the inverse of the factored matrix."""
    y = np.empty_like(step)
    y[0] = step[0] / factor[0, 0]
    for i in range(1, step.shape[0]):
        y[i] = (step[i] - np.einsum("jw,jw->w", factor[i, :i], y[:i])) / factor[i, i]
    return dot(y, y)


def _between(low: Array, high: Array) -> Array:
    """First multiplier to try between two limits."""
    return np.maximum(0.001 * high, np.sqrt(low * high))


def into_bounds(
    x: Array,
    lower: Array,
    upper: Array,
    model: Quadratic,
    scale: Array,
    step: Array,
    radius: Array,
    optimality: Array,
) -> Array:
    """Mend, in place, the steps that leave the bounds.

    Parameters
    ----------
    x, lower, upper : ndarray, shape (parameters, spectra)
        Where the steps begin, and the bounds.
    model : Quadratic
        The scaled problems.
    scale, step : ndarray, shape (parameters, spectra)
        Scale of the problems, and the scaled steps.
    radius, optimality : ndarray, shape (spectra,)
        Longest step, and largest scaled gradient.

    Returns
    -------
    ndarray, shape (spectra,)
        Reduction of the cost that each step promises.
    """
    aim = x + scale * step
    curved = model.curved(step)
    promise = -(0.5 * dot(step, curved) + dot(model.gradient, step))
    out = np.flatnonzero(np.any((aim < lower) | (aim > upper), axis=0))
    if out.size:
        part = (slice(None), out)
        step[part], promise[out] = _reflect(
            x[part],
            lower[part],
            upper[part],
            model.take(out),
            scale[part],
            step[part],
            curved[part],
            radius[out],
            np.maximum(0.995, 1.0 - optimality[out]),
        )
    return promise


def _room(x: Array, step: Array, lower: Array, upper: Array) -> Array:
    """How many times each parameter's step fits before a bound."""
    times = np.maximum((lower - x) / step, (upper - x) / step)
    return np.where(step == 0.0, np.inf, times)


def _lowest(a: Array, b: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Lowest point of a t^2 + b t between two ends, and its value."""
    best = np.where(high * (a * high + b) < low * (a * low + b), high, low)
    value = best * (a * best + b)
    turn = -0.5 * b / a
    at_turn = turn * (a * turn + b)
    better = (turn > low) & (turn < high) & (at_turn < value)
    return np.where(better, turn, best), np.where(better, at_turn, value)


def _reflect(
    x: Array,
    lower: Array,
    upper: Array,
    model: Quadratic,
    scale: Array,
    step: Array,
    curved: Array,
    radius: Array,
    theta: Array,
) -> tuple[Array, Array]:
    """Best of three steps inside the bounds: cut short, reflected, or along the gradient."""
    gradient = model.gradient
    room = _room(x, scale * step, lower, upper)
    reach = room.min(axis=0)
    mirrored = np.where(room == reach, -step, step)
    cut, cut_curved = step * reach, curved * reach
    linear, square = dot(gradient, cut), dot(cut, cut_curved)

    aa, ab = dot(mirrored, mirrored), dot(cut, mirrored)
    ac = dot(cut, cut) - radius**2
    q = -(ab + np.copysign(np.sqrt(np.maximum(ab**2 - aa * ac, 0.0)), ab))
    to_edge = np.maximum(q / aa, ac / q)
    to_bound = _room(x + scale * cut, scale * mirrored, lower, upper).min(axis=0)
    far = np.minimum(to_bound, to_edge)
    near = np.where(far > 0.0, (1.0 - theta) * reach / far, 0.0)
    far = np.where(far > 0.0, np.where(far == to_bound, theta * to_bound, to_edge), -1.0)
    bent = model.curved(mirrored)
    t, value = _lowest(
        0.5 * dot(mirrored, bent), dot(gradient, mirrored) + dot(cut, bent), near, far
    )
    by_mirror = np.where(near <= far, value + 0.5 * square + linear, np.inf)
    mirror_step = t * mirrored + cut

    by_cut = 0.5 * theta**2 * square + theta * linear

    downhill = -gradient
    to_edge = radius / norm(gradient)
    to_bound = _room(x, scale * downhill, lower, upper).min(axis=0)
    far = np.where(to_bound < to_edge, theta * to_bound, to_edge)
    bent = model.curved(downhill)
    s, by_descent = _lowest(
        0.5 * dot(downhill, bent), dot(gradient, downhill), np.zeros_like(far), far
    )
    use_cut = (by_cut < by_mirror) & (by_cut < by_descent)
    use_mirror = ~use_cut & (by_mirror < by_cut) & (by_mirror < by_descent)
    best = np.where(use_cut, theta * cut, np.where(use_mirror, mirror_step, s * downhill))
    return best, -np.where(use_cut, by_cut, np.where(use_mirror, by_mirror, by_descent))
