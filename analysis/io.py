"""Reading a recording: any format MNE reads, a few text tables, and clear refusals."""

from __future__ import annotations

import csv
import hashlib
import re
import warnings as warning_module
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np

from analysis.channels import normal_name, tidy
from analysis.errors import AnalysisError, RecordingError
from analysis.filecheck import check_brainvision_size, check_content, unreadable
from analysis.tables import read_table

BIDS_EXTENSIONS = (".vhdr", ".edf", ".bdf", ".set", ".fif")
_UNIT_UNKNOWN = "amplitudes are counts of unknown unit: absolute amplitude checks are skipped"


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
) -> Any:
    """Read a recording as an MNE object; the same as ``load_recording(...).raw``.

    Parameters
    ----------
    path, sfreq_hz, picks, tmin_s, tmax_s
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
    return load_recording(path, sfreq_hz=sfreq_hz, picks=picks, tmin_s=tmin_s, tmax_s=tmax_s).raw


def load_recording(
    path: str | Path,
    *,
    sfreq_hz: float | None = None,
    picks: Sequence[str] | None = None,
    tmin_s: float | None = None,
    tmax_s: float | None = None,
) -> Recording:
    """Read a recording with everything known about it.

    Parameters
    ----------
    path : str or Path
        EDF, BDF, GDF, BrainVision `.vhdr`, FIF, EEGLAB `.set`, CNT, …; a BioSPPy, OpenBCI or Crown
        text table; or a BIDS folder that holds a single EEG recording.
    sfreq_hz : float, optional
        True sampling rate, when the header's is wrong.
    picks : sequence of str, optional
        Channels to keep.
    tmin_s, tmax_s : float, optional
        Part to keep, in seconds from the start.

    Returns
    -------
    Recording
        The recording.

    Raises
    ------
    RecordingError
        If the file is missing, empty, cut off, of another kind, or without EEG channels.
    AnalysisError
        If picks, times or rate do not fit the recording.
    """
    if sfreq_hz is not None and not (np.isfinite(sfreq_hz) and 0.0 < sfreq_hz < 1e6):
        raise AnalysisError(f"sampling rate {sfreq_hz} Hz is not a positive number; mend --sfreq")
    file = _resolve(Path(path))
    check_content(file)
    noticed: list[str] = []
    unit_known = True
    if file.suffix.lower() in {".txt", ".csv"}:
        raw, unit_known = _from_table(file, sfreq_hz, noticed)
    else:
        raw = _from_mne(file, noticed)
    stated_hz = float(raw.info["sfreq"])
    if sfreq_hz is not None and sfreq_hz != stated_hz:
        raw = _resampled_header(raw, sfreq_hz)
        noticed.append(f"sampling rate set to {sfreq_hz:g} Hz; the file says {stated_hz:g} Hz")
    tidy(raw)
    _bids_sidecar(file, raw, noticed)
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


def _resolve(path: Path) -> Path:
    """Return the file to read: the path itself, or the only EEG file of a BIDS folder."""
    try:
        if not path.exists():
            raise RecordingError(f"{path} does not exist; check the path")
        if path.is_dir() and path.suffix.lower() != ".mff":
            found = sorted(
                file
                for file in path.rglob("*_eeg.*")
                if file.suffix.lower() in BIDS_EXTENSIONS and file.parent.name == "eeg"
            )
            if not found:
                raise RecordingError(
                    f"{path} is a folder without a BIDS EEG recording (sub-*/…/eeg/*_eeg.*); "
                    "give a recording file"
                )
            if len(found) > 1:
                raise RecordingError(
                    f"{path} holds {len(found)} EEG recordings; give one of them, such as "
                    f"{found[0].relative_to(path)}"
                )
            return found[0]
        if path.is_file() and path.stat().st_size == 0:
            raise RecordingError(f"{path} is empty (0 bytes); copy it again from the recorder")
    except OSError as exc:
        raise unreadable(path, exc) from exc
    return path


def _from_mne(path: Path, noticed: list[str]) -> Any:
    """Read with MNE; its warnings become text, its failures one line."""
    import mne

    with warning_module.catch_warnings(record=True) as caught:
        warning_module.simplefilter("always")
        try:
            raw = mne.io.read_raw(path, preload=True, verbose="WARNING")
        except PermissionError as exc:
            raise unreadable(path, exc) from exc
        except MemoryError as exc:
            raise RecordingError(f"{path} does not fit in memory; cut out the part needed") from exc
        except Exception as exc:
            raise RecordingError(_failure(path, exc)) from exc
    for entry in caught:
        if issubclass(entry.category, RuntimeWarning | UserWarning):
            text = " ".join(str(entry.message).split())
            noticed.append(text if len(text) <= 200 else text[:199] + "…")
    if not raw.ch_names or raw.n_times < 2:
        raise RecordingError(f"{path} holds no signals (annotations only?); give the EEG file")
    check_brainvision_size(path, raw)
    return raw


def _failure(path: Path, exc: Exception) -> str:
    """One line for whatever a reader raised."""
    text = " ".join(str(exc).split()) or type(exc).__name__
    if isinstance(exc, FileNotFoundError):
        missing = re.search(r"[\w./ -]+\.(?:eeg|dat|fdt|vmrk)", text)
        companion = Path(missing.group(0)).name if missing else "a companion file"
        return f"{path} needs {companion}, which is not beside it; copy both"
    if "Unsupported file type" in text or "No reader available" in text:
        return (
            f"{path} is of a kind that cannot be read ({path.suffix or 'no extension'}); "
            "export it as EDF, BDF, BrainVision, FIF or EEGLAB"
        )
    if "epochs" in text.lower() or "trials" in text.lower():
        return f"{path} holds epochs, not a continuous recording; export the continuous one"
    if len(text) > 120:
        text = text[:119] + "…"
    return f"{path} cannot be read: damaged or cut off ({text}); copy it again from the recorder"


def _from_table(path: Path, sfreq_hz: float | None, noticed: list[str]) -> tuple[Any, bool]:
    """Read a text table; also whether its unit is known."""
    import mne

    try:
        table = read_table(path, sfreq_hz)
    except OSError as exc:
        raise unreadable(path, exc) from exc
    info = mne.create_info(list(table.ch_names), table.sfreq_hz, "eeg", verbose="ERROR")
    raw = mne.io.RawArray(table.data * 1e-6, info, verbose="ERROR")
    if table.recorded_at is not None:
        raw.set_meas_date(table.recorded_at.astimezone(UTC))
    noticed.extend(table.warnings)
    if not table.unit_known:
        noticed.append(_UNIT_UNKNOWN)
    return raw, table.unit_known


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
    onset = (marks.onset - raw.first_time * (marks.orig_time is not None)) * factor
    if len(marks):
        out.set_annotations(
            mne.Annotations(onset, marks.duration * factor, marks.description), verbose="ERROR"
        )
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


def _bids_sidecar(path: Path, raw: Any, noticed: list[str]) -> None:
    """Apply types and bad marks of a BIDS channels.tsv beside the file, in place."""
    if not path.stem.endswith("_eeg"):
        return
    table = path.with_name(path.stem.removesuffix("_eeg") + "_channels.tsv")
    if not table.exists():
        return
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    names = {"EEG": "eeg", "EOG": "eog", "HEOG": "eog", "VEOG": "eog", "ECG": "ecg", "EMG": "emg"}
    names |= {"TRIG": "stim", "MISC": "misc", "RESP": "resp", "REF": "misc"}
    types: dict[str, str] = {}
    for row in rows:
        name = normal_name(str(row.get("name", "")))
        if name in raw.ch_names:
            types[name] = names.get(str(row.get("type", "")).upper(), "misc")
            if str(row.get("status", "")).lower() == "bad" and name not in raw.info["bads"]:
                raw.info["bads"].append(name)
    raw.set_channel_types(types, on_unit_change="ignore", verbose="ERROR")
    unlisted = len(raw.ch_names) - len(types)
    if unlisted:
        noticed.append(f"{table.name} does not list {unlisted} of the channels")


def _companions(path: Path, raw: Any) -> list[Path]:
    """List the other files that the recording consists of."""
    listed = [Path(name) for name in getattr(raw, "filenames", ()) if name is not None]
    if path.suffix.lower() == ".set":
        listed.append(path.with_suffix(".fdt"))
    if path.suffix.lower() == ".vhdr":
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
