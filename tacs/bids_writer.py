"""Writing one recording as BIDS through mne-bids, and moving it into a data set.

EDF, BDF and BrainVision files are copied, with the names in EDF and BDF headers blanked; everything
else is written as BrainVision, in 32-bit floats, and read back. Gaps stay visible in both: as
events, and to whoever reads the recording alone.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tacs.dataset import SessionPaths, write_json
from tacs.errors import InputError
from tacs.files import write_text
from tacs.tables import read_table, write_table

if TYPE_CHECKING:
    from analysis.io import Recording as Loaded

__all__ = ["merge_recording", "write_recording"]

PATIENT_FIELD = (8, 80, b"X X X X")  # start, length, blank: local patient identification
RECORDING_FIELD = (88, 80, b"Startdate X X X X")  # local recording identification
# mne-bids looks for companion files by replacing these anywhere in the path.
MISREAD_IN_PATHS = (".ds", ".eeg", ".fdt", ".dat")


def write_recording(
    loaded: Loaded, mains_hz: float | None, paths: SessionPaths, task: str, when: str
) -> tuple[Path, list[str]]:
    """Write a recording as a data set of its own.

    Parameters
    ----------
    loaded : analysis.io.Recording
        As read.
    mains_hz : float or None
        Power-line frequency seen in the spectrum, used where the header states none.
    paths : SessionPaths
        Of the new data set.
    task, when : str
        Labels of the recording.

    Returns
    -------
    path : Path
        The file to open.
    noticed : list of str
        Warnings.

    Raises
    ------
    InputError
        It cannot be written as BIDS.
    """
    import mne_bids

    source = Path(loaded.path)
    copied = _can_be_copied(loaded)
    raw = _as_recorded(loaded, preload=not copied)
    noticed = []
    raw.info["line_freq"] = raw.info["line_freq"] or mains_hz
    if raw.info["line_freq"] is None:
        noticed.append("the power-line frequency is unknown: neither header nor spectrum tells it")
    target = mne_bids.BIDSPath(
        subject=paths.subject,
        session=paths.session,
        task=task,
        acquisition=when,
        datatype="eeg",
        root=paths.dataset,
    )
    options: dict[str, Any] = {"verbose": "ERROR"}
    if not copied:
        options |= {"format": "BrainVision", "allow_preload": True}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            try:
                written = Path(mne_bids.write_raw_bids(raw, target, **options).fpath)
            except RuntimeError:
                # Positions without landmarks have no place in BIDS: the data go without them.
                noticed.append("electrode positions were left out: the file has no landmarks")
                raw.set_montage(None)
                shutil.rmtree(target.root)
                written = Path(mne_bids.write_raw_bids(raw, target, **options).fpath)
        except (ValueError, RuntimeError, TypeError, KeyError) as exc:
            text = " ".join(str(exc).split())
            raise InputError(f"{source}: cannot be written as BIDS ({text})") from exc
    noticed += [" ".join(str(entry.message).split()) for entry in caught]
    if written.suffix in {".edf", ".bdf"}:
        _blank_names(written)
    if not copied:
        _check_samples(written, raw)
        _keep_marks(written.with_suffix(".vmrk"), raw)
    if not loaded.unit_known:
        _unknown_unit(written)
    _complete_sidecar(written, raw, copied=copied)
    return written, noticed


def _can_be_copied(loaded: Loaded) -> bool:
    """Whether mne-bids can copy the file, and copies the right one."""
    source = Path(loaded.path).absolute()
    if loaded.sfreq_given or any(mark in str(source) for mark in MISREAD_IN_PATHS):
        return False
    if source.suffix.lower() != ".vhdr":
        return source.suffix.lower() in {".edf", ".bdf"}
    return Path(loaded.raw.filenames[0]) == source.with_suffix(".eeg")


def _as_recorded(loaded: Loaded, *, preload: bool) -> Any:
    """The recording under its own channel names and positions, with types and marks as read."""
    import mne

    from analysis.errors import AnalysisError
    from analysis.marks import onsets_s, set_marks
    from analysis.readers import own_format, read_with_mne

    source = Path(loaded.path)
    if loaded.sfreq_given or own_format(source):
        raw = loaded.raw.copy()
        raw.set_montage(None)
        return raw
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # reading it the first time has told them all
            # mne-bids copies the file only of what is not in memory.
            raw = read_with_mne(source, []) if preload else mne.io.read_raw(source, verbose="ERROR")
    except (AnalysisError, OSError, ValueError) as exc:
        raise InputError(f"{source}: cannot be read a second time ({exc})") from exc
    types = dict(zip(raw.ch_names, loaded.raw.get_channel_types(), strict=True))
    raw.set_channel_types(types, on_unit_change="ignore", verbose="ERROR")
    marks = loaded.raw.annotations
    set_marks(raw, onsets_s(loaded.raw), marks.duration, marks.description)
    return raw


def _keep_marks(path: Path, raw: Any) -> None:
    """Add what is marked bad, current and rest to a marker file; pybv writes numbers for all texts.

    A gap becomes the format's own "New Segment", what else is bad its "Bad Interval", the rest a
    "Comment".
    """
    from analysis.marks import KEPT_TEXTS, onsets_s
    from analysis.timing import GAP_TEXT

    sfreq_hz = float(raw.info["sfreq"])
    marks = raw.annotations
    text = path.read_text(encoding="utf-8")
    number = len(re.findall(r"^Mk\d+=", text, re.MULTILINE))
    lines = []
    for onset_s, duration_s, name in zip(
        onsets_s(raw), marks.duration, marks.description, strict=True
    ):
        bad = str(name).lower().startswith(("bad", "edge"))
        if not bad and name not in KEPT_TEXTS:
            continue
        first = round(onset_s * sfreq_hz) + 1
        size = max(1, round(duration_s * sfreq_hz))
        words = " ".join(str(name).split()).replace(",", "\\1")
        # The mark of a gap begins with the sample before it.
        what = f"New Segment,,{first + 1},1" if name == GAP_TEXT else None
        kind = "Bad Interval" if bad else "Comment"
        lines.append(what or f"{kind},{words},{first},{size}")
    text = text.rstrip("\n") + "\n"
    write_text(path, text + "".join(f"Mk{number + i}={x},0\n" for i, x in enumerate(lines, 1)))


def _complete_sidecar(written: Path, raw: Any, *, copied: bool) -> None:
    """Say what mne-bids cannot know, and take back what it guesses from the format."""
    from analysis.timing import GAP_TEXT

    sidecar = written.with_suffix(".json")
    data = json.loads(sidecar.read_text(encoding="utf-8"))
    data["ElectricalStimulation"] = False
    if GAP_TEXT in raw.annotations.description:
        data["RecordingType"] = "discontinuous"
    if not copied:
        data["Manufacturer"] = "n/a"
    write_json(sidecar, data)


def _blank_names(path: Path) -> None:
    """Blank the patient of an EDF or BDF header; of the recording keep the start date only."""
    with path.open("r+b") as file:
        file.seek(RECORDING_FIELD[0])
        words = file.read(RECORDING_FIELD[1]).split()
        recording = RECORDING_FIELD[2]
        if len(words) > 1 and words[0] == b"Startdate":
            recording = recording.replace(b"X", words[1], 1)
        for start, length, text in (PATIENT_FIELD, (*RECORDING_FIELD[:2], recording)):
            file.seek(start)
            file.write(text.ljust(length)[:length])


def _check_samples(path: Path, raw: Any) -> None:
    """Read a rewritten recording back: same length, same samples to 32-bit precision."""
    import mne
    import numpy as np

    again = mne.io.read_raw(path, preload=True, verbose="ERROR")
    want, have = raw.get_data(), again.get_data()
    scale = np.nan_to_num(np.abs(want)).max(axis=1, initial=1e-12, keepdims=True)
    if want.shape != have.shape or not np.all(
        (np.abs(want - have) <= 1e-6 * scale) | (np.isnan(want) & np.isnan(have))
    ):
        raise InputError(f"{path.name}: was not written as it was read; check the disk")


def _unknown_unit(path: Path) -> None:
    """Say in channels.tsv that the unit of the amplitudes is not known."""
    table = path.with_name(path.stem.removesuffix("_eeg") + "_channels.tsv")
    header, rows = read_table(table)
    for row in rows:
        row["units"] = "n/a"
    write_table(table, header, rows)


def merge_recording(
    staged: SessionPaths, paths: SessionPaths, task: str, when: str, *, aside: Path
) -> None:
    """Move a staged recording and its quality summary into a data set.

    Parameters
    ----------
    staged, paths : SessionPaths
        From where and where to, on one disk.
    task, when : str
        Labels of the recording.
    aside : Path
        New folder for what is replaced; on failure that comes back.

    Raises
    ------
    OSError, InputError
        Something cannot be written; the recordings are as they were.
    """
    root, stem = paths.dataset, paths.recording_stem(task, when)
    quality = paths.quality(task, when)
    _add_participant(staged.dataset, root)
    for folder in (paths.eeg, quality.parent, aside):
        folder.mkdir(parents=True, exist_ok=True)
    old = [*sorted(paths.eeg.glob(f"{stem}_*")), *([quality] if quality.exists() else [])]
    moves = [(path, aside / path.name) for path in old]
    moves += [(path, paths.eeg / path.name) for path in sorted(staged.eeg.iterdir())]
    moves.append((staged.quality(task, when), quality))
    done: list[tuple[Path, Path]] = []
    try:
        for origin, target in moves:
            os.replace(origin, target)
            done.append((origin, target))
        scans = paths.relative / f"{paths.stem}_scans.tsv"
        _merge_table(root / scans, staged.dataset / scans, "filename", stem)
    except (OSError, InputError):
        for origin, target in reversed(done):
            with suppress(OSError):
                os.replace(target, origin)
        raise


def _add_participant(staged: Path, root: Path) -> None:
    """Add a person to participants.tsv; what stands there already is kept."""
    _merge_table(root / "participants.tsv", staged / "participants.tsv", "participant_id", None)
    description = root / "participants.json"
    if not description.exists():
        write_text(description, (staged / "participants.json").read_text(encoding="utf-8"))


def _merge_table(target: Path, staged: Path, key: str, replaced_stem: str | None) -> None:
    """Add the staged rows to a table.

    A row with the same key only gets its missing values; rows of the recording that is replaced go.
    """
    header, rows = read_table(target)
    more, staged_rows = read_table(staged)
    if replaced_stem is not None:
        rows = [row for row in rows if not Path(row[key]).name.startswith(f"{replaced_stem}_")]
    by_key = {row[key]: row for row in rows}
    for new in staged_rows:
        row = by_key.get(new[key])
        if row is None:
            rows.append(new)
        else:
            row.update({k: v for k, v in new.items() if row.get(k) in {None, "", "n/a"}})
    write_table(target, list(dict.fromkeys([*header, *more])), rows)
