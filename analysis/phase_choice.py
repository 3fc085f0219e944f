"""Which phase filter suits a person: cross-validation on rest.

Nobody knows the true phase of a person's rhythm. What past and future together say (the offline
smoother of the fitted model) is the closest there is, and a filter that sees only the past is
judged by how far it is from that, on a half of the rest that it did not learn from. What the
smoother itself does not know is added, as the model tells it, before widths are calibrated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError, UnusableRecording
from analysis.phase_filter import Complex, PhaseFilter
from analysis.phase_gates import LEVEL, credible_widths
from analysis.phase_kalman import KalmanFilter
from analysis.phase_whittle import RhythmModel, fit_rhythm
from analysis.phase_wiener import offline, smoother, train

Array = NDArray[np.float64]
Method = Literal["auto", "kalman", "wiener"]

MIN_REST_S: Final = 60.0
MIN_WIENER_S: Final = 120.0
MAX_HORIZON_S: Final = 0.5
EDGE_S: Final = 3.0  # of a half, of which the smoother or the filter knows too little
SCALES: Final = (0.7, 1.6)  # of sigma, between which the calibration may move it
FILTERS: Final = ("kalman", "wiener")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which filter, and why.

    Parameters
    ----------
    method : {"kalman", "wiener"}
        The filter.
    why : str
        One line.
    model : RhythmModel
        Fitted to all of rest.
    circular_sd_rad : dict of str to float
        Distance of each filter from the offline smoother, at the horizon, on the half that it did
        not learn from. This is less than the error: the smoother errs too.
    sigma_scale : float
        By which the filter's own standard deviation was multiplied so that its 95 % intervals hold
        95 % there.
    rest_s : float
        How much rest there was.
    """

    method: Literal["kalman", "wiener"]
    why: str
    model: RhythmModel
    circular_sd_rad: dict[str, float]
    sigma_scale: float
    rest_s: float


def circular_sd(error_rad: Array) -> float:
    """Circular standard deviation of angles, in radians (Fisher)."""
    length = abs(np.mean(np.exp(1j * error_rad)))
    return math.sqrt(-2.0 * math.log(max(float(length), 1e-300)))


def _check(rest_uv: Array, sfreq_hz: float, horizon_s: float, band_hz: tuple[float, float]) -> None:
    if not (math.isfinite(sfreq_hz) and sfreq_hz > 0.0):
        raise AnalysisError(f"sfreq_hz {sfreq_hz}: write a rate above 0 Hz")
    if not 0.0 <= horizon_s <= MAX_HORIZON_S:
        raise AnalysisError(f"horizon_s {horizon_s}: write 0 to {MAX_HORIZON_S:g} s")
    low_hz, high_hz = band_hz
    if not 1.0 <= low_hz < high_hz <= 0.2 * sfreq_hz:
        raise AnalysisError(
            f"band_hz {low_hz:g} to {high_hz:g}: write two frequencies, rising, from 1 to "
            f"{0.2 * sfreq_hz:g} Hz"
        )
    length_s = rest_uv.size / sfreq_hz
    if length_s < MIN_REST_S:
        raise UnusableRecording(
            f"rest: {length_s:.1f} s; record at least {MIN_REST_S:g} s without stimulation"
        )
    broken = int(np.count_nonzero(~np.isfinite(rest_uv)))
    if broken:
        raise UnusableRecording(
            f"rest: {broken} samples are no numbers; give a stretch without gaps"
        )


def _make(
    name: str, signal: Array, sfreq_hz: float, model: RhythmModel, horizon_s: float
) -> PhaseFilter:
    if name == "kalman":
        return KalmanFilter(model, sfreq_hz=sfreq_hz, horizon_s=horizon_s)
    return train(signal, sfreq_hz, model, horizon_s)


