"""Strict reading of a peak estimate that was saved as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from math import isfinite
from typing import Any

from analysis.errors import AnalysisError

_NUMBERS = (
    ("frequency_hz", True),
    ("center_of_gravity_hz", True),
    ("prominence_db", True),
    ("aperiodic_exponent", True),
    ("seconds_used", False),
)
_TEXTS = (
    ("subject", True),
    ("recording", True),
    ("recording_sha256", True),
    ("recorded_at", True),
    ("measured_at", False),
    ("method", False),
)
_LISTS = ("channels", "warnings", "reasons")
KEYS = frozenset(
    [name for name, _ in _NUMBERS]
    + [name for name, _ in _TEXTS]
    + [*_LISTS, "status", "ci95_hz", "n_channels_used"]
)


def parse(data: Mapping[str, Any]) -> dict[str, Any]:
    """Check a parsed peak file and return the fields of a PeakEstimate.

    Parameters
    ----------
    data : mapping
        Parsed JSON.

    Returns
    -------
    dict
        Field names and values.

    Raises
    ------
    AnalysisError
        On the first thing that is wrong, in one line.
    """
    if not isinstance(data, Mapping):
        raise AnalysisError("peak file: expected one JSON object; write it with `tacs peak --json`")
    unknown, missing = sorted(set(data) - KEYS), sorted(KEYS - set(data))
    if unknown or missing:
        what = f"unknown key {unknown[0]!r}" if unknown else f"key {missing[0]!r} is missing"
        raise AnalysisError(f"peak file: {what}; write it anew with `tacs peak --json`")
    out: dict[str, Any] = {}
    for name, optional in _NUMBERS:
        out[name] = _number(name, data[name], optional)
    for name, optional in _TEXTS:
        out[name] = _text(name, data[name], optional)
    for name in _LISTS:
        value = data[name]
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise _wrong(name, value, "a list of texts")
        out[name] = tuple(value)
    if data["status"] not in ("found", "no_peak", "unusable"):
        raise _wrong("status", data["status"], "found, no_peak or unusable")
    out["status"] = data["status"]
    count = data["n_channels_used"]
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise _wrong("n_channels_used", count, "a count")
    out["n_channels_used"] = count
    out["ci95_hz"] = _interval(data["ci95_hz"])
    for name in ("measured_at", "recorded_at"):
        _check_date(name, out[name])
    _check_consistent(out)
    return out


def _wrong(name: str, value: object, wanted: str) -> AnalysisError:
    """Error for one value."""
    return AnalysisError(f"peak file: {name} is {value!r}, must be {wanted}")


def _number(name: str, value: object, optional: bool) -> float | None:
    """Finite number, or null where allowed."""
    if value is None and optional:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise _wrong(name, value, "a finite number" + (" or null" if optional else ""))
    return float(value)


def _text(name: str, value: object, optional: bool) -> str | None:
    """Text, or null where allowed."""
    if value is None and optional:
        return None
    if not isinstance(value, str) or not value:
        raise _wrong(name, value, "a text" + (" or null" if optional else ""))
    return value


def _interval(value: object) -> tuple[float, float] | None:
    """Low and high end, or null."""
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise _wrong("ci95_hz", value, "two numbers [low, high] or null")
    low, high = (_number("ci95_hz", item, False) for item in value)
    if low is None or high is None or low > high:
        raise _wrong("ci95_hz", value, "two numbers [low, high] or null")
    return low, high


def _check_date(name: str, value: str | None) -> None:
    """Refuse a date that is not ISO 8601 with a time zone."""
    if value is None:
        return
    try:
        date = datetime.fromisoformat(value)
    except ValueError as exc:
        raise _wrong(name, value, "a date as in 2026-01-31T12:00:00+00:00") from exc
    if date.tzinfo is None:
        raise _wrong(name, value, "a date with its time zone, as in 2026-01-31T12:00:00+00:00")


def _check_consistent(out: dict[str, Any]) -> None:
    """Refuse a found peak without numbers, and numbers without a found peak."""
    numbers = ("frequency_hz", "ci95_hz", "center_of_gravity_hz", "prominence_db")
    for name in numbers:
        if (out[name] is not None) != (out["status"] == "found"):
            raise _wrong(name, out[name], f"consistent with status {out['status']!r}")
    if out["status"] == "found":
        low, high = out["ci95_hz"]
        if not 0.0 < low <= out["frequency_hz"] <= high:
            raise _wrong("frequency_hz", out["frequency_hz"], "inside its interval ci95_hz")
