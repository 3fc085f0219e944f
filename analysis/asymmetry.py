"""Frontal alpha asymmetry, ln right minus ln left alpha power, before and after."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.fluctuation import fluctuation_of
from analysis.peak import ALPHA_BAND_HZ
from analysis.power import RecordingSpectra
from analysis.statistics import block_stretch, percentile_interval

Array = NDArray[np.float64]

PAIRS = (
    *(("F4", "F3"), ("F8", "F7"), ("F6", "F5"), ("F2", "F1")),
    *(("AF4", "AF3"), ("AF8", "AF7"), ("Fp2", "Fp1")),
    *(("FC4", "FC3"), ("FC2", "FC1"), ("FC6", "FC5")),
)


@dataclass(frozen=True, slots=True)
class PairAsymmetry:
    """Asymmetry of one pair of channels.

    Parameters
    ----------
    right, left : str
        Channels.
    pre, post : float
        ln(right) - ln(left) of mean alpha power, before and after.
    change : float
        After minus before.
    interval : (float, float)
        95 % interval of the change.
    carried_current : tuple of str
        Which of the two carried current.
    """

    right: str
    left: str
    pre: float
    post: float
    change: float
    interval: tuple[float, float]
    carried_current: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "pre": self.pre,
            "post": self.post,
            "change": self.change,
            "ci95_change": list(self.interval),
            "carried_current": list(self.carried_current),
        }


@dataclass(frozen=True, slots=True)
class Asymmetry:
    """Frontal alpha asymmetry of every pair that is there.

    Parameters
    ----------
    band_hz : (float, float)
        Alpha band, that of the comparison.
    pairs : tuple of PairAsymmetry
        F4-F3 first where it is there.
    reason : str or None
        Why there is none.
    """

    band_hz: tuple[float, float]
    pairs: tuple[PairAsymmetry, ...]
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values; pairs under "right-left"."""
        return {
            "band_hz": list(self.band_hz),
            "pairs": {f"{one.right}-{one.left}": one.to_dict() for one in self.pairs},
            "reason": self.reason,
        }


def compare_asymmetry(
    before: RecordingSpectra,
    after: RecordingSpectra,
    channels: tuple[str, ...],
    band_hz: tuple[float, float],
    weights: tuple[Array, Array],
    *,
    carried_current: tuple[str, ...] = (),
) -> Asymmetry:
    """Compare frontal alpha asymmetry after with that before.

    Parameters
    ----------
    before, after : RecordingSpectra
        Band power of every segment and channel.
    channels : tuple of str
        All channels, 10-05 names.
    band_hz : (float, float)
        The band of that power.
    weights : (ndarray, ndarray)
        Bootstrap weights of the segments (`analysis.statistics.Comparison.weights`).
    carried_current : tuple of str
        Channels that carried current.

    Returns
    -------
    Asymmetry
        Pairs with both channels good; none, with the reason, where there is no pair, or where the
        band does not lie about an alpha peak (7 to 13 Hz).

    Notes
    -----
    Positive is more alpha on the right. Each interval is a block bootstrap of both channels
    together, stretched for few blocks and for the slow fluctuation of that pair's own asymmetry.
    Intervals are not corrected for the number of pairs, and the value depends on the reference.

    References
    ----------
    Allen, Coan and Nazarian 2004, Biol. Psychol. 67:183-218.
    """
    center_hz = 0.5 * (band_hz[0] + band_hz[1])
    if not ALPHA_BAND_HZ[0] <= center_hz <= ALPHA_BAND_HZ[1]:
        reason = (
            f"the band compared is centred on {center_hz:.1f} Hz, which is not alpha "
            f"({ALPHA_BAND_HZ[0]:g}-{ALPHA_BAND_HZ[1]:g} Hz)"
        )
        return Asymmetry(band_hz, (), reason)
    there = [pair for pair in PAIRS if pair[0] in channels and pair[1] in channels]
    if not there:
        return Asymmetry(
            band_hz,
            (),
            "no pair of frontal channels is good in both recordings: F4 and F3, F8 and F7, "
            "AF4 and AF3 or FC4 and FC3 are needed",
        )
    found = []
    for right, left in there:
        rows = channels.index(right), channels.index(left)
        sides = [side.band[:, rows] for side in (before, after)]
        pre, post = (float(np.log(side.mean(axis=0)) @ (1.0, -1.0)) for side in sides)
        resampled = [
            np.log(weight @ side) @ (1.0, -1.0) for weight, side in zip(weights, sides, strict=True)
        ]
        moving = [np.log(side) @ (1.0, -1.0) for side in sides]
        interval = _interval(post - pre, resampled, moving, (before.starts_s, after.starts_s))
        touched = tuple(name for name in (right, left) if name in carried_current)
        found.append(PairAsymmetry(right, left, pre, post, post - pre, interval, touched))
    return Asymmetry(band_hz, tuple(found))


def _interval(
    change: float, resampled: list[Array], moving: list[Array], starts_s: tuple[Array, Array]
) -> tuple[float, float]:
    """95 % interval of a change, as wide as blocks and slow fluctuation ask for."""
    replicates = resampled[1] - resampled[0]
    blocks = block_stretch(
        (float(resampled[0].var()), float(resampled[1].var())), (moving[0].size, moving[1].size)
    )
    inner = percentile_interval(change, replicates, blocks)
    half = 0.5 * (inner[1] - inner[0])
    slow = fluctuation_of(moving[0], starts_s[0], moving[1], starts_s[1]).half_width_ln
    drift = max(1.0, slow / half) if half > 0.0 and math.isfinite(slow) else 1.0
    return percentile_interval(change, replicates, blocks * drift)
