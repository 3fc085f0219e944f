"""What an operator should know of a participant before arming, short of a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from tacs.clearing import SCREENING_VALID_D, View, answers_of, when_of
from tacs.forms import shipped_form

__all__ = ["cautions_of_people", "cautions_seen"]

CAUTIONS: Mapping[str, str] = {
    "mania": "; watch the mood, tell the investigator of any high",
    "migraine": "; ask for headache during and after the session",
    "eyes": "; light may be seen; some recipes rule out a disease of the retina",
}


def cautions_of_people(
    dataset: str | Path,
    *,
    subject: str,
    session: str,
    now: datetime,
    consent_version: str | None = None,
) -> list[str]:
    """List what an operator should know of this person before arming, short of a refusal.

    Parameters
    ----------
    dataset : path
        BIDS data set.
    subject, session : str
        BIDS labels.
    now : datetime
        Time zone aware.
    consent_version : str, optional
        Of the sheet that the site uses now.

    Raises
    ------
    InputError
        Not a label.
    RecordError
        The journal does not verify.
    """
    return cautions_seen(View.of(dataset, subject, session, now), consent_version)


def cautions_seen(view: View, consent_version: str | None) -> list[str]:
    """Return the cautions of a journal that has been read.

    Parameters
    ----------
    view : View
        The journal as the session sees it.
    consent_version : str or None
        Of the sheet that the site uses now.
    """
    found = _answer_cautions(view) + _override_cautions(view) + _history_cautions(view)
    if consent_version is None and view.last("consent") is not None:
        found.append("consent: the site has not said which version of the sheet is current")
    identifiers = view.last("identifiers")
    if identifiers is not None and identifiers.data.get("age_at_least_y") is None:
        found.append("age: the year of birth was not entered, so the age was not checked")
    return found


def _answer_cautions(view: View) -> list[str]:
    """Answers of the screening and of this session's forms that do not block."""
    found = []
    for name, entry in (
        ("screening", view.last("screening")),
        ("adverse_effects", view.last("adverse_effects", session=True)),
    ):
        answers = {} if entry is None else answers_of(entry)
        for item in shipped_form(name).questions:
            value = answers.get(item.id)
            if value in item.cautions:
                found.append(f"{item.title}: {item.worded(value)}{CAUTIONS.get(item.id, '')}")
    return found


def _override_cautions(view: View) -> list[str]:
    """What an investigator decided on answers that are in force."""
    found = []
    in_force = {e.hash for e in view.held("screening", "recheck", "adverse_effects")}
    for override in view.held("override"):
        if in_force & set(override.data.get("entries", ())):
            answers = answers_of(override)
            found.append(
                f"{answers.get('item')}: cleared by {override.operator}, {override.role}, "
                f"{override.at:%Y-%m-%d}: {answers.get('reason')}"
            )
    return found


def _history_cautions(view: View) -> list[str]:
    """Earlier answers that hard-blocked, and sessions after which nobody asked."""
    found = []
    for item in shipped_form("screening").questions:
        kinds = ("screening", "recheck") if item.daily else ("screening",)
        for entry in view.all(*kinds):
            age = view.now - entry.at
            if (
                answers_of(entry).get(item.id) in item.hard_block
                and entry is not view.last(*kinds)
                and age <= timedelta(days=SCREENING_VALID_D)
            ):
                found.append(f"{item.title}: was answered yes on {entry.at:%Y-%m-%d}")
    forms = view.held("adverse_effects")
    before = {e.session for e in forms if when_of(e) == "before"}
    after = {e.session for e in forms if when_of(e) in {"after", "next_visit"}}
    for name in sorted(str(s) for s in before - after - {view.session}):
        found.append(f"session {name}: unwanted effects were not asked for afterwards")
    return list(dict.fromkeys(found))
