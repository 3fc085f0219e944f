"""Courses and the dose ledger: who may have the next session, when, and why not before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tacs import console
from tacs.console import ParticipantOption, SiteOption, Subject
from tacs.errors import InputError

if TYPE_CHECKING:
    from tacs.course import NextSession
    from tacs.ledger_damage import LedgerDamage
    from tacs.limits import EffectiveLimits
    from tacs.safety import DoseHistory

Emulated = Annotated[
    bool, typer.Option("--emulated", help="the ledger and the courses of emulated devices")
]
Operator = Annotated[str, typer.Option("--operator", help="who does it")]
Role = Annotated[str, typer.Option("--role", help="operator, clinician or investigator")]
Reason = Annotated[str, typer.Option("--reason", help="why")]

course_app = typer.Typer(
    help="Schedules of sessions: enrol, ask when the next one may be, stop, resume.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
ledger_app = typer.Typer(
    help="The site's dose ledger: what every participant has had.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@course_app.command()
def schedules() -> None:
    """List the schedules that ship: rhythm, evidence, and those that are for reference only."""
    from tacs.schedule import schedules as all_schedules

    entries = [schedule.to_dict() for schedule in all_schedules().values()]
    lines = []
    for entry in entries:
        only = "  REFERENCE ONLY" if entry["reference_only"] else ""
        lines.append(
            f"{entry['name']:<24} {entry['sessions']} sessions in {entry['days']} days, "
            f"at most {entry['per_day']} a day{only}\n    {entry['title']}\n"
            f"    evidence: {entry['evidence']}"
        )
        if entry["reference_only"]:
            lines.append(f"    {entry['why_reference_only']}")
    console.output.result({"schedules": entries}, "\n".join(lines))


@course_app.command()
def enrol(
    subject: Subject,
    schedule: Annotated[
        str, typer.Option("--schedule", help="name of a schedule, or a schedule file")
    ],
    operator: Operator,
    start: Annotated[
        str, typer.Option("--start", help="first day, like 2026-03-02; today if left out")
    ] = "",
    time_zone: Annotated[
        str, typer.Option("--time-zone", help="IANA name; this computer's if left out")
    ] = "",
    site: SiteOption = "",
    participant: ParticipantOption = "",
    emulated: Emulated = False,
) -> None:
    """Put a participant on a schedule; one that the limits cannot hold is refused now."""
    from datetime import date

    from tacs.clock import moment_now
    from tacs.course import Courses, local_zone, zone_named
    from tacs.schedule import load_schedule

    now = moment_now()
    zone = time_zone or local_zone()
    first = now.utc.astimezone(zone_named(zone)).date()
    if start:
        try:
            first = date.fromisoformat(start)
        except ValueError as exc:
            raise InputError(f"--start {start!r}: must be a day like 2026-03-02") from exc
    courses = Courses(emulated=emulated)
    courses.enrol(
        subject,
        load_schedule(schedule),
        start=first,
        time_zone=zone,
        operator=operator,
        limits=_limits(site, participant),
        history=_history(subject, emulated),
        now=now,
    )
    found = _next(subject, site, participant, emulated)
    data = {**found.to_dict(), "start": first.isoformat(), "courses": str(courses.path)}
    head = f"{subject} is on {found.schedule} from {first} ({zone})"
    console.output.result(data, f"{head}\n{_told(found)}")


@course_app.command("next")
def next_(
    subject: Subject,
    protocol: Annotated[
        str, typer.Option("--protocol", help="look at the time and charge of the day too")
    ] = "",
    dataset: Annotated[
        str, typer.Option("--dataset", help="look for sessions that the ledger does not know")
    ] = "",
    site: SiteOption = "",
    participant: ParticipantOption = "",
    emulated: Emulated = False,
) -> None:
    """Say when the next session may be, and why not before."""
    found = _next(subject, site, participant, emulated, protocol, dataset)
    console.output.result(found.to_dict(), _told(found))


@course_app.command()
def show(
    subject: Subject,
    site: SiteOption = "",
    participant: ParticipantOption = "",
    emulated: Emulated = False,
) -> None:
    """Show the calendar of a course: done, late, extra, missed and planned; and its decisions."""
    from tacs.course import Courses

    course = Courses(emulated=emulated).of(subject)
    if course is None:
        raise InputError(f"{subject}: is on no course; enrol with `tacs course enrol`")
    found = _next(subject, site, participant, emulated)
    entries = [{"kind": e.kind, "at": e.at.isoformat(), **_plain(e.data)} for e in course.entries]
    data = {
        **found.to_dict(),
        "start": course.start.isoformat(),
        "visits": [visit.to_dict() for visit in found.visits],
        "entries": entries,
    }
    lines = [
        f"{subject} on {course.schedule.name} from {course.start} ({course.time_zone}), "
        f"enrolled by {course.enrolled_by}",
        *(_visit_line(visit.to_dict()) for visit in found.visits),
    ]
    for entry in entries:
        what = ", ".join(f"{k} {v}" for k, v in entry.items() if k not in {"kind", "at"})
        lines.append(f"{entry['at'][:16]} {entry['kind']}: {what}")
    console.output.result(data, "\n".join([*lines, _told(found)]))


@course_app.command()
def stop(
    subject: Subject,
    operator: Operator,
    reason: Reason,
    role: Role = "operator",
    emulated: Emulated = False,
) -> None:
    """Stop a course: no session until an investigator resumes it."""
    from tacs.course import Courses

    Courses(emulated=emulated).stop(subject, operator=operator, role=role, reason=reason)
    console.output.result(
        {"subject": subject, "stopped": True, "operator": operator, "role": role, "reason": reason},
        f"{subject}: the course is stopped; an investigator resumes it with `tacs course resume`",
    )


@course_app.command()
def resume(
    subject: Subject,
    operator: Operator,
    role: Role,
    reason: Reason,
    emulated: Emulated = False,
) -> None:
    """Enter an investigator's decision that a course goes on, after a stop or a stop rule."""
    from tacs.course import Courses

    Courses(emulated=emulated).resume(subject, operator=operator, role=role, reason=reason)
    found = _next(subject, "", "", emulated)
    console.output.result(found.to_dict(), f"{subject}: the course goes on\n{_told(found)}")


