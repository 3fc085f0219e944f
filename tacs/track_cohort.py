"""Everybody of a data set on one scale: days from each person's own start, visits with windows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tacs.errors import InputError
from tacs.projection import Projection, project
from tacs.scales import Scale, load_scale

if TYPE_CHECKING:
    from analysis.longitudinal_cohort import Cohort
    from analysis.longitudinal_mixed import CohortModel

__all__ = ["CohortTrack", "cohort_words", "parse_visits", "plot_cohort", "track_cohort"]

BLUE, ORANGE, INK = "#0072B2", "#D55E00", "#333333"


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortTrack:
    """Everybody on one scale.

    Parameters
    ----------
    scale : Scale
        Which.
    days : tuple of float
        Planned days of the visits, from each person's start.
    lines : mapping of str to tuple of (float, float)
        By person, day and total of every rating.
    cohort : Cohort
        Numbers, means and who left.
    n_outside : int
        Ratings in no visit's window.
    model : CohortModel or None
        A mixed model over everybody's values.
    model_reason : str or None
        Why there is none.
    """

    scale: Scale
    days: tuple[float, ...]
    lines: Mapping[str, tuple[tuple[float, float], ...]]
    cohort: Cohort
    n_outside: int
    model: CohortModel | None = None
    model_reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of ``tacs track cohort``."""
        return {
            "scale": self.scale.id,
            "days": list(self.days),
            **self.cohort.to_dict(),
            "lines": {name: [list(p) for p in line] for name, line in self.lines.items()},
            "n_outside": self.n_outside,
            "model": None if self.model is None else self.model.to_dict(),
            "model_reason": self.model_reason,
        }


def parse_visits(text: str) -> tuple[float, ...]:
    """Take ``0,14,28`` apart: days, rising.

    Raises
    ------
    InputError
        Something else, or fewer than two.
    """
    try:
        days = tuple(float(part) for part in text.split(","))
    except ValueError:
        days = ()
    if len(days) < 2 or any(not -math.inf < a < b < math.inf for a, b in pairwise(days)):
        raise InputError(f"--visits {text[:40]!r}: give rising days, as in 0,14,28")
    return days


def track_cohort(dataset: str | Path, scale: str, days: Sequence[float]) -> CohortTrack:
    """Put everybody's ratings on one scale together.

    Parameters
    ----------
    dataset : path
        The data set.
    scale : str
        Which scale.
    days : sequence of float
        Visits in days from each person's first session, or first rating where there is none. A
        rating belongs to the nearest visit, as long as it lies within half the gap to the next;
        the nearest one counts. The first visit also takes earlier ratings, the latest of them, and
        later ones only where there is none.

    Raises
    ------
    InputError
        No such data set or scale, or nobody was rated on it.
    """
    chosen, tables = load_scale(scale), project(dataset)
    lines = _lines(tables, chosen)
    if not lines:
        raise InputError(f"{dataset}: nobody has a total on {scale}")
    from analysis.longitudinal_cohort import cohort_course

    values, outside = {}, 0
    for name, line in lines.items():
        values[name], left = _at_visits(line, days)
        outside += left
    if not any(v is not None for row in values.values() for v in row):
        raise InputError(f"--visits: no rating on {scale} lies in the window of a visit")
    names = [f"day {day:g}" for day in days]
    model, why = _model(values, days, names)
    return CohortTrack(
        scale=chosen,
        days=tuple(days),
        lines=lines,
        cohort=cohort_course(values, names),
        n_outside=outside,
        model=model,
        model_reason=why,
    )


def _model(
    values: Mapping[str, Sequence[float | None]], days: Sequence[float], names: Sequence[str]
) -> tuple[CohortModel | None, str | None]:
    """The mixed model, or why there is none: the means of those present stand by themselves."""
    from analysis.errors import AnalysisError
    from analysis.longitudinal_mixed import cohort_model

    try:
        return cohort_model(values, days, names), None
    except AnalysisError as exc:
        return None, str(exc)


def _lines(tables: Projection, scale: Scale) -> dict[str, tuple[tuple[float, float], ...]]:
    """Day and total of every rating, by person."""
    starts: dict[str, datetime] = {}
    for row in tables.rows("sessions"):
        if row["began_utc"] is not None and row["outcome"] != "refused":
            at, name = datetime.fromisoformat(str(row["began_utc"])), str(row["subject"])
            starts[name] = min(at, starts.get(name, at))
    rated: dict[str, list[tuple[datetime, float]]] = {}
    for row in tables.rows("ratings", scale=scale.id, corrected_by=None):
        if row["total"] is not None:
            at = datetime.fromisoformat(str(row["at_utc"]))
            rated.setdefault(str(row["subject"]), []).append((at, float(row["total"])))
    found = {}
    for name, points in sorted(rated.items()):
        zero = starts.get(name, min(at for at, _ in points))
        found[name] = tuple(
            ((at - zero).total_seconds() / 86400.0, total) for at, total in sorted(points)
        )
    return found


