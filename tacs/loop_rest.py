"""What rest has to tell before a loop begins; no current flows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.phase import PhaseEngine, fit
from analysis.state_vector import StateGate, StateReference, reference
from tacs.clock import Clock, Inbox
from tacs.eeg import EEGStream
from tacs.errors import InputError, TacsError
from tacs.loop_plan import LoopPlan
from tacs.loop_rule import Rhythm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Learned", "learn"]


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

    @property
    def rhythm(self) -> Rhythm:
        """What a rule needs to know."""
        return Rhythm(self.peak_hz, self.width_hz, self.error_rad)

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


def learn(source: EEGStream, clock: Clock, plan: LoopPlan, inbox: Inbox | None = None) -> Learned:
    """Read rest and learn from it; no current flows.

    Parameters
    ----------
    source : EEGStream
        Open.
    clock : Clock
        Of the session.
    plan : LoopPlan
        What the loop is set to.
    inbox : Inbox, optional
        A stop in it ends the rest.

    Raises
    ------
    TacsError
        Somebody ended it.
    InputError
        A channel that is not there.
    UnusableRecording
        No rest without gaps, or no rhythm in it.
    LinkLost
        The source is gone.
    """
    weights, rows = _weights(source.info.channels, plan, source.info.source)
    rest = _read_rest(source, clock, plan.rest_s, inbox)
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


def _read_rest(
    source: EEGStream, clock: Clock, rest_s: float, inbox: Inbox | None
) -> NDArray[np.float64]:
    """Read until there are ``rest_s`` without a gap."""
    import numpy as np

    n_wanted = round(rest_s * source.info.sfreq_hz)
    until_s = clock.now_s() + 3.0 * rest_s
    blocks: list[NDArray[np.float64]] = []
    n = 0
    while n < n_wanted:
        _stopped(inbox, clock)
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


def _stopped(inbox: Inbox | None, clock: Clock) -> None:
    """Whatever stops a session stops the rest before it; what else is said there means nothing."""
    for message in () if inbox is None else inbox.collect(clock.now_s()):
        if message.startswith("stop"):
            raise TacsError(
                f"ended during rest ({message.partition(':')[2] or 'by hand'}): neither current "
                f"nor a trigger was given"
            )
