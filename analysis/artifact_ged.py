"""Threshold GED: remove what is locked to the current, by how far it exceeds rest, and count it.

Around a line of the current the signal is looked at as a complex envelope z(t), whitened by rest.
What is locked to the current shows in two ways that a rhythm of the brain does not have: a mean
(the line itself), and a pseudo-covariance E[z zᵀ] (sidebands above and below the line that mirror
each other, as any modulation of the line's amplitude makes them). A brain rhythm, however much it
grows, has neither, as long as it does not follow the current. The Takagi factorisation of the
pseudo-covariance gives components, each a pattern over channels with a phase, and its excess over
rest. The strongest loses its in-phase part, where the artefact is, and keeps the quadrature; then
the next is looked for in what is left, as long as one exceeds the threshold and has three times as
much power in phase as in quadrature.

The usual generalised eigenvalue decomposition asks how much power exceeds rest, and cannot tell an
artefact from a brain rhythm that grew beyond the threshold (`benchmarks/artifact.py`).

References
----------
Haslacher et al. (2021), *NeuroImage* 228:117571 (GED against rest). Schreier & Scharf (2010),
*Statistical Signal Processing of Complex-Valued Data*, chapter 3 (pseudo-covariance). Noury, Hipp &
Siegel (2016), *NeuroImage* 140:99-109.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.artifact_lines import (
    Complex,
    Stimulated,
    check_length,
    check_span,
    covariance,
    independent_samples,
    line_phasors,
    line_wave,
    shifted_down,
    shifted_up,
    whitener,
)

__all__ = ["THRESHOLD_DB", "Component", "Removal", "takagi", "threshold_ged"]

Array = NDArray[np.float64]

THRESHOLD_DB = 9.0
_LINE_OVER_CHANCE = 4.0
_LOCKED_SHARE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """One component that was removed.

    Parameters
    ----------
    kind : {"line", "modulation", "power"}
        The line itself, a modulation of it, or a component judged by its power alone (SASS).
    frequency_hz : float
        Line around which it was found.
    excess_db : float
        Its power over rest in the same direction and band.
    pattern : ndarray, shape (n_channels,)
        Magnitude in each channel, in the unit of the data.
    """

    kind: str
    frequency_hz: float
    excess_db: float
    pattern: Array

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, without the pattern."""
        return {
            "kind": self.kind,
            "frequency_hz": round(self.frequency_hz, 5),
            "excess_db": round(self.excess_db, 2),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Removal:
    """What a method takes for artefact.

    Parameters
    ----------
    artefact : ndarray, shape (n_channels, n_times)
        Subtract it.
    components : tuple of Component
        For spatial methods; empty for temporal ones.
    settings : mapping
        What the method was set to, for the record.
    """

    artefact: Array
    components: tuple[Component, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


def takagi(symmetric: Complex) -> tuple[Array, Complex]:
    """Factor a complex symmetric matrix as U diag(s) Uᵀ.

    Parameters
    ----------
    symmetric : ndarray of complex, shape (n, n)
        Equal to its transpose.

    Returns
    -------
    values : ndarray, shape (n,)
        Not negative, falling.
    vectors : ndarray of complex, shape (n, n)
        Unitary; columns belong to the values.
    """
    n = symmetric.shape[0]
    # C conj(u) = s u in real numbers: an ordinary symmetric eigenproblem with pairs +s, -s.
    real = np.block([[symmetric.real, symmetric.imag], [symmetric.imag, -symmetric.real]])
    values, vectors = np.linalg.eigh(0.5 * (real + real.T))
    top = np.argsort(values)[::-1][:n]
    return np.maximum(values[top], 0.0), np.asarray(vectors[:n, top] + 1j * vectors[n:, top])


def threshold_ged(case: Stimulated, *, threshold_db: float = THRESHOLD_DB) -> Removal:
    """Remove the lines of the current and every modulation of them that exceeds rest enough.

    Parameters
    ----------
    case : Stimulated
        A stretch at full current and rest.
    threshold_db : float
        Excess over rest from which a modulation is removed.

    Returns
    -------
    Removal
        With every component and its excess. Data without an artefact lose nothing.

    Raises
    ------
    UnusableRecording
        Too short for that many channels, or rest has another reference.
    """
    check_length(case)
    artefact = np.zeros_like(case.stim)
    components: list[Component] = []
    for line_hz in case.lines_hz:
        # The strongest line is the first: what it spills into the others has gone by then.
        part, found = _one_line(case, case.stim - artefact, line_hz, threshold_db)
        artefact += part
        components += found
    settings = {
        "threshold_db": threshold_db,
        "half_width_hz": round(case.half_width_hz, 3),
        "lines_hz": [round(hz, 5) for hz in case.lines_hz],
    }
    return Removal(artefact, tuple(components), settings)


def _one_line(
    case: Stimulated, data: Array, line_hz: float, threshold_db: float
) -> tuple[Array, list[Component]]:
    """Artefact at and around one line, and its components."""
    fs, half = case.sfreq_hz, case.half_width_hz
    white = whitener(covariance(shifted_down(case.rest, fs, line_hz, half)))
    phasors = line_phasors(case, line_hz, data)
    found = []
    seen = white.forward @ phasors
    # A cosine of amplitude a has a complex envelope of magnitude a and power a².
    excess = float(np.sum(np.abs(seen) ** 2))
    n_free = independent_samples(data.shape[1] / fs, half)
    artefact = np.zeros_like(data)
    if excess > _LINE_OVER_CHANCE * white.rank / n_free:
        artefact = line_wave(case, line_hz, phasors)
        found.append(Component("line", line_hz, _db(excess), np.abs(phasors)))
    envelope = shifted_down(data - artefact, fs, line_hz, half)
    check_span(covariance(envelope), white)
    # Relative to the phase of the current, so that a turning clock turns everything alike.
    turn = case.phasor(line_hz) * np.exp(-2j * np.pi * line_hz * case.times_s())
    seen_white = (white.forward @ envelope) * turn.conj()
    modulated = np.zeros_like(envelope)
    for excess, pattern, wave in _modulations(seen_white, 10.0 ** (threshold_db / 10.0)):
        shown = white.back @ pattern
        modulated += np.outer(shown, wave) * turn
        size = np.abs(shown) * math.sqrt(float(np.mean(wave**2)))
        found.append(Component("modulation", line_hz, _db(excess), size))
    if modulated.any():
        artefact = artefact + shifted_up(modulated, fs, line_hz)
    return artefact, found


def _modulations(white: Complex, threshold: float) -> Iterator[tuple[float, Complex, Array]]:
    """Take modulations out of a whitened envelope, in place, the strongest first.

    One at a time: patterns of several need not be orthogonal in phase, so that what is left of one
    shows only after a stronger one has gone.

    Yields
    ------
    excess : float
        In-phase over quadrature power, relative to rest.
    pattern : ndarray of complex, shape (rank,)
        Unit length.
    wave : ndarray, shape (n_times,)
        Its course.
    """
    for _ in range(2 * white.shape[0]):
        values, vectors = takagi(white @ white.T / white.shape[1])
        pattern = vectors[:, 0]
        course = pattern.conj() @ white
        # What has changed its power without a fixed phase is no artefact of this kind.
        locked = values[0] > _LOCKED_SHARE * float(np.mean(np.abs(course) ** 2))
        if values[0] <= threshold or not locked:
            return
        white -= np.outer(pattern, course.real)
        yield float(values[0]), pattern, course.real


def _db(ratio: float) -> float:
    return 10.0 * math.log10(ratio)
