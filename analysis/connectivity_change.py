"""Connectivity before and after, always beside the power change."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.connectivity import (
    METRICS,
    ComplexArray,
    Metric,
    band_fourier,
    cross_sums,
    from_coefficients,
)
from analysis.errors import AnalysisError

Array = NDArray[np.float64]

EPOCH_S = 2.0
MIN_EPOCHS = 10
JACKKNIFE_BLOCKS = 10
MATCH_WITHIN_LN = 0.2


@dataclass(frozen=True, slots=True)
class MetricChange:
    """One connectivity metric before and after, as the mean over pairs.

    Parameters
    ----------
    pre, post : float
        Mean over all pairs, of the absolute value for imaginary coherence.
    change : float
        Post minus pre.
    ci95_change : (float, float)
        95 % interval of the change, from a jackknife over blocks of epochs.
    matched_change : float or None
        Change in epochs matched for power, None where too few match.
    target_change : float or None
        Change of the mean over pairs that hold a target channel, None without targets.
    matrix_pre, matrix_post : ndarray, shape (n_channels, n_channels)
        All pairs.
    """

    pre: float
    post: float
    change: float
    ci95_change: tuple[float, float]
    matched_change: float | None
    target_change: float | None
    matrix_pre: Array
    matrix_post: Array

    def to_dict(self) -> dict[str, Any]:
        """Plain values without the matrices."""
        return {
            "pre": self.pre,
            "post": self.post,
            "change": self.change,
            "ci95_change": list(self.ci95_change),
            "power_matched_change": self.matched_change,
            "target_change": self.target_change,
        }


@dataclass(frozen=True, slots=True)
class ConnectivityChange:
    """Connectivity before and after, beside the power change.

    Parameters
    ----------
    metrics : dict of str to MetricChange
        `imcoh` and `wpli2_debiased`.
    n_epochs : int
        Epochs used in each of the two recordings.
    n_matched_epochs : int
        Epochs in each recording that could be matched for power.
    epoch_s : float
        Epoch length.
    band_hz : (float, float)
        Band.
    channels : tuple of str
        Channels, in the order of the matrices.
    reference : str
        Reference of the signals whose connectivity this is.
    power_ln_ratio : float
        Change of band power in the same epochs, as ln(after / before).
    note : str
        How to read the change beside the power change.
    """

    metrics: dict[Metric, MetricChange]
    n_epochs: int
    n_matched_epochs: int
    epoch_s: float
    band_hz: tuple[float, float]
    channels: tuple[str, ...]
    reference: str
    power_ln_ratio: float
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values without the matrices."""
        found: dict[str, Any] = {name: metric.to_dict() for name, metric in self.metrics.items()}
        found.update(
            n_epochs=self.n_epochs,
            n_power_matched_epochs=self.n_matched_epochs,
            epoch_s=self.epoch_s,
            band_hz=list(self.band_hz),
            n_channels=len(self.channels),
            reference=self.reference,
            power_ln_ratio=self.power_ln_ratio,
            power_percent=100.0 * math.expm1(self.power_ln_ratio),
            note=self.note,
        )
        return found


def compare_connectivity(
    before: Array,
    after: Array,
    sfreq_hz: float,
    band_hz: tuple[float, float],
    channels: tuple[str, ...],
    *,
    region: tuple[str, ...] = (),
    targets: tuple[str, ...] = (),
    average_reference: bool = False,
) -> ConnectivityChange:
    """Compare connectivity of equally many epochs before and after.

    Parameters
    ----------
    before, after : ndarray, shape (n_epochs, n_channels, n_samples)
        Epochs in time order, equally many.
    sfreq_hz : float
        Sampling rate.
    band_hz : (float, float)
        Band.
    channels : tuple of str
        Channel names.
    region : tuple of str
        Channels whose band power is reported and matched; all when empty.
    targets : tuple of str
        Channels over the stimulated region, for `target_change`.
    average_reference : bool
        Whether connectivity is that of the signals minus their mean over channels. Power stays
        that of the signals as given.

    Returns
    -------
    ConnectivityChange
        Means over pairs, intervals, power-matched changes and matrices.

    Raises
    ------
    AnalysisError
        With unequal numbers of epochs, fewer than 10, fewer than two channels, or an epoch without
        any power in the band.

    Notes
    -----
    The interval is a delete-a-block jackknife over ten blocks in each recording with Student's
    quantile for nine degrees of freedom (Künsch 1989, Ann. Stat. 17:1217-1241). It holds for
    fluctuation faster than a block. Power matching pairs epochs whose log band power lies within
    0.2 of each other and repeats the estimate on the pairs.
    """
    if before.shape[0] != after.shape[0]:
        raise AnalysisError(
            f"{before.shape[0]} epochs before and {after.shape[0]} after: give equally many"
        )
    if before.shape[0] < MIN_EPOCHS:
        raise AnalysisError(
            f"{before.shape[0]} clean epochs of {before.shape[2] / sfreq_hz:g} s, connectivity "
            f"needs {MIN_EPOCHS} or more: give a longer recording"
        )
    if len(channels) < 2:
        raise AnalysisError("connectivity needs two channels or more")
    coefficients = tuple(band_fourier(epochs, sfreq_hz, band_hz)[1] for epochs in (before, after))
    rows = [channels.index(name) for name in region] or list(range(len(channels)))
    power = tuple(np.mean(np.abs(part[:, :, rows]) ** 2, axis=(0, 2)) for part in coefficients)
    if min(float(values.min()) for values in power) <= 0.0:
        raise AnalysisError(
            "an epoch has no power in the band: the channels of the region are flat"
        )
    ln_ratio = math.log(float(power[1].mean()) / float(power[0].mean()))
    if average_reference:
        coefficients = tuple(part - part.mean(axis=2, keepdims=True) for part in coefficients)
    pairs = matched_pairs(np.log(power[0]), np.log(power[1]))
    matched = None
    if len(pairs) >= MIN_EPOCHS:
        matched = (
            from_coefficients(coefficients[0][:, pairs[:, 0]]),
            from_coefficients(coefficients[1][:, pairs[:, 1]]),
        )
    (whole_before, left_before), (whole_after, left_after) = map(_estimates, coefficients)
    target_rows = [channels.index(name) for name in targets if name in channels]
    metrics: dict[Metric, MetricChange] = {}
    for metric in METRICS:
        matrices = whole_before[metric], whole_after[metric]
        pre, post = (mean_over_pairs(metric, matrix) for matrix in matrices)
        metrics[metric] = MetricChange(
            pre=pre,
            post=post,
            change=post - pre,
            ci95_change=_jackknife(post - pre, left_before[metric], left_after[metric]),
            matched_change=None if matched is None else _change(metric, *matched),
            target_change=(
                _change(metric, whole_before, whole_after, target_rows) if target_rows else None
            ),
            matrix_pre=matrices[0],
            matrix_post=matrices[1],
        )
    return ConnectivityChange(
        metrics=metrics,
        n_epochs=int(before.shape[0]),
        n_matched_epochs=len(pairs),
        epoch_s=before.shape[2] / sfreq_hz,
        band_hz=band_hz,
        channels=channels,
        reference="average" if average_reference else "as recorded",
        power_ln_ratio=ln_ratio,
        note=_note(ln_ratio, len(pairs)),
    )


