from __future__ import annotations

import itertools
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.current_monitor_wire import (
    CONTACT,
    CURRENT,
    HELLO,
    IDENTITY,
    START,
    STARTED,
    STATUS,
    STOP,
    STOPPED,
    FrameReader,
    Stream,
    encode,
    frame_size,
)

ROOT = Path(__file__).parents[2]
NONCE = 0x0123_4567_89AB_CDEF
LARGEST = 280

HELLO_BYTES = bytes.fromhex("A55A 01 01 0000 01000000 0000000000000000 8192 55506FBF")
CURRENT_BYTES = bytes.fromhex(
    "A55A 01 10 1400 02000000 1E00000000000000 9FEF"
    "EFCDAB8967452301 FFFFFFFF 40420F00 23CA0A00 5D645389"
)
CURRENT_PAYLOAD = struct.pack("<Qiii", NONCE, -1, 1_000_000, 707_107)


def test_expected_bytes() -> None:
    assert encode(HELLO, 1) == HELLO_BYTES
    assert encode(CURRENT, 2, CURRENT_PAYLOAD, 30) == CURRENT_BYTES
    assert frame_size(0) == len(HELLO_BYTES) == 24
    assert frame_size(20) == len(CURRENT_BYTES)
    assert frame_size(256) == LARGEST


def test_the_protocol_page_shows_these_bytes() -> None:
    page = (ROOT / "docs/monitor-protocol.md").read_text(encoding="utf-8")
    shown = "".join(re.findall(r"^    ([0-9A-F ]+)$", page, flags=re.MULTILINE))
    assert bytes.fromhex(shown) == HELLO_BYTES + CURRENT_BYTES


def test_a_frame_is_read_as_it_was_written() -> None:
    reader = FrameReader()
    (frame,) = reader.feed(CURRENT_BYTES)
    assert frame == (CURRENT, 2, 30, CURRENT_PAYLOAD)
    assert reader.corrupted == 0
    assert reader.held == 0


