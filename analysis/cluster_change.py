"""Where, over channels and frequencies, two recordings of one patient differ, if that can be asked.

The cluster test (`analysis.cluster`) exchanges pieces between the recordings. Pieces of one patient
may be exchanged only where power forgets itself within a piece. Here it is decided whether there
are such pieces and how long they must be, and the clusters are put into words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.fluctuation import fluctuation_of
from analysis.power import RecordingSpectra, band_power
from analysis.spectrum import segment_spectra
from analysis.statistics import NEEDS, P_BLOCK_S, P_MIN_BLOCKS

if TYPE_CHECKING:
    from analysis.cluster import ClusterTest
    from analysis.pairing import Pair
    from analysis.power_change import PowerChange

Array = NDArray[np.float64]

WINDOW_S = 2.0
LOWEST_HZ, HIGHEST_HZ = 2.0, 40.0
STEP_HZ = 1.0
ELSEWHERE_HZ = ((4.0, 7.0), (14.0, 30.0))
# The band itself is judged at 0.2; of the two others each makes errors of its own.
ELSEWHERE_LIMIT = 0.5
N_PERMUTATIONS = 1000
LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class FoundCluster:
    """Neighbouring channels and frequencies that differ in one direction.

    Parameters
    ----------
    direction : {"increase", "decrease"}
        Of power after against before.
    channels : tuple of str
        Channels it holds.
    low_hz, high_hz : float
        Frequencies it spans.
    p : float
        Corrected for all channels and frequencies, two-sided.
    """

    direction: str
    channels: tuple[str, ...]
    low_hz: float
    high_hz: float
    p: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "direction": self.direction,
            "channels": list(self.channels),
            "low_hz": self.low_hz,
            "high_hz": self.high_hz,
            "p": self.p,
        }


@dataclass(frozen=True, slots=True)
class ClusterChange:
    """Clusters below .05, or the reason why the test was declined.

    Parameters
    ----------
    clusters : tuple of FoundCluster
        The smallest p first; empty where nothing was found or asked.
    reason : str or None
        Why the test was declined.
    n_blocks : int
        Blocks in each recording.
    block_s : float
        Their least length.
    p_smallest : float or None
        Smallest p that could have come out.
    """

    clusters: tuple[FoundCluster, ...]
    reason: str | None
    n_blocks: int
    block_s: float
    p_smallest: float | None

    @property
    def text(self) -> str:
        """One line."""
        if self.reason is not None:
            return f"clusters over channels and frequencies: {self.reason}"
        if not self.clusters:
            return "no cluster of channels and frequencies differs"
        told = "; ".join(
            f"{one.direction} at {one.low_hz:g}-{one.high_hz:g} Hz in {len(one.channels)} channels "
            f"(p = {one.p:.3f})"
            for one in self.clusters
        )
        return f"{told}; a cluster says that something differs, not where exactly it ends"

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "clusters": [one.to_dict() for one in self.clusters],
            "reason": self.reason,
            "n_blocks": self.n_blocks,
            "block_s": self.block_s,
            "p_smallest": self.p_smallest,
            "text": self.text,
        }


def cluster_change(
    pair: Pair,
    power: PowerChange,
    spectra: tuple[RecordingSpectra, RecordingSpectra],
    *,
    barred: str | None = None,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> ClusterChange:
    """Look for clusters of channels and frequencies whose power differs.

    Parameters
    ----------
    pair : Pair
        The prepared recordings.
    power : PowerChange
        Change of band power, with its fluctuation.
    spectra : (RecordingSpectra, RecordingSpectra)
        Spectra of the region before and after.
    barred : str, optional
        A reason found elsewhere to decline.
    n_permutations : int
        Random exchanges; all there are where they are not more.
    seed : int
        Of the random numbers.

    Returns
    -------
    ClusterChange
        Clusters, or the reason for none.

    Notes
    -----
    One observation is the log power of one block, in every channel, from 2 to 40 Hz in steps of
    1 Hz. Blocks are at least 20 s and four autocorrelation times of the band's power long; five on
    each side are the least. Declined where power of the band, of theta or of beta fluctuates
    slowly: exchanging blocks is then as invalid as exchanging epochs.

    References
    ----------
    Maris and Oostenveld 2007, J. Neurosci. Methods 164:177-190; what may be concluded: Sassenhagen
    and Draschkow 2019, Psychophysiology 56:e13335.
    """
    block_s = max(P_BLOCK_S, 4.0 * power.raw.fluctuation.autocorrelation_time_s)
    seconds = [one.n_segments * one.step_s for one in spectra]
    n_blocks = int(min(seconds) / block_s)
    reason = barred or _slow(power, spectra)
    if reason is None and pair.identical:
        reason = "declined: both recordings hold the same samples"
    if reason is None and n_blocks < P_MIN_BLOCKS:
        reason = (
            f"declined: {min(seconds):.0f} s make {n_blocks} blocks of {block_s:.0f} s and "
            f"{P_MIN_BLOCKS} are the least"
        )
    if reason is not None:
        return ClusterChange((), reason, n_blocks, block_s, None)
    from analysis.cluster import channel_adjacency, cluster_test

    try:
        adjacency, names = channel_adjacency(pair.info)
        if tuple(names) != pair.channels:
            raise AnalysisError("the places are those of other channels")
        freqs_hz, before = _blocks(pair, pair.before_uv, pair.bad_before, n_blocks)
        _, after = _blocks(pair, pair.after_uv, pair.bad_after, n_blocks)
        found = cluster_test(before, after, adjacency, n_permutations=n_permutations, seed=seed)
    except AnalysisError as exc:
        return ClusterChange((), f"declined: {exc}", n_blocks, block_s, None)
    return ClusterChange(
        _clusters(found, pair.channels, freqs_hz), None, n_blocks, block_s, found.p_smallest
    )


def _slow(power: PowerChange, spectra: tuple[RecordingSpectra, RecordingSpectra]) -> str | None:
    """Why blocks may not be exchanged, if power fluctuates slowly anywhere."""
    if power.raw.fluctuation.slow:
        return f"declined: power in the band fluctuates slowly; {NEEDS}"
    before, after = spectra
    for band_hz in ELSEWHERE_HZ:
        if before.freqs_hz[-1] < band_hz[1]:
            continue
        logs = [np.log(band_power(one.freqs_hz, one.region, band_hz)) for one in spectra]
        found = fluctuation_of(logs[0], before.starts_s, logs[1], after.starts_s)
        if found.slow_probability > ELSEWHERE_LIMIT:
            return f"declined: power at {band_hz[0]:g}-{band_hz[1]:g} Hz fluctuates slowly; {NEEDS}"
    return None


def _blocks(
    pair: Pair, data_uv: Array, bad: NDArray[np.bool_], n_blocks: int
) -> tuple[Array, Array]:
    """Log power of blocks of segments in time order, (n_blocks, n_channels, n_freqs)."""
    top_hz = min(HIGHEST_HZ, pair.pass_band_hz[1])
    found = segment_spectra(
        data_uv,
        pair.sfreq_hz,
        window_s=WINDOW_S,
        overlap=0.5,
        fmin_hz=max(LOWEST_HZ, pair.pass_band_hz[0]),
        fmax_hz=top_hz,
        bad=bad,
    )
    if found.starts_s.size < n_blocks:
        raise AnalysisError(f"{found.starts_s.size} clean segments for {n_blocks} blocks")
    width = max(1, round(STEP_HZ / float(found.freqs_hz[1] - found.freqs_hz[0])))
    n_freqs = found.freqs_hz.size // width
    kept = slice(0, n_freqs * width)
    freqs_hz = found.freqs_hz[kept].reshape(n_freqs, width).mean(axis=1)
    power = found.power[:, :, kept]
    power = power.reshape(*power.shape[:2], n_freqs, width).mean(axis=3)
    means = [part.mean(axis=0) for part in np.array_split(power, n_blocks)]
    tiny = np.finfo(float).tiny
    return freqs_hz, np.log(np.maximum(np.array(means), tiny))


def _clusters(
    found: ClusterTest, channels: tuple[str, ...], freqs_hz: Array
) -> tuple[FoundCluster, ...]:
    """Clusters below .05 in words."""
    half_hz = 0.5 * float(freqs_hz[1] - freqs_hz[0])
    told = [
        FoundCluster(
            "increase" if one.mass > 0.0 else "decrease",
            tuple(channels[row] for row in np.unique(one.channels)),
            math.floor(4.0 * (float(freqs_hz[one.freqs].min()) - half_hz)) / 4.0,
            math.ceil(4.0 * (float(freqs_hz[one.freqs].max()) + half_hz)) / 4.0,
            one.p,
        )
        for one in found.clusters
        if one.p < LEVEL
    ]
    return tuple(sorted(told, key=lambda one: one.p))
