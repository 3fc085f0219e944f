"""What a loop does when EEG stops coming or is none: hold, then have the current ramped down.

Samples that come and carry nothing (flat, at the amplifier's limits, no numbers) are as good as
none: what counts is the newest one of a signal. Stamps from the future are no better than old ones:
the clocks have jumped, and a phase that is predicted backwards is none.

============================  =====================================================================
age of the newest sample      what is done
============================  =====================================================================
up to ``stale_s``             nothing: that is the rhythm of the blocks
up to ``ramp_down_s``         hold: no retuning, no train, no trigger; what runs goes on as it is
beyond                        the current is ramped down, once, by an ordinary pause
EEG is back                   the filter settles first; a current that was ramped down stays down
                              until a person resumes
============================  =====================================================================
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from analysis.errors import AnalysisError
from analysis.loop_terms import Decision, Request, Seen, hold

__all__ = ["StaleRule", "when_stale"]

STALE_MOST_S: Final = 2.0
RAMP_DOWN_MOST_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleRule:
    """When EEG is too old.

    Parameters
    ----------
    stale_s : float
        Age of the newest sample beyond which nothing is decided any more.
    ramp_down_s : float
        Age beyond which the current is ramped down.
    """

    stale_s: float = 0.25
    ramp_down_s: float = 2.0

    def __post_init__(self) -> None:
        if not 0.0 < self.stale_s < self.ramp_down_s <= RAMP_DOWN_MOST_S:
            raise AnalysisError(
                f"stale EEG: hold from {self.stale_s:g} s, ramp down from {self.ramp_down_s:g} s; "
                f"write two times above 0, up to {RAMP_DOWN_MOST_S:g} s, the second one longer"
            )
        if self.stale_s > STALE_MOST_S:
            raise AnalysisError(
                f"stale EEG: hold from {self.stale_s:g} s; write {STALE_MOST_S:g} s at most"
            )


def when_stale(rule: StaleRule, seen: Seen) -> Decision | None:
    """Decide where EEG is too old; None where it is not.

    Parameters
    ----------
    rule : StaleRule
        When it is.
    seen : Seen
        Now.
    """
    stale, gone = "EEG is stale", "EEG is gone: ramp down"
    age_s = seen.age_s
    if age_s < -rule.stale_s:
        stale, gone = "EEG is stamped ahead of time", "EEG is stamped ahead of time: ramp down"
        age_s = -age_s
    elif age_s <= rule.stale_s:
        stale, gone = "EEG carries no signal", "EEG carries no signal: ramp down"
        age_s = seen.signal_age_s
    if math.isnan(age_s):
        age_s = math.inf
    if age_s <= rule.stale_s:
        return None
    if age_s > rule.ramp_down_s and seen.with_current and not seen.paused:
        return Decision(reason=gone, requests=(Request("pause"),), numbers={"age_s": age_s})
    return hold(stale, age_s=age_s)