def mean_over_pairs(metric: Metric, matrix: Array, rows: list[int] | None = None) -> float:
    """Mean over pairs, or over pairs that hold one of `rows`; absolute for imaginary coherence."""
    pairs = np.tri(matrix.shape[0], k=-1, dtype=bool)
    if rows is not None:
        held = np.zeros(matrix.shape[0], dtype=bool)
        held[rows] = True
        pairs &= held[:, None] | held
    values = np.abs(matrix[pairs]) if metric == "imcoh" else matrix[pairs]
    return float(values.mean())


def matched_pairs(log_before: Array, log_after: Array) -> NDArray[np.intp]:
    """Pairs of epochs of nearly equal power, as many as there are.

    Parameters
    ----------
    log_before, log_after : ndarray, shape (n_epochs,)
        Log band power.

    Returns
    -------
    ndarray of int, shape (n_pairs, 2)
        Positions before and after, in time order of the first. Both lists are sorted by power and
        walked together, which finds the largest possible number of pairs within 0.2.
    """
    order = np.argsort(log_before, kind="stable"), np.argsort(log_after, kind="stable")
    i, j, pairs = 0, 0, []
    while i < log_before.size and j < log_after.size:
        difference = log_after[order[1][j]] - log_before[order[0][i]]
        if abs(difference) <= MATCH_WITHIN_LN:
            pairs.append((order[0][i], order[1][j]))
            i, j = i + 1, j + 1
        elif difference > 0.0:
            i += 1
        else:
            j += 1
    return np.array(sorted(pairs), dtype=np.intp).reshape(-1, 2)


def _change(
    metric: Metric,
    before: dict[Metric, Array],
    after: dict[Metric, Array],
    rows: list[int] | None = None,
) -> float:
    """Difference of the means over pairs."""
    return mean_over_pairs(metric, after[metric], rows) - mean_over_pairs(
        metric, before[metric], rows
    )


def _estimates(
    coefficients: ComplexArray,
) -> tuple[dict[Metric, Array], dict[Metric, Array]]:
    """Matrices of all epochs, and the mean over pairs with each block of epochs left out."""
    n_freqs, _, n_channels = coefficients.shape
    shape = (JACKKNIFE_BLOCKS + 1, n_channels, n_channels)
    found: dict[Metric, Array] = {metric: np.zeros(shape) for metric in METRICS}
    for bin_values in coefficients:
        parts = [cross_sums(part) for part in np.array_split(bin_values, JACKKNIFE_BLOCKS)]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        for number, sums in enumerate([total, *(total - part for part in parts)]):
            for metric in METRICS:
                found[metric][number] += sums.estimate(metric)
    whole, left_out = {}, {}
    for metric, stack in found.items():
        stack /= n_freqs
        for matrix in stack:
            np.fill_diagonal(matrix, 0.0)
        whole[metric] = stack[0].copy()
        left_out[metric] = np.array([mean_over_pairs(metric, one) for one in stack[1:]])
    return whole, left_out


def _jackknife(change: float, before: Array, after: Array) -> tuple[float, float]:
    """95 % interval of a difference from the leave-one-block-out values of both sides."""
    from scipy.special import stdtrit

    n = JACKKNIFE_BLOCKS
    variance = (
        (n - 1) / n * sum(float(np.sum((part - part.mean()) ** 2)) for part in (before, after))
    )
    half_width = float(stdtrit(n - 1, 0.975)) * math.sqrt(variance)
    return change - half_width, change + half_width


def _note(ln_ratio: float, n_matched: int) -> str:
    """How to read a connectivity change beside this power change."""
    text = (
        f"band power changed by {100.0 * math.expm1(ln_ratio):+.0f} % in the same epochs; "
        "connectivity estimates rise with power even when coupling stays the same"
    )
    if n_matched >= MIN_EPOCHS:
        return f"{text}, so read the change in the {n_matched} power-matched epochs beside it"
    return f"{text}, and too few epochs ({n_matched}) match in power to take this out"
