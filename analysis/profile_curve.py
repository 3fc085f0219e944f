"""The resonance curve: a Lorentzian fitted by the likelihood of squared locking, with intervals.

A squared mean phasor with coherent part lambda over a null N is N/(2 nu) times a non-central
chi-square of 2 nu degrees of freedom and non-centrality 2 nu lambda/N; nu, 1 for one read of one
channel, counts the independent values in a mean of several and is measured on the virtual
references. The intervals are profile likelihoods; what the blocks scatter beyond the model (a peak
that wanders) widens them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Adjusted",
    "Lorentzian",
    "Measured",
    "fit_adjusted",
    "fit_curve",
    "fit_lorentzian",
    "shape_of",
]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """Squared locking of every block.

    Parameters
    ----------
    frequency_hz, level, plv2, null, order : ndarray, shape (n_blocks,)
        What the drive was, what was found and what chance gives.
    shape : ndarray, shape (n_blocks,)
        nu of each block.
    """

    frequency_hz: Array
    level: Array
    plv2: Array
    null: Array
    order: Array
    shape: Array

    def only(self, chosen: NDArray[np.bool_]) -> Measured:
        """The blocks chosen."""
        return Measured(
            *(
                getattr(self, name)[chosen]
                for name in ("frequency_hz", "level", "plv2", "null", "order", "shape")
            )
        )

    def loglik(self, signal: Array) -> float:
        """Log-likelihood of the coherent parts `signal`, shape (n_blocks,)."""
        return float(np.sum(self.logliks(signal)))

    def logliks(self, signal: Array) -> Array:
        """Log-likelihood of each block."""
        from scipy.special import ive

        nu = self.shape
        scale = 2.0 * nu / self.null
        x, away = scale * self.plv2, scale * np.maximum(signal, 1e-9 * self.null)
        root = np.sqrt(x * away)
        bessel = np.log(np.maximum(ive(nu - 1.0, root), 1e-300)) + root
        return np.asarray(
            math.log(0.5)
            + np.log(scale)
            - 0.5 * (x + away)
            + 0.5 * (nu - 1.0) * np.log(x / away)
            + bessel
        )


@dataclass(frozen=True, slots=True)
class Lorentzian:
    """``height / (1 + ((f - centre)/half_width)²)`` with 95 % intervals (None: not closed)."""

    centre_hz: float
    centre_ci95_hz: tuple[float | None, float | None]
    half_width_hz: float
    half_width_ci95_hz: tuple[float | None, float | None]
    height: float
    height_ci95: tuple[float | None, float | None]
    scatter: float

    def at(self, frequency_hz: Array) -> Array:
        """Value of the curve."""
        turn = (frequency_hz - self.centre_hz) / self.half_width_hz
        return np.asarray(self.height / (1.0 + turn**2))

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "centre_hz": self.centre_hz,
            "centre_ci95_hz": list(self.centre_ci95_hz),
            "half_width_hz": self.half_width_hz,
            "half_width_ci95_hz": list(self.half_width_ci95_hz),
            "height_plv2": self.height,
            "height_ci95_plv2": list(self.height_ci95),
            "scatter": self.scatter,
        }


def shape_of(virtual: list[Array]) -> float:
    """Return nu of blocks alike: mean squared over variance of their virtual references."""
    pooled = np.concatenate([one / one.mean() for one in virtual])
    return float(max(1.0, 1.0 / np.var(pooled)))


def fit_curve(
    measured: Measured,
    model: Callable[[Array], Array],
    bounds: list[tuple[float, float]],
    starts: list[list[float]],
    *,
    prior: Callable[[Array], float] | None = None,
) -> tuple[Array, float, list[tuple[float | None, float | None]]]:
    """Fit a curve of coherent parts by maximum likelihood, with profile intervals.

    Parameters
    ----------
    measured : Measured
        Blocks.
    model : callable
        Parameters to coherent parts, shape (n_blocks,).
    bounds : list of (float, float)
        Of every parameter; an interval that reaches one is open there (None).
    starts : list of list of float
        Where to begin; the best end counts.
    prior : callable, optional
        Penalty in units of log-likelihood.

    Returns
    -------
    best : ndarray
        Parameters.
    scatter : float
        Deviance per degree of freedom over its expectation, 1 or more.
    intervals : list
        95 % of every parameter.
    """
    from scipy.optimize import minimize
    from scipy.stats import chi2, f

    def cost(values: Array) -> float:
        less = 0.0 if prior is None else prior(values)
        return less - measured.loglik(model(values))

    def least(start: Array, limits: list[tuple[float, float]]) -> tuple[Array, float]:
        found = minimize(cost, start, method="L-BFGS-B", bounds=limits)
        return np.asarray(found.x), float(found.fun)

    ends = [least(np.array(start), bounds) for start in starts]
    best, low = min(ends, key=lambda end: end[1])
    free = measured.plv2.size - len(bounds)
    scatter = 1.0
    if free >= 3:
        signal = model(best)
        sd = np.sqrt((measured.null**2 + 2.0 * signal * measured.null) / measured.shape)
        scatter = float(np.sum(((measured.plv2 - measured.null - signal) / sd) ** 2) / free)
        scatter = max(1.0, scatter)
    limit = f.ppf(0.95, 1, free) if free >= 3 else chi2.ppf(0.95, 1)
    rise = 0.5 * float(limit) * scatter
    intervals: list[tuple[float | None, float | None]] = []
    for which, (lowest, highest) in enumerate(bounds):
        ends_of: list[float | None] = []
        for side, edge in ((-1.0, lowest), (1.0, highest)):
            ends_of.append(_edge(which, side, edge, best, low, rise, bounds, least))
        intervals.append((ends_of[0], ends_of[1]))
    return best, scatter, intervals


def _edge(
    which: int,
    side: float,
    edge: float,
    best: Array,
    low: float,
    rise: float,
    bounds: list[tuple[float, float]],
    least: Callable[[Array, list[tuple[float, float]]], tuple[Array, float]],
) -> float | None:
    """Where the profile of one parameter has risen by `rise`; None if it has not at its bound."""
    start = best.copy()

    def above(value: float) -> float:
        nonlocal start
        begin = start.copy()
        begin[which] = value
        limits = [*bounds[:which], (value, value), *bounds[which + 1 :]]
        end, cost = least(begin, limits)
        start = end
        return cost - low - rise

    inside, outside = float(best[which]), edge
    grid = inside + (edge - inside) * np.linspace(0.0, 1.0, 13)[1:] ** 1.5
    for value in grid:
        if above(float(value)) > 0.0:
            outside = float(value)
            break
        inside = float(value)
    else:
        return None
    for _ in range(10):
        middle = 0.5 * (inside + outside)
        if above(middle) > 0.0:
            outside = middle
        else:
            inside = middle
    return 0.5 * (inside + outside)


def fit_lorentzian(measured: Measured, *, width_hz: float | None = None) -> Lorentzian:
    """Fit the resonance curve of one level.

    Parameters
    ----------
    measured : Measured
        Blocks of at least four frequencies.
    width_hz : float, optional
        Half-width expected (half the line at rest); holds the width within a factor of about two
        where few blocks say little about it.

    Returns
    -------
    Lorentzian
    """
    hz = measured.frequency_hz
    span = float(np.ptp(hz))
    excess = np.maximum(measured.plv2 - measured.null, 0.0)
    bounds = [
        (float(hz.min()) - 0.25 * span, float(hz.max()) + 0.25 * span),
        (math.log(0.05), math.log(2.0 * span)),
        (math.log(1e-5), 0.0),
    ]
    expected = math.log(width_hz or max(0.25, 0.1 * span))
    expected = min(max(expected, bounds[1][0]), bounds[1][1])

    def model(values: Array) -> Array:
        turn = (hz - values[0]) / math.exp(values[1])
        return np.asarray(math.exp(values[2]) / (1.0 + turn**2))

    def prior(values: Array) -> float:
        return 0.5 * float((values[1] - expected) / 0.7) ** 2

    weights = excess / excess.sum() if excess.sum() > 0.0 else np.full(hz.size, 1.0 / hz.size)
    top = math.log(min(0.9, max(1e-4, float(excess.max()))))
    begins = [float(weights @ hz), float(hz[excess.argmax()])]
    begins += [float(np.median(hz))]
    starts = [[begin, expected, top] for begin in begins]
    best, scatter, ci = fit_curve(measured, model, bounds, starts, prior=prior)

    def up(pair: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
        return tuple(None if v is None else math.exp(v) for v in pair)  # type: ignore[return-value]

    return Lorentzian(
        float(best[0]), ci[0], math.exp(best[1]), up(ci[1]), math.exp(best[2]), up(ci[2]), scatter
    )


@dataclass(frozen=True, slots=True)
class Adjusted:
    """Centre with order and carry-over in the model; 95 % intervals (None: open)."""

    centre_hz: float
    centre_ci95_hz: tuple[float | None, float | None]
    ln_order: float
    ln_order_ci95: tuple[float | None, float | None]
    ln_carry: float
    ln_carry_ci95: tuple[float | None, float | None]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "centre_hz": self.centre_hz,
            "centre_ci95_hz": list(self.centre_ci95_hz),
            "ln_response_over_session": self.ln_order,
            "ln_response_over_session_ci95": list(self.ln_order_ci95),
            "ln_response_after_strongest": self.ln_carry,
            "ln_response_after_strongest_ci95": list(self.ln_carry_ci95),
        }


def fit_adjusted(measured: Measured, previous: Array, curve: Lorentzian) -> Adjusted:
    """Fit the curve with a response that may follow the session and the block before.

    Parameters
    ----------
    measured : Measured
        Blocks of one level.
    previous : ndarray, shape (n_blocks,)
        Expected response of the block before each, faded by the time between.
    curve : Lorentzian
        Fit without these; its width is held within a factor of about two, and each effect is taken
        to be of the order of a factor e at most.

    Returns
    -------
    Adjusted
    """
    hz, order = measured.frequency_hz, measured.order
    time = (order - order.mean()) / max(float(np.ptp(order)), 1e-9)
    carry = previous / previous.max() if previous.max() > 0.0 else previous
    carry = carry - carry.mean()
    wide = math.log(curve.half_width_hz)
    bounds = [
        (float(hz.min()) - 1.0, float(hz.max()) + 1.0),
        (wide - 2.0, wide + 2.0),
        (-12.0, 0.5),
        (-4.0, 4.0),
        (-4.0, 4.0),
    ]

    def model(values: Array) -> Array:
        turn = (hz - values[0]) / math.exp(values[1])
        beside = np.exp(values[2] + values[3] * time + values[4] * carry)
        return np.asarray(np.minimum(beside / (1.0 + turn**2), 1.0))

    def prior(values: Array) -> float:
        held = ((values[1] - wide) / 0.7) ** 2 + values[3] ** 2 + values[4] ** 2
        return 0.5 * float(held)

    start = [curve.centre_hz, wide, math.log(max(curve.height, 1e-5)), 0.0, 0.0]
    best, _, ci = fit_curve(measured, model, bounds, [start], prior=prior)
    return Adjusted(float(best[0]), ci[0], float(best[3]), ci[3], float(best[4]), ci[4])
