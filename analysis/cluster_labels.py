"""Which points are neighbours, and the clusters among those beyond a threshold, with SciPy.

Points are channels and frequencies, channel after channel: point = channel * n_freqs + frequency.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError

Array = NDArray[np.float64]
Ints = NDArray[np.intp]

ROWS_AT_ONCE = 20  # permutations whose clusters are found in one graph


def channel_adjacency(info: Any) -> tuple[Any, list[str]]:
    """Neighbouring EEG channels by their places: sparse matrix and names (mne's triangulation).

    Parameters
    ----------
    info : mne.Info
        With places of the channels.

    Returns
    -------
    adjacency : sparse matrix, shape (n_channels, n_channels)
        Nonzero for neighbours.
    names : list of str
        Channels in its order.

    Raises
    ------
    AnalysisError
        If channels have no places.
    """
    from mne.channels import find_ch_adjacency
    from mne.utils import use_log_level

    try:
        with use_log_level("ERROR"):
            adjacency, names = find_ch_adjacency(info, "eeg")
    except (RuntimeError, ValueError) as exc:
        raise AnalysisError(f"neighbours of the channels cannot be found: {exc}") from exc
    return adjacency, list(names)


def neighbours(adjacency: Any, n_channels: int) -> tuple[Ints, Ints]:
    """Neighbours of each channel one after the other, and where each channel's begin."""
    from scipy.sparse import csr_array

    matrix = csr_array(adjacency)
    if matrix.shape != (n_channels, n_channels):
        raise AnalysisError(
            f"adjacency of {matrix.shape[0]} x {matrix.shape[1]} for {n_channels} channels"
        )
    both = csr_array(matrix + matrix.T)
    both.setdiag(0)
    both.eliminate_zeros()
    both.sort_indices()
    return both.indices.astype(np.intp), both.indptr.astype(np.intp)


def of_r(r: Array, dof: float, *, squared: bool) -> Array:
    """Statistic t, or F = t^2, of a correlation."""
    rest = np.maximum(1.0 - r * r, 1e-300)
    return np.asarray(r * r * dof / rest if squared else r * np.sqrt(dof / rest))


def label(
    r: Array, critical: float, either: bool, indices: Ints, indptr: Ints, n_freqs: int
) -> Ints:
    """Number each point's cluster, -1 for none, through all rows (n_sets, n_points) at once."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    flat = r.ravel()
    active = np.flatnonzero(np.abs(flat) > critical)
    found = np.full(flat.size, -1, dtype=np.intp)
    if active.size == 0:
        return found.reshape(r.shape)
    sign = np.zeros(flat.size, dtype=np.int8)
    sign[active] = 1 if either else np.sign(flat[active])
    found[active] = np.arange(active.size)
    line, freq = np.divmod(active, n_freqs)  # channels of one row after those of another
    channel = line % (indptr.size - 1)
    counts = np.diff(indptr)[channel]
    shift = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    beside = indices[np.repeat(indptr[channel], counts) + shift]
    later = active[freq > 0]
    left = np.concatenate([np.repeat(active, counts), later])
    right = np.concatenate(
        [left[: shift.size] + (beside - np.repeat(channel, counts)) * n_freqs, later - 1]
    )
    joined = sign[left] == sign[right]
    rows, columns = found[left[joined]], found[right[joined]]
    graph = coo_array((np.ones(rows.size), (rows, columns)), shape=(active.size, active.size))
    found[active] = connected_components(graph, directed=False)[1]
    return found.reshape(r.shape)


def largest_masses(
    r: Array,
    critical: float,
    dof: float,
    either: bool,
    indices: Ints,
    indptr: Ints,
    n_freqs: int,
) -> tuple[Array, Array]:
    """Largest absolute cluster mass and absolute r of each row of (n_sets, n_points)."""
    mass = np.zeros(r.shape[0])
    for first in range(0, r.shape[0], ROWS_AT_ONCE):
        part = r[first : first + ROWS_AT_ONCE]
        labels = label(part, critical, either, indices, indptr, n_freqs)
        row, point = np.nonzero(labels >= 0)
        number = labels[row, point]
        sums = np.bincount(number, weights=of_r(part[row, point], dof, squared=either))
        owner = np.zeros(sums.size, dtype=np.intp)
        owner[number] = row
        np.maximum.at(mass, first + owner, np.abs(sums))
    return mass, np.abs(r).max(axis=1)
