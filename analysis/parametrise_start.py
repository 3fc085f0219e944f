"""First guesses of the peaks of many spectra, and the bounds of the fit that follows.

Own implementation of the steps described by Donoghue et al. 2020, Nat. Neurosci. 23:1655-1665, with
the constants of fooof 1.1, so that both search for the same peaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

FWHM_PER_SD = 2.0 * sqrt(2.0 * log(2.0))
CENTRE_ROOM_SD = 3.0  # how far a centre may move from its guess
OVERLAP_SD = 0.75
INSIDE = 1e-10  # a start on a bound is moved in by this much, relative to the bound


@dataclass(frozen=True, slots=True)
class Guesses:
    """First guesses of peaks and the bounds of the fit, all strictly inside.

    Parameters
    ----------
    start, lower, upper : ndarray, shape (n_spectra, max_peaks, 3)
        Centre in Hz, height in log10 power, standard deviation in Hz; by rising centre, rows past
        the number of peaks hold NaN.
    n_peaks : ndarray of int, shape (n_spectra,)
        Peaks of each spectrum.
    """

    start: Array
    lower: Array
    upper: Array
    n_peaks: Ints


def find_peaks(
    freqs_hz: Array,
    flat: Array,
    *,
    peak_width_hz: tuple[float, float],
    max_peaks: int,
    min_peak_height_log10: float,
    peak_threshold: float,
) -> Guesses:
    """Guess the peaks of flattened spectra, tallest first, each taken off before the next.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Frequencies, evenly spaced.
    flat : ndarray, shape (n_spectra, n_freqs)
        Spectra minus their robust aperiodic fit, log10.
    peak_width_hz : (float, float)
        Least and largest bandwidth (two standard deviations).
    max_peaks : int
        Most peaks of a spectrum.
    min_peak_height_log10, peak_threshold : float
        A candidate must exceed this height, and this many standard deviations of what remains.

    Returns
    -------
    Guesses
        Peaks that lie clear of the edges and of taller neighbours, with the bounds of their fit.
    """
    narrow, wide = peak_width_hz[0] / 2.0, peak_width_hz[1] / 2.0
    step_hz = freqs_hz[1] - freqs_hz[0]
    guess = np.full((flat.shape[0], max_peaks, 3), np.nan)
    rest = flat.copy()
    active = np.arange(flat.shape[0])
    for row in range(max_peaks):
        top = np.argmax(rest, axis=1)
        height = rest[np.arange(active.size), top]
        tall = (height > peak_threshold * np.std(rest, axis=1)) & (height > min_peak_height_log10)
        active, rest, top, height = active[tall], rest[tall], top[tall], height[tall]
        if active.size == 0:
            break
        side = _half_width(rest, top, height)
        width = np.where(side > 0, side * 2.0 * step_hz / FWHM_PER_SD, sum(peak_width_hz) / 2.0)
        width = np.minimum(np.maximum(width, narrow), wide)
        centre = freqs_hz[top]
        guess[active, row] = np.stack([centre, height, width], axis=1)
        away = (freqs_hz - centre[:, None]) / width[:, None]
        rest = rest - height[:, None] * np.exp(-0.5 * away * away)
    return _bounded(_clear(guess, freqs_hz), freqs_hz, narrow, wide)


def _half_width(rest: Array, top: Ints, height: Array) -> Ints:
    """Bins from each maximum to the nearer point at half height; 0 where there is none."""
    size = rest.shape[1]
    place = np.arange(size)
    low = rest <= 0.5 * height[:, None]
    # The lowest bin does not count as a left flank, as in fooof.
    left = np.max(np.where(low & (place < top[:, None]) & (place > 0), place, -size), axis=1)
    right = np.min(np.where(low & (place > top[:, None]), place, 3 * size), axis=1)
    side = np.minimum(top - left, right - top)
    return np.where(side < size, side, 0)


def _clear(guess: Array, freqs_hz: Array) -> Array:
    """Drop guesses near the edges and the lower of two that overlap; sort by centre."""
    centre, _, width = np.moveaxis(guess, -1, 0)
    inside = (np.abs(centre - freqs_hz[0]) > width) & (np.abs(centre - freqs_hz[-1]) > width)
    guess = _sorted(np.where(inside[..., None], guess, np.nan))
    centre, height, width = np.moveaxis(guess, -1, 0)
    left, right = (slice(None), slice(None, -1)), (slice(None), slice(1, None))
    reach = OVERLAP_SD * width
    overlap = centre[left] + reach[left] > centre[right] - reach[right]
    drop = np.zeros(centre.shape, dtype=bool)
    drop[left] |= overlap & (height[left] <= height[right])
    drop[right] |= overlap & (height[left] > height[right])
    return _sorted(np.where(drop[..., None], np.nan, guess))


def _sorted(guess: Array) -> Array:
    """Order guesses by centre, empty rows last."""
    order = np.argsort(guess[..., 0], axis=1, kind="stable")
    return np.take_along_axis(guess, order[..., None], axis=1)


def _bounded(guess: Array, freqs_hz: Array, narrow: float, wide: float) -> Guesses:
    """Bounds of the joint fit, and the guesses moved off them."""
    centre, _, width = np.moveaxis(guess, -1, 0)
    lower, upper = np.full_like(guess, np.nan), np.full_like(guess, np.nan)
    lower[..., 0] = np.maximum(centre - CENTRE_ROOM_SD * width, freqs_hz[0])
    upper[..., 0] = np.minimum(centre + CENTRE_ROOM_SD * width, freqs_hz[-1])
    lower[..., 1], upper[..., 1] = 0.0, np.inf
    lower[..., 2], upper[..., 2] = narrow, wide
    # Heights have no upper bound, centres and widths have both.
    off = INSIDE * np.maximum(1.0, lower)
    start = np.where(guess - lower <= np.minimum(upper - guess, off), lower + off, guess)
    ends = [0, 2]
    last, off = upper[..., ends], INSIDE * np.maximum(1.0, upper[..., ends])
    close = last - guess[..., ends] <= np.minimum(guess[..., ends] - lower[..., ends], off)
    start[..., ends] = np.where(close, last - off, start[..., ends])
    return Guesses(start, lower, upper, np.isfinite(centre).sum(axis=1))
