"""What a damaged dose ledger has lost, and what of it can still be named.

The rules by which it is begun anew stand in :mod:`tacs.ledger_renewal`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tacs.anchors import anchored_ledger, anchored_records
from tacs.clock import Moment, moment_now
from tacs.dataset import LABEL, find_records
from tacs.errors import InputError
from tacs.ledger import Ledger, whole_dose
from tacs.ledger_times import BRIEF_SESSION_S, moment_of
from tacs.limits import LIMITS
from tacs.protocol import Protocol
from tacs.record import Line, loose_lines, read_lines, read_record

__all__ = ["LedgerDamage", "LostSession", "content_of", "ledger_damage"]

NEVER = Moment(datetime(1970, 1, 1, tzinfo=UTC))  # where a line does not tell: its record does
PATH_MAX = 4096
DOSE_MAX = 1e6  # seconds or coulomb: more is no dose
LONGEST_S = 60.0 * LIMITS["daily_duration_min"].ceiling


@dataclass(frozen=True, slots=True, kw_only=True)
class LostSession:
    """A session whose entry can no longer be trusted, and that can still be named.

    Parameters
    ----------
    key : str
        What the ledger calls it.
    subject, session, dataset : str
        Whose, which, and where its record is or was.
    named_by : str
        ``record``, ``anchors`` or ``ledger``: the best that still tells of it.
    line : int or None
        Line of the damaged ledger that names it, counted from 1.
    dose : mapping
        The most that any of them says it may have had.
    moment : Moment
        When it was reserved, as its record says; the present where that is gone.
    """

    key: str
    subject: str
    session: str
    dataset: str
    named_by: str
    line: int | None
    dose: Mapping[str, Any]
    moment: Moment

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "key": self.key,
            "subject": self.subject,
            "session": self.session,
            "dataset": self.dataset,
            "named_by": self.named_by,
            "line": self.line,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerDamage:
    """A ledger that is not as it was left, and what can be carried over.

    Parameters
    ----------
    path : Path
        The ledger; it need not exist.
    first_bad_line : int
        Counted from 1.
    problem : str
        What is wrong with it.
    sha256 : str
        Of the damaged file; empty where it is missing.
    valid : tuple of Line
        What comes before the first bad line.
    as_written : tuple of (int, Line)
        Later lines that an anchor vouches for, with their numbers, counted from 1.
    sessions : tuple of LostSession
        To be closed anew by ``tacs recover``.
    lost_lines : int
        Lines that cannot be read, were changed, or are gone, as far as they can be counted.
    doubt : Moment
        The latest time at which one of them may have been written.
    """

    path: Path
    first_bad_line: int
    problem: str
    sha256: str
    valid: tuple[Line, ...]
    as_written: tuple[tuple[int, Line], ...]
    sessions: tuple[LostSession, ...]
    lost_lines: int
    doubt: Moment

    @property
    def head(self) -> str:
        """Hash of the last valid line; empty where there is none."""
        return self.valid[-1].hash if self.valid else ""

    @property
    def booked(self) -> frozenset[str]:
        """Keys of the sessions whose dose the new ledger knows."""
        known = [*self.valid, *(line for _, line in self.as_written)]
        return frozenset(str(x.data["key"]) for x in known if x.kind in {"book", "adopt"})

    @property
    def open_sessions(self) -> tuple[Mapping[str, str], ...]:
        """Sessions that the new ledger holds open: subject, session and dataset of each."""
        known = [*self.valid, *(line for _, line in self.as_written)]
        left = [x.data for x in known if x.kind == "reserve"]
        left += [x.to_dict() for x in self.sessions]
        return tuple(
            {name: str(data[name]) for name in ("subject", "session", "dataset")}
            for data in left
            if data["key"] not in self.booked
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "path": str(self.path),
            "first_bad_line": self.first_bad_line,
            "problem": self.problem,
            "sha256": self.sha256,
            "valid_lines": len(self.valid),
            "head": self.head,
            "later_lines_kept": len(self.as_written),
            "lost_lines": self.lost_lines,
            "doubt_utc": self.doubt.utc.isoformat(timespec="seconds"),
            "sessions": [x.to_dict() for x in self.sessions],
            "open_sessions": [dict(x) for x in self.open_sessions],
        }


def ledger_damage(
    site: str | Path, *, emulated: bool, now: Moment | None = None
) -> LedgerDamage | None:
    """Hold a ledger against its chain and the anchors.

    Parameters
    ----------
    site : path
        The site's folder.
    emulated : bool
        Which ledger.
    now : Moment, optional
        The present where left out.

    Returns
    -------
    LedgerDamage or None
        None where it verifies and is no shorter than it was anchored.

    Raises
    ------
    InputError
        A file cannot be read.
    """
    ledger, now = Ledger(site, emulated=emulated), now or moment_now()
    content = content_of(ledger.path)
    marks = anchored_ledger(site, ledger.path.name)
    lines, problem = read_lines(content or b"", allow_torn_tail=True)
    was = max((n for n, _ in marks), default=0)
    fit = max(
        (n for n, head in marks if 0 < n <= len(lines) and lines[n - 1].hash == head), default=0
    )
    unfit = [n for n, _ in marks if fit < n <= len(lines)]
    if unfit:
        lines = lines[:fit]
        problem = f"line {fit + 1}: it or a later one was written anew; line {min(unfit)} is not "
        problem += "the one that was anchored"
    elif problem is None and content is None and was:
        problem = f"line 1: the file is gone; it had {was} lines when a session was last anchored"
    elif problem is None and len(lines) < was:
        problem = f"line {len(lines) + 1}: its tail was cut off; it had {was} lines when a session "
        problem += "was last anchored"
    if problem is None:
        return None
    rest = loose_lines(content or b"")[len(lines) :]
    if unfit:
        rest = [(x, False) for x, _ in rest]
    written = _as_written(rest, marks)
    lost, last = _lost(rest, len(lines), was)
    if unfit or max(marks, default=(0, "")) not in _heads([*lines, *(x for x, _ in rest if x)]):
        last = None
    vouched = [(len(lines) + 1 + i, x) for i, (x, _) in enumerate(rest) if x and written[i]]
    doubt = now
    if last is not None:
        following = next((x for n, x in vouched if n > len(lines) + 1 + last), None)
        if following is not None:
            # What was reserved by a lost line may have gone on for a while.
            doubt = _earlier(moment_of(following).after(LONGEST_S), now)
    sessions = _lost_sessions(
        ledger,
        known=[*lines, *(x for _, x in vouched)],
        doubtful=[(len(lines) + 1 + i, x) for i, (x, _) in enumerate(rest) if x and not written[i]],
        anchored=anchored_records(site),
        now=now,
    )
    # Whose record is gone, and is known from the ledger alone, is not closed by what may be a lie.
    unsure = {x.key for x in sessions if x.named_by != "record"}
    return LedgerDamage(
        path=ledger.path,
        first_bad_line=len(lines) + 1,
        problem=problem,
        sha256="" if content is None else hashlib.sha256(content).hexdigest(),
        valid=tuple(lines),
        as_written=tuple((n, x) for n, x in vouched if x.data.get("key") not in unsure),
        sessions=tuple(sessions),
        lost_lines=lost,
        doubt=doubt,
    )


# -- what can be trusted ---------------------------------------------------------------------------


def _as_written(
    rest: Sequence[tuple[Line | None, bool]], marks: Iterable[tuple[int, str]]
) -> list[bool]:
    """Which lines after the first bad one lead unbroken to an anchored head."""
    heads = {(n - 1, head) for n, head in marks}
    found, vouched = [False] * len(rest), False
    for i in reversed(range(len(rest))):
        line, fits = rest[i]
        vouched = line is not None and (vouched or (line.seq, line.hash) in heads)
        found[i] = vouched = vouched and fits
    return found


def _heads(lines: Iterable[Line]) -> set[tuple[int, str]]:
    """What an anchor may have said of a ledger with these lines."""
    return {(0, ""), *((x.seq + 1, x.hash) for x in lines)}


def _lost(rest: Sequence[tuple[Line | None, bool]], valid: int, was: int) -> tuple[int, int | None]:
    """How many lines are lost, and the last place in the rest at which one is; None: at its end."""
    count, last, due = 0, 0, valid
    for i, (line, fits) in enumerate(rest):
        if line is not None and line.seq > due:
            count, last = count + line.seq - due, i
        if line is None or not fits:
            count, last = count + 1, i
        due = due + 1 if line is None else max(line.seq, due) + 1
    if due < was:
        return count + was - due, None
    return count, last


def _earlier(one: Moment, other: Moment) -> Moment:
    return one if one.utc <= other.utc else other


# -- sessions that can still be named --------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A record in a data set that the site knows of."""

    path: Path
    subject: str
    session: str
    dataset: str
    first: Line | None  # None where not even that verifies


