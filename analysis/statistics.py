"""What one recording before and one after can say, and what they cannot.

Power is compared through its segments in time order, one value per segment. Neighbouring segments
of one patient are not independent draws: spontaneous alpha rises and falls over seconds to minutes.
Three things follow, and the functions below are one each.

* The interval comes from a block bootstrap (`stationary_weights`), stretched for the small number
  of blocks, and stretched again (`fluctuation_of`) by the slow fluctuation that the two
  recordings themselves make plausible.
* A p value is given only where block permutation is valid; else `p_value` returns None and why.
* `direction_of` reads the interval and nothing else.

Drift slower than the recordings shows in them as a trend or not at all. Where it shows, the
interval allows for drift over up to 43 minutes and is wide; where it does not, nothing inside two
recordings can tell it from an effect (`benchmarks.false_positives` counts how often). What caused a
difference takes repeated sessions or a sham arm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.fluctuation import SLOW_PROBABILITY_LIMIT, Fluctuation, fluctuation_of

Array = NDArray[np.float64]
Direction = Literal["increase", "decrease", "none", "undetermined"]

MIN_SEGMENTS = 8
BLOCKS_PER_RECORDING = 6
NONE_WITHIN_LN = math.log(1.25)
P_BLOCK_S = 20.0
P_MIN_BLOCKS = 5
NEEDS = "this needs repeated sessions or a sham arm"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The log ratio of mean power after to mean power before, and what may be said of it.

    Parameters
    ----------
    ln_ratio : float
        ln(mean after / mean before).
    interval_ln : (float, float)
        95 % interval of `ln_ratio`, stretched for few blocks and for slow fluctuation.
    bootstrap_interval_ln : (float, float)
        The same without the stretch for slow fluctuation.
    p : float or None
        Two-sided p of a block permutation, None where none is valid.
    p_reason : str or None
        Why there is no p.
    fluctuation : Fluctuation
        The fluctuation found.
    stretch : float
        Factor by which bootstrap deviations of any quantity of this pair are to be widened.
    weights : (ndarray, ndarray)
        Bootstrap weights of the segments before and after, each (n_bootstrap, n_segments).
    """

    ln_ratio: float
    interval_ln: tuple[float, float]
    bootstrap_interval_ln: tuple[float, float]
    p: float | None
    p_reason: str | None
    fluctuation: Fluctuation
    stretch: float
    weights: tuple[Array, Array]


def stationary_weights(
    n_segments: int, mean_block: float, n_bootstrap: int, rng: np.random.Generator
) -> Array:
    """Weights of the stationary bootstrap: the share of each segment in a resampled series.

    Blocks of geometric length are drawn from the series closed to a circle. A weighted mean with
    one row is the mean of one resampled series.

    Parameters
    ----------
    n_segments : int
        Length of the series.
    mean_block : float
        Mean block length in segments, at least 1.
    n_bootstrap : int
        Number of resampled series.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray, shape (n_bootstrap, n_segments)
        Rows sum to 1.

    References
    ----------
    Politis and Romano 1994, J. Am. Stat. Assoc. 89:1303-1313.
    """
    fresh = rng.random((n_bootstrap, n_segments)) < 1.0 / mean_block
    fresh[:, 0] = True
    anywhere = rng.integers(0, n_segments, (n_bootstrap, n_segments))
    # Position of the last fresh start at or before each place; from there the block runs on.
    last = np.maximum.accumulate(np.where(fresh, np.arange(n_segments), 0), axis=1)
    start = np.take_along_axis(anywhere, last, axis=1)
    drawn = (start + np.arange(n_segments) - last) % n_segments
    rows = np.arange(n_bootstrap)[:, None] * n_segments
    counts = np.bincount((rows + drawn).ravel(), minlength=n_bootstrap * n_segments)
    return np.asarray(counts.reshape(n_bootstrap, n_segments) / n_segments)


