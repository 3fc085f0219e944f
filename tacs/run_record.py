"""What became of a session, as the public call and the command line return it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tacs.dose import Delivered

__all__ = ["RunRecord"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What became of a session.

    Parameters
    ----------
    outcome : str
        ``done``, ``stopped``, ``fault`` or ``interrupted``.
    cause : str
        Why it stopped or failed; empty when it ended as planned.
    delivered : Delivered or None
        Measured where something measured it, else as commanded; None where it is not known yet
        (``interrupted``) or not to be known here (blinded).
    blinded : bool
        Whether what was delivered must not be shown.
    quiet_after_stop_s : float or None
        From the stop to below 50 µA on the trace; None where nothing stopped it or no trace is.
    record, trace : Path or None
        On disk.
    record_head : str
        Hash of the record's last line.
    record_anchor : str
        Whose record, its length and its head in one short line, to be kept elsewhere (paper, a
        message); empty where it was not closed.
    titration : mapping or None
        Largest electrode current in mA at which each mark was set first (``sensation``,
        ``phosphene``), and the one ``tolerated``; None where nothing was titrated.
    subject, session : str
        Whose.
    warnings : tuple of str
        What an operator should know.
    machine_verified : bool
        Whether a machine set, started and stopped the device, and not a person.
    """

    outcome: str
    cause: str
    delivered: Delivered | None
    blinded: bool
    quiet_after_stop_s: float | None
    record: Path
    trace: Path | None
    subject: str
    session: str
    warnings: tuple[str, ...]
    record_head: str = ""
    record_anchor: str = ""
    titration: Mapping[str, float] | None = None
    machine_verified: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``tacs run``; what was delivered is null when blinded."""
        quiet = self.quiet_after_stop_s
        hidden = self.blinded or self.delivered is None
        return {
            "outcome": self.outcome,
            "cause": self.cause,
            "delivered": None if hidden or self.delivered is None else self.delivered.to_dict(),
            "blinded": self.blinded,
            "quiet_after_stop_s": None if self.blinded or quiet is None else round(quiet, 4),
            "record": str(self.record),
            "record_head": self.record_head,
            "record_anchor": self.record_anchor,
            "trace": None if self.trace is None else str(self.trace),
            "subject": self.subject,
            "session": self.session,
            "titration": None if self.titration is None else dict(self.titration),
            "machine_verified": self.machine_verified,
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunRecord:
        """Take what :meth:`to_dict` gave."""
        delivered, trace = data["delivered"], data["trace"]
        return cls(
            outcome=data["outcome"],
            cause=data["cause"],
            delivered=None if delivered is None else Delivered.from_dict(delivered),
            blinded=data["blinded"],
            quiet_after_stop_s=data["quiet_after_stop_s"],
            record=Path(data["record"]),
            trace=None if trace is None else Path(trace),
            subject=data["subject"],
            session=data["session"],
            warnings=tuple(data["warnings"]),
            record_head=data["record_head"],
            record_anchor=data["record_anchor"],
            titration=data["titration"],
            machine_verified=data["machine_verified"],
        )
