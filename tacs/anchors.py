"""What the site knows of its records, and what became of them: cut, changed, missing, never closed.

A chain of hashes shows a line that was changed, put in or taken out; it does not show that its tail
was cut off, that the whole file was written anew, or that it is gone. For that the head must be
known elsewhere. It is in three places: in the dose ledger, in ``anchors.jsonl`` of the site's
folder, and on paper where :func:`tacs.printed_anchor.anchor_line` was printed.

While a record of a participant is damaged, nobody stimulates that participant: first a person
looks, and says so by name. The acknowledgement is a line of ``anchors.jsonl`` that holds the hash
of the damaged file; what changes after that blocks again. Anchors and ledgers watch each other: an
anchor also says how long the ledgers were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tacs.dataset import SessionPaths
from tacs.errors import InputError
from tacs.ledger import Ledger
from tacs.printed_anchor import RECORDS, printed, whole_lines
from tacs.record import Line, in_use, loose_lines, read_lines, read_record
from tacs.safety import Breach
from tacs.sitelog import SiteLog

__all__ = [
    "RecordProblem",
    "accept_ledger",
    "acknowledge",
    "anchor",
    "anchored_ledger",
    "anchored_records",
    "anchors_problem",
    "record_breaches",
    "verify_dataset",
]

FILE = "anchors.jsonl"
DAMAGED = "anchors-damaged-"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordProblem:
    """A record, or a file of the site, that is not as it was left.

    Parameters
    ----------
    record : Path
        The file; it need not exist.
    first_bad_line : int or None
        Counted from 1; None where no line is bad (missing, or never closed).
    problem : str
        What is wrong, for a person.
    kind : str
        ``damaged``, ``missing``, ``open``, or ``site`` for a file of the site's folder.
    acknowledged : bool
        Whether a person has looked at it as it is now.
    subject, session : str
        Whose; empty for a file of the site.
    sha256 : str
        Of the file as it is; empty where it is missing.
    key : str
        What the ledger calls the session; empty where it does not know it.
    emulated : bool or None
        Which ledger knows it; None where neither says.
    started : bool
        Whether current may have flowed.
    """

    record: Path
    first_bad_line: int | None
    problem: str
    kind: str
    acknowledged: bool = False
    subject: str = ""
    session: str = ""
    sha256: str = ""
    key: str = ""
    emulated: bool | None = None
    started: bool = True

    @property
    def cure(self) -> str:
        """Command of its own that leads on from a damaged ledger; empty for any other file."""
        for emulated in (False, True):
            ledger = Ledger(self.record.parent, emulated=emulated)
            if self.kind == "site" and ledger.path == self.record:
                return ledger.cure
        return ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "record": str(self.record),
            "first_bad_line": self.first_bad_line,
            "problem": self.problem,
            "kind": self.kind,
            "acknowledged": self.acknowledged,
            "subject": self.subject,
            "session": self.session,
        }


def anchor(record: str | Path, site: str | Path) -> str:
    """Write the head of a closed record to the site's anchors.

    Parameters
    ----------
    record : path
        Verifies, and will not be appended to.
    site : path
        The site's folder.

    Returns
    -------
    str
        As :func:`tacs.printed_anchor.anchor_line`.

    Raises
    ------
    InputError
        No such record.
    RecordError
        It does not verify, or the anchors cannot be written.
    """
    content = _content(Path(record))
    lines = whole_lines(record, content)
    _append(
        Path(site),
        "anchor",
        {
            "record": str(Path(record).resolve()),
            "key": lines[0].hash,
            "head": lines[-1].hash,
            "n_lines": len(lines),
            "sha256": hashlib.sha256(content).hexdigest(),
        },
    )
    return printed(Path(record), lines)


def verify_dataset(
    dataset: str | Path, site: str | Path, *, subject: str | None = None
) -> list[RecordProblem]:
    """Hold every record of a data set against its chain, the ledgers and the anchors.

    Parameters
    ----------
    dataset : path
        The data set; one that is gone is missing every record the ledgers know of it.
    site : path
        The site's folder.
    subject : str, optional
        One participant only.

    Returns
    -------
    list of RecordProblem
        The site's own files first; empty where all is well. A record that a program is writing
        now is left out.

    Raises
    ------
    InputError
        A file cannot be read.
    """
    known = _Known.of(Path(site))
    found = known.problems + _dataset_problems(Path(dataset), known, subject)
    return [replace(p, acknowledged=known.acknowledged(p)) for p in found]


def record_breaches(
    dataset: str | Path, subject: str, site: str | Path, *, emulated: bool
) -> list[Breach]:
    """Say why nobody may be stimulated now: damage that no person has looked at.

    Every data set that the ledger knows the participant from is looked at, as far as it is there.

    Parameters
    ----------
    dataset : path
        Where the next record would go; need not exist.
    subject : str
        The participant.
    site : path
        The site's folder.
    emulated : bool
        Rehearsals and real sessions do not block each other.

    Returns
    -------
    list of Breach
        Limit ``record_damaged``; one per file.
    """
    known = _Known.of(Path(site))
    here = Path(dataset).resolve()
    others = {e.dataset for e in known.entries.values() if e.subject == subject} - {here}
    roots = [here, *sorted(root for root in others if root.is_dir())]
    breaches = [_breach(here, p) for p in known.problems if not known.acknowledged(p)]
    for root in roots:
        breaches += [
            _breach(root, p)
            for p in _dataset_problems(root, known, subject)
            if p.started and p.emulated in {None, emulated} and not known.acknowledged(p)
        ]
    return breaches


def acknowledge(
    problem: RecordProblem, site: str | Path, *, operator: str, role: str, reason: str
) -> None:
    """Write that a person has looked at a damaged file, and why sessions may go on.

    Parameters
    ----------
    problem : RecordProblem
        As :func:`verify_dataset` found it.
    site : path
        The site's folder.
    operator, role, reason : str
        Who, as what, and why.

    Raises
    ------
    InputError
        One of the three is empty, the record is only open and `tacs recover` closes it, or it is
        a ledger, which has a command of its own.
    RecordError
        The anchors cannot be written.
    """
    if problem.cure:
        raise InputError(f"{problem.record}: is a dose ledger; use `{problem.cure}`")
    said = {"operator": operator.strip(), "role": role.strip(), "reason": reason.strip()}
    if empty := [f"--{name}" for name, text in said.items() if not text]:
        raise InputError(f"{problem.record}: an acknowledgement needs {', '.join(empty)}")
    if problem.kind == "open":
        raise InputError(f"{problem.record}: was never closed; `tacs recover` does that")
    path, marks = Path(site) / FILE, dict[str, Any]()
    if problem.record == path:
        # A damaged chain cannot be gone on with: it is kept, and the next one names it. What it
        # still tells of the ledgers holds, or it would take one file more to cut a ledger unseen.
        marks = _marks_told(path)
        path.replace(path.with_name(f"{DAMAGED}{problem.sha256[:16]}.jsonl"))
    data = {**problem.to_dict(), "sha256": problem.sha256, "key": problem.key, **said}
    _append(Path(site), "acknowledge", {**data, "acknowledged": True}, marks=marks)


def anchors_problem(site: str | Path) -> RecordProblem | None:
    """Return what is wrong with the anchors themselves, or None."""
    problems: list[RecordProblem] = []
    _site_lines(Path(site) / FILE, problems)
    return problems[0] if problems else None


def anchored_ledger(site: str | Path, name: str) -> list[tuple[int, str]]:
    """Return how long a ledger was at each anchor, and its head then.

    Parameters
    ----------
    site : path
        The site's folder.
    name : str
        File name of the ledger.

    Returns
    -------
    list of (int, str)
        Of the ledger as it is now: from where it was last begun anew, as far as the anchors verify.
    """
    path, found = Path(site) / FILE, list[tuple[int, str]]()
    for line in read_record(path, allow_torn_tail=True)[0] if path.exists() else []:
        mark = line.data["ledgers"].get(name)
        if line.kind == "acknowledge" and Path(line.data["record"]).name == name:
            found = []
        if mark is not None and (mark["n_lines"], mark["head"]) not in found[-1:]:
            found.append((int(mark["n_lines"]), str(mark["head"])))
    return found


def anchored_records(site: str | Path) -> dict[str, Path]:
    """Return where the record of each anchored session was, by its key.

    Anchors that were damaged and kept are read too, as far as that goes.
    """
    found: dict[str, Path] = {}
    for path in [*sorted(Path(site).glob(f"{DAMAGED}*.jsonl")), Path(site) / FILE]:
        for line, _ in loose_lines(_content(path)) if path.exists() else []:
            told = {} if line is None or line.kind != "anchor" else line.data
            key, record = told.get("key"), told.get("record")
            if isinstance(key, str) and isinstance(record, str) and (key + record).isprintable():
                found[key] = Path(record)
    return found


def accept_ledger(
    path: Path, site: str | Path, *, problem: str, first_bad_line: int, said: Mapping[str, str]
) -> None:
    """Write that a ledger was begun anew: from here on it is held against what it is now.

    Parameters
    ----------
    path : Path
        The ledger.
    site : path
        The site's folder.
    problem : str
        What was wrong with the one before.
    first_bad_line : int
        Of the one before, counted from 1.
    said : mapping
        ``operator``, ``role``, ``reason``, and the ``sha256`` of the file before.

    Raises
    ------
    RecordError
        The anchors cannot be written.
    """
    told = RecordProblem(
        record=path, first_bad_line=first_bad_line, problem=problem, kind="site", acknowledged=True
    )
    _append(Path(site), "acknowledge", {**told.to_dict(), "key": "", **said}, accepted=path)


# -- what the site knows ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A session as a ledger knows it."""

    key: str
    subject: str
    session: str
    dataset: Path
    emulated: bool
    head: str  # empty while it is not booked

    @property
    def record(self) -> Path:
        return SessionPaths(self.dataset, self.subject, self.session).record


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """The ledgers and the anchors of a site."""

    entries: Mapping[str, _Entry] = field(default_factory=dict)
    anchors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    acknowledgements: frozenset[tuple[str, ...]] = frozenset()
    problems: list[RecordProblem] = field(default_factory=list)

    @classmethod
    def of(cls, site: Path) -> _Known:
        """Read a site's folder; a file of it that does not verify is the first problem."""
        problems: list[RecordProblem] = []
        path = site / FILE
        lines = _site_lines(path, problems)
        marks = [line.data for line in lines if line.kind in {"anchor", "acknowledge"}]
        anchors = {str(m["key"]): m for m in marks if "head" in m}
        said = {_identity(m) for m in marks if "operator" in m}
        entries: dict[str, _Entry] = {}
        for emulated in (False, True):
            ledger = Ledger(site, emulated=emulated).path
            booked = _site_lines(ledger, problems)
            entries |= _entries(booked, emulated)
            mark = marks[-1]["ledgers"].get(ledger.name) if marks else None
            if mark is not None and not any(p.record == ledger for p in problems):
                problems += _cut_ledger(ledger, booked, mark)
        return cls(
            entries=entries,
            anchors=anchors,
            acknowledgements=frozenset(said),
            problems=problems,
        )

    def acknowledged(self, problem: RecordProblem) -> bool:
        """Whether a person has looked at exactly this."""
        return _identity({**problem.to_dict(), "sha256": problem.sha256, "key": problem.key}) in (
            self.acknowledgements
        )


