"""People: screening, consent, pre-flight, unwanted effects, identifiers, overrides, the journal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tacs import console
from tacs.console import SessionLabel, Subject
from tacs.errors import InputError, SafetyRefusal

if TYPE_CHECKING:
    from tacs.form_entry import Draft, Signed
    from tacs.forms import Form
    from tacs.journal import Entry

Dataset = Annotated[
    str, typer.Option("--dataset", help="data set (BIDS); made where there is none")
]
Operator = Annotated[
    str, typer.Option("--operator", help="who signs, name or code; asked for where left out")
]
Role = Annotated[
    str,
    typer.Option(
        "--role", help="operator, investigator, rater, participant, statistician or monitor"
    ),
]
Answers = Annotated[
    str, typer.Option("--answers", help="TOML or JSON file, instead of answering at the terminal")
]
Corrects = Annotated[
    str, typer.Option("--corrects", help="hash of the journal entry that this one corrects")
]


def screen(
    dataset: Dataset,
    subject: Subject,
    today: Annotated[
        bool, typer.Option("--today", help="only what may have changed since the screening")
    ] = False,
    operator: Operator = "",
    role: Role = "",
    answers: Answers = "",
    corrects: Corrects = "",
) -> None:
    """Take the screening form; with --today the questions of the day."""
    from tacs.clock import utc_now
    from tacs.forms import shipped_form
    from tacs.people import open_items

    form, kind = shipped_form("screening"), "screening"
    if today:
        form, kind = form.part(daily=True, name="recheck", title="Questions of the day"), "recheck"
    made = _take(
        form, kind, dataset, subject=subject, operator=operator, role=role, answers=answers,
        corrects=corrects,
    )  # fmt: skip
    found = open_items(dataset, subject=subject, now=utc_now())
    lines = [f"not cleared: {o.item.title}: {o.value}" for o in found]
    if found:
        lines.append("an investigator decides with `tacs override`")
    data = [{"item": o.item.id, "value": o.value, "hard_block": o.hard} for o in found]
    _told(made, {"not_cleared": data}, lines or ["every item is cleared"])


def consent(
    dataset: Dataset,
    subject: Subject,
    operator: Operator = "",
    role: Role = "",
    answers: Answers = "",
    corrects: Corrects = "",
) -> None:
    """Record consent with the version of the sheet, or that it was withdrawn."""
    from tacs.forms import shipped_form

    made = _take(
        shipped_form("consent"), "consent", dataset, subject=subject, operator=operator, role=role,
        answers=answers, corrects=corrects,
    )  # fmt: skip
    agrees = made.data["answers"]["agrees"]
    _told(made, {"agrees": agrees}, [] if agrees == "yes" else [f"no consent: {agrees}"])


def preflight(
    dataset: Dataset,
    subject: Annotated[
        str, typer.Option("--subject", help="participant; without one only the checks of the day")
    ] = "",
    session: Annotated[str, typer.Option("--session", help="session label")] = "",
    operator: Operator = "",
    role: Role = "",
    answers: Answers = "",
    corrects: Corrects = "",
) -> None:
    """Go through the pre-flight checklist; the checks of the day are asked once a day."""
    from tacs.clock import utc_now
    from tacs.form_entry import read_answers
    from tacs.forms import shipped_form
    from tacs.people import day_checks, people_breaches

    if bool(subject) != bool(session):
        raise InputError("preflight: --subject and --session belong together; give both or none")
    form = shipped_form("preflight")
    day = form.part(daily=True)
    done_today = day_checks(dataset, now=utc_now())
    whole = bool(answers) and any(item.id in read_answers(answers) for item in day.items)
    if not subject:
        form = day
    elif done_today is not None and not whole:
        console.output.say(
            f"checks of the day: taken over from journal entry {done_today.seq} "
            f"({done_today.utc[:16]}, {done_today.operator})"
        )
        form = form.part(daily=False)
    made = _take(
        form, "preflight", dataset, subject=subject, session=session, operator=operator, role=role,
        answers=answers, corrects=corrects,
    )  # fmt: skip
    if subject:
        found = people_breaches(
            dataset, subject=subject, session=session, now=utc_now(), required=("preflight",)
        )
        passed, lines = not found, [f"not passed: {breach}" for breach in found]
    else:
        passed = day_checks(dataset, now=utc_now()) is not None
        lines = [] if passed else ["not passed: mend what failed, then go through it again"]
    data = {"passed": passed}
    _told(made, data, lines or ["every check passed"])


def adverse(
    dataset: Dataset,
    subject: Subject,
    session: SessionLabel,
    when: Annotated[str, typer.Option("--when", help="before, after or next_visit")],
    operator: Operator = "",
    role: Role = "",
    answers: Answers = "",
    corrects: Corrects = "",
) -> None:
    """Ask for unwanted effects before or after a session, or at the next visit."""
    from tacs.forms import shipped_form

    made = _take(
        shipped_form("adverse_effects").at(when), "adverse_effects", dataset, subject=subject,
        session=session, operator=operator, role=role, answers=answers, corrects=corrects,
        more={"when": when},
    )  # fmt: skip
    serious = made.data["answers"].get("serious", "no")
    lines = [] if serious == "no" else [f"serious event: {serious}; tell the investigator now"]
    _told(made, {"when": when, "serious": serious}, lines)


def identify(
    dataset: Dataset,
    subject: Subject,
    session: Annotated[
        str, typer.Option("--session", help="session that is about to be armed")
    ] = "",
    enrol: Annotated[
        bool, typer.Option("--enrol", help="keep the identifiers of a participant")
    ] = False,
    operator: Operator = "",
    role: Role = "",
    answers: Answers = "",
) -> None:
    """Keep a participant's identifiers (--enrol), or type two of them again before arming."""
    from tacs.clock import utc_now
    from tacs.forms import shipped_form
    from tacs.identity import check_identifiers, enrolled, identifier_data
    from tacs.journal import ROLES, Journal

    known = enrolled(dataset, subject)
    if not enrol and not session:
        raise InputError(
            "identify: give --session to check identifiers before it, or --enrol to keep them"
        )
    if not enrol and known is None:
        raise InputError(
            f"subject {subject}: no identifiers are kept; ask for them first with "
            f"`tacs identify --enrol`"
        )
    form = shipped_form("identifiers")
    if not enrol:
        form = _as_asked_again(form, known)
    # Whoever could enrol again could make anybody match.
    roles: Sequence[str] = ("investigator",) if enrol and known is not None else ROLES
    if enrol and known is not None:
        console.output.say(
            f"subject {subject} has identifiers of {known.utc[:10]}; an investigator may correct "
            f"them"
        )
    signed = _ask(form, None, operator, role, answers, roles)
    given = signed.completed.answers
    common = {"operator": signed.operator, "role": signed.role, "subject": subject}
    journal = Journal(dataset)
    if enrol:
        data = identifier_data(subject, given, utc_now())
        made = journal.append(
            "identifiers",
            {**data, "signed": signed.method},
            corrects=None if known is None else known.hash,
            **common,
        )
        _told(
            made, {"identifiers": data["identifiers"]}, [f"kept: {', '.join(data['identifiers'])}"]
        )
        return
    breaches = check_identifiers(dataset, subject, given)
    made = journal.append(
        "identity_check",
        {"passed": not breaches, "identifiers": sorted(given), "signed": signed.method},
        session=session,
        **common,
    )
    if breaches:
        raise SafetyRefusal(breaches)
    _told(made, {"passed": True}, [f"identifiers match subject {subject}"])


