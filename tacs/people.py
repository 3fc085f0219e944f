"""What people have to have asked, answered and signed before current may flow through a person.

Everything is read from the data set's journal. Whatever is missing, old, not cleared or not known
is a breach, in the same form as a broken limit, with the command that mends it. "Today" is the last
12 hours: the same everywhere on earth, across midnight and across a change of the clocks. An entry
dated in the future is never fresh.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tacs.clearing import (
    SCREENING_VALID_D,
    TODAY_H,
    OpenItem,
    View,
    answers_of,
    open_answers,
    open_events,
    unseen_alerts,
    when_of,
)
from tacs.errors import InputError
from tacs.forms import shipped_form
from tacs.identity import RULE, check_identifiers
from tacs.journal import Entry
from tacs.limits import LIMITS
from tacs.people_cautions import cautions_of_people, cautions_seen
from tacs.record import GENESIS
from tacs.safety import Breach

__all__ = [
    "REQUIREMENTS",
    "OpenItem",
    "Readiness",
    "cautions_of_people",
    "check_identifiers",
    "day_checks",
    "open_items",
    "people_breaches",
    "session_ready",
]

IDENTITY_VALID_MIN = 60.0
DUMMY_LOAD_TOLERANCE = 0.1  # of the current that was set; a tenth is what stops a session, too
SUITE = "tacs-suite, engineering judgement"
ANTAL_2026 = "Antal et al. 2026: screening and adverse-effect forms in every controlled study"

REQUIREMENTS: Mapping[str, str] = {
    "screening": "a screening form, cleared item by item",
    "recheck": "the questions of the day",
    "consent": "consent, on the site's current sheet",
    "preflight": "the checks of the day and of the session",
    "adverse_before": "unwanted effects before the session",
    "serious_event": "no serious event that nobody has decided on",
    "suicidality_alert": "no suicidality alert that nobody has acknowledged",
    "identity": "two identifiers typed again",
    "age": "of age, where the year of birth was entered",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether a session may begin, as far as people are concerned.

    Parameters
    ----------
    breaches : tuple of Breach
        What speaks against it.
    cautions : tuple of str
        What to know before arming.
    journal_head : str
        Hash of the journal's last entry; kept in the run record, it shows that nothing was cut off.
    entries : mapping of str to str
        By kind, the hash of the entry that was relied on.
    """

    breaches: tuple[Breach, ...]
    cautions: tuple[str, ...]
    journal_head: str
    entries: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.breaches

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "ok": self.ok,
            "breaches": [breach.to_dict() for breach in self.breaches],
            "cautions": list(self.cautions),
            "journal_head": self.journal_head,
            "entries": dict(self.entries),
        }


def people_breaches(
    dataset: str | Path,
    *,
    subject: str,
    session: str,
    now: datetime,
    required: Collection[str] = tuple(REQUIREMENTS),
    consent_version: str | None = None,
    age_limit_y: float = LIMITS["age_y"].default,
) -> list[Breach]:
    """List what people have not done that has to be done before this session.

    Parameters
    ----------
    dataset : path
        BIDS data set; without a journal everything is missing.
    subject, session : str
        BIDS labels.
    now : datetime
        Time zone aware.
    required : collection of str
        Names from :data:`REQUIREMENTS`; a rehearsal on an emulated device may need none.
    consent_version : str, optional
        Of the sheet that the site uses now; without one any version will do.
    age_limit_y : float
        Youngest age in years.

    Returns
    -------
    list of Breach
        In the order of :data:`REQUIREMENTS`; empty where all is done.

    Raises
    ------
    InputError
        Not a label, or no such requirement.
    RecordError
        The journal does not verify.
    """
    view = View.of(dataset, subject, session, now)
    return _breaches(view, required, consent_version, age_limit_y)


