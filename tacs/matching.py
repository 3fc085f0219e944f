"""The frequency-matching rule: which frequency follows from a peak and a recipe, and why.

References
----------
Kemmerer et al. 2022: matched stimulation had its effect at the individual alpha frequency and not
2 Hz beside it. Notbohm et al. 2016: locking only inside the Arnold tongue. Zaehle et al. 2010, doi
10.1371/journal.pone.0013766.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tacs.capabilities import Capabilities
from tacs.errors import InputError, NoAnswer, SafetyRefusal
from tacs.protocol import Montage
from tacs.recipe import Recipe
from tacs.safety import Breach

if TYPE_CHECKING:
    from analysis.peak import PeakEstimate

__all__ = [
    "FrequencyChoice",
    "accept_grid",
    "choose_frequency",
    "frequency_breaches",
    "grid_reason",
    "is_replication",
    "is_split",
    "peak_doubts",
    "provisional_doubts",
    "recording_age_reasons",
    "tongue_current_ma",
    "tongue_half_width_hz",
    "tongue_reason",
]

PLAIN_SECONDS = 60.0  # below this an estimate is provisional whatever the rhythm
RESOLUTION_HZ = 0.01  # grid of a planned frequency where no device is named
COUPLING_PER_S_MA = 2.0  # k of the oscillator model, assumed: nobody has measured it
AMPLITUDE = 1.0  # r0 of the oscillator model, assumed
NOT_FROM_A_FILE = "not read from a file"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrequencyChoice:
    """A frequency, where it comes from and why.

    Parameters
    ----------
    frequency_hz : float
        What the protocol asks for.
    reason : str
        One line.
    individual : dict or None
        Data of :class:`tacs.protocol.Individual`; None where no peak decided.
    fallback_note : str or None
        Set where no peak decided.
    """

    frequency_hz: float
    reason: str
    individual: dict[str, Any] | None = None
    fallback_note: str | None = None


def choose_frequency(
    peak: PeakEstimate | None,
    recipe: Recipe,
    frequency_hz: float | None = None,
    fallback_note: str | None = None,
) -> FrequencyChoice:
    """Choose the frequency: the one named with a reason, the recipe's own, or the peak's.

    Parameters
    ----------
    peak : PeakEstimate or None
        The individual peak.
    recipe : Recipe
        With its frequency rule.
    frequency_hz : float, optional
        Named by a person, with ``fallback_note``.
    fallback_note : str, optional
        Why it is not the individual one.

    Raises
    ------
    NoAnswer
        The rule needs an individual peak and the recording has none, or two.
    SafetyRefusal
        The peak comes from a published method, for comparison only, and has no interval; one with
        an interval is refused by :func:`frequency_breaches`.
    InputError
        The rule needs a peak and none was given; the named frequency cannot be used, or its reason
        is empty.
    """
    rule = recipe.frequency_rule
    if frequency_hz is not None and fallback_note is not None:
        if not (math.isfinite(frequency_hz) and frequency_hz > 0.0 and fallback_note.strip()):
            raise InputError("frequency_hz must be more than 0 Hz, and its reason not empty")
        note = f"fixed {frequency_hz:g} Hz, {fallback_note.strip()}"
        return FrequencyChoice(frequency_hz=frequency_hz, reason=note, fallback_note=note)
    peak_hz = _peak_hz(peak)
    if rule.fixed_hz is not None:
        note = f"fixed {rule.fixed_hz:g} Hz, no individual peak"
        if peak_hz is not None:
            note = (
                f"fixed {rule.fixed_hz:g} Hz, not matched to the individual peak of "
                f"{peak_hz:.2f} Hz ({rule.fixed_hz - peak_hz:+.2f} Hz from it)"
            )
        return FrequencyChoice(frequency_hz=rule.fixed_hz, reason=note, fallback_note=note)
    if peak is None:
        raise InputError(
            f"recipe {recipe.name} needs an individual peak: give --peak PEAK.json, or a fixed "
            f"frequency and the reason for it"
        )
    if peak_hz is None:
        raise NoAnswer(
            f"recipe {recipe.name} needs an individual peak and there is none ({peak.status}: "
            f"{'; '.join(peak.reasons) or 'no reason stated'}); record longer with eyes closed, or "
            f"plan with a fixed frequency and the reason for it"
        )
    if is_replication(peak) and (is_split(peak) or peak.ci95_hz is None):
        raise SafetyRefusal([_replication_breach(peak, recipe)])
    offset_hz = rule.offset_hz or 0.0
    chosen_hz = round(round((peak_hz + offset_hz) / RESOLUTION_HZ) * RESOLUTION_HZ, 9)
    if is_split(peak):
        raise NoAnswer(_split_refusal(peak, recipe, chosen_hz))
    if peak.ci95_hz is None:
        raise NoAnswer(
            f"recipe {recipe.name} needs an individual peak with its 95 % interval, and the one at "
            f"{peak_hz:.2f} Hz has none; estimate it anew with `tacs peak`"
        )
    low_hz, high_hz = peak.ci95_hz
    whose = f"of {peak.subject}" if peak.subject else "of a person not named in it"
    offset = f", {offset_hz:+g} Hz by the recipe" if offset_hz else ""
    reason = (
        f"{chosen_hz:g} Hz: individual peak {whose}, {peak_hz:.3f} Hz "
        f"(95 % interval {low_hz:.2f} to {high_hz:.2f} Hz){offset}, to {RESOLUTION_HZ:g} Hz"
    )
    individual = {
        "subject": peak.subject,
        "peak_hz": peak_hz,
        "ci95_hz": [low_hz, high_hz],
        "recording": peak.recording or NOT_FROM_A_FILE,
        "recording_sha256": peak.recording_sha256 or NOT_FROM_A_FILE,
        "measured_at": peak.measured_at,
        "method": peak.method,
    }
    return FrequencyChoice(frequency_hz=chosen_hz, reason=reason, individual=individual)


def accept_grid(
    choice: FrequencyChoice, capabilities: Capabilities | None, reason: str
) -> FrequencyChoice:
    """Take the frequency that a device of a coarse grid can play, on a person's word.

    Parameters
    ----------
    choice : FrequencyChoice
        Of an individual peak.
    capabilities : Capabilities or None
        Of the device.
    reason : str
        Why the difference is accepted.

    Returns
    -------
    FrequencyChoice
        With the device's frequency, the peak it differs from, and the difference in words; the
        choice itself where the device plays it exactly.

    Raises
    ------
    InputError
        No rig, no reason, or no individual peak that the frequency comes from.
    """
    if capabilities is None or not reason.strip():
        raise InputError(
            "accepting a device's grid needs the device (--rig RIG.toml) and a reason "
            "(--accept-grid REASON)"
        )
    if choice.individual is None:
        raise InputError(
            "accepting a device's grid needs an individual peak that it differs from; for a fixed "
            "frequency name it (--frequency-hz, --fallback-note)"
        )
    achieved_hz = capabilities.achieved_frequency_hz(choice.frequency_hz)
    if achieved_hz == choice.frequency_hz:
        return choice
    note = (
        f"{achieved_hz:g} Hz instead of the individual {choice.frequency_hz:g} Hz "
        f"({achieved_hz - choice.frequency_hz:+.2f} Hz): {capabilities.name} plays steps of "
        f"{capabilities.frequency_step_hz:g} Hz; accepted: {reason.strip()}"
    )
    return FrequencyChoice(
        frequency_hz=achieved_hz,
        reason=f"{choice.reason}; {note}",
        individual=choice.individual,
        fallback_note=note,
    )


def is_replication(peak: PeakEstimate) -> bool:
    """Whether a peak reproduces a publication: for comparison only, never for a plan."""
    return peak.replication or "replication" in peak.method.lower()


def is_split(peak: PeakEstimate) -> bool:
    """Whether two peaks share the rhythm, so that neither is the person's one peak."""
    return len(peak.peaks) > 1


