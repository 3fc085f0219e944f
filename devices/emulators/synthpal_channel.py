"""One output of the emulated Synth Pal: its settings, its envelope, and its voltage at any instant.

The envelope moves in straight lines between changes, so the output is kept as a list of segments
and rendered only when somebody looks, many samples at once. As in the device a value is held for
one of the ``samples_per_cycle`` samples of a cycle, and is a whole number of steps of the
converter.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tacs.waveform import PhaseTrack

__all__ = [
    "FIXED",
    "RANGES",
    "SINE",
    "SQUARE",
    "TRIANGLE",
    "Channel",
    "ChannelSettings",
    "Segment",
]

SINE, TRIANGLE, SQUARE, SAWTOOTH, FIXED = range(5)
RANGES = ((0.0, 5.0), (0.0, 10.0), (-5.0, 5.0), (-10.0, 10.0))  # volts, finest that holds first
CODES = 65_536
LEVEL_MAX_UV = 10_000_000
SWING_MAX_UV = 20_000_000
DURATION_MAX_US = 3_600_000_000
_CHUNK = 1_000_000


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """What one output holds; the defaults are those after power-on: 5 V peak-to-peak for 1 s."""

    waveform: int = SINE
    amplitude_uv: int = 5_000_000
    mean_uv: int = 0
    resting_uv: int = 0
    play_us: int = 1_000_000
    on_ramp_us: int = 0
    off_ramp_us: int = 0
    links: tuple[int, int] = (1, 0)

    @property
    def valid(self) -> bool:
        """Whether the device takes it; the waveform must stay within ±10 V."""
        if self.waveform == FIXED:
            swing_fits = abs(self.amplitude_uv) <= LEVEL_MAX_UV
        else:
            swing_fits = (
                0 <= self.waveform < FIXED
                and 0 <= self.amplitude_uv
                and 2 * abs(self.mean_uv) + self.amplitude_uv <= SWING_MAX_UV
            )
        return (
            swing_fits
            and max(abs(self.mean_uv), abs(self.resting_uv)) <= LEVEL_MAX_UV
            and max(self.play_us, self.on_ramp_us, self.off_ramp_us) <= DURATION_MAX_US
            and all(link in (0, 1) for link in self.links)
        )

    @property
    def output_range(self) -> int:
        """Index of the first output range that holds the waveform and the resting voltage."""
        half_uv = 0 if self.waveform == FIXED else self.amplitude_uv / 2
        centre_uv = self.amplitude_uv if self.waveform == FIXED else self.mean_uv
        low_v = min(centre_uv - half_uv, self.resting_uv) / 1e6
        high_v = max(centre_uv + half_uv, self.resting_uv) / 1e6
        return next(i for i, (low, high) in enumerate(RANGES) if low <= low_v and high_v <= high)


class Stage(Enum):
    """Where an output is in its playing."""

    IDLE = "idle"
    RISING = "rising"
    HOLDING = "holding"
    FALLING = "falling"


class Segment(NamedTuple):
    """The output from ``start_s`` until the next segment."""

    start_s: float
    level: float
    level_per_s: float
    samples_per_cycle: int
    track: PhaseTrack | None
    settings: ChannelSettings


class Channel:
    """One output, told the time by its device.

    Parameters
    ----------
    frequency_hz : float
        Of the device.
    samples_per_cycle : int
        At that frequency.
    now_s : float
        Clock time.
    """

    def __init__(self, frequency_hz: float, samples_per_cycle: int, now_s: float) -> None:
        self.settings = ChannelSettings()
        self.stage = Stage.IDLE
        self.stuck = False
        self.pending: ChannelSettings | None = None
        self._frequency_hz = frequency_hz
        self._samples_per_cycle = samples_per_cycle
        self._track: PhaseTrack | None = None
        self._since_s = now_s
        self._due_s = math.inf
        self._level = 0.0
        self._level_per_s = 0.0
        self._hold_start_s = math.inf
        self._start_s = self._end_s = now_s
        self._log: list[Segment] = []
        self._course = object()
        self._note(now_s)

    @property
    def playing(self) -> bool:
        """Whether it plays; the off-ramp counts."""
        return self.stage is not Stage.IDLE

    def level(self, now_s: float) -> float:
        """Return the envelope, 0 to 1."""
        return min(max(self._level + self._level_per_s * (now_s - self._since_s), 0.0), 1.0)

    @property
    def next_change_s(self) -> float:
        """When the envelope next turns by itself; infinite where it does not."""
        return math.inf if self.stuck else self._due_s

    def _turn_s(self) -> float:
        """Work out when the envelope next turns by itself."""
        if self.stage is Stage.IDLE:
            return math.inf
        if self.stage is Stage.RISING:
            return self._since_s + (1.0 - self._level) / self._level_per_s
        if self.stage is Stage.FALLING:
            return self._since_s - self._level / self._level_per_s
        if self.settings.play_us == 0:
            return math.inf
        return max(self._since_s, self._hold_start_s + self._seconds(self.settings.play_us))

    def advance(self, now_s: float) -> None:
        """Go through every turn that is due."""
        while (due_s := self.next_change_s) <= now_s:
            if self.stage is Stage.RISING:
                self._hold(due_s)
            elif self.stage is Stage.HOLDING:
                self._fall(due_s)
            else:
                self._rest(due_s)

    def start(self, now_s: float) -> None:
        """Start when idle or falling; a playing output takes no notice."""
        if self.stuck or self.stage in {Stage.RISING, Stage.HOLDING}:
            return
        if self.stage is Stage.IDLE:
            self._track = PhaseTrack(self._frequency_hz, now_s)
            self._start_s = now_s
        self._rise(now_s)

    def stop(self, now_s: float) -> None:
        """Fall to rest over the off-ramp, from the level reached."""
        if not self.stuck and self.stage in {Stage.RISING, Stage.HOLDING}:
            self._fall(now_s)

    def cut(self, now_s: float) -> None:
        """Be at rest at once, as when the power goes."""
        if not self.stuck:
            self._rest(now_s)

    def apply(self, settings: ChannelSettings, now_s: float) -> None:
        """Take new settings, with effect on the next sample also while playing."""
        old, self.settings = self.settings, settings
        if self.stuck:
            return
        if self.stage is Stage.RISING and settings.on_ramp_us != old.on_ramp_us:
            self._rise(now_s)
        elif self.stage is Stage.FALLING and settings.off_ramp_us != old.off_ramp_us:
            self._fall(now_s)
        elif self.stage is Stage.HOLDING:
            self._move(now_s, 1.0, 0.0)
        elif _shape(settings) != _shape(old):
            self._move(now_s, self.level(now_s), self._level_per_s)

    def defer(self, settings: ChannelSettings, now_s: float) -> None:
        """Take new settings at once when at rest, otherwise on coming to rest."""
        if self.playing:
            self.pending = settings
        else:
            self.apply(settings, now_s)

    def retune(self, frequency_hz: float, samples_per_cycle: int, now_s: float) -> None:
        """Change the frequency, keeping the place in the cycle, the level and the time left."""
        if self.stuck:
            return
        self._frequency_hz, self._samples_per_cycle = frequency_hz, samples_per_cycle
        if self._track is not None:
            self._track.retune(now_s, frequency_hz)
            self._course = object()
        self._note(now_s, self.level(now_s))
        self._due_s = self._turn_s()

    def volts(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the voltage at many instants, in ascending order."""
        codes, low_v, step_v = self._codes(times_s)
        return low_v + codes * step_v

    def between(self, start_s: float, end_s: float) -> list[Segment]:
        """Return the segments that hold from one instant to another."""
        return self._log[self._index(start_s) : self._index(end_s) + 1]

    @property
    def course(self) -> object:
        """What the output goes on as; another object after every change."""
        return self._course

    def forget(self, before_s: float) -> None:
        """Drop what ended before an instant, but keep what played since the last start."""
        past = self._index(min(before_s, self._start_s))
        del self._log[:past]

    def checksum(self, now_s: float) -> tuple[int, int]:
        """Return the samples since the last start and the sum of their codes, modulo 2³²."""
        rate_hz = self._frequency_hz * self._samples_per_cycle
        end_s = now_s if self.playing else self._end_s
        n = math.ceil((end_s - self._start_s) * rate_hz - 1e-3) + (1 if self.playing else 0)
        total = 0
        for first in range(0, n, _CHUNK):
            instants = np.arange(first, min(first + _CHUNK, n)) / rate_hz
            codes, _, _ = self._codes(self._start_s + instants + 0.01 / rate_hz)
            total += int(codes.sum())
        return n, total % 2**32

    def _seconds(self, duration_us: int) -> float:
        """A duration as the device counts it: whole samples, at least one unless it is 0."""
        rate_hz = self._frequency_hz * self._samples_per_cycle
        return max(round(duration_us * rate_hz / 1e6), 1) / rate_hz if duration_us else 0.0

    def _rise(self, now_s: float) -> None:
        if ramp_s := self._seconds(self.settings.on_ramp_us):
            self.stage = Stage.RISING
            self._move(now_s, self.level(now_s), 1.0 / ramp_s)
        else:
            self._hold(now_s)

    def _hold(self, now_s: float) -> None:
        self.stage = Stage.HOLDING
        self._hold_start_s = now_s
        self._move(now_s, 1.0, 0.0)

    def _fall(self, now_s: float) -> None:
        ramp_s, level = self._seconds(self.settings.off_ramp_us), self.level(now_s)
        if ramp_s and level > 0.0:
            self.stage = Stage.FALLING
            self._move(now_s, level, -1.0 / ramp_s)
        else:
            self._rest(now_s)

    def _rest(self, now_s: float) -> None:
        if self.playing:
            self._end_s = now_s
        self.stage, self._track = Stage.IDLE, None
        if self.pending is not None:
            self.settings, self.pending = self.pending, None
        self._move(now_s, 0.0, 0.0)

    def _move(self, now_s: float, level: float, level_per_s: float) -> None:
        """Begin a straight piece of the envelope."""
        self._since_s, self._level, self._level_per_s = now_s, level, level_per_s
        self._due_s = self._turn_s()
        self._note(now_s, level)

    def _note(self, now_s: float, level: float = 0.0) -> None:
        """Add a segment, unless it goes on as the last one did."""
        segment = Segment(
            now_s, level, self._level_per_s, self._samples_per_cycle, self._track, self.settings
        )
        if self._log:
            last = self._log[-1]
            if segment.level_per_s == 0.0 and _look(segment) == _look(last):
                return
            if last.start_s == now_s:
                self._log.pop()
        self._log.append(segment)
        self._course = object()

    def _index(self, time_s: float) -> int:
        """Segment that holds an instant."""
        return max(bisect.bisect_right(self._log, time_s, key=lambda s: s.start_s) - 1, 0)

    def _codes(
        self, times_s: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Converter codes, lowest voltage and step of the range at many instants."""
        first, last = self._index(float(times_s[0])), self._index(float(times_s[-1]))
        log = self._log[first : last + 1]
        at = np.searchsorted([s.start_s for s in log], times_s, side="right") - 1
        at = np.clip(at, 0, None)

        def of(values: list[float]) -> NDArray[np.float64]:
            return np.array(values, dtype=np.float64)[at]

        settings = [s.settings for s in log]
        envelope = of([s.level for s in log]) + of([s.level_per_s for s in log]) * (
            times_s - of([s.start_s for s in log])
        )
        envelope = np.clip(envelope, 0.0, 1.0)
        ranges = [RANGES[s.output_range] for s in settings]
        low_v = of([low for low, _ in ranges])
        step_v = of([(high - low) / CODES for low, high in ranges])
        fixed = [s.waveform == FIXED for s in settings]
        resting_v = of([s.resting_uv * 1e-6 for s in settings])
        centre_v = of(
            [
                (s.amplitude_uv if is_fixed else s.mean_uv) * 1e-6
                for s, is_fixed in zip(settings, fixed, strict=True)
            ]
        )
        half_v = of(
            [
                0.0 if is_fixed else s.amplitude_uv * 0.5e-6
                for s, is_fixed in zip(settings, fixed, strict=True)
            ]
        )
        middle = np.rint((resting_v + envelope * (centre_v - resting_v) - low_v) / step_v)
        offset = envelope * half_v * self._unit(log, at, times_s) / step_v
        codes = middle + np.copysign(np.floor(np.abs(offset) + 0.5), offset)
        # The top of a range is one step above the converter's highest code.
        return np.clip(codes, 0, CODES - 1), low_v, step_v

    @staticmethod
    def _unit(
        log: list[Segment], at: NDArray[np.intp], times_s: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The waveform between -1 and 1, held over each sample of the cycle."""
        unit = np.zeros(len(times_s))
        kinds = {
            (id(s.track), s.settings.waveform, s.samples_per_cycle): s
            for s in log
            if s.track is not None and s.settings.waveform != FIXED
        }
        for kind, example in kinds.items():
            members = [(id(s.track), s.settings.waveform, s.samples_per_cycle) == kind for s in log]
            here = np.array(members)[at]
            if example.track is None or not here.any():
                continue
            n = example.samples_per_cycle
            # Cycles a hair before a sample for rounding alone belong to that sample.
            sample = np.floor(example.track.cycles_at(times_s[here]) * n + 1e-6) % n
            unit[here] = _wave(example.settings.waveform, sample, n)
        return unit


def _wave(waveform: int, sample: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """One of the periodic waveforms at sample ``0 … n - 1`` of its cycle."""
    cycle = sample / n
    if waveform == SINE:
        return np.asarray(np.sin(2.0 * np.pi * cycle))
    if waveform == TRIANGLE:
        return np.asarray(1.0 - 4.0 * np.abs((cycle + 0.25) % 1.0 - 0.5))
    if waveform == SQUARE:
        return np.where(cycle < 0.5, 1.0, -1.0)
    return 2.0 * sample / (n - 1) - 1.0


def _shape(settings: ChannelSettings) -> tuple[int, int, int, int]:
    """The part of the settings that the voltage depends on at once."""
    return settings.waveform, settings.amplitude_uv, settings.mean_uv, settings.resting_uv


def _look(segment: Segment) -> tuple[object, ...]:
    """Everything that a segment without slope shows."""
    return (
        segment.level,
        segment.level_per_s,
        segment.samples_per_cycle,
        id(segment.track),
        _shape(segment.settings),
    )
