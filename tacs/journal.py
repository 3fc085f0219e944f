"""The journal of a data set: what people asked, answered, checked and signed, in order.

One file per data set, ``sourcedata/tacs/journal.jsonl``, beside the folders of the run records and
in their format: numbered lines, each chained to the one before, on disk when :meth:`Journal.append`
returns. Nothing is ever written over. A correction is an entry of its own that names the entry it
corrects; the latest one holds and the earlier ones stay to be read.

A bare chain cannot show that its last lines were cut off. :meth:`Journal.head` is the hash to note
elsewhere (a run record keeps it); :meth:`Journal.holds` says whether it is still in the chain.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tacs.dataset import (
    SessionPaths,
    check_label,
    ensure_dataset,
    folder_names,
    refuse_other_spelling,
)
from tacs.errors import FileProblems, InputError, RecordError
from tacs.forms import text_problem
from tacs.locks import held
from tacs.record import (
    GENESIS,
    Line,
    RecordAppender,
    RecordWriter,
    canonical,
    read_content,
    read_lines,
)

__all__ = ["KINDS", "ROLES", "Entry", "Journal", "Kind", "NewEntry"]

ROLES = ("operator", "investigator", "rater", "participant", "statistician", "monitor")
NAME_MAX_LENGTH = 80
TEXT_MAX_LENGTH = 2000
ENTRY_MAX_BYTES = 64 * 1024
DEPTH_MAX = 8
PROVED_MAX = 4  # journals whose entries a process keeps
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")
HASH = re.compile(r"[0-9a-f]{64}")
FIELDS = {"subject", "session", "operator", "role", "corrects", "data"}


@dataclass(frozen=True, slots=True)
class Kind:
    """What an entry of a kind has to name.

    Parameters
    ----------
    meaning : str
        For the reader.
    subject, session : bool
        Whether it belongs to a participant, to a session.
    """

    meaning: str
    subject: bool = True
    session: bool = False


# Every kind there is; a journal with another one was written by a newer version and is refused.
KINDS: Mapping[str, Kind] = {
    "screening": Kind("screening form"),
    "recheck": Kind("what may have changed since the screening, asked on the day"),
    "consent": Kind("consent given or withdrawn, with the version of the sheet"),
    "adverse_effects": Kind("unwanted effects before or after a session", session=True),
    "preflight": Kind("checks of the day, and of the session", subject=False),
    "discomfort": Kind("rating during a session", session=True),
    "identifiers": Kind("salted hashes that a participant is identified by"),
    "identity_check": Kind("identifiers typed again before a session", session=True),
    "override": Kind("an investigator's decision on an answer that blocks"),
    "rating": Kind("a rating scale, with every item"),
    "alert_acknowledged": Kind("somebody has seen that a suicidality item was answered so"),
    "frequency_decision": Kind("whether a session keeps the planned frequency", session=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry.

    Parameters
    ----------
    seq : int
        Counts from 0 without gaps.
    utc : str
        When it was written, ISO 8601.
    kind : str
        One of :data:`KINDS`.
    subject, session : str or None
        BIDS labels.
    operator, role : str
        Who made it, and as what.
    data : mapping
        The particulars.
    corrects : str or None
        Hash of the entry that this one takes the place of.
    hash : str
        Chained to the entry before.
    """

    seq: int
    utc: str
    kind: str
    subject: str | None
    session: str | None
    operator: str
    role: str
    data: Mapping[str, Any]
    corrects: str | None
    hash: str

    @property
    def at(self) -> datetime:
        """When it was written, time zone aware."""
        return datetime.fromisoformat(self.utc)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    """An entry that is not written yet; the fields are those of :meth:`Journal.append`."""

    kind: str
    data: Mapping[str, Any]
    operator: str
    role: str
    subject: str | None = None
    session: str | None = None
    corrects: str | None = None


