"""XDF recordings of the Lab Streaming Layer: choosing the EEG among the streams."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import RecordingError
from analysis.signals import VOLTAGE_TYPES, Mark, Signals, unique
from analysis.timing import RATE_TOLERANCE, Gap, find_gaps, rate_warning, smooth_stamps
from analysis.xdf_streams import COPY, Stream, describe, list_streams, open_xdf

Array = NDArray[np.float64]

_UV = {"microvolt": 1.0, "microvolts": 1.0, "uv": 1.0, "µv": 1.0, "μv": 1.0}
_UV |= {"millivolt": 1e3, "millivolts": 1e3, "mv": 1e3, "volt": 1e6, "volts": 1e6, "v": 1e6}
_UV |= {"nanovolt": 1e-3, "nanovolts": 1e-3, "nv": 1e-3}
_TYPES = {"eeg": "eeg", "eog": "eog", "heog": "eog", "veog": "eog", "ecg": "ecg", "ekg": "ecg"}
_TYPES |= {"emg": "emg", "trig": "stim", "trigger": "stim", "stim": "stim", "marker": "stim"}
_MOST_EVENT_CHANNELS = 6


class _Keep(logging.Handler):
    """Keeps what a library says instead of printing it."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.said.append(record.getMessage())


def read_xdf(path: Path, stream: str | None = None) -> Signals:
    """Read the EEG stream of an XDF file.

    Parameters
    ----------
    path : Path
        The file.
    stream : str, optional
        Name or number of the stream; by default the only one of type EEG.

    Returns
    -------
    Signals
        EEG in microvolt where the stream names its unit; event streams as marks.

    Raises
    ------
    RecordingError
        If the file is damaged, the stream is not clear, or it holds no regular samples.

    Notes
    -----
    Time stamps are put on the recorder's clock with the clock offsets in the file
    (`pyxdf.load_xdf`). The rate is the nominal one; the measured one only checks it.
    """
    streams = list_streams(path)
    chosen = _choose(path, streams, stream)
    events = [
        s
        for s in streams
        if s is not chosen and not s.sfreq_hz and s.n_channels <= _MOST_EVENT_CHANNELS
    ]
    loaded = _load(path, [chosen, *events])
    main = loaded[chosen.stream_id]
    stamps = np.asarray(main["time_stamps"], dtype=float)
    if stamps.size < 3:
        raise RecordingError(
            f"{path}: stream {chosen} holds {stamps.size} samples; record it again"
        )
    if chosen.sfreq_hz <= 0.0:
        raise RecordingError(
            f"{path}: stream {chosen} states no sampling rate; choose another with --stream NAME "
            f"among {describe(streams)}"
        )
    gaps = find_gaps(stamps, chosen.sfreq_hz)
    smooth, measured = smooth_stamps(stamps, gaps)
    warnings: list[str] = []
    said = rate_warning(chosen.sfreq_hz, measured, RATE_TOLERANCE)
    warnings.extend([said] if said else [])
    names, types, factors = _channels(main["info"], chosen, warnings)
    known = all(f is not None for f, t in zip(factors, types, strict=True) if t in VOLTAGE_TYPES)
    scale = np.array([1.0 if f is None or not known else f for f in factors])
    marks = _marks(
        [(s, loaded[s.stream_id]) for s in events], smooth, gaps, chosen.sfreq_hz, warnings
    )
    return Signals(
        np.asarray(main["time_series"], dtype=float).T * scale[:, None],
        tuple(names),
        chosen.sfreq_hz,
        known,
        _start(loaded["header"]),
        tuple(warnings),
        tuple(types),
        tuple(marks),
        gaps,
    )


def _choose(path: Path, streams: Sequence[Stream], wanted: str | None) -> Stream:
    """The stream asked for, or the only one of type EEG."""
    ask = "choose one with --stream NAME"
    if wanted is not None:
        fits = [s for s in streams if wanted in {s.name, str(s.stream_id)}]
        if not fits:
            fits = [s for s in streams if s.source_id and wanted == s.source_id]
        if len(fits) != 1:
            many = f"{len(fits)} streams" if fits else "no stream"
            raise RecordingError(f"{path} has {many} {wanted!r}, but {describe(streams)}; {ask}")
        if not fits[0].numeric:
            raise RecordingError(f"{path}: stream {fits[0]} holds text, no EEG; {ask} among others")
        return fits[0]
    eeg = [s for s in streams if s.kind.lower() == "eeg" and s.numeric]
    if len(eeg) != 1:
        many = f"{len(eeg)} streams of type EEG" if eeg else "no stream of type EEG"
        raise RecordingError(f"{path} has {many}: {describe(streams)}; {ask}")
    return eeg[0]


