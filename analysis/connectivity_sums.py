"""Sums over epochs from which every measure of connectivity follows, kept block by block.

A measure of all epochs, of all but a block (jackknife) and of relabelled blocks (permutation) is
then one weighted sum of block sums and a few quotients (`analysis.connectivity_measures`); the
epochs themselves are read once.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.connectivity_measures import OF_LAG, OF_PHASE, Measure, Sums
from analysis.envelope_sums import EnvelopeSums, envelope_sums, weighted

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]


@dataclass(frozen=True, slots=True)
class ReportedMeasure:
    """One measure of connectivity, as a comparison reports it.

    Parameters
    ----------
    name : str
        Key, one of `analysis.connectivity_measures.MEASURES`, or `aec`.
    title : str
        Words for people.
    primary : bool
        Whether the verdict rests on it. Only measures that ignore what reaches two electrodes at
        the same instant do.
    signed : bool
        Whether its sign is a direction of lag; means over pairs take the absolute value.
    """

    name: Measure | Literal["aec"]
    title: str
    primary: bool = False
    signed: bool = False


@dataclass(frozen=True, slots=True)
class BlockSums:
    """Sums over the epochs of each block; those that no measure asked for needs are None.

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
    envelope : EnvelopeSums
        Those of amplitude envelopes.
    """

    n_channels: int
    n_epochs: Array
    cross: ComplexArray | None
    unit: ComplexArray | None
    size: Array | None
    square: Array | None
    sign: Array | None
    power: Array
    envelope: EnvelopeSums | None = None

    def values(self, weights: Array, measures: tuple[ReportedMeasure, ...]) -> dict[str, Array]:
        """Every measure for every weighting, mean over the bins: (n_weightings, n_pairs)."""
        weights = np.atleast_2d(weights)
        found: dict[str, Array] = {}
        spectral = _spectral(measures)
        if spectral:
            sums = self._weighted(weights, spectral)
            found = {name: sums.estimate(name).mean(axis=1) for name in spectral}
        if self.envelope is not None and any(one.name == "aec" for one in measures):
            found["aec"] = self.envelope.values(weights)
        return {one.name: found[one.name] for one in measures}

    def spectra(self, weights: Array, measure: ReportedMeasure) -> Array:
        """Mean over pairs of one measure at every bin: (n_weightings, n_freqs)."""
        name = _spectral((measure,))[0]
        found = self._weighted(np.atleast_2d(weights), (name,)).estimate(name)
        return np.asarray((np.abs(found) if measure.signed else found).mean(axis=2))

    def _weighted(self, weights: Array, names: tuple[Measure, ...]) -> Sums:
        """Weighted sums of the blocks that the measures need, (n_weightings, n_freqs, n_pairs)."""

        def add(sums: NDArray[Any] | None) -> NDArray[Any] | None:
            # What was not kept stays away, and `Sums` refuses a measure that needs it.
            return None if sums is None else weighted(weights, sums)

        lag = any(name in OF_LAG for name in names)
        cross = add(self.cross) if lag or "coh" in names or "imcoh" in names else None
        unit = add(self.unit) if any(name in OF_PHASE for name in names) else None
        power = weighted(weights, self.power)
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


def _spectral(measures: tuple[ReportedMeasure, ...]) -> tuple[Measure, ...]:
    """Names of those that follow from cross-spectra."""
    return tuple(one.name for one in measures if one.name != "aec")


def block_sums(
    coefficients: ComplexArray,
    n_blocks: int,
    measures: tuple[ReportedMeasure, ...] | None = None,
) -> BlockSums:
    """Sum the epochs of each of `n_blocks` contiguous blocks.

    Parameters
    ----------
    coefficients : ndarray of complex, shape (n_freqs, n_epochs, n_channels)
        As given by `analysis.connectivity.band_fourier`.
    n_blocks : int
        Blocks, at most as many as epochs; their lengths differ by one epoch at most.
    measures : tuple of ReportedMeasure, optional
        What will be asked for; `MEASURES` when absent.

    Returns
    -------
    BlockSums
        The sums. One channel at a time is paired with those before it, so that memory beyond the
        result stays at a few times that of the coefficients.
    """
    asked = MEASURES if measures is None else measures
    names = _spectral(asked)
    n_freqs, n_epochs, n_channels = coefficients.shape
    edges = np.linspace(0, n_epochs, n_blocks + 1).round().astype(np.intp)
    shape = (n_blocks, n_freqs, n_channels * (n_channels - 1) // 2)
    lag = any(name in OF_LAG for name in names)
    cross = unit = size = square = sign = None
    amplitude = np.abs(coefficients)
    if lag or "coh" in names or "imcoh" in names:
        cross = _products(coefficients, edges)
    if any(name in OF_PHASE for name in names):
        unit = _products(coefficients / np.where(amplitude > 0.0, amplitude, 1.0), edges)
    if lag:
        size = np.empty(shape)
        square = np.empty(shape) if "wpli2_debiased" in names else None
        sign = np.empty(shape) if "pli" in names else None
        _sum_lags(coefficients, edges, size, square, sign)
    return BlockSums(
        n_channels=n_channels,
        n_epochs=np.diff(edges).astype(np.float64),
        cross=cross,
        unit=unit,
        size=size,
        square=square,
        sign=sign,
        power=np.ascontiguousarray(
            np.add.reduceat(amplitude**2, edges[:-1], axis=1).transpose(1, 0, 2)
        ),
        envelope=(
            envelope_sums(coefficients, edges) if any(one.name == "aec" for one in asked) else None
        ),
    )


def _products(signals: ComplexArray, edges: NDArray[np.intp]) -> ComplexArray:
    """Cross-products of all pairs, summed over each block: (n_blocks, n_freqs, n_pairs)."""
    lower = np.tril_indices(signals.shape[2], -1)
    found = np.empty((len(edges) - 1, signals.shape[0], lower[0].size), dtype=np.complex128)
    for number, (first, last) in enumerate(pairwise(edges)):
        block = signals[:, first:last]
        found[number] = np.matmul(block.transpose(0, 2, 1), block.conj())[:, *lower]
    return found


def _sum_lags(
    coefficients: ComplexArray,
    edges: NDArray[np.intp],
    size: Array,
    square: Array | None,
    sign: Array | None,
) -> None:
    """Fill the sums of what is not linear in the imaginary part, a channel at a time."""
    n_epochs, n_channels = coefficients.shape[1:]
    real = np.ascontiguousarray(coefficients.real.transpose(0, 2, 1))
    imag = np.ascontiguousarray(coefficients.imag.transpose(0, 2, 1))
    inside = np.repeat(np.eye(len(edges) - 1), np.diff(edges), axis=0)
    spare = np.empty((2, coefficients.shape[0], n_channels, n_epochs))
    first = 0
    for row in range(1, n_channels):
        place, others = slice(first, first + row), slice(row)
        part, other = spare[:, :, others]
        np.multiply(imag[:, row, None], real[:, others], out=part)
        part -= np.multiply(real[:, row, None], imag[:, others], out=other)
        # A product with the table of blocks is a sum over each block, at the speed of BLAS.
        if sign is not None:
            sign[:, :, place] = (np.sign(part, out=other) @ inside).transpose(2, 0, 1)
        if square is not None:
            square[:, :, place] = (np.multiply(part, part, out=other) @ inside).transpose(2, 0, 1)
        size[:, :, place] = (np.abs(part, out=part) @ inside).transpose(2, 0, 1)
        first += row


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
    ReportedMeasure("aec", "orthogonalised envelope correlation"),
)
BY_NAME: dict[str, ReportedMeasure] = {one.name: one for one in MEASURES}
PRIMARY = tuple(one for one in MEASURES if one.primary)
