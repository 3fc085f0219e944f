"""A session with a loop, from rest to the summary: the front end that listens.

On the virtual clock the loop is an event of that clock, every few milliseconds. On the machine's
clock it is a thread of the front end's process; the thread that holds the operator's lease watches
it, and has the current ramped down where it is gone. The guardian is the one of ``tacs run``, with
every rule that it has.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from tacs.beside import Beside, beside_of
from tacs.bids import SessionPaths, ensure_dataset
from tacs.checking import Setup
from tacs.clock import Clock, MonotonicClock, QueueInbox, VirtualClock
from tacs.driver import EmulatedDevice
from tacs.eeg import EEGStream, feel, open_source
from tacs.eeg_watch import plain_timing
from tacs.errors import InputError
from tacs.guardian import Telemetry
from tacs.loop import Loop
from tacs.loop_inbox import WakingInbox
from tacs.loop_leash import Leash
from tacs.loop_log import LoopLog
from tacs.loop_parts import (
    check_of,
    clock_caution,
    device_clock,
    eyes_caution,
    first_line,
    played_of,
    sham_of,
    trains_of,
)
from tacs.loop_plan import LoopPlan
from tacs.loop_rest import Guide, Learned, learn
from tacs.loop_rule import check_rule, rule_of
from tacs.loop_state import StateKeeper
from tacs.marks import ReturnKey, open_marks
from tacs.played import begin_rad
from tacs.protocol import Protocol
from tacs.run_record import RunRecord
from tacs.runner import refuse_early, run
from tacs.triggers import TriggerTimer, open_output

__all__ = ["LoopResult", "Prescribed", "run_loop"]

SHOW_EVERY_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prescribed:
    """The session that the loop steers.

    Parameters
    ----------
    protocol : Protocol
        The prescription.
    setup : Setup
        Device, rig, limits and site.
    options : dict
        More of :func:`tacs.runner.run`.
    """

    protocol: Protocol
    setup: Setup
    options: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopResult:
    """What became of it.

    Parameters
    ----------
    record : RunRecord or None
        Of the session; None where there was no current of ours.
    counts : dict
        What the loop did.
    learned : dict
        What rest told.
    log : Path
        The loop's log.
    head : str
        Hash of its last line.
    reasons : dict of str to int
        How often each reason decided.
    told : tuple of str
        What a person should know.
    why : str
        What ended the loop.
    failed : bool
        Whether it was gone, or hung, before its time.
    eeg_ended : str
        Why EEG ended before the session, if it did.
    timing : dict
        Of the source.
    """

    record: RunRecord | None
    counts: dict[str, Any]
    learned: dict[str, Any]
    log: Path
    head: str
    reasons: dict[str, int]
    told: tuple[str, ...]
    why: str
    failed: bool
    eeg_ended: str
    timing: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``tacs loop``."""
        session = {} if self.record is None else self.record.to_dict()
        return {
            **session,
            **self.counts,
            "reasons": self.reasons,
            "learned": self.learned,
            "loop_log": str(self.log),
            "loop_log_head": self.head,
            "loop_ended": self.why,
            "loop_failed": self.failed,
            "eeg_ended": self.eeg_ended,
            "advice": list(self.told),
            "timing": self.timing,
        }


