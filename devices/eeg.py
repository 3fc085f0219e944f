"""EEG as it comes: one contract for every live source, and the only place where units are turned.

A source is opened, read until it is closed, and gives blocks of microvolts with the time of every
sample on the session's clock. Whoever reads may rely on this:

- A block has no gap in it. What is missing before it, it says; its index counts the missing ones.
- Times do not go back, except where a block says that it begins anew. They are those of the
  samples, not of their arrival, as far as the source can tell; what it cannot tell stands in its
  timing (:class:`Timing`).
- Reading never raises because nothing came: the block is empty, and the source is ``stale`` after a
  while. A source that is gone for good raises LinkLost.

Adapters: :mod:`devices.eeg_lsl`, :mod:`devices.eeg_brainflow`, :mod:`devices.eeg_nic2`,
:mod:`devices.eeg_replay`, :mod:`devices.eeg_patient`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from devices.eeg_clock import Gap, Run, SampleClock
from tacs.clock import Clock
from tacs.errors import InputError

__all__ = [
    "Block",
    "EEGInfo",
    "EEGSource",
    "Pulled",
    "Timing",
    "channel_rows",
    "microvolts_per",
]

Array = NDArray[np.float64]

STALE_S: Final = 0.5
OFFSET_DRIFT_S: Final = 60.0
OFFSET_JUMP_S: Final = 0.05  # an offset that changes by more has jumped
OFFSET_SLEW: Final = 0.05  # of the time that has passed: the most that it is followed by
AGE_KEEPS: Final = 0.98  # of the mean delay, at every read that brought something
_UNITS: Final = {
    **dict.fromkeys(("v", "volt", "volts", "0"), 1e6),
    **dict.fromkeys(("mv", "millivolt", "millivolts", "-3"), 1e3),
    **dict.fromkeys(("uv", "microvolt", "microvolts", "-6"), 1.0),
    **dict.fromkeys(("nv", "nanovolt", "nanovolts", "-9"), 1e-3),
}


def microvolts_per(unit: str) -> float:
    """Return how many microvolts a unit is.

    Parameters
    ----------
    unit : str
        ``V``, ``mV``, ``µV`` or ``nV``, in words, or as MNE-LSL writes it: the power of ten of a
        volt.

    Raises
    ------
    InputError
        Another one; no unit is guessed.
    """
    plain = unit.strip().lower().replace("µ", "u").replace("μ", "u")
    if plain not in _UNITS:
        raise InputError(f"unit {unit!r} of EEG: write V, mV, µV or nV")
    return _UNITS[plain]


@dataclass(frozen=True, slots=True, kw_only=True)
class EEGInfo:
    """What a source gives.

    Parameters
    ----------
    source : str
        What it is, for a record: kind, name, host.
    channels : tuple of str
        EEG channels, in the order of the rows.
    sfreq_hz : float
        Nominal rate.
    uv_per_unit : tuple of float
        What the source's number 1 is, for each channel.
    left_out : tuple of str
        Channels of the source that are no EEG.
    """

    source: str
    channels: tuple[str, ...]
    sfreq_hz: float
    uv_per_unit: tuple[float, ...]
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.channels or len(set(self.channels)) != len(self.channels):
            raise InputError(f"{self.source}: no EEG channels, or two of one name")
        if not (math.isfinite(self.sfreq_hz) and self.sfreq_hz > 0.0):
            raise InputError(f"{self.source}: {self.sfreq_hz} samples per second are no rate")
        if len(self.uv_per_unit) != len(self.channels) or not all(
            math.isfinite(factor) and factor > 0.0 for factor in self.uv_per_unit
        ):
            raise InputError(f"{self.source}: what its numbers are worth is not known")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What an adapter got from its source.

    Parameters
    ----------
    samples : ndarray, shape (n_samples, n_channels)
        In the source's own units.
    stamps_s : ndarray, shape (n_samples,)
        When each was taken, by the clock of whoever stamps.
    offset_s : float
        Session's clock minus that clock, as far as is known now.
    lost : ndarray of int, shape (n_samples,), optional
        How many samples are missing before each, where the source numbers what it sends.
    """

    samples: NDArray[Any]
    stamps_s: Array
    offset_s: float = 0.0
    lost: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some samples, without a gap between them.

    Parameters
    ----------
    signal_uv : ndarray, shape (n_channels, n_samples)
        Microvolts. A channel that the source reports as not a number is that.
    times_s : ndarray, shape (n_samples,)
        When each was taken, on the session's clock.
    first : int
        Index of the first one since the source was opened, the missing ones counted.
    missing : int
        How many are missing directly before it.
    restarted : bool
        Whether the source's time jumped before it, so that what is missing cannot be told. Whoever
        carries a state from block to block begins anew.
    """

    signal_uv: Array
    times_s: Array
    first: int
    missing: int = 0
    restarted: bool = False

    def __len__(self) -> int:
        return len(self.times_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How the stream keeps time.

    Parameters
    ----------
    n_samples, n_missing, n_gaps, n_restarts : int
        Samples, missing ones, and how often; jumps of the source's time.
    gaps : tuple of Gap
        The latest thousand.
    measured_hz, drift_ppm : float
        The rate by the clock that stamps, and by how much it is above the nominal one; NaN in the
        first 20 s.
    jitter_s : float
        Standard deviation of the stamps about a steady rate; NaN in the first 2 s.
    smallest_gap_s : float
        What must be missing to be seen; infinite where nothing can be missing.
    clock_offset_s : float or None
        Session's clock minus the clock that stamps; None where that is the session's.
    clock_drift_ppm : float
        By how much the session's clock runs faster than the one that stamps; NaN in the first 60 s.
    offset_has_delay : bool
        Whether the shortest delay of the link is part of that offset, because the source has no
        means to tell the two apart.
    delay_s : float
        Mean time from a sample to when it was read; NaN before anything came.
    age_s : float
        Time since the newest sample was taken; infinite before the first.
    """

    n_samples: int
    n_missing: int
    n_gaps: int
    n_restarts: int
    gaps: tuple[Gap, ...]
    measured_hz: float
    drift_ppm: float
    jitter_s: float
    smallest_gap_s: float
    clock_offset_s: float | None
    clock_drift_ppm: float
    offset_has_delay: bool
    delay_s: float
    age_s: float


