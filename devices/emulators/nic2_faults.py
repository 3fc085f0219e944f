"""Faults of the emulated NIC2: those of any device, and the oddities that its users report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from devices.emulators.common_faults import (
    ELECTRODE_FAULTS,
    LINK_FAULTS,
    MONITOR_FAULTS,
    STIMULATOR_FAULTS,
)
from devices.emulators.faults import FaultKind, contact, duration, nothing

if TYPE_CHECKING:
    from devices.emulators.nic2_bench import Nic2Bench

__all__ = ["FAULTS"]


def _quirk(name: str, sentence: str, *, timed: bool = True) -> FaultKind[Any]:
    """Row of an oddity that is on or off."""

    def effect(bench: Nic2Bench, value: None, now_s: float) -> None:
        setattr(bench.firmware.quirks, name, True)

    return FaultKind(sentence, effect, nothing, "", timed=timed)


def _takes(name: str, sentence: str) -> FaultKind[Any]:
    """Row of something that takes its time, from power-on."""

    def effect(bench: Nic2Bench, value: float, now_s: float) -> None:
        setattr(bench.firmware.quirks, name, value)

    return FaultKind(sentence, effect, duration, timed=False)


def _banner(text: str, contacts: Sequence[str]) -> str:
    """Read a version as NIC says it."""
    if not (text.isascii() and text.isprintable() and text):
        raise ValueError(f"{text!r} is no version")
    return text


def _set_banner(bench: Nic2Bench, text: str, now_s: float) -> None:
    bench.firmware.banner = text


def _set_unmeasured(bench: Nic2Bench, name: str, now_s: float) -> None:
    quirks = bench.firmware.quirks
    quirks.unmeasured = quirks.unmeasured | {bench.channel_of[name]}


def _press(press: Callable[[Nic2Bench, float], None], sentence: str) -> FaultKind[Any]:
    """Row of a button that somebody presses in NIC."""

    def effect(bench: Nic2Bench, value: None, now_s: float) -> None:
        press(bench, now_s)

    return FaultKind(sentence, effect, nothing, "")


NIC_FAULTS: Mapping[str, FaultKind[Any]] = {
    "early_217": _quirk("early_full", "full stimulation is reported before a change has ended"),
    "stale_217": _quirk(
        "stale_full",
        "full stimulation is reported after an impedance check, though nothing flows",
        timed=False,
    ),
    "float_zero": _quirk(
        "decimals_are_zero", "a number with decimals in an online change makes its currents zero"
    ),
    "deaf_in_transition": _quirk(
        "deaf_in_transition", "an online change is ignored while another one is under way"
    ),
    "strict_slope": _quirk(
        "strict_slope", "an online change of less than 0.061 µA/ms in any channel is ignored"
    ),
    "fragment": _quirk("fragment", "every answer comes byte by byte"),
    "permission_denied": _quirk(
        "rejects", "the person at NIC does not allow the remote control", timed=False
    ),
    "permission_delay": _takes(
        "permission_s", "the person at NIC allows the remote control after VALUE seconds"
    ),
    "not_found": _quirk("no_protocol", "NIC finds no protocol of any name", timed=False),
    "slow_sync": _takes("sync_s", "NIC synchronizes with its device for VALUE seconds"),
    "slow_load": _takes("load_s", "NIC loads a protocol in VALUE seconds"),
    "slow_start": _takes("start_s", "NIC starts a protocol in VALUE seconds"),
    "start_error": _quirk("start_fails", "the start of a protocol ends in an error", timed=False),
    "impedance_nan": FaultKind(
        "NIC measures no impedance at the electrode VALUE", _set_unmeasured, contact, timed=False
    ),
    "nic_version": FaultKind(
        "NIC speaks version VALUE of its remote control", _set_banner, _banner, timed=False
    ),
    "abort_by_hand": _press(
        lambda bench, now_s: bench.firmware.click(now_s), "somebody presses Abort in NIC"
    ),
    "pause_by_hand": _press(
        lambda bench, now_s: bench.firmware.pause_by_hand(now_s), "somebody presses Pause in NIC"
    ),
}

FAULTS: Mapping[str, FaultKind[Any]] = {
    **ELECTRODE_FAULTS,
    **STIMULATOR_FAULTS,
    **NIC_FAULTS,
    **LINK_FAULTS,
    **MONITOR_FAULTS,
}
