"""One response profile as one self-contained HTML page, with its numbers as JSON beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tacs.clock import utc_now
from tacs.files import write_text
from tacs.profile_methods import profile_methods
from tacs.profile_page_words import banners, ends, first_words, key_figures, title
from tacs.profile_tables import (
    after_rows,
    beside_rows,
    design_rows,
    exploratory_rows,
    provenance_rows,
    reliability_words,
)
from tacs.report_page import Picture, page_and_numbers, render, versions
from tacs.report_summary import Banner, KeyFigure

if TYPE_CHECKING:
    from analysis.profile_result import ResponseProfile

__all__ = ["profile_report"]

CAPTIONS: Mapping[str, tuple[str, str]] = {
    "curve": (
        "Squared phase locking less chance over the frequency of the drive.",
        "Squared phase locking less chance, with 95 % intervals. Line: fitted curve; shaded: 95 % "
        "interval of its centre; dotted: locking by chance; crosses: sham; diamonds: jittered.",
    ),
    "arnold": (
        "Locking region over the level of the drive.",
        "Locking region (shaded: 95 %); dots: what each frequency and level measured.",
    ),
    "echo": (
        "Pairwise phase consistency over the time after the drive's end.",
        "Echo after the drive's end; dashed: fitted decay.",
    ),
    "after": (
        "Change of band power after each frequency.",
        "Band power after against before, up to 60 s, with 95 % intervals.",
    ),
    "session": (
        "Change of band power over the minutes after the session.",
        "Band power after the session against before it, each bin with its own 95 % interval.",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilePage:
    """What the template shows."""

    title: str
    first_words: str
    banners: tuple[Banner, ...]
    figures: tuple[KeyFigure, ...]
    pictures: Mapping[str, Picture]
    beside: tuple[tuple[str, str], ...]
    after: tuple[tuple[str, str], ...]
    exploratory: tuple[tuple[str, str], ...]
    reliability: str
    design: tuple[tuple[str, str], ...]
    methods: str
    references: tuple[str, ...]
    provenance: tuple[tuple[str, str, str], ...]
    versions: tuple[tuple[str, str], ...]
    json_name: str
    written: datetime


def profile_report(
    profile: ResponseProfile, data: Mapping[str, Any], out: str | Path
) -> tuple[Path, Path]:
    """Write the report of a profile as one HTML file, and its numbers beside it.

    Parameters
    ----------
    profile : ResponseProfile
        For its figures.
    data : mapping
        Its numbers with subject, recording and hashes, as ``tacs profile analyze --json``.
    out : path
        File to write, ending in ``.html``; the JSON has the same name and ends in ``.json``.

    Returns
    -------
    (Path, Path)
        The page and the JSON.

    Raises
    ------
    InputError
        A file cannot be written, or the name does not end in ``.html``.
    """
    path, numbers = page_and_numbers(out)
    methods, references = profile_methods(data)
    page = ProfilePage(
        title=title(data),
        first_words=first_words(data),
        banners=banners(data),
        figures=key_figures(data),
        pictures=_pictures(profile, data),
        beside=beside_rows(data),
        after=after_rows(data),
        exploratory=exploratory_rows(data),
        reliability=reliability_words(data),
        design=design_rows(data),
        methods=methods,
        references=references,
        provenance=provenance_rows(data),
        versions=versions(),
        json_name=numbers.name,
        written=utc_now(),
    )
    write_text(path, render("profile.html.j2", {"page": page, "p": data}, {"ends": ends}))
    write_text(numbers, json.dumps(data, indent=1, allow_nan=False) + "\n")
    return path, numbers


def _pictures(profile: ResponseProfile, data: Mapping[str, Any]) -> dict[str, Picture]:
    """Every figure that the profile can fill."""
    from analysis.figures_profile_panels import plot_profile_panels
    from tacs.report_drawing import data_uri

    return {
        name: Picture(src=data_uri(figure), alt=CAPTIONS[name][0], caption=CAPTIONS[name][1])
        for name, figure in plot_profile_panels(profile, data["after_session"]).items()
    }
