"""The instantaneous current of every loop and electrode at any time, from first to last.

One synthesis for everything that shows or counts current: the emulator, the preview figure and
the dose figures. Formulas for peaks and doses use :mod:`math` alone; only :meth:`Waveform.sample`,
which draws many instants at once, imports NumPy.

Conventions: current is zero-to-peak milliampere; a sine starts at zero, rising, and so does the
envelope of a modulated carrier, ``½(1 - cos 2πft)·sin 2πf_c t``; ramps are piecewise linear; the
phase runs on through ramps, pauses of the envelope and frequency changes.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tacs.protocol import Loop, Protocol
    from tacs.trains import Trains, TrainStep

__all__ = ["PhaseTrack", "Segment", "Waveform", "envelope_segments", "train_segments"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A straight piece of the envelope.

    Parameters
    ----------
    kind : str
        ``"ramp_up"``, ``"hold"``, ``"ramp_down"`` or ``"silent"``; of trains also
        ``"train_rise"``, ``"train_on"`` and ``"train_fall"``.
    start_s, end_s : float
        From the start of the session, in seconds.
    start_level, end_level : float
        Fraction of the full current, 0 to 1.
    """

    kind: str
    start_s: float
    end_s: float
    start_level: float
    end_level: float

    def level(self, time_s: float) -> float:
        """Return the level at an instant inside the piece."""
        span_s = self.end_s - self.start_s
        if span_s <= 0.0:
            return self.end_level
        share = (time_s - self.start_s) / span_s
        return self.start_level + (self.end_level - self.start_level) * share


def envelope_segments(
    waveform: str,
    duration_s: float,
    ramp_up_s: float,
    ramp_down_s: float,
    sham_plateau_s: float | None = None,
) -> tuple[Segment, ...]:
    """Lay out a session's envelope.

    Parameters
    ----------
    waveform : str
        ``"tacs"``, ``"am_tacs"``, ``"active_sham"`` (up, short plateau, down, silent) or
        ``"passive_sham"``.
    duration_s, ramp_up_s, ramp_down_s : float
        As in :class:`tacs.protocol.Protocol`; the duration includes the ramps.
    sham_plateau_s : float, optional
        Plateau of an active sham.

    Returns
    -------
    tuple of Segment
        Gap-free from 0 to ``duration_s``.
    """
    if waveform == "passive_sham":
        return (Segment("silent", 0.0, duration_s, 0.0, 0.0),)
    if waveform == "active_sham":
        hold_end_s = ramp_up_s + (sham_plateau_s or 0.0)
    else:
        hold_end_s = duration_s - ramp_down_s
    down_end_s = hold_end_s + ramp_down_s
    pieces = [
        Segment("ramp_up", 0.0, ramp_up_s, 0.0, 1.0),
        Segment("hold", ramp_up_s, hold_end_s, 1.0, 1.0),
        Segment("ramp_down", hold_end_s, down_end_s, 1.0, 0.0),
    ]
    if duration_s > down_end_s:
        pieces.append(Segment("silent", down_end_s, duration_s, 0.0, 0.0))
    return tuple(piece for piece in pieces if piece.end_s > piece.start_s)


def train_segments(
    trains: Trains, course: tuple[TrainStep | None, ...], duration_s: float, ramp_up_s: float
) -> tuple[Segment, ...]:
    """Lay out the envelope of a session with trains, as if each came when it is due.

    Parameters
    ----------
    trains : Trains
        Their times.
    course : tuple of TrainStep or None
        Of each train.
    duration_s, ramp_up_s : float
        Of the session.

    Returns
    -------
    tuple of Segment
        Gap-free from 0 to ``duration_s``: run-in, then gap and train in turn.
    """
    settled_s = ramp_up_s + trains.settle_s
    at_s = settled_s + trains.edge_s
    pieces = [
        Segment("ramp_up", 0.0, ramp_up_s, 0.0, 1.0),
        Segment("hold", ramp_up_s, settled_s, 1.0, 1.0),
        Segment("train_fall", settled_s, at_s, 1.0, 0.0),
    ]
    for number, step in enumerate(course):
        level = 1.0 if step is None else step.level
        # From the beginning, so that the rounding of many periods does not add up.
        from_s = at_s + number * trains.period_s + trains.off_s
        top_s, fall_s, end_s = (
            from_s + trains.edge_s, from_s + trains.on_s - trains.edge_s, from_s + trains.on_s,
        )  # fmt: skip
        pieces += [
            Segment("silent", pieces[-1].end_s, from_s, 0.0, 0.0),
            Segment("train_rise", from_s, top_s, 0.0, level),
            Segment("train_on", top_s, fall_s, level, level),
            Segment("train_fall", fall_s, end_s, level, 0.0),
        ]
    if duration_s > pieces[-1].end_s:
        pieces.append(Segment("silent", pieces[-1].end_s, duration_s, 0.0, 0.0))
    return tuple(piece for piece in pieces if piece.end_s > piece.start_s)


