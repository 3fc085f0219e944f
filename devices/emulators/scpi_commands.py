"""The command tree of the emulated instruments: Rigol's and Keysight's, one row per command."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from devices.emulators.scpi_output import Output
from devices.emulators.scpi_tree import Command, ScpiError, Unit, number, word

if TYPE_CHECKING:
    from devices.emulators.scpi_firmware import Firmware

__all__ = ["commands"]

FREQUENCY_MIN_HZ = 1e-6
LOAD_MAX_OHM = 10_000.0

Set = Callable[[Output, str, float], None]
Get = Callable[[Output], str]


def commands(firmware: Firmware) -> Iterator[Command]:
    """Yield every command of an instrument."""
    yield from _common(firmware)
    yield from _outputs(firmware)
    yield from _sine(firmware)
    yield from _burst(firmware)
    if firmware.model.limit:
        yield from _limit(firmware)


def _common(firmware: Firmware) -> Iterator[Command]:
    model = firmware.model

    def reset(unit: Unit) -> None:
        for output in firmware.outputs:
            output.reset(firmware.now_s)

    def clear(unit: Unit) -> None:
        firmware.errors.clear()

    def trigger(unit: Unit) -> None:
        firmware.start([1, 2])

    def align(unit: Unit) -> None:
        for output in firmware.outputs:
            output.align(firmware.now_s)

    def abort(unit: Unit) -> None:
        for output in firmware.outputs:
            output.abort(firmware.now_s)

    yield Command("*IDN", lambda unit: firmware.identity, sets=False)
    yield Command("*OPC", lambda unit: "1" if unit.query else None)
    yield Command("*ESR", lambda unit: "0" if model.rigol else "+0", sets=False)
    yield Command("*STB", lambda unit: "0" if model.rigol else "+0", sets=False)
    yield Command("*RST", reset, queries=False)
    yield Command("*CLS", clear, queries=False)
    yield Command("*WAI", lambda unit: None, queries=False)
    yield Command("*TRG", trigger, queries=False)
    yield Command("SYSTem:ERRor[:NEXT]", lambda unit: firmware.next_error(), sets=False)
    yield Command("SYSTem:BEEPer[:IMMediate]", lambda unit: None, queries=False)
    yield Command("SYSTem:VERSion", lambda unit: "1999.0", sets=False)
    yield Command("[SOURce#:]PHASe:SYNChronize", align, queries=False)
    if model.rigol:
        yield Command("[SOURce#:]PHASe:INITiate", align, queries=False)
    else:
        yield Command("ABORt", abort, queries=False)


def _setting(firmware: Firmware, header: str, put: Set, get: Get) -> Command:
    """One setting of a channel with its query."""

    def run(unit: Unit) -> str | None:
        output = firmware.outputs[unit.channel - 1]
        if unit.query:
            if unit.parameters:
                raise ScpiError(-108)
            return get(output)
        put(output, unit.only(), firmware.now_s)
        return None

    return Command(header, run)


def _switch(firmware: Firmware, header: str, put: Callable[[Output, bool, float], None],
            get: Callable[[Output], bool]) -> Command:  # fmt: skip
    """One state of a channel with its query."""
    return _setting(
        firmware,
        header,
        lambda output, text, now_s: put(output, _on(text), now_s),
        lambda output: firmware.model.switch(get(output)),
    )


def _on(text: str) -> bool:
    return word(text, "ON", "OFF", "1", "0") in ("ON", "1")


def _outputs(firmware: Firmware) -> Iterator[Command]:
    model = firmware.model

    def switch(output: Output, on: bool, now_s: float) -> None:
        output.switch(on, now_s)
        if on:
            firmware.note_start()

    def put_load(output: Output, text: str, now_s: float) -> None:
        ohm = math.inf if text.upper() in ("INF", "INFINITY") else number(text, 1.0, LOAD_MAX_OHM)
        output.set_load(ohm, now_s)

    def get_load(output: Output) -> str:
        return model.infinite if math.isinf(output.load_ohm) else model.number(output.load_ohm)

    yield _switch(firmware, "OUTPut#[:STATe]", switch, lambda output: output.reported_on)
    for mnemonic in model.load_words:
        yield _setting(firmware, f"OUTPut#:{mnemonic}", put_load, get_load)


def _sine(firmware: Firmware) -> Iterator[Command]:
    model = firmware.model

    def put_function(output: Output, text: str, now_s: float) -> None:
        # SINE is neither the short nor the long form.
        output.function = word(text, "SINusoid")

    def put_frequency(output: Output, text: str, now_s: float) -> None:
        output.set_frequency(number(text, FREQUENCY_MIN_HZ, model.largest_emf_vpp[-1][0]), now_s)

    def put_unit(output: Output, text: str, now_s: float) -> None:
        # The other units are not modelled.
        output.unit = word(text, "VPP")

    def put_amplitude(output: Output, text: str, now_s: float) -> None:
        output.set_amplitude(number(text, *output.amplitude_limits_vpp), now_s)

    def amplitude(unit: Unit) -> str | None:
        output = firmware.outputs[unit.channel - 1]
        if not unit.query:
            put_amplitude(output, unit.only(), firmware.now_s)
            return None
        if not unit.parameters:
            return model.number(output.amplitude_vpp)
        limit = word(unit.only(), "MINimum", "MAXimum")
        return model.number(output.amplitude_limits_vpp[limit == "MAX"])

    def put_offset(output: Output, text: str, now_s: float) -> None:
        output.set_offset(number(text, -10.0, 10.0), now_s)

    def put_phase(output: Output, text: str, now_s: float) -> None:
        output.set_phase(number(text, 0.0 if model.rigol else -360.0, 360.0), now_s)

    def apply(unit: Unit) -> str | None:
        output, now_s = firmware.outputs[unit.channel - 1], firmware.now_s
        puts = (put_frequency, put_amplitude, put_offset, put_phase)[: 4 if model.rigol else 3]
        if len(unit.parameters) > len(puts):
            raise ScpiError(-108)
        for put, text in zip(puts, unit.parameters, strict=False):
            put(output, text, now_s)
        if not model.rigol:
            output.switch(True, now_s)
            firmware.note_start()
        return None

    def applied(unit: Unit) -> str:
        output = firmware.outputs[unit.channel - 1]
        values = [output.frequency_hz, output.amplitude_vpp, output.offset_v]
        values += [output.phase_deg] if model.rigol else []
        mark = "," if model.rigol else " "
        return f'"SIN{mark}{",".join(map(model.number, values))}"'

    yield _setting(firmware, "[SOURce#:]FUNCtion[:SHAPe]", put_function, lambda o: o.function)
    yield _setting(firmware, "[SOURce#:]FREQuency[:FIXed]", put_frequency,
                   lambda o: model.number(o.frequency_hz))  # fmt: skip
    yield _setting(firmware, "[SOURce#:]VOLTage:UNIT", put_unit, lambda o: o.unit)
    yield Command("[SOURce#:]VOLTage[:LEVel][:IMMediate][:AMPLitude]", amplitude)
    yield _setting(firmware, "[SOURce#:]VOLTage[:LEVel][:IMMediate]:OFFSet", put_offset,
                   lambda o: model.number(o.offset_v))  # fmt: skip
    yield _setting(firmware, "[SOURce#:]PHASe[:ADJust]", put_phase,
                   lambda o: model.number(o.phase_deg))  # fmt: skip
    yield Command("[SOURce#:]APPLy:SINusoid", apply, queries=False)
    yield Command("[SOURce#:]APPLy", applied, sets=False)


def _burst(firmware: Firmware) -> Iterator[Command]:
    model = firmware.model

    def put_mode(output: Output, text: str, now_s: float) -> None:
        output.burst_mode = word(text, "TRIGgered", "GATed", *(["INFinity"] * model.rigol))

    def put_cycles(output: Output, text: str, now_s: float) -> None:
        if output.ends_s is not None:
            raise ScpiError(-221)
        output.cycles = round(number(text, 1, model.cycles_max))

    def put_phase(output: Output, text: str, now_s: float) -> None:
        output.burst_phase_deg = number(text, 0.0 if model.rigol else -360.0, 360.0)
        output.abort(now_s)

    def put_idle(output: Output, text: str, now_s: float) -> None:
        output.idle = word(text, "FPT", "TOP", "CENTER", "BOTTOM")
        output.abort(now_s)

    def put_source(output: Output, text: str, now_s: float) -> None:
        rigol, keysight = ("INTernal", "MANual"), ("IMMediate", "TIMer", "BUS")
        output.source = word(text, "EXTernal", *(rigol if model.rigol else keysight))

    def cycles(output: Output) -> str:
        return str(output.cycles) if model.rigol else model.number(float(output.cycles))

    def trigger(unit: Unit) -> None:
        firmware.start([unit.channel])

    head = "[SOURce#:]BURSt"
    yield _switch(firmware, f"{head}[:STATe]", Output.set_burst, lambda o: o.burst)
    yield _setting(firmware, f"{head}:MODE", put_mode, lambda o: o.burst_mode)
    yield _setting(firmware, f"{head}:NCYCles", put_cycles, cycles)
    yield _setting(firmware, f"{head}:PHASe", put_phase, lambda o: model.number(o.burst_phase_deg))
    if model.rigol:
        yield _setting(firmware, f"{head}:TRIGger:SOURce", put_source, lambda o: o.source)
        yield Command(f"{head}:TRIGger[:IMMediate]", trigger, queries=False)
    else:
        yield _setting(firmware, "TRIGger#:SOURce", put_source, lambda o: o.source)
        yield Command("TRIGger#[:IMMediate]", trigger, queries=False)
    if model.idle_setting:
        yield _setting(firmware, f"{head}:IDLE", put_idle, lambda o: o.idle)


def _limit(firmware: Firmware) -> Iterator[Command]:
    model = firmware.model
    head = "OUTPut#:VOLLimit" if model.limit == "VOLL" else "[SOURce#:]VOLTage:LIMit"
    state = f"{head}[:STATe]" if model.limit == "VOLL" else f"{head}:STATe"

    def put_state(output: Output, on: bool, now_s: float) -> None:
        output.limited = on

    def put_high(output: Output, text: str, now_s: float) -> None:
        high_v = number(text, -10.0, 10.0)
        if output.offset_v + output.amplitude_vpp / 2.0 > high_v + 1e-9:
            raise ScpiError(-221)
        output.limit_high_v = high_v

    def put_low(output: Output, text: str, now_s: float) -> None:
        low_v = number(text, -10.0, 10.0)
        if output.offset_v - output.amplitude_vpp / 2.0 < low_v - 1e-9:
            raise ScpiError(-221)
        output.limit_low_v = low_v

    yield _switch(firmware, state, put_state, lambda o: o.limited)
    yield _setting(firmware, f"{head}:HIGH", put_high, lambda o: model.number(o.limit_high_v))
    yield _setting(firmware, f"{head}:LOW", put_low, lambda o: model.number(o.limit_low_v))