class Journal:
    """The journal of one data set.

    Parameters
    ----------
    dataset : path
        BIDS data set; made with the first entry where there is none.
    """

    def __init__(self, dataset: str | Path) -> None:
        self.dataset = Path(dataset)
        self.path = self.dataset / "sourcedata" / "tacs" / "journal.jsonl"

    def append(
        self,
        kind: str,
        data: Mapping[str, Any],
        *,
        operator: str,
        role: str,
        subject: str | None = None,
        session: str | None = None,
        corrects: str | None = None,
    ) -> Entry:
        """Write one entry; it is on disk when this returns.

        Parameters
        ----------
        kind : str
            One of :data:`KINDS`.
        data : mapping
            JSON types; texts of one line, bounded in length.
        operator, role : str
            Who makes it; one of :data:`ROLES`.
        subject, session : str, optional
            BIDS labels; the kind says which are needed.
        corrects : str, optional
            Hash of an entry of the same kind, participant and session.

        Raises
        ------
        FileProblems
            Whatever is wrong with the entry, every problem listed; nothing was written.
        InputError
            The data set cannot be used.
        RecordError
            The journal does not verify, or the disk refuses the entry.
        """
        draft = NewEntry(
            kind=kind, data=data, operator=operator, role=role, subject=subject, session=session,
            corrects=corrects,
        )  # fmt: skip
        return self.append_all([draft])[0]

    def append_all(self, drafts: Sequence[NewEntry]) -> list[Entry]:
        """Write several entries, checked before the first is written, on disk at the end.

        Parameters
        ----------
        drafts : sequence of NewEntry
            In the order in which they are written; one may correct an entry that was there before.

        Raises
        ------
        FileProblems
            Whatever is wrong with one of the entries; nothing was written.
        InputError
            The data set cannot be used.
        RecordError
            The journal does not verify, or the disk refuses an entry; those before it are kept.
        """
        if not drafts:
            return []
        for draft in drafts:
            problems = _entry_problems(
                draft.kind, draft.data, draft.operator, draft.role, draft.subject, draft.session
            )
            if problems:
                raise FileProblems(f"journal entry {draft.kind}", problems)
        ensure_dataset(self.dataset)
        names = functools.cache(folder_names)  # each folder is looked into once
        for subject, session in {(d.subject, d.session) for d in drafts}:
            if subject is not None and session is not None:
                refuse_other_spelling(SessionPaths.of(self.dataset, subject, session), names)
        with self._locked():
            known = _Known(self.entries())
            for draft in drafts:
                problems = known.problems(draft)
                if problems:
                    raise FileProblems(f"journal entry {draft.kind}", problems)
                known.add(draft)
            new = not self.path.exists()
            with RecordWriter(self.path) if new else RecordAppender(self.path) as writer:
                for number, draft in enumerate(drafts, 1):
                    body = {
                        "subject": draft.subject,
                        "session": draft.session,
                        "operator": draft.operator.strip(),
                        "role": draft.role,
                        "corrects": draft.corrects,
                        "data": dict(draft.data),
                    }
                    writer.append(draft.kind, 0.0, body, sync=number == len(drafts))
            return self._last(len(drafts))

    def entries(self, kind: str | None = None, subject: str | None = None) -> list[Entry]:
        """Return entries in the order in which they were written, corrected ones included.

        Parameters
        ----------
        kind, subject : str, optional
            Only those.

        Raises
        ------
        RecordError
            The journal does not verify; the first bad line is named.
        """
        return [
            entry
            for entry in self._read()
            if kind in {None, entry.kind} and subject in {None, entry.subject}
        ]

    def current(self, kind: str | None = None, subject: str | None = None) -> list[Entry]:
        """Return the entries that hold: those that no later entry corrects.

        Raises
        ------
        RecordError
            The journal does not verify.
        """
        found = self.entries(kind, subject)
        corrected = {entry.corrects for entry in found}
        return [entry for entry in found if entry.hash not in corrected]

    def head(self) -> str:
        """Return the hash of the last entry, to be noted elsewhere.

        Raises
        ------
        RecordError
            The journal does not verify.
        """
        entries = self._read()
        return entries[-1].hash if entries else GENESIS

    def holds(self, head: str) -> bool:
        """Whether a hash that was noted earlier is still in the chain.

        Parameters
        ----------
        head : str
            Of :meth:`head`; its first 8 characters or more.

        Raises
        ------
        InputError
            Not the beginning of a hash.
        RecordError
            The journal does not verify.
        """
        if not re.fullmatch(r"[0-9a-f]{8,64}", head):
            raise InputError(f"{head!r}: not a hash; 8 to 64 characters from 0 to 9 and a to f")
        return GENESIS.startswith(head) or any(e.hash.startswith(head) for e in self._read())

    def find(self, start: str) -> Entry:
        """Return the entry whose hash begins so.

        Raises
        ------
        InputError
            None does, or several do.
        RecordError
            The journal does not verify.
        """
        found = [e for e in self._read() if len(start) >= 4 and e.hash.startswith(start)]
        if len(found) != 1:
            few = "no entry" if not found else f"{len(found)} entries"
            raise InputError(
                f"{self.path}: {few} with a hash that begins with {start!r}; "
                f"`tacs journal` lists them"
            )
        return found[0]

    def _read(self) -> list[Entry]:
        if not self.path.exists():
            return []
        content = read_content(self.path)
        # A torn last line was never acknowledged; the next entry cuts it off.
        content = content[: content.rfind(b"\n") + 1]
        entries, begun = _proved(self.path, content)
        if begun == len(content):
            return entries
        lines, problem = read_lines(
            content[begun:],
            seq=len(entries),
            previous=entries[-1].hash if entries else GENESIS,
        )
        for line in lines:
            entry = _entry_of(line)
            if isinstance(entry, str):
                problem = f"line {line.seq + 1}: {entry}"
                break
            entries.append(entry)
        if problem is not None:
            raise RecordError(
                f"{self.path}: {problem}; nobody of this data set is stimulated until somebody "
                f"has found out why"
            )
        proved = _Proved(len(content), _digest(content), tuple(entries))
        with _PROVING:
            _PROVED[self.path.resolve()] = proved
            while len(_PROVED) > PROVED_MAX:
                del _PROVED[next(iter(_PROVED))]
        return entries

    def _last(self, count: int) -> list[Entry]:
        """Read back what was just written: what is returned is what is on disk."""
        found = []
        for text in self.path.read_bytes().splitlines()[-count:]:
            entry = _entry_of(Line(**json.loads(text)))
            if isinstance(entry, str):
                raise RecordError(f"{self.path}: the entry that was written {entry}")
            found.append(entry)
        return found

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the journal against other programs."""
        with ExitStack() as stack:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(held(self.path.with_suffix(".lock")))
            except OSError as exc:
                raise InputError(f"{self.path}: cannot be written ({exc.strerror})") from exc
            yield


@dataclass(frozen=True, slots=True)
class _Proved:
    """The beginning of a journal that this process has verified, by the hash of its bytes."""

    length: int
    digest: bytes
    entries: tuple[Entry, ...]


# The same bytes verify the same way: what was read before is hashed, and what is new verified. A
# journal grows by an entry at a time, and a clinic's has tens of thousands. Whoever reads gets the
# same entries as who read before: the type of their data is one that nobody can assign to.
_PROVED: dict[Path, _Proved] = {}
_PROVING = threading.Lock()  # the page reads journals in several threads


def _proved(path: Path, content: bytes) -> tuple[list[Entry], int]:
    """Entries of the bytes that were verified before, and how many bytes those are."""
    before = _PROVED.get(path.resolve())
    if before is None or _digest(content[: before.length]) != before.digest:
        return [], 0
    return list(before.entries), before.length


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _entry_problems(
    kind: str,
    data: Mapping[str, Any],
    operator: str,
    role: str,
    subject: str | None,
    session: str | None,
) -> list[str]:
    """What is wrong with an entry by itself."""
    problems = []
    known = KINDS.get(kind)
    if known is None:
        problems.append(f"kind: no such kind; there are: {', '.join(KINDS)}")
        known = Kind("", subject=False)
    for what, label, needed in (
        ("subject", subject, known.subject),
        ("session", session, known.session),
    ):
        if label is None:
            if needed:
                problems.append(f"{what}: missing; this kind of entry belongs to a {what}")
            continue
        try:
            check_label(label, what)
        except InputError as exc:
            problems.append(str(exc))
    if session is not None and subject is None:
        problems.append("session: given without a subject")
    problems += _name_problems(operator)
    if role not in ROLES:
        problems.append(f"role: must be one of {', '.join(ROLES)}, not {role!r}")
    found = _data_problems(data, "data", 1)
    if not found and len(canonical(data).encode()) > ENTRY_MAX_BYTES:
        found.append(f"data: more than {ENTRY_MAX_BYTES // 1024} KiB")
    return problems + found


def _name_problems(operator: str) -> list[str]:
    if not operator.strip():
        return ["operator: missing; a name or a code says who made the entry"]
    problem = text_problem(operator, NAME_MAX_LENGTH)
    return [] if problem is None else [f"operator: {problem}"]


def _data_problems(value: Any, where: str, depth: int) -> list[str]:
    """What JSON cannot hold, and texts that a reader cannot trust."""
    if depth > DEPTH_MAX:
        return [f"{where}: nested more than {DEPTH_MAX} deep"]
    if value is None or isinstance(value, bool | int):
        return []
    if isinstance(value, float):
        return [] if math.isfinite(value) else [f"{where}: must be a finite number, not {value}"]
    if isinstance(value, str):
        problem = text_problem(value, TEXT_MAX_LENGTH)
        return [] if problem is None else [f"{where}: {problem}"]
    if isinstance(value, Mapping):
        found = []
        for key, inner in value.items():
            if not isinstance(key, str) or not KEY.fullmatch(key):
                found.append(f"{where}: {key!r} is not a name of letters, digits, _ . + or -")
            else:
                found += _data_problems(inner, f"{where}.{key}", depth + 1)
        return found
    if isinstance(value, list | tuple):
        return [
            p
            for i, inner in enumerate(value)
            for p in _data_problems(inner, f"{where}[{i}]", depth + 1)
        ]
    return [f"{where}: {type(value).__name__} is no JSON type"]


class _Known:
    """What a new entry has to fit: labels and corrections so far."""

    def __init__(self, before: Sequence[Entry]) -> None:
        self._by_hash = {entry.hash: entry for entry in before}
        self._corrected = {e.corrects: f"entry {e.seq} ({e.hash[:8]})" for e in before}
        self._subjects: dict[str, set[str]] = {}
        self._sessions: dict[tuple[str | None, str], set[str]] = {}
        for entry in before:
            self.add(entry)

    def add(self, entry: Entry | NewEntry) -> None:
        """Take note of an entry."""
        if entry.subject is not None:
            self._subjects.setdefault(entry.subject.lower(), set()).add(entry.subject)
        if entry.session is not None:
            key = entry.subject, entry.session.lower()
            self._sessions.setdefault(key, set()).add(entry.session)
        if entry.corrects is not None:
            self._corrected.setdefault(entry.corrects, "an earlier one of these entries")

    def problems(self, draft: NewEntry) -> list[str]:
        """What is wrong with an entry, given those before it."""
        problems = []
        for what, label, known in (
            ("subject", draft.subject, self._subjects.get((draft.subject or "").lower(), set())),
            (
                "session",
                draft.session,
                self._sessions.get((draft.subject, (draft.session or "").lower()), set()),
            ),
        ):
            if label is not None:
                problems += [
                    f"{what} {label!r}: the journal has {other!r}, which differs by upper and "
                    f"lower case only; use one spelling"
                    for other in sorted(known - {label})
                ]
        if draft.corrects is None:
            return problems
        target, later = self._by_hash.get(draft.corrects), self._corrected.get(draft.corrects)
        if target is None:
            problems.append(f"corrects: no entry has the hash {draft.corrects!r}")
        elif (target.kind, target.subject, target.session) != (
            draft.kind,
            draft.subject,
            draft.session,
        ):
            problems.append(
                f"corrects: entry {target.seq} is {target.kind} of subject {target.subject}, "
                f"session {target.session}; a correction is of the same kind, subject and session"
            )
        elif later is not None:
            problems.append(
                f"corrects: entry {target.seq} was corrected by {later}; correct that one"
            )
        return problems


def _entry_of(line: Line) -> Entry | str:
    """A line of the chain as an entry, or what is wrong with it."""
    body = line.data
    if not isinstance(body, dict) or set(body) != FIELDS or not isinstance(body["data"], dict):
        return "is not an entry of a journal"
    if line.kind not in KINDS:
        return f"kind {line.kind!r} is not known to this version of the suite"
    try:
        aware = datetime.fromisoformat(line.utc).tzinfo is not None
    except (TypeError, ValueError):
        aware = False
    if not aware:
        return f"{line.utc!r} is not a time"
    if body["corrects"] is not None and not HASH.fullmatch(str(body["corrects"])):
        return "corrects something that is not a hash"
    fields = {name: body[name] for name in ("subject", "session", "operator", "role")}
    try:
        problems = _entry_problems(line.kind, body["data"], **fields)
    except (AttributeError, TypeError):
        return "is not an entry of a journal"
    if problems:
        return problems[0]
    return Entry(
        seq=line.seq, utc=line.utc, kind=line.kind, hash=line.hash,
        data=body["data"], corrects=body["corrects"], **fields,
    )  # fmt: skip
