"""Locking of a rhythm to a drive, and its null from references that were never there.

The phase locking of an unstimulated rhythm to any reference is the periodogram of its phasor at
the reference's frequency: it peaks at the rhythm's own frequency with nobody stimulating. The null
of a block is therefore measured in the same block, against virtual references a whole number of
turns per block beside the drive (a steady line has zeros there), and taken away.

For trains the reads are the gaps after them. Within a gap the rhythm forgets its phase before the
next train, so that the null of the squared mean phasor of n trains is 1/n.

References
----------
Lachaux et al. (1999), *Hum. Brain Mapp.* 8:194 (phase-locking value). Vinck et al. (2010),
*NeuroImage* 51:112 (bias of squared locking).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.profile_blocks import Block
from analysis.profile_null import NullLine, band_filter

__all__ = [
    "BlockLocking",
    "band_of",
    "continuous_locking",
    "gap_phasors",
    "phasors",
    "unit_of",
    "virtual_offsets_hz",
]

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

NEAR_HZ = 0.3
LEAST_BINS = 6
SETTLE_S = 1.0
HALF_BAND_HZ = 3.0
ONE_RHYTHM_HZ = 8.0
CYCLES, LEAST_CYCLES = 2.0, 1.5


@dataclass(frozen=True, slots=True)
class BlockLocking:
    """Squared phase locking of one block, and what it would be by chance.

    Parameters
    ----------
    blocks : tuple of Block
        Rows of the table that it is read from.
    plv2 : float
        Squared phase-locking value, mean over reads and channels.
    null : float
        The same against virtual references.
    virtual : ndarray, shape (n_virtual,)
        The virtual references' values one by one; empty where the null is known (trains).
    line_db : float
        Power of the drive's line over its neighbourhood, without any filter.
    seconds : float
        Seconds read.
    raised : float
        The null over what the references would give unweighed: far above 1, they lie on the flanks
        of the rhythm's line, and longer reads are needed.
    band_hz : (float, float)
        Of the phasors.
    """

    blocks: tuple[Block, ...]
    plv2: float
    null: float
    virtual: Array
    line_db: float
    seconds: float
    raised: float = 1.0
    band_hz: tuple[float, float] = (0.0, 0.0)

    @property
    def alike(self) -> tuple[Any, ...]:
        """What blocks have in common whose references scatter alike: band and number of reads."""
        return (self.band_hz, len(self.blocks))

    @property
    def block(self) -> Block:
        """First row."""
        return self.blocks[0]

    @property
    def excess(self) -> float:
        """Squared locking less its null."""
        return self.plv2 - self.null


def band_of(frequencies_hz: Sequence[float]) -> tuple[float, float] | None:
    """One band for all drives about one rhythm; None where each drive needs a band of its own."""
    low, high = min(frequencies_hz), max(frequencies_hz)
    if high - low > ONE_RHYTHM_HZ:
        return None
    return (max(1.0, low - 1.5), high + 1.5)


def phasors(data: Array, sfreq_hz: float, band_hz: tuple[float, float]) -> ComplexArray:
    """Unit phasors of a band-passed signal.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_times)
        Signal.
    sfreq_hz : float
        Its rate.
    band_hz : (float, float)
        Band.

    Returns
    -------
    ndarray of complex, shape (n_channels, n_times)

    Raises
    ------
    AnalysisError
        If the band does not fit the rate.
    """
    from scipy.fft import next_fast_len
    from scipy.signal import hilbert, sosfiltfilt

    if band_hz[1] >= 0.45 * sfreq_hz:
        raise AnalysisError(
            f"band up to {band_hz[1]:g} Hz in a recording at {sfreq_hz:g} Hz: too fast for it"
        )
    sos = band_filter(band_hz, sfreq_hz)
    centred = data - data.mean(axis=-1, keepdims=True)
    n_times = data.shape[-1]
    analytic = hilbert(sosfiltfilt(sos, centred, axis=-1), N=next_fast_len(n_times), axis=-1)
    analytic = analytic[..., :n_times]
    size = np.abs(analytic)
    if not np.all(size.max(axis=-1) > 0.0):
        raise AnalysisError("a channel is flat: leave it out of the picks")
    return np.asarray(analytic / np.maximum(size, 1e-30 * size.max()), dtype=np.complex128)


def virtual_offsets_hz(length_s: float) -> Array:
    """How far each virtual reference of a read of this length lies from the drive, rising."""
    return np.arange(2, _n_side(length_s) + 2) / length_s


def _n_side(length_s: float) -> int:
    """Virtual references on either side."""
    return max(LEAST_BINS, round(NEAR_HZ * max(length_s, 0.0)))


def continuous_locking(
    data: Array,
    unit: ComplexArray,
    sfreq_hz: float,
    rows: Sequence[Block],
    *,
    frequency_hz: float | None = None,
    drive: ComplexArray | None = None,
    settle_s: float = SETTLE_S,
    line: NullLine | None = None,
) -> BlockLocking:
    """Locking of one block to its drive, or to a reference of another frequency.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_times)
        Unfiltered signal, for the line.
    unit : ndarray of complex, shape (n_channels, n_times)
        Its phasors.
    sfreq_hz : float
        Rate.
    rows : sequence of Block
        Reads of the block, all of one frequency.
    frequency_hz : float, optional
        Frequency of the reference where it is not the block's own (sham).
    drive : ndarray of complex, shape (n_times,), optional
        Phasor of a recorded drive channel; the exact frequency otherwise.
    settle_s : float
        Left out after each start.
    line : NullLine, optional
        What chance gives over frequency; alike everywhere without.

    Returns
    -------
    BlockLocking

    Raises
    ------
    AnalysisError
        If a read is too short for a null beside the drive.
    """
    values, lines, seconds = [], [], 0.0
    length_s = min(b.stop_s - b.start_s for b in rows) - settle_s
    n_times = math.floor(length_s * sfreq_hz + 1e-6)
    n_side = _n_side(length_s)
    hz = rows[0].frequency_hz if frequency_hz is None else frequency_hz
    if length_s <= 0.0 or (n_side + 1) / length_s > 0.8 * HALF_BAND_HZ:
        raise AnalysisError(
            f"blocks of {length_s + settle_s:g} s at {hz:g} Hz: too short for a null beside the "
            f"drive; give {settle_s + (LEAST_BINS + 1) / (0.8 * HALF_BAND_HZ):.1f} s or more"
        )
    near = np.r_[-n_side - 1 : -1, 2 : n_side + 2]
    for row in rows:
        first = round((row.start_s + settle_s) * sfreq_hz)
        span = slice(first, first + n_times)
        if drive is None or frequency_hz is not None:
            turns = np.exp(-2j * np.pi * hz * np.arange(n_times) / sfreq_hz)
        else:
            turns = drive[span].conj()
        locked = np.abs(np.fft.fft(unit[:, span] * turns, axis=-1) / n_times) ** 2
        raw = data[:, span] - data[:, span].mean(axis=-1, keepdims=True)
        power = np.abs(np.fft.fft(raw * turns, axis=-1)) ** 2
        values.append(locked[:, np.r_[0, near]])
        lines.append(power[:, np.r_[0, near]])
        seconds += n_times / sfreq_hz
    mean = np.mean(values, axis=(0, 1))
    raised = 1.0
    if line is not None:
        beside = line.at(hz + near * sfreq_hz / n_times)
        more = float(line.at(np.array([hz]))[0]) / beside
        raised = float((mean[1:] * more).mean() / mean[1:].mean())
        mean[1:] *= more
    height = np.mean(lines, axis=0)
    ratio = np.mean(height[:, 0] / np.maximum(height[:, 1:].mean(axis=-1), 1e-300))
    return BlockLocking(
        tuple(rows),
        float(mean[0]),
        float(mean[1:].mean()),
        np.asarray(mean[1:]),
        10.0 * math.log10(max(float(ratio), 1e-12)),
        seconds,
        raised,
        (0.0, 0.0) if line is None else line.band_hz,
    )


def gap_phasors(
    data: Array,
    sfreq_hz: float,
    trains: Sequence[Block],
    *,
    read_s: tuple[float, float],
    cycles: float = CYCLES,
    step_s: float = 0.02,
    drive: ComplexArray | None = None,
) -> tuple[Array, ComplexArray]:
    """Phasors after each train against the drive continued, from samples of the gap alone.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_times)
        Unfiltered signal: a filter would carry the artefact into the gap.
    sfreq_hz : float
        Rate.
    trains : sequence of Block
        Trains of one frequency.
    read_s : (float, float)
        From and to, seconds after each offset.
    cycles : float
        Length of the Hann window in cycles of the drive; down to 1.5 where the gap has no room.
    step_s : float
        From one window to the next.
    drive : ndarray of complex, shape (n_times,), optional
        Phasor of a recorded drive channel; its phase over the last second of each train is used.

    Returns
    -------
    times_s : ndarray, shape (n_windows,)
        Middle of each window after the offset.
    value : ndarray of complex, shape (n_windows, n_trains, n_channels)
        Size and phase, the drive's phase taken away.

    Raises
    ------
    AnalysisError
        If the gap has no room for a window.
    """
    hz = trains[0].frequency_hz
    have = math.floor((read_s[1] - read_s[0]) * sfreq_hz + 1e-6)
    width = min(round(cycles / hz * sfreq_hz), have)
    room = have - width
    if width < LEAST_CYCLES / hz * sfreq_hz:
        raise AnalysisError(
            f"gap of {read_s[1] - read_s[0]:.2f} s: too short for {LEAST_CYCLES:g} cycles of "
            f"{hz:g} Hz"
        )
    step = max(1, round(step_s * sfreq_hz))
    begins = np.arange(0, room + 1, step)
    window = np.hanning(width + 2)[1:-1]
    middle = (begins + 0.5 * (width - 1)) / sfreq_hz
    found = []
    for train in trains:
        first = math.ceil((train.stop_s + read_s[0]) * sfreq_hz - 1e-6)
        phase = 2.0 * np.pi * hz * (first / sfreq_hz - train.start_s) + train.phase_rad
        if drive is not None:
            last = math.floor(train.stop_s * sfreq_hz)
            back = np.arange(max(0, last - round(sfreq_hz)), last)
            turned = drive[back] * np.exp(-2j * np.pi * hz * (back - first) / sfreq_hz)
            phase = float(np.angle(turned.mean()))
        pieces = np.stack([data[:, first + b : first + b + width] for b in begins])
        pieces = pieces - pieces.mean(axis=-1, keepdims=True)
        time_s = (begins[:, None] + np.arange(width)) / sfreq_hz
        turns = np.exp(-1j * (2.0 * np.pi * hz * time_s + phase))
        found.append(np.einsum("wct,wt->wc", pieces, turns * window))
    return np.asarray(middle + read_s[0]), np.stack(found, axis=1)


def unit_of(value: ComplexArray) -> ComplexArray:
    """Phasors of size 1."""
    return np.asarray(value / np.maximum(np.abs(value), 1e-300), dtype=np.complex128)


def train_locking(
    trains: Sequence[Block], unit: ComplexArray, rng: np.random.Generator, n_draws: int
) -> BlockLocking:
    """Locking over trains, and what phases drawn anew for each train give.

    Parameters
    ----------
    trains : sequence of Block
        Rows.
    unit : ndarray of complex, shape (n_trains, n_channels)
        Phasors after each train.
    rng : Generator
        Of the phases; one for all channels of a train.
    n_draws : int
        How many draws.

    Returns
    -------
    BlockLocking
        `line_db` is squared locking over its null.
    """
    n = len(unit)
    turns = np.exp(2j * np.pi * rng.random((n_draws, n)))
    drawn = np.mean(np.abs(turns @ unit / n) ** 2, axis=1)
    plv2 = float(np.mean(np.abs(unit.mean(axis=0)) ** 2))
    ratio_db = 10.0 * math.log10(max(plv2 * n, 1e-12))
    return BlockLocking(tuple(trains), plv2, 1.0 / n, drawn, ratio_db, 0.0)
