"""The site's dose ledger: what every participant has had, outside any one data set.

A new folder cannot dodge a daily limit, because the ledger is the site's. Emulated sessions have a
ledger of their own and are held to the same rules. An entry is reserved before arming and booked
when the session is closed; an entry that a crash left open counts as if it had been delivered whole
and blocks the participant until ``tacs recover`` has closed it. A sham is booked as the active arm
it stands for, so that the ledger says nothing about the arm.

Lines are chained like those of a run record, and every change is made under a file lock.

Every line carries the moment it was written: the wall clock, and the time since the computer was
started. How long ago a session was is reckoned along the lines since, each step by the clock that
says less, so that a wall clock set forward opens no new day, and one set back behind the latest
entry blocks until somebody has looked. What cannot be seen is a wall clock that was set forward
across a restart of the computer with no line in between: nothing but the wall clock is left then.
Everything is UTC; time zones and daylight saving do not enter.

A ledger that does not verify blocks everybody. :mod:`tacs.ledger_renewal` begins it anew once a
person has looked: with all that still verifies, and with an open session wherever one was lost.

Two computers with copies of one ledger do not see each other's doses. A copy in the site's folder
that holds what this one lacks, and a session in the data set that it does not know, are told; what
is missing is booked by :meth:`Ledger.adopt`, as an upper bound where nobody booked it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tacs.clock import Moment, moment_now
from tacs.dataset import SessionPaths, find_records
from tacs.errors import InputError, RecordError
from tacs.history import DAY_S, DoseHistory
from tacs.ledger_times import (
    BRIEF_SESSION_S,
    latest_entry,
    least,
    moment_of,
    past_sessions,
    since_doubt_s,
)
from tacs.protocol import Protocol
from tacs.record import LINE_BYTES_MAX, Line, read_lines, read_record
from tacs.sitelog import SiteLog, site_folder
from tacs.waveform import Waveform

__all__ = ["BRIEF_SESSION_S", "Dose", "Ledger", "dose_at_level", "site_folder", "whole_dose"]

PRESENT = timedelta(seconds=10.0)  # a time that near to now was read just now


@dataclass(frozen=True, slots=True, kw_only=True)
class Dose:
    """What is booked for one session.

    Parameters
    ----------
    current_on_s : float
        Time with current.
    rectified_charge_c : mapping of str to float
        By electrode.
    basis : str
        ``"measured"``, ``"commanded"`` or ``"upper bound"``.
    """

    current_on_s: float
    rectified_charge_c: Mapping[str, float]
    basis: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "current_on_s": round(self.current_on_s, 3),
            "rectified_charge_c": {k: round(v, 6) for k, v in self.rectified_charge_c.items()},
            "basis": self.basis,
        }


def dose_at_level(
    protocol: Protocol, current_on_s: float, level_seconds: float, basis: str
) -> Dose:
    """Turn the integral of the commanded level into a dose, worst case at every electrode.

    Parameters
    ----------
    protocol : Protocol
        A sham is taken as the active arm it stands for.
    current_on_s : float
        Time with current.
    level_seconds : float
        Integral of the level over time: seconds of full current.
    basis : str
        See :class:`Dose`.
    """
    active = as_active(protocol)
    whole_s = Waveform(active).full_current_equivalent_s
    charges = {
        e.name: Waveform(active).rectified_charge_c(e.name) * level_seconds / whole_s
        for e in active.montage.electrodes
    }
    return Dose(current_on_s=current_on_s, rectified_charge_c=charges, basis=basis)


def as_active(protocol: Protocol) -> Protocol:
    """Return the active arm that a sham stands for; an active protocol itself."""
    if not protocol.is_sham:
        return protocol
    waveform = "tacs" if protocol.carrier_hz is None else "am_tacs"
    return protocol.model_copy(update={"waveform": waveform, "sham_plateau_s": None})


class Ledger:
    """One ledger file.

    Parameters
    ----------
    folder : path
        The site's folder; created when first written to.
    emulated : bool
        The emulated devices' ledger, or the real one's.
    """

    def __init__(self, folder: str | Path, *, emulated: bool) -> None:
        self.emulated = emulated
        self.path = Path(folder) / ("ledger-emulated.jsonl" if emulated else "ledger.jsonl")
        self._log = SiteLog(self.path, f"; then: {self.cure}")

    @property
    def cure(self) -> str:
        """Command that shows what a damaged ledger has lost, and goes on with a new one."""
        return f"tacs ledger acknowledge{' --emulated' if self.emulated else ''}"

    def history(
        self, subject: str, now: datetime | Moment, *, dataset: str | Path | None = None
    ) -> DoseHistory:
        """Return what a participant has had.

        Parameters
        ----------
        subject : str
            The participant.
        now : datetime or Moment
            Time zone aware. A moment carries the time since the computer's start; beside a
            datetime it is read, where that is the present.
        dataset : path, optional
            Data set that is searched for sessions of theirs that the ledger does not know.

        Raises
        ------
        RecordError
            The ledger does not verify: nobody is stimulated until that is explained.
        """
        now = _moment(now)
        lines = self.lines()
        sessions = past_sessions(lines, subject, now)
        counting = [s for s in sessions if s.counts]
        # An age that is no number is no age that has passed.
        of_day = [s for s in sessions if not s.since_end_s >= DAY_S]
        charges: dict[str, float] = {}
        for past in of_day:
            for name, charge_c in past.rectified_charge_c.items():
                charges[name] = charges.get(name, 0.0) + charge_c
        unknown: tuple[str, ...] = ()
        if dataset is not None:
            unknown = self.unknown_sessions(dataset, subject)
        return DoseHistory(
            last_session_end=max((s.ended for s in counting), default=None),
            since_last_session_s=least([s.since_end_s for s in counting]),
            current_on_24h_min=sum(s.current_on_s for s in of_day) / 60.0,
            rectified_charge_24h_c=charges,
            sessions_90d=sum(1 for s in counting if not s.since_end_s >= 90.0 * DAY_S),
            open_sessions=tuple(
                f"{s.session} in {s.dataset}" for s in sessions if s.outcome is None
            ),
            sessions=tuple(sessions),
            latest_entry=latest_entry(lines),
            conflicts=tuple(self._conflicts_in_folder(subject)),
            unknown_sessions=unknown,
            since_doubt_s=since_doubt_s(lines, now),
        )

    def subjects(self) -> list[str]:
        """Return everybody who is in the ledger."""
        return sorted(
            {str(line.data["subject"]) for line in self.lines() if "subject" in line.data}
        )

    def lines(self) -> list[Line]:
        """Return every line.

        Raises
        ------
        RecordError
            The ledger does not verify.
        """
        # A torn entry was never acted on: reserving comes before arming, and a booking that is
        # missing leaves its session open, which counts it whole.
        return self._log.lines()

    def reserve(
        self,
        key: str,
        *,
        subject: str,
        session: str,
        dataset: Path,
        protocol: Protocol,
        now: datetime | Moment,
        refuse: Callable[[], None] | None = None,
    ) -> None:
        """Reserve the whole dose of a session that is about to be armed.

        Parameters
        ----------
        key : str
            Hash that names the session, from the record's first line.
        subject, session : str
            Who, and which session.
        dataset : path
            Where its record is.
        protocol : Protocol
            What it may deliver.
        now : datetime or Moment
            Time zone aware.
        refuse : callable, optional
            Called under the ledger's lock before anything is written; what it raises leaves the
            ledger as it was. Of two programs that reserve at once, the second sees the first.
        """
        now = _moment(now)
        self._append(
            "reserve",
            {
                "key": key,
                "subject": subject,
                "session": session,
                "dataset": str(dataset.resolve()),
                "reserved": whole_dose(protocol, "reserved").to_dict(),
                "latest_end": (now.utc + timedelta(seconds=protocol.duration_s)).isoformat(),
            },
            now,
            before=refuse,
        )

    def book(
        self,
        key: str,
        *,
        dose: Dose,
        outcome: str,
        ended: datetime,
        head: str,
        now: datetime | Moment | None = None,
    ) -> None:
        """Book what a session delivered; the head of its record is kept beside it.

        Parameters
        ----------
        key : str
            As reserved.
        dose : Dose
            Delivered.
        outcome : str
            ``done``, ``stopped``, ``fault`` or ``interrupted``.
        ended : datetime
            When the current ended.
        head : str
            Hash of the record's last line.
        now : datetime or Moment, optional
            When it is booked; when it ended, where left out.
        """
        self._append(
            "book",
            {
                "key": key,
                "dose": dose.to_dict(),
                "outcome": outcome,
                "ended": ended.isoformat(),
                "record_head": head,
            },
            _moment(ended if now is None else now),
        )

    def confirm_clock(
        self, *, operator: str, reason: str, now: datetime | Moment | None = None
    ) -> None:
        """Enter that the wall clock is right now, whatever earlier lines say.

        What is older counts at least from here on, so that no interval gets shorter by it.

        Parameters
        ----------
        operator, reason : str
            Who says so, and what had happened.
        now : datetime or Moment, optional
            The present where left out.
        """
        _named(operator, reason)
        self._append("clock", {"operator": operator, "reason": reason}, _moment(now))

    def is_open(self, key: str) -> bool:
        """Whether a session was reserved and never booked."""
        kinds = [line.kind for line in self.lines() if line.data.get("key") == key]
        return kinds == ["reserve"]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the ledger against other programs of this site.

        Raises
        ------
        InputError
            The folder cannot be written.
        """
        with self._log.locked():
            yield

    # -- what another computer wrote --------------------------------------------------------------

    def unknown_sessions(self, dataset: str | Path, subject: str) -> tuple[str, ...]:
        """Return the sessions of a data set that the ledger does not know.

        Parameters
        ----------
        dataset : path
            The data set; one that is not there yet holds none.
        subject : str
            The participant.

        Returns
        -------
        tuple of str
            One line each. A session that was refused before anything was armed is none.
        """
        return tuple(
            f"session {paths.session} in {paths.dataset}"
            for paths, _ in self._unknown(dataset, subject)
        )

    def merge_conflicts(self, other: str | Path, subject: str | None = None) -> list[str]:
        """Return what another copy of this ledger holds and this one does not.

        Parameters
        ----------
        other : path
            The other ledger.
        subject : str, optional
            One participant only.

        Returns
        -------
        list of str
            One line per session; empty where this ledger holds all of it, even where the two have
            parted since.

        Raises
        ------
        InputError
            The other file cannot be read.
        """
        theirs, problem = read_record(other, allow_torn_tail=True)
        if problem is not None:
            return [f"{other}: {problem}; move it out of the way once that is explained"]
        ours = self.lines()
        same = 0
        while same < min(len(ours), len(theirs)) and ours[same].hash == theirs[same].hash:
            same += 1
        return [
            f"{Path(other).name} parts from {self.path.name} after line {same}: "
            f"session {entry['session']} of {entry['subject']} is only there"
            for entry in _missing(ours, theirs)
            if subject is None or entry["subject"] == subject
        ]

    def adopt(
        self,
        source: str | Path,
        *,
        operator: str,
        reason: str,
        subject: str | None = None,
        now: datetime | Moment | None = None,
    ) -> list[str]:
        """Book the sessions that another computer ran.

        Parameters
        ----------
        source : path
            A data set, whose unknown sessions are booked as if delivered whole; or another copy of
            the ledger, whose bookings are taken over.
        operator, reason : str
            Who does it, and why.
        subject : str, optional
            One participant only.
        now : datetime or Moment, optional
            The present where left out.

        Returns
        -------
        list of str
            One line per session booked.

        Raises
        ------
        InputError
            No such source, or a session in it cannot be booked.
        RecordError
            A ledger does not verify.
        """
        _named(operator, reason)
        source = Path(source)
        if source.is_dir():
            entries = [
                _upper_bound(paths, lines, self.emulated)
                for paths, lines in self._unknown(source, subject)
            ]
        elif source.is_file():
            theirs, problem = read_record(source, allow_torn_tail=True)
            if problem is not None:
                raise RecordError(f"{source}: {problem}")
            entries = [
                _as_booked(entry, source)
                for entry in _missing(self.lines(), theirs)
                if subject is None or entry["subject"] == subject
            ]
        else:
            raise InputError(f"{source}: no such data set and no such ledger")
        moment = _moment(now)
        for entry in entries:
            self._append("adopt", {**entry, "operator": operator, "reason": reason}, moment)
        return [
            f"session {e['session']} of {e['subject']}: {e['dose']['current_on_s'] / 60.0:.1f} min "
            f"({e['dose']['basis']})"
            for e in entries
        ]

    def _unknown(
        self, dataset: str | Path, subject: str | None
    ) -> list[tuple[SessionPaths, list[Line]]]:
        """Sessions that may have delivered something and are not here, with what can be read."""
        if not Path(dataset).is_dir() or not any(Path(dataset).iterdir()):
            return []
        ours = self.lines()
        keys = {line.data.get("key") for line in ours}
        places = {
            (line.data["dataset"], line.data["subject"], line.data["session"])
            for line in ours
            if "dataset" in line.data
        }
        found = []
        for paths in find_records(dataset):
            if subject is not None and paths.subject != subject:
                continue
            first = _first_line(paths.record)
            if first is not None and (
                first.hash in keys or bool(first.data.get("emulated")) != self.emulated
            ):
                continue
            if first is None and (
                (str(paths.dataset.resolve()), paths.subject, paths.session) in places
            ):
                continue
            lines, problem = read_record(paths.record, allow_torn_tail=True)
            started = any(x.kind == "intent" and x.data.get("verb") == "start" for x in lines)
            if started or problem is not None:
                found.append((paths, lines if problem is None else []))
        return found

    def _conflicts_in_folder(self, subject: str) -> list[str]:
        """What copies left by a synchronising program hold of a participant."""
        return [
            line
            for copy in sorted(self.path.parent.glob(f"{self.path.stem}*.jsonl"))
            if copy != self.path and copy.name.startswith("ledger-emulated") == self.emulated
            for line in self.merge_conflicts(copy, subject)
        ]

    def _append(
        self,
        kind: str,
        data: Mapping[str, Any],
        moment: Moment,
        before: Callable[[], None] | None = None,
    ) -> None:
        self._log.append(kind, {**data, "moment": moment.to_dict()}, before)