class _Offset:
    """Follows the offset between two clocks without a step that turns time back."""

    def __init__(self) -> None:
        self.known_s: float | None = None
        self._used_s = self._first_s = math.nan
        self._begun_s = self._at_s = math.nan

    @property
    def drift_ppm(self) -> float:
        """How fast it grows; NaN before it is known."""
        since_s = self._at_s - self._begun_s
        if self.known_s is None or not since_s >= OFFSET_DRIFT_S:
            return math.nan
        return 1e6 * (self.known_s - self._first_s) / since_s

    def follow(self, offset_s: float, stamp_s: float) -> tuple[float, bool]:
        """Take the offset at a stamp; return what is to be used, and whether it jumped."""
        jumped = self.known_s is not None and abs(offset_s - self._used_s) > OFFSET_JUMP_S
        if self.known_s is None or jumped:
            self._used_s = self._first_s = offset_s
            self._begun_s = stamp_s
        else:
            most_s = OFFSET_SLEW * max(stamp_s - self._at_s, 0.0)
            self._used_s += min(max(offset_s - self._used_s, -most_s), most_s)
        self.known_s, self._at_s = offset_s, stamp_s
        return self._used_s, jumped


class EEGSource(ABC):
    """A live source of EEG.

    Parameters
    ----------
    clock : Clock
        Of the session.
    stale_after_s : float
        Age of the newest sample from which on the source counts as stale.
    """

    lossless = False
    counts_losses = False  # by numbers of its own; what is missing then shows to the sample
    has_own_clock = False
    offset_has_delay = False

    def __init__(self, clock: Clock, *, stale_after_s: float = STALE_S) -> None:
        if not stale_after_s > 0.0:
            raise InputError(f"stale_after_s {stale_after_s}: write a time above 0 s")
        self._session = clock
        self._stale_after_s = stale_after_s
        self._info: EEGInfo | None = None
        self._samples: SampleClock | None = None
        self._held: deque[tuple[Run, NDArray[Any]]] = deque()
        self._offset = _Offset()
        self._newest_s = -math.inf
        self._delay_s = math.nan

    @property
    def info(self) -> EEGInfo:
        """What it gives.

        Raises
        ------
        InputError
            It is not open.
        """
        if self._info is None:
            raise InputError("open the EEG source before using it")
        return self._info

    def open(self) -> EEGInfo:
        """Begin; what comes from now on is kept until it is read.

        Raises
        ------
        DeviceNotFound, InputError
            There is no such source, or it cannot be used.
        """
        if self._info is None:
            self._info = self._open()
            self._samples = SampleClock(
                self._info.sfreq_hz, lossless=self.lossless or self.counts_losses
            )
        return self._info

    def read(self, timeout_s: float = 0.0) -> Block:
        """Return what has come since the last time, up to the next gap.

        Parameters
        ----------
        timeout_s : float
            How long to wait where nothing is there; 0 does not wait.

        Returns
        -------
        Block
            Empty where nothing came.

        Raises
        ------
        LinkLost
            The source is gone.
        InputError
            It is not open.
        """
        info, placed = self.info, self._samples
        if placed is None:
            raise InputError("open the EEG source before using it")
        if not self._held:
            pulled = self._pull(timeout_s)
            if pulled is None or not len(pulled.stamps_s):
                nothing = np.empty((len(info.channels), 0))
                return Block(signal_uv=nothing, times_s=np.empty(0), first=placed.next_index)
            runs = placed.place(pulled.stamps_s, pulled.lost)
            offset_s, jumped = self._offset.follow(pulled.offset_s, float(runs[-1].times_s[-1]))
            for i, run in enumerate(runs):
                moved = run._replace(
                    times_s=run.times_s + offset_s, restarted=run.restarted or (jumped and not i)
                )
                self._held.append((moved, pulled.samples[run.start : run.stop]))
            self._newest_s = float(self._held[-1][0].times_s[-1])
            self._learn_delay(self._session.now_s() - self._newest_s)
        run, samples = self._held.popleft()
        return Block(
            signal_uv=np.asarray(samples, dtype=np.float64).T * np.array(info.uv_per_unit)[:, None],
            times_s=run.times_s,
            first=run.first,
            missing=run.missing,
            restarted=run.restarted,
        )

    @property
    def age_s(self) -> float:
        """Time since the newest sample was taken; infinite before the first."""
        return self._session.now_s() - self._newest_s

    @property
    def stale(self) -> bool:
        """Whether nothing new has come for too long."""
        return not self.age_s <= self._stale_after_s

    @property
    def timing(self) -> Timing:
        """How the stream keeps time, up to what was read last."""
        placed = self._samples
        if placed is None:
            raise InputError("open the EEG source before using it")
        return Timing(
            n_samples=placed.n_samples,
            n_missing=placed.n_missing,
            n_gaps=placed.n_gaps,
            n_restarts=placed.n_restarts,
            gaps=tuple(placed.gaps),
            measured_hz=placed.measured_hz,
            drift_ppm=placed.drift_ppm,
            jitter_s=placed.jitter_s,
            smallest_gap_s=1.0 / placed.sfreq_hz if self.counts_losses else placed.smallest_gap_s,
            clock_offset_s=self._offset.known_s if self.has_own_clock else None,
            clock_drift_ppm=self._offset.drift_ppm if self.has_own_clock else math.nan,
            offset_has_delay=self.offset_has_delay,
            delay_s=self._delay_s,
            age_s=self.age_s,
        )

    def close(self) -> None:
        """Let go of the source. Safe to repeat, and never raises."""
        self._close()

    def __enter__(self) -> EEGSource:
        self.open()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @abstractmethod
    def _open(self) -> EEGInfo:
        """Reach the source."""

    @abstractmethod
    def _pull(self, timeout_s: float) -> Pulled | None:
        """Get what has come; None where nothing did within ``timeout_s``."""

    @abstractmethod
    def _close(self) -> None:
        """Let go of the source; safe to repeat."""

    def _learn_delay(self, delay_s: float) -> None:
        known = not math.isnan(self._delay_s)
        keep = AGE_KEEPS if known else 0.0
        self._delay_s = keep * (self._delay_s if known else 0.0) + (1.0 - keep) * delay_s


def channel_rows(source: str, have: Sequence[str], wanted: Sequence[str] | None) -> list[int]:
    """Return the rows of some channels, in the order wanted; all where none are.

    Raises
    ------
    InputError
        One is not there.
    """
    if wanted is None:
        return list(range(len(have)))
    if missing := [name for name in wanted if name not in have]:
        raise InputError(f"{source}: no channel {missing[0]}; there are {', '.join(have)}")
    return [list(have).index(name) for name in wanted]
