"""NI-DAQmx analogue output: a voltage source that plays a stream, into isolated stimulators.

The host makes every sample and keeps a short queue in the card filled; nothing is played twice.
What is commanded takes effect at the end of that queue, 0.16 s later at most; an emergency stop
drops the queue. A card whose host vanishes plays its queue to the end and then holds the last
value, which is a direct current: only a timer in the card, or an interlock that such a timer opens,
ends that, and the rig says whether there is one.
"""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Any, ClassVar, Final

from devices.analog import Chain
from devices.nidaq_backend import Card
from devices.nidaq_options import Options, output_names, read_options
from devices.nidaq_player import BUFFER_S, QUEUE_S, RESTART_S, TAIL_S, Player
from devices.nidaq_real import NiCard
from devices.nidaq_stream import Stream, Voice
from devices.nidaq_wire import LinkedCard
from devices.transport import Transport, open_transport
from tacs.capabilities import Capabilities
from tacs.clock import Clock
from tacs.driver import Achieved, Driver, Identity, Program, Status
from tacs.errors import DeviceRefused, InputError
from tacs.rig import Rig

__all__ = ["NiDaq"]

SOFT_STOP_S: Final = 0.8
EMERGENCY_STOP_S: Final = 0.1
STEP_HZ: Final = 1e-6
OUTPUTS_MAX: Final = 32


