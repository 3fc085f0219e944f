"""How the locking that chance gives is spread over frequency: the rhythm's own line.

References beside the drive stand for the drive's own null only where chance gives as much there.
Reads of seconds have their references half a hertz and more away, on the flanks of the rhythm's
line, where an undriven rhythm locks to a third of what it does at its peak; and beyond the edge of
the band. What chance gives over frequency is therefore fitted to the squared locking of all reads
together, each without its own drive: a line and a ground, both through the filter, and a floor
that the filter does not see (phasors are of size 1). References are weighed by it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.profile_blocks import Block

__all__ = ["NullLine", "band_filter", "fit_null_line"]

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

STEP_HZ = 0.05  # of the spectrum that is fitted, where the reads resolve it
BESIDE = 1.5  # resolutions about each drive that are left out
BEYOND_HZ = 1.0  # of the band's edges, that the floor is known by
LEAST_CELLS = 8
LEAST_RATIO = 14.0  # likelihood ratio of the line, as of the line at rest


@dataclass(frozen=True, slots=True)
class NullLine:
    """Locking by chance over frequency, in units of its ground.

    Parameters
    ----------
    centre_hz, half_width_hz : float
        Of the line, as wide as the reads show it.
    height : float
        Of the line over the ground; 0 where no line stands out.
    floor : float
        What passes beside the filter.
    band_hz : (float, float)
        Of the filter.
    sfreq_hz : float
        Rate.
    """

    centre_hz: float
    half_width_hz: float
    height: float
    floor: float
    band_hz: tuple[float, float]
    sfreq_hz: float

    def at(self, frequency_hz: Array) -> Array:
        """Value of the curve."""
        turn = (frequency_hz - self.centre_hz) / self.half_width_hz
        passed = _passed(frequency_hz, self.band_hz, self.sfreq_hz)
        return np.asarray(passed * (1.0 + self.height / (1.0 + turn**2)) + self.floor)


def band_filter(band_hz: tuple[float, float], sfreq_hz: float) -> Any:
    """Filter of the phasors, as second-order sections; it runs forwards and backwards."""
    from scipy.signal import butter

    return butter(3, band_hz, btype="bandpass", fs=sfreq_hz, output="sos")


def _passed(frequency_hz: Array, band_hz: tuple[float, float], sfreq_hz: float) -> Array:
    """Share of power that the filter lets through, forwards and backwards."""
    from scipy.signal import sosfreqz

    _, gain = sosfreqz(band_filter(band_hz, sfreq_hz), frequency_hz, fs=sfreq_hz)
    return np.asarray(np.abs(gain) ** 4)


def fit_null_line(
    unit: ComplexArray,
    sfreq_hz: float,
    rows: Sequence[Block],
    band_hz: tuple[float, float],
    *,
    settle_s: float,
) -> NullLine:
    """Fit what chance gives over a band.

    Parameters
    ----------
    unit : ndarray of complex, shape (n_channels, n_times)
        Phasors of the band.
    sfreq_hz : float
        Rate.
    rows : sequence of Block
        All reads, sham too.
    band_hz : (float, float)
        Of the phasors.
    settle_s : float
        Left out after each start.

    Returns
    -------
    NullLine
        Without a line where none stands out (likelihood ratio under 14). A ground that falls with
        frequency counts as the flank of a wide one.
    """
    from scipy.optimize import minimize

    hz, seen, looks = _spectrum(unit, sfreq_hz, rows, band_hz, settle_s)
    if hz.size < LEAST_CELLS:
        return NullLine(sum(band_hz) / 2.0, 1.0, 0.0, 0.0, band_hz, sfreq_hz)
    seen = seen / np.median(seen)
    passed = _passed(hz, band_hz, sfreq_hz)

    def model(values: Array) -> Array:
        turn = (hz - values[0]) / math.exp(values[1])
        line = math.exp(values[2]) + math.exp(values[3]) / (1.0 + turn**2)
        return np.asarray(passed * line + math.exp(values[4]))

    def cost(values: Array) -> float:
        expected = model(values)
        return float(looks @ (np.log(expected) + seen / expected))

    least = math.log(0.5 / length_of(rows, settle_s))
    bounds = [
        (float(hz[0]), float(hz[-1])),
        (least, max(least, math.log(0.5 * (band_hz[1] - band_hz[0])))),
        (-6.0, 6.0),
        (-12.0, 8.0),
        (-6.0, 3.0),
    ]
    smooth = np.convolve(seen, np.ones(5) / 5.0, mode="same")
    low, top = math.log(float(np.quantile(seen, 0.2))), math.log(float(smooth.max()))
    where = float(hz[smooth.argmax()])
    found = [
        minimize(cost, np.array([where, wide, low, top, low - 2.0]), method="L-BFGS-B",
                 bounds=bounds)
        for wide in (max(least, math.log(0.3)), max(least, 0.0))
    ]  # fmt: skip
    best = min(found, key=lambda one: float(one.fun))
    bare = [(where, where), (0.0, 0.0), bounds[2], (-30.0, -30.0), bounds[4]]
    flat = minimize(
        cost, np.array([where, 0.0, low, -30.0, low - 2.0]), method="L-BFGS-B", bounds=bare
    )
    stands = 2.0 * (float(flat.fun) - float(best.fun)) >= LEAST_RATIO
    centre, wide, ground, height, floor = (float(v) for v in (best if stands else flat).x)
    return NullLine(
        centre, math.exp(wide), math.exp(height - ground) if stands else 0.0,
        math.exp(floor - ground), band_hz, sfreq_hz,
    )  # fmt: skip


def length_of(rows: Sequence[Block], settle_s: float) -> float:
    """Seconds that can be read of every row."""
    return min(b.stop_s - b.start_s for b in rows) - settle_s


def _spectrum(
    unit: ComplexArray,
    sfreq_hz: float,
    rows: Sequence[Block],
    band_hz: tuple[float, float],
    settle_s: float,
) -> tuple[Array, Array, Array]:
    """Frequencies, mean squared locking of the reads, and how many values each is the mean of."""
    n_times = math.floor(length_of(rows, settle_s) * sfreq_hz + 1e-6)
    if n_times < 2:
        return np.empty(0), np.empty(0), np.empty(0)
    resolution = sfreq_hz / n_times
    freqs = np.fft.fftfreq(n_times, 1.0 / sfreq_hz)
    used = np.flatnonzero((freqs > band_hz[0] - BEYOND_HZ) & (freqs < band_hz[1] + BEYOND_HZ))
    freqs = freqs[used]
    power, looks = np.zeros(used.size), np.zeros(used.size)
    for row in rows:
        first = round((row.start_s + settle_s) * sfreq_hz)
        part = unit[:, first : first + n_times]
        free = np.ones(used.size)
        if row.kind == "drive":
            # A read that is locked says little of chance: its phasors are the drive's.
            turns = np.exp(-2j * np.pi * row.frequency_hz * np.arange(n_times) / sfreq_hz)
            locking = float(np.mean(np.abs(part @ turns / n_times) ** 2))
            free = (1.0 - locking) ** 4 * (np.abs(freqs - row.frequency_hz) > BESIDE * resolution)
        power += np.mean(np.abs(np.fft.fft(part, axis=-1)[:, used]) ** 2, axis=0) * free
        looks += free
    cell = np.floor(freqs / max(STEP_HZ, resolution)).astype(int)
    _, cell = np.unique(cell, return_inverse=True)
    each = np.asarray(np.bincount(cell, looks), dtype=np.float64)
    kept = each > 0.0
    hz = np.bincount(cell, freqs) / np.bincount(cell)
    return hz[kept], np.bincount(cell, power)[kept] / each[kept], each[kept]
