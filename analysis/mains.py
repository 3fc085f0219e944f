"""The mains line as a clock: seen at a wrong frequency, it betrays a wrong sampling rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.spectrum import segment_spectra

Array = NDArray[np.float64]

LINE_DB = 7.0
NEAR_MISS_DB = 12.0
STANDARD_RATES_HZ = (
    *(100.0, 125.0, 128.0, 160.0, 200.0, 250.0, 256.0, 300.0, 400.0, 500.0, 512.0, 600.0),
    *(1000.0, 1024.0, 1200.0, 2000.0, 2048.0, 2400.0, 2500.0, 4000.0, 4096.0, 5000.0),
)


def suspicion(sfreq: float, seen_hz: float, true_hz: float) -> str:
    """Say that the mains frequency contradicts the sampling rate.

    Parameters
    ----------
    sfreq, seen_hz, true_hz : float
        Rate in the header, frequency at which mains is seen, likely true rate.

    Returns
    -------
    str
        One line that begins with "sampling_rate_suspect".
    """
    return (
        f"sampling_rate_suspect: mains seems to appear at {seen_hz:.3g} Hz; the header says "
        f"{sfreq:g} Hz, the true rate may be {true_hz:g} Hz; if so pass --sfreq {true_hz:g}, "
        f"otherwise confirm the header's with --sfreq {sfreq:g}"
    )


def find_mains(data: Array, sfreq: float) -> tuple[float | None, tuple[float, float] | None]:
    """Find mains, at 50 or 60 Hz or where a wrong sampling rate would put it.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_samples)
        At least 8 s of signals.
    sfreq : float
        Sampling rate in the header.

    Returns
    -------
    mains_hz : float or None
        50 or 60 when seen there.
    suspect : (float, float) or None
        Frequency at which it is seen instead, and the likely true sampling rate.
    """
    spectra = segment_spectra(data, sfreq, window_s=8.0, fmin_hz=5.0, fmax_hz=130.0)
    psd = np.exp(np.log(spectra.mean() + 1e-300).mean(axis=0))
    freqs = spectra.freqs_hz
    lines = _lines(freqs, psd)
    expected = {hz: lines[near] for hz in (50.0, 60.0) if (near := _near(lines, hz, 0.3))}
    suspects: list[tuple[float, float, float]] = []
    if not _notched(freqs, psd):
        strongest = max(expected.values(), default=0.0)
        for line_hz, height in lines.items():
            suspects += [
                (height, line_hz, true_hz)
                for true_hz in _other_clocks(sfreq, line_hz, height, strongest)
            ]
    if suspects:
        _, seen, true_hz = max(suspects)
        return None, (seen, true_hz)
    return max(expected, key=lambda hz: expected[hz], default=None), None


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
    """Sharp lines from 20 Hz up: frequency and height in dB over the surrounding 1 to 3 Hz."""
    found: dict[float, float] = {}
    level = 10.0 * np.log10(psd)
    step = freqs[1] - freqs[0]
    inner, outer = round(1.0 / step), round(3.0 / step)
    for i in range(outer, freqs.size - inner):
        if freqs[i] < 20.0 or level[i] < level[i - 1] or level[i] < level[i + 1]:
            continue
        around = np.concatenate(
            [level[i - outer : i - inner + 1], level[i + inner : i + outer + 1]]
        )
        height = level[i] - np.median(around)
        sides = max(
            level[i - inner : i - inner + 2].max(), level[i + inner - 1 : i + inner + 1].max()
        )
        if height >= LINE_DB and level[i] - sides >= 0.6 * height:
            a, b, c = level[i - 1 : i + 2]
            shift = 0.5 * (a - c) / (a - 2.0 * b + c) if a - 2.0 * b + c < 0.0 else 0.0
            found[float(freqs[i] + shift * step)] = float(height)
    return found


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
