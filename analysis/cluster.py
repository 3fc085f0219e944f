"""Cluster-based permutation tests over channels and frequencies.

One statistic at every channel and frequency; neighbours beyond a threshold are a cluster, its mass
the sum of their statistics; the largest mass under exchanged labels says how large chance makes
one. A cluster's p-value says that something differs, not where exactly it begins and ends.

Exchanging labels moves group means and leaves the total spread alone, so the statistics of all
permutations are one product of matrices, up to a monotone function of that product alone.

References
----------
Maris and Oostenveld 2007, J. Neurosci. Methods 164:177-190. Largest statistic: Nichols and Holmes
2002, Hum. Brain Mapp. 15:1-25. What may be concluded: Sassenhagen and Draschkow 2019,
Psychophysiology 56:e13335.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.cluster_labels import (
    channel_adjacency,
    label,
    largest_masses,
    neighbours,
    of_r,
)
from analysis.compiled import Engine, kernels
from analysis.errors import AnalysisError
from analysis.resampling import LabelSets, label_sets, sign_sets

Array = NDArray[np.float64]
Ints = NDArray[np.intp]
Statistic = Literal["t", "F"]

__all__ = ["Cluster", "ClusterTest", "channel_adjacency", "cluster_test", "cluster_test_paired"]

CLUSTER_ALPHA = 0.05
COMPILED_PAYS = 5e7  # statistics of all permutations; below, loading numba takes longer
TIE = 1e-12
_BLOCK_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class Cluster:
    """Neighbouring channels and frequencies that differ in one direction.

    Parameters
    ----------
    mass : float
        Sum of the statistic; its sign is the direction (statistic "F": always positive).
    p : float
        Corrected for all clusters.
    channels, freqs : ndarray of int, shape (n_points,)
        Where it is.
    """

    mass: float
    p: float
    channels: Ints
    freqs: Ints


@dataclass(frozen=True, slots=True)
class ClusterTest:
    """Statistics, clusters and points beyond chance.

    Parameters
    ----------
    statistic : ndarray, shape (n_channels, n_freqs)
        t, positive where after is larger, or F.
    name : {"t", "F"}
        Which.
    threshold : float
        Beyond it a point may be part of a cluster.
    clusters : tuple of Cluster
        Largest absolute mass first.
    p_points : ndarray, shape (n_channels, n_freqs)
        p-value of every point alone, corrected over all by the largest statistic.
    null_mass, null_max : ndarray, shape (n_permutations,)
        Largest absolute cluster mass and statistic of each permutation.
    n_permutations : int
        Beside the true one.
    exact : bool
        Whether these were all there are.
    degrees_of_freedom : int
        Of the statistic.
    engine : {"numpy", "numba"}
        What found the clusters.
    """

    statistic: Array
    name: Statistic
    threshold: float
    clusters: tuple[Cluster, ...]
    p_points: Array
    null_mass: Array
    null_max: Array
    n_permutations: int
    exact: bool
    degrees_of_freedom: int
    engine: Engine

    @property
    def p_smallest(self) -> float:
        """Smallest p-value that could have come out."""
        return 1.0 / (self.n_permutations + 1)


def cluster_test(
    before: Array,
    after: Array,
    adjacency: Any,
    *,
    statistic: Statistic = "t",
    threshold: float | None = None,
    n_permutations: int = 1000,
    block: int = 1,
    seed: int = 0,
    labels: LabelSets | None = None,
    compiled: bool | None = None,
    progress: Callable[[float], None] | None = None,
) -> ClusterTest:
    """Two independent samples, two-sided, for instance the epochs of two recordings.

    Parameters
    ----------
    before, after : ndarray, shape (n_observations, n_channels, n_freqs)
        Observations, for instance the logarithm of each epoch's power.
    adjacency : sparse or dense matrix, shape (n_channels, n_channels)
        Which channels are neighbours (`channel_adjacency`); frequencies next to each other are.
    statistic : {"t", "F"}
        Clusters of one direction, or of either direction together.
    threshold : float, optional
        Of the statistic; the two-sided 5 % point if not given.
    n_permutations : int
        Random exchanges; all there are where they are not more.
    block : int
        Neighbouring observations exchanged together; 1 is right only where they are independent.
    seed : int
        Of the random numbers.
    labels : LabelSets, optional
        Exchanges to use instead.
    compiled : bool, optional
        True: clusters by compiled code, or an error where numba is missing. False: with SciPy.
        None: compiled where numba is installed and there is enough to do.
    progress : callable, optional
        Called with the share done.

    Returns
    -------
    ClusterTest
        Statistics and clusters.

    Raises
    ------
    AnalysisError
        If the shapes do not fit, there are too few observations, a value is not a finite number,
        or the threshold is not positive.

    Notes
    -----
    With statistic "F" masses and p-values are those of `mne.stats.spatio_temporal_cluster_test`
    for the same permutations. Its p-values count the true labels as one of the permutations, as
    here. A point that never varies has the statistic 0.
    """
    data = [_observations(one) for one in (before, after)]
    if data[0].shape[1:] != data[1].shape[1:]:
        raise AnalysisError("before and after differ in channels or frequencies")
    n_each = data[0].shape[0], data[1].shape[0]
    if labels is None:
        labels = label_sets(*n_each, n_permutations, block=block, seed=seed)
    if labels.n_before > n_each[0] or labels.n_after > n_each[1]:
        raise AnalysisError(
            f"labels for {labels.n_before} and {labels.n_after} observations, given are "
            f"{n_each[0]} and {n_each[1]}"
        )
    n_before, n_after = labels.n_before, labels.n_after
    total = n_before + n_after
    if total < 3:
        raise AnalysisError(f"{total} observations in all: give three or more")
    whole = np.concatenate([data[0][:n_before], data[1][:n_after]])
    varies = _varies(whole)
    whole = whole - whole.mean(axis=0)
    # Of means whose sum is fixed, one says everything.
    weights = labels.after * np.sqrt(1.0 / n_before + 1.0 / n_after)
    return _test(
        whole,
        varies,
        weights,
        total - 2,
        adjacency,
        statistic,
        threshold,
        labels.exact,
        compiled,
        progress,
    )


def cluster_test_paired(
    differences: Array,
    adjacency: Any,
    *,
    threshold: float | None = None,
    n_permutations: int = 1000,
    seed: int = 0,
    signs: Array | None = None,
    compiled: bool | None = None,
    progress: Callable[[float], None] | None = None,
) -> ClusterTest:
    """One sample of paired differences against 0, two-sided, for instance of a group of people.

    Parameters
    ----------
    differences : ndarray, shape (n_observations, n_channels, n_freqs)
        After minus before of each person.
    signs : ndarray, shape (n_permutations + 1, n_observations), optional
        Flips of sign to use instead of random ones; the first row is all 1.
    adjacency, threshold, n_permutations, seed, compiled, progress
        See `cluster_test`.

    Returns
    -------
    ClusterTest
        Statistics (t) and clusters.

    Raises
    ------
    AnalysisError
        As in `cluster_test`.

    Notes
    -----
    Masses and p-values are those of `mne.stats.spatio_temporal_cluster_1samp_test` with `tail=0`
    for the same flips.
    """
    data = _observations(differences)
    n = data.shape[0]
    if n < 2:
        raise AnalysisError(f"{n} difference: give two or more")
    exact = False
    if signs is None:
        signs, exact = sign_sets(n, n_permutations, seed=seed)
    if signs.ndim != 2 or signs.shape[1] != n or not np.all(signs[0] == 1.0):
        raise AnalysisError(f"signs are rows of {n} times 1 or -1, the first of them all 1")
    return _test(
        data,
        _varies(data),
        signs / np.sqrt(n),
        n - 1,
        adjacency,
        "t",
        threshold,
        exact,
        compiled,
        progress,
    )


def _observations(values: Array) -> Array:
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 3:
        raise AnalysisError(
            f"observations have {data.ndim} dimensions: give observations, channels, frequencies"
        )
    if not np.isfinite(data).all():
        raise AnalysisError("an observation has values that are not finite numbers: leave it out")
    return data


def _critical(statistic: Statistic, threshold: float | None, dof: int) -> float:
    """Threshold of the statistic."""
    from scipy.special import stdtrit

    if statistic not in ("t", "F"):
        raise AnalysisError(f"statistic {statistic!r} is not known: use 't' or 'F'")
    if threshold is None:
        value = -float(stdtrit(dof, CLUSTER_ALPHA / 2.0))
        return value * value if statistic == "F" else value
    if not 0.0 < threshold < np.inf:
        raise AnalysisError(f"threshold {threshold:g}: give a positive number")
    return float(threshold)


def _varies(values: Array) -> NDArray[np.bool_]:
    """Where observations differ by more than rounding."""
    spread = values.max(axis=0) - values.min(axis=0)
    return np.asarray(spread > 1e-13 * np.abs(values).max(axis=0))


def _test(
    data: Array,
    varies: NDArray[np.bool_],
    weights: Array,
    dof: int,
    adjacency: Any,
    statistic: Statistic,
    threshold: float | None,
    exact: bool,
    compiled: bool | None,
    progress: Callable[[float], None] | None,
) -> ClusterTest:
    """Both tests: weights times observations is a correlation r, the statistic a function of r."""
    _, n_channels, n_freqs = data.shape
    indices, indptr = neighbours(adjacency, n_channels)
    critical = _critical(statistic, threshold, dof)
    # t = r sqrt(dof / (1 - r^2)), so t beyond a threshold is r beyond another.
    t_critical = np.sqrt(critical) if statistic == "F" else critical
    r_critical = float(t_critical / np.sqrt(dof + t_critical**2))
    flat = data.reshape(data.shape[0], -1)
    moves = varies.ravel()
    spread = np.sqrt(np.einsum("nv,nv->v", flat, flat))
    unit = np.where(moves, flat / np.where(moves, spread, 1.0), 0.0)
    module = kernels("cluster_numba", compiled, float(weights.shape[0]) * flat.shape[1],
                     COMPILED_PAYS)  # fmt: skip
    masses = largest_masses if module is None else module.largest_masses
    n_sets = weights.shape[0]
    null_mass, largest_r = np.empty(n_sets), np.empty(n_sets)
    at_once = max(1, _BLOCK_BYTES // (8 * flat.shape[1]))
    for first in range(0, n_sets, at_once):
        part = slice(first, min(first + at_once, n_sets))
        r = weights[part] @ unit
        if first == 0:
            true_r = r[0].copy()
        null_mass[part], largest_r[part] = masses(
            r, r_critical, float(dof), statistic == "F", indices, indptr, n_freqs
        )
        if progress is not None:
            progress(part.stop / n_sets)
    values = of_r(true_r, float(dof), squared=statistic == "F")
    labels = label(true_r[None], r_critical, statistic == "F", indices, indptr, n_freqs)[0]
    clusters = []
    for number in range(labels.max(initial=-1) + 1):
        points = np.flatnonzero(labels == number)
        mass = float(values[points].sum())
        p = float(np.mean(null_mass >= abs(mass) * (1.0 - TIE)))
        clusters.append(Cluster(mass, p, points // n_freqs, points % n_freqs))
    ranked = np.sort(largest_r)
    beyond = n_sets - np.searchsorted(ranked, np.abs(true_r) * (1.0 - TIE), side="left")
    engine: Engine = "numpy" if module is None else "numba"
    return ClusterTest(
        statistic=values.reshape(n_channels, n_freqs),
        name=statistic,
        threshold=critical,
        clusters=tuple(sorted(clusters, key=lambda one: -abs(one.mass))),
        p_points=(beyond / n_sets).reshape(n_channels, n_freqs),
        null_mass=null_mass[1:],
        null_max=of_r(largest_r[1:], float(dof), squared=statistic == "F"),
        n_permutations=n_sets - 1,
        exact=exact,
        degrees_of_freedom=dof,
        engine=engine,
    )