def peak_doubts(peak: PeakEstimate) -> list[str]:
    """List what makes a peak doubtful, short of a refusal.

    Parameters
    ----------
    peak : PeakEstimate
        One that was found.

    Returns
    -------
    list of str
        Too short a recording, a peak that moved, a second opinion that differs.
    """
    doubts = provisional_doubts(peak)
    halves = peak.stability
    if halves is not None and halves.stable is False:
        first, second = (_hz_or_none(value) for value in (halves.first_hz, halves.second_hz))
        interval = ""
        if halves.ci95_difference_hz is not None:
            low_hz, high_hz = halves.ci95_difference_hz
            interval = f" (95 % interval of the difference {low_hz:+.2f} to {high_hz:+.2f} Hz)"
        doubts.append(
            f"the peak is not stable: {first} in the first half of the recording, {second} in the "
            f"second{interval}; one frequency may fit neither: record again, at rest and awake"
        )
    check = peak.cross_check
    if check is not None and not check.agrees:
        doubts.append(
            f"{check.method} disagrees: it has {_hz_or_none(check.frequency_hz)} where the "
            f"estimate has {_hz_or_none(peak.frequency_hz)}; look at the spectrum "
            f"(tacs peak --figure)"
        )
    return doubts


def provisional_doubts(peak: PeakEstimate) -> list[str]:
    """Say so where a peak rests on too little signal to be relied on."""
    if not peak.provisional:
        return []
    why = (
        "too little"
        if peak.seconds_used < PLAIN_SECONDS
        else "and the rhythm is faint, too much so"
    )
    return [
        f"provisional: the peak rests on {peak.seconds_used:.0f} s of signal, {why} to rely "
        f"on; record two minutes or more and plan again before a session"
    ]


