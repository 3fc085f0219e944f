"""The demonstration, and looking after the suite itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tacs import console
from tacs.console import RigOption
from tacs.errors import InputError

PROGRESS_EVERY_S = 5.0
LOAD_ATTACHED = "dummy load attached"


def demo(
    out: Annotated[
        str, typer.Option("--out", help="folder to make; tacs-demo, tacs-demo-2, … if left out")
    ] = "",
    seed: Annotated[int, typer.Option("--seed", help="of the virtual patient")] = 1,
    course: Annotated[
        int, typer.Option("--course", help="a course of this many sessions, 2 to 20, with ratings")
    ] = 0,
) -> None:
    """Run the whole chain on a virtual patient and an emulated stimulator, ending in a report."""
    from tacs.demo import free_folder, run_demo

    folder = Path(out) if out else free_folder(Path())
    if course:
        from tacs.clock import utc_now
        from tacs.demo_course import course_start, run_course

        start = course_start(course, utc_now().date())
        found = run_course(folder, seed, course, start=start, say=console.output.say)
        console.output.result(found, found["text"])
        return
    summary = run_demo(folder, seed, say=console.output.say)
    console.output.result(summary, summary["text"])


def verify_kernel(
    sequences: Annotated[int, typer.Option("--sequences", help="how many, of 50 steps")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", help="same seed, same sequences")] = 0,
    workers: Annotated[
        int, typer.Option("--workers", help="processes; 0: one per core, and they give way")
    ] = 0,
) -> None:
    """Walk through the session's state machine, throw random events at it, count broken rules."""
    import os

    from tacs.clock import MonotonicClock
    from tacs.verify import verify_kernel as campaign
    from tacs.walk import walk_kernel

    if sequences < 1 or workers < 0:
        raise InputError("--sequences must be at least 1, and --workers at least 0")
    clock = MonotonicClock()
    start_s = clock.now_s()
    told_s = start_s

    def progress(done: int) -> None:
        nonlocal told_s
        now_s = clock.now_s()
        if now_s - told_s >= PROGRESS_EVERY_S and done < sequences:
            told_s = now_s
            console.output.say(f"{done} of {sequences} sequences, {now_s - start_s:.0f} s")

    walk = walk_kernel()
    walked_s = clock.now_s()
    found = campaign(sequences, seed, workers=workers or os.cpu_count() or 1, progress=progress)
    end_s = clock.now_s()
    data = found.to_dict()
    rate = round(found.sequences / max(end_s - walked_s, 1e-6), 1)
    lines = [f"{n:>6} x {rule}" for rule, n in found.by_rule.items()]
    lines += [
        f"walk: {walk.configurations} configurations, {len(walk.states)} states, "
        f"{len(walk.reached)} transitions, {len(walk.deadlocks)} deadlocks; from each a stop ends "
        f"in {walk.stop_steps_most} steps at most",
        f"random: {len(found.states)} states, {len(found.reached)} of {found.transitions_total} "
        f"transitions, {rate:g} sequences per second",
        f"{found.steps} steps in {found.sequences} sequences: {found.violations} violations",
        *walk.failures,
        *([found.first] if found.first else []),
    ]
    times = {"seconds": round(end_s - start_s, 2), "sequences_per_second": rate, "seed": seed}
    console.output.result({**data, **times, "walk": walk.to_dict()}, "\n".join(lines))
    if found.violations or walk.deadlocks or walk.failures:
        raise typer.Exit(5)


def verify_device(
    device: Annotated[
        str, typer.Argument(help="emulated:synthpal; or a real device with a dummy load attached")
    ],
    rig: RigOption = "",
    only: Annotated[
        str, typer.Option("--only", help="numbers of scenarios, separated by commas")
    ] = "",
    part: Annotated[
        str, typer.Option("--part", help="conformance or scenarios; both where left out")
    ] = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="leave out what needs the real clock")
    ] = False,
    confirm: Annotated[
        str, typer.Option("--confirm", help=f"'{LOAD_ATTACHED}', instead of typing it")
    ] = "",
) -> None:
    """Put a device through conformance and fault scenarios, judged by its oscilloscope."""
    from tacs.verify_device import PARTS
    from tacs.verify_device import verify_device as verify

    found = verify(
        device,
        rig=rig or None,
        only=_numbers(only),
        parts=(part,) if part else PARTS,
        quick=quick,
        confirm=load_confirmation(confirm),
        say=lambda c: console.output.say(_progress(c)),
    )
    console.output.result(found.to_dict(), found.text())
    if not found.ok:
        raise typer.Exit(5)


def _progress(check: Any) -> str:
    """One line while it runs."""
    scenario = getattr(check, "scenario", None)
    name = check.name if scenario is None else f"scenario {scenario.number}"
    return f"{name}: {check.verdict.outcome}"


def _numbers(text: str) -> list[int]:
    """``18,22`` as numbers."""
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError as exc:
        raise InputError(f"--only {text!r}: write numbers separated by commas") from exc


def load_confirmation(given: str) -> Callable[[Sequence[str]], None]:
    """What a real device needs before current is sent into a load: typed now, or given."""

    def confirm(told: Sequence[str]) -> None:
        for text in told:
            console.output.say(f"before current flows: {text}")
        if not given and not sys.stdin.isatty():
            raise InputError(f"a real device needs --confirm '{LOAD_ATTACHED}'")
        answer = given or input(f"take every person off the leads; then type {LOAD_ATTACHED}: ")
        if answer.strip() != LOAD_ATTACHED:
            raise InputError(f"{answer.strip()!r} is not {LOAD_ATTACHED}; nothing was sent")

    return confirm


def doctor() -> None:
    """Look at the installation: files, optional parts, ports, permissions."""
    from tacs.doctor import examine

    findings = examine()
    ok = all(f["ok"] for f in findings)
    prose = "\n".join(f"{'ok ' if f['ok'] else 'BAD'} {f['what']}: {f['text']}" for f in findings)
    console.output.result({"ok": ok, "findings": findings}, prose)
    if not ok:
        raise typer.Exit(2)


verify_app = typer.Typer(
    help="Try to break the suite on this computer.", no_args_is_help=True, rich_markup_mode=None
)
verify_app.command("kernel")(verify_kernel)
verify_app.command("device")(verify_device)
