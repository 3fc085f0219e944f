"""Blind: keys, allocation, guesses, unblinding, and what the statistician opens afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tacs import console
from tacs.console import SessionLabel, Subject
from tacs.errors import InputError

app = typer.Typer(
    help="Blinded studies: keys, allocation, guesses, unblinding, opening sealed files.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
StudyName = Annotated[str, typer.Option("--study", help="name of an imported study")]
Person = Annotated[str, typer.Option("--person", help="name of whoever asks")]
Reason = Annotated[str, typer.Option("--reason", help="in own words; kept")]


@app.command()
def keygen(
    out: Annotated[str, typer.Option("--out", help="folder for the two files")],
) -> None:
    """Make the statistician's pair of keys; the private one never goes to a site."""
    from tacs.sealing import generate_keys

    public, private = generate_keys(out)
    console.output.result(
        {"public_key": str(public), "private_key": str(private)},
        f"public key:  {public}\nprivate key: {private}; keep it, and a copy, outside the team",
    )


@app.command()
def allocate(
    design: Annotated[str, typer.Argument(help="design file: study, arms, strata, block sizes")],
    public_key: Annotated[str, typer.Option("--public-key", help="the statistician's")],
    out: Annotated[str, typer.Option("--out", help="folder for the three files")],
    table: Annotated[
        str, typer.Option("--table", help="CSV or TOML table made elsewhere, e.g. for REDCap")
    ] = "",
) -> None:
    """Draw the table of a study, or close one made elsewhere; done by the statistician."""
    from tacs.allocation import Design, read_table
    from tacs.allocation import allocate as make
    from tacs.sealing import read_public_key

    made = make(
        Design.from_toml(design),
        read_public_key(public_key),
        out,
        rows=read_table(table) if table else None,
    )
    lines = [
        f"for every computer:   {made.study}",
        f"for the site's folder: {made.site_key} (send it by another way)",
        f"stays sealed:         {made.table}",
        f"deposit before the first participant: {made.commitment_sha256}",
        *(f"warning: {text}" for text in made.warnings),
    ]
    console.output.result(made.to_dict(), "\n".join(lines))


@app.command("import")
def import_(
    study: Annotated[str, typer.Argument(help="…_study.toml from the statistician")],
    key: Annotated[str, typer.Option("--key", help="…_site.key from the statistician")],
) -> None:
    """Bring a study to this computer."""
    from tacs.blinding import import_study

    found = import_study(study, key)
    strata = [s.name for s in found.study.strata]
    data = {
        "study": found.name,
        "strata": strata,
        "slots": len(found.study.slots),
        "commitment_sha256": found.study.commitment_sha256,
        "folder": str(found.folder),
    }
    prose = (
        f"study {found.name}: {len(found.study.slots)} slots in {', '.join(strata)}; plan its "
        f"sessions with --blinding-label {found.name}, then delete {key}"
    )
    console.output.result(data, prose)


@app.command()
def guess(
    study: StudyName,
    subject: Subject,
    session: SessionLabel,
    who: Annotated[str, typer.Option("--who", help="participant, operator or rater")],
    answer: Annotated[str, typer.Option("--guess", help="active, sham or unknown")],
    confidence: Annotated[int, typer.Option("--confidence", help="0 guessing to 10 certain")],
    reason: Reason = "",
) -> None:
    """Keep what somebody believes the arm to be; asked once after each session."""
    from tacs.blinding import load_study

    kept = load_study(study).record_guess(
        subject, session, who=who, guess=answer, confidence=confidence, reason=reason
    )
    console.output.result(kept.to_dict(), f"kept: the {who} says {answer} ({confidence} of 10)")


@app.command()
def unblind(
    study: StudyName,
    subject: Subject,
    person: Person,
    reason: Reason,
    role: Annotated[
        str,
        typer.Option(
            "--role", help="investigator, physician, operator, statistician, monitor or other"
        ),
    ] = "other",
    token: Annotated[
        str, typer.Option("--token", help="from the first step; left out: the first step")
    ] = "",
) -> None:
    """Reveal one participant's arm in an emergency, in two steps; both are kept for good."""
    from tacs.blinding import load_study

    here = load_study(study)
    if not token:
        given = here.request_unblinding(subject, person=person, role=role, reason=reason)
        console.output.result(
            {"step": "requested", "subject": subject, "token": given},
            f"kept. To reveal the arm of {subject}, repeat with --token {given} within an hour",
        )
        return
    arm = here.confirm_unblinding(subject, token=token, person=person, reason=reason)
    console.output.result(
        {"step": "revealed", "subject": subject, "arm": arm.code, "waveform": arm.waveform},
        f"subject {subject}: arm {arm.code}, {arm.waveform}. This participant is unblinded; kept",
    )


