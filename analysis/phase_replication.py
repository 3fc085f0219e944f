"""Two published estimators of the phase at the end of a window, written from their papers.

For comparison and replication; `analysis.phase` is what the suite uses. Both filter a window
forwards and backwards, cut off its edges, and continue it: phastimate by an autoregressive model,
educated temporal prediction (ETP) by the mean period from the last peak.

References
----------
Zrenner, Galevska, Nieminen, Baur, Stefanou & Ziemann (2020), *NeuroImage* 214:116761. Zrenner,
Desideri, Belardinelli & Ziemann (2018), *Brain Stimulation* 11:374-389. Shirinpour, Alekseichuk,
Mantell & Opitz (2020), *J. Neural Eng.* 17:046002.
"""

from __future__ import annotations

import cmath
import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, solve_toeplitz
from scipy.signal import butter, decimate, filtfilt, find_peaks, firwin, hilbert, sosfiltfilt

from analysis.errors import AnalysisError, UnusableRecording

Array = NDArray[np.float64]

WINDOW_S: Final = 1.0
FILTER_ORDER_S: Final = 0.256  # 128 samples at 500 Hz
EDGE_S: Final = 0.128  # 64 samples at 500 Hz
AR_ORDER: Final = 30
HILBERT_S: Final = 0.256
RATE_HZ: Final = 500.0  # what the autoregressive order is meant for
ETP_EDGE_S: Final = 0.04
ETP_STEP_S: Final = 0.35
ETP_WINDOWS: Final = 250


def _downsampled(window_uv: Array, sfreq_hz: float) -> tuple[Array, float]:
    """About 500 samples a second, the newest sample kept; without its mean."""
    every = max(1, round(sfreq_hz / RATE_HZ))
    centred = window_uv - window_uv.mean()
    if every > 1:
        centred = decimate(centred[::-1], every, ftype="fir")[::-1]
    return np.asarray(centred, dtype=np.float64), sfreq_hz / every


def phastimate(
    window_uv: Array, sfreq_hz: float, band_hz: tuple[float, float], horizon_s: float = 0.0
) -> float:
    """Phase at the last sample of a window plus a horizon, by autoregressive continuation.

    Parameters
    ----------
    window_uv : ndarray, shape (n_samples,)
        At least 0.8 s; a second is usual.
    sfreq_hz : float
        Rate.
    band_hz : (float, float)
        Pass band, the individual peak plus and minus 2 Hz for instance.
    horizon_s : float
        How far the phase is turned on, at the middle of the band.

    Returns
    -------
    float
        Radians, in (-pi, pi].

    Raises
    ------
    AnalysisError
        The window is too short.
    UnusableRecording
        The window is flat.
    """
    window, rate = _downsampled(np.asarray(window_uv, dtype=np.float64), sfreq_hz)
    taps = firwin(round(FILTER_ORDER_S * rate) + 1, band_hz, pass_zero=False, fs=rate)
    edge = round(EDGE_S * rate)
    if window.size <= 3 * taps.size:
        raise AnalysisError(f"window of {window.size / rate:.2f} s: phastimate needs 0.8 s or more")
    inner = np.asarray(filtfilt(taps, np.ones(1), window))[edge:-edge]
    inner = inner - inner.mean()
    n = inner.size
    covariance = np.array([inner[: n - lag] @ inner[lag:] for lag in range(AR_ORDER + 1)]) / n
    if not covariance[0] > 0.0:
        raise UnusableRecording("window: the channel is flat")
    try:
        weights = solve_toeplitz(covariance[:-1], covariance[1:])
    except LinAlgError as exc:
        raise UnusableRecording("window: no autoregressive model fits it") from exc
    long = round(HILBERT_S * rate)
    after = long // 2
    whole = np.concatenate([inner, np.zeros(edge + after)])
    for at in range(n, whole.size):
        whole[at] = weights @ whole[at - 1 : at - 1 - AR_ORDER : -1]
    # The window's last sample is `after` samples before the end of the continuation.
    analytic = hilbert(whole[whole.size - long :])[long - after - 1]
    turned = complex(analytic) * cmath.exp(1j * math.pi * sum(band_hz) * horizon_s)
    return cmath.phase(turned)


