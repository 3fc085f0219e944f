"""Connectivity measures as formulas over sums of cross-spectra, and those sums with NumPy.

Every measure follows from a few sums over epochs of each pair and bin. With `S` the cross-spectrum
of one epoch (mean over tapers), `Im` its imaginary part and `n` epochs:

| sum | over epochs | for |
|---|---|---|
| `csd` | S | coh, imcoh, wpli, wpli2_debiased |
| `size` | abs(Im S) | wpli, wpli2_debiased; whether there is a lag at all |
| `square` | (Im S)^2 | wpli2_debiased |
| `lead` | sign Im S | pli, dpli |
| `phase` | S / abs(S) | plv, ciplv, ppc |

Where a divisor is nothing, a measure has the value it has without coupling: 0, and 0.5 for dpli.
That is so for a flat channel, and for the lag measures of two channels that are the same up to a
factor (a bridge, a copy): their imaginary part is rounding noise, of which a ratio can be anything.

References
----------
coh, imcoh: Nolte et al. 2004, Clin. Neurophysiol. 115:2292-2307. plv: Lachaux et al. 1999, Hum.
Brain Mapp. 8:194-208. ciplv: Bruna et al. 2018, J. Neural Eng. 15:056011. ppc: Vinck et al. 2010,
NeuroImage 51:112-122. pli: Stam et al. 2007, Hum. Brain Mapp. 28:1178-1193. dpli: Stam and van
Straaten 2012, NeuroImage 62:1415-1428. wpli, wpli2_debiased: Vinck et al. 2011, NeuroImage
55:1548-1565.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError

Array = NDArray[np.float64]
Ints = NDArray[np.intp]
Measure = Literal["coh", "imcoh", "plv", "ciplv", "ppc", "pli", "dpli", "wpli", "wpli2_debiased"]

MEASURES: tuple[Measure, ...] = (
    "coh", "imcoh", "plv", "ciplv", "ppc", "pli", "dpli", "wpli", "wpli2_debiased",
)  # fmt: skip
EIGHT: tuple[Measure, ...] = tuple(name for name in MEASURES if name != "ppc")
OF_LAG = ("pli", "dpli", "wpli", "wpli2_debiased")
OF_PHASE = ("plv", "ciplv", "ppc")
NO_LAG = 1e-12  # of the power: below is rounding
IN_PHASE = 1e-12  # 1 - (real part of the phase locking)^2: below is rounding
_TEMPORARY_BYTES = 600_000  # temporaries that stay in a core's own cache


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over epochs for some pairs and bins; None where not asked for.

    Parameters
    ----------
    n : float or ndarray
        Epochs, or the sum of their weights.
    real, imag : ndarray, shape (..., n_pairs, n_bins)
        Cross-spectra.
    scale : ndarray
        Root of the product of both channels' powers.
    size, square, lead : ndarray or None
        Sums of the absolute value, the square and the sign of imaginary parts.
    phase_real, phase_imag : ndarray or None
        Cross-spectra of absolute value 1.
    """

    n: float | Array
    real: Array | None
    imag: Array | None
    scale: Array
    size: Array | None = None
    square: Array | None = None
    lead: Array | None = None
    phase_real: Array | None = None
    phase_imag: Array | None = None

    def estimate(self, measure: Measure) -> Array:
        """Value of a measure for every pair and bin."""
        if measure == "coh":
            return _divide(_size(_there(self.real), _there(self.imag)), self.scale)
        if measure == "imcoh":
            return _divide(_there(self.imag), self.scale)
        if measure in OF_PHASE:
            return self._of_phase(measure)
        if measure not in OF_LAG:
            raise AnalysisError(f"measure {measure!r} is not known: use {', '.join(MEASURES)}")
        size = _there(self.size)
        lag = size > NO_LAG * self.scale
        if measure == "wpli":
            return _divide(np.abs(_there(self.imag)), np.where(lag, size, 0.0))
        if measure == "wpli2_debiased":
            square = _there(self.square)
            below = np.where(lag, size**2 - square, 0.0)
            return _divide(_there(self.imag) ** 2 - square, below)
        lead = np.where(lag, _there(self.lead), 0.0) / self.n
        return np.asarray(np.abs(lead) if measure == "pli" else 0.5 * (lead + 1.0))

    def _of_phase(self, measure: Measure) -> Array:
        real, imag = _there(self.phase_real), _there(self.phase_imag)
        n = self.n
        if measure == "plv":
            return np.asarray(_size(real, imag) / n)
        if measure == "ppc":
            there = self.scale > 0.0
            return np.asarray(np.where(there, (real**2 + imag**2 - n) / (n * (n - 1.0)), 0.0))
        rest = 1.0 - (real / n) ** 2
        return _divide(np.abs(imag) / n, np.sqrt(np.where(rest > IN_PHASE, rest, 0.0)))


