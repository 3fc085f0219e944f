"""Blinding at the site: who has which slot, what that slot is, and how a blind is lifted in need.

A study is imported once per computer, into ``blinding/STUDY`` of the site's folder: the study file,
its key, and a journal of hash-chained lines, written and on disk before anything is handed out. A
participant gets the next free slot of the stratum and keeps it; there is no second draw. Without a
readable allocation nothing is resolved and no session runs: never an active one by default.

What this protects against: learning an arm by accident or in passing, from a screen, a file name, a
file size, a log or an export; drawing again until the arm suits; exchanging or cutting the table or
the journal unnoticed. What it does not: the key that opens the slots lies on the computer that has
to know the arm, so somebody with this account who sets out to open a slot by program can; and
nobody who measures the current at the electrodes can be kept from seeing whether it flows.

A rehearsal on an emulated device never touches the table: its arm is drawn anew from the study's
arms, because an emulator's oscilloscope would show it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tacs.allocation import Arm, Slot, Study, read_site_key, write_site_key
from tacs.clock import utc_now
from tacs.dataset import check_label
from tacs.errors import FileProblems, InputError, RecordError
from tacs.files import write_text
from tacs.protocol import Protocol
from tacs.record import Line, RecordAppender, RecordWriter, read_record
from tacs.sitelog import SiteLog, site_folder

__all__ = ["Assignment", "Guess", "SiteStudy", "import_study", "load_study", "resolve"]

TOKEN_VALID_S = 3600.0
WHO = ("participant", "operator", "rater")
GUESSES = ("active", "sham", "unknown")
ROLES = ("investigator", "physician", "operator", "statistician", "monitor", "other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A participant's place in the table; it says nothing about the arm.

    Parameters
    ----------
    subject, stratum : str
        Who.
    slot : int
        Number within the stratum.
    new : bool
        Whether it was assigned just now.
    """

    subject: str
    stratum: str
    slot: int
    new: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "subject": self.subject,
            "stratum": self.stratum,
            "slot": self.slot,
            "new": self.new,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What somebody believes the arm to be.

    Parameters
    ----------
    subject, session : str
        Of whom, after which session.
    who : str
        ``participant``, ``operator`` or ``rater``.
    guess : str
        ``active``, ``sham`` or ``unknown``.
    confidence : int
        0 guessing to 10 certain.
    reason : str
        In own words.
    """

    subject: str
    session: str
    who: str
    guess: str
    confidence: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "subject": self.subject,
            "session": self.session,
            "who": self.who,
            "guess": self.guess,
            "confidence": self.confidence,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteStudy:
    """A study as this computer has it.

    Parameters
    ----------
    study : Study
        The study file.
    folder : Path
        Its folder in the site's.
    """

    study: Study
    folder: Path

    @property
    def name(self) -> str:
        """Name of the study: the blinding label of its protocols."""
        return self.study.study

    @property
    def sealing_key(self) -> bytes:
        """The statistician's public key, for the sealed records of this study."""
        return self.study.sealing_key

    def assign(self, subject: str, stratum: str | None = None) -> Assignment:
        """Give a participant the next free slot, or say which one they have.

        Parameters
        ----------
        subject : str
            The participant.
        stratum : str, optional
            May be left out where the study has one stratum only.

        Raises
        ------
        InputError
            No such stratum, another stratum than before, or no slot is left.
        RecordError
            The journal does not verify.
        """
        stratum = self._stratum(stratum)
        with self._journal() as journal:
            return self._assigned(journal, subject, stratum)

    def request_unblinding(self, subject: str, *, person: str, role: str, reason: str) -> str:
        """Take the first step of an emergency unblinding.

        Parameters
        ----------
        subject : str
            Whose arm is needed.
        person, role, reason : str
            Who asks, as what, and why; all of it is kept.

        Returns
        -------
        str
            The token that the second step needs, valid for an hour.

        Raises
        ------
        InputError
            Nobody of that name has a slot, or a part is missing.
        RecordError
            The journal does not verify.
        """
        self._check_asked(person, role, reason)
        token = secrets.token_hex(4)
        with self._journal() as journal:
            _slot_of(journal.lines, subject, self.name)
            journal.write(
                "unblinding-requested",
                {
                    "subject": subject,
                    "person": person.strip(),
                    "role": role,
                    "reason": reason.strip(),
                    "token_sha256": _sha256(token),
                },
            )
        return token

    def confirm_unblinding(self, subject: str, *, token: str, person: str, reason: str) -> Arm:
        """Take the second step: reveal one participant's arm, once the journal has it.

        Parameters
        ----------
        subject : str
            As in the request.
        token : str
            From the request; good for once.
        person, reason : str
            Who confirms, and why.

        Raises
        ------
        InputError
            Not the token of an open request for this participant; the attempt is kept.
        RecordError
            The journal does not verify.
        """
        self._check_asked(person, "other", reason)
        data = {"subject": subject, "person": person.strip(), "reason": reason.strip()}
        with self._journal() as journal:
            stratum, number = _slot_of(journal.lines, subject, self.name)
            arm = self.study.arm(self._slot(stratum, number), self._key())
            if not _is_open(journal.lines, subject, token, utc_now()):
                journal.write("unblinding-refused", data)
                raise InputError(
                    f"subject {subject}: not the token of an open request (each is good for one "
                    f"hour and once); begin again with `tacs blind unblind` without a token"
                )
            # Written before it is told. The arm itself never stands in the journal.
            journal.write("unblinded", {**data, "token_sha256": _sha256(token)})
        return arm

    def unblinded(self) -> tuple[str, ...]:
        """Return the participants whose arm was revealed."""
        found = [line.data["subject"] for line in self.lines() if line.kind == "unblinded"]
        return tuple(dict.fromkeys(found))

    def record_guess(
        self, subject: str, session: str, *, who: str, guess: str, confidence: int, reason: str = ""
    ) -> Guess:
        """Keep what somebody believes the arm to be; asked once for each session.

        Raises
        ------
        InputError
            Not an answer, or this person has answered for this session.
        RecordError
            The journal does not verify.
        """
        for value, known, what in ((who, WHO, "who"), (guess, GUESSES, "guess")):
            if value not in known:
                raise InputError(f"{what} {value!r}: must be one of {', '.join(known)}")
        if isinstance(confidence, bool) or confidence not in range(11):
            raise InputError(f"confidence {confidence}: must be a whole number from 0 to 10")
        answer = Guess(
            subject=subject,
            session=session,
            who=who,
            guess=guess,
            confidence=confidence,
            reason=reason.strip(),
        )
        with self._journal() as journal:
            _slot_of(journal.lines, subject, self.name)
            for old in _guesses(journal.lines):
                if (old.subject, old.session, old.who) == (subject, session, who):
                    raise InputError(
                        f"subject {subject}, session {session}: the {who} has answered already; "
                        f"the first answer stands"
                    )
            journal.write("guess", answer.to_dict())
        return answer

    def guesses(self) -> tuple[Guess, ...]:
        """Return every answer, in the order of asking."""
        return _guesses(self.lines())

    def assignments(self) -> tuple[Assignment, ...]:
        """Return who has which slot, in the order of assignment."""
        return tuple(
            Assignment(**line.data, new=False) for line in self.lines() if line.kind == "assigned"
        )

    def lines(self) -> list[Line]:
        """Return the journal.

        Raises
        ------
        RecordError
            It does not verify, is shorter than it was, or belongs to another study file.
        """
        return _verified_lines(self.folder, self.study)

    # -- within -----------------------------------------------------------------------------------

    def arm_for(self, subject: str, stratum: str | None, *, emulated: bool) -> Arm:
        """Assign where that is due, then open the slot: for the guardian's ears only.

        Raises
        ------
        InputError
            As :meth:`assign`; the key is missing, or the slot cannot be opened.
        RecordError
            The journal does not verify.
        """
        stratum, key = self._stratum(stratum), self._key()
        with self._journal(rehearsal=emulated) as journal:
            if emulated:
                return self._rehearsed(journal, subject, key)
            given = self._assigned(journal, subject, stratum)
        return self.study.arm(self._slot(given.stratum, given.slot), key)

    def arms(self) -> list[Arm]:
        """Return the different arms of the table; needs the site's key."""
        key, found = self._key(), {}
        for slot in self.study.slots:
            arm = self.study.arm(slot, key)
            found[arm.code] = arm
        return [found[code] for code in sorted(found)]

    def _assigned(self, journal: _Journal, subject: str, stratum: str) -> Assignment:
        taken = set()
        for line in journal.lines:
            if line.kind != "assigned":
                continue
            if line.data["subject"] == subject:
                if line.data["stratum"] != stratum:
                    raise InputError(
                        f"subject {subject}: was assigned in stratum {line.data['stratum']}, not "
                        f"{stratum}; a participant keeps the first slot"
                    )
                return Assignment(**line.data, new=False)
            if line.data["stratum"] == stratum:
                taken.add(line.data["slot"])
        own = sorted(s.number for s in self.study.slots if s.stratum == stratum)
        free = next((number for number in own if number not in taken), None)
        if free is None:
            raise InputError(
                f"study {self.name}: stratum {stratum} has no slot left; the statistician has to "
                f"extend the table"
            )
        place = {"subject": check_label(subject, "subject"), "stratum": stratum, "slot": free}
        journal.write("assigned", place)
        return Assignment(subject=subject, stratum=stratum, slot=free, new=True)

    def _rehearsed(self, journal: _Journal, subject: str, key: bytes) -> Arm:
        """The arm of a rehearsal, drawn from the arms and not from the table, and kept closed."""
        from nacl.secret import SecretBox

        box = SecretBox(key)
        for line in journal.lines:
            if line.kind == "rehearsed" and line.data["subject"] == subject:
                opened = box.decrypt(base64.b64decode(line.data["box"]))
                return Arm.from_data(json.loads(opened.rstrip(b" ")), "rehearsal")
        arm = secrets.choice(self.arms())
        closed = box.encrypt(json.dumps(arm.to_data()).encode().ljust(256))
        journal.write(
            "rehearsed", {"subject": subject, "box": base64.b64encode(closed).decode("ascii")}
        )
        return arm

    def _stratum(self, stratum: str | None) -> str:
        names = [s.name for s in self.study.strata]
        if stratum is None and len(names) == 1:
            return names[0]
        if stratum not in names:
            given = "needs a stratum" if stratum is None else f"has no stratum {stratum!r}"
            raise InputError(f"study {self.name}: {given}; there are: {', '.join(names)}")
        return stratum

    def _slot(self, stratum: str, number: int) -> Slot:
        for slot in self.study.slots:
            if (slot.stratum, slot.number) == (stratum, number):
                return slot
        raise RecordError(f"study {self.name}: slot {number} of {stratum} is not in the study file")

    def _key(self) -> bytes:
        return read_site_key(self.folder / "site.key")

    def _check_asked(self, person: str, role: str, reason: str) -> None:
        if not person.strip() or len(reason.strip()) < 10:
            raise InputError(
                "unblinding needs the person's name and a reason of at least 10 characters"
            )
        if role not in ROLES:
            raise InputError(f"role {role!r}: must be one of {', '.join(ROLES)}")

    @contextmanager
    def _journal(self, *, rehearsal: bool = False) -> Iterator[_Journal]:
        """Hold the study's journal against other programs, verified."""
        with SiteLog(self.folder / "journal.jsonl").locked():
            yield _Journal(self.folder, self.study, rehearsal=rehearsal)