@app.command("open")
def open_(
    sealed: Annotated[str, typer.Argument(help="sealed record, trace or table")],
    key: Annotated[str, typer.Option("--key", help="the statistician's private key")],
    out: Annotated[str, typer.Option("--out", help="file to write; must not exist")],
    study: Annotated[
        str, typer.Option("--study", help="study file: a table must be the one it committed to")
    ] = "",
) -> None:
    """Open a sealed file, as far as it verifies; done by the statistician after the study."""
    from tacs.allocation import Study, open_table
    from tacs.blinded_record import check_against_open
    from tacs.sealing import open_sealed, read_private_key

    private = read_private_key(key)
    if study:
        open_table(sealed, private, Study.from_toml(study))
    opened = open_sealed(sealed, private)
    problem = opened.problem or check_against_open(sealed)
    if problem is None and not opened.complete:
        problem = "has no end: it was cut off, or the session was interrupted"
    _write_new(Path(out), opened.unpadded())
    data = {
        "out": out,
        "blocks": opened.blocks,
        "complete": opened.complete,
        "problem": problem,
        "head": opened.head,
    }
    prose = f"{out}: {opened.blocks} blocks" + ("" if opened.complete else ", no end")
    console.output.result(data, prose + (f"; NOT WHOLE: {problem}" if problem else ""))
    if problem:
        raise typer.Exit(5)


@app.command()
def index(
    study: Annotated[str, typer.Option("--study", help="name of an imported study")] = "",
    table: Annotated[str, typer.Option("--table", help="…_table.sealed of the statistician")] = "",
    key: Annotated[str, typer.Option("--key", help="the statistician's private key")] = "",
    counts: Annotated[
        str,
        typer.Option(
            "--counts",
            help="six numbers instead: active, sham, unknown of the active arm, then of the sham",
        ),
    ] = "",
) -> None:
    """Say whether the blinding held: James's and Bang's indices, by session and by who guessed."""
    if counts:
        try:
            a = [int(word) for word in counts.replace(",", " ").split()]
        except ValueError as exc:
            raise InputError(f"--counts {counts!r}: needs six whole numbers") from exc
        if len(a) != 6:
            raise InputError(f"--counts {counts!r}: needs six whole numbers, not {len(a)}")
        found = [_indices("", "", [[a[0], a[3]], [a[1], a[4]], [a[2], a[5]]])]
    elif study and table and key:
        found = _indices_of(study, table, key)
    else:
        raise InputError("give --study, --table and --key, or --counts")
    prose = "\n".join(_prose(entry) for entry in found)
    console.output.result({"indices": found}, prose or "nobody was asked yet")


def _indices_of(study: str, table: str, key: str) -> list[dict[str, object]]:
    """Indices of every session and everybody who was asked."""
    from tacs.allocation import open_table
    from tacs.blinding import GUESSES, WHO, load_study
    from tacs.sealing import read_private_key

    here = load_study(study)
    opened = open_table(table, read_private_key(key), here.study)
    column = {
        given.subject: int(opened.waveform_of(given.stratum, given.slot) != "tacs")
        for given in here.assignments()
    }
    guesses = here.guesses()
    found = []
    for session in sorted({answer.session for answer in guesses}):
        for who in WHO:
            counts = [[0, 0], [0, 0], [0, 0]]
            for answer in guesses:
                if (answer.session, answer.who) == (session, who):
                    counts[GUESSES.index(answer.guess)][column[answer.subject]] += 1
            if any(map(any, counts)):
                found.append(_indices(session, who, counts))
    return found


def _indices(session: str, who: str, counts: list[list[int]]) -> dict[str, object]:
    """Both indices of one table; null where one is not defined, with the reason."""
    from analysis.blinding_index import bang_index, james_index
    from analysis.errors import AnalysisError

    entry: dict[str, object] = {"session": session, "who": who, "counts": counts, "reasons": []}
    reasons = []
    try:
        entry["james"] = james_index(counts).to_dict()
    except AnalysisError as exc:
        entry["james"] = None
        reasons.append(str(exc))
    try:
        active, sham = bang_index(counts)
        entry["bang"] = {"active": active.to_dict(), "sham": sham.to_dict()}
    except AnalysisError as exc:
        entry["bang"] = None
        reasons.append(str(exc))
    return {**entry, "reasons": reasons}


def _prose(entry: dict[str, object]) -> str:
    head = f"session {entry['session']}, {entry['who']}" if entry["who"] else "as counted"
    lines = [f"{head}: guesses active, sham, unknown by arm {entry['counts']}"]
    james, bang = entry["james"], entry["bang"]
    if isinstance(james, dict):
        lines.append(f"  James {_one(james)}   1 nobody knows, below 0.5 the blind was broken")
    if isinstance(bang, dict):
        for arm in ("active", "sham"):
            lines.append(f"  Bang, {arm} arm {_one(bang[arm])}   0 chance, 1 all right")
    reasons = entry["reasons"]
    return "\n".join([*lines, *(f"  {r}" for r in (reasons if isinstance(reasons, list) else []))])


def _one(index: dict[str, float | list[float]]) -> str:
    low, high = index["ci"] if isinstance(index["ci"], list) else (0.0, 0.0)
    return f"{index['value']:.3f} (95 % {low:.3f} to {high:.3f}, n {index['n']})"


def _write_new(path: Path, content: bytes) -> None:
    """Write what was opened, for its owner only, and over nothing."""
    import os

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as exc:
        raise InputError(f"{path}: is there already; give another --out") from exc
    except OSError as exc:
        raise InputError(f"{path}: cannot be written ({exc.strerror})") from exc
    with os.fdopen(fd, "wb") as file:
        file.write(content)
