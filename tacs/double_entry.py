"""Settings read back from a device's panel, twice: every value as it is shown, with its unit.

The two entries must agree with each other and with the protocol. A number is compared exactly, as
a decimal: a panel has a grid, so that two settings are the same or at least one step apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from tacs.by_hand import Setting, Sheet
from tacs.errors import InputError
from tacs.files import StrictModel
from tacs.safety import Breach

__all__ = ["Entry", "Reading", "ask_twice", "differences", "read_value"]

_VALUE = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*(.*)", re.DOTALL)
_COMMA = re.compile(r"\d,\d")
_UNITS = {
    "ma": "mA", "µa": "µA", "μa": "µA", "ua": "µA", "s": "s", "sec": "s", "min": "min",
    "deg": "deg", "°": "deg", "hz": "Hz",
}  # fmt: skip
_KINDS = {"peak": "peak", "p": "peak", "pp": "peak_to_peak", "p-p": "peak_to_peak",
          "peak-to-peak": "peak_to_peak"}  # fmt: skip
_SOURCE = "settings made by hand are read back twice"
_ORDER = ("first entry", "second entry")


class Entry(StrictModel):
    """What one person read off the panel.

    ``settings`` has one text for every setting of the sheet, as the display shows it.
    """

    by: str = Field(min_length=1, description="who read it off the panel")
    settings: Mapping[str, str] = Field(
        min_length=1, description="every setting as the panel shows it, with its unit"
    )

    @classmethod
    def load(cls, path: str | Path) -> Entry:
        """Read an entry from a TOML file.

        Raises
        ------
        FileProblems
            It is none.
        """
        return cls.from_toml(path)


class Reading(NamedTuple):
    """A typed value taken apart.

    Parameters
    ----------
    number : Fraction
        As typed.
    unit : str
        Spelled as the suite does; as typed where it knows none.
    kind : str
        ``peak`` or ``peak_to_peak`` where that was typed, else empty.
    """

    number: Fraction
    unit: str
    kind: str


def read_value(text: str) -> Reading:
    """Take ``"2.000 mA pp"`` apart.

    Raises
    ------
    ValueError
        It is no number with a unit; says why.
    """
    if _COMMA.search(text):
        raise ValueError("a comma may mean thousands or decimals: write a decimal point")
    match = _VALUE.fullmatch(text.strip())
    if match is None:
        raise ValueError("no number; write it as the display shows it, with its unit")
    words = match[2].split()
    if len(words) == 1:  # 2.000 mApp
        for spelling in ("p-p", "pp"):
            if words[0].lower().endswith(spelling) and len(words[0]) > len(spelling):
                words = [words[0][: -len(spelling)], spelling]
                break
    if not words:
        raise ValueError("its unit is missing")
    if len(words) > 2 or (len(words) == 2 and words[1].lower() not in _KINDS):
        raise ValueError(f"{match[2]!r} is no unit")
    kind = _KINDS[words[1].lower()] if len(words) == 2 else ""
    # mHz is not MHz, and ms is not Ms: what could be mistaken stays as it was typed.
    return Reading(Fraction(match[1]), _UNITS.get(words[0].lower(), words[0]), kind)


def differences(sheet: Sheet, entries: Sequence[Entry]) -> list[Breach]:
    """List everything in which the entries differ from the sheet, or from each other.

    Parameters
    ----------
    sheet : Sheet
        What the protocol asks for on this panel.
    entries : sequence of Entry
        Two are needed.

    Returns
    -------
    list of Breach
        Empty where both entries are what the protocol asks for.
    """
    if len(entries) != 2:
        return [
            _breach("", f"{len(entries)} entries", "two entries", "give --settings twice, or type "
                    "both at the terminal")
        ]  # fmt: skip
    found: list[Breach] = []
    for setting in sheet.settings:
        typed = [entry.settings.get(setting.key) for entry in entries]
        wrong = [_wrong(setting, text, sheet.amplitude_display) for text in typed]
        each = " the two entries differ;" if not _same(setting, *typed) else ""
        for order, entry, text, problem in zip(_ORDER, entries, typed, wrong, strict=True):
            if problem is not None:
                where = f"{order} ({entry.by});{each} {problem}".rstrip(" ;")
                found.append(_breach(setting.label, text or "missing", setting.text, where))
    known = {setting.key for setting in sheet.settings}
    for order, entry in zip(_ORDER, entries, strict=True):
        found += [
            _breach(key, text, "not a setting of this session", f"{order} ({entry.by})")
            for key, text in entry.settings.items()
            if key not in known
        ]
    return found


def _breach(what: str, value: str, allowed: str, where: str) -> Breach:
    return Breach(
        limit="hand_settings",
        value=value,
        allowed=allowed,
        unit="",
        source=_SOURCE,
        where=f"{what}, {where}" if what else where,
    )


def _wrong(setting: Setting, text: str | None, display: str) -> str | None:
    """What is wrong with one typed value; None where nothing is, empty where it just differs."""
    if text is None:
        return f"write {setting.key}"
    if setting.number is None:
        return None if _words(text) == _words(setting.text) else ""
    try:
        reading = read_value(text)
    except ValueError as exc:
        return str(exc)
    if reading.kind and setting.kind != "amplitude":
        return "only a current is peak or peak-to-peak"
    if reading.kind and reading.kind != display:
        other = display.replace("_", "-")
        return f"the panel's number is {other}; is that what its display says?"
    if reading.unit != setting.unit:
        return f"the panel shows {setting.unit}, not {reading.unit}"
    if reading.number == setting.number:
        return None
    if setting.kind == "amplitude" and reading.number == 2 * setting.number:
        return "TWICE the current; is peak-to-peak mixed up with peak?"
    if setting.kind == "amplitude" and 2 * reading.number == setting.number:
        return "half the current; is peak mixed up with peak-to-peak?"
    return ""


def _same(setting: Setting, first: str | None, second: str | None) -> bool:
    """Whether two typed values mean the same."""
    if first is None or second is None:
        return first is second
    if setting.number is None:
        return _words(first) == _words(second)
    try:
        one, two = read_value(first), read_value(second)
    except ValueError:
        return first.split() == second.split()
    return (one.number, one.unit) == (two.number, two.unit)


def _words(text: str) -> list[str]:
    """A word, or names of electrodes, whatever stands between them."""
    return [word.casefold() for word in re.split(r"[\s\-–/,]+", text) if word]


def ask_twice(
    sheet: Sheet, ask: Callable[[str], str], say: Callable[[str], None]
) -> tuple[Entry, Entry]:
    """Have two people type what the panel shows, each without the sheet and the other's values.

    Parameters
    ----------
    sheet : Sheet
        What is asked for; only the labels are shown.
    ask : callable
        Given a question, returns what was typed.
    say : callable
        Given a line for the person.

    Raises
    ------
    InputError
        Nobody said who reads.
    """
    found = []
    for who in ("the operator", "a second person (not the one who set it)"):
        say(f"now {who} reads the display of {sheet.device_name}, value by value, with its unit")
        by = ask("your name: ").strip()
        if not by:
            raise InputError("the settings need the name of whoever reads them; nothing was armed")
        settings = {s.key: ask(f"  {s.label}: ").strip() for s in sheet.settings}
        found.append(Entry.from_data({"by": by, "settings": settings}, f"entry of {by}"))
    return found[0], found[1]
