"""Profile: how this brain answers to a drive; what a design can find, and what was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tacs import console
from tacs.console import Picks
from tacs.errors import InputError

if TYPE_CHECKING:
    from analysis.profile_result import ResponseProfile

app = typer.Typer(
    help="Response profile: sweep a drive over frequencies, read what answers.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

ModeOption = Annotated[
    str,
    typer.Option(
        "--mode",
        help="photic (any drive without current), electrical (trains; only gaps are read) or "
        "virtual",
    ),
]


def _mode(text: str) -> Literal["photic", "electrical", "virtual"]:
    """Mode as the analysis names it."""
    if text == "photic":
        return "photic"
    if text == "electrical":
        return "electrical"
    if text == "virtual":
        return "virtual"
    raise InputError(f"--mode {text}: give photic, electrical or virtual")


@app.command()
def plan(
    peak_hz: Annotated[float, typer.Option("--peak-hz", help="the person's own frequency, Hz")],
    mode: ModeOption = "photic",
    expected_plv: Annotated[
        float,
        typer.Option("--expected-plv", help="locking expected while driven; 0.16 is an assumption"),
    ] = 0.16,
    fwhm_hz: Annotated[
        float, typer.Option("--fwhm-hz", help="width of the rhythm's line at rest, Hz")
    ] = 1.0,
    seconds: Annotated[
        float,
        typer.Option("--seconds", help="of a block or train; 120, or 2", show_default=False),
    ] = 0.0,
    trains: Annotated[
        int, typer.Option("--trains", help="per frequency (electrical)", show_default=False)
    ] = 190,
    repeats: Annotated[int, typer.Option("--repeats", help="of the whole sweep")] = 1,
    levels: Annotated[
        str, typer.Option("--levels", help="of the drive, with commas; three give a locking region")
    ] = "1",
    no_sham: Annotated[bool, typer.Option("--no-sham", help="leave sham out")] = False,
    anchors: Annotated[
        int,
        typer.Option(
            "--anchors", help="repeats at the peak; 2 for photic, else 0", show_default=False
        ),
    ] = -1,
    jitter: Annotated[
        int,
        typer.Option(
            "--jitter", help="blocks of jittered drive; 3 for photic, else 0", show_default=False
        ),
    ] = -1,
    seed: Annotated[int, typer.Option("--seed", help="of the order")] = 0,
    out: Annotated[str, typer.Option("--out", help="plan (JSON) for tacs profile run")] = "",
) -> None:
    """Plan a profile: order, length, and whether it can detect what it asks."""
    from analysis.profile_plan import plan_profile

    if seconds < 0.0 or seed < 0:
        raise InputError("--seconds and --seed: give 0 or more")
    design = plan_profile(
        _mode(mode),
        peak_hz,
        expected_plv=expected_plv,
        fwhm_hz=fwhm_hz,
        seconds_per_block=seconds or None,
        trains=trains,
        repeats=repeats,
        levels=_levels(levels),
        sham=not no_sham,
        anchors=None if anchors == -1 else anchors,
        jittered=None if jitter == -1 else jitter,
        seed=seed,
    )
    unit = "trains" if design.trains else "s per block"
    per = f"{design.trains} trains of " if design.trains else ""
    several = len(set(design.order_level)) > 1
    order = ", ".join(
        "sham"
        if kind == "sham"
        else ("" if kind == "drive" else f"{kind} ")
        + f"{hz:g}"
        + (f" at {level:g}" if several else "")
        for hz, level, kind in zip(
            design.order_hz, design.order_level, design.order_kind, strict=True
        )
    )
    lines = [
        *(f"rest before: eyes {eyes}, {lasts:g} s" for eyes, lasts in design.rest),
        f"order (Hz): {order}",
        f"each: {per}{design.seconds_per_block:g} s; in all {design.minutes:.0f} min with gaps",
        f"finds locking of {design.detectable_plv:.2f} with power 0.8; {design.expected_plv:.2f} "
        f"is expected where it is read, which needs {design.needed:.0f} {unit}",
        *(f"warning: {text}" for text in design.warnings),
    ]
    data = design.to_dict()
    if out:
        from tacs.files import write_text

        write_text(out, json.dumps(data, indent=1) + "\n")
        data["plan"] = out
        lines.append(f"plan: {out}")
    console.output.result(data, "\n".join(lines))


def _levels(text: str) -> list[float]:
    """Levels with commas between."""
    try:
        return [float(word) for word in text.split(",")]
    except ValueError as exc:
        raise InputError(f"--levels {text}: write numbers with commas between") from exc


@app.command()
def run(
    plan: Annotated[str, typer.Argument(help="plan, made with tacs profile plan --out")],
    source: Annotated[
        str,
        typer.Option("--source", help="live EEG as of tacs watch (photic): lsl:NAME, replay:FILE"),
    ] = "",
    mode: Annotated[str, typer.Option("--mode", help="photic or virtual; must be the plan's")] = "",
    out: Annotated[str, typer.Option("--out", help="data set (BIDS) to record into")] = "",
    subject: Annotated[str, typer.Option("--subject", help="participant")] = "",
    session: Annotated[str, typer.Option("--session", help="session")] = "",
    task: Annotated[str, typer.Option("--task", help="state, in the file names")] = "profile",
    marks: Annotated[
        str,
        typer.Option(
            "--marks", help="table of when each block began (onset, trial_type), for a replay"
        ),
    ] = "",
    markers: Annotated[
        str, typer.Option("--markers", help="stream of marks, lsl:NAME; else Return is a mark")
    ] = "",
    screened: Annotated[
        bool, typer.Option("--screened", help="the person was screened for photosensitivity")
    ] = False,
    no_light: Annotated[
        bool, typer.Option("--no-light", help="the drive is sound, touch or other, not light")
    ] = False,
    picks: Picks = "",
    gap: Annotated[
        float, typer.Option("--gap", help="without drive, seconds; as planned", show_default=False)
    ] = -1.0,
    patience: Annotated[float, typer.Option("--patience", help="for a mark, seconds")] = 600.0,
    seed: Annotated[int, typer.Option("--seed", help="of the virtual patient")] = 0,
    peak_hz: Annotated[
        float, typer.Option("--peak-hz", help="of the virtual patient", show_default=False)
    ] = 0.0,
    clock: Annotated[
        str, typer.Option("--clock", help="real, or virtual (replay and virtual only)")
    ] = "real",
) -> None:
    """Run a plan: EEG recorded while somebody else drives, or a virtual patient driven."""
    from dataclasses import replace

    from tacs.commands.profile_running import run_external
    from tacs.profile_blocks import RunPlan

    chosen = RunPlan.read(plan)
    if mode and _mode(mode) != chosen.mode:
        raise InputError(f"--mode {mode}: the plan is one of mode {chosen.mode}")
    if not (gap == -1.0 or 0.0 <= gap <= 3600.0):
        raise InputError(f"--gap {gap:g}: write 0 to 3600 s")
    if gap >= 0.0:
        chosen = replace(chosen, gap_s=gap)
    if missing := [k for k, v in (("--out", out), ("--subject", subject), ("--session", session))
                   if not v]:  # fmt: skip
        raise InputError(f"a profile is recorded while it runs: give {missing[0]}")
    run_external(
        chosen,
        source=source,
        labels={"out": out, "subject": subject, "session": session, "task": task},
        marks=marks,
        markers=markers,
        allowed=screened or no_light,
        picks=console.names(picks),
        patience_s=patience,
        patient=(seed, peak_hz),
        clock=clock,
    )


@app.command()
def analyze(
    recording: Annotated[str, typer.Argument(help="recording in any format that MNE reads")],
    blocks: Annotated[
        str,
        typer.Option(
            "--blocks",
            help="table (.tsv): frequency_hz, level, kind (drive, sham), start_s, stop_s; "
            "optional order, phase_rad, group",
        ),
    ],
    mode: ModeOption = "photic",
    sham: Annotated[str, typer.Option("--sham", help="recording without drive, as sham")] = "",
    rest: Annotated[str, typer.Option("--rest", help="recording at rest, for the line")] = "",
    drive_channel: Annotated[
        str, typer.Option("--drive-channel", help="channel that recorded the drive")
    ] = "",
    picks: Picks = "",
    band: Annotated[
        tuple[float, float],
        typer.Option(
            "--band",
            help="of the phase, Hz; chosen by the drives",
            metavar="LOW HIGH",
            show_default=False,
        ),
    ] = (0.0, 0.0),
    read: Annotated[
        tuple[float, float],
        typer.Option(
            "--read", help="of each gap, s after the train (electrical)", metavar="FROM TO"
        ),
    ] = (0.1, 0.4),
    permutations: Annotated[int, typer.Option("--permutations", help="draws")] = 2000,
    seed: Annotated[int, typer.Option("--seed", help="of the draws")] = 0,
    figures: Annotated[str, typer.Option("--figures", help="folder for profile.png")] = "",
) -> None:
    """Analyze a sweep: curve less its null, verdict, resonance, echo, after-effect."""
    from analysis.io import load_recording
    from analysis.profile import analyze_profile
    from analysis.profile_blocks import read_blocks
    from analysis.profile_input import append_sham

    chosen = _mode(mode)
    if sham and chosen == "electrical":
        raise InputError("--sham: in mode electrical the sham trains stand in the table of blocks")
    if seed < 0:
        raise InputError(f"--seed {seed}: give 0 or more")
    table = read_blocks(blocks)
    loaded = load_recording(recording)
    raw = loaded.raw
    if sham:
        raw, table = append_sham(raw, load_recording(sham).raw, table)
    profile = analyze_profile(
        raw,
        table,
        mode=chosen,
        picks=console.names(picks),
        drive_channel=drive_channel or None,
        band_hz=band if band != (0.0, 0.0) else None,
        read_s=read,
        rest=load_recording(rest).raw if rest else None,
        n_permutations=permutations,
        seed=seed,
    )
    data: dict[str, Any] = {
        **profile.to_dict(),
        "recording": loaded.path,
        "recording_sha256": loaded.sha256,
        "blocks": blocks,
        "sham": sham or None,
    }
    data["warnings"] = [*loaded.warnings, *data["warnings"]]
    if figures:
        path = Path(figures) / "profile.png"
        console.save(profile.plot(), str(path))
        data["figure"] = str(path)
    console.output.result(data, _prose(profile, data["warnings"]))


def _prose(profile: ResponseProfile, warnings: list[str]) -> str:
    """What a person reads."""
    test = profile.test
    found = {
        "response": "response: locking to the drive beyond chance",
        "no_response": "no response found; this is not proof of none: a block would have shown "
        f"locking of {profile.detectable_plv:.2f} with power 0.8",
        "undetermined": "undetermined: sham answers at the same frequency",
    }[profile.verdict]
    lines = [f"{found} (p {test.p:.4f} over the whole sweep, {test.n_draws} permutations)"]
    for row in profile.answers:
        lines.append(
            f"  {row.frequency_hz:g} Hz, level {row.level:g}: squared locking {row.plv2:.4f}, by "
            f"chance {row.null:.4f}, response {row.response:.4f} [{row.low:.4f}, {row.high:.4f}], "
            f"p {row.p:.4f}"
        )
    for level, curve in profile.resonance.items():
        lines.append(
            f"resonance at level {level:g}: centre {curve.centre_hz:.2f} Hz "
            f"{_interval(curve.centre_ci95_hz)}, half-width {curve.half_width_hz:.2f} Hz "
            f"{_interval(curve.half_width_ci95_hz)}"
        )
    if not profile.resonance:
        lines.append(f"no resonance curve: {profile.resonance_reason}")
    if profile.jitter is not None:
        lines += [
            f"jittered blocks, {row.frequency_hz:g} Hz, level {row.level:g}: response to {what} "
            f"{row.response:.4f} [{row.low:.4f}, {row.high:.4f}], p {row.p:.4f}"
            for what, rows in (
                ("a regular reference", profile.jitter.regular),
                ("their own pulses", profile.jitter.own),
            )
            for row in rows
        ]
    state = profile.state
    if state.slope is not None and state.null_ci95 is not None:
        lines.append(
            "exploratory: response over ln power before the block, in standard deviations per "
            f"unit: {state.slope:+.2f} {_interval(state.slope_ci95)}, p {state.p:.3f}; by chance "
            f"{_interval(state.null_ci95)}"
        )
    for echo in profile.echoes:
        tau = (
            f"{echo.tau_s:.2f} s {_interval(echo.tau_ci95_s)}"
            if echo.tau_s
            else (f"no time constant: {echo.reason}")
        )
        lines.append(f"echo at {echo.frequency_hz:g} Hz, {echo.n_trains} trains: {tau}")
    if profile.rest is not None:
        lines.append(
            f"at rest: {profile.rest.centre_hz:.2f} Hz, FWHM {profile.rest.fwhm_hz:.2f} Hz, phase "
            f"memory {profile.rest.memory_s:.2f} s"
        )
    lines.append(
        f"{'individual' if profile.reliability.individual else 'not individual'}: "
        f"{profile.reliability.reason}"
    )
    return "\n".join([*lines, *(f"warning: {text}" for text in warnings)])


def _interval(ends: tuple[float | None, float | None] | None) -> str:
    """Interval in brackets; an open end as such."""
    low, high = ends or (None, None)
    first = "open" if low is None else f"{low:.2f}"
    return f"[{first}, {'open' if high is None else f'{high:.2f}'}]"
