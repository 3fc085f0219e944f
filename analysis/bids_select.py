"""Choosing one recording of a BIDS data set, and what its sidecar files add."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.channels import normal_name
from analysis.errors import AnalysisError, RecordingError

BIDS_EXTENSIONS = (".vhdr", ".edf", ".bdf", ".set", ".fif")
ENTITIES = ("sub", "ses", "task", "acq", "run", "recording", "proc", "split", "desc", "space")
_LISTED = 6
_TYPES = {"EEG": "eeg", "EOG": "eog", "HEOG": "eog", "VEOG": "eog", "ECG": "ecg", "EMG": "emg"}
_TYPES |= {"TRIG": "stim", "MISC": "misc", "RESP": "resp", "REF": "misc"}


def parse_entities(text: str) -> dict[str, str]:
    """Split the entities of a BIDS name.

    Parameters
    ----------
    text : str
        Such as ``sub-01_ses-eeg_task-rest``.

    Returns
    -------
    dict of str to str
        Such as ``{"sub": "01", "ses": "eeg", "task": "rest"}``.

    Raises
    ------
    AnalysisError
        If a part is no `key-label`, a key is unknown or occurs twice, or a label has other
        characters than letters and digits.

    References
    ----------
    BIDS specification 1.10, "Entities".
    """
    found: dict[str, str] = {}
    like = "such as sub-01_ses-eeg_task-rest"
    if not text.strip():
        raise AnalysisError(f"no entities to choose a recording by; give some, {like}")
    for part in text.strip().split("_"):
        key, dash, label = part.partition("-")
        if not dash or not re.fullmatch(r"[0-9A-Za-z+]+", label):
            raise AnalysisError(
                f"{part!r} in {text!r} is no BIDS entity (key-label, letters and digits); write "
                f"it {like}"
            )
        if key not in ENTITIES:
            raise AnalysisError(
                f"{key!r} in {text!r} is no BIDS entity of a recording (known: "
                f"{', '.join(ENTITIES)}); write it {like}"
            )
        if key in found:
            raise AnalysisError(f"{key!r} occurs twice in {text!r}; write it {like}")
        found[key] = label
    return found


def select_recording(folder: Path, entities: Mapping[str, str] | None = None) -> Path:
    """Find the one EEG recording of a data set that has the given entities.

    Parameters
    ----------
    folder : Path
        A data set, or a participant's or session's folder in one.
    entities : mapping of str to str, optional
        As `parse_entities` returns them; a run is compared as a number.

    Returns
    -------
    Path
        The recording.

    Raises
    ------
    RecordingError
        If there is none, or more than one; up to six are listed.
    AnalysisError
        If a key is no entity.
    """
    wanted = dict(entities or {})
    for key in wanted:
        if key not in ENTITIES:
            raise AnalysisError(f"{key!r} is no BIDS entity (known: {', '.join(ENTITIES)})")
    found = _recordings(folder)
    if not found:
        raise RecordingError(
            f"{folder} is a folder without a BIDS EEG recording (sub-*/…/eeg/*_eeg.*); "
            "give a recording file"
        )
    chosen = [file for file in found if _fits(entities_of(file), wanted)]
    if not chosen:
        asked = "_".join(f"{key}-{label}" for key, label in wanted.items())
        raise RecordingError(
            f"{folder} holds no EEG recording {asked}; it holds {_listed(found)}; choose one with "
            f"--bids {_stem(found[0])}"
        )
    exact = [file for file in chosen if _fits(wanted, entities_of(file))]
    if len(chosen) > 1 and len(exact) == 1:
        return exact[0]
    if len(exact) > 1:
        raise RecordingError(
            f"{folder} holds this recording as {' and as '.join(file.name for file in exact)}; "
            "give one of the files"
        )
    if len(chosen) > 1:
        raise RecordingError(
            f"{folder} holds {len(chosen)} EEG recordings that fit: {_listed(chosen)}; give one of "
            f"them, such as --bids {_stem(chosen[0])}"
        )
    return chosen[0]


def entities_of(path: Path) -> dict[str, str]:
    """Return the entities in the name of a file; parts that are none are passed over."""
    parts = (part.partition("-") for part in _stem(path).split("_"))
    return {key: label for key, dash, label in parts if dash}


def apply_sidecars(path: Path, raw: Any, noticed: list[str]) -> None:
    """Apply types and bad marks of `channels.tsv`, and check the rate of `eeg.json`, in place.

    Parameters
    ----------
    path : Path
        The recording; nothing happens unless its name ends in `_eeg` and the files are there.
    raw : mne.io.BaseRaw
        What was read from it.
    noticed : list of str
        Takes up warnings.
    """
    if not path.stem.endswith("_eeg"):
        return
    _check_rate(path.with_suffix(".json"), raw, noticed)
    table = path.with_name(path.stem.removesuffix("_eeg") + "_channels.tsv")
    if not table.exists():
        return
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    types: dict[str, str] = {}
    for row in rows:
        name = normal_name(str(row.get("name", "")))
        if name in raw.ch_names:
            types[name] = _TYPES.get(str(row.get("type", "")).upper(), "misc")
            if str(row.get("status", "")).lower() == "bad" and name not in raw.info["bads"]:
                raw.info["bads"].append(name)
    raw.set_channel_types(types, on_unit_change="ignore", verbose="ERROR")
    unlisted = len(raw.ch_names) - len(types)
    if unlisted:
        noticed.append(f"{table.name} does not list {unlisted} of the channels")


def _check_rate(sidecar: Path, raw: Any, noticed: list[str]) -> None:
    """Warn when the sidecar states another sampling rate than the recording has."""
    try:
        with sidecar.open(encoding="utf-8-sig") as file:
            said = json.load(file)
    except (OSError, ValueError):
        return
    stated = said.get("SamplingFrequency") if isinstance(said, dict) else None
    sfreq = float(raw.info["sfreq"])
    if isinstance(stated, int | float) and abs(stated - sfreq) > 1e-3 * sfreq:
        noticed.append(f"{sidecar.name} states {stated:g} Hz, the recording is at {sfreq:g} Hz")


def _recordings(folder: Path) -> list[Path]:
    """EEG recordings below a folder, sorted; later parts of a split file are left out."""
    files = (
        file
        for file in folder.rglob("*_eeg.*")
        if file.suffix.lower() in BIDS_EXTENSIONS
        and file.parent.name == "eeg"
        and not {"derivatives", "sourcedata"}.intersection(file.relative_to(folder).parts)
    )
    return sorted(file for file in files if entities_of(file).get("split", "01") in {"01", "1"})


def _fits(have: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether a file has every entity asked for."""
    for key, label in wanted.items():
        mine = have.get(key)
        if key == "run" and mine is not None and mine.isdigit() and label.isdigit():
            mine, label = str(int(mine)), str(int(label))
        if mine != label:
            return False
    return True


def _stem(path: Path) -> str:
    """Entities of a file name, as they are written."""
    return path.name.split(".")[0].removesuffix("_eeg")


def _listed(files: Sequence[Path]) -> str:
    """First six recordings by their entities."""
    more = f" and {len(files) - _LISTED} more" if len(files) > _LISTED else ""
    return ", ".join(_stem(file) for file in files[:_LISTED]) + more