@course_app.command()
def note(
    subject: Subject,
    operator: Operator,
    adverse_event: Annotated[
        str, typer.Option("--adverse-event", help="mild, moderate or severe")
    ] = "",
    discomfort: Annotated[str, typer.Option("--discomfort", help="a rating, 0 to 10")] = "",
    rating: Annotated[str, typer.Option("--rating", help="a scale's sum, like PHQ-9=14")] = "",
    emulated: Emulated = False,
) -> None:
    """Note what the stop rules of a course look at."""
    from tacs.course import Courses

    scale, _, value = rating.partition("=")
    Courses(emulated=emulated).note(
        subject,
        operator=operator,
        adverse_event=adverse_event or None,
        discomfort_nrs=_number("--discomfort", discomfort) if discomfort else None,
        rating=(scale, _number("--rating", value)) if rating else None,
    )
    found = _next(subject, "", "", emulated)
    console.output.result(found.to_dict(), f"{subject}: noted\n{_told(found)}")


@ledger_app.command("show")
def ledger_show(
    subject: Annotated[str, typer.Option("--subject", help="one participant only")] = "",
    emulated: Emulated = False,
) -> None:
    """Show what participants have had."""
    from tacs.clock import moment_now
    from tacs.ledger import Ledger, site_folder

    ledger, now = Ledger(site_folder(), emulated=emulated), moment_now()
    entries: list[dict[str, Any]] = []
    lines = [str(ledger.path)]
    for name in [subject] if subject else ledger.subjects():
        history = ledger.history(name, now)
        entries.append({"subject": name, **_history_dict(history)})
        lines.append(
            f"{name}: {history.sessions_90d} sessions in 90 days, "
            f"{history.current_on_24h_min:.1f} min in the last 24 h"
        )
        for past in history.sessions:
            lines.append(
                f"  {past.started:%Y-%m-%d %H:%M} UTC  session {past.session:<8} "
                f"{past.current_on_s / 60.0:5.1f} min  {past.outcome or 'OPEN'}"
                f"{'' if past.counts else '  (brief)'}"
            )
    console.output.result({"path": str(ledger.path), "subjects": entries}, "\n".join(lines))


@ledger_app.command("verify")
def ledger_verify(
    other: Annotated[
        str, typer.Argument(help="another copy of the ledger to hold it against")
    ] = "",
    emulated: Emulated = False,
) -> None:
    """Verify the chain, and that no anchor or copy tells of what is not there; exit 5 if not."""
    from tacs.errors import RecordError
    from tacs.ledger import Ledger, site_folder
    from tacs.ledger_damage import ledger_damage

    ledger = Ledger(site_folder(), emulated=emulated)
    damage = ledger_damage(site_folder(), emulated=emulated)
    if damage is not None:
        data = {
            "ok": False,
            **damage.to_dict(),
            "lines": len(damage.valid),
            "missing": [],
            "error": f"{damage.path}: {damage.problem}",
            "exit_code": RecordError.exit_code,
        }
        lines = [
            *_damage_told(damage),
            "no session can be armed until somebody has found out why; then: " + ledger.cure,
        ]
        console.output.result(data, "\n".join(lines))
        raise typer.Exit(RecordError.exit_code)
    n_lines = len(ledger.lines())
    missing = ledger.merge_conflicts(other) if other else []
    prose = [f"{ledger.path}: {n_lines} lines, every one verifies", *missing]
    if missing:
        prose.append("book what is missing with `tacs ledger adopt`")
    console.output.result(
        {"ok": not missing, "path": str(ledger.path), "lines": n_lines, "missing": missing},
        "\n".join(prose),
    )
    if missing:
        raise typer.Exit(RecordError.exit_code)


