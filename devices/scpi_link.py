"""Lines of text to an SCPI instrument, and its answers: framing, grammar, error queue.

One line per command, several lines in one write. After every setting the error queue is read. A
step of a ramp is posted and its answer picked up at the next tick, so that nobody waits for it.

References
----------
SCPI-1999, volume 1 (syntax) and volume 2, SYSTem:ERRor; IEEE 488.2, chapter 8 (responses).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from devices.scpi_dialects import Setting
from devices.transport import Transport
from tacs.errors import DeviceRefused, ProtocolViolation, UncertainDelivery

__all__ = [
    "ANSWER_S",
    "Error",
    "Identification",
    "Question",
    "ScpiLink",
    "parse_error",
    "parse_identification",
    "parse_number",
    "parse_switch",
    "parse_word",
    "question",
]

ANSWER_S: Final = 0.5
QUIET_S: Final = 0.05
ERRORS_MAX: Final = 32  # more than any queue holds
LINE_MAX: Final = 1024
INFINITE: Final = 9.9e37  # SCPI's number for it
ERROR_QUERY: Final = ":SYST:ERR?"
CHUNK: Final = 4096

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
# As instruments write it: no code is -0, which would be none, and none has leading zeros.
_ERROR = re.compile(r'(\+?(?:0|[1-9]\d{0,5})|-[1-9]\d{0,5}),\s*"([^"]*)"')


class Error(NamedTuple):
    """One entry of the error queue; code 0 is none."""

    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code}, {self.text}"


class Identification(NamedTuple):
    """The four fields of ``*IDN?``."""

    maker: str
    model: str
    serial: str
    firmware: str


@dataclass(frozen=True, slots=True)
class Question:
    """A query and how its answer is read."""

    line: str
    parse: Callable[[str], Any]


def parse_number(text: str) -> float:
    """Read a decimal number; SCPI's infinity, as a number or a word, is infinite.

    Raises
    ------
    ProtocolViolation
        It is none.
    """
    if text.upper() in ("INF", "INFINITY"):
        return math.inf
    if not _NUMBER.fullmatch(text):
        raise ProtocolViolation(f"answered {text[:60]!r} where a number is due")
    value = float(text)
    return math.copysign(math.inf, value) if abs(value) >= INFINITE else value


def parse_switch(text: str) -> bool:
    """Read ON, OFF, 1 or 0.

    Raises
    ------
    ProtocolViolation
        Anything else.
    """
    states = {"ON": True, "1": True, "OFF": False, "0": False}
    if text.upper() not in states:
        raise ProtocolViolation(f"answered {text[:60]!r} where ON or OFF is due")
    return states[text.upper()]


def parse_word(text: str) -> str:
    """Read one word of capitals.

    Raises
    ------
    ProtocolViolation
        Anything else.
    """
    if not re.fullmatch(r"[A-Z][A-Z0-9]*", text.upper()):
        raise ProtocolViolation(f"answered {text[:60]!r} where a word is due")
    return text.upper()


def parse_error(text: str) -> Error:
    """Read an entry of the error queue, ``-113,"Undefined header"``.

    Raises
    ------
    ProtocolViolation
        It is none.
    """
    found = _ERROR.fullmatch(text)
    if not found:
        raise ProtocolViolation(f"answered {text[:60]!r} where an error entry is due")
    return Error(int(found[1]), found[2])


def parse_identification(text: str) -> Identification:
    """Read the answer to ``*IDN?``.

    Raises
    ------
    ProtocolViolation
        It does not have four fields.
    """
    fields = [part.strip() for part in text.split(",")]
    if len(fields) != 4 or not all(fields[:2]):
        raise ProtocolViolation(f"answered {text[:60]!r} to *IDN?, which has four fields")
    return Identification(*fields)


def question(setting: Setting, channel: int) -> Question:
    """Return what reads a setting of a channel back."""
    parse: Callable[[str], Any] = {
        "number": parse_number,
        "word": parse_word,
        "switch": parse_switch,
    }[setting.kind]

    def picked(text: str) -> Any:
        found = re.search(setting.pick, text)
        if not found:
            raise ProtocolViolation(f"answered {text[:60]!r}, without what was asked for")
        return parse(found[1])

    return Question(setting.ask.format(n=channel), picked if setting.pick else parse)


class ScpiLink:
    """Commands and queries over a transport.

    Parameters
    ----------
    transport : Transport
        To the instrument.
    harmless_errors : tuple of int
        Errors that are counted and else ignored.

    Attributes
    ----------
    stray_lines : int
        Lines that nobody had asked for.
    resynchronisations : int
        How often the link had to find its way back.
    errors_ignored : int
        Errors of the harmless kind.
    """

    def __init__(self, transport: Transport, harmless_errors: tuple[int, ...] = ()) -> None:
        self._transport = transport
        self.address = transport.address
        self.harmless_errors = harmless_errors
        self.stray_lines = 0
        self.resynchronisations = 0
        self.errors_ignored = 0
        self._buffer = b""
        self._owed: list[Callable[[str], Any]] = []
        self._kept: list[Any] = []  # answers to a post that something else had to read
        self._due_s = math.inf
        self._in_doubt = False

    def ask(self, line: str, parse: Callable[[str], Any], timeout_s: float = ANSWER_S) -> Any:
        """Send a query and read its answer.

        Raises
        ------
        UncertainDelivery
            No answer in time.
        ProtocolViolation
            The answer is not of the kind that is due.
        LinkLost
            The link is gone.
        """
        return self.ask_all([Question(line, parse)], timeout_s)[0]

    def ask_all(self, questions: Sequence[Question], timeout_s: float = ANSWER_S) -> list[Any]:
        """Send several queries in one write and read their answers; see :meth:`ask`."""
        self._settle()
        self._write([q.line for q in questions])
        return [self._parsed(q.parse, self._read_line(q.line, timeout_s)) for q in questions]

    def ask_with_errors(self, questions: Sequence[Question]) -> list[Any]:
        """Send several queries and read their answers and the error queue.

        Raises
        ------
        DeviceRefused
            The instrument reports an error.
        UncertainDelivery, ProtocolViolation, LinkLost
            See :meth:`ask`.
        """
        answers = self.ask_all([*questions, Question(ERROR_QUERY, parse_error)])
        self._refuse("a question about its state", answers.pop())
        return answers

    def command(self, *lines: str) -> None:
        """Send settings, and read the error queue until it is empty.

        Raises
        ------
        DeviceRefused
            The instrument reports an error, in its own words.
        UncertainDelivery, ProtocolViolation, LinkLost
            See :meth:`ask`.
        """
        self._settle()
        self._write([*lines, ERROR_QUERY])
        first = self._parsed(parse_error, self._read_line(ERROR_QUERY, ANSWER_S))
        self._refuse("; ".join(lines), first)

    def empty_errors(self) -> list[Error]:
        """Read the error queue until it is empty, and return what was in it."""
        found: list[Error] = []
        while (error := self.ask(ERROR_QUERY, parse_error)).code != 0:
            found.append(error)
            if len(found) > ERRORS_MAX:
                raise ProtocolViolation(f"{self.address}: the error queue does not end")
        return found

    def post(self, lines: Sequence[str], questions: Sequence[Question], now_s: float) -> None:
        """Send settings and queries without waiting; :meth:`poll` brings the answers.

        Raises
        ------
        LinkLost
            The link is gone.
        """
        self._settle()
        self._write([*lines, *(q.line for q in questions), ERROR_QUERY])
        self._owed, self._kept = [*(q.parse for q in questions), parse_error], []
        self._due_s = now_s + ANSWER_S

    def poll(self, now_s: float) -> list[Any] | None:
        """Return the answers of the last post; None while they are due. Does not wait.

        Raises
        ------
        DeviceRefused
            The instrument reports an error.
        UncertainDelivery
            They are overdue.
        ProtocolViolation, LinkLost
            See :meth:`ask`.
        """
        if not self._owed:
            kept, self._kept = self._kept, []
            return kept
        self._fill(0.0)
        if self._buffer.count(b"\n") < len(self._owed):
            if now_s > self._due_s:
                self._doubt()
                raise UncertainDelivery(
                    f"{self.address}: no answer to a step of the amplitude within {ANSWER_S:g} s"
                )
            return None
        owed, self._owed = self._owed, []
        answers = [self._parsed(parse, self._next_line()) for parse in owed]
        self._refuse("a step of the amplitude", answers.pop())
        return answers

    def send_unanswered(self, lines: Sequence[str]) -> None:
        """Send settings and read nothing: for stops."""
        self._write(lines)

    def pause(self, seconds: float) -> None:
        """Wait, and throw away what comes meanwhile."""
        self._fill(seconds)

    def reconnect(self) -> None:
        """Go on over a connection made anew, when the first one broke.

        Raises
        ------
        DeviceNotFound, DeviceBusy
            There is none yet.
        """
        self._doubt()
        self._transport.reconnect()

    def close(self) -> None:
        """Release the port."""
        self._transport.close()

    def _refuse(self, what: str, error: Error) -> None:
        """Raise what the error queue holds, beginning with an entry that was read."""
        errors = [] if error.code == 0 else [error, *self.empty_errors()]
        real = [e for e in errors if e.code not in self.harmless_errors]
        self.errors_ignored += len(errors) - len(real)
        if real:
            told = "; ".join(map(str, real))
            raise DeviceRefused(f"{self.address}: {what} was answered with error {told}")

    def _settle(self) -> None:
        """Before a write: nothing of what came before may be taken for its answer."""
        if self._owed:
            owed, self._owed = self._owed, []
            self._kept = [
                self._parsed(parse, self._read_line("a step of the amplitude", ANSWER_S))
                for parse in owed[:-1]
            ]
            last = self._parsed(parse_error, self._read_line(ERROR_QUERY, ANSWER_S))
            self._refuse("a step of the amplitude", last)
        if self._in_doubt:
            self._in_doubt = False
            self.resynchronisations += 1
            self._fill(QUIET_S)
        else:
            self._fill(0.0)
        self.stray_lines += self._buffer.count(b"\n")
        self._buffer = b""

    def _write(self, lines: Sequence[str]) -> None:
        self._transport.write("".join(f"{line}\n" for line in lines).encode("ascii"))

    def _fill(self, timeout_s: float) -> None:
        self._buffer += self._transport.read(CHUNK, timeout_s)

    def _read_line(self, asked: str, timeout_s: float) -> str:
        while b"\n" not in self._buffer:
            first = self._transport.read(1, timeout_s)
            if not first:
                self._doubt()
                raise UncertainDelivery(
                    f"{self.address}: no answer to {asked!r} within {timeout_s:g} s; its fate and "
                    f"that of what was sent with it is unknown"
                )
            self._buffer += first
            self._fill(0.0)
            if len(self._buffer) > LINE_MAX and b"\n" not in self._buffer:
                self._doubt()
                raise ProtocolViolation(f"{self.address}: {len(self._buffer)} bytes and no line")
        return self._next_line()

    def _next_line(self) -> str:
        line, _, self._buffer = self._buffer.partition(b"\n")
        if not line.isascii():
            self._doubt()
            raise ProtocolViolation(f"{self.address}: answered {line[:40]!r}, which is no text")
        return line.decode("ascii").strip()

    def _parsed(self, parse: Callable[[str], Any], line: str) -> Any:
        try:
            return parse(line)
        except ProtocolViolation as exc:
            self._doubt()
            raise ProtocolViolation(f"{self.address}: {exc}") from None

    def _doubt(self) -> None:
        """What comes next may belong to something else."""
        self._in_doubt = True
        self._owed = []
        self._buffer = b""
