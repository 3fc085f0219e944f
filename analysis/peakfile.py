"""Strict reading of a peak estimate that was saved as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
"""Keys that every peak file has."""
OPTIONAL_KEYS = frozenset(
    {
        *("band_hz", "provisional", "replication", "peaks", "channel_table", "stability"),
        *("aperiodic_knee_hz", "cross_check", "reactivity", "quality", "clean"),
    }
)
"""Keys that a file may lack; their fields then have their defaults."""
BESIDE = frozenset({"against", "live", "timing"})
"""Keys that `tacs peak` and `tacs watch` print beside the estimate; they are passed over."""
_SPLIT = 2  # entries of `peaks` where the peak is split
_SAME_HZ = 0.01  # two statements of one frequency


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
    _check_keys(data, KEYS, OPTIONAL_KEYS | BESIDE)
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
    out["ci95_hz"] = _interval("ci95_hz", data["ci95_hz"])
    out |= _optional(data)
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
    wanted = "a finite number" + (" or null" if optional else "")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(name, value, wanted)
    try:
        number = float(value)
    except OverflowError as exc:
        raise _wrong(name, "too large", wanted) from exc
    if not isfinite(number):
        raise _wrong(name, value, wanted)
    return number


def _text(name: str, value: object, optional: bool) -> str | None:
    """Text, or null where allowed."""
    if value is None and optional:
        return None
    if not isinstance(value, str) or not value:
        raise _wrong(name, value, "a text" + (" or null" if optional else ""))
    return value


def _interval(name: str, value: object) -> tuple[float, float] | None:
    """Low and high end, or null."""
    if value is None:
        return None
    return _pair(name, value, "two numbers [low, high] or null")


def _pair(name: str, value: object, wanted: str) -> tuple[float, float]:
    """Low and high end."""
    if not isinstance(value, list) or len(value) != 2:
        raise _wrong(name, value, wanted)
    low, high = (_real(name, item) for item in value)
    if low > high:
        raise _wrong(name, value, wanted)
    return low, high


def _band(name: str, value: object) -> tuple[float, float]:
    """Band of frequencies."""
    wanted = "two numbers [low, high] with 0 < low < high"
    low, high = _pair(name, value, wanted)
    if not 0.0 < low < high:
        raise _wrong(name, value, wanted)
    return low, high


def _real(name: str, value: object) -> float:
    """Finite number."""
    number = _number(name, value, False)
    if number is None:
        raise _wrong(name, value, "a finite number")
    return number


def _real_or_null(name: str, value: object) -> float | None:
    """Finite number or null."""
    return _number(name, value, True)


def _positive(name: str, value: object) -> float:
    """Finite number above zero."""
    number = _real(name, value)
    if not number > 0.0:
        raise _wrong(name, value, "a number above 0")
    return number


def _positive_or_null(name: str, value: object) -> float | None:
    """Finite number above zero, or null."""
    return None if value is None else _positive(name, value)


def _error_or_null(name: str, value: object) -> float | None:
    """Standard error, or null."""
    number = _number(name, value, True)
    if number is not None and not number >= 0.0:
        raise _wrong(name, value, "0 or more, or null")
    return number


def _label(name: str, value: object) -> str | None:
    """Text."""
    return _text(name, value, False)


def _flag(name: str, value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise _wrong(name, value, "true or false")
    return value


def _flag_or_null(name: str, value: object) -> bool | None:
    """True, false or null."""
    return None if value is None else _flag(name, value)


_Kinds = Mapping[str, Callable[[str, object], Any]]
_PEAK: _Kinds = {
    "frequency_hz": _positive,
    "prominence_db": _real,
    "relative_height": _positive,
    "width_hz": _positive,
}
_CHANNEL: _Kinds = {
    "channel": _label,
    "used": _flag,
    "prominence_db": _real,
    "frequency_hz": _positive_or_null,
    "sd_hz": _error_or_null,
}
_STABILITY: _Kinds = {
    "first_hz": _positive_or_null,
    "second_hz": _positive_or_null,
    "difference_hz": _real_or_null,
    "ci95_difference_hz": _interval,
    "drift_hz_per_min": _real_or_null,
    "stable": _flag_or_null,
}
_REACTIVITY: _Kinds = {
    "change_db": _real,
    "at_most": _flag,
    "difference_z": _real,
    "reactive": _flag,
}
_CROSS_CHECK: _Kinds = {"method": _label, "frequency_hz": _positive_or_null, "agrees": _flag}


def _optional(data: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that a file may lack; only those that it has."""
    from analysis.estimate import ChannelPeak, CrossCheck, Peak, Reactivity, Stability

    readers: _Kinds = {
        "band_hz": _band,
        "provisional": _flag,
        "replication": _flag,
        "peaks": lambda name, value: tuple(Peak(**row) for row in _rows(name, value, _PEAK)),
        "channel_table": lambda name, value: tuple(
            ChannelPeak(**row) for row in _rows(name, value, _CHANNEL)
        ),
        "stability": lambda name, value: (
            None if value is None else Stability(**_object(name, value, _STABILITY))
        ),
        "aperiodic_knee_hz": _positive_or_null,
        "cross_check": lambda name, value: (
            None if value is None else CrossCheck(**_object(name, value, _CROSS_CHECK))
        ),
        "reactivity": lambda name, value: (
            None if value is None else Reactivity(**_object(name, value, _REACTIVITY))
        ),
        "quality": _quality,
        "clean": _quality,
    }
    return {name: read(name, data[name]) for name, read in readers.items() if name in data}