class _Journal:
    """The open journal, under its lock."""

    def __init__(self, folder: Path, study: Study, *, rehearsal: bool) -> None:
        self._folder, self._rehearsal = folder, rehearsal
        self.lines = _verified_lines(folder, study, rehearsal=rehearsal)

    def write(self, kind: str, data: dict[str, Any]) -> None:
        """Write one line and have it on disk; then the anchor, which shows that nothing is cut."""
        path = _journal_path(self._folder, rehearsal=self._rehearsal)
        with RecordAppender(path) as writer:
            writer.append(kind, 0.0, data, sync=True)
            anchor = {"lines": len(self.lines) + 1, "head": writer.head}
        write_text(path.with_suffix(".anchor"), json.dumps(anchor) + "\n")


def import_study(
    study_file: str | Path, key_file: str | Path, site: str | Path | None = None
) -> SiteStudy:
    """Bring a study to this computer; every slot is opened once to see that the key belongs.

    Parameters
    ----------
    study_file, key_file : path
        From the statistician.
    site : path, optional
        The site's folder.

    Raises
    ------
    InputError
        Not a study, not its key, or a study of that name with another table is here already.
    """
    study, key = Study.from_toml(study_file), read_site_key(key_file)
    for slot in study.slots:
        study.arm(slot, key)
    folder = _folder(study.study, site)
    kept = folder / "study.toml"
    if kept.exists():
        if Study.from_toml(kept).sha256() != study.sha256():
            raise InputError(
                f"{folder}: study {study.study} is here already with another table; a study is "
                f"imported once, another one needs another name"
            )
        return load_study(study.study, site)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as exc:
        raise InputError(f"{folder}: cannot be made ({exc.strerror})") from exc
    # A crash may have come between: what is there already is taken up, the study file comes last.
    if not (folder / "site.key").exists():
        write_site_key(folder / "site.key", key)
    first = {
        "study": study.study,
        "commitment_sha256": study.commitment_sha256,
        "study_sha256": study.sha256(),
    }
    for path in (_journal_path(folder, rehearsal=rehearsal) for rehearsal in (False, True)):
        if not path.exists():
            with RecordWriter(path) as journal:
                journal.append("study", 0.0, first, sync=True)
    study.to_toml(kept)
    return SiteStudy(study=study, folder=folder)


