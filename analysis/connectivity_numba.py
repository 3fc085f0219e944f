"""Connectivity measures of many pairs, compiled: the sums of `connectivity_measures`, one pass.

Importing this module imports numba; `analysis.connectivity_spectral` does so only where it pays.
Coefficients are read bin by bin; the sums of one bin become measures before the next.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from analysis import transforms
from analysis.compiled import compiled
from analysis.connectivity_measures import MEASURES, OF_LAG, OF_PHASE, Measure, power

Array = NDArray[np.float64]
Ints = NDArray[np.intp]

# Compiled code on disk is renewed when this file changes: what it is made of stands here.
NO_LAG = 1e-12
IN_PHASE = 1e-12
REAL, IMAG, SIZE, SQUARE, LEAD, PHASE_REAL, PHASE_IMAG, SCALE = range(8)
COH, IMCOH, PLV, CIPLV, PPC, PLI, DPLI, WPLI, WPLI2_DEBIASED = range(9)


def estimate_all(table: Array, seeds: Ints, targets: Ints, measures: tuple[Measure, ...]) -> Array:
    """Measures of pairs of channels at every bin; `connectivity_measures.estimate_all`, compiled.

    Parameters
    ----------
    table : ndarray, shape (n_channels, 2, n_bins, n_tapers, n_epochs)
        Coefficients in the order of `analysis.transforms`.
    seeds, targets : ndarray of int, shape (n_pairs,)
        Channels of the pairs.
    measures : tuple of str
        What to compute.

    Returns
    -------
    ndarray, shape (n_measures, n_pairs, n_bins)
        Values.
    """
    out = np.empty((len(measures), seeds.size, table.shape[2]))
    codes = np.array([MEASURES.index(name) for name in measures])
    lag = any(name in OF_LAG for name in measures)
    phase = any(name in OF_PHASE for name in measures)
    unit = table[:0]
    if phase and table.shape[3] == 1:
        unit = np.empty_like(table)
        _unit(table.reshape(table.shape[0], 2, -1), unit.reshape(table.shape[0], 2, -1))
    tapers = (0,) * table.shape[3]
    root_power = np.sqrt(power(table))
    _pairs(table, unit, root_power, seeds, targets, tapers, codes, lag, phase, out)
    return out


def coefficients(epochs: Array, windows: Array, bins: Ints) -> Array:
    """Coefficients of all epochs at some bins: `transforms.coefficients`, one window folded.

    A symmetric window times a cosine around the middle of the epoch is even, times a sine odd: the
    two halves of an epoch are added and subtracted first, which halves the product of matrices.
    The phases are those from the middle of the epoch on, for all channels alike.
    """
    n_epochs, n_channels, n_samples = epochs.shape
    window = windows[0]
    if windows.shape[0] > 1 or not np.array_equal(window, window[::-1]):
        return transforms.coefficients(epochs, windows, bins)
    half = (n_samples + 1) // 2  # of an odd number, the sample in the middle is the last
    steps = np.outer(bins, 2 * np.arange(n_samples) - (n_samples - 1)) % (2 * n_samples)
    turn = steps * (np.pi / n_samples)
    cosines, sines = np.cos(turn) * window, np.sin(turn) * -window
    cosines -= cosines.mean(axis=1, keepdims=True)
    tables = np.ascontiguousarray(cosines[:, :half].T), np.ascontiguousarray(sines[:, :half].T)
    found = np.empty((n_channels, 2 * bins.size, n_epochs))
    some = np.empty((transforms.EPOCHS_AT_ONCE, n_channels, 2 * bins.size))
    even, odd = np.empty((2, n_channels, half))
    for first in range(0, n_epochs, transforms.EPOCHS_AT_ONCE):
        last = min(first + transforms.EPOCHS_AT_ONCE, n_epochs)
        for number in range(first, last):
            _fold(np.ascontiguousarray(epochs[number]), even, odd)
            np.matmul(even, tables[0], out=some[number - first, :, : bins.size])
            np.matmul(odd, tables[1], out=some[number - first, :, bins.size :])
        found[:, :, first:last] = some[: last - first].transpose(1, 2, 0)
    return found.reshape(n_channels, 2, bins.size, 1, n_epochs)


@compiled
def _fold(epoch: Array, even: Array, odd: Array) -> None:
    """Sum and difference of both halves, the first sample taken off (see `transforms`)."""
    n_samples = epoch.shape[1]
    for c in range(epoch.shape[0]):
        start = epoch[c, 0]
        for k in range(n_samples // 2):
            one, other = epoch[c, k] - start, epoch[c, n_samples - 1 - k] - start
            even[c, k] = one + other
            odd[c, k] = one - other
        if n_samples % 2:
            even[c, n_samples // 2] = epoch[c, n_samples // 2] - start
            odd[c, n_samples // 2] = 0.0


@compiled
def _measures(sums: Array, n: float, codes: Ints, out: Array) -> None:
    """Turn sums (8, n_values) of some pairs and bins into measures (n_measures, n_values)."""
    over = 1.0 / n
    n_values = sums.shape[1]
    for m in range(codes.size):
        code, values = codes[m], out[m]
        if code == COH:
            real, imag, scale = sums[REAL], sums[IMAG], sums[SCALE]
            for q in range(n_values):
                size = math.sqrt(real[q] * real[q] + imag[q] * imag[q])
                values[q] = size / scale[q] if scale[q] > 0.0 else 0.0
        elif code == IMCOH:
            imag, scale = sums[IMAG], sums[SCALE]
            for q in range(n_values):
                values[q] = imag[q] / scale[q] if scale[q] > 0.0 else 0.0
        elif code == PLV:
            real, imag = sums[PHASE_REAL], sums[PHASE_IMAG]
            for q in range(n_values):
                values[q] = math.sqrt(real[q] * real[q] + imag[q] * imag[q]) * over
        elif code == CIPLV:
            real, imag = sums[PHASE_REAL], sums[PHASE_IMAG]
            for q in range(n_values):
                mean = real[q] * over
                rest = 1.0 - mean * mean
                safe = rest if rest > IN_PHASE else 1.0
                value = abs(imag[q]) * over / math.sqrt(safe)
                values[q] = value if rest > IN_PHASE else 0.0
        elif code == PPC:
            real, imag, scale = sums[PHASE_REAL], sums[PHASE_IMAG], sums[SCALE]
            below = 1.0 / (n * (n - 1.0))
            for q in range(n_values):
                value = (real[q] * real[q] + imag[q] * imag[q] - n) * below
                values[q] = value if scale[q] > 0.0 else 0.0
        elif code == PLI:
            lead, size, scale = sums[LEAD], sums[SIZE], sums[SCALE]
            for q in range(n_values):
                values[q] = abs(lead[q]) * over if size[q] > NO_LAG * scale[q] else 0.0
        elif code == DPLI:
            lead, size, scale = sums[LEAD], sums[SIZE], sums[SCALE]
            for q in range(n_values):
                values[q] = 0.5 * (lead[q] * over + 1.0) if size[q] > NO_LAG * scale[q] else 0.5
        elif code == WPLI:
            imag, size, scale = sums[IMAG], sums[SIZE], sums[SCALE]
            for q in range(n_values):
                lag = size[q] > NO_LAG * scale[q]
                value = abs(imag[q]) / (size[q] if lag else 1.0)
                values[q] = value if lag else 0.0
        else:
            imag, size, square, scale = sums[IMAG], sums[SIZE], sums[SQUARE], sums[SCALE]
            for q in range(n_values):
                below = size[q] * size[q] - square[q]
                there = size[q] > NO_LAG * scale[q] and below > 0.0
                value = (imag[q] * imag[q] - square[q]) / (below if there else 1.0)
                values[q] = value if there else 0.0


@compiled
def _unit(table: Array, unit: Array) -> None:
    """Coefficients of absolute value 1, 0 where a coefficient is 0: (n_channels, 2, ...) flat."""
    for i in range(table.shape[0]):
        for q in range(table.shape[2]):
            real, imag = table[i, 0, q], table[i, 1, q]
            size = math.sqrt(real * real + imag * imag)
            over = 1.0 / (size if size > 0.0 else 1.0)
            unit[i, 0, q] = real * over
            unit[i, 1, q] = imag * over


# The loops over epochs are functions of their own that hand back numbers: no view of a table
# outlives them, so that nothing is counted and everything stays in registers. `tapers` is a tuple
# for its length alone, which is known when compiling: the loop over tapers is unrolled.


@compiled
def _cross_sums(
    table: Array, i: int, j: int, f: int, tapers: tuple[int, ...]
) -> tuple[float, float]:
    """Cross-spectrum of two channels at one bin."""
    real, imag = 0.0, 0.0
    for k in range(len(tapers)):
        for e in range(table.shape[4]):
            ar, ai = table[i, 0, f, k, e], table[i, 1, f, k, e]
            br, bi = table[j, 0, f, k, e], table[j, 1, f, k, e]
            real += ar * br + ai * bi
            imag += ai * br - ar * bi
    return real, imag


@compiled
def _lag_sums(
    table: Array, i: int, j: int, f: int, tapers: tuple[int, ...]
) -> tuple[float, float, float, float, float]:
    """Cross-spectrum, and absolute value, square and sign of its imaginary parts."""
    real, imag, size, square, lead = 0.0, 0.0, 0.0, 0.0, 0.0
    for e in range(table.shape[4]):
        re, im = 0.0, 0.0
        for k in range(len(tapers)):
            ar, ai = table[i, 0, f, k, e], table[i, 1, f, k, e]
            br, bi = table[j, 0, f, k, e], table[j, 1, f, k, e]
            re += ar * br + ai * bi
            im += ai * br - ar * bi
        real += re
        imag += im
        size += abs(im)
        square += im * im
        lead += (1.0 if im > 0.0 else 0.0) - (1.0 if im < 0.0 else 0.0)
    return real, imag, size, square, lead


@compiled
def _all_sums(
    table: Array, i: int, j: int, f: int, tapers: tuple[int, ...]
) -> tuple[float, float, float, float, float, float, float]:
    """`_lag_sums`, and the cross-spectra of absolute value 1."""
    real, imag, size, square, lead = 0.0, 0.0, 0.0, 0.0, 0.0
    phase_real, phase_imag = 0.0, 0.0
    for e in range(table.shape[4]):
        re, im = 0.0, 0.0
        for k in range(len(tapers)):
            ar, ai = table[i, 0, f, k, e], table[i, 1, f, k, e]
            br, bi = table[j, 0, f, k, e], table[j, 1, f, k, e]
            re += ar * br + ai * bi
            im += ai * br - ar * bi
        real += re
        imag += im
        size += abs(im)
        square += im * im
        lead += (1.0 if im > 0.0 else 0.0) - (1.0 if im < 0.0 else 0.0)
        whole = re * re + im * im
        over = 1.0 / math.sqrt(whole if whole > 0.0 else 1.0)
        phase_real += re * over
        phase_imag += im * over
    return real, imag, size, square, lead, phase_real, phase_imag


@compiled
def _pairs(
    table: Array,
    unit: Array,
    root_power: Array,
    seeds: Ints,
    targets: Ints,
    tapers: tuple[int, ...],
    codes: Ints,
    lag: bool,
    phase: bool,
    out: Array,
) -> None:
    """Fill `out`, bin by bin: the coefficients of one bin fit into a core's own cache."""
    n_pairs, n_bins, n_epochs = seeds.size, table.shape[2], table.shape[4]
    one = (0,)
    sums = np.zeros((8, n_pairs))
    values = np.empty((codes.size, n_pairs))
    for f in range(n_bins):
        for pair in range(n_pairs):
            i, j = seeds[pair], targets[pair]
            real, imag, size, square, lead = 0.0, 0.0, 0.0, 0.0, 0.0
            phase_real, phase_imag = 0.0, 0.0
            if (lag or phase) and len(tapers) > 1:
                real, imag, size, square, lead, phase_real, phase_imag = _all_sums(
                    table, i, j, f, tapers
                )
            else:
                if lag:
                    real, imag, size, square, lead = _lag_sums(table, i, j, f, tapers)
                else:
                    real, imag = _cross_sums(table, i, j, f, tapers)
                if phase:
                    phase_real, phase_imag = _cross_sums(unit, i, j, f, one)
            sums[REAL, pair], sums[IMAG, pair], sums[SIZE, pair] = real, imag, size
            sums[SQUARE, pair], sums[LEAD, pair] = square, lead
            sums[PHASE_REAL, pair], sums[PHASE_IMAG, pair] = phase_real, phase_imag
            sums[SCALE, pair] = root_power[i, f] * root_power[j, f]
        _measures(sums, float(n_epochs), codes, values)
        for m in range(codes.size):
            for pair in range(n_pairs):
                out[m, pair, f] = values[m, pair]
