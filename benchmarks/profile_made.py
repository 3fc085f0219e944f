"""Sessions of a response profile with known truth: many virtual oscillators at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.profile_blocks import Block
from devices.rhythm import Rhythm, integrate

__all__ = ["OFFSETS_HZ", "Made", "made_sweeps", "made_trains"]

Array = NDArray[np.float64]

SFREQ_HZ = 250.0
STEPS_PER_S = 1000
CHUNK = 5000
OFFSETS_HZ = (-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0)


@dataclass(frozen=True, slots=True)
class Made:
    """One made session: its recording (one channel), its table, and the truth."""

    raw: Any
    blocks: list[Block]
    peak_hz: float


def made_sweeps(
    n: int,
    levels: Sequence[float],
    seed: int,
    *,
    real_ma: float | None = None,
    block_s: float = 120.0,
    gap_s: float = 12.0,
    sham_blocks: int = 1,
    repeats: int = 1,
    wander_hz: float = 0.15,
    background: float = 0.6,
    fwhm_hz: float = 1.0,
) -> list[Made]:
    """Continuous sweeps of `n` patients, nine frequencies about an estimate of each one's peak.

    `real_ma` replaces the levels that the table names (0: the stimulator is off). `background` is
    the rms of a 1/f^1.5 background over the amplitude of the rhythm.
    """
    rng = np.random.default_rng(seed)
    peaks = np.clip(rng.normal(10.0, 0.9, n), 7.5, 12.5)
    tables = []
    for peak in peaks:
        guess = round(float(peak + rng.normal(0.0, 0.1)), 2)
        rows: list[tuple[float, float, str]] = []
        for _ in range(repeats):
            rows += [(guess + d, level, "drive") for level in levels for d in OFFSETS_HZ]
        rows += [(guess, max(levels), "sham")] * sham_blocks
        order = rng.permutation(len(rows))
        table = []
        for place, which in enumerate(order):
            hz, level, kind = rows[which]
            start = gap_s + place * (block_s + gap_s)
            table.append(
                Block(hz, level, "drive" if kind == "drive" else "sham", start, start + block_s)
            )
        tables.append(table)
    wave = _recorded(peaks, tables, rng, real_ma, wander_hz, background, gap_s, fwhm_hz)
    return _made(wave, tables, peaks)


def made_trains(
    n: int,
    level: float,
    trains: int,
    seed: int,
    *,
    real_ma: float | None = None,
    artefact: float = 0.0,
    fwhm_hz: float = 1.0,
    background: float = 0.6,
    on_s: float = 2.0,
    off_s: float = 1.5,
    frequencies: int = 1,
) -> list[Made]:
    """Trains at the peak (and 2 Hz either side with three frequencies); sham trains beside them."""
    rng = np.random.default_rng(seed)
    peaks = np.clip(rng.normal(10.0, 0.9, n), 7.5, 12.5)
    offsets = (0.0,) if frequencies == 1 else (-2.0, 0.0, 2.0)
    tables = []
    for peak in peaks:
        table = []
        start = 2.0
        for offset in offsets:
            for _ in range(trains):
                hz = round(float(peak), 2) + offset
                table.append(Block(hz, level, "drive", start, start + on_s))
                start += on_s + off_s
        tables.append(table)
    wave = _recorded(
        peaks, tables, rng, real_ma, 0.0, background, off_s, fwhm_hz, artefact=artefact
    )
    return _made(wave, tables, peaks)


def _recorded(
    peaks: Array,
    tables: Sequence[Sequence[Block]],
    rng: np.random.Generator,
    real_ma: float | None,
    wander_hz: float,
    background: float,
    tail_s: float,
    fwhm_hz: float,
    artefact: float = 0.0,
) -> Array:
    """Signals, shape (n_patients, n_times); every patient's blocks are at the same times."""
    n = len(peaks)
    length_s = tables[0][-1].stop_s + tail_s
    n_steps = int(length_s * STEPS_PER_S) // CHUNK * CHUNK + CHUNK
    every = round(STEPS_PER_S / SFREQ_HZ)
    rhythm = Rhythm(fwhm_hz=fwhm_hz)
    state = np.exp(2j * np.pi * rng.random((n, 1)))
    drift = wander_hz * rng.standard_normal(n)
    wave = np.empty((n, n_steps // every))
    for first in range(0, n_steps, CHUNK):
        times = np.arange(first, first + CHUNK) / STEPS_PER_S
        drive = np.zeros((CHUNK, n, 1))
        for i, table in enumerate(tables):
            for b in table:
                if b.kind != "drive" or b.stop_s < times[0] or b.start_s > times[-1]:
                    continue
                on = (times >= b.start_s) & (times < b.stop_s)
                level = b.level if real_ma is None else real_ma
                turns = 2.0 * np.pi * b.frequency_hz * (times[on] - b.start_s)
                drive[on, i, 0] = level * np.cos(turns + b.phase_rad)
        kept, state = integrate(
            state,
            rhythm,
            CHUNK,
            rng,
            frequency_hz=np.broadcast_to((peaks + drift)[None, :, None], (CHUNK, n, 1)),
            drive_ma=drive,
            keep_every=every,
        )
        part = slice(first // every, (first + CHUNK) // every)
        wave[:, part] = kept[..., 0].real.T + artefact * drive[::every, :, 0].T
        fade = np.exp(-CHUNK / STEPS_PER_S / 60.0)
        drift = fade * drift + wander_hz * np.sqrt(1.0 - fade**2) * rng.standard_normal(n)
    freqs = np.fft.rfftfreq(wave.shape[1], 1.0 / SFREQ_HZ)
    slope = np.where(freqs >= 0.5, np.maximum(freqs, 0.5) ** -0.75, 0.0)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(wave.shape)) * slope, wave.shape[1])
    return np.asarray(wave + background * noise / noise.std(axis=1, keepdims=True))


def _made(wave: Array, tables: Sequence[list[Block]], peaks: Array) -> list[Made]:
    """Recordings of 10 microvolts per unit."""
    import mne

    info = mne.create_info(["Oz"], SFREQ_HZ, "eeg")
    return [
        Made(mne.io.RawArray(1e-5 * one[None], info, verbose="ERROR"), table, float(peak))
        for one, table, peak in zip(wave, tables, peaks, strict=True)
    ]