def load_study(name: str, site: str | Path | None = None) -> SiteStudy:
    """Return a study that was imported.

    Raises
    ------
    InputError
        It was not: a blinded session is refused without its allocation.
    """
    folder = _folder(name, site)
    if not (folder / "study.toml").exists():
        raise InputError(
            f"study {name}: its allocation is not on this computer ({folder}); bring it here with "
            f"`tacs blind import`. Without it no blinded session runs"
        )
    return SiteStudy(study=Study.from_toml(folder / "study.toml"), folder=folder)


def resolve(
    study: SiteStudy,
    subject: str,
    stratum: str | None,
    protocol: Protocol,
    *,
    emulated: bool,
) -> Protocol:
    """Return the protocol that a participant's arm gets; only the guardian may see it.

    Parameters
    ----------
    study : SiteStudy
        From :func:`load_study`.
    subject : str
        The participant.
    stratum : str or None
        None where the study has one stratum.
    protocol : Protocol
        As planned: the active one, its blinding label the name of the study.
    emulated : bool
        Whether this is a rehearsal on an emulated device, which has a draw of its own.

    Returns
    -------
    Protocol
        The same but for its waveform.

    Raises
    ------
    InputError
        Not the study's protocol, not the active one, one that some arm of the study does not fit
        (told alike whatever the participant's own arm), or no assignment can be made.
    RecordError
        The journal does not verify.
    """
    if protocol.blinding is None or protocol.blinding.label != study.name:
        label = None if protocol.blinding is None else protocol.blinding.label
        raise InputError(
            f"protocol {protocol.name}: its blinding label is {label}, the study is {study.name}; "
            f"plan it with --blinding-label {study.name}"
        )
    if protocol.is_sham:
        raise InputError(
            f"protocol {protocol.name}: is a sham; a blinded study plans the active protocol, and "
            f"the arm follows from the allocation"
        )
    for arm in study.arms():
        _as_arm(protocol, arm, study.name)
    return _as_arm(protocol, study.arm_for(subject, stratum, emulated=emulated), study.name)