def _identity(data: Mapping[str, Any]) -> tuple[str, ...]:
    """What two sayings about one state of one file have in common, wherever it was moved to."""
    names = ("subject", "session", "kind", "sha256", "key")
    where = data["record"] if data["kind"] == "site" else ""
    return (*(str(data[name]) for name in names), str(where))


def _site_lines(path: Path, problems: list[RecordProblem]) -> list[Line]:
    if not path.exists():
        return []
    # A torn last line was never acted on; the next entry cuts it off.
    lines, problem = read_record(path, allow_torn_tail=True)
    if problem is not None:
        sha256 = hashlib.sha256(_content(path)).hexdigest()
        problems.append(
            RecordProblem(
                record=path, first_bad_line=len(lines) + 1, problem=problem, kind="site",
                sha256=sha256,
            )
        )  # fmt: skip
    return lines


def _cut_ledger(path: Path, lines: list[Line], mark: Mapping[str, Any]) -> list[RecordProblem]:
    """A ledger that is shorter, or another one, than when it was last anchored."""
    n, head = int(mark["n_lines"]), mark["head"]
    if len(lines) >= n and (n == 0 or lines[n - 1].hash == head):
        return []
    first = len(lines) + 1 if len(lines) < n else 1
    text = f"line {first}: it had {n} lines when a session was last anchored; its tail was cut off"
    if len(lines) >= n:
        text = f"line {n}: another hash than was anchored; the ledger was written anew"
    sha256 = hashlib.sha256(_content(path) if path.exists() else b"").hexdigest()
    return [
        RecordProblem(record=path, first_bad_line=first, problem=text, kind="site", sha256=sha256)
    ]