def session_ready(
    dataset: str | Path,
    *,
    subject: str,
    session: str,
    now: datetime,
    required: Collection[str] = tuple(REQUIREMENTS),
    consent_version: str | None = None,
    age_limit_y: float = LIMITS["age_y"].default,
) -> Readiness:
    """Summarise what :func:`people_breaches` and :func:`cautions_of_people` find.

    Parameters
    ----------
    dataset, subject, session, now, required, consent_version, age_limit_y
        As for :func:`people_breaches`.

    Returns
    -------
    Readiness
        To be shown before arming and kept in the run record.

    Raises
    ------
    InputError
        Not a label, or no such requirement.
    RecordError
        The journal does not verify.
    """
    view = View.of(dataset, subject, session, now)
    relied_on = {
        "screening": view.last("screening"),
        "recheck": view.last("screening", "recheck"),
        "consent": view.last("consent"),
        "preflight": view.last("preflight", session=True),
        "adverse_effects": view.last("adverse_effects", session=True),
        "identifiers": view.last("identifiers"),
        "identity_check": view.last("identity_check", session=True),
    }
    return Readiness(
        breaches=tuple(_breaches(view, required, consent_version, age_limit_y)),
        cautions=tuple(cautions_seen(view, consent_version)),
        journal_head=view.entries[-1].hash if view.entries else GENESIS,
        entries={name: entry.hash for name, entry in relied_on.items() if entry is not None},
    )


def open_items(dataset: str | Path, *, subject: str, now: datetime) -> list[OpenItem]:
    """Return the answers of a participant that an investigator has to decide on.

    Parameters
    ----------
    dataset : path
        BIDS data set.
    subject : str
        BIDS label.
    now : datetime
        Time zone aware.

    Raises
    ------
    InputError
        Not a label.
    RecordError
        The journal does not verify.
    """
    view = View.of(dataset, subject, None, now)
    return open_answers(view, daily=False) + open_answers(view, daily=True) + open_events(view)


def day_checks(dataset: str | Path, *, now: datetime) -> Entry | None:
    """Return the pre-flight entry that holds for the day, or None where there is none that passed.

    Parameters
    ----------
    dataset : path
        BIDS data set.
    now : datetime
        Time zone aware.

    Raises
    ------
    RecordError
        The journal does not verify.
    """
    view = View.of(dataset, None, None, now)
    entry = _day_entry(view)
    if entry is None or not view.within(entry, TODAY_H) or _failed_checks(view, entry, daily=True):
        return None
    return entry


def _breaches(
    view: View, required: Collection[str], consent_version: str | None, age_limit_y: float
) -> list[Breach]:
    """What is missing of what is required."""
    unknown = sorted(set(required) - set(REQUIREMENTS))
    if unknown:
        raise InputError(
            f"required: no such requirement {', '.join(unknown)}; there are: "
            f"{', '.join(REQUIREMENTS)}"
        )
    found = {
        "screening": lambda: _screening_breaches(view),
        "recheck": lambda: _recheck_breaches(view),
        "consent": lambda: _consent_breaches(view, consent_version),
        "preflight": lambda: _preflight_breaches(view),
        "adverse_before": lambda: _adverse_breaches(view),
        "serious_event": lambda: [_open_breach(view, o) for o in open_events(view)],
        "suicidality_alert": lambda: _alert_breaches(view),
        "identity": lambda: _identity_breaches(view),
        "age": lambda: _age_breaches(view, age_limit_y),
    }
    return [breach for name in REQUIREMENTS if name in required for breach in found[name]()]


def _breach(limit: str, value: str, allowed: str, source: str, where: str) -> Breach:
    return Breach(limit=limit, value=value, allowed=allowed, unit="", source=source, where=where)


def _old_or_missing(
    view: View, entry: Entry | None, hours: float, limit: str, allowed: str, source: str, mend: str
) -> list[Breach]:
    """The breach of an entry that is not there or not fresh; empty where it is."""
    if entry is None:
        return [_breach(limit, "none", allowed, source, mend)]
    if view.within(entry, hours):
        return []
    when = f"of {entry.at:%Y-%m-%d %H:%M %Z}"
    if entry.at > view.now:
        return [
            _breach(
                limit, when, allowed, source, f"it is dated in the future: set the clock; {mend}"
            )
        ]
    return [_breach(limit, when, allowed, source, mend)]