class PhaseTrack:
    """Phase of an oscillator whose frequency changes keep its place in the cycle.

    Parameters
    ----------
    frequency_hz : float
        First frequency.
    start_s : float
        When the phase is zero.
    """

    def __init__(self, frequency_hz: float, start_s: float = 0.0) -> None:
        self._times_s = [start_s]
        self._cycles = [0.0]
        self._frequencies_hz = [frequency_hz]

    def retune(self, time_s: float, frequency_hz: float) -> None:
        """Change the frequency from ``time_s`` on; the phase at that instant is kept."""
        cycles = self.cycles(time_s)
        while len(self._times_s) > 1 and self._times_s[-1] >= time_s:
            self._times_s.pop()
            self._cycles.pop()
            self._frequencies_hz.pop()
        self._times_s.append(time_s)
        self._cycles.append(cycles)
        self._frequencies_hz.append(frequency_hz)

    def frequency_hz(self, time_s: float) -> float:
        """Return the frequency at an instant."""
        return self._frequencies_hz[self._index(time_s)]

    def cycles(self, time_s: float) -> float:
        """Return the number of cycles since the start, a real number."""
        i = self._index(time_s)
        return self._cycles[i] + self._frequencies_hz[i] * (time_s - self._times_s[i])

    def cycles_at(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the cycles at many instants, shape as ``times_s``."""
        import numpy as np

        starts = np.asarray(self._times_s)
        i = np.clip(np.searchsorted(starts, times_s, side="right") - 1, 0, None)
        cycles: NDArray[np.float64] = np.asarray(self._cycles)[i] + np.asarray(
            self._frequencies_hz
        )[i] * (times_s - starts[i])
        return cycles

    def _index(self, time_s: float) -> int:
        return max(bisect.bisect_right(self._times_s, time_s) - 1, 0)


class Waveform:
    """The current that a protocol prescribes.

    Parameters
    ----------
    protocol : Protocol
        The prescription.
    """

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.phase = PhaseTrack(protocol.frequency_hz)
        if protocol.trains is not None and not protocol.is_sham:
            course = protocol.trains.course(protocol.n_trains)
            self.segments = train_segments(
                protocol.trains, course, protocol.duration_s, protocol.ramp_up_s
            )
            rises = [i for i, s in enumerate(self.segments) if s.kind == "train_rise"]
            for i, step in zip(rises, course, strict=True):
                if step is not None:  # retuned where the gap before it begins
                    self.phase.retune(self.segments[i - 1].start_s, step.frequency_hz)
        else:
            self.segments = envelope_segments(
                protocol.waveform,
                protocol.duration_s,
                protocol.ramp_up_s,
                protocol.ramp_down_s,
                protocol.sham_plateau_s,
            )
        self.carrier = None if protocol.carrier_hz is None else PhaseTrack(protocol.carrier_hz)

    @property
    def rectified(self) -> float:
        """Mean size of the full waveform: 2/π of its peak for a sine, half of that modulated."""
        return (2.0 if self.carrier is None else 1.0) / math.pi

    @property
    def knots(self) -> tuple[tuple[float, float], ...]:
        """Corners of the envelope: seconds from the start, and level."""
        first = self.segments[0]
        return (
            (first.start_s, first.start_level),
            *((segment.end_s, segment.end_level) for segment in self.segments),
        )

    @property
    def duration_s(self) -> float:
        """Length of the session in seconds."""
        return self.protocol.duration_s

    @property
    def current_on_s(self) -> float:
        """Time during which current flows, ramps included, in seconds."""
        return sum(s.end_s - s.start_s for s in self.segments if s.kind != "silent")

    @property
    def electrodes(self) -> tuple[str, ...]:
        """Names of the electrodes, in the protocol's order."""
        return tuple(electrode.name for electrode in self.protocol.montage.electrodes)

    def envelope(self, time_s: float) -> float:
        """Return the fraction of the full current at an instant; zero outside the session."""
        for segment in self.segments:
            if segment.start_s <= time_s < segment.end_s:
                return segment.level(time_s)
        return 0.0

    def loop_current_ma(self, loop: Loop, time_s: float) -> float:
        """Return the instantaneous current of a loop in mA.

        Of a modulated carrier, the loop's phase is that of the envelope: the carriers of all loops
        run in phase.
        """
        angle = 2.0 * math.pi * self.phase.cycles(time_s) + math.radians(loop.phase_deg)
        unit = math.sin(angle)
        if self.carrier is not None:
            unit = (
                0.5
                * (1.0 - math.cos(angle))
                * math.sin(2.0 * math.pi * self.carrier.cycles(time_s))
            )
        return self.envelope(time_s) * loop.current_peak_ma * unit

    def electrode_currents_ma(self, time_s: float) -> dict[str, float]:
        """Return the instantaneous current out of every electrode in mA; they sum to zero."""
        currents = dict.fromkeys(self.electrodes, 0.0)
        for loop in self.protocol.montage.loops:
            current_ma = self.loop_current_ma(loop, time_s)
            currents[loop.source] += current_ma
            currents[loop.sink] -= current_ma
        return currents

    def peak_ma(self, electrode: str) -> float:
        """Return the peak of the sine that an electrode carries with its loops in phase, in mA.

        Loops of one frequency add as phasors; a sink counts with the opposite sign. The worst case
        that limits are checked against is :meth:`tacs.protocol.Montage.current_peak_ma`. The
        peak of modulated loops at one electrode is the largest size of their summed envelopes.
        """
        if self.protocol.waveform == "passive_sham":
            return 0.0
        if self.carrier is not None:
            return self._modulated_peak_ma(electrode)
        re = im = 0.0
        for loop in self.protocol.montage.loops_at(electrode):
            sign = 1.0 if loop.source == electrode else -1.0
            angle = math.radians(loop.phase_deg)
            re += sign * loop.current_peak_ma * math.cos(angle)
            im += sign * loop.current_peak_ma * math.sin(angle)
        return math.hypot(re, im)

    def _modulated_peak_ma(self, electrode: str) -> float:
        """Largest size of ``Σ ±I/2·(1 - cos(x + φ))``: a constant and one cosine."""
        constant = re = im = 0.0
        for loop in self.protocol.montage.loops_at(electrode):
            half = 0.5 * loop.current_peak_ma * (1.0 if loop.source == electrode else -1.0)
            constant += half
            re += half * math.cos(math.radians(loop.phase_deg))
            im += half * math.sin(math.radians(loop.phase_deg))
        return abs(constant) + math.hypot(re, im)

    @property
    def full_current_equivalent_s(self) -> float:
        """Area under the envelope: seconds of full current that give the same charge."""
        return sum(
            0.5 * (s.start_level + s.end_level) * (s.end_s - s.start_s) for s in self.segments
        )

    def rectified_charge_c(self, electrode: str) -> float:
        """Worst-case rectified charge through an electrode in coulomb.

        ``(2/π)·I·T`` for a sine, ``(1/π)·I·T`` for a carrier modulated to the full depth: the
        envelope's mean is a half, and the harmonics of a rectified carrier, at even multiples of
        its frequency, are never at the envelope's.
        """
        peak_a = self.protocol.montage.current_peak_ma(electrode) * 1e-3
        return self.rectified * peak_a * self.full_current_equivalent_s

    def sample(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the current of every electrode at many instants.

        Parameters
        ----------
        times_s : ndarray, shape (n_times,)
            Seconds from the start of the session.

        Returns
        -------
        ndarray, shape (n_electrodes, n_times)
            Milliampere, positive out of the electrode; each column sums to zero.
        """
        import numpy as np

        knots_s, levels = zip(*self.knots, strict=True)
        envelope = np.interp(times_s, knots_s, levels, left=0.0, right=0.0)
        angle: Any = 2.0 * np.pi * self.phase.cycles_at(times_s)
        carrier: Any = None
        if self.carrier is not None:
            carrier = np.sin(2.0 * np.pi * self.carrier.cycles_at(times_s))
        currents = np.zeros((len(self.electrodes), len(times_s)))
        for loop in self.protocol.montage.loops:
            turned = angle + np.radians(loop.phase_deg)
            unit = np.sin(turned) if carrier is None else 0.5 * (1.0 - np.cos(turned)) * carrier
            current = envelope * loop.current_peak_ma * unit
            currents[self.electrodes.index(loop.source)] += current
            currents[self.electrodes.index(loop.sink)] -= current
        return currents
