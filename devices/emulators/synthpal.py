"""An emulated Synth Pal with stimulators, electrodes, an oscilloscope, and a monitor if wired.

It speaks the wire protocol and nothing else: in memory under any clock, or as a process of its own
on a pseudo-terminal or a TCP port (``python -m devices.emulators.synthpal --help``).

Not modelled: the screen saver, the menu (a joystick click is), the calibration of the converter,
and the microseconds of a sample's way to the output.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from devices.emulators.entry import EmulatedDevice, run_as_process, sentences
from devices.emulators.synthpal_bench import FAULTS, SynthPalBench

__all__ = ["EmulatedSynthPal"]


class EmulatedSynthPal(EmulatedDevice):
    """What the entry point ``tacs.emulators: synthpal`` provides."""

    faults = sentences(FAULTS)
    bench = SynthPalBench
    module = "devices.emulators.synthpal"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an emulated Synth Pal until its client is gone and its output silent."""
    return run_as_process(EmulatedSynthPal, main.__doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
