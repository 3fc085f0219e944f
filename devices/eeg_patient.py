"""EEG of the virtual patient, live: it answers to the current that flows while it is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.aftereffect import Eyes
from devices.delivered import DeliveredCurrent
from devices.eeg import EEGInfo
from devices.eeg_replay import PacedEEG
from devices.patient import VirtualPatient
from tacs.clock import Clock
from tacs.errors import InputError

__all__ = ["PatientEEG"]

CurrentBetween = Callable[[float, float], DeliveredCurrent | None]

STEPS_PER_S = 1000


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
        self._drives: list[tuple[float, float, float, float, tuple[float, ...]]] = []

    def feel(self, current: CurrentBetween) -> None:
        """Let the patient feel a current from now on, such as that of an emulated device.

        Parameters
        ----------
        current : callable
            As the parameter of that name.

        Raises
        ------
        InputError
            There is a current already, or another drive.
        """
        if self._current is not None or self._drives:
            raise InputError("this virtual patient has a current or a drive already")
        self._current = current

    def drive(
        self,
        frequency_hz: float,
        current_ma: float,
        from_s: float,
        until_s: float,
        onsets_s: Sequence[float] = (),
    ) -> None:
        """Let an ideal cosine reach every source alike, for tests of known truth.

        Parameters
        ----------
        frequency_hz, current_ma : float
            Of the drive; it begins at its maximum.
        from_s, until_s : float
            On the session's clock.
        onsets_s : sequence of float
            Of the periods, after `from_s`, where the drive is no regular one; each period is one
            of a cosine.

        Raises
        ------
        InputError
            The source has a current of its own.
        """
        if self._current is not None:
            raise InputError("this virtual patient gets the current of a session, no other drive")
        self._drives.append((frequency_hz, current_ma, from_s, until_s, tuple(onsets_s)))

    def look(self, eyes: Eyes) -> None:
        """Open or close the eyes, from what is read next on."""
        self._eyes = eyes

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
        elif self._drives:
            current = self._driven(begin_s, n * self._step_s)
        return self._patient.samples_uv(n, eyes=self._eyes, current=current).T

    def _driven(self, begin_s: float, lasts_s: float) -> DeliveredCurrent | None:
        """What the drives give in a stretch; None where none is on."""
        end_s = begin_s + lasts_s
        self._drives = [one for one in self._drives if one[3] > begin_s]
        if not any(from_s < end_s for _, _, from_s, _, _ in self._drives):
            return None
        n = math.ceil(lasts_s * STEPS_PER_S)
        times_s = begin_s + np.arange(n) * (lasts_s / n)
        samples_ma = np.zeros(times_s.size)
        for hz, peak_ma, from_s, until_s, onsets_s in self._drives:
            on = (times_s >= from_s) & (times_s < until_s)
            turns = hz * (times_s[on] - from_s)
            if onsets_s:
                turns = np.interp(times_s[on] - from_s, onsets_s, np.arange(len(onsets_s)))
            samples_ma[on] += peak_ma * np.cos(2.0 * np.pi * turns)
        return DeliveredCurrent(samples_ma, n / lasts_s)
