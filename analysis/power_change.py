"""Band power before and after: raw, relative, over the aperiodic part, per channel, re-centred."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.aperiodic import (
    AperiodicChange,
    Parts,
    aperiodic_change,
    move_background,
    over_background,
    take_apart,
)
from analysis.power import (
    FIT_HZ,
    TOTAL_HZ,
    RecordingSpectra,
    band_power,
    db_of_ln,
    percent_of_ln,
)
from analysis.power_verdict import STRICT, verdict_of
from analysis.statistics import (
    Comparison,
    Direction,
    compare_series,
    direction_of,
    percentile_interval,
)

Array = NDArray[np.float64]

MISFIT = 0.05  # of the background in the band: what a fit may be off by
MIN_RHYTHM_SHARE = 0.2  # below it the ratio of a single channel is mostly error of the fit


@dataclass(frozen=True, slots=True)
class RatioChange:
    """One quantity after over before, or the reason why there is none.

    Parameters
    ----------
    pre, post : float or None
        Values before and after.
    ln_ratio : float or None
        ln(post / pre).
    interval_ln : (float, float) or None
        95 % interval of `ln_ratio`.
    reason : str or None
        Why a value or the interval is missing.
    difference_interval : (float, float) or None
        95 % interval of post minus pre, where it is asked for.
    """

    pre: float | None
    post: float | None
    ln_ratio: float | None
    interval_ln: tuple[float, float] | None
    reason: str | None = None
    difference_interval: tuple[float, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        difference = self.difference_interval
        return {
            **({} if difference is None else {"ci95_difference_uv2": list(difference)}),
            "pre": self.pre,
            "post": self.post,
            "ln_ratio": self.ln_ratio,
            "percent": percent_of_ln(self.ln_ratio) if self.ln_ratio is not None else None,
            "db": db_of_ln(self.ln_ratio) if self.ln_ratio is not None else None,
            "ci95_percent": percent_interval(self.interval_ln),
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class ChannelChange:
    """Change of raw band power in one channel, and of its power over the aperiodic part."""

    ln_ratio: float
    interval_ln: tuple[float, float]
    adjusted_ln_ratio: float | None
    adjusted_reason: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "ln_ratio": self.ln_ratio,
            "percent": percent_of_ln(self.ln_ratio),
            "ci95_percent": percent_interval(self.interval_ln),
            "adjusted_ln_ratio": self.adjusted_ln_ratio,
            "adjusted_reason": self.adjusted_reason,
        }


@dataclass(frozen=True, slots=True)
class PowerChange:
    """Everything said about band power.

    Parameters
    ----------
    band_hz : (float, float)
        Band, fixed from the peak before.
    raw : Comparison
        Log ratio of the region's band power, its interval, p and fluctuation.
    pre_uv2, post_uv2 : float
        Band power of the region.
    relative, adjusted, recentred : RatioChange
        Band over 1-40 Hz; power over the aperiodic part; each in the band about its own peak.
    own_bands_hz : ((float, float), (float, float)) or None
        Bands of `recentred`, before and after.
    aperiodic : AperiodicChange
        Aperiodic fits of the region's spectra, and how they differ.
    aperiodic_share : float or None
        Share of the raw change that the aperiodic part accounts for.
    background_ln : float or None
        Log ratio of band power had the aperiodic part alone changed.
    verdict : str
        What moved: a constant of `analysis.power_verdict`.
    direction : {"increase", "decrease", "none", "undetermined"}
        Direction of the rhythm: that of raw power, unless the aperiodic part speaks against it.
    per_channel : dict of str to ChannelChange
        Every channel. Intervals are not corrected for the number of channels.
    region : tuple of str
        Channels of the region.
    """

    band_hz: tuple[float, float]
    raw: Comparison
    pre_uv2: float
    post_uv2: float
    relative: RatioChange
    adjusted: RatioChange
    recentred: RatioChange
    own_bands_hz: tuple[tuple[float, float], tuple[float, float]] | None
    aperiodic: AperiodicChange
    aperiodic_share: float | None
    background_ln: float | None
    verdict: str
    direction: Direction
    per_channel: dict[str, ChannelChange]
    region: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, contract keys first."""
        raw = self.raw
        return {
            "ln_ratio": raw.ln_ratio,
            "percent": percent_of_ln(raw.ln_ratio),
            "db": db_of_ln(raw.ln_ratio),
            "ci95_percent": percent_interval(raw.interval_ln),
            "ci95_bootstrap_percent": percent_interval(raw.bootstrap_interval_ln),
            "p": raw.p,
            "p_reason": raw.p_reason,
            "fluctuation": raw.fluctuation.to_dict(),
            "band_hz": list(self.band_hz),
            "channels": list(self.region),
            "pre_uv2": self.pre_uv2,
            "post_uv2": self.post_uv2,
            "relative": self.relative.to_dict(),
            "adjusted": self.adjusted.to_dict(),
            "aperiodic": {
                **self.aperiodic.to_dict(),
                "share_of_raw_change": self.aperiodic_share,
                "alone_percent": (
                    None if self.background_ln is None else percent_of_ln(self.background_ln)
                ),
                "verdict": self.verdict,
            },
            "per_channel": {name: one.to_dict() for name, one in self.per_channel.items()},
            "recentred": {
                **self.recentred.to_dict(),
                "bands_hz": self.own_bands_hz and [list(band) for band in self.own_bands_hz],
            },
        }


