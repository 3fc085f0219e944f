"""How an after-effect fades: P(t) = P0 (1 + w0 exp(-t / tau)), with intervals or the reason."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MIN_BINS = 4
MIN_SPAN_S = 1200.0
SOME_EFFECT = 5.991  # chi square of two parameters at 5 %
ONE_PARAMETER = 3.841
POOR_FIT_P = 0.001
_SHORTEST_S, _LONGEST_S, _STEPS = 60.0, 360000.0, 400
_ITERATIONS = 40


@dataclass(frozen=True, slots=True)
class Decay:
    """Fit of an after-effect, or the reason why there is none.

    Parameters
    ----------
    w0, tau_s : float or None
        Relative change of power when the current ended, and its time constant.
    w0_interval, tau_interval_s : (float, float or None) or None
        95 % profile intervals; an upper end of None has no bound that the recordings show.
    drift_ln_per_min : float or None
        Slope of log power fitted beside it; None in the fit without drift.
    drift_interval : (float, float) or None
        Its 95 % interval.
    misfit : float or None
        Chi square of the fit, and `n_free` its degrees of freedom.
    n_free : int
        Bins less parameters.
    reason : str or None
        Why a number is missing.
    """

    w0: float | None = None
    tau_s: float | None = None
    w0_interval: tuple[float, float] | None = None
    tau_interval_s: tuple[float, float | None] | None = None
    drift_ln_per_min: float | None = None
    drift_interval: tuple[float, float] | None = None
    misfit: float | None = None
    n_free: int = 0
    reason: str | None = None

    @property
    def identified(self) -> bool:
        """Whether both numbers are there and the time constant has an upper bound."""
        return self.tau_s is not None and self.w0 is not None and self.reason is None

    def to_dict(self) -> dict[str, Any]:
        """Plain values; times in minutes."""
        tau = self.tau_interval_s
        return {
            "identified": self.identified,
            "w0": self.w0,
            "w0_ci95": self.w0_interval and list(self.w0_interval),
            "tau_min": self.tau_s and self.tau_s / 60.0,
            "tau_ci95_min": tau and [tau[0] / 60.0, None if tau[1] is None else tau[1] / 60.0],
            "drift_ln_per_min": self.drift_ln_per_min,
            "drift_ci95_ln_per_min": self.drift_interval and list(self.drift_interval),
            "misfit_chi2": self.misfit,
            "n_free": self.n_free,
            "reason": self.reason,
        }


def fit_decay(
    times_s: list[Array], ln_ratio: Array, covariance: Array, *, drift: bool = False
) -> Decay:
    """Fit an exponentially fading after-effect to log ratios of power in bins.

    Parameters
    ----------
    times_s : list of ndarray
        For each bin the times of its segments, seconds after the current ended.
    ln_ratio : ndarray, shape (n_bins,)
        Log ratio of mean power in each bin to power before.
    covariance : ndarray, shape (n_bins, n_bins)
        Of `ln_ratio`; the common baseline makes the bins depend on each other.
    drift : bool
        Fit a linear drift of log power beside it.

    Returns
    -------
    Decay
        Estimates with 95 % profile intervals. Not identifiable, with the reason: fewer than 4 bins
        (5 with drift), a span below 20 min, no effect (likelihood ratio against none at 5 %), or a
        time constant that the data do not bound. A lower bound alone is given as such.

    Notes
    -----
    Least squares weighted with the inverse covariance. Intervals end where chi square has risen by
    3.84, times chi square over its degrees of freedom where that is above 1. The time constant is
    profiled on a grid from 1 min to 100 h; the other parameters are solved for at each step.
    """
    least = MIN_BINS + drift
    span_s = max(float(t[-1]) for t in times_s) - min(float(t[0]) for t in times_s)
    if len(times_s) < least or span_s < MIN_SPAN_S:
        return Decay(
            reason=f"not identifiable: {len(times_s)} bins over {span_s / 60.0:.0f} min, "
            f"{least} bins over {MIN_SPAN_S / 60.0:.0f} min are the least"
        )
    problem = _Problem(times_s, ln_ratio, covariance, drift)
    taus = np.geomspace(_SHORTEST_S, _LONGEST_S, _STEPS)
    solved = [problem.solve(float(tau)) for tau in taus]
    chi2 = np.array([one.chi2 for one in solved])
    best = int(np.argmin(chi2))
    n_free = len(times_s) - 2 - drift
    # The spreads of a handful of bins are estimates themselves: a misfit widens the intervals.
    room = ONE_PARAMETER * max(1.0, float(chi2[best]) / n_free)
    gain = problem.without() - float(chi2[best])
    if gain < SOME_EFFECT:
        return Decay(
            misfit=float(chi2[best]),
            n_free=n_free,
            reason="not identifiable: the effect is too small against the fluctuation of power "
            f"(likelihood ratio {gain:.1f}, {SOME_EFFECT:.1f} is the least)",
        )
    if _poor(float(chi2[best]), n_free):
        return Decay(
            misfit=float(chi2[best]),
            n_free=n_free,
            reason=f"not identifiable: power does not follow an exponential (chi square "
            f"{chi2[best]:.0f} for {n_free} degrees of freedom)",
        )
    inside = chi2 <= chi2[best] + room
    w0 = _interval(solved, chi2, room, 0)
    first, last = (int(i) for i in np.flatnonzero(inside)[[0, -1]])
    lower_s = float(taus[first])
    reason, tau_s, upper_s = None, float(taus[best]), float(taus[last])
    bounded = last < _STEPS - 1
    if first == 0:
        reason = "not identifiable: the change may be over within a minute"
    elif not bounded:
        reason = (
            f"time constant not identifiable: at least {lower_s / 60.0:.0f} min, and no fading is "
            f"shown within {span_s / 60.0:.0f} min"
        )
    slope = _interval(solved, chi2, room, 1) if drift else None
    found = solved[best].parameters
    return Decay(
        w0=float(found[0]) if first > 0 else None,
        tau_s=tau_s if bounded and first > 0 else None,
        w0_interval=w0 if first > 0 else None,
        tau_interval_s=(lower_s, upper_s if bounded else None) if first > 0 else None,
        drift_ln_per_min=60.0 * float(found[1]) if drift else None,
        drift_interval=slope and (60.0 * slope[0], 60.0 * slope[1]),
        misfit=float(chi2[best]),
        n_free=n_free,
        reason=reason,
    )


@dataclass(frozen=True, slots=True)
class _Solved:
    """Best parameters at one time constant: w0 and, with drift, slope per second."""

    parameters: Array
    spread: Array
    chi2: float


class _Problem:
    """Weighted least squares of bins against the model, at one time constant after the other."""

    def __init__(
        self, times_s: list[Array], ln_ratio: Array, covariance: Array, drift: bool
    ) -> None:
        self._times_s, self._drift = times_s, drift
        self._whiten = np.linalg.inv(np.linalg.cholesky(covariance))
        self._wanted = self._whiten @ ln_ratio
        self._middle_s = np.array([float(t.mean()) for t in times_s])

    def without(self) -> float:
        """Chi square without an after-effect, with the drift if there is one."""
        if not self._drift:
            return float(self._wanted @ self._wanted)
        line = self._whiten @ self._middle_s
        slope = float(line @ self._wanted) / float(line @ line)
        left = self._wanted - slope * line
        return float(left @ left)

    def solve(self, tau_s: float) -> _Solved:
        """Gauss-Newton with step halving; w0 stays above -1, where power would vanish."""
        share = np.array([float(np.exp(-t / tau_s).mean()) for t in self._times_s])
        x = np.zeros(1 + self._drift)
        left = self._left(x, share)
        for _ in range(_ITERATIONS):
            slope = -self._jacobian(x, share)
            step = np.linalg.lstsq(slope, left, rcond=None)[0]
            size = 1.0
            while size > 1e-6:
                trial = x + size * step
                if np.all(trial[0] * share > -1.0):
                    after = self._left(trial, share)
                    if after @ after <= left @ left:
                        break
                size *= 0.5
            else:
                break
            done = float(left @ left - after @ after) < 1e-10
            x, left = trial, after
            if done:
                break
        spread = np.sqrt(np.diag(np.linalg.pinv(slope.T @ slope)))
        return _Solved(x, spread, float(left @ left))

    def _left(self, x: Array, share: Array) -> Array:
        """Whitened residuals."""
        model = np.log1p(x[0] * share) + (x[1] * self._middle_s if self._drift else 0.0)
        return np.asarray(self._wanted - self._whiten @ model)

    def _jacobian(self, x: Array, share: Array) -> Array:
        """Derivative of the whitened residuals."""
        columns = [share / (1.0 + x[0] * share)]
        if self._drift:
            columns.append(self._middle_s)
        return np.asarray(-self._whiten @ np.stack(columns, axis=1))


def _interval(solved: list[_Solved], chi2: Array, room: float, which: int) -> tuple[float, float]:
    """Profile interval of a parameter: where chi square rises by `room`, over all times."""
    low, high = math.inf, -math.inf
    for one, left in zip(solved, chi2.min() + room - chi2, strict=True):
        if left >= 0.0:
            reach = math.sqrt(float(left)) * float(one.spread[which])
            low = min(low, float(one.parameters[which]) - reach)
            high = max(high, float(one.parameters[which]) + reach)
    return low, high


def _poor(misfit: float, n_free: int) -> bool:
    """Whether a misfit is beyond chance."""
    from scipy.special import chdtrc

    return n_free > 0 and float(chdtrc(n_free, misfit)) < POOR_FIT_P
