"""What a loop sees, what it asks for, and the phase of the current that is played.

Rules of a loop are pure functions: what is seen now, and what happened before, go in; a decision
with its reason, and the new history, come out. Nothing here reads a clock, and nothing here can
make current flow: what a decision asks for is granted or refused elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from analysis.phase import PhaseEstimate

__all__ = ["TURN", "Carrier", "Decision", "Kind", "Request", "Seen", "hold", "wrapped"]

TURN: Final = 2.0 * math.pi
Kind = Literal["retune", "train", "trigger", "pause"]


def wrapped(angle_rad: float) -> float:
    """Return an angle in [-pi, pi)."""
    return (angle_rad + math.pi) % TURN - math.pi


@dataclass(frozen=True, slots=True)
class Carrier:
    """Phase of the sine that the stimulator plays, which runs on at zero current too.

    Parameters
    ----------
    at_s, phase_rad : float
        An instant, and the phase there; 0 is the positive peak.
    frequency_hz : float
        From then on.
    """

    at_s: float
    phase_rad: float
    frequency_hz: float

    def phase_at(self, time_s: float) -> float:
        """Phase at a time, radians, not wrapped."""
        return self.phase_rad + TURN * self.frequency_hz * (time_s - self.at_s)

    def retuned(self, at_s: float, frequency_hz: float) -> Carrier:
        """The same without a jump of phase, with another frequency from a time on."""
        return Carrier(at_s, wrapped(self.phase_at(at_s)), frequency_hz)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a rule may look at.

    Parameters
    ----------
    now_s : float
        Present time, on the clock of the samples.
    sample_s : float
        When the newest sample was taken.
    estimate : PhaseEstimate
        Of the rhythm, at ``sample_s`` plus ``horizon_s``.
    horizon_s : float
        Of the estimate.
    latency_s : float
        From now until what is asked for now has its effect: measured and configured parts.
    with_current : bool
        Whether current may be flowing.
    ready : bool
        Whether a train may be asked for.
    carrier : Carrier or None
        Of the current; None where it is not known or there is none.
    paused : bool
        Whether the session is paused, ending or over.
    steerable : bool
        Whether the frequency may be asked to change: not while a ramp goes up or down.
    signal_s : float or None
        When the newest sample was taken that carries a signal; None: every one does.
    """

    now_s: float
    sample_s: float
    estimate: PhaseEstimate
    horizon_s: float
    latency_s: float
    with_current: bool
    ready: bool
    carrier: Carrier | None = None
    paused: bool = False
    steerable: bool = True
    signal_s: float | None = None

    @property
    def signal_age_s(self) -> float:
        """Age of the newest sample that carries a signal."""
        return self.age_s if self.signal_s is None else self.now_s - self.signal_s

    @property
    def age_s(self) -> float:
        """Age of the newest sample."""
        return self.now_s - self.sample_s

    @property
    def effect_s(self) -> float:
        """When what is asked for now has its effect."""
        return self.now_s + self.latency_s

    def rhythm_at(self, time_s: float) -> float:
        """Predicted phase of the rhythm at a time, radians, not wrapped."""
        ahead_s = time_s - self.sample_s - self.horizon_s
        return self.estimate.phase_rad + TURN * self.estimate.frequency_hz * ahead_s

    def lag_at(self, time_s: float) -> float | None:
        """How far the current comes after the rhythm; None where there is no carrier.

        Phase of the rhythm minus that of the current: a quarter turn is a current whose peak is a
        quarter of a period later than the rhythm's.
        """
        if self.carrier is None:
            return None
        return wrapped(self.rhythm_at(time_s) - self.carrier.phase_at(time_s))


@dataclass(frozen=True, slots=True)
class Request:
    """One thing that is asked for.

    Parameters
    ----------
    kind : {"retune", "train", "trigger", "pause"}
        Another frequency (value in Hz), the next train, a trigger to another device, an end of the
        current by the ordinary ramp.
    value : float
        Of a retuning.
    at_s : float or None
        When, on the clock of the samples; None as soon as may be.
    """

    kind: Kind
    value: float = math.nan
    at_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a rule decided, and why.

    Parameters
    ----------
    reason : str
        In words, without numbers that change with every block, so that equal ones can be counted.
    requests : tuple of Request
        Empty where everything stays as it is.
    numbers : mapping
        What the reason rests on.
    """

    reason: str
    requests: tuple[Request, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "reason": self.reason,
            "requests": [
                {
                    "kind": r.kind,
                    "value": _plain(r.value),
                    "at_s": None if r.at_s is None else _plain(r.at_s),
                }
                for r in self.requests
            ],
            **{name: _plain(value) for name, value in self.numbers.items()},
        }


def hold(reason: str, **numbers: float) -> Decision:
    """Everything stays as it is."""
    return Decision(reason=reason, numbers=numbers)


def _plain(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
