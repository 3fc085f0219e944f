"""An emulated toy stimulator: in memory on any clock, or as a process of its own.

Not modelled: a converter's steps, samples and noise.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from devices.emulators.bench import DeviceBench, InMemory
from devices.emulators.common_faults import (
    ELECTRODE_FAULTS,
    LINK_FAULTS,
    MONITOR_FAULTS,
    STIMULATOR_FAULTS,
)
from devices.emulators.server import EmulatorProcess, main_of, start_process
from tacs.clock import Clock
from tacs.rig import Rig, load_rig
from toy_stimulator.firmware import Firmware

FAULTS = {**ELECTRODE_FAULTS, **STIMULATOR_FAULTS, **LINK_FAULTS, **MONITOR_FAULTS}


def bench_of(
    rig: Rig, contacts: Sequence[str], trace: Path | None, faults: Sequence[str], now_s: float
) -> DeviceBench[Firmware]:
    return DeviceBench(Firmware(now_s), FAULTS, rig, contacts, trace, faults, now_s)


class EmulatedToy:
    """What the entry point ``tacs.emulators: toy`` provides."""

    faults: ClassVar[Mapping[str, str]] = {name: kind.sentence for name, kind in FAULTS.items()}

    def in_memory(
        self,
        rig: Rig,
        clock: Clock,
        contacts: Sequence[str],
        trace: Path | None,
        faults: Sequence[str],
    ) -> InMemory:
        return InMemory(bench_of(rig, contacts, trace, faults, clock.now_s()), clock)

    def as_process(
        self, rig: Path, contacts: Sequence[str], trace: Path | None, faults: Sequence[str]
    ) -> EmulatorProcess:
        return start_process("toy_stimulator.emulator", rig, contacts, trace, faults)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an emulated toy until its client is gone and its output silent."""
    parser = argparse.ArgumentParser(
        prog="python -m toy_stimulator.emulator", description=main.__doc__
    )
    return main_of(
        parser,
        arguments,
        lambda rig, contacts, trace, faults, now_s: bench_of(
            load_rig(rig), contacts, trace, faults, now_s
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
