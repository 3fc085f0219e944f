"""A data set as tables: every row follows from the journal, the run records and the derivatives.

No row is made here that is not on disk elsewhere, and none depends on when it was made: the same
data set gives the same rows. Of a blinded session only what every arm has in common is taken: no
dose, no waveform, no prediction; identifiers that recognise a person stay in the journal.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tacs.course import Courses
from tacs.dataset import SessionPaths, check_label, find_records
from tacs.decisions import decision_of
from tacs.errors import InputError, TacsError
from tacs.journal import Entry, Journal
from tacs.projection_cache import RecordCache
from tacs.ratings import alerts_in, rating_of
from tacs.record import GENESIS
from tacs.report_record import RecordView
from tacs.scales import Scale
from tacs.sitelog import site_folder
from tacs.waveform import Waveform

__all__ = ["COLUMNS", "KEYS", "SCHEMA", "Projection", "noted_words", "project"]

SCHEMA = 2
JSON_MAX_BYTES = 64 * 1024 * 1024

# Columns of every table; the first ones, as many as KEYS says, are its key.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "meta": ("name", "value"),
    "subjects": ("subject",),
    "operators": ("name", "role"),
    "courses": (
        "subject", "emulated", "schedule", "start", "time_zone", "enrolled_by",
    ),
    "course_events": (
        "subject", "emulated", "number", "at_utc", "kind", "operator", "role", "reason", "noted",
    ),
    "decisions": (
        "entry", "subject", "session", "at_utc", "choice", "verdict", "planned_hz", "measured_hz",
        "ci_low_hz", "ci_high_hz", "mismatch_hz", "limit_hz", "frequency_hz", "reason",
        "operator", "role", "corrected_by",
    ),
    "sessions": (
        "subject", "session", "began_utc", "outcome", "cause", "blinded", "emulated", "device",
        "waveform", "protocol_sha256", "operator", "record_head", "record_verifies",
    ),
    "peaks": (
        "subject", "session", "measured_utc", "status", "frequency_hz", "ci_low_hz", "ci_high_hz",
        "band_low_hz", "band_high_hz", "prominence_db", "replication", "method",
        "recording_sha256",
    ),
    "doses": (
        "subject", "session", "what", "duration_s", "frequency_hz", "current_peak_ma",
        "rectified_charge_c", "source",
    ),
    "outcomes": (
        "subject", "session", "ln_ratio", "percent", "ci_low_percent", "ci_high_percent", "p",
        "adjusted_ln_ratio", "band_low_hz", "band_high_hz", "direction", "expected_direction",
        "as_predicted", "peak_shift_hz", "imcoh_matched_change", "decay_w0",
        "decay_w0_low", "decay_w0_high", "decay_tau_min", "decay_reason", "file_sha256",
    ),
    "after_effects": (
        "subject", "session", "number", "from_min", "to_min", "percent", "ci_low_percent",
        "ci_high_percent",
    ),
    "ratings": (
        "entry", "subject", "session", "scale", "scale_version", "scale_sha256", "at_utc",
        "total", "prorated", "n_missing", "band", "in_remission", "rater_blinded", "operator",
        "role", "corrects", "corrected_by",
    ),
    "rating_items": ("entry", "item", "answer"),
    "alerts": (
        "entry", "item", "answer", "subject", "acknowledged_by", "acknowledged_role",
        "acknowledged_utc",
    ),
    "forms": (
        "entry", "kind", "subject", "session", "utc", "form", "form_version", "occasion",
        "operator", "role", "corrected_by",
    ),
    "form_answers": ("entry", "item", "answer"),
    "audit": (
        "seq", "utc", "kind", "subject", "session", "operator", "role", "corrects", "hash",
    ),
    "problems": ("number", "where", "what"),
}  # fmt: skip
KEYS: Mapping[str, int] = {
    "meta": 1, "subjects": 1, "operators": 2, "courses": 2, "course_events": 3, "sessions": 2,
    "peaks": 2, "decisions": 1, "doses": 3, "outcomes": 2, "after_effects": 3, "ratings": 1,
    "rating_items": 2, "alerts": 2, "forms": 1, "form_answers": 2, "audit": 1, "problems": 1,
}  # fmt: skip
FORM_KINDS = ("screening", "recheck", "consent", "adverse_effects")

Value = str | int | float | None
Row = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Projection:
    """The rows of every table, sorted by their keys.

    Parameters
    ----------
    tables : mapping of str to tuple of tuple
        By table, columns as in :data:`COLUMNS`.
    """

    tables: Mapping[str, tuple[Row, ...]]

    def rows(self, table: str, **equal: Value) -> list[dict[str, Value]]:
        """Return rows of a table as mappings, those with the given values only."""
        names = COLUMNS[table]
        found = [dict(zip(names, row, strict=True)) for row in self.tables[table]]
        return [row for row in found if all(row[k] == v for k, v in equal.items())]

    def digest(self) -> str:
        """Hash over every row of every table."""
        text = json.dumps(self.tables, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(slots=True)
class _Rows:
    """Rows while they are being collected."""

    tables: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    sessions: dict[tuple[str, str], dict[str, Value]] = field(default_factory=dict)
    subjects: set[str] = field(default_factory=set)
    operators: set[tuple[str, str]] = field(default_factory=set)
    scales: dict[str, Scale] = field(default_factory=dict)

    def add(self, table: str, **values: Value) -> None:
        names = COLUMNS[table]
        if values.keys() != set(names):
            raise ValueError(f"{table}: {sorted(set(names) ^ values.keys())}")
        self.tables[table].append(tuple(values[name] for name in names))

    def problem(self, where: str, what: object) -> None:
        text = " ".join(str(what).split())
        self.add("problems", number=len(self.tables["problems"]), where=where, what=text[:500])

    def session(self, subject: str, session: str) -> dict[str, Value]:
        """Row of a session, made where there is none yet."""
        self.subjects.add(subject)
        if (subject, session) not in self.sessions:
            empty: dict[str, Value] = dict.fromkeys(COLUMNS["sessions"])
            self.sessions[subject, session] = {**empty, "subject": subject, "session": session}
        return self.sessions[subject, session]

    def done(self) -> Projection:
        for values in self.sessions.values():
            self.add("sessions", **values)
        for subject in self.subjects:
            self.add("subjects", subject=subject)
        for name, role in self.operators:
            self.add("operators", name=name, role=role)
        return Projection(
            {
                table: tuple(sorted(rows, key=lambda row, n=KEYS[table]: row[:n]))  # type: ignore[misc]
                for table, rows in self.tables.items()
            }
        )


def project(
    dataset: str | Path,
    subject: str | None = None,
    *,
    site: Path | None = None,
    use_cache: bool = True,
) -> Projection:
    """Return a data set as tables.

    Parameters
    ----------
    dataset : path
        The data set; the courses come from the site's folder.
    subject : str, optional
        Read this person only; the audit trail stays whole.
    site : Path, optional
        The site's folder; :func:`tacs.sitelog.site_folder` where left out.
    use_cache : bool
        Whether a record that is the same to the byte as when it was last verified is taken as it
        was read then (:mod:`tacs.projection_cache`).

    Returns
    -------
    Projection
        What cannot be read is a row of ``problems`` and no other.

    Raises
    ------
    InputError
        No such data set.
    RecordError
        The journal, or the site's file of courses, does not verify.
    """
    records = find_records(dataset)
    root = Path(dataset)
    rows = _Rows()
    entries = Journal(root).entries()
    _journal(rows, entries, subject)
    folder = site_folder() if site is None else site
    cache = RecordCache(root, folder, f"{SCHEMA}", use=use_cache)
    for paths in records:
        if subject in {None, paths.subject}:
            _record(rows, paths, cache)
    cache.save()
    for paths in _derived(root, rows, subject):
        _peak(rows, paths)
        _outcome(rows, paths)
    _courses(rows, site)
    for name, value in (("schema", str(SCHEMA)), ("dataset", root.resolve().name),
                        ("journal_head", entries[-1].hash if entries else GENESIS)):  # fmt: skip
        rows.add("meta", name=name, value=value)
    return rows.done()


def _journal(rows: _Rows, entries: Sequence[Entry], wanted: str | None) -> None:
    corrected = {e.corrects: e.hash for e in entries if e.corrects is not None}
    acknowledged = {
        one: entry
        for entry in entries
        if entry.kind == "alert_acknowledged"
        for one in entry.data["entries"]
    }
    still_open = {alert.entry.hash for alert in alerts_in(entries)}
    for entry in entries:
        rows.operators.add((entry.operator, entry.role))
        if entry.subject is not None:
            rows.subjects.add(entry.subject)
            if entry.session is not None:
                rows.session(entry.subject, entry.session)
        rows.add(
            "audit", seq=entry.seq, utc=_utc(entry.at), kind=entry.kind, subject=entry.subject,
            session=entry.session, operator=entry.operator, role=entry.role,
            corrects=entry.corrects, hash=entry.hash,
        )  # fmt: skip
        if wanted not in {None, entry.subject}:
            continue
        if entry.kind == "rating":
            seen = None if entry.hash in still_open else acknowledged.get(entry.hash)
            _rating(rows, entry, corrected.get(entry.hash), seen)
        elif entry.kind in FORM_KINDS:
            _form(rows, entry, corrected.get(entry.hash))
        elif entry.kind == "frequency_decision":
            _decision(rows, entry, corrected.get(entry.hash))


def _rating(rows: _Rows, entry: Entry, corrected_by: str | None, seen: Entry | None) -> None:
    data = entry.data
    try:
        rating = rating_of(entry, rows.scales)
    except TacsError as exc:
        rows.problem(f"journal entry {entry.hash[:8]}", exc)
        return
    scored = rating.score
    rows.add(
        "ratings", entry=entry.hash, subject=entry.subject, session=entry.session,
        scale=scored.scale, scale_version=str(data["scale_version"]),
        scale_sha256=str(data["scale_sha256"]), at_utc=_utc(rating.at), total=scored.total,
        prorated=int(scored.prorated), n_missing=len(scored.missing), band=scored.band,
        in_remission=_flag(scored.in_remission), rater_blinded=rating.rater_blinded,
        operator=entry.operator, role=entry.role, corrects=entry.corrects,
        corrected_by=corrected_by,
    )  # fmt: skip
    for item, answer in scored.items.items():
        rows.add("rating_items", entry=entry.hash, item=item, answer=answer)
    # An alert is what was raised on the day, not what today's scale file would raise.
    for item_text, answer in data["alerts"].items():
        rows.add(
            "alerts", entry=entry.hash, item=int(item_text), answer=answer, subject=entry.subject,
            acknowledged_by=None if seen is None else seen.operator,
            acknowledged_role=None if seen is None else seen.role,
            acknowledged_utc=None if seen is None else _utc(seen.at),
        )  # fmt: skip


def _form(rows: _Rows, entry: Entry, corrected_by: str | None) -> None:
    data = entry.data
    rows.add(
        "forms", entry=entry.hash, kind=entry.kind, subject=entry.subject, session=entry.session,
        utc=_utc(entry.at), form=_text(data.get("form")), form_version=_text(data.get("version")),
        occasion=_text(data.get("when")), operator=entry.operator, role=entry.role,
        corrected_by=corrected_by,
    )  # fmt: skip
    for item, answer in data.get("answers", {}).items():
        rows.add("form_answers", entry=entry.hash, item=str(item), answer=_text(answer))


def _decision(rows: _Rows, entry: Entry, corrected_by: str | None) -> None:
    try:
        made = decision_of(entry)
    except (KeyError, TypeError, ValueError):
        rows.problem(f"journal entry {entry.hash[:8]}", "holds no decision")
        return
    low, high = made.ci95_hz or (None, None)
    rows.add(
        "decisions", entry=entry.hash, subject=made.subject, session=made.session,
        at_utc=_utc(made.at), choice=made.choice, verdict=made.verdict,
        planned_hz=made.planned_hz, measured_hz=_number(made.measured_hz), ci_low_hz=low,
        ci_high_hz=high, mismatch_hz=_number(made.mismatch_hz), limit_hz=_number(made.limit_hz),
        frequency_hz=made.frequency_hz, reason=made.reason, operator=made.operator,
        role=made.role, corrected_by=corrected_by,
    )  # fmt: skip


def _record(rows: _Rows, paths: SessionPaths, cache: RecordCache) -> None:
    """A session's row and doses from its record, as it was read or as it is kept."""
    facts = cache.facts(paths.record, paths.subject, lambda: _record_facts(paths))
    rows.session(paths.subject, paths.session).update(facts["session"])
    for problem in facts["problems"]:
        rows.problem(paths.relative.as_posix(), problem)
    if facts["operator"] is not None:
        rows.operators.add((facts["operator"][0], facts["operator"][1]))
    for dose in facts["doses"]:
        rows.add("doses", subject=paths.subject, session=paths.session, **dose)


