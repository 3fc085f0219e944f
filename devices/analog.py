"""From current to the voltage that commands it: generator, isolated stimulator, electrode.

A voltage source drives an isolated stimulator whose current follows its input, so many milliampere
per volt. The chain turns a zero-to-peak current into the peak-to-peak microvolts that a generator
is programmed with, rounding down to the generator's grid, and refuses what the stimulator is not
built for. Nothing is clipped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from tacs.errors import InputError, SafetyRefusal
from tacs.rig import RigChannel
from tacs.safety import Breach

__all__ = ["Chain"]

UV_PER_V = 1_000_000
PEAKS = 2  # peak-to-peak is twice zero-to-peak


@dataclass(frozen=True, slots=True)
class Chain:
    """One calibrated chain.

    Parameters
    ----------
    channel : RigChannel
        Gain and limits from the rig file.
    ranges : tuple of (float, Fraction)
        The generator's output ranges, finest first: largest zero-to-peak volts, and the step of a
        peak-to-peak amplitude in microvolts, which is twice the converter's.
    amplitude_max_uv_pp : int
        Largest amplitude of the generator, microvolts peak-to-peak.

    Notes
    -----
    ``amplitude_uv_pp = 2 · 10⁶ · current_peak_ma / gain_ma_per_v``: with 2 mA/V, 1 mA needs 0.5 V
    zero-to-peak, which is 1 000 000 µV peak-to-peak. The arithmetic is exact on the decimal numbers
    as written, so that rounding down never loses a step to binary fractions.
    """

    channel: RigChannel
    ranges: tuple[tuple[float, Fraction], ...] = ((10.0, Fraction(1)),)
    amplitude_max_uv_pp: int = 20_000_000

    def amplitude_uv_pp(self, current_peak_ma: float) -> int:
        """Return the amplitude for a current, rounded down to the converter's grid.

        Parameters
        ----------
        current_peak_ma : float
            Zero-to-peak.

        Returns
        -------
        int
            Microvolts peak-to-peak; never commands more current than asked, and less by under one
            grid step.

        Raises
        ------
        InputError
            Not a number, or negative.
        SafetyRefusal
            Above what the stimulator or the generator takes, every breach listed.
        """
        if not (math.isfinite(current_peak_ma) and current_peak_ma >= 0.0):
            raise InputError(
                f"channel {self.channel.channel}: {current_peak_ma} mA is not a zero-to-peak "
                f"current; it must be a finite number, 0 or more"
            )
        volts = _exact(current_peak_ma) / self._gain
        self._refuse_beyond(current_peak_ma, volts)
        grid = next(step for top_v, step in self.ranges if volts <= _exact(top_v))
        return math.floor(math.floor(volts * PEAKS * UV_PER_V / grid) * grid)

    def current_peak_ma(self, amplitude_uv_pp: int) -> float:
        """Return the zero-to-peak current that an amplitude commands."""
        volts = Fraction(amplitude_uv_pp, PEAKS * UV_PER_V)
        return float(volts * self._gain)

    @property
    def _gain(self) -> Fraction:
        """Milliampere per volt, exact."""
        if self.channel.gain_ma_per_v is None:
            raise InputError(
                f"channel {self.channel.channel}: the rig states no gain_ma_per_v; "
                f"tacs calibrate measures it"
            )
        return _exact(self.channel.gain_ma_per_v)

    def _refuse_beyond(self, current_peak_ma: float, volts: Fraction) -> None:
        """Raise with every limit of the chain that would be passed."""
        input_max_v = self.channel.input_max_v
        limits = (
            ("rig_current_max_ma", _exact(current_peak_ma), self.channel.current_max_ma, "mA"),
            ("rig_input_max_v", volts, 0.0 if input_max_v is None else input_max_v, "V"),
            ("device_amplitude_v", volts, self.amplitude_max_uv_pp / (PEAKS * UV_PER_V), "V"),
        )
        breaches = [
            Breach(
                limit=limit,
                value=float(value),
                allowed=allowed,
                unit=unit,
                source=f"stimulator {self.channel.stimulator}",
                where=f"channel {self.channel.channel} "
                f"({self.channel.positive}-{self.channel.negative})",
            )
            for limit, value, allowed, unit in limits
            if value > _exact(allowed)
        ]
        if breaches:
            raise SafetyRefusal(breaches)


def _exact(number: float) -> Fraction:
    """The decimal number that a float is written as."""
    return Fraction(repr(float(number)))
