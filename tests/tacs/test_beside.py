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
        self.trace: list[str] = []
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
    with beside_of(listening, clock, 0.1, name="the ear") as beside:
        clock.wait(1.05)
        assert listening.times == 10
        assert not beside.hangs()
    clock.wait(2.0)
    assert listening.times == 10


def test_an_event_that_has_ended_is_not_called_again():
    clock, listening = VirtualClock(), Listening(most=3)
    with beside_of(listening, clock, 0.1, name="the ear"):
        clock.wait(1.0)
    assert listening.times == 3


def test_a_thread_that_has_not_looked_for_a_second_hangs():
    clock, listening = Stood(), Listening()
    with beside_of(listening, clock, 60.0, name="the ear") as beside:
        assert listening.entered.wait(60.0)
        clock.now = 0.9
        assert not beside.hangs()
        clock.now = 1.1
        assert beside.hangs()
        assert not beside.gone()
        listening.go_on.set()


def test_a_thread_that_errs_is_gone_and_says_where():
    clock, listening = Stood(), Listening()
    listening.error = RecordError("the disk is full")
    with beside_of(listening, clock, 60.0, name="the ear"):
        listening.go_on.set()
    assert listening.ended == "the ear failed: the disk is full"
    assert "wait_and_step" in "".join(listening.trace)


def test_an_event_that_errs_is_gone_and_the_clock_goes_on(monkeypatch: pytest.MonkeyPatch):
    clock, listening = VirtualClock(), Listening()

    def fails() -> bool:
        raise ValueError("nought")

    monkeypatch.setattr(listening, "step", fails)
    with beside_of(listening, clock, 0.1, name="the ear") as beside:
        clock.wait(1.0)
        assert beside.gone() == "the ear failed: ValueError: nought"
