"""Echo: how long a rhythm keeps the drive's phase after the drive has stopped.

The mean over trains, ``A exp(-t/tau + 2 pi i d t)`` against the drive continued, is fitted by least
squares weighted with the covariance of the trains; d is how far the rhythm's own frequency lies
from the drive. Intervals are from a bootstrap of trains. What is followed is the mean of the signal
itself: an oscillator that was pushed weakly returns as its own fluctuations do (Onsager), so that
this mean fades with ``1/(pi FWHM)`` of its line at rest. Pairwise consistency, which is shown, is a
square and buries the tail in its noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.profile_rest import RestLine

__all__ = [
    "Echo",
    "detectable_locking",
    "faded",
    "fit_echo",
    "may_report_echo",
    "too_few_for_echo",
]

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

TAUS_S = np.geomspace(0.02, 5.0, 90)
OFFSETS_HZ = np.linspace(-1.0, 1.0, 11)
LOADING = 0.02
POWER_80 = 4.8
MOST_SIZE = 3.0
MOST_DETECTABLE = 0.3  # the locking while driven at 2 mA in the reference model; an echo has less
MOST_FACTOR = 8.0  # between the ends of an interval that still tells a time constant


@dataclass(frozen=True, slots=True)
class Echo:
    """Decay of locking after the drive's end.

    Parameters
    ----------
    frequency_hz, level : float
        Drive.
    n_trains : int
        Trains.
    locking_at_end : float
        Fitted coherent amplitude over rms amplitude at the offset; 0 where nothing is locked.
    tau_s : float or None
        Time constant; None where there is no echo to fit, or where the interval is open or its
        ends lie a factor of more than 8 apart: of echoes that barely stand out, those are found
        that chance made long.
    tau_ci95_s : (float or None, float or None) or None
        Interval; an end beyond 0.02 to 5 s is open (None).
    p : float
        Rayleigh, at the first read.
    times_s, consistency : ndarray, shape (n_windows,)
        Pairwise consistency: coherent power over power.
    kind : {"drive", "sham"}
        Sham: after trains that were not given, against the virtual reference.
    reason : str
        Why there is no time constant; empty where there is one.
    """

    frequency_hz: float
    level: float
    n_trains: int
    locking_at_end: float
    tau_s: float | None
    tau_ci95_s: tuple[float | None, float | None] | None
    p: float
    times_s: Array
    consistency: Array
    kind: str = "drive"
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "frequency_hz": self.frequency_hz,
            "kind": self.kind,
            "level": self.level,
            "n_trains": self.n_trains,
            "detectable_plv": detectable_locking(self.n_trains),
            "reportable": may_report_echo(self.n_trains),
            "plv_at_end": self.locking_at_end,
            "tau_s": self.tau_s,
            "tau_ci95_s": None if self.tau_ci95_s is None else list(self.tau_ci95_s),
            "tau_reason": self.reason or None,
            "p": self.p,
            "times_s": self.times_s.tolist(),
            "ppc": self.consistency.tolist(),
        }


def detectable_locking(n_reads: int) -> float:
    """Locking that `n_reads` independent reads find with power 0.8 (Rayleigh, n R² = 4.8)."""
    return min(1.0, math.sqrt(POWER_80 / n_reads))


def may_report_echo(n_trains: int) -> bool:
    """Whether so many trains could find an echo that there may be: 54 or more."""
    return detectable_locking(n_trains) <= MOST_DETECTABLE


def too_few_for_echo(n_trains: int) -> str:
    """Say why trains that are too few may not report an echo."""
    return (
        f"{n_trains} trains find locking above {detectable_locking(n_trains):.2f} only, more than "
        "an echo has: no echo may be reported from them, found or absent"
    )


def fit_echo(
    times_s: Array,
    value: ComplexArray,
    frequency_hz: float,
    level: float,
    rng: np.random.Generator,
    *,
    n_bootstrap: int = 500,
) -> Echo:
    """Fit the decay.

    Parameters
    ----------
    times_s : ndarray, shape (n_windows,)
        After the offset.
    value : ndarray of complex, shape (n_windows, n_trains, n_channels)
        Size and phase against the drive continued; sizes above three times a channel's median count
        as that, so that one artefact is not the echo.
    frequency_hz, level : float
        Drive.
    rng : Generator
        Of the bootstrap.
    n_bootstrap : int
        Draws of trains.

    Returns
    -------
    Echo
        Without `tau_s` where the first read is not locked (p of 0.05 and more), or where the
        interval tells nothing.
    """
    n = value.shape[1]
    size = np.maximum(np.abs(value), 1e-300)
    first = np.abs((value[0] / size[0]).mean(axis=0)) ** 2
    most = MOST_SIZE * np.median(size, axis=(0, 1))
    held = value * np.minimum(1.0, most / size)
    held = held / np.sqrt(np.mean(np.abs(held) ** 2, axis=(0, 1)))
    ppc = _consistency(held, np.arange(n))
    p = min(1.0, float(np.exp(-n * first).min()) * first.size)
    if p >= 0.05:
        why = f"nothing is locked at the first read ({times_s[0]:.2f} s after the end)"
        return Echo(frequency_hz, level, n, 0.0, None, None, p, times_s, ppc, reason=why)
    whole = np.full(n, 1.0)
    fit = _Decay(times_s, held)
    tau, top = fit.of(whole[None])
    taus, _ = fit.of(rng.multinomial(n, whole / n, n_bootstrap).astype(float))
    low, high = (_inside(float(end)) for end in np.quantile(taus, (0.025, 0.975)))
    locking = min(1.0, float(top[0]))
    best, why = _inside(float(tau[0])), ""
    if best is None or low is None or high is None:
        best, why = None, "the interval of the time constant is open"
    elif high > MOST_FACTOR * low:
        best, why = None, f"the time constant may be anything from {low:.2f} to {high:.2f} s"
    return Echo(frequency_hz, level, n, locking, best, (low, high), p, times_s, ppc, reason=why)


def faded(echo: Echo, rest: RestLine | None) -> Echo:
    """Name the line at rest as the reason, where it forgets before the first read."""
    if rest is None or not echo.reason or rest.memory_s >= echo.times_s[0]:
        return echo
    why = (
        f"the line at rest ({rest.fwhm_hz:.1f} Hz wide) forgets its phase in {rest.memory_s:.2f} s,"
        f" before the first read at {echo.times_s[0]:.2f} s; {echo.reason}"
    )
    return replace(echo, reason=why)


def _inside(tau_s: float) -> float | None:
    """Return the time constant; None where it lies at an end of what is looked at."""
    return tau_s if TAUS_S[0] < tau_s < TAUS_S[-1] else None


def _consistency(value: ComplexArray, chosen: Any) -> Array:
    """Pairwise consistency, mean over channels; pairs of one train with itself left out."""
    n = chosen.size
    counts = np.bincount(chosen, minlength=value.shape[1]).astype(float)
    total = np.abs(np.einsum("wtc,t->wc", value, counts)) ** 2
    same = np.einsum("wtc,t->wc", np.abs(value) ** 2, counts**2)
    return np.asarray(((total - same) / (n * n - float(np.sum(counts**2)))).mean(axis=-1))


class _Decay:
    """Fits the decay of a mean over trains.

    Parameters
    ----------
    times_s : ndarray, shape (n_windows,)
        After the offset.
    value : ndarray of complex, shape (n_windows, n_trains, n_channels)
        Every train.
    """

    def __init__(self, times_s: Array, value: ComplexArray) -> None:
        n = value.shape[1]
        tau, off = np.meshgrid(TAUS_S, OFFSETS_HZ, indexing="ij")
        slope = -1.0 / tau.ravel() + 2j * np.pi * off.ravel()
        shapes = np.exp(np.outer(slope, times_s))
        self._tau = tau.ravel()
        self._value = value
        self._filters: list[ComplexArray] = []
        self._weights: list[Array] = []
        for channel in range(value.shape[2]):
            one = value[:, :, channel]
            left = one - one.mean(axis=1, keepdims=True)
            spread = left @ left.conj().T / n
            spread += LOADING * np.trace(spread).real / len(times_s) * np.eye(len(times_s))
            through = np.linalg.solve(spread, shapes.T)
            self._filters.append(through.conj())
            self._weights.append(np.einsum("kt,tk->k", shapes.conj(), through).real)

    def of(self, counts: Array) -> tuple[Array, Array]:
        """Time constant and coherent amplitude of trains counted, shape (n_draws, n_trains)."""
        gain = np.zeros((len(counts), self._tau.size))
        size = np.zeros_like(gain)
        for channel, (through, weight) in enumerate(zip(self._filters, self._weights, strict=True)):
            mean = counts @ self._value[:, :, channel].T / counts.sum(axis=1, keepdims=True)
            found = np.abs(mean @ through) ** 2
            gain += found / weight
            size += found / weight**2
        best = gain.argmax(axis=1)
        return self._tau[best], np.sqrt(size[np.arange(len(counts)), best] / len(self._filters))
