"""From estimates of phase to times of triggers: the next target phase, never in the past.

References
----------
Zrenner, Desideri, Belardinelli & Ziemann (2018), *Brain Stimulation* 11:374-389 (triggers at a
phase, a least time apart).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from analysis.errors import AnalysisError
from analysis.phase import PhaseEstimate
from analysis.phase_gates import Refractory

TURN: Final = 2.0 * math.pi


@dataclass(frozen=True, slots=True)
class Trigger:
    """A decision.

    Parameters
    ----------
    at_s : float or None
        When to trigger, on the clock of the samples; None where nothing is to be.
    reason : str
        Why not, or why then.
    """

    at_s: float | None
    reason: str


class PhaseTarget:
    """Says when a target phase comes next.

    Parameters
    ----------
    target_rad : float
        Wanted phase, any number of turns; 0 is the positive peak.
    horizon_s : float
        Of the estimates: how far they are ahead of their newest sample.
    max_wait_s : float
        How far ahead of the estimate's own time a trigger may be planned: the phase there is worth
        less than that at the horizon.
    refractory_s : float
        Least time between two triggers.
    """

    def __init__(
        self,
        target_rad: float,
        *,
        horizon_s: float,
        max_wait_s: float = 0.02,
        refractory_s: float = 0.0,
    ) -> None:
        if not math.isfinite(target_rad):
            raise AnalysisError(f"target_rad {target_rad}: write a phase in radians")
        if not (math.isfinite(horizon_s) and horizon_s >= 0.0):
            raise AnalysisError(f"horizon_s {horizon_s}: write 0 or more")
        if not (math.isfinite(max_wait_s) and max_wait_s > 0.0):
            raise AnalysisError(f"max_wait_s {max_wait_s}: write a time above 0 s")
        self.target_rad = target_rad % TURN
        self.horizon_s = horizon_s
        self.max_wait_s = max_wait_s
        self.refractory = Refractory(refractory_s)

    def decide(self, estimate: PhaseEstimate, sample_s: float, now_s: float) -> Trigger:
        """Decide on a trigger.

        Parameters
        ----------
        estimate : PhaseEstimate
            The newest.
        sample_s : float
            When its newest sample was taken.
        now_s : float
            The time by now, on the same clock; nothing is planned before it.

        Returns
        -------
        Trigger
            A planned one counts for the refractory time.
        """
        if not estimate.valid:
            return Trigger(None, estimate.reason)
        if not estimate.frequency_hz > 0.0:
            return Trigger(None, f"frequency {estimate.frequency_hz:.2f} Hz")
        there_s = sample_s + self.horizon_s
        missing = (self.target_rad - estimate.phase_rad) % TURN
        at_s = there_s + missing / (TURN * estimate.frequency_hz)
        if at_s < now_s:
            return Trigger(None, f"{1000.0 * (now_s - at_s):.1f} ms too late: raise the horizon")
        if at_s - there_s > self.max_wait_s:
            return Trigger(None, "the target phase is further ahead")
        if not self.refractory.free(at_s):
            left_s = self.refractory.free_from_s - at_s
            return Trigger(None, f"refractory for {left_s:.3f} s more")
        self.refractory.fired(at_s)
        return Trigger(at_s, "target phase")