def _moment(now: datetime | Moment | None) -> Moment:
    """A moment; a bare time is put beside the computer's start only where it is the present."""
    if now is None:
        return moment_now()
    if isinstance(now, Moment):
        return now
    present = moment_now()
    return Moment(now, present.boot if abs(present.utc - now) < PRESENT else None)


def whole_dose(protocol: Protocol, basis: str) -> Dose:
    """Return what a protocol delivers when it runs to its end.

    Parameters
    ----------
    protocol : Protocol
        A sham is taken as the active arm it stands for.
    basis : str
        See :class:`Dose`.
    """
    waveform = Waveform(as_active(protocol))
    return dose_at_level(protocol, waveform.current_on_s, waveform.full_current_equivalent_s, basis)


def _named(operator: str, reason: str) -> None:
    if not operator.strip() or not reason.strip():
        raise InputError("give --operator and --reason: the ledger keeps who did it, and why")


def _first_line(record: Path) -> Line | None:
    """The first line of a record, without the rest; None where it does not verify."""
    try:
        with record.open("rb") as file:
            raw = file.readline(LINE_BYTES_MAX)
    except OSError:
        return None
    lines, problem = read_lines(raw, allow_torn_tail=True)
    return lines[0] if lines and problem is None else None


def _missing(ours: Sequence[Line], theirs: Sequence[Line]) -> list[dict[str, Any]]:
    """Sessions of another ledger that ours lacks, or holds open where it booked them."""

    def by_key(lines: Sequence[Line]) -> dict[str, dict[str, Any]]:
        entries: dict[str, dict[str, Any]] = {}
        for line in lines:
            if line.kind in {"reserve", "adopt"}:
                entries[line.data["key"]] = {
                    "started": moment_of(line).utc.isoformat(),
                    **line.data,
                }
            elif line.kind == "book" and line.data["key"] in entries:
                entries[line.data["key"]].update(line.data)
        return entries

    known = by_key(ours)
    return [
        entry
        for key, entry in by_key(theirs).items()
        if key not in known or ("dose" in entry and "dose" not in known[key])
    ]


