"""The oscillator behind the virtual patient, and what theory says of it.

One source is a Stuart-Landau limit cycle of amplitude ``r0`` driven by a real current and by
noise::

    dz = [lam (1 - |z|²/r0²) + i 2π f] z dt + k I(t) dt + sqrt(2π FWHM) r0 (dW1 + i dW2)

``I`` is the instantaneous current in mA (real, not analytic) and ``dW1``, ``dW2`` are
independent Wiener increments, each of variance ``dt``: only with this reading of the complex
noise is the phase memory ``1/(π FWHM)`` and the envelope's coefficient of variation 0.36. The
code holds ``u = z/r0``, whose noise does not depend on ``r0`` and whose drive is ``k I/r0``; a
large rhythm is therefore moved less by the same current.

Drive and noise are weak against ``2π f``: the drive acts through its rotating half, ``k I/2``. In
the frame that turns with a drive at the rhythm's own frequency the system is a gradient flow with
isotropic noise, and its stationary density is known exactly (:func:`driven_moments`).

References
----------
Pikovsky, Rosenblum & Kurths (2001), *Synchronization*, Cambridge University Press, chapters 7
and 9. Notbohm, Kurths & Herrmann (2016), *Front. Hum. Neurosci.* 10:10 (locking region of
alpha).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DrivenMoments",
    "Rhythm",
    "driven_moments",
    "entrained_plv",
    "integrate",
    "locking_half_width_hz",
    "phase_memory_s",
    "rest_plv",
]

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

_BLOCK_VALUES = 1 << 18


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Constants of one oscillator.

    Parameters
    ----------
    peak_hz : float
        Frequency of the limit cycle.
    fwhm_hz : float
        Width of the spectral line that phase diffusion alone gives.
    relaxation_per_s : float
        ``lam``: how fast the amplitude returns to the limit cycle.
    sensitivity_per_s_ma : float
        ``k``: push per second and mA on a rhythm of size 1. Assumed: no measurement calibrates it.
    """

    peak_hz: float = 10.0
    fwhm_hz: float = 1.0
    relaxation_per_s: float = 5.0
    sensitivity_per_s_ma: float = 2.0


