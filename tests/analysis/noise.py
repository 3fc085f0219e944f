"""Noise of a given spectrum, for every made recording, of tests and benchmarks alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def coloured(
    rng: np.random.Generator,
    psd: Array,
    n_channels: int,
    n: int,
    fs: float,
    *,
    in_pairs: bool = False,
) -> Array:
    """Gaussian noise whose one-sided spectrum is `psd` (per Hz) on the rfft grid of `n` samples.

    `in_pairs` draws each bin's real and imaginary part together. The law is the same, the numbers
    are not: the benchmarks draw so, and figures are published of their recordings.
    """
    shape = (n_channels, psd.size)
    if in_pairs:
        white = rng.standard_normal((n_channels, 2 * psd.size)).view(np.complex128)
    else:
        white = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    return np.asarray(np.fft.irfft(white * np.sqrt(psd * n * fs / 4.0), n, axis=-1))


def slow(
    rng: np.random.Generator, n: int, fs: float, tau_s: float, *, in_pairs: bool = False
) -> Array:
    """Unit-variance Gaussian process with an exponential memory of `tau_s`."""
    freqs: Array = np.asarray(np.fft.rfftfreq(n, 1.0 / fs), dtype=np.float64)
    psd: Array = 1.0 / (1.0 + (2.0 * np.pi * freqs * tau_s) ** 2)
    psd[0] = 0.0
    out = coloured(rng, psd, 1, n, fs, in_pairs=in_pairs)[0]
    return np.asarray(out / np.std(out))
