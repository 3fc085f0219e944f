"""The guardian of a device that a person works: it asks for words instead of reading the device.

Nothing here is verified by a machine. The person is asked to press start, and the session begins
with the word ``started``; when current has to end, the person is told to press stop, and the word
``silent`` is what the session ends with. Where that word does not come in time, the session is a
fault. From the moment in which somebody is asked to press start the device may play, whatever is
said: a start that is given up is ended like a session that has begun.
"""

from __future__ import annotations

import dataclasses
import math

from tacs.by_hand import SILENT, STARTED, instruction
from tacs.clock import Inbox
from tacs.driver import Achieved, Identity
from tacs.errors import RecordError
from tacs.guardian import HOLD_TICK_S, Guardian, Telemetry, event_of
from tacs.session import TERMINAL, Event, State, Trigger
from tacs.texts import mended

__all__ = ["START_WITHIN_S", "HandGuardian"]

START_WITHIN_S = 60.0
WORDS = frozenset({STARTED, SILENT})


class HandGuardian(Guardian):
    """Run one session on a device that a person works; see :class:`tacs.guardian.Guardian`.

    Attributes
    ----------
    asked_s : float or None
        Clock time at which the person was asked to press start.
    silent_s : float or None
        Clock time at which the person said that the device is silent.
    """

    _device_name = ""
    asked_s: float | None = None
    silent_s: float | None = None
    _given_up = ""
    _wanted_s: float | None = None  # when it was first told to stop the device

    @property
    def unseen_s(self) -> float:
        """For how long at most the device may have played while nobody had said that it does."""
        if self.asked_s is None:
            return 0.0
        started_s = self.session.started_s
        over_s = started_s + self.session.plan.duration_s
        until_s = over_s if self.silent_s is None else min(self.silent_s, over_s)
        since_s = until_s if self._wanted_s is None else self._wanted_s
        return started_s - self.asked_s + max(until_s - since_s, 0.0)

    def prepare(self) -> tuple[Identity, Achieved]:
        """Take the device's name and the programme; nothing can be sent to it."""
        identity, achieved = super().prepare()
        self._device_name = identity.model
        return identity, achieved

    def _loop(self, inbox: Inbox) -> None:
        self._given_up = self._await_start(inbox)
        if self.session.state not in TERMINAL:
            super()._loop(inbox)
            self._await_silence(inbox)

    def _begin(self, now_s: float) -> None:
        super()._begin(now_s)
        if self._given_up:
            self._apply(Event(Trigger.STOP, self._given_up), now_s)

    def _await_start(self, inbox: Inbox) -> str:
        """Ask the person to press start; return why it was given up, nothing where it began.

        The intent is on disk before anybody is asked.
        """
        now_s = self._clock.now_s()
        try:
            self.driver.ask_start()
        except RecordError as exc:
            self._apply(Event(Trigger.STOP, f"the record failed: {exc}"), now_s)
            return ""
        self.asked_s = alive_s = now_s
        lease_s = self.session.plan.operator_lease_s
        while True:
            self._show(now_s)
            messages = [mended(x) for x in self._clock.wait(now_s + HOLD_TICK_S, inbox)]
            now_s = self._clock.now_s()
            if messages:
                alive_s = now_s
            for message in sorted(messages, key=lambda m: not self._stops(m)):
                if self._stops(message):
                    cause = event_of(message).cause
                    self._said.add(cause)
                    return cause
                if cause := self._objection(message):
                    return self._written(*message.split(":", 1)) or cause
            if STARTED in messages:
                return self._written(STARTED)
            if lease_s is not None and not now_s - alive_s <= lease_s:
                return "the operator side fell silent"
            if not now_s - self.asked_s <= START_WITHIN_S:
                return f"nobody said within {START_WITHIN_S:g} s that the device was started"

    def _objection(self, message: str) -> str:
        """Why a pause or a rating ends a start: the device may play already, and cannot pause."""
        event = Event(Trigger.ALIVE) if message in WORDS else event_of(message)
        if event.trigger is Trigger.PAUSE:
            return f"{event.cause}: the device cannot pause"
        if event.trigger is Trigger.RATING:
            if not 0.0 <= event.value < self.session.plan.discomfort_pause:
                return f"discomfort {event.value:g} of 10"
        return ""

    def _await_silence(self, inbox: Inbox) -> None:
        """After a fault, have the person stop the device and say so; it stays a fault."""
        now_s = self._clock.now_s()
        since_s = now_s if self._wanted_s is None else self._wanted_s
        until_s = since_s + self.session.plan.stop_grace_s
        while self.silent_s is None and now_s < until_s:
            self._show(now_s)
            for message in self._clock.wait(now_s + HOLD_TICK_S, inbox):
                if message == SILENT:
                    self._hear(message, self._clock.now_s())
            now_s = self._clock.now_s()
        self._show(now_s)

    def tick(self, messages: list[str], now_s: float) -> None:
        """Handle messages, stops first, then let time pass."""
        super().tick(messages, now_s)
        if self._wanted_s is None and self._word() == SILENT:
            self._wanted_s = now_s

    def _hear(self, message: str, now_s: float) -> None:
        """A word of the person who works the device; the next status is what it says."""
        if message not in WORDS:
            super()._hear(message, now_s)
            return
        failed = self._written(message)
        if message == SILENT:
            self.silent_s = now_s
            self.driver.told(message)
        if failed:
            self._apply(Event(Trigger.STOP, failed), now_s)

    def _written(self, word: str, text: str = "") -> str:
        """Write down a word; return what went wrong, or nothing."""
        did = {"did": word, "machine_verified": False} | ({"text": text} if text else {})
        try:
            self.journal.write("operator", did, sync=False)
        except RecordError as exc:
            return f"the record failed: {exc}"
        return ""

    def _stops(self, message: str) -> bool:
        return message not in WORDS and super()._stops(message)

    def _word(self) -> str:
        """The word that is wanted now."""
        if self.asked_s is None or self.silent_s is not None:
            return ""
        session = self.session
        if session.state is State.ARMED:
            return STARTED
        over = session.ending or session.state is State.STOPPING or session.state in TERMINAL
        return SILENT if over else ""

    def _show(self, now_s: float) -> None:
        if self._watch is not None:
            self._watch(self._telemetry(now_s))

    def _telemetry(self, now_s: float) -> Telemetry:
        word, session = self._word(), self.session
        ended = session.ending and not session.cause
        return dataclasses.replace(
            super()._telemetry(now_s),
            elapsed_s=0.0 if math.isnan(session.started_s) else session.elapsed_s(now_s),
            word=word,
            instruction=instruction(word, self._device_name, ended=ended),
        )
