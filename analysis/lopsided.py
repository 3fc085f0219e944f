"""A rhythm whose spectrum is not one symmetric bump: several together, and the top of their sum.

Most resting alpha is lopsided. A single bump then lies towards the centre of gravity, while the
peak that every other method reports, and that a person sees, is the top.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.background import HANN_INFLATION, TOLERANCE
from analysis.likelihood import Bump, SpectrumModel, fit

Array = NDArray[np.float64]

EVIDENCE = 12.0  # single bumps on made recordings reach it in about 1 of 100
MOST_BUMPS = 3
EQUAL = 0.8
APART_HZ = 1.0
GRID_HZ = 0.02
_WIDTH_HZ = (0.25, 3.0)


@dataclass(frozen=True, slots=True)
class Lopsided:
    """Two or three bumps that describe one rhythm better than one.

    Parameters
    ----------
    model, row : SpectrumModel, ndarray of shape (1, n_params)
        Fit; the last bumps are the rhythm.
    n_bumps : int
        How many of them.
    top_hz : float
        Maximum of their sum in the band.
    gradient : ndarray, shape (n_params,)
        Derivative of the top by the parameters.
    width_hz : float
        Full width at half height of the sum.
    rival_hz, rival_ratio : float or None, float
        The next maximum of the sum, if it has one, and its height over that of the top.
    """

    model: SpectrumModel
    row: Array
    n_bumps: int
    top_hz: float
    gradient: Array
    width_hz: float
    rival_hz: float | None
    rival_ratio: float


def lopsided(
    mean: Array,
    single: tuple[SpectrumModel, Array],
    shape: float,
    band_hz: tuple[float, float],
    hints_hz: tuple[float, ...] = (),
) -> Lopsided | None:
    """Fit two or three bumps to the region's mean spectrum where one is clearly not enough.

    Parameters
    ----------
    mean : ndarray, shape (n_freqs,)
        Mean spectrum.
    single : (SpectrumModel, ndarray)
        Fit with one bump, the last.
    shape : float
        Gamma shape of the mean around the peak.
    band_hz : (float, float)
        Where the peak may lie.
    hints_hz : tuple of float
        Two places where bumps may lie, as further starts.

    Returns
    -------
    Lopsided or None
        None where one bump describes the rhythm.
    """
    per_bin = shape / HANN_INFLATION
    tol = TOLERANCE / per_bin
    model, row = single
    row, costs = fit(model, mean[None], row, n_iter=20, tol=tol)
    cost, own = float(costs[0]), 1
    if not _worth_more(model, row, mean, per_bin):
        return None
    while own < MOST_BUMPS:
        bump = Bump(model.bumps[-1].center_hz, _WIDTH_HZ)
        kept = model.bumps[: len(model.bumps) - own]
        wider = SpectrumModel(model.freqs_hz, (*kept, *[bump] * (own + 1)), model.knee)
        rows = np.array(_starts(model, row[0], mean, hints_hz if own == 1 else ()))
        power = np.repeat(mean[None], len(rows), axis=0)
        rows, costs = fit(wider, power, rows, n_iter=40, tol=tol)
        if per_bin * (cost - float(costs.min())) < EVIDENCE:
            break
        model, row, cost = wider, rows[[int(np.argmin(costs))]], float(costs.min())
        own += 1
    if own == 1:
        return None
    wider, best = model, row
    top = float(_top(wider, best, band_hz)[0])
    grid = np.arange(band_hz[0] - 3.0, band_hz[1] + 3.0, GRID_HZ)
    total = _sum(wider, best, grid)[0]
    rival, ratio = _rival(grid, total, top, band_hz)
    return Lopsided(
        model=wider,
        row=best,
        n_bumps=own,
        top_hz=top,
        gradient=_gradient(wider, best, band_hz),
        width_hz=_width(grid, total, top),
        rival_hz=rival,
        rival_ratio=ratio,
    )


def _worth_more(model: SpectrumModel, row: Array, mean: Array, per_bin: float) -> bool:
    """Whether a matched filter sees a third of the evidence in what one bump leaves over."""
    rest = mean / model.spectrum(row)[0] - 1.0
    low, high = model.bumps[-1].center_hz
    places = np.arange(low - 1.0, high + 1.0, 0.25)[:, None]
    for width in (0.3, 0.7):
        templates = np.exp(-0.5 * ((model.freqs_hz - places) / width) ** 2)
        scores = templates @ rest / np.sqrt(np.sum(templates**2, axis=1))
        if per_bin * float(np.max(scores**2)) >= EVIDENCE / 3.0:
            return True
    return False


def _starts(
    model: SpectrumModel, row: Array, mean: Array, hints_hz: tuple[float, ...]
) -> list[Array]:
    """One bump more: beside the last one, where the fit lies too low, and at the hints."""
    height, center, width = row[-3:]
    narrow = max(float(width) - 0.4, float(np.log(0.3)))
    out = []
    for side in (1.0, -1.0):
        near = [height - 0.1, center - 0.4 * side, narrow]
        for away in (0.8, 1.8):
            out.append([*near, height - 0.7, center + away * side, narrow])
    if len(hints_hz) > 1:
        out.append([height, hints_hz[0], narrow, height - 0.7, hints_hz[1], narrow])
    fitted = model.spectrum(row[None])[0]
    low, high = model.bumps[-1].center_hz
    places = np.arange(low + 0.5, high - 0.4, 0.25)
    templates = np.exp(-0.5 * ((model.freqs_hz - places[:, None]) / 0.4) ** 2)
    best = float(places[np.argmax(templates @ (mean / fitted - 1.0))])
    here = float(np.interp(best, model.freqs_hz, fitted))
    rise = max(float(np.interp(best, model.freqs_hz, mean)) - here, 0.1 * here)
    out.append([*row[-3:], np.log(rise), best, np.log(0.4)])
    return [np.concatenate([row[:-3], part]) for part in out]


def _sum(model: SpectrumModel, rows: Array, grid: Array) -> Array:
    """The rhythm's bumps together, shape (n_rows, n_grid)."""
    fine = SpectrumModel(grid, model.bumps)
    # The rhythm's own bumps are those that share the last one's ranges.
    own = [i for i, bump in enumerate(model.bumps) if bump == model.bumps[-1]]
    return np.asarray(np.sum([fine.bump(rows, i) for i in own], axis=0))