def _lost_sessions(
    ledger: Ledger,
    *,
    known: Sequence[Line],
    doubtful: Sequence[tuple[int, Line]],
    anchored: Mapping[str, Path],
    now: Moment,
) -> list[LostSession]:
    """Every session that is told of anywhere and that the lines to keep do not hold."""
    keys = {str(x.data.get("key")) for x in known if x.kind in {"reserve", "adopt"}}
    keys |= _keys_of_other(ledger)
    records = _records([*known, *(x for _, x in doubtful)], anchored)
    found: dict[str, LostSession] = {}
    for number, line in doubtful:
        if line.kind in {"reserve", "adopt"} and _names_session(line.data):
            made = LostSession(
                key=line.data["key"],
                subject=line.data["subject"],
                session=line.data["session"],
                dataset=line.data["dataset"],
                named_by="ledger",
                line=number,
                dose=_largest([line.data.get("reserved"), line.data.get("dose")]),
                moment=_moment(line) or NEVER,
            )
            found.setdefault(made.key, made)
    for key, path in anchored.items():
        record = records.get(key) or _as_record(path)
        if record is not None and record.first is not None and record.first.hash != key:
            record = replace(record, first=None)  # written anew since
        if record is None or (record.first is not None and not _concerns(record, ledger)):
            continue
        by = "anchors" if record.first is None else "record"
        found[key] = _named_by(record, by, key, found.get(key), now)
    for key, record in records.items():
        if _concerns(record, ledger):
            found[key] = _named_by(record, "record", key, found.get(key), now)
    lost = []
    for made in found.values():
        if made.key in keys:
            continue
        booked = [x.data.get("dose") for _, x in doubtful if x.data.get("key") == made.key]
        dose = dict(_largest([made.dose, *booked])) or {
            "current_on_s": LONGEST_S, "rectified_charge_c": {}
        }  # fmt: skip
        # Never a brief one, which the interval to the next session would not be counted from.
        dose["current_on_s"] = max(dose["current_on_s"], BRIEF_SESSION_S + 1.0)
        moment = made.moment if made.named_by == "record" else now
        lost.append(replace(made, dose=dose, moment=_earlier(moment, now)))
    return sorted(lost, key=lambda x: (x.moment.utc, x.line or 0))


