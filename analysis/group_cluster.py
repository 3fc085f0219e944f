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

from analysis.cluster import Cluster, ClusterTest
from analysis.cluster import cluster_test as between_arms
from analysis.cluster import cluster_test_paired as against_zero
from analysis.errors import AnalysisError

__all__ = ["ClusterResult", "GroupClusters", "adjacency_of", "cluster_test"]

Array = NDArray[np.float64]

MIN_CHANNELS = 4
MIN_PATIENTS = 5


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
    # Patients, channels, frequencies; one frequency where there is none.
    maps = [np.atleast_3d(np.moveaxis(side[..., kept], -1, 1)) for side in sides]
    random = n_permutations - 1  # beside the true arrangement
    if len(maps) == 1:
        found = against_zero(maps[0], adjacency, n_permutations=random, seed=seed)
    else:
        found = between_arms(maps[1], maps[0], adjacency, n_permutations=random, seed=seed)
    clusters = sorted(
        (_told(one, found, placed, freqs_hz) for one in found.clusters), key=lambda one: one.p
    )
    return GroupClusters(
        comparison=comparison,
        clusters=tuple(clusters),
        p=clusters[0].p if clusters else 1.0,
        channels=placed,
        left_out=tuple(name for name in channels if name not in placed),
        n=tuple(int(side.shape[0]) for side in sides),
        n_permutations=found.n_permutations + 1,
        threshold=found.threshold,
    )


def _told(
    one: Cluster, found: ClusterTest, channels: tuple[str, ...], freqs_hz: Array | None
) -> ClusterResult:
    """A cluster by the names of its channels."""
    span = None
    if freqs_hz is not None:
        inside_hz = freqs_hz[one.freqs]
        span = (float(inside_hz.min()), float(inside_hz.max()))
    heights = np.abs(found.statistic[one.channels, one.freqs])
    return ClusterResult(
        channels=tuple(channels[i] for i in np.unique(one.channels)),
        frequencies_hz=span,
        mass=one.mass,
        peak=channels[one.channels[np.argmax(heights)]],
        p=one.p,
    )
