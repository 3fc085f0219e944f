"""Before a session: whether the planned frequency is still the one that the peak asks for.

A peak wanders between days. A short recording before the session is held against the protocol; the
verdict says keep, plan anew, record longer, or that the recording does not answer.

References
----------
Notbohm et al. 2016: locking only inside the Arnold tongue. Kemmerer et al. 2022: matched
stimulation had its effect at the individual alpha frequency and not 2 Hz beside it.
"""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from tacs.errors import InputError, NoAnswer
from tacs.limits import LIMITS
from tacs.matching import (
    RESOLUTION_HZ,
    is_replication,
    is_split,
    peak_doubts,
    tongue_current_ma,
    tongue_half_width_hz,
    tongue_reason,
)
from tacs.protocol import Individual, Protocol

if TYPE_CHECKING:
    from analysis.peak import PeakEstimate

__all__ = ["Remeasurement", "Verdict", "remeasure"]

Verdict = Literal["keep", "retune", "undecided", "no_peak", "unusable"]

LONGEST_RECORDING_S = 1200.0  # a longer one is no advice
ROUND_RECORDING_S = 10.0
CHECKED_CURRENT_MA = 2.0  # the first-order prediction was compared with a simulation up to here
_TASK = re.compile(r"_task-([A-Za-z0-9]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remeasurement:
    """A peak measured before a session, held against the protocol's frequency.

    Parameters
    ----------
    verdict : {"keep", "retune", "undecided", "no_peak", "unusable"}
        ``keep``: the whole interval of the mismatch lies inside the limit; ``retune``: it lies
        outside; ``undecided``: it straddles the limit, or there is no interval; ``no_peak``,
        ``unusable``: this recording does not answer.
    advice : str
        What to do, in one line.
    individual : bool
        Whether the protocol's frequency comes from an individual peak; where not, the mismatch is
        information only.
    planned_hz, played_hz : float
        The protocol's frequency, and what the device's grid makes of it.
    measured_hz : float or None
        The peak now.
    ci95_hz : (float, float) or None
        Its 95 % interval.
    mismatch_hz : float or None
        Played less measured.
    ci95_mismatch_hz : (float, float) or None
        Its 95 % interval. The frequency played is exact: all of the uncertainty is the peak's.
    tongue_half_width_hz : float
        Predicted locking range of an oscillator at the montage's current, in Hz.
    rhythm_width_hz : float or None
        Full width at half height of the rhythm's peak in the spectrum now, the width of the
        spectral window included; None where it is unknown.
    limit_hz : float or None
        Largest mismatch that is not called outside the tongue: the locking range and half of the
        rhythm's width. None without a peak.
    new_frequency_hz : float or None
        What a new plan would ask for; set where the verdict is ``retune``.
    since_planned_peak_d : float or None
        Days from the estimate of the planned peak to this one.
    prediction : str
        The locking range in words, with what is assumed.
    warnings : tuple of str
        What to keep in mind.
    """

    verdict: Verdict
    advice: str
    individual: bool
    planned_hz: float
    played_hz: float
    measured_hz: float | None
    ci95_hz: tuple[float, float] | None
    mismatch_hz: float | None
    ci95_mismatch_hz: tuple[float, float] | None
    tongue_half_width_hz: float
    rhythm_width_hz: float | None
    limit_hz: float | None
    new_frequency_hz: float | None
    since_planned_peak_d: float | None
    prediction: str
    warnings: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """Return 3 where the recording does not answer, else 0; the verdict is in the JSON."""
        return NoAnswer.exit_code if self.verdict in ("no_peak", "unusable") else 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        data = {item.name: getattr(self, item.name) for item in fields(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in data.items()}


@dataclass(frozen=True, slots=True)
class _Numbers:
    """What is known of the mismatch."""

    played_hz: float
    measured_hz: float | None
    mismatch_hz: float | None
    interval_hz: tuple[float, float] | None
    limit_hz: float | None


def remeasure(
    estimate: PeakEstimate,
    protocol: Protocol,
    *,
    device_step_hz: float | None = None,
    peak_file: str | None = None,
) -> Remeasurement:
    """Hold a peak measured now against the frequency of a protocol.

    Parameters
    ----------
    estimate : PeakEstimate
        From a recording made before the session.
    protocol : Protocol
        What is to be played.
    device_step_hz : float, optional
        Grid of the device's frequency; the mismatch is then that of the frequency played.
    peak_file : str, optional
        Where the estimate was saved, for the command in the advice.

    Returns
    -------
    Remeasurement

    Raises
    ------
    InputError
        The grid is not a number above 0 Hz.

    Notes
    -----
    The mismatch is outside the tongue where it exceeds ``k·I / (4π·r0) + FWHM / 2``
    (:func:`tacs.matching.tongue_half_width_hz`; FWHM is the rhythm's full width at half height).
    ``k`` and ``r0`` are assumed and nobody has measured them: the limit is a rule with its reasons
    stated, not a measured property of the person. A verdict needs the whole 95 % interval on one
    side of the limit. Where the recording is somebody else's, the one that the protocol was planned
    from, one searched in a band without the planned peak, or an estimate by a published method, the
    answer is ``unusable``, whatever the numbers are.
    """
    if device_step_hz is not None and not (math.isfinite(device_step_hz) and device_step_hz > 0.0):
        raise InputError("device_step_hz must be a number above 0 Hz")
    played_hz = _on_grid(protocol.frequency_hz, device_step_hz)
    measured_hz = estimate.frequency_hz if estimate.status == "found" else None
    ci95_hz = estimate.ci95_hz if measured_hz is not None else None
    width_hz = estimate.peaks[0].width_hz if measured_hz is not None and estimate.peaks else None
    half_width_hz = tongue_half_width_hz(protocol.montage)
    numbers = _Numbers(
        played_hz,
        measured_hz,
        None if measured_hz is None else played_hz - measured_hz,
        None if ci95_hz is None else (played_hz - ci95_hz[1], played_hz - ci95_hz[0]),
        None if measured_hz is None else half_width_hz + 0.5 * (width_hz or 0.0),
    )
    obstacles = [] if protocol.individual is None else _obstacles(estimate, protocol.individual)
    new_hz = _new_frequency_hz(measured_hz, protocol)
    new_played_hz = None if new_hz is None else _on_grid(new_hz, device_step_hz)
    command = _command(protocol, estimate, peak_file)
    verdict, advice = _verdict(estimate, protocol, numbers, obstacles)
    warnings = [*obstacles, *_warnings(estimate, protocol)]
    if verdict == "retune" and new_played_hz == played_hz:
        verdict, advice = "keep", f"keep: a new plan would play {played_hz:g} Hz again"
        warnings.append(
            f"{played_hz:g} Hz lies outside the predicted locking range and no plan mends that: "
            f"the recipe's own offset, or the device's grid, is wider than the limit"
        )
    elif verdict == "retune":
        advice = f"{advice}: plan anew, which gives {new_hz:g} Hz: {command}"
    if measured_hz is not None and width_hz is None:
        warnings.append(
            "the width of the rhythm is not in the estimate: the limit is the locking range alone, "
            "stricter than with it"
        )
    return Remeasurement(
        verdict=verdict,
        advice=advice,
        individual=protocol.individual is not None,
        planned_hz=protocol.frequency_hz,
        played_hz=played_hz,
        measured_hz=measured_hz,
        ci95_hz=ci95_hz,
        mismatch_hz=numbers.mismatch_hz,
        ci95_mismatch_hz=numbers.interval_hz,
        tongue_half_width_hz=half_width_hz,
        rhythm_width_hz=width_hz,
        limit_hz=numbers.limit_hz,
        new_frequency_hz=new_hz if verdict == "retune" else None,
        since_planned_peak_d=_days(protocol.individual, estimate),
        prediction=_prediction(protocol, numbers.limit_hz, width_hz),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _on_grid(frequency_hz: float, step_hz: float | None) -> float:
    """The nearest frequency that the device has."""
    return frequency_hz if step_hz is None else round(round(frequency_hz / step_hz) * step_hz, 9)


def _new_frequency_hz(measured_hz: float | None, protocol: Protocol) -> float | None:
    """What a new plan asks for, with the distance from the peak that the recipe put there."""
    if measured_hz is None or protocol.individual is None:
        return None
    offset_hz = _offset_hz(protocol, protocol.individual)
    return round(round((measured_hz + offset_hz) / RESOLUTION_HZ) * RESOLUTION_HZ, 9)


def _offset_hz(protocol: Protocol, planned: Individual) -> float:
    """How far from the planned peak the protocol was put on purpose, to the plan's grid."""
    steps = round((protocol.frequency_hz - planned.peak_hz) / RESOLUTION_HZ)
    return round(steps * RESOLUTION_HZ, 9)


def _verdict(
    estimate: PeakEstimate, protocol: Protocol, numbers: _Numbers, obstacles: list[str]
) -> tuple[Verdict, str]:
    """The verdict and its one line."""
    planned = f"{protocol.frequency_hz:g} Hz"
    if numbers.measured_hz is None or numbers.mismatch_hz is None or numbers.limit_hz is None:
        verdict: Verdict = "unusable" if estimate.status == "unusable" else "no_peak"
        head = "this recording is unusable" if verdict == "unusable" else "no peak now"
        reasons = _one_line("; ".join(estimate.reasons)) or "no reason stated"
        if protocol.individual is None:
            return verdict, f"{head} ({reasons}); the protocol's {planned} does not depend on it"
        return verdict, (
            f"{head} ({reasons}): record again, eyes closed and awake; do not fall back silently: "
            f"a frequency without a peak is planned with --frequency-hz and --fallback-note"
        )
    if protocol.individual is None:
        note = _one_line(protocol.fallback_note or "no individual peak")
        return "keep", (
            f"keep: the frequency does not follow the peak ({note}); the mismatch of "
            f"{numbers.mismatch_hz:+.2f} Hz is information only"
        )
    if obstacles:
        return "unusable", f"no answer: {obstacles[0]}"
    if is_split(estimate):
        both = " and ".join(f"{item.frequency_hz:.2f} Hz" for item in estimate.peaks)
        return "undecided", (
            f"undecided: the peak is split, {both}, and has no interval: look at the figure and "
            f"record longer, eyes closed and awake"
        )
    if numbers.interval_hz is None:
        return "undecided", "undecided: the estimate has no 95 % interval; measure with `tacs peak`"
    return _judge(estimate, numbers, numbers.mismatch_hz, numbers.interval_hz, numbers.limit_hz)


def _judge(
    estimate: PeakEstimate,
    numbers: _Numbers,
    mismatch_hz: float,
    interval_hz: tuple[float, float],
    limit_hz: float,
) -> tuple[Verdict, str]:
    """Interval against limit."""
    low_hz, high_hz = interval_hz
    told = (
        f"{numbers.played_hz:g} Hz is {mismatch_hz:+.2f} Hz from the peak now (95 % interval "
        f"{low_hz:+.2f} to {high_hz:+.2f} Hz)"
    )
    if -limit_hz <= low_hz and high_hz <= limit_hz:
        return "keep", f"keep: {told}, inside the limit of {limit_hz:.2f} Hz"
    if low_hz > limit_hz or high_hz < -limit_hz:
        return "retune", f"retune: {told}, outside the limit of {limit_hz:.2f} Hz"
    needed_s = _needed_s(mismatch_hz, interval_hz, limit_hz, estimate.seconds_used)
    if needed_s > LONGEST_RECORDING_S:
        cure = (
            f"no recording of {LONGEST_RECORDING_S / 60.0:g} min or less would decide: plan anew "
            f"from the better of the two recordings"
        )
    else:
        cure = (
            f"record about {needed_s:.0f} s of clean signal instead of "
            f"{estimate.seconds_used:.0f} s (an interval narrows with the square root of the time)"
        )
    return "undecided", f"undecided: {told}, across the limit of {limit_hz:.2f} Hz: {cure}"


def _needed_s(
    mismatch_hz: float, interval_hz: tuple[float, float], limit_hz: float, seconds: float
) -> float:
    """Signal after which the interval around the same mismatch is clear of the limit."""
    below_hz, above_hz = mismatch_hz - interval_hz[0], interval_hz[1] - mismatch_hz
    if abs(mismatch_hz) <= limit_hz:
        rooms = [(limit_hz - mismatch_hz, above_hz), (limit_hz + mismatch_hz, below_hz)]
    elif mismatch_hz > 0.0:
        rooms = [(mismatch_hz - limit_hz, below_hz)]
    else:
        rooms = [(-mismatch_hz - limit_hz, above_hz)]
    share = min((room / side for room, side in rooms if side > 0.0), default=0.0)
    if not share > 0.0 or not seconds > 0.0:
        return math.inf
    return math.ceil(seconds / share**2 / ROUND_RECORDING_S) * ROUND_RECORDING_S


def _obstacles(estimate: PeakEstimate, planned: Individual) -> list[str]:
    """Why this recording cannot be held against this protocol."""
    found = []
    if None not in (estimate.subject, planned.subject) and estimate.subject != planned.subject:
        found.append(
            f"the recording is of {estimate.subject} and the protocol is for {planned.subject}: a "
            f"peak belongs to a person (--subject {planned.subject} where the label is wrong)"
        )
    if planned.recording_sha256 == estimate.recording_sha256:
        found.append(
            "this is the recording that the protocol was planned from, so nothing was measured "
            "again: record anew before the session"
        )
    low_hz, high_hz = estimate.band_hz
    if not low_hz <= planned.peak_hz <= high_hz:
        found.append(
            f"the planned peak of {planned.peak_hz:.2f} Hz lies outside the band searched now, "
            f"{low_hz:g} to {high_hz:g} Hz: measure with the --band that it was found in"
        )
    if is_replication(estimate):
        found.append(
            "the estimate reproduces a publication and is for comparison only: run `tacs peak` "
            "without that method"
        )
    return found


def _warnings(estimate: PeakEstimate, protocol: Protocol) -> list[str]:
    """What to keep in mind about the comparison."""
    found = peak_doubts(estimate) if estimate.status == "found" else []
    current_ma = tongue_current_ma(protocol.montage)
    if current_ma > CHECKED_CURRENT_MA:
        found.append(
            f"the locking range at {current_ma:g} mA is extrapolated: the formula was compared "
            f"with a simulation up to {CHECKED_CURRENT_MA:g} mA only"
        )
    planned = protocol.individual
    if planned is None:
        return found
    if estimate.subject is None or planned.subject is None:
        found.append(
            "the recording or the protocol does not name its person: make sure that it is the same"
        )
    if estimate.method != planned.method:
        found.append(
            f"measured in another way than the planned peak: {_one_line(planned.method)!r} then, "
            f"{_one_line(estimate.method)!r} now"
        )
    offset_hz = _offset_hz(protocol, planned)
    if offset_hz:
        found.append(
            f"the protocol was put {offset_hz:+g} Hz from its peak; that is part of the mismatch"
        )
    return [*found, *_age_warnings(planned, estimate), _state_warning(planned, estimate)]


def _age_warnings(planned: Individual, estimate: PeakEstimate) -> list[str]:
    """Say so where the order or the distance in time of the two estimates is odd."""
    days = _days(planned, estimate)
    if days is None or 0.0 <= days <= LIMITS["peak_age_d"].default:
        return []
    if days < 0.0:
        return [
            f"this peak was estimated {-days:.1f} days before the planned one: give the newer "
            f"recording, or set the clocks right"
        ]
    return [
        f"the planned peak was estimated {days:.0f} days before this one, and without a site's own "
        f"limit a peak expires after {LIMITS['peak_age_d'].default:g} days: a session is refused"
    ]


def _state_warning(planned: Individual, estimate: PeakEstimate) -> str:
    """Name the states of the two recordings, as far as their names say."""
    then, now = (_TASK.search(name or "") for name in (planned.recording, estimate.recording))
    if then is None or now is None:
        return "nothing says that both recordings were made in the same state (eyes closed, awake)"
    if then[1] != now[1]:
        return f"the recordings differ in state: {then[1]} then, {now[1]} now"
    return f"by their names both recordings are {now[1]}: make sure that the person was awake"


def _days(planned: Individual | None, estimate: PeakEstimate) -> float | None:
    """Days from the planned peak's estimate to this one."""
    if planned is None:
        return None
    between = datetime.fromisoformat(estimate.measured_at) - datetime.fromisoformat(
        planned.measured_at
    )
    return between.total_seconds() / 86400.0


def _prediction(protocol: Protocol, limit_hz: float | None, width_hz: float | None) -> str:
    """The limit in words."""
    text = tongue_reason(protocol.montage)
    if limit_hz is None or width_hz is None:
        return text
    return f"{text}; with half of the rhythm's width of {width_hz:.2f} Hz: {limit_hz:.2f} Hz"


def _command(protocol: Protocol, estimate: PeakEstimate, peak_file: str | None) -> str:
    """The command that plans anew. The recipe of a blinded arm is not named."""
    words = ["tacs", "plan", "--peak", peak_file or "PEAK.json", "--recipe"]
    blinded = protocol.blinding is not None
    words.append("RECIPE" if blinded or protocol.recipe is None else protocol.recipe)
    person = protocol.individual.subject if protocol.individual is not None else None
    if person or estimate.subject:
        words += ["--subject", person or str(estimate.subject)]
    if protocol.blinding is not None:
        words += ["--blinding-label", protocol.blinding.label]
    return _one_line(shlex.join([*words, "--out", "PROTOCOL.toml"]))


def _one_line(text: str) -> str:
    """Text without line breaks."""
    return " ".join(text.split())
