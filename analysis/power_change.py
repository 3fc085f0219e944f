"""Band power before and after: raw, relative, over the aperiodic part, per channel, re-centred."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.power import (
    FIT_HZ,
    TOTAL_HZ,
    Parts,
    RecordingSpectra,
    band_power,
    db_of_ln,
    oscillatory_replicates,
    percent_of_ln,
    take_apart,
)
from analysis.statistics import (
    Comparison,
    Direction,
    compare_series,
    direction_of,
    percentile_interval,
)

Array = NDArray[np.float64]

APERIODIC_SHIFT = "aperiodic shift, not oscillation"
MAX_FITTED_CHANNELS = 20


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
    """

    pre: float | None
    post: float | None
    ln_ratio: float | None
    interval_ln: tuple[float, float] | None
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
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
    """Change of raw band power in one channel, and of adjusted power in channels of the region."""

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
    parts_pre, parts_post : Parts
        Aperiodic fits.
    aperiodic_share : float or None
        Share of the raw change that the aperiodic part accounts for.
    verdict : str
        Whether the raw change is one of the oscillation.
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
    parts_pre: Parts
    parts_post: Parts
    aperiodic_share: float | None
    verdict: str
    per_channel: dict[str, ChannelChange]
    region: tuple[str, ...]

    @property
    def direction(self) -> Direction:
        """Direction of the rhythm: that of raw power, unless the aperiodic part explains it."""
        found = direction_of(self.raw.interval_ln)
        if self.verdict != APERIODIC_SHIFT:
            return found
        return "none" if direction_of(self.adjusted.interval_ln) == "none" else "undetermined"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, contract keys first."""
        raw = self.raw
        pre, post = self.parts_pre.fit, self.parts_post.fit
        known = None if pre is None or post is None else (pre, post)
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
                "pre": self.parts_pre.to_dict(),
                "post": self.parts_post.to_dict(),
                "offset_change": known and known[1].offset - known[0].offset,
                "exponent_change": known and known[1].exponent - known[0].exponent,
                "share_of_raw_change": self.aperiodic_share,
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
    of the region (`analysis.statistics.compare_series`). The verdict "aperiodic shift, not
    oscillation" needs three things: the interval of raw power excludes 0, at least half of the raw
    change is the aperiodic part's, and adjusted power is not shown to move the same way.
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
    parts = tuple(take_apart(freqs, psd, band_hz, fit_hz) for psd in psds)
    adjusted = _adjusted(freqs, psds, replicates, (parts[0], parts[1]), band_hz, raw.stretch)
    share = _share(parts[0], parts[1])
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
        parts_pre=parts[0],
        parts_post=parts[1],
        aperiodic_share=share,
        verdict=_verdict(raw, adjusted, share),
        per_channel=_per_channel(before, after, channels, region, band_hz, fit_hz, raw),
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


def _adjusted(
    freqs_hz: Array,
    psds: tuple[Array, Array],
    replicates: tuple[Array, Array],
    parts: tuple[Parts, Parts],
    band_hz: tuple[float, float],
    stretch: float,
) -> RatioChange:
    """Ratio of power over the aperiodic part."""
    values, resampled = [], []
    for side, psd, rows, part in zip(("before", "after"), psds, replicates, parts, strict=True):
        if part.fit is None or part.split_uv2 is None:
            return RatioChange(None, None, None, None, f"{side}: {part.reason}")
        values.append(part.split_uv2[1])
        resampled.append(oscillatory_replicates(freqs_hz, psd, rows, part.fit, band_hz))
    return _ratio(values[0], values[1], resampled[0], resampled[1], stretch=stretch)


def _share(pre: Parts, post: Parts) -> float | None:
    """Share of the raw change that is the aperiodic part's."""
    if pre.split_uv2 is None or post.split_uv2 is None:
        return None
    change = sum(post.split_uv2) - sum(pre.split_uv2)
    return (post.split_uv2[0] - pre.split_uv2[0]) / change if change != 0.0 else None


def _verdict(raw: Comparison, adjusted: RatioChange, share: float | None) -> str:
    """Whether a raw change is one of the oscillation."""
    moved = direction_of(raw.interval_ln)
    if moved not in ("increase", "decrease"):
        return "no clear change of band power"
    if direction_of(adjusted.interval_ln) == moved:
        return "oscillation"
    if share is None:
        return f"not assessed: {adjusted.reason}"
    return APERIODIC_SHIFT if share >= 0.5 else "unclear: adjusted power is too uncertain"


def _per_channel(
    before: RecordingSpectra,
    after: RecordingSpectra,
    channels: tuple[str, ...],
    region: tuple[str, ...],
    band_hz: tuple[float, float],
    fit_hz: tuple[float, float],
    raw: Comparison,
) -> dict[str, ChannelChange]:
    """Change of every channel; the costly adjusted one for the channels of the region."""
    logs = np.log(raw.weights[1] @ after.band) - np.log(raw.weights[0] @ before.band)
    ln_ratios = np.log(after.band.mean(axis=0)) - np.log(before.band.mean(axis=0))
    found = {}
    for row, name in enumerate(channels):
        adjusted: float | None = None
        reason: str | None = "only for channels of the region"
        if name in region and len(region) > MAX_FITTED_CHANNELS:
            reason = f"only for regions of up to {MAX_FITTED_CHANNELS} channels"
        elif name in region:
            parts = [
                take_apart(one.freqs_hz, one.channels[row], band_hz, fit_hz)
                for one in (before, after)
            ]
            adjusted, reason = _adjusted_channel(parts[0], parts[1])
        ln_ratio = float(ln_ratios[row])
        found[name] = ChannelChange(
            ln_ratio, percentile_interval(ln_ratio, logs[:, row], raw.stretch), adjusted, reason
        )
    return found


def _adjusted_channel(pre: Parts, post: Parts) -> tuple[float | None, str | None]:
    """Adjusted log ratio of one channel, or the reason for none."""
    values = []
    for side, part in (("before", pre), ("after", post)):
        if part.split_uv2 is None:
            return None, f"{side}: {part.reason}"
        if part.split_uv2[1] <= 0.0:
            return None, f"no power over the aperiodic part in the band {side}"
        values.append(part.split_uv2[1])
    return math.log(values[1] / values[0]), None
