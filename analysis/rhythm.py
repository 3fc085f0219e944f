"""One rhythm in one band: is it there, where is its peak, how sure is that.

Three steps on the segment spectra of a recording. (1) Presence: a background fitted outside the
band is carried across it, and the largest matched-filter score of the excess is held against its
own null distribution. (2) Shape: one to three Gaussian bumps over the background by maximum
likelihood, their number chosen by Akaike's criterion with overdispersion; the peak is the mode of
their sum. (3) Error: moving-block bootstrap over segments, refitting every replicate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.likelihood import Bump, SpectrumModel, fit
from analysis.presence import (
    HANN_INFLATION,
    MARGIN_HZ,
    best_fit,
    freedom,
    hann_correlation,
    looks_unfiltered,
    masked_background,
    presence,
)

Array = NDArray[np.float64]

MAX_BUMPS = 3
BUMP_WIDTH_HZ = (0.15, 2.0)
AKAIKE_STEP = 6.0
GRID_HZ = 0.02


@dataclass(frozen=True, slots=True)
class RhythmFit:
    """What the spectra say about one rhythm.

    Parameters
    ----------
    peak_hz : float
        Mode of the fitted bumps in the band.
    replicates_hz : ndarray, shape (n_boot,)
        The same of every bootstrap replicate.
    information_sd_hz : float
        Standard error of the centre from the Fisher information: the least any method can reach.
    n_blocks : float
        Independent blocks behind the bootstrap.
    p_value : float
        Chance of a matched-filter score as large without a rhythm.
    prominence_db : float
        Modelled spectrum over background at the peak.
    center_of_gravity_hz : float
        Mean frequency of the power above the background in the band.
    share_in_band : float
        Share of the bumps' power that lies in the band.
    second : (float, float) or None
        Frequency and relative height of a second rhythm.
    width_hz : float
        Full width at half height of the bumps around the peak.
    n_bumps : int
        Bumps used.
    unfiltered : bool
        False when a filter has shaped the spectrum beside the band, so that nothing can be said.
    freqs_hz, mean, background, model : ndarray, shape (n_freqs,)
        Mean spectrum (normalised), fitted background and fitted spectrum, over the range used.
    """

    peak_hz: float
    replicates_hz: Array
    information_sd_hz: float
    n_blocks: float
    p_value: float
    prominence_db: float
    center_of_gravity_hz: float
    share_in_band: float
    second: tuple[float, float] | None
    width_hz: float
    n_bumps: int
    unfiltered: bool
    freqs_hz: Array
    mean: Array
    background: Array
    model: Array


@dataclass(frozen=True, slots=True)
class _Shape:
    """One fitted number of bumps: parameters (one row) and overdispersed Akaike criterion."""

    model: SpectrumModel
    row: Array
    criterion: float


def fit_range_hz(band_hz: tuple[float, float], nyquist_hz: float) -> tuple[float, float]:
    """Frequencies the background is fitted on: about a factor 2.3 beyond the band on both sides."""
    low = max(1.0, min(0.43 * band_hz[0], band_hz[0] - 2.75))
    return low, min(2.3 * band_hz[1], 45.0, 0.9 * nyquist_hz)


def fit_rhythm(
    freqs_hz: Array,
    segments: Array,
    band_hz: tuple[float, float],
    *,
    n_boot: int = 200,
    block: int = 5,
    seed: int = 0,
) -> RhythmFit:
    """Test for, locate and bound the rhythm of a band.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies over the range of `fit_range_hz`, evenly spaced.
    segments : ndarray, shape (n_segments, n_freqs)
        Hann periodograms of half-overlapping segments, averaged over channels.
    band_hz : (float, float)
        Where the peak may lie.
    n_boot : int
        Bootstrap replicates.
    block : int
        Consecutive segments drawn together, so that slow waxing and waning is kept.
    seed : int
        Seed of the null and of the bootstrap: equal input gives equal output.

    Returns
    -------
    RhythmFit
        Estimates without a verdict; see `analysis.peak` for the rules.

    Notes
    -----
    Whittle likelihood of averaged periodograms: Whittle 1953, Ark. Mat. 2:423-434. Overdispersed
    Akaike criterion: Burnham & Anderson 2002, section 2.5. Moving blocks: Kunsch 1989, Ann. Stat.
    17:1217-1241. The score of a bump whose place and width are unknown has no chi-square null
    (the parameters vanish under it), hence the simulated maximum.
    """
    freqs_hz, segments, background, unfiltered = _unfiltered_part(freqs_hz, segments, band_hz)
    mean = segments.mean(axis=0)
    rng = np.random.default_rng(seed)
    shape = freedom(segments)
    overall = float(np.median(shape))
    outside = _outside(freqs_hz, band_hz)
    first_hz, p_value = presence(freqs_hz, mean, outside, background, overall, band_hz, rng)
    local = float(np.mean(shape[np.abs(freqs_hz - first_hz) <= 1.0])) / HANN_INFLATION
    shapes, information_sd = _shapes(freqs_hz, mean, background, first_hz, local, band_hz)
    model, row = shapes[0].model, shapes[0].row
    means = _weights(segments.shape[0], block, n_boot, rng) @ segments
    peak = float(_mode(model, row, band_hz)[0])
    below = model.background(row)[0]
    whole = model.spectrum(row)[0]
    return RhythmFit(
        peak_hz=peak,
        replicates_hz=_replicates(shapes, means, band_hz),
        information_sd_hz=information_sd,
        n_blocks=segments.shape[0] / block,
        p_value=p_value,
        prominence_db=float(10.0 * np.log10(np.interp(peak, freqs_hz, whole / below))),
        center_of_gravity_hz=_gravity(freqs_hz, mean - below, band_hz),
        share_in_band=_share(model, row, band_hz),
        second=_second(model, row, band_hz),
        width_hz=_width(model, row, peak),
        n_bumps=len(model.bumps) - len(background[0].bumps),
        unfiltered=unfiltered,
        freqs_hz=freqs_hz,
        mean=mean,
        background=below,
        model=whole,
    )


def _outside(freqs_hz: Array, band_hz: tuple[float, float]) -> NDArray[np.bool_]:
    """Bins clear of the band."""
    return (freqs_hz < band_hz[0] - MARGIN_HZ) | (freqs_hz > band_hz[1] + MARGIN_HZ)


def _unfiltered_part(
    freqs_hz: Array, segments: Array, band_hz: tuple[float, float]
) -> tuple[Array, Array, tuple[SpectrumModel, Array], bool]:
    """Widest range around the band that shows no filter edge, its segments and background."""
    low, high = float(freqs_hz[0]), float(freqs_hz[-1])
    ranges = [
        (low * raised, high * lowered)
        for raised, lowered in ((1, 1), (1, 0.82), (1, 0.68), (1.45, 1), (1.45, 0.82), (1.45, 0.68))
    ]
    for first, last in ranges:
        keep = (freqs_hz >= first) & (freqs_hz <= last)
        freqs, part = freqs_hz[keep], segments[:, keep]
        outside = _outside(freqs, band_hz)
        below = np.sum(outside & (freqs < band_hz[0]))
        above = np.sum(outside & (freqs > band_hz[1]))
        if min(below, above) < 2:
            continue
        mean, scale = part.mean(axis=0), float(np.median(freedom(part))) / HANN_INFLATION
        background = masked_background(freqs, mean, outside, band_hz, scale)
        if looks_unfiltered(freqs, background):
            return freqs, part, background, True
    mean, outside = segments.mean(axis=0), _outside(freqs_hz, band_hz)
    scale = float(np.median(freedom(segments))) / HANN_INFLATION
    return (
        freqs_hz,
        segments,
        masked_background(freqs_hz, mean, outside, band_hz, scale),
        False,
    )


def _shapes(
    freqs_hz: Array,
    mean: Array,
    background: tuple[SpectrumModel, Array],
    first_hz: float,
    shape: float,
    band_hz: tuple[float, float],
) -> tuple[list[_Shape], float]:
    """Fits with one to three bumps, best first by Akaike's criterion; and the information floor."""
    base_model, base = background
    bump = Bump((band_hz[0] - MARGIN_HZ, band_hz[1] + MARGIN_HZ), BUMP_WIDTH_HZ)
    level = base_model.spectrum(base)[0]
    excess = max(_at(first_hz, freqs_hz, mean - level), 0.1 * _at(first_hz, freqs_hz, level))
    starts = [[np.log(excess), first_hz, np.log(width)] for width in (0.4, 1.0)]
    model = SpectrumModel(freqs_hz, (*base_model.bumps, bump))
    row, cost = best_fit(model, mean, [np.concatenate([base[0], new]) for new in starts])
    slopes = model.jacobian(row)[1][0]
    covariance = np.linalg.pinv(slopes @ slopes.T * shape)
    information_sd = float(np.sqrt(max(covariance[-2, -2], 0.0)))
    shapes = [_Shape(model, row, shape * cost)]
    for _ in range(MAX_BUMPS - 1):
        model = SpectrumModel(freqs_hz, (*model.bumps, bump))
        row, cost = best_fit(model, mean, _further_starts(shapes[-1], mean, bump))
        criterion = shape * cost + AKAIKE_STEP * len(shapes)
        shapes.append(_Shape(model, row, criterion))
        if criterion > shapes[-2].criterion:
            break
    return sorted(shapes, key=lambda shape: shape.criterion), information_sd


