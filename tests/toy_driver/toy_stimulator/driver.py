"""The toy's driver: what a session asks for, in the toy's terms."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, ClassVar

from devices.transport import Transport, open_transport
from tacs.capabilities import Capabilities
from tacs.clock import Clock
from tacs.driver import Achieved, Driver, Identity, Program, Status
from tacs.errors import (
    DeviceRefused,
    InputError,
    ProtocolViolation,
    SafetyRefusal,
    UncertainDelivery,
)
from tacs.rig import Rig
from tacs.safety import Breach
from toy_stimulator.wire import QUIET_S, ToyLink

CURRENT_MAX_MA = 2.0
GRID_UA_PP = 2
SOFT_STOP_S, EMERGENCY_STOP_S = 0.8, 0.1
LEASE_S, OWN_RAMP_S = 1.0, 0.5


class Toy(Driver):
    """Drive one toy stimulator."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        name="toy",
        verified=False,
        output="current",
        n_channels=1,
        shared_frequency=True,
        frequency_min_hz=1.0,
        frequency_max_hz=100.0,
        frequency_step_hz=0.001,
        phase_step_deg=None,
        amplitude_step_v=0.0,
        amplitude_max_v=40.0,
        frequency_change="stop_first",
        device_ramps=True,
        soft_stop=True,
        status_readback=True,
        impedance=False,
        current_readback=False,
        play_duration_max_s=3600.0,
        soft_stop_s=SOFT_STOP_S,
        emergency_stop_s=EMERGENCY_STOP_S,
        on_host_loss=(
            f"the toy ends by itself {LEASE_S:g} s after it was told to go on, over "
            f"{OWN_RAMP_S:g} s"
        ),
        host_loss_worst_case_s=LEASE_S + OWN_RAMP_S,
        not_detectable=(
            "open or detached electrode",
            "short circuit or gel bridge between electrodes",
            "drying electrodes and rising impedance",
            "stimulator out of compliance (current below the command)",
            "stimulator gain off its calibration (current above or below the command)",
            "DC offset of the stimulator",
            "a command altered on the wire (its protocol has no check)",
            "swapped leads or electrodes",
            "current between loops whose isolation failed",
        ),
        not_detectable_monitored=("swapped leads or electrodes",),
    )

    def __init__(self, transport: Transport, rig: Rig | None) -> None:
        self._rig_channel = _fitting(rig).channels[0]
        self.link = ToyLink(transport)
        self._current_ma: float | None = None
        self._frequency_mhz = 0
        self._in_emergency = False
        self._connected = self._closed = False

    @classmethod
    def open(cls, address: str, rig: Rig | None, clock: Clock) -> Toy:
        rig = _fitting(rig)
        return cls(open_transport(address, clock), rig)

    @classmethod
    def over(cls, transport: Any, rig: Rig | None) -> Toy:
        return cls(transport, rig)

    def connect(self) -> Identity:
        firmware = self.link.who()
        self._connected = True
        self.link.set("A", 0)
        self.link.end(round(EMERGENCY_STOP_S * 1000))
        self._wait_until_silent(EMERGENCY_STOP_S)
        return Identity(
            model="toy stimulator", firmware=firmware, details={"address": self.link.address}
        )

    def configure(self, program: Program) -> Achieved:
        if set(program.currents_peak_ma) != {1}:
            raise InputError(f"the toy has one output; got {sorted(program.currents_peak_ma)}")
        if program.carrier_hz is not None:
            raise InputError("the toy plays sines only")
        if not 1.0 <= program.frequency_hz <= 100.0:
            raise InputError(f"{program.frequency_hz} Hz is outside the toy's 1 to 100 Hz")
        current_ma = program.currents_peak_ma[1]
        full_ua_pp = microampere_pp(current_ma)
        if breaches := self._beyond(current_ma):
            raise SafetyRefusal(breaches)
        if self.link.state()[0]:
            raise DeviceRefused(f"{self.link.address}: it still plays; stop it first")
        frequency_mhz = round(program.frequency_hz * 1000)
        self.link.set("A", 0)
        self.link.set("F", frequency_mhz)
        self._current_ma, self._frequency_mhz = current_ma, frequency_mhz
        return Achieved(
            frequency_hz=frequency_mhz / 1000,
            currents_peak_ma={1: full_ua_pp / 2000},
        )

    def start(self, lease_s: float) -> None:
        if self._current_ma is None:
            raise InputError("configure a programme before starting it")
        self._in_emergency = False
        self.link.set("A", 0)
        if (held_mhz := self.link.state()[2]) != self._frequency_mhz:
            raise ProtocolViolation(
                f"{self.link.address}: it is at {held_mhz} mHz, where {self._frequency_mhz} mHz "
                f"were set; did it restart? Connect anew"
            )
        self.link.set("GO", _ms(lease_s))
        if not self.link.state()[0]:
            raise UncertainDelivery(f"{self.link.address}: it was started and does not play")

    def set_level(self, level: float) -> None:
        if isinstance(level, bool) or not 0.0 <= level <= 1.0:
            raise InputError(f"level {level} is no number from 0 to 1")
        if self._current_ma is None:
            raise InputError("configure a programme before setting its level")
        self.link.set("A", microampere_pp(level * self._current_ma))

    def extend_lease(self, elapsed_s: float, lease_s: float) -> None:
        self.link.set("KEEP", _ms(lease_s))

    def set_frequency(self, frequency_hz: float) -> float:
        if not 1.0 <= frequency_hz <= 100.0:
            raise InputError(f"{frequency_hz} Hz is outside the toy's 1 to 100 Hz")
        self.link.set("F", round(frequency_hz * 1000))  # refused by the toy while it plays
        self._frequency_mhz = round(frequency_hz * 1000)
        return self._frequency_mhz / 1000

    def soft_stop(self) -> None:
        if not self._in_emergency:
            self.link.end(round(SOFT_STOP_S * 1000))

    def emergency_stop(self) -> None:
        self._in_emergency = True
        self.link.end(round(EMERGENCY_STOP_S * 1000))

    def status(self) -> Status:
        playing, amplitude_ua_pp, frequency_mhz = self.link.state()
        return Status(
            playing=(1,) if playing else (),
            current_peak_ma=None,  # what it is set to is not what flows
            impedance_kohm=None,
            details={"amplitude_ua_pp": amplitude_ua_pp, "frequency_mhz": frequency_mhz},
        )

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            if self._connected:
                self.soft_stop()
                self._wait_until_silent(SOFT_STOP_S)
                self.link.set("A", 0)
        finally:
            self.link.close()

    def _wait_until_silent(self, ramp_s: float) -> None:
        for _ in range(math.ceil(ramp_s / QUIET_S) + 4):
            if not self.link.state()[0]:
                return
            self.link.pause(QUIET_S)
        raise UncertainDelivery(f"{self.link.address}: it still plays; unplug the electrodes")

    def _beyond(self, current_ma: float) -> list[Breach]:
        wired = self._rig_channel
        return [
            Breach(limit=limit, value=current_ma, allowed=allowed, unit="mA", source=source)
            for limit, allowed, source in (
                ("rig_current_max_ma", wired.current_max_ma, f"stimulator {wired.stimulator}"),
                ("device_current_ma", CURRENT_MAX_MA, "toy protocol 1"),
            )
            if not current_ma <= allowed
        ]


def microampere_pp(current_peak_ma: float) -> int:
    """Return µA peak-to-peak on the toy's grid for zero-to-peak mA, rounded down."""
    if not (math.isfinite(current_peak_ma) and current_peak_ma >= 0.0):
        raise InputError(f"{current_peak_ma} mA is not a zero-to-peak current")
    exact = Fraction(repr(current_peak_ma)) * 2000
    return math.floor(exact / GRID_UA_PP) * GRID_UA_PP


def _ms(seconds: float) -> int:
    if not (math.isfinite(seconds) and seconds >= 0.001):
        raise InputError(f"a lease of {seconds} s cannot be set")
    return math.floor(seconds * 1000 + 1e-6)


def _fitting(rig: Rig | None) -> Rig:
    if rig is None:
        raise InputError("the toy needs a rig file (--rig RIG.toml)")
    if rig.device != "toy":
        raise InputError(f"rig {rig.name!r} is for the device {rig.device!r}, not for toy")
    if [c.channel for c in rig.channels] != [1] or rig.options:
        raise InputError(f"rig {rig.name!r}: the toy has one [[channels]], and no options")
    return rig
