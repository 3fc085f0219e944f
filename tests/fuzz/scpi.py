"""The answers of SCPI instruments: what comes out was said, and was of the kind that was due."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from devices.scpi_link import (
    ScpiLink,
    parse_error,
    parse_identification,
    parse_number,
    parse_switch,
    parse_word,
)
from tacs.errors import DeviceError
from tests.fuzz.targets import Accepted, Canned, Target

PARSERS: tuple[Callable[[str], Any], ...] = (
    parse_number, parse_switch, parse_word, parse_error, parse_identification,
)  # fmt: skip
NUMBER = re.compile(r"[+-]?[0-9]*\.?[0-9]*([eE][+-]?[0-9]+)?|(?i:inf(inity)?)")


def seeds() -> list[bytes]:
    """The number of a parser, and what it is given."""
    said = (
        (0, "1.000000E-01"), (0, "+9.90000000E+37"), (0, "INFINITY"), (0, "152"), (1, "ON"),
        (1, "0"), (2, "CENTER"), (3, '-113,"Undefined header"'), (3, '+0,"No error"'),
        (4, "Rigol Technologies,DG1062Z,DG1ZA000000000,00.01.14"),
    )  # fmt: skip
    return [bytes([kind]) + f"{text}\n".encode() for kind, text in said]


def answer(content: bytes) -> None:
    """One query, whatever comes back."""
    if not content:
        return
    parse, said = PARSERS[content[0] % len(PARSERS)], content[1:]
    value = ScpiLink(Canned([said])).ask("X?", parse)
    line = said.partition(b"\n")[0]
    if b"\n" not in said or not line.isascii():
        raise Accepted(f"{said!r} is no line, and {value!r} came of it")
    text = line.decode("ascii").strip()
    if parse is parse_number and not (NUMBER.fullmatch(text) and value == value):
        raise Accepted(f"{text!r} counts as the number {value}")
    if parse is parse_switch and value is not (text.upper() in ("ON", "1")):
        raise Accepted(f"{text!r} counts as {value}")
    if parse is parse_error and not text.lstrip("+").startswith(str(value.code)[:1]):
        raise Accepted(f"{text!r} counts as error {value.code}")
    if parse is parse_identification and value.model not in text:
        raise Accepted(f"{text!r} counts as {value.model}")


TARGET = Target("scpi answers", answer, seeds, (DeviceError,), (b"\n", b'"', b",", b"E+37", b"inf"))
