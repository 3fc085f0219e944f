"""EEG for the rows of a closed loop: a rhythm whose phase is known, and what may happen to it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tacs.clock import Clock
from tacs.eeg import EEGStream, open_source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CHANNEL", "Scene", "SceneEEG", "made_eeg", "true_phase"]

CHANNEL: Final = "Oz"
SFREQ_HZ: Final = 250.0
CHUNK: Final = 5
SECONDS: Final = 140.0
RHYTHM_UV, NOISE_UV = 20.0, 4.0
WIDTH_HZ: Final = 0.02  # full width of the rhythm's line at half its height
SEED: Final = 35


@dataclass(slots=True)
class Scene:
    """Where a session stands, for what happens in its course.

    Parameters
    ----------
    elapsed_s : float
        Session time; minus infinity before it starts.
    level : float
        Commanded.
    """

    elapsed_s: float = -math.inf
    level: float = 0.0


Meddle = Callable[[Any, Scene], Any]


class SceneEEG:
    """A source to which things happen.

    Parameters
    ----------
    inner : EEGStream
        As it would be.
    scene : Scene
        Of the session.
    meddle : callable, optional
        Takes a block and the scene, and returns what arrives of it; None: it is lost.
    """

    def __init__(self, inner: EEGStream, scene: Scene, meddle: Meddle | None) -> None:
        self._inner, self._scene, self._meddle = inner, scene, meddle
        self._lost = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def read(self, timeout_s: float = 0.0) -> Any:
        """Return what has arrived."""
        while True:
            block = self._inner.read(timeout_s)
            if self._meddle is None or not len(block):
                return block
            arrived = self._meddle(block, self._scene)
            if arrived is None:
                self._lost += len(block)
                continue
            if self._lost:
                arrived = dataclasses.replace(arrived, missing=arrived.missing + self._lost)
                self._lost = 0
            return arrived


def made_eeg(folder: Path, frequency_hz: float, clock: Clock, *, clock_ppm: float = 0.0) -> Any:
    """Write a recording with a rhythm of that frequency, where it is not there yet; play it.

    Parameters
    ----------
    folder : Path
        For the recording.
    frequency_hz : float
        Of the rhythm.
    clock : Clock
        Of the session.
    clock_ppm : float
        By how much the amplifier's clock is fast.
    """
    import mne
    import numpy as np

    path = folder / f"rhythm-{frequency_hz:g}_raw.fif"
    if not path.exists():
        phase, noise = true_phase(frequency_hz), np.random.default_rng(SEED + 1)
        signal = RHYTHM_UV * np.cos(phase) + NOISE_UV * noise.standard_normal(phase.size)
        info = mne.create_info([CHANNEL], SFREQ_HZ, "eeg")
        raw = mne.io.RawArray(1e-6 * signal[None], info, verbose="ERROR")
        raw.save(path, verbose="ERROR")
    return open_source(f"replay:{path}?chunk={CHUNK}&clock_ppm={clock_ppm:g}", clock)


def true_phase(frequency_hz: float) -> NDArray[np.float64]:
    """Phase of the rhythm at every sample of the recording; its line is 0.02 Hz wide."""
    import numpy as np

    n = round(SECONDS * SFREQ_HZ)
    steps = np.random.default_rng(SEED).standard_normal(n)
    walk = np.cumsum(steps) * math.sqrt(2.0 * math.pi * WIDTH_HZ / SFREQ_HZ)
    whole: NDArray[np.float64] = 2.0 * np.pi * frequency_hz * np.arange(n) / SFREQ_HZ + walk
    return whole
