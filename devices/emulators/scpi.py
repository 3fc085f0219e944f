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

import sys
from collections.abc import Sequence

from devices.emulators.entry import EmulatedDevice, run_as_process, sentences
from devices.emulators.scpi_bench import FAULTS, ScpiBench

__all__ = ["EmulatedScpi"]


class EmulatedScpi(EmulatedDevice):
    """What the entry point ``tacs.emulators: scpi`` provides."""

    faults = sentences(FAULTS)
    bench = ScpiBench
    module = "devices.emulators.scpi"
    tcp = True


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an emulated SCPI waveform generator until its client is gone and its output silent."""
    return run_as_process(EmulatedScpi, main.__doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