def _replicates(shapes: list[_Shape], means: Array, band_hz: tuple[float, float]) -> Array:
    """Peak of every bootstrap mean; the shapes share the replicates by their Akaike weights."""
    support = np.exp(-0.5 * np.array([s.criterion - shapes[0].criterion for s in shapes]))
    ends = np.round(np.cumsum(support / support.sum()) * len(means)).astype(int)
    found = []
    for shape, first, last in zip(shapes, [0, *ends[:-1]], ends, strict=True):
        if last > first:
            start = np.repeat(shape.row, last - first, axis=0)
            rows, _ = fit(shape.model, means[first:last], start, n_iter=25, tol=1e-4)
            found.append(_mode(shape.model, rows, band_hz))
    return np.concatenate(found)


def _further_starts(shape: _Shape, mean: Array, bump: Bump) -> list[Array]:
    """Starts with one bump more: where the residual is largest, and the last bump cut in two."""
    model, row = shape.model, shape.row
    freqs = model.freqs_hz
    total = model.spectrum(row)[0]
    residual = mean / total - 1.0
    correlation = hann_correlation(freqs.size)
    places = np.arange(bump.center_hz[0], bump.center_hz[1] + 0.01, 0.25)
    starts = []
    for width in (0.3, 0.6, 1.2):
        templates = np.exp(-0.5 * ((freqs - places[:, None]) / width) ** 2)
        scores = templates @ residual
        scores /= np.sqrt(np.einsum("tf,fg,tg->t", templates, correlation, templates))
        first = places[np.argmax(scores)]
        other = places[np.argmax(np.where(np.abs(places - first) < 1.0, -np.inf, scores))]
        for place in (first, other):
            excess = max(_at(place, freqs, mean - total), 0.1 * _at(place, freqs, total))
            starts.append(np.concatenate([row[0], [np.log(excess), place, np.log(width)]]))
    height, center, width = row[0, -3:]
    for offset in (-0.3, 0.3):
        narrow = [height - 0.3, center, width + np.log(0.6)]
        broad = [height - 1.0, center + offset, np.log(1.8)]
        starts.append(np.concatenate([row[0, :-3], narrow, broad]))
    return starts


