"""Made EEG on a real head shape: many sources, smooth topographies, known electrode places."""

from __future__ import annotations

from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

from analysis.channels import montage_name
from tests.analysis.noise import coloured

Array = NDArray[np.float64]

S19 = tuple("Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split())
S32 = (*S19, *"FC1 FC2 FC5 FC6 CP1 CP2 CP5 CP6 TP9 TP10 PO3 PO4 AFz".split())
S64 = (
    *S32,
    *"AF3 AF4 AF7 AF8 F1 F2 F5 F6 FC3 FC4 FCz FT7 FT8 C1 C2 C5 C6 CP3 CP4 CPz TP7 TP8".split(),
    *"P1 P2 P5 P6 POz PO7 PO8 Oz Iz Fpz".split(),
)


def directions_of(names: tuple[str, ...]) -> Array:
    """Unit vectors of electrodes from the middle of the head."""
    place = mne.channels.make_standard_montage(montage_name()).get_positions()["ch_pos"]
    info = mne.create_info(list(names), 128.0, "eeg")
    raw = mne.io.RawArray(np.zeros((len(names), 2)), info, verbose="ERROR")
    raw.set_montage(mne.channels.make_dig_montage(place), verbose="ERROR")
    position = np.array([chan["loc"][:3] for chan in raw.info["chs"]])
    away = position - position.mean(axis=0) * [1.0, 1.0, 0.0] - [0.0, 0.0, 0.04]
    return np.asarray(away / np.linalg.norm(away, axis=1, keepdims=True))


def topography(cosine: Array, depth: float) -> Array:
    """Potential of a radial source at relative radius `depth`, damped as skull and scalp damp."""
    before, legendre = np.ones_like(cosine), cosine
    total = np.zeros_like(cosine)
    for n in range(1, 21):
        total += (2 * n + 1) * depth ** (n - 1) / (1.0 + (n / 5.0) ** 2) * legendre
        before, legendre = legendre, ((2 * n + 1) * cosine * legendre - n * before) / (n + 1)
    return total


def made_head(
    seed: int,
    names: tuple[str, ...] = S32,
    *,
    duration_s: float = 40.0,
    sfreq_hz: float = 128.0,
    noise: float = 0.1,
    reference: str | None = "Cz",
    alpha_uv: float = 0.0,
    shared_uv: float = 0.0,
) -> Array:
    """Signals in volt, shape (n_channels, n_samples): 60 sources of 1/f noise, SD 10 µV in all.

    `alpha_uv` of 10-Hz rhythm over the back of the head, and `shared_uv` of 1/f noise that every
    channel sees, as it sees the activity under a distant reference electrode.
    """
    rng = np.random.default_rng(seed)
    unit = directions_of(names)
    source = rng.normal(size=(60, 3))
    source[:, 2] = np.abs(source[:, 2]) - 0.3 * rng.random(60)
    source /= np.linalg.norm(source, axis=1, keepdims=True)
    beside = source + 0.15 * rng.normal(size=source.shape)
    beside /= np.linalg.norm(beside, axis=1, keepdims=True)
    depth, tangential = rng.uniform(0.5, 0.8, 60), rng.random(60) < 0.5
    mix = np.stack(
        [
            topography(unit @ s, b) - t * topography(unit @ n, b)
            for s, n, b, t in zip(source, beside, depth, tangential, strict=True)
        ],
        axis=1,
    )
    mix /= np.linalg.norm(mix, axis=0)
    mix *= np.exp(0.7 * rng.normal(size=60))
    n = round(duration_s * sfreq_hz)
    freqs = np.fft.rfftfreq(n, 1.0 / sfreq_hz)
    activity = coloured(rng, 1.0 / np.maximum(freqs, 0.5) ** 1.2, 60, n, sfreq_hz)
    data = mix @ (activity / activity.std(axis=1, keepdims=True))
    data /= data.std()
    if alpha_uv:
        bump = np.exp(-((freqs - 10.0) ** 2) / (2.0 * 0.6**2))
        wave = coloured(rng, bump, 1, n, sfreq_hz)
        occipital = topography(unit @ np.array([0.0, -0.95, 0.3]), 0.6)
        data += alpha_uv / 10.0 * occipital[:, None] / occipital.max() * wave / wave.std()
    if shared_uv:
        wave = coloured(rng, 1.0 / np.maximum(freqs, 0.5) ** 1.2, 1, n, sfreq_hz)
        data += shared_uv / 10.0 * wave / wave.std()
    data *= 1.0 + 0.1 * rng.normal(size=(len(names), 1))
    if reference is not None and reference in names:
        data = data - data[names.index(reference)]
    data = data + noise * rng.normal(size=data.shape)
    return np.asarray(1e-5 * data)


def raw_of(data: Array, names: tuple[str, ...], sfreq_hz: float = 128.0) -> Any:
    """The signals as an MNE object with places."""
    info = mne.create_info(list(names), sfreq_hz, "eeg")
    raw = mne.io.RawArray(data.copy(), info, verbose="ERROR")
    raw.set_montage(montage_name(), verbose="ERROR")
    return raw
