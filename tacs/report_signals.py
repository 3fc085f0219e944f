"""The EEG parts of a report: the individual peak, and what changed from before to after."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tacs.analyses import protocol_info
from tacs.dataset import Recording, SessionPaths
from tacs.protocol import Individual, Protocol
from tacs.report_figures import data_uri
from tacs.report_trace import Picture
from tacs.report_words import interval, joined, number, percent, signed_interval

if TYPE_CHECKING:
    from analysis.io import Recording as Signals
    from analysis.outcome import Outcome

__all__ = ["OutcomeSection", "PeakSection", "PowerRow", "SignalFile", "signal_sections"]

SAME_PEAK_HZ = 0.05  # two estimates from one recording agree within this


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalFile:
    """One recording that was read, or the reason why it was not.

    ``quality`` is the summary written on import; empty where there is none.
    """

    recording: Recording
    sha256: str | None
    recorded_at: str | None
    problem: str | None
    quality: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakSection:
    """The peak of one recording before the session.

    Parameters
    ----------
    task : str
        BIDS task.
    estimate : mapping or None
        As ``tacs peak --json``; None where the recording could not be used.
    picture : Picture or None
        Its figure.
    problem : str or None
        Why there is no estimate.
    is_source : bool
        Whether the protocol's peak was measured in this very recording.
    agreement : str
        One sentence on the protocol's peak against this one; empty where there is none.
    """

    task: str
    estimate: Mapping[str, Any] | None
    picture: Picture | None
    problem: str | None
    is_source: bool = False
    agreement: str = ""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalSections:
    """Peaks, outcomes and files of a session; the main ones first."""

    peaks: tuple[PeakSection, ...]
    outcomes: tuple[OutcomeSection, ...]
    files: tuple[SignalFile, ...]


def signal_sections(
    paths: SessionPaths,
    recordings: Sequence[Recording],
    protocol: Protocol | None,
    *,
    blinded: bool,
) -> SignalSections:
    """Read the recordings of a session and analyse them.

    Parameters
    ----------
    paths : SessionPaths
        Of the session.
    recordings : sequence of Recording
        Of the session.
    protocol : Protocol or None
        As run; gives peak, predicted direction and region.
    blinded : bool
        Use nothing of the protocol: a prediction would tell the arm.

    Returns
    -------
    SignalSections
        Whatever cannot be read or used is said in the section it belongs to.
    """
    info = None if blinded else protocol
    individual = None if info is None else info.individual
    signals: dict[Path, Signals] = {}
    files = []
    for recording in recordings:
        file, found = _load(paths, recording)
        files.append(file)
        if found is not None:
            signals[recording.path] = found
    tasks = list(dict.fromkeys(recording.task for recording in recordings))
    peaks, outcomes = [], []
    for task in tasks:
        before, after = (
            next((f for f in files if (f.recording.task, f.recording.when) == (task, when)), None)
            for when in ("pre", "post")
        )
        peak = _peak(task, before, signals, individual)
        peaks.append(peak)
        outcomes.append(_outcome(paths, task, before, after, signals, info, peak, blinded=blinded))
    order = sorted(
        range(len(tasks)),
        key=lambda i: (not peaks[i].is_source, "closed" not in tasks[i].lower(), i),
    )
    return SignalSections(
        peaks=tuple(peaks[i] for i in order),
        outcomes=tuple(outcomes[i] for i in order),
        files=tuple(files),
    )


def _quality(paths: SessionPaths, recording: Recording) -> Mapping[str, Any]:
    """The quality summary of a recording; empty where there is none that can be read."""
    try:
        data = json.loads(paths.quality(recording.task, recording.when).read_text("utf-8"))
        return {
            "duration_s": float(data["duration_s"]),
            "usable_s": float(data["usable_s"]),
            "bad_channels": [str(name) for name in data["bad_channels"]],
            "remarks": [str(text) for text in [*data["reasons"], *data["warnings"]]],
            "source_sha256": str(data["source_sha256"]),
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _load(paths: SessionPaths, recording: Recording) -> tuple[SignalFile, Signals | None]:
    """Read a recording; what cannot be read is a file with a problem."""
    from analysis.errors import AnalysisError
    from analysis.io import load_recording

    sha256, recorded_at, problem, found = None, None, None, None
    try:
        found = load_recording(recording.path)
        sha256, recorded_at = found.sha256, found.recorded_at
    except AnalysisError as exc:
        # Where the data set lies on this computer is no part of the report.
        problem = str(exc).replace(f"{paths.dataset}/", "")
    file = SignalFile(
        recording=recording,
        sha256=sha256,
        recorded_at=recorded_at,
        problem=problem,
        quality=_quality(paths, recording),
    )
    return file, found


def _peak(
    task: str,
    before: SignalFile | None,
    signals: Mapping[Path, Signals],
    individual: Individual | None,
) -> PeakSection:
    from analysis.errors import AnalysisError
    from analysis.peak import find_peak

    if before is None:
        return _no_peak(task, "There is no recording from before the session.")
    if before.problem is not None:
        return _no_peak(task, f"The recording from before cannot be read: {before.problem}.")
    try:
        estimate = find_peak(signals[before.recording.path])
    except AnalysisError as exc:
        return _no_peak(task, f"The peak cannot be estimated: {exc}.")
    data = estimate.to_dict()
    # The protocol may name the clinic's own file, which the import copied with its names blanked.
    digests = {before.sha256, before.quality.get("source_sha256")}
    is_source = individual is not None and individual.recording_sha256 in digests
    picture = None
    if estimate.spectrum is not None:
        words = f"Spectrum before the session, {joined(estimate.channels)}: "
        if estimate.status == "found":
            words += (
                f"peak at {number(estimate.frequency_hz, 2, 'Hz')}, 95 % interval "
                f"{interval(estimate.ci95_hz, 2, 'Hz')}."
            )
        else:
            words += "no individual peak."
        picture = Picture(
            src=data_uri(estimate.plot(), dpi=170),
            alt=words,
            caption="Power spectrum before the session with the fitted background, the peak and "
            "its 95 % interval, and where on the head the peak stands out.",
        )
    return PeakSection(
        task=task,
        estimate=data,
        picture=picture,
        problem=None,
        is_source=is_source,
        agreement=_agreement(individual, data["frequency_hz"], is_source=is_source),
    )


def _no_peak(task: str, problem: str) -> PeakSection:
    return PeakSection(task=task, estimate=None, picture=None, problem=problem)


def _agreement(
    individual: Individual | None, frequency_hz: float | None, *, is_source: bool
) -> str:
    """How the protocol's peak stands to the one found here."""
    if individual is None:
        return ""
    theirs = number(individual.peak_hz, 2, "Hz")
    where = "in this recording" if is_source else f"in another recording ({individual.recording})"
    text = f"The protocol was planned from a peak of {theirs}, measured {where}."
    if frequency_hz is None:
        return f"{text} That peak is not found again here."
    apart_hz = abs(frequency_hz - individual.peak_hz)
    if not is_source:
        return f"{text} The peak found here is {number(apart_hz, 2, 'Hz')} from it."
    if apart_hz <= SAME_PEAK_HZ:
        return f"{text} Estimated again for this report, it is the same."
    return (
        f"{text} Estimated again for this report it is {number(frequency_hz, 2, 'Hz')}: "
        f"the protocol was planned with other settings or another version."
    )


