"""An emulated Synth Pal on its bench: stimulators, electrodes, an oscilloscope, and its faults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from devices.emulators.bench import DeviceBench
from devices.emulators.synthpal_faults import FAULTS
from devices.emulators.synthpal_firmware import Firmware
from tacs.rig import Rig

__all__ = ["FAULTS", "SynthPalBench"]


class SynthPalBench(DeviceBench[Firmware]):
    """A Synth Pal; see :class:`devices.emulators.bench.DeviceBench`."""

    def __init__(
        self,
        rig: Rig,
        contacts: Sequence[str],
        trace: Path | None,
        faults: Sequence[str],
        now_s: float,
    ) -> None:
        super().__init__(Firmware(now_s), FAULTS, rig, contacts, trace, faults, now_s)
