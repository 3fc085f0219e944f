"""Which channel of a device carries which loop of a montage, or which electrode, and how.

A device of isolated loops has a channel for each loop. A device that drives each electrode by
itself has a channel for each electrode, which carries the sum of the loops there: sines of one
frequency add as phasors, and what the loops send out they take back, so that the channels' currents
add up to nothing at every instant.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass

from tacs.protocol import Loop, Montage
from tacs.rig import Rig, RigChannel, RigOutput

__all__ = ["WiredChannel", "WiredLoop", "Wiring", "wire"]

SILENT_MA = 1e-9  # loops that cancel at an electrode leave rounding


@dataclass(frozen=True, slots=True)
class WiredChannel:
    """What one channel of the device has to play.

    Parameters
    ----------
    channel : int
        Counted from 1.
    current_peak_ma : float
        Zero-to-peak current.
    phase_deg : float
        Phase of its sine, 0 to 360.
    electrodes : tuple of str
        Those that the current passes: source and sink of a loop, or one electrode.
    current_max_ma, compliance_v : float
        Of what is behind the channel.
    amplitude_v : float or None
        Zero-to-peak volts at the stimulator's input; None of a current source.
    input_max_v : float or None
        Largest input; None of a current source.
    wired : RigChannel or RigOutput
        As in the rig file.
    """

    channel: int
    current_peak_ma: float
    phase_deg: float
    electrodes: tuple[str, ...]
    current_max_ma: float
    compliance_v: float
    amplitude_v: float | None
    input_max_v: float | None
    wired: RigChannel | RigOutput

    @property
    def name(self) -> str:
        """Its electrodes in one word."""
        return "-".join(self.electrodes)


@dataclass(frozen=True, slots=True)
class WiredLoop:
    """A loop and the channel that carries it.

    Parameters
    ----------
    loop : Loop
        From the montage.
    channel : RigChannel
        From the rig.
    reversed : bool
        Whether the loop's source is at the stimulator's negative terminal: the current is then
        the channel's, turned by 180°.
    """

    loop: Loop
    channel: RigChannel
    reversed: bool

    @property
    def channel_phase_deg(self) -> float:
        """Phase that the channel must have, in degrees from 0 to 360."""
        return (self.loop.phase_deg + (180.0 if self.reversed else 0.0)) % 360.0

    @property
    def amplitude_v(self) -> float | None:
        """Zero-to-peak volts at the stimulator's input; None of a current source."""
        gain = self.channel.gain_ma_per_v
        return None if gain is None else self.loop.current_peak_ma / gain

    @property
    def as_channel(self) -> WiredChannel:
        """What the channel has to play."""
        return WiredChannel(
            channel=self.channel.channel,
            current_peak_ma=self.loop.current_peak_ma,
            phase_deg=self.channel_phase_deg,
            electrodes=(self.loop.source, self.loop.sink),
            current_max_ma=self.channel.current_max_ma,
            compliance_v=self.channel.compliance_v,
            amplitude_v=self.amplitude_v,
            input_max_v=self.channel.input_max_v,
            wired=self.channel,
        )


@dataclass(frozen=True, slots=True)
class Wiring:
    """What every channel has to play, and what does not fit.

    Parameters
    ----------
    loops : tuple of WiredLoop
        Of a device of isolated loops; empty of another.
    channels : tuple of WiredChannel
        Of any device.
    problems : tuple of str
        Empty where the montage fits the rig.
    """

    loops: tuple[WiredLoop, ...]
    channels: tuple[WiredChannel, ...]
    problems: tuple[str, ...]

    @property
    def phases_agree(self) -> bool:
        """Whether all channels run in phase, as a device without a phase setting needs."""
        phases = [wired.phase_deg for wired in self.channels]
        return all(math.isclose(phase, phases[0], abs_tol=1e-9) for phase in phases)


def wire(montage: Montage, rig: Rig) -> Wiring:
    """Find the channel of every loop, or of every electrode.

    Parameters
    ----------
    montage : Montage
        Loops to carry.
    rig : Rig
        Channels there are.

    Returns
    -------
    Wiring
        With one problem per loop or electrode that has no channel, and per shared electrode that
        is not isolated.
    """
    return _wire_electrodes(montage, rig) if rig.outputs else _wire_loops(montage, rig)


def _wire_loops(montage: Montage, rig: Rig) -> Wiring:
    """One channel for each loop."""
    free = list(rig.channels)
    wired: list[WiredLoop] = []
    problems: list[str] = []
    for loop in montage.loops:
        ends = {loop.source, loop.sink}
        match = next((c for c in free if {c.positive, c.negative} == ends), None)
        if match is None:
            have = ", ".join(f"{c.positive}-{c.negative}" for c in rig.channels)
            problems.append(
                f"no free channel of rig {rig.name!r} is wired to {loop.source}-{loop.sink} "
                f"(it has {have}); one channel is one loop"
            )
            continue
        free.remove(match)
        wired.append(WiredLoop(loop, match, reversed=match.negative == loop.source))
    for electrode in montage.electrodes:
        sharing = [w for w in wired if electrode.name in (w.loop.source, w.loop.sink)]
        if len(sharing) > 1 and not all(w.channel.isolated for w in sharing):
            problems.append(
                f"electrode {electrode.name} is shared by {len(sharing)} loops and not all of "
                f"their stimulators are isolated; current would flow between them"
            )
    return Wiring(tuple(wired), tuple(w.as_channel for w in wired), tuple(problems))


def _wire_electrodes(montage: Montage, rig: Rig) -> Wiring:
    """One channel for each electrode: the sum of the loops there."""
    outputs = {output.electrode: output for output in rig.outputs}
    channels: list[WiredChannel] = []
    problems: list[str] = []
    for electrode in montage.electrodes:
        output = outputs.get(electrode.name)
        if output is None:
            problems.append(
                f"no output of rig {rig.name!r} is wired to {electrode.name} "
                f"(it has {', '.join(outputs)})"
            )
            continue
        phasor = 0j
        for loop in montage.loops_at(electrode.name):
            sign = 1.0 if loop.source == electrode.name else -1.0
            phasor += sign * cmath.rect(loop.current_peak_ma, math.radians(loop.phase_deg))
        current_ma = abs(phasor) if abs(phasor) > SILENT_MA else 0.0
        phase_deg = round(math.degrees(cmath.phase(phasor)), 9) % 360.0 if current_ma else 0.0
        channels.append(
            WiredChannel(
                channel=output.channel,
                current_peak_ma=round(current_ma, 12),
                phase_deg=phase_deg,
                electrodes=(electrode.name,),
                current_max_ma=output.current_max_ma,
                compliance_v=output.compliance_v,
                amplitude_v=None,
                input_max_v=None,
                wired=output,
            )
        )
    return Wiring((), tuple(channels), tuple(problems))
