"""What the package nidaqmx calls its C library with, played by the emulated card.

The package's own layer of Python stays: names, numbers of attributes, order and types of arguments
are those of NI, and a call that we get wrong fails as it would with a card.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from nidaqmx.errors import DaqError
from nidaqmx.utils import unflatten_channel_string

from devices.emulators.nidaq_card import EmulatedCard, Refusal
from tacs.clock import VirtualClock

CONTINUOUS, NO_REGENERATION, REGEN_MODE, BUFFER_SIZE = 10123, 10158, 0x1453, 0x186D
GENERATED, CLOCK_RATE, N_CHANS, NAME, EXPIRED = 0x192B, 0x1344, 0x2181, 0x1276, 0x21A8
WRITE_CHANS, BOOLEANS = 0x217E, 0x217F
PRODUCT, SERIAL, AO_CHANS, AO_MAX_RATE = 0x631, 0x632, 0x231F, 0x2997
IDLE, ZERO_VOLTS, VERIFY, CLEAR_EXPIRATION, RESET = 0x2240, 12526, 2, 1, 0
VOLTS_STATE, LOW = 10322, 10214


@dataclass(eq=False)
class Handle:
    """A task of the library."""

    kind: str = "none"
    names: list[str] = field(default_factory=list)
    limits_v: dict[int, float] = field(default_factory=dict)
    rate_hz: float | None = None
    room: int = 0
    idle_zero: bool = False
    regen: int | None = None
    set_up: bool = False
    timeout_s: float = 0.0
    states: list[tuple[str, str, float]] = field(default_factory=list)


class Interpreter:
    """The C library, with one card."""

    driver_version = (25, 3)

    def __init__(self, clock: VirtualClock, device: str = "Dev1", **has: bool) -> None:
        self.card = EmulatedCard(clock.now_s(), **has)
        self.clock = clock
        self.device = device
        self.calls: list[str] = []
        self.open: list[Handle] = []
        self.failing: dict[str, int] = {}
        self.actual_rate: float | None = None

    def _do(self, what: str, call: Any = None, *values: Any) -> Any:
        self.calls.append(what)
        self.card.advance(self.clock.now_s())
        if what in self.failing:
            raise DaqError(f"{what} fails", self.failing[what])
        try:
            return None if call is None else call(*values)
        except Refusal as refusal:
            raise DaqError(str(refusal), refusal.code) from None

    # the device

    def get_device_attribute_string(self, name: str, attribute: int) -> str:
        self._do("identify")
        if name != self.device:
            raise DaqError("Device identifier is invalid.", -200220)
        return {
            PRODUCT: "PXIe-0000",
            AO_CHANS: ", ".join(f"{self.device}/ao{k}" for k in range(4)),
        }[attribute]

    def get_device_attribute_uint32(self, name: str, attribute: int) -> int:
        return {SERIAL: 0x1234ABCD}[attribute]

    def get_device_attribute_double(self, name: str, attribute: int) -> float:
        return {AO_MAX_RATE: 1e6}[attribute]

    # tasks

    def create_task(self, name: str) -> tuple[Handle, bool]:
        self._do("create")
        self.open.append(Handle())
        return self.open[-1], True

    def clear_task(self, task: Handle) -> None:
        self._do("clear")
        if task.kind == "clock":
            self.card.release()
        if task.kind == "timer":
            self.card._timer_s = None
        self.open.remove(task)

    def get_task_attribute_string(self, task: Handle, attribute: int) -> str:
        return {NAME: "unnamed", 0x1273: ", ".join(task.names)}[attribute]

    def get_task_attribute_uint32(self, task: Handle, attribute: int) -> int:
        return {N_CHANS: len(task.names)}[attribute]

    def create_ao_voltage_chan(
        self, task: Handle, channel: str, name: str, low: float, high: float, units: int, scale: str
    ) -> None:
        device, _, number = channel.partition("/ao")
        if device != self.device or int(number) > 3:
            raise DaqError("Physical channel does not exist.", -200170)
        assert low == -high
        assert units == 10348  # volts
        task.kind = "static"
        task.names.append(channel)
        task.limits_v[int(number) + 1] = high

    def internal_get_last_created_chan(self) -> str:
        return self.open[-1].names[-1]

    def set_chan_attribute_int32(self, task: Handle, name: str, attribute: int, value: int) -> None:
        assert (attribute, value) == (IDLE, ZERO_VOLTS)
        task.idle_zero = True

    def cfg_samp_clk_timing(
        self, task: Handle, rate: float, source: str, edge: int, mode: int, n: int
    ) -> None:
        assert (source, mode) == ("", CONTINUOUS)
        task.kind, task.rate_hz = "clock", rate

    def get_timing_attribute_double(self, task: Handle, attribute: int) -> float:
        assert attribute == CLOCK_RATE
        return self.actual_rate or task.rate_hz or 0.0

    def set_write_attribute_int32(self, task: Handle, attribute: int, value: int) -> None:
        assert attribute == REGEN_MODE
        task.regen = value

    def set_buffer_attribute_uint32(self, task: Handle, attribute: int, value: int) -> None:
        assert attribute == BUFFER_SIZE
        task.room = value

    def task_control(self, task: Handle, action: int) -> None:
        assert action == VERIFY
        assert task.regen == NO_REGENERATION
        assert task.rate_hz is not None
        self._do(
            "prepare", self.card.prepare, task.limits_v, task.rate_hz, task.room, task.idle_zero
        )
        self.card._task = None  # checked, not reserved
        task.set_up = True

    def write_analog_f64(
        self, task: Handle, n: int, auto_start: bool, timeout: float, layout: int, data: Any
    ) -> int:
        volts = np.asarray(data, dtype=np.float64).reshape(len(task.names), n)
        assert layout == 0  # by channel
        if task.kind == "static":
            assert auto_start
            numbers = sorted(task.limits_v)
            values = dict(zip(numbers, volts[:, 0].tolist(), strict=True))
            self._do("hold", self.card.hold, values)
            return n
        assert not auto_start
        assert timeout == 0.0
        if self.card._task is None:
            assert task.set_up
            assert task.rate_hz is not None
            self.card.prepare(task.limits_v, task.rate_hz, task.room, task.idle_zero)
        self._do("write", self.card.write, volts)
        return n

    def start_task(self, task: Handle) -> None:
        if task.kind == "timer":
            self._do("watch", self.card.watch, task.timeout_s)
        else:
            self._do("start", self.card.start)

    def stop_task(self, task: Handle) -> None:
        if task.kind == "timer":
            self._do("unwatch")
            self.card._timer_s = None
            return
        fault = self.card.fault
        self._do("stop", self.card.stop)
        if fault:
            raise DaqError("It ran dry.", fault)

    def is_task_done(self, task: Handle) -> bool:
        self._do("state")
        if self.card.fault:
            raise DaqError("It ran dry.", self.card.fault)
        return not self.card.running

    def get_write_attribute_uint32(self, task: Handle, attribute: int) -> int:
        return {WRITE_CHANS: len(task.names), BOOLEANS: 1}[attribute]

    def get_write_attribute_uint64(self, task: Handle, attribute: int) -> int:
        assert attribute == GENERATED
        return self.card.generated

    # the line

    def create_do_chan(self, task: Handle, lines: str, name: str, grouping: int) -> None:
        task.kind = "line"
        task.names.append(lines)

    def write_digital_lines(
        self, task: Handle, n: int, auto_start: bool, timeout: float, layout: int, data: Any
    ) -> int:
        assert auto_start
        assert task.names == ["Dev1/port0/line0"]
        self._do("enable", self.card.enable, bool(np.ravel(data)[0]))
        return n

    # the timer

    def create_watchdog_timer_task_ex(
        self, device: str, name: str, timeout: float
    ) -> tuple[Handle, bool]:
        assert device == self.device
        self.open.append(Handle("timer", timeout_s=timeout))
        return self.open[-1], True

    def cfg_watchdog_ao_expir_states(
        self, task: Handle, names: str, values: Any, kinds: Any
    ) -> None:
        assert set(kinds.tolist()) == {VOLTS_STATE}
        each = unflatten_channel_string(names)
        task.states += [("ao", n, float(v)) for n, v in zip(each, values, strict=True)]

    def cfg_watchdog_do_expir_states(self, task: Handle, names: str, values: Any) -> None:
        assert values.tolist() == [LOW]
        task.states.append(("do", names, 0.0))

    def control_watchdog_task(self, task: Handle, action: int) -> None:
        if action == CLEAR_EXPIRATION:
            self._do("unlock", self.card.unlock)
        else:
            assert action == RESET
            self._do("feed", self.card.feed)

    def get_watchdog_attribute_bool(self, task: Handle, lines: str, attribute: int) -> bool:
        assert attribute == EXPIRED
        self.card.advance(self.clock.now_s())
        return self.card.expired
