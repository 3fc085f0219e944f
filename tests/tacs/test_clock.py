"""Clocks and inboxes: time moves when somebody waits, messages end a wait early."""

from __future__ import annotations

import threading

from tacs.clock import MonotonicClock, QueueInbox, VirtualClock


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
