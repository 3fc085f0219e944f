"""Sealing: what only the statistician may read, written where everybody can see it being written.

A sealed file is a row of blocks of one size. Each block is a box of its own (X25519 and
XSalsa20-Poly1305, PyNaCl's ``SealedBox``) that only the statistician's private key opens, so a file
that a crash cut short opens up to its last whole block. Inside stand a counter, the place in the
stream and the hash of the block before: a block that was changed, lost, doubled or moved shows.
How many blocks there are is the writer's caller's choice and does not follow from what is in them.

What was written but does not fill a block yet can be put on disk at once: it goes to a waiting area
of fixed size at the beginning of the file, in two halves written in turn, so that no write ever
touches the only copy of anything. The size of the file tells nothing of it.

Anybody can seal with a public key. That a sealed file is the one that was written, and not another
one, is shown by its ``head``, which the open record beside it carries.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tacs.errors import InputError, RecordError
from tacs.sealing_keys import (
    from_base64,
    generate_keys,
    read_private_key,
    read_public_key,
    seal,
    to_base64,
    unseal,
)

__all__ = [
    "OpenedFile",
    "SealedWriter",
    "generate_keys",
    "open_sealed",
    "pad_to",
    "read_private_key",
    "read_public_key",
    "seal",
    "sealed_digest",
    "sealed_heads",
    "unpad",
    "unseal",
]

MAGIC = b"tacs sealed file 1\n"
BLOCK_BYTES = 4096
WAITING_BLOCKS = 4  # in each half of the waiting area
BOX_BYTES = 48  # what a sealed box adds: an ephemeral public key and the authenticator
HEAD = struct.Struct(">BQQ32sI")  # flags, counter, place in the stream, hash before, payload bytes
PACKED, LAST = 1, 2
GENESIS = bytes(32)
LENGTH = struct.Struct(">Q")


def pad_to(data: bytes, n_bytes: int) -> bytes:
    """Bring bytes to one length: their own length in front, zeros behind.

    Raises
    ------
    InputError
        They do not fit.
    """
    if LENGTH.size + len(data) > n_bytes:
        raise InputError(f"{len(data)} bytes do not fit in {n_bytes} with their length")
    return (LENGTH.pack(len(data)) + data).ljust(n_bytes, b"\0")


def unpad(data: bytes) -> bytes:
    """Return what :func:`pad_to` was given.

    Raises
    ------
    InputError
        Not padded by it.
    """
    if len(data) < LENGTH.size:
        raise InputError("not padded: shorter than a length")
    (length,) = LENGTH.unpack_from(data)
    end = LENGTH.size + length
    if end > len(data) or data[end:].strip(b"\0"):
        raise InputError("not padded: the length does not fit what follows")
    return data[LENGTH.size : end]


class SealedWriter:
    """Write a stream into a new sealed file.

    Parameters
    ----------
    path : path
        Must not exist.
    public_key : bytes
        The statistician's.
    block_bytes : int
        Size of a block on disk.
    pack : bool
        Compress what goes into a block where it would not fit otherwise.

    Raises
    ------
    InputError
        The file exists, or cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        public_key: bytes,
        *,
        block_bytes: int = BLOCK_BYTES,
        pack: bool = True,
    ) -> None:
        self.path = Path(path)
        self.blocks = 0
        self.head = hashlib.sha256(public_key).hexdigest()
        self._public_key = public_key
        self._block_bytes = block_bytes
        self._pack = pack
        self._pending = b""
        self._done = 0  # bytes of the stream in whole blocks
        self._before = GENESIS
        self._version = 0
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as exc:
            raise InputError(f"{self.path}: is there already; a sealed file is kept") from exc
        except OSError as exc:
            raise InputError(f"{self.path}: cannot be written ({exc.strerror})") from exc
        title = json.dumps({"block_bytes": block_bytes, "public_key": to_base64(public_key)})
        waiting = b"".join(self._box(0, 0, b"") for _ in range(2 * WAITING_BLOCKS))
        try:
            self._write_at(0, (MAGIC + title.encode() + b"\n").ljust(block_bytes, b"\0") + waiting)
            os.fsync(self._fd)
            _sync_folder(self.path.parent)
        except OSError as exc:
            self.abandon()
            self.path.unlink(missing_ok=True)
            raise InputError(f"{self.path}: cannot be written ({exc.strerror})") from exc

    @property
    def pending_bytes(self) -> int:
        """How much has not reached a whole block."""
        return len(self._pending)

    def put(self, data: bytes) -> None:
        """Take bytes into the stream; nothing is on disk yet."""
        self._pending += data

    def take_back(self, n_bytes: int) -> None:
        """Forget the last bytes that were put, none of which is in a whole block."""
        self._pending = self._pending[: len(self._pending) - n_bytes]

    def block(self) -> None:
        """Write one block: as much as fits of what is pending, or nothing but padding.

        Raises
        ------
        RecordError
            The disk refused it; the stream is as it was.
        """
        self._block(last=False)

    def stage(self) -> None:
        """Write what is pending to the waiting area; it is in the file, not yet on disk.

        Raises
        ------
        RecordError
            The disk refused, or more is pending than the waiting area holds.
        """
        if not self._pending:
            return
        try:
            self._wait()
        except OSError as exc:
            raise RecordError(f"{self.path}: cannot be written ({exc.strerror})") from exc

    def sync(self) -> None:
        """Have everything on disk, what is pending too.

        Raises
        ------
        RecordError
            As :meth:`stage`.
        """
        self.stage()
        try:
            getattr(os, "fdatasync", os.fsync)(self._fd)
        except OSError as exc:
            raise RecordError(f"{self.path}: cannot be written ({exc.strerror})") from exc

    def descriptor(self) -> int:
        """Return a descriptor of the file of its own, for a thread that syncs."""
        return os.dup(self._fd)

    def finish(self, blocks: int) -> None:
        """End the stream, with this many blocks in all; 64 at a time more where it needs them.

        Raises
        ------
        RecordError
            The disk refused.
        """
        total = max(blocks, self.blocks + 1)
        while not (
            self.blocks + 1 == total and self._chunk(self._pending)[0] == len(self._pending)
        ):
            if self.blocks + 1 == total:
                total += 64
            self._block(last=False)
        self._block(last=True)
        empty = b"".join(self._box(0, 0, b"") for _ in range(2 * WAITING_BLOCKS))
        try:
            self._write_at(self._block_bytes, empty)
            os.fsync(self._fd)
        except OSError as exc:
            raise RecordError(f"{self.path}: cannot be written ({exc.strerror})") from exc

    def abandon(self) -> None:
        """Close the file as it is."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abandon()

    @property
    def room(self) -> int:
        """Bytes that one block holds, uncompressed."""
        return self._block_bytes - BOX_BYTES - HEAD.size

    def _chunk(self, data: bytes) -> tuple[int, bytes, int]:
        """How many leading bytes of ``data`` go into one block, their payload, and its flag."""
        fits = min(len(data), self.room)
        if fits == len(data) or not self._pack:
            return fits, data[:fits], 0
        taken = _most_that_packs(data, self.room)
        if taken == fits:
            return fits, data[:fits], 0
        return taken, zlib.compress(data[:taken]), PACKED

    def _plain(self, flags: int, counter: int, place: int, payload: bytes) -> bytes:
        head = HEAD.pack(flags, counter, place, self._before, len(payload))
        return (head + payload).ljust(self._block_bytes - BOX_BYTES, b"\0")

    def _box(self, counter: int, place: int, payload: bytes, flags: int = 0) -> bytes:
        return seal(self._plain(flags, counter, place, payload), self._public_key)

    def _block(self, *, last: bool) -> None:
        taken, payload, packed = self._chunk(self._pending)
        plain = self._plain(packed | (LAST if last else 0), self.blocks, self._done, payload)
        box = seal(plain, self._public_key)
        at = (1 + 2 * WAITING_BLOCKS + self.blocks) * self._block_bytes
        try:
            self._write_at(at, box)
        except OSError as exc:
            raise RecordError(f"{self.path}: cannot be written ({exc.strerror})") from exc
        self.blocks += 1
        self.head = _next_head(self.head, box)
        self._before = hashlib.sha256(plain).digest()
        self._done += taken
        self._pending = self._pending[taken:]

    def _wait(self) -> None:
        """Write what is pending to the half of the waiting area that is not the latest."""
        version, left, place, boxes = self._version + 1, self._pending, self._done, b""
        for part in range(WAITING_BLOCKS):
            taken, payload, packed = self._chunk(left)
            left = left[taken:]
            last = 0 if left else LAST
            boxes += self._box(version * WAITING_BLOCKS + part, place, payload, packed | last)
            place += taken
            if last:
                break
        else:
            raise RecordError(
                f"{self.path}: {len(self._pending)} bytes came between two blocks, more than the "
                f"sealed record holds"
            )
        half = 1 + WAITING_BLOCKS * (version % 2)
        self._write_at(half * self._block_bytes, boxes)
        self._version = version

    def _write_at(self, place: int, data: bytes) -> None:
        os.lseek(self._fd, place, os.SEEK_SET)
        done = os.write(self._fd, data)
        if done != len(data):
            whole = 1 + 2 * WAITING_BLOCKS + self.blocks
            if place >= whole * self._block_bytes:
                os.ftruncate(self._fd, place)
            raise OSError(28, "No space left on device")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedFile:
    """What a sealed file held, as far as it verifies.

    Parameters
    ----------
    content : bytes
        The stream.
    blocks : int
        Whole blocks that verified.
    waiting_bytes : int
        How much of the content had not reached a whole block: a crash came between.
    complete : bool
        Whether the stream was ended by its writer.
    head : str
        Of the blocks that verified; compare it with the open record.
    problem : str or None
        What is wrong with the first block that does not verify, or None.
    """

    content: bytes
    blocks: int
    waiting_bytes: int
    complete: bool
    head: str
    problem: str | None

    def unpadded(self) -> bytes:
        """Return the content without the padding of :func:`pad_to`, where it has one."""
        try:
            return unpad(self.content)
        except InputError:
            return self.content

    def lines(self) -> list[str]:
        """Return the content as whole lines of text."""
        end = self.content.rfind(b"\n") + 1
        return self.content[:end].decode("utf-8").splitlines()


def open_sealed(path: str | Path, private_key: bytes) -> OpenedFile:
    """Open a sealed file as far as it verifies.

    Parameters
    ----------
    path : path
        The sealed file.
    private_key : bytes
        The statistician's.

    Returns
    -------
    OpenedFile
        With the problem of the first bad block, where there is one; a torn tail is one.

    Raises
    ------
    InputError
        No such file, not a sealed file, or sealed for another key.
    """
    from nacl.public import PrivateKey

    raw, size, public_key = _sealed_content(path)
    if bytes(PrivateKey(private_key).public_key) != public_key:
        raise InputError(f"{path}: is sealed for another key; give the private key that belongs")
    first = (1 + 2 * WAITING_BLOCKS) * size
    content, before, head = bytearray(), GENESIS, _first_head(public_key)
    count, complete, torn, problem = 0, False, False, None
    for at in range(first, len(raw), size):
        box = raw[at : at + size]
        problem = _after_the_end(complete, count)
        torn = problem is None and len(box) < size
        if torn:
            problem = f"block {count}: torn, {len(box)} of {size} bytes; a crash cut it off"
        if problem is not None:
            break
        try:
            plain = unseal(box, private_key)
        except InputError:
            problem = f"block {count}: cannot be opened; it was changed, or put here from elsewhere"
            break
        flags, counter, place, previous, length = HEAD.unpack_from(plain)
        problem = _misplaced(count, counter, place == len(content), previous == before)
        if problem is not None:
            break
        try:
            content += _payload(plain, flags, length)
        except zlib.error:
            problem = f"block {count}: holds what cannot be unpacked; it was put here"
            break
        before, head = hashlib.sha256(plain).digest(), _next_head(head, box)
        complete, count = bool(flags & LAST), count + 1
    waiting = b""
    if not complete and (problem is None or torn):
        waiting = _waiting(raw, size, private_key, before, len(content))
    return OpenedFile(
        content=bytes(content) + waiting,
        blocks=count,
        waiting_bytes=len(waiting),
        complete=complete,
        head=head,
        problem=problem,
    )


def sealed_digest(path: str | Path) -> dict[str, object]:
    """Return what anybody can say of a sealed file: its name, its blocks, its hash and its head.

    Raises
    ------
    InputError
        No such file, or not a sealed file.
    """
    heads = sealed_heads(path)
    return {
        "file": Path(path).name,
        "blocks": len(heads) - 1,
        "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest(),
        "head": heads[-1],
    }


def sealed_heads(path: str | Path) -> list[str]:
    """Return the head of a sealed file before its first block, and after every whole one.

    Raises
    ------
    InputError
        No such file, or not a sealed file.
    """
    raw, size, public_key = _sealed_content(path)
    heads = [_first_head(public_key)]
    for at in range((1 + 2 * WAITING_BLOCKS) * size, len(raw) - size + 1, size):
        heads.append(_next_head(heads[-1], raw[at : at + size]))
    return heads


def _sealed_content(path: str | Path) -> tuple[bytes, int, bytes]:
    """Bytes of a sealed file, its block size and its public key."""
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError as exc:
        raise InputError(f"{path}: no such file") from exc
    except OSError as exc:
        raise InputError(f"{path}: cannot be read ({exc.strerror})") from exc
    if not raw.startswith(MAGIC):
        raise InputError(f"{path}: is not a sealed file")
    try:
        title = json.loads(raw[len(MAGIC) : raw.index(b"\n", len(MAGIC))])
        size, public_key = int(title["block_bytes"]), from_base64(str(title["public_key"]))
    except (ValueError, KeyError, TypeError) as exc:
        raise InputError(f"{path}: is not a sealed file, or its first line was changed") from exc
    if size < 512 or len(public_key) != 32:
        raise InputError(f"{path}: is not a sealed file, or its first line was changed")
    return raw, size, public_key


def _after_the_end(complete: bool, count: int) -> str | None:
    return f"block {count}: stands after the end" if complete else None


def _misplaced(count: int, counter: int, in_place: bool, chained: bool) -> str | None:
    """What is wrong with where a block stands."""
    if counter > count:
        return f"block {count}: missing or moved; number {counter} stands there"
    if counter < count:
        return f"block {count}: doubled or moved; number {counter} stands there"
    if not (in_place and chained):
        return f"block {count}: does not continue the block before; one of them was exchanged"
    return None


def _waiting(raw: bytes, size: int, private_key: bytes, before: bytes, so_far: int) -> bytes:
    """The latest whole version of what waited for a block, where it continues the content."""
    best, best_version = b"", 0
    for half in range(2):
        parts, version = b"", 0
        for part in range(WAITING_BLOCKS):
            at = (1 + half * WAITING_BLOCKS + part) * size
            try:
                plain = unseal(raw[at : at + size], private_key)
            except InputError:
                break
            flags, counter, place, previous, length = HEAD.unpack_from(plain)
            version = version or counter // WAITING_BLOCKS
            continues = previous == before and place == so_far + len(parts)
            if counter != version * WAITING_BLOCKS + part or not continues:
                break
            try:
                parts += _payload(plain, flags, length)
            except zlib.error:
                break
            if flags & LAST:
                if version > best_version:
                    best, best_version = parts, version
                break
    return best


def _most_that_packs(data: bytes, room: int) -> int:
    """How many leading bytes fit into ``room`` once compressed; at least ``room`` itself."""
    most = min(len(data), 32 * room)
    if len(zlib.compress(data[:most])) <= room:
        return most
    low, high = room, most - 1
    while low < high:
        middle = (low + high + 1) // 2
        if len(zlib.compress(data[:middle])) <= room:
            low = middle
        else:
            high = middle - 1
    return low


def _payload(plain: bytes, flags: int, length: int) -> bytes:
    payload = plain[HEAD.size : HEAD.size + length]
    return zlib.decompress(payload) if flags & PACKED else payload


def _first_head(public_key: bytes) -> str:
    return hashlib.sha256(public_key).hexdigest()


def _next_head(head: str, box: bytes) -> str:
    """The chain over the sealed blocks, which anybody can compute."""
    return hashlib.sha256(head.encode() + box).hexdigest()


def _sync_folder(folder: Path) -> None:
    """Have the folder's new entry on disk, where folders can be synced."""
    if os.name != "posix":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
