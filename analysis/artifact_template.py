"""Temporal methods, for replication: template average, sine fit, comb of neighbouring periods.

They see one channel at a time and remove what repeats with every period. Heartbeat and breathing
change the artefact from period to period, and that stays: under conventional tACS the residue is
larger than the brain's rhythm. The comb also removes what of the rhythm repeats.

References
----------
Helfrich et al. (2014), *Current Biology* 24:333-339 (template). Kohli & Casson (2019), *Sensors*
19:190 (superposition of moving averages). Guggenberger & Gharabaghi (2021) (weighted combs).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from analysis.artifact_ged import Removal
from analysis.artifact_lines import Stimulated
from analysis.errors import UnusableRecording

__all__ = ["COMB_PERIODS", "SINE_WINDOW_S", "comb", "sine_fit", "template"]

Array = NDArray[np.float64]

SINE_WINDOW_S = 5.0
COMB_PERIODS = 10
MOST_HARMONICS = 40


def template(case: Stimulated) -> Removal:
    """Subtract the mean period of the whole stretch.

    A period is seldom a whole number of samples: its mean is taken as a Fourier series, every
    harmonic below half the sampling rate (40 at most) by least squares, which is the same for a
    signal of limited band.

    Parameters
    ----------
    case : Stimulated
        A stretch at full current.

    Returns
    -------
    Removal
    """
    top = max(1, min(MOST_HARMONICS, math.floor(0.49 * case.sfreq_hz / case.stim_hz)))
    turns = [case.phasor(k * case.stim_hz) for k in range(1, top + 1)]
    artefact = _fitted(np.array([row for t in turns for row in (t.real, t.imag)]), case.stim)
    return Removal(artefact, settings={"harmonics": top})


def _fitted(design: Array, data: Array) -> Array:
    """Least-squares fit of the rows of the design to every channel."""
    weights = np.linalg.solve(design @ design.T, design @ data.T)
    return np.asarray(weights.T @ design)


def sine_fit(case: Stimulated, *, window_s: float = SINE_WINDOW_S) -> Removal:
    """Subtract a sine with its harmonics, fitted anew in every window.

    Parameters
    ----------
    case : Stimulated
        A stretch at full current.
    window_s : float
        Length of a window; the last one takes what is left over.

    Returns
    -------
    Removal

    Raises
    ------
    UnusableRecording
        A window holds fewer than three periods.
    """
    if window_s * case.stim_hz < 3.0:
        raise UnusableRecording(
            f"{window_s:g} s hold fewer than three periods of {case.stim_hz:g} Hz: use template"
        )
    n, per_window = case.stim.shape[1], round(window_s * case.sfreq_hz)
    starts = [i * per_window for i in range(max(1, n // per_window))]
    artefact = np.zeros_like(case.stim)
    turns = [case.phasor(line_hz) for line_hz in case.lines_hz]
    for start, stop in zip(starts, [*starts[1:], n], strict=True):
        part = slice(start, stop)
        design = np.array([row for turn in turns for row in (turn[part].real, turn[part].imag)])
        artefact[:, part] = _fitted(design, case.stim[:, part])
    return Removal(artefact, settings={"window_s": window_s, "lines_hz": list(case.lines_hz)})


def comb(case: Stimulated, *, periods: int = COMB_PERIODS) -> Removal:
    """Subtract the mean of the neighbouring periods, as many before as after.

    Parameters
    ----------
    case : Stimulated
        A stretch at full current.
    periods : int
        Periods on either side.

    Returns
    -------
    Removal

    Raises
    ------
    UnusableRecording
        The stretch is shorter than that many periods.
    """
    n = case.stim.shape[1]
    pad = math.ceil(periods * case.sfreq_hz / case.stim_hz)
    if 2.5 * pad >= n:
        raise UnusableRecording(
            f"{n / case.sfreq_hz:.1f} s at full current: a comb of {periods} periods on either "
            f"side needs {2.5 * pad / case.sfreq_hz:.1f} s"
        )
    # Whole periods are put on at both ends, so that the comb finds the line in phase there.
    shift = round(math.ceil(pad * case.stim_hz / case.sfreq_hz) / case.stim_hz * case.sfreq_hz)
    padded = np.concatenate(
        [case.stim[:, shift - pad : shift], case.stim, case.stim[:, n - shift : n - shift + pad]],
        axis=1,
    )
    freqs = np.fft.rfftfreq(padded.shape[1], 1.0 / case.sfreq_hz)
    steps = np.arange(1, periods + 1)
    gain = np.cos(2.0 * np.pi * np.outer(freqs / case.stim_hz, steps)).mean(axis=1)
    gain[freqs < 0.5 * case.stim_hz] = 0.0  # slow waves are no artefact
    smooth = np.fft.irfft(np.fft.rfft(padded, axis=1) * gain, padded.shape[1], axis=1)
    return Removal(smooth[:, pad : pad + n], settings={"periods": periods})
