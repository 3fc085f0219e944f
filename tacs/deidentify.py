"""A copy of a data set in which nobody can be recognised by name, number or date.

New random pseudonyms, one random shift of dates per person (intervals stay), codes for operators,
headers written anew. What is kept is listed, file kind by file kind; whatever else lies in the data
set stays there. Records, journals and everything sealed are not copied: a changed line would need a
forged chain. A summary that says that it is one takes their place.

The key that leads back is a file of its own, for its owner only, outside the export. With it the
data are pseudonymous, and personal data still; whether they may be given away is for people to say.

References
----------
GDPR Art. 4(5), EDPB guidelines 01/2025. 45 CFR 164.514(b)(2) (Safe Harbor).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tacs.dataset import find_records
from tacs.deidentify_copy import Copy
from tacs.deidentify_key import key_of, write_key
from tacs.errors import InputError

__all__ = ["Deidentified", "deidentify"]

MTIME_S = 315_532_800  # 1980-01-01: the same for every file


@dataclass(frozen=True, slots=True, kw_only=True)
class Deidentified:
    """What was exported.

    Parameters
    ----------
    path, key : Path
        The copy, and the file that leads back.
    subjects, sessions, files : int
        How many there are in the copy.
    left_out : mapping of str to tuple of str
        Why, and which files of the source (their names may tell somebody).
    """

    path: Path
    key: Path
    subjects: int
    sessions: int
    files: int
    left_out: Mapping[str, tuple[str, ...]]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``tacs export deidentified``."""
        return {
            "path": str(self.path),
            "key": str(self.key),
            "subjects": self.subjects,
            "sessions": self.sessions,
            "files": self.files,
            "left_out": {why: list(names) for why, names in self.left_out.items()},
        }


def deidentify(dataset: str | Path, out: str | Path, key_file: str | Path) -> Deidentified:
    """Copy a data set without what tells who is in it.

    Parameters
    ----------
    dataset : path
        The data set; it is only read.
    out : path
        New folder, made whole or not at all.
    key_file : path
        New file for the key, mode 0600, outside the export and outside the data set.

    Raises
    ------
    InputError
        A path cannot be used, the data set is none, or it has no person in it. Neither copy nor
        key is left behind.
    """
    root, target, key_path = Path(dataset), Path(out), Path(key_file)
    records = find_records(root)
    if target.exists():
        raise InputError(f"{target}: is there already; give a new folder with --out")
    if key_path.exists() or key_path.is_symlink():
        raise InputError(f"{key_path}: is there already; give a new file with --subject-key")
    for folder, what in ((target, "export"), (root, "data set")):
        if key_path.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{key_path}: lies in the {what}; keep the key apart from it")
    if target.resolve().is_relative_to(root.resolve()):
        raise InputError(f"{target}: lies in the data set; give a folder outside it")
    key = key_of(root, records)
    if not key.people:
        raise InputError(f"{root}: has nobody in it; nothing to export")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".deidentify-", dir=target.parent) as name:
            stage = Path(name) / "set"
            copy = Copy(root, stage, key)
            copy.everything(records)
            _same_times(stage)
            write_key(key_path, key)
            try:
                os.replace(stage, target)
            except BaseException:  # a key to nothing is not left behind
                key_path.unlink(missing_ok=True)
                raise
    except OSError as exc:
        raise InputError(f"{target}: cannot be made ({exc})") from exc
    return Deidentified(
        path=target,
        key=key_path,
        subjects=len(key.people),
        sessions=sum(len(p.sessions) for p in key.people.values()),
        files=sum(1 for p in target.rglob("*") if p.is_file()),
        left_out={why: tuple(sorted(names)) for why, names in sorted(copy.left.items())},
    )


def _same_times(stage: Path) -> None:
    """Take the days of the export and of the source off the files."""
    for path in [*stage.rglob("*"), stage]:
        os.utime(path, (MTIME_S, MTIME_S))
