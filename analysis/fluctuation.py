"""Slow fluctuation of band power inside recordings, as far as their length shows it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SLOW_S = 10.0
SLOW_SHARE = 0.1
# Grid of the fluctuation model: time constants, and shares of the variance that fluctuates slowly.
_TAUS_S = 1.25 * 2.0 ** np.arange(9)
_SHARES = np.array([0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 0.95])
_WHITE_PRIOR = 0.5
SLOW_PROBABILITY_LIMIT = 0.2
# Where a slow part is there, its time constant may be as long as the time between two recordings.
_SLOW_TAUS_S = SLOW_S * 2.0 ** np.arange(9)
_SLOW_SHARES = np.array([0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 0.95, 0.985])
# A trend in minutes must not be extrapolated to any size. Log alpha power of one person differs
# between recordings by a standard deviation of about 0.4; twice and a half that, to be generous.
_DRIFT_SD = 1.0


@dataclass(frozen=True, slots=True)
class Fluctuation:
    """How the segment log power of a pair of recordings fluctuates by itself.

    Parameters
    ----------
    autocorrelation_time_s : float
        Integral of the autocorrelation function over positive lags, posterior mean.
    slow_probability : float
        Probability that a component with a time constant of 10 s or more carries at least a tenth
        of the variance.
    n_effective : (float, float)
        Independent segments that would average as well as those before and after.
    half_width_ln : float
        Half the width of the 95 % interval of the difference of mean log power, after minus before,
        if nothing but this fluctuation were at work.
    slow : bool
        Whether the slow part is taken for present (its probability is above 0.2). `half_width_ln`
        then allows for time constants of up to 43 minutes.
    """

    autocorrelation_time_s: float
    slow_probability: float
    n_effective: tuple[float, float]
    half_width_ln: float
    slow: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "autocorrelation_time_s": self.autocorrelation_time_s,
            "slow_probability": self.slow_probability,
            "n_effective": list(self.n_effective),
            "slow": self.slow,
        }


def fluctuation_of(
    log_before: Array, times_before_s: Array, log_after: Array, times_after_s: Array
) -> Fluctuation:
    """Slow fluctuation of segment log power that two recordings make plausible.

    Model: each recording has its own mean; around it a stationary first-order process (time
    constant tau, a share of the variance) plus independent noise, the same in both. The restricted
    likelihood is evaluated on a grid of share and of tau, from 1.25 s to the length of the longer
    recording (at most 320 s); half of the prior is on independent noise alone. The interval of the
    difference of means is the mixture of Student distributions over the grid.

    Recordings of a few minutes tell drift over a minute from drift over an hour badly, and what
    lies between the recordings is drift too. Once a slow part is taken for present, the interval
    is therefore that of a second grid: slow processes alone, tau from 10 s to 43 minutes, all
    equally likely beforehand but for their size: the standard deviation of the slow part has a
    half-normal prior of scale 1 (a factor of 2.7 in power).

    Parameters
    ----------
    log_before, log_after : ndarray, shape (n_segments,)
        Natural log of segment power.
    times_before_s, times_after_s : ndarray, shape (n_segments,)
        Start of each segment, increasing.

    Returns
    -------
    Fluctuation
        What was found.

    References
    ----------
    Restricted likelihood: Harville 1977, J. Am. Stat. Assoc. 72:320-338. First-order process in
    noise: Kalman 1960, J. Basic Eng. 82:35-45.
    """
    span_s = max(float(times[-1] - times[0]) for times in (times_before_s, times_after_s))
    taus = _TAUS_S[_TAUS_S <= max(span_s, _TAUS_S[0])]
    tau = np.concatenate([[1.0], np.repeat(taus, _SHARES.size)])
    share = np.concatenate([[0.0], np.tile(_SHARES, taus.size)])
    log_prior = np.full(tau.size, math.log((1.0 - _WHITE_PRIOR) / (tau.size - 1)))
    log_prior[0] = math.log(_WHITE_PRIOR)
    sides = ((log_before, times_before_s), (log_after, times_after_s))
    weight, scale, of_mean = _posterior(sides, tau, share, log_prior)
    slow_probability = float(np.sum(weight[(tau >= SLOW_S) & (share >= SLOW_SHARE)]))
    slow = slow_probability > SLOW_PROBABILITY_LIMIT
    n_free = log_before.size + log_after.size - 2
    half_width_ln = _mixture_half_width(weight, scale, n_free)
    if slow:
        slow_tau = np.repeat(_SLOW_TAUS_S, _SLOW_SHARES.size)
        slow_share = np.tile(_SLOW_SHARES, _SLOW_TAUS_S.size)
        prior = np.zeros(slow_tau.size)
        weight_slow, scale_slow, means = _posterior(sides, slow_tau, slow_share, prior)
        drift_variance = slow_share * scale_slow**2 / (means[0] + means[1])
        weight_slow = weight_slow * np.exp(-0.5 * drift_variance / _DRIFT_SD**2)
        weight_slow /= weight_slow.sum()
        half_width_ln = max(half_width_ln, _mixture_half_width(weight_slow, scale_slow, n_free))
    return Fluctuation(
        autocorrelation_time_s=float(np.sum(weight * share * tau)),
        slow_probability=slow_probability,
        n_effective=(float(np.sum(weight / of_mean[0])), float(np.sum(weight / of_mean[1]))),
        half_width_ln=half_width_ln,
        slow=slow,
    )


def _posterior(
    sides: tuple[tuple[Array, Array], tuple[Array, Array]], tau: Array, share: Array, prior: Array
) -> tuple[Array, Array, tuple[Array, Array]]:
    """Weights of the grid, scale of the difference of means there, variance of each mean."""
    n_free = sides[0][0].size + sides[1][0].size - 2
    log_weight, squares = prior.copy(), np.full(tau.size, np.finfo(float).tiny)
    for values, times in sides:
        log_det, residual = _innovations(values, times, tau, share)
        log_weight -= 0.5 * log_det
        squares += np.maximum(residual, 0.0)  # below 0 by rounding alone
    of_mean = (
        _variance_of_mean(sides[0][1], tau, share),
        _variance_of_mean(sides[1][1], tau, share),
    )
    log_weight -= 0.5 * n_free * np.log(squares)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    return weight, np.sqrt(squares / n_free * (of_mean[0] + of_mean[1])), of_mean


def _innovations(values: Array, times_s: Array, tau: Array, share: Array) -> tuple[Array, Array]:
    """Log determinant and squared residual of the restricted likelihood at each grid point."""
    centred = values - values.mean()
    state_y, state_one, variance = np.zeros_like(tau), np.zeros_like(tau), share.copy()
    log_det, yy, y1, one = (np.zeros_like(tau) for _ in range(4))
    for i, value in enumerate(centred):
        if i:
            memory = np.exp(-(times_s[i] - times_s[i - 1]) / tau)
            state_y, state_one = memory * state_y, memory * state_one
            variance = memory**2 * variance + share * (1.0 - memory**2)
        total = variance + 1.0 - share
        off_y, off_one = value - state_y, 1.0 - state_one
        log_det += np.log(total)
        yy += off_y**2 / total
        y1 += off_y * off_one / total
        one += off_one**2 / total
        gain = variance / total
        state_y, state_one = state_y + gain * off_y, state_one + gain * off_one
        variance = variance * (1.0 - gain)
    return log_det + np.log(one), yy - y1**2 / one


def _variance_of_mean(times_s: Array, tau: Array, share: Array) -> Array:
    """Variance of the plain mean of unit-variance values at each grid point."""
    n = times_s.size
    gaps = np.abs(times_s[:, None] - times_s)
    slow = {float(t): float(np.exp(-gaps / t).mean()) for t in np.unique(tau)}
    return np.asarray(share * np.array([slow[float(t)] for t in tau]) + (1.0 - share) / n)


def _mixture_half_width(weight: Array, scale: Array, n_free: int) -> float:
    """Half width that holds 95 % of a mixture of centred Student distributions."""
    from scipy.special import stdtr

    if float(scale.max()) <= math.sqrt(np.finfo(float).tiny):
        return 0.0
    kept = weight > 1e-9
    weight, scale = weight[kept], scale[kept]

    # Halving a bracket: the share outside falls with the width, and scipy.optimize takes most of a
    # second to import.
    low, high = 0.0, 1e3 * float(scale.max())
    while True:
        middle = 0.5 * (low + high)
        if not low < middle < high:
            return middle
        if float(np.sum(weight * 2.0 * stdtr(n_free, -middle / scale))) > 0.05:
            low = middle
        else:
            high = middle