def _outcome(
    paths: SessionPaths,
    task: str,
    before: SignalFile | None,
    after: SignalFile | None,
    signals: Mapping[Path, Signals],
    protocol: Protocol | None,
    peak: PeakSection,
    *,
    blinded: bool,
) -> OutcomeSection:
    from analysis.errors import AnalysisError
    from analysis.outcome import compare

    if missing := _one_sided(before, after):
        return OutcomeSection(task=task, data=None, missing=(missing,))
    pair = [f for f in (before, after) if f is not None]
    for file in pair:
        if file.problem is not None:
            words = {"pre": "before", "post": "after"}[file.recording.when]
            text = f"The recording from {words} cannot be read: {file.problem}."
            return OutcomeSection(task=task, data=None, missing=(text,))
    pre, post = (signals[file.recording.path].raw for file in pair)
    info, peak_hz = None, None
    if protocol is not None:
        info = protocol_info(protocol)
        peak_hz = None if protocol.individual is None else protocol.individual.peak_hz
    if peak_hz is None and peak.estimate is not None:
        peak_hz = peak.estimate["frequency_hz"]
    try:
        outcome = compare(pre, post, peak_hz=peak_hz, protocol_info=info)
    except AnalysisError as exc:
        text = f"Before and after cannot be compared: {exc}."
        return OutcomeSection(task=task, data=None, missing=(text,))
    data = outcome.to_dict()
    loaded = [
        (w, signals[f.recording.path]) for w, f in zip(("before", "after"), pair, strict=True)
    ]
    noticed = [f"recording {word}: {text}" for word, one in loaded for text in one.warnings]
    data["warnings"] = list(dict.fromkeys([*noticed, *data["warnings"]]))
    pictures, missing_figures = _pictures(outcome, data)
    return OutcomeSection(
        task=task,
        data=data,
        power=_power_rows(data["power"]),
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
    if after is None:
        return "There is no recording from after the session: no change can be reported."
    if before is None:
        return "There is no recording from before the session: no change can be reported."
    return ""


def _pictures(
    outcome: Outcome, data: Mapping[str, Any]
) -> tuple[dict[str, Picture], tuple[str, ...]]:
    """Spectra, topographies, connectivity; what cannot be drawn is said."""
    from analysis.errors import AnalysisError
    from analysis.figures_outcome import plot_connectivity, plot_spectra, plot_topographies

    power = data["power"]
    low, high = power["band_hz"]
    band = f"{number(low, 1)} to {number(high, 1, 'Hz')}"
    change = (
        f"{percent(power['percent'])}, 95 % interval "
        f"{signed_interval(power['ci95_percent'], 1, '%')}"
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
    for name, draw, alt, caption in wanted:
        if name == "connectivity" and outcome.connectivity is None:
            continue  # the section gives the reason
        try:
            figure = draw(outcome)
        except AnalysisError as exc:
            missing.append(f"The figure of the {name} cannot be drawn: {exc}.")
            continue
        # Head maps and matrices hold too many shapes to be drawn as vectors.
        src = data_uri(figure, dpi=None if name == "spectra" else 170)
        found[name] = Picture(src=src, alt=alt, caption=caption)
    return found, tuple(missing)


def _power_rows(power: Mapping[str, Any]) -> tuple[PowerRow, ...]:
    """Raw, relative, adjusted, and each about its own peak."""
    raw = {**power, "pre": power["pre_uv2"], "post": power["post_uv2"], "reason": None}
    rows = (
        ("Raw band power (primary)", "µV²", raw),
        ("Relative, share of 1–40 Hz power", "", power["relative"]),
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
