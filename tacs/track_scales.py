"""The ratings of one person on every scale: response, remission and reliable change, side by side.

Each judgement is against the baseline, by the scale file's own rules, and stands beside what it
rests on: the three disagree often, and none of them says what caused a change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tacs.projection import Projection
from tacs.scales import Scale, load_scale

__all__ = ["RatingPoint", "ScaleCourse", "number_or_none", "scale_courses", "text_or_none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingPoint:
    """A rating, and what it is beside the baseline; judgements are None at and before it."""

    at: datetime
    session: str | None
    entry: str
    total: float | None
    prorated: bool
    band: str | None
    in_remission: bool | None
    rater_blinded: str
    percent_improvement: float | None = None
    response: str | None = None
    reliable: Mapping[str, Any] | None = None
    meaningful: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleCourse:
    """The ratings of one scale, with what the judgements rest on."""

    scale: str
    title: str
    baseline: RatingPoint | None
    baseline_is: str
    remission_maximum: int | None
    points: tuple[RatingPoint, ...]
    assumptions: tuple[str, ...]


def scale_courses(
    tables: Projection,
    subject: str,
    began: datetime | None,
    reliable: Mapping[str, tuple[float, float]],
) -> tuple[ScaleCourse, ...]:
    """Return the course of every scale that a person was rated on.

    Parameters
    ----------
    tables : Projection
        Of the data set.
    subject : str
        Whose.
    began : datetime or None
        First session; the baseline is the last rating before it, or else the first there is.
    reliable : mapping of str to (float, float)
        By scale: standard deviation and reliability in place of the scale file's.

    Raises
    ------
    InputError
        A scale is missing.
    analysis.errors.AnalysisError
        A standard deviation or a reliability out of range.
    """
    rows = [r for r in tables.rows("ratings", subject=subject) if r["corrected_by"] is None]
    found = []
    for name in sorted({str(row["scale"]) for row in rows}):
        scale = load_scale(name)
        points = [
            RatingPoint(
                at=datetime.fromisoformat(str(row["at_utc"])),
                session=text_or_none(row["session"]),
                entry=str(row["entry"]),
                total=number_or_none(row["total"]),
                prorated=row["prorated"] == 1,
                band=text_or_none(row["band"]),
                in_remission=None if row["in_remission"] is None else row["in_remission"] == 1,
                rater_blinded=str(row["rater_blinded"]),
            )
            for row in rows
            if row["scale"] == name
        ]
        points.sort(key=lambda p: (p.at, p.entry))
        found.append(_judged(scale, points, began, reliable.get(name)))
    return tuple(found)


def _judged(
    scale: Scale,
    points: Sequence[RatingPoint],
    began: datetime | None,
    own: tuple[float, float] | None,
) -> ScaleCourse:
    """The points of one scale beside its baseline."""
    whole = [p for p in points if p.total is not None]
    before = [p for p in whole if began is not None and p.at <= began]
    baseline = before[-1] if before else whole[0] if whole else None
    is_what = "none: no rating has a total"
    if baseline is not None:
        is_what = (
            "the last rating before the first session"
            if before
            else "the first rating; there is none before the first session"
            if began is not None
            else "the first rating; there is no session yet"
        )
    judged = tuple(
        _beside(scale, p, baseline, own)
        if baseline is not None and p.total is not None and p.at > baseline.at
        else p
        for p in points
    )
    return ScaleCourse(
        scale=scale.id,
        title=scale.title,
        baseline=baseline,
        baseline_is=is_what,
        remission_maximum=None if scale.remission is None else scale.remission.maximum,
        points=judged,
        assumptions=_assumptions(scale, own),
    )


def _beside(
    scale: Scale,
    point: RatingPoint,
    baseline: RatingPoint,
    own: tuple[float, float] | None,
) -> RatingPoint:
    """A rating with what it is beside the baseline."""
    from analysis.longitudinal import percent_improvement, reliable_change

    if point.total is None or baseline.total is None:
        return point
    percent = percent_improvement(baseline.total, point.total, float(scale.percent_floor))
    gain = baseline.total - point.total
    response = None
    rule = scale.response
    if rule is not None and rule.points is not None:
        response = "response" if gain >= rule.points else "no response"
    elif rule is not None and rule.percent is not None and percent is not None:
        partial = rule.partial_percent
        response = (
            "response"
            if percent >= rule.percent
            else "partial response"
            if partial is not None and percent >= partial
            else "no response"
        )
    change, inputs = None, scale.reliable_change
    if own is not None:
        change = reliable_change(baseline.total, point.total, sd=own[0], reliability=own[1])
    elif inputs is not None:
        change = reliable_change(
            baseline.total, point.total, sd=inputs.sd, reliability=inputs.reliability,
            threshold_points=inputs.points,
        )  # fmt: skip
    reached = [
        one.name
        for one in scale.meaningful
        if (one.points is not None and gain >= one.points)
        or (one.percent is not None and percent is not None and percent >= one.percent)
    ]
    return replace(
        point,
        percent_improvement=percent,
        response=response,
        reliable=None if change is None else change.to_dict(),
        meaningful=tuple(reached),
    )


def _assumptions(scale: Scale, own: tuple[float, float] | None) -> tuple[str, ...]:
    """What response, remission and reliable change rest on, one line each."""
    told = []
    rule = scale.response
    if rule is None:
        told.append("response: the scale file has no rule")
    else:
        floor = f" of the score minus {scale.percent_floor}" if scale.percent_floor else ""
        size = f"{rule.percent:g} %{floor}" if rule.percent else f"{rule.points:g} points"
        told.append(f"response: an improvement of {size} or more; {_origin(rule)}")
    remission = scale.remission
    if remission is None:
        told.append("remission: the scale file has no rule")
    elif remission.items:
        named = ", ".join(str(n) for n in remission.items)
        told.append(
            f"remission: items {named} at {remission.item_maximum} or less; {_origin(remission)}"
        )
    else:
        others = ", ".join(str(n) for n in remission.also_used)
        also = f" ({others} also in use)" if others else ""
        told.append(f"remission: {remission.maximum} or less{also}; {_origin(remission)}")
    change = scale.reliable_change
    if own is not None:
        told.append(f"reliable change: SD {own[0]:g}, reliability {own[1]:g}; given by the site")
    elif change is None:
        told.append("reliable change: no SD and reliability known; give --reliable SCALE=SD/R")
    elif change.points is not None:
        others = ", ".join(f"{n:g}" for n in change.also_used)
        also = f" ({others} also in use)" if others else ""
        told.append(f"reliable change: {change.points:g} points or more{also}; {_origin(change)}")
    else:
        told.append(
            f"reliable change: SD {change.sd:g}, reliability {change.reliability:g}; "
            f"{_origin(change)}"
        )
    told += [f"meaningful ({one.name}): {_origin(one)}" for one in scale.meaningful]
    return tuple(told)


def _origin(rule: Any) -> str:
    note = f"; {rule.note}" if rule.note else ""
    return f"{rule.source}{'' if rule.read_at_source else ' (not checked there)'}{note}"


def number_or_none(value: Any) -> float | None:
    """Return a cell as a number."""
    return None if value is None else float(value)


def text_or_none(value: Any) -> str | None:
    """Return a cell as a text."""
    return None if value is None else str(value)
