"""A card in another process, spoken to in frames over a serial port or TCP.

A frame carries a number and a checksum. Nothing is sent twice: what gets no answer in time counts
as done perhaps, and answers to older questions and noise are told from those that are waited for.
The table of frames is in ``docs/devices/nidaq.md``.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.nidaq_backend import CardInfo, CardState, card_error
from devices.transport import Transport
from tacs.errors import DeviceNotFound, InputError, ProtocolViolation, UncertainDelivery

__all__ = ["Answer", "Frames", "LinkedCard", "encode"]

ASK: Final = b"NI"
ANSWER: Final = b"ni"
HEAD: Final = struct.Struct("<2sBBI")  # mark, number, operation, length of the payload
CHECK: Final = struct.Struct("<I")  # CRC-32 of all before
PAYLOAD_MAX: Final = 1 << 20

IDENTIFY, PREPARE, WRITE, START, STATE, RELEASE = 1, 2, 3, 4, 5, 6
HOLD, WATCH, FEED, UNWATCH, ENABLE, FINISH, REPLACE = 7, 8, 9, 10, 11, 12, 13
NAMES: Final = {
    IDENTIFY: "identify",
    PREPARE: "prepare",
    WRITE: "write",
    START: "start",
    STATE: "state",
    RELEASE: "release",
    HOLD: "hold",
    WATCH: "watch",
    FEED: "feed",
    UNWATCH: "unwatch",
    ENABLE: "enable",
    FINISH: "finish",
    REPLACE: "replace",
}

ANSWER_S: Final = 0.1  # less than the queue that the card has meanwhile
MUTE_S: Final = 0.02
SETTINGS_S: Final = 1.0  # nothing plays yet
VERSION: Final = 1


class Answer(NamedTuple):
    """What came back: number, operation, status code and payload."""

    number: int
    op: int
    status: int
    payload: bytes


def encode(number: int, op: int, payload: bytes = b"") -> bytes:
    """Return the frame of a question."""
    body = HEAD.pack(ASK, number, op, len(payload)) + payload
    return body + CHECK.pack(zlib.crc32(body))


class Frames:
    """Find answers in bytes as they come; what is none is counted and skipped.

    Attributes
    ----------
    stray_bytes : int
        Bytes that belonged to no good frame.
    """

    def __init__(self) -> None:
        self.stray_bytes = 0
        self._buffer = bytearray()

    @property
    def missing(self) -> int:
        """How many more bytes may complete a frame, at least."""
        whole = HEAD.size + CHECK.size + 4
        if len(self._buffer) >= HEAD.size and self._buffer.startswith(ANSWER):
            length = HEAD.unpack_from(self._buffer)[3]
            if length <= PAYLOAD_MAX:
                whole = HEAD.size + length + CHECK.size
        return max(whole - len(self._buffer), 1)

    def put(self, data: bytes) -> None:
        """Take bytes off the link."""
        self._buffer += data

    def next(self) -> Answer | None:
        """Return the next whole answer; None where there is none yet."""
        while True:
            start = self._buffer.find(ANSWER)
            if start < 0:
                self._skip(max(len(self._buffer) - 1, 0))
                return None
            self._skip(start)
            if len(self._buffer) < HEAD.size:
                return None
            _, number, op, length = HEAD.unpack_from(self._buffer)
            end = HEAD.size + length
            if length > PAYLOAD_MAX or length < 4:
                self._skip(len(ANSWER))
                continue
            if len(self._buffer) < end + CHECK.size:
                return None
            body = bytes(self._buffer[:end])
            if zlib.crc32(body) != CHECK.unpack_from(self._buffer, end)[0]:
                self._skip(len(ANSWER))
                continue
            del self._buffer[: end + CHECK.size]
            (status,) = struct.unpack_from("<i", body, HEAD.size)
            return Answer(number, op, status, body[HEAD.size + 4 :])

    def give_up(self) -> bool:
        """Skip the beginning of a frame whose rest does not come; False where there is none."""
        if len(self._buffer) <= len(ANSWER):
            return False
        self._skip(len(ANSWER))
        return True

    def _skip(self, n: int) -> None:
        self.stray_bytes += n
        del self._buffer[:n]


class LinkedCard:
    """The calls of a card, over a link.

    Parameters
    ----------
    transport : Transport
        To the card's process.
    idle_output : str
        What the outputs do when nothing is generated, as in the rig.
    """

    def __init__(self, transport: Transport, idle_output: str = "maintain") -> None:
        self.address = transport.address
        self._transport = transport
        self._idle_zero = idle_output == "zero_volts"
        self._frames = Frames()
        self._number = 0
        self._prepared = 0
        self._written = 0
        self._mute = False
        self._told: tuple[int, int] | None = None

    @property
    def stray_bytes(self) -> int:
        """Bytes that belonged to no good frame."""
        return self._frames.stray_bytes

    def identify(self) -> CardInfo:
        """Ask who it is, and unlock outputs that an expired timer has locked."""
        self._transport.discard_input()
        try:
            answer = self._ask(IDENTIFY, within_s=SETTINGS_S)
        except UncertainDelivery as exc:
            raise DeviceNotFound(
                f"{self.address}: no card answers there; is its process running?"
            ) from exc
        try:
            version, n_outputs, serial = struct.unpack_from("<BBI", answer)
            product = answer[6:].decode("utf-8")
        except (struct.error, UnicodeDecodeError) as exc:
            raise ProtocolViolation(f"{self.address}: says who it is in another form") from exc
        if version != VERSION:
            raise DeviceNotFound(
                f"{self.address}: the card's process speaks version {version} of its frames; this "
                f"driver speaks {VERSION}"
            )
        return CardInfo(product=product, serial=f"{serial:08X}", n_outputs=n_outputs)

    def prepare(self, limits_v: Mapping[int, float], rate_hz: float, buffer_samples: int) -> None:
        """Set up a generation on some outputs; nothing plays."""
        payload = struct.pack("<dIBB", rate_hz, buffer_samples, self._idle_zero, len(limits_v))
        payload += b"".join(struct.pack("<Bd", n, limits_v[n]) for n in sorted(limits_v))
        self._ask(PREPARE, payload)
        self._prepared, self._written = len(limits_v), 0

    def write(self, volts: NDArray[np.float64]) -> None:
        """Append samples."""
        self._ask(WRITE, self._samples(volts))

    def finish(self, volts: NDArray[np.float64]) -> None:
        """Append samples, or play them by themselves where it ran dry; waits for no answer."""
        self._tell(FINISH, self._samples(volts))

    def start(self) -> None:
        """Let the sample clock run."""
        self._ask(START)

    def state(self) -> CardState:
        """Ask how far it is."""
        answer = self._ask(STATE)
        try:
            flags, generated, fault, starts = struct.unpack("<BQiI", answer)
        except struct.error as exc:
            raise ProtocolViolation(f"{self.address}: a state of {len(answer)} bytes") from exc
        return CardState(bool(flags & 1), generated, fault, starts, bool(flags & 2))

    def replace(self, volts: NDArray[np.float64]) -> None:
        """Drop what has not been played and play this instead; waits for no answer."""
        self._written = 0
        self._tell(REPLACE, self._samples(volts))

    def release(self) -> None:
        """End the generation; the outputs stay at their last value."""
        self._ask(RELEASE)

    def hold(self, volts: Mapping[int, float]) -> None:
        """Set outputs to a value at once, and leave them there."""
        values = b"".join(struct.pack("<Bd", n, volts[n]) for n in sorted(volts))
        self._ask(HOLD, bytes([len(volts)]) + values)

    def watch(self, timeout_s: float) -> None:
        """Start the timer that takes the outputs, or their interlock, down by itself."""
        self._ask(WATCH, struct.pack("<d", timeout_s))

    def feed(self) -> None:
        """Start the timer anew."""
        self._ask(FEED)

    def unwatch(self) -> None:
        """Stop the timer."""
        self._ask(UNWATCH)

    def enable(self, on: bool) -> None:
        """Set the interlock line, where there is one."""
        self._ask(ENABLE, bytes([on]))

    def wait(self, seconds: float) -> None:
        """Let time pass; what comes meanwhile answers nothing."""
        self._frames.put(self._transport.read(4096, seconds))

    def close(self) -> None:
        """Let go of the link."""
        self._transport.close()

    def _samples(self, volts: NDArray[np.float64]) -> bytes:
        """Number of the first sample, how many, and the samples, one output after another."""
        if volts.shape[0] != self._prepared:
            raise InputError(
                f"{self.address}: {volts.shape[0]} outputs written of {self._prepared}"
            )
        payload = struct.pack("<QI", self._written, volts.shape[1])
        self._written += volts.shape[1]
        return payload + np.ascontiguousarray(volts, dtype="<f8").tobytes()

    def _ask(self, op: int, payload: bytes = b"", within_s: float = ANSWER_S) -> bytes:
        """Ask once and wait for the answer; a card that fell silent is hardly waited for."""
        if self._mute:
            within_s = MUTE_S
        if self._told is not None:
            # Sent without waiting: whether it arrived is seen now.
            told, self._told = self._told, None
            self._hear(*told, within_s)
        return self._hear(*self._send(op, payload), within_s)

    def _tell(self, op: int, payload: bytes) -> None:
        """Send without waiting; its answer is waited for before the next question."""
        self._told = self._send(op, payload)

    def _send(self, op: int, payload: bytes) -> tuple[int, int]:
        self._number = (self._number + 1) % 256
        self._transport.write(encode(self._number, op, payload))
        return self._number, op

    def _hear(self, number: int, op: int, within_s: float) -> bytes:
        """Return what was answered to a number; older answers and noise are skipped."""
        answer = self._answer(number, op, within_s)
        self._mute = answer is None
        if answer is None:
            raise UncertainDelivery(
                f"{self.address}: no answer to {NAMES[op]!r} in {within_s:g} s; nobody knows "
                f"whether it was done"
            )
        if answer.status:
            text = answer.payload.decode("utf-8", "replace")
            raise card_error(f"{self.address}: {NAMES[op]}", answer.status, text)
        return answer.payload

    def _answer(self, number: int, op: int, within_s: float) -> Answer | None:
        waiting = True
        while True:
            while (found := self._frames.next()) is not None:
                if (found.number, found.op) == (number, op):
                    return found
            if not waiting:
                if not self._frames.give_up():
                    return None
                continue
            wanted = self._frames.missing
            data = self._transport.read(wanted, within_s)
            self._frames.put(data)
            waiting = len(data) == wanted
