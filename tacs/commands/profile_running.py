"""``tacs profile run``: what drives and marks, the recording, and the table at the end."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tacs import console
from tacs.errors import InputError, NoAnswer, TacsError

if TYPE_CHECKING:
    from tacs.clock import Clock
    from tacs.eeg import EEGStream
    from tacs.marks import Marks
    from tacs.profile_blocks import Ran, RunPlan

__all__ = ["run_external"]


def run_external(
    plan: RunPlan,
    *,
    source: str,
    labels: Mapping[str, str],
    marks: str,
    markers: str,
    allowed: bool,
    picks: Sequence[str] | None,
    patience_s: float,
    patient: tuple[int, float],
    clock: str,
) -> None:
    """Run a plan whose drive is not the suite's, or a virtual patient's.

    Raises
    ------
    InputError
        The options do not belong together, or a name is wrong.
    typer.Exit
        3 where blocks of the plan are left, 5 where the source was lost.
    """
    from tacs.clock import MonotonicClock, QueueInbox, VirtualClock
    from tacs.dataset import SessionPaths, task_label, write_json
    from tacs.eeg_record import StreamRecorder
    from tacs.files import write_text
    from tacs.profile_blocks import table_text
    from tacs.profile_run import ProfileRun
    from tacs.signals import signals_to

    virtual = plan.mode == "virtual"
    if clock not in {"real", "virtual"}:
        raise InputError(f"clock {clock!r}: write real or virtual")
    if not virtual and not source:
        raise InputError("--source: name the live EEG, such as lsl:NAME or replay:FILE")
    if virtual and (source or marks or markers):
        raise InputError("mode virtual drives its own patient: no --source, --marks, --markers")
    if marks and markers:
        raise InputError("--marks and --markers: give one of them")
    if plan.mode == "photic" and not allowed and not source.startswith("replay:"):
        raise InputError(
            "flicker can set off a seizure: screen the person and write --screened, or --no-light "
            "where the drive is none"
        )
    time: Clock = VirtualClock() if virtual or clock == "virtual" else MonotonicClock()
    stream, drive = _source(source, plan, patient, time)
    paths = SessionPaths.of(labels["out"], labels["subject"], labels["session"])
    stem = paths.recording_stem(task_label(labels["task"]), "pre")
    table = paths.source / f"{stem}_blocks.tsv"
    if table.exists():
        raise InputError(f"{table}: is there already; give another --session or --task")
    recorder = StreamRecorder(
        labels["out"], subject=labels["subject"], session=labels["session"], when="pre",
        task=labels["task"],
    )  # fmt: skip

    def keep(rows: Sequence[Ran]) -> None:
        write_text(table, table_text(rows))

    inbox = QueueInbox()
    running = ProfileRun(
        stream, time, _marks(marks, markers, time, virtual=virtual), plan,
        say=console.output.say, done=keep, drive=drive, recorder=recorder, picks=picks,
        patience_s=patience_s,
    )  # fmt: skip
    with signals_to(inbox):
        try:
            ran = running.run(inbox)
        finally:  # whatever ended it, what was recorded is kept
            if (done := recorder.finish()) is not None:
                console.output.say(f"recorded: {done.path}")
    recording = None if done is None else str(done.path)
    data: dict[str, Any] = {
        **ran.to_dict(),
        "plan": plan.data,
        "gap_s": plan.gap_s,
        "recording": recording,
        "table": str(table) if table.exists() else None,
        "virtual_patient": None if not virtual else {"seed": patient[0]},
    }
    write_json(paths.source / f"{stem}_profile.json", data)
    usable = sum(not row.problem for row in ran.rows)
    lines = [f"{usable} of {len(plan.blocks)} blocks can be used ({ran.ended})"]
    lines += [f"block {r.order} ({r.planned.words}): {r.problem}" for r in ran.rows if r.problem]
    lines += [f"ignored: {text}" for text in ran.ignored]
    lines += [f"warning: {text}" for text in (done.warnings if done is not None else ())]
    if recording is not None and usable:
        lines.append(f"next: tacs profile analyze {recording} --blocks {table} --mode {plan.mode}")
    lost = ran.ended in {"stale", "lost", "marks gone"}
    if lost or ran.left:
        why = ran.why or f"{ran.left} blocks of the plan are left"
        code = TacsError.exit_code if lost else NoAnswer.exit_code
        console.output.failed(data, "\n".join(lines), why, code)
    console.output.result(data, "\n".join(lines))


def _source(source: str, plan: RunPlan, patient: tuple[int, float], time: Clock) -> Any:
    """The EEG, and what drives it where the suite does."""
    from tacs.eeg import open_source

    if plan.mode != "virtual":
        return open_source(source, time), None
    seed, peak_hz = patient
    if seed < 0:
        raise InputError(f"--seed {seed}: give 0 or more")
    peak = f"&peak_hz={peak_hz}" if peak_hz else ""
    stream: EEGStream = open_source(f"virtual:{seed}?size=1&artefact_uv=0{peak}", time)
    drive = getattr(stream, "drive", None)
    if drive is None:
        raise InputError("the virtual patient that is installed cannot be driven")
    return stream, drive


def _marks(marks: str, markers: str, time: Clock, *, virtual: bool) -> Marks:
    """What says that a block began."""
    from tacs.marks import AtOnce, FileMarks, KeyMarks, open_marks

    if virtual:
        return AtOnce(time)
    if marks:
        return FileMarks(marks)
    if markers:
        return open_marks(markers, time)
    return KeyMarks(time, sys.stdin)