def _as_booked(entry: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """An entry of another ledger as a line of this one."""
    if "dose" not in entry:
        raise InputError(
            f"{source}: session {entry['session']} of {entry['subject']} is still open there; "
            f"run `tacs recover` on the computer that ran it, then adopt"
        )
    return {
        name: entry[name]
        for name in (
            "key", "subject", "session", "dataset", "started", "dose", "ended", "outcome",
            "record_head",
        )
    }  # fmt: skip


def _upper_bound(paths: SessionPaths, lines: Sequence[Line], emulated: bool) -> dict[str, Any]:
    """A session of a data set as if it had been delivered whole."""
    if not lines:
        raise InputError(
            f"{paths.record}: does not verify and cannot be adopted; it is evidence, have somebody "
            f"find out why"
        )
    if not any(line.kind == "end" for line in lines):
        raise InputError(
            f"{paths.record}: this session has no end; run `tacs recover {paths.dataset}` once it "
            f"is over, then adopt"
        )
    first = lines[0]
    prescribed = first.data.get("protocol")
    if not isinstance(prescribed, Mapping):
        raise InputError(
            f"{paths.record}: its protocol cannot be read here; adopt the ledger of the computer "
            f"that ran it instead"
        )
    protocol = Protocol.from_data(prescribed, str(paths.record))
    return {
        "key": first.hash,
        "subject": paths.subject,
        "session": paths.session,
        "dataset": str(paths.dataset.resolve()),
        "started": first.utc,
        "dose": whole_dose(protocol, "upper bound").to_dict(),
        "ended": lines[-1].utc,
        "outcome": "adopted",
        "record_head": lines[-1].hash,
    }
