"""What stimulation leaves behind: a lasting change of power that grows with current and fades.

    dw/dt = eta · G(df) · D(I) · S(eyes) · on(t) - w/tau,        P = P0 (1 + w)^direction

G is the spectral line of the rhythm, ``1 / (1 + (2 df / FWHM)²)``: the squared locking of a
phase-diffusing oscillator falls off in this way with the mismatch df. D grows linearly with the
zero-to-peak current and stays at 1 above ``saturation_ma``. S is 1 with eyes open. A train
counts from its first sample once it has lasted ``shortest_train_s``; a shorter one counts
nothing. Frequency, current and train are measured in the trace that was delivered.

With the defaults a matched train, eyes open, leaves w = 0.085, 0.162, 0.300 and 0.515 after 5,
10, 20 and 40 min; 0.300 fades to 0.254, 0.182 and 0.093 in 10, 30 and 70 min. The sizes and the
time constant are modelling choices in line with reports, not measured constants: an effect for
30 min and more with eyes open and none with eyes closed (Neuling), gone at about 70 min
(Kasten), none after short trains (Strüber, Vossen). A decrease is the reciprocal of an increase,
so that power stays positive and the two are mirror images as log ratios.

References
----------
Neuling, Rach & Herrmann (2013), *Front. Hum. Neurosci.* 7:161. Kasten, Dowsett & Herrmann (2016),
*Front. Hum. Neurosci.* 10:245. Strüber, Rach, Neuling & Herrmann (2015), *Front. Cell. Neurosci.*
9:311. Vossen, Gross & Thut (2015), *Brain Stimul.* 8:499-508.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from devices.delivered import Sine, measure_sine
from tacs.errors import InputError

__all__ = ["AfterEffect", "AfterEffectTruth", "Eyes"]

Array = NDArray[np.float64]
Eyes = Literal["open", "closed"]

_PIECE_S = 2.0
_HEARD_S = 1.0
_LEAST_MEASURED_S = 0.5
_GAP_S = 0.1


@dataclass(frozen=True, slots=True)
class AfterEffectTruth:
    """Parameters of the after-effect.

    Parameters
    ----------
    tau_s : float
        Time constant of fading.
    gain_20min : float
        w at the end of 20 min of full-effect stimulation.
    saturation_ma : float
        Zero-to-peak current at the source from which on the effect is full.
    closed_share : float
        S with eyes closed. The default is the ratio of the online power gains under 2 mA at the
        two sizes of the rhythm, 1.4 % to 18.4 % (:func:`devices.rhythm.driven_moments`).
    shortest_train_s : float
        Trains shorter than this leave nothing.
    threshold_ma : float
        Below this momentary current the source counts as not stimulated.
    """

    tau_s: float = 3600.0
    gain_20min: float = 0.30
    saturation_ma: float = 1.0
    closed_share: float = 0.075
    shortest_train_s: float = 5.0
    threshold_ma: float = 0.01

    def __post_init__(self) -> None:
        positive = (self.tau_s, self.saturation_ma, self.threshold_ma)
        other = (self.gain_20min, self.closed_share, self.shortest_train_s)
        if not all(0.0 < v < math.inf for v in positive) or not all(
            0.0 <= v < math.inf for v in other
        ):
            raise InputError(
                "after-effect: tau_s, saturation_ma and threshold_ma must be positive, gain_20min, "
                "closed_share and shortest_train_s 0 or more"
            )

    @property
    def eta_per_s(self) -> float:
        """Growth rate of w under full effect, from ``gain_20min``."""
        return self.gain_20min / (self.tau_s * -math.expm1(-1200.0 / self.tau_s))

    def grown(self, duration_s: float) -> float:
        """Return w after ``duration_s`` of full effect that started at w = 0."""
        return self.eta_per_s * self.tau_s * -math.expm1(-duration_s / self.tau_s)

    def faded(self, w: float, duration_s: float) -> float:
        """Return what is left of w ``duration_s`` after the current ended."""
        return w * math.exp(-duration_s / self.tau_s)

    def effect_of(self, sine: Sine, peak_hz: float, fwhm_hz: float, eyes: Eyes) -> float:
        """Return G · D · S for a sine at the source, 0 to 1.

        Parameters
        ----------
        sine : Sine
            What reached the source.
        peak_hz, fwhm_hz : float
            The rhythm's frequency and line width.
        eyes : {"open", "closed"}
            State during the train.

        Returns
        -------
        float
            Share of the full effect.
        """
        match_share = 1.0 / (1.0 + (2.0 * (sine.frequency_hz - peak_hz) / fwhm_hz) ** 2)
        dose_share = min(1.0, sine.current_peak_ma / self.saturation_ma)
        return match_share * dose_share * (1.0 if eyes == "open" else self.closed_share)


@dataclass(slots=True)
class _Train:
    """A train under way: what it has earned, how long it has lasted, its latest samples."""

    last_on_s: float
    length_s: float = 0.0
    earned: float = 0.0
    waiting_s: float = 0.0
    latest_ma: Array = field(default_factory=lambda: np.empty(0))


class AfterEffect:
    """w of one source over time.

    Parameters
    ----------
    truth : AfterEffectTruth
        Parameters.
    peak_hz, fwhm_hz : float
        The rhythm's frequency and line width.
    """

    def __init__(self, truth: AfterEffectTruth, peak_hz: float, fwhm_hz: float) -> None:
        self.truth = truth
        self._peak_hz = peak_hz
        self._fwhm_hz = fwhm_hz
        self._w = 0.0
        self._stamp_s = 0.0
        self._train: _Train | None = None

    def at(self, time_s: float) -> float:
        """Return w at an instant no earlier than the last current fed."""
        return self.truth.faded(self._w, time_s - self._stamp_s)

    def feed(self, drive_ma: Array, sfreq_hz: float, start_s: float, eyes: Eyes) -> None:
        """Let a stretch of current act; stretches arrive in order of time.

        Parameters
        ----------
        drive_ma : ndarray, shape (n_times,)
            Instantaneous current at the source.
        sfreq_hz : float
            Samples per second.
        start_s : float
            Time of the first sample.
        eyes : {"open", "closed"}
            State during the stretch.
        """
        on = np.flatnonzero(np.abs(drive_ma) > self.truth.threshold_ma)
        if on.size == 0:
            return
        breaks = np.flatnonzero(np.diff(on) > _GAP_S * sfreq_hz)
        firsts = on[np.concatenate([[0], breaks + 1])]
        lasts = on[np.concatenate([breaks, [on.size - 1]])]
        per_piece = max(1, round(_PIECE_S * sfreq_hz))
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
            begin_s = start_s + first / sfreq_hz
            train = self._train
            if train is None or begin_s - train.last_on_s > _GAP_S:
                train = self._train = _Train(last_on_s=begin_s)
            # Samples below the threshold between two stretches of one train belong to its sine.
            missing = np.zeros(max(0, round((begin_s - train.last_on_s) * sfreq_hz)))
            train.latest_ma = np.concatenate([train.latest_ma, missing])
            # Round lengths transform fast; the last piece takes what is left over.
            n_pieces = max(1, (last + 1 - first) // per_piece)
            edges = [*range(first, first + n_pieces * per_piece, per_piece), last + 1]
            for low, high in itertools.pairwise(edges):
                end_s = start_s + high / sfreq_hz
                self._grow(train, drive_ma[low:high], sfreq_hz, end_s, eyes)

    def _grow(
        self, train: _Train, piece_ma: Array, sfreq_hz: float, end_s: float, eyes: Eyes
    ) -> None:
        """Credit one piece of the train under way."""
        fade = math.exp(-(end_s - self._stamp_s) / self.truth.tau_s)
        self._w *= fade
        train.earned *= fade
        self._stamp_s = end_s
        added_s = max(end_s - train.last_on_s, 0.0)
        train.last_on_s = end_s
        train.length_s += added_s
        train.waiting_s += added_s
        keep = round(_HEARD_S * sfreq_hz)
        heard_ma = np.concatenate([train.latest_ma, piece_ma])[-max(keep, piece_ma.size) :]
        train.latest_ma = heard_ma[-keep:]
        if heard_ma.size < _LEAST_MEASURED_S * sfreq_hz:
            return
        sine = measure_sine(heard_ma, sfreq_hz)
        effect = self.truth.effect_of(sine, self._peak_hz, self._fwhm_hz, eyes)
        train.earned += effect * self.truth.grown(train.waiting_s)
        train.waiting_s = 0.0
        if train.length_s >= self.truth.shortest_train_s:
            self._w += train.earned
            train.earned = 0.0
