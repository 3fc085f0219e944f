"""One session, or all of a person's sessions, as one self-contained HTML file.

Everything on the page comes from the data set: the run record as far as its chain verifies, the
trace of the delivered current, and the recordings before and after. What is missing is said where
it would stand. Of a blinded session nothing that depends on the arm reaches the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tacs
from tacs.clock import utc_now
from tacs.dataset import SessionPaths, check_label, find_recordings, find_records
from tacs.errors import InputError
from tacs.files import write_text
from tacs.report_current import CurrentSection, by_limit, current_section
from tacs.report_page import render
from tacs.report_provenance import METHODS, Provenance, provenance
from tacs.report_record import RecordView
from tacs.report_signals import SignalSections, signal_sections
from tacs.report_summary import (
    Banner,
    KeyFigure,
    banners,
    key_figures,
    prediction,
    summary,
)
from tacs.tables import MISSING, read_table

__all__ = ["write_report"]

# What nothing can be said without.
NEEDED = frozenset({"limits_sha256", "capabilities"})

PLAIN_COLUMNS = frozenset({"species", "age", "sex", "hand", "handedness", "weight", "height"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPage:
    """What the template shows of one session."""

    label: str
    began: str | None
    title: str
    record: RecordView | None
    current: CurrentSection | None
    signals: SignalSections
    banners: tuple[Banner, ...]
    figures: tuple[KeyFigure, ...]
    summary: tuple[tuple[str, str], ...]
    warnings: tuple[tuple[str, str], ...]
    provenance: Provenance


def write_report(
    dataset: str | Path,
    subject: str,
    session: str | None = None,
    *,
    out: str | Path | None = None,
    site: Path | None = None,
) -> Path:
    """Write the report of a session as one HTML file that needs nothing else.

    Parameters
    ----------
    dataset : path
        BIDS data set.
    subject : str
        Label of the participant.
    session : str, optional
        Label of the session; every session of the participant, one after the other, where left out.
    out : path, optional
        File to write; by default below ``derivatives/tacs`` in the data set.
    site : Path, optional
        The site's folder, whose ledger kept the head of each record; this computer's by default.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        No such data set, participant or session, or the file cannot be written. A part that is
        missing or damaged is no error: the report says so.
    """
    sessions = _sessions(dataset, subject, session)
    pages = [_page(SessionPaths.of(dataset, subject, label), site) for label in sessions]
    if out is not None:
        path = Path(out)
    elif len(sessions) == 1:
        path = SessionPaths.of(dataset, subject, sessions[0]).report
    else:
        path = SessionPaths.of(dataset, subject, sessions[0]).derivatives.parent
        path /= f"sub-{subject}_report.html"
    participant = _participant(Path(dataset), subject)
    if any(page.record is not None and page.record.blinded for page in pages):
        # A column of the site's own may name the arm.
        participant = {name: participant[name] for name in participant if name in PLAIN_COLUMNS}
    values = {
        "subject": subject,
        "pages": pages,
        "participant": participant,
        "methods": METHODS,
        "written": utc_now(),
        "suite": tacs.__version__,
    }
    filters = {"prediction": prediction, "by_limit": by_limit}
    write_text(path, render("session.html.j2", values, filters))
    return path


def _sessions(dataset: str | Path, subject: str, session: str | None) -> list[str]:
    """Sessions of a participant that have a record or a recording."""
    check_label(subject, "subject")
    if session is not None:
        check_label(session, "session")
    with_record = {p.session for p in find_records(dataset) if p.subject == subject}
    known = sorted(with_record | {r.session for r in find_recordings(dataset, subject)})
    if not known:
        people = sorted(path.name[4:] for path in Path(dataset).glob("sub-*") if path.is_dir())
        raise InputError(
            f"{dataset}: has no session of subject {subject!r}; it has: "
            f"{', '.join(people) or 'nobody'}"
        )
    if session is None:
        return known
    if session not in known:
        raise InputError(
            f"{dataset}: subject {subject!r} has no session {session!r}; there are: "
            f"{', '.join(known)}"
        )
    return [session]


def _page(paths: SessionPaths, site: Path | None) -> SessionPage:
    """Gather one session."""
    record = RecordView(paths.record) if paths.record.exists() else None
    needed = NEEDED if record is None or record.blinded else NEEDED | {"protocol_sha256"}
    if record is not None and record.first and (lacking := needed - record.first.keys()):
        raise InputError(
            f"{paths.record}: the first line lacks {', '.join(sorted(lacking))}, which every "
            f"record of a session has; no report can be made of it"
        )
    current = None if record is None else current_section(paths, record)
    blinded = record is not None and record.blinded
    recordings = find_recordings(paths.dataset, paths.subject, paths.session)
    protocol = None if current is None else current.protocol
    signals = signal_sections(paths, recordings, protocol, blinded=blinded)
    origin = provenance(paths, record, signals.files, withheld=blinded, site=site)
    peak = signals.peaks[0] if signals.peaks else None
    outcome = signals.outcomes[0] if signals.outcomes else None
    warnings = _warnings(record, signals, withheld=blinded)
    return SessionPage(
        label=paths.session,
        began=_began(record, signals),
        title=_title(current),
        record=record,
        current=current,
        signals=signals,
        banners=banners(record, current, origin),
        figures=key_figures(current, peak, outcome),
        summary=summary(record, current, peak, outcome),
        warnings=warnings,
        provenance=origin,
    )


def _warnings(
    record: RecordView | None, signals: SignalSections, *, withheld: bool
) -> tuple[tuple[str, str], ...]:
    """Every warning once, with where it comes from."""
    found: list[tuple[str, str]] = []
    for peak in signals.peaks:
        found += [("peak", text) for text in (peak.estimate or {}).get("warnings", ())]
    if record is not None:
        # Of a blinded session the cautions differ between the arms.
        # What a rig cannot detect is listed with the limits.
        cautions = () if withheld else record.first.get("cautions", ())
        found += [
            ("before arming", text) for text in cautions if not text.startswith("not detectable")
        ]
        found += [("during the session", text) for text in record.notes]
    for outcome in signals.outcomes:
        found += [("comparison", text) for text in (outcome.data or {}).get("warnings", ())]
    return tuple(dict.fromkeys(found))


def _began(record: RecordView | None, signals: SignalSections) -> str | None:
    """When the session began; without a record, when its first recording did."""
    if record is not None and record.began is not None:
        return record.began.isoformat()
    return min((f.recorded_at for f in signals.files if f.recorded_at is not None), default=None)


def _title(current: CurrentSection | None) -> str:
    """Name of the protocol; of a blinded one, its arm's label."""
    if current is None or current.protocol is None:
        return "no protocol on record"
    if current.withheld:
        blinding = current.protocol.blinding
        return "blinded protocol" if blinding is None else f"blinded protocol, arm {blinding.label}"
    return current.protocol.name


def _participant(dataset: Path, subject: str) -> Mapping[str, str]:
    """What participants.tsv says of a person, without empty values."""
    try:
        _, rows = read_table(dataset / "participants.tsv")
    except InputError:
        return {}
    row = next((row for row in rows if row.get("participant_id") == f"sub-{subject}"), {})
    return {
        name: value
        for name, value in row.items()
        if name != "participant_id" and value not in {"", MISSING}
    }
