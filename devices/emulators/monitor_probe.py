"""What an emulated current monitor senses: electrode currents and contact impedances.

It looks at the same head as the oscilloscope, but in its own way: it takes the waveform that a
generator is set to as a continuous function, without the converter's steps and held samples, at its
own instants between those of the oscilloscope, and reads on at its own pace.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from devices.emulators.electrodes import Electrodes
from devices.emulators.synthpal_channel import FIXED, SINE, SQUARE, TRIANGLE, Channel, Segment

__all__ = ["FRAME_S", "RANGE_NA", "ChannelSource", "Probe", "Reading", "Source"]

FRAME_S = 0.01
SAMPLES_PER_FRAME = 50  # 5 kHz: the crest of a 100 Hz sine is met within 0.2 %
RANGE_NA = 25_000_000
FRAMES_AHEAD_MAX = 100
_NA_PER_MA = 1e6
_OFFSETS_S = (np.arange(SAMPLES_PER_FRAME) + 0.5) * (FRAME_S / SAMPLES_PER_FRAME)


class Reading(NamedTuple):
    """What one frame came to.

    Parameters
    ----------
    values_na : bytes
        For each input mean, largest magnitude and root mean square, nA, 32 bits little-endian.
    beyond : bool
        Whether a current was beyond the range and was cut off there.
    """

    values_na: bytes
    beyond: bool


class Source(Protocol):
    """One output of a generator, as a probe meets it."""

    @property
    def course(self) -> object:
        """What it goes on as; another object after every change."""

    def sense(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return volts, or milliampere of a current source, at many instants in order."""


class ChannelSource:
    """An output of the Synth Pal as a continuous function.

    Parameters
    ----------
    channel : Channel
        The output.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    @property
    def course(self) -> object:
        """What the output goes on as; another object after every change."""
        return self._channel.course

    def sense(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return its voltage at many instants, in ascending order."""
        return _volts(self._channel, times_s)


class Probe:
    """The sensing end of a monitor.

    It works ahead while nothing changes, because most of a session is one steady sine; what was
    worked out is thrown away as soon as anything that it rests on has changed.

    Parameters
    ----------
    sources : sequence of Source
        Outputs of the generator.
    electrodes : Electrodes
        Stimulators and contacts.
    inputs : sequence of str or None
        Electrode at each input, from the first on.
    """

    def __init__(
        self, sources: Sequence[Source], electrodes: Electrodes, inputs: Sequence[str | None]
    ) -> None:
        self._sources = sources
        self._electrodes = electrodes
        self._inputs = tuple(inputs)
        names = electrodes.contacts
        self._rows = [
            (index, names.index(name)) for index, name in enumerate(inputs) if name in names
        ]
        self.begin(0.0)

    def begin(self, start_s: float) -> None:
        """Let the first frame begin at a clock time."""
        self._start_s = start_s
        self._n_taken = 0
        self._n_ahead = 1
        self._ahead: list[Reading] = []
        self._basis = self._present(1.0)

    def end_s(self, n: int) -> float:
        """Return when the ``n``-th frame from the start ends, or the first begins."""
        return self._start_s + n * FRAME_S

    def take(self, n: int, gain: float) -> list[Reading]:
        """Measure the next frames; everything up to the end of the last has happened.

        Parameters
        ----------
        n : int
            Frames.
        gain : float
            Of the instrument; 1 where it is right.

        Returns
        -------
        list of Reading
            One for each frame.
        """
        basis = self._present(gain)
        if any(now is not then for now, then in zip(basis, self._basis, strict=True)):
            self._basis, self._ahead, self._n_ahead = basis, [], 1
        if len(self._ahead) < n:
            count = max(n, self._n_ahead)
            self._n_ahead = min(2 * count, FRAMES_AHEAD_MAX)
            self._ahead = self._measure(self._n_taken, count, gain)
        found, self._ahead = self._ahead[:n], self._ahead[n:]
        self._n_taken += n
        return found

    def impedances_ohm(self, time_s: float) -> list[float]:
        """Return the impedance at each input, Ω; infinite where it is open or not wired."""
        return [
            math.inf if name is None else 1e3 * self._electrodes.impedance_kohm(name, time_s)
            for name in self._inputs
        ]

    def _present(self, gain: float) -> tuple[object, ...]:
        """Objects that are others as soon as the currents to come are."""
        return (gain, self._electrodes.state, *(source.course for source in self._sources))

    def _measure(self, first: int, n: int, gain: float) -> list[Reading]:
        times_s = (self.end_s(first) + FRAME_S * np.arange(n))[:, None] + _OFFSETS_S
        times_s = times_s.ravel()
        outputs = self._electrodes.generator_outputs
        volts = {k: self._sources[k - 1].sense(times_s) for k in outputs}
        sensed = gain * _NA_PER_MA * self._electrodes.currents_ma(times_s, volts)
        sensed = np.clip(sensed, -RANGE_NA, RANGE_NA).reshape(-1, n, SAMPLES_PER_FRAME)
        measures = np.stack(
            [
                sensed.sum(axis=2) / SAMPLES_PER_FRAME,
                np.abs(sensed).max(axis=2),
                np.sqrt(np.einsum("ijk,ijk->ij", sensed, sensed) / SAMPLES_PER_FRAME),
            ],
            axis=2,
        )
        frames = np.zeros((n, len(self._inputs), 3), "<i4")
        for index, row in self._rows:
            frames[:, index] = np.rint(measures[row])
        beyond = np.any(frames[..., 1] >= RANGE_NA, axis=1)
        return [
            Reading(frame.tobytes(), cut_off) for frame, cut_off in zip(frames, beyond, strict=True)
        ]


