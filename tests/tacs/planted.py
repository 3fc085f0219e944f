"""Bugs that somebody could write into the kernel: the campaign must find each of them.

A bug is one function of :mod:`tacs.session` with one text in it replaced. It is compiled into the
module's own namespace and taken out again, so that nothing in the product knows of it.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass

from tacs import session


@dataclass(frozen=True, slots=True)
class Bug:
    """One bug: in which function, what stands there, and what would stand there."""

    name: str
    function: str
    right: str
    wrong: str


BUGS = (
    Bug(
        "a stop is ignored while paused",
        "_stop",
        "if session.state is State.STOPPING:\n        return after, ()",
        "if session.state in {State.STOPPING, State.PAUSED}:\n        return session, ()",
    ),
    Bug(
        "the lease is checked with the wrong sign",
        "_wrong_time",
        "now_s - session.renewed_s <= session.plan.lease_s",
        "session.renewed_s - now_s <= session.plan.lease_s",
    ),
    Bug(
        "the lease is counted from the last tick, not from its renewal",
        "_wrong_time",
        "now_s - session.renewed_s <= session.plan.lease_s",
        "since_s <= session.plan.lease_s",
    ),
    Bug(
        "the accepted ceiling is ignored when a session goes on",
        "_resume",
        "Trigger.RESUME, 0.0, now_s, pausing=False",
        "Trigger.RESUME, 0.0, now_s, pausing=False, ceiling=1.0",
    ),
    Bug(
        "a late tick makes up for the rise that it missed",
        "_delayed",
        "if not late_s > 0.0",
        "if True",
    ),
    Bug(
        "a pause is believed of a device that cannot",
        "_pause",
        "not session.plan.can_pause",
        "False",
    ),
    Bug(
        "a soft fault does not latch",
        "_fell_silent",
        "Trigger.LATCH if session.latching else Trigger.SILENT",
        "Trigger.SILENT",
    ),
    Bug(
        "the ramp-down is not counted",
        "_dose",
        "if session.level > 0.0",
        "if session.level > 0.0 and session.state is not State.RAMP_DOWN",
    ),
    Bug(
        "a stop that did not arrive is not counted",
        "_fault",
        "after = _count_tail(session, flowing, full_s=plan.lease_s)",
        "after = session",
    ),
    Bug(
        "the end moves with a pause",
        "_resume",
        "Trigger.RESUME, 0.0, now_s, pausing=False",
        "Trigger.RESUME, 0.0, now_s, pausing=False,"
        " started_s=session.started_s + now_s - session.ramp_from_s",
    ),
    Bug(
        "a rating that is no number is accepted",
        "_rate",
        "not 0.0 <= rating < session.plan.discomfort_stop",
        "rating < 0.0 or rating >= session.plan.discomfort_stop",
    ),
    Bug(
        "a clock that goes back is believed",
        "_wrong_time",
        "not since_s >= -CLOCK_SLIP_S",
        "since_s != since_s",
    ),
    Bug(
        "a titration takes two steps at a time",
        "_titrate",
        "level + step_up",
        "level + 2.0 * step_up",
    ),
    Bug(
        "an acknowledgement gives the dose back",
        "_anew",
        "current_on_s=session.current_on_s",
        "current_on_s=0.0",
    ),
    Bug(
        "the operator's silence does not matter during a pause",
        "_tick",
        "operator_s is not None and",
        "operator_s is not None and not session.pausing and",
    ),
    Bug(
        "the lease is not renewed during a pause",
        "_tick",
        "if now_s - session.renewed_s >=",
        "if session.state is not State.PAUSED and now_s - session.renewed_s >=",
    ),
    Bug(
        "the dose left is compared with the wrong counter",
        "_tick",
        "level_seconds <= plan.level_seconds_max",
        "level_seconds <= plan.current_on_max_s",
    ),
    Bug(
        "a session goes on at the level where it was paused",
        "_resume",
        "Trigger.RESUME, 0.0,",
        "Trigger.RESUME, session.ceiling,",
    ),
    Bug(
        "a pause in a gap does not take back what was tolerated, and trains go on after it",
        "_pause",
        "return _go(session, Trigger.PAUSE, tolerated=0.0, next_train_s=math.nan), ()",
        "return session, ()",
    ),
    Bug(
        "a train begins before the amplitude was tolerated",
        "_run_in",
        "session.plan.trains.tolerated_s - CLOCK_SLIP_S",
        "0.0",
    ),
    Bug(
        "a train goes to the full current whatever was accepted",
        "_next_train",
        "min(share * session.ceiling, session.tolerated)",
        "share",
    ),
    Bug(
        "an edge is twice as steep",
        "_train",
        "_into_ramp_s(session, now_s) / trains.edge_s",
        "2.0 * _into_ramp_s(session, now_s) / trains.edge_s",
    ),
    Bug(
        "a late tick makes up for the whole edge of a train",
        "_delayed",
        "span_s = min(span_s, session.plan.trains.span_s)",
        "return session",
    ),
    Bug(
        "the next train does not wait for its gap",
        "_train_fall",
        "on_grid_s = session.ramp_from_s + trains.edge_s + trains.off_s",
        "return _go(session, Trigger.ZERO_QUIET, ready_s=now_s, next_train_s=now_s), 0.0",
    ),
    Bug(
        "a train lasts twice its time",
        "_train",
        "session.train_from_s + trains.on_s",
        "session.train_from_s + 2.0 * trains.on_s",
    ),
    Bug(
        "a train does not fall to zero",
        "_train_fall",
        "if level > ZERO_LEVEL:",
        "level = max(level, 0.05)\n    if session.level > 0.06 or session.level == 0.0:",
    ),
    Bug(
        "what is left of a train flows on in the gap",
        "_train_fall",
        "ready_s=ready_s, next_train_s=next_s), 0.0",
        "ready_s=ready_s, next_train_s=next_s), 0.02",
    ),
    Bug(
        "a request for a time that has passed is granted",
        "_request",
        "at_s < now_s - CLOCK_SLIP_S",
        "at_s < -math.inf",
    ),
    Bug(
        "the refractory time does not hold for requests",
        "_request",
        "at_s < session.ready_s - 1e-9",
        "at_s < -math.inf",
    ),
    Bug(
        "trains on request come by themselves",
        "_train_fall",
        "math.nan if trains.on_request else ready_s",
        "ready_s",
    ),
    Bug(
        "more trains are given than planned",
        "_why_no_train",
        "session.trains >= len(plan.trains.course)",
        "session.trains > len(plan.trains.course)",
    ),
    Bug(
        "the step of a new frequency is not bounded",
        "_retune",
        "not moved_hz <= plan.retune_step_hz + 1e-9",
        "not moved_hz < math.inf",
    ),
    Bug(
        "the range of a new frequency is not bounded",
        "_retune",
        "not plan.retune_from_hz <= frequency_hz <= plan.retune_to_hz",
        "not 0.0 < frequency_hz < math.inf",
    ),
    Bug(
        "a frequency changes under current on a device that cannot",
        "_retune",
        "session.level > 0.0 and not plan.retune_playing",
        "False",
    ),
    Bug(
        "the frequency changes with every request",
        "_retune",
        "not now_s - session.retuned_s >= plan.retune_every_s - 1e-9",
        "False",
    ),
    Bug(
        "after a pause the run-in has the frequency of the last train",
        "_tune_back",
        "if not sweeps or session.frequency_hz == plan.frequency_hz:",
        "if True:",
    ),
    Bug(
        "the next train's frequency is set while the one before it plays",
        "_tick",
        "if session.state is State.BETWEEN_TRAINS:",
        "if session.state in {State.BETWEEN_TRAINS, State.TRAIN_ON}:",
    ),
)


@contextlib.contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """Have the kernel with a bug in it."""
    right = getattr(session, bug.function)
    source = inspect.getsource(right)
    if source.count(bug.right) != 1:
        raise LookupError(f"{bug.function} of the kernel has no single {bug.right!r} any more")
    names: dict[str, object] = {}
    exec(compile(source.replace(bug.right, bug.wrong), bug.name, "exec"), session.__dict__, names)
    setattr(session, bug.function, names[bug.function])
    try:
        yield
    finally:
        setattr(session, bug.function, right)
