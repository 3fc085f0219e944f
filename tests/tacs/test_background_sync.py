"""Syncing in a thread: who asks never waits, and who waits too long is told."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tacs import record as record_module
from tacs.background_sync import BackgroundSync
from tacs.clock import VirtualClock
from tacs.errors import RecordError
from tacs.record import RecordWriter, read_record

PATIENCE_S = 20.0  # of a test that would otherwise hang; nothing takes that long


class Disk:
    """A disk that answers when it is told to, and counts what it was asked."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.free = threading.Semaphore(0)
        self.error: OSError | None = None
        self.n_synced = 0

    def sync(self) -> None:
        self.asked.release()
        assert self.free.acquire(timeout=PATIENCE_S)
        if self.error is not None:
            raise self.error
        self.n_synced += 1

    def is_asked(self) -> None:
        assert self.asked.acquire(timeout=PATIENCE_S)


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(100.0)


@pytest.fixture
def sync(disk: Disk, clock: VirtualClock) -> Iterator[BackgroundSync]:
    background = BackgroundSync(disk.sync, clock.now_s)
    yield background
    disk.free.release(100)
    assert background.close(PATIENCE_S)


def answered(disk: Disk, sync: BackgroundSync) -> None:
    """Let the disk answer once, and the thread take note of it."""
    before = sync.n_confirmed
    disk.free.release()
    with sync._changed:
        assert sync._changed.wait_for(lambda: sync.n_confirmed > before, PATIENCE_S)


def test_the_age_is_that_of_the_oldest_line_until_the_disk_has_confirmed_it(
    disk: Disk, clock: VirtualClock, sync: BackgroundSync
):
    assert sync.oldest_unsynced_s(clock.now_s()) == 0.0
    sync.written(100.0)
    clock.wait(100.3)
    sync.written(100.3)
    assert sync.oldest_unsynced_s(clock.now_s()) == pytest.approx(0.3)
    sync.request()
    disk.is_asked()
    sync.written(100.3)  # after the sync began: it says nothing of this line
    clock.wait(101.0)
    assert sync.oldest_unsynced_s(clock.now_s()) == pytest.approx(1.0)
    answered(disk, sync)
    assert sync.n_confirmed == 2
    assert sync.oldest_unsynced_s(clock.now_s()) == pytest.approx(0.7)
    assert sync.take_worst(clock.now_s()) == (pytest.approx(1.0), 0)
    assert sync.take_worst(clock.now_s()) == (pytest.approx(0.7), 2)
    sync.request()
    disk.is_asked()
    answered(disk, sync)
    assert sync.oldest_unsynced_s(clock.now_s()) == 0.0


def test_a_request_with_nothing_new_asks_nothing_of_the_disk(disk: Disk, sync: BackgroundSync):
    sync.request()
    assert sync.drain(PATIENCE_S)
    assert not disk.asked.acquire(blocking=False)


def test_what_the_owner_synced_itself_waits_no_longer(
    disk: Disk, clock: VirtualClock, sync: BackgroundSync
):
    sync.written(100.0)
    sync.request()
    disk.is_asked()
    clock.wait(103.0)
    sync.confirm()
    assert (sync.n_confirmed, sync.oldest_unsynced_s(clock.now_s())) == (1, 0.0)
    assert sync.take_worst(clock.now_s()) == (pytest.approx(3.0), 0)


def test_an_error_is_said_once_and_its_lines_go_on_waiting(
    disk: Disk, clock: VirtualClock, sync: BackgroundSync
):
    disk.error = OSError(errno.EIO, "Input/output error")
    sync.written(100.0)
    sync.request()
    disk.is_asked()
    disk.free.release()
    assert not sync.drain(PATIENCE_S)
    clock.wait(104.0)
    with pytest.raises(OSError, match="Input/output error"):
        sync.request()
    assert sync.oldest_unsynced_s(clock.now_s()) == pytest.approx(4.0)
    disk.error = None
    disk.free.release(10)
    assert sync.drain(PATIENCE_S)
    assert (sync.n_confirmed, sync.oldest_unsynced_s(clock.now_s())) == (1, 0.0)


def test_draining_and_closing_do_not_wait_for_ever(disk: Disk, clock: VirtualClock):
    ended = threading.Event()
    background = BackgroundSync(disk.sync, clock.now_s, ended.set)
    background.written(100.0)
    assert not background.drain(0.0)
    disk.is_asked()
    assert not background.close(0.0)
    assert not ended.is_set()
    disk.free.release(10)
    assert ended.wait(PATIENCE_S)
    assert background.close(PATIENCE_S)
    assert background.n_confirmed == 1


# -- a record that syncs in the background --------------------------------------------------------


class Slow:
    """os.fdatasync of a disk that answers only while it is quick."""

    def __init__(self) -> None:
        self.quick = threading.Event()
        self.quick.set()
        self.asked = threading.Semaphore(0)
        self.error: OSError | None = None

    def __call__(self, fd: int) -> None:
        os.fstat(fd)  # a descriptor that was closed too early fails here
        self.asked.release()
        assert self.quick.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    slow = Slow()
    monkeypatch.setattr(os, "fdatasync", slow, raising=False)
    yield slow
    slow.quick.set()


