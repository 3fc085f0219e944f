"""Routes that enter something: into the journal of the data set, signed by whoever is logged in."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request

from tacs.clock import utc_now
from tacs.dataset import ensure_dataset
from tacs.journal import Journal
from tacs.ratings import acknowledge, open_alerts, parse_when, rate
from tacs.scales import load_scale
from tacs.serve.guests import REFUSALS, needs, place_of
from tacs.serve.logins import Login
from tacs.serve.models import (
    Acknowledged,
    Alerts,
    Done,
    Filled,
    NewForm,
    NewRating,
    Rated,
    SessionPath,
    SubjectPath,
)
from tacs.serve.place import Place, written_report
from tacs.serve.reading import FORMS, alert_told
from tacs.serve.roles import JOURNAL_ROLE

__all__ = ["entering"]

entering = APIRouter(prefix="/api/v1", responses=REFUSALS, tags=["entering"])
At = Annotated[Place, Depends(place_of)]


@entering.post("/patients/{subject}/ratings")
def new_rating(
    place: At,
    who: Annotated[Login, Depends(needs("rate"))],
    subject: SubjectPath,
    new: NewRating,
) -> Rated:
    """Rate a person; an alert stays open until somebody acknowledges it."""
    now = utc_now()
    rating = rate(
        place.dataset,
        load_scale(new.scale),
        {int(number): value for number, value in new.items.items()},
        subject=subject,
        session=new.session,
        at=parse_when(new.at, now, "at"),
        now=now,
        operator=who.person.name,
        role=JOURNAL_ROLE[who.person.role],
        rater_blinded=new.rater_blinded,
        method="page",
        corrects=new.corrects,
    )
    found = open_alerts(place.dataset, subject)
    return Rated(rating=rating.to_dict(), alerts=[alert_told(alert) for alert in found])


@entering.post("/alerts/acknowledge")
def acknowledge_alerts(
    place: At, who: Annotated[Login, Depends(needs("acknowledge"))], seen: Acknowledged
) -> Alerts:
    """Acknowledge alerts by name and role; return those that are still open."""
    found = [a for a in open_alerts(place.dataset) if a.entry.hash in seen.entries]
    if len(found) < len(set(seen.entries)):
        raise HTTPException(409, "an alert is not open any more; read the list again")
    acknowledge(
        place.dataset,
        found,
        name=who.person.name,
        role=JOURNAL_ROLE[who.person.role],
        done=seen.done,
    )
    return Alerts(open=[alert_told(a) for a in open_alerts(place.dataset)])


@entering.post("/patients/{subject}/forms/{kind}")
def fill(
    place: At,
    who: Annotated[Login, Depends(needs("fill"))],
    subject: SubjectPath,
    kind: str,
    new: NewForm,
) -> Filled:
    """Enter a form: screening, consent, checks, unwanted effects."""
    from tacs.form_entry import sign_as
    from tacs.forms import shipped_form
    from tacs.people import day_checks

    if kind not in FORMS:
        raise HTTPException(404, f"no such form; there are {', '.join(FORMS)}")
    form = shipped_form(FORMS[kind])
    more: dict[str, Any] = {}
    if kind == "recheck":
        form = form.part(daily=True, name="recheck", title="Questions of the day")
    if kind == "preflight" and day_checks(place.dataset, now=utc_now()) is not None:
        day = {item.id for item in form.part(daily=True).items}
        form = form if day & new.answers.keys() else form.part(daily=False)
    if form.times:
        form = form.at(new.when or "")
        more["when"] = new.when
    elif new.when:
        raise HTTPException(400, f"{kind}: has no times; leave `when` out")
    ensure_dataset(place.dataset)
    signed = sign_as(
        form,
        new.answers,
        f"form {form.id}",
        operator=who.person.name,
        role=JOURNAL_ROLE[who.person.role],
    )
    book = Journal(place.dataset)
    corrected = book.find(new.corrects) if new.corrects else None
    made = book.append(
        kind,
        {**signed.to_dict(), "signed": "page", **more},
        operator=signed.operator,
        role=signed.role,
        subject=subject,
        session=new.session,
        corrects=None if corrected is None else corrected.hash,
    )
    return Filled(entry=made.to_dict(), told=_told(place, kind, subject, new.session, made.data))


def _told(
    place: Place, kind: str, subject: str, session: str | None, data: dict[str, Any]
) -> list[str]:
    """What the answers mean for the session, in the words of the commands."""
    from tacs.people import open_items, people_breaches

    if kind in {"screening", "recheck"}:
        found = open_items(place.dataset, subject=subject, now=utc_now())
        lines = [f"not cleared: {o.item.title}: {o.value}" for o in found]
        return [*lines, "an investigator decides with `tacs override`"] if lines else ["cleared"]
    if kind == "preflight":
        missing = people_breaches(
            place.dataset, subject=subject, session=session or "", now=utc_now(),
            required=("preflight",),
        )  # fmt: skip
        return [f"not passed: {breach}" for breach in missing] or ["every check passed"]
    serious = data["answers"].get("serious", "no")
    if kind == "adverse_effects" and serious != "no":
        return [f"serious event: {serious}; tell the investigator now"]
    return ["kept"]


@entering.post("/patients/{subject}/reports/{session}")
async def write_report(
    request: Request,
    place: At,
    who: Annotated[Login, Depends(needs("report"))],
    subject: SubjectPath,
    session: SessionPath,
) -> Done:
    """Write a session's report anew."""
    await request.app.state.worker.call(
        written_report, str(place.dataset), subject, session, str(place.site)
    )
    return Done()
