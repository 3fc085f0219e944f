"""Routes that read: nothing here changes anything."""

from __future__ import annotations

import os
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.responses import Response

from tacs.clock import moment_now
from tacs.dataset import SessionPaths
from tacs.scales import Scale, all_scales
from tacs.serve.guests import REFUSALS, needs, place_of, worker_of
from tacs.serve.logins import Login
from tacs.serve.models import (
    Alerts,
    ArmRow,
    Arms,
    Audit,
    AuditRow,
    Calendar,
    CalendarDay,
    FormTold,
    Patient,
    Patients,
    Scales,
    ScaleTold,
    SessionPath,
    SubjectPath,
    Timeline,
)
from tacs.serve.place import Place, Worker
from tacs.serve.roles import may
from tacs.serve.tables import csv_text
from tacs.serve.work import (
    FORMS,
    alerts_of,
    audit_of,
    day_passed,
    patients_of,
    timeline_of,
)

__all__ = ["reading"]

reading = APIRouter(prefix="/api/v1", responses=REFUSALS, tags=["reading"])
# What a rater is not shown, so that no rating is swayed by it.
WITHHELD = (
    "waveform", "charge_c", "planned_charge_c", "charge_source", "duration_s", "current_peak_ma",
    "ln_ratio", "adjusted_ln_ratio", "percent", "ci95_percent", "direction",
    "imcoh_matched_change",
)  # fmt: skip
REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
TABLE: dict[int | str, dict[str, Any]] = {
    200: {"description": "A table", "content": {"text/csv": {"schema": {"type": "string"}}}}
}
PAGE: dict[int | str, dict[str, Any]] = {
    200: {"description": "A report", "content": {"text/html": {"schema": {"type": "string"}}}}
}
At = Annotated[Place, Depends(place_of)]
Works = Annotated[Worker, Depends(worker_of)]
Reader = Annotated[Login, Depends(needs("read"))]


@reading.get("/patients")
async def patients(place: At, worker: Works, who: Reader) -> Patients:
    """List everybody in the data set."""
    found = await worker.call(patients_of, str(place.dataset))
    if not may(who.person.role, "dose"):
        found = [{**row, "reports": []} for row in found]
    return Patients(patients=[Patient(**row) for row in found])


async def _timeline(worker: Worker, place: Place, who: Login, subject: str) -> dict[str, Any]:
    found: dict[str, Any] | None = await worker.call(timeline_of, str(place.dataset), subject)
    if found is None:
        raise HTTPException(404, f"nothing of subject {subject} is in this data set")
    if may(who.person.role, "dose"):
        return {**found, "withheld": False}
    return {
        **found,
        "peaks": [],
        "links": [],
        "words": [],
        "sessions": [{**s, **dict.fromkeys(WITHHELD)} for s in found["sessions"]],
        "withheld": True,
    }


@reading.get("/patients/{subject}/timeline", response_model=Timeline)
async def timeline(place: At, worker: Works, who: Reader, subject: SubjectPath) -> Any:
    """Show a person's peaks, band power, connectivity, dose, ratings and events."""
    return await _timeline(worker, place, who, subject)


@reading.get("/patients/{subject}/sessions.csv", responses=TABLE, response_model=None)
async def sessions_csv(place: At, worker: Works, who: Reader, subject: SubjectPath) -> Response:
    """Give a person's sessions as a table."""
    found = await _timeline(worker, place, who, subject)
    columns = [
        "session", "at", "outcome", "blinded", "emulated", "charge_c", "planned_charge_c",
        "charge_source", "duration_s", "current_peak_ma", "ln_ratio", "percent", "direction",
        "imcoh_matched_change",
    ]  # fmt: skip
    return _csv(columns, found["sessions"], f"sub-{subject}_sessions.csv")


@reading.get("/patients/{subject}/ratings.csv", responses=TABLE, response_model=None)
async def ratings_csv(place: At, worker: Works, who: Reader, subject: SubjectPath) -> Response:
    """Give a person's ratings as a table."""
    found = await _timeline(worker, place, who, subject)
    rows = [{**point, "scale": s["scale"]} for s in found["scales"] for point in s["points"]]
    columns = [
        "scale", "at", "session", "total", "prorated", "band", "in_remission", "response",
        "percent_improvement", "rater_blinded", "entry",
    ]  # fmt: skip
    return _csv(columns, rows, f"sub-{subject}_ratings.csv")


@reading.get("/patients/{subject}/calendar")
def calendar(
    place: At,
    who: Reader,
    subject: SubjectPath,
    emulated: Annotated[bool, Query(description="the courses of emulated devices")] = False,
) -> Calendar:
    """Show a course's calendar and when the next session may be."""
    from tacs.course import next_allowed
    from tacs.limits import effective_limits
    from tacs.sitelog import limits_file

    found = next_allowed(
        subject,
        moment_now(),
        site=place.site,
        emulated=emulated,
        limits=effective_limits(limits_file(place.site)),
        dataset=place.dataset,
    )
    return Calendar(**found.to_dict(), visits=[CalendarDay(**v.to_dict()) for v in found.visits])