def integrate(
    start: ComplexArray,
    rhythm: Rhythm,
    n_steps: int,
    rng: np.random.Generator | Sequence[np.random.Generator] | None,
    *,
    step_s: float = 1e-3,
    frequency_hz: Array | None = None,
    drive_ma: Array | None = None,
    size: Array | float = 1.0,
    coupling_per_s: Array | None = None,
    keep_every: int = 1,
) -> tuple[ComplexArray, ComplexArray]:
    """Advance many oscillators at once: Euler-Maruyama with exact rotation.

    Parameters
    ----------
    start : ndarray, shape (..., n_sources)
        Normalised states ``z/r0`` before the first step.
    rhythm : Rhythm
        Constants, shared.
    n_steps : int
        Number of steps.
    rng : Generator, sequence of Generator, or None
        Source of the noise, drawn step by step (two calls of n and m steps draw what one call of
        n + m steps draws); a sequence holds one for each entry of the first dimension; None
        integrates without noise.
    step_s : float
        Length of a step; keep it at or below 1 ms.
    frequency_hz : ndarray, shape (n_steps,) or (n_steps, ..., 1), optional
        Momentary frequency; ``rhythm.peak_hz`` throughout when left out.
    drive_ma : ndarray, shape (n_steps,) or (n_steps, ..., n_sources), optional
        Instantaneous current at each source.
    size : float or ndarray, shape broadcasting against ``drive_ma``
        ``r0``, which divides the drive.
    coupling_per_s : ndarray, shape (..., n_sources, n_sources), optional
        ``g[i, j]``: pull of source j on source i, ``g[i, j] (u_j - u_i)``, in units of each
        source's own size, so that a change of size leaves the normalised dynamics as they were.
    keep_every : int
        Keep the state before steps 0, ``keep_every``, 2 ``keep_every``, ...

    Returns
    -------
    kept : ndarray, shape (ceil(n_steps / keep_every), ..., n_sources)
        Normalised states.
    end : ndarray, shape (..., n_sources)
        State after the last step.
    """
    shape = np.shape(start)
    damp = rhythm.relaxation_per_s * step_s
    noise_scale = math.sqrt(2.0 * math.pi * rhythm.fwhm_hz * step_s)
    kept = np.empty((-(-n_steps // keep_every), *shape), dtype=np.complex128)
    frequency = np.full(n_steps, rhythm.peak_hz) if frequency_hz is None else frequency_hz
    turns = 2.0 * np.pi * step_s * _spread_out(frequency, len(shape))
    push = None
    if drive_ma is not None:
        push = np.asarray(rhythm.sensitivity_per_s_ma * step_s * drive_ma / size)
        push = _spread_out(push, len(shape))
    pull = None if coupling_per_s is None else _pull(coupling_per_s, step_s)
    # The loop runs in the frame that turns with the rhythm and on sqrt(damp) u: fewer operations.
    end = np.array(start, dtype=np.complex128)
    block = max(1, _BLOCK_VALUES // max(end.size, 1))
    for first in range(0, n_steps, block):
        last = min(first + block, n_steps)
        kicks = np.zeros((last - first, *shape), dtype=np.complex128)
        if rng is not None:
            kicks += noise_scale * _normals(rng, last - first, shape)
        if push is not None:
            kicks += push[first:last]
        frame = np.exp(1j * np.cumsum(turns[first:last], axis=0))
        kicks *= math.sqrt(damp) * frame.conj()
        path = np.empty((last - first + 1, *shape), dtype=np.complex128)
        path[0] = math.sqrt(damp) * end
        _walk(path, kicks, 1.0 + damp, pull)
        path /= math.sqrt(damp)
        path[1:] *= frame
        skip = -first % keep_every
        taken = path[skip : last - first : keep_every]
        kept[(first + skip) // keep_every :][: len(taken)] = taken
        end = path[-1].copy()
    return kept, end


def _walk(path: ComplexArray, kicks: ComplexArray, grow: float, pull: ComplexArray | None) -> None:
    """Fill ``path[1:]`` from ``path[0]``: u (grow - |u|²) + u·pull + kick, step after step."""
    state = path[0]
    factor = np.empty(state.shape)
    pulled = np.empty((*state.shape[:-1], 1, state.shape[-1]), dtype=np.complex128)
    for kick, following in zip(kicks, path[1:], strict=True):
        np.absolute(state, out=factor)
        np.multiply(factor, factor, out=factor)
        np.subtract(grow, factor, out=factor)
        np.multiply(state, factor, out=following)
        if pull is not None:
            if pull.ndim == 2:
                following += state.dot(pull)
            else:
                np.matmul(state[..., None, :], pull, out=pulled)
                following += pulled[..., 0, :]
        np.add(following, kick, out=following)
        state = following


def _spread_out(values: Array, n_dims: int) -> Array:
    """Values over time with the dimensions of the states behind."""
    return values.reshape(len(values), *([1] * n_dims)) if values.ndim == 1 else values


def _pull(coupling_per_s: Array, step_s: float) -> ComplexArray | None:
    """What one step of coupling multiplies the row of states with; None where nothing couples."""
    if not np.any(coupling_per_s):
        return None
    own = coupling_per_s.sum(axis=-1)[..., None] * np.eye(coupling_per_s.shape[-1])
    pull = step_s * np.swapaxes(coupling_per_s - own, -1, -2)
    alike = pull.ndim > 2 and bool(np.all(pull == pull[(0,) * (pull.ndim - 2)]))
    return np.asarray(pull[(0,) * (pull.ndim - 2)] if alike else pull, dtype=np.complex128)


def _normals(
    rng: np.random.Generator | Sequence[np.random.Generator], n: int, shape: tuple[int, ...]
) -> ComplexArray:
    """Complex noise of unit variance per component, shape (n, *shape)."""
    if isinstance(rng, np.random.Generator):
        pairs = rng.standard_normal((n, *shape, 2))
    else:
        pairs = np.stack([one.standard_normal((n, *shape[1:], 2)) for one in rng], axis=1)
    return np.asarray(pairs.view(np.complex128)[..., 0])


def phase_memory_s(rhythm: Rhythm) -> float:
    """Time after which phase diffusion alone has forgotten the phase, ``1/(π FWHM)``, in seconds.

    The echo of the full oscillator fades faster where the line is narrow, because its phase
    diffuses faster while noise holds the amplitude down: simulated, 0.73 of this value at FWHM
    0.5 Hz, 0.83 at 1 Hz, 1.0 at 2 Hz.
    """
    return 1.0 / (math.pi * rhythm.fwhm_hz)


def locking_half_width_hz(rhythm: Rhythm, current_peak_ma: float, size: float = 1.0) -> float:
    """Half-width of the locking region (Arnold tongue) without noise, to first order in the drive.

    The phase obeys ``φ' = 2π d - (k I / 2 r0) sin φ``: a resting point exists while
    ``|d| <= k I / (4π r0)``. Holds to 10 % up to about 2 mA at size 1.

    Parameters
    ----------
    rhythm : Rhythm
        Constants.
    current_peak_ma : float
        Zero-to-peak current at the source.
    size : float
        ``r0``.

    Returns
    -------
    float
        Half-width in Hz.
    """
    return rhythm.sensitivity_per_s_ma * current_peak_ma / (4.0 * math.pi * size)


def rest_plv(rhythm: Rhythm, duration_s: float, detuning_hz: float = 0.0) -> float:
    """Mean phase-locking value of an undriven rhythm to an arbitrary sine: the floor of any PLV.

    The phase factor has autocorrelation ``exp(-|s|/τ)`` with ``τ = 1/(π FWHM)``. Its mean over
    ``T >> τ`` against a reference at detuning d is close to complex Gaussian with mean square
    ``(2τ/T) / (1 + (2π d τ)²)``, and the modulus of such a number averages ``sqrt(π)/2`` of its
    root mean square.

    Parameters
    ----------
    rhythm : Rhythm
        Constants.
    duration_s : float
        Length of the recording.
    detuning_hz : float
        Reference minus rhythm.

    Returns
    -------
    float
        Expected phase-locking value.
    """
    tau_s = phase_memory_s(rhythm)
    mean_square = (2.0 * tau_s / duration_s) / (1.0 + (2.0 * math.pi * detuning_hz * tau_s) ** 2)
    return 0.5 * math.sqrt(math.pi) * math.sqrt(mean_square)


def entrained_plv(rhythm: Rhythm, current_peak_ma: float, size: float = 1.0) -> float:
    """Phase locking under a matched weak drive in the phase-only limit, ``I1(κ)/I0(κ)``.

    Parameters
    ----------
    rhythm : Rhythm
        Constants.
    current_peak_ma : float
        Zero-to-peak current at the source.
    size : float
        ``r0``.

    Returns
    -------
    float
        Phase-locking value of an endless recording; ``κ = k I / (2π FWHM r0)``.
    """
    from scipy.special import ive

    kappa = rhythm.sensitivity_per_s_ma * current_peak_ma
    kappa /= 2.0 * math.pi * rhythm.fwhm_hz * size
    return float(ive(1, kappa) / ive(0, kappa))


@dataclass(frozen=True, slots=True)
class DrivenMoments:
    """Exact long-run averages under a matched drive.

    Parameters
    ----------
    power : float
        Mean of ``|z/r0|²``.
    plv : float
        Modulus of the mean phase factor relative to the drive.
    """

    power: float
    plv: float


def driven_moments(rhythm: Rhythm, current_peak_ma: float, size: float = 1.0) -> DrivenMoments:
    """Average power and locking of a rhythm driven at its own frequency, no approximation in noise.

    In the rotating frame the stationary density is
    ``p(r, φ) ~ r exp{(2/σ²) [lam (r²/2 - r⁴/4) + (k I / 2 r0) r cos φ]}`` with ``σ² = 2π FWHM``;
    the angle integrates to Bessel functions, the radius numerically.

    Parameters
    ----------
    rhythm : Rhythm
        Constants.
    current_peak_ma : float
        Zero-to-peak current at the source; 0 gives rest.
    size : float
        ``r0``.

    Returns
    -------
    DrivenMoments
        Power in units of ``r0²``, and phase locking.
    """
    from scipy.special import ive

    variance = 2.0 * math.pi * rhythm.fwhm_hz
    kick = rhythm.sensitivity_per_s_ma * current_peak_ma / (size * variance)
    radius = np.linspace(0.0, 8.0, 16001)[1:]
    exponent = 2.0 * rhythm.relaxation_per_s / variance * (radius**2 / 2.0 - radius**4 / 4.0)
    exponent += kick * radius
    weight = radius * np.exp(exponent - exponent.max())
    total = np.sum(weight * ive(0, kick * radius))
    return DrivenMoments(
        power=float(np.sum(weight * radius**2 * ive(0, kick * radius)) / total),
        plv=float(np.sum(weight * ive(1, kick * radius)) / total),
    )
