"""The site's dose ledger: what every participant has had, outside any one data set.

A new folder cannot dodge a daily limit, because the ledger is the site's. Emulated sessions have a
ledger of their own and are held to the same rules. An entry is reserved before arming and booked
when the session is closed; an entry that a crash left open counts as if it had been delivered whole
and blocks the participant until ``tacs recover`` has closed it. A sham is booked as the active arm
it stands for, so that the ledger says nothing about the arm.

Lines are chained like those of a run record, and every change is made under a file lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tacs.errors import InputError, RecordError
from tacs.protocol import Protocol
from tacs.record import Line, RecordAppender, RecordWriter, read_record
from tacs.safety import DoseHistory
from tacs.waveform import Waveform

__all__ = ["BRIEF_SESSION_S", "Dose", "Ledger", "dose_at_level", "site_folder"]

# A session that was stopped within its first minute may be started again the same day: its time and
# charge count in every limit, but it is not the session that the interval is counted from.
BRIEF_SESSION_S = 60.0


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


def site_folder() -> Path:
    """Return the site's folder: ``TACS_SITE_DIR``, or the user's data folder."""
    import platformdirs

    chosen = os.environ.get("TACS_SITE_DIR")
    return (
        Path(chosen) if chosen else Path(platformdirs.user_data_dir("tacs-suite", appauthor=False))
    )


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
    return protocol.model_copy(update={"waveform": "tacs", "sham_plateau_s": None})


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
        self.path = Path(folder) / ("ledger-emulated.jsonl" if emulated else "ledger.jsonl")

    def history(self, subject: str, now: datetime) -> DoseHistory:
        """Return what a participant has had.

        Parameters
        ----------
        subject : str
            The participant.
        now : datetime
            Time zone aware.

        Raises
        ------
        RecordError
            The ledger does not verify: nobody is stimulated until that is explained.
        """
        sessions = self._sessions(subject)
        last_end: datetime | None = None
        on_s, charges, count = 0.0, dict[str, float](), 0
        open_ones = []
        for entry in sessions.values():
            dose = entry.get("dose", entry["reserved"])
            ended = datetime.fromisoformat(entry.get("ended", entry["latest_end"]))
            if "dose" not in entry:
                open_ones.append(f"{entry['session']} in {entry['dataset']}")
            if now - ended < timedelta(hours=24):
                on_s += dose["current_on_s"]
                for name, charge_c in dose["rectified_charge_c"].items():
                    charges[name] = charges.get(name, 0.0) + charge_c
            if dose["current_on_s"] > BRIEF_SESSION_S:
                last_end = ended if last_end is None else max(last_end, ended)
                count += now - ended < timedelta(days=90)
        return DoseHistory(
            last_session_end=last_end,
            current_on_24h_min=on_s / 60.0,
            rectified_charge_24h_c=charges,
            sessions_90d=count,
            open_sessions=tuple(open_ones),
        )

    def reserve(
        self,
        key: str,
        *,
        subject: str,
        session: str,
        dataset: Path,
        protocol: Protocol,
        now: datetime,
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
        now : datetime
            Time zone aware.
        refuse : callable, optional
            Called under the ledger's lock before anything is written; what it raises leaves the
            ledger as it was. Of two programs that reserve at once, the second sees the first.
        """
        waveform = Waveform(as_active(protocol))
        whole = dose_at_level(
            protocol, waveform.current_on_s, waveform.full_current_equivalent_s, "reserved"
        )
        self._append(
            "reserve",
            {
                "key": key,
                "subject": subject,
                "session": session,
                "dataset": str(dataset.resolve()),
                "reserved": whole.to_dict(),
                "latest_end": (now + timedelta(seconds=protocol.duration_s)).isoformat(),
            },
            before=refuse,
        )

    def book(self, key: str, *, dose: Dose, outcome: str, ended: datetime, head: str) -> None:
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
        )

    def is_open(self, key: str) -> bool:
        """Whether a session was reserved and never booked."""
        kinds = [line.kind for line in self._lines() if line.data.get("key") == key]
        return bool(kinds) and "book" not in kinds

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the ledger against other programs of this site.

        Raises
        ------
        InputError
            The folder cannot be written.
        """
        lock = self.path.with_suffix(".lock")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            raise InputError(
                f"{self.path.parent}: the site's folder cannot be written ({exc.strerror}); "
                f"set TACS_SITE_DIR to one that can"
            ) from exc
        try:
            _lock(fd)
            yield
        finally:
            os.close(fd)

    def _append(
        self, kind: str, data: Mapping[str, Any], before: Callable[[], None] | None = None
    ) -> None:
        with self.locked():
            if before is not None:
                before()
            new = not self.path.exists()
            with RecordWriter(self.path) if new else RecordAppender(self.path) as writer:
                writer.append(kind, 0.0, data, sync=True)

    def _lines(self) -> list[Line]:
        if not self.path.exists():
            return []
        # A torn entry was never acted on: reserving comes before arming, and a booking that is
        # missing leaves its session open, which counts it whole. The next entry cuts it off.
        lines, problem = read_record(self.path, allow_torn_tail=True)
        if problem is not None:
            raise RecordError(
                f"{self.path}: {problem}; no session can be armed until somebody has found out why"
            )
        return lines

    def _sessions(self, subject: str) -> dict[str, dict[str, Any]]:
        """Entries of one participant by key, each with what was booked where it was."""
        sessions: dict[str, dict[str, Any]] = {}
        for line in self._lines():
            if line.kind == "reserve" and line.data["subject"] == subject:
                sessions[line.data["key"]] = dict(line.data)
            elif line.kind == "book" and line.data["key"] in sessions:
                sessions[line.data["key"]].update(line.data)
        return sessions


def _lock(fd: int) -> None:
    """Take an exclusive lock that the system releases when the file is closed."""
    if os.name == "posix":
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_EX)
    else:
        import msvcrt

        msvcrt.locking(fd, msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined]
