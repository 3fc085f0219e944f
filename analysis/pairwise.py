"""Which pairs of channels changed: blocks of epochs exchanged, corrected for all pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.connectivity_sums import PRIMARY, BlockSums, ReportedMeasure, block_sums
from analysis.fluctuation import SLOW_PROBABILITY_LIMIT, Fluctuation
from analysis.snr_matching import DRAWS, SnrMatch
from analysis.statistics import NEEDS, P_BLOCK_S, P_MIN_BLOCKS

Array = NDArray[np.float64]

N_PERMUTATIONS = 999
_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class PairChange:
    """A pair of channels whose connectivity changed.

    Parameters
    ----------
    channels : (str, str)
        The pair.
    measure : str
        ReportedMeasure.
    before, after : float
        Values at equal signal-to-noise ratio; the sign of imaginary coherence is a direction of
        lag.
    p : float
        Corrected for all pairs and measures.
    """

    channels: tuple[str, str]
    measure: str
    before: float
    after: float
    p: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "channels": list(self.channels),
            "measure": self.measure,
            "before": self.before,
            "after": self.after,
            "p": self.p,
        }


@dataclass(frozen=True, slots=True)
class PairwiseChange:
    """Pairs that changed, or why none can be told.

    Parameters
    ----------
    found : tuple of PairChange
        Those with p < .05, smallest first.
    p_least : float or None
        Smallest corrected p of all pairs.
    n_pairs : int
        Pairs tested.
    reason : str or None
        Why there is no test.
    """

    found: tuple[PairChange, ...]
    p_least: float | None
    n_pairs: int
    reason: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "changed": [one.to_dict() for one in self.found],
            "p_least": self.p_least,
            "n_pairs": self.n_pairs,
            "reason": self.reason,
        }


def pairwise_change(
    match: SnrMatch,
    channels: tuple[str, ...],
    epoch_s: float,
    fluctuation: Fluctuation | None,
    *,
    measures: tuple[ReportedMeasure, ...] = PRIMARY,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> PairwiseChange:
    """Test every pair for a change of connectivity at equal signal-to-noise ratio.

    Parameters
    ----------
    match : SnrMatch
        The two recordings.
    channels : tuple of str
        Channels of the match.
    epoch_s : float
        Length of an epoch.
    fluctuation : Fluctuation or None
        Slow fluctuation of band power in the recordings; taken as none when absent.
    measures : tuple of ReportedMeasure
        Measures.
    n_permutations : int
        Exchanges.
    seed : int
        Seed of the exchanges.

    Returns
    -------
    PairwiseChange
        Pairs, or the reason for none.

    Notes
    -----
    Blocks of at least 20 s and four autocorrelation times are exchanged between the recordings; the
    largest absolute difference over all pairs of each exchange is the null (Nichols and Holmes
    2002, Hum. Brain Mapp. 15:1-25), p times the number of measures (Bonferroni). With power that
    drifts slowly blocks are not exchangeable, and there is no p; nor is there without a match,
    because a change of power is then a difference in itself.
    """
    n_pairs = len(channels) * (len(channels) - 1) // 2

    def none(reason: str) -> PairwiseChange:
        return PairwiseChange((), None, n_pairs, reason)

    if match.reason is not None:
        return none(match.reason)
    if fluctuation is not None and fluctuation.slow_probability > SLOW_PROBABILITY_LIMIT:
        return none(f"power may fluctuate slowly by itself; {NEEDS}")
    still_s = 0.0 if fluctuation is None else 4.0 * fluctuation.autocorrelation_time_s
    seconds = match.sides[0].coefficients.shape[1] * epoch_s
    n_blocks = int(seconds / max(P_BLOCK_S, still_s))
    if n_blocks < P_MIN_BLOCKS:
        return none(
            f"{seconds:.0f} s make {n_blocks} blocks of {max(P_BLOCK_S, still_s):.0f} s and "
            f"{P_MIN_BLOCKS} are the least"
        )
    sides = [block_sums(side, n_blocks, measures) for side in match.matched(DRAWS[0])]
    both = _joined(sides[0], sides[1])
    observed = np.repeat([0.0, 1.0], n_blocks)
    rng = np.random.default_rng(seed)
    drawn = rng.permuted(np.tile(observed, (n_permutations, 1)), axis=1)
    rows, columns = np.tril_indices(len(channels), -1)
    least, found = 1.0, []
    largest = {one.name: np.empty(n_permutations) for one in measures}
    for first in range(0, n_permutations, _AT_ONCE):
        part = drawn[first : first + _AT_ONCE]
        after, before = both.values(part, measures), both.values(1.0 - part, measures)
        for name, kept in largest.items():
            kept[first : first + _AT_ONCE] = np.abs(after[name] - before[name]).max(axis=1)
    after = both.values(observed, measures)
    before = both.values(1.0 - observed, measures)
    for name, null in largest.items():
        difference = np.abs(after[name][0] - before[name][0])
        above = np.sum(null[:, None] >= difference * (1.0 - 1e-12), axis=0)
        p = np.minimum(1.0, len(measures) * (1.0 + above) / (n_permutations + 1.0))
        least = min(least, float(p.min()))
        for pair in np.flatnonzero(p < 0.05):
            found.append(
                PairChange(
                    channels=(channels[columns[pair]], channels[rows[pair]]),
                    measure=name,
                    before=float(before[name][0, pair]),
                    after=float(after[name][0, pair]),
                    p=float(p[pair]),
                )
            )
    found.sort(key=lambda one: (one.p, -abs(one.after - one.before)))
    return PairwiseChange(tuple(found), least, n_pairs, None)


def _joined(first: BlockSums, second: BlockSums) -> BlockSums:
    """Blocks of both recordings in one list."""

    def both(one: NDArray[Any] | None, other: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if one is None or other is None else np.concatenate([one, other])

    return BlockSums(
        n_channels=first.n_channels,
        n_epochs=np.concatenate([first.n_epochs, second.n_epochs]),
        cross=both(first.cross, second.cross),
        unit=both(first.unit, second.unit),
        size=both(first.size, second.size),
        square=both(first.square, second.square),
        sign=both(first.sign, second.sign),
        power=np.concatenate([first.power, second.power]),
    )
