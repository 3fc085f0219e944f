"""The emulated current monitor's firmware, from its published protocol and nothing of the driver.

Layouts and checks are written down here a second time, on purpose: a slip in the driver's table
then shows as a disagreement instead of being repeated.

References
----------
``docs/monitor-protocol.md`` of this suite.
"""

from __future__ import annotations

import binascii
import math
import struct
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from devices.emulators.monitor_probe import FRAME_S, RANGE_NA, Probe

__all__ = ["N_INPUTS", "FrameFaults", "MonitorFirmware"]

N_INPUTS = 8
FRAMES_PER_CONTACT = 10
FRAMES_PER_STATUS = 100
CHUNK_FRAMES = 1000
LATENCY_S = 0.0005
BOOT_S = 0.5
SEND_BUFFER = 65_536
REQUEST_MAX = 64
HEADER = struct.Struct("<4BHIQ")
LOW_BATTERY, OVER_RANGE = 1, 2
LOW_PERMILLE = 200


@dataclass(slots=True)
class FrameFaults:
    """What is wrong with the next frames of the stream; the counts run down."""

    lose: int = 0
    corrupt: int = 0
    duplicate: int = 0
    reorder: int = 0
    replay: int = 0
    garbage: int = 0
    delay_s: float = 0.0


class MonitorFirmware:
    """Bytes in, bytes out, and measurements in between; it is told the time.

    Parameters
    ----------
    probe : Probe
        What it senses.
    now_s : float
        Clock time of power-on.
    """

    def __init__(self, probe: Probe, now_s: float) -> None:
        self.faults = FrameFaults()
        self.version = 1
        self.silent = False
        self.stuck = False
        self.frozen = False
        self.gain = 1.0
        self.battery_permille = 950
        self.boot_count = 7
        self._probe = probe
        self._now_s = self._boot_s = now_s
        self._boots_s = -math.inf  # until then it is deaf and dumb
        self._buffer = bytearray()
        self._out: deque[tuple[float, bytes]] = deque()
        self._n_out = 0
        self._nonce = 0
        self._earlier_nonce = 0x0123_4567_89AB_CDEF
        self._seq = 0
        self._n_frames = 0
        self._due_s = math.inf  # end of the frame under way
        self._over_range = False
        self._last: dict[int, bytes] = {}
        self._held: bytes | None = None
        self._n_flipped = 0
        self._requests: dict[int, Callable[[int, bytes], None]] = {
            0x01: self._identify,
            0x02: self._start,
            0x03: self._stop,
        }

    @property
    def streaming(self) -> bool:
        """Whether a stream runs."""
        return bool(self._nonce)

    @property
    def read_to_s(self) -> float:
        """Clock time up to which it has measured and will not ask again."""
        return self._probe.end_s(self._n_frames) if self.streaming else self._now_s

    def advance(self, now_s: float) -> None:
        """Measure and send every frame that is complete."""
        self._now_s = max(self._now_s, now_s)
        if self._boots_s <= now_s:
            self._come_back()
        if now_s < self._due_s:
            return
        n = math.floor((now_s - self._probe.end_s(0)) / FRAME_S + 1e-6) - self._n_frames
        for start in range(0, n, CHUNK_FRAMES):
            for reading in self._probe.take(min(n - start, CHUNK_FRAMES), self.gain):
                self._n_frames += 1
                self._over_range |= reading.beyond
                self._send_frames(self._probe.end_s(self._n_frames), reading.values_na)
        self._due_s = self._probe.end_s(self._n_frames + 1) - 1e-6 * FRAME_S

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes from the host and answer the requests that are complete."""
        self.advance(now_s)
        if self._booting or self.silent:
            return
        self._buffer += data
        while (request := self._next_request()) is not None:
            kind, seq, payload = request
            if kind in self._requests:
                self._requests[kind](seq, payload)
        del self._buffer[:-REQUEST_MAX]

    def take(self, now_s: float) -> bytes:
        """Give the bytes for the host that are due."""
        data = b""
        while self._out and self._out[0][0] <= now_s:
            data += self._out.popleft()[1]
        self._n_out -= len(data)
        return data

    def next_due_s(self) -> float | None:
        """Return when the next byte for the host is due."""
        due_s = [self._out[0][0]] if self._out else []
        if self.streaming:
            due_s.append(self._probe.end_s(self._n_frames + 1) + LATENCY_S)
        if self._booting:
            due_s.append(self._boots_s)
        return min(due_s, default=None)

    def reboot(self, now_s: float) -> None:
        """Lose power and come back: no stream any more, and a notice of the restart."""
        self.advance(now_s)
        self._end()
        self._buffer.clear()
        self._out.clear()
        self._n_out = 0
        self._held = None
        self._boots_s = now_s + BOOT_S

    @property
    def _booting(self) -> bool:
        return math.isfinite(self._boots_s)

    def _come_back(self) -> None:
        if self._booting:
            self._boot_s, self._boots_s = self._boots_s, -math.inf
            self.boot_count += 1
            self._put(self._frame(0x12, 0, self._status(0), self._boot_s), self._boot_s)

    def _next_request(self) -> tuple[int, int, bytes] | None:
        """Take one request with right checks off the buffer; what is none is passed over."""
        while True:
            start = self._buffer.find(b"\xa5\x5a")
            if start < 0:
                return None
            del self._buffer[:start]
            if len(self._buffer) < 20:
                return None
            length = int.from_bytes(self._buffer[4:6], "little")
            end = 20 + length + 4
            header_holds = binascii.crc_hqx(self._buffer[:18], 0xFFFF) == int.from_bytes(
                self._buffer[18:20], "little"
            )
            if not header_holds or end > REQUEST_MAX:
                del self._buffer[:2]
                continue
            if len(self._buffer) < end:
                return None
            if zlib.crc32(self._buffer[: end - 4]) != int.from_bytes(
                self._buffer[end - 4 : end], "little"
            ):
                del self._buffer[:2]
                continue
            version, kind = self._buffer[2], self._buffer[3]
            seq = int.from_bytes(self._buffer[6:10], "little")
            payload = bytes(self._buffer[20 : end - 4])
            del self._buffer[:end]
            if version == 1:
                return kind, seq, payload

    def _identify(self, seq: int, payload: bytes) -> None:
        identity = struct.pack(
            "<BHHHII24s16s8s",
            N_INPUTS,
            10,
            100,
            1000,
            self.boot_count,
            RANGE_NA,
            b"Reference monitor",
            b"EMULATED-1",
            b"1.0",
        )
        self._reply(0x81, seq, identity)

    def _start(self, seq: int, payload: bytes) -> None:
        if len(payload) != 8 or payload == bytes(8):
            return
        nonce = int.from_bytes(payload, "little")
        if nonce != self._nonce:  # a repeated request does not begin again
            self._end()
            self._nonce = nonce
            self._seq = self._n_frames = 0
            self._last.clear()
            self._probe.begin(self._now_s)
            self._due_s = self._probe.end_s(1)
        self._reply(0x82, seq, payload)

    def _stop(self, seq: int, payload: bytes) -> None:
        self._end()
        self._reply(0x83, seq, b"")

    def _end(self) -> None:
        """End the stream, if one runs."""
        self._earlier_nonce, self._nonce = self._nonce or self._earlier_nonce, 0
        self._due_s = math.inf

    def _reply(self, kind: int, seq: int, payload: bytes) -> None:
        self._put(self._frame(kind, seq, payload, self._now_s), self._now_s)

    def _status(self, nonce: int) -> bytes:
        flags = LOW_BATTERY * (self.battery_permille < LOW_PERMILLE)
        flags |= OVER_RANGE * self._over_range
        self._over_range = False
        return struct.pack("<QHHI", nonce, self.battery_permille, flags, self.boot_count)

    def _send_frames(self, end_s: float, currents: bytes) -> None:
        """Send what is due at the end of a frame: current, and now and then the other two."""
        self._send(0x10, currents, end_s)
        if self._n_frames % FRAMES_PER_CONTACT == 0:
            ohms = self._probe.impedances_ohm(end_s)
            contacts = [round(min(ohm, 4e9)) if ohm < math.inf else 0xFFFF_FFFF for ohm in ohms]
            self._send(0x11, struct.pack(f"<{N_INPUTS}I", *contacts), end_s)
        if self._n_frames % FRAMES_PER_STATUS == 0:
            self._send(0x12, self._status(self._nonce)[8:], end_s)

    def _send(self, kind: int, values: bytes, end_s: float) -> None:
        """Send one frame of the stream, with whatever is wrong with it."""
        if self.frozen and kind in self._last:
            self._put(self._last[kind], end_s)
            return
        if self.stuck and kind in self._last:
            values = self._last[kind][28:-4]
        nonce = self._nonce.to_bytes(8, "little")
        frame = self._frame(kind, self._seq, nonce + values, end_s)
        self._last[kind] = frame
        self._seq += 1
        faults = self.faults
        if faults.replay:
            faults.replay -= 1
            earlier = self._earlier_nonce.to_bytes(8, "little")
            self._put(self._frame(kind, self._seq, earlier + values, end_s), end_s)
        if faults.lose:
            faults.lose -= 1
            return
        if faults.corrupt:
            faults.corrupt -= 1
            frame = self._flip(frame)
        if faults.duplicate:
            faults.duplicate -= 1
            frame *= 2
        if faults.garbage:
            frame = bytes(0x80 | 37 * k % 128 for k in range(faults.garbage)) + frame
            faults.garbage = 0
        if self._held is not None:
            frame, self._held = frame + self._held, None
        elif faults.reorder:
            faults.reorder -= 1
            self._held = frame
            return
        self._put(frame, end_s)

    def _flip(self, frame: bytes) -> bytes:
        """Turn one bit over, another one each time."""
        place = 101 * self._n_flipped % (8 * len(frame))
        self._n_flipped += 1
        turned = bytearray(frame)
        turned[place // 8] ^= 1 << place % 8
        return bytes(turned)

    def _put(self, data: bytes, at_s: float) -> None:
        """Queue bytes; what the host does not fetch in time is lost."""
        if self.silent or self._n_out + len(data) > SEND_BUFFER:
            return
        due_s = at_s + LATENCY_S + self.faults.delay_s
        if self._out:
            due_s = max(due_s, self._out[-1][0])
        self._out.append((due_s, data))
        self._n_out += len(data)

    def _frame(self, kind: int, seq: int, payload: bytes, at_s: float) -> bytes:
        device_ms = max(round(1000.0 * (at_s - self._boot_s)), 0)
        head = HEADER.pack(0xA5, 0x5A, self.version, kind, len(payload), seq, device_ms)
        body = head + binascii.crc_hqx(head, 0xFFFF).to_bytes(2, "little") + payload
        return body + zlib.crc32(body).to_bytes(4, "little")
