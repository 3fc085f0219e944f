"""Made pairs of recordings on a head, with a planted change of alpha and artefacts on top of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from tests.analysis.made_head import S19, directions_of, made_head, raw_of, topography

Array = NDArray[np.float64]

EYES = np.array([0.0, 0.93, -0.37])
JAW = np.array([-0.95, 0.15, -0.25])
CHEST = np.array([-0.75, -0.35, -0.55])


@dataclass(frozen=True, slots=True)
class Artefacts:
    """What is added to one recording."""

    blinks_per_min: float = 0.0
    muscle_uv: float = 0.0
    heart_uv: float = 0.0
    line_uv: float = 0.0


BLINKS = Artefacts(blinks_per_min=18.0)
ALL = Artefacts(blinks_per_min=18.0, muscle_uv=12.0, heart_uv=15.0, line_uv=10.0)
NONE = Artefacts()


def _map(direction: Array, names: tuple[str, ...], depth: float) -> Array:
    """Scalp map with its largest value 1."""
    found = topography(directions_of(names) @ (direction / np.linalg.norm(direction)), depth)
    return np.asarray(found / np.abs(found).max())


def _waves(rng: np.random.Generator, n: int, sfreq_hz: float, times_s: Array, wave: Array) -> Array:
    """One wave at each of the times, amplitudes differing by a tenth."""
    out = np.zeros(n + wave.size)
    for start in (times_s * sfreq_hz).astype(int):
        if start < n:
            out[start : start + wave.size] += wave * rng.normal(1.0, 0.1)
    return out[:n]


def add_artefacts(
    data: Array, names: tuple[str, ...], sfreq_hz: float, seed: int, what: Artefacts
) -> Array:
    """Signals in volt with artefacts on top, shape (n_channels, n_samples)."""
    rng = np.random.default_rng(seed + 10_000)
    n = data.shape[1]
    out = data.copy()
    if what.blinks_per_min:
        gaps = rng.gamma(4.0, 60.0 / what.blinks_per_min / 4.0, 2000)
        times = np.cumsum(gaps)
        lid = np.hanning(round(0.35 * sfreq_hz)) ** 1.5
        out += 150e-6 * _map(EYES, names, 0.85)[:, None] * _waves(rng, n, sfreq_hz, times, lid)
    if what.muscle_uv:
        sos = butter(4, 20.0, "highpass", fs=sfreq_hz, output="sos")
        burst = sosfiltfilt(sos, rng.normal(size=n))
        tense = (
            np.sin(2.0 * np.pi * np.arange(n) / sfreq_hz / 11.0 + rng.uniform(0, 6)) > 0.0
        ) + 0.2
        burst = burst / burst.std() * tense
        out += 1e-6 * what.muscle_uv * _map(JAW, names, 0.93)[:, None] * burst
    if what.heart_uv:
        times = np.cumsum(rng.normal(0.9, 0.04, 2000))
        beat = np.concatenate([-0.2 * np.hanning(4), np.hanning(8), -0.3 * np.hanning(6)])
        out += (
            1e-6
            * what.heart_uv
            * _map(CHEST, names, 0.3)[:, None]
            * _waves(rng, n, sfreq_hz, times, beat)
        )
    if what.line_uv:
        hum = np.sin(2.0 * np.pi * 50.0 * np.arange(n) / sfreq_hz + rng.uniform(0.0, 6.0))
        out += 1e-6 * what.line_uv * rng.uniform(0.3, 1.0, (len(names), 1)) * hum
    return out


def made_pair_on_head(
    seed: int,
    *,
    names: tuple[str, ...] = S19,
    alpha_ratio: float = 1.0,
    duration_s: float = 63.0,
    sfreq_hz: float = 128.0,
    before: Artefacts = NONE,
    after: Artefacts = NONE,
    alpha_uv: float = 12.0,
) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """(before, after) with artefacts, and the same without; `alpha_ratio` multiplies alpha power.

    One head, so that the sources lie where they lay; their signals are new.
    """
    clear = [
        made_head(
            seed,
            names,
            duration_s=2.0 * duration_s,
            sfreq_hz=sfreq_hz,
            reference=None,
            alpha_uv=alpha_uv * np.sqrt(gain),
        )
        for gain in (1.0, alpha_ratio)
    ]
    half = clear[0].shape[1] // 2
    sides = [clear[0][:, :half], clear[1][:, half:]]
    spoilt = [
        add_artefacts(side, names, sfreq_hz, 2 * seed + number, what)
        for number, (side, what) in enumerate(zip(sides, (before, after), strict=True))
    ]
    made = [tuple(raw_of(one, names, sfreq_hz) for one in pair) for pair in (spoilt, sides)]
    return (made[0][0], made[0][1]), (made[1][0], made[1][1])