class NiDaq(Driver):
    """Drive the outputs of one NI card and the stimulators of its rig.

    Parameters
    ----------
    card : Card
        The card, or one in another process.
    rig : Rig
        Gain and limits of the stimulator behind every output, and what the card has.

    Raises
    ------
    InputError
        No rig, a rig for another device, or options that cannot be.

    Notes
    -----
    Written from the documentation of NI-DAQmx and run against an emulated card only: ``verified``
    is False until somebody runs it on a dummy load. Channel 1 of the rig is the first output that
    the address lists.

    References
    ----------
    NI-DAQmx Python API, ``nidaqmx`` 1.7 (MIT).
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        name="nidaq",
        verified=False,
        output="voltage",
        waveforms=("tacs", "am_tacs"),
        n_channels=OUTPUTS_MAX,
        shared_frequency=True,
        frequency_min_hz=0.1,
        frequency_max_hz=Options().frequency_max_hz,
        frequency_step_hz=STEP_HZ,
        phase_step_deg=1e-6,
        amplitude_step_v=float(Options().step),
        amplitude_max_v=Options().range_v,
        frequency_change="phase_continuous",
        device_ramps=False,
        soft_stop=True,
        status_readback=True,
        impedance=False,
        current_readback=False,
        play_duration_max_s=3600.0,
        soft_stop_s=SOFT_STOP_S,
        emergency_stop_s=EMERGENCY_STOP_S,
        reaction_s=QUEUE_S,
        no_trains="",
        train_phase="runs_on",
        on_host_loss=(
            f"the card plays the {QUEUE_S:g} s that it has and then HOLDS THE LAST VALUE: a direct "
            f"current of up to the full peak flows until somebody switches the stimulator off"
        ),
        host_loss="never",
        host_loss_worst_case_s=math.inf,
        not_detectable=(
            "open or detached electrode",
            "short circuit or gel bridge between electrodes",
            "drying electrodes and rising impedance",
            "stimulator out of compliance (current below the command)",
            "stimulator gain off its calibration (current above or below the command)",
            "DC offset of the card or of the stimulator",
            "stimulator switched off, in an error state or unplugged",
            "a cable at another output of the card than the rig says",
            "swapped leads or electrodes",
            "current between loops whose isolation failed",
        ),
        not_detectable_monitored=("swapped leads or electrodes",),
    )

    def __init__(self, card: Card, rig: Rig | None) -> None:
        rig = _fitting(rig)
        self._options = read_options(rig)
        self.card = card
        step_uv_pp = self._options.step * 2_000_000
        self._chains = {
            c.channel: Chain(
                c,
                ((self._options.range_v, step_uv_pp),),
                round(self._options.range_v * 2_000_000),
            )
            for c in rig.channels
        }
        self._limits_v = {
            c.channel: min(c.input_max_v or 0.0, self._options.range_v) for c in rig.channels
        }
        self._program: Program | None = None
        self._player = Player(card, self._options, self._chains)
        self._connected = False
        self._closed = False

    @classmethod
    def capabilities_on(cls, rig: Rig | None) -> Capabilities:
        """Return what the card can do on a rig: its converter, its clock, its timer.

        Raises
        ------
        FileProblems
            Options of the rig that cannot be.
        """
        options = read_options(rig)
        found = dataclasses.replace(
            cls.capabilities,
            frequency_max_hz=options.frequency_max_hz,
            amplitude_step_v=float(options.step),
            amplitude_max_v=options.range_v,
        )
        if not options.timed:
            return found
        what = (
            "sets the outputs to 0 V"
            if options.watchdog
            else f"takes {options.interlock} low, which switches the stimulators off"
        )
        return dataclasses.replace(
            found,
            on_host_loss=(
                f"as the rig states, the card's watchdog {what} {options.watchdog_s:g} s after it "
                f"was last fed, at once and without a ramp; the host feeds it at every tick"
            ),
            host_loss="lease",
            host_loss_worst_case_s=options.watchdog_s,
        )

    @classmethod
    def open(cls, address: str, rig: Rig | None, clock: Clock) -> NiDaq:
        """Open a card, or the link to a card in another process; nothing is sent yet.

        Parameters
        ----------
        address : str
            ``Dev1/ao0:1`` as NI MAX shows it; ``socket://HOST:PORT`` or a serial port of a card's
            process.
        rig : Rig or None
            What is wired to the outputs; a voltage source cannot do without.
        clock : Clock
            Real time.

        Raises
        ------
        DeviceNotFound, DeviceBusy
            No package nidaqmx, no driver, no such port, or somebody else holds it.
        InputError
            No rig, one that does not fit, or no address.
        """
        rig = _fitting(rig)
        options = read_options(rig)
        if address.startswith(("socket://", "/dev/")):
            return cls(LinkedCard(open_transport(address, clock), options.idle_output), rig)
        output_names(address)
        return cls(NiCard(address, options, clock), rig)

    @classmethod
    def over(cls, transport: Any, rig: Rig | None) -> NiDaq:
        """Drive a card through a transport that is already there."""
        rig = _fitting(rig)
        link: Transport = transport
        return cls(LinkedCard(link, read_options(rig).idle_output), rig)

    def connect(self) -> Identity:
        """Ask who it is, end whatever it plays, and set all outputs of the rig to 0 V.

        Raises
        ------
        DeviceNotFound
            No such card, or it has fewer outputs than the rig.
        DeviceError
            The card did not let itself be silenced.
        """
        info = self.card.identify()
        if (last := max(self._chains)) > info.n_outputs:
            raise InputError(
                f"{self.card.address}: has {info.n_outputs} outputs and the rig has a channel "
                f"{last}; name as many outputs in the address"
            )
        self._connected = True
        self._player.silence()
        return Identity(
            model=info.product,
            firmware="NI-DAQmx",
            details={"address": self.card.address, "serial": info.serial, **info.details},
        )

    def configure(self, program: Program) -> Achieved:
        """Take a programme at level 0 while idle, and have the card look at its settings.

        Raises
        ------
        InputError
            A channel that the rig does not have, or a value that is none.
        SafetyRefusal
            A current that the stimulator or the card is not built for.
        DeviceRefused
            The card cannot run so, or still plays.
        """
        voices = self._voices(program)
        self._check_frequency(program.frequency_hz)
        if program.carrier_hz is not None:
            self._check_frequency(program.carrier_hz)
        for name, ramp_s, least_s in (
            ("soft_stop_s", program.soft_stop_s, QUEUE_S),
            ("emergency_stop_s", program.emergency_stop_s, RESTART_S),
        ):
            if not least_s < ramp_s <= BUFFER_S - TAIL_S:
                raise InputError(
                    f"{name}: {ramp_s} s cannot be kept; write more than {least_s:g} s, which is "
                    f"how long a stop may take to begin, and at most {BUFFER_S - TAIL_S:g} s"
                )
        if self._player.playing:
            raise DeviceRefused(f"{self.card.address}: the outputs still play; stop first")
        if self._options.timed:
            # A rig that promises a timer which the card does not have is refused before arming.
            self.card.watch(self._options.watchdog_s)
            self.card.unwatch()
        self._player.prepare(self._limits_of(program))
        self.card.release()
        self._program = program
        self._player.soft_stop_s = program.soft_stop_s
        self._player.emergency_stop_s = program.emergency_stop_s
        return Achieved(
            frequency_hz=program.frequency_hz,
            currents_peak_ma={
                channel: self._current_peak_ma(channel, voice)
                for channel, voice in zip(sorted(program.currents_peak_ma), voices, strict=True)
            },
        )

    def start(self, lease_s: float) -> None:
        """Start the stream at level 0. The card has no lease; its timer, if any, starts too.

        Raises
        ------
        InputError
            Nothing was configured, or the lease is none.
        DeviceRefused
            It plays already.
        """
        program = self._program
        if program is None:
            raise InputError("configure a programme before starting it")
        if not lease_s > 0.0:
            raise InputError(f"a lease of {lease_s} s would be none")
        if self._player.playing:
            raise DeviceRefused(f"{self.card.address}: the outputs play already; stop first")
        stream = Stream(
            self._options.sample_rate_hz,
            float(self._options.step),
            self._voices(program),
            program.frequency_hz,
            program.carrier_hz,
        )
        self._player.begin(stream, self._limits_of(program))

    def set_level(self, level: float) -> None:
        """Set the fraction of the full current that the end of the queue is to reach.

        Raises
        ------
        InputError
            Outside 0 to 1.
        DeviceRefused
            It is stopping, or was never started.
        """
        if isinstance(level, bool) or not 0.0 <= level <= 1.0:
            raise InputError(f"level {level} is no number from 0 to 1")
        self._player.set_level(level)

    def extend_lease(self, elapsed_s: float, lease_s: float) -> None:
        """Take note; the card has no lease, and its timer is fed by :meth:`pump`."""
        if not (math.isfinite(elapsed_s) and elapsed_s >= 0.0 and lease_s > 0.0):
            raise InputError(f"a lease of {lease_s} s at {elapsed_s} s cannot be set")

    def set_frequency(self, frequency_hz: float) -> float:
        """Change the frequency from the end of the queue on, keeping the phase."""
        self._check_frequency(frequency_hz)
        if self._program is None:
            raise InputError("configure a programme before changing its frequency")
        self._program = dataclasses.replace(self._program, frequency_hz=frequency_hz)
        self._player.retune(frequency_hz)
        return frequency_hz

    def pump(self, now_s: float) -> None:
        """Fill the queue up and feed the card's timer.

        Raises
        ------
        DeviceError
            The card ran dry, its clock stands still, its timer ran out, or it does not answer. It
            is never started again behind a session's back.
        """
        self._player.pump(now_s)

    def soft_stop(self) -> None:
        """End over the soft-stop ramp; never slows a stop that is under way."""
        self._player.soft_stop()

    def emergency_stop(self) -> None:
        """Drop the queue and end over the emergency ramp.

        A card that does not say how far it is plays its queue first, which takes 0.16 s longer.

        Raises
        ------
        TacsError
            It could not be delivered, and setting the outputs to 0 V at once could not either.
        """
        self._player.emergency_stop()

    def status(self) -> Status:
        """Ask the card how far it is; it cannot know currents and impedances.

        Raises
        ------
        DeviceError
            As :meth:`pump`.
        """
        if not self._player.playing or self._program is None:
            return Status(playing=(), current_peak_ma=None, impedance_kohm=None, details={})
        progress = self._player.progress()
        details: dict[str, Any] = {
            "samples_played": progress.played,
            "queued_s": round(progress.queued_s, 4),
        }
        if isinstance(self.card, LinkedCard):
            details["stray_bytes"] = self.card.stray_bytes
        playing = () if progress.over else tuple(sorted(self._program.currents_peak_ma))
        return Status(playing=playing, current_peak_ma=None, impedance_kohm=None, details=details)

    def close(self) -> None:
        """End what plays, see that zeros were played, and release the card. Safe to repeat.

        Raises
        ------
        DeviceError
            Nobody knows whether the outputs are at 0 V; the card is released all the same.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._connected:
                self._player.leave_silent()
        finally:
            self.card.close()

    def _limits_of(self, program: Program) -> dict[int, float]:
        """Largest volts of each output of a programme."""
        return {channel: self._limits_v[channel] for channel in program.currents_peak_ma}

    def _voices(self, program: Program) -> list[Voice]:
        """What each output plays at full level, in ascending order of the channels."""
        if unknown := sorted(set(program.currents_peak_ma) - set(self._chains)):
            raise InputError(
                f"the rig has no channel {', '.join(map(str, unknown))}; it has "
                f"{', '.join(map(str, sorted(self._chains)))}"
            )
        if not program.currents_peak_ma:
            raise InputError("a programme without channels plays nothing")
        step_uv_pp: Fraction = self._options.step * 2_000_000
        voices = []
        for channel in sorted(program.currents_peak_ma):
            phase_deg = program.phases_deg.get(channel, 0.0)
            if not math.isfinite(phase_deg):
                raise InputError(f"channel {channel}: {phase_deg}° is no phase")
            amplitude = self._chains[channel].amplitude_uv_pp(program.currents_peak_ma[channel])
            # The chain gives whole microvolts, rounded down from a whole number of steps.
            voices.append(Voice(math.ceil(amplitude / step_uv_pp), phase_deg))
        return voices

    def _current_peak_ma(self, channel: int, voice: Voice) -> float:
        """What a whole number of steps commands of the stimulator."""
        gain = self._chains[channel].channel.gain_ma_per_v or 0.0
        return float(voice.steps * self._options.step * Fraction(repr(gain)))

    def _check_frequency(self, frequency_hz: float) -> None:
        low, high = self.capabilities.frequency_min_hz, self._options.frequency_max_hz
        if not low <= frequency_hz <= high:
            raise InputError(
                f"{frequency_hz} Hz is outside {low:g} to {high:g} Hz, which is what "
                f"{self._options.sample_rate_hz:g} samples a second can play"
            )


def _fitting(rig: Rig | None) -> Rig:
    """The rig, refused in one line where it does not fit the device."""
    if rig is None:
        raise InputError(
            "an NI card is a voltage source: give the rig file that says which stimulator is "
            "behind it (--rig RIG.toml)"
        )
    if rig.device != NiDaq.capabilities.name:
        raise InputError(f"rig {rig.name!r} is for the device {rig.device!r}, not for nidaq")
    if not rig.channels:
        raise InputError(f"rig {rig.name!r}: an NI card needs [[channels]], not [[outputs]]")
    return rig
