"""StimJim with stimjimAWG firmware: two isolated current outputs, sines held whole in the device.

The whole envelope is in the device: it is started once, plays to its end whatever becomes of its
host, and a stop is a step to zero, because the firmware knows no other. The level cannot be
changed while it plays; the levels that a session commands are told, not sent. The firmware
measures voltage and current at both peaks of the first full period after the ramp-up, and tells
them: that is the current that did flow, once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final

from devices.stimjim_lines import EngineState, Measurement, SineTrain
from devices.stimjim_peaks import Peaks, peaks_of
from devices.stimjim_programme import SLOT, Shape, microampere, shape_of, train_of
from devices.stimjim_rig import COMPLIANCE_V, N_CHANNELS, NAME, fitting
from devices.stimjim_wire import QUIET_S, StimjimLink
from devices.transport import Transport, open_transport
from tacs.capabilities import Capabilities
from tacs.clock import Clock
from tacs.driver import Achieved, Driver, Identity, Program, Status
from tacs.errors import (
    DeviceError,
    DeviceRefused,
    InputError,
    ProtocolViolation,
    UncertainDelivery,
)
from tacs.rig import Rig

__all__ = ["Stimjim"]

FREQUENCY_MIN_HZ: Final = 0.1
FREQUENCY_MAX_HZ: Final = 300.0  # up to here both peaks of both channels are measured
DURATION_MAX_S: Final = 4294.967
STOP_S: Final = 0.02  # to the device and through its loop; the step itself takes no time
CLOCKS_DIFFER_S: Final = 0.25  # 100 ppm of 40 minutes: how early the device's own end may come
RATIO_MIN: Final = 0.7  # of measured to commanded, as of the limits' under- and overcurrent,
RATIO_MAX: Final = 1.25  # with room for the instrument, which is up to 10 % off itself
RESOLUTION_UA: Final = 5.0


class Stimjim(Driver):
    """Drive one StimJim.

    Parameters
    ----------
    transport : Transport
        To the device.
    rig : Rig
        What is at its outputs.

    Raises
    ------
    InputError
        No rig, a rig for another device, or one that this device cannot be.

    Notes
    -----
    Written from the published protocol (protocol 1, firmware 0.6 to 0.8) and run against its
    emulator only: ``verified`` is False until somebody runs it on a dummy load. Currents are
    whole microampere, zero-to-peak, rounded down; the converter's step is 0.1 µA.

    References
    ----------
    tncslab, stimjimAWG serial protocol reference, ``docs/serial-protocol.md`` of
    github.com/tncslab/stimjim (commit 48322de).
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        name=NAME,
        verified=False,
        output="current",
        n_channels=N_CHANNELS,
        shared_frequency=True,
        frequency_min_hz=FREQUENCY_MIN_HZ,
        frequency_max_hz=FREQUENCY_MAX_HZ,
        frequency_step_hz=0.001,
        phase_step_deg=0.001,
        amplitude_step_v=0.0,
        amplitude_max_v=COMPLIANCE_V,
        frequency_change="stop_first",
        device_ramps=True,
        soft_stop=False,
        status_readback=True,
        level_control=False,
        impedance=True,
        current_readback=True,
        play_duration_max_s=DURATION_MAX_S,
        soft_stop_s=STOP_S,
        emergency_stop_s=STOP_S,
        no_trains=(
            "it runs its whole envelope by itself, so that a pause could not keep the next train "
            "from rising"
        ),
        on_host_loss=(
            "the train held in the device plays to its end, ramp-down included; only its plug or "
            "the electrode leads end it sooner"
        ),
        host_loss_worst_case_s=CLOCKS_DIFFER_S,
        host_loss="programme",
        not_detectable=(
            # Of the first five, what is there at the one reading after the ramp-up is told.
            "open or detached electrode, but for one reading after the ramp-up",
            "short circuit or gel bridge between electrodes, but for that reading",
            "drying electrodes and rising impedance",
            "stimulator out of compliance (current below the command), but for that reading",
            "stimulator gain off its calibration, but for that reading",
            "DC offset of the stimulator",
            "swapped leads or electrodes",
            "current between loops whose isolation failed",
        ),
        not_detectable_monitored=("swapped leads or electrodes",),
    )

    def __init__(self, transport: Transport, rig: Rig | None) -> None:
        rig = fitting(rig)
        self.link = StimjimLink(transport)
        self._rig_channels = {c.channel: c for c in rig.channels}
        self._program: Program | None = None
        self._shape = Shape(0, 0, 0, 0)
        self._train: SineTrain | None = None
        self._channels: tuple[int, ...] = ()
        self._running = False  # started, and no end asked for
        self._elapsed_s = 0.0
        self._first_pump_s: float | None = None
        self._measured: dict[int, Measurement] = {}
        self._peaks: Mapping[int, Peaks] = {}
        self._untold = False  # peaks that no status has told yet
        self._at_rest: dict[str, Any] | None = None
        self._connected = False
        self._closed = False

    @classmethod
    def open(cls, address: str, rig: Rig | None, clock: Clock) -> Stimjim:
        """Open the port of a device or of an emulator process; nothing is sent yet.

        Parameters
        ----------
        address : str
            ``/dev/ttyACM0``, ``COM3`` or ``socket://HOST:PORT``.
        rig : Rig or None
            What is at the outputs.
        clock : Clock
            Real time.

        Raises
        ------
        DeviceNotFound, DeviceBusy
            The port is not there, or somebody else holds it.
        InputError
            No rig, or one that does not fit.
        """
        rig = fitting(rig)
        return cls(open_transport(address, clock), rig)

    @classmethod
    def over(cls, transport: Any, rig: Rig | None) -> Stimjim:
        """Drive through a transport that is already there, such as an emulator in memory."""
        return cls(transport, rig)

    def connect(self) -> Identity:
        """Ask who is there, refuse another firmware, and silence the outputs.

        Nothing is sent to a stranger but the question. Trigger inputs and the buttons that fire
        them start nothing from here on, until the device is switched off.

        Raises
        ------
        DeviceNotFound
            Nothing answers, or another firmware, which is named.
        DeviceRefused, UncertainDelivery, ProtocolViolation, LinkLost
            The device did not let itself be silenced.
        """
        found = self.link.identify()
        self._connected = True
        self.link.stop_now()
        for trigger in range(2):
            self.link.unroute(trigger)
        for channel in range(N_CHANNELS):
            self.link.ground(channel)
        self._wait_until_idle()
        return Identity(
            model=f"StimJim on {found.board}",
            firmware=found.firmware,
            details={
                "address": self.link.address,
                "build": list(found.comments),
                "at_rest": self._read_at_rest(),
            },
        )

    def configure(self, program: Program) -> Achieved:
        """Load a programme while idle; return what the device's grid makes of it.

        The device echoes what it stored, and that must be what was sent. Of a programme without
        current nothing is loaded, and :meth:`start` starts nothing.

        Raises
        ------
        InputError
            A channel that the rig does not have, an envelope or a value that cannot be.
        SafetyRefusal
            A current that device or rig is not built for.
        DeviceRefused, UncertainDelivery, ProtocolViolation, LinkLost
            The device did not accept it, stored something else, or still plays.
        """
        if program.carrier_hz is not None:
            raise InputError("StimJim plays sines only, no modulated carrier")
        if not FREQUENCY_MIN_HZ <= program.frequency_hz <= FREQUENCY_MAX_HZ:
            raise InputError(
                f"{program.frequency_hz} Hz is outside the {FREQUENCY_MIN_HZ:g} to "
                f"{FREQUENCY_MAX_HZ:g} Hz that this driver plays"
            )
        if not program.currents_peak_ma or set(program.currents_peak_ma) - set(self._rig_channels):
            raise InputError(
                f"channels {sorted(program.currents_peak_ma)}: the rig has "
                f"{', '.join(map(str, sorted(self._rig_channels)))}"
            )
        shape = shape_of(program)
        amplitudes_ua = {
            channel: microampere(current_ma, self._rig_channels[channel])
            for channel, current_ma in sorted(program.currents_peak_ma.items())
        }
        first, second = self.link.state()
        if first.slot >= 0 or second.slot >= 0:
            raise DeviceRefused(f"{self.link.address}: a train still plays; stop it first")
        self._program, self._shape, self._channels = program, shape, tuple(amplitudes_ua)
        self._train, self._running = None, False
        train = train_of(program, shape, amplitudes_ua)
        if shape.train_us:
            self.link.define(train)
            self.link.measure_peaks(SLOT, (1 in amplitudes_ua, 2 in amplitudes_ua))
            self._train = train
        return Achieved(
            frequency_hz=train.frequency0_mhz / 1000.0,
            currents_peak_ma={c: ua / 1000.0 for c, ua in amplitudes_ua.items()},
        )

    def start(self, lease_s: float) -> None:
        """Start the programme; it plays to its own end, which no lease shortens.

        The slot is looked at once more: after a restart of the device it would be another.

        Raises
        ------
        InputError
            Nothing was configured.
        DeviceRefused
            The device did not start it.
        UncertainDelivery, ProtocolViolation, LinkLost
            Nobody knows whether it plays, or it is not what was loaded.
        """
        if self._program is None:
            raise InputError("configure a programme before starting it")
        self._elapsed_s, self._first_pump_s = 0.0, None
        self._measured, self._peaks, self._untold = {}, {}, False
        self._at_rest = None
        if self._train is not None:
            self.link.confirm(self._train)
            self.link.start(SLOT)
        self._running = True
        if self._train is not None and self._playing_now().slot != SLOT:
            raise UncertainDelivery(f"{self.link.address}: it said that it started, and is idle")

    def set_level(self, level: float) -> None:
        """Take a level as told: the device follows its own envelope, whatever is commanded.

        Raises
        ------
        InputError
            Outside 0 to 1.
        """
        if isinstance(level, bool) or not 0.0 <= level <= 1.0:
            raise InputError(f"level {level} is no number from 0 to 1")

    def extend_lease(self, elapsed_s: float, lease_s: float) -> None:
        """Note how far the session is; the device has no lease to be extended."""
        if self._running and elapsed_s >= 0.0:
            self._elapsed_s = max(self._elapsed_s, elapsed_s)

    def set_frequency(self, frequency_hz: float) -> float:
        """Load the programme anew with another frequency; refused while it plays.

        Raises
        ------
        InputError
            Nothing was configured.
        DeviceRefused
            A train plays: the firmware takes no change of one.
        """
        if self._program is None:
            raise InputError("configure a programme before changing its frequency")
        return self.configure(replace(self._program, frequency_hz=frequency_hz)).frequency_hz

    def pump(self, now_s: float) -> None:
        """Take in what the device says unasked; does not wait.

        Raises
        ------
        LinkLost
            The port is gone.
        DeviceError
            Another current was measured than was commanded.
        """
        if self._running:
            if self._first_pump_s is None:
                self._first_pump_s = now_s
            self._elapsed_s = max(self._elapsed_s, now_s - self._first_pump_s)
        self.link.listen()
        self._look_at_peaks()

    def soft_stop(self) -> None:
        """Stop at once: the firmware has no ramp to stop over."""
        self.emergency_stop()

    def emergency_stop(self) -> None:
        """Stop at once, by a step to zero, and ground both outputs."""
        self._running = False
        self.link.stop_now()

    def status(self) -> Status:
        """Ask the device for its state.

        While a programme runs, its channels count as playing until its end is asked for: through
        the silent rest of a sham, and where the device's own clock came to the end by up to a
        quarter of a second sooner.

        Raises
        ------
        LinkLost
            No answer.
        ProtocolViolation
            Something plays that this driver did not start.
        DeviceError
            Another current was measured than was commanded.
        """
        engine = self._playing_now()
        self._look_at_peaks()
        plays = engine.slot == SLOT
        if plays and not self._running:
            self.link.stop_now()  # the first one may have been lost
        if not plays and not self._running and self._program is not None and self._at_rest is None:
            with contextlib.suppress(DeviceError):
                self._at_rest = self._read_at_rest()
        due_s = self._shape.train_us / 1e6 - CLOCKS_DIFFER_S
        as_planned = self._running and (self._train is None or self._elapsed_s >= due_s)
        told, self._untold = self._untold, False
        return Status(
            playing=self._channels if plays or as_planned else (),
            current_peak_ma=(
                {channel: peaks.current_peak_ma for channel, peaks in self._peaks.items()}
                if told
                else None
            ),
            impedance_kohm=self._impedance_kohm() if told else None,
            details={
                "train": "playing" if plays else "none",
                "train_elapsed_s": engine.elapsed_us / 1e6,
                "peaks": {str(c): p.to_dict() for c, p in self._peaks.items()},
                "at_rest": self._at_rest,
                "warnings": list(self.link.warnings),
                "n_warnings": self.link.n_warnings,
                "stray_lines": self.link.stray_lines,
                "resynchronisations": self.link.resynchronisations,
            },
        )

    def close(self) -> None:
        """Stop whatever plays, leave the slot empty, and release the port. Safe to repeat.

        Raises
        ------
        DeviceError
            The device could not be silenced; the port is released all the same, and the train in
            the device plays to its end.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._connected:
                self.emergency_stop()
                self._wait_until_idle()
                self.link.define(_EMPTY)
        finally:
            self.link.close()

    def _playing_now(self) -> EngineState:
        """State of the first engine; anything that plays is what was started here."""
        first, second = self.link.state()
        if second.slot >= 0:
            raise ProtocolViolation(
                f"{self.link.address}: the second engine plays slot {second.slot}, which nobody "
                f"started here"
            )
        train = self._train
        if first.slot >= 0 and (
            train is None or (first.slot, first.duration_us) != (SLOT, train.duration_us)
        ):
            raise ProtocolViolation(
                f"{self.link.address}: slot {first.slot} plays for {first.duration_us} µs, which "
                f"nobody started here"
            )
        return first

    def _wait_until_idle(self) -> None:
        """Ask until neither engine plays."""
        for _ in range(5):
            first, second = self.link.state()
            if first.slot < 0 and second.slot < 0:
                return
            self.link.stop_now()
            self.link.pause(QUIET_S)
        raise UncertainDelivery(
            f"{self.link.address}: a train still plays after the stop; unplug the device or the "
            f"electrodes"
        )

    def _read_at_rest(self) -> dict[str, Any]:
        """What the device measures at its grounded outputs, by channel."""
        readings = {c: self.link.read(c - 1) for c in sorted(self._rig_channels)}
        return {str(channel): reading._asdict() for channel, reading in readings.items()}

    def _look_at_peaks(self) -> None:
        """Take in what was measured at the peaks; one that is far off is an error."""
        news = self.link.take_measurements()
        for measured in news:
            if measured.slot == SLOT:
                self._measured[measured.point] = measured
        if self._train is None or not (news and self._measured):
            return
        self._peaks = peaks_of(self._measured, self._train)
        self._untold = bool(self._peaks) and self._running  # a summary comes after the end, too
        for channel, peaks in self._peaks.items():
            wanted_ua = (self._train.amplitude0_ua, self._train.amplitude1_ua)[channel - 1]
            low_ua = RATIO_MIN * wanted_ua - RESOLUTION_UA
            high_ua = RATIO_MAX * wanted_ua + RESOLUTION_UA
            if self._running and not low_ua <= peaks.current_peak_ma * 1000.0 <= high_ua:
                # An open loop that closes again would take the full current in one step.
                raise DeviceError(
                    f"{self.link.address}: channel {channel} passes "
                    f"{peaks.current_peak_ma:.3f} mA where {wanted_ua / 1000.0:.3f} mA were "
                    f"commanded; look at the electrodes"
                )

    def _impedance_kohm(self) -> Mapping[str, float] | None:
        """Impedance of each loop whose current was enough to tell."""
        found = {}
        for channel, peaks in self._peaks.items():
            if peaks.impedance_kohm is not None:
                wired = self._rig_channels[channel]
                found[f"{wired.positive}-{wired.negative}"] = peaks.impedance_kohm
        return found or None


_EMPTY: Final = train_of(
    Program(
        frequency_hz=10.0, currents_peak_ma={}, phases_deg={}, soft_stop_s=0.0, emergency_stop_s=0.0
    ),
    Shape(0, 1, 0, 0),
    {},
)
