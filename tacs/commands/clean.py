"""Clean: take the artefact of the current out of a recording, and tell what is left of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tacs import console
from tacs.console import Picks
from tacs.errors import InputError, NoAnswer

if TYPE_CHECKING:
    from analysis.artifact_result import CleanedRecording


def clean(
    recording: Annotated[str, typer.Argument(help="recorded while current flowed")],
    rest: Annotated[str, typer.Option("--rest", help="the same channels without current")],
    stim_hz: Annotated[
        float, typer.Option("--stim-hz", help="exact frequency (of the envelope), Hz")
    ],
    current: Annotated[
        str, typer.Option("--current", help="recorded current, …_stim.tsv.gz with its .json")
    ] = "",
    current_start: Annotated[
        float,
        typer.Option(
            "--current-start",
            help="when the trace begins, seconds after the EEG, if not its StartTime",
            show_default=False,
        ),
    ] = float("nan"),
    carrier_hz: Annotated[
        float,
        typer.Option("--carrier-hz", help="carrier of amplitude modulation", show_default=False),
    ] = 0.0,
    plateau: Annotated[
        tuple[float, float],
        typer.Option(
            "--plateau",
            help="full current from, to (seconds); found where left out",
            metavar="START STOP",
            show_default=False,
        ),
    ] = (0.0, 0.0),
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="ged; to replicate: sass, template, sine, adaptive, lms, comb, template+ged",
        ),
    ] = "ged",
    threshold_db: Annotated[
        float, typer.Option("--threshold-db", help="excess over rest that ged removes")
    ] = 9.0,
    picks: Picks = "",
    out: Annotated[str, typer.Option("--out", help="file to write, .fif or .vhdr")] = "",
    keep_residue: Annotated[
        bool, typer.Option("--keep-residue", help="write it even if its power cannot be read")
    ] = False,
    figure: Annotated[str, typer.Option("--figure", help="write a figure (.png, .svg, .pdf)")] = "",
) -> None:
    """Clean EEG recorded during stimulation; exit 3 where its power cannot be read."""
    from analysis.artifact import METHODS, remove_stimulation_artifact
    from analysis.artifact_current import read_current
    from analysis.artifact_write import check_target, write_cleaned
    from analysis.io import load_recording

    chosen = next((known for known in METHODS if known == method), None)
    if chosen is None:
        raise InputError(f"--method {method}: give one of {', '.join(METHODS)}")
    if out:
        check_target(out)
    start_s = None if current_start != current_start else current_start  # not given is not a number
    trace = read_current(current, start_s=start_s) if current else None
    under, quiet = (load_recording(file, picks=console.names(picks)) for file in (recording, rest))
    cleaned = remove_stimulation_artifact(
        under,
        rest=quiet,
        stim_hz=stim_hz,
        method=chosen,
        current=trace,
        carrier_hz=carrier_hz or None,
        plateau_s=plateau if plateau != (0.0, 0.0) else None,
        threshold_db=threshold_db,
    )
    sources = {
        "recording": under.path,
        "recording_sha256": under.sha256,
        "rest": quiet.path,
        "rest_sha256": quiet.sha256,
        "current": current or None,
    }
    data: dict[str, Any] = {**cleaned.to_dict(), **sources, "path": None}
    data["warnings"] = [*under.warnings, *data["warnings"]]
    prose = _prose(cleaned, data)
    if figure:
        console.save(cleaned.plot(), figure)
    if out and (cleaned.status == "cleaned" or keep_residue):
        data["path"] = str(write_cleaned(cleaned, out, **sources))
        prose += f"\nwritten: {data['path']}"
    elif out:
        prose += f"\nnot written: {out} (--keep-residue writes it all the same)"
    console.output.result(data, prose)
    if cleaned.status != "cleaned":
        raise typer.Exit(NoAnswer.exit_code)


def _prose(cleaned: CleanedRecording, data: dict[str, Any]) -> str:
    """What a person reads."""
    first, plv = cleaned.residue[0], data["plv"]
    begin, end = data["plateau_s"]
    lines = [
        data["summary"],
        f"at full current {begin:.1f} to {end:.1f} s ({cleaned.span.how}); all else is left out",
        _removed(cleaned),
        f"left at {first.frequency_hz:.2f} Hz over rest: line {first.line_db[1]:+.1f} dB, "
        f"breathing {first.breath_db[1]:+.1f} dB, heart {first.heart_db[1]:+.1f} dB; beside it "
        f"{first.near_db[1]:+.1f} dB (before: {first.line_db[0]:+.0f}, {first.breath_db[0]:+.0f}, "
        f"{first.heart_db[0]:+.0f}, {first.near_db[0]:+.0f} dB)",
        f"phase locking to the stimulator: {plv['before']['mean']:.2f} before, "
        f"{plv['after']['mean']:.2f} after (by chance up to {plv['chance95']:.2f})",
        "injection test: "
        + ", ".join(
            f"{t.planted_db:+g} dB came back as {t.recovered_db:+.1f} dB" for t in cleaned.injection
        ),
        f"clipped samples: at most {100.0 * max(cleaned.clipped.values()):.3g} % of a channel",
        f"not identifiable at {cleaned.stim_hz:.2f} Hz: {data['entrainment']['reason']}",
        *(f"instead: {offer}" for offer in cleaned.instead()),
        *(f"warning: {warning}" for warning in data["warnings"]),
    ]
    return "\n".join(lines)


def _removed(cleaned: CleanedRecording) -> str:
    """The components that were removed, line by line of the current."""
    if not cleaned.components:
        return "removed: no spatial component"
    parts = []
    for hz in dict.fromkeys(c.frequency_hz for c in cleaned.components):
        excess = [f"{c.excess_db:.0f}" for c in cleaned.components if c.frequency_hz == hz]
        parts.append(f"{len(excess)} at {hz:.1f} Hz ({', '.join(excess)} dB over rest)")
    return f"removed: {len(cleaned.components)} components, {'; '.join(parts)}"
