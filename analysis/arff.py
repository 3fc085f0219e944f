"""ARFF, the attribute-relation file format of Weka and of the UCI repository."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from analysis.errors import RecordingError
from analysis.signals import Mark, Signals
from analysis.textfile import fields, numbers

EPOC_CHANNELS = frozenset("AF3 F7 F3 FC5 T7 P7 O1 O2 P8 T8 FC6 F4 F8 AF4".split())
_ATTRIBUTE = re.compile(r"^@attribute\s+('[^']*'|\"[^\"]*\"|\S+)\s+(.+?)\s*$", re.IGNORECASE)
_NUMERIC = frozenset({"numeric", "real", "integer"})
_RATE = re.compile(r"sampl\w*[^\n0-9]{0,20}?([0-9]+(?:\.[0-9]+)?)\s*(?:Hz|samples)", re.IGNORECASE)


def read_arff(path: Path, lines: Sequence[str], sfreq_hz: float | None) -> Signals:
    """Read an ARFF table of EEG.

    Parameters
    ----------
    path : Path
        The file, for messages.
    lines : sequence of str
        Its lines.
    sfreq_hz : float or None
        Sampling rate, where no comment of the file states one.

    Returns
    -------
    Signals
        Numeric attributes as channels; runs of equal values of a nominal attribute as marks.

    Raises
    ------
    RecordingError
        If it is sparse, holds no numeric attribute, or states no rate and none is given.

    Notes
    -----
    Format: https://waikato.github.io/weka-wiki/formats_and_processing/arff_stable/. The UCI data
    set "EEG Eye State" (Roesler 2013) is of this kind; its rate is not in the file.
    """
    names: list[str] = []
    kinds: list[str] = []
    start = None
    for number, line in enumerate(lines):
        text = line.strip()
        if match := _ATTRIBUTE.match(text):
            names.append(match.group(1).strip("'\""))
            kinds.append(match.group(2).lower())
        elif text.lower().startswith("@data"):
            start = number + 1
            break
    numeric = [i for i, kind in enumerate(kinds) if kind in _NUMERIC]
    if start is None or not numeric:
        missing = "@DATA line" if start is None else "numeric attribute"
        raise RecordingError(f"{path} has no {missing}: it is cut off or no recording")
    rows = [line for line in lines[start:] if line.strip() and not line.lstrip().startswith("%")]
    if rows and rows[0].lstrip().startswith("{"):
        raise RecordingError(f"{path} is a sparse ARFF table; save it as a dense one")
    stated = _RATE.search("\n".join(line for line in lines[:start] if line.startswith("%")))
    rate = float(stated.group(1)) if stated else sfreq_hz
    if rate is None:
        hint = " (its 14 electrodes are the Emotiv EPOC's: 128 Hz unless it was set otherwise)"
        epoc = {names[i] for i in numeric} == EPOC_CHANNELS
        raise RecordingError(
            f"{path} states no sampling rate; give it with --sfreq HZ{hint if epoc else ''}"
        )
    table = [fields(row, ",") for row in rows]
    short = next((i for i, row in enumerate(table) if len(row) != len(names)), None)
    if short is not None:
        raise RecordingError(
            f"{path} is damaged or cut off: data row {short + 1} has {len(table[short])} of "
            f"{len(names)} values; export it again"
        )
    data = numbers(path, [row.replace("?", "nan") for row in rows], ",", numeric)
    marks: list[Mark] = []
    for i in [i for i, kind in enumerate(kinds) if kind.startswith("{")]:
        marks += _runs(names[i], [row[i] for row in table], rate)
    return Signals(data, tuple(names[i] for i in numeric), rate, False, None, marks=tuple(marks))


def _runs(name: str, values: list[str], rate: float) -> list[Mark]:
    """Runs of equal values of a nominal attribute."""
    column = np.array(values)
    edges = [0, *(np.flatnonzero(column[1:] != column[:-1]) + 1).tolist(), column.size]
    return [Mark(a / rate, (b - a) / rate, f"{name}={values[a]}") for a, b in pairwise(edges)]
