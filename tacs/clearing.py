"""Answers that block, read from the journal as one participant's session sees it.

An item blocks where its last answer does not clear it. Answers that hard-block are not taken back
by filling in the form again: a later form that says otherwise leaves both to an investigator, who
decides with an override on that very entry, or corrects it.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tacs.dataset import check_label
from tacs.forms import Item, shipped_form
from tacs.journal import Entry, Journal
from tacs.safety_person import CLOCKS_DIFFER_D

__all__ = [
    "SCREENING_VALID_D",
    "TODAY_H",
    "OpenItem",
    "View",
    "answers_of",
    "open_answers",
    "open_events",
    "unseen_alerts",
    "when_of",
]

SCREENING_VALID_D = 90.0
TODAY_H = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenItem:
    """An answer that blocks, and that no investigator has decided on.

    Parameters
    ----------
    entry : Entry
        Where it was given.
    item : Item
        The question.
    value : str
        The answer; ``"not asked"`` where an older form lacks the question.
    hard : bool
        Whether filling in the form again is not enough.
    """

    entry: Entry
    item: Item
    value: str
    hard: bool

    def may_be_decided_by(self, name: str) -> bool:
        """Whether a person may sign the override, by name."""
        return not self.item.second_person or _person(name) != _person(self.entry.operator)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The journal as one participant's session sees it at one moment."""

    dataset: Path
    entries: Sequence[Entry]
    corrected: Collection[str | None]
    subject: str | None
    session: str | None
    now: datetime

    @classmethod
    def of(
        cls, dataset: str | Path, subject: str | None, session: str | None, now: datetime
    ) -> View:
        """Read the journal."""
        for label, what in ((subject, "subject"), (session, "session")):
            if label is not None:
                check_label(label, what)
        entries = Journal(dataset).entries()
        return cls(
            dataset=Path(dataset),
            entries=entries,
            corrected={entry.corrects for entry in entries},
            subject=subject,
            session=session,
            now=now,
        )

    def all(self, *kinds: str, session: bool = False) -> list[Entry]:
        """Entries of this participant, corrected ones included; of this session only."""
        return [
            e
            for e in self.entries
            if e.kind in kinds
            and e.subject == self.subject
            and (not session or e.session == self.session)
        ]

    def held(self, *kinds: str, session: bool = False) -> list[Entry]:
        """Entries of this participant that nothing corrects."""
        return [e for e in self.all(*kinds, session=session) if e.hash not in self.corrected]

    def last(self, *kinds: str, session: bool = False) -> Entry | None:
        """The last of them."""
        found = self.held(*kinds, session=session)
        return found[-1] if found else None

    def within(self, entry: Entry, hours: float) -> bool:
        """Whether an entry is not older than that, and not from the future."""
        age = self.now - entry.at
        return timedelta(days=-CLOCKS_DIFFER_D) <= age <= timedelta(hours=hours)

    def command(self, name: str, more: str = "", *, session: bool = False) -> str:
        """The command that mends it, ready to be typed."""
        words = ["tacs", name, "--dataset", shlex.quote(str(self.dataset))]
        if self.subject is not None:
            words += ["--subject", self.subject]
        if session and self.session is not None:
            words += ["--session", self.session]
        return "`" + " ".join([*words, *([more] if more else [])]) + "`"


def open_answers(view: View, *, daily: bool) -> list[OpenItem]:
    """Items of the screening that are not cleared: those of the day, or the others."""
    kinds = ("screening", "recheck") if daily else ("screening",)
    hours = TODAY_H if daily else 24.0 * SCREENING_VALID_D
    found: list[OpenItem] = []
    for item in shipped_form("screening").part(daily=daily).questions:
        last = view.last(*kinds)
        if last is not None and item.id not in answers_of(last):
            found.append(OpenItem(entry=last, item=item, value="not asked", hard=False))
        found += _open_in(view, item, view.all(*kinds), last, hours)
    return [item for item in found if not _decided(view, item)]


def open_events(view: View) -> list[OpenItem]:
    """Serious events of the last 90 days that nobody has decided on."""
    item = shipped_form("adverse_effects").question("serious")
    if item is None:
        return []
    told = [e for e in view.all("adverse_effects") if item.id in answers_of(e)]
    held = [e for e in told if e.hash not in view.corrected]
    found = _open_in(view, item, told, held[-1] if held else None, 24.0 * SCREENING_VALID_D)
    return [each for each in found if not _decided(view, each)]


def unseen_alerts(entries: Sequence[Entry]) -> list[Entry]:
    """Return the ratings with a suicidality alert that nobody has acknowledged.

    A correction of the rating closes none, and none grows too old: what closes it is somebody's
    acknowledgement of that very entry.

    Parameters
    ----------
    entries : sequence of Entry
        Of a journal, whole or one participant's.
    """
    seen = {
        one
        for entry in entries
        if entry.kind == "alert_acknowledged"
        for one in entry.data.get("entries", ())
    }
    return [
        entry
        for entry in entries
        if entry.kind == "rating" and entry.data.get("alerts") and entry.hash not in seen
    ]


def _open_in(
    view: View, item: Item, entries: Sequence[Entry], last: Entry | None, hours: float
) -> list[OpenItem]:
    """Where an item blocks: in the last entry, and in earlier ones that hard-block."""
    found = []
    for entry in entries:
        value = answers_of(entry).get(item.id)
        hard = value in item.hard_block
        recent = view.now - entry.at <= timedelta(hours=hours)
        if entry is last:
            if value in item.blocks:
                found.append(OpenItem(entry=entry, item=item, value=str(value), hard=hard))
        elif hard and recent and not _corrected_by_investigator(view, item, entry):
            found.append(OpenItem(entry=entry, item=item, value=str(value), hard=True))
    return found


def _corrected_by_investigator(view: View, item: Item, entry: Entry) -> bool:
    """Whether an investigator corrected an entry; for some items, another person than made it."""
    return any(
        later.corrects == entry.hash
        and later.role == "investigator"
        and (not item.second_person or _person(later.operator) != _person(entry.operator))
        for later in view.entries
    )


def _decided(view: View, found: OpenItem) -> bool:
    """Whether an investigator signed an override of this answer, on this very entry."""
    return any(
        found.entry.hash in override.data.get("entries", ())
        and answers_of(override).get("item") == found.item.id
        and override.role == "investigator"
        and found.may_be_decided_by(override.operator)
        for override in view.held("override")
    )


def _person(name: str) -> str:
    return " ".join(name.split()).casefold()


def answers_of(entry: Entry) -> Mapping[str, Any]:
    """Return the answers of a form that an entry holds; none where it holds none."""
    answers = entry.data.get("answers")
    return answers if isinstance(answers, dict) else {}


def when_of(entry: Entry) -> Any:
    """Return at which of its times a form was filled in."""
    return entry.data.get("when")
