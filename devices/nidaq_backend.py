"""What a driver needs of an NI card: few calls, and what its error codes mean.

:class:`Card` is that interface. The real card is in :mod:`devices.nidaq_real`; a card in another
process, such as the emulated one, is spoken to through :mod:`devices.nidaq_wire`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from tacs.errors import (
    DeviceBusy,
    DeviceError,
    DeviceNotFound,
    DeviceRefused,
    LinkLost,
    TacsError,
)

__all__ = [
    "EXPIRED",
    "UNDERFLOWS",
    "Card",
    "CardInfo",
    "CardState",
    "card_error",
    "expired_text",
    "fault_text",
]

# NI-DAQmx status codes, by their names in nidaqmx.error_codes.
UNDERFLOWS: Final[Mapping[int, str]] = {
    -200290: "GEN_STOPPED_TO_PREVENT_REGEN_OF_OLD_SAMPLES",
    -200621: "OUTPUT_FIFO_UNDERFLOW_2",
    -200018: "DAC_UNDERFLOW",
}
EXPIRED: Final[Mapping[int, str]] = {
    -200678: "WRITE_FAILED_BECAUSE_WATCHDOG_EXPIRED",
    -200644: "CANT_RESET_EXPIRED_WATCHDOG",
    -201478: "CHASSIS_WATCHDOG_TIMER_EXPIRED",
}
GONE: Final[Mapping[int, str]] = {
    -201003: "DEV_CANNOT_BE_ACCESSED",
    -200045: "DEVICE_REMOVED",
}
HELD: Final[Mapping[int, str]] = {
    -50103: "PAL_RESOURCE_RESERVED",
    -200022: "RESOURCE_ALREADY_RESERVED",
    -201420: "NETWORK_DEVICE_RESERVED_BY_ANOTHER_HOST",
}
UNKNOWN: Final[Mapping[int, str]] = {
    -200220: "INVALID_DEVICE_ID",
    -200170: "PHYSICAL_CHAN_DOES_NOT_EXIST",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CardInfo:
    """Who answered: product, serial number, outputs, and what else it says of itself."""

    product: str
    serial: str
    n_outputs: int
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CardState:
    """Where a generation stands.

    Parameters
    ----------
    running : bool
        Whether samples are being played.
    generated : int or None
        Samples played since the start of this generation; None where the card cannot say.
    fault : int
        The code that ended it by itself, of :data:`UNDERFLOWS`; 0 where none did.
    starts : int
        Generations started so far: another number says that the count of samples began anew.
    expired : bool
        Whether the card's timer ran out: its outputs are at 0 V, or its interlock is open.
    """

    running: bool
    generated: int | None
    fault: int = 0
    starts: int = 0
    expired: bool = False


class Card(Protocol):
    """Analogue outputs with a sample clock, a buffer that is never played twice, and a timer.

    Outputs are counted from 1. Every method may raise a TacsError; :func:`card_error` says which.
    """

    address: str

    def identify(self) -> CardInfo:
        """Ask who it is, and unlock outputs that an expired timer has locked."""

    def prepare(self, limits_v: Mapping[int, float], rate_hz: float, buffer_samples: int) -> None:
        """Set up a generation on some outputs, each up to its largest volts; nothing plays."""

    def write(self, volts: NDArray[np.float64]) -> None:
        """Append samples, shape (n_outputs, n)."""

    def start(self) -> None:
        """Let the sample clock run."""

    def state(self) -> CardState:
        """Ask how far it is."""

    def finish(self, volts: NDArray[np.float64]) -> None:
        """Append samples, or play them by themselves where it ran dry; waits for no answer."""

    def replace(self, volts: NDArray[np.float64]) -> None:
        """Drop what has not been played and play this instead; waits for no answer."""

    def release(self) -> None:
        """End the generation; the outputs stay at their last value."""

    def hold(self, volts: Mapping[int, float]) -> None:
        """Set outputs to a value at once, and leave them there."""

    def watch(self, timeout_s: float) -> None:
        """Start the timer that takes the outputs, or their interlock, down by itself."""

    def feed(self) -> None:
        """Start the timer anew."""

    def unwatch(self) -> None:
        """Stop the timer."""

    def enable(self, on: bool) -> None:
        """Set the interlock line, where there is one."""

    def wait(self, seconds: float) -> None:
        """Let time pass."""

    def close(self) -> None:
        """Release everything. Safe to repeat, and never raises."""


def fault_text(where: str, code: int) -> str:
    """Say that a card ran out of samples, and what that means for a person."""
    return (
        f"{where}: the card ran out of samples (NI {code}, {UNDERFLOWS.get(code, 'unknown')}) and "
        f"holds its last value, which is a direct current; the stream is not taken up again"
    )


def expired_text(where: str) -> str:
    """Say that a card's timer ran out, and what that means for a person."""
    return (
        f"{where}: the card's watchdog was not fed in time and ran out; no current flows any more"
    )


def card_error(where: str, code: int, text: str = "") -> TacsError:
    """Return the suite's error for an NI status code.

    Parameters
    ----------
    where : str
        Card and what was asked of it.
    code : int
        Negative.
    text : str
        What NI says of it; its first line is kept.
    """
    if code in UNDERFLOWS:
        return DeviceError(fault_text(where, code))
    if code in EXPIRED:
        return DeviceError(f"{expired_text(where)} (NI {code}, {EXPIRED[code]})")
    if code in GONE:
        return LinkLost(f"{where}: the card is gone (NI {code}, {GONE[code]})")
    if code in HELD:
        return DeviceBusy(
            f"{where}: another program holds the card (NI {code}, {HELD[code]}); close it"
        )
    if code in UNKNOWN:
        return DeviceNotFound(
            f"{where}: no such device or output (NI {code}, {UNKNOWN[code]}); NI MAX lists them"
        )
    first = text.strip().splitlines()[0] if text.strip() else "no description"
    return DeviceRefused(f"{where}: refused (NI {code}: {first})")
