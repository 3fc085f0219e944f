"""The emulated card's end of the link: frames in, answers out.

Marks, numbers and layouts are written down here a second time, on purpose: a slip in the driver's
table then shows as a disagreement instead of being repeated. The table is in
``docs/devices/nidaq.md``.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.emulators.monitor_probe import Source
from devices.emulators.nidaq_card import (
    INVALID_VALUE,
    N_OUTPUTS,
    OUT_OF_ORDER,
    EmulatedCard,
    Refusal,
)
from devices.emulators.replies import Replies

__all__ = ["CardFirmware", "EnabledOutput"]

VERSION = 1
SERIAL = 0x0E3A7ED
PRODUCT = "emulated analogue output, 4 x 16 bit, 10 V"
HEAD = "<2sBBI"
GAP_S = 0.1
LONGEST = 1_048_576
SETTINGS = frozenset({2, 3, 4, 7, 8})


class EnabledOutput:
    """An output behind the line that enables its stimulator.

    Parameters
    ----------
    card : EmulatedCard
        The card.
    number : int
        Output, from 1.
    interlock : bool
        Whether the line is wired.
    """

    def __init__(self, card: EmulatedCard, number: int, interlock: bool) -> None:
        self._output = card.outputs[number - 1]
        self._line = card.line
        self._interlock = interlock

    @property
    def course(self) -> object:
        """What it goes on as; another object after every change."""
        return (self._output.course, self._line.course)

    def sense(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the volts that reach the stimulator at many instants, in ascending order."""
        volts = self._output.values(times_s)
        return volts * self._line.values(times_s) if self._interlock else volts