def _top(model: SpectrumModel, rows: Array, band_hz: tuple[float, float]) -> Array:
    """Maximum of the sum in the band, refined by a parabola, per row."""
    grid = np.arange(band_hz[0], band_hz[1] + GRID_HZ / 2.0, GRID_HZ)
    total = _sum(model, rows, grid)
    index = np.clip(np.argmax(total, axis=1), 1, grid.size - 2)
    pick = np.arange(len(rows))
    a, b, c = (total[pick, index + i] for i in (-1, 0, 1))
    bend = a - 2.0 * b + c
    shift = np.where(bend < 0.0, 0.5 * (a - c) / np.where(bend < 0.0, bend, -1.0), 0.0)
    return np.asarray(grid[index] + np.clip(shift, -1.0, 1.0) * GRID_HZ)


def _gradient(model: SpectrumModel, row: Array, band_hz: tuple[float, float]) -> Array:
    """Derivative of the top by the parameters, central differences."""
    step = 0.02 * np.eye(row.shape[1])
    ends = _top(model, np.concatenate([row + step, row - step]), band_hz)
    half = row.shape[1]
    return np.asarray((ends[:half] - ends[half:]) / 0.04)


def _rival(
    grid: Array, total: Array, top_hz: float, band_hz: tuple[float, float]
) -> tuple[float | None, float]:
    """Highest other maximum in the band and its height over the top's."""
    inner = total[1:-1]
    tops = np.flatnonzero((inner > total[:-2]) & (inner >= total[2:])) + 1
    away = [
        i for i in tops if abs(grid[i] - top_hz) >= APART_HZ and band_hz[0] <= grid[i] <= band_hz[1]
    ]
    if not away:
        return None, 0.0
    best = max(away, key=lambda i: total[i])
    return float(grid[best]), float(total[best] / np.interp(top_hz, grid, total))


def _width(grid: Array, total: Array, top_hz: float) -> float:
    """Full width at half height around the top."""
    center = int(np.argmin(np.abs(grid - top_hz)))
    low = total < 0.5 * total[center]
    right = int(np.argmax(low[center:])) or grid.size - center
    left = int(np.argmax(low[center::-1])) or center
    return float((left + right) * GRID_HZ)
