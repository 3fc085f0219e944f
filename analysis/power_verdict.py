"""What moved: the rhythm, the background under it, both, or neither."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.statistics import Direction

OSCILLATION = "oscillation"
BOTH = "oscillation and aperiodic shift"
APERIODIC_SHIFT = "aperiodic shift, not oscillation"
OPPOSED = "aperiodic shift, the oscillation moved the other way"
UNCLEAR = "unclear: adjusted power is too uncertain"
NOT_ASSESSED = "not assessed"
HIDDEN = "oscillation, hidden by an opposite aperiodic shift"
FAINT = "oscillation over the background, band power not clearly changed"
APERIODIC_ALONE = "aperiodic change, no clear change of band power"
NOTHING = "no clear change of band power"

RIVAL_LN = 0.05
STRICT = 3.2905 / 1.9600  # half width of a 99.9 % interval over that of a 95 % interval
_MOVED = ("increase", "decrease")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What moved, and the direction of the rhythm that follows."""

    what: str
    direction: Direction


def verdict_of(
    raw: Direction,
    adjusted: Direction,
    adjusted_strict: Direction,
    share: float | None,
    background_ln: float | None,
    *,
    background_moved: bool,
    reason: str | None = None,
) -> Verdict:
    """Name what moved.

    Parameters
    ----------
    raw, adjusted, adjusted_strict : {"increase", "decrease", "none", "undetermined"}
        What the 95 % intervals of band power and of power over the background support, and what
        the 99.9 % interval of the latter does.
    share : float or None
        Share of the raw change that is the background's; None without two good fits.
    background_ln : float or None
        Log ratio of band power had the background alone changed.
    background_moved : bool
        Whether offset or exponent is shown to have changed.
    reason : str or None
        Why there is no adjusted power.

    Returns
    -------
    Verdict
        `what` is a constant of this module (`NOT_ASSESSED` is followed by the reason).

    Notes
    -----
    The background competes for the explanation where it is shown to have moved and alone would have
    changed band power by a factor of e^.05 or more. Then power over it counts as moved at 99.9 %
    only: two explanations are at hand, and the rhythm is the one that must not be claimed lightly.

    ===================  ===================  ===========================================
    band power           over background      verdict, direction
    ===================  ===================  ===========================================
    moved                same way             `OSCILLATION`, or `BOTH` from half a share on;
                                              that of band power
    moved                the other way        `OPPOSED`; undetermined
    moved                not shown to move    `APERIODIC_SHIFT` from half a share on; none or
                                              undetermined
    moved                not shown to move    `UNCLEAR` below; undetermined if the background
                                              competes, else that of band power
    not shown to move    moved                `HIDDEN` or `FAINT`; undetermined
    not shown to move    not shown to move    `APERIODIC_ALONE` or `NOTHING`; that of band power
    ===================  ===================  ===========================================
    """
    competes = background_moved and background_ln is not None and abs(background_ln) >= RIVAL_LN
    over = adjusted_strict if competes else adjusted
    if raw not in _MOVED:
        if over in _MOVED:
            opposite = competes and (background_ln or 0.0) * (1 if over == "increase" else -1) < 0.0
            return Verdict(HIDDEN if opposite else FAINT, "undetermined")
        return Verdict(APERIODIC_ALONE if background_moved else NOTHING, raw)
    if share is None:
        return Verdict(f"{NOT_ASSESSED}: {reason}", raw)
    if over == raw:
        return Verdict(OSCILLATION if share < 0.5 else BOTH, raw)
    if over in _MOVED:
        return Verdict(OPPOSED, "undetermined")
    if share >= 0.5:
        return Verdict(APERIODIC_SHIFT, "none" if adjusted == "none" else "undetermined")
    return Verdict(UNCLEAR, "undetermined" if competes else raw)
