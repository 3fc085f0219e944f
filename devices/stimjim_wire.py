"""The link to a StimJim with stimjimAWG firmware: one line asked, its reply found among others.

The device also speaks unasked: a train is complete, a peak was measured, a budget overran. Such
lines may come before or after a reply and are sorted out here. A reply that belongs to no question
came late or twice; after one, and after a reply that did not come, the link asks for the identity
again before it trusts another answer.

References
----------
tncslab, stimjimAWG serial protocol reference, protocol 1 (commit 48322de), sections 1, 3 and 4.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn, TypeVar

from devices.stimjim_lines import (
    ASYNCHRONOUS,
    LINE_MAX,
    NOT_DRIVEN,
    EngineState,
    Kind,
    Line,
    Measurement,
    Reading,
    SineTrain,
)
from devices.transport import Transport
from tacs.errors import (
    DeviceNotFound,
    DeviceRefused,
    InputError,
    LinkLost,
    ProtocolViolation,
    UncertainDelivery,
)

__all__ = ["FIRMWARE", "PROTOCOL", "Identified", "StimjimLink"]

FIRMWARE: Final = "stimjimAWG"
PROTOCOL: Final = "1"
REPLY_TIMEOUT_S: Final = 0.25
QUIET_S: Final = 0.05
IDENTITY_TIMEOUT_S: Final = 1.0
LINES_MAX: Final = 64  # that may come before a reply
MEASUREMENTS_MAX: Final = 16
STOP: Final = "T-1"
STOP_ALL: Final = b"\nT-1\nU-1\nM0,3\nM1,3\n"  # begins with an end of line: half a command is none
STOCK_SAYS: Final = (
    "ADC offsets",
    "Booting StimJim",
    "Ready to go!",
    "Train complete.",
    "Unknown command",
)

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Identified:
    """What the device says of itself.

    Parameters
    ----------
    firmware : str
        Name and version, such as ``stimjimAWG 0.8.0``.
    board : str
        Controller board.
    comments : tuple of str
        Build and engine, as told.
    """

    firmware: str
    board: str
    comments: tuple[str, ...]


class StimjimLink:
    """Questions and answers, one at a time.

    Parameters
    ----------
    transport : Transport
        To the device.

    Attributes
    ----------
    warnings : deque of str
        What the device warned of, the last few.
    stray_lines, resynchronisations, n_warnings : int
        How often that happened.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._buffer = b""
        self._in_step = True
        self._measured: deque[Measurement] = deque(maxlen=MEASUREMENTS_MAX)
        self.warnings: deque[str] = deque(maxlen=4)
        self.n_warnings = 0
        self.stray_lines = 0
        self.resynchronisations = 0

    @property
    def address(self) -> str:
        """Where the device is."""
        return self._transport.address

    def identify(self) -> Identified:
        """Ask who is there, whatever was on the line before.

        Raises
        ------
        DeviceNotFound
            Nothing answers, or something else: stock firmware is named.
        """
        self._transport.discard_input()
        self._buffer = b""
        heard = self._heard_after(b"\nIDN\n")
        mine = [line for line in heard if line.text.startswith("IDN,")]
        if not mine:
            self._refuse_stranger(heard)
        fields = mine[-1].text.split(",")
        if fields[1:2] != [FIRMWARE]:
            raise DeviceNotFound(
                f"{self.address}: {', '.join(fields[1:3])} answers, not a StimJim with {FIRMWARE} "
                f"firmware"
            )
        if len(fields) != 5 or fields[4] != f"proto={PROTOCOL}" or fields[3][:3] != "fw=":
            raise DeviceNotFound(
                f"{self.address}: {mine[-1].text!r}: this driver speaks protocol {PROTOCOL} of "
                f"{FIRMWARE}; load a firmware that does"
            )
        self._in_step = True
        comments = tuple(line.text for line in heard if line.kind is Kind.COMMENT)
        return Identified(f"{FIRMWARE} {fields[3][3:]}", fields[2], comments)

    def state(self) -> tuple[EngineState, EngineState]:
        """Ask what the two engines play.

        Raises
        ------
        LinkLost, ProtocolViolation
            No answer, or one that is none.
        """
        text = self._ask("STAT", lambda line: line.word == "STAT", changes=False)
        return self._read(text, EngineState.both)

    def define(self, train: SineTrain) -> None:
        """Load a sine train; what the device stored must be what was sent, field by field.

        Raises
        ------
        DeviceRefused
            The device objects; its slot is as before.
        UncertainDelivery, ProtocolViolation, LinkLost
            No answer, or another train was stored.
        """
        if len(train.line) > LINE_MAX:
            raise InputError(f"a line of {len(train.line)} bytes; StimJim takes {LINE_MAX}")
        echo = self._ask(train.line, _about("W", train.slot), changes=True)
        self._compare(train, echo, "stored another train than the one sent")

    def confirm(self, train: SineTrain) -> None:
        """Ask for the train in a slot; it must be this one.

        Raises
        ------
        ProtocolViolation, LinkLost
            Another train, or no answer.
        """
        held = self._ask(f"W{train.slot}?", _about("", train.slot, "SLW"), changes=False)
        self._compare(train, held, "holds another train than the one that was loaded")

    def measure_peaks(self, slot: int, channels: tuple[bool, bool]) -> None:
        """Have voltage and current told at both peaks of the first full period after the ramp.

        Raises
        ------
        DeviceRefused, UncertainDelivery, ProtocolViolation
            It will not, or nobody knows.
        """
        what = ",".join("3" if driven else "0" for driven in channels)
        command = f"MEAS{slot},{what},3,-1,1"
        echo = self._ask(command, _about("MEAS", slot), changes=True)
        if echo not in (command, f"{command},0", f"{command},1"):  # later firmware has a field more
            raise ProtocolViolation(f"{self.address}: {command!r} was stored as {echo!r}")

    def unroute(self, trigger: int) -> None:
        """Have a trigger input start nothing.

        Raises
        ------
        DeviceRefused, UncertainDelivery, ProtocolViolation
            It will not, or nobody knows.
        """
        command = f"TRIG{trigger},0,-1,-1,0"
        echo = self._ask(command, _about("TRIG", trigger), changes=True)
        if echo != command:
            raise ProtocolViolation(f"{self.address}: {command!r} was stored as {echo!r}")

    def ground(self, channel: int) -> None:
        """Connect an output to ground; whatever it is set to, nothing flows.

        Raises
        ------
        DeviceRefused, UncertainDelivery
            It will not, or nobody knows.
        """
        said = f"Set channel {channel} to mode {NOT_DRIVEN}"
        self._ask(f"M{channel},{NOT_DRIVEN}", lambda line: line.text == said, changes=True)

    def read(self, channel: int) -> Reading:
        """Measure an output at rest; the device refuses while a train runs.

        Raises
        ------
        DeviceRefused, LinkLost, ProtocolViolation
            It will not, or its answer is none.
        """
        text = self._ask(f"READ{channel}", _reading_of(channel), changes=False)
        return self._read(text, Reading.parse)

    def start(self, slot: int) -> None:
        """Start a slot on the first engine; a start that was refused is a warning, no error.

        Raises
        ------
        DeviceRefused
            It did not start.
        UncertainDelivery
            It did not say that it started.
        ProtocolViolation
            It started another slot.
        """
        text = self._ask(
            f"T{slot}",
            lambda line: (
                line.text.startswith(("Started T ", "Invalid PulseTrain"))
                or (line.kind is Kind.WARNING and line.word == "T")
            ),
            changes=True,
        )
        if not text.startswith("Started"):
            raise DeviceRefused(f"{self.address}: the train was not started ({text})")
        if text != f"Started T train with parameters of PulseTrain {slot}":
            raise ProtocolViolation(f"{self.address}: asked to start slot {slot}, said {text!r}")

    def stop_now(self) -> None:
        """Stop both engines and ground both outputs, in one write; no answer is waited for.

        Raises
        ------
        LinkLost
            The bytes could not be written.
        """
        self._transport.write(STOP_ALL)

    def listen(self) -> None:
        """Take in what has come unasked; does not wait.

        Raises
        ------
        LinkLost
            The port is gone.
        """
        while (line := self._next_line(0.0)) is not None:
            self._sort(line)

    def take_measurements(self) -> list[Measurement]:
        """Return what was measured since the last call."""
        found = list(self._measured)
        self._measured.clear()
        return found

    def pause(self, duration_s: float) -> None:
        """Let time pass, and take in what comes meanwhile."""
        self._buffer += self._transport.read(4096, duration_s)
        self.listen()

    def close(self) -> None:
        """Release the port."""
        self._transport.close()

    # -- one question ---------------------------------------------------------------------------

    def _ask(self, command: str, is_reply: Callable[[Line], bool], *, changes: bool) -> str:
        """Send a line and return its reply."""
        self.listen()
        if not self._in_step:
            self._resynchronise()
        self._transport.write(command.encode("ascii") + b"\n")
        for _ in range(LINES_MAX):
            line = self._next_line(REPLY_TIMEOUT_S)
            if line is None:
                break
            if line.kind is Kind.ERROR:
                raise DeviceRefused(f"{self.address}: {command!r} was refused: {line.text}")
            if is_reply(line):
                return line.text
            self._sort(line)
        self._in_step = False
        silence = f"{self.address}: no answer to {command!r} within {REPLY_TIMEOUT_S:g} s"
        raise UncertainDelivery(silence) if changes else LinkLost(silence)

    def _resynchronise(self) -> None:
        """Ask for the identity until the line is quiet: what comes after it is an answer again."""
        self.resynchronisations += 1
        self._buffer = b""  # half a line would spoil the answer
        heard = self._heard_after(b"\nIDN\n")
        for line in heard:
            if line.unasked:
                self._sort(line)
        if not any(line.text.startswith(f"IDN,{FIRMWARE},") for line in heard):
            raise LinkLost(f"{self.address}: the device no longer answers as before")
        self._in_step = True

    def _heard_after(self, command: bytes) -> list[Line]:
        """Write, and return every line until the line is quiet."""
        self._transport.write(command)
        quiet = 0
        for _ in range(round(IDENTITY_TIMEOUT_S / QUIET_S)):
            more = self._transport.read(4096, QUIET_S)
            self._buffer += more
            quiet = 0 if more else quiet + 1
            if quiet and b"\n" in self._buffer:
                break
        heard = []
        while (line := self._whole_line()) is not None:
            heard.append(line)
        self._buffer = b""
        return heard

    def _next_line(self, timeout_s: float) -> Line | None:
        """Return the next line; None where none comes in time."""
        line = self._whole_line()
        while line is None:
            more = self._transport.read(1 if timeout_s else 4096, timeout_s)
            if not more:
                return None
            self._buffer += more + self._transport.read(4096, 0.0)
            if len(self._buffer) > LINE_MAX + 1 and b"\n" not in self._buffer:
                self._buffer = b""
                self._stray()
            line = self._whole_line()
        return line

    def _whole_line(self) -> Line | None:
        """Take one line off the buffer; what no line of this device can be is stray."""
        while b"\n" in self._buffer:
            raw, _, self._buffer = self._buffer.partition(b"\n")
            if not (raw := raw.rstrip(b"\r ")):
                continue
            text = raw.decode("utf-8", "replace")  # its messages have dashes that are no ASCII
            if len(raw) <= LINE_MAX and text.isprintable() and "\ufffd" not in text:
                return Line.of(text)
            self._stray()
        return None

    def _sort(self, line: Line) -> None:
        """Keep what the device says unasked; anything else is a reply to nothing."""
        if line.word in ASYNCHRONOUS and line.kind is Kind.DATA:
            try:
                self._measured.append(Measurement.parse(line.text))
            except ValueError:
                self._stray()
        elif line.kind is Kind.WARNING:
            self.n_warnings += 1
            self.warnings.append(line.text)
        elif not (line.unasked or line.text.startswith("Set channel ")):
            self._stray()

    def _stray(self) -> None:
        self.stray_lines += 1
        self._in_step = False

    def _read(self, text: str, parse: Callable[[str], R]) -> R:
        """Parse a reply."""
        try:
            return parse(text)
        except ValueError as exc:
            self._in_step = False
            raise ProtocolViolation(f"{self.address}: said {text!r}: {exc}") from exc

    def _compare(self, train: SineTrain, text: str, what: str) -> None:
        """Hold what the device told of a slot against a train."""
        if differences := train.differences(self._read(text, SineTrain.parse)):
            raise ProtocolViolation(f"{self.address}: {what}: {'; '.join(differences)}")

    def _refuse_stranger(self, heard: list[Line]) -> NoReturn:
        """Say who it is that does not answer as this firmware does.

        Stock firmware takes no notice of an unknown command; ``D`` only prints its offsets.
        """
        heard = heard or self._heard_after(b"D\n")
        texts = [line.text for line in heard]
        if any(text.startswith(STOCK_SAYS) for text in texts):
            raise DeviceNotFound(
                f"{self.address}: a StimJim with its stock firmware answers; it is refused because "
                f"its pulse interrupt can keep it from reading the command that stops it; load "
                f"{FIRMWARE} firmware (github.com/tncslab/stimjim)"
            )
        if texts:
            raise DeviceNotFound(
                f"{self.address}: {texts[0][:60]!r} answers, not a StimJim with {FIRMWARE} firmware"
            )
        raise DeviceNotFound(
            f"{self.address}: no StimJim answers; is it plugged in, and is this its port? Stock "
            f"firmware that is playing a train answers nothing either: unplug it"
        )


def _about(word: str, number: int, words: str = "") -> Callable[[Line], bool]:
    """Whether a line of data is about a slot or an input: its command word and number."""
    starts = tuple(f"{each}{number}," for each in words or (word,))
    return lambda line: line.kind is Kind.DATA and line.text.startswith(starts)


def _reading_of(channel: int) -> Callable[[Line], bool]:
    """Whether a line is the reading of a channel."""
    return lambda line: line.word == "READ" and line.text.startswith(f"READ,{channel},")
