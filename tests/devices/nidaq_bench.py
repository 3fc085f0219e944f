"""A driver on an emulated NI card under a virtual clock, and what its oscilloscope saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devices.emulators.bench import InMemory
from devices.emulators.nidaq import EmulatedNiDaq
from devices.nidaq import NiDaq
from tacs.clock import VirtualClock
from tacs.driver import Program
from tacs.rig import Rig, load_rig
from tests.devices.bench import Trace, read_trace

WATCHED = load_rig("emulated-nidaq")
UNWATCHED = load_rig("emulated-nidaq-unwatched")
INTERLOCKED = load_rig("emulated-nidaq-interlock")
TICK_S = 0.02


def program(
    currents_peak_ma: dict[int, float] | None = None,
    frequency_hz: float = 10.27,
    **changes: Any,
) -> Program:
    currents = {1: 1.0} if currents_peak_ma is None else currents_peak_ma
    fields: dict[str, Any] = {
        "phases_deg": dict.fromkeys(currents, 0.0),
        "soft_stop_s": 0.8,
        "emergency_stop_s": 0.1,
        **changes,
    }
    return Program(frequency_hz=frequency_hz, currents_peak_ma=currents, **fields)


class Session:
    """Drive an emulated card through a session, ticking as a guardian does."""

    def __init__(
        self,
        folder: Path,
        *,
        contacts: Sequence[str] = ("Oz", "Cz", "F3", "F4"),
        faults: Sequence[str] = (),
        rig: Rig = WATCHED,
    ) -> None:
        self.clock = VirtualClock(start_s=100.0)
        self.emulator: InMemory = EmulatedNiDaq().in_memory(
            rig, self.clock, contacts, folder / "current.tsv.gz", faults
        )
        self.driver = NiDaq.over(self.emulator.transport, rig)
        self.start_s = 0.0

    @property
    def card(self):
        return self.emulator.bench.firmware.card

    @property
    def elapsed_s(self) -> float:
        return self.clock.now_s() - self.start_s

    def begin(self, plan: Program | None = None) -> None:
        self.driver.connect()
        self.driver.configure(plan or program())
        self.driver.start(1.0)
        self.start_s = self.emulator.bench.firmware.first_start_s

    def to(self, elapsed_s: float, *, level: float | None = None, tick_s: float = TICK_S) -> None:
        """Tick until a time, moving the level there in a straight line where one is given."""
        begin_s, begin = self.elapsed_s, self.driver._player._level
        n = round((elapsed_s - begin_s) / tick_s)
        for tick in range(1, n + 1):
            self.clock.wait(self.start_s + begin_s + tick * tick_s)
            if level is not None:
                self.driver.set_level(begin + (level - begin) * tick / n)
            self.driver.pump(self.clock.now_s())

    def until_silent(self, longest_s: float = 2.0) -> float:
        """Ask and pump until nothing plays; return how long that took."""
        since_s = self.clock.now_s()
        while self.driver.status().playing:
            assert self.clock.now_s() - since_s < longest_s
            self.clock.wait(self.clock.now_s() + TICK_S)
            self.driver.pump(self.clock.now_s())
        return self.clock.now_s() - since_s

    def pass_time(self, seconds: float) -> None:
        """Nobody pumps."""
        self.clock.wait(self.clock.now_s() + seconds)
        self.emulator.bench.advance(self.clock.now_s())

    def finish(self) -> Trace:
        info = self.emulator.finish()
        assert info is not None
        return read_trace(info)