def _record_facts(paths: SessionPaths) -> dict[str, Any]:
    """What the tables need of a record, every line of it verified; plain JSON types."""
    empty: dict[str, Any] = {"problems": [], "operator": None, "doses": []}
    try:
        view = RecordView(paths.record)
    except (TacsError, OSError) as exc:
        return {**empty, "session": {"blinded": 1, "record_verifies": 0}, "problems": [str(exc)]}
    problems = [] if view.problem is None else [f"record: {view.problem}"]
    hidden, began = view.blinded, view.began
    operator, role = str(view.first.get("operator") or ""), str(view.first.get("role") or "")
    session: dict[str, Value] = {
        "began_utc": None if began is None else _utc(began),
        "outcome": view.outcome,
        "cause": view.cause,
        "blinded": int(hidden),
        "emulated": _flag(view.first.get("emulated")),
        "device": _text(view.first.get("device")),
        "operator": operator or None,
        "record_head": view.head,
        "record_verifies": int(view.problem is None),
    }
    found = {
        **empty,
        "session": session,
        "problems": problems,
        "operator": [operator, role] if operator and role else None,
    }
    if hidden:
        return found
    session["protocol_sha256"] = _text(view.first.get("protocol_sha256"))
    doses: list[dict[str, Value]] = []
    protocol = view.protocol
    if protocol is not None:
        session["waveform"] = str(protocol.waveform)
        wave = Waveform(protocol)
        doses.append(
            {
                "what": "planned",
                "duration_s": protocol.duration_s,
                "frequency_hz": protocol.frequency_hz,
                "current_peak_ma": max(wave.peak_ma(name) for name in wave.electrodes),
                "rectified_charge_c": max(
                    wave.rectified_charge_c(name) for name in wave.electrodes
                ),
                "source": "protocol",
            }
        )
    delivered = None if view.end is None else view.end.get("delivered")
    if isinstance(delivered, Mapping):
        numbers = ("duration_s", "frequency_hz", "current_peak_ma", "rectified_charge_c")
        doses.append(
            {
                "what": "delivered",
                **{name: _number(delivered.get(name)) for name in numbers},
                "source": _text(delivered.get("source")),
            }
        )
    return {**found, "doses": doses}


