"""Lines of the stimjimAWG serial protocol: what a reply is, and the line of a sine train.

A reply is told by its first token: ``ERR``, ``WARN``, ``OK``, ``#``, a command word, or text for a
person. Numbers stay integers in the device's own units: microseconds, microampere zero-to-peak,
millihertz, thousandths of a degree.

References
----------
tncslab, stimjimAWG serial protocol reference, protocol 1, ``docs/serial-protocol.md`` of
github.com/tncslab/stimjim (commit 48322de), sections 1 to 4.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = [
    "CURRENT_MODE",
    "NOT_DRIVEN",
    "EngineState",
    "Kind",
    "Line",
    "Measurement",
    "Reading",
    "SineTrain",
    "milli",
    "milli_text",
]

LINE_MAX: Final = 999  # bytes of a line, its end left out
CURRENT_MODE: Final = 1
NOT_DRIVEN: Final = 3  # grounded, and left alone by a train
ASYNCHRONOUS: Final = ("MDATA", "MSUM")
TOLD: Final = ("Train #", "Note:", "Forcing ")
U32: Final = 2**32 - 1

_WORD = re.compile(r"[A-Z]+(?=[0-9,?-]|$)")
_MILLI = re.compile(r"([+-]?)([0-9]{1,10})(?:\.([0-9]{1,3})0*)?")
_WHOLE = re.compile(r"-?[0-9]{1,10}")


class Kind(enum.Enum):
    """What the first token says of a line."""

    ERROR = "ERR"
    WARNING = "WARN"
    OK = "OK"
    COMMENT = "#"
    DATA = "command word"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Line:
    """One line from the device.

    Parameters
    ----------
    text : str
        Without its end.
    kind : Kind
        Class.
    word : str
        Command word of data; of an error or a warning, whom it is about. May be empty.
    """

    text: str
    kind: Kind
    word: str

    @classmethod
    def of(cls, text: str) -> Line:
        """Tell what a line is."""
        token, _, rest = text.partition(" ")
        if token in ("ERR", "WARN"):
            about = rest.partition(":")[0]
            return cls(text, Kind(token), about if about.isalnum() else "")
        if text == "OK":
            return cls(text, Kind.OK, "")
        if text.startswith("#"):
            return cls(text, Kind.COMMENT, "")
        if found := _WORD.match(text):
            return cls(text, Kind.DATA, found.group())
        return cls(text, Kind.TEXT, "")

    @property
    def unasked(self) -> bool:
        """Whether the device may say it at any time, whatever it was asked."""
        if self.kind is Kind.COMMENT or not self.text:
            return True
        if self.kind is Kind.WARNING:
            return self.word in ("engine", "MEAS")
        return self.word in ASYNCHRONOUS or self.text.startswith(TOLD)


class EngineState(NamedTuple):
    """One engine as ``STAT`` reports it; an idle one has slot -1 and zeros."""

    slot: int
    n_bursts: int
    elapsed_us: int
    duration_us: int

    @classmethod
    def both(cls, text: str) -> tuple[EngineState, EngineState]:
        """Read a reply to ``STAT``.

        Raises
        ------
        ValueError
            Other fields than eight whole numbers, or numbers that cannot be.
        """
        fields = _fields(text, "STAT", 8)
        values = [_whole(field) for field in fields]
        first, second = cls(*values[:4]), cls(*values[4:])
        for engine in (first, second):
            if not (-1 <= engine.slot <= 99 and all(0 <= v <= U32 for v in engine[1:])):
                raise ValueError(f"no state of an engine: {engine}")
        return first, second


class Measurement(NamedTuple):
    """What was measured at one point of a running train (``MDATA``), or over it (``MSUM``).

    Volts are in millivolts, currents in microampere; None where nothing was measured.
    """

    slot: int
    point: int
    voltages_mv: tuple[float | None, float | None]
    currents_ua: tuple[float | None, float | None]

    @classmethod
    def parse(cls, text: str) -> Measurement:
        """Read an ``MDATA`` or ``MSUM`` line.

        Raises
        ------
        ValueError
            Another number of fields, or fields that are no numbers.
        """
        if text.startswith("MDATA"):
            slot, n, point, v0, i0, v1, i1 = _fields(text, "MDATA", 7)
        else:
            slot, n, point, v0, _, i0, _, v1, _, i1, _ = _fields(text, "MSUM", 11)
        _whole(n)
        return cls(
            _whole(slot),
            _whole(point),
            (_measured(v0), _measured(v1)),
            (_measured(i0), _measured(i1)),
        )


class Reading(NamedTuple):
    """What ``READ`` measured at rest: means and standard deviations, mV and µA."""

    voltage_mv: float
    voltage_sd_mv: float
    current_ua: float
    current_sd_ua: float

    @classmethod
    def parse(cls, text: str) -> Reading:
        """Read a reply to ``READ``.

        Raises
        ------
        ValueError
            Another number of fields, or fields that are no numbers.
        """
        channel, n, *measured = _fields(text, "READ", 6)
        if _whole(channel) not in (0, 1) or _whole(n) < 1:
            raise ValueError("no reading of a channel")
        values = [_measured(field) for field in measured]
        found = [value for value in values if value is not None]
        if len(found) != 4:
            raise ValueError("a field is empty")
        return cls(*found)


class SineTrain(NamedTuple):
    """A sine train as its line states it, field by field."""

    slot: int
    mode0: int
    mode1: int
    period_us: int
    duration_us: int
    delay_us: int
    amplitude0_ua: int
    amplitude1_ua: int
    burst_us: int
    frequency0_mhz: int
    frequency1_mhz: int
    frequency_reserved: int
    phase0_mdeg: int
    phase1_mdeg: int
    phase_reserved: int
    ramp_in_us: int
    ramp_out_us: int
    shape: int

    @property
    def line(self) -> str:
        """The canonical line, as the device echoes it: without a delay where there is none."""
        delay = f",{self.delay_us}" if self.delay_us else ""
        return (
            f"W{self.slot},{self.mode0},{self.mode1},{self.period_us},{self.duration_us}{delay};"
            f"{self.amplitude0_ua},{self.amplitude1_ua},{self.burst_us};"
            f"{milli_text(self.frequency0_mhz)},{milli_text(self.frequency1_mhz)},"
            f"{self.frequency_reserved};"
            f"{milli_text(self.phase0_mdeg)},{milli_text(self.phase1_mdeg)},{self.phase_reserved};"
            f"{self.ramp_in_us},{self.ramp_out_us},{self.shape}"
        )

    @classmethod
    def parse(cls, text: str) -> SineTrain:
        """Read the line of a sine train; nothing may follow its last field.

        Raises
        ------
        ValueError
            Not such a line.
        """
        if not text.startswith("W"):
            raise ValueError("no line of a sine train")
        head, *rest = [part.split(",") for part in text[1:].split(";")]
        if len(head) not in (5, 6) or [len(part) for part in rest] != [3, 3, 3, 3]:
            raise ValueError("other fields than those of a sine train")
        head += ["0"] * (6 - len(head))
        amplitudes, frequencies, phases, envelope = rest
        values = [
            *(_whole(field) for field in head + amplitudes),
            *(milli(field) for field in frequencies[:2]),
            _whole(frequencies[2]),
            *(milli(field) for field in phases[:2]),
            *(_whole(field) for field in phases[2:] + envelope),
        ]
        return cls._make(values)

    def differences(self, other: SineTrain) -> list[str]:
        """Name the fields in which another train is not this one, with both values."""
        return [
            f"{name} is {theirs} instead of {ours}"
            for name, ours, theirs in zip(self._fields, self, other, strict=True)
            if ours != theirs
        ]


def milli(text: str) -> int:
    """Read a decimal of at most three places as thousandths.

    Raises
    ------
    ValueError
        Not such a decimal.
    """
    found = _MILLI.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no decimal of at most three places")
    sign, whole, part = found.groups()
    thousandths = int(whole) * 1000 + int((part or "").ljust(3, "0"))
    return -thousandths if sign == "-" else thousandths


def milli_text(thousandths: int) -> str:
    """Write thousandths as the device does: no more places than are needed."""
    whole, part = divmod(abs(thousandths), 1000)
    text = f"{whole}.{part:03d}".rstrip("0").rstrip(".") if part else str(whole)
    return f"-{text}" if thousandths < 0 else text


def _fields(text: str, word: str, n: int) -> list[str]:
    """Fields of a line of data, the command word and what stands at it left out."""
    fields = text.split(",")
    if fields[0] != word or len(fields) != n + 1:
        raise ValueError(f"no {word} line of {n} fields")
    return fields[1:]


def _whole(text: str) -> int:
    """Read a whole number as the device writes it."""
    if _WHOLE.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def _measured(text: str) -> float | None:
    """Read a measured value; None where the field is empty."""
    if not text:
        return None
    if re.fullmatch(r"-?[0-9]{1,7}(\.[0-9]{1,6})?", text) is None:
        raise ValueError(f"{text!r} is no measured value")
    return float(text)
