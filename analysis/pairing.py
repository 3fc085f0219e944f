"""Two recordings made comparable, or refused with the reason and the cure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.channels import tidy
from analysis.errors import AnalysisError, UnusableRecording
from analysis.interpolate import Interpolated, interpolate_bad
from analysis.io import Recording
from analysis.power import FIT_HZ, TOTAL_HZ
from analysis.preparation import Artefacts, Handling, handle_artefacts
from analysis.quality import Examined, Quality, examine
from analysis.same_state import (
    Check,
    check_amplitude,
    check_channels,
    check_eyes,
    check_filter,
    check_findings,
    check_rank,
    check_rate,
    check_reference,
)

Array = NDArray[np.float64]

MIN_SECONDS = 20.0
_LEFT_OUT = frozenset({"flat_channels", "saturated_channels", "bad_channels"})


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
        The two recordings with tidy channel names, whole, measured, and without what `handling`
        took out, for `find_peak`.
    same_state : tuple of Check
        Whether the recordings were made alike.
    handling : Handling
        What was done about artefacts.
    interpolated : Interpolated
        Bad channels filled in for maps; none of them is in `channels`.
    without : Pair or None
        The same without `handling`; None where nothing was done.
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
    same_state: tuple[Check, ...]
    handling: Handling
    interpolated: Interpolated
    without: Pair | None
    warnings: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether the two hold the same samples."""
        return bool(np.array_equal(self.before_uv, self.after_uv))

    @property
    def rank(self) -> int:
        """Independent signals among the channels; interpolated ones are not among them."""
        check = next(check for check in self.same_state if check.check == "rank")
        found = min(int(check.before), int(check.after))
        return found if self.handling.ica is None else self.handling.ica.rank

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
            "same_state": [check.to_dict() for check in self.same_state],
            "artefacts": self.handling.to_dict(),
            "interpolated": self.interpolated.to_dict(),
            "reference": "as recorded" if self.handling.ica is None else "average",
            "rank": self.rank,
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


