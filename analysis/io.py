"""Reading a recording of any format that a laboratory has; clear refusals of the rest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np

from analysis.bids_select import apply_sidecars, parse_entities, select_recording
from analysis.channels import normal_name, tidy
from analysis.errors import AnalysisError, RecordingError
from analysis.filecheck import check_content, unreadable
from analysis.marks import onsets_s, set_marks
from analysis.readers import TABLE_KINDS, kind_of, read_with_mne
from analysis.signals import Signals

__all__ = ["Recording", "load_recording", "parse_entities", "read_raw"]


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording as read.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Signals in volt (in counts x 1e-6 when `unit_known` is False), loaded.
    path : str
        The file that was read.
    sha256 : str
        Digest of its bytes, followed by those of its companion files.
    warnings : tuple of str
        What the reader noticed.
    subject : str or None
        From the BIDS name or the file header; never guessed.
    recorded_at : str or None
        Start in the file header, ISO 8601.
    unit_known : bool
        Whether amplitudes are really volt.
    sfreq_given : bool
        Whether the user stated the sampling rate.
    """

    raw: Any
    path: str
    sha256: str
    warnings: tuple[str, ...]
    subject: str | None
    recorded_at: str | None
    unit_known: bool
    sfreq_given: bool


def read_raw(
    path: str | Path,
    *,
    sfreq_hz: float | None = None,
    picks: Sequence[str] | None = None,
    tmin_s: float | None = None,
    tmax_s: float | None = None,
    stream: str | None = None,
    entities: Mapping[str, str] | None = None,
    columns: Sequence[str] | None = None,
) -> Any:
    """Read a recording as an MNE object; the same as ``load_recording(...).raw``.

    Parameters
    ----------
    path, sfreq_hz, picks, tmin_s, tmax_s, stream, entities, columns
        See `load_recording`.

    Returns
    -------
    mne.io.BaseRaw
        The signals, loaded.

    Raises
    ------
    RecordingError
        If the file cannot be read.
    """
    return load_recording(
        path,
        sfreq_hz=sfreq_hz,
        picks=picks,
        tmin_s=tmin_s,
        tmax_s=tmax_s,
        stream=stream,
        entities=entities,
        columns=columns,
    ).raw


def load_recording(
    path: str | Path,
    *,
    sfreq_hz: float | None = None,
    picks: Sequence[str] | None = None,
    tmin_s: float | None = None,
    tmax_s: float | None = None,
    stream: str | None = None,
    entities: Mapping[str, str] | None = None,
    columns: Sequence[str] | None = None,
) -> Recording:
    """Read a recording with everything known about it.

    Parameters
    ----------
    path : str or Path
        EDF, BDF, GDF, BrainVision `.vhdr`, FIF, EEGLAB `.set`, CNT, EGI `.mff` and `.raw`,
        Neuroelectrics `.easy` and `.nedf`, XDF, and whatever else MNE reads; a text table of the
        OpenBCI GUI, BrainFlow, BioSPPy, the Neurosity Crown, an ARFF file, or any table with one
        named column per channel; or a BIDS folder.
    sfreq_hz : float, optional
        True sampling rate, when the header's is wrong or there is none.
    picks : sequence of str, optional
        Channels to keep.
    tmin_s, tmax_s : float, optional
        Part to keep, in seconds from the start.
    stream : str, optional
        Name or number of the EEG stream of an XDF file that has several.
    entities : mapping of str to str, optional
        Which recording of a BIDS folder, as `parse_entities` returns them.
    columns : sequence of str, optional
        EEG columns of a text table without column names, by number, counted from 1; `picks` where
        not given. Files whose channels have names ignore it.

    Returns
    -------
    Recording
        The recording.

    Raises
    ------
    RecordingError
        If the file is missing, empty, cut off, of another kind, or without EEG channels, or if
        it does not settle what must be known and is not given either.
    AnalysisError
        If picks, times, rate or entities do not fit the recording.

    Notes
    -----
    Where samples are missing (a pause, lost packets) the pieces are joined, the seam carries the
    annotation `bad_gap` and a warning says how much is missing: time in the recording counts the
    samples that are there.
    """
    if sfreq_hz is not None and not (np.isfinite(sfreq_hz) and 0.0 < sfreq_hz < 1e6):
        raise AnalysisError(f"sampling rate {sfreq_hz} Hz is not a positive number; mend --sfreq")
    file = _resolve(Path(path), entities)
    check_content(file)
    noticed: list[str] = []
    signals = _own_reader(file, sfreq_hz, stream, picks if columns is None else columns)
    if signals is None:
        raw, unit_known = read_with_mne(file, noticed), True
    else:
        raw, unit_known = signals.to_raw(), signals.unit_known
        noticed.extend(signals.all_warnings())
    stated_hz = float(raw.info["sfreq"])
    if sfreq_hz is not None and sfreq_hz != stated_hz:
        raw = _resampled_header(raw, sfreq_hz)
        noticed.append(f"sampling rate set to {sfreq_hz:g} Hz; the file says {stated_hz:g} Hz")
    tidy(raw)
    apply_sidecars(file, raw, noticed)
    if "eeg" not in raw.get_channel_types():
        kinds = ", ".join(sorted(set(raw.get_channel_types()))) or "none"
        raise RecordingError(f"{file} has no EEG channel (found: {kinds}); give an EEG recording")
    _select(raw, picks, tmin_s, tmax_s, file)
    date = raw.info["meas_date"]
    return Recording(
        raw=raw,
        path=str(file),
        sha256=_digest([file, *_companions(file, raw)]),
        warnings=tuple(dict.fromkeys(noticed)),
        subject=_subject(file, raw),
        recorded_at=None if date is None else date.astimezone(UTC).isoformat(),
        unit_known=unit_known,
        sfreq_given=sfreq_hz is not None,
    )


