"""What a reader of this package hands over: signals, their names and units, marks and gaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.marks import set_marks
from analysis.timing import Gap, gap_warning, mark_gaps

Array = NDArray[np.float64]

UNIT_UNKNOWN = "amplitudes are counts of unknown unit: absolute amplitude checks are skipped"
VOLTAGE_TYPES = frozenset({"eeg", "eog", "ecg", "emg"})


@dataclass(frozen=True, slots=True)
class Mark:
    """An event in a recording.

    Parameters
    ----------
    onset_s, duration_s : float
        Seconds from the first sample.
    text : str
        What it says.
    """

    onset_s: float
    duration_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Signals:
    """Signals of a file that MNE does not read.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_samples)
        Voltages in microvolt (or in counts, when `unit_known` is False), others as written.
    ch_names : tuple of str
        Names as the file has them.
    sfreq_hz : float
        Sampling rate that the file states, or that its device always uses.
    unit_known : bool
        Whether the voltages are really microvolt.
    recorded_at : datetime or None
        Start of the recording where the file has it.
    warnings : tuple of str
        What the reader noticed or had to assume.
    ch_types : tuple of str or None
        MNE channel types; all EEG where None.
    marks : tuple of Mark
        Events.
    gaps : tuple of Gap
        Where samples are missing.
    """

    data: Array
    ch_names: tuple[str, ...]
    sfreq_hz: float
    unit_known: bool
    recorded_at: datetime | None
    warnings: tuple[str, ...] = ()
    ch_types: tuple[str, ...] | None = None
    marks: tuple[Mark, ...] = ()
    gaps: tuple[Gap, ...] = ()

    def all_warnings(self) -> tuple[str, ...]:
        """Return the warnings, with those about unit and gaps."""
        more = [] if self.unit_known else [UNIT_UNKNOWN]
        if self.gaps:
            more.append(gap_warning(self.gaps, self.sfreq_hz))
        return (*self.warnings, *more)

    def to_raw(self) -> Any:
        """Return an MNE object: voltages in volt, marks and gaps as annotations."""
        import mne

        types = list(self.ch_types or ["eeg"] * len(self.ch_names))
        scale = np.array([1e-6 if kind in VOLTAGE_TYPES else 1.0 for kind in types])
        info = mne.create_info(unique(self.ch_names), self.sfreq_hz, types, verbose="ERROR")
        raw = mne.io.RawArray(self.data * scale[:, None], info, verbose="ERROR")
        if self.recorded_at is not None:
            raw.set_meas_date(self.recorded_at.astimezone(UTC))
        if self.marks:
            set_marks(
                raw,
                [mark.onset_s for mark in self.marks],
                [mark.duration_s for mark in self.marks],
                [mark.text for mark in self.marks],
            )
        mark_gaps(raw, self.gaps)
        return raw


def unique(names: Sequence[str]) -> list[str]:
    """Return names with a number added to those that occur twice or are empty.

    Parameters
    ----------
    names : sequence of str
        Names of a file.

    Returns
    -------
    list of str
        In the same order.
    """
    count = Counter(names)
    seen: Counter[str] = Counter()
    out: list[str] = []
    for place, name in enumerate(names, start=1):
        seen[name] += 1
        if not name:
            name = f"channel {place}"
        elif count[name] > 1:
            name = f"{name}-{seen[name]}"
        out.append(name)
    return out
