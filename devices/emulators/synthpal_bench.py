"""An emulated Synth Pal on its bench: stimulators, electrodes, an oscilloscope, and its faults."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from devices.emulators.electrodes import SHORT_KOHM, Electrodes
from devices.emulators.faults import (
    FaultKind,
    contact,
    contact_and_kohm,
    count,
    nothing,
    number,
    parse_faults,
)
from devices.emulators.oscilloscope import Oscilloscope
from devices.emulators.synthpal_firmware import Firmware
from tacs.driver import TraceInfo
from tacs.rig import Rig

__all__ = ["FAULTS", "SynthPalBench"]


class SynthPalBench:
    """Device, stimulators, electrodes and oscilloscope, all told the time from outside.

    Parameters
    ----------
    rig : Rig
        What is behind the outputs.
    contacts : sequence of str
        Attached electrodes, ``"Oz"`` or ``"Oz=5"`` (kΩ).
    trace : Path or None
        Where the oscilloscope writes.
    faults : sequence of str
        ``NAME[@SECONDS][=VALUE]``, see :data:`FAULTS`.
    now_s : float
        Clock time of power-on.

    Raises
    ------
    InputError
        A contact, a fault or a trace that cannot be.
    """

    def __init__(
        self,
        rig: Rig,
        contacts: Sequence[str],
        trace: Path | None,
        faults: Sequence[str],
        now_s: float,
    ) -> None:
        self.linked = True
        self.firmware = Firmware(now_s)
        self.electrodes = Electrodes(rig, contacts, now_s)
        found = parse_faults(faults, FAULTS, self.electrodes.contacts)
        for fault in found:
            if not fault.kind.timed:
                fault.kind.effect(self, fault.value, now_s)
        self._to_come = [fault for fault in found if fault.kind.timed]
        self.scope = (
            None
            if trace is None
            else Oscilloscope(trace, self.electrodes.contacts, now_s, self._currents_ma)
        )

    @property
    def silent(self) -> bool:
        """Whether no output plays."""
        return not self.firmware.playing

    def advance(self, now_s: float) -> None:
        """Let time pass, faults included, and have the oscilloscope follow."""
        while self._to_come and (due_s := self._strikes_s()) <= now_s:
            fault = self._to_come.pop(0)
            self.firmware.advance(due_s)
            fault.kind.effect(self, fault.value, due_s)
        self.firmware.advance(now_s)
        if self.scope is not None:
            self.scope.run_to(now_s)

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes from the host."""
        self.advance(now_s)
        if self.linked:
            self.firmware.receive(data, now_s)
            self.advance(now_s)

    def take(self, now_s: float) -> bytes:
        """Give the bytes for the host that are due."""
        return self.firmware.take(now_s) if self.linked else b""

    def next_due_s(self) -> float | None:
        """Return when the next byte for the host is due."""
        return self.firmware.next_due_s() if self.linked else None

    def silent_at_s(self) -> float:
        """Return when the outputs come to rest if no command comes; infinite where they do not."""
        due_s = [c.next_change_s for c in self.firmware.channels if c.playing]
        return max(due_s, default=-math.inf)

    def click(self, now_s: float) -> None:
        """Click the joystick."""
        self.advance(now_s)
        self.firmware.click(now_s)

    def finish(self, now_s: float) -> TraceInfo | None:
        """Close the oscilloscope."""
        self.advance(now_s)
        return None if self.scope is None else self.scope.close(now_s, clean=self.silent)

    def _strikes_s(self) -> float:
        first_s = self.firmware.first_start_s
        return math.inf if first_s is None else first_s + self._to_come[0].at_s

    def _currents_ma(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        channels = self.firmware.channels
        volts = {n: channels[n - 1].volts(times_s) for n in self.electrodes.generator_outputs}
        for channel in channels:
            channel.forget(float(times_s[-1]))
        return self.electrodes.currents_ma(times_s, volts)


def _letter(text: str, contacts: Sequence[str]) -> int:
    """Read the letter of another firmware."""
    if text not in ("K", "W"):
        raise ValueError(f"{text!r} is neither K (Pulse Pal) nor W (Wave Pal)")
    return ord(text)


def _delay(text: str, contacts: Sequence[str]) -> float:
    """Read a delay in seconds."""
    delay_s = number(text, contacts)
    if delay_s < 0.0:
        raise ValueError(f"{text!r} s is negative")
    return delay_s


def _set_reply_fault(name: str) -> Callable[[SynthPalBench, int | float, float], None]:
    """Effect of a fault of the next replies."""

    def effect(bench: SynthPalBench, value: int | float, now_s: float) -> None:
        setattr(bench.firmware.faults, name, value)

    return effect


def _open(bench: SynthPalBench, name: str, now_s: float) -> None:
    bench.electrodes.detach(name, now_s)


def _short(bench: SynthPalBench, name: str, now_s: float) -> None:
    bench.electrodes.set_impedance(name, SHORT_KOHM, now_s)


def _impedance(bench: SynthPalBench, value: tuple[str, float], now_s: float) -> None:
    bench.electrodes.set_impedance(*value, now_s)


def _gain(bench: SynthPalBench, factor: float, now_s: float) -> None:
    bench.electrodes.set_gain_factor(factor, now_s)


def _offset(bench: SynthPalBench, offset_ma: float, now_s: float) -> None:
    bench.electrodes.set_offset(offset_ma, now_s)


def _unlink(bench: SynthPalBench, value: None, now_s: float) -> None:
    bench.linked = False


def _fail(bench: SynthPalBench, value: None, now_s: float) -> None:
    bench.firmware.fail()


def _reboot(bench: SynthPalBench, value: None, now_s: float) -> None:
    bench.firmware.reboot(now_s)


def _stick(bench: SynthPalBench, value: None, now_s: float) -> None:
    for channel in bench.firmware.channels:
        channel.stuck = channel.playing


def _set_letter(bench: SynthPalBench, letter: int, now_s: float) -> None:
    bench.firmware.letter = letter


def _set_version(bench: SynthPalBench, version: int, now_s: float) -> None:
    bench.firmware.version = version


FAULTS: Mapping[str, FaultKind[SynthPalBench]] = {
    "open_electrode": FaultKind(
        "the electrode VALUE comes off: its loops carry no current", _open, contact
    ),
    "short": FaultKind(
        f"a gel bridge at the electrode VALUE: its impedance falls to {SHORT_KOHM:g} kΩ",
        _short,
        contact,
    ),
    "impedance": FaultKind(
        "the contact NAME changes to KOHM, VALUE being NAME:KOHM", _impedance, contact_and_kohm
    ),
    "drop_reply": FaultKind(
        "the next VALUE replies are lost", _set_reply_fault("drop"), count, "1"
    ),
    "delay_reply": FaultKind(
        "every reply comes VALUE seconds late", _set_reply_fault("delay_s"), _delay
    ),
    "duplicate_reply": FaultKind(
        "the next VALUE replies come twice", _set_reply_fault("duplicate"), count, "1"
    ),
    "garbage": FaultKind(
        "VALUE bytes of noise come before the next reply", _set_reply_fault("garbage"), count, "16"
    ),
    "corrupt_reply": FaultKind(
        "the next VALUE replies have every byte wrong", _set_reply_fault("corrupt"), count, "1"
    ),
    "refuse": FaultKind(
        "the next VALUE settings are refused", _set_reply_fault("refuse"), count, "1"
    ),
    "link_loss": FaultKind(
        "the port is gone; the device plays on until its play duration ends", _unlink, nothing, ""
    ),
    "comm_failure": FaultKind(
        "the device shows COMM. FAILURE!, stops over its off-ramps and answers no more",
        _fail,
        nothing,
        "",
    ),
    "reboot": FaultKind(
        "the device restarts: output at 0 at once, default settings, nothing said",
        _reboot,
        nothing,
        "",
    ),
    "stuck_output": FaultKind(
        "the outputs play on whatever is commanded, and the device reports them as playing",
        _stick,
        nothing,
        "",
    ),
    "gain": FaultKind(
        "every stimulator delivers VALUE times the current of its calibration", _gain, number
    ),
    "dc_offset": FaultKind("every stimulator adds a direct current of VALUE mA", _offset, number),
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