def override(
    dataset: Dataset,
    subject: Subject,
    operator: Operator = "",
    role: Role = "",
    answers: Answers = "",
) -> None:
    """Decide, as an investigator, on an answer that blocks; the reason is kept."""
    from tacs.clock import utc_now
    from tacs.journal import Journal
    from tacs.people import open_items

    found = open_items(dataset, subject=subject, now=utc_now())
    if not found:
        raise InputError(f"subject {subject}: no answer waits for a decision")
    lines = [
        f"{o.item.id}: {o.item.title}: {o.value}{' (hard block)' if o.hard else ''}, "
        f"journal entry {o.entry.seq} by {o.entry.operator}, {o.entry.utc[:10]}"
        f"{'; for another person to decide' if o.item.second_person else ''}"
        for o in found
    ]
    console.output.say("\n".join(["waiting for a decision:", *lines]))
    barred = sorted({o.item.id for o in found if not o.may_be_decided_by(operator or "-")})
    names = [o.item.id for o in found if o.item.id not in barred]
    if not names:
        raise _took_the_form(barred, operator)
    form = _override_form(names)
    signed = _ask(form, None, operator, role, answers, ("investigator",))
    name = str(signed.completed.answers["item"])
    decided = [o for o in found if o.item.id == name]
    if not all(o.may_be_decided_by(signed.operator) for o in decided):
        raise _took_the_form([name], signed.operator)
    made = Journal(dataset).append(
        "override",
        {
            **signed.to_dict(),
            "entries": [o.entry.hash for o in decided],
            "values": [o.value for o in decided],
        },
        subject=subject,
        operator=signed.operator,
        role=signed.role,
    )
    left = [o.item.id for o in found if o.item.id != name]
    lines = [f"still waiting: {', '.join(left)}"] if left else ["nothing else waits"]
    _told(made, {"item": name, "still_open": left}, lines)


