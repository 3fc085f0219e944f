"""Two recordings made comparable, or refused with the reason and the cure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError, UnusableRecording
from analysis.power import FIT_HZ, TOTAL_HZ
from analysis.quality import bad_channels

Array = NDArray[np.float64]

MIN_SECONDS = 18.0
_SAME_REFERENCE_CHANNELS = 8
_EYES = {
    "open": re.compile(r"eyes?[\s_-]*open|\bEO\b", re.IGNORECASE),
    "closed": re.compile(r"eyes?[\s_-]*closed|\bEC\b", re.IGNORECASE),
}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two recordings with the same channels, sampling rate and length.

    Parameters
    ----------
    channels : tuple of str
        Channels good in both, in the order of the rows.
    before_uv, after_uv : ndarray, shape (n_channels, n_samples)
        EEG in µV.
    bad_before, bad_after : ndarray of bool, shape (n_samples,)
        Samples annotated as bad.
    sfreq_hz : float
        Sampling rate.
    total_hz, fit_hz : (float, float)
        Ranges for relative power and for the aperiodic fit inside both pass bands.
    lost, bad : tuple of str
        Channels in one recording alone, and channels left out as bad in either.
    discarded_s : float
        Left out at the start of each recording.
    warnings : tuple of str
        What the reader must know.
    """

    channels: tuple[str, ...]
    before_uv: Array
    after_uv: Array
    bad_before: NDArray[np.bool_]
    bad_after: NDArray[np.bool_]
    sfreq_hz: float
    total_hz: tuple[float, float]
    fit_hz: tuple[float, float]
    lost: tuple[str, ...]
    bad: tuple[str, ...]
    discarded_s: float
    warnings: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether the two hold the same samples."""
        return bool(np.array_equal(self.before_uv, self.after_uv))

    def epochs(self, epoch_s: float) -> tuple[Array, Array]:
        """Contiguous clean epochs, equally many: the last ones before, the first ones after."""
        size = round(epoch_s * self.sfreq_hz)
        sides = []
        for data, bad in ((self.before_uv, self.bad_before), (self.after_uv, self.bad_after)):
            starts = np.arange(0, data.shape[1] - size + 1, size)
            clean = [start for start in starts if not bad[start : start + size].any()]
            sides.append([data[:, start : start + size] for start in clean])
        n = min(len(side) for side in sides)
        shape = (n, len(self.channels), size)
        before = np.array(sides[0][len(sides[0]) - n :]).reshape(shape)
        return before, np.array(sides[1][:n]).reshape(shape)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: how the recordings were prepared."""
        return {
            "seconds_used": self.before_uv.shape[1] / self.sfreq_hz,
            "discarded_s": self.discarded_s,
            "sfreq_hz": self.sfreq_hz,
            "channels": list(self.channels),
            "channels_in_one_only": list(self.lost),
            "bad_channels": list(self.bad),
            "bad_seconds": [
                float(self.bad_before.sum() / self.sfreq_hz),
                float(self.bad_after.sum() / self.sfreq_hz),
            ],
            "total_hz": list(self.total_hz),
            "fit_hz": list(self.fit_hz),
        }


def make_pair(pre: Any, post: Any, *, discard_s: float = 3.0) -> Pair:
    """Prepare a recording before and a recording after for comparison.

    Parameters
    ----------
    pre, post : mne.io.BaseRaw
        The recordings; they are not changed.
    discard_s : float
        Left out at the start of each: amplifier and electrodes settle after the current ends.

    Returns
    -------
    Pair
        EEG of the shared good channels, equally long. A longer recording is cut: before keeps its
        end, after its beginning. The faster sampled recording is resampled to the slower.

    Raises
    ------
    UnusableRecording
        If too little is shared, or reference or filters make the two incomparable.
    """
    if not (np.isfinite(discard_s) and discard_s >= 0.0):
        raise AnalysisError(f"discard_s is {discard_s:g}: give 0 or more seconds")
    warnings: list[str] = []
    sides = {"before": _eeg(pre, "before"), "after": _eeg(post, "after")}
    _check_reference(sides, warnings)
    total_hz, fit_hz = _pass_band(sides, warnings)
    _check_eyes(sides, warnings)
    order = {name: set(raw.ch_names) for name, raw in sides.items()}
    shared = [name for name in sides["before"].ch_names if name in order["after"]]
    lost = tuple(sorted(order["before"] ^ order["after"]))
    if not shared:
        raise UnusableRecording(
            "the recordings share no EEG channel: before has "
            f"{_list(sorted(order['before']))}, after has {_list(sorted(order['after']))}"
        )
    if lost:
        warnings.append(f"channels in one recording alone were left out: {_list(lost)}")
    bad = _bad(sides, shared)
    if bad:
        warnings.append(f"bad in one of the recordings, left out of both: {_list(bad)}")
    channels = tuple(name for name in shared if name not in bad)
    if not channels:
        raise UnusableRecording(f"no channel is good in both recordings (bad: {_list(bad)})")
    sfreq_hz = _one_rate(sides, warnings)
    before, bad_before = _samples(sides["before"], channels, discard_s, "before")
    after, bad_after = _samples(sides["after"], channels, discard_s, "after")
    n = min(before.shape[1], after.shape[1])
    if n < MIN_SECONDS * sfreq_hz:
        raise UnusableRecording(
            f"{n / sfreq_hz:.0f} s remain after the first {discard_s:g} s were left out, "
            f"{MIN_SECONDS:g} s are the least: give longer recordings"
        )
    if abs(before.shape[1] - after.shape[1]) > sfreq_hz:
        warnings.append(
            f"lengths differ ({before.shape[1] / sfreq_hz:.0f} s before, "
            f"{after.shape[1] / sfreq_hz:.0f} s after): the last {n / sfreq_hz:.0f} s before and "
            f"the first {n / sfreq_hz:.0f} s after were used"
        )
    first = before.shape[1] - n
    return Pair(
        channels=channels,
        before_uv=before[:, first:],
        after_uv=after[:, :n],
        bad_before=bad_before[first:],
        bad_after=bad_after[:n],
        sfreq_hz=sfreq_hz,
        total_hz=total_hz,
        fit_hz=fit_hz,
        lost=lost,
        bad=bad,
        discarded_s=discard_s,
        warnings=tuple(warnings),
    )


