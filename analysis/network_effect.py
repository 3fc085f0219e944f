"""Whether connectivity changes most where it was connected with the stimulated site.

Two traps lie here. A baseline and a change that share a recording correlate by arithmetic (what was
high by chance falls): the baseline comes from one half of the blocks and the change from the other.
And neighbouring electrodes see the same sources, so that smooth maps correlate by chance: the null
turns the map on the head and keeps its smoothness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.connectivity_sums import BY_NAME, ReportedMeasure, block_sums
from analysis.network import strengths_of
from analysis.snr_matching import DRAWS, SnrMatch

Array = NDArray[np.float64]

MIN_NODES = 8
N_ROTATIONS = 999
N_BLOCKS = 10


@dataclass(frozen=True, slots=True)
class NetworkEffect:
    """Connectivity with the stimulated site before, against the change of every other node.

    Parameters
    ----------
    nodes : tuple of str
        Channels other than those of the site.
    baseline : ndarray, shape (n_nodes,)
        Connectivity with the site before, mean of both halves.
    change : ndarray, shape (n_nodes,)
        Change of the mean connectivity with all channels, at equal signal-to-noise ratio.
    rho : float or None
        Spearman correlation, mean of the two halves crosswise.
    p : float or None
        Two-sided, against the null.
    null : {"rotation", "permutation"} or None
        Whether the null keeps the smoothness of maps; "permutation" where positions are missing.
    reason : str or None
        Why there is none.
    """

    nodes: tuple[str, ...]
    baseline: Array
    change: Array
    rho: float | None
    p: float | None
    null: str | None
    reason: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "rho": self.rho,
            "p": self.p,
            "null": self.null,
            "n_nodes": len(self.nodes),
            "nodes": list(self.nodes),
            "baseline": self.baseline.tolist(),
            "change": self.change.tolist(),
            "reason": self.reason,
        }


def network_effect(
    match: SnrMatch,
    channels: tuple[str, ...],
    site: tuple[str, ...],
    directions: Array | None,
    *,
    measure: ReportedMeasure = BY_NAME["wpli2_debiased"],
    n_rotations: int = N_ROTATIONS,
    seed: int = 0,
) -> NetworkEffect:
    """Correlate baseline connectivity with the stimulated site and change of the other nodes.

    Parameters
    ----------
    match : SnrMatch
        The two recordings, to be taken at equal signal-to-noise ratio.
    channels : tuple of str
        Channels of the match.
    site : tuple of str
        Channels of the stimulated site.
    directions : ndarray, shape (n_channels, 3), or None
        Unit vectors of the electrodes from the middle of the head.
    measure : ReportedMeasure
        ReportedMeasure; one without bias from the number of epochs.
    n_rotations : int
        Rotations, or permutations, of the null.
    seed : int
        Seed of the rotations.

    Returns
    -------
    NetworkEffect
        Correlation and p, or the reason for none.

    Notes
    -----
    Odd and even blocks of epochs are used crosswise: baseline from the odd, change against the
    even, and the other way round. The null turns one map about the vertical axis by a random angle,
    mirrored or not, and gives every electrode the value that lands nearest, each value once
    (Alexander-Bloch et al. 2018, NeuroImage 178:540-551, on the part of the sphere that has
    electrodes; Markello and Misic 2021, NeuroImage 236:118052, for values used once). The map
    before is the one turned.
    """
    rows = [channels.index(name) for name in site if name in channels]
    others = [row for row in range(len(channels)) if row not in rows]
    nodes = tuple(channels[row] for row in others)

    def none(reason: str) -> NetworkEffect:
        return NetworkEffect(nodes, np.empty(0), np.empty(0), None, None, None, reason)

    if match.reason is not None:
        return none(match.reason)
    if not rows:
        return none("the stimulated site is not known, or none of its channels is left")
    if len(others) < MIN_NODES:
        return none(f"{len(others)} channels beside the site, {MIN_NODES} are the least")
    baseline, change = _halves(match, measure, rows, others, len(channels))
    rho = _rho(baseline, change)
    if not math.isfinite(rho):
        return none("connectivity does not differ between channels")
    rng = np.random.default_rng(seed)
    places = None if directions is None else directions[others]
    if places is not None and np.isfinite(places).all():
        orders, null = rotations(places, n_rotations, rng), "rotation"
    else:
        tiled = np.tile(np.arange(len(others)), (n_rotations, 1))
        orders, null = rng.permuted(tiled, axis=1), "permutation"
    drawn = np.array([_rho(baseline[:, order], change) for order in orders])
    p = (1.0 + float(np.sum(np.abs(drawn) >= abs(rho) - 1e-12))) / (n_rotations + 1.0)
    return NetworkEffect(nodes, baseline.mean(axis=0), change.mean(axis=0), rho, p, null, None)


def _halves(
    match: SnrMatch, measure: ReportedMeasure, rows: list[int], others: list[int], n_channels: int
) -> tuple[Array, Array]:
    """Baseline from one half and change against the other, both ways: (2, n_nodes) each."""
    first = (np.arange(N_BLOCKS) % 2 == 0).astype(np.float64)
    weights = np.array([first, 1.0 - first])
    sides = np.zeros((2, 2, n_channels * (n_channels - 1) // 2))
    for draw in DRAWS:
        for number, side in enumerate(match.matched(draw)):
            found = block_sums(side, N_BLOCKS, (measure,)).values(weights, (measure,))[measure.name]
            sides[number] += (np.abs(found) if measure.signed else found) / len(DRAWS)
    strength = strengths_of(sides, n_channels)
    square = np.zeros((2, n_channels, n_channels))
    lower = np.tril_indices(n_channels, -1)
    square[:, lower[0], lower[1]] = square[:, lower[1], lower[0]] = sides[0]
    baseline = square[:, rows].mean(axis=1)[:, others]
    change = (strength[1].mean(axis=0) - strength[0][::-1])[:, others]
    return baseline, change


def _rho(baseline: Array, change: Array) -> float:
    """Spearman correlation, mean of both ways."""
    return float(np.mean([_spearman(x, y) for x, y in zip(baseline, change, strict=True)]))


def _spearman(x: Array, y: Array) -> float:
    """Rank correlation of values without ties, NaN where one does not vary."""
    if np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        return math.nan
    ranks = [np.argsort(np.argsort(values)) - (values.size - 1) / 2.0 for values in (x, y)]
    return float(ranks[0] @ ranks[1] / (ranks[0] @ ranks[0]))


def rotations(directions: Array, n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Orders of electrodes that turn a map about the vertical axis, mirrored or not.

    Parameters
    ----------
    directions : ndarray, shape (n_nodes, 3)
        Unit vectors, the third towards the vertex.
    n : int
        How many.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of int, shape (n, n_nodes)
        For each node the node whose value it gets, each once.
    """
    from scipy.optimize import linear_sum_assignment

    found = np.empty((n, len(directions)), dtype=np.intp)
    for number in range(n):
        angle = rng.uniform(0.0, 2.0 * math.pi)
        cos, sin = math.cos(angle), math.sin(angle)
        turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        if rng.random() < 0.5:
            turn = turn @ np.diag([-1.0, 1.0, 1.0])
        cosine = np.clip(directions @ (directions @ turn.T).T, -1.0, 1.0)
        found[number] = linear_sum_assignment(np.arccos(cosine) ** 2)[1]
    return found
