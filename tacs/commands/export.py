"""Exports: the data set for other people's tools, and for other people's eyes."""

from __future__ import annotations

from typing import Annotated

import typer

from tacs import console
from tacs.errors import InputError

Dataset = Annotated[str, typer.Argument(help="the data set")]
Out = Annotated[str, typer.Option("--out", help="new folder for the export")]

app = typer.Typer(
    help="Export a data set: NIBS-BIDS, reporting checklists, a copy that tells nobody's name.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("nibs-bids")
def nibs_bids(
    dataset: Dataset,
    out: Out,
    spec: Annotated[str, typer.Option("--spec", help="version of the proposal")] = "6.3",
) -> None:
    """Write every session in the layout of the NIBS-BIDS proposal, and say what was left out."""
    from tacs.export_nibs import export_nibs

    done = export_nibs(dataset, out, spec=spec)
    lines = [f"{done.path}: {done.sessions} sessions, NIBS-BIDS {spec}", *_left(done.left_out)]
    console.output.result(done.to_dict(), "\n".join(lines))


@app.command()
def checklist(
    dataset: Dataset,
    subject: console.Subject,
    session: console.SessionLabel,
    kind: Annotated[str, typer.Option("--kind", help="rates or contes")],
    out: Annotated[
        str, typer.Option("--out", help="file to write, .md or .json; printed if left out")
    ] = "",
) -> None:
    """Fill a reporting checklist from a session's record; what it does not say is listed."""
    import json
    from pathlib import Path

    from tacs.export_checklist import fill_checklist
    from tacs.files import write_text

    if out and Path(out).suffix not in {".md", ".json"}:
        raise InputError(f"--out {out}: must end in .md or .json")
    filled = fill_checklist(dataset, subject, session, kind)
    data, prose = filled.to_dict(), filled.to_markdown()
    if out:
        text = prose
        if Path(out).suffix == ".json":
            text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
        write_text(out, text)
        data["path"] = out
        prose = f"{out}: {data['answered']} topics answered, {len(filled.missing)} missing"
    console.output.result(data, prose)


@app.command()
def deidentified(
    dataset: Dataset,
    out: Out,
    subject_key: Annotated[
        str, typer.Option("--subject-key", help="new file for who is who; keep it apart")
    ],
) -> None:
    """Copy a data set without names, dates and free text; the key is a file of its own."""
    from tacs.deidentify import deidentify

    done = deidentify(dataset, out, subject_key)
    lines = [
        f"{done.path}: {done.subjects} people, {done.sessions} sessions, {done.files} files",
        f"key: {done.key} (keep it apart; with it the data are personal data still)",
    ]
    for why, names in done.left_out.items():
        lines += [f"left out, {why}:", *(f"  {name}" for name in names)]
    console.output.result(done.to_dict(), "\n".join(lines))


def _left(texts: tuple[str, ...]) -> list[str]:
    return ["left out:", *(f"  {text}" for text in texts)] if texts else []