def _list(names: Any) -> str:
    """Names in one line, the first twelve."""
    names = list(names)
    text = ", ".join(names[:12])
    return text if len(names) <= 12 else f"{text} and {len(names) - 12} more"


def _check_reference(sides: dict[str, Any], warnings: list[str]) -> None:
    """Refuse an average reference on one side only; warn where only the headers differ."""
    averaged = {}
    for name, raw in sides.items():
        data = raw.get_data()
        spread = float(np.sqrt(np.mean(np.square(data - data.mean(axis=1, keepdims=True)))))
        mean = data.mean(axis=0)
        averaged[name] = len(raw.ch_names) >= _SAME_REFERENCE_CHANNELS and bool(
            float(mean.std()) < 1e-3 * spread
        )
    if averaged["before"] != averaged["after"]:
        which = "before" if averaged["before"] else "after"
        raise UnusableRecording(
            f"the references differ: the recording {which} is average-referenced, the other is "
            "not; band power cannot be compared. Re-reference both in the same way first"
        )
    custom = [int(raw.info["custom_ref_applied"]) for raw in sides.values()]
    if custom[0] != custom[1]:
        warnings.append(
            "the headers disagree on whether a reference was applied: make sure that both "
            "recordings have the same reference"
        )


def _pass_band(
    sides: dict[str, Any], warnings: list[str]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ranges for relative power and fit inside both pass bands; warn where filters differ."""
    edges = {
        name: (float(raw.info["highpass"]), float(raw.info["lowpass"]))
        for name, raw in sides.items()
    }
    lowest = max(edge[0] for edge in edges.values())
    highest = min(edge[1] for edge in edges.values())
    seen = {(min(max(low, 0.0), 40.0), min(high, 40.0)) for low, high in edges.values()}
    if len(seen) > 1:
        warnings.append(
            "filters differ: {0[0]:g}-{0[1]:g} Hz before, {1[0]:g}-{1[1]:g} Hz after; a part of "
            "the change may be the filters'".format(edges["before"], edges["after"])
        )
    top = min(TOTAL_HZ[1], highest)
    return (max(TOTAL_HZ[0], lowest), top), (max(FIT_HZ[0], lowest), top)


def _check_eyes(sides: dict[str, Any], warnings: list[str]) -> None:
    """Warn where annotations or descriptions say that the eyes were in different states."""
    said = {}
    for name, raw in sides.items():
        text = " ; ".join([*map(str, raw.annotations.description), str(raw.info["description"])])
        said[name] = {state for state, pattern in _EYES.items() if pattern.search(text)}
    if said["before"] and said["after"] and said["before"] != said["after"]:
        warnings.append(
            f"the eyes were {' and '.join(sorted(said['before']))} before and "
            f"{' and '.join(sorted(said['after']))} after: alpha changes with the eyes alone"
        )


def _one_rate(sides: dict[str, Any], warnings: list[str]) -> float:
    """Bring both to the slower sampling rate."""
    rates = {name: float(raw.info["sfreq"]) for name, raw in sides.items()}
    slow = min(rates.values())
    if slow / 2.0 < FIT_HZ[0] + 10.0:
        raise UnusableRecording(f"a sampling rate of {slow:g} Hz is too low: 24 Hz is the least")
    for name, rate in rates.items():
        if rate != slow:
            sides[name] = sides[name].resample(slow, verbose="ERROR")
            warnings.append(f"the recording {name} was resampled from {rate:g} to {slow:g} Hz")
    return slow


def _samples(
    raw: Any, channels: tuple[str, ...], discard_s: float, side: str
) -> tuple[Array, NDArray[np.bool_]]:
    """Samples in µV and the mask of annotated bad ones, without the first seconds."""
    first = round(discard_s * float(raw.info["sfreq"]))
    data = raw.get_data(picks=list(channels))[:, first:] * 1e6
    marked = raw.get_data(picks=[channels[0]], reject_by_annotation="NaN")[0, first:]
    broken = [name for name, row in zip(channels, data, strict=True) if not np.isfinite(row).all()]
    if broken:
        raise UnusableRecording(
            f"the recording {side} holds values that are no numbers in {_list(broken)}: "
            "mark these channels as bad or mend the file"
        )
    return np.ascontiguousarray(data), np.isnan(marked)
