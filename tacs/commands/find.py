"""Find: bring a recording in, and estimate its peak."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from tacs import console
from tacs.console import Picks, SessionLabel, Subject
from tacs.errors import NoAnswer

if TYPE_CHECKING:
    from analysis.estimate import PeakEstimate


def import_(
    recording: Annotated[str, typer.Argument(help="recording in any format that MNE reads")],
    out: Annotated[str, typer.Option("--out", help="data set (BIDS); made where there is none")],
    subject: Subject,
    session: SessionLabel,
    when: Annotated[str, typer.Option("--when", help="pre, post or during")],
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
    recording: Annotated[
        str, typer.Argument(help="recording in any format that MNE reads, XDF, .easy, text tables")
    ],
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
    bids: Annotated[
        str, typer.Option("--bids", help="recording of a BIDS folder, as sub-01_ses-1_task-rest")
    ] = "",
    stream: Annotated[str, typer.Option("--stream", help="stream of an XDF file")] = "",
    reference: Annotated[
        str, typer.Option("--reference", help="auto, average or recorded")
    ] = "auto",
    events: Annotated[
        tuple[str, float, float],
        typer.Option(
            "--events",
            help="only the time around an event: name, from, to (seconds)",
            metavar="NAME TMIN TMAX",
            show_default=False,
        ),
    ] = ("", 0.0, 0.0),
    open_eyes: Annotated[
        str, typer.Option("--open", help="the same person with eyes open: does the rhythm fall?")
    ] = "",
    against: Annotated[
        str, typer.Option("--against", help="protocol: is its frequency still right?")
    ] = "",
    clean: Annotated[
        str, typer.Option("--clean", help="library rejection first: autoreject, prep or both")
    ] = "",
    method: Annotated[
        str,
        typer.Option(
            "--method", help="reproduce a publication, not for planning: restingiaf, fooof or cog"
        ),
    ] = "",
    cross_check: Annotated[
        bool, typer.Option("--cross-check", help="also ask fooof (a report always does)")
    ] = False,
    out: Annotated[str, typer.Option("--out", help="also write the JSON to this file")] = "",
    figure: Annotated[str, typer.Option("--figure", help="write a figure (.png, .svg, .pdf)")] = "",
    report: Annotated[str, typer.Option("--report", help="write a report (.html)")] = "",
) -> None:
    """Find the endogenous peak frequency of a recording, with an interval, or say why not."""
    from tacs.analyses import estimate_peak

    prescribed = None
    if against:
        from tacs.protocol import Protocol

        prescribed = Protocol.from_toml(against)
    estimate = estimate_peak(
        recording,
        band_hz=band,
        picks=console.names(picks),
        tmin_s=tmin or None,
        tmax_s=tmax or None,
        sfreq_hz=sfreq or None,
        subject=subject or None,
        entities=bids or None,
        stream=stream or None,
        method=method or None,
        reference=reference,
        clean=clean or None,
        events=events if events[0] else None,
        open_eyes=open_eyes or None,
        cross_check=cross_check or (bool(report) and not method),
    )
    data = estimate.to_dict()
    if out:
        from tacs.files import write_text

        write_text(out, json.dumps(data, indent=2, allow_nan=False) + "\n")
    prose = _peak_prose(estimate)
    exit_code = 0 if estimate.status == "found" else NoAnswer.exit_code
    again = None
    if prescribed is not None:
        from tacs.remeasure import remeasure

        result = remeasure(estimate, prescribed, peak_file=out or None)
        again, exit_code = result.to_dict(), result.exit_code
        prose += "\n" + "\n".join(
            [f"against {against}: {result.verdict}", result.advice, result.prediction]
            + [f"warning: {text}" for text in result.warnings]
        )
    if figure and estimate.spectrum is None:
        why = "cannot be used" if estimate.status == "unusable" else "has no spectrum here"
        console.output.say(f"no figure: the recording {why}")
    elif figure:
        console.save(estimate.plot(), figure)
    if report:
        from tacs.peak_report import peak_report

        page = peak_report(estimate, report, against=again, clean=estimate.clean)
        prose += f"\nreport: {page}"
    console.output.result(data if again is None else {**data, "against": again}, prose)
    if exit_code:
        raise typer.Exit(exit_code)


def _peak_prose(estimate: PeakEstimate) -> str:
    """What a person reads."""
    if estimate.status != "found":
        head = "no reliable peak" if estimate.status == "no_peak" else "unusable recording"
        lines = [head, *(f"reason: {reason}" for reason in estimate.reasons)]
    else:
        lines = [_headline(estimate), *_details(estimate)]
    return "\n".join([*lines, *(f"warning: {warning}" for warning in estimate.warnings)])


def _headline(estimate: PeakEstimate) -> str:
    """The frequency, or both."""
    head = "provisional peak" if estimate.provisional else "peak"
    if estimate.replication:
        return f"replication, not for planning: {estimate.frequency_hz:.2f} Hz (no interval)"
    if len(estimate.peaks) > 1:
        first, second = (peak.frequency_hz for peak in estimate.peaks)
        return f"two peaks: {first:.2f} Hz (the higher) and {second:.2f} Hz; no interval"
    if estimate.ci95_hz is None:
        return f"{head} {estimate.frequency_hz:.2f} Hz (no interval)"
    low, high = estimate.ci95_hz
    return f"{head} {estimate.frequency_hz:.2f} Hz (95 % interval {low:.2f} to {high:.2f} Hz)"


def _details(estimate: PeakEstimate) -> list[str]:
    """Prominence, extent, halves and reactivity, as far as known."""
    parts = []
    if estimate.prominence_db is not None:
        parts.append(f"prominence {estimate.prominence_db:.1f} dB")
    if estimate.center_of_gravity_hz is not None:
        parts.append(f"centre of gravity {estimate.center_of_gravity_hz:.2f} Hz")
    parts.append(f"{estimate.n_channels_used} channels, {estimate.seconds_used:.0f} s")
    lines = [", ".join(parts)]
    halves = estimate.stability
    if halves is not None and halves.difference_hz is not None and halves.ci95_difference_hz:
        low, high = halves.ci95_difference_hz
        lines.append(
            f"second half minus first {halves.difference_hz:+.2f} Hz "
            f"(95 % interval {low:+.2f} to {high:+.2f} Hz)"
        )
    if estimate.reactivity is not None and estimate.reactivity.reactive:
        lines.append(estimate.reactivity.describe())
    if estimate.cross_check is not None and estimate.cross_check.frequency_hz is not None:
        check = estimate.cross_check
        lines.append(f"{check.method}: {check.frequency_hz:.2f} Hz")
    return lines
