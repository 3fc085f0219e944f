"""A comparison in words: one sentence, and what must be known to read the numbers."""

from __future__ import annotations

from analysis.pairing import Pair
from analysis.power import percent_of_ln
from analysis.power_change import PowerChange
from analysis.power_verdict import (
    APERIODIC_ALONE,
    APERIODIC_SHIFT,
    BOTH,
    FAINT,
    HIDDEN,
    OPPOSED,
    UNCLEAR,
)
from analysis.statistics import Direction, direction_of
from analysis.timecourse import CAUTION, TimeCourse

COVERING_SECONDS = 150.0
CAUSE = (
    "one recording before and one after cannot show that the stimulation caused it; repeated "
    "sessions or a sham arm can"
)


def summarise(
    power: PowerChange,
    direction: Direction,
    as_predicted: bool | None,
    *,
    identical: bool = False,
    no_verdict: str | None = None,
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
    no_verdict : str or None
        Why nothing may be concluded from the number.

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
    if no_verdict is not None:
        return f"{text}: undetermined, because {no_verdict}."
    if power.verdict in (APERIODIC_SHIFT, OPPOSED, HIDDEN, FAINT):
        return f"{text}: {_apart(power)}."
    meaning = {
        "increase": "an increase",
        "decrease": "a decrease",
        "none": "no change worth having in either direction",
        "undetermined": "too uncertain to tell a change from spontaneous fluctuation",
    }[direction]
    if power.verdict == UNCLEAR and direction == "undetermined":
        meaning = "whether the rhythm or the background changed is too uncertain to tell"
    told = {True: ", as predicted", False: ", not as predicted", None: ""}[as_predicted]
    beside = ""
    if power.verdict == BOTH:
        share = 100.0 * (power.aperiodic_share or 0.0)
        beside = f"; the background accounts for {share:.0f} % of it, and {_adjusted(power)}"
    elif power.verdict == APERIODIC_ALONE:
        beside = f"; the background alone changed ({_background(power)})"
    cause = f"; {CAUSE}" if direction in ("increase", "decrease") else ""
    return f"{text}: {meaning}{told}{beside}{cause}."


def _apart(power: PowerChange) -> str:
    """What is said where band power and power over the background tell different stories."""
    if power.verdict == APERIODIC_SHIFT:
        return (
            f"an {APERIODIC_SHIFT}: {_adjusted(power)}, so the rhythm itself is not shown to have "
            "changed"
        )
    if power.verdict == OPPOSED:
        return (
            f"an aperiodic shift; {_adjusted(power)}, which is the other way, so that no direction "
            "can be given"
        )
    why = (
        "the background moved the other way and hides it"
        if power.verdict == HIDDEN
        else "the rhythm is a small part of the power in the band"
    )
    return (
        f"no clear change of band power, but {_adjusted(power)}; {why}, so that no direction can "
        "be given"
    )


def _adjusted(power: PowerChange) -> str:
    """Power over the background in words."""
    found = power.adjusted
    if found.interval_ln is None and found.difference_interval is not None:
        low, high = found.difference_interval
        change = (found.post or 0.0) - (found.pre or 0.0)
        return (
            f"power over the background was {abs(change):.2g} µV² "
            f"{'higher' if change >= 0.0 else 'lower'} ({low:+.2g} to {high:+.2g} µV²; no ratio, "
            "as one side is not clear of the background)"
        )
    if found.ln_ratio is None:
        return f"power over the background is not known ({found.reason})"
    change = percent_of_ln(found.ln_ratio)
    text = (
        f"power over the background was {abs(change):.0f} % "
        f"{'higher' if change >= 0.0 else 'lower'}"
    )
    if found.interval_ln is None:
        return text
    low, high = (percent_of_ln(edge) for edge in found.interval_ln)
    return f"{text} ({low:+.0f} to {high:+.0f} %)"


def _background(power: PowerChange) -> str:
    """Change of the background in words."""
    found = power.aperiodic
    parts = []
    for name, change, interval in (
        ("exponent", found.exponent_change, found.exponent_interval),
        ("offset", found.offset_change, found.offset_interval),
    ):
        if change is not None and interval is not None:
            parts.append(f"{name} {change:+.2f} ({interval[0]:+.2f} to {interval[1]:+.2f})")
    return ", ".join(parts)


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
    elif power.verdict in (BOTH, OPPOSED, HIDDEN, APERIODIC_ALONE):
        found.append(f"the background spectrum changed ({power.verdict}): {_background(power)}")
    own = power.recentred
    if own.ln_ratio is not None and own.interval_ln is not None:
        kinds = {direction_of(power.raw.interval_ln), direction_of(own.interval_ln)}
        if len(kinds) > 1 and kinds & {"increase", "decrease"}:
            low, high = (percent_of_ln(edge) for edge in own.interval_ln)
            found.append(
                "the peak moved against the fixed band: about each recording's own peak the change "
                f"is {percent_of_ln(own.ln_ratio):+.0f} % ({low:+.0f} to {high:+.0f} %)"
            )
    if power.adjusted.reason is not None:
        found.append(f"adjusted power: {power.adjusted.reason}")
    if connectivity_reason is not None:
        found.append(f"connectivity: {connectivity_reason}")
    return found


def course_cautions(course: TimeCourse) -> list[str]:
    """Return what must be said about the course over time.

    Parameters
    ----------
    course : TimeCourse
        The course.

    Returns
    -------
    list of str
        None where no fading was fitted: nothing is claimed then.
    """
    if not course.decay.identified:
        return []
    found = [f"fading of the effect: {CAUTION}"]
    if not course.start_known:
        found.append(
            "when the recording after began is not known: it was taken to begin as the current "
            "ended, and the size of the effect at that moment depends on it"
        )
    if not course.decay_with_drift.identified:
        found.append(
            "fading of the effect: the recordings do not tell it from a drift of power as straight "
            "as a line"
        )
    return found
