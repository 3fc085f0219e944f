"""Made EEG with known truth: 1/f background, alpha of a known frequency, faults on request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.analysis.noise import coloured, slow

Array = NDArray[np.float64]

POSTERIOR = ("P3", "Pz", "P4", "PO3", "POz", "PO4", "O1", "Oz", "O2")


@dataclass(frozen=True, slots=True)
class MadeEEG:
    """One made recording: channels x samples in volt, and the truth behind it."""

    data_v: Array
    sfreq_hz: float
    ch_names: tuple[str, ...]
    peak_hz: float | None

    def raw(self) -> Any:
        """Return the recording as an MNE object."""
        import mne

        info = mne.create_info(list(self.ch_names), self.sfreq_hz, "eeg")
        return mne.io.RawArray(self.data_v.copy(), info, verbose="ERROR")


def make_eeg(
    seed: int,
    *,
    peak_hz: float | None = 10.0,
    duration_s: float = 120.0,
    sfreq_hz: float = 160.0,
    ch_names: tuple[str, ...] = POSTERIOR,
    exponent: float = 1.2,
    height_log10: float = 0.8,
    width_hz: float = 0.6,
    shape: str = "gauss",
    burst: bool = True,
    beta: bool = False,
    knee_hz: float = 0.0,
    second: tuple[float, float] | None = None,
    wander_hz: float = 0.0,
    amplitude_uv: float = 10.0,
    line: tuple[float, float] | None = None,
) -> MadeEEG:
    """Make one recording.

    Parameters
    ----------
    seed : int
        Seed of everything random.
    peak_hz : float or None
        Centre of the alpha rhythm; None makes a recording without one.
    duration_s, sfreq_hz : float
        Length and sampling rate.
    ch_names : tuple of str
        Channel names; the last ones carry most alpha.
    exponent, knee_hz : float
        Background spectrum 1 / (knee_hz**exponent + f**exponent).
    height_log10 : float
        Alpha above the background at the centre, best channel, in log10 power.
    width_hz : float
        Standard deviation of the spectral bump (`gauss`) or half width at half height (`ar2`).
    shape : {"gauss", "ar2", "sine"}
        Spectral shape of the alpha rhythm.
    burst : bool
        Whether alpha waxes and wanes (a slow log-normal gain).
    beta : bool
        Whether a broad beta rhythm is present (at 20 Hz, or 2 x peak).
    second : (float, float) or None
        Offset in Hz and relative height of a second independent rhythm.
    wander_hz : float
        Standard deviation of a slow wander of the alpha frequency.
    amplitude_uv : float
        Standard deviation of the background.
    line : (float, float) or None
        Frequency in Hz and amplitude in microvolt of a sine on every channel.

    Returns
    -------
    MadeEEG
        The recording and its true peak.
    """
    rng = np.random.default_rng(seed)
    n = round(duration_s * sfreq_hz)
    time_s = np.arange(n) / sfreq_hz
    freqs: Array = np.asarray(np.fft.rfftfreq(n, 1.0 / sfreq_hz), dtype=np.float64)
    n_ch = len(ch_names)

    def background(f: Array) -> Array:
        safe = np.maximum(f, 0.5)
        return np.asarray(1.0 / (knee_hz**exponent + safe**exponent))

    psd = background(freqs)
    mix = np.exp(-np.abs(np.subtract.outer(np.arange(n_ch), np.arange(n_ch))) / 2.0)
    mix *= rng.choice([-1.0, 1.0], (n_ch, n_ch))
    mix /= np.linalg.norm(mix, axis=1, keepdims=True)
    data = mix @ coloured(rng, psd, n_ch, n, sfreq_hz)
    topography = np.linspace(0.6, 1.0, n_ch) if n_ch > 1 else np.ones(1)
    # Alpha fades towards the front of the head, so that an average reference keeps it.
    topography *= np.array([0.2 if name[0] in "FCAT" else 1.0 for name in ch_names])

    def rhythm(centre: float, rise: float, width: float) -> Array:
        level = rise * background(np.array([centre]))[0]
        if shape == "ar2":
            bump = level / (1.0 + ((freqs - centre) / width) ** 2)
        else:
            bump = level * np.exp(-((freqs - centre) ** 2) / (2.0 * width**2))
        if wander_hz > 0.0:
            low = level * np.exp(-(freqs**2) / (2.0 * width**2))
            re, im = coloured(rng, low, 2, n, sfreq_hz)
            drift = wander_hz * slow(rng, n, sfreq_hz, 10.0)
            phase = 2.0 * np.pi * np.cumsum(centre + drift) / sfreq_hz
            wave = re * np.cos(phase) + im * np.sin(phase)
        elif shape == "sine":
            wave = np.sqrt(2.0 * level) * np.cos(2.0 * np.pi * centre * time_s)
        else:
            wave = coloured(rng, bump, 1, n, sfreq_hz)[0]
        if burst:
            gain = np.exp(0.6 * slow(rng, n, sfreq_hz, 2.0))
            wave = wave * gain / np.sqrt(np.mean(gain**2))
        return np.asarray(wave)

    if peak_hz is not None:
        rise = 10.0**height_log10 - 1.0
        data = data + topography[:, None] * rhythm(peak_hz, rise, width_hz)
        if second is not None:
            weights = topography[::-1]
            data = data + weights[:, None] * rhythm(peak_hz + second[0], rise * second[1], width_hz)
    if beta:
        centre = 2.0 * peak_hz if peak_hz is not None else 20.0
        data = data + topography[:, None] * rhythm(centre, 1.0, 2.0)
    scale = amplitude_uv * 1e-6 / np.std(data, axis=1, keepdims=True).mean()
    data = data * scale
    if line is not None:
        data = data + line[1] * 1e-6 * np.sin(2.0 * np.pi * line[0] * time_s + 0.3)
    return MadeEEG(data, sfreq_hz, ch_names, peak_hz)