class CardFirmware:
    """Bytes in, bytes out, and four outputs; it is told the time.

    Parameters
    ----------
    now_s : float
        Clock time of power-on.
    watchdog, interlock : bool
        What the card has; see :class:`devices.emulators.nidaq_card.EmulatedCard`.
    """

    def __init__(self, now_s: float, *, watchdog: bool = False, interlock: bool = False) -> None:
        self.version = VERSION
        self.card = EmulatedCard(now_s, watchdog=watchdog, interlock=interlock)
        self.first_start_s: float | None = None
        self.sources: Sequence[Source] = [
            EnabledOutput(self.card, number, interlock) for number in range(1, N_OUTPUTS + 1)
        ]
        self._replies = Replies()
        self.faults = self._replies.faults
        self._now_s = now_s
        self._buffer = bytearray()
        self._last_byte_s = now_s
        self._expected = 0  # number of the sample that must come next
        self._handlers: dict[int, Callable[[bytes], bytes]] = {
            1: self._identify,
            2: self._prepare,
            3: self._write,
            4: self._start,
            5: self._state,
            6: lambda p: self._call(self.card.release),
            7: self._hold,
            8: lambda p: self._call(self.card.watch, *struct.unpack("<d", p)),
            9: lambda p: self._call(self.card.feed),
            10: lambda p: self._call(self.card.unwatch),
            11: lambda p: self._call(self.card.enable, bool(*struct.unpack("<B", p))),
            12: self._finish,
            13: self._replace,
        }

    # -- what a bench needs ----------------------------------------------------------------------

    @property
    def playing(self) -> bool:
        """Whether it plays, or holds a direct current."""
        return self.card.loud

    def drive(self, number: int, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the volts that reach a stimulator, by its output counted from 1."""
        return self.sources[number - 1].sense(times_s)

    def silent_at_s(self) -> float:
        """Return when it comes to rest if nothing is asked of it; infinite where it does not."""
        return self.card.silent_at_s()

    def forget(self, seen_s: float) -> None:
        """Drop what happened before an instant that nobody will look at again."""
        for output in (*self.card.outputs, self.card.line):
            output.forget(seen_s)

    def click(self, now_s: float) -> None:
        """Press a button; the card has none."""
        self.advance(now_s)

    def stick(self) -> None:
        """Have what plays play on, whatever is asked."""
        self.card.stick()

    def reboot(self, now_s: float) -> None:
        """Lose power and come back."""
        self.advance(now_s)
        self.card.reboot()
        self._buffer.clear()
        self._replies.clear()
        self._expected = 0

    # -- bytes -----------------------------------------------------------------------------------

    def advance(self, now_s: float) -> None:
        """Let time pass; half a frame whose rest does not come is thrown away."""
        self.card.advance(now_s)
        self._now_s = max(self._now_s, now_s)
        if self._buffer and now_s > self._last_byte_s + GAP_S:
            self._buffer.clear()

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes from the host and answer the questions that are complete."""
        self.advance(now_s)
        self._buffer += data
        self._last_byte_s = now_s
        while (frame := self._next_frame()) is not None:
            self._answer(frame)

    def take(self, now_s: float) -> bytes:
        """Give the bytes for the host that are due."""
        return self._replies.take(now_s)

    def next_due_s(self) -> float | None:
        """Return when the next byte for the host is due."""
        return self._replies.next_due_s()

    def _next_frame(self) -> bytes | None:
        """Take one whole frame off the buffer; what is none is skipped."""
        while True:
            start = self._buffer.find(b"NI")
            if start < 0:
                del self._buffer[: max(len(self._buffer) - 1, 0)]
                return None
            del self._buffer[:start]
            if len(self._buffer) < struct.calcsize(HEAD):
                return None
            length = struct.unpack_from(HEAD, self._buffer)[3]
            end = struct.calcsize(HEAD) + length
            if length > LONGEST:
                del self._buffer[:2]
                continue
            if len(self._buffer) < end + 4:
                return None
            frame = bytes(self._buffer[:end])
            if struct.unpack_from("<I", self._buffer, end)[0] != zlib.crc32(frame):
                del self._buffer[:2]
                continue
            del self._buffer[: end + 4]
            return frame

    def _answer(self, frame: bytes) -> None:
        """Do what is asked, and answer under its number."""
        _, number, op, _ = struct.unpack_from(HEAD, frame)
        status, payload = self._do(op, frame[struct.calcsize(HEAD) :])
        body = struct.pack(HEAD, b"ni", number, op, 4 + len(payload))
        body += struct.pack("<i", status) + payload
        self._replies.send(body + struct.pack("<I", zlib.crc32(body)), self._now_s)

    def _do(self, op: int, payload: bytes) -> tuple[int, bytes]:
        handler = self._handlers.get(op)
        try:
            if handler is None:
                raise Refusal(INVALID_VALUE)
            if op in SETTINGS and self.faults.refuse:
                self.faults.refuse -= 1
                raise Refusal(INVALID_VALUE)
            return 0, handler(payload)
        except Refusal as refusal:
            return refusal.code, str(refusal).encode()
        except (struct.error, ValueError, IndexError, TypeError):
            return INVALID_VALUE, b"a frame of another form"

    # -- operations ------------------------------------------------------------------------------

    @staticmethod
    def _call(do: Callable[..., None], *values: Any) -> bytes:
        do(*values)
        return b""

    def _identify(self, payload: bytes) -> bytes:
        self.card.unlock()
        return struct.pack("<BBI", self.version, N_OUTPUTS, SERIAL) + PRODUCT.encode()

    def _prepare(self, payload: bytes) -> bytes:
        rate_hz, room, idle_zero, n = struct.unpack_from("<dIBB", payload)
        outputs = [struct.unpack_from("<Bd", payload, 14 + 9 * k) for k in range(n)]
        self.card.prepare(dict(outputs), rate_hz, room, bool(idle_zero))
        self._expected = 0
        return b""

    def _samples(self, payload: bytes) -> tuple[int, NDArray[np.float64]]:
        first, n = struct.unpack_from("<QI", payload)
        values = np.frombuffer(payload, "<f8", offset=12)
        if n == 0 or len(values) % n or not np.all(np.isfinite(values)):
            raise Refusal(INVALID_VALUE)
        return first, values.reshape(-1, n)

    def _write(self, payload: bytes) -> bytes:
        first, volts = self._samples(payload)
        if first != self._expected:
            raise Refusal(OUT_OF_ORDER)
        self.card.write(volts)
        self._expected += volts.shape[1]
        return b""

    def _start(self, payload: bytes) -> bytes:
        self.card.start()
        if self.first_start_s is None:
            self.first_start_s = self._now_s
        return b""

    def _state(self, payload: bytes) -> bytes:
        card = self.card
        flags = card.running | card.expired << 1
        return struct.pack("<BQiI", flags, card.generated, card.fault, card.starts)

    def _hold(self, payload: bytes) -> bytes:
        values = [struct.unpack_from("<Bd", payload, 1 + 9 * k) for k in range(payload[0])]
        if not all(math.isfinite(value) for _, value in values):
            raise Refusal(INVALID_VALUE)
        self.card.hold(dict(values))
        return b""

    def _finish(self, payload: bytes) -> bytes:
        return self._write(payload) if self.card.running else self._replace(payload)

    def _replace(self, payload: bytes) -> bytes:
        first, volts = self._samples(payload)
        self.card.stop()
        self.card.write(volts)
        self.card.start()
        self._expected = first + volts.shape[1]
        return b""
