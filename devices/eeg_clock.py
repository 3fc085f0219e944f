"""When each sample of a stream was taken: gaps, drift and jitter from the stamps it comes with.

Stamps jitter, because most programs stamp a chunk when they get round to it, and the clock behind
the samples is not this computer's. A straight line through the stamps over the count of samples,
which forgets with time, gives the time of every sample and the true rate. A stamp that is late by
more than jitter explains is a gap: the count then goes on by as many samples as are missing.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Gap", "Run", "SampleClock"]

Array = NDArray[np.float64]

HALF_LIFE_S: Final = 60.0
PRIOR_S: Final = 2.0  # of data at the nominal rate, as which that rate counts
KNOWN_S: Final = 2.0  # from here on the jitter is known
DRIFT_KNOWN_S: Final = 20.0
REGULAR: Final = 0.2  # of a sample: stamps with less jitter show single samples that are missing
JITTERS: Final = 6.0
GAP_MIN_S: Final = 0.05  # that stamps with jitter can show, and
GAP_FIRST_S: Final = 0.1  # before their jitter is known
LATE_MAX_S: Final = 5.0  # after which a stream that loses nothing is taken to have been stopped
GAPS_KEPT: Final = 1000


class Gap(NamedTuple):
    """A stretch that is missing.

    Parameters
    ----------
    at_s : float
        When the first missing sample was due.
    n_samples : int
        How many are missing; 0 where the stamps jumped back, or by what cannot be counted.
    """

    at_s: float
    n_samples: int


class Run(NamedTuple):
    """Samples without a gap between them.

    Parameters
    ----------
    start, stop : int
        Part of what was placed.
    first : int
        Index of its first sample, the missing ones counted.
    missing : int
        How many are missing before it.
    restarted : bool
        Whether the stamps jumped before it, so that what is missing cannot be told.
    times_s : ndarray, shape (stop - start,)
        When its samples were taken.
    """

    start: int
    stop: int
    first: int
    missing: int
    restarted: bool
    times_s: Array


class SampleClock:
    """Places samples in time.

    Parameters
    ----------
    sfreq_hz : float
        Nominal rate.
    lossless : bool
        Whether nothing can be missing that is not counted by the source, so that a late stamp is
        late and no gap: bytes of a TCP connection, stamped as they arrive, or numbered packages.

    Attributes
    ----------
    n_samples, n_missing, n_gaps, n_restarts : int
        So far.
    gaps : list of Gap
        The latest of them.
    """

    def __init__(self, sfreq_hz: float, *, lossless: bool = False) -> None:
        self.sfreq_hz = sfreq_hz
        self._lossless = lossless
        self.n_samples = self.n_missing = self.n_gaps = self.n_restarts = 0
        self.gaps: list[Gap] = []
        self._next = 0
        self._last_s = -math.inf
        self._jitter_s2 = 0.0
        self._jitter_weight = 0.0
        self._usual_s = 1.0 / sfreq_hz
        self._ckk = self._ckt = 0.0
        self._begin()

    @property
    def next_index(self) -> int:
        """Index of the next sample, if none is missing."""
        return self._next

    @property
    def jitter_s(self) -> float:
        """Standard deviation of the stamps about the line; NaN before it is known."""
        if self._seen_s < KNOWN_S or not self._jitter_weight:
            return math.nan
        return math.sqrt(self._jitter_s2 / self._jitter_weight)

    @property
    def smallest_gap_s(self) -> float:
        """What must be missing to be seen; infinite where nothing can be missing."""
        return math.inf if self._lossless else self._late_s

    @property
    def measured_hz(self) -> float:
        """The true rate by the clock of the stamps; NaN before it is known."""
        if self._span_s < DRIFT_KNOWN_S:
            return math.nan
        return 1.0 / self._period_s

    @property
    def drift_ppm(self) -> float:
        """By how much the true rate is above the nominal one; NaN before it is known."""
        return 1e6 * (self.measured_hz / self.sfreq_hz - 1.0)

    def place(self, stamps_s: Array, lost: NDArray[np.int64] | None = None) -> list[Run]:
        """Take the stamps of the next samples, and return the runs they form.

        Parameters
        ----------
        stamps_s : ndarray, shape (n,)
            By one clock; finite.
        lost : ndarray of int, shape (n,), optional
            How many samples are missing before each, where the source counts them itself.
        """
        steps = np.diff(stamps_s)
        broken = np.abs(steps * self.sfreq_hz - 1.0) > 0.5
        if lost is not None:
            broken |= lost[1:] > 0
        breaks = np.flatnonzero(broken) + 1
        runs: list[Run] = []
        edges = [0, *breaks.tolist(), len(stamps_s)]
        for start, stop in pairwise(edges):
            if stop > start:
                counted = 0 if lost is None else int(lost[start])
                self._add(runs, start, stop, stamps_s[start:stop], counted)
        return runs

    def _begin(self) -> None:
        """Forget where the line was; the count of samples and the rate go on."""
        self._usual_s = self._period_s
        self._weight = self._mean_k = self._mean_s = self._ckk = self._ckt = 0.0
        self._origin_k, self._origin_s = self._next, 0.0
        self._seen_s = self._span_s = self._late_since_s = 0.0

    @property
    def _period_s(self) -> float:
        """Seconds from one sample to the next."""
        prior = (PRIOR_S * self.sfreq_hz) ** 3 / 12.0
        return (self._ckt + prior * self._usual_s) / (self._ckk + prior)

    @property
    def _late_s(self) -> float:
        """How late a stamp must be to mean more than jitter."""
        jitter_s = self.jitter_s
        if math.isnan(jitter_s):
            return max(GAP_FIRST_S, 1.5 / self.sfreq_hz)
        if jitter_s * self.sfreq_hz < REGULAR:
            return 0.5 / self.sfreq_hz
        return max(JITTERS * jitter_s, GAP_MIN_S, 1.5 / self.sfreq_hz)

    def _due_s(self, k: int) -> float:
        """When a sample is due by the line."""
        return self._origin_s + self._mean_s + self._period_s * (k - self._origin_k - self._mean_k)

    def _add(
        self, runs: list[Run], start: int, stop: int, stamps_s: Array, counted: int = 0
    ) -> None:
        missing, restarted, fits = counted, False, True
        if counted:
            self._note(counted)
        if self._weight:
            late_s = float(stamps_s[0]) - self._due_s(self._next)
            if late_s < -self._late_s and self._lossless:
                self._begin()  # nothing comes too soon: what was before was late
            elif late_s < -self._late_s:
                restarted = True
            elif late_s > self._late_s and not self._lossless:
                missing = max(round(late_s * self.sfreq_hz), 1)
                late_s -= missing / self.sfreq_hz
            elif late_s > self._late_s:
                fits = False
                self._late_since_s += (stop - start) / self.sfreq_hz
                restarted = self._late_since_s > LATE_MAX_S
            if fits and not restarted:
                self._late_since_s = 0.0
                self._learn_jitter(late_s, stop - start)
        if (missing or restarted) and not counted:
            self._note(missing)
        if restarted:
            self.n_restarts += 1
            self._begin()
            fits = True
        if not self._weight:
            self._origin_k, self._origin_s = self._next, float(stamps_s[0])
        first = self._next
        if fits:
            self._fit(first, stamps_s)
        n = stop - start
        times_s = self._due_s(first) + self._period_s * np.arange(n, dtype=np.float64)
        # A line that is still being found may step back; time does not.
        least_s = self._last_s + 0.1 * np.arange(1, n + 1) / self.sfreq_hz
        times_s = np.asarray(np.maximum(times_s, least_s), dtype=np.float64)
        self._last_s = float(times_s[-1])
        self.n_samples += n
        self._next = first + n
        before = runs[-1] if runs else None
        if before is not None and not missing and not restarted:
            joined_s: Array = np.concatenate([before.times_s, times_s])
            runs[-1] = before._replace(stop=stop, times_s=joined_s)
            return
        runs.append(Run(start, stop, first, missing, restarted, times_s))

    def _note(self, missing: int) -> None:
        """Count a gap."""
        self.gaps.append(Gap(self._last_s + 1.0 / self.sfreq_hz, missing))
        del self.gaps[:-GAPS_KEPT]
        self.n_gaps += 1
        self.n_missing += missing
        self._next += missing

    def _learn_jitter(self, late_s: float, n: int) -> None:
        keep = 0.5 ** (n / self.sfreq_hz / HALF_LIFE_S)
        self._jitter_s2 = keep * self._jitter_s2 + late_s**2
        self._jitter_weight = keep * self._jitter_weight + 1.0

    def _fit(self, first: int, stamps_s: Array) -> None:
        """Have the line follow some more stamps."""
        n = len(stamps_s)
        k = first - self._origin_k + np.arange(n, dtype=np.float64)
        s = stamps_s - self._origin_s
        keep = 0.5 ** (n / self.sfreq_hz / HALF_LIFE_S)
        mean_k, mean_s = float(k.mean()), float(s.mean())
        weight = keep * self._weight + n
        shift_k, shift_s = mean_k - self._mean_k, mean_s - self._mean_s
        share = keep * self._weight * n / weight
        about_k, about_s = k - mean_k, s - mean_s
        self._ckk = keep * self._ckk + float((about_k**2).sum()) + share * shift_k**2
        self._ckt = keep * self._ckt + float((about_k * about_s).sum()) + share * shift_k * shift_s
        self._mean_k += shift_k * n / weight
        self._mean_s += shift_s * n / weight
        self._weight = weight
        self._seen_s += n / self.sfreq_hz
        self._span_s = float(k[-1]) / self.sfreq_hz