def _volts(channel: Channel, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Voltage of one output at many instants, in ascending order."""
    segments = channel.between(float(times_s[0]), float(times_s[-1]))
    if len(segments) == 1:
        return _segment_volts(segments[0], times_s)
    starts = np.searchsorted(times_s, [segment.start_s for segment in segments[1:]])
    edges = [0, *starts.tolist(), len(times_s)]
    return np.concatenate(
        [
            _segment_volts(segment, times_s[start:end])
            for segment, start, end in zip(segments, edges[:-1], edges[1:], strict=True)
        ]
    )


def _segment_volts(segment: Segment, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Voltage while one segment holds."""
    settings = segment.settings
    fixed = settings.waveform == FIXED
    centre_v = 1e-6 * (settings.amplitude_uv if fixed else settings.mean_uv)
    half_v = 0.0 if fixed else 0.5e-6 * settings.amplitude_uv
    rest_v = 1e-6 * settings.resting_uv
    level: float | NDArray[np.float64] = segment.level
    if segment.level_per_s:
        level = segment.level + segment.level_per_s * (times_s - segment.start_s)
        level = np.minimum(np.maximum(level, 0.0), 1.0)
    volts: NDArray[np.float64] = np.full(len(times_s), rest_v)
    if not (segment.level or segment.level_per_s):
        return volts
    if centre_v != rest_v:
        volts += level * (centre_v - rest_v)
    if half_v and segment.track is not None:
        volts += level * half_v * _wave(settings.waveform, segment.track.cycles_at(times_s))
    return volts


def _wave(waveform: int, cycles: NDArray[np.float64]) -> NDArray[np.float64]:
    """One of the periodic waveforms, as a continuous function of the place in the cycle."""
    if waveform == SINE:
        return np.asarray(np.sin(2.0 * np.pi * cycles))
    place = cycles % 1.0
    if waveform == TRIANGLE:
        return np.asarray(1.0 - 4.0 * np.abs((place + 0.25) % 1.0 - 0.5))
    if waveform == SQUARE:
        return np.where(place < 0.5, 1.0, -1.0)
    return 2.0 * place - 1.0