def _entries(lines: Iterable[Line], emulated: bool) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    for line in lines:
        data = line.data
        if line.kind in {"reserve", "adopt"}:
            entries[data["key"]] = _Entry(
                key=data["key"], subject=data["subject"], session=data["session"],
                dataset=Path(data["dataset"]), emulated=emulated,
                head=str(data.get("record_head", "")),
            )  # fmt: skip
        elif line.kind == "book" and data["key"] in entries:
            entries[data["key"]] = replace(
                entries[data["key"]], head=str(data.get("record_head", ""))
            )
    return entries


def _marks_told(path: Path) -> dict[str, Any]:
    """How long the ledgers were at most, by every line of the anchors that can be read."""
    most: dict[str, Any] = {}
    for line, _ in loose_lines(_content(path)):
        told = {} if line is None else line.data.get("ledgers")
        for name, mark in told.items() if isinstance(told, dict) else ():
            known = isinstance(mark, dict) and isinstance(mark.get("head"), str)
            if not known or type(mark.get("n_lines")) is not int:
                continue
            if name not in most or mark["n_lines"] >= most[name]["n_lines"]:
                most[name] = {"n_lines": mark["n_lines"], "head": mark["head"]}
    return most


def _append(
    site: Path,
    kind: str,
    data: Mapping[str, Any],
    *,
    accepted: Path | None = None,
    marks: Mapping[str, Any] | None = None,
) -> None:
    """One line of the anchors, with how long the ledgers are.

    A ledger that was cut keeps its old mark, so that it goes on being told, until it is accepted.
    ``marks`` are those of an earlier file.
    """
    path = site / FILE
    before, _ = read_record(path, allow_torn_tail=True) if path.exists() else ([], None)
    marks = dict(before[-1].data["ledgers"] if before else marks or {})
    for emulated in (False, True):
        ledger = Ledger(site, emulated=emulated).path
        lines = read_record(ledger, allow_torn_tail=True)[0] if ledger.exists() else []
        mark = marks.get(ledger.name)
        if mark is None or ledger == accepted or not _cut_ledger(ledger, lines, mark):
            head = lines[-1].hash if lines else ""
            marks[ledger.name] = {"n_lines": len(lines), "head": head}
    SiteLog(path).append(kind, {**data, "ledgers": marks})