@ledger_app.command("acknowledge")
def ledger_acknowledge(
    operator: Annotated[str, typer.Option("--operator", help="who has looked at it")] = "",
    role: Annotated[str, typer.Option("--role", help="as what")] = "",
    reason: Annotated[str, typer.Option("--reason", help="why sessions may go on")] = "",
    emulated: Emulated = False,
) -> None:
    """Begin a damaged ledger anew with what still verifies; what was lost blocks until closed."""
    from tacs.ledger import Ledger, site_folder
    from tacs.ledger_damage import ledger_damage
    from tacs.ledger_renewal import acknowledge_ledger

    site = site_folder()
    damage = ledger_damage(site, emulated=emulated)
    if damage is not None:
        for text in _damage_told(damage):
            console.output.say(text)
        operator = operator or _asked("who has looked at it")
        role = role or _asked("as what (clinician, data manager, …)")
        reason = reason or _asked("why sessions may go on")
    found = acknowledge_ledger(site, emulated=emulated, operator=operator, role=role, reason=reason)
    data = found.to_dict()
    lines = [
        f"{data['path']}: begun anew with {data['valid_lines']} valid lines and "
        f"{data['later_lines_kept']} later ones",
        "the damaged file was gone" if found.kept is None else f"the damaged file is {found.kept}",
    ]
    for dataset in sorted({x["dataset"] for x in data["open_sessions"]}):
        lines.append(f"next: tacs recover {dataset}")
    if Ledger(site, emulated=emulated).lines():
        lines.append(f"look at it with `tacs ledger show{' --emulated' if emulated else ''}`")
    console.output.result(data, "\n".join(lines))


