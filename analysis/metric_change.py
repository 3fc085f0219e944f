"""The change of one measure of connectivity: intervals, and what it is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis import jackknife
from analysis.connectivity_estimates import JACKKNIFE_BLOCKS, Matched, size_of
from analysis.connectivity_sums import ReportedMeasure, to_matrix
from analysis.snr_matching import SnrMatch
from analysis.statistics import Direction

Array = NDArray[np.float64]

NONE_FACTOR = 1.25


@dataclass(frozen=True, slots=True)
class MetricChange:
    """One measure of connectivity before and after, as the mean over pairs.

    Parameters
    ----------
    name, title : str
        Key and words.
    primary : bool
        Whether the verdict rests on it.
    pre, post : float
        Mean over all pairs, of the absolute value where the measure is signed.
    floor : float
        What channels without any connection give with as many epochs.
    change : float
        Post minus pre.
    ci95_change : (float, float)
        95 % interval of the change, from a jackknife over blocks of epochs.
    matched_change : float or None
        Change at equal signal-to-noise ratio, None where there is no match.
    ci95_matched_change : (float, float) or None
        Its 95 % interval.
    corrected_matched_change : (float, float) or None
        Its interval corrected for the primary measures, or, where it is none, for all reported.
    direction : {"increase", "decrease", "none", "undetermined"}
        What the corrected interval of the matched change supports.
    target_change : float or None
        Change of the mean over pairs that hold a target channel, None without targets.
    target_matched_change : float or None
        The same at equal signal-to-noise ratio.
    ci95_target_matched_change : (float, float) or None
        Its 95 % interval.
    matrix_pre, matrix_post : ndarray, shape (n_channels, n_channels)
        All pairs.
    matched_pairs : ndarray, shape (2, n_pairs), or None
        All pairs at equal signal-to-noise ratio, before and after, without the direction of lag.
    """

    name: str
    title: str
    primary: bool
    pre: float
    post: float
    floor: float
    change: float
    ci95_change: tuple[float, float]
    matched_change: float | None
    ci95_matched_change: tuple[float, float] | None
    corrected_matched_change: tuple[float, float] | None
    direction: Direction
    target_change: float | None
    target_matched_change: float | None
    ci95_target_matched_change: tuple[float, float] | None
    matrix_pre: Array
    matrix_post: Array
    matched_pairs: Array | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values without the matrices."""

        def plain(interval: tuple[float, float] | None) -> list[float] | None:
            return None if interval is None else list(interval)

        return {
            "pre": self.pre,
            "post": self.post,
            "floor": self.floor,
            "change": self.change,
            "ci95_change": list(self.ci95_change),
            "power_matched_change": self.matched_change,
            "ci95_power_matched_change": plain(self.ci95_matched_change),
            "corrected_ci95_power_matched_change": plain(self.corrected_matched_change),
            "direction": self.direction,
            "target_change": self.target_change,
            "target_power_matched_change": self.target_matched_change,
            "ci95_target_power_matched_change": plain(self.ci95_target_matched_change),
            "primary": self.primary,
            "title": self.title,
        }


def changes_of(
    plain: Array,
    matched: Matched | None,
    floor: Array,
    match: SnrMatch,
    held: list[NDArray[np.bool_]],
    measures: tuple[ReportedMeasure, ...],
    n_channels: int,
    widen: float,
) -> dict[str, MetricChange]:
    """Intervals and direction of each measure.

    Parameters
    ----------
    plain : ndarray, shape (2, n_measures, 11, n_pairs)
        Values before and after, whole and without each block.
    matched : Matched or None
        The same at equal signal-to-noise ratio.
    floor : ndarray, shape (n_measures,)
        What unconnected channels give.
    match : SnrMatch
        Source of `matched`.
    held : list of ndarray of bool, shape (n_pairs,)
        All pairs, then, where there are targets, those that hold one.
    measures : tuple of ReportedMeasure
        The measures.
    n_channels : int
        Channels.
    widen : float
        Factor of every interval.

    Returns
    -------
    dict of str to MetricChange
        By the name of the measure.
    """
    n = JACKKNIFE_BLOCKS
    sized = np.array([size_of(plain[:, k], one) for k, one in enumerate(measures)])
    # (n_sets, n_measures, 2, 11): mean over all pairs, and over those with a target.
    means = np.array([sized[..., pairs].mean(axis=-1) for pairs in held])
    left = np.moveaxis(means[..., 1:], 1, -1)
    half = np.array(
        [widen * jackknife.quantile(n) * jackknife.standard_errors(part) for part in left]
    )
    m_half = m_corrected = m_change = None
    if matched is not None:
        m_means = np.array(
            [np.swapaxes(matched.values[..., pairs].mean(axis=-1), 0, 1) for pairs in held]
        )
        slope = np.array([matched.slope[:, pairs].mean(axis=-1) for pairs in held])
        m_left = np.moveaxis(m_means[..., 1:], 1, -1).copy()
        # Without a block the ratio is another one: its part of the change, put on that side.
        m_left += np.array([-1.0, 1.0])[:, None, None] * (
            match.left_out[None, :, :, None] * slope[:, None, None, :]
        )
        errors = widen * np.array([jackknife.standard_errors(part) for part in m_left])
        m_half = jackknife.quantile(n) * errors
        m_corrected = _quantiles(m_left[0], measures) * errors[0]
        m_change = m_means[:, :, 1, 0] - m_means[:, :, 0, 0]
    found: dict[str, MetricChange] = {}
    for k, one in enumerate(measures):
        pre, post = float(means[0, k, 0, 0]), float(means[0, k, 1, 0])
        change = ci = corrected = target = target_ci = None
        if m_change is not None and m_half is not None and m_corrected is not None:
            change = float(m_change[0, k])
            ci = jackknife.around(change, float(m_half[0, k]))
            corrected = jackknife.around(change, float(m_corrected[k]))
            if len(held) > 1:
                target = float(m_change[1, k])
                target_ci = jackknife.around(target, float(m_half[1, k]))
        found[one.name] = MetricChange(
            name=one.name,
            title=one.title,
            primary=one.primary,
            pre=pre,
            post=post,
            floor=float(floor[k]),
            change=post - pre,
            ci95_change=jackknife.around(post - pre, float(half[0, k])),
            matched_change=change,
            ci95_matched_change=ci,
            corrected_matched_change=corrected,
            direction=_direction(corrected, pre - float(floor[k])),
            target_change=float(means[1, k, 1, 0] - means[1, k, 0, 0]) if len(held) > 1 else None,
            target_matched_change=target,
            ci95_target_matched_change=target_ci,
            matrix_pre=to_matrix(plain[0, k, 0], n_channels, odd=one.signed),
            matrix_post=to_matrix(plain[1, k, 0], n_channels, odd=one.signed),
            matched_pairs=None if matched is None else matched.values[:, k, 0],
        )
    return found


def _quantiles(left_out: Array, measures: tuple[ReportedMeasure, ...]) -> Array:
    """Of each measure: a primary one is corrected for those the verdict rests on, others for all.

    Measures beside the verdict must not cost it its sensitivity; they are no way into it either.
    """
    found = np.full(len(measures), jackknife.simultaneous_quantile(left_out))
    primary = np.array([one.primary for one in measures])
    if primary.any():
        found[primary] = jackknife.simultaneous_quantile(left_out[..., primary])
    return found


def _direction(interval: tuple[float, float] | None, above_floor: float) -> Direction:
    """Direction that an interval of a change supports, given what there was before."""
    if interval is None:
        return "undetermined"
    low, high = interval
    if low > 0.0:
        return "increase"
    if high < 0.0:
        return "decrease"
    least, most = (1.0 / NONE_FACTOR - 1.0) * above_floor, (NONE_FACTOR - 1.0) * above_floor
    return "none" if above_floor > 0.0 and low >= least and high <= most else "undetermined"


def together(directions: list[Direction]) -> Direction:
    """Direction of the primary measures together."""
    called = {one for one in directions if one in ("increase", "decrease")}
    if len(called) == 1:
        return called.pop()
    return "none" if set(directions) == {"none"} else "undetermined"
