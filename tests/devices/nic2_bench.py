"""A driver on an emulated NIC2 under a virtual clock, and what its oscilloscope saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from devices.emulators.bench import InMemory
from devices.emulators.nic2 import EmulatedNic2
from devices.nic2 import Nic2
from tacs.clock import QueueInbox, VirtualClock
from tacs.driver import Program
from tacs.guard import GuardedDriver
from tacs.guardian import Guardian, Telemetry, kernel_plan
from tacs.limits import effective_limits
from tacs.protocol import Protocol
from tacs.record import RecordWriter
from tacs.rig import Rig, load_rig
from tacs.session import Session as KernelSession
from tests.devices.bench import Trace, read_trace

RIG = load_rig("emulated-nic2")
SITES = ("Oz", "Cz", "F3", "F4", "Fp1", "Fp2", "O1", "O2")
PAIR = {1: 1.0, 2: 1.0}


def rig(**options: object) -> Rig:
    """The emulated rig with other options; None leaves one out."""
    merged = {**RIG.options, **options}
    kept = {name: value for name, value in merged.items() if value is not None}
    return RIG.model_copy(update={"options": kept})


def program(
    currents_peak_ma: dict[int, float] | None = None,
    phases_deg: dict[int, float] | None = None,
    frequency_hz: float = 10.0,
    duration_s: float = 60.0,
    ramp_s: float = 30.0,
) -> Program:
    currents = PAIR if currents_peak_ma is None else currents_peak_ma
    if phases_deg is None:
        last = list(currents)[-1]
        phases_deg = {channel: 180.0 if channel == last else 0.0 for channel in currents}
    return Program(
        frequency_hz=frequency_hz,
        currents_peak_ma=currents,
        phases_deg=phases_deg,
        soft_stop_s=0.8,
        emergency_stop_s=0.1,
        envelope=((0.0, 0.0), (ramp_s, 1.0), (duration_s - 15.0, 1.0), (duration_s, 0.0)),
    )


BIFRONTAL = {3: 0.5, 4: 0.5, 2: 1.0}


class Session:
    """Drive an emulated NIC through a session."""

    def __init__(
        self,
        folder: Path,
        *,
        contacts: Sequence[str] = ("Oz", "Cz"),
        faults: Sequence[str] = (),
        rig: Rig = RIG,
    ) -> None:
        self.clock = VirtualClock(start_s=100.0)
        self.emulator: InMemory = EmulatedNic2().in_memory(
            rig, self.clock, contacts, folder / "current.tsv.gz", faults
        )
        self.driver = Nic2.over(self.emulator.transport, rig)
        self.start_s = 0.0
        self._ticks = 0

    @property
    def firmware(self):
        return self.emulator.bench.firmware

    @property
    def now_s(self) -> float:
        return self.clock.now_s()

    def begin(self, plan: Program | None = None) -> None:
        self.driver.connect()
        self.driver.configure(plan or program())
        self.driver.start(1.0)
        self.start_s = self.now_s

    def to(self, elapsed_s: float, level: Callable[[float], float] | float | None = None) -> None:
        """Tick at 50 Hz as the guardian does, status twice a second, to a time since the start."""
        while (self._ticks + 1) * 0.02 <= elapsed_s + 1e-9:
            self._ticks += 1
            at_s = self._ticks * 0.02
            self.clock.wait(self.start_s + at_s)
            if level is not None:
                self.driver.set_level(level(at_s) if callable(level) else level)
            if self._ticks % 25 == 0:
                self.driver.status()
            self.driver.pump(self.start_s + at_s)

    def stopped(self, within_s: float = 3.0) -> float:
        """Tick as the guardian does while stopping; seconds until nothing plays."""
        began_s = self.now_s
        for tick in range(1, round(within_s / 0.02)):
            self.clock.wait(began_s + tick * 0.02)
            self.driver.pump(began_s + tick * 0.02)
            if tick % 5 == 0 and not self.driver.status().playing:
                return self.now_s - began_s
        raise AssertionError("it goes on")

    def finish(self) -> Trace:
        info = self.emulator.finish()
        assert info is not None
        return read_trace(info)


def written(session: Session) -> list[bytes]:
    """Record what the driver writes from now on."""
    sent: list[bytes] = []
    write = session.emulator.transport.write

    def spy(data: bytes) -> None:
        sent.append(data)
        write(data)

    session.emulator.transport.write = spy
    return sent


def changes(sent: Sequence[bytes]) -> list[bytes]:
    """Only what changes something: no questions."""
    return [data for data in sent if data[0] not in (128, 129, 130, 132, 142, 159)]


@dataclass(frozen=True)
class Rehearsal:
    """What became of a whole session, and the current that flowed."""

    session: KernelSession
    trace: Trace
    levels: NDArray[np.float64]  # seconds by the clock, level commanded
    record: Path

    def commanded(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """The largest level commanded at an instant: the tick before it."""
        at = np.searchsorted(self.levels[:, 0], times_s, side="right") - 1
        return self.levels[np.clip(at, 0, None), 1]


def rehearse(
    protocol: Protocol,
    folder: Path,
    *,
    script: Sequence[tuple[float, str]] = (),
    faults: Sequence[str] = (),
    rig: Rig = RIG,
) -> Rehearsal:
    """Run a protocol on the emulated NIC2 under the virtual clock."""
    clock, limits = VirtualClock(), effective_limits()
    contacts = [e.name for e in protocol.montage.electrodes]
    device = EmulatedNic2().in_memory(rig, clock, contacts, folder / "scope.tsv.gz", faults)
    driver = Nic2.over(device.transport, rig)
    levels: list[tuple[float, float]] = []

    def watch(telemetry: Telemetry) -> None:
        levels.append((clock.now_s(), telemetry.level))

    with RecordWriter(folder / "record.jsonl") as record:
        guardian = Guardian(
            lambda journal: GuardedDriver.of(driver, protocol, rig, limits, journal),
            kernel_plan(protocol, limits, driver.capabilities),
            clock,
            record,
            watch,
        )
        guardian.prepare()
        guardian.arm()
        start_s = clock.now_s()
        session = guardian.run(QueueInbox([(start_s + at_s, text) for at_s, text in script]))
    info = device.finish()
    assert info is not None
    return Rehearsal(session, read_trace(info), np.asarray(levels), folder / "record.jsonl")
