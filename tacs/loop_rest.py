"""What rest has to tell before a loop begins; no current flows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from analysis.phase import PhaseEngine, fit
from analysis.state_vector import StateGate, StateReference, eyes_from_alpha, reference
from tacs.clock import Clock, Inbox
from tacs.eeg import EEGStream
from tacs.errors import InputError, LinkLost, TacsError
from tacs.loop_plan import Eyes, LoopPlan
from tacs.loop_rule import Rhythm
from tacs.marks import Marks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Guide", "Learned", "learn"]

PATIENCE_S: Final = 600.0  # for somebody to say that the eyes are open, or closed
SETTLE_S: Final = 2.0  # after that
BLOCK_S: Final = 0.02  # of rest, when the engine is shown it again
PEAKS_HZ: Final = (6.0, 14.0)  # where the state can be told


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """Who leads a person through rest.

    Parameters
    ----------
    say : callable
        Tells a person what to do.
    marks : Marks, optional
        Open; a mark says that the eyes are as was asked for. None: they are at once.
    how : str
        How a mark is given, for a person.
    inbox : Inbox, optional
        A stop in it ends the rest.
    """

    say: Callable[[str], None] = lambda text: None
    marks: Marks | None = None
    how: str = ""
    inbox: Inbox | None = None


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
        Of the state; one for each state of the eyes that was recorded.
    min_amplitude_uv : float
        Below it the rhythm is too small.
    """

    engine: PhaseEngine
    peak_hz: float
    width_hz: float
    error_rad: float
    delay_s: float
    rows: tuple[int, ...]
    references: tuple[StateReference, ...]
    min_amplitude_uv: float = 0.0

    @property
    def rhythm(self) -> Rhythm:
        """What a rule needs to know."""
        return Rhythm(self.peak_hz, self.width_hz, self.error_rad, self.min_amplitude_uv)

    @property
    def eyes_told(self) -> dict[str, float] | None:
        """Share of rest in each state of the eyes that alpha tells rightly; None without both."""
        if len(self.references) < 2:
            return None
        return {
            own.eyes: sum(eyes_from_alpha(x, self.references) == own.eyes for x in own.ln_alphas)
            / len(own.ln_alphas)
            for own in self.references
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        choice, told = self.engine.choice, self.eyes_told
        return {
            "peak_hz": round(self.peak_hz, 4),
            "width_hz": round(self.width_hz, 4),
            "phase_error_deg": round(math.degrees(self.error_rad), 2),
            "horizon_ms": round(1e3 * self.engine.horizon_s, 2),
            "source_delay_ms": round(1e3 * self.delay_s, 2),
            "filter": None if choice is None else choice.method,
            "why": "" if choice is None else choice.why,
            "min_amplitude_uv": round(self.min_amplitude_uv, 3),
            "rest_eyes": [own.eyes for own in self.references],
            "eyes_told_by_alpha": None
            if told is None
            else {eyes: round(share, 3) for eyes, share in told.items()},
        }


def learn(source: EEGStream, clock: Clock, plan: LoopPlan, guide: Guide | None = None) -> Learned:
    """Read rest and learn from it; no current flows.

    Parameters
    ----------
    source : EEGStream
        Open.
    clock : Clock
        Of the session.
    plan : LoopPlan
        What the loop is set to.
    guide : Guide, optional
        Who leads the person.

    Raises
    ------
    TacsError
        Somebody ended it.
    InputError
        A channel that is not there.
    UnusableRecording
        No rest without gaps, or no rhythm in it.
    LinkLost
        The source is gone, or whoever says that the eyes are open or closed.
    """
    guide = guide or Guide()
    weights, rows = _weights(source.info.channels, plan, source.info.source)
    rests = {eyes: _rest(source, clock, plan, guide, eyes) for eyes in plan.states_of_rest}
    delay_s = max(float(source.timing.delay_s), 0.0)
    sfreq_hz = source.info.sfreq_hz
    own = rests[plan.state_of_session]
    engine = fit(
        own,
        sfreq_hz,
        horizon_s=min(delay_s + plan.latency_s, 0.5),
        band_hz=plan.band_hz,
        weights=weights,
        gates=plan.gates,
    )
    choice = engine.choice
    if choice is None:
        raise InputError("the engine was not fitted")
    peak_hz = choice.model.frequency_hz
    least_uv = max(plan.gates.min_amplitude_uv, _amplitude_uv(engine, own, plan.amplitude_quantile))
    # A lock follows what is large enough; the other rules look at the amplitude where it counts.
    in_engine_uv = least_uv if plan.rule == "lock" else 0.0
    engine.gates = replace(engine.gates, min_amplitude_uv=in_engine_uv)
    references: tuple[StateReference, ...] = ()
    if PEAKS_HZ[0] <= peak_hz <= PEAKS_HZ[1]:
        references = tuple(
            reference(rest[list(rows)], sfreq_hz, peak_hz, eyes=eyes, piece_s=plan.state_s)
            for eyes, rest in rests.items()
        )
    elif plan.gate != StateGate():
        raise InputError(
            f"a state gate needs a rhythm of {PEAKS_HZ[0]:g} to {PEAKS_HZ[1]:g} Hz; rest has one "
            f"at {peak_hz:.1f} Hz"
        )
    return Learned(
        engine=engine,
        peak_hz=peak_hz,
        width_hz=2.0 * choice.model.half_width_hz,
        error_rad=choice.circular_sd_rad[choice.method],
        delay_s=delay_s,
        rows=rows,
        references=references,
        min_amplitude_uv=least_uv,
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


def _rest(
    source: EEGStream, clock: Clock, plan: LoopPlan, guide: Guide, eyes: Eyes
) -> NDArray[np.float64]:
    """Have the eyes opened or closed where both states are wanted, and read rest."""
    if len(plan.states_of_rest) > 1:
        number = plan.states_of_rest.index(eyes) + 1
        how = f"; {guide.how} when they are" if guide.marks is not None else ""
        guide.say(
            f"rest {number} of {len(plan.states_of_rest)}: eyes {eyes.upper()}, "
            f"{plan.rest_s:g} s without current{how}"
        )
        # A virtual patient is told; a person is told by whoever reads the line above.
        if (look := getattr(source, "look", None)) is not None:
            look(eyes)
        _wait_for_mark(source, clock, guide)
    else:
        guide.say(f"rest: {plan.rest_s:g} s without current")
    return _read_rest(source, clock, plan.rest_s, guide.inbox)


def _wait_for_mark(source: EEGStream, clock: Clock, guide: Guide) -> None:
    """Wait until somebody says that the eyes are so, and a little; EEG until then is nothing."""
    if guide.marks is not None:
        until_s = clock.now_s() + PATIENCE_S
        while not guide.marks.collect():
            _stopped(guide.inbox, clock)
            source.read(0.1)
            if clock.now_s() > until_s:
                raise LinkLost(f"rest: no mark within {PATIENCE_S:g} s")
    until_s = clock.now_s() + SETTLE_S
    while clock.now_s() < until_s:
        _stopped(guide.inbox, clock)
        source.read(0.1)


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


def _amplitude_uv(engine: PhaseEngine, rest_uv: NDArray[np.float64], quantile: float) -> float:
    """Amplitude of the rhythm that a share of rest stays below, as the loop will see it."""
    import numpy as np

    if not quantile > 0.0:
        return 0.0
    n = max(1, round(BLOCK_S * engine.filter.sfreq_hz))
    engine.reset("rest")
    seen = [engine.update(rest_uv[:, i : i + n]) for i in range(0, rest_uv.shape[1], n)]
    engine.reset("rest is over")
    settled = seen[len(seen) // 10 :]
    return float(np.quantile([estimate.amplitude_uv for estimate in settled], quantile))


def _stopped(inbox: Inbox | None, clock: Clock) -> None:
    """Whatever stops a session stops the rest before it; what else is said there means nothing."""
    for message in () if inbox is None else inbox.collect(clock.now_s()):
        if message.startswith("stop"):
            raise TacsError(
                f"ended during rest ({message.partition(':')[2] or 'by hand'}): neither current "
                f"nor a trigger was given"
            )
