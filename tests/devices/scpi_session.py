"""A driver on an emulated waveform generator under a virtual clock, stepped as a guardian does."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from devices.emulators.bench import InMemory
from devices.emulators.scpi import EmulatedScpi
from devices.scpi import Scpi
from tacs.clock import VirtualClock
from tacs.driver import Program
from tacs.rig import Rig, load_rig
from tests.devices.bench import Trace, read_trace

FAMILIES = ("rigol-dg800", "rigol-dg1000z", "rigol-dg2000", "rigol-dg4000", "keysight-33500b")
TICK_S = 0.02


def rig_for(dialect: str = "rigol-dg1000z", **changes: object) -> Rig:
    rig = load_rig("emulated-scpi")
    return rig.model_copy(update={"options": {"dialect": dialect}, **changes})


def program(
    currents_peak_ma: dict[int, float] | None = None,
    frequency_hz: float = 10.27,
    *,
    phases_deg: dict[int, float] | None = None,
    ramp_s: float = 4.0,
    hold_s: float = 6.0,
) -> Program:
    currents = {1: 1.0} if currents_peak_ma is None else currents_peak_ma
    end_s = 2 * ramp_s + hold_s
    return Program(
        frequency_hz=frequency_hz,
        currents_peak_ma=currents,
        phases_deg=phases_deg or dict.fromkeys(currents, 0.0),
        soft_stop_s=0.8,
        emergency_stop_s=0.1,
        envelope=((0.0, 0.0), (ramp_s, 1.0), (ramp_s + hold_s, 1.0), (end_s, 0.0)),
    )


class Session:
    """Drive an emulated instrument through a session, and keep what was written."""

    def __init__(
        self,
        folder: Path,
        dialect: str = "rigol-dg1000z",
        *,
        contacts: Sequence[str] = ("Oz", "Cz", "F3"),
        faults: Sequence[str] = (),
    ) -> None:
        self.clock = VirtualClock(start_s=100.0)
        rig = rig_for(dialect)
        self.emulator: InMemory = EmulatedScpi().in_memory(
            rig, self.clock, contacts, folder / "current.tsv.gz", faults
        )
        self.sent: list[list[str]] = []
        write = self.emulator.transport.write

        def spy(data: bytes) -> None:
            assert data.endswith(b"\n")
            self.sent.append(data.decode("ascii").splitlines())
            write(data)

        self.emulator.transport.write = spy
        self.driver = Scpi.over(self.emulator.transport, rig)
        self.plan = program()
        self.start_s = math.nan

    @property
    def firmware(self):
        return self.emulator.bench.firmware

    @property
    def now_s(self) -> float:
        return self.clock.now_s()

    def asked(self, line: str) -> str:
        """Ask the instrument past the driver."""
        self.firmware.receive(line.encode() + b"\n", self.now_s)
        self.clock.wait(self.now_s + 0.005)
        self.emulator.bench.advance(self.now_s)
        return self.firmware.take(self.now_s).decode().strip()

    def begin(self, plan: Program | None = None) -> None:
        self.plan = plan or self.plan
        self.driver.connect()
        self.driver.configure(self.plan)
        self.driver.start(1.0)
        self.start_s = self.firmware.first_start_s

    def level(self, elapsed_s: float) -> float:
        """The envelope."""
        knots = self.plan.envelope
        for (t0, l0), (t1, l1) in itertools.pairwise(knots):
            if elapsed_s <= t1:
                return l0 + (l1 - l0) * (elapsed_s - t0) / (t1 - t0)
        return 0.0

    def to(self, elapsed_s: float, level: Callable[[float], float] | None = None) -> None:
        """Tick at 50 Hz: level, lease at 4 Hz, status at 2 Hz, pump."""
        tick = math.ceil((self.now_s - self.start_s) / TICK_S + 1e-9)
        while tick * TICK_S < elapsed_s - 1e-9:
            at_s = self.start_s + tick * TICK_S
            self.clock.wait(at_s)
            self.driver.set_level((level or self.level)(tick * TICK_S))
            if tick % 12 == 0 and tick * TICK_S + 1.0 < self.plan.duration_s + 0.5:
                self.driver.extend_lease(tick * TICK_S, 1.0)
            if tick % 25 == 0:
                self.driver.status()
            self.driver.pump(at_s)
            tick += 1
        self.clock.wait(self.start_s + elapsed_s)

    def pumps(self, seconds: float) -> None:
        """Tick on without commands, as while stopping; the state is asked for at 10 Hz."""
        began_s = self.now_s
        for tick in range(round(seconds / TICK_S) + 1):
            at_s = began_s + tick * TICK_S
            self.clock.wait(at_s)
            if tick % 5 == 0:
                self.driver.status()
            self.driver.pump(at_s)

    def finish(self) -> Trace:
        info = self.emulator.finish(timeout_s=60.0)
        assert info is not None
        return read_trace(info)
