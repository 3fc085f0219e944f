"""A virtual participant as a rehearsal meets one: EEG out, current in, the truth afterwards.

What the entry-point group ``tacs.patients`` provides; the model is :mod:`devices.patient`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.delivered import DeliveredCurrent
from devices.patient import VirtualPatient
from devices.truth import PatientTruth, ln_power_ratio

__all__ = ["VirtualParticipant"]


class VirtualParticipant:
    """A person drawn by a seed.

    Parameters
    ----------
    seed : int
        Draws the peak frequency and everything random about the recordings.
    """

    def __init__(self, seed: int) -> None:
        self._patient = VirtualPatient(PatientTruth.draw(seed), seed)

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
