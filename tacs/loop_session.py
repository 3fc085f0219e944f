"""A session with a loop, from rest to the summary: the front end that listens.

The loop runs beside the session (:mod:`tacs.beside`); the thread that holds the operator's lease
watches it, and asks for a pause where it hangs. The guardian is the one of ``tacs run``, with every
rule that it has.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tacs.beside import Beside, beside_of
from tacs.bids import SessionPaths, ensure_dataset
from tacs.checking import Setup
from tacs.clock import Clock, MonotonicClock, QueueInbox, VirtualClock
from tacs.eeg import EEGStream, open_source
from tacs.eeg_watch import plain_timing
from tacs.errors import InputError
from tacs.guardian import Telemetry
from tacs.loop import Loop
from tacs.loop_inbox import WakingInbox
from tacs.loop_log import LoopLog
from tacs.loop_plan import Learned, LoopPlan, learn, rule_of
from tacs.loop_state import StateKeeper
from tacs.played import begin_rad
from tacs.protocol import Protocol
from tacs.run_record import RunRecord
from tacs.runner import run
from tacs.triggers import TriggerTimer, open_output

__all__ = ["LoopResult", "Prescribed", "run_loop"]


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
    ended : str
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
    ended: str
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
            "eeg_ended": self.ended,
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
    time: Clock = VirtualClock() if clock == "virtual" else MonotonicClock()
    with ExitStack() as stack:
        source = open_source(eeg, time) if isinstance(eeg, str) else eeg(time)
        source.open()
        stack.callback(source.close)
        say(f"rest: {plan.rest_s:g} s without current")
        learned = learn(source, time, plan)
        protocol = None if prescribed is None else prescribed.protocol
        limits = None if prescribed is None else prescribed.setup.limits
        rule, history, told = rule_of(plan, learned, protocol, limits, time.now_s())
        for line in told:
            say(line)
        paths = SessionPaths.of(ensure_dataset(Path(dataset)), subject, session)
        log_path = paths.source / f"{paths.stem}_task-tacs_loop.jsonl"
        log = stack.enter_context(LoopLog(log_path, time.now_s, real=not time.virtual))
        log.begin(_first_line(plan, learned, source, protocol, rule, trigger))
        timer = None
        if trigger:
            timer = TriggerTimer(open_output(trigger, time), time)
            timer.open()
            stack.callback(timer.close)
        if inbox is None:
            inbox = own = WakingInbox()
            stack.callback(own.close)
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
            trains=_trains(protocol),
            sham=_sham(plan, protocol),
        )
        if prepared is not None:
            prepared(loop, learned)
        with beside_of(loop, time, plan.every_s) as beside:
            record = None
            if prescribed is None:
                _for_seconds(time, seconds, inbox, beside, loop)
            else:
                record = _conduct(
                    prescribed, plan, subject, session, dataset, time, inbox, watch, loop, beside
                )
        loop.close()
        counts = loop.counts.to_dict()
        log.write("end", {**counts, "reasons": dict(log.reasons), "eeg_ended": loop.ended})
        timing = plain_timing(source.timing)
        log.close()
        return LoopResult(
            record=record,
            counts=counts,
            learned=learned.to_dict(),
            log=log_path,
            head=log.head,
            reasons=dict(log.reasons),
            told=tuple(told),
            ended=loop.ended,
            timing=timing,
        )


def _conduct(
    prescribed: Prescribed,
    plan: LoopPlan,
    subject: str,
    session: str,
    dataset: str | Path,
    time: Clock,
    inbox: QueueInbox,
    watch: Callable[[Telemetry], None] | None,
    loop: Loop,
    beside: Beside,
) -> RunRecord:
    def hear(telemetry: Telemetry) -> None:
        loop.hear(telemetry)
        if beside.hangs():
            inbox.put("pause:the loop hangs")
        if watch is not None:
            watch(telemetry)

    protocol = prescribed.protocol
    if plan.control == "sham":
        protocol = Protocol.from_data({**protocol.to_data(), "waveform": "passive_sham"}, "sham")
    return run(
        protocol,
        prescribed.setup,
        subject=subject,
        session=session,
        dataset=dataset,
        clock="virtual" if time.virtual else "real",
        inbox=inbox,
        watch=hear,
        time=time if isinstance(time, VirtualClock) else None,
        **prescribed.options,
    )


def _for_seconds(
    time: Clock, seconds: float, inbox: QueueInbox, beside: Beside, loop: Loop
) -> None:
    """Wait until time is up, somebody ends it, or EEG is over."""
    until_s = time.now_s() + seconds
    while time.now_s() < until_s and not loop.ended:
        if time.wait(min(time.now_s() + 0.1, until_s), inbox):
            return
        if beside.hangs():
            raise InputError("the loop hangs: triggers were ended")


def _trains(protocol: Protocol | None) -> tuple[float, int]:
    if protocol is None or protocol.trains is None:
        return (0.0, 0)
    return (protocol.trains.on_s, protocol.n_trains)


def _sham(plan: LoopPlan, protocol: Protocol | None) -> tuple[float, float, float] | None:
    if plan.control != "sham":
        return None
    if protocol is None:
        return (0.0, 0.0, 1.0)
    trains = protocol.trains
    on_s, off_s = (0.0, 0.0) if trains is None else (trains.on_s, trains.off_s)
    return (on_s, off_s, protocol.frequency_hz)


def _first_line(
    plan: LoopPlan,
    learned: Learned,
    source: EEGStream,
    protocol: Protocol | None,
    rule: Any,
    trigger: str,
) -> dict[str, Any]:
    return {
        "plan": plan.to_dict(),
        "learned": learned.to_dict(),
        "eeg": source.info.source,
        "protocol_sha256": None if protocol is None else protocol.sha256(),
        "rule": type(rule).__name__,
        "trigger": trigger,
    }
