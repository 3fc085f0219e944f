"""One comparison as one self-contained HTML page, with its numbers as JSON beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tacs.clock import utc_now
from tacs.files import write_text
from tacs.outcome_doubts import Doubt, doubts
from tacs.outcome_methods import MethodSection, method_section
from tacs.outcome_page_words import banners, key_figures, title
from tacs.outcome_tables import measure_rows, preparation_rows
from tacs.report_outcome import PowerRow, outcome_pictures, power_rows
from tacs.report_page import Picture, page_and_numbers, render, versions
from tacs.report_summary import Banner, KeyFigure

if TYPE_CHECKING:
    from analysis.outcome import Outcome

__all__ = ["outcome_report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomePage:
    """What the template shows."""

    title: str
    banners: tuple[Banner, ...]
    figures: tuple[KeyFigure, ...]
    doubts: tuple[Doubt, ...]
    power: tuple[PowerRow, ...]
    measures: tuple[tuple[str, Mapping[str, Any]], ...]
    preparation: tuple[tuple[str, str], ...]
    pictures: Mapping[str, Picture]
    missing: tuple[str, ...]
    methods: MethodSection
    files: tuple[tuple[str, str], ...]
    json_name: str
    written: datetime


def outcome_report(
    outcome: Outcome,
    out: str | Path,
    *,
    before: str | Path,
    after: str | Path,
    protocol: str | Path | None = None,
) -> tuple[Path, Path]:
    """Write the report of a comparison as one HTML file, and its numbers beside it.

    Parameters
    ----------
    outcome : Outcome
        The comparison.
    out : path
        File to write, ending in ``.html``; the JSON has the same name and ends in ``.json``.
    before, after, protocol : path
        What was compared; named on the page.

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
    data = outcome.to_dict()
    pictures, missing = outcome_pictures(outcome, data, all_of_them=True)
    named = [("Before", str(before)), ("After", str(after))]
    if protocol is not None:
        named.append(("Protocol", str(protocol)))
    page = OutcomePage(
        title=title(data),
        banners=banners(data),
        figures=key_figures(data),
        doubts=doubts({**data, "protocol_known": protocol is not None}),
        power=power_rows(data),
        measures=measure_rows(data["connectivity"]),
        preparation=preparation_rows(data["preparation"]),
        pictures=pictures,
        missing=missing,
        methods=method_section(data, versions()),
        files=tuple(named),
        json_name=numbers.name,
        written=utc_now(),
    )
    write_text(path, render("outcome.html.j2", {"page": page, "o": data}))
    write_text(numbers, json.dumps(data, indent=2) + "\n")
    return path, numbers
