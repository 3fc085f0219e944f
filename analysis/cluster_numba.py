"""Largest cluster of every permutation, compiled: union of neighbours in one pass over the points.

Importing this module imports numba; `analysis.cluster` does so only where it pays.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from analysis.compiled import compiled

Array = NDArray[np.float64]
Ints = NDArray[np.intp]


def largest_masses(
    r: Array,
    critical: float,
    dof: float,
    either: bool,
    indices: Ints,
    indptr: Ints,
    n_freqs: int,
) -> tuple[Array, Array]:
    """Largest absolute cluster mass and absolute r of each row, see `analysis.cluster_labels`."""
    mass, largest = np.zeros(r.shape[0]), np.zeros(r.shape[0])
    _rows(r, critical, dof, either, indices, indptr, n_freqs, mass, largest)
    return mass, largest


@compiled
def _root(parent: Ints, point: int) -> int:
    """First point of a cluster; the way there is halved each time."""
    while parent[point] != point:
        parent[point] = parent[parent[point]]
        point = parent[point]
    return point


@compiled
def _join(parent: Ints, one: int, two: int) -> None:
    a, b = _root(parent, one), _root(parent, two)
    if a < b:
        parent[b] = a
    else:
        parent[a] = b


@compiled
def _rows(
    r: Array,
    critical: float,
    dof: float,
    either: bool,
    indices: Ints,
    indptr: Ints,
    n_freqs: int,
    mass: Array,
    largest: Array,
) -> None:
    """Fill `mass` and `largest`; points are channel after channel."""
    n_points = r.shape[1]
    parent = np.empty(n_points, dtype=np.intp)
    sums = np.empty(n_points)
    active = np.empty(n_points, dtype=np.intp)
    sign = np.zeros(n_points, dtype=np.int8)
    for row in range(r.shape[0]):
        values = r[row]
        top = 0.0
        for v in range(n_points):
            top = max(top, abs(values[v]))
        largest[row] = top
        n_active = 0
        if top > critical:
            for v in range(n_points):
                if abs(values[v]) > critical:
                    sign[v] = 1 if either or values[v] > 0.0 else -1
                    active[n_active] = v
                    n_active += 1
                    parent[v] = v
                    sums[v] = 0.0
        for number in range(n_active):
            v = active[number]
            channel = v // n_freqs
            freq = v - channel * n_freqs
            if freq > 0 and sign[v - 1] == sign[v]:
                _join(parent, v, v - 1)
            for k in range(indptr[channel], indptr[channel + 1]):
                if indices[k] < channel:
                    w = indices[k] * n_freqs + freq
                    if sign[w] == sign[v]:
                        _join(parent, v, w)
        for number in range(n_active):
            v = active[number]
            rest = max(1.0 - values[v] * values[v], 1e-300)
            one = values[v] * math.sqrt(dof / rest)
            sums[_root(parent, v)] += one * one if either else one
        for number in range(n_active):
            v = active[number]
            mass[row] = max(mass[row], abs(sums[v]))
            sign[v] = 0