def _asked(what: str) -> str:
    """Ask a person, where one sits there; empty where none does, which is refused."""
    import sys

    if not sys.stdin.isatty():
        return ""
    sys.stderr.write(f"{what}: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def _damage_told(damage: LedgerDamage) -> list[str]:
    """What is wrong with a ledger, and who is concerned, as a person reads it."""
    data = damage.to_dict()
    lines = [
        f"{damage.path}: {damage.problem}",
        f"{data['valid_lines']} lines before it verify; of the later ones {data['lost_lines']} "
        f"are lost or were changed, {data['later_lines_kept']} are as they were written",
    ]
    for lost in damage.sessions:
        if lost.key in damage.booked:
            lines.append(
                f"line {lost.line}: session {lost.session} of {lost.subject} in {lost.dataset}, as "
                f"its record says; its booking is as it was written"
            )
    for told in data["open_sessions"]:
        lines.append(
            f"in doubt: session {told['session']} of {told['subject']} in {told['dataset']}; it "
            f"counts whole and blocks {told['subject']} until `tacs recover` has closed it"
        )
    lines.append(
        f"a lost line may have been anybody's, of {damage.doubt.utc:%Y-%m-%d %H:%M} UTC at the "
        f"latest: nobody is stimulated in the 24 h after that, nor within the interval between two "
        f"sessions where that is longer"
    )
    return lines


@ledger_app.command("adopt")
def ledger_adopt(
    source: Annotated[str, typer.Argument(help="data set, or another copy of the ledger")],
    operator: Operator,
    reason: Reason,
    subject: Annotated[str, typer.Option("--subject", help="one participant only")] = "",
    emulated: Emulated = False,
) -> None:
    """Book the sessions that another computer ran; those of a data set as if delivered whole."""
    from tacs.ledger import Ledger, site_folder

    ledger = Ledger(site_folder(), emulated=emulated)
    booked = ledger.adopt(source, operator=operator, reason=reason, subject=subject or None)
    console.output.result(
        {"path": str(ledger.path), "adopted": booked},
        "\n".join(booked) or "nothing to adopt: the ledger knows every session there",
    )


@ledger_app.command("clock")
def ledger_clock(operator: Operator, reason: Reason, emulated: Emulated = False) -> None:
    """Enter that the computer's clock is right now, after an entry was made by a wrong one."""
    from tacs.clock import moment_now
    from tacs.ledger import Ledger, site_folder

    ledger, now = Ledger(site_folder(), emulated=emulated), moment_now()
    ledger.confirm_clock(operator=operator, reason=reason, now=now)
    console.output.result(
        {"path": str(ledger.path), "now": now.utc.isoformat()},
        f"entered that it is {now.utc:%Y-%m-%d %H:%M} UTC; intervals to earlier sessions count at "
        f"least from now",
    )


def _limits(site: str, participant: str) -> EffectiveLimits:
    """The limits in force: the site's own file where there is one."""
    from tacs.limits import effective_limits
    from tacs.sitelog import limits_file, site_folder

    return effective_limits(site or limits_file(site_folder()), participant or None)


def _history(subject: str, emulated: bool) -> DoseHistory:
    from tacs.clock import moment_now
    from tacs.ledger import Ledger, site_folder

    return Ledger(site_folder(), emulated=emulated).history(subject, moment_now())


def _next(
    subject: str,
    site: str,
    participant: str,
    emulated: bool,
    protocol: str = "",
    dataset: str = "",
) -> NextSession:
    from tacs.course import next_allowed
    from tacs.protocol import Protocol

    return next_allowed(
        subject,
        emulated=emulated,
        limits=_limits(site, participant),
        protocol=Protocol.from_toml(protocol) if protocol else None,
        dataset=dataset or None,
    )


def _told(found: NextSession) -> str:
    """When the next session may be, as a person reads it."""
    data = found.to_dict()
    lines = []
    if found.complete:
        lines.append(f"complete: all {found.sessions} sessions were given")
    elif found.schedule is None:
        lines.append(f"{found.subject} is on no course; by the limits alone:")
    else:
        lines.append(
            f"next: session {found.number} of {found.sessions} ({found.phase})"
            if found.phase
            else f"next: session {found.number} of {found.sessions}"
        )
    lines += [f"blocked: {breach}" for breach in found.blocked_by if not found.complete]
    if found.allowed:
        lines.append("allowed now")
    elif data["earliest"] is not None:
        lines.append(f"allowed from {_when(data['earliest'])}")
        lines += [f"- {reason}" for reason in found.reasons]
    if data["latest_planned"] is not None:
        lines.append(f"planned by {_when(data['latest_planned'])}")
    return "\n".join(lines)


def _when(both: dict[str, str]) -> str:
    """An instant in local time and in UTC; the seconds are rounded up with the wait."""
    from datetime import datetime

    local, utc = datetime.fromisoformat(both["local"]), datetime.fromisoformat(both["utc"])
    return f"{local:%a %Y-%m-%d %H:%M:%S} (UTC{local:%z}), {utc:%Y-%m-%d %H:%M:%S} UTC"


def _visit_line(visit: dict[str, Any]) -> str:
    from datetime import date

    day = date.fromisoformat(visit["day"])
    number = "" if visit["number"] is None else str(visit["number"])
    more = f"  session {visit['session']}" if visit["session"] else ""
    late = f"  {visit['late_d']} d after the first plan" if visit["late_d"] else ""
    return f"{day:%a %Y-%m-%d}  {number:>3}  {visit['state']:<8}{more}{late}".rstrip()


def _history_dict(history: DoseHistory) -> dict[str, Any]:
    return {
        "sessions_90d": history.sessions_90d,
        "sessions_24h": history.sessions_24h,
        "current_on_24h_min": round(history.current_on_24h_min, 3),
        "rectified_charge_24h_c": {
            name: round(c, 6) for name, c in (history.rectified_charge_24h_c or {}).items()
        },
        "open_sessions": list(history.open_sessions),
        "conflicts": list(history.conflicts),
        "sessions": [
            {
                "session": past.session,
                "dataset": past.dataset,
                "started": past.started.isoformat(),
                "ended": past.ended.isoformat(),
                "hours_since_end": round(past.since_end_s / 3600.0, 3),
                "current_on_s": past.current_on_s,
                "outcome": past.outcome,
                "brief": not past.counts,
            }
            for past in history.sessions
        ],
    }


def _plain(data: Any) -> dict[str, Any]:
    """An entry's own words, without what every entry has."""
    found = {k: v for k, v in data.items() if k not in {"subject", "moment"}}
    rating = found.pop("rating", None)
    return found if rating is None else {**found, rating["instrument"]: rating["value"]}


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as exc:
        raise InputError(f"{option} {text!r}: must hold a number") from exc