def _keys_of_other(ledger: Ledger) -> set[str]:
    """What the other ledger of the site holds: the anchors and the data sets are shared."""
    other = Ledger(ledger.path.parent, emulated=not ledger.emulated).path
    lines = loose_lines(content_of(other) or b"")
    return {str(x.data.get("key")) for x, _ in lines if x and x.kind in {"reserve", "adopt"}}


def _records(lines: Iterable[Line], anchored: Mapping[str, Path]) -> dict[str, _Found]:
    """The records in every data set that is named anywhere, by the hash of their first line."""
    roots = {Path(x.data["dataset"]) for x in lines if _is_text(x.data.get("dataset"))}
    roots |= {path.parents[4] for path in anchored.values() if len(path.parents) > 4}
    found: dict[str, _Found] = {}
    for root in sorted(roots):
        for paths in find_records(root) if _has_data(root) else []:
            record = _as_record(paths.record)
            if record is not None and record.first is not None:
                found[record.first.hash] = record
    return found


def _as_record(path: Path) -> _Found | None:
    """A record by its path, whether or not it is still there."""
    if len(path.parents) <= 4:
        return None
    subject = path.parent.parent.name.removeprefix("sub-")
    session = path.parent.name.removeprefix("ses-")
    if not LABEL.fullmatch(subject) or not LABEL.fullmatch(session):
        return None
    first = None
    if _is_there(path):
        lines, _ = read_record(path, allow_torn_tail=True)
        first = lines[0] if lines else None
    return _Found(
        path=path, subject=subject, session=session, dataset=str(path.parents[4]), first=first
    )


