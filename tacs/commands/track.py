"""Following people over months: scales, ratings, their course over time, the store."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tacs import console
from tacs.console import Subject
from tacs.errors import AlertOpen, InputError

if TYPE_CHECKING:
    from datetime import datetime

    from tacs.ratings import OpenAlert, Rating
    from tacs.scales import Scale

Dataset = Annotated[str, typer.Argument(help="data set")]
Operator = Annotated[str, typer.Option("--operator", help="who enters it")]
Role = Annotated[str, typer.Option("--role", help="operator, investigator, rater, participant, …")]
Session = Annotated[str, typer.Option("--session", help="session that the rating belongs to")]
At = Annotated[str, typer.Option("--at", help="when the person was rated; now where left out")]
Blinded = Annotated[
    str, typer.Option("--rater-blinded", help="yes, no or unknown: did the rater know the arm?")
]
Acknowledge = Annotated[
    str,
    typer.Option("--acknowledge", help="NAME:ROLE of who has seen an alert; asked where left out"),
]

track_app = typer.Typer(
    help="A person over months: ratings in, trends out.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


store_app = typer.Typer(
    help="The database of a data set: a projection that may be thrown away.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def scales(
    name: Annotated[str, typer.Option("--scale", help="only this one, with every item")] = "",
) -> None:
    """List the rating scales: items, bands, what counts as a change, sources and licences."""
    from tacs.scales import all_scales, load_scale

    found = [load_scale(name)] if name else list(all_scales().values())
    lines = [_scale_line(scale) for scale in found]
    if name:
        lines += _scale_details(found[0])
    console.output.result({"scales": [s.to_data() for s in found]}, "\n".join(lines))


@track_app.command()
def rate(
    dataset: Dataset,
    subject: Subject,
    scale: Annotated[str, typer.Option("--scale", help="`tacs scales` lists them")],
    session: Session = "",
    items: Annotated[str, typer.Option("--items", help="answers, as in 1=2,2=0")] = "",
    file: Annotated[str, typer.Option("--file", help="CSV with columns item_1, item_2, …")] = "",
    at: At = "",
    rater_blinded: Blinded = "unknown",
    operator: Operator = "",
    role: Role = "",
    corrects: Annotated[
        str, typer.Option("--corrects", help="hash of the rating that this one corrects")
    ] = "",
    acknowledge: Acknowledge = "",
) -> None:
    """Rate a person on a scale; item by item at the terminal where no answers are given."""
    from tacs.clock import utc_now
    from tacs.dataset import check_label
    from tacs.ratings import parse_items, parse_when
    from tacs.ratings import rate as keep
    from tacs.scales import load_scale

    chosen, now = load_scale(scale), utc_now()
    check_label(subject, "subject")
    if items and file:
        raise InputError("give --items or --file, not both")
    method = "items" if items else "table" if file else "typed"
    when = parse_when(at, now)
    if file:
        row = _one_row(file, subject, session, scale, operator, role, now)
        answers = dict(row.answers)
        operator, role = operator or row.operator, role or row.role
        session, when = session or (row.session or ""), when if at else row.at
        rater_blinded = rater_blinded if rater_blinded != "unknown" else row.rater_blinded
    operator, role = _who(operator, role, asked=not items and not file)
    if not file:
        answers = parse_items(items) if items else _ask_items(chosen)
    rating = keep(
        dataset, chosen, answers, subject=subject, session=session or None, at=when, now=now,
        operator=operator, role=role, rater_blinded=rater_blinded, method=method,
        corrects=corrects or None,
    )  # fmt: skip
    _finish(dataset, [rating], {"rating": rating.to_dict()}, _rating_lines(rating), acknowledge)


@track_app.command("import")
def import_(
    dataset: Dataset,
    file: Annotated[str, typer.Argument(help="CSV, one rating a row, or a REDCap export")],
    redcap: Annotated[
        str, typer.Option("--redcap", help="mapping file (TOML): the table is a REDCap export")
    ] = "",
    correct: Annotated[
        bool, typer.Option("--correct", help="other answers than the journal's are a correction")
    ] = False,
    operator: Operator = "",
    role: Role = "",
    acknowledge: Acknowledge = "",
) -> None:
    """Take ratings from a table, whole or not at all."""
    from tacs.clock import utc_now
    from tacs.rating_import import (
        RedcapMapping,
        import_ratings,
        read_csv_rows,
        read_redcap_rows,
    )

    now = utc_now()
    if redcap:
        if not operator:
            raise InputError("--redcap needs --operator: who imports it")
        mapping = RedcapMapping.from_toml(redcap)
        rows = read_redcap_rows(file, mapping, now=now, operator=operator)
    else:
        rows = read_csv_rows(file, now=now, operator=operator, role=role)
    done = import_ratings(
        dataset, rows, now=now, method="REDCap" if redcap else "table", correct=correct
    )
    data = {
        "written": [rating.to_dict() for rating in done.written],
        "already_there": done.already_there,
    }
    lines = [f"ratings: {len(done.written)} written, {done.already_there} there already"]
    lines += [line for rating in done.written for line in _rating_lines(rating)]
    _finish(dataset, done.written, data, lines, acknowledge, subjects={r.subject for r in rows})


@track_app.command()
def acknowledge(
    dataset: Dataset,
    name: Annotated[str, typer.Option("--operator", help="who has seen it")],
    role: Role,
    subject: Annotated[str, typer.Option("--subject", help="only this participant")] = "",
    done: Annotated[str, typer.Option("--done", help="what was done, in a few words")] = "",
) -> None:
    """Acknowledge open suicidality alerts, by name and role."""
    from tacs.ratings import acknowledge as keep
    from tacs.ratings import open_alerts

    found = open_alerts(dataset, subject or None)
    if not found:
        raise InputError("no alert is open" + (f" for subject {subject}" if subject else ""))
    entries = keep(dataset, found, name=name, role=role, done=done)
    console.output.result(
        {"acknowledged": [a.to_dict() for a in found], "entries": [e.to_dict() for e in entries]},
        "\n".join([*(str(a) for a in found), f"acknowledged by {name} ({role})"]),
    )


@track_app.command()
def alerts(dataset: Dataset, subject: Annotated[str, typer.Option("--subject")] = "") -> None:
    """List open suicidality alerts."""
    from tacs.dataset import find_records
    from tacs.ratings import open_alerts

    find_records(dataset)  # refuses what is no data set
    found = open_alerts(dataset, subject or None)
    console.output.result(
        {"open": [a.to_dict() for a in found]},
        "\n".join(str(a) for a in found) or "no alert is open",
    )


@track_app.command()
def show(
    dataset: Dataset,
    subject: Subject,
    figure: Annotated[str, typer.Option("--figure", help="save the course as a figure")] = "",
    kinds: Annotated[
        str, typer.Option("--kinds", help="kind of every session, as in 01=a,02=b: N-of-1")
    ] = "",
    measure: Annotated[
        str, typer.Option("--measure", help="of the N-of-1: ln_ratio or adjusted_ln_ratio")
    ] = "ln_ratio",
    reliable: Annotated[
        list[str] | None,
        typer.Option("--reliable", help="your site's own SCALE=SD/RELIABILITY; may be repeated"),
    ] = None,
    peak_sd: Annotated[
        float, typer.Option("--peak-sd", help="spread of the peak between persons, Hz")
    ] = 0.9,
    peak_reliability: Annotated[
        float, typer.Option("--peak-reliability", help="test-retest reliability of the peak")
    ] = 0.9,
    as_of: Annotated[
        str, typer.Option("--as-of", help="day that the calendar is shown at; today if left out")
    ] = "",
) -> None:
    """Show a person's course: calendar, peak, power, dose, ratings and events on one time axis."""
    from tacs.clock import utc_now
    from tacs.ratings import parse_when
    from tacs.track import track
    from tacs.track_words import track_words

    found = track(
        dataset, subject, kinds=_pairs_of(kinds, "--kinds") or None, measure=measure,
        reliable=_own_reliability(reliable or []), peak_sd_hz=peak_sd,
        peak_reliability=peak_reliability,
        now=parse_when(as_of, utc_now(), "--as-of"),
    )  # fmt: skip
    if figure:
        from tacs.track_figure import plot_track

        console.save(plot_track(found), figure)
    console.output.result(found.to_dict(), "\n".join(track_words(found)))