def percent_interval(interval_ln: tuple[float, float] | None) -> list[float] | None:
    """Interval of a log ratio, in percent."""
    if interval_ln is None:
        return None
    return [percent_of_ln(interval_ln[0]), percent_of_ln(interval_ln[1])]


def compare_power(
    before: RecordingSpectra,
    after: RecordingSpectra,
    channels: tuple[str, ...],
    region: tuple[str, ...],
    band_hz: tuple[float, float],
    *,
    own_bands_hz: tuple[tuple[float, float], tuple[float, float]] | None = None,
    own_bands_reason: str | None = None,
    total_hz: tuple[float, float] = TOTAL_HZ,
    fit_hz: tuple[float, float] = FIT_HZ,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> PowerChange:
    """Compare band power after with band power before.

    Parameters
    ----------
    before, after : RecordingSpectra
        Spectra of the two recordings, same channels and frequencies.
    channels, region : tuple of str
        All channels, and those of the region.
    band_hz : (float, float)
        Band, fixed from the peak before.
    own_bands_hz : ((float, float), (float, float)), optional
        Bands about the peaks before and after, for the re-centred ratio.
    own_bands_reason : str, optional
        Why there are none.
    total_hz, fit_hz : (float, float)
        Denominator of relative power, and range of the aperiodic fit.
    n_bootstrap, seed : int
        Bootstrap.

    Returns
    -------
    PowerChange
        All of it.

    Notes
    -----
    Every interval uses the same resampled segments and the same stretch, that found for raw power
    of the region (`analysis.statistics.compare_series`). Where power in the band is not clear of
    the background on one side, there is no ratio over it; the direction of power over the
    background is then that of the difference, and its interval must lie beyond 0 by 5 % of the
    larger background, which is what a fit may be off by. What moved is named by
    `analysis.power_verdict.verdict_of`.
    """
    freqs = before.freqs_hz
    raw = compare_series(
        band_power(freqs, before.region, band_hz),
        before.starts_s,
        band_power(freqs, after.region, band_hz),
        after.starts_s,
        step_s=before.step_s,
        n_bootstrap=n_bootstrap,
        seed=seed,
    )
    psds = before.region_mean(), after.region_mean()
    replicates = raw.weights[0] @ before.region, raw.weights[1] @ after.region
    power = tuple(float(band_power(freqs, psd, band_hz)) for psd in psds)
    # One batch: the region before and after, then every channel before, every channel after.
    parts = take_apart(freqs, np.vstack([*psds, before.channels, after.channels]), band_hz, fit_hz)
    aperiodic, adjusted = _over_background(
        freqs, psds, replicates, (parts[0], parts[1]), band_hz, raw.stretch
    )
    share, background_ln = _share(parts[0], parts[1])
    verdict = verdict_of(
        direction_of(raw.interval_ln),
        _adjusted_direction(adjusted, parts[:2]),
        _adjusted_direction(adjusted, parts[:2], STRICT),
        share,
        background_ln,
        background_moved=aperiodic.moved,
        reason=adjusted.reason,
    )
    return PowerChange(
        band_hz=band_hz,
        raw=raw,
        pre_uv2=power[0],
        post_uv2=power[1],
        relative=_ratio(
            *(_relative(freqs, psd, band_hz, total_hz) for psd in (*psds, *replicates)),
            stretch=raw.stretch,
        ),
        adjusted=adjusted,
        recentred=(
            RatioChange(None, None, None, None, own_bands_reason)
            if own_bands_hz is None or min(own_bands_hz[0][0], own_bands_hz[1][0]) <= 0.0
            else _ratio(
                band_power(freqs, psds[0], own_bands_hz[0]),
                band_power(freqs, psds[1], own_bands_hz[1]),
                band_power(freqs, replicates[0], own_bands_hz[0]),
                band_power(freqs, replicates[1], own_bands_hz[1]),
                stretch=raw.stretch,
            )
        ),
        own_bands_hz=own_bands_hz,
        aperiodic=aperiodic,
        aperiodic_share=share,
        background_ln=background_ln,
        verdict=verdict.what,
        direction=verdict.direction,
        per_channel=_per_channel(before, after, channels, parts[2:], raw),
        region=region,
    )


def _relative(
    freqs_hz: Array, psd: Array, band_hz: tuple[float, float], total_hz: tuple[float, float]
) -> Array:
    """Band power over total power."""
    return np.asarray(band_power(freqs_hz, psd, band_hz) / band_power(freqs_hz, psd, total_hz))


def _ratio(
    pre: Array | float,
    post: Array | float,
    replicates_pre: Array,
    replicates_post: Array,
    *,
    stretch: float,
) -> RatioChange:
    """Log ratio of positive quantities, with its interval; reasons where a sign forbids one."""
    pre, post = float(pre), float(post)
    if pre <= 0.0 or post <= 0.0:
        side = "before" if pre <= 0.0 else "after"
        reason = f"no power over the aperiodic part in the band {side}"
        return RatioChange(pre, post, None, None, reason)
    ln_ratio = math.log(post / pre)
    if float(np.mean((replicates_pre <= 0.0) | (replicates_post <= 0.0))) > 0.01:
        reason = "no interval: power in the band is not clear of the aperiodic part"
        return RatioChange(pre, post, ln_ratio, None, reason)
    # Up to one replicate in a hundred may be floored: beyond the quantiles that are read.
    tiny = np.finfo(float).tiny
    logs = np.log(np.maximum(replicates_post, tiny)) - np.log(np.maximum(replicates_pre, tiny))
    return RatioChange(pre, post, ln_ratio, percentile_interval(ln_ratio, logs, stretch))


def _over_background(
    freqs_hz: Array,
    psds: tuple[Array, Array],
    replicates: tuple[Array, Array],
    parts: tuple[Parts, Parts],
    band_hz: tuple[float, float],
    stretch: float,
) -> tuple[AperiodicChange, RatioChange]:
    """Change of the background, and ratio of power over it."""
    values, resampled, backgrounds = [], [], []
    for side, psd, rows, part in zip(("before", "after"), psds, replicates, parts, strict=True):
        if part.fit is None or part.split_uv2 is None:
            missing = RatioChange(None, None, None, None, f"{side}: {part.reason}")
            return aperiodic_change(*parts, None, stretch), missing
        values.append(part.split_uv2[1])
        backgrounds.append(move_background(freqs_hz, psd, rows, part.fit))
        resampled.append(over_background(freqs_hz, rows, backgrounds[-1], band_hz))
    change = aperiodic_change(*parts, (backgrounds[0], backgrounds[1]), stretch)
    ratio = _ratio(values[0], values[1], resampled[0], resampled[1], stretch=stretch)
    difference = percentile_interval(values[1] - values[0], resampled[1] - resampled[0], stretch)
    return change, replace(ratio, difference_interval=difference)


def _share(pre: Parts, post: Parts) -> tuple[float | None, float | None]:
    """Share of the raw change that is the aperiodic part's, and the log ratio it alone makes."""
    if pre.split_uv2 is None or post.split_uv2 is None:
        return None, None
    change = sum(post.split_uv2) - sum(pre.split_uv2)
    moved = post.split_uv2[0] - pre.split_uv2[0]
    ratio = 1.0 + moved / sum(pre.split_uv2)
    return moved / change if change != 0.0 else None, math.log(ratio) if ratio > 0.0 else None


def _adjusted_direction(
    adjusted: RatioChange, parts: list[Parts], factor: float = 1.0
) -> Direction:
    """What the ratio over the background supports, or the difference where there is no ratio.

    `factor` multiplies the deviations of the interval from the estimate.
    """
    if adjusted.ln_ratio is not None and adjusted.interval_ln is not None:
        return direction_of(_widened(adjusted.ln_ratio, adjusted.interval_ln, factor))
    if adjusted.pre is None or adjusted.post is None or adjusted.difference_interval is None:
        return "undetermined"
    low, high = _widened(adjusted.post - adjusted.pre, adjusted.difference_interval, factor)
    margin = MISFIT * max(part.split_uv2[0] for part in parts if part.split_uv2 is not None)
    if low > margin:
        return "increase"
    return "decrease" if high < -margin else "undetermined"


def _widened(value: float, interval: tuple[float, float], factor: float) -> tuple[float, float]:
    """Interval with its deviations from the estimate multiplied."""
    low, high = (value + factor * (edge - value) for edge in interval)
    return low, high


def _per_channel(
    before: RecordingSpectra,
    after: RecordingSpectra,
    channels: tuple[str, ...],
    parts: list[Parts],
    raw: Comparison,
) -> dict[str, ChannelChange]:
    """Change of every channel; `parts` holds those before, then those after."""
    logs = np.log(raw.weights[1] @ after.band) - np.log(raw.weights[0] @ before.band)
    ln_ratios = np.log(after.band.mean(axis=0)) - np.log(before.band.mean(axis=0))
    found = {}
    for row, name in enumerate(channels):
        adjusted, reason = _adjusted_channel(parts[row], parts[len(channels) + row])
        ln_ratio = float(ln_ratios[row])
        interval = percentile_interval(ln_ratio, logs[:, row], raw.stretch)
        found[name] = ChannelChange(ln_ratio, interval, adjusted, reason)
    return found


def _adjusted_channel(pre: Parts, post: Parts) -> tuple[float | None, str | None]:
    """Adjusted log ratio of one channel, or the reason for none."""
    values = []
    for side, part in (("before", pre), ("after", post)):
        if part.split_uv2 is None:
            return None, f"{side}: {part.reason}"
        if part.split_uv2[1] < MIN_RHYTHM_SHARE * sum(part.split_uv2):
            return None, (
                f"no rhythm to speak of {side}: less than {100.0 * MIN_RHYTHM_SHARE:.0f} % of the "
                "power in the band lies over the aperiodic part"
            )
        values.append(part.split_uv2[1])
    return math.log(values[1] / values[0]), None
