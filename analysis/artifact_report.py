"""What an honest removal of an artefact tells of itself: residue, sidebands, locking, clipping.

References
----------
Noury, Hipp & Siegel (2016), *NeuroImage* 140:99-109 (sidebands of heartbeat and breathing). Kasten
& Herrmann (2019), *Brain Topography* 32:1013-1019.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.artifact_lines import (
    Stimulated,
    covariance,
    independent_samples,
    shifted_down,
    whitener,
)

__all__ = [
    "LineResidue",
    "Locking",
    "clipped_share",
    "foreign_line_hz",
    "line_residue",
    "locking",
    "off_frequency_db",
    "spectra",
]

Array = NDArray[np.float64]

SEGMENT_S = 20.0
LINE_HZ = (0.0, 0.1)
BREATH_HZ = (0.2, 0.3)
HEART_HZ = (1.0, 1.3)
NEAR_HZ = (0.4, 0.85)
FLANK_HZ = ((0.7, 0.9), (1.4, 1.6))
FOREIGN = 100.0
_SAME = 1e-6
_LEAST_DB = -60.0


def clipped_share(data: Array) -> Array:
    """Share of the samples of each channel that sit on its largest or smallest value.

    Three or more in a row, equal to a millionth of the channel's range: a converter at its end
    repeats its last value (a sine between two samples has two such). What was filtered after it
    had clipped cannot be seen.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_times)
        As recorded.

    Returns
    -------
    ndarray, shape (n_channels,)
        0 to 1; 1 for a channel that never changes.
    """
    low, high = data.min(axis=1, keepdims=True), data.max(axis=1, keepdims=True)
    near = _SAME * (high - low)
    share = np.zeros(data.shape[0])
    for end in (low, high):
        at = np.abs(data - end) <= near
        middle = at[:, :-2] & at[:, 1:-1] & at[:, 2:]
        run = np.zeros_like(at)
        for first in range(3):
            run[:, first : first + middle.shape[1]] |= middle
        share += np.mean(run, axis=1)
    share[(high == low)[:, 0]] = 1.0
    return np.asarray(share)


def spectra(data: Array, sfreq_hz: float) -> tuple[Array, Array]:
    """Welch spectra with Hann segments of 20 s (or the whole of less), half overlapping.

    Returns
    -------
    freqs_hz : ndarray, shape (n_freqs,)
    psd : ndarray, shape (n_channels, n_freqs)
    """
    from scipy.signal import welch

    length = min(round(SEGMENT_S * sfreq_hz), data.shape[1])
    freqs, psd = welch(data, sfreq_hz, "hann", nperseg=length, axis=1)
    return np.asarray(freqs, dtype=np.float64), np.asarray(psd, dtype=np.float64)


def foreign_line_hz(case: Stimulated) -> float | None:
    """Frequency of a strong line beside the one stated: where the current really was.

    Returns
    -------
    float or None
        A peak within the band, away from the frequency stated, 20 dB over rest and over what lies
        around, and 10 dB over the peak at the frequency stated.
    """
    half = case.half_width_hz
    white = whitener(covariance(shifted_down(case.rest, case.sfreq_hz, case.stim_hz, half)))
    freqs, psd = spectra(white.forward @ case.stim, case.sfreq_hz)
    inside = np.abs(freqs - case.stim_hz) <= half
    power = psd.sum(axis=0)[inside]
    best = int(np.argmax(power))
    # White against rest: a channel's share of the band's unit power.
    rest_level = white.rank / (2.0 * half)
    over = power[best] / max(float(np.median(power)), rest_level)
    away = np.abs(freqs[inside] - case.stim_hz) > 1.5 * LINE_HZ[1]
    stated = float(power[~away].max()) if not away.all() else 0.0
    found = over > FOREIGN and bool(away[best]) and power[best] > 10.0 * stated
    return float(freqs[inside][best]) if found else None


def _away(freqs_hz: Array, line_hz: float, window_hz: tuple[float, float]) -> NDArray[np.bool_]:
    """Bins that far above or below a line."""
    distance = np.abs(freqs_hz - line_hz)
    step = freqs_hz[1] - freqs_hz[0]
    inside = (distance >= window_hz[0] - 0.25 * step) & (distance <= window_hz[1] + 0.25 * step)
    return np.asarray(inside)


def _near(freqs_hz: Array, line_hz: float) -> NDArray[np.bool_]:
    """Bins between the sidebands of breathing and of the heart."""
    return _away(freqs_hz, line_hz, NEAR_HZ)


def _flank(freqs_hz: Array, line_hz: float) -> NDArray[np.bool_]:
    """Bins to either side of the heart's sideband."""
    return _away(freqs_hz, line_hz, FLANK_HZ[0]) | _away(freqs_hz, line_hz, FLANK_HZ[1])


def _over(psd: Array, rest: Array, bins: NDArray[np.bool_]) -> Array:
    """Power of each channel over rest, dB."""
    ratio = psd[:, bins].mean(axis=1) / rest[:, bins].mean(axis=1)
    return np.asarray(np.maximum(10.0 * np.log10(np.maximum(ratio, 1e-300)), _LEAST_DB))


