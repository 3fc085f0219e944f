"""Lines in the spectrum: mains as a clock that betrays a wrong rate, and lines in the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.findings import Finding

Array = NDArray[np.float64]

LINE_DB = 7.0
NEAR_MISS_DB = 12.0
ANALYSED_HZ = (2.0, 45.0)
STANDARD_RATES_HZ = (
    *(100.0, 125.0, 128.0, 160.0, 200.0, 250.0, 256.0, 300.0, 400.0, 500.0, 512.0, 600.0),
    *(1000.0, 1024.0, 1200.0, 2000.0, 2048.0, 2400.0, 2500.0, 4000.0, 4096.0, 5000.0),
)
_WINDOW_S = 8.0
_MOST_WINDOWS = 16
_MOST_CHANNELS = 8
_INSIDE_DB = 12.0
_INSIDE_WINDOWS = 8


@dataclass(frozen=True, slots=True)
class Lines:
    """Sharp lines in the spectrum of a recording.

    Parameters
    ----------
    mains_hz : float or None
        50 or 60 where mains is seen there.
    mains_db : float or None
        Its height over the spectrum 1 to 3 Hz away.
    mains_over_eeg_db : float or None
        Its power against that of everything else between 2 and 45 Hz.
    suspect : (float, float) or None
        Frequency at which mains is seen instead, and the likely true sampling rate.
    inside : tuple of (float, float)
        Lines in the analysed range: frequency and height in dB.
    """

    mains_hz: float | None = None
    mains_db: float | None = None
    mains_over_eeg_db: float | None = None
    suspect: tuple[float, float] | None = None
    inside: tuple[tuple[float, float], ...] = ()


def find_lines(data: Array, channels: Sequence[int], sfreq: float) -> Lines:
    """Find mains, at 50 or 60 Hz or where a wrong rate would put it, and lines in the way.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_samples)
        At least 8 s of signals.
    channels : sequence of int
        Rows to use; up to eight of them, evenly spread, are looked at.
    sfreq : float
        Sampling rate in the header.

    Returns
    -------
    Lines
        What is there.
    """
    freqs, psd, n_windows = _spectrum(data, channels, sfreq)
    found = _lines(freqs, psd)
    clock = {hz: height for hz, height in found.items() if hz >= 20.0 and height >= LINE_DB}
    expected = {hz: clock[near] for hz in (50.0, 60.0) if (near := _near(clock, hz, 0.3))}
    suspects: list[tuple[float, float, float]] = []
    if not _notched(freqs, psd):
        strongest = max(expected.values(), default=0.0)
        for line_hz, height in clock.items():
            suspects += [
                (height, line_hz, true_hz)
                for true_hz in _other_clocks(sfreq, line_hz, height, strongest)
            ]
    mains = max(expected, key=lambda hz: expected[hz], default=None)
    suspect = max(suspects)[1:] if suspects else None
    if mains is None or suspect is not None:
        mains_db = over = None
        mains = None
    else:
        mains_db = expected[mains]
        over = _over_eeg_db(freqs, psd, mains)
    inside = tuple(
        (hz, height)
        for hz, height in found.items()
        if n_windows >= _INSIDE_WINDOWS
        and height >= _INSIDE_DB
        and ANALYSED_HZ[0] <= hz <= ANALYSED_HZ[1]
        and (suspect is None or abs(hz - suspect[0]) > 0.3)
    )
    return Lines(mains, mains_db, over, suspect, inside)


def line_findings(lines: Lines, sfreq: float) -> list[Finding]:
    """Say what the lines mean for the analysis.

    Parameters
    ----------
    lines : Lines
        What `find_lines` found.
    sfreq : float
        Sampling rate in the header.

    Returns
    -------
    list of Finding
        ``sampling_rate_suspect`` and ``line_noise``.
    """
    found = []
    if lines.suspect is not None:
        found.append(Finding("sampling_rate_suspect", "warning", _suspicion(sfreq, *lines.suspect)))
    if lines.mains_hz is not None and lines.mains_db is not None:
        over = lines.mains_over_eeg_db or 0.0
        text = (
            f"mains at {lines.mains_hz:g} Hz stands {lines.mains_db:.0f} dB over its surroundings"
        )
        low, high = ANALYSED_HZ
        if over > 0.0:
            text += (
                f" and is stronger than the EEG itself (by {over:.0f} dB); it does not touch "
                f"{low:g} to {high:g} Hz, but check ground and electrode contacts before the "
                "next recording"
            )
        else:
            text += f"; it does not touch {low:g} to {high:g} Hz: nothing to do"
        found.append(Finding("line_noise", "warning" if over > 0.0 else "note", text))
    if lines.inside:
        told = ", ".join(f"{hz:.2f} Hz ({height:.0f} dB)" for hz, height in lines.inside[:4])
        text = (
            f"sharp line inside the analysed range at {told}: no rhythm of the brain is that "
            "narrow; look for a flickering screen, a charger or a stimulator, and record again"
        )
        found.append(Finding("line_noise", "warning", text, count=len(lines.inside)))
    return found


def _suspicion(sfreq: float, seen_hz: float, true_hz: float) -> str:
    """Say that the mains frequency contradicts the sampling rate."""
    return (
        f"mains seems to appear at {seen_hz:.3g} Hz; the header says {sfreq:g} Hz, the true rate "
        f"may be {true_hz:g} Hz; if so pass --sfreq {true_hz:g}, otherwise confirm the header's "
        f"with --sfreq {sfreq:g}"
    )


def _spectrum(data: Array, channels: Sequence[int], sfreq: float) -> tuple[Array, Array, int]:
    """Geometric mean over channels of 8-s Hann spectra, 1 to 130 Hz, and how many windows."""
    chosen = data[list(channels[:: -(-len(channels) // _MOST_CHANNELS)])]
    size = round(_WINDOW_S * sfreq)
    spare = data.shape[1] - size
    count = min(_MOST_WINDOWS, 2 * (data.shape[1] // size) - 1)
    starts = np.unique(np.round(np.linspace(0, spare, count)).astype(int))
    freqs: Array = np.asarray(np.fft.rfftfreq(size, 1.0 / sfreq), dtype=np.float64)
    keep = slice(*np.searchsorted(freqs, [1.0, 130.0]))
    taper = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(size) / size)
    power = np.zeros((len(chosen), freqs[keep].size))
    for start in starts:
        piece = chosen[:, start : start + size]
        piece = (piece - piece.mean(axis=1, keepdims=True)) * taper
        coefficients = np.fft.rfft(piece, axis=1)[:, keep]
        power += coefficients.real**2 + coefficients.imag**2
    power *= 2.0 / (starts.size * sfreq * np.sum(taper**2))
    return freqs[keep], np.exp(np.log(power + 1e-300).mean(axis=0)), int(starts.size)


def _other_clocks(sfreq: float, line_hz: float, height: float, strongest: float) -> list[float]:
    """Sampling rates that would put this line at 50 or 60 Hz, given the strongest line there."""
    found = []
    # A rate half the true one halves mains; its second harmonic then sits, weaker, at 50 or 60.
    if any(abs(line_hz - hz) <= 0.15 for hz in (25.0, 30.0)) and strongest < height - 6.0:
        found.append(2.0 * sfreq)
    # A rate twice the true one doubles mains and leaves nothing at 50 or 60.
    if any(abs(line_hz - hz) <= 0.15 for hz in (100.0, 120.0)) and strongest == 0.0:
        found.append(0.5 * sfreq)
    # Near misses, such as 250 for 256: the closest standard rate that fits.
    if 45.0 <= line_hz <= 65.0 and height >= NEAR_MISS_DB and strongest == 0.0:
        implied = [sfreq * hz / line_hz for hz in (50.0, 60.0)]
        fits = [r for r in STANDARD_RATES_HZ for i in implied if abs(i / r - 1.0) < 0.002]
        found += sorted(fits, key=lambda rate: abs(np.log(rate / sfreq)))[:1]
    return found


def _near(lines: dict[float, float], hz: float, within: float) -> float | None:
    """Return the line closest to a frequency, if one is near."""
    found = [line for line in lines if abs(line - hz) <= within]
    return min(found, key=lambda line: abs(line - hz), default=None)


def _lines(freqs: Array, psd: Array) -> dict[float, float]:
    """Sharp lines: frequency and height in dB over the surrounding 1 to 3 Hz."""
    found: dict[float, float] = {}
    level = 10.0 * np.log10(psd)
    step = freqs[1] - freqs[0]
    inner, outer, flank = round(1.0 / step), round(3.0 / step), round(0.375 / step)
    if level.size < 2 * outer + 1:
        return found
    rising = np.diff(level) >= 0.0
    tops = 1 + np.flatnonzero(rising[:-1] & ~rising[1:])
    tops = tops[(tops >= outer) & (tops < level.size - inner)]
    beside = tops[:, None] + np.array([-inner, 1 - inner, inner - 1, inner])
    rises = level[tops] - level[beside].max(axis=1)
    for i, rise in zip(tops, rises, strict=True):
        if rise < 0.6 * LINE_DB:
            continue
        around = np.concatenate(
            [level[i - outer : i - inner + 1], level[i + inner : i + outer + 1]]
        )
        height = level[i] - np.median(around)
        if height < LINE_DB or rise < 0.6 * height:
            continue
        # Below 20 Hz a rhythm may be nearly as sharp: ask for the flanks of a pure sine.
        foot = max(level[i - flank], level[i + flank])
        if freqs[i] < 20.0 and level[i] - foot < 0.75 * height:
            continue
        a, b, c = level[i - 1 : i + 2]
        shift = 0.5 * (a - c) / (a - 2.0 * b + c) if a - 2.0 * b + c < 0.0 else 0.0
        found[float(freqs[i] + shift * step)] = float(height)
    return found


def _over_eeg_db(freqs: Array, psd: Array, mains_hz: float) -> float:
    """Power of the mains line against that of the analysed range, dB."""
    step = freqs[1] - freqs[0]
    line = np.abs(freqs - mains_hz) <= 0.5
    around = (np.abs(freqs - mains_hz) >= 1.0) & (np.abs(freqs - mains_hz) <= 3.0)
    floor = float(np.median(psd[around]))
    excess = float(np.maximum(psd[line] - floor, 0.0).sum() * step)
    rest = (freqs >= ANALYSED_HZ[0]) & (freqs <= ANALYSED_HZ[1])
    return float(10.0 * np.log10((excess + 1e-300) / (psd[rest].sum() * step + 1e-300)))


def _notched(freqs: Array, psd: Array) -> bool:
    """Whether a notch filter has removed 50 or 60 Hz: then the clock is right."""
    level = 10.0 * np.log10(psd)
    for hz in (50.0, 60.0):
        middle = np.abs(freqs - hz) <= 0.3
        around = (np.abs(freqs - hz) >= 3.0) & (np.abs(freqs - hz) <= 5.0)
        if middle.any() and around.sum() > 8 and freqs[-1] > hz + 3.0:
            if level[middle].min() < np.median(level[around]) - 10.0:
                return True
    return False