def _at_visits(
    line: Sequence[tuple[float, float]], days: Sequence[float]
) -> tuple[list[float | None], int]:
    """The total at every visit, and how many ratings belong to none."""
    best: list[tuple[tuple[bool, float], float] | None] = [None] * len(days)
    outside = 0
    for day, total in line:
        place = min(range(len(days)), key=lambda n, at=day: abs(days[n] - at))  # type: ignore[misc]
        gaps = [abs(days[n] - days[place]) for n in (place - 1, place + 1) if 0 <= n < len(days)]
        away = abs(day - days[place])
        early = place == 0 and day <= days[0]
        if not early and away > 0.5 * min(gaps):
            outside += 1
            continue
        # At the first visit a rating from before the first session comes before a later one.
        rank = (place == 0 and not early, away)
        before = best[place]
        if before is None or rank <= before[0]:
            best[place] = (rank, total)
    return [None if one is None else one[1] for one in best], outside


def cohort_words(found: CohortTrack) -> list[str]:
    """Return the lines of ``tacs track cohort``."""
    from analysis.longitudinal_mixed import ASSUMPTION

    lines = [f"{found.scale.title}: {found.cohort.n} persons", "  visit        n  left  mean"]
    for visit in found.cohort.visits:
        mean = "–" if visit.mean is None else f"{visit.mean:.1f}"
        interval = "" if visit.ci95 is None else f" ({visit.ci95[0]:.1f} to {visit.ci95[1]:.1f})"
        text = f"  {visit.name:<10} {visit.n:>3}  {visit.n_left:>4}  {mean}{interval}"
        if visit.change is not None:
            text += f"; change {visit.change:+.1f}"
            if visit.change_ci95 is not None:
                text += f" ({visit.change_ci95[0]:+.1f} to {visit.change_ci95[1]:+.1f})"
        lines.append(text)
    lines.append(found.cohort.caution)
    if found.model is None:
        lines.append(f"no mixed model: {found.model_reason}")
    else:
        slope = found.model.slope
        low, high = slope["ci95"]
        lines.append(
            f"mixed model: {slope['estimate']:+.2f} points a week ({low:+.2f} to {high:+.2f}), "
            f"{found.model.linear.n_subjects} persons, {found.model.linear.n_observations} values"
        )
        for one in found.model.visits:
            low, high = one["ci95"]
            lines.append(f"  {one['name']:<10} {one['mean']:.1f} ({low:.1f} to {high:.1f})")
        notes = [*found.model.linear.notes, *found.model.by_visit.notes]
        lines += [f"  {note}" for note in dict.fromkeys(notes)]
        lines.append(f"  {ASSUMPTION}")
    if found.n_outside:
        lines.append(f"{found.n_outside} ratings lie in no visit's window and are drawn only")
    return lines


def plot_cohort(found: CohortTrack) -> Any:
    """Plot everybody's line, the mean at each visit with its interval, and how many are there."""
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(8.0, 5.4), layout="constrained")
    axes, below = figure.subplots(2, sharex=True, height_ratios=(4.0, 1.0))
    for line in found.lines.values():
        axes.plot([d for d, _ in line], [v for _, v in line], color=INK, lw=0.7, alpha=0.3)
    known = [
        (day, visit)
        for day, visit in zip(found.days, found.cohort.visits, strict=True)
        if visit.mean is not None
    ]
    for day, visit in known:
        if visit.ci95 is not None:
            axes.plot([day] * 2, visit.ci95, color=BLUE, lw=2.5)
    axes.plot([day for day, _ in known], [v.mean for _, v in known], "o-", color=BLUE,
              label="mean of those present, 95 % interval")  # fmt: skip
    if found.model is not None:
        shift = 0.008 * (found.days[-1] - found.days[0])  # beside the mean of those present
        at = [visit["day"] + shift for visit in found.model.visits]
        for day, one in zip(at, found.model.visits, strict=True):
            axes.plot([day] * 2, one["ci95"], color=ORANGE, lw=1.5)
        axes.plot(at, [v["mean"] for v in found.model.visits], "D--", color=ORANGE, ms=5,
                  label="mixed model: everybody\n(missing at random)")  # fmt: skip
    axes.set_ylabel(f"{found.scale.id} (lower is better)")
    axes.set_ylim(bottom=min(0.0, float(found.scale.total_minimum)))
    axes.legend(frameon=False, fontsize=8)
    counts = [visit.n for visit in found.cohort.visits]
    below.plot(found.days, counts, "s-", color=INK, ms=4)
    for day, count in zip(found.days, counts, strict=True):
        below.annotate(str(count), (day, count), textcoords="offset points", xytext=(5, 3),
                       fontsize=8)  # fmt: skip
    below.set_ylim(0.0, 1.35 * max(counts))
    below.set_ylabel("present")
    below.set_xlabel("days from each person's first session")
    for one in (axes, below):
        one.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"{found.scale.title}, {found.cohort.n} persons. Research use only. Not a medical device.",
        fontsize=9,
    )
    return figure
