"""A loop beside its session: what is asked for where it is gone or hangs, on either clock."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import pytest

from tacs.beside import HANG_S, beside_of
from tacs.clock import Clock, MonotonicClock, VirtualClock
from tacs.guardian import Telemetry
from tacs.loop_leash import Leash
from tacs.session import State

TOLD = Telemetry(
    state=State.HOLD, elapsed_s=10.0, duration_s=60.0, level=1.0, measured_ma=None,
    impedance_kohm=None, cause="",
)  # fmt: skip


class Made:
    """A loop that does what it is told to at its next look."""

    def __init__(self, clock: Clock, error: Exception | None = None, ended: str = "") -> None:
        self._clock, self._error, self._ends = clock, error, ended
        self.looked_s = clock.now_s()
        self.ended, self.trace = "", list[str]()
        self.looks = 0
        self.block: threading.Event | None = None

    def step(self) -> bool:
        self.looks += 1
        self.looked_s = self._clock.now_s()
        if self._error is not None:
            raise self._error
        self.ended = self._ends
        return not self.ended

    def wait_and_step(self, at_most_s: float) -> bool:
        if self.block is not None:
            self.block.wait(20.0)
        return self.step()


def until(clock: Clock, true: Any) -> None:
    """Wait, for a while at most, until something is so."""
    deadline_s = clock.now_s() + 20.0
    while not true() and clock.now_s() < deadline_s:
        clock.wait(clock.now_s() + 0.01)


@pytest.mark.parametrize("kind", [VirtualClock, MonotonicClock])
@pytest.mark.parametrize(
    ("error", "ended", "why"),
    [
        (ValueError("x"), "", "the loop failed: ValueError: x"),
        (None, "EEG is gone: y", "EEG is gone: y"),
    ],
)
def test_a_loop_that_errs_or_ends_is_gone_and_says_why(kind, error, ended, why):
    clock = kind()
    loop = Made(clock, error, ended)
    with beside_of(loop, clock, 0.02, name="the loop") as runs:  # type: ignore[arg-type]
        until(clock, runs.gone)
        assert runs.gone() == why
        looks = loop.looks
        clock.wait(clock.now_s() + 0.1)
        assert loop.looks == looks == 1
        loop.looked_s -= HANG_S + 1.0
        assert not runs.hangs()  # it is gone, which is another thing
    assert bool(loop.trace) == (error is not None)


def test_a_thread_that_does_not_come_back_hangs_and_may_come_back():
    clock = MonotonicClock()
    loop = Made(clock)
    loop.block = threading.Event()
    with beside_of(loop, clock, 0.02, name="the loop") as runs:  # type: ignore[arg-type]
        assert not runs.hangs()
        loop.looked_s -= HANG_S + 1.0
        assert runs.hangs()
        assert runs.gone() == ""
        loop.block.set()
        until(clock, lambda: not runs.hangs())
        assert not runs.hangs()
    assert not runs.hangs()


class Said:
    """A loop as far as a leash looks."""

    def __init__(self, gone: str = "", *, hangs: bool = False) -> None:
        self._gone, self._hangs = gone, hangs

    def gone(self) -> str:
        return self._gone

    def hangs(self) -> bool:
        return self._hangs


def messages(runs: Said, *states: State, every_s: float = 0.02) -> tuple[list[str], list[str]]:
    clock, put, said = VirtualClock(5.0), list[str](), list[str]()
    leash = Leash(runs, put.append, clock, said.append)  # type: ignore[arg-type]
    for state in states:
        leash.look(dataclasses.replace(TOLD, state=state))
        clock.wait(clock.now_s() + every_s)
    return put, said


RISING = [State.RAMP_UP, State.HOLD, State.TRAIN_RISE, State.TRAIN_ON, State.TRAIN_FALL]


@pytest.mark.parametrize("state", RISING)
@pytest.mark.parametrize("runs", [Said("gone"), Said(hangs=True)])
def test_current_is_paused_at_the_first_telemetry(state, runs):
    put, said = messages(runs, state)
    why = runs.gone() or "the loop hangs"
    assert put == [f"pause:{why}"]
    assert said == [f"{why}: the current is ramped down"]


def test_a_loop_that_looks_is_left_alone():
    assert messages(Said(), *RISING) == ([], [])


def test_what_falls_already_or_is_over_is_left_alone():
    over = [State.RAMP_DOWN, State.STOPPING, State.STOPPED, State.DONE, State.FAULT]
    assert messages(Said("gone"), *over)[0] == []


@pytest.mark.parametrize("state", [State.PAUSED, State.BETWEEN_TRAINS])
def test_at_zero_the_session_of_a_loop_that_is_gone_is_stopped(state):
    assert messages(Said("gone"), state)[0] == ["stop:gone"]


def test_at_zero_a_loop_that_hangs_may_come_back():
    assert messages(Said(hangs=True), State.PAUSED)[0] == []
    assert messages(Said(hangs=True), State.BETWEEN_TRAINS)[0] == ["pause:the loop hangs"]


def test_a_pause_that_does_not_come_about_is_asked_for_once_a_second():
    put, said = messages(Said("gone"), *[State.HOLD] * 110)
    assert put == ["pause:gone"] * 3  # over 2.2 s
    assert len(said) == 1


def test_a_person_who_resumes_without_a_loop_is_paused_again():
    states = [State.HOLD, State.RAMP_DOWN, State.PAUSED, State.RAMP_UP]
    put, _ = messages(Said(hangs=True), *states, every_s=0.6)
    assert put == ["pause:the loop hangs"] * 2
