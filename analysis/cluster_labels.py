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
    """Number of each point's cluster, -1 for none: points are channel after channel."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    sign = np.where(np.abs(r) > critical, 1 if either else np.sign(r), 0).astype(np.intp)
    active = np.flatnonzero(sign)
    found = np.full(r.size, -1, dtype=np.intp)
    if active.size == 0:
        return found
    position = np.full(r.size, -1, dtype=np.intp)
    position[active] = np.arange(active.size)
    channel, freq = np.divmod(active, n_freqs)
    counts = np.diff(indptr)[channel]
    shift = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    beside = indices[np.repeat(indptr[channel], counts) + shift] * n_freqs
    left = np.concatenate([np.repeat(active, counts), active[freq > 0]])
    right = np.concatenate([beside + np.repeat(freq, counts), active[freq > 0] - 1])
    joined = (sign[left] == sign[right]) & (sign[right] != 0)
    rows, columns = position[left[joined]], position[right[joined]]
    graph = coo_array((np.ones(rows.size), (rows, columns)), shape=(active.size, active.size))
    found[active] = connected_components(graph, directed=False)[1]
    return found


def largest_masses(
    r: Array,
    critical: float,
    dof: float,
    either: bool,
    indices: Ints,
    indptr: Ints,
    n_freqs: int,
) -> tuple[Array, Array]:
    """Largest absolute cluster mass and absolute r of each row."""
    mass = np.zeros(r.shape[0])
    for number, row in enumerate(r):
        labels = label(row, critical, either, indices, indptr, n_freqs)
        active = np.flatnonzero(labels >= 0)
        if active.size:
            values = of_r(row[active], dof, squared=either)
            mass[number] = np.abs(np.bincount(labels[active], weights=values)).max()
    return mass, np.abs(r).max(axis=1)
