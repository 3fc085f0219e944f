"""Limits of agreement: how far a patient's recordings differ without stimulation.

An interval made from two recordings knows nothing of what happens between recordings: caps come off
and on, people sit differently, alpha has good days. Pairs without stimulation contain all of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.errors import AnalysisError
from analysis.power import percent_of_ln

if TYPE_CHECKING:
    from analysis.outcome import Outcome

MIN_PAIRS = 2
ADVISED_PAIRS = 3


@dataclass(frozen=True, slots=True)
class Agreement:
    """One measure beside its limits of agreement.

    Parameters
    ----------
    name, unit : str
        Which measure.
    change : float or None
        Of the session: after minus before; of power, the natural log ratio.
    retest : tuple of float or None
        The same of every pair without stimulation.
    limits : (float, float) or None
        95 % limits for the next change without stimulation.
    beyond : bool or None
        Whether the change lies outside.
    reason : str or None
        Why there are no limits.
    """

    name: str
    unit: str
    change: float | None
    retest: tuple[float | None, ...]
    limits: tuple[float, float] | None
    beyond: bool | None
    reason: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "measure": self.name,
            "unit": self.unit,
            "change": self.change,
            "retest": list(self.retest),
            "limits": None if self.limits is None else list(self.limits),
            "beyond": self.beyond,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Retest:
    """The change of a session beside those of pairs without stimulation.

    Parameters
    ----------
    measures : tuple of Agreement
        The primary measure first: the region's log power ratio.
    pair_warnings : tuple of tuple of str
        For every pair, what speaks against its use.
    responder : bool or None
        Whether the primary change is beyond test-retest; None where that cannot be said.
    reason : str or None
        Why it cannot.
    """

    measures: tuple[Agreement, ...]
    pair_warnings: tuple[tuple[str, ...], ...]
    responder: bool | None
    reason: str | None

    @property
    def primary(self) -> Agreement:
        """Log power ratio of the region."""
        return self.measures[0]

    @property
    def text(self) -> str:
        """One sentence."""
        one = self.primary
        if self.responder is None or one.limits is None or one.change is None:
            return f"Test-retest cannot be judged: {self.reason}."
        low, high = (percent_of_ln(value) for value in one.limits)
        place = "Beyond" if self.responder else "Not beyond"
        return (
            f"{place} test-retest: {percent_of_ln(one.change):+.0f} % lies "
            f"{'outside' if self.responder else 'within'} the limits of agreement "
            f"({low:+.0f} to {high:+.0f} %) of {len(one.retest)} pairs without stimulation."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        one = self.primary
        return {
            "n": len(one.retest),
            "pairs": [
                {"ln_ratio": value, "warnings": list(told)}
                for value, told in zip(one.retest, self.pair_warnings, strict=True)
            ],
            "limits_ln": None if one.limits is None else list(one.limits),
            "limits_percent": (
                None if one.limits is None else [percent_of_ln(value) for value in one.limits]
            ),
            "beyond": one.beyond,
            "responder": self.responder,
            "reason": self.reason,
            "measures": [measure.to_dict() for measure in self.measures],
            "text": self.text,
        }


def agreement_limits(changes: Sequence[float]) -> tuple[float, float]:
    """95 % limits for the next change, from changes without a cause.

    Parameters
    ----------
    changes : sequence of float
        Changes of pairs without stimulation, two or more.

    Returns
    -------
    (float, float)
        Plus and minus t(0.975; n) times the root mean square of the changes.

    Raises
    ------
    AnalysisError
        With fewer than two, or where all are 0.

    Notes
    -----
    Bland and Altman's repeatability takes the mean of such differences for 0, because nothing but
    order tells one of two recordings from the other, and their 1.96 holds for many pairs. With n
    pairs the root mean square has n degrees of freedom and the next change over it follows
    Student's t, exactly where changes are normal about 0. Where they are not about 0 (time on task,
    say) the root mean square is larger and the limits are too wide rather than too narrow. Two
    pairs give 4.30, three 3.18, five 2.57 and ten 2.23 times the root mean square; one pair would
    give 12.7 times a single difference, which nothing ever exceeds, and is refused.

    References
    ----------
    Bland and Altman 1986, Lancet 1:307-310, and 1999, Stat. Methods Med. Res. 8:135-160
    (repeatability); Vock 2016, Biom. J. 58:1057-1068 (limits as a prediction interval).
    """
    from scipy.special import stdtrit

    n = len(changes)
    if n < MIN_PAIRS:
        raise AnalysisError(
            f"{n} pair{'' if n == 1 else 's'} without stimulation: limits of agreement need "
            f"{MIN_PAIRS} or more, better {ADVISED_PAIRS}"
        )
    size = math.sqrt(sum(value**2 for value in changes) / n)
    if size == 0.0:
        raise AnalysisError("the recordings of the pairs do not differ at all: one file twice?")
    half = float(stdtrit(n, 0.975)) * size
    return -half, half


def limits_of_agreement(session: Outcome, pairs: Sequence[Outcome]) -> Retest:
    """Hold a session's changes against those of pairs without stimulation.

    Parameters
    ----------
    session : Outcome
        Before against after.
    pairs : sequence of Outcome
        Each pair without stimulation, compared with the session's band, region and settings.

    Returns
    -------
    Retest
        Limits for power, power over the aperiodic part, connectivity and peak frequency.

    Raises
    ------
    AnalysisError
        If a pair holds the same samples twice.

    Notes
    -----
    Slow fluctuation is in the pairs too and speaks against nothing here. A session in which arousal
    changed or a line was left is no responder and no non-responder: `responder` is None.
    """
    for number, pair in enumerate(pairs, 1):
        if pair.power.raw.ln_ratio == 0.0:
            raise AnalysisError(
                f"pair {number} without stimulation holds the same samples twice: "
                "give two recordings"
            )
    measures = tuple(
        _agreement(
            name, unit, change, tuple(_changes(pair).get(name, (unit, None))[1] for pair in pairs)
        )
        for name, (unit, change) in _changes(session).items()
    )
    primary = measures[0]
    barred = [one.text for one in session.inference.reasons if one.code != "slow_fluctuation"]
    reason = "; ".join(barred) if barred else primary.reason
    return Retest(
        measures=measures,
        pair_warnings=tuple(
            tuple(one.text for one in pair.inference.reasons if one.code != "slow_fluctuation")
            for pair in pairs
        ),
        responder=None if reason is not None else primary.beyond,
        reason=reason,
    )


def _changes(outcome: Outcome) -> dict[str, tuple[str, float | None]]:
    """Every measure's unit and change, the primary first."""
    return {one.name: (one.unit, one.estimate) for one in outcome.inference.family}


def _agreement(
    name: str, unit: str, change: float | None, retest: tuple[float | None, ...]
) -> Agreement:
    """One measure beside its limits, or why there are none."""
    known = [value for value in retest if value is not None]
    try:
        limits = agreement_limits(known)
    except AnalysisError as exc:
        return Agreement(name, unit, change, retest, None, None, str(exc))
    if change is None:
        return Agreement(name, unit, None, retest, limits, None, "the session has no such change")
    beyond = not limits[0] <= change <= limits[1]
    return Agreement(name, unit, change, retest, limits, beyond, None)