def _load(path: Path, streams: Sequence[Stream]) -> dict[Any, Any]:
    """Streams by number, and the file header, as `pyxdf` reads them."""
    import pyxdf

    handler = _Keep(logging.ERROR)
    log = logging.getLogger("pyxdf")
    passes_on, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        with open_xdf(path) as file:
            loaded, header = pyxdf.load_xdf(
                file, [s.stream_id for s in streams], dejitter_timestamps=False
            )
    except MemoryError as exc:
        raise RecordingError(f"{path} does not fit in memory; cut out the part needed") from exc
    except Exception as exc:
        text = " ".join(str(exc).split())[:120] or type(exc).__name__
        raise RecordingError(f"{path} cannot be read: damaged ({text}); {COPY}") from exc
    finally:
        log.removeHandler(handler)
        log.propagate = passes_on
    if handler.said:
        text = " ".join(handler.said[0].split())[:120]
        raise RecordingError(f"{path} is damaged ({text}); {COPY}")
    found: dict[Any, Any] = {s["info"]["stream_id"]: s for s in loaded}
    found["header"] = header
    return found


def _channels(
    info: dict[str, Any], stream: Stream, warnings: list[str]
) -> tuple[list[str], list[str], list[float | None]]:
    """Names, types and factors to microvolt of the channels; None where the unit is not known."""
    described: list[Any] = []
    for block in (info.get("desc") or [None])[:1]:
        for channels in ((block or {}).get("channels") or [None])[:1]:
            described = list((channels or {}).get("channel") or [])
    described = [entry if isinstance(entry, dict) else {} for entry in described]
    if len(described) != stream.n_channels:
        if described:
            warnings.append(
                f"the stream describes {len(described)} of its {stream.n_channels} channels: its "
                "names and units are not used"
            )
        described = [{}] * stream.n_channels
    names = [_first(entry, "label") or _first(entry, "name") for entry in described]
    if not all(names):
        warnings.append("channels are numbered: the stream does not name all electrodes")
        names = [name or str(i + 1) for i, name in enumerate(names)]
    default = stream.kind.lower() if stream.kind.lower() in _TYPES else "eeg"
    types = [_TYPES.get((_first(entry, "type") or default).lower(), "misc") for entry in described]
    factors = [
        _UV.get(_first(entry, "unit").lower()) if kind in VOLTAGE_TYPES else 1.0
        for entry, kind in zip(described, types, strict=True)
    ]
    return unique(names), types, factors


def _first(entry: dict[str, Any], key: str) -> str:
    """First value of a key, as `pyxdf` nests them; empty where there is none."""
    value = entry.get(key)
    value = value[0] if isinstance(value, list) and value else value
    return value.strip() if isinstance(value, str) else ""


def _marks(
    streams: Sequence[tuple[Stream, Any]],
    stamps: Array,
    gaps: Sequence[Gap],
    sfreq: float,
    warnings: list[str],
) -> list[Mark]:
    """Events as marks, at the time of the samples recorded with them."""
    marks: list[Mark] = []
    outside = 0
    # A clock that was set back must not confuse the search; within a gap, the place is its end.
    stamps = np.maximum.accumulate(stamps)
    edges = np.array([gap.sample for gap in gaps], dtype=int)
    for stream, loaded in streams:
        times = np.asarray(loaded["time_stamps"], dtype=float)
        place = np.interp(times, stamps, np.arange(stamps.size, dtype=float))
        for edge in edges:
            within = (times > stamps[edge - 1]) & (times < stamps[edge])
            place[within] = edge
        prefix = f"{stream.name}: " if len(streams) > 1 else ""
        half = 0.5 / sfreq
        for time, at, value in zip(times, place, loaded["time_series"], strict=True):
            if not stamps[0] - half <= time <= stamps[-1] + half:
                outside += 1
                continue
            text = " ".join(str(v) for v in np.atleast_1d(np.asarray(value, dtype=object)))
            marks.append(Mark(float(at) / sfreq, 0.0, prefix + (text.strip() or "event")))
    if outside:
        warnings.append(f"{outside} events before or after the EEG are left out")
    return sorted(marks, key=lambda mark: mark.onset_s)


def _start(header: Any) -> datetime | None:
    """Start of the recording where the file header has it (LabRecorder writes it)."""
    text = _first(((header or {}).get("info") or {}), "datetime")
    text = re.sub(r"([+-]\d{2})(\d{2})$", r"\1:\2", text)
    try:
        stamp = datetime.fromisoformat(text)
    except ValueError:
        return None
    return stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)