def _as_arm(protocol: Protocol, arm: Arm, study: str) -> Protocol:
    data = {**protocol.to_data(), "waveform": arm.waveform}
    if arm.sham_plateau_s is not None:
        data["sham_plateau_s"] = arm.sham_plateau_s
    try:
        return Protocol.from_data(data, protocol.name)
    except FileProblems as exc:
        raise InputError(
            f"protocol {protocol.name}: some arm of study {study} does not fit into "
            f"{protocol.duration_s:g} s with these ramps; plan a longer session"
        ) from exc


def _folder(name: str, site: str | Path | None) -> Path:
    root = site_folder() if site is None else Path(site)
    return root / "blinding" / check_label(name, "study")


def _journal_path(folder: Path, *, rehearsal: bool) -> Path:
    return folder / ("rehearsals.jsonl" if rehearsal else "journal.jsonl")


def _verified_lines(folder: Path, study: Study, *, rehearsal: bool = False) -> list[Line]:
    path = _journal_path(folder, rehearsal=rehearsal)
    if not path.exists():
        raise RecordError(f"{path}: the journal is gone; no slot can be given until it is found")
    # A torn line was never acted on: nothing is handed out before it is whole and on disk.
    lines, problem = read_record(path, allow_torn_tail=True)
    problem = problem or _unanchored(path.with_suffix(".anchor"), lines)
    if problem is None and (not lines or lines[0].data.get("study_sha256") != study.sha256()):
        problem = "belongs to another study file; the table was exchanged"
    if problem is not None:
        raise RecordError(
            f"{path}: {problem}; no slot can be given until somebody has found out why"
        )
    return lines


