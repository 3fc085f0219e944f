"""Sums over epochs from which every measure of connectivity follows, kept block by block.

A measure of all epochs, of all but a block (jackknife) and of relabelled blocks (permutation) is
then one weighted sum of block sums and a few quotients; the epochs themselves are read once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure of connectivity.

    Parameters
    ----------
    name : str
        Key, that of mne-connectivity.
    title : str
        Words for people.
    primary : bool
        Whether the verdict rests on it. Only measures that ignore what reaches two electrodes at
        the same instant do.
    signed : bool
        Whether its sign is a direction of lag; means over pairs take the absolute value.
    estimate : callable
        From the weighted sums to values per frequency and pair.
    """

    name: str
    title: str
    primary: bool
    signed: bool
    estimate: Callable[[Totals], Array]


class Totals:
    """Weighted sums of blocks, (n_weightings, n_freqs, n_pairs), each made when first asked for.

    Parameters
    ----------
    sums : BlockSums
        The blocks.
    weights : ndarray, shape (n_weightings, n_blocks)
        1 for a block that counts.
    """

    def __init__(self, sums: BlockSums, weights: Array) -> None:
        self._sums, self._weights = sums, weights

    def _add(self, values: NDArray[Any]) -> NDArray[Any]:
        flat = self._weights @ values.reshape(values.shape[0], -1)
        return np.asarray(flat).reshape(len(self._weights), *values.shape[1:])

    @property
    def n_epochs(self) -> Array:
        """Epochs that count, (n_weightings, 1, 1)."""
        return np.asarray(self._weights @ self._sums.n_epochs)[:, None, None]

    @cached_property
    def cross(self) -> ComplexArray:
        """Cross-spectra."""
        return self._add(self._sums.cross)

    @cached_property
    def unit(self) -> ComplexArray:
        """Cross-spectra of unit size."""
        return self._add(self._sums.unit)

    @cached_property
    def size(self) -> Array:
        """Absolute value of the imaginary part."""
        return self._add(self._sums.size)

    @cached_property
    def square(self) -> Array:
        """Square of the imaginary part."""
        return self._add(self._sums.square)

    @cached_property
    def sign(self) -> Array:
        """Sign of the imaginary part."""
        return self._add(self._sums.sign)

    @cached_property
    def power(self) -> Array:
        """Product of the powers of the two channels."""
        rows, columns = np.tril_indices(self._sums.n_channels, -1)
        power = self._add(self._sums.power)
        return np.asarray(power[..., rows] * power[..., columns])


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

    def values(self, weights: Array, measures: tuple[Measure, ...]) -> dict[str, Array]:
        """Every measure for every weighting, mean over the bins: (n_weightings, n_pairs)."""
        totals = Totals(self, np.atleast_2d(weights))
        return {one.name: one.estimate(totals).mean(axis=1) for one in measures}

    def spectra(self, weights: Array, measure: Measure) -> Array:
        """Mean over pairs of one measure at every bin: (n_weightings, n_freqs)."""
        found = measure.estimate(Totals(self, np.atleast_2d(weights)))
        return np.asarray((np.abs(found) if measure.signed else found).mean(axis=2))


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


def _divide(above: Array, below: Array) -> Array:
    """Quotient, 0 where the divisor is not positive."""
    safe = np.where(below > 0.0, below, 1.0)
    return np.asarray(np.where(below > 0.0, above / safe, 0.0))


def _ciplv(t: Totals) -> Array:
    """Imaginary part of the phase locking value over what its real part leaves."""
    mean = t.unit / t.n_epochs
    return _divide(np.abs(mean.imag), np.sqrt(np.clip(1.0 - mean.real**2, 0.0, None)))


def _ppc(t: Totals) -> Array:
    """Mean cosine of the phase difference between epochs, which has no bias from their number."""
    return np.asarray((np.abs(t.unit) ** 2 - t.n_epochs) / (t.n_epochs * (t.n_epochs - 1.0)))


MEASURES: tuple[Measure, ...] = (
    Measure(
        "imcoh",
        "imaginary coherence (size)",
        True,
        True,
        lambda t: _divide(t.cross.imag, np.sqrt(t.power)),
    ),
    Measure(
        "wpli2_debiased",
        "debiased squared weighted phase lag index",
        True,
        False,
        lambda t: _divide(t.cross.imag**2 - t.square, t.size**2 - t.square),
    ),
    Measure("coh", "coherence", False, False, lambda t: _divide(np.abs(t.cross), np.sqrt(t.power))),
    Measure("plv", "phase locking value", False, False, lambda t: np.abs(t.unit) / t.n_epochs),
    Measure("ciplv", "corrected imaginary phase locking value", False, False, _ciplv),
    Measure("ppc", "pairwise phase consistency", False, False, _ppc),
    Measure("pli", "phase lag index", False, False, lambda t: np.abs(t.sign) / t.n_epochs),
    Measure(
        "wpli",
        "weighted phase lag index",
        False,
        False,
        lambda t: _divide(np.abs(t.cross.imag), t.size),
    ),
)
BY_NAME = {one.name: one for one in MEASURES}
PRIMARY = tuple(one for one in MEASURES if one.primary)
