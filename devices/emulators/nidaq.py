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

import sys
from collections.abc import Sequence

from devices.emulators.entry import EmulatedDevice, run_as_process, sentences
from devices.emulators.nidaq_bench import FAULTS, NiDaqBench

__all__ = ["EmulatedNiDaq"]


class EmulatedNiDaq(EmulatedDevice):
    """What the entry point ``tacs.emulators: nidaq`` provides."""

    faults = sentences(FAULTS)
    bench = NiDaqBench
    module = "devices.emulators.nidaq"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an emulated NI card until its client is gone and its output silent."""
    return run_as_process(EmulatedNiDaq, main.__doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
