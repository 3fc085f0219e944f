"""A virtual participant as a rehearsal meets one: EEG out, current in, the truth afterwards.

What the entry-point group ``tacs.patients`` provides; the model is :mod:`devices.patient`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.delivered import DeliveredCurrent
from devices.patient import VirtualPatient
from devices.truth import PatientTruth, ln_power_ratio
from tacs.errors import InputError

__all__ = ["DAY_SD_HZ", "VirtualParticipant"]

# Assumed, as in the comparison of estimators: what a person's peak differs by between days.
DAY_SD_HZ = 0.15


class VirtualParticipant:
    """A person drawn by a seed.

    Parameters
    ----------
    seed : int
        Draws the peak frequency and everything random about the recordings.
    visit : int, optional
        A visit of the same person on a day of its own, counted from 1. The peak of the day is drawn
        about the person's with :data:`DAY_SD_HZ`; what an earlier session left behind is gone, and
        the drift of power within a visit begins anew.

    Raises
    ------
    InputError
        A visit below 1.
    """

    def __init__(self, seed: int, visit: int | None = None) -> None:
        person = PatientTruth.draw(seed)
        if visit is None:
            self._patient = VirtualPatient(person, seed)
            return
        if visit < 1:
            raise InputError(f"virtual patient: visit {visit}, give 1 or more")
        day_seed = int(np.random.SeedSequence([seed, visit]).generate_state(1)[0])
        shift_hz = float(np.random.default_rng(day_seed).normal(0.0, DAY_SD_HZ))
        today = replace(person, peak_hz=person.peak_hz + shift_hz)
        self._patient = VirtualPatient(today, day_seed)

    def record(self, duration_s: float) -> Any:
        """Record resting EEG with eyes closed.

        Parameters
        ----------
        duration_s : float
            Length.

        Returns
        -------
        mne.io.RawArray
            Volts.
        """
        return self._patient.record(duration_s, eyes="closed")

    def receive(
        self, current_ma: NDArray[np.float64], sfreq_hz: float, electrodes: tuple[str, ...]
    ) -> None:
        """Receive a delivered current with eyes open.

        Parameters
        ----------
        current_ma : ndarray, shape (n_electrodes, n_times)
            Milliampere.
        sfreq_hz : float
            Samples per second.
        electrodes : tuple of str
            Names of the rows.
        """
        self._patient.receive(DeliveredCurrent(current_ma, sfreq_hz, electrodes), eyes="open")

    def wait(self, duration_s: float) -> None:
        """Let time pass."""
        self._patient.wait(duration_s)

    def truth(self) -> dict[str, float]:
        """Return the true peak in the first recording and the true change to the last.

        Returns
        -------
        dict
            ``peak_hz``, mean momentary frequency of the first recording, and
            ``occipital_ln_ratio``, log ratio of the occipital rhythm's power, last over first,
            where there are two.
        """
        recordings = self._patient.recordings
        found = {"peak_hz": recordings[0].peak_hz}
        if len(recordings) > 1:
            ratio = ln_power_ratio(recordings[0], recordings[-1])
            found["occipital_ln_ratio"] = ratio["occipital"]
        return found
