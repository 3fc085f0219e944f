"""From answers to a score: total, subscales, missing items, band, alerts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tacs.errors import FileProblems
from tacs.scales import Scale

__all__ = ["Score", "score"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One rating, scored.

    Parameters
    ----------
    scale : str
        Id of the scale.
    items : mapping of int to int
        Answers by item number; missing ones are left out.
    total : float or None
        None where an item is missing and the scale has no rule for it.
    subscales : mapping of str to float or None
        By id, under the same rule: an item is prorated where the total is.
    missing : tuple of int
        Items without an answer.
    prorated : bool
        Whether the total rests on the mean of the answered items in place of a missing one.
    band : str or None
        Name of the range that the total lies in.
    alerts : mapping of int to int
        Suicidality items at or above their limit, with the answer.
    unanswered_alerts : tuple of int
        Suicidality items that were left out.
    in_remission : bool or None
        By the scale's own rule; None where it has none or the total is missing.
    """

    scale: str
    items: Mapping[int, int]
    total: float | None
    subscales: Mapping[str, float | None]
    missing: tuple[int, ...]
    prorated: bool
    band: str | None
    alerts: Mapping[int, int]
    unanswered_alerts: tuple[int, ...]
    in_remission: bool | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; item numbers are texts."""
        return {
            "scale": self.scale,
            "items": {str(number): value for number, value in self.items.items()},
            "total": self.total,
            "subscales": dict(self.subscales),
            "missing": list(self.missing),
            "prorated": self.prorated,
            "band": self.band,
            "alerts": {str(number): value for number, value in self.alerts.items()},
            "unanswered_alerts": list(self.unanswered_alerts),
            "in_remission": self.in_remission,
        }


def score(scale: Scale, answers: Mapping[int, Any], where: str = "") -> Score:
    """Score the answers to a scale.

    Parameters
    ----------
    scale : Scale
        The scale.
    answers : mapping of int to int
        By item number; an item that was not answered is left out.
    where : str
        Named in front of each problem.

    Raises
    ------
    FileProblems
        One line for each item that the scale does not have and each answer out of range; also
        where nothing was answered at all.
    """
    problems = []
    kept: dict[int, int] = {}
    for number, value in answers.items():
        item = scale.item(number)
        if item is None:
            problems.append(f"item {number}: {scale.id} has items 1 to {len(scale.items)}")
        elif type(value) is not int or not item.minimum <= value <= item.maximum:
            problems.append(
                f"item {number}: must be a whole number from {item.minimum} to {item.maximum}, "
                f"not {value!r}"
            )
        else:
            kept[number] = value
    if not answers:
        problems.append(f"no item of {scale.id} is answered")
    if problems:
        raise FileProblems(where or scale.id, problems)
    items = {number: kept[number] for number in scale.numbers if number in kept}
    missing = tuple(number for number in scale.numbers if number not in items)
    counts = not missing or (
        scale.missing.rule == "prorate" and len(missing) <= scale.missing.most_missing
    )
    total = _sum(items, scale.numbers) if counts else None
    flagged = {i.number: i.alert_at for i in scale.items if i.alert_at is not None}
    return Score(
        scale=scale.id,
        items=items,
        total=total,
        subscales={
            part.id: _sum(items, part.items) if counts else None for part in scale.subscales
        },
        missing=missing,
        prorated=bool(missing) and counts,
        band=None if total is None else scale.band(total),
        alerts={n: items[n] for n, limit in flagged.items() if n in items and items[n] >= limit},
        unanswered_alerts=tuple(n for n in flagged if n not in items),
        in_remission=_in_remission(scale, items, total),
    )


def _sum(items: Mapping[int, int], wanted: tuple[int, ...]) -> float | None:
    """Sum with the mean of what is answered in place of what is not; None with no answer."""
    given = [items[number] for number in wanted if number in items]
    if not given:
        return None
    return float(sum(given)) if len(given) == len(wanted) else sum(given) * len(wanted) / len(given)


def _in_remission(scale: Scale, items: Mapping[int, int], total: float | None) -> bool | None:
    rule = scale.remission
    if rule is None:
        return None
    if rule.items and rule.item_maximum is not None:
        if any(number not in items for number in rule.items):
            return None
        return all(items[number] <= rule.item_maximum for number in rule.items)
    if total is None or rule.maximum is None:
        return None
    return total <= rule.maximum