def _unanchored(anchor: Path, lines: list[Line]) -> str | None:
    """Whether lines were cut off: the anchor names the last line, at most one may follow it."""
    if not anchor.exists():
        # Before the first entry there is none, and a crash may have come before its anchor.
        return None if len(lines) <= 2 else "its anchor is gone"
    try:
        data = json.loads(anchor.read_text(encoding="utf-8"))
        n, head = int(data["lines"]), str(data["head"])
    except (OSError, ValueError, KeyError, TypeError):
        return "its anchor cannot be read"
    if not n <= len(lines) <= n + 1:
        return f"has {len(lines)} lines where its anchor has {n}"
    return None if lines[n - 1].hash == head else f"line {n} is not the one that was anchored"


def _slot_of(lines: list[Line], subject: str, study: str) -> tuple[str, int]:
    for line in lines:
        if line.kind == "assigned" and line.data["subject"] == subject:
            return str(line.data["stratum"]), int(line.data["slot"])
    raise InputError(f"subject {subject}: has no slot in study {study}")


def _guesses(lines: list[Line]) -> tuple[Guess, ...]:
    return tuple(Guess(**line.data) for line in lines if line.kind == "guess")


def _is_open(lines: list[Line], subject: str, token: str, now: datetime) -> bool:
    """Whether a token belongs to a request that is recent and was not used."""
    wanted = _sha256(token.strip())
    used = {x.data["token_sha256"] for x in lines if x.kind == "unblinded"}
    return wanted not in used and any(
        line.kind == "unblinding-requested"
        and line.data["subject"] == subject
        and line.data["token_sha256"] == wanted
        and 0.0 <= (now - datetime.fromisoformat(line.utc)).total_seconds() <= TOKEN_VALID_S
        for line in lines
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
