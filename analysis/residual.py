"""Lines in the band that are narrower than a rhythm can be: what a stimulator leaves behind.

A rhythm forgets its phase within a second or so and is at least some tenths of a hertz broad. A
sine that runs on through a recording of minutes fills one bin of 1/length. An oscillation driven
by a flickering light or a tone does too: both are told by their line, neither is a change of the
rhythm by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_BESIDE_HZ = 0.3
_OWN_BINS = 3
_FAMILY_LEVEL = 1e-3
_HANN_CORRELATION = 1.5  # neighbouring bins of a Hann window share: 1.5 bins make one
SHORTEST_S = 20.0
LEAST_EFFECT_LN = 0.02


@dataclass(frozen=True, slots=True)
class ResidualLine:
    """One line.

    Parameters
    ----------
    hz : float
        Frequency.
    side : {"before", "after"}
        In which recording.
    channels : tuple of str
        Channels that show it, the strongest first.
    amplitude_uv : float
        Amplitude in the strongest.
    """

    hz: float
    side: str
    channels: tuple[str, ...]
    amplitude_uv: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "hz": self.hz,
            "side": self.side,
            "channels": list(self.channels),
            "amplitude_uv": self.amplitude_uv,
        }


@dataclass(frozen=True, slots=True)
class Residual:
    """Lines in both recordings, and what they do to the primary number.

    Parameters
    ----------
    lines : tuple of ResidualLine
        What was found.
    effect_ln : float
        Part of the region's log power ratio that is the lines'.
    """

    lines: tuple[ResidualLine, ...]
    effect_ln: float

    @property
    def matters(self) -> bool:
        """Whether the lines move the region's log ratio by 0.02 or more."""
        return abs(self.effect_ln) >= LEAST_EFFECT_LN

    @property
    def text(self) -> str:
        """One line for the reader, empty without lines."""
        if not self.lines:
            return ""
        told = "; ".join(
            f"{line.hz:.2f} Hz {line.side} in {', '.join(line.channels[:4])}"
            f"{' and more' if len(line.channels) > 4 else ''} ({line.amplitude_uv:.1f} µV)"
            for line in self.lines
        )
        return (
            f"a line narrower than a rhythm can be ({told}): what a stimulator, a lamp or mains "
            f"leaves behind; it makes {100.0 * math.expm1(self.effect_ln):+.0f} % of the region's "
            "band power by itself"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "lines": [line.to_dict() for line in self.lines],
            "effect_ln": self.effect_ln,
        }


def find_lines(
    data_uv: Array,
    bad: NDArray[np.bool_],
    sfreq_hz: float,
    band_hz: tuple[float, float],
    channels: tuple[str, ...],
    side: str,
) -> tuple[list[ResidualLine], Array]:
    """Find lines in a band of one recording.

    Parameters
    ----------
    data_uv : ndarray, shape (n_channels, n_samples)
        EEG.
    bad : ndarray of bool, shape (n_samples,)
        Samples to leave out.
    sfreq_hz : float
        Sampling rate.
    band_hz : (float, float)
        Where to look.
    channels : tuple of str
        Names of the rows.
    side : {"before", "after"}
        Which recording this is.

    Returns
    -------
    lines : list of ResidualLine
        Lines, the strongest first.
    power_uv2 : ndarray, shape (n_channels,)
        Their power in each channel.

    Notes
    -----
    One periodogram of the whole recording (Hann), each bin against the mean of the bins within
    0.3 Hz. Of Gaussian noise with a spectrum smooth over 0.3 Hz the ratio follows Fisher's law
    with 2 and 2 m degrees of freedom, whatever its level; a bin counts where its p times the number
    of bins and channels is below .001 (Fisher 1929, Proc. R. Soc. A 125:54-59).
    """
    n = data_uv.shape[1]
    power = np.zeros(len(channels))
    if n < SHORTEST_S * sfreq_hz or bad.mean() > 0.5:
        return [], power
    taper = (0.5 - 0.5 * np.cos(2.0 * np.pi * (np.arange(n) + 0.5) / n)) * ~bad
    freqs = np.fft.rfftfreq(n, 1.0 / sfreq_hz)
    step = freqs[1]
    margin_hz = _BESIDE_HZ + 2.0 * step
    first, last = np.searchsorted(freqs, [band_hz[0] - margin_hz, band_hz[1] + margin_hz])
    clean = np.where(bad, 0.0, data_uv)
    centred = np.where(bad, 0.0, data_uv - clean.sum(axis=1, keepdims=True) / (~bad).sum())
    periodogram = np.abs(np.fft.rfft(centred * taper, axis=1)[:, first:last]) ** 2
    reach = round(_BESIDE_HZ / step)
    kernel = np.ones(2 * reach + 1)
    kernel[reach - _OWN_BINS : reach + _OWN_BINS + 1] = 0.0
    if kernel.sum() < 8:
        return [], power
    level = np.array([np.convolve(row, kernel / kernel.sum(), mode="same") for row in periodogram])
    inside = (freqs[first:last] >= band_hz[0]) & (freqs[first:last] <= band_hz[1])
    m = kernel.sum() / _HANN_CORRELATION
    log_p = -m * np.log1p(periodogram / np.maximum(level, np.finfo(float).tiny) / m)
    limit = math.log(_FAMILY_LEVEL / max(1, int(inside.sum()) * len(channels)))
    hit = (log_p < limit) & inside
    amplitude = 2.0 * np.sqrt(np.maximum(periodogram - level, 0.0)) / taper.sum()
    found: list[ResidualLine] = []
    left = hit.copy()
    while left.any():
        strength = np.where(left, amplitude, 0.0)
        place = int(np.argmax(strength.max(axis=0)))
        near = slice(max(0, place - _OWN_BINS), place + _OWN_BINS + 1)
        rows = np.flatnonzero(left[:, near].any(axis=1))
        heights = amplitude[:, near].max(axis=1)
        power[rows] += 0.5 * heights[rows] ** 2
        rows = rows[np.argsort(-heights[rows], kind="stable")]
        found.append(
            ResidualLine(
                float(freqs[first + place]),
                side,
                tuple(channels[row] for row in rows),
                float(heights[rows[0]]),
            )
        )
        left[:, near] = False
    return found, power


def residual_lines(
    sides: tuple[tuple[Array, NDArray[np.bool_]], tuple[Array, NDArray[np.bool_]]],
    sfreq_hz: float,
    band_hz: tuple[float, float],
    channels: tuple[str, ...],
    region: tuple[str, ...],
    band_power_uv2: tuple[float, float],
) -> Residual:
    """Find lines in both recordings, and their part in the region's log ratio.

    Parameters
    ----------
    sides : ((ndarray, ndarray), (ndarray, ndarray))
        EEG in µV, shape (n_channels, n_samples), and bad samples, before and after.
    sfreq_hz, band_hz, channels : float, (float, float), tuple of str
        As in `find_lines`.
    region : tuple of str
        Channels of the region.
    band_power_uv2 : (float, float)
        Band power of the region before and after.

    Returns
    -------
    Residual
        Lines and their effect.
    """
    rows = [channels.index(name) for name in region]
    lines: list[ResidualLine] = []
    left = []
    for name, (data, bad), total in zip(("before", "after"), sides, band_power_uv2, strict=True):
        found, power = find_lines(data, bad, sfreq_hz, band_hz, channels, name)
        lines += found
        share = float(power[rows].mean()) / total if total > 0.0 else 0.0
        left.append(math.log(max(1.0 - share, 1e-3)))
    return Residual(tuple(lines), left[0] - left[1])
