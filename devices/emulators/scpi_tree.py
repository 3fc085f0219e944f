"""The syntax of SCPI: headers in short and long form, channel suffixes, messages of several units.

References
----------
SCPI-1999 volume 1, chapter 6 (command tree), IEEE 488.2 chapter 7 (program messages). Error numbers
are those of SCPI-1999 volume 2, chapter 21.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, NoReturn

__all__ = ["ERRORS", "Command", "ScpiError", "Tree", "Unit", "number", "word"]

ERRORS = {
    0: "No error",
    -102: "Syntax error",
    -104: "Data type error",
    -108: "Parameter not allowed",
    -109: "Missing parameter",
    -113: "Undefined header",
    -114: "Header suffix out of range",
    -211: "Trigger ignored",
    -221: "Settings conflict",
    -222: "Data out of range",
    -224: "Illegal parameter value",
    -350: "Queue overflow",
}

UNITS = {
    "": 1.0, "V": 1.0, "VPP": 1.0, "MV": 1e-3, "MVPP": 1e-3, "HZ": 1.0, "KHZ": 1e3, "MHZ": 1e6,
    "UHZ": 1e-6, "DEG": 1.0, "OHM": 1.0, "KOHM": 1e3, "S": 1.0, "MS": 1e-3,
}  # fmt: skip

_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z]*)")


class ScpiError(Exception):
    """An error that goes into the instrument's queue."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(ERRORS[code])


class Unit(NamedTuple):
    """One command or query of a message: which, on which channel, with what."""

    header: str
    query: bool
    channel: int
    parameters: list[str]

    def only(self) -> str:
        """Return the one parameter."""
        if not self.parameters:
            raise ScpiError(-109)
        if len(self.parameters) > 1:
            raise ScpiError(-108)
        return self.parameters[0]


Handler = Callable[[Unit], str | None]


class Command(NamedTuple):
    """A row of the tree: ``[SOURce#:]VOLTage[:LEVel]``, brackets optional, capitals short."""

    header: str
    run: Handler
    queries: bool = True
    sets: bool = True


class Tree:
    """All commands of an instrument.

    Parameters
    ----------
    commands : iterable of Command
        Its rows.
    n_channels : int
        Largest channel suffix.
    """

    def __init__(self, commands: Iterable[Command], n_channels: int) -> None:
        self._rows = [(_pattern(command.header), command) for command in commands]
        self._n_channels = n_channels

    def units(self, message: str) -> Iterable[tuple[Command, Unit]]:
        """Take a message apart; a unit without a colon goes on where the one before it was.

        Raises
        ------
        ScpiError
            At the first unit that is none; what follows it is lost.
        """
        node = ""
        for text in _split(message, ";"):
            head, _, tail = text.strip().partition(" ")
            if not head:
                continue
            query = head.endswith("?")
            path = head.removesuffix("?")
            if path.startswith(":"):
                path = path[1:]
            elif not path.startswith("*") and node:
                path = f"{node}:{path}"
            command, channel = self._find(path, query)
            if not path.startswith("*"):
                node = path.rpartition(":")[0]
            parameters = [p.strip() for p in _split(tail, ",")] if tail.strip() else []
            yield command, Unit(command.header, query, channel, parameters)

    def _find(self, path: str, query: bool) -> tuple[Command, int]:
        for pattern, command in self._rows:
            found = pattern.fullmatch(path)
            if found and (command.queries if query else command.sets):
                suffix = next((g for g in found.groups() if g), "1")
                if not 1 <= int(suffix) <= self._n_channels:
                    raise ScpiError(-114)
                return command, int(suffix)
        raise ScpiError(-113)


def number(text: str, least: float, most: float) -> float:
    """Read a number with its unit, MIN or MAX, within limits.

    Raises
    ------
    ScpiError
        -104 where it is none, -222 where it is outside.
    """
    limit = _limit_word(text)
    if limit:
        return least if limit == "MIN" else most
    if text.upper() in ("INF", "INFINITY"):
        value = float("inf")
    else:
        found = _NUMBER.fullmatch(text)
        if not found or found[2].upper() not in UNITS:
            raise ScpiError(-104)
        value = float(found[1]) * UNITS[found[2].upper()]
    if not least <= value <= most:
        raise ScpiError(-222)
    return value


def word(text: str, *forms: str) -> str:
    """Read one of a few words in short or long form; return the short one.

    Raises
    ------
    ScpiError
        -224 where it is none of them.
    """
    for form in forms:
        if re.fullmatch(_mnemonic(form), text, re.IGNORECASE):
            return _short(form)
    _illegal()


def _limit_word(text: str) -> str:
    for form in ("MINimum", "MAXimum"):
        if re.fullmatch(_mnemonic(form), text, re.IGNORECASE):
            return _short(form)
    return ""


def _illegal() -> NoReturn:
    raise ScpiError(-224)


def _short(form: str) -> str:
    return "".join(c for c in form if not c.islower())


def _mnemonic(form: str) -> str:
    """Pattern of one word: its capitals, or all of it."""
    short = _short(form)
    return f"(?:{re.escape(form)}|{re.escape(short)})"


def _pattern(header: str) -> re.Pattern[str]:
    """Pattern of a header; ``#`` is a channel suffix, ``[…]`` may be left out."""
    if header.startswith("*"):
        return re.compile(re.escape(header), re.IGNORECASE)
    pattern = ""
    for part in re.findall(r"\[[^]]*\]|[^[]+", header):
        inner = part.strip("[]")
        words = "".join(
            ":" if piece == ":" else _mnemonic(piece.rstrip("#")) + ("(\\d*)" * piece.endswith("#"))
            for piece in re.findall(r":|[A-Za-z]+#?", inner)
        )
        pattern += f"(?:{words})?" if part.startswith("[") else words
    return re.compile(pattern, re.IGNORECASE)


def _split(text: str, mark: str) -> list[str]:
    """Split outside quotation marks."""
    parts, quoted = [""], False
    for character in text:
        quoted ^= character == '"'
        if character == mark and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts
