"""What the phase-locking value that is read afterwards is worth: of rhythms, and of noise alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.loop_phase_error import PhaseErrors, phase_afterwards
from analysis.phase import fit
from benchmarks.phase_made import make

__all__ = ["Read", "read_afterwards"]

Array = NDArray[np.float64]

REST_S, SFREQ_HZ, BLOCK = 120.0, 250.0, 10
HORIZON_S, EVERY_S = 0.015, 0.5


@dataclass(frozen=True, slots=True)
class Read:
    """What became of the triggers of one signal.

    Parameters
    ----------
    n : int
        Triggers.
    true_plv : float
        Of predicted and true phase.
    plv, lowest_plv : float
        Of predicted phase and that read afterwards: all of them, and the lowest of 50.
    """

    n: int
    true_plv: float
    plv: float
    lowest_plv: float


def read_afterwards(
    kind: str, snr_db: float, seed: int, *, seconds: float, amplitude: float = 0.0,
    noise: bool = False,
) -> Read:  # fmt: skip
    """Predict a phase every half second, and read it afterwards.

    Parameters
    ----------
    kind, snr_db, seed
        Of the signal; see :mod:`benchmarks.phase_made`.
    seconds : float
        How long.
    amplitude : float
        Share of the estimates whose amplitude is too small.
    noise : bool
        Whether the rhythm is gone after rest.
    """
    made = make(kind, snr_db, SFREQ_HZ, REST_S + seconds, seed)
    n_rest = round(REST_S * SFREQ_HZ)
    rest, signal = made.signal_uv[:n_rest], made.signal_uv[n_rest:]
    truth = np.unwrap(made.phase_rad)[n_rest:]
    if noise:
        other = make(kind, -40.0, SFREQ_HZ, seconds, seed + 99).signal_uv
        signal = other * float(np.diff(rest).std() / np.diff(other).std())
    engine = fit(rest, SFREQ_HZ, horizon_s=HORIZON_S)
    if engine.choice is None:
        raise ValueError("not fitted")
    times_s = np.arange(signal.size) / SFREQ_HZ
    found = []
    for i in range(0, signal.size - BLOCK, BLOCK):
        estimate = engine.update(signal[i : i + BLOCK])
        if estimate.valid:
            at_s = times_s[i + BLOCK - 1] + HORIZON_S
            found.append((at_s, estimate.phase_rad, estimate.amplitude_uv))
    at, phase, size = np.array(found).T
    large = size >= np.quantile(size, amplitude)
    errors, off, last_s = PhaseErrors(0.5, 50), [], 0.0
    read: list[complex] = []
    hz = engine.choice.model.frequency_hz
    for at_s, predicted in zip(at[large], phase[large], strict=True):
        if at_s - last_s < EVERY_S or at_s > times_s[-1] - 1.0:
            continue
        last_s = at_s
        error = predicted - phase_afterwards(signal, times_s, at_s, hz)
        errors.add(error)
        read.append(np.exp(1j * error))
        off.append(np.exp(1j * (predicted - np.interp(at_s, times_s, truth))))
    return Read(errors.n, float(abs(np.mean(off))), float(abs(np.mean(read))), errors.least)
