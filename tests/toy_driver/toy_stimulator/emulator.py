"""An emulated toy stimulator: in memory on any clock, or as a process of its own.

Not modelled: a converter's steps, samples and noise.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from devices.emulators.bench import DeviceBench
from devices.emulators.common_faults import (
    ELECTRODE_FAULTS,
    LINK_FAULTS,
    MONITOR_FAULTS,
    STIMULATOR_FAULTS,
)
from devices.emulators.entry import EmulatedDevice, run_as_process, sentences
from tacs.rig import Rig
from toy_stimulator.firmware import Firmware

FAULTS = {**ELECTRODE_FAULTS, **STIMULATOR_FAULTS, **LINK_FAULTS, **MONITOR_FAULTS}


class ToyBench(DeviceBench[Firmware]):
    """The toy, its outputs and the electrodes."""

    def __init__(
        self,
        rig: Rig,
        contacts: Sequence[str],
        trace: Path | None,
        faults: Sequence[str],
        now_s: float,
    ) -> None:
        super().__init__(Firmware(now_s), FAULTS, rig, contacts, trace, faults, now_s)


class EmulatedToy(EmulatedDevice):
    """What the entry point ``tacs.emulators: toy`` provides."""

    faults = sentences(FAULTS)
    bench = ToyBench
    module = "toy_stimulator.emulator"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an emulated toy until its client is gone and its output silent."""
    return run_as_process(EmulatedToy, main.__doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
