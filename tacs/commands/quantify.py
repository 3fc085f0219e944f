"""Quantify: before against after, and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tacs import console
from tacs.console import Picks, Subject


def compare(
    pre: Annotated[str, typer.Argument(help="recording before the session")],
    post: Annotated[str, typer.Argument(help="recording after it, in the same state")],
    peak_hz: Annotated[
        float, typer.Option("--peak-hz", help="peak that fixes the band, Hz", show_default=False)
    ] = 0.0,
    peak: Annotated[str, typer.Option("--peak", help="JSON of `tacs peak`")] = "",
    protocol: Annotated[str, typer.Option("--protocol", help="protocol file")] = "",
    picks: Picks = "",
    retest: Annotated[
        list[str] | None,
        typer.Option(
            "--retest",
            metavar="A B",
            help="two recordings without stimulation in between; repeat it for every such pair",
        ),
    ] = None,
    figures: Annotated[str, typer.Option("--figures", help="folder for figures")] = "",
) -> None:
    """Compare power and connectivity before and after a session."""
    from tacs.analyses import compare_recordings

    outcome = compare_recordings(
        pre,
        post,
        peak_hz=peak_hz or None,
        peak_file=peak or None,
        protocol_file=protocol or None,
        picks=console.names(picks),
        retest_files=console.pairs(retest, "--retest"),
    )
    data = outcome.to_dict()
    if figures:
        from analysis.figures_outcome import plot_connectivity, plot_spectra, plot_topographies

        for name, draw in (
            ("spectra", plot_spectra),
            ("topographies", plot_topographies),
            ("connectivity", plot_connectivity),
        ):
            console.save(draw(outcome), str(Path(figures) / f"{name}.png"))
    lines = [data["summary"], *(f"warning: {warning}" for warning in data["warnings"])]
    console.output.result(data, "\n".join(lines))


def report(
    dataset: Annotated[str, typer.Argument(help="data set")],
    subject: Subject,
    session: Annotated[
        str, typer.Option("--session", help="session label; all where left out")
    ] = "",
    out: Annotated[str, typer.Option("--out", help="file to write instead of the usual one")] = "",
) -> None:
    """Write the HTML report of a session."""
    from tacs.report import write_report

    path = write_report(dataset, subject, session or None, out=out or None)
    console.output.result({"path": str(path)}, f"report: {path}")
