"""The background of a spectrum: what a rhythm has to stand out of.

A smooth background, with neighbouring rhythms where the data ask for them, is fitted outside the
band and carried across it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.likelihood import REFERENCE_HZ, Bump, Prior, SpectrumModel, deviance, fit

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MARGIN_HZ = 1.5
NEIGHBOUR_STEP = 10.0
STRAIGHT = -0.05  # curvature of the parabola; a knee bends it further down
TOLERANCE = 0.02  # in units of twice the log likelihood
NATURAL_EXPONENT = (-4.0, 5.5)
# Correlation of Hann periodograms one and two bins apart, and of neighbours that overlap by half.
HANN_BINS = (4.0 / 9.0, 1.0 / 36.0)
HANN_INFLATION = 1.0 + 2.0 * sum(HANN_BINS)
HANN_HALF_OVERLAP = 1.0 / 36.0


def freedom(segments: Array) -> Array:
    """Half the equivalent degrees of freedom of the mean spectrum, smoothed over 9 bins.

    Parameters
    ----------
    segments : ndarray, shape (n_segments, n_freqs)
        Periodograms of half-overlapping Hann segments.

    Returns
    -------
    ndarray, shape (n_freqs,)
        Shape of the Gamma distribution of the mean, from the spread over segments: it accounts
        for channels that carry the same source and for a source that waxes and wanes.
    """
    spread = segments.var(axis=0, ddof=1) / segments.mean(axis=0) ** 2
    width = min(9, spread.size)
    padded = np.pad(spread, width // 2, mode="edge")
    smooth = np.convolve(padded, np.full(width, 1.0 / width), mode="valid")[: spread.size]
    # A sample of n exponential variates has a squared coefficient of variation of about 1 - 2/n.
    count = segments.shape[0]
    overlap = 1.0 + 2.0 * HANN_HALF_OVERLAP
    return np.asarray((count - 2.0) / np.maximum(smooth, 1e-6) / overlap)


def masked_background(
    freqs_hz: Array,
    mean: Array,
    outside: Mask,
    band_hz: tuple[float, float],
    shape: float,
) -> tuple[SpectrumModel, Array]:
    """Fit the background on the bins outside the band, with those neighbours it clearly needs.

    Parameters
    ----------
    freqs_hz, mean : ndarray, shape (n_freqs,)
        Frequencies and mean spectrum.
    outside : ndarray of bool, shape (n_freqs,)
        Bins to fit.
    band_hz : (float, float)
        The band.
    shape : float
        Gamma shape per independent bin.

    Returns
    -------
    model : SpectrumModel
        Background, with zero to two bumps for neighbouring rhythms.
    row : ndarray, shape (1, n_params)
        Its parameters.
    """
    weights = outside.astype(float)
    level = float(np.log(np.median(mean[outside])))
    model = SpectrumModel(freqs_hz, ())
    effort = TOLERANCE / shape
    row, cost = best_fit(model, mean, [np.array([level, 1.0, 0.0])], weights, tol=effort)
    for bump in _neighbours(band_hz, freqs_hz):
        if not _worth_a_bump(
            freqs_hz, weights * (mean / model.spectrum(row)[0] - 1.0), bump, shape
        ):
            continue
        wider = SpectrumModel(freqs_hz, (*model.bumps, bump))
        width = float(np.mean(np.log(bump.width_hz)))
        starts = [
            np.concatenate([row[0], [level - 2.0, bump.center_hz[0] + part, width]])
            for part in np.array([0.25, 0.65]) * (bump.center_hz[1] - bump.center_hz[0])
        ]
        trial, trial_cost = best_fit(wider, mean, starts, weights, tol=effort)
        if shape * (cost - trial_cost) >= NEIGHBOUR_STEP:
            model, row, cost = wider, trial, trial_cost
    return model, row


def looks_unfiltered(freqs_hz: Array, background: tuple[SpectrumModel, Array]) -> bool:
    """Whether the background is one that EEG can have: no filter edge beside the band.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies.
    background : (SpectrumModel, ndarray)
        Result of `masked_background`.

    Returns
    -------
    bool
        False when the local exponent at either end of the range is beyond anything seen in
        unfiltered recordings. Noise filtered to the band itself would otherwise pass for a rhythm.
    """
    slope, curvature = background[1][0, 1], background[1][0, 2]
    ends = slope - 2.0 * curvature * np.log(freqs_hz[[0, -1]] / REFERENCE_HZ)
    low, high = NATURAL_EXPONENT
    return bool(np.all(ends >= low) and np.all(ends <= high))


def _neighbours(band_hz: tuple[float, float], freqs_hz: Array) -> tuple[Bump, ...]:
    """Ranges of neighbouring rhythms: one above the band, one below (alpha below a fast band)."""
    low, high = band_hz
    bumps: list[Bump] = []
    above = (1.15 * high, min(2.08 * high, float(freqs_hz[-1]) - 1.0))
    if above[1] - above[0] > 2.0:
        bumps.append(Bump(above, (0.5, 0.385 * high)))
    if low >= 12.0:
        bumps.append(Bump((7.0, min(low - MARGIN_HZ, 13.0)), (0.3, 2.0)))
    elif low - 2.0 - freqs_hz[0] >= 1.0:
        bumps.append(Bump((float(freqs_hz[0]), low - 2.0), (0.4, 1.5)))
    return tuple(bumps)


def hann_correlation(n_freqs: int) -> Array:
    """Correlation between the bins of a Hann periodogram of noise.

    Parameters
    ----------
    n_freqs : int
        Number of neighbouring bins.

    Returns
    -------
    ndarray, shape (n_freqs, n_freqs)
        Correlation matrix.
    """
    out = np.eye(n_freqs)
    for lag, value in enumerate(HANN_BINS, start=1):
        out += value * (np.eye(n_freqs, k=lag) + np.eye(n_freqs, k=-lag))
    return out


def _worth_a_bump(freqs_hz: Array, excess: Array, bump: Bump, shape: float) -> bool:
    """Whether a matched filter sees enough for a bump to reach half the step it needs."""
    places = np.arange(bump.center_hz[0], bump.center_hz[1] + 0.01, 0.5)[:, None]
    best = 0.0
    for width in (bump.width_hz[0], float(np.sqrt(np.prod(bump.width_hz))), bump.width_hz[1]):
        templates = np.exp(-0.5 * ((freqs_hz - places) / width) ** 2)
        scores = templates @ excess / np.sqrt(np.sum(templates**2, axis=1))
        best = max(best, float(scores.max()))
    return best > 0.0 and shape * best**2 >= 0.5 * NEIGHBOUR_STEP


def with_knee(
    freqs_hz: Array,
    mean: Array,
    outside: Mask,
    background: tuple[SpectrumModel, Array],
    shape: float,
) -> tuple[SpectrumModel, Array]:
    """Replace the parabola by a power law with a knee where that fits better.

    Parameters
    ----------
    freqs_hz, mean : ndarray, shape (n_freqs,)
        Frequencies and mean spectrum.
    outside : ndarray of bool, shape (n_freqs,)
        Bins to fit.
    background : (SpectrumModel, ndarray)
        Result of `masked_background`.
    shape : float
        Gamma shape per independent bin.

    Returns
    -------
    model : SpectrumModel
        The better of the two; both have three parameters, so the likelihood alone decides. A knee
        must be worth one unit of it, so that a straight power law is not called bent.
    row : ndarray, shape (1, n_params)
        Its parameters.
    """
    model, row = background
    if row[0, 2] > STRAIGHT:
        return background
    weights = outside.astype(float)
    cost = float(deviance(mean, model.spectrum(row), weights)[0])
    bent = SpectrumModel(freqs_hz, model.bumps, knee=True)
    starts = [
        np.concatenate([[row[0, 0] + exponent * max(knee, 0.0), exponent, knee], row[0, 3:]])
        for exponent, knee in ((1.2, -2.0), (2.0, -0.3))
    ]
    trial, trial_cost = best_fit(bent, mean, starts, weights, tol=TOLERANCE / shape)
    return (bent, trial) if shape * (cost - trial_cost) > 1.0 else background


def best_fit(
    model: SpectrumModel,
    mean: Array,
    starts: list[Array],
    weights: Array | None = None,
    prior: Prior | None = None,
    tol: float = 1e-5,
) -> tuple[Array, float]:
    """Fit one spectrum from several starts and keep the best.

    Parameters
    ----------
    model : SpectrumModel
        What to fit.
    mean : ndarray, shape (n_freqs,)
        Mean spectrum.
    starts : list of ndarray, shape (n_params,)
        Starting values.
    weights : ndarray, shape (n_freqs,), optional
        Weight of each bin.
    prior : Prior, optional
        Prior of one parameter.
    tol : float
        A fit is done when a step lowers its deviance by less than this.

    Returns
    -------
    row : ndarray, shape (1, n_params)
        Best parameters.
    cost : float
        Gamma deviance per degree of freedom, with the prior's penalty.
    """
    power = np.repeat(mean[None], len(starts), axis=0)
    rows, cost = fit(
        model, power, np.array(starts), weights=weights, prior=prior, tol=tol, n_iter=40
    )
    best = int(np.argmin(cost))
    return rows[[best]], float(cost[best])
