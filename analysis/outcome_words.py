"""A comparison in words: one sentence, and what must be known to read the numbers."""

from __future__ import annotations

from analysis.pairing import Pair
from analysis.power import percent_of_ln
from analysis.power_change import APERIODIC_SHIFT, PowerChange
from analysis.statistics import Direction

COVERING_SECONDS = 150.0
CAUSE = (
    "one recording before and one after cannot show that the stimulation caused it; repeated "
    "sessions or a sham arm can"
)


def summarise(
    power: PowerChange, direction: Direction, as_predicted: bool | None, *, identical: bool = False
) -> str:
    """One plain sentence about a power change.

    Parameters
    ----------
    power : PowerChange
        The change.
    direction : {"increase", "decrease", "none", "undetermined"}
        Direction.
    as_predicted : bool or None
        Whether the protocol predicted it.
    identical : bool
        Whether both recordings hold the same samples.

    Returns
    -------
    str
        The sentence.
    """
    band = f"{power.band_hz[0]:.1f}-{power.band_hz[1]:.1f} Hz"
    if identical:
        return f"Both recordings hold the same samples, so {band} power did not change."
    low, high = (percent_of_ln(value) for value in power.raw.interval_ln)
    change = percent_of_ln(power.raw.ln_ratio)
    text = (
        f"{band} power was {abs(change):.0f} % {'higher' if change >= 0.0 else 'lower'} after than "
        f"before (95 % interval {low:+.0f} to {high:+.0f} %)"
    )
    if power.verdict == APERIODIC_SHIFT:
        return f"{text}: an {APERIODIC_SHIFT}, so the rhythm itself is not shown to have changed."
    meaning = {
        "increase": "an increase",
        "decrease": "a decrease",
        "none": "no change worth having in either direction",
        "undetermined": "too uncertain to tell a change from spontaneous fluctuation",
    }[direction]
    told = {True: ", as predicted", False: ", not as predicted", None: ""}[as_predicted]
    cause = f"; {CAUSE}" if direction in ("increase", "decrease") else ""
    return f"{text}: {meaning}{told}{cause}."


def cautions(pair: Pair, power: PowerChange, connectivity_reason: str | None) -> list[str]:
    """Return what must be said about the numbers themselves.

    Parameters
    ----------
    pair : Pair
        The prepared recordings.
    power : PowerChange
        The change.
    connectivity_reason : str or None
        Why there is no connectivity.

    Returns
    -------
    list of str
        One line each.
    """
    found = []
    if pair.identical:
        found.append("both recordings hold the same samples: was one file given twice?")
    if power.raw.p_reason is not None:
        found.append(power.raw.p_reason)
    seconds = pair.before_uv.shape[1] / pair.sfreq_hz
    if seconds < COVERING_SECONDS:
        found.append(
            f"power that drifts over more than the {seconds:.0f} s compared is outside the "
            f"interval: record {COVERING_SECONDS:g} s or more"
        )
    if power.verdict == APERIODIC_SHIFT:
        found.append(
            f"{APERIODIC_SHIFT}: the background spectrum accounts for "
            f"{100.0 * (power.aperiodic_share or 0.0):.0f} % of the change in band power"
        )
    elif power.verdict.startswith(("unclear", "not assessed")):
        found.append(f"whether the rhythm or the background changed is {power.verdict}")
    if power.adjusted.reason is not None:
        found.append(f"adjusted power: {power.adjusted.reason}")
    if connectivity_reason is not None:
        found.append(f"connectivity: {connectivity_reason}")
    return found
