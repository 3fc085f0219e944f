"""A visit of a response profile with current, from rest to the table of trains.

EEG is recorded beside a session; the session is one of ``tacs run``, with every limit and every
rule that it has, and the guardian is the only one that gives current.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

from analysis.marks import AT_REST
from analysis.profile_visits import Visit
from tacs.beside import Beside, beside_of
from tacs.checking import Setup
from tacs.clock import Clock, MonotonicClock, QueueInbox, VirtualClock, utc_now
from tacs.dataset import refuse_other_spelling
from tacs.eeg import EEGStream, feel, open_source
from tacs.eeg_record import StreamRecorder
from tacs.eeg_watch import plain_timing
from tacs.errors import InputError, TacsError
from tacs.files import write_text
from tacs.guardian import Telemetry
from tacs.profile_listener import VisitListener
from tacs.profile_ran import RanVisit, VisitPlaces, alignment_of, artefact_of
from tacs.profile_visit import first_train_s, loop_rad, phase_refusal, train_table
from tacs.protocol import Protocol
from tacs.run_record import RunRecord
from tacs.runner import refuse_early, run
from tacs.signals import signals_to

__all__ = ["run_visit"]

EVERY_S: Final = 0.1
EVERY_VIRTUAL_S: Final = 0.25
AFTER_S: Final = 5.0  # recorded behind the session, for the last read
REST_MOST_S: Final = 1800.0


def run_visit(
    visit: Visit,
    protocol: Protocol,
    setup: Setup,
    eeg: str | Callable[[Clock], EEGStream],
    places: VisitPlaces,
    *,
    rest_s: float,
    eeg_delay_s: float | None = None,
    clock: str = "real",
    inbox: QueueInbox | None = None,
    watch: Callable[[Telemetry], None] | None = None,
    say: Callable[[str], None] = lambda text: None,
    options: dict[str, Any] | None = None,
) -> RanVisit:
    """Record rest, run the session of a visit, and write the table of its trains.

    Parameters
    ----------
    visit : Visit
        Of the plan.
    protocol : Protocol
        As :func:`tacs.profile_visit.visit_protocol` makes it.
    setup : Setup
        Device, rig, limits and site.
    eeg : str or callable
        Name of the source, or what makes it.
    places : VisitPlaces
        Where it is written.
    rest_s : float
        Rest before, in the same recording; 0 for none.
    eeg_delay_s : float, optional
        By how much the stamps of the EEG are late, as measured; 0 where left out.
    clock : {"real", "virtual"}
        Time.
    inbox : QueueInbox, optional
        Messages of the operator.
    watch : callable, optional
        Given telemetry.
    say : callable
        Told what a person should know.
    options : dict, optional
        More of :func:`tacs.runner.run`.

    Raises
    ------
    SafetyRefusal
        A limit is broken; nothing was opened.
    InputError
        The device does not tell the phase of its trains, the visit was recorded already, or bad
        usage.
    TacsError
        The device failed before it was armed; what was recorded stays.
    """
    if why := phase_refusal(setup.capabilities):
        raise InputError(why)
    if not 0.0 <= rest_s <= REST_MOST_S:
        raise InputError(f"--rest-s {rest_s:g}: write 0 to {REST_MOST_S:g} s")
    delay_s = 0.0 if eeg_delay_s is None else eeg_delay_s
    if not -1.0 < delay_s < 1.0:
        raise InputError(f"--eeg-delay {1e3 * delay_s:g}: write milliseconds, less than 1000")
    # Everything that can refuse is asked now, so that nobody rests for nothing; it is asked again.
    refuse_early(
        protocol, setup, subject=places.subject, session=places.session, dataset=places.dataset,
        clock=clock, say=say, **(options or {}),
    )  # fmt: skip
    refuse_other_spelling(places.paths)
    places.paths.refuse_used()
    if places.table.exists():
        raise InputError(f"{places.table}: is there already; give another --session or --task")
    time: Clock = VirtualClock() if clock == "virtual" else MonotonicClock()
    source = open_source(eeg, time) if isinstance(eeg, str) else eeg(time)
    recorder = StreamRecorder(
        places.dataset, subject=places.subject, session=places.session, when="during",
        task=places.task,
    )  # fmt: skip
    box, montage = QueueInbox() if inbox is None else inbox, protocol.montage
    with ExitStack() as stack:
        info = source.open()
        stack.callback(source.close)
        recorder.begin(info, utc_now())
        stack.callback(recorder.close)
        listener = VisitListener(
            source,
            time,
            recorder,
            visit=visit,
            level_ma=max(map(montage.current_peak_ma, (e.name for e in montage.electrodes))),
            first_s=first_train_s(protocol),
            loop_rad=loop_rad(protocol),
            reaction_s=setup.capabilities.reaction_s,
            eeg_delay_s=delay_s,
            put=box.put,
            keep=lambda rows: write_text(places.table, train_table(rows)),
            say=say,
        )
        try:
            record, rested_s, at_rest = _conduct(
                protocol, setup, places, listener, source, time, box, rest_s=rest_s, watch=watch,
                say=say, options=options or {},
            )  # fmt: skip
        except TacsError:
            say("what was recorded stays; give another --task to the next attempt")
            raise
        finally:
            listener.finish()
            timing = plain_timing(source.timing)
            done = recorder.finish()
            if done is not None:
                say(f"recorded: {done.path}")
    artefact, told = artefact_of(done, listener.rows, protocol, visit)
    first_s = listener.first_sample_s
    alignment = {
        # By the machine's clock, which the record's times count from clock_zero_s on.
        "first_sample_clock_s": None if math.isnan(first_s) else round(first_s, 6),
        **alignment_of(visit, eeg_delay_s, at_rest),
        "artefact": artefact,
    }
    return RanVisit(
        visit=visit,
        protocol=protocol,
        record=record,
        recording=done,
        table=places.table if places.table.exists() else None,
        trains=tuple(listener.rows),
        counts=listener.counts,
        rest_s=rested_s,
        alignment=alignment,
        timing=timing,
        eeg_ended=listener.ended,
        warnings=tuple(told),
    )


def _conduct(
    protocol: Protocol,
    setup: Setup,
    places: VisitPlaces,
    listener: VisitListener,
    source: EEGStream,
    time: Clock,
    inbox: QueueInbox,
    *,
    rest_s: float,
    watch: Callable[[Telemetry], None] | None,
    say: Callable[[str], None],
    options: dict[str, Any],
) -> tuple[RunRecord | None, float, dict[str, Any]]:
    """Rest, session, and what is recorded behind it; the record, seconds of rest, and timing."""
    if rest_s:
        say(f"rest: {rest_s:g} s with closed eyes, without current")
    with signals_to(inbox):
        on = _record_for(rest_s, listener, time, inbox)
    rested_s = listener.seconds
    if rested_s > 0.0:
        listener.mark(AT_REST, 0.0, rested_s)
    at_rest = plain_timing(source.timing)
    if not on:
        return None, rested_s, at_rest
    if rest_s and (bad := listener.bad_channels()):
        say(f"{len(bad)} channels not good at rest: {', '.join(bad[:8])}")
    every_s = EVERY_VIRTUAL_S if time.virtual else EVERY_S
    with beside_of(listener, time, every_s, name="the recording of EEG") as beside:
        record = run(
            protocol,
            setup,
            subject=places.subject,
            session=places.session,
            dataset=places.dataset,
            clock="virtual" if time.virtual else "real",
            inbox=inbox,
            watch=_hearing(listener, beside, inbox, watch),
            time=time if isinstance(time, VirtualClock) else None,
            attach=partial(feel, source),
            **options,
        )
    _record_for(AFTER_S, listener, time, None)
    return record, rested_s, at_rest


def _hearing(
    listener: VisitListener,
    beside: Beside,
    inbox: QueueInbox,
    watch: Callable[[Telemetry], None] | None,
) -> Callable[[Telemetry], None]:
    """What is given telemetry."""
    stopped = False

    def hear(told: Telemetry) -> None:
        nonlocal stopped
        listener.hear(told)
        why = beside.gone() or ("the recording of EEG hangs" if beside.hangs() else "")
        if why and not stopped:
            stopped = True
            inbox.put(f"stop:{why}")
        if watch is not None:
            watch(told)

    return hear


def _record_for(
    seconds: float, listener: VisitListener, time: Clock, inbox: QueueInbox | None
) -> bool:
    """Record for a time; False where EEG or somebody ended it."""
    until_s = time.now_s() + seconds
    every_s = EVERY_VIRTUAL_S if time.virtual else EVERY_S
    while (now_s := time.now_s()) < until_s:
        words = time.wait(min(now_s + every_s, until_s), inbox)
        if not listener.step() or any(word != "alive" for word in words):
            return False
    return True
