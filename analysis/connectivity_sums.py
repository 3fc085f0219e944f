"""Sums over epochs from which every measure of connectivity follows, kept block by block.

A measure of all epochs, of all but a block (jackknife) and of relabelled blocks (permutation) is
then one weighted sum of block sums and a few quotients (`analysis.connectivity_measures`); the
epochs themselves are read once.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.connectivity_measures import OF_LAG, OF_PHASE, Measure, Sums

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]


@dataclass(frozen=True, slots=True)
class ReportedMeasure:
    """One measure of connectivity, as a comparison reports it.

    Parameters
    ----------
    name : str
        Key, one of `analysis.connectivity_measures.MEASURES`.
    title : str
        Words for people.
    primary : bool
        Whether the verdict rests on it. Only measures that ignore what reaches two electrodes at
        the same instant do.
    signed : bool
        Whether its sign is a direction of lag; means over pairs take the absolute value.
    """

    name: Measure
    title: str
    primary: bool = False
    signed: bool = False


@dataclass(frozen=True, slots=True)
class BlockSums:
    """Sums over the epochs of each block.

    Parameters
    ----------
    n_channels : int
        Channels; pairs are those of `numpy.tril_indices(n_channels, -1)`.
    n_epochs : ndarray, shape (n_blocks,)
        Epochs in each block.
    cross, unit : ndarray of complex, shape (n_blocks, n_freqs, n_pairs)
        Cross-spectra, and cross-spectra of unit size.
    size, square, sign : ndarray, shape (n_blocks, n_freqs, n_pairs)
        Absolute value, square and sign of the imaginary part.
    power : ndarray, shape (n_blocks, n_freqs, n_channels)
        Squared size of the coefficients.
    """

    n_channels: int
    n_epochs: Array
    cross: ComplexArray
    unit: ComplexArray
    size: Array
    square: Array
    sign: Array
    power: Array

    def values(self, weights: Array, measures: tuple[ReportedMeasure, ...]) -> dict[str, Array]:
        """Every measure for every weighting, mean over the bins: (n_weightings, n_pairs)."""
        names = tuple(one.name for one in measures)
        sums = self._weighted(np.atleast_2d(weights), names)
        return {name: sums.estimate(name).mean(axis=1) for name in names}

    def spectra(self, weights: Array, measure: ReportedMeasure) -> Array:
        """Mean over pairs of one measure at every bin: (n_weightings, n_freqs)."""
        found = self._weighted(np.atleast_2d(weights), (measure.name,)).estimate(measure.name)
        return np.asarray((np.abs(found) if measure.signed else found).mean(axis=2))

    def _weighted(self, weights: Array, names: tuple[Measure, ...]) -> Sums:
        """Weighted sums of the blocks that the measures need, (n_weightings, n_freqs, n_pairs)."""

        def add(values: NDArray[Any]) -> NDArray[Any]:
            flat = weights @ values.reshape(values.shape[0], -1)
            return np.asarray(flat).reshape(len(weights), *values.shape[1:])

        lag = any(name in OF_LAG for name in names)
        cross = add(self.cross) if lag or "coh" in names or "imcoh" in names else None
        unit = add(self.unit) if any(name in OF_PHASE for name in names) else None
        power = add(self.power)
        rows, columns = np.tril_indices(self.n_channels, -1)
        return Sums(
            n=np.asarray(weights @ self.n_epochs)[:, None, None],
            real=None if cross is None else cross.real,
            imag=None if cross is None else cross.imag,
            scale=np.sqrt(power[..., rows] * power[..., columns]),
            size=add(self.size) if lag else None,
            square=add(self.square) if "wpli2_debiased" in names else None,
            lead=add(self.sign) if "pli" in names else None,
            phase_real=None if unit is None else unit.real,
            phase_imag=None if unit is None else unit.imag,
        )


def block_sums(coefficients: ComplexArray, n_blocks: int) -> BlockSums:
    """Sum the epochs of each of `n_blocks` contiguous blocks.

    Parameters
    ----------
    coefficients : ndarray of complex, shape (n_freqs, n_epochs, n_channels)
        As given by `analysis.connectivity.band_fourier`.
    n_blocks : int
        Blocks, at most as many as epochs; their lengths differ by one epoch at most.

    Returns
    -------
    BlockSums
        The sums. One channel at a time is paired with those before it, so that memory beyond the
        result stays at a few times that of the coefficients.
    """
    n_freqs, n_epochs, n_channels = coefficients.shape
    edges = np.linspace(0, n_epochs, n_blocks + 1).round().astype(np.intp)
    starts = edges[:-1]
    n_pairs = n_channels * (n_channels - 1) // 2
    shape = (n_blocks, n_freqs, n_pairs)
    cross, unit = np.empty(shape, dtype=np.complex128), np.empty(shape, dtype=np.complex128)
    size, square, sign = (np.empty(shape) for _ in range(3))
    amplitude = np.abs(coefficients)
    direction = coefficients / np.where(amplitude > 0.0, amplitude, 1.0)
    by_block = [slice(first, last) for first, last in pairwise(edges)]
    for number, part in enumerate(by_block):
        for summed, signals in ((cross, coefficients), (unit, direction)):
            block = signals[:, part]
            full = np.matmul(block.transpose(0, 2, 1), block.conj())
            summed[number] = full[:, *np.tril_indices(n_channels, -1)]
    first = 0
    for row in range(1, n_channels):
        own, other = coefficients[:, :, row, None], coefficients[:, :, :row]
        imaginary = own.imag * other.real - own.real * other.imag
        place = slice(first, first + row)
        for kept, values in (
            (sign, np.sign(imaginary)),
            (square, imaginary**2),
            (size, np.abs(imaginary)),
        ):
            kept[:, :, place] = np.add.reduceat(values, starts, axis=1).transpose(1, 0, 2)
        first += row
    power = np.add.reduceat(amplitude**2, starts, axis=1).transpose(1, 0, 2)
    return BlockSums(
        n_channels=n_channels,
        n_epochs=np.diff(edges).astype(np.float64),
        cross=cross,
        unit=unit,
        size=size,
        square=square,
        sign=sign,
        power=np.ascontiguousarray(power),
    )


def leave_out(n_blocks: int) -> Array:
    """Weightings of all blocks, then of all but one: (n_blocks + 1, n_blocks)."""
    return np.vstack([np.ones(n_blocks), 1.0 - np.eye(n_blocks)])


def to_matrix(pairs: Array, n_channels: int, *, odd: bool = False) -> Array:
    """Square matrix of values per pair, symmetric or (`odd`) antisymmetric, 0 on the diagonal."""
    found = np.zeros((n_channels, n_channels))
    rows, columns = np.tril_indices(n_channels, -1)
    found[rows, columns] = pairs
    found[columns, rows] = -pairs if odd else pairs
    return found


MEASURES: tuple[ReportedMeasure, ...] = (
    ReportedMeasure("imcoh", "imaginary coherence (size)", primary=True, signed=True),
    ReportedMeasure("wpli2_debiased", "debiased squared weighted phase lag index", primary=True),
    ReportedMeasure("coh", "coherence"),
    ReportedMeasure("plv", "phase locking value"),
    ReportedMeasure("ciplv", "corrected imaginary phase locking value"),
    ReportedMeasure("ppc", "pairwise phase consistency"),
    ReportedMeasure("pli", "phase lag index"),
    ReportedMeasure("wpli", "weighted phase lag index"),
)
BY_NAME: dict[str, ReportedMeasure] = {one.name: one for one in MEASURES}
PRIMARY = tuple(one for one in MEASURES if one.primary)
