"""One peak estimate as one self-contained HTML page that a clinician can read and print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tacs.clock import utc_now
from tacs.files import write_text
from tacs.peak_tables import against_rows, clean_rows, finding_rows, key_numbers, quality_rows
from tacs.peak_words import banners, key_figures, next_steps, title
from tacs.report_page import Picture, render, versions
from tacs.report_summary import Banner, KeyFigure
from tacs.report_words import joined, recorded, utc

if TYPE_CHECKING:
    from analysis.estimate import ChannelPeak, PeakEstimate

__all__ = ["peak_report"]

PREDICTION = (
    "The locking range is that of a simple oscillator model with assumed constants: a hint, not a "
    "measurement."
)
ONE_COLUMN = 12  # channels that a table holds before it is set in two


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakPage:
    """What the template shows."""

    title: str
    whose: str
    file: str
    banners: tuple[Banner, ...]
    figures: tuple[KeyFigure, ...]
    next_steps: tuple[str, ...]
    numbers: tuple[tuple[str, str], ...]
    pictures: Mapping[str, Picture]
    no_spectrum: str
    no_map: str
    channel_rows: tuple[tuple[ChannelPeak, ...], ...]
    stability: str
    quality: tuple[tuple[str, str], ...]
    findings: tuple[Mapping[str, str], ...]
    bad_channels: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]
    clean: tuple[tuple[str, str], ...]
    against: tuple[tuple[str, str], ...]
    advice: str
    prediction: str
    provenance: tuple[tuple[str, str, bool], ...]
    versions: tuple[tuple[str, str], ...]
    written: datetime


def peak_report(
    estimate: PeakEstimate,
    out: str | Path,
    *,
    against: Mapping[str, Any] | None = None,
    clean: Mapping[str, Any] | None = None,
) -> Path:
    """Write the report of a peak estimate as one HTML file that needs nothing else.

    Parameters
    ----------
    estimate : PeakEstimate
        In any state; one read from a file has lost its spectrum, and the page says so.
    out : path
        File to write, whole or not at all.
    against : mapping, optional
        How the peak stands to a planned frequency, such as `Remeasurement.to_dict()`:
        ``planned_hz``, ``played_hz``, ``mismatch_hz``, ``ci95_mismatch_hz``,
        ``tongue_half_width_hz``, ``inside_tongue``, ``limit_hz``, ``new_frequency_hz``,
        ``advice``, ``prediction``; None or missing is not shown.
    clean : mapping, optional
        What was done to the recording before the estimate: names and counts.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    page = _page(estimate, against or {}, clean or {})
    path = Path(out)
    write_text(path, render("peak.html.j2", {"page": page, "e": estimate}))
    return path


def _page(estimate: PeakEstimate, against: Mapping[str, Any], clean: Mapping[str, Any]) -> PeakPage:
    """Gather the page."""
    from analysis.figures_peak import stability_words

    quality = estimate.quality or {}
    file = "" if estimate.recording is None else Path(estimate.recording).name
    pictures = _pictures(estimate)
    remarks = [*(quality.get("reasons") or ()), *(quality.get("warnings") or ())]
    findings = finding_rows(quality)
    shown = {*estimate.warnings, *estimate.reasons}
    shown |= {text for row in findings for text in (row["text"], f"{row['name']}: {row['text']}")}
    return PeakPage(
        title=title(estimate),
        whose=f"participant {estimate.subject}" if estimate.subject else file or "no name",
        file=file,
        banners=banners(estimate, against),
        figures=key_figures(estimate),
        next_steps=next_steps(estimate),
        numbers=key_numbers(estimate),
        pictures=pictures,
        no_spectrum=_why_no_spectrum(estimate),
        no_map=_why_no_map(estimate, pictures),
        channel_rows=_in_columns(estimate.channel_table),
        stability="" if estimate.stability is None else stability_words(estimate.stability),
        quality=quality_rows(quality),
        findings=findings,
        bad_channels=tuple(
            (str(name), str(why)) for name, why in dict(quality.get("bad_channels") or {}).items()
        ),
        remarks=tuple(dict.fromkeys(str(text) for text in remarks if text not in shown)),
        clean=clean_rows(clean),
        against=against_rows(against, estimate.frequency_hz),
        advice=str(against.get("advice") or ""),
        prediction=str(against.get("prediction") or PREDICTION),
        provenance=_provenance(estimate),
        versions=versions(),
        written=utc_now(),
    )


def _in_columns(table: Sequence[ChannelPeak]) -> tuple[tuple[ChannelPeak, ...], ...]:
    """Channels, those that stand out most first, in one or two columns."""
    rows = tuple(sorted(table, key=lambda row: -row.prominence_db))
    if len(rows) <= ONE_COLUMN:
        return (rows,) if rows else ()
    half = (len(rows) + 1) // 2
    return rows[:half], rows[half:]


def _pictures(estimate: PeakEstimate) -> dict[str, Picture]:
    """Every figure that the estimate can fill."""
    from analysis.figures import plot_peak_panels
    from analysis.figures_peak import headline, stability_words
    from tacs.report_drawing import data_uri

    channels = joined(estimate.channels) or "no channel"
    halves = "" if estimate.stability is None else stability_words(estimate.stability)
    names = [row.channel for row in estimate.channel_table if row.used]
    words = {
        "spectrum": (
            f"Power spectrum, mean of {channels}. {headline(estimate)}.",
            "Power spectrum of the channels used, each relative to its own mean, with the fit and "
            "its background; dotted, the 1/f background with the exponent given. Frequencies are "
            "on a logarithmic scale.",
        ),
        "channels": (
            f"Peak and prominence of every channel; used: {joined(names) or 'none'}.",
            "Left, each channel's own peak with its standard error, where known. Right, how far "
            "the rhythm stands over the channel's own background.",
        ),
        "topography": (
            "Map of the head: where the rhythm stands out.",
            "Where the rhythm stands out. No colour where no electrode measured.",
        ),
        "halves": (
            f"Power spectra of the first and of the second half of the recording. {halves}",
            "The same spectrum from the first and from the second half of the recording.",
        ),
    }
    return {
        name: Picture(
            src=data_uri(figure),
            alt=words[name][0].strip(),
            caption=words[name][1],
        )
        for name, figure in plot_peak_panels(estimate).items()
    }


def _why_no_spectrum(estimate: PeakEstimate) -> str:
    """Why there is no figure of the spectrum."""
    if estimate.status == "unusable":
        return "No spectrum: the recording cannot be used."
    return "No spectrum: this estimate was read from a file, which holds the numbers alone."


def _why_no_map(estimate: PeakEstimate, pictures: Mapping[str, Picture]) -> str:
    """Why there is no scalp map."""
    if "topography" in pictures:
        return ""
    if estimate.frequency_hz is None:
        return "No map of the head: there is no peak to map."
    if estimate.spectrum is None:
        return "No map of the head: the estimate was read from a file."
    return "No map of the head: fewer than four electrodes have a known position."


def _provenance(estimate: PeakEstimate) -> tuple[tuple[str, str, bool], ...]:
    """Where the numbers come from; True marks what is set as code."""
    return (
        ("Recording", estimate.recording or "not from a file", True),
        ("Hash (sha256)", estimate.recording_sha256 or "none", True),
        ("Recorded", recorded(estimate.recorded_at), False),
        ("Estimated", utc(estimate.measured_at), False),
        ("Method", estimate.method, False),
    )
