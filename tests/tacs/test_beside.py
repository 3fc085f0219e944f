"""A listener beside a session: an event of a virtual clock, or a thread that is watched."""

from __future__ import annotations

import threading

import pytest

from tacs.beside import beside_of
from tacs.clock import VirtualClock
from tacs.errors import RecordError


class Listening:
    def __init__(self, most: int = 10_000) -> None:
        self.looked_s, self.ended, self.times = 0.0, "", 0
        self.most = most
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.error: Exception | None = None

    def step(self) -> bool:
        self.times += 1
        return self.times < self.most

    def wait_and_step(self, at_most_s: float) -> bool:
        self.entered.set()
        self.go_on.wait(at_most_s)
        if self.error is not None:
            raise self.error
        return self.step()


class Stood:
    """A clock that a test moves, and that is no virtual one."""

    virtual = False

    def __init__(self) -> None:
        self.now = 0.0

    def now_s(self) -> float:
        return self.now

    def wait(self, until_s: float, inbox: object = None) -> list[str]:
        raise AssertionError("nobody waits here")


def test_an_event_looks_as_often_as_it_is_to_and_no_more_afterwards():
    clock, listening = VirtualClock(), Listening()
    with beside_of(listening, clock, 0.1) as beside:
        clock.wait(1.05)
        assert listening.times == 10
        assert not beside.hangs()
    clock.wait(2.0)
    assert listening.times == 10


def test_an_event_that_has_ended_is_not_called_again():
    clock, listening = VirtualClock(), Listening(most=3)
    with beside_of(listening, clock, 0.1):
        clock.wait(1.0)
    assert listening.times == 3


def test_a_thread_that_has_not_looked_for_a_second_hangs():
    clock, listening = Stood(), Listening()
    with beside_of(listening, clock, 60.0) as beside:
        assert listening.entered.wait(60.0)
        clock.now = 0.9
        assert not beside.hangs()
        clock.now = 1.1
        assert beside.hangs()
        listening.ended = "the recording is over"
        assert not beside.hangs()
        listening.go_on.set()


def test_what_went_wrong_in_a_thread_is_raised_at_the_end():
    clock, listening = Stood(), Listening()
    listening.error = RecordError("the disk is full")
    listening.go_on.set()
    with pytest.raises(RecordError, match="disk is full"):
        hold_until_it_hangs(listening, clock)


def hold_until_it_hangs(listening: Listening, clock: Stood) -> None:
    with beside_of(listening, clock, 60.0) as beside:
        assert listening.entered.wait(60.0)
        clock.now = 1.1
        assert beside.hangs()