def make_pair(
    pre: Any,
    post: Any,
    *,
    discard_s: float = 3.0,
    artefacts: Artefacts = "none",
    rhythm_hz: tuple[float, float] | None = None,
    seed: int = 0,
) -> Pair:
    """Prepare a recording before and a recording after for comparison.

    Parameters
    ----------
    pre, post : mne.io.BaseRaw
        The recordings; they are not changed.
    discard_s : float
        Left out at the start of each: amplifier and electrodes settle after the current ends.
    artefacts : {"none", "ica", "autoreject", "both"}
        What is done beyond leaving out gross artefacts; see `analysis.preparation`.
    rhythm_hz : (float, float), optional
        Band in which it is told what ICA took; 8 to 13 Hz by default.
    seed : int
        Seed of ICA and autoreject.

    Returns
    -------
    Pair
        EEG of the shared good channels, equally long. A longer recording is cut: before keeps its
        end, after its beginning. The faster sampled recording is resampled to the slower. With
        ICA both are average-referenced.

    Raises
    ------
    UnusableRecording
        If too little is shared, or reference, filters or unit make the two incomparable.
    AnalysisError
        If an argument makes no sense, or the recordings do not support what `artefacts` asks.
    """
    import mne

    if not (np.isfinite(discard_s) and discard_s >= 0.0):
        raise AnalysisError(f"discard_s is {discard_s:g}: give 0 or more seconds")
    warnings: list[str] = []
    given = {"before": pre, "after": post}
    sources = {name: _source(one, name) for name, one in given.items()}
    sides = {name: _raw_of(source) for name, source in sources.items()}
    checks = [check_reference(sides)]
    examined = {name: examine(source) for name, source in sources.items()}
    quality = {name: _quality(found, name, warnings) for name, found in examined.items()}
    checks += [check_filter(sides), check_rate(sides)]
    channels, lost, bad = _shared(sides, quality, checks, warnings)
    checks += [check_amplitude(examined, channels), check_rank(examined, channels)]
    checks += [check_eyes(given, examined, channels), *check_findings(quality)]
    windows_s, check = _windows(sides, discard_s)
    checks.append(check)
    *handled, handling = handle_artefacts(
        sides["before"],
        sides["after"],
        channels,
        artefacts,
        windows_s=windows_s,
        rhythm_hz=rhythm_hz,
        seed=seed,
    )
    if artefacts != "none":
        for name, raw in zip(sides, handled, strict=True):
            source = sources[name]
            cleaned = replace(source, raw=raw) if isinstance(source, Recording) else raw
            sides[name], examined[name] = raw, examine(cleaned)
            quality[name] = examined[name].judge()
            if not quality[name].usable:
                raise UnusableRecording(
                    f"once cleaned ({artefacts}), the recording {name} cannot be used: "
                    f"{'; '.join(quality[name].reasons)}"
                )
        spoilt = {bad for one in quality.values() for bad, _ in one.bad_channels}
        left = tuple(name for name in channels if name in spoilt)
        if left:
            warnings.append(f"left out of both, unlike the others once cleaned: {_list(left)}")
            channels = tuple(name for name in channels if name not in left)
            bad = (*bad, *left)
    interpolated = interpolate_bad(_raw_of(sources["before"]), channels, bad)
    if interpolated.channels:
        warnings.append(
            f"interpolated for maps alone, not in region or connectivity: "
            f"{_list(interpolated.channels)}"
        )
    warnings += [check.note for check in checks if check.ok is False]
    warnings += handling.warnings
    sfreq_hz = min(float(raw.info["sfreq"]) for raw in sides.values())
    before, bad_before = _samples(
        sides["before"], channels, windows_s[0], sfreq_hz, quality["before"]
    )
    after, bad_after = _samples(sides["after"], channels, windows_s[1], sfreq_hz, quality["after"])
    n = min(before.shape[1], after.shape[1])
    edges = [(raw.info["highpass"], raw.info["lowpass"]) for raw in sides.values()]
    low_hz, high_hz = float(max(e[0] for e in edges)), float(min(e[1] for e in edges))
    high_hz = min(high_hz, 0.5 * sfreq_hz)
    info = sides["before"].info
    return Pair(
        channels=channels,
        before_uv=before[:, before.shape[1] - n :],
        after_uv=after[:, :n],
        bad_before=bad_before[before.shape[1] - n :],
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
        same_state=tuple(checks),
        handling=handling,
        interpolated=interpolated,
        without=None if artefacts == "none" else make_pair(pre, post, discard_s=discard_s),
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


def _shared(
    sides: dict[str, Any],
    quality: dict[str, Quality],
    checks: list[Check],
    warnings: list[str],
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Channels good in both, in one recording alone, and bad in either."""
    names = {name: set(raw.ch_names) for name, raw in sides.items()}
    shared = [name for name in sides["before"].ch_names if name in names["after"]]
    lost = tuple(sorted(names["before"] ^ names["after"]))
    if not shared:
        raise UnusableRecording(
            f"the recordings share no EEG channel: before has {_list(sorted(names['before']))}, "
            f"after has {_list(sorted(names['after']))}"
        )
    checks.append(check_channels(sides, lost))
    why = {**dict(quality["after"].bad_channels), **dict(quality["before"].bad_channels)}
    bad = tuple(name for name in shared if name in why)
    if bad:
        told = _list(f"{name} ({why[name]})" for name in bad)
        warnings.append(f"bad in one of the recordings, left out of both: {told}")
    channels = tuple(name for name in shared if name not in why)
    if not channels:
        raise UnusableRecording(f"no channel is good in both recordings (bad: {_list(bad)})")
    return channels, lost, bad


def _windows(
    sides: dict[str, Any], discard_s: float
) -> tuple[tuple[tuple[float, float], tuple[float, float]], Check]:
    """Part of each recording that is compared: the end before, the beginning after."""
    lengths = {
        name: raw.n_times / float(raw.info["sfreq"]) - discard_s for name, raw in sides.items()
    }
    before_s, after_s = lengths["before"], lengths["after"]
    used_s = min(before_s, after_s)
    if used_s < MIN_SECONDS - 1e-6:
        raise UnusableRecording(
            f"{max(0.0, used_s):.0f} s remain after the first {discard_s:g} s were left out, "
            f"{MIN_SECONDS:g} s are the least: give longer recordings"
        )
    note = ""
    if abs(before_s - after_s) > 1.0:
        note = (
            f"lengths differ ({before_s:.0f} s before, {after_s:.0f} s after): the last "
            f"{used_s:.0f} s before and the first {used_s:.0f} s after were used"
        )
    windows_s = (
        (discard_s + before_s - used_s, discard_s + before_s),
        (discard_s, discard_s + used_s),
    )
    return windows_s, Check("length", before_s, after_s, not note, note)


def _samples(
    raw: Any,
    channels: tuple[str, ...],
    window_s: tuple[float, float],
    sfreq_hz: float,
    quality: Quality,
) -> tuple[Array, NDArray[np.bool_]]:
    """Samples in µV at a rate and the mask of bad ones, of the part compared."""
    if float(raw.info["sfreq"]) != sfreq_hz:
        raw = raw.copy().resample(sfreq_hz, verbose="ERROR")
    first, last = (round(edge * sfreq_hz) for edge in window_s)
    data = raw.get_data(picks=list(channels), start=first, stop=min(last, raw.n_times))
    data *= 1e6
    mask = np.zeros(raw.n_times, dtype=bool)
    for start_s, stop_s in quality.artefact_spans_s:
        mask[round(start_s * sfreq_hz) : round(stop_s * sfreq_hz)] = True
    return np.asarray(data), mask[first : min(last, raw.n_times)]
