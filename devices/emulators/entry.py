"""What every emulated device offers: itself in this process, or as a process of its own.

An emulator names its bench, and is then reached by the entry-point group ``tacs.emulators`` and by
``python -m``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from devices.emulators.bench import InMemory
from devices.emulators.faults import FaultKind
from devices.emulators.server import EmulatorProcess, Link, main_of, start_process
from tacs.clock import Clock
from tacs.rig import Rig, load_rig

__all__ = ["EmulatedDevice", "run_as_process", "sentences"]


class BenchKind(Protocol):
    """Makes a device with what is behind its outputs."""

    def __call__(
        self,
        rig: Rig,
        contacts: Sequence[str],
        trace: Path | None,
        faults: Sequence[str],
        now_s: float,
    ) -> Any:
        """Make one."""


def sentences(faults: Mapping[str, FaultKind[Any]]) -> dict[str, str]:
    """What each fault of a device is, by name, in words."""
    return {name: kind.sentence for name, kind in faults.items()}


class EmulatedDevice:
    """An emulated device; a subclass names what is its own.

    Attributes
    ----------
    faults : mapping of str to str
        What may go wrong, by name, in words.
    bench : BenchKind
        The device with what is behind its outputs.
    module : str
        What ``python -m`` runs.
    tcp : bool
        Whether its process is on a TCP port and not on a pseudo-terminal.
    """

    faults: ClassVar[Mapping[str, str]]
    bench: ClassVar[BenchKind]
    module: ClassVar[str]
    tcp: ClassVar[bool] = False

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
            A contact, a fault or a trace that cannot be, or a rig that does not fit.
        """
        return InMemory(self.bench(rig, contacts, trace, faults, clock.now_s()), clock)

    def as_process(
        self, rig: Path, contacts: Sequence[str], trace: Path | None, faults: Sequence[str]
    ) -> EmulatorProcess:
        """Start one as a process of its own; see :meth:`in_memory`. A monitor has its own port.

        Raises
        ------
        InputError
            The process did not start; its own reason.
        """
        return start_process(self.module, rig, contacts, trace, faults, tcp=self.tcp)


def run_as_process(
    device: type[EmulatedDevice],
    described: str | None,
    arguments: Sequence[str] | None,
    *,
    eeg: Callable[[Any, float], Link] | None = None,
) -> int:
    """Command line of an emulator's module.

    Parameters
    ----------
    device : type
        The emulator.
    described : str or None
        What it says of itself.
    arguments : sequence of str or None
        Those of the process where None.
    eeg : callable, optional
        Bench and clock time to the EEG stream that ``--eeg`` asks for.

    Returns
    -------
    int
        Exit code.
    """
    epilog = "faults: " + "; ".join(f"{name}: {words}" for name, words in device.faults.items())
    parser = argparse.ArgumentParser(
        prog=f"python -m {device.module}", description=described, epilog=epilog
    )
    if eeg is not None:
        parser.add_argument("--eeg", action="store_true", help="stream EEG on a TCP port as well")

    def streams(bench: Any, options: argparse.Namespace, now_s: float) -> Mapping[str, Link]:
        return {"eeg": eeg(bench, now_s)} if eeg is not None and options.eeg else {}

    return main_of(
        parser,
        arguments,
        lambda rig, contacts, trace, faults, now_s: device.bench(
            load_rig(rig), contacts, trace, faults, now_s
        ),
        streams=streams,
    )
