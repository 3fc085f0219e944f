"""Into the BIDS data set: a clinic's recordings, and the current as it was delivered.

Recordings go through mne-bids. EDF, BDF and BrainVision files keep their format; everything else is
written as BrainVision. The source is never touched, and a recording arrives whole or not at all: it
is written beside the data set's own files and moved into place at the end.

What identifies a person: names, birth dates and hospital numbers in the headers of EDF and BDF
files are blanked, formats that are rewritten lose them; age and sex go to participants.tsv. Dates
stay, because the order and the spacing of sessions are data; shift them before publishing. Texts of
annotations are kept as they are.

References
----------
Appelhoff et al. 2019, *J Open Source Softw* 4(44), 1896: MNE-BIDS. BIDS 1.11.1.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from tacs.bids_stimulation import EVENT_COLUMNS, event_rows, parameters, write_contacts
from tacs.bids_writer import merge_recording, write_recording
from tacs.dataset import (
    Recording,
    SessionPaths,
    check_label,
    ensure_dataset,
    find_recordings,
    find_records,
    refuse_other_spelling,
    task_label,
    write_json,
)
from tacs.driver import TraceInfo
from tacs.errors import InputError, RecordError
from tacs.files import write_text
from tacs.protocol import Protocol
from tacs.record import read_record
from tacs.tables import table_text

if TYPE_CHECKING:
    from analysis.io import Recording as Loaded
    from analysis.quality import Quality

__all__ = [
    "Imported",
    "Recording",
    "SessionPaths",
    "check_label",
    "ensure_dataset",
    "find_recordings",
    "find_records",
    "import_recording",
    "left_trace",
    "store_trace",
    "task_label",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A recording that is in the data set now.

    Parameters
    ----------
    path : Path
        The file in the data set.
    subject, session, task, when : str
        Its labels.
    warnings : tuple of str
        What the reader, the quality check and the writer noticed.
    quality : dict
        The quality summary, also written below ``derivatives/tacs``.
    """

    path: Path
    subject: str
    session: str
    task: str
    when: str
    warnings: tuple[str, ...]
    quality: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``tacs import``."""
        return {
            "path": str(self.path),
            "subject": self.subject,
            "session": self.session,
            "task": self.task,
            "when": self.when,
            "warnings": list(self.warnings),
            "quality": self.quality,
        }


def import_recording(
    path: str | Path,
    dataset: str | Path,
    subject: str,
    session: str,
    when: str,
    *,
    task: str = "rest-closed",
    sfreq_hz: float | None = None,
    overwrite: bool = False,
) -> Imported:
    """Bring a recording into a data set, with its quality summary.

    Parameters
    ----------
    path : path
        Recording in any format that :func:`analysis.io.load_recording` reads.
    dataset : path
        BIDS data set; made where there is none.
    subject, session : str
        BIDS labels.
    when : {"pre", "post", "during"}
        Before, after or during the stimulation of that session. A recording made during it says so
        in its sidecar, with what the session's record names; of a blinded session, or where there
        is no record, no more than that current may have flowed.
    task : str
        What the person did; ``rest-closed`` becomes the label ``restclosed``.
    sfreq_hz : float, optional
        True sampling rate where the header's is wrong; the file is then rewritten.
    overwrite : bool
        Replace a recording of the same subject, session, task and time.

    Returns
    -------
    Imported

    Raises
    ------
    InputError
        A label or the recording cannot be used, the recording is there already, or the data set
        cannot be written. Nothing of the recording is left behind.
    """
    if when not in {"pre", "post", "during"}:
        raise InputError(f"when {when!r}: must be pre, post or during")
    label = task_label(task)
    paths = SessionPaths.of(dataset, subject, session)
    loaded, quality = _read(path, sfreq_hz)
    if Path(loaded.path).resolve().parent == paths.eeg.resolve():
        raise InputError(f"{path}: is in the data set already; give the recorder's own file")
    ensure_dataset(paths.dataset)
    refuse_other_spelling(paths)
    if not overwrite and any(paths.eeg.glob(f"{paths.recording_stem(label, when)}_*")):
        raise InputError(
            f"{paths.eeg}: has a {when} recording of task {label} already; give another --session "
            f"or --task, or allow overwriting"
        )
    with _staging(paths.dataset) as stage:
        staged = SessionPaths(stage / "set", subject, session)
        written, noticed = write_recording(loaded, quality.mains_hz, staged, label, when)
        if when == "during":
            _tell_stimulation(written.with_suffix(".json"), paths)
        summary = {"recording": written.name, "source_sha256": loaded.sha256, **quality.to_dict()}
        write_json(staged.quality(label, when), summary)
        merge_recording(staged, paths, label, when, aside=stage / "before")
    noticed = [*loaded.warnings, *(f"unusable: {r}" for r in quality.reasons), *noticed]
    return Imported(
        path=paths.eeg / written.name,
        subject=subject,
        session=session,
        task=label,
        when=when,
        warnings=tuple(dict.fromkeys([*noticed, *quality.warnings])),
        quality=summary,
    )


def store_trace(paths: SessionPaths, info: TraceInfo, started_s: float, protocol: Protocol) -> Path:
    """Put the delivered current into the data set.

    Parameters
    ----------
    paths : SessionPaths
        Of the session.
    info : TraceInfo
        What the oscilloscope wrote; it is moved, and given a proper end where a crash cut it off.
    started_s : float
        Clock time of the session's start; NaN where it never started.
    protocol : Protocol
        What was prescribed. The trace of a blinded session would tell the arm: it is kept with the
        source data, in a folder for its owner only.

    Returns
    -------
    Path
        Where it is now.

    Raises
    ------
    RecordError
        It cannot be moved; it stays where it was.
    """
    if protocol.blinding is not None:
        raise RecordError(f"{info.path}: is of a blinded session; it is sealed, not stored")
    target = paths.trace
    began, known = math.isfinite(started_s), paths.record.exists()
    onset_s = round(started_s - info.start_s, 6) if began else None
    try:
        lines = read_record(paths.record, allow_torn_tail=True)[0] if known else []
        target.parent.mkdir(parents=True, exist_ok=True)
        write_json(_beside(target), _trace_sidecar(info, onset_s, parameters(protocol, lines)))
        if _is_one_member(info.path):
            info.path.replace(target)
        else:
            _rewrite_trace(info.path, target)
            info.path.unlink()
        if onset_s is not None:
            end_s = info.n_samples / info.sampling_frequency_hz
            duration_s = round(max(min(protocol.duration_s, end_s - onset_s), 0.0), 6)
            table = event_rows(lines, onset_s, duration_s, end_s)
            rows = [(str(at), str(long), what) for at, long, what in table]
            write_text(paths.events, table_text(tuple(EVENT_COLUMNS), rows))
            write_json(paths.events.with_suffix(".json"), EVENT_COLUMNS)
            write_contacts(paths, lines, protocol)
        # Last: while it is there, `tacs recover` goes on where a crash ended this.
        _beside(info.path).unlink(missing_ok=True)
    except (OSError, InputError) as exc:
        raise RecordError(f"{target}: the trace cannot be stored ({exc})") from exc
    return target


def left_trace(paths: SessionPaths) -> TraceInfo | None:
    """Return the trace that a crashed session's oscilloscope left, where it left one.

    Parameters
    ----------
    paths : SessionPaths
        Of the session.

    Returns
    -------
    TraceInfo or None
        From the ``….json`` that the oscilloscope keeps beside it; None where either is missing.
    """
    if not paths.oscilloscope.exists():
        return None
    try:
        data = json.loads(_beside(paths.oscilloscope).read_text(encoding="utf-8"))
        return TraceInfo(
            path=paths.oscilloscope,
            columns=tuple(str(name) for name in data["columns"]),
            sampling_frequency_hz=float(data["sampling_frequency_hz"]),
            start_s=float(data["start_s"]),
            n_samples=int(data["n_samples"]),
            clean=data.get("clean") is True,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _beside(trace: Path) -> Path:
    """The JSON file beside a trace."""
    return trace.with_name(trace.name.removesuffix(".tsv.gz") + ".json")


def _is_one_member(path: Path) -> bool:
    """Whether a gzip file is one member with its proper end, as BIDS readers want it."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                unpacker.decompress(chunk)
    except zlib.error:
        return False
    return unpacker.eof and not unpacker.unused_data


