"""Faults of the emulated Synth Pal: those of any device, and those of its firmware."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from devices.emulators.common_faults import (
    ELECTRODE_FAULTS,
    LINK_FAULTS,
    MONITOR_FAULTS,
    STIMULATOR_FAULTS,
)
from devices.emulators.faults import FaultKind, count, nothing

if TYPE_CHECKING:
    from devices.emulators.synthpal_bench import SynthPalBench

__all__ = ["FAULTS"]


def _letter(text: str, contacts: Sequence[str]) -> int:
    """Read the letter of another firmware."""
    if text not in ("K", "W"):
        raise ValueError(f"{text!r} is neither K (Pulse Pal) nor W (Wave Pal)")
    return ord(text)


def _fail(bench: SynthPalBench, value: None, now_s: float) -> None:
    bench.firmware.fail()


def _set_letter(bench: SynthPalBench, letter: int, now_s: float) -> None:
    bench.firmware.letter = letter


def _set_version(bench: SynthPalBench, version: int, now_s: float) -> None:
    bench.firmware.version = version


FIRMWARE_FAULTS: Mapping[str, FaultKind[SynthPalBench]] = {
    "comm_failure": FaultKind(
        "the device shows COMM. FAILURE!, stops over its off-ramps and answers no more",
        _fail,
        nothing,
        "",
    ),
    "wrong_firmware": FaultKind(
        "another firmware answers from power-on: K Pulse Pal, W Wave Pal",
        _set_letter,
        _letter,
        timed=False,
    ),
    "wrong_version": FaultKind(
        "firmware version VALUE answers from power-on", _set_version, count, timed=False
    ),
}

FAULTS: Mapping[str, FaultKind[SynthPalBench]] = {
    **ELECTRODE_FAULTS,
    **STIMULATOR_FAULTS,
    **FIRMWARE_FAULTS,
    **LINK_FAULTS,
    **MONITOR_FAULTS,
}