def _there(values: Array | None) -> Array:
    if values is None:
        raise AnalysisError("a sum that this measure needs was not asked for")
    return values


def _divide(above: Array, below: Array) -> Array:
    """Quotient, 0 where the divisor is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.asarray(above / below)
    found[~np.broadcast_to(below > 0.0, found.shape)] = 0.0
    return found


def _size(real: Array, imag: Array) -> Array:
    """Absolute value; several times faster than np.hypot, which guards against overflow."""
    return np.asarray(np.sqrt(real * real + imag * imag))


def power(table: Array) -> Array:
    """Power of each channel and bin, summed over tapers and epochs: (n_channels, n_bins)."""
    return np.asarray(np.einsum("cpfke,cpfke->cf", table, table))


def phases(table: Array) -> Array:
    """Coefficients of absolute value 1, 0 where a coefficient is 0."""
    size = _size(table[:, 0], table[:, 1])
    size[size == 0.0] = 1.0
    return np.asarray(table / size[:, None])


def estimate_all(table: Array, seeds: Ints, targets: Ints, measures: tuple[Measure, ...]) -> Array:
    """Measures of pairs of channels at every bin, with NumPy.

    Parameters
    ----------
    table : ndarray, shape (n_channels, 2, n_bins, n_tapers, n_epochs)
        Coefficients in the order of `analysis.transforms`.
    seeds, targets : ndarray of int, shape (n_pairs,)
        Channels of the pairs; imaginary parts are positive where the seed leads in phase.
    measures : tuple of str
        What to compute.

    Returns
    -------
    ndarray, shape (n_measures, n_pairs, n_bins)
        Values.
    """
    sums = sum_epochs(table, seeds, targets, measures)
    return np.stack([sums.estimate(name) for name in measures])


def sum_epochs(table: Array, seeds: Ints, targets: Ints, measures: tuple[Measure, ...]) -> Sums:
    """Sums over epochs that the measures need; parameters are those of `estimate_all`."""
    n_bins, n_tapers, n_epochs = table.shape[2:]
    total = power(table)
    scale = np.sqrt(total[seeds] * total[targets])
    lag = any(name in OF_LAG for name in measures)
    phase = any(name in OF_PHASE for name in measures)
    cross = lag or "coh" in measures or "imcoh" in measures
    real, imag = _cross_spectra(table, seeds, targets) if cross else (None, None)
    phase_sums: tuple[Array | None, Array | None] = (None, None)
    if phase and n_tapers == 1:
        phase_sums = _cross_spectra(phases(table), seeds, targets)
    if not lag and not (phase and n_tapers > 1):
        return Sums(float(n_epochs), real, imag, scale, None, None, None, *phase_sums)
    found = {
        name: np.empty((seeds.size, n_bins))
        for name, wanted in {
            "size": lag,
            "square": "wpli2_debiased" in measures,
            "lead": "pli" in measures or "dpli" in measures,
            "phase_real": phase and n_tapers > 1,
            "phase_imag": phase and n_tapers > 1,
        }.items()
        if wanted
    }
    if n_tapers > 1:
        _sum_tapers(table, seeds, targets, found)
    else:
        _sum_one_taper(table[:, :, :, 0], seeds, targets, found)
    more = dict(zip(("phase_real", "phase_imag"), phase_sums, strict=True)) | found
    return Sums(float(n_epochs), real, imag, scale, **more)


def _cross_spectra(table: Array, seeds: Ints, targets: Ints) -> tuple[Array, Array]:
    """Cross-spectra of pairs, summed over tapers and epochs, by products of matrices."""
    rows, row = np.unique(seeds, return_inverse=True)
    columns, column = np.unique(targets, return_inverse=True)
    real = np.empty((seeds.size, table.shape[2]))
    imag = np.empty_like(real)
    for number in range(table.shape[2]):
        a, b = table[rows, :, number], table[columns, :, number]
        a, b = a.reshape(rows.size, 2, -1), b.reshape(columns.size, 2, -1)
        both = a.reshape(rows.size, -1) @ b.reshape(columns.size, -1).T
        real[:, number] = both[row, column]
        turned = a[:, 1] @ b[:, 0].T - a[:, 0] @ b[:, 1].T
        imag[:, number] = turned[row, column]
    return real, imag


def _sum_one_taper(table: Array, seeds: Ints, targets: Ints, found: dict[str, Array]) -> None:
    """Sums that are not linear, from (n_channels, 2, n_bins, n_epochs), seed by seed."""
    n_bins, n_epochs = table.shape[2:]
    at_once = max(1, _TEMPORARY_BYTES // (8 * n_bins * n_epochs))
    ones = np.ones(n_epochs)
    buffers = np.empty((2, min(at_once, seeds.size), n_bins, n_epochs))
    # Pairs in the order given, those of one seed that follow each other together.
    edges = np.flatnonzero(np.diff(seeds)) + 1
    for first, last in zip([0, *edges], [*edges, seeds.size], strict=True):
        one = table[seeds[first]]
        for begin in range(first, last, at_once):
            part = slice(begin, min(begin + at_once, last))
            other = table[targets[part]]
            imag, spare = buffers[:, : part.stop - begin]
            np.multiply(one[1], other[:, 0], out=imag)
            imag -= np.multiply(one[0], other[:, 1], out=spare)
            if "square" in found:
                found["square"][part] = np.einsum("jfe,jfe->jf", imag, imag)
            if "lead" in found:
                found["lead"][part] = np.matmul(np.sign(imag, out=spare), ones)
            found["size"][part] = np.matmul(np.abs(imag, out=spare), ones)


def _sum_tapers(table: Array, seeds: Ints, targets: Ints, found: dict[str, Array]) -> None:
    """Sums that are not linear, several tapers: cross-spectra of each epoch by small products."""
    n_bins, n_tapers, n_epochs = table.shape[2:]
    rows = np.unique(seeds)
    at_once = max(1, _TEMPORARY_BYTES // (16 * n_epochs * min(table.shape[0], targets.size)))
    for first in range(0, rows.size, at_once):
        block = rows[first : first + at_once]
        chosen = np.flatnonzero((seeds >= block[0]) & (seeds <= block[-1]))
        row = np.searchsorted(block, seeds[chosen])
        columns, column = np.unique(targets[chosen], return_inverse=True)
        for f in range(n_bins):
            a = table[block, :, f].transpose(3, 0, 1, 2)  # epochs, channels, parts, tapers
            b = table[columns, :, f].transpose(3, 1, 2, 0).reshape(n_epochs, 2 * n_tapers, -1)
            turned = np.stack([a[:, :, 1], -a[:, :, 0]], axis=2)
            imag = turned.reshape(n_epochs, block.size, -1) @ b
            if "phase_real" in found:
                real = a.reshape(n_epochs, block.size, -1) @ b
                size = _size(real, imag)
                size[size == 0.0] = 1.0
                real /= size
                found["phase_real"][chosen, f] = real.sum(axis=0)[row, column]
                np.divide(imag, size, out=real)
                found["phase_imag"][chosen, f] = real.sum(axis=0)[row, column]
            if "square" in found:
                found["square"][chosen, f] = np.einsum("eij,eij->ij", imag, imag)[row, column]
            if "lead" in found:
                found["lead"][chosen, f] = np.sign(imag).sum(axis=0)[row, column]
            if "size" in found:
                np.abs(imag, out=imag)
                found["size"][chosen, f] = imag.sum(axis=0)[row, column]
