"""What a device can do and what becomes of its current when its host vanishes: declared, shown."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Capabilities"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """A driver's declaration; everything a limit needs must be stated or the device is refused.

    Parameters
    ----------
    name : str
        Driver name.
    verified : bool
        Whether somebody ran this driver on the hardware, on a dummy load.
    output : {"voltage", "current"}
        A voltage source needs a rig with isolated current stimulators behind it.
    wiring : {"loops", "electrodes"}
        Whether an output drives an isolated pair of electrodes, or one electrode against all the
        others, so that the currents of all outputs must add up to nothing.
    waveforms : tuple of str
        What it can play: ``"tacs"`` (a sine), ``"am_tacs"`` (a carrier with the rhythm as its
        envelope).
    n_channels : int
        Outputs.
    shared_frequency : bool
        Whether all outputs run at one frequency.
    frequency_min_hz, frequency_max_hz, frequency_step_hz : float
        Range and grid of the frequency.
    phase_step_deg : float or None
        Grid of the phase; None where the device has no phase setting.
    amplitude_step_v : float
        Resolution of the output, zero-to-peak volts.
    amplitude_max_v : float
        Largest output, zero-to-peak volts.
    frequency_change : {"phase_continuous", "glitch", "stop_first"}
        What a new frequency does while current flows.
    device_ramps, soft_stop, status_readback : bool
        Ramps held in the device; a stop over a ramp; whether the device reports its state.
    level_control : bool
        Whether the level can be changed while it plays. Where it cannot, the device runs the whole
        envelope by itself once it is started: no pause, no titration.
    machine_verified : bool
        Whether a machine, and not a person, set the device up and started it.
    impedance, current_readback : bool
        What it can sense. What it cannot is not pretended.
    play_duration_max_s : float
        Longest programme that ends by itself.
    soft_stop_s, emergency_stop_s : float
        Time from the command to zero current; where a person stops the device, from the press on
        its own stop.
    stop_grace_s : float
        How much longer than the soft stop it may take until the device, or the person who works
        it, confirms that it is silent.
    reaction_s : float
        How long what is on its way already goes on after a command, of a device with a queue: a
        stop in a ramp may still rise for that long, at the ramp's rate.
    no_trains : str
        Why this device cannot play trains; empty where it can: the level goes to zero and back
        while it plays, and at level 0 no current flows.
    train_edge_min_s : float
        Shortest edge of a train that its steps can follow.
    train_phase : {"runs_on", "unknown"}
        Whether the sine runs on through the gaps between trains, so that the phase of each is known
        from the beginning of the session, or each begins its cycle anew, at an instant that nobody
        is told.
    on_host_loss : str
        What happens to the current when the host vanishes, in one sentence.
    host_loss_worst_case_s : float
        Longest time that current can go on after host loss, in seconds; infinite where it would
        not end, which is refused without a recorded override. Where ``host_loss`` is
        ``"programme"``, this is what the device adds to the rest of the programme.
    host_loss : {"lease", "programme", "never"}
        What ends the current when the host vanishes: a lease that is not renewed, the end of the
        programme that the device holds, or nothing.
    not_detectable : tuple of str
        Faults that this device cannot sense, shown before arming.
    not_detectable_monitored : tuple of str
        Those that are left where a current monitor measures at every electrode.
    """

    name: str
    verified: bool
    output: Literal["voltage", "current"]
    wiring: Literal["loops", "electrodes"] = "loops"
    waveforms: tuple[str, ...] = ("tacs",)
    n_channels: int
    shared_frequency: bool
    frequency_min_hz: float
    frequency_max_hz: float
    frequency_step_hz: float
    phase_step_deg: float | None
    amplitude_step_v: float
    amplitude_max_v: float
    frequency_change: Literal["phase_continuous", "glitch", "stop_first"]
    device_ramps: bool
    soft_stop: bool
    status_readback: bool
    level_control: bool = True
    machine_verified: bool = True
    impedance: bool
    current_readback: bool
    play_duration_max_s: float
    soft_stop_s: float
    emergency_stop_s: float
    stop_grace_s: float = 1.0
    on_host_loss: str
    host_loss_worst_case_s: float
    host_loss: Literal["lease", "programme", "never"] = "lease"
    reaction_s: float = 0.0
    no_trains: str = "its driver does not declare that it can"
    train_edge_min_s: float = 0.0
    train_phase: Literal["runs_on", "unknown"] = "unknown"
    not_detectable: tuple[str, ...] = ()
    not_detectable_monitored: tuple[str, ...] = ()

    def achieved_frequency_hz(self, frequency_hz: float) -> float:
        """Return the grid frequency nearest to the one asked for."""
        step = self.frequency_step_hz
        return round(round(frequency_hz / step) * step, 9)

    def after_host_loss_s(self, duration_s: float) -> float:
        """Return how long current can go on at most in a session of this length.

        Parameters
        ----------
        duration_s : float
            From first to last current.
        """
        programme_s = duration_s if self.host_loss == "programme" else 0.0
        return self.host_loss_worst_case_s + programme_s

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; what would not end is null."""
        worst_s = self.host_loss_worst_case_s
        return {
            **asdict(self),
            "waveforms": list(self.waveforms),
            "host_loss_worst_case_s": worst_s if math.isfinite(worst_s) else None,
            "not_detectable": list(self.not_detectable),
            "not_detectable_monitored": list(self.not_detectable_monitored),
        }
