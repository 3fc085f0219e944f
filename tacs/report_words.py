"""How the report writes numbers, times and states."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

__all__ = [
    "FILTERS",
    "brief",
    "clock",
    "duration",
    "general",
    "interval",
    "joined",
    "number",
    "percent",
    "sentence",
    "signed",
    "signed_interval",
    "utc",
]

NONE = "–"
NARROW = "\u202f"  # between a number and its unit, so that they stay on one line

STATES: Mapping[str, str] = {
    "idle": "idle",
    "connected": "connected",
    "checked": "checked",
    "armed": "armed",
    "ramp_up": "ramp-up",
    "hold": "full current",
    "ramp_down": "ramp-down",
    "trains": "trains, with gaps at zero",
    "train_rise": "train, rising",
    "train_on": "train",
    "train_fall": "train, falling",
    "between_trains": "running, current off",
    "paused": "paused",
    "done": "done",
    "stopping": "stopping",
    "stopped": "stopped",
    "fault": "fault (latched)",
}

PLACES: Mapping[str, str] = {
    "ramp_up_s": "ramp-up",
    "ramp_down_s": "ramp-down",
    "duration_s": "session",
}

MATERIALS: Mapping[str, str] = {
    "conductive_rubber_paste": "conductive rubber, paste",
    "rubber_saline_sponge": "rubber in saline sponge",
    "ag_agcl_gel": "Ag/AgCl, gel",
    "hydrogel": "hydrogel",
    "other": "other",
}


def number(value: float | None, digits: int = 2, unit: str = "") -> str:
    """Write a number with a fixed count of digits after the point; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:.{digits}f}"
    if float(text) == 0.0:
        text = text.lstrip("-")
    return text.replace("-", "\u2212") + (f"{NARROW}{unit}" if unit else "")


def signed(value: float | None, digits: int = 2, unit: str = "") -> str:
    """Write a difference, always with its sign."""
    text = number(value, digits, unit)
    if value is None or text == NONE or text.startswith("\u2212") or round(value, digits) == 0.0:
        return text
    return f"+{text}"


def percent(value: float | None, digits: int = 1) -> str:
    """Write a change in percent, with its sign."""
    return signed(value, digits, "%")


def general(value: float | None, unit: str = "") -> str:
    """Write a number with up to four significant digits."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:.4g}".replace("-", "\u2212") + (f"{NARROW}{unit}" if unit else "")


def brief(value: float | None, unit: str = "") -> str:
    """Write a number with three significant digits, four from ten on; an open end as such."""
    if value is None or not math.isfinite(value):
        return "open"
    text = f"{value:.{4 if abs(value) >= 10.0 else 3}g}".replace("-", "\u2212")
    return text + (f"{NARROW}{unit}" if unit else "")


def sentence(text: str) -> str:
    """Begin with a capital letter, and leave the rest as it is."""
    return text[:1].upper() + text[1:]


def interval(pair: Sequence[float] | None, digits: int = 2, unit: str = "") -> str:
    """Write an interval."""
    if pair is None:
        return NONE
    low, high = (number(edge, digits) for edge in pair)
    return f"{low} to {high}" + (f"{NARROW}{unit}" if unit else "")


def signed_interval(pair: Sequence[float] | None, digits: int = 2, unit: str = "") -> str:
    """Write an interval of a difference, with its signs."""
    if pair is None:
        return NONE
    low, high = (signed(edge, digits) for edge in pair)
    return f"{low} to {high}" + (f"{NARROW}{unit}" if unit else "")


def recorded(when: str | None) -> str:
    """Write when a recording was made; the formats' own dates for "unknown" are no date."""
    if when is None or when.startswith(("1985-01-01T00:00:00", "1970-01-01T00:00:00")):
        return "not stated in the file"
    return utc(when)


def duration(seconds: float | None, digits: int = 0) -> str:
    """Write a time span in minutes and seconds."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    whole = round(abs(seconds), digits)
    minutes, rest = divmod(whole, 60.0)
    sign = "\u2212" if seconds < 0.0 and whole > 0.0 else ""
    parts = [f"{int(minutes)}{NARROW}min"] if minutes else []
    if rest or not parts:
        parts.append(f"{rest:.{digits}f}{NARROW}s")
    return sign + " ".join(parts)


def clock(seconds: float | None) -> str:
    """Write an instant of a session as minutes, seconds and tenths."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    tenths = round(abs(seconds) * 10.0)
    sign = "\u2212" if seconds < 0.0 and tenths else ""
    return f"{sign}{tenths // 600}:{tenths % 600 // 10:02d}.{tenths % 10}"


def utc(when: datetime | str | None) -> str:
    """Write an instant in coordinated universal time, to the second."""
    if when is None:
        return NONE
    if isinstance(when, str):
        try:
            return utc(datetime.fromisoformat(when))
        except ValueError:
            return when
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def joined(names: Sequence[str], last: str = "and") -> str:
    """Write a list of names as a sentence does."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"


def state(name: str) -> str:
    """Write a state."""
    return STATES.get(name, name)


def material(name: str) -> str:
    """Write an electrode's material."""
    return MATERIALS.get(name, name)


def place(where: str) -> str:
    """Write where a limit is held against: an electrode, or a field of the protocol."""
    return PLACES.get(where, where)


FILTERS: Mapping[str, Any] = {
    "number": number,
    "signed": signed,
    "percent": percent,
    "general": general,
    "brief": brief,
    "sentence": sentence,
    "interval": interval,
    "recorded": recorded,
    "signed_interval": signed_interval,
    "duration": duration,
    "clock": clock,
    "utc": utc,
    "joined": joined,
    "state": state,
    "material": material,
    "place": place,
}
