"""Continuous phase lock: the current's frequency is steered so that its phase keeps a lag.

Only where the signal is free of artefact while current flows: amplitude-modulated stimulation,
whose carrier lies outside the band, or a peripheral sensor (tremor). The scalp under conventional
current shows the current, not the brain; a loop that follows it follows itself: that is refused.

References
----------
Haslacher et al. 2024, *Brain Stimulation* 17(4) (CLAM-tACS). Schreglmann et al. 2021, *Nature
Communications* 12:363 (tremor).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, Literal

from analysis.errors import AnalysisError
from analysis.loop_control import Control, offset_rad
from analysis.loop_frequency import FrequencyMemory, window_error_hz
from analysis.loop_terms import TURN, Decision, Request, Seen, hold, wrapped

__all__ = ["LockHistory", "LockRule", "Signal", "lock_refusal", "predicted_lag_sd_rad"]

Signal = Literal["scalp", "am", "peripheral"]
LEAST_CHANGE_HZ: Final = 0.005
REDRAW_S: Final = 5.0  # random-phase: how long one phase is kept


def lock_refusal(signal: Signal, waveform: str, *, with_current: bool) -> str:
    """Why a continuous lock cannot be: empty where it can.

    Parameters
    ----------
    signal : {"scalp", "am", "peripheral"}
        What the phase is read from: EEG, EEG under amplitude-modulated current, or a sensor that
        the current does not reach.
    waveform : str
        Of the protocol.
    with_current : bool
        Whether current will flow at all.
    """
    if not with_current or signal == "peripheral":
        return ""
    if signal == "am":
        if waveform == "am_tacs":
            return ""
        return "signal 'am' needs an amplitude-modulated protocol (waveform am_tacs)"
    if waveform == "am_tacs":
        return ""
    return (
        "a continuous lock cannot read scalp EEG under conventional tACS: the current's artefact "
        "has the phase of the current itself, and no known method parts the two; use rule onoff, "
        "an am_tacs protocol, or a peripheral sensor (--signal peripheral)"
    )


def predicted_lag_sd_rad(width_hz: float, interval_s: float, phase_error_rad: float) -> float:
    """Lag that a lock leaves, as a standard deviation.

    Parameters
    ----------
    width_hz : float
        Full width at half maximum of the rhythm's line.
    interval_s : float
        From one change of the frequency to the next.
    phase_error_rad : float
        Of the estimate.

    Notes
    -----
    The phase diffuses with variance ``2 pi w`` per second. Within an interval that of the last one
    is taken away evenly, a third of it on average, and half of the present one comes on top.
    """
    return math.hypot(phase_error_rad, math.sqrt(5.0 / 6.0 * TURN * width_hz * interval_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class LockRule:
    """Rule: steer the frequency so that the current keeps its lag to the rhythm.

    Parameters
    ----------
    lag_rad : float
        How far the current is to come after the rhythm.
    centre_hz, within_hz : float
        Where the frequency may be.
    step_hz : float
        Largest change at once.
    interval_s : float
        Least time from one change to the next.
    width_hz, phase_error_rad : float
        Of the rhythm's line, and of the estimates: how much the phase tells of the frequency.
    control : str
        See :mod:`analysis.loop_control`.
    seed : int
        Of what is drawn.
    """

    lag_rad: float
    centre_hz: float
    within_hz: float
    step_hz: float
    interval_s: float
    width_hz: float = 1.0
    phase_error_rad: float = 0.4
    control: Control = "closed"
    seed: int = 0

    def __post_init__(self) -> None:
        if not math.isfinite(self.lag_rad):
            raise AnalysisError(f"lag {self.lag_rad}: write a phase")
        if not 0.0 < self.within_hz < self.centre_hz < math.inf:
            raise AnalysisError(
                f"frequency {self.centre_hz:g} ± {self.within_hz:g} Hz: write a range above 0 Hz"
            )
        for name in ("step_hz", "interval_s", "width_hz", "phase_error_rad"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0.0):
                raise AnalysisError(f"{name} {getattr(self, name)}: write more than 0")

    def decide(self, seen: Seen, history: LockHistory) -> tuple[Decision, LockHistory]:
        """Decide.

        Parameters
        ----------
        seen : Seen
            Now.
        history : LockHistory
            Before.
        """
        if self.control == "open-loop":
            return hold("open loop: the frequency stays"), history
        if seen.paused or not seen.steerable:
            return hold("no current to be steered"), _lost(history)
        if not seen.estimate.valid:
            return hold("the phase is not known"), _lost(history)
        if seen.carrier is None:
            return hold("the phase of the current is not known"), history
        if not seen.now_s - history.retuned_s >= self.interval_s - 1e-9:
            return hold("too soon after the last change"), history
        effect_s = seen.effect_s
        number = int((seen.now_s - history.begun_s) / REDRAW_S)
        wanted = self.lag_rad + offset_rad(self.control, self.seed, number)
        # By how much it comes too late is what its phase has to gain.
        behind = wrapped(seen.rhythm_at(effect_s) - seen.carrier.phase_at(effect_s) - wanted)
        history = self._remembered(seen, history)
        rhythm_hz = history.memory.mean_hz
        # Where the lag will be right again after one interval.
        aim_hz = rhythm_hz + behind / (TURN * self.interval_s)
        low = max(self.centre_hz - self.within_hz, seen.carrier.frequency_hz - self.step_hz)
        high = min(self.centre_hz + self.within_hz, seen.carrier.frequency_hz + self.step_hz)
        new_hz = min(max(aim_hz, low), high)
        numbers = {
            "lag_error_rad": behind,
            "aim_hz": aim_hz,
            "rhythm_hz": rhythm_hz,
        }
        if abs(new_hz - seen.carrier.frequency_hz) < LEAST_CHANGE_HZ:
            return hold("the lag is kept", **numbers), history
        reason = "the lag is corrected"
        if new_hz != aim_hz:
            reason = "the lag is corrected as far as step and range allow"
        after = replace(history, retuned_s=seen.now_s)
        return Decision(
            reason=reason, requests=(Request("retune", new_hz),), numbers=numbers
        ), after

    def _remembered(self, seen: Seen, history: LockHistory) -> LockHistory:
        """Weigh in how far the phase turned since the last decision."""
        at_s, phase_rad, memory = seen.sample_s, seen.estimate.phase_rad, history.memory
        past_s = at_s - history.phase_s
        if not past_s > 0.0:  # also where none is remembered
            return replace(history, phase_s=at_s, phase_rad=phase_rad)
        beyond = wrapped(phase_rad - history.phase_rad - TURN * memory.mean_hz * past_s)
        error_hz = window_error_hz(self.width_hz, past_s, self.phase_error_rad)
        if abs(beyond) < 0.75 * math.pi:  # else it may have been a turn more or less
            measured_hz = memory.mean_hz + beyond / (TURN * past_s)
            memory = memory.seen(measured_hz, error_hz, at_s)
        return replace(history, phase_s=at_s, phase_rad=phase_rad, memory=memory)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockHistory:
    """What happened before.

    Parameters
    ----------
    begun_s : float
        When the loop began.
    retuned_s : float
        When a change was asked for last.
    memory : FrequencyMemory
        Of the rhythm.
    phase_s, phase_rad : float
        Phase at the last decision; NaN where it has been lost since.
    """

    begun_s: float
    retuned_s: float
    memory: FrequencyMemory
    phase_s: float = math.nan
    phase_rad: float = math.nan


def _lost(history: LockHistory) -> LockHistory:
    return history if math.isnan(history.phase_s) else replace(history, phase_s=math.nan)
