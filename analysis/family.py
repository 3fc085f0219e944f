"""Many measures of one pair: each alone, and corrected for their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

FAMILY_LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure of the family, uncorrected and corrected.

    Parameters
    ----------
    name : str
        Which one.
    unit : str
        Unit of the estimate.
    estimate : float or None
        After minus before; of power, the natural log ratio.
    ci95, ci95_simultaneous : (float, float) or None
        Interval of this measure alone, and one of a set that holds all truths at once in 95 % of
        pairs or more.
    p, p_holm : float or None
        Two-sided, as the interval implies it; and corrected for the whole family.
    changed : bool or None
        Whether the corrected p is below .05; None where it is withheld.
    """

    name: str
    unit: str
    estimate: float | None
    ci95: tuple[float, float] | None
    ci95_simultaneous: tuple[float, float] | None = None
    p: float | None = None
    p_holm: float | None = None
    changed: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "measure": self.name,
            "unit": self.unit,
            "estimate": self.estimate,
            "ci95": None if self.ci95 is None else list(self.ci95),
            "ci95_simultaneous": (
                None if self.ci95_simultaneous is None else list(self.ci95_simultaneous)
            ),
            "p": self.p,
            "p_holm": self.p_holm,
            "changed": self.changed,
        }


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct two-sided p values for their number.

    Parameters
    ----------
    p_values : sequence of float
        Uncorrected.

    Returns
    -------
    list of float
        Corrected, in the same order; rejecting those below .05 keeps the probability of any false
        rejection at 5 %, whatever their dependence.

    References
    ----------
    Holm 1979, Scand. J. Stat. 6:65-70.
    """
    n = len(p_values)
    corrected, running = [0.0] * n, 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        running = max(running, min(1.0, (n - rank) * p_values[place]))
        corrected[place] = running
    return corrected


def correct(measures: Sequence[Measure], *, withheld: bool = False) -> tuple[Measure, ...]:
    """Add simultaneous intervals and corrected p values to measures that have an interval.

    Parameters
    ----------
    measures : sequence of Measure
        Estimates with their 95 % intervals.
    withheld : bool
        Whether p values and statements are withheld.

    Returns
    -------
    tuple of Measure
        In the same order; a measure without interval stays as it is and does not count.

    Notes
    -----
    The p value is that of a normal estimate whose 95 % interval is the one given, on the side of 0,
    so that p < .05 and an interval that excludes 0 are the same statement.
    """
    from scipy.special import ndtri  # scipy.stats takes most of a second to import

    tested = [one for one in measures if one.ci95 is not None and one.estimate is not None]
    if not tested:
        return tuple(measures)
    usual = float(ndtri(0.975))
    wider = float(ndtri(1.0 - 0.5 * FAMILY_LEVEL / len(tested))) / usual
    p_values = [_p(one, usual) for one in tested]
    corrected = {
        one.name: pair for one, *pair in zip(tested, p_values, holm(p_values), strict=True)
    }
    out = []
    for one in measures:
        if one.ci95 is None or one.estimate is None:
            out.append(one)
            continue
        low, high = one.ci95
        simultaneous = (
            one.estimate + wider * (low - one.estimate),
            one.estimate + wider * (high - one.estimate),
        )
        p, p_holm = corrected[one.name]
        out.append(
            replace(
                one,
                ci95_simultaneous=simultaneous,
                p=None if withheld else p,
                p_holm=None if withheld else p_holm,
                changed=None if withheld else p_holm < FAMILY_LEVEL,
            )
        )
    return tuple(out)


def _p(measure: Measure, usual: float) -> float:
    """Two-sided p that an interval implies."""
    from scipy.special import ndtr

    if measure.estimate is None or measure.ci95 is None or measure.estimate == 0.0:
        return 1.0
    near = measure.ci95[0] if measure.estimate > 0.0 else measure.ci95[1]
    half = abs(measure.estimate - near)
    return float(2.0 * ndtr(-usual * abs(measure.estimate) / half)) if half > 0.0 else 0.0
