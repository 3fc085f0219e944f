"""The wire protocol of the reference current monitor, version 1: frames, and the stream they make.

A frame has a header with a check of its own, so that a wrong length is never followed, and a check
over everything. Whatever comes in, the reader keeps less than one frame of it. A stream is the
frames that carry the nonce of this session, each number once and in order. The whole protocol is on
``docs/monitor-protocol.md``.
"""

from __future__ import annotations

import struct
from binascii import crc_hqx
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from zlib import crc32

__all__ = [
    "CONTACT",
    "CURRENT",
    "HELLO",
    "IDENTITY",
    "START",
    "STARTED",
    "STATUS",
    "STOP",
    "STOPPED",
    "Frame",
    "FrameReader",
    "Stream",
    "encode",
    "frame_size",
]

SYNC: Final = b"\xa5\x5a"
VERSION: Final = 1
PAYLOAD_MAX: Final = 256

HELLO, START, STOP = 0x01, 0x02, 0x03
CURRENT, CONTACT, STATUS = 0x10, 0x11, 0x12
IDENTITY, STARTED, STOPPED = 0x81, 0x82, 0x83

_HEADER: Final = struct.Struct("<2sBBHIQ")  # sync, version, type, length, sequence, device time
_HEADER_READ: Final = struct.Struct("<2xBBHIQH")
_CHECK_SIZE: Final = 4
_CHECK_START: Final = 0xFFFF
_WINDOW: Final = 64  # numbers back to which a duplicate is told from a latecomer
_SEEN: Final = 2**_WINDOW - 1


class Frame(NamedTuple):
    """One frame whose checks hold.

    Parameters
    ----------
    kind : int
        Type.
    seq : int
        Number in the stream, or of the request that it answers.
    device_ms : int
        The instrument's own time, ms.
    payload : bytes
        Content.
    """

    kind: int
    seq: int
    device_ms: int
    payload: bytes


def encode(kind: int, seq: int, payload: bytes = b"", device_ms: int = 0) -> bytes:
    """Return the bytes of a frame."""
    head = _HEADER.pack(SYNC, VERSION, kind, len(payload), seq, device_ms)
    head += crc_hqx(head, _CHECK_START).to_bytes(2, "little")
    return head + payload + crc32(head + payload).to_bytes(_CHECK_SIZE, "little")


def frame_size(n_payload: int) -> int:
    """Return the bytes of a frame with so many bytes of payload."""
    return _HEADER_READ.size + n_payload + _CHECK_SIZE


class FrameReader:
    """Find frames in a stream of bytes.

    Attributes
    ----------
    crc_errors : int
        Frames whose header or content does not match its check.
    oversized : int
        Headers that announce more than any frame has.
    other_version : int
        Headers of another version of the protocol.
    noise : int
        Runs of bytes that were no frame.
    """

    def __init__(self) -> None:
        self.crc_errors = 0
        self.oversized = 0
        self.other_version = 0
        self.noise = 0
        self._buffer = bytearray()
        self._astray = False  # nothing but rubbish since the last good frame

    @property
    def held(self) -> int:
        """Bytes of a frame that is not complete; never more than one frame has."""
        return len(self._buffer)

    @property
    def corrupted(self) -> int:
        """Everything that came and was no frame of this protocol."""
        return self.crc_errors + self.oversized + self.other_version + self.noise

    def feed(self, data: bytes) -> Sequence[Frame]:
        """Take bytes, and return the frames that they complete."""
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        at, size = 0, len(buffer)
        while True:
            start = buffer.find(SYNC, at)
            if start < 0:
                start = size - buffer.endswith(SYNC[:1], at)  # a last byte may begin a frame
                self._skip(start - at)
                at = start
                break
            if start > at:
                self._skip(start - at)
                at = start
            if size - at < _HEADER_READ.size:
                break
            version, kind, length, seq, device_ms, check = _HEADER_READ.unpack_from(buffer, at)
            holds = crc_hqx(buffer[at : at + _HEADER.size], _CHECK_START) == check
            if not (holds and version == VERSION and length <= PAYLOAD_MAX):
                self._reject(holds, version)
                at += len(SYNC)
                continue
            end = at + _HEADER_READ.size + length + _CHECK_SIZE
            if size < end:
                break
            body = bytes(buffer[at : end - _CHECK_SIZE])
            if crc32(body) != int.from_bytes(buffer[end - _CHECK_SIZE : end], "little"):
                self._reject(False, version)
                at += len(SYNC)
                continue
            frames.append(Frame(kind, seq, device_ms, body[_HEADER_READ.size :]))
            self._astray = False
            at = end
        del buffer[:at]
        return frames

    def _reject(self, holds: bool, version: int) -> None:
        """Count a frame that is none."""
        if not holds:
            self.crc_errors += 1
        elif version != VERSION:
            self.other_version += 1
        else:
            self.oversized += 1
        self._astray = True

    def _skip(self, n: int) -> None:
        """Count a run of bytes once; what follows a failed check belongs to that frame."""
        if n > 0 and not self._astray:
            self.noise += 1
            self._astray = True


@dataclass(slots=True)
class Stream:
    """Which frames belong to the present stream, each once and in order.

    Parameters
    ----------
    nonce : int
        The number of this session; 0 for none.
    """

    nonce: int = 0
    accepted: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    foreign: int = 0
    _newest: int = -1
    _seen: int = 0

    def begin(self, nonce: int) -> None:
        """Expect another stream from its first number on; the counts go on."""
        self.nonce, self._newest, self._seen = nonce, -1, 0

    def admit(self, nonce: int, seq: int) -> bool:
        """Say whether a frame is new and the next, and count it."""
        if nonce != self.nonce or not self.nonce:
            self.foreign += 1
            return False
        ahead = seq - self._newest
        if ahead > 0:
            self.lost += ahead - 1
            self._newest = seq
            self._seen = (self._seen << ahead | 1) & _SEEN if ahead < _WINDOW else 1
            self.accepted += 1
            return True
        if -ahead < _WINDOW and self._seen >> -ahead & 1:
            self.duplicated += 1
        else:
            self.reordered += 1
            if -ahead < _WINDOW:
                self._seen |= 1 << -ahead
        return False