@pytest.fixture
def writer(tmp_path: Path, clock: VirtualClock, slow: Slow) -> RecordWriter:
    record = RecordWriter(tmp_path / "r.jsonl", now_s=clock.now_s)
    record.append("session", 0.0, {"subject": "01"}, sync=True)
    record.start_background()
    slow.quick.clear()
    return record


def write_for(record: RecordWriter, clock: VirtualClock, seconds: float) -> None:
    """Write a line every 0.05 s and ask for a sync every 0.5 s, as a guardian does."""
    for tick in range(1, round(seconds / 0.05) + 1):
        clock.wait(clock.now_s() + 0.05)
        record.append("intent", clock.now_s() - 100.0, {"verb": "set_level"}, sync=False)
        if tick % 10 == 0:
            record.sync()


def confirmed(record: RecordWriter, n_lines: int) -> None:
    """Wait until the thread knows that many lines of its own to be on disk."""
    background = record._background
    assert background is not None
    with background._changed:
        assert background._changed.wait_for(lambda: background.n_confirmed >= n_lines, PATIENCE_S)


def gaps(path: Path) -> list[dict[str, object]]:
    lines, problem = read_record(path)
    assert problem is None
    return [line.data for line in lines if line.kind == "gap"]


def test_a_slow_disk_holds_nobody_up_and_is_an_error_after_two_seconds(
    writer: RecordWriter, clock: VirtualClock, slow: Slow
):
    # The disk never answers here: were anybody waiting for it, this test would end by its patience.
    write_for(writer, clock, 2.0)
    with pytest.raises(RecordError, match=r"the disk has not confirmed a line for 2\.4 s"):
        write_for(writer, clock, 0.5)
    assert len(read_record(writer.path)[0]) == 51
    slow.quick.set()
    confirmed(writer, 10)
    writer.append("end", 2.5, {"outcome": "stopped"}, sync=True)
    writer.close()
    lines, problem = read_record(writer.path)
    assert problem is None
    assert [line.kind for line in lines[-2:]] == ["gap", "end"]
    assert lines[-2].data == {
        "from_line": 1, "to_line": 50, "waited_s": 2.45, "confirmed": True,
    }  # fmt: skip


def test_a_late_sync_that_nobody_looked_at_meanwhile_is_in_the_record_too(
    writer: RecordWriter, clock: VirtualClock, slow: Slow
):
    write_for(writer, clock, 0.5)
    slow.asked.acquire(timeout=PATIENCE_S)
    clock.wait(clock.now_s() + 3.0)
    slow.quick.set()
    confirmed(writer, 10)
    writer.sync()
    writer.close()
    assert gaps(writer.path) == [
        {"from_line": 1, "to_line": 10, "waited_s": 3.45, "confirmed": True}
    ]


def test_a_quick_disk_leaves_no_gap(writer: RecordWriter, clock: VirtualClock, slow: Slow):
    slow.quick.set()
    for half_seconds in range(1, 21):
        write_for(writer, clock, 0.5)
        confirmed(writer, 10 * half_seconds)
    writer.close()
    assert gaps(writer.path) == []
    assert len(read_record(writer.path)[0]) == 201


def test_a_disk_that_never_answers_is_the_last_line(
    writer: RecordWriter, clock: VirtualClock, slow: Slow, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(record_module, "CLOSE_S", 0.0)
    write_for(writer, clock, 1.0)
    clock.wait(clock.now_s() + 8.0)
    writer.close()
    assert gaps(writer.path) == [
        {"from_line": 1, "to_line": 20, "waited_s": 8.95, "confirmed": False}
    ]


def test_an_error_of_the_thread_is_an_error_of_the_next_sync_and_the_end_is_written(
    writer: RecordWriter, clock: VirtualClock, slow: Slow
):
    slow.error = OSError(errno.EIO, "Input/output error")
    write_for(writer, clock, 0.5)
    slow.quick.set()
    background = writer._background
    assert background is not None
    assert not background.drain(PATIENCE_S)
    writer.append("intent", 1.0, {}, sync=False)
    with pytest.raises(RecordError, match=r"r\.jsonl: cannot be written \(Input/output error\)"):
        writer.sync()
    slow.error = None
    writer.append("end", 1.0, {"outcome": "stopped"}, sync=True)
    writer.close()
    assert [line.kind for line in read_record(writer.path)[0]][-1] == "end"


def test_lines_that_must_be_on_disk_first_still_wait_for_it(
    writer: RecordWriter, slow: Slow, clock: VirtualClock
):
    done: list[str] = []

    def append() -> None:
        writer.append("intent", 1.0, {"verb": "start"}, sync=True)
        done.append("start")

    thread = threading.Thread(target=append)
    thread.start()
    assert slow.asked.acquire(timeout=PATIENCE_S)
    assert done == []
    slow.quick.set()
    thread.join(PATIENCE_S)
    assert done == ["start"]
    writer.close()


def test_a_record_that_syncs_in_the_background_can_be_closed_twice(
    writer: RecordWriter, slow: Slow
):
    slow.quick.set()
    writer.start_background()
    writer.close()
    writer.close()
    assert len(read_record(writer.path)[0]) == 1
