"""Made pairs of recordings, before and after, with known truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Array = NDArray[np.float64]

CHANNELS = ("Fz", "C3", "Cz", "C4", "P3", "Pz", "P4", "PO3", "PO4", "O1", "Oz", "O2")
_GAIN = {"F": 0.3, "C": 0.4, "P": 0.9, "O": 1.0}


def fluctuation(
    rng: np.random.Generator, n: int, step_s: float, tau_s: float | None, sd: float
) -> Array:
    """Stationary log-power fluctuation: first-order process of time constant `tau_s`, or none."""
    if tau_s is None:
        return np.zeros(n)
    memory = np.exp(-step_s / tau_s)
    drive = rng.standard_normal(n) * np.sqrt(1.0 - memory**2)
    drive[0] = rng.standard_normal()
    return sd * lfilter([1.0], [1.0, -memory], drive)


def made_uv(
    seed: int,
    *,
    channels: tuple[str, ...] = CHANNELS,
    duration_s: float = 120.0,
    sfreq_hz: float = 160.0,
    peak_hz: float = 10.0,
    alpha_uv: float = 8.0,
    exponent: float = 1.2,
    background_uv: float = 4.0,
    tau_s: float | None = None,
    sd: float = 0.5,
    lag: float = 0.0,
) -> Array:
    """EEG in µV: independent 1/f per channel (amplitude per root Hz at 1 Hz) and one alpha source.

    The alpha is Gaussian noise 1.4 Hz wide; `lag` turns its phase from the first channel to the
    last by so many radian, which plants true lagged coupling.
    """
    rng = np.random.default_rng(seed)
    n = round(duration_s * sfreq_hz)
    freqs = np.fft.fftfreq(n, 1.0 / sfreq_hz)
    white = rng.standard_normal(n) + 1j * rng.standard_normal(n)
    shape = np.exp(-0.5 * ((freqs - peak_hz) / 0.7) ** 2)
    source = np.fft.ifft(np.fft.fft(white) * shape) / np.sqrt(np.mean(shape**2))
    source *= alpha_uv * np.exp(fluctuation(rng, n, 1.0 / sfreq_hz, tau_s, sd) / 2.0)
    half = np.fft.rfftfreq(n, 1.0 / sfreq_hz)
    slope = np.maximum(half, 0.5) ** (-exponent / 2.0)
    phases = np.linspace(0.0, lag, len(channels))
    found = np.empty((len(channels), n))
    for row, (name, phase) in enumerate(zip(channels, phases, strict=True)):
        noise = np.fft.rfft(rng.standard_normal(n)) * np.sqrt(sfreq_hz / 2.0)
        found[row] = np.fft.irfft(noise * slope, n) * background_uv
        found[row] += _GAIN.get(name[0], 0.3) * np.real(source * np.exp(1j * phase))
    return found


def made_raw(data_uv: Array, sfreq_hz: float = 160.0, channels: tuple[str, ...] = CHANNELS) -> Any:
    """MNE object of data in µV."""
    import mne

    info = mne.create_info(list(channels), sfreq_hz, "eeg")
    return mne.io.RawArray(data_uv * 1e-6, info, verbose="ERROR")


def made_pair(
    seed: int, *, alpha_ratio: float = 1.0, exponents: tuple[float, float] = (1.2, 1.2), **more: Any
) -> tuple[Any, Any]:
    """Return raws before and after; `alpha_ratio` multiplies the power of the alpha source."""
    alpha_uv = more.pop("alpha_uv", 8.0)
    sfreq_hz = more.get("sfreq_hz", 160.0)
    channels = more.get("channels", CHANNELS)
    sides = []
    for number, (gain, exponent) in enumerate(zip((1.0, alpha_ratio), exponents, strict=True)):
        data = made_uv(
            2 * seed + number, alpha_uv=alpha_uv * np.sqrt(gain), exponent=exponent, **more
        )
        sides.append(made_raw(data, sfreq_hz, channels))
    return sides[0], sides[1]


def made_series(
    rng: np.random.Generator,
    duration_s: float,
    tau_s: float | None,
    *,
    sd: float = 0.5,
    noise_sd: float = 0.4,
    step_s: float = 2.0,
) -> tuple[Array, Array]:
    """Segment power and start times: slow log fluctuation times independent log-normal noise."""
    n = int((duration_s - 4.0) / step_s) + 1
    slow = fluctuation(rng, n, step_s, tau_s, sd)
    return np.exp(slow + noise_sd * rng.standard_normal(n)), np.arange(n) * step_s
