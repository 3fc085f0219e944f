"""The table of a response profile: which drive ran when; what may be read and what is refused."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError, UnusableRecording

__all__ = [
    "UNDER_CURRENT",
    "Block",
    "Kind",
    "Mode",
    "check_blocks",
    "gap_after_s",
    "read_blocks",
    "same_end",
]

Mode = Literal["photic", "electrical", "virtual"]
Kind = Literal["drive", "sham", "jitter", "rest"]

UNDER_CURRENT = (
    "EEG recorded under current cannot carry a resonance: the artefact has exactly the phase of "
    "the stimulator, so that any residue of it reads as entrainment; read the gaps between trains "
    "(mode electrical), or drive with light (mode photic)"
)
MOST_ALIKE = 0.3  # resultant of phases
_NEEDED = ("frequency_hz", "level", "kind", "start_s", "stop_s")


@dataclass(frozen=True, slots=True)
class Block:
    """One stretch of drive or of sham: a row of the table.

    Parameters
    ----------
    frequency_hz : float
        Exact frequency of the drive; in sham that of the virtual reference that kept running.
    level : float
        Amplitude (mA) or level of the drive (any unit, but one); what sham would have had.
    kind : {"drive", "sham", "jitter", "rest"}
        Whether the drive was on; `jitter` is a drive without a rhythm of its own (a control), and
        `rest` time before the sweep, `frequency_hz` and `level` of no meaning.
    start_s, stop_s : float
        Seconds from the start of the recording; in mode electrical the current is zero from
        `stop_s` on.
    order : int
        Position in the session.
    phase_rad : float
        Phase of the drive (of its cosine) at `start_s`.
    group : str
        Rows with the same frequency, level, kind and group are one block of several reads (trials
        or trains).
    jitter_sd, jitter_seed : float, int
        Of a jittered block's periods (:func:`analysis.profile_jitter.jitter_onsets_s`).
    eyes : str
        In rest, open or closed.
    """

    frequency_hz: float
    level: float
    kind: Kind
    start_s: float
    stop_s: float
    order: int = 0
    phase_rad: float = 0.0
    group: str = ""
    jitter_sd: float = 0.0
    jitter_seed: int = 0
    eyes: str = ""

    @property
    def key(self) -> tuple[float, float, str, str]:
        """What tells this block from others."""
        return (self.frequency_hz, self.level, self.kind, self.group)


def read_blocks(path: str | Path) -> list[Block]:
    """Read a table of blocks.

    Parameters
    ----------
    path : path
        Tab-separated, with a header: `frequency_hz`, `level` (or `amplitude_ma`), `kind` (drive,
        sham, jitter or rest), `start_s`, `stop_s`; optional `order` (by default that of the
        starts), `phase_rad` (0), `group`, `jitter_sd` and `jitter_seed` (needed for jitter) and
        `eyes` (rest).

    Returns
    -------
    list of Block

    Raises
    ------
    AnalysisError
        If the file cannot be read or a value makes no sense; the text names file and line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise AnalysisError(f"{path}: the table of blocks cannot be read ({exc})") from exc
    rows = list(csv.DictReader(text.splitlines(), delimiter="\t"))
    names = tuple(rows[0]) if rows else ()
    level = "amplitude_ma" if "amplitude_ma" in names and "level" not in names else "level"
    missing = [n for n in _NEEDED if n != "level" and n not in names]
    missing += [] if level in names else ["level"]
    if missing:
        raise AnalysisError(
            f"{path}: columns missing: {', '.join(missing)}; give a tab-separated table with "
            f"{', '.join(_NEEDED)}"
        )
    blocks = []
    for line, row in enumerate(rows, start=2):
        kind = (row["kind"] or "").strip()
        if kind not in get_args(Kind):
            raise AnalysisError(
                f"{path}, line {line}: kind {kind!r}, write drive, sham, jitter or rest"
            )
        try:
            blocks.append(
                Block(
                    float(row["frequency_hz"]),
                    float(row[level]),
                    cast("Kind", kind),
                    float(row["start_s"]),
                    float(row["stop_s"]),
                    int(row.get("order") or 0),
                    float(row.get("phase_rad") or 0.0),
                    (row.get("group") or "").strip(),
                    float(row.get("jitter_sd") or 0.0),
                    int(row.get("jitter_seed") or 0),
                    (row.get("eyes") or "").strip(),
                )
            )
        except (TypeError, ValueError) as exc:
            raise AnalysisError(f"{path}, line {line}: not a number ({exc})") from exc
    return blocks


