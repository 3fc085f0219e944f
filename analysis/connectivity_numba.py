"""Connectivity measures of many pairs, compiled: the sums of `connectivity_measures`, one pass.

Importing this module imports numba; `analysis.connectivity` does so only where it pays. Nothing is
stored between the coefficients and the values: the sums of a pair and bin live in registers.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from analysis.compiled import compiled
from analysis.connectivity_measures import (
    MEASURES,
    OF_LAG,
    OF_PHASE,
    Measure,
    phases,
    power,
)

Array = NDArray[np.float64]
Ints = NDArray[np.intp]

# Compiled code on disk is renewed when this file changes: what it is made of stands here.
NO_LAG = 1e-12
IN_PHASE = 1e-12


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
    total = power(table)
    if table.shape[3] == 1:
        single = np.ascontiguousarray(table[:, :, :, 0])
        unit = phases(single) if phase else single[:0]
        _one_taper(single, unit, total, seeds, targets, codes, lag, phase, out)
    else:
        _tapers(table, total, seeds, targets, codes, phase, out)
    return out


@compiled
def _value(
    code: int,
    n: float,
    scale: float,
    real: float,
    imag: float,
    size: float,
    square: float,
    lead: float,
    phase_real: float,
    phase_imag: float,
) -> float:
    """One measure from the sums of one pair and bin; the codes are positions in MEASURES."""
    value = 0.0
    if code == 0:
        if scale > 0.0:
            value = math.sqrt(real * real + imag * imag) / scale
    elif code == 1:
        if scale > 0.0:
            value = imag / scale
    elif code == 2:
        value = math.sqrt(phase_real * phase_real + phase_imag * phase_imag) / n
    elif code == 3:
        rest = 1.0 - (phase_real / n) ** 2
        if rest > IN_PHASE:
            value = abs(phase_imag) / n / math.sqrt(rest)
    elif code == 4:
        if scale > 0.0:
            value = (phase_real * phase_real + phase_imag * phase_imag - n) / (n * (n - 1.0))
    else:
        lag = size > NO_LAG * scale
        if code == 5:
            value = abs(lead) / n if lag else 0.0
        elif code == 6:
            value = 0.5 * (lead / n + 1.0) if lag else 0.5
        elif code == 7:
            value = abs(imag) / size if lag else 0.0
        else:
            below = size * size - square
            if lag and below > 0.0:
                value = (imag * imag - square) / below
    return value


@compiled
def _one_taper(
    table: Array,
    unit: Array,
    total: Array,
    seeds: Ints,
    targets: Ints,
    codes: Ints,
    lag: bool,
    phase: bool,
    out: Array,
) -> None:
    """Pairs at every bin, one taper: (n_channels, 2, n_bins, n_epochs)."""
    n_bins, n_epochs = table.shape[2], table.shape[3]
    for pair in range(seeds.size):
        i, j = seeds[pair], targets[pair]
        for f in range(n_bins):
            ar, ai, br, bi = table[i, 0, f], table[i, 1, f], table[j, 0, f], table[j, 1, f]
            real, imag, size, square, lead = 0.0, 0.0, 0.0, 0.0, 0.0
            if lag:
                for e in range(n_epochs):
                    part = ai[e] * br[e] - ar[e] * bi[e]
                    real += ar[e] * br[e] + ai[e] * bi[e]
                    imag += part
                    size += abs(part)
                    square += part * part
                    lead += (1.0 if part > 0.0 else 0.0) - (1.0 if part < 0.0 else 0.0)
            else:
                for e in range(n_epochs):
                    real += ar[e] * br[e] + ai[e] * bi[e]
                    imag += ai[e] * br[e] - ar[e] * bi[e]
            phase_real, phase_imag = 0.0, 0.0
            if phase:
                ar, ai, br, bi = unit[i, 0, f], unit[i, 1, f], unit[j, 0, f], unit[j, 1, f]
                for e in range(n_epochs):
                    phase_real += ar[e] * br[e] + ai[e] * bi[e]
                    phase_imag += ai[e] * br[e] - ar[e] * bi[e]
            scale = math.sqrt(total[i, f] * total[j, f])
            for m in range(codes.size):
                out[m, pair, f] = _value(
                    codes[m], float(n_epochs), scale, real, imag, size, square, lead,
                    phase_real, phase_imag,
                )  # fmt: skip


@compiled
def _tapers(
    table: Array,
    total: Array,
    seeds: Ints,
    targets: Ints,
    codes: Ints,
    phase: bool,
    out: Array,
) -> None:
    """Pairs at every bin, several tapers: (n_channels, 2, n_bins, n_tapers, n_epochs)."""
    n_bins, n_tapers, n_epochs = table.shape[2], table.shape[3], table.shape[4]
    re, im = np.empty(n_epochs), np.empty(n_epochs)
    for pair in range(seeds.size):
        i, j = seeds[pair], targets[pair]
        for f in range(n_bins):
            re[:] = 0.0
            im[:] = 0.0
            for k in range(n_tapers):
                ar, ai = table[i, 0, f, k], table[i, 1, f, k]
                br, bi = table[j, 0, f, k], table[j, 1, f, k]
                for e in range(n_epochs):
                    re[e] += ar[e] * br[e] + ai[e] * bi[e]
                    im[e] += ai[e] * br[e] - ar[e] * bi[e]
            real, imag, size, square, lead = 0.0, 0.0, 0.0, 0.0, 0.0
            for e in range(n_epochs):
                part = im[e]
                real += re[e]
                imag += part
                size += abs(part)
                square += part * part
                lead += (1.0 if part > 0.0 else 0.0) - (1.0 if part < 0.0 else 0.0)
            phase_real, phase_imag = 0.0, 0.0
            if phase:
                for e in range(n_epochs):
                    whole = re[e] * re[e] + im[e] * im[e]
                    over = 1.0 / math.sqrt(whole) if whole > 0.0 else 0.0
                    phase_real += re[e] * over
                    phase_imag += im[e] * over
            scale = math.sqrt(total[i, f] * total[j, f])
            for m in range(codes.size):
                out[m, pair, f] = _value(
                    codes[m], float(n_epochs), scale, real, imag, size, square, lead,
                    phase_real, phase_imag,
                )  # fmt: skip