def block_stretch(variances: tuple[float, float], n_segments: tuple[int, int]) -> float:
    """Widening of a percentile interval for the few blocks that the bootstrap has seen.

    The variance of a stationary bootstrap is a lag-window estimate: with `n` segments in blocks of
    mean length `n / 6` it is biased down by a known share, and it has few degrees of freedom. The
    factor mends the first and takes Student's quantile for the normal one for the second.

    Parameters
    ----------
    variances : (float, float)
        Bootstrap variances of the mean log power before and after.
    n_segments : (int, int)
        Numbers of segments.

    Returns
    -------
    float
        Factor, above 1, for the deviations from the estimate.

    References
    ----------
    Lag window of the stationary bootstrap: Politis and White 2004, Econometric Reviews 23:53-70.
    Equivalent degrees of freedom 2 n / sum(window^2): Priestley 1981, Spectral Analysis and Time
    Series, 6.2. Two recordings: Satterthwaite 1946, Biometrics 2:110-114.
    """
    from scipy.special import ndtri, stdtrit  # scipy.stats takes a second to import

    total, mended, spread = sum(variances), 0.0, 0.0
    if total <= 0.0:
        return 1.0
    for variance, n in zip(variances, n_segments, strict=True):
        end = 1.0 - 1.0 / max(1.0, n / BLOCKS_PER_RECORDING)
        lag = np.arange(1, n) / n
        window = (1.0 - lag) * end ** np.arange(1, n) + lag * end ** np.arange(n - 1, 0, -1)
        bias = (1.0 + 2.0 * float(np.sum((1.0 - lag) * window))) / n
        freedom = 2.0 * n / (1.0 + 2.0 * float(np.sum(window**2)))
        mended += variance / (1.0 - bias)
        spread += (variance / (1.0 - bias)) ** 2 / freedom
    quantile = float(stdtrit(mended**2 / spread, 0.975))
    return math.sqrt(mended / total) * quantile / float(ndtri(0.975))


def percentile_interval(estimate: float, replicates: Array, stretch: float) -> tuple[float, float]:
    """95 % percentile interval, its deviations from the estimate multiplied by `stretch`."""
    low, high = np.quantile(replicates, (0.025, 0.975))
    return estimate + stretch * (float(low) - estimate), estimate + stretch * (
        float(high) - estimate
    )


def p_value(
    power_before: Array, power_after: Array, step_s: float, fluctuation: Fluctuation
) -> tuple[float | None, str | None]:
    """Two-sided p of a permutation of blocks between the recordings, or None and the reason.

    Blocks are at least 20 s and at least four autocorrelation times long. With at least five blocks
    on each side the smallest possible p is below .01.

    Parameters
    ----------
    power_before, power_after : ndarray, shape (n_segments,)
        Segment power in time order.
    step_s : float
        Distance between segments.
    fluctuation : Fluctuation
        From `fluctuation_of`.

    Returns
    -------
    p : float or None
        None where permutation would not be valid.
    reason : str or None
        Why there is no p.

    Notes
    -----
    Blocks are exchangeable only where power forgets itself within a block, so p is withheld once
    the probability of a slow component (10 s or more) exceeds 0.2.
    """
    if fluctuation.slow_probability > SLOW_PROBABILITY_LIMIT:
        return None, (
            "no p value: power may fluctuate slowly by itself (autocorrelation time "
            f"{fluctuation.autocorrelation_time_s:.0f} s, probability of a slow part "
            f"{fluctuation.slow_probability:.2f}); {NEEDS}"
        )
    block_s = max(P_BLOCK_S, 4.0 * fluctuation.autocorrelation_time_s)
    shorter = min(power_before.size, power_after.size)
    n_blocks = int(shorter * step_s / block_s)
    if n_blocks < P_MIN_BLOCKS:
        return None, (
            f"no p value: {shorter * step_s:.0f} s make {n_blocks} blocks of {block_s:.0f} s and "
            f"{P_MIN_BLOCKS} are the least; {NEEDS}"
        )
    before = np.array([block.mean() for block in np.array_split(power_before, n_blocks)])
    after = np.array([block.mean() for block in np.array_split(power_after, n_blocks)])
    return _permute(np.concatenate([before, after]), n_blocks), None


