"""Made recordings with known truth, for every benchmark of the peak finder.

A 1/f background of many smooth sources and an alpha rhythm over the back of the head, 32 channels.
The rhythm's generator is not always the model that we fit: a Gaussian line, an AR(2) resonance, a
line that wanders, Stuart-Landau bursts, or a non-sinusoidal wave with harmonics.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.channels import montage_name
from tests.analysis import noise

Array = NDArray[np.float64]

CHANNELS = (
    *("Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "FC5", "FC1", "FC2", "FC6", "T7", "C3", "Cz"),
    *("C4", "T8", "CP5", "CP1", "CP2", "CP6", "AF3", "AF4", "FCz"),
    *("P3", "Pz", "P4", "PO3", "POz", "PO4", "O1", "Oz", "O2"),
)
SNR_LOG10 = {"high": 1.0, "medium": 0.5, "low": 0.2}
EXPONENTS = (0.8, 1.2, 1.6, 2.0)
GENERATORS = ("gauss", "ar2", "wander", "bursts", "mu")

coloured = partial(noise.coloured, in_pairs=True)
slow = partial(noise.slow, in_pairs=True)


@dataclass(frozen=True, slots=True)
class Case:
    """What to make.

    Parameters
    ----------
    seed : int
        Seed of everything random.
    peak_hz : float or None
        Centre of the rhythm; None for a recording without one.
    snr : str
        Rhythm over background at the centre and best channel: log10 power 1, 0.5 or 0.2.
    duration_s, sfreq_hz : float
        Length and sampling rate.
    exponent, knee_hz : float
        Background 1 / (knee_hz**exponent + f**exponent).
    width_hz : float
        Standard deviation of the line.
    generator : str
        One of `GENERATORS`.
    burst : bool
        Whether the rhythm waxes and wanes (log-normal gain of 2 s memory).
    beta : bool
        A broad beta rhythm, at twice the peak or at 20 Hz.
    second : (float, float) or None
        Offset in Hz and relative height of a second rhythm from another source.
    n_channels : int
        Channels, the posterior nine first.
    """

    seed: int
    peak_hz: float | None
    snr: str = "high"
    duration_s: float = 120.0
    exponent: float = 1.2
    knee_hz: float = 0.0
    width_hz: float = 0.6
    generator: str = "gauss"
    burst: bool = False
    beta: bool = False
    second: tuple[float, float] | None = None
    n_channels: int = 32
    sfreq_hz: float = 250.0

    @property
    def height(self) -> float:
        """Power of the rhythm over the background at its centre."""
        return float(10.0 ** SNR_LOG10[self.snr] - 1.0)

    @property
    def truth_hz(self) -> float | None:
        """Maximum of the rhythm's spectrum; an AR(2) process has it off its pole."""
        if self.peak_hz is None or self.generator != "ar2":
            return self.peak_hz
        radius, angle = np.exp(-_decay(self)), 2.0 * np.pi * self.peak_hz / self.sfreq_hz
        turn = (1.0 + radius**2) / (2.0 * radius) * np.cos(angle)
        return float(np.arccos(turn) * self.sfreq_hz / (2.0 * np.pi))


@dataclass(frozen=True, slots=True)
class Made:
    """One recording (channels x samples, volt) and what it was made from."""

    data_v: Array
    ch_names: tuple[str, ...]
    case: Case

    @property
    def sfreq_hz(self) -> float:
        """Sampling rate."""
        return self.case.sfreq_hz

    def raw(self) -> Any:
        """Return the recording as an MNE object with electrode positions."""
        import mne

        info = mne.create_info(list(self.ch_names), self.sfreq_hz, "eeg", verbose="ERROR")
        raw = mne.io.RawArray(self.data_v, info, verbose="ERROR")
        raw.set_montage(montage_name(), verbose="ERROR")
        return raw


def background(freqs_hz: Array, case: Case) -> Array:
    """Power of the background, flat below 0.5 Hz."""
    safe = np.maximum(freqs_hz, 0.5)
    return np.asarray(1.0 / (case.knee_hz**case.exponent + safe**case.exponent))


