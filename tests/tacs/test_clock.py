"""Clocks and inboxes: time moves when somebody waits, messages end a wait early."""

from __future__ import annotations

import json
import sys
import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from tacs import clock as clock_module
from tacs.clock import (
    Moment,
    MonotonicClock,
    QueueInbox,
    VirtualClock,
    boot_reading,
    moment_now,
)


def test_virtual_time_moves_only_when_somebody_waits():
    clock = VirtualClock(5.0)
    assert clock.now_s() == 5.0
    assert clock.wait(7.5) == []
    assert clock.now_s() == 7.5
    clock.wait(6.0)
    assert clock.now_s() == 7.5


def test_a_scripted_message_ends_a_wait_at_its_time():
    clock, inbox = VirtualClock(), QueueInbox([(3.0, "stop:a"), (1.0, "pause")])
    assert clock.wait(2.0, inbox) == ["pause"]
    assert clock.now_s() == 1.0
    assert clock.wait(10.0, inbox) == ["stop:a"]
    assert clock.now_s() == 3.0
    assert clock.wait(10.0, inbox) == []
    assert clock.now_s() == 10.0


def test_a_message_that_is_there_already_ends_a_wait_at_once():
    clock, inbox = VirtualClock(), QueueInbox()
    inbox.put("stop:now")
    assert clock.wait(10.0, inbox) == ["stop:now"]
    assert clock.now_s() == 0.0


def test_scheduled_calls_are_made_at_their_time_in_order():
    clock, seen = VirtualClock(), list[tuple[str, float]]()
    clock.at(2.0, lambda: seen.append(("b", clock.now_s())))
    clock.at(1.0, lambda: seen.append(("a", clock.now_s())))
    clock.at(9.0, lambda: seen.append(("c", clock.now_s())))
    clock.wait(5.0)
    assert seen == [("a", 1.0), ("b", 2.0)]


def test_the_monotonic_clock_wakes_for_a_message_from_another_thread():
    clock, inbox = MonotonicClock(), QueueInbox()
    threading.Timer(0.01, inbox.put, ["stop:thread"]).start()
    assert clock.wait(clock.now_s() + 60.0, inbox) == ["stop:thread"]


def test_the_monotonic_clock_returns_when_it_is_time():
    clock = MonotonicClock()
    until_s = clock.now_s() + 0.005
    assert clock.wait(until_s, QueueInbox()) == []
    assert clock.wait(until_s) == []
    assert clock.now_s() >= until_s


NOW = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a boot id")
def test_on_linux_a_start_of_the_computer_has_a_name_and_a_time():
    first, second = boot_reading(), boot_reading()
    assert first is not None
    assert second is not None
    assert first[0] == second[0] == clock_module.BOOT_ID.read_text().strip()
    assert second[1] >= first[1] >= time.monotonic() - 1.0  # sleep counts, so it is never less
    now = moment_now()
    assert now.boot is not None
    assert now.utc.tzinfo is UTC


def test_without_a_boot_id_or_its_clock_there_is_no_reading(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(clock_module, "BOOT_ID", tmp_path / "none")
    assert boot_reading() is None
    (tmp_path / "none").write_text("\n")
    assert boot_reading() is None
    (tmp_path / "none").write_bytes(b"\xff\xfe")
    assert boot_reading() is None
    monkeypatch.undo()
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    assert boot_reading() is None
    assert moment_now().boot is None


@pytest.mark.parametrize(
    ("wall_h", "boot", "passed_h"),
    [
        (5.0, ("a", 5.0), 5.0),  # nothing happened
        (29.0, ("a", 5.0), 5.0),  # the wall clock was set forward by a day
        (-19.0, ("a", 5.0), -19.0),  # and back by one
        (29.0, ("b", 0.1), 29.0),  # restarted: only the wall clock is left
        (5.0, None, 5.0),  # a system that tells no start
        (5.0, ("a", -1.0), -1.0),  # a machine restored from a snapshot
    ],
)
def test_what_has_passed_is_what_the_clock_that_says_less_says(
    wall_h: float, boot: tuple[str, float] | None, passed_h: float
):
    earlier = Moment(NOW, ("a", 7200.0))
    later = Moment(
        NOW + timedelta(hours=wall_h),
        None if boot is None else (boot[0], 7200.0 + 3600.0 * boot[1]),
    )
    assert later.since_s(earlier) == pytest.approx(3600.0 * passed_h)


def test_time_zones_and_daylight_saving_change_nothing():
    winter, summer = timezone(timedelta(hours=1)), timezone(timedelta(hours=2))
    before = Moment(datetime(2026, 3, 29, 1, 59, tzinfo=winter))
    after = Moment(datetime(2026, 3, 29, 3, 1, tzinfo=summer))
    assert after.since_s(before) == 120.0


def test_a_moment_moves_on_both_clocks_and_is_kept_whole():
    moment = Moment(NOW, ("a", 12.3456))
    assert moment.after(60.0) == Moment(NOW + timedelta(minutes=1), ("a", 72.3456))
    assert Moment(NOW).after(60.0) == Moment(NOW + timedelta(minutes=1))
    for made in (Moment(NOW, ("a", 12.345)), Moment(NOW)):
        assert Moment.from_dict(json.loads(json.dumps(made.to_dict()))) == made


def test_a_pretended_calendar_ends_with_its_block_and_has_no_computer_start():
    when = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    with clock_module.pretended_calendar(lambda: when):
        assert clock_module.calendar_is_pretended()
        assert clock_module.utc_now() == when
        assert moment_now() == Moment(when, None)
    assert not clock_module.calendar_is_pretended()
    assert clock_module.utc_now() > when
    with pytest.raises(RuntimeError, match="x"), clock_module.pretended_calendar(lambda: when):
        raise RuntimeError("x")
    assert not clock_module.calendar_is_pretended()
