"""Who is who: pseudonyms, shifts of dates, numbers of sessions, codes of operators."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tacs.dataset import SessionPaths
from tacs.errors import InputError
from tacs.journal import Journal
from tacs.record import read_record
from tacs.tables import read_table

__all__ = ["Key", "Person", "key_of", "text_of", "write_key"]

ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
SHIFT_DAYS = (37_700, 41_000)  # before 1925 for anything recorded until 2028, as BIDS asks
TASKS = {"tacs", "restclosed", "restopen", "rest", "eyesclosed", "eyesopen"}


@dataclass(slots=True)
class Person:
    """One person's new name, shift and sessions."""

    pseudonym: str
    shift_days: int
    sessions: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Key:
    """Who is who."""

    people: dict[str, Person] = field(default_factory=dict)
    operators: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)

    def operator(self, name: str) -> str:
        """Return the code of a person of the site."""
        name = " ".join(name.split())
        if name not in self.operators:
            self.operators[name] = _label("OP", self.operators.values())
        return self.operators[name]

    def task(self, label: str) -> str:
        """Return a task's label, or a number where it may be anything."""
        if label in TASKS:
            return label
        return self.tasks.setdefault(label, f"task{len(self.tasks) + 1}")

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the key file."""
        return {
            "note": "Leads from pseudonyms back to people: keep apart from the export.",
            "subjects": {
                label: {
                    "pseudonym": p.pseudonym, "shift_days": p.shift_days, "sessions": p.sessions,
                }
                for label, p in self.people.items()
            },
            "operators": self.operators,
            "tasks": self.tasks,
        }  # fmt: skip


def _label(start: str, taken: Collection[str]) -> str:
    while True:
        label = start + "".join(secrets.choice(ALPHABET) for _ in range(6))
        if label not in set(taken):
            return label


def key_of(root: Path, records: list[SessionPaths]) -> Key:
    """Draw pseudonyms and shifts; number the sessions in the order of their time."""
    found: dict[str, dict[str, str]] = {}
    for paths in records:
        lines, _ = read_record(paths.record, allow_torn_tail=True)
        found.setdefault(paths.subject, {})[paths.session] = lines[0].utc if lines else ""
    for folder in sorted(root.glob("sub-*/ses-*")):
        if folder.is_dir():
            subject = folder.parent.name.removeprefix("sub-")
            session = folder.name.removeprefix("ses-")
            tables = folder.glob("*_scans.tsv")
            told = [row.get("acq_time", "") for table in tables for row in read_table(table)[1]]
            found.setdefault(subject, {}).setdefault(session, min([*told, "9"]))
    for row in read_table(root / "participants.tsv")[1]:
        found.setdefault(row.get("participant_id", "").removeprefix("sub-"), {})
    for entry in Journal(root).entries():
        if entry.subject is not None:
            sessions = found.setdefault(entry.subject, {})
            if entry.session is not None:
                sessions.setdefault(entry.session, entry.utc)
    found.pop("", None)
    key, taken = Key(), set[str]()
    for subject, sessions in found.items():
        pseudonym = _label("P", taken)
        taken.add(pseudonym)
        low, high = SHIFT_DAYS
        person = Person(pseudonym, -(low + secrets.randbelow(high - low)))
        ordered = [label for _, label in sorted((at, label) for label, at in sessions.items())]
        person.sessions = {label: f"{n:02d}" for n, label in enumerate(ordered, 1)}
        key.people[subject] = person
    return key


def write_key(path: Path, key: Key) -> None:
    """Write the key to a new file, for its owner only, on disk when this returns.

    Raises
    ------
    InputError
        It is there already, or cannot be written; half a key is not left behind.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                json.dump(key.to_dict(), file, indent=2, ensure_ascii=False)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise InputError(f"{path}: the key cannot be written ({exc.strerror or exc})") from exc


def text_of(path: Path) -> str:
    """Return a text file's content.

    Raises
    ------
    InputError
        It is not text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise InputError(f"{path}: is not text") from exc
