"""The calls of the package nidaqmx, through its own Python, on a card that is emulated below it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from devices.nidaq import NiDaq
from devices.nidaq_options import Options
from devices.nidaq_real import NiCard
from tacs.clock import MonotonicClock, VirtualClock
from tacs.errors import (
    DeviceBusy,
    DeviceError,
    DeviceNotFound,
    DeviceRefused,
    InputError,
    LinkLost,
)
from tests.devices.nidaq_bench import INTERLOCKED, UNWATCHED, WATCHED, program

nidaqmx = pytest.importorskip("nidaqmx", reason="the package nidaqmx is not installed")


class RealTime(VirtualClock):
    """A virtual clock that a card is willing to wait by."""

    virtual = False


@pytest.fixture(autouse=True)
def let_go() -> Iterator[None]:
    """The package warns of tasks that nobody closed."""
    yield
    while OPENED:
        OPENED.pop().card.close()


OPENED: list[NiDaq] = []


class Desk:
    """A driver on the package, with the card emulated below."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rig: Any = WATCHED, **has: bool) -> None:
        from tests.devices.nidaq_interpreter import Interpreter

        self.clock = RealTime(start_s=100.0)
        self.below = Interpreter(self.clock, **(has or {"watchdog": True}))
        monkeypatch.setattr(nidaqmx.utils, "_select_interpreter", lambda *_: self.below)
        self.card = self.below.card
        self.open(rig)

    def open(self, rig: Any, address: str = "Dev1/ao0:3") -> NiDaq:
        self.driver = NiDaq.open(address, rig, self.clock)
        OPENED.append(self.driver)
        return self.driver

    def begin(self, **changes: Any) -> None:
        self.driver.connect()
        self.driver.configure(program(**changes))
        self.driver.start(1.0)

    def to(self, seconds: float, level: float | None = None) -> None:
        begin, n = self.driver._player._level, round(seconds / 0.02)
        for tick in range(1, n + 1):
            self.clock.wait(self.clock.now_s() + 0.02)
            if level is not None:
                self.driver.set_level(begin + (level - begin) * tick / n)
            self.driver.pump(self.clock.now_s())

    def until_silent(self) -> float:
        since_s = self.clock.now_s()
        while self.driver.status().playing:
            self.clock.wait(self.clock.now_s() + 0.02)
            self.driver.pump(self.clock.now_s())
            assert self.clock.now_s() - since_s < 2.0
        return self.clock.now_s() - since_s

    def volts(self, start_s: float, end_s: float) -> np.ndarray:
        return self.card.outputs[0].values(np.arange(start_s, end_s, 0.0005) + 1e-4)


