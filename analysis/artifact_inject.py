"""The injection test: a known change under the artefact, and what a method gives back of it.

A change is planted in the recording of rest, the artefact that was removed is added, the method
cleans that, and what came back is told. A method that removes the brain fails, and so does one that
makes everything look like rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.artifact_ged import Removal
from analysis.artifact_lines import (
    Stimulated,
    check_length,
    covariance,
    shifted_down,
    shifted_up,
    whitener,
)
from analysis.errors import UnusableRecording

__all__ = ["Injection", "inject", "strongest_rhythm"]

Array = NDArray[np.float64]
Method = Callable[[Stimulated], Removal]

INJECTED_DB = (0.0, 3.0)
TOLERANCE_DB = 0.75
_LEAST_DB = -60.0


@dataclass(frozen=True, slots=True)
class Injection:
    """A known change, planted under the artefact, and what cleaning left of it.

    Parameters
    ----------
    planted_db, recovered_db : float
        Power of the strongest rhythm around the frequency, over the same data without the change.
    held_out : bool
        Whether cleaning saw another part of rest than the one that the change was planted in.
    seconds : float
        Length of the test.
    """

    planted_db: float
    recovered_db: float
    held_out: bool
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether it came back within 0.75 dB."""
        return abs(self.recovered_db - self.planted_db) <= TOLERANCE_DB

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "planted_db": round(self.planted_db, 3),
            "recovered_db": round(self.recovered_db, 2),
            "passed": self.passed,
            "held_out": self.held_out,
            "seconds": round(self.seconds, 2),
        }


def inject(case: Stimulated, artefact: Array, method: Method) -> tuple[Injection, ...]:
    """Plant no change and +3 dB in rest under the artefact that was found, and clean that.

    Parameters
    ----------
    case : Stimulated
        What was cleaned.
    artefact : ndarray, shape (n_channels, n_times)
        What was removed from it.
    method : callable
        The method that did it.

    Returns
    -------
    tuple of Injection
        One for each of `INJECTED_DB`.
    """
    n_rest, n_stim = case.rest.shape[1], case.stim.shape[1]
    half = n_rest // 2
    seen, used = case.rest[:, :half], case.rest[:, half:]
    held_out = True
    try:
        check_length(case.with_stim(used[:, : min(half, n_stim)], seen))
    except UnusableRecording:
        seen, used, held_out = case.rest, case.rest, False
    n = min(used.shape[1], n_stim)
    used = used[:, :n]
    readout, pattern = strongest_rhythm(case)
    own = shifted_up(
        shifted_down(used, case.sfreq_hz, case.stim_hz, case.half_width_hz),
        case.sfreq_hz,
        case.stim_hz,
    )
    found = []
    for planted_db in INJECTED_DB:
        more = 10.0 ** (planted_db / 20.0) - 1.0
        truth = used + more * np.outer(pattern, readout @ own)
        # Only what surrounds the frequency is read: its own line is enough.
        test = replace(case.with_stim(truth + artefact[:, :n], seen), fundamental_only=True)
        cleaned = test.stim - method(test).artefact
        power = [_around(case, readout @ data) for data in (cleaned, used)]
        recovered = 10.0 * math.log10(max(power[0], 1e-300) / power[1])
        recovered = max(recovered, _LEAST_DB)
        found.append(Injection(planted_db, recovered, held_out, n / case.sfreq_hz))
    return tuple(found)


def strongest_rhythm(case: Stimulated) -> tuple[Array, Array]:
    """Filter and pattern of what stands out most at rest around the frequency.

    Spatio-spectral decomposition: power around the frequency over power beside it (Nikulin, Nolte
    & Curio 2011, *NeuroImage* 55:1528-1535).

    Returns
    -------
    readout, pattern : ndarray, shape (n_channels,)
        ``readout @ pattern`` is 1.
    """
    fs, half = case.sfreq_hz, case.half_width_hz
    near = covariance(shifted_down(case.rest, fs, case.stim_hz, 0.67 * half))
    wide = covariance(shifted_down(case.rest, fs, case.stim_hz, 2.0 * half))
    white = whitener(wide)
    _, vectors = np.linalg.eigh(white.forward @ near @ white.forward.T)
    readout = white.forward.T @ vectors[:, -1]
    pattern = near @ readout
    return readout, np.asarray(pattern / (readout @ pattern))


def _around(case: Stimulated, wave: Array) -> float:
    """Power around the frequency."""
    envelope = shifted_down(wave[None], case.sfreq_hz, case.stim_hz, case.half_width_hz)
    return float(np.mean(np.abs(envelope) ** 2))