def _at(place: float, freqs_hz: Array, values: Array) -> float:
    """Value at one frequency."""
    return float(np.interp(place, freqs_hz, values))


def _weights(n_segments: int, block: int, n_boot: int, rng: np.random.Generator) -> Array:
    """Share of each segment in each moving-block replicate, shape (n_boot, n_segments)."""
    block = min(block, n_segments)
    starts = rng.integers(0, n_segments - block + 1, (n_boot, -(-n_segments // block)))
    drawn = (starts[:, :, None] + np.arange(block)).reshape(n_boot, -1)[:, :n_segments]
    out = np.zeros((n_boot, n_segments))
    np.add.at(out, (np.arange(n_boot)[:, None], drawn), 1.0 / n_segments)
    return out


def _bumps_on(
    model: SpectrumModel, rows: Array, band_hz: tuple[float, float], step_hz: float
) -> tuple[Array, Array, list[Array]]:
    """Grid around the band, sum of the rhythm's bumps on it, and each bump."""
    grid = np.arange(max(band_hz[0] - 2.5, 0.5), band_hz[1] + 2.5 + step_hz / 2, step_hz)
    fine = SpectrumModel(grid, model.bumps)
    # The rhythm's own bumps are those that share the last one's range.
    own = [i for i, bump in enumerate(model.bumps) if bump == model.bumps[-1]]
    parts = [fine.bump(rows, i) for i in own]
    return grid, np.asarray(np.sum(parts, axis=0)), parts


def _mode(model: SpectrumModel, rows: Array, band_hz: tuple[float, float]) -> Array:
    """Highest local maximum of the bumps in the band (or the nearer edge), refined, per row."""
    grid, total, _ = _bumps_on(model, rows, band_hz, GRID_HZ)
    inside = (grid >= band_hz[0] - 1e-9) & (grid <= band_hz[1] + 1e-9)
    first = int(np.argmax(inside))
    window = total[:, first - 1 : first + int(inside.sum()) + 1]
    left, middle, right = window[:, :-2], window[:, 1:-1], window[:, 2:]
    is_top = (middle > left) & (middle >= right)
    has_top = is_top.any(axis=1)
    index = np.where(
        has_top, np.argmax(np.where(is_top, middle, -np.inf), axis=1), np.argmax(middle, axis=1)
    )
    pick = np.arange(len(rows))
    a, b, c = left[pick, index], middle[pick, index], right[pick, index]
    bend = np.where(has_top, a - 2.0 * b + c, -1.0)
    shift = np.where(has_top & (bend < 0.0), 0.5 * (a - c) / np.where(bend < 0.0, bend, -1.0), 0.0)
    return np.asarray(grid[first + index] + shift * GRID_HZ)


def _gravity(freqs_hz: Array, excess: Array, band_hz: tuple[float, float]) -> float:
    """Mean frequency of the positive excess power in the band (its middle if there is none)."""
    inside = (freqs_hz >= band_hz[0]) & (freqs_hz <= band_hz[1])
    weight = np.maximum(excess[inside], 0.0)
    if weight.sum() <= 0.0:
        return float(np.mean(band_hz))
    return float(freqs_hz[inside] @ weight / weight.sum())


def _share(model: SpectrumModel, row: Array, band_hz: tuple[float, float]) -> float:
    """Share of the bump power within 2.5 Hz of the peak that lies in the band."""
    peak = _mode(model, row, band_hz)[0]
    grid, total, _ = _bumps_on(model, row, band_hz, 0.05)
    near = total[0] * (np.abs(grid - peak) <= 2.5)
    inside = (grid >= band_hz[0]) & (grid <= band_hz[1])
    return float(near[inside].sum() / max(near.sum(), 1e-300))


def _second(
    model: SpectrumModel, row: Array, band_hz: tuple[float, float]
) -> tuple[float, float] | None:
    """Most prominent other maximum or component at least 0.8 Hz away, with its relative height."""
    peak = float(_mode(model, row, band_hz)[0])
    grid, total, parts = _bumps_on(model, row, band_hz, GRID_HZ)
    height = _at(peak, grid, total[0])
    tops = np.flatnonzero((total[0, 1:-1] > total[0, :-2]) & (total[0, 1:-1] >= total[0, 2:])) + 1
    found = [(float(grid[i]), float(total[0, i]) / height) for i in tops]
    found += [(float(grid[np.argmax(p[0])]), float(p[0].max()) / height) for p in parts]
    away = [
        (place, ratio)
        for place, ratio in found
        if abs(place - peak) >= 0.8 and band_hz[0] <= place <= band_hz[1]
    ]
    return max(away, key=lambda item: item[1], default=None)


def _width(model: SpectrumModel, row: Array, peak_hz: float) -> float:
    """Full width at half height of the bumps around the peak."""
    grid = np.arange(max(peak_hz - 8.0, 0.5), peak_hz + 8.0, 0.01)
    fine = SpectrumModel(grid, model.bumps)
    own = [i for i, bump in enumerate(model.bumps) if bump == model.bumps[-1]]
    total = np.sum([fine.bump(row, i)[0] for i in own], axis=0)
    center = int(np.argmin(np.abs(grid - peak_hz)))
    low = total < 0.5 * total[center]
    right = int(np.argmax(low[center:])) or grid.size - center
    left = int(np.argmax(low[center::-1])) or center
    return float((left + right) * 0.01)