def _permute(blocks: Array, n_after: int) -> float:
    """Share of ways to choose the blocks called 'after' that differ at least as observed."""
    n = blocks.size
    if math.comb(n, n_after) <= 20_000:
        chosen = np.array(list(combinations(range(n), n_after)))
    else:
        # Permutations repeat, with the observed one added: a valid test of level (k + 1) / (n + 1).
        rng = np.random.default_rng(0)
        chosen = rng.permuted(np.tile(np.arange(n), (9999, 1)), axis=1)[:, :n_after]
        chosen = np.vstack([np.arange(n - n_after, n), chosen])
    after = blocks[chosen].sum(axis=1)
    change = np.abs(np.log(after / (blocks.sum() - after)))
    observed = abs(math.log(blocks[n - n_after :].sum() / blocks[: n - n_after].sum()))
    return float(np.mean(change >= observed * (1.0 - 1e-12)))


def compare_series(
    power_before: Array,
    times_before_s: Array,
    power_after: Array,
    times_after_s: Array,
    *,
    step_s: float,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare segment power after with segment power before.

    Parameters
    ----------
    power_before, power_after : ndarray, shape (n_segments,)
        Positive segment power in time order.
    times_before_s, times_after_s : ndarray, shape (n_segments,)
        Start of each segment.
    step_s : float
        Usual distance between two starts.
    n_bootstrap : int
        Resampled series.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    Comparison
        Log ratio, intervals, p or the reason for none.

    Raises
    ------
    AnalysisError
        With fewer than 8 segments on a side, or power that is not positive.
    """
    for name, power in (("before", power_before), ("after", power_after)):
        if power.size < MIN_SEGMENTS:
            raise AnalysisError(
                f"{power.size} clean segments {name}, {MIN_SEGMENTS} are the least: "
                "give a longer or cleaner recording"
            )
        if not (np.all(np.isfinite(power)) and np.all(power > 0.0)):
            raise AnalysisError(f"a segment {name} has no power in the band: a channel is flat")
    ln_ratio = math.log(float(power_after.mean()) / float(power_before.mean()))
    rng = np.random.default_rng(seed)
    weights = (
        _weights(power_before.size, n_bootstrap, rng),
        _weights(power_after.size, n_bootstrap, rng),
    )
    logs = np.log(weights[0] @ power_before), np.log(weights[1] @ power_after)
    blocks = block_stretch(
        (float(logs[0].var()), float(logs[1].var())), (power_before.size, power_after.size)
    )
    replicates = logs[1] - logs[0]
    inner = percentile_interval(ln_ratio, replicates, blocks)
    fluctuation = fluctuation_of(
        np.log(power_before), times_before_s, np.log(power_after), times_after_s
    )
    half_width = 0.5 * (inner[1] - inner[0])
    drift = max(1.0, fluctuation.half_width_ln / half_width) if half_width > 0.0 else 1.0
    p, reason = p_value(power_before, power_after, step_s, fluctuation)
    return Comparison(
        ln_ratio=ln_ratio,
        interval_ln=percentile_interval(ln_ratio, replicates, blocks * drift),
        bootstrap_interval_ln=inner,
        p=p,
        p_reason=reason,
        fluctuation=fluctuation,
        stretch=blocks * drift,
        weights=weights,
    )


def _weights(n_segments: int, n_bootstrap: int, rng: np.random.Generator) -> Array:
    """Bootstrap weights with blocks of a sixth of the recording."""
    mean_block = max(1.0, n_segments / BLOCKS_PER_RECORDING)
    return stationary_weights(n_segments, mean_block, n_bootstrap, rng)


def direction_of(interval_ln: tuple[float, float] | None) -> Direction:
    """Direction that a 95 % interval of a log ratio supports.

    Increase or decrease: the interval excludes 0. None: it holds 0 and lies within a factor of 1.25
    either way (-20 % to +25 %), so that a change worth having is excluded; an interval that merely
    holds 0 is no evidence of no change. Undetermined: everything else, also no interval.

    Notes
    -----
    The rule for "none" is an equivalence test by interval inclusion (Schuirmann 1987,
    J. Pharmacokinet. Biopharm. 15:657-680), with the 95 % in place of the 90 % interval.
    """
    if interval_ln is None:
        return "undetermined"
    low, high = interval_ln
    if low > 0.0:
        return "increase"
    if high < 0.0:
        return "decrease"
    if low >= -NONE_WITHIN_LN and high <= NONE_WITHIN_LN:
        return "none"
    return "undetermined"
