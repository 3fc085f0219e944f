"""What a loop is set to, before anything is opened, and what rest has to tell before it begins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from analysis.errors import AnalysisError
from analysis.loop_burst import BurstHistory, BurstRule
from analysis.loop_control import Control
from analysis.loop_frequency import FrequencyMemory
from analysis.loop_lock import LockHistory, LockRule, Signal, lock_refusal, predicted_lag_sd_rad
from analysis.loop_onoff import OnOffHistory, OnOffRule
from analysis.loop_stale import StaleRule
from analysis.phase import Gates, PhaseEngine, fit
from analysis.state_vector import StateGate, StateReference, reference
from tacs.clock import Clock
from tacs.eeg import EEGStream
from tacs.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tacs.limits import EffectiveLimits
    from tacs.protocol import Protocol

__all__ = ["ADVICE", "Learned", "LoopPlan", "learn", "rule_of"]

ADVICE: Final = (
    "tracking has not been shown to beat a fixed frequency: in Stecher et al. 2021 (Front. Hum. "
    "Neurosci. 15:661432) only the group with a fixed frequency had a lasting alpha increase over "
    "sham; compare with --follow none or --control open-loop before relying on a loop"
)
TICK_S: Final = 0.02  # the kernel's times are those of its ticks
SOFTWARE_S: Final = 0.005  # from a block to the command, until it has been measured
REST_LEAST_S: Final = 60.0
WIDE_LAG_DEG: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopPlan:
    """What a loop is set to.

    Parameters
    ----------
    rule : {"onoff", "lock", "burst"}
        Which of the three.
    follow : {"frequency", "phase", "both", "none"}
        On/off: what is taken from the gap.
    signal : {"scalp", "am", "peripheral"}
        What the phase is read from.
    control : str
        See :mod:`analysis.loop_control`.
    picks, against : sequence of str
        Channels whose mean is followed, and those whose mean is taken off it.
    rest_s : float
        Rest without current that is learned from, before the session.
    band_hz : (float, float)
        Where the rhythm is looked for.
    lag_deg : float or None
        Lag of the current, or phase of a burst; None of a burst: no phase.
    blanking_s, window_s : float
        On/off: after current, and of EEG.
    refractory_s, for_s, max_wait_s : float
        Bursts: see :class:`analysis.loop_burst.BurstRule`.
    most : int or None
        Bursts in all.
    output_ms : float
        Delay of stimulator and wiring, measured by the site, from command to current.
    every_s : float
        From one look to the next.
    gates : Gates
        Of the estimates.
    stale : StaleRule
        Of EEG.
    eyes : {"open", "closed"} or None
        State of the eyes that is asked for.
    state_s : float
        Signal that the state is told from.
    gate : StateGate
        Of the state.
    schedule_s : tuple of float
        Open loop: times of another session.
    seed : int
        Of what is drawn.

    Raises
    ------
    InputError
        A number out of its range.
    """

    rule: Literal["onoff", "lock", "burst"]
    follow: Literal["frequency", "phase", "both", "none"] = "frequency"
    signal: Signal = "scalp"
    control: Control = "closed"
    picks: Sequence[str] = ()
    against: Sequence[str] = ()
    rest_s: float = 120.0
    band_hz: tuple[float, float] = (7.0, 13.0)
    lag_deg: float | None = 0.0
    blanking_s: float = 0.5
    window_s: float = 2.0
    refractory_s: float = 2.0
    for_s: float = 0.0
    max_wait_s: float = 0.025
    most: int | None = None
    output_ms: float = 0.0
    every_s: float = 0.02
    gates: Gates = field(default_factory=Gates)
    stale: StaleRule = field(default_factory=StaleRule)
    eyes: Literal["open", "closed"] | None = None
    state_s: float = 4.0
    gate: StateGate = field(default_factory=StateGate)
    schedule_s: tuple[float, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("rest", self.rest_s, REST_LEAST_S, 1800.0),
            ("blanking", self.blanking_s, 0.05, 10.0),
            ("window", self.window_s, 0.5, 30.0),
            ("every", self.every_s, 0.004, 0.1),
            ("state", self.state_s, 2.0, 30.0),
        ):
            if not low <= value <= high:
                raise InputError(f"{name} {value:g} s: write {low:g} to {high:g} s")
        if not 0.0 <= self.output_ms <= 200.0:
            raise InputError(f"output delay {self.output_ms:g} ms: write 0 to 200 ms")
        if self.rule != "burst" and self.lag_deg is None:
            raise InputError(f"rule {self.rule} needs a lag: give --lag DEGREES")

    @property
    def latency_s(self) -> float:
        """From a decision to its effect, but for what the source's own delay is."""
        return SOFTWARE_S + 1e-3 * self.output_ms

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {k: _plain(v) for k, v in asdict(self).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What rest told.

    Parameters
    ----------
    engine : PhaseEngine
        Fitted, with the horizon that the loop needs.
    peak_hz, width_hz : float
        Of the rhythm: centre, and full width at half maximum.
    error_rad : float
        Circular standard deviation of the phase at the horizon, on held-out rest.
    delay_s : float
        From a sample to when it is read, measured.
    rows : tuple of int
        Channels that are looked at.
    references : tuple of StateReference
        Of the state.
    """

    engine: PhaseEngine
    peak_hz: float
    width_hz: float
    error_rad: float
    delay_s: float
    rows: tuple[int, ...]
    references: tuple[StateReference, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        choice = self.engine.choice
        return {
            "peak_hz": round(self.peak_hz, 4),
            "width_hz": round(self.width_hz, 4),
            "phase_error_deg": round(math.degrees(self.error_rad), 2),
            "horizon_ms": round(1e3 * self.engine.horizon_s, 2),
            "source_delay_ms": round(1e3 * self.delay_s, 2),
            "filter": None if choice is None else choice.method,
            "why": "" if choice is None else choice.why,
        }


def learn(source: EEGStream, clock: Clock, plan: LoopPlan) -> Learned:
    """Read rest and learn from it; no current flows.

    Parameters
    ----------
    source : EEGStream
        Open.
    clock : Clock
        Of the session.
    plan : LoopPlan
        What the loop is set to.

    Raises
    ------
    InputError
        A channel that is not there.
    UnusableRecording
        No rest without gaps, or no rhythm in it.
    LinkLost
        The source is gone.
    """
    weights, rows = _weights(source.info.channels, plan, source.info.source)
    rest = _read_rest(source, clock, plan.rest_s)
    delay_s = max(float(source.timing.delay_s), 0.0)
    sfreq_hz = source.info.sfreq_hz
    engine = fit(
        rest,
        sfreq_hz,
        horizon_s=min(delay_s + plan.latency_s, 0.5),
        band_hz=plan.band_hz,
        weights=weights,
        gates=plan.gates,
    )
    choice = engine.choice
    if choice is None:
        raise InputError("the engine was not fitted")
    references: tuple[StateReference, ...] = ()
    if 6.0 <= choice.model.frequency_hz <= 14.0:
        references = (
            reference(
                rest[list(rows)],
                sfreq_hz,
                choice.model.frequency_hz,
                eyes=plan.eyes or "closed",
                piece_s=plan.state_s,
            ),
        )
    elif plan.gate != StateGate():
        raise InputError(
            f"a state gate needs a rhythm of 6 to 14 Hz; rest has one at "
            f"{choice.model.frequency_hz:.1f} Hz"
        )
    return Learned(
        engine=engine,
        peak_hz=choice.model.frequency_hz,
        width_hz=2.0 * choice.model.half_width_hz,
        error_rad=choice.circular_sd_rad[choice.method],
        delay_s=delay_s,
        rows=rows,
        references=references,
    )


def rule_of(
    plan: LoopPlan,
    learned: Learned,
    protocol: Protocol | None,
    limits: EffectiveLimits | None,
    now_s: float,
) -> tuple[Any, Any, list[str]]:
    """Return the rule, what it begins with, and what a person should know of it.

    Parameters
    ----------
    plan, learned
        What the loop is set to, and what rest told.
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
        return _rule_of(plan, learned, protocol, limits, now_s)
    except AnalysisError as exc:
        raise InputError(str(exc)) from exc


def _rule_of(
    plan: LoopPlan,
    learned: Learned,
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
            min_amplitude_uv=plan.gates.min_amplitude_uv,
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
    memory = FrequencyMemory(learned.peak_hz, max(0.05, 0.1 * learned.width_hz), now_s)
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
            width_hz=learned.width_hz,
            phase_error_rad=learned.error_rad,
            control=plan.control,
            seed=plan.seed,
        )
        sd_deg = math.degrees(predicted_lag_sd_rad(learned.width_hz, interval_s, learned.error_rad))
        line = (
            f"this rhythm is {learned.width_hz:.2f} Hz wide and the frequency may change every "
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
        width_hz=learned.width_hz,
        phase_error_rad=learned.error_rad,
        lag_rad=lag_rad,
        blanking_s=plan.blanking_s,
        window_s=plan.window_s,
        give_up_s=plan.window_s + 8.0,
        slip_hz=0.8 * step_hz,
        every_s=plan.every_s,
        control=plan.control,
        seed=plan.seed,
    )
    return onoff, OnOffHistory(memory=memory), told


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


def _weights(
    channels: Sequence[str], plan: LoopPlan, source: str
) -> tuple[list[float], tuple[int, ...]]:
    """Spatial filter, and the channels that are looked at."""
    wanted = list(plan.picks) or (list(channels) if len(channels) == 1 else [])
    if not wanted:
        raise InputError(f"{source}: say which channels are followed (--picks Oz,O1,O2)")
    for name in [*wanted, *plan.against]:
        if name not in channels:
            raise InputError(f"{source}: no channel {name}; there are {', '.join(channels)}")
    if set(wanted) & set(plan.against):
        raise InputError("--picks and --against: a channel stands in both")
    weights = [0.0] * len(channels)
    for names, sign in ((wanted, 1.0), (plan.against, -1.0)):
        for name in names:
            weights[list(channels).index(name)] = sign / len(names)
    return weights, tuple(list(channels).index(name) for name in wanted)


def _read_rest(source: EEGStream, clock: Clock, rest_s: float) -> NDArray[np.float64]:
    """Read until there are ``rest_s`` without a gap."""
    import numpy as np

    n_wanted = round(rest_s * source.info.sfreq_hz)
    until_s = clock.now_s() + 3.0 * rest_s
    blocks: list[NDArray[np.float64]] = []
    n = 0
    while n < n_wanted:
        block = source.read(0.5)
        if block.missing or block.restarted or not bool(np.isfinite(block.signal_uv).all()):
            blocks, n = [], 0
        if len(block) and bool(np.isfinite(block.signal_uv).all()):
            blocks.append(block.signal_uv)
            n += len(block)
        if clock.now_s() > until_s:
            raise InputError(
                f"{source.info.source}: no {rest_s:g} s of rest without a gap within "
                f"{3.0 * rest_s:g} s"
            )
    return np.concatenate(blocks, axis=1)[:, -n_wanted:]
