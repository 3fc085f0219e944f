"""One rhythm in one band: is it there, where is its peak, how sure is that, is it one or two.

(1) A background is fitted outside the band, with neighbouring rhythms and a knee where the data
ask for them. (2) One Gaussian bump in the band is added by maximum likelihood, first to the plain
mean over channels, then to a mean in which channels that carry the rhythm count more. (3) The
likelihood ratio of the bump says whether there is a rhythm. (4) Error and interval of its centre:
`analysis.location`. (5) One bump against two: `analysis.split`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.background import (
    HANN_INFLATION,
    MARGIN_HZ,
    TOLERANCE,
    best_fit,
    freedom,
    looks_unfiltered,
    masked_background,
    with_knee,
)
from analysis.likelihood import (
    REFERENCE_HZ,
    Bump,
    Prior,
    SpectrumModel,
    deviance,
    least_squares,
)
from analysis.location import Location, locate
from analysis.lopsided import Lopsided, lopsided
from analysis.split import TwoBumps, two_bumps

Array = NDArray[np.float64]
Background = tuple[SpectrumModel, Array]

NARROWEST_HZ = 0.2
WIDEST_HZ = (1.3, 4.0)  # a third of the band, within these; broader is background
LIKELY_WIDTH_HZ = 0.6
WIDTH_SPREAD = 0.5


@dataclass(frozen=True, slots=True)
class RhythmFit:
    """What the spectra say about one rhythm.

    Parameters
    ----------
    peak_hz : float
        Centre of the fitted bump, or the top of two where the rhythm is lopsided.
    location : Location
        Its error and interval.
    evidence : float
        Likelihood ratio (2 log) of background with bump against background alone, scaled to the
        independent bins of the mean spectrum; the lesser of two, with the background alone fitted
        to every bin, or beside the band and carried across it (which a filter's edge cannot fool).
    prominence_db : float
        Modelled spectrum over `background` at the peak.
    center_of_gravity_hz : float
        Mean frequency of the power above the background in the band.
    width_hz : float
        Full width at half height of the bump, the window's own width included.
    share_in_band : float
        Share of the rhythm's power within 2.5 Hz of the peak that lies in the band.
    two : TwoBumps
        The best fit with two bumps, each with its own map.
    uneven : Lopsided or None
        Two bumps for one rhythm, where its spectrum is not one symmetric bump.
    knee_hz : float or None
        Bend of the background, where it needs one.
    unfiltered : bool
        False when a filter has shaped the spectrum beside the band, so that nothing can be said.
    narrowed : (bool, bool)
        Whether a filter edge cut the range at its lower and upper end.
    bend : float
        Exponent of the background at the upper end of the range less that at the lower end.
    weights : ndarray, shape (n_channels,)
        What each channel counted for.
    shape : float
        Gamma shape of the mean spectrum around the peak.
    prior : Prior
        Prior of the width.
    fitted : (SpectrumModel, ndarray)
        Model and parameters; the last bump is the rhythm.
    segments : ndarray, shape (n_segments, n_freqs)
        Weighted mean over channels of every segment.
    freqs_hz, mean, background, model : ndarray, shape (n_freqs,)
        Mean spectrum (normalised), the background fitted beside the band, with its neighbouring
        rhythms, and the fitted spectrum, over the range used.
    """

    peak_hz: float
    location: Location
    evidence: float
    prominence_db: float
    center_of_gravity_hz: float
    width_hz: float
    share_in_band: float
    two: TwoBumps
    uneven: Lopsided | None
    knee_hz: float | None
    unfiltered: bool
    narrowed: tuple[bool, bool]
    bend: float
    weights: Array
    shape: float
    prior: Prior
    fitted: Background
    segments: Array
    freqs_hz: Array
    mean: Array
    background: Array
    model: Array


def fit_range_hz(band_hz: tuple[float, float], nyquist_hz: float) -> tuple[float, float]:
    """Frequencies the background is fitted on: about a factor 2.3 beyond the band on both sides."""
    low = max(1.0, min(0.43 * band_hz[0], band_hz[0] - 2.75))
    return low, min(2.3 * band_hz[1], 45.0, 0.9 * nyquist_hz)


def widest_hz(band_hz: tuple[float, float]) -> float:
    """Largest standard deviation of a bump: a third of the band, 1.3 to 4 Hz."""
    return min(max((band_hz[1] - band_hz[0]) / 3.0, WIDEST_HZ[0]), WIDEST_HZ[1])


def fit_rhythm(freqs_hz: Array, channels: Array, band_hz: tuple[float, float]) -> RhythmFit:
    """Test for, locate and bound the rhythm of a band.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies over the range of `fit_range_hz`, evenly spaced.
    channels : ndarray, shape (n_segments, n_channels, n_freqs)
        Hann periodograms of half-overlapping segments, each channel divided by its own level.
    band_hz : (float, float)
        Where the peak may lie.

    Returns
    -------
    RhythmFit
        Estimates without a verdict; see `analysis.verdict` for the rules. Equal input gives equal
        output: nothing is drawn at random.

    Notes
    -----
    Whittle likelihood of averaged periodograms: Whittle 1953, Ark. Mat. 2:423-434. The bump's
    place and width vanish without it, so that its likelihood ratio has no chi-square law; the
    limit in `analysis.verdict` comes from made recordings. The width has a log-normal prior around
    0.6 Hz (standard deviation), which keeps a faint bump from being a single bin.
    """
    plain = channels.mean(axis=1)
    keep, background, unfiltered = _unfiltered_part(freqs_hz, plain, band_hz)
    freqs, channels, plain = freqs_hz[keep], channels[:, :, keep], plain[:, keep]
    mean = plain.mean(axis=0)
    per_bin = float(np.median(freedom(plain))) / HANN_INFLATION
    background = with_knee(freqs, mean, _outside(freqs, band_hz), background, per_bin)
    fitted, _ = _with_bump(freqs, mean, background, band_hz, per_bin)
    weights = _weights(freqs, channels.mean(axis=0), fitted)
    segments = np.einsum("c,scf->sf", weights, channels)
    mean = segments.mean(axis=0)
    spread = freedom(segments)
    per_bin = float(np.median(spread)) / HANN_INFLATION
    fitted, cost = _with_bump(freqs, mean, background, band_hz, per_bin, fitted)
    model, row = fitted
    evidence = per_bin * (_without_bump(mean, fitted, per_bin) - cost)
    center = float(row[0, -2])
    shape = float(np.mean(spread[np.abs(freqs - center) <= 1.5]))
    prior = _prior(model, shape / HANN_INFLATION)
    level = _level(model, row, 1)
    bump = (float(row[0, -3]), center, float(row[0, -1]))
    limits = (band_hz[0] - 1.0, band_hz[1] + 1.0)
    two = two_bumps(freqs, channels, level, bump, shape, limits)
    hints = tuple(float(center_hz) for center_hz in two.centers_hz)
    uneven = lopsided(mean, fitted, shape, band_hz, hints) if evidence > 0.0 else None
    if uneven is None:
        peak, width = center, float(np.sqrt(8.0 * np.log(2.0)) * np.exp(row[0, -1]))
        location = locate(model, row, segments, shape, evidence, prior)
        whole = model.spectrum(row)[0]
    else:
        peak, width = uneven.top_hz, uneven.width_hz
        level = _level(uneven.model, uneven.row, uneven.n_bumps)
        whole = uneven.model.spectrum(uneven.row)[0]
        location = locate(
            uneven.model, uneven.row, segments, shape, evidence, None, uneven.gradient, peak
        )
    beneath = _beneath(freqs, mean, background, _outside(freqs, band_hz), per_bin)
    inside = (~_outside(freqs, band_hz)).astype(float)
    gain = deviance(mean, beneath, inside) - deviance(mean, whole, inside)
    return RhythmFit(
        peak_hz=peak,
        location=location,
        evidence=min(evidence, per_bin * float(gain)),
        prominence_db=float(10.0 * np.log10(np.interp(peak, freqs, whole / beneath))),
        center_of_gravity_hz=_gravity(freqs, mean - beneath, band_hz),
        width_hz=width,
        share_in_band=_share(freqs, whole - level, peak, band_hz),
        two=two,
        uneven=uneven,
        knee_hz=float(REFERENCE_HZ * np.exp(row[0, 2])) if model.knee else None,
        unfiltered=unfiltered,
        narrowed=(not bool(keep[0]), not bool(keep[-1])),
        bend=_bend(model, row),
        weights=weights,
        shape=shape,
        prior=prior,
        fitted=fitted,
        segments=segments,
        freqs_hz=freqs,
        mean=mean,
        background=beneath,
        model=whole,
    )


def _outside(freqs_hz: Array, band_hz: tuple[float, float]) -> NDArray[np.bool_]:
    """Bins clear of the band."""
    return (freqs_hz < band_hz[0] - MARGIN_HZ) | (freqs_hz > band_hz[1] + MARGIN_HZ)


def _unfiltered_part(
    freqs_hz: Array, segments: Array, band_hz: tuple[float, float]
) -> tuple[NDArray[np.bool_], Background, bool]:
    """Widest range around the band that shows no filter edge, and the background there."""
    low, high = float(freqs_hz[0]), float(freqs_hz[-1])
    ranges = [
        (low * raised, high * lowered)
        for raised, lowered in ((1, 1), (1, 0.82), (1, 0.68), (1.45, 1), (1.45, 0.82), (1.45, 0.68))
    ]
    for first, last in ranges:
        keep = (freqs_hz >= first) & (freqs_hz <= last)
        outside = _outside(freqs_hz[keep], band_hz)
        below = np.sum(outside & (freqs_hz[keep] < band_hz[0]))
        above = np.sum(outside & (freqs_hz[keep] > band_hz[1]))
        if min(below, above) < 2:
            continue
        background = _masked(freqs_hz[keep], segments[:, keep], band_hz)
        if looks_unfiltered(freqs_hz[keep], background):
            return keep, background, True
    return np.ones(freqs_hz.size, dtype=bool), _masked(freqs_hz, segments, band_hz), False


def _masked(freqs_hz: Array, segments: Array, band_hz: tuple[float, float]) -> Background:
    """Background outside the band."""
    per_bin = float(np.median(freedom(segments))) / HANN_INFLATION
    outside = _outside(freqs_hz, band_hz)
    return masked_background(freqs_hz, segments.mean(axis=0), outside, band_hz, per_bin)


def _prior(model: SpectrumModel, per_bin: float) -> Prior:
    """Prior of the width of the last bump."""
    column = 2 + 3 * len(model.bumps)
    return Prior(column, float(np.log(LIKELY_WIDTH_HZ)), 1.0 / (WIDTH_SPREAD**2 * per_bin))


def _with_bump(
    freqs_hz: Array,
    mean: Array,
    background: Background,
    band_hz: tuple[float, float],
    per_bin: float,
    before: Background | None = None,
) -> tuple[Background, float]:
    """Background and one bump in the band, fitted together; the deviance."""
    base, base_row = background
    if before is None:
        reach = Bump(
            (band_hz[0] - MARGIN_HZ, band_hz[1] + MARGIN_HZ), (NARROWEST_HZ, widest_hz(band_hz))
        )
        model = SpectrumModel(freqs_hz, (*base.bumps, reach), base.knee)
    else:
        model = before[0]
    level = base.spectrum(base_row)[0]
    excess = mean / level - 1.0
    places = np.arange(band_hz[0], band_hz[1] + 0.01, 0.25)
    templates = np.exp(-0.5 * ((freqs_hz - places[:, None]) / 0.7) ** 2)
    scores = templates @ excess / np.sqrt(np.sum(templates**2, axis=1))
    first = float(places[np.argmax(scores)])
    other = float(places[np.argmax(np.where(np.abs(places - first) < 1.2, -np.inf, scores))])
    chosen = [(first, 0.5), (first, 1.0), (other, 0.6)]
    starts = [_start(base_row[0], freqs_hz, mean, level, *choice) for choice in chosen]
    if before is not None:
        starts = [before[1][0], starts[0], starts[2]]
    prior = _prior(model, per_bin)
    row, cost = best_fit(model, mean, starts, prior=prior, tol=1e-2 * TOLERANCE / per_bin)
    return (model, row), cost


def _start(
    base: Array, freqs_hz: Array, mean: Array, level: Array, place: float, width: float
) -> Array:
    """Starting row with a bump that takes up the excess at one place."""
    here = float(np.interp(place, freqs_hz, level))
    height = max(float(np.interp(place, freqs_hz, mean)) - here, 0.1 * here)
    return np.concatenate([base, [np.log(height), place, np.log(width)]])


def _level(model: SpectrumModel, row: Array, own: int) -> Array:
    """Background with every bump but the last `own`."""
    level = model.background(row)[0]
    for index in range(len(model.bumps) - own):
        level = level + model.bump(row, index)[0]
    return np.asarray(level)


def _beneath(
    freqs_hz: Array, mean: Array, background: Background, outside: NDArray[np.bool_], per_bin: float
) -> Array:
    """Background of the weighted mean fitted beside the band only and carried across it.

    The joint fit may bend its background down under a strong rhythm and give its flanks to the
    bump; the place of the peak does not mind, its prominence would.
    """
    model, row = background
    tol = TOLERANCE / per_bin
    found, _ = best_fit(model, mean, [row[0]], outside.astype(float), tol=tol)
    return np.asarray(model.spectrum(found)[0])


def _bend(model: SpectrumModel, row: Array) -> float:
    """Exponent of the background at the upper end less that at the lower end."""
    smooth, places = np.log(model.background(row)[0]), np.log(model.freqs_hz)
    lower = (smooth[5] - smooth[0]) / (places[5] - places[0])
    upper = (smooth[-1] - smooth[-6]) / (places[-1] - places[-6])
    return float(lower - upper)


def _share(freqs_hz: Array, rhythm: Array, peak_hz: float, band_hz: tuple[float, float]) -> float:
    """Share of the rhythm around its peak that lies in the band."""
    near = rhythm * (np.abs(freqs_hz - peak_hz) <= 2.5)
    inside = (freqs_hz >= band_hz[0]) & (freqs_hz <= band_hz[1])
    return float(near[inside].sum() / max(float(near.sum()), 1e-300))


def _without_bump(mean: Array, fitted: Background, per_bin: float) -> float:
    """Deviance of the background alone over all bins, in the better of its two forms."""
    model, row = fitted
    costs = []
    for knee in (False, True):
        bare = SpectrumModel(model.freqs_hz, model.bumps[:-1], knee)
        starts = [row[0, :-3]] if knee == model.knee else []
        level = float(np.log(np.median(mean)))
        forms = [(1.2, -2.0), (2.0, -0.1)] if knee else [(1.2, 0.0)]
        for slope, third in forms:
            starts.append(np.concatenate([[level, slope, third], row[0, 3:-3]]))
        costs.append(best_fit(bare, mean, starts, tol=TOLERANCE / per_bin)[1])
    return min(costs)


def _weights(freqs_hz: Array, means: Array, fitted: Background) -> Array:
    """Channel weights, the square of rhythm over background, summing to one."""
    model, row = fitted
    level = model.background(row)[0]
    line = model.bump(row, len(model.bumps) - 1)[0]
    near = np.abs(freqs_hz - row[0, -2]) < 4.0
    regressors = np.stack([level, line])[:, near]
    found = least_squares(regressors, means[:, near], regressors.sum(axis=0))
    share = np.maximum(found[1] / np.maximum(found[0], 1e-3), 0.0) ** 2
    total = float(share.sum())
    return np.asarray(share / total if total > 0.0 else np.full(len(means), 1.0 / len(means)))


def _gravity(freqs_hz: Array, excess: Array, band_hz: tuple[float, float]) -> float:
    """Mean frequency of the positive excess power in the band (its middle if there is none)."""
    inside = (freqs_hz >= band_hz[0]) & (freqs_hz <= band_hz[1])
    weight = np.maximum(excess[inside], 0.0)
    if weight.sum() <= 0.0:
        return float(np.mean(band_hz))
    return float(freqs_hz[inside] @ weight / weight.sum())