def _derived(root: Path, rows: _Rows, wanted: str | None) -> Iterator[SessionPaths]:
    """Sessions with a folder, whether or not they have a record."""
    found = set()
    for base in (root / "derivatives" / "tacs", root):
        for folder in base.glob(f"sub-{wanted or '*'}/ses-*"):
            found.add((folder.parent.name[4:], folder.name[4:]))
    for subject, session in sorted(found):
        try:
            check_label(subject, "subject")
            check_label(session, "session")
        except InputError as exc:
            rows.problem(f"sub-{subject}/ses-{session}", exc)
            continue
        rows.session(subject, session)
        yield SessionPaths(root, subject, session)


def _peak(rows: _Rows, paths: SessionPaths) -> None:
    data = _json(rows, paths, paths.peak)
    if data is None:
        return
    low, high = _pair(data.get("ci95_hz"))
    band_low, band_high = _pair(data.get("band_hz"))
    rows.add(
        "peaks", subject=paths.subject, session=paths.session,
        measured_utc=_when(data.get("measured_at")), status=_text(data.get("status")),
        frequency_hz=_number(data.get("frequency_hz")), ci_low_hz=low, ci_high_hz=high,
        band_low_hz=band_low, band_high_hz=band_high,
        prominence_db=_number(data.get("prominence_db")),
        replication=_flag(data.get("replication")), method=_text(data.get("method")),
        recording_sha256=_text(data.get("recording_sha256")),
    )  # fmt: skip