def check_blocks(blocks: Sequence[Block], duration_s: float) -> list[Block]:
    """Return the blocks by start, numbered where they were not; every problem in one error.

    Parameters
    ----------
    blocks : sequence of Block
        Any order.
    duration_s : float
        Length of the recording.

    Returns
    -------
    list of Block

    Raises
    ------
    AnalysisError
        If blocks overlap, end before they start, lie outside, or none is a drive.
    """
    ordered = sorted(blocks, key=lambda b: b.start_s)
    problems = []
    for i, block in enumerate(ordered):
        values = (block.frequency_hz, block.level, block.start_s, block.stop_s, block.phase_rad)
        where = f"block {i + 1} ({block.frequency_hz:g} Hz from {block.start_s:g} s)"
        if not all(math.isfinite(value) for value in values):
            problems.append(f"{where}: a value is not a finite number")
        elif block.kind != "rest" and (block.frequency_hz <= 0.0 or block.level < 0.0):
            problems.append(f"{where}: frequency above 0 Hz and level of 0 or more needed")
        elif block.kind == "jitter" and not 0.0 < block.jitter_sd < math.inf:
            problems.append(f"{where}: jitter needs jitter_sd (and jitter_seed) as it was driven")
        elif block.stop_s <= block.start_s:
            problems.append(f"{where}: ends at {block.stop_s:g} s, not after its start")
        elif block.start_s < 0.0 or block.stop_s > duration_s + 1e-6:
            problems.append(f"{where}: outside the recording of {duration_s:g} s")
        elif i and block.start_s < ordered[i - 1].stop_s - 1e-6:
            problems.append(f"{where}: begins before the one before it ends")
    if not any(b.kind == "drive" for b in ordered):
        problems.append(
            "no block of kind drive; sham trains are read beside those of a visit with a drive"
        )
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise AnalysisError("table of blocks: " + "; ".join(problems[:3]) + more)
    if any(b.order for b in ordered):
        return ordered
    return [replace(block, order=i + 1) for i, block in enumerate(ordered)]


def same_end(trains: Sequence[Block]) -> str:
    """Say that trains end at nearly the same phase of the drive; empty where they do not.

    What the end itself evokes (a sensation, the amplifier) is then as locked to the drive as an
    echo, and no null tells the two apart.
    """
    ends = [t.phase_rad + 2.0 * math.pi * t.frequency_hz * (t.stop_s - t.start_s) for t in trains]
    alike = float(np.abs(np.mean(np.exp(1j * np.array(ends)))))
    if alike <= MOST_ALIKE:
        return ""
    return (
        f"{len(trains)} trains at {trains[0].frequency_hz:g} Hz end at nearly the same phase "
        f"(resultant {alike:.2f}): what their end evokes reads as an echo too; take another gap"
    )


def gap_after_s(blocks: Sequence[Block], duration_s: float) -> NDArray[np.float64]:
    """Seconds without drive after each block, shape (n_blocks,); `blocks` by start."""
    ends = [b.start_s for b in blocks[1:]] + [duration_s]
    return np.array([end - b.stop_s for b, end in zip(blocks, ends, strict=True)])


def check_current(
    mode: Mode, reads_s: Sequence[tuple[float, float]], current_s: Sequence[tuple[float, float]]
) -> None:
    """Refuse reads during which current is known to flow; in a virtual patient too.

    Parameters
    ----------
    mode : {"photic", "electrical", "virtual"}
        What the drive was.
    reads_s : sequence of (float, float)
        Spans to be read.
    current_s : sequence of (float, float)
        Spans marked as being under current.

    Raises
    ------
    UnusableRecording
        If one of them lies under current.
    """
    for start, stop in reads_s:
        if any(start < end - 1e-6 and stop > begin + 1e-6 for begin, end in current_s):
            raise UnusableRecording(
                f"current flowed at {start:.1f} to {stop:.1f} s (mode {mode}): {UNDER_CURRENT}"
            )
