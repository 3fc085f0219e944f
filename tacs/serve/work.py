"""What is worked out in the worker process: whatever reads the journal, signals or records.

Every function takes and returns plain values. What was read of the journal is kept while its file
is the same, but for the audit trail, which is verified anew each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tacs.clock import utc_now
from tacs.dataset import ensure_dataset, find_records
from tacs.journal import Entry, Journal
from tacs.ratings import OpenAlert, acknowledge, alerts_in, parse_when, rate

__all__ = [
    "FORMS",
    "acknowledged",
    "alerts_of",
    "audit_of",
    "day_passed",
    "filled",
    "patients_of",
    "rated",
    "timeline_of",
    "written_report",
]

FORMS = {
    "screening": "screening",
    "recheck": "screening",
    "consent": "consent",
    "preflight": "preflight",
    "adverse_effects": "adverse_effects",
}
_kept: dict[str, tuple[tuple[int, int, int], list[Entry]]] = {}


def _entries(dataset: str) -> list[Entry]:
    """The journal's entries; read again when its file has changed."""
    book = Journal(dataset)
    try:
        found = book.path.stat()
    except OSError:
        return book.entries()
    key = (found.st_ino, found.st_size, found.st_mtime_ns)
    if _kept.get(dataset, (None,))[0] != key:
        _kept.clear()
        _kept[dataset] = (key, book.entries())
    return _kept[dataset][1]


def _told(alert: OpenAlert) -> dict[str, Any]:
    return {**alert.to_dict(), "words": str(alert)}


# -- reading --------------------------------------------------------------------------------------


def patients_of(dataset: str) -> list[dict[str, Any]]:
    """List everybody in the data set."""
    root = Path(dataset)
    found: dict[str, dict[str, Any]] = {}

    def of(subject: str) -> dict[str, Any]:
        empty: dict[str, Any] = {"sessions": set(), "rated": None, "alerts": 0, "reports": set()}
        return found.setdefault(subject, empty)

    for paths in find_records(root):
        of(paths.subject)["sessions"].add(paths.session)
    for folder in root.glob("sub-*/ses-*"):
        of(folder.parent.name[4:])["sessions"].add(folder.name[4:])
    for report in root.glob("derivatives/tacs/sub-*/ses-*/*_report.html"):
        of(report.parent.parent.name[4:])["reports"].add(report.parent.name[4:])
    entries = _entries(dataset)
    for entry in entries:
        if entry.subject is not None:
            row = of(entry.subject)
            if entry.kind == "rating":
                row["rated"] = max(row["rated"] or "", str(entry.data["at"]))
    for alert in alerts_in(entries):
        of(str(alert.entry.subject))["alerts"] += 1
    return [
        {
            "subject": subject,
            "sessions": sorted(row["sessions"]),
            "last_rating": row["rated"],
            "open_alerts": row["alerts"],
            "reports": sorted(row["reports"]),
        }
        for subject, row in sorted(found.items())
    ]


def timeline_of(dataset: str, subject: str) -> dict[str, Any] | None:
    """Return a person's course with its words, or None where there is nothing of them."""
    from tacs.track import track
    from tacs.track_words import track_words

    root = Path(dataset)
    places = (root, root / "sourcedata" / "tacs", root / "derivatives" / "tacs")
    if not any((folder / f"sub-{subject}").is_dir() for folder in places) and not any(
        entry.subject == subject for entry in _entries(dataset)
    ):
        return None
    found = track(dataset, subject)
    return {**found.to_dict(), "words": track_words(found)}


def alerts_of(dataset: str) -> list[dict[str, Any]]:
    """Return the alerts that nobody has acknowledged."""
    return [_told(alert) for alert in alerts_in(_entries(dataset))]


def audit_of(dataset: str, offset: int, limit: int | None) -> dict[str, Any]:
    """Return the audit trail, newest first, or all of it as it was written."""
    entries = Journal(dataset).entries()
    _kept.clear()
    shown = entries if limit is None else entries[::-1][offset : offset + limit]
    return {
        "entries": [{k: v for k, v in asdict(e).items() if k != "data"} for e in shown],
        "total": len(entries),
        "verified": True,
        "head": entries[-1].hash if entries else Journal(dataset).head(),
    }


