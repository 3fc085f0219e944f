"""Routes that enter something: into the journal of the data set, signed by whoever is logged in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException

from tacs.serve.guests import REFUSALS, needs, place_of, worker_of
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
from tacs.serve.place import Place, Worker
from tacs.serve.roles import JOURNAL_ROLE
from tacs.serve.work import FORMS, acknowledged, filled, rated, written_report

__all__ = ["entering"]

entering = APIRouter(prefix="/api/v1", responses=REFUSALS, tags=["entering"])
At = Annotated[Place, Depends(place_of)]
Works = Annotated[Worker, Depends(worker_of)]


def _signed(who: Login) -> tuple[str, str]:
    """Name and role as the journal has them."""
    return who.person.name, JOURNAL_ROLE[who.person.role]


@entering.post("/patients/{subject}/ratings")
async def new_rating(
    place: At,
    worker: Works,
    who: Annotated[Login, Depends(needs("rate"))],
    subject: SubjectPath,
    new: NewRating,
) -> Rated:
    """Rate a person; an alert stays open until somebody acknowledges it."""
    found = await worker.call(rated, str(place.dataset), subject, new.model_dump(), *_signed(who))
    return Rated(**found)


@entering.post("/alerts/acknowledge")
async def acknowledge_alerts(
    place: At,
    worker: Works,
    who: Annotated[Login, Depends(needs("acknowledge"))],
    seen: Acknowledged,
) -> Alerts:
    """Acknowledge alerts by name and role; return those that are still open."""
    found = await worker.call(
        acknowledged, str(place.dataset), seen.entries, seen.done, *_signed(who)
    )
    if found is None:
        raise HTTPException(409, "an alert is not open any more; read the list again")
    return Alerts(open=found)


@entering.post("/patients/{subject}/forms/{kind}")
async def fill(
    place: At,
    worker: Works,
    who: Annotated[Login, Depends(needs("fill"))],
    subject: SubjectPath,
    kind: str,
    new: NewForm,
) -> Filled:
    """Enter a form: screening, consent, checks, unwanted effects."""
    if kind not in FORMS:
        raise HTTPException(404, f"no such form; there are {', '.join(FORMS)}")
    found = await worker.call(
        filled, str(place.dataset), subject, kind, new.model_dump(), *_signed(who)
    )
    return Filled(**found)


@entering.post("/patients/{subject}/reports/{session}")
async def write_report(
    place: At,
    worker: Works,
    who: Annotated[Login, Depends(needs("report"))],
    subject: SubjectPath,
    session: SessionPath,
) -> Done:
    """Write a session's report anew."""
    await worker.call(written_report, str(place.dataset), subject, session, str(place.site))
    return Done()
