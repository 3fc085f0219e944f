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
from tacs.errors import InputError, NoAnswer
from tacs.protocol import Montage
from tacs.recipe import Recipe
from tacs.safety import Breach

if TYPE_CHECKING:
    from analysis.peak import PeakEstimate

__all__ = [
    "FrequencyChoice",
    "choose_frequency",
    "frequency_breaches",
    "grid_reason",
    "recording_age_reasons",
    "tongue_reason",
]

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
        The rule needs an individual peak and the recording has none.
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
    if peak_hz is None or peak.ci95_hz is None:
        raise NoAnswer(
            f"recipe {recipe.name} needs an individual peak and there is none ({peak.status}: "
            f"{'; '.join(peak.reasons) or 'no reason stated'}); record longer with eyes closed, or "
            f"plan with a fixed frequency and the reason for it"
        )
    offset_hz = rule.offset_hz or 0.0
    chosen_hz = round(round((peak_hz + offset_hz) / RESOLUTION_HZ) * RESOLUTION_HZ, 9)
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
    if matched and "replication" in peak.method.lower():
        where = "it reproduces a publication; run `tacs peak` without that method"
        refuse("peak_method", peak.method, "the suite's own estimate", "", where)
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


def tongue_reason(montage: Montage) -> str:
    """Predict the locking range of a weakly driven oscillator, with its assumptions.

    Parameters
    ----------
    montage : Montage
        Its largest loop current is taken, in mA zero-to-peak.

    Notes
    -----
    Half-width of the Arnold tongue to first order: ``k·I / (4π·r0)``, in hertz. It is printed,
    never used: nobody has measured ``k`` in a person.
    """
    current_ma = max(loop.current_peak_ma for loop in montage.loops)
    half_width_hz = COUPLING_PER_S_MA * current_ma / (4.0 * math.pi * AMPLITUDE)
    return (
        f"an oscillator model predicts locking within {half_width_hz:.2f} Hz of the true peak at "
        f"{current_ma:g} mA (k {COUPLING_PER_S_MA:g} /(s·mA) and r0 {AMPLITUDE:g} are assumed, "
        f"not measured)"
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