def _resolve(path: Path, entities: Mapping[str, str] | None) -> Path:
    """Return the file to read: the path itself, or the one chosen in a BIDS folder."""
    try:
        if not path.exists():
            raise RecordingError(f"{path} does not exist; check the path")
        if path.is_dir() and path.suffix.lower() not in {".mff", ".ds", ".mefd"}:
            return select_recording(path, entities)
        if entities:
            raise AnalysisError(f"{path} is no data set folder; --bids chooses within one")
        if path.is_file() and path.stat().st_size == 0:
            raise RecordingError(f"{path} is empty (0 bytes); copy it again from the recorder")
    except OSError as exc:
        raise unreadable(path, exc) from exc
    return path


def _own_reader(
    path: Path, sfreq_hz: float | None, stream: str | None, columns: Sequence[str] | None
) -> Signals | None:
    """Read a file that MNE does not; None when MNE does."""
    kind = kind_of(path)
    try:
        if kind in {".xdf", ".xdfz"}:
            from analysis.xdf import read_xdf

            return read_xdf(path, stream)
        if stream is not None:
            raise AnalysisError(f"{path} is no XDF file; --stream chooses within one")
        if kind == ".easy":
            from analysis.easy import read_easy

            return read_easy(path)
        if kind in TABLE_KINDS:
            from analysis.tables import read_table

            return read_table(path, sfreq_hz, columns)
    except OSError as exc:
        raise unreadable(path, exc) from exc
    return None


def _resampled_header(raw: Any, sfreq_hz: float) -> Any:
    """Return the same samples under another sampling rate; annotations move with the samples."""
    import mne

    types = raw.get_channel_types()
    info = mne.create_info(raw.ch_names, sfreq_hz, types, verbose="ERROR")
    info["bads"] = list(raw.info["bads"])
    info["subject_info"] = raw.info["subject_info"]
    out = mne.io.RawArray(raw.get_data(), info, verbose="ERROR")
    out.set_meas_date(raw.info["meas_date"])
    if raw.get_montage() is not None:
        out.set_montage(raw.get_montage(), on_missing="ignore", verbose="ERROR")
    factor = float(raw.info["sfreq"]) / sfreq_hz
    marks = raw.annotations
    if len(marks):
        set_marks(out, onsets_s(raw) * factor, marks.duration * factor, marks.description)
    return out


def _select(
    raw: Any, picks: Sequence[str] | None, tmin_s: float | None, tmax_s: float | None, path: Path
) -> None:
    """Keep the part of the recording asked for, in place."""
    end_s = raw.n_times / float(raw.info["sfreq"])
    start = 0.0 if tmin_s is None else tmin_s
    stop = end_s if tmax_s is None else tmax_s
    if not 0.0 <= start < stop <= end_s + 1e-6:
        raise AnalysisError(
            f"{path} lasts {end_s:.1f} s: no part from {start:g} to {stop:g} s; mend --tmin, --tmax"
        )
    if tmin_s is not None or tmax_s is not None:
        raw.crop(start, min(stop, end_s), include_tmax=False, verbose="ERROR")
    if picks is not None:
        wanted = [name if name in raw.ch_names else normal_name(name) for name in picks]
        missing = [name for name in wanted if name not in raw.ch_names]
        if missing or not wanted:
            raise AnalysisError(
                f"{path} has no channel {', '.join(missing) or '(none given)'}; "
                f"it has {', '.join(raw.ch_names)}"
            )
        raw.pick(list(dict.fromkeys(wanted)), verbose="ERROR")


def _companions(path: Path, raw: Any) -> list[Path]:
    """List the other files that the recording consists of."""
    listed = [Path(name) for name in getattr(raw, "filenames", ()) if name is not None]
    if path.suffix.lower() == ".set":
        listed.append(path.with_suffix(".fdt"))
    if kind_of(path) == ".easy":
        from analysis.easy import info_path

        listed.append(info_path(path))
    if path.suffix.lower() in {".vhdr", ".ahdr"}:
        text = path.read_text(encoding="utf-8", errors="replace")
        for name in re.findall(r"^(?:DataFile|MarkerFile)\s*=\s*(.+?)\s*$", text, re.MULTILINE):
            listed.append(path.with_name(name.replace("$b", path.stem)))
    files = {file.resolve() for file in listed if file.is_file()} - {path.resolve()}
    return sorted(files)


def _digest(files: Sequence[Path]) -> str:
    """SHA-256 over the bytes of the files, one after the other."""
    digest = hashlib.sha256()
    for path in files:
        inner = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for item in inner:
            with item.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def _subject(path: Path, raw: Any) -> str | None:
    """Subject of the BIDS name or of the file header; X and blanks mean unknown."""
    match = re.match(r"sub-([0-9A-Za-z]+)_", path.name)
    if match:
        return match.group(1)
    info = raw.info["subject_info"] or {}
    name = str(info.get("his_id") or "").strip()
    return name if name and name.upper() not in {"X", "UNKNOWN", "ANONYMOUS", "N/A"} else None
