"""An emulated NIC2 on its bench: electrodes, an oscilloscope, its faults, and its EEG stream."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from devices.emulators.bench import DeviceBench
from devices.emulators.nic2_eeg import EegStream
from devices.emulators.nic2_faults import FAULTS
from devices.emulators.nic2_firmware import Firmware, Library
from tacs.rig import Rig

__all__ = ["FAULTS", "Nic2Bench"]

MINUTES = "{minutes}"


class Nic2Bench(DeviceBench[Firmware]):
    """A NIC2 with a Starstim; see :class:`devices.emulators.bench.DeviceBench`.

    Its protocols are those that the rig's ``options`` name, at 0 µA throughout.

    Attributes
    ----------
    channel_of : dict of str to int
        Channel of each electrode of the rig.
    """

    def __init__(
        self,
        rig: Rig,
        contacts: Sequence[str],
        trace: Path | None,
        faults: Sequence[str],
        now_s: float,
    ) -> None:
        self.channel_of = {output.electrode: output.channel for output in rig.outputs}
        super().__init__(
            Firmware(now_s, _library(rig)), FAULTS, rig, contacts, trace, faults, now_s
        )
        electrodes = {channel: name for name, channel in self.channel_of.items()}

        def impedance_kohm(channel: int, at_s: float) -> float:
            name = electrodes.get(channel)
            return math.inf if name is None else self.electrodes.impedance_kohm(name, at_s)

        self.firmware.impedance_kohm = impedance_kohm

    def eeg(self, now_s: float) -> EegStream:
        """Return NIC's EEG stream, beginning now."""
        return EegStream(self.firmware.outputs, now_s, self.advance)


def _library(rig: Rig) -> Library:
    """The protocols that somebody made for this rig, by name."""
    name, length_s = rig.options.get("protocol", ""), rig.options.get("protocol_duration_s", 0.0)
    pattern = re.escape(str(name)).replace(re.escape(MINUTES), r"(\d{1,3})")

    def find(asked: str) -> float | None:
        match = re.fullmatch(pattern, asked)
        if match is None:
            return None
        return 60.0 * int(match[1]) if match.groups() else float(length_s)

    return find