def _hz_or_none(value: float | None) -> str:
    """A frequency in words."""
    return "no peak" if value is None else f"{value:.2f} Hz"


def _split_refusal(peak: PeakEstimate, recipe: Recipe, chosen_hz: float) -> str:
    """Why a split peak is no individual frequency, and how to use it all the same."""
    both = " and ".join(f"{item.frequency_hz:.2f} Hz" for item in peak.peaks)
    return (
        f"recipe {recipe.name} needs one individual peak and this one is split, {both}; it would "
        f"take the stronger peak, {peak.peaks[0].frequency_hz:.2f} Hz, and play {chosen_hz:g} Hz: "
        f"look at the figure, record longer, or confirm it with --frequency-hz {chosen_hz:g} "
        f'--fallback-note "split peak, {both}: the stronger one taken on purpose"'
    )


def _replication_breach(peak: PeakEstimate, recipe: Recipe) -> Breach:
    """A published method is no ground for a plan."""
    return Breach(
        limit="peak_method",
        value=peak.method,
        allowed="the suite's own estimate",
        unit="",
        source=f"recipe {recipe.name}",
        where="it reproduces a publication; run `tacs peak` without that method",
    )


def _peak_hz(peak: PeakEstimate | None) -> float | None:
    """The frequency of a peak that was found."""
    return peak.frequency_hz if peak is not None and peak.status == "found" else None


def frequency_breaches(
    peak: PeakEstimate | None,
    recipe: Recipe,
    choice: FrequencyChoice,
    achieved_hz: float,
    subject: str | None,
) -> list[Breach]:
    """List what the recipe's frequency rule forbids.

    Parameters
    ----------
    peak : PeakEstimate or None
        The individual peak, where one was given.
    recipe : Recipe
        With its band, tolerance and widest interval.
    choice : FrequencyChoice
        What was chosen.
    achieved_hz : float
        What the device's grid makes of it.
    subject : str or None
        Who the protocol is for. Where the peak decides, its owner is checked with the person's
        limits (:func:`tacs.safety.person_breaches`), before every session again.

    Returns
    -------
    list of Breach
    """
    rule, found = recipe.frequency_rule, []

    def refuse(limit: str, value: float | str, allowed: float | str, unit: str, where: str) -> None:
        found.append(
            Breach(
                limit=limit,
                value=value,
                allowed=allowed,
                unit=unit,
                source=f"recipe {recipe.name}",
                where=where,
            )
        )

    (low_hz, high_hz), peak_hz = rule.band_hz, _peak_hz(peak)
    matched = choice.individual is not None
    tested_hz = peak_hz if matched and peak_hz is not None else choice.frequency_hz
    if not low_hz <= tested_hz <= high_hz:
        where = "individual peak" if matched else "fixed frequency"
        refuse("recipe_band_hz", tested_hz, f"{low_hz:g} to {high_hz:g}", "Hz", where)
    error_hz = abs(achieved_hz - choice.frequency_hz)
    if not error_hz <= rule.tolerance_hz:
        refuse("recipe_tolerance_hz", error_hz, rule.tolerance_hz, "Hz", "grid of the device")
    if peak is None or peak_hz is None:
        return found
    if matched and peak.ci95_hz is not None:
        width_hz = peak.ci95_hz[1] - peak.ci95_hz[0]
        if not 0.0 <= width_hz <= rule.interval_width_max_hz:
            where = "95 % interval of the peak; record longer"
            refuse("peak_interval_hz", width_hz, rule.interval_width_max_hz, "Hz", where)
    if matched and is_replication(peak):
        found.append(_replication_breach(peak, recipe))
    if not matched and subject is not None and peak.subject != subject:
        refuse(
            "peak_subject", peak.subject or "a person not named in the peak", subject, "", "peak"
        )
    return found