@track_app.command()
def decide(
    dataset: Dataset,
    subject: Subject,
    session: Annotated[str, typer.Option("--session", help="session that is about to be run")],
    protocol: Annotated[str, typer.Option("--protocol", help="the course's protocol")],
    peak: Annotated[
        str, typer.Option("--peak", help="JSON of `tacs peak`; the session's own if left out")
    ] = "",
    decision: Annotated[str, typer.Option("--decision", help="keep or retune")] = "keep",
    reason: Annotated[
        str, typer.Option("--reason", help="why; needed unless nothing speaks against keeping it")
    ] = "",
    corrects: Annotated[
        str, typer.Option("--corrects", help="hash of the decision that this one corrects")
    ] = "",
    operator: Operator = "",
    role: Role = "",
) -> None:
    """Enter whether a session keeps the planned frequency, beside the peak measured before it."""
    from tacs.dataset import SessionPaths, find_records
    from tacs.decisions import decide as keep
    from tacs.planning import read_peak
    from tacs.protocol import Protocol
    from tacs.remeasure import remeasure

    find_records(dataset)  # refuses what is no data set
    file = peak or str(SessionPaths.of(dataset, subject, session).peak)
    found = remeasure(read_peak(file), Protocol.from_toml(protocol), peak_file=file)
    made = keep(
        dataset, found, subject=subject, session=session, operator=operator, role=role,
        choice=decision, reason=reason, corrects=corrects or None,
    )  # fmt: skip
    lines = [
        f"session {session}: {made.choice}, {made.frequency_hz:g} Hz ({made.reason})",
        found.advice,
    ]
    if made.choice == "retune":
        lines.append("plan anew with this peak, and run the new protocol; this one is as it was")
    data = {"decision": made.to_dict(), "remeasurement": found.to_dict()}
    console.output.result(data, "\n".join(lines))


