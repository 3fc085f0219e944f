"""A driver on an emulated Synth Pal under a virtual clock, and what its oscilloscope saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from devices.emulators.bench import InMemory
from devices.emulators.synthpal import EmulatedSynthPal
from devices.synthpal import SynthPal
from tacs.clock import VirtualClock
from tacs.driver import Program, TraceInfo
from tacs.rig import Rig, load_rig

RIG = load_rig("emulated-synthpal")


def program(
    currents_peak_ma: dict[int, float] | None = None, frequency_hz: float = 10.27
) -> Program:
    currents = {1: 1.0} if currents_peak_ma is None else currents_peak_ma
    return Program(
        frequency_hz=frequency_hz,
        currents_peak_ma=currents,
        phases_deg=dict.fromkeys(currents, 0.0),
        soft_stop_s=0.8,
        emergency_stop_s=0.1,
    )


@dataclass(frozen=True)
class Trace:
    """Samples of an oscilloscope: seconds by the clock, mA by contact."""

    times_s: NDArray[np.float64]
    currents_ma: dict[str, NDArray[np.float64]]

    def between(self, start_s: float, end_s: float, contact: str = "Oz") -> NDArray[np.float64]:
        return self.currents_ma[contact][(self.times_s >= start_s) & (self.times_s < end_s)]

    def last_above_s(self, limit_ma: float, contact: str = "Oz") -> float:
        """Time of the last sample above a limit."""
        return float(self.times_s[np.abs(self.currents_ma[contact]) > limit_ma][-1])


def read_trace(info: TraceInfo) -> Trace:
    samples = np.loadtxt(info.path, delimiter="\t", ndmin=2)
    assert samples.shape == (info.n_samples, len(info.columns))
    times_s = info.start_s + np.arange(info.n_samples) / info.sampling_frequency_hz
    return Trace(times_s, {name: samples[:, i] for i, name in enumerate(info.columns)})


class Session:
    """Drive an emulated device through a session."""

    def __init__(
        self,
        folder: Path,
        *,
        contacts: Sequence[str] = ("Oz", "Cz"),
        faults: Sequence[str] = (),
        rig: Rig = RIG,
    ) -> None:
        self.clock = VirtualClock(start_s=100.0)
        self.emulator: InMemory = EmulatedSynthPal().in_memory(
            rig, self.clock, contacts, folder / "current.tsv.gz", faults
        )
        self.driver = SynthPal.over(self.emulator.transport, rig)
        self.start_s = 0.0

    @property
    def firmware(self):
        return self.emulator.bench.firmware

    @property
    def elapsed_s(self) -> float:
        return self.clock.now_s() - self.start_s

    def begin(self, plan: Program | None = None, lease_s: float = 1.0) -> None:
        self.driver.connect()
        self.driver.configure(plan or program())
        self.driver.start(lease_s)
        # The start is when the device carried it out, not when its status came back.
        self.start_s = self.firmware.first_start_s

    def to(self, elapsed_s: float, *, ramp_s: float = 0.0, lease_s: float = 1.0) -> None:
        """Step the level at 50 Hz through the ramp and renew the lease at 5 Hz."""
        tick = round(self.elapsed_s * 50)
        while (at_s := tick / 50) < elapsed_s - 1e-9:
            self.clock.wait(self.start_s + at_s)
            if at_s <= ramp_s + 0.021:
                self.driver.set_level(min(at_s / ramp_s, 1.0) if ramp_s else 1.0)
            if tick % 10 == 0:
                self.driver.extend_lease(at_s, lease_s)
            tick += 1
        self.clock.wait(self.start_s + elapsed_s)

    def finish(self) -> Trace:
        info = self.emulator.finish()
        assert info is not None
        return read_trace(info)
