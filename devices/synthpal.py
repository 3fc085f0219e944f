"""Sanworks Synth Pal (Pulse Pal 3 hardware): a voltage source that drives isolated stimulators.

The device plays sines of one frequency on four outputs. Its play duration is the lease: it is
rewritten while the host lives, and ends the current by itself when the host does not. The host
steps the amplitude through the long ramps; the ramp held in the device is that of the stop, so
that a plain end, a stop and the death of the host all end the same way.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, ClassVar, Final

from devices.analog import Chain
from devices.synthpal_wire import (
    ALL_CHANNELS,
    FIRMWARES,
    N_CHANNELS,
    OFF_RAMPS,
    QUIET_S,
    STOP,
    SynthPalLink,
)
from devices.transport import Transport, open_transport
from tacs.capabilities import Capabilities
from tacs.clock import Clock
from tacs.driver import Achieved, Driver, Identity, Program, Status
from tacs.errors import (
    DeviceError,
    DeviceNotFound,
    DeviceRefused,
    InputError,
    ProtocolViolation,
    UncertainDelivery,
)
from tacs.rig import Rig

__all__ = ["SynthPal"]

FIRMWARE_VERSION: Final = 1
LEASE_S: Final = 1.0
SOFT_STOP_S: Final = 0.8
EMERGENCY_STOP_S: Final = 0.1
PLAY_DURATION_MAX_US: Final = 3_600_000_000
SINE: Final = 0
ZEROS: Final = (0,) * N_CHANNELS
NO_LINKS: Final = (0,) * (2 * N_CHANNELS)
NORMAL_TRIGGERS: Final = (0, 0)
SHORTEST_PLAY_US: Final = 1  # 0 would mean: until stopped

# ±5 V and ±10 V in 65 536 converter steps: a peak-to-peak amplitude has twice the step.
RANGES: Final = (
    (5.0, Fraction(2 * 10_000_000, 65_536)),
    (10.0, Fraction(2 * 20_000_000, 65_536)),
)


class SynthPal(Driver):
    """Drive one Synth Pal and the stimulators of its rig.

    Parameters
    ----------
    transport : Transport
        To the device.
    rig : Rig
        Gain and limits of the stimulator behind every output.

    Raises
    ------
    InputError
        No rig, a rig for another device, or an output that the device does not have.

    Notes
    -----
    Written from the published protocol (firmware v1) and run against its emulator only:
    ``verified`` is False until somebody runs it on a dummy load. Amplitudes are
    rounded down to the converter's steps, 153 µV in the ±5 V range (0.31 µA at 2 mA/V): the device
    rounds each sample to the nearest step, and would else pass the asked peak by half of one.

    References
    ----------
    Sanworks, Synth Pal serial protocol, ``Firmware/SynthPal/PROTOCOL.md``.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        name="synthpal",
        verified=False,
        output="voltage",
        n_channels=N_CHANNELS,
        shared_frequency=True,
        frequency_min_hz=1.0,
        frequency_max_hz=20_000.0,
        frequency_step_hz=0.01,
        phase_step_deg=None,
        amplitude_step_v=10.0 / 65_536,
        amplitude_max_v=10.0,
        frequency_change="phase_continuous",
        device_ramps=True,
        soft_stop=True,
        status_readback=True,
        impedance=False,
        current_readback=False,
        play_duration_max_s=3600.0,
        soft_stop_s=SOFT_STOP_S,
        emergency_stop_s=EMERGENCY_STOP_S,
        on_host_loss=(
            f"the play duration held in the device runs out {LEASE_S:g} s (the default lease) "
            f"after its last renewal, and the current falls to zero over the {SOFT_STOP_S:g} s "
            f"stop ramp"
        ),
        host_loss_worst_case_s=LEASE_S + SOFT_STOP_S,
        no_trains="",
        train_phase="runs_on",
        not_detectable=(
            "open or detached electrode",
            "short circuit or gel bridge between electrodes",
            "drying electrodes and rising impedance",
            "stimulator out of compliance (current below the command)",
            "stimulator gain off its calibration (current above or below the command)",
            "DC offset of the stimulator",
            "stimulator switched off, in an error state or unplugged",
            "a command altered on the wire (its protocol has no check)",
            "swapped leads or electrodes",
            "current between loops whose isolation failed",
        ),
        not_detectable_monitored=("swapped leads or electrodes",),
    )

    def __init__(self, transport: Transport, rig: Rig | None) -> None:
        rig = _fitting(rig)
        self.link = SynthPalLink(transport)
        self._chains = {c.channel: Chain(c, RANGES) for c in rig.channels}
        self._currents_peak_ma: Mapping[int, float] = {}
        self._mask = 0
        self._soft_stop_s = SOFT_STOP_S
        self._emergency_stop_s = EMERGENCY_STOP_S
        self._in_emergency = False
        self._connected = False
        self._closed = False

    @classmethod
    def open(cls, address: str, rig: Rig | None, clock: Clock) -> SynthPal:
        """Open the port of a device or of an emulator process; nothing is sent yet.

        Parameters
        ----------
        address : str
            ``/dev/ttyACM0``, ``COM3`` or ``socket://HOST:PORT``.
        rig : Rig or None
            What is wired to the outputs; a voltage source cannot do without.
        clock : Clock
            Real time.

        Raises
        ------
        DeviceNotFound, DeviceBusy
            The port is not there, or somebody else holds it.
        InputError
            No rig, or one that does not fit.
        """
        rig = _fitting(rig)
        return cls(open_transport(address, clock), rig)

    @classmethod
    def over(cls, transport: Any, rig: Rig | None) -> SynthPal:
        """Drive through a transport that is already there, such as an emulator in memory."""
        return cls(transport, rig)

    def connect(self) -> Identity:
        """Shake hands, refuse another firmware, and silence the outputs.

        Raises
        ------
        DeviceNotFound
            Nothing answers, another firmware, or another version of it.
        DeviceRefused, UncertainDelivery, ProtocolViolation, LinkLost
            The device did not let itself be silenced.
        """
        letter, version = self.link.handshake()
        self._refuse_stranger(letter, version)
        self._connected = True
        # Whatever it was left playing or could be triggered into: nothing flows from here on.
        self.link.set_amplitudes(ZEROS)
        self.link.set_trigger_links(NO_LINKS)
        self.link.set_off_ramps(_us4(EMERGENCY_STOP_S))
        self.link.stop(ALL_CHANNELS)
        self.link.set_means(ZEROS)
        self.link.set_restings(ZEROS)
        self.link.set_trigger_modes(NORMAL_TRIGGERS)
        self._wait_until_silent(EMERGENCY_STOP_S)
        self.link.set_client_name("TACS")
        hardware, outputs, lowest, highest, rate_hz, clock_hz, longest_us = self.link.info()
        if outputs != N_CHANNELS or longest_us != PLAY_DURATION_MAX_US:
            raise ProtocolViolation(
                f"{self.link.address}: reports {outputs} outputs and a longest play duration of "
                f"{longest_us} µs; version {FIRMWARE_VERSION} has {N_CHANNELS} and "
                f"{PLAY_DURATION_MAX_US}"
            )
        return Identity(
            model="Sanworks Pulse Pal 3 with Synth Pal firmware",
            firmware=str(version),
            details={
                "address": self.link.address,
                "hardware_version": hardware,
                "n_outputs": outputs,
                "frequency_min_hz": lowest / 100.0,
                "frequency_max_hz": highest / 100.0,
                "sampling_rate_max_hz": rate_hz,
                "timer_clock_hz": clock_hz,
                "play_duration_max_s": longest_us / 1e6,
            },
        )

    def configure(self, program: Program) -> Achieved:
        """Load a programme at level 0 while idle; return what the device's grid makes of it.

        Raises
        ------
        InputError
            A channel that the rig does not have, unequal phases, or a value that is none.
        SafetyRefusal
            A current that the stimulator is not built for.
        DeviceRefused
            The device did not accept a setting, or still plays.
        """
        amplitudes = self._amplitudes(program.currents_peak_ma, 1.0)
        if len({phase % 360.0 for phase in program.phases_deg.values()}) > 1:
            raise InputError(
                f"Synth Pal has no phase setting, all outputs run in phase; got "
                f"{dict(program.phases_deg)}; for opposite phase swap the two leads in the rig"
            )
        frequency_centihz = _centihz(program.frequency_hz)
        for name, ramp_s in (
            ("soft_stop_s", program.soft_stop_s),
            ("emergency_stop_s", program.emergency_stop_s),
        ):
            _us(ramp_s, name)
        if playing := self._playing():
            raise DeviceRefused(f"{self.link.address}: outputs {playing} still play; stop first")
        self.link.set_amplitudes(ZEROS)
        achieved_hz = self._tune(frequency_centihz)
        self.link.set_means(ZEROS)
        self.link.set_waveforms((SINE,) * N_CHANNELS)
        self.link.set_restings(ZEROS)
        self.link.set_play_durations((SHORTEST_PLAY_US,) * N_CHANNELS)
        self.set_ramps(0.0, program.soft_stop_s)
        self.link.set_trigger_modes(NORMAL_TRIGGERS)
        self.link.set_trigger_links(NO_LINKS)
        self._soft_stop_s = program.soft_stop_s
        self._emergency_stop_s = program.emergency_stop_s
        self._currents_peak_ma = dict(program.currents_peak_ma)
        self._mask = sum(1 << (channel - 1) for channel in program.currents_peak_ma)
        return Achieved(
            frequency_hz=achieved_hz,
            currents_peak_ma={
                channel: self._chains[channel].current_peak_ma(amplitudes[channel - 1])
                for channel in program.currents_peak_ma
            },
        )

    def start(self, lease_s: float) -> None:
        """Start the programme's outputs at level 0; they end by themselves after ``lease_s``.

        Raises
        ------
        InputError
            Nothing was configured, or the lease is none.
        UncertainDelivery
            The device does not report that it plays.
        """
        if not self._mask:
            raise InputError("configure a programme before starting it")
        duration_us = _play_us(lease_s)
        self.link.set_amplitudes(ZEROS)
        self.set_ramps(0.0, self._soft_stop_s)
        self.link.set_play_durations((duration_us,) * N_CHANNELS)
        self._in_emergency = False
        self.link.trigger(self._mask)
        # The start has no reply of its own; the status shows whether it arrived.
        wanted = tuple(self._currents_peak_ma)
        if (playing := self._playing()) != tuple(sorted(wanted)):
            raise UncertainDelivery(
                f"{self.link.address}: outputs {sorted(wanted)} were started and {playing} play"
            )

    def set_level(self, level: float) -> None:
        """Set the fraction of the full current, quantised down to the device's grid.

        Raises
        ------
        InputError
            Outside 0 to 1.
        DeviceRefused, UncertainDelivery
            The device keeps its level, or nobody knows.
        """
        if isinstance(level, bool) or not 0.0 <= level <= 1.0:
            raise InputError(f"level {level} is no number from 0 to 1")
        self.link.set_amplitudes(self._amplitudes(self._currents_peak_ma, level))

    def extend_lease(self, elapsed_s: float, lease_s: float) -> None:
        """Let the programme end by itself ``lease_s`` after ``elapsed_s`` since the start.

        Raises
        ------
        InputError
            Past the longest play duration of the device, 3600 s.
        """
        if not (math.isfinite(elapsed_s) and elapsed_s >= 0.0 and lease_s > 0.0):
            raise InputError(f"a lease of {lease_s} s at {elapsed_s} s cannot be set")
        self.link.set_play_durations((_play_us(elapsed_s + lease_s),) * N_CHANNELS)

    def set_frequency(self, frequency_hz: float) -> float:
        """Change the frequency, keeping the phase; return the one achieved."""
        return self._tune(_centihz(frequency_hz))

    def set_ramps(self, on_ramp_s: float, off_ramp_s: float) -> None:
        """Set the ramps held in the device, of all outputs; a ramp under way takes the new rate.

        A host that dies during an on-ramp cannot stop it: it runs to its end, and the play
        duration is counted from there.
        """
        self.link.set_on_ramps(_us4(on_ramp_s, "on_ramp_s"))
        self.link.set_off_ramps(_us4(off_ramp_s, "off_ramp_s"))

    def soft_stop(self) -> None:
        """End over the soft-stop ramp; never slows an emergency stop that is under way."""
        self._stop(self._emergency_stop_s if self._in_emergency else self._soft_stop_s)

    def emergency_stop(self) -> None:
        """End over the emergency ramp, whatever else the device is doing."""
        self._in_emergency = True
        self._stop(self._emergency_stop_s)

    def status(self) -> Status:
        """Ask the device for its state; it cannot know currents and impedances."""
        mask, samples_per_cycle, *rest = self.link.status()
        *ranges, longest_ns, late = rest
        return Status(
            playing=_channels(mask),
            current_peak_ma=None,
            impedance_kohm=None,
            details={
                "samples_per_cycle": samples_per_cycle,
                "output_ranges": list(ranges),
                "longest_interrupt_ns": longest_ns,
                "late_updates": late,
                "stray_bytes": self.link.stray_bytes,
                "resynchronisations": self.link.resynchronisations,
            },
        )

    def close(self) -> None:
        """Silence the device, unlink its triggers and release the port. Safe to repeat.

        Raises
        ------
        DeviceError
            The device could not be silenced; the port is released all the same, and the lease in
            the device ends the current.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._connected:
                self._leave_silent()
        finally:
            self.link.close()

    def _leave_silent(self) -> None:
        """Soft stop where it plays, then amplitude 0, triggers unlinked, goodbye."""
        try:
            if self._playing():
                self.soft_stop()
                self._wait_until_silent(self._soft_stop_s)
        except DeviceError:
            with contextlib.suppress(DeviceError):
                self.emergency_stop()
            raise
        self.link.set_amplitudes(ZEROS)
        self.link.set_trigger_links(NO_LINKS)
        self.link.disconnect()

    def _stop(self, ramp_s: float) -> None:
        """Off-ramp and stop in one write; the confirm byte of the first is not waited for."""
        ramps = OFF_RAMPS.encode(*_us4(ramp_s))
        self.link.send_unanswered(ramps + STOP.encode(ALL_CHANNELS), OFF_RAMPS.reply_size)

    def _wait_until_silent(self, ramp_s: float) -> None:
        """Ask until nothing plays, for as long as the ramp takes and a little more."""
        for _ in range(math.ceil(ramp_s / QUIET_S) + 4):
            if not self._playing():
                return
            self.link.pause(QUIET_S)
        raise UncertainDelivery(
            f"{self.link.address}: outputs {self._playing()} still play after the stop; switch "
            f"the stimulators off"
        )

    def _playing(self) -> tuple[int, ...]:
        return _channels(self.link.status()[0])

    def _tune(self, frequency_centihz: int) -> float:
        """Set the frequency and check what the device says it makes of it."""
        samples_per_cycle = self.link.set_frequency(frequency_centihz)
        expected = 4 * (2_500_000 // frequency_centihz)
        if samples_per_cycle != expected:
            raise ProtocolViolation(
                f"{self.link.address}: {samples_per_cycle} samples per cycle at "
                f"{frequency_centihz / 100:g} Hz, where {expected} are due: another frequency"
            )
        return frequency_centihz / 100.0

    def _amplitudes(self, currents_peak_ma: Mapping[int, float], level: float) -> tuple[int, ...]:
        """Microvolts peak-to-peak of the four outputs; those not in use are at 0."""
        if unknown := sorted(set(currents_peak_ma) - set(self._chains)):
            raise InputError(
                f"the rig has no channel {', '.join(map(str, unknown))}; it has "
                f"{', '.join(map(str, sorted(self._chains)))}"
            )
        return tuple(
            self._chains[channel].amplitude_uv_pp(level * currents_peak_ma[channel])
            if channel in currents_peak_ma
            else 0
            for channel in range(1, N_CHANNELS + 1)
        )

    def _refuse_stranger(self, letter: int, version: int) -> None:
        """Refuse another firmware or another version of it."""
        where = self.link.address
        if letter != ord("S"):
            name = FIRMWARES.get(letter)
            what = (
                f"{name} firmware" if name else f"something that is no Pulse Pal (0x{letter:02X})"
            )
            raise DeviceNotFound(
                f"{where}: {what} answers; load Synth Pal firmware version {FIRMWARE_VERSION} "
                f"(Pulse Pal 3 hardware) to use this driver"
            )
        if version != FIRMWARE_VERSION:
            age = "newer" if version > FIRMWARE_VERSION else "older"
            raise DeviceNotFound(
                f"{where}: Synth Pal firmware version {version} is {age} than the one that this "
                f"driver was written for; load version {FIRMWARE_VERSION}"
            )


def _fitting(rig: Rig | None) -> Rig:
    """The rig, refused in one line where it does not fit the device."""
    if rig is None:
        raise InputError(
            "Synth Pal is a voltage source: give the rig file that says which stimulator is "
            "behind it (--rig RIG.toml)"
        )
    if rig.device != SynthPal.capabilities.name:
        raise InputError(f"rig {rig.name!r} is for the device {rig.device!r}, not for synthpal")
    if beyond := [c.channel for c in rig.channels if c.channel > N_CHANNELS]:
        raise InputError(
            f"rig {rig.name!r}: channel {beyond[0]} does not exist; Synth Pal has {N_CHANNELS}"
        )
    return rig


def _channels(mask: int) -> tuple[int, ...]:
    """Outputs of a bit mask, counted from 1."""
    return tuple(c for c in range(1, N_CHANNELS + 1) if mask >> (c - 1) & 1)


def _us(seconds: float, name: str = "duration") -> int:
    """Whole microseconds of a duration that the device can hold."""
    if not 0.0 <= seconds <= PLAY_DURATION_MAX_US / 1e6:
        raise InputError(f"{name}: {seconds} s is outside the device's 0 to 3600 s")
    return round(seconds * 1e6)


def _us4(seconds: float, name: str = "ramp") -> tuple[int, ...]:
    """The same duration for the four outputs."""
    return (_us(seconds, name),) * N_CHANNELS


def _play_us(seconds: float) -> int:
    """A play duration; never 0, which the device takes as without end."""
    duration_us = _us(seconds, "lease")
    if duration_us < SHORTEST_PLAY_US:
        raise InputError(f"a lease of {seconds} s would be none; the device needs a finite end")
    return duration_us


def _centihz(frequency_hz: float) -> int:
    """Hundredths of a hertz, the nearest there is."""
    low, high = SynthPal.capabilities.frequency_min_hz, SynthPal.capabilities.frequency_max_hz
    if not low <= frequency_hz <= high:
        raise InputError(f"{frequency_hz} Hz is outside the device's {low:g} to {high:g} Hz")
    return round(frequency_hz * 100.0)