@track_app.command()
def cohort(
    dataset: Dataset,
    scale: Annotated[str, typer.Option("--scale", help="`tacs scales` lists them")],
    visits: Annotated[
        str, typer.Option("--visits", help="days from each person's first session, as in 0,14,28")
    ],
    figure: Annotated[str, typer.Option("--figure", help="save it as a figure")] = "",
) -> None:
    """Show everybody on one scale: each line, the mean of those present, who left when."""
    from tacs.track_cohort import cohort_words, parse_visits, plot_cohort, track_cohort

    found = track_cohort(dataset, scale, parse_visits(visits))
    if figure:
        console.save(plot_cohort(found), figure)
    console.output.result(found.to_dict(), "\n".join(cohort_words(found)))


@store_app.command()
def rebuild(
    dataset: Dataset,
    url: Annotated[
        str,
        typer.Option(
            "--url",
            envvar="TACS_STORE_URL",
            help="postgresql://USER@HOST/DATABASE; the data set's own SQLite file where left out",
        ),
    ] = "",
    verify_all: Annotated[
        bool,
        typer.Option("--verify-all", help="verify every record anew, unchanged ones too"),
    ] = False,
) -> None:
    """Make the store again from the data set, row for row; what was in it is thrown away."""
    from tacs.store import rebuild as make

    made = make(dataset, url, use_cache=not verify_all, say=console.output.say)
    lines = [f"store: {made.url}"]
    lines += [f"  {table:<14} {count}" for table, count in made.rows.items()]
    lines += [f"problem: {text}" for text in made.problems]
    console.output.result(made.to_dict(), "\n".join([*lines, f"digest {made.digest}"]))


@store_app.command()
def phenotype(dataset: Dataset) -> None:
    """Write the ratings as BIDS phenotype files, a table and a sidecar for every scale."""
    from tacs.phenotype import write_phenotype

    made = write_phenotype(dataset)
    lines = [f"{path}: {made.rows[path.stem]} ratings" for path in made.files[::2]]
    lines += [f"removed: {path}" for path in made.removed]
    console.output.result(made.to_dict(), "\n".join(lines) or "nobody was rated yet")