def floor_hz(case: Case) -> float:
    """Cramér-Rao floor of the median absolute error, best channel, stationary Gaussian line.

    0.674 [T integral (d log S / d f0)^2 df]^-1/2, Whittle likelihood.
    """
    if case.peak_hz is None:
        return float("nan")
    freqs = np.arange(1.0, 40.0, 0.01)
    level = case.height * background(np.array([case.peak_hz]), case)[0]
    line = level * np.exp(-0.5 * ((freqs - case.peak_hz) / case.width_hz) ** 2)
    slope = line * (freqs - case.peak_hz) / case.width_hz**2 / (background(freqs, case) + line)
    return float(0.674 / np.sqrt(case.duration_s * np.sum(slope**2) * 0.01))


def draw(seed: int, *, with_peak: bool, **fixed: Any) -> Case:
    """Draw a case: peak 8 to 12.5 Hz, width 0.4 to 1 Hz, exponent, bursts and beta at random."""
    rng = np.random.default_rng([seed, with_peak])
    case = Case(
        seed=seed,
        peak_hz=float(rng.uniform(8.0, 12.5)) if with_peak else None,
        snr=str(rng.choice(list(SNR_LOG10))),
        duration_s=float(rng.choice([30.0, 60.0, 120.0, 300.0])),
        exponent=float(rng.choice(EXPONENTS)),
        width_hz=float(rng.uniform(0.4, 1.0)),
        burst=bool(rng.random() < 0.5),
        beta=bool(rng.random() < 0.5),
    )
    return replace(case, **fixed)


def make(case: Case) -> Made:
    """Make the recording of a case."""
    rng = np.random.default_rng([case.seed, 1])
    names = (*CHANNELS[-9:], *CHANNELS[:-9])[: case.n_channels]
    places = _places()[[CHANNELS.index(name) for name in names]]
    n = round(case.duration_s * case.sfreq_hz)
    freqs = np.fft.rfftfreq(n, 1.0 / case.sfreq_hz)
    sources = rng.standard_normal((max(12, 2 * len(names)), 3))
    sources /= np.linalg.norm(sources, axis=1, keepdims=True)
    mixing = _nearness(places, sources, 0.5) * rng.choice([-1.0, 1.0], len(sources))
    mixing /= np.linalg.norm(mixing, axis=1, keepdims=True)
    data = mixing @ coloured(rng, background(freqs, case), len(sources), n, case.sfreq_hz)
    if case.peak_hz is not None:
        seat = np.array([[rng.normal(0.0, 0.2), -1.0, rng.normal(0.3, 0.2)]])
        data += _map(places, seat) * _rhythm(rng, case, case.peak_hz, case.height, n)
        if case.second is not None:
            offset, share = case.second
            seat = np.array([[rng.normal(0.0, 0.5), -0.7, 0.7]])
            wave = _rhythm(rng, case, case.peak_hz + offset, case.height * share, n)
            data += _map(places, seat) * wave
    if case.beta:
        centre = 2.0 * case.peak_hz if case.peak_hz is not None else 20.0
        level = background(np.array([centre]), case)[0]
        line = level * np.exp(-0.5 * ((freqs - centre) / 2.0) ** 2)
        seat = np.array([[0.5, 0.2, 0.8]])
        data += _map(places, seat) * coloured(rng, line, 1, n, case.sfreq_hz)
    return Made(data * 10e-6 / data.std(axis=1).mean(), names, case)


@cache
def _places() -> Array:
    """Unit vectors of the electrodes."""
    import mne

    positions = mne.channels.make_standard_montage(montage_name()).get_positions()["ch_pos"]
    places = np.array([positions[name] for name in CHANNELS])
    places = places - np.array([0.0, 0.0, 0.04])  # centre of the head above the ears' line
    return np.asarray(places / np.linalg.norm(places, axis=1, keepdims=True))


def _nearness(places: Array, sources: Array, spread: float) -> Array:
    """Smooth projection of sources to electrodes."""
    distance = 1.0 - places @ sources.T
    return np.asarray(np.exp(-distance / spread))


