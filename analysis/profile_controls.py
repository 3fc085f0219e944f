"""What stands beside the sweep as a control: jittered blocks, anchors, rest before the sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.profile_blocks import Block, Mode
from analysis.profile_curve import Measured, shape_of
from analysis.profile_jitter import pulse_phasor
from analysis.profile_locking import BlockLocking, continuous_locking
from analysis.profile_null import NullLine
from analysis.profile_permutation import Answer, answers, coherent, max_test
from analysis.profile_rest import fit_rest

__all__ = [
    "JitterControl",
    "anchors_of",
    "baseline_of",
    "core_of",
    "jitter_control",
    "measured_of",
]

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]
Band = tuple[float, float]


@dataclass(frozen=True, slots=True)
class JitterControl:
    """Jittered blocks: locking to a regular reference of their mean rate, and to their own pulses.

    Parameters
    ----------
    p : float
        Of the regular reference, by permutation; what entrainment by a regular drive should not
        give here.
    regular, own : tuple of Answer
        Per mean rate and level. `own` is followed from pulse to pulse; its p is of its own test.
    """

    p: float
    regular: tuple[Answer, ...]
    own: tuple[Answer, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "p": self.p,
            "regular": [row.to_dict() for row in self.regular],
            "own_pulses": [row.to_dict() for row in self.own],
        }


def core_of(rows: Sequence[Block], mode: Mode) -> list[Block]:
    """Drives and sham; in trains there is nothing else.

    Raises
    ------
    AnalysisError
        Jittered blocks or rest among trains.
    """
    core = [row for row in rows if row.kind in ("drive", "sham")]
    if mode == "electrical" and len(core) < len(rows):
        raise AnalysisError(
            "mode electrical reads gaps after trains: leave rows of kind jitter and rest out of "
            "the table"
        )
    return core


def measured_of(found: Sequence[BlockLocking]) -> Measured:
    """Arrays over blocks."""
    first = [one.block for one in found]
    shapes = [shape_of([other.virtual for other in found if len(other.blocks) == n])
              for n in [len(one.blocks) for one in found]]  # fmt: skip
    return Measured(
        np.array([b.frequency_hz for b in first]),
        np.array([b.level for b in first]),
        np.array([one.plv2 for one in found]),
        np.array([one.null for one in found]),
        np.array([float(b.order) for b in first]),
        np.array(shapes),
    )


def jitter_control(
    data: Array,
    sfreq_hz: float,
    rows: Sequence[Block],
    unit_in: Mapping[Band, ComplexArray],
    lines: Mapping[Band, NullLine],
    bands: Mapping[float, Band],
    n_draws: int,
) -> JitterControl | None:
    """Read the jittered blocks.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_times)
        Unfiltered signal.
    sfreq_hz : float
        Rate.
    rows : sequence of Block
        The whole table.
    unit_in, lines : mapping of band
        Phasors, and what chance gives.
    bands : mapping of float to band
        Of the drives.
    n_draws : int
        Of the permutation.

    Returns
    -------
    JitterControl or None
        None without such blocks, or where their rate lies in none of the drives' bands.
    """
    blocks = [row for row in rows if row.kind == "jitter"]
    if not blocks:
        return None
    phasor = pulse_phasor(blocks, data.shape[1], sfreq_hz)
    regular, own = [], []
    for block in blocks:
        near = min(bands, key=lambda hz: abs(hz - block.frequency_hz))
        band = bands[near]
        if not band[0] < block.frequency_hz < band[1]:
            continue
        unit = unit_in[band]
        regular.append(
            continuous_locking(
                data, unit, sfreq_hz, [block], frequency_hz=block.frequency_hz, line=lines[band]
            )
        )
        # The pulses' own phase has no line: their null is flat over a few tenths of a hertz.
        found = continuous_locking(data, unit, sfreq_hz, [block], drive=phasor)
        own.append(replace(found, band_hz=band))
    if not regular:
        return None
    # A stream of its own, so that the control draws nothing away from the sweep.
    rng = np.random.default_rng(n_draws)
    test, own_test = max_test(regular, rng, n_draws), max_test(own, rng, n_draws)
    return JitterControl(
        test.p,
        tuple(answers(regular, measured_of(regular), test)),
        tuple(answers(own, measured_of(own), own_test)),
    )


def anchors_of(found: Sequence[BlockLocking]) -> list[dict[str, Any]]:
    """Blocks of the frequencies that were repeated, in the order they ran.

    Returns
    -------
    list of dict
        `frequency_hz`, `level`, `order`, `response_plv2` and its interval: what the session itself
        did to the response, without any curve in between.
    """
    cells: dict[tuple[float, float], list[int]] = {}
    for i, one in enumerate(found):
        cells.setdefault((one.block.frequency_hz, one.block.level), []).append(i)
    measured = measured_of(found)
    told = []
    for (hz, level), places in sorted(cells.items()):
        if len(places) < 2:
            continue
        for i in sorted(places, key=lambda i: found[i].block.order):
            chosen = np.zeros(len(found), dtype=bool)
            chosen[i] = True
            best, low, high = coherent(measured.only(chosen))
            told.append(
                {
                    "frequency_hz": hz,
                    "level": level,
                    "order": found[i].block.order,
                    "response_plv2": best,
                    "response_ci95_plv2": [low, high],
                }
            )
    return told


def baseline_of(
    data: Array, sfreq_hz: float, rows: Sequence[Block], bands: Mapping[float, Band]
) -> list[dict[str, Any]]:
    """Line of the rhythm in the rest before the sweep, eyes by eyes; null where none stands out."""
    band = (min(b[0] for b in bands.values()), max(b[1] for b in bands.values()))
    told = []
    for eyes in sorted({row.eyes for row in rows if row.kind == "rest"}):
        spans = [(r.start_s, r.stop_s) for r in rows if r.kind == "rest" and r.eyes == eyes]
        line = fit_rest(data, sfreq_hz, spans, band) if band[1] + 4.0 < 0.5 * sfreq_hz else None
        told.append(
            {
                "eyes": eyes or None,
                "seconds": sum(stop - start for start, stop in spans),
                "line": None if line is None else line.to_dict(),
            }
        )
    return told