def _open_breach(view: View, found: OpenItem) -> Breach:
    form = shipped_form("adverse_effects" if found.entry.kind == "adverse_effects" else "screening")
    decide = f"an investigator decides with {view.command('override')}"
    again = "" if found.hard else f", or answer again with {view.command('screen')}"
    if found.entry.kind == "recheck" and not found.hard:
        again = f", or answer again with {view.command('screen', '--today')}"
    if found.entry.kind == "adverse_effects":
        again = ""
    who = "; not the one who took the form" if found.item.second_person else ""
    return _breach(
        f"{form.id}_hard_block" if found.hard else f"{form.id}_item",
        found.value,
        " or ".join(str(value) for value in found.item.clear),
        f"form {form.id}, version {form.version}",
        f"{found.item.id}, {found.item.title}, {found.entry.at:%Y-%m-%d}; {decide}{who}{again}",
    )


# -- one requirement each -------------------------------------------------------------------------


def _screening_breaches(view: View) -> list[Breach]:
    allowed = f"one of the last {SCREENING_VALID_D:g} days"
    missing = _old_or_missing(
        view,
        view.last("screening"),
        24.0 * SCREENING_VALID_D,
        "screening",
        allowed,
        ANTAL_2026,
        f"subject {view.subject}; run {view.command('screen')}",
    )
    return missing + [_open_breach(view, item) for item in open_answers(view, daily=False)]


def _recheck_breaches(view: View) -> list[Breach]:
    missing = _old_or_missing(
        view,
        view.last("screening", "recheck"),
        TODAY_H,
        "recheck",
        f"one of the last {TODAY_H:g} h",
        SUITE,
        f"subject {view.subject}; run {view.command('screen', '--today')}",
    )
    return missing + [_open_breach(view, item) for item in open_answers(view, daily=True)]


def _consent_breaches(view: View, current: str | None) -> list[Breach]:
    mend = f"subject {view.subject}; run {view.command('consent')}"
    source = "nobody is stimulated without consent"
    entry = view.last("consent")
    if entry is None:
        return [_breach("consent", "none", "consent", source, mend)]
    answers = answers_of(entry)
    if answers.get("agrees") != "yes":
        value = f"{answers.get('agrees')}, {entry.at:%Y-%m-%d}"
        return [_breach("consent", value, "yes", source, mend)]
    found = []
    version, signed_on = str(answers.get("sheet_version")), str(answers.get("signed_on"))
    if current is not None and version != current.strip():
        found.append(_breach("consent_version", version, current.strip(), "site setting", mend))
    # A day ahead is possible where the sheet was signed east of the clock's time zone.
    latest = (view.now + timedelta(days=1)).date().isoformat()
    if not signed_on <= latest:
        found.append(_breach("consent_date", signed_on, f"not after {latest}", source, mend))
    return found


def _day_entry(view: View) -> Entry | None:
    """The last pre-flight entry of the data set with checks of the day."""
    names = {item.id for item in shipped_form("preflight").part(daily=True).items}
    found = [
        e
        for e in view.entries
        if e.kind == "preflight" and e.hash not in view.corrected and names & set(answers_of(e))
    ]
    return found[-1] if found else None


def _preflight_breaches(view: View) -> list[Breach]:
    found = []
    for daily, entry, what in (
        (True, _day_entry(view), "the checks of the day"),
        (False, view.last("preflight", session=True), "the checks of the session"),
    ):
        missing = _old_or_missing(
            view,
            entry,
            TODAY_H,
            "preflight",
            f"{what}, of the last {TODAY_H:g} h",
            "pre-flight checklist",
            f"{what}; run {view.command('preflight', session=True)}",
        )
        found += missing
        if entry is not None and not missing:
            found += _failed_checks(view, entry, daily=daily)
    return found


