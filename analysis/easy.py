"""Recordings of Neuroelectrics' NIC as text: `.easy`, with `.info` beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.errors import RecordingError
from analysis.signals import Mark, Signals
from analysis.textfile import fields, numbers, read_lines
from analysis.timing import RATE_TOLERANCE, find_gaps, rate_warning, smooth_stamps, steady_rate

Array = NDArray[np.float64]

# Channels of Enobio and Starstim.
_DEVICES = (8, 20, 32)
_CURRENT = re.compile(r"stim|return|anod|cathod", re.IGNORECASE)
_UV = {"nv": 1e-3, "uv": 1.0, "µv": 1.0}


@dataclass(frozen=True, slots=True)
class EasyInfo:
    """What the `.info` file says.

    Parameters
    ----------
    ch_names : tuple of str
        Electrodes of the columns.
    stimulated : tuple of str
        Those that carried current or its return.
    sfreq_hz : float or None
        Sampling rate.
    n_samples : int or None
        Rows that the `.easy` file should have.
    lost_packets : int
        Packets lost on the radio link.
    unit_uv : float
        One unit of the file in microvolt.
    triggers : dict of str to str
        Meaning of trigger codes.
    """

    ch_names: tuple[str, ...]
    stimulated: tuple[str, ...]
    sfreq_hz: float | None
    n_samples: int | None
    lost_packets: int
    unit_uv: float
    triggers: dict[str, str]


def info_path(path: Path) -> Path:
    """Return the `.info` file that belongs to a `.easy` or `.easy.gz` file."""
    name = path.name[: -len(".gz")] if path.suffix.lower() == ".gz" else path.name
    return path.with_name(Path(name).stem + ".info")


def read_easy(path: Path) -> Signals:
    """Read a `.easy` recording.

    Parameters
    ----------
    path : Path
        The `.easy` or `.easy.gz` file; its `.info` file lies beside it.

    Returns
    -------
    Signals
        EEG in microvolt, the accelerometer in mm/s² as other channels, triggers as marks.

    Raises
    ------
    RecordingError
        If the columns fit no device, the file is shorter than `.info` says, or is damaged.

    Notes
    -----
    Neuroelectrics wiki, "Files & Formats": one row a sample; per channel the voltage in nV, then
    three accelerations (optional), an additional sensor (optional), the trigger code, and Unix
    time in ms. Enobio and Starstim have 8, 20 or 32 channels. `.info` lists rate, electrodes,
    triggers and, for stimulation, what each electrode did.
    """
    lines = [line for line in read_lines(path) if line.strip()]
    if not lines:
        raise RecordingError(f"{path} is empty; copy it again from the recorder")
    width = len(fields(lines[0], None))
    beside = info_path(path)
    info = _read_info(beside) if beside.is_file() else None
    count = len(info.ch_names) if info is not None else _channels(path, width)
    extra = width - count - 2
    if extra not in {0, 1, 3, 4}:
        raise RecordingError(
            f"{path} has {width} columns, which do not fit the {count} channels of {beside.name}; "
            "give the files of one recording"
        )
    table = numbers(path, lines, None)
    warnings: list[str] = []
    rate = _rate(path, table[-1], info, warnings)
    if info is None:
        names = tuple(f"Ch{i + 1}" for i in range(count))
        warnings.append(f"{beside.name} is not beside the file: electrode names are unknown")
    else:
        names = info.ch_names
        _check(path, beside, info, table.shape[1], warnings)
    data, scale = table[:-2], 1e-3 if info is None else info.unit_uv
    accelerometer = [f"ACC_{axis}" for axis in "XYZ"] if extra >= 3 else []
    sensor = ["additional sensor"] if extra in {1, 4} else []
    silent = () if info is None else info.stimulated
    kinds = ["misc" if name in silent else "eeg" for name in names]
    seconds = table[-1] / 1000.0
    return Signals(
        np.vstack([data[:count] * scale, data[count:]]),
        (*names, *accelerometer, *sensor),
        rate,
        True,
        datetime.fromtimestamp(float(seconds[0]), UTC) if 1e9 < seconds[0] < 1e10 else None,
        tuple(warnings),
        (*kinds, *["misc"] * extra),
        _marks(table[-2], rate, {} if info is None else info.triggers),
        find_gaps(seconds, rate),
    )


def _channels(path: Path, width: int) -> int:
    """Channels of a file without `.info`, from the number of its columns."""
    for count in _DEVICES:
        if width - count - 2 in {0, 1, 3, 4}:
            return count
    raise RecordingError(
        f"{path} has {width} columns, which fit no Neuroelectrics device without its .info file; "
        "copy the .info file beside it"
    )


def _rate(path: Path, stamps_ms: Array, info: EasyInfo | None, warnings: list[str]) -> float:
    """Sampling rate that `.info` states, checked against the time stamps, or theirs."""
    shown = steady_rate(stamps_ms / 1000.0)
    if info is not None and info.sfreq_hz is not None:
        if shown is None:
            seconds = stamps_ms / 1000.0
            shown = smooth_stamps(seconds, find_gaps(seconds, info.sfreq_hz))[1]
        said = rate_warning(info.sfreq_hz, shown, RATE_TOLERANCE)
        warnings.extend([said] if said else [])
        return info.sfreq_hz
    if shown is None:
        raise RecordingError(
            f"{path}: its time stamps are not even and no .info file states the sampling rate; "
            "copy the .info file beside it"
        )
    return shown


def _check(path: Path, beside: Path, info: EasyInfo, rows: int, warnings: list[str]) -> None:
    """Compare the rows with `.info`, and tell of lost packets and stimulation."""
    if info.n_samples is not None and rows < info.n_samples:
        raise RecordingError(
            f"{path} is cut off: {beside.name} announces {info.n_samples} samples, it holds "
            f"{rows}; copy it again from the recorder"
        )
    if info.n_samples is not None and rows > info.n_samples:
        warnings.append(f"{beside.name} announces {info.n_samples} samples, the file holds {rows}")
    if info.lost_packets:
        warnings.append(f"{info.lost_packets} packets were lost on the radio link")
    if info.stimulated:
        warnings.append(
            f"recorded during stimulation through {', '.join(info.stimulated)}: these are not "
            "taken as EEG, and the others may carry the current's artefact"
        )


def _read_info(path: Path) -> EasyInfo:
    """Parse a `.info` file, of either generation."""
    lines = [line.strip() for line in read_lines(path)]
    said = {}
    for line in lines:
        key, colon, value = line.partition(":")
        if colon and key not in said:
            said[key.strip().lower()] = value.strip()
    names, roles = _electrodes(lines)
    total = _whole(said.get("total number of channels"))
    if not names or (total is not None and total != len(names)):
        raise RecordingError(
            f"{path} names {len(names)} of {total if total is not None else 'its'} channels: it is "
            "cut off or edited; copy it again from the recorder"
        )
    rate = re.match(r"[0-9.]+", said.get("eeg sampling rate", ""))
    unit = said.get("eeg units", "nV").lower()
    if unit not in _UV:
        raise RecordingError(f"{path}: EEG in {unit} is not known; export the recording as EDF")
    return EasyInfo(
        tuple(names),
        tuple(n for n, role in zip(names, roles, strict=True) if _CURRENT.search(role)),
        float(rate.group(0)) if rate else None,
        _whole(said.get("number of records of eeg")),
        _whole(said.get("number of packets lost")) or 0,
        _UV[unit],
        _triggers(lines),
    )


def _electrodes(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """Electrode of each channel, and what it did where the file says so."""
    names: list[str] = []
    roles: list[str] = []
    current = -1
    for line in lines:
        if match := re.match(r"channel\s+(\d+)\s*:\s*(.*)$", line, re.IGNORECASE):
            current = int(match.group(1)) - 1
            if current == len(names):
                names.append(match.group(2).strip())
                roles.append("")
        elif 0 <= current < len(names) and (
            match := re.match(r"(position|type)\s*:\s*(.*)$", line, re.IGNORECASE)
        ):
            which = names if match.group(1).lower() == "position" else roles
            which[current] = match.group(2).strip()
    return names, roles


def _triggers(lines: Sequence[str]) -> dict[str, str]:
    """Meaning of each trigger code."""
    begin = next((i for i, x in enumerate(lines) if x.lower().startswith("trigger info")), None)
    if begin is None:
        return {}
    rows = [re.match(r"(\d+)\s+(\S.*)$", line) for line in lines[begin + 1 :]]
    return {row.group(1): row.group(2).strip() for row in rows if row}


def _marks(column: Array, rate: float, triggers: dict[str, str]) -> tuple[Mark, ...]:
    """Trigger codes where they begin, in words where `.info` has them."""
    begins = np.flatnonzero((column != 0) & (np.diff(column, prepend=0.0) != 0))
    codes = [f"{column[i]:g}" for i in begins]
    return tuple(
        Mark(float(i) / rate, 0.0, triggers.get(code, f"trigger {code}"))
        for i, code in zip(begins, codes, strict=True)
    )


def _whole(text: str | None) -> int | None:
    """Leading whole number of a value."""
    match = re.match(r"\d+", text or "")
    return int(match.group(0)) if match else None
