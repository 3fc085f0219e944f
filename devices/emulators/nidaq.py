"""An emulated NI card with stimulators, electrodes, an oscilloscope, and a monitor if wired.

It answers the calls that the driver makes of NI-DAQmx, in frames: in memory under any clock, or as
a process of its own (``python -m devices.emulators.nidaq --help``).

Modelled: the sample clock, a buffer that is never played twice, the errors of starvation and what
the outputs hold after them, write-before-start, the converter's steps, the timer and what it does
to outputs and to an interlock line, and what stays at the outputs when the host is gone.

Not modelled: the transfer between host buffer and card's memory, the time that calls take, the
abort of a task at the moment its process dies (the queue is played to its end first), the
reconstruction filter, glitches of the converter, noise, and calibration of the converter.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from devices.emulators.bench import InMemory
from devices.emulators.nidaq_bench import FAULTS, NiDaqBench
from devices.emulators.server import EmulatorProcess, main_of, start_process
from tacs.clock import Clock
from tacs.rig import Rig, load_rig

__all__ = ["EmulatedNiDaq"]


class EmulatedNiDaq:
    """What the entry point ``tacs.emulators: nidaq`` provides."""

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
            What is behind the outputs, and what the card has.
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
        return InMemory(NiDaqBench(rig, contacts, trace, faults, clock.now_s()), clock)

    def as_process(
        self, rig: Path, contacts: Sequence[str], trace: Path | None, faults: Sequence[str]
    ) -> EmulatorProcess:
        """Start one as a process of its own, on a pseudo-terminal; see :meth:`in_memory`.

        Raises
        ------
        InputError
            The process did not start; its own reason.
        """
        return start_process("devices.emulators.nidaq", rig, contacts, trace, faults)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an emulated NI card until its client is gone and its output silent."""
    epilog = "faults: " + "; ".join(f"{n}: {k.sentence}" for n, k in FAULTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m devices.emulators.nidaq", description=main.__doc__, epilog=epilog
    )
    return main_of(
        parser,
        arguments,
        lambda rig, contacts, trace, faults, now_s: NiDaqBench(
            load_rig(rig), contacts, trace, faults, now_s
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
