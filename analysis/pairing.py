"""Two recordings made comparable, or refused with the reason and the cure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.channels import tidy
from analysis.errors import AnalysisError, UnusableRecording
from analysis.io import Recording
from analysis.power import FIT_HZ, TOTAL_HZ
from analysis.quality import Examined, Quality, examine

Array = NDArray[np.float64]

MIN_SECONDS = 20.0
_SAME_REFERENCE_CHANNELS = 8
_LEFT_OUT = frozenset({"flat_channels", "saturated_channels", "bad_channels"})
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
        Samples annotated as bad, or with gross artefacts.
    sfreq_hz : float
        Sampling rate.
    pass_band_hz, total_hz, fit_hz : (float, float)
        What both filters and sampling rates let through; ranges for relative power and for the
        aperiodic fit inside it.
    lost, bad : tuple of str
        Channels in one recording alone, and channels left out as bad in either.
    discarded_s : float
        Left out at the start of each recording.
    info : mne.Info
        Description of the channels, with positions where known.
    sources : (Examined, Examined)
        The two recordings with tidy channel names, whole and measured, for `find_peak`.
    warnings : tuple of str
        What the reader must know.
    """

    channels: tuple[str, ...]
    before_uv: Array
    after_uv: Array
    bad_before: NDArray[np.bool_]
    bad_after: NDArray[np.bool_]
    sfreq_hz: float
    pass_band_hz: tuple[float, float]
    total_hz: tuple[float, float]
    fit_hz: tuple[float, float]
    lost: tuple[str, ...]
    bad: tuple[str, ...]
    discarded_s: float
    info: Any
    sources: tuple[Examined, Examined]
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
    import mne

    if not (np.isfinite(discard_s) and discard_s >= 0.0):
        raise AnalysisError(f"discard_s is {discard_s:g}: give 0 or more seconds")
    warnings: list[str] = []
    sources = {"before": _source(pre, "before"), "after": _source(post, "after")}
    sides = {name: _raw_of(source) for name, source in sources.items()}
    _check_reference(sides, warnings)
    examined = {name: examine(source) for name, source in sources.items()}
    quality = {name: _quality(found, name, warnings) for name, found in examined.items()}
    low_hz, high_hz = _pass_band(sides, warnings)
    _check_eyes(sides, warnings)
    names = {name: set(raw.ch_names) for name, raw in sides.items()}
    shared = [name for name in sides["before"].ch_names if name in names["after"]]
    lost = tuple(sorted(names["before"] ^ names["after"]))
    if not shared:
        raise UnusableRecording(
            f"the recordings share no EEG channel: before has {_list(sorted(names['before']))}, "
            f"after has {_list(sorted(names['after']))}"
        )
    if lost:
        warnings.append(f"channels in one recording alone were left out: {_list(lost)}")
    why = {**dict(quality["after"].bad_channels), **dict(quality["before"].bad_channels)}
    bad = tuple(name for name in shared if name in why)
    if bad:
        told = _list(f"{name} ({why[name]})" for name in bad)
        warnings.append(f"bad in one of the recordings, left out of both: {told}")
    channels = tuple(name for name in shared if name not in why)
    if not channels:
        raise UnusableRecording(f"no channel is good in both recordings (bad: {_list(bad)})")
    sfreq_hz = _one_rate(sides, warnings)
    before, bad_before = _samples(sides["before"], channels, discard_s, quality["before"])
    after, bad_after = _samples(sides["after"], channels, discard_s, quality["after"])
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
    info = sides["before"].info
    return Pair(
        channels=channels,
        before_uv=before[:, first:],
        after_uv=after[:, :n],
        bad_before=bad_before[first:],
        bad_after=bad_after[:n],
        sfreq_hz=sfreq_hz,
        pass_band_hz=(low_hz, high_hz),
        total_hz=(max(TOTAL_HZ[0], low_hz), min(TOTAL_HZ[1], high_hz)),
        fit_hz=(max(FIT_HZ[0], low_hz), min(FIT_HZ[1], high_hz)),
        lost=lost,
        bad=bad,
        discarded_s=discard_s,
        info=mne.pick_info(info, [info["ch_names"].index(name) for name in channels]),
        sources=(examined["before"], examined["after"]),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _list(names: Iterable[str]) -> str:
    """Names in one line, the first twelve."""
    names = list(names)
    text = ", ".join(names[:12])
    return text if len(names) <= 12 else f"{text} and {len(names) - 12} more"


def _source(given: Any, side: str) -> Any:
    """Copy of a recording with its EEG channels alone, under their usual names."""
    recording = given if isinstance(given, Recording) else None
    raw = given if recording is None else recording.raw
    if not (hasattr(raw, "get_channel_types") and hasattr(raw, "annotations")):
        raise AnalysisError(
            f"the recording {side} is a {type(given).__name__}: give an MNE Raw object"
        )
    raw = raw.copy().load_data(verbose="ERROR")
    tidy(raw)
    if "eeg" not in raw.get_channel_types():
        raise UnusableRecording(f"the recording {side} has no EEG channel")
    raw.pick("eeg", verbose="ERROR")
    return raw if recording is None else replace(recording, raw=raw)


def _raw_of(source: Any) -> Any:
    """MNE object of a source."""
    return source.raw if isinstance(source, Recording) else source


def _quality(examined: Examined, side: str, warnings: list[str]) -> Quality:
    """Quality of one side; refuse what cannot be used or has a doubtful clock."""
    source, found = examined.recording, examined.judge()
    if not found.usable:
        raise UnusableRecording(
            f"the recording {side} cannot be used: {'; '.join(found.reasons)}",
            tuple(f"{side}: {reason}" for reason in found.reasons),
        )
    doubted = [text for text in found.warnings if text.startswith("sampling_rate_suspect")]
    if doubted and not (isinstance(source, Recording) and source.sfreq_given):
        raise UnusableRecording(f"the recording {side} cannot be used: {doubted[0]}")
    bad = set(dict(found.bad_channels))  # named once for both recordings, with the reason
    told = [
        finding.line
        for finding in found.findings
        if finding.severity == "warning"
        and not (finding.name in _LEFT_OUT and bad.issuperset(finding.channels))
    ]
    if isinstance(source, Recording):
        told = [*source.warnings, *told]
    warnings.extend(f"{side}: {text}" for text in told)
    return found


def _check_reference(sides: dict[str, Any], warnings: list[str]) -> None:
    """Refuse an average reference on one side only; warn where only the headers differ."""
    averaged = {}
    for name, raw in sides.items():
        data = raw.get_data()
        data = data[np.isfinite(data).all(axis=1)]
        if len(data) < _SAME_REFERENCE_CHANNELS:
            averaged[name] = False
            continue
        typical = float(np.sqrt(np.mean(data.var(axis=1))))
        averaged[name] = float(data.mean(axis=0).std()) < 1e-3 * typical
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


def _pass_band(sides: dict[str, Any], warnings: list[str]) -> tuple[float, float]:
    """Band that both filters let through; warn where they differ inside 1 to 40 Hz."""
    edges = {
        name: (float(raw.info["highpass"]), float(raw.info["lowpass"]))
        for name, raw in sides.items()
    }
    felt = {(max(low, TOTAL_HZ[0]), min(high, TOTAL_HZ[1])) for low, high in edges.values()}
    if len(felt) > 1:
        (low_a, high_a), (low_b, high_b) = edges["before"], edges["after"]
        warnings.append(
            f"filters differ: {low_a:g}-{high_a:g} Hz before, {low_b:g}-{high_b:g} Hz after; "
            "a part of the change may be the filters'"
        )
    return max(edge[0] for edge in edges.values()), min(edge[1] for edge in edges.values())


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
    for name, rate in rates.items():
        if rate != slow:
            sides[name] = sides[name].copy().resample(slow, verbose="ERROR")
            warnings.append(f"the recording {name} was resampled from {rate:g} to {slow:g} Hz")
    return slow


def _samples(
    raw: Any, channels: tuple[str, ...], discard_s: float, quality: Quality
) -> tuple[Array, NDArray[np.bool_]]:
    """Samples in µV and the mask of bad ones, without the first seconds."""
    sfreq_hz = float(raw.info["sfreq"])
    first = round(discard_s * sfreq_hz)
    data = raw.get_data(picks=list(channels), start=first)
    data *= 1e6
    mask = np.zeros(raw.n_times, dtype=bool)
    for start_s, stop_s in quality.artefact_spans_s:
        mask[round(start_s * sfreq_hz) : round(stop_s * sfreq_hz)] = True
    return np.asarray(data), mask[first:]
