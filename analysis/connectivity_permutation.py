"""Connectivity under many resamplings at once, and the permutation test before against after.

Every measure follows from sums over epochs (`analysis.connectivity_measures`), and sums are linear
in how often an epoch counts. All permutations, jackknife or bootstrap sets of a pair are therefore
one product of the table of weights with that pair's epochs, and equal a loop that computes each
anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.connectivity_measures import MEASURES, OF_LAG, OF_PHASE, Measure, Sums, phases
from analysis.connectivity_result import fill, unsigned
from analysis.errors import AnalysisError
from analysis.resampling import LabelSets, label_sets
from analysis.transforms import from_complex

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]
Ints = NDArray[np.intp]

TIE = 1e-12  # permutations that mirror each other differ by rounding
_TEMPORARY_BYTES = 600_000


@dataclass(frozen=True, slots=True)
class PermutedConnectivity:
    """Change of one measure, and how often chance does as much.

    Parameters
    ----------
    measure : str
        The measure, mean over the bins given.
    seeds, targets : ndarray of int, shape (n_pairs,)
        Channels of the pairs.
    before, after : ndarray, shape (n_pairs,)
        Values; the change is their difference.
    p, p_corrected : ndarray, shape (n_pairs,)
        Two-sided, of each pair alone and corrected over all pairs by the largest absolute change.
    global_before, global_after : float
        Mean over pairs (of absolute values for imcoh, of the distance from 0.5 for dpli).
    p_global : float
        Two-sided, of the change of that mean.
    null_max : ndarray, shape (n_permutations,)
        Largest absolute change over pairs of each permutation.
    n_channels, n_before, n_after : int
        Channels, and epochs used of each recording.
    block : int
        Epochs that were exchanged together.
    n_permutations : int
        Beside the true one.
    exact : bool
        Whether these were all there are.
    """

    measure: Measure
    seeds: Ints
    targets: Ints
    before: Array
    after: Array
    p: Array
    p_corrected: Array
    global_before: float
    global_after: float
    p_global: float
    null_max: Array
    n_channels: int
    n_before: int
    n_after: int
    block: int
    n_permutations: int
    exact: bool

    @property
    def p_smallest(self) -> float:
        """Smallest p-value that could have come out."""
        return 1.0 / (self.n_permutations + 1)

    def change_matrix(self) -> Array:
        """After minus before of all pairs: (n_channels, n_channels), diagonal 0."""
        one, two = (
            fill(self.measure, side, self.seeds, self.targets, self.n_channels)
            for side in (self.after, self.before)
        )
        return one - two


def permute_connectivity(
    before: ComplexArray,
    after: ComplexArray,
    measure: Measure,
    n_permutations: int = 1000,
    *,
    block: int = 1,
    seed: int = 0,
    labels: LabelSets | None = None,
    progress: Callable[[float], None] | None = None,
) -> PermutedConnectivity:
    """Permutation test of connectivity before against after, all pairs at once.

    Parameters
    ----------
    before, after : ndarray of complex, shape (n_bins, n_epochs, n_channels[, n_tapers])
        Coefficients of one band, from `analysis.connectivity.band_fourier`, epochs in time order.
    measure : str
        One of `analysis.connectivity.MEASURES`.
    n_permutations : int
        Random exchanges of epochs; all there are where they are not more.
    block : int
        Neighbouring epochs exchanged together; 1 is right only where epochs are independent.
    seed : int
        Of the random numbers.
    labels : LabelSets, optional
        Exchanges to use instead (`n_permutations`, `block` and `seed` then say nothing).
    progress : callable, optional
        Called with the share done.

    Returns
    -------
    PermutedConnectivity
        Values, changes and p-values.

    Raises
    ------
    AnalysisError
        If the recordings differ in bins, channels or tapers, have fewer than two epochs or whole
        blocks, or the measure does not exist.

    Notes
    -----
    Exchanging one patient's epochs is not a valid test when the rhythm drifts: what was recorded
    first then differs from what was recorded later without any stimulation. Blocks help against
    fluctuation faster than a block. Where two recordings differ in the number of epochs, biased
    measures (coh, plv, ciplv, pli, wpli) differ by that alone: give equally many.

    References
    ----------
    Largest statistic: Nichols and Holmes 2002, Hum. Brain Mapp. 15:1-25. Smallest p-value of 1 in
    (1 + permutations): Phipson and Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9:39.
    """
    tables = from_complex(before), from_complex(after)
    if tables[0].shape[:-1] != tables[1].shape[:-1]:
        raise AnalysisError(
            "the two recordings differ in channels, bins or tapers: compute both alike"
        )
    n_epochs = tables[0].shape[-1], tables[1].shape[-1]
    if labels is None:
        labels = label_sets(*n_epochs, n_permutations, block=block, seed=seed)
    used = labels.n_before, labels.n_after
    if min(used) < 2 or any(a > b for a, b in zip(used, n_epochs, strict=True)):
        raise AnalysisError(
            f"{used[0]} and {used[1]} epochs to exchange, of {n_epochs[0]} and {n_epochs[1]}: "
            "connectivity needs two or more on each side"
        )
    table = np.concatenate([t[..., :n] for t, n in zip(tables, used, strict=True)], axis=-1)
    seeds, targets = np.tril_indices(table.shape[0], -1)
    n_pairs = seeds.size
    if n_pairs == 0:
        raise AnalysisError("connectivity needs two channels or more")
    truth = np.empty((2, n_pairs))
    p = np.empty(n_pairs)
    largest = np.zeros(labels.after.shape[0])
    overall = np.zeros((2, labels.after.shape[0]))
    both = np.concatenate([labels.after, 1.0 - labels.after])
    for part, values in _by_block(table, both, measure, seeds, targets):
        sides = values.reshape(2, -1, values.shape[1])
        change = np.abs(sides[0] - sides[1])
        truth[:, part] = sides[::-1, 0]
        p[part] = np.mean(change >= change[0] - TIE, axis=0)
        np.maximum(largest, change.max(axis=1), out=largest)
        overall += unsigned(measure, sides).sum(axis=2)
        if progress is not None:
            progress(part.stop / n_pairs)
    overall /= n_pairs
    moved = np.abs(overall[0] - overall[1])
    seen = np.abs(truth[1] - truth[0])
    return PermutedConnectivity(
        measure=measure,
        seeds=seeds,
        targets=targets,
        before=truth[0],
        after=truth[1],
        p=p,
        # Of all sets, the true one among them, how many have a largest change of at least this.
        p_corrected=1.0 - np.searchsorted(np.sort(largest), seen - TIE, side="left") / largest.size,
        global_before=float(overall[1, 0]),
        global_after=float(overall[0, 0]),
        p_global=float(np.mean(moved >= moved[0] - TIE)),
        null_max=largest[1:],
        n_channels=table.shape[0],
        n_before=used[0],
        n_after=used[1],
        block=labels.block,
        n_permutations=labels.after.shape[0] - 1,
        exact=labels.exact,
    )


def resampled_connectivity(
    coefficients: ComplexArray, weights: Array, measure: Measure
) -> tuple[Array, Ints, Ints]:
    """One measure of all pairs for many weightings of the epochs, mean over bins.

    Parameters
    ----------
    coefficients : ndarray of complex, shape (n_bins, n_epochs, n_channels[, n_tapers])
        Coefficients of one band.
    weights : ndarray, shape (n_sets, n_epochs)
        How often each epoch counts in each set, from `analysis.resampling`.
    measure : str
        The measure.

    Returns
    -------
    values : ndarray, shape (n_sets, n_pairs)
        What computing the measure from each set's epochs gives.
    seeds, targets : ndarray of int, shape (n_pairs,)
        The pairs.

    Notes
    -----
    Epochs drawn twice are two epochs to every measure: wpli2_debiased and ppc of a bootstrap set
    take pairs of such copies for coupling, and lie above the value of the epochs themselves.
    """
    table = from_complex(coefficients)
    if weights.ndim != 2 or weights.shape[1] != table.shape[-1]:
        raise AnalysisError(
            f"weights of shape {weights.shape} for {table.shape[-1]} epochs: give one column each"
        )
    seeds, targets = np.tril_indices(table.shape[0], -1)
    values = np.empty((weights.shape[0], seeds.size))
    for part, block in _by_block(table, weights, measure, seeds, targets):
        values[:, part] = block
    return values, seeds, targets


def _by_block(
    table: Array, weights: Array, measure: Measure, seeds: Ints, targets: Ints
) -> Iterator[tuple[slice, Array]]:
    """Mean over bins of a measure for some pairs at a time: (n_sets, n_block)."""
    if measure not in MEASURES:
        raise AnalysisError(f"measure {measure!r} is not known: use {', '.join(MEASURES)}")
    n_bins, n_tapers = table.shape[2:4]
    root_power = [
        np.sqrt(weights @ np.einsum("cpke,cpke->ec", table[:, :, f], table[:, :, f]))
        for f in range(n_bins)
    ]
    count = weights.sum(axis=1, keepdims=True)
    if measure in OF_PHASE and n_tapers == 1:
        table = phases(table)
    at_once = max(1, _TEMPORARY_BYTES // (8 * weights.shape[0]))
    for first in range(0, seeds.size, at_once):
        part = slice(first, min(first + at_once, seeds.size))
        i, j = seeds[part], targets[part]
        mean = np.zeros((weights.shape[0], i.size))
        for f in range(n_bins):
            cross = _cross(table[i, :, f], table[j, :, f], measure)
            scale = root_power[f][:, i] * root_power[f][:, j]
            summed = {name: weights @ terms.T for name, terms in cross.items()}
            given = {name: summed.get(name) for name in ("real", "imag")}
            more = {name: sums for name, sums in summed.items() if name not in given}
            mean += Sums(count, given["real"], given["imag"], scale, **more).estimate(measure)
        yield part, mean / n_bins


def _cross(one: Array, other: Array, measure: Measure) -> dict[str, Array]:
    """Terms of the sums that a measure needs, (n_pairs, n_epochs) each."""
    imag = np.sum(one[:, 1] * other[:, 0] - one[:, 0] * other[:, 1], axis=1)
    if measure == "imcoh":
        return {"imag": imag}
    if measure in OF_LAG:
        terms = {"size": np.abs(imag)}
        if measure in ("wpli", "wpli2_debiased"):
            terms["imag"] = imag
            if measure == "wpli2_debiased":
                terms["square"] = imag * imag
        else:
            terms["lead"] = np.sign(imag)
        return terms
    real = np.sum(one[:, 0] * other[:, 0] + one[:, 1] * other[:, 1], axis=1)
    if measure == "coh":
        return {"real": real, "imag": imag}
    if one.shape[2] > 1:
        size = np.sqrt(real * real + imag * imag)
        size[size == 0.0] = 1.0
        real, imag = real / size, imag / size
    return {"phase_real": real, "phase_imag": imag}
