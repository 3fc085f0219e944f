"""Many virtual patients at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from devices.aftereffect import Eyes
from devices.delivered import DeliveredCurrent
from devices.patient import VirtualPatient
from devices.sources import run_recordings
from tacs.errors import InputError

__all__ = ["record_together"]


def record_together(
    patients: Sequence[VirtualPatient],
    duration_s: float,
    *,
    eyes: Eyes = "closed",
    currents: Sequence[DeliveredCurrent | None] | None = None,
) -> list[Any]:
    """Record several patients side by side, for little more than the time that one takes.

    Parameters
    ----------
    patients : sequence of VirtualPatient
        Patients whose oscillators differ in frequency, not in line width, relaxation, sensitivity
        or number of nodes; one sampling rate.
    duration_s : float
        Length.
    eyes : {"closed", "open"}
        State of all.
    currents : sequence of DeliveredCurrent or None, optional
        Current of each.

    Returns
    -------
    list of mne.io.RawArray
        For each patient what its own :meth:`VirtualPatient.record` would give.

    Raises
    ------
    InputError
        If the patients cannot be recorded together, or length or current cannot be used.
    """
    each = [None] * len(patients) if currents is None else list(currents)
    if len(each) != len(patients) or len({id(patient) for patient in patients}) != len(patients):
        raise InputError(
            f"{len(patients)} virtual patients and {len(each)} currents: give every patient once "
            "and one current (or None) for each"
        )
    return run_recordings(
        [
            patient.recording(duration_s, eyes=eyes, current=current)
            for patient, current in zip(patients, each, strict=True)
        ]
    )
