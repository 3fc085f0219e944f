"""Made EEG whose coupling and alpha power are set apart: sources on a head, mixed to electrodes."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from tests.analysis.made_head import S32, directions_of, topography
from tests.analysis.made_outcome import fluctuation
from tests.analysis.noise import coloured

Array = NDArray[np.float64]

SFREQ_HZ = 128.0
EPOCH_S = 2.0
ALPHA_HZ = 10.0
# Alpha sources as (right, front, up) directions and their share of amplitude.
SOURCES = (
    ((-0.35, -0.85, 0.25), 1.0),
    ((0.40, -0.80, 0.35), 1.0),
    ((0.05, -0.60, 0.75), 0.7),
    ((-0.65, -0.20, 0.70), 0.5),
    ((0.70, -0.15, 0.65), 0.5),
    ((-0.30, 0.75, 0.55), 0.4),
    ((0.35, 0.70, 0.60), 0.4),
)
BACKGROUND_SOURCES = 60


@functools.cache
def mixing(names: tuple[str, ...]) -> tuple[Array, Array]:
    """Topographies of the alpha sources and of the background, (n_channels, n_sources) each."""
    unit = directions_of(names)
    rng = np.random.default_rng(2025)
    place = np.array([direction for direction, _ in SOURCES])
    place /= np.linalg.norm(place, axis=1, keepdims=True)
    alpha = np.stack([topography(unit @ one, 0.7) for one in place], axis=1)
    alpha /= np.abs(alpha).max(axis=0)
    alpha *= [share for _, share in SOURCES]
    source = rng.normal(size=(BACKGROUND_SOURCES, 3))
    source[:, 2] = np.abs(source[:, 2]) - 0.3 * rng.random(BACKGROUND_SOURCES)
    source /= np.linalg.norm(source, axis=1, keepdims=True)
    depth = rng.uniform(0.5, 0.8, BACKGROUND_SOURCES)
    ground = np.stack(
        [topography(unit @ one, d) for one, d in zip(source, depth, strict=True)], axis=1
    )
    ground /= np.linalg.norm(ground, axis=0)
    ground /= np.sqrt((ground**2).sum(axis=1).mean())
    return alpha, ground


def made_coupling(
    seed: int,
    *,
    names: tuple[str, ...] = S32,
    n_epochs: int = 90,
    coupling: float = 0.0,
    pair: tuple[int, int] = (0, 6),
    lag: float = 1.2,
    gain: float = 1.0,
    snr: float = 10.0,
    exponent: float = 1.2,
    background: float = 1.0,
    sensor: float = 0.1,
    tau_s: float | None = None,
    sd: float = 0.5,
    shape: str = "gauss",
    average_reference: bool = True,
) -> Array:
    """Epochs of EEG, shape (n_epochs, n_channels, n_samples), µV.

    Parameters
    ----------
    seed : int
        The same seed with another `gain` is the same recording with another alpha power.
    names : tuple of str
        Electrodes.
    n_epochs : int
        Contiguous epochs of 2 s at 128 Hz.
    coupling : float
        Coherence of the two sources of `pair`; the second keeps its power.
    pair : (int, int)
        Which two of `SOURCES`.
    lag : float
        Phase of the second behind the first, radian.
    gain : float
        Factor of the power of every alpha source; coupling stays.
    snr : float
        Power density of the strongest source at its peak over that of the background there.
    exponent, background : float
        Slope of the background and factor of its power.
    sensor : float
        Power of white sensor noise over that of the background at 10 Hz.
    tau_s, sd : float or None, float
        Slow fluctuation of log alpha power, common to all sources.
    shape : {"gauss", "ar2"}
        Line of alpha: a Gaussian of SD 0.8 Hz or a resonance 1 Hz wide, with long tails.
    average_reference : bool
        Whether the mean over channels is taken out.
    """
    rng = np.random.default_rng(seed)
    alpha_map, ground_map = mixing(names)
    size = round(EPOCH_S * SFREQ_HZ)
    n = n_epochs * size
    both = np.fft.fftfreq(n, 1.0 / SFREQ_HZ)
    half = np.fft.rfftfreq(n, 1.0 / SFREQ_HZ)
    if shape == "gauss":
        line = np.exp(-0.5 * ((both - ALPHA_HZ) / 0.8) ** 2)
    else:
        line = 1.0 / (1.0 + ((both - ALPHA_HZ) / 0.5) ** 2)
    line = np.where(both > 0.0, line, 0.0)
    white = rng.standard_normal((2, len(SOURCES), n))
    source = np.fft.fft(white[0] + 1j * white[1], axis=1)
    first, second = pair
    turned = coupling * np.exp(-1j * lag) * source[first]
    source[second] = turned + np.sqrt(1.0 - coupling**2) * source[second]
    source = np.fft.ifft(source * np.sqrt(line), axis=1)
    source *= np.exp(fluctuation(rng, n, 1.0 / SFREQ_HZ, tau_s, sd) / 2.0)
    density = np.maximum(half, 0.5) ** (-exponent)
    ground = coloured(rng, density, BACKGROUND_SOURCES, n, SFREQ_HZ)
    # Background density at 10 Hz is 1 / Hz on average over channels; alpha's at its peak is `snr`.
    ground *= np.sqrt(background / _density_of(ground, SFREQ_HZ))
    # The real part of the positive half of unit complex noise has density 1 / fs.
    source *= np.sqrt(gain * snr * SFREQ_HZ)
    data = alpha_map @ source.real + ground_map @ ground
    data += np.sqrt(sensor * SFREQ_HZ / 2.0) * rng.standard_normal(data.shape)
    if average_reference:
        data -= data.mean(axis=0)
    return np.ascontiguousarray(data.reshape(len(names), n_epochs, size).transpose(1, 0, 2))


def _density_of(data: Array, sfreq_hz: float) -> float:
    """One-sided power density near 10 Hz, mean over rows."""
    n = data.shape[1]
    freqs = np.fft.rfftfreq(n, 1.0 / sfreq_hz)
    near = (freqs > 8.0) & (freqs < 12.0)
    power = np.abs(np.fft.rfft(data, axis=1)[:, near]) ** 2
    return float(2.0 * power.mean() / (n * sfreq_hz))
