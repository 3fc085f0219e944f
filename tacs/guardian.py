"""The guardian owns the device port and runs the state machine; it writes before it sends.

It knows five seams and nothing of what is behind them: :meth:`Guardian.tick` takes the messages of
the operator side, a :class:`tacs.clock.Clock` waits, an :class:`tacs.clock.Inbox` brings messages,
a :class:`tacs.guard.GuardedDriver` is the port, and a :class:`tacs.watcher.Watcher`, where the rig
has an instrument, says what is measured. On the virtual clock it shares a process with an emulator;
on the real clock it is a process of its own, and so is the emulator at the other end of the port.

Whatever fails (the link, the device, the disk, a limit) becomes an event of the state machine: no
exception leaves a running guardian before the current has been told to end.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping

from tacs.clock import Clock, Inbox
from tacs.driver import Achieved, Identity
from tacs.errors import RecordError, SafetyRefusal, TacsError
from tacs.guard import GuardedDriver
from tacs.judge import Finding
from tacs.kernel_plan import kernel_plan
from tacs.loop_timer import LoopTimer
from tacs.messages import ASKS, event_of
from tacs.played import PlayedTrack
from tacs.record import RecordWriter
from tacs.record_journal import RecordJournal
from tacs.session import RUNNING, TERMINAL, Action, Do, Event, Plan, Session, State, Trigger, step
from tacs.telemetry import Telemetry
from tacs.texts import mended
from tacs.watcher import Watcher

__all__ = ["Guardian", "RecordJournal", "Telemetry", "event_of", "kernel_plan"]

RAMP_TICK_S = 0.02
HOLD_TICK_S = 0.04
SYNC_S = 0.5  # of lines, at most, are lost with the host
SYNC_EVERY_S = 0.4  # the next tick, and the disk, take time too
MEASURED_EVERY_S = 0.5
STOPS = frozenset({Do.SOFT_STOP, Do.EMERGENCY_STOP})
WRITTEN = frozenset({"pause", "resume", "higher", "lower", "accept", "rating", "mark", "stop"})


class Guardian:
    """Run one session.

    Parameters
    ----------
    driver : GuardedDriver
        The port.
    plan : Plan
        What is to happen.
    clock : Clock
        Real or virtual.
    record : RecordWriter
        Open record.
    watch : callable, optional
        Given a :class:`Telemetry` after every tick; it must not raise, and cannot steer.
    watcher : Watcher, optional
        The rig's current monitor.
    zero_s : float, optional
        Clock time that the record's times count from; now where left out.
    """

    def __init__(
        self,
        driver: Callable[[RecordJournal], GuardedDriver],
        plan: Plan,
        clock: Clock,
        record: RecordWriter,
        watch: Callable[[Telemetry], None] | None = None,
        *,
        watcher: Watcher | None = None,
        zero_s: float | None = None,
    ) -> None:
        self._record = record
        self._watcher = watcher
        self._clock = clock
        self._zero_s = clock.now_s() if zero_s is None else zero_s
        self.journal = RecordJournal(record, lambda: self._clock.now_s() - self._zero_s)
        self.driver = driver(self.journal)
        self.session = Session(plan=plan)
        self._watch = watch
        self._measured: Mapping[int, float] | Mapping[str, float] | None = None
        self._impedance: Mapping[str, float] | None = None
        self._measured_at_s: float | None = None
        self._synced_s = self._measured_s = self._zero_s
        self._warnings: list[str] = []
        self.timer = LoopTimer()
        self.marks: dict[str, float] = {}
        self._said: set[str] = set()
        self.refused, self.refusal = 0, ""
        self._played = PlayedTrack(self.driver.capabilities.reaction_s)
        self._achieved_hz = math.nan

    def prepare(self) -> tuple[Identity, Achieved]:
        """Connect, silence the device and load the programme; current is still impossible.

        Raises
        ------
        TacsError
            Whatever the device, a limit or the disk objects to; the device is silent.
        """
        identity = self.driver.connect()
        self._apply(Event(Trigger.CONNECTED), self._clock.now_s())
        achieved = self.driver.configure()
        self._achieved_hz = achieved.frequency_hz
        if self._watcher is not None:
            self.journal.intent("monitor", {}, sync=False)
            self.journal.answer("monitor", self._watcher.begin())
        self._apply(Event(Trigger.CHECKED), self._clock.now_s())
        return identity, achieved

    def arm(self) -> None:
        """Arm; the confirmation that a real device needs has been taken by the caller."""
        self._apply(Event(Trigger.ARM), self._clock.now_s())

    def run(self, inbox: Inbox) -> Session:
        """Start, tick until the session is over, and leave the device silent.

        Parameters
        ----------
        inbox : Inbox
            Where the operator side leaves ``stop:CAUSE``, ``pause``, ``resume`` and ``alive``.

        Returns
        -------
        Session
            In a terminal state.
        """
        try:
            self._loop(inbox)
        except BaseException:
            # A defect, or the interpreter going down: end the current first, explain afterwards.
            with contextlib.suppress(Exception):
                self.driver.emergency_stop()
            # Where a stop takes more than one command, nobody ticks any more who would send them.
            with contextlib.suppress(Exception):
                self.driver.close()
            raise
        self._close()
        self._record.end_background()
        return self.session

    def _loop(self, inbox: Inbox) -> None:
        due_s = self._clock.now_s()
        self._begin(due_s)
        if not self._clock.virtual:
            # From here on a slow disk must not hold up a tick.
            self._record.start_background()
        while self.session.state not in TERMINAL:
            period_s = self._period_s()
            due_s += period_s
            now_s = self._clock.now_s()
            if now_s > due_s:
                # Late: go on at the next point of the grid, never twice to catch up.
                due_s += period_s * int((now_s - due_s) / period_s)
            messages = self._clock.wait(due_s, inbox)
            if messages:
                # A message is handled when it comes, at the grid time before it.
                due_s = max(due_s - period_s, min(due_s, self._clock.now_s()))
            self.timer.round(due_s, self._clock.now_s())
            self.tick(messages, due_s)

    def _begin(self, now_s: float) -> None:
        """Start the programme."""
        self._apply(Event(Trigger.START), now_s)

    def tick(self, messages: list[str], now_s: float) -> None:
        """Handle messages, stops first, then let time pass."""
        for message in sorted(messages, key=lambda m: not self._stops(m)):
            self._hear(mended(message), now_s)
        self._look(now_s)
        self._apply(Event(Trigger.TICK), now_s)
        self._pump(now_s)
        self._sync(now_s)
        if self._watch is not None:
            self._watch(self._telemetry(now_s))

    def _telemetry(self, now_s: float) -> Telemetry:
        """What whoever watches is shown."""
        return Telemetry(
            state=self.session.state,
            elapsed_s=self.session.elapsed_s(now_s),
            duration_s=self.session.plan.duration_s,
            level=self.session.level,
            measured_ma=self._measured,
            impedance_kohm=self._impedance,
            cause=self.session.cause,
            ceiling=self.session.ceiling,
            measures=self._watcher is not None or self.driver.capabilities.current_readback,
            measured_at_s=self._measured_at_s,
            warnings=tuple(self._warnings),
            by_person=self.session.cause in self._said,
            played=self._played.told(
                ready=self.session.state is State.BETWEEN_TRAINS
                and math.isnan(self.session.next_train_s)
                and now_s >= self.session.ready_s - 1e-9
            ),
            trains=self.session.trains,
            refused=self.refused,
            refusal=self.refusal,
            frequency_hz=_known(self.session.frequency_hz),
        )

    def _stops(self, message: str) -> bool:
        """Whether a message is a stop."""
        return event_of(message).trigger is Trigger.STOP

    def _pump(self, now_s: float) -> None:
        """Give the driver its turn; what it cannot do ends the session."""
        if self.session.state in TERMINAL:
            return
        try:
            self.driver.pump(now_s)
        except TacsError as exc:
            self._apply(Event(Trigger.FAULT, str(exc)), now_s)

    def _hear(self, message: str, now_s: float) -> None:
        """One message of the operator side: what a person did is written down."""
        word, _, text = message.partition(":")
        if word in ASKS:
            self._ask(word, text, event_of(message), now_s)
            return
        if word == "stop":
            self._said.add(text)
        if word in WRITTEN:
            try:
                level = round(self.session.level, 6)
                self.journal.write(
                    "operator", {"did": word, "text": text, "level": level}, sync=False
                )
                if word == "mark":
                    self.marks.setdefault(text, level)
            except RecordError as exc:
                self._apply(Event(Trigger.STOP, f"the record failed: {exc}"), now_s)
        if word != "mark":
            self._apply(event_of(message), now_s)

    def _ask(self, word: str, text: str, event: Event, now_s: float) -> None:
        """A request for a train or another frequency: what was asked, why, and what came of it."""
        before = self.session
        self._apply(event, now_s)
        after, refusal = self.session, ""
        if after is before:
            refusal = f"not in state {before.state.value}"
        elif after.refused > before.refused:
            refusal = after.refusal
        elif after.state is not before.state:
            refusal = after.cause
        self.refused, self.refusal = self.refused + bool(refusal), refusal
        value = event.value if math.isfinite(event.value) else None
        asked = {"asked": word, "reason": event.cause, "value": value, "granted": not refusal}
        if refusal:
            asked |= {"refusal": refusal, "refused": self.refused}
        try:
            self.journal.write("request", asked, sync=False)
        except RecordError as exc:
            self._apply(Event(Trigger.STOP, f"the record failed: {exc}"), now_s)

    def _look(self, now_s: float) -> None:
        """Ask the monitor, and have the session act on what it found."""
        if self._watcher is None or self.session.state in TERMINAL:
            return
        if self.session.ending or self.session.state is State.STOPPING:
            self._watcher.judge.stopped(now_s)
        try:
            findings = self._watcher.look(now_s)
        except TacsError as exc:
            findings = [Finding("monitor_silent", "soft", str(exc))]
        self._measured = self._watcher.judge.measured_ma()
        self._impedance = self._watcher.judge.impedance_kohm()
        self._measured_at_s = self.session.elapsed_s(now_s)
        if now_s - self._measured_s >= MEASURED_EVERY_S - 1e-9:
            self._measured_s = now_s
            self._note_measurement(now_s)
        for finding in findings:
            self._act_on(finding, now_s)

    def _note_measurement(self, now_s: float) -> None:
        try:
            self.journal.answer("measured", self._watcher.summary() if self._watcher else {})
        except RecordError as exc:
            self._apply(Event(Trigger.STOP, f"the record failed: {exc}"), now_s)

    def _act_on(self, finding: Finding, now_s: float) -> None:
        if finding.urgency == "warn":
            self._warnings.append(finding.cause)
            self._note(finding.cause)
            return
        trigger = Trigger.FAULT if finding.urgency == "emergency" else Trigger.SOFT_FAULT
        if self.session.state is State.STOPPING and finding.urgency == "soft":
            return  # it is ending already, by the same ramp
        self._apply(Event(trigger, finding.cause), now_s)

    def _period_s(self) -> float:
        quick = self.session.state in {
            State.TITRATING,
            State.RAMP_UP,
            State.RAMP_DOWN,
            State.STOPPING,
        }
        quick = quick or bool(self.session.plan.trains.course)
        return RAMP_TICK_S if quick or self._watcher is not None else HOLD_TICK_S

    def _apply(self, event: Event, now_s: float) -> None:
        """Take one event through the kernel, write the change of state, carry out the actions.

        A stop never waits for the disk and is sent although its line cannot be written; nothing
        that happens while the session runs waits for it either. Where an action fails and ends the
        session, the rest of its step is not sent any more.
        """
        before = self.session
        self.session, actions = step(before, event, now_s)
        state = self.session.state
        stops = any(action.do in STOPS for action in actions)
        paused = state is State.PAUSED and state is not before.state
        if paused or before.tolerated > self.session.tolerated:
            self.driver.forget_tolerated()
        if state is not before.state:
            try:
                runs = before.state in RUNNING and state not in TERMINAL
                self._write_state(before, sync=not (stops or runs))
                if runs and not stops:
                    self.journal.sync()  # asks for it; where a thread syncs, nobody waits
            except RecordError as exc:
                if not stops and state not in TERMINAL:
                    self._apply(Event(Trigger.STOP, f"the record failed: {exc}"), now_s)
                    return
        for action in actions:
            self._do(action, now_s)
            if self.session.state is not state:
                return

    def _do(self, action: Action, now_s: float) -> None:
        try:
            self._send(action, now_s)
        except RecordError as exc:
            # A stop was sent all the same; only what is not a stop turns into one.
            if action.do not in STOPS:
                self._apply(Event(Trigger.STOP, f"the record failed: {exc}"), now_s)
        except SafetyRefusal as exc:
            self._apply(Event(Trigger.FAULT, f"a command was refused: {exc}"), now_s)
        except TacsError as exc:
            if action.do is Do.EMERGENCY_STOP:
                # Nothing more can be sent; the device's own lease ends the current.
                self._note(f"the emergency stop could not be delivered: {exc}")
            else:
                self._apply(Event(Trigger.FAULT, str(exc)), now_s)

    def _send(self, action: Action, now_s: float) -> None:
        driver = self.driver
        if action.do is Do.START:
            driver.start(action.value, now_s)
            self._played.began(self.session.started_s, self._clock.now_s(), self._achieved_hz)
        elif action.do is Do.SET_LEVEL:
            sent_s = self._clock.now_s()
            driver.set_level(action.value, now_s)
            self._played.levelled(action.value, sent_s, self._clock.now_s())
            if self._watcher is not None:
                self._watcher.judge.command(action.value, now_s)
        elif action.do is Do.EXTEND_LEASE:
            left_s = self.session.plan.duration_s - action.value
            driver.extend_lease(
                action.value, min(self.session.plan.lease_s, max(left_s, 0.0) + 0.5)
            )
        elif action.do is Do.RETUNE:
            achieved_hz = driver.set_frequency(action.value)
            self._played.tuned(self._clock.now_s(), achieved_hz)
            driver.check_achieved(action.value, achieved_hz)
            if self._watcher is not None:
                self._watcher.judge.retune(achieved_hz, now_s)
        elif action.do is Do.READ_STATUS:
            self._read_status(now_s)
        elif action.do is Do.SOFT_STOP:
            driver.soft_stop()
        else:
            driver.emergency_stop()

    def _read_status(self, now_s: float) -> None:
        status = self.driver.status()
        if self._watcher is None and status.current_peak_ma is not None:
            self._measured = status.current_peak_ma
            self._measured_at_s = self.session.elapsed_s(now_s)
        if self._watcher is None and status.impedance_kohm is not None:
            self._impedance = status.impedance_kohm
        self.journal.answer(
            "status",
            {
                "playing": list(status.playing),
                "level": round(self.session.level, 6),
                "current_peak_ma": status.current_peak_ma,
                "impedance_kohm": status.impedance_kohm,
                **status.details,
            },
        )
        self._apply(Event(Trigger.PLAYING if status.playing else Trigger.SILENT), now_s)

    def _write_state(self, before: Session, *, sync: bool) -> None:
        data = {"from": before.state.value, "to": self.session.state.value}
        if self.session.cause:
            data["cause"] = self.session.cause
        self.journal.write("state", data, sync=sync)

    def _note(self, text: str) -> None:
        with contextlib.suppress(RecordError):
            self.journal.write("note", {"text": text}, sync=False)

    def _sync(self, now_s: float) -> None:
        if now_s - self._synced_s < SYNC_EVERY_S - 1e-9:
            return
        self._synced_s = now_s
        try:
            self.journal.sync()
        except RecordError as exc:
            self._apply(Event(Trigger.STOP, f"the record failed: {exc}"), now_s)

    def _close(self) -> None:
        try:
            self.driver.close()
        except TacsError as exc:
            self._note(f"closing the device: {exc}")
        if self._watcher is not None:
            self._watcher.close()


def _known(value: float) -> float | None:
    """A number; None where it is none yet."""
    return None if math.isnan(value) else value
