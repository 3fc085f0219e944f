"""The demonstration, and looking after the suite itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tacs import console


def demo(
    out: Annotated[
        str, typer.Option("--out", help="folder to make; tacs-demo, tacs-demo-2, … if left out")
    ] = "",
    seed: Annotated[int, typer.Option("--seed", help="of the virtual patient")] = 1,
) -> None:
    """Run the whole chain on a virtual patient and an emulated stimulator, ending in a report."""
    from tacs.demo import free_folder, run_demo

    folder = Path(out) if out else free_folder(Path())
    summary = run_demo(folder, seed, say=console.output.say)
    console.output.result(summary, summary["text"])


def verify_kernel(
    sequences: Annotated[int, typer.Option("--sequences", help="how many, of 50 steps")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", help="same seed, same sequences")] = 0,
) -> None:
    """Throw random sequences of events at the session's state machine, and count broken rules."""
    from tacs.clock import MonotonicClock
    from tacs.verify import verify_kernel as campaign

    clock = MonotonicClock()
    start_s = clock.now_s()
    found = campaign(sequences, seed)
    seconds = round(clock.now_s() - start_s, 2)
    lines = [f"{n:>6} x {rule}" for rule, n in found.by_rule.items()]
    lines.append(
        f"{found.steps} steps in {found.sequences} sequences: {found.violations} violations"
    )
    if found.first:
        lines.append(found.first)
    console.output.result({**found.to_dict(), "seconds": seconds, "seed": seed}, "\n".join(lines))
    if found.violations:
        raise typer.Exit(5)


def doctor() -> None:
    """Look at the installation: files, optional parts, ports, permissions."""
    from tacs.doctor import examine

    findings = examine()
    ok = all(f["ok"] for f in findings)
    prose = "\n".join(f"{'ok ' if f['ok'] else 'BAD'} {f['what']}: {f['text']}" for f in findings)
    console.output.result({"ok": ok, "findings": findings}, prose)
    if not ok:
        raise typer.Exit(2)
