"""The state of a person just before a block: eyes, alpha, drowsiness, time since the last dose.

Pure numbers: a piece of EEG without current in, one :class:`StateVector` out. What is normal for
this person comes from rest (:func:`reference`); nothing is compared with other people.

References
----------
Alpha before stimulation decides what it does: Neuling et al. 2013, *Front. Hum. Neurosci.* 7:161
(after-effect with open eyes alone). Theta beside the background and drowsiness: Strijkstra et al.
2003, *Neurosci. Lett.* 340:17-20.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.arousal import theta_over_background
from analysis.errors import AnalysisError, UnusableRecording
from analysis.power import band_power

__all__ = [
    "StateGate",
    "StateReference",
    "StateVector",
    "eyes_from_alpha",
    "reference",
    "state_vector",
]

Array = NDArray[np.float64]
Eyes = Literal["open", "closed", "unknown"]

LEAST_S: Final = 2.0
SEGMENT_S: Final = 2.0
HALF_BAND_HZ: Final = 2.0
PIECES_LEAST: Final = 5  # of rest, for a spread
CLEAR: Final = 3.0  # one state of the eyes must be that much likelier, as ln
CEILING_QUANTILE: Final = 0.8
_TOP_THETA_HZ: Final = 7.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StateReference:
    """What is normal for this person in one state of the eyes.

    Parameters
    ----------
    peak_hz : float
        Of the rhythm.
    eyes : {"open", "closed"}
        State.
    ln_alpha_mean, ln_alpha_sd : float
        Of ln alpha power (µV²) of pieces as long as those to be judged.
    ln_alphas : tuple of float
        Of the pieces, sorted.
    ln_theta_mean, ln_theta_sd : float
        Of ln theta over the background.
    piece_s : float
        Length of a piece.
    """

    peak_hz: float
    eyes: Literal["open", "closed"]
    ln_alpha_mean: float
    ln_alpha_sd: float
    ln_alphas: tuple[float, ...]
    ln_theta_mean: float
    ln_theta_sd: float
    piece_s: float

    def quantile(self, ln_alpha: float) -> float:
        """Share of the pieces of rest that had less alpha; half of a piece for an equal one."""
        below = sum(value < ln_alpha for value in self.ln_alphas)
        equal = sum(value == ln_alpha for value in self.ln_alphas)
        return (below + 0.5 * equal) / len(self.ln_alphas)


@dataclass(frozen=True, slots=True, kw_only=True)
class StateVector:
    """The state before a block.

    Parameters
    ----------
    eyes : {"open", "closed", "unknown"}
        State of the eyes.
    eyes_from : str
        ``said``, ``alpha`` (estimated), or empty where unknown.
    ln_alpha : float
        ln of alpha power, µV², peak ± 2 Hz, mean over the channels.
    alpha_z, alpha_quantile : float or None
        Of that within this person's rest; None without a reference.
    ln_theta : float
        ln of theta over the background: up with drowsiness.
    drowsiness_z : float or None
        Of that within this person's rest.
    since_dose_s : float or None
        Since current ended last; None before the first.
    used_s : float
        Signal that it is made from.
    """

    eyes: Eyes
    eyes_from: str
    ln_alpha: float
    alpha_z: float | None
    alpha_quantile: float | None
    ln_theta: float
    drowsiness_z: float | None
    since_dose_s: float | None
    used_s: float

    @property
    def near_ceiling(self) -> bool:
        """Whether alpha with closed eyes is so high that a further rise is hardly to be seen."""
        high = self.alpha_quantile is not None and self.alpha_quantile > CEILING_QUANTILE
        return high and self.eyes == "closed"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        plain = {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }
        return {**plain, "near_ceiling": self.near_ceiling}


@dataclass(frozen=True, slots=True, kw_only=True)
class StateGate:
    """When a block may begin; everything left out lets every state through.

    Parameters
    ----------
    eyes : {"open", "closed"} or None
        State wanted; ``unknown`` does not pass.
    alpha_quantiles : (float, float)
        Where alpha must lie within this person's rest.
    max_drowsiness_z : float
        Above it nothing begins.
    min_since_dose_s : float
        Since the last dose.
    """

    eyes: Literal["open", "closed"] | None = None
    alpha_quantiles: tuple[float, float] = (0.0, 1.0)
    max_drowsiness_z: float = math.inf
    min_since_dose_s: float = 0.0

    def __post_init__(self) -> None:
        low, high = self.alpha_quantiles
        if not 0.0 <= low < high <= 1.0:
            raise AnalysisError(
                f"alpha_quantiles {low:g} to {high:g}: write two shares of 0 to 1, the lower first"
            )
        if math.isnan(self.max_drowsiness_z) or not self.min_since_dose_s >= 0.0:
            raise AnalysisError("state gate: max_drowsiness_z, min_since_dose_s must be numbers")

    def why_not(self, state: StateVector) -> str:
        """Why no block may begin in that state; empty where one may."""
        if self.eyes is not None and state.eyes != self.eyes:
            return f"eyes {state.eyes}, {self.eyes} wanted"
        low, high = self.alpha_quantiles
        if (low, high) != (0.0, 1.0):
            if state.alpha_quantile is None:
                return "no rest to hold alpha against"
            if not low <= state.alpha_quantile <= high:
                return f"alpha at quantile {state.alpha_quantile:.2f}, {low:g} to {high:g} wanted"
        if self.max_drowsiness_z < math.inf:
            if state.drowsiness_z is None:
                return "no rest to hold drowsiness against"
            if not state.drowsiness_z <= self.max_drowsiness_z:
                return f"drowsiness z {state.drowsiness_z:.1f}, {self.max_drowsiness_z:g} allowed"
        since_s = state.since_dose_s
        if since_s is not None and since_s < self.min_since_dose_s:
            return f"{since_s:.1f} s since the last dose, {self.min_since_dose_s:g} s wanted"
        return ""


def reference(
    rest_uv: Array,
    sfreq_hz: float,
    peak_hz: float,
    *,
    eyes: Literal["open", "closed"],
    piece_s: float = 4.0,
) -> StateReference:
    """Learn what is normal for a person from rest in one state of the eyes.

    Parameters
    ----------
    rest_uv : ndarray, shape (n_channels, n_samples)
        Without current, in µV; at least five pieces long. Pieces with a sample that is not a
        number are left out.
    sfreq_hz, peak_hz : float
        Rate, and the person's peak.
    eyes : {"open", "closed"}
        State.
    piece_s : float
        Length of the pieces that will be judged: a longer one varies less.

    Raises
    ------
    UnusableRecording
        Fewer than five usable pieces.
    AnalysisError
        An argument makes no sense.
    """
    rest = _two_rows(rest_uv)
    n = round(piece_s * sfreq_hz)
    if not piece_s >= LEAST_S:
        raise AnalysisError(f"piece_s {piece_s:g}: write {LEAST_S:g} s or more")
    pieces = [rest[:, i : i + n] for i in range(0, rest.shape[1] - n + 1, n)]
    found = [
        _measure(piece, sfreq_hz, peak_hz) for piece in pieces if bool(np.isfinite(piece).all())
    ]
    if len(found) < PIECES_LEAST:
        raise UnusableRecording(
            f"rest with {len(found)} usable pieces of {piece_s:g} s: record at least "
            f"{PIECES_LEAST * piece_s:g} s without gaps"
        )
    alpha, theta = np.array(found).T
    return StateReference(
        peak_hz=peak_hz,
        eyes=eyes,
        ln_alpha_mean=float(alpha.mean()),
        ln_alpha_sd=float(alpha.std(ddof=1)),
        ln_alphas=tuple(np.sort(alpha).tolist()),
        ln_theta_mean=float(theta.mean()),
        ln_theta_sd=float(theta.std(ddof=1)),
        piece_s=piece_s,
    )


def state_vector(
    signal_uv: Array,
    sfreq_hz: float,
    peak_hz: float,
    *,
    references: Sequence[StateReference] = (),
    said: Literal["open", "closed"] | None = None,
    since_dose_s: float | None = None,
) -> StateVector:
    """Tell the state from the signal just before a block.

    Parameters
    ----------
    signal_uv : ndarray, shape (n_channels, n_samples)
        At least 2 s, without current, in µV.
    sfreq_hz, peak_hz : float
        Rate, and the person's peak.
    references : sequence of StateReference
        Of rest; with both states of the eyes, alpha tells which it is, where that is clear.
    said : {"open", "closed"}, optional
        State that was asked for; it goes before the estimate.
    since_dose_s : float, optional
        Since current ended last.

    Raises
    ------
    UnusableRecording
        Too short, or with samples that are no numbers.
    """
    signal = _two_rows(signal_uv)
    ln_alpha, ln_theta = _measure(signal, sfreq_hz, peak_hz)
    eyes: Eyes = said or eyes_from_alpha(ln_alpha, references)
    source = "said" if said else "alpha" if eyes != "unknown" else ""
    own = next((r for r in references if r.eyes == eyes), None)
    if own is None and len(references) == 1 and eyes == "unknown":
        own = references[0]
    return StateVector(
        eyes=eyes,
        eyes_from=source,
        ln_alpha=ln_alpha,
        alpha_z=None if own is None else _z(ln_alpha, own.ln_alpha_mean, own.ln_alpha_sd),
        alpha_quantile=None if own is None else own.quantile(ln_alpha),
        ln_theta=ln_theta,
        drowsiness_z=None if own is None else _z(ln_theta, own.ln_theta_mean, own.ln_theta_sd),
        since_dose_s=since_dose_s,
        used_s=signal.shape[1] / sfreq_hz,
    )


def _two_rows(signal_uv: Array) -> Array:
    signal = np.asarray(signal_uv, dtype=np.float64)
    if signal.ndim == 1:
        signal = signal[None]
    if signal.ndim != 2:
        raise AnalysisError(f"signal of shape {signal.shape}: give (n_channels, n_samples)")
    return signal


def _measure(signal_uv: Array, sfreq_hz: float, peak_hz: float) -> tuple[float, float]:
    """Log alpha power, and ln theta over the background, of one piece."""
    from scipy.signal import welch

    if not (math.isfinite(sfreq_hz) and sfreq_hz >= 80.0):
        raise AnalysisError(f"sfreq_hz {sfreq_hz:g}: write 80 Hz or more")
    if not 6.0 <= peak_hz <= 14.0:
        raise AnalysisError(f"peak_hz {peak_hz:g}: the state is told for a peak of 6 to 14 Hz")
    seconds = signal_uv.shape[1] / sfreq_hz
    if seconds < LEAST_S - 1e-9:
        raise UnusableRecording(f"{seconds:.2f} s of signal: the state needs {LEAST_S:g} s")
    if not bool(np.isfinite(signal_uv).all()):
        raise UnusableRecording("the state cannot be told: a sample is not a number")
    per = round(SEGMENT_S * sfreq_hz)
    freqs, psd = welch(signal_uv, sfreq_hz, nperseg=per, noverlap=per // 2, axis=-1)
    mean = psd.mean(axis=0)
    if not bool((mean[1:] > 0.0).all()):
        raise UnusableRecording("the state cannot be told: the signal is flat")
    alpha = float(band_power(freqs, mean, (peak_hz - HALF_BAND_HZ, peak_hz + HALF_BAND_HZ)))
    top_hz = min(_TOP_THETA_HZ, max(peak_hz - HALF_BAND_HZ, 5.0))
    return math.log(alpha), float(theta_over_background(freqs, mean, top_hz))


def eyes_from_alpha(ln_alpha: float, references: Sequence[StateReference]) -> Eyes:
    """Which state of the eyes fits alpha, where one is clearly likelier.

    Parameters
    ----------
    ln_alpha : float
        ln of alpha power, µV².
    references : sequence of StateReference
        Of this person; without both states it is unknown.
    """
    by_eyes = {r.eyes: r for r in references}
    if len(by_eyes) < 2:
        return "unknown"
    likely = {
        eyes: -0.5 * _z(ln_alpha, r.ln_alpha_mean, r.ln_alpha_sd) ** 2 - math.log(r.ln_alpha_sd)
        for eyes, r in by_eyes.items()
    }
    difference = likely["closed"] - likely["open"]
    if abs(difference) < CLEAR:
        return "unknown"
    return "closed" if difference > 0.0 else "open"


def _z(value: float, mean: float, sd: float) -> float:
    return (value - mean) / sd