def grid_reason(frequency_hz: float, achieved_hz: float, capabilities: Capabilities | None) -> str:
    """Say what the device's grid makes of the frequency.

    Parameters
    ----------
    frequency_hz, achieved_hz : float
        Asked for and achieved.
    capabilities : Capabilities or None
        Of the device, where one was named.
    """
    if capabilities is None:
        return "no rig was named: the device's grid and limits are checked before a session"
    return (
        f"{capabilities.name} plays {achieved_hz:g} Hz, {achieved_hz - frequency_hz:+.4f} Hz "
        f"from the frequency asked for (grid {capabilities.frequency_step_hz:g} Hz)"
    )


def tongue_current_ma(montage: Montage) -> float:
    """Return the current that drives the oscillator model: the largest loop's, zero-to-peak."""
    return max(loop.current_peak_ma for loop in montage.loops)


def tongue_half_width_hz(montage: Montage) -> float:
    """Predict how far from its own frequency a weakly driven oscillator still locks.

    Parameters
    ----------
    montage : Montage
        Its largest loop current is taken, in mA zero-to-peak.

    Returns
    -------
    float
        Half-width of the Arnold tongue to first order, ``k·I / (4π·r0)``, in Hz.

    Notes
    -----
    Nobody has measured ``k`` in a person: both constants are assumed. A simulated Stuart-Landau
    oscillator agrees at 1 and 2 mA and no longer at 4 mA (0.90 Hz, not 0.64 Hz).
    """
    return COUPLING_PER_S_MA * tongue_current_ma(montage) / (4.0 * math.pi * AMPLITUDE)


def tongue_reason(montage: Montage) -> str:
    """State the predicted locking range with its assumptions.

    Parameters
    ----------
    montage : Montage
        As for :func:`tongue_half_width_hz`.
    """
    return (
        f"an oscillator model predicts locking within {tongue_half_width_hz(montage):.2f} Hz of "
        f"the true peak at {tongue_current_ma(montage):g} mA (k {COUPLING_PER_S_MA:g} /(s·mA) and "
        f"r0 {AMPLITUDE:g} are assumed, not measured)"
    )


def recording_age_reasons(peak: PeakEstimate | None, now: datetime, peak_age_d: float) -> list[str]:
    """Say so where the recording's own date is old.

    Parameters
    ----------
    peak : PeakEstimate or None
        With ``recorded_at`` where the header has a date.
    now : datetime
        Time zone aware.
    peak_age_d : float
        Limit in days. Only the age of the estimate is refused: dates in headers are often shifted
        on purpose.
    """
    if peak is None or peak.recorded_at is None:
        return []
    recorded = datetime.fromisoformat(peak.recorded_at)
    age_d = (now - recorded).total_seconds() / 86400.0
    if age_d <= peak_age_d:
        return []
    return [
        f"the recording is dated {recorded:%Y-%m-%d}, {age_d:.0f} days ago (a peak may be "
        f"{peak_age_d:g} days old): dates in headers are often shifted on purpose, so this does "
        f"not refuse the plan; make sure that the recording is recent"
    ]
