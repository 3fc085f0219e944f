"""A loop: EEG in, a decision, a request out. It asks; whether current flows is the kernel's alone.

One :class:`Loop` takes blocks as they come, keeps what the guardian tells of the session, asks the
rule, and turns what it decides into messages of an operator's front end or into triggers. What it
knows of time comes from the clock that it is given.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from analysis.loop_drift import ArtefactDrift, DeviceClock
from analysis.loop_signal import SignalWatch
from analysis.loop_stale import StaleRule, when_stale
from analysis.loop_terms import TURN, Carrier, Decision, Request, Seen, hold
from analysis.phase import PhaseEngine, PhaseEstimate
from tacs.clock import Clock
from tacs.eeg import EEGBlock, EEGStream
from tacs.errors import InputError, LinkLost, RecordError, SourceOver
from tacs.guardian import Telemetry
from tacs.loop_abort import PhaseCheck
from tacs.loop_counts import LoopCounts, Silent
from tacs.loop_state import StateKeeper
from tacs.played import Played
from tacs.session import WITH_CURRENT, State
from tacs.triggers import TriggerTimer

if TYPE_CHECKING:
    from tacs.loop_log import LoopLog

__all__ = ["Loop", "LoopCounts", "Rule"]

STEERABLE: Final = frozenset({State.TRAIN_ON, State.HOLD, State.BETWEEN_TRAINS})
FULL: Final = frozenset({State.TRAIN_ON, State.HOLD})
WANTED_CURRENT: Final = WITH_CURRENT | {State.STOPPING}
GOING_DOWN: Final = frozenset({State.RAMP_DOWN, State.PAUSED})
PAUSE_AGAIN_S: Final = 1.0  # a pause that has not come about is asked for again
SLACK_S: Final = 0.1  # a request takes time to become a train
OVER_WORDS: Final = "the recording is over"
OVER: Final = frozenset({State.STOPPING, State.STOPPED, State.DONE, State.FAULT})


class Rule(Protocol):
    """A rule of :mod:`analysis`; see there."""

    def decide(self, seen: Seen, history: Any, /) -> tuple[Decision, Any]:
        """Decide, and return what is to be remembered."""


class Loop:
    """EEG in, requests out.

    Parameters
    ----------
    source : EEGStream
        Open.
    clock : Clock
        Of the session.
    engine : PhaseEngine
        Fitted to this person.
    rule : Rule
        What decides.
    history : object
        That the rule begins with.
    stale : StaleRule
        When EEG is too old.
    latency_s : float
        From a request to its effect.
    put : callable
        Takes messages for the guardian; None where there is no current of ours.
    log : LoopLog
        Begun.
    begin_rad : float
        Phase of the current when its programme begins.
    reads_under_current : bool
        Whether the signal may be used while current flows.
    blanking_s : float
        After current, before the signal is used.
    state : StateKeeper
        Tells the state before a train, and whether it may begin.
    triggers : TriggerTimer, optional
        For rules that ask for triggers.
    trains : (float, int)
        Length and number of the protocol's trains: none is asked for that would not fit.
    sham : (float, float, float), optional
        Decide and log, and ask for nothing: length of a train, of a gap, and frequency.
    check : PhaseCheck, optional
        Looks afterwards how well the phase was met; None where no phase is aimed at.
    device : DeviceClock
        What is known of the stimulator's clock.
    ends : bool
        Whether a lost phase ends the loop; else it asks for nothing more.
    """

    def __init__(
        self,
        source: EEGStream,
        clock: Clock,
        engine: PhaseEngine,
        rule: Rule,
        history: Any,
        *,
        stale: StaleRule,
        latency_s: float,
        put: Callable[[str], None] | None,
        log: LoopLog,
        begin_rad: float,
        reads_under_current: bool,
        blanking_s: float,
        state: StateKeeper,
        triggers: TriggerTimer | None = None,
        trains: tuple[float, int] = (0.0, 0),
        sham: tuple[float, float, float] | None = None,
        check: PhaseCheck | None = None,
        device: DeviceClock | None = None,
        ends: bool = False,
    ) -> None:
        self._source, self._clock, self._engine = source, clock, engine
        self.rule, self._history = rule, history
        self._stale, self._latency_s = stale, latency_s
        self._put, self._log = put, log
        self._begin_rad = begin_rad
        self._reads_under_current = reads_under_current
        self._blanking_s = blanking_s
        self._state = state
        self._triggers = triggers
        self._train_s, self._most_trains = trains
        self.check, self._ends = check, ends
        self._device, self.drift = device or DeviceClock(), ArtefactDrift()
        self.aborted = ""
        self._told: Telemetry | None = None
        self._begun_s = clock.now_s()
        self._sample_s = self._signal_s = self._begun_s
        self._signal = SignalWatch(source.info.sfreq_hz)
        weights = [1.0] if engine.weights is None else engine.weights
        self._used = [i for i, weight in enumerate(weights) if weight]
        self._current_s = self._paused_s = -math.inf
        self._fed = False
        self._first: EEGBlock | None = None
        self._estimate = PhaseEstimate(math.nan, math.nan, math.nan, math.nan, False, "nothing yet")
        self._silent: Silent | None = None
        if sham is not None:
            on_s, off_s, hz = sham
            self._silent = Silent(on_s, off_s, Carrier(self._begun_s, begin_rad, hz))
        self.counts = LoopCounts()
        self.ended = self.eeg_ended = ""
        self.trace: list[str] = []
        self.looked_s = self._begun_s

    # -- what comes in ----------------------------------------------------------------------------

    def hear(self, told: Telemetry) -> None:
        """Take what the guardian tells; any thread may."""
        self._told = told

    def step(self) -> bool:
        """Take what has come and decide; False once the source is over or gone."""
        now_s = self.looked_s = self._clock.now_s()
        self._take_refusals()
        with_current = self._with_current(now_s)
        if with_current:
            self._current_s = now_s
        try:
            new = self._read()
        except SourceOver:
            self.ended = self.eeg_ended = OVER_WORDS
        except LinkLost as exc:
            self.ended = self.eeg_ended = f"EEG is gone: {exc}"
        else:
            if new or now_s - self._sample_s > self._stale.stale_s:
                self._decide(self._clock.now_s(), with_current=with_current)
        self._take_fired()
        if self._triggers is not None and self._triggers.problem:
            self.ended = self._triggers.problem
        return not self.ended

    @property
    def failed(self) -> bool:
        """Whether it is gone, and not because a recording that was played is over."""
        return self.ended not in ("", OVER_WORDS) or bool(self.aborted)

    def wait_and_step(self, at_most_s: float) -> bool:
        """Wait for a block, and step; for the machine's clock."""
        try:
            self._first = self._source.read(at_most_s)
        except (SourceOver, LinkLost):
            self._first = None  # the step meets the same, and says it
        return self.step()

    def close(self) -> None:
        """Note the triggers that are still to be noted; never raises."""
        self.drift.end()
        with contextlib.suppress(RecordError):  # the log's end says it
            self._take_fired()

    def _take_refusals(self) -> None:
        told = self._told
        if told is None or told.refused <= self.counts.refused:
            return
        self.counts.refused = told.refused
        self._log.write("refused", {"refusal": told.refusal, "n": told.refused})
        refused = getattr(self.rule, "refused", None)
        if refused is not None:
            self._history = refused(self._history)

    def _read(self) -> bool:
        """Feed the engine and the state with every block that is free of current."""
        new = False
        while len(block := self._next()):
            new = True
            first_s = float(block.times_s[0])
            self._sample_s = float(block.times_s[-1])
            clear = first_s - self._current_s >= self._blanking_s
            if block.restarted:
                self._log.write("jump", {"what": "the time of EEG jumped", "at_s": first_s})
            if not (clear or self._reads_under_current):
                # What comes under current is not looked at; its limits are no matter.
                self._fed = False
                self._signal_s = self._sample_s
                self._signal.reset()
                self._state.drop()
                if self.check is not None:
                    self.check.drop()
                self._look_at_artefact(block)
                continue
            if not self._fed:
                self._engine.reset("current has ended")
                self._fed = True
            self._estimate = self._engine.update(block)
            if why := self._signal.problem(block.signal_uv[self._used]):
                self._estimate = replace(self._estimate, valid=False, reason=why)
            else:
                self._signal_s = self._sample_s
            if clear:
                self._state.add(block)
            if self.check is not None:
                self._look_back(self.check, block)
        return new

    def _look_at_artefact(self, block: EEGBlock) -> None:
        """Under full current EEG shows the phase of the current itself, for its clock."""
        told = self._told
        if told is None or told.played is None or told.state not in FULL or self._silent:
            self.drift.end()
            return
        signal = self._engine.mixed(block.signal_uv)
        self.drift.add(signal, block.times_s, self._reckoned(told.played))

    def _look_back(self, check: PhaseCheck, block: EEGBlock) -> None:
        """Read the phases that were predicted; a loop that meets none goes on no more."""
        check.add(block)
        if check.in_gaps and self._estimate.valid:
            check.expect(self._sample_s + self._engine.horizon_s, self._estimate.phase_rad)
        if self.aborted or not (why := check.why_stop()):
            return
        self.aborted = why
        self._log.write("abort", {"reason": why, **check.to_dict()})
        if self._ends:
            self.ended = why

    def _next(self) -> EEGBlock:
        """The block that was waited for, or the next that is there."""
        first, self._first = self._first, None
        if first is not None and len(first):
            return first
        return self._source.read(0.0)

    # -- the decision -----------------------------------------------------------------------------

    def _decide(self, now_s: float, *, with_current: bool) -> None:
        seen = self._seen(now_s, with_current=with_current)
        self.counts.decisions += 1
        decision = when_stale(self._stale, seen)
        if decision is None and not self._fed and not self._reads_under_current:
            # The rule still has to see that current flows.
            seen = replace(seen, estimate=replace(self._estimate, valid=False, reason="current"))
        if decision is not None:
            if decision.requests and now_s - self._paused_s < PAUSE_AGAIN_S:
                decision = hold(decision.reason, **decision.numbers)
            elif decision.requests:
                self._paused_s = now_s
            self._send(decision, seen)
            return
        if self.aborted:
            self._log.decided(hold(self.aborted))
            return
        decision, history = self.rule.decide(seen, self._history)
        trains = [r for r in decision.requests if r.kind in ("train", "trigger")]
        why_not = self._state.why_not(now_s, self._current_s) if trains else ""
        if why_not:
            self._log.decided(hold(f"state gate: {why_not}"))
            return
        self._history = history
        if trains:
            self._log.write("state", self._state.to_dict())
        self._send(decision, seen)

    def _seen(self, now_s: float, *, with_current: bool) -> Seen:
        told = self._told
        state = State.IDLE if told is None else told.state
        carrier = self._carrier()
        ready = told is not None and told.played is not None and told.played.ready
        if told is not None and told.played is not None and ready:
            ends_s = now_s - told.played.started_s + self._latency_s + SLACK_S + self._train_s
            ready = told.trains < self._most_trains and ends_s <= told.duration_s
        paused = state in GOING_DOWN or state in OVER
        if self._put is None:
            ready, paused = True, False
        if self._silent is not None:
            ready = now_s >= self._silent.until_s + self._silent.off_s
        return Seen(
            now_s=now_s,
            sample_s=self._sample_s,
            estimate=self._estimate,
            horizon_s=self._engine.horizon_s,
            latency_s=self._latency_s,
            with_current=with_current,
            ready=ready,
            carrier=carrier,
            paused=paused,
            steerable=self._silent is not None or state in STEERABLE,
            signal_s=self._signal_s,
        )

    def _with_current(self, now_s: float) -> bool:
        if self._silent is not None:
            return now_s < self._silent.until_s
        told = self._told
        return told is not None and (told.level > 0.0 or told.state in WANTED_CURRENT)

    def _carrier(self) -> Carrier | None:
        if self._silent is not None:
            return self._silent.carrier
        if self._told is None or self._told.played is None:
            return None
        played = self._told.played
        return self._device.corrected(self._reckoned(played), played.cycles)

    def _reckoned(self, played: Played) -> Carrier:
        """The sine by nominal frequencies."""
        return Carrier(played.tuned_s, self._begin_rad + TURN * played.cycles, played.frequency_hz)

    # -- what goes out ----------------------------------------------------------------------------

    def _send(self, decision: Decision, seen: Seen) -> None:
        counts = self.counts
        if "lag_error_rad" in decision.numbers and (
            any(r.kind == "train" for r in decision.requests) or self._reads_under_current
        ):
            counts.lags_rad.append(decision.numbers["lag_error_rad"])
        self._log.decided(decision)
        for request in decision.requests:
            _refuse_no_number(request)
            if request.at_s is not None and request.at_s < self._clock.now_s():
                counts.past += 1
                self._log.write("past", {"kind": request.kind, "at_s": request.at_s})
                continue
            if self.check is not None:
                self._note(self.check, request, seen)
            if request.kind == "trigger":
                self._trigger(request)
                continue
            if request.kind == "retune":
                counts.retunes += 1
            elif request.kind == "train":
                counts.trains += 1
            else:
                counts.pauses += 1
            if self._silent is not None:
                self._silent.take(request, seen.now_s)
            elif self._put is not None:
                self._put(self._message(request, decision.reason))

    def _note(self, check: PhaseCheck, request: Request, seen: Seen) -> None:
        """Note what phase was predicted for what is asked for."""
        if check.in_gaps:
            if request.kind == "train":
                check.train()
        elif request.kind in ("trigger", "retune"):
            at_s = seen.effect_s if request.at_s is None else request.at_s
            check.event(at_s, seen.rhythm_at(at_s))

    def _trigger(self, request: Request) -> None:
        if self._triggers is None or request.at_s is None:
            return
        if self._silent is not None or self._triggers.at(request.at_s):
            self.counts.triggers += 1
        else:
            self.counts.past += 1
            self._log.write("past", {"kind": request.kind, "at_s": request.at_s})

    def _message(self, request: Request, reason: str) -> str:
        """A request as the guardian hears it."""
        if request.kind == "pause":
            return f"pause:{reason}"
        told: dict[str, Any] = {"reason": reason}
        if request.kind == "retune":
            told["frequency_hz"] = round(request.value, 6)
        elif request.at_s is not None and self._told is not None and self._told.played is not None:
            told["at_s"] = round(request.at_s - self._told.played.started_s, 6)
        return f"{request.kind}:{json.dumps(told)}"

    def _take_fired(self) -> None:
        if self._triggers is None:
            return
        for fired in self._triggers.taken():
            self._log.write("fired", fired.to_dict())


def _refuse_no_number(request: Request) -> None:
    """A rule that asks for what is no number has failed; nothing of it is sent."""
    if request.kind == "retune" and not math.isfinite(request.value):
        raise InputError(f"the rule asked for a retune to {request.value} Hz")
    if request.at_s is not None and not math.isfinite(request.at_s):
        raise InputError(f"the rule asked for a {request.kind} at {request.at_s} s")