def _failed_checks(view: View, entry: Entry, *, daily: bool) -> list[Breach]:
    """Checks of an entry that did not pass, or were not answered."""
    form, answers = shipped_form("preflight"), answers_of(entry)
    mend = f"mend it, then run {view.command('preflight', session=True)}"
    found = []
    for item in form.part(daily=daily).questions:
        value = answers.get(item.id)
        if value is None or value in item.blocks:
            found.append(
                _breach(
                    "preflight_check",
                    "not answered" if value is None else str(value),
                    " or ".join(str(v) for v in item.clear) or item.expected(),
                    f"form {form.id}, version {form.version}",
                    f"{item.id}, {item.title}; {mend}",
                )
            )
    if daily:
        set_ma, read_ma = answers.get("dummy_load_set_ma"), answers.get("dummy_load_read_ma")
        if isinstance(set_ma, float | int) and isinstance(read_ma, float | int):
            share = DUMMY_LOAD_TOLERANCE
            if not (1.0 - share) * set_ma <= read_ma <= (1.0 + share) * set_ma:
                found.append(
                    Breach(
                        limit="preflight_dummy_load_ma",
                        value=float(read_ma),
                        allowed=f"{(1 - share) * set_ma:.4g} to {(1 + share) * set_ma:.4g}",
                        unit="mA",
                        source=SUITE,
                        where=f"{set_ma:g} mA peak set; calibrate, or mend the chain, then run "
                        f"{view.command('preflight', session=True)}",
                    )
                )
    return found


def _adverse_breaches(view: View) -> list[Breach]:
    before = [e for e in view.held("adverse_effects", session=True) if when_of(e) == "before"]
    return _old_or_missing(
        view,
        before[-1] if before else None,
        TODAY_H,
        "adverse_effects_before",
        f"one of this session, of the last {TODAY_H:g} h",
        ANTAL_2026,
        f"subject {view.subject}, session {view.session}; run "
        f"{view.command('adverse', '--when before', session=True)}",
    )


def _alert_breaches(view: View) -> list[Breach]:
    """A suicidality item answered so that somebody has to see it, and nobody has yet."""
    mine = [e for e in view.entries if e.subject == view.subject]
    found = []
    for entry in unseen_alerts(mine):
        items = ", ".join(f"item {n} = {value}" for n, value in entry.data["alerts"].items())
        command = (
            f"`tacs track acknowledge {shlex.quote(str(view.dataset))} --subject {view.subject} "
            f"--operator NAME --role ROLE`"
        )
        found.append(
            _breach(
                "suicidality_alert",
                f"{entry.data['scale']} {items}, {str(entry.data['at'])[:10]}",
                "acknowledged by name and role",
                SUITE,
                f"subject {view.subject}, journal entry {entry.hash[:8]}; follow your site's "
                f"procedure, then {command}",
            )
        )
    return found


def _identity_breaches(view: View) -> list[Breach]:
    mend = f"run {view.command('identify', session=True)}"
    if view.last("identifiers") is None:
        enrol = view.command("identify", "--enrol")
        return [_breach("identifiers", "none kept", "two or more", RULE, f"run {enrol}")]
    checks = [e for e in view.entries if e.kind == "identity_check"]
    last = checks[-1] if checks else None
    if last is not None and (last.subject, last.session) != (view.subject, view.session):
        mine = view.last("identity_check", session=True)
        if mine is not None and view.within(mine, IDENTITY_VALID_MIN / 60.0):
            return [
                _breach(
                    "participant_changed",
                    f"subject {last.subject}, session {last.session} since then",
                    f"subject {view.subject}, session {view.session}",
                    RULE,
                    mend,
                )
            ]
        last = mine
    missing = _old_or_missing(
        view,
        last,
        IDENTITY_VALID_MIN / 60.0,
        "identity",
        f"two identifiers typed in the last {IDENTITY_VALID_MIN:g} min",
        RULE,
        mend,
    )
    if missing or last is None:
        return missing
    if last.data.get("passed") is not True:
        return [_breach("identity", "did not match", "two identifiers that match", RULE, mend)]
    return []


def _age_breaches(view: View, age_limit_y: float) -> list[Breach]:
    entry = view.last("identifiers")
    told = None if entry is None else entry.data.get("age_at_least_y")
    if entry is None or told is None:
        return []
    since_y = max((view.now - entry.at).days // 366, 0)
    age_y = float(told) + since_y
    if age_y >= age_limit_y:
        return []
    return [
        Breach(
            limit="age_y",
            value=age_y,
            allowed=age_limit_y,
            unit=LIMITS["age_y"].unit,
            source=LIMITS["age_y"].source,
            where=f"subject {view.subject}, youngest possible from the year of birth; whoever has "
            f"had this year's birthday: {view.command('identify', '--enrol')} by an investigator",
        )
    ]
