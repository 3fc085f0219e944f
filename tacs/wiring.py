"""Which generator channel carries which loop of a montage, and with which polarity."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tacs.protocol import Loop, Montage
from tacs.rig import Rig, RigChannel

__all__ = ["WiredLoop", "Wiring", "wire"]


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
    def amplitude_v(self) -> float:
        """Zero-to-peak volts at the stimulator's input for the loop's full current."""
        return self.loop.current_peak_ma / self.channel.gain_ma_per_v


@dataclass(frozen=True, slots=True)
class Wiring:
    """The loops of a montage on a rig, and what does not fit."""

    loops: tuple[WiredLoop, ...]
    problems: tuple[str, ...]

    @property
    def phases_agree(self) -> bool:
        """Whether all channels run in phase, as a device without a phase setting needs."""
        phases = [wired.channel_phase_deg for wired in self.loops]
        return all(math.isclose(phase, phases[0], abs_tol=1e-9) for phase in phases)


def wire(montage: Montage, rig: Rig) -> Wiring:
    """Find the channel of every loop.

    Parameters
    ----------
    montage : Montage
        Loops to carry.
    rig : Rig
        Channels there are.

    Returns
    -------
    Wiring
        With one problem per loop that has no channel, and per shared electrode that is not
        isolated.
    """
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
    return Wiring(tuple(wired), tuple(problems))
