"""A session on the virtual clock: the real driver, the emulated Synth Pal, its oscilloscope."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tacs.clock import QueueInbox, VirtualClock
from tacs.dose import Delivered, measure, quiet_after_s, read_trace
from tacs.driver import Driver, find_driver, find_emulator
from tacs.guard import GuardedDriver
from tacs.guardian import Guardian, Telemetry, kernel_plan
from tacs.limits import EffectiveLimits, effective_limits
from tacs.protocol import Protocol
from tacs.record import RecordWriter
from tacs.rig import load_rig
from tacs.session import Session

RATE_HZ = 1000.0


@dataclass(frozen=True)
class Rehearsal:
    """What became of it: the session, its record, and the current that flowed."""

    session: Session
    record: Path
    trace: NDArray[np.float64]
    columns: tuple[str, ...]
    start_s: float
    delivered: Delivered

    def quiet_after_s(self, since_start_s: float) -> float | None:
        """Seconds from an instant, counted from the start, to below 50 µA for good."""
        return quiet_after_s(
            self.trace, RATE_HZ, self.session.started_s + since_start_s - self.start_s
        )


def rehearse(
    protocol: Protocol,
    folder: Path,
    *,
    script: Sequence[tuple[float, str]] = (),
    faults: Sequence[str] = (),
    limits: EffectiveLimits | None = None,
    writer: type[RecordWriter] = RecordWriter,
    driver_class: type[Driver] | None = None,
    watch: Callable[[Telemetry], None] | None = None,
) -> Rehearsal:
    """Run a protocol on the emulated Synth Pal under the virtual clock."""
    clock, rig = VirtualClock(), load_rig("emulated-synthpal")
    limits = limits or effective_limits()
    contacts = [e.name for e in protocol.montage.electrodes]
    device = find_emulator("synthpal").in_memory(
        rig, clock, contacts, folder / "scope.tsv.gz", faults
    )
    driver = (driver_class or find_driver("synthpal")).over(device.transport, rig)
    with writer(folder / "record.jsonl") as record:
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
        inbox = QueueInbox([(start_s + at_s, message) for at_s, message in script])
        session = guardian.run(inbox)
    info = device.finish()
    assert info is not None
    trace = read_trace(info.path, len(info.columns))
    return Rehearsal(
        session=session,
        record=folder / "record.jsonl",
        trace=trace,
        columns=info.columns,
        start_s=info.start_s,
        delivered=measure(
            trace,
            info.columns,
            info.sampling_frequency_hz,
            carrier_hz=protocol.carrier_hz,
            gap_s=protocol.gap_s,
        ),
    )
