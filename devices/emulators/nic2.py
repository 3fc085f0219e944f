"""An emulated NIC2 with a Starstim, electrodes, an oscilloscope, and a monitor if wired.

It speaks the wire protocol and nothing else: in memory under any clock, or as a process of its own
on a TCP port (``python -m devices.emulators.nic2 --help``), with NIC's EEG stream on another one
where that is asked for.

Not modelled: protocols with currents of their own, sham protocols, direct and noise stimulation,
peaks (152, 153), pulses, files and markers, importing protocols, LSL, the current that NIC's own
impedance check uses, the excess current through the reference electrodes when currents do not add
up, and whatever a NIC does that its protocol table does not say; what is assumed there stands in
:mod:`devices.emulators.nic2_firmware`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from devices.emulators.entry import EmulatedDevice, run_as_process, sentences
from devices.emulators.nic2_bench import FAULTS, Nic2Bench
from devices.emulators.server import EmulatorProcess, start_process

__all__ = ["EmulatedNic2"]


class EmulatedNic2(EmulatedDevice):
    """What the entry point ``tacs.emulators: nic2`` provides."""

    faults = sentences(FAULTS)
    bench = Nic2Bench
    module = "devices.emulators.nic2"
    tcp = True

    def as_process(
        self,
        rig: Path,
        contacts: Sequence[str],
        trace: Path | None,
        faults: Sequence[str],
        *,
        eeg: bool = False,
    ) -> EmulatorProcess:
        """Start one as a process of its own, on a TCP port; see :meth:`in_memory`.

        Parameters
        ----------
        rig, contacts, trace, faults
            As there.
        eeg : bool
            Whether it streams EEG on a second port, ``EmulatorProcess.streams["eeg"]``.

        Raises
        ------
        InputError
            The process did not start; its own reason.
        """
        options = ["--eeg"] if eeg else []
        return start_process(self.module, rig, contacts, trace, faults, tcp=True, options=options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an emulated NIC2 until its client is gone and its output silent."""
    return run_as_process(EmulatedNic2, main.__doc__, arguments, eeg=Nic2Bench.eeg)


if __name__ == "__main__":
    sys.exit(main())
