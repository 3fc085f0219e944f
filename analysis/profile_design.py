"""The design of a profile as it ran: order, lengths, virtual references; which designs are alike.

Two results are comparable where what was driven and read is the same: locking depends on the
length of a block, on the level, on the frequencies beside the best one and on the channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.profile_blocks import Block, Mode
from analysis.profile_locking import BlockLocking, virtual_offsets_hz

__all__ = ["design_of", "difference_of"]

LENGTH_TOLERANCE = 0.05
SPACING_TOLERANCE_HZ = 0.11


def design_of(
    rows: Sequence[Block],
    groups: Sequence[Sequence[Block]],
    found: Sequence[BlockLocking],
    gaps_s: Any,
    mode: Mode,
    read_s: tuple[float, float],
    bands_hz: Mapping[float, tuple[float, float]],
) -> dict[str, Any]:
    """Describe what ran and what it was held against.

    Parameters
    ----------
    rows : sequence of Block
        By start.
    groups : sequence of sequence of Block
        Rows of each block.
    found : sequence of BlockLocking
        Driven blocks as read.
    gaps_s : ndarray, shape (n_rows,)
        Seconds without drive after each row.
    mode : {"photic", "electrical", "virtual"}
        What drove.
    read_s : (float, float)
        Of each gap (electrical).
    bands_hz : mapping of float to (float, float)
        Band of the phasors by drive frequency.

    Returns
    -------
    dict
        `order` (one entry a block, in the order run), `levels`, `n_frequencies`, `spacing_hz`,
        `seconds_per_block` (or train), `gap_s`, `reads_per_frequency`, `n_sham`, `n_jitter`,
        `read_s`, `band_width_hz` and `virtual_references`.
    """
    drives = [row for row in rows if row.kind == "drive"]
    frequencies = sorted({row.frequency_hz for row in drives})
    levels = sorted({row.level for row in drives})
    cells = len({(row.frequency_hz, row.level) for row in drives})
    trains = mode == "electrical"
    if trains:
        virtual: dict[str, Any] = {
            "kind": "phases drawn anew for every train",
            "n": int(found[0].virtual.size),
        }
    else:
        near = virtual_offsets_hz(found[0].seconds / len(found[0].blocks))
        virtual = {
            "kind": "references beside the drive, whole turns per block away",
            "n": int(found[0].virtual.size),
            "nearest_hz": float(near.min()),
            "farthest_hz": float(near.max()),
        }
    between = np.asarray(gaps_s)[:-1]
    return {
        "order": [
            {
                "order": group[0].order,
                "frequency_hz": group[0].frequency_hz,
                "level": group[0].level,
                "kind": group[0].kind,
                "start_s": group[0].start_s,
                "stop_s": group[-1].stop_s,
                "n_reads": len(group),
            }
            for group in sorted(groups, key=lambda group: group[0].start_s)
        ],
        "levels": levels,
        "n_frequencies": len(frequencies),
        "spacing_hz": np.diff(frequencies).tolist(),
        "seconds_per_block": float(np.median([row.stop_s - row.start_s for row in drives])),
        "gap_s": float(np.median(between)) if between.size else None,
        "reads_per_frequency": len(drives) / cells,
        "n_sham": sum(row.kind == "sham" for row in rows),
        "n_jitter": sum(row.kind == "jitter" for row in rows),
        "read_s": list(read_s) if trains else None,
        "band_width_hz": float(np.median([high - low for low, high in bands_hz.values()])),
        "virtual_references": virtual,
    }


def difference_of(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """Say in what two results are not comparable.

    Parameters
    ----------
    one, other : mapping
        Results as `ResponseProfile.to_dict`.

    Returns
    -------
    str or None
        The first difference in mode, channels, levels, frequencies, length, repeats or read.
    """
    if one["mode"] != other["mode"]:
        return f"mode {one['mode']} against {other['mode']}"
    if set(one["channels"]) != set(other["channels"]):
        return f"channels {_listed(one['channels'])} against {_listed(other['channels'])}"
    a, b = one["design"], other["design"]
    if not _close(a["levels"], b["levels"], 1e-6):
        return f"levels {_listed(a['levels'])} against {_listed(b['levels'])}"
    if a["n_frequencies"] != b["n_frequencies"]:
        return f"{a['n_frequencies']} frequencies against {b['n_frequencies']}"
    if not _close(a["spacing_hz"], b["spacing_hz"], SPACING_TOLERANCE_HZ):
        return f"steps of {_listed(a['spacing_hz'])} Hz against {_listed(b['spacing_hz'])} Hz"
    long, short = a["seconds_per_block"], b["seconds_per_block"]
    if abs(long - short) > LENGTH_TOLERANCE * max(long, short):
        return f"blocks of {long:.1f} s against {short:.1f} s"
    reads = a["reads_per_frequency"], b["reads_per_frequency"]
    if abs(reads[0] - reads[1]) > LENGTH_TOLERANCE * max(reads):
        return f"{reads[0]:g} reads of a frequency against {reads[1]:g}"
    if a["read_s"] != b["read_s"]:
        return f"gaps read at {_listed(a['read_s'])} s against {_listed(b['read_s'])} s"
    if abs(a["band_width_hz"] - b["band_width_hz"]) > 2.0 * SPACING_TOLERANCE_HZ:
        return f"bands of {a['band_width_hz']:g} Hz against {b['band_width_hz']:g} Hz"
    if bool(a["n_sham"]) != bool(b["n_sham"]):
        return "one with sham, one without"
    return None


def _close(one: Sequence[float], other: Sequence[float], tolerance: float) -> bool:
    return len(one) == len(other) and all(
        abs(a - b) <= tolerance for a, b in zip(one, other, strict=True)
    )


def _listed(values: Sequence[Any] | None) -> str:
    """Values with commas between; many are cut."""
    shown = [f"{v:g}" if isinstance(v, int | float) else str(v) for v in values or ()]
    return ", ".join(shown[:9]) + (", …" if len(shown) > 9 else "") or "none"