@reading.get("/scales")
def scales(who: Reader) -> Scales:
    """List the scales and their items, with text where the licence lets it be shipped."""
    return Scales(scales=[_scale(scale) for scale in all_scales().values()])


def _scale(scale: Scale) -> ScaleTold:
    shipped = scale.item_text == "shipped"
    return ScaleTold(
        id=scale.id,
        title=scale.title,
        about=scale.about,
        rater=scale.rater,
        licence=scale.licence,
        item_text=scale.item_text,
        asked=scale.asked if shipped else "",
        anchors=list(scale.anchors) if shipped else [],
        items=[
            {
                "number": item.number,
                "text": item.text if shipped else f"Item {item.number}",
                "minimum": item.minimum,
                "maximum": item.maximum,
            }
            for item in scale.items
        ],
    )


@reading.get("/forms/{kind}")
async def form(
    place: At,
    worker: Works,
    who: Annotated[Login, Depends(needs("fill"))],
    kind: str,
    when: Annotated[str, Query(max_length=20, description="where the form has times")] = "",
) -> FormTold:
    """Show a form and its questions; checks of the day are asked once a day."""
    from tacs.forms import shipped_form

    if kind not in FORMS:
        raise HTTPException(404, f"no such form; there are {', '.join(FORMS)}")
    found = shipped_form(FORMS[kind])
    times = list(found.times)
    if kind == "recheck":
        found = found.part(daily=True, name="recheck", title="Questions of the day")
    if kind == "preflight" and await worker.call(day_passed, str(place.dataset)):
        found = found.part(daily=False)
    if when:
        found = found.at(when)
    return FormTold(
        id=found.id,
        kind=kind,
        title=found.title,
        intro=found.intro,
        times=times,
        questions=[
            {
                **q.model_dump(
                    mode="json",
                    include={
                        "id", "title", "text", "type", "required", "help", "alert", "minimum",
                        "maximum", "max_length", "asked_if", "daily", "blocks", "hard_block",
                    },
                ),
                "choices": [{"value": c.value, "text": c.text} for c in q.choices]
                or [{"value": v, "text": str(v)} for v in q.values],
            }
            for q in found.questions
        ],
    )  # fmt: skip


@reading.get("/alerts")
async def alerts(place: At, worker: Works, who: Reader) -> Alerts:
    """List alerts that nobody has acknowledged."""
    return Alerts(open=await worker.call(alerts_of, str(place.dataset)))


@reading.get("/audit")
async def audit(
    place: At,
    worker: Works,
    who: Annotated[Login, Depends(needs("audit"))],
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Audit:
    """Show the audit trail, newest first; its chain has been verified on the way."""
    return Audit(**await worker.call(audit_of, str(place.dataset), offset, limit))


@reading.get("/audit.csv", responses=TABLE, response_model=None)
async def audit_csv(
    place: At, worker: Works, who: Annotated[Login, Depends(needs("audit"))]
) -> Response:
    """Give the whole audit trail as a table."""
    found = await worker.call(audit_of, str(place.dataset), 0, None)
    return _csv(list(AuditRow.model_fields), found["entries"], "audit.csv")


@reading.get("/patients/{subject}/reports/{session}", responses=PAGE, response_model=None)
def report(
    place: At,
    who: Annotated[Login, Depends(needs("dose"))],
    subject: SubjectPath,
    session: SessionPath,
) -> Response:
    """Give a report that has been written, as a page that can run nothing."""
    path = SessionPaths.of(place.dataset, subject, session).report
    try:
        # Where a link in the data set leads elsewhere, what is there is none of our business.
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(fd, "rb") as file:
            content = file.read()
    except OSError as exc:
        raise HTTPException(404, "no report of this session has been written yet") from exc
    return Response(
        content,
        media_type="text/html; charset=utf-8",
        headers={"content-security-policy": REPORT_POLICY},
    )


@reading.get("/arms")
def arms(place: At, who: Annotated[Login, Depends(needs("arms"))]) -> Arms:
    """Show who has which arm; for the unblinded statistician alone."""
    from tacs.allocation import open_table
    from tacs.blinding import load_study
    from tacs.sealing import read_private_key

    if place.table is None or place.key is None:
        raise HTTPException(404, "no table is open here; start the server with --table and --key")
    table = open_table(place.table, read_private_key(place.key))
    study = load_study(table.study, place.site)
    codes = {(row.stratum, row.number): row.arm for row in table.rows}
    return Arms(
        study=table.study,
        arms=[
            ArmRow(
                subject=given.subject,
                stratum=given.stratum,
                slot=given.slot,
                arm=codes[given.stratum, given.slot],
                waveform=table.waveform_of(given.stratum, given.slot),
            )
            for given in study.assignments()
        ],
    )


def _csv(columns: list[str], rows: list[dict[str, Any]], name: str) -> Response:
    return Response(
        csv_text(columns, rows),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )
