"""An emulated Synth Pal with stimulators, electrodes, an oscilloscope, and a monitor if wired.

It speaks the wire protocol and nothing else: in memory under any clock, or as a process of its own
on a pseudo-terminal or a TCP port (``python -m devices.emulators.synthpal --help``).

Not modelled: the screen saver, the menu (a joystick click is), the calibration of the converter,
and the microseconds of a sample's way to the output.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from devices.emulators.bench import InMemory
from devices.emulators.server import EmulatorProcess, main_of, start_process
from devices.emulators.synthpal_bench import FAULTS, SynthPalBench
from tacs.clock import Clock
from tacs.rig import Rig, load_rig

__all__ = ["EmulatedSynthPal"]


class EmulatedSynthPal:
    """What the entry point ``tacs.emulators: synthpal`` provides."""

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
            What is behind the outputs; with a monitor, one is emulated too, on a link of its own.
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
        return InMemory(SynthPalBench(rig, contacts, trace, faults, clock.now_s()), clock)

    def as_process(
        self, rig: Path, contacts: Sequence[str], trace: Path | None, faults: Sequence[str]
    ) -> EmulatorProcess:
        """Start one as a process of its own, on a pseudo-terminal; see :meth:`in_memory`.

        The monitor is on a second one.

        Raises
        ------
        InputError
            The process did not start; its own reason.
        """
        return start_process("devices.emulators.synthpal", rig, contacts, trace, faults)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an emulated Synth Pal until its client is gone and its output silent."""
    epilog = "faults: " + "; ".join(f"{n}: {k.sentence}" for n, k in FAULTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m devices.emulators.synthpal", description=main.__doc__, epilog=epilog
    )
    return main_of(
        parser,
        arguments,
        lambda rig, contacts, trace, faults, now_s: SynthPalBench(
            load_rig(rig), contacts, trace, faults, now_s
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