def test_a_whole_session(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    identity = desk.driver.connect()
    assert (identity.model, identity.details["serial"]) == ("PXIe-0000", "1234ABCD")
    assert identity.details["outputs"] == ["Dev1/ao0", "Dev1/ao1", "Dev1/ao2", "Dev1/ao3"]
    desk.driver.configure(program({1: 1.0, 2: 0.5}))
    desk.below.calls.clear()
    desk.driver.start(1.0)
    calls = [c for c in desk.below.calls if c in {"watch", "prepare", "write", "feed", "start"}]
    assert calls == ["watch", "prepare", "write", "feed", "start"]
    start_s = desk.clock.now_s()
    [timer] = [handle for handle in desk.below.open if handle.kind == "timer"]
    assert timer.states == [("ao", f"Dev1/ao{k}", 0.0) for k in range(4)]
    desk.to(2.0, level=1.0)
    desk.to(1.0)
    desk.driver.soft_stop()
    assert 0.7 < desk.until_silent() <= 0.82
    desk.driver.close()
    played = desk.volts(start_s, desk.clock.now_s())
    assert np.abs(played).max() == pytest.approx(0.5, abs=1e-3)
    assert np.abs(played).max() <= 0.5
    assert played[-1] == 0.0
    assert np.abs(np.diff(played)).max() < 0.5 * 2 * np.pi * 10.27 * 0.0005 + 1e-3
    assert desk.below.open == []  # nothing stays reserved


def test_an_emergency_stop_drops_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.begin()
    desk.to(2.0, level=1.0)
    desk.below.calls.clear()
    desk.driver.emergency_stop()
    assert desk.below.calls == ["state", "stop", "write", "start"]
    assert desk.until_silent() <= 0.1
    desk.driver.close()
    assert desk.card.starts == 2


def test_starvation_is_told_and_ends_by_a_ramp(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, UNWATCHED)
    desk.begin()
    desk.to(2.0, level=1.0)
    dry_s = desk.clock.now_s() + 0.16
    desk.clock.wait(dry_s + 1.0)
    with pytest.raises(DeviceError, match=r"ran out of samples \(NI -200290"):
        desk.driver.pump(desk.clock.now_s())
    with pytest.raises(DeviceError, match="ran out of samples"):
        desk.driver.status()
    desk.driver.emergency_stop()
    desk.until_silent()
    desk.driver.close()
    played = desk.volts(dry_s - 0.1, desk.clock.now_s())
    assert np.ptp(desk.volts(dry_s + 0.01, dry_s + 0.99)) == 0.0
    assert np.abs(np.diff(played)).max() < 0.5 * 2 * np.pi * 10.27 * 0.0005 + 1e-3
    assert played[-1] == 0.0


def test_a_soft_stop_of_a_dry_card_plays_its_ramp(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, UNWATCHED)
    desk.begin()
    desk.to(2.0, level=1.0)
    desk.clock.wait(desk.clock.now_s() + 1.0)
    desk.driver.soft_stop()
    assert desk.card.starts == 2
    desk.until_silent()


def test_the_timer_ran_out(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.begin()
    desk.to(2.0, level=1.0)
    gone_s = desk.clock.now_s()
    desk.clock.wait(gone_s + 1.0)
    with pytest.raises(DeviceError, match="watchdog was not fed in time"):
        desk.driver.pump(desk.clock.now_s())
    desk.driver.emergency_stop()
    desk.driver.close()
    assert not desk.volts(gone_s + 0.26, desk.clock.now_s()).any()
    assert not desk.card.expired
    desk.open(WATCHED)
    desk.begin()


@pytest.mark.parametrize("code", [-200678, -201478])
def test_an_expired_card_may_say_so_in_its_state(monkeypatch: pytest.MonkeyPatch, code) -> None:
    desk = Desk(monkeypatch)
    desk.begin()
    desk.below.failing["state"] = code
    with pytest.raises(DeviceError, match="watchdog was not fed in time"):
        desk.driver.status()


def test_an_interlock_is_a_line_that_the_timer_takes_low(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, INTERLOCKED, interlock=True)
    desk.begin()
    assert desk.card.line.value(desk.clock.now_s()) == 1.0
    [timer] = [handle for handle in desk.below.open if handle.kind == "timer"]
    assert timer.states == [("do", "Dev1/port0/line0", 0.0)]
    desk.to(1.0, level=0.5)
    desk.driver.close()
    assert desk.card.line.value(desk.clock.now_s()) == 0.0


def test_an_idle_output_at_zero_is_asked_for_and_may_be_refused(monkeypatch) -> None:
    rig = UNWATCHED.model_copy(update={"options": {"idle_output": "zero_volts"}})
    desk = Desk(monkeypatch, rig)
    desk.driver.connect()
    with pytest.raises(DeviceRefused, match=r"prepare: refused .*-200197"):
        desk.driver.configure(program())
    desk.card.idle_zero_supported = True
    desk.driver.configure(program())


def test_a_clock_that_cannot_make_the_rate_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.driver.connect()
    desk.below.actual_rate = 2000.1
    with pytest.raises(InputError, match=r"clock makes 2000.1 samples a second of the 2000 asked"):
        desk.driver.configure(program())
    desk.driver.close()
    assert desk.below.open == []


def test_outputs_and_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    with pytest.raises(DeviceNotFound, match="the card has no output Dev1/ao4; it has dev1/ao0"):
        desk.open(WATCHED, "Dev1/ao3:4").connect()
    with pytest.raises(DeviceNotFound, match=r"no such device or output .NI -200220"):
        desk.open(WATCHED, "Dev2/ao0:3").connect()
    with pytest.raises(InputError, match="has 1 outputs and the rig has a channel 3"):
        desk.open(WATCHED, "Dev1/ao0").connect()


@pytest.mark.parametrize(
    ("code", "error"),
    [(-201003, LinkLost), (-50103, DeviceBusy), (-200077, DeviceRefused)],
)
def test_what_the_library_refuses(monkeypatch: pytest.MonkeyPatch, code: int, error: type) -> None:
    desk = Desk(monkeypatch)
    desk.driver.connect()
    desk.below.failing["prepare"] = code
    with pytest.raises(error):
        desk.driver.configure(program())
    desk.below.failing.clear()
    desk.begin()
    desk.below.failing["state"] = code
    with pytest.raises(error):
        desk.driver.pump(desk.clock.now_s())


def test_a_card_that_cannot_be_started_again_is_set_to_0(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.begin()
    desk.to(2.0, level=1.0)
    desk.below.failing["start"] = -200077
    desk.driver.emergency_stop()
    assert desk.card.outputs[0].value(desk.clock.now_s()) == 0.0
    assert desk.driver.status().playing == ()
    desk.driver.close()


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nidaqmx", None)
    with pytest.raises(DeviceNotFound, match=r"pip install 'tacs-suite\[nidaq\]'"):
        NiDaq.open("Dev1/ao0", WATCHED, MonotonicClock())


def test_without_the_driver_of_ni() -> None:
    """As on any computer that has none, such as those that run these tests."""
    try:
        nidaqmx.system.System.local().driver_version  # noqa: B018
    except nidaqmx.errors.DaqNotFoundError:
        with pytest.raises(DeviceNotFound, match="NI's driver NI-DAQmx is not installed"):
            NiDaq.open("Dev1/ao0:3", WATCHED, MonotonicClock()).connect()
    else:
        pytest.skip("NI-DAQmx is installed here")


def test_nothing_of_the_package_is_loaded_before_a_card_is_opened() -> None:
    code = "import sys, devices.nidaq; sys.exit('nidaqmx' in sys.modules)"
    import subprocess

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_codes_are_those_of_the_package() -> None:
    from devices import nidaq_backend

    codes = importlib.import_module("nidaqmx.error_codes").DAQmxErrors
    tables = ("UNDERFLOWS", "EXPIRED", "GONE", "HELD", "UNKNOWN")
    for table in tables:
        for code, name in getattr(nidaq_backend, table).items():
            assert codes(code).name == name


def test_calls_out_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    card = NiCard("Dev1/ao0", Options(), desk.clock)
    with pytest.raises(InputError, match="nothing was prepared"):
        card.write(np.zeros((1, 1)))
    with pytest.raises(InputError, match="names 1 outputs and the rig has a channel 2"):
        card.prepare({2: 1.0}, 2000.0, 4000)
    card.close()
    card.close()
    card.feed()
    card.enable(True)
    assert desk.below.open == []
