"""An emulated StimJim with stimjimAWG firmware, electrodes, an oscilloscope, a monitor if wired.

It speaks the wire protocol and nothing else: in memory under any clock, or as a process of its own
on a pseudo-terminal or a TCP port (``python -m devices.emulators.stimjim --help``).

Not modelled: trains of steps (``S``) and of straight lines (``L``), sine trains in bursts or in
voltage mode (a start is dropped with a warning), the commands ``V``, ``E``, ``B``, ``C``, ``P``,
``R``, ``ENV``, ``DELAY``, ``DT``, ``CAL``, ``LOG``, ``SD``, ``SCREEN`` and ``BENCH``; noise and
offsets of its converters, the settling of its output, its display; what its memory restores at
power-on. Its button is that of trigger input 0.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from devices.emulators.bench import InMemory
from devices.emulators.server import EmulatorProcess, main_of, start_process
from devices.emulators.stimjim_bench import FAULTS, StimjimBench
from tacs.clock import Clock
from tacs.rig import Rig, load_rig

__all__ = ["EmulatedStimjim"]


class EmulatedStimjim:
    """What the entry point ``tacs.emulators: stimjim`` provides."""

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
            What is at the outputs; with a monitor, one is emulated too, on a link of its own.
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
        return InMemory(StimjimBench(rig, contacts, trace, faults, clock.now_s()), clock)

    def as_process(
        self, rig: Path, contacts: Sequence[str], trace: Path | None, faults: Sequence[str]
    ) -> EmulatorProcess:
        """Start one as a process of its own, on a pseudo-terminal; see :meth:`in_memory`.

        Raises
        ------
        InputError
            The process did not start; its own reason.
        """
        return start_process("devices.emulators.stimjim", rig, contacts, trace, faults)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an emulated StimJim until its client is gone and its output silent."""
    epilog = "faults: " + "; ".join(f"{n}: {k.sentence}" for n, k in FAULTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m devices.emulators.stimjim", description=main.__doc__, epilog=epilog
    )
    return main_of(
        parser,
        arguments,
        lambda rig, contacts, trace, faults, now_s: StimjimBench(
            load_rig(rig), contacts, trace, faults, now_s
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
