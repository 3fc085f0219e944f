"""SCPI waveform generators as voltage sources that drive isolated stimulators.

The generator plays a burst of as many cycles as the session has left, and a few more: that is what
ends the current when its host is gone. The host steps the amplitude, never by more than 1 % of the
full current or 10 µA, and reads every step back. What differs between families is data, in
:mod:`devices.scpi_dialects`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from devices.analog import Chain
from devices.scpi_declared import CAPABILITIES, fitting
from devices.scpi_dialects import Dialect
from devices.scpi_link import ScpiLink, parse_identification, parse_number, question
from devices.scpi_programme import STEP_MAX_LEVEL, Check, Programme, refuse_steep
from devices.scpi_setup import load, outputs_on, phase_of, recognised, refuse_noise
from devices.scpi_steps import Steps
from devices.transport import Transport, open_transport
from devices.visa import VisaTransport, is_visa_address
from tacs.capabilities import Capabilities
from tacs.clock import Clock
from tacs.driver import Achieved, Driver, Identity, Program, Status
from tacs.errors import (
    DeviceError,
    DeviceNotFound,
    DeviceRefused,
    InputError,
    LinkLost,
    ProtocolViolation,
    UncertainDelivery,
)
from tacs.rig import Rig

__all__ = ["Scpi"]

STEP_MAX_MA: Final = 0.010
RESET_S: Final = 10.0
CLOSE_TRIES: Final = 10
CLOSE_PAUSE_S: Final = 0.1
REOPEN_PAUSE_S: Final = 0.5


class Scpi(Driver):
    """Drive one waveform generator and the stimulators of its rig.

    Parameters
    ----------
    transport : Transport
        To the instrument.
    rig : Rig
        Gain and limits of the stimulator behind every channel; ``options.dialect`` names the
        family, which the instrument must then be of.
    clock : Clock, optional
        Real time: with it, a link that broke is opened once more for a stop.

    Raises
    ------
    InputError
        No rig, a rig for another device, an option or a channel that is none.

    Notes
    -----
    Run against its emulator and third-party clients only: ``verified`` is False until somebody runs
    it on a dummy load. Amplitudes are peak-to-peak volts on the wire, ``2 · mA / (mA/V)``, rounded
    down to four digits. At level 0 the outputs are on and wait for the trigger, at 0 V; the burst
    begins at the smallest amplitude, 1 to 2 mV peak-to-peak, because the generator has none below.
    """

    capabilities: ClassVar[Capabilities] = CAPABILITIES

    def __init__(
        self,
        transport: Transport,
        rig: Rig | None,
        clock: Clock | None = None,
    ) -> None:
        self._rig = fitting(rig)
        self._clock = clock
        self.link = ScpiLink(transport)
        self._dialect: Dialect | None = None
        self._channels: tuple[int, ...] = ()
        self._programme: Programme | None = None
        self._running = False
        self._bursting = False
        self._closed = False
        self._steps = Steps(STEP_MAX_LEVEL)
        self._begun_s = math.nan
        self._posted: list[Check] = []
        self._n_asked = 0

    @classmethod
    def open(cls, address: str, rig: Rig | None, clock: Clock) -> Scpi:
        """Open the link to an instrument or to an emulator process; nothing is sent yet.

        Parameters
        ----------
        address : str
            ``socket://HOST:PORT`` (Rigol 5555, Keysight 5025), or a VISA address such as
            ``USB0::0x1AB1::0x0642::DG1ZA000::INSTR``.
        rig : Rig or None
            What is wired to the outputs; a voltage source cannot do without.
        clock : Clock
            Real time.

        Raises
        ------
        DeviceNotFound, DeviceBusy
            Nobody answers there, or somebody else holds it.
        InputError
            No rig, one that does not fit, an address of no known form, or PyVISA is missing.
        """
        rig = fitting(rig)
        if not is_visa_address(address) and not address.startswith("socket://"):
            raise InputError(
                f"{address!r} is no address of an SCPI instrument; write socket://HOST:PORT "
                f"(Rigol: 5555, Keysight: 5025) or a VISA address such as USB0::…::INSTR"
            )
        if clock.virtual:
            raise InputError(
                f"{address}: a virtual clock cannot wait for a real device; use --clock real"
            )
        visa = is_visa_address(address)
        return cls(VisaTransport(address) if visa else open_transport(address, clock), rig, clock)

    @classmethod
    def over(cls, transport: Any, rig: Rig | None) -> Scpi:
        """Drive through a transport that is already there, such as an emulator in memory."""
        return cls(transport, rig)

    @property
    def dialect(self) -> Dialect:
        """The family that answered.

        Raises
        ------
        InputError
            Nothing is connected.
        """
        if self._dialect is None:
            raise InputError("connect to the instrument first")
        return self._dialect

    def connect(self) -> Identity:
        """Ask who is there, refuse what has no dialect, and silence it.

        Raises
        ------
        DeviceNotFound
            Nothing answers, another instrument, or another family than the rig says.
        DeviceRefused, UncertainDelivery, ProtocolViolation, LinkLost
            The instrument did not let itself be silenced.
        """
        where = self.link.address
        try:
            who = self.link.ask("*IDN?", parse_identification)
        except (UncertainDelivery, ProtocolViolation) as exc:
            raise DeviceNotFound(f"{where}: no SCPI instrument answers ({exc})") from exc
        dialect = self._dialect = recognised(who, self._rig, where)
        self._channels = tuple(range(1, dialect.n_channels(who.model) + 1))
        self.link.harmless_errors = dialect.harmless_errors
        # Off before anything else; then nothing of an earlier user's modulation is left.
        self.link.send_unanswered([*self._switched("OFF"), "*CLS", "*RST"])
        self.link.ask("*OPC?", parse_number, RESET_S)
        self.link.command("*CLS")
        self.link.command(*self._switched("OFF"))
        refuse_noise(self.link, dialect, self._channels)
        return Identity(
            model=f"{who.maker} {who.model}",
            firmware=who.firmware,
            details={
                "address": where,
                "serial": who.serial,
                "dialect": dialect.name,
                "n_channels": len(self._channels),
            },
        )

    def configure(self, program: Program) -> Achieved:
        """Load a programme at the smallest amplitude while the outputs are off.

        Raises
        ------
        InputError
            A channel that the rig does not have, a phase, a ramp or a length that cannot be.
        SafetyRefusal
            A current that the stimulator or the generator is not built for.
        DeviceRefused
            The instrument did not accept a setting.
        ProtocolViolation
            It accepted one and holds another.
        """
        dialect = self.dialect
        chains = {c.channel: Chain(c, dialect.ranges) for c in self._rig.channels}
        if unknown := sorted(set(program.currents_peak_ma) - set(chains)):
            raise InputError(
                f"the rig has no channel {', '.join(map(str, unknown))}; it has "
                f"{', '.join(map(str, sorted(chains)))}"
            )
        largest_ma = max(program.currents_peak_ma.values(), default=0.0)
        step = min(STEP_MAX_LEVEL, STEP_MAX_MA / largest_ma) if largest_ma > 0.0 else 1.0
        refuse_steep(program, step, largest_ma)
        programme = Programme(
            dialect=dialect,
            where=self.link.address,
            chains={n: chains[n] for n in program.currents_peak_ma},
            currents_peak_ma=dict(program.currents_peak_ma),
            frequency_hz=_frequency(program.frequency_hz),
            phases_deg={n: phase_of(dialect, program, n) for n in program.currents_peak_ma},
            duration_s=program.duration_s,
            step=step,
        )
        full_uv = programme.amplitudes_uv(1.0)
        if on := outputs_on(self.link, dialect, self._channels):
            raise DeviceRefused(f"{self.link.address}: output {on[0]} is on; switch it off first")
        self._programme = None
        for n in programme.channels:
            load(self.link, programme, n, full_uv[n])
        self._programme = programme
        return Achieved(
            frequency_hz=programme.frequency_hz,
            currents_peak_ma={n: chains[n].current_peak_ma(uv) for n, uv in full_uv.items()},
        )

    def start(self, lease_s: float) -> None:
        """Switch the outputs on; they wait for the trigger at 0 V until the level first rises.

        The end is the burst's, not the lease's.

        Raises
        ------
        InputError
            Nothing was configured, or the lease is none.
        DeviceRefused, UncertainDelivery
            The instrument does not report that its outputs are on.
        """
        programme, link = self._programme, self.link
        if programme is None:
            raise InputError("configure a programme before starting it")
        if not lease_s > 0.0:
            raise InputError(f"a lease of {lease_s} s would be none")
        link.command(*programme.amplitude_lines(programme.amplitudes_uv(0.0)))
        for line in self.dialect.align:
            link.command(line)
        self._steps = Steps(programme.step)
        self._begun_s = math.nan
        self._posted = []
        self._bursting = False
        self._running = True
        output = self.dialect.settings["output"]
        link.command(*(output.set.format(n=n, v="ON") for n in programme.channels))
        on = outputs_on(link, self.dialect, programme.channels)
        if on != programme.channels:
            raise UncertainDelivery(
                f"{link.address}: outputs {list(programme.channels)} were switched on and "
                f"{list(on)} are"
            )

    def set_level(self, level: float) -> None:
        """Take a new level; :meth:`pump` steps the amplitude there.

        Raises
        ------
        InputError
            Outside 0 to 1, or nothing was started.
        """
        if isinstance(level, bool) or not 0.0 <= level <= 1.0:
            raise InputError(f"level {level} is no number from 0 to 1")
        if not self._running or self._steps.stopping:
            raise InputError("start a programme before setting its level")
        self._steps.aim(level)

    def extend_lease(self, elapsed_s: float, lease_s: float) -> None:
        """Check that the burst reaches that far; it cannot be made longer or shorter.

        Raises
        ------
        InputError
            Past the end of the burst.
        """
        if not (math.isfinite(elapsed_s) and elapsed_s >= 0.0 and lease_s > 0.0):
            raise InputError(f"a lease of {lease_s} s at {elapsed_s} s cannot be set")
        if self._programme is None or elapsed_s + lease_s > self._programme.reaches_s:
            raise InputError(
                f"a lease to {elapsed_s + lease_s:g} s passes the end of the burst that the "
                f"instrument holds"
            )

    def set_frequency(self, frequency_hz: float) -> float:
        """Refuse: whether these instruments keep the phase is not documented.

        Raises
        ------
        DeviceRefused
            Always.
        """
        raise DeviceRefused(
            f"{self.link.address}: {self.dialect.name} is not known to keep its phase when the "
            f"frequency changes; stop and configure {frequency_hz:g} Hz"
        )

    def pump(self, now_s: float) -> None:
        """Take the next step of a ramp or of a soft stop; one that is unanswered is waited for.

        Raises
        ------
        DeviceRefused, UncertainDelivery, ProtocolViolation, LinkLost
            The last step was refused, unanswered, or not what the instrument holds now.
        """
        programme, steps = self._programme, self._steps
        if programme is None or not self._running:
            return
        if steps.stopping:
            # Nothing is read here: a stop waits for no answer.
            level = steps.next_stop_level(now_s)
            if level == 0.0:
                self._off()
            elif level is not None:
                lines = programme.amplitude_lines(programme.amplitudes_uv(level))
                self.link.send_unanswered(lines)
            return
        if math.isnan(self._begun_s):
            self._begun_s = now_s
        answers = self.link.poll(now_s)
        if answers is not None:
            for check, answer in zip(self._posted, answers, strict=False):
                check.hold_against(answer)
            self._step(programme, now_s)
        if steps.too_late(now_s):
            raise UncertainDelivery(
                f"{self.link.address}: the amplitude is at {steps.level:.2f} of the full current "
                f"where {steps.target:.2f} is due; the instrument or the link is too slow"
            )

    def soft_stop(self) -> None:
        """Begin the ramp down, which :meth:`pump` steps; off at once from less than one step.

        Never slows an emergency stop.
        """
        if not self._running or self._steps.level <= self._steps.step:
            self._off()
        else:
            self._steps.stop()

    def emergency_stop(self) -> None:
        """Switch the outputs off in one write, without a ramp and without waiting for an answer."""
        self._off()

    def status(self) -> Status:
        """Ask the instrument which outputs are on, and in turn for one of its settings.

        Raises
        ------
        ProtocolViolation
            An output is on that nobody uses, or a setting is not what was commanded.
        DeviceRefused, UncertainDelivery, LinkLost
            It reports an error, or does not answer.
        """
        output = self.dialect.settings["output"]
        asked = [question(output, n) for n in self._channels]
        programme = self._programme if self._running else None
        checked = None
        if programme is not None and not self._steps.stopping:
            checked = programme.check(self._n_asked, self._steps.level)
            self._n_asked += 1
            asked.append(checked.question)
        answers = self.link.ask_with_errors(asked)
        playing = tuple(n for n, on in zip(self._channels, answers, strict=False) if on)
        if programme is not None and (strange := sorted(set(playing) - set(programme.channels))):
            raise ProtocolViolation(
                f"{self.link.address}: output {strange[0]} is on, and nobody uses it"
            )
        if checked is not None:
            checked.hold_against(answers[-1])
        return Status(
            playing=playing,
            current_peak_ma=None,
            impedance_kohm=None,
            details={
                "level_reached": round(self._steps.level, 6),
                "bursting": self._bursting,
                "stray_lines": self.link.stray_lines,
                "errors_ignored": self.link.errors_ignored,
                "resynchronisations": self.link.resynchronisations,
            },
        )

    def close(self) -> None:
        """Switch the outputs off, make sure that they are, and release the link. Safe to repeat.

        What is lost on its way is sent again, and a link that broke is opened anew, for some
        seconds: nothing else would end the burst.

        Raises
        ------
        DeviceError
            The outputs could not be switched off, or are still on; the link is released all the
            same.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._dialect is not None:
                self._leave_silent(self._dialect)
        finally:
            self.link.close()

    def _leave_silent(self, dialect: Dialect) -> None:
        problem: DeviceError | None = None
        for _ in range(CLOSE_TRIES):
            try:
                self._off()
                refuse_noise(self.link, dialect, self._channels)
            except LinkLost as exc:
                problem = exc
                if self._clock is None:
                    break
                try:
                    self.link.reconnect()
                except InputError:
                    self._clock.wait(self._clock.now_s() + REOPEN_PAUSE_S)  # not yet
            except DeviceError as exc:
                problem = exc
                self.link.pause(CLOSE_PAUSE_S)
            else:
                return
        if problem is not None:
            raise problem

    def _step(self, programme: Programme, now_s: float) -> None:
        """Post what is due: the trigger, a step of the amplitude, or the rest at level 0."""
        steps = self._steps
        if not self._bursting:
            if steps.target > 0.0:
                left_s = programme.duration_s - (now_s - self._begun_s)
                lines, checks = programme.begin(left_s)
                self._bursting = True
                self._post([*lines, *self.dialect.trigger], checks, now_s)
            return
        before = programme.amplitudes_uv(steps.level)
        level = steps.next_level(now_s)
        if level is None or (level > 0.0 and programme.amplitudes_uv(level) == before):
            return
        lines, checks = programme.step_to(level)
        if level == 0.0:
            # Back to 0 V, as before the trigger; the next rise is a new burst.
            lines += self._aborted(programme)
            self._bursting = False
        self._post(lines, checks, now_s)

    def _post(self, lines: Sequence[str], checks: list[Check], now_s: float) -> None:
        self._posted = checks
        self.link.post(lines, [check.question for check in checks], now_s)

    def _switched(self, state: str) -> list[str]:
        output = self.dialect.settings["output"]
        return [output.set.format(n=n, v=state) for n in self._channels]

    def _aborted(self, programme: Programme) -> list[str]:
        """Lines that end the bursts of the channels in use."""
        lines = [line.format(n=n) for n in programme.channels for line in self.dialect.abort]
        return list(dict.fromkeys(lines))

    def _off(self) -> None:
        """Outputs off, what is left of the bursts ended, amplitude down: one write."""
        if self._dialect is None:
            return
        lines = self._switched("OFF")
        if self._programme is not None:
            lines += self._aborted(self._programme)
            lines += self._programme.amplitude_lines(self._programme.amplitudes_uv(0.0))
        self._running = self._bursting = False
        self._steps = Steps(STEP_MAX_LEVEL)
        self.link.send_unanswered(lines)


def _frequency(frequency_hz: float) -> float:
    """The nearest on the grid."""
    low, high = CAPABILITIES.frequency_min_hz, CAPABILITIES.frequency_max_hz
    if not low <= frequency_hz <= high:
        raise InputError(f"{frequency_hz} Hz is outside the driver's {low:g} to {high:g} Hz")
    return CAPABILITIES.achieved_frequency_hz(frequency_hz)
