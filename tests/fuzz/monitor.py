"""The current monitor's frames: whatever comes in, only frames that were sent come out."""

from __future__ import annotations

import functools
import random

from devices import current_monitor_wire as wire
from tests.fuzz.targets import Accepted, Target

KINDS = (wire.IDENTITY, wire.STARTED, wire.CURRENT, wire.CONTACT, wire.STATUS, wire.STOPPED)
LARGEST = wire.frame_size(wire.PAYLOAD_MAX)


@functools.cache
def frames() -> tuple[bytes, ...]:
    draw = random.Random(5)
    return tuple(
        wire.encode(kind, seq, draw.randbytes(size), device_ms=seq * 10)
        for seq, (kind, size) in enumerate(
            (kind, size) for kind in KINDS for size in (0, 8, 24, wire.PAYLOAD_MAX)
        )
    )


@functools.cache
def streams() -> tuple[bytes, ...]:
    sent = frames()
    return (*sent[:8], b"".join(sent[:3]), b"\x00\xa5" + b"".join(sent[8:11]) + b"\xa5")


@functools.cache
def known() -> frozenset[wire.Frame]:
    reader = wire.FrameReader()
    return frozenset(reader.feed(b"".join(frames())))


def monitor(content: bytes) -> None:
    """Fed in two parts, as a port gives it."""
    reader = wire.FrameReader()
    half = len(content) // 2
    for part in (content[:half], content[half:]):
        for frame in reader.feed(part):
            if frame not in known():
                raise Accepted(f"a frame that nobody sent: {frame}")
        if reader.held > LARGEST:
            raise Accepted(f"{reader.held} bytes held")


TARGET = Target("monitor wire", monitor, streams, (), (wire.SYNC, b"\xa5", b"\x5a", b"\x00\x00"))