def _has_data(root: Path) -> bool:
    try:
        return root.is_dir() and any(root.iterdir())
    except OSError:  # no place that this computer can look at
        return False


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _concerns(record: _Found, ledger: Ledger) -> bool:
    """Whether current of this ledger's kind of device may have flowed."""
    if record.first is None or bool(record.first.data.get("emulated")) != ledger.emulated:
        return False
    lines, problem = read_record(record.path, allow_torn_tail=True)
    started = any(x.kind == "intent" and x.data.get("verb") == "start" for x in lines)
    return started or problem is not None


def _named_by(
    record: _Found, named_by: str, key: str, said: LostSession | None, now: Moment
) -> LostSession:
    """A session as its record or the anchors tell it; the ledger's word is the second best."""
    moment, doses = now, list[object]([] if said is None else [said.dose])
    if record.first is not None:
        moment = _moment(record.first) or now
        if said is not None and said.moment.utc >= moment.utc:
            moment = said.moment
        doses.append(_prescribed(record))
    return LostSession(
        key=key,
        subject=record.subject,
        session=record.session,
        dataset=record.dataset,
        named_by=named_by,
        line=None if said is None else said.line,
        dose=_largest(doses),
        moment=moment,
    )


def _prescribed(record: _Found) -> Mapping[str, Any] | None:
    """The whole dose of the protocol in a record."""
    prescribed = record.first.data.get("protocol") if record.first is not None else None
    if not isinstance(prescribed, Mapping):
        return None
    try:
        return whole_dose(Protocol.from_data(prescribed, str(record.path)), "reserved").to_dict()
    except InputError:
        return None


def _names_session(data: Mapping[str, Any]) -> bool:
    """Whether a line that nobody vouches for names a session, in words that can be kept."""
    labels = [data.get("subject"), data.get("session")]
    return all(_is_text(data.get(x)) for x in ("key", "dataset")) and all(
        isinstance(x, str) and LABEL.fullmatch(x) for x in labels
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= PATH_MAX and value.isprintable()


def _moment(line: Line) -> Moment | None:
    """When a line that nobody vouches for says it was written."""
    try:
        moment = moment_of(line)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    boot_id, since_s = moment.boot or ("", 0.0)
    sane = moment.utc.tzinfo is not None and _is_text(boot_id) and 0.0 <= since_s < math.inf
    return moment if sane else None


def _largest(doses: Iterable[object]) -> dict[str, Any]:
    """The most that any of several doses says; what is no dose is passed over."""
    on_s, charges, known = 0.0, dict[str, float](), False
    for dose in doses:
        if not isinstance(dose, Mapping) or not _is_amount(dose.get("current_on_s")):
            continue
        known, on_s = True, max(on_s, float(dose["current_on_s"]))
        told = dose.get("rectified_charge_c")
        for name, charge_c in told.items() if isinstance(told, Mapping) else ():
            if _is_text(name) and _is_amount(charge_c):
                charges[str(name)] = max(charges.get(str(name), 0.0), float(charge_c))
    return {"current_on_s": on_s, "rectified_charge_c": charges} if known else {}


def _is_amount(value: object) -> bool:
    return type(value) in {int, float} and 0.0 <= value <= DOSE_MAX  # type: ignore[operator]


def content_of(path: Path) -> bytes | None:
    """Return the bytes of a ledger; None where there is none.

    Raises
    ------
    InputError
        It cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise InputError(f"{path}: cannot be read ({exc.strerror})") from exc
