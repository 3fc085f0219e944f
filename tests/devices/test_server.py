"""How long an emulator without a client goes on: as long as the device would."""

from __future__ import annotations

import math

import pytest

from devices.emulators.nic2_bench import Nic2Bench
from devices.emulators.server import ENDLESS_S, SILENT_S, TAIL_S, TERM_S, Port, _Signals, serve
from tacs.clock import VirtualClock
from tacs.driver import TraceInfo
from tacs.rig import load_rig


class Gone(Port):
    """A port whose client was there at the first look and not again."""

    address = "nowhere"

    def __init__(self, stays: bool = False) -> None:
        self.connected = True
        self._stays = stays
        self.closed = False

    @property
    def watched(self) -> list[int]:
        return []

    def read(self) -> bytes:
        self.connected = self._stays
        return b""

    def write(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class Player:
    """A device that plays until an instant, and says beforehand until when."""

    linked = True
    monitor = None

    def __init__(self, until_s: float, says_s: float | None = None) -> None:
        self._until_s, self._says_s = until_s, until_s if says_s is None else says_s
        self.now_s = 0.0
        self.clicked: list[float] = []

    @property
    def silent(self) -> bool:
        return self.now_s >= self._until_s

    def silent_at_s(self) -> float:
        return -math.inf if self.silent else self._says_s

    def advance(self, now_s: float) -> None:
        self.now_s = now_s

    def receive(self, data: bytes, now_s: float) -> None:
        raise AssertionError("nobody is there")

    def take(self, now_s: float) -> bytes:
        return b""

    def next_due_s(self) -> float | None:
        return None

    def click(self, now_s: float) -> None:
        self.clicked.append(now_s)

    def finish(self, now_s: float) -> TraceInfo | None:
        return None


def ended_s(bench: Player, port: Gone | None = None, signals: _Signals | None = None) -> float:
    """Clock time at which the process would have ended."""
    clock = VirtualClock()
    port = Gone() if port is None else port
    assert serve(bench, port, signals or _Signals(), 5.0, clock=clock) is None
    assert port.closed
    return clock.now_s()


@pytest.mark.parametrize("until_s", [0.0, 3.0, 70.0, 195.0, 3600.0])
def test_it_plays_to_the_end_of_what_the_device_holds(until_s: float) -> None:
    assert ended_s(Player(until_s)) == pytest.approx(until_s + SILENT_S, abs=0.05)


def test_what_would_never_end_is_cut_off() -> None:
    assert ended_s(Player(math.inf)) == pytest.approx(ENDLESS_S, abs=0.1)


def test_a_device_that_does_not_keep_its_word_is_cut_off_too() -> None:
    assert ended_s(Player(math.inf, says_s=100.0)) == pytest.approx(100.0 + SILENT_S, abs=0.1)


def test_nobody_comes() -> None:
    port = Gone()
    port.connected = False
    assert ended_s(Player(0.0), port) == pytest.approx(5.0, abs=0.05)


def test_asked_to_end_with_its_client_there() -> None:
    signals = _Signals()
    signals._on_end()
    assert ended_s(Player(1.0), Gone(stays=True), signals) == pytest.approx(1.0 + TAIL_S, abs=0.05)
    assert ended_s(Player(99.0), Gone(stays=True), signals) == pytest.approx(TERM_S, abs=0.05)


def test_its_button_is_pressed_once() -> None:
    signals = _Signals()
    signals._on_click()
    bench = Player(0.0)
    ended_s(bench, signals=signals)
    assert bench.clicked == [0.0]


def test_a_nic_plays_its_protocol_to_the_end(tmp_path) -> None:
    clock = VirtualClock()
    trace = tmp_path / "scope.tsv.gz"
    bench = Nic2Bench(load_rig("emulated-nic2"), ["Oz", "Cz"], trace, [], 0.0)
    replies = b""
    for command in (b"\x8304.07\n", b"\x80", b"\x80", b"\x87tacs zero 3 min\n", b"\x89"):
        bench.receive(command, clock.now_s())
        clock.wait(clock.now_s() + 2.0)
        bench.advance(clock.now_s())
        replies += bench.take(clock.now_s())
    started_s = clock.now_s()
    bench.receive(b"\x96500;500;0;0;0;0;0;0;10;10;0;0;0;0;0;0;0;180;0;0;0;0;0;0;500\n", started_s)
    bench.advance(started_s + 1.0)
    assert bench.firmware.playing, replies
    info = serve(bench, Gone(), _Signals(), 5.0, clock=clock)
    assert info is not None
    assert info.clean
    assert clock.now_s() == pytest.approx(180.0 + 8.2 + SILENT_S, abs=0.5)