# -- one data set ----------------------------------------------------------------------------------


def _dataset_problems(dataset: Path, known: _Known, subject: str | None) -> list[RecordProblem]:
    problems: list[RecordProblem] = []
    keys: set[str] = set()
    root = dataset.resolve()
    for record in sorted(dataset.glob("sourcedata/tacs/sub-*/ses-*/*_record.jsonl")):
        match = RECORDS.fullmatch(record.stem)
        if match is None or (subject is not None and match[1] != subject) or in_use(record):
            continue
        content = _content(record)
        key = _key(content)
        keys.add(key)
        expected = known.entries.get(key) or _expected(known, root, record)
        problem = _problem(record, content, key, expected, known)
        if problem is not None:
            problems.append(replace(problem, subject=match[1], session=match[2]))
            keys.add(problem.key)
    problems += [
        RecordProblem(
            record=entry.record,
            first_bad_line=None,
            problem="missing; the site's ledger knows it",
            kind="missing",
            subject=entry.subject,
            session=entry.session,
            key=entry.key,
            emulated=entry.emulated,
        )
        for entry in known.entries.values()
        if entry.key not in keys
        and entry.dataset == root
        and subject in {None, entry.subject}
        and not (entry.record.exists() and in_use(entry.record))
    ]
    return problems


