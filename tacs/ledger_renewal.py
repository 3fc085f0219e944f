"""A dose ledger that does not verify, and how the site goes on with a new one.

A damaged ledger blocks everybody, because nobody knows whose dose it no longer tells. Once a person
has looked and said so by name, a new ledger takes its place, which begins with the valid lines of
the old one, byte for byte, so that anchors and copies still fit. The damaged file stays beside it.

Damage must open no way around a limit of the day:

- A line after the first bad one counts as it is only where a later head is in the anchors and the
  chain leads there unbroken: then it is what was written.
- Every other session that can still be named, by such a line, by the anchors or by the record in a
  data set that any of them names, is an open session of the new ledger. It counts whole and blocks
  its participant until ``tacs recover`` has closed it from its record.
- A line that cannot be read, was changed, or is gone may have been anybody's. Nobody is stimulated
  until it is older than a day for certain. It is no younger than the next line that counts as it
  is; where there is none, it counts as made when the ledger was begun anew.

The last line of what was carried over is of kind ``renewed``: who, as what, when and why, the head
of the valid part, the hash of the damaged file and its new name.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from tacs.anchors import accept_ledger, anchors_problem
from tacs.clock import Moment, moment_now
from tacs.errors import FileProblems, InputError, RecordError
from tacs.forms import text_problem
from tacs.ledger import Ledger
from tacs.ledger_damage import LedgerDamage, LostSession, content_of, ledger_damage
from tacs.ledger_times import moment_of
from tacs.record import GENESIS, Line, canonical, chain_hash, read_lines, sync_folders

__all__ = ["Renewal", "acknowledge_ledger", "renewed"]

NAME_MAX_LENGTH = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """A ledger that was begun anew.

    Parameters
    ----------
    damage : LedgerDamage
        What was wrong, and what was carried over.
    kept : Path or None
        Where the damaged file is now; None where there was none.
    """

    damage: LedgerDamage
    kept: Path | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        kept = None if self.kept is None else str(self.kept)
        return {**self.damage.to_dict(), "kept": kept}


def acknowledge_ledger(
    site: str | Path,
    *,
    emulated: bool,
    operator: str,
    role: str,
    reason: str,
    now: Moment | None = None,
) -> Renewal:
    """Begin a damaged ledger anew; the damaged file is kept beside it.

    Parameters
    ----------
    site : path
        The site's folder.
    emulated : bool
        Which ledger.
    operator, role, reason : str
        Who has looked at it, as what, and why sessions may go on.
    now : Moment, optional
        The present where left out.

    Returns
    -------
    Renewal
        What was carried over, and where the damaged file is.

    Raises
    ------
    FileProblems
        Who, as what or why is missing; nothing was written.
    InputError
        The ledger is not damaged, or the anchors are and have to be looked at first.
    RecordError
        The new ledger cannot be written; the old one is still there.
    """
    said = {"operator": operator.strip(), "role": role.strip(), "reason": reason.strip()}
    ledger, now = Ledger(site, emulated=emulated), now or moment_now()
    with ledger.locked():
        if bad := anchors_problem(site):
            raise InputError(
                f"{bad.record}: {bad.problem}; look at it first, and acknowledge it with "
                f"`tacs recover DATASET --acknowledge {bad.record}`"
            )
        damage = ledger_damage(site, emulated=emulated, now=now)
        if damage is None:
            raise InputError(
                f"{ledger.path}: verifies and is no shorter than it was anchored; there is nothing "
                f"to acknowledge"
            )
        if problems := _unsigned(said):
            raise FileProblems(str(ledger.path), problems)
        try:
            kept = _keep(damage)
            content = renewed(damage, said, kept, now)
            draft = ledger.path.with_name(ledger.path.name + ".part")
            _write_synced(draft, content)
            draft.replace(ledger.path)
            sync_folders(ledger.path.parent)
        except OSError as exc:
            raise RecordError(f"{ledger.path}: cannot be written ({exc.strerror})") from exc
        accept_ledger(
            ledger.path,
            site,
            problem=damage.problem,
            first_bad_line=damage.first_bad_line,
            said={**said, "sha256": damage.sha256},
        )
    return Renewal(damage=damage, kept=kept)


def renewed(damage: LedgerDamage, said: Mapping[str, str], kept: Path | None, now: Moment) -> bytes:
    """Return the new ledger: the valid lines as they are, what is carried over, then why.

    Parameters
    ----------
    damage : LedgerDamage
        Of the file that is still there.
    said : mapping
        ``operator``, ``role`` and ``reason``.
    kept : Path or None
        Where the damaged file is kept.
    now : Moment
        The present.

    Raises
    ------
    RecordError
        It would not verify.
    """
    content = content_of(damage.path) or b""
    end = 0
    for _ in damage.valid:
        end = content.index(b"\n", end) + 1
    chain = _Chain(content[:end], damage.head or GENESIS, len(damage.valid))
    for place in sorted(_places(damage), key=lambda x: x[0]):
        number, item = place
        if isinstance(item, LostSession):
            chain.open_session(item)
            continue
        moment = moment_of(item).to_dict()
        chain.add(item.kind, item.utc, {"moment": moment, **item.data, "was_line": int(number)})
    chain.add(
        "renewed",
        now.utc.isoformat(timespec="milliseconds"),
        {
            **said,
            "moment": now.to_dict(),
            "first_bad_line": damage.first_bad_line,
            "problem": damage.problem,
            "valid_lines": len(damage.valid),
            "head": damage.head,
            "damaged_file": None if kept is None else kept.name,
            "damaged_sha256": damage.sha256,
            "lost_lines": damage.lost_lines,
            "doubt": damage.doubt.to_dict(),
        },
    )
    lines, problem = read_lines(chain.content)
    if problem is not None or lines[-1].kind != "renewed":
        raise RecordError(f"{damage.path}: the new ledger does not verify ({problem})")
    return chain.content


def _places(damage: LedgerDamage) -> list[tuple[float, Line | LostSession]]:
    """What is carried over, with its place: that of the old line, or else by time."""
    places: list[tuple[float, Line | LostSession]] = [(float(n), x) for n, x in damage.as_written]
    for session in damage.sessions:
        later = [n for n, x in damage.as_written if moment_of(x).utc >= session.moment.utc]
        place = math.inf
        if session.named_by == "record":
            place = (session.line or min(later, default=math.inf)) - 0.5
        places.append((place, session))
    return places


class _Chain:
    """Lines in the format of a record, put together in memory."""

    def __init__(self, content: bytes, head: str, n_lines: int) -> None:
        self.content, self._head, self._n = content, head, n_lines

    def add(self, kind: str, utc: str, data: Mapping[str, Any]) -> None:
        body = {"seq": self._n, "t_s": 0.0, "utc": utc, "kind": kind, "data": data}
        self._head = chain_hash(self._head, body)
        self.content += (canonical({**body, "hash": self._head}) + "\n").encode()
        self._n += 1

    def open_session(self, session: LostSession) -> None:
        """A reservation, so that the dose counts whole until the record has been looked at."""
        ends = session.moment.utc + timedelta(seconds=session.dose["current_on_s"])
        self.add(
            "reserve",
            session.moment.utc.isoformat(timespec="milliseconds"),
            {
                "key": session.key,
                "subject": session.subject,
                "session": session.session,
                "dataset": session.dataset,
                "reserved": {**session.dose, "basis": "reserved"},
                "latest_end": ends.isoformat(),
                "moment": session.moment.to_dict(),
                "named_by": session.named_by,
                "was_line": session.line,
            },
        )


def _keep(damage: LedgerDamage) -> Path | None:
    """Keep the damaged file under the next free number; one that was kept already is not twice."""
    content = content_of(damage.path)
    if content is None:
        return None
    number = 1
    while True:
        kept = damage.path.with_name(f"damaged-{damage.path.stem}-{number}.jsonl")
        if not kept.exists():
            break
        if kept.read_bytes() == content:
            return kept
        number += 1
    draft = kept.with_name(kept.name + ".part")
    _write_synced(draft, content)
    draft.replace(kept)
    return kept


def _write_synced(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, and have it on disk."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _unsigned(said: Mapping[str, str]) -> list[str]:
    """What is missing of who, as what and why, or cannot be read by a person."""
    problems = [f"--{name}: missing; the ledger keeps who, as what and why" for name, text in
                said.items() if not text]  # fmt: skip
    for name, text in said.items():
        most = () if name == "reason" else (NAME_MAX_LENGTH,)
        if wrong := text_problem(text, *most):
            problems.append(f"--{name}: {wrong}")
    return problems
