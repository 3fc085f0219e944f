"""Made EEG under current with known truth: sphere-model head, tACS artefact, alpha that may rise.

The model is that of the heartbeat and breathing findings of Noury, Hipp & Siegel (2016,
NeuroImage 140:99): each channel has its own gain and phase, harmonics, a drift of its impedance,
and its own depth of modulation by heartbeat and breathing, whose rates vary. Amplifiers do not
saturate here, and the head is a sphere: what is not in the model is not tested by it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.analysis.noise import coloured, slow

Array = NDArray[np.float64]

CHANNELS = tuple(
    "Fp1 Fp2 F7 F3 Fz F4 F8 FC5 FC1 FC2 FC6 T7 C3 Cz C4 T8 CP5 CP1 CP2 CP6 P7 P3 Pz P4 P8 "
    "PO3 POz PO4 O1 Oz O2 AFz".split()
)
SFREQ_HZ = 250.0
KINDS = ("tacs", "am")


@dataclass(frozen=True, slots=True)
class Made:
    """One head, at rest and under current.

    Parameters
    ----------
    rest_v, stim_v : ndarray, shape (n_channels, n_times)
        Recordings, volt.
    clean_v : ndarray, shape (n_channels, n_times)
        What the second would be without the artefact.
    source_rest, source_stim : ndarray, shape (n_times,)
        The alpha source.
    readout : ndarray, shape (n_channels,)
        Best linear filter for the source, from the true background in 8-12 Hz.
    pattern : ndarray, shape (n_channels,)
        How the source shows on the channels.
    stim_hz : float
        Exact frequency of the current.
    kind : {"tacs", "am"}
        Conventional, or the residue of amplitude modulation.
    """

    rest_v: Array
    stim_v: Array
    clean_v: Array
    source_rest: Array
    source_stim: Array
    readout: Array
    pattern: Array
    stim_hz: float
    kind: str
    sfreq_hz: float = SFREQ_HZ

    def raw(self, data_v: Array) -> Any:
        """Any of the recordings as an MNE object with places."""
        return _raw(data_v, self.sfreq_hz)


def _raw(data_v: Array, sfreq_hz: float) -> Any:
    import mne

    raw = mne.io.RawArray(
        data_v.copy(), mne.create_info(list(CHANNELS), sfreq_hz, "eeg"), verbose="ERROR"
    )
    raw.set_montage("standard_1005", verbose="ERROR")
    return raw


@functools.cache
def leadfield(seed: int, n_sources: int = 60) -> tuple[Array, Array]:
    """Average-referenced patterns of random dipoles, and of one occipital dipole (the last).

    Four-shell sphere of MNE, radius and electrodes of the template.

    Returns
    -------
    patterns : ndarray, shape (n_channels, n_sources + 1)
        Unit norm.
    positions : ndarray, shape (n_sources + 1, 3)
        Metre, head coordinates.
    """
    import mne

    rng = np.random.default_rng([seed, 77])
    raw = _raw(np.zeros((len(CHANNELS), 2)), SFREQ_HZ)
    sphere = mne.make_sphere_model("auto", "auto", raw.info, verbose="ERROR")
    centre, radius = np.asarray(sphere["r0"]), sphere.radius
    way = rng.normal(size=(n_sources, 3))
    way[:, 2] = np.abs(way[:, 2]) - 0.3 * rng.random(n_sources)
    way = np.vstack([way, np.array([0.25 * rng.normal(), -1.0, 0.25 + 0.15 * rng.normal()])])
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    depth = np.append(rng.uniform(0.45, 0.80, n_sources), 0.72) * radius
    turn = rng.normal(size=way.shape)
    turn[-1] = way[-1] + 0.2 * rng.normal(size=3)  # a nearly radial rhythm
    turn /= np.linalg.norm(turn, axis=1, keepdims=True)
    places = centre + depth[:, None] * way
    source = mne.setup_volume_source_space(
        pos={"rr": places, "nn": turn}, sphere=sphere, sphere_units="m", verbose="ERROR"
    )
    forward = mne.make_forward_solution(
        raw.info, trans=None, src=source, bem=sphere, meg=False, mindist=0.0, verbose="ERROR"
    )
    forward = mne.convert_forward_solution(forward, force_fixed=True, verbose="ERROR")
    gain = np.asarray(forward["sol"]["data"], dtype=np.float64)
    gain = gain - gain.mean(axis=0)
    return gain / np.linalg.norm(gain, axis=0), places


def make(
    seed: int,
    *,
    kind: str = "tacs",
    gain: float = 1.0,
    duration_s: float = 90.0,
    excess_db: float | None = None,
    stim_hz: float = 10.0,
    alpha_hz: float = 10.0,
    alpha_snr: float = 40.0,
    entrained: float = 0.0,
) -> Made:
    """Make one head at rest and under current.

    Parameters
    ----------
    seed : int
        Seed of everything random.
    kind : {"tacs", "am"}
        Conventional tACS, in band about 40 dB above the EEG, or the weak residue at the envelope's
        frequency of amplitude-modulated current.
    gain : float
        Amplitude of alpha under current, relative to rest.
    duration_s : float
        Length of either recording.
    excess_db : float, optional
        Artefact over EEG in 8-12 Hz, mean over channels; 40 for ``tacs``, 5 for ``am``.
    stim_hz, alpha_hz : float
        Frequencies.
    alpha_snr : float
        Alpha over background power in 8-12 Hz where alpha is strongest.
    entrained : float
        Share of the alpha under current, in amplitude, that follows the current.
    """
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    fs, n = SFREQ_HZ, round(duration_s * SFREQ_HZ)
    patterns, _ = leadfield(seed)
    freqs = np.fft.rfftfreq(n, 1.0 / fs)

    def background() -> Array:
        activity = coloured(rng, 1.0 / np.maximum(freqs, 0.5) ** 1.0, patterns.shape[1] - 1, n, fs)
        activity /= activity.std(axis=1, keepdims=True)
        noise = 0.05 * rng.standard_normal((len(CHANNELS), n))
        return np.asarray(patterns[:, :-1] @ (strength[:, None] * activity) + noise)

    def rhythm() -> Array:
        bump = 1.0 / (1.0 + ((freqs - alpha_hz) / 0.8) ** 2) ** 2
        wave = coloured(rng, bump, 1, n, fs)[0] * np.exp(0.3 * slow(rng, n, fs, 2.0))
        return np.asarray(wave / wave.std())

    strength = np.exp(0.5 * rng.normal(size=patterns.shape[1] - 1))
    rest, under = background(), background()
    best = int(np.argmax(np.abs(patterns[:, -1])))
    level = np.sqrt(alpha_snr) * in_band(rest, fs).std(axis=1)[best] / abs(patterns[best, -1])
    source_rest, source_stim = level * rhythm(), level * gain * rhythm()
    covariance = np.cov(in_band(rest, fs))
    covariance += 1e-6 * np.trace(covariance) * np.eye(len(CHANNELS))
    readout = np.linalg.solve(covariance, patterns[:, -1])
    readout /= readout @ patterns[:, -1]
    time_s = np.arange(n) / fs
    if entrained:
        locked = np.sqrt(2.0) * source_stim.std() * np.cos(2 * np.pi * stim_hz * time_s + 1.0)
        source_stim = np.sqrt(1 - entrained**2) * source_stim + entrained * locked
    rest = rest + np.outer(patterns[:, -1], source_rest)
    clean = under + np.outer(patterns[:, -1], source_stim)
    wave = artefact(rng, time_s, stim_hz, kind)
    above_db = (40.0 if kind == "tacs" else 5.0) if excess_db is None else excess_db
    ratio = np.mean(in_band(wave, fs).var(axis=1)) / np.mean(in_band(rest, fs).var(axis=1))
    wave *= np.sqrt(10 ** (above_db / 10) / ratio)
    scale_v = 1e-5 / rest.std()
    return Made(
        rest_v=scale_v * rest,
        stim_v=scale_v * (clean + wave),
        clean_v=scale_v * clean,
        source_rest=scale_v * source_rest,
        source_stim=scale_v * source_stim,
        readout=readout,
        pattern=patterns[:, -1],
        stim_hz=stim_hz,
        kind=kind,
    )


def artefact(rng: np.random.Generator, time_s: Array, stim_hz: float, kind: str) -> Array:
    """Artefact of unit size on every channel, shape (n_channels, n_times)."""
    n_ch, n = len(CHANNELS), time_s.size
    fs = 1.0 / (time_s[1] - time_s[0])
    heart_phase = 2 * np.pi * np.cumsum(1.1 + 0.05 * slow(rng, n, fs, 5.0)) / fs
    breath_phase = 2 * np.pi * np.cumsum(0.25 + 0.02 * slow(rng, n, fs, 10.0)) / fs
    late = 2 * np.pi * 1.1 * 0.03 * rng.normal(size=n_ch)[:, None]  # the pulse takes its time
    heart = np.cos(heart_phase - late) + 0.4 * np.cos(2 * (heart_phase - late) + 1.0)
    breath = np.cos(breath_phase)
    place = _raw(np.zeros((n_ch, 2)), fs).get_montage().get_positions()["ch_pos"]
    where = np.array([place[name] for name in CHANNELS])
    unit = where / np.linalg.norm(where, axis=1, keepdims=True)
    # Current between two places; what a channel sees falls off smoothly with the angle.
    ends = rng.normal(size=(2, 3))
    ends /= np.linalg.norm(ends, axis=1, keepdims=True)
    fall = np.exp(-0.5 * (np.degrees(np.arccos(np.clip(unit @ ends.T, -1, 1))) / 45.0) ** 2)
    size = (fall[:, 0] - fall[:, 1]) * np.exp(0.2 * rng.normal(size=n_ch)) + 0.05 * rng.normal(
        size=n_ch
    )
    size -= size.mean()
    lag = 0.15 * rng.normal(size=n_ch)
    deep = 0.010 * np.exp(0.5 * rng.normal(size=(2, n_ch))) * rng.choice([-1, 1], (2, n_ch))
    drift = 0.02 * rng.normal(size=n_ch)
    modulation = (
        1.0
        + deep[0][:, None] * heart
        + deep[1][:, None] * breath
        + drift[:, None] * (time_s / time_s[-1] - 0.5)
    )
    wave = np.zeros((n_ch, n))
    harmonics = (1.0, 0.02, 0.01) if kind == "tacs" else (1.0, 0.3, 0.1)
    for k, share in enumerate(harmonics, start=1):
        more = 0.3 * rng.normal(size=n_ch) if k > 1 else np.zeros(n_ch)
        wave += share * np.cos(2 * np.pi * k * stim_hz * time_s + (k * lag + more)[:, None])
    return np.asarray(size[:, None] * modulation * wave)


def in_band(data: Array, sfreq_hz: float, low_hz: float = 8.0, high_hz: float = 12.0) -> Array:
    """Zero-phase band-pass."""
    from scipy.signal import butter, sosfiltfilt

    sos = butter(3, (low_hz, high_hz), "bandpass", fs=sfreq_hz, output="sos")
    return np.asarray(sosfiltfilt(sos, data, axis=-1))
