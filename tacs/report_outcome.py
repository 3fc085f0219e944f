"""Before against after in a report: power, connectivity, figures, and how far to trust them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tacs.analyses import protocol_info
from tacs.dataset import SessionPaths
from tacs.protocol import Protocol
from tacs.report_drawing import data_uri
from tacs.report_page import Picture
from tacs.report_peak import PeakSection, SignalFile
from tacs.report_words import interval, number, percent, signed_interval

if TYPE_CHECKING:
    from analysis.outcome import Outcome

OF_CONNECTIVITY = ("connectivity", "circle", "global_spectrum", "network")

__all__ = ["OutcomeSection", "PowerRow", "outcome_pictures", "outcome_section", "power_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerRow:
    """One way to measure band power."""

    what: str
    unit: str
    pre: float | None
    post: float | None
    percent: float | None
    db: float | None
    ci95_percent: Sequence[float] | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeSection:
    """Before against after in one task.

    Parameters
    ----------
    task : str
        BIDS task.
    data : mapping or None
        As ``tacs compare --json``; None where there is no comparison.
    power : tuple of PowerRow
        The table.
    pictures : mapping of str to Picture
        ``spectra``, ``topographies`` and ``connectivity``, those that could be drawn.
    stored : str
        One sentence on the comparison stored in the data set, where there is one.
    missing : tuple of str
        Why there is no comparison, or no figure.
    """

    task: str
    data: Mapping[str, Any] | None
    power: tuple[PowerRow, ...] = ()
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    stored: str = ""


def outcome_section(
    paths: SessionPaths,
    before: SignalFile | None,
    after: SignalFile | None,
    protocol: Protocol | None,
    peak: PeakSection,
    *,
    blinded: bool,
) -> OutcomeSection:
    """Compare the recordings of one task.

    Parameters
    ----------
    paths : SessionPaths
        Of the session.
    before, after : SignalFile or None
        The recordings.
    protocol : Protocol or None
        Gives the prediction, the region and the peak; None where it must not be used.
    peak : PeakSection
        Of the recording before; centres the band where the protocol names no peak.
    blinded : bool
        Whether the session is blinded.
    """
    from analysis.errors import AnalysisError
    from analysis.outcome import compare

    task = peak.task
    if before is None or after is None:
        return OutcomeSection(task=task, data=None, missing=(_one_sided(before, after),))
    pre, post = before.loaded, after.loaded
    if pre is None or post is None:
        texts = tuple(
            f"The recording from {word} cannot be read: {file.problem}."
            for word, file in (("before", before), ("after", after))
            if file.loaded is None
        )
        return OutcomeSection(task=task, data=None, missing=texts)
    info, peak_hz = None, None
    if protocol is not None:
        info = protocol_info(protocol)
        peak_hz = None if protocol.individual is None else protocol.individual.peak_hz
    if peak_hz is None and peak.estimate is not None:
        peak_hz = peak.estimate["frequency_hz"]
    if peak_hz is None:
        text = (
            "Before and after are not compared: there is no individual peak to centre the band on."
        )
        return OutcomeSection(task=task, data=None, missing=(text,))
    try:
        outcome = compare(pre, post, peak_hz=peak_hz, protocol_info=info)
    except AnalysisError as exc:
        text = f"Before and after cannot be compared: {exc}."
        return OutcomeSection(task=task, data=None, missing=(text,))
    data = outcome.to_dict()
    pictures, missing_figures = outcome_pictures(outcome, data)
    return OutcomeSection(
        task=task,
        data=data,
        power=power_rows(data),
        pictures=pictures,
        missing=missing_figures,
        # The stored one may rest on the protocol, and so tell the arm of a blinded session.
        stored="" if blinded else _stored(paths, data["power"]),
    )


def _stored(paths: SessionPaths, power: Mapping[str, Any]) -> str:
    """How the comparison stored in the data set stands to the one made here."""
    try:
        there = json.loads(paths.outcome.read_text("utf-8"))["power"]
        ln_ratio, changed = float(there["ln_ratio"]), float(there["percent"])
        band_hz = [float(edge) for edge in there["band_hz"]]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    if abs(ln_ratio - power["ln_ratio"]) < 1e-3:
        return f"The comparison stored in {paths.outcome.name} is the same."
    return (
        f"The comparison stored in {paths.outcome.name} says {percent(changed)} in "
        f"{interval(band_hz, 2, 'Hz')}: it was made with other settings, files or another version."
    )


def _one_sided(before: SignalFile | None, after: SignalFile | None) -> str:
    """One line where there is no pair."""
    if before is None and after is None:
        return "There is no recording of this session."
    side = "before" if before is None else "after"
    return f"There is no recording from {side} the session: no change can be reported."


def outcome_pictures(
    outcome: Outcome, data: Mapping[str, Any], *, all_of_them: bool = False
) -> tuple[dict[str, Picture], tuple[str, ...]]:
    """Draw the figures of a comparison; what cannot be drawn is said.

    Parameters
    ----------
    outcome : Outcome
        The comparison.
    data : mapping
        Its plain values.
    all_of_them : bool
        Also the course over time and the network; else spectra, head maps and connectivity.

    Returns
    -------
    pictures : dict of str to Picture
    missing : tuple of str
        A sentence for each that could not be drawn.
    """
    from analysis.errors import AnalysisError
    from analysis.figures_connectivity import plot_circle, plot_global_spectrum, plot_network_effect
    from analysis.figures_course import plot_time_course
    from analysis.figures_outcome import plot_connectivity, plot_spectra, plot_topographies

    power = data["power"]
    low, high = power["band_hz"]
    band = f"{number(low, 1)} to {number(high, 1, 'Hz')}"
    change = (
        f"{percent(power['percent'])}, 95 % interval "
        f"{signed_interval(power['ci95_percent'], 1, '%')}"
    )
    further = (
        (
            "time_course",
            plot_time_course,
            "Band power over the time after the session.",
            "Band power in bins after the session, as a ratio to the recording before.",
        ),
        (
            "circle",
            plot_circle,
            "Pairs of channels whose connectivity changed, on a circle.",
            "Pairs whose connectivity changed most at equal signal-to-noise ratio.",
        ),
        (
            "global_spectrum",
            plot_global_spectrum,
            "Mean connectivity over all pairs at every frequency, before and after.",
            "Mean connectivity over all pairs at every frequency.",
        ),
        (
            "network",
            plot_network_effect,
            "Change of each channel against its connectivity with the stimulated site before.",
            "Does the change follow the connectivity that the stimulated site had before?",
        ),
    )
    wanted = (
        (
            "spectra",
            plot_spectra,
            f"Power spectra before and after; band power {band} changed by {change}.",
            "Spectra before and after, mean over the channels of the region, with the band that is "
            "compared.",
        ),
        (
            "topographies",
            plot_topographies,
            f"Head maps of band power {band} before and after, and of the change.",
            "Band power over the head before and after, and the change in every channel. Channels "
            "are not corrected for their number.",
        ),
        (
            "connectivity",
            plot_connectivity,
            "Connectivity before and after beside the change of power.",
            "Connectivity before and after, beside the change of power in the same epochs.",
        ),
    )
    found, missing = {}, []
    for name, draw, alt, caption in (*wanted, *(further if all_of_them else ())):
        if name in OF_CONNECTIVITY and outcome.connectivity is None:
            continue  # the section gives the reason
        if (reason := _why_no(name, data)) is not None:
            missing.append(reason)
            continue
        try:
            figure = draw(outcome)
        except AnalysisError as exc:
            missing.append(f"The figure of the {name} cannot be drawn: {exc}.")
            continue
        # Head maps and matrices hold too many shapes to be drawn as vectors.
        src = data_uri(figure, dpi=None if name == "spectra" else 170)
        found[name] = Picture(src=src, alt=alt, caption=caption)
    return found, tuple(missing)


def _why_no(name: str, data: Mapping[str, Any]) -> str | None:
    """Why a figure would have nothing to show."""
    if name == "time_course" and not data["time_course"]["bins"]:
        reason = str(data["time_course"]["reason"])
        return f"{reason[:1].upper()}{reason[1:]}."
    if name == "network":
        reason = data["connectivity"]["network_effect"]["reason"]
        return None if reason is None else f"No network effect: {reason}."
    return None


def power_rows(data: Mapping[str, Any]) -> tuple[PowerRow, ...]:
    """Raw, relative, adjusted, and each about its own peak."""
    power = data["power"]
    low, high = data["preparation"]["total_hz"]
    raw = {**power, "pre": power["pre_uv2"], "post": power["post_uv2"], "reason": None}
    rows = (
        ("Raw band power (primary)", "µV²", raw),
        (f"Relative, share of {low:g} to {high:g} Hz power", "", power["relative"]),
        ("Over the aperiodic part", "µV²", power["adjusted"]),
        ("Each about its own peak", "µV²", power["recentred"]),
    )
    return tuple(
        PowerRow(
            what=what,
            unit=unit,
            pre=one["pre"],
            post=one["post"],
            percent=one["percent"],
            db=one["db"],
            ci95_percent=one["ci95_percent"],
            reason=one["reason"],
        )
        for what, unit, one in rows
    )
