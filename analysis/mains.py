"""The mains line as a clock: seen at a wrong frequency, it betrays a wrong sampling rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.spectrum import segment_spectra

Array = NDArray[np.float64]

LINE_DB = 7.0
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
    for line_hz, height in lines.items():
        for mains_hz in (50.0, 60.0):
            for factor in (0.5, 2.0):
                if abs(line_hz - mains_hz * factor) <= 0.15:
                    true_hz = sfreq / factor
                    # Harmonics of a line at half the frequency are no sign of a right clock.
                    rivals = [h for hz, h in expected.items() if factor == 2.0 or hz == mains_hz]
                    if not rivals or max(rivals) < height - 6.0:
                        if not _notched(freqs, psd):
                            suspects.append((height, line_hz, true_hz))
            implied = sfreq * mains_hz / line_hz
            standard = min(STANDARD_RATES_HZ, key=lambda rate: abs(rate - implied))
            if 45.0 <= line_hz <= 65.0 and height >= 12.0 and not expected:
                if abs(implied / standard - 1.0) < 0.002 and not _notched(freqs, psd):
                    suspects.append((height, line_hz, standard))
    if suspects:
        _, seen, true_hz = max(suspects)
        return None, (seen, true_hz)
    return (max(expected, key=lambda hz: expected[hz]) if expected else None), None


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
