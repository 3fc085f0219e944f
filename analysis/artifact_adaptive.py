"""Adaptive filters with the current as reference: causal after their start, channel by channel.

The reference is the recorded current in phase and in quadrature, or, where it was not recorded, a
sine of the exact frequency; weights follow slow changes of gain and phase. What they follow fast
enough to remove breathing they also take from a rhythm at the same frequency.

References
----------
Kohli & Casson (2019), *Sensors* 19:190. Haykin (2014), *Adaptive Filter Theory*, chapters 6, 10.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.artifact_ged import Removal
from analysis.artifact_lines import Stimulated

__all__ = ["MEMORY_S", "adaptive"]

Array = NDArray[np.float64]

MEMORY_S = 5.0


def adaptive(
    case: Stimulated,
    *,
    rule: Literal["rls", "lms"] = "rls",
    memory_s: float = MEMORY_S,
) -> Removal:
    """Follow the lines of the current in every channel and subtract them.

    Parameters
    ----------
    case : Stimulated
        A stretch at full current; its `reference` is used where there is one.
    rule : {"rls", "lms"}
        Recursive least squares, or normalised least mean squares.
    memory_s : float
        Time constant of the weights.

    Returns
    -------
    Removal
        What the filter predicted before it saw each sample; it begins with the weights of its first
        time constant.
    """
    turns = [case.phasor(line_hz) for line_hz in case.lines_hz]
    inputs = np.array([row for turn in turns for row in (turn.real, turn.imag)])
    steps = memory_s * case.sfreq_hz
    follow = _rls if rule == "rls" else _lms
    artefact = follow(case.stim, inputs, steps)
    settings = {
        "rule": rule,
        "memory_s": memory_s,
        "reference": "recorded current" if case.reference is not None else "sine",
        "lines_hz": [round(hz, 5) for hz in case.lines_hz],
    }
    return Removal(artefact, settings=settings)


def _start(data: Array, inputs: Array, steps: float) -> tuple[Array, Array]:
    """Weights and inverse input covariance from the first time constant, as if long running."""
    n = min(round(steps), data.shape[1])
    first = inputs[:, :n]
    inverse = np.asarray(np.linalg.inv(first @ first.T), dtype=np.float64)
    return inverse, np.asarray(inverse @ (first @ data[:, :n].T))


def _rls(data: Array, inputs: Array, steps: float) -> Array:
    """Recursive least squares; the gain is the same for all channels."""
    forget = math.exp(-1.0 / steps)
    inverse, weights = _start(data, inputs, steps)
    out = np.empty_like(data)
    for i in range(data.shape[1]):
        given = inputs[:, i]
        turned = inverse @ given
        gain = turned / (forget + given @ turned)
        predicted = given @ weights
        weights += np.outer(gain, data[:, i] - predicted)
        inverse = (inverse - np.outer(gain, turned)) / forget
        out[:, i] = predicted
    return out


def _lms(data: Array, inputs: Array, steps: float) -> Array:
    """Normalised least mean squares: the input's power is that of its sines."""
    rate = 2.0 / steps
    _, weights = _start(data, inputs, steps)
    out = np.empty_like(data)
    for i in range(data.shape[1]):
        given = inputs[:, i]
        predicted = given @ weights
        weights += rate * np.outer(given, data[:, i] - predicted)
        out[:, i] = predicted
    return out
