"""What a limit that is broken is told as, and a value beside its limit, broken or not."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tacs.limits import LIMITS, EffectiveLimits

__all__ = ["Breach", "Margin", "broken", "margin_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """One limit that was broken.

    Parameters
    ----------
    limit : str
        Name of the limit.
    value, allowed : float or str
        What was asked for and what is allowed.
    unit, source : str
        Of the limit.
    where : str
        Electrode, loop or field.
    """

    limit: str
    value: float | str
    allowed: float | str
    unit: str
    source: str
    where: str = ""

    def __str__(self) -> str:
        value, allowed = (
            f"{v:.4g}" if isinstance(v, float) else str(v) for v in (self.value, self.allowed)
        )
        if value == allowed:
            value, allowed = repr(self.value), repr(self.allowed)
        bound = ""
        if self.limit in LIMITS:
            bound = "at most " if LIMITS[self.limit].sense == "max" else "at least "
        where = f" ({self.where})" if self.where else ""
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.limit}{where}: {value}{unit}, allowed {bound}{allowed}{unit} [{self.source}]"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "limit": self.limit,
            "value": _json_number(self.value),
            "allowed": _json_number(self.allowed),
            "unit": self.unit,
            "source": self.source,
            "where": self.where,
            "message": str(self),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """One limit of a protocol with the value against it, whether broken or not."""

    limit: str
    value: float
    allowed: float
    unit: str
    source: str
    where: str

    @property
    def ok(self) -> bool:
        """Whether the limit is respected; NaN is not."""
        return LIMITS[self.limit].allows(self.value, self.allowed)

    @property
    def used(self) -> float:
        """Share of the limit that is used, 0 to 1 where respected."""
        sense = LIMITS[self.limit].sense
        top, bottom = (self.value, self.allowed) if sense == "max" else (self.allowed, self.value)
        return top / bottom if bottom else (0.0 if not top else math.inf)


def _json_number(value: float | str) -> float | str:
    return value if isinstance(value, str) or math.isfinite(value) else str(value)


def margin_of(limits: EffectiveLimits, name: str, value: float, where: str) -> Margin:
    """Hold a value against a limit.

    Parameters
    ----------
    limits : EffectiveLimits
        In force.
    name : str
        Of the limit.
    value : float
        In the limit's unit.
    where : str
        Electrode, loop or field.
    """
    return Margin(
        limit=name,
        value=value,
        allowed=limits[name],
        unit=LIMITS[name].unit,
        source=limits.source(name),
        where=where,
    )


def broken(all_margins: Iterable[Margin]) -> list[Breach]:
    """Return those that are broken, as breaches."""
    return [
        Breach(
            limit=m.limit,
            value=m.value,
            allowed=m.allowed,
            unit=m.unit,
            source=m.source,
            where=m.where,
        )
        for m in all_margins
        if not m.ok
    ]