def _rewrite_trace(source: Path, target: Path) -> None:
    """Write a trace that was cut short, or is of many gzip members, as one member.

    Whole lines only, in bounded memory; the target appears when it is complete.
    """
    draft = target.with_name(f".{target.name}.part")
    try:
        with source.open("rb") as read, draft.open("wb") as write:
            packer = zlib.compressobj(1, zlib.DEFLATED, wbits=31)
            for lines in _whole_lines(read):
                write.write(packer.compress(lines))
            write.write(packer.flush())
            write.flush()
            os.fsync(write.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """The text of a file of gzip members, as far as it is whole."""
    unpacker, rest = zlib.decompressobj(wbits=31), b""
    while chunk := file.read(1 << 20):
        while chunk:
            try:
                text = rest + unpacker.decompress(chunk)
            except zlib.error:
                return
            end = text.rfind(b"\n") + 1
            rest = text[end:]
            yield text[:end]
            chunk = unpacker.unused_data
            if unpacker.eof:
                unpacker = zlib.decompressobj(wbits=31)


def _trace_sidecar(info: TraceInfo, onset_s: float | None, parameters: str) -> dict[str, Any]:
    """What BIDS wants to know of a continuous recording."""
    columns = {
        name: {"Description": f"Current as delivered, positive out of {name}", "Units": "mA"}
        for name in info.columns
    }
    return {
        "SamplingFrequency": info.sampling_frequency_hz,
        "StartTime": -onset_s if onset_s else 0.0,
        "Columns": list(info.columns),
        **columns,
        "TaskName": "tacs",
        "TaskDescription": "Transcranial alternating current stimulation; StartTime counts from "
        "the start of the stimulation",
        "ElectricalStimulation": True,
        "ElectricalStimulationParameters": parameters,
    }


def _tell_stimulation(sidecar: Path, paths: SessionPaths) -> None:
    """Write into a recording's sidecar what current was prescribed while it was made."""
    told = "no record of this session: what was applied is not known"
    data = json.loads(sidecar.read_text(encoding="utf-8"))
    lines = read_record(paths.record, allow_torn_tail=True)[0] if paths.record.exists() else []
    # The arm must not be told: a sham's recording says the same as any other.
    del data["ElectricalStimulation"]
    if lines and lines[0].kind == "session":
        protocol = Protocol.from_data(lines[0].data["protocol"], str(paths.record))
        told = f"as planned, the arm is blinded: {parameters(protocol)}"
        if protocol.blinding is None:
            data["ElectricalStimulation"] = protocol.waveform != "passive_sham"
            told = parameters(protocol, lines)
    write_json(sidecar, {**data, "ElectricalStimulationParameters": told})


def _read(path: str | Path, sfreq_hz: float | None) -> tuple[Loaded, Quality]:
    """The recording and its quality; whatever analysis refuses is bad input here."""
    from analysis.errors import AnalysisError
    from analysis.io import load_recording
    from analysis.quality import assess

    try:
        loaded = load_recording(path, sfreq_hz=sfreq_hz)
        return loaded, assess(loaded)
    except AnalysisError as exc:
        raise InputError(str(exc)) from exc


@contextmanager
def _staging(root: Path) -> Iterator[Path]:
    """A folder beside the data, gone at the end; trouble with the disk is one line."""
    try:
        parent = root / "sourcedata" / "tacs"
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".import-", dir=parent) as name:
            yield Path(name)
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise InputError(f"{root}: the recording cannot be written ({reason})") from exc