FRAMES = {
    HELLO: encode(HELLO, 7),
    START: encode(START, 8, struct.pack("<Q", NONCE)),
    STOP: encode(STOP, 9),
    CURRENT: encode(CURRENT, 4_000_000_000, struct.pack("<Q24i", NONCE, *range(24)), 123_456),
    CONTACT: encode(CONTACT, 77, struct.pack("<Q8I", NONCE, *[5000] * 4, *[2**32 - 1] * 4), 2**40),
    STATUS: encode(STATUS, 78, struct.pack("<QHHI", NONCE, 950, 0, 7), 1000),
    IDENTITY: encode(IDENTITY, 7, bytes(63), 10),
    STARTED: encode(STARTED, 8, struct.pack("<Q", NONCE), 11),
    STOPPED: encode(STOPPED, 9, b"", 12),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_every_single_and_double_bit_flip_is_rejected(kind: int) -> None:
    frame = FRAMES[kind]
    (good,) = FrameReader().feed(frame)
    assert good.kind == kind
    whole = int.from_bytes(frame, "little")
    masks = [1 << place for place in range(8 * len(frame))]
    accepted = 0
    for first, second in itertools.combinations([0, *masks], 2):
        flipped = (whole ^ first ^ second).to_bytes(len(frame), "little")
        accepted += len(FrameReader().feed(flipped))
    assert accepted == 0


@pytest.mark.parametrize("place", [0, 1, 2, 4, 5, 9, 19, 20, 120, 127])
def test_after_a_bad_frame_the_next_good_one_is_taken(place: int) -> None:
    bad = bytearray(FRAMES[CURRENT])
    bad[place] ^= 0x10
    reader = FrameReader()
    assert [f.kind for f in reader.feed(bytes(bad) + FRAMES[STATUS])] == [STATUS]
    assert reader.corrupted == 1


def test_what_is_counted_as_what() -> None:
    reader = FrameReader()
    assert not reader.feed(b"\x00\xff\xa5noise\xa5")
    assert not reader.feed(b"more noise")
    assert (reader.noise, reader.corrupted) == (1, 1)  # one run, however it came
    assert len(reader.feed(HELLO_BYTES)) == 1
    other_version = bytearray(HELLO_BYTES)
    other_version[2] = 2
    other_version[18:20] = struct.pack("<H", _crc16(other_version[:18]))
    oversized = bytearray(HELLO_BYTES)
    oversized[4:6] = struct.pack("<H", 257)
    oversized[18:20] = struct.pack("<H", _crc16(oversized[:18]))
    wrong_check = HELLO_BYTES[:-1] + b"\x00"
    assert not reader.feed(bytes(other_version + oversized) + wrong_check)
    assert (reader.other_version, reader.oversized, reader.crc_errors) == (1, 1, 1)
    assert reader.corrupted == 4
    assert len(reader.feed(HELLO_BYTES)) == 1


def _crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE, bit by bit."""
    value = 0xFFFF
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ 0x1021 if value & 0x8000 else value << 1) & 0xFFFF
    return value


def test_the_header_check_is_the_one_of_the_page() -> None:
    assert _crc16(b"123456789") == 0x29B1
    assert HELLO_BYTES[18:20] == struct.pack("<H", _crc16(HELLO_BYTES[:18]))


@given(st.data())
def test_frames_in_any_pieces(data: st.DataObject) -> None:
    stream = b"".join(FRAMES.values())
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    reader, kinds = FrameReader(), []
    for start, end in itertools.pairwise([0, *cuts, len(stream)]):
        kinds += [frame.kind for frame in reader.feed(stream[start:end])]
    assert kinds == list(FRAMES)
    assert reader.corrupted == 0


PIECES = st.one_of(
    st.binary(max_size=400),
    st.sampled_from([b"\xa5", b"\xa5\x5a", b"\xa5\x5a\x01\x10\xff\xff", *FRAMES.values()]),
    st.builds(lambda frame, n: frame[:n], st.sampled_from([*FRAMES.values()]), st.integers(0, 127)),
)


@given(st.lists(PIECES, max_size=30))
def test_no_bytes_raise_and_little_is_held(pieces: list[bytes]) -> None:
    reader = FrameReader()
    for piece in pieces:
        for frame in reader.feed(piece):
            assert encode(frame.kind, frame.seq, frame.payload, frame.device_ms) in b"".join(pieces)
        assert reader.held < LARGEST
    # Whatever came before, the next frames are found: at most one is eaten by a cut one.
    found = reader.feed(b"".join([*FRAMES.values()] * 2))
    assert [f.kind for f in found[-len(FRAMES) :]] == list(FRAMES)


def admitted(seqs: list[int], nonce: int = 5) -> tuple[list[int], Stream]:
    stream = Stream()
    stream.begin(5)
    return [seq for seq in seqs if stream.admit(nonce, seq)], stream


def test_a_stream_in_order() -> None:
    taken, stream = admitted([0, 1, 2, 3])
    assert taken == [0, 1, 2, 3]
    assert (stream.accepted, stream.lost, stream.duplicated, stream.reordered) == (4, 0, 0, 0)


def test_gaps_duplicates_and_latecomers() -> None:
    taken, stream = admitted([0, 2, 1, 2, 1, 5, 0, 6, 200, 6, 137, 199])
    assert taken == [0, 2, 5, 6, 200]
    assert stream.lost == 1 + 2 + 193
    # Again 2, again 1 (which had come late), again 0; 6 is too far back to tell.
    assert stream.duplicated == 3
    assert stream.reordered == 1 + 3


def test_the_first_frames_may_be_the_lost_ones() -> None:
    assert admitted([3])[1].lost == 3


def test_another_nonce_is_foreign_and_changes_nothing() -> None:
    taken, stream = admitted([0, 1, 900], nonce=6)
    assert (taken, stream.foreign, stream.lost, stream.accepted) == ([], 3, 0, 0)
    assert stream.admit(5, 0)
    assert not Stream().admit(0, 0)  # no stream has no nonce


def test_a_new_stream_counts_on_from_its_first_number() -> None:
    _, stream = admitted([0, 1, 2])
    stream.begin(9)
    assert stream.admit(9, 0)
    assert not stream.admit(5, 3)
    assert (stream.accepted, stream.duplicated, stream.foreign) == (4, 0, 1)


@given(st.lists(st.integers(0, 200), max_size=200))
def test_every_number_at_most_once_and_ascending(seqs: list[int]) -> None:
    taken, stream = admitted(seqs)
    assert taken == sorted(set(taken))
    assert stream.accepted + stream.duplicated + stream.reordered == len(seqs)
    assert stream.lost == (max(seqs) + 1 - len(taken) if seqs else 0)
