"""Exports: the data set for other people's tools, and for other people's eyes."""

from __future__ import annotations

from typing import Annotated

import typer

from tacs import console

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


def _left(texts: tuple[str, ...]) -> list[str]:
    return ["left out:", *(f"  {text}" for text in texts)] if texts else []
