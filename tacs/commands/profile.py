"""Profile: how this brain answers to a drive; what a design can find, and what was found."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import typer

from tacs import console
from tacs.commands import profile_norms
from tacs.console import (
    ConfirmOption,
    FaultOption,
    OperatorOption,
    PairsCommand,
    ParticipantOption,
    Picks,
    RigOption,
    RoleOption,
    SiteOption,
)
from tacs.errors import InputError

app = typer.Typer(
    help="Response profile: sweep a drive over frequencies, read what answers.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

app.command("norm")(profile_norms.norm)
app.command("compare")(profile_norms.compare)

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
    seed: Annotated[
        int,
        typer.Option("--seed", help="of the order; electrical: the participant's running number"),
    ] = 0,
    out: Annotated[str, typer.Option("--out", help="plan (JSON) for tacs profile run")] = "",
) -> None:
    """Plan a profile: order, length, and whether it can detect what it asks."""
    from analysis.profile_plan import plan_profile
    from tacs.commands.profile_words import about_visits

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
    what = "visits (Hz)" if design.trains else "order (Hz)"
    lines = [
        *(f"rest before: eyes {eyes}, {lasts:g} s" for eyes, lasts in design.rest),
        f"{what}: {order}",
        f"each: {per}{design.seconds_per_block:g} s; in all {design.minutes:.0f} min with gaps",
        f"finds locking of {design.detectable_plv:.2f} with power 0.8; {design.expected_plv:.2f} "
        f"is expected where it is read, which needs {design.needed:.0f} {unit}",
        *about_visits(design),
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
        typer.Option(
            "--source",
            help="live EEG as of tacs watch (photic, electrical): lsl:NAME, replay:FILE, "
            "virtual:SEED",
        ),
    ] = "",
    mode: Annotated[
        str, typer.Option("--mode", help="photic, electrical or virtual; must be the plan's")
    ] = "",
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
        str, typer.Option("--clock", help="real, or virtual (replay, virtual and emulated only)")
    ] = "real",
    visit: Annotated[
        int, typer.Option("--visit", help="electrical: which visit of the plan", show_default=False)
    ] = 0,
    protocol: Annotated[
        str,
        typer.Option(
            "--protocol",
            help="electrical: protocol file with montage, ramps and the current that was tolerated",
        ),
    ] = "",
    device: Annotated[
        str,
        typer.Option("--device", help="electrical: emulated:synthpal, synthpal:/dev/ttyACM0, …"),
    ] = "",
    rig: RigOption = "",
    rest_s: Annotated[
        float,
        typer.Option(
            "--rest-s", help="electrical: rest before, seconds; as planned", show_default=False
        ),
    ] = -1.0,
    eeg_delay: Annotated[
        float | None,
        typer.Option(
            "--eeg-delay",
            help="electrical: by how much the stamps of the EEG are late, ms; as measured",
        ),
    ] = None,
    confirm: ConfirmOption = "",
    people: Annotated[
        bool,
        typer.Option(
            "--people", help="rehearse with screening, consent, checklist and identity required"
        ),
    ] = False,
    operator: OperatorOption = "",
    role: RoleOption = "operator",
    fault: FaultOption = None,
    site: SiteOption = "",
    participant: ParticipantOption = "",
) -> None:
    """Run a plan: EEG recorded while somebody else drives, a visit with current, or a rehearsal.

    Electrical: a session of `tacs run` with the visit's trains, EEG recorded beside it, and the
    table that `tacs profile analyze` reads. Space bar, Ctrl-C: STOP; p pause, r resume.
    """
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
    labels = {"out": out, "subject": subject, "session": session, "task": task}
    current = {
        "--visit": visit, "--protocol": protocol, "--device": device, "--rig": rig,
        "--rest-s": rest_s != -1.0, "--eeg-delay": eeg_delay is not None, "--confirm": confirm,
        "--people": people, "--operator": operator, "--fault": fault, "--site": site,
        "--participant": participant,
    }  # fmt: skip
    if chosen.mode != "electrical" and (odd := [name for name, given in current.items() if given]):
        raise InputError(f"{odd[0]}: belongs to mode electrical, and the plan is {chosen.mode}")
    if chosen.mode == "electrical":
        from tacs.commands.profile_electrical import run_electrical

        others = {
            "--marks": marks, "--markers": markers, "--picks": picks, "--peak-hz": peak_hz,
            "--seed": seed, "--screened": screened, "--no-light": no_light,
        }  # fmt: skip
        if odd := [name for name, given in others.items() if given]:
            raise InputError(f"{odd[0]}: does not belong to mode electrical, the plan's")
        run_electrical(
            chosen,
            number=visit,
            protocol=protocol,
            device=device,
            source=source,
            labels=labels,
            rest_s=float(chosen.data.get("rest_s", 180.0)) if rest_s == -1.0 else rest_s,
            eeg_delay_ms=eeg_delay,
            clock=clock,
            files={"rig": rig, "site": site, "participant": participant},
            confirm=confirm,
            people=people,
            faults=fault or (),
            operator=operator,
            role=role,
        )
        return
    run_external(
        chosen,
        source=source,
        labels=labels,
        marks=marks,
        markers=markers,
        allowed=screened or no_light,
        picks=console.names(picks),
        patience_s=patience,
        patient=(seed, peak_hz),
        clock=clock,
    )


@app.command(cls=PairsCommand)
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
    after: Annotated[
        list[str] | None, typer.Option("--after", help="recording after the session; repeatable")
    ] = None,
    after_min: Annotated[
        list[float] | None,
        typer.Option(
            "--after-min", help="minutes from the end of the drive to its start, one for each"
        ),
    ] = None,
    after_sham: Annotated[
        tuple[str, str],
        typer.Option(
            "--after-sham",
            help="of a visit without current, as late as the first --after",
            metavar="BEFORE AFTER",
            show_default=False,
        ),
    ] = ("", ""),
    after_eyes: Annotated[
        str, typer.Option("--after-eyes", help="of the recordings after: open or closed")
    ] = "",
    subject: Annotated[str, typer.Option("--subject", help="whose recording it is")] = "",
    norm_file: Annotated[
        str, typer.Option("--norm", help="site's reference, made with tacs profile norm")
    ] = "",
    reliability: Annotated[
        str,
        typer.Option("--reliability", help="visits of several people: tacs profile compare --out"),
    ] = "",
    figures: Annotated[str, typer.Option("--figures", help="folder for profile.png")] = "",
    visit: Annotated[
        list[str] | None,
        typer.Option(
            "--visit",
            help="another visit of this person (electrical): recording and table; repeatable",
            metavar="RECORDING BLOCKS",
        ),
    ] = None,
    report: Annotated[
        str, typer.Option("--report", help="one page (.html); its numbers (.json) go beside it")
    ] = "",
    out: Annotated[
        str, typer.Option("--out", help="result (JSON), for tacs profile norm and compare")
    ] = "",
) -> None:
    """Analyze a sweep: curve less its null, verdict, resonance, echo, after-effect."""
    from analysis.io import load_recording
    from analysis.profile import analyze_profile
    from analysis.profile_blocks import read_blocks
    from analysis.profile_input import append_sham, append_visit
    from tacs.commands.profile_results import after_of, held_against, keep, result_of
    from tacs.commands.profile_words import prose_of

    chosen = _mode(mode)
    visits = console.pairs(visit, "--visit")
    if visits and chosen != "electrical":
        raise InputError("--visit: belongs to mode electrical, where a visit has one frequency")
    if sham and chosen == "electrical":
        raise InputError(
            "--sham: in mode electrical the sham trains stand in a table of blocks: --visit"
        )
    if seed < 0:
        raise InputError(f"--seed {seed}: give 0 or more")
    table = read_blocks(blocks)
    loaded = load_recording(recording)
    raw = loaded.raw
    if sham:
        raw, table = append_sham(raw, load_recording(sham).raw, table)
    for path, rows in visits:
        raw, table = append_visit(raw, load_recording(path).raw, table, read_blocks(rows))
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
    data = result_of(profile, loaded, blocks, subject=subject, sham=sham, rest=rest)
    data["visits"] = [{"recording": path, "blocks": rows} for path, rows in visits]
    data["after_session"], told = after_of(
        loaded.raw, read_blocks(blocks), profile, after=after or [], minutes=after_min or [],
        sham=after_sham, eyes=after_eyes,
    )  # fmt: skip
    told += held_against(data, norm_file, reliability)
    told += keep(profile, data, out=out, figures=figures, report=report)
    console.output.result(data, "\n".join([*prose_of(profile), *told]))
