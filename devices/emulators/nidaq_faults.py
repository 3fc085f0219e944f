"""Faults of the emulated NI card: those of any device, and those of a streaming converter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from devices.emulators.common_faults import (
    ELECTRODE_FAULTS,
    LINK_FAULTS,
    MONITOR_FAULTS,
    STIMULATOR_FAULTS,
)
from devices.emulators.faults import FaultKind, count, nothing, number

if TYPE_CHECKING:
    from devices.emulators.nidaq_bench import NiDaqBench

__all__ = ["FAULTS"]

CODES = {"regen": -200290, "fifo": -200621, "dac": -200018}


def _underflow_code(text: str, contacts: Sequence[str]) -> int:
    """Read the kind of an underflow."""
    if text not in CODES:
        raise ValueError(f"{text!r} is none of {', '.join(CODES)}")
    return CODES[text]


def _underflow(bench: NiDaqBench, code: int, now_s: float) -> None:
    bench.firmware.card.underflow(code)


def _stand_still(bench: NiDaqBench, value: None, now_s: float) -> None:
    bench.firmware.card.stand_still()


def _set_clock(bench: NiDaqBench, ppm: float, now_s: float) -> None:
    bench.firmware.card.clock_ppm = ppm


def _set_version(bench: NiDaqBench, version: int, now_s: float) -> None:
    bench.firmware.version = version


CARD_FAULTS: Mapping[str, FaultKind[NiDaqBench]] = {
    "underflow": FaultKind(
        "the card runs dry by itself and holds its value: VALUE regen (-200290), fifo (-200621) "
        "or dac (-200018)",
        _underflow,
        _underflow_code,
        "fifo",
    ),
    "clock_stops": FaultKind(
        "the sample clock stands still: the outputs hold their value, and no error is told",
        _stand_still,
        nothing,
        "",
    ),
    "clock_ppm": FaultKind(
        "the sample clock is fast by VALUE millionths", _set_clock, number, timed=False
    ),
    "wrong_version": FaultKind(
        "the card's process speaks version VALUE of its frames", _set_version, count, timed=False
    ),
}

FAULTS: Mapping[str, FaultKind[NiDaqBench]] = {
    **ELECTRODE_FAULTS,
    **STIMULATOR_FAULTS,
    **CARD_FAULTS,
    **LINK_FAULTS,
    **MONITOR_FAULTS,
    "link_loss": FaultKind(
        "the port is gone; the card plays its queue to the end and holds its last value, or its "
        "watchdog sets 0 V",
        LINK_FAULTS["link_loss"].effect,
        nothing,
        "",
    ),
}
