"""The rule of a loop, from what it is set to, what rest told and what the protocol permits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from analysis.errors import AnalysisError
from analysis.loop_burst import BurstHistory, BurstRule
from analysis.loop_frequency import FrequencyMemory
from analysis.loop_lock import LockHistory, LockRule, lock_refusal, predicted_lag_sd_rad
from analysis.loop_onoff import OnOffHistory, OnOffRule
from tacs.errors import InputError
from tacs.loop_plan import LoopPlan

if TYPE_CHECKING:
    from tacs.limits import EffectiveLimits
    from tacs.protocol import Protocol

__all__ = ["ADVICE", "Rhythm", "check_rule", "rule_of"]

ADVICE: Final = (
    "tracking has not been shown to beat a fixed frequency: in Stecher et al. 2021 (Front. Hum. "
    "Neurosci. 15:661432) only the group with a fixed frequency had a lasting alpha increase over "
    "sham; compare with --follow none or --control open-loop before relying on a loop"
)
TICK_S: Final = 0.02  # the kernel's times are those of its ticks
WIDE_LAG_DEG: Final = 60.0


class Rhythm(NamedTuple):
    """What a rule needs to know of a person's rhythm.

    Parameters
    ----------
    peak_hz, width_hz : float
        Centre, and full width at half maximum.
    error_rad : float
        Standard deviation of the estimates of its phase.
    min_amplitude_uv : float
        Below it the rhythm is too small.
    """

    peak_hz: float
    width_hz: float
    error_rad: float
    min_amplitude_uv: float = 0.0


def check_rule(plan: LoopPlan, protocol: Protocol | None, limits: EffectiveLimits | None) -> None:
    """Refuse what does not fit before minutes of rest are recorded for it.

    Parameters
    ----------
    plan : LoopPlan
        What the loop is set to.
    protocol, limits
        Of the session; None for triggers alone.

    Raises
    ------
    InputError
        The rule does not fit the protocol.
    """
    # Whether it fits depends on no person's rhythm: any will do.
    peak_hz = 0.5 * sum(plan.band_hz) if protocol is None else protocol.frequency_hz
    rule_of(plan, Rhythm(peak_hz, 1.0, 0.4), protocol, limits, 0.0)


def rule_of(
    plan: LoopPlan,
    rhythm: Rhythm,
    protocol: Protocol | None,
    limits: EffectiveLimits | None,
    now_s: float,
) -> tuple[Any, Any, list[str]]:
    """Return the rule, what it begins with, and what a person should know of it.

    Parameters
    ----------
    plan : LoopPlan
        What the loop is set to.
    rhythm : Rhythm
        What rest told.
    protocol, limits
        Of the session; None for triggers alone.
    now_s : float
        Present time.

    Raises
    ------
    InputError
        The rule does not fit the protocol.
    """
    try:
        return _rule_of(plan, rhythm, protocol, limits, now_s)
    except AnalysisError as exc:
        raise InputError(str(exc)) from exc


def _rule_of(
    plan: LoopPlan,
    rhythm: Rhythm,
    protocol: Protocol | None,
    limits: EffectiveLimits | None,
    now_s: float,
) -> tuple[Any, Any, list[str]]:
    told = [ADVICE]
    lag_rad = None if plan.lag_deg is None else math.radians(plan.lag_deg)
    if plan.rule == "burst":
        burst = BurstRule(
            target_rad=lag_rad,
            refractory_s=plan.refractory_s,
            kind="trigger" if protocol is None else "train",
            min_amplitude_uv=rhythm.min_amplitude_uv,
            for_s=plan.for_s,
            max_wait_s=plan.max_wait_s,
            most=plan.most,
            schedule_s=plan.schedule_s,
            control=plan.control,
            seed=plan.seed,
        )
        if protocol is not None:
            _needs_trains(protocol)
            told.append(
                "a train's envelope begins at a step of the host, 20 ms apart: at 10 Hz that "
                "spreads its phase by ±36 degrees; for a phase use rule onoff, or triggers"
            )
        return burst, BurstHistory(begun_s=now_s), told
    if protocol is None or limits is None or lag_rad is None:
        raise InputError(f"rule {plan.rule} steers a current: give PROTOCOL and --device")
    memory = FrequencyMemory(rhythm.peak_hz, max(0.05, 0.1 * rhythm.width_hz), now_s)
    within_hz = 0.0 if protocol.retune is None else protocol.retune.within_hz
    step_hz, interval_s = limits["retune_step_hz"], limits["retune_interval_s"] + TICK_S
    if plan.rule == "lock":
        flows = plan.control != "sham"
        if why := lock_refusal(plan.signal, protocol.waveform, with_current=flows):
            raise InputError(why)
        _needs_retune(protocol)
        lock = LockRule(
            lag_rad=lag_rad,
            centre_hz=protocol.frequency_hz,
            within_hz=within_hz,
            step_hz=step_hz,
            interval_s=interval_s,
            width_hz=rhythm.width_hz,
            phase_error_rad=rhythm.error_rad,
            control=plan.control,
            seed=plan.seed,
        )
        sd_deg = math.degrees(predicted_lag_sd_rad(rhythm.width_hz, interval_s, rhythm.error_rad))
        line = (
            f"this rhythm is {rhythm.width_hz:.2f} Hz wide and the frequency may change every "
            f"{interval_s:g} s: expect the lag to stray by about ±{sd_deg:.0f} degrees (SD)"
        )
        if sd_deg > WIDE_LAG_DEG:
            line += "; that is hardly a lock"
        return lock, LockHistory(begun_s=now_s, retuned_s=now_s, memory=memory), [*told, line]
    _needs_trains(protocol)
    if plan.follow != "none" and plan.control != "open-loop":
        _needs_retune(protocol)
    onoff = OnOffRule(
        follow=plan.follow,
        centre_hz=protocol.frequency_hz,
        within_hz=within_hz or 0.5 * protocol.frequency_hz,
        step_hz=step_hz,
        interval_s=interval_s,
        width_hz=rhythm.width_hz,
        phase_error_rad=rhythm.error_rad,
        lag_rad=lag_rad,
        blanking_s=plan.blanking_s,
        window_s=plan.window_s,
        give_up_s=plan.window_s + 8.0,
        slip_hz=0.8 * step_hz,
        every_s=plan.every_s,
        min_amplitude_uv=rhythm.min_amplitude_uv,
        control=plan.control,
        seed=plan.seed,
    )
    return onoff, OnOffHistory(memory=memory, current_until_s=now_s), told


def _needs_trains(protocol: Protocol) -> None:
    if protocol.trains is None or protocol.trains.start != "request":
        raise InputError(
            f"{protocol.name}: this rule asks for trains one by one; the protocol must have "
            f"[trains] with start = 'request'"
        )


def _needs_retune(protocol: Protocol) -> None:
    if protocol.retune is None:
        raise InputError(
            f"{protocol.name}: this rule changes the frequency; the protocol must permit that "
            f"([retune] within_hz = …)"
        )
