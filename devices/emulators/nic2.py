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

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from devices.emulators.bench import InMemory
from devices.emulators.nic2_bench import FAULTS, Nic2Bench
from devices.emulators.server import EmulatorProcess, main_of, start_process
from tacs.clock import Clock
from tacs.rig import Rig, load_rig

__all__ = ["EmulatedNic2"]


class EmulatedNic2:
    """What the entry point ``tacs.emulators: nic2`` provides."""

    faults: ClassVar[Mapping[str, str]] = {name: kind.sentence for name, kind in FAULTS.items()}

    def in_memory(
        self,
        rig: Rig,
        clock: Clock,
        contacts: Sequence[str],
        trace: Path | None,
        faults: Sequence[str],
    ) -> InMemory:
        """Start one in this process, under the clock given.

        Parameters
        ----------
        rig : Rig
            Electrode at each channel, and the names of the protocols there are.
        clock : Clock
            Virtual or real.
        contacts : sequence of str
            Attached electrodes, ``"Oz"`` or ``"Oz=5"`` (kΩ).
        trace : Path or None
            ``….tsv.gz`` for the oscilloscope.
        faults : sequence of str
            ``NAME[@SECONDS][=VALUE]``.

        Raises
        ------
        InputError
            A contact, a fault or a trace that cannot be.
        """
        return InMemory(Nic2Bench(rig, contacts, trace, faults, clock.now_s()), clock)

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
        return start_process(
            "devices.emulators.nic2",
            rig,
            contacts,
            trace,
            faults,
            tcp=True,
            options=["--eeg"] if eeg else [],
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an emulated NIC2 until its client is gone and its output silent."""
    epilog = "faults: " + "; ".join(f"{n}: {k.sentence}" for n, k in FAULTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m devices.emulators.nic2", description=main.__doc__, epilog=epilog
    )
    parser.add_argument("--eeg", action="store_true", help="stream EEG on a TCP port as well")
    return main_of(
        parser,
        arguments,
        lambda rig, contacts, trace, faults, now_s: Nic2Bench(
            load_rig(rig), contacts, trace, faults, now_s
        ),
        streams=lambda bench, options, now_s: {"eeg": bench.eeg(now_s)} if options.eeg else {},
    )


if __name__ == "__main__":
    sys.exit(main())