def _rows(name: str, value: object, kinds: _Kinds) -> list[dict[str, Any]]:
    """List of objects with the same keys."""
    if not isinstance(value, list):
        raise _wrong(name, value, "a list of objects")
    return [_object(f"{name}[{i}]", item, kinds) for i, item in enumerate(value)]


def _object(name: str, value: object, kinds: _Kinds) -> dict[str, Any]:
    """Object with all of these keys and no other."""
    if not isinstance(value, Mapping):
        raise _wrong(name, value, "an object")
    _check_keys(value, frozenset(kinds), frozenset(), f" in {name}")
    return {key: read(f"{name}.{key}", value[key]) for key, read in kinds.items()}


def _quality(name: str, value: object) -> dict[str, Any] | None:
    """Any object of JSON values, or null."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise _wrong(name, value, "an object or null")
    return {key: _json(f"{name}.{key}", item) for key, item in _texts_only(name, value)}


def _json(name: str, value: object) -> Any:
    """Copy of a JSON value; refuses numbers that are not finite, and what JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _json(f"{name}.{key}", item) for key, item in _texts_only(name, value)}
    if isinstance(value, list):
        return [_json(f"{name}[{i}]", item) for i, item in enumerate(value)]
    if value is not None and not isinstance(value, bool | str):
        _real(name, value)
    return value


def _texts_only(name: str, value: Mapping[Any, object]) -> list[tuple[str, object]]:
    """Items of an object whose keys are texts, as JSON has them."""
    for key in value:
        if not isinstance(key, str):
            raise _wrong(name, key, "an object whose keys are texts")
    return list(value.items())


def _check_keys(
    data: Mapping[str, Any], needed: frozenset[str], optional: frozenset[str], where: str = ""
) -> None:
    """Refuse a key that is unknown or missing."""
    unknown = sorted((key for key in data if key not in needed | optional), key=str)
    missing = sorted(needed - set(data))
    if unknown or missing:
        what = f"unknown key {unknown[0]!r}" if unknown else f"key {missing[0]!r} is missing"
        raise AnalysisError(f"peak file: {what}{where}; write it anew with `tacs peak --json`")


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


def _check_consistent(out: Mapping[str, Any]) -> None:
    """Refuse a found peak without its numbers, and numbers without a found peak."""
    found, status = out["status"] == "found", out["status"]
    peaks, replication = out.get("peaks", ()), out.get("replication", False)
    if len(peaks) > _SPLIT:
        raise _wrong("peaks", f"{len(peaks)} of them", "the peak, or the two of a split peak")
    split = len(peaks) == _SPLIT
    may_lack = {
        "ci95_hz": split or replication,
        "center_of_gravity_hz": replication,
        "prominence_db": replication,
    }
    for name in ("frequency_hz", *may_lack):
        present = out[name] is not None
        if present != found and not (found and may_lack.get(name, False)):
            raise _wrong(name, out[name], f"consistent with status {status!r}")
    if peaks and not found:
        raise _wrong("peaks", f"{len(peaks)} of them", f"consistent with status {status!r}")
    if split:
        _check_split(out)
    if found and not out["frequency_hz"] > 0.0:
        raise _wrong("frequency_hz", out["frequency_hz"], "above 0")
    if out["ci95_hz"] is not None:
        low, high = out["ci95_hz"]
        if not 0.0 < low <= out["frequency_hz"] <= high:
            raise _wrong("frequency_hz", out["frequency_hz"], "inside its interval ci95_hz")


def _check_split(out: Mapping[str, Any]) -> None:
    """Refuse a split peak with an interval, or whose frequency is not that of the higher one."""
    first, second = out["peaks"]
    if out["ci95_hz"] is not None:
        raise _wrong("ci95_hz", list(out["ci95_hz"]), "null where the peak is split")
    if not first.relative_height >= second.relative_height:
        raise _wrong("peaks", "in rising order", "a list with the highest peak first")
    if not abs(first.frequency_hz - out["frequency_hz"]) <= _SAME_HZ:
        raise _wrong("frequency_hz", out["frequency_hz"], "that of peaks[0]")
