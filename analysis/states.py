"""States of a person within and between recordings: events of a task, eyes closed and open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.estimate import Reactivity
from analysis.likelihood import least_squares
from analysis.marks import onsets_s

if TYPE_CHECKING:
    from analysis.rhythm import RhythmFit

__all__ = ["EventWindow", "Reactivity", "event_starts", "reactivity"]

Array = NDArray[np.float64]

SHORTEST_S = 1.0
_ROUNDING_S = 1e-9  # 2.4826 s less 1.4826 s is a little under 1 s
LONGEST_WINDOW_S = 4.0
BLOCK_SEGMENTS = 5


@dataclass(frozen=True, slots=True)
class EventWindow:
    """Time around events of one name.

    Parameters
    ----------
    name : str
        Text of the annotations.
    tmin_s, tmax_s : float
        From and to, in seconds after the event; at least 1 s long.

    Raises
    ------
    AnalysisError
        If the window is too short or ends before it starts.
    """

    name: str
    tmin_s: float
    tmax_s: float

    def __post_init__(self) -> None:
        long_enough = self.length_s >= SHORTEST_S - _ROUNDING_S
        if not (np.isfinite([self.tmin_s, self.tmax_s]).all() and long_enough):
            raise AnalysisError(
                f"event window {self.tmin_s:g} to {self.tmax_s:g} s: give one of at least "
                f"{SHORTEST_S:g} s"
            )

    @property
    def length_s(self) -> float:
        """Length of the window."""
        return self.tmax_s - self.tmin_s

    @property
    def window_s(self) -> float:
        """Length of a spectrum's segment: half the window, 1 s at least and 4 s at most."""
        return min(max(0.5 * self.length_s, SHORTEST_S), LONGEST_WINDOW_S)

    def describe(self) -> str:
        """In words."""
        return f"{self.tmin_s:g} to {self.tmax_s:g} s after {self.name!r}"


def event_starts(raw: Any, window: EventWindow) -> NDArray[np.int64]:
    """First samples of the segments inside the windows, half overlapping within each.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Recording with annotations.
    window : EventWindow
        Which ones, and when.

    Returns
    -------
    ndarray of int, shape (n_segments,)
        In order, without repeats; segments that leave the recording are left out.

    Raises
    ------
    AnalysisError
        If no annotation has that name.
    """
    sfreq = float(raw.info["sfreq"])
    onsets = [
        float(onset)
        for onset, text in zip(onsets_s(raw), raw.annotations.description, strict=True)
        if str(text) == window.name
    ]
    if not onsets:
        names = sorted({str(text) for text in raw.annotations.description})
        there = f"it has {', '.join(names[:12])}" if names else "it has none"
        raise AnalysisError(f"no event {window.name!r} in the recording; {there}")
    length = round(window.window_s * sfreq)
    step = max(1, length // 2)
    starts: list[int] = []
    for onset in onsets:
        first = round((onset + window.tmin_s) * sfreq)
        last = round((onset + window.tmax_s) * sfreq) - length
        starts += [s for s in range(first, last + 1, step) if 0 <= s <= raw.n_times - length]
    return np.unique(np.array(starts, dtype=np.int64))


def reactivity(rhythm: RhythmFit, opened: Array) -> Reactivity:
    """Compare the rhythm's power with eyes closed and open.

    Parameters
    ----------
    rhythm : RhythmFit
        Fit of the recording with eyes closed.
    opened : ndarray, shape (n_segments, n_freqs)
        Segment spectra with eyes open, same channel weights, in the same unit.

    Returns
    -------
    Reactivity

    Notes
    -----
    The height of the closed recording's bump is estimated in every segment by weighted least
    squares beside a background of free level and tilt; errors come from blocks of five segments.
    Alpha falls when the eyes open (Berger 1929); a rhythm that does not may be mu, or a line. The
    comparison says nothing about whether there is a rhythm: what was chosen for being high with
    the eyes closed falls by chance as well.
    """
    model, row = rhythm.fitted
    line = model.bump(row, len(model.bumps) - 1)[0]
    level = rhythm.background
    tilt = np.log(rhythm.freqs_hz / rhythm.peak_hz)
    regressors = np.stack([line, level, level * tilt, level * tilt**2])

    def heights(segments: Array) -> tuple[float, float]:
        found = least_squares(regressors, segments, segments.mean(axis=0))[0]
        n_blocks = max(2, found.size // BLOCK_SEGMENTS)
        blocks = np.array([part.mean() for part in np.array_split(found, n_blocks)])
        return float(found.mean()), float(blocks.std(ddof=1) / np.sqrt(n_blocks))

    closed_height, closed_error = heights(rhythm.segments)
    open_height, open_error = heights(opened)
    difference = (closed_height - open_height) / max(np.hypot(closed_error, open_error), 1e-12)
    floor = max(open_height, open_error)
    return Reactivity(
        change_db=float(10.0 * np.log10(floor / max(closed_height, 1e-12))),
        at_most=open_height < open_error,
        difference_z=float(difference),
        reactive=bool(difference >= 1.96 and open_height < closed_height),
    )
