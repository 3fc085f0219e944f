"""Watch: live EEG, its peak, quality and timing, and a recording of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tacs import console
from tacs.console import Picks
from tacs.errors import InputError, NoAnswer, TacsError

if TYPE_CHECKING:
    from tacs.eeg_record import StreamRecorder


def watch(
    source: Annotated[
        str,
        typer.Argument(
            help="lsl:NAME, brainflow:BOARD[?key=value], nic2:HOST?electrodes=…, replay:FILE, "
            "virtual:SEED"
        ),
    ] = "",
    seconds: Annotated[
        float, typer.Option("--seconds", help="how long; 0 is until Ctrl-C", show_default=False)
    ] = 0.0,
    window: Annotated[
        float, typer.Option("--window", help="stretch that the peak is looked for in, seconds")
    ] = 120.0,
    every: Annotated[
        float, typer.Option("--every", help="from one look to the next, seconds")
    ] = 5.0,
    band: Annotated[
        tuple[float, float], typer.Option("--band", help="where to look, Hz", metavar="LOW HIGH")
    ] = (7.0, 13.0),
    picks: Picks = "",
    out: Annotated[str, typer.Option("--out", help="also record into this data set (BIDS)")] = "",
    subject: Annotated[str, typer.Option("--subject", help="participant, with --out")] = "",
    session: Annotated[str, typer.Option("--session", help="session, with --out")] = "",
    when: Annotated[str, typer.Option("--when", help="pre, post or during, with --out")] = "",
    task: Annotated[str, typer.Option("--task", help="state, such as rest-closed")] = "rest-closed",
    clock: Annotated[
        str, typer.Option("--clock", help="real, or virtual (replay and virtual only)")
    ] = "real",
    recover: Annotated[
        str,
        typer.Option(
            "--recover", help="finish recordings that broke off: a …_stream.jsonl or a data set"
        ),
    ] = "",
) -> None:
    """Show live EEG: spectrum, peak with interval, quality, timing; and record it."""
    if recover:
        if source or out:
            raise InputError("--recover stands alone: it watches nothing")
        _recover(recover)
        return
    if not source:
        from tacs.eeg import SourceName

        SourceName.parse(source)
    recorder = _recorder(out, subject=subject, session=session, when=when, task=task)
    from tacs.clock import MonotonicClock, QueueInbox, VirtualClock
    from tacs.eeg import open_source
    from tacs.eeg_view import estimate_words, timing_words, viewing
    from tacs.eeg_watch import WatchPlan
    from tacs.eeg_watch import watch as watch_source
    from tacs.signals import signals_to

    if clock not in {"real", "virtual"}:
        raise InputError(f"clock {clock!r}: write real or virtual")
    plan = WatchPlan(
        seconds=seconds,
        window_s=window,
        every_s=every,
        band_hz=band,
        picks=console.names(picks),
        subject=subject or None,
    )
    time = VirtualClock() if clock == "virtual" else MonotonicClock()
    if clock == "virtual" and not seconds and source.startswith("virtual:"):
        raise InputError("the virtual patient has no end on a virtual clock: give --seconds")
    stream = open_source(source, time)
    inbox = QueueInbox()
    lines: list[str] = []
    imported: dict[str, Any] | None = None
    with signals_to(inbox):
        try:
            with viewing(source, sys.stderr) as view:
                seen = watch_source(stream, time, plan, view=view, inbox=inbox, recorder=recorder)
        except BaseException:
            if recorder is not None and recorder.begun:
                _keep(recorder)
            raise
        if recorder is not None:
            imported = _finished(recorder, lines)
    words = {"time": "", "stopped": "ended by hand", "over": "the recording is over"}
    data = seen.to_dict()
    data["live"]["imported"] = imported
    prose = [estimate_words(seen.estimate), *(f"warning: {x}" for x in seen.estimate.warnings)]
    prose += [f"{x.channel}: {x.state}" for x in seen.states if x.state != "good"]
    if said := words.get(seen.ended, ""):
        prose.append(said)
    prose = [line for line in [*prose, f"timing: {timing_words(stream.timing)}", *lines] if line]
    if seen.ended in {"stale", "lost"}:
        console.output.failed(data, "\n".join(prose), seen.why, TacsError.exit_code)
    console.output.result(data, "\n".join(prose))
    if seen.estimate.status != "found":
        raise typer.Exit(NoAnswer.exit_code)


def _recorder(
    out: str, *, subject: str, session: str, when: str, task: str
) -> StreamRecorder | None:
    """What records, where that is wanted."""
    given = {"--subject": subject, "--session": session, "--when": when}
    if not out:
        if extra := [name for name, value in given.items() if value]:
            raise InputError(f"{extra[0]} belongs to a recording: give --out DATASET as well")
        return None
    if missing := [name for name, value in given.items() if not value]:
        raise InputError(f"--out records: give {missing[0]} as well")
    from tacs.eeg_record import StreamRecorder

    return StreamRecorder(out, subject=subject, session=session, when=when, task=task)


def _keep(recorder: StreamRecorder) -> None:
    """Keep what was recorded before something went wrong, which is what will be told at the end."""
    lines: list[str] = []
    try:
        _finished(recorder, lines)
    except InputError as exc:
        lines = [f"the recording is left where it was: {exc}"]
    for line in lines:
        console.output.say(line)


def _finished(recorder: StreamRecorder, lines: list[str]) -> dict[str, Any] | None:
    """Turn what was recorded into a recording of the data set."""
    done = recorder.finish()
    if done is None:
        lines.append("nothing was recorded: no sample came")
        return None
    lines += [f"recorded: {done.path}", *(f"warning: {text}" for text in done.warnings)]
    return done.to_dict()


def _recover(text: str) -> None:
    """Finish what broke off."""
    from tacs.eeg_record import finish_stream, unfinished_streams

    path = Path(text)
    streams = unfinished_streams(path) if path.is_dir() else [path]
    done, failed = [], []
    for stream in streams:
        try:
            done.append(finish_stream(stream))
        except InputError as exc:
            if len(streams) == 1:
                raise
            failed.append(str(exc))
    lines = [f"recovered: {item.path}" for item in done] + [f"left: {text}" for text in failed]
    lines += [f"warning: {text}" for item in done for text in item.warnings]
    data = {"recovered": [item.to_dict() for item in done], "left": failed}
    console.output.result(data, "\n".join(lines) or f"{text}: no recording broke off here")
    if failed:
        raise typer.Exit(InputError.exit_code)
