"""Faults to rehearse: ``NAME[@SECONDS][=VALUE]``, seconds since the start of playing.

``NAME@on`` holds from power-on, before anything plays. Each emulator has one table of faults: it
drives the emulator, the command line, its messages and the tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tacs.errors import InputError

__all__ = [
    "FROM_POWER_ON_S",
    "Fault",
    "FaultKind",
    "contact",
    "contact_and_kohm",
    "contact_and_part",
    "count",
    "duration",
    "nothing",
    "number",
    "one_of",
    "parse_faults",
    "permille",
    "positive",
]

FROM_POWER_ON_S = -math.inf

Bench = TypeVar("Bench", contravariant=True)
Reader = Callable[[str, Sequence[str]], Any]


@dataclass(frozen=True, slots=True)
class FaultKind(Generic[Bench]):
    """One row of an emulator's table of faults.

    Parameters
    ----------
    sentence : str
        What happens, for a person; names the value where there is one.
    effect : callable
        Given the emulated device, the value and the clock time.
    read : callable
        Given the value as written and the attached contacts; raises ValueError for a bad one.
    default : str or None
        Value where none is written; None asks for one.
    timed : bool
        Whether it strikes at a time; otherwise it holds from power-on.
    monitored : bool
        Whether it is one of the current monitor, which the rig must then have.
    """

    sentence: str
    effect: Callable[[Bench, Any, float], None]
    read: Reader
    default: str | None = None
    timed: bool = True
    monitored: bool = False


@dataclass(frozen=True, slots=True)
class Fault(Generic[Bench]):
    """A fault to come.

    Parameters
    ----------
    kind : FaultKind
        What it does.
    at_s : float
        Seconds since the start of playing; :data:`FROM_POWER_ON_S` before that.
    value : object
        As read.
    """

    kind: FaultKind[Bench]
    at_s: float
    value: Any


def parse_faults(
    texts: Sequence[str],
    kinds: Mapping[str, FaultKind[Bench]],
    contacts: Sequence[str],
    *,
    monitored: bool,
) -> list[Fault[Bench]]:
    """Read faults as they are written on a command line.

    Parameters
    ----------
    texts : sequence of str
        ``NAME[@SECONDS][=VALUE]``.
    kinds : mapping of str to FaultKind
        Those that the emulator knows.
    contacts : sequence of str
        Attached electrodes.
    monitored : bool
        Whether the rig has a current monitor.

    Returns
    -------
    list of Fault
        Ordered by time.

    Raises
    ------
    InputError
        An unknown name, a time or a value that is none, a missing or superfluous part, or a fault
        of a monitor that is not there.
    """
    found = []
    for text in texts:
        head, equals, value = text.partition("=")
        name, at, seconds = head.partition("@")
        kind = kinds.get(name)
        if kind is None:
            raise InputError(f"fault {text!r}: unknown; known: {', '.join(sorted(kinds))}")
        if at and not kind.timed:
            raise InputError(f"fault {text!r}: {name} holds from power-on and takes no time")
        if kind.monitored and not monitored:
            raise InputError(
                f"fault {text!r}: the rig has no current monitor; take one that has, such as "
                f"emulated-synthpal-monitored"
            )
        at_s = _time_s(text, seconds) if at else 0.0 if kind.timed else FROM_POWER_ON_S
        if not equals:
            if kind.default is None:
                raise InputError(f"fault {text!r}: write {name}=VALUE; {kind.sentence}")
            value = kind.default
        try:
            found.append(Fault(kind, at_s, kind.read(value, contacts)))
        except ValueError as exc:
            raise InputError(f"fault {text!r}: {exc}; {kind.sentence}") from exc
    return sorted(found, key=lambda fault: fault.at_s)


def _time_s(text: str, seconds: str) -> float:
    """Read the time of a fault."""
    if seconds == "on":
        return FROM_POWER_ON_S
    try:
        at_s = number(seconds, ())
    except ValueError:
        at_s = -1.0
    if at_s < 0.0:
        raise InputError(
            f"fault {text!r}: write the time as @SECONDS, 0 or more, or as @on for from power-on"
        )
    return at_s


def nothing(text: str, contacts: Sequence[str]) -> None:
    """Read the value of a fault that takes none."""
    if text:
        raise ValueError("it takes no value")


def number(text: str, contacts: Sequence[str]) -> float:
    """Read a finite number."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a finite number")
    return value


def count(text: str, contacts: Sequence[str]) -> int:
    """Read a whole number, 1 or more."""
    value = int(text)
    if value < 1:
        raise ValueError(f"{text!r} is not 1 or more")
    return value


def positive(text: str, contacts: Sequence[str]) -> float:
    """Read a finite number above 0."""
    value = number(text, contacts)
    if value <= 0.0:
        raise ValueError(f"{text!r} is not more than 0")
    return value


def duration(text: str, contacts: Sequence[str]) -> float:
    """Read a number of seconds, 0 or more."""
    value = number(text, contacts)
    if value < 0.0:
        raise ValueError(f"{text!r} s is negative")
    return value


def permille(text: str, contacts: Sequence[str]) -> int:
    """Read a whole number from 0 to 1000."""
    value = int(text)
    if not 0 <= value <= 1000:
        raise ValueError(f"{text!r} is not from 0 to 1000")
    return value


def contact(text: str, contacts: Sequence[str]) -> str:
    """Read the name of an attached electrode."""
    if text not in contacts:
        raise ValueError(f"{text!r} is not attached (attached: {', '.join(contacts)})")
    return text


def contact_and_kohm(text: str, contacts: Sequence[str]) -> tuple[str, float]:
    """Read ``NAME:KOHM``, or ``NAME:KOHM_PER_MIN``."""
    name, _, impedance = text.partition(":")
    impedance_kohm = number(impedance, contacts)
    if impedance_kohm <= 0.0:
        raise ValueError(f"{impedance!r} kΩ is not more than 0")
    return contact(name, contacts), impedance_kohm


def contact_and_part(text: str, contacts: Sequence[str]) -> tuple[str, float]:
    """Read ``NAME:PART``, a part from above 0 to 1."""
    name, _, share = text.partition(":")
    part = number(share, contacts)
    if not 0.0 < part <= 1.0:
        raise ValueError(f"{share!r} is not a part, more than 0 and at most 1")
    return contact(name, contacts), part


def one_of(*words: str) -> Reader:
    """Make a reader of one of a few words."""

    def read(text: str, contacts: Sequence[str]) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is neither {' nor '.join(words)}")
        return text

    return read
