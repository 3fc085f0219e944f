"""On and off: a train of current, then EEG without it, then the next train by what was seen there.

In every gap, in this order: *blanking* after the current has ended (the amplifier recovers), a
*window* in which phase and frequency are read, and a decision: another frequency, a phase for the
train to begin at, or both.

The phase of a train is set without a jump. From the end of blanking on, at zero current, the sine
runs a little off the rhythm, so that its lag to it goes through the whole circle; when the lag is
the one wanted, the sine takes the rhythm's frequency and the train begins. How far ahead the phase
must be predicted is the latency of one request, not the length of a gap.

References
----------
Zarubin et al. 2020, *Front. Hum. Neurosci.* 14:366. Stecher et al. 2021, *Front. Hum. Neurosci.*
15:661432: of the groups, only the one with a *fixed* frequency had a lasting increase of alpha.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, Literal

from analysis.errors import AnalysisError
from analysis.loop_control import Control, offset_rad
from analysis.loop_frequency import FrequencyMemory, Window, window_error_hz
from analysis.loop_terms import Carrier, Decision, Request, Seen, hold, wrapped

__all__ = ["OnOffHistory", "OnOffRule"]

CLEAR_SDS: Final = 1.96  # of the memory, from the commanded frequency
LEAST_CHANGE_HZ: Final = 0.02
SLOWEST: Final = 0.6  # of the slip that was set: below it the lag does not come round


@dataclass(frozen=True, slots=True, kw_only=True)
class OnOffHistory:
    """What happened before.

    Parameters
    ----------
    memory : FrequencyMemory
        Of the rhythm.
    current_until_s : float
        When current was seen last; minus infinity before.
    window : Window or None
        Of this gap.
    retuned_s : float
        When a change was asked for last.
    slipping : bool
        Whether the sine runs off the rhythm in this gap.
    counted : bool
        Whether this gap's window has been weighed in.
    asked : bool
        Whether this gap's train has been asked for.
    number : int
        Of trains that were asked for.
    """

    memory: FrequencyMemory
    current_until_s: float = -math.inf
    window: Window | None = None
    retuned_s: float = -math.inf
    slipping: bool = False
    counted: bool = False
    asked: bool = False
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OnOffRule:
    """Rule: trains whose frequency, phase or both follow what was seen in the gap before.

    Parameters
    ----------
    follow : {"frequency", "phase", "both", "none"}
        What is taken from the window.
    centre_hz, within_hz : float
        Where the frequency may be.
    step_hz, interval_s : float
        Largest change at once, and least time from one to the next.
    width_hz, phase_error_rad : float
        Of the rhythm's line, and of the estimates: how much a window is worth.
    lag_rad : float
        How far the current is to come after the rhythm when a train begins.
    blanking_s, window_s : float
        After current has ended, and the shortest window.
    give_up_s : float
        A gap in which nothing could be read for so long: the last frequency is kept and the train
        comes (frequency only); a train with a phase does not come.
    slip_hz : float
        How far the sine runs off the rhythm while a lag is looked for.
    every_s : float
        From one decision to the next: how near a lag can be met.
    min_amplitude_uv : float
        No train that listens begins where the rhythm is smaller: its phase is not known there.
    control : str
        See :mod:`analysis.loop_control`.
    seed : int
        Of what is drawn.
    """

    follow: Literal["frequency", "phase", "both", "none"]
    centre_hz: float
    within_hz: float
    step_hz: float
    interval_s: float
    width_hz: float = 1.0
    phase_error_rad: float = 0.4
    lag_rad: float = 0.0
    blanking_s: float = 0.5
    window_s: float = 2.0
    give_up_s: float = 10.0
    slip_hz: float = 0.4
    every_s: float = 0.02
    min_amplitude_uv: float = 0.0
    control: Control = "closed"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.follow not in ("frequency", "phase", "both", "none"):
            raise AnalysisError(
                f"follow {self.follow!r}: write frequency, phase, both or none (a fixed frequency)"
            )
        if not 0.0 < self.within_hz < self.centre_hz < math.inf:
            raise AnalysisError(
                f"frequency {self.centre_hz:g} ± {self.within_hz:g} Hz: write a range above 0 Hz"
            )
        for name in ("blanking_s", "window_s", "step_hz", "interval_s", "width_hz", "every_s"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0.0):
                raise AnalysisError(f"{name} {getattr(self, name)}: write more than 0")
        if not (math.isfinite(self.min_amplitude_uv) and self.min_amplitude_uv >= 0.0):
            raise AnalysisError(f"min_amplitude_uv {self.min_amplitude_uv}: write 0 or more")
        if not self.give_up_s > self.window_s:
            raise AnalysisError(
                f"give_up_s {self.give_up_s:g}: write more than the window's {self.window_s:g} s"
            )
        if self.phased and not 0.05 <= self.slip_hz <= self.step_hz / 1.25:
            raise AnalysisError(
                f"slip_hz {self.slip_hz:g}: write 0.05 to {self.step_hz / 1.25:g} Hz, so that one "
                f"step leads back"
            )

    @property
    def phased(self) -> bool:
        """Whether trains have a phase."""
        return self.follow in ("phase", "both")

    def decide(self, seen: Seen, history: OnOffHistory) -> tuple[Decision, OnOffHistory]:
        """Decide.

        Parameters
        ----------
        seen : Seen
            Now.
        history : OnOffHistory
            Before.
        """
        if seen.paused:
            return hold("the session is paused or over"), _anew(history, seen.now_s)
        if seen.with_current:
            return hold("current flows"), _anew(history, seen.now_s)
        if history.asked:
            return hold("a train was asked for"), history
        if not seen.sample_s - history.current_until_s >= self.blanking_s:
            return hold("blanking after the current"), history
        if self.follow == "none" or self.control == "open-loop":
            return self._fixed(seen, history)
        return self._listen(seen, history)

    def refused(self, history: OnOffHistory) -> OnOffHistory:
        """What is to be remembered after a refusal: the gap's train is asked for again."""
        return replace(history, asked=False, slipping=False)

    def _fixed(self, seen: Seen, history: OnOffHistory) -> tuple[Decision, OnOffHistory]:
        """A fixed frequency, or an open loop: after the same gap as a loop that listens."""
        if not seen.now_s - history.current_until_s >= self.blanking_s + self.window_s:
            return hold("the gap of a fixed schedule"), history
        if not seen.ready:
            return hold("no train may come yet"), history
        return self._train(history, "a fixed frequency")

    def _listen(self, seen: Seen, history: OnOffHistory) -> tuple[Decision, OnOffHistory]:
        carrier = seen.carrier
        if carrier is None:
            return hold("the phase of the current is not known"), history
        if not seen.estimate.valid:
            # What was seen before does not hang together with what comes after.
            history = replace(history, window=None)
            waited_s = seen.now_s - history.current_until_s - self.blanking_s
            if waited_s > self.give_up_s and not self.phased and seen.ready:
                return self._train(history, "nothing to be read: the last frequency is kept")
            return hold("the phase is not known"), history
        window = history.window
        window = Window.begin(seen, history.memory.mean_hz) if window is None else window.add(seen)
        history = replace(history, window=window)
        if self.phased and not history.slipping:
            return self._begin_slip(seen, carrier, history)
        if window.seconds < self.window_s - 1e-9:
            return hold("the window is not full yet", window_s=window.seconds), history
        if not history.counted:
            history = self._weighed(window, history)
        if seen.estimate.amplitude_uv < self.min_amplitude_uv:
            return hold("the rhythm is small"), history
        if self.phased:
            return self._meet(seen, carrier, history)
        return self._frequency_only(seen, carrier, history)

    def _weighed(self, window: Window, history: OnOffHistory) -> OnOffHistory:
        error_hz = window_error_hz(self.width_hz, window.seconds, self.phase_error_rad)
        memory = history.memory.seen(window.frequency_hz, error_hz, window.newest_s)
        return replace(history, memory=memory, counted=True)

    def _frequency_only(
        self, seen: Seen, carrier: Carrier, history: OnOffHistory
    ) -> tuple[Decision, OnOffHistory]:
        """Move the frequency where the memory is clear of it; then the train."""
        if not seen.ready:
            return hold("no train may come yet"), history
        now_hz = carrier.frequency_hz
        memory = history.memory
        numbers = {
            "memory_hz": memory.mean_hz,
            "memory_sd_hz": memory.sd_hz,
            "window_hz": math.nan if history.window is None else history.window.frequency_hz,
        }
        away_hz = memory.mean_hz - now_hz
        if abs(away_hz) < max(CLEAR_SDS * memory.sd_hz, LEAST_CHANGE_HZ):
            return self._train(history, "undecided: the frequency stays", **numbers)
        if not seen.now_s - history.retuned_s >= self.interval_s:
            return hold("too soon after the last change", **numbers), history
        aim_hz = memory.mean_hz
        new_hz = self._allowed(aim_hz, now_hz)
        reason = "the frequency follows"
        if new_hz != aim_hz:
            reason = "the frequency follows as far as step and range allow"
        if abs(new_hz - now_hz) < LEAST_CHANGE_HZ:
            return self._train(history, "at the edge of the range: the frequency stays", **numbers)
        return self._train(history, reason, new_hz, seen.now_s, **numbers)

    def _begin_slip(
        self, seen: Seen, carrier: Carrier, history: OnOffHistory
    ) -> tuple[Decision, OnOffHistory]:
        """Run the sine off the rhythm, on the side that it is on already."""
        if not seen.now_s - history.retuned_s >= self.interval_s:
            return hold("too soon after the last change"), history
        now_hz, rhythm_hz = carrier.frequency_hz, self._followed_hz(history, seen)
        side = 1.0 if now_hz >= rhythm_hz else -1.0
        for sign in (side, -side):
            aim_hz = rhythm_hz + sign * self.slip_hz
            if abs(self._allowed(aim_hz, now_hz) - aim_hz) < 1e-9:
                after = replace(history, slipping=True, retuned_s=seen.now_s)
                request = Request("retune", aim_hz)
                numbers = {"rhythm_hz": rhythm_hz}
                return Decision(
                    reason="the lag is made to go round", requests=(request,), numbers=numbers
                ), after
        new_hz = self._allowed(rhythm_hz, now_hz)
        if abs(new_hz - now_hz) < LEAST_CHANGE_HZ:
            return hold("the range has no room for a slip"), history
        after = replace(history, retuned_s=seen.now_s)
        return Decision(
            reason="nearer to the rhythm first", requests=(Request("retune", new_hz),),
            numbers={"rhythm_hz": rhythm_hz},
        ), after  # fmt: skip

    def _meet(
        self, seen: Seen, carrier: Carrier, history: OnOffHistory
    ) -> tuple[Decision, OnOffHistory]:
        """Wait until the lag is the one wanted, and begin there."""
        if not seen.ready:
            return hold("no train may come yet"), history
        if not seen.now_s - history.retuned_s >= self.interval_s:
            return hold("too soon after the last change"), history
        effect_s = seen.effect_s
        wanted = self.lag_rad + offset_rad(self.control, self.seed, history.number)
        off = wrapped(seen.rhythm_at(effect_s) - carrier.phase_at(effect_s) - wanted)
        slip_hz = carrier.frequency_hz - seen.estimate.frequency_hz
        numbers = {"lag_error_rad": off, "rhythm_hz": seen.estimate.frequency_hz}
        near = math.pi * max(abs(slip_hz), SLOWEST * self.slip_hz) * self.every_s
        if abs(off) > near:
            return hold("the lag is not there yet", **numbers), history
        aim_hz = self._followed_hz(history, seen)
        new_hz = self._allowed(aim_hz, carrier.frequency_hz)
        return self._train(
            history, "the lag is there", new_hz, seen.now_s, **numbers, memory_hz=aim_hz
        )

    def _followed_hz(self, history: OnOffHistory, seen: Seen) -> float:
        """Frequency of the train: the memory's where it is followed, else the one prescribed."""
        return history.memory.mean_hz if self.follow == "both" else self.centre_hz

    def _allowed(self, aim_hz: float, now_hz: float) -> float:
        low = max(self.centre_hz - self.within_hz, now_hz - self.step_hz)
        high = min(self.centre_hz + self.within_hz, now_hz + self.step_hz)
        return min(max(aim_hz, low), high)

    def _train(
        self,
        history: OnOffHistory,
        reason: str,
        new_hz: float | None = None,
        now_s: float = math.nan,
        **numbers: float,
    ) -> tuple[Decision, OnOffHistory]:
        requests: tuple[Request, ...] = (Request("train"),)
        after = replace(history, asked=True, number=history.number + 1)
        if new_hz is not None:
            requests = (Request("retune", new_hz), *requests)
            after = replace(after, retuned_s=now_s)
        return Decision(reason=reason, requests=requests, numbers=numbers), after


def _anew(history: OnOffHistory, now_s: float) -> OnOffHistory:
    """Nothing seen before holds after current."""
    return replace(
        history, current_until_s=now_s, window=None, slipping=False, counted=False, asked=False
    )
