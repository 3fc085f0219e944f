"""A session with a loop, from rest to the summary: the front end that listens.

On the virtual clock the loop is an event of that clock, every few milliseconds. On the machine's
clock it is a thread of the front end's process; the thread that holds the operator's lease watches
it, and asks for a pause where it hangs. The guardian is the one of ``tacs run``, with every rule
that it has.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

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

HANG_S: Final = 1.0  # a loop that has not looked for so long hangs


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
        runs = _Virtual if isinstance(time, VirtualClock) else _Threaded
        with runs(loop, time, plan.every_s) as beside:  # type: ignore[arg-type]
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
    beside: _Virtual | _Threaded,
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
    time: Clock, seconds: float, inbox: QueueInbox, beside: _Virtual | _Threaded, loop: Loop
) -> None:
    """Wait until time is up, somebody ends it, or EEG is over."""
    until_s = time.now_s() + seconds
    while time.now_s() < until_s and not loop.ended:
        if time.wait(min(time.now_s() + 0.1, until_s), inbox):
            return
        if beside.hangs():
            raise InputError("the loop hangs: triggers were ended")


class _Virtual:
    """The loop as an event of a virtual clock."""

    def __init__(self, loop: Loop, clock: VirtualClock, every_s: float) -> None:
        self._loop, self._clock, self._every_s = loop, clock, every_s
        self._over = False

    def hangs(self) -> bool:
        """An event cannot hang."""
        return False

    def __enter__(self) -> _Virtual:
        self._again()
        return self

    def __exit__(self, *error: object) -> None:
        self._over = True

    def _again(self) -> None:
        self._clock.at(self._clock.now_s() + self._every_s, self._step)

    def _step(self) -> None:
        if not self._over and self._loop.step():
            self._again()


class _Threaded:
    """The loop as a thread, which waits for the source."""

    def __init__(self, loop: Loop, clock: Clock, every_s: float) -> None:
        self._loop, self._clock, self._every_s = loop, clock, every_s
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="loop", daemon=True)

    def hangs(self) -> bool:
        """Whether it has not looked for too long, or has failed."""
        silent_s = self._clock.now_s() - self._loop.looked_s
        return not self._over.is_set() and silent_s > HANG_S and not self._loop.ended

    def __enter__(self) -> _Threaded:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(HANG_S)
        if self._error is not None and error[1] is None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._over.is_set() and self._loop.wait_and_step(self._every_s):
                pass
        except BaseException as exc:  # told at the end; meanwhile it counts as hanging
            self._error = exc


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
