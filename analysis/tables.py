"""Readers for recordings kept as plain text tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.channels import montage_name, normal_name
from analysis.errors import RecordingError
from analysis.openbci import read_openbci, read_unnamed
from analysis.signals import Signals
from analysis.textfile import fields, is_number, numbers, read_lines, stated_rate
from analysis.timing import find_gaps, smooth_stamps, steady_rate

Array = NDArray[np.float64]

CROWN_CHANNELS = ("CP3", "C3", "F5", "PO3", "PO4", "F6", "C4", "CP4")
CROWN_SFREQ_HZ = 256.0
PLAUSIBLE_HZ = (20.0, 50_000.0)

_KNOWN = (
    "known: BioSPPy, OpenBCI GUI, BrainFlow, ARFF, and tables with one named column per channel"
)
_TIME = frozenset({"time", "times", "timestamp", "timestamps", "t", "seconds", "second", "sec"})
_INDEX = frozenset({"", "index", "sample", "samples", "sample index", "sample number", "n", "#"})
_SIDECAR = re.compile(
    r"^participants\.tsv$|_(?:channels|electrodes|events|scans|sessions)\.tsv$", re.IGNORECASE
)
_UNIT_S = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "milliseconds": 1e-3}
_UNIT_S |= {"us": 1e-6, "µs": 1e-6, "μs": 1e-6, "microseconds": 1e-6, "ns": 1e-9}
_UNIT_UV = {"uv": 1.0, "µv": 1.0, "μv": 1.0, "mv": 1e3, "v": 1e6, "nv": 1e-3}
_WITH_UNIT = re.compile(r"^(.*?)\s*(?:_|\s|[\[(])\s*([a-zµμ]+)\s*[\])]?$", re.IGNORECASE)


def read_table(path: Path, sfreq_hz: float | None, columns: Sequence[str] | None = None) -> Signals:
    """Read a text table of any layout known.

    Parameters
    ----------
    path : Path
        A `.txt`, `.csv`, `.tsv` or `.arff` file, perhaps gzipped.
    sfreq_hz : float or None
        Rate given by the user; needed for a table that neither states one, nor has a time column,
        nor comes from a device with a single rate.
    columns : sequence of str, optional
        EEG columns of a table without names, by number, counted from 1.

    Returns
    -------
    Signals
        The signals.

    Raises
    ------
    RecordingError
        If the layout is unknown, something that it does not state is not given either, or its
        values are not numbers.

    Notes
    -----
    BioSPPy "Simple Text Format": biosppy.storage.store_txt. OpenBCI and BrainFlow: see
    `analysis.openbci`. ARFF: Weka's attribute-relation file format. Neurosity Crown: one header
    line, eight electrodes. Others: one header line with the names of the columns.
    """
    if _SIDECAR.search(path.name):
        raise RecordingError(
            f"{path} is a BIDS table about recordings, not a recording; give the _eeg file"
        )
    lines = read_lines(path)
    first = lines[0].strip() if lines else ""
    if first.startswith("# Simple Text Format"):
        return _biosppy(path, lines)
    if first.startswith(("%OpenBCI", "%OBCI")):
        return read_openbci(path, lines, columns)
    if any(line.strip().lower().startswith("@relation") for line in lines[:500]):
        from analysis.arff import read_arff

        return read_arff(path, lines, sfreq_hz)
    delimiter = _delimiter(lines)
    names = fields(first, delimiter)
    if len(lines) > 1 and len(names) > 1 and all(is_number(name) for name in names):
        return read_unnamed(path, lines, delimiter, sfreq_hz, columns)
    if len(names) > 1 and (len(lines) == 1 or len(fields(lines[1], delimiter)) == len(names)):
        return _named(path, names, lines[1:], delimiter, sfreq_hz)
    raise RecordingError(
        f"{path} is a text file of an unknown layout ({_KNOWN}); export the recording as EDF, BDF "
        "or BrainVision"
    )


def _delimiter(lines: Sequence[str]) -> str | None:
    """Tab, semicolon or comma, whichever the first lines have; white space otherwise."""
    for mark in ("\t", ";", ","):
        if any(mark in line for line in lines[:2]):
            return mark
    return None


def _biosppy(path: Path, lines: Sequence[str]) -> Signals:
    """BioSPPy: comment header, then one column per label."""
    header = [line for line in lines[:60] if line.startswith("#")]
    text = "\n".join(header)
    rate = stated_rate(path, text, r"Sampling Rate \(Hz\):=\s*([0-9.]+)")
    data = numbers(path, lines[len(header) :], None)
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
    return Signals(data, tuple(labels), rate, False, recorded)


def _named(
    path: Path, names: list[str], rows: list[str], delimiter: str | None, sfreq_hz: float | None
) -> Signals:
    """Table with one header line: perhaps a time or counting column, then the channels."""
    if delimiter == ";" and rows and "," in rows[0] and "." not in rows[0]:
        rows = [row.replace(",", ".") for row in rows]
    sample = fields(rows[0], delimiter) if rows else [""] * len(names)
    clock = next((i for i, name in enumerate(names) if _bare(name)[0] in _TIME), None)
    # Only the first column can be a row counter, or an unnamed index.
    count = 0 if clock is None and names[0].lower() in _INDEX else None
    words = [i for i, text in enumerate(sample) if not is_number(text)]
    kept = [i for i in range(len(names)) if i not in {clock, count, *words}]
    if not kept:
        raise RecordingError(f"{path} holds no column of numbers beside its time; export it again")
    read = sorted({*kept, *([clock] if clock is not None and clock not in words else [])})
    table = dict(zip(read, numbers(path, rows, delimiter, read), strict=True))
    data = np.array([table[i] for i in kept])
    channels = [names[i] for i in kept]
    warnings: list[str] = []
    if left_out := [names[i] for i in words if i not in {clock, count}]:
        warnings.append(f"columns left out, no numbers: {_some(left_out)}")
    if tuple(channels) == CROWN_CHANNELS:
        found = Signals(data, CROWN_CHANNELS, CROWN_SFREQ_HZ, False, None, tuple(warnings))
        if sfreq_hz is None:
            said = "the file states no sampling rate; 256 Hz is the Neurosity Crown's only one"
            found = replace(found, warnings=(*warnings, said))
        return found
    stamps = table.get(clock) if clock is not None else None
    unit = _bare(names[clock])[1] if clock is not None else None
    rate, stamps = _rate(path, stamps, _UNIT_S.get(unit or ""), sfreq_hz, warnings)
    gaps = () if stamps is None else find_gaps(stamps, rate)
    types, bare, factors = _kinds(channels, warnings)
    return Signals(
        data * np.array(factors)[:, None],
        tuple(bare),
        rate,
        all(
            _bare(name)[1] in _UNIT_UV
            for name, kind in zip(channels, types, strict=True)
            if kind == "eeg"
        ),
        _start(stamps),
        tuple(warnings),
        tuple(types),
        gaps=gaps,
    )


def _rate(
    path: Path,
    stamps: Array | None,
    unit_s: float | None,
    sfreq_hz: float | None,
    warnings: list[str],
) -> tuple[float, Array | None]:
    """Sampling rate from the time column or the user; also the stamps in seconds."""
    ask = f"{path} states no sampling rate; give it with --sfreq HZ"
    if stamps is None:
        if sfreq_hz is None:
            raise RecordingError(ask)
        return sfreq_hz, None
    shown = steady_rate(stamps)
    if sfreq_hz is not None and (unit_s is None or shown is None):
        for factor in (1.0, 1e-3, 1e-6, 1e-9):
            if shown and abs(shown / factor / sfreq_hz - 1.0) <= 0.02:
                return sfreq_hz, stamps * factor
        counted = shown is not None and abs(shown - 1.0) < 1e-9
        if not counted:
            warnings.append(f"its time column does not step at {sfreq_hz:g} Hz and is not used")
        return sfreq_hz, None
    if shown is None:
        raise RecordingError(
            f"{path}: the steps of its time column are not even ({_steps(stamps)}); resample the "
            "recording evenly, or give the rate with --sfreq HZ"
        )
    if unit_s is None and shown <= 1.0 + 1e-9:
        raise RecordingError(f"{ask} (its time column counts in steps of {1.0 / shown:g})")
    rate = shown / (unit_s or 1.0)
    rate = float(round(rate)) if abs(rate - round(rate)) <= 1e-4 * rate else rate
    if sfreq_hz is None and not PLAUSIBLE_HZ[0] <= rate <= PLAUSIBLE_HZ[1]:
        raise RecordingError(f"{ask} (its time column, taken in seconds, would mean {rate:g} Hz)")
    if unit_s is None:
        warnings.append(f"its time column is taken in seconds, which gives {rate:g} Hz")
    return rate, stamps * (unit_s or 1.0)


def _kinds(channels: list[str], warnings: list[str]) -> tuple[list[str], list[str], list[float]]:
    """Channel types, names without units, and factors to microvolt."""
    bare = [_bare(name)[0] if _bare(name)[1] in _UNIT_UV else name for name in channels]
    # `_bare` folds case; keep the spelling of the file.
    bare = [name[: len(short)].strip() for name, short in zip(channels, bare, strict=True)]
    sites = _electrodes(bare)
    factors = [_UNIT_UV.get(_bare(name)[1] or "", 1.0) for name in channels]
    if not sites:
        warnings.append(
            f"no column is named after an electrode: all {len(bare)} are taken as EEG "
            f"({_some(bare)}); --picks chooses"
        )
        return ["eeg"] * len(bare), bare, factors
    others = [name for name in bare if name not in sites]
    if others:
        warnings.append(f"columns that are no electrodes are not taken as EEG: {_some(others)}")
    types = ["eeg" if name in sites else "misc" for name in bare]
    return types, bare, [f if t == "eeg" else 1.0 for f, t in zip(factors, types, strict=True)]


def _electrodes(names: Sequence[str]) -> set[str]:
    """Those of the names that are electrodes of the 10-05 system."""
    import mne

    known = {name.lower() for name in mne.channels.make_standard_montage(montage_name()).ch_names}
    return {name for name in names if normal_name(name).lower() in known}


def _bare(name: str) -> tuple[str, str | None]:
    """Lower-case name of a column and its unit of time or voltage, if it has one."""
    lower = name.strip().lower()
    match = _WITH_UNIT.match(lower)
    if match and match.group(2) in {*_UNIT_S, *_UNIT_UV} and match.group(1):
        return match.group(1).strip(), match.group(2)
    return lower, None


def _start(stamps_s: Array | None) -> datetime | None:
    """First stamp as a date, when it is one (Unix time after 2001)."""
    if stamps_s is None or not 1e9 < stamps_s[0] < 1e10:
        return None
    return datetime.fromtimestamp(float(stamps_s[0]), UTC)


def _steps(stamps: Array) -> str:
    """Range of the steps of a time column."""
    steps = np.diff(stamps)
    rate = smooth_stamps(stamps, ())[1]
    mean = "" if rate is None else f", {rate:.4g} samples per unit of it on average"
    return f"{np.nanmin(steps):.4g} to {np.nanmax(steps):.4g}{mean}"


def _some(names: Sequence[str]) -> str:
    """First six names."""
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more
