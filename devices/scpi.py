"""SCPI waveform generators as voltage sources that drive isolated stimulators.

The generator plays a burst of as many cycles as the session has, and a few more: that is what ends
the current when its host is gone. The host steps the amplitude, never by more than 1 % of the full
current or 10 µA, and reads every step back. What differs between families is data, in
:mod:`devices.scpi_dialects`.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Final

from devices.analog import Chain
from devices.scpi_declared import CAPABILITIES, fitting
from devices.scpi_dialects import DIALECTS, Dialect, dialect_of
from devices.scpi_link import ScpiLink, parse_identification, parse_number, question
from devices.scpi_programme import Programme, cycles_of, refuse_steep, volts
from devices.scpi_steps import Steps
from devices.transport import Transport, open_transport
from devices.visa import VisaTransport, is_visa_address
from tacs.capabilities import Capabilities
from tacs.clock import Clock
from tacs.driver import Achieved, Driver, Identity, Program, Status
from tacs.errors import (
    DeviceNotFound,
    DeviceRefused,
    InputError,
    ProtocolViolation,
    SafetyRefusal,
    UncertainDelivery,
)
from tacs.rig import Rig
from tacs.safety import Breach

__all__ = ["Scpi"]

STEP_MAX_LEVEL: Final = 0.01
STEP_MAX_MA: Final = 0.010
RESET_S: Final = 10.0
REST_MAX_MA: Final = 0.05  # below it, level 0 counts as none


class Scpi(Driver):
    """Drive one waveform generator and the stimulators of its rig.

    Parameters
    ----------
    transport : Transport
        To the instrument.
    rig : Rig
        Gain and limits of the stimulator behind every channel; ``options.dialect`` names the
        family, which the instrument must then be of.

    Raises
    ------
    InputError
        No rig, a rig for another device, an option or a channel that is none.

    Notes
    -----
    Run against its emulator and third-party clients only: ``verified`` is False until somebody runs
    it on a dummy load. Amplitudes are peak-to-peak volts on the wire, ``2 · mA / (mA/V)``, rounded
    down to four digits. Level 0 is the generator's smallest amplitude, 1 to 2 mV peak-to-peak: it
    has none below, and ends with its output off.
    """

    capabilities: ClassVar[Capabilities] = CAPABILITIES

    def __init__(self, transport: Transport, rig: Rig | None) -> None:
        rig = fitting(rig)
        self.link = ScpiLink(transport)
        self._rig = rig
        self._dialect: Dialect | None = None
        self._n_channels = 0
        self._programme: Programme | None = None
        self._running = False
        self._closed = False
        self._steps = Steps(STEP_MAX_LEVEL)
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
        if is_visa_address(address):
            if clock.virtual:
                raise InputError(f"{address}: a virtual clock cannot wait for a real device")
            return cls(VisaTransport(address), rig)
        if not address.startswith("socket://"):
            raise InputError(
                f"{address!r} is no address of an SCPI instrument; write socket://HOST:PORT "
                f"(Rigol: 5555, Keysight: 5025) or a VISA address such as USB0::…::INSTR"
            )
        return cls(open_transport(address, clock), rig)

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
        try:
            who = self.link.ask("*IDN?", parse_identification)
        except (UncertainDelivery, ProtocolViolation) as exc:
            raise DeviceNotFound(
                f"{self.link.address}: no SCPI instrument answers ({exc})"
            ) from exc
        dialect = self._recognised(who.maker, who.model)
        self._dialect = dialect
        self._n_channels = dialect.n_channels(who.model)
        if beyond := [c.channel for c in self._rig.channels if c.channel > self._n_channels]:
            raise InputError(
                f"rig {self._rig.name!r}: channel {beyond[0]} does not exist; {who.model} has "
                f"{self._n_channels}"
            )
        self.link.harmless_errors = dialect.harmless_errors
        # Off before anything else; then nothing of an earlier user's modulation is left.
        self.link.send_unanswered([*self._outputs("OFF"), "*CLS", "*RST"])
        self.link.ask("*OPC?", parse_number, RESET_S)
        self.link.command("*CLS")
        self.link.command(*self._outputs("OFF"))
        self._refuse_noise()
        return Identity(
            model=f"{who.maker} {who.model}",
            firmware=who.firmware,
            details={
                "address": self.link.address,
                "serial": who.serial,
                "dialect": dialect.name,
                "n_channels": self._n_channels,
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
            frequency_hz=self._frequency(program.frequency_hz),
            phases_deg={n: _phase(dialect, program, n) for n in program.currents_peak_ma},
            cycles=cycles_of(program, dialect),
            step=step,
        )
        full_uv = programme.amplitudes_uv(1.0)
        for n in program.currents_peak_ma:
            if self.link.ask_all([question(dialect.settings["output"], n)])[0]:
                raise DeviceRefused(f"{self.link.address}: output {n} is on; switch it off first")
        self._programme = None
        for n in program.currents_peak_ma:
            self._load(programme, n, full_uv[n])
        self._programme = programme
        return Achieved(
            frequency_hz=programme.frequency_hz,
            currents_peak_ma={n: chains[n].current_peak_ma(uv) for n, uv in full_uv.items()},
        )

    def start(self, lease_s: float) -> None:
        """Switch the outputs on at the smallest amplitude and trigger all bursts at once.

        The end is the burst's, not the lease's.

        Raises
        ------
        InputError
            Nothing was configured, or the lease is none.
        DeviceRefused, UncertainDelivery
            The instrument does not report that its outputs are on.
        """
        if self._programme is None:
            raise InputError("configure a programme before starting it")
        if not lease_s > 0.0:
            raise InputError(f"a lease of {lease_s} s would be none")
        programme, link = self._programme, self.link
        output = self.dialect.settings["output"]
        link.command(*programme.amplitude_lines(programme.amplitudes_uv(0.0)))
        for line in self.dialect.align:
            link.command(line)
        self._steps = Steps(programme.step)
        self._running = True
        link.command(*(output.set.format(n=n, v="ON") for n in programme.channels))
        link.command(*self.dialect.trigger)
        states = link.ask_all([question(output, n) for n in programme.channels])
        if not all(states):
            raise UncertainDelivery(
                f"{link.address}: outputs {list(programme.channels)} were switched on and "
                f"{[n for n, on in zip(programme.channels, states, strict=True) if on]} are"
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
        if self._programme is None or elapsed_s + lease_s > self._programme.burst_s:
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
        answers = self.link.poll(now_s)
        if answers:
            programme.compare(programme.amplitudes_uv(steps.level), answers)
        if answers is not None:
            self._step(programme, now_s)
        if steps.too_late(now_s):
            raise UncertainDelivery(
                f"{self.link.address}: the amplitude is at {steps.level:.2f} of the full current "
                f"where {steps.target:.2f} is due; the instrument or the link is too slow"
            )

    def soft_stop(self) -> None:
        """Begin the ramp down, which :meth:`pump` steps; off at once where nothing is to ramp.

        Never slows an emergency stop.
        """
        if not self._running or self._steps.level == 0.0:
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
        channels = range(1, self._n_channels + 1)
        asked = [question(output, n) for n in channels]
        checked = None
        if self._programme is not None and self._running and not self._steps.stopping:
            checked = self._programme.check(self._n_asked, self._steps.level)
            self._n_asked += 1
            asked.append(checked.question)
        answers = self.link.ask_with_errors(asked)
        playing = tuple(n for n, on in zip(channels, answers, strict=False) if on)
        if self._programme is not None and self._running:
            if strange := sorted(set(playing) - set(self._programme.channels)):
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
                "stray_lines": self.link.stray_lines,
                "errors_ignored": self.link.errors_ignored,
                "resynchronisations": self.link.resynchronisations,
            },
        )

    def close(self) -> None:
        """Switch the outputs off and release the link. Safe to repeat.

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
                self._off()
                self._refuse_noise()
        finally:
            self.link.close()

    def _recognised(self, maker: str, model: str) -> Dialect:
        """The dialect of what answered, which must be the rig's."""
        where = self.link.address
        dialect = dialect_of(maker, model)
        if dialect is None:
            raise DeviceNotFound(
                f"{where}: {maker} {model} answers; this driver knows {', '.join(DIALECTS)}"
            )
        wanted = self._rig.options.get("dialect", dialect.name)
        if dialect.name != wanted:
            raise DeviceNotFound(
                f"{where}: {maker} {model} answers, which is {dialect.name}; rig "
                f"{self._rig.name!r} is for {wanted}"
            )
        return dialect

    def _outputs(self, state: str) -> list[str]:
        output = self.dialect.settings["output"]
        return [output.set.format(n=n, v=state) for n in range(1, self._n_channels + 1)]

    def _refuse_noise(self) -> None:
        """Raise where an output is on."""
        output = self.dialect.settings["output"]
        channels = range(1, self._n_channels + 1)
        states = self.link.ask_all([question(output, n) for n in channels])
        if on := [n for n, state in zip(channels, states, strict=True) if state]:
            raise UncertainDelivery(
                f"{self.link.address}: output {on[0]} is on after it was switched off; switch the "
                f"stimulators off"
            )

    def _frequency(self, frequency_hz: float) -> float:
        low, high = CAPABILITIES.frequency_min_hz, CAPABILITIES.frequency_max_hz
        if not low <= frequency_hz <= high:
            raise InputError(f"{frequency_hz} Hz is outside the driver's {low:g} to {high:g} Hz")
        return CAPABILITIES.achieved_frequency_hz(frequency_hz)

    def _load(self, programme: Programme, n: int, full_uv: int) -> None:
        """Make every setting of one channel, ask for the limits, and read all of it back."""
        dialect, link = programme.dialect, self.link
        for name, value in programme.settings(dialect.basics, n, full_uv):
            link.command(dialect.settings[name].set.format(n=n, v=value))
        # They depend on load and frequency: asked for here, every time.
        least_v = link.ask(dialect.amplitude_min.format(n=n), parse_number)
        most_v = link.ask(dialect.amplitude_max.format(n=n), parse_number)
        programme.rest_uv[n] = math.ceil(round(least_v * 1e4, 6)) * 100
        self._refuse_beyond(programme, n, full_uv, most_v)
        amplitude = dialect.settings["amplitude"]
        link.command(amplitude.set.format(n=n, v=volts(programme.rest_uv[n])))
        for name, value in programme.settings(dialect.burst, n, full_uv):
            link.command(dialect.settings[name].set.format(n=n, v=value))
        for check in programme.checks(n, full_uv):
            check.hold_against(link.ask_all([check.question])[0])

    def _refuse_beyond(self, programme: Programme, n: int, full_uv: int, most_v: float) -> None:
        """Raise where the generator cannot go so high, or not low enough."""
        chain = programme.chains[n]
        rest_ma = chain.current_peak_ma(programme.rest_uv[n])
        breaches: list[tuple[str, float, float, str]] = []
        if not programme.rest_uv[n] <= full_uv:
            breaches.append(("device_smallest_vpp", programme.rest_uv[n] / 1e6, full_uv / 1e6, "V"))
        if not full_uv / 1e6 <= most_v:
            breaches.append(("device_amplitude_vpp", full_uv / 1e6, most_v, "V"))
        if not rest_ma < REST_MAX_MA:
            breaches.append(("device_smallest_current_ma", rest_ma, REST_MAX_MA, "mA"))
        if breaches:
            raise SafetyRefusal(
                [
                    Breach(
                        limit=limit,
                        value=value,
                        allowed=allowed,
                        unit=unit,
                        source=f"{programme.dialect.name} at this load and frequency",
                        where=f"channel {n}",
                    )
                    for limit, value, allowed, unit in breaches
                ]
            )

    def _step(self, programme: Programme, now_s: float) -> None:
        """Post the next step of a ramp, where one is due and changes anything."""
        before = programme.amplitudes_uv(self._steps.level)
        level = self._steps.next_level(now_s)
        if level is None or (after := programme.amplitudes_uv(level)) == before:
            return
        amplitude = self.dialect.settings["amplitude"]
        questions = [question(amplitude, n) for n in programme.channels]
        self.link.post(programme.amplitude_lines(after), questions, now_s)

    def _off(self) -> None:
        """Outputs off, what is left of the bursts ended, amplitude down: one write."""
        if self._dialect is None:
            return
        lines = self._outputs("OFF")
        if self._programme is not None:
            for n in self._programme.channels:
                lines += [line.format(n=n) for line in self.dialect.abort]
            lines += self._programme.amplitude_lines(self._programme.amplitudes_uv(0.0))
        self._running = False
        self._steps = Steps(STEP_MAX_LEVEL)
        self.link.send_unanswered(list(dict.fromkeys(lines)))


def _phase(dialect: Dialect, program: Program, n: int) -> float:
    """The burst's start phase on the grid; only those at which its end leaves no voltage."""
    asked = program.phases_deg.get(n, 0.0)
    if not math.isfinite(asked):
        raise InputError(f"channel {n}: {asked} is no phase")
    phase_deg = round(asked % 360.0, 1) % 360.0
    if dialect.rests_at_phase and phase_deg not in (0.0, 180.0):
        raise InputError(
            f"channel {n}: {phase_deg:g}° cannot be on {dialect.name}: after its burst the output "
            f"rests at the start phase, which is a direct current unless that is 0° or 180°"
        )
    return phase_deg
