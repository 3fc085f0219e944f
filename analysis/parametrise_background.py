"""Aperiodic parts of many spectra: offset - log10(knee + f**exponent), robustly and plainly.

Without a knee this is a line in log10(f), fitted in closed form; with a knee, a nonlinear fit of
three parameters by the steps of MINPACK's `lmder`, all spectra at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

LOWEST_PERCENT = 0.025  # of the points above the first fit, kept for the second
TOLERANCE = 1.49012e-8
MOST_STEPS = 1250
LN10 = float(np.log(10.0))


def background(freqs_hz: Array, parameters: Array) -> Array:
    """Aperiodic log10 power.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies, above zero.
    parameters : ndarray, shape (n_spectra, 3)
        Offset, knee and exponent.

    Returns
    -------
    ndarray, shape (n_spectra, n_freqs)
        Background of each spectrum.
    """
    offset, knee, exponent = (parameters[:, i : i + 1] for i in range(3))
    log_freqs = np.log10(freqs_hz)
    if not knee.any():
        return np.asarray(offset - exponent * log_freqs)
    return np.asarray(offset - np.log10(knee + np.exp(exponent * (log_freqs * LN10))))


def fit_background(
    freqs_hz: Array, log_power: Array, *, knee: bool, steepness: Array
) -> tuple[Array, Bools]:
    """Fit the aperiodic part to all points of each spectrum.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies, above zero.
    log_power : ndarray, shape (n_spectra, n_freqs)
        log10 power.
    knee : bool
        Whether to fit a knee.
    steepness : ndarray, shape (n_spectra,)
        First guess of the exponent, for the fit with a knee.

    Returns
    -------
    parameters : ndarray, shape (n_spectra, 3)
        Offset, knee (0 without one) and exponent.
    converged : ndarray of bool, shape (n_spectra,)
        Whether a stopping rule was met.
    """
    everywhere = np.ones(log_power.shape, dtype=bool)
    if not knee:
        return _fit_line(freqs_hz, log_power, everywhere)
    start = np.stack([log_power[:, 0], np.zeros_like(steepness), steepness], axis=1)
    return _fit_knee(freqs_hz, log_power, everywhere, start)


def fit_robust_background(
    freqs_hz: Array, log_power: Array, *, knee: bool, steepness: Array
) -> tuple[Array, Bools]:
    """Fit the aperiodic part once to all points and once more to those at or below the first fit.

    Parameters
    ----------
    freqs_hz, log_power, knee, steepness
        As for `fit_background`.

    Returns
    -------
    parameters, converged
        As from `fit_background`.

    References
    ----------
    Donoghue et al. 2020, Nat. Neurosci. 23:1655-1665, Methods, "Initial aperiodic fit".
    """
    first, sound = fit_background(freqs_hz, log_power, knee=knee, steepness=steepness)
    excess = np.maximum(log_power - background(freqs_hz, first), 0.0)
    edge = np.percentile(excess, LOWEST_PERCENT, axis=1, keepdims=True)
    used = excess <= edge
    if knee:
        second, again = _fit_knee(freqs_hz, log_power, used, first)
    else:
        second, again = _fit_line(freqs_hz, log_power, used)
    return second, sound & again


def _fit_line(freqs_hz: Array, log_power: Array, used: Bools) -> tuple[Array, Bools]:
    """Least squares of a line in log10(f); fails where fewer than two points are used."""
    log_freqs = np.log10(freqs_hz)
    weight = used.astype(np.float64)
    count = weight.sum(axis=1)
    middle = weight @ log_freqs / count
    level = np.sum(weight * log_power, axis=1) / count
    away = (log_freqs - middle[:, None]) * weight
    spread = np.sum(away * away, axis=1)
    sound = spread > 0.0
    rise = np.sum(away * log_power, axis=1) / np.where(sound, spread, 1.0)
    return np.stack([level - rise * middle, np.zeros_like(rise), -rise], axis=1), sound


def _knee_model(freqs_hz: Array, log_power: Array, weight: Array, x: Array) -> tuple[Array, Array]:
    """Residuals and derivatives of the background with a knee; zero where the weight is."""
    log_freqs = np.log(freqs_hz)
    power = np.exp(x[:, 2:] * log_freqs)
    total = x[:, 1:2] + power
    residual = (x[:, :1] - np.log10(total) - log_power) * weight
    jacobian = np.empty((x.shape[0], 3, freqs_hz.size))
    jacobian[:, 0] = weight
    jacobian[:, 1] = -weight / (total * LN10)
    jacobian[:, 2] = jacobian[:, 1] * power * log_freqs
    return residual, jacobian


def _fit_knee(freqs_hz: Array, log_power: Array, used: Bools, start: Array) -> tuple[Array, Bools]:
    """Levenberg-Marquardt, every round one step of each spectrum still under way.

    Moré 1978, Lect. Notes Math. 630:105-116, with MINPACK's constants and stopping rules.
    """
    found, converged = start.copy(), np.zeros(start.shape[0], dtype=bool)
    index = np.flatnonzero(used.sum(axis=1) >= 3)
    with np.errstate(all="ignore"):
        x, y, weight = start[index], log_power[index], used[index].astype(np.float64)
        residual, jacobian = _knee_model(freqs_hz, y, weight, x)
        size = np.linalg.norm(residual, axis=1)
        matrix, slope = _normal(jacobian, residual)
        unit = np.sqrt(np.diagonal(matrix, axis1=1, axis2=2))
        unit = np.where(unit == 0.0, 1.0, unit)
        reach = 100.0 * np.linalg.norm(unit * x, axis=1)
        reach = np.where(reach == 0.0, 100.0, reach)
        level, first = np.zeros(index.size), np.ones(index.size, dtype=bool)
        for _ in range(MOST_STEPS):
            if index.size == 0:
                break
            scaled = matrix / (unit[:, :, None] * unit[:, None, :])
            step, level = _damped_step(scaled, slope / unit, reach, level)
            length = np.linalg.norm(step, axis=1)
            reach = np.where(first, np.minimum(reach, length), reach)
            trial = x + step / unit
            new_residual, new_jacobian = _knee_model(freqs_hz, y, weight, trial)
            new_size = np.linalg.norm(new_residual, axis=1)
            far = ~(0.1 * new_size < size)
            actual = np.where(far, -1.0, 1.0 - (new_size / size) ** 2)
            linear = np.einsum("wi,wij,wj->w", step, scaled, step) / size**2
            damping = level * length**2 / size**2
            promised = linear + 2.0 * damping
            ratio = np.where(promised == 0.0, 0.0, actual / promised)
            shrink = 0.5 * (linear + damping) / ((linear + damping) - 0.5 * actual)
            shrink = np.where(actual >= 0.0, 0.5, shrink)
            shrink = np.where(far | (shrink < 0.1), 0.1, shrink)
            poor = ~(ratio > 0.25)
            good = ~poor & ((level == 0.0) | (ratio >= 0.75))
            reach = np.where(good, 2.0 * length, reach)
            reach = np.where(poor, shrink * np.minimum(reach, 10.0 * length), reach)
            level = np.where(poor, level / shrink, np.where(good, 0.5 * level, level))
            taken = ratio >= 1e-4
            matrix_new, slope_new = _normal(new_jacobian[taken], new_residual[taken])
            x[taken], size[taken] = trial[taken], new_size[taken]
            far_out = np.linalg.norm(unit * x, axis=1)
            matrix[taken], slope[taken] = matrix_new, slope_new
            columns = np.sqrt(np.diagonal(matrix, axis1=1, axis2=2))
            unit[taken] = np.maximum(unit, columns)[taken]
            first &= ~taken
            done = (np.abs(actual) <= TOLERANCE) & (promised <= TOLERANCE) & (ratio <= 2.0)
            done |= reach <= TOLERANCE * far_out
            done |= (size == 0.0) | ~slope.any(axis=1)
            if done.any():
                found[index[done]], converged[index[done]] = x[done], True
                stay = ~done
                index, x, y, weight = index[stay], x[stay], y[stay], weight[stay]
                matrix, slope, unit, size = matrix[stay], slope[stay], unit[stay], size[stay]
                reach, level, first = reach[stay], level[stay], first[stay]
    found[index] = x
    return found, converged


def _normal(jacobian: Array, residual: Array) -> tuple[Array, Array]:
    """J'J and J'r."""
    return (
        np.matmul(jacobian, jacobian.transpose(0, 2, 1)),
        np.matmul(jacobian, residual[..., None])[..., 0],
    )


def _damped_step(matrix: Array, slope: Array, reach: Array, level: Array) -> tuple[Array, Array]:
    """Step of the scaled problem whose length is within a tenth of `reach`, and its damping."""
    values, vectors = np.linalg.eigh(matrix)
    turned = np.matmul(slope[:, None], vectors)[:, 0]
    full = values[:, 0] > 1e-15 * values[:, -1]
    step = np.where(values > 1e-15 * values[:, -1:], -turned / values, 0.0)
    length = np.linalg.norm(step, axis=1)
    gap = length - reach
    todo = gap > 0.1 * reach
    out = np.zeros_like(level)
    if todo.any():
        unit = step / length[:, None]
        low = np.where(full, gap / (reach * np.sum(unit**2 / values, axis=1)), 0.0)
        high = np.linalg.norm(slope, axis=1) / reach
        now = np.minimum(np.maximum(level, low), high)
        now = np.where(now == 0.0, np.linalg.norm(slope, axis=1) / length, now)
        last_gap = gap
        for _ in range(10):
            now = np.where(now == 0.0, np.maximum(1e-300, 0.001 * high), now)
            shifted = values + now[:, None]
            trial = -turned / shifted
            size = np.linalg.norm(trial, axis=1)
            gap = size - reach
            step[todo], out[todo] = trial[todo], now[todo]
            todo &= ~(
                (np.abs(gap) <= 0.1 * reach) | ((low == 0.0) & (gap <= last_gap) & (last_gap < 0.0))
            )
            if not todo.any():
                break
            last_gap = gap
            unit = trial / size[:, None]
            change = gap / (reach * np.sum(unit**2 / shifted, axis=1))
            low = np.where(gap > 0.0, np.maximum(low, now), low)
            high = np.where(gap < 0.0, np.minimum(high, now), high)
            now = np.where(todo, np.maximum(low, now + change), now)
    return np.matmul(vectors, step[..., None])[..., 0], out
