"""EDF+ and BDF+ files with pauses: where they are, and where their annotations belong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import RecordingError
from analysis.marks import set_marks
from analysis.timing import Gap

Array = NDArray[np.float64]

_ONSET = re.compile(rb"^([+-]\d+(?:\.\d*)?)\x14")


@dataclass(frozen=True, slots=True)
class EdfLayout:
    """Where things are in an EDF or BDF file.

    Parameters
    ----------
    header_bytes : int
        Size of the header.
    n_records : int
        Data records that the header announces; -1 where unknown.
    record_s : float
        Duration of a record.
    counts : tuple of int
        Samples of each signal in a record.
    labels : tuple of str
        Name of each signal.
    sample_bytes : int
        Two for EDF, three for BDF.
    kind : str
        `EDF+C`, `EDF+D`, `BDF+C`, `BDF+D`, or something else for plain EDF and BDF.
    """

    header_bytes: int
    n_records: int
    record_s: float
    counts: tuple[int, ...]
    labels: tuple[str, ...]
    sample_bytes: int
    kind: str

    @property
    def record_bytes(self) -> int:
        """Size of a data record."""
        return sum(self.counts) * self.sample_bytes


def read_layout(path: Path) -> EdfLayout:
    """Read the layout in the header of an EDF or BDF file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    EdfLayout
        What the header announces.

    Raises
    ------
    ValueError
        If a number in the header is none.

    References
    ----------
    Kemp et al. 1992, Electroencephalogr. Clin. Neurophysiol. 82:391-393; Kemp and Olivan 2003,
    Clin. Neurophysiol. 114:1755-1761 (EDF+); BDF has three bytes a sample.
    """
    with path.open("rb") as file:
        head = file.read(256)
        signals = int(head[252:256])
        more = file.read(256 * signals)
    if signals < 1 or len(more) < 256 * signals:
        raise ValueError("header too short")
    labels = [more[16 * i : 16 * i + 16].decode("latin-1").strip() for i in range(signals)]
    counts = more[216 * signals : 224 * signals]
    per_record = tuple(int(counts[8 * i : 8 * i + 8]) for i in range(signals))
    if min(per_record) < 0 or sum(per_record) == 0:
        raise ValueError("a record holds no samples")
    return EdfLayout(
        int(head[184:192]),
        int(head[236:244]),
        float(head[244:252]),
        per_record,
        tuple(labels),
        3 if path.suffix.lower() == ".bdf" else 2,
        head[192:197].decode("latin-1"),
    )


def apply_pauses(path: Path, raw: Any) -> tuple[Gap, ...]:
    """Find the pauses of an EDF+D or BDF+D file, and put its annotations where they belong.

    Parameters
    ----------
    path : Path
        The file.
    raw : mne.io.BaseRaw
        What MNE read from it, which joins the records and takes annotation times as they stand;
        the annotations are replaced in place, those within a pause moved to its end.

    Returns
    -------
    tuple of Gap
        The pauses.

    Raises
    ------
    RecordingError
        If records overlap, or one lacks its start time.
    """
    layout = read_layout(path)
    if not layout.kind.endswith("+D"):
        return ()
    starts = _record_starts(path, layout)
    if starts.size < 2:
        return ()
    lost = np.diff(starts) - layout.record_s
    sfreq = float(raw.info["sfreq"])
    if np.any(lost < -0.5 / sfreq):
        where = starts[int(np.argmin(lost)) + 1] - starts[0]
        raise RecordingError(
            f"{path} is damaged: its records overlap in time at {where:g} s; copy it again from "
            "the recorder"
        )
    at = np.flatnonzero(lost > 0.5 / sfreq)
    if at.size:
        _move_annotations(path, raw, starts, layout.record_s)
    return tuple(Gap(round((int(i) + 1) * layout.record_s * sfreq), float(lost[i])) for i in at)


def _record_starts(path: Path, layout: EdfLayout) -> Array:
    """Start of every data record in seconds, from the first time-stamped annotation in it."""
    place = next((i for i, name in enumerate(layout.labels) if name.endswith(" Annotations")), None)
    if place is None:
        raise RecordingError(
            f"{path} calls itself discontinuous but has no annotation signal that says when each "
            "record begins; export it again as continuous EDF"
        )
    offset = sum(layout.counts[:place]) * layout.sample_bytes
    size = layout.counts[place] * layout.sample_bytes
    records = (path.stat().st_size - layout.header_bytes) // layout.record_bytes
    body = np.memmap(path, np.uint8, "r", layout.header_bytes, (records, layout.record_bytes))
    starts = np.empty(records)
    for i in range(records):
        match = _ONSET.match(body[i, offset : offset + size].tobytes())
        if match is None:
            raise RecordingError(
                f"{path} is damaged: record {i + 1} of {records} does not say when it begins; copy "
                "it again from the recorder"
            )
        starts[i] = float(match.group(1))
    return starts


def _move_annotations(path: Path, raw: Any, starts: Array, record_s: float) -> None:
    """Replace the annotations by those of the file at the times of the joined records."""
    import mne

    with mne.utils.use_log_level("ERROR"):
        marks = mne.read_annotations(path)
    record = np.clip(np.searchsorted(starts, marks.onset, side="right") - 1, 0, None)
    within = np.clip(marks.onset - starts[record], 0.0, record_s)
    set_marks(raw, record * record_s + within, marks.duration, marks.description)