def run_loop(
    plan: LoopPlan,
    eeg: str | Callable[[Clock], EEGStream],
    *,
    subject: str,
    session: str,
    dataset: str | Path,
    clock: str = "real",
    prescribed: Prescribed | None = None,
    trigger: str = "",
    seconds: float = 0.0,
    inbox: QueueInbox | None = None,
    watch: Callable[[Telemetry], None] | None = None,
    say: Callable[[str], None] = lambda text: None,
    show: Callable[[str], None] = lambda text: None,
    rest_marks: str = "",
    prepared: Callable[[Loop, Learned], None] | None = None,
) -> LoopResult:
    """Learn from rest, then run a session that listens.

    Parameters
    ----------
    plan : LoopPlan
        What the loop is set to.
    eeg : str or callable
        Name of the source, or what makes it.
    subject, session : str
        BIDS labels.
    dataset : path
        BIDS data set.
    clock : {"real", "virtual"}
        Time.
    prescribed : Prescribed, optional
        The session that is steered.
    trigger : str
        Name of an output for triggers, without a session of ours.
    seconds : float
        How long triggers are given.
    inbox : QueueInbox, optional
        Messages of the operator.
    watch : callable, optional
        Given telemetry.
    say : callable
        Told what a person should know.
    show : callable
        Given, again and again, a few words on how the loop is doing.
    rest_marks : str
        Stream that says when the eyes are open, or closed; empty: Return at the terminal. On a
        virtual clock they are at once.
    prepared : callable, optional
        Given the loop before it begins; for tests and measurements.

    Raises
    ------
    TacsError, AnalysisError
        What cannot be; nothing flows then.
    """
    if (prescribed is None) == (not trigger):
        raise InputError("a loop steers a current (PROTOCOL, --device) or triggers (--trigger)")
    if trigger and not (plan.rule == "burst" and seconds > 0.0):
        raise InputError("--trigger gives bursts (--rule burst), for --seconds of time")
    protocol = None if prescribed is None else prescribed.protocol
    limits = None if prescribed is None else prescribed.setup.limits
    check_rule(plan, protocol, limits)
    time: Clock = VirtualClock() if clock == "virtual" else MonotonicClock()
    paths = SessionPaths.of(ensure_dataset(Path(dataset)), subject, session)
    log_path = paths.source / f"{paths.stem}_task-tacs_loop.jsonl"
    played = played_of(plan, protocol)
    _before_rest(prescribed, played, paths, log_path, clock)
    with ExitStack() as stack:
        timer = None
        if trigger:
            output = open_output(trigger, time)
            if plan.refractory_s <= output.width_s:
                raise InputError(
                    f"--refractory {plan.refractory_s:g} s: a pulse of {trigger} lasts "
                    f"{1e3 * output.width_s:g} ms; write a longer time"
                )
            timer = TriggerTimer(output, time)
            stack.callback(timer.close)
            timer.open()
        source = open_source(eeg, time) if isinstance(eeg, str) else eeg(time)
        source.open()
        stack.callback(source.close)
        if inbox is None:
            inbox = own = WakingInbox()
            stack.callback(own.close)
        guide = _guide(plan, time, rest_marks, stack, say, inbox)
        learned = learn(source, time, plan, guide)
        for caution in (eyes_caution(plan, learned), clock_caution(plan, protocol)):
            if caution:
                say(caution)
        rule, history, told = rule_of(plan, learned.rhythm, protocol, limits, time.now_s())
        for line in told:
            say(line)
        log = stack.enter_context(LoopLog(log_path, time.now_s, real=not time.virtual))
        log.begin(first_line(plan, learned, source, protocol, rule, trigger))
        loop = Loop(
            source,
            time,
            learned.engine,
            rule,
            history,
            stale=plan.stale,
            latency_s=plan.latency_s,
            put=None if prescribed is None else inbox.put,
            log=log,
            begin_rad=0.0 if protocol is None else begin_rad(protocol),
            reads_under_current=plan.rule == "lock" or prescribed is None,
            blanking_s=plan.blanking_s,
            state=StateKeeper(
                learned.rows,
                source.info.sfreq_hz,
                learned.peak_hz if 6.0 <= learned.peak_hz <= 14.0 else 10.0,
                seconds=plan.state_s,
                references=learned.references,
                said=plan.eyes,
                gate=plan.gate,
            ),
            triggers=timer,
            trains=trains_of(protocol),
            sham=sham_of(plan, protocol),
            check=check_of(plan, learned, protocol),
            device=plan.device,
            ends=plan.abort == "end",
        )
        if prepared is not None:
            prepared(loop, learned)
        record, why, hung = None, "interrupted", False
        try:
            with beside_of(loop, time, plan.every_s, name="the loop") as runs:
                if prescribed is None or played is None:
                    why = _for_seconds(time, seconds, inbox, loop, runs, say)
                else:
                    leash = Leash(runs, inbox.put, time, say)
                    record = _conduct(
                        prescribed, played, paths, time, inbox, watch, loop, leash, show, say,
                        partial(feel, source) if isinstance(eeg, str) else None,
                    )  # fmt: skip
                    why = loop.ended or f"the session is over: {record.outcome}"
                hung = runs.hangs()
        except Exception as exc:
            why = " ".join(f"{type(exc).__name__}: {exc}".split())
            raise
        finally:
            # Whatever ended it: the log's last line says so.
            loop.close()
            counts = loop.counts.to_dict()
            after = None if loop.check is None else loop.check.to_dict()
            summary = {**counts, "eeg_ended": loop.eeg_ended, "phase_check": after}
            log.end(why, summary, loop.trace)
        return LoopResult(
            record=record,
            counts={
                **counts,
                "phase_check": after,
                "aborted": loop.aborted,
                "device_clock": device_clock(plan, protocol, loop),
            },
            learned=learned.to_dict(),
            log=log_path,
            head=log.head,
            reasons=dict(log.reasons),
            told=(*told, *((log.problem,) if log.problem else ())),
            why=why,
            failed=loop.failed or hung,
            eeg_ended=loop.eeg_ended,
            timing=plain_timing(source.timing),
        )


