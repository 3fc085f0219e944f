"""An emulated SCPI waveform generator with stimulators, electrodes and an oscilloscope.

It speaks lines of text and nothing else: in memory under any clock, or as a process of its own on a
TCP port (``python -m devices.emulators.scpi --help``). The rig's ``options.dialect`` says which
instrument it is.

Not modelled: waveforms other than the sine, units other than Vpp, modulation, sweep, gated and
internally triggered bursts (their settings are kept, they play nothing), coupling, status
registers, bounce of the relay, noise, and the converter's steps. How a real instrument treats a new
amplitude during a burst is not documented: here the burst goes on undisturbed, and the faults
``volt_ends_burst`` and ``volt_restarts_burst`` are the other two possibilities.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from devices.emulators.bench import InMemory
from devices.emulators.scpi_bench import FAULTS, ScpiBench
from devices.emulators.server import EmulatorProcess, main_of, start_process
from tacs.clock import Clock
from tacs.rig import Rig, load_rig

__all__ = ["EmulatedScpi"]


class EmulatedScpi:
    """What the entry point ``tacs.emulators: scpi`` provides."""

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
            What is behind the outputs, and which instrument it is.
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
            A dialect, a contact, a fault or a trace that cannot be.
        """
        return InMemory(ScpiBench(rig, contacts, trace, faults, clock.now_s()), clock)

    def as_process(
        self, rig: Path, contacts: Sequence[str], trace: Path | None, faults: Sequence[str]
    ) -> EmulatorProcess:
        """Start one as a process of its own, on a TCP port; see :meth:`in_memory`.

        Raises
        ------
        InputError
            The process did not start; its own reason.
        """
        return start_process("devices.emulators.scpi", rig, contacts, trace, faults, tcp=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an emulated SCPI waveform generator until its client is gone and its output silent."""
    epilog = "faults: " + "; ".join(f"{n}: {k.sentence}" for n, k in FAULTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m devices.emulators.scpi", description=main.__doc__, epilog=epilog
    )
    return main_of(
        parser,
        arguments,
        lambda rig, contacts, trace, faults, now_s: ScpiBench(
            load_rig(rig), contacts, trace, faults, now_s
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
