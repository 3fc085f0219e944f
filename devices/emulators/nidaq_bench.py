"""An emulated NI card on its bench: stimulators, electrodes, an oscilloscope, and its faults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from devices.emulators.bench import DeviceBench
from devices.emulators.nidaq_faults import FAULTS
from devices.emulators.nidaq_link import CardFirmware
from tacs.rig import Rig

__all__ = ["FAULTS", "NiDaqBench"]


class NiDaqBench(DeviceBench[CardFirmware]):
    """An NI card; see :class:`devices.emulators.bench.DeviceBench`.

    Whether the card has a watchdog, and whether a line of it enables the stimulators, is read from
    the rig's options, where the driver reads it too.
    """

    def __init__(
        self,
        rig: Rig,
        contacts: Sequence[str],
        trace: Path | None,
        faults: Sequence[str],
        now_s: float,
    ) -> None:
        firmware = CardFirmware(
            now_s,
            watchdog=rig.options.get("watchdog") is True,
            interlock="interlock" in rig.options,
        )
        firmware.card.idle_zero_supported = rig.options.get("idle_output") == "zero_volts"
        super().__init__(firmware, FAULTS, rig, contacts, trace, faults, now_s)
