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
