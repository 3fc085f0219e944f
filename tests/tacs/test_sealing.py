"""Sealing: only the private key opens, and every byte that changed shows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacs.errors import InputError, RecordError
from tacs.sealing import (
    BLOCK_BYTES,
    WAITING_BLOCKS,
    SealedWriter,
    generate_keys,
    open_sealed,
    pad_to,
    read_private_key,
    read_public_key,
    seal,
    sealed_digest,
    unpad,
    unseal,
)

FIRST = (1 + 2 * WAITING_BLOCKS) * BLOCK_BYTES  # where the first block stands


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    public, private = generate_keys(tmp_path_factory.mktemp("keys"))
    return read_public_key(public), read_private_key(private)


def chunks(n: int) -> list[bytes]:
    return [f"slot {i}: ".encode() + os.urandom(300).hex().encode() + b"\n" for i in range(n)]


def written(path: Path, public: bytes, parts: list[bytes], *, finish: int = 0) -> bytes:
    with SealedWriter(path, public) as sealed:
        for part in parts:
            sealed.put(part)
            sealed.block()
        if finish:
            sealed.finish(finish)
    return b"".join(parts)


# -- keys ------------------------------------------------------------------------------------------


def test_keys_are_text_and_the_private_one_is_private(tmp_path: Path):
    public, private = generate_keys(tmp_path / "deep")
    assert (public.name, private.name) == ("statistician-public.key", "statistician-private.key")
    assert public.read_text().splitlines()[0].startswith("# tacs-suite sealing key, public part")
    assert private.read_text().splitlines()[0].startswith("# tacs-suite sealing key, private part")
    assert private.stat().st_mode & 0o777 == 0o600
    assert len(read_public_key(public)) == len(read_private_key(private)) == 32
    assert read_public_key(public) != read_private_key(private)


def test_keys_are_never_written_over(tmp_path: Path):
    _, private = generate_keys(tmp_path)
    before = private.read_bytes()
    with pytest.raises(InputError, match="is there already; what was sealed for it needs it"):
        generate_keys(tmp_path)
    assert private.read_bytes() == before


def test_what_is_no_key_is_refused(tmp_path: Path):
    public, private = generate_keys(tmp_path)
    with pytest.raises(InputError, match=r"is not a private key of `tacs blind keygen`"):
        read_private_key(public)
    with pytest.raises(InputError, match=r"is not a public key of `tacs blind keygen`"):
        read_public_key(private)
    with pytest.raises(InputError, match="no such file; `tacs blind keygen` makes keys"):
        read_public_key(tmp_path / "none.key")
    with pytest.raises(InputError, match="cannot be read as a public key"):
        read_public_key(tmp_path)
    title = public.read_text().splitlines()[0]
    for text in ("AAAA", "not base64!"):
        bad = tmp_path / "bad.key"
        bad.write_text(f"{title}\n{text}\n")
        with pytest.raises(InputError, match="its second line was changed"):
            read_public_key(bad)
    private.chmod(0o640)
    with pytest.raises(InputError, match="others can read this private key; chmod 600"):
        read_private_key(private)


def test_only_the_private_key_opens(keys: tuple[bytes, bytes], tmp_path: Path):
    public, private = keys
    box = seal(b"active", public)
    assert b"active" not in box
    assert seal(b"active", public) != box
    assert unseal(box, private) == b"active"
    _, other = generate_keys(tmp_path)
    for bad, key in ((box, read_private_key(other)), (box[:-1], private), (b"", private)):
        with pytest.raises(InputError, match="sealed for another key, or changed since"):
            unseal(bad, key)


# -- padding ---------------------------------------------------------------------------------------


@given(st.binary(max_size=40), st.integers(48, 80))
def test_padding_comes_off_again_and_has_one_length(data: bytes, n: int):
    assert len(pad_to(data, n)) == n
    assert unpad(pad_to(data, n)) == data


def test_what_does_not_fit_or_was_not_padded_is_refused():
    assert unpad(pad_to(b"x" * 8, 16)) == b"x" * 8
    with pytest.raises(InputError, match="9 bytes do not fit in 16"):
        pad_to(b"x" * 9, 16)
    for bad in (b"short", pad_to(b"x", 16)[:-1] + b"y", pad_to(b"xxxx", 12)[:-1]):
        with pytest.raises(InputError, match="not padded"):
            unpad(bad)


# -- the file --------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(st.lists(st.binary(max_size=9000), max_size=6))
def test_what_was_written_is_read(
    keys: tuple[bytes, bytes], tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]
):
    path = tmp_path_factory.mktemp("s") / "x.sealed"
    content = written(path, keys[0], parts, finish=30)
    opened = open_sealed(path, keys[1])
    assert (opened.content, opened.problem, opened.complete) == (content, None, True)
    assert (opened.blocks, opened.waiting_bytes) == (30, 0)
    assert path.stat().st_size == FIRST + 30 * BLOCK_BYTES
    assert sealed_digest(path)["head"] == opened.head
    assert sealed_digest(path)["blocks"] == 30


def test_the_size_says_nothing_of_the_content(keys: tuple[bytes, bytes], tmp_path: Path):
    sizes = set()
    for i, parts in enumerate(([b""] * 5, chunks(5), [b"x" * 100_000, b"", b"", b"", b""])):
        written(tmp_path / str(i), keys[0], parts, finish=9)
        sizes.add((tmp_path / str(i)).stat().st_size)
    assert sizes == {FIRST + 9 * BLOCK_BYTES}


def test_what_needs_more_blocks_gets_them_by_the_dozen(keys: tuple[bytes, bytes], tmp_path: Path):
    noise = os.urandom(20_000)
    content = written(tmp_path / "x", keys[0], [noise], finish=3)
    opened = open_sealed(tmp_path / "x", keys[1])
    assert (opened.content, opened.blocks, opened.complete) == (content, 3 + 64, True)


def test_lines_are_whole_ones(keys: tuple[bytes, bytes], tmp_path: Path):
    written(tmp_path / "x", keys[0], [b"one\ntw", "o ä\nthr".encode()])
    assert open_sealed(tmp_path / "x", keys[1]).lines() == ["one", "two ä"]


def test_a_prefix_opens_after_a_crash_at_any_byte(keys: tuple[bytes, bytes], tmp_path: Path):
    parts = chunks(6)
    written(tmp_path / "x", keys[0], parts, finish=8)
    whole = (tmp_path / "x").read_bytes()
    for cut in (*range(FIRST, len(whole), 1500), FIRST + 3 * BLOCK_BYTES):
        (tmp_path / "cut").write_bytes(whole[:cut])
        opened = open_sealed(tmp_path / "cut", keys[1])
        n, torn = divmod(cut - FIRST, BLOCK_BYTES)
        assert opened.content == b"".join(parts[:n])
        assert not opened.complete
        assert opened.problem == (
            f"block {n}: torn, {torn} of {BLOCK_BYTES} bytes; a crash cut it off" if torn else None
        )


def test_what_was_synced_is_there_before_its_block_is(keys: tuple[bytes, bytes], tmp_path: Path):
    first, second, third = b"first\n", os.urandom(9000), b"third\n"
    sealed = SealedWriter(tmp_path / "x", keys[0])
    size = (tmp_path / "x").stat().st_size

    def now() -> tuple[bytes, int]:
        opened = open_sealed(tmp_path / "x", keys[1])
        assert opened.problem is None
        return opened.content, opened.waiting_bytes

    sealed.put(first)
    assert now() == (b"", 0)
    sealed.sync()
    assert now() == (first, 6)
    sealed.put(second)
    sealed.sync()
    assert now() == (first + second, 9006)
    assert (tmp_path / "x").stat().st_size == size
    sealed.block()  # takes what fits; what waited is stale now, and the rest is not synced
    done = len(now()[0])
    assert now() == ((first + second)[:done], 0)
    assert 3000 < done < 5000
    sealed.put(third)
    sealed.sync()
    assert now() == (first + second + third, 9012 - done)
    # Whatever a crash leaves of one half, the other half still has what was synced before.
    raw = bytearray((tmp_path / "x").read_bytes())
    half = 1 + WAITING_BLOCKS * (3 % 2)
    raw[half * BLOCK_BYTES + 99] ^= 1
    (tmp_path / "y").write_bytes(raw)
    assert open_sealed(tmp_path / "y", keys[1]).content == (first + second)[:done]
    sealed.abandon()


def test_what_was_taken_back_was_never_there(keys: tuple[bytes, bytes], tmp_path: Path):
    with SealedWriter(tmp_path / "x", keys[0]) as sealed:
        sealed.put(b"keep")
        sealed.put(b"drop")
        assert sealed.pending_bytes == 8
        sealed.take_back(4)
        sealed.finish(1)
    assert open_sealed(tmp_path / "x", keys[1]).content == b"keep"


def test_more_than_the_waiting_area_holds_is_an_error(keys: tuple[bytes, bytes], tmp_path: Path):
    with SealedWriter(tmp_path / "x", keys[0]) as sealed:
        sealed.put(os.urandom(WAITING_BLOCKS * BLOCK_BYTES))
        with pytest.raises(RecordError, match="16384 bytes came between two blocks"):
            sealed.sync()


def test_every_manipulation_is_told_at_the_first_bad_block(
    keys: tuple[bytes, bytes], tmp_path: Path
):
    parts = chunks(6)
    written(tmp_path / "x", keys[0], parts, finish=6)
    written(tmp_path / "other", keys[0], chunks(6), finish=6)
    raw = (tmp_path / "x").read_bytes()
    head, blocks = raw[:FIRST], [raw[i : i + BLOCK_BYTES] for i in range(FIRST, len(raw), 4096)]
    strange = (tmp_path / "other").read_bytes()[FIRST:][2 * 4096 : 3 * 4096]
    assert len(blocks) == 7  # the sixth had no end yet: one more ends the stream
    flipped = bytearray(blocks[3])
    flipped[700] ^= 1
    cases = {
        "block 3: cannot be opened": [*blocks[:3], bytes(flipped), *blocks[4:]],
        "block 2: missing or moved; number 3 stands there": blocks[:2] + blocks[3:],
        "block 1: missing or moved; number 2 stands there": [
            blocks[0], blocks[2], blocks[1], *blocks[3:],
        ],
        "block 4: doubled or moved; number 3 stands there": [*blocks[:4], blocks[3], *blocks[4:]],
        "block 2: does not continue the block before": [*blocks[:2], strange, *blocks[3:]],
        "block 7: stands after the end": [*blocks, blocks[6]],
    }  # fmt: skip
    for problem, changed in cases.items():
        (tmp_path / "y").write_bytes(head + b"".join(changed))
        opened = open_sealed(tmp_path / "y", keys[1])
        n = int(problem.split(":")[0].removeprefix("block "))
        assert opened.problem is not None
        assert opened.problem.startswith(problem)
        assert (opened.blocks, opened.content) == (n, b"".join(parts[:n]))
        assert sealed_digest(tmp_path / "y") != sealed_digest(tmp_path / "x")
    (tmp_path / "y").write_bytes(head + b"".join(blocks[:4]))  # cut at a block: seen by its end
    assert not open_sealed(tmp_path / "y", keys[1]).complete


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_changed_byte_of_a_block_passes(
    keys: tuple[bytes, bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    folder = tmp_path_factory.mktemp("s")
    written(folder / "x", keys[0], [b"a\n", b"b\n"], finish=3)
    raw = bytearray((folder / "x").read_bytes())
    at = data.draw(st.integers(FIRST, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    (folder / "x").write_bytes(raw)
    opened = open_sealed(folder / "x", keys[1])
    assert opened.problem is not None
    assert opened.blocks == (at - FIRST) // BLOCK_BYTES


def test_what_is_no_sealed_file_is_refused(keys: tuple[bytes, bytes], tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        open_sealed(tmp_path / "none", keys[1])
    with pytest.raises(InputError, match="cannot be read"):
        open_sealed(tmp_path, keys[1])
    (tmp_path / "text").write_bytes(b"hello")
    with pytest.raises(InputError, match="is not a sealed file"):
        open_sealed(tmp_path / "text", keys[1])
    for title in (b"{}", b'{"block_bytes":1,"public_key":""}', b"["):
        (tmp_path / "text").write_bytes(b"tacs sealed file 1\n" + title + b"\n")
        with pytest.raises(InputError, match="its first line was changed"):
            sealed_digest(tmp_path / "text")
    written(tmp_path / "x", keys[0], [b"a"], finish=2)
    _, other = generate_keys(tmp_path)
    with pytest.raises(InputError, match="is sealed for another key"):
        open_sealed(tmp_path / "x", read_private_key(other))
    with pytest.raises(InputError, match="is there already; a sealed file is kept"):
        SealedWriter(tmp_path / "x", keys[0])
    with pytest.raises(InputError, match="cannot be written"):
        SealedWriter(tmp_path / "no" / "x", keys[0])


def test_a_full_disk_is_an_error_and_costs_nothing_that_was_written(
    keys: tuple[bytes, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write, full = os.write, False

    def maybe(fd: int, data: bytes) -> int:
        return write(fd, data[: len(data) // 2]) if full else write(fd, data)

    monkeypatch.setattr(os, "write", maybe)
    with SealedWriter(tmp_path / "x", keys[0]) as sealed:
        sealed.put(b"one\n")
        sealed.block()
        sealed.put(b"two\n")
        sealed.sync()
        full = True
        for attempt in (sealed.block, sealed.sync, lambda: sealed.finish(3)):
            sealed.put(b"x")
            with pytest.raises(RecordError, match="No space left on device"):
                attempt()
        full = False
        opened = open_sealed(tmp_path / "x", keys[1])
        assert (opened.content, opened.problem) == (b"one\ntwo\n", None)
        sealed.finish(3)
    opened = open_sealed(tmp_path / "x", keys[1])
    assert (opened.content, opened.blocks, opened.complete) == (b"one\ntwo\nxxx", 3, True)