def day_passed(dataset: str) -> bool:
    """Whether the checks of the day have been passed."""
    from tacs.people import day_checks

    return day_checks(dataset, now=utc_now()) is not None


# -- entering -------------------------------------------------------------------------------------


def rated(
    dataset: str, subject: str, new: Mapping[str, Any], name: str, role: str
) -> dict[str, Any]:
    """Keep a rating; return it with the alerts of this person that are open."""
    from tacs.scales import load_scale

    now = utc_now()
    rating = rate(
        dataset,
        load_scale(new["scale"]),
        {int(number): value for number, value in new["items"].items()},
        subject=subject,
        session=new["session"],
        at=parse_when(new["at"], now, "at"),
        now=now,
        operator=name,
        role=role,
        rater_blinded=new["rater_blinded"],
        method="page",
        corrects=new["corrects"],
    )
    mine = [entry for entry in _entries(dataset) if entry.subject == subject]
    return {"rating": rating.to_dict(), "alerts": [_told(alert) for alert in alerts_in(mine)]}


def acknowledged(
    dataset: str, hashes: Sequence[str], done: str, name: str, role: str
) -> list[dict[str, Any]] | None:
    """Acknowledge alerts; return those still open, or None where one of them was not."""
    found = [a for a in alerts_in(Journal(dataset).entries()) if a.entry.hash in hashes]
    if len(found) < len(set(hashes)):
        return None
    acknowledge(dataset, found, name=name, role=role, done=done)
    return alerts_of(dataset)


def filled(
    dataset: str, subject: str, kind: str, new: Mapping[str, Any], name: str, role: str
) -> dict[str, Any]:
    """Keep a form; return its entry, and what it means for the session."""
    from tacs.errors import InputError
    from tacs.form_entry import sign_as
    from tacs.forms import shipped_form

    form = shipped_form(FORMS[kind])
    more: dict[str, Any] = {}
    if kind == "recheck":
        form = form.part(daily=True, name="recheck", title="Questions of the day")
    if kind == "preflight" and day_passed(dataset):
        day = {item.id for item in form.part(daily=True).items}
        form = form if day & new["answers"].keys() else form.part(daily=False)
    if form.times:
        form = form.at(new["when"] or "")
        more["when"] = new["when"]
    elif new["when"]:
        raise InputError(f"{kind}: has no times; leave `when` out")
    ensure_dataset(dataset)
    signed = sign_as(form, new["answers"], f"form {form.id}", operator=name, role=role)
    book = Journal(dataset)
    corrected = book.find(new["corrects"]) if new["corrects"] else None
    made = book.append(
        kind,
        {**signed.to_dict(), "signed": "page", **more},
        operator=signed.operator,
        role=signed.role,
        subject=subject,
        session=new["session"],
        corrects=None if corrected is None else corrected.hash,
    )
    told = _meaning(dataset, kind, subject, new["session"], made.data)
    return {"entry": made.to_dict(), "told": told}


def _meaning(
    dataset: str, kind: str, subject: str, session: str | None, data: Mapping[str, Any]
) -> list[str]:
    """What the answers mean for the session, in the words of the commands."""
    from tacs.people import open_items, people_breaches

    if kind in {"screening", "recheck"}:
        found = open_items(dataset, subject=subject, now=utc_now())
        lines = [f"not cleared: {o.item.title}: {o.value}" for o in found]
        return [*lines, "an investigator decides with `tacs override`"] if lines else ["cleared"]
    if kind == "preflight":
        missing = people_breaches(
            dataset, subject=subject, session=session or "", now=utc_now(), required=("preflight",)
        )
        return [f"not passed: {breach}" for breach in missing] or ["every check passed"]
    serious = data["answers"].get("serious", "no")
    if kind == "adverse_effects" and serious != "no":
        return [f"serious event: {serious}; tell the investigator now"]
    return ["kept"]


def written_report(dataset: str, subject: str, session: str, site: str) -> str:
    """Write a session's report; return its path."""
    import matplotlib as mpl

    from tacs.report import write_report

    mpl.use("Agg")
    return str(write_report(dataset, subject, session, site=Path(site)))
