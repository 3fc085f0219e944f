"""What a loop is set to, before anything is opened."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from analysis.errors import AnalysisError
from analysis.loop_control import Control
from analysis.loop_drift import DeviceClock
from analysis.loop_lock import Signal
from analysis.loop_phase_error import PhaseErrors
from analysis.loop_stale import StaleRule
from analysis.phase import Gates
from analysis.state_vector import StateGate
from tacs.errors import InputError

__all__ = ["Eyes", "LoopPlan"]

Eyes = Literal["open", "closed"]
SOFTWARE_S: Final = 0.005  # from a block to the command, until it has been measured
PPM_MOST: Final = 1000.0
REST_LEAST_S: Final = 60.0


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
        How far the current comes after the rhythm: at 90 it peaks a quarter of a period later. Of
        a burst the phase at which it begins; None: no phase.
    blanking_s, window_s : float
        On/off: after current, and of EEG.
    refractory_s, for_s, max_wait_s : float
        Bursts: see :class:`analysis.loop_burst.BurstRule`.
    most : int or None
        Bursts in all.
    output_ms : float
        Delay of stimulator and wiring, measured by the site, from command to current.
    device : DeviceClock
        What is known of the stimulator's clock.
    every_s : float
        From one look to the next.
    gates : Gates
        Of the estimates.
    stale : StaleRule
        Of EEG.
    eyes : {"open", "closed"} or None
        State of the eyes that is asked for.
    rest_eyes : tuple of {"open", "closed"}
        States that rest is recorded in, in this order, each for ``rest_s``; empty: one, whatever
        it is.
    amplitude : float or None
        Share of rest below whose amplitude the rhythm is too small; None: half of it where a burst
        or train aims at a phase, else none.
    state_s : float
        Signal that the state is told from.
    gate : StateGate
        Of the state.
    abort_plv : float
        Phase-locking value of the error, read afterwards, below which the loop goes on no more;
        0: whatever it is.
    abort_after : int
        Triggers, trains or corrections that it is told from.
    abort : {"hold", "end"}
        Whether nothing more is asked for, or the loop, and with it the session, ends.
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
    device: DeviceClock = field(default_factory=DeviceClock)
    every_s: float = 0.02
    gates: Gates = field(default_factory=Gates)
    stale: StaleRule = field(default_factory=StaleRule)
    eyes: Eyes | None = None
    rest_eyes: tuple[Eyes, ...] = ()
    amplitude: float | None = None
    state_s: float = 4.0
    gate: StateGate = field(default_factory=StateGate)
    abort_plv: float = 0.5
    abort_after: int = 50
    abort: Literal["hold", "end"] = "hold"
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
        if not (abs(self.device.ppm) <= PPM_MOST and 0.0 <= self.device.bound_ppm <= PPM_MOST):
            raise InputError(
                f"device-ppm {self.device.ppm:g} ± {self.device.bound_ppm:g}: write parts per "
                f"million, {PPM_MOST:g} at most, and by how much that may be wrong"
            )
        if self.rule != "burst" and self.lag_deg is None:
            raise InputError(f"rule {self.rule} needs a lag: give --lag DEGREES")
        if self.amplitude is not None and not 0.0 <= self.amplitude < 1.0:
            raise InputError(f"gate-amplitude {self.amplitude:g}: write a share of rest, 0 to 1")
        self._check_eyes()
        try:
            PhaseErrors(self.abort_plv, self.abort_after)
        except AnalysisError as exc:
            raise InputError(str(exc)) from exc

    def _check_eyes(self) -> None:
        rest = self.rest_eyes
        if len(set(rest)) < len(rest):
            raise InputError(f"rest-eyes {','.join(rest)}: a state stands there twice")
        if rest and self.eyes is not None and self.eyes not in rest:
            raise InputError(f"eyes {self.eyes}: rest is to be recorded with eyes {rest[0]} only")
        if self.gate.eyes is not None and self.eyes is None and len(rest) < 2:
            raise InputError(
                "gate-eyes: nobody says what the eyes do; give --eyes (what was asked for), or "
                "rest in both states for alpha to tell it (--rest-eyes open,closed)"
            )

    @property
    def states_of_rest(self) -> tuple[Eyes, ...]:
        """States of the eyes that rest is recorded in."""
        return self.rest_eyes or (self.eyes or "closed",)

    @property
    def state_of_session(self) -> Eyes:
        """State that the phase is learned in: the session's, or that of the latest rest."""
        return self.eyes or self.states_of_rest[-1]

    @property
    def amplitude_quantile(self) -> float:
        """Share of rest below whose amplitude the rhythm is too small."""
        if self.amplitude is not None:
            return self.amplitude
        return 0.5 if self.rule != "lock" and self.aims else 0.0

    @property
    def aims(self) -> bool:
        """Whether a phase is aimed at, which can be met or missed."""
        if self.control == "open-loop":
            return False
        if self.rule == "onoff":
            return self.follow in ("phase", "both")
        return self.lag_deg is not None

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
