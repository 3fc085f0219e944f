"""Cluster permutation over channels (and frequencies) between patients.

The p value is about the whole map: that the arms (or before and after) do not differ anywhere. It
says nothing of single channels, and where a cluster ends says nothing of where an effect ends
(Maris and Oostenveld 2007, J Neurosci Methods 164:177-190; Sassenhagen and Draschkow 2019,
Psychophysiology 56:e13335).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError

__all__ = ["ClusterResult", "GroupClusters", "adjacency_of", "cluster_test"]

Array = NDArray[np.float64]

MIN_CHANNELS = 4
MIN_PATIENTS = 5
FORMING_P = 0.05


@dataclass(frozen=True, slots=True)
class ClusterResult:
    """One cluster.

    Parameters
    ----------
    channels : tuple of str
        Channels in it.
    frequencies_hz : (float, float) or None
        Its range, where there are frequencies.
    mass : float
        Sum of t; its sign is that of the difference.
    peak : str
        Channel with the largest absolute t.
    p : float
        Share of arrangements with a cluster at least as heavy, anywhere.
    """

    channels: tuple[str, ...]
    frequencies_hz: tuple[float, float] | None
    mass: float
    peak: str
    p: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "channels": list(self.channels),
            "frequencies_hz": None if self.frequencies_hz is None else list(self.frequencies_hz),
            "mass": self.mass,
            "peak": self.peak,
            "p": self.p,
        }


@dataclass(frozen=True, slots=True)
class GroupClusters:
    """A cluster permutation test.

    Parameters
    ----------
    comparison : str
        What was compared.
    clusters : tuple of ClusterResult
        Lightest p first; empty where no channel passes the forming threshold.
    p : float or None
        The smallest; 1 where there is no cluster.
    channels, left_out : tuple of str
        Channels in the test; those without a known place.
    n : tuple of int
        Patients of each side.
    n_permutations : int
        Arrangements.
    threshold : float
        Absolute t that a channel must pass.
    """

    comparison: str
    clusters: tuple[ClusterResult, ...]
    p: float
    channels: tuple[str, ...]
    left_out: tuple[str, ...]
    n: tuple[int, ...]
    n_permutations: int
    threshold: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "comparison": self.comparison,
            "p": self.p,
            "clusters": [cluster.to_dict() for cluster in self.clusters],
            "channels": list(self.channels),
            "left_out": list(self.left_out),
            "n": list(self.n),
            "n_permutations": self.n_permutations,
            "threshold_t": self.threshold,
        }


def adjacency_of(channels: Sequence[str]) -> tuple[Any, tuple[str, ...]]:
    """Neighbours of channels by their standard places.

    Parameters
    ----------
    channels : sequence of str
        Names of the 10-05 system.

    Returns
    -------
    (scipy.sparse array, shape (n, n), tuple of str)
        Of the channels with a standard place, and their names.

    Raises
    ------
    AnalysisError
        Fewer than four have one.
    """
    import mne

    from analysis.channels import montage_name, normal_name

    montage = mne.channels.make_standard_montage(montage_name())
    known = set(montage.ch_names)
    named = {channel: normal_name(channel) for channel in channels}
    placed = [channel for channel in channels if named[channel] in known]
    if len({named[channel] for channel in placed}) < len(placed):
        raise AnalysisError("two channels have the same standard name")
    if len(placed) < MIN_CHANNELS:
        raise AnalysisError(
            f"a cluster test needs {MIN_CHANNELS} channels with standard names; got {len(placed)}"
        )
    info = mne.create_info([named[channel] for channel in placed], 100.0, "eeg")
    info.set_montage(montage)
    adjacency, _ = mne.channels.find_ch_adjacency(info, "eeg")
    return adjacency, tuple(placed)


def cluster_test(
    first: Array,
    second: Array | None,
    channels: Sequence[str],
    *,
    comparison: str,
    freqs_hz: Array | None = None,
    n_permutations: int = 1000,
    seed: int = 0,
) -> GroupClusters:
    """Test maps of patients: against 0 by their signs, or between two arms by their labels.

    Parameters
    ----------
    first : ndarray, shape (n_patients, n_channels) or (n_patients, n_freqs, n_channels)
        One map for each patient.
    second : ndarray or None
        Maps of the control arm; None for one sample.
    channels : sequence of str
        Names of the last axis.
    comparison : str
        What is compared, in words.
    freqs_hz : ndarray, shape (n_freqs,), optional
        Frequencies of the middle axis.
    n_permutations : int
        Arrangements; all of them where there are fewer.
    seed : int
        Which ones.

    Returns
    -------
    GroupClusters
        Two-sided.

    Raises
    ------
    AnalysisError
        Fewer than five patients on a side, or four channels with a known place.
    """
    from scipy.stats import t

    sides = [first] if second is None else [first, second]
    for side in sides:
        if side.shape[0] < MIN_PATIENTS:
            raise AnalysisError(
                f"{comparison}: a cluster test needs {MIN_PATIENTS} patients on each side; got "
                f"{side.shape[0]}"
            )
        if not np.all(np.isfinite(side)):
            raise AnalysisError(f"{comparison}: a channel of a patient has no value")
    adjacency, placed = adjacency_of(channels)
    kept = [list(channels).index(name) for name in placed]
    maps = [side[..., kept] for side in sides]
    df = sum(side.shape[0] for side in sides) - len(sides)
    threshold = float(t.ppf(1.0 - FORMING_P / 2.0, df))
    found, masses, p_values, n_done = _permute(maps, adjacency, threshold, n_permutations, seed)
    clusters = []
    for inside, mass, p in zip(found, masses, p_values, strict=True):
        grid = np.abs(np.where(inside, mass, 0.0))
        of_channel = grid if grid.ndim == 1 else grid.max(axis=0)
        columns = np.flatnonzero(inside if inside.ndim == 1 else inside.any(axis=0))
        span = None
        if inside.ndim == 2 and freqs_hz is not None:
            rows = freqs_hz[inside.any(axis=1)]
            span = (float(rows.min()), float(rows.max()))
        clusters.append(
            ClusterResult(
                channels=tuple(placed[i] for i in columns),
                frequencies_hz=span,
                mass=float(mass[inside].sum()),
                peak=placed[int(np.argmax(of_channel))],
                p=float(p),
            )
        )
    clusters.sort(key=lambda cluster: cluster.p)
    return GroupClusters(
        comparison=comparison,
        clusters=tuple(clusters),
        p=clusters[0].p if clusters else 1.0,
        channels=placed,
        left_out=tuple(name for name in channels if name not in placed),
        n=tuple(int(side.shape[0]) for side in sides),
        n_permutations=n_done,
        threshold=threshold,
    )


def _permute(
    maps: list[Array], adjacency: Any, threshold: float, n_permutations: int, seed: int
) -> tuple[list[NDArray[np.bool_]], list[Array], list[float], int]:
    """Clusters as masks, the t of every place, p values and the number of arrangements.

    The one place that calls a library for it.
    """
    import mne
    from mne.stats import (
        combine_adjacency,
        permutation_cluster_1samp_test,
        permutation_cluster_test,
        ttest_1samp_no_p,
        ttest_ind_no_p,
    )

    if maps[0].ndim == 3:
        adjacency = combine_adjacency(maps[0].shape[1], adjacency)
    options: dict[str, Any] = {
        "threshold": threshold,
        "n_permutations": n_permutations,
        "tail": 0,
        "adjacency": adjacency,
        "out_type": "mask",
        "seed": seed,
        "verbose": "ERROR",
    }
    with mne.utils.use_log_level("ERROR"):
        if len(maps) == 1:
            statistic, masks, p, null = permutation_cluster_1samp_test(
                maps[0], stat_fun=ttest_1samp_no_p, **options
            )
        else:
            statistic, masks, p, null = permutation_cluster_test(
                maps, stat_fun=ttest_ind_no_p, **options
            )
    masks = [np.asarray(mask, dtype=bool).reshape(maps[0].shape[1:]) for mask in masks]
    return masks, [np.asarray(statistic)] * len(masks), list(np.asarray(p)), len(null)