def card() -> None:
    """Print the emergency card for seizure and fainting."""
    from tacs.emergency_card import emergency_card

    made = emergency_card()
    console.output.result({"card": made.to_data(), "text": made.text()}, made.text())


def journal(
    dataset: Annotated[str, typer.Argument(help="data set")],
    subject: Annotated[str, typer.Option("--subject", help="only this participant")] = "",
    session: Annotated[
        str, typer.Option("--session", help="with --subject: what is missing before it")
    ] = "",
    head: Annotated[
        str, typer.Option("--head", help="a hash noted earlier: is it still in the chain?")
    ] = "",
) -> None:
    """Show the journal of a data set and verify its chain."""
    from tacs.clock import utc_now
    from tacs.dataset import find_records
    from tacs.journal import Journal
    from tacs.people import session_ready

    find_records(dataset)  # refuses what is no data set
    if session and not subject:
        raise InputError("journal: --session needs --subject")
    book = Journal(dataset)
    everything = book.entries()
    later = {e.corrects: e for e in everything if e.corrects is not None}
    shown = [e for e in everything if not subject or e.subject == subject]
    lines = [_line(e, later.get(e.hash), everything) for e in shown]
    lines.append(f"entries: {len(everything)}, every one verifies; head {book.head()}")
    data: dict[str, Any] = {
        "entries": [
            {**e.to_dict(), "corrected_by": later[e.hash].hash if e.hash in later else None}
            for e in shown
        ],
        "verified": True,
        "head": book.head(),
    }
    if session:
        ready = session_ready(dataset, subject=subject, session=session, now=utc_now())
        lines += [f"before session {session}: {breach}" for breach in ready.breaches]
        lines += [f"caution: {text}" for text in ready.cautions]
        if ready.ok:
            lines.append(f"session {session}: nothing is missing")
        data["ready"] = ready.to_dict()
    if head and not book.holds(head):
        console.output.result({**data, "verified": False}, "\n".join(lines))
        console.output.say(
            f"tacs: {book.path}: {head} is not in the chain: entries were cut off or replaced"
        )
        raise typer.Exit(5)
    console.output.result(data, "\n".join(lines))


def _take(
    form: Form,
    kind: str,
    dataset: str,
    *,
    subject: str,
    operator: str,
    role: str,
    answers: str,
    session: str = "",
    corrects: str = "",
    more: dict[str, Any] | None = None,
) -> Entry:
    """Have a form filled in and signed, and put it into the journal."""
    from tacs.dataset import check_label, ensure_dataset
    from tacs.form_entry import Draft
    from tacs.journal import Journal

    # Refuse before the first question what the journal would refuse after the last.
    for label, what in ((subject, "subject"), (session, "session")):
        if label:
            check_label(label, what)
    ensure_dataset(dataset)
    book = Journal(dataset)
    book.entries()
    corrected = book.find(corrects) if corrects else None
    times = (more or {}).get("when")
    draft = Draft.of(dataset, form.id, subject, session, times)
    signed = _ask(form, draft, operator, role, answers)
    made = book.append(
        kind,
        {**signed.to_dict(), **(more or {})},
        operator=signed.operator,
        role=signed.role,
        subject=subject or None,
        session=session or None,
        corrects=None if corrected is None else corrected.hash,
    )
    draft.clear()
    return made