@dataclass(frozen=True, slots=True)
class LineResidue:
    """Power at and beside one line, over rest, before and after; medians over channels, dB.

    Parameters
    ----------
    frequency_hz : float
        Line.
    line_db, breath_db, heart_db : (float, float)
        Within 0.1 Hz, 0.2 to 0.3 Hz and 1.0 to 1.3 Hz either side: before and after.
    near_db, flank_db : (float, float)
        Where neither line nor sideband lies, between 0.4 and 0.85 Hz, and around the heart's
        sideband: what the brain (or a broad artefact) changed there.
    left_db : float
        Most that is left at line or sidebands over what lies beside, in a tenth of the channels.
    worst : (str, float)
        Channel with most left, and that.
    """

    frequency_hz: float
    line_db: tuple[float, float]
    breath_db: tuple[float, float]
    heart_db: tuple[float, float]
    near_db: tuple[float, float]
    flank_db: tuple[float, float]
    left_db: float
    worst: tuple[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""

        def pair(values: tuple[float, float]) -> dict[str, float]:
            return {"before": round(values[0], 2), "after": round(values[1], 2)}

        return {
            "frequency_hz": round(self.frequency_hz, 5),
            "line_db": pair(self.line_db),
            "respiration_db": pair(self.breath_db),
            "heartbeat_db": pair(self.heart_db),
            "beside_line_db": pair(self.near_db),
            "beside_heartbeat_db": pair(self.flank_db),
            "left_db": round(self.left_db, 2),
            "worst_channel": {"name": self.worst[0], "left_db": round(self.worst[1], 2)},
        }


def line_residue(
    freqs_hz: Array,
    before: Array,
    after: Array,
    rest: Array,
    line_hz: float,
    names: list[str],
) -> LineResidue:
    """Compare power at a line, its sidebands and beside them with rest.

    Parameters
    ----------
    freqs_hz : ndarray, shape (n_freqs,)
        Of the spectra.
    before, after, rest : ndarray, shape (n_channels, n_freqs)
        Under current, cleaned, at rest.
    line_hz : float
        The line.
    names : list of str
        Channels.

    Returns
    -------
    LineResidue
    """
    per = {
        name: [_over(psd, rest, bins) for psd in (before, after)]
        for name, bins in (
            ("line", _away(freqs_hz, line_hz, LINE_HZ)),
            ("breath", _away(freqs_hz, line_hz, BREATH_HZ)),
            ("heart", _away(freqs_hz, line_hz, HEART_HZ)),
            ("near", _near(freqs_hz, line_hz)),
            ("flank", _flank(freqs_hz, line_hz)),
        )
    }
    left = np.max(
        [
            per["line"][1] - per["near"][1],
            per["breath"][1] - per["near"][1],
            per["heart"][1] - per["flank"][1],
        ],
        axis=0,
    )
    worst = int(np.argmax(left))

    def both(name: str) -> tuple[float, float]:
        first, second = (float(np.median(values)) for values in per[name])
        return first, second

    return LineResidue(
        frequency_hz=line_hz,
        line_db=both("line"),
        breath_db=both("breath"),
        heart_db=both("heart"),
        near_db=both("near"),
        flank_db=both("flank"),
        left_db=float(np.percentile(left, 90.0)),
        worst=(names[worst], float(left[worst])),
    )


def off_frequency_db(
    freqs_hz: Array, after: Array, rest: Array, stim_hz: float, half_width_hz: float
) -> Array:
    """Change of power around the frequency with line and sidebands left out, dB per channel."""
    bins = _near(freqs_hz, stim_hz) | _flank(freqs_hz, stim_hz)
    if half_width_hz > FLANK_HZ[1][1]:
        bins |= _away(freqs_hz, stim_hz, (FLANK_HZ[1][0], half_width_hz))
    return _over(after, rest, bins)


@dataclass(frozen=True, slots=True, eq=False)
class Locking:
    """Phase locking value of each channel to the stimulator.

    Parameters
    ----------
    before, after, rest : ndarray, shape (n_channels,)
        0 to 1. At rest the stimulator is an imagined sine.
    chance95 : float
        Below it lie 95 % of channels that do not follow anything.
    """

    before: Array
    after: Array
    rest: Array
    chance95: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types: mean and largest over channels."""
        return {
            **{
                name: {"mean": round(float(v.mean()), 4), "max": round(float(v.max()), 4)}
                for name, v in (("before", self.before), ("after", self.after), ("rest", self.rest))
            },
            "chance95": round(self.chance95, 4),
        }


def locking(case: Stimulated, cleaned: Array) -> Locking:
    """Measure the phase locking to the stimulator before and after, within 1 Hz of it."""
    half = min(1.0, 0.3 * case.stim_hz)

    def value(data: Array) -> Array:
        envelope = shifted_down(data, case.sfreq_hz, case.stim_hz, half, 0.25)
        turn = np.exp(2j * np.pi * case.stim_hz * case.times_s()) * case.phasor(case.stim_hz).conj()
        n = min(turn.size, data.shape[1])
        turned = envelope[:, :n] * turn[:n]
        size = np.abs(turned)
        phase = np.divide(turned, size, out=np.zeros_like(turned), where=size > 0.0)
        return np.asarray(np.abs(phase.mean(axis=1)))

    n_free = independent_samples(case.stim.shape[1] / case.sfreq_hz, half + 0.125)
    return Locking(value(case.stim), value(cleaned), value(case.rest), math.sqrt(3.0 / n_free))