def _conduct(
    prescribed: Prescribed,
    protocol: Protocol,
    paths: SessionPaths,
    time: Clock,
    inbox: QueueInbox,
    watch: Callable[[Telemetry], None] | None,
    loop: Loop,
    leash: Leash,
    show: Callable[[str], None],
    say: Callable[[str], None],
    attach: Callable[[EmulatedDevice], object] | None,
) -> RunRecord:
    said = ""

    def hear(telemetry: Telemetry) -> None:
        nonlocal said
        loop.hear(telemetry)
        leash.look(telemetry)
        if loop.check is not None:
            show(f"HELD: {loop.check.words}" if loop.aborted else loop.check.words)
        if loop.aborted != said:
            said = loop.aborted
            say(f"{said}: nothing more is asked for")
        if watch is not None:
            watch(telemetry)

    return run(
        protocol,
        prescribed.setup,
        subject=paths.subject,
        session=paths.session,
        dataset=paths.dataset,
        clock="virtual" if time.virtual else "real",
        inbox=inbox,
        watch=hear,
        time=time if isinstance(time, VirtualClock) else None,
        attach=attach,
        **prescribed.options,
    )


def _for_seconds(
    time: Clock,
    seconds: float,
    inbox: QueueInbox,
    loop: Loop,
    runs: Beside,
    say: Callable[[str], None],
) -> str:
    """Wait until time is up, somebody ends it, or the loop is gone; return why it ended."""
    until_s = time.now_s() + seconds
    shown_s, aborted = time.now_s(), ""
    while time.now_s() < until_s:
        if loop.aborted != aborted:
            aborted = loop.aborted
            say(f"{aborted}: no more triggers")
        if time.now_s() - shown_s >= SHOW_EVERY_S:
            shown_s = time.now_s()
            words = "" if loop.check is None else loop.check.words
            say(f"triggers {loop.counts.triggers}{'; ' if words else ''}{words}")
        if gone := runs.gone():
            return gone
        if runs.hangs():
            return "the loop hangs: triggers were ended"
        if messages := time.wait(min(time.now_s() + 0.1, until_s), inbox):
            return f"ended by hand ({messages[0]})"
    return "the time is up"


def _before_rest(
    prescribed: Prescribed | None,
    protocol: Protocol | None,
    paths: SessionPaths,
    log: Path,
    clock: str,
) -> None:
    """Refuse what can be refused before minutes of rest are recorded for nothing."""
    for path in (paths.record, log):
        if path.exists():
            raise InputError(f"{path}: this session has a record already; give another --session")
    if prescribed is None or protocol is None:
        return
    refuse_early(
        protocol,
        prescribed.setup,
        subject=paths.subject,
        session=paths.session,
        dataset=paths.dataset,
        clock=clock,
        **prescribed.options,
    )


def _guide(
    plan: LoopPlan,
    time: Clock,
    named: str,
    stack: ExitStack,
    say: Callable[[str], None],
    inbox: QueueInbox,
) -> Guide:
    """Who leads a person through rest in both states of the eyes."""
    if len(plan.states_of_rest) < 2 or time.virtual:
        return Guide(say=say, inbox=inbox)
    marks = open_marks(named, time) if named else ReturnKey(time, sys.stdin)
    how = "press Return" if not named else f"mark it ({named})"
    try:
        marks.open()
    except InputError as exc:
        raise InputError(f"--rest-eyes: {exc} (--rest-marks lsl:NAME)") from exc
    stack.callback(marks.close)
    return Guide(say=say, marks=marks, how=how, inbox=inbox)
