"""Find: bring a recording in, and estimate its peak."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from tacs import console
from tacs.console import Picks, SessionLabel, Subject
from tacs.errors import NoAnswer


def import_(
    recording: Annotated[str, typer.Argument(help="recording in any format that MNE reads")],
    out: Annotated[str, typer.Option("--out", help="data set (BIDS); made where there is none")],
    subject: Subject,
    session: SessionLabel,
    when: Annotated[str, typer.Option("--when", help="pre or post")],
    task: Annotated[str, typer.Option("--task", help="state, such as rest-closed")] = "rest-closed",
    sfreq: Annotated[
        float, typer.Option("--sfreq", help="true sampling rate, Hz", show_default=False)
    ] = 0.0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace an earlier import")
    ] = False,
) -> None:
    """Bring a clinic's recording into the data set, with a summary of its quality."""
    from tacs.bids import import_recording

    imported = import_recording(
        recording,
        out,
        subject=subject,
        session=session,
        when=when,
        task=task,
        sfreq_hz=sfreq or None,
        overwrite=overwrite,
    )
    lines = [f"imported: {imported.path}", *(f"warning: {w}" for w in imported.warnings)]
    console.output.result(imported.to_dict(), "\n".join(lines))


def peak(
    recording: Annotated[str, typer.Argument(help="recording in any format that MNE reads")],
    band: Annotated[
        tuple[float, float], typer.Option("--band", help="where to look, Hz", metavar="LOW HIGH")
    ] = (7.0, 13.0),
    picks: Picks = "",
    tmin: Annotated[float, typer.Option("--tmin", help="from, seconds", show_default=False)] = 0.0,
    tmax: Annotated[
        float, typer.Option("--tmax", help="to, seconds; 0 is the end", show_default=False)
    ] = 0.0,
    sfreq: Annotated[
        float,
        typer.Option(
            "--sfreq", help="true sampling rate where the header's is wrong, Hz", show_default=False
        ),
    ] = 0.0,
    subject: Annotated[str, typer.Option("--subject", help="whose recording it is")] = "",
    out: Annotated[str, typer.Option("--out", help="also write the JSON to this file")] = "",
    figure: Annotated[str, typer.Option("--figure", help="write a figure (.png, .svg, .pdf)")] = "",
) -> None:
    """Find the endogenous peak frequency of a recording, with an interval, or say why not."""
    from tacs.analyses import estimate_peak

    estimate = estimate_peak(
        recording,
        band_hz=band,
        picks=console.names(picks),
        tmin_s=tmin or None,
        tmax_s=tmax or None,
        sfreq_hz=sfreq or None,
        subject=subject or None,
    )
    data = estimate.to_dict()
    if out:
        from tacs.files import write_text

        write_text(out, json.dumps(data, indent=2, allow_nan=False) + "\n")
    if figure:
        console.save(estimate.plot(), figure)
    console.output.result(data, _peak_prose(data))
    if data["status"] != "found":
        raise typer.Exit(NoAnswer.exit_code)


def _peak_prose(data: dict[str, Any]) -> str:
    if data["status"] == "found":
        low, high = data["ci95_hz"]
        lines = [
            f"peak {data['frequency_hz']:.2f} Hz (95 % interval {low:.2f} to {high:.2f} Hz)",
            f"prominence {data['prominence_db']:.1f} dB, "
            f"centre of gravity {data['center_of_gravity_hz']:.2f} Hz, "
            f"{data['n_channels_used']} channels, {data['seconds_used']:.0f} s",
        ]
    else:
        head = "no reliable peak" if data["status"] == "no_peak" else "unusable recording"
        lines = [head, *(f"reason: {reason}" for reason in data["reasons"])]
    return "\n".join([*lines, *(f"warning: {warning}" for warning in data["warnings"])])
