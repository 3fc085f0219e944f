"""Faults that any emulated device can be given: electrodes, stimulators, link, current monitor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from devices.emulators.electrodes import SHORT_KOHM
from devices.emulators.faults import (
    FaultKind,
    Reader,
    contact,
    contact_and_kohm,
    contact_and_part,
    count,
    duration,
    nothing,
    number,
    one_of,
    permille,
    positive,
)
from devices.emulators.monitor_bench import MonitorBench

if TYPE_CHECKING:
    from devices.emulators.bench import DeviceBench

    AnyBench = DeviceBench[Any]

__all__ = [
    "ELECTRODE_FAULTS",
    "LINK_FAULTS",
    "MONITOR_FAULTS",
    "STIMULATOR_FAULTS",
]


def _set_reply_fault(name: str) -> Callable[[AnyBench, int | float, float], None]:
    """Effect of a fault of the next replies."""

    def effect(bench: AnyBench, value: int | float, now_s: float) -> None:
        setattr(bench.firmware.faults, name, value)

    return effect


def _open(bench: AnyBench, name: str, now_s: float) -> None:
    bench.electrodes.detach(name, now_s)


def _short(bench: AnyBench, name: str, now_s: float) -> None:
    bench.electrodes.set_impedance(name, SHORT_KOHM, now_s)


def _impedance(bench: AnyBench, value: tuple[str, float], now_s: float) -> None:
    bench.electrodes.set_impedance(*value, now_s)


def _dry(bench: AnyBench, value: tuple[str, float], now_s: float) -> None:
    bench.electrodes.dry(*value, now_s)


def _leak(bench: AnyBench, value: tuple[str, float], now_s: float) -> None:
    bench.electrodes.leak(*value, now_s)


def _gain(bench: AnyBench, factor: float, now_s: float) -> None:
    bench.electrodes.set_gain_factor(factor, now_s)


def _offset(bench: AnyBench, offset_ma: float, now_s: float) -> None:
    bench.electrodes.set_offset(offset_ma, now_s)


def _compliance(bench: AnyBench, compliance_v: float, now_s: float) -> None:
    bench.electrodes.set_compliance(compliance_v, now_s)


def _unlink(bench: AnyBench, value: None, now_s: float) -> None:
    bench.linked = False


def _late(bench: AnyBench, late_s: float, now_s: float) -> None:
    bench.line.late_s = late_s


def _corrupt_command(bench: AnyBench, n: int, now_s: float) -> None:
    bench.line.corrupt = n


def _stall(bench: AnyBench, duration_s: float, now_s: float) -> None:
    bench.line.stall(now_s, duration_s)


def _flap(bench: AnyBench, period_s: float, now_s: float) -> None:
    bench.line.flap(now_s, period_s)


def _reboot(bench: AnyBench, value: None, now_s: float) -> None:
    bench.firmware.reboot(now_s)


def _stick(bench: AnyBench, value: None, now_s: float) -> None:
    bench.firmware.stick()


def _of_monitor(
    sentence: str,
    effect: Callable[[MonitorBench, object, float], None],
    read: Reader,
    default: str | None = None,
    *,
    timed: bool = True,
) -> FaultKind[AnyBench]:
    """Row of a fault of the current monitor."""

    def on_bench(bench: AnyBench, value: object, now_s: float) -> None:
        if bench.monitor is not None:
            effect(bench.monitor, value, now_s)

    return FaultKind(sentence, on_bench, read, default, timed=timed, monitored=True)


def _set_frames(name: str) -> Callable[[MonitorBench, object, float], None]:
    """Effect of a fault of the monitor's next frames."""

    def effect(monitor: MonitorBench, value: object, now_s: float) -> None:
        setattr(monitor.firmware.faults, name, value)

    return effect


def _set_monitor(name: str) -> Callable[[MonitorBench, object, float], None]:
    """Effect of a fault that is a number of the monitor itself."""

    def effect(monitor: MonitorBench, value: object, now_s: float) -> None:
        setattr(monitor.firmware, name, value)

    return effect


def _stick_monitor(monitor: MonitorBench, how: object, now_s: float) -> None:
    monitor.firmware.stuck = True
    monitor.firmware.frozen = how == "frozen"


def _silence_monitor(monitor: MonitorBench, value: object, now_s: float) -> None:
    monitor.firmware.silent = True


def _unplug_monitor(monitor: MonitorBench, value: object, now_s: float) -> None:
    monitor.unplug()


def _reboot_monitor(monitor: MonitorBench, value: object, now_s: float) -> None:
    monitor.firmware.reboot(now_s)