def _outcome(rows: _Rows, paths: SessionPaths) -> None:
    data = _json(rows, paths, paths.outcome)
    if data is None:
        return
    power = data.get("power")
    if not isinstance(power, Mapping):
        rows.problem(paths.outcome.name, "holds no power")
        return
    # What rests on the protocol may tell the arm of a blinded session.
    hidden = rows.session(paths.subject, paths.session)["blinded"] == 1
    low, high = _pair(power.get("ci95_percent"))
    band_low, band_high = _pair(power.get("band_hz"))
    coherence_change = _at(data, "connectivity", "imcoh", "power_matched_change")
    decay = _at(data, "time_course", "decay")
    w0_low, w0_high = _pair(_at(decay, "w0_ci95"))
    rows.add(
        "outcomes", subject=paths.subject, session=paths.session,
        ln_ratio=_number(power.get("ln_ratio")), percent=_number(power.get("percent")),
        ci_low_percent=low, ci_high_percent=high, p=_number(power.get("p")),
        adjusted_ln_ratio=_number(_at(power, "adjusted", "ln_ratio")), band_low_hz=band_low,
        band_high_hz=band_high, direction=_text(data.get("direction")),
        expected_direction=None if hidden else _text(data.get("expected_direction")),
        as_predicted=None if hidden else _flag(data.get("as_predicted")),
        peak_shift_hz=_number(data.get("peak_shift_hz")),
        imcoh_matched_change=_number(coherence_change), decay_w0=_number(_at(decay, "w0")),
        decay_w0_low=w0_low, decay_w0_high=w0_high, decay_tau_min=_number(_at(decay, "tau_min")),
        decay_reason=_text(_at(decay, "reason")),
        file_sha256=hashlib.sha256(paths.outcome.read_bytes()).hexdigest(),
    )  # fmt: skip
    # Without the minutes from the end of the current the bins have no place in time.
    if _at(data, "time_course", "start_known") is True:
        _after_effects(rows, paths, _at(data, "time_course", "bins"))


