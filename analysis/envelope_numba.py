"""Orthogonalised envelope correlation of one epoch, compiled: one pass over each pair.

Importing this module imports numba; `analysis.envelope` does so only where it pays.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from analysis.compiled import compiled
from analysis.envelope import Amplitudes

Array = NDArray[np.float64]

# Compiled code on disk is renewed when this file changes: what it is made of stands here.
PARALLEL = 1e-12


def one_epoch(amplitude: Amplitudes) -> Array:
    """Correlations of one epoch in both directions, as `analysis.envelope` has them."""
    found = np.zeros((amplitude.real.shape[0], amplitude.real.shape[0]))
    _pairs(
        amplitude.real, amplitude.imag, amplitude.over, amplitude.weighted, amplitude.total, found
    )
    return found


@compiled
def _pairs(
    real: Array, imag: Array, over: Array, weighted: Array, total: Array, found: Array
) -> None:
    """Fill row i, column j with i made orthogonal to j against the envelope of j."""
    n_channels, n_samples = real.shape
    for i in range(1, n_channels):
        ri, ii, oi, wi = real[i], imag[i], over[i], weighted[i]
        for j in range(i):
            rj, ij, oj, wj = real[j], imag[j], over[j], weighted[j]
            total_i, square_i, above_i = 0.0, 0.0, 0.0
            total_j, square_j, above_j = 0.0, 0.0, 0.0
            for t in range(n_samples):
                crossed = abs(ii[t] * rj[t] - ri[t] * ij[t])
                by_i, by_j = crossed * oi[t], crossed * oj[t]
                total_i += by_i
                square_i += by_i * by_i
                above_i += by_i * wi[t]
                total_j += by_j
                square_j += by_j * by_j
                above_j += by_j * wj[t]
            if total_i > PARALLEL * total[j]:
                square_i -= total_i * total_i / n_samples
                square_j -= total_j * total_j / n_samples
                if square_i > 0.0:
                    found[j, i] = above_i / math.sqrt(square_i)
                if square_j > 0.0:
                    found[i, j] = above_j / math.sqrt(square_j)