ELECTRODE_FAULTS: Mapping[str, FaultKind[AnyBench]] = {
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
    "drying": FaultKind(
        "the contact NAME dries: its impedance rises by KOHM_PER_MIN, VALUE being "
        "NAME:KOHM_PER_MIN",
        _dry,
        contact_and_kohm,
    ),
    "leak": FaultKind(
        "a PART of the current of the electrode NAME takes another way, so that the currents do "
        "not add up to 0, VALUE being NAME:PART",
        _leak,
        contact_and_part,
    ),
}

STIMULATOR_FAULTS: Mapping[str, FaultKind[AnyBench]] = {
    "gain": FaultKind(
        "every stimulator delivers VALUE times the current of its calibration", _gain, number
    ),
    "dc_offset": FaultKind("every stimulator adds a direct current of VALUE mA", _offset, number),
    "compliance": FaultKind(
        "every stimulator runs out of voltage at VALUE volts and cuts the tops off",
        _compliance,
        positive,
    ),
    "stuck_output": FaultKind(
        "the outputs play on whatever is commanded, and the device reports them as playing",
        _stick,
        nothing,
        "",
    ),
    "reboot": FaultKind(
        "the device restarts: output at 0 at once, default settings, nothing said",
        _reboot,
        nothing,
        "",
    ),
}

LINK_FAULTS: Mapping[str, FaultKind[AnyBench]] = {
    "drop_reply": FaultKind(
        "the next VALUE replies are lost", _set_reply_fault("drop"), count, "1"
    ),
    "delay_reply": FaultKind(
        "every reply comes VALUE seconds late", _set_reply_fault("delay_s"), duration
    ),
    "duplicate_reply": FaultKind(
        "the next VALUE replies come twice", _set_reply_fault("duplicate"), count, "1"
    ),
    "reorder": FaultKind(
        "each of the next VALUE replies comes after the one that follows it",
        _set_reply_fault("reorder"),
        count,
        "1",
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
    "late": FaultKind("every command reaches the device VALUE seconds late", _late, duration),
    "corrupt_command": FaultKind(
        "each of the next VALUE writes reaches the device with one bit turned over",
        _corrupt_command,
        count,
        "1",
    ),
    "stall": FaultKind(
        "the device takes no bytes for VALUE seconds; what is sent meanwhile is lost",
        _stall,
        duration,
    ),
    "link_flap": FaultKind(
        "the link drops out for the first half of every VALUE seconds; bytes of both directions "
        "are lost, the port stays",
        _flap,
        positive,
    ),
    "link_loss": FaultKind(
        "the port is gone; the device plays on until its play duration ends", _unlink, nothing, ""
    ),
}

MONITOR_FAULTS: Mapping[str, FaultKind[AnyBench]] = {
    "monitor_stuck": _of_monitor(
        "the monitor repeats its last measurement: values with new numbers and times, or frozen "
        "with the old ones, VALUE being values or frozen",
        _stick_monitor,
        one_of("values", "frozen"),
        "values",
    ),
    "monitor_silent": _of_monitor("the monitor says nothing more", _silence_monitor, nothing, ""),
    "monitor_lose": _of_monitor(
        "the next VALUE frames of the monitor are lost", _set_frames("lose"), count, "1"
    ),
    "monitor_corrupt": _of_monitor(
        "the next VALUE frames of the monitor have one bit turned over",
        _set_frames("corrupt"),
        count,
        "1",
    ),
    "monitor_delay": _of_monitor(
        "every frame of the monitor comes VALUE seconds late", _set_frames("delay_s"), duration
    ),
    "monitor_duplicate": _of_monitor(
        "the next VALUE frames of the monitor come twice", _set_frames("duplicate"), count, "1"
    ),
    "monitor_reorder": _of_monitor(
        "each of the next VALUE frames of the monitor comes after the one that follows it",
        _set_frames("reorder"),
        count,
        "1",
    ),
    "monitor_replay": _of_monitor(
        "VALUE frames of an earlier session come between those of the monitor",
        _set_frames("replay"),
        count,
        "1",
    ),
    "monitor_garbage": _of_monitor(
        "VALUE bytes of noise come before the monitor's next frame",
        _set_frames("garbage"),
        count,
        "16",
    ),
    "monitor_unplug": _of_monitor("the monitor's port is gone", _unplug_monitor, nothing, ""),
    "monitor_reboot": _of_monitor(
        "the monitor restarts: its stream ends, and half a second later it says that it restarted",
        _reboot_monitor,
        nothing,
        "",
    ),
    "monitor_gain": _of_monitor(
        "the monitor shows VALUE times the current that flows", _set_monitor("gain"), number
    ),
    "monitor_version": _of_monitor(
        "the monitor speaks version VALUE of its protocol from power-on",
        _set_monitor("version"),
        count,
        timed=False,
    ),
    "battery": _of_monitor(
        "the monitor's battery is at VALUE permille", _set_monitor("battery_permille"), permille
    ),
}
