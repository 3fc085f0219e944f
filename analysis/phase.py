"""Phase of a rhythm while it is recorded: fed blocks, it tells where the rhythm is after a horizon.

``fit`` learns from rest and chooses between two fixed linear filters for this person; ``untrained``
needs a frequency only. Both give a :class:`PhaseEngine`; its ``update`` takes blocks of any size,
looks at nothing later than their last sample and costs the same for every sample. What it says is
valid or not, and if not, why.

References
----------
Wodeyar, Schatza, Widge, Eden & Kramer (2021), *eLife* 10:e68803. McIntosh & Sajda (2020),
*J. Neural Eng.* 17:026013. Schreglmann et al. (2021), *Nature Communications* 12:363.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.phase_choice import Choice, Method, choose, make_filter
from analysis.phase_echt import EndpointHilbert
from analysis.phase_filter import PhaseFilter
from analysis.phase_gates import LAG_S, Gates, credible_width, step_limit

__all__ = ["BlockLike", "Choice", "Gates", "PhaseEngine", "PhaseEstimate", "fit", "untrained"]

Array = NDArray[np.float64]

TRACK_S: Final = 0.5  # over which the frequency is averaged
GRID_S: Final = 0.02  # how often it is looked at
FLAT_S: Final = 0.1
_NONE: Final = np.empty(0, dtype=np.intp)


class BlockLike(Protocol):
    """A block of a live source, as far as it matters here."""

    @property
    def signal_uv(self) -> Array:
        """Shape (n_channels, n_samples)."""

    @property
    def missing(self) -> int:
        """Samples missing directly before it."""

    @property
    def restarted(self) -> bool:
        """Whether the source began anew."""


@dataclass(frozen=True, slots=True)
class PhaseEstimate:
    """Where the rhythm is at the newest sample plus the horizon.

    Parameters
    ----------
    phase_rad : float
        In (-pi, pi]; 0 is the positive peak. NaN before anything is known.
    frequency_hz : float
        Of the rhythm over the last half second or so; the filter's centre until it has settled.
    amplitude_uv : float
        Peak, not peak-to-peak.
    credible_width_rad : float
        Full width of the interval around the phase that holds it with 95 %. NaN where nothing
        was learned about the noise.
    valid : bool
        Whether it may be used.
    reason : str
        Why not; empty where it may.
    """

    phase_rad: float
    frequency_hz: float
    amplitude_uv: float
    credible_width_rad: float
    valid: bool
    reason: str


class PhaseEngine:
    """A phase filter with its gates, fed by blocks.

    Parameters
    ----------
    phase_filter : PhaseFilter
        What turns samples into the rhythm.
    gates : Gates
        When an estimate is not to be used.
    weights : sequence of float, optional
        Spatial filter: the channel is the sum of weight times channel. None: one channel.
    choice : Choice, optional
        How the filter came to be chosen.
    """

    def __init__(
        self,
        phase_filter: PhaseFilter,
        *,
        gates: Gates | None = None,
        weights: Sequence[float] | None = None,
        choice: Choice | None = None,
    ) -> None:
        self.filter = phase_filter
        self.gates = gates or Gates()
        self.weights = checked_weights(weights)
        self.choice = choice
        if self.gates.max_width_rad < 2.0 * math.pi and math.isnan(phase_filter.sigma_uv):
            raise AnalysisError(
                "max_width_rad needs rest to learn from: fit the engine, or leave that gate out"
            )
        rate = phase_filter.sfreq_hz
        self._lag = max(1, round(LAG_S * rate))
        self._flat = max(2, round(FLAT_S * rate))
        self._grid = max(1, round(min(GRID_S, 0.25 / phase_filter.frequency_hz) * rate))
        self._keep = math.exp(-self._grid / (TRACK_S * rate))
        self._begin("nothing came yet")

    def _begin(self, why: str) -> None:
        """Forget the stream."""
        self._tail: Array | None = None
        self._same = 0  # samples in a row that did not change
        self._begin_filter(why)

    def _begin_filter(self, why: str) -> None:
        """Have the filter forget, and wait until it has settled."""
        self.filter.reset()
        self._why = why
        self._offset: float | None = None
        self._count = 0  # samples since the filter began
        self._turned = 0j
        self._last: complex | None = None

    @property
    def horizon_s(self) -> float:
        """How far ahead of the newest sample the estimates are."""
        return self.filter.horizon_s

    def reset(self, why: str = "begun anew") -> None:
        """Forget everything that was fed; what was learned at rest stays."""
        self._begin(why)

    def update(self, block: BlockLike | Array) -> PhaseEstimate:
        """Take a block and tell the phase at its last sample plus the horizon.

        Parameters
        ----------
        block : BlockLike or ndarray
            A block of a live source, or samples in uV: shape (n_samples,), or (n_channels,
            n_samples) with a spatial filter. Empty ones change nothing.

        Returns
        -------
        PhaseEstimate

        Raises
        ------
        AnalysisError
            The block does not fit the spatial filter.
        """
        if isinstance(block, np.ndarray):
            signal = block
        else:
            signal = block.signal_uv
            if block.restarted:
                self._begin("the source began anew")
            elif block.missing:
                self._begin(f"{block.missing} samples are missing")
        samples = self.mixed(signal)
        if samples.size:
            if math.isfinite(samples @ samples):
                self._take(samples)
            else:
                self._take_broken(samples)
        return self._say()

    def mixed(self, signal: Array) -> Array:
        """Apply the spatial filter; shape (n_samples,).

        Raises
        ------
        AnalysisError
            The block does not fit it.
        """
        if self.weights is None:
            if signal.ndim == 2 and signal.shape[0] == 1:
                return np.asarray(signal[0], dtype=np.float64)
            if signal.ndim != 1:
                raise AnalysisError(
                    f"block of shape {signal.shape}: give one channel, or weights for several"
                )
            return np.asarray(signal, dtype=np.float64)
        if signal.ndim != 2 or signal.shape[0] != self.weights.size:
            raise AnalysisError(
                f"block of shape {signal.shape}: the spatial filter has {self.weights.size} weights"
            )
        used = self.weights != 0.0
        # A channel that is not used may be missing.
        return np.asarray(self.weights[used] @ signal[used], dtype=np.float64)

    def _take_broken(self, samples: Array) -> None:
        """What follows the last sample that is not a number begins anew."""
        broken = np.flatnonzero(~np.isfinite(samples))
        self._begin("a sample is not a number")
        rest = samples[broken[-1] + 1 :]
        if rest.size:
            self._take(rest)

    def _take(self, samples: Array) -> None:
        n = samples.size
        if self._tail is None:
            self._tail = np.full(self._lag, samples[0])
        joined = np.concatenate((self._tail, samples))
        self._tail = joined[n:]
        self._count_same(joined, n)
        limit = self.gates.max_step_uv
        if limit is not None:
            change = joined[self._lag :] - joined[:n]
            # Most blocks are quiet as a whole, and that is quick to see.
            beyond = _NONE if change @ change <= limit**2 else np.flatnonzero(abs(change) > limit)
            if beyond.size:
                self._begin_filter("an artefact")
                samples = samples[beyond[-1] + 1 :]
                n = samples.size
                if not n:
                    return
        if self._offset is None:
            self._offset = float(samples[0])
        samples = samples - self._offset
        begin = 0
        while begin < n:
            end = min(n, begin + self._grid - self._count % self._grid)
            self.filter.feed(samples[begin:end])
            self._count += end - begin
            begin = end
            if not self._count % self._grid:
                self._track()

    def _count_same(self, joined: Array, n: int) -> None:
        newest = joined[-1]
        if joined[-2] != newest:
            self._same = 0
            return
        moved = np.flatnonzero(joined[-n:] != newest)
        before = self._same if n < joined.size and joined[-n - 1] == newest else 0
        self._same = before + n if not moved.size else n - int(moved[-1]) - 1

    def _track(self) -> None:
        """Average how far the rhythm turned from one point of the grid to the next."""
        now = self.filter.read()
        if self._last is not None and self._count > self.filter.settle_samples:
            self._turned = self._keep * self._turned + now * self._last.conjugate()
        self._last = now

    def _say(self) -> PhaseEstimate:
        frequency_hz = self.filter.frequency_hz
        if not self._count:
            return PhaseEstimate(math.nan, frequency_hz, math.nan, math.nan, False, self._why)
        rhythm = self.filter.read()
        amplitude = abs(rhythm)
        if self._turned:
            turn = cmath.phase(self._turned)
            frequency_hz = turn * self.filter.sfreq_hz / (2.0 * math.pi * self._grid)
        width = credible_width(amplitude / self.filter.sigma_uv) if self.filter.sigma_uv else 0.0
        reason = self._reason(amplitude, width)
        return PhaseEstimate(
            cmath.phase(rhythm), frequency_hz, amplitude, width, not reason, reason
        )

    def _reason(self, amplitude: float, width: float) -> str:
        settle = self.filter.settle_samples
        if self._count < settle:
            left_s = (settle - self._count) / self.filter.sfreq_hz
            return f"{self._why}: {left_s:.2f} s more to settle"
        if self._same >= self._flat:
            return "the channel is flat"
        if amplitude < self.gates.min_amplitude_uv:
            return f"amplitude {amplitude:.2f} uV, {self.gates.min_amplitude_uv:g} asked for"
        if width > self.gates.max_width_rad:
            return f"credible width {width:.2f} rad, {self.gates.max_width_rad:g} allowed"
        return ""


def checked_weights(weights: Sequence[float] | None) -> Array | None:
    """A spatial filter as an array.

    Raises
    ------
    AnalysisError
        It is empty, not finite, or zero.
    """
    if weights is None:
        return None
    array = np.asarray(weights, dtype=np.float64)
    if array.ndim != 1 or not array.size or not np.all(np.isfinite(array)) or not array.any():
        raise AnalysisError("weights: write one finite number for each channel, not all of them 0")
    return array


def fit(
    rest_uv: Array,
    sfreq_hz: float,
    *,
    horizon_s: float = 0.0,
    band_hz: tuple[float, float] = (7.0, 13.0),
    weights: Sequence[float] | None = None,
    method: Method = "auto",
    gates: Gates | None = None,
) -> PhaseEngine:
    """Learn a person's rhythm from rest and choose the filter that tells its phase best.

    Parameters
    ----------
    rest_uv : ndarray, shape (n_samples,) or (n_channels, n_samples)
        At least 60 s without stimulation and without gaps, in uV, unfiltered or filtered as the
        stream will be.
    sfreq_hz : float
        Its rate, which is that of the stream.
    horizon_s : float
        How far ahead of the newest sample the phase is wanted: the latency of the loop. 0 to 0.5.
    band_hz : (float, float)
        Where the rhythm's centre may be.
    weights : sequence of float, optional
        Spatial filter, for several channels.
    method : {"auto", "kalman", "wiener"}
        Chosen by cross-validation, or one of the two.
    gates : Gates, optional
        When an estimate is not to be used.

    Returns
    -------
    PhaseEngine
        Its ``choice`` says which filter it has, and why.

    Raises
    ------
    UnusableRecording
        Rest is too short, broken, flat, or has no rhythm in the band.
    AnalysisError
        An argument makes no sense.
    """
    mixture = checked_weights(weights)
    rest = np.asarray(rest_uv, dtype=np.float64)
    if mixture is not None:
        if rest.ndim != 2 or rest.shape[0] != mixture.size:
            raise AnalysisError(
                f"rest of shape {rest.shape}: the spatial filter has {mixture.size} weights"
            )
        rest = mixture @ rest
    elif rest.ndim == 2 and rest.shape[0] == 1:
        rest = rest[0]
    if rest.ndim != 1:
        raise AnalysisError(f"rest of shape {rest.shape}: give one channel, or weights for several")
    choice = choose(rest, sfreq_hz, horizon_s=horizon_s, band_hz=band_hz, method=method)
    given = gates or Gates()
    limit = given.max_step_uv
    settled = Gates(
        min_amplitude_uv=given.min_amplitude_uv,
        max_width_rad=given.max_width_rad,
        max_step_uv=step_limit(rest, sfreq_hz) if limit is None else limit,
    )
    made = make_filter(choice, rest, sfreq_hz, horizon_s)
    return PhaseEngine(made, gates=settled, weights=weights, choice=choice)


def untrained(
    frequency_hz: float,
    sfreq_hz: float,
    *,
    horizon_s: float = 0.0,
    weights: Sequence[float] | None = None,
    gates: Gates | None = None,
) -> PhaseEngine:
    """An engine that needs no rest: calibrated endpoint-corrected Hilbert transform.

    Parameters
    ----------
    frequency_hz : float
        Centre of the rhythm, as exact as can be: the phase is off by some 30 degrees for every
        hertz that it is off.
    sfreq_hz, horizon_s, weights, gates
        As for :func:`fit`. There is no credible width, and an artefact is seen only where
        ``max_step_uv`` is given.

    Returns
    -------
    PhaseEngine

    Raises
    ------
    AnalysisError
        An argument makes no sense.
    """
    if not (math.isfinite(sfreq_hz) and sfreq_hz > 0.0):
        raise AnalysisError(f"sfreq_hz {sfreq_hz}: write a rate above 0 Hz")
    if not 0.5 <= frequency_hz <= 0.3 * sfreq_hz:
        raise AnalysisError(f"frequency_hz {frequency_hz}: write 0.5 to {0.3 * sfreq_hz:g} Hz")
    if not 0.0 <= horizon_s <= 0.5:
        raise AnalysisError(f"horizon_s {horizon_s}: write 0 to 0.5 s")
    made = EndpointHilbert(frequency_hz, sfreq_hz=sfreq_hz, horizon_s=horizon_s)
    return PhaseEngine(made, gates=gates, weights=weights)
