"""Neuroelectrics Starstim through NIC2: a current source at each electrode, driven over TCP.

NIC plays a protocol that was made in it, with 0 µA on every channel; while it runs, amplitudes,
frequencies and phases are changed online. It takes seconds to start, so it is started before the
session is armed, at 0 µA. The session's level is followed in steps (:mod:`devices.nic2_steps`).
When the host vanishes, the protocol runs on with the last amplitudes: its end is what ends the
current, so its length is held close to that of the session.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from devices import nic2_setup as setup
from devices import nic2_wire as wire
from devices.nic2_plan import Plan, plan_of, whole_hz
from devices.nic2_rig import MARGIN_S, Nic2Rig
from devices.nic2_steps import STEP_MS, Staircase
from devices.nic2_stop import Stop
from devices.nic2_wire import RUNNING, SILENT, Nic2Link
from devices.nic2_wire import Status as Said
from devices.transport import Transport, open_transport
from tacs.capabilities import Capabilities
from tacs.clock import Clock
from tacs.driver import Achieved, Driver, Identity, Program, Status
from tacs.errors import (
    DeviceError,
    DeviceRefused,
    InputError,
    SafetyRefusal,
    UncertainDelivery,
)
from tacs.limits import LIMITS
from tacs.rig import Rig
from tacs.safety import Breach

__all__ = ["Nic2"]

PORT: Final = 1235
SOFT_STOP_S: Final = 0.8
EMERGENCY_STOP_S: Final = 0.1
SETTLED_WITHIN_S: Final = 5.0  # once no step is under way, until NIC reports full stimulation
AFTER_STEP_S: Final = 0.5


class Nic2(Driver):
    """Drive a Starstim through NIC2's remote control.

    Parameters
    ----------
    transport : Transport
        To NIC's port 1235.
    rig : Rig
        Electrode at each channel, and the protocol to load.
    clock : Clock, optional
        Tells how long NIC's protocol has been waiting for its session; without one that is not
        held against its length.

    Raises
    ------
    InputError
        No rig, or one that does not fit.

    Notes
    -----
    Written from the published function files of MatNIC 4.07 and the notes of its users, and run
    against its emulator only: ``verified`` is False until somebody runs it on a dummy load.

    References
    ----------
    See :mod:`devices.nic2_wire`.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        name="nic2",
        verified=False,
        output="current",
        wiring="electrodes",
        n_channels=wire.CHANNELS_MAX,
        shared_frequency=True,
        frequency_min_hz=1.0,
        frequency_max_hz=float(wire.FREQUENCY_MAX_HZ),
        frequency_step_hz=1.0,
        phase_step_deg=1.0,
        amplitude_step_v=0.0,
        amplitude_max_v=0.0,
        frequency_change="stop_first",
        device_ramps=True,
        soft_stop=True,
        status_readback=True,
        impedance=True,
        current_readback=False,
        play_duration_max_s=3600.0,
        soft_stop_s=SOFT_STOP_S,
        emergency_stop_s=EMERGENCY_STOP_S,
        no_trains=(
            "NIC changes a current by transitions of a tenth of a second or more; edges are not "
            "built on them"
        ),
        on_host_loss=(
            f"NIC's protocol runs on with the last amplitudes to its end, at most {MARGIN_S:g} s "
            f"after that of the session; somebody at NIC can press Abort"
        ),
        host_loss="programme",
        host_loss_worst_case_s=MARGIN_S,
        not_detectable=(
            "an online command that NIC did not carry out (it acknowledges none)",
            "a NIC protocol that is not at 0 µA, or not as long as the rig says",
            "open or detached electrode once the session has begun",
            "short circuit or gel bridge between electrodes",
            "drying electrodes and rising impedance",
            "stimulator out of compliance (current below the command)",
            "output off its calibration (current above or below the command)",
            "current that takes another way than the electrodes (failed isolation)",
            "DC offset of the stimulator",
            "a command altered on the wire (its protocol has no check)",
            "swapped leads or electrodes",
            "a phase that turns the other way than this suite means it",
        ),
        not_detectable_monitored=(
            "swapped leads or electrodes",
            "a NIC protocol that is not as long as the rig says",
        ),
    )

    def __init__(self, transport: Transport, rig: Rig | None, clock: Clock | None = None) -> None:
        self._rig = Nic2Rig.of(rig)
        self._clock = clock
        self.link = Nic2Link(transport)
        self._plan: Plan | None = None
        self._stairs: Staircase | None = None
        self._impedances_kohm: Mapping[str, float] = {}
        self._connected = self._idling = self._started = self._closed = False
        self._level = 0.0
        self._now_s = self._idling_since_s = self._unsettled_since_s = math.nan
        self._said: tuple[Said, ...] = ()
        self._playing = False
        self._n_sent = 0
        self._stop: Stop | None = None

    @classmethod
    def open(cls, address: str, rig: Rig | None, clock: Clock) -> Nic2:
        """Connect to NIC's port; nothing is sent yet.

        Parameters
        ----------
        address : str
            ``HOST``, ``HOST:PORT`` or ``socket://HOST:PORT``; the port is 1235 where none is said.
        rig : Rig or None
            Electrode at each channel; NIC cannot do without.
        clock : Clock
            Real time.

        Raises
        ------
        DeviceNotFound
            Nobody listens there.
        InputError
            No rig, one that does not fit, or no address.
        """
        Nic2Rig.of(rig)
        return cls(open_transport(_socket(address), clock), rig, clock)

    @classmethod
    def over(cls, transport: Any, rig: Rig | None) -> Nic2:
        """Drive through a transport that is already there, such as an emulator in memory."""
        return cls(transport, rig)

    def connect(self) -> Identity:
        """Shake hands, wait for the permission at NIC, and end what it is doing.

        Raises
        ------
        DeviceNotFound
            Nothing answers, or another generation of NIC, or one with too few channels.
        DeviceRefused
            The person at NIC did not allow the remote control.
        UncertainDelivery, ProtocolViolation, LinkLost
            NIC did not let itself be silenced.
        """
        identity = setup.connect(self.link)
        if (highest := max(self._rig.electrodes)) > self.link.n_channels:
            raise InputError(
                f"rig {self._rig.name!r}: channel {highest} is wired, and the device at "
                f"{self.link.address} has {self.link.n_channels}"
            )
        self._connected = True
        setup.silence(self.link)
        return identity

    def configure(self, program: Program) -> Achieved:
        """Load and start NIC's zero-current protocol, after checking the contacts where asked to.

        Raises
        ------
        InputError
            What NIC's grid, slope or protocol cannot follow; see :func:`devices.nic2_plan.plan_of`.
        SafetyRefusal
            Too much current, currents that do not add up to nothing, or an impedance too high.
        DeviceRefused, UncertainDelivery
            NIC does not load or start the protocol, or is doing something else.
        """
        plan = plan_of(program, self._rig, self.link.n_channels)
        if self._idling:
            setup.silence(self.link)
        if (state := self.link.status()) not in SILENT:
            raise DeviceRefused(f"{self.link.address}: NIC is busy ({state.name}); stop it first")
        self._idling = self._started = self._playing = False
        self._plan = self._stairs = self._stop = None
        setup.load_protocol(self.link, plan.protocol)
        if self._rig.impedance_check != "none":
            self._check_contacts(plan)
            setup.load_protocol(self.link, plan.protocol)  # the check leaves another state behind
        self._idling_since_s = math.nan if self._clock is None else self._clock.now_s()
        try:
            setup.start_protocol(self.link)
        except DeviceError:
            with contextlib.suppress(DeviceError):
                setup.silence(self.link)
            raise
        self._idling = True
        self._plan, self._stairs = plan, plan.staircase()
        top_ua = self._stairs.top_ua
        return Achieved(
            frequency_hz=float(plan.frequency_hz),
            currents_peak_ma={c: top_ua[c - 1] / 1e3 for c in program.currents_peak_ma},
        )

    def start(self, lease_s: float) -> None:
        """Set frequencies and phases at 0 µA; from here on the level is followed.

        Raises
        ------
        InputError
            Nothing was configured, or the lease is none.
        DeviceRefused
            NIC's protocol has run for too long meanwhile, or runs no more.
        """
        if self._plan is None or self._stairs is None or not self._idling:
            raise InputError("configure a programme before starting it")
        _check_lease(0.0, lease_s)
        plan = self._plan
        waited_s = 0.0 if self._clock is None else self._clock.now_s() - self._idling_since_s
        if waited_s > plan.wait_max_s:
            raise DeviceRefused(
                f"{self.link.address}: NIC's protocol {plan.protocol!r} has been under way for "
                f"{waited_s:.0f} s and would end before the session; connect again and begin "
                f"within {plan.wait_max_s:.0f} s"
            )
        state, protocol = self.link.status(), self.link.protocol_status()
        if state is not Said.RUNNING or protocol is not Said.STIM_FULL:
            raise DeviceRefused(
                f"{self.link.address}: NIC's protocol is not ready any more ({state.name}, "
                f"{protocol.name}); connect again"
            )
        self._stairs = plan.staircase()
        nothing = self._stairs.sent_ua
        self.link.send(wire.ramp_in(nothing, plan.frequencies, plan.phases_deg, STEP_MS))
        self._level, self._n_sent, self._unsettled_since_s = 0.0, 0, math.nan
        self._idling, self._started, self._playing = False, True, True

    def set_level(self, level: float) -> None:
        """Take the fraction of the full current; the steps towards it are made in :meth:`pump`.

        Raises
        ------
        InputError
            Outside 0 to 1.
        """
        if isinstance(level, bool) or not 0.0 <= level <= 1.0:
            raise InputError(f"level {level} is no number from 0 to 1")
        self._level = level

    def extend_lease(self, elapsed_s: float, lease_s: float) -> None:
        """Do nothing: NIC has no lease; its protocol ends by itself."""
        _check_lease(elapsed_s, lease_s)

    def set_frequency(self, frequency_hz: float) -> float:
        """Change the frequency while no current flows.

        Raises
        ------
        InputError
            Not a whole number of hertz from 1 to 150, or nothing was configured.
        DeviceRefused
            Current flows: whether NIC keeps its phase then is not known.
        """
        hz = whole_hz(frequency_hz)
        if self._plan is None or self._stairs is None:
            raise InputError("configure a programme before changing its frequency")
        if not self._stairs.at_zero:
            raise DeviceRefused(
                f"{self.link.address}: whether NIC keeps its phase when the frequency changes is "
                f"not known; ramp down first"
            )
        self._plan = self._plan.at(hz)
        if self._stop is None:
            self.link.send(wire.frequencies(self._plan.frequencies))
        return float(hz)

    def pump(self, now_s: float) -> None:
        """Take the next step towards the level, or of a stop; sends, and never waits.

        Raises
        ------
        UncertainDelivery
            NIC does not settle after a step.
        """
        self._now_s = now_s
        if self._stop is not None:
            self.link.send(*self._stop.due(now_s))
            return
        if not self._started or self._plan is None or self._stairs is None:
            return
        if now_s - self._unsettled_since_s > SETTLED_WITHIN_S:
            raise UncertainDelivery(
                f"{self.link.address}: NIC did not report full stimulation within "
                f"{SETTLED_WITHIN_S:g} s of a change ({self._told})"
            )
        from_zero = self._stairs.at_zero
        if (step := self._stairs.next_step(self._level, now_s)) is None:
            return
        plan = self._plan
        self.link.send(
            wire.ramp_in(step, plan.frequencies, plan.phases_deg, STEP_MS)
            if from_zero
            else wire.amplitudes(step, STEP_MS)
        )
        self._n_sent += 1

    def soft_stop(self) -> None:
        """Ramp to zero by amplitude alone, then abort; never slows an emergency stop."""
        if self._stop is None:
            self._begin_stop(self._plan.soft_stop_ms if self._plan else STEP_MS)

    def emergency_stop(self) -> None:
        """Ramp to zero as fast as NIC can, then abort, whatever else is going on."""
        if self._stop is None or not self._stop.urgent:
            self._begin_stop(self._plan.emergency_stop_ms if self._plan else STEP_MS, urgent=True)

    def status(self) -> Status:
        """Ask NIC for its state; it cannot know currents.

        Raises
        ------
        UncertainDelivery
            Somebody paused the protocol at NIC.
        """
        state, protocol = self.link.status(), self.link.protocol_status()
        self._said = (state, protocol)
        self._follow(state, protocol)
        channels = tuple(sorted(self._channels)) if self._playing else ()
        measured = self._impedances_kohm
        return Status(
            playing=channels,
            current_peak_ma=None,
            impedance_kohm=None if self._started or not measured else measured,
            details={
                "nic": state.name,
                "protocol": protocol.name,
                "sent_ua": list(self._stairs.sent_ua) if self._stairs else [],
                "online_commands": self._n_sent,
                "impedance_before_kohm": dict(self._impedances_kohm),
                "stray_bytes": self.link.stray_bytes,
                "resynchronisations": self.link.resynchronisations,
            },
        )

    def close(self) -> None:
        """Silence NIC, unload its protocol and close the connection. Safe to repeat.

        Raises
        ------
        DeviceError
            NIC could not be silenced; the connection is closed all the same, and the end of its
            protocol ends the current.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._connected:
                self._leave_silent()
        finally:
            self.link.close()

    @property
    def _channels(self) -> tuple[int, ...]:
        """Those of the programme, or all that are wired where there is none."""
        if self._plan is None:
            return tuple(self._rig.electrodes)
        return tuple(c for c, ua in enumerate(self._plan.currents_ua, start=1) if ua)

    @property
    def _told(self) -> str:
        """What NIC said last."""
        return ", ".join(said.name for said in self._said) or "it was not asked"

    def _follow(self, state: Said, protocol: Said) -> None:
        """Conclude from what NIC says whether it plays, and whether it has settled."""
        if state in SILENT:
            self._playing = self._idling = False
        elif state in RUNNING:
            self._playing = not self._idling  # its own protocol at 0 µA is not playing
        if self._stop is not None:
            self.link.send(*self._stop.heard(state))
            return
        if not self._started or self._stairs is None:
            return
        if state is Said.PAUSED:
            raise UncertainDelivery(
                f"{self.link.address}: somebody paused the protocol at NIC; what NIC makes of its "
                f"amplitudes when it goes on is not known"
            )
        full = state is Said.RUNNING and protocol is Said.STIM_FULL
        if full or self._now_s < self._stairs.busy_until_s + AFTER_STEP_S:
            self._unsettled_since_s = math.nan
        elif math.isnan(self._unsettled_since_s):
            self._unsettled_since_s = self._now_s

    def _begin_stop(self, wanted_ms: int, *, urgent: bool = False) -> None:
        """Send the way to zero now; the abort follows when it is over."""
        if not self._connected:
            return
        n_channels, stairs = self.link.n_channels, self._stairs
        if stairs is None or not self._started:
            # Nothing flows: there is no ramp to wait for.
            self._stop = Stop(n_channels, STEP_MS, urgent=urgent, waits=False)
            self._idling = False
        else:
            self._stop = Stop(
                n_channels,
                stairs.stop_ms(wanted_ms),
                urgent=urgent,
                busy_until_s=stairs.busy_until_s,
            )
        self.link.send(*self._stop.begin(self._now_s))

    def _check_contacts(self, plan: Plan) -> None:
        """Have NIC measure the contacts; refuse a current through one that is too high."""
        measured = setup.measure_impedances(self.link, self._rig.impedance_check)
        electrodes = self._rig.electrodes
        self._impedances_kohm = {
            name: measured[channel - 1]
            for channel, name in electrodes.items()
            if not math.isnan(measured[channel - 1])
        }
        allowed_kohm = self._rig.impedance_max_kohm
        breaches = [
            Breach(
                limit="impedance_start_kohm",
                value=measured[channel - 1],
                allowed=allowed_kohm,
                unit="kΩ",
                source=f"rig {self._rig.name}, {LIMITS['impedance_start_kohm'].source}",
                where=f"{electrodes[channel]}, measured by NIC",
            )
            for channel, current_ua in enumerate(plan.currents_ua, start=1)
            if current_ua and measured[channel - 1] > allowed_kohm
        ]
        if breaches:
            raise SafetyRefusal(breaches)

    def _leave_silent(self) -> None:
        """Ramp to zero where something may flow, abort, wait for NIC to say so, unload."""
        if not self._started:
            try:
                setup.silence(self.link)
            except DeviceError:
                with contextlib.suppress(DeviceError):
                    self.emergency_stop()  # whatever NIC says, or does not
                raise
            return
        self.soft_stop()
        if (stop := self._stop) is None:
            return
        for wait_s, commands in stop.rest():
            self.link.pause(wait_s)
            self.link.send(*commands)
        setup.wait_until(self.link, SILENT, "end its protocol", every_s=0.1, tries=100)
        with contextlib.suppress(DeviceError):
            setup.unload(self.link)


def _socket(address: str) -> str:
    """The address as a transport takes it."""
    if address.startswith("socket://"):
        return address
    match = re.fullmatch(r"(?P<host>[^:/\s]+)(:(?P<port>\d{1,5}))?", address)
    if match is None:
        raise InputError(
            f"{address!r} is no address of a NIC; write nic2:HOST, or nic2:HOST:PORT where the "
            f"port is not {PORT}"
        )
    return f"socket://{match['host']}:{match['port'] or PORT}"


def _check_lease(elapsed_s: float, lease_s: float) -> None:
    if not (math.isfinite(elapsed_s) and elapsed_s >= 0.0 and 0.0 < lease_s < math.inf):
        raise InputError(f"a lease of {lease_s} s at {elapsed_s} s cannot be set")