class ETP:
    """Educated temporal prediction.

    Parameters
    ----------
    rest_uv : ndarray, shape (n_samples,)
        At least 60 s; the first half tells the period, the second one its correction.
    sfreq_hz : float
        Rate.
    band_hz : (float, float)
        Pass band.

    Attributes
    ----------
    period_s : float
        Mean time between peaks.
    adjusted_s : float
        From the last peak seen in a window to the next true one.

    Raises
    ------
    UnusableRecording
        Rest is too short, or has no peaks.
    """

    def __init__(self, rest_uv: Array, sfreq_hz: float, band_hz: tuple[float, float]) -> None:
        if rest_uv.size < 60.0 * sfreq_hz:
            raise UnusableRecording(
                f"rest: {rest_uv.size / sfreq_hz:.1f} s; educated temporal prediction needs 60 s"
            )
        self.sfreq_hz = sfreq_hz
        self._filter = butter(2, band_hz, btype="bandpass", fs=sfreq_hz, output="sos")
        whole = sosfiltfilt(self._filter, rest_uv)
        half = rest_uv.size // 2
        apart = np.diff(find_peaks(whole[:half])[0])
        apart = apart[apart > sfreq_hz / band_hz[1] * 0.75]
        if not apart.size:
            raise UnusableRecording("rest: no peaks in the band")
        period = float(np.exp(np.mean(np.log(apart))))
        truth = np.angle(hilbert(whole))
        size, step = round(WINDOW_S * sfreq_hz), round(ETP_STEP_S * sfreq_hz)
        starts = range(half, rest_uv.size - size - round(2.0 * sfreq_hz), step)
        told = []
        for start in list(starts)[:ETP_WINDOWS]:
            last = self._last_peak(rest_uv[start : start + size])
            if last is not None:
                told.append(truth[start + last + round(period)])
        off_rad = float(np.angle(np.mean(np.exp(1j * np.array(told))))) if told else 0.0
        self.period_s = period / sfreq_hz
        self.adjusted_s = self.period_s * (1.0 - off_rad / (2.0 * math.pi))

    def _last_peak(self, window_uv: Array) -> int | None:
        edge = round(ETP_EDGE_S * self.sfreq_hz)
        peaks = find_peaks(sosfiltfilt(self._filter, window_uv)[:-edge])[0]
        return int(peaks[-1]) if peaks.size else None

    def phase(self, window_uv: Array, horizon_s: float = 0.0) -> float:
        """Phase at the last sample of a window plus a horizon.

        Parameters
        ----------
        window_uv : ndarray, shape (n_samples,)
            A second.
        horizon_s : float
            How far ahead.

        Returns
        -------
        float
            Radians, in (-pi, pi].

        Raises
        ------
        UnusableRecording
            The window has no peak.
        """
        last = self._last_peak(np.asarray(window_uv, dtype=np.float64))
        if last is None:
            raise UnusableRecording("window: no peak in the band")
        since_s = (window_uv.size - 1 - last) / self.sfreq_hz + horizon_s
        turns = (since_s - self.adjusted_s) / self.period_s
        return cmath.phase(cmath.exp(2j * math.pi * turns))

    def wait_s(self, window_uv: Array, target_rad: float) -> float:
        """Time from the last sample of a window to the next target phase; never below 0.

        Parameters
        ----------
        window_uv : ndarray, shape (n_samples,)
            A second.
        target_rad : float
            Any phase.
        """
        missing = (target_rad - self.phase(window_uv)) % (2.0 * math.pi)
        return missing / (2.0 * math.pi) * self.period_s