def _map(places: Array, seat: Array) -> Array:
    """Scalp map of one source, 1 at the best electrode."""
    value = _nearness(places, seat / np.linalg.norm(seat), 0.6)
    return np.asarray(value / value.max())


def _rhythm(rng: np.random.Generator, case: Case, centre: float, height: float, n: int) -> Array:
    """Time course of the rhythm, shape (1, n)."""
    fs = case.sfreq_hz
    freqs = np.fft.rfftfreq(n, 1.0 / fs)
    level = height * background(np.array([centre]), case)[0]
    width = case.width_hz
    if case.generator == "gauss":
        line = level * np.exp(-0.5 * ((freqs - centre) / width) ** 2)
        wave = coloured(rng, line, 1, n, fs)
    elif case.generator == "ar2":
        pole = np.exp(-_decay(case) + 2j * np.pi * np.array([[1], [-1]]) * centre / fs)
        turn = np.exp(-2j * np.pi * freqs / fs)
        line = 1.0 / np.prod(np.abs(1.0 - pole * turn) ** 2, axis=0)
        wave = coloured(rng, level * line / line.max(), 1, n, fs)
    else:
        wave = _from_envelope(rng, case, centre, level, n)
    if case.burst and case.generator != "bursts":
        gain = np.exp(0.6 * slow(rng, n, fs, 2.0))
        wave = wave * gain / np.sqrt(np.mean(gain**2))
    return wave


def _decay(case: Case) -> float:
    """Decay per sample of an AR(2) resonance whose half width is that of the Gaussian."""
    return float(2.0 * np.pi * 1.18 * case.width_hz / case.sfreq_hz)


def _from_envelope(
    rng: np.random.Generator, case: Case, centre: float, level: float, n: int
) -> Array:
    """Rhythm built from a complex envelope: wandering, bursting or non-sinusoidal."""
    fs, width = case.sfreq_hz, case.width_hz
    time_s = np.arange(n) / fs
    phase = 2.0 * np.pi * centre * time_s
    if case.generator == "bursts":
        envelope = _stuart_landau(rng, n, fs, width)
        # As much power as the Gaussian line of this height and width.
        envelope *= np.sqrt(
            2.0 * level * width * np.sqrt(2.0 * np.pi) / np.mean(np.abs(envelope) ** 2)
        )
        return np.asarray((envelope * np.exp(1j * phase)).real[None])
    freqs = np.fft.rfftfreq(n, 1.0 / fs)
    line = 2.0 * level * np.exp(-0.5 * (freqs / width) ** 2)
    re, im = coloured(rng, line, 2, n, fs)
    envelope = re + 1j * im
    if case.generator == "wander":
        phase = phase + 2.0 * np.pi * np.cumsum(0.3 * slow(rng, n, fs, 10.0)) / fs
        return np.asarray((envelope * np.exp(1j * phase)).real[None])
    carrier = envelope * np.exp(1j * phase)
    unit = carrier / np.maximum(np.abs(carrier), 1e-12)
    arch = carrier + 0.4 * np.abs(carrier) * unit**2 * np.exp(0.5j)
    return np.asarray((arch + 0.15 * np.abs(carrier) * unit**3).real[None])


def _stuart_landau(rng: np.random.Generator, n: int, fs: float, width: float) -> NDArray[Any]:
    """Envelope of a noisy Stuart-Landau oscillator at its bifurcation, in the rotating frame."""
    step = 0.01
    count = int(np.ceil(n / fs / step)) + 2
    rate = 2.0 * np.pi * width  # pace of the envelope
    kicks = rng.standard_normal(2 * count).view(np.complex128) * np.sqrt(rate * step)
    out = np.empty(count, dtype=complex)
    z = 0.5 + 0.0j
    for i in range(count):
        z = z + step * rate * 0.5 * (0.4 - abs(z) ** 2) * z + kicks[i] * 0.5
        out[i] = z
    grid = np.arange(count) * step
    time_s = np.arange(n) / fs
    return np.interp(time_s, grid, out.real) + 1j * np.interp(time_s, grid, out.imag)
