"""Whether the table of trains is right: the artefact in the recording has the current's own phase.

Between two clocks nobody knows a current's phase for an hour: 20 ppm turn 10 Hz by 4 degrees a
minute. The artefact tells it where it is large: on the channel with most of it, its phase in every
train is held against the table's. A constant difference (polarity, the amplifier's delay) turns all
trains alike and changes no locking; what scatters or drifts takes locking away. The same channel
shows how far the artefact and the amplifier's settling reach into the gaps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.profile_blocks import Block

__all__ = ["TrainAlignment", "align_trains"]

Array = NDArray[np.float64]

LEAST_TRAINS = 5
LEAST_RATIO = 5.0  # of the size in trains over that in gaps: below, there is no artefact to tell
LEAST_KEPT = 0.95  # of the locking that the table's phases leave
DRIFTS_DEG_PER_MIN = np.linspace(-360.0, 360.0, 1441)
BIN_S = 0.02
SETTLED = 3.0  # times the late gap: a rhythm that was driven may be larger by less
QUIET_BINS = 3
NEXT_S = 0.1  # before the next train is due: it may come early by a tick


@dataclass(frozen=True, slots=True)
class TrainAlignment:
    """The table's phases against those of the artefact.

    Parameters
    ----------
    channel : str
        That was looked at.
    n_trains : int
        Trains.
    ratio : float
        Size in the trains over size late in the gaps.
    kept : float
        Share of the locking that is left with the table's phases (resultant length of the
        differences); 1 where they are right.
    offset_deg : float
        Mean difference, recording less table.
    drift_deg_per_min : float
        Of the difference.
    scatter_deg : float
        Circular standard deviation about that drift.
    settled_s : float
        After a train's end, from when on the gap is as it is late in the gap (within three
        times, median of the trains). A smaller residue does not show here: a phantom tells it.
    """

    channel: str
    n_trains: int
    ratio: float
    kept: float
    offset_deg: float
    drift_deg_per_min: float
    scatter_deg: float
    settled_s: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    def warnings(self, read_from_s: float) -> list[str]:
        """Return what is wrong, for reads from a time after each train on."""
        told = []
        if self.kept < LEAST_KEPT:
            told.append(
                f"the artefact on {self.channel} tells another phase than the table: it drifts by "
                f"{self.drift_deg_per_min:.0f} degrees a minute and scatters by "
                f"{self.scatter_deg:.0f}; {self.kept:.0%} of a locking would be left: analyze with "
                f"--drive-channel {self.channel}, or mend the clocks"
            )
        if self.settled_s > read_from_s:
            told.append(
                f"the gaps of {self.channel} settle {1e3 * self.settled_s:.0f} ms after a train, "
                f"and are read from {1e3 * read_from_s:.0f} ms on: analyze with a later --read, or "
                "give --eeg-delay where the EEG's stamps are late"
            )
        return told


def align_trains(
    raw: Any, trains: Sequence[Block], edge_s: float, gap_s: float
) -> TrainAlignment | None:
    """Hold the phases of a table against the artefact of the recording.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    trains : sequence of Block
        Its trains with current, of one frequency.
    edge_s : float
        Rise and fall of a train, which are left out.
    gap_s : float
        After each train; 0.6 s or more.

    Returns
    -------
    TrainAlignment or None
        None with fewer than five trains, or where the artefact is not five times as large as what
        is in the gaps.
    """
    rows = [row for row in trains if row.kind == "drive"]
    if len(rows) < LEAST_TRAINS or gap_s < 0.6:
        return None
    sfreq = float(raw.info["sfreq"])
    names = [n for n, k in zip(raw.ch_names, raw.get_channel_types(), strict=True) if k == "eeg"]
    data = np.asarray(raw.get_data(picks=names))
    top = min(row.stop_s - row.start_s for row in rows) - 2.0 * edge_s
    long_s, late_s = max(top, 0.0), 0.5 * (gap_s - NEXT_S)
    in_train = np.stack([_phasor(data, sfreq, row, row.start_s + edge_s, long_s) for row in rows])
    in_gap = np.stack([_phasor(data, sfreq, row, row.stop_s + late_s, late_s) for row in rows])
    sizes = np.median(np.abs(in_train), axis=0)
    best = int(np.argmax(sizes))
    ratio = float(sizes[best] / max(float(np.median(np.abs(in_gap[:, best]))), 1e-300))
    if not ratio >= LEAST_RATIO:
        return None
    unit = in_train[:, best] / np.maximum(np.abs(in_train[:, best]), 1e-300)
    minutes = (np.array([row.start_s for row in rows]) - rows[0].start_s) / 60.0
    turned = unit * np.exp(-1j * np.radians(np.outer(DRIFTS_DEG_PER_MIN, minutes)))
    lengths = np.abs(turned.mean(axis=1))
    drift = int(np.argmax(lengths))
    left = min(float(lengths[drift]), 1.0)
    return TrainAlignment(
        channel=names[best],
        n_trains=len(rows),
        ratio=ratio,
        kept=float(np.abs(unit.mean())),
        offset_deg=math.degrees(float(np.angle(unit.mean()))),
        drift_deg_per_min=float(DRIFTS_DEG_PER_MIN[drift]),
        scatter_deg=math.degrees(math.sqrt(-2.0 * math.log(left))),
        settled_s=_settled_s(data[best], sfreq, rows, gap_s),
    )


def _phasor(data: Array, sfreq_hz: float, row: Block, from_s: float, long_s: float) -> Any:
    """Size and phase against the table's, of whole cycles from a time on, every channel."""
    n = max(round(math.floor(long_s * row.frequency_hz) / row.frequency_hz * sfreq_hz), 2)
    first = math.ceil(from_s * sfreq_hz)
    part = data[:, first : first + n]
    times_s = (first + np.arange(part.shape[1])) / sfreq_hz - row.start_s
    turns = np.exp(-1j * (2.0 * np.pi * row.frequency_hz * times_s + row.phase_rad))
    centred = part - part.mean(axis=1, keepdims=True)
    return 2.0 * (centred * turns).mean(axis=1)


def _settled_s(wave: Array, sfreq_hz: float, rows: Sequence[Block], gap_s: float) -> float:
    """From when on the median gap is as large as its later half."""
    size, n = max(round(BIN_S * sfreq_hz), 1), math.floor((gap_s - NEXT_S) * sfreq_hz)
    n -= n % size
    gaps = []
    for row in rows:
        first = math.ceil(row.stop_s * sfreq_hz)
        part = wave[first : first + n]
        if part.size == n:
            middle = np.median(part[n // 2 :])
            gaps.append(np.sqrt(((part - middle) ** 2).reshape(-1, size).mean(axis=1)))
    if not gaps:
        return math.nan
    typical = np.median(gaps, axis=0)
    quiet = typical <= SETTLED * np.median(typical[len(typical) // 2 :])
    stays = [i for i in range(len(quiet)) if quiet[i : i + QUIET_BINS].all()]
    return float((stays[0] if stays else len(quiet)) * size / sfreq_hz)
