"""State before each block as a covariate: how the response goes with the rhythm's power before it.

Exploratory, no part of the verdict. The response is what the curve leaves over, in standard
deviations; the state is ln power about the rhythm in the gap before the block. Beside its slope
stands that of nothing: references that never were there take the drive's place in the same blocks.
For the change of power, which goes with its own baseline by arithmetic, the slope of nothing is
that of sham blocks (:mod:`analysis.state_slope`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError, UnusableRecording
from analysis.profile_blocks import Block
from analysis.profile_curve import Lorentzian, Measured
from analysis.profile_locking import BlockLocking
from analysis.profile_power import BEFORE_S, LEAST_S, band_power
from analysis.profile_rest import RestLine
from analysis.state_slope import StateSlope, state_slope

__all__ = ["StateCovariate", "state_of"]

Array = NDArray[np.float64]

LEAST_BLOCKS = 6
HALF_BAND_HZ = 2.0
SETTLE_S = 2.0


@dataclass(frozen=True, slots=True)
class StateCovariate:
    """Response, and after-effect, over ln power before the block.

    Parameters
    ----------
    band_hz : (float, float)
        Of the power.
    n_blocks : int
        Driven blocks with enough time without a drive before them.
    slope, slope_ci95, p : float, (float, float), float
        Residual response in standard deviations per unit of ln power; Student, permutation.
    null_slope, null_ci95 : float, (float, float)
        The same of virtual references: mean, and where 95 % of their draws lie.
    difference, difference_ci95 : float, (float, float)
        `slope` less `null_slope`.
    reason : str
        Why there is none of these.
    after : StateSlope or None
        Change of power over its baseline, in drives and in sham.
    after_reason : str
        Why there is none.
    """

    band_hz: tuple[float, float]
    n_blocks: int
    slope: float | None
    slope_ci95: tuple[float, float] | None
    p: float | None
    null_slope: float | None
    null_ci95: tuple[float, float] | None
    difference: float | None
    difference_ci95: tuple[float, float] | None
    reason: str
    after: StateSlope | None
    after_reason: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        said = {name: getattr(self, name) for name in self.__slots__}
        for name in ("band_hz", "slope_ci95", "null_ci95", "difference_ci95"):
            said[name] = None if said[name] is None else list(said[name])
        said["after"] = None if self.after is None else self.after.to_dict()
        return said | {
            "reason": self.reason or None,
            "after_reason": self.after_reason or None,
        }


def state_of(
    data: Array,
    sfreq_hz: float,
    rows: Sequence[Block],
    gaps_s: Array,
    found: Sequence[BlockLocking],
    measured: Measured,
    curves: Mapping[float, Lorentzian],
    rest: RestLine | None,
    bands_hz: Mapping[float, tuple[float, float]],
    n_draws: int,
) -> StateCovariate:
    """Hold the responses against the state before them.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_times)
        Unfiltered signal.
    sfreq_hz : float
        Rate.
    rows, gaps_s : sequence of Block, ndarray
        The whole table by start, and the seconds without a drive after each row.
    found, measured : sequence of BlockLocking, Measured
        Driven blocks.
    curves : mapping of float to Lorentzian
        By level; empty without a response.
    rest : RestLine or None
        The rhythm's line; its centre 2 Hz either side is the band of the power.
    bands_hz : mapping
        Bands of the drives; all of them together where there is no line.
    n_draws : int
        Of the permutation.

    Returns
    -------
    StateCovariate
    """
    if rest is None:
        band = (min(b[0] for b in bands_hz.values()), max(b[1] for b in bands_hz.values()))
    else:
        band = (rest.centre_hz - HALF_BAND_HZ, rest.centre_hz + HALF_BAND_HZ)
    before_s = dict(zip(rows, np.r_[rows[0].start_s, gaps_s[:-1]].tolist(), strict=True))
    after_s = dict(zip(rows, gaps_s.tolist(), strict=True))
    state = {
        row: band_power(data, sfreq_hz, row.start_s - length, length, band)
        for row in rows
        if (length := min(BEFORE_S, before_s[row] - SETTLE_S)) >= LEAST_S - SETTLE_S
    }
    after = _after(data, sfreq_hz, rows, before_s, after_s, band)
    kept = np.array([one.block in state for one in found], dtype=bool)
    n = int(kept.sum())

    def none(why: str) -> StateCovariate:
        return StateCovariate(band, n, *(None,) * 7, why, *after)

    if not curves or not set(measured.level.tolist()) <= set(curves):
        return none("no curve that a response could be more or less than")
    if n < LEAST_BLOCKS:
        return none(
            f"{n} blocks with {LEAST_S:g} s or more without a drive before them: {LEAST_BLOCKS} "
            "are needed"
        )
    signal = np.zeros(measured.plv2.size)
    for level, curve in curves.items():
        at = measured.level == level
        signal[at] = curve.at(measured.frequency_hz[at])
    sd = np.sqrt((measured.null**2 + 2.0 * signal * measured.null) / measured.shape)
    response = ((measured.plv2 - measured.null - signal) / sd)[kept]
    power = np.log([state[one.block] for one, is_in in zip(found, kept, strict=True) if is_in])
    if not np.ptp(power) > 0.0:
        return none("the state was the same before every block")
    slope, ends = _line(power, response)
    rng = np.random.default_rng(n_draws)
    least = abs(slope) - 1e-12
    beyond = sum(abs(_slope(power, rng.permutation(response))) >= least for _ in range(n_draws))
    drawn = np.stack(
        [
            rng.choice(_chance(one.virtual), n_draws) * math.sqrt(nu)
            for one, nu, is_in in zip(found, measured.shape.tolist(), kept, strict=True)
            if is_in
        ],
        axis=1,
    )
    nothing = np.array([_slope(power, row) for row in drawn])
    null = float(nothing.mean())
    low, high = (float(end) for end in np.quantile(nothing, (0.025, 0.975)))
    return StateCovariate(
        band, n, slope, ends, (1 + beyond) / (n_draws + 1), null, (low, high), slope - null,
        (ends[0] - null, ends[1] - null), "", *after,
    )  # fmt: skip


def _chance(virtual: Array) -> Array:
    """Each reference over the others, less 1."""
    return np.asarray(virtual * (virtual.size - 1) / (virtual.sum() - virtual) - 1.0)


def _after(
    data: Array,
    sfreq_hz: float,
    rows: Sequence[Block],
    before_s: Mapping[Block, float],
    after_s: Mapping[Block, float],
    band_hz: tuple[float, float],
) -> tuple[StateSlope | None, str]:
    """Change of power over its baseline; needs ten blocks of either kind."""
    before, after, driven = [], [], []
    for row in rows:
        length = min(BEFORE_S, before_s[row] - SETTLE_S, after_s[row] - SETTLE_S)
        if row.kind not in ("drive", "sham") or length < LEAST_S - SETTLE_S:
            continue
        before.append(band_power(data, sfreq_hz, row.start_s - length, length, band_hz))
        after.append(band_power(data, sfreq_hz, row.stop_s + 0.5, length, band_hz))
        driven.append(row.kind == "drive")
    try:
        return state_slope(np.log(before), np.log(after), np.array(driven, dtype=bool)), ""
    except (AnalysisError, UnusableRecording) as exc:
        return None, str(exc)


def _slope(x: Array, y: Array) -> float:
    off = x - x.mean()
    return float(off @ y) / float(off @ off)


def _line(x: Array, y: Array) -> tuple[float, tuple[float, float]]:
    """Slope and its 95 % interval (Student)."""
    from scipy.stats import t

    slope = _slope(x, y)
    off = x - x.mean()
    left = y - y.mean() - slope * off
    free = x.size - 2
    se = math.sqrt(float(left @ left) / free / float(off @ off))
    half = float(t.ppf(0.975, free)) * se
    return slope, (slope - half, slope + half)
