"""The background of a spectrum, and whether a rhythm stands out of it.

A smooth background (with neighbouring rhythms where the data ask for them) is fitted outside the
band and carried across it. The largest matched-filter score of the excess inside is held against
the null distribution of that maximum, drawn from Gamma noise with the correlation that a Hann
window gives neighbouring bins and with the uncertainty of the background projected in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.likelihood import REFERENCE_HZ, Bump, SpectrumModel, fit

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MARGIN_HZ = 1.5
NEIGHBOUR_STEP = 10.0
NULL_DRAWS = 1000
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
    row, cost = best_fit(model, mean, [np.array([level, 1.0, 0.0])], weights)
    for bump in _neighbours(band_hz, freqs_hz):
        wider = SpectrumModel(freqs_hz, (*model.bumps, bump))
        width = float(np.mean(np.log(bump.width_hz)))
        starts = [
            np.concatenate([row[0], [level - 3.0, bump.center_hz[0] + part, width]])
            for part in np.array([0.25, 0.65]) * (bump.center_hz[1] - bump.center_hz[0])
        ]
        trial, trial_cost = best_fit(wider, mean, starts, weights)
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
    """Ranges of neighbouring rhythms: one above the band, and alpha below a fast band."""
    low, high = band_hz
    bumps: list[Bump] = []
    above = (1.15 * high, min(2.08 * high, float(freqs_hz[-1]) - 1.0))
    if above[1] - above[0] > 2.0:
        bumps.append(Bump(above, (0.115 * high, 0.385 * high)))
    if low >= 12.0:
        bumps.append(Bump((7.0, min(low - MARGIN_HZ, 13.0)), (0.3, 2.0)))
    return tuple(bumps)


def presence(
    freqs_hz: Array,
    mean: Array,
    outside: Mask,
    background: tuple[SpectrumModel, Array],
    shape: float,
    band_hz: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Find the best matched-filter score over the background, and how unusual it is.

    Parameters
    ----------
    freqs_hz, mean : ndarray, shape (n_freqs,)
        Frequencies and mean spectrum.
    outside : ndarray of bool, shape (n_freqs,)
        Bins the background was fitted on.
    background : (SpectrumModel, ndarray)
        Result of `masked_background`.
    shape : float
        Gamma shape of the mean spectrum.
    band_hz : (float, float)
        The band.
    rng : numpy.random.Generator
        Source of the null draws.

    Returns
    -------
    place_hz : float
        Centre of the best template.
    p_value : float
        Share of null draws with a larger maximum, (exceedances + 1) / (draws + 1).
    """
    total, slopes = (part[0] for part in background[0].jacobian(background[1]))
    weighted = slopes * outside
    information = weighted @ slopes.T
    information += 1e-6 * np.trace(information) / len(information) * np.eye(len(information))
    # What remains of pure noise once the background has been fitted to the bins outside.
    remover = np.eye(freqs_hz.size) - slopes.T @ np.linalg.solve(information, weighted)
    root = np.linalg.cholesky(hann_correlation(freqs_hz.size))
    places = np.arange(band_hz[0] - 0.5, band_hz[1] + 0.51, 0.25)
    centers = np.tile(places, 3)[:, None]
    widths = np.repeat([0.35, 0.7, 1.2], places.size)[:, None]
    bumps = np.exp(-0.5 * ((freqs_hz - centers) / widths) ** 2)
    templates = bumps * np.interp(centers, freqs_hz, total) / total * ~outside
    noise = templates @ remover @ root / np.sqrt(shape)
    scale = np.linalg.norm(noise, axis=1)
    scores = templates @ (mean / total - 1.0) / scale
    # Gamma noise from correlated normal draws (Wilson & Hilferty 1931, PNAS 17:684-688).
    draws = root @ rng.standard_normal((freqs_hz.size, NULL_DRAWS))
    gamma = (1.0 - 1.0 / (9.0 * shape) + draws / (3.0 * np.sqrt(shape))) ** 3 - 1.0
    null = templates @ (remover @ gamma) / scale[:, None]
    best = int(np.argmax(scores))
    exceed = int(np.sum(null.max(axis=0) >= scores[best]))
    return float(centers[best, 0]), (exceed + 1.0) / (NULL_DRAWS + 1.0)


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


def best_fit(
    model: SpectrumModel, mean: Array, starts: list[Array], weights: Array | None = None
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

    Returns
    -------
    row : ndarray, shape (1, n_params)
        Best parameters.
    cost : float
        Gamma deviance per degree of freedom.
    """
    power = np.repeat(mean[None], len(starts), axis=0)
    rows, cost = fit(model, power, np.array(starts), weights=weights)
    best = int(np.argmin(cost))
    return rows[[best]], float(cost[best])
