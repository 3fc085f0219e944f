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
    after_min: Annotated[
        float | None,
        typer.Option(
            "--after-min",
            help="minutes from the end of the current to the start of POST, for the course over "
            "time; 0 where left out",
            show_default=False,
        ),
    ] = None,
    later: Annotated[
        list[str] | None,
        typer.Option(
            "--later",
            help="further recording after the session as FILE@MINUTES, minutes from the end of "
            "the current to its start; repeat for more",
        ),
    ] = None,
    peak_sd_hz: Annotated[
        float | None,
        typer.Option(
            "--peak-sd-hz",
            help="the site's test-retest standard deviation of a difference of peaks, Hz",
            show_default=False,
        ),
    ] = None,
    artefacts: Annotated[
        str,
        typer.Option(
            "--artefacts",
            help="beyond leaving out gross ones: none, ica (components by ICLabel), autoreject or "
            "both, the same in both recordings",
        ),
    ] = "none",
    retest: Annotated[
        list[str] | None,
        typer.Option(
            "--retest",
            metavar="A B",
            help="two recordings without stimulation in between; repeat it for every such pair",
        ),
    ] = None,
    figures: Annotated[str, typer.Option("--figures", help="folder for figures")] = "",
    report: Annotated[
        str, typer.Option("--report", help="write a report (.html), and its numbers beside it")
    ] = "",
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
        after_min=after_min,
        later=later or (),
        retest_peak_sd_hz=peak_sd_hz,
        artefacts=artefacts,
        retest_files=console.pairs(retest, "--retest"),
    )
    data = outcome.to_dict()
    if figures:
        from analysis.figures_connectivity import (
            plot_circle,
            plot_global_spectrum,
            plot_network_effect,
        )
        from analysis.figures_course import plot_time_course
        from analysis.figures_outcome import plot_connectivity, plot_spectra, plot_topographies

        for name, draw in (
            ("spectra", plot_spectra),
            ("topographies", plot_topographies),
            ("connectivity", plot_connectivity),
            ("connectivity_circle", plot_circle),
            ("connectivity_spectrum", plot_global_spectrum),
            ("network_effect", plot_network_effect),
            ("time_course", plot_time_course),
        ):
            console.save(draw(outcome), str(Path(figures) / f"{name}.png"))
    told = data["connectivity"].get("summary")
    lines = [
        data["summary"],
        *([told] if told else []),
        *(f"warning: {warning}" for warning in data["warnings"]),
    ]
    if report:
        from tacs.outcome_report import outcome_report

        page, numbers = outcome_report(
            outcome, report, before=pre, after=post, protocol=protocol or None
        )
        lines += [f"report: {page}", f"numbers: {numbers}"]
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
