"""Jittered drive: a control with as many pulses and no rhythm of its own.

Every period is drawn on its own, so that the phase against a regular reference is lost within
about two cycles. Entrainment needs a drive that is regular; responses to single pulses do not
(Notbohm et al. 2016, *Front. Hum. Neurosci.* 10:10). A jittered block should therefore lock to no
regular reference; what it does with its own pulses is told beside it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.profile_blocks import Block

__all__ = ["JITTER_SD", "jitter_onsets_s", "jitter_phase", "pulse_phasor"]

Array = NDArray[np.float64]

JITTER_SD = 0.2  # of a period, over the period
MOST_SD = 0.25  # uniform periods: from 0.57 to 1.43 of the mean


def jitter_onsets_s(
    frequency_hz: float, seconds: float, jitter_sd: float, seed: int
) -> tuple[float, ...]:
    """Onsets of the pulses of a jittered block, from its start.

    Parameters
    ----------
    frequency_hz : float
        Mean rate.
    seconds : float
        Length of the block; the last onset lies at or beyond it.
    jitter_sd : float
        Standard deviation of a period over the mean period; periods are uniform.
    seed : int
        Of the periods. The same seed gives the same onsets in every version of Python.

    Returns
    -------
    tuple of float
        The first is 0.

    Raises
    ------
    AnalysisError
        If a value makes no sense.
    """
    if not (0.0 < frequency_hz < math.inf and 0.0 < seconds < math.inf):
        raise AnalysisError("jittered block: give a frequency and a length above 0")
    if not 0.0 < jitter_sd <= MOST_SD:
        raise AnalysisError(f"jitter of {jitter_sd:g} of a period: give above 0 to {MOST_SD:g}")
    draws = random.Random(seed)
    wide = math.sqrt(12.0) * jitter_sd
    onsets = [0.0]
    while onsets[-1] < seconds:
        onsets.append(onsets[-1] + (1.0 + wide * (draws.random() - 0.5)) / frequency_hz)
    return tuple(onsets)


def jitter_phase(times_s: Array, onsets_s: Sequence[float]) -> Array:
    """Phase of a jittered drive, 0 at every onset and steady between two, unwrapped."""
    return np.asarray(np.interp(times_s, onsets_s, 2.0 * np.pi * np.arange(len(onsets_s))))


def pulse_phasor(blocks: Sequence[Block], n_times: int, sfreq_hz: float) -> Any:
    """Phasor of the pulses of jittered blocks, shape (n_times,); 1 where none ran."""
    phasor = np.ones(n_times, dtype=np.complex128)
    for block in blocks:
        first, last = round(block.start_s * sfreq_hz), round(block.stop_s * sfreq_hz)
        times_s = np.arange(first, min(last, n_times)) / sfreq_hz - block.start_s
        onsets = jitter_onsets_s(
            block.frequency_hz, block.stop_s - block.start_s, block.jitter_sd, block.jitter_seed
        )
        phasor[first : first + times_s.size] = np.exp(1j * jitter_phase(times_s, onsets))
    return phasor
