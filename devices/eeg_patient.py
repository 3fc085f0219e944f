"""EEG of the virtual patient, live: it answers to the current that flows while it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.aftereffect import Eyes
from devices.delivered import DeliveredCurrent
from devices.eeg import EEGInfo
from devices.eeg_replay import PacedEEG
from devices.patient import VirtualPatient
from tacs.clock import Clock

__all__ = ["PatientEEG"]

CurrentBetween = Callable[[float, float], DeliveredCurrent | None]


class PatientEEG(PacedEEG):
    """A virtual patient under an amplifier.

    Parameters
    ----------
    patient : VirtualPatient
        Its own time goes on with what is read.
    clock : Clock
        Of the session.
    eyes : {"closed", "open"}
        State.
    current : callable, optional
        Given two instants of the session's clock, returns the current delivered between them, with
        exactly that length; None where none was. Asked once for every stretch, in order.
    **options
        Of :class:`devices.eeg_replay.PacedEEG`.
    """

    def __init__(
        self,
        patient: VirtualPatient,
        clock: Clock,
        *,
        eyes: Eyes = "closed",
        current: CurrentBetween | None = None,
        **options: Any,
    ) -> None:
        super().__init__(clock, **options)
        self._patient = patient
        self._eyes: Eyes = eyes
        self._current = current

    def _described(self) -> EEGInfo:
        channels = self._patient.channels
        return EEGInfo(
            source="virtual patient",
            channels=channels,
            sfreq_hz=self._patient.sfreq_hz,
            uv_per_unit=(1.0,) * len(channels),
        )

    def _take(self, n: int) -> NDArray[np.float64]:
        begin_s = self._start_s + self._n_taken * self._step_s
        current = None
        if self._current is not None:
            current = self._current(begin_s, begin_s + n * self._step_s)
        return self._patient.samples_uv(n, eyes=self._eyes, current=current).T
