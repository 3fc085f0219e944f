"""Which epochs count how often: exchanged labels, flipped signs, blocks left out or drawn again.

Every resampling here is a table of weights, one row for each set and one column for each epoch.
A statistic made of sums over epochs is then one product of matrices for all sets at once.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelSets:
    """Ways to say which epochs were recorded after.

    Parameters
    ----------
    after : ndarray, shape (n_sets + 1, n_before + n_after)
        1 where an epoch counts as recorded after, 0 where as before; the first row is what was.
    n_before, n_after : int
        Epochs used, the first of each recording: whole blocks only.
    block : int
        Epochs that stay together.
    n_possible : int
        Different ways there are in all.
    exact : bool
        Whether the rows are all of them, each once.
    """

    after: Array
    n_before: int
    n_after: int
    block: int
    n_possible: int
    exact: bool

    @property
    def p_smallest(self) -> float:
        """Smallest p-value that can come out."""
        return 1.0 / float(self.after.shape[0])


def label_sets(
    n_before: int, n_after: int, n_permutations: int, *, block: int = 1, seed: int = 0
) -> LabelSets:
    """Exchange epochs, or blocks of neighbouring epochs, between two recordings.

    Parameters
    ----------
    n_before, n_after : int
        Epochs in time order in each recording.
    n_permutations : int
        Sets wanted beside the true one. Where there are not more ways than that, all are taken.
    block : int
        Epochs that stay together. What is left after the last whole block of a recording is not
        used.
    seed : int
        Of the random numbers.

    Returns
    -------
    LabelSets
        The sets.

    Raises
    ------
    AnalysisError
        If a recording has no whole block, or no permutation is asked for.
    """
    if n_permutations < 1 or block < 1:
        raise AnalysisError(
            f"{n_permutations} permutations of blocks of {block} epochs: both must be 1 or more"
        )
    blocks = n_before // block, n_after // block
    if min(blocks) < 1:
        raise AnalysisError(
            f"{n_before} epochs before and {n_after} after hold no block of {block} each"
        )
    total = sum(blocks)
    n_possible = comb(total, blocks[1])
    truth = np.zeros((1, total))
    truth[0, blocks[0] :] = 1.0
    exact = n_possible - 1 <= n_permutations
    if exact:
        # The last of the combinations in their order is the true one.
        chosen = list(itertools.combinations(range(total), blocks[1]))[:-1]
    else:
        rng = np.random.default_rng(seed)
        chosen = [tuple(rng.permutation(total)[: blocks[1]]) for _ in range(n_permutations)]
    sets = np.zeros((len(chosen), total))
    for row, numbers in zip(sets, chosen, strict=True):
        row[list(numbers)] = 1.0
    after = np.repeat(np.concatenate([truth, sets]), block, axis=1)
    return LabelSets(after, blocks[0] * block, blocks[1] * block, block, n_possible, exact)


def sign_sets(n_observations: int, n_permutations: int, *, seed: int = 0) -> tuple[Array, bool]:
    """Flip the signs of paired differences.

    Parameters
    ----------
    n_observations : int
        Differences.
    n_permutations : int
        Sets wanted beside the true one. Where there are not more ways than that (two-sided: the
        mirror image of a set says the same), all are taken.
    seed : int
        Of the random numbers.

    Returns
    -------
    signs : ndarray, shape (n_sets + 1, n_observations)
        1 or -1; the first row is all 1.
    exact : bool
        Whether the rows are all ways, each once.
    """
    if n_observations < 2 or n_permutations < 1:
        raise AnalysisError(
            f"{n_permutations} sign flips of {n_observations} differences: give two differences "
            "and one flip or more"
        )
    if 2 ** (n_observations - 1) - 1 <= n_permutations:
        ways = itertools.product((1.0, -1.0), repeat=n_observations - 1)
        signs = np.array([(1.0, *rest) for rest in ways])
        return signs, True
    rng = np.random.default_rng(seed)
    drawn = rng.choice((1.0, -1.0), size=(n_permutations, n_observations))
    return np.concatenate([np.ones((1, n_observations)), drawn]), False


def jackknife_weights(n_epochs: int, n_blocks: int) -> Array:
    """Leave one block of neighbouring epochs out at a time: (n_blocks, n_epochs) of 0 and 1.

    References
    ----------
    Künsch 1989, Ann. Stat. 17:1217-1241.
    """
    if not 2 <= n_blocks <= n_epochs:
        raise AnalysisError(f"{n_epochs} epochs cannot be cut into {n_blocks} blocks, 2 or more")
    weights = np.ones((n_blocks, n_epochs))
    for row, part in zip(weights, np.array_split(np.arange(n_epochs), n_blocks), strict=True):
        row[part] = 0.0
    return weights


def stationary_bootstrap_weights(
    n_epochs: int, n_sets: int, mean_block: float, *, seed: int = 0
) -> Array:
    """How often each epoch is drawn by a stationary bootstrap: (n_sets, n_epochs).

    Parameters
    ----------
    n_epochs : int
        Epochs in time order.
    n_sets : int
        Sets wanted.
    mean_block : float
        Mean number of epochs that stay together; lengths are geometric, and the recording is
        closed to a ring.
    seed : int
        Of the random numbers.

    Returns
    -------
    ndarray, shape (n_sets, n_epochs)
        Counts; every row sums to n_epochs.

    References
    ----------
    Politis and Romano 1994, J. Am. Stat. Assoc. 89:1303-1313.
    """
    if n_epochs < 2 or n_sets < 1 or not 1.0 <= mean_block <= n_epochs:
        raise AnalysisError(
            f"{n_sets} bootstrap sets of {n_epochs} epochs in blocks of {mean_block:g}: give two "
            "epochs, one set and a block of 1 to all epochs"
        )
    rng = np.random.default_rng(seed)
    begins = rng.random((n_sets, n_epochs)) < 1.0 / mean_block
    begins[:, 0] = True
    starts = rng.integers(0, n_epochs, (n_sets, n_epochs))
    # Position of the last beginning at or before each draw, and how far on it is.
    last = np.maximum.accumulate(np.where(begins, np.arange(n_epochs), 0), axis=1)
    drawn = (np.take_along_axis(starts, last, axis=1) + np.arange(n_epochs) - last) % n_epochs
    weights = np.zeros((n_sets, n_epochs))
    np.add.at(weights, (np.arange(n_sets)[:, None], drawn), 1.0)
    return weights
