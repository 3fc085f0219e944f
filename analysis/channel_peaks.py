"""The rhythm channel by channel, and over the time of the recording.

Both fit the region's one bump again to other means of the same segments, all at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.background import HANN_HALF_OVERLAP, HANN_INFLATION
from analysis.estimate import ChannelPeak, Stability
from analysis.likelihood import Prior, SpectrumModel, fit
from analysis.location import student_95

Array = NDArray[np.float64]

STANDS_OUT = 3.5
QUARTER_S = 60.0


def channel_table(
    names: tuple[str, ...],
    used: tuple[str, ...],
    segments: Array,
    model: SpectrumModel,
    row: Array,
    prior: Prior,
    band_hz: tuple[float, float],
) -> tuple[ChannelPeak, ...]:
    """Fit the region's bump to every channel.

    Parameters
    ----------
    names, used : tuple of str
        Channels, and those of the region.
    segments : ndarray, shape (n_segments, n_channels, n_freqs)
        Segment spectra over the frequencies of the model.
    model, row : SpectrumModel, ndarray of shape (1, n_params)
        Fit of the region; its last bump is the rhythm.
    prior : Prior
        Prior of the width.
    band_hz : (float, float)
        Where a channel's peak may lie, and 0.25 Hz beyond.

    Returns
    -------
    tuple of ChannelPeak
        In the order of `names`. A channel's peak is the centre of one symmetric bump.
    """
    means = segments.mean(axis=0)
    region_level = np.log(means / model.spectrum(row)).mean(axis=1)
    start = np.repeat(row, len(means), axis=0)
    start[:, 0] += region_level
    start[:, -3] += region_level
    rows, _ = fit(model, means, start, prior=prior, n_iter=15, tol=1e-3)
    center = float(row[0, -2])
    around = np.abs(model.freqs_hz - center) <= 1.5
    spread = segments[:, :, around].var(axis=0, ddof=1) / means[:, around] ** 2
    overlap = 1.0 + 2.0 * HANN_HALF_OVERLAP
    shape = (len(segments) - 2.0) / np.maximum(spread.mean(axis=1), 1e-6) / overlap
    heights, errors = _errors(model, rows, shape, prior)
    near = int(np.argmin(np.abs(model.freqs_hz - center)))
    level = model.background(rows)[:, near]
    bump = model.bump(rows, len(model.bumps) - 1)[:, near]
    excess_db = 10.0 * np.log10(1.0 + bump / level)
    low, high = band_hz[0] - 0.25, band_hz[1] + 0.25
    out = []
    for i, name in enumerate(names):
        place = float(rows[i, -2])
        seen = heights[i] >= STANDS_OUT and excess_db[i] >= 0.8 and low <= place <= high
        out.append(
            ChannelPeak(
                channel=name,
                used=name in used,
                prominence_db=float(excess_db[i]),
                frequency_hz=place if seen else None,
                sd_hz=float(errors[i]) if seen else None,
            )
        )
    return tuple(out)


def stability(
    segments: Array,
    starts_s: Array,
    window_s: float,
    model: SpectrumModel,
    row: Array,
    shape: float,
    prior: Prior,
    inflation: float,
) -> tuple[Stability | None, Array]:
    """Fit the region's bump to the halves of the recording, and to its quarters.

    Parameters
    ----------
    segments : ndarray, shape (n_segments, n_freqs)
        Spectra of the region.
    starts_s : ndarray, shape (n_segments,)
        Their starts.
    window_s : float
        Their length.
    model, row, shape, prior
        As in `channel_table`.
    inflation : float
        Error of the whole over what the model predicts, 1 or more: drift between segments and
        unknown shape.

    Returns
    -------
    stability : Stability or None
        None where a half holds fewer than five segments.
    halves : ndarray, shape (2, n_freqs)
        Mean spectra of the halves.
    """
    middle = 0.5 * (starts_s[0] + starts_s[-1])
    first = starts_s <= middle
    halves = np.array([segments[first].mean(axis=0), segments[~first].mean(axis=0)])
    if min(int(first.sum()), int((~first).sum())) < 5:
        return None, halves
    length = float(starts_s[-1] + window_s - starts_s[0])
    parts = [first, ~first]
    if length >= 4.0 * QUARTER_S:
        quarter = np.minimum((4.0 * (starts_s - starts_s[0]) / length).astype(int), 3)
        parts += [quarter == i for i in range(4) if np.sum(quarter == i) >= 5]
    means = np.array([segments[part].mean(axis=0) for part in parts])
    rows, _ = fit(model, means, np.repeat(row, len(means), axis=0), prior=prior, n_iter=20)
    share = np.array([part.mean() for part in parts])
    heights, errors = _errors(model, rows, shape * share, prior)
    places = [
        float(rows[i, -2]) if heights[i] >= STANDS_OUT - 1.0 else None for i in range(len(parts))
    ]
    before, after = places[0], places[1]
    difference = interval = stable = drift = None
    if before is not None and after is not None:
        difference = after - before
        half = student_95(12.0) * inflation * float(np.hypot(errors[0], errors[1]))
        interval = (difference - half, difference + half)
        stable = interval[0] <= 0.0 <= interval[1]
    late = [(i, place) for i, place in enumerate(places[2:]) if place is not None]
    if len(late) == 4:
        minutes = 0.25 * length / 60.0
        drift = float(np.polyfit([i * minutes for i, _ in late], [p for _, p in late], 1)[0])
    return Stability(before, after, difference, interval, drift, stable), halves


def _errors(
    model: SpectrumModel, rows: Array, shape: float | Array, prior: Prior
) -> tuple[Array, Array]:
    """Height over its error, and standard error of the centre, per row."""
    _, slopes = model.jacobian(rows)
    information = slopes @ slopes.transpose(0, 2, 1)
    information[:, prior.column, prior.column] += prior.precision
    trace = np.einsum("rpp->r", information)[:, None, None]
    information += 1e-8 * trace * np.eye(rows.shape[1])
    inverse = np.linalg.inv(information)
    scale = HANN_INFLATION / np.asarray(shape)
    variance = np.einsum("rpp->rp", inverse) * np.atleast_1d(scale)[:, None]
    return 1.0 / np.sqrt(np.maximum(variance[:, -3], 1e-12)), np.sqrt(variance[:, -2])
