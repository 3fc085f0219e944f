"""One channel of an emulated waveform generator: settings, burst machine, relay, what comes out.

Amplitudes are what the instrument displays for the load it is told of; the voltage that comes out
is the open-circuit one, because a stimulator's input is no load.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from devices.emulators.scpi_models import Model
from devices.emulators.scpi_tree import ScpiError
from devices.emulators.sine_output import SineOutput

__all__ = ["Output", "Quirks"]

SOURCE_OHM = 50.0
OFFSET_MAX_V = 10.0
GRID_V = 1e-4
DIGITS = 4
GLITCH_S = 0.005
RANGES_V = (0.02, 0.1, 0.5, 2.0, 5.0, 20.0)  # where its attenuators switch, open-circuit Vpp


@dataclass(slots=True)
class Quirks:
    """What an instrument may do that no manual tells."""

    frequency_resets_phase: bool = False
    glitch_factor: float = 1.0
    volt_ends_burst: bool = False
    volt_restarts_burst: bool = False


class Output:
    """A sine that runs on, or in bursts of so many cycles.

    Parameters
    ----------
    model : Model
        The instrument.
    quirks : Quirks
        Shared by its channels.
    now_s : float
        Clock time of power-on.
    """

    def __init__(self, model: Model, quirks: Quirks, now_s: float) -> None:
        self._model = model
        self._quirks = quirks
        self.sine = SineOutput(now_s)
        self.stuck = False
        self.reset(now_s)

    def reset(self, now_s: float) -> None:
        """Take the settings of power-on."""
        self.on = False
        self.function = "SIN"
        self.unit = "VPP"
        self.load_ohm = SOURCE_OHM
        self.frequency_hz = 1000.0
        self.amplitude_vpp = self._model.amplitude_at_start_vpp
        self.offset_v = 0.0
        self.phase_deg = 0.0
        self.burst = False
        self.burst_mode = "TRIG"
        self.cycles = 1
        self.burst_phase_deg = 0.0
        self.source = "INT" if self._model.rigol else "IMM"
        self.idle = "FPT"
        self.limited = False
        self.limit_high_v, self.limit_low_v = 5.0, -5.0
        self.ends_s: float | None = None  # of the burst that runs
        self._glitch_ends_s: float | None = None
        self.sine.retune(self.frequency_hz, now_s)
        self._show(now_s)

    @property
    def playing(self) -> bool:
        """Whether a sine comes out."""
        return self.stuck or (self.on and (not self.burst or self.ends_s is not None))

    @property
    def reported_on(self) -> bool:
        """Whether it says that its output is on."""
        return self.on or self.stuck

    @property
    def scale(self) -> float:
        """Open-circuit volts for each volt displayed."""
        if math.isinf(self.load_ohm):
            return 1.0
        return (SOURCE_OHM + self.load_ohm) / self.load_ohm

    @property
    def amplitude_limits_vpp(self) -> tuple[float, float]:
        """Smallest and largest amplitude at this load, frequency and offset."""
        largest = next(
            (emf for top_hz, emf in self._model.largest_emf_vpp if self.frequency_hz <= top_hz),
            self._model.largest_emf_vpp[-1][1],
        )
        room = 2.0 * (OFFSET_MAX_V - abs(self.offset_v) * self.scale)
        return self._model.smallest_emf_vpp / self.scale, min(largest, room) / self.scale

    def advance(self, now_s: float) -> None:
        """Let time pass: the end of a glitch, the end of a burst."""
        if self._glitch_ends_s is not None and self._glitch_ends_s <= now_s:
            at_s, self._glitch_ends_s = self._glitch_ends_s, None
            self._show(at_s)
        if self.ends_s is not None and self.ends_s <= now_s:
            at_s, self.ends_s = self.ends_s, None
            self._show(at_s)

    def switch(self, on: bool, now_s: float) -> None:
        """Move the relay."""
        self.on = on
        self._show(now_s)

    def set_load(self, ohm: float, now_s: float) -> None:
        """Tell it of another load: displayed values change, the voltage does not."""
        if self.limited and not self._model.rigol:
            raise ScpiError(-221)
        before = self.scale
        self.load_ohm = ohm
        factor = before / self.scale
        self.amplitude_vpp *= factor
        self.offset_v *= factor

    def set_frequency(self, frequency_hz: float, now_s: float) -> None:
        """Change the frequency; a burst keeps its number of cycles."""
        left = 0.0 if self.ends_s is None else (self.ends_s - now_s) * self.frequency_hz
        self.frequency_hz = round(frequency_hz, 6)
        self.sine.retune(self.frequency_hz, now_s)
        if self._quirks.frequency_resets_phase:
            self.sine.restart(now_s)
        if self.ends_s is not None:
            self.ends_s = now_s + left / self.frequency_hz
        least, most = self.amplitude_limits_vpp
        self.amplitude_vpp = min(max(self.amplitude_vpp, least), most)
        self._show(now_s)

    def set_amplitude(self, vpp: float, now_s: float) -> None:
        """Change the amplitude, on a grid of four digits."""
        vpp, conflict = self._limited(_rounded(vpp))
        before, self.amplitude_vpp = self.amplitude_vpp * self.scale, vpp
        if self._quirks.glitch_factor != 1.0 and _range(before) != _range(vpp * self.scale):
            self._glitch_ends_s = now_s + GLITCH_S
        if self.ends_s is not None and self._quirks.volt_ends_burst:
            self.ends_s = None
        if self.ends_s is not None and self._quirks.volt_restarts_burst:
            self.ends_s = now_s + self.cycles / self.frequency_hz
        self._show(now_s)
        if conflict:
            raise ScpiError(-221)

    def set_offset(self, volts: float, now_s: float) -> None:
        """Add a constant voltage."""
        if abs(volts) * self.scale + self.amplitude_vpp * self.scale / 2.0 > OFFSET_MAX_V:
            raise ScpiError(-222)
        self.offset_v = round(volts, 4)
        self._show(now_s)

    def set_phase(self, phase_deg: float, now_s: float) -> None:
        """Turn the sine that runs on."""
        self.phase_deg = phase_deg
        self._show(now_s)

    def align(self, now_s: float) -> None:
        """Begin the cycle anew, as all channels do at this instant; a burst does not."""
        if not self.burst:
            self.sine.restart(now_s)

    def set_burst(self, on: bool, now_s: float) -> None:
        """Change between bursts and a sine that runs on; what is left of a burst is dropped."""
        self.burst = on
        self.ends_s = None
        self._show(now_s)

    def trigger(self, now_s: float) -> bool:
        """Begin a burst; return whether it did."""
        waits = self.on and self.burst and self.ends_s is None
        if not (waits and self.source in ("MAN", "BUS") and self.burst_mode == "TRIG"):
            return False
        self.sine.restart(now_s)
        self.ends_s = now_s + self.cycles / self.frequency_hz
        self._show(now_s)
        return True

    def abort(self, now_s: float) -> None:
        """End a burst at once."""
        self.ends_s = None
        self._show(now_s)

    def stick(self) -> None:
        """Play on, whatever is commanded."""
        if self.playing:
            self.stuck = self.sine.stuck = True

    def _limited(self, vpp: float) -> tuple[float, bool]:
        """An amplitude against the voltage limit: as it is, refused, or cut down."""
        high_v = min(self.limit_high_v - self.offset_v, self.offset_v - self.limit_low_v)
        if not self.limited or vpp / 2.0 <= high_v + 1e-9:
            return vpp, False
        if not self._model.limit_clips:
            raise ScpiError(-222)
        return 2.0 * high_v, True

    def _show(self, now_s: float) -> None:
        """Bring to the output what holds from now on."""
        if not self.on:
            self.sine.cut(now_s)
            return
        peak_v = self.amplitude_vpp * self.scale / 2.0
        offset_v = self.offset_v * self.scale
        phase_deg = self.burst_phase_deg if self.burst else self.phase_deg
        if self._glitch_ends_s is not None:
            peak_v *= self._quirks.glitch_factor
        if self.burst and self.ends_s is None:
            if self.idle != "CENTER":
                offset_v += peak_v * math.sin(math.radians(phase_deg))
            peak_v = 0.0
        self.sine.set_phase(phase_deg, now_s)
        self.sine.set_offset(offset_v, now_s)
        self.sine.move_to(peak_v, 0.0, now_s)


def _rounded(vpp: float) -> float:
    """Four digits, and no finer than 0.1 mV."""
    grid = max(10.0 ** (math.floor(math.log10(vpp)) - DIGITS + 1), GRID_V)
    return round(round(vpp / grid) * grid, 6)


def _range(vpp: float) -> int:
    """Attenuator of an amplitude."""
    return sum(vpp > top for top in RANGES_V)