def _pairs_of(text: str, option: str) -> dict[str, str]:
    """Take ``a=b,c=d`` apart."""
    found: dict[str, str] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        name, equals, value = (one.strip() for one in part.partition("="))
        if not (equals and name and value) or name in found:
            raise InputError(f"{option}: {part[:30]!r}: give NAME=VALUE, every name once")
        found[name] = value
    return found


def _own_reliability(given: Sequence[str]) -> dict[str, tuple[float, float]]:
    from tacs.scales import load_scale

    found = {}
    for text in given:
        for scale, value in _pairs_of(text, "--reliable").items():
            sd, slash, reliability = value.partition("/")
            try:
                found[load_scale(scale).id] = (float(sd), float(reliability if slash else ""))
            except ValueError:
                raise InputError(
                    f"--reliable {text[:40]}: give SCALE=SD/RELIABILITY, as in madrs=6/0.85"
                ) from None
    return found


def _finish(
    dataset: str,
    ratings: Sequence[Rating],
    data: dict[str, Any],
    lines: Sequence[str],
    acknowledged_by: str,
    subjects: set[str] | None = None,
) -> None:
    """Print what was kept, once every alert of these people is acknowledged."""
    from tacs.ratings import acknowledge, open_alerts

    people = subjects or {str(r.entry.subject) for r in ratings}
    found = [a for a in open_alerts(dataset) if a.entry.subject in people]
    if found:
        # What was kept is told even where the command ends with the alert open.
        console.output.say("\n".join([*lines, *(f"!! {alert}" for alert in found)]))
        name, role = _acknowledging(found, acknowledged_by)
        try:
            acknowledge(dataset, found, name=name, role=role)
        except InputError as exc:
            raise _still_open(found, f"{exc}; ") from exc
        lines = [*lines, f"alert acknowledged by {name} ({role})"]
    shown = [{**alert.to_dict(), "acknowledged": True} for alert in found]
    console.output.result({**data, "alerts": shown}, "\n".join(lines))


def _acknowledging(found: Sequence[OpenAlert], given: str) -> tuple[str, str]:
    """Who has seen the alerts: as given, or asked at a terminal."""
    if given:
        name, colon, role = given.rpartition(":")
        if not colon:
            raise _still_open(found, "--acknowledge takes NAME:ROLE; ")
        return name.strip(), role.strip()
    console.output.say("Who has seen this alert? Name and role are entered in the journal.")
    name, role = _line("name > "), _line("role > ")
    if not name or not role:
        raise _still_open(found, "")
    return name, role


def _still_open(found: Sequence[OpenAlert], why: str) -> AlertOpen:
    count = "an alert is" if len(found) == 1 else f"{len(found)} alerts are"
    return AlertOpen(
        f"{why}the rating is kept, and {count} open until somebody acknowledges it: "
        f"`tacs track acknowledge DATASET --operator NAME --role ROLE`"
    )


def _line(prompt: str) -> str:
    """Ask on standard error, read a line; empty at the end of the input."""
    sys.stderr.write(prompt)
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def _who(operator: str, role: str, *, asked: bool) -> tuple[str, str]:
    """Who rated, asked before the first item."""
    from tacs.journal import ROLES

    if asked:
        operator = operator or _line("your name or code > ")
        role = role or _line("your role (operator, investigator, rater, participant) > ")
    if not operator or not role:
        raise InputError("who rated? give --operator NAME and --role ROLE")
    if role not in ROLES:
        raise InputError(f"role {role!r}: must be one of {', '.join(ROLES)}")
    return operator, role


