"""Whether the effect of a block depends on the state before it, beyond regression to the mean.

A change is correlated with its own baseline by arithmetic: with a reliability ``r`` of what is
measured, change regressed on baseline has the slope ``r - 1`` where nothing was done at all. Blocks
without stimulation show that slope; only the difference from it can be an effect of the state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError, UnusableRecording

__all__ = ["StateSlope", "state_slope"]

Array = NDArray[np.float64]

LEAST: Final = 10  # blocks of either kind


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSlope:
    """How a change goes with its baseline.

    Parameters
    ----------
    slope : float
        Of change on baseline in blocks with stimulation.
    null_slope : float
        The same in blocks without: regression to the mean.
    difference : float
        What the state may have to do with the effect.
    p_value : float
        Of that difference, by permutation of which blocks were stimulated.
    n_stimulated, n_without : int
        Blocks.
    """

    slope: float
    null_slope: float
    difference: float
    p_value: float
    n_stimulated: int
    n_without: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def state_slope(
    before: Array, after: Array, stimulated: NDArray[np.bool_], *, n_permutations: int = 1999,
    seed: int = 0,
) -> StateSlope:  # fmt: skip
    """Compare the slope of change on baseline with and without stimulation.

    Parameters
    ----------
    before, after : ndarray, shape (n_blocks,)
        ln power before and after each block.
    stimulated : ndarray of bool, shape (n_blocks,)
        Which blocks had current; they must have been drawn at random.
    n_permutations : int
        Draws.
    seed : int
        Of the draws.

    Returns
    -------
    StateSlope

    Raises
    ------
    UnusableRecording
        Fewer than ten blocks of either kind: no slope of no effect is known.
    AnalysisError
        Numbers that are none, or arrays that do not fit.

    Notes
    -----
    Under the null neither the mean nor the slope depends on stimulation. The mean effect is taken
    off within each kind before blocks are exchanged, so that an effect that is the same in every
    state is not taken for a dependence on it.
    """
    pre, post = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    on = np.asarray(stimulated, dtype=bool)
    if pre.ndim != 1 or not pre.shape == post.shape == on.shape:
        raise AnalysisError("state slope: give three arrays of one length")
    if not (np.isfinite(pre).all() and np.isfinite(post).all()):
        raise AnalysisError("state slope: a block has no number; leave it out")
    if min(int(on.sum()), int((~on).sum())) < LEAST:
        raise UnusableRecording(
            f"{int(on.sum())} blocks with stimulation and {int((~on).sum())} without: the slope "
            f"of no effect needs {LEAST} of each"
        )
    change = post - pre
    slope, null_slope = _slope(pre[on], change[on]), _slope(pre[~on], change[~on])
    both = np.stack([pre, change])
    for kind in (on, ~on):
        both[:, kind] -= both[:, kind].mean(axis=1, keepdims=True)
    seen = abs(slope - null_slope)
    rng = np.random.default_rng(seed)
    n_at_least = 1
    for _ in range(n_permutations):
        drawn = rng.permutation(on)
        other = _slope(*both[:, drawn]) - _slope(*both[:, ~drawn])
        n_at_least += bool(abs(other) >= seen - 1e-12)
    return StateSlope(
        slope=slope,
        null_slope=null_slope,
        difference=slope - null_slope,
        p_value=n_at_least / (n_permutations + 1),
        n_stimulated=int(on.sum()),
        n_without=int((~on).sum()),
    )


def _slope(x: Array, y: Array) -> float:
    off = x - x.mean()
    spread = float(off @ off)
    if not spread > 0.0:
        raise UnusableRecording("every block had the same baseline: there is no slope")
    return float(off @ y) / spread