def choose(
    rest_uv: Array,
    sfreq_hz: float,
    *,
    horizon_s: float,
    band_hz: tuple[float, float],
    method: Method,
) -> Choice:
    """Fit the model, cross-validate, and choose.

    Parameters
    ----------
    rest_uv : ndarray, shape (n_samples,)
    sfreq_hz, horizon_s, band_hz, method
        As for :func:`analysis.phase.fit`.

    Returns
    -------
    Choice

    Raises
    ------
    UnusableRecording, AnalysisError
        As for :func:`analysis.phase.fit`.
    """
    if method not in ("auto", *FILTERS):
        raise AnalysisError(f"method {method!r}: write auto, kalman or wiener")
    _check(rest_uv, sfreq_hz, horizon_s, band_hz)
    model = fit_rhythm(rest_uv, sfreq_hz, band_hz)
    rest_s = rest_uv.size / sfreq_hz
    if method == "wiener" and rest_s < MIN_WIENER_S:
        raise UnusableRecording(
            f"rest: {rest_s:.1f} s; the trained Wiener filter needs {MIN_WIENER_S:g} s"
        )
    names = FILTERS if rest_s >= MIN_WIENER_S else FILTERS[:1]
    outputs = {
        name: _held_out(name, rest_uv, sfreq_hz, model, horizon_s, band_hz) for name in names
    }
    spread = {name: circular_sd(error) for name, (error, _, _) in outputs.items()}
    chosen: Literal["kalman", "wiener"]
    if method != "auto":
        chosen = method
        why = f"{method}: asked for"
    elif len(names) == 1:
        chosen = "kalman"
        why = f"kalman: {rest_s:.0f} s of rest, {MIN_WIENER_S:g} s are needed to train another"
    else:
        chosen = "wiener" if spread["wiener"] < spread["kalman"] else "kalman"
        told = ", ".join(f"{name} {math.degrees(sd):.1f}" for name, sd in spread.items())
        why = f"{chosen}: least circular SD on held-out rest ({told} degrees)"
    _, ratios, noisy = outputs[chosen]
    return Choice(chosen, why, model, spread, _calibrate(ratios, noisy), rest_s)


def _held_out(
    name: str,
    rest_uv: Array,
    sfreq_hz: float,
    model: RhythmModel,
    horizon_s: float,
    band_hz: tuple[float, float],
) -> tuple[Array, Array, Array]:
    """Error against the smoother, amplitude over sigma, and the error with the smoother's own."""
    halves = np.array_split(np.arange(rest_uv.size), 2)
    ahead, edge = round(horizon_s * sfreq_hz), round(EDGE_S * sfreq_hz)
    reference = offline(model, rest_uv, sfreq_hz)
    unknown = math.sqrt(smoother_variance(model, sfreq_hz))
    drawn = np.random.default_rng(0).standard_normal((2, rest_uv.size))
    blurred = reference + unknown * (drawn[0] + 1j * drawn[1])
    errors, ratios, noisy = [], [], []
    for learned, judged in (halves, halves[::-1]):
        half = rest_uv[learned]
        made = _make(
            name, half, sfreq_hz, fit_rhythm(half, sfreq_hz, band_hz, start=model), horizon_s
        )
        begin, end = int(judged[0]) + edge, int(judged[-1]) + 1 - edge - ahead
        seen: Complex = made.run(rest_uv[judged])[edge : edge + end - begin]
        later = slice(begin + ahead, end + ahead)
        errors.append(np.angle(seen * np.conj(reference[later])))
        noisy.append(np.angle(seen * np.conj(blurred[later])))
        ratios.append(np.abs(seen) / max(made.sigma_uv, 1e-300))
    return np.concatenate(errors), np.concatenate(ratios), np.concatenate(noisy)


def smoother_variance(model: RhythmModel, sfreq_hz: float) -> float:
    """What the smoother leaves of the real part's variance, in uV^2."""
    step_hz = min(0.02, model.half_width_hz / 10.0)
    grid_hz = np.arange(step_hz / 2.0, min(4.0 * model.frequency_hz, sfreq_hz / 2.0), step_hz)
    left = model.rhythm(grid_hz) * (1.0 - smoother(model, grid_hz))
    return float(np.sum(left) * step_hz)


def _calibrate(ratios: Array, error_rad: Array) -> float:
    """Scale of sigma with which 95 % of the held-out phases lie within their intervals."""
    low, high = SCALES
    for _ in range(20):
        middle = math.sqrt(low * high)
        inside = np.mean(2.0 * np.abs(error_rad) <= credible_widths(ratios / middle))
        low, high = (middle, high) if inside < LEVEL else (low, middle)
    return math.sqrt(low * high)


def make_filter(choice: Choice, rest_uv: Array, sfreq_hz: float, horizon_s: float) -> PhaseFilter:
    """The chosen filter, learned from all of rest, its sigma calibrated."""
    made = _make(choice.method, rest_uv, sfreq_hz, choice.model, horizon_s)
    made.sigma_uv *= choice.sigma_scale
    return made
