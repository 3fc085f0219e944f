"""The rhythm without training: endpoint-corrected Hilbert transform, calibrated.

A window is Fourier transformed, its positive frequencies are weighted with a causal band-pass and
transformed back; the last sample is the answer. The frequencies are exact whatever the window's
length, and what the operator does to a sine at the centre is divided out, its mirror image at minus
the centre too, so that a clean sine there has its own phase. Nothing is known about the noise:
there is no credible width.

References
----------
Schreglmann, Wang, Peach, Li, Zhang, Latorre, ... Grossman (2021), *Nature Communications* 12:363.
Osmers (2026), arXiv:2601.13962 (the gain at the endpoint in closed form).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, freqz

from analysis.phase_filter import Complex, WindowFilter

Array = NDArray[np.float64]

WINDOW_S: Final = 1.0
CYCLES: Final = 6.0  # at least, in a window
BANDWIDTH: Final = 0.5  # of the centre
ORDER: Final = 2


class EndpointHilbert(WindowFilter):
    """Calibrated endpoint-corrected Hilbert transform.

    Parameters
    ----------
    frequency_hz : float
        Centre of the rhythm; the band is half as wide.
    sfreq_hz : float
        Rate of the samples.
    horizon_s : float
        How far ahead; the phase goes on at the centre frequency.
    """

    name = "endpoint-corrected Hilbert"

    def __init__(self, frequency_hz: float, *, sfreq_hz: float, horizon_s: float) -> None:
        n = round(max(WINDOW_S, CYCLES / frequency_hz) * sfreq_hz)
        taps = endpoint_taps(n, sfreq_hz, frequency_hz)
        ages = np.arange(n)[::-1]
        turn = 2.0 * math.pi * frequency_hz / sfreq_hz
        straight = taps @ np.exp(-1j * turn * ages)
        mirrored = taps @ np.exp(1j * turn * ages)
        ahead = np.exp(2j * math.pi * frequency_hz * horizon_s)
        size = abs(straight) ** 2 - abs(mirrored) ** 2
        calibrated = ahead * 2.0 * (np.conj(straight) * taps - mirrored * np.conj(taps)) / size
        super().__init__(
            np.ascontiguousarray(calibrated),
            sfreq_hz=sfreq_hz,
            horizon_s=horizon_s,
            frequency_hz=frequency_hz,
            sigma_uv=math.nan,
        )


def endpoint_taps(n: int, sfreq_hz: float, frequency_hz: float) -> Complex:
    """The transform's last sample as weights of the window, not calibrated; newest last."""
    bins_hz = np.fft.fftfreq(n, 1.0 / sfreq_hz)
    half = BANDWIDTH * frequency_hz / 2.0
    edges_hz = [frequency_hz - half, frequency_hz + half]
    _, response = freqz(
        *butter(ORDER, edges_hz, btype="bandpass", fs=sfreq_hz, output="ba"),
        worN=np.abs(bins_hz),
        fs=sfreq_hz,
    )
    weights = np.where(bins_hz > 0.0, 2.0 * response, 0.0)
    # Sum over bins of weight times exp(2 pi i k age / n), divided by n, for every age.
    return np.asarray(np.fft.ifft(weights)[np.arange(n)[::-1]])
