"""The StimJim driver on its emulator: by hand, and through a whole session of the guardian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from devices.emulators.bench import InMemory
from devices.emulators.stimjim import EmulatedStimjim
from devices.stimjim import Stimjim
from tacs.clock import QueueInbox, VirtualClock
from tacs.driver import Program
from tacs.guard import GuardedDriver
from tacs.guardian import Guardian, kernel_plan
from tacs.limits import effective_limits
from tacs.protocol import Protocol
from tacs.record import Line, RecordWriter, read_record
from tacs.rig import load_rig
from tests.devices.bench import Trace, read_trace

RIG = load_rig("emulated-stimjim")
ENVELOPE = ((0.0, 0.0), (5.0, 1.0), (17.0, 1.0), (20.0, 0.0))
SHAM = ((0.0, 0.0), (2.0, 1.0), (3.0, 1.0), (4.0, 0.0), (20.0, 0.0))
NOTHING = ((0.0, 0.0), (20.0, 0.0))


def program(
    currents_peak_ma: Mapping[int, float] | None = None,
    phases_deg: Mapping[int, float] | None = None,
    frequency_hz: float = 10.27,
    envelope: tuple[tuple[float, float], ...] = ENVELOPE,
) -> Program:
    currents = {1: 0.5} if currents_peak_ma is None else dict(currents_peak_ma)
    return Program(
        frequency_hz=frequency_hz,
        currents_peak_ma=currents,
        phases_deg=dict.fromkeys(currents, 0.0) if phases_deg is None else phases_deg,
        soft_stop_s=0.02,
        emergency_stop_s=0.02,
        envelope=envelope,
    )


class Bench:
    """A driver on an emulated device under a virtual clock."""

    def __init__(
        self,
        folder: Path,
        *,
        contacts: Sequence[str] = ("Oz", "Cz", "F3", "F4"),
        faults: Sequence[str] = (),
    ) -> None:
        self.clock = VirtualClock(start_s=100.0)
        self.emulator: InMemory = EmulatedStimjim().in_memory(
            RIG, self.clock, contacts, folder / "current.tsv.gz", faults
        )
        self.driver = Stimjim.over(self.emulator.transport, RIG)
        self.sent: list[bytes] = []
        write = self.emulator.transport.write

        def spy(data: bytes) -> None:
            self.sent.append(data)
            write(data)

        self.emulator.transport.write = spy

    @property
    def firmware(self):
        return self.emulator.bench.firmware

    def begin(self, plan: Program | None = None) -> None:
        self.driver.connect()
        self.driver.configure(plan or program())
        self.driver.start(1.0)

    def to(self, elapsed_s: float) -> None:
        """Pump and tell the time as a guardian does, 25 times a second."""
        start_s = self.firmware.first_start_s
        while self.clock.now_s() < start_s + elapsed_s - 1e-9:
            self.clock.wait(min(self.clock.now_s() + 0.04, start_s + elapsed_s))
            self.driver.extend_lease(self.clock.now_s() - start_s, 1.0)
            self.driver.pump(self.clock.now_s())

    def finish(self, timeout_s: float = 10.0) -> Trace:
        info = self.emulator.finish(timeout_s)
        assert info is not None
        return read_trace(info)


@dataclass(frozen=True)
class Played:
    """What became of a session: its end, its record, and the current that flowed."""

    session: Any
    lines: list[Line]
    trace: Trace
    start_s: float

    @property
    def statuses(self) -> list[Mapping[str, Any]]:
        return [x.data for x in self.lines if x.kind == "answer" and x.data["verb"] == "status"]

    def peaks_ma(self, contact: str, every_s: float = 0.1):
        """Largest current of every tenth of a second from the start on."""
        part = self.trace.between(self.start_s, self.start_s + 1e9, contact)
        n = round(every_s * 1000)
        return np.abs(part[: len(part) // n * n]).reshape(-1, n).max(axis=1)

    def quiet_after_s(self, since_start_s: float, contact: str = "Oz") -> float:
        return self.trace.last_above_s(1e-9, contact) - self.start_s - since_start_s


def protocol(**changes: Any) -> Protocol:
    data: dict[str, Any] = {
        "name": "short",
        "waveform": "tacs",
        "frequency_hz": 10.27,
        "duration_s": 60.0,
        "ramp_up_s": 30.0,
        "ramp_down_s": 15.0,
        "montage": {
            "electrodes": [
                {"name": name, "area_cm2": 25.0, "material": "conductive_rubber_paste"}
                for name in ("Oz", "Cz")
            ],
            "loops": [{"source": "Oz", "sink": "Cz", "current_peak_ma": 0.5}],
        },
        "fallback_note": "made for a test",
        "expected_effect": {"direction": "none", "measure": "nothing", "region": "all"},
        **changes,
    }
    return Protocol.from_data(data, "made")


def play(
    folder: Path,
    prescription: Protocol,
    *,
    script: Sequence[tuple[float, str]] = (),
    faults: Sequence[str] = (),
    contacts: Sequence[str] | None = None,
) -> Played:
    """Run a session of the guardian on the virtual clock."""
    clock, limits = VirtualClock(), effective_limits()
    names = contacts or [e.name for e in prescription.montage.electrodes]
    device = EmulatedStimjim().in_memory(RIG, clock, names, folder / "scope.tsv.gz", faults)
    driver = Stimjim.over(device.transport, RIG)
    with RecordWriter(folder / "record.jsonl") as record:
        guardian = Guardian(
            lambda journal: GuardedDriver.of(driver, prescription, RIG, limits, journal),
            kernel_plan(prescription, limits, driver.capabilities),
            clock,
            record,
        )
        guardian.prepare()
        guardian.arm()
        start_s = clock.now_s()
        session = guardian.run(QueueInbox([(start_s + at_s, text) for at_s, text in script]))
    clock.wait(clock.now_s() + 2.0)
    info = device.finish(timeout_s=120.0)
    assert info is not None
    return Played(session, read_record(folder / "record.jsonl")[0], read_trace(info), start_s)