def _ask_items(scale: Scale) -> dict[int, int]:
    """Ask item by item; Enter leaves one out, b goes back, q leaves."""
    say = console.output.say
    say(f"{scale.title}, {len(scale.items)} items. Enter: not answered, b: back, q: leave.")
    if scale.item_text == "licensed":
        say(f"The wording is not shown ({scale.licence}); read it from your licensed form.")
    elif scale.asked:
        say(scale.asked)
    if scale.anchors:
        say(
            ", ".join(f"{n} {text}" for n, text in enumerate(scale.anchors, scale.items[0].minimum))
        )
    answers: dict[int, int] = {}
    place = 0
    while place < len(scale.items):
        item = scale.items[place]
        sys.stderr.write(
            f"{item.number}/{len(scale.items)} {item.text} [{item.minimum}-{item.maximum}] > "
        )
        sys.stderr.flush()
        line = sys.stdin.readline()
        typed = line.strip().lower()
        if not line or typed == "q":
            raise InputError("left before the end; nothing was kept")
        if typed == "b":
            place = max(place - 1, 0)
        elif not typed:
            answers.pop(item.number, None)
            place += 1
        elif typed.isdecimal() and item.minimum <= int(typed) <= item.maximum:
            answers[item.number] = int(typed)
            place += 1
        else:
            say(f"   a whole number from {item.minimum} to {item.maximum}")
    return answers


def _one_row(
    file: str, subject: str, session: str, scale: str, operator: str, role: str, now: datetime
) -> Any:
    """The one row of a table that is this rating."""
    from tacs.rating_import import read_csv_rows

    rows = read_csv_rows(
        file, now=now, operator=operator, role=role, subject=subject, session=session, scale=scale
    )
    if len(rows) != 1:
        raise InputError(
            f"{file}: holds {len(rows)} ratings; `tacs track import` takes several, rate one"
        )
    row = rows[0]
    for what, mine, theirs in (("subject", subject, row.subject), ("scale", scale, row.scale.id)):
        if mine != theirs:
            raise InputError(f"{file}: is {what} {theirs!r}, not {mine!r}")
    return row


def _rating_lines(rating: Rating) -> list[str]:
    """One rating in words."""
    scored, scale = rating.score, rating.scale
    total = "no total" if scored.total is None else f"{scored.total:g} of {scale.total_maximum}"
    band = f", {scored.band}" if scored.band else ""
    lines = [
        f"{scale.title}: {total}{band} (subject {rating.entry.subject}, "
        f"{rating.at:%Y-%m-%d}; journal entry {rating.entry.hash[:8]})"
    ]
    if scored.missing:
        named = ", ".join(str(n) for n in scored.missing)
        rule = "the mean of the others stands in" if scored.prorated else scale.missing.source
        lines.append(f"  not answered: item {named}; {rule}")
    if scored.unanswered_alerts:
        named = ", ".join(str(n) for n in scored.unanswered_alerts)
        lines.append(f"  ! item {named} on suicidality was not answered: ask")
    return lines


def _scale_line(scale: Scale) -> str:
    change = scale.reliable_change
    return (
        f"{scale.id:<8} {scale.title}: {len(scale.items)} items, {scale.total_minimum} to "
        f"{scale.total_maximum}, {scale.rater}; {scale.licence}"
        + ("" if change is not None else "; no reliable change known")
    )


def _scale_details(scale: Scale) -> list[str]:
    """Everything a scale file says, with its sources."""
    lines = [f"  {scale.source}"]
    for item in scale.items:
        alert = "" if item.alert_at is None else f"; ALERT from {item.alert_at}"
        lines.append(
            f"  {item.number:>3}  {item.minimum}-{item.maximum}{alert}  {item.text}".rstrip()
        )
    rules: list[tuple[str, Any]] = [
        ("missing items", scale.missing), ("bands", scale.bands), ("response", scale.response),
        ("remission", scale.remission), ("reliable change", scale.reliable_change),
        *(("meaningful", one) for one in scale.meaningful),
    ]  # fmt: skip
    for name, rule in rules:
        if rule is None:
            lines.append(f"  {name}: none known")
            continue
        values = {
            k: v
            for k, v in rule.to_data().items()
            if k not in {"source", "read_at_source", "note", "levels"} and v not in ([], 0)
        }
        told = [f"{k.replace('_', ' ')} {v}" for k, v in values.items()]
        if name == "bands":
            told = [f"{level.name} from {level.start}" for level in rule.levels]
        read = "" if rule.read_at_source else "; not checked at the source"
        note = f"; {rule.note}" if rule.note else ""
        lines.append(f"  {name}: {', '.join(told)} ({rule.source}{read}{note})")
    return lines
