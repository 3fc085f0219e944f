"""Orthogonalised envelope correlation from Fourier coefficients, as sums kept block by block.

The coefficients of an epoch inside a band are its narrow-band analytic signal, written another way.
Taken from them, the envelopes can be correlated of all blocks, of all but one, and of recordings
brought to the same signal-to-noise ratio, like every other measure of a comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.envelope import PARALLEL

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

MIDDLE = 0.75
HANN = (1.0, -2.0 / 3.0, 1.0 / 6.0)  # correlation of bins none, one and two apart, white noise


@dataclass(frozen=True, slots=True)
class EnvelopeSums:
    """Sums over the samples of each block; pairs are those of `numpy.tril_indices`.

    Parameters
    ----------
    n : ndarray, shape (n_blocks,)
        Samples.
    total, square : ndarray, shape (n_blocks, n_channels)
        Amplitudes and their squares.
    left, left_square, product : ndarray, shape (n_blocks, 2, n_pairs)
        What the second channel of a pair keeps without the first, its square, and its product with
        the first one's amplitude; then the other way round.
    """

    n: Array
    total: Array
    square: Array
    left: Array
    left_square: Array
    product: Array

    def values(self, weights: Array) -> Array:
        """Correlation of every pair, mean of both directions: (n_weightings, n_pairs)."""
        n = np.asarray(weights @ self.n)[:, None, None]
        rows, columns = np.tril_indices(self.total.shape[1], -1)
        whole, square = (weighted(weights, one) for one in (self.total, self.square))
        # Row by row: the envelope that stays as it is, first that of the second channel.
        amount = np.stack([whole[:, columns], whole[:, rows]], axis=1)
        spread = np.stack([square[:, columns], square[:, rows]], axis=1) - amount**2 / n
        left = weighted(weights, self.left)
        above = weighted(weights, self.product) - left * amount / n
        below = (weighted(weights, self.left_square) - left**2 / n) * spread
        there = (below > 0.0) & (left > PARALLEL * amount[:, ::-1])
        found = np.where(there, above / np.sqrt(np.where(there, below, 1.0)), 0.0)
        return np.asarray(found.mean(axis=1))


def weighted(weights: Array, sums: NDArray[Any]) -> NDArray[Any]:
    """Weighted sums of blocks: (n_weightings, …) of sums of shape (n_blocks, …)."""
    flat = weights @ sums.reshape(sums.shape[0], -1)
    return np.asarray(flat).reshape(len(weights), *sums.shape[1:])


def envelope_sums(coefficients: ComplexArray, edges: NDArray[np.intp]) -> EnvelopeSums:
    """Sum the samples of contiguous blocks of epochs.

    Parameters
    ----------
    coefficients : ndarray of complex, shape (n_freqs, n_epochs, n_channels)
        Neighbouring bins, as given by `analysis.connectivity.band_fourier` (Hann window).
    edges : ndarray of int, shape (n_blocks + 1,)
        First epoch of each block, and the number of epochs.

    Returns
    -------
    EnvelopeSums
        The sums.

    Notes
    -----
    The analytic signal is the sum of the band's bins. It is read in the middle three quarters of
    each epoch, once per 1 / bandwidth, since samples closer together tell nothing new, and divided
    by the size that the window and the edges of the band leave of a stationary signal there:
    without that all channels would share the shape of the window. Correlations are signed; without
    a relation their mean is 0. All samples of a block go into one correlation, which therefore
    sees what changes within an epoch and from one epoch to the next.

    References
    ----------
    Hipp et al. 2012, Nat. Neurosci. 15:884-890.
    """
    n_freqs, n_epochs, n_channels = coefficients.shape
    n_times = max(1, round(MIDDLE * n_freqs))
    times = 0.5 + MIDDLE * ((np.arange(n_times) + 0.5) / n_times - 0.5)
    turn = np.exp(2j * np.pi * np.outer(times, np.arange(n_freqs)))
    apart = np.abs(np.subtract.outer(np.arange(n_freqs), np.arange(n_freqs)))
    between = np.append(HANN, 0.0)[np.minimum(apart, len(HANN))]
    left_over = np.einsum("tf,fg,tg->t", turn, between, turn.conj()).real
    turn /= np.sqrt(left_over)[:, None]
    signals = np.tensordot(coefficients, turn, axes=(0, 1)).transpose(1, 0, 2)
    signals = signals.reshape(n_channels, n_epochs * n_times)
    real, imag = np.ascontiguousarray(signals.real), np.ascontiguousarray(signals.imag)
    size = np.hypot(real, imag)
    over = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0.0)
    inside = np.repeat(np.eye(len(edges) - 1), np.diff(edges) * n_times, axis=0)
    n_pairs = n_channels * (n_channels - 1) // 2
    left, left_square, product = np.empty((3, len(edges) - 1, 2, n_pairs))
    first = 0
    for row in range(1, n_channels):
        place, other = slice(first, first + row), slice(row)
        crossed = imag[row] * real[other]
        crossed -= real[row] * imag[other]
        np.abs(crossed, out=crossed)
        for way, (scale, kept) in enumerate(((over[other], size[other]), (over[row], size[row]))):
            rest = crossed * scale
            left[:, way, place] = (rest @ inside).T
            product[:, way, place] = ((rest * kept) @ inside).T
            rest *= rest
            left_square[:, way, place] = (rest @ inside).T
        first += row
    return EnvelopeSums(
        n=inside.sum(axis=0),
        total=np.ascontiguousarray((size @ inside).T),
        square=np.ascontiguousarray((size**2 @ inside).T),
        left=left,
        left_square=left_square,
        product=product,
    )
