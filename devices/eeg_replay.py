"""EEG from a file, as if it came live: sample after sample as the session's clock goes on.

On a virtual clock waiting for a sample moves time on, so that an hour of EEG takes seconds; on the
machine's clock it takes an hour. What a live source suffers from can be put in: dropouts, and a
clock that runs fast or slow.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from devices.eeg import STALE_S, EEGInfo, EEGSource, Pulled, channel_rows
from tacs.clock import Clock
from tacs.errors import InputError, LinkLost, SourceOver

__all__ = ["FileEEG", "PacedEEG", "RawEEG"]

Array = NDArray[np.float64]

VOLT_UV: Final = 1e6
SKIPPED: Final = "BAD_ACQ_SKIP"
LEAST_READ_S: Final = 1e-4


class PacedEEG(EEGSource):
    """EEG that is made, or was recorded, and becomes due with the session's clock.

    Parameters
    ----------
    clock : Clock
        Of the session, virtual or real.
    drops : sequence of (float, float)
        Dropouts: when, in seconds after the opening, and for how long. What falls into one is lost.
    clock_ppm : float
        How much faster than the session's clock the source's samples come.
    chunk : int
        Samples that come together, as amplifiers send them.
    stale_after_s : float
        See :class:`devices.eeg.EEGSource`.

    Raises
    ------
    InputError
        A dropout that is none, or a clock that cannot be.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        drops: Sequence[tuple[float, float]] = (),
        clock_ppm: float = 0.0,
        chunk: int = 1,
        stale_after_s: float = STALE_S,
    ) -> None:
        super().__init__(clock, stale_after_s=stale_after_s)
        for at_s, lasts_s in drops:
            if not (math.isfinite(at_s) and at_s >= 0.0 and math.isfinite(lasts_s) and lasts_s > 0):
                raise InputError(
                    f"dropout at {at_s} s for {lasts_s} s: write 0 or more, and above 0"
                )
        if not abs(clock_ppm) <= 1e5:
            raise InputError(f"clock_ppm {clock_ppm}: write -100000 to 100000")
        if isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1:
            raise InputError(f"chunk {chunk!r}: write a whole number of samples, 1 or more")
        self._drops = tuple(sorted(drops))
        self._chunk = chunk
        self._speed = 1.0 + clock_ppm * 1e-6
        self._start_s = math.nan
        self._n_taken = 0
        self._closed = False

    @property
    def _step_s(self) -> float:
        """From one sample to the next, by the session's clock."""
        return 1.0 / (self.info.sfreq_hz * self._speed)

    def _pull(self, timeout_s: float) -> Pulled | None:
        if self._closed:
            raise LinkLost(f"{self.info.source}: the source was closed")
        until_s = self._session.now_s() + timeout_s
        while True:
            if (pulled := self._due()) is not None or self._session.now_s() >= until_s:
                return pulled
            next_s = self._start_s + (self._n_taken + self._chunk - 1) * self._step_s
            self._session.wait(min(max(next_s, self._session.now_s() + LEAST_READ_S), until_s))

    def _due(self) -> Pulled | None:
        """What has become due and is not lost."""
        elapsed_s = self._session.now_s() - self._start_s
        n = math.floor(elapsed_s / self._step_s + 1e-6) + 1 - self._n_taken
        n -= n % self._chunk
        if n <= 0:
            return None
        samples = self._take(n)
        if not len(samples):
            raise SourceOver(f"{self.info.source}: it is over")
        index = self._n_taken + np.arange(len(samples), dtype=np.float64)
        seconds: Array = index * self._step_s
        self._n_taken += len(samples)
        there = np.isfinite(samples).any(axis=1)
        for at_s, lasts_s in self._drops:
            there &= (seconds < at_s) | (seconds >= at_s + lasts_s)
        if not there.any():
            return None
        stamps_s: Array = self._start_s + seconds[there]
        return Pulled(samples=samples[there], stamps_s=stamps_s)

    def _open(self) -> EEGInfo:
        info = self._described()
        self._start_s = self._session.now_s()
        return info

    def _close(self) -> None:
        self._closed = True

    @abstractmethod
    def _described(self) -> EEGInfo:
        """What it gives."""

    @abstractmethod
    def _take(self, n: int) -> Array:
        """Return the next ``n`` samples, shape (n, n_channels); fewer at the end.

        A sample that is not a number in any channel is missing.
        """


class RawEEG(PacedEEG):
    """A recording that is in memory.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Its EEG channels are played, in volts as MNE has them.
    clock : Clock
        Of the session.
    channels : sequence of str, optional
        Which channels, in that order; all of type EEG where left out.
    source : str
        What it is, for messages and records.
    loops : bool
        Whether it begins anew when it is over; else the source is gone then.
    **options
        Of :class:`PacedEEG`.
    """

    def __init__(
        self,
        raw: Any,
        clock: Clock,
        *,
        channels: Sequence[str] | None = None,
        source: str = "recording",
        loops: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(clock, **options)
        eeg = [n for n, k in zip(raw.ch_names, raw.get_channel_types(), strict=True) if k == "eeg"]
        rows = channel_rows(source, eeg, channels)
        names = [eeg[row] for row in rows]
        self._about = EEGInfo(
            source=source,
            channels=tuple(names),
            sfreq_hz=float(raw.info["sfreq"]),
            uv_per_unit=(VOLT_UV,) * len(names),
            left_out=tuple(name for name in raw.ch_names if name not in names),
        )
        self._raw = raw
        self._picks = [raw.ch_names.index(name) for name in names]
        self._loops = loops
        self._at = 0
        self._skipped = np.zeros(raw.n_times, dtype=bool)
        for note in raw.annotations:
            if note["description"].upper().startswith(SKIPPED):
                first = round((note["onset"] - raw.first_time) * raw.info["sfreq"])
                n = round(note["duration"] * raw.info["sfreq"])
                self._skipped[max(first, 0) : max(first + n, 0)] = True

    def _described(self) -> EEGInfo:
        return self._about

    def _take(self, n: int) -> Array:
        parts = []
        while n > 0:
            if self._at >= self._raw.n_times and self._loops:
                self._at = 0
            stop = min(self._at + n, self._raw.n_times)
            if stop == self._at:
                break
            part = np.array(self._raw[self._picks, self._at : stop][0].T, dtype=np.float64)
            part[self._skipped[self._at : stop]] = np.nan
            parts.append(part)
            n -= stop - self._at
            self._at = stop
        return np.concatenate(parts) if parts else np.empty((0, len(self._picks)))


class FileEEG(RawEEG):
    """A recording in any format that MNE reads.

    Parameters
    ----------
    path : path or str
        Of the recording.
    clock : Clock
        Of the session.
    **options
        Of :class:`RawEEG`.

    Raises
    ------
    InputError
        It cannot be read, or has no EEG.
    """

    def __init__(self, path: Path | str, clock: Clock, **options: Any) -> None:
        import mne

        try:
            raw = mne.io.read_raw(path, preload=False, verbose="ERROR")
        except Exception as exc:
            raise InputError(f"{path}: cannot be read ({' '.join(str(exc).split())})") from exc
        super().__init__(raw, clock, source=f"file {Path(path).name}", **options)