def _ask(
    form: Form,
    draft: Draft | None,
    operator: str,
    role: str,
    answers: str,
    roles: Sequence[str] = (),
) -> Signed:
    """From the file, or at the terminal."""
    from tacs.clock import utc_now
    from tacs.form_entry import Terminal, fill, read_answers, sign_as
    from tacs.journal import ROLES

    roles = roles or ROLES
    if answers:
        return sign_as(
            form, read_answers(answers), answers, operator=operator, role=role, roles=roles
        )
    return fill(
        form,
        Terminal(sys.stdin, sys.stderr),
        now=utc_now(),
        draft=draft,
        operator=operator,
        role=role,
        roles=roles,
    )


def _as_asked_again(form: Form, known: Entry | None) -> Form:
    """The identifiers that are kept, with the participant's code as one of them."""
    from tacs.forms import Item

    kept = [] if known is None else known.data["identifiers"]
    code = Item(
        id="subject",
        title="Participant code",
        text="Which code stands on the participant's sheet? Read it there, not on this screen.",
        type="text",
        required=False,
        max_length=32,
    )
    items = (code, *(item for item in form.items if item.id in kept))
    intro = "Type two or more of them. Ask the participant, do not read them out."
    return form.model_copy(update={"items": items, "intro": intro, "title": "Who is it?"})


def _override_form(items: Sequence[str]) -> Form:
    """The form of an override: which item, and why."""
    from tacs.forms import Form

    return Form.from_data(
        {
            "id": "override",
            "version": "1",
            "language": "en",
            "title": "Decision on an answer that blocks",
            "source": "tacs-suite",
            "licence": "BSD-3-Clause",
            "items": [
                {
                    "id": "item",
                    "title": "Item",
                    "text": "Which answer is decided on?",
                    "type": "choice",
                    "choices": [{"value": i, "text": i} for i in dict.fromkeys(items)],
                },
                {
                    "id": "reason",
                    "title": "Reason",
                    "text": "Why may this participant be stimulated all the same?",
                    "type": "text",
                    "max_length": 500,
                    "pattern": r".*\w.*\s.*\w.*",
                    "pattern_says": "a reason in words",
                },
            ],
        },
        "override",
    )


def _took_the_form(items: Sequence[str], name: str) -> InputError:
    return InputError(
        f"{', '.join(items)}: {name} took the form; another investigator has to decide on it"
    )


def _told(made: Entry, data: dict[str, Any], lines: Sequence[str]) -> None:
    """Print what was kept."""
    first = f"{made.kind} kept: journal entry {made.seq} ({made.hash[:8]})"
    console.output.result({"entry": made.to_dict(), **data}, "\n".join([first, *lines]))


def _line(entry: Entry, corrected_by: Entry | None, everything: Sequence[Entry]) -> str:
    """One entry as one line."""
    whose = "/".join(filter(None, [entry.subject, entry.session])) or "–"
    parts = [
        f"{entry.seq:>4}  {entry.utc[:16]}  {entry.hash[:8]}  {entry.kind:<15} {whose:<10} "
        f"{entry.operator} ({entry.role})"
    ]
    answers = entry.data.get("answers", {})
    told = ", ".join(f"{name}={value}" for name, value in answers.items())
    if "passed" in entry.data:
        told = "match" if entry.data["passed"] else "DO NOT MATCH"
    if told:
        parts.append(f"        {entry.data.get('when', '')} {told}".replace("  ", " ").rstrip())
    if entry.corrects is not None:
        number = next(e.seq for e in everything if e.hash == entry.corrects)
        parts.append(f"        corrects entry {number}")
    if corrected_by is not None:
        parts.append(f"        corrected by entry {corrected_by.seq}")
    return "\n".join(parts)
