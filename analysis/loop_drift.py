"""How far the stimulator's clock may turn the current away, and what EEG's artefact shows of it.

Nothing tells a loop the phase of the current but the times of its begin and of its changes, and
the frequency. A device whose clock is 20 ppm off turns 10 Hz by 4.3 degrees a minute. Under
conventional current EEG holds the current itself, larger than anything else: its phase from train
to train, against the one that is reckoned, is that turn. It is told, and corrects nothing by
itself.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.loop_terms import TURN, Carrier

__all__ = ["ArtefactDrift", "DeviceClock", "degrees_per_minute"]

Array = NDArray[np.float64]

STRETCH_S: Final = 5.0  # of full current that has one phase
STRETCH_LEAST_S: Final = 0.5
STRETCHES: Final = 6
COHERENT: Final = 0.9  # of the amplitude, at the current's own frequency: else it is no artefact


def degrees_per_minute(frequency_hz: float, ppm: float) -> float:
    """How far a clock that is off turns a sine in a minute."""
    return 360.0 * frequency_hz * 60.0 * 1e-6 * ppm


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceClock:
    """What is known of a stimulator's clock, against the clock of the session.

    Parameters
    ----------
    ppm : float
        By how much it is fast; as measured before, 0 where nobody has.
    bound_ppm : float
        By how much that may be wrong.
    """

    ppm: float = 0.0
    bound_ppm: float = 20.0

    def corrected(self, carrier: Carrier, cycles: float) -> Carrier:
        """Return the sine as it is, from one that is reckoned by nominal frequencies.

        Parameters
        ----------
        carrier : Carrier
            Reckoned.
        cycles : float
            From the begin of the sine to the carrier's instant.
        """
        share = 1e-6 * self.ppm
        return Carrier(
            carrier.at_s,
            carrier.phase_rad + TURN * cycles * share,
            carrier.frequency_hz * (1.0 + share),
        )

    def left_deg(self, frequency_hz: float, seconds: float) -> float:
        """How far the current may be turned away after some time."""
        return degrees_per_minute(frequency_hz, self.bound_ppm) * seconds / 60.0


class ArtefactDrift:
    """The phase of the artefact against that of the current as it is reckoned, over a session."""

    def __init__(self) -> None:
        self._of: Carrier | None = None
        self._times: list[Array] = []
        self._signal: list[Array] = []
        self._seconds = 0.0
        self.found: list[tuple[float, float, float]] = []  # time, turn, frequency
        self.n_other = 0

    def add(self, signal_uv: Array, times_s: Array, carrier: Carrier) -> None:
        """Take EEG under full current, shape (n_samples,), and the current as it is reckoned."""
        if carrier != self._of or self._seconds >= STRETCH_S:
            self.end()
        self._of = carrier
        self._times.append(times_s)
        self._signal.append(signal_uv)
        self._seconds = float(times_s[-1] - self._times[0][0])

    def end(self) -> None:
        """End a stretch, and keep its phase."""
        carrier, seconds = self._of, self._seconds
        if carrier is None:
            return
        times_s, signal = np.concatenate(self._times), np.concatenate(self._signal)
        self._of, self._times, self._signal, self._seconds = None, [], [], 0.0
        if seconds < STRETCH_LEAST_S or not bool(np.isfinite(signal).all()):
            return
        window = np.hanning(times_s.size)
        signal = signal - float(window @ signal) / float(window.sum())
        phases = carrier.phase_rad + TURN * carrier.frequency_hz * (times_s - carrier.at_s)
        locked = complex((window * signal) @ np.exp(-1j * phases)) / float(window.sum())
        power = float(window @ signal**2) / float(window.sum())
        if not (power > 0.0 and abs(locked) >= COHERENT * math.sqrt(0.5 * power)):
            self.n_other += 1
            return
        middle_s = float(0.5 * (times_s[0] + times_s[-1]))
        self.found.append((middle_s, cmath.phase(locked), carrier.frequency_hz))

    def to_dict(self) -> dict[str, Any]:
        """Return what was measured, plain JSON types.

        Notes
        -----
        A line through the turns over time; what depends on the frequency alone (delays of the
        amplifier) is taken off with it. Turns are taken to be less than half a cycle from one
        stretch to the next.
        """
        n = len(self.found)
        out: dict[str, Any] = {"measured_ppm": None, "measured_sd_ppm": None, "stretches": n}
        if n < STRETCHES:
            return out
        times_s, turns, hz = np.array(self.found).T
        columns = [np.ones(n), times_s - times_s.mean()]
        if hz.std() > 1e-3:
            columns.append(hz - hz.mean())
        design = np.stack(columns, axis=1)
        turns = np.unwrap(turns)
        found, _, rank, _ = np.linalg.lstsq(design, turns, rcond=None)
        if rank < design.shape[1] or n <= rank:
            return out
        left = turns - design @ found
        spread = float(left @ left) / (n - int(rank))
        sd = math.sqrt(spread * float(np.linalg.inv(design.T @ design)[1, 1]))
        scale = 1e6 / (TURN * float(hz.mean()))
        return {
            **out,
            "measured_ppm": round(float(found[1]) * scale, 3),
            "measured_sd_ppm": round(sd * scale, 3),
        }
