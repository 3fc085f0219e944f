"""Bad channels of a pair of recordings, filled in by their neighbours for maps alone.

What is interpolated holds nothing of its own: it is a weighted sum of the good channels. So it is
drawn, counted and named, and enters neither the region, nor connectivity, nor the average
reference, nor the rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.clean import MOST_BAD, silence
from analysis.clean_spans import interpolate
from analysis.placement import MIN_CHANNELS, directions
from analysis.power import measure

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interpolated:
    """Channels that are sums of others.

    Parameters
    ----------
    channels : tuple of str
        The channels filled in; none where there is nothing bad, or a reason against it.
    weights : ndarray, shape (n_interpolated, n_channels)
        Their value from the good channels, the same in both recordings.
    info : mne.Info or None
        Their description, with positions.
    not_filled : tuple of str
        Bad channels that were only left out.
    reason : str or None
        Why these were.
    """

    channels: tuple[str, ...]
    weights: Array
    info: Any
    not_filled: tuple[str, ...]
    reason: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "method": "spherical splines" if self.channels else None,
            "channels": list(self.channels),
            "used_for": "maps alone: not for region, connectivity, average reference or rank",
            "not_interpolated": list(self.not_filled),
            "reason": self.reason,
        }


def interpolate_bad(raw: Any, good: Sequence[str], bad: Sequence[str]) -> Interpolated:
    """Weights that fill bad channels in.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        A recording with the positions of its electrodes, or the usual ones of their names.
    good, bad : sequence of str
        Channels good in both recordings, and channels bad in either.

    Returns
    -------
    Interpolated
        Spherical splines of MNE (Perrin et al. 1989, Electroencephalogr. Clin. Neurophysiol.
        72:184-187). Nothing is filled in where a position is unknown, fewer than eight good
        channels have one, or more than a third of the channels are bad.
    """
    good, bad = tuple(good), tuple(bad)
    nothing = np.zeros((0, len(good)))
    if not bad:
        return Interpolated((), nothing, None, (), None)
    direction = directions(raw, [*good, *bad])
    placed = (
        np.zeros(len(good) + len(bad), dtype=bool)
        if direction is None
        else np.isfinite(direction[:, 0])
    )
    base = [name for name, there in zip(good, placed[: len(good)], strict=True) if there]
    filled = tuple(name for name, there in zip(bad, placed[len(good) :], strict=True) if there)
    lost = tuple(name for name in bad if name not in filled)
    if len(base) < MIN_CHANNELS:
        reason = (
            f"{MIN_CHANNELS} good channels with known positions are needed, there are {len(base)}"
        )
        return Interpolated((), nothing, None, bad, reason)
    if len(filled) > MOST_BAD * (len(base) + len(filled)):
        reason = f"{len(filled)} of {len(base) + len(filled)} channels with positions are bad"
        return Interpolated((), nothing, None, bad, reason)
    unknown = "their positions are unknown" if lost else None
    if not filled:
        return Interpolated((), nothing, None, bad, unknown)
    return Interpolated(filled, *_weights(raw, good, base, filled), lost, unknown)


@dataclass(frozen=True, slots=True)
class FilledMaps:
    """Band power of the channels filled in.

    Parameters
    ----------
    channels : tuple of str
        The channels.
    before_uv2, after_uv2 : ndarray, shape (n_interpolated,)
        Power, µV².
    info : mne.Info or None
        Their description, with positions.
    """

    channels: tuple[str, ...]
    before_uv2: Array
    after_uv2: Array
    info: Any


def filled_maps(
    interpolated: Interpolated,
    sides: tuple[tuple[Array, NDArray[np.bool_]], tuple[Array, NDArray[np.bool_]]],
    sfreq_hz: float,
    band_hz: tuple[float, float],
) -> FilledMaps:
    """Band power of the channels filled in, for maps.

    Parameters
    ----------
    interpolated : Interpolated
        What is filled in.
    sides : ((ndarray, ndarray), (ndarray, ndarray))
        Good channels in µV, shape (n_channels, n_samples), and samples to avoid, shape
        (n_samples,), before and after.
    sfreq_hz : float
        Sampling rate.
    band_hz : (float, float)
        Band.

    Returns
    -------
    FilledMaps
    """
    if not interpolated.channels:
        return FilledMaps((), np.zeros(0), np.zeros(0), None)
    before, after = (
        measure(interpolated.weights @ data, sfreq_hz, [0], band_hz, bad=bad).band.mean(axis=0)
        for data, bad in sides
    )
    return FilledMaps(interpolated.channels, before, after, interpolated.info)


def _weights(
    raw: Any, good: tuple[str, ...], base: list[str], filled: tuple[str, ...]
) -> tuple[Array, Any]:
    """Interpolation of one unit in each good channel, and the description of the result."""
    import mne

    with silence():
        names = [*base, *filled]
        index = [raw.ch_names.index(name) for name in names]
        info = mne.pick_info(raw.info, index)
        unit = np.vstack([np.eye(len(base)), np.zeros((len(filled), len(base)))])
        probe = mne.io.RawArray(unit, info)
        probe.info["bads"] = list(filled)
        interpolate(probe)
        columns = probe.get_data(picks=list(filled))
    weights = np.zeros((len(filled), len(good)))
    weights[:, [good.index(name) for name in base]] = columns
    return weights, mne.pick_info(raw.info, [raw.ch_names.index(name) for name in filled])
