"""What the report of a peak says first: headline, banners, large numbers, next steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from analysis.figures_peak import is_split
from tacs.report_summary import Banner, KeyFigure
from tacs.report_words import interval, joined, number

if TYPE_CHECKING:
    from analysis.estimate import PeakEstimate

__all__ = ["banners", "key_figures", "next_steps", "title"]

RECORD_AGAIN = (
    "Record again with eyes closed, awake and at rest, two minutes or more, with good contact at "
    "the parietal and occipital electrodes."
)
NO_SUBSTITUTE = (
    "Put no other frequency in its place without saying so: a study's rule for people without a "
    "peak is given to `tacs plan` with `--frequency-hz` and `--fallback-note`, and the protocol "
    "and every report carry it."
)


def title(estimate: PeakEstimate) -> str:
    """Return the headline of the page."""
    if estimate.status == "unusable":
        return "This recording cannot be used"
    if estimate.frequency_hz is None:
        return "No individual peak"
    if is_split(estimate):
        return f"Split rhythm: {_both(estimate)}"
    text = f"Individual peak {number(estimate.frequency_hz, 2, 'Hz')}"
    return f"{text}, provisional" if estimate.provisional else text


def _both(estimate: PeakEstimate) -> str:
    """Frequencies of a split rhythm, the slower first."""
    return joined([number(hz, 2, "Hz") for hz in sorted(p.frequency_hz for p in estimate.peaks)])


def banners(estimate: PeakEstimate, against: Mapping[str, Any]) -> tuple[Banner, ...]:
    """Return what nobody must miss, the worst first.

    Parameters
    ----------
    estimate : PeakEstimate
        Whose.
    against : mapping
        How it stands to a planned frequency; may be empty.
    """
    found = []
    frequency = number(estimate.frequency_hz, 2, "Hz")
    if estimate.frequency_hz is None:
        unusable = estimate.status == "unusable"
        name = "Unusable recording" if unusable else "No individual peak"
        found.append(_banner("alarm" if unusable else "caution", name, _sentence(estimate.reasons)))
    if estimate.replication:
        text = (
            "This is the answer of a published method, for comparison only. It is no ground for a "
            "plan: planning refuses it."
        )
        found.append(_banner("alarm", "Not for a plan", text))
    if is_split(estimate):
        text = (
            f"Two peaks of about the same height share the rhythm, so there is no interval. A "
            f"recipe would use {frequency}, the higher of the two, and only once that is confirmed."
        )
        found.append(_banner("caution", "Two peaks", text))
    elif estimate.frequency_hz is not None and estimate.ci95_hz is None:
        text = "This estimate gives no interval, so how far off it may be is not known."
        found.append(_banner("caution", "No interval", text))
    if estimate.provisional:
        text = (
            f"Only {number(estimate.seconds_used, 0, 's')} of signal stand behind this answer: too "
            "little to rely on."
        )
        found.append(_banner("caution", "Provisional", text))
    if estimate.stability is not None and estimate.stability.stable is False:
        text = "The two halves of the recording have different peaks: one may fit neither."
        found.append(_banner("caution", "The peak moved", text))
    check = estimate.cross_check
    if check is not None and not check.agrees:
        theirs = "none" if check.frequency_hz is None else number(check.frequency_hz, 2, "Hz")
        text = f"Peak by {check.method}: {theirs}; by this estimate: {frequency}."
        found.append(_banner("caution", "A second method disagrees", text))
    if against.get("inside_tongue") is False or against.get("verdict") == "retune":
        text = str(against.get("advice") or "The peak lies too far from it.")
        found.append(_banner("caution", "The planned frequency does not fit", text))
    if not found:
        advice = (
            "Read the warnings below before planning with it"
            if estimate.warnings
            else "Nothing found in this recording speaks against planning with it"
        )
        text = (
            f"{frequency}, 95 % interval {interval(estimate.ci95_hz, 2, 'Hz')}. {advice}; "
            "planning checks it again."
        )
        found.append(_banner("good", "One peak", text))
    return tuple(found)


def _banner(kind: str, name: str, text: str) -> Banner:
    return Banner(kind=kind, title=name, text=text)


def _sentence(texts: Iterable[str]) -> str:
    """Reasons as one sentence."""
    text = "; ".join(texts) or "no reason is stated"
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."


def next_steps(estimate: PeakEstimate) -> tuple[str, ...]:
    """Return what to do where there is no answer to rely on, in order.

    Parameters
    ----------
    estimate : PeakEstimate
        Whose.
    """
    low, high = estimate.band_hz
    if estimate.status == "unusable":
        return (
            "Mend what the reasons name, if the recording allows it, and run `tacs peak` again.",
            RECORD_AGAIN,
            "Until then there is no individual frequency for this person.",
        )
    if estimate.frequency_hz is None:
        return (
            RECORD_AGAIN,
            f"If this person's rhythm is expected outside {low:g} to {high:g} Hz, look there with "
            "`--band`.",
            "Some people show no peak at rest: a second recording without one is an answer too.",
            NO_SUBSTITUTE,
        )
    steps = []
    if estimate.replication:
        steps.append("For a plan run `tacs peak` without the published method.")
    if is_split(estimate):
        steps += [
            "Look at the channels below: where the two peaks stand at different places on the "
            "head, choose the channels of the one that is meant with `--picks`.",
            "Record again for longer and see whether the same peak is the higher one.",
            f"To plan with {number(estimate.frequency_hz, 2, 'Hz')} all the same, confirm it to "
            "`tacs plan` with `--frequency-hz` and `--fallback-note`.",
        ]
    elif estimate.provisional or (estimate.stability and estimate.stability.stable is False):
        steps.append(f"{RECORD_AGAIN} Estimate and plan anew before a session.")
    return tuple(steps)


def key_figures(estimate: PeakEstimate) -> tuple[KeyFigure, ...]:
    """Return the four large numbers at the top.

    Parameters
    ----------
    estimate : PeakEstimate
        Whose.
    """
    if estimate.frequency_hz is None:
        return _figures_without_peak(estimate)
    split = is_split(estimate)
    low, high = estimate.band_hz
    note = "the higher of two" if split else f"of {low:g} to {high:g} Hz searched"
    value = number(estimate.frequency_hz, 2, "Hz")
    first = KeyFigure(label="Peak", value=value, note=note)
    if split:
        other = min(estimate.peaks, key=lambda peak: peak.relative_height)
        second = KeyFigure(
            label="Second peak",
            value=number(other.frequency_hz, 2, "Hz"),
            note=f"{number(100.0 * other.relative_height, 0, '%')} of the height; no interval",
        )
    else:
        pair = estimate.ci95_hz
        value, note = "–", "none given"
        if pair is not None:
            value = f"{number(pair[0], 2)}–{number(pair[1], 2, 'Hz')}"
            note = f"{number(pair[1] - pair[0], 2, 'Hz')} wide"
        second = KeyFigure(label="95 % interval", value=value, note=note)
    return (
        first,
        second,
        KeyFigure(
            label="Prominence",
            value=number(estimate.prominence_db, 1, "dB"),
            note="peak over its background",
        ),
        _eeg_used(estimate),
    )


def _eeg_used(estimate: PeakEstimate) -> KeyFigure:
    """How much signal the answer rests on."""
    count = estimate.n_channels_used
    return KeyFigure(
        label="EEG used",
        value=number(estimate.seconds_used, 0, "s"),
        note=f"{count} channel{'s' * (count != 1)}",
    )


def _figures_without_peak(estimate: PeakEstimate) -> tuple[KeyFigure, ...]:
    """What was searched, and in how much signal."""
    quality = estimate.quality or {}
    low, high = estimate.band_hz
    good = quality.get("good_channels")
    channels = KeyFigure(
        label="Good EEG channels",
        value="–" if good is None else str(len(good)),
        note="not stated" if good is None else f"{len(quality.get('bad_channels') or ())} left out",
    )
    if estimate.status == "unusable":
        usable, whole = quality.get("usable_s"), quality.get("duration_s")
        return (
            KeyFigure(label="Peak", value="unusable", note="reasons above"),
            KeyFigure(label="Length", value=number(whole, 0, "s"), note="of the recording"),
            KeyFigure(label="Usable", value=number(usable, 0, "s"), note="outside artefacts"),
            channels,
        )
    return (
        KeyFigure(label="Peak", value="none found", note="reasons above"),
        KeyFigure(label="Searched", value=f"{low:g}–{high:g} Hz", note="band of the rhythm"),
        _eeg_used(estimate),
        channels,
    )