def _courses(rows: _Rows, site: Path | None) -> None:
    """Courses of the people of this data set, from the site's folder."""
    for emulated in (False, True):
        for subject, course in Courses(site, emulated=emulated).everybody().items():
            if subject not in rows.subjects:
                continue
            rows.add(
                "courses", subject=subject, emulated=int(emulated), schedule=course.schedule.name,
                start=course.start.isoformat(), time_zone=course.time_zone,
                enrolled_by=course.enrolled_by,
            )  # fmt: skip
            for number, entry in enumerate(course.entries):
                rows.add(
                    "course_events", subject=subject, emulated=int(emulated), number=number,
                    at_utc=_utc(entry.at), kind=entry.kind,
                    operator=_text(entry.data.get("operator")),
                    role=_text(entry.data.get("role")), reason=_text(entry.data.get("reason")),
                    noted=noted_words(entry.data),
                )  # fmt: skip


def _after_effects(rows: _Rows, paths: SessionPaths, bins: Any) -> None:
    """Power in the bins of time after a session, where recordings at known times were compared."""
    for number, one in enumerate(bins if isinstance(bins, list) else []):
        low, high = _pair(_at(one, "ci95_percent"))
        rows.add(
            "after_effects", subject=paths.subject, session=paths.session, number=number,
            from_min=_number(_at(one, "from_min")), to_min=_number(_at(one, "to_min")),
            percent=_number(_at(one, "percent")), ci_low_percent=low, ci_high_percent=high,
        )  # fmt: skip


def noted_words(data: Mapping[str, Any]) -> str | None:
    """Return what a note of a course says, in words; None where it is no note."""
    told = []
    if (severity := data.get("adverse_event")) is not None:
        told.append(f"{severity} adverse event")
    if (nrs := data.get("discomfort_nrs")) is not None:
        told.append(f"discomfort {nrs:g}")
    if (rating := data.get("rating")) is not None:
        told.append(f"{rating['instrument']} {rating['value']:g}")
    return ", ".join(told) or None


def _json(rows: _Rows, paths: SessionPaths, path: Path) -> Mapping[str, Any] | None:
    """A file of a session's derivatives; None where it is absent or cannot be read."""
    if not path.exists():
        return None
    try:
        if path.stat().st_size > JSON_MAX_BYTES:
            raise ValueError("is larger than any result")
        data = json.loads(path.read_bytes())
        if not isinstance(data, dict):
            raise ValueError("is not an object")
    except (OSError, ValueError, RecursionError) as exc:
        rows.problem((paths.relative / path.name).as_posix(), exc)
        return None
    return data


def _at(data: Mapping[str, Any], *names: str) -> Any:
    value: Any = data
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _number(value: Any) -> float | None:
    """A finite number; anything else is none."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None


def _pair(value: Any) -> tuple[float | None, float | None]:
    if isinstance(value, list) and len(value) == 2:
        return _number(value[0]), _number(value[1])
    return None, None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _flag(value: Any) -> int | None:
    return int(value) if isinstance(value, bool) else None


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


def _when(value: Any) -> str | None:
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return _utc(at) if at.tzinfo is not None else None
