"""A cleaned recording on disk: FIF or BrainVision, and beside it what must be known of it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from analysis.artifact_result import CleanedRecording
from analysis.errors import AnalysisError

__all__ = ["check_target", "write_cleaned"]

SUFFIXES = (".fif", ".vhdr")


def check_target(path: str | Path) -> Path:
    """Refuse a name that cannot be written, before anything is computed.

    Parameters
    ----------
    path : path
        ``….fif`` or ``….vhdr``, that does not exist.

    Returns
    -------
    Path

    Raises
    ------
    AnalysisError
        Another format, there already, or no folder to hold it.
    """
    file = Path(path)
    if file.suffix.lower() not in SUFFIXES:
        raise AnalysisError(f"{file}: a cleaned recording is written as .fif or .vhdr; name it so")
    if file.exists() or file.with_suffix(".json").exists():
        raise AnalysisError(f"{file}: it, or its .json, exists; choose another name")
    if not file.parent.is_dir():
        raise AnalysisError(f"{file}: the folder {file.parent} does not exist; make it first")
    return file


def write_cleaned(cleaned: CleanedRecording, path: str | Path, **more: Any) -> Path:
    """Write a cleaned recording, and its description of the same name as JSON.

    Parameters
    ----------
    cleaned : CleanedRecording
        What to write.
    path : path
        ``….fif`` or ``….vhdr`` (32-bit floats in microvolt); nothing is replaced.
    **more
        For the description, for instance the names of the recordings.

    Returns
    -------
    Path
        As given.

    Raises
    ------
    AnalysisError
        It cannot be written.
    """
    file = check_target(path)
    described = {**cleaned.to_dict(), **more}
    raw = cleaned.raw.copy()
    raw.info["description"] = f"stimulation artefact removed ({cleaned.method}): {cleaned.status}"
    with warnings.catch_warnings():
        # Names that do not end in _eeg.fif, and what BrainVision has no field for.
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            if file.suffix.lower() == ".fif":
                raw.save(file, verbose="ERROR")
            else:
                raw.export(file, fmt="brainvision", verbose="ERROR")
            text = json.dumps(described, indent=2, allow_nan=False) + "\n"
            file.with_suffix(".json").write_text(text, encoding="utf-8")
        except (OSError, ValueError, RuntimeError) as exc:
            raise AnalysisError(f"{file}: cannot be written ({exc})") from exc
    return file
