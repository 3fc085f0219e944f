"""Connectivity before and after, always beside the power change and at equal signal-to-noise.

A rise of alpha alone raises every measure: it lifts the rhythm further above the background. What
a change of connectivity is called rests therefore on the power-matched estimate alone, in which
both recordings have the same signal-to-noise ratio (`analysis.snr_matching`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.connectivity import band_fourier
from analysis.connectivity_estimates import JACKKNIFE_BLOCKS, floor_of, matched_of, values_of
from analysis.connectivity_sums import BY_NAME, MEASURES, ReportedMeasure
from analysis.connectivity_words import note_of, summary_of, with_pairs
from analysis.errors import AnalysisError
from analysis.metric_change import MetricChange, changes_of, together
from analysis.snr_matching import LOWEST_HZ, REACH_HZ, SnrMatch, match_snr
from analysis.statistics import Direction

if TYPE_CHECKING:
    from analysis.network_change import NetworkChange

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

EPOCH_S = 2.0
MIN_EPOCHS = 10


@dataclass(frozen=True, slots=True)
class ConnectivityChange:
    """Connectivity before and after, beside the power change.

    Parameters
    ----------
    metrics : dict of str to MetricChange
        One for each measure; `imcoh` and `wpli2_debiased` are primary.
    direction : {"increase", "decrease", "none", "undetermined"}
        Of the primary measures together: a direction where one has it and the other not the
        opposite, none where all are none, else undetermined.
    n_epochs : int
        Epochs used in each of the two recordings.
    n_matched_epochs : int
        Epochs behind the power-matched estimate, 0 without one.
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
    widened_by : float
        Factor of every interval, for slow fluctuation.
    match : SnrMatch
        How the two were brought to the same signal-to-noise ratio, or why not.
    note : str
        How to read the change beside the power change.
    summary : str
        One plain sentence.
    network : NetworkChange or None
        Spectrum, pairs and network effect, where asked for.
    """

    metrics: dict[str, MetricChange]
    direction: Direction
    n_epochs: int
    n_matched_epochs: int
    epoch_s: float
    band_hz: tuple[float, float]
    channels: tuple[str, ...]
    reference: str
    power_ln_ratio: float
    widened_by: float
    match: SnrMatch
    note: str
    summary: str
    network: NetworkChange | None = None

    def with_network(self, network: NetworkChange) -> ConnectivityChange:
        """The same with the network beside it; the summary names pairs that changed."""
        return replace(self, network=network, summary=with_pairs(self.summary, network.pairs))

    def to_dict(self) -> dict[str, Any]:
        """Plain values without the matrices."""
        found: dict[str, Any] = {name: metric.to_dict() for name, metric in self.metrics.items()}
        found.update(
            measures=list(self.metrics),
            direction=self.direction,
            n_epochs=self.n_epochs,
            n_power_matched_epochs=self.n_matched_epochs,
            epoch_s=self.epoch_s,
            band_hz=list(self.band_hz),
            n_channels=len(self.channels),
            reference=self.reference,
            power_ln_ratio=self.power_ln_ratio,
            power_percent=100.0 * math.expm1(self.power_ln_ratio),
            intervals_widened_by=self.widened_by,
            power_match=self.match.to_dict(),
            note=self.note,
            summary=self.summary,
        )
        if self.network is not None:
            found.update(self.network.to_dict())
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
    pass_band_hz: tuple[float, float] | None = None,
    widen: float = 1.0,
    measures: tuple[ReportedMeasure, ...] = MEASURES,
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
        Channels whose band power is reported; all when empty.
    targets : tuple of str
        Channels of the stimulated region, for `target_change`.
    average_reference : bool
        Whether connectivity is that of the signals minus their mean over channels. Power stays
        that of the signals as given.
    pass_band_hz : (float, float), optional
        What the filters let through; the background is looked for inside it.
    widen : float
        Factor of every interval, 1 or more: by how much slow fluctuation of power widens that of
        the power change. Connectivity that drifts with it is no better known.
    measures : tuple of ReportedMeasure
        Rows of `analysis.connectivity_sums.MEASURES`; intervals are corrected for several.

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
    Intervals are a delete-a-block jackknife over ten blocks in each recording with Student's
    quantile for nine degrees of freedom (Künsch 1989, Ann. Stat. 17:1217-1241); they hold for
    fluctuation faster than a block, and beyond where `widen` says so. That of the matched change
    holds the uncertainty of the match too. The corrected one of a primary measure holds for all
    primary ones at once, that of another for all measures (`analysis.jackknife`).

    *Increase* or *decrease*: the corrected interval of the matched change excludes 0. *None*: it
    lies within a factor of 1.25 either way of what the measure was before above its floor.
    *Undetermined*: all else, and without a match.
    """
    _check(before, after, sfreq_hz, channels)
    if not (math.isfinite(widen) and widen >= 1.0):
        raise AnalysisError(f"widen is {widen:g}: give 1 or more")
    freqs, wide = _around(before, after, sfreq_hz, band_hz, pass_band_hz)
    inside = (freqs >= band_hz[0]) & (freqs <= band_hz[1])
    coefficients = [side[inside] for side in wide]
    rows = [channels.index(name) for name in region] or list(range(len(channels)))
    power = [np.mean(np.abs(part[:, :, rows]) ** 2, axis=(0, 2)) for part in coefficients]
    if min(float(values.min()) for values in power) <= 0.0:
        raise AnalysisError(
            "an epoch has no power in the band: the channels of the region are flat"
        )
    ln_ratio = math.log(float(power[1].mean()) / float(power[0].mean()))
    if average_reference:
        wide = [side - side.mean(axis=2, keepdims=True) for side in wide]
        coefficients = [side[inside] for side in wide]
    match = match_snr(freqs, wide[0], wide[1], band_hz, JACKKNIFE_BLOCKS)
    target_rows = [channels.index(name) for name in targets if name in channels]
    held = [np.ones(len(channels) * (len(channels) - 1) // 2, dtype=bool)]
    if target_rows:
        held.append(pairs_with(target_rows, len(channels)))
    plain = np.array([values_of(part, measures) for part in coefficients])
    floor = np.mean([floor_of(part, measures) for part in coefficients], axis=0)
    matched = None if match.reason is not None else matched_of(match, measures)
    metrics = changes_of(plain, matched, floor, match, held, measures, len(channels), widen)
    direction = together([one.direction for one in metrics.values() if one.primary])
    return ConnectivityChange(
        metrics=metrics,
        direction=direction,
        n_epochs=int(before.shape[0]),
        n_matched_epochs=0 if matched is None else int(before.shape[0]),
        epoch_s=before.shape[2] / sfreq_hz,
        band_hz=band_hz,
        channels=channels,
        reference="average" if average_reference else "as recorded",
        power_ln_ratio=ln_ratio,
        widened_by=widen,
        match=match,
        note=note_of(ln_ratio, match),
        summary=summary_of(band_hz, ln_ratio, metrics, direction, match),
    )


def mean_over_pairs(metric: str, matrix: Array, rows: list[int] | None = None) -> float:
    """Mean over pairs, or over pairs that hold one of `rows`, without the direction of lag."""
    values = matrix[np.tril_indices(matrix.shape[0], -1)]
    if rows is not None:
        values = values[pairs_with(rows, matrix.shape[0])]
    return float((np.abs(values) if BY_NAME[metric].signed else values).mean())


def pairs_with(rows: list[int], n_channels: int) -> NDArray[np.bool_]:
    """Pairs, in the order of `numpy.tril_indices`, that hold one of `rows`."""
    held = np.zeros(n_channels, dtype=bool)
    held[rows] = True
    first, second = np.tril_indices(n_channels, -1)
    return np.asarray(held[first] | held[second])


def _check(before: Array, after: Array, sfreq_hz: float, channels: tuple[str, ...]) -> None:
    """Refuse what cannot be compared."""
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


def _around(
    before: Array,
    after: Array,
    sfreq_hz: float,
    band_hz: tuple[float, float],
    pass_band_hz: tuple[float, float] | None,
) -> tuple[Array, list[ComplexArray]]:
    """Coefficients in the band and at the bins around it, where the background is looked for."""
    band_fourier(before[:1, :1], sfreq_hz, band_hz)  # refuses a band that holds no bin
    low, high = pass_band_hz or (0.0, sfreq_hz / 2.0)
    wide_hz = (
        max(low, min(LOWEST_HZ, band_hz[0])),
        min(high, band_hz[1] + REACH_HZ, 0.45 * sfreq_hz),
    )
    wide_hz = (min(wide_hz[0], band_hz[0]), max(wide_hz[1], band_hz[1]))
    freqs, first = band_fourier(before, sfreq_hz, wide_hz)
    return freqs, [first, band_fourier(after, sfreq_hz, wide_hz)[1]]
