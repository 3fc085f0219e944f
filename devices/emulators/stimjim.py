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

import sys
from collections.abc import Sequence

from devices.emulators.entry import EmulatedDevice, run_as_process, sentences
from devices.emulators.stimjim_bench import FAULTS, StimjimBench

__all__ = ["EmulatedStimjim"]


class EmulatedStimjim(EmulatedDevice):
    """What the entry point ``tacs.emulators: stimjim`` provides."""

    faults = sentences(FAULTS)
    bench = StimjimBench
    module = "devices.emulators.stimjim"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an emulated StimJim until its client is gone and its output silent."""
    return run_as_process(EmulatedStimjim, main.__doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
