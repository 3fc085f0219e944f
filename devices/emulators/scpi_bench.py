"""An emulated waveform generator on its bench, and its faults: those of any device, and its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from devices.emulators.bench import DeviceBench
from devices.emulators.common_faults import (
    ELECTRODE_FAULTS,
    LINK_FAULTS,
    MONITOR_FAULTS,
    STIMULATOR_FAULTS,
)
from devices.emulators.faults import FaultKind, count, duration, nothing, positive
from devices.emulators.scpi_firmware import Firmware
from devices.emulators.scpi_models import MODELS, Model
from tacs.errors import InputError
from tacs.rig import Rig

__all__ = ["FAULTS", "ScpiBench"]

DEFAULT_DIALECT = "rigol-dg1000z"


class ScpiBench(DeviceBench[Firmware]):
    """A waveform generator of the family that the rig's ``options.dialect`` names."""

    def __init__(
        self,
        rig: Rig,
        contacts: Sequence[str],
        trace: Path | None,
        faults: Sequence[str],
        now_s: float,
    ) -> None:
        firmware = Firmware(_model(rig), now_s)
        super().__init__(firmware, FAULTS, rig, contacts, trace, faults, now_s)


def _model(rig: Rig) -> Model:
    wanted = rig.options.get("dialect", DEFAULT_DIALECT)
    if wanted not in MODELS:
        raise InputError(
            f"rig {rig.name!r}: options.dialect {wanted!r} is not emulated; there are "
            f"{', '.join(MODELS)}"
        )
    return MODELS[str(wanted)]


def _quirk(name: str, value: Any = None) -> Callable[[ScpiBench, Any, float], None]:
    """Effect of a quirk: switched on, or set to the fault's value."""

    def effect(bench: ScpiBench, given: Any, now_s: float) -> None:
        setattr(bench.firmware.quirks, name, given if value is None else value)

    return effect


def _slow(bench: ScpiBench, seconds: float, now_s: float) -> None:
    bench.firmware.command_s = seconds


def _apart(bench: ScpiBench, seconds: float, now_s: float) -> None:
    bench.firmware.apart_s = seconds


def _spurious(bench: ScpiBench, n: int, now_s: float) -> None:
    bench.firmware.spurious = n


def _identity(bench: ScpiBench, identity: str, now_s: float) -> None:
    bench.firmware.identity = identity


def _click(bench: ScpiBench, value: None, now_s: float) -> None:
    bench.firmware.click(now_s)


def _text(text: str, contacts: Sequence[str]) -> str:
    """Read an identity."""
    if not text.isascii() or not text.isprintable() or not text:
        raise ValueError(f"{text!r} is no identity")
    return text


FIRMWARE_FAULTS: Mapping[str, FaultKind[ScpiBench]] = {
    "frequency_resets_phase": FaultKind(
        "a new frequency begins the cycle anew, so that the output jumps",
        _quirk("frequency_resets_phase", True),
        nothing,
        "",
    ),
    "range_glitch": FaultKind(
        "for 5 ms after an amplitude that needs another output range, VALUE times the amplitude "
        "comes out",
        _quirk("glitch_factor"),
        positive,
        "2",
    ),
    "volt_ends_burst": FaultKind(
        "a new amplitude ends the burst under way; the output stays on and says so",
        _quirk("volt_ends_burst", True),
        nothing,
        "",
    ),
    "volt_restarts_burst": FaultKind(
        "a new amplitude has the burst under way count its cycles from the beginning",
        _quirk("volt_restarts_burst", True),
        nothing,
        "",
    ),
    "trigger_apart": FaultKind(
        "a common trigger starts the second channel VALUE seconds after the first", _apart, positive
    ),
    "spurious_error": FaultKind(
        "each of the next VALUE settings leaves error -108 in the queue for nothing",
        _spurious,
        count,
        "1",
    ),
    "slow": FaultKind("every line takes VALUE seconds to be carried out", _slow, duration),
    "panel_off": FaultKind(
        "somebody presses the Output keys: all outputs off", _click, nothing, ""
    ),
    "wrong_instrument": FaultKind(
        "another instrument answers from power-on, VALUE being its identity",
        _identity,
        _text,
        "Siglent Technologies,SDG1032X,SDG1X00000000,1.01.01.33R1",
        timed=False,
    ),
}

FAULTS: Mapping[str, FaultKind[ScpiBench]] = {
    **ELECTRODE_FAULTS,
    **STIMULATOR_FAULTS,
    **FIRMWARE_FAULTS,
    **LINK_FAULTS,
    **MONITOR_FAULTS,
}
