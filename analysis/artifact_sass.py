"""Stimulation artefact source separation (SASS) as published: match the covariance to rest.

Generalised eigenvectors of the covariance under current against that at rest, in a band around the
frequency; as many of the largest are nulled as make the covariance most like that of rest. A brain
whose rhythm grew is therefore made to look like rest: the result matches rest by construction, and
says nothing of a change of power (`benchmarks/artifact.py` has the figures).

References
----------
Haslacher et al. (2021), *NeuroImage* 228:117571.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from analysis.artifact_ged import Component, Removal
from analysis.artifact_lines import (
    Stimulated,
    check_length,
    covariance,
    shifted_down,
    shifted_up,
    whitener,
)

__all__ = ["BAND_HALF_WIDTH_HZ", "NOTE", "sass", "sass_projection"]

Array = NDArray[np.float64]

BAND_HALF_WIDTH_HZ = 2.0
NOTE = "SASS matches the covariance at rest by construction: it cannot show a change of power"


def sass_projection(stim_covariance: Array, rest_covariance: Array) -> tuple[Array, Array]:
    """Return the spatial filter of SASS.

    Parameters
    ----------
    stim_covariance, rest_covariance : ndarray, shape (n_channels, n_channels)
        In the band of interest, under current and at rest.

    Returns
    -------
    projection : ndarray, shape (n_channels, n_channels)
        Multiply the band-passed channels by it.
    excess : ndarray, shape (n_nulled,)
        Power over rest of every component that was nulled, falling.
    """
    white = whitener(rest_covariance)
    values, vectors = np.linalg.eigh(white.forward @ stim_covariance @ white.forward.T)
    values, vectors = values[::-1], vectors[:, ::-1]
    inside = white.back @ white.forward
    distance, best, projection = math.inf, 0, inside
    for n_nulled in range(white.rank):
        rest_of = vectors[:, n_nulled:]
        tried = white.back @ rest_of @ rest_of.T @ white.forward
        away = float(np.linalg.norm(rest_covariance - tried @ stim_covariance @ tried.T))
        if away < distance:
            distance, best, projection = away, n_nulled, tried
    return projection, values[:best]


def sass(case: Stimulated) -> Removal:
    """Clean a band of 2 Hz either side of the frequency by SASS; the rest is left as it is.

    Parameters
    ----------
    case : Stimulated
        A stretch at full current and rest.

    Returns
    -------
    Removal
        Components of kind "power".

    Raises
    ------
    UnusableRecording
        Too short for that many channels.
    """
    check_length(case)
    half = min(BAND_HALF_WIDTH_HZ, 0.45 * case.stim_hz)
    fs, line_hz = case.sfreq_hz, case.stim_hz
    envelope = shifted_down(case.stim, fs, line_hz, half)
    stim_covariance = covariance(envelope)
    rest_covariance = covariance(shifted_down(case.rest, fs, line_hz, half))
    projection, excess = sass_projection(stim_covariance, rest_covariance)
    removed = envelope - projection @ envelope
    # What one component shows is not kept apart: the pattern is that of all of them together.
    pattern = np.sqrt(np.mean(np.abs(removed) ** 2, axis=1))
    components = tuple(
        Component("power", line_hz, 10.0 * math.log10(max(float(value), 1e-12)), pattern)
        for value in excess
    )
    settings = {"half_width_hz": half, "note": NOTE}
    return Removal(shifted_up(removed, fs, line_hz), components, settings)
