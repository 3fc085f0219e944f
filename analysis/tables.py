"""Readers for recordings kept as plain text tables."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.errors import RecordingError

Array = NDArray[np.float64]

CROWN_CHANNELS = ("CP3", "C3", "F5", "PO3", "PO4", "F6", "C4", "CP4")
CROWN_SFREQ_HZ = 256.0


@dataclass(frozen=True, slots=True)
class Table:
    """Signals of a text table.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_samples)
        Values as written.
    ch_names : tuple of str
        Column names.
    sfreq_hz : float
        Sampling rate that the file states, or that its device always uses.
    unit_known : bool
        True when the values are microvolt, False when they are counts of unknown size.
    recorded_at : datetime or None
        Start of the recording where the file has it.
    warnings : tuple of str
        What the reader had to assume.
    """

    data: Array
    ch_names: tuple[str, ...]
    sfreq_hz: float
    unit_known: bool
    recorded_at: datetime | None
    warnings: tuple[str, ...] = ()


def read_table(path: Path, sfreq_hz: float | None) -> Table:
    """Read a BioSPPy text file, an OpenBCI GUI text file or a Neurosity Crown table.

    Parameters
    ----------
    path : Path
        A `.txt` or `.csv` file.
    sfreq_hz : float or None
        Rate given by the user; needed for a table that neither states one nor comes from a
        device with a single rate.

    Returns
    -------
    Table
        The signals.

    Raises
    ------
    RecordingError
        If the file is none of these, or its values are not numbers.

    Notes
    -----
    BioSPPy "Simple Text Format": biosppy.storage.store_txt. OpenBCI: "%OpenBCI Raw EXG Data" as
    the GUI version 5 and later writes it, microvolt. Crown: one header line, eight electrodes.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            head = [line for _, line in zip(range(60), file, strict=False)]
    except UnicodeDecodeError as exc:
        raise RecordingError(
            f"{path} is not a text table: it holds binary data; give the recorder's own file"
        ) from exc
    first = head[0].strip() if head else ""
    if first.startswith("# Simple Text Format"):
        return _biosppy(path, head)
    if first.startswith("%OpenBCI"):
        return _openbci(path, head)
    columns = [part.strip() for part in first.split(",")]
    if columns[0].upper() in {"TIME", "TIMESTAMP", "INDEX"} and len(columns) > 1:
        return _plain(path, columns, sfreq_hz)
    raise RecordingError(
        f"{path} is a text file of an unknown layout (known: BioSPPy .txt, OpenBCI GUI .txt, "
        "Neurosity Crown .csv); export the recording as EDF, BDF or BrainVision"
    )


def _numbers(path: Path, delimiter: str | None, skip: int, columns: range | None) -> Array:
    """Numeric body of a table, shape (n_columns, n_rows)."""
    try:
        body = np.loadtxt(
            path,
            delimiter=delimiter,
            skiprows=skip,
            usecols=columns,
            ndmin=2,
            comments=None,
            encoding="utf-8-sig",
        )
    except (ValueError, IndexError) as exc:
        reason = str(exc).split("\n")[0].rstrip(".")
        raise RecordingError(
            f"{path} cannot be read as a table of numbers ({reason}); it may be cut off or edited: "
            "export it again"
        ) from exc
    if body.shape[0] < 2:
        raise RecordingError(f"{path} holds no samples, only a header; export it again")
    return np.asarray(body.T, dtype=float)


def _stated_rate(path: Path, text: str, pattern: str) -> float:
    """Sampling rate in a header."""
    match = re.search(pattern, text, re.IGNORECASE)
    rate = float(match.group(1)) if match else 0.0
    if not 0.0 < rate < 1e6:
        raise RecordingError(f"{path} states no sampling rate in its header; export it again")
    return rate


def _biosppy(path: Path, head: list[str]) -> Table:
    """BioSPPy: comment header, then one column per label."""
    header = [line for line in head if line.startswith("#")]
    text = "".join(header)
    rate = _stated_rate(path, text, r"Sampling Rate \(Hz\):=\s*([0-9.]+)")
    data = _numbers(path, None, len(header), None)
    match = re.search(r"Labels:=\s*(.+)", text)
    labels = re.split(r"[,\t]\s*", match.group(1).strip()) if match else []
    if len(labels) != data.shape[0]:
        labels = [f"EEG{i + 1:03d}" for i in range(data.shape[0])]
    date = re.search(r"Date:=\s*(\S+)", text)
    recorded = None
    if date:
        try:
            stamp = datetime.fromisoformat(date.group(1))
            # Local time without a zone is taken as it stands, as in EDF headers.
            recorded = stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)
        except ValueError:
            recorded = None
    return Table(data, tuple(labels), rate, False, recorded)


def _openbci(path: Path, head: list[str]) -> Table:
    """OpenBCI GUI: `%` header, one line of column names, EXG channels in microvolt."""
    comments = [line for line in head if line.startswith("%")]
    names = [part.strip() for part in head[len(comments)].split(",")]
    rate = _stated_rate(path, "".join(comments), r"%Sample Rate = ([0-9.]+) Hz")
    exg = [i for i, name in enumerate(names) if name.startswith("EXG Channel")]
    if not exg or exg != list(range(exg[0], exg[-1] + 1)):
        raise RecordingError(f"{path} has no EXG channels; export it again from the OpenBCI GUI")
    data = _numbers(path, ",", len(comments) + 1, range(exg[0], exg[-1] + 1))
    ch_names = tuple(str(i + 1) for i in range(len(exg)))
    warnings = (
        f"channels are numbered 1 to {len(exg)}: the file does not name the electrodes",
        *_lost_packets(path, len(comments) + 1),
    )
    recorded = None
    if "Timestamp" in names:
        stamp = head[len(comments) + 1].split(",")[names.index("Timestamp")]
        seconds = float(stamp)
        # GUI version 5 writes seconds, later ones milliseconds.
        recorded = datetime.fromtimestamp(seconds / 1000.0 if seconds > 1e11 else seconds, UTC)
    return Table(data, ch_names, rate, True, recorded, warnings)


def _lost_packets(path: Path, skip: int) -> tuple[str, ...]:
    """Warn when the packet counter of an OpenBCI file (0-255) skips."""
    counter = _numbers(path, ",", skip, range(1))[0]
    steps = np.diff(counter) % 256
    lost = int(np.sum(np.maximum(steps[steps > 0] - 1, 0)))
    return (f"{lost} packets were lost on the radio link",) if lost else ()


def _plain(path: Path, columns: list[str], sfreq_hz: float | None) -> Table:
    """Comma-separated table: sample number first, then one column per channel."""
    data = _numbers(path, ",", 1, range(1, len(columns)))
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = [row[0] for _, row in zip(range(4), csv.reader(file), strict=False)][1:]
    if first != [str(i) for i in range(len(first))]:
        raise RecordingError(
            f"{path}: its first column is not a sample number 0, 1, 2, …; "
            "export the recording as EDF, BDF or BrainVision"
        )
    unit = "values are of unknown unit: the file states none"
    if tuple(columns[1:]) == CROWN_CHANNELS:
        stated = "the file states no sampling rate; 256 Hz is the Neurosity Crown's only one"
        warnings = (unit,) if sfreq_hz is not None else (unit, stated)
        return Table(data, CROWN_CHANNELS, CROWN_SFREQ_HZ, False, None, warnings)
    if sfreq_hz is None:
        raise RecordingError(f"{path} states no sampling rate; give it with --sfreq HZ")
    return Table(data, tuple(columns[1:]), sfreq_hz, False, None, (unit,))
