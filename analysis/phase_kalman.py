"""The rhythm by a steady-state Kalman filter on the model of `analysis.phase_whittle`.

The filter's gain is constant, so that a block costs a few products of small matrices. The state at
now plus the horizon is the state now, turned and damped by the model (F^h); its covariance says
how far the phase may be off.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag, expm, solve_continuous_lyapunov, solve_discrete_are

from analysis.errors import AnalysisError
from analysis.phase_filter import Complex, PhaseFilter
from analysis.phase_whittle import CORNERS_HZ, RhythmModel, decay_hz

Array = NDArray[np.float64]

CHUNK = 32  # samples that the state is turned on by at once
OFFSET_HZ = 0.01  # corner of a relaxation that stands for an offset
LEAST_FLOOR = 1e-6  # of the variance of everything: a floor of nothing has no filter
SETTLED = 0.05  # of the error's standard deviation, left of how the filter began


def _rotation(frequency_hz: float, decay: float) -> Array:
    turn, fall = 2.0 * math.pi * frequency_hz, 2.0 * math.pi * decay
    return np.array([[-fall, -turn], [turn, -fall]])


class _StateSpace:
    """The model in discrete time: transition, stationary covariance, what is seen."""

    def __init__(self, model: RhythmModel, sfreq_hz: float) -> None:
        parts: list[Array] = []
        drives: list[Array] = []
        seen: list[float] = []
        decay = decay_hz(model.half_width_hz, model.order)
        one = _rotation(model.frequency_hz, decay)
        if model.order == 2:
            # A rotation driven by a rotation: variance 1 / (4 a) of a drive of 1, a in rad/s.
            rate = 2.0 * math.pi * decay
            parts.append(np.block([[one, rate * np.eye(2)], [np.zeros((2, 2)), one]]))
            drives.append(np.diag([0.0, 0.0, 1.0, 1.0]) * model.variance_uv2 * 4.0 * rate)
            seen += [1.0, 0.0, 0.0, 0.0]
        else:
            parts.append(one)
            drives.append(np.eye(2) * model.variance_uv2 * 4.0 * math.pi * decay)
            seen += [1.0, 0.0]
        parts.append(_rotation(2.0 * model.frequency_hz, model.harmonic_half_width_hz))
        drives.append(
            np.eye(2) * model.harmonic_variance_uv2 * 4.0 * math.pi * model.harmonic_half_width_hz
        )
        seen += [1.0, 0.0]
        for corner_hz, variance in zip(CORNERS_HZ, model.relaxation_variances_uv2, strict=True):
            parts.append(np.array([[-2.0 * math.pi * corner_hz]]))
            drives.append(np.array([[variance * 4.0 * math.pi * corner_hz]]))
            seen.append(1.0)
        # Where the amplifier's zero is, compared with the first sample.
        variance = float(model.variance_uv2 + sum(model.relaxation_variances_uv2))
        parts.append(np.array([[-2.0 * math.pi * OFFSET_HZ]]))
        drives.append(np.array([[variance * 4.0 * math.pi * OFFSET_HZ]]))
        seen.append(1.0)
        rate_of_change = block_diag(*parts)
        drive = block_diag(*drives)
        self.continuous = rate_of_change
        self.stationary: Array = np.asarray(
            solve_continuous_lyapunov(rate_of_change, -drive), dtype=np.float64
        )
        self.step = expm(rate_of_change / sfreq_hz)
        self.noise = self.stationary - self.step @ self.stationary @ self.step.T
        self.noise = (self.noise + self.noise.T) / 2.0
        self.seen = np.array(seen)
        total = float(self.seen @ self.stationary @ self.seen)
        self.floor = max(model.floor_uv2_per_hz * sfreq_hz / 2.0, LEAST_FLOOR * total)


class KalmanFilter(PhaseFilter):
    """Steady-state Kalman filter of a fitted rhythm.

    Parameters
    ----------
    model : RhythmModel
        As fitted.
    sfreq_hz : float
        Rate of the samples.
    horizon_s : float
        How far ahead.

    Raises
    ------
    AnalysisError
        The model has no steady filter.
    """

    name = "Kalman"

    def __init__(self, model: RhythmModel, *, sfreq_hz: float, horizon_s: float) -> None:
        self.model = model
        space = _StateSpace(model, sfreq_hz)
        seen, step = space.seen[:, None], space.step
        try:
            before = solve_discrete_are(step.T, seen, space.noise, np.array([[space.floor]]))
        except np.linalg.LinAlgError as exc:
            raise AnalysisError(
                "the fitted rhythm has no steady Kalman filter; record more rest"
            ) from exc
        gain: Array = before @ seen / (seen.T @ before @ seen + space.floor)
        after = before - gain @ seen.T @ before
        ahead = expm(space.continuous * horizon_s)
        later = ahead @ (after - space.stationary) @ ahead.T + space.stationary
        closed = (np.eye(step.shape[0]) - gain @ seen.T) @ step
        self._look: Array = ahead[:2]
        self._stationary = space.stationary
        self._n_states = step.shape[0]
        self._prepare(closed, gain[:, 0])
        sigma = math.sqrt(max(float(np.trace(later[:2, :2])) / 2.0, 0.0))
        super().__init__(
            sfreq_hz=sfreq_hz,
            horizon_s=horizon_s,
            frequency_hz=model.frequency_hz,
            sigma_uv=sigma,
            settle_samples=self._settle(sigma, sfreq_hz),
        )
        self.reset()

    def _prepare(self, closed: Array, gain: Array) -> None:
        """What a chunk does to the state, and what is read within one."""
        powers = [np.eye(closed.shape[0])]
        for _ in range(CHUNK):
            powers.append(closed @ powers[-1])
        self._whole = powers[CHUNK]
        reach = np.stack([power @ gain for power in powers[:CHUNK]], axis=1)
        self._turn = np.hstack([powers[CHUNK], reach[:, ::-1]])
        answer = self._look @ reach
        # What is read with n samples waiting behind the state; later places weigh nothing.
        self._reads = np.zeros((CHUNK + 1, 2, self._n_states + CHUNK))
        for n, power in enumerate(powers):
            self._reads[n, :, : self._n_states] = self._look @ power
            self._reads[n, :, self._n_states : self._n_states + n] = answer[:, :n][:, ::-1]

    def _settle(self, sigma: float, sfreq_hz: float) -> int:
        """Samples until the error of having begun with nothing is a small share of the error."""
        values, vectors = np.linalg.eigh(self._stationary)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        left, n = self._look @ self._whole, CHUNK
        while np.linalg.norm(left @ root) / math.sqrt(2.0) > SETTLED * sigma:
            left, n = left @ self._whole, n + CHUNK
            if n > 60.0 * sfreq_hz:
                break
        return n

    def reset(self) -> None:
        """Begin with nothing."""
        self._held = np.zeros(self._n_states + CHUNK)  # the state, and the samples after it
        self._waiting = 0

    def feed(self, samples_uv: Array) -> None:
        """Keep the samples; turn the state on whenever a chunk is full.

        What is computed for a sample therefore does not depend on the block that brought it.
        """
        begin, n = 0, samples_uv.size
        while begin < n:
            took = min(n - begin, CHUNK - self._waiting)
            at = self._n_states + self._waiting
            self._held[at : at + took] = samples_uv[begin : begin + took]
            self._waiting += took
            begin += took
            if self._waiting == CHUNK:
                self._held[: self._n_states] = self._turn @ self._held
                self._waiting = 0

    def read(self) -> complex:
        """Turn the state over what waits, and to the horizon."""
        real, imaginary = (self._reads[self._waiting] @ self._held).tolist()
        return complex(real, imaginary)

    def run(self, samples_uv: Array) -> Complex:
        """Every output, a chunk at a time."""
        out = np.empty((samples_uv.size, 2))
        held = np.zeros(self._n_states + CHUNK)
        for begin in range(0, samples_uv.size, CHUNK):
            part = samples_uv[begin : begin + CHUNK]
            held[self._n_states : self._n_states + part.size] = part
            out[begin : begin + part.size] = self._reads[1 : part.size + 1] @ held
            held[: self._n_states] = self._turn @ held
        return np.asarray(out[:, 0] + 1j * out[:, 1])
