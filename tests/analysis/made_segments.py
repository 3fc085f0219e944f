"""Made segment spectra of known truth: Hann segments of Gaussian signals, source by source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.spectrum import segment_spectra
from tests.analysis.noise import coloured

Array = NDArray[np.float64]

FREQS_HZ: Array = np.arange(3.0, 30.0, 0.25)
FS_HZ = 100.0
WINDOW_S, STEP_S = 4.0, 2.0


def line(center_hz: float, height: float, width_hz: float = 0.6, exponent: float = 1.0) -> Array:
    """Gaussian bump that is `height` times the background `f**-exponent` at its centre."""
    z = (FREQS_HZ - center_hz) / width_hz
    return np.asarray(height * center_hz**-exponent * np.exp(-0.5 * z**2))


def made_segments(
    rng: np.random.Generator,
    background: Array,
    rhythms: Sequence[tuple[Array, Sequence[float]]],
    count: int,
) -> Array:
    """Segments of signals with these spectra on `FREQS_HZ`, shape (count, n_channels, n_freqs).

    Every channel has a background of its own; a rhythm is one source, seen in each channel with the
    share of its power given beside it. 4 s Hann windows every 2 s.
    """
    n = round(FS_HZ * (WINDOW_S + (count - 1) * STEP_S))
    grid = np.fft.rfftfreq(n, 1.0 / FS_HZ)
    n_channels = len(rhythms[0][1]) if rhythms else 1
    data = coloured(rng, np.interp(grid, FREQS_HZ, background), n_channels, n, FS_HZ)
    for spectrum, power in rhythms:
        wave = coloured(rng, np.interp(grid, FREQS_HZ, spectrum), 1, n, FS_HZ)
        data = data + np.sqrt(np.asarray(power))[:, None] * wave
    out = segment_spectra(data, FS_HZ, fmin_hz=FREQS_HZ[0], fmax_hz=FREQS_HZ[-1]).power
    return np.asarray(out / np.exp(np.log(out.mean(axis=0)).mean(axis=1))[None, :, None])
