"""The rhythm's sources over time: their state, and the slow wander that they share.

Integration takes small steps in sequence, and a step costs almost as much for one patient as for
fifty: :func:`advance_together` walks many patients at once and gives each exactly what it would get
alone.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.rhythm import integrate, phase_memory_s
from devices.truth import PatientTruth
from tacs.errors import InputError

__all__ = ["Advanced", "Sources", "Stretch", "advance_together", "run_recordings"]

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]


class Sources:
    """Coupled noisy oscillators, one per node, with one wandering frequency.

    Parameters
    ----------
    truth : PatientTruth
        What is true of the patient.
    step_s : float
        Integration step.
    rhythm_seed, wander_seed : SeedSequence
        Seeds of the oscillators' noise and of the wander.
    """

    def __init__(
        self,
        truth: PatientTruth,
        step_s: float,
        rhythm_seed: np.random.SeedSequence,
        wander_seed: np.random.SeedSequence,
    ) -> None:
        self._truth = truth
        self.rhythm = truth.rhythm
        self.step_s = step_s
        self._rng = np.random.default_rng(rhythm_seed)
        self._wander_rng = np.random.default_rng(wander_seed)
        self._wander_hz = truth.wander_sd_hz * float(self._wander_rng.standard_normal())
        self._state = np.exp(2j * np.pi * self._rng.random(len(truth.nodes)))

    @property
    def peak_hz(self) -> float:
        """Momentary frequency of the rhythm."""
        return self._truth.peak_hz + self._wander_hz

    @property
    def memory_s(self) -> float:
        """After this long neither phase nor amplitude remember anything."""
        return 10.0 * max(phase_memory_s(self.rhythm), 0.5 / self.rhythm.relaxation_per_s)

    def skip(self, duration_s: float) -> None:
        """Let the wander go on without the oscillators, whose state would be forgotten anyway."""
        self._wander(1, duration_s)

    def begin(self, n_steps: int) -> tuple[ComplexArray, Array, np.random.Generator]:
        """Return state, frequencies of the coming steps in Hz, and source of noise."""
        return self._state, self._truth.peak_hz + self._wander(n_steps, self.step_s), self._rng

    def finish(self, state: ComplexArray) -> None:
        """Take the state after the last step."""
        self._state = state

    def _wander(self, n_steps: int, step_s: float) -> Array:
        """Exact Ornstein-Uhlenbeck path over the coming steps, in Hz; moves its state on."""
        from scipy.signal import lfilter

        keep = math.exp(-step_s / self._truth.wander_tau_s)
        shocks = self._wander_rng.standard_normal(n_steps)
        shocks *= self._truth.wander_sd_hz * math.sqrt(1.0 - keep**2)
        path, _ = lfilter([1.0], [1.0, -keep], shocks, zi=[keep * self._wander_hz])
        self._wander_hz = float(path[-1])
        return np.asarray(path)


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """What a patient's sources go through next.

    Parameters
    ----------
    sources : Sources
        The sources.
    n_steps : int
        Number of integration steps.
    drive_ma : ndarray, shape (n_steps, n_nodes), or None
        Current at every source.
    size : ndarray, shape (n_nodes,) or (n_steps, n_nodes)
        ``r0`` of every source.
    coupling_per_s : ndarray, shape (n_nodes, n_nodes)
        Pull of the column's node on the row's.
    keep_every : int
        Keep every so many steps.
    """

    sources: Sources
    n_steps: int
    drive_ma: Array | None
    size: Array
    coupling_per_s: Array
    keep_every: int


@dataclass(frozen=True, slots=True, eq=False)
class Advanced:
    """What came of a stretch.

    Parameters
    ----------
    states : ndarray, shape (ceil(n_steps / keep_every), n_nodes)
        Normalised states ``z/r0``.
    peak_hz : float
        Mean momentary frequency.
    """

    states: ComplexArray
    peak_hz: float


def advance_together(stretches: Sequence[Stretch]) -> list[Advanced]:
    """Advance the sources of several patients over one stretch each.

    Parameters
    ----------
    stretches : sequence of Stretch
        One per patient, with the same number of nodes and steps.

    Returns
    -------
    list of Advanced
        In the same order; no patient's result depends on who else is there.

    Raises
    ------
    InputError
        If the patients' oscillators differ in anything but their frequency.
    """
    first = stretches[0]
    for other in stretches[1:]:
        if _kind(other) != _kind(first):
            raise InputError(
                "virtual patients recorded together must have the same number of nodes, fwhm_hz, "
                "relaxation_per_s, sensitivity_per_s_ma, recording length and sampling rate"
            )
    states, frequencies_hz, rngs = zip(
        *(stretch.sources.begin(stretch.n_steps) for stretch in stretches), strict=True
    )
    kept, ends = integrate(
        np.stack(states),
        first.sources.rhythm,
        first.n_steps,
        rngs,
        step_s=first.sources.step_s,
        frequency_hz=np.stack(frequencies_hz, axis=1)[:, :, None],
        drive_ma=_drives(stretches),
        coupling_per_s=np.stack([stretch.coupling_per_s for stretch in stretches]),
        keep_every=first.keep_every,
    )
    for stretch, end in zip(stretches, ends, strict=True):
        stretch.sources.finish(end)
    return [
        Advanced(kept[:, i], float(frequency_hz.mean()))
        for i, frequency_hz in enumerate(frequencies_hz)
    ]


def run_recordings(recordings: Sequence[Generator[Stretch, Advanced, Any]]) -> list[Any]:
    """Drive recordings in lock-step to their ends.

    Parameters
    ----------
    recordings : sequence of generator
        From :meth:`devices.patient.VirtualPatient.recording`, of one length.

    Returns
    -------
    list
        What each returns.
    """
    raws: list[Any] = []
    stretches = [next(recording) for recording in recordings]
    while stretches:
        outcomes = advance_together(stretches)
        stretches = []
        for recording, outcome in zip(recordings, outcomes, strict=True):
            try:
                stretches.append(recording.send(outcome))
            except StopIteration as end:
                raws.append(end.value)
    return raws


def _kind(stretch: Stretch) -> tuple[object, ...]:
    """What must agree between stretches advanced together."""
    rhythm = stretch.sources.rhythm
    return (
        len(stretch.coupling_per_s),
        stretch.n_steps,
        stretch.keep_every,
        stretch.sources.step_s,
        rhythm.fwhm_hz,
        rhythm.relaxation_per_s,
        rhythm.sensitivity_per_s_ma,
    )


def _drives(stretches: Sequence[Stretch]) -> Array | None:
    """Current over size, shape (n_steps, n_patients, n_nodes); None where none flows."""
    if all(stretch.drive_ma is None for stretch in stretches):
        return None
    drives = np.zeros((stretches[0].n_steps, len(stretches), len(stretches[0].coupling_per_s)))
    for i, stretch in enumerate(stretches):
        if stretch.drive_ma is not None:
            drives[:, i] = stretch.drive_ma / stretch.size
    return drives