def _expected(known: _Known, root: Path, record: Path) -> _Entry | None:
    """The session that the ledger expects in a file whose first line it does not know."""
    for entry in known.entries.values():
        if entry.dataset == root and entry.record.name == record.name:
            return entry
    return None


def _problem(
    record: Path, content: bytes, key: str, entry: _Entry | None, known: _Known
) -> RecordProblem | None:
    """What is wrong with one record, the gravest first."""
    sha256 = hashlib.sha256(content).hexdigest()
    mark = known.anchors.get(key)
    if mark is not None and mark["sha256"] == sha256:
        return None  # byte for byte as it was closed
    lines, problem = read_lines(content, allow_torn_tail=True)
    # Current cannot have flowed without a start on disk; where the ledger knows more, it is asked.
    started = entry is not None or problem is not None or _started(lines)
    ended = any(line.kind == "end" for line in lines)
    tail = content[content.rfind(b"\n") + 1 :]
    first: int | None = len(lines) + 1
    heads = {line.hash for line in lines}
    kind = "damaged"
    if problem is not None:
        text = problem
    elif entry is not None and entry.key != key:
        text, first = "line 1: not the record that the site's ledger knows", 1
    elif entry is not None and entry.head and entry.head not in heads:
        text, first = _cut_or_rewritten(lines, mark, ended)
    elif mark is not None and mark["head"] not in heads:
        text, first = _cut_or_rewritten(lines, mark, ended)
    elif ended and tail:
        text = f"line {first}: not a whole line of a record, after its end"
    elif lines and not ended:
        text, first, kind = "was never closed; `tacs recover` does that", None, "open"
    else:
        return None
    return RecordProblem(
        record=record,
        first_bad_line=first,
        problem=text,
        kind=kind,
        sha256=sha256,
        key=key if entry is None else entry.key,
        emulated=_emulated(lines) if entry is None else entry.emulated,
        started=started,
    )


def _cut_or_rewritten(
    lines: list[Line], mark: Mapping[str, Any] | None, ended: bool
) -> tuple[str, int]:
    """The head that was booked is not in the chain: its tail is gone, or all of it is new."""
    whole = ended if mark is None else len(lines) >= int(mark["n_lines"])
    if whole:
        return "line 2: written anew from there or later; its booked head is another", 2
    first = len(lines) + 1
    return f"line {first}: cut off; the head that was booked is gone", first


def _started(lines: list[Line]) -> bool:
    return any(line.kind == "intent" and line.data.get("verb") == "start" for line in lines)


def _emulated(lines: list[Line]) -> bool | None:
    said = lines[0].data.get("emulated") if lines else None
    return said if isinstance(said, bool) else None


def _breach(dataset: Path, problem: RecordProblem) -> Breach:
    cure = problem.cure or f"tacs recover {dataset}"
    if problem.kind != "open" and not problem.cure:
        cure += f" --acknowledge {problem.record} --operator NAME --role ROLE --reason TEXT"
    return Breach(
        limit="record_damaged",
        value=problem.problem,
        allowed="records as they were left",
        unit="",
        source=f"look at it, then: {cure}",
        where=str(problem.record),
    )


def _key(content: bytes) -> str:
    """Hash of the first line, which names the session; empty where that is not whole."""
    lines, _ = read_lines(content[: content.find(b"\n") + 1])
    return lines[0].hash if lines else ""


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as exc:
        raise InputError(f"{path}: no such record") from exc
    except OSError as exc:
        raise InputError(f"{path}: cannot be read ({exc.strerror})") from exc
