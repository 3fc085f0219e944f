"""Recordings of the OpenBCI GUI and of BrainFlow, both plain text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.errors import RecordingError
from analysis.signals import Mark, Signals
from analysis.textfile import fields, is_number, numbers, stated_rate
from analysis.timing import Gap, rate_warning

Array = NDArray[np.float64]

# Channels of each board by its over-the-air rate: Cyton, Cyton with Daisy, Ganglion.
_CHANNELS_AT_HZ = {250.0: 8, 125.0: 16, 200.0: 4}
_COARSE_TOLERANCE = 0.02
_DECIMAL_COMMA = re.compile(r"^\s*\d+, -?\d+,\d+, -?\d+,\d+")


def read_openbci(path: Path, lines: Sequence[str], columns: Sequence[str] | None) -> Signals:
    """Read a text recording of the OpenBCI GUI, any version.

    Parameters
    ----------
    path : Path
        The file, for messages.
    lines : sequence of str
        Its lines.
    columns : sequence of str, optional
        EEG columns by number, counted from 1; used only where the file does not tell them.

    Returns
    -------
    Signals
        Channels numbered from 1, in microvolt.

    Raises
    ------
    RecordingError
        If it holds no EEG, is damaged, or does not tell its columns.

    Notes
    -----
    GUI version 4 and earlier (`DataLogging.pde`): comment lines that begin with `%`, then sample
    index, channels in microvolt, accelerometer or auxiliary values, time of day and, later, Unix
    time in milliseconds. Version 5 and later (`DataWriterODF.pde`): comment lines, one line of
    column names, Unix time in seconds or milliseconds, marker channel. The sample index counts
    packets up to 255 (Cyton; every second one with Daisy) or 200 (Ganglion, two rows a packet).
    """
    comments = [line for line in lines[:60] if line.startswith("%")]
    if "aux" in comments[0].lower():
        raise RecordingError(
            f"{path} holds the auxiliary channels only; give the OpenBCI-RAW file of the session"
        )
    header = "\n".join(comments)
    rate = stated_rate(path, header, r"%Sample Rate = ([0-9.]+) Hz")
    rows = list(lines[len(comments) :])
    if rows and _DECIMAL_COMMA.match(rows[0]):
        rows = [re.sub(r"(?<=\d),(?=\d)", ".", row) for row in rows]
    named = bool(rows) and not is_number(fields(rows[0], ",")[0])
    names = fields(rows[0], ",") if named else []
    rows = rows[1:] if named else rows
    if not rows:
        raise RecordingError(f"{path} holds no samples, only a header; export it again")
    if named:
        exg = [i for i, name in enumerate(names) if name.startswith("EXG Channel")]
        stamp = names.index("Timestamp") if "Timestamp" in names else None
        marker = next((i for i, name in enumerate(names) if name.startswith("Marker")), None)
    else:
        exg, stamp, marker = _unnamed_columns(path, header, rows[0], rate, columns)
    if not exg:
        raise RecordingError(f"{path} has no EXG channels; export it again from the OpenBCI GUI")
    read = sorted({0, *exg, *(i for i in (stamp, marker) if i is not None)})
    table = dict(zip(read, numbers(path, rows, ",", read), strict=True))
    warnings = [f"channels are numbered 1 to {len(exg)}: the file does not name the electrodes"]
    gaps, lost = _lost_packets(table[0], rate)
    if lost:
        warnings.append(f"{lost} packets were lost on the radio link")
    recorded = None
    if stamp is not None:
        # Version 5 writes seconds, the others milliseconds.
        seconds = table[stamp] / (1000.0 if table[stamp][0] > 1e11 else 1.0)
        if 1e9 < seconds[0] < 1e10:
            recorded = datetime.fromtimestamp(float(seconds[0]), UTC)
        said = _coarse_rate_warning(rate, seconds, sum(g.lost_s for g in gaps))
        warnings.extend([said] if said else [])
    return Signals(
        np.array([table[i] for i in exg]),
        tuple(str(i + 1) for i in range(len(exg))),
        rate,
        True,
        recorded,
        tuple(warnings),
        marks=_marks(None if marker is None else table[marker], rate),
        gaps=gaps,
    )


def read_unnamed(
    path: Path,
    lines: Sequence[str],
    delimiter: str | None,
    sfreq_hz: float | None,
    columns: Sequence[str] | None,
) -> Signals:
    """Read a table of numbers without names, such as BrainFlow's `DataFilter.write_file` writes.

    Parameters
    ----------
    path : Path
        The file, for messages.
    lines : sequence of str
        Its rows.
    delimiter : str or None
        Between fields.
    sfreq_hz : float or None
        Sampling rate; never guessed.
    columns : sequence of str or None
        EEG columns by number, counted from 1; never guessed.

    Returns
    -------
    Signals
        The columns asked for, named by their numbers.

    Raises
    ------
    RecordingError
        If rate or columns are not given, or a column is none or no EEG.

    Notes
    -----
    BrainFlow data format: one column per board channel, voltages in microvolt, one column of Unix
    time in seconds (https://brainflow.readthedocs.io/en/stable/DataFormatDesc.html).
    """
    width = len(fields(lines[0], delimiter))
    if sfreq_hz is None or columns is None:
        raise RecordingError(
            f"{path} has {width} columns without names and states no sampling rate; give it with "
            "--sfreq HZ and the EEG columns by number, counted from 1, with --picks 2,3,4 "
            "(BrainFlow counts from 0: add 1)"
        )
    table = numbers(path, lines, delimiter)
    chosen = _chosen(path, columns, width)
    unix = [i for i in range(width) if np.all((table[i] > 1e9) & (table[i] < 1e10))]
    for i in chosen:
        steps = np.diff(table[i])
        usual = float(np.median(steps))
        if i in unix or (usual in {1.0, 2.0} and np.mean(steps == usual) > 0.9):
            what = "time" if i in unix else "a packet counter"
            raise RecordingError(
                f"{path}: column {i + 1}, counted from 1, is {what}, no EEG; mend --picks"
            )
    warnings: list[str] = []
    gaps: tuple[Gap, ...] = ()
    recorded = None
    if unix:
        seconds = table[unix[-1]]
        recorded = datetime.fromtimestamp(float(seconds[0]), UTC)
        counter = table[0]
        if 0 not in chosen and np.all((counter == np.round(counter)) & (np.abs(counter) < 256)):
            gaps, lost = _lost_packets(counter, sfreq_hz)
            warnings.extend([f"{lost} packets were lost on the radio link"] if lost else [])
        said = _coarse_rate_warning(sfreq_hz, seconds, sum(g.lost_s for g in gaps))
        warnings.append("values are taken as microvolt, BrainFlow's unit")
        warnings.extend([said] if said else [])
    return Signals(
        table[chosen],
        tuple(str(i + 1) for i in chosen),
        sfreq_hz,
        bool(unix),
        recorded,
        tuple(warnings),
        gaps=gaps,
    )


def _unnamed_columns(
    path: Path, header: str, row: str, rate: float, columns: Sequence[str] | None
) -> tuple[list[int], int | None, int | None]:
    """Columns of GUI version 4 and earlier: channels, Unix time, marker."""
    parts = fields(row, ",")
    stamp = len(parts) - 1 if is_number(parts[-1]) and float(parts[-1]) > 1e11 else None
    said = re.search(r"%Number of channels = (\d+)", header)
    count = int(said.group(1)) if said else _CHANNELS_AT_HZ.get(rate)
    if count is None and columns is not None:
        return _chosen(path, columns, len(parts)), stamp, None
    if count is None or not 0 < count < len(parts):
        raise RecordingError(
            f"{path} does not tell which of its {len(parts)} columns are channels; give them by "
            "number, counted from 1, with --picks 2,3,4"
        )
    return list(range(1, count + 1)), stamp, None


def _chosen(path: Path, columns: Sequence[str], width: int) -> list[int]:
    """Column numbers counted from 1, as indices."""
    wrong = [text for text in columns if not (text.isdigit() and 1 <= int(text) <= width)]
    if wrong or not columns:
        raise RecordingError(
            f"{path}: {', '.join(wrong) or 'nothing'} is no column number from 1 to {width}; give "
            "the EEG columns by number, counted from 1, with --picks 2,3,4"
        )
    return list(dict.fromkeys(int(text) - 1 for text in columns))


def _lost_packets(counter: Array, rate: float) -> tuple[tuple[Gap, ...], int]:
    """Gaps that the packet counter shows, and the number of packets lost."""
    # The first step is left out: versions up to 4 start with a counter of their own.
    changes = np.flatnonzero(np.diff(counter) != 0) + 1
    changes = changes[changes > 1]
    steps = counter[changes] - counter[changes - 1]
    forward = steps[steps > 0]
    if forward.size == 0:
        return (), 0
    values, count = np.unique(forward, return_counts=True)
    usual = float(values[np.argmax(count)])
    period = float(np.ptp(counter)) + usual
    lost = np.round(((steps - usual) % period) / usual).astype(int)
    rows = max(1, round(counter.size / (changes.size + 1)))
    found = [
        Gap(int(at), float(n * rows / rate)) for at, n in zip(changes, lost, strict=True) if n > 0
    ]
    return tuple(found), int(lost.sum())


def _coarse_rate_warning(rate: float, seconds: Array, lost_s: float) -> str | None:
    """Compare the rate with stamps that were taken as packets arrived."""
    span = float(seconds[-1] - seconds[0]) - lost_s
    if span < 10.0:
        return None
    return rate_warning(rate, (seconds.size - 1) / span, _COARSE_TOLERANCE)


def _marks(column: Array | None, rate: float) -> tuple[Mark, ...]:
    """Values other than zero of a marker column, where they begin."""
    if column is None:
        return ()
    begins = np.flatnonzero((column != 0) & (np.diff(column, prepend=0.0) != 0))
    return tuple(Mark(float(i) / rate, 0.0, f"marker {column[i]:g}") for i in begins)
